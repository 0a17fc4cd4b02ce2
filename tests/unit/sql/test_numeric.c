/* Exact decimals: results and scales as PostgreSQL has them, and arithmetic against 128-bit integers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rng.h"
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

static const struct numeric *num(const char *text)
{
    const struct numeric *v = NULL;
    struct err err;

    err_clear(&err);
    if (numeric_from_text(bytes_str(text), &mem, &v, &err) != ST_OK)
        fail_msg("'%s': %s", text, err.msg);
    return v;
}

static const char *text_of(const struct numeric *v)
{
    struct bytes t = numeric_text(v, &mem);

    return arena_strndup(&mem, (const char *)t.ptr, t.len);
}

static void text_in_gives_the_canonical_text_out(void **state)
{
    static const char *const cases[][2] = {
        {"1.", "1"},
        {".1", "0.1"},
        {"00012.3400", "12.3400"},
        {"-0", "0"},
        {"-0.00", "0.00"},
        {" 1e3 ", "1000"},
        {"1.5e-3", "0.0015"},
        {"1.50E+1", "15.0"},
        {"inf", "Infinity"},
        {"-Infinity", "-Infinity"},
        {"nan", "NaN"},
        {"+5", "5"},
        {"-12345678901234567890.123", "-12345678901234567890.123"},
    };
    static const char *const bad[] = {"", ".", "1.5e", "1.2.3", "e5", "- 1", "1 2", "-nan", "0x1"};
    static const char *const large[] = {"1e131072", "1e-16384", "1e999999999999"};
    const struct numeric *v;
    struct err err;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_string_equal(text_of(num(cases[i][0])), cases[i][1]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(numeric_from_text(bytes_str(bad[i]), &mem, &v, &err), ST_REJECT);
        assert_string_equal(err.sqlstate, "22P02");
    }
    for (size_t i = 0; i < sizeof large / sizeof large[0]; i++) {
        assert_int_equal(numeric_from_text(bytes_str(large[i]), &mem, &v, &err), ST_REJECT);
        assert_string_equal(err.sqlstate, "22003");
        assert_string_equal(err.msg, "value overflows numeric format");
    }
    assert_int_equal(numeric_text(num("1e131071"), &mem).len, 131072);
    assert_int_equal(numeric_scale(num("1e-16383")), 16383);
}

typedef enum status op_fn(const struct numeric *a, const struct numeric *b, struct arena *mem,
                          const struct numeric **out, struct err *err);

static void check_op(op_fn *fn, const char *a, const char *b, const char *want)
{
    const struct numeric *v = NULL;
    struct err err;

    err_clear(&err);
    if (fn(num(a), num(b), &mem, &v, &err) != ST_OK) {
        assert_string_equal(err.sqlstate, want);
        return;
    }
    assert_string_equal(text_of(v), want);
}

static void arithmetic_has_postgresqls_scales(void **state)
{
    static const struct {
        op_fn *fn;
        const char *a, *b, *want;
    } cases[] = {
        {numeric_add, "1.10", "2.2", "3.30"},
        {numeric_sub, "1.10", "1.1", "0.00"},
        {numeric_mul, "1.5", "1.5", "2.25"},
        {numeric_mul, "0.00", "-5", "0.00"},
        {numeric_div, "5", "3", "1.6666666666666667"},
        {numeric_div, "10.0", "3", "3.3333333333333333"},
        {numeric_div, "100000.0", "3", "33333.333333333333"},
        {numeric_div, "1e20", "3", "33333333333333333333"},
        {numeric_div, "1", "1e20", "0.0000000000000000000100000000000000000000"},
        {numeric_div, "2.5", "0.5", "5.0000000000000000"},
        {numeric_div, "-1", "8", "-0.12500000000000000000"},
        {numeric_div, "1", "0", "22012"},
        {numeric_div, "Infinity", "0", "22012"},
        {numeric_div, "NaN", "0", "NaN"},
        {numeric_div, "0", "Infinity", "0"},
        {numeric_mod, "-7.5", "2", "-1.5"},
        {numeric_mod, "1.0", "0.3", "0.1"},
        {numeric_mod, "5", "Infinity", "5"},
        {numeric_mod, "Infinity", "5", "NaN"},
        {numeric_mod, "Infinity", "0", "22012"},
        {numeric_mod, "NaN", "0", "NaN"},
        {numeric_sub, "Infinity", "Infinity", "NaN"},
        {numeric_mul, "Infinity", "0", "NaN"},
        {numeric_mul, "1e70000", "1e70000", "22003"},
        {numeric_power, "2.0", "3", "8.0000000000000000"},
        {numeric_power, "2.0", "0.5", "1.4142135623730950"},
        {numeric_power, "2.0", "-10", "0.0009765625000000"},
        {numeric_power, "0.5", "20", "0.0000009536743164"},
        {numeric_power, "7.0", "-20", "0.0000000000000000"},
        {numeric_power, "1.0000001", "100000", "1.0100501665791430"},
        {numeric_power, "1.12345678901234567890", "2", "1.26215515677793019455"},
        {numeric_power, "1.5", "2.5", "2.7556759606310754"},
        {numeric_power, "3.0", "2.50", "15.588457268119896"},
        {numeric_power, "0.0", "0", "1.0000000000000000"},
        {numeric_power, "0.0", "0.5", "0.0000000000000000"},
        {numeric_power, "0.0", "-1", "2201F"},
        {numeric_power, "-8.0", "0.5", "2201F"},
        {numeric_power, "-2.0", "-3", "-0.1250000000000000"},
        {numeric_power, "10.0", "200000", "22003"},
        {numeric_power, "1e10", "1000000000", "22003"},
        {numeric_power, "1.0", "3000000000", "1.0000000000000000"},
        {numeric_power, "NaN", "0", "1"},
        {numeric_power, "-Infinity", "3", "-Infinity"},
        {numeric_power, "-Infinity", "0.5", "2201F"},
        {numeric_power, "0.5", "Infinity", "0"},
        {numeric_power, "-1.0", "Infinity", "1"},
        {numeric_log, "2.0", "64.0", "6.0000000000000000"},
        {numeric_log, "10", "1e-20", "-20.00000000000000000000"},
        {numeric_log, "1.1", "1e50", "1207.9428964048403"},
        {numeric_log, "1.0", "2.0", "22012"},
        {numeric_log, "2.0", "0.0", "2201E"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_op(cases[i].fn, cases[i].a, cases[i].b, cases[i].want);
}

static void functions_have_postgresqls_digits(void **state)
{
    static const struct {
        enum status (*fn)(const struct numeric *v, struct arena *mem, const struct numeric **out,
                          struct err *err);
        const char *in, *want;
    } cases[] = {
        {numeric_sqrt, "2.0", "1.414213562373095"},
        {numeric_sqrt, "0.0001", "0.01000000000000000"},
        {numeric_sqrt, "0.00001", "0.0031622776601683793"},
        {numeric_sqrt, "12345678901234567890.0", "3513641828.8201443"},
        {numeric_sqrt, "0.0", "0.000000000000000"},
        {numeric_sqrt, "-1", "2201F"},
        {numeric_exp, "1.0", "2.7182818284590452"},
        {numeric_exp, "10.0", "22026.465794806717"},
        {numeric_exp, "-1.0", "0.3678794411714423"},
        {numeric_exp, "100.0", "26881171418161354484126255515800135873611118.8"},
        {numeric_exp, "-10.0", "0.00004539992976248485"},
        {numeric_exp, "0.0", "1.0000000000000000"},
        {numeric_exp, "0.00000000000000000001", "1.00000000000000000001"},
        {numeric_exp, "1.0000000000000000000000000", "2.7182818284590452353602875"},
        {numeric_exp, "6000.0", "22003"},
        {numeric_exp, "1e100", "22003"},
        {numeric_exp, "-Infinity", "0"},
        {numeric_ln, "2.0", "0.6931471805599453"},
        {numeric_ln, "10.0", "2.3025850929940457"},
        {numeric_ln, "1.0", "0.0000000000000000"},
        {numeric_ln, "1e100", "230.25850929940457"},
        {numeric_ln, "1.0000001", "0.00000009999999500000033"},
        {numeric_ln, "0.95", "-0.051293294387550533"},
        {numeric_ln, "99999999999999999999.99", "46.051701859880914"},
        {numeric_ln, "0", "2201E"},
        {numeric_ln, "-Infinity", "2201E"},
        {numeric_ln, "NaN", "NaN"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct numeric *v = NULL;
        struct err err;

        if (cases[i].fn(num(cases[i].in), &mem, &v, &err) != ST_OK)
            assert_string_equal(err.sqlstate, cases[i].want);
        else
            assert_string_equal(text_of(v), cases[i].want);
    }
}

static void extremes_of_scale_are_bounded(void **state)
{
    const struct numeric *tiny = num("1e-1500");
    const struct numeric *v;

    (void)state;
    assert_int_equal(numeric_div(tiny, num("3"), &mem, &v, NULL), ST_OK);
    assert_int_equal(numeric_scale(v), 1000);
    assert_int_equal(numeric_sign(v), 0);
    assert_int_equal(numeric_div(num("1"), tiny, &mem, &v, NULL), ST_OK);
    assert_int_equal(numeric_text(v, &mem).len, 1501 + 1 + 1000);
    assert_int_equal(numeric_mul(num("1e-16383"), num("1e-16383"), &mem, &v, NULL), ST_OK);
    assert_int_equal(numeric_scale(v), 16383);
    assert_int_equal(numeric_cmp(num("1e131071"), num("1e-16383")), 1);
}

static void rounding_is_half_away_from_zero(void **state)
{
    static const struct {
        const char *in;
        int digits;
        enum numeric_rounding how;
        const char *want;
    } cases[] = {
        {"2.5", 0, NUMERIC_ROUND, "3"},          {"-2.5", 0, NUMERIC_ROUND, "-3"},
        {"1234.567", -2, NUMERIC_ROUND, "1200"}, {"5", -1, NUMERIC_ROUND, "10"},
        {"1.5", 3, NUMERIC_ROUND, "1.500"},      {"-2.7", 0, NUMERIC_TRUNC, "-2"},
        {"-2.1", 0, NUMERIC_FLOOR, "-3"},        {"2.1", 0, NUMERIC_CEIL, "3"},
        {"-0.4", 0, NUMERIC_CEIL, "0"},          {"NaN", 0, NUMERIC_ROUND, "NaN"},
    };
    const struct numeric *v;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(
            numeric_round(num(cases[i].in), cases[i].digits, cases[i].how, &mem, &v, NULL), ST_OK);
        assert_string_equal(text_of(v), cases[i].want);
    }
}

static void fit_rounds_or_overflows(void **state)
{
    static const struct {
        const char *in;
        int precision, scale;
        const char *want; /* or the detail of the error */
    } cases[] = {
        {"1.25", 3, 1, "1.3"},
        {"-1.25", 3, 1, "-1.3"},
        {"99.94", 3, 1, "99.9"},
        {"99.95", 3, 1,
         "A field with precision 3, scale 1 must round to an absolute value less than 10^2."},
        {"1", 2, 2,
         "A field with precision 2, scale 2 must round to an absolute value less than 1."},
        {"0.05", 3, 4, "0.0500"},
        {"1", 3, 4,
         "A field with precision 3, scale 4 must round to an absolute value less than 10^-1."},
        {"9994", 3, -1, "9990"},
        {"9995", 3, -1,
         "A field with precision 3, scale -1 must round to an absolute value less than 10^4."},
        {"NaN", 2, 1, "NaN"},
        {"Infinity", 2, 1, "A field with precision 2, scale 1 cannot hold an infinite value."},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct numeric *v;
        struct err err;

        if (numeric_fit(num(cases[i].in), cases[i].precision, cases[i].scale, &mem, &v, &err) !=
            ST_OK) {
            assert_string_equal(err.sqlstate, "22003");
            assert_string_equal(err.msg, "numeric field overflow");
            assert_string_equal(err.detail, cases[i].want);
        } else {
            assert_string_equal(text_of(v), cases[i].want);
        }
    }
}

