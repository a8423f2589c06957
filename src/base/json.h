/* jansson with our errors: parse with a limit on size (jansson itself stops at 2048 levels of nesting), print, typed
 * access that names what is missing. */
#ifndef DT_BASE_JSON_H
#define DT_BASE_JSON_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

/* Parses `size` bytes; `where` names the source in messages. Duplicate keys and texts with the NUL
 * character are errors. Release with json_decref. */
DT_MUST_USE dt_status dt_json_parse(const char *bytes, size_t size, const char *where, json_t **out);
DT_MUST_USE dt_status dt_json_read(const char *path, size_t limit, json_t **out);
/* The same of a line that others wrote, most members of which are passed over: all its numbers are read as reals, so
 * that whole ones may be larger than 64 bits hold. Of such a line dt_json_line_int takes a whole number up to 2^53. */
enum { DT_JSON_LINE = JSON_DECODE_INT_AS_REAL }; /* jansson's flag for it */
DT_MUST_USE dt_status dt_json_parse_line(const char *bytes, size_t size, const char *where, json_t **out);
DT_MUST_USE dt_status dt_json_line_int(const json_t *, const char *key, const char *where, int64_t *out);
/* What jansson does not take: "not valid JSON", or in words what is valid but beyond it; NULL: it had no memory. The
 * error was {0} before. */
const char *dt_json_trouble(const json_error_t *);
/* Adds the value as text; `flags` are jansson's. To be used instead of json_dumps, which writes on without a key when
 * it has no memory for it. */
DT_MUST_USE dt_status dt_json_print(const json_t *, size_t flags, dt_text *out);
/* Members of an object; DT_ERR_DATA naming `where` and `key` when missing or of another type. An integer is also a
 * real; JSON_TRUE or JSON_FALSE as type takes both truth values. Texts and members belong to the object. */
DT_MUST_USE dt_status dt_json_int(const json_t *, const char *key, const char *where, int64_t *out);
DT_MUST_USE dt_status dt_json_real(const json_t *, const char *key, const char *where, double *out);
DT_MUST_USE dt_status dt_json_text(const json_t *, const char *key, const char *where, const char **out);
DT_MUST_USE dt_status dt_json_member(const json_t *, const char *key, json_type, const char *where, json_t **out);
/* A hash as text: 16 hexadecimal digits, as JSON has no unsigned 64-bit integers. */
json_t *dt_json_hash_text(uint64_t hash);
DT_MUST_USE dt_status dt_json_hash(const json_t *, const char *key, const char *where, uint64_t *out);
/* Sets the member "checksum" of an object, over all other members in a form that white space and order do not change;
 * and holds it against them: DT_ERR_DATA naming `where` when it is missing or does not hold. */
DT_MUST_USE dt_status dt_json_seal(json_t *);
DT_MUST_USE dt_status dt_json_check_seal(json_t *, const char *where);

#endif
