/* Hellos, the list of members, and their names in messages. */
#include "comm/hello.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "comm/launch.h"

static dt_status hash_file(int fd, const char *path, uint64_t *out)
{
    enum { CHUNK = 1 << 20 };
    dt_hasher *hasher = dt_hasher_create();
    char *chunk = malloc(CHUNK);
    dt_status status = DT_OK;
    ssize_t count = 0;
    if (!hasher || !chunk) status = dt_fail_memory(CHUNK, "reading the program's own file");
    while (!status && (count = read(fd, chunk, CHUNK)) > 0) dt_hasher_add(hasher, chunk, (size_t)count);
    if (count < 0) status = dt_fail(DT_ERR_IO, "cannot read '%s': %s", path, strerror(errno));
    if (!status) *out = dt_hasher_value(hasher);
    dt_hasher_free(hasher);
    free(chunk);
    return status;
}

static dt_status hash_program(uint64_t *out)
{
    static const char path[] = "/proc/self/exe";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return dt_fail(DT_ERR_IO, "cannot open '%s': %s", path, strerror(errno));
    dt_status status = hash_file(fd, path, out);
    close(fd);
    return status;
}

/* The start of the system's kernel, and the network that this process lives in. Where /proc tells neither, the host's
 * name must do. */
static uint64_t hash_machine(const char *host)
{
    char text[DT_HELLO_HOST + 128] = "", *boot = NULL;
    size_t size = 0;
    ssize_t length = readlink("/proc/self/ns/net", text, 63);
    if (length > 0) text[length] = '\0';
    if (dt_file_read("/proc/sys/kernel/random/boot_id", 128, &boot, &size) == DT_OK) strncat(text, boot, 63);
    strcat(text, host);
    free(boot);
    return dt_hash_text(text);
}

dt_status dt_hello_introduce(dt_hello *hello)
{
    *hello = (dt_hello){.protocol = DT_HELLO_PROTOCOL, .local_rank = -1, .local_size = -1, .pid = getpid()};
    snprintf(hello->version, sizeof hello->version, "%s", DT_VERSION);
    if (gethostname(hello->host, sizeof hello->host - 1)) strcpy(hello->host, "a host without a name");
    hello->machine = hash_machine(hello->host);
    if (getrandom(&hello->process, sizeof hello->process, 0) != sizeof hello->process)
        hello->process = (uint64_t)hello->pid;
    return hash_program(&hello->binary);
}

dt_status dt_hello_pack(const dt_hello *hello, dt_text *frame)
{
    dt_wire_begin(frame, DT_WIRE_HELLO);
    dt_wire_add_number(frame, (uint64_t)hello->protocol); /* these two first in every protocol */
    dt_wire_add_text(frame, hello->version);
    dt_wire_add_number(frame, (uint64_t)hello->rank);
    dt_wire_add_number(frame, (uint64_t)hello->size);
    dt_wire_add_number(frame, hello->key);
    dt_wire_add_number(frame, hello->binary);
    dt_wire_add_number(frame, hello->process);
    dt_wire_add_number(frame, hello->machine);
    dt_wire_add_number(frame, (uint64_t)(int64_t)hello->local_rank);
    dt_wire_add_number(frame, (uint64_t)(int64_t)hello->local_size);
    dt_wire_add_number(frame, (uint64_t)hello->pid);
    dt_wire_add_text(frame, hello->host);
    return dt_wire_end(frame);
}

dt_status dt_hello_unpack(dt_wire_cursor from, dt_hello *out)
{
    *out = (dt_hello){.protocol = (int)dt_wire_take_int(&from, 1, 1 << 20)};
    dt_wire_take_text(&from, out->version, sizeof out->version);
    if (out->protocol == DT_HELLO_PROTOCOL) {
        out->rank = (int)dt_wire_take_int(&from, 0, DT_WORLD_MOST_RANKS - 1);
        out->size = (int)dt_wire_take_int(&from, 2, DT_WORLD_MOST_RANKS);
        out->key = dt_wire_take_number(&from);
        out->binary = dt_wire_take_number(&from);
        out->process = dt_wire_take_number(&from);
        out->machine = dt_wire_take_number(&from);
        out->local_rank = (int)dt_wire_take_int(&from, -1, DT_WORLD_MOST_RANKS - 1);
        out->local_size = (int)dt_wire_take_int(&from, -1, DT_WORLD_MOST_RANKS);
        out->pid = dt_wire_take_int(&from, 0, INT64_MAX);
        dt_wire_take_text(&from, out->host, sizeof out->host);
    }
    return from.failed ? dt_fail(DT_ERR_DATA, "a hello is malformed") : DT_OK;
}

