/*
 * tt_suspect.h - which clocks contradict each other, and whether this node may believe its own.
 *
 * What proves what. A message leaves before it arrives, so a sender whose earliest lies after the receiver's latest proves
 * that one of the two clocks has broken its bound; the receiver sees it. The other way round nothing is proved: the
 * message may have been under way for as long. But then what the receiver sends next arrives ahead at the first
 * node; so each tells the other what it saw, and a contradiction stands for both, whichever of them found it.
 *
 * The verdict. Clocks that keep their bounds never contradict each other, so as long as a majority of the nodes keeps its
 * bounds, a right clock agrees with a majority (itself included), and a clock that a majority contradicts is wrong. A
 * node distrusts its clock when somebody contradicts it and no majority agrees with it. It believes it again when a
 * majority does, each peer in TT_SUSPECT_AGREE reports in a row. What is silent vouches for nobody; a node that was
 * never heard of since this one started does not count.
 *
 * A stepped core, one per node: no I/O, no clock, no thread. The shell sends reports when it is told to, and hands in
 * what arrives. Memory: `out` is good until the next call. Invariants W7.. in timesvc/README.md.
 */
#ifndef MRD_TIMESVC_TT_SUSPECT_H
#define MRD_TIMESVC_TT_SUSPECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/ids.h"
#include "timesvc/tt.h"

enum {
    TT_SUSPECT_PEERS_MAX = 64,
    TT_SUSPECT_AGREE = 3, /* reports in a row that agree end a contradiction */
    TT_SUSPECT_REPORT_MS = 750,
    TT_SUSPECT_HURRY_MS = 200,  /* while anything is contradicted */
    TT_SUSPECT_MEMORY_MS = 3000 /* what was heard longer ago says nothing */
};

enum tt_peer_view {
    TT_PEER_UNKNOWN, /* silent, or one of the two clocks is void */
    TT_PEER_AGREES,
    TT_PEER_AHEAD, /* it is ahead of us, beyond both bounds */
    TT_PEER_BEHIND /* it found us ahead of it */
};

/* One node's clock as another one sees it. */
struct tt_pair {
    node_id node;
    enum tt_peer_view view;
    uint64_t contradictions; /* messages from it that were ahead of our latest */
    int64_t offset_ns; /* its clock minus ours, right within rtt_ns / 2; only if rtt_ns >= 0 */
    int64_t rtt_ns;    /* of the exchange that the offset is from; -1 none yet */
};

/* What a node tells its peers. Texts are cut where they are too long. */
struct tt_clock_report {
    uint64_t seq;           /* grows; (incarnation, counter) */
    struct tt_interval now; /* of the source, also while it is distrusted; may be void */
    uint64_t echo_seq;      /* the receiver's last report that was heard; 0 none */
    int64_t echo_held_ns;   /* how long ago that was */
    struct tt_interval echo_at;
    bool distrusted;
    char source[48];
    char why[128];
    int64_t bound_ns, age_ns; /* as struct tt_report */
    size_t n_pairs;
    struct tt_pair pairs[TT_SUSPECT_PEERS_MAX];
};

struct tt_suspect;

struct tt_suspect_options {
    node_id self;
    uint64_t incarnation; /* grows with every start; below 2^32 */
    const node_id *peers; /* copied; all of the cluster but self */
    size_t n_peers;
};

struct tt_suspect_in {
    enum { TT_SUSPECT_TICK, TT_SUSPECT_HEARD, TT_SUSPECT_REPORT } kind;
    struct tt_interval now; /* of the source, as is */
    int64_t mono_ns;
    /* HEARD: a message with an interval. REPORT: that, and what it says. */
    node_id from;
    struct tt_interval theirs; /* HEARD */
    struct tt_interval at;     /* ours when it arrived */
    int64_t arrived_mono_ns;
    const struct tt_clock_report *report; /* REPORT */
};

struct tt_suspect_out {
    const node_id *send; /* each is due a report: tt_suspect_compose, and send it */
    size_t n_send;
    int64_t wake_mono_ns;
    bool distrusted;      /* the own clock */
    bool changed;         /* distrusted did, in this step */
    bool contradicts_new; /* the contradiction with `from` is new */
    const char *why;      /* "contradicted by nodes 2, 3" */
};

struct tt_suspect *tt_suspect_new(const struct tt_suspect_options *opts, int64_t mono_ns);
void tt_suspect_free(struct tt_suspect *s); /* NULL is fine */
void tt_suspect_step(struct tt_suspect *s, const struct tt_suspect_in *in,
                     struct tt_suspect_out *out);
/* The report for `to`: all but distrusted, source, why, bound_ns and age_ns, which are the caller's to fill. */
void tt_suspect_compose(struct tt_suspect *s, node_id to, struct tt_interval now, int64_t mono_ns,
                        struct tt_clock_report *out);
/* The other nodes' clocks as this one sees them now; out has room for TT_SUSPECT_PEERS_MAX. */
size_t tt_suspect_pairs(const struct tt_suspect *s, int64_t mono_ns, struct tt_pair *out);
const char *tt_peer_view_name(enum tt_peer_view view);

void tt_clock_report_encode(struct buf *out, const struct tt_clock_report *r);
bool tt_clock_report_decode(struct rd *rd, struct tt_clock_report *out); /* false: malformed */

#endif
