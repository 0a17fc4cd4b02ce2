#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "timesvc/tt.h"
#include "timesvc/tt_fault.h"
#include "timesvc/tt_source.h"

static struct tt *open_tt(const char *source, const char *fault_path)
{
    struct tt_options opts = {.source = source, .fault_path = fault_path};
    struct tt *tt = NULL;

    assert_int_equal(tt_open(&opts, &tt, NULL), ST_OK);
    return tt;
}

static int64_t realtime(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static void fixed_now_contains_the_clock(void **state)
{
    struct tt *tt = open_tt("fixed:2ms", NULL);
    struct tt_report rep;

    (void)state;
    for (int i = 0; i < 1000; i++) {
        int64_t before = realtime(), mono, m0 = mono_now();
        struct tt_interval iv = tt_now_mono(tt, &mono);

        assert_false(tt_is_void(iv));
        assert_true(mono >= m0 && mono <= mono_now());
        assert_true(iv.earliest <= realtime() && iv.latest >= before);
        assert_in_range(iv.latest - iv.earliest, 2 * 2 * NS_PER_MS, 2 * 3 * NS_PER_MS);
    }
    tt_describe(tt, &rep);
    assert_string_equal(rep.source, "fixed:2ms");
    assert_in_range(rep.bound_ns, 2 * NS_PER_MS, 3 * NS_PER_MS);
    assert_true(rep.age_ns >= 0);
    tt_close(tt);
}

static void distrusted_clock_is_void_for_readers_only(void **state)
{
    struct tt *tt = open_tt("fixed:2ms", NULL);
    struct tt_report rep;
    int64_t mono;

    (void)state;
    tt_distrust(tt, "contradicted by nodes 2, 3");
    assert_true(tt_is_void(tt_now(tt)));
    assert_false(tt_after(tt, 1));
    assert_false(tt_is_void(tt_now_unjudged(tt, &mono)));
    tt_describe(tt, &rep);
    assert_true(rep.distrusted);
    assert_string_equal(rep.why, "distrusted: contradicted by nodes 2, 3");
    assert_true(rep.bound_ns > 0);
    tt_distrust(tt, NULL);
    assert_false(tt_is_void(tt_now(tt)));
    tt_describe(tt, &rep);
    assert_false(rep.distrusted);
    tt_close(tt);
}

/* Long enough to see mappings replaced: earliest and latest never go back by more than the jitter
 * that the drift allows between two polls. */
static void fixed_over_polls_stays_monotonic(void **state)
{
    struct tt *tt = open_tt("fixed:200us", NULL);
    int64_t until = mono_now() + 3 * (int64_t)TT_POLL_MS * NS_PER_MS;
    struct tt_interval last = tt_now(tt);

    (void)state;
    while (mono_now() < until) {
        struct tt_interval iv = tt_now(tt);

        assert_false(tt_is_void(iv));
        assert_true(iv.earliest > last.earliest - 2 * 200 * NS_PER_US);
        assert_true(tt_is_void(iv) || iv.latest >= last.earliest);
        last = iv;
    }
    tt_close(tt);
}

static void kernel_says_what_the_kernel_says(void **state)
{
    struct tt *tt = open_tt("kernel", NULL);
    struct timex tx = {.modes = 0};
    int rc = ntp_adjtime(&tx);
    bool synced = rc != -1 && rc != TIME_ERROR && (tx.status & STA_UNSYNC) == 0;

    (void)state;
    assert_int_equal(!tt_is_void(tt_now(tt)), synced && tx.maxerror < 10000000);
    tt_close(tt);
}

static void simulated_obeys_tt_sim_set(void **state)
{
    struct tt *tt = open_tt("simulated", NULL);
    struct tt_interval iv;

    (void)state;
    assert_true(tt_is_void(tt_now(tt)));
    assert_false(tt_after(tt, 0));
    assert_false(tt_before(tt, INT64_MAX));
    tt_sim_set(tt, 1000000, 30, 100);
    iv = tt_now(tt);
    assert_int_equal(iv.earliest, 1000000 + 30 - 100);
    assert_int_equal(iv.latest, 1000000 + 30 + 100);
    assert_true(tt_after(tt, 1000000 - 71));
    assert_false(tt_after(tt, 1000000 - 70));
    assert_true(tt_before(tt, 1000000 + 131));
    assert_false(tt_before(tt, 1000000 + 130));
    tt_sim_set(tt, 1000000, 0, -1);
    assert_true(tt_is_void(tt_now(tt)));
    tt_close(tt);
}

static void wait_reaches_a_near_future(void **state)
{
    struct tt *tt = open_tt("fixed:200us", NULL);
    tstamp t = tt_now(tt).latest + 2 * NS_PER_MS;

    (void)state;
    assert_int_equal(tt_wait_after(tt, t, mono_now() + 5 * (int64_t)NS_PER_S, NULL), ST_OK);
    assert_true(tt_after(tt, t));
    tt_close(tt);
}

static void wait_past_deadline_is_retry(void **state)
{
    struct tt *tt = open_tt("simulated", NULL);
    int64_t deadline;
    struct err err;

    (void)state;
    tt_sim_set(tt, 1000000000, 0, 100);
    deadline = mono_now() + 3 * NS_PER_MS;
    assert_int_equal(tt_wait_after(tt, 1000000000, deadline, &err), ST_RETRY);
    assert_true(mono_now() >= deadline);
    tt_close(tt);
}

static void wait_without_time_is_retry_at_once(void **state)
{
    struct tt *tt = open_tt("simulated", NULL);
    int64_t deadline = mono_now() + 60 * (int64_t)NS_PER_S;
    struct err err;

    (void)state;
    tt_sim_set(tt, 1000000000, 0, 100);
    tt_distrust(tt, "a test");
    assert_int_equal(tt_wait_after(tt, 1, deadline, &err), ST_RETRY);
    tt_distrust(tt, NULL);
    tt_sim_set(tt, 0, 0, -1); /* void */
    assert_int_equal(tt_wait_after(tt, 1, deadline, &err), ST_RETRY);
    assert_true(mono_now() < deadline);
    tt_close(tt);
}

static void two_in_one_process_do_not_share(void **state)
{
    struct tt *a = open_tt("simulated", NULL), *b = open_tt("simulated", NULL);

    (void)state;
    tt_sim_set(a, 5000, 0, 10);
    tt_sim_set(b, 9000, 0, 10);
    assert_int_equal(tt_now(a).earliest, 4990);
    assert_int_equal(tt_now(b).earliest, 8990);
    tt_close(a);
    tt_close(b);
}

struct fault_dir {
    char dir[64];
    char path[96];
};

static int fault_setup(void **state)
{
    struct fault_dir *d = calloc(1, sizeof *d);

    snprintf(d->dir, sizeof d->dir, "/tmp/mrd_tt_XXXXXX");
    assert_non_null(mkdtemp(d->dir));
    snprintf(d->path, sizeof d->path, "%s/fault", d->dir);
    *state = d;
    return 0;
}

static int fault_teardown(void **state)
{
    struct fault_dir *d = *state;

    unlink(d->path);
    rmdir(d->dir);
    free(d);
    return 0;
}

static void fault_changes_time_live(void **state)
{
    struct fault_dir *d = *state;
    struct tt *tt = open_tt("simulated", d->path);
    struct tt_fault_file *file;
    struct tt_fault f = TT_FAULT_NONE;
    struct tt_report rep;

    assert_int_equal(tt_fault_open(d->path, &file, NULL), ST_OK); /* as another process would */
    tt_sim_set(tt, 1000000, 0, 100);
    assert_int_equal(tt_now(tt).earliest, 999900);

    f.offset_ns = -5000;
    tt_fault_set(file, &f);
    assert_int_equal(tt_now(tt).earliest, 994900);
    assert_int_equal(tt_now(tt).latest, 995100);
    assert_int_equal(tt_fault_get(file).offset_ns, -5000);

    f = (struct tt_fault){.bound_ns = 7};
    tt_fault_set(file, &f);
    assert_int_equal(tt_now(tt).earliest, 999993);
    assert_int_equal(tt_now(tt).latest, 1000007);

    f = TT_FAULT_NONE;
    f.status = TT_FAULT_VOID;
    tt_fault_set(file, &f);
    assert_true(tt_is_void(tt_now(tt)));
    tt_describe(tt, &rep);
    assert_int_equal(rep.bound_ns, -1);
    assert_non_null(strstr(rep.why, "fault"));

    f = TT_FAULT_NONE;
    tt_fault_set(file, &f);
    assert_int_equal(tt_now(tt).earliest, 999900);
    tt_fault_close(file);
    tt_close(tt);
}

static void fault_rate_runs_away_from_its_set(void **state)
{
    struct fault_dir *d = *state;
    struct tt_fault_file *file;
    struct tt_fault f = {.rate_ppb = -NS_PER_S / 2, .bound_ns = -1};
    struct tt *tt;
    int64_t set, raw, shift;

    assert_int_equal(tt_fault_open(d->path, &file, NULL), ST_OK); /* the writer came first */
    tt = open_tt("simulated", d->path);
    tt_sim_set(tt, INT64_C(1000000000000), 0, 100);
    set = mono_now();
    tt_fault_set(file, &f);
    mono_sleep_until(mono_now() + 2 * NS_PER_MS);
    shift = INT64_C(1000000000000) - 100 - tt_now_mono(tt, &raw).earliest;
    assert_in_range(shift, NS_PER_MS, (raw - set) / 2 + 1);
    assert_int_equal(tt_fault_get(file).rate_ppb, -NS_PER_S / 2);
    tt_fault_close(file);
    tt_close(tt);
}

static void fault_absurd_values_do_not_overflow(void **state)
{
    struct fault_dir *d = *state;
    struct tt *tt = open_tt("simulated", d->path);
    struct tt_fault_file *file;
    struct tt_fault f = {.offset_ns = INT64_MAX, .rate_ppb = INT64_MAX, .bound_ns = INT64_MAX};

    tt_sim_set(tt, realtime(), 0, 100);
    assert_int_equal(tt_fault_open(d->path, &file, NULL), ST_OK);
    tt_fault_set(file, &f);
    assert_false(tt_is_void(tt_now(tt)));
    f = (struct tt_fault){.offset_ns = INT64_MIN, .rate_ppb = INT64_MIN, .bound_ns = INT64_MIN};
    tt_fault_set(file, &f);
    assert_false(tt_is_void(tt_now(tt)));
    tt_fault_close(file);
    tt_close(tt);
}

static void fault_other_file_is_rejected(void **state)
{
    struct fault_dir *d = *state;
    struct tt_options opts = {.source = "fixed:1ms", .fault_path = d->path};
    FILE *fp = fopen(d->path, "w");
    struct tt *tt;
    struct err err;

    assert_non_null(fp);
    fputs("not a page", fp);
    fclose(fp);
    assert_int_equal(tt_open(&opts, &tt, &err), ST_REJECT);
    assert_string_equal(err.sqlstate, "XX001");
    opts.fault_path = "/nonexistent/dir/fault";
    assert_int_equal(tt_open(&opts, &tt, &err), ST_REJECT);
    assert_string_equal(err.sqlstate, "58030");
}

/* Prints the cost; fails only if a reader became absurdly slow. */
static void now_costs_little(void **state)
{
    struct tt *tt = open_tt("fixed:1ms", NULL);
    const int rounds = 200000;
    int64_t sum = 0, cpu = thread_cpu_ns();

    (void)state;
    for (int i = 0; i < rounds; i++)
        sum += tt_now(tt).latest & 1;
    cpu = thread_cpu_ns() - cpu;
    print_message("tt_now: %.1f ns (%d)\n", (double)cpu / rounds, (int)(sum & 1));
    assert_true(cpu / rounds < 20000);
    tt_close(tt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fixed_now_contains_the_clock),
        cmocka_unit_test(distrusted_clock_is_void_for_readers_only),
        cmocka_unit_test(fixed_over_polls_stays_monotonic),
        cmocka_unit_test(kernel_says_what_the_kernel_says),
        cmocka_unit_test(simulated_obeys_tt_sim_set),
        cmocka_unit_test(wait_reaches_a_near_future),
        cmocka_unit_test(wait_past_deadline_is_retry),
        cmocka_unit_test(wait_without_time_is_retry_at_once),
        cmocka_unit_test(two_in_one_process_do_not_share),
        cmocka_unit_test_setup_teardown(fault_changes_time_live, fault_setup, fault_teardown),
        cmocka_unit_test_setup_teardown(fault_rate_runs_away_from_its_set, fault_setup,
                                        fault_teardown),
        cmocka_unit_test_setup_teardown(fault_absurd_values_do_not_overflow, fault_setup,
                                        fault_teardown),
        cmocka_unit_test_setup_teardown(fault_other_file_is_rejected, fault_setup, fault_teardown),
        cmocka_unit_test(now_costs_little),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
