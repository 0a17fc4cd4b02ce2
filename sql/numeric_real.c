/* Functions of NUMERIC whose results are rarely exact: exp, ln, log, power. Computed in GMP's floats with more
 * digits than the scale that PostgreSQL chooses for the result, then rounded to it. */
#include <math.h>
#include <stdlib.h>

#include "sql/numeric_int.h"

enum {
    GUARD_DIGITS = 40, /* lost to the reductions of arguments, and to rounding */
    EXP_MAX = 6000,    /* PostgreSQL's bound of exp()'s argument */
    REDUCED_BITS = 8   /* series run on arguments below 2^-8 */
};

#define LOG10_E 0.434294481903252

static enum status overflow(struct err *err)
{
    return err_set(err, ST_REJECT, SQLSTATE_NUMERIC_VALUE_OUT_OF_RANGE,
                   "value overflows numeric format");
}

static int32_t clamp_scale(int64_t scale, int32_t least)
{
    if (scale < least)
        scale = least;
    return (int32_t)(scale > NUMERIC_DISPLAY_SCALE_MAX ? NUMERIC_DISPLAY_SCALE_MAX : scale);
}

static const struct numeric *zero(int32_t scale, struct arena *mem)
{
    mpz_t z;
    const struct numeric *v;

    mpz_init(z);
    v = numeric_make(z, scale, mem);
    mpz_clear(z);
    return v;
}

static mp_bitcnt_t bits_for(int64_t digits)
{
    return (mp_bitcnt_t)((double)(digits + GUARD_DIGITS) * 3.33) + 64;
}

static void set_pow10(mpf_t out, uint64_t n)
{
    mpz_t z;

    mpz_init(z);
    numeric_pow10(z, n);
    mpf_set_z(out, z);
    mpz_clear(z);
}

/* out is initialised; v is finite. */
static void to_float(mpf_t out, const struct numeric *v)
{
    mpz_t view;
    mpf_t p;

    mpf_init2(p, mpf_get_prec(out));
    mpf_set_z(out, numeric_mpz(v, view));
    set_pow10(p, (uint64_t)v->scale);
    mpf_div(out, out, p);
    mpf_clear(p);
}

static enum status from_float(const mpf_t f, int32_t scale, struct arena *mem,
                              const struct numeric **out, struct err *err)
{
    mpf_t scaled;
    mpf_t p;
    mpz_t z;
    enum status st;

    mpf_init2(scaled, mpf_get_prec(f));
    mpf_init2(p, mpf_get_prec(f));
    mpz_init(z);
    set_pow10(p, (uint64_t)scale);
    mpf_mul(scaled, f, p);
    mpf_set_d(p, mpf_sgn(f) < 0 ? -0.5 : 0.5);
    mpf_add(scaled, scaled, p);
    mpz_set_f(z, scaled);
    st = numeric_make_checked(z, scale, mem, out, err);
    mpf_clear(scaled);
    mpf_clear(p);
    mpz_clear(z);
    return st;
}

/* ln(|v|) in a double, for sizes of results; v is not zero. */
static double ln_estimate(const struct numeric *v)
{
    mpz_t view;
    long exp;
    double d = fabs(mpz_get_d_2exp(&exp, numeric_mpz(v, view)));

    return log(d) + (double)exp * M_LN2 - (double)v->scale * M_LN10;
}

/* Digits before the point of ln(v), or less than zero for zeros behind it: v is above 0. */
static int64_t ln_weight(const struct numeric *v, struct arena *mem)
{
    double ln = ln_estimate(v);
    const struct numeric *distance = NULL;
    int64_t weight;
    int digit;

    if (ln <= -0.10536051565782630 || ln >= 0.09531017980432486) /* outside of 0.9 .. 1.1 */
        return (int64_t)log10(fabs(ln));
    if (numeric_sub(v, numeric_from_int(1, mem), mem, &distance, NULL) != ST_OK ||
        numeric_sign(distance) == 0)
        return 0;
    numeric_leading(distance, &weight, &digit);
    return 4 * weight + (int64_t)log10(digit);
}

