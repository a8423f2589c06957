/* Streams of whole programs, one behind another as a run has them: no two nodes on different streams touch the same
 * memory, be it of the arena or of the store, unless one waits for the other; and the host, which waits for the compute
 * stream, waits for all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "graph/plan.h"
#include "tiny.h"
#include "train/session.h"

#define OK(call)                                            \
    do {                                                    \
        if (call) fail_msg("%s", dt_error_message());       \
    } while (0)
#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

typedef struct touch {
    const dt_node *node;
    int64_t turn; /* of the node on its stream */
    const char *begin, *end;
} touch;

typedef struct history {
    touch *at;
    int64_t count, room;
    int64_t seen[DT_STREAMS][DT_STREAMS]; /* [a][b]: turns of b that a's next node runs behind */
    int side_nodes;
} history;

static bool may_meet(const history *h, const touch *a, const touch *b)
{
    return a->node->stream != b->node->stream && a->begin < b->end && b->begin < a->end &&
           h->seen[b->node->stream][a->node->stream] < a->turn;
}

static void add(history *h, const dt_node *n, const void *data, int64_t bytes)
{
    const touch t = {n, h->seen[n->stream][n->stream], data, (const char *)data + bytes};
    if (!bytes) return;
    for (int64_t i = 0; i < h->count; i++)
        if (may_meet(h, &h->at[i], &t))
            fail_msg("%s (%s) does not wait for %s (%s)", n->op->name, n->scope, h->at[i].node->op->name,
                     h->at[i].node->scope);
    if (h->count == h->room) {
        h->room = h->room ? 2 * h->room : 1024;
        h->at = realloc(h->at, (size_t)h->room * sizeof *h->at);
        assert_non_null(h->at);
    }
    h->at[h->count++] = t;
}

static void join(history *h, dt_stream waiting, dt_stream awaited)
{
    for (int s = 0; s < DT_STREAMS; s++)
        if (h->seen[waiting][s] < h->seen[awaited][s]) h->seen[waiting][s] = h->seen[awaited][s];
}

static void run(history *h, const dt_node *n)
{
    if (n->op->flags & DT_OP_VIEW) return;
    if (n->op->flags & DT_OP_JOIN) {
        join(h, n->stream, *(const dt_stream *)n->attr);
        return;
    }
    h->seen[n->stream][n->stream]++;
    h->side_nodes += n->stream != DT_STREAM_COMPUTE;
    for (int i = 0; i < n->input_count; i++)
        if (n->in[i]) add(h, n, n->in[i]->data, dt_tensor_bytes(n->in[i]));
    for (int k = 0; k < n->output_count; k++)
        if (n->out[k]) add(h, n, n->out[k]->data, dt_tensor_bytes(n->out[k]));
    add(h, n, n->workspace, n->workspace_bytes);
}

/* As rank 0 of so many. */
static void assert_ordered(int ranks, const char *const *words)
{
    static const dt_program_id order[] = {DT_PROGRAM_PASS, DT_PROGRAM_PASS, DT_PROGRAM_UPDATE, DT_PROGRAM_EVAL,
                                          DT_PROGRAM_PASS, DT_PROGRAM_UPDATE};
    dt_settings *settings = tiny_settings(words);
    dt_session *s = NULL;
    history h = {0};
    dt_comm *comm = NULL;
    OK(dt_comm_create_planned(ranks, &comm));
    OK(dt_session_create(settings, &(dt_session_options){.comm = comm}, NULL, &s));
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        const dt_graph *g = dt_program_graph(s->program[order[i]]);
        for (const dt_node *n = dt_graph_first(g); n; n = n->next) run(&h, n);
        for (int k = 0; k < DT_STREAMS; k++) assert_int_equal(h.seen[DT_STREAM_COMPUTE][k], h.seen[k][k]);
    }
    assert_true(h.side_nodes > 0);
    free(h.at);
    dt_session_free(s);
    dt_comm_free(comm);
    dt_settings_free(settings);
}

#define TEXT "model.arch=llama", "model.width=16", "model.depth=2", "model.heads=2", "data.kind=synthetic_text", \
    "data.context=16", "data.vocabulary=70"

static void images(void **state) { assert_ordered(1, WORDS("train.ema=0.9", "train.accumulate=2")); }
static void recomputed(void **state) { assert_ordered(1, WORDS("train.recompute=block", "norm.kind=layernorm")); }
static void text(void **state) { assert_ordered(1, WORDS(TEXT, "model.kv_heads=1", "precision.mode=fp64")); }

static void shared(void **state)
{
    assert_ordered(2, WORDS("train.ema=0.9", "train.accumulate=2", "parallel.bucket_mib=0", "parallel.zero=0"));
    assert_ordered(2, WORDS("train.ema=0.9", "train.accumulate=2", "parallel.bucket_mib=0"));
    assert_ordered(4, WORDS("parallel.zero=2", "parallel.bucket_mib=0", "train.recompute=cheap"));
    assert_ordered(4, WORDS("train.ema=0.9", "parallel.zero=3", "parallel.bucket_mib=0"));
    assert_ordered(2, WORDS(TEXT, "parallel.zero=3", "parallel.bucket_mib=0", "train.recompute=block"));
    assert_ordered(2, WORDS(TEXT, "parallel.zero=3", "parallel.bucket_mib=0.01", "model.tied=true"));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(images), cmocka_unit_test(recomputed), cmocka_unit_test(text),
                                       cmocka_unit_test(shared)};
    if (!tiny_begin(argc, argv)) return 0;
    return cmocka_run_group_tests_name("train/streams", tests, tiny_make_folder, tiny_remove_folder);
}
