/* A node: the shell that drives the cores, as the server's store does. */
#include <stdlib.h>

#include "base/arena.h"
#include "base/check.h"
#include "tests/members/members.h"

enum { CACHE_BYTES = 64, CATCH_UP = 3 };

static struct tt_interval now_of(const struct world *w, const struct mnode *n)
{
    int64_t t = w->now + n->error_ns;

    return (struct tt_interval){t - n->bound_ns, t + n->bound_ns};
}

static int64_t mono_of(const struct world *w)
{
    return w->now;
}

/* -------- the disk -------- */

static void log_apply(struct mlog *l, const struct mwrite *wr)
{
    if (wr->has_hard)
        l->hard = wr->hard;
    if (wr->cut_from != 0 && wr->cut_from < l->head.first + l->n) {
        ASSERT(wr->cut_from >= l->head.first);
        l->n = (size_t)(wr->cut_from - l->head.first);
    }
    if (wr->has_head) {
        size_t k = (size_t)(wr->head.first - l->head.first);

        ASSERT(wr->head.first >= l->head.first && (k <= l->n || l->n == 0));
        k = k < l->n ? k : l->n;
        l->n -= k;
        if (l->n > 0)
            memmove(l->e, l->e + k, l->n * sizeof *l->e);
        l->head = wr->head;
    }
    for (size_t i = 0; i < wr->n; i++) {
        ASSERT(wr->first + i == l->head.first + l->n); /* no holes */
        if (l->n == l->cap) {
            l->cap = l->cap * 2 + 64;
            l->e = xrealloc(l->e, l->cap * sizeof *l->e);
        }
        l->e[l->n++] = wr->e[i];
    }
}

static const struct mentry *log_at(const struct mlog *l, slot_no slot)
{
    if (slot < l->head.first || slot >= l->head.first + l->n)
        return NULL;
    return &l->e[slot - l->head.first];
}

static void begin_sync(struct world *w, struct mnode *n)
{
    if (n->syncing)
        return;
    n->syncing = true;
    n->n_syncing = n->n_writes;
    (void)world_event(w, w->now + rng_between(&w->rng, 50 * NS_PER_US, w->sync_max_ns), M_SYNC, n);
}

static void take_write(struct world *w, struct mnode *n, const struct paxos_out *out)
{
    struct mwrite wr = {.seq = out->write_seq, .cut_from = out->cut_from, .n = out->n_append};

    if (out->write_seq == 0)
        return;
    wr.has_hard = out->hard != NULL;
    if (wr.has_hard)
        wr.hard = *out->hard;
    wr.has_head = out->head != NULL;
    if (wr.has_head)
        wr.head = *out->head;
    wr.e = arena_alloc(w->mem, (wr.n + 1) * sizeof *wr.e);
    for (size_t i = 0; i < wr.n; i++)
        wr.e[i] = (struct mentry){out->append[i].ballot, out->append[i].kind,
                                  arena_copy(w->mem, out->append[i].payload)};
    wr.first = wr.n > 0 ? out->append[0].slot : 0;
    log_apply(&n->cur, &wr);
    if (n->n_writes == n->cap_writes) {
        n->cap_writes = n->cap_writes * 2 + 16;
        n->writes = xrealloc(n->writes, n->cap_writes * sizeof *n->writes);
    }
    n->writes[n->n_writes++] = wr;
    begin_sync(w, n);
}

static void drop_writes(struct mnode *n, size_t k)
{
    n->n_writes -= k;
    if (n->n_writes > 0)
        memmove(n->writes, n->writes + k, n->n_writes * sizeof *n->writes);
}

/* -------- outputs -------- */

static void send_or_hold(struct world *w, struct mnode *n, const struct paxos_send *s)
{
    if (s->after_write <= n->durable_seq) {
        world_send(w, n->id, s->msg.to, &s->msg, NULL);
        return;
    }
    ASSERT(s->msg.n_entries == 0);
    if (n->n_held == n->cap_held) {
        n->cap_held = n->cap_held * 2 + 16;
        n->held = xrealloc(n->held, n->cap_held * sizeof *n->held);
    }
    n->held[n->n_held++] = (struct mheld){s->msg, s->after_write};
}

static void send_held(struct world *w, struct mnode *n)
{
    size_t kept = 0;

    for (size_t i = 0; i < n->n_held; i++) {
        if (n->held[i].after_write > n->durable_seq)
            n->held[kept++] = n->held[i];
        else
            world_send(w, n->id, n->held[i].msg.to, &n->held[i].msg, NULL);
    }
    n->n_held = kept;
}

