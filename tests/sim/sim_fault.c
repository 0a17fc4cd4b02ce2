/* What goes wrong, and how often: the seed chooses a profile, then one fault after another until all heals. */
#include "sim.h"

void fault_profile(struct world *w)
{
    struct profile *p = &w->prof;
    struct rng *r = &w->rng;

    int64_t lease, step;

    /* A step is what an election and the disk under it are made of. */
    lease = rng_chance(r, 0.3) ? 2LL * NS_PER_S : rng_between(r, 200 * NS_PER_MS, 800 * NS_PER_MS);
    step = lease / 2000; /* 1 ms at a lease of 2 s */
    p->lease_ns = lease;
    p->loss = rng_chance(r, 0.5) ? 0 : rng_unit(r) * 0.15;
    p->duplicate = rng_chance(r, 0.5) ? 0 : rng_unit(r) * 0.2;
    p->reorder = rng_chance(r, 0.5) ? 0 : rng_unit(r) * 0.2;
    p->late = rng_chance(r, 0.5) ? 0 : rng_unit(r) * (rng_chance(r, 0.5) ? 0.02 : 0.2);
    p->delay_min_ns = rng_between(r, 20 * NS_PER_US, 200 * NS_PER_US);
    p->delay_max_ns = p->delay_min_ns + rng_between(r, 0, rng_chance(r, 0.3) ? 20 * step : step);
    p->sync_min_ns = rng_between(r, step / 20, step);
    p->sync_max_ns = p->sync_min_ns + rng_between(r, 0, rng_chance(r, 0.3) ? 50 * step : 2 * step);
    p->bound_max_ns = rng_chance(r, 0.3) ? lease / (rng_chance(r, 0.5) ? 5 : 10) : 2 * NS_PER_MS;
    p->slow_node = rng_chance(r, 0.3) ? 1 + (node_id)rng_below(r, 3) : 0;
    p->think_ns = rng_between(r, 5 * NS_PER_MS, 60 * NS_PER_MS);
    p->fault_gap_ns = rng_between(r, lease / 10, lease);
    p->log_cache_bytes = rng_chance(r, 0.5) ? 200 : 1024 * 1024;
    p->keep_slots = rng_chance(r, 0.7) ? 1 : 50;
    p->lag_slots = rng_chance(r, 0.5) ? (uint64_t)rng_between(r, 5, 100) : LAG_NONE;
    p->checkpoint_ns = rng_between(r, 300 * NS_PER_MS, 4LL * NS_PER_S);
    p->lying_clock = rng_chance(r, 0.1) && !w->o.good_clocks;
    if (w->o.plain_network)
        p->loss = p->duplicate = p->reorder = p->late = 0;
}

static struct sim_node *any_node(struct world *w)
{
    return &w->nodes[rng_below(&w->chance, w->n_nodes)];
}

/* The leader is the most telling victim. */
static struct sim_node *victim(struct world *w)
{
    for (size_t i = 0; i < w->n_nodes; i++)
        if (w->nodes[i].role == PAXOS_LEADER && w->nodes[i].up && rng_chance(&w->chance, 0.5))
            return &w->nodes[i];
    return any_node(w);
}

static void heal_network(struct world *w)
{
    sim_trace(w, "network heals");
    memset(w->cut, 0, sizeof w->cut);
}

static void isolate(struct world *w, struct sim_node *n)
{
    bool in = rng_chance(&w->chance, 0.7);
    bool out = !in || rng_chance(&w->chance, 0.6);

    sim_trace(w, "n%u is cut off%s%s", n->id, in ? " in" : "", out ? " out" : "");
    for (size_t i = 1; i <= w->n_nodes; i++) {
        if (in)
            w->cut[i][n->id] = i != n->id;
        if (out)
            w->cut[n->id][i] = i != n->id;
    }
}

