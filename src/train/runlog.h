/* train/runlog: log.jsonl, one object a line, what the report draws. Internal to the train room. */
#ifndef FETTLE_TRAIN_RUNLOG_H
#define FETTLE_TRAIN_RUNLOG_H

#include "train/train.h"

typedef struct ft_runlog ft_runlog;
/* Opens dir/log.jsonl for appending. Lines of steps after `keep_until` are dropped first (a resume repeats those steps);
 * keep_until 0 starts an empty log. */
ft_status ft_runlog_open(ft_runlog **out, const char *dir, int64_t keep_until);
/* Appends the line of a STEP or EVAL event; other kinds leave no line. */
ft_status ft_runlog_event(ft_runlog *l, const ft_train_event *e);
void ft_runlog_close(ft_runlog *l);

#endif
