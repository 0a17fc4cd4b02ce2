/* The invariants of a replica, at the end of every step. Numbers as in README.md. */
#include "base/check.h"
#include "storage/paxos/paxos_int.h"

static void check_log(const struct paxos *p)
{
    const struct plog *l = &p->log;

    ASSERT(l->last + 1 == l->first + l->n);                          /* P1 */
    ASSERT(p->chosen + 1 >= l->first && p->chosen <= l->last);       /* P2 */
    ASSERT(p->durable <= l->last && p->durable_seq <= p->write_seq); /* P2 */
    /* The slot of a snapshot may be of a ballot that this replica did not promise. */
    ASSERT(l->n == 0 || MUTATED(&p->o, accept_without_promise_check) ||
           ballot_cmp(plog_ballot(l, l->last), p->hard.promised) <= 0); /* P1 */
    ASSERT(p->n_configs > 0 && px_config_slot(p) <= l->last);           /* P12 */
    ASSERT(p->configs[0].slot <= p->hard.config_slot);                  /* P12 */
#ifndef NDEBUG
    /* The last few are enough: every older pair was checked when it was young. */
    for (slot_no s = l->last; s >= l->first && s + 8 > l->last; s--)
        ASSERT(MUTATED(&p->o, adopt_slot_by_slot) ||
               ballot_cmp(plog_ballot(l, s - 1), plog_ballot(l, s)) <= 0); /* P1 */
#endif
}

static void check_role(const struct paxos *p, const struct paxos_out *out)
{
    if (px_leads(p)) {
        ASSERT((ballot_cmp(p->hard.promised, p->ballot) == 0 ||
                ballot_cmp(p->hard.promised, p->raise) == 0) &&
               p->ballot.node == p->o.self);                                   /* P5 */
        ASSERT(p->hard_seq <= p->durable_seq || px_raising(p));                /* P5 */
        ASSERT(p->own_first <= p->log.last);                                   /* P6 */
        ASSERT(ballot_cmp(plog_ballot(&p->log, p->log.last), p->ballot) == 0); /* P6 */
    }
    if (p->role == PAXOS_LEADER) {
        ASSERT(p->chosen >= p->lead_first);                            /* P7 */
        ASSERT(p->log.last - p->chosen <= PAXOS_IN_FLIGHT_MAX + 1);    /* P8 */
        ASSERT(out->lease_end <= p->lease_max && !tt_is_void(p->now)); /* P9 */
    } else {
        ASSERT(out->lease_end == 0 && out->lease_start == 0 && out->agreed == 0 &&
               !out->room); /* P9 */
    }
    if (p->to_release)
        ASSERT(p->hard.promised.node == p->o.self && p->role == PAXOS_FOLLOWER); /* P10 */
}

/* P11: nothing leaves that tells of what this node may still forget. */
static void check_sends(const struct paxos *p, const struct paxos_out *out)
{
    for (size_t i = 0; i < out->n_send; i++) {
        const struct paxos_send *s = &out->send[i];

        ASSERT(s->after_write <= p->write_seq);
        switch (s->msg.kind) {
        case PAXOS_ACK:
            ASSERT(s->msg.slot <= p->durable || s->msg.slot < p->log.first || s->after_write != 0 ||
                   MUTATED(&p->o, ack_before_sync));
            break;
        case PAXOS_PROMISE:
        case PAXOS_PREPARE:
            ASSERT(p->hard_seq <= p->durable_seq || s->after_write >= p->hard_seq ||
                   MUTATED(&p->o, ack_before_sync) || MUTATED(&p->o, prepare_before_own_sync));
            break;
        case PAXOS_ACCEPT:
            ASSERT(px_leads(p));
            break;
        case PAXOS_REFUSE:
        case PAXOS_FETCH:
        case PAXOS_LOG:
        case PAXOS_NACK:
        case PAXOS_RELEASE:
        case PAXOS_ASK:
        case PAXOS_WILLING:
        case PAXOS_QUERY:
        case PAXOS_TELL:
            break;
        }
    }
}

void px_check(struct paxos *p, const struct paxos_out *out)
{
    check_log(p);
    check_role(p, out);
    check_sends(p, out);
    ASSERT(ballot_cmp(p->hard.promised, p->seen_promised) >= 0); /* P3 */
    ASSERT(p->chosen >= p->seen_chosen);                         /* P3 */
    p->seen_promised = p->hard.promised;
    p->seen_chosen = p->chosen;
}
