/* Opening a world by the way that the process was started; what is asked of it goes to the control channel. */
#include "comm/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "comm/arrival.h"
#include "comm/control.h"
#include "comm/join.h"
#include "comm/mpi.h"
#include "comm/socket.h"

struct dt_world {
    dt_world_options options; /* without zeros */
    dt_log *log;
    dt_launch_facts facts; /* rank and size are MPI's own where it launched us */
    dt_member *members;    /* [size] */
    dt_world_peer *peers;  /* [size], their hosts in members */
    dt_control *control;   /* NULL in a world of one */
    const dt_mpi_calls *mpi; /* NULL unless it was started */
    bool failed;             /* by an abort without a control channel */
    char why[DT_MEETING_WHY]; /* of a failure that the next collective tells; empty: none */
};

/* --- the meeting --- */

static dt_status create_ranks(dt_world *w)
{
    size_t size = (size_t)w->facts.size;
    w->members = calloc(size, sizeof *w->members);
    w->peers = calloc(size, sizeof *w->peers);
    return w->members && w->peers ? DT_OK : dt_fail_memory(size * sizeof *w->members, "the list of ranks");
}

static void fill_peers(dt_world *w)
{
    for (int r = 0; r < w->facts.size; r++)
        w->peers[r] = (dt_world_peer){.host = w->members[r].host, .node = w->members[r].node,
                                      .local_rank = w->members[r].local_rank, .pid = w->members[r].pid};
}

/* A connection to every rank, and what else the program opens: systems often allow 1024 files and permit more. */
static void allow_files(int size)
{
    const rlim_t needed = (rlim_t)size + 512;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= needed) return;
    limit.rlim_cur = limit.rlim_max < needed ? limit.rlim_max : needed;
    setrlimit(RLIMIT_NOFILE, &limit); /* where that fails, a connection will, and says so */
}

static dt_status start_control(dt_world *w, dt_connection *peers)
{
    return dt_control_start(&w->options, w->facts.rank, w->facts.size, w->members, peers, &w->control);
}

static dt_join_limits join_limits(const dt_world *w)
{
    return (dt_join_limits){.come = w->options.start_limit, .lost = w->options.lost_limit};
}

static dt_status host_others(dt_world *w, int listener, const char *where, const dt_hello *self)
{
    int size = w->facts.size;
    dt_hello *hellos = calloc((size_t)size, sizeof *hellos);
    dt_connection *peers = calloc((size_t)size, sizeof *peers);
    dt_status status = DT_OK;
    allow_files(size);
    if (!hellos || !peers) status = dt_fail_memory((size_t)size * sizeof *hellos, "the hellos of ranks");
    for (int r = 0; peers && r < size; r++) peers[r] = (dt_connection){.fd = -1};
    if (!status) status = dt_join_host(listener, self, where, join_limits(w), w->log, hellos, peers);
    if (!status) {
        dt_members_number(hellos, size, w->members);
        status = dt_join_welcome(w->members, size, peers);
    }
    if (!status) status = start_control(w, peers);
    for (int r = 0; status && peers && r < size; r++) dt_connection_close(&peers[r]);
    if (status) free(peers);
    free(hellos);
    return status;
}

static dt_status visit_rank0(dt_world *w, const dt_join_places *places, const dt_hello *self)
{
    dt_connection *rank0 = calloc(1, sizeof *rank0);
    if (!rank0) return dt_fail_memory(sizeof *rank0, "the connection to rank 0");
    dt_status status = dt_join_visit(places, self, join_limits(w), w->log, w->members, rank0);
    if (status) {
        free(rank0);
        return status;
    }
    status = start_control(w, rank0);
    if (status) {
        dt_connection_close(rank0);
        free(rank0);
    }
    return status;
}

static dt_status introduce(const dt_world *w, uint64_t key, dt_hello *out)
{
    DT_TRY(dt_hello_introduce(out));
    out->rank = w->facts.rank;
    out->size = w->facts.size;
    out->local_rank = w->facts.local_rank;
    out->local_size = w->facts.local_size;
    out->key = key;
    return DT_OK;
}

/* --- launched by RANK and WORLD_SIZE --- */

