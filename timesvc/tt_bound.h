/*
 * tt_bound.h - the logic of the bound: reports of a source go in, a mapping MONOTONIC_RAW -> UTC comes out.
 *
 * A protocol core: stepped, without I/O, clock, thread or global. Everything that it knows of the world is the
 * two arguments of a step: what the clocks of this machine read, and what the source said about them. All
 * distrust lives here; README.md (W1..W4, W9..W11) says what it holds to. Thread: one owner at a time.
 */
#ifndef MRD_TIMESVC_TT_BOUND_H
#define MRD_TIMESVC_TT_BOUND_H

#include <stdbool.h>
#include <stdint.h>

#include "timesvc/tt_page.h"

enum {
    TT_POLL_MS = 250,
    TT_POLL_SOON_MS = 150, /* twice between measurements that are 250 ms apart, now and then */
    TT_CURIOUS_POLLS = 40,
    TT_VOID_MS = 10000, /* a mapping that no usable report kept alive says nothing after so long */
    TT_DRIFT_PPB = 50000,      /* default: worst rate error beyond what the source itself admits */
    TT_DRIFT_MAX_PPB = 500000, /* no oscillator of a computer is worse */
    TT_BOUND_MAX_MS = 10000,   /* a wider bound is void */
    TT_HOLD_REPORTS = 4, /* fresh reports after a contradiction, before time is believed again */
    TT_REF_OLD_MS = 1000000, /* a reference measured longer ago is none ... */
    TT_REF_OLD_UPDATES = 8, /* ... unless it was never measured more often than an eighth of that */
    TT_REF_LATE_MS = 4000,  /* no reference is called late before that */
    TT_LEAP_GUARD_MS = 2000 /* no time so close to an announced leap second, on either side */
};

enum tt_leap { TT_LEAP_NONE, TT_LEAP_INSERT, TT_LEAP_DELETE };

/* The clocks of this machine and the kernel's opinion, read at about one moment. */
struct tt_sample {
    int64_t raw_ns;       /* MONOTONIC_RAW, middle of two readings around the next one */
    int64_t utc_ns;       /* CLOCK_REALTIME */
    int64_t suspended_ns; /* BOOTTIME - MONOTONIC: grows when the machine slept */
    int64_t width_ns;     /* raw_ns is right within this */
    int64_t freq_ppb;    /* how much faster than MONOTONIC_RAW the kernel lets CLOCK_REALTIME run */
    int64_t maxerror_ns; /* the kernel's bound; negative: unsynchronised */
    enum tt_leap leap;   /* announced to the kernel */
};

enum tt_answer {
    TT_SAYS_NOTHING,   /* it is not there, or it is silent */
    TT_SAYS_REFUSED,   /* it may not be asked, or will not answer */
    TT_SAYS_GARBAGE,   /* an answer that breaks its own protocol */
    TT_SAYS_UNSYNC,    /* it knows that it does not know the time */
    TT_SAYS_LOCAL,     /* its reference is the very clock that it is asked about */
    TT_SAYS_DISRUPTED, /* the machine was moved or stopped under it */
    TT_SAYS_BOUND      /* CLOCK_REALTIME is right within bound_ns */
};

/* One report. Only `answer` counts unless it is TT_SAYS_BOUND. */
struct tt_said {
    enum tt_answer answer;
    int64_t as_of_raw_ns; /* it was true at this MONOTONIC_RAW reading, or later */
    int64_t bound_ns;     /* |CLOCK_REALTIME - true time| then */
    int64_t drift_ppb;    /* how fast that grows, by the source's own reckoning */
    int64_t good_for_ns;  /* it says nothing so long after as_of; 0: it does not say */
    bool has_ref;         /* the rest is told: when and against what the clock was measured */
    uint64_t update_id;   /* changes whenever it has taken a new measurement into account */
    int64_t ref_age_ns;   /* of the measurement that its estimate begins at; negative: a lie */
    int64_t ref_every_ns; /* between its measurements */
    int64_t
        ref_error_ns; /* the part of bound_ns that grows since then; the source's own allowance shows in it */
    bool has_freq;    /* freq_ppb is told, too */
    int64_t freq_ppb; /* how much too fast the uncorrected clock runs */
    uint32_t ref_id;
    int stratum;
    enum tt_leap leap; /* announced by the reference */
};

