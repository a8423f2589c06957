/* The span tables of the optimizer: decay by role, layer-wise learning rates, frozen parameters. */
#include <math.h>
#include <stdlib.h>

#include "train/optimizer.h"

static int by_offset(const void *a, const void *b)
{
    const dt_param *x = *(dt_param *const *)a, *y = *(dt_param *const *)b;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

/* The group's parameters in the order in which they lie; NULL when out of memory. */
static dt_param **collect(const dt_store *store, dt_group group, int *count)
{
    dt_param **params = malloc(((size_t)dt_store_params(store) + 1) * sizeof *params);
    if (!params) return NULL;
    *count = 0;
    for (int i = 0; i < dt_store_params(store); i++)
        if (dt_store_param(store, i)->group == group) params[(*count)++] = dt_store_param(store, i);
    qsort(params, (size_t)*count, sizeof(dt_param *), by_offset);
    return params;
}

static bool decays(dt_role role) { return role == DT_ROLE_MATRIX || role == DT_ROLE_EMBEDDING; }

/* Elements begin .. end - 1 of the range that is counted from `first` on. */
static dt_segment_span span_of(const dt_param *param, int64_t first, int64_t begin, int64_t end, bool decays_all)
{
    return (dt_segment_span){.offset = begin - first,
                             .count = end - begin,
                             .lr_scale = param->lr_scale,
                             .decay = decays_all || decays(param->role) ? 1 : 0,
                             .frozen = param->frozen};
}

static bool alike(const dt_segment_span *a, const dt_segment_span *b)
{
    return a->lr_scale == b->lr_scale && a->decay == b->decay && a->frozen == b->frozen;
}

dt_status dt_optimizer_span_table(const dt_store *store, dt_group group, int64_t first, int64_t elements,
                                  bool decays_all, dt_segment_span **out, int64_t *out_count)
{
    int count = 0;
    dt_param **params = collect(store, group, &count);
    dt_segment_span *spans = calloc((size_t)count + 1, sizeof *spans);
    if (!params || !spans) {
        free(params);
        free(spans);
        return dt_fail_memory((size_t)count * sizeof *spans, "the optimizer's spans");
    }
    int64_t made = 0;
    for (int i = 0; i < count; i++) {
        int64_t begin = params[i]->offset, end = i + 1 < count ? params[i + 1]->offset : dt_store_count(store, group);
        if (begin < first) begin = first;
        if (end > first + elements) end = first + elements;
        if (begin >= end) continue;
        dt_segment_span span = span_of(params[i], first, begin, end, decays_all);
        if (made && alike(&spans[made - 1], &span)) spans[made - 1].count += span.count;
        else spans[made++] = span;
    }
    free(params);
    *out = spans;
    *out_count = made;
    return DT_OK;
}

static void scale_layers(dt_store *store, double decay)
{
    int units = dt_store_units(store);
    for (int i = 0; i < dt_store_params(store); i++) {
        dt_param *param = dt_store_param(store, i);
        param->lr_scale = (float)pow(decay, units - 1 - (param->unit > 0 ? param->unit : 0));
    }
}

static dt_status upload(dt_device *device, const dt_segment_span *spans, dt_update_part *part)
{
    size_t bytes = (size_t)part->span_count * sizeof *spans;
    if (!bytes) return DT_OK;
    void *memory = NULL;
    DT_TRY(dt_device_alloc(device, DT_MEMORY_OPTIMIZER, bytes, &memory));
    part->spans = memory;
    DT_TRY(dt_device_upload(device, DT_STREAM_COMPUTE, memory, spans, bytes));
    return dt_device_sync(device, DT_STREAM_COMPUTE);
}

static dt_status make_spans(const dt_optimizer *optimizer, const dt_store *store, dt_update_part *part)
{
    dt_segment_span *spans = NULL;
    const dt_bucket *bucket = part->bucket;
    int64_t first = bucket ? dt_store_piece_first(store, bucket) : 0;
    int64_t elements = bucket ? bucket->piece : dt_store_count(store, part->group);
    DT_TRY(dt_optimizer_span_table(store, part->group, first, elements, optimizer->decays_all, &spans,
                                   &part->span_count));
    dt_status status = optimizer->device ? upload(optimizer->device, spans, part) : DT_OK;
    free(spans);
    return status;
}

/* Where a rank keeps all moments whole it updates all; else its pieces. */
static void list_parts(dt_optimizer *optimizer, const dt_store *store)
{
    bool whole = dt_store_keeps_whole(store, DT_GROUP_MATRIX, DT_BUFFER_MOMENT1);
    for (int i = 0; i < dt_store_buckets(store) && !whole; i++) {
        const dt_bucket *bucket = dt_store_bucket(store, i);
        optimizer->parts[optimizer->part_count++] = (dt_update_part){.group = bucket->group, .bucket = bucket};
    }
    for (int group = 0; group < DT_GROUPS && whole; group++)
        if (dt_store_count(store, (dt_group)group))
            optimizer->parts[optimizer->part_count++] = (dt_update_part){.group = (dt_group)group};
}

dt_status dt_optimizer_spans(dt_optimizer *optimizer, dt_store *store, dt_device *device)
{
    scale_layers(store, optimizer->layer_decay);
    optimizer->device = device;
    size_t room = (size_t)dt_store_buckets(store) + DT_GROUPS;
    optimizer->parts = calloc(room, sizeof *optimizer->parts);
    if (!optimizer->parts) return dt_fail_memory(room * sizeof *optimizer->parts, "the optimizer's parts");
    list_parts(optimizer, store);
    for (int i = 0; i < optimizer->part_count; i++) DT_TRY(make_spans(optimizer, store, &optimizer->parts[i]));
    return DT_OK;
}

int64_t dt_optimizer_span_bytes(const dt_optimizer *optimizer)
{
    int64_t count = 0;
    for (int i = 0; i < optimizer->part_count; i++) count += optimizer->parts[i].span_count;
    return count * (int64_t)sizeof(dt_segment_span);
}
