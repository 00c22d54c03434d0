#include "base/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char message[4096];
static ft_note_fn note_fn;
static void *note_ctx;

ft_status ft_fail(ft_status kind, const char *fmt, ...)
{
    char text[sizeof message]; /* an argument may be ft_error() itself */
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    memcpy(message, text, sizeof message);
    return kind;
}

ft_status ft_fail_errno(const char *fmt, ...)
{
    int err = errno;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    size_t n = strlen(message);
    snprintf(message + n, sizeof message - n, ": %s", strerror(err));
    return FT_EIO;
}

ft_status ft_context(ft_status st, const char *fmt, ...)
{
    if (st == FT_OK)
        return st;
    char text[sizeof message];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    size_t n = strlen(text);
    if (n + 2 < sizeof text)
        snprintf(text + n, sizeof text - n, ": %s", message);
    memcpy(message, text, sizeof message);
    return st;
}

const char *ft_error(void)
{
    return message;
}

void ft_error_clear(void)
{
    message[0] = 0;
}

int ft_exit_status(ft_status st)
{
    switch (st) {
    case FT_OK:
        return 0;
    case FT_EINPUT:
    case FT_EUNSUPPORTED:
        return 2;
    case FT_ESTOPPED:
        return 130;
    default:
        return 1;
    }
}

void ft_note_sink(ft_note_fn fn, void *ctx)
{
    note_fn = fn;
    note_ctx = ctx;
}

void ft_note(ft_note_level level, const char *fmt, ...)
{
    char text[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (note_fn)
        note_fn(note_ctx, level, text);
    else
        fprintf(stderr, "%s%s\n", level == FT_WARN ? "warning: " : "", text);
}
