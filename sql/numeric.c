#include "sql/numeric.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "sql/numeric_int.h"

const struct numeric *numeric_special(enum numeric_kind kind, struct arena *mem)
{
    struct numeric *v = arena_zalloc(mem, sizeof *v);

    v->kind = kind;
    return v;
}

const struct numeric *numeric_make(mpz_srcptr z, int32_t scale, struct arena *mem)
{
    size_t n = mpz_size(z);
    struct numeric *v = arena_alloc(mem, sizeof *v + n * sizeof(mp_limb_t));

    v->kind = NUMERIC_FINITE;
    v->scale = scale;
    v->n = (int32_t)n;
    v->neg = mpz_sgn(z) < 0;
    if (n > 0)
        memcpy(v->limb, mpz_limbs_read(z), n * sizeof(mp_limb_t));
    return v;
}

static enum status overflow(struct err *err)
{
    return err_set(err, ST_REJECT, SQLSTATE_NUMERIC_VALUE_OUT_OF_RANGE,
                   "value overflows numeric format");
}

enum status numeric_make_checked(mpz_srcptr z, int32_t scale, struct arena *mem,
                                 const struct numeric **out, struct err *err)
{
    size_t max = (size_t)NUMERIC_INT_DIGITS_MAX + (size_t)scale;

    if (scale > NUMERIC_SCALE_MAX || (mpz_sizeinbase(z, 10) > max && numeric_n_digits(z) > max))
        return overflow(err);
    *out = numeric_make(z, scale, mem);
    return ST_OK;
}

void numeric_pow10(mpz_t out, uint64_t n)
{
    mpz_ui_pow_ui(out, 10, n);
}

void numeric_scaled(mpz_t out, const struct numeric *v, int32_t scale)
{
    mpz_t view;
    mpz_t factor;

    ASSERT(scale >= v->scale);
    if (scale == v->scale) {
        mpz_set(out, numeric_mpz(v, view));
        return;
    }
    mpz_init(factor);
    numeric_pow10(factor, (uint64_t)(scale - v->scale));
    mpz_mul(out, numeric_mpz(v, view), factor);
    mpz_clear(factor);
}

void numeric_drop_digits(mpz_t z, uint64_t digits, enum numeric_rounding how)
{
    mpz_t d;
    mpz_t half;

    if (digits == 0)
        return;
    mpz_init(d);
    numeric_pow10(d, digits);
    switch (how) {
    case NUMERIC_ROUND: /* half away from zero */
        mpz_init(half);
        mpz_tdiv_q_2exp(half, d, 1);
        if (mpz_sgn(z) < 0)
            mpz_sub(z, z, half);
        else
            mpz_add(z, z, half);
        mpz_clear(half);
        mpz_tdiv_q(z, z, d);
        break;
    case NUMERIC_TRUNC:
        mpz_tdiv_q(z, z, d);
        break;
    case NUMERIC_FLOOR:
        mpz_fdiv_q(z, z, d);
        break;
    case NUMERIC_CEIL:
        mpz_cdiv_q(z, z, d);
        break;
    }
    mpz_clear(d);
}

size_t numeric_n_digits(mpz_srcptr z)
{
    size_t n = mpz_sizeinbase(z, 10); /* exact, or one too many */
    mpz_t p;

    if (mpz_sgn(z) == 0)
        return 0;
    mpz_init(p);
    numeric_pow10(p, n - 1);
    if (mpz_cmpabs(z, p) < 0)
        n--;
    mpz_clear(p);
    return n;
}

void numeric_leading(const struct numeric *v, int64_t *out_weight, int *out_digit)
{
    mpz_t view;
    mpz_t z;
    int64_t exp;
    int64_t weight;
    int64_t drop;

    *out_weight = 0;
    *out_digit = 0;
    if (v->kind != NUMERIC_FINITE || v->n == 0)
        return;
    mpz_init_set(z, numeric_mpz(v, view));
    mpz_abs(z, z);
    exp = (int64_t)numeric_n_digits(z) - 1 - v->scale;
    weight = exp >= 0 ? exp / 4 : -((3 - exp) / 4);
    /* first digit, base 10^4 = |v| / 10^(4 weight), and |v| = z / 10^scale */
    drop = 4 * weight + v->scale;
    if (drop >= 0) {
        numeric_drop_digits(z, (uint64_t)drop, NUMERIC_TRUNC);
    } else {
        mpz_t factor;

        mpz_init(factor);
        numeric_pow10(factor, (uint64_t)-drop);
        mpz_mul(z, z, factor);
        mpz_clear(factor);
    }
    *out_weight = weight;
    *out_digit = (int)mpz_get_ui(z);
    mpz_clear(z);
}

const struct numeric *numeric_from_int(int64_t i, struct arena *mem)
{
    return numeric_from_int128(i, mem);
}

const struct numeric *numeric_from_int128(__int128 i, struct arena *mem)
{
    unsigned __int128 u = i < 0 ? -(unsigned __int128)i : (unsigned __int128)i;
    struct numeric *v = arena_alloc(mem, sizeof *v + 2 * sizeof(mp_limb_t));

    v->kind = NUMERIC_FINITE;
    v->scale = 0;
    v->neg = i < 0;
    v->limb[0] = (mp_limb_t)u;
    v->limb[1] = (mp_limb_t)(u >> 64);
    v->n = v->limb[1] != 0 ? 2 : v->limb[0] != 0 ? 1 : 0;
    return v;
}

