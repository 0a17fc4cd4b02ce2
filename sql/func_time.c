/* Functions of time. */
#include <math.h>
#include <string.h>
#include <strings.h>

#include "sql/func_int.h"
#include "sql/numeric.h"
#include "sql/timestamp.h"

static enum status put_ts(int64_t ts, struct datum *out)
{
    return func_put_int(TYPE_TIMESTAMPTZ, ts, out);
}

static enum status txn_time(FUNC_ARGS)
{
    FUNC_UNUSED;
    return put_ts(env->txn_us, out);
}

static enum status stmt_time(FUNC_ARGS)
{
    FUNC_UNUSED;
    return put_ts(env->stmt_us, out);
}

static enum status clock_time(FUNC_ARGS)
{
    FUNC_UNUSED;
    return put_ts(env->clock_us == NULL ? env->stmt_us : env->clock_us(env->clock_arg), out);
}

enum field {
    FIELD_MICROSECOND,
    FIELD_MILLISECOND,
    FIELD_SECOND,
    FIELD_MINUTE,
    FIELD_HOUR,
    FIELD_DAY,
    FIELD_WEEK,
    FIELD_MONTH,
    FIELD_QUARTER,
    FIELD_YEAR,
    FIELD_DECADE,
    FIELD_CENTURY,
    FIELD_MILLENNIUM,
    FIELD_DOW,
    FIELD_ISODOW,
    FIELD_DOY,
    FIELD_ISOYEAR,
    FIELD_EPOCH,
    FIELD_TIMEZONE,
    FIELD_TIMEZONE_HOUR,
    FIELD_TIMEZONE_MINUTE
};

static const struct {
    const char *name;
    enum field field;
} field_names[] = {
    {"microseconds", FIELD_MICROSECOND},
    {"microsecond", FIELD_MICROSECOND},
    {"microsecon", FIELD_MICROSECOND},
    {"us", FIELD_MICROSECOND},
    {"usec", FIELD_MICROSECOND},
    {"usecs", FIELD_MICROSECOND},
    {"useconds", FIELD_MICROSECOND},
    {"usecond", FIELD_MICROSECOND},
    {"milliseconds", FIELD_MILLISECOND},
    {"millisecon", FIELD_MILLISECOND},
    {"ms", FIELD_MILLISECOND},
    {"msec", FIELD_MILLISECOND},
    {"msecs", FIELD_MILLISECOND},
    {"msecond", FIELD_MILLISECOND},
    {"mseconds", FIELD_MILLISECOND},
    {"second", FIELD_SECOND},
    {"seconds", FIELD_SECOND},
    {"s", FIELD_SECOND},
    {"sec", FIELD_SECOND},
    {"secs", FIELD_SECOND},
    {"minute", FIELD_MINUTE},
    {"minutes", FIELD_MINUTE},
    {"m", FIELD_MINUTE},
    {"min", FIELD_MINUTE},
    {"mins", FIELD_MINUTE},
    {"hour", FIELD_HOUR},
    {"hours", FIELD_HOUR},
    {"h", FIELD_HOUR},
    {"hr", FIELD_HOUR},
    {"hrs", FIELD_HOUR},
    {"day", FIELD_DAY},
    {"days", FIELD_DAY},
    {"d", FIELD_DAY},
    {"week", FIELD_WEEK},
    {"weeks", FIELD_WEEK},
    {"w", FIELD_WEEK},
    {"month", FIELD_MONTH},
    {"months", FIELD_MONTH},
    {"mon", FIELD_MONTH},
    {"mons", FIELD_MONTH},
    {"quarter", FIELD_QUARTER},
    {"qtr", FIELD_QUARTER},
    {"year", FIELD_YEAR},
    {"years", FIELD_YEAR},
    {"y", FIELD_YEAR},
    {"yr", FIELD_YEAR},
    {"yrs", FIELD_YEAR},
    {"decade", FIELD_DECADE},
    {"decades", FIELD_DECADE},
    {"dec", FIELD_DECADE},
    {"decs", FIELD_DECADE},
    {"century", FIELD_CENTURY},
    {"centuries", FIELD_CENTURY},
    {"cent", FIELD_CENTURY},
    {"c", FIELD_CENTURY},
    {"millennium", FIELD_MILLENNIUM},
    {"millennia", FIELD_MILLENNIUM},
    {"mil", FIELD_MILLENNIUM},
    {"mils", FIELD_MILLENNIUM},
    {"dow", FIELD_DOW},
    {"isodow", FIELD_ISODOW},
    {"doy", FIELD_DOY},
    {"isoyear", FIELD_ISOYEAR},
    {"epoch", FIELD_EPOCH},
    {"timezone", FIELD_TIMEZONE},
    {"timezone_hour", FIELD_TIMEZONE_HOUR},
    {"timezone_h", FIELD_TIMEZONE_HOUR},
    {"timezone_minute", FIELD_TIMEZONE_MINUTE},
    {"timezone_m", FIELD_TIMEZONE_MINUTE},
};

