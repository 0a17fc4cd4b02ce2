#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/keycodec.h"
#include "base/rng.h"
#include "storage/engine_mem.h"
#include "storage/mvcc.h"

/* A model that is plainly right: every version in one array. */
enum { KEYS = 40, TIMES = 60, VERSIONS = 3000 };

struct version {
    int key;
    tstamp ts;
    bool tombstone;
    uint32_t value;
    bool gone;
};

struct world {
    struct memdisk *disk;
    struct engine *e;
    struct arena mem;
    struct rng rng;
    struct buf keys[KEYS]; /* in order; some are prefixes of their neighbours */
    struct version versions[VERSIONS];
    int n_versions;
};

/* Keys 2i and 2i+1: (i) and (i, "x"): a parent and an interleaved child. Every fifth is long. */
static void make_key(struct buf *b, int i)
{
    static uint8_t filler[700];

    key_put_id(b, 7);
    key_put_int(b, i / 2, KEY_ASC);
    if (i % 2 == 1)
        key_put_bytes(b, bytes_of(filler, i % 5 == 0 ? sizeof filler : 1), KEY_ASC);
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);

    w->disk = memdisk_new(1);
    w->e = engine_mem_open(w->disk, NULL);
    arena_init(&w->mem, 0);
    rng_seed(&w->rng, 42);
    for (int i = 0; i < KEYS; i++)
        make_key(&w->keys[i], i);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    engine_close(w->e);
    memdisk_free(w->disk);
    arena_fini(&w->mem);
    for (int i = 0; i < KEYS; i++)
        buf_fini(&w->keys[i]);
    free(w);
    return 0;
}

static void add_version(struct world *w, int key, tstamp ts, bool tombstone, uint32_t value)
{
    struct engine_txn *x;
    struct bytes k = buf_bytes(&w->keys[key]);

    assert_int_equal(engine_begin(w->e, &x, NULL), ST_OK);
    if (tombstone)
        assert_int_equal(mvcc_tombstone(x, k, ts, NULL), ST_OK);
    else
        assert_int_equal(mvcc_put(x, k, ts, bytes_of(&value, sizeof value), NULL), ST_OK);
    assert_int_equal(engine_commit(x, ENGINE_NOSYNC, NULL), ST_OK);
    for (int i = 0; i < w->n_versions; i++)
        if (w->versions[i].key == key && w->versions[i].ts == ts)
            w->versions[i].gone = true;
    w->versions[w->n_versions++] = (struct version){key, ts, tombstone, value, false};
}

static void fill(struct world *w, int n)
{
    /* Group state stands below all user keys; no scan may meet it. */
    static const uint8_t state_key[] = {0x00, 0x01, 0x02};
    struct engine_txn *x;

    assert_int_equal(engine_begin(w->e, &x, NULL), ST_OK);
    assert_int_equal(engine_put(x, ENGINE_DATA, bytes_of(state_key, 3), bytes_str("state"), NULL),
                     ST_OK);
    assert_int_equal(engine_commit(x, ENGINE_NOSYNC, NULL), ST_OK);
    for (int i = 0; i < n; i++) {
        /* Half of the versions go to few keys, so that chains grow past the steps before a re-seek. */
        int key = (int)rng_below(&w->rng, rng_chance(&w->rng, 0.5) ? 4 : KEYS);

        add_version(w, key, rng_between(&w->rng, 1, TIMES), rng_chance(&w->rng, 0.3),
                    (uint32_t)rng_next(&w->rng));
    }
}

static const struct version *model_at(const struct world *w, int key, tstamp t)
{
    const struct version *best = NULL;

    for (int i = 0; i < w->n_versions; i++) {
        const struct version *v = &w->versions[i];

        if (!v->gone && v->key == key && v->ts <= t && (best == NULL || v->ts > best->ts))
            best = v;
    }
    return best;
}