/* Why time is what it is. The first ones come with an interval. */
enum tt_verdict {
    TT_OK_WORD,    /* what the operator or the kernel says */
    TT_OK_FRESH,   /* the reference was measured since the last poll, or just before */
    TT_OK_HELD,    /* no new measurement: the last one, growing */
    TT_OK_LATE,    /* the same, and the next measurement is overdue */
    TT_OK_MOVED,   /* the clock moved without a reason: widened by as much */
    TT_OK_SILENT,  /* no answer: the last report, growing until it is void */
    TT_OK_UNSYNC,  /* not synchronised: likewise */
    TT_OK_BAD,     /* the report cannot be used: likewise */
    TT_VOID_NEVER, /* first of the void ones: no report yet */
    TT_VOID_SILENT,
    TT_VOID_REFUSED,
    TT_VOID_GARBAGE,
    TT_VOID_UNSYNC,
    TT_VOID_LOCAL,
    TT_VOID_DISRUPTED,
    TT_VOID_OLD,     /* the reference was measured too long ago */
    TT_VOID_FUTURE,  /* the reference was measured in the future, or the report is about it */
    TT_VOID_WIDE,    /* bounded, but not by anything of use */
    TT_VOID_STEPPED, /* reports contradict each other: one of them was a lie */
    TT_VOID_SLEPT,   /* the machine was suspended */
    TT_VOID_LEAP     /* a leap second is near */
};
enum { TT_N_VERDICTS = TT_VOID_LEAP + 1 };

static inline bool tt_verdict_is_void(enum tt_verdict v)
{
    return v >= TT_VOID_NEVER;
}

/* For people, in few words; begins with "void" if it is. Static storage. */
const char *tt_verdict_text(enum tt_verdict v);

/* Counts for metrics and for people. */
struct tt_bound_counts {
    uint64_t reports;  /* usable ones */
    uint64_t fresh;    /* those with a new measurement */
    uint64_t unusable; /* all other answers, silence included */
    uint64_t restarts; /* the source came back */
    uint64_t steps;    /* contradictions, suspends, unexplained movements */
};

struct tt_bound {
    int64_t drift_ppb;     /* stated worst rate error */
    struct tt_map map;     /* what is believed; bound_ns < 0: nothing */
    struct tt_map last;    /* what the last adopted report said, believed or not */
    struct tt_sample seen; /* the sample of the last step */
    bool has_seen;
    bool has_ref;
    bool was_usable;       /* the last report; true before the first */
    enum tt_verdict event; /* why `hold` was set */
    int hold;              /* fresh reports to go until time is believed again */
    uint64_t update_id;    /* of the last usable report with a reference */
    int64_t ref_raw_ns;    /* when the measurement was made that its estimate begins at */
    uint32_t ref_id;       /* against what */
    int stratum;           /* of that */
    int64_t allowed_ppb;   /* drift that the source itself adds since its measurement, as seen */
    bool allowed_known;
    int curious;           /* polls to go that come early, in order to learn it */
    struct tt_said before; /* the last usable report */
    int64_t moved_ns;      /* movement of CLOCK_REALTIME that nothing explains ... */
    int moved_reports;     /* ... and fresh reports to go until it is forgiven */
    int64_t leap_utc_ns;   /* the midnight of an announced leap second; 0 none */
    int64_t said_ns;       /* the bound of the last usable report, as it came; -1 none */
    int64_t said_raw_ns;   /* and when */
    struct tt_bound_counts counts;
};

/* drift_ppb: stated worst rate error of the clock beyond what its source admits; 0: TT_DRIFT_PPB. */
void tt_bound_init(struct tt_bound *b, int64_t drift_ppb);
/* Another source reports from now on. What the earlier one said still has to agree with it. */
void tt_bound_new_source(struct tt_bound *b);
/* What the page shall say from now on; *out_verdict: why. Samples come in the order of raw_ns. */
void tt_bound_step(struct tt_bound *b, const struct tt_sample *clocks, const struct tt_said *said,
                   struct tt_map *out, enum tt_verdict *out_verdict);

/* True if the next step should come after TT_POLL_SOON_MS: there is something to learn about the source. */
bool tt_bound_is_curious(const struct tt_bound *b);

#endif
