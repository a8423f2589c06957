/* The optimizer registry: AdamW (Loshchilov and Hutter, "Decoupled weight decay regularization", 2019) and SGD with
 * momentum. */
#include "train/optimizer.h"

#include <math.h>
#include <stdlib.h>

typedef struct dt_optimizer_entry {
    unsigned buffers;
    void (*read)(const dt_settings *, dt_update_attr *);
    void (*inputs)(dt_graph *, dt_update_inputs *); /* step values beside the learning rate; may be NULL */
    void (*values)(const dt_update_attr *, int64_t step, dt_optimizer_put, void *context);
    void (*update)(dt_graph *, const dt_update_inputs *, dt_update_attr);
} optimizer_entry;

/* --- AdamW --- */

static void adamw_read(const dt_settings *settings, dt_update_attr *attr)
{
    double betas[2] = {0};
    dt_setting_reals(settings, "optim.betas", betas, 2);
    attr->beta1 = betas[0];
    attr->beta2 = betas[1];
    attr->epsilon = dt_setting_real(settings, "optim.epsilon");
}

static void adamw_inputs(dt_graph *g, dt_update_inputs *in)
{
    in->correction1 = dt_input(g, "correction1", DT_F64, DT_SCALAR);
    in->correction2 = dt_input(g, "correction2", DT_F64, DT_SCALAR);
}

/* 1 - beta^t by expm1, exact also where beta^t is near 1. A skipped step counts in t, so that the correction is a
 * function of the step alone. */
static void adamw_values(const dt_update_attr *attr, int64_t step, dt_optimizer_put put, void *context)
{
    double t = (double)(step + 1);
    put(context, "correction1", -expm1(t * log(attr->beta1)));
    put(context, "correction2", -expm1(t * log(attr->beta2)));
}

/* --- SGD --- */

static void sgd_read(const dt_settings *settings, dt_update_attr *attr)
{
    attr->beta1 = dt_setting_real(settings, "optim.momentum");
    attr->nesterov = attr->beta1 > 0 && dt_setting_bool(settings, "optim.nesterov");
}

/* --- the table --- */

enum { DECAY_MATRICES, DECAY_ALL };
const char *const dt_optimizer_decays[] = {[DECAY_MATRICES] = "matrices", [DECAY_ALL] = "all", NULL};
enum { ADAMW, SGD, OPTIMIZERS };
const char *const dt_optimizer_names[] = {[ADAMW] = "adamw", [SGD] = "sgd", [OPTIMIZERS] = NULL};
static const optimizer_entry entries[OPTIMIZERS] = {
    [ADAMW] = {1u << DT_BUFFER_MOMENT1 | 1u << DT_BUFFER_MOMENT2, adamw_read, adamw_inputs, adamw_values, dt_adamw},
    [SGD] = {1u << DT_BUFFER_MOMENT1, sgd_read, NULL, NULL, dt_sgd},
};

dt_status dt_optimizer_create(const dt_settings *settings, dt_optimizer *out)
{
    int kind = dt_setting_choice(settings, "optim.kind");
    double betas[2];
    if (kind == ADAMW && dt_setting_reals(settings, "optim.betas", betas, 2) != 2)
        return dt_setting_fail(settings, "optim.betas", "adamw needs two numbers, such as [0.9, 0.999]");
    *out = (dt_optimizer){.entry = &entries[kind], .layer_decay = dt_setting_real(settings, "optim.layer_decay"),
                          .decays_all = dt_setting_choice(settings, "optim.decay") == DECAY_ALL};
    out->attr.weight_decay = dt_setting_real(settings, "optim.weight_decay");
    out->entry->read(settings, &out->attr);
    return DT_OK;
}

unsigned dt_optimizer_buffers(const dt_optimizer *optimizer)
{
    return optimizer->entry ? optimizer->entry->buffers : 0;
}

void dt_optimizer_free(dt_optimizer *optimizer)
{
    for (int i = 0; i < optimizer->part_count; i++) {
        dt_update_part *part = &optimizer->parts[i];
        if (part->spans)
            dt_device_free(optimizer->device, DT_MEMORY_OPTIMIZER, part->spans,
                           (size_t)part->span_count * sizeof *part->spans);
    }
    free(optimizer->parts);
    optimizer->parts = NULL;
    optimizer->part_count = 0;
}

/* --- the update program --- */

dt_tensor *dt_part_tensor(dt_graph *g, const dt_update_part *part, dt_buffer buffer)
{
    return part->bucket ? dt_piece_tensor(g, part->bucket, buffer) : dt_buffer_tensor(g, part->group, buffer);
}

static dt_tensor *moment(const dt_optimizer *optimizer, dt_graph *g, const dt_update_part *part, dt_buffer buffer)
{
    return (optimizer->entry->buffers >> buffer) & 1u ? dt_part_tensor(g, part, buffer) : NULL;
}

/* What passes read of the part, where ranks keep it whole. */
static void gather(dt_graph *g, const dt_update_part *part, const dt_update_inputs *updated)
{
    dt_buffer buffer = updated->working ? DT_BUFFER_WORKING : DT_BUFFER_VALUE;
    if (!part->bucket || !dt_store_keeps_whole(dt_graph_store(g), part->group, buffer)) return;
    dt_all_gather(g, updated->working ? updated->working : updated->value, dt_bucket_tensor(g, part->bucket, buffer));
}

static void build_part(const dt_optimizer *optimizer, dt_graph *g, const dt_update_part *part, dt_update_inputs in,
                       bool working)
{
    in.value = dt_part_tensor(g, part, DT_BUFFER_VALUE);
    in.gradient = dt_part_tensor(g, part, DT_BUFFER_GRADIENT);
    if (working && part->group == DT_GROUP_MATRIX) in.working = dt_part_tensor(g, part, DT_BUFFER_WORKING);
    in.moment1 = moment(optimizer, g, part, DT_BUFFER_MOMENT1);
    in.moment2 = moment(optimizer, g, part, DT_BUFFER_MOMENT2);
    dt_update_attr attr = optimizer->attr;
    attr.spans = part->spans;
    attr.span_count = part->span_count;
    optimizer->entry->update(g, &in, attr);
    gather(g, part, &in);
}

void dt_optimizer_build(const dt_optimizer *optimizer, dt_graph *g, dt_tensor *scale, dt_tensor *finite,
                        bool working)
{
    if (!optimizer->entry) return;
    dt_update_inputs in = {.scale = scale, .finite = finite, .lr = dt_input(g, "lr", DT_F64, DT_SCALAR)};
    if (optimizer->entry->inputs) optimizer->entry->inputs(g, &in);
    for (int i = 0; i < optimizer->part_count; i++) build_part(optimizer, g, &optimizer->parts[i], in, working);
}

void dt_optimizer_values(const dt_optimizer *optimizer, int64_t step, double lr, dt_optimizer_put put, void *context)
{
    if (!optimizer->entry) return;
    put(context, "lr", lr);
    if (optimizer->entry->values) optimizer->entry->values(&optimizer->attr, step, put, context);
}
