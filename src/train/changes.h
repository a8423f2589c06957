/* What a resumed run does differently: the settings that changed since its checkpoint was written. */
#ifndef DT_TRAIN_CHANGES_H
#define DT_TRAIN_CHANGES_H

#include "config/settings.h"

/* Compares two texts of dt_settings_print, the second one of `settings`. Adds "path: old, now new" (separated by "; ")
 * for every setting that changes what the run computes; where it runs, what it reports and how often it saves does not
 * count, nor does a default of what was not there before: an older program had no such setting. */
void dt_settings_changes(const char *before, const char *now, const dt_settings *settings, dt_text *out);
/* Has the setting `path` the same value in both, or is in neither? */
bool dt_settings_agree(const char *a, const char *b, const char *path);
/* Adds "path is value, there other" for the first setting of two such texts that is not the same in both, whatever it
 * is of; nothing where there is none. */
void dt_settings_first_difference(const char *here, const char *there, dt_text *out);

#endif