/* out = e^x: x is halved until the series is quick, and the result squared as often. */
static void float_exp(mpf_t out, const mpf_t x)
{
    mp_bitcnt_t bits = mpf_get_prec(out);
    mpf_t r;
    mpf_t term;
    long exp;
    mp_bitcnt_t halvings;

    (void)mpf_get_d_2exp(&exp, x); /* the exponent alone is wanted */
    halvings = exp + REDUCED_BITS > 0 ? (mp_bitcnt_t)(exp + REDUCED_BITS) : 0;
    mpf_init2(r, bits);
    mpf_init2(term, bits);
    mpf_div_2exp(r, x, halvings);
    mpf_set_ui(out, 1);
    mpf_set_ui(term, 1);
    for (unsigned long i = 1; mpf_sgn(term) != 0; i++) {
        mpf_mul(term, term, r);
        mpf_div_ui(term, term, i);
        mpf_add(out, out, term);
        (void)mpf_get_d_2exp(&exp, term);
        if (exp < -(long)bits)
            break;
    }
    for (; halvings > 0; halvings--)
        mpf_mul(out, out, out);
    mpf_clear(r);
    mpf_clear(term);
}

/* out = ln(x), x above 0: roots are taken until x is near 1, then 2 artanh((x - 1) / (x + 1)). */
static void float_ln(mpf_t out, const mpf_t x)
{
    mp_bitcnt_t bits = mpf_get_prec(out);
    mpf_t y;
    mpf_t square;
    mpf_t term;
    mpf_t part;
    long exp;
    long first;
    mp_bitcnt_t roots = 0;

    mpf_init2(y, bits);
    mpf_init2(square, bits);
    mpf_init2(term, bits);
    mpf_init2(part, bits);
    mpf_set(y, x);
    for (;; roots++) {
        mpf_sub_ui(part, y, 1);
        (void)mpf_get_d_2exp(&exp, part);
        if (mpf_sgn(part) == 0 || exp <= -REDUCED_BITS)
            break;
        mpf_sqrt(y, y);
    }
    mpf_add_ui(term, y, 1);
    mpf_div(term, part, term);
    mpf_mul(square, term, term);
    mpf_set(out, term);
    (void)mpf_get_d_2exp(&first, term);
    for (unsigned long i = 3; mpf_sgn(term) != 0; i += 2) {
        mpf_mul(term, term, square);
        mpf_div_ui(part, term, i);
        mpf_add(out, out, part);
        (void)mpf_get_d_2exp(&exp, term);
        if (exp < first - (long)bits)
            break;
    }
    mpf_mul_2exp(out, out, roots + 1);
    mpf_clear(y);
    mpf_clear(square);
    mpf_clear(term);
    mpf_clear(part);
}

enum status numeric_exp(const struct numeric *v, struct arena *mem, const struct numeric **out,
                        struct err *err)
{
    double estimate;
    int32_t scale;
    mpf_t x;
    mpf_t r;
    enum status st;

    if (v->kind != NUMERIC_FINITE) {
        *out = v->kind == NUMERIC_NINF ? numeric_from_int(0, mem) : v;
        return ST_OK;
    }
    if (numeric_cmp(numeric_abs(v, mem), numeric_from_int(EXP_MAX, mem)) >= 0)
        estimate = v->neg ? -EXP_MAX : EXP_MAX;
    else if (v->n == 0 || ln_estimate(v) < -50)
        estimate = 0;
    else if (numeric_to_double(v, &estimate, err) != ST_OK)
        return overflow(err);
    scale = clamp_scale(NUMERIC_MIN_SIG_DIGITS - (int64_t)(estimate * LOG10_E), v->scale);
    if (estimate >= EXP_MAX)
        return overflow(err);
    if (estimate <= -EXP_MAX) {
        *out = zero(scale, mem);
        return ST_OK;
    }
    mpf_init2(x, bits_for(scale + (int64_t)fabs(estimate * LOG10_E)));
    mpf_init2(r, mpf_get_prec(x));
    to_float(x, v);
    float_exp(r, x);
    st = from_float(r, scale, mem, out, err);
    mpf_clear(x);
    mpf_clear(r);
    return st;
}

