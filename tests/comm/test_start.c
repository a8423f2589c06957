/* How ranks find each other: over IPv4, IPv6, names and MPI's invitation, in any order; and everything that can be
 * wrong with a start, each of which must be named on all ranks that are there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/threads.h"
#include "crew.h"

enum { TIME = 40 };

static const char *program, *fake_mpi;

/* All ended with this code and say these words. */
static void assert_all(const crew *c, int code, const char *words)
{
    for (int r = 0; r < c->size; r++) {
        if (c->codes[r] != code) {
            crew_show(c);
            fail_msg("process %d ended with %d, not %d", r, c->codes[r], code);
        }
        crew_assert_says(c, r, words);
    }
}

static void nap(double seconds) { nanosleep(&(struct timespec){.tv_nsec = (long)(seconds * 1e9)}, NULL); }

static void start_at(crew *c, int ranks, const char *address)
{
    crew_begin(c, crew_port());
    for (int r = 0; r < ranks; r++) crew_add_rank(c, program, r, ranks, address, "20 20 20 10 collectives close");
    crew_wait(c, TIME);
}

static void addresses_of_all_kinds_do(void **state)
{
    static const char *const addresses[] = {"127.0.0.1", "localhost", "::1", "127.0.0.5"};
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        crew c;
        int v6 = socket(AF_INET6, SOCK_STREAM, 0);
        struct sockaddr_in6 own = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
        bool has_v6 = v6 >= 0 && bind(v6, (struct sockaddr *)&own, sizeof own) == 0;
        if (v6 >= 0) close(v6);
        if (strchr(addresses[i], ':') && !has_v6) {
            print_message("no IPv6 on this machine: not tested\n");
            continue;
        }
        start_at(&c, 3, addresses[i]);
        assert_all(&c, 0, "done");
        crew_end(&c);
    }
}

static void rank_0_may_come_last(void **state)
{
    crew c;
    crew_begin(&c, crew_port());
    crew_add_rank(&c, program, 2, 3, "127.0.0.1", "20 20 20 10 collectives close");
    crew_add_rank(&c, program, 1, 3, "127.0.0.1", "20 20 20 10 collectives close");
    nap(0.9);
    crew_add_rank(&c, program, 0, 3, "127.0.0.1", "20 20 20 10 collectives close");
    crew_wait(&c, TIME);
    assert_all(&c, 0, "done");
    crew_end(&c);
}

static void many_ranks_meet(void **state)
{
    crew c;
    crew_start(&c, program, 60, "30 30 30 15 barrier barrier close");
    crew_wait(&c, TIME);
    assert_all(&c, 0, "done");
    crew_end(&c);
}

/* --- who does not come --- */

static void an_absent_rank_is_named(void **state)
{
    crew c;
    crew_begin(&c, crew_port());
    for (int r = 0; r < 6; r++)
        if (r != 2 && r < 4) crew_add_rank(&c, program, r, 6, "127.0.0.1", "1 20 20 10 barrier close");
    crew_wait(&c, TIME);
    assert_all(&c, 1, "error: ranks 2, 4-5 of 6 did not come to rank 0 on ");
    for (int r = 0; r < c.size; r++) crew_assert_says(&c, r, " s (parallel.start_limit)");
    crew_end(&c);
}

static void an_absent_rank_0_is_named(void **state)
{
    crew c;
    crew_begin(&c, crew_port());
    crew_add_rank(&c, program, 1, 2, "127.0.0.1", "1 20 20 10 barrier close");
    crew_wait(&c, TIME);
    assert_all(&c, 1, "error: rank 1 on ");
    crew_assert_says(&c, 0, "did not reach rank 0 within ");
    crew_assert_says(&c, 0, " s (parallel.start_limit): cannot connect to 127.0.0.1:");
    crew_assert_says(&c, 0, "Connection refused");
    crew_end(&c);
}

static void a_name_that_does_not_resolve_is_named(void **state)
{
    crew c;
    crew_begin(&c, crew_port());
    crew_add_rank(&c, program, 1, 2, "no such host", "1 20 20 10 barrier close");
    crew_add_rank(&c, program, 0, 2, "no such host", "1 20 20 10 barrier close");
    crew_wait(&c, TIME);
    crew_assert_says(&c, 0, "cannot find rank 0: MASTER_ADDR 'no such host' does not resolve: ");
    crew_assert_says(&c, 1, "warning: MASTER_ADDR 'no such host' does not resolve: ");
    crew_end(&c);
}

