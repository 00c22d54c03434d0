/* A fuzz target is one file, fuzz_NAME.c, with this function. It is built twice: with libFuzzer under --enable-fuzz
 * (clang), run as tests/fuzz/fuzz_NAME DIRECTORY, and with replay.c in every `make check`, over seeds/NAME. */
#ifndef FT_FUZZ_H
#define FT_FUZZ_H

#include "base/mem.h"
#include "base/os.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The bytes as a file without a name on any disk; path is its name in /proc. Close the descriptor afterwards. */
static inline int fuzz_file(const uint8_t *data, size_t size, char path[64])
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    snprintf(path, 64, "/proc/self/fd/%d", fd);
    return fd;
}

/* A failure must have words. */
static inline void fuzz_failed(ft_status st)
{
    if (st != FT_OK && !*ft_error())
        abort();
    ft_error_clear();
}

#endif
