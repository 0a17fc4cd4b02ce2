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
#include "timesvc/tt_shm.h"
#include "timesvc/tt_source.h"

enum { MAPPED_MAX = 64 };

struct tt {
    /* What a reader of time touches; written when something changes that people have a name for. */
    _Alignas(64) const struct tt_page *_Atomic from; /* one's own page, or one of shm's */
    struct tt_fault_file *fault;                     /* owned; NULL: none. Constant while open */
    _Atomic bool distrusted;                         /* written under mu, read by anyone */

    _Alignas(64) struct tt_page page; /* written under mu, read by anyone */

    _Alignas(64) pthread_mutex_t mu; /* lock 1 of timesvc; readers of time never take it */
    pthread_cond_t stop_cond;
    bool stop;             /* guarded by mu */
    char distrust[96];     /* guarded by mu: why, while distrusted */
    struct tt_facts facts; /* guarded by mu; of the last poll */

    /* The poller's alone, while there is one. */
    struct tt_bound bound;
    struct tt_source *src; /* owned; NULL: simulated, page */
    struct tt_page *to;    /* where mappings are published: one's own page, or shm's */
    struct tt_shm *shm
        [MAPPED_MAX]; /* owned. The page that is published; or all that were ever read, the last in use:
                                     * a reader may still be on an earlier one */
    size_t n_shm;

    struct tt_source_spec spec; /* this and the rest: constant while open */
    bool has_poller;
    pthread_t poller;
    char *source; /* as given; owned */
    struct logger *log;
};

static inline int64_t raw_now(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC_RAW, &ts); /* mono_now(), without a call more */
    return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static inline struct tt_interval read_interval(const struct tt *tt, int64_t *out_raw_ns)
{
    struct tt_map map;
    struct tt_interval iv;
    int64_t raw, bound, utc;

    /* The page first, the clock after it: whatever delays us in between only widens the bound. */
    tt_page_read(atomic_load_explicit(&tt->from, memory_order_acquire), &map);
    raw = raw_now();
    *out_raw_ns = raw;
    bound = tt_map_bound(&map, raw);
    if (bound < 0)
        return TT_VOID;
    utc = tt_map_utc(&map, raw);
    iv = (struct tt_interval){tt_add(utc, -bound), tt_add(utc, bound)};
    return tt->fault == NULL ? iv : tt_fault_apply(tt->fault, iv, raw);
}

static inline bool is_distrusted(const struct tt *tt)
{
    return atomic_load_explicit(&tt->distrusted, memory_order_relaxed);
}

struct tt_interval tt_now_unjudged(struct tt *tt, int64_t *out_mono_ns)
{
    return read_interval(tt, out_mono_ns);
}

struct tt_interval tt_now_mono(struct tt *tt, int64_t *out_mono_ns)
{
    struct tt_interval iv = read_interval(tt, out_mono_ns);

    return is_distrusted(tt) ? TT_VOID : iv;
}

struct tt_interval tt_now(struct tt *tt)
{
    int64_t raw;
    struct tt_interval iv = read_interval(tt, &raw);

    return is_distrusted(tt) ? TT_VOID : iv;
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
    int64_t left = min64(min64(t - iv.earliest, slice_ns), deadline_mono_ns - mono_ns);

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
        if (tt_is_void(iv))
            return err_set(err, ST_RETRY, SQLSTATE_CANNOT_CONNECT_NOW,
                           "this node cannot bound its clock error");
        if (mono_ns >= deadline_mono_ns)
            return err_set(err, ST_RETRY, SQLSTATE_CANNOT_CONNECT_NOW,
                           "timestamp is still %" PRId64 " us ahead of this node's clock",
                           (t - iv.earliest) / NS_PER_US);
        wait_step(iv, t, mono_ns, deadline_mono_ns, &spun_ns);
    }
}

/* What a poll found becomes what tt_describe tells; a change between bounded and void is logged. */
static void tell(struct tt *tt, const struct tt_facts *facts, int64_t bound_ns)
{
    const char *why = tt_verdict_text((enum tt_verdict)facts->verdict);
    bool is_void = tt_verdict_is_void((enum tt_verdict)facts->verdict), was_void;
    bool first, other;

    pthread_mutex_lock(&tt->mu);
    first = tt->facts.via[0] == '\0';
    other = strcmp(tt->facts.via, facts->via) != 0;
    was_void = tt_verdict_is_void((enum tt_verdict)tt->facts.verdict);
    tt->facts = *facts;
    pthread_mutex_unlock(&tt->mu);
    if (first || other || was_void != is_void)
        log_event(tt->log, is_void ? LOG_WARN : LOG_INFO, is_void ? "time.void" : "time.bounded",
                  "source=%s via=%s bound_us=%" PRId64 " why=\"%s%s\"", tt->source, facts->via,
                  bound_ns < 0 ? -1 : bound_ns / NS_PER_US, why, facts->note);
}

