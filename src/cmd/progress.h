/* cmd/progress: how work that takes long shows itself on stderr (or, with --json, as an object a line on stdout).
 *
 * On a terminal one line redraws itself, at most ten times a second; without one a line is written every ten seconds,
 * so that a log stays short. Nothing here changes what is computed.
 */
#ifndef FETTLE_CMD_PROGRESS_H
#define FETTLE_CMD_PROGRESS_H

#include "cmd/cmd.h"

typedef struct ft_meter {
    bool json;         /* objects on stdout instead of lines */
    const char *label; /* what is being worked on: "base", "tuned", "model-q8_0.gguf" */
    char phase[32];
    double started, shown; /* the phase; the last line */
    bool stoppable;        /* a signal ends scoring */
} ft_meter;
/* stoppable: scoring ends with FT_ESTOPPED when a signal came. */
ft_meter ft_meter_new(bool json, bool stoppable);
/* Says what begins, at once: "loading data/base". */
void ft_meter_say(ft_meter *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void ft_meter_label(ft_meter *m, const char *label);
/* The progress callback of ft_score and of exporters; ctx is the ft_meter. */
bool ft_meter_part(void *ctx, const char *what, size_t done, size_t total);
/* The event callback of ft_train; ctx is the ft_meter. */
void ft_meter_train(void *ctx, const ft_train_event *e);

#endif
