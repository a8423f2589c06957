/* The parameter and state store that all programs of a run share.
 *
 * Parameters live in units; a unit's parameters lie together in two flat buffers by read type: DT_GROUP_MATRIX (what
 * matrix products and embeddings read, in bfloat16 mode a bfloat16 copy of it) and DT_GROUP_VECTOR (read as it is).
 * All units of a group lie behind one another, so that one kernel serves a whole buffer with the span table. A
 * parameter starts at a multiple of 16 elements, but for those that are joined to the one before them; the gaps are
 * zero and stay zero.
 *
 * The first graph built against a store declares the parameters; later graphs find them by name and must agree.
 *
 * Several ranks share the buffers as ZeRO does (Rajbhandari et al., 2020). A group's units are put together in buckets;
 * a bucket is cut into as many equal pieces as there are ranks, whatever tensors they cut through, and piece r is rank
 * r's. A buffer is kept whole on every rank, or as this rank's pieces of all buckets behind one another, its shard. */
#ifndef DT_GRAPH_STORE_H
#define DT_GRAPH_STORE_H

#include "comm/comm.h"
#include "graph/graph.h"

typedef enum dt_group { DT_GROUP_MATRIX, DT_GROUP_VECTOR, DT_GROUPS } dt_group;

typedef enum dt_role { /* decay goes by role: matrices and embeddings decay, nothing else */
    DT_ROLE_MATRIX,
    DT_ROLE_EMBEDDING,
    DT_ROLE_POSITION, /* position embeddings and class tokens */
    DT_ROLE_BIAS,
    DT_ROLE_GAIN,  /* gamma and beta of norms */
    DT_ROLE_ALPHA, /* alpha and shift of point-wise norms */
    DT_ROLES
} dt_role;
const char *dt_role_name(dt_role);

typedef enum dt_init_kind { DT_INIT_CONSTANT, DT_INIT_NORMAL, DT_INIT_UNIFORM } dt_init_kind;
typedef struct dt_init { /* constant value; normal with that deviation; uniform in [-value, value] */
    dt_init_kind kind;
    double value;
} dt_init;

struct dt_param {
    const char *name; /* the published name: "blocks.0.attn.qkv.weight" */
    int index;        /* in declaration order */
    dt_role role;
    dt_group group;
    int unit;
    dt_shape shape;           /* as the kernels read it */
    dt_shape published_shape; /* the first elements in the same order, as checkpoints name it */
    int64_t offset, count;    /* in elements of the group's buffer; count: of the published shape, what `shape` has
                                 beyond is a gap */
    dt_init init;
    bool frozen;
    float lr_scale; /* layer-wise decay; 1 by default */
};

/* The flat buffers of one group, DT_BUFFER tensors and checkpoint arrays alike. */
typedef enum dt_buffer {
    DT_BUFFER_VALUE,
    DT_BUFFER_GRADIENT,
    DT_BUFFER_MOMENT1,
    DT_BUFFER_MOMENT2,
    DT_BUFFER_EMA,
    DT_BUFFER_WORKING, /* bfloat16 copy of the matrices' values, which products read; vectors have none */
    DT_BUFFERS
} dt_buffer;
const char *dt_buffer_name(dt_buffer); /* "value", "gradient", "moment1", "moment2", "ema", "working" */

/* Consecutive units of a group. Elements of the group's whole buffer, and of a shard. */
typedef struct dt_bucket {
    dt_group group;
    int first_unit, end_unit;
    int64_t offset, count;       /* in the whole; all ranks' pieces */
    int64_t shard_offset, piece; /* in the shard; of one rank: count / ranks */
} dt_bucket;

struct dt_state { /* persistent, named, not differentiated; written by assign nodes */
    const char *name;
    int index; /* in declaration order */
    dt_dtype dtype;
    dt_shape shape;
    bool saved; /* in checkpoints; false: a running sum that every step or evaluation resets */
    void *data; /* device memory once allocated */
};

DT_MUST_USE dt_status dt_store_create(dt_store **out);
void dt_store_free(dt_store *); /* frees device memory too; before the device is closed */

/* In a graph: the parameter `name` under the current scope, of the open unit (there must be one); the same tensor when
 * asked again. It reads the buffer set by dt_graph_read_buffer. Frozen parameters get no gradient. `published` NULL:
 * same as shape; it may have fewer rows, where the rest is padding, whose gradient must be zero. */
typedef struct dt_param_options {
    dt_role role;
    dt_init init;
    bool frozen;
    const dt_shape *published;
} dt_param_options;
dt_tensor *dt_param_tensor(dt_graph *, const char *name, dt_shape shape, dt_param_options);
/* Matrices of `columns` columns, each a parameter of its own, that lie under one another and are read as one, of the
 * rows of all: what one product computes and checkpoints name apart. The options are those of all but for init. */
