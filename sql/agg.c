#include "sql/agg.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "sql/cast.h"
#include "sql/numeric.h"

/* States. Zeroed memory is the state of no rows, but for the extremes, which say so by `any`. */

struct count_state {
    int64_t n;
};

struct int_state { /* sums of int2 and int4: 64 bits hold 2^31 rows of them, 128 any number */
    __int128 sum;
    int64_t n;
};

struct float_state {
    double sum;
    double
        squares; /* sum of squares of distances from the mean (Youngs, Cramer): avg() overflows with it */
    int64_t n;
};

struct numeric_state {
    struct numeric_sum sum;
    int64_t n;
};

struct value_state {
    struct datum value;
    void *room; /* what value points to, in the group's arena; grows by doubling */
    size_t cap;
    bool any;
};

struct text_state {
    uint8_t *ptr; /* in the group's arena; doubles */
    size_t len, cap;
    bool any;
};

_Static_assert(sizeof(struct numeric_state) <= AGG_STATE_MAX, "a state must fit");

#define STEP                                                                              \
    const struct func_env *env, void *state, const struct datum *args, struct arena *mem, \
        struct err *err
#define FINAL                                                                            \
    const struct func_env *env, const void *state, struct arena *mem, struct datum *out, \
        struct err *err
#define STEP_UNUSED  ((void)env, (void)state, (void)args, (void)mem, (void)err)
#define FINAL_UNUSED ((void)env, (void)state, (void)mem, (void)out, (void)err)

static enum status count_step(STEP)
{
    struct count_state *s = state;

    STEP_UNUSED;
    s->n++;
    return ST_OK;
}

static enum status count_final(FINAL)
{
    const struct count_state *s = state;

    FINAL_UNUSED;
    *out = (struct datum){.type = TYPE_INT8, .i = s->n};
    return ST_OK;
}

static enum status int_step(STEP)
{
    struct int_state *s = state;

    STEP_UNUSED;
    s->sum += args[0].i;
    s->n++;
    return ST_OK;
}

static enum status sum_int_final(FINAL) /* sum(int4) is a bigint */
{
    const struct int_state *s = state;

    FINAL_UNUSED;
    if (s->n == 0) {
        *out = datum_null(TYPE_INT8);
        return ST_OK;
    }
    if (s->sum > INT64_MAX || s->sum < INT64_MIN)
        return err_set(err, ST_REJECT, SQLSTATE_NUMERIC_VALUE_OUT_OF_RANGE, "bigint out of range");
    *out = (struct datum){.type = TYPE_INT8, .i = (int64_t)s->sum};
    return ST_OK;
}

static enum status sum_big_final(FINAL) /* sum(int8) is a numeric */
{
    const struct int_state *s = state;

    FINAL_UNUSED;
    *out = datum_null(TYPE_NUMERIC);
    if (s->n > 0)
        *out = (struct datum){.type = TYPE_NUMERIC, .n = numeric_from_int128(s->sum, mem)};
    return ST_OK;
}

static enum status divide(const struct numeric *sum, int64_t n, struct arena *mem,
                          struct datum *out, struct err *err)
{
    struct datum d = {.type = TYPE_NUMERIC};
    enum status st = numeric_div(sum, numeric_from_int(n, mem), mem, &d.n, err);

    if (st == ST_OK)
        *out = d;
    return st;
}

static enum status avg_int_final(FINAL)
{
    const struct int_state *s = state;

    FINAL_UNUSED;
    if (s->n == 0) {
        *out = datum_null(TYPE_NUMERIC);
        return ST_OK;
    }
    return divide(numeric_from_int128(s->sum, mem), s->n, mem, out, err);
}

static enum status numeric_step(STEP)
{
    struct numeric_state *s = state;

    STEP_UNUSED;
    numeric_sum_add(&s->sum, args[0].n, mem);
    s->n++;
    return ST_OK;
}

static enum status sum_numeric_final(FINAL)
{
    const struct numeric_state *s = state;
    struct datum d = {.type = TYPE_NUMERIC};
    enum status st;

    FINAL_UNUSED;
    *out = datum_null(TYPE_NUMERIC);
    if (s->n == 0)
        return ST_OK;
    st = numeric_sum_value(&s->sum, mem, &d.n, err);
    if (st == ST_OK)
        *out = d;
    return st;
}

static enum status avg_numeric_final(FINAL)
{
    const struct numeric_state *s = state;
    struct datum sum;
    enum status st = sum_numeric_final(env, state, mem, &sum, err);

    if (st != ST_OK || sum.null) {
        *out = datum_null(TYPE_NUMERIC);
        return st;
    }
    return divide(sum.n, s->n, mem, out, err);
}

