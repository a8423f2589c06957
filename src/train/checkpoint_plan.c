/* The list of files: weights with their index, averages likewise, states. */
#include "train/checkpoint_plan.h"

#include <stdlib.h>
#include <string.h>

#include "train/checkpoint_state.h"
#include "train/deal.h"
#include "train/weight_set.h"

typedef struct weight_set {
    dt_buffer buffer;
    const char *stem;
    dt_weight_part *part;
    int parts; /* 0: the store has no such buffer */
} weight_set;

typedef enum file_kind { WEIGHTS, INDEX, STATE } file_kind;

typedef struct planned_file {
    char name[64];
    file_kind kind;
    const weight_set *set;
    int number; /* of the part, or of the state file */
    int64_t bytes;
    int rank;
} planned_file;

struct dt_checkpoint_plan {
    const dt_store *store;
    dt_checkpoint_options options;
    weight_set set[2];
    planned_file *file;
    int files;
};

/* --- how fine to split --- */

enum { LEAST_SPLIT = 64 << 20 }; /* one rank writes so many bytes sooner than readers are served with an index */

/* Of all parameters in all buffers; states are small. */
static int64_t total_bytes(const dt_store *store)
{
    int64_t bytes = 0;
    for (int i = 0; i < dt_store_params(store); i++)
        for (int buffer = 0; buffer < DT_BUFFERS; buffer++) {
            const dt_param *param = dt_store_param(store, i);
            if (DT_CHECKPOINT_BUFFERS >> buffer & 1 && dt_store_data(store, param->group, (dt_buffer)buffer))
                bytes += param->count * (int64_t)dt_dtype_size(dt_store_type(store));
        }
    return bytes;
}

static int64_t split_bytes(const dt_checkpoint_plan *plan)
{
    int64_t set = plan->options.file_bytes;
    if (plan->options.ranks <= 1) return set;
    int64_t share = total_bytes(plan->store) / plan->options.ranks;
    if (share < LEAST_SPLIT) share = LEAST_SPLIT;
    return set > 0 && set < share ? set : share;
}

/* --- making the list --- */

static void add_file(dt_checkpoint_plan *plan, planned_file file) { plan->file[plan->files++] = file; }

static void add_weights(dt_checkpoint_plan *plan, const weight_set *set)
{
    for (int k = 0; k < set->parts; k++) {
        planned_file file = {.kind = WEIGHTS, .set = set, .number = k, .bytes = set->part[k].bytes};
        strcpy(file.name, set->part[k].file);
        add_file(plan, file);
    }
    if (set->parts < 2) return;
    planned_file index = {.kind = INDEX, .set = set};
    dt_weight_index_name(set->stem, index.name);
    add_file(plan, index);
}

static dt_status add_states(dt_checkpoint_plan *plan)
{
    for (int number = 0; number < dt_state_files(plan->store); number++) {
        planned_file file = {.kind = STATE, .number = number};
        DT_TRY(dt_state_file_describe(plan->store, number, plan->options.compress, file.name, &file.bytes));
        if (file.bytes) add_file(plan, file);
    }
    return DT_OK;
}

static dt_status split(dt_checkpoint_plan *plan)
{
    static const weight_set sets[] = {{.buffer = DT_BUFFER_VALUE, .stem = "model"},
                                      {.buffer = DT_BUFFER_EMA, .stem = "ema"}};
    int64_t file_bytes = split_bytes(plan);
    for (int i = 0; i < 2; i++) {
        weight_set *set = &plan->set[i];
        *set = sets[i];
        if (set->buffer == DT_BUFFER_VALUE || dt_weight_set_has(plan->store, set->buffer))
            DT_TRY(dt_weight_set_split(plan->store, set->stem, file_bytes, &set->part, &set->parts));
    }
    return DT_OK;
}

static dt_status list_files(dt_checkpoint_plan *plan)
{
    DT_TRY(split(plan));
    size_t room = (size_t)(plan->set[0].parts + plan->set[1].parts + 2 + dt_state_files(plan->store));
    plan->file = calloc(room, sizeof *plan->file);
    if (!plan->file) return dt_fail_memory(room * sizeof *plan->file, "a checkpoint");
    for (int i = 0; i < 2; i++) add_weights(plan, &plan->set[i]);
    return add_states(plan);
}

