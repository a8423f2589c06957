/* Parts, and what comes of them. */
#include "comm/meeting.h"

#include <stdlib.h>
#include <string.h>

#include "comm/world.h"

static const char *const kind_names[] = {"a barrier", "a broadcast", "a gather"};

dt_status dt_meeting_create(int size, dt_meeting *out)
{
    *out = (dt_meeting){.size = size, .failed = -1};
    out->here = calloc((size_t)size, sizeof *out->here);
    out->data = calloc((size_t)size, sizeof *out->data);
    if (out->here && out->data) return DT_OK;
    dt_meeting_free(out);
    return dt_fail_memory((size_t)size * sizeof *out->data, "collectives of the ranks' hosts");
}

void dt_meeting_free(dt_meeting *m)
{
    for (int r = 0; m->data && r < m->size; r++) dt_text_free(&m->data[r]);
    free(m->here);
    free(m->data);
    *m = (dt_meeting){0};
}

dt_status dt_part_pack(const dt_part *part, const void *data, dt_text *frame)
{
    dt_wire_begin(frame, DT_WIRE_PART);
    dt_wire_add_number(frame, part->kind);
    dt_wire_add_number(frame, (uint64_t)part->bytes);
    dt_wire_add_text(frame, part->what);
    dt_wire_add_text(frame, part->why);
    if (data) dt_text_add_bytes(frame, data, (size_t)part->bytes);
    return dt_wire_end(frame);
}

static dt_status unpack(dt_wire_cursor *from, int rank, int size, dt_part *out)
{
    out->kind = (dt_gathering)dt_wire_take_int(from, 0, DT_GATHERINGS - 1);
    out->bytes = dt_wire_take_int(from, 0, DT_WORLD_MOST_BYTES);
    dt_wire_take_text(from, out->what, sizeof out->what);
    dt_wire_take_text(from, out->why, sizeof out->why);
    bool has_data = out->kind == DT_GATHER || (out->kind == DT_BROADCAST && rank == 0);
    bool too_much = out->kind == DT_GATHER && out->bytes > DT_WORLD_MOST_BYTES / size;
    if (!from->failed && !too_much && from->left == (has_data ? (size_t)out->bytes : 0)) return DT_OK;
    return dt_fail(DT_ERR_DATA, "rank %d's part of a collective is malformed", rank);
}

static bool agree(const dt_part *a, const dt_part *b)
{
    return a->kind == b->kind && a->bytes == b->bytes && !strcmp(a->what, b->what);
}

static void describe(const dt_part *part, dt_text *line)
{
    dt_text_add(line, "'%s' (%s of %lld bytes)", part->what, kind_names[part->kind], (long long)part->bytes);
}

/* Two came to different things: because one had failed on its way, or else by the second's fault. Returns who it
 * was. */
static int blame_other(const dt_meeting *m, const dt_member *members, int rank, const dt_part *part, dt_text *line)
{
    int failed = *part->why ? rank : m->failed;
    dt_member_name(members, failed < 0 ? rank : failed, line);
    if (failed >= 0) {
        dt_text_add(line, ": %s", *part->why ? part->why : m->why);
        return failed;
    }
    dt_text_add(line, ": it came to ");
    describe(part, line);
    dt_text_add(line, ", while rank %d is at ", m->first);
    describe(&m->part, line);
    return rank;
}

dt_status dt_meeting_join(dt_meeting *m, const dt_member *members, int rank, dt_wire_cursor from, double now,
                          dt_text *line, int *blamed)
{
    dt_part part;
    *blamed = -1;
    DT_TRY(unpack(&from, rank, m->size, &part));
    if (m->here[rank]) return dt_fail(DT_ERR_DATA, "rank %d came to a collective twice", rank);
    if (!m->came) {
        m->part = part;
        m->first = rank;
        m->since = now;
    }
    if (!agree(&part, &m->part)) {
        *blamed = blame_other(m, members, rank, &part, line);
        return dt_text_status(line);
    }
    if (*part.why && m->failed < 0) {
        m->failed = rank;
        memcpy(m->why, part.why, sizeof m->why);
    }
    m->data[rank].length = 0;
    dt_text_add_bytes(&m->data[rank], from.at, from.left);
    m->here[rank] = true;
    m->came++;
    return dt_text_status(&m->data[rank]);
}

bool dt_meeting_is_full(const dt_meeting *m) { return m->came == m->size; }

dt_status dt_meeting_end(dt_meeting *m, dt_text *frame)
{
    dt_wire_begin(frame, DT_WIRE_RESULT);
    for (int r = 0; r < m->size; r++) {
        if (m->data[r].length) dt_text_add_bytes(frame, m->data[r].data, m->data[r].length);
        m->here[r] = false;
        dt_text_free(&m->data[r]);
    }
    m->came = 0;
    m->failed = -1;
    return dt_wire_end(frame);
}

void dt_meeting_blame(const dt_meeting *m, const dt_member *members, double waited, dt_text *line, int *rank)
{
    bool *missing = calloc((size_t)m->size, sizeof *missing);
    int count = 0;
    for (int r = 0; missing && r < m->size; r++) {
        missing[r] = !m->here[r];
        if (missing[r]) *rank = r;
        count += missing[r];
    }
    if (count != 1) *rank = -1;
    if (missing) dt_members_list(members, missing, m->size, line);
    dt_text_add(line, "%s did not come to '%s' within %.0f s (parallel.wait_limit), where %d other rank%s wait%s",
                count == 1 ? ":" : "", m->part.what, waited, m->came, m->came == 1 ? "" : "s", m->came == 1 ? "s" : "");
    free(missing);
}
