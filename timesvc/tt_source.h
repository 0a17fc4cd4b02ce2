/*
 * tt_source.h - where a bound comes from: one reading of a source makes one mapping. For timesvc/.
 *
 * Sources: fixed (CLOCK_REALTIME is right within EPS because the operator says so) and kernel
 * (CLOCK_REALTIME is right within ntp_adjtime's maxerror). Simulated time has no source: it is set.
 * Distrust lives here: an unsynchronised kernel, a stepped clock and a suspended machine each make the
 * mapping void until readings have agreed for a while. Thread: a source belongs to its poller.
 */
#ifndef MRD_TIMESVC_TT_SOURCE_H
#define MRD_TIMESVC_TT_SOURCE_H

#include <stdbool.h>

#include "base/status.h"
#include "timesvc/tt_page.h"

enum tt_source_kind { TT_FIXED, TT_KERNEL, TT_SIMULATED };

enum {
    TT_POLL_MS = 250,
    TT_VOID_MS = 10000,      /* a mapping that nobody replaced says nothing after so long */
    TT_DRIFT_PPB = 50000,    /* worst error of a rate between polls */
    TT_BOUND_MAX_MS = 10000, /* a wider bound is void */
    TT_STEP_HOLD_POLLS = 4   /* agreeing polls after a step, before time is believed again */
};

/* The three clocks and the kernel's opinion, read at about one moment; tests make their own. */
struct tt_sample {
    int64_t raw_ns;       /* MONOTONIC_RAW, middle of two readings around the next one */
    int64_t utc_ns;       /* CLOCK_REALTIME */
    int64_t suspended_ns; /* BOOTTIME - MONOTONIC: grows when the machine slept */
    int64_t width_ns;     /* raw_ns is right within this */
    int64_t freq_ppb;     /* the kernel's correction of the oscillator */
    int64_t maxerror_ns;  /* the kernel's bound; negative: unsynchronised */
};

struct tt_source {
    enum tt_source_kind kind;
    int64_t eps_ns;     /* fixed: as the operator says */
    bool has_last;      /* last and last_suspended are from an earlier poll */
    int hold;           /* polls to go until time is believed again */
    struct tt_map last; /* what the last sample said, believed or not */
    int64_t last_suspended_ns;
};

/* "fixed:200us" (units ns us ms s), "kernel", "simulated". ST_REJECT 22023 on anything else. */
enum status tt_source_parse(const char *spec, struct tt_source *out, struct err *err) MRD_CHECKED;
void tt_sample_take(struct tt_sample *out);
/* The mapping that a sample stands for; *out_why says in a few words why it is void, or how the
 * bound came to be. Static storage. */
void tt_source_step(struct tt_source *src, const struct tt_sample *in, struct tt_map *out,
                    const char **out_why);

#endif