static enum status field_of(struct bytes name, enum field *out, struct err *err)
{
    for (size_t i = 0; i < sizeof field_names / sizeof field_names[0]; i++) {
        if (strlen(field_names[i].name) == name.len &&
            strncasecmp(field_names[i].name, (const char *)name.ptr, name.len) == 0) {
            *out = field_names[i].field;
            return ST_OK;
        }
    }
    return err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                   "unit \"%.*s\" not recognized for type timestamp with time zone", (int)name.len,
                   (const char *)name.ptr);
}

/* Rounds towards minus infinity; years count from 1, with no year 0. */
static int64_t group_of_years(int64_t year, int64_t size)
{
    return year > 0 ? (year + size - 1) / size : -((size - 1 - (year - 1)) / size);
}

/* The value times 10^*out_scale. */
static int64_t extract(enum field f, int64_t ts, int32_t zone_s, int *out_scale)
{
    struct civil c = civil_of(ts, zone_s);
    int64_t year;

    *out_scale = 0;
    switch (f) {
    case FIELD_MICROSECOND:
        return c.second * INT64_C(1000000) + c.us;
    case FIELD_MILLISECOND:
        *out_scale = 3;
        return c.second * INT64_C(1000000) + c.us;
    case FIELD_SECOND:
        *out_scale = 6;
        return c.second * INT64_C(1000000) + c.us;
    case FIELD_MINUTE:
        return c.minute;
    case FIELD_HOUR:
        return c.hour;
    case FIELD_DAY:
        return c.day;
    case FIELD_WEEK:
        return civil_iso_week(&c, &year);
    case FIELD_MONTH:
        return c.month;
    case FIELD_QUARTER:
        return (c.month - 1) / 3 + 1;
    case FIELD_YEAR:
        return c.year > 0 ? c.year : c.year - 1;
    case FIELD_DECADE:
        return c.year >= 0 ? c.year / 10 : -((8 - (c.year - 1)) / 10);
    case FIELD_CENTURY:
        return group_of_years(c.year, 100);
    case FIELD_MILLENNIUM:
        return group_of_years(c.year, 1000);
    case FIELD_DOW:
        return civil_weekday(&c);
    case FIELD_ISODOW:
        return (civil_weekday(&c) + 6) % 7 + 1;
    case FIELD_DOY:
        return civil_day_of_year(&c);
    case FIELD_ISOYEAR:
        (void)civil_iso_week(&c, &year); /* the year is what is wanted */
        return year > 0 ? year : year - 1;
    case FIELD_EPOCH:
        *out_scale = 6;
        return ts;
    case FIELD_TIMEZONE:
        return zone_s;
    case FIELD_TIMEZONE_HOUR:
        return zone_s / 3600;
    case FIELD_TIMEZONE_MINUTE:
        return zone_s / 60 % 60;
    }
    return 0;
}

