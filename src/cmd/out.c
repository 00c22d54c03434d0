/* The terminal: remarks, colours, the line that redraws itself.
 *
 * Everything here but ft_put goes to stderr. A transient line is erased before anything else is written, so that
 * remarks never run into it. Without a terminal transient lines are not written at all: progress.c then says a line now
 * and then.
 */
#include "cmd/cmd.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static bool terminal, colors, stdout_colors, transient;

static bool wants_color(int fd)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(fd) && !(no && *no) && !(term && strcmp(term, "dumb") == 0);
}

static void on_note(void *ctx, ft_note_level level, const char *text)
{
    if (level == FT_WARN)
        ft_say("%swarning:%s %s", ft_color_warning(), ft_color_off(), text);
    else
        ft_say("%snote:%s %s", ft_color_dim(), ft_color_off(), text);
}

void ft_out_init(void)
{
    terminal = isatty(STDERR_FILENO);
    colors = wants_color(STDERR_FILENO);
    stdout_colors = wants_color(STDOUT_FILENO);
    ft_note_sink(on_note, NULL);
}

bool ft_out_is_terminal(void)
{
    return terminal;
}

int ft_out_width(void)
{
    struct winsize w;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 0)
        return w.ws_col;
    return 80;
}

const char *ft_color_error(void)
{
    return colors ? "\033[1;31m" : "";
}

const char *ft_color_warning(void)
{
    return colors ? "\033[33m" : "";
}

const char *ft_color_dim(void)
{
    return colors ? "\033[2m" : "";
}

const char *ft_color_off(void)
{
    return colors ? "\033[0m" : "";
}

const char *ft_color_mark(void)
{
    return stdout_colors ? "\033[1;32m" : "";
}

const char *ft_color_mark_off(void)
{
    return stdout_colors ? "\033[0m" : "";
}

/* Bytes of the first `columns` code points of s. */
static int cut(const char *s, int columns)
{
    int n = 0;
    for (; s[n]; n++)
        if (((unsigned char)s[n] & 0xc0) != 0x80 && columns-- == 0)
            break;
    return n;
}

void ft_out_transient(const char *line)
{
    if (!terminal)
        return;
    fprintf(stderr, "\r%.*s\033[K", cut(line, ft_out_width() - 1), line);
    fflush(stderr);
    transient = true;
}

void ft_out_transient_end(void)
{
    if (transient)
        fputs("\r\033[K", stderr);
    transient = false;
}

void ft_say(const char *fmt, ...)
{
    va_list ap;
    ft_out_transient_end();
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

ft_status ft_put(const ft_buf *text)
{
    ft_out_transient_end();
    if (text->n && fwrite(text->p, 1, text->n, stdout) != text->n)
        return ft_fail_errno("cannot write to standard output");
    return FT_OK;
}

ft_status ft_out_finish(void)
{
    ft_out_transient_end();
    errno = 0;
    if (fflush(stdout) != 0 || ferror(stdout))
        return ft_fail_errno("cannot write to standard output");
    return FT_OK;
}
