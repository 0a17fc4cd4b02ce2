#include "txn_world.h"

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

static struct txn_space *leader_space(void)
{
    return world_space(&w, world_leader(&w));
}

static struct txn_space *other_space(void)
{
    return world_space(&w, (world_leader(&w) + 1) % WORLD_NODES);
}

/* The same transaction again, as old as its first attempt. */
static struct txn *begin_aged(struct txn_space *s, tstamp age)
{
    struct txn *t;
    struct err err;

    must(txn_begin(s, &(struct txn_options){.mode = TXN_READ_WRITE, .age = age}, &t, &err), &err);
    return t;
}

static void commit_read_back_everywhere(void **state)
{
    struct err err;

    (void)state;
    for (size_t i = 0; i < WORLD_NODES; i++) {
        char key[] = "a0";
        tstamp ts;

        key[1] = (char)('0' + i);
        ts = put_surely(world_space(&w, i), key, "v");
        assert_true(tt_after(w.tt, ts));
        for (size_t k = 0; k < WORLD_NODES; k++) {
            struct txn *t = begin_ro(world_space(&w, k), 0);

            assert_true(txn_read_ts(t) > ts);
            assert_reads(t, key, TXN_LOCK_NONE, "v");
            must(txn_answer(t, &err), &err);
            txn_free(t);
            t = begin_rw(world_space(&w, k));
            assert_reads(t, key, TXN_LOCK_SHARED, "v");
            must(commit(t, &ts, &err), &err);
            assert_int_equal(ts, 0);
        }
    }
}

/* Lost updates. */

enum { COUNT_THREADS = 6, COUNT_TIMES = 40 };

struct counting {
    pthread_t thread;
    struct txn_space *s;
    enum txn_lock lock;
    uint64_t n_aborts;
    char failed[300];
};

static bool count_once(struct counting *c, tstamp age)
{
    struct txn *t = begin_aged(c->s, age);
    char value[32];
    struct err err;
    enum status st = get_str(t, "counter", c->lock, value, sizeof value);

    if (st == ST_OK || st == ST_NOTFOUND) {
        (void)snprintf(value, sizeof value, "%ld", st == ST_OK ? strtol(value, NULL, 10) + 1 : 1);
        assert_int_equal(put_str(t, "counter", value), ST_OK);
        st = txn_commit_wait(t, NULL, &err);
        if (st != ST_OK && st != ST_ABORT)
            (void)snprintf(c->failed, sizeof c->failed, "commit: %s %s", err.sqlstate, err.msg);
    } else if (st != ST_ABORT) {
        (void)snprintf(c->failed, sizeof c->failed, "get: %s", value);
    }
    txn_free(t);
    c->n_aborts += st == ST_ABORT;
    return st == ST_OK;
}

static void *count_up(void *arg)
{
    struct counting *c = arg;

    for (int i = 0; i < COUNT_TIMES && c->failed[0] == 0; i++) {
        tstamp age = tt_now(w.tt).latest;

        while (!count_once(c, age) && c->failed[0] == 0)
            ;
    }
    return NULL;
}

static void counter_many_clients_loses_no_update(void **state)
{
    struct counting c[COUNT_THREADS];
    char want[32], got[32];
    long total = 0;
    struct txn *t;

    (void)state;
    t = begin_ro(leader_space(), 0);
    if (get_str(t, "counter", TXN_LOCK_NONE, got, sizeof got) == ST_OK)
        total = strtol(got, NULL, 10);
    txn_free(t);
    for (size_t i = 0; i < COUNT_THREADS; i++) {
        c[i] =
            (struct counting){.s = world_space(&w, i % WORLD_NODES),
                              .lock = i < COUNT_THREADS / 2 ? TXN_LOCK_SHARED : TXN_LOCK_EXCLUSIVE};
        pthread_create(&c[i].thread, NULL, count_up, &c[i]);
    }
    for (size_t i = 0; i < COUNT_THREADS; i++) {
        pthread_join(c[i].thread, NULL);
        assert_string_equal(c[i].failed, "");
    }
    t = begin_ro(leader_space(), 0);
    (void)snprintf(want, sizeof want, "%ld", total + COUNT_THREADS * COUNT_TIMES);
    assert_reads(t, "counter", TXN_LOCK_NONE, want);
    txn_free(t);
}

