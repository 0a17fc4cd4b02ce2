#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "timesvc/tt_bound.h"

static const int64_t utc0 = INT64_C(1700000000000000000);
static const int64_t poll_ns = (int64_t)TT_POLL_MS * NS_PER_MS;
static const int64_t day_ns = INT64_C(86400) * NS_PER_S;

/* One machine with a well-behaved clock and a well-behaved chronyd; a test spoils what it is about. */
struct world {
    struct tt_bound b;
    struct tt_sample clocks;
    struct tt_said said;
    struct tt_map map;
    enum tt_verdict verdict;
    uint64_t updates;
    int64_t ref_raw_ns;
};

static struct world *world(void)
{
    static const struct tt_sample clocks = {.raw_ns = 5 * (int64_t)NS_PER_S,
                                            .utc_ns = utc0,
                                            .suspended_ns = 77,
                                            .width_ns = 50,
                                            .maxerror_ns = -1};
    struct world *w = calloc(1, sizeof *w);

    tt_bound_init(&w->b, 0);
    w->clocks = clocks;
    w->said = (struct tt_said){.answer = TT_SAYS_BOUND,
                               .bound_ns = 40000,
                               .drift_ppb = 100,
                               .has_ref = true,
                               .ref_every_ns = poll_ns,
                               .has_freq = true,
                               .ref_id = 0x7f000001,
                               .stratum = 2};
    return w;
}

/* A measurement is made now; the next report is about it. */
static void measure(struct world *w)
{
    w->updates++;
    w->ref_raw_ns = w->clocks.raw_ns;
}

/* The next poll, d later; its report was asked for 100 us before. Returns the bound there, -1 if void. */
static int64_t step_after(struct world *w, int64_t d)
{
    w->clocks.raw_ns += d;
    w->clocks.utc_ns += d;
    w->said.as_of_raw_ns = w->clocks.raw_ns - 100 * NS_PER_US;
    w->said.update_id = w->updates;
    if (w->said.has_ref)
        w->said.ref_age_ns = w->clocks.raw_ns - w->ref_raw_ns;
    tt_bound_step(&w->b, &w->clocks, &w->said, &w->map, &w->verdict);
    assert_int_equal(tt_verdict_is_void(w->verdict), tt_map_bound(&w->map, w->clocks.raw_ns) < 0);
    assert_int_equal(tt_verdict_is_void(w->verdict),
                     strncmp(tt_verdict_text(w->verdict), "void", 4) == 0);
    return tt_map_bound(&w->map, w->clocks.raw_ns);
}

static int64_t step(struct world *w)
{
    return step_after(w, poll_ns);
}

static int64_t step_fresh(struct world *w)
{
    measure(w);
    return step(w);
}

/* Void until as many fresh reports have agreed as distrust asks for; the first of them may be the one that is
 * distrusted. */
static void assert_believed_after_hold(struct world *w, enum tt_verdict why)
{
    for (int i = 1; i < TT_HOLD_REPORTS; i++) {
        assert_int_equal(step_fresh(w), -1);
        assert_int_equal(w->verdict, why);
        assert_int_equal(step(w), -1); /* a repeated one does not count */
    }
    assert_true(step_fresh(w) > 0);
}

static void steady_bound_is_what_was_said(void **state)
{
    struct world *w = world();

    (void)state;
    for (int i = 0; i < 100; i++) {
        int64_t bound = step_fresh(w);

        /* 250 ms since the measurement at 50 ppm, the width of the sample, a little rounding. */
        assert_in_range(bound, 40000 + 50, 40000 + 50 + 12500 + 60);
        assert_int_equal(w->verdict, TT_OK_FRESH);
        assert_int_equal(tt_map_utc(&w->map, w->clocks.raw_ns), w->clocks.utc_ns);
    }
    assert_int_equal(w->b.counts.fresh, 100);
    assert_int_equal(w->b.counts.steps, 0);
    free(w);
}

static void between_measurements_bound_grows_at_the_worst_drift(void **state)
{
    struct world *w = world();
    int64_t first = step_fresh(w), bound = first;

    (void)state;
    w->said.bound_ns = 1; /* whatever it says now, nothing was measured */
    for (int i = 1; i <= 8; i++) {
        bound = step(w);
        assert_in_range(bound, first + i * 12525 - 1, first + i * 12525 + 2);
        assert_int_equal(w->verdict, TT_OK_HELD);
    }
    w->said.drift_ppb = 1000100; /* it lost confidence in its rate: believed at once */
    bound = step(w);
    assert_in_range(step(w), bound + 262525 - 2, bound + 262525 + 4);
    free(w);
}

