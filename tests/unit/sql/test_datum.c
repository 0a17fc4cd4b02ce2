/* Values in and out: text, PostgreSQL's binary forms, order and hash. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <float.h>
#include <math.h>

#include "base/rng.h"
#include "sql/datum.h"
#include "sql/numeric.h"

static struct arena mem;

static int setup(void **state)
{
    (void)state;
    arena_init(&mem, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_fini(&mem);
    return 0;
}

static const char *text_of(const struct datum *d)
{
    struct bytes t = datum_text(d, &mem);

    return arena_strndup(&mem, (const char *)t.ptr, t.len);
}

static struct datum value(enum sql_type t, const char *text)
{
    struct datum d;
    struct err err;

    err_clear(&err);
    if (datum_from_text(t, bytes_str(text), &mem, &d, &err) != ST_OK)
        fail_msg("%s '%s': %s", type_info(t)->name, text, err.msg);
    return d;
}

static void types_names_and_oids_agree(void **state)
{
    enum sql_type t;

    (void)state;
    for (int i = 1; i < TYPE_COUNT; i++) {
        const struct type_info *info = type_info((enum sql_type)i);

        assert_int_equal(info->type, i);
        assert_int_equal(type_by_oid(info->oid), i);
        assert_true(type_by_name(info->name, &t));
        assert_int_equal(t, i);
    }
    assert_int_equal(type_by_oid(4711), TYPE_UNKNOWN);
    assert_false(type_by_name("money", &t));
}

static void text_in_gives_the_canonical_text_out(void **state)
{
    static const struct {
        enum sql_type type;
        const char *in, *out;
    } cases[] = {
        {TYPE_BOOL, "TRUE", "t"},
        {TYPE_BOOL, " y ", "t"},
        {TYPE_BOOL, "of", "f"},
        {TYPE_BOOL, "0", "f"},
        {TYPE_INT2, "-32768", "-32768"},
        {TYPE_INT4, " +12\t", "12"},
        {TYPE_INT4, "-2147483648", "-2147483648"},
        {TYPE_INT8, "9223372036854775807", "9223372036854775807"},
        {TYPE_INT8, "-9223372036854775808", "-9223372036854775808"},
        {TYPE_FLOAT8, "0.1", "0.1"},
        {TYPE_FLOAT8, "1e15", "1e+15"},
        {TYPE_FLOAT8, "123456789012345", "123456789012345"},
        {TYPE_FLOAT8, "0.0001", "0.0001"},
        {TYPE_FLOAT8, "0.00001", "1e-05"},
        {TYPE_FLOAT8, "-0", "-0"},
        {TYPE_FLOAT8, " Infinity ", "Infinity"},
        {TYPE_FLOAT8, "-inf", "-Infinity"},
        {TYPE_FLOAT8, "nan", "NaN"},
        {TYPE_FLOAT8, "5e-324", "5e-324"},
        {TYPE_FLOAT8, "1e-323", "1e-323"},
        {TYPE_FLOAT8, "1.7976931348623157e308", "1.7976931348623157e+308"},
        {TYPE_FLOAT8, "5.684341886080802e-14", "5.684341886080802e-14"}, /* 2^-44 */
        {TYPE_FLOAT8, "9007199254740993", "9.007199254740992e+15"},
        {TYPE_FLOAT8, "0x10", "16"},
        {TYPE_FLOAT4, "1e5", "100000"},
        {TYPE_FLOAT4, "1e6", "1e+06"},
        {TYPE_FLOAT4, "1234567", "1.234567e+06"},
        {TYPE_FLOAT4, "1.4e-45", "1e-45"},
        {TYPE_FLOAT4, "0.1", "0.1"},
        {TYPE_TEXT, " it's ", " it's "},
        {TYPE_BYTEA, "\\x4142", "\\x4142"},
        {TYPE_BYTEA, "\\xDE ad\nBE", "\\xdeadbe"},
        {TYPE_BYTEA, "a\\\\b", "\\x615c62"},
        {TYPE_BYTEA, "a\\001b", "\\x610162"},
        {TYPE_BYTEA, "", "\\x"},
        {TYPE_TIMESTAMPTZ, "2024-02-29 12:00:00+02", "2024-02-29 10:00:00+00"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct datum d = value(cases[i].type, cases[i].in);

        assert_int_equal(d.type, cases[i].type);
        assert_string_equal(text_of(&d), cases[i].out);
    }
}

