/* A table of rows like the program's own, one of each type, for the tests and the fuzzer. */
#ifndef DT_TESTS_CONFIG_TABLE_H
#define DT_TESTS_CONFIG_TABLE_H

#include <math.h>

#include "config/settings.h"

static const char *const kinds[] = {"layernorm", "rmsnorm", "dyt", NULL};
static const char *const modes[] = {"fp32", "bf16", NULL};

static const dt_setting_row run_rows[] = {
    {"seed", DT_SETTING_INT, "0", 0, INFINITY, .help = "of all random numbers"},
    {"precision.mode", DT_SETTING_CHOICE, "fp32", .choices = modes, .help = "type of the matrix products"},
    {"run.dir", DT_SETTING_TEXT, "runs", .help = "folder of all runs"},
    {"run.name", DT_SETTING_TEXT, NULL, .name = true, .help = "name of the run's folder"},
    {"init.from", DT_SETTING_TEXT, NULL, .help = "weights to start from"},
    {"train.steps", DT_SETTING_INT, NULL, 1, 1e9, .help = "length of the training in updates"},
    {"train.epochs", DT_SETTING_INT, NULL, 1, 1e6, .help = "length of the training in epochs"},
    {"eval.every_steps", DT_SETTING_INT, NULL, 0, 1e6, .replaces = "eval.every_epochs", .help = "updates between"},
    {"eval.every_epochs", DT_SETTING_INT, "1", 0, 1e6, .help = "epochs between evaluations"},
};

static const dt_setting_row norm_rows[] = {
    {"norm.kind", DT_SETTING_CHOICE, "layernorm", .choices = kinds, .named = true, .help = "function of a site"},
    {"norm.alpha0", DT_SETTING_REAL, "0.5", -100, 100, .named = true, .help = "initial alpha"},
    {"norm.learn_alpha", DT_SETTING_BOOL, "true", .named = true, .help = "is alpha trained?"},
    {"optim.lr", DT_SETTING_REAL, "1e-3", 0, INFINITY, .help = "peak learning rate"},
    {"optim.betas", DT_SETTING_REALS, "[0.9, 0.999]", 0, 1, .help = "decay rates of the moments"},
    {"optim.shift", DT_SETTING_REAL, NULL, -INFINITY, 5, .help = "a row without a default"},
    {"norm.site.eps", DT_SETTING_REAL, "1e-6", 0, 1, .help = "added to the variance"},
};

static const dt_setting_table tables[] = {
    {run_rows, sizeof run_rows / sizeof *run_rows},
    {norm_rows, sizeof norm_rows / sizeof *norm_rows},
};

enum { TABLES = sizeof tables / sizeof *tables };

#endif
