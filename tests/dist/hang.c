/* One rank that does not come to a collective while the others wait in it: hang RANK; to the making of a communicator:
 * hang RANK split. Every rank prints its verdict. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "comm/open.h"

static void end(void *context, const dt_verdict *verdict)
{
    printf("verdict: %s\n", verdict->text);
    fflush(stdout);
    _exit(1);
}

static dt_status hang_splitting(dt_world *world, dt_comm *comm, int sleeper)
{
    dt_comm *part;
    if (dt_world_rank(world) != sleeper) return dt_comm_split(comm, 0, &part);
    dt_world_watch(world, DT_WATCH_JOINING);
    sleep(60);
    return DT_OK;
}

static dt_status hang(dt_world *world, dt_comm *comm, int sleeper)
{
    static float data[1 << 16];
    const int before = 10; /* of a run that is resumed, whose first step has the time of a first one */
    dt_world_progress(world, before, 0);
    dt_world_watch(world, DT_WATCH_STEPS);
    sleep(4);
    for (int step = 1;; step++) {
        usleep(300000); /* so that heartbeats see steps, whose median is the measure of a hang */
        if (step > 6 && dt_world_rank(world) == sleeper) sleep(60);
        for (int i = 0; i < 4; i++) DT_TRY(dt_comm_all_reduce(comm, DT_STREAM_COMM, DT_F32, 1 << 16, data));
        dt_world_progress(world, before + step, 0);
    }
}

int main(int count, char **words)
{
    dt_world *world;
    dt_device *device;
    dt_comm *comm;
    int sleeper = count > 1 ? atoi(words[1]) : 0;
    bool splits = count > 2 && !strcmp(words[2], "split");
    const dt_world_options options = {.start_limit = splits ? 4 : 20, .hang_limit = 2, .on_verdict = end};
    dt_status status = dt_world_open(&options, NULL, &world);
    if (!status) status = dt_device_open(DT_CPU, 0, 1, &device);
    if (!status) status = dt_comm_open(world, device, &comm);
    if (!status) status = splits ? hang_splitting(world, comm, sleeper) : hang(world, comm, sleeper);
    fprintf(stderr, "%s\n", dt_error_message());
    return 1;
}
