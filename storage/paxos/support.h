/*
 * support.h - leases between pairs of nodes: who supports whom, in which epoch, until when.
 *
 * A stepped core, one per node, shared by all its groups. Node A asks B for support and notes its
 * own earliest before it sends; B extends its support of A's incarnation to B.latest + lease, or, if
 * the support it gave has lapsed, ends that epoch for good and starts the next one. A may rely on the
 * answer until (noted earliest + lease), which is never later than B's own end (Spanner 4.1.1,
 * appendix A; SPANNER-RULES L1-L8). A group counts a voter only in the epoch in which that voter
 * promised or reconfirmed the group's ballot (paxos.h).
 *
 * Support is asked for in bulk, one message per pair of nodes for all groups, and given only after a
 * recent successful sync of the log (L8). It lives in memory: a node that has just started is quiet
 * (support_quiet) until every support that it may have given before has surely lapsed.
 *
 * No I/O, no clock, no thread, no global. Invariants: S1.. in storage/paxos/README.md.
 */
#ifndef MRD_STORAGE_PAXOS_SUPPORT_H
#define MRD_STORAGE_PAXOS_SUPPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"
#include "base/ids.h"
#include "storage/mutant.h"
#include "timesvc/tt.h"

enum { SUPPORT_PEERS_MAX = 64 };

struct support;

struct support_options {
    node_id self;
    uint64_t incarnation; /* grows with every start */
    const node_id *peers; /* other nodes; copied */
    size_t n_peers;
    int64_t lease_ns;         /* length given and asked for; 2 s by default */
    int64_t renew_ns;         /* ask again this long after the last request; lease / 4 */
    int64_t sync_age_max_ns;  /* support is given only if a sync succeeded so recently; lease */
    bool store_is_new;        /* never ran before: it can have given nothing, so it is not quiet */
    int64_t longest_lease_ns; /* longest that this cluster was ever configured with */
    int64_t bound_cap_ns;     /* largest clock bound that is accepted at all */
    MUTANT_FIELD
};

enum support_kind { SUPPORT_REQUEST = 1, SUPPORT_GRANT };

struct support_msg {
    enum support_kind kind;
    node_id from;
    uint64_t incarnation;    /* the sender's */
    uint64_t to_incarnation; /* GRANT: the incarnation that is supported */
    uint64_t nonce;          /* REQUEST; echoed by GRANT */
    uint64_t epoch;          /* GRANT */
    int64_t lease_ns;        /* GRANT: length that was given */
};

struct support_in {
    enum { SUPPORT_IN_TICK, SUPPORT_IN_MESSAGE, SUPPORT_IN_SYNCED } kind;
    struct tt_interval now; /* may be void: then nothing is given and nothing is believed */
    int64_t mono_ns;
    struct support_msg msg; /* MESSAGE */
};

struct support_send {
    node_id to;
    struct support_msg msg;
};

struct support_out {
    const struct support_send *send; /* good until the next step */
    size_t n_send;
    int64_t wake_mono_ns; /* want a TICK no later than this */
    bool want_sync;       /* nothing was synced for a while: the shell should sync a small record */
};

struct support *support_new(const struct support_options *opts, struct tt_interval now,
                            int64_t mono_ns);
void support_free(struct support *s);
/* A node that has joined. False: it is known already, or SUPPORT_PEERS_MAX are. Whoever has left may stay: it is asked,
 * and does not answer. */
bool support_add_peer(struct support *s, node_id node);
/* Does anybody here lead, or try to? While nobody does, nothing is asked for: whoever begins asks then, and the step
 * that follows is due at once. True at first. */
void support_want(struct support *s, bool wanted);
void support_step(struct support *s, const struct support_in *in, struct support_out *out);

/* Quiet after a start: neither lead, nor promise to anyone but the recorded owner. */
bool support_quiet(struct support *s, struct tt_interval now);
tstamp
support_quiet_until(const struct support *s); /* 0: not quiet; TSTAMP_MAX: time was void so far */

/* What this node gave to `peer`: its current epoch; false if there is none or it has lapsed. A lapse
 * seen here ends the epoch for good, so the answer "lapsed" may be acted upon. Self counts as a peer
 * that always supports itself while it is able to sync. */
bool support_given(struct support *s, node_id peer, struct tt_interval now, uint64_t *out_epoch);
/* True if what was given to peer up to that epoch (0: nothing) can no longer be relied on. What an earlier
 * start of this node gave counts too: false while quiet. A later epoch, which a restarted peer has, does not. */
bool support_lapsed(struct support *s, node_id peer, uint64_t epoch, struct tt_interval now,
                    int64_t mono_ns);
/* When that will be the case if nothing more is given (0: at once): for timers only. */
tstamp support_lapses_at(const struct support *s, node_id peer, uint64_t epoch);

/* What `peer` gave to this node: epoch, and the end up to which it may be relied on. False: none. */
bool support_received(const struct support *s, node_id peer, uint64_t *out_epoch,
                      tstamp *out_until);

#ifdef MRD_MUTANTS
/* For the search of small worlds (tests/sim): an equal object, and all that it remembers. */
struct support *support_clone(const struct support *s);
void support_memory(const struct support *s, void (*take)(void *arg, const void *ptr, size_t len),
                    void *arg);
#endif

bool support_knows(const struct support *s, node_id peer); /* it is asked, when anything is */

void support_msg_encode(struct buf *out, const struct support_msg *m);
bool support_msg_decode(struct rd *r, struct support_msg *m); /* false: malformed */

#endif
