/* The user block before a store's HDF5 file: what the file is, and a checksum of all the rest.
 *
 *   0    "fettle store 1\n\0"
 *   16   u64 n      bytes behind the block
 *   24   u64 sum    checksum of those bytes
 *   32   zeros
 *   512  the HDF5 file
 */
#include "file/store_impl.h"

#include <string.h>
#include <sys/mman.h>

static const char magic[16] = "fettle store 1\n";
enum { BLOCK = FT_STORE__BLOCK, WORDS = 4, PIECE = 1 << 20, SPAN = 16 << 20 };

typedef struct block {
    char magic[16];
    uint64_t bytes, sum;
    char zeros[BLOCK - 32];
} block;
_Static_assert(sizeof(block) == BLOCK, "the user block has no padding");

/* 64 bits over whole words in four lanes. Each step is a bijection of its lane, so damage within one word always shows;
 * of all other damage one in 2^64 is missed. */
typedef struct sum {
    uint64_t lane[WORDS], bytes;
} sum;
static const uint64_t odd = 0x9e3779b97f4a7c15u;
static const sum empty = {.lane = {1, 2, 3, 4}};

/* n is a multiple of 32 in every call but the last, which fills up with zeros. */
static void sum_add(sum *s, const uint8_t *p, size_t n)
{
    uint64_t w[WORDS];
    for (size_t i = 0; i < n; i += sizeof w) {
        if (n - i < sizeof w)
            memset(w, 0, sizeof w);
        memcpy(w, p + i, FT_MIN(n - i, sizeof w));
        for (int k = 0; k < WORDS; k++) {
            s->lane[k] = (s->lane[k] ^ w[k]) * odd;
            s->lane[k] ^= s->lane[k] >> 29;
        }
    }
    s->bytes += n;
}

static uint64_t sum_end(const sum *s)
{
    uint64_t all = s->bytes;
    for (int k = 0; k < WORDS; k++) {
        all = (all ^ s->lane[k]) * odd;
        all ^= all >> 29;
    }
    return all;
}

static block block_of(const sum *s)
{
    block b = {.bytes = s->bytes, .sum = sum_end(s)};
    memcpy(b.magic, magic, sizeof magic);
    return b;
}

ft_status ft_store__seal(ft_out *out, uint64_t size)
{
    ft_status st = FT_OK;
    sum s = empty;
    uint8_t *piece = ft_resize(NULL, PIECE, 1);
    if (!piece)
        return FT_ENOMEM;
    for (uint64_t at = BLOCK; at < size; at += PIECE) {
        size_t n = (size_t)FT_MIN(size - at, (uint64_t)PIECE);
        FT_TRY(ft_out_read_at(out, at, piece, n));
        sum_add(&s, piece, n);
    }
    block b = block_of(&s);
    FT_TRY(ft_out_write_at(out, 0, &b, sizeof b));
done:
    ft_free(piece);
    return st;
}

ft_status ft_store__check_seal(const ft_mapping *m)
{
    block found;
    sum s = empty;
    if (m->size < BLOCK)
        return ft_fail(FT_EFORMAT, "%s: no store of fettle: %zu bytes, expected more than %d", m->path, m->size, BLOCK);
    memcpy(&found, m->data, sizeof found);
    if (memcmp(found.magic, magic, sizeof magic) != 0)
        return ft_fail(FT_EFORMAT, "%s: no store of fettle: at byte 0: its name is not there", m->path);
    if (found.bytes != m->size - BLOCK)
        return ft_fail(FT_EFORMAT, "%s: damaged: %zu bytes behind the first %d, expected %llu", m->path,
                       m->size - BLOCK, BLOCK, (unsigned long long)found.bytes);
    for (size_t at = BLOCK; at < m->size; at += SPAN) {
        size_t n = FT_MIN(m->size - at, (size_t)SPAN);
        sum_add(&s, m->data + at, n);
        madvise((void *)(m->data + at - BLOCK), n, MADV_DONTNEED); /* a checked file is not memory in use */
    }
    block expected = block_of(&s);
    if (memcmp(&found, &expected, sizeof found) != 0)
        return ft_fail(FT_EFORMAT, "%s: damaged: its checksum is %016llx, expected %016llx", m->path,
                       (unsigned long long)expected.sum, (unsigned long long)found.sum);
    return FT_OK;
}