static enum status float_overflow(struct err *err)
{
    return err_set(err, ST_REJECT, SQLSTATE_NUMERIC_VALUE_OUT_OF_RANGE,
                   "value out of range: overflow");
}

static enum status float_step(STEP)
{
    struct float_state *s = state;
    double sum = s->n == 0 ? args[0].d : s->sum + args[0].d;

    STEP_UNUSED;
    if (args[0].type == TYPE_FLOAT4)
        sum = (double)(float)sum;
    if (isinf(sum) && !isinf(s->sum) && !isinf(args[0].d))
        return float_overflow(err);
    s->sum = sum;
    s->n++;
    return ST_OK;
}

static enum status avg_float_step(STEP)
{
    struct float_state *s = state;
    double v = args[0].d;
    double n = (double)s->n + 1;
    double sum = s->sum + v;
    double distance = v * n - sum;

    STEP_UNUSED;
    if (s->n > 0) {
        s->squares += distance * distance / (n * (double)s->n);
        if ((isinf(sum) || isinf(s->squares)) && !isinf(s->sum) && !isinf(v))
            return float_overflow(err);
    }
    s->sum = sum;
    s->n++;
    return ST_OK;
}

static enum status sum_float_final(FINAL)
{
    const struct float_state *s = state;

    FINAL_UNUSED;
    *out = s->n == 0 ? datum_null(TYPE_FLOAT8) : (struct datum){.type = TYPE_FLOAT8, .d = s->sum};
    return ST_OK;
}

static enum status avg_float_final(FINAL)
{
    const struct float_state *s = state;

    FINAL_UNUSED;
    *out = s->n == 0 ? datum_null(TYPE_FLOAT8)
                     : (struct datum){.type = TYPE_FLOAT8, .d = s->sum / (double)s->n};
    return ST_OK;
}

/* Extremes keep one value; only a longer one than any before takes new memory, twice what it needs, so that the
 * use of the arena stays bounded. */
static void keep_value(struct value_state *s, const struct datum *d, struct arena *mem)
{
    bool number = d->type == TYPE_NUMERIC;
    bool fixed = !number && type_info(d->type)->wire_len > 0;
    size_t size = fixed ? 0 : number ? numeric_size(d->n) : d->s.len;

    s->value = *d;
    s->any = true;
    if (fixed)
        return;
    if (s->cap < size || s->room == NULL) {
        s->cap = 2 * size;
        s->room = arena_alloc(mem, s->cap);
    }
    if (size > 0)
        memcpy(s->room, number ? (const void *)d->n : d->s.ptr, size);
    if (number)
        s->value.n = s->room;
    else
        s->value.s = bytes_of(s->room, size);
}

static enum status min_step(STEP)
{
    struct value_state *s = state;

    STEP_UNUSED;
    if (!s->any || datum_cmp(&args[0], &s->value) < 0)
        keep_value(s, &args[0], mem);
    return ST_OK;
}

static enum status max_step(STEP)
{
    struct value_state *s = state;

    STEP_UNUSED;
    if (!s->any || datum_cmp(&args[0], &s->value) > 0)
        keep_value(s, &args[0], mem);
    return ST_OK;
}

/* A copy: the state may go on. The type of NULL comes from agg_final(). */
static enum status value_final(FINAL)
{
    const struct value_state *s = state;

    FINAL_UNUSED;
    *out = s->any ? datum_copy(&s->value, mem) : datum_null(TYPE_UNKNOWN);
    return ST_OK;
}

static enum status and_step(STEP)
{
    struct value_state *s = state;

    STEP_UNUSED;
    s->value = datum_bool(args[0].b && (!s->any || s->value.b));
    s->any = true;
    return ST_OK;
}

static enum status or_step(STEP)
{
    struct value_state *s = state;

    STEP_UNUSED;
    s->value = datum_bool(args[0].b || (s->any && s->value.b));
    s->any = true;
    return ST_OK;
}

static enum status bool_final(FINAL)
{
    const struct value_state *s = state;

    FINAL_UNUSED;
    *out = s->any ? s->value : datum_null(TYPE_BOOL);
    return ST_OK;
}

