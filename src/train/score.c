/* Log-probabilities of texts. */
#include "train/score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train/evaluate.h"

struct dt_scorer {
    dt_session *session;
    const dt_tokenizer *tokenizer;
    dt_encoder *encoder;
    void *image; /* host memory of a batch */
    size_t bytes;
    dt_text text;
    dt_tokens context, whole;
};

static dt_status check(const dt_session *s, const dt_tokenizer *tokenizer)
{
    if (s->info.form != DT_FORM_TOKENS)
        return dt_fail(DT_ERR_USAGE, "%s is not a language model: it has no probabilities of texts",
                       dt_model_arch(s->model));
    int64_t known = dt_model_dims_of(s->model).classes, vocabulary = dt_tokenizer_vocabulary(tokenizer);
    if (vocabulary <= known) return DT_OK;
    return dt_fail(DT_ERR_USAGE, "the tokenizer has %lld tokens and the model %lld: it was trained with another one",
                   (long long)vocabulary, (long long)known);
}

dt_status dt_scorer_create(dt_session *session, const dt_tokenizer *tokenizer, dt_scorer **out)
{
    DT_TRY(check(session, tokenizer));
    dt_scorer *s = calloc(1, sizeof *s);
    if (!s) return dt_fail_memory(sizeof *s, "the scorer");
    *s = (dt_scorer){.session = session, .tokenizer = tokenizer};
    s->bytes = (size_t)dt_session_slot_bytes(session, DT_PROGRAM_EVAL);
    dt_status status = dt_device_alloc_host(session->device, s->bytes, &s->image);
    if (!status) status = dt_encoder_create(tokenizer, true, &s->encoder);
    if (status) dt_scorer_free(s);
    else *out = s;
    return status;
}

void dt_scorer_free(dt_scorer *s)
{
    if (!s) return;
    if (s->image) dt_device_free_host(s->session->device, s->image);
    dt_encoder_free(s->encoder);
    dt_text_free(&s->text);
    free(s->context.token);
    free(s->whole.token);
    free(s);
}

/* --- tokens --- */

static dt_status put_first(dt_tokens *list, int32_t token)
{
    DT_TRY(dt_tokens_reserve(list, 1));
    if (list->count) memmove(list->token + 1, list->token, (size_t)list->count * sizeof *list->token);
    list->token[0] = token;
    list->count++;
    return DT_OK;
}

/* What a text without anything before it goes on from: what stands between texts. */
static dt_status begin_text(dt_scorer *s)
{
    int32_t begin = dt_tokenizer_begin(s->tokenizer), end = dt_tokenizer_end(s->tokenizer);
    if (begin < 0 && end < 0)
        return dt_fail(DT_ERR_DATA, "there is no token before the choice, and the tokenizer has none that begins or "
                       "ends a text");
    return put_first(&s->whole, begin >= 0 ? begin : end);
}

/* Fills s->whole; *first is the number of the first token of the choice, above 0. */
static dt_status encode(dt_scorer *s, const char *context, const char *choice, int64_t *first)
{
    size_t before = strlen(context);
    s->context.count = s->whole.count = 0;
    s->text.length = 0;
    dt_text_add(&s->text, "%s%s", context, choice);
    DT_TRY(dt_text_status(&s->text));
    DT_TRY(dt_encoder_run(s->encoder, context, before, &s->context));
    DT_TRY(dt_encoder_run(s->encoder, s->text.data, s->text.length, &s->whole));
    int64_t same = 0, most = s->context.count < s->whole.count ? s->context.count : s->whole.count;
    while (same < most && s->context.token[same] == s->whole.token[same]) same++;
    if (same == s->whole.count) return dt_fail(DT_ERR_DATA, "the choice has no tokens of its own");
    if (!same) DT_TRY(begin_text(s));
    *first = same ? same : 1;
    return DT_OK;
}

/* --- the model --- */

/* The batch: the end of the text, of which the tokens from `first` on are counted. */
static dt_status fill(dt_scorer *s, int64_t first)
{
    int64_t T = s->session->info.context, own = s->whole.count - first;
    if (own > T)
        return dt_fail(DT_ERR_DATA, "the choice has %lld tokens, and the model's context %lld", (long long)own,
                       (long long)T);
    dt_batch_fields fields = dt_session_fields(s->session, DT_PROGRAM_EVAL);
    int32_t *tokens = (int32_t *)((char *)s->image + fields.at[DT_FIELD_TOKENS]);
    int32_t *targets = (int32_t *)((char *)s->image + fields.at[DT_FIELD_TARGETS]);
    int64_t from = s->whole.count - 1 > T ? s->whole.count - 1 - T : 0;
    for (int64_t t = 0; t < T; t++) {
        int64_t next = from + t + 1;
        tokens[t] = next < s->whole.count ? s->whole.token[next - 1] : 0;
        targets[t] = next >= first && next < s->whole.count ? s->whole.token[next] : -1;
    }
    return DT_OK;
}

/* The loss of the batch, summed over the targets that count. */
static dt_status run_batch(dt_scorer *s, double *loss)
{
    dt_session *session = s->session;
    dt_program *program = session->program[DT_PROGRAM_EVAL];
    DT_TRY(dt_eval_clear(session));
    DT_TRY(dt_device_upload(session->device, DT_STREAM_COMPUTE, session->slot[0], s->image, s->bytes));
    DT_TRY(dt_program_run(program, &(dt_run){session->slot[0], .last = true}));
    DT_TRY(dt_program_read(program, "loss", loss, sizeof *loss));
    return dt_device_sync(session->device, DT_STREAM_COMPUTE);
}

dt_status dt_scorer_run(dt_scorer *s, const char *context, const char *choice, double *out)
{
    int64_t first = 0;
    double loss = 0;
    DT_TRY(encode(s, context, choice, &first));
    DT_TRY(fill(s, first));
    DT_TRY(dt_session_explain(s->session, run_batch(s, &loss)));
    if (!isfinite(loss)) return dt_fail(DT_ERR_NUMERIC, "the loss of the choice is not finite");
    *out = -loss;
    return DT_OK;
}
