#include "cmd/survival.h"

#include <math.h>
#include <string.h>

static ft_status worst_of(const ft_survival_list *s, const ft_survival_row **out)
{
    const ft_survival_row **rows;
    FT_RETURN(ft_survival_worst(s, &rows));
    *out = rows[0];
    ft_free(rows);
    return FT_OK;
}

const char *ft_survival_line(const ft_survival_list *s, char buf[256])
{
    const ft_survival_row *worst;
    buf[0] = 0;
    if (s->n && worst_of(s, &worst) == FT_OK)
        snprintf(buf, 256, "survival of the update %.3f, worst %.3f (%s, %s)", ft_survival_cosine(&s->total),
                 ft_survival_cosine(&worst->survival), worst->name, worst->dtype->name);
    return buf;
}

/* Of the other folders, which hold floats, f32 keeps everything. */
static ft_status cheapest(const char **name, const ft_export_request *r, const ft_exporter *e, double least)
{
    const ft_mix *mix = NULL;
    *name = "f32";
    if (!e->suffix)
        return FT_OK;
    FT_RETURN(ft_survival_cheapest(&mix, r, least));
    *name = mix ? mix->name : NULL;
    return FT_OK;
}

ft_status ft_survival_warn(const ft_export_request *r, const ft_exporter *e, double least)
{
    const ft_survival_list *s = r->survival;
    const ft_survival_row *worst;
    const char *name;
    if (!s->n || !(ft_survival_cosine(&s->total) < least))
        return FT_OK;
    FT_RETURN(worst_of(s, &worst));
    FT_RETURN(cheapest(&name, r, e, least));
    ft_note(FT_WARN, "%s: rounding leaves %.2f of the adapter's update, expected at least %.2f (worst: %s in %s, %.2f)%s%s",
            r->path, ft_survival_cosine(&s->total), least, worst->name, worst->dtype->name,
            ft_survival_cosine(&worst->survival), name ? "; the cheapest type that keeps it: " : "", name ? name : "");
    return FT_OK;
}

ft_status ft_survival_put(json_t *o, const ft_survival_list *s, bool all)
{
    json_t *survival;
    if (!s->n)
        return FT_OK;
    FT_RETURN(ft_survival_json(&survival, s, all ? 0 : FT_SURVIVAL_SHOWN));
    return json_object_set_new(o, "survival", survival) == 0 ? FT_OK : ft_fail(FT_ENOMEM, "no memory for the result");
}
