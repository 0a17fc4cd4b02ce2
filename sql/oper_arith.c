/* Arithmetic, bit and concatenation operators. */
#include <math.h>
#include <string.h>

#include "sql/cast.h"
#include "sql/func_int.h"
#include "sql/numeric.h"

static enum status range(enum sql_type t, struct err *err)
{
    return err_set(err, ST_REJECT, SQLSTATE_NUMERIC_VALUE_OUT_OF_RANGE, "%s out of range",
                   type_info(t)->name);
}

static enum status by_zero(struct err *err)
{
    return err_set(err, ST_REJECT, SQLSTATE_DIVISION_BY_ZERO, "division by zero");
}

/* Integers: computed in 64 bits, then fitted to the type of the operands. */

static enum status put_int(enum sql_type t, bool overflow, int64_t v, struct datum *out,
                           struct err *err)
{
    int64_t max = t == TYPE_INT2 ? INT16_MAX : t == TYPE_INT4 ? INT32_MAX : INT64_MAX;

    if (overflow || v > max || v < -max - 1)
        return range(t, err);
    return func_put_int(t, v, out);
}

static enum status int_add(FUNC_ARGS)
{
    int64_t v;
    bool over = __builtin_add_overflow(args[0].i, args[1].i, &v);

    FUNC_UNUSED;
    return put_int(args[0].type, over, v, out, err);
}

static enum status int_sub(FUNC_ARGS)
{
    int64_t v;
    bool over = __builtin_sub_overflow(args[0].i, args[1].i, &v);

    FUNC_UNUSED;
    return put_int(args[0].type, over, v, out, err);
}

static enum status int_mul(FUNC_ARGS)
{
    int64_t v;
    bool over = __builtin_mul_overflow(args[0].i, args[1].i, &v);

    FUNC_UNUSED;
    return put_int(args[0].type, over, v, out, err);
}

static enum status int_div(FUNC_ARGS)
{
    FUNC_UNUSED;
    if (args[1].i == 0)
        return by_zero(err);
    if (args[1].i == -1) /* the one quotient that can overflow */
        return put_int(args[0].type, args[0].i == INT64_MIN,
                       args[0].i == INT64_MIN ? 0 : -args[0].i, out, err);
    return func_put_int(args[0].type, args[0].i / args[1].i, out);
}

static enum status int_mod(FUNC_ARGS)
{
    FUNC_UNUSED;
    if (args[1].i == 0)
        return by_zero(err);
    return func_put_int(args[0].type, args[1].i == -1 ? 0 : args[0].i % args[1].i, out);
}

static enum status int_and(FUNC_ARGS)
{
    FUNC_UNUSED;
    return func_put_int(args[0].type, args[0].i & args[1].i, out);
}

static enum status int_or(FUNC_ARGS)
{
    FUNC_UNUSED;
    return func_put_int(args[0].type, args[0].i | args[1].i, out);
}

static enum status int_xor(FUNC_ARGS)
{
    FUNC_UNUSED;
    return func_put_int(args[0].type, args[0].i ^ args[1].i, out);
}

static int64_t narrow(enum sql_type t, uint64_t v)
{
    return t == TYPE_INT2 ? (int16_t)v : t == TYPE_INT4 ? (int32_t)v : (int64_t)v;
}

static int shift_mask(enum sql_type t)
{
    return t == TYPE_INT8 ? 63 : 31;
}

static enum status int_shl(FUNC_ARGS)
{
    enum sql_type t = args[0].type;

    FUNC_UNUSED;
    return func_put_int(t, narrow(t, (uint64_t)args[0].i << (args[1].i & shift_mask(t))), out);
}

static enum status int_shr(FUNC_ARGS)
{
    enum sql_type t = args[0].type;

    FUNC_UNUSED;
    return func_put_int(t, args[0].i >> (args[1].i & shift_mask(t)), out);
}

static enum status int_neg(FUNC_ARGS)
{
    FUNC_UNUSED;
    return put_int(args[0].type, args[0].i == INT64_MIN, args[0].i == INT64_MIN ? 0 : -args[0].i,
                   out, err);
}

static enum status int_not(FUNC_ARGS)
{
    FUNC_UNUSED;
    return func_put_int(args[0].type, ~args[0].i, out);
}

static enum status same(FUNC_ARGS)
{
    FUNC_UNUSED;
    *out = args[0];
    return ST_OK;
}

/* Floats: a finite result of finite operands, or an error. */

static enum status put_float(const struct datum *args, double v, bool zero_ok, struct datum *out,
                             struct err *err)
{
    enum sql_type t = args[0].type == args[1].type ? args[0].type : TYPE_FLOAT8;

