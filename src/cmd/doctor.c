/* dyttrain doctor: what this machine has, and what to do about what it lacks. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "cmd/command.h"
#include "cmd/doctor.h"
#include "cmd/roof.h"
#include "comm/mpi.h"
#include "comm/nccl.h"
#include "data/data.h"
#include "device/device.h"

void dt_doctor_line(const char *label, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    printf("%-12s ", label);
    vprintf(format, args);
    printf("\n");
    va_end(args);
}

static void remedy(const char *text) { printf("%-12s   remedy: %s\n", "", text); }

static dt_status report_processor(dt_device *device)
{
    dt_device_info info;
    char total[32], available[32];
    DT_TRY(dt_device_query(device, &info));
    dt_doctor_line("processor", "%s, %d thread%s for computing (setting: threads)", info.name, info.threads,
                   info.threads == 1 ? "" : "s");
    dt_doctor_line("memory", "%s, %s of it available", dt_text_bytes(total, (double)info.memory_total),
                   dt_text_bytes(available, (double)info.memory_free));
    return DT_OK;
}

static dt_status report_speed(dt_device *device)
{
    const dt_kernels *kernels = dt_cpu_kernels_best();
    dt_roof roof;
    char products[32], copies[32];
    dt_doctor_line("kernels", "%s", kernels->name);
    if (strcmp(kernels->name, "baseline") == 0)
        remedy("a processor with AVX2; on this one everything runs, but slowly");
    DT_TRY(dt_roof_measure(dt_device_pool(device), kernels, &roof));
    dt_doctor_line("speed", "float32 matrix products %s/s, copying %s/s",
                   dt_text_count(products, roof.flops, "FLOP"), dt_text_count(copies, roof.bytes, "B"));
    return DT_OK;
}

/* Bytes read and written in a second by copies of a GPU's memory. */
static dt_status measure_copies(dt_device *device, double *speed)
{
    enum { BYTES = 512 << 20, COPIES = 20 };
    const dt_queue *queue = dt_device_queue(device, DT_STREAM_COMPUTE);
    const dt_kernels *kernels = dt_kernels_of(dt_device_backend(device));
    void *from = NULL, *to = NULL;
    double start = 0;
    dt_status status;
    DT_TRY_GOTO(dt_device_alloc(device, DT_MEMORY_ARENA, BYTES, &from), done);
    DT_TRY_GOTO(dt_device_alloc(device, DT_MEMORY_ARENA, BYTES, &to), done);
    DT_TRY_GOTO(kernels->copy(queue, BYTES, from, to), done); /* loads the kernel */
    DT_TRY_GOTO(dt_device_sync(device, DT_STREAM_COMPUTE), done);
    start = dt_clock();
    for (int i = 0; i < COPIES; i++) DT_TRY_GOTO(kernels->copy(queue, BYTES, from, to), done);
    DT_TRY_GOTO(dt_device_sync(device, DT_STREAM_COMPUTE), done);
    *speed = 2.0 * BYTES * COPIES / (dt_clock() - start);
done:
    dt_device_free(device, DT_MEMORY_ARENA, from, BYTES);
    dt_device_free(device, DT_MEMORY_ARENA, to, BYTES);
    return status;
}

/* `capability` as for dt_cudnn_open. */
static void report_cudnn(int capability)
{
    dt_cudnn *cudnn;
    char text[DT_CUDNN_TEXT];
    if (dt_cudnn_open(capability, false, &cudnn)) {
        dt_doctor_line("", "  attention by our own kernels, not by cuDNN: %s", dt_error_message());
        return;
    }
    dt_doctor_line("", "  attention by our own kernels or, where it is faster in bfloat16, by %s",
                   dt_cudnn_text(cudnn, text));
    dt_cudnn_close(cudnn);
}

static dt_status report_gpu(int index)
{
    dt_device *device;
    dt_device_info info;
    char total[32], available[32], copies[32];
    double speed = 0;
    DT_TRY(dt_device_open(DT_CUDA, index, 1, &device));
    dt_status status = dt_device_query(device, &info);
    if (!status)
        dt_doctor_line("CUDA", "GPU %d: %s, compute capability %d.%d, %s, %s of it free", index, info.name,
                       info.capability / 10, info.capability % 10, dt_text_bytes(total, (double)info.memory_total),
                       dt_text_bytes(available, (double)info.memory_free));
    if (!status) status = measure_copies(device, &speed);
    if (!status) dt_doctor_line("", "  copying %s/s", dt_text_count(copies, speed, "B"));
    if (status == DT_ERR_MEMORY) {
        dt_doctor_line("", "  copying was not measured, which takes 1 GiB");
        remedy("fewer other processes on this GPU (nvidia-smi names them)");
        status = DT_OK;
    }
    if (!status) report_cudnn(info.capability);
    dt_device_close(device);
    return status;
}

