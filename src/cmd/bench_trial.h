/* One kernel, called with arrays of its own on one device in one type: what `bench kernels` checks and times. A case is
 * a function that asks for its arrays in order, says its work, and launches its kernel. Its first call makes the
 * arrays, later calls get the same ones, so that a call behind the first allocates nothing and can be recorded. */
#ifndef DT_CMD_BENCH_TRIAL_H
#define DT_CMD_BENCH_TRIAL_H

#include "cmd/bench.h"

enum { DT_BENCH_ARRAYS = 16 };

typedef struct dt_bench_array {
    int64_t count;
    dt_dtype type;
    bool output; /* to be compared */
    void *data;  /* device memory */
} dt_bench_array;

typedef struct dt_bench_trial {
    dt_device *device;
    const dt_kernels *kernels;
    dt_device_info info;
    dt_bench_shapes shape;
    dt_dtype type;
    bool coarse; /* all numbers are such that bfloat16 holds them exactly */
    dt_bench_array arrays[DT_BENCH_ARRAYS];
    int made, asked;     /* arrays there are, arrays that this call asked for so far */
    dt_status status;    /* the first failure: nothing is launched behind it */
    double flops, bytes; /* of the declared work: bytes that must be read or written */
} dt_bench_trial;

typedef struct dt_bench_case {
    const char *name;
    void (*run)(dt_bench_trial *);
    unsigned of; /* the shapes that it is timed at: DT_BENCH_... */
} dt_bench_case;

extern const dt_bench_case dt_bench_cases[], dt_bench_text_cases[]; /* ended by a row without a name */
/* Beside the list: the roofs. A copy of shape.parameters elements, and of the list the plain matrix product. */
extern const dt_bench_case dt_bench_copy, *const dt_bench_product;

/* A trial without arrays. */
DT_MUST_USE dt_status dt_bench_trial_open(dt_device *, const dt_bench_shapes *, dt_dtype, bool coarse,
                                          dt_bench_trial *out);
/* Calls the case once; queued, not waited for. */
DT_MUST_USE dt_status dt_bench_trial_run(dt_bench_trial *, const dt_bench_case *);
/* The largest difference of any output, measured by the largest value of the second trial's, which is of DT_F64 and on
 * the CPU. Waits for the first. */
DT_MUST_USE dt_status dt_bench_trial_error(dt_bench_trial *, const dt_bench_trial *exact, double *error);
void dt_bench_trial_close(dt_bench_trial *);

/* Copies the first `filled` bytes of device memory over the rest of `bytes`, and waits. */
DT_MUST_USE dt_status dt_bench_repeat(dt_device *, char *data, size_t filled, size_t bytes);

/* What cases ask for. `wide` is of the wide type of the trial's. NULL after a failure. */
void *dt_bench_in(dt_bench_trial *, int64_t count);       /* uniform in [-1, 1) */
void *dt_bench_positive(dt_bench_trial *, int64_t count); /* uniform in [0.5, 1.5) */
void *dt_bench_wide_in(dt_bench_trial *, int64_t count);
void *dt_bench_wide_positive(dt_bench_trial *, int64_t count); /* uniform in [0.5, 1.5) */
void *dt_bench_out(dt_bench_trial *, int64_t count);      /* NaN before the first call */
void *dt_bench_wide_out(dt_bench_trial *, int64_t count);
void *dt_bench_wide_update(dt_bench_trial *, int64_t count, double low, double high); /* numbers that it changes */
void *dt_bench_scratch(dt_bench_trial *, int64_t bytes);  /* NaN, and no result */
void *dt_bench_given(dt_bench_trial *, const void *bytes, int64_t count); /* a copy */
/* Whole numbers, which `fill` writes. */
typedef dt_status (*dt_bench_fill)(const dt_bench_trial *, int32_t *out, int64_t count);
void *dt_bench_numbers(dt_bench_trial *, int64_t count, dt_bench_fill fill);
/* Declares the work; false where the kernel cannot be launched. */
bool dt_bench_work(dt_bench_trial *, double flops, double bytes);

static inline int64_t dt_bench_rows(const dt_bench_trial *t) { return t->shape.batch * t->shape.tokens; }
static inline double dt_bench_size(const dt_bench_trial *t) { return (double)dt_dtype_size(t->type); }
static inline double dt_bench_wide_size(const dt_bench_trial *t)
{
    return (double)dt_dtype_size(dt_dtype_wide(t->type));
}
static inline const dt_queue *dt_bench_queue(const dt_bench_trial *t)
{
    return dt_device_queue(t->device, DT_STREAM_COMPUTE);
}

#endif
