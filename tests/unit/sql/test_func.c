/* Functions and operators: what a call means, and what it gives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sql/func.h"
#include "tests/unit/sql/sqltest.h"

#define NO_OPERATOR                                                                               \
    "No operator matches the given name and argument types. You might need to add explicit type " \
    "casts."
#define NO_PREFIX                                                                              \
    "No operator matches the given name and argument type. You might need to add an explicit " \
    "type cast."
#define NO_FUNCTION                                                                               \
    "No function matches the given name and argument types. You might need to add explicit type " \
    "casts."
#define MANY_OPERATORS \
    "Could not choose a best candidate operator. You might need to add explicit type casts."
#define MANY_FUNCTIONS \
    "Could not choose a best candidate function. You might need to add explicit type casts."

#define U  TYPE_UNKNOWN
#define I2 TYPE_INT2
#define I4 TYPE_INT4
#define I8 TYPE_INT8
#define F4 TYPE_FLOAT4
#define F8 TYPE_FLOAT8
#define N  TYPE_NUMERIC
#define T  TYPE_TEXT
#define V  TYPE_VARCHAR
#define C  TYPE_BPCHAR
#define B  TYPE_BOOL
#define X  TYPE_BYTEA
#define TS TYPE_TIMESTAMPTZ

static void operator_means_postgresqls(void **state)
{
    static const struct {
        const char *op;
        enum sql_type left, right, takes_left, takes_right, result;
    } cases[] = {
        {"+", I4, I4, I4, I4, I4},     {"+", I2, I4, I4, I4, I4},  {"+", I4, U, I4, I4, I4},
        {"+", U, I8, I8, I8, I8},      {"+", I4, N, N, N, N},      {"+", F4, F4, F4, F4, F4},
        {"+", F4, I4, F4, F8, F8},     {"+", N, F4, F8, F4, F8},   {"+", I8, F8, F8, F8, F8},
        {"^", I4, I4, F8, F8, F8},     {"^", N, I4, N, N, N},      {"^", U, U, F8, F8, F8},
        {"%", I2, I8, I8, I8, I8},     {"<<", I8, I4, I8, I4, I8}, {"<<", I4, U, I4, I4, I4},
        {"=", I4, I8, I8, I8, B},      {"=", U, U, T, T, B},       {"=", T, U, T, T, B},
        {"=", V, V, T, T, B},          {"=", C, U, C, C, B},       {"=", C, V, C, C, B},
        {"=", C, T, T, T, B},          {"=", B, U, B, B, B},       {"<", TS, U, TS, TS, B},
        {"=", F4, N, F4, F8, B},       {"=", X, U, X, X, B},       {"||", T, T, T, T, T},
        {"||", U, U, T, T, T},         {"||", X, X, X, X, X},      {"||", X, U, X, X, X},
        {"||", T, I4, T, FUNC_ANY, T},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct func *f = NULL;
        struct err err;

        err_clear(&err);
        if (oper_resolve(NULL, cases[i].op, cases[i].left, cases[i].right, 1, &f, &err) != ST_OK)
            fail_msg("%s", err.msg);
        if (f->args[0] != cases[i].takes_left || f->args[1] != cases[i].takes_right ||
            f->result != cases[i].result)
            fail_msg("%s %s %s takes %s and %s", type_info(cases[i].left)->name, cases[i].op,
                     type_info(cases[i].right)->name, type_info(f->args[0])->name,
                     type_info(f->args[1])->name);
    }
}

static void operator_that_is_none_is_an_error_with_a_hint(void **state)
{
    static const struct {
        const char *op;
        enum sql_type left, right;
        const char *sqlstate, *msg, *hint;
    } cases[] = {
        {"+", U, U, "42725", "operator is not unique: unknown + unknown", MANY_OPERATORS},
        {"-", U, U, "42725", "operator is not unique: unknown - unknown", MANY_OPERATORS},
        {"%", U, U, "42725", "operator is not unique: unknown % unknown", MANY_OPERATORS},
        {"&", U, U, "42725", "operator is not unique: unknown & unknown", MANY_OPERATORS},
        {"=", T, I4, "42883", "operator does not exist: text = integer", NO_OPERATOR},
        {"=", B, I4, "42883", "operator does not exist: boolean = integer", NO_OPERATOR},
        {"<", V, I4, "42883", "operator does not exist: character varying < integer", NO_OPERATOR},
        {"||", I4, I4, "42883", "operator does not exist: integer || integer", NO_OPERATOR},
        {"%", N, F8, "42883", "operator does not exist: numeric % double precision", NO_OPERATOR},
        {"=", X, T, "42883", "operator does not exist: bytea = text", NO_OPERATOR},
        {"<=>", I4, I4, "42883", "operator does not exist: integer <=> integer", NO_OPERATOR},
    };
    const struct func *f;
    struct err err;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(
            oper_resolve(NULL, cases[i].op, cases[i].left, cases[i].right, 9, &f, &err), ST_REJECT);
        assert_string_equal(err.msg, cases[i].msg);
        assert_string_equal(err.sqlstate, cases[i].sqlstate);
        assert_string_equal(err.hint, cases[i].hint);
        assert_int_equal(err.position, 9);
    }
    assert_int_equal(oper_prefix_resolve(NULL, "-", T, 9, &f, &err), ST_REJECT);
    assert_string_equal(err.msg, "operator does not exist: - text");
    assert_string_equal(err.hint, NO_PREFIX);
    assert_int_equal(oper_prefix_resolve(NULL, "-", U, 9, &f, &err), ST_REJECT);
    assert_string_equal(err.sqlstate, "42725");
    assert_int_equal(oper_prefix_resolve(NULL, "-", I2, 9, &f, &err), ST_OK);
    assert_int_equal(f->result, I2);
    assert_int_equal(oper_resolve("foo", "+", I4, I4, 9, &f, &err), ST_REJECT);
    assert_int_equal(oper_resolve("pg_catalog", "+", I4, I4, 9, &f, &err), ST_OK);
}

static void function_call_resolves_or_says_why_not(void **state)
{
    static const struct {
        const char *name;
        enum sql_type args[4];
        size_t n;
        enum sql_type result; /* U: an error */
        const char *msg, *hint;
    } cases[] = {
        {"abs", {U}, 1, F8, NULL, NULL},
        {"abs", {I2}, 1, I2, NULL, NULL},
        {"round", {I4}, 1, F8, NULL, NULL},
        {"round", {N}, 1, N, NULL, NULL},
        {"round", {U, I4}, 2, N, NULL, NULL},
        {"power", {U, I4}, 2, F8, NULL, NULL},
        {"power", {U, N}, 2, N, NULL, NULL},
        {"mod", {U, I4}, 2, I4, NULL, NULL},
        {"length", {U}, 1, I4, NULL, NULL},
        {"length", {C}, 1, I4, NULL, NULL},
        {"md5", {U}, 1, T, NULL, NULL},
        {"substr", {U, U}, 2, T, NULL, NULL},
        {"concat", {I4, U, B}, 3, T, NULL, NULL},
        {"concat", {U}, 0, U, "function concat() does not exist", NO_FUNCTION},
        {"concat_ws", {U}, 1, U, "function concat_ws(unknown) does not exist", NO_FUNCTION},
        {"mod", {U, U}, 2, U, "function mod(unknown, unknown) is not unique", MANY_FUNCTIONS},
        {"trunc", {U}, 1, U, "function trunc(unknown) is not unique", MANY_FUNCTIONS},
        {"to_hex", {I2}, 1, U, "function to_hex(smallint) is not unique", MANY_FUNCTIONS},
        {"length", {I4}, 1, U, "function length(integer) does not exist", NO_FUNCTION},
        {"length", {U}, 0, U, "function length() does not exist", NO_FUNCTION},
        {"substr", {U, N}, 2, U, "function substr(unknown, numeric) does not exist", NO_FUNCTION},
        {"round",
         {F8, I4},
         2,
         U,
         "function round(double precision, integer) does not exist",
         NO_FUNCTION},
        {"nofn",
         {U, I4, U, N},
         4,
         U,
         "function nofn(unknown, integer, unknown, numeric) does not exist",
         NO_FUNCTION},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct func *f;
        struct err err;
        enum status st = func_resolve(NULL, cases[i].name, cases[i].args, cases[i].n, 3, &f, &err);

        if (cases[i].result != U) {
            assert_int_equal(st, ST_OK);
            assert_int_equal(f->result, cases[i].result);
            continue;
        }
        assert_int_equal(st, ST_REJECT);
        assert_string_equal(err.msg, cases[i].msg);
        assert_string_equal(err.sqlstate,
                            strcmp(cases[i].hint, NO_FUNCTION) == 0 ? "42883" : "42725");
        assert_string_equal(err.hint, cases[i].hint);
        assert_int_equal(err.position, 3);
    }
    assert_true(func_exists(NULL, "lower"));
    assert_false(func_exists("foo", "lower"));
}

