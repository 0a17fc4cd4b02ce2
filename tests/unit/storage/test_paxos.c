/*
 * One Paxos group. First a small calm cluster (perfect order, fixed delays, virtual time) whose traces are
 * compared as text; then single replicas that are fed messages by hand; then the codec. Chaos is tests/sim's.
 */
#include "storage/paxos/paxos.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/rng.h"

#define LEASE (INT64_C(2) * NS_PER_S)
#define T0    (INT64_C(1000) * NS_PER_S)
#define MS    ((int64_t)NS_PER_MS)

enum { N = 3, DELAY_NS = 100 * NS_PER_US, SYNC_NS = NS_PER_MS, QUEUE_MAX = 4096, LOG_MAX = 512 };

/* -------- a calm cluster -------- */

struct letter {
    int64_t at;
    uint64_t seq;
    node_id to;
    bool is_support;
    struct support_msg support;
    struct buf paxos; /* encoded; owned */
};

struct held {
    uint64_t after;
    struct letter letter;
};

struct node {
    node_id id;
    bool up, stopped;
    uint64_t incarnation;
    struct paxos *paxos;
    struct support *support;
    struct paxos_out out;
    int64_t wake, support_wake, sync_at; /* sync_at 0: none runs */
    uint64_t written, syncing, durable;
    struct held held[64];
    size_t n_held;
    struct paxos_hard hard;
    struct paxos_entry log[LOG_MAX]; /* [slot]; payloads owned */
    slot_no last;
    bool on_disk_only; /* restarts without payloads in memory */
    size_t n_sent;
    int64_t lie_ns; /* its clock is wrong by this, and does not know it */
};

struct cluster {
    struct node node[N + 1];
    struct letter queue[QUEUE_MAX];
    size_t n_queue;
    uint64_t seq;
    int64_t now;
    bool cut[N + 1][N + 1];
    size_t cache_bytes;
    char trace[16384];
    size_t trace_len;
};

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
    if (c->cut[from][l.to] || c->n_queue == QUEUE_MAX) {
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

static void step(struct cluster *c, struct node *n, struct paxos_in in)
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
    if (n->out.load.node != 0) {
        slot_no from = n->out.load.from;

        step(c, n,
             (struct paxos_in){
                 .kind = PAXOS_IN_LOADED,
                 .loaded = {n->out.load.node, &n->log[from], (size_t)(n->out.load.to - from + 1)}});
    }
}

static void start(struct cluster *c, node_id id)
{
    static const node_id voters[N] = {1, 2, 3};
    struct node *n = &c->node[id];
    node_id peers[N - 1];
    size_t n_peers = 0;
    struct paxos_entry entries[LOG_MAX];
    struct paxos_options o = {.group = 7,
                              .self = id,
                              .voters = voters,
                              .n_voters = N,
                              .seed = id * 100 + n->incarnation,
                              .election_min_ns = 100 * MS,
                              .election_max_ns = 300 * MS,
                              .heartbeat_ns = 250 * MS,
                              .resend_ns = 100 * MS,
                              .lease_cap_ns = LEASE + 500 * MS,
                              .cache_bytes = c->cache_bytes,
                              .trace = trace_line,
                              .trace_arg = c};
    struct paxos_start st = {.hard = n->hard, .first = 1, .entries = entries};

    for (node_id v = 1; v <= N; v++)
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
    for (slot_no s = 1; s <= n->last; s++) {
        entries[s - 1] = n->log[s];
        if (n->on_disk_only)
            entries[s - 1].payload = bytes_of(NULL, 0);
    }
    st.n_entries = (size_t)n->last;
    n->paxos = paxos_new(&o, &st, mono_of(c));
    n->id = id;
    n->up = true;
    n->durable = n->written = 0;
    n->sync_at = 0;
    step_support(c, n, (struct support_in){.kind = SUPPORT_IN_TICK});
    step(c, n, (struct paxos_in){.kind = PAXOS_IN_TICK});
}

/* A kill: what was written is kept (the simulator loses unsynced writes). */
static void kill_node(struct cluster *c, node_id id)
{
    struct node *n = &c->node[id];

    n->up = false;
    for (size_t i = 0; i < n->n_held; i++)
        buf_fini(&n->held[i].letter.paxos);
    n->n_held = 0;
    paxos_free(n->paxos);
    support_free(n->support);
}

static struct cluster *cluster_new(void)
{
    struct cluster *c = xcalloc(1, sizeof *c);

    c->now = T0;
    c->cache_bytes = 1 << 20;
    for (node_id id = 1; id <= N; id++)
        start(c, id);
    return c;
}

static void cluster_free(struct cluster *c)
{
    for (node_id id = 1; id <= N; id++) {
        if (c->node[id].up)
            kill_node(c, id);
        while (c->node[id].last > 0)
            free_payload(&c->node[id].log[c->node[id].last--]);
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
        step(c, n, (struct paxos_in){.kind = PAXOS_IN_MESSAGE, .msg = &m});
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
    step(c, n, (struct paxos_in){.kind = PAXOS_IN_DURABLE, .durable_seq = n->durable});
    if (n->written > n->durable && n->sync_at == 0) {
        n->sync_at = c->now + SYNC_NS;
        n->syncing = n->written;
    }
}

/* Everything that is due at or before `until`, in order of time. */
static void run_until(struct cluster *c, int64_t until)
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
        for (node_id id = 1; id <= N; id++) {
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
            step(c, who, (struct paxos_in){.kind = PAXOS_IN_TICK});
        }
    }
    c->now = until;
}

static void run(struct cluster *c, int64_t ns)
{
    run_until(c, c->now + ns);
}

