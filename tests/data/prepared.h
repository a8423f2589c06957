/* Preparations as tests make them, and what they read back. All of it fails the test where a call fails. */
#ifndef DT_TESTS_PREPARED_H
#define DT_TESTS_PREPARED_H

#include "data/prepare.h"

/* The folder of tests/data/tokenizers, which main() sets. */
extern char prepared_tokenizers[4096];

/* With one of those, or "bytes", on two threads into one shard. */
dt_prepare_options options_for(const char *tokenizer, const char *out, const char *const *paths, int count);
dt_prepare_counts prepare(const dt_prepare_options *);
/* All tokens of a folder's shards of one split. */
dt_tokens read_all(const char *folder, const char *split);
/* 300 documents as JSON lines. Free with dt_text_free(). */
dt_text json_lines(void);

#endif
