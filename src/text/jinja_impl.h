/* Inside of the Jinja interpreter: memory, values, tree and run.
 *
 * Everything of a parse lives in the template's arena, everything of a render in the run's; nothing is freed singly.
 * Values are small and copied; what they point to is never changed, except namespaces and the loop's own counters.
 */
#ifndef FETTLE_TEXT_JINJA_IMPL_H
#define FETTLE_TEXT_JINJA_IMPL_H

#include "text/jinja.h"

/* ---- memory: an arena's chunks, handed out in small pieces ---- */

typedef struct ft_jmem {
    ft_arena *arena;
    char *at;
    size_t left;
} ft_jmem;
/* Zeroed; NULL with a message. */
void *ft_jmem__get(ft_jmem *m, size_t n, size_t size);

/* ---- values ---- */

typedef enum ft_jkind {
    FT_J_UNDEFINED,
    FT_J_NONE,
    FT_J_BOOL,
    FT_J_INT,
    FT_J_FLOAT,
    FT_J_STR,
    FT_J_LIST,
    FT_J_TUPLE,
    FT_J_ITER, /* what a generator would give: true whatever it holds, to be walked once, without a length */
    FT_J_DICT,
    FT_J_NAMESPACE,
    FT_J_LOOP,
    FT_J_CALLEE, /* a function, or a method with its object */
    FT_J_MACRO
} ft_jkind;

typedef struct ft_jval ft_jval;
typedef struct ft_jnode ft_jnode;
typedef struct ft_jrun ft_jrun;
typedef struct ft_jscope ft_jscope;

/* UTF-8 (of hostile origin: any bytes). */
typedef struct ft_jstr {
    const char *p;
    const uint8_t *marks; /* [n], NULL: none is marked */
    size_t n;
    bool safe; /* Markup: what is added to it is escaped */
} ft_jstr;

typedef struct ft_jlist {
    ft_jval *p;
    size_t n, cap;
    bool used; /* of an ITER: walked */
} ft_jlist;

typedef struct ft_jdict {
    ft_jval *keys, *values; /* [n], in order of insertion */
    size_t n, cap;
} ft_jdict;

typedef struct ft_jloop {
    const ft_jlist *items;
    size_t at;
    int64_t depth0;
    ft_jval *last_changed; /* of loop.changed() */
} ft_jloop;

typedef struct ft_jbound ft_jbound;
typedef struct ft_jmacro ft_jmacro;

struct ft_jval {
    ft_jkind kind;
    union {
        const char *hint; /* UNDEFINED: what was looked for, for messages; may be NULL */
        bool b;
        int64_t i;
        double f;
        const ft_jstr *s;
        ft_jlist *l;
        ft_jdict *d;
        ft_jloop *loop;
        const ft_jbound *bound;
        const ft_jmacro *macro;
    };
};

/* ---- what can be called: filters, tests, methods, functions are rows of one shape ---- */

enum { FT_J_PARAMETERS = 6 };

typedef struct ft_jargs {
    ft_jval *p;
    size_t n;
    const ft_str *names; /* [n_named] */
    ft_jval *named;
    size_t n_named;
} ft_jargs;

typedef struct ft_jcall {
    ft_jval self;
    const ft_jargs *args;
    ft_jval a[FT_J_PARAMETERS]; /* args in the order of the row's parameters; what was not given is undefined */
    bool given[FT_J_PARAMETERS];
} ft_jcall;

typedef struct ft_jcallee {
    const char *name;
    const char *parameters; /* names with spaces between; NULL: any number, taken from args */
    ft_status (*call)(ft_jrun *r, ft_jcall *c, ft_jval *out);
    ft_jkind of; /* methods: the kind of their object */
} ft_jcallee;

struct ft_jbound {
    const ft_jcallee *callee;
    ft_jval self;
};

const ft_jcallee *ft_jinja__filter(ft_str name);
const ft_jcallee *ft_jinja__test(ft_str name);
const ft_jcallee *ft_jinja__method(ft_jkind of, ft_str name);
const ft_jcallee *ft_jinja__function(ft_str name);
ft_status ft_jinja__call(ft_jrun *r, const ft_jcallee *callee, ft_jval self, const ft_jargs *args, ft_jval *out);

