/* Which algorithm a library is told to use for each kind of work, so that the same work gives the same bits: within a
 * run, in a run that resumes it (by the numerics record of a checkpoint), and, where algorithms were found by timing,
 * in later runs on the same machine (by a file in the user's cache folder). A table belongs to one thread. */
#ifndef DT_DEVICE_CHOICES_H
#define DT_DEVICE_CHOICES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/log.h"
#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

struct json_t; /* jansson's */

typedef struct dt_choices dt_choices;

enum { DT_ALGORITHM_BYTES = 64 }; /* which only the library can read */

DT_MUST_USE dt_status dt_choices_create(dt_choices **out);
void dt_choices_free(dt_choices *); /* NULL is allowed */

typedef enum dt_choice {
    DT_CHOICE_NONE,
    DT_CHOICE_NOTED, /* in a record or a file: the library must accept it before it is used */
    DT_CHOICE_USED,  /* since dt_choices_use */
} dt_choice;

/* `work` names all that decides the result. What was used before stays, then a record comes before the file. */
dt_choice dt_choices_find(const dt_choices *, const char *work, void *algorithm);
/* From now on `work` is done so in this run. */
DT_MUST_USE dt_status dt_choices_use(dt_choices *, const char *work, const void *algorithm);

/* All that was used or recalled, {work: algorithm in hexadecimal digits}: a new reference; NULL when out of memory. */
struct json_t *dt_choices_record(const dt_choices *);
/* Notes the choices of such a record; members that are none are left out. */
DT_MUST_USE dt_status dt_choices_recall(dt_choices *, const struct json_t *record);

/* Opens the file of `machine`, a text that names device and library versions: what any run on it decides, all keep. One
 * that cannot be used is a warning and is written anew. Fails, and nothing is kept, where none can be written; what is
 * in one that can be read is noted also then. Once for a table; the log must live as long. */
DT_MUST_USE dt_status dt_choices_open(dt_choices *, const char *machine, dt_log *);
/* Is what this run decides kept? Since dt_choices_open has succeeded, until the file can no longer be written. */
bool dt_choices_kept(const dt_choices *);
bool dt_choices_found(const dt_choices *); /* did the file hold any? */

/* For tables that are kept, and work that is not used yet and of which no record has an algorithm that the library
 * accepts. Deciding is one run's turn after the other: claim waits for the turn (at most 15 s, of which the log tells,
 * and not again once that was in vain) and tells what is in the file by then, which may be what others have decided
 * since; decide uses an algorithm and puts it into the file; release ends the turn, with or without a decision. Where
 * the lock or the file fails, that is one warning, and from then on nothing is kept: ask again behind a claim. All may be
 * called also then. */
dt_choice dt_choices_claim(dt_choices *, const char *work, void *algorithm);
DT_MUST_USE dt_status dt_choices_decide(dt_choices *, const char *work, const void *algorithm);
void dt_choices_release(dt_choices *);

/* The choices in the bytes of such a file (`where` names them in messages): a new reference. */
DT_MUST_USE dt_status dt_choices_parse(const char *bytes, size_t size, const char *where, const char *machine,
                                       struct json_t **out);

#ifdef __cplusplus
}
#endif

#endif
