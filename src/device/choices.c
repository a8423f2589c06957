/* The table of choices, its record, and its file
 *
 *   {"format": "dyttrain choices 1", "machine": ..., "choices": {work: algorithm, ...}, "checksum": ...}
 *
 * in $XDG_CACHE_HOME/dyttrain or ~/.cache/dyttrain, one for each machine. A lock beside it (the same path and ".lock")
 * is held while a run decides. */
#include "device/choices.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"

#define FORMAT "dyttrain choices 1"
enum { DIGITS = 2 * DT_ALGORITHM_BYTES, MOST_FILE_BYTES = 4 << 20 };
/* A turn takes a few seconds. */
enum { LOCK_SECONDS = 15, LOCK_POLLS_PER_SECOND = 50, LOCK_TOLD_SECONDS = 1 };

struct dt_choices {
    json_t *used;     /* in this run */
    json_t *recalled; /* by the run that this one resumes */
    json_t *kept;     /* for this machine: what the file held, and what was decided since */
    char *machine;
    char *path;       /* of the file; NULL: nothing is kept */
    dt_log *log;      /* for what goes wrong with it; NULL: nothing is said */
    dt_lock *claim;   /* since dt_choices_claim */
    bool in_vain;     /* the lock was waited for and not given: it is not waited for again */
    bool told;        /* that it is waited for */
};

dt_status dt_choices_create(dt_choices **out)
{
    dt_choices *c = calloc(1, sizeof *c);
    if (!c) return dt_fail_memory(sizeof *c, "the choices of algorithms");
    c->used = json_object();
    c->recalled = json_object();
    c->kept = json_object();
    if (!c->used || !c->recalled || !c->kept) {
        dt_choices_free(c);
        return dt_fail_memory(3 * sizeof(json_t), "the choices of algorithms");
    }
    *out = c;
    return DT_OK;
}

void dt_choices_free(dt_choices *c)
{
    if (!c) return;
    json_decref(c->used);
    json_decref(c->recalled);
    json_decref(c->kept);
    dt_choices_release(c);
    free(c->machine);
    free(c->path);
    free(c);
}

/* --- algorithms as text --- */

static bool is_algorithm(const json_t *value)
{
    const char *text = json_string_value(value);
    return text && strlen(text) == DIGITS && strspn(text, "0123456789abcdef") == DIGITS;
}

static json_t *encode(const unsigned char *algorithm)
{
    char text[DIGITS + 1];
    for (int i = 0; i < DT_ALGORITHM_BYTES; i++) snprintf(text + 2 * i, 3, "%02x", algorithm[i]);
    return json_string(text);
}

static void decode(const json_t *value, unsigned char *algorithm)
{
    char digits[3] = {0};
    for (int i = 0; i < DT_ALGORITHM_BYTES; i++) {
        memcpy(digits, json_string_value(value) + 2 * i, 2);
        algorithm[i] = (unsigned char)strtoul(digits, NULL, 16);
    }
}

/* --- using --- */

static dt_choice tell(const json_t *value, dt_choice how, void *algorithm)
{
    if (!value) return DT_CHOICE_NONE;
    decode(value, algorithm);
    return how;
}

dt_choice dt_choices_find(const dt_choices *c, const char *work, void *algorithm)
{
    const json_t *used = json_object_get(c->used, work), *recalled = json_object_get(c->recalled, work);
    if (used) return tell(used, DT_CHOICE_USED, algorithm);
    return tell(recalled ? recalled : json_object_get(c->kept, work), DT_CHOICE_NOTED, algorithm);
}

static dt_status note(json_t *table, const char *work, const void *algorithm)
{
    json_t *value = encode(algorithm);
    if (value && !json_object_set_new(table, work, value)) return DT_OK;
    return dt_fail_memory(DIGITS, "the choice of an algorithm");
}

dt_status dt_choices_use(dt_choices *c, const char *work, const void *algorithm)
{
    return note(c->used, work, algorithm);
}

/* --- the record --- */

/* Shares nothing with the table: another thread may write it to the disk. */
json_t *dt_choices_record(const dt_choices *c)
{
    json_t *all = json_copy(c->recalled), *record = NULL;
    if (all && !json_object_update(all, c->used)) record = json_deep_copy(all);
    json_decref(all);
    return record;
}

