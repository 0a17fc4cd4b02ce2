/* Functions of numbers. */
#include <math.h>
#include <stdlib.h>

#include "sql/func_int.h"
#include "sql/numeric.h"

static enum status range(enum sql_type t, struct err *err)
{
    return err_set(err, ST_REJECT, SQLSTATE_NUMERIC_VALUE_OUT_OF_RANGE, "%s out of range",
                   type_info(t)->name);
}

static enum status int_abs(FUNC_ARGS)
{
    int64_t v = args[0].i;
    enum sql_type t = args[0].type;

    FUNC_UNUSED;
    if (v == (t == TYPE_INT2 ? INT16_MIN : t == TYPE_INT4 ? INT32_MIN : INT64_MIN))
        return range(t, err);
    return func_put_int(t, v < 0 ? -v : v, out);
}

static enum status float_abs(FUNC_ARGS)
{
    FUNC_UNUSED;
    *out = (struct datum){.type = args[0].type, .d = fabs(args[0].d)};
    return ST_OK;
}

static enum status num_abs(FUNC_ARGS)
{
    FUNC_UNUSED;
    *out = (struct datum){.type = TYPE_NUMERIC, .n = numeric_abs(args[0].n, mem)};
    return ST_OK;
}

static enum status int_mod(FUNC_ARGS)
{
    FUNC_UNUSED;
    if (args[1].i == 0)
        return err_set(err, ST_REJECT, SQLSTATE_DIVISION_BY_ZERO, "division by zero");
    return func_put_int(args[0].type, args[1].i == -1 ? 0 : args[0].i % args[1].i, out);
}

static enum status num_mod(FUNC_ARGS)
{
    struct datum d = {.type = TYPE_NUMERIC};
    enum status st = numeric_mod(args[0].n, args[1].n, mem, &d.n, err);

    FUNC_UNUSED;
    if (st == ST_OK)
        *out = d;
    return st;
}

/* Rounding: one digit count, four ways. */

static enum status num_digits(enum numeric_rounding how, int64_t digits, const struct datum *args,
                              struct arena *mem, struct datum *out, struct err *err)
{
    struct datum d = {.type = TYPE_NUMERIC};
    enum status st = numeric_round(args[0].n, digits, how, mem, &d.n, err);

    if (st == ST_OK)
        *out = d;
    return st;
}

static enum status num_round(FUNC_ARGS)
{
    FUNC_UNUSED;
    return num_digits(NUMERIC_ROUND, n > 1 ? args[1].i : 0, args, mem, out, err);
}

static enum status num_trunc(FUNC_ARGS)
{
    FUNC_UNUSED;
    return num_digits(NUMERIC_TRUNC, n > 1 ? args[1].i : 0, args, mem, out, err);
}

static enum status num_ceil(FUNC_ARGS)
{
    FUNC_UNUSED;
    return num_digits(NUMERIC_CEIL, 0, args, mem, out, err);
}

static enum status num_floor(FUNC_ARGS)
{
    FUNC_UNUSED;
    return num_digits(NUMERIC_FLOOR, 0, args, mem, out, err);
}

static enum status float_round(FUNC_ARGS)
{
    FUNC_UNUSED;
    return func_put_double(rint(args[0].d), out);
}

static enum status float_trunc(FUNC_ARGS)
{
    FUNC_UNUSED;
    return func_put_double(trunc(args[0].d), out);
}

static enum status float_ceil(FUNC_ARGS)
{
    FUNC_UNUSED;
    return func_put_double(ceil(args[0].d), out);
}

static enum status float_floor(FUNC_ARGS)
{
    FUNC_UNUSED;
    return func_put_double(floor(args[0].d), out);
}

static enum status float_sign(FUNC_ARGS)
{
    FUNC_UNUSED;
    return func_put_double(args[0].d > 0 ? 1 : args[0].d < 0 ? -1 : 0, out);
}

static enum status num_sign(FUNC_ARGS)
{
    FUNC_UNUSED;
    if (numeric_is_nan(args[0].n))
        *out = args[0];
    else
        *out = (struct datum){.type = TYPE_NUMERIC,
                              .n = numeric_from_int(numeric_sign(args[0].n), mem)};
    return ST_OK;
}

/* Functions of one double: domain errors first, then overflow. */

