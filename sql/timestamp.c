#include "sql/timestamp.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define US_PER_S   INT64_C(1000000)
#define US_PER_DAY (86400 * US_PER_S)

/* Days since 1970-01-01 of a proleptic Gregorian date, by counting years from March. */
static int64_t days_from_civil(int64_t y, int m, int d)
{
    int64_t era;
    int64_t yoe;
    int64_t doy;

    y -= m <= 2;
    era = (y >= 0 ? y : y - 399) / 400;
    yoe = y - era * 400;
    doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static void civil_from_days(int64_t z, struct civil *out)
{
    int64_t era;
    int64_t doe;
    int64_t yoe;
    int64_t doy;
    int64_t mp;

    z += 719468;
    era = (z >= 0 ? z : z - 146096) / 146097;
    doe = z - era * 146097;
    yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    mp = (5 * doy + 2) / 153;
    out->day = (int)(doy - (153 * mp + 2) / 5 + 1);
    out->month = (int)(mp < 10 ? mp + 3 : mp - 9);
    out->year = yoe + era * 400 + (out->month <= 2);
}

struct civil civil_of(int64_t ts, int32_t zone_s)
{
    int64_t local = ts + zone_s * US_PER_S;
    int64_t days = local / US_PER_DAY;
    int64_t rest = local % US_PER_DAY;
    struct civil c;

    if (rest < 0) {
        rest += US_PER_DAY;
        days--;
    }
    civil_from_days(days, &c);
    c.us = (int)(rest % US_PER_S);
    rest /= US_PER_S;
    c.second = (int)(rest % 60);
    c.minute = (int)(rest / 60 % 60);
    c.hour = (int)(rest / 3600);
    return c;
}

static enum status out_of_range(struct err *err)
{
    return err_set(err, ST_REJECT, SQLSTATE_DATETIME_FIELD_OVERFLOW, "timestamp out of range");
}

enum status civil_to_timestamp(const struct civil *c, int32_t zone_s, int64_t *out, struct err *err)
{
    int64_t year = c->year + (c->month - 1) / 12;
    int month = (c->month - 1) % 12;
    int64_t days;
    __int128 ts;

    if (month < 0) {
        month += 12;
        year--;
    }
    if (c->year > 300000 || c->year < -5000)
        return out_of_range(err);
    days = days_from_civil(year, month + 1, 1) + c->day - 1;
    ts = (__int128)days * US_PER_DAY +
         ((int64_t)c->hour * 3600 + (int64_t)c->minute * 60 + c->second - zone_s) * US_PER_S +
         c->us;
    if (ts < TIMESTAMP_MIN || ts > TIMESTAMP_MAX)
        return out_of_range(err);
    *out = (int64_t)ts;
    return ST_OK;
}

int civil_weekday(const struct civil *c)
{
    int64_t days = days_from_civil(c->year, c->month, c->day);

    return (int)(((days + 4) % 7 + 7) % 7); /* 1970-01-01 was a Thursday */
}

int civil_day_of_year(const struct civil *c)
{
    return (int)(days_from_civil(c->year, c->month, c->day) - days_from_civil(c->year, 1, 1)) + 1;
}

/* ISO 8601: week 1 holds the year's first Thursday. */
int civil_iso_week(const struct civil *c, int64_t *out_year)
{
    int64_t days = days_from_civil(c->year, c->month, c->day);
    int64_t thursday = days - (civil_weekday(c) + 6) % 7 + 3;
    struct civil t;

    civil_from_days(thursday, &t);
    *out_year = t.year;
    return (civil_day_of_year(&t) - 1) / 7 + 1;
}

/* Text out. */

static size_t put_zone(char *out, size_t room, int32_t zone_s)
{
    int abs_s = abs(zone_s);
    int n = snprintf(out, room, "%c%02d", zone_s < 0 ? '-' : '+', abs_s / 3600);

    if (abs_s % 3600 != 0)
        n += snprintf(out + n, room - (size_t)n, ":%02d", abs_s / 60 % 60);
    if (abs_s % 60 != 0)
        n += snprintf(out + n, room - (size_t)n, ":%02d", abs_s % 60);
    return (size_t)n;
}

size_t timestamp_text(int64_t ts, int32_t zone_s, char out[TIMESTAMP_TEXT_MAX])
{
    struct civil c;
    size_t n;

    if (ts == TIMESTAMP_INFINITY || ts == TIMESTAMP_NEG_INFINITY)
        return (size_t)snprintf(out, TIMESTAMP_TEXT_MAX, "%s", ts > 0 ? "infinity" : "-infinity");
    c = civil_of(ts, zone_s);
    n = (size_t)snprintf(out, TIMESTAMP_TEXT_MAX, "%04lld-%02d-%02d %02d:%02d:%02d",
                         (long long)(c.year > 0 ? c.year : 1 - c.year), c.month, c.day, c.hour,
                         c.minute, c.second);
    if (c.us != 0) {
        n += (size_t)snprintf(out + n, TIMESTAMP_TEXT_MAX - n, ".%06d", c.us);
        while (out[n - 1] == '0')
            n--;
    }
    n += put_zone(out + n, TIMESTAMP_TEXT_MAX - n, zone_s);
    if (c.year <= 0)
        n += (size_t)snprintf(out + n, TIMESTAMP_TEXT_MAX - n, " BC");
    return n;
}

/* Text in. */

struct scan {
    const char *p, *end;
};

static void skip_blanks(struct scan *s)
{
    while (s->p < s->end && isspace((unsigned char)*s->p))
        s->p++;
}

static bool take_char(struct scan *s, char c)
{
    if (s->p == s->end || *s->p != c)
        return false;
    s->p++;
    return true;
}

/* Digits, least to most of them; returns how many, 0 if there are not so many. */
static int take_digits(struct scan *s, int least, int most, int64_t *out)
{
    int n = 0;

    *out = 0;
    while (n < most && s->p + n < s->end && isdigit((unsigned char)s->p[n])) {
        *out = *out * 10 + (s->p[n] - '0');
        n++;
    }
    if (n < least)
        return 0;
    s->p += n;
    return n;
}

static bool take_word(struct scan *s, const char *word)
{
    size_t n = strlen(word);

    if ((size_t)(s->end - s->p) < n || strncasecmp(s->p, word, n) != 0)
        return false;
    if (s->p + n < s->end && isalnum((unsigned char)s->p[n]))
        return false;
    s->p += n;
    return true;
}

static bool is_separator(char c)
{
    return c == '-' || c == '/' || c == '.';
}

/* A month's name, or its first three letters. */
static bool take_month(struct scan *s, struct civil *c)
{
    static const char *const names[] = {"january",   "february", "march",    "april",
                                        "may",       "june",     "july",     "august",
                                        "september", "october",  "november", "december"};

    for (int i = 0; i < 12; i++) {
        char abbreviated[4] = {names[i][0], names[i][1], names[i][2], 0};

        if (take_word(s, names[i]) || take_word(s, abbreviated)) {
            c->month = i + 1;
            return true;
        }
    }
    return false;
}

/* What stands between the parts of a date with a month's name. */
static void skip_between(struct scan *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == ',' || *s->p == '-'))
        s->p++;
}

