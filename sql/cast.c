#include "sql/cast.h"

#include <math.h>
#include <string.h>

#include "base/check.h"
#include "sql/numeric.h"
#include "sql/type_name.h"
#include "sql/utf8.h"

typedef enum status cast_fn(const struct func_env *env, const struct datum *in, struct arena *mem,
                            struct datum *out, struct err *err);

static const char *type_word(enum sql_type t)
{
    return type_info(t)->name;
}

static enum status range_error(enum sql_type t, struct err *err)
{
    return err_set(err, ST_REJECT, SQLSTATE_NUMERIC_VALUE_OUT_OF_RANGE, "%s out of range",
                   type_word(t));
}

/* Each of these knows its target by the entry of the table that names it: one function a target. */

static enum status int_to(enum sql_type t, int64_t min, int64_t max, const struct datum *in,
                          struct datum *out, struct err *err)
{
    if (in->i < min || in->i > max)
        return range_error(t, err);
    *out = (struct datum){.type = t, .i = in->i};
    return ST_OK;
}

static enum status double_to(enum sql_type t, int64_t min, int64_t max, const struct datum *in,
                             struct datum *out, struct err *err)
{
    double v = rint(in->d); /* half to even, as PostgreSQL's */

    if (isnan(v) || v < (double)min || v > (double)max ||
        (t == TYPE_INT8 && v >= 9223372036854775808.0))
        return range_error(t, err);
    *out = (struct datum){.type = t, .i = (int64_t)v};
    return ST_OK;
}

static enum status any_to_int(enum sql_type t, int64_t min, int64_t max, const struct datum *in,
                              struct datum *out, struct err *err)
{
    int64_t v;
    enum status st = ST_OK;

    switch (in->type) {
    case TYPE_INT2:
    case TYPE_INT4:
    case TYPE_INT8:
        return int_to(t, min, max, in, out, err);
    case TYPE_FLOAT4:
    case TYPE_FLOAT8:
        return double_to(t, min, max, in, out, err);
    case TYPE_BOOL:
        *out = (struct datum){.type = t, .i = in->b};
        return ST_OK;
    case TYPE_NUMERIC:
        st = numeric_to_int(in->n, type_word(t), min, max, &v, err);
        if (st == ST_OK)
            *out = (struct datum){.type = t, .i = v};
        return st;
    case TYPE_UNKNOWN:
    case TYPE_TEXT:
    case TYPE_VARCHAR:
    case TYPE_BPCHAR:
    case TYPE_BYTEA:
    case TYPE_TIMESTAMPTZ:
    case TYPE_COUNT:
        break;
    }
    ASSERT(!"a cast that the table has");
    return ST_FATAL;
}

static enum status to_int2(const struct func_env *env, const struct datum *in, struct arena *mem,
                           struct datum *out, struct err *err)
{
    (void)env;
    (void)mem;
    return any_to_int(TYPE_INT2, INT16_MIN, INT16_MAX, in, out, err);
}

static enum status to_int4(const struct func_env *env, const struct datum *in, struct arena *mem,
                           struct datum *out, struct err *err)
{
    (void)env;
    (void)mem;
    return any_to_int(TYPE_INT4, INT32_MIN, INT32_MAX, in, out, err);
}

static enum status to_int8(const struct func_env *env, const struct datum *in, struct arena *mem,
                           struct datum *out, struct err *err)
{
    (void)env;
    (void)mem;
    return any_to_int(TYPE_INT8, INT64_MIN, INT64_MAX, in, out, err);
}

static enum status to_bool(const struct func_env *env, const struct datum *in, struct arena *mem,
                           struct datum *out, struct err *err)
{
    (void)env;
    (void)mem;
    (void)err;
    *out = datum_bool(in->i != 0);
    return ST_OK;
}

static enum status as_double(const struct datum *in, double *out, struct err *err)
{
    if (in->type == TYPE_NUMERIC)
        return numeric_to_double(in->n, out, err);
    *out = in->type == TYPE_FLOAT4 || in->type == TYPE_FLOAT8 ? in->d : (double)in->i;
    return ST_OK;
}

