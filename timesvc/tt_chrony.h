/*
 * tt_chrony.h - asking chronyd what it thinks of the clock: its command protocol, version 6, one command.
 *
 * Two halves. The codec makes a request and takes a reply apart; it is pure, and checks every byte. The client
 * sends it over chronyd's Unix socket (from a socket file of its own beside it, unlinked at the end) or over
 * UDP on loopback, and never waits longer than its deadline. No text of a tool is parsed.
 * Thread: a client belongs to one thread.
 */
#ifndef MRD_TIMESVC_TT_CHRONY_H
#define MRD_TIMESVC_TT_CHRONY_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "timesvc/tt_bound.h"

enum {
    TT_CHRONY_FRAME = 104,  /* bytes of a request and of a reply: padded to be no amplifier */
    TT_CHRONY_ASK_MS = 100, /* how long a client waits for an answer */
    TT_CHRONY_WHERE_MAX = 108
};
#define TT_CHRONY_SOCKET "/run/chrony/chronyd.sock"
#define TT_CHRONY_UDP    "127.0.0.1:323"

/* A tracking report, in our units. Offsets of the clock are positive if it is slow. */
struct tt_tracking {
    uint32_t ref_id; /* 0x7f7f0101: its own clock */
    int stratum;     /* 0 unsynchronised, 1..16 */
    int leap;        /* 0 none, 1 insert, 2 delete, 3 unsynchronised */
    int64_t ref_utc_ns;
    int64_t correction_ns;  /* of the clock, now */
    int64_t last_offset_ns; /* at the last measurement */
    int64_t rms_offset_ns;
    int64_t freq_ppb; /* positive: fast */
    int64_t residual_freq_ppb;
    int64_t skew_ppb;
    int64_t root_delay_ns;
    int64_t root_dispersion_ns;
    int64_t update_interval_ns;
};

void tt_chrony_encode(uint8_t out[TT_CHRONY_FRAME], uint32_t sequence, uint16_t attempt);
/* A reply to `sequence`. ST_RETRY: a reply to another request. ST_REJECT: 08P01 for a malformed one, 42501
 * or 08006 if chronyd itself declines. */
enum status tt_chrony_decode(const uint8_t *frame, size_t len, uint32_t sequence,
                             struct tt_tracking *out, struct err *err) MRD_CHECKED;
/* |correction| + root dispersion + root delay / 2, rounded up. */
int64_t tt_tracking_bound(const struct tt_tracking *t);
/* The report as the bound logic takes it: asked at asked_raw_ns, seen with the clock at clock_utc_ns. */
void tt_tracking_said(const struct tt_tracking *t, int64_t asked_raw_ns, int64_t clock_utc_ns,
                      struct tt_said *out);

struct tt_chrony;

/* where: an absolute path, or HOST:PORT with a loopback address. ST_REJECT 22023 on anything else. Asks nobody yet. */
enum status tt_chrony_open(const char *where, struct tt_chrony **out, struct err *err) MRD_CHECKED;
void tt_chrony_close(struct tt_chrony *c);
/* One question and its answer. ST_RETRY: none within wait_ns, or nobody there; ST_REJECT: as above, 42501 also if the
 * socket may not be used. */
enum status tt_chrony_ask(struct tt_chrony *c, int64_t wait_ns, struct tt_tracking *out,
                          struct err *err) MRD_CHECKED;

#endif