/* The clock of the machine is not followed between measurements: MONOTONIC_RAW is. */
static void between_measurements_a_step_is_not_followed(void **state)
{
    struct world *w = world();
    int64_t utc;

    (void)state;
    (void)step_fresh(w);
    w->clocks.utc_ns += 3 * (int64_t)NS_PER_S;
    (void)step(w);
    utc = w->clocks.utc_ns - 3 * (int64_t)NS_PER_S;
    assert_int_equal(tt_map_utc(&w->map, w->clocks.raw_ns), utc);
    assert_int_equal(w->b.counts.steps, 1);
    free(w);
}

static void server_lost_grows_then_late_then_void(void **state)
{
    struct world *w = world();
    int64_t bound = step_fresh(w), seen = 0;

    (void)state;
    for (int s = 0; s < 1020; s++) {
        int64_t next = step_after(w, NS_PER_S);

        if (next < 0)
            break;
        assert_true(next >= bound + 50000);
        bound = next;
        seen = s;
        assert_int_equal(w->verdict, s < 1     ? TT_OK_HELD
                                     : s < 4   ? w->verdict
                                     : s < 999 ? TT_OK_LATE
                                               : TT_OK_BAD);
    }
    assert_in_range(seen, 1005, 1012); /* 1,000 s, and the grace of 10 s */
    assert_int_equal(w->verdict, TT_VOID_OLD);
    assert_true(step_fresh(w) > 0); /* the server is back */
    free(w);
}

static void source_silent_grows_then_void_then_back(void **state)
{
    struct world *w = world();
    int64_t first = step_fresh(w);
    int polls = 0;

    (void)state;
    w->said.answer = TT_SAYS_NOTHING;
    while (step(w) >= 0) {
        polls++;
        assert_int_equal(w->verdict, TT_OK_SILENT);
        assert_in_range(tt_map_bound(&w->map, w->clocks.raw_ns), first + polls * 12525 - 1,
                        first + polls * 12525 + 2);
    }
    assert_int_equal(polls, TT_VOID_MS / TT_POLL_MS - 1);
    assert_int_equal(w->verdict, TT_VOID_SILENT);
    w->said.answer = TT_SAYS_BOUND;
    assert_true(step_fresh(w) > 0);
    assert_int_equal(w->b.counts.restarts, 1);
    free(w);
}

/* A reader that outlives its publisher: the mapping itself ends. */
static void mapping_ends_by_itself(void **state)
{
    struct world *w = world();

    (void)state;
    (void)step_fresh(w);
    assert_true(tt_map_bound(&w->map, w->clocks.raw_ns + (int64_t)TT_VOID_MS * NS_PER_MS - 1) > 0);
    assert_int_equal(tt_map_bound(&w->map, w->clocks.raw_ns + (int64_t)TT_VOID_MS * NS_PER_MS), -1);
    free(w);
}

static void unusable_answers_before_any_report_are_void(void **state)
{
    static const struct {
        enum tt_answer answer;
        enum tt_verdict verdict;
    } cases[] = {
        {TT_SAYS_NOTHING, TT_VOID_SILENT},  {TT_SAYS_REFUSED, TT_VOID_REFUSED},
        {TT_SAYS_GARBAGE, TT_VOID_GARBAGE}, {TT_SAYS_UNSYNC, TT_VOID_UNSYNC},
        {TT_SAYS_LOCAL, TT_VOID_LOCAL},     {TT_SAYS_DISRUPTED, TT_VOID_DISRUPTED},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct world *w = world();

        w->said.answer = cases[i].answer;
        assert_int_equal(step_fresh(w), -1);
        assert_int_equal(w->verdict, cases[i].verdict);
        free(w);
    }
}

/* chronyd restarts: unsynchronised for a second, which the last report outlasts. */
static void restart_is_bridged(void **state)
{
    struct world *w = world();
    int64_t bound;

    (void)state;
    (void)step_fresh(w);
    w->said.answer = TT_SAYS_NOTHING;
    bound = step(w);
    w->said.answer = TT_SAYS_UNSYNC;
    for (int i = 0; i < 4; i++) {
        int64_t next = step(w);

        assert_true(next > bound);
        assert_int_equal(w->verdict, TT_OK_UNSYNC);
        bound = next;
    }
    w->said.answer = TT_SAYS_BOUND;
    assert_true(step_fresh(w) < bound);
    assert_int_equal(w->verdict, TT_OK_FRESH);
    assert_int_equal(w->b.counts.restarts, 1);
    free(w);
}

