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
    for (int group = 0; group < DT_GROUPS; group++) {
        dt_update_attr *attr = &out->attr[group];
        attr->group = (dt_group)group;
        attr->weight_decay = dt_setting_real(settings, "optim.weight_decay");
        out->entry->read(settings, attr);
    }
    return DT_OK;
}

unsigned dt_optimizer_buffers(const dt_optimizer *optimizer)
{
    return optimizer->entry ? optimizer->entry->buffers : 0;
}

void dt_optimizer_free(dt_optimizer *optimizer)
{
    if (!optimizer->device) return;
    for (int group = 0; group < DT_GROUPS; group++) {
        dt_update_attr *attr = &optimizer->attr[group];
        if (!attr->spans) continue;
        size_t bytes = (size_t)attr->span_count * sizeof *attr->spans;
        dt_device_free(optimizer->device, DT_MEMORY_OPTIMIZER, (void *)attr->spans, bytes);
        attr->spans = NULL;
    }
}

/* --- the update program --- */

static dt_tensor *buffer(const dt_optimizer *optimizer, dt_graph *g, dt_group group, dt_buffer kind)
{
    return (optimizer->entry->buffers >> kind) & 1u ? dt_buffer_tensor(g, group, kind) : NULL;
}

void dt_optimizer_build(const dt_optimizer *optimizer, dt_graph *g, dt_tensor *scale, dt_tensor *finite,
                        bool working)
{
    if (!optimizer->entry) return;
    dt_update_inputs in = {.scale = scale, .finite = finite, .lr = dt_input(g, "lr", DT_F64, DT_SCALAR)};
    if (optimizer->entry->inputs) optimizer->entry->inputs(g, &in);
    for (int group = 0; group < DT_GROUPS; group++) {
        if (!dt_store_count(dt_graph_store(g), (dt_group)group)) continue;
        in.value = dt_buffer_tensor(g, (dt_group)group, DT_BUFFER_VALUE);
        in.gradient = dt_buffer_tensor(g, (dt_group)group, DT_BUFFER_GRADIENT);
        in.working = working && group == DT_GROUP_MATRIX ? dt_buffer_tensor(g, group, DT_BUFFER_WORKING) : NULL;
        in.moment1 = buffer(optimizer, g, (dt_group)group, DT_BUFFER_MOMENT1);
        in.moment2 = buffer(optimizer, g, (dt_group)group, DT_BUFFER_MOMENT2);
        optimizer->entry->update(g, &in, optimizer->attr[group]);
    }
}

void dt_optimizer_values(const dt_optimizer *optimizer, int64_t step, double lr, dt_optimizer_put put, void *context)
{
    if (!optimizer->entry) return;
    put(context, "lr", lr);
    if (optimizer->entry->values) optimizer->entry->values(&optimizer->attr[0], step, put, context);
}