/* SELECT of each; errors without their position. */
static const char *const expressions[][2] = {
    {"5 / 2, -5 / 2, 5 % 3, -5 % 3, 5 % -3", "2|-2|2|-2|2"},
    {"1 / 0", "ERROR 22012 division by zero"},
    {"1 % 0", "ERROR 22012 division by zero"},
    {"1.0 / 0", "ERROR 22012 division by zero"},
    {"1e0::float8 / 0", "ERROR 22012 division by zero"},
    {"'nan'::float8 / 0", "NaN"},
    {"2147483647 + 1", "ERROR 22003 integer out of range"},
    {"32767::int2 + 1::int2", "ERROR 22003 smallint out of range"},
    {"9223372036854775807 + 1", "ERROR 22003 bigint out of range"},
    {"(-2147483648) / (-1)", "ERROR 22003 integer out of range"},
    {"(-9223372036854775808) / (-1)", "ERROR 22003 bigint out of range"},
    {"(-9223372036854775808) % (-1)", "0"},
    {"abs(-2147483648)", "ERROR 22003 integer out of range"},
    {"1e308::float8 * 10", "ERROR 22003 value out of range: overflow"},
    {"1e-308::float8 * 1e-308::float8", "ERROR 22003 value out of range: underflow"},
    {"1e38::float4 * 10::float4", "ERROR 22003 value out of range: overflow"},
    {"'inf'::float8 - 'inf'::float8", "NaN"},
    {"0.1::float4 + 0.2::float4, 0.1::float8 + 0.2::float8", "0.3|0.30000000000000004"},
    {"1.1::float4 = 1.1, 1.1::float4 = 1.1::float4", "f|t"},
    {"1 << 33, 1::int8 << 33, 1::int2 << 15, -1 >> 1, 5 & 3, 5 | 3, 5 # 3, ~5",
     "2|8589934592|-32768|-1|1|7|6|-6"},
    {"2 ^ 3, 2.0 ^ 3, 0 ^ 0", "8|8.0000000000000000|1"},
    {"0 ^ -1", "ERROR 2201F zero raised to a negative power is undefined"},
    {"exp(1000)", "ERROR 22003 value out of range: overflow"},
    {"exp(-1000)", "ERROR 22003 value out of range: underflow"},
    {"ln(0)", "ERROR 2201E cannot take logarithm of zero"},
    {"sqrt(-1)", "ERROR 2201F cannot take square root of a negative number"},
    {"round(2.5), round(2.5::float8), round(-1234.567, -2), trunc(-2.7)", "3|2|-1200|-2"},
    {"div(7.5, 2), scale(1.50), log(2.0, 64.0)", "3|2|6.0000000000000000"},
    {"'a' || 1, 1.50 || 'a', 'a' || true, 'a'::char(3) || 'b', 'a' || NULL", "a1|1.50a|atrue|ab|~"},
    {"'\\x41'::bytea || '\\x42'", "\\x4142"},
    {"'a'::char(3) = 'a', 'a '::text = 'a'::char(5), length('a  '::char(3)), "
     "octet_length('a'::char(3))",
     "t|f|1|3"},
    {"NULL = NULL, NULL || 'a', NULL::int + 1", "~|~|~"},
    {"length('\xc3\xa4\x62'), octet_length('\xc3\xa4'), bit_length('a')", "2|2|8"},
    {"upper('\xc3\xa4\x62'), lower('\xc3\x84'), initcap('hello wORLD-1a')",
     "\xc3\x84\x42|\xc3\xa4|Hello World-1a"},
    {"substr('hello', 0, 3), substr('hello', -1, 3), substring('hello' from 2 for 3)", "he|h|ell"},
    {"substr('hello', 2, -1)", "ERROR 22011 negative substring length not allowed"},
    {"substr('hello', 2147483647, 2147483647), left('ab', -2147483648)", "|"},
    {"left('hello', -2), right('hello', -2), right('hello', 2)", "hel|llo|lo"},
    {"position('l' in 'hello'), strpos('\xc3\xa4\xc3\xb6', '\xc3\xb6'), position('' in 'a')",
     "3|2|1"},
    {"replace('aaa', 'aa', 'b'), trim(both 'xy' from 'yxay'), ltrim('abc', 'ba')", "ba|a|c"},
    {"lpad('hi', 5, 'xy'), rpad('hello', 2), repeat('ab', 2), reverse('\xc3\xa4\x62')",
     "xyxhi|he|abab|b\xc3\xa4"},
    {"repeat('x', 2000000000)",
     "ERROR 54000 result of 2000000000 bytes is larger than the limit of 268435456"},
    {"split_part('a,b,c', ',', 2), split_part('a,b,c', ',', -1), split_part('a', ',', 3)", "b|c|"},
    {"split_part('a', ',', 0)", "ERROR 22023 field position must not be zero"},
    {"concat('a', 1, NULL, true), concat_ws(',', 'a', NULL, 2)", "a1t|a,2"},
    {"md5('hello')", "5d41402abc4b2a76b9719d911017c592"},
    {"encode('abc', 'base64'), decode('YWI=', 'base64'), encode('\\x0aff', 'hex')",
     "YWJj|\\x6162|0aff"},
    {"decode('YWJ', 'base64')", "ERROR 22023 invalid base64 end sequence"},
    {"chr(228), ascii('\xc3\xa4'), to_hex(-1)", "\xc3\xa4|228|ffffffff"},
    {"chr(0)", "ERROR 54000 null character not permitted"},
    {"chr(1114112)", "ERROR 54000 requested character too large for encoding: 1114112"},
    {"extract(year from timestamptz '0001-01-01 BC'), extract(century from timestamptz "
     "'2000-01-01'), extract(decade from timestamptz '0001-01-01 BC')",
     "-1|20|0"},
    {"extract(second from timestamptz '2024-02-29 12:34:56.789'), extract(epoch from "
     "timestamptz '1970-01-02'), extract(day from 'infinity'::timestamptz), extract(year from "
     "'-infinity'::timestamptz)",
     "56.789000|86400.000000|~|-Infinity"},
    {"date_trunc('week', timestamptz '2024-02-29 12:00'), date_trunc('decade', timestamptz "
     "'0005-01-01 BC'), date_trunc('century', timestamptz '0055-01-01 BC')",
     "2024-02-26 00:00:00+00|0011-01-01 00:00:00+00 BC|0100-01-01 00:00:00+00 BC"},
    {"date_trunc('foo', now())",
     "ERROR 22023 unit \"foo\" not recognized for type timestamp with time zone"},
    {"to_timestamp(1.5), to_timestamp('infinity')", "1970-01-01 00:00:01.5+00|infinity"},
    {"to_timestamp('nan')", "ERROR 22008 timestamp cannot be NaN"},
    {"'abc' LIKE '%b%', 'a' NOT LIKE 'b', 'a%' LIKE 'a!%' ESCAPE '!', 'A' ILIKE 'a'", "t|t|t|t"},
};

