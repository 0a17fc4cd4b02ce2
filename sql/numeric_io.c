/* NUMERIC in and out: text, doubles, rows, PostgreSQL's wire; and the running sum. */
#include <ctype.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/check.h"
#include "sql/numeric_int.h"

static enum status bad_text(struct bytes text, struct err *err)
{
    return err_set(err, ST_REJECT, SQLSTATE_INVALID_TEXT_REPRESENTATION,
                   "invalid input syntax for type numeric: \"%.*s\"", (int)text.len,
                   (const char *)text.ptr);
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

static bool word_is(struct bytes t, const char *word)
{
    return t.len == strlen(word) && strncasecmp((const char *)t.ptr, word, t.len) == 0;
}

/* digits [. digits] [e exponent] into plain digits and a scale. False: malformed. */
struct spelled {
    char *digits; /* zero-terminated */
    size_t n;
    int64_t scale;
};

static bool read_exponent(const char *p, const char *end, int64_t *out)
{
    bool neg = p < end && *p == '-';
    int64_t e = 0;

    if (p < end && (*p == '-' || *p == '+'))
        p++;
    if (p == end)
        return false;
    for (; p < end; p++) {
        if (!isdigit((unsigned char)*p))
            return false;
        if (e < INT32_MAX)
            e = e * 10 + (*p - '0');
    }
    *out = neg ? -e : e;
    return true;
}

static bool spell(struct bytes t, struct arena *mem, struct spelled *out)
{
    const char *p = (const char *)t.ptr;
    const char *end = p + t.len;
    bool point = false;
    int64_t exponent = 0;

    out->digits = arena_alloc(mem, t.len + 1);
    out->n = 0;
    out->scale = 0;
    for (; p < end; p++) {
        if (isdigit((unsigned char)*p)) {
            out->digits[out->n++] = *p;
            out->scale += point;
        } else if (*p == '.' && !point) {
            point = true;
        } else {
            break;
        }
    }
    if (out->n == 0)
        return false;
    if (p < end && (*p == 'e' || *p == 'E')) {
        if (!read_exponent(p + 1, end, &exponent))
            return false;
        p = end;
    }
    out->digits[out->n] = '\0';
    out->scale -= exponent;
    return p == end;
}

static enum status from_digits(const struct spelled *s, bool neg, struct arena *mem,
                               const struct numeric **out, struct err *err)
{
    mpz_t z;
    enum status st;

    if (s->scale < -NUMERIC_INT_DIGITS_MAX || (int64_t)s->n > NUMERIC_INT_DIGITS_MAX * 2 ||
        s->scale > NUMERIC_SCALE_MAX)
        return err_set(err, ST_REJECT, SQLSTATE_NUMERIC_VALUE_OUT_OF_RANGE,
                       "value overflows numeric format");
    if (mpz_init_set_str(z, s->digits, 10) != 0)
        abort(); /* only digits: see spell() */
    if (neg)
        mpz_neg(z, z);
    if (s->scale < 0) {
        mpz_t factor;

        mpz_init(factor);
        numeric_pow10(factor, (uint64_t)-s->scale);
        mpz_mul(z, z, factor);
        mpz_clear(factor);
    }
    st = numeric_make_checked(z, s->scale < 0 ? 0 : (int32_t)s->scale, mem, out, err);
    mpz_clear(z);
    return st;
}

enum status numeric_from_text(struct bytes text, struct arena *mem, const struct numeric **out,
                              struct err *err)
{
    struct bytes t = trim(text);
    bool neg = t.len > 0 && t.ptr[0] == '-';
    struct spelled s;

