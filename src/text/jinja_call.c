/* The tables of filters, tests, methods and functions, and how a call finds its row's parameters. */
#include "text/jinja_impl.h"

#include <string.h>

#define FT_JINJA_FILTER(name, function, parameters)       ft_status function(ft_jrun *r, ft_jcall *c, ft_jval *out);
#define FT_JINJA_TEST(name, function, parameters)         ft_status function(ft_jrun *r, ft_jcall *c, ft_jval *out);
#define FT_JINJA_METHOD(kind, name, function, parameters) ft_status function(ft_jrun *r, ft_jcall *c, ft_jval *out);
#define FT_JINJA_FUNCTION(name, function, parameters)     ft_status function(ft_jrun *r, ft_jcall *c, ft_jval *out);
#include "text/jinja_filters.def"
#include "text/jinja_functions.def"
#include "text/jinja_methods.def"
#include "text/jinja_tests.def"
#undef FT_JINJA_FILTER
#undef FT_JINJA_TEST
#undef FT_JINJA_METHOD
#undef FT_JINJA_FUNCTION

#define FT_JINJA_FILTER(name, function, parameters)       {name, parameters, function, 0},
#define FT_JINJA_TEST(name, function, parameters)         {name, parameters, function, 0},
#define FT_JINJA_METHOD(kind, name, function, parameters) {name, parameters, function, kind},
#define FT_JINJA_FUNCTION(name, function, parameters)     {name, parameters, function, 0},
static const ft_jcallee filters[] = {
#include "text/jinja_filters.def"
};
static const ft_jcallee tests[] = {
#include "text/jinja_tests.def"
};
static const ft_jcallee methods[] = {
#include "text/jinja_methods.def"
};
static const ft_jcallee functions[] = {
#include "text/jinja_functions.def"
};

static const ft_jcallee *find(const ft_jcallee *table, size_t n, ft_jkind of, ft_str name)
{
    for (size_t i = 0; i < n; i++)
        if (table[i].of == of && ft_str_is(name, table[i].name))
            return &table[i];
    return NULL;
}

const ft_jcallee *ft_jinja__filter(ft_str name)
{
    return find(filters, FT_COUNT(filters), 0, name);
}

const ft_jcallee *ft_jinja__test(ft_str name)
{
    return find(tests, FT_COUNT(tests), 0, name);
}

const ft_jcallee *ft_jinja__method(ft_jkind of, ft_str name)
{
    return find(methods, FT_COUNT(methods), of, name);
}

const ft_jcallee *ft_jinja__function(ft_str name)
{
    return find(functions, FT_COUNT(functions), 0, name);
}

/* Index of a name in "one two three", -1 when it is none of them; name.p NULL: how many there are. */
static int parameter(const char *parameters, ft_str name)
{
    int i = 0;
    for (const char *p = parameters; *p; i++) {
        size_t n = strcspn(p, " ");
        if (name.p && n == name.n && memcmp(p, name.p, n) == 0)
            return i;
        p += n + (p[n] == ' ');
    }
    return name.p ? -1 : i;
}

ft_status ft_jinja__call(ft_jrun *r, const ft_jcallee *callee, ft_jval self, const ft_jargs *args, ft_jval *out)
{
    ft_jcall c = {.self = self, .args = args};
    FT_RETURN(ft_jrun__work(r, 1));
    if (!callee->parameters)
        return callee->call(r, &c, out);
    if ((int)args->n > parameter(callee->parameters, (ft_str){0}))
        return ft_jrun__fail(r, "%s gets %zu arguments, it takes %d", callee->name, args->n,
                             parameter(callee->parameters, (ft_str){0}));
    for (size_t i = 0; i < args->n; i++) {
        c.a[i] = args->p[i];
        c.given[i] = true;
    }
    for (size_t i = 0; i < args->n_named; i++) {
        int at = parameter(callee->parameters, args->names[i]);
        if (at < 0 || c.given[at])
            return ft_jrun__fail(r, "%s gets \"%.*s\" %s", callee->name, (int)args->names[i].n, args->names[i].p,
                                 at < 0 ? "and has no such parameter" : "twice");
        c.a[at] = args->named[i];
        c.given[at] = true;
    }
    return callee->call(r, &c, out);
}
