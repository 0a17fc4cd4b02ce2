#include "txn_world.h"

/* Nodes that go, clocks with a wide bound, messages that are slow. Each test has a world of its own. */

static struct world w;

static int open_world(void **state)
{
    (void)state;
    world_open(&w, "fixed:200us");
    return 0;
}

static int open_wide_world(void **state)
{
    (void)state;
    world_open(&w, "fixed:50ms");
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    world_close(&w);
    return 0;
}

struct committing {
    pthread_t thread;
    struct txn *t;
    enum status st;
    tstamp ts;
    struct err err;
    atomic_bool ended;
};

static void *commit_thread(void *arg)
{
    struct committing *c = arg;

    c->st = txn_commit_wait(c->t, &c->ts, &c->err);
    atomic_store(&c->ended, true);
    return NULL;
}

static void start_commit(struct committing *c, struct txn *t)
{
    *c = (struct committing){.t = t};
    pthread_create(&c->thread, NULL, commit_thread, c);
}

/* Commit wait: 50 ms on either side of the clock. */
static void commit_wide_bound_waits_it_out(void **state)
{
    size_t leader = world_leader(&w);
    struct err err;

    (void)state;
    for (size_t i = 0; i < WORLD_NODES; i++) {
        struct txn_space *s = world_space(&w, (leader + i) % WORLD_NODES);
        struct txn *t;
        int64_t began = mono_now(), took;
        tstamp ts = put_surely(s, "wide", "x");
        tstamp later;

        took = mono_now() - began;
        assert_true(tt_after(w.tt, ts)); /* the commit is in the past of every clock */
        assert_true(took > 90 * (int64_t)NS_PER_MS);
        assert_true(took < 5 * (int64_t)NS_PER_S);
        t = begin_ro(world_space(&w, (leader + i + 1) % WORLD_NODES), 0);
        assert_true(txn_read_ts(t) > ts);
        assert_reads(t, "wide", TXN_LOCK_NONE, "x");
        txn_free(t);
        later = put_surely(world_space(&w, (leader + i + 1) % WORLD_NODES), "wide.other", "y");
        assert_true(later > ts);
        (void)err;
    }
}

struct applied {
    struct txn_space *s;
    tstamp above;
};

static bool has_applied_more(void *arg)
{
    struct applied *a = arg;

    return tablet_applied_ts(a->s->tablet) > a->above;
}

/* A replica has a version before its time has surely passed: the answer waits for it. */
static void answer_fresh_version_waits_for_its_time(void **state)
{
    struct applied a = {.s = world_space(&w, world_leader(&w))};
    struct committing c;
    struct txn *t;
    struct err err;

    (void)state;
    put_surely(a.s, "fresh", "old");
    must(txn_stable_ts(a.s, &a.above, &err), &err);
    world_wait(has_applied_more, &a, "it has applied what came before");
    a.above = tablet_applied_ts(a.s->tablet);
    t = begin_rw(a.s);
    assert_int_equal(put_str(t, "fresh", "new"), ST_OK);
    start_commit(&c, t);
    world_wait(has_applied_more, &a, "it has applied the commit");
    t = begin_ro(a.s, tablet_applied_ts(a.s->tablet));
    assert_reads(t, "fresh", TXN_LOCK_NONE, "new");
    assert_false(tt_after(w.tt, t->seen.newest)); /* 100 ms are long */
    must(txn_answer(t, &err), &err);
    assert_true(tt_after(w.tt, t->seen.newest));
    txn_free(t);
    pthread_join(c.thread, NULL);
    assert_int_equal(c.st, ST_OK);
    txn_free(c.t);
}

static void assert_scan_finds(struct txn *t, const char *key, const char *want)
{
    char end[32], got[64] = "-";
    struct txn_scan *sc;
    struct bytes k, v;
    struct err err;

    (void)snprintf(end, sizeof end, "%s!", key);
    must(txn_scan_open(t,
                       &(struct txn_scan_options){.start = bytes_str(key), .end = bytes_str(end)},
                       &sc, &err),
         &err);
    if (txn_scan_next(sc, &k, &v, &err) == ST_OK)
        (void)snprintf(got, sizeof got, "%.*s", (int)v.len, (const char *)v.ptr);
    txn_scan_close(sc);
    assert_string_equal(got, want);
}