/* The one leader; 0 if there is none. Fails if there are two that hold a lease. */
static node_id leader(struct cluster *c)
{
    node_id found = 0;

    for (node_id id = 1; id <= N; id++) {
        struct node *n = &c->node[id];

        if (n->up && n->out.role == PAXOS_LEADER && n->out.lease_end > c->now) {
            assert_int_equal(found, 0);
            found = id;
        }
    }
    return found;
}

static node_id wait_leader(struct cluster *c, int64_t at_most_ns)
{
    int64_t until = c->now + at_most_ns;

    while (leader(c) == 0) {
        if (c->now >= until)
            fail_msg("no leader in time; trace:\n%s", c->trace);
        run(c, MS);
    }
    return leader(c);
}

static slot_no propose(struct cluster *c, node_id id, const char *text)
{
    assert_true(c->node[id].out.room);
    step(c, &c->node[id], (struct paxos_in){.kind = PAXOS_IN_PROPOSE, .payload = bytes_str(text)});
    return c->node[id].out.last;
}

/* Proposes count small batches one after the other. */
static void propose_many(struct cluster *c, node_id id, int count)
{
    char text[32];

    for (int i = 0; i < count; i++) {
        (void)snprintf(text, sizeof text, "entry %d", i);
        while (!c->node[id].out.room)
            run(c, MS);
        (void)propose(c, id, text);
    }
    run(c, 20 * MS);
}

static void isolate(struct cluster *c, node_id id, bool cut)
{
    for (node_id other = 1; other <= N; other++)
        c->cut[id][other] = c->cut[other][id] = cut && other != id;
}

static void assert_logs_equal(struct cluster *c, slot_no last)
{
    for (node_id id = 1; id <= N; id++) {
        assert_int_equal(c->node[id].last, last);
        for (slot_no s = 1; s <= last; s++) {
            assert_int_equal(ballot_cmp(c->node[id].log[s].ballot, c->node[1].log[s].ballot), 0);
            assert_true(bytes_eq(c->node[id].log[s].payload, c->node[1].log[s].payload));
        }
    }
}

/* The trace since the last look. */
static void assert_trace(struct cluster *c, const char *want)
{
    assert_string_equal(c->trace, want);
    c->trace_len = 0;
    c->trace[0] = '\0';
}

static void forget_trace(struct cluster *c)
{
    c->trace_len = 0;
    c->trace[0] = '\0';
}

static void cluster_new_elects_one_leader_at_once(void **state)
{
    struct cluster *c = cluster_new();
    node_id id = wait_leader(c, 400 * MS);

    (void)state;
    assert_int_equal(id, 1);
    assert_trace(c, "n1 follower -> candidate ballot=1.1 last=0 chosen=0: asks\n"
                    "n1 prepares 1.1\n"
                    "n2 promises 1.1\n"
                    "n3 promises 1.1\n"
                    "n1 candidate -> recovering ballot=1.1 last=0 chosen=0: won phase 1\n"
                    "n1 recovering -> leader ballot=1.1 last=1 chosen=1: leads\n");
    assert_true(c->node[id].out.lease_start <= c->now + MS);
    assert_true(c->node[id].out.lease_end <= c->now + LEASE);
    cluster_free(c);
}

static void proposal_is_chosen_everywhere(void **state)
{
    struct cluster *c = cluster_new();
    node_id id = wait_leader(c, 400 * MS);
    slot_no slot = propose(c, id, "hello");

    (void)state;
    assert_true(c->node[id].out.room); /* two may be in flight */
    (void)propose(c, id, "world");
    assert_false(c->node[id].out.room);
    run(c, 5 * MS);
    assert_int_equal(slot, 2);
    assert_int_equal(c->node[id].out.chosen, 3);
    assert_true(c->node[id].out.room);
    assert_true(c->node[id].out.agreed > 0 && c->node[id].out.agreed < c->now);
    run(c, 600 * MS);
    for (node_id n = 1; n <= N; n++) {
        assert_int_equal(c->node[n].out.chosen, 3);
        assert_int_equal(c->node[n].out.apply, 3);
        assert_int_equal(c->node[n].out.everywhere, 3);
    }
    assert_logs_equal(c, 3);
    cluster_free(c);
}

/* Another leads, and the one whose clock lies has not acknowledged anything since: `agreed` was 0 or in the past. */
static void expect_deposed(struct cluster *c, node_id liar)
{
    int64_t began = c->now;

    while (leader(c) == liar || leader(c) == 0) {
        const struct paxos_out *out = &c->node[liar].out;

        assert_true(out->agreed < c->now);
        assert_true(c->now - began < 2 * LEASE);
        run(c, MS);
    }
}

static void leader_that_steps_back_acknowledges_nothing_and_steps_down(void **state)
{
    struct cluster *c = cluster_new();
    node_id id = wait_leader(c, 400 * MS);

    (void)state;
    propose_many(c, id, 3);
    run(c, 300 * MS);
    forget_trace(c);
    c->node[id].lie_ns = -500 * MS;
    (void)propose(c, id,
                  "at a time that has passed"); /* the very step sees it: no answer has come yet */
    assert_int_equal(c->node[id].out.agreed, 0);
    assert_int_equal(c->node[id].out.role, PAXOS_FOLLOWER);
    assert_non_null(strstr(c->trace, "clocks disagree"));
    expect_deposed(c, id);
    cluster_free(c);
}

static void leader_that_steps_ahead_acknowledges_nothing_early(void **state)
{
    struct cluster *c = cluster_new();
    node_id id = wait_leader(c, 400 * MS);
    slot_no slot;

    (void)state;
    propose_many(c, id, 3);
    run(c, 300 * MS);
    forget_trace(c);
    c->node[id].lie_ns = 500 * MS;
    slot = propose(c, id, "at a time that has not come");
    while (c->node[id].out.role == PAXOS_LEADER) {
        assert_true(c->node[id].out.agreed < c->now);
        run(c, MS / 10);
    }
    assert_non_null(strstr(c->trace, "clocks disagree"));
    expect_deposed(c, id);
    run(c, LEASE);
    assert_true(c->node[leader(c)].out.chosen >= slot); /* its answers counted for durability */
    cluster_free(c);
}

