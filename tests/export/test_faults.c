/* When an export cannot be finished: nothing half-written under a final name, nothing lost that stood there. */
#include "export/tiny.h"

#include <sys/stat.h>

typedef struct fixture {
    const char *dir, *base;
    ft_model *m;
    tiny t;
} fixture;

static fixture set_up(void)
{
    fixture f = {.dir = ft_test_dir(), .t = {.tied = true}};
    f.base = tiny_base(f.dir, &f.t);
    f.m = tiny_open(f.base);
    tiny_adapt(f.m, &f.t);
    return f;
}

static ft_status export_to(const fixture *f, const ft_exporter *e, const char *path)
{
    ft_export_request r = {.model = f->m, .path = path, .base_name = f->base};
    return e->write(&r);
}

static const char *out_of(const fixture *f, const ft_exporter *e)
{
    return ft_test_path(f->dir, e->suffix ? "out.gguf" : "out");
}

static const char *const before[] = {"config.json", "base"};
static const char *const after[] = {"config.json", "base", "out", "out.gguf"};

START_TEST(a_failed_write_leaves_nothing)
{
    fixture f = set_up();
    for (size_t i = 0; ft_exporters[i]; i++) {
        const ft_exporter *e = ft_exporters[i];
        ft_write_fail_at(0);
        ck_assert_ok(export_to(&f, e, ft_test_path(f.dir, "count")));
        long writes = ft_write_fail_at(0);
        ck_assert_int_ge(writes, 1);
        char command[700];
        snprintf(command, sizeof command, "rm -r '%s/count'", f.dir);
        ck_assert_int_eq(system(command), 0);
        for (long n = 1; n <= writes; n++) {
            ft_write_fail_at(n);
            ck_assert_fails(export_to(&f, e, out_of(&f, e)), FT_EIO, "cannot write");
            tiny_only(f.dir, before, FT_COUNT(before));
        }
        ft_write_fail_at(0);
    }
    ft_model_free(f.m);
}
END_TEST

static ft_buf bytes_of(const char *path)
{
    ft_buf b = {0};
    ck_assert_ok(ft_read_file(&b, path, 1 << 24));
    return b;
}

START_TEST(a_failed_write_keeps_the_earlier_export)
{
    fixture f = set_up();
    for (size_t i = 0; ft_exporters[i]; i++) {
        const ft_exporter *e = ft_exporters[i];
        const char *out = out_of(&f, e);
        const char *file = out;
        if (!e->suffix)
            file = ft_test_path(out, e->needs_adapter ? "adapter_model.safetensors" : "model.safetensors");
        ck_assert_ok(export_to(&f, e, out));
        ft_buf was = bytes_of(file);
        ft_write_fail_at(1);
        ck_assert_fails(export_to(&f, e, out), FT_EIO, "cannot write");
        ft_write_fail_at(0);
        ft_buf is = bytes_of(file);
        ck_assert_uint_eq(was.n, is.n);
        ck_assert_mem_eq(was.p, is.p, was.n);
        ft_buf_free(&was);
        ft_buf_free(&is);
        tiny_only(f.dir, after, FT_COUNT(after));
    }
    ft_model_free(f.m);
}
END_TEST

START_TEST(every_failed_allocation_is_an_error_and_leaves_nothing)
{
    fixture f = set_up();
    for (size_t i = 0; ft_exporters[i]; i++) {
        const ft_exporter *e = ft_exporters[i];
        const char *out = out_of(&f, e);
        bool through = false;
        long n = 0;
        /* until an export is through before the n-th allocation comes */
        while (!through) {
            ft_alloc_fail_at(++n);
            ft_status st = export_to(&f, e, out);
            through = ft_alloc_fail_at(0) < n && st == FT_OK;
            ck_assert_msg(st == FT_OK || st == FT_ENOMEM, "allocation %ld: status %d: %s", n, st, ft_error());
            ck_assert_msg(st != FT_OK || ft_exists(out), "allocation %ld", n);
            tiny_only(f.dir, after, FT_COUNT(after));
        }
        ck_assert_int_gt(n, 20);
    }
    ft_model_free(f.m);
}
END_TEST

START_TEST(an_earlier_export_is_replaced_whole)
{
    fixture f = set_up();
    const char *out = ft_test_path(f.dir, "out");
    ft_export_request r = {.model = f.m, .path = out, .shard_bytes = 60000};
    ck_assert_ok(ft_exporter_named("hf")->write(&r));
    ck_assert(ft_exists(ft_test_path(out, "model.safetensors.index.json")));
    ck_assert_ok(export_to(&f, ft_exporter_named("hf"), out));
    static const char *const files[] = {"config.json", "model.safetensors", "fettle.json"};
    tiny_only(out, files, 3);
    ck_assert_ok(export_to(&f, ft_exporter_named("peft"), out));
    static const char *const peft[] = {"adapter_config.json", "adapter_model.safetensors", "README.md", "fettle.json"};
    tiny_only(out, peft, 4);
    ft_model_free(f.m);
}
END_TEST

START_TEST(a_folder_with_other_files_is_refused)
{
    fixture f = set_up();
    const char *out = ft_test_path(f.dir, "out");
    static const char *const strangers[] = {"notes.txt", ".git", "checkpoint.h5"};
    for (size_t i = 0; i < FT_COUNT(strangers); i++) {
        const char *file = ft_test_path(out, strangers[i]);
        ck_assert_ok(ft_mkdirs(out));
        ck_assert_ok(ft_write_file(file, "x", 1));
        ck_assert_fails(export_to(&f, ft_exporter_named("hf"), out), FT_EINPUT, strangers[i]);
        ck_assert(ft_exists(file));
        unlink(file);
    }
    ck_assert_ok(ft_mkdirs(ft_test_path(out, "model.safetensors")));
    ck_assert_fails(export_to(&f, ft_exporter_named("hf"), out), FT_EINPUT, "model.safetensors");
    ft_model_free(f.m);
}
END_TEST