    if (word_is(t, "nan")) {
        *out = numeric_special(NUMERIC_NAN, mem);
        return ST_OK;
    }
    if (t.len > 0 && (t.ptr[0] == '-' || t.ptr[0] == '+')) {
        t.ptr++;
        t.len--;
    }
    if (word_is(t, "infinity") || word_is(t, "inf")) {
        *out = numeric_special(neg ? NUMERIC_NINF : NUMERIC_PINF, mem);
        return ST_OK;
    }
    if (!spell(t, mem, &s))
        return bad_text(text, err);
    return from_digits(&s, neg, mem, out, err);
}

static struct bytes special_text(enum numeric_kind kind)
{
    return bytes_str(kind == NUMERIC_NAN ? "NaN" : kind == NUMERIC_PINF ? "Infinity" : "-Infinity");
}

struct bytes numeric_text(const struct numeric *v, struct arena *mem)
{
    mpz_t view;
    size_t n;
    size_t lead;
    char *digits;
    char *out;
    char *p;

    if (v->kind != NUMERIC_FINITE)
        return special_text(v->kind);
    digits = arena_alloc(mem, mpz_sizeinbase(numeric_mpz(v, view), 10) + 2);
    mpz_get_str(digits, 10, numeric_mpz(v, view));
    if (v->neg)
        digits++;
    n = strlen(digits);
    lead = n > (size_t)v->scale ? 0 : (size_t)v->scale + 1 - n; /* zeros to put in front */
    out = p = arena_alloc(mem, n + lead + 2);
    if (v->neg)
        *p++ = '-';
    for (size_t i = 0; i < n + lead; i++) {
        if (i == n + lead - (size_t)v->scale)
            *p++ = '.';
        *p++ = i < lead ? '0' : digits[i - lead];
    }
    return bytes_of(out, (size_t)(p - out));
}

enum status numeric_from_double(double v, int digits, struct arena *mem, const struct numeric **out,
                                struct err *err)
{
    char text[64];

    if (isnan(v))
        *out = numeric_special(NUMERIC_NAN, mem);
    else if (isinf(v))
        *out = numeric_special(v < 0 ? NUMERIC_NINF : NUMERIC_PINF, mem);
    else {
        (void)snprintf(text, sizeof text, "%.*g", digits, v); /* fits: 15 digits and an exponent */
        return numeric_from_text(bytes_str(text), mem, out, err);
    }
    return ST_OK;
}

/* The running sum: a magnitude in limbs with a sign, at the largest scale met. */

static void sum_room(struct numeric_sum *s, uint32_t n, struct arena *mem)
{
    uint64_t *limbs;

    if (s->cap >= n)
        return;
    limbs = arena_zalloc(mem, (size_t)n * 2 * sizeof *limbs);
    if (s->n > 0)
        memcpy(limbs, s->limbs, s->n * sizeof *limbs);
    s->limbs = limbs;
    s->cap = n * 2;
}

static void sum_store(struct numeric_sum *s, mpz_srcptr z, int32_t scale, struct arena *mem)
{
    sum_room(s, (uint32_t)mpz_size(z) + 1, mem);
    s->n = (uint32_t)mpz_size(z);
    s->neg = mpz_sgn(z) < 0;
    s->scale = scale;
    if (s->n > 0)
        memcpy(s->limbs, mpz_limbs_read(z), s->n * sizeof s->limbs[0]);
}

static mpz_srcptr sum_mpz(const struct numeric_sum *s, mpz_t view)
{
    return mpz_roinit_n(view, s->limbs, s->neg ? -(mp_size_t)s->n : (mp_size_t)s->n);
}

void numeric_sum_add(struct numeric_sum *s, const struct numeric *v, struct arena *mem)
{
    int32_t scale = s->scale > v->scale ? s->scale : v->scale;
    mpz_t sum;
    mpz_t x;
    mpz_t view;

    switch (v->kind) {
    case NUMERIC_NAN:
        s->nan = true;
        return;
    case NUMERIC_PINF:
        s->pos_inf = true;
        return;
    case NUMERIC_NINF:
        s->neg_inf = true;
        return;
    case NUMERIC_FINITE:
        break;
    }
    mpz_init_set(sum, sum_mpz(s, view));
    mpz_init(x);
    if (scale > s->scale) {
        numeric_pow10(x, (uint64_t)(scale - s->scale));
        mpz_mul(sum, sum, x);
    }
    numeric_scaled(x, v, scale);
    mpz_add(sum, sum, x);
    sum_store(s, sum, scale, mem);
    mpz_clear(sum);
    mpz_clear(x);
}

enum status numeric_sum_value(const struct numeric_sum *s, struct arena *mem,
                              const struct numeric **out, struct err *err)
{
    mpz_t view;

    if (s->nan || (s->pos_inf && s->neg_inf))
        *out = numeric_special(NUMERIC_NAN, mem);
    else if (s->pos_inf || s->neg_inf)
        *out = numeric_special(s->pos_inf ? NUMERIC_PINF : NUMERIC_NINF, mem);
    else
        return numeric_make_checked(sum_mpz(s, view), s->scale, mem, out, err);
    return ST_OK;
}

/* Rows: kind, sign, scale, limbs. */

enum { ENCODE_NEG = 0x10 };

void numeric_encode(const struct numeric *v, struct buf *out)
{
    buf_put_u8(out, (uint8_t)(v->kind | (v->neg ? ENCODE_NEG : 0)));
    buf_put_varint(out, (uint64_t)v->scale);
    buf_put_varint(out, (uint64_t)v->n);
    for (int32_t i = 0; i < v->n; i++)
        buf_put_u64(out, v->limb[i]);
}

enum status numeric_decode(struct bytes in, struct arena *mem, const struct numeric **out,
                           struct err *err)
{
    struct rd r = rd_of(in);
    uint8_t head = rd_u8(&r);
    uint64_t scale = rd_varint(&r);
    uint64_t n = rd_varint(&r);
    struct numeric *v;

