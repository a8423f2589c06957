/* The search for the plug-in, and its load. */
#include "comm/mpi.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"

/* Beside the program as it lies in a build folder; where it is installed. */
static const char *const places[] = {"", "comm/", "../lib/dyttrain/"};
enum { PLACES = sizeof places / sizeof places[0] };

/* The folder of the running program, with a slash behind it. */
static dt_status program_folder(dt_text *out)
{
    char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    if (length < 0) return dt_fail(DT_ERR_IO, "cannot read '/proc/self/exe': %s", strerror(errno));
    path[length] = '\0';
    char *slash = strrchr(path, '/');
    if (slash) slash[1] = '\0';
    dt_text_add(out, "%s", slash ? path : "./");
    return dt_text_status(out);
}

/* Appends the path of the plug-in; nothing where there is none. */
static dt_status find(const char *folder, dt_text *path)
{
    for (size_t i = 0; i < PLACES; i++) {
        dt_text candidate = {0};
        dt_text_add(&candidate, "%s%s%s", folder, places[i], DT_MPI_PLUGIN_FILE);
        if (dt_text_status(&candidate)) {
            dt_text_free(&candidate);
            return dt_fail_memory(strlen(folder), "the path of the MPI plug-in");
        }
        if (dt_file_exists(candidate.data)) {
            *path = candidate;
            return DT_OK;
        }
        dt_text_free(&candidate);
    }
    return dt_fail(DT_ERR_DEVICE, "the MPI plug-in, which ranks need that MPI starts, was found neither beside the "
                   "program (%s" DT_MPI_PLUGIN_FILE ") nor in %s../lib/dyttrain: install MPI's headers and build "
                   "again, name the file in " DT_MPI_PLUGIN_VARIABLE ", or do without MPI: set RANK, WORLD_SIZE, "
                   "MASTER_ADDR and DYTTRAIN_LAUNCH=environment", folder, folder);
}

static dt_status load(const char *path, const dt_mpi_calls **out)
{
    /* global: MPI loads parts of itself that look for its symbols there */
    void *library = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
    if (!library) return dt_fail(DT_ERR_DEVICE, "cannot load the MPI plug-in: %s", dlerror());
    dt_mpi_plugin_fn *plugin = (dt_mpi_plugin_fn *)dlsym(library, "dt_mpi_plugin");
    if (!plugin) return dt_fail(DT_ERR_DEVICE, "'%s' is not an MPI plug-in: it has no dt_mpi_plugin", path);
    const dt_mpi_calls *calls = plugin();
    if (calls->abi != DT_MPI_ABI)
        return dt_fail(DT_ERR_DEVICE, "the MPI plug-in '%s' is of another build (interface %d, this program has %d): "
                       "install both from one build", path, calls->abi, DT_MPI_ABI);
    *out = calls;
    return DT_OK;
}

dt_status dt_mpi_load(const dt_mpi_calls **out)
{
    const char *named = getenv(DT_MPI_PLUGIN_VARIABLE);
    dt_text folder = {0}, path = {0};
    dt_status status;
    if (named && *named) {
        status = load(named, out);
        return status ? dt_fail_in(status, DT_MPI_PLUGIN_VARIABLE) : DT_OK;
    }
    DT_TRY_GOTO(program_folder(&folder), done);
    DT_TRY_GOTO(find(folder.data, &path), done);
    status = load(path.data, out);
done:
    dt_text_free(&folder);
    dt_text_free(&path);
    return status;
}

dt_status dt_mpi_fail(const char *what, const char *why)
{
    return dt_fail(DT_ERR_DEVICE, "MPI cannot %s: %s", what, why);
}
