/* jansson behind our error messages. */
#include "base/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"

const char *dt_json_trouble(const json_error_t *error)
{
    static const char surrogate[] = "invalid Unicode '"; /* with an escape that is none: invalid Unicode escape '... */
    if (!*error->text) return NULL; /* where memory runs out jansson sets no code, and mostly no text */
    switch (json_error_code(error)) {
    case json_error_out_of_memory: return NULL;
    case json_error_numeric_overflow: return "a number is too large, which is not taken";
    case json_error_stack_overflow: return "it is nested deeper than 2048 levels, which is not taken";
    case json_error_duplicate_key: return "a member stands there twice, which is not taken";
    case json_error_null_byte_in_key: return "a name has the NUL character (\\u0000), which is not taken";
    default:
        return strncmp(error->text, surrogate, sizeof surrogate - 1)
                   ? "not valid JSON"
                   : "a text has half a character (a surrogate by itself), which is not taken";
    }
}

static dt_status parse(const char *bytes, size_t size, size_t flags, const char *where, json_t **out)
{
    json_error_t error = {0};
    *out = json_loadb(bytes, size, JSON_REJECT_DUPLICATES | flags, &error);
    if (*out) return DT_OK;
    const char *trouble = dt_json_trouble(&error);
    if (!trouble) return dt_fail_memory(size, where);
    if (json_error_code(&error) == json_error_null_character) /* jansson names the flag that would take it */
        return dt_fail(DT_ERR_DATA, "%s:%d:%d: a text has the NUL character (\\u0000), which is not taken", where,
                       error.line, error.column);
    return dt_fail(DT_ERR_DATA, "%s:%d:%d: %s: %s", where, error.line, error.column, trouble, error.text);
}

dt_status dt_json_parse(const char *bytes, size_t size, const char *where, json_t **out)
{
    return parse(bytes, size, 0, where, out);
}

dt_status dt_json_parse_line(const char *bytes, size_t size, const char *where, json_t **out)
{
    return parse(bytes, size, DT_JSON_LINE, where, out);
}

dt_status dt_json_read(const char *path, size_t limit, json_t **out)
{
    char *bytes;
    size_t size;
    DT_TRY(dt_file_read(path, limit, &bytes, &size));
    dt_status status = dt_json_parse(bytes, size, path, out);
    free(bytes);
    return status;
}

static int add_bytes(const char *bytes, size_t count, void *out)
{
    dt_text_add_bytes(out, bytes, count);
    return ((const dt_text *)out)->failed ? -1 : 0;
}

dt_status dt_json_print(const json_t *value, size_t flags, dt_text *out)
{
    if (json_dump_callback(value, add_bytes, out, flags)) return dt_fail_memory(out->length, "a JSON text");
    return dt_text_status(out); /* a failed append that jansson passed over */
}

static const char *type_name(json_type type)
{
    switch (type) {
    case JSON_OBJECT: return "an object";
    case JSON_ARRAY: return "an array";
    case JSON_STRING: return "a string";
    case JSON_INTEGER: return "an integer";
    case JSON_REAL: return "a real number";
    case JSON_TRUE:
    case JSON_FALSE: return "a truth value";
    case JSON_NULL: break;
    }
    return "null";
}

static dt_status find(const json_t *object, const char *key, const char *where, json_t **out)
{
    if (!json_is_object(object)) return dt_fail(DT_ERR_DATA, "%s: is not a JSON object, so has no '%s'", where, key);
    *out = json_object_get(object, key);
    return *out ? DT_OK : dt_fail(DT_ERR_DATA, "%s: '%s' is missing", where, key);
}

static dt_status fail_type(const json_t *member, const char *key, const char *where, json_type wanted)
{
    return dt_fail(DT_ERR_DATA, "%s: '%s' must be %s, not %s", where, key, type_name(wanted),
                   type_name(json_typeof(member)));
}

dt_status dt_json_member(const json_t *object, const char *key, json_type type, const char *where, json_t **out)
{
    json_t *member = NULL;
    DT_TRY(find(object, key, where, &member));
    bool is_truth = json_is_boolean(member) && (type == JSON_TRUE || type == JSON_FALSE);
    if (json_typeof(member) != type && !is_truth) return fail_type(member, key, where, type);
    *out = member;
    return DT_OK;
}

dt_status dt_json_int(const json_t *object, const char *key, const char *where, int64_t *out)
{
    json_t *member = NULL;
    DT_TRY(dt_json_member(object, key, JSON_INTEGER, where, &member));
    *out = json_integer_value(member);
    return DT_OK;
}

dt_status dt_json_line_int(const json_t *object, const char *key, const char *where, int64_t *out)
{
    json_t *member = NULL;
    DT_TRY(find(object, key, where, &member));
    double value = json_real_value(member);
    bool whole = json_is_real(member) && fabs(value) <= 0x1p53 && value == floor(value);
    if (!whole) return fail_type(member, key, where, JSON_INTEGER);
    *out = (int64_t)value;
    return DT_OK;
}

dt_status dt_json_real(const json_t *object, const char *key, const char *where, double *out)
{
    json_t *member = NULL;
    DT_TRY(find(object, key, where, &member));
    if (!json_is_number(member)) return fail_type(member, key, where, JSON_REAL);
    *out = json_number_value(member);
    return DT_OK;
}

dt_status dt_json_text(const json_t *object, const char *key, const char *where, const char **out)
{
    json_t *member = NULL;
    DT_TRY(dt_json_member(object, key, JSON_STRING, where, &member));
    *out = json_string_value(member);
    return DT_OK;
}

/* --- checksums --- */

json_t *dt_json_hash_text(uint64_t hash)
{
    char text[17];
    snprintf(text, sizeof text, "%016" PRIx64, hash);
    return json_string(text);
}

dt_status dt_json_hash(const json_t *object, const char *key, const char *where, uint64_t *out)
{
    const char *text;
    DT_TRY(dt_json_text(object, key, where, &text));
    if (strlen(text) != 16 || strspn(text, "0123456789abcdef") != 16)
        return dt_fail(DT_ERR_DATA, "%s: '%s' is not a checksum of 16 hexadecimal digits", where, key);
    *out = strtoull(text, NULL, 16);
    return DT_OK;
}

static dt_status sum_members(json_t *object, uint64_t *out)
{
    json_t *kept = json_incref(json_object_get(object, "checksum"));
    json_object_del(object, "checksum");
    dt_text text = {0};
    dt_status status = dt_json_print(object, JSON_COMPACT | JSON_SORT_KEYS, &text);
    if (kept) json_object_set_new(object, "checksum", kept);
    if (!status) *out = dt_hash_text(text.data);
    dt_text_free(&text);
    return status;
}

dt_status dt_json_seal(json_t *object)
{
    uint64_t sum;
    DT_TRY(sum_members(object, &sum));
    if (json_object_set_new(object, "checksum", dt_json_hash_text(sum))) return dt_fail_memory(17, "a checksum");
    return DT_OK;
}

dt_status dt_json_check_seal(json_t *object, const char *where)
{
    uint64_t is = 0, should = 0;
    DT_TRY(dt_json_hash(object, "checksum", where, &should));
    DT_TRY(sum_members(object, &is));
    return is == should ? DT_OK : dt_fail(DT_ERR_DATA, "%s: is damaged: its checksum does not hold", where);
}