static void leader_an_hour_ahead_has_no_lease_to_put_its_hour_into(void **state)
{
    struct cluster *c = cluster_new();
    node_id id = wait_leader(c, 400 * MS);
    struct node *n = &c->node[id];

    (void)state;
    run(c, 300 * MS);
    n->lie_ns = 3600 * (int64_t)NS_PER_S;
    /* Support is renewed and would be relied on by the hour that the clock is ahead. */
    for (int64_t until = c->now + LEASE; c->now < until && n->out.role == PAXOS_LEADER;
         run(c, MS / 10))
        assert_true(n->out.lease_end < c->now + LEASE + 500 * MS);
    expect_deposed(c, id);
    cluster_free(c);
}

/* One of two voters: the other clock and the leader's are a majority. */
static void voter_whose_clock_lies_costs_the_leader_nothing(void **state)
{
    struct cluster *c = cluster_new();
    node_id id = wait_leader(c, 400 * MS);
    struct ballot ballot = c->node[id].out.ballot;

    (void)state;
    for (int sign = -1; sign <= 1; sign += 2) {
        c->node[id % N + 1].lie_ns = sign * 500 * MS;
        propose_many(c, id, 3);
        run(c, 2 * LEASE);
        assert_int_equal(leader(c), id);
        assert_int_equal(ballot_cmp(c->node[id].out.ballot, ballot), 0);
        assert_true(c->node[id].out.agreed <
                    c->now); /* it is of the last step, a heartbeat ago at most */
        assert_true(c->node[id].out.agreed > c->now - 260 * MS);
    }
    cluster_free(c);
}

static void leader_killed_next_leads_within_lease(void **state)
{
    (void)state;
    for (int ms = 0; ms < 1000; ms += 100) {
        struct cluster *c = cluster_new();
        node_id first = wait_leader(c, 400 * MS);
        int64_t killed;

        propose_many(c, first, 5);
        run(c, (3000 + ms) * MS);
        killed = c->now;
        kill_node(c, first);
        assert_int_not_equal(wait_leader(c, LEASE + NS_PER_S), first);
        assert_true(c->now - killed < LEASE + 200 * MS);
        start(c, first); /* it comes back: nothing is disturbed */
        forget_trace(c);
        run(c, 8 * LEASE);
        if (first == 1) /* when it may, it says that its old ballot is history; that is all */
            assert_trace(c, "n1 releases 1.1\n");
        assert_true(strstr(c->trace, "asks") == NULL);
        assert_logs_equal(c, c->node[1].last);
        cluster_free(c);
    }
}

static void leader_killed_and_back_at_once_does_not_delay_election(void **state)
{
    struct cluster *c = cluster_new();
    node_id first = wait_leader(c, 400 * MS);
    int64_t killed;

    (void)state;
    run(c, 3 * LEASE);
    killed = c->now;
    kill_node(c, first);
    run(c, 50 * MS);
    start(c, first);
    assert_int_equal(leader(c), 0);
    assert_int_not_equal(wait_leader(c, LEASE + NS_PER_S), first);
    assert_true(c->now - killed < LEASE + 200 * MS);
    cluster_free(c);
}

static void isolated_leader_suffix_is_cut_when_it_returns(void **state)
{
    struct cluster *c = cluster_new();
    node_id old = wait_leader(c, 400 * MS);
    node_id next;

    (void)state;
    propose_many(c, old, 3);
    isolate(c, old, true);
    (void)propose(c, old, "never chosen 1");
    (void)propose(c, old, "never chosen 2");
    run(c, 10 * MS);
    assert_int_equal(c->node[old].last, 6);
    forget_trace(c);
    next = 0;
    while (next == 0 || next == old) {
        run(c, MS);
        next = leader(c);
    }
    (void)propose(c, next, "chosen");
    run(c, LEASE);
    isolate(c, old, false);
    run(c, LEASE);
    assert_int_equal(leader(c), next);
    assert_logs_equal(c, 6);
    assert_true(bytes_eq(c->node[old].log[6].payload, bytes_str("chosen")));
    assert_non_null(strstr(c->trace, "n1 cuts 5..6\n"));
    cluster_free(c);
}

static void candidate_with_short_log_takes_the_best(void **state)
{
    struct cluster *c = cluster_new();
    node_id old = wait_leader(c, 400 * MS);
    node_id lagging = old % N + 1;
    node_id other = lagging % N + 1;

    (void)state;
    isolate(c, lagging, true);
    propose_many(c, old, 40);
    kill_node(c, old);
    isolate(c, lagging, false);
    c->cut[old][lagging] = c->cut[old][other] = true;
    forget_trace(c);
    /* Only the one that lags may try: it must still end up with every chosen entry. */
    run_until(c, c->now + LEASE - 200 * MS);
    while (leader(c) != lagging) {
        step(c, &c->node[lagging], (struct paxos_in){.kind = PAXOS_IN_CAMPAIGN});
        run(c, MS);
        assert_true(leader(c) != other);
    }
    assert_non_null(strstr(c->trace, "fetches"));
    assert_int_equal(c->node[lagging].last, 42);
    isolate(c, old, false);
    start(c, old);
    run(c, 2 * LEASE);
    assert_logs_equal(c, 42);
    cluster_free(c);
}

