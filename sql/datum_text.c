/* Input and output functions: values as text, in PostgreSQL's forms. */
#include <ctype.h>
#include <errno.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/check.h"
#include "sql/cast.h"
#include "sql/datum.h"
#include "sql/numeric.h"
#include "sql/timestamp.h"
#include "sql/utf8.h"

enum { FLOAT_DIGITS_MAX = 40, FLOAT_ROOM = 64 };

/* digits * 10^(exp - n + 1) */
struct decimal {
    char digits[FLOAT_DIGITS_MAX];
    int n;
    int exp; /* of the first digit */
};

static struct decimal decimal_of(double v, int precision)
{
    struct decimal d = {.n = 0};
    char text[FLOAT_ROOM];
    char *e;

    (void)snprintf(text, sizeof text, "%.*e", precision,
                   fabs(v)); /* fits: 17 digits and an exponent */
    e = strchr(text, 'e');
    d.exp = (int)strtol(e + 1, NULL, 10);
    for (const char *p = text; p < e; p++)
        if (isdigit((unsigned char)*p))
            d.digits[d.n++] = *p;
    return d;
}

static bool reads_back(const struct decimal *d, double v, bool single)
{
    char text[FLOAT_ROOM];

    (void)snprintf(text, sizeof text, "%.*se%d", d->n, d->digits, d->exp - d->n + 1);
    return single ? strtof(text, NULL) == (float)fabs(v) : strtod(text, NULL) == fabs(v);
}

/* The next larger number of as many digits. */
static void increment(struct decimal *d)
{
    int i = d->n - 1;

    while (i >= 0 && d->digits[i] == '9')
        d->digits[i--] = '0';
    if (i >= 0) {
        d->digits[i]++;
    } else {
        d->digits[0] = '1'; /* 99 becomes 10 with the next exponent */
        d->exp++;
    }
}

/* The least digits that read back as v, and the nearest such. What rounds to v reaches half as far below a power
 * of two as above it: there the digits above may do where the nearest ones do not. Subnormals have fewer digits
 * than others, which is why they are tried from the first. */
static struct decimal shortest(double v, bool single)
{
    int exp;
    bool power_of_two = frexp(fabs(v), &exp) == 0.5;
    bool subnormal = fabs(v) < (single ? (double)FLT_MIN : DBL_MIN);
    int last = single ? 8 : 16;
    struct decimal d;

    for (int precision = subnormal ? 0 : single ? 5 : 14;; precision++) {
        d = decimal_of(v, precision);
        if (precision == last || reads_back(&d, v, single))
            break;
        if (power_of_two) {
            increment(&d);
            if (reads_back(&d, v, single))
                break;
        }
    }
    while (d.n > 1 && d.digits[d.n - 1] == '0')
        d.n--;
    d.digits[d.n] = '\0';
    return d;
}

/* Laid out as PostgreSQL does: plain digits for exponents from -4 to 14 (5 for real), else d.ddde+nn. */
static struct bytes float_text(double v, bool single, struct arena *mem)
{
    const char *sign = signbit(v) ? "-" : "";
    struct decimal d;

    if (isnan(v))
        return bytes_str("NaN");
    if (isinf(v))
        return bytes_str(v < 0 ? "-Infinity" : "Infinity");
    d = shortest(v, single);
    if (d.exp < -4 || d.exp >= (single ? 6 : 15))
        return bytes_str(arena_printf(mem, "%s%c%s%se%c%02d", sign, d.digits[0], d.n > 1 ? "." : "",
                                      d.digits + 1, d.exp < 0 ? '-' : '+', abs(d.exp)));
    if (d.exp < 0)
        return bytes_str(arena_printf(mem, "%s0.%.*s%s", sign, -d.exp - 1, "00000", d.digits));
    if (d.n <= d.exp + 1)
        return bytes_str(
            arena_printf(mem, "%s%s%.*s", sign, d.digits, d.exp + 1 - d.n, "0000000000000000000"));
    return bytes_str(
        arena_printf(mem, "%s%.*s.%s", sign, d.exp + 1, d.digits, d.digits + d.exp + 1));
}

static struct bytes int_text(int64_t i, struct arena *mem)
{
    char *end = (char *)arena_alloc(mem, 24) + 24;
    char *p = end;
    uint64_t u = i < 0 ? -(uint64_t)i : (uint64_t)i;

    do {
        *--p = (char)('0' + u % 10);
        u /= 10;
    } while (u > 0);
    if (i < 0)
        *--p = '-';
    return bytes_of(p, (size_t)(end - p));
}

static struct bytes bytea_text(struct bytes s, struct arena *mem)
{
    static const char hex[] = "0123456789abcdef";
    char *out = arena_alloc(mem, 2 + 2 * s.len);

