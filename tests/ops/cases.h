/* One table of operator cases for three suites: `unit` (values against naive references), `grad` (float64 finite
 * differences) and `kernel` (CUDA against CPU). A case builds a small graph around one operator. */
#ifndef DT_TESTS_OPS_CASES_H
#define DT_TESTS_OPS_CASES_H

#include "ops/ops.h"
#include "support/trial.h"

enum { /* what a case has: op_case.with */
    WITH_BIAS = 1,
    WITH_RESIDUAL = 2,
    WITH_GAMMA = 4,
    WITH_BETA = 8,
    WITH_ALPHA = 16,
    WITH_SHIFT = 32,
    WITH_CAUSAL = 64,
    WITH_TRANSPOSED_A = 128,
    WITH_TRANSPOSED_B = 256,
    WITH_CLS = 512,
    WITH_POSITION = 1024,
    WITH_SUM = 2048,            /* the sum of a residual norm is used as well */
    WITH_ONLY_SUM = 4096,       /* it alone is used */
    WITH_NOTHING_FINITE = 8192, /* an update that must not commit */
    WITH_SHARED_KEYS = 16384,   /* two heads of queries to one of keys and values */
    WITH_PLACES = 32768,        /* samples that begin at places of their own */
    WITH_DOCUMENTS = 65536,     /* that begin within samples */
};

typedef struct op_case op_case;
/* Returns the tensor to examine. If it needs a gradient, the case is differentiated. */
typedef dt_tensor *op_case_builder(dt_graph *, const op_case *, const dt_segment_span *spans);
struct op_case {
    const dt_op *op; /* what the case is about */
    const char *name;
    op_case_builder *build;
    double (*expected)(const op_case *, int64_t i); /* element i of that tensor, computed naively; NULL: not known */
    int64_t dim[4];
    unsigned with;
    int kind; /* activation, point-wise function, which output, ... */
};

extern const op_case op_cases[];
extern const int op_case_count;

/* All numbers of a case are functions of a tensor's name and of the element. */
double case_value(const char *name, int64_t i); /* in [-2, 2), 1/128 or more away from multiples of 1/32 */
int32_t case_label(int64_t i);                  /* in [0, 7) */
uint8_t case_byte(int64_t i);
/* Fed as "tokens": labels; as "targets": labels, and -1 for every fifth; as "order": the places of `count` tokens
 * sorted by (token, place). */
int32_t case_target(int64_t i);
int32_t case_place(int64_t count, int64_t i);
int32_t case_position(int64_t i); /* fed as "position" */
int32_t case_start(int64_t tokens, int64_t i); /* fed as "starts": of token i of samples of `tokens` */
static inline int64_t case_index(int64_t i) { return 41 + 3 * i; } /* sample indices, and the step */

enum { CASE_SPANS = 3, CASE_SPAN_ELEMENTS = 100 };
extern const dt_segment_span case_spans[CASE_SPANS];

/* A case set up on a device: its program bound, its parameters written. */
typedef struct case_run {
    const op_case *about;
    dt_segment_span *spans; /* in device memory */
    bool fed;               /* what is fed stays for all steps: some of it takes long to make */
    trial trial;
} case_run;

DT_MUST_USE dt_status case_open(case_run *, const op_case *, const trial_options *);
DT_MUST_USE dt_status case_step(case_run *, bool accumulate);
void case_close(case_run *);
/* The examined tensor in float64; NULL when out of memory or not readable. Free with free(). */
double *case_result(const case_run *, int64_t *count);

/* Naive values (references.c), for op_case.expected. */
double ref_cast(const op_case *, int64_t i);
double ref_input(const op_case *, int64_t i);
double ref_reshape(const op_case *, int64_t i);
double ref_fill(const op_case *, int64_t i);
double ref_add(const op_case *, int64_t i);
double ref_scale(const op_case *, int64_t i);
double ref_gelu(const op_case *, int64_t i);
double ref_scale_by(const op_case *, int64_t i);
double ref_swiglu(const op_case *, int64_t i);
double ref_assign(const op_case *, int64_t i);
double ref_matmul(const op_case *, int64_t i);
double ref_column_sum(const op_case *, int64_t i);
double ref_row_norm(const op_case *, int64_t i);
double ref_point_norm(const op_case *, int64_t i);
double ref_attention(const op_case *, int64_t i);
double ref_attention_cached(const op_case *, int64_t i);
double ref_cache_append(const op_case *, int64_t i);
double ref_rope(const op_case *, int64_t i);
double ref_embedding(const op_case *, int64_t i);
double ref_token_loss(const op_case *, int64_t i);
double ref_normalize(const op_case *, int64_t i);
double ref_patchify(const op_case *, int64_t i);
double ref_unpatchify(const op_case *, int64_t i);
double ref_embed_tokens(const op_case *, int64_t i);
double ref_token_mean(const op_case *, int64_t i);
double ref_one_hot(const op_case *, int64_t i);
double ref_log_softmax(const op_case *, int64_t i);
double ref_cross_entropy(const op_case *, int64_t i);
double ref_softmax_xent(const op_case *, int64_t i);
double ref_top_hits(const op_case *, int64_t i);
double ref_sum(const op_case *, int64_t i);
double ref_grad_norm(const op_case *, int64_t i);
double ref_grad_squares(const op_case *, int64_t i);
double ref_zero(const op_case *, int64_t i);
double ref_adamw(const op_case *, int64_t i);
double ref_sgd(const op_case *, int64_t i);
double ref_ema(const op_case *, int64_t i);

#endif
