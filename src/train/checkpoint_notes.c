/* Notes of ranks: done-0001.json, failed-0001.json, left-0001.json. */
#include "train/checkpoint_notes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/threads.h"
#include "train/checkpoint_file.h"
#include "train/checkpoint_manifest.h"

typedef enum note { NONE, DONE, FAILED, LEFT, NOTES, SILENT = NOTES } note; /* SILENT: failed without one */

static const char *const kinds[NOTES] = {[DONE] = "done", [FAILED] = "failed", [LEFT] = "left"};

static void note_name(note kind, int rank, char out[static 32])
{
    snprintf(out, 32, "%s-%04d.json", kinds[kind], rank);
}

/* --- leaving one --- */

static dt_status leave(const char *folder, note kind, int rank, json_t *content)
{
    char name[32], *path = NULL;
    dt_text text = {0};
    note_name(kind, rank, name);
    dt_status status = content ? dt_json_seal(content) : dt_fail_memory(sizeof *content, "a note of a rank");
    if (!status) status = dt_json_print(content, JSON_INDENT(2), &text);
    if (!status) status = dt_path_join(folder, name, &path);
    if (!status) status = dt_file_replace(path, text.data, text.length);
    free(path);
    dt_text_free(&text);
    json_decref(content);
    return status;
}

dt_status dt_note_done(const char *folder, int rank, const json_t *files)
{
    return leave(folder, DONE, rank, json_pack("{s:o}", "files", json_deep_copy(files)));
}

dt_status dt_note_failed(const char *folder, int rank, const char *why)
{
    return leave(folder, FAILED, rank, json_pack("{s:s}", "error", why));
}

dt_status dt_note_left(const char *folder, int rank) { return leave(folder, LEFT, rank, json_object()); }

/* --- finding them --- */

/* The kind of a note and whose it is; NONE: a name that is none. */
static note note_of(const char *name, int *rank)
{
    for (int kind = DONE; kind < NOTES; kind++) {
        char again[32];
        const char *dash = strrchr(name, '-');
        if (!dash || sscanf(dash, "-%9d", rank) != 1 || *rank < 0) continue;
        note_name((note)kind, *rank, again);
        if (!strcmp(name, again)) return (note)kind;
    }
    return NONE;
}

/* heard[rank] of each rank; FAILED counts more than DONE. The folder is listed, rather than asked for each name: over
 * NFS that is what brings news of other hosts at once. */
static dt_status hear(const char *folder, int ranks, note *heard)
{
    char **names;
    size_t count;
    int rank;
    DT_TRY(dt_folder_list(folder, &names, &count));
    for (size_t i = 0; i < count; i++) {
        note kind = note_of(names[i], &rank);
        if (kind && rank < ranks && heard[rank] != FAILED) heard[rank] = kind;
    }
    dt_folder_list_free(names, count);
    return DT_OK;
}

static int find(const note *heard, int ranks, note kind)
{
    for (int rank = 0; rank < ranks; rank++)
        if (heard[rank] == kind) return rank;
    return -1;
}

static int spoken(const note *heard, int ranks)
{
    int count = 0;
    for (int rank = 0; rank < ranks; rank++) count += heard[rank] != NONE;
    return count;
}

/* Rank 0, which waits for the others, leaves a note only when it fails. */
static dt_status heard_create(int ranks, note **out)
{
    *out = calloc((size_t)ranks, sizeof **out);
    if (!*out) return dt_fail_memory((size_t)ranks * sizeof **out, "the notes of ranks");
    **out = DONE;
    return DT_OK;
}

bool dt_notes_tell_failure(const char *folder, int ranks)
{
    note *heard;
    if (heard_create(ranks, &heard)) return false;
    bool failed = hear(folder, ranks, heard) || find(heard, ranks, FAILED) >= 0;
    free(heard);
    return failed;
}

/* --- waiting --- */

typedef struct patience {
    double limit, last_news, pause;
    int spoken;
} patience;