static void conversions_to_other_numbers_check_their_range(void **state)
{
    int64_t i;
    double d;
    const struct numeric *v;
    struct err err;

    (void)state;
    assert_int_equal(
        numeric_to_int(num("9223372036854775807.4"), "bigint", INT64_MIN, INT64_MAX, &i, &err),
        ST_OK);
    assert_true(i == INT64_MAX);
    assert_int_equal(
        numeric_to_int(num("9223372036854775807.5"), "bigint", INT64_MIN, INT64_MAX, &i, &err),
        ST_REJECT);
    assert_string_equal(err.msg, "bigint out of range");
    assert_int_equal(numeric_to_int(num("NaN"), "integer", 0, 1, &i, &err), ST_REJECT);
    assert_string_equal(err.msg, "cannot convert NaN to integer");
    assert_int_equal(numeric_to_double(num("0.1"), &d, &err), ST_OK);
    assert_true(d == 0.1);
    assert_int_equal(numeric_to_double(num("1e400"), &d, &err), ST_REJECT);
    assert_string_equal(err.sqlstate, "22003");
    assert_int_equal(numeric_to_double(num("1e-400"), &d, &err), ST_REJECT);
    assert_int_equal(numeric_to_single(num("1e39"), &d, &err), ST_REJECT);
    assert_string_equal(
        err.msg, "\"1000000000000000000000000000000000000000\" is out of range for type real");
    assert_int_equal(numeric_from_double(123456789.123456789, 15, &mem, &v, &err), ST_OK);
    assert_string_equal(text_of(v), "123456789.123457");
    assert_int_equal(numeric_from_double(1e20, 15, &mem, &v, &err), ST_OK);
    assert_string_equal(text_of(v), "100000000000000000000");
}

