/* Recording and replaying the runs of a program. */
#include "graph/replay.h"

#include <stdlib.h>

typedef struct replay {
    dt_run run;
    dt_recording *recording; /* NULL before the second run */
} replay;

static replay *find(const dt_replays *r, const dt_run *run)
{
    for (int i = 0; i < r->entries.count; i++) {
        replay *e = r->entries.at[i];
        if (e->run.slot == run->slot && e->run.accumulate == run->accumulate && e->run.last == run->last) return e;
    }
    return NULL;
}

static dt_status remember(dt_replays *r, const dt_run *run)
{
    replay *e = calloc(1, sizeof *e);
    if (!e) return dt_fail_memory(sizeof *e, "a recorded run");
    e->run = *run;
    dt_status status = dt_list_add(&r->entries, e);
    if (status) free(e);
    return status;
}

static dt_status record(replay *e, dt_device *device, dt_status (*launch)(void *context), void *context)
{
    DT_TRY(dt_recording_begin(device));
    dt_status status = launch(context);
    if (!status) return dt_recording_end(device, &e->recording);
    dt_recording_cancel(device);
    return status;
}

dt_status dt_replays_run(dt_replays *r, dt_device *device, const dt_run *run, dt_status (*launch)(void *context),
                         void *context)
{
    replay *e = find(r, run);
    if (!e) {
        DT_TRY(remember(r, run));
        return launch(context);
    }
    if (!e->recording) DT_TRY(record(e, device, launch, context));
    return dt_recording_run(device, e->recording);
}

void dt_replays_free(dt_replays *r, dt_device *device)
{
    for (int i = 0; i < r->entries.count; i++) {
        replay *e = r->entries.at[i];
        dt_recording_free(device, e->recording);
        free(e);
    }
    dt_list_free(&r->entries);
}
