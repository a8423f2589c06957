/* Several processes that are the ranks of one test, started as a launcher would: what they print and how they end. */
#ifndef DT_TESTS_CREW_H
#define DT_TESTS_CREW_H

#include <stdbool.h>
#include <sys/types.h>

enum { CREW_MOST = 600 };

typedef struct crew {
    int size;     /* processes */
    int port;     /* MASTER_PORT, a free one */
    double start;
    pid_t pids[CREW_MOST]; /* 0: ended */
    bool stopped[CREW_MOST];
    int logs[CREW_MOST];
    int codes[CREW_MOST];     /* exit codes; 128 + signal */
    double ends[CREW_MOST];   /* seconds after the start */
    char *texts[CREW_MOST];   /* what each printed */
} crew;

/* A free port, which nobody else takes for a while. */
int crew_port(void);
void crew_begin(crew *, int port);
/* Starts one process more: the words of `environment` (NAME=value, up to a NULL; may be NULL) are set, then the program
 * is run with arguments separated by blanks. Returns its number. */
int crew_add(crew *, const char *const *environment, const char *program, const char *arguments);
/* The ranks 0 .. size-1 of a world, by RANK, WORLD_SIZE, MASTER_ADDR=127.0.0.1 and MASTER_PORT. */
void crew_start(crew *, const char *program, int size, const char *arguments);
/* One of them, by itself; `size` is its WORLD_SIZE. */
int crew_add_rank(crew *, const char *program, int rank, int size, const char *address, const char *arguments);
/* Waits until all have ended or were stopped, or for so many seconds, and kills what is left: those have the code -1.
 * Reads what they printed. */
void crew_wait(crew *, double seconds);
void crew_end(crew *);
/* How each ended and what it printed. */
void crew_show(const crew *);
/* Fails the test, showing all, where process `r` did not print these words. */
void crew_assert_says(const crew *, int r, const char *words);

#endif
