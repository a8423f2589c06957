/* One compute device: its memory, streams and events behind one interface that `cpu` and `cuda` implement. Every
 * allocation of tensors goes through here, so that the high-water mark can be held against the plan. */
#ifndef DT_DEVICE_DEVICE_H
#define DT_DEVICE_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/threads.h"
#include "device/choices.h"
#include "device/cudnn.h"

typedef enum dt_backend { DT_CPU, DT_CUDA, DT_BACKENDS } dt_backend;
typedef enum dt_stream { DT_STREAM_COMPUTE, DT_STREAM_COMM, DT_STREAM_COPY, DT_STREAMS } dt_stream;

/* What an allocation is for: the lines of `dyttrain plan`. */
typedef enum dt_memory {
    DT_MEMORY_PARAMETERS,
    DT_MEMORY_GRADIENTS,
    DT_MEMORY_OPTIMIZER, /* moments */
    DT_MEMORY_EMA,
    DT_MEMORY_STATE,
    DT_MEMORY_ARENA, /* activations and workspaces of all programs */
    DT_MEMORY_FEED,  /* batches and step values, metrics */
    DT_MEMORY_CATEGORIES
} dt_memory;
const char *dt_memory_name(dt_memory);

typedef struct dt_device dt_device;
typedef struct dt_event dt_event;

typedef struct dt_device_info {
    char name[128];       /* processor or GPU as the system names it */
    int64_t memory_total; /* bytes */
    int64_t memory_free;
    int capability;       /* CUDA compute capability times ten, 0 on the CPU */
    int processors;       /* CUDA multiprocessors, 0 on the CPU */
    int threads;          /* of the pool */
    bool cudnn;           /* attention may be cuDNN's, which takes more scratch */
} dt_device_info;

/* Is the back end compiled in, and how many devices does it see? A missing driver or GPU is a count of 0, and `why`
 * (may be NULL) receives a static text that says so. */
bool dt_backend_built(dt_backend);
int dt_backend_count(dt_backend, const char **why);
const char *dt_backend_name(dt_backend); /* "cpu", "cuda" */

enum { DT_VERSIONS_ROOM = 96 };
/* "driver for CUDA 13.2, runtime 13.0, cuBLASLt 13.0.2": what computes there, device or not; "" on the CPU. Returns
 * `out`. */
const char *dt_backend_versions(dt_backend, char out[DT_VERSIONS_ROOM]);
enum { DT_DEVICE_ID_ROOM = 48 };
/* "GPU-2f9c...": by what ranks of one host find out that they see the same GPU; "" for a CPU. */
DT_MUST_USE dt_status dt_backend_id(dt_backend, int index, char out[DT_DEVICE_ID_ROOM]);
/* Whether a run can use the device: it is there, and it is one that this build's kernels run on. The message of
 * DT_ERR_DEVICE names it and says what it lacks. Costs next to nothing; dt_device_open asks first, too. */
DT_MUST_USE dt_status dt_backend_check(dt_backend, int index);

/* `threads` sizes the compute pool (0: all processors). The pool belongs to the device. */
DT_MUST_USE dt_status dt_device_open(dt_backend, int index, int threads, dt_device **out);
void dt_device_close(dt_device *); /* NULL is allowed; all allocations must be freed before */
dt_backend dt_device_backend(const dt_device *);
dt_pool *dt_device_pool(const dt_device *);
DT_MUST_USE dt_status dt_device_query(dt_device *, dt_device_info *out);
/* What kernels run on. */
typedef struct dt_queue {
    dt_pool *pool;       /* the CPU's threads */
    void *stream;        /* CUDA: cudaStream_t */
    void *blas;          /* CUDA: cublasLtHandle_t */
    int processors;      /* CUDA: multiprocessors */
    dt_choices *choices; /* CUDA: the algorithms of matrix products and of attention */
    dt_cudnn *cudnn;     /* CUDA: for attention; NULL: all is our own kernels' */
} dt_queue;
/* Valid as long as the device. */
const dt_queue *dt_device_queue(const dt_device *, dt_stream);
dt_choices *dt_device_choices(const dt_device *); /* empty on the CPU */
/* Lets attention be cuDNN's, `always` or where it is faster (dt_cudnn_open); once, before the device is asked what it
 * is and anything is planned for it. DT_ERR_DEVICE says why that cannot be. */