dt_status dt_choices_recall(dt_choices *c, const json_t *record)
{
    const char *work;
    json_t *value;
    json_object_foreach((json_t *)record, work, value)
        if (is_algorithm(value) && json_object_set_new(c->recalled, work, json_copy(value)))
            return dt_fail_memory(DIGITS, "the choices of a record");
    return DT_OK;
}

/* --- the file --- */

static dt_status check_file(json_t *file, const char *where, const char *machine, json_t **choices)
{
    const char *text, *unused;
    json_t *value;
    DT_TRY(dt_json_text(file, "format", where, &text));
    if (strcmp(text, FORMAT) != 0) return dt_fail(DT_ERR_DATA, "%s: is not a file of choices", where);
    DT_TRY(dt_json_text(file, "machine", where, &text));
    if (strcmp(text, machine) != 0) return dt_fail(DT_ERR_DATA, "%s: is of another machine", where);
    DT_TRY(dt_json_member(file, "choices", JSON_OBJECT, where, choices));
    json_object_foreach(*choices, unused, value)
        if (!is_algorithm(value)) return dt_fail(DT_ERR_DATA, "%s: holds a choice that is no algorithm", where);
    return dt_json_check_seal(file, where);
}

dt_status dt_choices_parse(const char *bytes, size_t size, const char *where, const char *machine, json_t **out)
{
    json_t *file, *choices;
    DT_TRY(dt_json_parse(bytes, size, where, &file));
    dt_status status = check_file(file, where, machine, &choices);
    if (!status) *out = json_incref(choices);
    json_decref(file);
    return status;
}

static dt_status read_file(const dt_choices *c, json_t **out)
{
    char *bytes;
    size_t size;
    DT_TRY(dt_file_read(c->path, MOST_FILE_BYTES, &bytes, &size));
    dt_status status = dt_choices_parse(bytes, size, c->path, c->machine, out);
    free(bytes);
    return status;
}

static dt_status write_file(const dt_choices *c, json_t *choices)
{
    dt_text text = {0};
    json_t *file = json_pack("{ss ss sO}", "format", FORMAT, "machine", c->machine, "choices", choices);
    dt_status status = file ? dt_json_seal(file) : dt_fail_memory(sizeof *file, "a file of choices");
    if (!status) status = dt_json_print(file, JSON_INDENT(1), &text);
    if (!status) status = dt_file_replace(c->path, text.data, text.length);
    json_decref(file);
    dt_text_free(&text);
    return status;
}

/* A relative path in XDG_CACHE_HOME is to be passed over, says the specification of base directories. */
static dt_status make_folder(dt_text *out)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (cache && *cache == '/') dt_text_add(out, "%s/dyttrain", cache);
    else if (home && *home == '/') dt_text_add(out, "%s/.cache/dyttrain", home);
    else return dt_fail(DT_ERR_IO, "no folder for choices of algorithms: neither XDG_CACHE_HOME nor HOME is a path");
    DT_TRY(dt_text_status(out));
    return dt_folder_make(out->data);
}

/* Sets path and machine. */
static dt_status find_file(dt_choices *c, const char *machine)
{
    dt_text path = {0};
    dt_status status = make_folder(&path);
    dt_text_add(&path, "/choices-%016" PRIx64 ".json", dt_hash_text(machine));
    if (!status) status = dt_text_status(&path);
    if (!status && !(c->machine = strdup(machine))) status = dt_fail_memory(strlen(machine), "a file of choices");
    if (status) dt_text_free(&path);
    else c->path = path.data;
    return status;
}

static void warn(const dt_choices *c, const char *consequence)
{
    if (c->log) dt_log_warn(c->log, "%s; %s", dt_error_message(), consequence);
}

/* Once: whoever holds the lock may have been stopped. */
static void tell_of_waiting(dt_choices *c)
{
    if (c->log && !c->told)
        dt_log_info(c->log, "%s, which is choosing algorithms: waits for its turn, at most %d s", dt_error_message(),
                    LOCK_SECONDS);
    c->told = true;
}