static void who_dies_while_others_come_is_named(void **state)
{
    crew c;
    crew_begin(&c, crew_port());
    crew_add_rank(&c, program, 0, 3, "127.0.0.1", "20 20 20 10 barrier close");
    int victim = crew_add_rank(&c, program, 1, 3, "127.0.0.1", "20 20 20 10 barrier close");
    nap(0.6);
    kill(c.pids[victim], SIGKILL);
    crew_wait(&c, TIME);
    crew_assert_says(&c, 0, "error: rank 1 on ");
    crew_assert_says(&c, 0, "ended without saying why while ranks were still coming");
    crew_end(&c);
    crew_begin(&c, crew_port());
    victim = crew_add_rank(&c, program, 0, 3, "127.0.0.1", "20 20 20 10 barrier close");
    crew_add_rank(&c, program, 1, 3, "127.0.0.1", "20 20 20 10 barrier close");
    nap(0.6);
    kill(c.pids[victim], SIGKILL);
    crew_wait(&c, TIME);
    crew_assert_says(&c, 1, "error: rank 0 ended without saying why while ranks were still coming");
    crew_end(&c);
}

/* --- who comes and should not --- */

static void who_is_stopped_while_others_come_is_named(void **state)
{
    for (int bad = 0; bad < 2; bad++) {
        crew c;
        crew_begin(&c, crew_port());
        crew_add_rank(&c, program, 0, 3, "127.0.0.1", "40 20 20 3 barrier close");
        crew_add_rank(&c, program, 1, 3, "127.0.0.1", "40 20 20 3 barrier close");
        nap(0.9);
        kill(c.pids[bad], SIGSTOP);
        crew_wait(&c, TIME);
        crew_assert_says(&c, !bad, bad ? "error: rank 1 on " : "error: rank 0 said nothing for ");
        crew_assert_says(&c, !bad, bad ? "no sign of life for " : "it is stopped");
        assert_true(c.ends[!bad] < 15);
        crew_end(&c);
    }
}

static void a_taken_port_is_named(void **state)
{
    crew c;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int holder = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char words[64];
    assert_int_equal(bind(holder, (struct sockaddr *)&address, length), 0);
    assert_int_equal(listen(holder, 1), 0);
    getsockname(holder, (struct sockaddr *)&address, &length);
    crew_begin(&c, ntohs(address.sin_port));
    crew_add_rank(&c, program, 0, 2, "127.0.0.1", "2 20 20 10 barrier close");
    crew_wait(&c, TIME);
    snprintf(words, sizeof words, "error: port %d of this host is taken", c.port);
    assert_all(&c, 1, words);
    crew_assert_says(&c, 0, "set MASTER_PORT");
    crew_end(&c);
    /* and another rank, which finds it silent, waits no longer than it was told */
    crew_begin(&c, ntohs(address.sin_port));
    crew_add_rank(&c, program, 1, 2, "127.0.0.1", "2 20 20 10 barrier close");
    crew_wait(&c, TIME);
    assert_all(&c, 1, "did not reach rank 0 within 2 s (parallel.start_limit): what listens there did not answer");
    assert_true(c.ends[0] < 8);
    crew_end(&c);
    close(holder);
}

static void other_world_sizes_are_named(void **state)
{
    crew c;
    crew_begin(&c, crew_port());
    crew_add_rank(&c, program, 0, 3, "127.0.0.1", "10 20 20 10 barrier close");
    crew_add_rank(&c, program, 1, 3, "127.0.0.1", "10 20 20 10 barrier close");
    nap(0.3);
    crew_add_rank(&c, program, 2, 4, "127.0.0.1", "10 20 20 10 barrier close");
    crew_wait(&c, TIME);
    assert_all(&c, 1, "was started with a world size of 4, and rank 0 on ");
    crew_end(&c);
}

static void two_of_one_rank_are_named(void **state)
{
    crew c;
    crew_begin(&c, crew_port());
    crew_add_rank(&c, program, 0, 3, "127.0.0.1", "10 20 20 10 barrier close");
    crew_add_rank(&c, program, 1, 3, "127.0.0.1", "10 20 20 10 barrier close");
    crew_add_rank(&c, program, 1, 3, "127.0.0.1", "10 20 20 10 barrier close");
    crew_wait(&c, TIME);
    assert_all(&c, 1, "error: two processes came as rank 1: process ");
    crew_end(&c);
}

