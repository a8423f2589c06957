/* The MPI plug-in: dyttrain-mpi.so, the only thing that is linked with libmpi (comm/mpi_plugin.h). */
#include "comm/mpi_plugin.h"

#include <mpi.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* MPI counts in int: more bytes travel in several messages. */
static const size_t most_bytes = (size_t)1 << 30;

enum { DATA, SETTLED }; /* tags */

struct dt_mpi_group {
    MPI_Comm comm;
};

static MPI_Comm comm_of(const dt_mpi_group *group) { return group ? group->comm : MPI_COMM_WORLD; }

/* Writes what MPI says of the error. */
static int fail(int error, char *why, size_t room)
{
    char text[MPI_MAX_ERROR_STRING] = "unknown error";
    int length;
    MPI_Error_string(error, text, &length);
    snprintf(why, room, "%s", text);
    return 1;
}

static int fail_memory(char *why, size_t room)
{
    snprintf(why, room, "out of memory");
    return 1;
}

/* MPI's own waits keep a processor busy. Between looks this one yields at first, so that an answer which is under way
 * is taken at once, and then sleeps: somebody else computes what is waited for. */
static int wait_for(int count, MPI_Request *requests)
{
    enum { YIELDS = 200, SLEEP_NS = 20000 };
    for (int looks = 0, done = 0;; looks++) {
        int error = MPI_Testall(count, requests, &done, MPI_STATUSES_IGNORE);
        if (error != MPI_SUCCESS || done) return error;
        if (looks < YIELDS) sched_yield();
        else nanosleep(&(struct timespec){.tv_nsec = SLEEP_NS}, NULL);
    }
}

static int plugin_init(int *rank, int *size, char *why, size_t room)
{
    int provided;
    int error = MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided);
    if (error == MPI_SUCCESS) error = MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    if (error == MPI_SUCCESS) error = MPI_Comm_rank(MPI_COMM_WORLD, rank);
    if (error == MPI_SUCCESS) error = MPI_Comm_size(MPI_COMM_WORLD, size);
    if (error != MPI_SUCCESS) return fail(error, why, room);
    if (provided >= MPI_THREAD_FUNNELED) return 0;
    snprintf(why, room, "this MPI was built without threads (MPI_THREAD_FUNNELED)");
    return 1;
}

static int plugin_local(int *rank, int *size, char *why, size_t room)
{
    MPI_Comm host = MPI_COMM_NULL;
    int error = MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &host);
    if (error == MPI_SUCCESS) error = MPI_Comm_rank(host, rank);
    if (error == MPI_SUCCESS) error = MPI_Comm_size(host, size);
    if (host != MPI_COMM_NULL) MPI_Comm_free(&host);
    return error == MPI_SUCCESS ? 0 : fail(error, why, room);
}

/* All ranks are here before one leaves, and what they sent before has arrived. MPI moves messages only within its
 * calls: one that counts as sent may still wait here for its last piece (Open MPI over TCP queues the one that tells
 * the receiver that all has come), and behind this we may not call for long, since the control channel waits without
 * MPI. So every wait ends with empty messages that say what has arrived. These are small, over connections that are
 * there already: when they count as sent they are on their way. */
static int settle(MPI_Comm comm)
{
    int rank, size, error = MPI_Comm_rank(comm, &rank);
    if (error == MPI_SUCCESS) error = MPI_Comm_size(comm, &size);
    for (int sending = rank != 0, round = 0; round < 2 && error == MPI_SUCCESS; round++, sending = !sending)
        for (int other = rank ? 0 : 1; other < (rank ? 1 : size) && error == MPI_SUCCESS; other++) {
            MPI_Request request;
            error = sending ? MPI_Isend(NULL, 0, MPI_BYTE, other, SETTLED, comm, &request)
                            : MPI_Irecv(NULL, 0, MPI_BYTE, other, SETTLED, comm, &request);
            if (error == MPI_SUCCESS) error = wait_for(1, &request);
        }
    return error;
}

/* From rank 0 to each, not through others: then no two ranks but it and they need a connection. */
static int send_all(void *data, int bytes)
{
    int rank, size, error = MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (error == MPI_SUCCESS) error = MPI_Comm_size(MPI_COMM_WORLD, &size);
    for (int other = 1; other < size && error == MPI_SUCCESS; other++) {
        MPI_Request request;
        if (rank && rank != other) continue;
        error = rank ? MPI_Irecv(data, bytes, MPI_BYTE, 0, DATA, MPI_COMM_WORLD, &request)
                     : MPI_Isend(data, bytes, MPI_BYTE, other, DATA, MPI_COMM_WORLD, &request);
        if (error == MPI_SUCCESS) error = wait_for(1, &request);
    }
    return error == MPI_SUCCESS ? settle(MPI_COMM_WORLD) : error;
}

