/* cmd/base_scores: the base's scores are kept in the run folder (base-scores.json), so that a resume does not score it
 * again. They are taken only where rows, tokens and metrics are still the same; the recipe was compared before. */
#ifndef FETTLE_CMD_BASE_SCORES_H
#define FETTLE_CMD_BASE_SCORES_H

#include "cmd/outcome.h"

extern const char ft_base_scores_file[];
/* Writes the outcome's first column with its samples. */
ft_status ft_base_scores_keep(const ft_outcome *o, const ft_job *j);
/* Takes them as the outcome's first column; *found = false: there are none that fit. A file that is damaged counts as
 * none, with a note. */
ft_status ft_base_scores_take(ft_outcome *o, const ft_job *j, bool *found);

#endif