/* As those of two containers on one host: each is process 1 of its own. */
static void two_of_one_rank_and_number_are_named(void **state)
{
    crew c;
    char arguments[4200];
    if (geteuid() != 0 || system("unshare --pid --fork true") != 0) skip(); /* systems permit it to root, if at all */
    snprintf(arguments, sizeof arguments, "--pid --fork --kill-child %s 10 20 20 10 barrier close", program);
    crew_begin(&c, crew_port());
    crew_add_rank(&c, program, 0, 3, "127.0.0.1", "10 20 20 10 barrier close");
    crew_add_rank(&c, "/usr/bin/unshare", 1, 3, "127.0.0.1", arguments);
    crew_add_rank(&c, "/usr/bin/unshare", 1, 3, "127.0.0.1", arguments);
    crew_wait(&c, TIME);
    assert_all(&c, 1, "error: two processes came as rank 1: process 1 on ");
    crew_end(&c);
}

/* The same program with a byte more at its end. */
static void another_build_is_named(void **state)
{
    crew c;
    char path[] = "/tmp/dyttrain-rank-XXXXXX", *bytes;
    size_t size;
    int fd = mkstemp(path);
    assert_int_equal(dt_file_read(program, (size_t)1 << 30, &bytes, &size), DT_OK);
    assert_int_equal(dt_file_write_all(fd, bytes, size + 1, path), DT_OK);
    assert_int_equal(fchmod(fd, 0755), 0);
    close(fd);
    free(bytes);
    crew_begin(&c, crew_port());
    crew_add_rank(&c, program, 0, 3, "127.0.0.1", "10 20 20 10 barrier close");
    crew_add_rank(&c, program, 1, 3, "127.0.0.1", "10 20 20 10 barrier close");
    nap(0.3);
    crew_add_rank(&c, path, 2, 3, "127.0.0.1", "10 20 20 10 barrier close");
    crew_wait(&c, TIME);
    unlink(path);
    assert_all(&c, 1, "runs another build of dyttrain ");
    crew_end(&c);
}

static int connect_to(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons((uint16_t)port)};
    double end = dt_clock() + 10;
    while (dt_clock() < end) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
        close(fd);
        nap(0.01);
    }
    fail_msg("nobody listens on port %d", port);
    return -1;
}

static void say(int fd, const char *bytes, size_t count)
{
    assert_int_equal(send(fd, bytes, count, MSG_NOSIGNAL), count);
}

static void strangers_do_not_disturb(void **state)
{
    enum { SILENT = 80 }; /* more than rank 0 keeps: they are not in the way of ranks for ever */
    crew c;
    int silent[SILENT];
    char noise[5000];
    for (size_t i = 0; i < sizeof noise; i++) noise[i] = (char)(i * i * 7 + i / 3);
    crew_begin(&c, crew_port());
    crew_add_rank(&c, program, 0, 3, "127.0.0.1", "30 20 20 10 collectives close");
    int talker = connect_to(c.port), web = connect_to(c.port), long_one = connect_to(c.port);
    say(talker, noise, sizeof noise);
    say(web, "GET / HTTP/1.1\r\n\r\n", 18);
    say(long_one, "DYTw\1\0\0\0\xff\xff\xff\xff\0\0\0\0", 16);
    close(connect_to(c.port));
    for (int i = 0; i < SILENT; i++) silent[i] = connect_to(c.port);
    crew_add_rank(&c, program, 1, 3, "127.0.0.1", "30 20 20 10 collectives close");
    crew_add_rank(&c, program, 2, 3, "127.0.0.1", "30 20 20 10 collectives close");
    crew_wait(&c, TIME);
    assert_all(&c, 0, "done");
    crew_assert_says(&c, 0, "was sent away while ranks come: what arrived is not a message of this program");
    crew_assert_says(&c, 0, "was sent away while ranks come: a message of 4294967295 bytes is longer than the 4096");
    crew_end(&c);
    for (int i = 0; i < SILENT; i++) close(silent[i]);
    close(talker);
    close(web);
    close(long_one);
}

/* --- MPI --- */

