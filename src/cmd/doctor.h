/* dyttrain doctor: its lines, and its part about ranks. */
#ifndef DT_CMD_DOCTOR_H
#define DT_CMD_DOCTOR_H

#include "cmd/arguments.h"

/* "label        text"; with an empty label it goes on with the line before. */
DT_PRINTF(2, 3) void dt_doctor_line(const char *label, const char *format, ...);
/* doctor --ranks: which GPU each rank of this launch sees, and how fast they talk to each other. */
DT_MUST_USE dt_status dt_doctor_ranks(const dt_arguments *);

#endif