static void apply(struct world *w, struct mnode *n)
{
    while (n->data.slot < n->out.apply && !w->failed) {
        slot_no slot = n->data.slot + 1;
        const struct mentry *e = log_at(&n->durable, slot);

        if (e == NULL) {
            world_fail(w, "n%u applies slot %llu, which its disk has not synced", n->id,
                       (unsigned long long)slot);
            return;
        }
        check_chosen(w, n, slot, e);
        n->data.slot = slot;
        if (e->kind == PAXOS_ENTRY_COMMANDS)
            n->data.hash = world_hash(n->data.hash, e->payload.ptr, e->payload.len);
        check_state(w, n);
    }
}

/* One to each peer that needs it, again when the last one came to nothing. */
static void send_snapshots(struct world *w, struct mnode *n, const struct paxos_out *out)
{
    for (size_t i = 0; i < out->n_snapshot; i++) {
        node_id to = out->snapshot[i];
        const struct paxos_config *config;
        struct msnapshot *s;
        struct mevent *e;

        if (n->snapshot_due[to] > w->now || n->data.slot + 1 < out->first)
            continue;
        s = arena_alloc(w->mem, sizeof *s);
        config = paxos_config_at(n->paxos, n->data.slot, &s->config_slot);
        if (config == NULL)
            continue;
        s->data = n->data;
        s->ballot = paxos_ballot_of(n->paxos, n->data.slot);
        s->config = *config;
        n->snapshot_due[to] = w->now + 300 * NS_PER_MS;
        if (w->cut[n->id][to])
            continue;
        e = world_event(w, w->now + rng_between(&w->rng, NS_PER_MS, 100 * NS_PER_MS), M_INSTALL,
                        &w->node[to]);
        e->snapshot = s;
    }
}

static void step_support(struct world *w, struct mnode *n, struct support_in in)
{
    struct support_out out;

    in.now = now_of(w, n);
    in.mono_ns = mono_of(w);
    support_step(n->support, &in, &out);
    for (size_t i = 0; i < out.n_send; i++)
        world_send(w, n->id, out.send[i].to, NULL, &out.send[i].msg);
    world_event(w, out.wake_mono_ns, M_SUPPORT, n)->a = ++n->support_timer;
    if (out.want_sync)
        begin_sync(w, n);
}

static void answer_load(struct world *w, struct mnode *n)
{
    struct paxos_in in = {.kind = PAXOS_IN_LOADED};
    slot_no from = n->out.load.from, to = n->out.load.to;
    struct paxos_entry *entries = arena_alloc(w->mem, (to - from + 1) * sizeof *entries);
    size_t k = 0;

    for (slot_no s = from; s <= to; s++) {
        const struct mentry *e = log_at(&n->cur, s);

        if (e == NULL)
            break;
        entries[k++] = (struct paxos_entry){s, e->ballot, e->kind, e->payload};
    }
    in.loaded.load_for = n->out.load.node;
    in.loaded.entries = entries;
    in.loaded.n_entries = k;
    n->out.load.node = 0;
    node_paxos(w, n, in);
}

static void propose(struct world *w, struct mnode *n)
{
    uint64_t value = ++w->n_values;

    node_paxos(
        w, n,
        (struct paxos_in){.kind = PAXOS_IN_PROPOSE, .payload = bytes_of(&value, sizeof value)});
}

void node_paxos(struct world *w, struct mnode *n, struct paxos_in in)
{
    struct paxos_out *out = &n->out;

    if (!n->up || w->failed)
        return;
    in.now = now_of(w, n);
    in.mono_ns = mono_of(w);
    in.support = n->support;
    paxos_step(n->paxos, &in, out);
    n->config_before = n->config;
    n->config = *out->config;
    take_write(w, n, out);
    for (size_t i = 0; i < out->n_send; i++)
        send_or_hold(w, n, &out->send[i]);
    send_snapshots(w, n, out);
    world_event(w, out->wake_mono_ns, M_PAXOS, n)->a = ++n->paxos_timer;
    if (out->lost) {
        n->shut = false;
        n->hand_used = 0;
    }
    check_step(w, n);
    apply(w, n);
    if (out->verdict == PAXOS_TAKEN && in.kind == PAXOS_IN_TRANSFER)
        n->hand_used = 0;
    if (out->load.node != 0)
        answer_load(w, n);
    else if (n->hand_used != 0 && in.kind != PAXOS_IN_TRANSFER)
        node_paxos(w, n,
                   (struct paxos_in){.kind = PAXOS_IN_TRANSFER, .transfer.used = n->hand_used});
    else if (out->room && !n->shut && w->now < T_END - 2LL * NS_PER_S &&
             rng_chance(&w->rng, w->propose))
        propose(w, n);
}

/* -------- life -------- */

static void trace_line(void *arg, const char *line)
{
    world_trace(arg, "%s", line);
}

