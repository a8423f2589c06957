/* Tiny runs for the tests of train/: a ViT of width 16 on synthetic 8 x 8 images, in a temporary folder. */
#ifndef DT_TESTS_TINY_H
#define DT_TESTS_TINY_H

#include "train/train.h"

/* Takes a test program's arguments as settings of all its runs: "device=cuda precision.mode=bf16"; none: the CPU. False
 * where there is no such device, which it has told TAP. */
bool tiny_begin(int count, char **args);
bool tiny_on_cuda(void);

/* The tiny settings under the program's and `words` ("path=value", NULL-terminated, may be NULL). */
dt_settings *tiny_settings(const char *const *words);
/* A fresh folder for runs; the tests' set-up and tear-down. tiny_folder is its path. */
int tiny_make_folder(void **state);
int tiny_remove_folder(void **state);
extern char tiny_folder[];

/* Trains run `name` below the folder; the status of dt_train_run. `signal` may be NULL. */
dt_status tiny_train(const char *name, const char *const *words, bool resume, volatile const int *signal);
/* "<folder>/<name>/checkpoints/step-<step>" in a static buffer. */
const char *tiny_checkpoint(const char *name, int64_t step);
/* Do both checkpoints hold the same files with the same bytes, manifests aside, and the same progress? */
void tiny_assert_same(const char *checkpoint, const char *other);
dt_progress tiny_progress(const char *checkpoint);
/* The text of a run's file, freed with free(). */
char *tiny_file(const char *name, const char *file);

#endif
