/* Casts: which exist where, what they give, typmods, and the common type of several. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sql/cast.h"
#include "sql/parse.h"
#include "sql/type_name.h"

static void cast_exists_where_postgresql_has_it(void **state)
{
    static const struct {
        enum sql_type from, to;
        int least; /* CAST_..., or 3: there is none */
    } cases[] = {
        {TYPE_INT2, TYPE_INT4, CAST_IMPLICIT},
        {TYPE_INT4, TYPE_INT2, CAST_ASSIGNMENT},
        {TYPE_INT8, TYPE_FLOAT4, CAST_IMPLICIT},
        {TYPE_FLOAT8, TYPE_INT4, CAST_ASSIGNMENT},
        {TYPE_FLOAT8, TYPE_NUMERIC, CAST_ASSIGNMENT},
        {TYPE_NUMERIC, TYPE_FLOAT8, CAST_IMPLICIT},
        {TYPE_INT4, TYPE_BOOL, CAST_EXPLICIT},
        {TYPE_BOOL, TYPE_INT4, CAST_EXPLICIT},
        {TYPE_INT8, TYPE_BOOL, 3},
        {TYPE_BOOL, TYPE_INT8, 3},
        {TYPE_INT4, TYPE_TEXT, CAST_ASSIGNMENT},
        {TYPE_TEXT, TYPE_INT4, CAST_EXPLICIT},
        {TYPE_UNKNOWN, TYPE_INT4, CAST_IMPLICIT},
        {TYPE_VARCHAR, TYPE_TEXT, CAST_IMPLICIT},
        {TYPE_BPCHAR, TYPE_TEXT, CAST_IMPLICIT},
        {TYPE_TEXT, TYPE_BPCHAR, CAST_IMPLICIT},
        {TYPE_TIMESTAMPTZ, TYPE_TEXT, CAST_ASSIGNMENT},
        {TYPE_TEXT, TYPE_TIMESTAMPTZ, CAST_EXPLICIT},
        {TYPE_INT4, TYPE_TIMESTAMPTZ, 3},
        {TYPE_BYTEA, TYPE_INT4, 3},
        {TYPE_BYTEA, TYPE_TEXT, CAST_ASSIGNMENT},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (int c = CAST_IMPLICIT; c <= CAST_EXPLICIT; c++) {
            const struct cast *cast = cast_find(cases[i].from, cases[i].to, (enum cast_context)c);

            if ((cast != NULL) != (c >= cases[i].least))
                fail_msg("%s to %s in context %d", type_info(cases[i].from)->name,
                         type_info(cases[i].to)->name, c);
        }
    }
    assert_false(cast_find(TYPE_TEXT, TYPE_TIMESTAMPTZ, CAST_EXPLICIT)->immutable);
    assert_true(cast_find(TYPE_TEXT, TYPE_INT4, CAST_EXPLICIT)->immutable);
    for (int t = 1; t < TYPE_COUNT; t++)
        assert_true(cast_find((enum sql_type)t, (enum sql_type)t, CAST_IMPLICIT)->relabel);
}

/* Casts a value given as text; the result as text, or the error's message. */
static const char *cast_text(enum sql_type from, const char *in, enum sql_type to, int32_t typmod,
                             enum cast_context context, struct arena *mem)
{
    const struct cast *c = cast_find(from, to, context);
    struct func_env env = {.zone_s = 3600};
    struct datum d;
    struct bytes text;
    struct err err;

    assert_non_null(c);
    assert_int_equal(datum_from_text(from, bytes_str(in), mem, &d, NULL), ST_OK);
    if (cast_run(c, &env, &d, mem, &d, &err) != ST_OK ||
        typmod_apply(to, typmod, context, mem, &d, &err) != ST_OK)
        return arena_printf(mem, "%s %s", err.sqlstate, err.msg);
    assert_int_equal(d.type, to);
    text = datum_text(&d, mem);
    return arena_strndup(mem, (const char *)text.ptr, text.len);
}

