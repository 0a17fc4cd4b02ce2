/* Members of the group that come, are promoted, change places and lose their vote. */
#include "sim.h"

#include "base/check.h"
#include "storage/group_int.h"

/* In world.mem, so that a late answer finds it. */
struct change {
    struct group_ask ask; /* first member: the group's */
    struct sim_node *node;
};

static void on_answer(struct group_ask *a)
{
    struct sim_node *n = ((struct change *)a)->node;

    if (a->verdict == PAXOS_TAKEN)
        n->world->r.n_changes++;
    if (n->up)
        sim_trace(n->world, "n%u answers the change: verdict %d", n->id, (int)a->verdict);
}

static struct paxos_member *find(struct paxos_config *c, node_id node)
{
    for (size_t i = 0; i < c->n; i++)
        if (c->members[i].node == node)
            return &c->members[i];
    return NULL;
}

/* The voter that makes room for another; never the leader. */
static struct paxos_member *other_voter(struct world *w, struct paxos_config *c, node_id leader)
{
    size_t from = rng_below(&w->chance, c->n);

    for (size_t i = 0; i < c->n; i++) {
        struct paxos_member *m = &c->members[(from + i) % c->n];

        if (m->part == PAXOS_PART_VOTER && m->node != leader)
            return m;
    }
    return NULL;
}

static const char *alter(struct world *w, struct paxos_config *c, node_id node, node_id leader)
{
    struct paxos_member *m = find(c, node), *v;

    if (m == NULL) {
        ASSERT(c->n < PAXOS_MEMBERS_MAX);
        c->members[c->n++] = (struct paxos_member){.node = node, .part = PAXOS_PART_LEARNER};
        return "is to learn";
    }
    if (m->part == PAXOS_PART_LEARNER && rng_chance(&w->chance, 0.5)) {
        v = other_voter(w, c, leader);
        if (v != NULL)
            v->part = PAXOS_PART_LEARNER;
        m->part = PAXOS_PART_VOTER;
        return "is to take the place of a voter";
    }
    if (m->part == PAXOS_PART_LEARNER) {
        m->part = PAXOS_PART_VOTER;
        return "is to vote";
    }
    if (paxos_config_voters(c) > 3)
        m->part = PAXOS_PART_LEARNER;
    return "is to lose its vote";
}

void fault_members(struct world *w, struct sim_node *n)
{
    struct group *g = node_group(n);
    slot_no at;
    const struct paxos_config *have = paxos_config_at(g->paxos, g->view.last, &at);
    node_id node = (node_id)(1 + rng_below(&w->chance, w->n_nodes));
    struct change *c = arena_zalloc(&w->mem, sizeof *c);

    if (have == NULL || node == n->id)
        return;
    c->node = n;
    c->ask.change = true;
    c->ask.want = *have;
    c->ask.want.joint = false;
    for (size_t i = 0; i < have->n; i++)
        c->ask.want.members[i].old_part = PAXOS_PART_NONE;
    c->ask.done = on_answer;
    sim_trace(w, "n%u %s, says n%u", node, alter(w, &c->ask.want, node, n->id), n->id);
    group_ask(g, &c->ask);
    node_poke(w, n);
}

static bool side_holds(const struct paxos_config *c, const bool *holds, bool old)
{
    size_t n = 0, k = 0;

    for (size_t i = 0; i < c->n; i++) {
        const struct paxos_member *m = &c->members[i];

        if ((old ? m->old_part : m->part) != PAXOS_PART_VOTER)
            continue;
        n++;
        k += holds[m->node];
    }
    return k > n / 2;
}

bool check_quorum(const struct paxos_config *c, const bool *holds)
{
    return side_holds(c, holds, false) && (!c->joint || side_holds(c, holds, true));
}