static enum status put_checked(double in, double v, struct datum *out, struct err *err)
{
    if (v == 0 && !isinf(in) && in != 0)
        return err_set(err, ST_REJECT, SQLSTATE_NUMERIC_VALUE_OUT_OF_RANGE,
                       "value out of range: underflow");
    if (isinf(v) && !isinf(in))
        return err_set(err, ST_REJECT, SQLSTATE_NUMERIC_VALUE_OUT_OF_RANGE,
                       "value out of range: overflow");
    return func_put_double(v, out);
}

static enum status float_sqrt(FUNC_ARGS)
{
    FUNC_UNUSED;
    if (args[0].d < 0)
        return err_set(err, ST_REJECT, SQLSTATE_INVALID_ARGUMENT_FOR_POWER_FUNCTION,
                       "cannot take square root of a negative number");
    return func_put_double(sqrt(args[0].d), out);
}

static enum status float_exp(FUNC_ARGS)
{
    FUNC_UNUSED;
    return put_checked(args[0].d, exp(args[0].d), out, err);
}

static enum status log_domain(double v, struct err *err)
{
    if (v == 0)
        return err_set(err, ST_REJECT, SQLSTATE_INVALID_ARGUMENT_FOR_LOGARITHM,
                       "cannot take logarithm of zero");
    if (v < 0)
        return err_set(err, ST_REJECT, SQLSTATE_INVALID_ARGUMENT_FOR_LOGARITHM,
                       "cannot take logarithm of a negative number");
    return ST_OK;
}

static enum status float_ln(FUNC_ARGS)
{
    enum status st = log_domain(args[0].d, err);

    FUNC_UNUSED;
    return st == ST_OK ? func_put_double(log(args[0].d), out) : st;
}

static enum status float_log10(FUNC_ARGS)
{
    enum status st = log_domain(args[0].d, err);

    FUNC_UNUSED;
    return st == ST_OK ? func_put_double(log10(args[0].d), out) : st;
}

static enum status float_power(FUNC_ARGS)
{
    double a = args[0].d;
    double b = args[1].d;

    FUNC_UNUSED;
    if (a == 0 && b < 0)
        return err_set(err, ST_REJECT, SQLSTATE_INVALID_ARGUMENT_FOR_POWER_FUNCTION,
                       "zero raised to a negative power is undefined");
    if (a < 0 && !isinf(b) && floor(b) != b)
        return err_set(err, ST_REJECT, SQLSTATE_INVALID_ARGUMENT_FOR_POWER_FUNCTION,
                       "a negative number raised to a non-integer power yields a complex result");
    return put_checked(isinf(a) || a == 0 ? a : b, pow(a, b), out, err);
}

typedef enum status numeric_one(const struct numeric *v, struct arena *mem,
                                const struct numeric **out, struct err *err);

static enum status num_one(numeric_one *fn, const struct datum *args, struct arena *mem,
                           struct datum *out, struct err *err)
{
    struct datum d = {.type = TYPE_NUMERIC};
    enum status st = fn(args[0].n, mem, &d.n, err);

    if (st == ST_OK)
        *out = d;
    return st;
}

static enum status num_sqrt(FUNC_ARGS)
{
    FUNC_UNUSED;
    return num_one(numeric_sqrt, args, mem, out, err);
}

static enum status num_exp(FUNC_ARGS)
{
    FUNC_UNUSED;
    return num_one(numeric_exp, args, mem, out, err);
}

static enum status num_ln(FUNC_ARGS)
{
    FUNC_UNUSED;
    return num_one(numeric_ln, args, mem, out, err);
}

static enum status num_log10(FUNC_ARGS)
{
    struct datum d = {.type = TYPE_NUMERIC};
    enum status st = numeric_log(numeric_from_int(10, mem), args[0].n, mem, &d.n, err);

    FUNC_UNUSED;
    if (st == ST_OK)
        *out = d;
    return st;
}

static enum status num_log(FUNC_ARGS)
{
    struct datum d = {.type = TYPE_NUMERIC};
    enum status st = numeric_log(args[0].n, args[1].n, mem, &d.n, err);

    FUNC_UNUSED;
    if (st == ST_OK)
        *out = d;
    return st;
}

/* The quotient without its fraction. */
static enum status num_quotient(FUNC_ARGS)
{
    struct datum d = {.type = TYPE_NUMERIC};
    const struct numeric *rest;
    const struct numeric *q;
    enum status st = ST_OK;