/* Conflicts. */

struct committing {
    pthread_t thread;
    struct txn *t;
    enum status st;
    tstamp ts;
    struct err err;
};

static void *commit_thread(void *arg)
{
    struct committing *c = arg;

    c->st = txn_commit_wait(c->t, &c->ts, &c->err);
    return NULL;
}

static void write_skew_one_is_aborted(void **state)
{
    struct committing c[2];

    (void)state;
    put_surely(leader_space(), "skew.a", "1");
    put_surely(leader_space(), "skew.b", "1");
    c[0].t = begin_rw(leader_space());
    c[1].t = begin_rw(other_space());
    for (int i = 0; i < 2; i++) {
        assert_reads(c[i].t, "skew.a", TXN_LOCK_SHARED, "1");
        assert_reads(c[i].t, "skew.b", TXN_LOCK_SHARED, "1");
        assert_int_equal(put_str(c[i].t, i == 0 ? "skew.a" : "skew.b", "0"), ST_OK);
    }
    for (int i = 0; i < 2; i++)
        pthread_create(&c[i].thread, NULL, commit_thread, &c[i]);
    for (int i = 0; i < 2; i++)
        pthread_join(c[i].thread, NULL);
    assert_int_equal((c[0].st == ST_OK) + (c[1].st == ST_OK), 1);
    for (int i = 0; i < 2; i++) {
        if (c[i].st != ST_OK) {
            assert_int_equal(c[i].st, ST_ABORT);
            assert_string_equal(c[i].err.sqlstate, SQLSTATE_SERIALIZATION_FAILURE);
        }
        txn_free(c[i].t);
    }
}

/* What a phantom would be: a range that was read gets a row before the reader commits. */
static void range_read_keeps_others_out(void **state)
{
    struct txn *reader = begin_rw(other_space()), *writer;
    struct committing c;
    struct txn_scan *sc;
    struct bytes key, value;
    struct err err;
    tstamp ts;

    (void)state;
    must(txn_scan_open(reader,
                       &(struct txn_scan_options){.start = bytes_str("phantom."),
                                                  .end = bytes_str("phantom/"),
                                                  .lock = TXN_LOCK_SHARED},
                       &sc, &err),
         &err);
    assert_int_equal(txn_scan_next(sc, &key, &value, &err), ST_NOTFOUND);
    txn_scan_close(sc);
    writer = begin_rw(leader_space()); /* younger: it waits */
    assert_int_equal(put_str(writer, "phantom.x", "1"), ST_OK);
    c.t = writer;
    pthread_create(&c.thread, NULL, commit_thread, &c);
    assert_int_equal(put_str(reader, "phantom.seen", "none"), ST_OK);
    must(commit(reader, &ts, &err), &err);
    pthread_join(c.thread, NULL);
    assert_int_equal(c.st, ST_OK);
    assert_true(c.ts > ts);
    txn_free(writer);
}

static void older_wants_lock_younger_is_aborted(void **state)
{
    (void)state;
    for (int remote = 0; remote < 2; remote++) {
        struct txn *older = begin_rw(leader_space()), *younger;
        struct err err;

        younger = begin_rw(remote ? other_space() : leader_space());
        assert_reads(younger, "wound", TXN_LOCK_EXCLUSIVE, "-");
        assert_reads(older, "wound", TXN_LOCK_EXCLUSIVE, "-");
        assert_int_equal(put_str(younger, "wound2", "x"), ST_OK);
        assert_int_equal(txn_commit_wait(younger, NULL, &err), ST_ABORT);
        assert_string_equal(err.sqlstate, SQLSTATE_SERIALIZATION_FAILURE);
        txn_free(younger);
        must(commit(older, NULL, &err), &err);
        younger = begin_ro(leader_space(), 0);
        assert_reads(younger, "wound2", TXN_LOCK_NONE, "-");
        txn_free(younger);
    }
}