static bool take_int(struct scan *s, int least, int most, int *out)
{
    int64_t v;

    if (take_digits(s, least, most, &v) == 0)
        return false;
    *out = (int)v;
    return true;
}

/* A year; one of two digits is of this century or the last. */
static bool take_year(struct scan *s, struct civil *c)
{
    int n = take_digits(s, 1, 6, &c->year);

    if (n == 0)
        return false;
    if (n <= 2)
        c->year += c->year < 70 ? 2000 : 1900;
    return true;
}

/* Jan 5, 2024 */
static bool take_named_date(struct scan *s, struct civil *c)
{
    if (!take_month(s, c))
        return false;
    skip_between(s);
    if (!take_int(s, 1, 2, &c->day))
        return false;
    skip_between(s);
    return take_year(s, c);
}

/* 01/05/2024, month first; or 5 Jan 2024. v is the number read. */
static bool take_short_date(struct scan *s, int64_t v, struct civil *c)
{
    c->day = (int)v;
    if (s->p < s->end && is_separator(*s->p) && s->p + 1 < s->end &&
        isdigit((unsigned char)s->p[1])) {
        s->p++;
        c->month = (int)v;
        if (!take_int(s, 1, 2, &c->day) || s->p == s->end || !is_separator(*s->p))
            return false;
        s->p++;
        return take_year(s, c);
    }
    skip_between(s);
    if (!take_month(s, c))
        return false;
    skip_between(s);
    return take_year(s, c);
}

