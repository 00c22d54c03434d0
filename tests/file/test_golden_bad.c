/* Container files that must be refused, each with its status and its words. Files are made from short texts:
 *   GGUF          words: raw=BYTES, u8= u32= u64= a number, s=a string with its length, pad=N zeros up to a multiple of
 * N, zero=N zeros; a lone s= is the empty string safetensors   the header, its length is put before it, and so many
 * zeros behind it
 */
#include "file/container.h"
#include "support/support.h"

static ft_status open_bytes(const char *name, const ft_buf *b)
{
    ft_container *c;
    const char *path = ft_test_path(ft_test_dir(), name);
    FILE *f = fopen(path, "wb");
    ck_assert_uint_eq(fwrite(b->p, 1, b->n, f), b->n);
    fclose(f);
    ft_status st = ft_container_open(&c, path);
    if (st == FT_OK)
        ft_container_close(c);
    else {
        ck_assert_ptr_null(c);
        ck_assert_msg(strstr(ft_error(), path) != NULL, "the message \"%s\" does not name the file", ft_error());
    }
    return st;
}

static void put_word(ft_buf *b, const char *word)
{
    const char *v = strchr(word, '=') + 1;
    uint64_t n = strtoull(v, NULL, 0);
    static const char zeros[4096];
    if (ft_starts(word, "raw="))
        ck_assert_ok(ft_buf_puts(b, v));
    else if (ft_starts(word, "s=")) {
        n = strlen(v);
        ck_assert_ok(ft_buf_put(b, &n, 8));
        ck_assert_ok(ft_buf_puts(b, v));
    } else if (ft_starts(word, "pad="))
        ck_assert_ok(ft_buf_put(b, zeros, (n - b->n % n) % n));
    else if (ft_starts(word, "zero="))
        ck_assert_ok(ft_buf_put(b, zeros, n));
    else
        ck_assert_ok(ft_buf_put(b, &n, word[1] == '8' ? 1 : word[1] == '3' ? 4 : 8));
}

static ft_status open_gguf(const char *words)
{
    ft_buf b = {0};
    char *text = strdup(words), *save;
    for (char *w = strtok_r(text, " ", &save); w; w = strtok_r(NULL, " ", &save))
        put_word(&b, w);
    ft_status st = open_bytes("golden.gguf", &b);
    free(text);
    ft_buf_free(&b);
    return st;
}

