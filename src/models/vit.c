/* The Vision Transformer (Dosovitskiy et al., "An Image is Worth 16x16 Words", 2021) as timm builds it and the DyT
 * paper trains it: pre-norm blocks, a class token that the mean pooling leaves out, the final norm on the pooled
 * vector. Parameters have timm's names and shapes. */
#include <math.h>
#include <stdlib.h>

#include "models/model.h"

typedef struct vit {
    dt_model base;
    int64_t patch, patches; /* side in pixels; how many tile the image */
    int64_t width, depth, heads, hidden, classes;
    double drop_path; /* of the last block */
    bool class_token, pool_class, qkv_bias;
    dt_activation activation;
} vit;

static const char *const sites[] = {"attention", "ffn", "final", NULL};

/* --- the network --- */

/* [B, c, H, W] to [B, T, C]: patches, the class token in front of them, positions. */
static dt_tensor *embed(dt_nn_graph *ng, const vit *m, dt_tensor *images)
{
    int64_t tokens = m->patches + m->class_token;
    dt_shape one = DT_SHAPE(1, 1, m->width), all = DT_SHAPE(1, tokens, m->width);
    dt_param_options token = {.role = DT_ROLE_POSITION, .init = {DT_INIT_NORMAL, 1e-6}, .published = &one};
    dt_param_options place = {.role = DT_ROLE_POSITION, .init = {DT_INIT_NORMAL, 0.02}, .published = &all};

    dt_tensor *cls = m->class_token ? dt_param_tensor(ng->graph, "cls_token", DT_SHAPE(m->width), token) : NULL;
    dt_tensor *position = dt_param_tensor(ng->graph, "pos_embed", DT_SHAPE(tokens, m->width), place);
    dt_tensor *x = dt_nn_patch_embed(ng, images, "patch_embed.proj", m->patch, m->width);
    return dt_nn_dropout(ng, dt_embed_tokens(ng->graph, x, cls, position));
}

static dt_tensor *block(dt_nn_graph *ng, const vit *m, dt_tensor *x, double drop_path)
{
    dt_nn_attention_options attention = {.heads = m->heads, .qkv_bias = m->qkv_bias};
    dt_tensor *branch = dt_norm(ng, x, "attention", "norm1");
    branch = dt_nn_attention(ng, branch, "attn", attention);
    x = dt_nn_residual(ng, x, branch, drop_path);

    branch = dt_norm(ng, x, "ffn", "norm2");
    branch = dt_nn_mlp(ng, branch, "mlp", m->hidden, m->activation);
    return dt_nn_residual(ng, x, branch, drop_path);
}

/* [B, T, C] to logits [B, V]: one vector per image, its norm, the head. */
static dt_tensor *classify(dt_nn_graph *ng, const vit *m, dt_tensor *x)
{
    if (m->pool_class) x = dt_token_mean(ng->graph, x, 0, 1);
    else x = dt_token_mean(ng->graph, x, m->class_token, m->patches);
    x = dt_norm(ng, x, "final", m->pool_class ? "norm" : "fc_norm");
    return dt_nn_linear(ng, x, "head", m->classes, true);
}

static dt_tensor *vit_build(const dt_model *model, dt_nn_graph *ng, const dt_model_feed *feed)
{
    const vit *m = (const vit *)model;
    dt_unit_begin(ng->graph, "%s", "");
    dt_tensor *x = embed(ng, m, feed->images);
    dt_unit_end(ng->graph);

    for (int64_t i = 0; i < m->depth; i++) {
        double drop_path = m->depth > 1 ? m->drop_path * (double)i / (double)(m->depth - 1) : 0;
        dt_unit_begin(ng->graph, "blocks.%lld", (long long)i);
        x = block(ng, m, x, drop_path);
        dt_unit_end(ng->graph);
    }

    dt_unit_begin(ng->graph, "%s", "");
    x = classify(ng, m, x);
    dt_unit_end(ng->graph);
    return x;
}

