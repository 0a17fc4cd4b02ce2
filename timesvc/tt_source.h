/*
 * tt_source.h - where a bound comes from: one question to the machine makes one sample and one report. For timesvc/.
 *
 * Sources: fixed (CLOCK_REALTIME is right within EPS because the operator says so), kernel (within ntp_adjtime's
 * maxerror), chrony (what chronyd reports), clockbound (what ClockBound's daemon publishes), and auto, which takes
 * the best of these that is there. What a report is worth is tt_bound's affair. `page` and `simulated` are parsed
 * here and have nobody to ask. Thread: a source belongs to its poller.
 */
#ifndef MRD_TIMESVC_TT_SOURCE_H
#define MRD_TIMESVC_TT_SOURCE_H

#include <stdbool.h>

#include "base/status.h"
#include "timesvc/tt_bound.h"

enum tt_source_kind {
    TT_FIXED,
    TT_KERNEL,
    TT_CHRONY,
    TT_CLOCKBOUND,
    TT_AUTO,
    TT_PAGE,
    TT_SIMULATED
};

enum {
    TT_WHERE_MAX = 108,
    TT_AUTO_PROBE_POLLS = 20 /* between looks for a better source than the one at hand */
};

struct tt_source_spec {
    enum tt_source_kind kind;
    int64_t eps_ns; /* fixed: as the operator says */
    char
        where[TT_WHERE_MAX]; /* chrony, clockbound, page: path or HOST:PORT; "": the usual places */
};

/* "fixed:200us" (units ns us ms s), "kernel", "chrony[:PATH|:HOST:PORT]", "clockbound[:PATH]", "auto",
 * "page:PATH", "simulated". ST_REJECT 22023 on anything else. */
enum status tt_source_parse(const char *text, struct tt_source_spec *out,
                            struct err *err) MRD_CHECKED;

struct tt_source;

/* auto asks around already here: up to TT_CHRONY_ASK_MS for each place. */
enum status tt_source_open(const struct tt_source_spec *spec, struct tt_source **out,
                           struct err *err) MRD_CHECKED;
void tt_source_close(struct tt_source *src);
/* Blocks for at most TT_CHRONY_ASK_MS, auto for twice that. True if another source answered than the last time. */
bool tt_source_ask(struct tt_source *src, struct tt_sample *out_clocks, struct tt_said *out_said);
/* The spec of the source that answered last, as "chrony:/run/chrony/chronyd.sock". Until the next question. */
const char *tt_source_via(const struct tt_source *src);
/* Why that one, or what its last answer was if it was none. Until the next question. */
const char *tt_source_note(const struct tt_source *src);

void tt_sample_take(struct tt_sample *out);

#endif