static enum status text_append(struct text_state *s, struct bytes b, struct arena *mem,
                               const struct func_env *env, struct err *err)
{
    size_t max = env->result_max != 0 ? env->result_max : (size_t)256 << 20;

    if (s->len + b.len > max)
        return err_set(err, ST_REJECT, SQLSTATE_PROGRAM_LIMIT_EXCEEDED,
                       "result of %zu bytes is larger than the limit of %zu", s->len + b.len, max);
    if (s->cap - s->len < b.len) {
        size_t cap = 2 * (s->len + b.len) + 64;
        uint8_t *p = arena_alloc(mem, cap);

        if (s->len > 0)
            memcpy(p, s->ptr, s->len);
        s->ptr = p;
        s->cap = cap;
    }
    if (b.len > 0)
        memcpy(s->ptr + s->len, b.ptr, b.len);
    s->len += b.len;
    return ST_OK;
}

static enum status string_step(STEP)
{
    struct text_state *s = state;
    enum status st = ST_OK;

    if (s->any && !args[1].null)
        TRY(text_append(s, args[1].s, mem, env, err));
    s->any = true;
    TRY(text_append(s, args[0].s, mem, env, err));
out:
    return st;
}

static enum status string_final(FINAL)
{
    const struct text_state *s = state;

    FINAL_UNUSED;
    *out = s->any ? (struct datum){.type = TYPE_TEXT, .s = bytes_of(s->ptr, s->len)}
                  : datum_null(TYPE_TEXT);
    return ST_OK;
}

static enum status string_bytea_final(FINAL)
{
    enum status st = string_final(env, state, mem, out, err);

    out->type = TYPE_BYTEA;
    return st;
}

#define AGG(fname, a, r, s, step_fn, final_fn)                                                \
    {                                                                                         \
        .name = fname, .n_args = 1, .args = {a}, .result = r, .state_size = sizeof(struct s), \
        .init = zero_##s, .step = step_fn, .final = final_fn                                  \
    }
#define EXTREME(fname, t, step_fn)                                                                 \
    {                                                                                              \
        .name = fname, .n_args = 1, .args = {t}, .result = t,                                      \
        .state_size = sizeof(struct value_state), .first_of_type = true, .init = zero_value_state, \
        .step = step_fn, .final = value_final                                                      \
    }
#define EXTREMES(fname, fn)                                                                      \
    EXTREME(fname, TYPE_INT2, fn), EXTREME(fname, TYPE_INT4, fn), EXTREME(fname, TYPE_INT8, fn), \
        EXTREME(fname, TYPE_FLOAT4, fn), EXTREME(fname, TYPE_FLOAT8, fn),                        \
        EXTREME(fname, TYPE_NUMERIC, fn), EXTREME(fname, TYPE_TEXT, fn),                         \
        EXTREME(fname, TYPE_BPCHAR, fn), EXTREME(fname, TYPE_TIMESTAMPTZ, fn)

#define ZERO(s)                             \
    static void zero_##s(void *state)       \
    {                                       \
        memset(state, 0, sizeof(struct s)); \
    }
ZERO(count_state)
ZERO(int_state)
ZERO(float_state)
ZERO(numeric_state)
ZERO(value_state)
ZERO(text_state)

static const struct agg count_star = {.name = "count",
                                      .n_args = 0,
                                      .result = TYPE_INT8,
                                      .state_size = sizeof(struct count_state),
                                      .lax = true,
                                      .init = zero_count_state,
                                      .step = count_step,
                                      .final = count_final};

static const struct agg table[] = {
    AGG("count", FUNC_ANY, TYPE_INT8, count_state, count_step, count_final),
    AGG("sum", TYPE_INT2, TYPE_INT8, int_state, int_step, sum_int_final),
    AGG("sum", TYPE_INT4, TYPE_INT8, int_state, int_step, sum_int_final),
    AGG("sum", TYPE_INT8, TYPE_NUMERIC, int_state, int_step, sum_big_final),
    AGG("sum", TYPE_NUMERIC, TYPE_NUMERIC, numeric_state, numeric_step, sum_numeric_final),
    AGG("sum", TYPE_FLOAT4, TYPE_FLOAT4, float_state, float_step, sum_float_final),
    AGG("sum", TYPE_FLOAT8, TYPE_FLOAT8, float_state, float_step, sum_float_final),
    AGG("avg", TYPE_INT2, TYPE_NUMERIC, int_state, int_step, avg_int_final),
    AGG("avg", TYPE_INT4, TYPE_NUMERIC, int_state, int_step, avg_int_final),
    AGG("avg", TYPE_INT8, TYPE_NUMERIC, int_state, int_step, avg_int_final),
    AGG("avg", TYPE_NUMERIC, TYPE_NUMERIC, numeric_state, numeric_step, avg_numeric_final),
    AGG("avg", TYPE_FLOAT4, TYPE_FLOAT8, float_state, avg_float_step, avg_float_final),
    AGG("avg", TYPE_FLOAT8, TYPE_FLOAT8, float_state, avg_float_step, avg_float_final),
    EXTREMES("min", min_step),
    EXTREMES("max", max_step),
    AGG("bool_and", TYPE_BOOL, TYPE_BOOL, value_state, and_step, bool_final),
    AGG("every", TYPE_BOOL, TYPE_BOOL, value_state, and_step, bool_final),
    AGG("bool_or", TYPE_BOOL, TYPE_BOOL, value_state, or_step, bool_final),
    {.name = "string_agg",
     .n_args = 2,
     .args = {TYPE_TEXT, TYPE_TEXT},
     .result = TYPE_TEXT,
     .state_size = sizeof(struct text_state),
     .init = zero_text_state,
     .step = string_step,
     .final = string_final},
    {.name = "string_agg",
     .n_args = 2,
     .args = {TYPE_BYTEA, TYPE_BYTEA},
     .result = TYPE_BYTEA,
     .state_size = sizeof(struct text_state),
     .init = zero_text_state,
     .step = string_step,
     .final = string_bytea_final},
};