/* --- its dimensions --- */

/* A size of which nothing is left, as all it gives is set otherwise, counts as not read. */
static dt_status derive_size(dt_settings *settings)
{
    static const char *const paths[] = {"model.width", "model.depth", "model.heads"};
    static const int64_t sizes[][3] = {{384, 12, 6}, {768, 12, 12}, {1024, 24, 16}}; /* S, B, L */
    if (!dt_setting_has(settings, "model.size")) return DT_OK;
    const int64_t *size = sizes[dt_setting_choice(settings, "model.size")];
    bool used = false;
    for (int i = 0; i < 3; i++) {
        DT_TRY(dt_model_derive(settings, paths[i], size[i]));
        used |= dt_setting_int(settings, paths[i]) == size[i];
    }
    if (!used) dt_setting_unread(settings, "model.size");
    return DT_OK;
}

static dt_status read_dimension(const dt_settings *settings, const char *path, int64_t *out)
{
    if (!dt_setting_has(settings, path))
        return dt_setting_fail(settings, path, "has no value; give model.size=S, B or L, or all of model.width, "
                               "model.depth and model.heads");
    *out = dt_setting_int(settings, path);
    return DT_OK;
}

/* The largest number up to `limit` that divides both. */
static int64_t common_divisor(int64_t a, int64_t b, int64_t limit)
{
    while (a % limit || b % limit) limit--;
    return limit;
}

static dt_status read_width(const dt_settings *settings, vit *m)
{
    DT_TRY(read_dimension(settings, "model.width", &m->width));
    DT_TRY(read_dimension(settings, "model.depth", &m->depth));
    DT_TRY(read_dimension(settings, "model.heads", &m->heads));
    if (m->width % m->heads)
        return dt_setting_fail(settings, "model.heads", "%lld heads do not divide the width %lld evenly; %lld would",
                               (long long)m->heads, (long long)m->width,
                               (long long)common_divisor(m->width, m->width, m->heads));
    double hidden = dt_setting_real(settings, "model.mlp_ratio") * (double)m->width;
    m->hidden = llround(hidden);
    if (m->hidden < 1 || fabs(hidden - (double)m->hidden) > 1e-12 * hidden) /* 2.3 x 100 is a little less than 230 */
        return dt_setting_fail(settings, "model.mlp_ratio", "gives the MLP a width of %g, which is not a whole number",
                               hidden);
    return DT_OK;
}

static dt_status read_image(dt_settings *settings, const dt_model_input *input, vit *m)
{
    if (input->height == input->width) DT_TRY(dt_model_derive(settings, "model.image", input->height));
    int64_t side = dt_setting_has(settings, "model.image") ? dt_setting_int(settings, "model.image") : 0;
    if (side && (side != input->height || side != input->width))
        return dt_setting_fail(settings, "model.image", "is %lld, but the data set delivers images of %lld x %lld; "
                               "leave it out, or change the size that data.* delivers", (long long)side,
                               (long long)input->height, (long long)input->width);
    m->patch = dt_setting_int(settings, "model.patch");
    if (input->height % m->patch || input->width % m->patch) {
        int64_t smaller = input->height < input->width ? input->height : input->width;
        int64_t limit = m->patch < smaller ? m->patch : smaller;
        return dt_setting_fail(settings, "model.patch", "patches of %lld x %lld do not tile an image of %lld x %lld; "
                               "%lld would", (long long)m->patch, (long long)m->patch, (long long)input->height,
                               (long long)input->width,
                               (long long)common_divisor(input->height, input->width, limit));
    }
    m->patches = (input->height / m->patch) * (input->width / m->patch);
    return DT_OK;
}