/* With `local` in its configuration and its server lost, chronyd calls its own clock perfect. */
static void own_clock_as_reference_is_never_believed(void **state)
{
    struct world *w = world();
    int64_t bound = step_fresh(w);

    (void)state;
    w->said.answer = TT_SAYS_LOCAL;
    w->said.bound_ns = 1200;
    assert_true(step_fresh(w) > bound);
    for (int i = 0; i < TT_VOID_MS / TT_POLL_MS; i++)
        (void)step_fresh(w);
    assert_int_equal(w->verdict, TT_VOID_LOCAL);
    free(w);
}

static void clock_stepped_is_void_until_reports_agree(void **state)
{
    struct world *w = world();

    (void)state;
    (void)step_fresh(w);
    w->clocks.utc_ns -= 5 * (int64_t)NS_PER_S;
    assert_int_equal(step_fresh(w), -1);
    assert_int_equal(w->verdict, TT_VOID_STEPPED);
    assert_believed_after_hold(w, TT_VOID_STEPPED);
    free(w);
}

/* Within both bounds a step contradicts nothing, and yet the report may be about the clock before it. */
static void small_step_widens_by_as_much(void **state)
{
    struct world *w = world();
    int64_t bound = step_fresh(w);

    (void)state;
    w->clocks.utc_ns += 30 * NS_PER_US;
    for (int i = 0; i < TT_HOLD_REPORTS; i++) {
        assert_in_range(step_fresh(w), bound + 30 * NS_PER_US - 10, bound + 30 * NS_PER_US + 10);
        assert_int_equal(w->verdict, i < TT_HOLD_REPORTS - 1 ? TT_OK_MOVED : TT_OK_FRESH);
    }
    assert_in_range(step_fresh(w), bound - 10, bound + 10);
    free(w);
}

/* The kernel says that it lets the clock run faster: that is no step. */
static void slew_of_the_kernel_is_explained(void **state)
{
    struct world *w = world();

    (void)state;
    (void)step_fresh(w);
    w->clocks.freq_ppb = 400000;
    w->said.freq_ppb = -400000; /* steered, in full */
    for (int i = 0; i < 20; i++) {
        w->clocks.utc_ns += poll_ns / 10000 * 4;
        assert_in_range(step_fresh(w), 40000, 40000 + 12700);
    }
    assert_int_equal(w->b.counts.steps, 0);
    /* Now chronyd slews with 200 ppm on top: half of what is seen is no rate of UTC. */
    w->clocks.freq_ppb = 450000;
    w->clocks.utc_ns += poll_ns / 100000 * 45;
    (void)step_fresh(w);
    assert_int_equal(w->b.counts.steps, 0);
    assert_true(tt_ppb_of_q(w->map.drift_q) >= 50000 + 50000);
    free(w);
}

static void machine_slept_is_void_for_a_while(void **state)
{
    struct world *w = world();

    (void)state;
    (void)step_fresh(w);
    w->clocks.suspended_ns += NS_PER_S;
    assert_int_equal(step(w), -1);
    assert_int_equal(w->verdict, TT_VOID_SLEPT);
    assert_believed_after_hold(w, TT_VOID_SLEPT);
    free(w);
}

static void disruption_voids_at_once(void **state)
{
    struct world *w = world();

    (void)state;
    (void)step_fresh(w);
    w->said.answer = TT_SAYS_DISRUPTED;
    assert_int_equal(step(w), -1);
    assert_int_equal(w->verdict, TT_VOID_DISRUPTED);
    w->said.answer = TT_SAYS_BOUND;
    assert_believed_after_hold(w, TT_VOID_DISRUPTED);
    free(w);
}

static void jitter_widens_and_narrows_with_measurements_only(void **state)
{
    struct world *w = world();
    int64_t wide;

    (void)state;
    (void)step_fresh(w);
    w->said.bound_ns = 900 * (int64_t)NS_PER_MS;
    wide = step_fresh(w);
    assert_true(wide > 900 * (int64_t)NS_PER_MS);
    w->said.bound_ns = 40000;
    assert_true(step(w) > wide);
    assert_in_range(step_fresh(w), 40000, 60000);
    w->said.bound_ns = 11 * (int64_t)NS_PER_S; /* no use: the last one, until it ends */
    assert_true(step_fresh(w) > 0);
    assert_int_equal(w->verdict, TT_OK_BAD);
    free(w);
}

