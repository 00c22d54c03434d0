#include "cmd/base_scores.h"

#include <math.h>
#include <string.h>

enum { MAX_BYTES = 1 << 24 };

const char ft_base_scores_file[] = "base-scores.json";

static char *path_of(const ft_job *j)
{
    return ft_path_join(j->plan.output_dir, ft_base_scores_file);
}

/* What the rows are told by from others of the same number. */
static void hash_text(char text[24], const ft_job *j)
{
    snprintf(text, 24, "%016llx", (unsigned long long)ft_rows_hash(ft_job_scored(j)));
}

ft_status ft_base_scores_keep(const ft_outcome *o, const ft_job *j)
{
    const ft_scores *s = &o->columns[0].scores;
    json_t *out = json_object();
    char *path = path_of(j);
    char hash[24];
    hash_text(hash, j);
    ft_result_int(out, "rows", s->rows);
    ft_result_text(out, "rows_hash", hash);
    ft_result_int(out, "supervised_tokens", s->supervised_tokens);
    ft_result_int(out, "generated_tokens", s->generated_tokens);
    ft_result_real(out, "time_s", s->seconds);
    ft_result_scores(ft_result_object(out, "scores"), s);
    json_t *samples = ft_result_list(out, "samples");
    for (size_t i = 0; i < o->n_samples; i++) {
        json_t *row = ft_result_row(samples);
        ft_result_text(row, "prompt", o->prompts[i]);
        ft_result_text(row, "expected", o->expected[i]);
        ft_result_text(row, "base", o->base[i]);
    }
    ft_status st = path ? ft_json_write(out, path) : FT_ENOMEM;
    ft_free(path);
    json_decref(out);
    return st;
}

/* Every metric of the table, in its order; false when one is not there. */
static bool take_metrics(ft_scores *s, const ft_plan *p, const json_t *scores)
{
    for (size_t i = 0; i < p->n_shown; i++) {
        const json_t *v = json_object_get(scores, p->shown[i]->name);
        if (!v)
            return false;
        s->metric[s->n] = p->shown[i];
        s->value[s->n++] = json_is_number(v) ? json_number_value(v) : NAN;
    }
    return true;
}

static ft_status take_text(char **out, const json_t *row, const char *key)
{
    const char *text;
    FT_RETURN(ft_json_str(row, key, ft_base_scores_file, NULL, &text));
    if (text && !(*out = ft_strdup(text)))
        return FT_ENOMEM;
    return FT_OK;
}

static ft_status take_samples(ft_outcome *o, const json_t *samples)
{
    size_t n = FT_MIN(json_array_size(samples), (size_t)FT_MAX_SAMPLES);
    for (size_t i = 0; i < n; i++) {
        const json_t *row = json_array_get(samples, i);
        FT_RETURN(take_text(&o->prompts[i], row, "prompt"));
        FT_RETURN(take_text(&o->expected[i], row, "expected"));
        FT_RETURN(take_text(&o->base[i], row, "base"));
    }
    o->n_samples = n;
    return FT_OK;
}

static ft_status take(ft_outcome *o, const ft_job *j, const json_t *in, bool *found)
{
    ft_scores s = {0};
    const ft_rows *rows = ft_job_scored(j);
    const char *hash;
    char now[24];
    hash_text(now, j);
    FT_RETURN(ft_json_str(in, "rows_hash", ft_base_scores_file, "", &hash));
    FT_RETURN(ft_json_i64(in, "rows", ft_base_scores_file, 0, &s.rows));
    FT_RETURN(ft_json_i64(in, "supervised_tokens", ft_base_scores_file, 0, &s.supervised_tokens));
    FT_RETURN(ft_json_i64(in, "generated_tokens", ft_base_scores_file, 0, &s.generated_tokens));
    FT_RETURN(ft_json_f64(in, "time_s", ft_base_scores_file, 0, &s.seconds));
    if (s.rows != (int64_t)rows->n || strcmp(hash, now) != 0 || !take_metrics(&s, &j->plan, json_object_get(in, "scores")))
        return FT_OK;
    FT_RETURN(take_samples(o, json_object_get(in, "samples")));
    ft_report_column *c;
    FT_RETURN(ft_outcome_column(o, ft_outcome_start(j), &c));
    c->scores = s;
    *found = true;
    return FT_OK;
}

ft_status ft_base_scores_take(ft_outcome *o, const ft_job *j, bool *found)
{
    json_t *in = NULL;
    char *path = path_of(j);
    ft_status st = path ? FT_OK : FT_ENOMEM;
    *found = false;
    if (st == FT_OK && ft_exists(path)) {
        st = ft_json_file(&in, path, MAX_BYTES);
        if (st == FT_OK)
            st = take(o, j, in, found);
        if (st == FT_EFORMAT) {
            ft_note(FT_NOTE, "%s; the base is scored again", ft_error());
            st = FT_OK;
        }
    }
    json_decref(in);
    ft_free(path);
    return st;
}