static void check_get(struct world *w, int key, tstamp t)
{
    const struct version *want = model_at(w, key, t);
    struct mvcc_read seen = {0};
    struct bytes value;
    tstamp ts;
    enum status st = mvcc_get(w->e, buf_bytes(&w->keys[key]), t, &w->mem, &value, &ts, &seen, NULL);

    assert_int_equal(seen.newest, want == NULL ? 0 : want->ts);
    if (want == NULL || want->tombstone) {
        assert_int_equal(st, ST_NOTFOUND);
        return;
    }
    assert_int_equal(st, ST_OK);
    assert_int_equal(ts, want->ts);
    assert_int_equal(value.len, sizeof want->value);
    assert_memory_equal(value.ptr, &want->value, sizeof want->value);
}

static void get_any_time_matches_model(void **state)
{
    struct world *w = *state;

    fill(w, 1200);
    for (int key = 0; key < KEYS; key++)
        for (tstamp t = 0; t <= TIMES + 1; t++)
            check_get(w, key, t);
}

/* Some keys, in order, some of them twice; sometimes so few bytes that it takes many slices. */
static void check_get_many(struct world *w, tstamp t)
{
    struct mvcc_item items[2 * KEYS];
    struct mvcc_read seen = {0};
    size_t n = 0, done = 0, got;
    int key[2 * KEYS];
    double share = (double)rng_below(&w->rng, 100) / 100;
    tstamp newest = 0;

    for (int i = 0; i < 2 * KEYS; i++) {
        if (!rng_chance(&w->rng, share) && n > 0)
            continue;
        key[n] = i / 2;
        items[n++] = (struct mvcc_item){.key = buf_bytes(&w->keys[i / 2]), .found = true};
    }
    for (; done < n; done += got) {
        assert_int_equal(mvcc_get_many(w->e, items + done, n - done, t, rng_below(&w->rng, 20) + 1,
                                       &w->mem, &got, &seen, NULL),
                         ST_OK);
        assert_in_range(got, 1, n - done);
    }
    for (size_t i = 0; i < n; i++) {
        const struct version *want = model_at(w, key[i], t);

        if (want != NULL && want->ts > newest)
            newest = want->ts;
        assert_int_equal(items[i].found, want != NULL && !want->tombstone);
        if (!items[i].found)
            continue;
        assert_int_equal(items[i].ts, want->ts);
        assert_int_equal(items[i].value.len, sizeof want->value);
        assert_memory_equal(items[i].value.ptr, &want->value, sizeof want->value);
    }
    assert_int_equal(seen.newest, newest);
}

static void get_many_any_keys_match_model(void **state)
{
    struct world *w = *state;

    check_get_many(w, 1); /* of nothing */
    fill(w, 1200);
    for (int round = 0; round < 2000; round++) {
        check_get_many(w, rng_between(&w->rng, 0, TIMES + 1));
        arena_reset(&w->mem);
    }
}

static void get_extreme_timestamps_are_ordered(void **state)
{
    struct world *w = *state;
    static const tstamp times[] = {INT64_MIN, -1, 0, 1, TSTAMP_MAX - 1, TSTAMP_MAX};
    struct bytes value;
    tstamp ts;

    for (int i = 0; i < 6; i++)
        add_version(w, 1, times[i], false, (uint32_t)i);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(
            mvcc_get(w->e, buf_bytes(&w->keys[1]), times[i], &w->mem, &value, &ts, NULL, NULL),
            ST_OK);
        assert_int_equal(ts, times[i]);
        assert_int_equal(value.ptr[0], i);
    }
    assert_int_equal(
        mvcc_get(w->e, buf_bytes(&w->keys[0]), TSTAMP_MAX, &w->mem, &value, &ts, NULL, NULL),
        ST_NOTFOUND);
}

static void get_key_too_long_is_rejected(void **state)
{
    struct world *w = *state;
    struct err err;
    struct bytes value;
    tstamp ts;
    uint8_t *big = malloc(ENGINE_KEY_MAX);

    memset(big, 0x11, ENGINE_KEY_MAX);
    assert_int_equal(mvcc_get(w->e, bytes_of(big, ENGINE_KEY_MAX - MVCC_SUFFIX + 1), 1, &w->mem,
                              &value, &ts, NULL, &err),
                     ST_REJECT);
    assert_string_equal(err.sqlstate, SQLSTATE_PROGRAM_LIMIT_EXCEEDED);
    assert_int_equal(mvcc_get(w->e, bytes_of(big, ENGINE_KEY_MAX - MVCC_SUFFIX), 1, &w->mem, &value,
                              &ts, NULL, &err),
                     ST_NOTFOUND);
    free(big);
}

