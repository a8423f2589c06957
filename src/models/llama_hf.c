/* LLaMA in the form of Hugging Face: transformers' own `llama` where RMSNorm stands at every site and the embedding has
 * no factor, otherwise `dyt_llama`, whose Python goes with it (hf/modeling_dyt_llama.py). The names of the weights are
 * the same here and there. What matters for training alone (dropout, initializer_range) is neither written nor read. */
#include <string.h>

#include "models/hf.h"

enum { PLAIN, OWN };
static const dt_hf_kind kinds[] = {
    [PLAIN] = {"llama", "LlamaForCausalLM", NULL, NULL, NULL},
    [OWN] = {"dyt_llama", "DytLlamaForCausalLM", "modeling_dyt_llama", "DytLlamaConfig", dt_hf_dyt_llama},
};

/* Numbers that are only called differently. */
static const struct {
    const char *key, *setting;
    bool needed;
} numbers[] = {
    {"vocab_size", "model.vocabulary", true},
    {"hidden_size", "model.width", true},
    {"intermediate_size", "model.ffn", true},
    {"num_hidden_layers", "model.depth", true},
    {"num_attention_heads", "model.heads", true},
    {"num_key_value_heads", "model.kv_heads", false},
    {"max_position_embeddings", "data.context", false},
};
enum { NUMBERS = sizeof numbers / sizeof *numbers };

/* Members with one supported value, as JSON. */
static const struct {
    const char *key, *value;
} fixed[] = {
    {"hidden_act", "\"silu\""},
    {"attention_bias", "false"},
    {"mlp_bias", "false"},
    {"quantization_config", "null"},
    {"compression_config", "null"},
};
enum { FIXED = sizeof fixed / sizeof *fixed };

/* Llama 3's scaling of the rotations. */
static const struct {
    const char *key, *setting;
} scaling[] = {
    {"factor", "model.rope_factor"},
    {"low_freq_factor", "model.rope_low"},
    {"high_freq_factor", "model.rope_high"},
};
enum { SCALING = sizeof scaling / sizeof *scaling };

/* --- writing --- */

static const dt_hf_kind *kind_of(const dt_model *model, const dt_settings *settings)
{
    bool plain = !dt_setting_bool(settings, "model.embedding_scale");
    for (int i = 0; i < model->nn.sites; i++) {
        const dt_norm_site *site = &model->nn.site[i];
        plain = plain && site->family == DT_NORM_ROW && !site->row.center && site->gain && !site->bias;
    }
    return &kinds[plain ? PLAIN : OWN];
}

static json_t *norm_json(const dt_norm_site *site)
{
    const char *kind = dt_norm_kind_name(site);
    if (site->family == DT_NORM_ROW)
        return json_pack("{s:s, s:b, s:b}", "kind", kind, "gain", site->gain, "bias", site->bias);
    return json_pack("{s:s, s:f, s:b, s:b, s:b}", "kind", kind, "alpha0", site->alpha0, "learn_alpha",
                     site->learn_alpha, "gain", site->gain, "bias", site->bias);
}

static dt_status write_norms(const dt_model *model, bool embedding_scale, json_t *config)
{
    json_t *norms = json_object();
    dt_status status = norms ? DT_OK : dt_fail_memory(sizeof norms, "config.json");
    for (int i = 0; i < model->nn.sites && !status; i++)
        status = dt_hf_add(norms, model->nn.site[i].name, norm_json(&model->nn.site[i]));
    if (!status) status = dt_hf_add(config, "norms", json_incref(norms));
    json_decref(norms);
    return status ? status : dt_hf_add(config, "embedding_scale", json_boolean(embedding_scale));
}

static json_t *scaling_json(const dt_settings *settings)
{
    json_t *rope = json_pack("{s:s, s:I}", "rope_type", "llama3", "original_max_position_embeddings",
                             (json_int_t)dt_setting_int(settings, "model.rope_context"));
    for (int i = 0; i < SCALING; i++)
        if (json_object_set_new(rope, scaling[i].key, json_real(dt_setting_real(settings, scaling[i].setting))))
            goto failed;
    return rope;
failed:
    json_decref(rope);
    return NULL;
}

