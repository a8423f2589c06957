/* What is known of GPUs without one: peaks by name, and which of them the kernels of a build run on. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "device/archs.h"
#include "device/peaks.h"

static void expect_tera(const char *gpu, double f32, double tf32, double bf16)
{
    const double tera[DT_PEAKS] = {[DT_PEAK_F32] = f32, [DT_PEAK_TF32] = tf32, [DT_PEAK_BF16] = bf16};
    for (int p = 0; p < DT_PEAKS; p++)
        if (fabs(dt_peak_flops(gpu, (dt_peak)p) - 1e12 * tera[p]) > 1e6)
            fail_msg("%s: peak %d is %g", gpu, p, dt_peak_flops(gpu, (dt_peak)p));
}

static void peaks_are_found_by_name(void **state)
{
    expect_tera("NVIDIA H200", 67, 494.7, 989.4);
    expect_tera("NVIDIA H200 NVL", 60, 417.5, 835.5);
    expect_tera("NVIDIA GH200 480GB", 67, 494.7, 989.4);
    expect_tera("NVIDIA H100 80GB HBM3", 66.9, 494.7, 989.4);
    expect_tera("NVIDIA H100 PCIe", 51.2, 378, 756);
    expect_tera("NVIDIA H100 NVL", 60, 417.5, 835.5);
    expect_tera("NVIDIA A100-SXM4-80GB", 19.5, 156, 312);
    expect_tera("NVIDIA A100 80GB PCIe", 19.5, 156, 312);
    expect_tera("NVIDIA A30", 10.3, 82, 165);
    expect_tera("NVIDIA L40S", 91.6, 183, 362);
    expect_tera("NVIDIA L4", 30.3, 60, 121);
    expect_tera("NVIDIA RTX 6000 Ada Generation", 91.1, 182.1, 364.2);
    expect_tera("NVIDIA GeForce RTX 4090", 82.6, 82.6, 165.2);
}

/* Rather none than that of a GPU whose name only looks alike. */
static void unknown_gpus_have_no_peak(void **state)
{
    const char *const unknown[] = {"", "NVIDIA", "NVIDIA RTX A1000", "NVIDIA RTX A4000", "NVIDIA A10",
                                   "Quadro RTX 6000", "NVIDIA GeForce RTX 4090 D", "Tesla T4", "NVIDIA H20",
                                   "NVIDIA GeForce RTX 4090 Laptop GPU", "NVIDIA GeForce RTX 3090 Ti",
                                   "NVIDIA H200 MIG 1g.18gb", "NVIDIA A100-SXM4-40GB MIG 3g.20gb",
                                   "NVIDIA TITAN XA100"};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
        if (!isnan(dt_peak_flops(unknown[i], DT_PEAK_BF16))) fail_msg("'%s' has a peak", unknown[i]);
}

static void kernels_run_where_they_are_compiled_for(void **state)
{
    const struct {
        const char *archs;
        int capability;
        bool runs;
    } cases[] = {
        {"80,90a", 70, false}, {"80,90a", 75, false}, {"80,90a", 80, true},  {"80,90a", 86, true},
        {"80,90a", 90, true},  {"80,90a", 100, true}, {"80,90a", 120, true}, /* by PTX of 8.0 */
        {"90a", 80, false},    {"90a", 90, true},     {"90a", 100, false},   {"90a,80", 90, true},
        {"90a,80", 86, true},  {"90a,80", 100, false}, {"86", 80, false},    {"86", 89, true},
        {"100a,86", 89, true}, {"100a,86", 90, false}, {"100f", 103, false}, {"", 90, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (dt_archs_run(cases[i].archs, cases[i].capability) != cases[i].runs)
            fail_msg("'%s' on %d", cases[i].archs, cases[i].capability);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(peaks_are_found_by_name),
        cmocka_unit_test(unknown_gpus_have_no_peak),
        cmocka_unit_test(kernels_run_where_they_are_compiled_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
