/* Safetensors from foreign bytes. What opens can be read: every tensor lies inside the file. */
#include <stdlib.h>

#include "fuzz.h"
#include "train/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dt_safetensors *file;
    if (dt_safetensors_open_bytes(data, size, "input", &file)) return 0;
    for (int i = 0; i < dt_safetensors_count(file); i++) {
        const dt_safetensor *tensor = dt_safetensors_at(file, i);
        if (tensor->offset + tensor->bytes > size || dt_safetensors_find(file, tensor->name) != tensor) abort();
        void *host = malloc((size_t)dt_shape_count(&tensor->shape) * sizeof(double) + 1);
        if (!host) abort();
        dt_status as_float = dt_safetensors_read(file, tensor, DT_F32, host);
        dt_status as_double = dt_safetensors_read(file, tensor, DT_F64, host);
        if (as_float != as_double) abort();
        free(host);
    }
    dt_safetensors_close(file);
    return 0;
}
