/*
 * A leader changes the group: its configuration, and who leads it.
 *
 * A configuration is in force from the slot that carries it, also while it is not chosen. Two that follow each other
 * share a voter in every pair of quorums: they differ in one voter, or one of them is joint with the other. So a change waits
 * for three things: everything before it is chosen; the one before it is chosen; and the lease that was told under the one
 * before that rests on a quorum of the present one too. The third is what keeps leases apart: a candidate may win by a
 * quorum of the next configuration, which knows nothing of support that a quorum of the last but one gave.
 */
#include <stdio.h>

#include "base/check.h"
#include "storage/paxos/paxos_int.h"

/* Who leads for less long than this is not asked to hand over again. */
enum { YIELD_ELECTIONS = 2, ANSWER_HEARTBEATS = 2 };

static bool answers(const struct paxos *p, const struct peer *peer)
{
    return p->mono - peer->heard_mono <= ANSWER_HEARTBEATS * p->o.heartbeat_ns + p->o.resend_ns;
}

static bool keeps_up(const struct paxos *p, const struct peer *peer, slot_no within)
{
    if (peer == p->self)
        return p->durable + within >= p->chosen;
    return answers(p, peer) && !peer->wants_snapshot && peer->match != 0 &&
           peer->match + within >= p->chosen;
}

static bool settled(const struct paxos *p)
{
    return (px_config_slot(p) <= p->chosen || MUTATED(&p->o, change_before_the_last_is_chosen)) &&
           (p->told_before == 0 || MUTATED(&p->o, change_before_lease_reaches));
}

bool px_change_waits(const struct paxos *p)
{
    return p->change.n != 0;
}

bool px_will_vote(const struct paxos *p, node_id node)
{
    return px_change_waits(p) && paxos_config_votes(&p->change, node);
}

/* A voter with data must not need what a witness has dropped, or might have. */
static bool spares_witnesses(const struct paxos *p, const struct peer *peer)
{
    for (size_t i = 0; i < p->n_peers; i++)
        if (p->peers[i].witness && px_votes(&p->peers[i]) && p->peers[i].match == 0)
            return false; /* it has not said yet */
    return (peer == p->self ? p->durable : peer->match) >= p->kept_all;
}

/* P16: some voter with data of the next configuration knows that it has a vote: from its log, which is durable up to the
 * present configuration. Else, were this leader gone, nobody might campaign. */
static bool somebody_can_lead(const struct paxos *p, const struct paxos_config *next)
{
    for (size_t i = 0; i < p->n_peers; i++) {
        const struct peer *peer = &p->peers[i];
        const struct paxos_member *m = paxos_config_find(next, peer->node);

        if (m != NULL && m->part == PAXOS_PART_VOTER && !m->witness && px_votes(peer) &&
            (peer == p->self ? p->durable : peer->match) >= px_config_slot(p))
            return true;
    }
    return false;
}

/* How many voters come or go. */
static size_t count_changes(const struct paxos_config *have, const struct paxos_config *want)
{
    size_t n = 0;

    for (size_t i = 0; i < have->n; i++) {
        const struct paxos_member *m = paxos_config_find(want, have->members[i].node);

        n +=
            have->members[i].part == PAXOS_PART_VOTER && (m == NULL || m->part != PAXOS_PART_VOTER);
    }
    for (size_t i = 0; i < want->n; i++) {
        const struct paxos_member *m = paxos_config_find(have, want->members[i].node);

        n +=
            want->members[i].part == PAXOS_PART_VOTER && (m == NULL || m->part != PAXOS_PART_VOTER);
    }
    return n;
}

/* Voters that come must have caught up; and of the voters that are wanted a quorum must be with us, or the change
 * would be the last thing this group does. */
static enum paxos_verdict judge(struct paxos *p, const struct paxos_config *want)
{
    const struct paxos_config *have = px_config(p);
    slot_no catch_up = p->o.catch_up_slots != 0 ? p->o.catch_up_slots : CATCH_UP_SLOTS;
    size_t up = 0;