static int plugin_broadcast(void *data, size_t bytes, char *why, size_t room)
{
    if (bytes > most_bytes) {
        snprintf(why, room, "more than 1 GiB at once");
        return 1;
    }
    int error = send_all(data, (int)bytes);
    return error == MPI_SUCCESS ? 0 : fail(error, why, room);
}

static int plugin_split(dt_mpi_group *group, int colour, dt_mpi_group **out, int *rank, int *size, char *why,
                        size_t room)
{
    dt_mpi_group *part = malloc(sizeof *part);
    if (!part) return fail_memory(why, room);
    int error = MPI_Comm_rank(comm_of(group), rank);
    if (error == MPI_SUCCESS) error = MPI_Comm_split(comm_of(group), colour, *rank, &part->comm);
    if (error == MPI_SUCCESS) error = settle(comm_of(group));
    if (error != MPI_SUCCESS) {
        free(part);
        return fail(error, why, room);
    }
    MPI_Comm_rank(part->comm, rank);
    MPI_Comm_size(part->comm, size);
    *out = part;
    return 0;
}

static void plugin_free(dt_mpi_group *group)
{
    if (!group) return;
    MPI_Comm_free(&group->comm);
    free(group);
}

static int messages_of(const dt_mpi_part *part) { return (int)((part->bytes + most_bytes - 1) / most_bytes); }

/* Starts the part's messages; `requests` has room for them. */
static int start(MPI_Comm comm, const dt_mpi_part *part, MPI_Request *requests)
{
    for (size_t at = 0; at < part->bytes; at += most_bytes, requests++) {
        int bytes = (int)(part->bytes - at < most_bytes ? part->bytes - at : most_bytes);
        char *data = (char *)part->data + at;
        int error = part->sent ? MPI_Isend(data, bytes, MPI_BYTE, part->rank, DATA, comm, requests)
                               : MPI_Irecv(data, bytes, MPI_BYTE, part->rank, DATA, comm, requests);
        if (error != MPI_SUCCESS) return error;
    }
    return MPI_SUCCESS;
}

/* The other way: that the part has arrived. */
static int confirm(MPI_Comm comm, const dt_mpi_part *part, MPI_Request *request)
{
    return part->sent ? MPI_Irecv(NULL, 0, MPI_BYTE, part->rank, SETTLED, comm, request)
                      : MPI_Isend(NULL, 0, MPI_BYTE, part->rank, SETTLED, comm, request);
}

static int plugin_exchange(dt_mpi_group *group, const dt_mpi_part *parts, int count, char *why, size_t room)
{
    int messages = 0, started = 0, error = MPI_SUCCESS;
    for (int i = 0; i < count; i++) messages += messages_of(&parts[i]);
    if (!messages) return 0;
    MPI_Request *requests = malloc((size_t)messages * sizeof *requests);
    if (!requests) return fail_memory(why, room);
    for (int i = 0; i < count && error == MPI_SUCCESS; i++) {
        error = start(comm_of(group), &parts[i], requests + started);
        started += messages_of(&parts[i]);
    }
    if (error == MPI_SUCCESS) error = wait_for(messages, requests);
    messages = 0; /* a part has one at least, so there is room */
    for (int i = 0; i < count && error == MPI_SUCCESS; i++)
        if (parts[i].bytes) error = confirm(comm_of(group), &parts[i], &requests[messages++]);
    if (error == MPI_SUCCESS) error = wait_for(messages, requests);
    free(requests);
    return error == MPI_SUCCESS ? 0 : fail(error, why, room);
}

static void plugin_finalize(void) { MPI_Finalize(); }

__attribute__((visibility("default"))) dt_mpi_plugin_fn dt_mpi_plugin;

const dt_mpi_calls *dt_mpi_plugin(void)
{
    static const dt_mpi_calls calls = {.abi = DT_MPI_ABI,
                                       .init = plugin_init,
                                       .local = plugin_local,
                                       .broadcast = plugin_broadcast,
                                       .split = plugin_split,
                                       .free = plugin_free,
                                       .exchange = plugin_exchange,
                                       .finalize = plugin_finalize};
    return &calls;
}
