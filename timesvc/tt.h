/*
 * tt.h - TrueTime: an interval that contains true time, or an honest "cannot tell".
 *
 * Hides where the bound comes from. A source publishes a page: a mapping from MONOTONIC_RAW to UTC
 * (base, rate, bound, void-after) under a sequence lock; a reader takes one clock reading and computes
 * the interval. (Corbett et al., OSDI 2012, section 3.) Sources: "fixed:EPS" (EPS like 200us, 2ms: this clock is right
 * within EPS because the operator says so), "kernel" (ntp_adjtime's maxerror; void while the kernel says
 * unsynchronised), "simulated" (tt_sim_set moves it; for tests and the simulator).
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
    const char *source;     /* "fixed:200us", "kernel", "simulated" */
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
 * ST_OK, or ST_RETRY at the deadline (also when time stays void). Blocks: session threads only. */
enum status tt_wait_after(struct tt *tt, tstamp t, int64_t deadline_mono_ns,
                          struct err *err) MRD_CHECKED;

/* From now on time is void for every reader, because `why` (a few words, copied); NULL: it is believed again.
 * Any thread. (timesvc/tt_suspect.h says when.) */
void tt_distrust(struct tt *tt, const char *why);

/* For people: which source, its bound now, why. Text is one line; borrowed until tt_close. */
struct tt_report {
    const char *source; /* as given */
    bool distrusted;    /* the clocks of other nodes contradict this one: see why */
    int64_t bound_ns;   /* half width now as the source says it; -1 void */
    int64_t age_ns;     /* since the source last reported */
    char why[128];
};
void tt_describe(struct tt *tt, struct tt_report *out);

/* Simulated source only: true time as the simulator has it, and this clock's error and bound (negative:
 * void). The interval stands still until the next call; before the first it is void. */
void tt_sim_set(struct tt *tt, tstamp true_now, int64_t error_ns, int64_t bound_ns);

#endif
