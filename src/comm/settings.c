/* The time limits of the control channel. */
#include "comm/world.h"

static const dt_setting_row rows[] = {
    {"parallel.start_limit", DT_SETTING_REAL, "300", 1, 1e6,
     .help = "seconds that ranks wait for each other at the start, in making communicators, for the first step and the "
             "first evaluated batch"},
    {"parallel.wait_limit", DT_SETTING_REAL, "1800", 1, 1e6,
     .help = "seconds that ranks wait for one that opens data, makes programs, reads a checkpoint or writes files"},
    {"parallel.hang_limit", DT_SETTING_REAL, "60", 1, 1e6,
     .help = "least seconds without progress, and 5 times the median step or evaluated batch, that are a hang"},
    {"parallel.lost_limit", DT_SETTING_REAL, "15", 2, 1e6,
     .help = "seconds without a sign of life after which a rank counts as lost"},
};

const dt_setting_table dt_world_settings = {rows, sizeof rows / sizeof *rows};

dt_world_options dt_world_options_of(const dt_settings *settings)
{
    return (dt_world_options){.start_limit = dt_setting_real(settings, "parallel.start_limit"),
                              .wait_limit = dt_setting_real(settings, "parallel.wait_limit"),
                              .hang_limit = dt_setting_real(settings, "parallel.hang_limit"),
                              .lost_limit = dt_setting_real(settings, "parallel.lost_limit")};
}