/* --- members --- */

/* Worlds are small enough for a look at all ranks before. */
static int first_of_machine(const dt_hello *hellos, int rank)
{
    int first = 0;
    while (hellos[first].machine != hellos[rank].machine) first++;
    return first;
}

void dt_members_number(const dt_hello *hellos, int size, dt_member *out)
{
    int nodes = 0;
    for (int r = 0; r < size; r++) {
        int first = first_of_machine(hellos, r);
        memcpy(out[r].host, hellos[r].host, sizeof out[r].host);
        out[r].pid = hellos[r].pid;
        out[r].node = first == r ? nodes++ : out[first].node;
        /* until all are counted, the first of a machine holds how many there are */
        int before = first == r ? 0 : out[first].local_size;
        out[first].local_size = before + 1;
        out[r].local_rank = hellos[r].local_rank >= 0 ? hellos[r].local_rank : before;
    }
    for (int r = 0; r < size; r++) out[r].local_size = out[first_of_machine(hellos, r)].local_size;
    for (int r = 0; r < size; r++)
        if (hellos[r].local_size > 0) out[r].local_size = hellos[r].local_size;
}

dt_status dt_members_pack(const dt_member *members, int size, dt_text *frame)
{
    dt_wire_begin(frame, DT_WIRE_WELCOME);
    for (int r = 0; r < size; r++) {
        dt_wire_add_text(frame, members[r].host);
        dt_wire_add_number(frame, (uint64_t)members[r].node);
        dt_wire_add_number(frame, (uint64_t)members[r].local_rank);
        dt_wire_add_number(frame, (uint64_t)members[r].local_size);
        dt_wire_add_number(frame, (uint64_t)members[r].pid);
    }
    return dt_wire_end(frame);
}

dt_status dt_members_unpack(dt_wire_cursor from, int size, dt_member *out)
{
    for (int r = 0; r < size; r++) {
        dt_wire_take_text(&from, out[r].host, sizeof out[r].host);
        out[r].node = (int)dt_wire_take_int(&from, 0, size - 1);
        out[r].local_rank = (int)dt_wire_take_int(&from, 0, DT_WORLD_MOST_RANKS - 1);
        out[r].local_size = (int)dt_wire_take_int(&from, 1, DT_WORLD_MOST_RANKS);
        out[r].pid = dt_wire_take_int(&from, 0, INT64_MAX);
    }
    if (from.left) from.failed = true;
    return from.failed ? dt_fail(DT_ERR_DATA, "a list of ranks is malformed") : DT_OK;
}

void dt_member_name(const dt_member *members, int rank, dt_text *out)
{
    dt_text_add(out, "rank %d", rank);
    if (members) dt_text_add(out, " on %s (process %lld)", members[rank].host, (long long)members[rank].pid);
}

/* "2, 5-7" */
static void add_ranges(const bool *has, int size, dt_text *out)
{
    const char *before = "";
    for (int r = 0; r < size; r++) {
        if (!has[r]) continue;
        int last = r;
        while (last + 1 < size && has[last + 1]) last++;
        dt_text_add(out, last > r ? "%s%d-%d" : "%s%d", before, r, last);
        before = ", ";
        r = last;
    }
}

/* " (on b, c)": a few suffice. */
static void add_hosts(const dt_member *members, const bool *has, int size, dt_text *out)
{
    enum { SHOWN = 4 };
    int nodes[SHOWN], count = 0;
    for (int r = 0; r < size; r++) {
        int known = 0;
        if (!has[r]) continue;
        while (known < count && nodes[known] != members[r].node) known++;
        if (known < count) continue;
        if (count == SHOWN) {
            dt_text_add(out, ", ...");
            break;
        }
        nodes[count++] = members[r].node;
        dt_text_add(out, "%s%s", count == 1 ? " (on " : ", ", members[r].host);
    }
    dt_text_add(out, ")");
}

void dt_members_list(const dt_member *members, const bool *has, int size, dt_text *out)
{
    int count = 0, only = 0;
    for (int r = 0; r < size; r++) {
        if (has[r]) only = r;
        count += has[r];
    }
    if (count == 1) {
        dt_member_name(members, only, out);
        return;
    }
    dt_text_add(out, "ranks ");
    add_ranges(has, size, out);
    if (members) add_hosts(members, has, size, out);
}