typedef struct golden {
    const char *words;
    ft_status status;
    const char *message;
} golden;
#define HEAD(tensors, values) "raw=GGUF u32=3 u64=" #tensors " u64=" #values " "
#define ONE_TENSOR            HEAD(1, 0) "s=t "
static const golden ggufs[] = {
    {"raw=GGU", FT_EFORMAT, "at byte 0: the magic of 4 bytes, but 3 are left"},
    {"raw=GGUX u32=3 u64=0 u64=0", FT_EFORMAT, "no GGUF"},
    {"raw=GGUF u8=3", FT_EFORMAT, "at byte 4: the version of 4 bytes, but 1 are left"},
    {"raw=GGUF u32=1 u32=0 u32=0", FT_EUNSUPPORTED, "GGUF version 1, versions 2 and 3 are read"},
    {"raw=GGUF u32=0x03000000 u64=0 u64=0", FT_EUNSUPPORTED, "a big-endian file"},
    {"raw=GGUF u32=3 u64=0 u32=0", FT_EFORMAT, "the number of values of 8 bytes, but 4 are left"},
    {HEAD(0xffffffffffffffff, 0), FT_EFORMAT, "the number of tensors is 18446744073709551615"},
    {HEAD(1, 0), FT_EFORMAT, "the number of tensors is 1, but only 8 bytes are left"},
    {HEAD(0, 0x1000000000) "zero=100", FT_EFORMAT, "the number of values is 68719476736, but only 100 bytes are left"},
    {HEAD(0, 1) "u64=0xfffffffffffffff0 zero=32", FT_EFORMAT, "a key of 18446744073709551600 bytes, but 32 are left"},
    {HEAD(0, 1) "s= u32=4 u32=1", FT_EFORMAT, "a metadata key is empty"},
    {HEAD(0, 1) "u64=3 raw=a u8=0 raw=b u32=4 u32=1", FT_EFORMAT, "holds a NUL byte"},
    {HEAD(0, 2) "s=key u32=4 u32=1 s=key u32=4 u32=1", FT_EFORMAT, "the metadata key \"key\" stands there twice"},
    {HEAD(0, 1) "s=key u32=13 u64=1", FT_EFORMAT, "value \"key\": a value of unknown type 13"},
    {HEAD(0, 1) "s=key u32=0xffffffff u64=1", FT_EFORMAT, "a value of unknown type 4294967295"},
    {HEAD(0, 1) "s=key u32=10 u32=1", FT_EFORMAT, "value \"key\": a value of 8 bytes, but 4 are left"},
    {HEAD(0, 1) "s=key u32=8 u64=5 raw=abcd", FT_EFORMAT, "value \"key\": a string of 5 bytes, but 4 are left"},
    {HEAD(0, 1) "s=key u32=9 u32=9 u64=1 u32=4 u64=0", FT_EFORMAT, "value \"key\": an array of arrays"},
    {HEAD(0, 1) "s=key u32=9 u32=77 u64=1 u64=0", FT_EFORMAT, "an array of unknown type 77"},
    {HEAD(0, 1) "s=key u32=9 u32=10 u64=0x2000000000000001 zero=64", FT_EFORMAT,
     "an array's count is 2305843009213693953"},
    {HEAD(0, 1) "s=key u32=9 u32=8 u64=9 zero=64", FT_EFORMAT, "an array's count is 9, but only 64 bytes are left"},
    {HEAD(0, 1) "s=key u32=9 u32=8 u64=2 s=ok u64=7 raw=six123", FT_EFORMAT,
     "a string of an array of 7 bytes, but 6 are left"},
    {HEAD(0, 1) "s=general.alignment u32=4 u32=48", FT_EFORMAT, "general.alignment is 48, expected a power of two"},
    {HEAD(0, 1) "s=general.alignment u32=4 u32=0", FT_EFORMAT, "general.alignment is 0"},
    {HEAD(0, 1) "s=general.alignment u32=8 s=32", FT_EFORMAT, "general.alignment is no integer"},
    {HEAD(0, 1) "s=split.count u32=2 u8=3 u8=0", FT_EUNSUPPORTED, "one of 3 parts of a model"},
    {ONE_TENSOR "u32=5 zero=64", FT_EFORMAT, "tensor \"t\": 5 dimensions, at most 4"},
    {ONE_TENSOR "u32=1 u64=0 u32=0 u64=0 zero=64", FT_EFORMAT, "tensor \"t\": dimension 0 of [0] is not positive"},
    {ONE_TENSOR "u32=1 u64=0x8000000000000000 u32=0 u64=0 zero=64", FT_EFORMAT, "a dimension of 9223372036854775808"},
    {ONE_TENSOR "u32=2 u64=0x7fffffff00000000 u64=8 u32=0 u64=0 zero=64", FT_EFORMAT,
     "tensor \"t\": the size of [8, 9223372032559808512] overflows"},
    {ONE_TENSOR "u32=2 u64=33 u64=2 u32=8 u64=0 zero=256", FT_EFORMAT,
     "tensor \"t\": rows of 33 elements are no whole number of q8_0 blocks"},
    {ONE_TENSOR "u32=1 u64=2 u32=27 u64=0 zero=64", FT_EUNSUPPORTED,
     "tensor \"t\" has type I64, which fettle does not read"},
    {ONE_TENSOR "u32=1 u64=2 u32=4 u64=0 zero=64", FT_EFORMAT, "tensor \"t\": unknown tensor type 4"},
    {ONE_TENSOR "u32=1 u64=2 u32=999 u64=0 zero=64", FT_EFORMAT, "unknown tensor type 999"},
    {ONE_TENSOR "u32=1 u64=2 u32=0 u64=8 zero=64", FT_EFORMAT, "offset 8 is no multiple of the alignment, 32"},
    {ONE_TENSOR "u32=1 u64=2 u32=0 u64=0xffffffffffffffe0 zero=64", FT_EFORMAT,
     "tensor \"t\" ends 18446744073709551592 bytes into the data"},
    {ONE_TENSOR "u32=1 u64=16 u32=0 u64=0xffffffffffffffe0 zero=64", FT_EFORMAT,
     "offset 18446744073709551584 is out of range"},
    {ONE_TENSOR "u32=1 u64=2 u32=0 u64=0 pad=32 zero=7", FT_EFORMAT,
     "ends 8 bytes into the data, but the file holds 7"},
    {ONE_TENSOR "u32=1 u64=2 u32=0 u64=0", FT_EFORMAT, "but the file holds 0"},
    {HEAD(1, 0) "s= u32=1 u64=2 u32=0 u64=0 pad=32 zero=8", FT_EFORMAT, "a tensor name is empty"},
    {HEAD(2, 0) "s=t u32=1 u64=2 u32=0 u64=0 s=t u32=1 u64=2 u32=0 u64=32 pad=32 zero=64", FT_EFORMAT,
     "the tensor name \"t\" stands there twice"},
    {HEAD(2, 0) "s=t u32=1 u64=9 u32=0 u64=0 s=u u32=1 u64=2 u32=0 u64=32 pad=32 zero=64", FT_EFORMAT,
     "tensor \"u\" begins within tensor \"t\""},
};
static const char *const good_ggufs[] = {
    HEAD(0, 0),
    "raw=GGUF u32=2 u64=0 u64=0",
    ONE_TENSOR "u32=1 u64=2 u32=0 u64=0 pad=32 zero=8",
    ONE_TENSOR "u32=0 u32=0 u64=0 pad=32 zero=4",
    HEAD(1, 1) "s=general.alignment u32=4 u32=8 s=t u32=1 u64=2 u32=0 u64=8 pad=8 zero=16",
    HEAD(0, 1) "s=split.count u32=2 u8=1 u8=0",
    HEAD(0, 1) "s=key u32=9 u32=8 u64=0",
};

