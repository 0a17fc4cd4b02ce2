/* A node: the shell that drives the cores with events, as the server's store does with threads. */
#include "sim.h"

#include <stdlib.h>

#include "base/check.h"

struct sim_load {
    node_id node;
    slot_no from, to;
};

static void trace_line(void *arg, const char *line)
{
    sim_trace(arg, "%s", line);
}

void node_init(struct world *w, struct sim_node *n)
{
    n->clock.mono_rate = 1 + (2 * rng_unit(&w->rng) - 1) * 100e-6;
    n->clock.mono_base = rng_between(&w->rng, NS_PER_S, 100LL * NS_PER_S);
    n->clock.mono_since = w->now;
    n->disk.cur.first = n->disk.durable.first = 1;
    clock_change(w, n);
    tsalloc_init(&n->alloc);
    n->alloc.mutant = w->o.mutant;
}

static void drop_cores(struct sim_node *n)
{
    paxos_free(n->paxos);
    support_free(n->support);
    n->paxos = NULL;
    n->support = NULL;
}

void node_fini(struct sim_node *n)
{
    if (n->up)
        kv_lost(NULL, n, true);
    drop_cores(n);
    disk_fini(&n->disk);
    tsalloc_fini(&n->alloc);
    for (size_t k = 0; k < KEYS; k++)
        free(n->reg.key[k].v);
    free(n->reg.outcomes);
    free(n->reg.by_id);
    free(n->held);
}

/* -------- support -------- */

static void step_support(struct world *w, struct sim_node *n, struct support_in *in)
{
    struct support_out out;

    in->now = clock_now(w, n);
    in->mono_ns = clock_mono(w, n);
    support_step(n->support, in, &out);
    for (size_t i = 0; i < out.n_send; i++) {
        struct packet *p = net_packet(w, PACKET_SUPPORT, n->id, out.send[i].to);
        struct buf b = {0};

        support_msg_encode(&b, &out.send[i].msg);
        p->body = arena_copy(&w->mem, buf_bytes(&b));
        buf_fini(&b);
        net_send(w, p);
    }
    sim_event(w, clock_true_of_mono(n, out.wake_mono_ns), EV_SUPPORT_TIMER, n->id,
              ++n->support_timer, 0, NULL);
    if (out.want_sync)
        disk_sync(w, n);
}

/* -------- paxos -------- */

static void transmit(struct world *w, struct sim_node *n, const struct paxos_msg *m)
{
    struct packet *p = net_packet(w, PACKET_PAXOS, n->id, m->to);
    struct buf b = {0};

    paxos_msg_encode(&b, m);
    p->body = arena_copy(&w->mem, buf_bytes(&b));
    buf_fini(&b);
    net_send(w, p);
}

static void send_one(struct world *w, struct sim_node *n, const struct paxos_send *s)
{
    if (s->after_write <= n->durable_seq) {
        transmit(w, n, &s->msg);
        return;
    }
    ASSERT(s->msg.n_entries == 0);
    VEC_PUSH(n->held, n->n_held, n->cap_held) = (struct held_message){s->msg, s->after_write};
}

/* As the server's shell does, an interval is renewed when its message leaves; a void one stays. */
static void send_held(struct world *w, struct sim_node *n)
{
    struct tt_interval now = clock_now(w, n);
    size_t kept = 0;

    for (size_t i = 0; i < n->n_held; i++) {
        struct held_message *h = &n->held[i];

        if (h->after_write <= n->durable_seq) {
            if (!tt_is_void(h->msg.time))
                h->msg.time = now;
            transmit(w, n, &h->msg);
        } else {
            n->held[kept++] = *h;
        }
    }
    n->n_held = kept;
}

static void apply_chosen(struct world *w, struct sim_node *n, const struct paxos_out *out)
{
    while (n->checked < out->chosen) {
        const struct disk_entry *e = disk_at(&n->disk.cur, n->checked + 1);

        if (e == NULL)
            break; /* the core counts what this log does not hold yet: never for a follower */
        n->checked++;
        check_chosen(w, n, n->checked, e);
    }
    while (n->reg.applied < out->apply && !w->r.failed) {
        const struct disk_entry *e = disk_at(&n->disk.durable, n->reg.applied + 1);

        if (e == NULL) {
            sim_fail(w, "n%u applies slot %llu, which its disk has not synced", n->id,
                     (unsigned long long)n->reg.applied + 1);
            return;
        }
        kv_apply(w, n, n->reg.applied + 1,
                 e->kind == PAXOS_ENTRY_COMMANDS ? e->payload : bytes_of(NULL, 0));
    }
}