static dt_status host_at_master(dt_world *w, const dt_hello *self)
{
    char where[300];
    dt_address addresses[DT_ADDRESSES];
    int listener, count, port = w->facts.port;
    DT_TRY(dt_socket_listen(w->facts.address, &port, &listener));
    snprintf(where, sizeof where, "MASTER_ADDR=%.200s MASTER_PORT=%d", w->facts.address, port);
    if (dt_address_find(w->facts.address, port, addresses, &count))
        dt_log_warn(w->log, "MASTER_ADDR %s, as seen from rank 0; the others may not find it", dt_error_message());
    dt_status status = host_others(w, listener, where, self);
    close(listener);
    return status;
}

static dt_status open_environment(dt_world *w)
{
    dt_hello self;
    const dt_join_places places = {.names = w->facts.address, .port = w->facts.port, .variable = "MASTER_ADDR"};
    DT_TRY(create_ranks(w));
    DT_TRY(introduce(w, 0, &self));
    return w->facts.rank == 0 ? host_at_master(w, &self) : visit_rank0(w, &places, &self);
}

/* --- launched by MPI --- */

enum { WHY_ROOM = 512 };

/* What rank 0 broadcasts over MPI: where it listens. */
typedef struct invitation {
    uint64_t key;     /* tells this run's ranks from whoever else connects */
    int32_t port;     /* 0: rank 0 cannot listen */
    char names[4084]; /* its addresses, one a line */
} invitation;

/* Each process of a launcher that MPI does not know would be a run of its own. */
static dt_status fail_strangers(int started, int known)
{
    return dt_fail(DT_ERR_USAGE, "%d ranks were started, and MPI knows of %d: what started them does not belong to the "
                   "MPI that dyttrain was built with; take its mpirun, or srun with another --mpi, or do without MPI: "
                   "set RANK, WORLD_SIZE, MASTER_ADDR and DYTTRAIN_LAUNCH=environment", started, known);
}

static dt_status start_mpi(dt_world *w)
{
    char why[WHY_ROOM] = "";
    int started = w->facts.size;
    DT_TRY(dt_mpi_load(&w->mpi));
    if (w->mpi->init(&w->facts.rank, &w->facts.size, why, sizeof why)) {
        w->mpi = NULL;
        return dt_mpi_fail("start", why);
    }
    if (started && started != w->facts.size) return fail_strangers(started, w->facts.size);
    if (w->mpi->local(&w->facts.local_rank, &w->facts.local_size, why, sizeof why))
        return dt_mpi_fail("tell the ranks of this host", why);
    return DT_OK;
}

static dt_status invite(invitation *in, int *listener)
{
    dt_text names = {0};
    int port = 0;
    if (getrandom(&in->key, sizeof in->key, 0) != sizeof in->key) in->key = (uint64_t)getpid();
    dt_status status = dt_address_own(&names);
    if (!status) status = dt_socket_listen(NULL, &port, listener);
    if (!status) {
        snprintf(in->names, sizeof in->names, "%s", names.data ? names.data : "");
        in->port = port;
    }
    dt_text_free(&names);
    return status;
}

/* Rank 0 broadcasts its invitation also when it has none to make: the others wait for it. */
static dt_status exchange_invitation(dt_world *w, invitation *in, int *listener)
{
    char why[WHY_ROOM] = "";
    dt_status status = w->facts.rank == 0 ? invite(in, listener) : DT_OK;
    if (w->mpi->broadcast(in, sizeof *in, why, sizeof why) && !status) status = dt_mpi_fail("broadcast", why);
    if (!status && !in->port)
        status = dt_fail(DT_ERR_DEVICE, "rank 0 cannot listen for the others: its message says why");
    return status;
}

/* MPI itself would wait for ever for a rank that does not come. */
static dt_status meet_by_mpi(dt_world *w, invitation *in, int *listener)
{
    dt_arrival *arrival;
    DT_TRY(dt_arrival_begin(&w->facts, &w->options, &arrival));
    dt_status status = start_mpi(w);
    if (!status && w->facts.size > 1) status = exchange_invitation(w, in, listener);
    dt_arrival_end(arrival);
    return status;
}

static dt_status open_mpi(dt_world *w)
{
    dt_hello self;
    invitation in = {0};
    char where[32];
    int listener = -1;
    dt_status status;
    DT_TRY_GOTO(meet_by_mpi(w, &in, &listener), done);
    DT_TRY_GOTO(create_ranks(w), done);
    if (w->facts.size == 1) return DT_OK;
    DT_TRY_GOTO(introduce(w, in.key, &self), done);
    const dt_join_places places = {.names = in.names, .port = in.port};
    snprintf(where, sizeof where, "port %d", in.port);
    status = w->facts.rank == 0 ? host_others(w, listener, where, &self) : visit_rank0(w, &places, &self);
done:
    if (listener >= 0) close(listener);
    return status;
}