typedef struct dt_param_part {
    const char *name;
    int64_t rows;
    dt_init init;
} dt_param_part;
dt_tensor *dt_param_joined(dt_graph *, const dt_param_part *parts, int count, int64_t columns, dt_param_options);
dt_tensor *dt_param_gradient(dt_graph *, const dt_tensor *param); /* the slot */
dt_dtype dt_param_gradient_type(const dt_graph *, const dt_tensor *param);
/* Graphs that name one state must agree on its shape and, once cast, on its type, which dt_program_bind checks. NULL as
 * name: there was no memory to write it. */
dt_tensor *dt_state_tensor(dt_graph *, const char *name, dt_dtype, dt_shape shape, bool saved);
/* After the layout: 1-D, all that this rank keeps of the group; a bucket of a buffer that is kept whole; this rank's
 * piece of a bucket. */
dt_tensor *dt_buffer_tensor(dt_graph *, dt_group, dt_buffer);
dt_tensor *dt_bucket_tensor(dt_graph *, const dt_bucket *, dt_buffer);
dt_tensor *dt_piece_tensor(dt_graph *, const dt_bucket *, dt_buffer);

/* Before the layout. `comm` holds the ranks that share, `replicas` (NULL: only this one) those that have the same
 * pieces among others; both must be there as long as something is read. level is parallel.zero: 0 keeps all buffers whole, 1
 * shares moments, averages and what products do not read of the values, 2 gradients too, 3 all. A bucket is closed by
 * the unit with which it has `bucket_bytes` of gradients, or as much as all in front of it. `working`: there will be
 * working copies. */
typedef struct dt_share {
    dt_comm *comm, *replicas;
    int level;
    int64_t bucket_bytes;
    bool working;
} dt_share;
void dt_store_share(dt_store *, dt_share);
int dt_store_ranks(const dt_store *);
bool dt_store_keeps_whole(const dt_store *, dt_group, dt_buffer);
/* After the layout, ascending, the matrices' first. */
int dt_store_buckets(const dt_store *);
const dt_bucket *dt_store_bucket(const dt_store *, int index);
const dt_bucket *dt_store_bucket_of(const dt_store *, const dt_param *);
/* Elements first .. first + count - 1 of a parameter, and where they lie on this rank. */
typedef struct dt_kept {
    int64_t first, count;
    char *data;
} dt_kept;
/* What this rank keeps of elements first .. first + count - 1; it has one stretch of them, or none. */
dt_kept dt_store_kept_stretch(const dt_store *, const dt_param *, dt_buffer, int64_t first, int64_t count);
/* Where this rank's piece of a bucket begins in the whole, and in the buffer as it is kept. */
int64_t dt_store_piece_first(const dt_store *, const dt_bucket *);
int64_t dt_store_piece_at(const dt_store *, const dt_bucket *, dt_buffer);

/* After the first graph was built: offsets, then device memory of the wanted buffers (bit set over dt_buffer), all
 * zero. `type` is the float type of all buffers but the working copy: DT_F32, or on the CPU DT_F64. */
DT_MUST_USE dt_status dt_store_layout(dt_store *, dt_dtype type);
/* Before a graph is differentiated: the gradients of matrices that are read in bfloat16 are kept in bfloat16 too. No
 * optimizer takes such gradients: for benchmarks of passes alone. */
void dt_store_narrow_gradients(dt_store *);
DT_MUST_USE dt_status dt_store_alloc(dt_store *, dt_device *, unsigned buffers);
int64_t dt_store_staging_bytes(const dt_store *); /* taken where ranks share, to read others' pieces */
int64_t dt_store_bytes(const dt_store *, dt_buffer); /* both groups, on this rank */
DT_MUST_USE dt_status dt_store_initialise(dt_store *, uint64_t seed); /* draws every parameter by its init */

dt_dtype dt_store_type(const dt_store *);
int64_t dt_store_count(const dt_store *, dt_group); /* elements of the flat buffer kept whole, gaps included */
void *dt_store_data(const dt_store *, dt_group, dt_buffer); /* NULL when not allocated */
dt_device *dt_store_device(const dt_store *);
int dt_store_params(const dt_store *);
dt_param *dt_store_param(const dt_store *, int index); /* in declaration order */
dt_param *dt_store_find(const dt_store *, const char *name);
int64_t dt_store_trainable(const dt_store *); /* elements of unfrozen parameters */
int dt_store_units(const dt_store *);
int dt_store_states(const dt_store *);
dt_state *dt_store_state(const dt_store *, int index);

/* One parameter of one buffer, not the working copy or narrow gradients, from and to host memory, in float32 or float64
 * whatever the store's type. Writing a value writes its working copy too. From a buffer of which ranks keep shards, all
 * ranks read at once, each into its own `host`, which may be NULL: then only its piece is sent. */
DT_MUST_USE dt_status dt_store_read(const dt_store *, const dt_param *, dt_buffer, dt_dtype, void *host);
DT_MUST_USE dt_status dt_store_write(dt_store *, const dt_param *, dt_buffer, dt_dtype, const void *host);
/* What of `host` a write takes over: elements first .. first + count - 1, all of them where this rank keeps the buffer
 * or its working copy whole. The others need not be filled. */
void dt_store_writes(const dt_store *, const dt_param *, dt_buffer, int64_t *first, int64_t *count);

#endif
