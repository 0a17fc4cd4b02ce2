#include "txn/readmark.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static struct bytes K(const char *s) {
    return bytes_str(s);
}

/* A write of up to four keys. */
struct fixture_write {
    struct readmark_write w;
    struct readmark_key keys[4];
};

static void begin(struct readmark *rm, struct fixture_write *f, const char *const *keys, size_t n)
{
    for (size_t i = 0; i < n; i++)
        f->keys[i].node.key = K(keys[i]);
    f->w.keys = f->keys;
    f->w.n = n;
    readmark_write_begin(rm, &f->w);
}

static void begin1(struct readmark *rm, struct fixture_write *f, const char *key)
{
    begin(rm, f, &key, 1);
}

static void count(void *arg)
{
    ++*(int *)arg;
}

static void mark_raised_writer_goes_above(void **state)
{
    struct readmark *rm = readmark_new();
    struct fixture_write f;

    (void)state;
    readmark_raise(rm, K("a"), 100);
    readmark_raise(rm, K("a"), 50);
    begin1(rm, &f, "a");
    assert_int_equal(readmark_write_floor(rm, &f.w), 100);
    readmark_raise_range(rm, 120);
    assert_int_equal(readmark_write_floor(rm, &f.w), 120);
    readmark_raise(rm, K("z"), 130);
    assert_int_equal(readmark_highest(rm), 130);
    readmark_write_end(rm, &f.w);
    readmark_free(rm);
}

static void pending_without_timestamp_blocks_every_reader(void **state)
{
    struct readmark *rm = readmark_new();
    struct fixture_write f;

    (void)state;
    begin1(rm, &f, "b");
    assert_true(readmark_blocked(rm, K("b"), 1, NULL));
    assert_false(readmark_blocked(rm, K("a"), 1, NULL));
    assert_true(readmark_blocked_range(rm, K("a"), K("c"), 1, NULL));
    assert_true(readmark_blocked_range(rm, K("b"), K("c"), 1, NULL));
    assert_false(readmark_blocked_range(rm, K("a"), K("b"), 1, NULL));
    readmark_write_set(rm, &f.w, 10);
    assert_false(readmark_blocked(rm, K("b"), 9, NULL));
    assert_true(readmark_blocked(rm, K("b"), 10, NULL));
    readmark_write_end(rm, &f.w);
    assert_false(readmark_blocked(rm, K("b"), 10, NULL));
    assert_int_equal(readmark_pending(rm), 0);
    readmark_free(rm);
}

static void waiter_is_woken_when_timestamp_is_above_it(void **state)
{
    struct readmark *rm = readmark_new();
    struct fixture_write f;
    int below = 0;
    int above = 0;
    struct readmark_waiter w1 = {.fn = count, .arg = &below};
    struct readmark_waiter w2 = {.fn = count, .arg = &above};

    (void)state;
    begin1(rm, &f, "a");
    assert_true(readmark_blocked(rm, K("a"), 5, &w1));
    assert_true(readmark_blocked(rm, K("a"), 15, &w2));
    readmark_write_set(rm, &f.w, 10);
    assert_int_equal(below, 1);
    assert_int_equal(above, 0);
    readmark_write_end(rm, &f.w);
    assert_int_equal(below, 1);
    assert_int_equal(above, 1);
    readmark_free(rm);
}

static void waiter_cancelled_is_not_woken(void **state)
{
    struct readmark *rm = readmark_new();
    struct fixture_write f;
    int fired = 0;
    struct readmark_waiter w1 = {.fn = count, .arg = &fired};
    struct readmark_waiter w2 = {.fn = count, .arg = &fired};
    struct readmark_waiter w3 = {.fn = count, .arg = &fired};

    (void)state;
    begin1(rm, &f, "a");
    assert_true(readmark_blocked(rm, K("a"), 5, &w1));
    assert_true(readmark_blocked(rm, K("a"), 5, &w2));
    assert_true(readmark_blocked(rm, K("a"), 5, &w3));
    readmark_cancel(rm, &w2);
    readmark_write_end(rm, &f.w);
    assert_int_equal(fired, 2);
    readmark_cancel(rm, &w1); /* already woken: nothing to do */
    readmark_free(rm);
}

