#include "timesvc/tt.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/clock.h"
#include "timesvc/tt_fault.h"
#include "timesvc/tt_page.h"
#include "timesvc/tt_source.h"

struct tt {
    _Alignas(64) struct tt_page page; /* written under mu, read by anyone */
    struct tt_fault_file *fault;      /* owned; NULL: none. Constant while open */
    _Atomic bool distrusted;          /* written under mu, read by anyone */

    _Alignas(64) pthread_mutex_t mu; /* lock 1 of timesvc; readers of time never take it */
    pthread_cond_t stop_cond;
    bool stop;         /* guarded by mu */
    bool is_void;      /* guarded by mu */
    const char *why;   /* guarded by mu; static storage */
    char distrust[96]; /* guarded by mu: why, while distrusted */
    char via[128];     /* guarded by mu */
    char note[128];    /* guarded by mu; what the source's last answer was if it was of no use */
    struct tt_bound bound;    /* guarded by mu */
    enum tt_source_kind kind; /* constant while open */
    struct tt_source *src;    /* owned; the poller's; NULL: simulated */
    bool has_poller;          /* constant while open */
    pthread_t poller;
    char *source; /* as given; owned */
    struct logger *log;
};

struct tt_interval tt_now_unjudged(struct tt *tt, int64_t *out_mono_ns)
{
    struct tt_map map;
    struct tt_interval iv;
    int64_t raw, bound, utc;

    /* The page first, the clock after it: whatever delays us in between only widens the bound. */
    tt_page_read(&tt->page, &map);
    raw = mono_now();
    *out_mono_ns = raw;
    bound = tt_map_bound(&map, raw);
    if (bound < 0)
        return TT_VOID;
    utc = tt_map_utc(&map, raw);
    iv = (struct tt_interval){utc - bound, utc + bound};
    return tt->fault == NULL ? iv : tt_fault_apply(tt->fault, iv, raw);
}

struct tt_interval tt_now_mono(struct tt *tt, int64_t *out_mono_ns)
{
    struct tt_interval iv = tt_now_unjudged(tt, out_mono_ns);

    return atomic_load_explicit(&tt->distrusted, memory_order_relaxed) ? TT_VOID : iv;
}

struct tt_interval tt_now(struct tt *tt)
{
    int64_t mono_ns;

    return tt_now_mono(tt, &mono_ns);
}

bool tt_after(struct tt *tt, tstamp t)
{
    return tt_passed(tt_now(tt), t);
}

bool tt_before(struct tt *tt, tstamp t)
{
    return tt_ahead(tt_now(tt), t);
}

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* One step of a wait: sleeps through what is far away, spins through what is near. */
static void wait_step(struct tt_interval iv, tstamp t, int64_t mono_ns, int64_t deadline_mono_ns,
                      int64_t *spun_ns)
{
    const int64_t spin_ns = 100 * NS_PER_US; /* a sleep comes back 70 us late and more */
    const int64_t slice_ns = 10 * NS_PER_MS; /* the mapping may change while we sleep */
    int64_t left = tt_is_void(iv) ? slice_ns : t - iv.earliest;

    left = min64(min64(left, slice_ns), deadline_mono_ns - mono_ns);
    if (left > spin_ns)
        mono_sleep_until(mono_ns + left - spin_ns);
    else if (*spun_ns < 4 * spin_ns)
        *spun_ns += mono_now() - mono_ns + 1;
    else
        mono_sleep_until(mono_ns + spin_ns); /* this clock stands still: do not burn for it */
}

enum status tt_wait_after(struct tt *tt, tstamp t, int64_t deadline_mono_ns, struct err *err)
{
    int64_t spun_ns = 0;

    for (;;) {
        int64_t mono_ns;
        struct tt_interval iv = tt_now_mono(tt, &mono_ns);

        if (tt_passed(iv, t))
            return ST_OK;
        if (mono_ns >= deadline_mono_ns && tt_is_void(iv))
            return err_set(err, ST_RETRY, SQLSTATE_CANNOT_CONNECT_NOW,
                           "this node cannot bound its clock error");
        if (mono_ns >= deadline_mono_ns)
            return err_set(err, ST_RETRY, SQLSTATE_CANNOT_CONNECT_NOW,
                           "timestamp is still %" PRId64 " us ahead of this node's clock",
                           (t - iv.earliest) / NS_PER_US);
        wait_step(iv, t, mono_ns, deadline_mono_ns, &spun_ns);
    }
}

