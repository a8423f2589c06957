/* LLaMA (Touvron et al., 2023; Grattafiori et al., "The Llama 3 Herd of Models", 2024) as transformers publishes it and
 * the DyT paper trains it: pre-norm blocks of rotary attention and SwiGLU, no biases, heads of keys and values that may
 * be shared. Parameters have transformers' names and shapes; the queries', keys' and values' weights lie together and
 * are read as one, and so are gate and up. */
#include <math.h>
#include <stdlib.h>

#include "models/hf.h"
#include "nn/init.h"

typedef struct llama {
    dt_model base;
    int64_t width, depth, heads, kv_heads, hidden, vocabulary, context;
    dt_rope_attr rope;
    bool tied, embedding_scale;
} llama;

enum { ATTENTION, FFN, FINAL };
static const char *const sites[] = {[ATTENTION] = "attention", [FFN] = "ffn", [FINAL] = "final", NULL};

/* --- the network --- */

/* Rows of the embedding and the head with their padding, which is zero: its logits do not count. */
static int64_t padded_vocabulary(const llama *m) { return (m->vocabulary + 63) / 64 * 64; }

static dt_tensor *vocabulary_matrix(dt_nn_graph *ng, const llama *m, const char *name, dt_role role, dt_init init)
{
    dt_shape published = DT_SHAPE(m->vocabulary, m->width);
    dt_param_options options = {.role = role, .init = init, .published = &published};
    return dt_param_tensor(ng->graph, name, DT_SHAPE(padded_vocabulary(m), m->width), options);
}

/* [B, T] to [B, T, C]; the paper multiplies by a learned number that starts at sqrt(C), for DyT alone. */
static dt_tensor *embed(dt_nn_graph *ng, const llama *m, const dt_model_feed *feed, dt_tensor **table)
{
    dt_init init = dt_init_embedding(ng->nn, m->width), root = {DT_INIT_CONSTANT, sqrt((double)m->width)};
    *table = vocabulary_matrix(ng, m, "embed_tokens.weight", DT_ROLE_EMBEDDING, init);
    dt_tensor *x = dt_embedding(ng->graph, *table, feed->tokens, feed->order);
    if (!m->embedding_scale) return x;
    dt_param_options options = {.role = DT_ROLE_GAIN, .init = root};
    return dt_scale_by(ng->graph, x, dt_param_tensor(ng->graph, "embed_scale", DT_SHAPE(1), options));
}

static dt_tensor *attention(dt_nn_graph *ng, const llama *m, dt_tensor *x)
{
    int64_t size = m->width / m->heads;
    const dt_nn_part qkv[] = {{"q_proj", m->heads * size}, {"k_proj", m->kv_heads * size},
                              {"v_proj", m->kv_heads * size}};
    dt_attention_attr attr = {.heads = m->heads, .kv_heads = m->kv_heads, .causal = true};
    dt_scope_begin(ng->graph, "self_attn");
    x = dt_nn_linears(ng, x, qkv, 3);
    /* Places count from the beginning of the sample also where documents are masked: a score depends only on how far
     * apart two tokens are. */
    x = dt_rope(ng->graph, x, ng->position, m->rope);
    x = dt_nn_attend(ng, x, attr);
    x = dt_nn_linear(ng, x, "o_proj", m->width, false);
    dt_scope_end(ng->graph);
    return x;
}

static dt_tensor *feed_forward(dt_nn_graph *ng, const llama *m, dt_tensor *x)
{
    const dt_nn_part gate_up[] = {{"gate_proj", m->hidden}, {"up_proj", m->hidden}};
    dt_scope_begin(ng->graph, "mlp");
    x = dt_nn_linears(ng, x, gate_up, 2);
    x = dt_swiglu(ng->graph, x);
    x = dt_nn_linear(ng, x, "down_proj", m->width, false);
    dt_scope_end(ng->graph);
    return x;
}

static dt_tensor *block(dt_nn_graph *ng, const llama *m, dt_tensor *x)
{
    dt_tensor *branch = dt_norm(ng, x, sites[ATTENTION], "input_layernorm");
    x = dt_nn_residual(ng, x, dt_nn_dropout(ng, attention(ng, m, branch)), 0);
    branch = dt_norm(ng, x, sites[FFN], "post_attention_layernorm");
    return dt_nn_residual(ng, x, dt_nn_dropout(ng, feed_forward(ng, m, branch)), 0);
}