static void report_from_another_time_is_not_used(void **state)
{
    static const struct {
        int64_t as_of_ns, ref_age_ns; /* as_of: relative to the sample */
        enum tt_verdict verdict;
    } cases[] = {
        {1, 0, TT_VOID_FUTURE},
        {-INT64_C(11000000000), 0, TT_VOID_OLD},
        {-1000, -INT64_C(1000000000), TT_VOID_FUTURE},
        {-1000, INT64_C(1001000000000), TT_VOID_OLD},
        {-1000, INT64_MIN / 2, TT_VOID_FUTURE},
        {-1000, INT64_MAX / 2, TT_VOID_OLD},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct world *w = world();

        w->said.as_of_raw_ns = w->clocks.raw_ns + cases[i].as_of_ns;
        w->said.ref_age_ns = cases[i].ref_age_ns;
        tt_bound_step(&w->b, &w->clocks, &w->said, &w->map, &w->verdict);
        assert_int_equal(w->map.bound_ns, -1);
        assert_int_equal(w->verdict, cases[i].verdict);
        free(w);
    }
}

static void absurd_numbers_are_garbage(void **state)
{
    struct world *w = world();

    (void)state;
    w->said.bound_ns = -2;
    assert_int_equal(step_fresh(w), -1);
    assert_int_equal(w->verdict, TT_VOID_GARBAGE);
    w->said.bound_ns = 40000;
    w->said.drift_ppb = INT64_MAX;
    assert_int_equal(step_fresh(w), -1);
    w->said.drift_ppb = NS_PER_S;
    w->said.freq_ppb = INT64_MIN / 4;
    w->said.ref_every_ns = INT64_MAX;
    assert_true(step_fresh(w) > 0);
    assert_true(step(w) > 200 * NS_PER_MS); /* a drift of one in one */
    free(w);
}

/* chronyd grows its dispersion by a `maxclockerror` of its own: seen, it is not added twice. */
static void allowance_of_the_source_is_learned(void **state)
{
    struct world *w = world();
    int64_t doubled, once;

    (void)state;
    w->said.drift_ppb = 0;
    for (int i = 0; i < 4; i++) {
        measure(w);
        w->said.ref_error_ns = 30000;
        doubled = step(w);
        assert_int_equal(tt_bound_is_curious(&w->b), i == 0);
        w->said.ref_error_ns = 30000 + 12500; /* 50 ppm for 250 ms */
        (void)step(w);
        if (i == 0)
            once = doubled;
    }
    assert_in_range(once - doubled, 12000, 12500);
    assert_in_range(doubled, 40050, 40300);
    w->said.answer = TT_SAYS_UNSYNC; /* it restarts, perhaps with another configuration */
    (void)step(w);
    w->said.answer = TT_SAYS_BOUND;
    assert_in_range(step_fresh(w), once - 10, once + 10);
    free(w);
}

static void leap_announced_voids_around_midnight(void **state)
{
    const int64_t guard = (int64_t)TT_LEAP_GUARD_MS * NS_PER_MS;
    struct world *w = world();
    int64_t midnight = (utc0 / day_ns + 1) * day_ns, end;
    int i = 0;

    (void)state;
    w->clocks.utc_ns = midnight - 9 * (int64_t)NS_PER_S;
    w->said.leap = TT_LEAP_INSERT;
    assert_true(step_fresh(w) > 0);
    end = w->clocks.raw_ns + (midnight - guard - w->clocks.utc_ns);
    /* A reader that sees no other page stops in time. */
    assert_true(tt_map_bound(&w->map, end - 100 * NS_PER_MS) > 0);
    assert_int_equal(tt_map_bound(&w->map, end - w->map.bound_ns), -1);
    while (step_fresh(w) >= 0)
        assert_true(w->clocks.utc_ns < midnight - guard);
    assert_int_equal(w->verdict, TT_VOID_LEAP);
    while (w->clocks.utc_ns < midnight) {
        assert_int_equal(step_fresh(w), -1);
        assert_int_equal(w->verdict, TT_VOID_LEAP);
    }
    w->clocks.utc_ns -= NS_PER_S; /* 23:59:60 */
    w->said.leap = TT_LEAP_NONE;
    for (i = 0; step_fresh(w) < 0; i++)
        assert_int_equal(w->verdict, TT_VOID_LEAP);
    assert_in_range(w->clocks.utc_ns, midnight + guard, midnight + guard + 2 * (int64_t)NS_PER_S);
    assert_in_range(i, 10, 20); /* three seconds, and the reports asked for */
    free(w);
}

