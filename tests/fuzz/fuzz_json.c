/* What is read can be written, and reads back as the same. */
#include "fuzz/fuzz.h"

#include "file/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    int fd = fuzz_file(data, size, path);
    json_t *a, *b;
    ft_status st = ft_json_file(&a, path, 1 << 20);
    fuzz_failed(st);
    close(fd);
    if (st != FT_OK)
        return 0;
    char out[64];
    snprintf(out, sizeof out, "/dev/shm/fettle-fuzz-%ld.json", (long)getpid());
    if (access("/dev/shm", W_OK) == 0) {
        if (ft_json_write(a, out) != FT_OK || ft_json_file(&b, out, 1 << 24) != FT_OK || !json_equal(a, b))
            abort();
        json_decref(b);
        unlink(out);
    }
    json_decref(a);
    return 0;
}
