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

static dt_segment_span span_of(const dt_param *param, int64_t end, bool decays_all)
{
    return (dt_segment_span){.offset = param->offset,
                             .count = end - param->offset,
                             .lr_scale = param->lr_scale,
                             .decay = decays_all || decays(param->role) ? 1 : 0,
                             .frozen = param->frozen};
}

static bool alike(const dt_segment_span *a, const dt_segment_span *b)
{
    return a->lr_scale == b->lr_scale && a->decay == b->decay && a->frozen == b->frozen;
}

dt_status dt_optimizer_span_table(const dt_store *store, dt_group group, bool decays_all, dt_segment_span **out,
                                  int64_t *out_count)
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
        int64_t end = i + 1 < count ? params[i + 1]->offset : dt_store_count(store, group);
        dt_segment_span span = span_of(params[i], end, decays_all);
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

static dt_status upload(dt_device *device, const dt_segment_span *spans, dt_update_attr *attr)
{
    size_t bytes = (size_t)attr->span_count * sizeof *spans;
    if (!bytes) return DT_OK;
    void *memory = NULL;
    DT_TRY(dt_device_alloc(device, DT_MEMORY_OPTIMIZER, bytes, &memory));
    attr->spans = memory;
    DT_TRY(dt_device_upload(device, DT_STREAM_COMPUTE, memory, spans, bytes));
    return dt_device_sync(device, DT_STREAM_COMPUTE);
}

dt_status dt_optimizer_spans(dt_optimizer *optimizer, dt_store *store, dt_device *device)
{
    scale_layers(store, optimizer->layer_decay);
    optimizer->device = device;
    for (int group = 0; group < DT_GROUPS; group++) {
        dt_segment_span *spans = NULL;
        dt_update_attr *attr = &optimizer->attr[group];
        bool all = optimizer->decays_all;
        DT_TRY(dt_optimizer_span_table(store, (dt_group)group, all, &spans, &attr->span_count));
        dt_status status = device ? upload(device, spans, attr) : DT_OK;
        free(spans);
        if (status) return status;
    }
    return DT_OK;
}

int64_t dt_optimizer_span_bytes(const dt_optimizer *optimizer)
{
    int64_t count = 0;
    for (int group = 0; group < DT_GROUPS; group++) count += optimizer->attr[group].span_count;
    return count * (int64_t)sizeof(dt_segment_span);
}