/* A wounded one that goes on reading is told so, and told the same ever after. */
static void aborted_reads_again_stays_aborted(void **state)
{
    struct txn *older = begin_rw(leader_space()), *younger = begin_rw(other_space());
    char got[256];
    struct err err;

    (void)state;
    assert_reads(younger, "again", TXN_LOCK_EXCLUSIVE, "-");
    assert_reads(older, "again", TXN_LOCK_EXCLUSIVE, "-");
    assert_int_equal(get_str(younger, "other", TXN_LOCK_SHARED, got, sizeof got), ST_ABORT);
    assert_int_equal(get_str(younger, "other", TXN_LOCK_SHARED, got, sizeof got), ST_ABORT);
    assert_int_equal(put_str(younger, "other", "x"), ST_ABORT);
    assert_int_equal(txn_commit_wait(younger, NULL, &err), ST_ABORT);
    txn_free(younger);
    txn_free(older);
}

static void lock_wait_canceled_says_so(void **state)
{
    bool cancel = true;

    (void)state;
    for (int remote = 0; remote < 2; remote++) {
        struct txn *holder = begin_rw(leader_space()), *waiter;
        char got[256];
        struct err err;

        assert_reads(holder, "cancel", TXN_LOCK_EXCLUSIVE, "-");
        must(txn_begin(remote ? other_space() : leader_space(),
                       &(struct txn_options){.mode = TXN_READ_WRITE, .cancel = &cancel}, &waiter,
                       &err),
             &err);
        assert_int_equal(get_str(waiter, "cancel", TXN_LOCK_SHARED, got, sizeof got), ST_REJECT);
        assert_memory_equal(got, SQLSTATE_QUERY_CANCELED, 5);
        txn_free(waiter);
        txn_free(holder);
    }
}

static void rollback_gives_locks_up(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORLD_NODES; i++) {
        struct txn *t = begin_rw(world_space(&w, i)), *next;

        assert_reads(t, "rolled", TXN_LOCK_EXCLUSIVE, "-");
        assert_int_equal(put_str(t, "rolled", "x"), ST_OK);
        txn_rollback(t);
        txn_free(t);
        next = begin_rw(world_space(&w, i)); /* younger: it would wait for ever */
        assert_reads(next, "rolled", TXN_LOCK_EXCLUSIVE, "-");
        txn_free(next);
    }
}

static void limits_exceeded_are_named(void **state)
{
    struct txn *t = begin_rw(leader_space()), *ro = begin_ro(leader_space(), 0);
    static uint8_t big[TXN_WRITES_MAX_BYTES];
    struct err err;

    (void)state;
    assert_int_equal(put_str(ro, "k", "v"), ST_REJECT);
    assert_int_equal(txn_put(t, bytes_str("k"), bytes_of(big, sizeof big), &err), ST_REJECT);
    assert_string_equal(err.sqlstate, SQLSTATE_PROGRAM_LIMIT_EXCEEDED);
    assert_int_equal(txn_put(t, bytes_of(big, TXN_KEY_MAX + 1), bytes_str(""), &err), ST_REJECT);
    assert_int_equal(txn_put(t, bytes_of("\0k", 2), bytes_str(""), &err), ST_REJECT);
    assert_int_equal(txn_put(t, bytes_str(""), bytes_str(""), &err), ST_REJECT);
    txn_free(t);
    txn_free(ro);
}

#ifdef MRD_SANITIZED /* an entry that takes as long to copy as a lease holds costs the leadership */
enum { BIG_LEN = 256 * 1024 };
#else
enum { BIG_LEN = 2 * 1024 * 1024 };
#endif

