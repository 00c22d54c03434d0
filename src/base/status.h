/* base/status: how every function in fettle says that it failed.
 *
 * A function that can fail returns ft_status: FT_OK or a negative kind. The text is written once, where the fault was
 * found (ft_fail), into thread-local storage; callers pass the kind up unchanged and may prepend context (ft_context).
 * Nothing below the cmd room prints an error or exits.
 * Messages say where, what was found, what was expected, and end without a full stop.
 */
#ifndef FETTLE_BASE_STATUS_H
#define FETTLE_BASE_STATUS_H

typedef enum ft_status {
    FT_OK = 0,
    FT_EIO = -1,          /* the operating system refused: open, read, write, rename, lock */
    FT_EFORMAT = -2,      /* a file's bytes are not what its format demands */
    FT_EINPUT = -3,       /* the request is wrong: usage, recipe, dataset rows */
    FT_ENOMEM = -4,       /* no memory, or a stated maximum was passed */
    FT_ENUMERIC = -5,     /* NaN or infinity where a number must be */
    FT_ESTOPPED = -6,     /* stopped by a signal, state saved */
    FT_EUNSUPPORTED = -7, /* a valid request that this program does not serve */
    FT_EGATE = -8         /* the work was done and a threshold says no */
} ft_status;

/* Records the message of this thread and returns `kind`. */
ft_status ft_fail(ft_status kind, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* As ft_fail with FT_EIO, and ": strerror(errno)" behind the text. */
ft_status ft_fail_errno(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Prepends "text: " to the recorded message when `st` is not FT_OK; returns st. */
ft_status ft_context(ft_status st, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The message of this thread, "" when none. Valid until the next ft_fail of the thread. */
const char *ft_error(void);
void ft_error_clear(void);
/* Exit status of the program for a kind: 0 done, 1 the work failed, 2 the request was wrong, 130 stopped. */
int ft_exit_status(ft_status st);

/* For functions that own something: `ft_status st = FT_OK; ... FT_TRY(f()); ... done: free; return st;` */
#define FT_TRY(expr)                                                                                                   \
    do {                                                                                                               \
        if ((st = (expr)) != FT_OK)                                                                                    \
            goto done;                                                                                                 \
    } while (0)
/* For functions that own nothing. */
#define FT_RETURN(expr)                                                                                                \
    do {                                                                                                               \
        ft_status st_ = (expr);                                                                                        \
        if (st_ != FT_OK)                                                                                              \
            return st_;                                                                                                \
    } while (0)

/* Remarks that are no errors (a row dropped, an alias taken) go to one sink; cmd sets it, tests may. NULL: stderr. */
typedef enum ft_note_level { FT_NOTE, FT_WARN } ft_note_level;
typedef void (*ft_note_fn)(void *ctx, ft_note_level level, const char *text);
void ft_note_sink(ft_note_fn fn, void *ctx);
void ft_note(ft_note_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