static void assert_gets_find(struct txn *t, const char *key, const char *want)
{
    struct mvcc_item items[] = {{.key = bytes_str("a")}, {.key = bytes_str(key)}};
    struct arena mem;
    size_t n;
    struct err err;

    arena_init(&mem, 0);
    must(txn_get_many(t, items, 2, TXN_LOCK_NONE, &mem, &n, &err), &err);
    assert_int_equal(n, 2);
    assert_false(items[0].found);
    assert_int_equal(items[1].found, strcmp(want, "-") != 0);
    if (items[1].found)
        assert_true(bytes_eq(items[1].value, bytes_str(want)));
    arena_fini(&mem);
}

/* The ways to read one key. */
enum way { WAY_GET, WAY_GETS, WAY_SCAN, WAYS };

static void assert_finds(struct txn *t, enum way way, const char *key, const char *want)
{
    if (way == WAY_SCAN)
        assert_scan_finds(t, key, want);
    else if (way == WAY_GETS)
        assert_gets_find(t, key, want);
    else
        assert_reads(t, key, TXN_LOCK_NONE, want);
}

/* A write that is proposed and not chosen yet: a read above it waits for its end. */
static void read_pending(enum way way)
{
    size_t leader = world_leader(&w);
    struct txn_space *s = world_space(&w, leader);
    struct rpc_fault slow = {.delay_ns = 150 * (int64_t)NS_PER_MS}, none = {0};
    struct leader_stats stats;
    static struct committing c; /* outlives a failed assertion, as its thread does */
    struct txn *t = begin_rw(s);
    int64_t began;

    put_surely(s, "pending", "old");
    assert_int_equal(put_str(t, "pending", "new"), ST_OK);
    rpc_set_fault(w.node[leader].rpc, 0, &slow);
    began = mono_now();
    start_commit(&c, t);
    do
        leader_stats(s->leader, &stats);
    while (stats.in_flight == 0 && !atomic_load(&c.ended));
    /* The bound shrinks by some microseconds at each report: only a little later is a reader surely above the write. */
    mono_sleep_until(mono_now() + 2 * (int64_t)NS_PER_MS);
    t = begin_ro(s, 0);
    assert_finds(t, way == WAY_SCAN ? WAY_GET : way, "pending.not", "-"); /* it does not wait */
    assert_false(atomic_load(&c.ended));
    assert_finds(t, way, "pending", "new");
    assert_true(mono_now() - began > 145 * (int64_t)NS_PER_MS);
    txn_free(t);
    rpc_set_fault(w.node[leader].rpc, 0, &none);
    pthread_join(c.thread, NULL);
    assert_int_equal(c.st, ST_OK);
    txn_free(c.t);
}

static void read_pending_write_waits_for_it(void **state)
{
    (void)state;
    read_pending(WAY_GET);
}

static void gets_pending_write_wait_for_it(void **state)
{
    (void)state;
    read_pending(WAY_GETS);
}

static void scan_pending_write_waits_for_it(void **state)
{
    (void)state;
    read_pending(WAY_SCAN);
}

/* A timestamp ahead of this clock, as another node's may be: what was read at it stays so. */
static void read_ahead_holds_writers_above_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORLD_NODES; i++) {
        for (enum way way = 0; way < WAYS; way++) {
            tstamp ahead = tt_now(w.tt).latest + 40 * (int64_t)NS_PER_MS;
            struct txn *t = begin_ro(world_space(&w, i), ahead);
            char key[16];

            (void)snprintf(key, sizeof key, "ahead%zu.%d", i, (int)way);
            assert_finds(t, way, key, "-");
            assert_true(put_surely(world_space(&w, i), key, "x") > ahead);
            assert_finds(t, (way + 1) % WAYS, key, "-");
            txn_free(t);
        }
    }
}

/* The leader goes while transactions hold locks: they are over; a commit that was acknowledged stays. */
static void leader_lost_open_transactions_are_aborted(void **state)
{
    size_t leader = world_leader(&w), other = (leader + 1) % WORLD_NODES;
    struct txn *reads = begin_rw(world_space(&w, other)),
               *writes = begin_rw(world_space(&w, other)),
               *blind = begin_rw(world_space(&w, other));
    struct err err;
    char got[300];
    tstamp ts, again;

    (void)state;
    ts = put_surely(world_space(&w, other), "kept", "1");
    assert_reads(reads, "kept", TXN_LOCK_SHARED, "1");
    assert_reads(writes, "other", TXN_LOCK_EXCLUSIVE, "-");
    assert_int_equal(put_str(writes, "other", "x"), ST_OK);
    assert_int_equal(put_str(blind, "blind", "x"), ST_OK);
    world_crash(&w, leader);
    assert_int_equal(get_str(reads, "kept", TXN_LOCK_SHARED, got, sizeof got), ST_ABORT);
    assert_memory_equal(got, SQLSTATE_SERIALIZATION_FAILURE, 5);
    assert_int_equal(txn_commit_wait(writes, &ts, &err), ST_ABORT);
    must(txn_commit_wait(blind, &again, &err), &err); /* it held nothing that could be lost */
    assert_true(again > ts);
    txn_free(reads);
    txn_free(writes);
    txn_free(blind);
    reads = begin_rw(world_space(&w, other));
    assert_reads(reads, "kept", TXN_LOCK_SHARED, "1");
    assert_reads(reads, "other", TXN_LOCK_SHARED, "-");
    assert_reads(reads, "blind", TXN_LOCK_SHARED, "x");
    txn_free(reads);
}

