/* Faults on purpose: a shared library that stands before libc (linked first, or in LD_PRELOAD) and makes the n-th
 * allocation, write, sync, rename or removal fail, so that the program itself needs nothing for it.
 *
 * A fault reads KIND:N[+][:PART]. KIND is alloc, write, sync, rename or remove; the N-th call from now on fails, with + all
 * that follow too (a full disk stays full); with PART only calls on paths that contain it count. KIND gone fails no
 * call: before the N-th opening of a file the folder that holds it is renamed from X to X.tmp, as a saver begins to
 * remove an old checkpoint. The fault `stall` makes SIGUSR2 stop the thread that takes it for good, which of a program
 * is the main one: the process lives on and does not get on.
 *
 * A program that is not a test takes its fault from the environment:
 * LD_PRELOAD=libdt-fault.so DT_FAULT=write:3+:checkpoints dyttrain ... */
#ifndef DT_TESTS_FAULT_H
#define DT_TESTS_FAULT_H

/* NULL: no fault. Counting starts anew. */
void dt_fault_arm(const char *fault);
/* Calls of the armed kind so far: below N, the fault did not strike. */
long dt_fault_calls(void);
/* Allocations less releases since dt_fault_arm; 0 where something has leaked nothing. */
long dt_fault_live(void);

#endif
