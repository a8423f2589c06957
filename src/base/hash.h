/* Checksums: XXH3 for our own files, keys and program, masked CRC-32C for TensorBoard records. */
#ifndef DT_BASE_HASH_H
#define DT_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t dt_hash_bytes(const void *bytes, size_t count, uint64_t seed);
uint64_t dt_hash_text(const char *text);

/* Of what the linker names the running program by, its build ID, which changes with whatever is linked; 0: none. */
uint64_t dt_hash_program(void);

/* Streaming form of dt_hash_bytes with seed 0. */
typedef struct dt_hasher dt_hasher;
dt_hasher *dt_hasher_create(void); /* NULL when out of memory */
void dt_hasher_add(dt_hasher *, const void *bytes, size_t count);
uint64_t dt_hasher_value(const dt_hasher *);
void dt_hasher_free(dt_hasher *);

uint32_t dt_crc32c(const void *bytes, size_t count); /* Castagnoli's polynomial, RFC 3720 */
/* The same, rotated and offset as TFRecord files store it. */
uint32_t dt_crc32c_masked(const void *bytes, size_t count);

#endif