/* Commits on their way when the leader goes: each says how it ended, and that is so. */
enum { IN_DOUBT = 12 };

static void leader_lost_commits_tell_their_end(void **state)
{
    size_t leader = world_leader(&w), other = (leader + 1) % WORLD_NODES;
    struct committing c[IN_DOUBT];
    struct txn *t;
    tstamp asked;
    struct err err;

    (void)state;
    for (int i = 0; i < IN_DOUBT; i++) {
        char key[16];

        (void)snprintf(key, sizeof key, "doubt%d", i);
        t = begin_rw(world_space(&w, other));
        assert_int_equal(put_str(t, key, "x"), ST_OK);
        start_commit(&c[i], t);
        if (i == IN_DOUBT / 2)
            world_crash(&w, leader);
    }
    for (int i = 0; i < IN_DOUBT; i++) {
        char key[16];
        enum status st;

        (void)snprintf(key, sizeof key, "doubt%d", i);
        pthread_join(c[i].thread, NULL);
        if (c[i].st != ST_OK && c[i].st != ST_ABORT)
            fail_msg("commit %d: %s %s", i, status_name(c[i].st), c[i].err.msg);
        t = begin_ro(world_space(&w, other), 0);
        assert_reads(t, key, TXN_LOCK_NONE, c[i].st == ST_OK ? "x" : "-");
        txn_free(t);
        st = txn_outcome(world_space(&w, other), txn_id_of(c[i].t), &asked, &err);
        assert_int_equal(st, c[i].st);
        if (st == ST_OK)
            assert_true(asked == c[i].ts);
        txn_free(c[i].t);
    }
}

/* A message that is lost on its way back, not a node: the answer is found by asking. */
static void answer_lost_commit_is_asked_for(void **state)
{
    size_t leader = world_leader(&w), other = (leader + 1) % WORLD_NODES;
    struct rpc_fault cut = {.cut = true}, none = {0};
    struct committing c;
    struct txn *t = begin_rw(world_space(&w, other));
    tstamp asked;
    struct err err;

    (void)state;
    assert_int_equal(put_str(t, "lost", "x"), ST_OK);
    /* The gateway hears nothing of the leader; the third node and the leader go on. */
    rpc_set_fault(w.node[leader].rpc, w.node[other].id, &cut);
    start_commit(&c, t);
    while (metric_get(world_space(&w, other)->m_unknown) == 0 && !atomic_load(&c.ended))
        mono_sleep_until(mono_now() + NS_PER_MS);
    rpc_set_fault(w.node[leader].rpc, w.node[other].id, &none);
    pthread_join(c.thread, NULL);
    if (c.st != ST_OK && c.st != ST_ABORT)
        fail_msg("%s %s", status_name(c.st), c.err.msg);
    assert_int_equal(txn_outcome(world_space(&w, other), txn_id_of(t), &asked, &err), c.st);
    txn_free(t);
}

/* A gateway whose clock is ahead reads in the leader's future: it waits for that itself, and no writer does. */
static void read_ahead_waits_and_delays_no_writer(void **state)
{
    const int64_t ahead = 400 * (int64_t)NS_PER_MS;
    size_t leader = world_leader(&w), other = (leader + 1) % WORLD_NODES;
    tstamp far = tt_now(w.tt).latest + ahead;
    struct txn *t = begin_ro(world_space(&w, other), far);
    tstamp ts;

    (void)state;
    assert_reads(t, "ahead", TXN_LOCK_NONE, "-");
    assert_true(tt_now(w.tt).latest > far - ahead / 4);
    /* The mark that it left at its timestamp is no more than that. */
    ts = put_surely(world_space(&w, leader), "ahead", "x");
    assert_true(ts > far);
    assert_true(ts < tt_now(w.tt).latest + ahead / 4);
    txn_free(t);
}

