/* Checkpoints that several ranks write together: the folder is the one that a single rank writes; a rank that fails,
 * is late or is killed leaves the earlier ones. Ranks are threads here, or processes where they are killed. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fault.h"
#include "base/file.h"
#include "toy_store.h"
#include "train/checkpoint_folder.h"
#include "train/checkpoint_save.h"
#include "train/deal.h"

enum { MOST_RANKS = 12 };

static const toy_options full = {DT_F32, .ema = true, .moments = true, .states = true, .classes = 4};

static int enter(void **state)
{
    static char name[32];
    strcpy(name, "dt-ranks-XXXXXX");
    *state = mkdtemp(name);
    return *state && chdir(*state) == 0 ? 0 : -1;
}

static int leave(void **state)
{
    dt_fault_arm(NULL);
    return chdir("..") == 0 && dt_folder_remove(*state) == DT_OK ? 0 : -1;
}

/* --- ranks as threads --- */

typedef struct rank_job {
    dt_checkpoint_options options;
    const dt_store *store;
    dt_progress progress;
    const atomic_bool *silent;
    pthread_t thread;
    dt_status status;
    char message[1024];
} rank_job;

static dt_status save_share(const rank_job *job)
{
    dt_checkpoint_plan *plan = NULL;
    dt_snapshot *snapshot = NULL;
    dt_status status = dt_checkpoint_plan_create(job->store, &job->options, &plan);
    if (!status) status = dt_checkpoint_plan_snapshot(plan, &snapshot);
    if (!status) status = dt_snapshot_take(snapshot);
    dt_checkpoint_work work = {.options = &job->options, .plan = plan, .snapshot = snapshot,
                               .progress = &job->progress, .settings_yaml = "seed: 1\n", .silent = job->silent};
    if (!status) status = dt_checkpoint_write(&work);
    dt_snapshot_free(snapshot);
    dt_checkpoint_plan_free(plan);
    return status;
}

static void *run_job(void *arg)
{
    rank_job *job = arg;
    job->status = save_share(job);
    if (job->status) snprintf(job->message, sizeof job->message, "%s", dt_error_message());
    return NULL;
}

static void make_jobs(const toy *t, dt_checkpoint_options options, int64_t step, rank_job jobs[MOST_RANKS])
{
    for (int rank = 0; rank < options.ranks; rank++) {
        options.rank = rank;
        jobs[rank] = (rank_job){.options = options, .store = t->store,
                                .progress = {.step = step, .samples = 64 * step, .best = NAN}};
    }
}

static void run_jobs(rank_job *jobs, int ranks)
{
    if (ranks > 1) OK(dt_checkpoint_prepare(&jobs[0].options, jobs[0].progress.step));
    for (int rank = 0; rank < ranks; rank++)
        assert_int_equal(pthread_create(&jobs[rank].thread, NULL, run_job, &jobs[rank]), 0);
    for (int rank = 0; rank < ranks; rank++) assert_int_equal(pthread_join(jobs[rank].thread, NULL), 0);
}

static void save_together(const toy *t, dt_checkpoint_options options, int64_t step)
{
    rank_job jobs[MOST_RANKS];
    make_jobs(t, options, step, jobs);
    run_jobs(jobs, options.ranks);
    for (int rank = 0; rank < options.ranks; rank++)
        if (jobs[rank].status) fail_msg("rank %d: %s", rank, jobs[rank].message);
}

/* --- who writes what --- */

static void deals_evenly(void **state)
{
    int64_t bytes[40], load[7] = {0}, sum = 0, largest = 0;
    int rank_of[40];
    for (int i = 0; i < 40; i++) {
        bytes[i] = (i * 7919) % 101;
        sum += bytes[i];
        if (bytes[i] > largest) largest = bytes[i];
    }
    OK(dt_deal(bytes, 40, 7, rank_of));
    for (int i = 0; i < 40; i++) {
        assert_in_range(rank_of[i], 0, 6);
        load[rank_of[i]] += bytes[i];
    }
    for (int rank = 0; rank < 7; rank++) assert_true(load[rank] <= sum / 7 + largest);
    OK(dt_deal((const int64_t[]){5, 5, 9}, 3, 2, rank_of));
    assert_int_equal(rank_of[2], 0);
    assert_int_equal(rank_of[0], 1);
    assert_int_equal(rank_of[1], 1);
}

