/* The memory of a session: what the plan says it takes, and taking it. */
#include "train/checkpoint_save.h"
#include "train/session.h"

/* --- sizes --- */

bool dt_session_keeps_average(const dt_session *s) { return !s->options.eval_only && s->recipe.ema > 0; }

static int64_t feed_bytes(const dt_session *s, dt_program_id id)
{
    return s->program[id] ? dt_program_feed_bytes(s->program[id]) : 0;
}

int64_t dt_session_slot_bytes(const dt_session *s, dt_program_id id)
{
    return id == DT_PROGRAM_PASS ? s->update_offset + feed_bytes(s, DT_PROGRAM_UPDATE) : feed_bytes(s, id);
}

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

void dt_session_measure(dt_session *s)
{
    if (s->options.weights_only) return;
    s->update_offset = (feed_bytes(s, DT_PROGRAM_PASS) + 255) / 256 * 256;
    for (int id = 0; id < DT_PROGRAMS; id++) {
        if (!s->program[id]) continue;
        s->slot_bytes = larger(s->slot_bytes, dt_session_slot_bytes(s, (dt_program_id)id));
        s->arena_bytes = larger(s->arena_bytes, dt_program_arena_bytes(s->program[id]));
    }
}

static unsigned wanted_buffers(const dt_session *s)
{
    unsigned read = 1u << DT_BUFFER_VALUE | (unsigned)s->recipe.working << DT_BUFFER_WORKING;
    if (s->options.eval_only) return read;
    return read | 1u << DT_BUFFER_GRADIENT | dt_optimizer_buffers(&s->optimizer) |
           (dt_session_keeps_average(s) ? 1u << DT_BUFFER_EMA : 0);
}

static int64_t buffer_bytes(const dt_session *s, dt_buffer buffer)
{
    return (wanted_buffers(s) >> buffer) & 1u ? dt_store_bytes(s->store, buffer) : 0;
}

static int64_t state_bytes(const dt_session *s)
{
    int64_t bytes = dt_store_staging_bytes(s->store);
    for (int i = 0; i < dt_store_states(s->store); i++) {
        const dt_state *state = dt_store_state(s->store, i);
        bytes += dt_shape_count(&state->shape) * (int64_t)dt_dtype_size(state->dtype);
    }
    return bytes;
}

int64_t dt_session_memory(const dt_session *s, dt_memory category)
{
    switch (category) {
    case DT_MEMORY_PARAMETERS: return buffer_bytes(s, DT_BUFFER_VALUE) + buffer_bytes(s, DT_BUFFER_WORKING);
    case DT_MEMORY_GRADIENTS: return buffer_bytes(s, DT_BUFFER_GRADIENT);
    case DT_MEMORY_OPTIMIZER:
        return buffer_bytes(s, DT_BUFFER_MOMENT1) + buffer_bytes(s, DT_BUFFER_MOMENT2) +
               dt_optimizer_span_bytes(&s->optimizer);
    case DT_MEMORY_EMA: return buffer_bytes(s, DT_BUFFER_EMA);
    case DT_MEMORY_STATE: return state_bytes(s);
    case DT_MEMORY_ARENA: return s->arena_bytes;
    case DT_MEMORY_FEED: return DT_SLOTS * s->slot_bytes;
    case DT_MEMORY_CATEGORIES: break;
    }
    return 0;
}

/* Each rank copies what it writes: about as much as every other, whatever of it they keep on their devices. */
static int64_t snapshot_bytes(const dt_session *s)
{
    int64_t values = 0, buffers = 0;
    for (int group = 0; group < DT_GROUPS; group++) values += dt_store_count(s->store, (dt_group)group);
    for (int b = 0; b < DT_BUFFERS; b++) buffers += DT_CHECKPOINT_BUFFERS & wanted_buffers(s) & 1u << b ? 1 : 0;
    return values * buffers * (int64_t)dt_dtype_size(dt_store_type(s->store)) / dt_comm_size(s->comm);
}

dt_status dt_session_host_memory(const dt_session *s, const dt_settings *settings, dt_host_memory *out)
{
    int64_t slots = dt_session_slot_bytes(s, DT_PROGRAM_PASS) + dt_session_slot_bytes(s, DT_PROGRAM_EVAL);
    *out = (dt_host_memory){.batches = dt_setting_int(settings, "data.ahead") * slots, .snapshot = snapshot_bytes(s)};
    return dt_dataset_memory(settings, &out->data);
}

/* --- memory --- */

static dt_status check_room(const dt_session *s)
{
    int64_t planned[DT_MEMORY_CATEGORIES];
    for (int m = 0; m < DT_MEMORY_CATEGORIES; m++) planned[m] = dt_session_memory(s, (dt_memory)m);
    return dt_device_check_room(s->device, planned);
}

dt_status dt_session_bind(dt_session *s)
{
    DT_TRY(check_room(s));
    DT_TRY(dt_store_alloc(s->store, s->device, wanted_buffers(s)));
    if (s->options.weights_only) return DT_OK;
    DT_TRY(dt_device_alloc(s->device, DT_MEMORY_ARENA, (size_t)s->arena_bytes, &s->arena));
    for (int i = 0; i < DT_SLOTS; i++) {
        void *memory = NULL;
        DT_TRY(dt_device_alloc(s->device, DT_MEMORY_FEED, (size_t)s->slot_bytes, &memory));
        s->slot[i] = memory;
    }
    for (int id = 0; id < DT_PROGRAMS; id++)
        if (s->program[id]) DT_TRY(dt_program_bind(s->program[id], s->device, s->comm, s->arena));
    return DT_OK;
}

void dt_session_release_memory(dt_session *s)
{
    for (int i = 0; i < DT_SLOTS; i++)
        if (s->slot[i]) dt_device_free(s->device, DT_MEMORY_FEED, s->slot[i], (size_t)s->slot_bytes);
    if (s->arena) dt_device_free(s->device, DT_MEMORY_ARENA, s->arena, (size_t)s->arena_bytes);
    dt_optimizer_free(&s->optimizer);
}
