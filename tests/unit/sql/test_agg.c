/* Aggregates: which one a call means, what it gives, what it keeps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sql/agg.h"

static const struct func_env env;

static const struct agg *resolve(const char *name, enum sql_type a, enum sql_type b, size_t n)
{
    enum sql_type args[2] = {a, b};
    const struct agg *agg = NULL;
    struct err err;

    err_clear(&err);
    if (agg_resolve(NULL, name, false, args, n, 1, &agg, &err) != ST_OK)
        fail_msg("%s: %s", name, err.msg);
    return agg;
}

static void call_means_postgresqls_aggregate(void **state)
{
    static const struct {
        const char *name;
        enum sql_type arg, takes, result;
    } cases[] = {
        {"count", TYPE_UNKNOWN, FUNC_ANY, TYPE_INT8},
        {"count", TYPE_BYTEA, FUNC_ANY, TYPE_INT8},
        {"sum", TYPE_INT2, TYPE_INT2, TYPE_INT8},
        {"sum", TYPE_INT4, TYPE_INT4, TYPE_INT8},
        {"sum", TYPE_INT8, TYPE_INT8, TYPE_NUMERIC},
        {"sum", TYPE_NUMERIC, TYPE_NUMERIC, TYPE_NUMERIC},
        {"sum", TYPE_FLOAT4, TYPE_FLOAT4, TYPE_FLOAT4},
        {"sum", TYPE_FLOAT8, TYPE_FLOAT8, TYPE_FLOAT8},
        {"avg", TYPE_INT4, TYPE_INT4, TYPE_NUMERIC},
        {"avg", TYPE_INT8, TYPE_INT8, TYPE_NUMERIC},
        {"avg", TYPE_FLOAT4, TYPE_FLOAT4, TYPE_FLOAT8},
        {"min", TYPE_UNKNOWN, TYPE_TEXT, TYPE_TEXT},
        {"max", TYPE_VARCHAR, TYPE_TEXT, TYPE_TEXT},
        {"max", TYPE_BPCHAR, TYPE_BPCHAR, TYPE_BPCHAR},
        {"min", TYPE_TIMESTAMPTZ, TYPE_TIMESTAMPTZ, TYPE_TIMESTAMPTZ},
        {"bool_and", TYPE_UNKNOWN, TYPE_BOOL, TYPE_BOOL},
        {"every", TYPE_BOOL, TYPE_BOOL, TYPE_BOOL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct agg *a = resolve(cases[i].name, cases[i].arg, 0, 1);

        assert_int_equal(a->args[0], cases[i].takes);
        assert_int_equal(a->result, cases[i].result);
        assert_true(a->state_size <= AGG_STATE_MAX);
    }
    assert_int_equal(resolve("string_agg", TYPE_BPCHAR, TYPE_UNKNOWN, 2)->result, TYPE_TEXT);
    assert_int_equal(resolve("string_agg", TYPE_BYTEA, TYPE_BYTEA, 2)->result, TYPE_BYTEA);
    assert_true(agg_exists("pg_catalog", "sum"));
    assert_false(agg_exists("foo", "sum"));
    assert_false(agg_exists(NULL, "lower"));
}

static void call_of_nothing_is_an_error_with_a_hint(void **state)
{
    static const char none[] = "No function matches the given name and argument types. You might "
                               "need to add explicit type casts.";
    static const char many[] = "Could not choose a best candidate function. You might need to add "
                               "explicit type casts.";
    static const struct {
        const char *name;
        bool star;
        enum sql_type args[2];
        size_t n;
        const char *sqlstate, *msg, *hint;
    } cases[] = {
        {"sum", false, {TYPE_BOOL}, 1, "42883", "function sum(boolean) does not exist", none},
        {"sum", false, {TYPE_UNKNOWN}, 1, "42725", "function sum(unknown) is not unique", many},
        {"avg", false, {TYPE_UNKNOWN}, 1, "42725", "function avg(unknown) is not unique", many},
        {"min", false, {TYPE_BYTEA}, 1, "42883", "function min(bytea) does not exist", none},
        {"min", false, {0}, 0, "42883", "function min() does not exist", none},
        {"sum", true, {0}, 0, "42883", "function sum() does not exist", none},
        {"count",
         false,
         {0},
         0,
         "42809",
         "count(*) must be used to call a parameterless aggregate function",
         ""},
        {"count",
         false,
         {TYPE_INT4, TYPE_INT4},
         2,
         "42883",
         "function count(integer, integer) does not exist",
         none},
        {"string_agg",
         false,
         {TYPE_INT4, TYPE_UNKNOWN},
         2,
         "42883",
         "function string_agg(integer, unknown) does not exist",
         none},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct agg *a;
        struct err err;

        assert_int_equal(
            agg_resolve(NULL, cases[i].name, cases[i].star, cases[i].args, cases[i].n, 8, &a, &err),
            ST_REJECT);
        assert_string_equal(err.msg, cases[i].msg);
        assert_string_equal(err.sqlstate, cases[i].sqlstate);
        assert_string_equal(err.hint, cases[i].hint);
        assert_int_equal(err.position, 8);
    }
}

/* Runs an aggregate of one argument over texts; "~" is NULL. */
static const char *run(const char *name, enum sql_type type, const char *const *in,
                       struct arena *mem)
{
    const struct agg *a = resolve(name, type, 0, 1);
    _Alignas(16) uint8_t space[AGG_STATE_MAX];
    struct datum out;
    struct bytes text;
    struct err err;

