/* cmd/choices: the names of the library's tables, one after the other, for option rows, the plan and completion. */
#ifndef FETTLE_CMD_CHOICES_H
#define FETTLE_CMD_CHOICES_H

#include <stddef.h>

/* The i-th name, NULL behind the last. */
const char *ft_choice_metric(size_t i);
const char *ft_choice_optimizer(size_t i);
const char *ft_choice_loss(size_t i); /* "next_token" first */
const char *ft_choice_pooling(size_t i);
const char *ft_choice_schedule(size_t i);
const char *ft_choice_exporter(size_t i);
const char *ft_choice_dtype(size_t i);
const char *ft_choice_mix(size_t i);
const char *ft_choice_quant(size_t i); /* mixes, "auto" first */
const char *ft_choice_row_format(size_t i); /* "auto" first */
/* The name nearest to word, NULL when none is near. */
const char *ft_choice_nearest(const char *word, const char *(*choice)(size_t i));
/* "a, b, c" into buf. */
const char *ft_choice_all(const char *(*choice)(size_t i), char *buf, size_t size);

#endif
