/* The validation split: whole groups of rows with one prompt go to one side, in an order drawn from the seed, until the
 * wanted number is reached. So a prompt is never trained on and evaluated on, whatever its answers.
 */
#include "base/rng.h"
#include "data/data_room.h"

#include <math.h>

/* group[i]: number of the group of row i, in order of first appearance; size[g]. Rows without a prompt stand alone. */
static ft_status group_rows(const ft_dataset *d, int64_t *group, int64_t *size, size_t *n_groups)
{
    ft_map *m = ft_map_new();
    ft_status st = m ? FT_OK : FT_ENOMEM;
    *n_groups = 0;
    for (size_t i = 0; i < d->n && st == FT_OK; i++) {
        const ft_example *e = &d->examples[i];
        uint64_t hash = ft_data__hash_prompt(e);
        int64_t first = 0;
        bool alone = e->kind == FT_COMPLETION && ft_data__blank(e->messages[0].content);
        if (!alone && ft_map_get(m, (const char *)&hash, sizeof hash, &first) &&
            ft_data__same_prompt(&d->examples[first], e)) {
            group[i] = group[first];
        } else {
            group[i] = (int64_t)(*n_groups)++;
            if (!alone)
                st = ft_map_put(m, (const char *)&hash, sizeof hash, (int64_t)i);
        }
        size[group[i]]++;
    }
    ft_map_free(m);
    return st;
}

/* chosen[g] = 1 for groups of the held-out side: in drawn order, until `want` rows are reached. */
static void choose_groups(const int64_t *order, const int64_t *size, size_t n_groups, int64_t want, int64_t *chosen)
{
    for (size_t i = 0; i < n_groups && want > 0; i++) {
        chosen[order[i]] = 1;
        want -= size[order[i]];
    }
}

static ft_status move_chosen(ft_dataset *train, ft_dataset *held_out, const int64_t *group, const int64_t *chosen)
{
    size_t kept = 0;
    for (size_t i = 0; i < train->n; i++)
        if (chosen[group[i]])
            FT_RETURN(ft_data__add_from(held_out, train, &train->examples[i]));
    for (size_t i = 0; i < train->n; i++)
        if (!chosen[group[i]])
            train->examples[kept++] = train->examples[i];
    train->n = kept;
    return FT_OK;
}

ft_status ft_dataset_split(ft_dataset *train, ft_dataset *held_out, double share, uint64_t seed)
{
    ft_status st = FT_OK;
    size_t n = train->n, n_groups;
    double rows = share < 1 ? floor(share * (double)n + 0.5) : floor(share);
    if (!(share > 0))
        return FT_OK;
    int64_t want = (int64_t)FT_MAX(FT_MIN(rows, (double)n), 1.0);
    int64_t *group = ft_alloc(n, sizeof *group), *size = ft_alloc(n, sizeof *size);
    int64_t *order = ft_alloc(n, sizeof *order), *chosen = ft_alloc(n, sizeof *chosen);
    if (!group || !size || !order || !chosen) {
        st = FT_ENOMEM;
        goto done;
    }
    FT_TRY(group_rows(train, group, size, &n_groups));
    ft_permutation(order, n_groups, seed, FT_STREAM_SPLIT, 0);
    choose_groups(order, size, n_groups, want, chosen);
    size_t out = 0;
    for (size_t i = 0; i < n; i++)
        out += chosen[group[i]] != 0;
    if (out == n)
        st = ft_fail(FT_EINPUT, "a validation split of %g would leave nothing of %zu rows (%zu prompts) to train on",
                     share, n, n_groups);
    else
        st = move_chosen(train, held_out, group, chosen);
done:
    ft_free(group);
    ft_free(size);
    ft_free(order);
    ft_free(chosen);
    return st;
}
