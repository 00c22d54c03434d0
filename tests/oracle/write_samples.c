/* Writes one file of each format that fettle writes into a directory, for check_samples.py to read. usage:
 * write_samples DIR */
#include "base/os.h"
#include "file/container.h"
#include "file/json.h"
#include "file/store.h"

#include <stdio.h>
#include <string.h>

static float element(int64_t i)
{
    return (float)((i * 37) % 101 - 50) / 8;
}

/* f32[3, 5], bf16[7], f16[1, 2, 3, 4] and, where the format has it, q8_0[2, 64]: element(i), i over the tensor. */
static ft_status write_tensors(ft_writer *w, bool quantized)
{
    static const int64_t a[] = {3, 5}, b[] = {7}, c[] = {1, 2, 3, 4}, d[] = {2, 64};
    const struct {
        const char *name;
        const ft_dtype *dtype;
        int ndim;
        const int64_t *shape;
        int64_t count;
    } all[] = {{"blk.0.a.weight", &ft_f32, 2, a, 15},
               {"b", &ft_bf16, 1, b, 7},
               {"c", &ft_f16, 4, c, 24},
               {"d", &ft_q8_0, 2, d, 128}};
    size_t n = quantized ? 4 : 3;
    for (size_t i = 0; i < n; i++)
        FT_RETURN(ft_writer_tensor(w, all[i].name, all[i].dtype, all[i].ndim, all[i].shape));
    for (size_t i = 0; i < n; i++) {
        float x[128];
        char bytes[sizeof x];
        for (int64_t k = 0; k < all[i].count; k++)
            x[k] = element(k);
        all[i].dtype->encode(x, NULL, all[i].count, bytes);
        FT_RETURN(
            ft_writer_data(w, bytes, (size_t)(all[i].count / all[i].dtype->block_len) * all[i].dtype->block_bytes));
    }
    return FT_OK;
}

static ft_status write_meta(ft_writer *w, bool arrays)
{
    static const ft_str words[] = {{"<s>", 3},
                                   {"", 0},
                                   {"\xe2\x96\x81"
                                    "a",
                                    4}};
    static const int32_t integers[] = {-1, 0, INT32_MAX};
    static const float floats[] = {0.5f, -3.25f};
    FT_RETURN(ft_writer_str(w, "general.architecture", ft_str_of("llama")));
    FT_RETURN(ft_writer_u32(w, "u32", 4000000000u));
    FT_RETURN(ft_writer_i32(w, "i32", -7));
    FT_RETURN(ft_writer_u64(w, "u64", UINT64_MAX));
    FT_RETURN(ft_writer_f32(w, "f32", 0.25f));
    FT_RETURN(ft_writer_bool(w, "bool", true));
    if (!arrays)
        return FT_OK;
    FT_RETURN(ft_writer_str_array(w, "words", words, 3));
    FT_RETURN(ft_writer_i32_array(w, "integers", integers, 3));
    return ft_writer_f32_array(w, "floats", floats, 2);
}

static ft_status write_container(const char *dir, const char *name, const char *format)
{
    ft_writer *w;
    char path[4096];
    bool gguf = strcmp(format, "gguf") == 0;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FT_RETURN(ft_writer_open(&w, format, path));
    ft_status st = write_meta(w, gguf);
    if (st == FT_OK)
        st = write_tensors(w, gguf);
    if (st == FT_OK)
        return ft_writer_commit(w);
    ft_writer_abort(w);
    return st;
}

static ft_status write_store(const char *dir)
{
    static float x[600 * 1000];
    static const int64_t whole[] = {600, 1000}, five[] = {5}, none[] = {0};
    static const int64_t integers[] = {INT64_MIN, -1, 0, 1, INT64_MAX};
    ft_store *s;
    char path[4096];
    ft_status st = FT_OK;
    snprintf(path, sizeof path, "%s/sample.h5", dir);
    FT_RETURN(ft_store_create(&s, path));
    for (int64_t i = 0; i < 600 * 1000; i++)
        x[i] = element(i);
    FT_TRY(ft_store_put(s, "moments/a/m", FT_STORE_F32, 2, whole, x, 0));
    FT_TRY(ft_store_put(s, "moments/a/v", FT_STORE_F32, 2, whole, x, 6));
    FT_TRY(ft_store_put(s, "cursor", FT_STORE_I64, 1, five, integers, 0));
    FT_TRY(ft_store_put(s, "none", FT_STORE_U8, 1, none, NULL, 0));
    FT_TRY(ft_store_put_i64(s, "step", 1234567890123));
    FT_TRY(ft_store_put_f64(s, "best", 0.1));
    FT_TRY(ft_store_put_str(s, "recipe", "lora_r: 16\n# \xc3\xa9\n"));
    return ft_store_commit(s);
done:
    ft_store_abort(s);
    return st;
}

static ft_status write_json(const char *dir)
{
    char path[4096];
    json_t *j = json_pack("{s:[f,f,i,b,n], s:{s:s, s:{}, s:[]}}", "z", 0.1, 1e-300, -5, 1, "a", "text",
                          "\"\\\n\x01 \xc3\xa9", "o", "l");
    if (!j)
        return FT_ENOMEM;
    snprintf(path, sizeof path, "%s/sample.json", dir);
    ft_status st = ft_json_write(j, path);
    json_decref(j);
    return st;
}

int main(int argc, char **argv)
{
    const char *dir = argc == 2 ? argv[1] : ".";
    if (write_container(dir, "sample.safetensors", "safetensors") != FT_OK ||
        write_container(dir, "sample.gguf", "gguf") != FT_OK || write_store(dir) != FT_OK || write_json(dir) != FT_OK) {
        fprintf(stderr, "%s\n", ft_error());
        return 1;
    }
    return 0;
}