static dt_status wait_on(patience *p, const note *heard, int ranks)
{
    int count = spoken(heard, ranks);
    if (count > p->spoken) {
        p->last_news = dt_clock();
        p->spoken = count;
    }
    if (dt_clock() - p->last_news > p->limit)
        return dt_fail(DT_ERR_IO, "%d of %d ranks, the first of them rank %d, have not written their files %g s after "
                       "the others (parallel.wait_limit)", ranks - count, ranks, find(heard, ranks, NONE), p->limit);
    nanosleep(&(struct timespec){.tv_nsec = (long)(p->pause * 1e9)}, NULL);
    if (p->pause < 0.25) p->pause *= 1.5;
    return DT_OK;
}

static dt_status hear_all(const char *folder, int ranks, const atomic_bool *silent, note *heard)
{
    for (int rank = 1; silent && rank < ranks; rank++)
        if (atomic_load(&silent[rank]) && heard[rank] == NONE) heard[rank] = SILENT;
    return hear(folder, ranks, heard);
}

dt_status dt_notes_wait(const char *folder, int ranks, double limit, const atomic_bool *silent)
{
    note *heard;
    DT_TRY(heard_create(ranks, &heard));
    patience p = {.limit = limit, .last_news = dt_clock(), .pause = 0.001};
    dt_status status = hear_all(folder, ranks, silent, heard);
    while (!status && spoken(heard, ranks) < ranks) {
        status = wait_on(&p, heard, ranks);
        if (!status) status = hear_all(folder, ranks, silent, heard);
    }
    free(heard);
    return status;
}

/* --- reading --- */

/* The content is the caller's. */
static dt_status read_note(const char *folder, note kind, int rank, json_t **out)
{
    enum { MOST_BYTES = 1 << 26 };
    char name[32], *path;
    note_name(kind, rank, name);
    DT_TRY(dt_path_join(folder, name, &path));
    dt_status status = dt_json_read(path, MOST_BYTES, out);
    if (!status) {
        status = dt_json_check_seal(*out, path);
        if (status) json_decref(*out);
    }
    free(path);
    return status;
}

static dt_status tell_failure(const char *folder, int rank)
{
    json_t *content;
    const char *why;
    DT_TRY(read_note(folder, FAILED, rank, &content));
    dt_status status = dt_json_text(content, "error", "a note of a rank", &why);
    if (!status) status = dt_fail(DT_ERR_IO, "rank %d: %s", rank, why);
    json_decref(content);
    return status;
}

static dt_status add_files(const char *folder, int rank, json_t *files)
{
    json_t *content, *theirs;
    DT_TRY(read_note(folder, DONE, rank, &content));
    dt_status status = dt_json_member(content, "files", JSON_OBJECT, "a note of a rank", &theirs);
    if (!status) status = dt_manifest_check_entries(theirs, "a note of a rank");
    if (!status && json_object_update(files, theirs)) status = dt_fail_memory(sizeof *files, "the files of a rank");
    json_decref(content);
    return status;
}

static dt_status gather(const char *folder, const note *heard, int ranks, json_t *files)
{
    int failed = find(heard, ranks, FAILED), none = find(heard, ranks, NONE), left = find(heard, ranks, LEFT);
    if (failed >= 0) return tell_failure(folder, failed);
    if (none >= 0) return dt_fail(DT_ERR_IO, "rank %d failed, and could not leave a note of it", none);
    if (left >= 0) return dt_fail(DT_ERR_IO, "rank %d has left off", left);
    for (int rank = 1; rank < ranks; rank++) DT_TRY(add_files(folder, rank, files));
    return DT_OK;
}

dt_status dt_notes_gather(const char *folder, int ranks, json_t *files)
{
    note *heard;
    DT_TRY(heard_create(ranks, &heard));
    dt_status status = hear(folder, ranks, heard);
    if (!status) status = gather(folder, heard, ranks, files);
    free(heard);
    return status;
}

dt_status dt_notes_remove(const char *folder, int ranks)
{
    for (int rank = 1; rank < ranks; rank++) {
        char name[32], *path;
        note_name(DONE, rank, name);
        DT_TRY(dt_path_join(folder, name, &path));
        dt_status status = DT_OK;
        if (unlink(path) != 0) status = dt_fail(DT_ERR_IO, "cannot remove '%s': %s", path, strerror(errno));
        free(path);
        if (status) return status;
    }
    return DT_OK;
}
