/* The tokenizer that a run's text was made into tokens with. */
#ifndef DT_CMD_RUN_TOKENIZER_H
#define DT_CMD_RUN_TOKENIZER_H

#include "config/settings.h"
#include "data/tokenizer.h"

/* `named` is what --tokenizer says, or NULL: that of data.tokenizer, that of the kind of data set, bytes where
 * data.token_hash is theirs, the copy that `prepare tokens` leaves beside its shards, or, where a run has no folder of
 * data, the one that `import` leaves in the run's, two above its `checkpoint`. DT_ERR_USAGE where data.token_hash is
 * not its hash. */
DT_MUST_USE dt_status dt_run_tokenizer_open(const dt_settings *, const char *checkpoint, const char *named,
                                            dt_tokenizer **out);

#endif