    if (t == TYPE_FLOAT4)
        v = (double)(float)v;
    if (isinf(v) && !isinf(args[0].d) && !isinf(args[1].d))
        return err_set(err, ST_REJECT, SQLSTATE_NUMERIC_VALUE_OUT_OF_RANGE,
                       "value out of range: overflow");
    if (v == 0 && !zero_ok)
        return err_set(err, ST_REJECT, SQLSTATE_NUMERIC_VALUE_OUT_OF_RANGE,
                       "value out of range: underflow");
    *out = (struct datum){.type = t, .d = v};
    return ST_OK;
}

static enum status float_add(FUNC_ARGS)
{
    FUNC_UNUSED;
    return put_float(args, args[0].d + args[1].d, true, out, err);
}

static enum status float_sub(FUNC_ARGS)
{
    FUNC_UNUSED;
    return put_float(args, args[0].d - args[1].d, true, out, err);
}

static enum status float_mul(FUNC_ARGS)
{
    FUNC_UNUSED;
    return put_float(args, args[0].d * args[1].d, args[0].d == 0 || args[1].d == 0, out, err);
}

static enum status float_div(FUNC_ARGS)
{
    FUNC_UNUSED;
    if (args[1].d == 0 && !isnan(args[0].d))
        return by_zero(err);
    return put_float(args, args[0].d / args[1].d, args[0].d == 0 || isinf(args[1].d), out, err);
}

static enum status float_neg(FUNC_ARGS)
{
    FUNC_UNUSED;
    *out = (struct datum){.type = args[0].type, .d = -args[0].d};
    return ST_OK;
}

static enum status float_pow(FUNC_ARGS)
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
    return put_float(args, pow(a, b), a == 0 || isinf(b) || isinf(a), out, err);
}

/* Numeric. */

typedef enum status numeric_fn(const struct numeric *a, const struct numeric *b, struct arena *mem,
                               const struct numeric **out, struct err *err);

static enum status numeric_op(numeric_fn *fn, const struct datum *args, struct arena *mem,
                              struct datum *out, struct err *err)
{
    struct datum d = {.type = TYPE_NUMERIC};
    enum status st = fn(args[0].n, args[1].n, mem, &d.n, err);

    if (st == ST_OK)
        *out = d;
    return st;
}

static enum status num_add(FUNC_ARGS)
{
    FUNC_UNUSED;
    return numeric_op(numeric_add, args, mem, out, err);
}

static enum status num_sub(FUNC_ARGS)
{
    FUNC_UNUSED;
    return numeric_op(numeric_sub, args, mem, out, err);
}

static enum status num_mul(FUNC_ARGS)
{
    FUNC_UNUSED;
    return numeric_op(numeric_mul, args, mem, out, err);
}

static enum status num_div(FUNC_ARGS)
{
    FUNC_UNUSED;
    return numeric_op(numeric_div, args, mem, out, err);
}

static enum status num_mod(FUNC_ARGS)
{
    FUNC_UNUSED;
    return numeric_op(numeric_mod, args, mem, out, err);
}

static enum status num_pow(FUNC_ARGS)
{
    FUNC_UNUSED;
    return numeric_op(numeric_power, args, mem, out, err);
}

static enum status num_neg(FUNC_ARGS)
{
    FUNC_UNUSED;
    *out = (struct datum){.type = TYPE_NUMERIC, .n = numeric_neg(args[0].n, mem)};
    return ST_OK;
}

/* Concatenation. */

enum status func_check_size(const struct func_env *env, uint64_t bytes, struct err *err)
{
    size_t max = env->result_max != 0 ? env->result_max : (size_t)256 << 20;

    if (bytes > max)
        return err_set(err, ST_REJECT, SQLSTATE_PROGRAM_LIMIT_EXCEEDED,
                       "result of %llu bytes is larger than the limit of %zu",
                       (unsigned long long)bytes, max);
    return ST_OK;
}

static enum status join(const struct func_env *env, enum sql_type t, struct bytes a, struct bytes b,
                        struct arena *mem, struct datum *out, struct err *err)
{
    enum status st = func_check_size(env, (uint64_t)a.len + b.len, err);
    uint8_t *p;

    if (st != ST_OK)
        return st;
    p = arena_alloc(mem, a.len + b.len);
    if (a.len > 0)
        memcpy(p, a.ptr, a.len);
    if (b.len > 0)
        memcpy(p + a.len, b.ptr, b.len);
    *out = (struct datum){.type = t, .s = bytes_of(p, a.len + b.len)};
    return ST_OK;
}

static enum status bytea_cat(FUNC_ARGS)
{
    FUNC_UNUSED;
    return join(env, TYPE_BYTEA, args[0].s, args[1].s, mem, out, err);
}

static bool is_string(enum sql_type t)
{
    return t == TYPE_TEXT || t == TYPE_VARCHAR || t == TYPE_UNKNOWN;
}