static enum status log_domain(const struct numeric *v, struct err *err)
{
    if (numeric_sign(v) < 0)
        return err_set(err, ST_REJECT, SQLSTATE_INVALID_ARGUMENT_FOR_LOGARITHM,
                       "cannot take logarithm of a negative number");
    if (numeric_sign(v) == 0)
        return err_set(err, ST_REJECT, SQLSTATE_INVALID_ARGUMENT_FOR_LOGARITHM,
                       "cannot take logarithm of zero");
    return ST_OK;
}

enum status numeric_ln(const struct numeric *v, struct arena *mem, const struct numeric **out,
                       struct err *err)
{
    int32_t scale;
    mpf_t x;
    mpf_t r;
    enum status st = ST_OK;

    if (!numeric_is_nan(v))
        TRY(log_domain(v, err));
    if (v->kind != NUMERIC_FINITE) {
        *out = v;
        return ST_OK;
    }
    scale = clamp_scale(NUMERIC_MIN_SIG_DIGITS - ln_weight(v, mem), v->scale);
    mpf_init2(x, bits_for(scale));
    mpf_init2(r, mpf_get_prec(x));
    to_float(x, v);
    float_ln(r, x);
    st = from_float(r, scale, mem, out, err);
    mpf_clear(x);
    mpf_clear(r);
out:
    return st;
}

/* Logarithms of infinities, and to infinite bases. */
static const struct numeric *log_special(const struct numeric *base, const struct numeric *v,
                                         struct arena *mem)
{
    if (numeric_is_nan(base) || numeric_is_nan(v) || (numeric_is_inf(base) && numeric_is_inf(v)))
        return numeric_special(NUMERIC_NAN, mem);
    return numeric_is_inf(base) ? numeric_from_int(0, mem) : v;
}

enum status numeric_log(const struct numeric *base, const struct numeric *v, struct arena *mem,
                        const struct numeric **out, struct err *err)
{
    int64_t weight_base;
    int64_t weight_v;
    int32_t scale;
    mpf_t x;
    mpf_t y;
    mpf_t r;
    enum status st = ST_OK;

    if (!numeric_is_nan(base) && !numeric_is_nan(v)) {
        TRY(log_domain(base, err));
        TRY(log_domain(v, err));
    }
    if (base->kind != NUMERIC_FINITE || v->kind != NUMERIC_FINITE) {
        *out = log_special(base, v, mem);
        return ST_OK;
    }
    if (numeric_cmp(base, numeric_from_int(1, mem)) == 0)
        return err_set(err, ST_REJECT, SQLSTATE_DIVISION_BY_ZERO, "division by zero");
    weight_base = ln_weight(base, mem);
    weight_v = ln_weight(v, mem);
    scale = clamp_scale(NUMERIC_MIN_SIG_DIGITS - (weight_v - weight_base),
                        base->scale > v->scale ? base->scale : v->scale);
    /* Each logarithm with as many digits as the quotient shall have, and those before its first. */
    mpf_init2(x, bits_for(scale + 16 + labs(weight_v) + 2 * labs(weight_base)));
    mpf_init2(y, mpf_get_prec(x));
    mpf_init2(r, mpf_get_prec(x));
    to_float(x, v);
    float_ln(r, x);
    to_float(x, base);
    float_ln(y, x);
    mpf_div(r, r, y);
    st = from_float(r, scale, mem, out, err);
    mpf_clear(x);
    mpf_clear(y);
    mpf_clear(r);
out:
    return st;
}

/* A decimal float of bounded length for powers: z * 10^-scale, exact until it must be cut. */
static void cut(mpz_t z, int64_t *scale, int64_t digits)
{
    int64_t drop = (int64_t)mpz_sizeinbase(z, 10) - digits;

    if (drop <= 0)
        return;
    numeric_drop_digits(z, (uint64_t)drop, NUMERIC_ROUND);
    *scale -= drop;
}