static void take_out(struct world *w, struct sim_node *n, const struct paxos_out *out)
{
    if (out->write_seq != 0) {
        disk_write(w, n, out);
        disk_sync(w, n);
    }
    for (size_t i = 0; i < out->n_send; i++)
        send_one(w, n, &out->send[i]);
    if (out->load.node != 0) {
        struct sim_load *l = arena_alloc(&w->mem, sizeof *l);

        *l = (struct sim_load){out->load.node, out->load.from, out->load.to};
        sim_event(w, w->now + rng_between(&w->rng, 0, NS_PER_MS), EV_LOADED, n->id, 0, 0, l);
    }
    n->role = out->role;
    n->ballot = out->ballot;
    n->leader_hint = out->leader;
    n->room = out->room;
    n->chosen = out->chosen;
    n->everywhere = out->everywhere;
    n->lease_start = out->lease_start;
    n->lease_end = out->lease_end;
    n->agreed = out->agreed;
    n->agreed_mono = clock_mono(w, n);
    sim_event(w, clock_true_of_mono(n, out->wake_mono_ns), EV_PAXOS_TIMER, n->id, ++n->paxos_timer,
              0, NULL);
    apply_chosen(w, n, out);
    if (out->lost)
        kv_lost(w, n, false);
    if (out->won) {
        check_won(w, n);
        kv_won(w, n, out->last);
    }
    if (n->role == PAXOS_LEADER)
        check_lease(w, n);
    if (n->stopping && out->lost && n->stop_leads)
        check_gone(w, n, n->stop_used);
}

/* As the worker does: support is asked for by leaders and candidates alone. */
static void want_support(struct world *w, struct sim_node *n)
{
    bool wanted = n->role != PAXOS_FOLLOWER;

    if (wanted == n->support_wanted)
        return;
    n->support_wanted = wanted;
    support_want(n->support, wanted);
    step_support(w, n, &(struct support_in){.kind = SUPPORT_IN_TICK});
}

void node_paxos(struct world *w, struct sim_node *n, struct paxos_in *in)
{
    struct paxos_out out;
    struct buf batch = {0};

    do {
        in->now = clock_now(w, n);
        in->mono_ns = clock_mono(w, n);
        in->support = n->support;
        paxos_step(n->paxos, in, &out);
        take_out(w, n, &out);
        if (in->kind == PAXOS_IN_PROPOSE)
            kv_proposed(w, n, out.last);
        buf_reset(&batch);
        in->kind = PAXOS_IN_PROPOSE;
    } while (!w->r.failed && n->room && kv_next_batch(w, n, &batch) &&
             (in->payload = buf_bytes(&batch), true));
    buf_fini(&batch);
    want_support(w, n);
    kv_after_step(w, n);
    if (n->stopping && out.released) {
        sim_trace(w, "n%u stops", n->id);
        node_crash(w, n);
    }
}

void node_step(struct world *w, struct sim_node *n, enum paxos_in_kind kind)
{
    struct paxos_in in = {.kind = kind};

    node_paxos(w, n, &in);
}

/* -------- life -------- */

static void start_support(struct world *w, struct sim_node *n)
{
    node_id peers[NODES_MAX];
    size_t n_peers = 0;
    struct support_options o = {.self = n->id,
                                .incarnation = ++n->incarnation,
                                .peers = peers,
                                .lease_ns = SIM_LEASE_NS,
                                .renew_ns = SIM_LEASE_NS / 4,
                                .sync_age_max_ns = SIM_LEASE_NS,
                                .store_is_new = !n->ever,
                                .longest_lease_ns = SIM_LEASE_NS,
                                .bound_cap_ns = 500LL * NS_PER_MS,
                                .mutant = w->o.mutant};

    for (size_t i = 0; i < w->n_nodes; i++)
        if (w->nodes[i].id != n->id)
            peers[n_peers++] = w->nodes[i].id;
    o.n_peers = n_peers;
    n->support = support_new(&o, clock_now(w, n), clock_mono(w, n));
    n->support_wanted = false;
    support_want(n->support, false);
}