/* Text with text, or with anything else in its text form. */
static enum status text_cat(FUNC_ARGS)
{
    struct bytes side[2];

    FUNC_UNUSED;
    for (int i = 0; i < 2; i++)
        side[i] = is_string(args[i].type) ? args[i].s
                  : args[i].type != TYPE_BOOL
                      ? datum_output(&args[i], env, mem)
                      : bytes_str(args[i].b ? "true" : "false"); /* as a cast */
    return join(env, TYPE_TEXT, side[0], side[1], mem, out, err);
}

#define BINARY(sign, a, b, r, fn)                                          \
    {                                                                      \
        .name = sign, .n_args = 2, .args = {a, b}, .result = r, .call = fn \
    }
#define INT_OPS(t)                                                                               \
    BINARY("+", t, t, t, int_add), BINARY("-", t, t, t, int_sub), BINARY("*", t, t, t, int_mul), \
        BINARY("/", t, t, t, int_div), BINARY("%", t, t, t, int_mod),                            \
        BINARY("&", t, t, t, int_and), BINARY("|", t, t, t, int_or),                             \
        BINARY("#", t, t, t, int_xor), BINARY("<<", t, TYPE_INT4, t, int_shl),                   \
        BINARY(">>", t, TYPE_INT4, t, int_shr)
#define FLOAT_OPS(a, b, r)                                            \
    BINARY("+", a, b, r, float_add), BINARY("-", a, b, r, float_sub), \
        BINARY("*", a, b, r, float_mul), BINARY("/", a, b, r, float_div)

static const struct func table[] = {
    INT_OPS(TYPE_INT2),
    INT_OPS(TYPE_INT4),
    INT_OPS(TYPE_INT8),
    FLOAT_OPS(TYPE_FLOAT4, TYPE_FLOAT4, TYPE_FLOAT4),
    FLOAT_OPS(TYPE_FLOAT8, TYPE_FLOAT8, TYPE_FLOAT8),
    FLOAT_OPS(TYPE_FLOAT4, TYPE_FLOAT8, TYPE_FLOAT8),
    FLOAT_OPS(TYPE_FLOAT8, TYPE_FLOAT4, TYPE_FLOAT8),
    BINARY("^", TYPE_FLOAT8, TYPE_FLOAT8, TYPE_FLOAT8, float_pow),
    BINARY("+", TYPE_NUMERIC, TYPE_NUMERIC, TYPE_NUMERIC, num_add),
    BINARY("-", TYPE_NUMERIC, TYPE_NUMERIC, TYPE_NUMERIC, num_sub),
    BINARY("*", TYPE_NUMERIC, TYPE_NUMERIC, TYPE_NUMERIC, num_mul),
    BINARY("/", TYPE_NUMERIC, TYPE_NUMERIC, TYPE_NUMERIC, num_div),
    BINARY("%", TYPE_NUMERIC, TYPE_NUMERIC, TYPE_NUMERIC, num_mod),
    BINARY("^", TYPE_NUMERIC, TYPE_NUMERIC, TYPE_NUMERIC, num_pow),
    BINARY("||", TYPE_TEXT, TYPE_TEXT, TYPE_TEXT, text_cat),
    BINARY("||", TYPE_BYTEA, TYPE_BYTEA, TYPE_BYTEA, bytea_cat),
    BINARY("||", TYPE_TEXT, FUNC_ANY, TYPE_TEXT, text_cat),
    BINARY("||", FUNC_ANY, TYPE_TEXT, TYPE_TEXT, text_cat),
};

const struct func_table oper_arith_table = {table, sizeof table / sizeof table[0]};

#define PREFIX(sign, t, fn)                                             \
    {                                                                   \
        .name = sign, .n_args = 1, .args = {t}, .result = t, .call = fn \
    }

static const struct func prefix_table[] = {
    PREFIX("-", TYPE_INT2, int_neg),     PREFIX("-", TYPE_INT4, int_neg),
    PREFIX("-", TYPE_INT8, int_neg),     PREFIX("-", TYPE_FLOAT4, float_neg),
    PREFIX("-", TYPE_FLOAT8, float_neg), PREFIX("-", TYPE_NUMERIC, num_neg),
    PREFIX("+", TYPE_INT2, same),        PREFIX("+", TYPE_INT4, same),
    PREFIX("+", TYPE_INT8, same),        PREFIX("+", TYPE_FLOAT4, same),
    PREFIX("+", TYPE_FLOAT8, same),      PREFIX("+", TYPE_NUMERIC, same),
    PREFIX("~", TYPE_INT2, int_not),     PREFIX("~", TYPE_INT4, int_not),
    PREFIX("~", TYPE_INT8, int_not),
};

const struct func_table oper_prefix_table = {prefix_table,
                                             sizeof prefix_table / sizeof prefix_table[0]};