/* Asks the source, which may take its time, and publishes what comes of the answer. */
static void poll_source(struct tt *tt)
{
    struct tt_sample sample;
    struct tt_said said;
    struct tt_map map;
    enum tt_verdict verdict;
    bool other = tt_source_ask(tt->src, &sample, &said), first, changed;
    const char *note;

    pthread_mutex_lock(&tt->mu);
    first = tt->why == NULL;
    if (other)
        tt_bound_new_source(&tt->bound);
    tt_bound_step(&tt->bound, &sample, &said, &map, &verdict);
    tt_page_write(&tt->page, &map);
    tt->why = tt_verdict_text(verdict);
    (void)snprintf(tt->via, sizeof tt->via, "%s", tt_source_via(tt->src));
    note = tt_source_note(tt->src);
    (void)snprintf(tt->note, sizeof tt->note, "%s%.120s", *note == '\0' ? "" : ": ", note);
    changed = first || tt->is_void != tt_verdict_is_void(verdict);
    tt->is_void = tt_verdict_is_void(verdict);
    pthread_mutex_unlock(&tt->mu);
    if (other || (first && tt->kind == TT_AUTO))
        log_event(tt->log, LOG_INFO, "time.source", "via=%s%s", tt->via, tt->note);
    if (changed)
        log_event(tt->log, tt->is_void ? LOG_WARN : LOG_INFO,
                  tt->is_void ? "time.void" : "time.bounded",
                  "source=%s via=%s bound_us=%" PRId64 " why=\"%s%s\"", tt->source, tt->via,
                  map.bound_ns < 0 ? -1 : map.bound_ns / NS_PER_US, tt->why, tt->note);
}

static struct timespec poll_at(void)
{
    struct timespec ts;
    int64_t ns;

    ASSERT(clock_gettime(CLOCK_MONOTONIC, &ts) == 0);
    ns = ts.tv_nsec + (int64_t)TT_POLL_MS * NS_PER_MS;
    ts.tv_sec += ns / NS_PER_S;
    ts.tv_nsec = ns % NS_PER_S;
    return ts;
}

static void *poll_main(void *arg)
{
    struct tt *tt = arg;

    (void)pthread_setname_np(pthread_self(), "mrd-time");
    pthread_mutex_lock(&tt->mu);
    while (!tt->stop) {
        struct timespec at = poll_at();

        while (!tt->stop && pthread_cond_timedwait(&tt->stop_cond, &tt->mu, &at) != ETIMEDOUT)
            ;
        if (tt->stop)
            break;
        pthread_mutex_unlock(&tt->mu);
        poll_source(tt);
        pthread_mutex_lock(&tt->mu);
    }
    pthread_mutex_unlock(&tt->mu);
    return NULL;
}

static struct tt *tt_make(const struct tt_options *opts)
{
    struct tt *tt = NULL;
    pthread_condattr_t attr;

    ASSERT(posix_memalign((void **)&tt, 64, sizeof *tt) == 0);
    memset(tt, 0, sizeof *tt);
    tt_page_init(&tt->page);
    pthread_mutex_init(&tt->mu, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&tt->stop_cond, &attr);
    pthread_condattr_destroy(&attr);
    tt->source = xstrdup(opts->source);
    (void)snprintf(tt->via, sizeof tt->via, "%s", opts->source);
    tt->log = opts->log;
    return tt;
}

static enum status start_poller(struct tt *tt, struct err *err)
{
    int rc;

    poll_source(tt); /* time is there, or is known not to be, before the first reader */
    rc = pthread_create(&tt->poller, NULL, poll_main, tt);
    if (rc != 0)
        return err_set(err, ST_RETRY, SQLSTATE_OUT_OF_MEMORY, "cannot start the clock poller: %s",
                       strerror(rc));
    tt->has_poller = true;
    return ST_OK;
}

enum status tt_open(const struct tt_options *opts, struct tt **out, struct err *err)
{
    enum status st = ST_OK;
    struct tt *tt = tt_make(opts);
    struct tt_source_spec spec;

