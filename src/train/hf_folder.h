/* A model as a folder that Hugging Face's transformers opens: config.json, model.safetensors (or several and an index),
 * and Python where the model needs it. */
#ifndef DT_TRAIN_HF_FOLDER_H
#define DT_TRAIN_HF_FOLDER_H

#include "models/hf.h"

/* Writes `folder`, which must not exist: it is there whole, or not at all; FOLDER.tmp holds it until then, and is
 * DT_ERR_USAGE where it exists. The weights are those of the store's value buffer, split where a file would pass
 * `file_bytes` (0: never). */
DT_MUST_USE dt_status dt_hf_folder_write(const char *folder, const dt_model *, const dt_settings *, const dt_store *,
                                         int64_t file_bytes, const dt_hf_kind **kind);
/* The settings of its config.json, as YAML (dt_hf_settings). The weights are read by dt_weights_load. */
DT_MUST_USE dt_status dt_hf_folder_settings(const char *folder, dt_text *yaml);

#endif