static void decode_foreign_key_is_refused(void **state)
{
    struct buf b = {0};
    struct bytes key;
    tstamp ts;

    (void)state;
    mvcc_encode(&b, bytes_str("abc"), -17);
    assert_true(mvcc_decode(buf_bytes(&b), &key, &ts));
    assert_true(bytes_eq(key, bytes_str("abc")));
    assert_int_equal(ts, -17);
    assert_false(mvcc_decode(bytes_of(b.ptr, b.len - 1), &key, &ts));
    assert_false(mvcc_decode(bytes_of(b.ptr + 3, b.len - 3), &key, &ts)); /* no user key */
    b.ptr[3] = 0x01;
    assert_false(mvcc_decode(buf_bytes(&b), &key, &ts));
    buf_fini(&b);
}

/* What a scan delivered, checked against the model as it comes. */
struct expect {
    struct world *w;
    tstamp t;
    int lo, hi; /* keys lo..hi-1 remain to be met */
    bool reverse;
    int stop_after; /* rows; 0 never */
    int n_rows;
    tstamp newest;
};

static bool live(const struct expect *x, int key)
{
    const struct version *v = model_at(x->w, key, x->t);

    return v != NULL && !v->tombstone;
}

static void skip_dead(struct expect *x)
{
    while (x->lo < x->hi && !live(x, x->reverse ? x->hi - 1 : x->lo)) {
        if (x->reverse)
            x->hi--;
        else
            x->lo++;
    }
}

static bool expect_row(void *arg, struct bytes key, tstamp ts, struct bytes value)
{
    struct expect *x = arg;
    const struct version *v;
    int i;

    skip_dead(x);
    assert_true(x->lo < x->hi);
    i = x->reverse ? --x->hi : x->lo++;
    v = model_at(x->w, i, x->t);
    assert_true(bytes_eq(key, buf_bytes(&x->w->keys[i])));
    assert_int_equal(ts, v->ts);
    assert_memory_equal(value.ptr, &v->value, sizeof v->value);
    x->n_rows++;
    return x->stop_after == 0 || x->n_rows % x->stop_after != 0;
}

static struct bytes bound(const struct world *w, int i)
{
    return i < KEYS ? buf_bytes(&w->keys[i]) : bytes_of(NULL, 0);
}

static void check_scan(struct world *w, struct expect *x, size_t max_rows)
{
    int lo = x->lo, hi = x->hi;
    struct mvcc_slice slice = {.start = bound(w, lo),
                               .end = bound(w, hi),
                               .reverse = x->reverse,
                               .t = x->t,
                               .max_rows = max_rows,
                               .max_ns = rng_chance(&w->rng, 0.1) ? 1 : -1,
                               .row = expect_row,
                               .arg = x};
    struct mvcc_read seen = {0};
    struct bytes resume;
    bool done = false;
    tstamp newest = 0;

    for (int n = 0; !done; n++) {
        assert_true(n < 1000); /* every slice makes progress */
        assert_int_equal(mvcc_scan(w->e, &slice, &w->mem, &done, &resume, &seen, NULL), ST_OK);
        if (!done && x->reverse)
            slice.end = resume;
        else if (!done)
            slice.start = resume;
    }
    skip_dead(x);
    assert_int_equal(x->lo, x->hi); /* nothing was left out */
    for (int i = lo; i < hi; i++) {
        const struct version *v = model_at(w, i, x->t);

        if (v != NULL && v->ts > newest)
            newest = v->ts;
    }
    assert_int_equal(seen.newest, newest);
}

