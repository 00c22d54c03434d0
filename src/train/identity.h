/* train/identity: what a run stands on besides its recipe, as hashes that its checkpoints keep: a resume on other rows or
 * on another base would not be exact, and is refused. Internal to the train room. */
#ifndef FETTLE_TRAIN_IDENTITY_H
#define FETTLE_TRAIN_IDENTITY_H

#include "file/store.h"
#include "train/train.h"

typedef struct ft_identity {
    uint64_t train_rows, eval_rows;    /* ids and masks, in order */
    uint64_t base_config, base_weights; /* config.json; names, shapes, types and samples of the frozen weights */
} ft_identity;
/* Before a checkpoint is loaded. eval may be NULL. */
ft_identity ft_identity_of(ft_model *m, const ft_rows *train, const ft_rows *eval);
ft_status ft_identity_put(ft_store *s, const ft_identity *i);
/* FT_EINPUT naming all that has changed since the checkpoint was written. */
ft_status ft_identity_check(ft_store *s, const ft_identity *now);

#endif