static void set_note(struct tt_facts *facts, const char *note)
{
    (void)snprintf(facts->note, sizeof facts->note, "%s%.120s", *note == '\0' ? "" : ": ", note);
}

/* Asks the source, which may take its time, and publishes what comes of the answer. */
static void poll_source(struct tt *tt)
{
    const struct tt_bound *b = &tt->bound;
    struct tt_sample sample;
    struct tt_said said;
    struct tt_map map;
    enum tt_verdict verdict;
    struct tt_facts facts;

    if (tt_source_ask(tt->src, &sample, &said))
        tt_bound_new_source(&tt->bound);
    tt_bound_step(&tt->bound, &sample, &said, &map, &verdict);
    facts = (struct tt_facts){
        .verdict = verdict,
        .said_ns = b->said_ns,
        .said_raw_ns = b->said_raw_ns,
        .ref_raw_ns = b->has_ref ? b->ref_raw_ns : -1,
        .ref_id = b->has_ref ? b->ref_id : 0,
        .stratum = b->has_ref ? b->stratum : 0,
        .leap_announced = b->leap_utc_ns != 0,
        .n_reports = (int64_t)b->counts.reports,
        .n_unusable = (int64_t)b->counts.unusable,
        .n_restarts = (int64_t)b->counts.restarts,
        .n_steps = (int64_t)b->counts.steps,
    };
    (void)snprintf(facts.via, sizeof facts.via, "%s", tt_source_via(tt->src));
    set_note(&facts, tt_source_note(tt->src));
    tt_page_write(tt->to, &map);
    if (tt->n_shm > 0)
        tt_shm_put_facts(tt->shm[0], &facts);
    tell(tt, &facts, map.bound_ns);
}

/* Maps the page anew if it has come, or if another file has taken its place. */
static void follow_page(struct tt *tt, struct tt_facts *facts)
{
    struct tt_shm *shm;
    struct err err;

    if (tt->n_shm > 0 && !tt_shm_is_replaced(tt->shm[tt->n_shm - 1], tt->spec.where))
        return;
    if (tt->n_shm == MAPPED_MAX) {
        set_note(facts, "the page was replaced too often: restart this process");
    } else if (tt_shm_open(tt->spec.where, &shm, &err) == ST_OK) {
        tt->shm[tt->n_shm++] = shm;
        atomic_store_explicit(&tt->from, tt_shm_page(shm), memory_order_release);
    } else {
        set_note(facts, err.msg);
    }
}

/* Readers are on the publisher's page: here is only looked after which one, and why. */
static void poll_page(struct tt *tt)
{
    struct tt_facts facts = {.verdict = TT_VOID_NEVER, .said_ns = -1, .ref_raw_ns = -1};
    char note[sizeof facts.note];
    struct tt_map map;
    int64_t bound;

    follow_page(tt, &facts);
    memcpy(note, facts.note, sizeof note);
    if (tt->n_shm > 0)
        tt_shm_get_facts(tt->shm[tt->n_shm - 1], &facts);
    else
        (void)snprintf(facts.via, sizeof facts.via, "page");
    if (note[0] != '\0')
        memcpy(facts.note, note, sizeof note);
    tt_page_read(atomic_load(&tt->from), &map);
    bound = tt_map_bound(&map, mono_now());
    if (bound < 0 && !tt_verdict_is_void((enum tt_verdict)facts.verdict)) {
        facts.verdict = TT_VOID_SILENT;
        set_note(&facts, "nobody publishes on the page any more");
    }
    tell(tt, &facts, bound);
}

static void poll_once(struct tt *tt)
{
    if (tt->spec.kind == TT_PAGE)
        poll_page(tt);
    else
        poll_source(tt);
}

static struct timespec poll_at(const struct tt *tt)
{
    struct timespec ts;
    int64_t ns;

    ASSERT(clock_gettime(CLOCK_MONOTONIC, &ts) == 0);
    ns = ts.tv_nsec +
         (tt_bound_is_curious(&tt->bound) ? TT_POLL_SOON_MS : TT_POLL_MS) * (int64_t)NS_PER_MS;
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
        struct timespec at = poll_at(tt);

        while (!tt->stop && pthread_cond_timedwait(&tt->stop_cond, &tt->mu, &at) != ETIMEDOUT)
            ;
        if (tt->stop)
            break;
        pthread_mutex_unlock(&tt->mu);
        poll_once(tt);
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
    tt->to = &tt->page;
    atomic_store(&tt->from, &tt->page);
    tt->facts = (struct tt_facts){.verdict = TT_VOID_NEVER, .said_ns = -1, .ref_raw_ns = -1};
    tt->source = xstrdup(opts->source);
    tt->log = opts->log;
    return tt;
}