START_TEST(gguf_files_are_refused_as_they_deserve)
{
    for (size_t i = 0; i < FT_COUNT(good_ggufs); i++)
        ck_assert_ok(open_gguf(good_ggufs[i]));
    for (size_t i = 0; i < FT_COUNT(ggufs); i++)
        ck_assert_fails(open_gguf(ggufs[i].words), ggufs[i].status, ggufs[i].message);
}
END_TEST

static ft_status open_tensor(const ft_dtype *d, uint64_t count, uint64_t bytes)
{
    char words[160];
    snprintf(words, sizeof words, ONE_TENSOR "u32=1 u64=%llu u32=%d u64=0 pad=32 zero=%llu", (unsigned long long)count,
             (int)d->ggml_id, (unsigned long long)bytes);
    return open_gguf(words);
}

/* Of every stored type: blocks that are there, cut, no whole number, more than any file holds. */
START_TEST(every_type_comes_in_whole_blocks)
{
    for (size_t i = 0; ft_dtypes[i]; i++) {
        const ft_dtype *d = ft_dtypes[i];
        uint64_t len = (uint64_t)d->block_len, bytes = d->block_bytes;
        if (d->ggml_id < 0)
            continue;
        ck_assert_ok(open_tensor(d, 3 * len, 3 * bytes));
        ck_assert_fails(open_tensor(d, 3 * len, 3 * bytes - 1), FT_EFORMAT, "but the file holds");
        ck_assert_fails(open_tensor(d, 3 * len, 0), FT_EFORMAT, "but the file holds 0");
        ck_assert_fails(open_tensor(d, 0, bytes), FT_EFORMAT, "");
        ck_assert_fails(open_tensor(d, (uint64_t)1 << 62, 3 * bytes), FT_EFORMAT, "");
        if (len > 1)
            ck_assert_fails(open_tensor(d, 3 * len - 1, 3 * bytes), FT_EFORMAT, "no whole number of");
    }
}
END_TEST

static void put_safetensors(ft_buf *b, const char *header, size_t data)
{
    uint64_t n = strlen(header);
    static const char zeros[256];
    ck_assert_ok(ft_buf_put(b, &n, 8));
    ck_assert_ok(ft_buf_puts(b, header));
    ck_assert_ok(ft_buf_put(b, zeros, data));
}