/* Each tensor is in the snapshot of one rank, and of no other. */
static void each_rank_copies_its_own(void **state)
{
    enum { RANKS = 3 };
    toy t;
    dt_checkpoint_plan *plan[RANKS];
    dt_snapshot *snapshot[RANKS];
    toy_open(&t, full);
    for (int rank = 0; rank < RANKS; rank++) {
        dt_checkpoint_options options = {.folder = "checkpoints", .file_bytes = 150, .rank = rank, .ranks = RANKS};
        OK(dt_checkpoint_plan_create(t.store, &options, &plan[rank]));
        OK(dt_checkpoint_plan_snapshot(plan[rank], &snapshot[rank]));
    }
    for (int i = 0; i < dt_store_params(t.store); i++)
        for (int buffer = 0; buffer < DT_BUFFERS; buffer++) {
            int holders = 0;
            for (int rank = 0; rank < RANKS; rank++)
                holders += dt_snapshot_param(snapshot[rank], dt_store_param(t.store, i), (dt_buffer)buffer) != NULL;
            assert_int_equal(holders, DT_CHECKPOINT_BUFFERS >> buffer & 1);
        }
    for (int rank = 0; rank < RANKS; rank++) {
        dt_snapshot_free(snapshot[rank]);
        dt_checkpoint_plan_free(plan[rank]);
    }
    toy_close(&t);
}

/* Four matrices of 40 MiB, of which only the addresses are needed. */
static void large_weights_are_split_for_many_ranks(void **state)
{
    static const int files[] = {[1] = 1, [2] = 3, [4] = 5};
    dt_device *device;
    dt_store *store;
    dt_graph *graph;
    OK(dt_device_open(DT_CPU, 0, 1, &device));
    OK(dt_store_create(&store));
    OK(dt_graph_create(store, true, &graph));
    dt_unit_begin(graph, "all");
    for (int i = 0; i < 4; i++) {
        char name[16];
        snprintf(name, sizeof name, "w%d", i);
        assert_non_null(dt_param_tensor(graph, name, DT_SHAPE(10, 1 << 20), (dt_param_options){0}));
    }
    dt_unit_end(graph);
    OK(dt_store_layout(store, DT_F32));
    OK(dt_store_alloc(store, device, 1u << DT_BUFFER_VALUE));
    for (int ranks = 1; ranks <= 4; ranks *= 2) {
        dt_checkpoint_plan *plan;
        OK(dt_checkpoint_plan_create(store, &(dt_checkpoint_options){.ranks = ranks}, &plan));
        assert_int_equal(dt_checkpoint_plan_files(plan), files[ranks]); /* the parts, and their index */
        int parts[4] = {0}; /* of equal size */
        for (int i = 0; i < files[ranks]; i++)
            parts[dt_checkpoint_plan_rank(plan, i)] += !strstr(dt_checkpoint_plan_name(plan, i), ".index.json");
        for (int rank = 0; rank < ranks; rank++) assert_int_equal(parts[rank], 1);
        dt_checkpoint_plan_free(plan);
    }
    dt_graph_free(graph);
    dt_store_free(store);
    dt_device_close(device);
}

/* --- the folder --- */

static void assert_same_folders(const char *a, const char *b)
{
    char command[256];
    snprintf(command, sizeof command, "diff -r %s %s >&2", a, b);
    if (system(command) != 0) fail_msg("%s and %s differ", a, b);
}

static void the_folder_is_that_of_one_rank(void **state)
{
    static const int ranks[] = {2, 3, 5, MOST_RANKS}; /* at last more than there are files */
    for (int variant = 0; variant < 4; variant++) {
        toy t;
        toy_options kind = full;
        kind.moments = variant != 1;
        dt_checkpoint_options alone = {.folder = "alone", .compress = variant == 2,
                                       .file_bytes = variant == 3 ? 150 : 0};
        toy_open(&t, kind);
        toy_fill(&t, 7);
        dt_progress progress = {.step = 7, .samples = 64 * 7, .best = NAN};
        OK(dt_checkpoint_save(t.store, &progress, "seed: 1\n", NULL, &alone, NULL));
        for (size_t i = 0; i < sizeof ranks / sizeof *ranks; i++) {
            dt_checkpoint_options together = alone;
            together.folder = "together";
            together.ranks = ranks[i];
            save_together(&t, together, 7);
            assert_same_folders("alone", "together");
            OK(dt_folder_remove("together"));
        }
        OK(dt_folder_remove("alone"));
        toy_close(&t);
    }
}

static void old_ones_go(void **state)
{
    toy t, back;
    dt_progress progress;
    toy_open(&t, full);
    toy_open(&back, full);
    dt_checkpoint_options options = {.folder = "checkpoints", .keep = 1, .ranks = 3};
    OK(dt_folder_make("checkpoints/step-00000002.tmp/x")); /* of a save that was killed */
    for (int64_t step = 1; step <= 3; step++) {
        toy_fill(&t, step);
        save_together(&t, options, step);
    }
    char **names;
    size_t count;
    OK(dt_folder_list("checkpoints", &names, &count));
    assert_int_equal(count, 1);
    dt_folder_list_free(names, count);
    OK(toy_load(&back, "checkpoints/step-00000003", &progress, NULL));
    assert_true(toy_holds(&back, 3));
    toy_close(&back);
    toy_close(&t);
}

