/* Safetensors: what is right is read exactly, everything else is refused with a message that names the fact. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/json.h"
#include "train/safetensors.h"

/* A file in memory: the header's length, the header, `count` bytes of data. */
typedef struct image {
    unsigned char *bytes;
    size_t size;
} image;

static image make_image(const char *header, const void *data, size_t count)
{
    size_t length = strlen(header);
    image out = {malloc(8 + length + count + 1), 8 + length + count};
    assert_non_null(out.bytes);
    for (int i = 0; i < 8; i++) out.bytes[i] = (unsigned char)(length >> 8 * i);
    memcpy(out.bytes + 8, header, length);
    if (count) memcpy(out.bytes + 8 + length, data, count);
    return out;
}

static dt_safetensors *open_image(const image *file)
{
    dt_safetensors *out = NULL;
    dt_status status = dt_safetensors_open_bytes(file->bytes, file->size, "t.safetensors", &out);
    if (status) fail_msg("%s", dt_error_message());
    return out;
}

static void reads_every_member(void **state)
{
    const float values[6] = {1, -2, 3.5f, 0, 1e-30f, 6};
    image file = make_image("{\"__metadata__\":{\"format\":\"pt\"},"
                            "\"b\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[20,24]},"
                            "\"a\":{\"dtype\":\"F32\",\"shape\":[5,1],\"data_offsets\":[0,20]},"
                            "\"none\":{\"dtype\":\"I64\",\"shape\":[0,7],\"data_offsets\":[20,20]}}  ",
                            values, sizeof values);
    dt_safetensors *tensors = open_image(&file);
    assert_int_equal(dt_safetensors_count(tensors), 3);
    assert_string_equal(dt_safetensors_at(tensors, 0)->name, "a");
    assert_null(dt_safetensors_find(tensors, "c"));
    const dt_safetensor *a = dt_safetensors_find(tensors, "a"), *b = dt_safetensors_find(tensors, "b");
    assert_int_equal(a->shape.rank, 2);
    assert_int_equal(a->shape.dim[0], 5);
    assert_int_equal(b->shape.rank, 0);
    float out[5], one;
    assert_int_equal(dt_safetensors_read(tensors, a, DT_F32, out), DT_OK);
    assert_memory_equal(out, values, sizeof out);
    assert_int_equal(dt_safetensors_read(tensors, b, DT_F32, &one), DT_OK);
    assert_float_equal(one, 6, 0);
    double wide[5];
    assert_int_equal(dt_safetensors_read(tensors, a, DT_F64, wide), DT_OK);
    for (int i = 0; i < 5; i++) assert_true(wide[i] == (double)values[i]);
    dt_safetensors_close(tensors);
    free(file.bytes);
}

static void converts_short_floats(void **state)
{
    /* float16: 1, -2, 65504, the smallest subnormal, infinity; bfloat16: 1, -2, the largest, infinity, 2^-133 */
    const uint16_t halves[10] = {0x3c00, 0xc000, 0x7bff, 0x0001, 0x7c00, 0x3f80, 0xc000, 0x7f7f, 0x7f80, 0x0001};
    const double f16[5] = {1, -2, 65504, ldexp(1, -24), INFINITY};
    const double bf16[5] = {1, -2, ldexp(255, 120), INFINITY, ldexp(1, -133)};
    image file = make_image("{\"h\":{\"dtype\":\"F16\",\"shape\":[5],\"data_offsets\":[0,10]},"
                            "\"b\":{\"dtype\":\"BF16\",\"shape\":[5],\"data_offsets\":[10,20]}}",
                            halves, sizeof halves);
    dt_safetensors *tensors = open_image(&file);
    double out[5];
    assert_int_equal(dt_safetensors_read(tensors, dt_safetensors_find(tensors, "h"), DT_F64, out), DT_OK);
    assert_memory_equal(out, f16, sizeof out);
    assert_int_equal(dt_safetensors_read(tensors, dt_safetensors_find(tensors, "b"), DT_F64, out), DT_OK);
    assert_memory_equal(out, bf16, sizeof out);
    int32_t whole[5];
    assert_int_equal(dt_safetensors_read(tensors, dt_safetensors_find(tensors, "b"), DT_I32, whole), DT_ERR_DATA);
    assert_non_null(strstr(dt_error_message(), "of type BF16, which cannot be read as i32"));
    dt_safetensors_close(tensors);
    free(file.bytes);
}

