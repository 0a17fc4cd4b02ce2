#include "txn_world.h"

/* Schema changes against traffic. Each test has a world of its own. */

static struct world w;

static int open_world(void **state)
{
    (void)state;
    world_open(&w, "fixed:200us");
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    world_close(&w);
    return 0;
}

/* The catalog of these tests is one row that is written by schema changes only. */
static tstamp change_schema(struct txn_space *s, const char *value, int64_t *out_took_ns)
{
    int64_t began = mono_now();
    struct txn_schema_lease lease;
    enum status st = ST_ABORT;
    struct err err;
    tstamp ts = 0, age = tt_now(w.tt).latest;

    for (int i = 0; st == ST_ABORT && i < 50; i++) {
        struct txn *t;

        must(txn_schema_lease(s, &lease, &err), &err);
        must(txn_begin(s, &(struct txn_options){.mode = TXN_READ_WRITE, .age = age}, &t, &err),
             &err);
        txn_set_schema(t, lease.from, lease.until);
        st = txn_schema_change(t, &err);
        if (st == ST_OK)
            st = put_str(t, "catalog", value);
        if (st == ST_OK)
            st = txn_commit_wait(t, &ts, &err);
        txn_free(t);
    }
    must(st, &err);
    *out_took_ns = mono_now() - began;
    return ts;
}

static void change_makes_new_version(void **state)
{
    struct txn_schema_lease before, after;
    tstamp first, second;
    int64_t took;
    struct err err;

    (void)state;
    for (size_t i = 0; i < WORLD_NODES; i++)
        must(txn_schema_lease(world_space(&w, i), &before, &err), &err);
    first = change_schema(world_space(&w, 0), "1", &took);
    second = change_schema(world_space(&w, 1), "2", &took);
    assert_true(first >= before.until || second > first);
    for (size_t i = 0; i < WORLD_NODES; i++) {
        must(txn_schema_lease(world_space(&w, i), &after, &err), &err);
        assert_true(after.from == second);
        assert_true(after.until > tt_now(w.tt).latest);
    }
}

static void old_version_is_refused(void **state)
{
    size_t leader = world_leader(&w);

    (void)state;
    for (size_t i = 0; i < WORLD_NODES; i++) {
        struct txn_space *s = world_space(&w, (leader + i) % WORLD_NODES);
        struct txn *writes = begin_rw(s), *reads = begin_rw(s), *early = begin_ro(s, 0), *late;
        struct txn_schema_lease lease;
        struct err err;
        int64_t took;
        char got[300];

        must(txn_schema_lease(s, &lease, &err), &err);
        txn_set_schema(writes, lease.from, lease.until);
        txn_set_schema(reads, lease.from, lease.until);
        txn_set_schema(early, lease.from, lease.until);
        assert_int_equal(put_str(writes, "row", "x"), ST_OK);
        assert_true(get_str(reads, "row", TXN_LOCK_SHARED, got, sizeof got) != ST_ABORT);
        (void)change_schema(world_space(&w, leader), "y", &took);
        assert_int_equal(txn_commit_wait(writes, NULL, &err), ST_ABORT);
        assert_string_equal(err.sqlstate, SQLSTATE_SERIALIZATION_FAILURE);
        assert_int_equal(get_str(reads, "row", TXN_LOCK_SHARED, got, sizeof got), ST_ABORT);
        /* What was taken under the lease before it was given back stays good. */
        assert_true(get_str(early, "row", TXN_LOCK_NONE, got, sizeof got) != ST_ABORT);
        late = begin_ro(s, 0);
        txn_set_schema(late, lease.from, lease.until);
        assert_int_equal(get_str(late, "row", TXN_LOCK_NONE, got, sizeof got), ST_ABORT);
        txn_free(writes);
        txn_free(reads);
        txn_free(early);
        txn_free(late);
    }
}

/*
 * Traffic: writers write the version that they planned under into a row, readers compare the catalog's version
 * with their lease. The theorem: whatever has a timestamp at or above a change ran under the new version.
 */
enum { WRITERS = 3, READERS = 3, CHANGES = 8 };

struct traffic {
    pthread_t thread;
    struct txn_space *s;
    atomic_bool *stop;
    unsigned number;
    uint64_t n_ok, n_aborts;
    int64_t longest_ns;
    char failed[300];
};

