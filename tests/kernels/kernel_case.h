/* A kernel test case: shapes, the call, and the same in naive loops over doubles. The runner goes through every
 * instruction set that runs here, both types, 1, 2 and 5 threads, with and without a NaN among the inputs. */
#ifndef DT_TESTS_KERNEL_CASE_H
#define DT_TESTS_KERNEL_CASE_H

#include "kernels/cpu/kernels.h"

enum { CASE_DIMS = 8, CASE_INPUTS = 8, CASE_OUTPUTS = 6, CASE_SHAPES = 12 };

typedef struct case_sizes {
    int inputs, outputs;
    int64_t in[CASE_INPUTS], out[CASE_OUTPUTS]; /* elements */
    bool adds[CASE_OUTPUTS];                    /* the output starts from 0.25 and is added to; others from NaN */
    int64_t scratch;                            /* bytes */
} case_sizes;

typedef struct kernel_call {
    const dt_kernels *set;
    dt_queue queue;
    dt_dtype t;
    const void *in[CASE_INPUTS]; /* of type t */
    void *out[CASE_OUTPUTS];
    void *scratch;
    int threads;
} kernel_call;

typedef struct kernel_case {
    const char *name;
    void (*size)(const int64_t *d, dt_dtype t, int threads, case_sizes *sizes);
    void (*call)(const int64_t *d, const kernel_call *c);
    void (*expect)(const int64_t *d, double *const *in, double **out);
    int64_t shapes[CASE_SHAPES][CASE_DIMS]; /* up to the first that is 0 at the front */
    bool positive;                          /* inputs in (0.5, 2) and not in (-2, 2) */
    bool nan_spreads;                       /* a NaN may reach more outputs than in the naive loops: masked keys are
                                             * multiplied by 0 */
} kernel_case;

/* Ends with a name of NULL. */
extern const kernel_case dense_cases[], norm_cases[], class_cases[], other_cases[], text_cases[];

/* Fails the running CMocka test where a result differs. */
void kernel_case_run(const kernel_case *);

#endif