static void values_are_cast_as_postgresql_does(void **state)
{
    static const struct {
        enum sql_type from;
        const char *in;
        enum sql_type to;
        const char *want;
    } cases[] = {
        {TYPE_NUMERIC, "2.5", TYPE_INT4, "3"},
        {TYPE_NUMERIC, "-2.5", TYPE_INT4, "-3"},
        {TYPE_FLOAT8, "2.5", TYPE_INT4, "2"},
        {TYPE_FLOAT8, "3.5", TYPE_INT2, "4"},
        {TYPE_FLOAT8, "nan", TYPE_INT4, "22003 integer out of range"},
        {TYPE_FLOAT8, "9.3e18", TYPE_INT8, "22003 bigint out of range"},
        {TYPE_FLOAT8, "9223372036854775808", TYPE_INT8, "22003 bigint out of range"},
        {TYPE_FLOAT8, "-9223372036854775808", TYPE_INT8, "-9223372036854775808"},
        {TYPE_NUMERIC, "nan", TYPE_INT4, "0A000 cannot convert NaN to integer"},
        {TYPE_NUMERIC, "inf", TYPE_INT8, "0A000 cannot convert infinity to bigint"},
        {TYPE_INT8, "40000", TYPE_INT2, "22003 smallint out of range"},
        {TYPE_FLOAT8, "1e39", TYPE_FLOAT4, "22003 value out of range: overflow"},
        {TYPE_FLOAT8, "1e-50", TYPE_FLOAT4, "22003 value out of range: underflow"},
        {TYPE_NUMERIC, "1e-46", TYPE_FLOAT4,
         "22003 \"0.0000000000000000000000000000000000000000000001\" is out of range for type "
         "real"},
        {TYPE_FLOAT4, "1.1", TYPE_FLOAT8, "1.100000023841858"},
        {TYPE_FLOAT4, "1.1", TYPE_NUMERIC, "1.1"},
        {TYPE_FLOAT4, "1234567.8", TYPE_NUMERIC, "1234570"},
        {TYPE_INT4, "-5", TYPE_BOOL, "t"},
        {TYPE_BOOL, "t", TYPE_INT4, "1"},
        {TYPE_BOOL, "t", TYPE_TEXT, "true"},
        {TYPE_INT4, "42", TYPE_VARCHAR, "42"},
        {TYPE_BPCHAR, "a  ", TYPE_TEXT, "a"},
        {TYPE_TEXT, " 12 ", TYPE_INT8, "12"},
        {TYPE_TEXT, "x", TYPE_BOOL, "22P02 invalid input syntax for type boolean: \"x\""},
        {TYPE_TIMESTAMPTZ, "2024-01-01", TYPE_TEXT, "2024-01-01 01:00:00+01"},
        {TYPE_TEXT, "2024-01-01", TYPE_TIMESTAMPTZ, "2023-12-31 23:00:00+00"},
    };
    struct arena mem;

    (void)state;
    arena_init(&mem, 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_string_equal(
            cast_text(cases[i].from, cases[i].in, cases[i].to, -1, CAST_EXPLICIT, &mem),
            cases[i].want);
    arena_fini(&mem);
}

static void typmod_cuts_pads_or_refuses(void **state)
{
    static const struct {
        enum sql_type type;
        int32_t typmod;
        enum cast_context context;
        const char *in, *want;
    } cases[] = {
        {TYPE_VARCHAR, 2 + 4, CAST_EXPLICIT, "abc", "ab"},
        {TYPE_VARCHAR, 2 + 4, CAST_ASSIGNMENT, "abc",
         "22001 value too long for type character varying(2)"},
        {TYPE_VARCHAR, 2 + 4, CAST_ASSIGNMENT, "ab   ", "ab"},
        {TYPE_VARCHAR, 2 + 4, CAST_ASSIGNMENT, "\xc3\xa4\xc3\xb6", "\xc3\xa4\xc3\xb6"},
        {TYPE_VARCHAR, 1 + 4, CAST_EXPLICIT, "\xc3\xa4\xc3\xb6", "\xc3\xa4"},
        {TYPE_VARCHAR, -1, CAST_ASSIGNMENT, "abc", "abc"},
        {TYPE_BPCHAR, 3 + 4, CAST_ASSIGNMENT, "a", "a  "},
        {TYPE_BPCHAR, 3 + 4, CAST_ASSIGNMENT, "\xc3\xa4", "\xc3\xa4  "},
        {TYPE_BPCHAR, 1 + 4, CAST_ASSIGNMENT, "ab", "22001 value too long for type character(1)"},
        {TYPE_BPCHAR, 1 + 4, CAST_ASSIGNMENT, "a ", "a"},
        {TYPE_NUMERIC, (5 << 16 | 2) + 4, CAST_ASSIGNMENT, "123.456", "123.46"},
        {TYPE_NUMERIC, (4 << 16 | 2) + 4, CAST_ASSIGNMENT, "123.456",
         "22003 numeric field overflow"},
        {TYPE_NUMERIC, (3 << 16 | (-2 & 0x7ff)) + 4, CAST_ASSIGNMENT, "12345", "12300"},
    };
    struct arena mem;

    (void)state;
    arena_init(&mem, 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_string_equal(cast_text(cases[i].type, cases[i].in, cases[i].type, cases[i].typmod,
                                      cases[i].context, &mem),
                            cases[i].want);
    arena_fini(&mem);
}

static void type_as_written_gives_type_and_typmod(void **state)
{
    static const struct {
        const char *sql;
        enum sql_type type;
        int32_t typmod;
        const char *format; /* or the error */
    } cases[] = {
        {"int", TYPE_INT4, -1, "integer"},
        {"varchar(20)", TYPE_VARCHAR, 24, "character varying(20)"},
        {"character varying", TYPE_VARCHAR, -1, "character varying"},
        {"char", TYPE_BPCHAR, 5, "character(1)"},
        {"bpchar", TYPE_BPCHAR, -1, "character"},
        {"numeric(10,2)", TYPE_NUMERIC, (10 << 16 | 2) + 4, "numeric(10,2)"},
        {"decimal(5)", TYPE_NUMERIC, (5 << 16) + 4, "numeric(5,0)"},
        {"numeric(3,-2)", TYPE_NUMERIC, (3 << 16 | (-2 & 0x7ff)) + 4, "numeric(3,-2)"},
        {"float(24)", TYPE_FLOAT4, -1, "real"},
        {"float(25)", TYPE_FLOAT8, -1, "double precision"},
        {"double precision", TYPE_FLOAT8, -1, "double precision"},
        {"timestamp with time zone", TYPE_TIMESTAMPTZ, -1, "timestamp with time zone"},
        {"pg_catalog.int8", TYPE_INT8, -1, "bigint"},
        {"varchar(0)", 0, 0, "22023 length for type varchar must be at least 1"},
        {"char(10485761)", 0, 0, "22023 length for type char cannot exceed 10485760"},
        {"numeric(1001)", 0, 0, "22023 NUMERIC precision 1001 must be between 1 and 1000"},
        {"numeric(3,1001)", 0, 0, "22023 NUMERIC scale 1001 must be between -1000 and 1000"},
        {"text(3)", 0, 0, "42601 type modifier is not allowed for type \"text\""},
        {"money", 0, 0, "42704 type \"money\" does not exist"},
        {"foo.int4", 0, 0, "42704 type \"foo.int4\" does not exist"},
        {"int[]", 0, 0, "0A000 arrays and sets of type \"int4\" are not supported"},
    };
    struct arena mem;

    (void)state;
    arena_init(&mem, 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *sql = arena_printf(&mem, "x::%s", cases[i].sql);
        struct expr *e;
        enum sql_type type;
        int32_t typmod;
        struct err err;

        assert_int_equal(sql_parse_expr(bytes_str(sql), &mem, &e, &err), ST_OK);
        if (type_name_resolve(&e->cast.type, &type, &typmod, &err) != ST_OK) {
            assert_string_equal(arena_printf(&mem, "%s %s", err.sqlstate, err.msg),
                                cases[i].format);
            assert_int_equal(err.position, 4);
            continue;
        }
        assert_int_equal(type, cases[i].type);
        assert_int_equal(typmod, cases[i].typmod);
        assert_string_equal(type_name_format(type, typmod, &mem), cases[i].format);
    }
    arena_fini(&mem);
}

static void common_type_is_postgresqls(void **state)
{
    static const struct {
        enum sql_type types[3];
        size_t n;
        enum sql_type want;
    } cases[] = {
        {{TYPE_UNKNOWN, TYPE_UNKNOWN}, 2, TYPE_TEXT},
        {{TYPE_UNKNOWN, TYPE_INT4}, 2, TYPE_INT4},
        {{TYPE_INT4, TYPE_NUMERIC}, 2, TYPE_NUMERIC},
        {{TYPE_INT4, TYPE_INT8, TYPE_INT2}, 3, TYPE_INT8},
        {{TYPE_NUMERIC, TYPE_FLOAT4}, 2, TYPE_FLOAT4},
        {{TYPE_FLOAT8, TYPE_NUMERIC}, 2, TYPE_FLOAT8},
        {{TYPE_VARCHAR, TYPE_TEXT}, 2, TYPE_TEXT},
        {{TYPE_BPCHAR, TYPE_UNKNOWN, TYPE_VARCHAR}, 3, TYPE_BPCHAR},
        {{TYPE_VARCHAR, TYPE_UNKNOWN}, 2, TYPE_VARCHAR},
    };
    enum sql_type bad[2] = {TYPE_INT4, TYPE_BOOL};
    enum sql_type t;
    struct err err;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(type_common(cases[i].types, cases[i].n, "CASE", 7, &t, &err), ST_OK);
        assert_int_equal(t, cases[i].want);
    }
    assert_int_equal(type_common(bad, 2, "COALESCE", 7, &t, &err), ST_REJECT);
    assert_string_equal(err.msg, "COALESCE types integer and boolean cannot be matched");
    assert_string_equal(err.sqlstate, "42804");
    assert_int_equal(err.position, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cast_exists_where_postgresql_has_it),
        cmocka_unit_test(values_are_cast_as_postgresql_does),
        cmocka_unit_test(typmod_cuts_pads_or_refuses),
        cmocka_unit_test(type_as_written_gives_type_and_typmod),
        cmocka_unit_test(common_type_is_postgresqls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