    FUNC_UNUSED;
    TRY(numeric_mod(args[0].n, args[1].n, mem, &rest, err));
    TRY(numeric_sub(args[0].n, rest, mem, &rest, err));
    TRY(numeric_div(rest, args[1].n, mem, &q, err));
    TRY(numeric_round(q, 0, NUMERIC_ROUND, mem, &d.n, err));
    *out = d;
out:
    return st;
}

static enum status num_scale(FUNC_ARGS)
{
    FUNC_UNUSED;
    if (numeric_is_nan(args[0].n) || numeric_is_inf(args[0].n)) {
        *out = datum_null(TYPE_INT4);
        return ST_OK;
    }
    return func_put_int(TYPE_INT4, numeric_scale(args[0].n), out);
}

static enum status num_power(FUNC_ARGS)
{
    struct datum d = {.type = TYPE_NUMERIC};
    enum status st = numeric_power(args[0].n, args[1].n, mem, &d.n, err);

    FUNC_UNUSED;
    if (st == ST_OK)
        *out = d;
    return st;
}

static enum status pi(FUNC_ARGS)
{
    FUNC_UNUSED;
    return func_put_double(M_PI, out);
}

static enum status random_unit(FUNC_ARGS)
{
    FUNC_UNUSED;
    if (env->rng == NULL)
        return err_set(err, ST_REJECT, SQLSTATE_FEATURE_NOT_SUPPORTED,
                       "random() is not allowed here");
    return func_put_double(rng_unit(env->rng), out);
}

#define F1(fname, t, r, fn)                                              \
    {                                                                    \
        .name = fname, .n_args = 1, .args = {t}, .result = r, .call = fn \
    }
#define F2(fname, a, b, r, fn)                                              \
    {                                                                       \
        .name = fname, .n_args = 2, .args = {a, b}, .result = r, .call = fn \
    }
#define D TYPE_FLOAT8
#define N TYPE_NUMERIC

static const struct func table[] = {
    F1("abs", TYPE_INT2, TYPE_INT2, int_abs),
    F1("abs", TYPE_INT4, TYPE_INT4, int_abs),
    F1("abs", TYPE_INT8, TYPE_INT8, int_abs),
    F1("abs", TYPE_FLOAT4, TYPE_FLOAT4, float_abs),
    F1("abs", D, D, float_abs),
    F1("abs", N, N, num_abs),
    F2("mod", TYPE_INT2, TYPE_INT2, TYPE_INT2, int_mod),
    F2("mod", TYPE_INT4, TYPE_INT4, TYPE_INT4, int_mod),
    F2("mod", TYPE_INT8, TYPE_INT8, TYPE_INT8, int_mod),
    F2("mod", N, N, N, num_mod),
    F1("round", D, D, float_round),
    F1("round", N, N, num_round),
    F2("round", N, TYPE_INT4, N, num_round),
    F1("trunc", D, D, float_trunc),
    F1("trunc", N, N, num_trunc),
    F2("trunc", N, TYPE_INT4, N, num_trunc),
    F1("ceil", D, D, float_ceil),
    F1("ceil", N, N, num_ceil),
    F1("ceiling", D, D, float_ceil),
    F1("ceiling", N, N, num_ceil),
    F1("floor", D, D, float_floor),
    F1("floor", N, N, num_floor),
    F1("sign", D, D, float_sign),
    F1("sign", N, N, num_sign),
    F1("sqrt", D, D, float_sqrt),
    F1("sqrt", N, N, num_sqrt),
    F1("exp", D, D, float_exp),
    F1("exp", N, N, num_exp),
    F1("ln", D, D, float_ln),
    F1("ln", N, N, num_ln),
    F1("log", D, D, float_log10),
    F1("log", N, N, num_log10),
    F1("log10", D, D, float_log10),
    F1("log10", N, N, num_log10),
    F2("log", N, N, N, num_log),
    F2("div", N, N, N, num_quotient),
    F1("scale", N, TYPE_INT4, num_scale),
    F2("power", D, D, D, float_power),
    F2("power", N, N, N, num_power),
    F2("pow", D, D, D, float_power),
    F2("pow", N, N, N, num_power),
    {.name = "pi", .n_args = 0, .result = D, .call = pi},
    {.name = "random", .n_args = 0, .result = D, .volatility = FUNC_VOLATILE, .call = random_unit},
};

const struct func_table func_math_table = {table, sizeof table / sizeof table[0]};
