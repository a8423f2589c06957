/* XXH3 through the library; CRC-32C over half bytes, as TensorBoard's records are small. */
#include "base/hash.h"

#include <assert.h>
#include <link.h>
#include <string.h>
#include <xxhash.h>

uint64_t dt_hash_bytes(const void *bytes, size_t count, uint64_t seed)
{
    return XXH3_64bits_withSeed(bytes, count, seed);
}

uint64_t dt_hash_text(const char *text) { return dt_hash_bytes(text, strlen(text), 0); }

/* Notes are a header, a name and bytes, each of the latter filled up to the alignment of their segment. */
static void hash_build_id(const char *notes, size_t size, size_t align, uint64_t *hash)
{
    ElfW(Nhdr) note;
    for (size_t at = 0; at + sizeof note <= size;) {
        memcpy(&note, notes + at, sizeof note);
        size_t name = at + sizeof note, bytes = (name + note.n_namesz + align - 1) / align * align;
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && !memcmp(notes + name, "GNU", 4))
            *hash = dt_hash_bytes(notes + bytes, note.n_descsz, 0);
        at = (bytes + note.n_descsz + align - 1) / align * align;
    }
}

/* The first that is visited is the program itself. */
static int visit(struct dl_phdr_info *info, size_t size, void *hash)
{
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type == PT_NOTE)
            hash_build_id((const char *)(info->dlpi_addr + part->p_vaddr), part->p_memsz, part->p_align > 4 ? 8 : 4,
                          hash);
    }
    return 1;
}

uint64_t dt_hash_program(void)
{
    uint64_t hash = 0;
    dl_iterate_phdr(visit, &hash);
    return hash;
}

dt_hasher *dt_hasher_create(void)
{
    XXH3_state_t *state = XXH3_createState();
    if (state) XXH3_64bits_reset(state);
    return (dt_hasher *)state;
}

void dt_hasher_add(dt_hasher *hasher, const void *bytes, size_t count)
{
    XXH_errorcode code = XXH3_64bits_update((XXH3_state_t *)hasher, bytes, count);
    assert(code == XXH_OK); /* it fails on a NULL state only */
    (void)code;
}

uint64_t dt_hasher_value(const dt_hasher *hasher) { return XXH3_64bits_digest((const XXH3_state_t *)hasher); }

void dt_hasher_free(dt_hasher *hasher) { XXH3_freeState((XXH3_state_t *)hasher); }

uint32_t dt_crc32c(const void *bytes, size_t count)
{
    /* entry n: n divided by the reflected polynomial 0x82F63B78, four bits */
    static const uint32_t table[16] = {
        0x00000000, 0x105EC76F, 0x20BD8EDE, 0x30E349B1, 0x417B1DBC, 0x5125DAD3, 0x61C69362, 0x7198540D,
        0x82F63B78, 0x92A8FC17, 0xA24BB5A6, 0xB21572C9, 0xC38D26C4, 0xD3D3E1AB, 0xE330A81A, 0xF36E6F75,
    };
    const uint8_t *p = bytes;
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t i = 0; i < count; i++) {
        crc ^= p[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

uint32_t dt_crc32c_masked(const void *bytes, size_t count)
{
    uint32_t crc = dt_crc32c(bytes, count);
    return (crc >> 15 | crc << 17) + 0xA282EAD8u;
}