static dt_status write(const dt_model *model, const dt_settings *settings, const dt_hf_kind *kind, json_t *config)
{
    for (int i = 0; i < NUMBERS; i++)
        DT_TRY(dt_hf_add(config, numbers[i].key, json_integer(dt_setting_int(settings, numbers[i].setting))));
    for (int i = 0; i < FIXED; i++)
        if (strcmp(fixed[i].value, "null") != 0)
            DT_TRY(dt_hf_add(config, fixed[i].key, json_loads(fixed[i].value, JSON_DECODE_ANY, NULL)));
    int64_t head = dt_setting_int(settings, "model.width") / dt_setting_int(settings, "model.heads");
    DT_TRY(dt_hf_add(config, "head_dim", json_integer(head)));
    DT_TRY(dt_hf_add(config, "rms_norm_eps", json_real(dt_setting_real(settings, "norm.epsilon"))));
    DT_TRY(dt_hf_add(config, "rope_theta", json_real(dt_setting_real(settings, "model.rope_theta"))));
    bool scaled = dt_setting_real(settings, "model.rope_factor") > 0;
    DT_TRY(dt_hf_add(config, "rope_scaling", scaled ? scaling_json(settings) : json_null()));
    DT_TRY(dt_hf_add(config, "tie_word_embeddings", json_boolean(dt_setting_bool(settings, "model.tied"))));
    if (kind == &kinds[PLAIN]) return DT_OK;
    return write_norms(model, dt_setting_bool(settings, "model.embedding_scale"), config);
}

/* --- reading --- */

static dt_status read_numbers(const json_t *config, const char *where, json_t *settings)
{
    for (int i = 0; i < NUMBERS; i++) {
        int64_t value;
        if (!numbers[i].needed && !dt_hf_given(config, numbers[i].key)) continue;
        DT_TRY(dt_json_int(config, numbers[i].key, where, &value));
        DT_TRY(dt_hf_put(settings, numbers[i].setting, json_integer(value)));
    }
    return DT_OK;
}

static dt_status check_fixed(const json_t *config, const char *where)
{
    for (int i = 0; i < FIXED; i++) {
        dt_text is = {0};
        const json_t *member = dt_hf_given(config, fixed[i].key);
        if (!member) continue;
        dt_status status = dt_json_print(member, JSON_COMPACT | JSON_ENCODE_ANY, &is);
        if (!status && strcmp(is.data, fixed[i].value) != 0)
            status = dt_fail(DT_ERR_DATA, "%s: %s %.60s is not supported, only %s", where, fixed[i].key, is.data,
                             fixed[i].value);
        dt_text_free(&is);
        DT_TRY(status);
    }
    return DT_OK;
}

static dt_status check_head(const json_t *config, const char *where)
{
    int64_t width, heads, size;
    if (!dt_hf_given(config, "head_dim")) return DT_OK;
    DT_TRY(dt_json_int(config, "head_dim", where, &size));
    DT_TRY(dt_json_int(config, "hidden_size", where, &width));
    DT_TRY(dt_json_int(config, "num_attention_heads", where, &heads));
    if (heads > 0 && size == width / heads) return DT_OK;
    return dt_fail(DT_ERR_DATA, "%s: head_dim %lld is not supported, only hidden_size / num_attention_heads", where,
                   (long long)size);
}

/* The first of the objects that has the member; NULL: none. */
static const json_t *which_has(const json_t *const objects[3], const char *key)
{
    for (int i = 0; i < 3; i++)
        if (objects[i] && dt_hf_given(objects[i], key)) return objects[i];
    return NULL;
}

static dt_status read_llama3(const json_t *rope, const char *where, json_t *settings)
{
    double value;
    int64_t context;
    DT_TRY(dt_json_real(rope, "factor", where, &value));
    if (!(value > 0)) return dt_fail(DT_ERR_DATA, "%s: factor %g is not supported, only above 0", where, value);
    for (int i = 0; i < SCALING; i++) {
        DT_TRY(dt_json_real(rope, scaling[i].key, where, &value));
        DT_TRY(dt_hf_put(settings, scaling[i].setting, json_real(value)));
    }
    DT_TRY(dt_json_int(rope, "original_max_position_embeddings", where, &context));
    return dt_hf_put(settings, "model.rope_context", json_integer(context));
}

