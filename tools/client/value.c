#include "client_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER_TEXT = 96 };

struct mrd_value mrd_null(void)
{
    return (struct mrd_value){.type = MRD_NULL};
}

struct mrd_value mrd_bool(bool v)
{
    return (struct mrd_value){.type = MRD_BOOL, .as.b = v};
}

struct mrd_value mrd_int64(int64_t v)
{
    return (struct mrd_value){.type = MRD_INT64, .as.i = v};
}

struct mrd_value mrd_double(double v)
{
    return (struct mrd_value){.type = MRD_DOUBLE, .as.d = v};
}

struct mrd_value mrd_text(const char *v)
{
    if (v == NULL)
        return mrd_null();
    return (struct mrd_value){.type = MRD_TEXT, .as.s = {v, strlen(v)}};
}

struct mrd_value mrd_bytes(const void *ptr, size_t len)
{
    return (struct mrd_value){.type = MRD_BYTES, .as.s = {ptr, len}};
}

struct mrd_value mrd_timestamp(int64_t us)
{
    return (struct mrd_value){.type = MRD_TIMESTAMP, .as.i = us};
}

/* Numbers go as text: the server knows whether it wants an int or a bigint. Bytes go as they are. */
static void encode(const struct mrd_value *v, struct params *p, size_t i, char text[NUMBER_TEXT])
{
    p->value[i] = text;
    switch (v->type) {
    case MRD_NULL:
        p->value[i] = NULL;
        break;
    case MRD_BOOL:
        (void)snprintf(text, NUMBER_TEXT, "%s", v->as.b ? "t" : "f");
        break;
    case MRD_INT64:
        (void)snprintf(text, NUMBER_TEXT, "%" PRId64, v->as.i);
        break;
    case MRD_DOUBLE:
        (void)snprintf(text, NUMBER_TEXT, "%.17g", v->as.d);
        break;
    case MRD_TIMESTAMP:
        timestamp_print(v->as.i, text);
        p->type[i] = OID_TIMESTAMPTZ;
        break;
    case MRD_NUMERIC:
    case MRD_TEXT:
        p->value[i] = v->as.s.ptr;
        break;
    case MRD_BYTES:
        p->value[i] = v->as.s.len == 0 ? "" : v->as.s.ptr; /* not NULL, which is SQL's */
        p->length[i] = (int)v->as.s.len;
        p->format[i] = 1;
        p->type[i] = OID_BYTEA;
        break;
    }
}

enum mrd_status params_init(struct params *p, struct mrd_conn *c, const struct mrd_value *values,
                            size_t n)
{
    size_t each = sizeof *p->value + sizeof *p->length + sizeof *p->format + sizeof *p->type;
    char *text, *block;

    *p = (struct params){.n = n};
    if (n == 0)
        return MRD_OK;
    if (n > VALUES_MAX)
        return conn_misuse(c, "more than 65535 values");
    block = calloc(n, each + NUMBER_TEXT); /* one block; pointers first, for their alignment */
    if (block == NULL)
        return conn_misuse(c, "out of memory");
    p->value = (const char **)block;
    p->length = (int *)(p->value + n);
    p->format = p->length + n;
    p->type = (Oid *)(p->format + n);
    text = (char *)(p->type + n);
    for (size_t i = 0; i < n; i++)
        encode(&values[i], p, i, text + i * NUMBER_TEXT);
    return MRD_OK;
}

void params_fini(struct params *p)
{
    free(p->value);
}

/* ---- timestamps ---- */

/* Days since 1970-01-01 of a date in the proleptic Gregorian calendar. */
static int64_t days_of(int64_t y, int64_t m, int64_t d)
{
    int64_t a = y - (m <= 2), era = (a >= 0 ? a : a - 399) / 400, yoe = a - era * 400;
    int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;

    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static void date_of(int64_t days, int64_t *y, int64_t *m, int64_t *d)
{
    int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097, doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;

    *d = doy - (153 * mp + 2) / 5 + 1;
    *m = mp + (mp < 10 ? 3 : -9);
    *y = yoe + era * 400 + (*m <= 2);
}

/* "+02", "-03:30", "+00:00:01": seconds east of Greenwich. */
static bool parse_zone(const char *p, int64_t *out_s)
{
    int h = 0, m = 0, s = 0, n = 0;
    char sign = *p;

    if ((sign != '+' && sign != '-') || sscanf(p + 1, "%2d%n", &h, &n) != 1)
        return false;
    p += 1 + n;
    if (*p == ':' && sscanf(p + 1, "%2d%n", &m, &n) == 1)
        p += 1 + n;
    if (*p == ':' && sscanf(p + 1, "%2d%n", &s, &n) == 1)
        p += 1 + n;
    *out_s = (sign == '-' ? -1 : 1) * (h * 3600 + m * 60 + s);
    return *p == '\0' || strcmp(p, " BC") == 0;
}

bool timestamp_parse(const char *text, int64_t *out_us)
{
    long long year = 0;
    int month = 0, day = 0, h = 0, m = 0, s = 0, n = 0;
    int64_t us = 0, zone = 0;

    if (strcmp(text, "infinity") == 0 || strcmp(text, "-infinity") == 0) {
        *out_us = *text == '-' ? INT64_MIN : INT64_MAX;
        return true;
    }
    if (sscanf(text, "%lld-%2d-%2d %2d:%2d:%2d%n", &year, &month, &day, &h, &m, &s, &n) != 6)
        return false;
    text += n;
    if (*text == '.') {
        int64_t unit = 100000;

        for (text++; *text >= '0' && *text <= '9'; text++, unit /= 10)
            us += (*text - '0') * unit;
    }
    if (!parse_zone(text, &zone))
        return false;
    if (strstr(text, " BC") != NULL)
        year = 1 - year;
    us += (days_of(year, month, day) * 86400 + h * 3600 + m * 60 + s - zone) * 1000000;
    *out_us = us;
    return true;
}

void timestamp_print(int64_t us, char out[96])
{
    int64_t days, rest, y, m, d;

    if (us == INT64_MAX || us == INT64_MIN) {
        (void)snprintf(out, 96, "%sinfinity", us < 0 ? "-" : "");
        return;
    }
    days = us / 86400000000 - (us % 86400000000 < 0);
    rest = us - days * 86400000000;
    date_of(days, &y, &m, &d);
    (void)snprintf(out, 96, "%04d-%02d-%02d %02d:%02d:%02d.%06d+00%s", (int)(y > 0 ? y : 1 - y),
                   (int)m, (int)d, (int)(rest / 3600000000), (int)(rest / 60000000 % 60),
                   (int)(rest / 1000000 % 60), (int)(rest % 1000000), y > 0 ? "" : " BC");
}
