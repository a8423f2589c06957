/* The models: one file and one line of the table (DT_MODELS) each. A model turns settings into a graph. */
#ifndef DT_MODELS_MODEL_H
#define DT_MODELS_MODEL_H

#include "base/log.h"
#include "nn/nn.h"

/* What the data set delivers: images with labels, or tokens. */
typedef struct dt_model_input {
    int64_t channels, height, width, classes;
    int64_t context, vocabulary; /* tokens of a sample, 0: the set is of images; tokens are below the vocabulary, 0: not
                                    known */
} dt_model_input;

typedef struct dt_model dt_model;

/* Reads and checks model.* for model.arch: everything that does not fit (heads that do not divide width, an image not
 * divisible by the patch) is said here, in the user's terms, before anything is allocated. Derives and records the
 * dimensions that model.size implies. */
DT_MUST_USE dt_status dt_model_create(dt_settings *, const dt_model_input *, dt_model **out);
void dt_model_free(dt_model *);

/* Of images, logits [B, classes]; of tokens, those of the next ones, [B, T, classes and padding]. */
typedef struct dt_model_feed {
    dt_tensor *images;         /* float [B, C, H, W], normalised */
    dt_tensor *tokens, *order; /* i32 [B, T], and its places sorted, for the gradient (dt_embedding); NULL without */
    dt_tensor *starts;         /* i32 [B, T]: where each token's document begins, for models that mask documents; NULL:
                                  every sample is one */
    dt_tensor *sample, *step;  /* for random layers; NULL outside training */
    /* Text that comes in parts: `tokens` are those behind the position[b] that the caches hold, to which they are
     * added. i32 [B]; NULL: all tokens are there, and no caches. */
    dt_tensor *position;
    int64_t capacity;  /* tokens that a cache can hold */
    dt_tensor *wanted; /* i32 [B, 1]: of all B*T tokens those whose logits are wanted; NULL: all */
} dt_model_feed;
dt_tensor *dt_model_build(const dt_model *, dt_graph *, const dt_model_feed *);

/* Warns where a choice of norm needs another setting that was left as it is: each coupling is named with its remedy.
 * `drawn`: some weights begin as model.init says, and not all with those of another run. */
void dt_model_warn(const dt_model *, bool drawn, dt_log *);
/* Per sample, or of one block: what rates and benchmarks are told in. 0 where the network has no such thing. */
typedef struct dt_model_dims {
    int64_t tokens, width, heads, hidden; /* hidden: of a block's MLP */
    int64_t classes;                      /* without padding */
} dt_model_dims;
dt_model_dims dt_model_dims_of(const dt_model *);
const char *dt_model_arch(const dt_model *);
bool dt_model_reads_tokens(const dt_model *); /* and not images */
bool dt_model_arch_reads_tokens(const dt_settings *); /* the same of model.arch, before there is a model */
const char *dt_model_head(const dt_model *); /* what the names of its head's parameters begin with; NULL: it has none */
bool dt_model_masks_documents(const dt_model *); /* model.mask_documents: it reads starts */
/* One line that a person understands: "vit, width 64, depth 4, 2 heads, patch 7: 16 tokens + class token". */
void dt_model_describe(const dt_model *, dt_text *out);

/* One network: its functions do what the dt_model_... functions above say. */
typedef struct dt_model_entry {
    const char *name; /* model.arch */
    const char *const *sites; /* norm sites, NULL-terminated */
    bool reads_tokens;        /* and not images */
    /* Returns a zeroed model that begins with a dt_model, whose `entry` and `nn` the caller fills in. */
    dt_status (*create)(dt_settings *, const dt_model_input *, dt_model **out);
    dt_tensor *(*build)(const dt_model *, dt_nn_graph *, const dt_model_feed *);
    void (*warn)(const dt_model *, bool drawn, dt_log *);
    dt_model_dims (*dims)(const dt_model *);
    void (*describe)(const dt_model *, dt_text *out);
    const struct dt_hf_form *hf; /* its form in transformers (models/hf.h), NULL: none */
} dt_model_entry;

struct dt_model { /* what every model begins with; one allocation, freed with free() */
    const dt_model_entry *entry;
    dt_nn nn;
    const char *head; /* dt_model_head */
    bool masks_documents;
};

/* For models: the dimension at `path` is `value` where it is not set. */
DT_MUST_USE dt_status dt_model_derive(dt_settings *, const char *path, int64_t value);

/* The table: a new network is one file that defines `const dt_model_entry dt_model_<name>`, and one line here. */
#define DT_MODELS(X) X(vit) X(llama)

#define X(name) extern const dt_model_entry dt_model_##name;
DT_MODELS(X)
#undef X

extern const dt_setting_table dt_model_settings; /* model.* but what nn owns */

#endif