static void report_cuda(void)
{
    const char *why = "";
    char versions[DT_VERSIONS_ROOM];
    if (!dt_backend_built(DT_CUDA)) {
        dt_doctor_line("CUDA", "not in this binary");
        remedy("for a GPU install the CUDA toolkit (nvcc, cuBLASLt) and build again");
        return;
    }
    int count = dt_backend_count(DT_CUDA, &why);
    if (count == 0) {
        dt_doctor_line("CUDA", "built in, but %s", why);
        remedy("none without an NVIDIA GPU; with one, install its driver (nvidia-smi must list it)");
        report_cudnn(0);
    }
    for (int i = 0; i < count; i++)
        if (report_gpu(i)) dt_doctor_line("CUDA", "GPU %d cannot be used: %s", i, dt_error_message());
    dt_doctor_line("", "  %s", dt_backend_versions(DT_CUDA, versions));
}

static void report_nccl(void)
{
    dt_nccl *nccl;
    char text[DT_NCCL_TEXT];
    if (dt_nccl_open(&nccl)) {
        dt_doctor_line("NCCL", "%s", dt_error_message());
        return;
    }
    dt_doctor_line("NCCL", "%s, for several ranks on GPUs (doctor --ranks measures it)", dt_nccl_text(nccl, text));
    dt_nccl_close(nccl);
}

static void report_mpi(void)
{
    const dt_mpi_calls *mpi;
    if (dt_mpi_load(&mpi)) dt_doctor_line("MPI", "%s", dt_error_message());
    else dt_doctor_line("MPI", "the plug-in loads: mpirun can start ranks (doctor --ranks measures them)");
}

/* Is there an executable `name` in one of the folders of PATH? */
static bool find_program(const char *name, dt_text *path)
{
    const char *folders = getenv("PATH");
    for (const char *at = folders ? folders : ""; *at;) {
        size_t length = strcspn(at, ":");
        *path = (dt_text){0};
        dt_text_add(path, "%.*s/%s", (int)length, at, name);
        if (!path->failed && access(path->data, X_OK) == 0) return true;
        dt_text_free(path);
        at += length + (at[length] == ':');
    }
    return false;
}

static void report_gnuplot(void)
{
    dt_text path = {0};
    if (find_program("gnuplot", &path)) {
        dt_doctor_line("gnuplot", "%s", path.data);
        dt_text_free(&path);
        return;
    }
    dt_doctor_line("gnuplot", "not found: scripts/plot_run.sh cannot draw curves");
    remedy("install gnuplot (Debian: apt-get install gnuplot-nox)");
}

static dt_status report_data(void)
{
    dt_text list = {0};
    dt_data_list(&list);
    dt_status status = dt_text_status(&list);
    if (!status) printf("data sets (data.kind)\n%s", list.data ? list.data : "");
    dt_text_free(&list);
    return status;
}

static dt_status doctor(const dt_arguments *args)
{
    dt_device *device;
    if (dt_arguments_has(args, "--ranks")) return dt_doctor_ranks(args);
    dt_doctor_line("dyttrain", "%s", DT_VERSION);
    DT_TRY(dt_device_open(DT_CPU, 0, 0, &device));
    dt_status status = report_processor(device);
    if (!status) status = report_speed(device);
    dt_device_close(device);
    DT_TRY(status);
    report_cuda();
    report_nccl();
    report_mpi();
    report_gnuplot();
    return report_data();
}

static const char *const devices[] = {"cpu", "cuda", NULL};
static const dt_option options[] = {
    {"--ranks", NULL, "started as a run on several ranks is (mpirun -np 2 dyttrain doctor --ranks): which GPU each one "
                      "has, and how fast they talk to each other; takes some seconds"},
    {"--device", "NAME", "with --ranks: cpu or cuda; GPUs, where there are some, when it is left out", devices,
     .needs_value = true},
    {0},
};

const dt_command dt_command_doctor = {
    .name = "doctor",
    .usage = "doctor [--ranks]",
    .summary = "say what this machine has and what it lacks, or how fast ranks talk to each other",
    .options = options,
    .every = true,
    .run = doctor,
};