static enum status start_poller(struct tt *tt, struct err *err)
{
    int rc;

    poll_once(tt); /* time is there, or is known not to be, before the first reader */
    rc = pthread_create(&tt->poller, NULL, poll_main, tt);
    if (rc != 0)
        return err_set(err, ST_RETRY, SQLSTATE_OUT_OF_MEMORY, "cannot start the clock poller: %s",
                       strerror(rc));
    tt->has_poller = true;
    return ST_OK;
}

/* From now on mappings go to a page of the file at `path`, where readers here find them, too. */
static enum status start_publishing(struct tt *tt, const char *path, struct err *err)
{
    enum status st = ST_OK;

    if (tt->spec.kind == TT_PAGE || tt->spec.kind == TT_SIMULATED)
        return err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                       "a page of time is not published from source \"%s\"", tt->source);
    TRY(tt_shm_publish(path, &tt->shm[0], err));
    tt->n_shm = 1;
    tt->to = tt_shm_page(tt->shm[0]);
    atomic_store(&tt->from, tt->to);
out:
    return st;
}

enum status tt_open(const struct tt_options *opts, struct tt **out, struct err *err)
{
    enum status st = ST_OK;
    struct tt *tt = tt_make(opts);

    TRY(tt_source_parse(opts->source, &tt->spec, err));
    if (opts->drift_ppb < 0 || opts->drift_ppb > TT_DRIFT_MAX_PPB) {
        st = err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                     "an oscillator's drift is at most %d ppm", TT_DRIFT_MAX_PPB / 1000);
        goto out;
    }
    if (opts->fault_path != NULL)
        TRY(tt_fault_open(opts->fault_path, &tt->fault, err));
    if (opts->publish != NULL)
        TRY(start_publishing(tt, opts->publish, err));
    tt_bound_init(&tt->bound, opts->drift_ppb);
    if (tt->spec.kind != TT_SIMULATED && tt->spec.kind != TT_PAGE)
        TRY(tt_source_open(&tt->spec, &tt->src, err));
    if (tt->spec.kind != TT_SIMULATED)
        TRY(start_poller(tt, err));
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
    for (size_t i = 0; i < tt->n_shm; i++)
        tt_shm_close(tt->shm[i]);
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
    const struct tt_facts *f = &tt->facts;
    int64_t raw;
    struct tt_interval iv = tt_now_unjudged(tt, &raw);
    const char *lying = is_lying(tt) ? "; a fault is injected" : "";

    memset(out, 0, sizeof *out);
    out->source = tt->source;
    out->bound_ns = tt_is_void(iv) ? -1 : (iv.latest - iv.earliest) / 2;
    pthread_mutex_lock(&tt->mu);
    tt_page_read(atomic_load(&tt->from), &map);
    out->distrusted = atomic_load(&tt->distrusted);
    if (out->distrusted)
        (void)snprintf(out->why, sizeof out->why, "%s%s", tt->distrust, lying);
    else
        (void)snprintf(out->why, sizeof out->why, "%s%.120s%s",
                       tt_verdict_text((enum tt_verdict)f->verdict), f->note, lying);
    (void)snprintf(out->via, sizeof out->via, "%s", f->via[0] == '\0' ? tt->source : f->via);
    out->age_ns = map.generation == 0 || map.base_raw_ns > raw ? 0 : raw - map.base_raw_ns;
    out->said_ns = f->said_ns;
    out->said_age_ns = f->said_ns < 0 ? 0 : raw - f->said_raw_ns;
    out->ref_age_ns = f->ref_raw_ns < 0 ? -1 : raw - f->ref_raw_ns;
    out->drift_ppb = tt_ppb_of_q(map.drift_q);
    out->ref_id = (uint32_t)f->ref_id;
    out->stratum = (int)f->stratum;
    out->leap_announced = f->leap_announced != 0;
    out->n_reports = (uint64_t)f->n_reports;
    out->n_unusable = (uint64_t)f->n_unusable;
    out->n_restarts = (uint64_t)f->n_restarts;
    out->n_steps = (uint64_t)f->n_steps;
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

    ASSERT(tt->spec.kind == TT_SIMULATED);
    pthread_mutex_lock(&tt->mu);
    tt->facts.verdict = bound_ns < 0 ? TT_VOID_UNSYNC : TT_OK_WORD;
    tt_page_write(&tt->page, &map);
    pthread_mutex_unlock(&tt->mu);
}