    if (r.bad || (head & ~ENCODE_NEG) > NUMERIC_NAN || scale > NUMERIC_SCALE_MAX ||
        rd_left(&r) != n * 8)
        goto damaged;
    v = arena_alloc(mem, sizeof *v + n * sizeof(mp_limb_t));
    v->kind = (enum numeric_kind)(head & ~ENCODE_NEG);
    v->neg = (head & ENCODE_NEG) != 0;
    v->scale = (int32_t)scale;
    v->n = (int32_t)n;
    for (uint64_t i = 0; i < n; i++)
        v->limb[i] = rd_u64(&r);
    if (n > 0 && v->limb[n - 1] == 0)
        goto damaged;
    *out = v;
    return ST_OK;
damaged:
    return err_set(err, ST_REJECT, SQLSTATE_DATA_CORRUPTED, "malformed stored numeric");
}

/* PostgreSQL's wire: counts of base-10000 digits, weight of the first, sign, display scale, digits. */

enum {
    WIRE_POS = 0x0000,
    WIRE_NEG = 0x4000,
    WIRE_NAN = 0xC000,
    WIRE_PINF = 0xD000,
    WIRE_NINF = 0xF000
};

static void put_be16(struct buf *out, int v)
{
    buf_put_u8(out, (uint8_t)(v >> 8));
    buf_put_u8(out, (uint8_t)v);
}

static void wire_head(struct buf *out, int n, int weight, int sign, int scale)
{
    put_be16(out, n);
    put_be16(out, weight);
    put_be16(out, sign);
    put_be16(out, scale);
}

static int group_of(const char *digits, size_t n, size_t at)
{
    int v = 0;

    for (size_t i = at; i < at + 4; i++)
        v = v * 10 + (i < n ? digits[i] - '0' : 0);
    return v;
}

void numeric_to_wire(const struct numeric *v, struct buf *out)
{
    struct arena mem;
    mpz_t z;
    mpz_t view;
    char *digits;
    size_t n;
    size_t pad;
    int n_groups;
    int first = 0;
    int last;

    if (v->kind != NUMERIC_FINITE) {
        wire_head(out, 0, 0,
                  v->kind == NUMERIC_NAN    ? WIRE_NAN
                  : v->kind == NUMERIC_PINF ? WIRE_PINF
                                            : WIRE_NINF,
                  v->kind == NUMERIC_NAN ? 0 : 0x20);
        return;
    }
    arena_init(&mem, 0);
    mpz_init_set(z, numeric_mpz(v, view));
    mpz_abs(z, z);
    /* Digits aligned so that the point falls between groups: pad the fraction behind, the rest in front. */
    pad = (4 - (size_t)v->scale % 4) % 4;
    n = mpz_sizeinbase(z, 10) + 8 + pad;
    digits = arena_alloc(&mem, n);
    mpz_get_str(digits + 4, 10, z);
    n = strlen(digits + 4);
    memset(digits + 4 + n, '0', pad);
    n += pad;
    pad = (4 - n % 4) % 4;
    digits += 4 - pad;
    memset(digits, '0', pad);
    n += pad;
    n_groups = (int)(n / 4);
    last = n_groups;
    while (first < last && group_of(digits, n, (size_t)first * 4) == 0)
        first++;
    while (last > first && group_of(digits, n, (size_t)(last - 1) * 4) == 0)
        last--;
    wire_head(out, last - first, last > first ? n_groups - (v->scale + 3) / 4 - 1 - first : 0,
              v->neg ? WIRE_NEG : WIRE_POS, v->scale);
    for (int i = first; i < last; i++)
        put_be16(out, group_of(digits, n, (size_t)i * 4));
    mpz_clear(z);
    arena_fini(&mem);
}

static int get_be16(struct rd *r)
{
    int hi = rd_u8(r);

    return (int16_t)(hi << 8 | rd_u8(r));
}

enum status numeric_from_wire(struct bytes wire, struct arena *mem, const struct numeric **out,
                              struct err *err)
{
    struct rd r = rd_of(wire);
    int n = (uint16_t)get_be16(&r);
    int weight = get_be16(&r);
    int sign = (uint16_t)get_be16(&r);
    int scale = (uint16_t)get_be16(&r);
    int64_t shift; /* power of ten of the last group */
    mpz_t z;
    mpz_t factor;
    enum status st;

