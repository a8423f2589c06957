/* Matrix products c[m,n] = epilogue(op(a) op(b)) through cuBLASLt, which is column-major: read that way our row-major c
 * is its transpose op(b)^T op(a)^T, so the library gets b as its first operand and a as its second, each transposed
 * where our flag says so, and the bias runs along the rows of its result.
 * FLOPs: 2 m n k. Bytes: a, b and c once each.
 *
 * What the library's epilogue takes:
 *   bias      By cublasLt.h it has the type of the result. Ours is float32, so for a bfloat16 result a copy is rounded:
 *             an error of 2^-9 of the bias. A pass of ours behind the library would round the product once more, an
 *             error of 2^-9 of the product, and read and write it all again.
 *   residual  as its C with beta = 1, which is also how products accumulate.
 *   GELU      of the tanh form in bfloat16, forward and its slope. The value before it is stored rounded, while the
 *             library goes on with the unrounded one: within what rounding the result costs anyhow.
 * Exact GELU is never its: it has none. What is left is one element-wise pass. Products of no depth, shapes without an
 * algorithm and products that would overwrite what is still to be added are our own kernel's.
 *
 * Which algorithm: the one that the table of the queue has for the types, shapes and epilogue (device/choices.h). Where
 * it has none, the library's first choice, a function of the same, as workspace and alignments are stated and not taken
 * from the addresses; or, where choices are kept for later runs, the fastest of the first TUNE_MOST. That the library
 * has no algorithm is in the table, too. Split sums meet in float32 in the workspace, in a fixed order.
 *
 * Reached on an H200 in bfloat16 (`bench kernels`): 90 to 99 % of what the library reaches in a product of 8192 x 8192
 * by as many, 61 % with exact GELU behind it. */
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <cublasLt.h>

#include "kernels/cuda/matmul_own.cuh"
#include "kernels/cuda/tune.cuh"

namespace {

using namespace dt;

enum { WORKSPACE = 32 << 20, ALIGNMENT = 16, NAME_ROOM = 128 };
static_assert(sizeof(cublasLtMatmulAlgo_t) == DT_ALGORITHM_BYTES, "the table of choices holds algorithms of this size");

/* How one product is shared out. */
struct route {
    void *to;                   /* where the library's result goes: pre or c */
    dt_dtype to_type;
    const void *bias;           /* the library's; NULL: none */
    bool activates;             /* the library's GELU, or its slope */
    const void *aux;            /* then the value before it: made, read, or NULL for none */
    const void *add;            /* the library's C */
    bool finishes;              /* our pass follows, */
    const void *finishes_add;   /* with the residual */
    bool overlaps;              /* the product would overwrite what is still to be added */
};

/* The library's GELU and its slope ask for rows of a multiple of 8 and add nothing behind them. */
bool library_activates(dt_dtype t, const dt_matmul_args *x)
{
    const bool slope_alone = !x->act_grad_of || (!x->bias && !x->pre);
    return x->act == DT_ACT_GELU_TANH && t == DT_BF16 && x->c_type == DT_BF16 && x->n % 8 == 0 && slope_alone &&
           !x->residual && !x->accumulate;
}

route activated_route(const dt_matmul_args *x)
{
    route r = {};
    r.to = x->c;
    r.to_type = x->c_type;
    r.bias = x->bias;
    r.activates = true;
    r.aux = x->act_grad_of ? x->act_grad_of : x->pre;
    return r;
}

route plain_route(dt_dtype t, const dt_matmul_args *x)
{
    route r = {};
    const void *add = x->accumulate ? x->c : x->residual;
    r.to = x->pre ? x->pre : x->c;
    r.to_type = x->pre ? t : x->c_type;
    r.bias = x->bias;
    r.finishes = x->act != DT_ACT_NONE || x->pre;
    (r.finishes ? r.finishes_add : r.add) = add;
    r.overlaps = r.finishes_add && r.finishes_add == r.to;
    return r;
}

cudaDataType_t library_type(dt_dtype t) { return t == DT_BF16 ? CUDA_R_16BF : CUDA_R_32F; }

cublasComputeType_t compute_type(dt_dtype t, const dt_matmul_args *x)
{
    return x->tf32 && t == DT_F32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
}

/* The library's descriptions of one product. */
struct description {
    cublasLtMatmulDesc_t product = NULL;
    cublasLtMatrixLayout_t a = NULL, b = NULL, c = NULL, d = NULL; /* in our naming; c: what is added, d: the result */
    cublasLtMatmulPreference_t preference = NULL;
    cublasLtMatmulHeuristicResult_t offers[TUNE_MOST] = {}; /* the library's, best first as it thinks */
    int offer_count = 0;

