/* Training runs, evaluation and plans: what `cmd/` calls. */
#ifndef DT_TRAIN_TRAIN_H
#define DT_TRAIN_TRAIN_H

#include "comm/world.h"
#include "data/data.h"
#include "graph/program.h"
#include "models/model.h"
#include "passes/passes.h"
#include "train/checkpoint.h"
#include "train/report.h"

/* Everything of one run that does not need its data or its run folder: device, model, store, programs. `plan`, `bench`
 * and `eval` use it too. */
typedef struct dt_session dt_session;

typedef struct dt_session_options {
    dt_world *world;  /* whose ranks each make the same session; outlives it. NULL: one rank */
    bool alone;       /* each rank of the world makes a session of one rank, on the device that is its own there */
    bool plan_only;   /* no device memory: programs are planned, not bound */
    bool settings_only; /* with plan_only: just the settings are of interest, and a program without CUDA makes them of
                           runs on GPUs, too */
    bool bind_later;  /* the caller calls dt_session_bind, once all that fails cheaply has not failed */
    bool eval_only;   /* only the eval program; no gradients or moments */
    bool weights_only; /* with eval_only: memory for the weights alone, to be read and written, on the CPU whatever the
                          settings say; nothing can be run */
    bool no_update;   /* gradients and their norm, but no optimizer, moments or averages: nothing moves */
    bool narrow_gradients; /* with no_update, in bfloat16: the gradients of matrices are bfloat16 */
    bool eval_ema;    /* with eval_only: a store without training buffers, filled from EMA weights by the caller */
    bool scores;      /* with eval_only: programs that score texts instead of eval */
    int64_t sequences; /* with eval_only, for generation: programs that go on with so many texts side by side instead of
                          eval; 0: not */
    dt_comm *comm;    /* the ranks, in the place of the world's; outlives the session; NULL: the world's */
} dt_session_options;

/* The log must outlive the session. */
DT_MUST_USE dt_status dt_session_create(dt_settings *, const dt_session_options *, dt_log *, dt_session **out);
/* Takes the device memory and binds the programs to it; part of dt_session_create unless it was put off. */
DT_MUST_USE dt_status dt_session_bind(dt_session *);
void dt_session_free(dt_session *);
dt_store *dt_session_store(const dt_session *);
/* With plan_only and device=cuda, or a precision mode of GPUs, a plan is made for a GPU also where there is none, or
 * none that starts: the device is the CPU then. */
dt_device *dt_session_device(const dt_session *);
dt_backend dt_session_backend(const dt_session *); /* what the programs are for */
const dt_model *dt_session_model(const dt_session *);
/* DT_ERR_USAGE where a tokenizer has more tokens than the model. Fewer go: vocabularies are padded. */
DT_MUST_USE dt_status dt_session_check_vocabulary(const dt_session *, int64_t tokens);
/* "pass", "update", "eval", "prefill", "decode", "score.TOKENS"; NULL when the session does not have it. */
dt_program *dt_session_program(const dt_session *, const char *name);
int64_t dt_session_micro_batch(const dt_session *); /* samples of one pass on this rank */
int64_t dt_session_memory(const dt_session *, dt_memory); /* planned bytes of one category */
/* What a training run takes of host memory besides. */
typedef struct dt_host_memory {
    int64_t data;     /* samples of data sets that are kept in memory */
    int64_t batches;  /* data.ahead micro-batches, of training and of evaluation */
    int64_t snapshot; /* what this rank's files of a checkpoint are written from */
} dt_host_memory;
DT_MUST_USE dt_status dt_session_host_memory(const dt_session *, const dt_settings *, dt_host_memory *out);
/* Bytes that one rank sends in a training step, by what does it. */
typedef struct dt_traffic {
    double reduce_scatter; /* gradients */
    double all_gather;     /* what was summed up or updated in pieces and is kept whole */
    double gather;         /* parameters that passes read and of which ranks keep shards */
    double all_reduce;     /* sums of numbers; and of gradients over replicas, where groups share */
} dt_traffic;
dt_traffic dt_session_traffic(const dt_session *);
/* Model FLOPs of one training step of the whole job: forward times three, recomputation not counted. */
double dt_session_step_flops(const dt_session *);
double dt_session_peak_flops(const dt_session *); /* FLOP/s of all ranks' GPUs; NAN: unknown, or the CPU */
/* What the last bits depend on besides the settings, so far, a new reference: the CPU's kernel set, or the GPU, its
 * libraries, and the algorithm of each product and attention. NULL: out of memory. */
json_t *dt_session_numerics(const dt_session *);

/* For bench and for tests of the plan. Puts a made-up micro-batch into the first slot, and one for evaluation into the
 * second; from then on a step runs the first and an update, as in training or, with `timing`, node by node, each timed.
 * It waits for the end. */
DT_MUST_USE dt_status dt_session_load_step(dt_session *);
DT_MUST_USE dt_status dt_session_run_step(dt_session *, dt_node_timing timing, void *context);
/* The program "pass" or "eval" alone, waiting for its end. */
DT_MUST_USE dt_status dt_session_run_one(dt_session *, const char *program);
/* Of "pass" or "eval" the nodes that are wanted, on what lies in memory; queued, so that it can be recorded. */
DT_MUST_USE dt_status dt_session_queue_some(dt_session *, const char *program, dt_node_filter wanted);

typedef struct dt_train_options {
    dt_world *world;       /* whose ranks train together; NULL: one rank */
    bool resume;
    bool dry_run;          /* everything up to the first step, one step on real data, nothing written */
    volatile const int *signal; /* number of signals received (the one signal flag, owned by cmd/) */
} dt_train_options;
/* Trains to the end, or until a signal to any rank: then all save and return DT_ERR_STOPPED. Of several ranks the first
 * alone writes to the run folder, but that each has a log there. A failure that not all ranks know of ends the others
 * through dt_world_abort. */
DT_MUST_USE dt_status dt_train_run(dt_settings *, const dt_train_options *, dt_log *);

/* One pass over the eval split with the session's weights, which all of its ranks make together. A failure that not all
 * of them know of ends the others through dt_world_abort. */
DT_MUST_USE dt_status dt_evaluate(dt_session *, dt_settings *, dt_log *, dt_eval_report *out);

extern const dt_setting_table dt_train_settings; /* seed, device, threads, precision.*, run.*, train.*, optim.*, ... */

#endif