/* An integer of up to 60 bits as a numeric with a scale. */
static const struct numeric *scaled(int64_t v, int scale)
{
    char text[64];

    (void)snprintf(text, sizeof text, "%llde-%d", (long long)v, scale);
    return num(text);
}

static int64_t pick(struct rng *r)
{
    int64_t v = (int64_t)(rng_next(r) >> (4 + rng_below(r, 59)));

    return rng_below(r, 2) == 0 ? v : -v;
}

static void assert_is(const struct numeric *v, __int128 want, int scale)
{
    const struct numeric *unscaled = NULL;
    char ten[16];

    (void)snprintf(ten, sizeof ten, "1e%d", scale);
    assert_int_equal(numeric_mul(v, num(ten), &mem, &unscaled, NULL), ST_OK);
    assert_int_equal(numeric_cmp(unscaled, numeric_from_int128(want, &mem)), 0);
}

static void random_arithmetic_agrees_with_128_bit_integers(void **state)
{
    struct rng r;

    (void)state;
    rng_seed(&r, 3);
    for (int i = 0; i < 2500; i++) {
        int64_t a = pick(&r);
        int64_t b = pick(&r);
        int sa = (int)rng_below(&r, 6);
        const struct numeric *x = scaled(a, sa);
        const struct numeric *y = scaled(b, sa);
        const struct numeric *v;

        assert_int_equal(numeric_add(x, y, &mem, &v, NULL), ST_OK);
        assert_is(v, (__int128)a + b, sa);
        assert_int_equal(numeric_sub(x, y, &mem, &v, NULL), ST_OK);
        assert_is(v, (__int128)a - b, sa);
        assert_int_equal(numeric_mul(x, y, &mem, &v, NULL), ST_OK);
        assert_int_equal(numeric_scale(v), 2 * sa);
        assert_is(v, (__int128)a * b, 2 * sa);
        assert_int_equal(numeric_cmp(x, y), (a > b) - (a < b));
        if (b != 0) {
            const struct numeric *back;

            assert_int_equal(numeric_mod(x, y, &mem, &v, NULL), ST_OK);
            assert_is(v, a % b, sa);
            assert_int_equal(numeric_sub(x, v, &mem, &v, NULL), ST_OK);
            assert_int_equal(numeric_div(v, y, &mem, &v, NULL), ST_OK);
            assert_is(v, a / b, 0);
            assert_int_equal(numeric_mul(v, y, &mem, &back, NULL), ST_OK);
            assert_is(back, (__int128)(a / b) * b, sa);
        }
        arena_reset(&mem);
    }
}