static ft_status open_safetensors(const char *header, size_t data)
{
    ft_buf b = {0};
    put_safetensors(&b, header, data);
    ft_status st = open_bytes("golden.safetensors", &b);
    ft_buf_free(&b);
    return st;
}

typedef struct header {
    const char *json;
    size_t data;
    ft_status status;
    const char *message;
} header;
#define T(name, shape, offsets) "\"" name "\":{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":" offsets "}"
static const header headers[] = {
    {"[]", 0, FT_EFORMAT, "at byte 8: the header is no JSON object"},
    {"{", 0, FT_EFORMAT, "header:1: "},
    {"{" T("a", "[2]", "[0,8]") "," T("a", "[2]", "[8,16]") "}", 16, FT_EFORMAT, "duplicate object key"},
    {"{\"a\":7}", 0, FT_EFORMAT, "tensor \"a\": its entry is no object"},
    {"{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, FT_EFORMAT, "tensor \"a\": \"dtype\" is missing"},
    {"{\"a\":{\"dtype\":32,\"shape\":[2],\"data_offsets\":[0,8]}}", 8, FT_EFORMAT, "\"dtype\" is a number"},
    {"{\"a\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[0,8]}}", 8, FT_EUNSUPPORTED,
     "tensor \"a\": it has type I64, fettle reads F32, F16, BF16"},
    {"{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[8],\"data_offsets\":[0,8]}}", 8, FT_EUNSUPPORTED, "it has type F8_E4M3"},
    {"{" T("a", "2", "[0,8]") "}", 8, FT_EFORMAT, "\"shape\" is missing or no array"},
    {"{" T("a", "[2.0]", "[0,8]") "}", 8, FT_EFORMAT, "number 0 of \"shape\" is no integer"},
    {"{" T("a", "[-2]", "[0,8]") "}", 8, FT_EFORMAT, "number 0 of \"shape\" is no integer of 0 or more"},
    {"{" T("a", "[99999999999999999999]", "[0,8]") "}", 8, FT_EFORMAT, "number 0 of \"shape\" is no integer"},
    {"{" T("a", "[1,1,1,1,2]", "[0,8]") "}", 8, FT_EFORMAT, "\"shape\" has 5 numbers, at most 4"},
    {"{" T("a", "[0]", "[0,0]") "}", 0, FT_EFORMAT, "dimension 0 of [0] is not positive"},
    {"{" T("a", "[4611686018427387904,2]", "[0,8]") "}", 8, FT_EFORMAT, "overflows"},
    {"{" T("a", "[2]", "[0]") "}", 8, FT_EFORMAT, "is no [begin, end]"},
    {"{" T("a", "[2]", "[8,0]") "}", 8, FT_EFORMAT, "is no [begin, end]"},
    {"{" T("a", "[2]", "[0,9]") "}", 8, FT_EFORMAT, "its data ends at 9, but the file holds 8 bytes"},
    {"{" T("a", "[2]", "[9223372036854775800,9223372036854775807]") "}", 8, FT_EFORMAT,
     "its data ends at 9223372036854775807"},
    {"{" T("a", "[3]", "[0,8]") "}", 8, FT_EFORMAT, "span 8 bytes, expected 12 for F32 [3]"},
    {"{" T("a", "[2]", "[0,8]") "," T("b", "[2]", "[4,12]") "}", 12, FT_EFORMAT,
     "tensor \"b\" begins within tensor \"a\""},
    {"{" T("a", "[2]", "[0,8]") "," T("b", "[2]", "[12,20]") "}", 20, FT_EFORMAT,
     "4 bytes before tensor \"b\" belong to no tensor"},
    {"{" T("a", "[2]", "[0,8]") "}", 11, FT_EFORMAT, "3 bytes behind the last tensor"},
    {"{}", 4, FT_EFORMAT, "4 bytes behind the last tensor"},
    {"{" T("", "[2]", "[0,8]") "}", 8, FT_EFORMAT, "a tensor name is empty"},
    {"{" T("a\\u0000b", "[2]", "[0,8]") "}", 8, FT_EFORMAT, "NUL byte in object key"},
    {"{\"__metadata__\":3}", 0, FT_EFORMAT, "\"__metadata__\" is no object"},
    {"{\"__metadata__\":{\"a\":1}}", 0, FT_EFORMAT, "\"a\" is no string"},
    {"{\"__metadata__\":{\"\":\"x\"}}", 0, FT_EFORMAT, "a metadata key is empty"},
};