/* [B, T, C] to [B, 1, C]. */
static dt_tensor *take_wanted(dt_nn_graph *ng, dt_tensor *x, dt_tensor *wanted)
{
    if (!x || !wanted) return x;
    dt_shape rows = DT_SHAPE(dt_shape_rows(&x->shape), dt_shape_last(&x->shape));
    return dt_embedding(ng->graph, dt_reshape(ng->graph, x, rows), wanted, NULL);
}

/* Logits of the next tokens. */
static dt_tensor *head(dt_nn_graph *ng, const llama *m, dt_tensor *x, dt_tensor *table)
{
    dt_init init = dt_init_matrix(ng->nn, m->width, m->vocabulary);
    if (!m->tied) table = vocabulary_matrix(ng, m, "lm_head.weight", DT_ROLE_MATRIX, init);
    return dt_linear(ng->graph, x, table, NULL);
}

static dt_tensor *llama_build(const dt_model *model, dt_nn_graph *ng, const dt_model_feed *feed)
{
    const llama *m = (const llama *)model;
    dt_tensor *table;
    dt_unit_begin(ng->graph, "%s", "");
    dt_scope_begin(ng->graph, "model");
    dt_tensor *x = embed(ng, m, feed, &table);
    dt_scope_end(ng->graph);
    dt_unit_end(ng->graph);

    for (int64_t i = 0; i < m->depth; i++) {
        dt_unit_begin(ng->graph, "model.layers.%lld", (long long)i);
        x = block(ng, m, x);
        dt_unit_end(ng->graph);
    }

    dt_unit_begin(ng->graph, "%s", "");
    dt_scope_begin(ng->graph, "model");
    x = dt_norm(ng, x, sites[FINAL], "norm");
    dt_scope_end(ng->graph);
    x = head(ng, m, take_wanted(ng, x, feed->wanted), table);
    dt_unit_end(ng->graph);
    return x;
}

/* --- its dimensions --- */

static dt_status read_dimension(const dt_settings *settings, const char *path, int64_t *out)
{
    if (!dt_setting_has(settings, path))
        return dt_setting_fail(settings, path, "has no value; llama needs model.width, model.depth and model.heads");
    *out = dt_setting_int(settings, path);
    return DT_OK;
}

static dt_status read_heads(dt_settings *settings, llama *m)
{
    DT_TRY(read_dimension(settings, "model.heads", &m->heads));
    DT_TRY(dt_model_derive(settings, "model.kv_heads", m->heads));
    m->kv_heads = dt_setting_int(settings, "model.kv_heads");
    if (m->width % (2 * m->heads) || m->width / m->heads > DT_ROPE_MOST)
        return dt_setting_fail(settings, "model.heads", "%lld heads do not cut the width %lld into heads of an even "
                               "size up to %d", (long long)m->heads, (long long)m->width, (int)DT_ROPE_MOST);
    if (m->heads % m->kv_heads)
        return dt_setting_fail(settings, "model.kv_heads", "%lld heads of keys and values cannot be shared evenly by "
                               "%lld heads", (long long)m->kv_heads, (long long)m->heads);
    return DT_OK;
}

static dt_status read_rope(const dt_settings *settings, llama *m)
{
    m->rope = (dt_rope_attr){.heads = m->heads + m->kv_heads, .size = m->width / m->heads,
                             .theta = dt_setting_real(settings, "model.rope_theta"),
                             .factor = dt_setting_real(settings, "model.rope_factor")};
    if (m->rope.factor == 0) return DT_OK;
    m->rope.low = dt_setting_real(settings, "model.rope_low");
    m->rope.high = dt_setting_real(settings, "model.rope_high");
    m->rope.original_context = dt_setting_int(settings, "model.rope_context");
    if (m->rope.high <= m->rope.low)
        return dt_setting_fail(settings, "model.rope_high", "%g is not above model.rope_low, which is %g",
                               m->rope.high, m->rope.low);
    return DT_OK;
}