static enum status to_float8(const struct func_env *env, const struct datum *in, struct arena *mem,
                             struct datum *out, struct err *err)
{
    double v;
    enum status st;

    (void)env;
    (void)mem;
    TRY(as_double(in, &v, err));
    *out = (struct datum){.type = TYPE_FLOAT8, .d = v};
out:
    return st;
}

static enum status to_float4(const struct func_env *env, const struct datum *in, struct arena *mem,
                             struct datum *out, struct err *err)
{
    double v;
    float f;
    enum status st;

    (void)env;
    (void)mem;
    TRY(in->type == TYPE_NUMERIC ? numeric_to_single(in->n, &v, err) : as_double(in, &v, err));
    f = (float)v;
    if (isinf(f) && !isinf(v))
        return err_set(err, ST_REJECT, SQLSTATE_NUMERIC_VALUE_OUT_OF_RANGE,
                       "value out of range: overflow");
    if (f == 0 && v != 0)
        return err_set(err, ST_REJECT, SQLSTATE_NUMERIC_VALUE_OUT_OF_RANGE,
                       "value out of range: underflow");
    *out = (struct datum){.type = TYPE_FLOAT4, .d = (double)f};
out:
    return st;
}

static enum status to_numeric(const struct func_env *env, const struct datum *in, struct arena *mem,
                              struct datum *out, struct err *err)
{
    struct datum d = {.type = TYPE_NUMERIC};
    enum status st = ST_OK;

    (void)env;
    if (in->type == TYPE_FLOAT4 || in->type == TYPE_FLOAT8)
        TRY(numeric_from_double(in->d, in->type == TYPE_FLOAT4 ? 6 : 15, mem, &d.n, err));
    else
        d.n = numeric_from_int(in->i, mem);
    *out = d;
out:
    return st;
}

static enum status relabel_to(enum sql_type t, const struct datum *in, struct datum *out)
{
    *out = *in;
    out->type = t;
    return ST_OK;
}

static enum status to_text(const struct func_env *env, const struct datum *in, struct arena *mem,
                           struct datum *out, struct err *err)
{
    struct bytes s;

    (void)err;
    if (in->type == TYPE_BOOL)
        s = bytes_str(in->b ? "true" : "false"); /* the cast, other than the output function */
    else
        s = datum_output(in, env, mem);
    if (in->type == TYPE_BPCHAR)
        while (s.len > 0 && s.ptr[s.len - 1] == ' ')
            s.len--;
    *out = (struct datum){.type = TYPE_TEXT, .s = s};
    return ST_OK;
}

static enum status to_varchar(const struct func_env *env, const struct datum *in, struct arena *mem,
                              struct datum *out, struct err *err)
{
    enum status st = to_text(env, in, mem, out, err);

    out->type = TYPE_VARCHAR;
    return st;
}

static enum status to_bpchar(const struct func_env *env, const struct datum *in, struct arena *mem,
                             struct datum *out, struct err *err)
{
    enum status st = in->type == TYPE_BPCHAR ? relabel_to(TYPE_BPCHAR, in, out)
                                             : to_text(env, in, mem, out, err);

    out->type = TYPE_BPCHAR;
    return st;
}

/* A relabelling by its target. */
static enum status as_text(const struct func_env *env, const struct datum *in, struct arena *mem,
                           struct datum *out, struct err *err)
{
    (void)env;
    (void)mem;
    (void)err;
    return relabel_to(TYPE_TEXT, in, out);
}

static enum status as_varchar(const struct func_env *env, const struct datum *in, struct arena *mem,
                              struct datum *out, struct err *err)
{
    (void)env;
    (void)mem;
    (void)err;
    return relabel_to(TYPE_VARCHAR, in, out);
}

static enum status as_bpchar(const struct func_env *env, const struct datum *in, struct arena *mem,
                             struct datum *out, struct err *err)
{
    (void)env;
    (void)mem;
    (void)err;
    return relabel_to(TYPE_BPCHAR, in, out);
}

static enum status as_is(const struct func_env *env, const struct datum *in, struct arena *mem,
                         struct datum *out, struct err *err)
{
    (void)env;
    (void)mem;
    (void)err;
    *out = *in;
    return ST_OK;
}