START_TEST(safetensors_files_are_refused_as_they_deserve)
{
    ft_buf b = {0};
    ck_assert_ok(open_safetensors("{}", 0));
    ck_assert_ok(open_safetensors("{" T("b", "[1,2]", "[8,16]") "," T("a", "[2]", "[0,8]") "}  ", 16));
    for (size_t i = 0; i < FT_COUNT(headers); i++)
        ck_assert_fails(open_safetensors(headers[i].json, headers[i].data), headers[i].status, headers[i].message);
    ck_assert_ok(ft_buf_put(&b, "\x02\0\0\0", 4));
    ck_assert_fails(open_bytes("a.safetensors", &b), FT_EFORMAT, "at byte 4: the file ends within the length");
    ck_assert_ok(ft_buf_put(&b, "\0\0\0\0{", 5));
    ck_assert_fails(open_bytes("a.safetensors", &b), FT_EFORMAT, "a header of 2 bytes, but 1 follow");
    b.p[7] = 1;
    ck_assert_fails(open_bytes("a.safetensors", &b), FT_EFORMAT,
                    "a header of 72057594037927938 bytes, at most 104857600");
    ft_buf_free(&b);
}
END_TEST

START_TEST(a_deep_header_is_refused)
{
    ft_buf b = {0};
    ck_assert_ok(ft_buf_puts(&b, "{\"a\":"));
    for (int i = 0; i < 100000; i++)
        ck_assert_ok(ft_buf_putc(&b, '['));
    ck_assert_fails(open_safetensors(b.p, 0), FT_EFORMAT, "maximum parsing depth");
    ft_buf_free(&b);
}
END_TEST

/* ---- shards ---- */

static void write_shard(const char *dir, const char *name, const char *json, size_t data)
{
    ft_buf b = {0};
    put_safetensors(&b, json, data);
    ck_assert_ok(ft_write_file(ft_test_path(dir, name), b.p, b.n));
    ft_buf_free(&b);
}

static ft_status open_sharded(const char *dir, const char *index)
{
    ft_container *c;
    ck_assert_ok(ft_write_file(ft_test_path(dir, "model.safetensors.index.json"), index, strlen(index)));
    ft_status st = ft_container_open(&c, dir);
    if (st == FT_OK)
        ft_container_close(c);
    return st;
}

static const golden indices[] = {
    {"{}", FT_EFORMAT, "\"weight_map\" is missing or empty"},
    {"[", FT_EFORMAT, "index.json:1:"},
    {"{\"weight_map\":{\"a\":7}}", FT_EFORMAT, "weight_map: \"a\" is no file name"},
    {"{\"weight_map\":{\"a\":\"../1.safetensors\"}}", FT_EFORMAT,
     "\"a\" lies in \"../1.safetensors\", expected a file name without a path"},
    {"{\"weight_map\":{\"a\":\"/etc/passwd\"}}", FT_EFORMAT, "without a path"},
    {"{\"weight_map\":{\"a\":\"..\"}}", FT_EFORMAT, "without a path"},
    {"{\"weight_map\":{\"a\":\"\"}}", FT_EFORMAT, "without a path"},
    {"{\"weight_map\":{\"a\":\"1\\u0000\"}}", FT_EFORMAT, "\"a\" is no file name"},
    {"{\"weight_map\":{\"a\":\"1\",\"b\":\"9\"}}", FT_EINPUT, "its shard 9 is not beside it"},
    {"{\"weight_map\":{\"a\":\"1\",\"b\":\"1\",\"c\":\"2\"}}", FT_EFORMAT,
     "promises \"b\" in 1, which does not hold it"},
    {"{\"weight_map\":{\"a\":\"1\",\"x\":\"2\"}}", FT_EFORMAT, "promises \"x\" in 2, which does not hold it"},
    {"{\"weight_map\":{\"a\":\"1\",\"d\":\"3\"}}", FT_EFORMAT, "the tensor name \"a\" stands there twice"},
    {"{\"weight_map\":{\"a\":\"1\",\"e\":\"4\"}}", FT_EFORMAT, "ends within the length of its header"},
};