/* --- opening and closing --- */

static dt_status open_single(dt_world *w)
{
    DT_TRY(create_ranks(w));
    w->members[0] = (dt_member){.local_size = 1, .pid = getpid()};
    if (gethostname(w->members[0].host, sizeof w->members[0].host - 1)) strcpy(w->members[0].host, "this host");
    return DT_OK;
}

static dt_status open_launched(dt_world *w)
{
    if (w->facts.kind == DT_LAUNCH_MPI) DT_TRY(open_mpi(w));
    else if (w->facts.kind == DT_LAUNCH_ENVIRONMENT) DT_TRY(open_environment(w));
    if (w->facts.size > 1) return DT_OK;
    free(w->members);
    free(w->peers);
    return open_single(w);
}

static double or_default(double seconds, double otherwise) { return seconds > 0 ? seconds : otherwise; }

static void log_ranks(const dt_world *w)
{
    int nodes = 0;
    if (w->facts.rank != 0 || w->facts.size == 1) return;
    for (int r = 0; r < w->facts.size; r++)
        if (w->peers[r].node >= nodes) nodes = w->peers[r].node + 1;
    dt_log_info(w->log, "%d ranks on %d host%s, started by %s", w->facts.size, nodes, nodes == 1 ? "" : "s",
                dt_launch_name(w->facts.kind));
}

static void release(dt_world *w)
{
    free(w->members);
    free(w->peers);
    free(w);
}

dt_status dt_world_open(const dt_world_options *options, dt_log *log, dt_world **out)
{
    dt_world *w = calloc(1, sizeof *w);
    if (!w) return dt_fail_memory(sizeof *w, "the world of ranks");
    w->options = *options;
    w->options.start_limit = or_default(options->start_limit, 300);
    w->options.wait_limit = or_default(options->wait_limit, 1800);
    w->options.hang_limit = or_default(options->hang_limit, 60);
    w->options.lost_limit = or_default(options->lost_limit, 15);
    w->log = log;
    dt_status status = dt_launch_read(&w->facts);
    if (!status) status = open_launched(w);
    if (status) {
        release(w);
        return status;
    }
    fill_peers(w);
    log_ranks(w);
    *out = w;
    return DT_OK;
}

/* MPI waits for all ranks, without end: so all are here first, and heartbeats go on meanwhile. */
static void end_mpi(dt_world *w)
{
    bool well = w->control ? dt_control_is_well(w->control) && !dt_world_barrier(w, "the end") : !w->failed;
    if (well) w->mpi->finalize();
}

void dt_world_close(dt_world *w)
{
    if (!w) return;
    if (w->mpi) end_mpi(w);
    if (w->control) dt_control_stop(w->control);
    release(w);
}

/* --- who is who --- */

dt_launch dt_world_launch(const dt_world *w) { return w ? w->facts.kind : DT_LAUNCH_SINGLE; }

int dt_world_rank(const dt_world *w) { return w ? w->facts.rank : 0; }

int dt_world_size(const dt_world *w) { return w ? w->facts.size : 1; }

int dt_world_local_rank(const dt_world *w) { return w ? w->members[w->facts.rank].local_rank : 0; }

int dt_world_local_size(const dt_world *w) { return w ? w->members[w->facts.rank].local_size : 1; }

const dt_mpi_calls *dt_world_mpi(const dt_world *w) { return w ? w->mpi : NULL; }

const dt_world_peer *dt_world_peer_of(const dt_world *w, int rank)
{
    static const dt_world_peer alone = {.host = "this host"};
    return w ? &w->peers[rank] : &alone;
}

/* --- collectives --- */

static dt_status meet(dt_world *w, dt_gathering kind, const char *what, const void *data, size_t bytes, void *out,
                      size_t room)
{
    dt_part part = {.kind = kind, .bytes = (int64_t)bytes};
    snprintf(part.what, sizeof part.what, "%s", what);
    memcpy(part.why, w->why, sizeof part.why);
    *w->why = '\0';
    if (bytes > DT_WORLD_MOST_BYTES || room > DT_WORLD_MOST_BYTES)
        return dt_fail(DT_ERR_DEVICE, "'%s': %zu bytes are more than the control channel carries", what,
                       bytes > room ? bytes : room);
    return dt_control_meet(w->control, &part, data, out, room);
}

