/* Multiple-choice questions as JSON lines, by which language models are scored: of each line the text `context`, the
 * texts `choices` that may follow it, and the number of the right one, `answer`, from 0 on. Other members, which
 * published tasks have, are passed over; so are blank lines. */
#ifndef DT_DATA_QUESTIONS_H
#define DT_DATA_QUESTIONS_H

#include <jansson.h>
#include <stdint.h>

#include "base/status.h"

typedef struct dt_question {
    int64_t line;        /* of the file, from 1 on */
    const char *context; /* may be empty; the texts are valid UTF-8 without NUL and belong to `json` */
    int choices;         /* at least 2 */
    int answer;          /* below it */
    json_t *json;
} dt_question;

typedef struct dt_questions { /* starts with {0} */
    dt_question *question;
    int64_t count, room;
} dt_questions;

/* The text of a choice, which is not empty. */
const char *dt_question_choice(const dt_question *, int choice);
/* Adds those of a file's bytes; `name` is the file's for messages. DT_ERR_DATA names line and member where a line is no
 * such question, and a file without any. */
DT_MUST_USE dt_status dt_questions_parse(dt_questions *, const char *name, const char *bytes, size_t size);
/* From a file: plain, gzip or zstd. */
DT_MUST_USE dt_status dt_questions_read(dt_questions *, const char *path);
void dt_questions_free(dt_questions *);

#endif