static bool is_infinite(int64_t ts)
{
    return ts == TIMESTAMP_INFINITY || ts == TIMESTAMP_NEG_INFINITY;
}

/* Parts that grow without end are infinite with the timestamp; the others are NULL then. */
static bool is_monotonic(enum field f)
{
    return f == FIELD_YEAR || f == FIELD_DECADE || f == FIELD_CENTURY || f == FIELD_MILLENNIUM ||
           f == FIELD_ISOYEAR || f == FIELD_EPOCH;
}

static enum status date_part(FUNC_ARGS)
{
    static const double powers[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6};
    enum field f;
    int scale;
    int64_t v;
    enum status st = field_of(args[0].s, &f, err);

    FUNC_UNUSED;
    if (st != ST_OK)
        return st;
    if (is_infinite(args[1].i)) {
        *out = datum_null(TYPE_FLOAT8);
        if (is_monotonic(f))
            *out = (struct datum){.type = TYPE_FLOAT8, .d = args[1].i > 0 ? HUGE_VAL : -HUGE_VAL};
        return ST_OK;
    }
    v = extract(f, args[1].i, env->zone_s, &scale);
    return func_put_double((double)v / powers[scale], out);
}

static enum status extract_numeric(FUNC_ARGS)
{
    enum field f;
    int scale;
    int64_t v;
    struct datum d = {.type = TYPE_NUMERIC};
    const char *text;
    enum status st = ST_OK;

    FUNC_UNUSED;
    TRY(field_of(args[0].s, &f, err));
    if (is_infinite(args[1].i) && !is_monotonic(f)) {
        *out = datum_null(TYPE_NUMERIC);
        return ST_OK;
    }
    if (is_infinite(args[1].i)) {
        text = args[1].i > 0 ? "Infinity" : "-Infinity";
        TRY(numeric_from_text(bytes_str(text), mem, &d.n, err));
        *out = d;
        return ST_OK;
    }
    v = extract(f, args[1].i, env->zone_s, &scale);
    text = arena_printf(mem, "%llde-%d", (long long)v, scale);
    TRY(numeric_from_text(bytes_str(text), mem, &d.n, err));
    *out = d;
out:
    return st;
}

static void truncate_to(enum field f, struct civil *c)
{
    int64_t span = f == FIELD_DECADE ? 10 : f == FIELD_CENTURY ? 100 : 1000;

    switch (f) {
    case FIELD_MILLENNIUM:
    case FIELD_CENTURY:
        /* 2001 begins a century; before year 1, 100 BC does, so that the groups are as long on both sides. */
        c->year = c->year > 0 ? (c->year + span - 1) / span * span - (span - 1)
                              : -((span - 1 - (c->year - 1)) / span) * span + 1;
        c->month = 1;
        break;
    case FIELD_DECADE:
        c->year = c->year >= 0 ? c->year / 10 * 10 : -((8 - (c->year - 1)) / 10) * 10;
        c->month = 1;
        break;
    case FIELD_YEAR:
        c->month = 1;
        break;
    case FIELD_QUARTER:
        c->month = (c->month - 1) / 3 * 3 + 1;
        break;
    case FIELD_WEEK:
        c->day -= (civil_weekday(c) + 6) % 7;
        break;
    case FIELD_MICROSECOND:
    case FIELD_MILLISECOND:
    case FIELD_SECOND:
    case FIELD_MINUTE:
    case FIELD_HOUR:
    case FIELD_DAY:
    case FIELD_MONTH:
    case FIELD_DOW:
    case FIELD_ISODOW:
    case FIELD_DOY:
    case FIELD_ISOYEAR:
    case FIELD_EPOCH:
    case FIELD_TIMEZONE:
    case FIELD_TIMEZONE_HOUR:
    case FIELD_TIMEZONE_MINUTE:
        break;
    }
    if (f >= FIELD_MONTH && f <= FIELD_MILLENNIUM)
        c->day = 1;
    if (f >= FIELD_DAY)
        c->hour = 0;
    if (f >= FIELD_HOUR)
        c->minute = 0;
    if (f >= FIELD_MINUTE)
        c->second = 0;
    if (f >= FIELD_SECOND)
        c->us = 0;
    else if (f == FIELD_MILLISECOND)
        c->us = c->us / 1000 * 1000;
}