/* A partition that ends about when the lease does, link by link. */
static void isolate_for_a_lease(struct world *w, struct sim_node *n)
{
    int64_t lease = w->prof.lease_ns;
    int64_t until = w->now + lease + rng_between(&w->chance, -600, 400) * (lease / 2000);

    sim_trace(w, "n%u is cut off for about a lease", n->id);
    for (size_t i = 1; i <= w->n_nodes; i++) {
        if (i == n->id)
            continue;
        w->cut[i][n->id] = w->cut[n->id][i] = true;
        sim_event(w, until + rng_between(&w->chance, 0, lease / 6), EV_LINK, 0, i, n->id, NULL);
        sim_event(w, until + rng_between(&w->chance, 0, lease / 6), EV_LINK, 0, n->id, i, NULL);
    }
}

void fault_link_heals(struct world *w, node_id from, node_id to)
{
    sim_trace(w, "link n%u -> n%u heals", from, to);
    w->cut[from][to] = false;
}

static void cut_link(struct world *w)
{
    node_id a = any_node(w)->id;
    node_id b = any_node(w)->id;

    sim_trace(w, "link n%u -> n%u is cut", a, b);
    w->cut[a][b] = a != b;
    if (rng_chance(&w->chance, 0.5))
        w->cut[b][a] = a != b;
}

static void crash(struct world *w, struct sim_node *n)
{
    int64_t down = rng_chance(&w->chance, 0.5) ? rng_between(&w->chance, 0, w->prof.lease_ns / 5)
                                               : rng_between(&w->chance, 0, 3 * w->prof.lease_ns);

    if (!n->up)
        return;
    node_crash(w, n);
    sim_event(w, w->now + down, EV_RESTART, n->id, 0, 0, NULL);
}

static void crash_all(struct world *w)
{
    sim_trace(w, "power fails");
    for (size_t i = 0; i < w->n_nodes; i++)
        crash(w, &w->nodes[i]);
}

static void pause_node(struct world *w, struct sim_node *n)
{
    int64_t ns = rng_chance(&w->chance, 0.5)
                     ? rng_between(&w->chance, w->prof.lease_ns, 2 * w->prof.lease_ns)
                     : rng_between(&w->chance, 0, w->prof.lease_ns);

    sim_trace(w, "n%u pauses for %.3f s", n->id, (double)ns / 1e9);
    n->paused_until = w->now + ns;
}

/* A stopped node has no life in which a restart could be scheduled: the world starts whoever is down. */
static void start_down(struct world *w)
{
    for (size_t i = 0; i < w->n_nodes; i++)
        if (!w->nodes[i].up)
            node_event(w, &w->nodes[i], &(struct event){.kind = EV_RESTART});
}

static void clock_fault(struct world *w, struct sim_node *n)
{
    if (rng_chance(&w->chance, 0.1)) {
        sim_trace(w, "n%u has no time", n->id);
        n->clock.void_until = w->now + rng_between(&w->chance, 0, 3 * w->prof.lease_ns / 2);
    }
    clock_change(w, n);
    /* Fewer clocks than a quorum lies: n1, and n2 where there are five. */
    n->clock.lies =
        w->prof.lying_clock && n->id <= (w->n_founders - 1) / 2 && rng_chance(&w->chance, 0.7);
    if (n->clock.lies)
        n->clock.error_ns =
            (2 * rng_unit(&w->chance) - 1) * (rng_chance(&w->chance, 0.5) ? 30e6 : 5e9);
    sim_trace(w, "n%u clock: bound %lld us, error %.0f us", n->id,
              (long long)(n->clock.bound_ns / NS_PER_US), n->clock.error_ns / 1e3);
}

static bool runs(const struct world *w, const struct sim_node *n)
{
    return n->up && w->now >= n->paused_until;
}

