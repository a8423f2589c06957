/* What the ranks of a run settle among each other on the host, over the control channel. A world of one, and NULL as
 * world, settles everything at once by itself.
 *
 * All ranks call these, in one order; `what` names the occasion in messages (dt_world_gather). Settled failures are the
 * same on all ranks: nobody has to be told of them. */
#ifndef DT_TRAIN_RANKS_H
#define DT_TRAIN_RANKS_H

#include "base/text.h"
#include "comm/world.h"
#include "config/settings.h"

bool dt_ranks_leads(const dt_world *); /* rank 0, or alone */
bool dt_ranks_alone(const dt_world *);

/* How all ranks fared: DT_OK where all did well, else on all ranks the failure of the first that did not, its message
 * kept and, for the others, naming it. */
DT_MUST_USE dt_status dt_ranks_join(dt_world *, const char *what, dt_status mine);
/* The same of a failure that need not end the run. Behind one that dt_ranks_join is given the others have 20 s to come
 * (dt_world_tell_failure); here they have the time that they need for their part, as reading files. */
DT_MUST_USE dt_status dt_ranks_join_in_time(dt_world *, const char *what, dt_status mine);
/* Is it so on any rank? */
DT_MUST_USE dt_status dt_ranks_any(dt_world *, const char *what, bool mine, bool *any);
/* dt_world_gather into `*all`, freed with free(). */
DT_MUST_USE dt_status dt_ranks_gather(dt_world *, const char *what, const void *mine, size_t bytes, void **all);
/* `*text` becomes rank 0's, which may be NULL; what it was is freed with free(), as the new one is to be. */
DT_MUST_USE dt_status dt_ranks_share_text(dt_world *, const char *what, char **text);

/* Were all ranks started with the same settings? DT_ERR_USAGE names the rank and the first setting that differs. */
DT_MUST_USE dt_status dt_ranks_agree_settings(dt_world *, const dt_settings *);

#endif