/* A model with usual names that fettle did not write, or that no longer says so, is somebody's only copy. */
START_TEST(a_folder_that_fettle_did_not_write_is_refused)
{
    fixture f = set_up();
    const char *out = ft_test_path(f.dir, "out"), *marker = ft_test_path(out, "fettle.json");
    ck_assert_ok(export_to(&f, ft_exporter_named("hf"), out));
    ft_buf model = bytes_of(ft_test_path(out, "model.safetensors"));
    static const char *const wrong[] = {NULL, "{}", "{\"program\": \"other\"}", "no json"};
    for (size_t i = 0; i < FT_COUNT(wrong); i++) {
        unlink(marker);
        if (wrong[i])
            ck_assert_ok(ft_write_file(marker, wrong[i], strlen(wrong[i])));
        ck_assert_fails(export_to(&f, ft_exporter_named("peft"), out), FT_EINPUT, "fettle did not write it");
        ft_buf is = bytes_of(ft_test_path(out, "model.safetensors"));
        ck_assert_uint_eq(is.n, model.n);
        ft_buf_free(&is);
    }
    ft_buf_free(&model);
    ft_model_free(f.m);
}
END_TEST

START_TEST(the_adapter_in_use_is_never_overwritten)
{
    fixture f = set_up();
    const char *out = ft_test_path(f.dir, "out");
    ck_assert_ok(export_to(&f, ft_exporter_named("peft"), out));
    ft_adapter_detach(f.m);
    ck_assert_ok(ft_adapter_load(f.m, out, false));
    for (size_t i = 0; ft_exporters[i]; i++)
        if (strcmp(ft_exporters[i]->name, "gguf"))
            ck_assert_fails(export_to(&f, ft_exporters[i], out), FT_EINPUT, "replace the adapter");
    ft_adapter_detach(f.m);
    ck_assert_ok(export_to(&f, ft_exporter_named("hf"), out));
    ft_model_free(f.m);
}
END_TEST

START_TEST(the_base_is_never_overwritten)
{
    fixture f = set_up();
    ck_assert_fails(export_to(&f, ft_exporter_named("hf"), f.base), FT_EINPUT, "replace the model");
    char twisted[600];
    snprintf(twisted, sizeof twisted, "%s/../base/", f.base);
    ck_assert_fails(export_to(&f, ft_exporter_named("hf"), twisted), FT_EINPUT, "replace the model");
    ft_model_free(f.m);
}
END_TEST

START_TEST(a_target_of_the_wrong_kind_is_refused)
{
    fixture f = set_up();
    const char *file = ft_test_path(f.dir, "config.json");
    ck_assert_fails(export_to(&f, ft_exporter_named("hf"), file), FT_EINPUT, "is a file");
    ck_assert_fails(export_to(&f, ft_exporter_named("gguf"), f.dir), FT_EINPUT, "is a directory");
    ft_export_request r = {.model = f.m, .path = ft_test_path(f.dir, "x"), .dtype = &ft_q8_0};
    ck_assert_fails(ft_exporter_named("hf")->write(&r), FT_EUNSUPPORTED, "f32|f16|bf16");
    ft_adapter_detach(f.m);
    ck_assert_fails(export_to(&f, ft_exporter_named("peft"), ft_test_path(f.dir, "x")), FT_EINPUT, "needs an adapter");
    ft_model_free(f.m);
}
END_TEST

START_TEST(weights_that_no_number_can_hold_are_refused)
{
    fixture f = set_up();
    ft_param *b = ft_model_trainable(f.m, 1);
    float *values = b->t.data;
    const char *gguf = ft_test_path(f.dir, "out.gguf");
    ft_export_request r = {.model = f.m, .path = gguf, .dtype = &ft_f16};
    values[0] = 1e7f;
    ck_assert_fails(ft_exporter_named("gguf")->write(&r), FT_ENUMERIC, "too large for f16; bf16 and f32");
    r.dtype = &ft_bf16;
    ck_assert_ok(ft_exporter_named("gguf")->write(&r));
    unlink(gguf);
    values[0] = NAN;
    ck_assert_fails(ft_exporter_named("gguf")->write(&r), FT_ENUMERIC, "not finite");
    tiny_only(f.dir, before, FT_COUNT(before));
    ft_model_free(f.m);
}
END_TEST

static bool stop_at_three(void *ctx, const char *what, size_t done, size_t total)
{
    ck_assert_uint_le(done, total);
    return done < 3;
}

START_TEST(a_stop_request_leaves_nothing)
{
    fixture f = set_up();
    for (size_t i = 0; ft_exporters[i]; i++) {
        ft_export_request r = {.model = f.m, .path = out_of(&f, ft_exporters[i]), .progress = stop_at_three};
        ck_assert_fails(ft_exporters[i]->write(&r), FT_ESTOPPED, "stopped after 3 of");
        tiny_only(f.dir, before, FT_COUNT(before));
    }
    ft_model_free(f.m);
}
END_TEST

int main(void)
{
    FT_TESTS("export-faults", a_failed_write_leaves_nothing, a_failed_write_keeps_the_earlier_export,
             every_failed_allocation_is_an_error_and_leaves_nothing, an_earlier_export_is_replaced_whole,
             a_folder_with_other_files_is_refused,
             a_folder_that_fettle_did_not_write_is_refused, the_adapter_in_use_is_never_overwritten, the_base_is_never_overwritten, a_target_of_the_wrong_kind_is_refused,
             weights_that_no_number_can_hold_are_refused, a_stop_request_leaves_nothing);
}
