/*
 * tt_clockbound.h - reading the shared memory page of ClockBound's daemon. Read-only.
 *
 * Layouts read: versions 1 and 2 of the "ClockBound Shared Memory Protocol" as its project documents them (the default
 * paths shm and shm0 below /var/run/clockbound); a page of any other version is refused. Its bound is of CLOCK_REALTIME,
 * its times are of CLOCK_MONOTONIC_COARSE. Nothing in the page is believed unseen. Thread: a reader belongs to one thread.
 */
#ifndef MRD_TIMESVC_TT_CLOCKBOUND_H
#define MRD_TIMESVC_TT_CLOCKBOUND_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "timesvc/tt_bound.h"

enum { TT_CLOCKBOUND_MAX = 96 }; /* bytes of the longest layout */
#define TT_CLOCKBOUND_PATH "/var/run/clockbound/shm0"

/* A page as bytes, read whole, at one moment of two clocks. Never fails: an odd page makes an odd answer. */
void tt_clockbound_decode(const uint8_t *page, size_t len, int64_t monotonic_ns, int64_t raw_ns,
                          struct tt_said *out);

struct tt_clockbound;

/* Does not look yet. ST_REJECT 22023 if the path is too long. */
enum status tt_clockbound_open(const char *path, struct tt_clockbound **out,
                               struct err *err) MRD_CHECKED;
void tt_clockbound_close(struct tt_clockbound *c);
/* *out_note: what is wrong with the page, or NULL. Static storage. */
void tt_clockbound_ask(struct tt_clockbound *c, struct tt_said *out, const char **out_note);

#endif