static void value_of_megabytes_comes_back(void **state)
{
    uint8_t *big = xmalloc(BIG_LEN);
    struct arena mem;
    struct bytes value;
    struct txn *t = begin_rw(other_space());
    struct err err;

    (void)state;
    for (size_t i = 0; i < BIG_LEN; i++)
        big[i] = (uint8_t)(i * 7 + i / 253);
    must(txn_put(t, bytes_str("big"), bytes_of(big, BIG_LEN), &err), &err);
    must(commit(t, NULL, &err), &err);
    arena_init(&mem, 0);
    t = begin_ro(other_space(), 0);
    must(txn_get(t, bytes_str("big"), TXN_LOCK_NONE, &mem, &value, NULL, &err), &err);
    assert_int_equal(value.len, BIG_LEN);
    assert_memory_equal(value.ptr, big, BIG_LEN);
    txn_free(t);
    arena_fini(&mem);
    free(big);
}

/* Ids. */

static struct txn *begin_id(struct txn_space *s, struct txn_id id)
{
    struct txn *t;
    struct err err;

    must(txn_begin(s, &(struct txn_options){.mode = TXN_READ_WRITE, .id = id}, &t, &err), &err);
    return t;
}

static void commit_repeated_returns_first_outcome(void **state)
{
    struct txn_id id = {tt_now(w.tt).latest, 77, 1};
    tstamp first = 0, second = 0, asked = 0;
    struct txn *t;
    struct err err;

    (void)state;
    t = begin_id(leader_space(), id);
    assert_int_equal(put_str(t, "once", "first"), ST_OK);
    must(commit(t, &first, &err), &err);
    t = begin_id(other_space(), id);
    assert_int_equal(put_str(t, "once", "second"), ST_OK);
    must(commit(t, &second, &err), &err);
    assert_true(first == second);
    must(txn_outcome(other_space(), id, &asked, &err), &err);
    assert_true(first == asked);
    t = begin_ro(leader_space(), 0);
    assert_reads(t, "once", TXN_LOCK_NONE, "first");
    txn_free(t);
}

/* The locks of the second attempt are not those that the first one's commit gave back. */
static void repeat_that_locked(struct txn_space *s, struct txn_id id, const char *value)
{
    struct txn *t = begin_id(s, id);
    struct err err;

    must(txn_lock_key(t, bytes_str("counter"), TXN_LOCK_EXCLUSIVE, &err), &err);
    assert_int_equal(put_str(t, "counter", value), ST_OK);
    must(commit(t, NULL, &err), &err);
}

static void commit_repeated_after_a_read_leaves_no_lock(void **state)
{
    struct txn_id id = {tt_now(w.tt).latest, 78, 1};
    struct txn_options soon = {.mode = TXN_READ_WRITE,
                               .deadline_mono_ns = mono_now() + 20 * (int64_t)NS_PER_S};
    struct txn *t;
    struct err err;

    (void)state;
    repeat_that_locked(leader_space(), id, "1");
    repeat_that_locked(leader_space(), id, "2");
    repeat_that_locked(other_space(), id, "3");
    must(txn_begin(leader_space(), &soon, &t, &err), &err);
    must(txn_lock_key(t, bytes_str("counter"), TXN_LOCK_EXCLUSIVE, &err), &err);
    txn_free(t);
}

static void outcome_of_unknown_id_buries_it(void **state)
{
    struct txn *t = begin_rw(other_space());
    struct err err;
    tstamp ts;

    (void)state;
    assert_int_equal(put_str(t, "buried", "x"), ST_OK);
    assert_int_equal(txn_outcome(leader_space(), txn_id_of(t), &ts, &err), ST_ABORT);
    assert_int_equal(txn_commit_wait(t, &ts, &err), ST_ABORT);
    assert_int_equal(txn_outcome(other_space(), txn_id_of(t), &ts, &err), ST_ABORT);
    txn_free(t);
    t = begin_ro(leader_space(), 0);
    assert_reads(t, "buried", TXN_LOCK_NONE, "-");
    txn_free(t);
    assert_int_equal(txn_outcome(leader_space(), (struct txn_id){1, 1, 1}, &ts, &err), ST_REJECT);
}

struct async {
    pthread_mutex_t mu;
    pthread_cond_t cond;
    int n_done;
    enum status st;
    tstamp ts;
};