static void start_paxos(struct world *w, struct sim_node *n)
{
    node_id voters[NODES_MAX];
    struct disk_log *l = &n->disk.cur;
    struct paxos_options o = {.group = SIM_GROUP,
                              .self = n->id,
                              .voters = voters,
                              .n_voters = w->n_nodes,
                              .seed = rng_next(&w->rng),
                              .election_min_ns = 100LL * NS_PER_MS,
                              .election_max_ns = 300LL * NS_PER_MS,
                              .heartbeat_ns = 250LL * NS_PER_MS,
                              .resend_ns = 100LL * NS_PER_MS,
                              .lease_cap_ns = SIM_LEASE_NS + 500LL * NS_PER_MS,
                              .cache_bytes = w->prof.cache_bytes,
                              .mutant = w->o.mutant,
                              .trace = trace_line,
                              .trace_arg = w};
    struct paxos_start st = {.hard = l->hard,
                             .first = l->first,
                             .before = l->before,
                             .n_entries = l->n,
                             .applied = n->checkpoint.applied};
    struct paxos_entry *entries = xcalloc(l->n + 1, sizeof *entries);
    bool on_disk = rng_chance(&w->rng, 0.5);

    for (size_t i = 0; i < w->n_nodes; i++)
        voters[i] = w->nodes[i].id;
    for (size_t i = 0; i < l->n; i++)
        entries[i] = (struct paxos_entry){l->first + i, l->entries[i].ballot, l->entries[i].kind,
                                          on_disk && l->entries[i].kind == PAXOS_ENTRY_COMMANDS
                                              ? bytes_of(NULL, 0)
                                              : l->entries[i].payload};
    st.entries = entries;
    n->paxos = paxos_new(&o, &st, clock_mono(w, n));
    free(entries);
}

void node_start(struct world *w, struct sim_node *n)
{
    n->up = true;
    n->stopping = n->stop_leads = false;
    n->role = PAXOS_FOLLOWER;
    n->leader_hint = 0;
    n->durable_seq = 0;
    n->n_held = 0;
    n->paused_until = 0;
    n->acks_due = false;
    kv_restore(n);
    n->checked = n->reg.applied;
    start_support(w, n);
    start_paxos(w, n);
    n->ever = true;
    sim_trace(w, "n%u starts, incarnation %llu, slots %llu..%llu, applied %llu", n->id,
              (unsigned long long)n->incarnation, (unsigned long long)n->disk.cur.first,
              (unsigned long long)(n->disk.cur.first + n->disk.cur.n - 1),
              (unsigned long long)n->reg.applied);
    step_support(w, n, &(struct support_in){.kind = SUPPORT_IN_TICK});
    node_step(w, n, PAXOS_IN_TICK);
    sim_event(w, w->now + rng_between(&w->rng, 300LL * NS_PER_MS, 3LL * NS_PER_S), EV_CHECKPOINT,
              n->id, 0, 0, NULL);
}

void node_crash(struct world *w, struct sim_node *n)
{
    if (!n->up)
        return;
    sim_trace(w, "n%u down", n->id);
    kv_lost(w, n, true);
    disk_crash(w, n);
    drop_cores(n);
    n->up = false;
    n->life++;
    w->r.n_crashes++;
}

void node_stop(struct world *w, struct sim_node *n)
{
    struct paxos_in in = {.kind = PAXOS_IN_RELEASE};

    sim_trace(w, "n%u is asked to stop", n->id);
    n->stopping = true;
    n->stop_leads = n->role == PAXOS_LEADER;
    in.used = n->stop_used = kv_used(n);
    n->serving = false;
    sim_event(w, w->now + 3LL * NS_PER_S, EV_STOPPED, n->id, 0, 0, NULL);
    node_paxos(w, n, &in);
}

/* -------- events -------- */