/* Without a type there is nothing to scale by. */
static dt_status check_untyped(const json_t *rope, const char *where)
{
    size_t known = (size_t)(json_object_get(rope, "rope_theta") != NULL) +
                   (size_t)(json_object_get(rope, "partial_rotary_factor") != NULL);
    if (json_object_size(rope) == known) return DT_OK;
    return dt_fail(DT_ERR_DATA, "%s: its rotation has more than a rope_theta but no rope_type, which is not supported",
                   where);
}

/* The type of rotation that an object asks for, and what goes with it. */
static dt_status read_scaling(const json_t *rope, const char *where, json_t *settings)
{
    const char *type = "default";
    if (!dt_hf_given(rope, "rope_type") && !dt_hf_given(rope, "type")) return check_untyped(rope, where);
    if (dt_hf_given(rope, "rope_type")) DT_TRY(dt_json_text(rope, "rope_type", where, &type));
    else if (dt_hf_given(rope, "type")) DT_TRY(dt_json_text(rope, "type", where, &type));
    if (!strcmp(type, "default")) return DT_OK;
    if (!strcmp(type, "llama3")) return read_llama3(rope, where, settings);
    return dt_fail(DT_ERR_DATA, "%s: rope type '%.60s' is not supported, only default and llama3", where, type);
}

/* The same of the first of these objects that is there; where both are, they must ask for the same. */
static dt_status read_scalings(const json_t *const ropes[2], const char *where, json_t *settings)
{
    json_t *asked[2] = {json_object(), json_object()};
    const json_t *first = ropes[0] ? ropes[0] : ropes[1];
    dt_status status = asked[0] && asked[1] ? DT_OK : dt_fail_memory(sizeof asked, where);
    for (int i = 0; i < 2 && !status; i++)
        if (ropes[i]) status = read_scaling(ropes[i], where, asked[i]);
    if (!status && ropes[0] && ropes[1] && !json_equal(asked[0], asked[1]))
        status = dt_fail(DT_ERR_DATA, "%s: rope_parameters and rope_scaling ask for different rotations: remove the "
                         "one that the model was not trained with", where);
    if (!status && first) status = read_scaling(first, where, settings);
    json_decref(asked[0]);
    json_decref(asked[1]);
    return status;
}

/* One beside the rotation is the one that transformers takes. */
static dt_status check_context(const json_t *config, const json_t *const ropes[2], const char *where)
{
    static const char key[] = "original_max_position_embeddings";
    int64_t beside, inside;
    if (!dt_hf_given(config, key)) return DT_OK;
    DT_TRY(dt_json_int(config, key, where, &beside));
    for (int i = 0; i < 2; i++) {
        if (!ropes[i] || !dt_hf_given(ropes[i], key)) continue;
        DT_TRY(dt_json_int(ropes[i], key, where, &inside));
        if (inside != beside)
            return dt_fail(DT_ERR_DATA, "%s: %s is %lld in the rotation and %lld beside it: remove the one that the "
                           "model was not trained with", where, key, (long long)inside, (long long)beside);
    }
    return DT_OK;
}

/* Version 5 of transformers has all of it in `rope_parameters`; version 4 has `rope_theta`, and in `rope_scaling` the
 * rest, of which older ones call the type `type`. */
static dt_status read_rope(const json_t *config, const char *where, json_t *settings)
{
    const json_t *const ropes[2] = {dt_hf_given(config, "rope_parameters"), dt_hf_given(config, "rope_scaling")};
    const json_t *const places[3] = {ropes[0], ropes[1], config};
    double theta = 10000, share = 1;
    for (int i = 0; i < 2; i++)
        if (ropes[i] && !json_is_object(ropes[i]))
            return dt_fail(DT_ERR_DATA, "%s: its rope scaling is not an object", where);
    if (which_has(places, "rope_theta"))
        DT_TRY(dt_json_real(which_has(places, "rope_theta"), "rope_theta", where, &theta));
    if (which_has(places, "partial_rotary_factor"))
        DT_TRY(dt_json_real(which_has(places, "partial_rotary_factor"), "partial_rotary_factor", where, &share));
    if (share != 1) return dt_fail(DT_ERR_DATA, "%s: partial_rotary_factor %g is not supported, only 1", where, share);
    DT_TRY(check_context(config, ropes, where));
    DT_TRY(dt_hf_put(settings, "model.rope_theta", json_real(theta)));
    return read_scalings(ropes, where, settings);
}

