/* One rank that does not come to a collective while the others wait in it: hang RANK. Every rank prints its verdict. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "comm/open.h"

static void end(void *context, const dt_verdict *verdict)
{
    printf("verdict: %s\n", verdict->text);
    fflush(stdout);
    _exit(1);
}

static dt_status hang(dt_world *world, int sleeper)
{
    static float data[1 << 16];
    dt_device *device;
    dt_comm *comm;
    DT_TRY(dt_device_open(DT_CPU, 0, 1, &device));
    DT_TRY(dt_comm_open(world, device, &comm));
    dt_world_watch(world, DT_WATCH_STEPS);
    for (int step = 1;; step++) {
        usleep(300000); /* so that heartbeats see steps, whose median is the measure of a hang */
        if (step > 6 && dt_world_rank(world) == sleeper) sleep(60);
        for (int i = 0; i < 4; i++) DT_TRY(dt_comm_all_reduce(comm, DT_STREAM_COMM, DT_F32, 1 << 16, data));
        dt_world_progress(world, step, 0);
    }
}

int main(int count, char **words)
{
    dt_world *world;
    const dt_world_options options = {.start_limit = 20, .hang_limit = 2, .on_verdict = end};
    dt_status status = dt_world_open(&options, NULL, &world);
    if (!status) status = hang(world, count > 1 ? atoi(words[1]) : 0);
    fprintf(stderr, "%s\n", dt_error_message());
    return 1;
}
