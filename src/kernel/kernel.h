/* The kernel room: raw-array compute, one table of functions per CPU path. */
#ifndef FETTLE_KERNEL_KERNEL_H
#define FETTLE_KERNEL_KERNEL_H

#include "tensor/tensor.h"

#endif