#define INPUT(name, t)                                                                             \
    static enum status name(const struct func_env *env, const struct datum *in, struct arena *mem, \
                            struct datum *out, struct err *err)                                    \
    {                                                                                              \
        return datum_input(t, in->s, env, mem, out, err);                                          \
    }
INPUT(in_bool, TYPE_BOOL)
INPUT(in_int2, TYPE_INT2)
INPUT(in_int4, TYPE_INT4)
INPUT(in_int8, TYPE_INT8)
INPUT(in_float4, TYPE_FLOAT4)
INPUT(in_float8, TYPE_FLOAT8)
INPUT(in_numeric, TYPE_NUMERIC)
INPUT(in_bytea, TYPE_BYTEA)
INPUT(in_timestamptz, TYPE_TIMESTAMPTZ)
#undef INPUT

struct entry {
    struct cast cast;
    enum cast_context least;
};

#define ENTRY(from, to, least, fn)                              \
    {                                                           \
        {TYPE_##from, TYPE_##to, false, true, fn}, CAST_##least \
    }
#define RELABEL(from, to, fn)                                   \
    {                                                           \
        {TYPE_##from, TYPE_##to, true, true, fn}, CAST_IMPLICIT \
    }
/* Depends on the session's zone, or on the clock ('now'). */
#define STABLE(from, to, least, fn)                              \
    {                                                            \
        {TYPE_##from, TYPE_##to, false, false, fn}, CAST_##least \
    }
/* Through text, from each string type; untyped literals implicitly. */
#define FROM_TEXT(to, fn)                                            \
    ENTRY(UNKNOWN, to, IMPLICIT, fn), ENTRY(TEXT, to, EXPLICIT, fn), \
        ENTRY(VARCHAR, to, EXPLICIT, fn), ENTRY(BPCHAR, to, EXPLICIT, fn)
#define TO_TEXT(from)                                                                     \
    ENTRY(from, TEXT, ASSIGNMENT, to_text), ENTRY(from, VARCHAR, ASSIGNMENT, to_varchar), \
        ENTRY(from, BPCHAR, ASSIGNMENT, to_bpchar)

/* PostgreSQL's pg_cast for our types; a pair stands once. */
static const struct entry casts[] = {
    ENTRY(INT2, INT4, IMPLICIT, to_int4),
    ENTRY(INT2, INT8, IMPLICIT, to_int8),
    ENTRY(INT2, FLOAT4, IMPLICIT, to_float4),
    ENTRY(INT2, FLOAT8, IMPLICIT, to_float8),
    ENTRY(INT2, NUMERIC, IMPLICIT, to_numeric),
    ENTRY(INT4, INT2, ASSIGNMENT, to_int2),
    ENTRY(INT4, INT8, IMPLICIT, to_int8),
    ENTRY(INT4, FLOAT4, IMPLICIT, to_float4),
    ENTRY(INT4, FLOAT8, IMPLICIT, to_float8),
    ENTRY(INT4, NUMERIC, IMPLICIT, to_numeric),
    ENTRY(INT4, BOOL, EXPLICIT, to_bool),
    ENTRY(INT8, INT2, ASSIGNMENT, to_int2),
    ENTRY(INT8, INT4, ASSIGNMENT, to_int4),
    ENTRY(INT8, FLOAT4, IMPLICIT, to_float4),
    ENTRY(INT8, FLOAT8, IMPLICIT, to_float8),
    ENTRY(INT8, NUMERIC, IMPLICIT, to_numeric),
    ENTRY(FLOAT4, INT2, ASSIGNMENT, to_int2),
    ENTRY(FLOAT4, INT4, ASSIGNMENT, to_int4),
    ENTRY(FLOAT4, INT8, ASSIGNMENT, to_int8),
    ENTRY(FLOAT4, FLOAT8, IMPLICIT, to_float8),
    ENTRY(FLOAT4, NUMERIC, ASSIGNMENT, to_numeric),
    ENTRY(FLOAT8, INT2, ASSIGNMENT, to_int2),
    ENTRY(FLOAT8, INT4, ASSIGNMENT, to_int4),
    ENTRY(FLOAT8, INT8, ASSIGNMENT, to_int8),
    ENTRY(FLOAT8, FLOAT4, ASSIGNMENT, to_float4),
    ENTRY(FLOAT8, NUMERIC, ASSIGNMENT, to_numeric),
    ENTRY(NUMERIC, INT2, ASSIGNMENT, to_int2),
    ENTRY(NUMERIC, INT4, ASSIGNMENT, to_int4),
    ENTRY(NUMERIC, INT8, ASSIGNMENT, to_int8),
    ENTRY(NUMERIC, FLOAT4, IMPLICIT, to_float4),
    ENTRY(NUMERIC, FLOAT8, IMPLICIT, to_float8),
    ENTRY(BOOL, INT4, EXPLICIT, to_int4),
    RELABEL(VARCHAR, TEXT, as_text),
    RELABEL(TEXT, VARCHAR, as_varchar),
    ENTRY(BPCHAR, TEXT, IMPLICIT, to_text),
    ENTRY(BPCHAR, VARCHAR, IMPLICIT, to_varchar),
    RELABEL(TEXT, BPCHAR, as_bpchar),
    RELABEL(VARCHAR, BPCHAR, as_bpchar),
    RELABEL(UNKNOWN, TEXT, as_text),
    RELABEL(UNKNOWN, VARCHAR, as_varchar),
    RELABEL(UNKNOWN, BPCHAR, as_bpchar),
    TO_TEXT(BOOL),
    TO_TEXT(INT2),
    TO_TEXT(INT4),
    TO_TEXT(INT8),
    TO_TEXT(FLOAT4),
    TO_TEXT(FLOAT8),
    TO_TEXT(NUMERIC),
    TO_TEXT(BYTEA),
    STABLE(TIMESTAMPTZ, TEXT, ASSIGNMENT, to_text),
    STABLE(TIMESTAMPTZ, VARCHAR, ASSIGNMENT, to_varchar),
    STABLE(TIMESTAMPTZ, BPCHAR, ASSIGNMENT, to_bpchar),
    FROM_TEXT(BOOL, in_bool),
    FROM_TEXT(INT2, in_int2),
    FROM_TEXT(INT4, in_int4),
    FROM_TEXT(INT8, in_int8),
    FROM_TEXT(FLOAT4, in_float4),
    FROM_TEXT(FLOAT8, in_float8),
    FROM_TEXT(NUMERIC, in_numeric),
    FROM_TEXT(BYTEA, in_bytea),
    STABLE(UNKNOWN, TIMESTAMPTZ, IMPLICIT, in_timestamptz),
    STABLE(TEXT, TIMESTAMPTZ, EXPLICIT, in_timestamptz),
    STABLE(VARCHAR, TIMESTAMPTZ, EXPLICIT, in_timestamptz),
    STABLE(BPCHAR, TIMESTAMPTZ, EXPLICIT, in_timestamptz),
};

#define SAME(t) [TYPE_##t] = {TYPE_##t, TYPE_##t, true, true, as_is}
static const struct cast same[TYPE_COUNT] = {
    SAME(UNKNOWN), SAME(BOOL),   SAME(INT2),        SAME(INT4), SAME(INT8),
    SAME(FLOAT4),  SAME(FLOAT8), SAME(NUMERIC),     SAME(TEXT), SAME(VARCHAR),
    SAME(BPCHAR),  SAME(BYTEA),  SAME(TIMESTAMPTZ),
};

const struct cast *cast_find(enum sql_type from, enum sql_type to, enum cast_context context)
{
    if (from == to)
        return &same[from];
    for (size_t i = 0; i < sizeof casts / sizeof casts[0]; i++)
        if (casts[i].cast.from == from && casts[i].cast.to == to)
            return casts[i].least <= context ? &casts[i].cast : NULL;
    return NULL;
}

enum status cast_run(const struct cast *c, const struct func_env *env, const struct datum *in,
                     struct arena *mem, struct datum *out, struct err *err)
{
    if (in->null) {
        *out = datum_null(c->to);
        return ST_OK;
    }
    return c->call(env, in, mem, out, err);
}

enum { TYPMOD_HEADER = 4 };

bool typmod_matters(enum sql_type type, int32_t typmod)
{
    return typmod >= TYPMOD_HEADER &&
           (type == TYPE_VARCHAR || type == TYPE_BPCHAR || type == TYPE_NUMERIC);
}

static bool only_blanks(struct bytes s, size_t from)
{
    for (size_t i = from; i < s.len; i++)
        if (s.ptr[i] != ' ')
            return false;
    return true;
}

static enum status fit_text(enum sql_type type, size_t max_chars, enum cast_context context,
                            struct arena *mem, struct datum *value, struct err *err)
{
    size_t chars;
    size_t keep;
    uint8_t *padded;

    /* No more bytes than characters are allowed: it fits without counting. */
    if (type == TYPE_VARCHAR && value->s.len <= max_chars)
        return ST_OK;
    chars = utf8_count(value->s);
    if (chars > max_chars) {
        keep = utf8_offset(value->s, max_chars);
        if (context != CAST_EXPLICIT && !only_blanks(value->s, keep))
            return err_set(err, ST_REJECT, SQLSTATE_STRING_DATA_RIGHT_TRUNCATION,
                           "value too long for type %s(%zu)", type_info(type)->name, max_chars);
        value->s.len = keep;
    } else if (type == TYPE_BPCHAR && chars < max_chars) {
        padded = arena_alloc(mem, value->s.len + max_chars - chars);
        if (value->s.len > 0)
            memcpy(padded, value->s.ptr, value->s.len);
        memset(padded + value->s.len, ' ', max_chars - chars);
        value->s = bytes_of(padded, value->s.len + max_chars - chars);
    }
    return ST_OK;
}

enum status typmod_apply(enum sql_type type, int32_t typmod, enum cast_context context,
                         struct arena *mem, struct datum *value, struct err *err)
{
    int32_t m = typmod - TYPMOD_HEADER;

    if (value->null || !typmod_matters(type, typmod))
        return ST_OK;
    if (type == TYPE_NUMERIC)
        return numeric_fit(value->n, type_numeric_precision(typmod), type_numeric_scale(typmod),
                           mem, &value->n, err);
    return fit_text(type, (size_t)m, context, mem, value, err);
}

static bool preferred(enum sql_type t)
{
    return t == TYPE_BOOL || t == TYPE_FLOAT8 || t == TYPE_TEXT || t == TYPE_TIMESTAMPTZ;
}

/* PostgreSQL's manual, 10.5 (UNION, CASE, and related constructs). */
enum status type_common(const enum sql_type *list, size_t n, const char *what, int pos,
                        enum sql_type *out, struct err *err)
{
    enum sql_type t = TYPE_UNKNOWN;

    for (size_t i = 0; i < n; i++) {
        enum sql_type next = list[i];

        if (next == TYPE_UNKNOWN || next == t)
            continue;
        if (t == TYPE_UNKNOWN) {
            t = next;
        } else if (type_info(t)->category != type_info(next)->category) {
            (void)err_set(err, ST_REJECT, SQLSTATE_DATATYPE_MISMATCH,
                          "%s types %s and %s cannot be matched", what, type_info(t)->name,
                          type_info(next)->name);
            return err_position(err, pos);
        } else if (!preferred(t) && cast_find(t, next, CAST_IMPLICIT) != NULL &&
                   (preferred(next) || cast_find(next, t, CAST_IMPLICIT) == NULL)) {
            t = next;
        }
    }
    *out = t == TYPE_UNKNOWN ? TYPE_TEXT : t;
    for (size_t i = 0; i < n; i++) {
        if (cast_find(list[i], *out, CAST_IMPLICIT) == NULL) {
            (void)err_set(err, ST_REJECT, SQLSTATE_CANNOT_COERCE,
                          "%s could not convert type %s to %s", what, type_info(list[i])->name,
                          type_info(*out)->name);
            return err_position(err, pos);
        }
    }
    return ST_OK;
}
