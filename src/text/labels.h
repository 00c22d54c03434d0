/* The text room, labels: the answers that a label task knows, as the ids that stand behind a prompt.
 *
 * What they are comes from a list or from the answers of a dataset; how they are written (the space before them, the token
 * that ends them, what a chat template puts around them) from a row of the same kind.
 * Refuses (FT_EINPUT): an empty label, one that comes twice, more than FT_MAX_LABELS, two that are the same tokens.
 * Legal order: ft_labels_add and ft_labels_of_answers, ft_labels_encode or ft_labels_encode_for, the rest; ft_labels_free.
 * Ownership: labels own their texts and ids.
 */
#ifndef FETTLE_TEXT_LABELS_H
#define FETTLE_TEXT_LABELS_H

#include "text/rows.h"

enum { FT_MAX_LABELS = 1000 };

typedef struct ft_label {
    ft_str text; /* trimmed; 0-terminated */
    int64_t rows; /* of the dataset that was counted */
    /* once encoded */
    ft_str answer;      /* as ft_row.answer has it; 0-terminated */
    ft_str said;        /* what is generated for it, to the byte; 0-terminated */
    const int32_t *ids; /* [n]: of what is said and of the token that ends it */
    int64_t n;
} ft_label;

typedef struct ft_labels {
    ft_label *p;
    size_t n;
    ft_str lead, trail; /* white space around an answer in its row */
    ft_arena *arena;
    ft_map *by_text, *by_answer;
} ft_labels;

ft_status ft_labels_add(ft_labels *l, ft_str text);
/* Adds every answer of the examples, the commonest first, with how many rows it has. */
ft_status ft_labels_of_answers(ft_labels *l, const ft_dataset *d);
/* Counts the examples of each label anew. */
void ft_labels_count(ft_labels *l, const ft_dataset *d);
/* The ids of each behind a prompt: as the answer of the first example that has one, in rows made with o. FT_EINPUT where no
 * example has an answer. */
ft_status ft_labels_encode(ft_labels *l, const ft_dataset *d, const ft_tokenizer *tok, const ft_rows_options *o);
/* The same behind messages: one for a plain prompt, several for a chat. l->lead and l->trail have been set. */
ft_status ft_labels_encode_for(ft_labels *l, const ft_message *messages, size_t n, const ft_tokenizer *tok,
                               const ft_chat_template *chat);
/* The label that is a row's answer, -1: none of them. */
int64_t ft_labels_find(const ft_labels *l, ft_str answer);
/* Rows whose answer is a label, but of other ids than its own: its last tokens there depend on the prompt. */
int64_t ft_labels_unlike(const ft_labels *l, const ft_rows *rows);
void ft_labels_free(ft_labels *l);

#endif