static void deliver_paxos(struct world *w, struct sim_node *n, const struct packet *p)
{
    struct paxos_msg m;
    struct rd r = rd_of(p->body);

    if (!paxos_msg_decode(&r, &m, w->received, PAXOS_MSG_ENTRIES_MAX)) {
        sim_fail(w, "n%u cannot decode a message of n%u", n->id, p->from);
        return;
    }
    m.mono_ns = clock_mono(w, n);
    node_paxos(w, n, &(struct paxos_in){.kind = PAXOS_IN_MESSAGE, .msg = &m});
}

static void deliver(struct world *w, struct sim_node *n, const struct packet *p)
{
    struct support_in in = {.kind = SUPPORT_IN_MESSAGE};
    struct rd r = rd_of(p->body);

    switch (p->kind) {
    case PACKET_PAXOS:
        deliver_paxos(w, n, p);
        break;
    case PACKET_SUPPORT:
        if (!support_msg_decode(&r, &in.msg))
            sim_fail(w, "n%u cannot decode a support message", n->id);
        else
            step_support(w, n, &in);
        break;
    case PACKET_REQUEST:
        kv_request(w, n, p);
        break;
    case PACKET_REPLY:
        client_reply(w, &p->rep);
        break;
    }
}

static void on_synced(struct world *w, struct sim_node *n)
{
    n->durable_seq = disk_synced(w, n);
    send_held(w, n);
    step_support(w, n, &(struct support_in){.kind = SUPPORT_IN_SYNCED});
    node_paxos(w, n, &(struct paxos_in){.kind = PAXOS_IN_DURABLE, .durable_seq = n->durable_seq});
    if (n->up && n->disk.n_writes > 0)
        disk_sync(w, n);
}

static void on_loaded(struct world *w, struct sim_node *n, const struct sim_load *l)
{
    struct paxos_in in = {.kind = PAXOS_IN_LOADED};
    struct paxos_entry *entries = arena_alloc(&w->mem, (l->to - l->from + 1) * sizeof *entries);
    size_t k = 0;

    for (slot_no s = l->from; s <= l->to; s++) {
        const struct disk_entry *e = disk_at(&n->disk.cur, s);

        if (e == NULL)
            break;
        entries[k++] = (struct paxos_entry){s, e->ballot, e->kind, e->payload};
    }
    in.loaded.load_for = l->node;
    in.loaded.entries = entries;
    in.loaded.n_entries = k;
    node_paxos(w, n, &in);
}

/* The log is truncated only behind a checkpoint, and only what every voter holds. */
static void on_checkpoint(struct world *w, struct sim_node *n)
{
    slot_no through;

    kv_checkpoint(n);
    through = n->checkpoint.applied < n->everywhere ? n->checkpoint.applied : n->everywhere;
    if (through >= n->disk.cur.first)
        node_paxos(w, n, &(struct paxos_in){.kind = PAXOS_IN_TRUNCATE, .slot = through});
    if (n->up)
        sim_event(w, w->now + rng_between(&w->rng, 300LL * NS_PER_MS, 3LL * NS_PER_S),
                  EV_CHECKPOINT, n->id, 0, 0, NULL);
}

void node_event(struct world *w, struct sim_node *n, const struct event *e)
{
    if (e->kind == EV_RESTART) {
        if (!n->up)
            node_start(w, n);
        return;
    }
    if (!n->up)
        return;
    switch (e->kind) {
    case EV_DELIVER:
        deliver(w, n, e->ptr);
        break;
    case EV_PAXOS_TIMER:
        if (e->a == n->paxos_timer)
            node_step(w, n, PAXOS_IN_TICK);
        break;
    case EV_SUPPORT_TIMER:
        if (e->a == n->support_timer)
            step_support(w, n, &(struct support_in){.kind = SUPPORT_IN_TICK});
        break;
    case EV_SYNC_DONE:
        on_synced(w, n);
        break;
    case EV_LOADED:
        on_loaded(w, n, e->ptr);
        break;
    case EV_ACKS:
        n->acks_due = false;
        kv_acks(w, n);
        break;
    case EV_READ:
        kv_read(w, n, e->a);
        break;
    case EV_CHECKPOINT:
        on_checkpoint(w, n);
        break;
    case EV_STOPPED:
        node_crash(w, n);
        break;
    case EV_RESTART:
    case EV_CLIENT:
    case EV_FAULT:
    case EV_LINK:
    case EV_HEAL:
        ASSERT(!"an event of the world");
        break;
    }
}
