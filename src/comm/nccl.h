/* NVIDIA's NCCL: collectives between GPUs. The program does not need it: it is loaded where several ranks train on
 * GPUs, in builds that found its header. Its calls are the main thread's. */
#ifndef DT_COMM_NCCL_H
#define DT_COMM_NCCL_H

#include <stdbool.h>

#include "comm/comm.h"

typedef struct dt_nccl dt_nccl;

bool dt_nccl_built(void);
/* Loads the library. DT_ERR_DEVICE says why it cannot be used, and what helps. */
DT_MUST_USE dt_status dt_nccl_open(dt_nccl **out);
/* NULL is allowed. */
void dt_nccl_close(dt_nccl *);
enum { DT_NCCL_TEXT = 32, DT_NCCL_ID_BYTES = 128 };
/* "NCCL 2.28.9". Returns `out`. */
const char *dt_nccl_text(const dt_nccl *, char out[DT_NCCL_TEXT]);
/* By what the ranks of one communicator find each other: rank 0 makes it and sends it to all. */
DT_MUST_USE dt_status dt_nccl_make_id(dt_nccl *, char id[DT_NCCL_ID_BYTES]);
/* Takes the library over on success. All ranks call it, each with a GPU of its own, and it waits for all. */
DT_MUST_USE dt_status dt_comm_create_nccl(dt_nccl *, dt_device *, const char id[DT_NCCL_ID_BYTES], int rank, int size,
                                          dt_comm **out);

#endif
