/* The IDX reader, plain and gzip: as labels (1 dimension) and as images (3). What is read is as large as it says. */
#include "byte_file.h"
#include "data/idx.h"
#include "fuzz.h"

static uint8_t sum_of(const dt_idx *idx)
{
    uint8_t sum = 0;
    for (int64_t i = 0; i < idx->size[0] * idx->size[1] * idx->size[2]; i++) sum += idx->bytes[i];
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    byte_file file = byte_file_open(data, size);
    volatile uint8_t seen = 0; /* keeps the reads */
    for (int dims = 1; dims <= 3; dims += 2) {
        static const int64_t most[] = {100000, 100000, 100000};
        dt_idx idx;
        if (dt_idx_read(file.path, dims, most, &idx)) continue;
        seen = seen + sum_of(&idx);
        free(idx.bytes);
    }
    byte_file_close(&file);
    return 0;
}