    for (size_t i = 0; i < want->n; i++) {
        const struct paxos_member *m = &want->members[i];
        const struct paxos_member *old = paxos_config_find(have, m->node);
        const struct peer *peer = px_peer(p, m->node);

        if (old != NULL && old->witness != m->witness)
            return PAXOS_FLAWED;
        if (m->part != PAXOS_PART_VOTER)
            continue;
        if (old == NULL || peer == NULL)
            return PAXOS_BEHIND;
        if (old->part != PAXOS_PART_VOTER && !m->witness && !spares_witnesses(p, peer) &&
            !MUTATED(&p->o, promote_before_catch_up))
            return PAXOS_BEHIND;
        if (keeps_up(p, peer, catch_up) || MUTATED(&p->o, promote_before_catch_up))
            up++;
        else if (old->part != PAXOS_PART_VOTER)
            return PAXOS_BEHIND;
    }
    return up > paxos_config_voters(want) / 2 ? PAXOS_TAKEN : PAXOS_BEHIND;
}

/* Voters of either side, and the learners of the new one. False: too many. */
static bool make_joint(const struct paxos_config *have, const struct paxos_config *want,
                       struct paxos_config *out)
{
    *out = *want;
    out->joint = true;
    for (size_t i = 0; i < have->n; i++) {
        const struct paxos_member *old = &have->members[i];
        size_t k = 0;

        if (old->part != PAXOS_PART_VOTER)
            continue;
        while (k < out->n && out->members[k].node != old->node)
            k++;
        if (k == PAXOS_MEMBERS_MAX)
            return false;
        if (k == out->n) {
            out->members[out->n++] = *old;
            out->members[k].part = PAXOS_PART_NONE;
        }
        out->members[k].old_part = PAXOS_PART_VOTER;
    }
    return true;
}

static enum paxos_verdict plan(struct paxos *p, const struct paxos_config *want)
{
    enum paxos_verdict v;

    if (p->role != PAXOS_LEADER)
        return PAXOS_NOT_LEADER;
    if (want->joint || want->n == 0 || paxos_config_flaw(want) != NULL)
        return PAXOS_FLAWED;
    if (paxos_config_equal(want, px_config(p)))
        return PAXOS_TAKEN;
    if (p->stopping || p->handing || px_raising(p) || px_change_waits(p) || !settled(p) ||
        px_config(p)->joint)
        return PAXOS_BUSY;
    v = judge(p, want);
    if (v != PAXOS_TAKEN)
        return v;
    if (count_changes(px_config(p), want) <= 1 && !somebody_can_lead(p, want))
        v = PAXOS_BEHIND;
    else if (count_changes(px_config(p), want) <= 1)
        p->change = *want;
    else if (!make_joint(px_config(p), want, &p->change))
        v = PAXOS_FLAWED;
    return v;
}

void px_on_reconfigure(struct paxos *p, const struct paxos_config *want)
{
    p->verdict = plan(p, want);
}

/* Members as people read them: V votes, L learns, w has no data; of a joint one old and new. */
static void trace_change(struct paxos *p, const struct paxos_config *c)
{
    static const char parts[] = "-LV";
    char text[PAXOS_MEMBERS_MAX * 12];
    size_t len = 0;

    for (size_t i = 0; i < c->n && len + 16 < sizeof text; i++) {
        const struct paxos_member *m = &c->members[i];
        int n = snprintf(text + len, sizeof text - len, " %u:%s%c%s", m->node,
                         !c->joint                         ? ""
                         : m->old_part == PAXOS_PART_VOTER ? "V"
                                                           : "-",
                         parts[m->part], m->witness ? "w" : "");

        len += n > 0 ? (size_t)n : 0;
    }
    text[len] = '\0';
    px_trace(p, "n%u proposes a configuration of %zu members, %zu voters%s, in slot %llu:%s",
             p->o.self, c->n, paxos_config_voters(c), c->joint ? ", joint" : "",
             (unsigned long long)p->log.last + 1, text);
}

static void propose_change(struct paxos *p)
{
    struct paxos_config c = p->change;

    ASSERT(settled(p)); /* P14 */
    p->change.n = 0;
    p->told_before = p->lease_max;
    trace_change(p, &c);
    px_append_config(p, &c);
    px_lease(p); /* by the quorum of this one from here on */
}