    out[0] = '\\';
    out[1] = 'x';
    for (size_t i = 0; i < s.len; i++) {
        out[2 + 2 * i] = hex[s.ptr[i] >> 4];
        out[3 + 2 * i] = hex[s.ptr[i] & 15];
    }
    return bytes_of(out, 2 + 2 * s.len);
}

static struct bytes timestamp_out(int64_t ts, int32_t zone_s, struct arena *mem)
{
    char *text = arena_alloc(mem, TIMESTAMP_TEXT_MAX);

    return bytes_of(text, timestamp_text(ts, zone_s, text));
}

struct bytes datum_output(const struct datum *d, const struct func_env *env, struct arena *mem)
{
    ASSERT(!d->null);
    switch (d->type) {
    case TYPE_BOOL:
        return bytes_str(d->b ? "t" : "f");
    case TYPE_INT2:
    case TYPE_INT4:
    case TYPE_INT8:
        return int_text(d->i, mem);
    case TYPE_FLOAT4:
    case TYPE_FLOAT8:
        return float_text(d->d, d->type == TYPE_FLOAT4, mem);
    case TYPE_NUMERIC:
        return numeric_text(d->n, mem);
    case TYPE_UNKNOWN:
    case TYPE_TEXT:
    case TYPE_VARCHAR:
    case TYPE_BPCHAR:
        return d->s;
    case TYPE_BYTEA:
        return bytea_text(d->s, mem);
    case TYPE_TIMESTAMPTZ:
        return timestamp_out(d->i, env == NULL ? 0 : env->zone_s, mem);
    case TYPE_COUNT:
        break;
    }
    ASSERT(!"a type with an output function");
    return bytes_of(NULL, 0);
}

struct bytes datum_text(const struct datum *d, struct arena *mem)
{
    return datum_output(d, NULL, mem);
}

/* Input. */

static enum status bad(enum sql_type t, struct bytes text, struct err *err)
{
    if (t == TYPE_BYTEA)
        return err_set(err, ST_REJECT, SQLSTATE_INVALID_TEXT_REPRESENTATION,
                       "invalid input syntax for type bytea");
    return err_set(err, ST_REJECT, SQLSTATE_INVALID_TEXT_REPRESENTATION,
                   "invalid input syntax for type %s: \"%.*s\"", type_info(t)->name, (int)text.len,
                   (const char *)text.ptr);
}

static enum status out_of_range(enum sql_type t, struct bytes text, struct err *err)
{
    return err_set(err, ST_REJECT, SQLSTATE_NUMERIC_VALUE_OUT_OF_RANGE,
                   "value \"%.*s\" is out of range for type %s", (int)text.len,
                   (const char *)text.ptr, type_info(t)->name);
}

static struct bytes trim(struct bytes t)
{
    while (t.len > 0 && isspace(t.ptr[0])) {
        t.ptr++;
        t.len--;
    }
    while (t.len > 0 && isspace(t.ptr[t.len - 1]))
        t.len--;
    return t;
}

static enum status int_in(enum sql_type type, struct bytes text, int64_t *out, struct err *err)
{
    struct bytes t = trim(text);
    int bits = type == TYPE_INT2 ? 16 : type == TYPE_INT4 ? 32 : 64;
    bool neg = t.len > 0 && t.ptr[0] == '-';
    uint64_t limit = ((uint64_t)1 << (bits - 1)) - (neg ? 0 : 1);
    uint64_t v = 0;
    size_t i = t.len > 0 && (t.ptr[0] == '-' || t.ptr[0] == '+');
    bool large = false;

    if (i == t.len)
        return bad(type, text, err);
    for (; i < t.len; i++) {
        unsigned digit = (unsigned)(t.ptr[i] - '0');

        if (digit > 9)
            return bad(type, text, err);
        if (v > (UINT64_MAX - digit) / 10)
            large = true;
        v = v * 10 + digit;
        large |= v > limit;
    }
    if (large)
        return out_of_range(type, text, err);
    *out = (int64_t)(neg ? -v : v);
    return ST_OK;
}

static enum status float_in(enum sql_type type, struct bytes text, double *out, struct err *err)
{
    struct bytes t = trim(text);
    struct arena mem;
    const char *copy;
    char *end;
    double v;
    enum status st = ST_OK;

    if (t.len == 0 || memchr(t.ptr, '(', t.len) != NULL) /* nan(...) is C's, not SQL's */
        return bad(type, text, err);
    arena_init(&mem, 0);
    copy = arena_strndup(&mem, (const char *)t.ptr, t.len);
    errno = 0;
    v = type == TYPE_FLOAT4 ? (double)strtof(copy, &end) : strtod(copy, &end);
    if (end != copy + t.len)
        st = bad(type, text, err);
    else if (errno == ERANGE && (isinf(v) || v == 0))
        st = err_set(err, ST_REJECT, SQLSTATE_NUMERIC_VALUE_OUT_OF_RANGE,
                     "\"%s\" is out of range for type %s", copy, type_info(type)->name);
    else
        *out = v;
    arena_fini(&mem);
    return st;
}