static bool take_date(struct scan *s, struct civil *c)
{
    int64_t v;
    int n = take_digits(s, 1, 8, &v);

    if (n == 0)
        return take_named_date(s, c);
    if (n == 8) { /* yyyymmdd */
        c->year = v / 10000;
        c->month = (int)(v / 100 % 100);
        c->day = (int)(v % 100);
        return true;
    }
    if (n <= 2)
        return take_short_date(s, v, c);
    if (n == 3 || n > 6 || s->p == s->end || !is_separator(*s->p))
        return false;
    c->year = v;
    s->p++;
    if (!take_int(s, 1, 2, &c->month) && !take_month(s, c))
        return false;
    if (s->p == s->end || !is_separator(*s->p))
        return false;
    s->p++;
    return take_int(s, 1, 2, &c->day);
}

static void take_fraction(struct scan *s, struct civil *c)
{
    int64_t v = 0;
    int n = 0;

    for (; s->p < s->end && isdigit((unsigned char)*s->p); s->p++, n++) {
        if (n < 6)
            v = v * 10 + (*s->p - '0');
        else if (n == 6 && *s->p >= '5')
            v++; /* rounds; a carry into the second is done by civil_to_timestamp() */
    }
    for (; n < 6; n++)
        v *= 10;
    c->us = (int)v;
}

/* hh:mm, hh:mm:ss.frac, hhmm, hhmmss.frac; then AM or PM. */
static bool take_time(struct scan *s, struct civil *c)
{
    int64_t v;
    int n = take_digits(s, 1, 6, &v);

    if (n == 4 || n == 6) {
        c->hour = (int)(n == 6 ? v / 10000 : v / 100);
        c->minute = (int)(n == 6 ? v / 100 % 100 : v % 100);
        c->second = (int)(n == 6 ? v % 100 : 0);
    } else {
        c->hour = (int)v;
        if (n < 1 || n > 2 || !take_char(s, ':') || !take_int(s, 2, 2, &c->minute))
            return false;
        if (take_char(s, ':') && !take_int(s, 2, 2, &c->second))
            return false;
    }
    if (take_char(s, '.'))
        take_fraction(s, c);
    skip_blanks(s);
    if (take_word(s, "pm"))
        c->hour = c->hour > 12 ? -1 : c->hour % 12 + 12;
    else if (take_word(s, "am"))
        c->hour = c->hour > 12 ? -1 : c->hour % 12;
    return true;
}

enum offset { OFFSET_OK, OFFSET_MALFORMED, OFFSET_TOO_LARGE };

static enum offset take_offset(struct scan *s, int32_t *out)
{
    int sign = *s->p == '-' ? -1 : 1;
    int64_t h;
    int64_t m = 0;
    int64_t sec = 0;
    int n;

    s->p++;
    n = take_digits(s, 1, 4, &h);
    if (n == 0)
        return OFFSET_MALFORMED;
    if (n > 2) { /* hhmm */
        m = h % 100;
        h /= 100;
    } else if (take_char(s, ':')) {
        if (take_digits(s, 2, 2, &m) == 0)
            return OFFSET_MALFORMED;
        if (take_char(s, ':') && take_digits(s, 2, 2, &sec) == 0)
            return OFFSET_MALFORMED;
    }
    if (h > 15 || m > 59 || sec > 59)
        return OFFSET_TOO_LARGE;
    *out = (int32_t)(sign * (h * 3600 + m * 60 + sec));
    return OFFSET_OK;
}

static enum offset take_zone(struct scan *s, int32_t *io_zone)
{
    if (s->p == s->end)
        return OFFSET_OK;
    if (*s->p == '+' || *s->p == '-')
        return take_offset(s, io_zone);
    if (take_word(s, "utc") || take_word(s, "gmt") || take_word(s, "z") || take_word(s, "zulu"))
        *io_zone = 0;
    return OFFSET_OK; /* else perhaps an era follows */
}

static enum status bad(struct bytes text, struct err *err)
{
    return err_set(err, ST_REJECT, SQLSTATE_INVALID_DATETIME_FORMAT,
                   "invalid input syntax for type timestamp with time zone: \"%.*s\"",
                   (int)text.len, (const char *)text.ptr);
}

static enum status bad_field(struct bytes text, struct err *err)
{
    return err_set(err, ST_REJECT, SQLSTATE_DATETIME_FIELD_OVERFLOW,
                   "date/time field value out of range: \"%.*s\"", (int)text.len,
                   (const char *)text.ptr);
}

