#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "timesvc/tt_chrony.h"
#include "timesvc/tt_source.h"

static const int64_t utc0 = INT64_C(1700000000000000000);

static struct tt_source_spec parse(const char *text)
{
    struct tt_source_spec spec;

    assert_int_equal(tt_source_parse(text, &spec, NULL), ST_OK);
    return spec;
}

static struct tt_source *source(const char *text)
{
    struct tt_source_spec spec = parse(text);
    struct tt_source *src;

    assert_int_equal(tt_source_open(&spec, &src, NULL), ST_OK);
    return src;
}

static void spec_malformed_is_rejected(void **state)
{
    static const char *const bad[] = {"",
                                      "fixed",
                                      "fixed:",
                                      "fixed:us",
                                      "fixed:0us",
                                      "fixed:-1us",
                                      "fixed:1",
                                      "fixed:1m",
                                      "fixed:11s",
                                      "kernel2",
                                      "kernel:",
                                      "fixed:1us ms",
                                      "chrony:",
                                      "chrony:1.2.3.4:5",
                                      "chrony:localhost:323",
                                      "chronyd",
                                      "clockbound:",
                                      "clockbound:shm0",
                                      "auto:x",
                                      "simulated:1",
                                      ":",
                                      "fixed:99999999999999999999s"};
    struct tt_source_spec spec;
    struct err err;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (tt_source_parse(bad[i], &spec, &err) != ST_REJECT)
            fail_msg("\"%s\" was taken", bad[i]);
        assert_string_equal(err.sqlstate, "22023");
    }
}

static void spec_is_understood(void **state)
{
    (void)state;
    assert_int_equal(parse("fixed:200us").eps_ns, 200000);
    assert_int_equal(parse("fixed:10s").eps_ns, INT64_C(10000000000));
    assert_int_equal(parse("fixed:3ns").eps_ns, 3);
    assert_int_equal(parse("kernel").kind, TT_KERNEL);
    assert_int_equal(parse("auto").kind, TT_AUTO);
    assert_int_equal(parse("chrony").kind, TT_CHRONY);
    assert_string_equal(parse("chrony").where, "");
    assert_string_equal(parse("chrony:/a:b/c.sock").where, "/a:b/c.sock");
    assert_string_equal(parse("chrony:127.0.0.1:11323").where, "127.0.0.1:11323");
    assert_string_equal(parse("chrony:[::1]:11323").where, "[::1]:11323");
    assert_string_equal(parse("clockbound:/dev/shm/x").where, "/dev/shm/x");
}

static void fixed_reports_the_clock_itself(void **state)
{
    struct tt_source *src = source("fixed:1ms");
    struct tt_sample clocks;
    struct tt_said said;

    (void)state;
    assert_false(tt_source_ask(src, &clocks, &said));
    assert_int_equal(said.answer, TT_SAYS_BOUND);
    assert_int_equal(said.bound_ns, NS_PER_MS);
    assert_int_equal(said.as_of_raw_ns, clocks.raw_ns);
    assert_false(said.has_ref);
    assert_string_equal(tt_source_via(src), "fixed");
    tt_source_close(src);
}

static void source_that_is_not_there_says_nothing_and_why(void **state)
{
    static const char *const absent[] = {"chrony:/nonexistent/chronyd.sock",
                                         "clockbound:/nonexistent/shm0"};
    struct tt_sample clocks;
    struct tt_said said;

    (void)state;
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++) {
        struct tt_source *src = source(absent[i]);

        assert_false(tt_source_ask(src, &clocks, &said));
        assert_int_equal(said.answer, TT_SAYS_NOTHING);
        assert_string_equal(tt_source_via(src), absent[i]);
        assert_true(strlen(tt_source_note(src)) > 0);
        assert_true(clocks.utc_ns > utc0); /* the clocks were read all the same */
        tt_source_close(src);
    }
}

static void auto_names_what_it_found(void **state)
{
    static const char *const places[] = {"chrony:" TT_CHRONY_SOCKET, "chrony:" TT_CHRONY_UDP,
                                         "clockbound:/var/run/clockbound/shm0", "kernel"};
    struct tt_source *src = source("auto");
    struct tt_sample clocks;
    struct tt_said said;
    bool known = false;

    (void)state;
    for (int i = 0; i < 2 * TT_AUTO_PROBE_POLLS; i++)
        (void)tt_source_ask(src, &clocks, &said);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        known |= strcmp(tt_source_via(src), places[i]) == 0;
    assert_true(known);
    if (strcmp(tt_source_via(src), "kernel") == 0)
        assert_true(strlen(tt_source_note(src)) > 0); /* why nothing better */
    tt_source_close(src);
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
        cmocka_unit_test(spec_is_understood),
        cmocka_unit_test(fixed_reports_the_clock_itself),
        cmocka_unit_test(source_that_is_not_there_says_nothing_and_why),
        cmocka_unit_test(auto_names_what_it_found),
        cmocka_unit_test(sample_of_this_machine_is_sane),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
