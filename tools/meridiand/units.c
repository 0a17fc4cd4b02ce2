#include "tools/meridiand/units.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct unit {
    const char *name;
    int64_t factor;
};

static const struct unit durations[] = {
    {"ns", 1},         {"us", 1000},         {"ms", 1000000},
    {"s", 1000000000}, {"min", 60000000000}, {"h", 3600000000000},
};
static const struct unit sizes[] = {
    {"B", 1},
    {"kB", 1024},
    {"KB", 1024},
    {"MB", 1024 * 1024},
    {"GB", 1024 * 1024 * 1024},
    {"TB", (int64_t)1024 * 1024 * 1024 * 1024},
};

/* A number without sign and the unit after it; false if it is neither. */
static bool split(const char *text, int64_t *out_number, const char **out_unit)
{
    char *end = NULL;
    long long v;

    if (!isdigit((unsigned char)*text))
        return false;
    errno = 0;
    v = strtoll(text, &end, 10);
    if (errno != 0)
        return false;
    while (*end == ' ')
        end++;
    *out_number = v;
    *out_unit = end;
    return true;
}

static bool scale(int64_t number, const char *unit, const struct unit *table, size_t n,
                  int64_t *out)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(unit, table[i].name) == 0)
            return !__builtin_mul_overflow(number, table[i].factor, out);
    return false;
}

enum status units_duration(const char *text, int64_t bare_ns, int64_t *out_ns, struct err *err)
{
    int64_t number = 0, ns = 0;
    const char *unit = "";
    bool ok = split(text, &number, &unit);

    if (ok && *unit == '\0')
        ok = (bare_ns != 0 || number == 0) && !__builtin_mul_overflow(number, bare_ns, &ns);
    else if (ok)
        ok = scale(number, unit, durations, sizeof durations / sizeof durations[0], &ns);
    if (!ok) {
        (void)err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE, "\"%s\" is not a duration",
                      text);
        (void)err_hint(err, "a number and a unit: ns, us, ms, s, min, h");
        return ST_REJECT;
    }
    *out_ns = ns;
    return ST_OK;
}

enum status units_size(const char *text, int64_t *out_bytes, struct err *err)
{
    int64_t number = 0, bytes = 0;
    const char *unit = "";
    bool ok = split(text, &number, &unit);

    if (ok && *unit == '\0')
        bytes = number;
    else if (ok)
        ok = scale(number, unit, sizes, sizeof sizes / sizeof sizes[0], &bytes);
    if (!ok) {
        (void)err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE, "\"%s\" is not a size",
                      text);
        (void)err_hint(err, "a number and a unit: B, KB, MB, GB, TB");
        return ST_REJECT;
    }
    *out_bytes = bytes;
    return ST_OK;
}

enum status units_number(const char *what, const char *text, int64_t min, int64_t max, int64_t *out,
                         struct err *err)
{
    int64_t number = 0;
    const char *unit = "";

    if (!split(text, &number, &unit) || *unit != '\0' || number < min || number > max)
        return err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                       "%s must be a number between %lld and %lld, not \"%s\"", what,
                       (long long)min, (long long)max, text);
    *out = number;
    return ST_OK;
}
