/* Event records, encoded by hand: of the protocol buffers `Event`, `Summary` and `SessionLog` only five fields are
 * needed (tensorboard/compat/proto/event.proto, summary.proto). */
#include "train/tensorboard.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/text.h"

/* Field numbers with their wire types: (number << 3) | type, where 0 is a varint, 1 and 5 are eight and four raw bytes,
 * 2 is a length and bytes. */
enum {
    EVENT_WALL_TIME = 1 << 3 | 1,
    EVENT_STEP = 2 << 3 | 0,
    EVENT_FILE_VERSION = 3 << 3 | 2,
    EVENT_SUMMARY = 5 << 3 | 2,
    EVENT_SESSION_LOG = 7 << 3 | 2,
    SUMMARY_VALUE = 1 << 3 | 2,
    VALUE_TAG = 1 << 3 | 2,
    VALUE_SIMPLE = 2 << 3 | 5,
    SESSION_LOG_STATUS = 1 << 3 | 0,
};
enum { SESSION_START = 1 };

struct dt_tensorboard {
    int fd;
    char *path;
};

/* Little-endian, whatever the machine. */
static void add_fixed(dt_text *out, uint64_t bits, int bytes)
{
    unsigned char raw[8];
    for (int i = 0; i < bytes; i++) raw[i] = (unsigned char)(bits >> (8 * i));
    dt_text_add_bytes(out, raw, (size_t)bytes);
}

static void add_varint(dt_text *out, uint64_t value)
{
    unsigned char raw[10];
    size_t count = 0;
    do {
        raw[count++] = (unsigned char)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
        value >>= 7;
    } while (value);
    dt_text_add_bytes(out, raw, count);
}

static void add_bytes(dt_text *out, int field, const void *bytes, size_t count)
{
    add_varint(out, (uint64_t)field);
    add_varint(out, count);
    dt_text_add_bytes(out, bytes, count);
}

static void add_event_head(dt_text *out, int64_t step)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    double wall_time = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
    uint64_t bits;
    memcpy(&bits, &wall_time, sizeof bits);
    add_varint(out, EVENT_WALL_TIME);
    add_fixed(out, bits, 8);
    add_varint(out, EVENT_STEP);
    add_varint(out, (uint64_t)step);
}

static void add_scalar(dt_text *summary, const dt_scalar *scalar)
{
    dt_text value = {0};
    float simple = (float)scalar->value;
    uint32_t bits;
    memcpy(&bits, &simple, sizeof bits);
    add_bytes(&value, VALUE_TAG, scalar->tag, strlen(scalar->tag));
    add_varint(&value, VALUE_SIMPLE);
    add_fixed(&value, bits, 4);
    add_bytes(summary, SUMMARY_VALUE, value.data, value.length);
    summary->failed |= value.failed;
    dt_text_free(&value);
}

/* Frames `event` and writes it with one call, so that a killed run tears at most the last record. */
static dt_status write_record(dt_tensorboard *board, const dt_text *event)
{
    dt_text record = {0};
    add_fixed(&record, event->length, 8);
    if (!record.failed) add_fixed(&record, dt_crc32c_masked(record.data, record.length), 4);
    dt_text_add_bytes(&record, event->data, event->length);
    add_fixed(&record, dt_crc32c_masked(event->data, event->length), 4);
    dt_status status = dt_text_status(&record);
    if (!status) status = dt_file_append(board->fd, record.data, record.length, board->path);
    dt_text_free(&record);
    return status;
}

/* An event whose one member beside time and step is `field`. */
static dt_status write_event(dt_tensorboard *board, int64_t step, int field, const void *bytes, size_t count)
{
    dt_text event = {0};
    add_event_head(&event, step);
    add_bytes(&event, field, bytes, count);
    dt_status status = dt_text_status(&event);
    if (!status) status = write_record(board, &event);
    dt_text_free(&event);
    return status;
}

static dt_status write_version(dt_tensorboard *board)
{
    static const char version[] = "brain.Event:2";
    return write_event(board, 0, EVENT_FILE_VERSION, version, sizeof version - 1);
}

dt_status dt_tensorboard_restart(dt_tensorboard *board, int64_t first_step)
{
    static const unsigned char start[] = {SESSION_LOG_STATUS, SESSION_START};
    return write_event(board, first_step, EVENT_SESSION_LOG, start, sizeof start);
}

/* Seconds for the new file's name: now, but behind every file that is there. */
static dt_status name_seconds(const char *folder, long long *out)
{
    static const char prefix[] = "events.out.tfevents.";
    char **names;
    size_t count;
    DT_TRY(dt_folder_list(folder, &names, &count));
    *out = (long long)time(NULL);
    for (size_t i = 0; i < count; i++) {
        if (strncmp(names[i], prefix, sizeof prefix - 1) != 0) continue;
        long long seconds = strtoll(names[i] + sizeof prefix - 1, NULL, 10);
        if (seconds >= *out && seconds < 9999999999) *out = seconds + 1;
    }
    dt_folder_list_free(names, count);
    return DT_OK;
}

static dt_status open_file(dt_tensorboard *board, const char *folder)
{
    long long seconds;
    char host[64] = "localhost";
    dt_text path = {0};
    DT_TRY(name_seconds(folder, &seconds));
    if (gethostname(host, sizeof host - 1) != 0 || strchr(host, '/')) strcpy(host, "localhost");
    dt_text_add(&path, "%s/events.out.tfevents.%010lld.%s.%ld", folder, seconds, host, (long)getpid());
    DT_TRY(dt_text_status(&path));
    board->path = path.data;
    board->fd = open(board->path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666);
    return board->fd >= 0 ? DT_OK : dt_fail(DT_ERR_IO, "cannot create '%s': %s", board->path, strerror(errno));
}

dt_status dt_tensorboard_create(const char *folder, int64_t first_step, dt_tensorboard **out)
{
    dt_status status;
    dt_tensorboard *board = calloc(1, sizeof *board);
    if (!board) return dt_fail_memory(sizeof *board, "the event file");
    board->fd = -1;
    DT_TRY_GOTO(open_file(board, folder), fail);
    DT_TRY_GOTO(write_version(board), fail);
    DT_TRY_GOTO(dt_tensorboard_restart(board, first_step), fail);
    *out = board;
    return DT_OK;
fail:
    dt_tensorboard_free(board);
    return status;
}

void dt_tensorboard_free(dt_tensorboard *board)
{
    if (!board) return;
    if (board->fd >= 0) close(board->fd);
    free(board->path);
    free(board);
}

dt_status dt_tensorboard_add(dt_tensorboard *board, int64_t step, const dt_scalar *scalars, size_t count)
{
    dt_text summary = {0};
    for (size_t i = 0; i < count; i++) add_scalar(&summary, &scalars[i]);
    dt_status status = dt_text_status(&summary);
    if (!status) status = write_event(board, step, EVENT_SUMMARY, summary.data, summary.length);
    dt_text_free(&summary);
    return status;
}

dt_status dt_tensorboard_sync(dt_tensorboard *board)
{
    if (fsync(board->fd) == 0) return DT_OK;
    return dt_fail(DT_ERR_IO, "cannot sync '%s': %s", board->path, strerror(errno));
}