static void start_paxos(struct world *w, struct mnode *n)
{
    static const node_id first[] = {1, 2, 3};
    struct mlog *l = &n->cur;
    struct paxos_entry *entries = arena_alloc(w->mem, (l->n + 1) * sizeof *entries);
    struct paxos_options o = {.group = 1,
                              .self = n->id,
                              .voters = first,
                              .n_voters = n->id <= 3 ? 3 : 0,
                              .seed = rng_next(&w->rng),
                              .election_min_ns = LEASE_NS / 20,
                              .election_max_ns = LEASE_NS * 3 / 20,
                              .heartbeat_ns = LEASE_NS * 3 / 8,
                              .resend_ns = LEASE_NS / 20,
                              .catch_up_slots = CATCH_UP,
                              .cache_bytes = CACHE_BYTES,
                              .mutant = w->mutant,
                              .trace = w->trace ? trace_line : NULL,
                              .trace_arg = w};
    struct paxos_start st = {.hard = l->hard,
                             .first = l->head.first,
                             .before = l->head.before,
                             .entries = entries,
                             .n_entries = l->n,
                             .applied = n->data.slot};
    bool ahead = n->data.slot >= l->head.first + l->n || n->data.slot + 1 < l->head.first;

    for (size_t i = 0; i < l->n; i++)
        entries[i] = (struct paxos_entry){l->head.first + i, l->e[i].ballot, l->e[i].kind,
                                          l->e[i].kind == PAXOS_ENTRY_CONFIG ? l->e[i].payload
                                                                             : bytes_of(NULL, 0)};
    if (ahead) {
        ASSERT(n->data.slot == n->installed.data.slot);
        st.applied = l->head.first - 1;
    }
    n->paxos = paxos_new(&o, &st, mono_of(w));
    if (ahead)
        node_paxos(
            w, n,
            (struct paxos_in){.kind = PAXOS_IN_INSTALLED,
                              .installed = {n->installed.data.slot, n->installed.ballot,
                                            n->installed.config_slot, &n->installed.config}});
}

/* What a store that was wiped must never do: go on as the replica that it was. */
static void wipe(struct mnode *n)
{
    n->cur.n = n->durable.n = 0;
    n->cur.head = n->durable.head = (struct paxos_head){.first = 1};
    memset(&n->cur.hard, 0, sizeof n->cur.hard);
    memset(&n->durable.hard, 0, sizeof n->durable.hard);
    n->checkpoint = (struct mdata){0, 1};
    n->incarnation = 0;
}

void node_start(struct world *w, struct mnode *n)
{
    node_id peers[NODES];
    struct support_options o = {.self = n->id,
                                .incarnation = ++n->incarnation,
                                .peers = peers,
                                .lease_ns = LEASE_NS,
                                .renew_ns = LEASE_NS * 3 / 8,
                                .sync_age_max_ns = LEASE_NS,
                                .store_is_new = n->incarnation == 1,
                                .longest_lease_ns = LEASE_NS,
                                .bound_cap_ns = 100 * NS_PER_MS,
                                .mutant = w->mutant};

    if (w->mutant == MUTANT_wiped_store_votes && n->life > 0 && rng_chance(&w->rng, 0.3)) {
        wipe(n);
        o.store_is_new = true;
    }
    for (node_id id = 1; id <= NODES; id++)
        if (id != n->id)
            peers[o.n_peers++] = id;
    world_trace(w, "n%u starts, slots %llu..%llu, data %llu", n->id,
                (unsigned long long)n->cur.head.first,
                (unsigned long long)(n->cur.head.first + n->cur.n - 1),
                (unsigned long long)n->checkpoint.slot);
    n->up = true;
    n->life++;
    n->data = n->checkpoint;
    n->durable_seq = 0;
    n->shut = false;
    n->hand_used = 0;
    n->asked = 0;
    memset(n->snapshot_due, 0, sizeof n->snapshot_due);
    memset(&n->out, 0, sizeof n->out);
    n->support = support_new(&o, now_of(w, n), mono_of(w));
    start_paxos(w, n);
    step_support(w, n, (struct support_in){.kind = SUPPORT_IN_TICK});
    node_paxos(w, n, (struct paxos_in){.kind = PAXOS_IN_TICK});
    (void)world_event(w, w->now + rng_between(&w->rng, 100 * NS_PER_MS, NS_PER_S), M_CHECKPOINT, n);
}

