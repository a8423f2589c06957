/* Numbers for people: three significant digits and a unit. */
#include "base/text.h"

#include <math.h>
#include <stdio.h>

enum { OUT_ROOM = 32 };

static int digits_after_point(double value)
{
    double size = fabs(value);
    return size < 9.995 ? 2 : size < 99.95 ? 1 : 0;
}

/* Divides `value` by `step` until fewer than `limit` units remain; returns how often. */
static int scale(double *value, double step, double limit, int most)
{
    int steps = 0;
    while (fabs(*value) >= limit && steps < most) {
        *value /= step;
        steps++;
    }
    return steps;
}

char *dt_text_bytes(char *out, double bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    int steps = scale(&bytes, 1024, 1023.5, 5);
    int digits = steps == 0 ? 0 : digits_after_point(bytes);
    snprintf(out, OUT_ROOM, "%.*f %s", digits, bytes, units[steps]);
    return out;
}

char *dt_text_count(char *out, double count, const char *unit)
{
    static const char *const prefixes[] = {"", "k", "M", "G", "T", "P", "E"};
    int steps = scale(&count, 1000, 999.5, 6);
    int digits = steps == 0 && count == floor(count) ? 0 : digits_after_point(count);
    const char *space = steps || unit[0] ? " " : "";
    snprintf(out, OUT_ROOM, "%.*f%s%s%s", digits, count, space, prefixes[steps], unit);
    return out;
}

char *dt_text_duration(char *out, double seconds)
{
    if (!(seconds >= 0 && seconds < 1e12)) { /* nothing is known yet, or a rate was zero */
        snprintf(out, OUT_ROOM, "n/a");
        return out;
    }
    if (seconds < 59.95) {
        snprintf(out, OUT_ROOM, "%.1f s", seconds);
        return out;
    }
    long long whole = llround(seconds), hours = whole / 3600;
    int minutes = (int)(whole / 60 % 60), rest = (int)(whole % 60);
    if (hours) snprintf(out, OUT_ROOM, "%lld:%02d:%02d", hours, minutes, rest);
    else snprintf(out, OUT_ROOM, "%d:%02d", minutes, rest);
    return out;
}
