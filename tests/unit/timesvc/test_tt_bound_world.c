/*
 * A simulated machine under a simulated chronyd: an oscillator that wanders, measurements with jitter, slews, steps that
 * nobody announced, lost servers, silences, restarts, suspends. Whatever happens, true time lies inside the interval, at
 * every poll and between polls, and no interval becomes narrower without a new measurement.
 * MRD_TT_REPORTS sets how many reports (10,000,000 where the compiler optimises, else less); MRD_SEED the seed.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "timesvc/tt_bound.h"
#include "timesvc/tt_chrony.h"

#if defined __OPTIMIZE__ && !defined MRD_SANITIZED
enum { REPORTS_DEFAULT = 10000000 };
#elif !defined MRD_SANITIZED
enum { REPORTS_DEFAULT = 2000000 };
#else
enum { REPORTS_DEFAULT = 400000 };
#endif

enum {
    OSC_MAX_PPB = 20000, /* two such extremes are still within the stated drift of 50 ppm */
    SLEW_MAX_PPB = 800000
};

struct machine {
    struct rng rng;
    int64_t raw, utc, real, suspended; /* utc is the truth, real is CLOCK_REALTIME */
    int64_t osc_ppb;                   /* of UTC against MONOTONIC_RAW */
    int64_t kernel_ppb;                /* of CLOCK_REALTIME against MONOTONIC_RAW */
    /* chronyd */
    bool steers, steered_since_poll;
    enum { UP, SILENT, UNSYNC } state;
    int64_t state_until, measure_at, every, server_lost_until;
    int64_t correction, rate_est_ppb, slew_ppb;
    struct tt_tracking t; /* what it knows as of its last measurement */
    int64_t measured_raw, allowance_ppb;
    uint64_t measurements;
    /* what was made of it */
    struct tt_bound b;
    struct tt_map map;
    uint64_t n_reports, n_bounded, seed;
    double bound_sum;
};

static int64_t between(struct machine *m, int64_t lo, int64_t hi)
{
    return lo + (int64_t)rng_below(&m->rng, (uint64_t)(hi - lo + 1));
}

static bool chance(struct machine *m, unsigned one_in)
{
    return rng_below(&m->rng, one_in) == 0;
}

static int64_t ppb(int64_t d, int64_t rate)
{
    return (int64_t)((__int128)d * rate / NS_PER_S);
}

static void check_truth(const struct machine *m, const char *when)
{
    int64_t bound = tt_map_bound(&m->map, m->raw);
    int64_t off = bound < 0 ? 0 : tt_map_utc(&m->map, m->raw) - m->utc;

    if (llabs(off) > llabs(bound))
        fail_msg("%s report %" PRIu64 " of seed %" PRIu64 ": off by %" PRId64 " ns, bound %" PRId64
                 " ns (kernel %" PRId64 " ppb, oscillator %" PRId64 " ppb)",
                 when, m->n_reports, m->seed, off, bound, m->kernel_ppb, m->osc_ppb);
}

static void set_kernel_rate(struct machine *m, int64_t rate_ppb)
{
    m->steered_since_poll |= m->kernel_ppb != rate_ppb;
    m->kernel_ppb = rate_ppb;
}

/* Time passes, at the rates of the moment. */
static void pass(struct machine *m, int64_t d)
{
    m->raw += d;
    m->utc += d + ppb(d, m->osc_ppb);
    m->real += d + ppb(d, m->kernel_ppb);
    m->correction += ppb(d, m->rate_est_ppb - m->kernel_ppb);
    m->osc_ppb += between(m, -300, 300);
    if (llabs(m->osc_ppb) > OSC_MAX_PPB)
        m->osc_ppb = m->osc_ppb > 0 ? OSC_MAX_PPB : -OSC_MAX_PPB;
    if (m->slew_ppb != 0 && (m->slew_ppb > 0) != (m->correction > 0)) {
        m->slew_ppb = 0;
        if (m->steers)
            set_kernel_rate(m, m->rate_est_ppb);
    }
}

