/* Compares the printed settings of a checkpoint with those of the run that resumes it. */
#include "train/changes.h"

#include <string.h>

/* Settings that leave the result alone; a final dot stands for a whole section. */
static const char *const harmless[] = {
    "device", "threads", "cuda.", "run.", "log.", "eval.", "checkpoint.", "debug.", "init.", "data.path",
    "data.workers", "data.ahead", "train.recompute", "train.on_nonfinite", "train.rollback_limit", "train.skip_limit",
    "parallel.zero", "parallel.bucket_mib", "parallel.shard_group", "parallel.start_limit", "parallel.wait_limit",
    "parallel.hang_limit", "parallel.lost_limit"};

enum { MAX_DEPTH = 8, MAX_PATH = 256 };

/* Walks over the lines of a printed text: sections end in a colon, values stand behind one, two blanks a level. */
typedef struct cursor {
    const char *at;
    size_t level[MAX_DEPTH + 1]; /* length of the path before a key of each level */
    char path[MAX_PATH];
    const char *value;
    size_t value_length;
} cursor;

static bool next_setting(cursor *c)
{
    while (*c->at) {
        const char *line = c->at, *end = strchrnul(line, '\n');
        size_t indent = strspn(line, " "), depth = indent / 2;
        const char *key = line + indent, *colon = memchr(key, ':', (size_t)(end - key));
        c->at = *end ? end + 1 : end;
        if (!colon || depth >= MAX_DEPTH) continue;
        size_t length = (size_t)(colon - key), start = c->level[depth];
        if (start + length + 2 > MAX_PATH) continue;
        memcpy(c->path + start, key, length);
        c->path[start + length] = colon + 1 == end ? '.' : '\0';
        c->level[depth + 1] = start + length + 1;
        if (colon + 1 == end) continue;
        c->value = colon + 2;
        c->value_length = (size_t)(end - c->value);
        return true;
    }
    return false;
}

static bool matters(const char *path)
{
    for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++) {
        size_t length = strlen(harmless[i]);
        bool section = harmless[i][length - 1] == '.';
        if (section ? !strncmp(path, harmless[i], length) : !strcmp(path, harmless[i])) return false;
    }
    return true;
}

static bool find(const char *text, const char *path, cursor *c)
{
    *c = (cursor){.at = text};
    while (next_setting(c))
        if (!strcmp(c->path, path)) return true;
    return false;
}

static bool same_value(const cursor *a, const cursor *b)
{
    return a->value_length == b->value_length && !memcmp(a->value, b->value, a->value_length);
}

bool dt_settings_agree(const char *a, const char *b, const char *path)
{
    cursor in_a, in_b;
    bool has_a = find(a, path, &in_a), has_b = find(b, path, &in_b);
    return has_a == has_b && (!has_a || same_value(&in_a, &in_b));
}

void dt_settings_changes(const char *before, const char *now, const dt_settings *settings, dt_text *out)
{
    cursor c = {.at = now}, old;
    while (next_setting(&c)) {
        bool known = find(before, c.path, &old);
        bool same = known ? same_value(&c, &old) : dt_setting_is_default(settings, c.path);
        if (same || !matters(c.path)) continue;
        dt_text_add(out, "%s%s: %.*s, now %.*s", out->length ? "; " : "", c.path, known ? (int)old.value_length : 4,
                    known ? old.value : "none", (int)c.value_length, c.value);
    }
    for (c = (cursor){.at = before}; next_setting(&c);)
        if (matters(c.path) && !find(now, c.path, &old))
            dt_text_add(out, "%s%s: %.*s, now none", out->length ? "; " : "", c.path, (int)c.value_length, c.value);
}

void dt_settings_first_difference(const char *here, const char *there, dt_text *out)
{
    cursor c = {.at = here}, other;
    while (next_setting(&c)) {
        bool known = find(there, c.path, &other);
        if (known && same_value(&c, &other)) continue;
        dt_text_add(out, "%s is %.*s, there %.*s", c.path, (int)c.value_length, c.value,
                    known ? (int)other.value_length : 4, known ? other.value : "none");
        return;
    }
    for (c = (cursor){.at = there}; next_setting(&c);)
        if (!find(here, c.path, &other)) {
            dt_text_add(out, "%s is none, there %.*s", c.path, (int)c.value_length, c.value);
            return;
        }
}