static void keys_of_two_writes_each_block(void **state)
{
    struct readmark *rm = readmark_new();
    struct fixture_write f;
    struct fixture_write g;
    static const char *const many[] = {"a", "b", "c"};

    (void)state;
    begin(rm, &f, many, 3);
    begin1(rm, &g, "b"); /* the same key again: a later place in the log */
    readmark_write_set(rm, &f.w, 5);
    readmark_write_set(rm, &g.w, 9);
    assert_true(readmark_blocked(rm, K("b"), 6, NULL));
    readmark_write_end(rm, &f.w);
    assert_false(readmark_blocked(rm, K("b"), 6, NULL));
    assert_true(readmark_blocked(rm, K("b"), 9, NULL));
    readmark_write_end(rm, &g.w);
    readmark_free(rm);
}

/*
 * A reader and a writer race. The cell stands for the engine: it holds the newest applied timestamp. Never
 * may a read at t finish without a write at or below t that is applied later.
 */
struct race {
    struct readmark *rm;
    _Atomic tstamp clock;
    _Atomic tstamp cell;
    _Atomic bool stop;
    _Atomic int wrong;
};

static void *race_writer(void *arg)
{
    struct race *r = arg;

    for (int i = 0; i < 20000; i++) {
        struct fixture_write f;
        tstamp s;
        tstamp floor;

        begin1(r->rm, &f, "k");
        floor = readmark_write_floor(r->rm, &f.w);
        s = atomic_load(&r->cell) + 1; /* the writer's clock lags: only the mark lifts s */
        s = s > floor ? s : floor + 1;
        readmark_write_set(r->rm, &f.w, s);
        atomic_store(&r->cell, s);
        readmark_write_end(r->rm, &f.w);
    }
    atomic_store(&r->stop, true);
    return NULL;
}

static void *race_reader(void *arg)
{
    struct race *r = arg;
    tstamp last_t = 0;
    tstamp last_seen = 0;

    while (!atomic_load(&r->stop)) {
        tstamp t = atomic_fetch_add(&r->clock, 3);
        tstamp seen;

        readmark_raise(r->rm, K("k"), t);
        if (readmark_blocked(r->rm, K("k"), t, NULL))
            continue;
        seen = atomic_load(&r->cell);
        /* The version met by the read at last_t was last_seen: nothing may appear in between later. */
        if (last_t != 0 && seen > last_seen && seen <= last_t)
            atomic_fetch_add(&r->wrong, 1);
        last_t = t;
        last_seen = seen;
    }
    return NULL;
}

static void reads_and_writes_racing_no_write_appears_below_a_read(void **state)
{
    struct race r = {.rm = readmark_new()};
    pthread_t w;
    pthread_t rd;

    (void)state;
    atomic_store(&r.clock, 1000);
    assert_int_equal(pthread_create(&w, NULL, race_writer, &r), 0);
    assert_int_equal(pthread_create(&rd, NULL, race_reader, &r), 0);
    pthread_join(w, NULL);
    pthread_join(rd, NULL);
    assert_int_equal(atomic_load(&r.wrong), 0);
    readmark_free(r.rm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mark_raised_writer_goes_above),
        cmocka_unit_test(pending_without_timestamp_blocks_every_reader),
        cmocka_unit_test(waiter_is_woken_when_timestamp_is_above_it),
        cmocka_unit_test(waiter_cancelled_is_not_woken),
        cmocka_unit_test(keys_of_two_writes_each_block),
        cmocka_unit_test(reads_and_writes_racing_no_write_appears_below_a_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