struct ft_jmacro {
    const ft_jnode *node;
    ft_jscope *scope; /* where it was defined */
};

/* ---- tree ---- */

typedef enum ft_jnode_kind {
    /* expressions: jinja_eval.c has a function for each */
    FT_JN_CONST,
    FT_JN_NAME,
    FT_JN_LIST,
    FT_JN_TUPLE,
    FT_JN_DICT,  /* items: key, value, key, value ... */
    FT_JN_ATTR,  /* a.name */
    FT_JN_INDEX, /* a[b] */
    FT_JN_SLICE, /* a[b:c:d], any of b, c, d may be NULL */
    FT_JN_CALL,  /* a(items) */
    FT_JN_FILTER,
    FT_JN_TEST,
    FT_JN_UNARY,
    FT_JN_BINARY,
    FT_JN_COMPARE, /* a, then items: each an operator in `op` and an operand in a */
    FT_JN_AND,
    FT_JN_OR,
    FT_JN_NOT,
    FT_JN_IF, /* a if b else c */
    FT_JN_EXPRESSIONS,
    /* statements: jinja_run.c */
    FT_JN_TEXT = FT_JN_EXPRESSIONS,
    FT_JN_PUT,
    FT_JN_BRANCH,       /* a: condition, items: body, b: what else, a list of one BRANCH or a body */
    FT_JN_FOR,          /* a: target, b: over what, c: condition; items: body, other: body when nothing was walked */
    FT_JN_SET,          /* a: target, b: value */
    FT_JN_SET_BLOCK,    /* a: target, b: a chain of filters or NULL, items: body */
    FT_JN_MACRO,        /* name, parameters, items: body */
    FT_JN_CALL_BLOCK,   /* a: the call, b: the caller, a MACRO */
    FT_JN_FILTER_BLOCK, /* b: a chain of filters, items: body */
    FT_JN_WITH,         /* parameters: SET nodes, items: body */
    FT_JN_GENERATION,   /* items: body */
    FT_JN_BREAK,
    FT_JN_CONTINUE,
    FT_JN_COUNT
} ft_jnode_kind;

struct ft_jnode {
    ft_jnode_kind kind;
    int line;
    const char *op; /* of UNARY, BINARY and COMPARE: as written, "not in" too */
    ft_str name;    /* of names, attributes, filters, tests, macros; of an argument: its keyword, p NULL for none */
    ft_jval value;
    const ft_jcallee *callee;
    const ft_jnode *a, *b, *c, *d;
    const ft_jnode *items, *other, *parameters;
    const ft_jnode *next; /* in the list that this node is of */
};

struct ft_jinja {
    ft_jmem mem;
    const ft_jnode *body;
    bool dated;
};

/* ---- tokens ---- */

typedef enum ft_jtoken_kind {
    FT_JT_TEXT,
    FT_JT_PUT_BEGIN,
    FT_JT_PUT_END,
    FT_JT_BLOCK_BEGIN,
    FT_JT_BLOCK_END,
    FT_JT_NAME,
    FT_JT_STRING, /* its escapes undone */
    FT_JT_INT,
    FT_JT_FLOAT,
    FT_JT_OPERATOR,
    FT_JT_END
} ft_jtoken_kind;

typedef struct ft_jtoken {
    ft_jtoken_kind kind;
    int line;
    ft_str text;
} ft_jtoken;
/* All tokens of a text, the last of kind END; they live in mem. */
ft_status ft_jinja__lex(ft_jmem *mem, ft_str text, ft_jtoken **out);

