/* What the Hugging Face forms of all models share: which model it is, and the frame of config.json. */
#include "models/hf.h"

#include <string.h>

#define X(name) &dt_model_##name,
static const dt_model_entry *const models[] = {DT_MODELS(X)};
#undef X
enum { MODELS = sizeof models / sizeof *models };

const char *const dt_hf_unread[] = {"rotary_emb.inv_freq", NULL};
const char *const dt_hf_twins[2] = {"lm_head.weight", "model.embed_tokens.weight"};

/* --- JSON --- */

dt_status dt_hf_add(json_t *object, const char *key, json_t *value)
{
    return json_object_set_new(object, key, value) ? dt_fail_memory(strlen(key), "config.json") : DT_OK;
}

dt_status dt_hf_put(json_t *settings, const char *path, json_t *value)
{
    char section[32];
    const char *dot = strchr(path, '.');
    snprintf(section, sizeof section, "%.*s", (int)(dot - path), path);
    json_t *members = json_object_get(settings, section);
    if (!members && !dt_hf_add(settings, section, json_object())) members = json_object_get(settings, section);
    if (members) return dt_hf_add(members, dot + 1, value);
    json_decref(value);
    return DT_ERR_MEMORY;
}

const json_t *dt_hf_given(const json_t *config, const char *key)
{
    const json_t *member = json_object_get(config, key);
    return json_is_null(member) ? NULL : member;
}

/* --- writing --- */

/* What transformers has other defaults for, or asks for. */
static dt_status add_frame(const dt_hf_kind *kind, dt_dtype type, json_t *config)
{
    DT_TRY(dt_hf_add(config, "architectures", json_pack("[s]", kind->architecture)));
    DT_TRY(dt_hf_add(config, "model_type", json_string(kind->model_type)));
    if (kind->module)
        DT_TRY(dt_hf_add(config, "auto_map",
                         json_pack("{s:o, s:o}", "AutoConfig", json_sprintf("%s.%s", kind->module, kind->config_class),
                                   "AutoModelForCausalLM",
                                   json_sprintf("%s.%s", kind->module, kind->architecture))));
    DT_TRY(dt_hf_add(config, "torch_dtype", json_string(type == DT_F64 ? "float64" : "float32")));
    DT_TRY(dt_hf_add(config, "bos_token_id", json_null()));
    return dt_hf_add(config, "eos_token_id", json_null());
}

dt_status dt_hf_config(const dt_model *model, const dt_settings *settings, dt_dtype type, dt_text *out,
                       const dt_hf_kind **kind)
{
    const dt_hf_form *form = model->entry->hf;
    if (!form)
        return dt_fail(DT_ERR_USAGE, "a model of model.arch=%s has no Hugging Face form: export it as one safetensors "
                       "file, without --format", model->entry->name);
    *kind = form->kind_of(model, settings);
    json_t *config = json_object();
    dt_status status = config ? add_frame(*kind, type, config) : dt_fail_memory(sizeof config, "config.json");
    if (!status) status = form->write(model, settings, *kind, config);
    if (!status) status = dt_json_print(config, JSON_INDENT(2) | JSON_REAL_PRECISION(15), out);
    if (!status) dt_text_add(out, "\n");
    json_decref(config);
    return status ? status : dt_text_status(out);
}

/* --- reading --- */

static dt_status fail_type(const char *type, const char *where)
{
    dt_text known = {0};
    for (int m = 0; m < MODELS; m++)
        for (int k = 0; models[m]->hf && k < models[m]->hf->count; k++)
            dt_text_add(&known, "%s%s", known.length ? ", " : "", models[m]->hf->kinds[k].model_type);
    dt_status status = dt_text_status(&known);
    if (!status)
        status = dt_fail(DT_ERR_DATA, "%s: model_type '%.60s' is not supported, only %s", where, type, known.data);
    dt_text_free(&known);
    return status;
}

static dt_status find_kind(const json_t *config, const char *where, const dt_hf_form **form, const dt_hf_kind **kind)
{
    const char *type;
    DT_TRY(dt_json_text(config, "model_type", where, &type));
    for (int m = 0; m < MODELS; m++) {
        *form = models[m]->hf;
        for (int k = 0; *form && k < (*form)->count; k++) {
            *kind = &(*form)->kinds[k];
            if (!strcmp((*kind)->model_type, type)) return DT_OK;
        }
    }
    return fail_type(type, where);
}

/* A classifier, say, has the same model_type but other weights. */
static dt_status check_architecture(const json_t *config, const dt_hf_kind *kind, const char *where)
{
    if (!dt_hf_given(config, "architectures")) return DT_OK;
    json_t *list;
    DT_TRY(dt_json_member(config, "architectures", JSON_ARRAY, where, &list));
    const char *name = json_string_value(json_array_get(list, 0));
    if (json_array_size(list) == 1 && name && !strcmp(name, kind->architecture)) return DT_OK;
    return dt_fail(DT_ERR_DATA, "%s: architectures '%.60s' is not supported, only %s", where, name ? name : "[]",
                   kind->architecture);
}

dt_status dt_hf_settings(const json_t *config, const char *where, dt_text *out)
{
    const dt_hf_form *form = NULL;
    const dt_hf_kind *kind = NULL;
    DT_TRY(find_kind(config, where, &form, &kind));
    DT_TRY(check_architecture(config, kind, where));
    json_t *settings = json_object();
    dt_status status = settings ? form->read(config, kind, where, settings) : dt_fail_memory(sizeof settings, where);
    if (!status) status = dt_json_print(settings, JSON_COMPACT, out); /* JSON of this kind is YAML too */
    json_decref(settings);
    return status;
}