static dt_status read_head(dt_settings *settings, const dt_model_input *input, vit *m)
{
    DT_TRY(dt_model_derive(settings, "model.classes", input->classes));
    m->classes = dt_setting_int(settings, "model.classes");
    m->class_token = dt_setting_bool(settings, "model.class_token");
    m->pool_class = dt_setting_choice(settings, "model.pool") == 1;
    if (m->classes != input->classes) /* labels index the outputs, and evaluation takes all of them */
        return dt_setting_fail(settings, "model.classes", "is %lld, but the data set has %lld classes; leave it out",
                               (long long)m->classes, (long long)input->classes);
    if (m->pool_class && !m->class_token)
        return dt_setting_fail(settings, "model.pool", "is class, but model.class_token is false; take mean");
    return DT_OK;
}

static dt_status read_all(dt_settings *settings, const dt_model_input *input, vit *m)
{
    m->base.head = "head.";
    DT_TRY(derive_size(settings));
    DT_TRY(read_width(settings, m));
    if (m->depth > 1) m->drop_path = dt_setting_real(settings, "model.drop_path"); /* it is 0 in the first block */
    DT_TRY(read_image(settings, input, m));
    DT_TRY(read_head(settings, input, m));
    m->qkv_bias = dt_setting_bool(settings, "model.qkv_bias");
    m->activation = dt_setting_choice(settings, "model.activation") ? DT_ACT_GELU_TANH : DT_ACT_GELU;
    return DT_OK;
}

static dt_status vit_create(dt_settings *settings, const dt_model_input *input, dt_model **out)
{
    vit *m = calloc(1, sizeof *m);
    if (!m) return dt_fail_memory(sizeof *m, "the model");
    dt_status status = read_all(settings, input, m);
    if (status) free(m);
    else *out = &m->base;
    return status;
}

static dt_model_dims vit_dims(const dt_model *model)
{
    const vit *m = (const vit *)model;
    return (dt_model_dims){.tokens = m->patches + m->class_token, .width = m->width, .heads = m->heads,
                           .hidden = m->hidden, .classes = m->classes};
}

static void vit_describe(const dt_model *model, dt_text *out)
{
    const vit *m = (const vit *)model;
    dt_text_add(out, "vit, width %lld, depth %lld, %lld head%s, patch %lld: %lld tokens%s", (long long)m->width,
                (long long)m->depth, (long long)m->heads, m->heads == 1 ? "" : "s", (long long)m->patch,
                (long long)m->patches, m->class_token ? " + class token" : "");
}

/* --- what goes with the swap of norms --- */

/* The point-wise site with the largest alpha0, or NULL. */
static const dt_norm_site *point_site(const dt_nn *nn)
{
    const dt_norm_site *found = NULL;
    for (int i = 0; i < nn->sites; i++) {
        const dt_norm_site *site = &nn->site[i];
        if (site->family == DT_NORM_POINT && (!found || site->alpha0 > found->alpha0)) found = site;
    }
    return found;
}

/* Width 384 is the smallest of the paper. Measured at 128 (docs/init.md): with N(0, 0.02) DyT loses 3 to 5 points.
 * Figure 10: ViT-L, of width 1024, diverges above 0.6 at the learning rate of 4e-3. */
static void vit_warn(const dt_model *model, bool drawn, dt_log *log)
{
    const vit *m = (const vit *)model;
    const dt_norm_site *site = point_site(&model->nn);
    if (!site) return;
    if (drawn && model->nn.paper_init && m->width < 384)
        dt_log_warn(log, "norm.kind is point-wise at site '%s', and with model.init=paper that is known to fail at "
                    "small widths (here %lld): model.init=fan_in goes with it", site->name, (long long)m->width);
    if (drawn && m->width >= 1024 && site->alpha0 > 0.6)
        dt_log_warn(log, "norm.alpha0 is %g at site '%s': at width %lld, values above 0.6 are known to diverge with "
                    "optim.lr=4e-3", site->alpha0, site->name, (long long)m->width);
}

const dt_model_entry dt_model_vit = {
    .name = "vit",
    .sites = sites,
    .create = vit_create,
    .build = vit_build,
    .warn = vit_warn,
    .dims = vit_dims,
    .describe = vit_describe,
};
