/* Events, network, what goes wrong, and the changes that are asked for meanwhile. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/check.h"
#include "tests/members/members.h"

uint64_t world_hash(uint64_t h, const void *ptr, size_t len)
{
    const uint8_t *b = ptr;

    for (size_t i = 0; i < len; i++)
        h = (h ^ b[i]) * UINT64_C(0x100000001b3);
    return h ^ h >> 29;
}

void world_trace(struct world *w, const char *fmt, ...)
{
    va_list ap;

    if (!w->trace)
        return;
    printf("%9.4f ", (double)(w->now - 1000LL * NS_PER_S) / 1e9);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
}

void world_fail(struct world *w, const char *fmt, ...)
{
    va_list ap;

    if (w->failed)
        return;
    w->failed = true;
    va_start(ap, fmt);
    (void)vsnprintf(w->why, sizeof w->why, fmt, ap); /* a cut line is good enough */
    va_end(ap);
    world_trace(w, "FAILED: %s", w->why);
}

/* -------- events: a heap by (at, seq) -------- */

static bool before(const struct mevent *a, const struct mevent *b)
{
    return a->at != b->at ? a->at < b->at : a->seq < b->seq;
}

static void swap(struct mevent *a, struct mevent *b)
{
    struct mevent t = *a;

    *a = *b;
    *b = t;
}

struct mevent *world_event(struct world *w, int64_t at, enum mevent_kind kind, struct mnode *n)
{
    size_t i = w->n_heap;

    if (w->n_heap == w->cap_heap) {
        w->cap_heap = w->cap_heap * 2 + 256;
        w->heap = xrealloc(w->heap, w->cap_heap * sizeof *w->heap);
    }
    w->n_heap++;
    w->heap[i] = (struct mevent){.at = at > w->now ? at : w->now,
                                 .seq = ++w->n_seq,
                                 .kind = kind,
                                 .node = n == NULL ? 0 : n->id,
                                 .life = n == NULL ? 0 : n->life};
    for (; i > 0 && before(&w->heap[i], &w->heap[(i - 1) / 2]); i = (i - 1) / 2)
        swap(&w->heap[i], &w->heap[(i - 1) / 2]);
    return &w->heap[i];
}

static struct mevent take_event(struct world *w)
{
    struct mevent e = w->heap[0];
    size_t i = 0;

    w->heap[0] = w->heap[--w->n_heap];
    for (;;) {
        size_t least = i;

        for (size_t c = 2 * i + 1; c <= 2 * i + 2 && c < w->n_heap; c++)
            if (before(&w->heap[c], &w->heap[least]))
                least = c;
        if (least == i)
            return e;
        swap(&w->heap[i], &w->heap[least]);
        i = least;
    }
}

/* -------- network -------- */

static void post(struct world *w, node_id from, node_id to, const struct support_msg *s,
                 struct bytes body)
{
    int64_t delay = rng_between(&w->rng, 20 * NS_PER_US, w->delay_max_ns);
    struct mevent *e;

    if (rng_chance(&w->rng, w->late))
        delay = rng_between(&w->rng, 0, 2 * LEASE_NS);
    e = world_event(w, w->now + delay, M_PACKET, &w->node[to]);
    e->from = from;
    e->body = body;
    e->is_support = s != NULL;
    if (s != NULL)
        e->support = *s;
}

void world_send(struct world *w, node_id from, node_id to, const struct paxos_msg *m,
                const struct support_msg *s)
{
    struct bytes body = {0};
    struct buf b = {0};

    if (to == 0 || to > NODES || w->cut[from][to] || rng_chance(&w->rng, w->loss))
        return;
    if (m != NULL) {
        paxos_msg_encode(&b, m);
        body = arena_copy(w->mem, buf_bytes(&b));
        buf_fini(&b);
        w->hash = world_hash(w->hash, body.ptr, body.len);
    }
    post(w, from, to, s, body);
    if (rng_chance(&w->rng, w->duplicate))
        post(w, from, to, s, body);
}

/* -------- changes -------- */

static struct mnode *a_leader(struct world *w)
{
    size_t from = (size_t)rng_below(&w->rng, NODES);

