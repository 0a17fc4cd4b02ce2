/*
 * What a leader may conclude from support and clocks: the end of its lease, and the time that has
 * surely passed for a majority.
 *
 * Why leases of one group are disjoint. A lease end E is the quorum-th largest end of support, so a quorum of
 * voters each gave support that reaches to E or beyond, in an epoch in which it had promised this ballot. Another
 * candidate's quorum shares a voter with that one. That voter promised it only after its own clock said that
 * all support it ever gave to this owner had passed (or on the owner's release, which follows the end of all that
 * was said). So true time was beyond E when the promise was made, and the new leader's start, taken later as its
 * clock's latest, is above E.
 */
#include "base/check.h"
#include "storage/paxos/paxos_int.h"

enum {
    DRIFT_SHIFT = 12, /* aged time is worth 1/4096 less: more than any monotonic clock drifts */
    FRESH_HEARTBEATS = 8
};

void px_note_epoch(struct peer *peer, uint64_t epoch)
{
    if (epoch == 0 || epoch == peer->epochs[0] || epoch == peer->epochs[1])
        return;
    peer->epochs[1] = peer->epochs[0];
    peer->epochs[0] = epoch;
}

bool px_contradicts(const struct paxos *p, struct tt_interval other)
{
    return !tt_is_void(other) && !tt_is_void(p->now) &&
           other.earliest > p->now.latest + p->o.contradiction_cap_ns;
}

static tstamp aged(const struct paxos *p, const struct peer *peer)
{
    int64_t age = p->mono - peer->earliest_mono;

    return peer->earliest + age - (age >> DRIFT_SHIFT);
}

void px_note_clock(struct paxos *p, struct peer *peer, const struct paxos_msg *m)
{
    int64_t arrived = m->mono_ns > 0 && m->mono_ns < p->mono ? m->mono_ns : p->mono;

    if (tt_is_void(m->time) || px_contradicts(p, m->time)) {
        /* Counts for durability only: neither as clock nor as support. */
        peer->clock = CLOCK_DISAGREES;
        peer->epochs[0] = peer->epochs[1] = 0;
        return;
    }
    px_note_epoch(peer, m->epoch);
    if (peer->clock != CLOCK_AGREES || m->time.earliest + (p->mono - arrived) > aged(p, peer)) {
        peer->earliest = m->time.earliest;
        peer->earliest_mono = arrived;
    }
    peer->clock = CLOCK_AGREES;
}

/* What a voter's clock said, aged, it would at least say now. If ours lies before that, one of the two has broken its
 * bound since, and nobody needs to send a message for us to know: a clock that stepped back is found in the very step
 * that would have used it. */
static void recheck_clocks(struct paxos *p)
{
    for (size_t i = 0; i < p->n_peers; i++) {
        struct peer *peer = &p->peers[i];

        if (peer == p->self || peer->clock != CLOCK_AGREES || tt_is_void(p->now) ||
            aged(p, peer) <= p->now.latest + p->o.contradiction_cap_ns)
            continue;
        peer->clock = CLOCK_DISAGREES;
        peer->epochs[0] = peer->epochs[1] = 0;
    }
}

/* End of support that counts for this ballot; 0: none. */
static tstamp support_until(const struct paxos *p, const struct peer *peer)
{
    uint64_t epoch;
    tstamp until;

    if (!support_received(p->sup, peer->node, &epoch, &until))
        return 0;
    if (peer == p->self || epoch == peer->epochs[0] || epoch == peer->epochs[1] ||
        MUTATED(&p->o, voter_in_any_epoch))
        return until;
    return 0;
}

/* Support is relied on by the own clock, and every timestamp is at or below the lease's end. A clock that jumped ahead
 * would put its jump into the log, and whoever leads next would have to wait for that time to come. */
static void cap_lease(struct paxos *p)
{
    tstamp cap = p->agreed == 0 ? 0 : p->agreed + p->o.lease_cap_ns;

    if (p->o.lease_cap_ns != 0 && p->lease_end > cap)
        p->lease_end = cap;
}

static bool fresh(const struct paxos *p, const struct peer *peer)
{
    return p->mono - peer->heard_mono <= FRESH_HEARTBEATS * p->o.heartbeat_ns;
}

void px_lease(struct paxos *p)
{
    tstamp ends[PEERS_MAX], clocks[PEERS_MAX] = {0};
    tstamp own = support_until(p, p->self), counted;

    recheck_clocks(p);
    for (size_t i = 0; i < p->n_peers; i++) {
        const struct peer *peer = &p->peers[i];

        ends[i] = support_until(p, peer);
        if (peer == p->self)
            clocks[i] = p->now.earliest;
        else if (peer->clock == CLOCK_AGREES && fresh(p, peer))
            clocks[i] = aged(p, peer);
    }
    /* L8: the own support ends when this node cannot sync, and the lease with it. */
    counted = px_quorum(p, ends, MUTATED(&p->o, lease_by_minority));
    p->lease_end = counted < own ? counted : own;
    p->agreed = px_quorum(p, clocks, 0);
    cap_lease(p);
    if (p->role == PAXOS_LEADER && p->lease_end > p->lease_max)
        p->lease_max = p->lease_end;
}

bool px_lease_holds(const struct paxos *p)
{
    return !tt_is_void(p->now) && p->lease_end > p->now.latest;
}

bool px_clocks_lost(const struct paxos *p)
{
    int64_t agrees[PEERS_MAX];

    for (size_t i = 0; i < p->n_peers; i++)
        agrees[i] = p->peers[i].clock != CLOCK_DISAGREES || !fresh(p, &p->peers[i]);
    return px_quorum(p, agrees, 0) == 0;
}
