/*
 * Rest: in a group where nothing happens nobody sends anything and nobody ticks.
 *
 * Why that is safe. Rest changes nothing of what a replica may do; it only leaves out heartbeats, their answers and
 * ticks, each of which the network or a scheduler might have lost or delayed just so. A leader that rests is told no
 * lease end meanwhile, so that none of its promises grows. Why it is live. The leader rests only when every peer holds
 * its whole log in the ballot and knows it chosen, so no heartbeat would tell a peer anything; or when what the peer
 * gave has lapsed, and then its return is a turn of support, which wakes. A follower rests only while it is bound: it
 * could not promise anybody else, whatever the silence. What ends that is the end of the epoch of support in which
 * it is bound, and that wakes it.
 */
#include "storage/paxos/paxos_int.h"

static bool nothing_under_way(const struct paxos *p)
{
    return p->o.may_rest && !tt_is_void(p->now) && !p->stopping && !p->handing && p->confirm == 0 &&
           p->load_kind == LOAD_NONE && p->chosen == p->log.last && p->durable == p->log.last &&
           p->write_seq == p->durable_seq;
}

/* A heartbeat would tell it nothing. */
static bool peer_rests(const struct paxos *p, const struct peer *peer)
{
    uint64_t epoch;
    tstamp until;

    if (!support_knows(p->sup, peer->node))
        return false;
    if (!support_received(p->sup, peer->node, &epoch, &until) || tt_passed(p->now, until))
        return true; /* away: its return is a turn of support */
    return peer->match == p->log.last && peer->knows == p->log.last && peer->n_flight == 0 &&
           peer->told_everywhere == p->everywhere && !peer->probing && !peer->wants_snapshot &&
           peer->clock == CLOCK_AGREES &&
           peer->preference <= p->self->preference && /* else leadership is for it, soon */
           (epoch == peer->epochs[0] || epoch == peer->epochs[1]);
}

bool px_leader_rests(const struct paxos *p)
{
    if (p->role != PAXOS_LEADER || px_raising(p) || !nothing_under_way(p) || !px_lease_holds(p) ||
        px_config(p)->joint || px_change_waits(p) || p->yield_to != 0 || p->told_before != 0)
        return false;
    for (size_t i = 0; i < p->n_peers; i++)
        if (&p->peers[i] != p->self && !peer_rests(p, &p->peers[i]))
            return false;
    return true;
}

bool px_follower_rests(const struct paxos *p)
{
    uint64_t epoch;

    return nothing_under_way(p) && !p->campaign && !p->to_release && p->eligible_mono == 0 &&
           p->leader != 0 && p->leader == p->hard.promised.node && p->leader != p->o.self &&
           !px_free(p) && support_given(p->sup, p->leader, p->now, &epoch) &&
           epoch == p->bound_epoch;
}
