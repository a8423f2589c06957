/* The table of GPUs' peaks. Data sheets often give the tensor cores' figures with sparsity: these are without. */
#include "device/peaks.h"

#include <ctype.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* The first whose words stand in the GPU's name counts: "H100 PCIe" comes before "H100". */
static const struct {
    const char *words;
    double tera[DT_PEAKS]; /* F32 without tensor cores, TF32, BF16 */
} gpus[] = {
    {"B200", {75, 1100, 2250}},        {"GH200", {67, 494.7, 989.4}},
    {"H200 NVL", {60, 417.5, 835.5}},  {"H200", {67, 494.7, 989.4}},
    {"H100 PCIe", {51.2, 378, 756}},   {"H100 NVL", {60, 417.5, 835.5}},     {"H100", {66.9, 494.7, 989.4}},
    {"H800 PCIe", {51.2, 378, 756}},   {"H800", {66.9, 494.7, 989.4}},
    {"A100", {19.5, 156, 312}},        {"A800", {19.5, 156, 312}},
    {"A30", {10.3, 82, 165}},          {"A40", {37.4, 74.8, 149.7}},
    {"L40S", {91.6, 183, 362}},        {"L40", {90.5, 90.5, 181}},           {"L4", {30.3, 60, 121}},
    {"RTX 6000 Ada", {91.1, 182.1, 364.2}},
    {"RTX 4090 D", {NAN, NAN, NAN}},   {"RTX 4090", {82.6, 82.6, 165.2}},
    {"RTX 3090 Ti", {NAN, NAN, NAN}},  {"RTX 3090", {35.6, 35.6, 71.2}},
};

/* "A100" stands in "NVIDIA A100-SXM4-80GB", and not in "NVIDIA RTX A1000". */
static bool has_word(const char *text, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = strstr(text, word); at; at = strstr(at + 1, word))
        if ((at == text || at[-1] == ' ') && !isalnum((unsigned char)at[length])) return true;
    return false;
}

double dt_peak_flops(const char *gpu, dt_peak peak)
{
    if (has_word(gpu, "Laptop")) return NAN; /* smaller chips under the desktop's names */
    if (has_word(gpu, "MIG")) return NAN;    /* an unknown part of a GPU: "NVIDIA H200 MIG 1g.18gb" */
    for (size_t i = 0; i < sizeof gpus / sizeof *gpus; i++)
        if (has_word(gpu, gpus[i].words)) return 1e12 * gpus[i].tera[peak];
    return NAN;
}
