/* The norm of a site: which function the settings put there, and its parameters in the graph. */
#include "nn/norm.h"

#include <assert.h>
#include <string.h>

/* The order of the choices: the row norms, then the point-wise kinds as their table has them. */
enum { KIND_LAYERNORM, KIND_RMSNORM, KIND_POINT };
const char *const dt_norm_kinds[] = {
    "layernorm",
    "rmsnorm",
#define X(name, shift, flops) #name,
    DT_POINTWISE_KINDS(X)
#undef X
    NULL,
};

static const bool has_shift[DT_POINTWISE_COUNT] = {
#define X(name, shift, flops) [DT_POINTWISE_##name] = shift,
    DT_POINTWISE_KINDS(X)
#undef X
};

static void read_point(const dt_settings *settings, int kind, dt_norm_site *out)
{
    out->family = DT_NORM_POINT;
    out->point = (dt_pointwise)(kind - KIND_POINT);
    out->alpha0 = dt_setting_real_for(settings, "norm.alpha0", out->name);
    out->learn_alpha = dt_setting_bool_for(settings, "norm.learn_alpha", out->name);
    out->shift = has_shift[out->point];
}

static void read_row(const dt_settings *settings, int kind, dt_norm_site *out)
{
    out->family = DT_NORM_ROW;
    out->row.center = kind == KIND_LAYERNORM;
    out->row.epsilon = dt_setting_real(settings, "norm.epsilon");
}

void dt_norm_site_read(const dt_settings *settings, const char *site, dt_norm_site *out)
{
    int kind = dt_setting_choice_for(settings, "norm.kind", site);
    *out = (dt_norm_site){.name = site};
    if (kind >= KIND_POINT) read_point(settings, kind, out);
    else read_row(settings, kind, out);
    out->gain = dt_setting_bool_for(settings, "norm.gain", site);
    out->bias = kind != KIND_RMSNORM && dt_setting_bool_for(settings, "norm.bias", site); /* RMSNorm has none */
}

const char *dt_norm_kind_name(const dt_norm_site *site)
{
    if (site->family == DT_NORM_POINT) return dt_norm_kinds[KIND_POINT + (int)site->point];
    return dt_norm_kinds[site->row.center ? KIND_LAYERNORM : KIND_RMSNORM];
}

static const dt_norm_site *find_site(const dt_nn *nn, const char *name)
{
    for (int i = 0; i < nn->sites; i++)
        if (!strcmp(nn->site[i].name, name)) return &nn->site[i];
    assert(!"a model asks for a site that it did not declare");
    return NULL;
}

static dt_tensor *constant_param(dt_graph *graph, const char *name, int64_t count, dt_role role, double value)
{
    dt_init init = {DT_INIT_CONSTANT, value};
    return dt_param_tensor(graph, name, DT_SHAPE(count), (dt_param_options){.role = role, .init = init});
}

static dt_tensor *alpha_param(dt_graph *graph, const dt_norm_site *site)
{
    dt_init init = {DT_INIT_CONSTANT, site->alpha0};
    dt_param_options options = {.role = DT_ROLE_ALPHA, .init = init, .frozen = !site->learn_alpha};
    return dt_param_tensor(graph, "alpha", DT_SHAPE(1), options);
}

static dt_tensor *point_norm(dt_graph *graph, dt_tensor *x, dt_tensor *gain, dt_tensor *bias, const dt_norm_site *site)
{
    dt_tensor *alpha = alpha_param(graph, site);
    dt_tensor *shift = site->shift ? constant_param(graph, "shift", 1, DT_ROLE_ALPHA, 0) : NULL;
    return dt_point_norm(graph, x, gain, bias, alpha, shift, site->point);
}

dt_tensor *dt_norm(dt_nn_graph *ng, dt_tensor *x, const char *site_name, const char *name)
{
    const dt_norm_site *site = find_site(ng->nn, site_name);
    if (!x) return NULL;
    int64_t channels = dt_shape_last(&x->shape);
    dt_scope_begin(ng->graph, "%s", name);
    dt_tensor *gain = site->gain ? constant_param(ng->graph, "weight", channels, DT_ROLE_GAIN, 1) : NULL;
    dt_tensor *bias = site->bias ? constant_param(ng->graph, "bias", channels, DT_ROLE_GAIN, 0) : NULL;
    dt_tensor *y = site->family == DT_NORM_POINT ? point_norm(ng->graph, x, gain, bias, site)
                                                 : dt_row_norm(ng->graph, x, gain, bias, site->row);
    dt_scope_end(ng->graph);
    return y;
}
