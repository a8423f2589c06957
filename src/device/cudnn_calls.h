/* What of cuDNN is called, and the plans that were made for it; only in builds with DT_HAVE_CUDNN. */
#ifndef DT_DEVICE_CUDNN_CALLS_H
#define DT_DEVICE_CUDNN_CALLS_H

#include <cudnn_graph.h>
#include <stdint.h>

#include "device/cudnn.h"

#define DT_CUDNN_CALLS(X)                                                                                        \
    X(GetVersion) X(Create) X(Destroy) X(SetStream) X(GetLastErrorString) X(BackendCreateDescriptor)             \
    X(BackendDestroyDescriptor) X(BackendSetAttribute) X(BackendGetAttribute) X(BackendFinalize) X(BackendExecute)

enum { DT_CUDNN_NAME = 128, DT_CUDNN_DESCRIPTORS = 160 };

/* How one graph is run. It keeps the descriptors that it was made of. */
typedef struct dt_cudnn_plan {
    struct dt_cudnn_plan *next;
    char name[DT_CUDNN_NAME];
    cudnnBackendDescriptor_t made[DT_CUDNN_DESCRIPTORS];
    int made_count;
    cudnnBackendDescriptor_t plan; /* NULL: the library has none */
} dt_cudnn_plan;

struct dt_cudnn {
    void *library;
    bool always;
    int version;
    cudnnHandle_t handle; /* NULL before dt_cudnn_start */
    void *stream;         /* on which it works */
    dt_cudnn_plan *plans;
#define X(name) __typeof__(cudnn##name) *name;
    DT_CUDNN_CALLS(X)
#undef X
};

/* Makes the handle, once, and has it work on the stream. */
DT_MUST_USE dt_status dt_cudnn_start(dt_cudnn *, void *stream);
/* NULL: not made yet. */
const dt_cudnn_plan *dt_cudnn_find_plan(const dt_cudnn *, const char *name);
/* From now on the library's, which frees it. */
void dt_cudnn_keep_plan(dt_cudnn *, dt_cudnn_plan *);
/* DT_ERR_DEVICE: "cuDNN cannot WHAT: the library's reason", and how to do without it. */
DT_MUST_USE dt_status dt_cudnn_fail(const dt_cudnn *, const char *what);

#endif
