/* The settings of data sets and the loader. */
#include "data/dataset.h"

#define X(name) #name,
const char *const dt_dataset_names[] = {DT_DATASET_KINDS(X) NULL};
#undef X

static const char *const damaged_choices[] = {"stop", "replace", NULL};

static const dt_setting_row rows[] = {
    {"data.kind", DT_SETTING_CHOICE, .choices = dt_dataset_names, .help = "data set; must be set"},
    {"data.path", DT_SETTING_TEXT,
     .help = "folder with the data set's files (one file will do for text); where Debian's package puts them when not "
             "set"},
    {"data.batch", DT_SETTING_INT, "128", 1, 1 << 20,
     .help = "samples of one update, over all ranks and micro-batches"},
    {"data.drop_last", DT_SETTING_BOOL, "true",
     .help = "leave out the last samples of an epoch that do not fill a batch; false: pad it with samples of weight 0"},
    {"data.subset", DT_SETTING_INT, "0", 0, 1e12, .help = "use only the first so many training samples; 0: all"},
    {"data.workers", DT_SETTING_INT, "2", 1, 256, .help = "threads that read and augment samples"},
    {"data.ahead", DT_SETTING_INT, "4", 2, 64, .help = "micro-batches kept ready ahead of the device"},
    {"data.flip", DT_SETTING_BOOL, "false", .help = "mirror half of the training images, drawn anew in each epoch"},
    {"data.crop_padding", DT_SETTING_INT, "0", 0, 1024,
     .help = "pixels of black around a training image, from which a crop of its own size is drawn"},
    {"data.mean", DT_SETTING_REALS, .min = 0, .max = 1,
     .help = "per channel, subtracted from values in [0, 1]; the data set's usual ones when not set"},
    {"data.std", DT_SETTING_REALS, .min = 1e-3, .max = 10,
     .help = "per channel, what values are then divided by; the data set's usual ones when not set"},
    {"data.damaged", DT_SETTING_CHOICE, "stop", .choices = damaged_choices,
     .help = "what a sample that cannot be read does: end the run, or be replaced by a drawn one and logged"},
    {"data.synthetic_count", DT_SETTING_INT, "60000", 1, 1e12,
     .help = "training samples of a synthetic set; it has a tenth as many for evaluation"},
    {"data.image", DT_SETTING_INT, .min = 1, .max = 8192,
     .help = "side of a synthetic image in pixels; model.image, else 224, when not set"},
    {"data.channels", DT_SETTING_INT, .min = 1, .max = 4, .help = "channels of a synthetic image; 3 when not set"},
    {"data.classes", DT_SETTING_INT, .min = 1, .max = 1 << 24,
     .help = "classes of the synthetic set; model.classes, else 1000, when not set"},
    {"data.context", DT_SETTING_INT, "1024", 1, 1 << 24,
     .help = "tokens of a sample, each with the next as its target"},
    {"data.stride", DT_SETTING_INT, .min = 1, .max = 1 << 24,
     .help = "tokens from the beginning of one training sample to that of the next; data.context when not set"},
    {"data.eval_stride", DT_SETTING_INT, .min = 1, .max = 1 << 24,
     .help = "the same for evaluation: with less than data.context, each sample counts only its last so many targets, "
             "which then have more text before them; data.context when not set"},
    {"data.held_out", DT_SETTING_REAL, "0.05", 0, 0.9,
     .help = "share of the tokens, from the end, that is kept for evaluation where the files are not split"},
    {"data.vocabulary", DT_SETTING_INT, .min = 1, .max = 1 << 24,
     .help = "all tokens are below it; model.vocabulary, else what the files say, when not set"},
    {"data.mix", DT_SETTING_TEXT,
     .help = "folders of tokens and their shares of the samples: \"web=0.7 books=0.3\"; relative to data.path"},
    {"data.tokenizer", DT_SETTING_TEXT,
     .help = "the tokenizer that the tokens must have been made with: bytes, a folder, or a tokenizer.json"},
    {"data.token_hash", DT_SETTING_TEXT,
     .help = "hash of the tokenizer that the tokens must have been made with; a run writes down that of its own"},
    {"data.check", DT_SETTING_BOOL, "false",
     .help = "hold each file of tokens against its checksum before the run, or, where it has none, against the "
             "vocabulary"},
    {"data.separator", DT_SETTING_INT, .min = 0, .max = 1 << 24,
     .help = "token that ends a document in files that have no list of documents"},
};

const dt_setting_table dt_data_settings = {rows, sizeof rows / sizeof *rows};
