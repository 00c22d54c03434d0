/* cmd/ship: one file on its way out: written, opened again, measured against the tuned model on the same rows, held to its
 * gate, and given its name or left as PATH.rejected.
 * Ownership: what a shipment and a proof point at is borrowed; the column's survival and `rejected` are the caller's.
 */
#ifndef FETTLE_CMD_SHIP_H
#define FETTLE_CMD_SHIP_H

#include "cmd/progress.h"

/* What a file is measured with. */
typedef struct ft_proof {
    const ft_dataset *data;
    const ft_rows *rows; /* of the data, by the tuned model's tokenizer */
    const ft_rows_options *rows_options;
    const char *base; /* for an adapter by itself: what it was trained on, and the type that it was held in or NULL */
    const ft_dtype *quantize_base;
    ft_score_options score; /* metrics, limits, progress */
    const ft_report_column *tuned;
    const int32_t *tuned_argmax; /* [supervised tokens] */
    int32_t *argmax;             /* [supervised tokens] room for the file's */
    ft_meter *meter;
} ft_proof;

typedef struct ft_shipment {
    const ft_exporter *exporter;
    ft_export_request request;  /* path: the name that it is to have; mix: also what a search chose */
    const ft_export_gate *gate; /* with limits: only what passes gets the name */
    bool automatic;             /* gguf: the smallest of the proposed mixes that passes */
    double min_survival;        /* below it a warning */
} ft_shipment;

/* Into *c what was measured; without a proof (no rows) survival and size alone. c->rejected: the limits that the file
 * misses, with the cheapest type that would pass; it stands under ft_export_rejected_path then. FT_EFORMAT when the file's
 * tokenizer makes other ids of the same rows. */
ft_status ft_ship(ft_shipment *s, const ft_proof *p, ft_report_column *c);

#endif
