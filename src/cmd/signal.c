/* Counts the first signal and leaves at the second. */
#include "cmd/signal.h"

#include <signal.h>
#include <stddef.h>
#include <unistd.h>

static volatile sig_atomic_t received;
_Static_assert(sizeof(sig_atomic_t) == sizeof(int), "the count is read as an int");

static void count_signal(int number)
{
    if (received) _exit(128 + number);
    received = 1;
}

static const int numbers[] = {SIGINT, SIGTERM, SIGUSR1};
enum { NUMBERS = sizeof numbers / sizeof numbers[0] };

static void handle(const struct sigaction *action)
{
    for (size_t i = 0; i < NUMBERS; i++) sigaction(numbers[i], action, NULL);
}

volatile const int *dt_signal_watch(void)
{
    struct sigaction action = {.sa_handler = count_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < NUMBERS; i++) sigaddset(&action.sa_mask, numbers[i]);
    handle(&action);
    return &received;
}

void dt_signal_ignore(void)
{
    struct sigaction action = {.sa_handler = SIG_IGN};
    sigemptyset(&action.sa_mask);
    handle(&action);
}