typedef struct ft_jparser {
    ft_jinja *t;
    const ft_jtoken *at;
    int depth, loops;
} ft_jparser;
ft_status ft_jparser__fail(const ft_jparser *p, ft_status kind, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
ft_status ft_jparser__node(ft_jparser *p, ft_jnode_kind kind, ft_jnode **out);
bool ft_jparser__is(const ft_jparser *p, const char *operator_or_name);
bool ft_jparser__take(ft_jparser *p, const char *operator_or_name);
ft_status ft_jparser__expect(ft_jparser *p, const char *operator_or_name);
/* An expression; one that may be a tuple without parentheses; a for's target; filters behind a block's name. */
ft_status ft_jparser__expression(ft_jparser *p, const ft_jnode **out);
ft_status ft_jparser__or(ft_jparser *p, const ft_jnode **out);
ft_status ft_jparser__tuple(ft_jparser *p, bool conditions, const ft_jnode **out);
ft_status ft_jparser__target(ft_jparser *p, bool namespaces, const ft_jnode **out);
/* The filter at hand and those behind it, around `inner` (NULL: around what a block gives). */
ft_status ft_jparser__filters(ft_jparser *p, const ft_jnode *inner, const ft_jnode **out);
ft_status ft_jparser__enter(ft_jparser *p);

/* ---- a run ---- */

struct ft_jscope {
    ft_jscope *outer;
    struct ft_jname {
        ft_str name;
        ft_jval value;
        struct ft_jname *next;
    } * names;
};

/* Text under construction. */
typedef struct ft_jtext {
    char *p;
    uint8_t *marks;
    size_t n, cap;
    bool marked;
} ft_jtext;

typedef enum ft_jsignal { FT_J_GO_ON, FT_J_BREAK, FT_J_CONTINUE } ft_jsignal;

struct ft_jrun {
    ft_jmem mem;
    ft_jscope *scope;
    ft_jtext *out;
    const ft_jnode *at; /* the construct at hand */
    int64_t steps;      /* left */
    int depth;
    int64_t loops; /* that are being walked */
    ft_jsignal signal;
};

ft_status ft_jrun__fail(const ft_jrun *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Counts work of n bytes or items; FT_ENOMEM when a run has had too much. */
ft_status ft_jrun__work(ft_jrun *r, size_t n);
ft_status ft_jrun__enter(ft_jrun *r);
ft_status ft_jinja__eval(ft_jrun *r, const ft_jnode *n, ft_jval *out);
ft_status ft_jinja__exec(ft_jrun *r, const ft_jnode *list);
ft_status ft_jinja__call_value(ft_jrun *r, ft_jval f, const ft_jargs *args, ft_jval *out);
ft_status ft_jinja__call_macro(ft_jrun *r, const ft_jmacro *m, const ft_jargs *args, ft_jval *out);
bool ft_jscope__find(const ft_jscope *s, ft_str name, ft_jval *out);
ft_status ft_jscope__put(ft_jrun *r, ft_str name, ft_jval value);
ft_status ft_jscope__open(ft_jrun *r, ft_jscope *outer);

/* ---- jinja_value.c ---- */

static inline ft_jval ft_j_bool(bool b)
{
    return (ft_jval){.kind = FT_J_BOOL, .b = b};
}
static inline ft_jval ft_j_int(int64_t i)
{
    return (ft_jval){.kind = FT_J_INT, .i = i};
}
static inline ft_jval ft_j_float(double f)
{
    return (ft_jval){.kind = FT_J_FLOAT, .f = f};
}
static inline ft_jval ft_j_none(void)
{
    return (ft_jval){.kind = FT_J_NONE};
}
static inline ft_jval ft_j_undefined(const char *hint)
{
    return (ft_jval){.kind = FT_J_UNDEFINED, .hint = hint};
}
/* Borrowed bytes. */
ft_status ft_jval__str(ft_jrun *r, const char *p, size_t n, const uint8_t *marks, bool safe, ft_jval *out);
ft_status ft_jval__part(ft_jrun *r, const ft_jstr *s, size_t from, size_t to, ft_jval *out);
ft_status ft_jval__list(ft_jrun *r, ft_jkind kind, size_t room, ft_jval *out);
ft_status ft_jlist__put(ft_jrun *r, ft_jlist *l, ft_jval v);
ft_status ft_jval__dict(ft_jrun *r, ft_jkind kind, ft_jval *out);
ft_status ft_jdict__put(ft_jrun *r, ft_jdict *d, ft_jval key, ft_jval value);
/* NULL when there is none. */
const ft_jval *ft_jdict__get(ft_jrun *r, const ft_jdict *d, ft_jval key);
const ft_jval *ft_jdict__named(const ft_jdict *d, ft_str name);
ft_status ft_jval__from_json(ft_jrun *r, const json_t *j, bool marked, ft_jval *out);
const char *ft_jval__type(ft_jval v); /* for messages: "a text" */
bool ft_jval__truth(ft_jval v);
bool ft_jval__is_number(ft_jval v);
double ft_jval__number(ft_jval v);
bool ft_jval__same(ft_jrun *r, ft_jval a, ft_jval b);
/* *out <0, 0, >0; what has no order fails. */
ft_status ft_jval__order(ft_jrun *r, ft_jval a, ft_jval b, int *out);
ft_status ft_jval__length(ft_jrun *r, ft_jval v, size_t *out);
/* What a for walks: the items of v. An ITER is used up. */
ft_status ft_jval__items(ft_jrun *r, ft_jval v, ft_jlist **out);
ft_status ft_jval__contains(ft_jrun *r, ft_jval in, ft_jval what, bool *out);
/* v.name and v[key]; what is not there is undefined. */
ft_status ft_jval__attr(ft_jrun *r, ft_jval v, ft_str name, ft_jval *out);
ft_status ft_jval__item(ft_jrun *r, ft_jval v, ft_jval key, ft_jval *out);

/* ---- jinja_text.c ---- */

ft_status ft_jtext__put(ft_jrun *r, ft_jtext *t, const char *p, size_t n, const uint8_t *marks);
ft_status ft_jtext__puts(ft_jrun *r, ft_jtext *t, const char *s);
ft_status ft_jtext__put_str(ft_jrun *r, ft_jtext *t, const ft_jstr *s);
/* As Python's str() and repr(). */
ft_status ft_jtext__put_value(ft_jrun *r, ft_jtext *t, ft_jval v);
ft_status ft_jtext__put_repr(ft_jrun *r, ft_jtext *t, ft_jval v);
ft_status ft_jtext__put_escaped(ft_jrun *r, ft_jtext *t, const ft_jstr *s);
ft_status ft_jtext__done(ft_jrun *r, const ft_jtext *t, bool safe, ft_jval *out);
/* The value as a text. */
ft_status ft_jval__to_str(ft_jrun *r, ft_jval v, const ft_jstr **out);
size_t ft_jstr__characters(const ft_jstr *s);
/* Byte of the i-th character, n behind the last. */
size_t ft_jstr__byte_of(const ft_jstr *s, size_t i);
/* First place of `what` at or behind `from`, SIZE_MAX when there is none. */
size_t ft_jstr__find(const ft_jstr *s, const ft_jstr *what, size_t from);
/* The text without characters of `set` (NULL: white space) at its ends. */
ft_status ft_jstr__strip(ft_jrun *r, const ft_jstr *s, const ft_jstr *set, bool left, bool right, ft_jval *out);
ft_status ft_jstr__replace(ft_jrun *r, const ft_jstr *s, const ft_jstr *from, const ft_jstr *to, int64_t most,
                           ft_jval *out);
/* TITLE: as str.title(); WORDS: as the filter title, which begins a word behind white space and - ( { [ <. */
typedef enum ft_jcase { FT_J_UPPER, FT_J_LOWER, FT_J_TITLE, FT_J_WORDS, FT_J_CAPITALIZE, FT_J_SWAP } ft_jcase;
ft_status ft_jstr__cased(ft_jrun *r, const ft_jstr *s, ft_jcase how, ft_jval *out);
/* "%s" % values */
ft_status ft_jstr__format(ft_jrun *r, const ft_jstr *s, ft_jval values, ft_jval *out);

/* ---- jinja_json.c ---- */

typedef struct ft_jjson {
    int64_t indent; /* -1: all in one line */
    bool ascii, sort;
    const ft_jstr *item, *member; /* separators; NULL: the usual ones */
} ft_jjson;
ft_status ft_jtext__put_json(ft_jrun *r, ft_jtext *t, ft_jval v, const ft_jjson *o);
/* As Python writes a float. */
ft_status ft_jtext__put_float(ft_jrun *r, ft_jtext *t, double f);

/* Python's white space: Unicode's and the four separators of ASCII. Bytes of it at the ends of a text. */
bool ft_jinja__is_space(int32_t c);
size_t ft_jinja__leading(const char *p, size_t n);
size_t ft_jinja__trailing(const char *p, size_t n);

#endif