static void text_that_is_no_value_is_an_error(void **state)
{
    static const struct {
        enum sql_type type;
        const char *in, *sqlstate, *msg;
    } cases[] = {
        {TYPE_INT4, "", "22P02", "invalid input syntax for type integer: \"\""},
        {TYPE_INT4, "1 2", "22P02", "invalid input syntax for type integer: \"1 2\""},
        {TYPE_INT4, "0x10", "22P02", "invalid input syntax for type integer: \"0x10\""},
        {TYPE_INT4, "-", "22P02", "invalid input syntax for type integer: \"-\""},
        {TYPE_INT4, "2147483648", "22003", "value \"2147483648\" is out of range for type integer"},
        {TYPE_INT2, "40000", "22003", "value \"40000\" is out of range for type smallint"},
        {TYPE_INT8, "99999999999999999999999", "22003",
         "value \"99999999999999999999999\" is out of range for type bigint"},
        {TYPE_INT8, "-9223372036854775809", "22003",
         "value \"-9223372036854775809\" is out of range for type bigint"},
        {TYPE_FLOAT8, "abc", "22P02", "invalid input syntax for type double precision: \"abc\""},
        {TYPE_FLOAT8, "nan(1)", "22P02",
         "invalid input syntax for type double precision: \"nan(1)\""},
        {TYPE_FLOAT8, "1e400", "22003", "\"1e400\" is out of range for type double precision"},
        {TYPE_FLOAT8, "1e-400", "22003", "\"1e-400\" is out of range for type double precision"},
        {TYPE_FLOAT4, "1e39", "22003", "\"1e39\" is out of range for type real"},
        {TYPE_BOOL, "o", "22P02", "invalid input syntax for type boolean: \"o\""},
        {TYPE_BOOL, "", "22P02", "invalid input syntax for type boolean: \"\""},
        {TYPE_BYTEA, "\\x4", "22023", "invalid hexadecimal data: odd number of digits"},
        {TYPE_BYTEA, "\\xzz", "22023", "invalid hexadecimal digit: \"z\""},
        {TYPE_BYTEA, "\\x\xc3\xa4", "22023", "invalid hexadecimal digit: \"\xc3\xa4\""},
        {TYPE_BYTEA, "a\\b", "22P02", "invalid input syntax for type bytea"},
        {TYPE_BYTEA, "a\\400", "22P02", "invalid input syntax for type bytea"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct datum d;
        struct err err;

        assert_int_equal(datum_from_text(cases[i].type, bytes_str(cases[i].in), &mem, &d, &err),
                         ST_REJECT);
        assert_string_equal(err.sqlstate, cases[i].sqlstate);
        assert_string_equal(err.msg, cases[i].msg);
    }
}

static const char *hex_of(const struct buf *b)
{
    char *s = arena_zalloc(&mem, 2 * b->len + 1);

    for (size_t i = 0; i < b->len; i++)
        (void)snprintf(s + 2 * i, 3, "%02x", b->ptr[i]);
    return s;
}

static void binary_is_what_postgresql_sends(void **state)
{
    static const struct {
        enum sql_type type;
        const char *text, *hex;
    } cases[] = {
        {TYPE_BOOL, "t", "01"},
        {TYPE_INT2, "-2", "fffe"},
        {TYPE_INT4, "305419896", "12345678"},
        {TYPE_INT8, "-2", "fffffffffffffffe"},
        {TYPE_FLOAT4, "1.5", "3fc00000"},
        {TYPE_FLOAT8, "-0.1", "bfb999999999999a"},
        {TYPE_TIMESTAMPTZ, "2024-02-29 12:34:56.789+00", "0002b58341728608"},
        {TYPE_TIMESTAMPTZ, "infinity", "7fffffffffffffff"},
        {TYPE_TIMESTAMPTZ, "-infinity", "8000000000000000"},
        {TYPE_TIMESTAMPTZ, "epoch", "fffca2fec4c82000"},
        {TYPE_TEXT, "\xc3\xa4\x62", "c3a462"},
        {TYPE_BYTEA, "\\x00ff", "00ff"},
        {TYPE_NUMERIC, "12345.678", "0003000100000003000109291a7c"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct datum d = value(cases[i].type, cases[i].text);
        struct datum back;
        struct buf b = {0};

        datum_to_binary(&d, &b);
        assert_string_equal(hex_of(&b), cases[i].hex);
        assert_int_equal(datum_from_binary(cases[i].type, buf_bytes(&b), &mem, &back, NULL), ST_OK);
        assert_int_equal(datum_cmp(&d, &back), 0);
        assert_string_equal(text_of(&back), text_of(&d));
        buf_fini(&b);
    }
}

static void binary_of_wrong_length_or_range_is_an_error(void **state)
{
    static const uint8_t bytes[16] = {0xff, 0xfe, 0, 0, 0, 0, 0, 1};
    static const struct {
        enum sql_type type;
        size_t len;
        const char *sqlstate;
    } cases[] = {
        {TYPE_INT4, 3, "22P03"},        {TYPE_INT8, 9, "22P03"}, {TYPE_BOOL, 0, "22P03"},
        {TYPE_FLOAT4, 8, "22P03"},      {TYPE_TEXT, 2, "22021"}, {TYPE_NUMERIC, 7, "22P03"},
        {TYPE_TIMESTAMPTZ, 7, "22P03"},
    };
    static const uint8_t early[8] = {0x80, 0, 0, 0, 0, 0, 0, 1};
    struct datum d;
    struct err err;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(
            datum_from_binary(cases[i].type, bytes_of(bytes, cases[i].len), &mem, &d, &err),
            ST_REJECT);
        assert_string_equal(err.sqlstate, cases[i].sqlstate);
    }
    assert_int_equal(datum_from_binary(TYPE_TIMESTAMPTZ, bytes_of(early, 8), &mem, &d, &err),
                     ST_REJECT);
    assert_string_equal(err.sqlstate, "22008");
}

static void random_bytes_never_crash_and_what_is_taken_round_trips(void **state)
{
    static const char soup[] = "0123456789+-.eExX\\: ";
    struct rng r;

    (void)state;
    rng_seed(&r, 7);
    for (int i = 0; i < 20000; i++) {
        uint8_t in[24];
        size_t len = rng_below(&r, sizeof in + 1);
        enum sql_type t = (enum sql_type)(1 + rng_below(&r, TYPE_COUNT - 1));
        struct datum d;
        struct datum back;
        struct buf b = {0};

        for (size_t k = 0; k < len; k++)
            in[k] =
                i % 2 == 0 ? (uint8_t)rng_next(&r) : (uint8_t)soup[rng_below(&r, sizeof soup - 1)];
        if (datum_from_text(t, bytes_of(in, len), &mem, &d, NULL) == ST_OK && t != TYPE_UNKNOWN) {
            struct bytes text = datum_text(&d, &mem);

            assert_int_equal(datum_from_text(t, text, &mem, &back, NULL), ST_OK);
            assert_int_equal(datum_cmp(&d, &back), 0);
            assert_true(datum_hash(&d) == datum_hash(&back));
        }
        if (datum_from_binary(t, bytes_of(in, len), &mem, &d, NULL) == ST_OK) {
            datum_to_binary(&d, &b);
            assert_int_equal(datum_from_binary(t, buf_bytes(&b), &mem, &back, NULL), ST_OK);
            assert_int_equal(datum_cmp(&d, &back), 0);
            (void)datum_text(&d, &mem); /* must not crash either */
            buf_fini(&b);
        }
        if (i % 64 == 0)
            arena_reset(&mem);
    }
}

static void floats_random_read_back_exactly(void **state)
{
    struct rng r;

    (void)state;
    rng_seed(&r, 11);
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = rng_next(&r);
        struct datum d = {.type = TYPE_FLOAT8};
        struct datum back;
        const char *text;

        if (i % 3 == 0)
            bits &= UINT64_C(0xfff0000000000000); /* powers of two */
        if (i % 5 == 0)
            bits &= UINT64_C(0x800fffffffffffff); /* subnormal */
        memcpy(&d.d, &bits, 8);
        if (i % 2 == 0)
            d = (struct datum){.type = TYPE_FLOAT4, .d = (double)(float)d.d};
        text = text_of(&d);
        back = value(d.type, text);
        assert_true(isnan(d.d) ? isnan(back.d) : memcmp(&d.d, &back.d, 8) == 0);
        assert_true(strlen(text) <= 24); /* sign, 17 digits, point, exponent */
        if (i % 64 == 0)
            arena_reset(&mem);
    }
}