static void note(struct traffic *f, enum status st, int64_t began, const struct err *err)
{
    int64_t took = mono_now() - began;

    f->n_ok += st == ST_OK;
    f->n_aborts += st == ST_ABORT;
    if (took > f->longest_ns)
        f->longest_ns = took;
    if (st != ST_OK && st != ST_ABORT && f->failed[0] == 0)
        (void)snprintf(f->failed, sizeof f->failed, "%s %.200s", status_name(st), err->msg);
}

static void *write_rows(void *arg)
{
    struct traffic *f = arg;

    for (unsigned i = 0; !atomic_load(f->stop); i++) {
        int64_t began = mono_now();
        struct txn_schema_lease lease;
        char key[32], value[32];
        struct err err;
        struct txn *t = NULL;
        enum status st = txn_schema_lease(f->s, &lease, &err);

        if (st == ST_OK)
            st = txn_begin(f->s, &(struct txn_options){.mode = TXN_READ_WRITE}, &t, &err);
        if (st == ST_OK) {
            txn_set_schema(t, lease.from, lease.until);
            (void)snprintf(key, sizeof key, "row%u.%u", f->number, i % 10);
            (void)snprintf(value, sizeof value, "%lld", (long long)lease.from);
            st = txn_put(t, bytes_str(key), bytes_str(value), &err);
        }
        if (st == ST_OK)
            st = txn_commit_wait(t, NULL, &err);
        txn_free(t);
        note(f, st, began, &err);
    }
    return NULL;
}

/* ST_OK with *out_match false: the lease and the catalog at the read's timestamp disagree. */
static enum status compare_catalog(struct traffic *f, bool *out_match, struct err *err)
{
    struct txn_schema_lease lease;
    struct arena mem;
    struct bytes value;
    struct txn *t = NULL;
    tstamp ts = 0;
    enum status st = ST_OK;

    arena_init(&mem, 0);
    TRY(txn_schema_lease(f->s, &lease, err));
    TRY(txn_begin(f->s, &(struct txn_options){.mode = TXN_READ_ONLY}, &t, err));
    txn_set_schema(t, lease.from, lease.until);
    TRY(txn_get(t, bytes_str("catalog"), TXN_LOCK_NONE, &mem, &value, &ts, err));
    TRY(txn_answer(t, err));
    *out_match = ts == lease.from;
out:
    txn_free(t);
    arena_fini(&mem);
    return st;
}

static void *read_rows(void *arg)
{
    struct traffic *f = arg;

    while (!atomic_load(f->stop)) {
        int64_t began = mono_now();
        bool match = true;
        struct err err;
        enum status st = compare_catalog(f, &match, &err);

        if (!match)
            (void)snprintf(f->failed, sizeof f->failed, "a read missed a schema change");
        note(f, st, began, &err);
    }
    return NULL;
}

/* Every version of every row carries the schema version that was current at its timestamp. */
static void check_rows(tstamp last_change)
{
    struct txn *t = begin_ro(world_space(&w, 0), 0);
    struct txn_scan *sc;
    struct bytes key, value;
    struct err err;
    size_t n = 0;

    must(txn_scan_open(
             t, &(struct txn_scan_options){.start = bytes_str("row"), .end = bytes_str("rox")}, &sc,
             &err),
         &err);
    while (txn_scan_next(sc, &key, &value, &err) == ST_OK) {
        struct arena mem;
        struct bytes again;
        tstamp ts;
        char text[32];

        arena_init(&mem, 0);
        must(txn_get(t, key, TXN_LOCK_NONE, &mem, &again, &ts, &err), &err);
        (void)snprintf(text, sizeof text, "%.*s", (int)value.len, (const char *)value.ptr);
        assert_true((ts > last_change) == (strtoll(text, NULL, 10) == last_change));
        arena_fini(&mem);
        n++;
    }
    assert_true(n > 0);
    txn_scan_close(sc);
    txn_free(t);
}