    description() = default;
    description(const description &) = delete;
    ~description()
    {
        if (preference) cublasLtMatmulPreferenceDestroy(preference);
        for (cublasLtMatrixLayout_t layout : {a, b, c, d})
            if (layout) cublasLtMatrixLayoutDestroy(layout);
        if (product) cublasLtMatmulDescDestroy(product);
    }
};

dt_status check_product(cublasStatus_t status, dt_dtype t, const dt_matmul_args *x)
{
    if (status == CUBLAS_STATUS_SUCCESS) return DT_OK;
    if (status == CUBLAS_STATUS_ALLOC_FAILED) return dt_cuda_check(cudaErrorMemoryAllocation, "multiply");
    return dt_fail(DT_ERR_DEVICE,
                   "cuBLASLt cannot multiply %s [%" PRId64 ", %" PRId64 "]%s by [%" PRId64 ", %" PRId64 "]%s: %s",
                   dt_dtype_name(t), x->m, x->k, x->transpose_a ? " (kept transposed)" : "", x->k, x->n,
                   x->transpose_b ? " (kept transposed)" : "", cublasLtGetStatusString(status));
}

#define TRY_BLAS(call)                                                  \
    do {                                                                \
        const cublasStatus_t blas_status_ = (call);                     \
        if (blas_status_ != CUBLAS_STATUS_SUCCESS) return blas_status_; \
    } while (0)

template <typename V> cublasStatus_t set(description &d, cublasLtMatmulDescAttributes_t attribute, V value)
{
    return cublasLtMatmulDescSetAttribute(d.product, attribute, &value, sizeof value);
}

template <typename V> cublasStatus_t prefer(description &d, cublasLtMatmulPreferenceAttributes_t attribute, V value)
{
    return cublasLtMatmulPreferenceSetAttribute(d.preference, attribute, &value, sizeof value);
}

/* A row-major matrix of rows x columns is the library's of columns x rows. */
cublasStatus_t lay_out(cublasLtMatrixLayout_t *layout, dt_dtype t, int64_t rows, int64_t columns)
{
    return cublasLtMatrixLayoutCreate(layout, library_type(t), (uint64_t)columns, (uint64_t)rows, columns);
}

cublasStatus_t describe_matrices(description &d, dt_dtype t, const dt_matmul_args *x, const route &r)
{
    const cublasOperation_t op_a = x->transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N;
    const cublasOperation_t op_b = x->transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N;
    TRY_BLAS(cublasLtMatmulDescCreate(&d.product, compute_type(t, x), CUDA_R_32F));
    TRY_BLAS(set(d, CUBLASLT_MATMUL_DESC_TRANSA, op_b));
    TRY_BLAS(set(d, CUBLASLT_MATMUL_DESC_TRANSB, op_a));
    TRY_BLAS(lay_out(&d.a, t, x->transpose_a ? x->k : x->m, x->transpose_a ? x->m : x->k));
    TRY_BLAS(lay_out(&d.b, t, x->transpose_b ? x->n : x->k, x->transpose_b ? x->k : x->n));
    TRY_BLAS(lay_out(&d.c, r.to_type, x->m, x->n));
    return lay_out(&d.d, r.to_type, x->m, x->n);
}

/* Where the epilogue finds its arrays. */
cublasStatus_t point(description &d, const route &r, const void *bias, const void *aux)
{
    if (r.bias) TRY_BLAS(set(d, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias));
    if (r.aux) TRY_BLAS(set(d, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, aux));
    return CUBLAS_STATUS_SUCCESS;
}

cublasLtEpilogue_t epilogue_of(const dt_matmul_args *x, const route &r)
{
    if (!r.activates) return r.bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
    if (x->act_grad_of) return CUBLASLT_EPILOGUE_DGELU;
    if (r.aux) return r.bias ? CUBLASLT_EPILOGUE_GELU_AUX_BIAS : CUBLASLT_EPILOGUE_GELU_AUX;
    return r.bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
}

cublasStatus_t describe_epilogue(description &d, const dt_matmul_args *x, const route &r)
{
    TRY_BLAS(set(d, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue_of(x, r)));
    if (r.aux) TRY_BLAS(set(d, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, x->n));
    if (r.bias) TRY_BLAS(set(d, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, library_type(r.to_type)));
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t state_preferences(description &d)
{
    static const cublasLtMatmulPreferenceAttributes_t alignments[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
    TRY_BLAS(cublasLtMatmulPreferenceCreate(&d.preference));
    TRY_BLAS(prefer(d, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, (uint64_t)WORKSPACE));
    TRY_BLAS(prefer(d, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, (uint32_t)CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
    for (cublasLtMatmulPreferenceAttributes_t alignment : alignments)
        TRY_BLAS(prefer(d, alignment, (uint32_t)ALIGNMENT));
    return CUBLAS_STATUS_SUCCESS;
}

/* The search looks at the alignment of the epilogue's pointers: it gets one that is aligned like the least of ours. */
cublasStatus_t describe(description &d, dt_dtype t, const dt_matmul_args *x, const route &r)
{
    const void *aligned = (const void *)(uintptr_t)ALIGNMENT;
    TRY_BLAS(describe_matrices(d, t, x, r));
    TRY_BLAS(describe_epilogue(d, x, r));
    TRY_BLAS(state_preferences(d));
    return point(d, r, aligned, aligned);
}

/* At most `most` algorithms; none where the library has none. */
cublasStatus_t search(description &d, const dt_queue *q, int most)
{
    int count = 0;
    const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic((cublasLtHandle_t)q->blas, d.product, d.b, d.a, d.c,
                                                                 d.d, d.preference, most, d.offers, &count);
    if (status == CUBLAS_STATUS_NOT_SUPPORTED) return CUBLAS_STATUS_SUCCESS;
    for (int i = 0; i < count && status == CUBLAS_STATUS_SUCCESS; i++)
        if (d.offers[i].state == CUBLAS_STATUS_SUCCESS) d.offers[d.offer_count++] = d.offers[i];
    return status;
}

/* Stands in the table for products that the library has no algorithm for. */
constexpr cublasLtMatmulAlgo_t NO_ALGORITHM = {};

bool is_algorithm(const cublasLtMatmulAlgo_t *a) { return memcmp(a, &NO_ALGORITHM, sizeof *a) != 0; }

/* Does the library take an algorithm that a file or a record holds? */
bool is_accepted(const description &d, const dt_queue *q, const cublasLtMatmulAlgo_t *algorithm)
{
    if (!is_algorithm(algorithm)) return true;
    cublasLtMatmulHeuristicResult_t result = {};
    const cublasStatus_t status = cublasLtMatmulAlgoCheck((cublasLtHandle_t)q->blas, d.product, d.b, d.a, d.c, d.d,
                                                          algorithm, &result);
    return status == CUBLAS_STATUS_SUCCESS && result.workspaceSize <= WORKSPACE;
}

cublasStatus_t multiply(description &d, const dt_queue *q, const dt_matmul_args *x, const route &r,
                        const cublasLtMatmulAlgo_t *algorithm)
{
    const float alpha = 1, beta = r.add ? 1 : 0;
    TRY_BLAS(point(d, r, r.bias, r.aux));
    return cublasLtMatmul((cublasLtHandle_t)q->blas, d.product, &alpha, x->b, d.b, x->a, d.a, &beta,
                          r.add ? r.add : r.to, d.c, r.to, d.d, algorithm, x->scratch, WORKSPACE, stream_of(q));
}

__global__ void round_bias(int64_t n, const float *bias, bf16 *rounded)
{
    const int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) rounded[i] = narrow<bf16>(bias[i]);
}

/* Gives the library a bias of the result's type. */
dt_status ready_bias(const dt_queue *q, const dt_matmul_args *x, route *r)
{
    if (!r->bias || r->to_type == DT_F32) return DT_OK;
    bf16 *rounded = (bf16 *)((char *)x->scratch + WORKSPACE);
    round_bias<<<(unsigned)ceil_div<int64_t>(x->n, 256), 256, 0, stream_of(q)>>>(x->n, (const float *)x->bias, rounded);
    r->bias = rounded;
    return launched();
}

/* --- the choice of an algorithm --- */

/* All that the library's search sees: "bf16 to f32 768x3072x50432 tn bias". Not in it: what is added to the product. */
void name_product(char name[NAME_ROOM], dt_dtype t, const dt_matmul_args *x, const route &r)
{
    const char *type = compute_type(t, x) == CUBLAS_COMPUTE_32F_FAST_TF32 ? "tf32" : dt_dtype_name(t);
    const char *act = !r.activates ? "" : x->act_grad_of ? " dgelu" : r.aux ? " gelu, kept" : " gelu";
    snprintf(name, NAME_ROOM, "%s to %s %" PRId64 "x%" PRId64 "x%" PRId64 " %c%c%s%s", type, dt_dtype_name(r.to_type),
             x->m, x->n, x->k, x->transpose_a ? 't' : 'n', x->transpose_b ? 't' : 'n', act, r.bias ? " bias" : "");
}

/* Products that add to what is there cannot be repeated, and those being recorded not be waited for. */
bool may_time(const dt_queue *q, const route &r)
{
    return dt_choices_kept(q->choices) && r.add != r.to && !is_recording(q);
}

/* The index of an offer. */
dt_status pick(description &d, const dt_queue *q, dt_dtype t, const dt_matmul_args *x, const route &r,
               int *index)
{
    const auto product = [&](int i) { return multiply(d, q, x, r, &d.offers[i].algo) == CUBLAS_STATUS_SUCCESS; };
    const int64_t bytes = x->m * x->n * (int64_t)dt_dtype_size(r.to_type);
    DT_TRY(find_fastest(contest<decltype(product)>{q, d.offer_count, product, {{r.to, bytes}}, x->scratch}, index));
    if (*index >= 0) return DT_OK;
    return dt_fail(DT_ERR_DEVICE, "no algorithm of cuBLASLt repeats its bits for %s products [%" PRId64 ", %" PRId64
                   "] of depth %" PRId64 "; cuda.tune=false takes its first choice unseen", dt_dtype_name(t), x->m,
                   x->n, x->k);
}

/* A new choice, for this run or, where choices are kept, for all. */
dt_status decide(description &d, const dt_queue *q, dt_dtype t, const dt_matmul_args *x, const route &r,
                 const char *name, cublasLtMatmulAlgo_t *algorithm)
{
    const bool timed = may_time(q, r);
    int index = 0;
    DT_TRY(check_product(search(d, q, timed ? TUNE_MOST : 1), t, x));
    if (timed && d.offer_count) DT_TRY(pick(d, q, t, x, r, &index));
    *algorithm = d.offer_count ? d.offers[index].algo : NO_ALGORITHM;
    return dt_choices_kept(q->choices) ? dt_choices_decide(q->choices, name, algorithm)
                                       : dt_choices_use(q->choices, name, algorithm);
}

/* An algorithm from the table, or else one that the table has from now on. */
dt_status choose(description &d, const dt_queue *q, dt_dtype t, const dt_matmul_args *x, const route &r,
                 cublasLtMatmulAlgo_t *algorithm)
{
    char name[NAME_ROOM];
    name_product(name, t, x, r);
    const dt_choice known = find_choice(q, name, algorithm, [&] { return is_accepted(d, q, algorithm); });
    dt_status status = DT_OK;
    if (known == DT_CHOICE_NOTED) status = dt_choices_use(q->choices, name, algorithm);
    else if (known == DT_CHOICE_NONE) status = decide(d, q, t, x, r, name, algorithm);
    dt_choices_release(q->choices);
    return status;
}

/* *done is false when the library has no algorithm for it; then nothing was computed. */
dt_status try_route(const dt_queue *q, dt_dtype t, const dt_matmul_args *x, route r, bool *done)
{
    description d;
    cublasLtMatmulAlgo_t algorithm;
    *done = false;
    if (r.overlaps) return DT_OK;
    DT_TRY(ready_bias(q, x, &r));
    DT_TRY(check_product(describe(d, t, x, r), t, x));
    DT_TRY(choose(d, q, t, x, r, &algorithm));
    if (!(*done = is_algorithm(&algorithm))) return DT_OK;
    DT_TRY(check_product(multiply(d, q, x, r, &algorithm), t, x));
    return r.finishes ? run_finish(q, t, x, r.finishes_add) : DT_OK;
}

}

dt_status dt_cuda_matmul(const dt_queue *q, dt_dtype t, const dt_matmul_args *x)
{
    bool done = false;
    DT_TRY(by_product_types(t, x->c_type, [](auto, auto) { return DT_OK; }));
    if (x->m == 0 || x->n == 0) return DT_OK;
    if (x->k && library_activates(t, x)) DT_TRY(try_route(q, t, x, activated_route(x), &done));
    if (x->k && !done) DT_TRY(try_route(q, t, x, plain_route(t, x), &done));
    return done ? DT_OK : run_own(q, t, x);
}

/* Asked for before the arrays have addresses, so whether there is a bias is not known. */
int64_t dt_cuda_matmul_scratch(const dt_device_info *, dt_dtype, const dt_matmul_args *x)
{
    const int64_t rounded_bias = ceil_div<int64_t>(x->n * (int64_t)sizeof(bf16), ALIGNMENT) * ALIGNMENT;
    return x->m && x->n && x->k ? WORKSPACE + rounded_bias : 0;
}
