/* cmd/labeling: the labels of a run with what makes confidences of their scores, as a run folder keeps them (labels.json):
 *
 *   {"labels": [{"text": "leak", "said": " leak", "rows": 31, "bias": 0.1}, ...], "lead": " ", "trail": "",
 *    "temperature": 1.7, "threshold": 0.62}         no "bias": none was fitted; "threshold" null: nothing is answered
 *
 * Ownership: ft_labeling_free frees all. A labeling stays where it was made: its confidence points at its bias.
 */
#ifndef FETTLE_CMD_LABELING_H
#define FETTLE_CMD_LABELING_H

#include "cmd/cmd.h"

extern const char ft_labeling_file[]; /* "labels.json" */

#define FT_LABELS_OPTION(what)                                                                                         \
    {                                                                                                                  \
        "labels", FT_ARG_FILE, .argument = "PATH",                                                                     \
                               .help = "labels to choose the answer among: a run folder or its labels.json, or a text " \
                                       "file with a label a line" what                                                 \
    }

typedef struct ft_labeling {
    ft_labels labels; /* n 0: none */
    ft_confidence confidence;
    double *bias; /* [labels.n] or NULL */
    /* what confidence was fitted on; rows 0: nothing was */
    const char *fitted_on;
    int64_t rows;
    /* of the rows of the final table, by the tuned model: with and without what was fitted */
    ft_reliability before, after;
    int64_t answered, answered_right;
} ft_labeling;

/* Into a result: "label_count", and a table of the first `most` of them with their training rows; nothing
 * where there are none. */
void ft_labeling_put(json_t *o, const ft_labeling *l, size_t most);
/* Says which rows have an answer that is no label, or one of other tokens than the label's. */
void ft_labeling_check(const ft_labeling *l, const char *what, const ft_rows *rows);
/* A line about them, as "18 labels, from 901 rows (Q00-Q99 ...) to 3 (...)". */
const char *ft_labeling_line(const ft_labeling *l, char buf[512]);

typedef struct ft_labeling_fit {
    const ft_rows *rows;
    const char *name;          /* of the rows: "val" */
    bool temperature, bias;    /* what to fit */
    double least, precision;   /* threshold, or the share of right answers that it is to give; 0: not asked for */
} ft_labeling_fit;
/* Fits to the scores of m, in o's labels. */
ft_status ft_labeling_fit_to(ft_labeling *l, ft_model *m, const ft_labeling_fit *f, const ft_score_options *o);
/* A scored row of the tuned model, for the report. */
void ft_labeling_add(ft_labeling *l, const ft_scored_label *s);
/* Member "labels" of a result: the labels with their rows, what was fitted and what came of it. */
ft_status ft_labeling_json(json_t **out, const ft_labeling *l);

ft_status ft_labeling_write(const ft_labeling *l, const char *path);
/* From a labels.json, a run folder that holds one, or a text file with a label a line. */
ft_status ft_labeling_read(ft_labeling *l, const char *path);
/* That of --labels; else, where `own`, that of the run folder MODEL. No labels (n 0) where there is neither. */
ft_status ft_labeling_of_args(ft_labeling *l, const ft_args *a, bool own);
void ft_labeling_free(ft_labeling *l);

#endif