DT_MUST_USE dt_status dt_device_use_cudnn(dt_device *, bool always);

/* Before anything is allocated: is what is planned of each category free now? DT_ERR_MEMORY names the largest, how much
 * is free, what other processes hold, and the setting that helps. */
DT_MUST_USE dt_status dt_device_check_room(dt_device *, const int64_t planned[DT_MEMORY_CATEGORIES]);
/* Aligned to 256 bytes, zeroed. Out of memory names the largest categories in use and the setting that helps. */
DT_MUST_USE dt_status dt_device_alloc(dt_device *, dt_memory, size_t bytes, void **out);
void dt_device_free(dt_device *, dt_memory, void *ptr, size_t bytes);
/* Host memory that the device copies from and to at full speed (pinned on CUDA); not counted as device memory. */
DT_MUST_USE dt_status dt_device_alloc_host(dt_device *, size_t bytes, void **out);
void dt_device_free_host(dt_device *, void *ptr); /* waits for copies that are under way */

typedef struct dt_memory_use {
    int64_t now[DT_MEMORY_CATEGORIES], peak; /* peak: of the sum of all categories */
} dt_memory_use;
void dt_device_memory(const dt_device *, dt_memory_use *out);

/* Copies and clears are ordered on their stream; the CPU does them at once. Host buffers of asynchronous copies must
 * stay untouched until the stream was synchronised or an event recorded after them has passed. */
DT_MUST_USE dt_status dt_device_upload(dt_device *, dt_stream, void *device, const void *host, size_t bytes);
DT_MUST_USE dt_status dt_device_download(dt_device *, dt_stream, void *host, const void *device, size_t bytes);
DT_MUST_USE dt_status dt_device_copy(dt_device *, dt_stream, void *to, const void *from, size_t bytes);
DT_MUST_USE dt_status dt_device_clear(dt_device *, dt_stream, void *device, size_t bytes);
DT_MUST_USE dt_status dt_device_sync(dt_device *, dt_stream);

/* Work of the compute stream, recorded once and run again as a whole: a CUDA graph. The CPU records nothing. While
 * recording, the host allocates nothing and waits for nothing. */
typedef struct dt_recording dt_recording;
bool dt_device_records(const dt_device *);
DT_MUST_USE dt_status dt_recording_begin(dt_device *);
DT_MUST_USE dt_status dt_recording_end(dt_device *, dt_recording **out); /* nothing ran yet */
void dt_recording_cancel(dt_device *);                                   /* instead of ending it, behind a failure */
DT_MUST_USE dt_status dt_recording_run(dt_device *, dt_recording *);     /* queued on the compute stream */
void dt_recording_free(dt_device *, dt_recording *);                     /* NULL is allowed */

/* What the calling thread does until the end, named for profilers (NVTX on CUDA); ranges nest. */
void dt_device_range_begin(const dt_device *, const char *name);
void dt_device_range_end(const dt_device *);

/* What `waiting` is given from now on runs behind what `awaited` was given before. */
DT_MUST_USE dt_status dt_device_join(dt_device *, dt_stream waiting, dt_stream awaited);

DT_MUST_USE dt_status dt_event_create(dt_device *, dt_event **out);
void dt_event_free(dt_device *, dt_event *);
DT_MUST_USE dt_status dt_event_record(dt_device *, dt_event *, dt_stream);
DT_MUST_USE dt_status dt_event_wait(dt_device *, dt_event *, dt_stream); /* the stream waits for the event */
DT_MUST_USE dt_status dt_event_sync(dt_device *, dt_event *);            /* the host waits */

#endif
