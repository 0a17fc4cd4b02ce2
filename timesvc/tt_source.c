#include "timesvc/tt_source.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timex.h>
#include <time.h>

#include "base/check.h"

static enum status parse_duration(const char *text, int64_t *out_ns, struct err *err)
{
    static const struct {
        const char *unit;
        int64_t ns;
    } units[] = {{"ns", 1}, {"us", NS_PER_US}, {"ms", NS_PER_MS}, {"s", NS_PER_S}};
    const int64_t max_ns = (int64_t)TT_BOUND_MAX_MS * NS_PER_MS;
    char *end = NULL;
    int64_t v, unit = 0;

    errno = 0;
    v = strtoll(text, &end, 10);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strcmp(end, units[i].unit) == 0)
            unit = units[i].ns;
    if (end == text || errno != 0 || unit == 0 || v <= 0 || v > max_ns / unit)
        return err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                       "invalid clock bound \"%s\": wanted like 200us, above 0 and at most %ds",
                       text, TT_BOUND_MAX_MS / 1000);
    *out_ns = v * unit;
    return ST_OK;
}

enum status tt_source_parse(const char *spec, struct tt_source *out, struct err *err)
{
    memset(out, 0, sizeof *out);
    if (strncmp(spec, "fixed:", 6) == 0) {
        out->kind = TT_FIXED;
        return parse_duration(spec + 6, &out->eps_ns, err);
    }
    if (strcmp(spec, "kernel") == 0) {
        out->kind = TT_KERNEL;
        return ST_OK;
    }
    if (strcmp(spec, "simulated") == 0) {
        out->kind = TT_SIMULATED;
        return ST_OK;
    }
    return err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                   "unknown clock source \"%s\": wanted fixed:EPS, kernel or simulated", spec);
}

static int64_t clock_ns(clockid_t id)
{
    struct timespec ts;

    ASSERT(clock_gettime(id, &ts) == 0);
    return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static void ask_kernel(struct tt_sample *out)
{
    struct timex tx = {.modes = 0};
    int state = ntp_adjtime(&tx);

    out->maxerror_ns = -1;
    out->freq_ppb = 0;
    if (state == -1)
        return; /* a sandbox forbids the call: no bound, no correction */
    if (state != TIME_ERROR && (tx.status & STA_UNSYNC) == 0)
        out->maxerror_ns = (int64_t)tx.maxerror * NS_PER_US;
    /* freq is in 2^-16 ppm; a tick is nominally 10,000 us, 1 us of it is 100 ppm. */
    out->freq_ppb = (int64_t)tx.freq * 1000 / 65536 + ((int64_t)tx.tick - 10000) * 100000;
}

void tt_sample_take(struct tt_sample *out)
{
    ask_kernel(out);
    out->suspended_ns = clock_ns(CLOCK_BOOTTIME) - clock_ns(CLOCK_MONOTONIC);
    out->width_ns = INT64_MAX;
    /* The narrowest of a few: this thread may lose its processor between two readings. */
    for (int i = 0; i < 5; i++) {
        int64_t before = mono_now(), utc = clock_ns(CLOCK_REALTIME), after = mono_now();

        if (after - before < out->width_ns) {
            out->width_ns = after - before;
            out->raw_ns = before + (after - before) / 2;
            out->utc_ns = utc;
        }
    }
}

/* A rate that no oscillator has is a kernel that is being steered hard: not believed as a rate. */
static int64_t believable_ppb(int64_t ppb)
{
    const int64_t limit = 500000;

    return ppb > limit ? limit : ppb < -limit ? -limit : ppb;
}

static int64_t bound_of(const struct tt_source *src, const struct tt_sample *in)
{
    const int64_t rounding_ns = 2; /* readers scale rate and drift, rounding down */

    if (src->kind == TT_FIXED)
        return src->eps_ns + in->width_ns + rounding_ns;
    if (in->maxerror_ns < 0)
        return -1;
    /* The kernel counts whole microseconds and lets maxerror grow once a second. */
    return in->maxerror_ns + NS_PER_US + TT_DRIFT_PPB + in->width_ns + rounding_ns;
}

/* True if the clock did what its last mapping said it would. A void side promised nothing. */
static bool agrees(const struct tt_source *src, const struct tt_sample *in, int64_t bound_ns)
{
    int64_t d = in->raw_ns - src->last.base_raw_ns;
    int64_t off = in->utc_ns - tt_map_utc(&src->last, in->raw_ns);
    const int64_t suspend_min_ns = NS_PER_MS; /* the two readings are not at one moment */

    if (in->suspended_ns - src->last_suspended_ns > suspend_min_ns)
        return false;
    if (src->last.bound_ns < 0 || bound_ns < 0)
        return true;
    return llabs(off) <= src->last.bound_ns + tt_q_scale(d, src->last.drift_q) + bound_ns;
}

static const char *why(const struct tt_source *src, const struct tt_map *map, bool held)
{
    if (held)
        return "void: the clock was stepped or the machine slept";
    if (map->bound_ns < 0)
        return src->kind == TT_KERNEL ? "void: the kernel says unsynchronised or too wide"
                                      : "void: too wide";
    return src->kind == TT_KERNEL ? "maxerror of the kernel, growing at the assumed drift"
                                  : "the operator says so, growing at the assumed drift";
}

void tt_source_step(struct tt_source *src, const struct tt_sample *in, struct tt_map *out,
                    const char **out_why)
{
    int64_t bound = bound_of(src, in);

    ASSERT(src->kind != TT_SIMULATED);
    if (src->has_last && !agrees(src, in, bound))
        src->hold = TT_STEP_HOLD_POLLS;
    else if (src->hold > 0)
        src->hold--;
    src->last = (struct tt_map){
        .base_raw_ns = in->raw_ns,
        .base_utc_ns = in->utc_ns,
        .rate_q = tt_q_of_ppb(believable_ppb(in->freq_ppb)),
        .bound_ns = bound > (int64_t)TT_BOUND_MAX_MS * NS_PER_MS + NS_PER_MS ? -1 : bound,
        .drift_q = tt_q_of_ppb(TT_DRIFT_PPB),
        .void_after_ns = in->raw_ns + (int64_t)TT_VOID_MS * NS_PER_MS,
    };
    src->last_suspended_ns = in->suspended_ns;
    src->has_last = true;
    *out = src->last;
    if (src->hold > 0)
        out->bound_ns = -1;
    *out_why = why(src, out, src->hold > 0);
}
