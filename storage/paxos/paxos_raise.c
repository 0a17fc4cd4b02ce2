/*
 * A leader raises its ballot in place.
 *
 * A voter may have promised a higher ballot to a candidate that then failed; it will not take this leader's accepts any
 * more. The leader runs phase 1 again, with a ballot of its own above that, and goes on leading: its voters promise
 * the same owner at once, what they gave it stays given, so lease, term and timestamps continue. Until the quorum is
 * there it proposes nothing. If a promise shows a better log than its own, somebody else has led: then it is over.
 */
#include "base/check.h"
#include "storage/paxos/paxos_int.h"

enum { GIVEUP_ELECTIONS = 4 };

bool px_raising(const struct paxos *p)
{
    return p->raise.round != 0;
}

void px_raise(struct paxos *p)
{
    struct ballot b = {p->max_round + 1, p->o.self};

    ASSERT(p->role == PAXOS_LEADER);
    if (px_raising(p) || p->chosen < p->own_first || p->stopping || p->handing)
        return;
    px_trace(p, "n%u raises its ballot to %llu.%u", p->o.self, (unsigned long long)b.round, b.node);
    px_note_round(p, b);
    px_promise(p, b);
    p->raise = b;
    p->phase_until_mono = p->mono + GIVEUP_ELECTIONS * p->o.election_max_ns;
    for (size_t i = 0; i < p->n_peers; i++) {
        p->peers[i].willing = false;
        p->peers[i].prepared_mono = p->mono - p->o.resend_ns;
    }
}

static bool better_log(const struct paxos *p, const struct peer *peer)
{
    int c = ballot_cmp(peer->last_ballot, plog_ballot(&p->log, p->log.last));

    return c > 0 || (c == 0 && peer->last > p->log.last);
}

void px_raise_promised(struct paxos *p, struct peer *peer, const struct paxos_msg *m)
{
    if (peer->willing || ballot_cmp(m->last, p->raise) >= 0)
        return;
    peer->willing = true;
    peer->last = m->slot;
    peer->last_ballot = m->last;
    if (better_log(p, peer))
        px_step_down(p, "another has led", 0);
}

static void send_prepares(struct paxos *p)
{
    struct paxos_msg m = {.kind = PAXOS_PREPARE,
                          .ballot = p->raise,
                          .slot = p->log.last,
                          .last = plog_ballot(&p->log, p->log.last)};

    if (p->hard_seq > p->durable_seq && p->hard_seq != p->step_write)
        return; /* they wait for the sync already */
    for (size_t i = 0; i < p->n_peers; i++) {
        struct peer *peer = &p->peers[i];

        if (peer == p->self || !px_votes(peer) || peer->willing ||
            p->mono - peer->prepared_mono < p->o.resend_ns)
            continue;
        peer->prepared_mono = p->mono;
        px_send(p, peer->node, m, p->hard_seq > p->durable_seq ? p->hard_seq : 0);
    }
}

/* Each step of a leader that is raising. What each voter holds of this log it holds under any ballot. */
void px_raise_step(struct paxos *p)
{
    p->self->willing = p->hard_seq <= p->durable_seq; /* P5 */
    if (px_quorum_willing(p)) {
        p->ballot = p->raise;
        p->raise = (struct ballot){0, 0};
        px_lead_entry(p);
        for (size_t i = 0; i < p->n_peers; i++) {
            p->peers[i].n_flight = 0;
            p->peers[i].next = p->peers[i].match != 0 ? p->peers[i].match + 1 : p->own_first;
        }
        return;
    }
    if (p->mono >= p->phase_until_mono)
        px_step_down(p, "no quorum for a higher ballot", 0);
    else
        send_prepares(p);
}