static void changes_under_traffic_take_milliseconds(void **state)
{
    atomic_bool stop = false;
    struct traffic f[WRITERS + READERS];
    int64_t longest = 0, took;
    tstamp last = change_schema(world_space(&w, 0), "start", &took);

    (void)state;
    for (unsigned i = 0; i < WRITERS + READERS; i++) {
        f[i] = (struct traffic){.s = world_space(&w, i % WORLD_NODES), .stop = &stop, .number = i};
        pthread_create(&f[i].thread, NULL, i < WRITERS ? write_rows : read_rows, &f[i]);
    }
    for (int i = 0; i < CHANGES; i++) {
        tstamp ts;

        mono_sleep_until(mono_now() + 20 * (int64_t)NS_PER_MS); /* let traffic flow */
        ts = change_schema(world_space(&w, (size_t)i % WORLD_NODES), "next", &took);
        assert_true(ts > last);
        last = ts;
        longest = took > longest ? took : longest;
    }
    atomic_store(&stop, true);
    for (unsigned i = 0; i < WRITERS + READERS; i++) {
        pthread_join(f[i].thread, NULL);
        if (f[i].longest_ns > longest)
            longest = f[i].longest_ns;
        assert_string_equal(f[i].failed, "");
        assert_true(f[i].n_ok > 0);
        print_message("%s: ok=%llu aborts=%llu longest=%lld us\n",
                      i < WRITERS ? "writer" : "reader", (unsigned long long)f[i].n_ok,
                      (unsigned long long)f[i].n_aborts, (long long)(f[i].longest_ns / NS_PER_US));
    }
    /* Without recalls a change would wait for leases of seconds. */
    assert_true(longest < NS_PER_S);
    check_rows(last);
}

static void changes_at_once_all_happen(void **state)
{
    struct txn_schema_lease lease;
    tstamp ts[4];
    int64_t took;
    struct err err;

    (void)state;
    for (int i = 0; i < 4; i++) {
        ts[i] = change_schema(world_space(&w, (size_t)i % WORLD_NODES), "x", &took);
        if (i > 0)
            assert_true(ts[i] > ts[i - 1]);
    }
    must(txn_schema_lease(world_space(&w, 0), &lease, &err), &err);
    assert_true(lease.from == ts[3]);
}

/* A change that is rolled back lets leases be given again, of the old version. */
static void change_rolled_back_leaves_version(void **state)
{
    struct txn_schema_lease before, after;
    struct txn *t;
    int64_t took, began;
    struct err err;

    (void)state;
    (void)change_schema(world_space(&w, 0), "1", &took);
    for (size_t i = 0; i < WORLD_NODES; i++) {
        must(txn_schema_lease(world_space(&w, i), &before, &err), &err);
        t = begin_rw(world_space(&w, i));
        txn_set_schema(t, before.from, before.until);
        must(txn_schema_change(t, &err), &err);
        txn_free(t);
        began = mono_now();
        must(txn_schema_lease(world_space(&w, i), &after, &err), &err);
        assert_true(after.from == before.from);
        assert_true(mono_now() - began < 500 * (int64_t)NS_PER_MS);
    }
}

/* A gateway that cannot be asked: its lease is waited out, and no longer. */
static void gateway_lost_change_waits_for_its_lease(void **state)
{
    size_t leader = world_leader(&w), other = (leader + 1) % WORLD_NODES;
    struct txn_schema_lease lease;
    int64_t took;
    tstamp ts;
    struct err err;

    (void)state;
    must(txn_schema_lease(world_space(&w, other), &lease, &err), &err);
    world_crash(&w, other);
    ts = change_schema(world_space(&w, leader), "1", &took);
    assert_true(ts >= lease.until);
    assert_true(took < (LEADER_CAP_AHEAD_MS + 1500) * (int64_t)NS_PER_MS);
}

/* Leases that an earlier leader gave bind the next one. */
static void leader_lost_change_waits_for_its_leases(void **state)
{
    size_t leader = world_leader(&w), other = (leader + 1) % WORLD_NODES;
    struct txn_schema_lease lease;
    int64_t took;
    tstamp ts;
    struct err err;

    (void)state;
    must(txn_schema_lease(world_space(&w, other), &lease, &err), &err);
    world_crash(&w, leader);
    ts = change_schema(world_space(&w, other), "1", &took);
    assert_true(ts >= lease.until);
    must(txn_schema_lease(world_space(&w, other), &lease, &err), &err);
    assert_true(lease.from == ts);
}

int main(void)
{
#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
    const struct CMUnitTest tests[] = {
        WORLD_TEST(change_makes_new_version),
        WORLD_TEST(old_version_is_refused),
        WORLD_TEST(changes_under_traffic_take_milliseconds),
        WORLD_TEST(changes_at_once_all_happen),
        WORLD_TEST(change_rolled_back_leaves_version),
        WORLD_TEST(gateway_lost_change_waits_for_its_lease),
        WORLD_TEST(leader_lost_change_waits_for_its_leases),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