static void leap_taken_back_is_forgotten(void **state)
{
    struct world *w = world();

    (void)state;
    w->clocks.utc_ns = (utc0 / day_ns + 1) * day_ns - 5 * (int64_t)NS_PER_S;
    w->clocks.leap = TT_LEAP_DELETE; /* the kernel knows it too */
    assert_true(step_fresh(w) > 0);
    w->clocks.leap = TT_LEAP_NONE;
    for (int i = 0; i < 40; i++)
        assert_true(step_fresh(w) > 0);
    free(w);
}

static void another_source_that_contradicts_is_not_believed(void **state)
{
    struct world *w = world();

    (void)state;
    (void)step_fresh(w);
    tt_bound_new_source(&w->b);
    assert_true(step(w) > 0); /* agrees: a first report is fresh */
    assert_int_equal(w->verdict, TT_OK_FRESH);
    w->said.has_ref = false;
    w->said.has_freq = false;
    w->clocks.utc_ns += NS_PER_MS;
    tt_bound_new_source(&w->b);
    assert_int_equal(step(w), -1);
    assert_int_equal(w->verdict, TT_VOID_STEPPED);
    free(w);
}

/* fixed and kernel: each reading of the clock is a report, and the clock may move within its bound. */
static void word_is_followed_within_its_bound(void **state)
{
    struct world *w = world();

    (void)state;
    w->said = (struct tt_said){.answer = TT_SAYS_BOUND, .bound_ns = NS_PER_MS};
    for (int i = 0; i < 10; i++) {
        assert_in_range(step(w), NS_PER_MS, NS_PER_MS + 100);
        assert_int_equal(w->verdict, TT_OK_WORD);
    }
    w->clocks.utc_ns += 1500 * NS_PER_US; /* both readings may be right within 1 ms */
    assert_in_range(step(w), NS_PER_MS, NS_PER_MS + 100);
    w->clocks.utc_ns += 2500 * NS_PER_US;
    for (int i = 0; i < TT_HOLD_REPORTS; i++)
        assert_int_equal(step(w), -1);
    assert_int_equal(w->verdict, TT_VOID_STEPPED);
    assert_in_range(step(w), NS_PER_MS, NS_PER_MS + 100);
    free(w);
}

static void page_that_ends_early_is_obeyed(void **state)
{
    struct world *w = world();

    (void)state;
    w->said.good_for_ns = 2 * (int64_t)NS_PER_S;
    (void)step_fresh(w);
    assert_true(tt_map_bound(&w->map, w->said.as_of_raw_ns + w->said.good_for_ns - 1) > 0);
    assert_int_equal(tt_map_bound(&w->map, w->said.as_of_raw_ns + w->said.good_for_ns), -1);
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steady_bound_is_what_was_said),
        cmocka_unit_test(between_measurements_bound_grows_at_the_worst_drift),
        cmocka_unit_test(between_measurements_a_step_is_not_followed),
        cmocka_unit_test(server_lost_grows_then_late_then_void),
        cmocka_unit_test(source_silent_grows_then_void_then_back),
        cmocka_unit_test(mapping_ends_by_itself),
        cmocka_unit_test(unusable_answers_before_any_report_are_void),
        cmocka_unit_test(restart_is_bridged),
        cmocka_unit_test(own_clock_as_reference_is_never_believed),
        cmocka_unit_test(clock_stepped_is_void_until_reports_agree),
        cmocka_unit_test(small_step_widens_by_as_much),
        cmocka_unit_test(slew_of_the_kernel_is_explained),
        cmocka_unit_test(machine_slept_is_void_for_a_while),
        cmocka_unit_test(disruption_voids_at_once),
        cmocka_unit_test(jitter_widens_and_narrows_with_measurements_only),
        cmocka_unit_test(report_from_another_time_is_not_used),
        cmocka_unit_test(absurd_numbers_are_garbage),
        cmocka_unit_test(allowance_of_the_source_is_learned),
        cmocka_unit_test(leap_announced_voids_around_midnight),
        cmocka_unit_test(leap_taken_back_is_forgotten),
        cmocka_unit_test(another_source_that_contradicts_is_not_believed),
        cmocka_unit_test(word_is_followed_within_its_bound),
        cmocka_unit_test(page_that_ends_early_is_obeyed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