static dt_status deal_files(dt_checkpoint_plan *plan)
{
    int64_t *bytes = calloc((size_t)plan->files, sizeof *bytes);
    int *rank_of = calloc((size_t)plan->files, sizeof *rank_of);
    dt_status status = DT_OK;
    if (!bytes || !rank_of) status = dt_fail_memory((size_t)plan->files * sizeof *bytes, "a checkpoint");
    for (int i = 0; i < plan->files && !status; i++) bytes[i] = plan->file[i].bytes;
    if (!status) status = dt_deal(bytes, plan->files, plan->options.ranks, rank_of);
    for (int i = 0; i < plan->files && !status; i++) plan->file[i].rank = rank_of[i];
    free(rank_of);
    free(bytes);
    return status;
}

dt_status dt_checkpoint_plan_create(const dt_store *store, const dt_checkpoint_options *options,
                                    dt_checkpoint_plan **out)
{
    dt_checkpoint_plan *plan = calloc(1, sizeof *plan);
    if (!plan) return dt_fail_memory(sizeof *plan, "a checkpoint");
    plan->store = store;
    plan->options = *options;
    if (options->ranks < 1) plan->options.ranks = 1;
    dt_status status = list_files(plan);
    if (!status) status = deal_files(plan);
    if (status) dt_checkpoint_plan_free(plan);
    else *out = plan;
    return status;
}

void dt_checkpoint_plan_free(dt_checkpoint_plan *plan)
{
    if (!plan) return;
    for (int i = 0; i < 2; i++) free(plan->set[i].part);
    free(plan->file);
    free(plan);
}

int dt_checkpoint_plan_files(const dt_checkpoint_plan *plan) { return plan->files; }
const char *dt_checkpoint_plan_name(const dt_checkpoint_plan *plan, int file) { return plan->file[file].name; }
int dt_checkpoint_plan_rank(const dt_checkpoint_plan *plan, int file) { return plan->file[file].rank; }

/* --- carrying it out --- */

static void add_part(const dt_weight_part *part, dt_buffer buffer, dt_snapshot_share *share)
{
    for (int i = 0; i < part->count; i++) share->buffers[part->first + i] |= 1u << buffer;
}

static void add_moments(const dt_store *store, int number, dt_snapshot_share *share)
{
    for (int i = 0; i < dt_store_params(store); i++)
        if (dt_state_file_holds(number, dt_store_param(store, i)))
            share->buffers[i] |= 1u << DT_BUFFER_MOMENT1 | 1u << DT_BUFFER_MOMENT2;
    if (number == dt_state_files(store) - 1) share->states = true;
}

dt_status dt_checkpoint_plan_snapshot(const dt_checkpoint_plan *plan, dt_snapshot **out)
{
    size_t params = (size_t)dt_store_params(plan->store) + 1;
    dt_snapshot_share share = {.buffers = calloc(params, sizeof *share.buffers)};
    if (!share.buffers) return dt_fail_memory(params * sizeof *share.buffers, "a snapshot");
    for (int i = 0; i < plan->files; i++) {
        const planned_file *file = &plan->file[i];
        if (file->rank != plan->options.rank) continue;
        if (file->kind == WEIGHTS) add_part(&file->set->part[file->number], file->set->buffer, &share);
        if (file->kind == STATE) add_moments(plan->store, file->number, &share);
    }
    dt_status status = dt_snapshot_create(plan->store, DT_CHECKPOINT_BUFFERS, &share, out);
    free(share.buffers);
    return status;
}

dt_status dt_checkpoint_plan_write(const dt_checkpoint_plan *plan, int index, const char *folder,
                                   const dt_snapshot *from, json_t *files)
{
    const planned_file *file = &plan->file[index];
    const weight_set *set = file->set;
    switch (file->kind) {
    case WEIGHTS: return dt_weight_part_write(folder, &set->part[file->number], from, set->buffer, files);
    case INDEX: return dt_weight_index_write(folder, file->name, set->part, set->parts, plan->store, files);
    case STATE: break;
    }
    return dt_state_file_write(folder, from, file->number, plan->options.compress, files);
}