    for (size_t i = 0; i < NODES; i++) {
        struct mnode *n = &w->node[1 + (from + i) % NODES];

        if (n->up && n->out.role == PAXOS_LEADER && !n->shut)
            return n;
    }
    return NULL;
}

static size_t count_voters(const struct paxos_config *c)
{
    return paxos_config_voters(c);
}

static void drop_member(struct paxos_config *c, size_t i)
{
    c->members[i] = c->members[--c->n];
}

/* Who votes learns, and who learns votes: nobody stays. */
static bool move_all(struct paxos_config *c)
{
    size_t learners = 0;

    for (size_t i = 0; i < c->n; i++)
        learners += c->members[i].part == PAXOS_PART_LEARNER && !c->members[i].witness;
    for (size_t i = 0; i < c->n && learners > 0; i++)
        c->members[i].part =
            c->members[i].part == PAXOS_PART_VOTER ? PAXOS_PART_LEARNER : PAXOS_PART_VOTER;
    return learners > 0;
}

/* Some members of what is in force are changed at random; the core must refuse what does harm. */
static void mutate_config(struct world *w, struct paxos_config *c)
{
    size_t n = 1 + (size_t)rng_below(&w->rng, 4);

    if (rng_chance(&w->rng, 0.2) && move_all(c))
        return;
    for (size_t k = 0; k < n; k++) {
        node_id id = (node_id)(1 + rng_below(&w->rng, NODES));
        size_t i = 0;

        while (i < c->n && c->members[i].node != id)
            i++;
        if (i == c->n) {
            c->members[c->n++] = (struct paxos_member){
                .node = id, .part = PAXOS_PART_LEARNER, .witness = w->node[id].witness};
            continue;
        }
        switch (rng_below(&w->rng, 4)) {
        case 0:
        case 1:
            if (c->members[i].part == PAXOS_PART_LEARNER)
                c->members[i].part = PAXOS_PART_VOTER;
            else if (count_voters(c) > 2)
                c->members[i].part = PAXOS_PART_LEARNER;
            break;
        case 2:
            if (c->members[i].part == PAXOS_PART_LEARNER || count_voters(c) > 2)
                drop_member(c, i);
            break;
        default:
            c->members[i].preference = (uint8_t)rng_below(&w->rng, 3);
            break;
        }
    }
}

static void change_members(struct world *w)
{
    struct mnode *n = a_leader(w);
    struct paxos_config was, want;

    if (n == NULL || n->config.joint)
        return;
    was = want = n->config;
    mutate_config(w, &want);
    node_paxos(w, n, (struct paxos_in){.kind = PAXOS_IN_RECONFIGURE, .config = &want});
    if (n->out.verdict == PAXOS_TAKEN) {
        w->n_changes++;
        check_change(w, n, &was, &want);
    }
    world_trace(w, "n%u is asked for %zu members, %zu voters: verdict %d", n->id, want.n,
                count_voters(&want), (int)n->out.verdict);
}

static void transfer(struct world *w)
{
    struct mnode *n = a_leader(w);
    struct paxos_in in = {.kind = PAXOS_IN_TRANSFER};
    uint64_t value = ++w->n_values;

    if (n == NULL)
        return;
    in.transfer.to = rng_chance(&w->rng, 0.2) ? 0
                     : n->out.yield_to != 0   ? n->out.yield_to
                                              : (node_id)(1 + rng_below(&w->rng, NODES));
    in.transfer.used = w->now + n->error_ns + rng_between(&w->rng, 0, 20 * NS_PER_MS);
    if (in.transfer.used > n->out.lease_end)
        in.transfer.used = n->out.lease_end;
    if (rng_chance(&w->rng, 0.5))
        in.transfer.payload = bytes_of(&value, sizeof value);
    if (in.transfer.used <= n->out.lease_start)
        return;
    if (paxos_may_transfer(n->paxos, in.transfer.to) != PAXOS_TAKEN)
        return;
    if (n->out.last - n->out.chosen >= PAXOS_IN_FLIGHT_MAX)
        return;
    world_trace(w, "n%u hands over to n%u", n->id, in.transfer.to);
    w->n_transfers++;
    n->shut = true;
    check_handed(w, n, in.transfer.used);
    node_paxos(w, n, in);
    if (n->out.verdict != PAXOS_TAKEN && n->out.role == PAXOS_LEADER)
        n->hand_used = in.transfer.used; /* something has come between */
}

