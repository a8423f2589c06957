/* Multiple-choice questions. Of what is read, everything must be there. */
#include <stdlib.h>
#include <string.h>

#include "data/questions.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dt_questions list = {0};
    dt_status status = dt_questions_parse(&list, "input", (const char *)data, size);
    if (!status && !list.count) abort();
    for (int64_t i = 0; i < list.count; i++) {
        const dt_question *q = &list.question[i];
        if (!q->context || q->answer < 0 || q->answer >= q->choices || q->line < 1) abort();
        for (int c = 0; c < q->choices; c++)
            if (!*dt_question_choice(q, c)) abort();
    }
    dt_questions_free(&list);
    return 0;
}