static void random_values_round_trip(void **state)
{
    struct rng r;

    (void)state;
    rng_seed(&r, 5);
    for (int i = 0; i < 2500; i++) {
        char text[80];
        int n = 0;
        const struct numeric *v;
        const struct numeric *back;
        struct buf b = {0};

        for (int k = (int)rng_below(&r, 30); k >= 0; k--)
            text[n++] = (char)(rng_below(&r, 3) == 0 ? '0' + (int)rng_below(&r, 10) : '0');
        if (rng_below(&r, 2) == 0)
            text[n++] = '.';
        for (int k = (int)rng_below(&r, 30); k > 0; k--)
            text[n++] = (char)(rng_below(&r, 3) == 0 ? '0' + (int)rng_below(&r, 10) : '0');
        text[n] = '\0';
        v = num(text);
        if (rng_below(&r, 2) == 0)
            v = numeric_neg(v, &mem);
        back = num(text_of(v));
        assert_int_equal(numeric_cmp(v, back), 0);
        assert_int_equal(numeric_scale(v), numeric_scale(back));
        numeric_encode(v, &b);
        assert_int_equal(numeric_decode(buf_bytes(&b), &mem, &back, NULL), ST_OK);
        assert_string_equal(text_of(back), text_of(v));
        buf_reset(&b);
        numeric_to_wire(v, &b);
        assert_int_equal(numeric_from_wire(buf_bytes(&b), &mem, &back, NULL), ST_OK);
        assert_string_equal(text_of(back), text_of(v));
        assert_true(numeric_hash(back) == numeric_hash(v));
        buf_fini(&b);
        arena_reset(&mem);
    }
}

