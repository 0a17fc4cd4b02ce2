#include "tests/unit/storage/calm.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"

static void trace_line(void *arg, const char *line)
{
    struct cluster *c = arg;
    int n = snprintf(c->trace + c->trace_len, sizeof c->trace - c->trace_len, "%s\n", line);

    if (n > 0 && c->trace_len + (size_t)n < sizeof c->trace)
        c->trace_len += (size_t)n;
}

static struct tt_interval now_of(const struct cluster *c, const struct node *n)
{
    return (struct tt_interval){c->now + n->lie_ns - MS, c->now + n->lie_ns + MS};
}

static int64_t mono_of(const struct cluster *c)
{
    return c->now - T0 + NS_PER_S;
}

static void post(struct cluster *c, node_id from, struct letter l)
{
    if (c->cut[from][l.to] || c->n_queue == CALM_QUEUE) {
        buf_fini(&l.paxos);
        return;
    }
    l.at = c->now + DELAY_NS;
    l.seq = ++c->seq;
    c->node[from].n_sent++;
    c->queue[c->n_queue++] = l;
}

static void step_support(struct cluster *c, struct node *n, struct support_in in)
{
    struct support_out out;

    in.now = now_of(c, n);
    in.mono_ns = mono_of(c);
    support_step(n->support, &in, &out);
    for (size_t i = 0; i < out.n_send; i++)
        post(c, n->id,
             (struct letter){.to = out.send[i].to, .is_support = true, .support = out.send[i].msg});
    n->support_wake = out.wake_mono_ns;
    if (out.want_sync && n->sync_at == 0) {
        n->sync_at = c->now + SYNC_NS;
        n->syncing = n->written;
    }
}

static void free_payload(struct paxos_entry *e)
{
    free((void *)(uintptr_t)e->payload.ptr);
    e->payload = bytes_of(NULL, 0);
}

static void take_write(struct cluster *c, struct node *n)
{
    if (n->out.hard != NULL)
        n->hard = *n->out.hard;
    while (n->out.cut_from != 0 && n->last >= n->out.cut_from)
        free_payload(&n->log[n->last--]);
    if (n->out.head != NULL) {
        assert_true(n->out.head->first > n->head.first);
        for (slot_no s = n->head.first; s < n->out.head->first; s++)
            free_payload(&n->log[s]);
        n->head = *n->out.head;
        if (n->last < n->head.first)
            n->last = n->head.first - 1;
    }
    for (size_t i = 0; i < n->out.n_append; i++) {
        const struct paxos_entry *e = &n->out.append[i];
        uint8_t *copy = xmalloc(e->payload.len + 1);

        assert_int_equal(e->slot, n->last + 1);
        if (e->payload.len > 0)
            memcpy(copy, e->payload.ptr, e->payload.len);
        n->log[++n->last] = *e;
        n->log[n->last].payload = bytes_of(copy, e->payload.len);
    }
    n->written = n->out.write_seq;
    if (n->sync_at == 0) {
        n->sync_at = c->now + SYNC_NS;
        n->syncing = n->written;
    }
}

/* Every peer that should have a snapshot and can be reached gets one of what is chosen here. */
static void send_snapshots(struct cluster *c, struct node *n)
{
    node_id to[CALM_NODES];
    size_t k = n->out.n_snapshot;

    assert_true(k <= CALM_NODES);
    for (size_t i = 0; i < k; i++)
        to[i] = n->out.snapshot[i];
    for (size_t i = 0; i < k; i++) {
        struct node *peer = &c->node[to[i]];
        struct paxos_in in = {.kind = PAXOS_IN_INSTALLED, .installed.slot = n->out.chosen};

        if (!peer->up || c->cut[n->id][to[i]] || c->now - peer->installed_at < 50 * MS)
            continue;
        peer->installed_at = c->now;
        peer->n_installed++;
        in.installed.ballot = paxos_ballot_of(n->paxos, in.installed.slot);
        in.installed.config =
            paxos_config_at(n->paxos, in.installed.slot, &in.installed.config_slot);
        assert_non_null(in.installed.config);
        calm_step(c, peer, in);
    }
}

void calm_step(struct cluster *c, struct node *n, struct paxos_in in)
{
    in.now = now_of(c, n);
    in.mono_ns = mono_of(c);
    in.support = n->support;
    paxos_step(n->paxos, &in, &n->out);
    if (n->out.write_seq != 0)
        take_write(c, n);
    for (size_t i = 0; i < n->out.n_send; i++) {
        struct letter l = {.to = n->out.send[i].msg.to};

        paxos_msg_encode(&l.paxos, &n->out.send[i].msg);
        if (n->out.send[i].after_write <= n->durable) {
            post(c, n->id, l);
        } else {
            assert_true(n->n_held < 64);
            n->held[n->n_held++] = (struct held){n->out.send[i].after_write, l};
        }
    }
    n->wake = n->out.wake_mono_ns;
    send_snapshots(c, n);
    if (n->out.load.node != 0) {
        slot_no from = n->out.load.from;

        calm_step(c, n,
                  (struct paxos_in){.kind = PAXOS_IN_LOADED,
                                    .loaded = {n->out.load.node, &n->log[from],
                                               (size_t)(n->out.load.to - from + 1)}});
    }
}