/* --- failures --- */

/* Only the checkpoint of step 1 is there. */
static void assert_untouched(void)
{
    char **names;
    size_t count;
    OK(dt_folder_list("checkpoints", &names, &count));
    assert_int_equal(count, 1);
    assert_string_equal(names[0], "step-00000001");
    dt_folder_list_free(names, count);
    OK(dt_checkpoint_verify("checkpoints/step-00000001", NULL, NULL));
}

static void assert_told(const rank_job *job, const char *what)
{
    assert_int_equal(job->status, DT_ERR_IO);
    if (!strstr(job->message, "checkpoint of step 2 not saved, earlier ones are kept: ") || !strstr(job->message, what))
        fail_msg("'%s' does not say: %s", job->message, what);
}

/* Every file in turn cannot be written, or not be synced: the rank whose it is says so, and rank 0 says it too. */
static void a_rank_that_fails_fails_all(void **state)
{
    enum { RANKS = 3 };
    toy t;
    dt_checkpoint_plan *plan;
    rank_job jobs[MOST_RANKS];
    dt_checkpoint_options options = {.folder = "checkpoints", .file_bytes = 150, .ranks = RANKS};
    toy_open(&t, full);
    toy_fill(&t, 1);
    save_together(&t, options, 1);
    OK(dt_checkpoint_plan_create(t.store, &options, &plan));
    for (int i = 0; i < dt_checkpoint_plan_files(plan); i++)
        for (int sync = 0; sync < 2; sync++) {
            char fault[96];
            const char *name = dt_checkpoint_plan_name(plan, i);
            int culprit = dt_checkpoint_plan_rank(plan, i);
            snprintf(fault, sizeof fault, "%s:1:%s", sync ? "sync" : "write", name);
            make_jobs(&t, options, 2, jobs);
            dt_fault_arm(fault);
            run_jobs(jobs, RANKS);
            dt_fault_arm(NULL);
            assert_told(&jobs[0], name);
            assert_told(&jobs[culprit], name);
            for (int rank = 1; rank < RANKS; rank++)
                if (rank != culprit && jobs[rank].status) fail_msg("rank %d: %s", rank, jobs[rank].message);
            char prefix[16];
            snprintf(prefix, sizeof prefix, "rank %d: ", culprit);
            assert_int_equal(strstr(jobs[0].message, prefix) != NULL, culprit != 0);
            assert_untouched();
        }
    dt_checkpoint_plan_free(plan);
    toy_close(&t);
}

/* The manifest, and the notes on which it waits. */
static void a_failure_behind_the_files_fails_all(void **state)
{
    static const char *const faults[] = {"write:1:manifest.json", "sync:1:manifest.json", "rename:1:done-0001.json",
                                         "write:1:done-0002.json", "rename:1:step-00000002"};
    toy t;
    rank_job jobs[MOST_RANKS];
    dt_checkpoint_options options = {.folder = "checkpoints", .ranks = 3};
    toy_open(&t, full);
    toy_fill(&t, 1);
    save_together(&t, options, 1);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        make_jobs(&t, options, 2, jobs);
        dt_fault_arm(faults[i]);
        run_jobs(jobs, 3);
        dt_fault_arm(NULL);
        assert_told(&jobs[0], "");
        assert_untouched();
    }
    toy_fill(&t, 2);
    save_together(&t, options, 2); /* and then it goes on */
    toy_close(&t);
}

static void a_late_rank_is_named(void **state)
{
    toy t;
    rank_job jobs[MOST_RANKS];
    dt_checkpoint_options options = {.folder = "checkpoints", .ranks = 3, .wait_limit = 0.2};
    toy_open(&t, full);
    toy_fill(&t, 1);
    save_together(&t, options, 1);
    make_jobs(&t, options, 2, jobs);
    OK(dt_checkpoint_prepare(&jobs[0].options, 2));
    run_job(&jobs[2]);
    assert_int_equal(jobs[2].status, DT_OK);
    run_job(&jobs[0]);
    assert_told(&jobs[0], "1 of 3 ranks, the first of them rank 1, have not written their files 0.2 s");
    run_job(&jobs[1]); /* too late: the folder is gone, does not come back, and rank 0 has told why */
    assert_int_equal(jobs[1].status, DT_OK);
    assert_untouched();
    toy_close(&t);
}

