/* How a process was started, from the variables that launchers leave. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "comm/launch.h"

static const char *const names[] = {
    "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE",
    "PMI_SIZE", "PMI_RANK", "MPI_LOCALRANKID", "MPI_LOCALNRANKS", "PMIX_RANK", "SLURM_STEP_NUM_TASKS",
    "SLURM_LOCALID", "SLURM_PROCID", "SLURM_NTASKS", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE",
    "MASTER_ADDR", "MASTER_PORT", "DYTTRAIN_LAUNCH", NULL};

/* Leaves only the variables of "NAME=value" words. */
static void set(const char *const *words)
{
    for (const char *const *name = names; *name; name++) unsetenv(*name);
    for (; *words; words++) {
        char name[64];
        size_t length = strcspn(*words, "=");
        memcpy(name, *words, length);
        name[length] = '\0';
        setenv(name, *words + length + 1, 1);
    }
}

#define SET(...) set((const char *const[]){__VA_ARGS__, NULL})

static dt_launch_facts read_facts(void)
{
    dt_launch_facts facts;
    if (dt_launch_read(&facts)) fail_msg("%s", dt_error_message());
    return facts;
}

#define assert_refused(words, ...)                                                               \
    do {                                                                                         \
        dt_launch_facts facts_;                                                                  \
        SET(__VA_ARGS__);                                                                        \
        assert_int_equal(dt_launch_read(&facts_), DT_ERR_USAGE);                                 \
        if (!strstr(dt_error_message(), words)) fail_msg("'%s' lacks '%s'", dt_error_message(), words); \
    } while (0)

static void nothing_is_one_process(void **state)
{
    set((const char *const[]){NULL});
    dt_launch_facts facts = read_facts();
    assert_int_equal(facts.kind, DT_LAUNCH_SINGLE);
    assert_int_equal(facts.rank, 0);
    assert_int_equal(facts.size, 1);
    assert_int_equal(facts.local_size, 1);
    /* the shell of a Slurm allocation is not a rank */
    SET("SLURM_PROCID=0", "SLURM_NTASKS=8");
    assert_int_equal(read_facts().kind, DT_LAUNCH_SINGLE);
}

static void worlds_of_one_are_single(void **state)
{
    SET("RANK=0", "WORLD_SIZE=1");
    assert_int_equal(read_facts().kind, DT_LAUNCH_SINGLE);
    SET("OMPI_COMM_WORLD_SIZE=1", "OMPI_COMM_WORLD_RANK=0");
    assert_int_equal(read_facts().kind, DT_LAUNCH_SINGLE);
    SET("PMIX_RANK=0", "SLURM_STEP_NUM_TASKS=1");
    assert_int_equal(read_facts().kind, DT_LAUNCH_SINGLE);
    SET("SLURM_PROCID=0", "SLURM_STEP_NUM_TASKS=1");
    assert_int_equal(read_facts().kind, DT_LAUNCH_SINGLE);
    SET("DYTTRAIN_LAUNCH=single", "SLURM_PROCID=3", "SLURM_STEP_NUM_TASKS=8");
    assert_int_equal(read_facts().kind, DT_LAUNCH_SINGLE);
    SET("DYTTRAIN_LAUNCH=single", "RANK=1", "WORLD_SIZE=2");
    assert_int_equal(read_facts().size, 1);
}

static void the_environment_says_all(void **state)
{
    SET("RANK=3", "WORLD_SIZE=8", "LOCAL_RANK=1", "LOCAL_WORLD_SIZE=2", "MASTER_ADDR=a.example", "MASTER_PORT=4321");
    dt_launch_facts facts = read_facts();
    assert_int_equal(facts.kind, DT_LAUNCH_ENVIRONMENT);
    assert_int_equal(facts.rank, 3);
    assert_int_equal(facts.size, 8);
    assert_int_equal(facts.local_rank, 1);
    assert_int_equal(facts.local_size, 2);
    assert_string_equal(facts.address, "a.example");
    assert_int_equal(facts.port, 4321);
    SET("RANK=3", "WORLD_SIZE=8", "MASTER_ADDR=::1", "LOCAL_RANK=");
    facts = read_facts();
    assert_int_equal(facts.port, 29500);
    assert_int_equal(facts.local_rank, -1);
}