void calm_start(struct cluster *c, node_id id)
{
    static const node_id voters[N] = {1, 2, 3};
    struct node *n = &c->node[id];
    node_id peers[CALM_NODES];
    size_t n_peers = 0;
    struct paxos_entry entries[CALM_LOG];
    struct paxos_options o = {.group = 7,
                              .self = id,
                              .voters = voters,
                              .n_voters = id <= N ? N : 0,
                              .seed = id * 100 + n->incarnation,
                              .election_min_ns = 100 * MS,
                              .election_max_ns = 300 * MS,
                              .heartbeat_ns = 250 * MS,
                              .resend_ns = 100 * MS,
                              .lease_cap_ns = LEASE + 500 * MS,
                              .cache_bytes = c->cache_bytes,
                              .trace = trace_line,
                              .trace_arg = c};
    slot_no first = n->head.first == 0 ? 1 : n->head.first;
    struct paxos_start st = {.hard = n->hard,
                             .first = first,
                             .before = n->head.before,
                             .entries = entries,
                             .applied = first - 1};

    for (node_id v = 1; v <= c->n; v++)
        if (v != id)
            peers[n_peers++] = v;
    n->support = support_new(&(struct support_options){.self = id,
                                                       .incarnation = ++n->incarnation,
                                                       .peers = peers,
                                                       .n_peers = n_peers,
                                                       .lease_ns = LEASE,
                                                       .renew_ns = LEASE / 4,
                                                       .sync_age_max_ns = LEASE,
                                                       .store_is_new = n->incarnation == 1,
                                                       .longest_lease_ns = LEASE,
                                                       .bound_cap_ns = 500 * MS},
                             now_of(c, n), mono_of(c));
    for (slot_no s = first; s <= n->last; s++) {
        struct paxos_entry *e = &entries[st.n_entries++];

        *e = n->log[s];
        if (n->on_disk_only && e->kind == PAXOS_ENTRY_COMMANDS)
            e->payload = bytes_of(NULL, 0);
    }
    n->paxos = paxos_new(&o, &st, mono_of(c));
    n->id = id;
    n->up = true;
    n->durable = n->written = 0;
    n->sync_at = 0;
    step_support(c, n, (struct support_in){.kind = SUPPORT_IN_TICK});
    calm_step(c, n, (struct paxos_in){.kind = PAXOS_IN_TICK});
}

void calm_kill(struct cluster *c, node_id id)
{
    struct node *n = &c->node[id];

    n->up = false;
    for (size_t i = 0; i < n->n_held; i++)
        buf_fini(&n->held[i].letter.paxos);
    n->n_held = 0;
    paxos_free(n->paxos);
    support_free(n->support);
}

struct cluster *calm_new_of(size_t nodes)
{
    struct cluster *c = xcalloc(1, sizeof *c);

    c->n = nodes;
    c->now = T0;
    c->cache_bytes = 1 << 20;
    for (node_id id = 1; id <= N; id++)
        calm_start(c, id);
    return c;
}

struct cluster *calm_new(void)
{
    return calm_new_of(N);
}

void calm_free(struct cluster *c)
{
    for (node_id id = 1; id <= CALM_NODES; id++) {
        if (c->node[id].up)
            calm_kill(c, id);
        for (slot_no s = 1; s < CALM_LOG; s++)
            free_payload(&c->node[id].log[s]);
    }
    for (size_t i = 0; i < c->n_queue; i++)
        buf_fini(&c->queue[i].paxos);
    free(c);
}

static void deliver(struct cluster *c, struct letter *l)
{
    struct node *n = &c->node[l->to];
    static struct paxos_entry entries[PAXOS_MSG_ENTRIES_MAX];
    struct paxos_msg m;
    struct rd r = rd_of(buf_bytes(&l->paxos));

    if (n->up && l->is_support) {
        step_support(c, n, (struct support_in){.kind = SUPPORT_IN_MESSAGE, .msg = l->support});
    } else if (n->up) {
        assert_true(paxos_msg_decode(&r, &m, entries, PAXOS_MSG_ENTRIES_MAX));
        calm_step(c, n, (struct paxos_in){.kind = PAXOS_IN_MESSAGE, .msg = &m});
    }
    buf_fini(&l->paxos);
}

