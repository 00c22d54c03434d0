/* libfettle: fine-tuning small language models on a CPU. Includes every public header; see docs/ARCHITECTURE.md. */
#ifndef FETTLE_H
#define FETTLE_H

#include "base/human.h"
#include "base/mem.h"
#include "base/os.h"
#include "base/rng.h"
#include "base/status.h"
#include "base/str.h"
#include "base/threads.h"
#include "tensor/tensor.h"
#include "kernel/kernel.h"
#include "grad/grad.h"
#include "grad/vectors.h"
#include "file/container.h"
#include "file/json.h"
#include "file/lines.h"
#include "file/store.h"
#include "recipe/recipe.h"
#include "data/data.h"
#include "text/tokenizer.h"
#include "text/labels.h"
#include "text/rows.h"
#include "model/model.h"
#include "model/pooling.h"
#include "score/score.h"
#include "train/train.h"
#include "export/export.h"

#endif
