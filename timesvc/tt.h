/*
 * tt.h - TrueTime: an interval that contains true time, or an honest "cannot tell".
 *
 * Hides where the bound comes from. A source publishes a page: a mapping from MONOTONIC_RAW to UTC
 * (base, rate, bound, void-after) under a sequence lock; a reader takes one clock reading and computes
 * the interval. (Corbett et al., OSDI 2012, section 3.) Sources: "chrony", "chrony:PATH", "chrony:HOST:PORT" (chronyd's
 * report; production), "clockbound", "clockbound:PATH" (the page of ClockBound's daemon), "kernel" (ntp_adjtime's
 * maxerror), "auto" (the best of these that is there), "page:PATH" (what another process publishes), "fixed:EPS" (EPS like 200us, 2ms: this clock is right within EPS
 * because the operator says so), "simulated" (tt_sim_set moves it; for tests and the simulator).
 *
 * A node whose clock the others contradict is told to distrust it: then time is void for its readers.
 *
 * Thread: tt_now, tt_after, tt_before from any thread, without lock or system call.
 */
#ifndef MRD_TIMESVC_TT_H
#define MRD_TIMESVC_TT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ids.h"
#include "base/log.h"
#include "base/status.h"

struct tt;

/* Void if earliest > latest: time cannot be bounded; nothing may be concluded from it. */
struct tt_interval {
    tstamp earliest;
    tstamp latest;
};

#define TT_VOID ((struct tt_interval){1, 0})

static inline bool tt_is_void(struct tt_interval iv)
{
    return iv.earliest > iv.latest;
}
/* t has surely passed / surely not yet come, as seen by one reading. Void proves neither. */
static inline bool tt_passed(struct tt_interval iv, tstamp t)
{
    return !tt_is_void(iv) && iv.earliest > t;
}
static inline bool tt_ahead(struct tt_interval iv, tstamp t)
{
    return !tt_is_void(iv) && iv.latest < t;
}

struct tt_options {
    const char *source;     /* as above */
    int64_t drift_ppb;      /* worst rate error of the oscillator that is assumed; 0: 50,000 */
    const char *publish;    /* path of a page for readers in other processes; NULL: none */
    const char *fault_path; /* shared fault page for tests and drills (see tt_fault.h); NULL none */
    struct logger *log;     /* borrowed, may be NULL */
};

enum status tt_open(const struct tt_options *opts, struct tt **out, struct err *err) MRD_CHECKED;
void tt_close(struct tt *tt);

/* True time lies inside at some instant of the call. TT_VOID if the bound is unknown or too old. */
struct tt_interval tt_now(struct tt *tt);
/* Same, and the MONOTONIC_RAW reading it was computed from. */
struct tt_interval tt_now_mono(struct tt *tt, int64_t *out_mono_ns);
/* What the source says, also while this node's clock is distrusted: for frames and for judging clocks. */
struct tt_interval tt_now_unjudged(struct tt *tt, int64_t *out_mono_ns);
bool tt_after(struct tt *tt, tstamp t);  /* t has surely passed */
bool tt_before(struct tt *tt, tstamp t); /* t has surely not come */

/* Waits until tt_after(t) or the monotonic deadline; sleeps, then spins for the last 100 us.
 * ST_OK, or ST_RETRY at the deadline, and as soon as time is void: who waits may hold locks that others wait for, and
 * void time may last. Blocks: session threads only. */
enum status tt_wait_after(struct tt *tt, tstamp t, int64_t deadline_mono_ns,
                          struct err *err) MRD_CHECKED;

/* From now on time is void for every reader, because `why` (a few words, copied); NULL: it is believed again.
 * Any thread. (timesvc/tt_suspect.h says when.) */
void tt_distrust(struct tt *tt, const char *why);

/* For people and metrics: which source, its bound now, why. Borrowed until tt_close. */
struct tt_report {
    const char *source;  /* as given */
    char via[128];       /* who answered last: the same, or what "auto" and "chrony" found */
    bool distrusted;     /* the clocks of other nodes contradict this one: see why */
    int64_t bound_ns;    /* half width now as the source says it; -1 void */
    int64_t age_ns;      /* of what the interval is computed from */
    int64_t said_ns;     /* the bound of the last usable report, as the source gave it; -1 none */
    int64_t said_age_ns; /* since that report */
    int64_t ref_age_ns;  /* since the source measured the clock; -1 it does not say */
    int64_t drift_ppb;   /* how fast the interval grows on either side */
    uint32_t ref_id;     /* what it measured it against; 0 it does not say */
    int stratum;
    bool leap_announced;
    uint64_t n_reports;  /* usable ones */
    uint64_t n_unusable; /* all other answers, silence included */
    uint64_t n_restarts; /* of the source, as far as can be seen */
    uint64_t n_steps;    /* contradictions, suspends, unexplained movements of the clock */
    char why[256];       /* one line; begins with "void" if the source cannot tell */
};
void tt_describe(struct tt *tt, struct tt_report *out);

/* Simulated source only: true time as the simulator has it, and this clock's error and bound (negative:
 * void). The interval stands still until the next call; before the first it is void. */
void tt_sim_set(struct tt *tt, tstamp true_now, int64_t error_ns, int64_t bound_ns);

#endif
