#include "cmd/layers.h"

#include "base/str.h"

#include <string.h>

/* Digits from *p on; false where there are none. */
static bool number(const char **p, int64_t *out)
{
    const char *from = *p;
    for (*out = 0; **p >= '0' && **p <= '9' && *p - from < 9; ++*p)
        *out = *out * 10 + (**p - '0');
    return *p > from;
}

bool ft_layers_read(const char *text, ft_layer_range *out)
{
    static const char last[] = "last ";
    bool from_end = ft_starts(text, last);
    const char *p = text + (from_end ? sizeof last - 1 : 0);
    int64_t first, to;
    *out = (ft_layer_range){0, INT64_MAX};
    if (strcmp(text, "all") == 0)
        return true;
    if (!number(&p, &first))
        return false;
    out->first = from_end ? -first : first;
    if (from_end)
        return !*p && first > 0;
    if (!*p) {
        out->end = first + 1;
        return true;
    }
    if (*p++ != '-')
        return false;
    if (!*p)
        return true;
    if (!number(&p, &to) || *p || to < first)
        return false;
    out->end = to + 1;
    return true;
}

/* A range with both its ends counted from the first block. */
static ft_status resolve(ft_layer_range *r, int64_t L)
{
    if (r->first < -L)
        return ft_fail(FT_EINPUT, "the last %lld layers are asked for, the model has %lld", (long long)-r->first,
                       (long long)L);
    if (r->first < 0)
        r->first += L;
    if (r->end == INT64_MAX)
        r->end = FT_MAX(L, r->first + 1);
    if (r->end > L)
        return ft_fail(FT_EINPUT, "layer %lld is asked for, the model has the layers 0 to %lld", (long long)r->end - 1,
                       (long long)L - 1);
    return FT_OK;
}

ft_status ft_layers_of(int64_t **out, size_t *n, const ft_layer_range *ranges, size_t n_ranges, int64_t L)
{
    ft_status st = FT_ENOMEM;
    bool *chosen = ft_alloc((size_t)L, sizeof *chosen);
    *n = 0;
    *out = ft_alloc((size_t)L, sizeof **out);
    if (!chosen || !*out)
        goto done;
    for (size_t i = 0; i < n_ranges; i++) {
        ft_layer_range r = ranges[i];
        FT_TRY(resolve(&r, L));
        for (int64_t k = r.first; k < r.end; k++)
            chosen[k] = true;
    }
    for (int64_t k = 0; k < L; k++)
        if (chosen[k])
            (*out)[(*n)++] = k;
    if (*n == (size_t)L)
        *n = 0;
    st = FT_OK;
done:
    ft_free(chosen);
    if (st != FT_OK) {
        ft_free(*out);
        *out = NULL;
    }
    return st;
}
