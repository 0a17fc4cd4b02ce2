/* What must hold, by one who knows true time, every disk and what was chosen. */
#include <stdlib.h>

#include "base/check.h"
#include "tests/members/members.h"

void check_chosen(struct world *w, struct mnode *n, slot_no slot, const struct mentry *e)
{
    uint8_t kind = (uint8_t)e->kind;
    uint64_t h = world_hash(world_hash(1, &kind, 1), e->payload.ptr, e->payload.len);

    ASSERT(slot < SLOTS_MAX);
    if (slot > w->chosen)
        w->chosen = slot;
    if (!w->slot[slot].known) {
        w->slot[slot].known = true;
        w->slot[slot].entry = h;
    } else if (w->slot[slot].entry != h) {
        world_fail(w, "agreement: n%u holds another entry as chosen in slot %llu", n->id,
                   (unsigned long long)slot);
    }
}

void check_state(struct world *w, struct mnode *n)
{
    uint64_t *state = &w->slot[n->data.slot].state;

    if (*state == 0)
        *state = n->data.hash;
    else if (*state != n->data.hash)
        world_fail(w, "the data of n%u at slot %llu differs", n->id,
                   (unsigned long long)n->data.slot);
}

static void check_lease(struct world *w, struct mnode *n)
{
    struct mlead *mine = &w->leads[n->lead];

    if (!mine->frozen && n->out.lease_end > mine->end)
        mine->end = n->out.lease_end;
    if (mine->frozen && n->out.lease_start != mine->start)
        world_fail(w, "n%u: its lease began anew after it was handed over", n->id);
    for (size_t i = 0; i < w->n_leads; i++) {
        const struct mlead *o = &w->leads[i];

        if (o != mine && o->start <= mine->end && mine->start <= o->end)
            world_fail(w, "leases overlap: n%u %llu.%u [%lld, %lld] and n%u %llu.%u [%lld, %lld]",
                       o->node, (unsigned long long)o->ballot.round, o->ballot.node,
                       (long long)o->start, (long long)o->end, mine->node,
                       (unsigned long long)mine->ballot.round, mine->ballot.node,
                       (long long)mine->start, (long long)mine->end);
    }
}

static void check_won(struct world *w, struct mnode *n)
{
    /* It may have proposed one in which it has no vote, in the same step. */
    const struct paxos_config *c =
        paxos_config_votes(&n->config, n->id) ? &n->config : &n->config_before;
    const struct paxos_member *m = paxos_config_find(c, n->id);

    if (m == NULL || m->witness || !paxos_config_votes(c, n->id))
        world_fail(w, "n%u leads, and may not", n->id);
    for (size_t i = 0; i < w->n_leads; i++)
        if (ballot_cmp(w->leads[i].ballot, n->out.ballot) == 0)
            world_fail(w, "ballot %llu.%u has led twice", (unsigned long long)n->out.ballot.round,
                       n->out.ballot.node);
    if (w->n_leads == w->cap_leads) {
        w->cap_leads = w->cap_leads * 2 + 64;
        w->leads = xrealloc(w->leads, w->cap_leads * sizeof *w->leads);
    }
    n->lead = w->n_leads;
    w->leads[w->n_leads++] =
        (struct mlead){n->id, n->out.ballot, n->out.lease_start, n->out.lease_end, false};
    world_trace(w, "n%u leads", n->id);
}

/* Everything chosen can be had from whoever has data: from its own disk, or from a checkpoint. */
static void check_witness(struct world *w, struct mnode *n)
{
    const struct paxos_member *m = paxos_config_find(&n->config, n->id);
    slot_no dropped = n->out.first - 1;

    if (m == NULL || !m->witness || m->part != PAXOS_PART_VOTER ||
        dropped <= n->installed.data.slot) /* what it never had, others have to give */
        return;
    for (size_t i = 0; i < n->config.n; i++) {
        const struct paxos_member *o = &n->config.members[i];
        const struct mnode *other = &w->node[o->node];
        slot_no has = other->durable.head.first + other->durable.n - 1;

        if (o->witness || o->part != PAXOS_PART_VOTER)
            continue;
        if (other->checkpoint.slot < dropped && has < dropped)
            world_fail(w, "witness n%u dropped slot %llu, voter n%u has %llu", n->id,
                       (unsigned long long)dropped, o->node, (unsigned long long)has);
    }
}

void check_step(struct world *w, struct mnode *n)
{
    const struct paxos_out *out = &n->out;

    if (out->won)
        check_won(w, n);
    if (out->role == PAXOS_LEADER)
        check_lease(w, n);
    check_witness(w, n);
    if (out->chosen > w->chosen)
        w->chosen = out->chosen;
    if (n->asked != 0 && out->confirmed.number == n->asked) {
        w->n_confirms++;
        if (out->confirmed.bound < n->asked_chosen)
            world_fail(w, "n%u was told that nothing above %llu was chosen; %llu was", n->id,
                       (unsigned long long)out->confirmed.bound,
                       (unsigned long long)n->asked_chosen);
        n->asked = 0;
    }
}

void check_handed(struct world *w, struct mnode *n, tstamp used)
{
    struct mlead *mine = &w->leads[n->lead];

    mine->frozen = true;
    if (used < mine->end)
        mine->end = used;
}

void check_change(struct world *w, const struct mnode *n, const struct paxos_config *was,
                  const struct paxos_config *want)
{
    for (size_t i = 0; i < want->n; i++) {
        const struct mnode *o = &w->node[want->members[i].node];
        slot_no has = o->durable.head.first + o->durable.n - 1;

        if (want->members[i].part == PAXOS_PART_VOTER && !paxos_config_votes(was, o->id) &&
            has + 3 < n->out.chosen)
            world_fail(w, "n%u is made a voter with %llu of %llu slots", o->id,
                       (unsigned long long)has, (unsigned long long)n->out.chosen);
    }
}

/* All runs, nothing is lost or cut: the group leads, goes on, and its members are up to date. */
void check_end(struct world *w)
{
    const struct mnode *leader = NULL;

    for (node_id id = 1; id <= NODES; id++)
        if (w->node[id].up && w->node[id].out.role == PAXOS_LEADER &&
            w->node[id].out.lease_end > w->now)
            leader = &w->node[id];
    if (leader == NULL || w->chosen <= w->chosen_at_heal + 5) {
        world_fail(w, "no progress: %s, chosen %llu when all healed, %llu now",
                   leader == NULL ? "nobody leads" : "somebody leads",
                   (unsigned long long)w->chosen_at_heal, (unsigned long long)w->chosen);
        return;
    }
    for (size_t i = 0; i < leader->config.n; i++) {
        const struct mnode *n = &w->node[leader->config.members[i].node];

        if (n->data.slot + 50 < w->chosen)
            world_fail(w, "no progress: n%u has %llu of %llu slots", n->id,
                       (unsigned long long)n->data.slot, (unsigned long long)w->chosen);
    }
    for (slot_no s = 1; s <= leader->data.slot; s++)
        if (!w->slot[s].known)
            world_fail(w, "nobody knows slot %llu", (unsigned long long)s);
}