static void start_mpi(crew *c, int ranks, const char *plugin, const char *arguments)
{
    char path[] = "/tmp/dyttrain-mpi-XXXXXX", words[4][400];
    int fd = mkstemp(path);
    close(fd);
    unlink(path);
    snprintf(words[0], sizeof words[0], "DYTTRAIN_MPI_PLUGIN=%s", plugin);
    snprintf(words[1], sizeof words[1], "FAKE_MPI_FILE=%s", path);
    snprintf(words[2], sizeof words[2], "OMPI_COMM_WORLD_SIZE=%d", ranks);
    crew_begin(c, 0);
    for (int r = 0; r < ranks; r++) {
        snprintf(words[3], sizeof words[3], "OMPI_COMM_WORLD_RANK=%d", r);
        crew_add(c, (const char *const[]){words[0], words[1], words[2], words[3], NULL}, program, arguments);
    }
    crew_wait(c, TIME);
    unlink(path);
}

static void mpi_brings_ranks_together(void **state)
{
    crew c;
    start_mpi(&c, 3, fake_mpi, "20 20 20 10 collectives place close");
    assert_all(&c, 0, "done");
    for (int r = 0; r < c.size; r++) {
        char place[64];
        snprintf(place, sizeof place, "rank %d of 3, local %d of 3, launch 1", r, r);
        crew_assert_says(&c, r, place);
        crew_assert_says(&c, r, "MPI was ended");
    }
    crew_assert_says(&c, 0, "3 ranks on 1 host, started by MPI");
    crew_end(&c);
    /* behind a failure MPI is not ended: that would wait for the one who failed */
    start_mpi(&c, 3, fake_mpi, "20 20 20 10 stay barrier only 2 kill barrier close");
    crew_assert_says(&c, 0, "error: rank 2 on ");
    assert_null(strstr(c.texts[0], "MPI was ended"));
    crew_end(&c);
}

/* MPI would wait for it in its end. */
static void who_does_not_come_to_the_end_of_mpi_is_named(void **state)
{
    crew c;
    start_mpi(&c, 3, fake_mpi, "20 20 20 3 barrier only 1 stop close");
    for (int r = 0; r < 3; r++) {
        if (r == 1) continue;
        crew_assert_says(&c, r, "verdict 1: rank 1");
        assert_null(strstr(c.texts[r], "MPI was ended"));
    }
    crew_end(&c);
    start_mpi(&c, 3, fake_mpi, "20 1 20 10 barrier only 2 sleep30 close");
    for (int r = 0; r < 2; r++) crew_assert_says(&c, r, "did not come to 'the end' within ");
    crew_end(&c);
}

static void mpi_without_plug_in_is_named(void **state)
{
    crew c;
    start_mpi(&c, 2, "/nowhere/mpi.so", "20 20 20 10 barrier close");
    assert_all(&c, 1, "error: DYTTRAIN_MPI_PLUGIN: cannot load the MPI plug-in: /nowhere/mpi.so");
    crew_end(&c);
    start_mpi(&c, 2, "", "20 20 20 10 barrier close");
    assert_all(&c, 1, "the MPI plug-in, which ranks need that MPI starts, was found neither beside the program");
    crew_end(&c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_of_all_kinds_do),
        cmocka_unit_test(rank_0_may_come_last),
        cmocka_unit_test(many_ranks_meet),
        cmocka_unit_test(an_absent_rank_is_named),
        cmocka_unit_test(an_absent_rank_0_is_named),
        cmocka_unit_test(a_name_that_does_not_resolve_is_named),
        cmocka_unit_test(who_dies_while_others_come_is_named),
        cmocka_unit_test(who_is_stopped_while_others_come_is_named),
        cmocka_unit_test(a_taken_port_is_named),
        cmocka_unit_test(other_world_sizes_are_named),
        cmocka_unit_test(two_of_one_rank_are_named),
        cmocka_unit_test(two_of_one_rank_and_number_are_named),
        cmocka_unit_test(another_build_is_named),
        cmocka_unit_test(strangers_do_not_disturb),
        cmocka_unit_test(mpi_brings_ranks_together),
        cmocka_unit_test(who_does_not_come_to_the_end_of_mpi_is_named),
        cmocka_unit_test(mpi_without_plug_in_is_named),
    };
    if (argc != 3) return 2;
    program = argv[1];
    fake_mpi = argv[2];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