static enum status date_trunc(FUNC_ARGS)
{
    enum field f;
    struct civil c;
    int64_t ts;
    enum status st = ST_OK;

    FUNC_UNUSED;
    TRY(field_of(args[0].s, &f, err));
    if (f > FIELD_MILLENNIUM)
        return err_set(
            err, ST_REJECT,
            f == FIELD_TIMEZONE ? SQLSTATE_FEATURE_NOT_SUPPORTED : SQLSTATE_INVALID_PARAMETER_VALUE,
            f == FIELD_TIMEZONE ? "unit \"%.*s\" not supported for type timestamp with time zone"
                                : "unit \"%.*s\" not recognized for type timestamp with time zone",
            (int)args[0].s.len, (const char *)args[0].s.ptr);
    if (is_infinite(args[1].i)) {
        *out = args[1];
        return ST_OK;
    }
    c = civil_of(args[1].i, env->zone_s);
    truncate_to(f, &c);
    TRY(civil_to_timestamp(&c, env->zone_s, &ts, err));
    st = put_ts(ts, out);
out:
    return st;
}

static enum status to_timestamp(FUNC_ARGS)
{
    double us = args[0].d * 1e6;

    FUNC_UNUSED;
    if (isnan(us))
        return err_set(err, ST_REJECT, SQLSTATE_DATETIME_FIELD_OVERFLOW, "timestamp cannot be NaN");
    if (us < (double)TIMESTAMP_MIN || us >= (double)TIMESTAMP_MAX) {
        if (isinf(args[0].d) && args[0].d > 0)
            return put_ts(TIMESTAMP_INFINITY, out);
        if (isinf(args[0].d))
            return put_ts(TIMESTAMP_NEG_INFINITY, out);
        return err_set(err, ST_REJECT, SQLSTATE_DATETIME_FIELD_OVERFLOW,
                       "timestamp out of range: \"%g\"", args[0].d);
    }
    return put_ts((int64_t)(us < 0 ? us - 0.5 : us + 0.5), out);
}

#define NOW(fname, vol, fn)                                                                   \
    {                                                                                         \
        .name = fname, .n_args = 0, .result = TYPE_TIMESTAMPTZ, .volatility = vol, .call = fn \
    }
#define PART(fname, r, fn)                                                              \
    {                                                                                   \
        .name = fname, .n_args = 2, .args = {TYPE_TEXT, TYPE_TIMESTAMPTZ}, .result = r, \
        .volatility = FUNC_STABLE, .call = fn                                           \
    }

static const struct func table[] = {
    NOW("now", FUNC_STABLE, txn_time),
    NOW("current_timestamp", FUNC_STABLE, txn_time),
    NOW("transaction_timestamp", FUNC_STABLE, txn_time),
    NOW("statement_timestamp", FUNC_STABLE, stmt_time),
    NOW("clock_timestamp", FUNC_VOLATILE, clock_time),
    PART("date_part", TYPE_FLOAT8, date_part),
    PART("extract", TYPE_NUMERIC, extract_numeric),
    PART("date_trunc", TYPE_TIMESTAMPTZ, date_trunc),
    {.name = "to_timestamp",
     .n_args = 1,
     .args = {TYPE_FLOAT8},
     .result = TYPE_TIMESTAMPTZ,
     .call = to_timestamp},
};

const struct func_table func_time_table = {table, sizeof table / sizeof table[0]};