    TRY(tt_source_parse(opts->source, &spec, err));
    if (opts->drift_ppb < 0 || opts->drift_ppb > TT_DRIFT_MAX_PPB) {
        st = err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                     "an oscillator's drift is at most %d ppm", TT_DRIFT_MAX_PPB / 1000);
        goto out;
    }
    if (opts->fault_path != NULL)
        TRY(tt_fault_open(opts->fault_path, &tt->fault, err));
    tt->kind = spec.kind;
    tt_bound_init(&tt->bound, opts->drift_ppb);
    if (spec.kind == TT_SIMULATED) {
        tt->why = "void: simulated time was never set";
    } else {
        TRY(tt_source_open(&spec, &tt->src, err));
        TRY(start_poller(tt, err));
    }
    *out = tt;
out:
    if (st != ST_OK)
        tt_close(tt);
    return st;
}

void tt_close(struct tt *tt)
{
    if (tt == NULL)
        return;
    pthread_mutex_lock(&tt->mu);
    tt->stop = true;
    pthread_cond_signal(&tt->stop_cond);
    pthread_mutex_unlock(&tt->mu);
    if (tt->has_poller)
        pthread_join(tt->poller, NULL);
    tt_source_close(tt->src);
    tt_fault_close(tt->fault);
    pthread_cond_destroy(&tt->stop_cond);
    pthread_mutex_destroy(&tt->mu);
    free(tt->source);
    free(tt);
}

static bool is_lying(const struct tt *tt)
{
    struct tt_fault f = tt->fault == NULL ? TT_FAULT_NONE : tt_fault_get(tt->fault);

    return f.offset_ns != 0 || f.rate_ppb != 0 || f.bound_ns >= 0 || f.status != TT_FAULT_AS_IS;
}

void tt_describe(struct tt *tt, struct tt_report *out)
{
    struct tt_map map;
    const struct tt_bound *b = &tt->bound;
    int64_t raw;
    struct tt_interval iv = tt_now_unjudged(tt, &raw);
    bool lying = is_lying(tt);

    memset(out, 0, sizeof *out);
    out->source = tt->source;
    out->bound_ns = tt_is_void(iv) ? -1 : (iv.latest - iv.earliest) / 2;
    pthread_mutex_lock(&tt->mu);
    tt_page_read(&tt->page, &map);
    out->distrusted = atomic_load(&tt->distrusted);
    (void)snprintf(out->why, sizeof out->why, "%s%.80s%s", out->distrusted ? tt->distrust : tt->why,
                   out->distrusted ? "" : tt->note, lying ? "; a fault is injected" : "");
    (void)snprintf(out->via, sizeof out->via, "%s", tt->via);
    out->age_ns = map.generation == 0 || map.base_raw_ns > raw ? 0 : raw - map.base_raw_ns;
    out->said_ns = b->said_ns;
    out->said_age_ns = b->said_ns < 0 ? 0 : raw - b->said_raw_ns;
    out->ref_age_ns = b->has_ref ? raw - b->ref_raw_ns : -1;
    out->drift_ppb = tt_ppb_of_q(map.drift_q);
    out->ref_id = b->ref_id;
    out->stratum = b->stratum;
    out->leap_announced = b->leap_utc_ns != 0;
    out->n_reports = b->counts.reports;
    out->n_unusable = b->counts.unusable;
    out->n_restarts = b->counts.restarts;
    out->n_steps = b->counts.steps;
    pthread_mutex_unlock(&tt->mu);
}

void tt_distrust(struct tt *tt, const char *why)
{
    pthread_mutex_lock(&tt->mu);
    snprintf(tt->distrust, sizeof tt->distrust, "distrusted: %s", why != NULL ? why : "");
    atomic_store(&tt->distrusted, why != NULL);
    pthread_mutex_unlock(&tt->mu);
}

void tt_sim_set(struct tt *tt, tstamp true_now, int64_t error_ns, int64_t bound_ns)
{
    struct tt_map map = {
        .base_raw_ns = 0, /* the beginning of MONOTONIC_RAW: every reading is later */
        .base_utc_ns = true_now + error_ns,
        .rate_q = TT_RATE_STILL,
        .bound_ns = bound_ns < 0 ? -1 : bound_ns,
        .void_after_ns = INT64_MAX,
    };

    ASSERT(tt->kind == TT_SIMULATED);
    pthread_mutex_lock(&tt->mu);
    tt->why = bound_ns < 0 ? "void: simulated as unsynchronised" : "simulated";
    tt_page_write(&tt->page, &map);
    pthread_mutex_unlock(&tt->mu);
}