static void confirm(struct world *w)
{
    struct mnode *n = &w->node[1 + rng_below(&w->rng, NODES)];

    if (!n->up)
        return;
    n->asked = ++w->n_seq;
    n->asked_chosen = w->chosen;
    node_paxos(w, n, (struct paxos_in){.kind = PAXOS_IN_CONFIRM, .confirm = n->asked});
}

/* -------- faults -------- */

static void crash(struct world *w, struct mnode *n)
{
    int64_t down = rng_chance(&w->rng, 0.5) ? rng_between(&w->rng, NS_PER_MS, 300 * NS_PER_MS)
                                            : rng_between(&w->rng, 0, 4LL * NS_PER_S);

    if (!n->up)
        return;
    node_crash(w, n);
    (void)world_event(w, w->now + down, M_RESTART, n);
}

static void isolate(struct world *w, struct mnode *n)
{
    bool in = rng_chance(&w->rng, 0.8), out = !in || rng_chance(&w->rng, 0.7);

    world_trace(w, "n%u is cut off%s%s", n->id, in ? " in" : "", out ? " out" : "");
    for (node_id id = 1; id <= NODES; id++) {
        w->cut[id][n->id] |= in && id != n->id;
        w->cut[n->id][id] |= out && id != n->id;
    }
}

/* What a voter gave the leader grows old, because neither hears the other; then they do again, and changes come. */
static void estrange(struct world *w, struct mnode *leader)
{
    node_id to = (node_id)(1 + rng_below(&w->rng, NODES));

    w->cut[leader->id][to] = w->cut[to][leader->id] = to != leader->id;
    world_event(w, w->now + rng_between(&w->rng, 0, 1800 * NS_PER_MS), M_FAULT, NULL)->a =
        (uint64_t)leader->id << 8 | to;
}

static void reconcile(struct world *w, node_id a, node_id b)
{
    w->cut[a][b] = w->cut[b][a] = false;
    w->burst_until = w->now + rng_between(&w->rng, 0, 400 * NS_PER_MS);
}

static void one_fault(struct world *w)
{
    struct mnode *n = a_leader(w);

    if (n == NULL || rng_chance(&w->rng, 0.5))
        n = &w->node[1 + rng_below(&w->rng, NODES)];
    switch (rng_below(&w->rng, 16)) {
    case 0:
    case 1:
        crash(w, n);
        break;
    case 2:
        isolate(w, n);
        break;
    case 3:
    case 4:
        world_trace(w, "network heals");
        memset(w->cut, 0, sizeof w->cut);
        break;
    case 5:
        w->cut[n->id][1 + rng_below(&w->rng, NODES)] = true;
        break;
    case 6:
        world_trace(w, "n%u pauses", n->id);
        n->paused_until = w->now + rng_between(&w->rng, 0, 3LL * NS_PER_S);
        break;
    case 7:
        node_paxos(w, n, (struct paxos_in){.kind = PAXOS_IN_CAMPAIGN});
        break;
    case 8:
        confirm(w);
        break;
    case 9:
    case 10:
    case 11:
        transfer(w);
        break;
    case 13:
        estrange(w, n);
        break;
    case 12:
        w->burst_until = w->now + rng_between(&w->rng, 0, 300 * NS_PER_MS);
        break;
    default:
        change_members(w);
        break;
    }
}

/* Changes as fast as the group takes them; then, often, its leader is cut off. */
static void burst(struct world *w)
{
    struct mnode *n = a_leader(w);

    if (w->now < w->burst_until)
        change_members(w);
    else if (n != NULL && rng_chance(&w->rng, 0.5))
        isolate(w, n);
    if (w->now >= w->burst_until)
        w->burst_until = 0;
    (void)world_event(w, w->now + rng_between(&w->rng, NS_PER_MS, 10 * NS_PER_MS), M_FAULT, NULL);
}