static void writes_what_it_reads(void **state)
{
    const float a[6] = {1, 2, 3, 4, 5, 6};
    const double b[2] = {0.1, -1e300};
    const int32_t c = -7;
    const dt_safetensors_item items[] = {{"a \"quoted\"", DT_F32, DT_SHAPE(2, 3), a}, {"b", DT_F64, DT_SHAPE(2), b},
                                         {"c", DT_I32, DT_SCALAR, &c}};
    const char *metadata[] = {"arch", "vit", NULL};
    const char *path = "written.safetensors";
    dt_outfile *file;
    dt_file_sum sum, again;
    assert_int_equal(dt_outfile_create(path, false, &file), DT_OK);
    assert_int_equal(dt_safetensors_write(file, items, 3, metadata), DT_OK);
    assert_int_equal(dt_outfile_finish(file, &sum), DT_OK);
    assert_int_equal(dt_file_sum_read(path, &again), DT_OK);
    assert_true(sum.bytes == again.bytes && sum.xxh3 == again.xxh3);

    dt_safetensors *tensors;
    double back[2];
    assert_int_equal(dt_safetensors_open(path, &tensors), DT_OK);
    assert_int_equal(dt_safetensors_count(tensors), 3);
    const dt_safetensor *first = dt_safetensors_find(tensors, "a \"quoted\"");
    assert_int_equal(first->offset % 8, 0);
    assert_int_equal(dt_safetensors_read(tensors, dt_safetensors_find(tensors, "b"), DT_F64, back), DT_OK);
    assert_memory_equal(back, b, sizeof b);
    dt_safetensors_close(tensors);
    assert_int_equal(unlink(path), 0);
}

static long until_failure; /* allocations; one fails, those behind it do not */

static void *scarce(size_t bytes) { return until_failure-- != 0 ? malloc(bytes) : NULL; }

/* Whichever allocation of the header fails, a file that is said to be written is whole. */
static void writes_all_or_fails(void **state)
{
    const float a[6] = {1, 2, 3, 4, 5, 6};
    const dt_safetensors_item item = {"a", DT_F32, DT_SHAPE(2, 3), a};
    const char *path = "scarce.safetensors", *metadata[] = {"arch", "vit", NULL};
    int failures = 0;
    for (long n = 0;; n++) {
        dt_outfile *file;
        dt_safetensors *tensors;
        assert_int_equal(dt_outfile_create(path, false, &file), DT_OK);
        until_failure = n;
        json_set_alloc_funcs(scarce, free);
        dt_status status = dt_safetensors_write(file, &item, 1, metadata);
        json_set_alloc_funcs(malloc, free);
        if (status) {
            assert_int_equal(status, DT_ERR_MEMORY);
            dt_outfile_abort(file);
            failures++;
            continue;
        }
        assert_int_equal(dt_outfile_finish(file, NULL), DT_OK);
        if (dt_safetensors_open(path, &tensors)) fail_msg("allocation %ld: %s", n + 1, dt_error_message());
        dt_safetensors_close(tensors);
        if (until_failure >= 0) break;
    }
    assert_true(failures > 5);
    assert_int_equal(unlink(path), 0);
}

#define F32_PAIR(first, second)                                                                  \
    "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":" first "},"                       \
    "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":" second "}}"
#define ONE(dtype, shape, offsets) \
    "{\"a\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

