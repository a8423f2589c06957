/* A round runs one program for all sequences. Those that get no token in it are told to be full: what the round adds to
 * them falls outside of their caches. */
#include "train/generator.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct dt_generator {
    dt_session *session;
    int64_t sequences, capacity, classes;
    int64_t *length, *added; /* of each sequence; how many of the tokens to add were */
    char *image;             /* host image of a slot */
    void *raw;               /* a program's logits as they come */
    float *logits;           /* [sequences, classes] */
};

static const dt_tensor *logits_of(const dt_program *program)
{
    return dt_graph_output_at(dt_program_graph(program), 0, NULL);
}

static size_t raw_bytes(const dt_program *program)
{
    const dt_tensor *logits = logits_of(program);
    return (size_t)dt_shape_count(&logits->shape) * dt_dtype_size(logits->dtype);
}

static dt_status allocate(dt_generator *g)
{
    size_t raw = raw_bytes(g->session->program[DT_PROGRAM_DECODE]), rows = (size_t)g->sequences;
    g->length = calloc(rows, sizeof *g->length);
    g->added = calloc(rows, sizeof *g->added);
    g->logits = calloc(rows * (size_t)g->classes, sizeof *g->logits);
    if (!g->length || !g->added || !g->logits)
        return dt_fail_memory(rows * (size_t)g->classes * sizeof *g->logits, "logits");
    DT_TRY(dt_device_alloc_host(g->session->device, (size_t)g->session->slot_bytes, (void **)&g->image));
    return dt_device_alloc_host(g->session->device, raw, &g->raw);
}

dt_status dt_generator_create(dt_session *session, dt_generator **out)
{
    dt_generator *g = calloc(1, sizeof *g);
    if (!g) return dt_fail_memory(sizeof *g, "the generator");
    *g = (dt_generator){.session = session,
                        .sequences = session->options.sequences,
                        .capacity = session->info.context,
                        .classes = dt_model_dims_of(session->model).classes};
    dt_status status = allocate(g);
    if (status) dt_generator_free(g);
    else *out = g;
    return status;
}

void dt_generator_free(dt_generator *g)
{
    if (!g) return;
    dt_device_free_host(g->session->device, g->image);
    dt_device_free_host(g->session->device, g->raw);
    free(g->length);
    free(g->added);
    free(g->logits);
    free(g);
}

int64_t dt_generator_capacity(const dt_generator *g) { return g->capacity; }
int64_t dt_generator_length(const dt_generator *g, int64_t sequence) { return g->length[sequence]; }
void dt_generator_clear(dt_generator *g, int64_t sequence) { g->length[sequence] = 0; }
const float *dt_generator_logits(const dt_generator *g, int64_t sequence) { return g->logits + sequence * g->classes; }

/* --- a round --- */

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static int32_t *field(const dt_generator *g, const dt_program *program, const char *name)
{
    const dt_feed_field *at = dt_program_feed(program, name);
    return at ? (int32_t *)(g->image + at->offset) : NULL;
}

static int64_t width_of(const dt_program *program) { return dt_program_feed(program, "tokens")->shape.dim[1]; }

/* The next tokens of each sequence, as many as the program takes, padded with zeros. */
static void write_image(const dt_generator *g, const dt_program *program, const int32_t *const *tokens,
                        const int64_t *counts)
{
    int64_t width = width_of(program);
    int32_t *to = field(g, program, "tokens"), *position = field(g, program, "position");
    int32_t *wanted = field(g, program, "wanted");
    memset(to, 0, (size_t)(g->sequences * width) * sizeof *to);
    for (int64_t i = 0; i < g->sequences; i++) {
        int64_t next = least(width, counts[i] - g->added[i]);
        if (next) memcpy(to + i * width, tokens[i] + g->added[i], (size_t)next * sizeof *to);
        position[i] = (int32_t)(next ? g->length[i] : g->capacity);
        if (wanted) wanted[i] = (int32_t)(i * width + (next ? next - 1 : 0));
    }
}

static float from_bf16(uint16_t x)
{
    uint32_t bits = (uint32_t)x << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* A row of logits without its padding. */
static void take_logits(const dt_generator *g, const dt_tensor *from, int64_t sequence)
{
    int64_t start = sequence * dt_shape_last(&from->shape);
    float *to = g->logits + sequence * g->classes;
    for (int64_t i = 0; i < g->classes; i++)
        to[i] = from->dtype == DT_BF16   ? from_bf16(((const uint16_t *)g->raw)[start + i])
                : from->dtype == DT_F64 ? (float)((const double *)g->raw)[start + i]
                                        : ((const float *)g->raw)[start + i];
}

static dt_status run_round(const dt_generator *g, dt_program *program)
{
    dt_session *s = g->session;
    size_t bytes = (size_t)dt_program_feed_bytes(program);
    DT_TRY(dt_device_upload(s->device, DT_STREAM_COMPUTE, s->slot[0], g->image, bytes));
    DT_TRY(dt_program_run(program, &(dt_run){s->slot[0], .last = true}));
    DT_TRY(dt_program_read(program, "logits", g->raw, raw_bytes(program)));
    return dt_device_sync(s->device, DT_STREAM_COMPUTE);
}

/* The most tokens that any sequence still gets. */
static int64_t remaining(const dt_generator *g, const int64_t *counts)
{
    int64_t most = 0;
    for (int64_t i = 0; i < g->sequences; i++)
        if (counts[i] - g->added[i] > most) most = counts[i] - g->added[i];
    return most;
}

static dt_status add_round(const dt_generator *g, dt_program *program, const int32_t *const *tokens,
                           const int64_t *counts)
{
    write_image(g, program, tokens, counts);
    DT_TRY(run_round(g, program));
    for (int64_t i = 0; i < g->sequences; i++) {
        int64_t next = least(width_of(program), counts[i] - g->added[i]);
        g->length[i] += next;
        g->added[i] += next;
        if (next && g->added[i] == counts[i]) take_logits(g, logits_of(program), i);
    }
    return DT_OK;
}

dt_status dt_generator_add(dt_generator *g, const int32_t *const *tokens, const int64_t *counts)
{
    for (int64_t i = 0; i < g->sequences; i++) {
        assert(g->length[i] + counts[i] <= g->capacity);
        g->added[i] = 0;
    }
    for (int64_t most; (most = remaining(g, counts)) > 0;) {
        dt_program_id id = most > 1 ? DT_PROGRAM_PREFILL : DT_PROGRAM_DECODE;
        DT_TRY(dt_session_explain(g->session, add_round(g, g->session->program[id], tokens, counts)));
    }
    return DT_OK;
}