static void lagging_voter_catches_up_from_disk(void **state)
{
    struct cluster *c = cluster_new();
    node_id id = wait_leader(c, 400 * MS);
    node_id lagging = id % N + 1;

    (void)state;
    c->cache_bytes = 64;
    for (node_id n = 1; n <= N; n++) { /* again, with next to no cache and payloads on disk only */
        kill_node(c, n);
        c->node[n].on_disk_only = true;
        start(c, n);
    }
    id = wait_leader(c, 2 * LEASE);
    lagging = id % N + 1;
    isolate(c, lagging, true);
    propose_many(c, id, 200);
    isolate(c, lagging, false);
    run(c, LEASE);
    assert_int_equal(leader(c), id);
    assert_logs_equal(c, c->node[id].last);
    assert_int_equal(c->node[lagging].out.chosen, c->node[id].out.chosen);
    cluster_free(c);
}

static void all_restart_is_quiet_then_elects(void **state)
{
    struct cluster *c = cluster_new();
    node_id id = wait_leader(c, 400 * MS);
    int64_t down;

    (void)state;
    propose_many(c, id, 3);
    down = c->now;
    for (node_id n = 1; n <= N; n++)
        kill_node(c, n);
    for (node_id n = 1; n <= N; n++)
        start(c, n);
    run(c, LEASE + 490 * MS);
    assert_int_equal(leader(c), 0); /* start.latest + longest lease + bound cap */
    (void)wait_leader(c, NS_PER_S);
    assert_true(c->now - down < LEASE + NS_PER_S);
    assert_int_equal(c->node[1].out.ballot.round, 2);
    cluster_free(c);
}

static void release_lets_next_lead_at_once(void **state)
{
    struct cluster *c = cluster_new();
    node_id old = wait_leader(c, 400 * MS);
    int64_t stopped;
    tstamp used;

    (void)state;
    propose_many(c, old, 2);
    stopped = c->now;
    used = c->now + 30 * MS; /* promised to a reader whose clock is ahead */
    forget_trace(c);
    step(c, &c->node[old], (struct paxos_in){.kind = PAXOS_IN_RELEASE, .used = used});
    assert_false(c->node[old].out.room);
    assert_int_equal(c->node[old].out.lease_end, 0);
    assert_false(c->node[old].out.released);
    while (!c->node[old].out.released)
        run(c, MS);
    assert_true(c->now > used);
    kill_node(c, old);
    assert_int_not_equal(wait_leader(c, 300 * MS), old);
    assert_true(c->now - stopped < 350 * MS);
    assert_true(c->node[leader(c)].out.lease_start > used);
    cluster_free(c);
}

static void released_cluster_restarts_without_waiting(void **state)
{
    struct cluster *c = cluster_new();
    node_id old = wait_leader(c, 400 * MS);
    int64_t back;

    (void)state;
    run(c, 500 * MS);
    step(c, &c->node[old], (struct paxos_in){.kind = PAXOS_IN_RELEASE, .used = c->now});
    for (node_id n = 1; n <= N; n++)
        if (n != old)
            step(c, &c->node[n], (struct paxos_in){.kind = PAXOS_IN_RELEASE});
    run(c, 210 * MS);
    for (node_id n = 1; n <= N; n++) {
        assert_true(c->node[n].out.released);
        kill_node(c, n);
    }
    back = c->now;
    for (node_id n = 1; n <= N; n++)
        start(c, n);
    (void)wait_leader(c, 500 * MS);
    assert_true(c->now - back < 500 * MS);
    cluster_free(c);
}

static void returning_node_leaves_a_healthy_leader_alone(void **state)
{
    struct cluster *c = cluster_new();
    node_id id = wait_leader(c, 400 * MS);
    node_id away = id % N + 1;
    struct ballot ballot = c->node[id].out.ballot;

    (void)state;
    isolate(c, away, true);
    run(c, 5 * LEASE); /* it asks again and again, and is not heard */
    isolate(c, away, false);
    run(c, 5 * LEASE);
    assert_int_equal(leader(c), id);
    assert_int_equal(ballot_cmp(c->node[id].out.ballot, ballot), 0);
    cluster_free(c);
}

static void one_way_deaf_node_leaves_a_healthy_leader_alone(void **state)
{
    struct cluster *c = cluster_new();
    node_id id = wait_leader(c, 400 * MS);
    node_id deaf = id % N + 1;
    struct ballot ballot = c->node[id].out.ballot;

    (void)state;
    c->cut[id][deaf] = true; /* it hears everybody but the leader */
    run(c, 5 * LEASE);
    assert_int_equal(leader(c), id);
    assert_int_equal(ballot_cmp(c->node[id].out.ballot, ballot), 0);
    cluster_free(c);
}

static void voter_with_higher_promise_is_won_back_in_place(void **state)
{
    struct cluster *c = cluster_new();
    node_id id = wait_leader(c, 400 * MS);
    node_id stray = id % N + 1;
    struct ballot first = c->node[id].out.ballot;
    tstamp start_ts;

    (void)state;
    propose_many(c, id, 3);
    start_ts = c->node[id].out.lease_start;
    kill_node(c, stray);
    c->node[stray].hard.promised = (struct ballot){9, stray}; /* of a candidacy that failed */
    start(c, stray);
    forget_trace(c);
    for (int i = 0; i < 400; i++) {
        run(c, 10 * MS);
        assert_int_equal(leader(c), id); /* at every moment */
        if (c->node[id].out.room && i % 10 == 0)
            (void)propose(c, id, "goes on");
    }
    run(c, NS_PER_S);
    assert_non_null(strstr(c->trace, "raises its ballot to 1"));
    assert_null(strstr(c->trace, "leader -> follower"));
    assert_true(ballot_cmp(c->node[id].out.ballot, first) > 0);
    assert_int_equal(c->node[id].out.lease_start, start_ts);
    assert_int_equal(ballot_cmp(c->node[stray].out.ballot, c->node[id].out.ballot), 0);
    assert_logs_equal(c, c->node[id].last);
    cluster_free(c);
}