/* Out of a joint configuration: its new side alone. */
static void leave_joint(struct paxos *p)
{
    const struct paxos_config *c = px_config(p);

    p->change = (struct paxos_config){.joint = false};
    for (size_t i = 0; i < c->n; i++) {
        struct paxos_member m = c->members[i];

        m.old_part = PAXOS_PART_NONE;
        if (m.part != PAXOS_PART_NONE)
            p->change.members[p->change.n++] = m;
    }
}

/* The lead. */

/* Who should lead instead: somebody preferred, or, if this replica has no vote, whoever may. */
static node_id better_leader(const struct paxos *p)
{
    int mine = px_data_voter(p->self) ? p->self->preference : -1;
    const struct peer *best = NULL;

    if (!settled(p) || px_config(p)->joint || px_change_waits(p) ||
        p->mono - p->led_mono < YIELD_ELECTIONS * p->o.election_max_ns)
        return 0;
    for (size_t i = 0; i < p->n_peers; i++) {
        const struct peer *peer = &p->peers[i];

        if (!px_data_voter(peer) || peer->preference <= mine || peer == p->self ||
            !keeps_up(p, peer, HAND_OVER_SLOTS))
            continue;
        if (best == NULL || peer->preference > best->preference ||
            (peer->preference == best->preference && peer->match > best->match))
            best = peer;
    }
    return best == NULL ? 0 : best->node;
}

void px_change_step(struct paxos *p)
{
    if (p->told_before != 0 &&
        (p->lease_end >= p->told_before || tt_passed(p->now, p->told_before)))
        p->told_before = 0;
    px_drop_gone(p);
    p->yield_to = 0;
    if (px_raising(p) || p->stopping || p->handing)
        return;
    if (px_config(p)->joint && settled(p) && !px_change_waits(p) &&
        somebody_can_lead(p, px_config(p)))
        leave_joint(p);
    if (px_change_waits(p) &&
        (p->chosen == p->log.last || MUTATED(&p->o, change_before_the_last_is_chosen)))
        propose_change(p);
    p->yield_to = better_leader(p);
}

enum paxos_verdict paxos_may_transfer(const struct paxos *p, node_id to)
{
    const struct peer *peer = NULL;

    if (p->role != PAXOS_LEADER)
        return PAXOS_NOT_LEADER;
    if (p->stopping || p->handing || px_raising(p) || px_change_waits(p))
        return PAXOS_BUSY;
    if (to == 0)
        return PAXOS_TAKEN;
    for (size_t i = 1; i < p->n_peers; i++)
        if (p->peers[i].node == to)
            peer = &p->peers[i];
    if (peer == NULL || !px_data_voter(peer))
        return PAXOS_FLAWED;
    return keeps_up(p, peer, HAND_OVER_SLOTS) ? PAXOS_TAKEN : PAXOS_BEHIND;
}

void px_on_transfer(struct paxos *p, const struct paxos_in *in)
{
    p->verdict = paxos_may_transfer(p, in->transfer.to);
    if (p->verdict == PAXOS_TAKEN && in->transfer.payload.len > 0 &&
        p->log.last - p->chosen >= PAXOS_IN_FLIGHT_MAX)
        p->verdict = PAXOS_BUSY;
    if (p->verdict != PAXOS_TAKEN)
        return;
    if (in->transfer.payload.len > 0)
        px_propose(p, in->transfer.payload);
    p->handing = true;
    p->hand_to = in->transfer.to;
    p->stop_used = in->transfer.used;
}

size_t paxos_peers(const struct paxos *p, struct paxos_peer_view *out, size_t max)
{
    size_t n = 0;

    for (size_t i = 1; i < p->n_peers && n < max; i++) {
        const struct peer *peer = &p->peers[i];

        if (peer->left != 0)
            continue;
        out[n++] = (struct paxos_peer_view){
            .node = peer->node,
            .part = peer->part,
            .old_part = peer->old_part,
            .witness = peer->witness,
            .answers = px_leads(p) && answers(p, peer),
            .wants_snapshot = px_leads(p) && peer->wants_snapshot,
            .match = px_leads(p) ? peer->match : 0,
            .kept = px_leads(p) ? peer->kept : 0,
        };
    }
    return n;
}
