/* What a back end gives device.c: one constant table of functions. Accounting, messages about memory and the pool are
 * device.c's; a back end only talks to its hardware. `context` is what its open() made. */
#ifndef DT_DEVICE_BACKEND_H
#define DT_DEVICE_BACKEND_H

#include "device/device.h"

typedef struct dt_backend_table {
    const char *name;
    bool built;
    int (*count)(const char **why); /* `why` is never NULL here */
    void (*versions)(char *out, size_t room); /* NULL: nothing to tell */
    dt_status (*id)(int index, char out[DT_DEVICE_ID_ROOM]); /* NULL: it has none */
    dt_status (*check)(int index); /* is it one that the kernels run on? */
    dt_status (*open)(int index, void **context);
    void (*close)(void *context);
    dt_status (*query)(void *context, dt_device_info *out); /* all but `threads` and `cudnn` */

    /* alloc zeroes. DT_ERR_MEMORY without a message says that it does not fit: device.c writes the message. */
    dt_status (*alloc)(void *context, size_t bytes, void **out);
    void (*free)(void *context, void *ptr);
    dt_status (*alloc_host)(void *context, size_t bytes, void **out);
    void (*free_host)(void *context, void *ptr);

    /* Any direction: the back end knows from the addresses where they lie. */
    dt_status (*copy)(void *context, dt_stream, void *to, const void *from, size_t bytes);
    dt_status (*clear)(void *context, dt_stream, void *ptr, size_t bytes);
    dt_status (*sync)(void *context, dt_stream);
    void (*queue)(void *context, dt_stream, dt_queue *out); /* all but `pool`, `choices`, `cudnn` */

    /* NULL where the back end does not record. `record_end` with NULL throws the recording away. */
    dt_status (*record_begin)(void *context);
    dt_status (*record_end)(void *context, void **recording);
    dt_status (*record_run)(void *context, void *recording);
    void (*record_free)(void *recording);

    void (*range_begin)(const char *name); /* NULL where no profiler looks at ranges */
    void (*range_end)(void);

    dt_status (*event_create)(void *context, void **event);
    void (*event_free)(void *event);
    dt_status (*event_record)(void *context, void *event, dt_stream);
    dt_status (*event_wait)(void *context, void *event, dt_stream);
    dt_status (*event_sync)(void *event);
} dt_backend_table;

extern const dt_backend_table dt_backend_cpu, dt_backend_cuda;

#endif
