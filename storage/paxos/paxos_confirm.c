/*
 * How far is what is chosen? A replica that must be sure asks a quorum.
 *
 * Whatever is chosen stands in the log of some member of every quorum, so nothing above the longest log of a quorum was
 * chosen when the question left. If one of them knows a later configuration than the asker, the asker's quorum proves
 * nothing: it asks again when the log has brought it that one.
 */
#include "base/check.h"
#include "storage/paxos/paxos_int.h"

static void forget_answers(struct paxos *p)
{
    for (size_t i = 0; i < p->n_peers; i++)
        p->peers[i].told_number = 0;
}

void px_on_confirm(struct paxos *p, uint64_t number)
{
    p->confirm = number;
    p->confirm_mono = p->mono - p->o.resend_ns;
    forget_answers(p);
}

void px_on_query(struct paxos *p, const struct paxos_msg *m)
{
    px_send(p, m->from,
            (struct paxos_msg){.kind = PAXOS_TELL,
                               .ballot = m->ballot,
                               .slot = p->log.last,
                               .last = plog_ballot(&p->log, p->log.last),
                               .chosen = p->chosen,
                               .epoch = m->epoch,
                               .config_slot = px_config_slot(p)},
            0);
}

void px_on_tell(struct paxos *p, struct peer *peer, const struct paxos_msg *m)
{
    if (p->confirm == 0 || m->epoch != p->confirm)
        return;
    peer->told_number = m->epoch;
    peer->told_chosen = m->chosen;
    peer->told_last = m->slot;
    peer->told_config = m->config_slot;
}

static void ask(struct paxos *p)
{
    struct paxos_msg m = {.kind = PAXOS_QUERY, .ballot = {1, p->o.self}, .epoch = p->confirm};

    p->confirm_mono = p->mono;
    for (size_t i = 1; i < p->n_peers; i++)
        if (px_votes(&p->peers[i]) && p->peers[i].told_number != p->confirm)
            px_send(p, p->peers[i].node, m, 0);
}

/* True if a quorum has answered under no later configuration than ours. */
static bool answered(struct paxos *p)
{
    int64_t told[PEERS_MAX];
    bool later = false;

    p->self->told_number = p->confirm;
    p->self->told_chosen = p->chosen;
    p->self->told_last = p->log.last;
    p->self->told_config = px_config_slot(p);
    for (size_t i = 0; i < p->n_peers; i++) {
        told[i] = p->peers[i].told_number == p->confirm;
        later |= told[i] && p->peers[i].told_config > px_config_slot(p);
    }
    if (later && p->mono - p->confirm_mono >= p->o.resend_ns)
        forget_answers(p);
    return !later && px_quorum(p, told, MUTATED(&p->o, confirm_by_one) ? PEERS_MAX : 0) != 0;
}

void px_confirm_step(struct paxos *p)
{
    if (p->confirm == 0)
        return;
    if (!answered(p)) {
        if (p->mono - p->confirm_mono >= p->o.resend_ns)
            ask(p);
        return;
    }
    p->confirmed_chosen = p->confirmed_bound = 0;
    for (size_t i = 0; i < p->n_peers; i++) {
        const struct peer *peer = &p->peers[i];

        if (peer->told_number != p->confirm)
            continue;
        if (peer->told_chosen > p->confirmed_chosen)
            p->confirmed_chosen = peer->told_chosen;
        if (peer->told_last > p->confirmed_bound)
            p->confirmed_bound = peer->told_last;
    }
    p->confirmed = p->confirm;
    p->confirm = 0;
}

int64_t px_confirm_wake(const struct paxos *p, int64_t wake)
{
    int64_t due = p->confirm_mono + p->o.resend_ns;

    return p->confirm != 0 && due < wake ? due : wake;
}
