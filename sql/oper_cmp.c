/* Comparison operators: one row for each sign and type, all through datum_cmp() but the hottest. */
#include "sql/func_int.h"

static enum status cmp_eq(FUNC_ARGS)
{
    FUNC_UNUSED;
    *out = datum_bool(datum_cmp(&args[0], &args[1]) == 0);
    return ST_OK;
}

static enum status cmp_ne(FUNC_ARGS)
{
    FUNC_UNUSED;
    *out = datum_bool(datum_cmp(&args[0], &args[1]) != 0);
    return ST_OK;
}

static enum status cmp_lt(FUNC_ARGS)
{
    FUNC_UNUSED;
    *out = datum_bool(datum_cmp(&args[0], &args[1]) < 0);
    return ST_OK;
}

static enum status cmp_le(FUNC_ARGS)
{
    FUNC_UNUSED;
    *out = datum_bool(datum_cmp(&args[0], &args[1]) <= 0);
    return ST_OK;
}

static enum status cmp_gt(FUNC_ARGS)
{
    FUNC_UNUSED;
    *out = datum_bool(datum_cmp(&args[0], &args[1]) > 0);
    return ST_OK;
}

static enum status cmp_ge(FUNC_ARGS)
{
    FUNC_UNUSED;
    *out = datum_bool(datum_cmp(&args[0], &args[1]) >= 0);
    return ST_OK;
}

#define CMP(sign, a, b, op, fn)                                                               \
    {                                                                                         \
        .name = sign, .n_args = 2, .args = {a, b}, .result = TYPE_BOOL, .cmp = op, .call = fn \
    }
#define ALL_SIGNS(a, b)                                                  \
    CMP("=", a, b, CMP_EQ, cmp_eq), CMP("<>", a, b, CMP_NE, cmp_ne),     \
        CMP("<", a, b, CMP_LT, cmp_lt), CMP("<=", a, b, CMP_LE, cmp_le), \
        CMP(">", a, b, CMP_GT, cmp_gt), CMP(">=", a, b, CMP_GE, cmp_ge)
#define SAME(t) ALL_SIGNS(t, t)

static const struct func table[] = {
    SAME(TYPE_BOOL),
    SAME(TYPE_INT2),
    SAME(TYPE_INT4),
    SAME(TYPE_INT8),
    SAME(TYPE_FLOAT4),
    SAME(TYPE_FLOAT8),
    SAME(TYPE_NUMERIC),
    SAME(TYPE_TEXT),
    SAME(TYPE_BPCHAR),
    SAME(TYPE_BYTEA),
    SAME(TYPE_TIMESTAMPTZ),
    /* A real is compared with a number of another type in double precision. */
    ALL_SIGNS(TYPE_FLOAT4, TYPE_FLOAT8),
    ALL_SIGNS(TYPE_FLOAT8, TYPE_FLOAT4),
};

const struct func_table oper_cmp_table = {table, sizeof table / sizeof table[0]};

const struct func *oper_same_type(enum cmp_op cmp, enum sql_type type)
{
    if (type == TYPE_VARCHAR || type == TYPE_UNKNOWN)
        type = TYPE_TEXT;
    for (size_t i = 0; i < oper_cmp_table.n; i++)
        if (table[i].cmp == cmp && table[i].args[0] == type && table[i].args[1] == type)
            return &table[i];
    return NULL;
}

enum cmp_op cmp_swap(enum cmp_op op)
{
    switch (op) {
    case CMP_LT:
        return CMP_GT;
    case CMP_LE:
        return CMP_GE;
    case CMP_GT:
        return CMP_LT;
    case CMP_GE:
        return CMP_LE;
    case CMP_NONE:
    case CMP_EQ:
    case CMP_NE:
        break;
    }
    return op;
}

enum cmp_op cmp_negate(enum cmp_op op)
{
    switch (op) {
    case CMP_EQ:
        return CMP_NE;
    case CMP_NE:
        return CMP_EQ;
    case CMP_LT:
        return CMP_GE;
    case CMP_LE:
        return CMP_GT;
    case CMP_GT:
        return CMP_LE;
    case CMP_GE:
        return CMP_LT;
    case CMP_NONE:
        break;
    }
    return op;
}
