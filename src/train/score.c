/* Log-probabilities of texts. Lanes of several lengths keep a short text from costing as much as a whole context. */
#include "train/score.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "train/session.h"

/* The texts that wait for one program. */
typedef struct lane {
    dt_program *program;
    int64_t length, texts; /* tokens of a text, texts of a batch */
    int64_t waiting;
    double *out[DT_SCORE_TEXTS];
    char *image; /* host memory of the batch */
} lane;

struct dt_scorer {
    dt_session *session;
    const dt_tokenizer *tokenizer;
    dt_encoder *encoder;
    lane lane[DT_SCORE_LENGTHS]; /* the longest first */
    int lanes;
    dt_text text;
    dt_tokens context, whole;
};

static dt_status open_lanes(dt_scorer *s)
{
    for (int i = 0; i < DT_SCORE_LENGTHS && s->session->program[DT_PROGRAM_SCORE + i]; i++) {
        lane *l = &s->lane[s->lanes++];
        l->program = s->session->program[DT_PROGRAM_SCORE + i];
        const dt_shape *shape = &dt_program_feed(l->program, "tokens")->shape;
        l->texts = shape->dim[0];
        l->length = shape->dim[1];
        DT_TRY(dt_device_alloc_host(s->session->device, (size_t)dt_program_feed_bytes(l->program),
                                    (void **)&l->image));
    }
    return DT_OK;
}

dt_status dt_scorer_create(dt_session *session, const dt_tokenizer *tokenizer, dt_scorer **out)
{
    DT_TRY(dt_session_check_vocabulary(session, dt_tokenizer_vocabulary(tokenizer)));
    dt_scorer *s = calloc(1, sizeof *s);
    if (!s) return dt_fail_memory(sizeof *s, "the scorer");
    *s = (dt_scorer){.session = session, .tokenizer = tokenizer};
    dt_status status = open_lanes(s);
    if (!status) status = dt_encoder_create(tokenizer, true, &s->encoder);
    if (status) dt_scorer_free(s);
    else *out = s;
    return status;
}

void dt_scorer_free(dt_scorer *s)
{
    if (!s) return;
    for (int i = 0; i < s->lanes; i++) dt_device_free_host(s->session->device, s->lane[i].image);
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

static int32_t *field(const lane *l, const char *name)
{
    return (int32_t *)(l->image + dt_program_feed(l->program, name)->offset);
}

static int32_t *targets_of(const lane *l, int64_t text)
{
    char name[32];
    snprintf(name, sizeof name, "targets.%lld", (long long)text);
    return field(l, name);
}

static void clear_lane(lane *l)
{
    int64_t all = l->texts * l->length;
    l->waiting = 0;
    memset(field(l, "tokens"), 0, (size_t)all * sizeof(int32_t));
    for (int64_t i = 0; i < l->texts; i++) memset(targets_of(l, i), -1, (size_t)all * sizeof(int32_t));
}

/* Of the text the end, of which the tokens from `first` on are counted. */
static void put_text(const dt_scorer *s, lane *l, int64_t first)
{
    if (!l->waiting) clear_lane(l);
    int64_t place = l->waiting * l->length, count = s->whole.count - 1; /* a token for each but the first */
    int64_t from = count > l->length ? count - l->length : 0;
    int32_t *tokens = field(l, "tokens") + place, *targets = targets_of(l, l->waiting) + place;
    memcpy(tokens, s->whole.token + from, (size_t)(count - from) * sizeof *tokens);
    for (int64_t i = first; i <= count; i++) targets[i - 1 - from] = s->whole.token[i];
}

static dt_status run_batch(const dt_scorer *s, const lane *l)
{
    dt_session *session = s->session;
    size_t bytes = (size_t)dt_program_feed_bytes(l->program);
    DT_TRY(dt_device_upload(session->device, DT_STREAM_COMPUTE, session->slot[0], l->image, bytes));
    DT_TRY(dt_program_run(l->program, &(dt_run){session->slot[0], .last = true}));
    for (int64_t i = 0; i < l->waiting; i++) {
        char name[32];
        snprintf(name, sizeof name, "loss.%lld", (long long)i);
        DT_TRY(dt_program_read(l->program, name, l->out[i], sizeof *l->out[i]));
    }
    return dt_device_sync(session->device, DT_STREAM_COMPUTE);
}

static dt_status finish_lane(dt_scorer *s, lane *l)
{
    DT_TRY(dt_session_explain(s->session, run_batch(s, l)));
    for (int64_t i = 0; i < l->waiting; i++) *l->out[i] = -*l->out[i];
    l->waiting = 0;
    return DT_OK;
}

/* The shortest that has room for all of the text, or the longest. */
static lane *find_lane(dt_scorer *s)
{
    int i = s->lanes - 1;
    while (i > 0 && s->lane[i].length < s->whole.count - 1) i--;
    return &s->lane[i];
}

dt_status dt_scorer_add(dt_scorer *s, const char *context, const char *choice, double *out)
{
    int64_t first = 0;
    DT_TRY(encode(s, context, choice, &first));
    lane *l = find_lane(s);
    if (s->whole.count - first > l->length)
        return dt_fail(DT_ERR_DATA, "the choice has %lld tokens, and the model's context %lld",
                       (long long)(s->whole.count - first), (long long)l->length);
    put_text(s, l, first);
    l->out[l->waiting++] = out;
    return l->waiting < l->texts ? DT_OK : finish_lane(s, l);
}

dt_status dt_scorer_finish(dt_scorer *s)
{
    for (int i = 0; i < s->lanes; i++)
        if (s->lane[i].waiting) DT_TRY(finish_lane(s, &s->lane[i]));
    return DT_OK;
}
