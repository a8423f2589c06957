/* NVIDIA's cuDNN, whose attention is faster than our own on long sequences. The program does not need it: it is loaded
 * where it is found, in builds that found its header. One belongs to a device, and to its thread. */
#ifndef DT_DEVICE_CUDNN_H
#define DT_DEVICE_CUDNN_H

#include <stdbool.h>

#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dt_cudnn dt_cudnn;

bool dt_cudnn_built(void);
/* Loads the library, for a GPU of that compute capability (0: not known). `always`: its attention is wanted wherever it
 * takes the shape, and not only where it is faster. DT_ERR_DEVICE says why it cannot be used, and what helps. */
DT_MUST_USE dt_status dt_cudnn_open(int capability, bool always, dt_cudnn **out);
void dt_cudnn_close(dt_cudnn *); /* NULL is allowed */
bool dt_cudnn_always(const dt_cudnn *);
enum { DT_CUDNN_TEXT = 32 };
/* "cuDNN 9.19.0"; NULL has a text, too: "own kernels". Returns `out`. */
const char *dt_cudnn_text(const dt_cudnn *, char out[DT_CUDNN_TEXT]);

#ifdef __cplusplus
}
#endif

#endif