static void synced(struct cluster *c, struct node *n)
{
    struct held held[64];
    size_t n_held = n->n_held;

    n->durable = n->syncing;
    n->sync_at = 0;
    memcpy(held, n->held, n_held * sizeof *held);
    n->n_held = 0;
    for (size_t i = 0; i < n_held; i++) {
        if (held[i].after <= n->durable)
            post(c, n->id, held[i].letter);
        else
            n->held[n->n_held++] = held[i];
    }
    step_support(c, n, (struct support_in){.kind = SUPPORT_IN_SYNCED});
    calm_step(c, n, (struct paxos_in){.kind = PAXOS_IN_DURABLE, .durable_seq = n->durable});
    if (n->written > n->durable && n->sync_at == 0) {
        n->sync_at = c->now + SYNC_NS;
        n->syncing = n->written;
    }
}

/* Everything that is due at or before `until`, in order of time. */
void calm_run_until(struct cluster *c, int64_t until)
{
    for (;;) {
        int64_t next = until + 1;
        size_t letter = c->n_queue;
        struct node *who = NULL;

        for (size_t i = 0; i < c->n_queue; i++) {
            if (c->queue[i].at < next || (letter < c->n_queue && c->queue[i].at == next &&
                                          c->queue[i].seq < c->queue[letter].seq)) {
                next = c->queue[i].at;
                letter = i;
            }
        }
        for (node_id id = 1; id <= CALM_NODES; id++) {
            struct node *n = &c->node[id];
            int64_t due = n->wake < n->support_wake ? n->wake : n->support_wake;

            due += T0 - NS_PER_S;
            if (n->up && n->sync_at != 0 && n->sync_at < due)
                due = n->sync_at;
            if (n->up && due < next) {
                next = due;
                who = n;
            }
        }
        if (next > until)
            break;
        c->now = next > c->now ? next : c->now;
        if (who == NULL) {
            struct letter l = c->queue[letter];

            c->queue[letter] = c->queue[--c->n_queue];
            deliver(c, &l);
        } else if (who->sync_at != 0 && who->sync_at <= c->now) {
            synced(c, who);
        } else if (who->support_wake <= mono_of(c)) {
            step_support(c, who, (struct support_in){.kind = SUPPORT_IN_TICK});
        } else {
            calm_step(c, who, (struct paxos_in){.kind = PAXOS_IN_TICK});
        }
    }
    c->now = until;
}

void calm_run(struct cluster *c, int64_t ns)
{
    calm_run_until(c, c->now + ns);
}

node_id calm_leader(struct cluster *c)
{
    node_id found = 0;

    for (node_id id = 1; id <= CALM_NODES; id++) {
        struct node *n = &c->node[id];

        if (n->up && n->out.role == PAXOS_LEADER && n->out.lease_end > c->now) {
            assert_int_equal(found, 0);
            found = id;
        }
    }
    return found;
}

node_id calm_wait_leader(struct cluster *c, int64_t at_most_ns)
{
    int64_t until = c->now + at_most_ns;

    while (calm_leader(c) == 0) {
        if (c->now >= until)
            fail_msg("no leader in time; trace:\n%s", c->trace);
        calm_run(c, MS);
    }
    return calm_leader(c);
}

slot_no calm_propose(struct cluster *c, node_id id, const char *text)
{
    assert_true(c->node[id].out.room);
    calm_step(c, &c->node[id],
              (struct paxos_in){.kind = PAXOS_IN_PROPOSE, .payload = bytes_str(text)});
    return c->node[id].out.last;
}

void calm_propose_many(struct cluster *c, node_id id, int count)
{
    char text[32];

    for (int i = 0; i < count; i++) {
        (void)snprintf(text, sizeof text, "entry %d", i);
        while (!c->node[id].out.room)
            calm_run(c, MS);
        (void)calm_propose(c, id, text);
    }
    calm_run(c, 20 * MS);
}

void calm_isolate(struct cluster *c, node_id id, bool cut)
{
    for (node_id other = 1; other <= CALM_NODES; other++)
        c->cut[id][other] = c->cut[other][id] = cut && other != id;
}

void calm_assert_logs_equal(struct cluster *c, slot_no last)
{
    for (node_id id = 1; id <= N; id++) {
        assert_int_equal(c->node[id].last, last);
        for (slot_no s = 1; s <= last; s++) {
            if (s < c->node[id].head.first || s < c->node[1].head.first)
                continue;
            assert_int_equal(ballot_cmp(c->node[id].log[s].ballot, c->node[1].log[s].ballot), 0);
            assert_true(bytes_eq(c->node[id].log[s].payload, c->node[1].log[s].payload));
        }
    }
}

void calm_assert_trace(struct cluster *c, const char *want)
{
    assert_string_equal(c->trace, want);
    c->trace_len = 0;
    c->trace[0] = '\0';
}

void calm_forget_trace(struct cluster *c)
{
    c->trace_len = 0;
    c->trace[0] = '\0';
}