/* {"kind": "dyt", "alpha0": 0.5, ...} of a site. */
static dt_status read_site(const json_t *norms, const char *site, const char *where, json_t *by_member)
{
    json_t *norm, *value;
    const char *member;
    DT_TRY(dt_json_member(norms, site, JSON_OBJECT, where, &norm));
    DT_TRY(dt_json_text(norm, "kind", where, &member));
    json_object_foreach(norm, member, value) {
        json_t *of_sites = json_object_get(by_member, member);
        if (!of_sites)
            return dt_fail(DT_ERR_DATA, "%s: norms: '%.60s' of site '%s' is not known", where, member, site);
        if (json_object_set(of_sites, site, value)) return dt_fail_memory(strlen(site), where);
    }
    return DT_OK;
}

/* By site there, by setting here: norm.kind: {attention: dyt, ffn: dyt, final: dyt}, and so on. */
static dt_status read_norms(const json_t *config, const char *where, json_t *settings)
{
    json_t *norms, *of_sites;
    const char *member;
    DT_TRY(dt_json_member(config, "norms", JSON_OBJECT, where, &norms));
    json_t *by_member = json_pack("{s:{}, s:{}, s:{}, s:{}, s:{}}", "kind", "alpha0", "learn_alpha", "gain", "bias");
    dt_status status = by_member ? DT_OK : dt_fail_memory(sizeof by_member, where);
    for (const char *const *site = dt_model_llama.sites; *site && !status; site++)
        status = read_site(norms, *site, where, by_member);
    json_object_foreach(by_member, member, of_sites) {
        char path[32];
        snprintf(path, sizeof path, "norm.%s", member);
        if (!status && json_object_size(of_sites)) status = dt_hf_put(settings, path, json_incref(of_sites));
    }
    json_decref(by_member);
    return status;
}

static dt_status read_truth(const json_t *config, const char *key, const char *where, const char *path,
                            json_t *settings)
{
    json_t *value;
    if (!dt_hf_given(config, key)) return DT_OK;
    DT_TRY(dt_json_member(config, key, JSON_TRUE, where, &value));
    return dt_hf_put(settings, path, json_incref(value));
}

static dt_status read(const json_t *config, const dt_hf_kind *kind, const char *where, json_t *settings)
{
    double epsilon = 1e-6;
    DT_TRY(check_fixed(config, where));
    DT_TRY(check_head(config, where));
    DT_TRY(dt_hf_put(settings, "model.arch", json_string("llama")));
    DT_TRY(read_numbers(config, where, settings));
    DT_TRY(read_rope(config, where, settings));
    DT_TRY(read_truth(config, "tie_word_embeddings", where, "model.tied", settings));
    if (dt_hf_given(config, "rms_norm_eps")) DT_TRY(dt_json_real(config, "rms_norm_eps", where, &epsilon));
    DT_TRY(dt_hf_put(settings, "norm.epsilon", json_real(epsilon)));
    DT_TRY(dt_hf_put(settings, "data.kind", json_string("synthetic_text")));
    DT_TRY(dt_hf_put(settings, "data.vocabulary", json_incref(json_object_get(config, "vocab_size"))));
    if (kind == &kinds[PLAIN]) return dt_hf_put(settings, "norm.kind", json_string("rmsnorm"));
    DT_TRY(read_norms(config, where, settings));
    return read_truth(config, "embedding_scale", where, "model.embedding_scale", settings);
}

const dt_hf_form dt_hf_llama = {.kinds = kinds, .count = 2, .kind_of = kind_of, .write = write, .read = read};