/* The process of a gateway is gone: nobody waits for its locks as long as for a silent one. */
static void gateway_lost_its_locks_are_given_up(void **state)
{
    size_t leader = world_leader(&w), other = (leader + 1) % WORLD_NODES;
    struct txn *held = begin_rw(world_space(&w, other)), *t;
    int64_t began;
    struct err err;

    (void)state;
    assert_reads(held, "left", TXN_LOCK_EXCLUSIVE, "-");
    /* As a process that dies: it says nothing any more. */
    txn_unlist(held);
    held->at = 0;
    txn_free(held);
    world_crash(&w, other);
    began = mono_now();
    t = begin_rw(world_space(&w, leader));
    assert_reads(t, "left", TXN_LOCK_EXCLUSIVE, "-");
    assert_true(mono_now() - began < 5 * (int64_t)NS_PER_S);
    must(commit(t, NULL, &err), &err);
}

static void gateway_restarted_its_locks_are_given_up(void **state)
{
    size_t leader = world_leader(&w), other = (leader + 1) % WORLD_NODES;
    struct txn *held = begin_rw(world_space(&w, other)), *t;
    struct err err;
    int64_t began;

    (void)state;
    assert_reads(held, "left", TXN_LOCK_EXCLUSIVE, "-");
    txn_unlist(held);
    held->at = 0;
    txn_free(held);
    world_crash(&w, other);
    world_start(&w, other);
    began = mono_now();
    t = begin_rw(world_space(&w, other));
    assert_reads(t, "left", TXN_LOCK_EXCLUSIVE, "-");
    assert_true(mono_now() - began < 5 * (int64_t)NS_PER_S);
    must(commit(t, NULL, &err), &err);
    (void)leader;
}

/* A clean stop hands over; what runs meanwhile ends in good order. */
static void leader_stopped_others_go_on(void **state)
{
    size_t leader = world_leader(&w), other = (leader + 1) % WORLD_NODES;

    (void)state;
    put_surely(world_space(&w, leader), "handed", "1");
    world_stop(&w, leader);
    put_surely(world_space(&w, other), "handed", "2");
    world_start(&w, leader);
    put_surely(world_space(&w, leader), "handed", "3");
}

static void no_majority_operations_end_in_time(void **state)
{
    size_t leader = world_leader(&w);
    struct txn *t;
    struct err err;
    char got[300];
    int64_t began;

    (void)state;
    put_surely(world_space(&w, leader), "alone", "1");
    for (size_t i = 1; i < WORLD_NODES; i++)
        world_crash(&w, (leader + i) % WORLD_NODES);
    began = mono_now();
    must(txn_begin(world_space(&w, leader),
                   &(struct txn_options){.mode = TXN_READ_WRITE,
                                         .deadline_mono_ns = began + 3 * (int64_t)NS_PER_S},
                   &t, &err),
         &err);
    assert_int_equal(put_str(t, "alone", "2"), ST_OK);
    assert_int_equal(txn_commit_wait(t, NULL, &err), ST_UNKNOWN);
    assert_string_equal(err.sqlstate, SQLSTATE_STATEMENT_COMPLETION_UNKNOWN);
    assert_true(mono_now() - began < 4 * (int64_t)NS_PER_S);
    txn_free(t);
    must(txn_begin(world_space(&w, leader),
                   &(struct txn_options){.mode = TXN_READ_ONLY,
                                         .deadline_mono_ns = mono_now() + NS_PER_S},
                   &t, &err),
         &err);
    assert_int_equal(get_str(t, "alone", TXN_LOCK_NONE, got, sizeof got), ST_RETRY);
    txn_free(t);
}

int main(void)
{
#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(commit_wide_bound_waits_it_out, open_wide_world,
                                        close_world),
        cmocka_unit_test_setup_teardown(answer_fresh_version_waits_for_its_time, open_wide_world,
                                        close_world),
        WORLD_TEST(read_pending_write_waits_for_it),
        WORLD_TEST(gets_pending_write_wait_for_it),
        WORLD_TEST(scan_pending_write_waits_for_it),
        WORLD_TEST(read_ahead_holds_writers_above_it),
        WORLD_TEST(leader_lost_open_transactions_are_aborted),
        WORLD_TEST(leader_lost_commits_tell_their_end),
        WORLD_TEST(answer_lost_commit_is_asked_for),
        WORLD_TEST(read_ahead_waits_and_delays_no_writer),
        WORLD_TEST(gateway_lost_its_locks_are_given_up),
        WORLD_TEST(gateway_restarted_its_locks_are_given_up),
        WORLD_TEST(leader_stopped_others_go_on),
        WORLD_TEST(no_majority_operations_end_in_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