void node_crash(struct world *w, struct mnode *n)
{
    size_t survive = rng_chance(&w->rng, 0.5) ? 0 : rng_below(&w->rng, n->n_writes + 1);

    if (!n->up)
        return;
    world_trace(w, "n%u down", n->id);
    w->n_crashes++;
    n->up = false;
    n->life++;
    for (size_t i = 0; i < survive; i++)
        log_apply(&n->durable, &n->writes[i]);
    n->n_writes = n->n_syncing = n->n_held = 0;
    n->syncing = false;
    free(n->cur.e);
    n->cur = n->durable;
    n->cur.e = xcalloc(n->cur.cap + 1, sizeof *n->cur.e);
    if (n->durable.n > 0)
        memcpy(n->cur.e, n->durable.e, n->durable.n * sizeof *n->cur.e);
    paxos_free(n->paxos);
    support_free(n->support);
    n->paxos = NULL;
    n->support = NULL;
}

void node_fini(struct mnode *n)
{
    paxos_free(n->paxos);
    support_free(n->support);
    free(n->cur.e);
    free(n->durable.e);
    free(n->writes);
    free(n->held);
}

/* -------- events -------- */

static void on_sync(struct world *w, struct mnode *n)
{
    for (size_t i = 0; i < n->n_syncing; i++) {
        log_apply(&n->durable, &n->writes[i]);
        n->durable_seq = n->writes[i].seq;
    }
    drop_writes(n, n->n_syncing);
    n->n_syncing = 0;
    n->syncing = false;
    send_held(w, n);
    step_support(w, n, (struct support_in){.kind = SUPPORT_IN_SYNCED});
    node_paxos(w, n, (struct paxos_in){.kind = PAXOS_IN_DURABLE, .durable_seq = n->durable_seq});
    if (n->up && n->n_writes > 0)
        begin_sync(w, n);
}

/* The data is replaced and checkpointed first; a crash may come before the log knows. */
static void on_install(struct world *w, struct mnode *n, const struct msnapshot *s)
{
    if (s->data.slot <= n->data.slot)
        return;
    n->data = n->checkpoint = s->data;
    n->installed = *s;
    check_state(w, n);
    w->n_installs++;
    if (!w->healed && rng_chance(&w->rng, 0.1)) {
        node_crash(w, n);
        (void)world_event(w, w->now + 100 * NS_PER_MS, M_RESTART, n);
        return;
    }
    node_paxos(
        w, n,
        (struct paxos_in){.kind = PAXOS_IN_INSTALLED,
                          .installed = {s->data.slot, s->ballot, s->config_slot, &s->config}});
    node_paxos(w, n, (struct paxos_in){.kind = PAXOS_IN_CHECKPOINTED, .slot = s->data.slot});
}

static void on_checkpoint(struct world *w, struct mnode *n)
{
    slot_no keep = CATCH_UP + 1 + (rng_chance(&w->rng, 0.5) ? 0 : rng_below(&w->rng, 30));

    n->checkpoint = n->data;
    node_paxos(w, n, (struct paxos_in){.kind = PAXOS_IN_CHECKPOINTED, .slot = n->data.slot});
    if (n->data.slot > keep)
        node_paxos(w, n, (struct paxos_in){.kind = PAXOS_IN_TRUNCATE, .slot = n->data.slot - keep});
    (void)world_event(w, w->now + rng_between(&w->rng, 100 * NS_PER_MS, NS_PER_S), M_CHECKPOINT, n);
}

static void on_packet(struct world *w, struct mnode *n, const struct mevent *e)
{
    static struct paxos_entry entries[PAXOS_MSG_ENTRIES_MAX];
    struct paxos_msg m;
    struct rd r = rd_of(e->body);

    if (e->is_support) {
        step_support(w, n, (struct support_in){.kind = SUPPORT_IN_MESSAGE, .msg = e->support});
        return;
    }
    ASSERT(paxos_msg_decode(&r, &m, entries, PAXOS_MSG_ENTRIES_MAX));
    m.mono_ns = mono_of(w);
    node_paxos(w, n, (struct paxos_in){.kind = PAXOS_IN_MESSAGE, .msg = &m});
}

void node_event(struct world *w, struct mnode *n, const struct mevent *e)
{
    switch (e->kind) {
    case M_PACKET:
        on_packet(w, n, e);
        break;
    case M_PAXOS:
        if (e->a == n->paxos_timer)
            node_paxos(w, n, (struct paxos_in){.kind = PAXOS_IN_TICK});
        break;
    case M_SUPPORT:
        if (e->a == n->support_timer)
            step_support(w, n, (struct support_in){.kind = SUPPORT_IN_TICK});
        break;
    case M_SYNC:
        on_sync(w, n);
        break;
    case M_INSTALL:
        on_install(w, n, e->snapshot);
        break;
    case M_CHECKPOINT:
        on_checkpoint(w, n);
        break;
    case M_RESTART:
    case M_FAULT:
        ASSERT(!"an event of the world");
        break;
    }
}