/* PostgreSQL takes any beginning of a word that is not ambiguous. */
static enum status bool_in(struct bytes text, bool *out, struct err *err)
{
    static const struct {
        const char *word;
        size_t least;
        bool value;
    } words[] = {{"true", 1, true}, {"false", 1, false}, {"yes", 1, true}, {"no", 1, false},
                 {"on", 2, true},   {"off", 2, false},   {"1", 1, true},   {"0", 1, false}};
    struct bytes t = trim(text);

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (t.len >= words[i].least && t.len <= strlen(words[i].word) &&
            strncasecmp((const char *)t.ptr, words[i].word, t.len) == 0) {
            *out = words[i].value;
            return ST_OK;
        }
    }
    return bad(TYPE_BOOL, text, err);
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (uint8_t)tolower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum status bytea_hex_in(struct bytes t, struct arena *mem, struct bytes *out,
                                struct err *err)
{
    uint8_t *p = arena_alloc(mem, t.len / 2 + 1);
    size_t n = 0;

    for (size_t i = 0; i < t.len; i++) {
        int hi;
        int lo;

        if (isspace(t.ptr[i]))
            continue;
        hi = hex_digit(t.ptr[i]);
        if (hi < 0)
            return err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                           "invalid hexadecimal digit: \"%.*s\"", (int)utf8_step(t, i),
                           (const char *)t.ptr + i);
        if (++i == t.len)
            return err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                           "invalid hexadecimal data: odd number of digits");
        lo = hex_digit(t.ptr[i]);
        if (lo < 0)
            return err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                           "invalid hexadecimal digit: \"%.*s\"", (int)utf8_step(t, i),
                           (const char *)t.ptr + i);
        p[n++] = (uint8_t)(hi << 4 | lo);
    }
    *out = bytes_of(p, n);
    return ST_OK;
}

static bool is_octal(struct bytes t, size_t at)
{
    return at + 3 < t.len && t.ptr[at + 1] >= '0' && t.ptr[at + 1] <= '3' && t.ptr[at + 2] >= '0' &&
           t.ptr[at + 2] <= '7' && t.ptr[at + 3] >= '0' && t.ptr[at + 3] <= '7';
}

static enum status bytea_in(struct bytes t, struct arena *mem, struct bytes *out, struct err *err)
{
    uint8_t *p;
    size_t n = 0;

    if (t.len >= 2 && t.ptr[0] == '\\' && t.ptr[1] == 'x')
        return bytea_hex_in(bytes_of(t.ptr + 2, t.len - 2), mem, out, err);
    p = arena_alloc(mem, t.len + 1);
    for (size_t i = 0; i < t.len; i++) {
        if (t.ptr[i] != '\\') {
            p[n++] = t.ptr[i];
        } else if (i + 1 < t.len && t.ptr[i + 1] == '\\') {
            p[n++] = '\\';
            i++;
        } else if (is_octal(t, i)) {
            p[n++] = (uint8_t)((t.ptr[i + 1] - '0') << 6 | (t.ptr[i + 2] - '0') << 3 |
                               (t.ptr[i + 3] - '0'));
            i += 3;
        } else {
            return bad(TYPE_BYTEA, t, err);
        }
    }
    *out = bytes_of(p, n);
    return ST_OK;
}

enum status datum_input(enum sql_type t, struct bytes text, const struct func_env *env,
                        struct arena *mem, struct datum *out, struct err *err)
{
    struct datum d = {.type = t};
    enum status st = ST_OK;

    switch (t) {
    case TYPE_BOOL:
        TRY(bool_in(text, &d.b, err));
        break;
    case TYPE_INT2:
    case TYPE_INT4:
    case TYPE_INT8:
        TRY(int_in(t, text, &d.i, err));
        break;
    case TYPE_FLOAT4:
    case TYPE_FLOAT8:
        TRY(float_in(t, text, &d.d, err));
        break;
    case TYPE_NUMERIC:
        TRY(numeric_from_text(text, mem, &d.n, err));
        break;
    case TYPE_UNKNOWN:
    case TYPE_TEXT:
    case TYPE_VARCHAR:
    case TYPE_BPCHAR:
        d.s = arena_copy(mem, text);
        break;
    case TYPE_BYTEA:
        TRY(bytea_in(text, mem, &d.s, err));
        break;
    case TYPE_TIMESTAMPTZ:
        TRY(timestamp_from_text(text, env == NULL ? 0 : env->zone_s, env == NULL ? 0 : env->txn_us,
                                &d.i, err));
        break;
    case TYPE_COUNT:
        ASSERT(!"a type with an input function");
    }
    *out = d;
out:
    return st;
}

enum status datum_from_text(enum sql_type t, struct bytes text, struct arena *mem,
                            struct datum *out, struct err *err)
{
    return datum_input(t, text, NULL, mem, out, err);
}