/* z * 10^-scale to a number with a scale of its own. */
static enum status settle(mpz_t z, int64_t from, int32_t scale, struct arena *mem,
                          const struct numeric **out, struct err *err)
{
    mpz_t factor;

    if (from - scale > 2 * NUMERIC_INT_DIGITS_MAX) {
        mpz_set_ui(z, 0);
    } else if (from > scale) {
        numeric_drop_digits(z, (uint64_t)(from - scale), NUMERIC_ROUND);
    } else if (scale - from > 2 * NUMERIC_INT_DIGITS_MAX) {
        return overflow(err);
    } else {
        mpz_init(factor);
        numeric_pow10(factor, (uint64_t)(scale - from));
        mpz_mul(z, z, factor);
        mpz_clear(factor);
    }
    return numeric_make_checked(z, scale, mem, out, err);
}

/* a^n, a not 0: squaring and multiplying, with `digits` significant digits. */
static enum status power_digits(const struct numeric *a, int64_t n, int64_t digits, int32_t scale,
                                struct arena *mem, const struct numeric **out, struct err *err)
{
    int64_t scale_square = a->scale;
    int64_t scale_result = 0;
    mpz_t square;
    mpz_t result;
    mpz_t view;
    enum status st;

    mpz_init_set(square, numeric_mpz(a, view));
    mpz_init_set_ui(result, 1);
    for (uint64_t left = (uint64_t)llabs(n); left > 0; left >>= 1) {
        if (left & 1) {
            mpz_mul(result, result, square);
            scale_result += scale_square;
            cut(result, &scale_result, digits);
        }
        if (left > 1) {
            mpz_mul(square, square, square);
            scale_square *= 2;
            cut(square, &scale_square, digits);
        }
    }
    if (n < 0) { /* 10^k / z, with k such that the quotient has enough digits */
        int64_t k = (int64_t)mpz_sizeinbase(result, 10) + digits;

        numeric_pow10(square, (uint64_t)k);
        mpz_tdiv_q(result, square, result);
        scale_result = k - scale_result;
    }
    st = settle(result, scale_result, scale, mem, out, err);
    mpz_clear(square);
    mpz_clear(result);
    return st;
}

static enum status power_int(const struct numeric *a, int64_t n, struct arena *mem,
                             const struct numeric **out, struct err *err)
{
    int32_t scale = clamp_scale(NUMERIC_MIN_SIG_DIGITS, a->scale);
    double weight;

    if (n == 0)
        return numeric_round(numeric_from_int(1, mem), scale, NUMERIC_ROUND, mem, out, err);
    if (a->n == 0) {
        *out = zero(scale, mem);
        return ST_OK;
    }
    weight = (double)n * ln_estimate(a) * LOG10_E; /* decimal digits before the point */
    if (weight > NUMERIC_INT_DIGITS_MAX + 1)
        return overflow(err);
    if (weight + 1 < -scale) {
        *out = zero(scale, mem);
        return ST_OK;
    }
    return power_digits(a, n, scale + (int64_t)weight + GUARD_DIGITS, scale, mem, out, err);
}

/* a^b = e^(b ln a), a above 0. */
static enum status power_real(const struct numeric *a, const struct numeric *b, bool negative,
                              struct arena *mem, const struct numeric **out, struct err *err)
{
    int64_t weight = ln_weight(a, mem);
    int32_t scale;
    int64_t digits;
    double ln;
    mpf_t x;
    mpf_t y;
    mpf_t r;
    enum status st;

    /* The size of b ln a first, with few digits: the product may be beyond every bound. */
    mpf_init2(x, bits_for(labs(weight) + 16));
    mpf_init2(y, mpf_get_prec(x));
    mpf_init2(r, mpf_get_prec(x));
    to_float(x, a);
    float_ln(r, x);
    to_float(y, b);
    mpf_mul(r, r, y);
    ln = mpf_cmp_d(r, 2 * EXP_MAX) > 0    ? 2 * EXP_MAX
         : mpf_cmp_d(r, -2 * EXP_MAX) < 0 ? -2 * EXP_MAX
                                          : mpf_get_d(r);
    if (ln >= EXP_MAX) {
        st = overflow(err);
        goto out;
    }
    if (ln <= -EXP_MAX) {
        *out = zero(NUMERIC_DISPLAY_SCALE_MAX, mem);
        st = ST_OK;
        goto out;
    }
    scale = clamp_scale(NUMERIC_MIN_SIG_DIGITS - (int64_t)(ln * LOG10_E),
                        a->scale > b->scale ? a->scale : b->scale);
    digits = scale + (int64_t)fabs(ln * LOG10_E) + labs(weight);
    mpf_set_prec(x, bits_for(digits));
    mpf_set_prec(y, bits_for(digits));
    mpf_set_prec(r, bits_for(digits));
    to_float(x, a);
    float_ln(r, x);
    to_float(y, b);
    mpf_mul(x, r, y);
    float_exp(r, x);
    if (negative)
        mpf_neg(r, r);
    st = from_float(r, scale, mem, out, err);
out:
    mpf_clear(x);
    mpf_clear(y);
    mpf_clear(r);
    return st;
}

