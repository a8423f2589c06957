/* The table of a safetensors file's tensors that `inspect` prints. */
#ifndef DT_CMD_TENSORS_H
#define DT_CMD_TENSORS_H

#include "base/status.h"

/* One line a tensor: shape, type, and of float tensors mean, deviation, range and norm; then alpha by site. */
DT_MUST_USE dt_status dt_tensors_print(const char *path);

#endif
