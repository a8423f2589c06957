/* The form in which Hugging Face's transformers keeps a model beside its weights: config.json, and Python where
 * transformers has no class of the kind. A model that has such a form says in a file of its own (llama_hf.c) how
 * config.json and our settings translate.
 * Sources: transformers' configuration_llama.py and modeling_rope_utils.py, of versions 4 and 5. */
#ifndef DT_MODELS_HF_H
#define DT_MODELS_HF_H

#include "base/json.h"
#include "models/model.h"

/* A kind of model as transformers has it, or one that only our own Python computes. Constant. */
typedef struct dt_hf_kind {
    const char *model_type, *architecture; /* of config.json */
    const char *module, *config_class;     /* of our own Python, <module>.py; NULL: transformers needs none */
    const char *text;                      /* of that file */
} dt_hf_kind;

/* config.json of a model that was made from these settings; `type` is that of its weights. DT_ERR_USAGE where the model
 * has no such form. */
DT_MUST_USE dt_status dt_hf_config(const dt_model *, const dt_settings *, dt_dtype type, dt_text *out,
                                   const dt_hf_kind **kind);
/* The settings that a config.json stands for, as YAML: model.*, norm.*, and of data.* the context, the vocabulary and a
 * made-up data set, which is to be replaced. What would give other logits here is refused: DT_ERR_DATA names `where`
 * (the file), the member and its value. Ranges are left to the settings' own checks. */
DT_MUST_USE dt_status dt_hf_settings(const json_t *config, const char *where, dt_text *out);
/* Ends of names in files of weights that are passed over where no parameter has the name: buffers that older versions
 * saved. NULL-terminated. */
extern const char *const dt_hf_unread[];
/* The head, and the embedding, which it is in tied models: some files have it twice. */
extern const char *const dt_hf_twins[2];

/* --- for models --- */

typedef struct dt_hf_form { /* dt_model_entry.hf */
    const dt_hf_kind *kinds;
    int count;
    const dt_hf_kind *(*kind_of)(const dt_model *, const dt_settings *);
    /* Adds the members of config.json that say what the model computes. */
    dt_status (*write)(const dt_model *, const dt_settings *, const dt_hf_kind *, json_t *config);
    /* Adds settings as dt_hf_put has them. */
    dt_status (*read)(const json_t *config, const dt_hf_kind *, const char *where, json_t *settings);
} dt_hf_form;

/* settings["section"]["name"] = value for the path "section.name"; takes over the value, NULL: out of memory. */
DT_MUST_USE dt_status dt_hf_put(json_t *settings, const char *path, json_t *value);
/* object[key] = value, likewise. */
DT_MUST_USE dt_status dt_hf_add(json_t *object, const char *key, json_t *value);
/* A member that is there and not null; otherwise NULL, as both mean the default. */
const json_t *dt_hf_given(const json_t *config, const char *key);

extern const dt_hf_form dt_hf_llama;
extern const char dt_hf_dyt_llama[]; /* hf/modeling_dyt_llama.py */

#endif