static void idle_cluster_sends_little(void **state)
{
    struct cluster *c = cluster_new();
    size_t sent = 0;

    (void)state;
    (void)wait_leader(c, 400 * MS);
    run(c, LEASE);
    for (node_id n = 1; n <= N; n++)
        sent -= c->node[n].n_sent;
    run(c, 10 * (int64_t)NS_PER_S);
    for (node_id n = 1; n <= N; n++)
        sent += c->node[n].n_sent;
    /* A second: 2 x 2 heartbeats and acks at 4 Hz, 6 x 2 support messages at 2 Hz. */
    assert_in_range(sent, 300, 420);
    cluster_free(c);
}

/* -------- one replica, fed by hand -------- */

struct lone {
    struct paxos *p;
    struct support *s;
    struct paxos_out out;
    int64_t mono;
    struct tt_interval now;
};

static struct lone lone_new(const struct paxos_start *st)
{
    static const node_id voters[] = {1, 2, 3};
    static const node_id peers[] = {2, 3};
    struct lone l = {.mono = NS_PER_S, .now = {T0 - MS, T0 + MS}};
    struct paxos_options o = {.group = 7,
                              .self = 1,
                              .voters = voters,
                              .n_voters = 3,
                              .seed = 1,
                              .election_min_ns = 100 * MS,
                              .election_max_ns = 300 * MS,
                              .heartbeat_ns = 250 * MS,
                              .resend_ns = 100 * MS,
                              .cache_bytes = 1000};
    struct support_options so = {.self = 1,
                                 .incarnation = 5,
                                 .peers = peers,
                                 .n_peers = 2,
                                 .lease_ns = LEASE,
                                 .renew_ns = LEASE / 4,
                                 .sync_age_max_ns = LEASE,
                                 .store_is_new = true,
                                 .longest_lease_ns = LEASE,
                                 .bound_cap_ns = 500 * MS};
    struct support_out ignored;

    l.s = support_new(&so, l.now, l.mono);
    support_step(l.s,
                 &(struct support_in){.kind = SUPPORT_IN_SYNCED, .now = l.now, .mono_ns = l.mono},
                 &ignored);
    l.p = paxos_new(&o, st, l.mono);
    return l;
}

static void lone_free(struct lone *l)
{
    paxos_free(l->p);
    support_free(l->s);
}

static void lone_step(struct lone *l, struct paxos_in in)
{
    in.now = l->now;
    in.mono_ns = l->mono;
    in.support = l->s;
    paxos_step(l->p, &in, &l->out);
}

static void hear(struct lone *l, struct paxos_msg m)
{
    m.group = 7;
    m.to = 1;
    if (m.from == 0)
        m.from = m.ballot.node;
    m.time = l->now;
    lone_step(l, (struct paxos_in){.kind = PAXOS_IN_MESSAGE, .msg = &m});
}

static void durable(struct lone *l)
{
    lone_step(l, (struct paxos_in){.kind = PAXOS_IN_DURABLE, .durable_seq = l->out.write_seq});
}

/* This node supports `peer` from now on. */
static void support_peer(struct lone *l, node_id peer)
{
    struct support_out ignored;

    support_step(l->s,
                 &(struct support_in){
                     .kind = SUPPORT_IN_MESSAGE,
                     .now = l->now,
                     .mono_ns = l->mono,
                     .msg = {.kind = SUPPORT_REQUEST, .from = peer, .incarnation = 1, .nonce = 1}},
                 &ignored);
}

static const struct paxos_send *sent(const struct lone *l, enum paxos_msg_kind kind)
{
    for (size_t i = 0; i < l->out.n_send; i++)
        if (l->out.send[i].msg.kind == kind)
            return &l->out.send[i];
    return NULL;
}

static struct paxos_start empty_start(void)
{
    return (struct paxos_start){.first = 1};
}

#define B(round_, node_) ((struct ballot){(round_), (node_)})
#define E(slot_, ballot_, text_) \
    ((struct paxos_entry){(slot_), (ballot_), PAXOS_ENTRY_COMMANDS, bytes_str(text_)})

static void promise_leaves_after_its_write(void **state)
{
    struct paxos_start st = empty_start();
    struct lone l = lone_new(&st);

    (void)state;
    hear(&l, (struct paxos_msg){.kind = PAXOS_PREPARE, .ballot = B(3, 2)});
    assert_non_null(sent(&l, PAXOS_PROMISE));
    assert_true(l.out.write_seq != 0);
    assert_int_equal(sent(&l, PAXOS_PROMISE)->after_write, l.out.write_seq);
    assert_int_equal(ballot_cmp(l.out.hard->promised, B(3, 2)), 0);
    durable(&l);
    hear(&l, (struct paxos_msg){.kind = PAXOS_PREPARE, .ballot = B(3, 2)}); /* again */
    assert_int_equal(sent(&l, PAXOS_PROMISE)->after_write, 0);
    assert_int_equal(l.out.write_seq, 0);
    lone_free(&l);
}

