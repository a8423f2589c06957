/* The entry of a fuzz target: a reader of foreign bytes takes the input and must neither crash, nor leak, nor hang.
 * libFuzzer (scripts/fuzz.sh) calls it with inputs of its own making, replay.c with the files of the corpus. */
#ifndef DT_TESTS_FUZZ_H
#define DT_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