static void on_fault(struct world *w, uint64_t pair)
{
    if (pair != 0) {
        if (!w->healed)
            reconcile(w, (node_id)(pair >> 8), (node_id)(pair & 255));
        return;
    }
    if (w->burst_until != 0 && !w->healed) {
        burst(w);
        return;
    }
    if (w->healed) { /* changes go on a while, and the leader yields to whom it should */
        if (w->now < T_HEAL + 4LL * NS_PER_S)
            change_members(w);
        else if (rng_chance(&w->rng, 0.3) && a_leader(w) != NULL && a_leader(w)->out.yield_to != 0)
            transfer(w);
    } else {
        one_fault(w);
    }
    if (w->now < T_END - 3LL * NS_PER_S)
        (void)world_event(w, w->now + rng_between(&w->rng, w->fault_gap_ns / 4, w->fault_gap_ns),
                          M_FAULT, NULL);
}

static void heal(struct world *w)
{
    world_trace(w, "all heals");
    w->healed = true;
    memset(w->cut, 0, sizeof w->cut);
    w->loss = w->late = 0;
    if (w->propose < 0.05)
        w->propose = 0.05;
    for (node_id id = 1; id <= NODES; id++) {
        w->node[id].paused_until = 0;
        if (!w->node[id].up)
            node_start(w, &w->node[id]);
    }
    w->chosen_at_heal = w->chosen;
}

static void dispatch(struct world *w, struct mevent *e)
{
    struct mnode *n = &w->node[e->node];

    if (e->kind == M_FAULT) {
        on_fault(w, e->a);
    } else if (e->kind == M_RESTART) {
        if (!n->up)
            node_start(w, n);
    } else if (n->paused_until > w->now) {
        int64_t until = n->paused_until;
        struct mevent *again = world_event(w, until, e->kind, n);
        uint64_t seq = again->seq;

        *again = *e; /* it keeps its place among those that wait */
        again->at = until;
        again->seq = seq;
    } else if (n->up && (e->life == n->life || e->kind == M_PACKET || e->kind == M_INSTALL)) {
        node_event(w, n, e);
    }
}

static void choose_profile(struct world *w)
{
    struct rng *r = &w->rng;

    w->loss = rng_chance(r, 0.5) ? 0 : rng_unit(r) * 0.1;
    w->duplicate = rng_chance(r, 0.5) ? 0 : rng_unit(r) * 0.1;
    w->late = rng_chance(r, 0.6) ? 0 : 0.003;
    w->propose = rng_chance(r, 0.3) ? 0.005 : rng_chance(r, 0.5) ? 0.05 : rng_unit(r) * 0.4;
    w->delay_max_ns = rng_between(r, 100 * NS_PER_US, 3 * NS_PER_MS);
    w->sync_max_ns = rng_between(r, 100 * NS_PER_US, 5 * NS_PER_MS);
    w->fault_gap_ns = rng_between(r, 50 * NS_PER_MS, 800 * NS_PER_MS);
}

void world_run(struct world *w)
{
    struct arena mem;

    arena_init(&mem, 0);
    w->mem = &mem;
    w->now = 1000LL * NS_PER_S;
    w->hash = 1;
    w->slot = xcalloc(SLOTS_MAX, sizeof *w->slot);
    rng_seed(&w->rng, w->seed);
    choose_profile(w);
    for (node_id id = 1; id <= NODES; id++) {
        struct mnode *n = &w->node[id];

        n->id = id;
        n->witness = id > 3 && rng_chance(&w->rng, 0.3);
        n->bound_ns = rng_between(&w->rng, 100 * NS_PER_US, 10 * NS_PER_MS);
        n->error_ns = rng_between(&w->rng, -n->bound_ns, n->bound_ns);
        n->cur.head.first = n->durable.head.first = 1;
        n->data.hash = n->checkpoint.hash = 1;
        node_start(w, n);
    }
    (void)world_event(w, w->now + NS_PER_S, M_FAULT, NULL);
    while (!w->failed && w->n_heap > 0 && w->now < T_END) {
        struct mevent e = take_event(w);

        if (e.at >= T_HEAL && !w->healed) {
            w->now = T_HEAL;
            heal(w);
        }
        w->now = e.at;
        dispatch(w, &e);
    }
    if (!w->failed)
        check_end(w);
    for (node_id id = 1; id <= NODES; id++)
        node_fini(&w->node[id]);
    free(w->heap);
    free(w->slot);
    free(w->leads);
    arena_fini(&mem);
}