static void scan_any_range_matches_model(void **state)
{
    struct world *w = *state;

    fill(w, 1500);
    for (int n = 0; n < 600; n++) {
        int a = (int)rng_below(&w->rng, KEYS + 1), b = (int)rng_below(&w->rng, KEYS + 1);
        struct expect x = {.w = w,
                           .t = rng_between(&w->rng, 0, TIMES + 1),
                           .lo = a < b ? a : b,
                           .hi = a < b ? b : a,
                           .reverse = n % 2 == 1,
                           .stop_after = (int)rng_below(&w->rng, 4)};

        if (x.lo == KEYS) /* a start above all keys has no name */
            continue;
        check_scan(w, &x, (size_t)rng_below(&w->rng, 5));
        arena_reset(&w->mem);
    }
}

static void scan_empty_table_is_done(void **state)
{
    struct world *w = *state;

    for (int reverse = 0; reverse < 2; reverse++) {
        struct expect x = {.w = w, .t = 5, .lo = 0, .hi = KEYS, .reverse = reverse == 1};

        check_scan(w, &x, 0);
    }
}

static void scan_long_chain_looks_at_few_versions(void **state)
{
    struct world *w = *state;

    for (int i = 1; i <= 1000; i++)
        add_version(w, 3, i, false, (uint32_t)i);
    add_version(w, 4, 500, false, 4);
    for (int reverse = 0; reverse < 2; reverse++) {
        struct expect x = {.w = w, .t = 600, .lo = 0, .hi = KEYS, .reverse = reverse == 1};
        struct mvcc_read seen = {0};
        struct mvcc_slice slice = {
            .t = x.t, .reverse = x.reverse, .max_ns = -1, .row = expect_row, .arg = &x};
        struct bytes resume;
        bool done;

        assert_int_equal(mvcc_scan(w->e, &slice, &w->mem, &done, &resume, &seen, NULL), ST_OK);
        assert_true(done);
        assert_int_equal(x.n_rows, 2);
        assert_in_range(seen.n_versions, 2, 30);
    }
}

static void scan_damaged_version_is_fatal(void **state)
{
    struct world *w = *state;
    struct engine_txn *x;
    struct expect want = {.w = w, .t = 5, .lo = 0, .hi = KEYS};
    struct mvcc_slice slice = {.t = 5, .row = expect_row, .arg = &want};
    struct bytes resume;
    struct err err;
    bool done;

    assert_int_equal(engine_begin(w->e, &x, NULL), ST_OK);
    assert_int_equal(engine_put(x, ENGINE_DATA, bytes_str("no version"), bytes_str("?"), NULL),
                     ST_OK);
    assert_int_equal(engine_commit(x, ENGINE_NOSYNC, NULL), ST_OK);
    for (int reverse = 0; reverse < 2; reverse++) {
        slice.reverse = reverse == 1;
        assert_int_equal(mvcc_scan(w->e, &slice, &w->mem, &done, &resume, NULL, &err), ST_FATAL);
        assert_string_equal(err.sqlstate, SQLSTATE_DATA_CORRUPTED);
    }
}

static struct mvcc_digest digest(struct world *w, tstamp t)
{
    struct mvcc_digest d;

    assert_int_equal(mvcc_digest(w->e, bytes_of(NULL, 0), bytes_of(NULL, 0), t, &d, NULL), ST_OK);
    return d;
}

/* Everything reads as in the model at and above the horizon. */
static void check_all_from(struct world *w, tstamp horizon)
{
    for (tstamp t = horizon; t <= TIMES + 1; t++)
        for (int key = 0; key < KEYS; key++) {
            const struct version *want = model_at(w, key, t);
            struct bytes value;
            tstamp ts;
            enum status st =
                mvcc_get(w->e, buf_bytes(&w->keys[key]), t, &w->mem, &value, &ts, NULL, NULL);

            assert_int_equal(st, want == NULL || want->tombstone ? ST_NOTFOUND : ST_OK);
            if (st == ST_OK)
                assert_int_equal(ts, want->ts);
        }
}

