/* Finds and loads cuDNN, and holds its handle and plans. */
#include "device/cudnn_calls.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What it was tried with: releases before do other things with the same graphs, and so may other GPUs. */
enum { LOWEST_VERSION = 91900, NEXT_MAJOR = 100000, NEXT_MINOR = 92000, CAPABILITY = 90 };
static const char library_name[] = "libcudnn.so.9";

bool dt_cudnn_built(void) { return true; }

static dt_status load(dt_cudnn *c)
{
    c->library = dlopen(library_name, RTLD_NOW | RTLD_LOCAL);
    if (!c->library)
        return dt_fail(DT_ERR_DEVICE, "cannot load %s: %s; install cuDNN 9, or put its folder into LD_LIBRARY_PATH",
                       library_name, dlerror());
#define X(name)                                                                                             \
    if (!(c->name = (__typeof__(c->name))dlsym(c->library, "cudnn" #name)))                                 \
        return dt_fail(DT_ERR_DEVICE, "%s has no cudnn" #name ": install cuDNN 9.19 or newer", library_name);
    DT_CUDNN_CALLS(X)
#undef X
    c->version = (int)c->GetVersion();
    return DT_OK;
}

/* Newer releases of the same major version are taken where they were asked for. */
static dt_status check_version(const dt_cudnn *c)
{
    char text[DT_CUDNN_TEXT];
    if (c->version >= LOWEST_VERSION && c->version < (c->always ? NEXT_MAJOR : NEXT_MINOR)) return DT_OK;
    return dt_fail(DT_ERR_DEVICE, "%s was not tried with this program: install cuDNN 9.19%s", dt_cudnn_text(c, text),
                   c->version < LOWEST_VERSION ? "" : ", or set cuda.attention=cudnn to have it nonetheless");
}

static dt_status check_capability(int capability)
{
    if (!capability || capability == CAPABILITY) return DT_OK;
    return dt_fail(DT_ERR_DEVICE, "its attention was tried on GPUs of compute capability %d.%d only, and this one is "
                   "of %d.%d", CAPABILITY / 10, CAPABILITY % 10, capability / 10, capability % 10);
}

dt_status dt_cudnn_open(int capability, bool always, dt_cudnn **out)
{
    DT_TRY(check_capability(capability));
    dt_cudnn *c = calloc(1, sizeof *c);
    if (!c) return dt_fail_memory(sizeof *c, "cuDNN");
    c->always = always;
    dt_status status = load(c);
    if (!status) status = check_version(c);
    if (status) dt_cudnn_close(c);
    else *out = c;
    return status;
}

static void free_plan(const dt_cudnn *c, dt_cudnn_plan *plan)
{
    while (plan->made_count) c->BackendDestroyDescriptor(plan->made[--plan->made_count]);
    free(plan);
}

/* The library stays loaded: it does not take itself apart well. */
void dt_cudnn_close(dt_cudnn *c)
{
    if (!c) return;
    while (c->plans) {
        dt_cudnn_plan *plan = c->plans;
        c->plans = plan->next;
        free_plan(c, plan);
    }
    if (c->handle) c->Destroy(c->handle);
    free(c);
}

bool dt_cudnn_always(const dt_cudnn *c) { return c->always; }

const char *dt_cudnn_text(const dt_cudnn *c, char out[DT_CUDNN_TEXT])
{
    if (!c) snprintf(out, DT_CUDNN_TEXT, "own kernels");
    else snprintf(out, DT_CUDNN_TEXT, "cuDNN %d.%d.%d", c->version / 10000, c->version / 100 % 100, c->version % 100);
    return out;
}

/* --- for those who call it --- */

dt_status dt_cudnn_fail(const dt_cudnn *c, const char *what)
{
    char reason[256] = "";
    c->GetLastErrorString(reason, sizeof reason);
    return dt_fail(DT_ERR_DEVICE, "cuDNN cannot %s: %s; cuda.attention=own does without it", what,
                   *reason ? reason : "it does not say why");
}

dt_status dt_cudnn_start(dt_cudnn *c, void *stream)
{
    if (!c->handle && c->Create(&c->handle)) {
        c->handle = NULL;
        return dt_cudnn_fail(c, "start");
    }
    if (c->stream == stream) return DT_OK;
    if (c->SetStream(c->handle, stream)) return dt_cudnn_fail(c, "work on a stream");
    c->stream = stream;
    return DT_OK;
}

const dt_cudnn_plan *dt_cudnn_find_plan(const dt_cudnn *c, const char *name)
{
    const dt_cudnn_plan *plan = c->plans;
    while (plan && strcmp(plan->name, name)) plan = plan->next;
    return plan;
}

void dt_cudnn_keep_plan(dt_cudnn *c, dt_cudnn_plan *plan)
{
    plan->next = c->plans;
    c->plans = plan;
}