bool numeric_is_nan(const struct numeric *v)
{
    return v->kind == NUMERIC_NAN;
}

bool numeric_is_inf(const struct numeric *v)
{
    return v->kind == NUMERIC_PINF || v->kind == NUMERIC_NINF;
}

int numeric_sign(const struct numeric *v)
{
    switch (v->kind) {
    case NUMERIC_NINF:
        return -1;
    case NUMERIC_PINF:
    case NUMERIC_NAN:
        return 1;
    case NUMERIC_FINITE:
        break;
    }
    return v->n == 0 ? 0 : v->neg ? -1 : 1;
}

int numeric_scale(const struct numeric *v)
{
    return v->scale;
}

int numeric_cmp(const struct numeric *a, const struct numeric *b)
{
    int32_t scale = a->scale > b->scale ? a->scale : b->scale;
    mpz_t x;
    mpz_t y;
    int c;

    if (a->kind != NUMERIC_FINITE || b->kind != NUMERIC_FINITE)
        return (a->kind > b->kind) - (a->kind < b->kind);
    if (numeric_sign(a) != numeric_sign(b))
        return numeric_sign(a) < numeric_sign(b) ? -1 : 1;
    mpz_init(x);
    mpz_init(y);
    numeric_scaled(x, a, scale);
    numeric_scaled(y, b, scale);
    c = mpz_cmp(x, y);
    mpz_clear(x);
    mpz_clear(y);
    return (c > 0) - (c < 0);
}

uint64_t numeric_hash(const struct numeric *v)
{
    uint64_t h = 0x9e3779b97f4a7c15u * (uint64_t)(v->kind + 1) + (v->neg && v->n > 0);
    mpz_t z;
    mpz_t view;
    int32_t scale = v->scale;

    if (v->kind != NUMERIC_FINITE)
        return h;
    mpz_init_set(z, numeric_mpz(v, view));
    while (scale > 0 && mpz_divisible_ui_p(z, 10)) {
        mpz_divexact_ui(z, z, 10);
        scale--;
    }
    if (mpz_sgn(z) == 0)
        scale = 0;
    for (size_t i = 0; i < mpz_size(z); i++)
        h = (h ^ mpz_getlimbn(z, (mp_size_t)i)) * 0xff51afd7ed558ccdu;
    h = (h ^ (uint64_t)scale) * 0xc4ceb9fe1a85ec53u;
    mpz_clear(z);
    return h ^ h >> 32;
}

size_t numeric_size(const struct numeric *v)
{
    return sizeof *v + (size_t)v->n * sizeof(mp_limb_t);
}

const struct numeric *numeric_copy(const struct numeric *v, struct arena *mem)
{
    size_t size = numeric_size(v);

    return memcpy(arena_alloc(mem, size), v, size);
}

enum status numeric_to_int(const struct numeric *v, const char *type, int64_t min, int64_t max,
                           int64_t *out, struct err *err)
{
    mpz_t z;
    mpz_t view;
    bool fits;

    if (v->kind != NUMERIC_FINITE)
        return err_set(err, ST_REJECT, SQLSTATE_FEATURE_NOT_SUPPORTED, "cannot convert %s to %s",
                       v->kind == NUMERIC_NAN ? "NaN" : "infinity", type);
    mpz_init_set(z, numeric_mpz(v, view));
    numeric_drop_digits(z, (uint64_t)v->scale, NUMERIC_ROUND);
    fits = mpz_fits_slong_p(z) && mpz_get_si(z) >= min && mpz_get_si(z) <= max;
    if (fits)
        *out = mpz_get_si(z);
    mpz_clear(z);
    if (!fits)
        return err_set(err, ST_REJECT, SQLSTATE_NUMERIC_VALUE_OUT_OF_RANGE, "%s out of range",
                       type);
    return ST_OK;
}

static enum status to_binary(const struct numeric *v, bool single, double *out, struct err *err)
{
    struct arena mem;
    struct bytes text;
    char *copy;
    double d;
    enum status st = ST_OK;

    switch (v->kind) {
    case NUMERIC_NAN:
        *out = NAN;
        return ST_OK;
    case NUMERIC_PINF:
        *out = INFINITY;
        return ST_OK;
    case NUMERIC_NINF:
        *out = -INFINITY;
        return ST_OK;
    case NUMERIC_FINITE:
        break;
    }
    arena_init(&mem, 0);
    text = numeric_text(v, &mem); /* strtod rounds correctly; division of two doubles would not */
    copy = arena_strndup(&mem, (const char *)text.ptr, text.len);
    errno = 0;
    d = single ? (double)strtof(copy, NULL) : strtod(copy, NULL);
    if (errno == ERANGE && (isinf(d) || d == 0))
        st = err_set(err, ST_REJECT, SQLSTATE_NUMERIC_VALUE_OUT_OF_RANGE,
                     "\"%s\" is out of range for type %s", copy,
                     single ? "real" : "double precision");
    else
        *out = d;
    arena_fini(&mem);
    return st;
}

enum status numeric_to_double(const struct numeric *v, double *out, struct err *err)
{
    return to_binary(v, false, out, err);
}

enum status numeric_to_single(const struct numeric *v, double *out, struct err *err)
{
    return to_binary(v, true, out, err);
}
