/* Functions of the Jinja that chat templates use. */
#include "text/jinja_impl.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#define FT_JINJA_FUNCTION(name, function, parameters) ft_status function(ft_jrun *r, ft_jcall *c, ft_jval *out);
#include "text/jinja_functions.def"
#undef FT_JINJA_FUNCTION

enum { MAX_RANGE = 100000 }; /* the sandbox's own */

static ft_status named_arguments(ft_jrun *r, ft_jcall *c, ft_jkind kind, ft_jval *out)
{
    FT_RETURN(ft_jval__dict(r, kind, out));
    if (c->args->n > 1 || (c->args->n == 1 && c->args->p[0].kind != FT_J_DICT))
        return ft_jrun__fail(r, "expected a map, or arguments with names");
    for (size_t i = 0; c->args->n && i < c->args->p[0].d->n; i++)
        FT_RETURN(ft_jdict__put(r, out->d, c->args->p[0].d->keys[i], c->args->p[0].d->values[i]));
    for (size_t i = 0; i < c->args->n_named; i++) {
        ft_jval key;
        FT_RETURN(ft_jval__str(r, c->args->names[i].p, c->args->names[i].n, NULL, false, &key));
        FT_RETURN(ft_jdict__put(r, out->d, key, c->args->named[i]));
    }
    return FT_OK;
}

ft_status ft_jfunction_dict(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    return named_arguments(r, c, FT_J_DICT, out);
}

ft_status ft_jfunction_namespace(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    return named_arguments(r, c, FT_J_NAMESPACE, out);
}

ft_status ft_jfunction_raise_exception(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    const ft_jstr *s;
    FT_RETURN(ft_jval__to_str(r, c->a[0], &s));
    return ft_jrun__fail(r, "the template says: %.*s", (int)FT_MIN(s->n, (size_t)400), s->p);
}

ft_status ft_jfunction_range(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    int64_t v[3] = {0, 0, 1}, n = 0;
    for (int i = 0; i < 3; i++) {
        if (c->given[i] && c->a[i].kind != FT_J_INT)
            return ft_jrun__fail(r, "range gets %s", ft_jval__type(c->a[i]));
        v[i] = c->given[i] ? c->a[i].i : v[i];
    }
    if (!c->given[0] || v[2] == 0)
        return ft_jrun__fail(r, "range gets %s", v[2] == 0 ? "a step of 0" : "no arguments");
    if (!c->given[1]) {
        v[1] = v[0];
        v[0] = 0;
    }
    FT_RETURN(ft_jval__list(r, FT_J_LIST, 0, out));
    for (int64_t i = v[0]; v[2] > 0 ? i < v[1] : i > v[1];) {
        if (++n > MAX_RANGE)
            return ft_jrun__fail(r, "a range of more than %d numbers", MAX_RANGE);
        FT_RETURN(ft_jlist__put(r, out->l, ft_j_int(i)));
        if (__builtin_add_overflow(i, v[2], &i))
            break;
    }
    return FT_OK;
}

/* The time of the process' first question: all rows of a run have one date. */
static time_t first_time;
static pthread_once_t asked = PTHREAD_ONCE_INIT;

static void ask_time(void)
{
    first_time = time(NULL);
}

ft_status ft_jfunction_strftime_now(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    char format[128], text[512], *copy;
    struct tm now;
    if (c->a[0].kind != FT_J_STR || c->a[0].s->n >= sizeof format || memchr(c->a[0].s->p, 0, c->a[0].s->n))
        return ft_jrun__fail(r, "strftime_now expects a format of less than %zu bytes", sizeof format);
    memcpy(format, c->a[0].s->p, c->a[0].s->n);
    format[c->a[0].s->n] = 0;
    pthread_once(&asked, ask_time);
    if (!localtime_r(&first_time, &now))
        return ft_jrun__fail(r, "the clock gives no date");
    size_t n = strftime(text, sizeof text, format, &now);
    if (!(copy = ft_jmem__get(&r->mem, n + 1, 1)))
        return FT_ENOMEM;
    memcpy(copy, text, n);
    return ft_jval__str(r, copy, n, NULL, false, out);
}