static void disk_fault(struct world *w, struct sim_node *n)
{
    switch (rng_below(&w->chance, 4)) {
    case 0:
        sim_trace(w, "n%u has a slow disk", n->id);
        n->slow_until = w->now + rng_between(&w->chance, 0, w->prof.lease_ns);
        break;
    case 1:
        sim_trace(w, "n%u has a disk that hangs", n->id);
        n->hangs_until = w->now + rng_between(&w->chance, 0, 6 * w->prof.lease_ns);
        break;
    case 2:
        sim_trace(w, "n%u has a full disk", n->id);
        node_full_disk(n, true);
        sim_event(w, w->now + rng_between(&w->chance, 0, 2 * w->prof.lease_ns), EV_SPACE, 0, n->id,
                  0, NULL);
        break;
    default:
        sim_trace(w, "n%u has a disk that fails", n->id);
        if (n->up)
            node_failing_disk(n);
        break;
    }
}

void fault_disk_has_room(struct world *w, node_id id)
{
    struct sim_node *n = sim_node(w, id);

    sim_trace(w, "n%u has room on its disk", id);
    node_full_disk(n, false);
}

/* A candidate out of turn. */
static void campaign(struct world *w, struct sim_node *n)
{
    sim_trace(w, "n%u is told to campaign", n->id);
    node_campaign(w, n);
}

static void change_members(struct world *w)
{
    for (size_t i = 0; i < w->n_nodes; i++)
        if (w->nodes[i].role == PAXOS_LEADER && runs(w, &w->nodes[i]))
            fault_members(w, &w->nodes[i]);
}

static void one_fault(struct world *w)
{
    struct sim_node *n = victim(w);

    switch (rng_below(&w->chance, w->n_founders < w->n_nodes ? 25 : 19)) {
    case 0:
    case 1:
    case 2:
        crash(w, n);
        break;
    case 3:
        pause_node(w, n);
        break;
    case 4:
    case 5:
        isolate(w, n);
        break;
    case 6:
        cut_link(w);
        break;
    case 7:
    case 8:
        heal_network(w);
        break;
    case 9:
    case 10:
    case 11:
        disk_fault(w, n);
        break;
    case 12:
        if (rng_chance(&w->chance, 0.3)) {
            crash_all(w);
            break;
        }
        /* fall through */
    case 13:
        if (runs(w, n) && !n->stopping)
            node_stop(w, n);
        break;
    case 14:
        if (runs(w, n))
            campaign(w, n);
        break;
    case 15:
    case 16:
    case 17:
        isolate_for_a_lease(w, n);
        break;
    case 18:
        start_down(w);
        break;
    default:
        change_members(w);
        break;
    }
}

/* Whether this fault happens at all: --minimize leaves out what a failure does not need. */
static bool wanted(const struct world *w, uint64_t i)
{
    return w->o.faults_on == NULL || (i < w->o.n_faults_on && w->o.faults_on[i] != 0);
}

void fault_event(struct world *w)
{
    uint64_t i = w->r.n_faults++;

    if (w->healed)
        return;
    /* Chances of its own: with one fault left out, the others stay what they are. */
    rng_seed(&w->chance, (w->o.seed << 16) + i);
    sim_event(w,
              w->now + rng_between(&w->chance, w->prof.fault_gap_ns / 4, w->prof.fault_gap_ns * 2),
              EV_FAULT, 0, 0, 0, NULL);
    for (size_t k = 0; k < w->n_nodes && !w->o.good_clocks; k++)
        if (rng_chance(&w->chance, 0.5))
            clock_fault(w, &w->nodes[k]);
    if (!wanted(w, i))
        return;
    sim_trace(w, "fault %llu", (unsigned long long)i);
    one_fault(w);
}

void fault_heal(struct world *w)
{
    sim_trace(w, "all faults end");
    w->healed = true;
    heal_network(w);
    w->prof.loss = w->prof.late = 0;
    for (size_t i = 0; i < w->n_nodes; i++) {
        w->nodes[i].paused_until = w->now;
        w->nodes[i].clock.void_until = w->now;
        node_disk_heals(w, &w->nodes[i]);
        if (w->nodes[i].clock.lies)
            clock_change(w, &w->nodes[i]);
        w->nodes[i].clock.lies = false;
        if (w->nodes[i].stopping)
            node_crash(w, &w->nodes[i]);
    }
    start_down(w);
}