static void prepare_of_another_waits_for_support_to_lapse(void **state)
{
    struct paxos_start st = empty_start();
    struct lone l = lone_new(&st);
    const struct paxos_send *no;

    (void)state;
    support_peer(&l, 2);
    hear(&l, (struct paxos_msg){.kind = PAXOS_PREPARE, .ballot = B(3, 2)});
    assert_true(sent(&l, PAXOS_PROMISE)->msg.epoch != 0);
    hear(&l, (struct paxos_msg){.kind = PAXOS_PREPARE, .ballot = B(4, 3)});
    no = sent(&l, PAXOS_REFUSE);
    assert_non_null(no);
    assert_null(sent(&l, PAXOS_PROMISE));
    assert_int_equal(ballot_cmp(no->msg.promised, B(3, 2)), 0);
    assert_in_range(no->msg.retry_ns, LEASE, LEASE + 3 * MS);
    assert_int_equal(l.out.n_send,
                     2); /* and the owner is asked whether it still needs this voter */
    l.now = (struct tt_interval){T0 + MS + LEASE + 1, T0 + MS + LEASE + 2 * MS};
    hear(&l, (struct paxos_msg){.kind = PAXOS_PREPARE, .ballot = B(4, 3)});
    assert_non_null(sent(&l, PAXOS_PROMISE));
    lone_free(&l);
}

static void release_frees_a_voter_at_once(void **state)
{
    struct paxos_start st = empty_start();
    struct lone l = lone_new(&st);

    (void)state;
    support_peer(&l, 2);
    hear(&l, (struct paxos_msg){.kind = PAXOS_PREPARE, .ballot = B(3, 2)});
    hear(&l, (struct paxos_msg){.kind = PAXOS_RELEASE, .ballot = B(3, 2), .from = 3});
    assert_null(l.out.hard); /* only its owner can */
    hear(&l, (struct paxos_msg){.kind = PAXOS_RELEASE, .ballot = B(2, 2)});
    assert_null(l.out.hard); /* another ballot */
    hear(&l, (struct paxos_msg){.kind = PAXOS_RELEASE, .ballot = B(3, 2)});
    assert_int_equal(ballot_cmp(l.out.hard->released, B(3, 2)), 0);
    hear(&l, (struct paxos_msg){.kind = PAXOS_PREPARE, .ballot = B(4, 3)});
    assert_non_null(sent(&l, PAXOS_PROMISE));
    lone_free(&l);
}

static void void_time_promises_nothing(void **state)
{
    struct paxos_start st = empty_start();
    struct lone l = lone_new(&st);

    (void)state;
    l.now = TT_VOID;
    hear(&l, (struct paxos_msg){.kind = PAXOS_PREPARE, .ballot = B(3, 2)});
    assert_non_null(sent(&l, PAXOS_REFUSE));
    assert_null(l.out.hard);
    lone_free(&l);
}

static void candidate_ahead_of_possible_time_is_refused(void **state)
{
    struct paxos_start st = empty_start();
    struct lone l = lone_new(&st);
    struct paxos_msg m = {.kind = PAXOS_ASK, .group = 7, .from = 2, .to = 1, .ballot = B(3, 2)};

    (void)state;
    m.time = (struct tt_interval){l.now.latest + 1, l.now.latest + 2};
    lone_step(&l, (struct paxos_in){.kind = PAXOS_IN_MESSAGE, .msg = &m});
    assert_non_null(sent(&l, PAXOS_REFUSE));
    m.time = l.now;
    lone_step(&l, (struct paxos_in){.kind = PAXOS_IN_MESSAGE, .msg = &m});
    assert_non_null(sent(&l, PAXOS_WILLING));
    assert_int_equal(l.out.write_seq, 0); /* asking costs no write */
    lone_free(&l);
}

static void accept_of_older_ballot_is_refused(void **state)
{
    struct paxos_start st = empty_start();
    struct lone l = lone_new(&st);
    struct paxos_entry e = E(1, B(2, 3), "x");

    (void)state;
    hear(&l, (struct paxos_msg){.kind = PAXOS_PREPARE, .ballot = B(3, 2)});
    hear(&l, (struct paxos_msg){
                 .kind = PAXOS_ACCEPT, .ballot = B(2, 3), .entries = &e, .n_entries = 1});
    assert_non_null(sent(&l, PAXOS_REFUSE));
    assert_null(sent(&l, PAXOS_ACK));
    assert_int_equal(l.out.last, 0);
    lone_free(&l);
}

static void accept_is_acked_after_its_write_up_to_what_is_equal(void **state)
{
    struct paxos_start st = empty_start();
    struct lone l = lone_new(&st);
    struct paxos_entry e[] = {E(1, B(3, 2), "a"), E(2, B(3, 2), "b"), E(3, B(3, 2), "c")};
    struct paxos_msg m = {
        .kind = PAXOS_ACCEPT, .ballot = B(3, 2), .chosen = 2, .entries = e, .n_entries = 3};

    (void)state;
    hear(&l, m);
    assert_int_equal(l.out.n_append, 3);
    assert_int_equal(sent(&l, PAXOS_ACK)->msg.slot, 3);
    assert_int_equal(sent(&l, PAXOS_ACK)->after_write, l.out.write_seq);
    assert_int_equal(l.out.chosen, 2);
    assert_int_equal(l.out.apply, 0); /* nothing is durable here yet */
    durable(&l);
    assert_int_equal(l.out.apply, 2);
    m.n_entries = 1; /* a late duplicate: acked as far as it goes, nothing is cut */
    hear(&l, m);
    assert_int_equal(sent(&l, PAXOS_ACK)->msg.slot, 1);
    assert_int_equal(l.out.write_seq, 0);
    assert_int_equal(l.out.last, 3);
    lone_free(&l);
}

static void accept_behind_a_gap_is_nacked(void **state)
{
    struct paxos_start st = empty_start();
    struct lone l = lone_new(&st);
    struct paxos_entry a = E(1, B(3, 2), "a"), c = E(3, B(3, 2), "c");

    (void)state;
    hear(&l, (struct paxos_msg){
                 .kind = PAXOS_ACCEPT, .ballot = B(3, 2), .entries = &a, .n_entries = 1});
    hear(&l, (struct paxos_msg){.kind = PAXOS_ACCEPT,
                                .ballot = B(3, 2),
                                .prev_slot = 2,
                                .prev_ballot = B(3, 2),
                                .chosen = 3,
                                .entries = &c,
                                .n_entries = 1});
    assert_int_equal(sent(&l, PAXOS_NACK)->msg.slot, 1);
    assert_int_equal(l.out.last, 1);
    assert_int_equal(l.out.chosen, 0); /* what follows the gap is not known to be equal */
    lone_free(&l);
}

