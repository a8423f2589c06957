/* A corpus read as a stream of pieces: text files (.txt or any other name, plain, gzip or zstd) of which each is a
 * document, JSON lines (.jsonl, .json.gz, ...) of which each line is one, folders of such, standard input (-).
 *
 * A long text comes in parts of about DT_PIECE_BYTES, cut where its tokens stay the same (dt_tokenizer_cut). Memory is
 * bounded by what is asked for at once and by the longest line. */
#ifndef DT_DATA_CORPUS_H
#define DT_DATA_CORPUS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"
#include "data/tokenizer.h"

enum { DT_PIECE_BYTES = 1 << 20 };

/* Where reading is: all that is needed to go on. */
typedef struct dt_corpus_place {
    int64_t file;     /* number of the file */
    int64_t offset;   /* bytes of it, unpacked, that were given out */
    int64_t line;     /* of JSON lines: how many were given out */
    int64_t document; /* of the corpus: how many have ended */
    int64_t part;     /* of the document: how many were given out */
} dt_corpus_place;

typedef struct dt_piece {
    dt_corpus_place place; /* where it begins */
    size_t at, bytes;      /* in the text it was appended to */
    bool json;             /* it is a line of JSON, not the text itself */
    bool ends;             /* its document ends with it */
} dt_piece;

typedef struct dt_pieces { /* starts with {0} */
    dt_text text;
    dt_piece *piece;
    int64_t count, room;
} dt_pieces;
void dt_pieces_free(dt_pieces *);

typedef struct dt_corpus dt_corpus;
/* Lists the files: of folders those inside, sorted, hidden ones not, at any depth, but nothing in the folder
 * `left_out`, which may be NULL. `json_input`: standard input is JSON lines. The tokenizer must outlive the corpus. */
DT_MUST_USE dt_status dt_corpus_open(const char *const *paths, int count, const char *left_out, bool json_input,
                                     const dt_tokenizer *, dt_corpus **out);
void dt_corpus_close(dt_corpus *);
const char *dt_corpus_file(const dt_corpus *, int64_t file); /* its path; NULL behind the last */
uint64_t dt_corpus_hash(const dt_corpus *);                  /* of all paths, and the files' sizes as they are now */
uint64_t dt_corpus_times(const dt_corpus *);                 /* of when the files were modified last */
/* Reads the first 64 KiB of standard input, where it is among the files, for their hash; 0 where it is not. Before
 * anything else is read. From then on, reading it ends with DT_ERR_STOPPED when the signal is not 0 (NULL: never). */
DT_MUST_USE dt_status dt_corpus_input(dt_corpus *, volatile const int *signal, uint64_t *hash);
/* The first file that was modified later than the file `path`; NULL: there is none. */
const char *dt_corpus_modified_after(const dt_corpus *, const char *path);
/* Goes on from a place that an earlier run of the same files came to. */
DT_MUST_USE dt_status dt_corpus_seek(dt_corpus *, const dt_corpus_place *);
dt_corpus_place dt_corpus_tell(const dt_corpus *); /* behind the last piece given out */
/* Fills the pieces anew with at least `bytes` of text and of records (a short line's dt_piece is more than its text),
 * fewer only at the end; no piece: all was read. */
DT_MUST_USE dt_status dt_corpus_read(dt_corpus *, size_t bytes, dt_pieces *out);

/* Appends the text under `field` of a line of JSON. */
DT_MUST_USE dt_status dt_json_line_text(const char *line, size_t bytes, const char *field, dt_text *out);

#endif