static void compare_and_hash_agree(void **state)
{
    static const char *const numbers[] = {"0",   "0.00", "-0.0", "1",     "1.0", "1.000",   "10",
                                          "1e1", "0.1",  "NaN",  "1e-20", "-1",  "Infinity"};
    struct datum zero = {.type = TYPE_FLOAT8, .d = 0.0};
    struct datum minus = {.type = TYPE_FLOAT8, .d = -0.0};
    struct datum nan1 = {.type = TYPE_FLOAT8, .d = NAN};
    struct datum nan2 = {.type = TYPE_FLOAT8, .d = -NAN};
    struct datum inf = {.type = TYPE_FLOAT8, .d = INFINITY};
    struct datum c3 = {.type = TYPE_BPCHAR, .s = bytes_str("a  ")};
    struct datum c1 = {.type = TYPE_BPCHAR, .s = bytes_str("a")};

    (void)state;
    assert_int_equal(datum_cmp(&zero, &minus), 0);
    assert_true(datum_hash(&zero) == datum_hash(&minus));
    assert_int_equal(datum_cmp(&nan1, &nan2), 0);
    assert_true(datum_hash(&nan1) == datum_hash(&nan2));
    assert_true(datum_cmp(&nan1, &inf) > 0);
    assert_int_equal(datum_cmp(&c3, &c1), 0);
    assert_true(datum_hash(&c3) == datum_hash(&c1));
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        for (size_t k = 0; k < sizeof numbers / sizeof numbers[0]; k++) {
            struct datum a = value(TYPE_NUMERIC, numbers[i]);
            struct datum b = value(TYPE_NUMERIC, numbers[k]);

            assert_int_equal(datum_cmp(&a, &b), -datum_cmp(&b, &a));
            if (datum_cmp(&a, &b) == 0)
                assert_true(datum_hash(&a) == datum_hash(&b));
        }
    }
}

static void copy_outlives_its_source(void **state)
{
    struct arena other;
    struct datum n;
    struct datum t;

    (void)state;
    arena_init(&other, 0);
    n = value(TYPE_NUMERIC, "123456789012345678901234567890.5");
    t = value(TYPE_TEXT, "hello");
    n = datum_copy(&n, &other);
    t = datum_copy(&t, &other);
    arena_fini(&mem);
    arena_init(&mem, 0);
    assert_string_equal(text_of(&n), "123456789012345678901234567890.5");
    assert_string_equal(text_of(&t), "hello");
    arena_fini(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(types_names_and_oids_agree, setup, teardown),
        cmocka_unit_test_setup_teardown(text_in_gives_the_canonical_text_out, setup, teardown),
        cmocka_unit_test_setup_teardown(text_that_is_no_value_is_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(binary_is_what_postgresql_sends, setup, teardown),
        cmocka_unit_test_setup_teardown(binary_of_wrong_length_or_range_is_an_error, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(random_bytes_never_crash_and_what_is_taken_round_trips,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(floats_random_read_back_exactly, setup, teardown),
        cmocka_unit_test_setup_teardown(compare_and_hash_agree, setup, teardown),
        cmocka_unit_test_setup_teardown(copy_outlives_its_source, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
