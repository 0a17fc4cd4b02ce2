#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "timesvc/tt_source.h"

static const int64_t utc0 = INT64_C(1700000000000000000);

/* A well-behaved machine, n polls after the first. */
static struct tt_sample sample(int n)
{
    return (struct tt_sample){.raw_ns = 5000 + n * (int64_t)TT_POLL_MS * NS_PER_MS,
                              .utc_ns = utc0 + n * (int64_t)TT_POLL_MS * NS_PER_MS,
                              .suspended_ns = 77,
                              .width_ns = 50,
                              .maxerror_ns = 3000};
}

static struct tt_source source(const char *spec)
{
    struct tt_source src;

    assert_int_equal(tt_source_parse(spec, &src, NULL), ST_OK);
    return src;
}

static int64_t bound_after(struct tt_source *src, struct tt_sample in)
{
    struct tt_map map;
    const char *why;

    tt_source_step(src, &in, &map, &why);
    assert_int_equal(map.bound_ns < 0, strncmp(why, "void", 4) == 0);
    if (map.bound_ns >= 0)
        assert_int_equal(tt_map_utc(&map, in.raw_ns), in.utc_ns);
    return map.bound_ns;
}

static void spec_malformed_is_rejected(void **state)
{
    static const char *const bad[] = {"",          "fixed",      "fixed:",       "fixed:us",
                                      "fixed:0us", "fixed:-1us", "fixed:1",      "fixed:1m",
                                      "fixed:11s", "kernel2",    "fixed:1us ms", "chrony"};
    struct tt_source src;
    struct err err;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(tt_source_parse(bad[i], &src, &err), ST_REJECT);
        assert_string_equal(err.sqlstate, "22023");
    }
    assert_int_equal(source("fixed:200us").eps_ns, 200000);
    assert_int_equal(source("fixed:10s").eps_ns, INT64_C(10000000000));
    assert_int_equal(source("fixed:3ns").eps_ns, 3);
}

static void fixed_steady_bound_is_eps(void **state)
{
    struct tt_source src = source("fixed:1ms");

    (void)state;
    for (int i = 0; i < 10; i++)
        assert_in_range(bound_after(&src, sample(i)), NS_PER_MS, NS_PER_MS + 100);
}

static void fixed_clock_stepped_is_void_until_it_holds_still(void **state)
{
    struct tt_source src = source("fixed:1ms");

    (void)state;
    (void)bound_after(&src, sample(0));
    for (int i = 1; i < 10; i++) {
        struct tt_sample in = sample(i);

        in.utc_ns -= 5 * (int64_t)NS_PER_S;
        assert_int_equal(bound_after(&src, in) < 0, i <= TT_STEP_HOLD_POLLS);
    }
}

static void fixed_small_correction_is_followed(void **state)
{
    struct tt_source src = source("fixed:1ms");
    struct tt_sample in = sample(1);

    (void)state;
    (void)bound_after(&src, sample(0));
    in.utc_ns += 1500 * NS_PER_US; /* both readings may be right within 1 ms */
    assert_true(bound_after(&src, in) > 0);
}

static void machine_slept_is_void_for_a_while(void **state)
{
    struct tt_source src = source("fixed:1ms");

    (void)state;
    (void)bound_after(&src, sample(0));
    for (int i = 1; i < 10; i++) {
        struct tt_sample in = sample(i);

        in.suspended_ns += NS_PER_S;
        assert_int_equal(bound_after(&src, in) < 0, i <= TT_STEP_HOLD_POLLS);
    }
}

static void kernel_unsynchronised_is_void(void **state)
{
    struct tt_source src = source("kernel");
    struct tt_sample in = sample(0);

    (void)state;
    assert_in_range(bound_after(&src, in), 3000, 3000 + 100000);
    in = sample(1);
    in.maxerror_ns = -1;
    assert_int_equal(bound_after(&src, in), -1);
    assert_in_range(bound_after(&src, sample(2)), 3000, 3000 + 100000);
    in = sample(3);
    in.maxerror_ns = INT64_C(16) * NS_PER_S;
    assert_int_equal(bound_after(&src, in), -1);
}

static void sample_of_this_machine_is_sane(void **state)
{
    struct tt_sample in;

    (void)state;
    tt_sample_take(&in);
    assert_true(in.utc_ns > utc0);
    assert_true(in.raw_ns > 0 && in.raw_ns <= mono_now());
    assert_true(in.width_ns >= 0);
    assert_true(in.maxerror_ns >= -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spec_malformed_is_rejected),
        cmocka_unit_test(fixed_steady_bound_is_eps),
        cmocka_unit_test(fixed_clock_stepped_is_void_until_it_holds_still),
        cmocka_unit_test(fixed_small_correction_is_followed),
        cmocka_unit_test(machine_slept_is_void_for_a_while),
        cmocka_unit_test(kernel_unsynchronised_is_void),
        cmocka_unit_test(sample_of_this_machine_is_sane),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