static dt_status take_lock(dt_choices *c)
{
    const struct timespec pause = {.tv_nsec = 1000000000L / LOCK_POLLS_PER_SECOND};
    dt_text path = {0};
    dt_text_add(&path, "%s.lock", c->path);
    dt_status status = dt_text_status(&path);
    if (!status) status = dt_lock_take(path.data, &c->claim);
    for (int i = 0; i < LOCK_SECONDS * LOCK_POLLS_PER_SECOND && status == DT_ERR_USAGE && !c->in_vain; i++) {
        if (i == LOCK_TOLD_SECONDS * LOCK_POLLS_PER_SECOND) tell_of_waiting(c);
        nanosleep(&pause, NULL);
        status = dt_lock_take(path.data, &c->claim);
    }
    if (status == DT_ERR_USAGE) c->in_vain = true;
    dt_text_free(&path);
    return status;
}

/* Adds what the file holds to what is kept. */
static dt_status take_file(dt_choices *c)
{
    json_t *file;
    DT_TRY(read_file(c, &file));
    dt_status status = json_object_update(c->kept, file) ? dt_fail_memory(DIGITS, "a file of choices") : DT_OK;
    json_decref(file);
    return status;
}

/* Unless another run has done so meanwhile, whose choices must not be lost. */
static dt_status write_anew(dt_choices *c)
{
    DT_TRY(take_lock(c));
    dt_status status = take_file(c);
    if (status) status = write_file(c, c->kept);
    dt_choices_release(c);
    return status;
}

/* What was wrong with the file is told once it is known what comes of it. */
static dt_status renew_file(dt_choices *c)
{
    char why[DT_MESSAGE_ROOM];
    snprintf(why, sizeof why, "%s", dt_error_message());
    dt_status status = write_anew(c);
    if (status) return dt_fail_in(status, "%s; it cannot be written anew", why);
    if (c->log) dt_log_warn(c->log, "%s; it is written anew", why);
    return DT_OK;
}

/* Can decisions be put into a file that can be read? That it is another run's turn now is no hindrance. */
static dt_status check_place(dt_choices *c)
{
    dt_text path = {0};
    dt_lock *lock = NULL;
    DT_TRY(dt_folder_check_of(c->path));
    dt_text_add(&path, "%s.lock", c->path);
    dt_status status = dt_text_status(&path);
    if (!status) status = dt_lock_take(path.data, &lock);
    dt_lock_free(lock);
    dt_text_free(&path);
    return status == DT_ERR_USAGE ? DT_OK : status;
}

static dt_status open_file(dt_choices *c)
{
    if (!dt_file_exists(c->path)) return write_anew(c);
    return take_file(c) ? renew_file(c) : check_place(c);
}

static void stop_keeping(dt_choices *c)
{
    free(c->path);
    c->path = NULL;
}

dt_status dt_choices_open(dt_choices *c, const char *machine, dt_log *log)
{
    DT_TRY(find_file(c, machine));
    c->log = log;
    dt_status status = open_file(c);
    if (status) stop_keeping(c);
    return status;
}

bool dt_choices_kept(const dt_choices *c) { return c->path; }

bool dt_choices_found(const dt_choices *c) { return json_object_size(c->kept) > 0; }

/* --- deciding --- */

static void lose_file(dt_choices *c)
{
    warn(c, "from here on nothing is tuned");
    stop_keeping(c);
}

dt_choice dt_choices_claim(dt_choices *c, const char *work, void *algorithm)
{
    bool told = c->in_vain;
    dt_status status = c->path ? take_lock(c) : DT_OK;
    if (status && status != DT_ERR_USAGE) lose_file(c);
    else if (status && !told) warn(c, "other runs may choose other algorithms");
    if (c->path && take_file(c)) warn(c, "what other runs chose is not known");
    return tell(json_object_get(c->kept, work), DT_CHOICE_NOTED, algorithm);
}

dt_status dt_choices_decide(dt_choices *c, const char *work, const void *algorithm)
{
    DT_TRY(note(c->kept, work, algorithm));
    if (c->path && write_file(c, c->kept)) lose_file(c);
    return dt_choices_use(c, work, algorithm);
}

void dt_choices_release(dt_choices *c)
{
    dt_lock_free(c->claim);
    c->claim = NULL;
}