static void divergent_suffix_is_cut_in_one_write(void **state)
{
    struct paxos_entry old[] = {E(1, B(1, 3), "a"), E(2, B(1, 3), "b"), E(3, B(2, 3), "c"),
                                E(4, B(2, 3), "d")};
    struct paxos_start st = {.hard = {.promised = B(2, 3), .released = B(2, 3)},
                             .first = 1,
                             .entries = old,
                             .n_entries = 4,
                             .applied = 1};
    struct lone l = lone_new(&st);
    struct paxos_entry e = E(3, B(5, 2), "C");

    (void)state;
    hear(&l, (struct paxos_msg){
                 .kind = PAXOS_ACCEPT, .ballot = B(5, 2), .prev_slot = 4, .prev_ballot = B(5, 2)});
    assert_int_equal(sent(&l, PAXOS_NACK)->msg.slot, 2); /* all of 2.3 may differ */
    hear(&l, (struct paxos_msg){.kind = PAXOS_ACCEPT,
                                .ballot = B(5, 2),
                                .prev_slot = 2,
                                .prev_ballot = B(1, 3),
                                .entries = &e,
                                .n_entries = 1});
    assert_int_equal(l.out.cut_from, 3);
    assert_int_equal(l.out.n_append, 1);
    assert_int_equal(l.out.append[0].slot, 3);
    assert_int_equal(l.out.last, 3);
    assert_true(bytes_eq(paxos_payload(l.p, 3), bytes_str("C")));
    /* The cut slots are no longer durable, although their first writes were. */
    assert_int_equal(sent(&l, PAXOS_ACK)->after_write, l.out.write_seq);
    lone_free(&l);
}

static void conflict_below_chosen_changes_nothing(void **state)
{
    struct paxos_entry old[] = {E(1, B(1, 3), "a"), E(2, B(1, 3), "b")};
    struct paxos_start st = {.hard = {.promised = B(1, 3), .released = B(1, 3)},
                             .first = 1,
                             .entries = old,
                             .n_entries = 2,
                             .applied = 2};
    struct lone l = lone_new(&st);
    struct paxos_entry e = E(2, B(5, 2), "B");

    (void)state;
    hear(&l, (struct paxos_msg){.kind = PAXOS_ACCEPT,
                                .ballot = B(5, 2),
                                .prev_slot = 1,
                                .prev_ballot = B(1, 3),
                                .entries = &e,
                                .n_entries = 1});
    assert_null(sent(&l, PAXOS_ACK));
    assert_int_equal(l.out.cut_from, 0);
    assert_int_equal(l.out.last, 2);
    lone_free(&l);
}

static void malformed_accept_is_ignored(void **state)
{
    struct paxos_start st = empty_start();
    struct lone l = lone_new(&st);
    struct paxos_entry gap[] = {E(1, B(3, 2), "a"), E(3, B(3, 2), "b")};
    struct paxos_entry falling[] = {E(1, B(3, 2), "a"), E(2, B(2, 2), "b")};
    struct paxos_entry future[] = {E(1, B(4, 2), "a")};
    struct paxos_msg m = {.kind = PAXOS_ACCEPT, .ballot = B(3, 2), .entries = gap, .n_entries = 2};

    (void)state;
    hear(&l, m);
    assert_int_equal(l.out.n_send, 0);
    m.entries = falling;
    hear(&l, m);
    assert_int_equal(l.out.n_send, 0);
    m.entries = future;
    m.n_entries = 1;
    hear(&l, m);
    assert_int_equal(l.out.n_send, 0);
    m.entries = gap;
    m.from = 3; /* not the ballot's owner */
    hear(&l, m);
    assert_int_equal(l.out.n_send, 0);
    assert_int_equal(l.out.last, 0);
    lone_free(&l);
}

static void random_messages_break_no_invariant(void **state)
{
    struct rng rng;

    (void)state;
    rng_seed(&rng, 42);
    for (int round = 0; round < 300; round++) {
        struct paxos_start st = empty_start();
        struct lone l = lone_new(&st);

        for (int i = 0; i < 200; i++) {
            struct paxos_entry e[3];
            struct paxos_msg m = {.kind = (enum paxos_msg_kind)(1 + rng_below(&rng, 11)),
                                  .from = (node_id)(1 + rng_below(&rng, 4)),
                                  .ballot = B(rng_below(&rng, 5), (node_id)rng_below(&rng, 4)),
                                  .slot = rng_below(&rng, 8),
                                  .last = B(rng_below(&rng, 5), (node_id)rng_below(&rng, 4)),
                                  .prev_slot = rng_below(&rng, 6),
                                  .prev_ballot = B(rng_below(&rng, 5), (node_id)rng_below(&rng, 4)),
                                  .chosen = rng_below(&rng, 8),
                                  .epoch = rng_below(&rng, 3),
                                  .promised = B(rng_below(&rng, 5), (node_id)rng_below(&rng, 4)),
                                  .retry_ns = (int64_t)rng_next(&rng),
                                  .entries = e,
                                  .n_entries = rng_below(&rng, 4)};
            bool tidy = rng_chance(&rng, 0.7);

            if (tidy)
                m.from = m.ballot.node;
            for (size_t k = 0; k < 3; k++)
                e[k] = E(m.prev_slot + 1 + k, tidy ? m.ballot : B(rng_below(&rng, 5), 2), "x");
            hear(&l, m);
            l.mono += rng_between(&rng, 0, 200 * MS);
            l.now.earliest += 50 * MS;
            l.now.latest += 50 * MS;
            if (rng_chance(&rng, 0.3))
                durable(&l);
        }
        lone_free(&l);
    }
}