/* The clock is compared with a server: the answer is right within delay / 2 + dispersion, and says so. */
static void measure(struct machine *m)
{
    int64_t width = chance(m, 50) ? between(m, NS_PER_MS, NS_PER_S) : between(m, 2000, 400000);
    int64_t part = between(m, 0, width);

    m->measurements++;
    m->measured_raw = m->raw;
    m->measure_at = m->raw + m->every + between(m, -m->every / 50, m->every / 50);
    m->t.update_interval_ns = m->every;
    m->t.root_delay_ns = 2 * part;
    m->t.root_dispersion_ns = width - part;
    m->t.skew_ppb = between(m, 0, 2000);
    m->t.residual_freq_ppb = between(m, -50, 50);
    m->t.last_offset_ns = (int64_t)m->measurements; /* no two are alike */
    m->correction = m->utc - m->real + between(m, -width, width);
    m->rate_est_ppb = m->osc_ppb + between(m, -m->t.skew_ppb, m->t.skew_ppb);
    m->slew_ppb = 0;
    if (m->steers && chance(m, 2)) {
        m->slew_ppb = m->correction / between(m, 1, 4);
        if (llabs(m->slew_ppb) > SLEW_MAX_PPB)
            m->slew_ppb = m->slew_ppb > 0 ? SLEW_MAX_PPB : -SLEW_MAX_PPB;
    }
    if (m->steers)
        set_kernel_rate(m, m->rate_est_ppb + m->slew_ppb);
}

static void something_happens(struct machine *m)
{
    switch (rng_below(&m->rng, 6)) {
    case 0:
        m->state = chance(m, 2) ? SILENT : UNSYNC;
        m->state_until = m->raw + between(m, 1, 15) * NS_PER_S;
        break;
    case 1:
        m->server_lost_until = m->raw + between(m, 1, chance(m, 20) ? 1200 : 60) * NS_PER_S;
        break;
    case 2: /* somebody steps the clock; beside a slew it could not be told from it: see W9 */
        if (!m->steered_since_poll)
            m->real += (chance(m, 2) ? 1 : -1) *
                       (chance(m, 2) ? between(m, 5000, NS_PER_MS)
                                     : between(m, NS_PER_MS, 3 * (int64_t)NS_PER_S));
        break;
    case 3: {
        int64_t d = between(m, NS_PER_S, 100 * (int64_t)NS_PER_S);

        m->suspended += d;
        m->utc += d;
        m->real += d + between(m, -NS_PER_S, NS_PER_S);
        break;
    }
    case 4:
        m->every = (int64_t)(250 << rng_below(&m->rng, 5)) * NS_PER_MS;
        break;
    case 5: /* another chronyd, which steps the clock at its start: its first second without a reference */
        m->real += m->correction;
        m->correction = 0;
        m->steers = chance(m, 2);
        m->allowance_ppb = chance(m, 2) ? 1000 : 50000;
        m->slew_ppb = 0;
        set_kernel_rate(m, m->steers ? m->rate_est_ppb : between(m, -30000, 30000));
        m->state = UNSYNC;
        m->state_until = m->raw + between(m, 300, 1500) * NS_PER_MS;
        m->measure_at = m->raw;
        break;
    }
}

/* What chronyd would answer now. */
static struct tt_tracking report(const struct machine *m)
{
    struct tt_tracking t = m->t;
    int64_t age = m->raw - m->measured_raw;

    t.ref_id = 0x0a000001;
    t.stratum = 2;
    t.leap = m->state == UNSYNC ? 3 : 0;
    t.correction_ns = m->correction;
    t.ref_utc_ns = m->real + m->correction - age;
    t.freq_ppb = m->steers ? -m->rate_est_ppb : m->kernel_ppb - m->rate_est_ppb;
    t.root_dispersion_ns +=
        ppb(age, t.skew_ppb + llabs(t.residual_freq_ppb) + m->allowance_ppb) + 1;
    return t;
}