enum { N_AGGS = sizeof table / sizeof table[0] };

static bool known_schema(const char *schema)
{
    return schema == NULL || strcmp(schema, "pg_catalog") == 0;
}

bool agg_exists(const char *schema, const char *name)
{
    if (!known_schema(schema))
        return false;
    for (int i = 0; i < N_AGGS; i++)
        if (strcmp(table[i].name, name) == 0)
            return true;
    return false;
}

/* How well the arguments fit: more is better, -1 not at all. An untyped literal is a text if it may be. */
static int fit(const struct agg *a, const enum sql_type *args, size_t n)
{
    int score = 0;

    if ((size_t)a->n_args != n)
        return -1;
    for (size_t i = 0; i < n; i++) {
        enum sql_type from =
            args[i] == TYPE_VARCHAR || args[i] == TYPE_UNKNOWN ? TYPE_TEXT : args[i];

        if (a->args[i] == FUNC_ANY)
            continue;
        if (a->args[i] == from)
            score += 100;
        else if (args[i] == TYPE_UNKNOWN)
            score += a->args[i] == TYPE_FLOAT8 ? 2 : 1;
        else if (cast_find(args[i], a->args[i], CAST_IMPLICIT) == NULL)
            return -1;
    }
    return score;
}

static enum status unresolved(const char *name, const char *types, bool ambiguous, int pos,
                              struct err *err)
{
    (void)err_set(err, ST_REJECT,
                  ambiguous ? SQLSTATE_AMBIGUOUS_FUNCTION : SQLSTATE_UNDEFINED_FUNCTION,
                  ambiguous ? "function %s(%s) is not unique" : "function %s(%s) does not exist",
                  name, types);
    (void)err_hint(err, "%s",
                   ambiguous ? "Could not choose a best candidate function. You might need to add "
                               "explicit type casts."
                             : "No function matches the given name and argument types. You might "
                               "need to add explicit type casts.");
    return err_position(err, pos);
}

enum status agg_resolve(const char *schema, const char *name, bool star, const enum sql_type *args,
                        size_t n, int pos, const struct agg **out, struct err *err)
{
    const struct agg *best = NULL;
    int best_fit = -1;
    bool ambiguous;
    char types[160] = "";
    size_t len = 0;

    if (star && known_schema(schema) && strcmp(name, "count") == 0) {
        *out = &count_star;
        return ST_OK;
    }
    for (int i = 0; !star && known_schema(schema) && i < N_AGGS; i++) {
        int f = strcmp(table[i].name, name) == 0 ? fit(&table[i], args, n) : -1;

        if (f > best_fit) {
            best_fit = f;
            best = &table[i];
        }
    }
    /* PostgreSQL's sum and avg also take intervals and money, so that an untyped literal may be anything. */
    ambiguous = best != NULL && n == 1 && args[0] == TYPE_UNKNOWN &&
                (strcmp(name, "sum") == 0 || strcmp(name, "avg") == 0);
    if (best != NULL && !ambiguous) {
        *out = best;
        return ST_OK;
    }
    if (n == 0 && !star && agg_exists(schema, name) && strcmp(name, "count") == 0) {
        (void)err_set(err, ST_REJECT, SQLSTATE_WRONG_OBJECT_TYPE,
                      "count(*) must be used to call a parameterless aggregate function");
        return err_position(err, pos);
    }
    for (size_t i = 0; i < n && len < sizeof types; i++)
        len += (size_t)snprintf(types + len, sizeof types - len, "%s%s", i > 0 ? ", " : "",
                                type_info(args[i])->name);
    return unresolved(name, types, ambiguous, pos, err);
}
