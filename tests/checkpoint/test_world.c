/* Savers and loaders of the ranks of a world: the same answers on all, whichever rank fails, and however. A rank is a
 * process; what it finds wrong it prints, and then it ends with another code than 0. */
#include <math.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fault.h"
#include "base/file.h"
#include "toy_store.h"
#include "train/ranks.h"
#include "train/saver.h"

enum { RANKS = 3 };

static const toy_options full = {DT_F32, .ema = true, .moments = true, .states = true, .classes = 4};

/* --- processes --- */

#define EXPECT(condition)                                                                              \
    do {                                                                                               \
        if (condition) break;                                                                          \
        fprintf(stderr, "rank %s, line %d: not %s: %s\n", getenv("RANK"), __LINE__, #condition,        \
                dt_error_message());                                                                   \
        _exit(1);                                                                                      \
    } while (0)

static char folder[32];

static int enter(void **state)
{
    strcpy(folder, "dt-world-XXXXXX");
    return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int leave(void **state) { return chdir("..") == 0 && dt_folder_remove(folder) == DT_OK ? 0 : -1; }

static int free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static void set_number(const char *name, int value)
{
    char text[16];
    snprintf(text, sizeof text, "%d", value);
    setenv(name, text, 1);
}

/* What every rank of a test has. */
typedef struct rank {
    dt_world *world;
    int number;
    toy toy;
    dt_saver *saver;
    bool hangs; /* some rank is to: the verdict is what is awaited */
} rank;

typedef void (*rank_body)(rank *);

/* A verdict where rank 1 hangs while it saves is right, any other is wrong. */
static void end_by_verdict(void *context, const dt_verdict *verdict)
{
    const rank *r = context;
    bool right = r->hangs && verdict->rank == 1 && strstr(verdict->text, "in saving after step 0, where the others");
    if (!right) fprintf(stderr, "rank %d: %s\n", r->number, verdict->text);
    _exit(!right);
}

static void be_rank(int number, int port, rank_body body)
{
    rank r = {.number = number};
    const dt_world_options limits = {.hang_limit = 2, .on_verdict = end_by_verdict, .context = &r};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm(60);
    set_number("RANK", number);
    set_number("WORLD_SIZE", RANKS);
    set_number("MASTER_PORT", port);
    setenv("MASTER_ADDR", "127.0.0.1", 1);
    EXPECT(!dt_world_open(&limits, NULL, &r.world));
    toy_open(&r.toy, full);
    dt_checkpoint_options options = {.folder = "checkpoints", .keep = 2, .file_bytes = 150};
    EXPECT(!dt_saver_create(r.toy.store, "seed: 1\n", &options, r.world, NULL, &r.saver));
    body(&r);
    dt_saver_free(r.saver);
    toy_close(&r.toy);
    dt_world_close(r.world);
    _exit(0);
}

static void as_ranks(rank_body body)
{
    pid_t child[RANKS];
    int port = free_port(), how;
    for (int r = 0; r < RANKS; r++) {
        child[r] = fork();
        assert_true(child[r] >= 0);
        if (child[r] == 0) be_rank(r, port, body);
    }
    for (int r = 0; r < RANKS; r++) {
        assert_int_equal(waitpid(child[r], &how, 0), child[r]);
        if (how) fail_msg("rank %d ended with %#x", r, how);
    }
}

/* --- what they do --- */

static dt_status start(rank *r, int64_t step)
{
    toy_fill(&r->toy, step);
    return dt_saver_start(r->saver, &(dt_progress){.step = step, .samples = 64 * step, .best = NAN}, json_object());
}

static void save(rank *r, int64_t step)
{
    EXPECT(!start(r, step));
    EXPECT(!dt_saver_wait(r->saver));
}

static void expect_found(rank *r, int64_t step)
{
    char want[64], *path;
    dt_progress progress;
    json_t *manifest;
    snprintf(want, sizeof want, "checkpoints/step-%08lld", (long long)step);
    EXPECT(!dt_checkpoint_find("checkpoints", r->world, NULL, &path, &manifest));
    EXPECT(!strcmp(path, want));
    toy_fill(&r->toy, 999);
    EXPECT(!dt_checkpoint_load(path, manifest, r->world, r->toy.store, &progress));
    EXPECT(toy_holds(&r->toy, step));
    EXPECT(progress.samples == 64 * step);
    json_decref(manifest);
    free(path);
}

static void expect_words(const char *words) { EXPECT(strstr(dt_error_message(), words)); }

/* The same on all, as if one rank had asked the others. */
static void wait_for_all(rank *r) { EXPECT(!dt_world_barrier(r->world, "the test")); }

static void save_and_load(rank *r)
{
    char *path;
    EXPECT(dt_checkpoint_find("checkpoints", r->world, NULL, &path, NULL) == DT_ERR_DATA);
    EXPECT(!dt_saver_wait(r->saver)); /* nothing to wait for */
    for (int64_t step = 1; step <= 4; step++) {
        EXPECT(!start(r, step));
        toy_fill(&r->toy, 100 + step); /* the next update, while the step is written */
        EXPECT(!dt_saver_poll(r->saver));
        EXPECT(!dt_saver_wait(r->saver));
        expect_found(r, step);
    }
    EXPECT(dt_file_exists("checkpoints/step-00000003") && !dt_file_exists("checkpoints/step-00000002"));
}

/* Rank `bad` cannot write; all learn of it, in its words, and go on. */
static void fail_on(rank *r, int bad, const char *fault, bool polls)
{
    char who[32];
    dt_status status;
    save(r, 1);
    if (r->number == bad) dt_fault_arm(fault);
    EXPECT(!start(r, 2));
    if (polls)
        while (!(status = dt_saver_poll(r->saver))) nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    else status = dt_saver_wait(r->saver);
    EXPECT(status == DT_ERR_IO);
    expect_words("checkpoint of step 2 not saved, earlier ones are kept: ");
    expect_words("No space left on device");
    snprintf(who, sizeof who, "rank %d", bad);
    if (bad != r->number && bad != 0) expect_words(who);
    EXPECT(!dt_saver_wait(r->saver)); /* told once */
    dt_fault_arm(NULL);
    expect_found(r, 1);
    save(r, 3);
    expect_found(r, 3);
}

static void fail_on_each(rank *r)
{
    for (int bad = 0; bad < RANKS; bad++)
        for (int polls = 0; polls < 2; polls++) fail_on(r, bad, "write:1:.safetensors", polls);
}

/* There is not even room for a note. */
static void fail_without_a_note(rank *r)
{
    for (int bad = 0; bad < RANKS; bad++)
        for (int polls = 0; polls < 2; polls++) fail_on(r, bad, "write:1+:step-00000002", polls);
}

/* Rank 0 cannot make the folder. */
static void fail_to_begin(rank *r)
{
    save(r, 1);
    wait_for_all(r);
    if (r->number == 0) EXPECT(!rename("checkpoints", "aside") && !dt_file_replace("checkpoints", "", 0));
    EXPECT(start(r, 2) == DT_ERR_IO);
    expect_words("checkpoint of step 2 not saved: ");
    expect_words("cannot make folder 'checkpoints': ");
    EXPECT(!dt_saver_wait(r->saver));
    if (r->number == 0) EXPECT(!unlink("checkpoints") && !rename("aside", "checkpoints"));
    save(r, 3);
    expect_found(r, 3);
}

/* A rank whose folder is not that of the others, as on a disk of its own. */
static void be_apart(rank *r)
{
    char *path;
    if (r->number == 1) EXPECT(!dt_folder_make("elsewhere/checkpoints") && !chdir("elsewhere"));
    wait_for_all(r);
    EXPECT(start(r, 1) == DT_ERR_IO);
    expect_words("'checkpoints/step-00000001.tmp', which rank 0 has made, is not seen here: run.dir must be on a file");
    if (r->number == 1) EXPECT(!chdir(".."));
    save(r, 1);
    if (r->number == 1) { /* it has an older copy */
        EXPECT(!system("cp -r checkpoints/step-00000001 elsewhere/checkpoints"));
        EXPECT(!chdir("elsewhere"));
        EXPECT(!system("sed -i 's/checksum/cheksum/' checkpoints/step-00000001/manifest.json"));
    }
    wait_for_all(r);
    EXPECT(dt_checkpoint_find("checkpoints", r->world, NULL, &path, NULL) == DT_ERR_IO);
    expect_words("none of the 1 checkpoints in 'checkpoints' is valid");
}

/* Another run's checkpoint of that step is as valid, and still not the one that rank 0 goes on from. */
static void see_another(rank *r)
{
    char *path;
    if (r->number == 2) {
        toy_fill(&r->toy, 5);
        EXPECT(!dt_folder_make("elsewhere") && !chdir("elsewhere"));
        dt_checkpoint_options alone = {.folder = "checkpoints"};
        EXPECT(!dt_checkpoint_save(r->toy.store, &(dt_progress){.step = 1, .best = NAN}, "", NULL, &alone, NULL));
        EXPECT(!chdir(".."));
    }
    save(r, 1);
    if (r->number == 2) EXPECT(!chdir("elsewhere"));
    EXPECT(dt_checkpoint_find("checkpoints", r->world, NULL, &path, NULL) == DT_ERR_IO);
    expect_words("'checkpoints/step-00000001' is not what rank 0 sees under this name: it must lie on a file");
}

static const char *const some_files[] = {"manifest.json", "state-0002.safetensors", "model-00001-of-00003.safetensors",
                                         "ema.safetensors.index.json", "state.safetensors"};

/* Whichever rank's share a damaged file is in, all pass the checkpoint over. */
static void meet_damage(rank *r)
{
    char path[128], *found;
    for (size_t i = 0; i < sizeof some_files / sizeof *some_files; i++) {
        save(r, 1);
        save(r, 2);
        snprintf(path, sizeof path, "checkpoints/step-00000002/%s", some_files[i]);
        EXPECT(dt_file_exists(path));
        wait_for_all(r);
        if (r->number == 0) EXPECT(!truncate(path, 20));
        wait_for_all(r);
        expect_found(r, 1);
        EXPECT(dt_checkpoint_verify("checkpoints/step-00000002", r->world, NULL) == DT_ERR_DATA);
        if (r->number == 0) EXPECT(!unlink(path) && !symlink(some_files[i], path)); /* of itself: cannot be read */
        wait_for_all(r);
        EXPECT(dt_checkpoint_find("checkpoints", r->world, NULL, &found, NULL) == DT_ERR_IO);
        expect_words("cannot tell whether the checkpoint 'checkpoints/step-00000002' is whole: ");
        expect_words(some_files[i]);
    }
}

/* Whichever rank sees that one was removed behind the list of names, all list anew. */
static void meet_removals(rank *r)
{
    char *found;
    for (int who = 0; who < RANKS; who++) {
        save(r, 1);
        save(r, 2);
        if (r->number == who) dt_fault_arm("gone:1+:/manifest.json");
        EXPECT(dt_checkpoint_find("checkpoints", r->world, NULL, &found, NULL) == DT_ERR_DATA);
        expect_words("there is no checkpoint in 'checkpoints'");
        dt_fault_arm(NULL);
        wait_for_all(r);
    }
}

static void weights_go_to_all(rank *r)
{
    save(r, 1);
    save(r, 2);
    EXPECT(!dt_folder_make("run"));
    wait_for_all(r);
    if (r->number == 0) EXPECT(!rename("checkpoints", "run/checkpoints"));
    wait_for_all(r);
    dt_weights_options options = {.world = r->world};
    toy_fill(&r->toy, 5);
    EXPECT(!dt_weights_load("run", r->toy.store, &options, NULL));
    double want[12], have[12];
    const dt_param *head = dt_store_find(r->toy.store, "head.weight");
    EXPECT(!dt_store_read(r->toy.store, head, DT_BUFFER_VALUE, DT_F64, have));
    toy_fill(&r->toy, 2);
    EXPECT(!dt_store_read(r->toy.store, head, DT_BUFFER_VALUE, DT_F64, want));
    EXPECT(!memcmp(want, have, sizeof want));
    if (r->number == 2) EXPECT(!dt_folder_make("elsewhere") && !chdir("elsewhere"));
    EXPECT(dt_weights_load("run", r->toy.store, &options, NULL) == DT_ERR_IO);
    expect_words("there is no 'run' here, where every rank must see it");
    if (r->number == 2) EXPECT(!chdir(".."));
    wait_for_all(r);
    if (r->number == 0) EXPECT(!truncate("run/checkpoints/step-00000001/ema.safetensors.index.json", 3));
    wait_for_all(r);
    EXPECT(dt_weights_load("run/checkpoints/step-00000001", r->toy.store, &options, NULL) == DT_ERR_DATA);
}

/* The run fails while a save is under way: no rank leaves before rank 0 has put the checkpoint into its place, and what
 * was said of the failure stays. */
static void finish_behind_a_failure(rank *r)
{
    for (int step = 1; step <= 2; step++) {
        if (step == 2 && r->number == 1) dt_fault_arm("write:1+:step-00000002");
        EXPECT(!start(r, step));
        EXPECT(dt_saver_finish(r->saver, dt_fail(DT_ERR_NUMERIC, "the loss is not finite")) == DT_ERR_NUMERIC);
        EXPECT(dt_file_exists("checkpoints/step-00000001/manifest.json"));
        expect_words("the loss is not finite");
        dt_error_clear();
        dt_fault_arm(NULL);
        EXPECT(!dt_saver_wait(r->saver));
        wait_for_all(r);
    }
}

/* A failure that is found at once, as damage in the first file that is read, waits for who reads for longer than others
 * may take where one has failed for good. */
static void failures_wait_for_readers(rank *r)
{
    if (r->number == 0) nanosleep(&(struct timespec){.tv_sec = 22}, NULL);
    dt_status mine = r->number == 1 ? dt_fail(DT_ERR_DATA, "a file is damaged") : DT_OK;
    EXPECT(dt_ranks_join_in_time(r->world, "the files", mine) == DT_ERR_DATA);
    expect_words("a file is damaged");
    wait_for_all(r);
}

/* Rank 1 copies, and does not get on. */
static void hang_copying(rank *r)
{
    r->hangs = true;
    if (r->number == 1) {
        dt_world_watch(r->world, DT_WATCH_SAVING);
        EXPECT(!dt_ranks_join(r->world, "memory to save in", DT_OK));
        nanosleep(&(struct timespec){.tv_sec = 50}, NULL);
    }
    EXPECT(start(r, 1));
    EXPECT(!"an end");
}

/* Rank 1 does not ask how the save gets on. */
static void hang_waiting(rank *r)
{
    EXPECT(!start(r, 1));
    r->hangs = true;
    if (r->number == 1) {
        dt_world_watch(r->world, DT_WATCH_SAVING);
        nanosleep(&(struct timespec){.tv_sec = 50}, NULL);
    }
    EXPECT(dt_saver_wait(r->saver));
    EXPECT(!"an end");
}

static void run_body(void **state) { as_ranks(*(const rank_body *)*state); }

#define TEST(body)                                                                                         \
    {                                                                                                      \
        #body, run_body, enter, leave, &(rank_body) { body }                                               \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(save_and_load), TEST(fail_on_each), TEST(fail_without_a_note), TEST(fail_to_begin), TEST(be_apart),
        TEST(see_another), TEST(meet_damage), TEST(meet_removals), TEST(weights_go_to_all),
        TEST(finish_behind_a_failure), TEST(failures_wait_for_readers), TEST(hang_copying), TEST(hang_waiting),
    };
    return cmocka_run_group_tests_name("checkpoint/world", tests, NULL, NULL);
}