static uint64_t count_versions(struct world *w)
{
    struct engine_cursor *c;
    uint64_t n = 0;
    struct bytes key;
    tstamp ts;

    assert_int_equal(engine_cursor_open(w->e, ENGINE_DATA, &c, NULL), ST_OK);
    for (enum status st = engine_seek(c, bytes_of(NULL, 0), NULL); st == ST_OK;
         st = engine_next(c, NULL))
        n += mvcc_decode(engine_key(c), &key, &ts);
    engine_cursor_close(c);
    return n;
}

/* As few as a horizon allows: those above it, and for each key the newest at or below it if it lives. */
static uint64_t fewest_versions(struct world *w, tstamp horizon)
{
    uint64_t n = 0;

    for (int i = 0; i < w->n_versions; i++) {
        const struct version *v = &w->versions[i];

        n += !v->gone && (v->ts > horizon || (v == model_at(w, v->key, horizon) && !v->tombstone));
    }
    return n;
}

static void collect_any_slices_preserve_reads(void **state)
{
    struct world *w = *state;
    static const size_t slice_sizes[] = {1, 2, 7, 64, 0};

    fill(w, 1500);
    for (int round = 0; round < 5; round++) {
        tstamp horizon = 10 + 10 * round;
        uint64_t before = count_versions(w), removed, total = 0;
        struct mvcc_digest at_horizon = digest(w, horizon), after;
        struct bytes start = {0};
        bool done = false;

        for (int n = 0; !done; n++) {
            assert_true(n < 10000); /* every slice makes progress */
            assert_int_equal(mvcc_collect(w->e, start, bytes_of(NULL, 0), horizon,
                                          slice_sizes[round], &w->mem, &done, &start, &removed,
                                          NULL),
                             ST_OK);
            total += removed;
            if (n % 50 == 0)
                check_all_from(w, horizon);
        }
        check_all_from(w, horizon);
        assert_int_equal(before - count_versions(w), total);
        assert_int_equal(count_versions(w), fewest_versions(w, horizon));
        after = digest(w, horizon);
        assert_memory_equal(&at_horizon, &after, sizeof after);
        arena_reset(&w->mem);
    }
}

static void collect_of_range_leaves_the_rest(void **state)
{
    struct world *w = *state;
    struct bytes resume;
    uint64_t removed;
    bool done;

    for (int key = 0; key < 3; key++)
        for (int i = 1; i <= 5; i++)
            add_version(w, key, i, false, 0);
    assert_int_equal(
        mvcc_collect(w->e, bound(w, 1), bound(w, 2), 5, 0, &w->mem, &done, &resume, &removed, NULL),
        ST_OK);
    assert_true(done);
    assert_int_equal(removed, 4);
    assert_int_equal(count_versions(w), 11);
}

static void digest_equal_content_is_equal(void **state)
{
    struct world *w = *state;
    void *other_state;
    struct world *other;
    struct mvcc_digest a, b;

    setup(&other_state);
    other = other_state;
    fill(w, 800);
    /* The same rows by another road: only what lives at 30, in another order. */
    for (int key = KEYS - 1; key >= 0; key--) {
        const struct version *v = model_at(w, key, 30);

        if (v != NULL && !v->tombstone)
            add_version(other, key, v->ts, false, v->value);
    }
    a = digest(w, 30);
    b = digest(other, 30);
    assert_memory_equal(&a, &b, sizeof a);
    assert_true(a.n_rows > 0);
    add_version(other, 8, 29, false, 123456); /* one value differs */
    b = digest(other, 30);
    assert_true(a.lo != b.lo && a.hi != b.hi);
    teardown(&other_state);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(get_any_time_matches_model),         TEST(get_many_any_keys_match_model),
        TEST(get_extreme_timestamps_are_ordered), TEST(get_key_too_long_is_rejected),
        TEST(decode_foreign_key_is_refused),      TEST(scan_any_range_matches_model),
        TEST(scan_empty_table_is_done),           TEST(scan_long_chain_looks_at_few_versions),
        TEST(scan_damaged_version_is_fatal),      TEST(collect_any_slices_preserve_reads),
        TEST(collect_of_range_leaves_the_rest),   TEST(digest_equal_content_is_equal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