static void on_async(void *arg, enum status st, tstamp ts, const struct err *err)
{
    struct async *a = arg;

    assert_true((st == ST_OK) == (err == NULL));
    pthread_mutex_lock(&a->mu);
    a->n_done++;
    a->st = st;
    a->ts = ts;
    pthread_cond_signal(&a->cond);
    pthread_mutex_unlock(&a->mu);
}

static void async_commit_calls_back_once(void **state)
{
    struct async a = {.mu = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};

    (void)state;
    for (int remote = 0; remote < 2; remote++) {
        struct txn *t = begin_rw(remote ? other_space() : leader_space());

        assert_int_equal(put_str(t, "async", remote ? "there" : "here"), ST_OK);
        txn_commit(t, (struct txn_done){on_async, &a});
        pthread_mutex_lock(&a.mu);
        while (a.n_done <= remote)
            pthread_cond_wait(&a.cond, &a.mu);
        assert_int_equal(a.st, ST_OK);
        assert_true(tt_after(w.tt, a.ts));
        pthread_mutex_unlock(&a.mu);
        txn_free(t);
        t = begin_ro(leader_space(), a.ts);
        assert_reads(t, "async", TXN_LOCK_NONE, remote ? "there" : "here");
        txn_free(t);
    }
    assert_int_equal(a.n_done, 2);
}

/* Snapshots. */

static void snapshot_at_timestamp_is_stable(void **state)
{
    tstamp first = put_surely(leader_space(), "snap", "1");
    tstamp second = put_surely(other_space(), "snap", "2");

    (void)state;
    assert_true(second > first);
    for (size_t i = 0; i < WORLD_NODES; i++) {
        struct txn *t = begin_ro(world_space(&w, i), first);

        assert_reads(t, "snap", TXN_LOCK_NONE, "1");
        txn_free(t);
        t = begin_ro(world_space(&w, i), second - 1);
        assert_reads(t, "snap", TXN_LOCK_NONE, "1");
        txn_free(t);
        t = begin_ro(world_space(&w, i), second);
        assert_reads(t, "snap", TXN_LOCK_NONE, "2");
        txn_free(t);
    }
}

static void digests_are_equal_on_all_nodes(void **state)
{
    struct mvcc_digest d[WORLD_NODES];
    tstamp t;
    struct err err;

    (void)state;
    put_surely(other_space(), "digest", "1");
    must(txn_stable_ts(other_space(), &t, &err), &err);
    put_surely(other_space(), "digest", "2");
    for (size_t i = 0; i < WORLD_NODES; i++)
        must(
            txn_digest(other_space(), w.node[i].id, bytes_str("d"), bytes_str("e"), t, &d[i], &err),
            &err);
    assert_int_equal(d[0].n_rows, 1);
    for (size_t i = 1; i < WORLD_NODES; i++)
        assert_memory_equal(&d[0], &d[i], sizeof d[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commit_read_back_everywhere),
        cmocka_unit_test(counter_many_clients_loses_no_update),
        cmocka_unit_test(write_skew_one_is_aborted),
        cmocka_unit_test(range_read_keeps_others_out),
        cmocka_unit_test(older_wants_lock_younger_is_aborted),
        cmocka_unit_test(aborted_reads_again_stays_aborted),
        cmocka_unit_test(lock_wait_canceled_says_so),
        cmocka_unit_test(rollback_gives_locks_up),
        cmocka_unit_test(limits_exceeded_are_named),
        cmocka_unit_test(value_of_megabytes_comes_back),
        cmocka_unit_test(commit_repeated_returns_first_outcome),
        cmocka_unit_test(commit_repeated_after_a_read_leaves_no_lock),
        cmocka_unit_test(outcome_of_unknown_id_buries_it),
        cmocka_unit_test(async_commit_calls_back_once),
        cmocka_unit_test(snapshot_at_timestamp_is_stable),
        cmocka_unit_test(digests_are_equal_on_all_nodes),
    };

    return cmocka_run_group_tests(tests, open_world, close_world);
}