static bool is_alone(const dt_world *w) { return !w || !w->control; }

dt_status dt_world_barrier(dt_world *w, const char *what)
{
    return is_alone(w) ? DT_OK : meet(w, DT_BARRIER, what, NULL, 0, NULL, 0);
}

dt_status dt_world_broadcast(dt_world *w, const char *what, void *data, size_t bytes)
{
    return is_alone(w) ? DT_OK : meet(w, DT_BROADCAST, what, w->facts.rank == 0 ? data : NULL, bytes, data, bytes);
}

dt_status dt_world_gather(dt_world *w, const char *what, const void *mine, size_t bytes, void *all)
{
    if (!is_alone(w)) return meet(w, DT_GATHER, what, mine, bytes, all, bytes * (size_t)w->facts.size);
    memcpy(all, mine, bytes);
    return DT_OK;
}

void dt_world_tell_failure(dt_world *w, const char *why)
{
    if (!is_alone(w)) snprintf(w->why, sizeof w->why, "%s", why);
}

/* --- agreement --- */

enum { VALUE_ROOM = 128, GROUPS_SHOWN = 4 };

typedef struct opinion {
    uint64_t hash;
    char value[VALUE_ROOM];
} opinion;

/* Appends the ranks that have the opinion of rank `of`, and their value; marks them as shown. */
static void add_group(const dt_world *w, const opinion *all, int of, bool *has, bool *shown, dt_text *out)
{
    for (int r = 0; r < w->facts.size; r++) {
        has[r] = all[r].hash == all[of].hash;
        shown[r] = shown[r] || has[r];
    }
    dt_members_list(w->members, has, w->facts.size, out);
    dt_text_add(out, ": %.*s", VALUE_ROOM - 1, all[of].value);
}

static dt_status fail_different(const dt_world *w, const char *what, const opinion *all)
{
    int size = w->facts.size, groups = 0;
    bool *has = calloc((size_t)size, sizeof *has), *shown = calloc((size_t)size, sizeof *shown);
    dt_text text = {0};
    dt_status status = has && shown ? DT_OK : dt_fail_memory((size_t)size, "the differences of ranks");
    for (int r = 0; !status && r < size && groups < GROUPS_SHOWN; r++) {
        if (shown[r]) continue;
        dt_text_add(&text, groups++ ? "; " : "");
        add_group(w, all, r, has, shown, &text);
    }
    if (!status) status = dt_text_status(&text);
    if (!status) status = dt_fail(DT_ERR_USAGE, "ranks differ in %s: %s", what, text.data);
    dt_text_free(&text);
    free(has);
    free(shown);
    return status;
}

dt_status dt_world_agree(dt_world *w, const char *what, uint64_t hash, const char *value)
{
    opinion mine = {.hash = hash};
    if (is_alone(w)) return DT_OK;
    if (value) snprintf(mine.value, sizeof mine.value, "%s", value);
    else snprintf(mine.value, sizeof mine.value, "%016llx", (unsigned long long)hash);
    opinion *all = calloc((size_t)w->facts.size, sizeof *all);
    if (!all) return dt_fail_memory((size_t)w->facts.size * sizeof *all, "what ranks have to agree in");
    dt_status status = dt_world_gather(w, what, &mine, sizeof mine, all);
    for (int r = 1; !status && r < w->facts.size; r++)
        if (all[r].hash != all[0].hash) status = fail_different(w, what, all);
    free(all);
    return status;
}

/* --- progress and failure --- */

void dt_world_progress(dt_world *w, int64_t step, int64_t work)
{
    if (!is_alone(w)) dt_control_progress(w->control, step, work);
}

void dt_world_evaluated(dt_world *w)
{
    if (!is_alone(w)) dt_control_evaluated(w->control);
}

void dt_world_begin_collective(dt_world *w)
{
    if (!is_alone(w)) dt_control_begin_collective(w->control);
}

dt_watching dt_world_watch(dt_world *w, dt_watching watching)
{
    return is_alone(w) ? DT_WATCH_NOTHING : dt_control_watch(w->control, watching);
}

void dt_world_abort(dt_world *w, const char *text)
{
    if (!w) return;
    if (w->control) dt_control_abort(w->control, text);
    else w->failed = true;
}