static void codec_roundtrip_and_noise(void **state)
{
    struct paxos_entry e[] = {E(UINT64_C(1) << 40, B(3, 2), "payload"),
                              {5, B(4, 1), PAXOS_ENTRY_CONFIG, bytes_str("")}};
    struct paxos_msg m = {.kind = PAXOS_ACCEPT,
                          .group = 77,
                          .from = 1,
                          .to = 2,
                          .ballot = B(UINT64_C(1) << 50, UINT32_MAX),
                          .slot = 3,
                          .last = B(1, 2),
                          .prev_slot = 9,
                          .prev_ballot = B(2, 2),
                          .chosen = 8,
                          .epoch = UINT64_MAX,
                          .promised = B(7, 7),
                          .retry_ns = -5,
                          .kept = UINT64_MAX,
                          .config_slot = 6,
                          .target = UINT32_MAX,
                          .time = {T0, T0 + 1},
                          .entries = e,
                          .n_entries = 2};
    struct paxos_entry got_e[4];
    struct paxos_msg got;
    struct buf b = {0};
    struct rd r;
    struct rng rng;

    (void)state;
    paxos_msg_encode(&b, &m);
    r = rd_of(buf_bytes(&b));
    assert_true(paxos_msg_decode(&r, &got, got_e, 4));
    assert_int_equal(rd_left(&r), 0);
    assert_int_equal(got.kind, m.kind);
    assert_int_equal(got.ballot.node, m.ballot.node);
    assert_int_equal(got.retry_ns, m.retry_ns);
    assert_int_equal(got.kept, m.kept);
    assert_int_equal(got.config_slot, m.config_slot);
    assert_int_equal(got.target, m.target);
    assert_int_equal(got.entries[1].kind, PAXOS_ENTRY_CONFIG);
    assert_int_equal(got.time.latest, m.time.latest);
    assert_int_equal(got.n_entries, 2);
    assert_true(bytes_eq(got.entries[0].payload, e[0].payload));
    assert_int_equal(got.entries[0].slot, e[0].slot);
    r = rd_of(buf_bytes(&b));
    assert_false(paxos_msg_decode(&r, &got, got_e, 1)); /* too many entries */
    for (size_t cut = 0; cut < b.len; cut++) {
        r = rd_of(bytes_of(b.ptr, cut));
        assert_false(paxos_msg_decode(&r, &got, got_e, 4));
    }
    rng_seed(&rng, 3);
    for (int i = 0; i < 50000; i++) {
        struct buf noisy = {0};

        buf_put(&noisy, b.ptr, b.len);
        for (int k = 0; k < 4; k++)
            noisy.ptr[rng_below(&rng, noisy.len)] = (uint8_t)rng_next(&rng);
        r = rd_of(buf_bytes(&noisy));
        if (paxos_msg_decode(&r, &got, got_e, 4))
            assert_true(got.n_entries <= 4 && got.kind >= PAXOS_PREPARE &&
                        got.kind <= PAXOS_TELL);
        buf_fini(&noisy);
    }
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cluster_new_elects_one_leader_at_once),
        cmocka_unit_test(proposal_is_chosen_everywhere),
        cmocka_unit_test(leader_that_steps_back_acknowledges_nothing_and_steps_down),
        cmocka_unit_test(leader_that_steps_ahead_acknowledges_nothing_early),
        cmocka_unit_test(leader_an_hour_ahead_has_no_lease_to_put_its_hour_into),
        cmocka_unit_test(voter_whose_clock_lies_costs_the_leader_nothing),
        cmocka_unit_test(leader_killed_next_leads_within_lease),
        cmocka_unit_test(leader_killed_and_back_at_once_does_not_delay_election),
        cmocka_unit_test(isolated_leader_suffix_is_cut_when_it_returns),
        cmocka_unit_test(candidate_with_short_log_takes_the_best),
        cmocka_unit_test(lagging_voter_catches_up_from_disk),
        cmocka_unit_test(all_restart_is_quiet_then_elects),
        cmocka_unit_test(release_lets_next_lead_at_once),
        cmocka_unit_test(released_cluster_restarts_without_waiting),
        cmocka_unit_test(returning_node_leaves_a_healthy_leader_alone),
        cmocka_unit_test(one_way_deaf_node_leaves_a_healthy_leader_alone),
        cmocka_unit_test(voter_with_higher_promise_is_won_back_in_place),
        cmocka_unit_test(idle_cluster_sends_little),
        cmocka_unit_test(promise_leaves_after_its_write),
        cmocka_unit_test(prepare_of_another_waits_for_support_to_lapse),
        cmocka_unit_test(release_frees_a_voter_at_once),
        cmocka_unit_test(void_time_promises_nothing),
        cmocka_unit_test(candidate_ahead_of_possible_time_is_refused),
        cmocka_unit_test(accept_of_older_ballot_is_refused),
        cmocka_unit_test(accept_is_acked_after_its_write_up_to_what_is_equal),
        cmocka_unit_test(accept_behind_a_gap_is_nacked),
        cmocka_unit_test(divergent_suffix_is_cut_in_one_write),
        cmocka_unit_test(conflict_below_chosen_changes_nothing),
        cmocka_unit_test(malformed_accept_is_ignored),
        cmocka_unit_test(random_messages_break_no_invariant),
        cmocka_unit_test(codec_roundtrip_and_noise),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
