/* Inside nn/: how the norm of a site is read from the settings. */
#ifndef DT_NN_NORM_H
#define DT_NN_NORM_H

#include "nn/nn.h"

extern const char *const dt_norm_kinds[]; /* the choices of norm.kind, NULL-terminated */
/* Reads only the rows that the site's kind needs, so that the others are reported as inactive. */
void dt_norm_site_read(const dt_settings *, const char *site, dt_norm_site *out);

#endif
