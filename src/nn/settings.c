/* The settings that the shared blocks read, and what a model keeps of them. */
#include <assert.h>

#include "nn/norm.h"

static const char *const inits[] = {"paper", "fan_in", NULL};

static const dt_setting_row rows[] = {
    {"norm.kind", DT_SETTING_CHOICE, "layernorm", .choices = dt_norm_kinds, .named = true,
     .help = "the function at the normalization sites; per site: norm.kind.<site>"},
    {"norm.alpha0", DT_SETTING_REAL, "0.5", 0, 1000, .named = true,
     .help = "initial alpha of point-wise norms f(alpha x); per site: norm.alpha0.<site>"},
    {"norm.learn_alpha", DT_SETTING_BOOL, "true", .named = true,
     .help = "is alpha learned? false with alpha0 1: the function without alpha"},
    {"norm.gain", DT_SETTING_BOOL, "true", .named = true, .help = "do norms have a learned gain per channel (gamma)?"},
    {"norm.bias", DT_SETTING_BOOL, "true", .named = true,
     .help = "do norms have a learned bias per channel (beta)? RMSNorm never has one"},
    {"norm.epsilon", DT_SETTING_REAL, "1e-6", 1e-12, 1, .help = "added to the variance by layernorm and rmsnorm"},
    {"model.init", DT_SETTING_CHOICE, "paper", .choices = inits,
     .help = "weights: paper, N(0, 0.02); or fan_in, variance 2/(in + out), which small widths need"},
    {"model.dropout", DT_SETTING_REAL, "0", 0, 0.99, .help = "dropout behind embeddings and products"},
    {"model.drop_path", DT_SETTING_REAL, "0", 0, 0.99,
     .help = "probability of leaving out the last residual branch for a sample; grows linearly from 0 with depth"},
};
const dt_setting_table dt_nn_settings = {rows, sizeof rows / sizeof *rows};

static dt_status check_names(const dt_settings *settings, const char *const *sites, int count)
{
    for (size_t i = 0; i < dt_nn_settings.count; i++)
        if (rows[i].named) DT_TRY(dt_setting_check_names(settings, rows[i].path, sites, (size_t)count));
    return DT_OK;
}

dt_status dt_nn_create(const dt_settings *settings, const char *const *sites, int count, dt_nn *out)
{
    assert(count <= DT_MAX_SITES);
    DT_TRY(check_names(settings, sites, count));
    *out = (dt_nn){
        .sites = count,
        .paper_init = dt_setting_choice(settings, "model.init") == 0,
        .dropout = dt_setting_real(settings, "model.dropout"),
        .seed = (uint64_t)dt_setting_int(settings, "seed"),
    };
    for (int i = 0; i < count; i++) dt_norm_site_read(settings, sites[i], &out->site[i]);
    return DT_OK;
}