static void wire_is_what_postgresql_sends(void **state)
{
    static const char *const cases[][2] = {
        {"0", "0000000000000000"},
        {"0.00", "0000000000000002"},
        {"1", "00010000000000000001"},
        {"-1", "00010000400000000001"},
        {"10000", "00010001000000000001"},
        {"0.0001", "0001ffff000000040001"},
        {"0.00001", "0001fffe0000000503e8"},
        {"-0.5", "0001ffff400000011388"},
        {"1e20", "00010005000000000001"},
        {"1.10", "0002000000000002000103e8"},
        {"99990000.0001", "0003000100000004270f00000001"},
        {"123456789012345678901234567890.123456789",
         "000b000700000009000c0d801ed204d2162e23340d801ed204d2162e2328"},
        {"NaN", "00000000c0000000"},
        {"Infinity", "00000000d0000020"},
        {"-Infinity", "00000000f0000020"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf b = {0};
        char hex[128] = "";

        numeric_to_wire(num(cases[i][0]), &b);
        for (size_t k = 0; k < b.len; k++)
            (void)snprintf(hex + 2 * k, 3, "%02x", b.ptr[k]);
        assert_string_equal(hex, cases[i][1]);
        buf_fini(&b);
    }
}

static void random_bytes_are_refused_or_make_sense(void **state)
{
    struct rng r;

    (void)state;
    rng_seed(&r, 13);
    for (int i = 0; i < 10000; i++) {
        uint8_t in[40];
        size_t len = rng_below(&r, sizeof in + 1);
        const struct numeric *v;

        for (size_t k = 0; k < len; k++)
            in[k] = (uint8_t)(rng_below(&r, 3) == 0 ? rng_next(&r) : rng_below(&r, 4));
        if (numeric_decode(bytes_of(in, len), &mem, &v, NULL) == ST_OK)
            assert_int_equal(numeric_cmp(v, v), 0);
        if (len >= 8) { /* counts that fit, so that more gets through */
            in[0] = 0;
            in[1] = (uint8_t)((len - 8) / 2);
            in[4] &= 0x40;
            in[5] = 0;
        }
        if (numeric_from_wire(bytes_of(in, len), &mem, &v, NULL) == ST_OK)
            assert_int_equal(numeric_cmp(v, v), 0);
        if (i % 64 == 0)
            arena_reset(&mem);
    }
}

static void running_sum_agrees_with_add_and_needs_little_memory(void **state)
{
    struct numeric_sum sum = {0};
    struct arena group;
    const struct numeric *total = num("0");
    const struct numeric *v;
    struct rng r;

    (void)state;
    rng_seed(&r, 17);
    arena_init(&group, 0);
    for (int i = 0; i < 3000; i++) {
        const struct numeric *x = scaled(pick(&r), (int)rng_below(&r, 8));

        numeric_sum_add(&sum, x, &group);
        assert_int_equal(numeric_add(total, x, &mem, &total, NULL), ST_OK);
    }
    assert_true(group.used < 512);
    assert_int_equal(numeric_sum_value(&sum, &group, &v, NULL), ST_OK);
    assert_string_equal(text_of(v), text_of(total));
    numeric_sum_add(&sum, num("Infinity"), &group);
    assert_int_equal(numeric_sum_value(&sum, &group, &v, NULL), ST_OK);
    assert_string_equal(text_of(v), "Infinity");
    numeric_sum_add(&sum, num("-Infinity"), &group);
    assert_int_equal(numeric_sum_value(&sum, &group, &v, NULL), ST_OK);
    assert_string_equal(text_of(v), "NaN");
    arena_fini(&group);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(text_in_gives_the_canonical_text_out, setup, teardown),
        cmocka_unit_test_setup_teardown(arithmetic_has_postgresqls_scales, setup, teardown),
        cmocka_unit_test_setup_teardown(functions_have_postgresqls_digits, setup, teardown),
        cmocka_unit_test_setup_teardown(extremes_of_scale_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(rounding_is_half_away_from_zero, setup, teardown),
        cmocka_unit_test_setup_teardown(fit_rounds_or_overflows, setup, teardown),
        cmocka_unit_test_setup_teardown(conversions_to_other_numbers_check_their_range, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(random_arithmetic_agrees_with_128_bit_integers, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(random_values_round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(wire_is_what_postgresql_sends, setup, teardown),
        cmocka_unit_test_setup_teardown(random_bytes_are_refused_or_make_sense, setup, teardown),
        cmocka_unit_test_setup_teardown(running_sum_agrees_with_add_and_needs_little_memory, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