static dt_status read_text(dt_settings *settings, const dt_model_input *input, llama *m)
{
    if (input->vocabulary) DT_TRY(dt_model_derive(settings, "model.vocabulary", input->vocabulary));
    if (!dt_setting_has(settings, "model.vocabulary"))
        return dt_setting_fail(settings, "model.vocabulary", "has no value, and the data set does not tell it before "
                               "it is opened: set it to the tokenizer's number of tokens, or more");
    m->vocabulary = dt_setting_int(settings, "model.vocabulary");
    if (m->vocabulary < input->vocabulary)
        return dt_setting_fail(settings, "model.vocabulary", "is %lld, but the data set has tokens up to %lld",
                               (long long)m->vocabulary, (long long)input->vocabulary - 1);
    DT_TRY(dt_model_derive(settings, "model.context", input->context));
    m->context = dt_setting_int(settings, "model.context");
    if (m->context != input->context)
        return dt_setting_fail(settings, "model.context", "is %lld, but samples have %lld tokens: give data.context "
                               "the same value, or leave this out where it can be", (long long)m->context,
                               (long long)input->context);
    return DT_OK;
}

static dt_status read_all(dt_settings *settings, const dt_model_input *input, llama *m)
{
    DT_TRY(read_dimension(settings, "model.width", &m->width));
    DT_TRY(read_dimension(settings, "model.depth", &m->depth));
    DT_TRY(read_heads(settings, m));
    DT_TRY(read_rope(settings, m));
    DT_TRY(dt_model_derive(settings, "model.ffn", (m->width * 8 / 3 + 63) / 64 * 64));
    m->hidden = dt_setting_int(settings, "model.ffn");
    m->tied = dt_setting_bool(settings, "model.tied");
    m->base.head = m->tied ? NULL : "lm_head.";
    m->embedding_scale = dt_setting_bool(settings, "model.embedding_scale");
    m->base.masks_documents = dt_setting_bool(settings, "model.mask_documents");
    return read_text(settings, input, m);
}

static dt_status llama_create(dt_settings *settings, const dt_model_input *input, dt_model **out)
{
    llama *m = calloc(1, sizeof *m);
    if (!m) return dt_fail_memory(sizeof *m, "the model");
    dt_status status = read_all(settings, input, m);
    if (status) free(m);
    else *out = &m->base;
    return status;
}

static dt_model_dims llama_dims(const dt_model *model)
{
    const llama *m = (const llama *)model;
    return (dt_model_dims){.tokens = m->context, .width = m->width, .heads = m->heads, .hidden = m->hidden,
                           .classes = m->vocabulary};
}

static void llama_describe(const dt_model *model, dt_text *out)
{
    const llama *m = (const llama *)model;
    dt_text_add(out, "llama, width %lld, depth %lld, %lld head%s", (long long)m->width, (long long)m->depth,
                (long long)m->heads, m->heads == 1 ? "" : "s");
    if (m->kv_heads != m->heads) dt_text_add(out, " on %lld of keys and values", (long long)m->kv_heads);
    dt_text_add(out, ", MLP %lld, context %lld, vocabulary %lld%s", (long long)m->hidden, (long long)m->context,
                (long long)m->vocabulary, m->tied ? " (tied)" : "");
    if (m->base.masks_documents) dt_text_add(out, ", documents masked");
}

/* --- what goes with the swap of norms --- */

/* DyT of embeddings of deviation 0.02 is nearly linear in a tiny number: without the factor training stalls. The
 * paper's RMSNorm runs have none. */
static void llama_warn(const dt_model *model, bool drawn, dt_log *log)
{
    const llama *m = (const llama *)model;
    const dt_norm_site *site = &model->nn.site[ATTENTION];
    bool point = site->family == DT_NORM_POINT;
    if (point && !m->embedding_scale)
        dt_log_warn(log, "norm.kind is point-wise at site '%s', and embeddings are not scaled: training is known to "
                    "stall; model.embedding_scale=true goes with it", site->name);
    if (!point && m->embedding_scale)
        dt_log_warn(log, "model.embedding_scale goes with point-wise norms; the published runs of row norms have none");
    if (point && site->bias)
        dt_log_warn(log, "norm.bias is true at site '%s': LLaMA's norms have none; norm.bias=false", site->name);
    if (point && drawn && model->nn.paper_init && m->width < 384)
        dt_log_warn(log, "norm.kind is point-wise at site '%s', and with model.init=paper that is known to fail at "
                    "small widths (here %lld): model.init=fan_in goes with it", site->name, (long long)m->width);
}

const dt_model_entry dt_model_llama = {
    .name = "llama",
    .sites = sites,
    .reads_tokens = true,
    .create = llama_create,
    .build = llama_build,
    .warn = llama_warn,
    .dims = llama_dims,
    .describe = llama_describe,
    .hf = &dt_hf_llama,
};
