/* The signal flag: has SIGINT, SIGTERM or SIGUSR1 arrived? The first one asks a run to save and leave; the second ends
 * the process at once with exit code 128 + the signal's number, as a shell reports a process that the signal killed. */
#ifndef DT_CMD_SIGNAL_H
#define DT_CMD_SIGNAL_H

/* From now on the three signals are caught; returns the flag, which only the handler writes. */
volatile const int *dt_signal_watch(void);
/* From now on they do nothing: a launcher sends them to all ranks once the first one has left. */
void dt_signal_ignore(void);

#endif