static enum status undefined_power(struct err *err)
{
    return err_set(err, ST_REJECT, SQLSTATE_INVALID_ARGUMENT_FOR_POWER_FUNCTION,
                   "zero raised to a negative power is undefined");
}

static enum status complex_power(struct err *err)
{
    return err_set(err, ST_REJECT, SQLSTATE_INVALID_ARGUMENT_FOR_POWER_FUNCTION,
                   "a negative number raised to a non-integer power yields a complex result");
}

/* Whether b is an integer, and an even one. */
static bool whole(const struct numeric *b, bool *out_even)
{
    mpz_t z;
    mpz_t view;
    mpz_t p;
    bool yes;

    mpz_init_set(z, numeric_mpz(b, view));
    mpz_init(p);
    numeric_pow10(p, (uint64_t)b->scale);
    yes = mpz_divisible_p(z, p) != 0;
    if (yes)
        mpz_divexact(z, z, p);
    *out_even = mpz_even_p(z) != 0;
    mpz_clear(z);
    mpz_clear(p);
    return yes;
}

/* One of the two is NaN or infinite: the rules of POSIX's pow(), but for errors. */
static enum status power_special(const struct numeric *a, const struct numeric *b,
                                 struct arena *mem, const struct numeric **out, struct err *err)
{
    const struct numeric *one = numeric_from_int(1, mem);
    const struct numeric *nothing = numeric_from_int(0, mem);
    const struct numeric *inf = numeric_special(NUMERIC_PINF, mem);
    bool even = true;
    int size;

    *out = one;
    if ((b->kind == NUMERIC_FINITE && b->n == 0) || numeric_cmp(a, one) == 0)
        return ST_OK;
    *out = numeric_special(NUMERIC_NAN, mem);
    if (numeric_is_nan(a) || numeric_is_nan(b))
        return ST_OK;
    if (numeric_sign(a) == 0 && numeric_sign(b) < 0)
        return undefined_power(err);
    if (numeric_is_inf(b)) {
        size = numeric_cmp(numeric_abs(a, mem), one);
        *out = size == 0 ? one : (size > 0) == (numeric_sign(b) > 0) ? inf : nothing;
        return ST_OK;
    }
    if (numeric_sign(a) < 0 && !whole(b, &even))
        return complex_power(err);
    *out = numeric_sign(b) < 0            ? nothing
           : numeric_sign(a) < 0 && !even ? numeric_special(NUMERIC_NINF, mem)
                                          : inf;
    return ST_OK;
}

enum status numeric_power(const struct numeric *a, const struct numeric *b, struct arena *mem,
                          const struct numeric **out, struct err *err)
{
    bool even;
    bool integer;
    int64_t n;

    if (a->kind != NUMERIC_FINITE || b->kind != NUMERIC_FINITE)
        return power_special(a, b, mem, out, err);
    if (a->n == 0 && numeric_sign(b) < 0)
        return undefined_power(err);
    integer = whole(b, &even);
    if (integer && numeric_to_int(b, "integer", INT32_MIN, INT32_MAX, &n, NULL) == ST_OK)
        return power_int(a, n, mem, out, err);
    if (numeric_sign(a) < 0 && !integer)
        return complex_power(err);
    if (a->n == 0) {
        *out = zero(NUMERIC_MIN_SIG_DIGITS, mem);
        return ST_OK;
    }
    return power_real(numeric_abs(a, mem), b, a->neg && !even, mem, out, err);
}