static void expressions_give_postgresqls_values(void **state)
{
    struct sqltest t;

    (void)state;
    sqltest_open(&t);
    t.tags = false;
    for (size_t i = 0; i < sizeof expressions / sizeof expressions[0]; i++) {
        char sql[512];
        char got[512];
        char *place;

        assert_true((size_t)snprintf(sql, sizeof sql, "SELECT %s", expressions[i][0]) < sizeof sql);
        (void)snprintf(got, sizeof got, "%s", sqltest_run(&t, t.s, sql));
        place = strstr(got, " [");
        if (place != NULL && strncmp(got, "ERROR", 5) == 0)
            *place = '\0';
        if (strcmp(got, expressions[i][1]) != 0)
            fail_msg("%s\ngives  %s\nwanted %s", expressions[i][0], got, expressions[i][1]);
    }
    sqltest_close(&t);
}

static void every_table_entry_is_callable_by_its_own_types(void **state)
{
    static const char *const signs[] = {"=", "<>", "<", "<=", ">", ">="};

    (void)state;
    for (int type = 1; type < TYPE_COUNT; type++) {
        for (int cmp = CMP_EQ; cmp <= CMP_GE; cmp++) {
            const struct func *f = oper_same_type((enum cmp_op)cmp, (enum sql_type)type);
            const struct func *same;

            assert_non_null(f);
            assert_int_equal(f->cmp, cmp);
            assert_int_equal(f->args[0], f->args[1]);
            assert_int_equal(oper_resolve(NULL, signs[cmp - CMP_EQ], (enum sql_type)type,
                                          (enum sql_type)type, 0, &same, NULL),
                             ST_OK);
            assert_ptr_equal(f, same);
            assert_int_equal(cmp_swap(cmp_swap((enum cmp_op)cmp)), cmp);
            assert_int_equal(cmp_negate(cmp_negate((enum cmp_op)cmp)), cmp);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operator_means_postgresqls),
        cmocka_unit_test(operator_that_is_none_is_an_error_with_a_hint),
        cmocka_unit_test(function_call_resolves_or_says_why_not),
        cmocka_unit_test(expressions_give_postgresqls_values),
        cmocka_unit_test(every_table_entry_is_callable_by_its_own_types),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