static void refuses_lies(void **state)
{
    static const struct {
        const char *header;
        size_t data;
        const char *fact;
    } lies[] = {
        {"", 0, "not valid JSON"},
        {"[]", 0, "not a JSON object"},
        {" {}", 0, "not a JSON object"},
        {"{}", 1, "1 bytes at the end belong to no tensor"},
        {"{\"a\":1}", 0, "is not a JSON object"},
        {"{\"a\":{},\"a\":{}}", 0, "duplicate"},
        {"{\"__metadata__\":[]}", 0, "__metadata__ is not an object"},
        {"{\"__metadata__\":{\"x\":1}}", 0, "'x' of __metadata__ is not a text"},
        {ONE("\"F31\"", "[1]", "[0,4]"), 4, "the type 'F31' is not known"},
        {ONE("3", "[1]", "[0,4]"), 4, "'dtype' must be a string"},
        {ONE("\"F32\"", "1", "[0,4]"), 4, "'shape' must be an array"},
        {ONE("\"F32\"", "[-1]", "[0,4]"), 4, "dimension 0 is not a whole number"},
        {ONE("\"F32\"", "[1.0]", "[0,4]"), 4, "dimension 0 is not a whole number"},
        {ONE("\"F32\"", "[1,1,1,1,1,1,1]", "[0,4]"), 4, "has 7 dimensions"},
        {ONE("\"F32\"", "[4611686018427387904,4]", "[0,4]"), 4, "its shape is too large"},
        {ONE("\"F32\"", "[99999999999999999999]", "[0,4]"), 4, "a number is too large"},
        {ONE("\"F32\"", "[2]", "[0,4]"), 4, "need 8 bytes, its data_offsets give 4"},
        {ONE("\"F32\"", "[1]", "[0,8]"), 8, "need 4 bytes, its data_offsets give 8"},
        {ONE("\"F32\"", "[1]", "[0]"), 4, "not a pair"},
        {ONE("\"F32\"", "[1]", "[0,4,8]"), 4, "not a pair"},
        {ONE("\"F32\"", "[1]", "[0,\"4\"]"), 4, "not a pair"},
        {ONE("\"F32\"", "[1]", "[4,0]"), 4, "lie outside"},
        {ONE("\"F32\"", "[1]", "[-4,0]"), 4, "lie outside"},
        {ONE("\"F32\"", "[2]", "[0,8]"), 4, "lie outside the 4 bytes"},
        {ONE("\"F32\"", "[1]", "[4,8]"), 8, "begins behind a hole"},
        {F32_PAIR("[0,4]", "[0,4]"), 4, "overlaps another one"},
        {F32_PAIR("[0,4]", "[8,12]"), 12, "begins behind a hole"},
        {F32_PAIR("[0,4]", "[4,8]"), 9, "1 bytes at the end"},
    };
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        const char data[16] = {0};
        image file = make_image(lies[i].header, data, lies[i].data);
        dt_safetensors *tensors;
        assert_int_equal(dt_safetensors_open_bytes(file.bytes, file.size, "t.safetensors", &tensors), DT_ERR_DATA);
        if (!strstr(dt_error_message(), lies[i].fact) || !strstr(dt_error_message(), "t.safetensors"))
            fail_msg("%s: %s", lies[i].header, dt_error_message());
        free(file.bytes);
    }
}

/* Every length that the file could have instead. */
static void refuses_cut_files(void **state)
{
    const float value = 1;
    image file = make_image(ONE("\"F32\"", "[1]", "[0,4]"), &value, sizeof value);
    for (size_t size = 0; size < file.size; size++) {
        dt_safetensors *tensors;
        assert_int_equal(dt_safetensors_open_bytes(file.bytes, size, "cut", &tensors), DT_ERR_DATA);
    }
    for (int bit = 0; bit < 64; bit++) { /* a wrong length of the header */
        dt_safetensors *tensors;
        file.bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        assert_int_equal(dt_safetensors_open_bytes(file.bytes, file.size, "cut", &tensors), DT_ERR_DATA);
        file.bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    free(file.bytes);
}

static void tells_of_missing_files(void **state)
{
    dt_safetensors *tensors;
    assert_int_equal(dt_safetensors_open("no/such.safetensors", &tensors), DT_ERR_IO);
    assert_non_null(strstr(dt_error_message(), "cannot open 'no/such.safetensors'"));
    assert_int_equal(dt_safetensors_open("/", &tensors), DT_ERR_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_member), cmocka_unit_test(converts_short_floats),
        cmocka_unit_test(writes_what_it_reads), cmocka_unit_test(writes_all_or_fails), cmocka_unit_test(refuses_lies),
        cmocka_unit_test(refuses_cut_files), cmocka_unit_test(tells_of_missing_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