static void poll(struct machine *m, uint64_t *io_measurements)
{
    struct tt_sample clocks = {.suspended_ns = m->suspended, .maxerror_ns = -1};
    struct tt_said said = {.answer = TT_SAYS_NOTHING};
    enum tt_verdict verdict;
    int64_t asked = m->raw, before, after;
    struct tt_tracking t;
    uint64_t known;

    pass(m, chance(m, 1000) ? 60 * NS_PER_MS : between(m, 5000, 100000));
    t = report(m);
    known = m->measurements;
    pass(m, chance(m, 1000) ? 30 * NS_PER_MS : between(m, 5000, 100000));
    clocks.width_ns = between(m, 40, 400);
    clocks.raw_ns = m->raw + between(m, -clocks.width_ns / 2, clocks.width_ns / 2);
    clocks.utc_ns = m->real;
    clocks.freq_ppb = m->kernel_ppb;
    clocks.suspended_ns = m->suspended;
    if (m->state != SILENT)
        tt_tracking_said(&t, asked, clocks.utc_ns, &said);
    before = tt_map_bound(&m->map, m->raw + 1000);
    tt_bound_step(&m->b, &clocks, &said, &m->map, &verdict);
    after = tt_map_bound(&m->map, m->raw + 1000);
    m->n_reports++;
    m->steered_since_poll = false;
    assert_int_equal(after < 0, tt_verdict_is_void(verdict));
    if (before >= 0 && after >= 0 && known == *io_measurements && after + 4 < before)
        fail_msg("report %" PRIu64 " of seed %" PRIu64 ": narrower without cause, %" PRId64
                 " -> %" PRId64,
                 m->n_reports, m->seed, before, after);
    if (m->state == UP)
        *io_measurements = known;
    m->n_bounded += after >= 0;
    m->bound_sum += after >= 0 ? (double)after : 0;
    check_truth(m, "at");
}

static void run(struct machine *m, uint64_t n_reports)
{
    uint64_t known = 0;

    while (m->n_reports < n_reports) {
        int64_t left = (int64_t)TT_POLL_MS * NS_PER_MS;

        while (left > 0) {
            int64_t d = between(m, 20 * NS_PER_MS, 120 * NS_PER_MS);

            d = d > left ? left : d;
            left -= d;
            pass(m, d);
            check_truth(m, "after");
            if (m->raw >= m->state_until)
                m->state = UP;
            if (m->raw >= m->measure_at && m->raw >= m->server_lost_until)
                measure(m);
        }
        if (chance(m, 200))
            something_happens(m);
        poll(m, &known);
    }
}

static uint64_t number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

static void true_time_is_always_inside(void **state)
{
    uint64_t n = number("MRD_TT_REPORTS", REPORTS_DEFAULT), seed = number("MRD_SEED", 20);
    const uint64_t n_worlds = 20;
    uint64_t n_bounded = 0;
    double bound_sum = 0;

    (void)state;
    for (uint64_t i = 0; i < n_worlds; i++) {
        struct machine *m = calloc(1, sizeof *m);

        m->seed = seed + i;
        rng_seed(&m->rng, m->seed);
        m->raw = NS_PER_S;
        m->utc = INT64_C(1700000000000000000);
        m->real = m->utc + between(m, -NS_PER_MS, NS_PER_MS);
        m->every = 250 * NS_PER_MS;
        m->allowance_ppb = 50000;
        m->map.bound_ns = -1;
        tt_bound_init(&m->b, 0);
        measure(m);
        run(m, n / n_worlds);
        n_bounded += m->n_bounded;
        bound_sum += m->bound_sum;
        free(m);
    }
    print_message("%" PRIu64 " reports, %.1f %% with an interval, mean bound %.0f us\n", n,
                  100.0 * (double)n_bounded / (double)n, bound_sum / (double)n_bounded / 1000);
    assert_true(n_bounded > n / 2); /* void is no way out */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(true_time_is_always_inside)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
