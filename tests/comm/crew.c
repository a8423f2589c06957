/* Processes and what they print. */
#include "crew.h"

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/threads.h"

int crew_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, length)) abort();
    if (getsockname(fd, (struct sockaddr *)&address, &length)) abort();
    close(fd);
    return ntohs(address.sin_port);
}

void crew_begin(crew *c, int port)
{
    memset(c, 0, sizeof *c);
    c->port = port;
    c->start = dt_clock();
}

/* In the child; does not return. */
static void become(int log, const char *const *environment, const char *program, const char *arguments)
{
    enum { WORDS = 256 };
    char *copy = strdup(arguments), *rest = copy, *words[WORDS] = {(char *)(uintptr_t)program};
    int count = 1;
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* nothing outlives the test */
    for (; environment && *environment; environment++) putenv((char *)(uintptr_t)*environment);
    for (char *word; count < WORDS - 1 && (word = strsep(&rest, " "));)
        if (*word) words[count++] = word;
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    execv(program, words);
    _exit(127);
}

int crew_add(crew *c, const char *const *environment, const char *program, const char *arguments)
{
    int i = c->size++;
    if (c->size > CREW_MOST) abort();
    c->logs[i] = memfd_create("rank", MFD_CLOEXEC);
    fflush(NULL);
    c->pids[i] = fork();
    if (c->pids[i] == 0) become(c->logs[i], environment, program, arguments);
    if (c->pids[i] < 0 || c->logs[i] < 0) abort();
    return i;
}

int crew_add_rank(crew *c, const char *program, int rank, int size, const char *address, const char *arguments)
{
    char words[4][300];
    snprintf(words[0], sizeof words[0], "RANK=%d", rank);
    snprintf(words[1], sizeof words[1], "WORLD_SIZE=%d", size);
    snprintf(words[2], sizeof words[2], "MASTER_ADDR=%s", address);
    snprintf(words[3], sizeof words[3], "MASTER_PORT=%d", c->port);
    return crew_add(c, (const char *const[]){words[0], words[1], words[2], words[3], NULL}, program, arguments);
}

void crew_start(crew *c, const char *program, int size, const char *arguments)
{
    crew_begin(c, crew_port());
    for (int r = 0; r < size; r++) crew_add_rank(c, program, r, size, "127.0.0.1", arguments);
}

static void note_end(crew *c, int i, int code)
{
    c->pids[i] = 0;
    c->codes[i] = code;
    c->ends[i] = dt_clock() - c->start;
}

static int look(crew *c)
{
    int left = 0;
    for (int i = 0; i < c->size; i++) {
        int how;
        if (!c->pids[i]) continue;
        bool changed = waitpid(c->pids[i], &how, WNOHANG | WUNTRACED | WCONTINUED) == c->pids[i];
        if (changed && WIFSTOPPED(how)) c->stopped[i] = true;
        else if (changed && WIFCONTINUED(how)) c->stopped[i] = false;
        else if (changed) note_end(c, i, WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how));
        left += !changed && !c->stopped[i];
    }
    return left;
}

static char *read_log(int fd)
{
    off_t size = lseek(fd, 0, SEEK_END);
    char *text = calloc(1, (size_t)size + 1);
    if (!text || pread(fd, text, (size_t)size, 0) != size) abort();
    close(fd);
    return text;
}

void crew_wait(crew *c, double seconds)
{
    double end = dt_clock() + seconds;
    while (look(c) && dt_clock() < end) nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    for (int i = 0; i < c->size; i++) {
        if (!c->pids[i]) continue;
        kill(c->pids[i], SIGKILL);
        while (waitpid(c->pids[i], NULL, 0) < 0 && errno == EINTR) continue;
        note_end(c, i, -1);
    }
    for (int i = 0; i < c->size; i++) c->texts[i] = read_log(c->logs[i]);
}

void crew_end(crew *c)
{
    for (int i = 0; i < c->size; i++) free(c->texts[i]);
    c->size = 0;
}

void crew_show(const crew *c)
{
    for (int r = 0; r < c->size; r++) print_message("process %d: code %d\n%s", r, c->codes[r], c->texts[r]);
}

void crew_assert_says(const crew *c, int r, const char *words)
{
    if (strstr(c->texts[r], words)) return;
    crew_show(c);
    fail_msg("process %d does not say '%s'", r, words);
}