/* There was no room even for a note; rank 0 learns of it otherwise, and waits for the third. */
static void a_rank_that_fails_silently_fails_all(void **state)
{
    toy t;
    rank_job jobs[MOST_RANKS];
    atomic_bool silent[3] = {false, true, false};
    dt_checkpoint_options options = {.folder = "checkpoints", .ranks = 3};
    toy_open(&t, full);
    toy_fill(&t, 1);
    save_together(&t, options, 1);
    make_jobs(&t, options, 2, jobs);
    jobs[0].silent = silent;
    OK(dt_checkpoint_prepare(&jobs[0].options, 2));
    run_job(&jobs[2]);
    assert_int_equal(jobs[2].status, DT_OK);
    run_job(&jobs[0]);
    assert_told(&jobs[0], "rank 1 failed, and could not leave a note of it");
    assert_untouched();
    toy_close(&t);
}

static void a_folder_that_others_do_not_see_is_named(void **state)
{
    dt_checkpoint_options options = {.folder = "checkpoints", .rank = 1, .ranks = 2};
    assert_int_equal(dt_checkpoint_check_prepared(&options, 4), DT_ERR_IO);
    assert_non_null(strstr(dt_error_message(), "'checkpoints/step-00000004.tmp', which rank 0 has made, is not seen"));
    options.rank = 0;
    OK(dt_checkpoint_prepare(&options, 4));
    OK(dt_checkpoint_check_prepared(&options, 4));
}

/* --- kills --- */

/* One of the processes that save step after step together until they are killed. */
static void save_forever(int rank, int ranks, pthread_barrier_t *barrier)
{
    toy t;
    toy_open(&t, full);
    rank_job job = {.options = {.folder = "checkpoints", .keep = 2, .file_bytes = 150, .rank = rank, .ranks = ranks},
                    .store = t.store};
    for (int64_t step = 1;; step = step % 5 + 1) {
        toy_fill(&t, step);
        job.progress = (dt_progress){.step = step, .best = NAN};
        if (rank == 0 && dt_checkpoint_prepare(&job.options, step)) _exit(1);
        pthread_barrier_wait(barrier);
        if (save_share(&job)) _exit(1);
        pthread_barrier_wait(barrier);
    }
}

static pthread_barrier_t *shared_barrier(int ranks)
{
    pthread_barrierattr_t shared;
    pthread_barrier_t *barrier = mmap(NULL, sizeof *barrier, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(barrier != MAP_FAILED);
    assert_int_equal(pthread_barrierattr_init(&shared), 0);
    assert_int_equal(pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED), 0);
    assert_int_equal(pthread_barrier_init(barrier, &shared, (unsigned)ranks), 0);
    return barrier;
}

static void sleep_ms(int ms) { nanosleep(&(struct timespec){.tv_nsec = ms * 1000000L}, NULL); }

static void kill_and_wait(pid_t child)
{
    int result;
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_true(WIFSIGNALED(result));
}

/* Kills one rank after some milliseconds, and the others a little later, as the world does. */
static void kill_during_saves(int ranks, int victim, int ms)
{
    pid_t child[MOST_RANKS];
    pthread_barrier_t *barrier = shared_barrier(ranks);
    for (int rank = 0; rank < ranks; rank++) {
        child[rank] = fork();
        assert_true(child[rank] >= 0);
        if (child[rank] == 0) save_forever(rank, ranks, barrier);
    }
    sleep_ms(ms);
    kill_and_wait(child[victim]);
    sleep_ms(10);
    for (int rank = 0; rank < ranks; rank++)
        if (rank != victim) kill_and_wait(child[rank]);
    munmap(barrier, sizeof *barrier);
}

static void a_kill_of_any_rank_never_leaves_a_wrong_one(void **state)
{
    enum { KILLS = 24, RANKS = 3 };
    int loaded = 0;
    for (int i = 0; i < KILLS; i++) {
        char *path;
        toy t;
        dt_progress progress;
        kill_during_saves(RANKS, i % RANKS, 5 + 4 * i);
        if (dt_file_exists("checkpoints")) OK(dt_step_clean("checkpoints"));
        dt_status status = dt_checkpoint_find("checkpoints", NULL, NULL, &path, NULL);
        if (status == DT_ERR_DATA && !loaded) continue; /* killed before the first one */
        OK(status);
        toy_open(&t, full);
        OK(toy_load(&t, path, &progress, NULL));
        assert_true(toy_holds(&t, progress.step));
        toy_close(&t);
        free(path);
        loaded++;
    }
    assert_true(loaded > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(deals_evenly), TEST(each_rank_copies_its_own), TEST(large_weights_are_split_for_many_ranks),
        TEST(the_folder_is_that_of_one_rank), TEST(old_ones_go), TEST(a_rank_that_fails_fails_all),
        TEST(a_failure_behind_the_files_fails_all), TEST(a_late_rank_is_named),
        TEST(a_rank_that_fails_silently_fails_all), TEST(a_folder_that_others_do_not_see_is_named),
        TEST(a_kill_of_any_rank_never_leaves_a_wrong_one),
    };
    return cmocka_run_group_tests_name("checkpoint/ranks", tests, NULL, NULL);
}
