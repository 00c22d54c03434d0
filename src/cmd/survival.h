/* cmd/survival: what rounding left of an adapter's update, said to people. */
#ifndef FETTLE_CMD_SURVIVAL_H
#define FETTLE_CMD_SURVIVAL_H

#include "cmd/cmd.h"

enum { FT_SURVIVAL_SHOWN = 5 }; /* matrices that people see, the worst ones */

/* A line for the terminal: the survival of the whole, and the worst matrix; "" where there is no update. */
const char *ft_survival_line(const ft_survival_list *s, char buf[256]);
/* A warning when r, which was written with r->survival, kept less than `least` of the update: with the cheapest type that
 * would keep it. */
ft_status ft_survival_warn(const ft_export_request *r, const ft_exporter *e, double least);
/* Member "survival" of a result: all matrices, or the worst ones. Nothing where there is no update. */
ft_status ft_survival_put(json_t *o, const ft_survival_list *s, bool all);

#endif