    if (!r.bad && n == 0 && (sign == WIRE_NAN || sign == WIRE_PINF || sign == WIRE_NINF)) {
        *out = numeric_special(sign == WIRE_NAN    ? NUMERIC_NAN
                               : sign == WIRE_PINF ? NUMERIC_PINF
                                                   : NUMERIC_NINF,
                               mem);
        return ST_OK;
    }
    if (r.bad || (sign != WIRE_POS && sign != WIRE_NEG) || scale > NUMERIC_SCALE_MAX ||
        rd_left(&r) != (size_t)n * 2)
        goto malformed;
    mpz_init(z);
    mpz_init(factor);
    for (int i = 0; i < n; i++) {
        int group = get_be16(&r);

        if (group < 0 || group > 9999) {
            mpz_clear(z);
            mpz_clear(factor);
            goto malformed;
        }
        mpz_mul_ui(z, z, 10000);
        mpz_add_ui(z, z, (unsigned long)group);
    }
    shift = 4 * ((int64_t)weight - n + 1) + scale;
    if (shift >= 0) {
        numeric_pow10(factor, (uint64_t)shift);
        mpz_mul(z, z, factor);
    } else {
        numeric_drop_digits(z, (uint64_t)-shift, NUMERIC_TRUNC);
    }
    if (sign == WIRE_NEG)
        mpz_neg(z, z);
    st = numeric_make_checked(z, scale, mem, out, err);
    mpz_clear(z);
    mpz_clear(factor);
    return st;
malformed:
    return err_set(err, ST_REJECT, SQLSTATE_INVALID_BINARY_REPRESENTATION,
                   "invalid binary format of numeric");
}