static void launchers_of_mpi_are_known(void **state)
{
    SET("OMPI_COMM_WORLD_SIZE=4", "OMPI_COMM_WORLD_RANK=2", "OMPI_COMM_WORLD_LOCAL_RANK=1",
        "OMPI_COMM_WORLD_LOCAL_SIZE=2", "RANK=7", "WORLD_SIZE=8");
    dt_launch_facts facts = read_facts();
    assert_int_equal(facts.kind, DT_LAUNCH_MPI);
    assert_int_equal(facts.rank, 2);
    assert_int_equal(facts.size, 4);
    assert_int_equal(facts.local_rank, 1);
    assert_int_equal(facts.local_size, 2);
    SET("PMI_SIZE=4", "PMI_RANK=3");
    facts = read_facts();
    assert_int_equal(facts.kind, DT_LAUNCH_MPI);
    assert_int_equal(facts.rank, 3);
    assert_int_equal(facts.local_rank, -1);
    SET("PMIX_RANK=5");
    facts = read_facts();
    assert_int_equal(facts.kind, DT_LAUNCH_MPI);
    assert_int_equal(facts.rank, 5);
    SET("PMIX_RANK=5", "RANK=1", "WORLD_SIZE=2", "MASTER_ADDR=a", "DYTTRAIN_LAUNCH=environment");
    assert_int_equal(read_facts().kind, DT_LAUNCH_ENVIRONMENT);
}

static void mistakes_are_named(void **state)
{
    assert_refused("RANK='-1' is not a whole number", "RANK=-1", "WORLD_SIZE=2");
    assert_refused("RANK='1x'", "RANK=1x", "WORLD_SIZE=2");
    assert_refused("RANK='99999999999999999999'", "RANK=99999999999999999999", "WORLD_SIZE=2");
    assert_refused("WORLD_SIZE='0'", "RANK=0", "WORLD_SIZE=0");
    assert_refused("has RANK but not WORLD_SIZE", "RANK=0");
    assert_refused("has WORLD_SIZE but not RANK", "WORLD_SIZE=4");
    assert_refused("RANK=4 is not below its WORLD_SIZE=4", "RANK=4", "WORLD_SIZE=4", "MASTER_ADDR=a");
    assert_refused("RANK=1 is not below its WORLD_SIZE=1", "RANK=1", "WORLD_SIZE=1");
    assert_refused("not MASTER_ADDR", "RANK=0", "WORLD_SIZE=4");
    assert_refused("MASTER_PORT='65536'", "RANK=0", "WORLD_SIZE=4", "MASTER_ADDR=a", "MASTER_PORT=65536");
    assert_refused("LOCAL_RANK=4 is not below WORLD_SIZE=4", "RANK=0", "WORLD_SIZE=4", "MASTER_ADDR=a", "LOCAL_RANK=4");
    assert_refused("LOCAL_RANK=2 is not below LOCAL_WORLD_SIZE=2", "RANK=0", "WORLD_SIZE=4", "MASTER_ADDR=a",
                   "LOCAL_RANK=2", "LOCAL_WORLD_SIZE=2");
    assert_refused("LOCAL_WORLD_SIZE=8 is more than its WORLD_SIZE=4", "RANK=0", "WORLD_SIZE=4", "MASTER_ADDR=a",
                   "LOCAL_WORLD_SIZE=8");
    assert_refused("none of single, mpi, environment", "DYTTRAIN_LAUNCH=torch");
    assert_refused("no launcher of MPI", "DYTTRAIN_LAUNCH=mpi");
    assert_refused("RANK and WORLD_SIZE are not set", "DYTTRAIN_LAUNCH=environment");
    assert_refused("srun started 8 tasks that do not know of each other", "SLURM_PROCID=3", "SLURM_STEP_NUM_TASKS=8");
    assert_refused("OMPI_COMM_WORLD_SIZE='x'", "OMPI_COMM_WORLD_SIZE=x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_one_process),     cmocka_unit_test(worlds_of_one_are_single),
        cmocka_unit_test(the_environment_says_all),   cmocka_unit_test(launchers_of_mpi_are_known),
        cmocka_unit_test(mistakes_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