/* The year is as it was written: there is no year 0. */
static enum status check_fields(const struct civil *c, bool bc, struct bytes text, struct err *err)
{
    static const int month_days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t year = bc ? 1 - c->year : c->year;
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    if (c->month < 1 || c->month > 12 || c->day < 1 || c->day > 31) {
        (void)bad_field(text, err);
        return err_hint(err, "Perhaps you need a different \"datestyle\" setting.");
    }
    if (c->year < 1 || c->day > month_days[c->month - 1] ||
        (c->month == 2 && c->day == 29 && !leap) || c->hour < 0 || c->hour > 24 || c->minute > 59 ||
        c->second > 60 || (c->hour == 24 && (c->minute | c->second | c->us) != 0))
        return bad_field(text, err);
    return ST_OK;
}

/* 'now', 'epoch', 'infinity': points in time by themselves; false if it is none of these. */
static bool special(struct scan s, int64_t now_us, int64_t *out)
{
    if (take_word(&s, "now"))
        *out = now_us;
    else if (take_word(&s, "epoch"))
        *out = 0;
    else if (take_word(&s, "infinity"))
        *out = TIMESTAMP_INFINITY;
    else if (take_word(&s, "-infinity"))
        *out = TIMESTAMP_NEG_INFINITY;
    else
        return false;
    return s.p == s.end;
}

/* 'today' and its neighbours, which a time may follow. */
static bool take_day_word(struct scan *s, int32_t zone_s, int64_t now_us, struct civil *c)
{
    static const struct {
        const char *word;
        int shift;
    } words[] = {{"today", 0}, {"tomorrow", 1}, {"yesterday", -1}};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (take_word(s, words[i].word)) {
            *c = civil_of(now_us + words[i].shift * US_PER_DAY, zone_s);
            c->hour = c->minute = c->second = c->us = 0;
            return true;
        }
    }
    return false;
}

enum status timestamp_from_text(struct bytes text, int32_t zone_s, int64_t now_us, int64_t *out,
                                struct err *err)
{
    struct scan s = {(const char *)text.ptr, (const char *)text.ptr + text.len};
    struct civil c = {0};
    bool bc;
    enum offset offset;
    enum status st = ST_OK;

    skip_blanks(&s);
    while (s.end > s.p && isspace((unsigned char)s.end[-1]))
        s.end--;
    if (special(s, now_us, out))
        return ST_OK;
    if (!take_day_word(&s, zone_s, now_us, &c) && !take_date(&s, &c))
        return bad(text, err);
    if (s.p < s.end && (*s.p == 'T' || *s.p == 't' || *s.p == ' ')) {
        s.p++;
        skip_blanks(&s);
        if (s.p < s.end && isdigit((unsigned char)*s.p) && !take_time(&s, &c))
            return bad(text, err);
    }
    skip_blanks(&s);
    offset = take_zone(&s, &zone_s);
    if (offset == OFFSET_TOO_LARGE)
        return err_set(err, ST_REJECT, SQLSTATE_INVALID_TIME_ZONE_DISPLACEMENT_VALUE,
                       "time zone displacement out of range: \"%.*s\"", (int)text.len,
                       (const char *)text.ptr);
    skip_blanks(&s);
    bc = take_word(&s, "bc");
    if (!bc)
        (void)take_word(&s, "ad"); /* the default era, written out */
    if (offset == OFFSET_MALFORMED || s.p != s.end)
        return bad(text, err);
    TRY(check_fields(&c, bc, text, err));
    if (bc)
        c.year = 1 - c.year;
    st = civil_to_timestamp(&c, zone_s, out, NULL);
    if (st != ST_OK)
        return err_set(err, st, SQLSTATE_DATETIME_FIELD_OVERFLOW,
                       "timestamp out of range: \"%.*s\"", (int)text.len, (const char *)text.ptr);
out:
    return st;
}

bool timestamp_zone(const char *name, int32_t *out_zone_s)
{
    struct scan s = {name, name + strlen(name)};

    if (strcasecmp(name, "utc") == 0 || strcasecmp(name, "gmt") == 0 ||
        strcasecmp(name, "etc/utc") == 0 || strcasecmp(name, "z") == 0 ||
        strcasecmp(name, "default") == 0) {
        *out_zone_s = 0;
        return true;
    }
    if (s.p == s.end)
        return false;
    if (*s.p == '+' || *s.p == '-')
        return take_offset(&s, out_zone_s) == OFFSET_OK && s.p == s.end;
    return false;
}