START_TEST(a_sharded_model_is_read_as_one)
{
    const char *dir = strdup(ft_test_dir());
    ft_container *c;
    ft_str s;
    write_shard(dir, "1", "{\"__metadata__\":{\"format\":\"pt\",\"n\":\"1\"}," T("a", "[2]", "[0,8]") "}", 8);
    write_shard(
        dir, "2",
        "{\"__metadata__\":{\"format\":\"pt\",\"n\":\"2\"}," T("b", "[3]", "[0,12]") "," T("c", "[1]", "[12,16]") "}",
        16);
    write_shard(dir, "3", "{" T("a", "[2]", "[0,8]") "," T("d", "[2]", "[8,16]") "}", 16);
    ck_assert_ok(ft_write_file(ft_test_path(dir, "4"), "x", 1));
    ck_assert_ok(
        open_sharded(dir, "{\"metadata\":{\"total_size\":24},\"weight_map\":{\"a\":\"1\",\"b\":\"2\",\"c\":\"2\"}}"));
    ck_assert_ok(ft_container_open(&c, dir));
    ck_assert_str_eq(ft_container_format(c), "safetensors");
    ck_assert_uint_eq(ft_container_count(c), 3);
    ck_assert_int_eq(ft_container_find(c, "b")->t.shape[0], 3);
    ck_assert(ft_meta_str(ft_container_meta(c, "n"), &s) && ft_str_is(s, "1"));
    ft_container_close(c);
    for (size_t i = 0; i < FT_COUNT(indices); i++) {
        ck_assert_fails(open_sharded(dir, indices[i].words), indices[i].status, indices[i].message);
        ck_assert_msg(strstr(ft_error(), dir) != NULL, "%s", ft_error());
    }
    free((char *)dir);
}
END_TEST

/* ctx: a directory with the shards 1 and 2, whose index becomes the damaged one. */
static ft_status open_damaged_index(const char *path, void *ctx)
{
    ft_buf b = {0};
    ft_container *c;
    ck_assert_ok(ft_read_file(&b, path, 1 << 20));
    FILE *f = fopen(ft_test_path(ctx, "model.safetensors.index.json"), "wb");
    ck_assert_uint_eq(fwrite(b.p, 1, b.n, f), b.n);
    fclose(f);
    ft_buf_free(&b);
    FT_RETURN(ft_container_open(&c, ctx));
    ft_container_close(c);
    return FT_OK;
}

START_TEST(a_damaged_index_and_failed_allocations_are_survived)
{
    static const char index[] =
        "{\"metadata\":{\"total_size\":24},\"weight_map\":{\"a\":\"1\",\"b\":\"2\",\"c\":\"2\"}}";
    char *dir = strdup(ft_test_dir()), *copy = strdup(ft_test_path(ft_test_dir(), "index"));
    ft_status st = FT_ENOMEM;
    int n = 1;
    write_shard(dir, "1", "{" T("a", "[2]", "[0,8]") "}", 8);
    write_shard(dir, "2", "{" T("b", "[3]", "[0,12]") "," T("c", "[1]", "[12,16]") "}", 16);
    ck_assert_ok(ft_write_file(copy, index, sizeof index - 1));
    ck_assert_ok(open_damaged_index(copy, dir));
    for (; st != FT_OK && n < 500; n++) {
        ft_container *c;
        ft_alloc_fail_at(n);
        if ((st = ft_container_open(&c, dir)) == FT_OK)
            ft_container_close(c);
        ft_alloc_fail_at(0);
        ck_assert_msg(st == FT_OK || st == FT_ENOMEM, "n %d: %d %s", n, st, ft_error());
    }
    ck_assert_int_gt(n, 20);
    ck_assert_int_gt(ft_test_damage(copy, 2000, 51, open_damaged_index, dir), 1500);
    free(dir);
    free(copy);
}
END_TEST

int main(void)
{
    FT_TESTS("golden_bad", gguf_files_are_refused_as_they_deserve, every_type_comes_in_whole_blocks,
             safetensors_files_are_refused_as_they_deserve,
             a_deep_header_is_refused, a_sharded_model_is_read_as_one,
             a_damaged_index_and_failed_allocations_are_survived);
}