    agg_init(a, space);
    for (; *in != NULL; in++) {
        struct datum d = datum_null(type);

        if (strcmp(*in, "~") != 0)
            assert_int_equal(datum_from_text(type, bytes_str(*in), mem, &d, NULL), ST_OK);
        if (agg_step(a, &env, space, &d, mem, &err) != ST_OK)
            return arena_strdup(mem, err.msg);
    }
    if (agg_final(a, &env, space, mem, &out, &err) != ST_OK)
        return arena_strdup(mem, err.msg);
    assert_int_equal(out.type, a->result);
    if (out.null)
        return "~";
    text = datum_text(&out, mem);
    return arena_strndup(mem, (const char *)text.ptr, text.len);
}

static void rows_give_postgresqls_results(void **state)
{
    static const struct {
        const char *name;
        enum sql_type type;
        const char *in[5];
        const char *want;
    } cases[] = {
        {"count", TYPE_INT4, {"1", "~", "3"}, "2"},
        {"count", TYPE_INT4, {NULL}, "0"},
        {"sum", TYPE_INT4, {"2147483647", "2147483647"}, "4294967294"},
        {"sum", TYPE_INT8, {"9223372036854775807", "1"}, "9223372036854775808"},
        {"sum", TYPE_INT4, {"~"}, "~"},
        {"sum", TYPE_NUMERIC, {"1.10", "2.25", "~"}, "3.35"},
        {"sum", TYPE_FLOAT4, {"16777216", "1", "1"}, "1.6777216e+07"},
        {"sum", TYPE_FLOAT4, {"3e38", "3e38"}, "value out of range: overflow"},
        {"sum", TYPE_FLOAT8, {"1e308", "1e308"}, "value out of range: overflow"},
        {"sum", TYPE_FLOAT8, {"inf", "1"}, "Infinity"},
        {"sum", TYPE_FLOAT8, {"inf", "-inf"}, "NaN"},
        {"avg", TYPE_INT4, {"1", "2", "2"}, "1.6666666666666667"},
        {"avg", TYPE_INT2, {"1", "2"}, "1.5000000000000000"},
        {"avg", TYPE_INT8, {"9223372036854775807", "1"}, "4611686018427387904"},
        {"avg", TYPE_NUMERIC, {"1.10", "2.25"}, "1.6750000000000000"},
        {"avg", TYPE_FLOAT4, {"0.5", "1"}, "0.75"},
        {"avg", TYPE_FLOAT8, {"1e200", "-1e200"}, "value out of range: overflow"},
        {"avg", TYPE_INT4, {NULL}, "~"},
        {"min", TYPE_INT4, {"3", "~", "-1"}, "-1"},
        {"max", TYPE_FLOAT8, {"1", "nan", "inf"}, "NaN"},
        {"max", TYPE_NUMERIC, {"1.5", "1.50", "-3"}, "1.5"},
        {"min", TYPE_TEXT, {"b", "a", "~"}, "a"},
        {"max", TYPE_TEXT, {"b", "ba", ""}, "ba"},
        {"min", TYPE_TEXT, {"", "a"}, ""},
        {"max", TYPE_TEXT, {NULL}, "~"},
        {"min", TYPE_BPCHAR, {"b  ", "a  "}, "a  "},
        {"bool_and", TYPE_BOOL, {"t", "~", "f"}, "f"},
        {"bool_or", TYPE_BOOL, {"f", "t", "f"}, "t"},
        {"every", TYPE_BOOL, {"~"}, "~"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct arena mem;

        arena_init(&mem, 0);
        assert_string_equal(run(cases[i].name, cases[i].type, cases[i].in, &mem), cases[i].want);
        arena_fini(&mem);
    }
}

static void strings_are_joined_with_the_delimiter_of_the_row(void **state)
{
    const struct agg *a = resolve("string_agg", TYPE_TEXT, TYPE_TEXT, 2);
    struct func_env small = {.result_max = 8};
    _Alignas(16) uint8_t space[AGG_STATE_MAX];
    struct arena mem;
    struct datum args[2] = {{.type = TYPE_TEXT, .s = bytes_str("a")},
                            {.type = TYPE_TEXT, .s = bytes_str("-")}};
    struct datum out;
    struct err err;

    (void)state;
    arena_init(&mem, 0);
    agg_init(a, space);
    assert_int_equal(agg_step(a, &small, space, args, &mem, &err), ST_OK);
    args[0].s = bytes_str("b");
    assert_int_equal(agg_step(a, &small, space, args, &mem, &err), ST_OK);
    args[0].null = true;
    assert_int_equal(agg_step(a, &small, space, args, &mem, &err), ST_OK);
    args[0].null = false;
    args[1] = datum_null(TYPE_TEXT);
    assert_int_equal(agg_step(a, &small, space, args, &mem, &err), ST_OK);
    assert_int_equal(agg_final(a, &small, space, &mem, &out, &err), ST_OK);
    assert_true(bytes_eq(out.s, bytes_str("a-bb")));
    args[0].s = bytes_str("12345");
    assert_int_equal(agg_step(a, &small, space, args, &mem, &err), ST_REJECT);
    assert_string_equal(err.sqlstate, "54000");
    arena_fini(&mem);
}

/* A long run of ever greater values must not fill the group's arena. */
static void extremes_keep_one_value_only(void **state)
{
    static const enum sql_type types[] = {TYPE_TEXT, TYPE_NUMERIC, TYPE_INT8};

    (void)state;
    for (size_t k = 0; k < 3; k++) {
        const struct agg *a = resolve("max", types[k], 0, 1);
        _Alignas(16) uint8_t space[AGG_STATE_MAX];
        struct arena group;
        struct arena row;
        struct datum out;
        struct bytes text;

        arena_init(&group, 0);
        arena_init(&row, 0);
        agg_init(a, space);
        for (int i = 0; i < 20000; i++) {
            struct datum d;
            const char *in = arena_printf(&row, "1%08d", i);

            assert_int_equal(datum_from_text(types[k], bytes_str(in), &row, &d, NULL), ST_OK);
            assert_int_equal(agg_step(a, &env, space, &d, &group, NULL), ST_OK);
            arena_reset(&row);
        }
        assert_true(group.used < 256);
        assert_int_equal(agg_final(a, &env, space, &group, &out, NULL), ST_OK);
        text = datum_text(&out, &group);
        assert_true(bytes_eq(text, bytes_str("100019999")));
        arena_fini(&row);
        arena_fini(&group);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(call_means_postgresqls_aggregate),
        cmocka_unit_test(call_of_nothing_is_an_error_with_a_hint),
        cmocka_unit_test(rows_give_postgresqls_results),
        cmocka_unit_test(strings_are_joined_with_the_delimiter_of_the_row),
        cmocka_unit_test(extremes_keep_one_value_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
