/* Arithmetic of NUMERIC, with PostgreSQL's choice of result scales. */
#include <stdlib.h>
#include <string.h>

#include "sql/numeric_int.h"

static int32_t max32(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

static bool finite_pair(const struct numeric *a, const struct numeric *b)
{
    return a->kind == NUMERIC_FINITE && b->kind == NUMERIC_FINITE;
}

static const struct numeric *inf(int sign, struct arena *mem)
{
    return numeric_special(sign < 0 ? NUMERIC_NINF : NUMERIC_PINF, mem);
}

static enum status add_signed(const struct numeric *a, const struct numeric *b, int sign,
                              struct arena *mem, const struct numeric **out, struct err *err)
{
    int32_t scale = max32(a->scale, b->scale);
    mpz_t x;
    mpz_t y;
    enum status st;

    if (!finite_pair(a, b)) {
        int sb = sign * numeric_sign(b);

        if (numeric_is_nan(a) || numeric_is_nan(b) ||
            (numeric_is_inf(a) && numeric_is_inf(b) && numeric_sign(a) != sb))
            *out = numeric_special(NUMERIC_NAN, mem);
        else
            *out = inf(numeric_is_inf(a) ? numeric_sign(a) : sb, mem);
        return ST_OK;
    }
    mpz_init(x);
    mpz_init(y);
    numeric_scaled(x, a, scale);
    numeric_scaled(y, b, scale);
    if (sign < 0)
        mpz_sub(x, x, y);
    else
        mpz_add(x, x, y);
    st = numeric_make_checked(x, scale, mem, out, err);
    mpz_clear(x);
    mpz_clear(y);
    return st;
}

enum status numeric_add(const struct numeric *a, const struct numeric *b, struct arena *mem,
                        const struct numeric **out, struct err *err)
{
    return add_signed(a, b, 1, mem, out, err);
}

enum status numeric_sub(const struct numeric *a, const struct numeric *b, struct arena *mem,
                        const struct numeric **out, struct err *err)
{
    return add_signed(a, b, -1, mem, out, err);
}

enum status numeric_mul(const struct numeric *a, const struct numeric *b, struct arena *mem,
                        const struct numeric **out, struct err *err)
{
    int32_t scale = a->scale + b->scale;
    mpz_t va;
    mpz_t vb;
    mpz_t z;
    enum status st;

    if (!finite_pair(a, b)) {
        int sign = numeric_sign(a) * numeric_sign(b);

        *out = numeric_is_nan(a) || numeric_is_nan(b) || sign == 0
                   ? numeric_special(NUMERIC_NAN, mem)
                   : inf(sign, mem);
        return ST_OK;
    }
    mpz_init(z);
    mpz_mul(z, numeric_mpz(a, va), numeric_mpz(b, vb));
    if (scale > NUMERIC_SCALE_MAX) {
        numeric_drop_digits(z, (uint64_t)(scale - NUMERIC_SCALE_MAX), NUMERIC_ROUND);
        scale = NUMERIC_SCALE_MAX;
    }
    st = numeric_make_checked(z, scale, mem, out, err);
    mpz_clear(z);
    return st;
}

static enum status by_zero(struct err *err)
{
    return err_set(err, ST_REJECT, SQLSTATE_DIVISION_BY_ZERO, "division by zero");
}

/* At least 16 significant digits, and no fewer after the point than either operand has. */
static int32_t div_scale(const struct numeric *a, const struct numeric *b)
{
    int64_t wa;
    int64_t wb;
    int64_t scale;
    int da;
    int db;

    numeric_leading(a, &wa, &da);
    numeric_leading(b, &wb, &db);
    scale = NUMERIC_MIN_SIG_DIGITS - 4 * (wa - wb - (da <= db));
    scale = scale > a->scale ? scale : a->scale;
    scale = scale > b->scale ? scale : b->scale;
    if (scale < 0)
        scale = 0;
    return (int32_t)(scale > NUMERIC_DISPLAY_SCALE_MAX ? NUMERIC_DISPLAY_SCALE_MAX : scale);
}

static enum status div_special(const struct numeric *a, const struct numeric *b, struct arena *mem,
                               const struct numeric **out, struct err *err)
{
    if (numeric_is_nan(a) || numeric_is_nan(b) || (numeric_is_inf(a) && numeric_is_inf(b)))
        *out = numeric_special(NUMERIC_NAN, mem);
    else if (numeric_is_inf(b))
        *out = numeric_from_int(0, mem);
    else if (numeric_sign(b) == 0)
        return by_zero(err);
    else
        *out = inf(numeric_sign(a) * numeric_sign(b), mem);
    return ST_OK;
}

enum status numeric_div(const struct numeric *a, const struct numeric *b, struct arena *mem,
                        const struct numeric **out, struct err *err)
{
    int32_t scale;
    int32_t shift;
    mpz_t x;
    mpz_t y;
    mpz_t vb;
    enum status st;

    if (!finite_pair(a, b))
        return div_special(a, b, mem, out, err);
    if (b->n == 0)
        return by_zero(err);
    scale = div_scale(a, b);
    /* a/b with one more digit than wanted, truncated, then rounded: the sticky remainder cannot matter for
     * rounding half away from zero, since a tie is exact. */
    mpz_init_set(x, numeric_mpz(a, vb));
    mpz_init(y);
    shift = scale + 1 + b->scale - a->scale;
    numeric_pow10(y, (uint64_t)abs(shift));
    if (shift >= 0) {
        mpz_mul(x, x, y);
        mpz_tdiv_q(x, x, numeric_mpz(b, vb));
    } else { /* the result's scale is bounded, a's is not */
        mpz_mul(y, y, numeric_mpz(b, vb));
        mpz_tdiv_q(x, x, y);
    }
    numeric_drop_digits(x, 1, NUMERIC_ROUND);
    st = numeric_make_checked(x, scale, mem, out, err);
    mpz_clear(x);
    mpz_clear(y);
    return st;
}

enum status numeric_mod(const struct numeric *a, const struct numeric *b, struct arena *mem,
                        const struct numeric **out, struct err *err)
{
    int32_t scale = max32(a->scale, b->scale);
    mpz_t x;
    mpz_t y;

    if (!finite_pair(a, b)) {
        if (numeric_is_nan(a) || numeric_is_nan(b) || numeric_is_inf(a))
            *out = numeric_special(NUMERIC_NAN, mem);
        else
            *out = numeric_copy(a, mem);
        return !numeric_is_nan(a) && b->kind == NUMERIC_FINITE && b->n == 0 ? by_zero(err) : ST_OK;
    }
    if (b->n == 0)
        return by_zero(err);
    mpz_init(x);
    mpz_init(y);
    numeric_scaled(x, a, scale);
    numeric_scaled(y, b, scale);
    mpz_tdiv_r(x, x, y);
    *out = numeric_make(x, scale, mem);
    mpz_clear(x);
    mpz_clear(y);
    return ST_OK;
}

static const struct numeric *with_sign(const struct numeric *v, bool neg, struct arena *mem)
{
    size_t size = numeric_size(v);
    struct numeric *c = memcpy(arena_alloc(mem, size), v, size);

    if (v->kind == NUMERIC_FINITE)
        c->neg = neg && v->n > 0;
    else if (v->kind != NUMERIC_NAN)
        c->kind = neg ? NUMERIC_NINF : NUMERIC_PINF;
    return c;
}

const struct numeric *numeric_neg(const struct numeric *v, struct arena *mem)
{
    return with_sign(v, numeric_sign(v) > 0, mem);
}

const struct numeric *numeric_abs(const struct numeric *v, struct arena *mem)
{
    return with_sign(v, false, mem);
}

enum status numeric_round(const struct numeric *v, int64_t digits, enum numeric_rounding how,
                          struct arena *mem, const struct numeric **out, struct err *err)
{
    mpz_t z;
    mpz_t view;
    mpz_t factor;
    int32_t scale;
    enum status st;

    if (v->kind != NUMERIC_FINITE) {
        *out = v;
        return ST_OK;
    }
    if (digits > NUMERIC_SCALE_MAX)
        digits = NUMERIC_SCALE_MAX;
    if (digits < -NUMERIC_INT_DIGITS_MAX)
        digits = -NUMERIC_INT_DIGITS_MAX;
    scale = digits < 0 ? 0 : (int32_t)digits;
    mpz_init(z);
    if (digits >= v->scale) {
        numeric_scaled(z, v, scale);
    } else {
        mpz_set(z, numeric_mpz(v, view));
        numeric_drop_digits(z, (uint64_t)(v->scale - digits), how);
        if (digits < 0) {
            mpz_init(factor);
            numeric_pow10(factor, (uint64_t)-digits);
            mpz_mul(z, z, factor);
            mpz_clear(factor);
        }
    }
    st = numeric_make_checked(z, scale, mem, out, err);
    mpz_clear(z);
    return st;
}

enum status numeric_fit(const struct numeric *v, int precision, int scale, struct arena *mem,
                        const struct numeric **out, struct err *err)
{
    const struct numeric *r;
    mpz_t view;
    enum status st;

    if (numeric_is_nan(v)) {
        *out = v;
        return ST_OK;
    }
    if (v->kind == NUMERIC_FINITE) {
        st = numeric_round(v, scale, NUMERIC_ROUND, mem, &r, err);
        if (st != ST_OK)
            return st;
        if (numeric_n_digits(numeric_mpz(r, view)) <=
            (size_t)(precision + (scale < 0 ? -scale : 0))) {
            *out = r;
            return ST_OK;
        }
    }
    (void)err_set(err, ST_REJECT, SQLSTATE_NUMERIC_VALUE_OUT_OF_RANGE, "numeric field overflow");
    if (v->kind != NUMERIC_FINITE)
        return err_detail(err, "A field with precision %d, scale %d cannot hold an infinite value.",
                          precision, scale);
    return err_detail(err,
                      "A field with precision %d, scale %d must round to an absolute value less "
                      "than %s%d.",
                      precision, scale, precision == scale ? "" : "10^",
                      precision == scale ? 1 : precision - scale);
}

enum status numeric_sqrt(const struct numeric *v, struct arena *mem, const struct numeric **out,
                         struct err *err)
{
    int64_t weight;
    int64_t sweight;
    int32_t scale;
    int digit;
    mpz_t z;
    enum status st;

    if (v->kind == NUMERIC_NAN || v->kind == NUMERIC_PINF) {
        *out = v;
        return ST_OK;
    }
    if (numeric_sign(v) < 0)
        return err_set(err, ST_REJECT, SQLSTATE_INVALID_ARGUMENT_FOR_POWER_FUNCTION,
                       "cannot take square root of a negative number");
    numeric_leading(v, &weight, &digit);
    sweight = (weight + 1) * 2 - 1;
    scale = max32((int32_t)(NUMERIC_MIN_SIG_DIGITS - sweight), v->scale);
    scale = scale < 0 ? 0 : scale > NUMERIC_DISPLAY_SCALE_MAX ? NUMERIC_DISPLAY_SCALE_MAX : scale;
    /* floor(sqrt(v * 10^(2 scale + 2))), then one digit is rounded away */
    mpz_init(z);
    numeric_scaled(z, v, 2 * scale + 2 > v->scale ? 2 * scale + 2 : v->scale);
    mpz_sqrt(z, z);
    numeric_drop_digits(z, 1, NUMERIC_ROUND);
    st = numeric_make_checked(z, scale, mem, out, err);
    mpz_clear(z);
    return st;
}
