/*
 * A leader that hands over while the group goes on: because another one is to lead (out.yield_to: a preferred one, or
 * this node is to have no vote), or because its own disk is full, so that it would have to refuse every write.
 *
 * As a clean stop: the term is shut, what is under way ends, the floor above is told and says what it promised, and
 * Paxos then gives the lease to the one named. Commands that waited are surely not chosen.
 */
#include "storage/group_int.h"

#include "storage/store_int.h"

/* Between two tries for a full disk: where all disks are full each would hand on to the next, for ever. */
#define HAND_OVER_PAUSE_NS (5 * (int64_t)NS_PER_S)

/* The peer with the longest log that could lead at once; 0: none. */
static node_id heir(const struct group *g)
{
    struct paxos_peer_view peers[PAXOS_MEMBERS_MAX];
    size_t n = paxos_peers(g->paxos, peers, PAXOS_MEMBERS_MAX);
    const struct paxos_peer_view *best = NULL;

    for (size_t i = 0; i < n; i++)
        if (peers[i].answers && paxos_may_transfer(g->paxos, peers[i].node) == PAXOS_TAKEN &&
            (best == NULL || peers[i].match > best->match))
            best = &peers[i];
    return best != NULL ? best->node : 0;
}

static node_id wanted(struct group *g)
{
    int64_t mono = store_mono(g->store);

    if (g->view.yield_to != 0)
        return paxos_may_transfer(g->paxos, g->view.yield_to) == PAXOS_TAKEN ? g->view.yield_to : 0;
    if (!store_read_only(g->store) || mono < g->hand_over_again_mono)
        return 0;
    g->hand_over_again_mono = mono + HAND_OVER_PAUSE_NS;
    return heir(g);
}

/* Nothing is under way any more. The term cannot be opened again, so this is tried until it is taken or lost. */
static void transfer(struct group *g)
{
    struct paxos_in in = {.kind = PAXOS_IN_TRANSFER};

    if (g->up_term != 0) {
        g->handed_term = g->up_term;
        group_tell_lost(g, "handed over");
    }
    if (paxos_may_transfer(g->paxos, g->heir) == PAXOS_BUSY)
        return; /* also once it has been taken */
    in.transfer.to =
        paxos_may_transfer(g->paxos, g->heir) == PAXOS_TAKEN ? g->heir : 0; /* whoever likes */
    if (g->up.promised != NULL)
        in.transfer.used = g->up.promised(g->up.arg, g->handed_term);
    group_step(g, &in);
    group_settle_role(g);
}

void group_hand_over(struct group *g)
{
    if (g->stage == GROUP_SERVING && g->up_term != 0) {
        g->heir = wanted(g);
        if (g->heir == 0)
            return;
        log_event(g->store->o.log, LOG_INFO, "group.hand_over", "group=%llu to=%u why=%s",
                  (unsigned long long)g->number, g->heir,
                  g->view.yield_to != 0 ? "preference" : "disk_full");
        g->stage = GROUP_HANDING_OVER;
        group_shut_term(g);
    }
    if (g->stage != GROUP_HANDING_OVER)
        return;
    if (g->view.role != PAXOS_LEADER)
        g->stage = GROUP_SERVING;
    else if (g->flight.head == NULL)
        transfer(g);
}
