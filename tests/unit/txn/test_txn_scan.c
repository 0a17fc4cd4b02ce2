#include "txn_world.h"

/* Scans against a model: committed rows, own writes on top, both directions, every node, with and without locks. */

enum { KEYS = 1200, ROUNDS = 40, VALUE_MAX = 400 };

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

struct model {
    bool there[KEYS];
    unsigned value[KEYS]; /* also its length */
};

static void key_of(unsigned i, char out[16])
{
    (void)snprintf(out, 16, "k%05u", i);
}

/* A value that tells its number and has a length of its own. */
static struct bytes value_of(unsigned v, char out[VALUE_MAX + 16])
{
    int n = snprintf(out, 16, "%u:", v);

    memset(out + n, 'x', v % VALUE_MAX);
    return bytes_of(out, (size_t)n + v % VALUE_MAX);
}

static void change(struct txn *t, struct model *m, struct rng *r, unsigned n)
{
    char key[16], value[VALUE_MAX + 16];
    struct err err;

    for (unsigned i = 0; i < n; i++) {
        unsigned k = (unsigned)rng_below(r, KEYS), v = (unsigned)rng_below(r, 100000);

        key_of(k, key);
        if (rng_chance(r, 0.3)) {
            must(txn_delete(t, bytes_str(key), &err), &err);
            m->there[k] = false;
        } else {
            must(txn_put(t, bytes_str(key), value_of(v, value), &err), &err);
            m->there[k] = true;
            m->value[k] = v;
        }
    }
}

static bool only_even(void *arg, struct bytes key, struct bytes value)
{
    unsigned v = (unsigned)strtoul((const char *)value.ptr, NULL, 10); /* it ends at ':' */

    (void)arg;
    (void)key;
    return v % 2 == 0;
}

static bool wanted(const struct model *m, unsigned k, bool filtered)
{
    return m->there[k] && (!filtered || m->value[k] % 2 == 0);
}

struct range {
    unsigned lo, hi;
    bool open_end, reverse, filtered;
    uint64_t limit;
    enum txn_lock lock;
};

static struct txn_scan *open_scan(struct txn *t, const struct range *g)
{
    char lo[16], hi[16];
    struct txn_scan *sc;
    struct txn_scan_options o = {.reverse = g->reverse,
                                 .lock = g->lock,
                                 .limit = g->limit,
                                 .filter = g->filtered ? only_even : NULL};
    struct err err;

    key_of(g->lo, lo);
    key_of(g->hi, hi);
    o.start = bytes_str(lo);
    o.end = g->open_end ? bytes_of(NULL, 0) : bytes_str(hi);
    must(txn_scan_open(t, &o, &sc, &err), &err);
    return sc;
}

/* The scan gives exactly what the model has; with a limit only so many rows are taken. */
static void compare(struct txn_scan *sc, const struct range *g, const struct model *m)
{
    unsigned hi = g->open_end ? KEYS : g->hi, n = 0;
    char key[16], text[VALUE_MAX + 16];
    struct bytes k, v;
    struct err err;
    enum status st;

    for (unsigned i = 0; i + g->lo < hi; i++) {
        unsigned at = g->reverse ? hi - 1 - i : g->lo + i;

        if (!wanted(m, at, g->filtered))
            continue;
        if (g->limit != 0 && n++ == g->limit)
            return;
        st = txn_scan_next(sc, &k, &v, &err);
        if (st == ST_NOTFOUND)
            fail_msg("the scan ended before key %u", at);
        must(st, &err);
        key_of(at, key);
        assert_true(bytes_eq(k, bytes_str(key)));
        assert_true(bytes_eq(v, value_of(m->value[at], text)));
    }
    assert_int_equal(txn_scan_next(sc, &k, &v, &err), ST_NOTFOUND);
    assert_int_equal(txn_scan_next(sc, &k, &v, &err), ST_NOTFOUND);
}

static struct range random_range(struct rng *r, bool locks)
{
    struct range g = {.lo = (unsigned)rng_below(r, KEYS),
                      .hi = (unsigned)rng_below(r, KEYS + 1),
                      .open_end = rng_chance(r, 0.2),
                      .reverse = rng_chance(r, 0.5),
                      .filtered = rng_chance(r, 0.3),
                      .limit = rng_chance(r, 0.4) ? 1 + rng_below(r, 40) : 0};

    if (rng_chance(r, 0.5)) {
        g.lo = 0;
        g.hi = KEYS;
    }
    if (locks)
        g.lock = rng_chance(r, 0.5) ? TXN_LOCK_SHARED : TXN_LOCK_EXCLUSIVE;
    return g;
}

static void scan_and_compare(struct txn *t, const struct range *g, const struct model *m)
{
    struct txn_scan *sc = open_scan(t, g);

    compare(sc, g, m);
    txn_scan_close(sc);
}

static void scans_agree_with_model(void **state)
{
    struct model committed = {{false}, {0}}, own;
    struct rng r;
    struct err err;

    (void)state;
    rng_seed(&r, 7);
    for (int round = 0; round < ROUNDS; round++) {
        struct txn_space *s = world_space(&w, (size_t)round % WORLD_NODES);
        struct txn *t = begin_rw(s);
        tstamp ts;

        own = committed;
        for (int i = 0; i < 4; i++) {
            struct range g = random_range(&r, true);

            change(t, &own, &r, (unsigned)rng_below(&r, 150));
            scan_and_compare(t, &g, &own);
        }
        if (round % 4 == 3) {
            txn_free(t);
            continue;
        }
        must(txn_commit_wait(t, &ts, &err), &err);
        txn_free(t);
        for (size_t n = 0; n < WORLD_NODES; n++) { /* strong, and then as of the commit */
            struct txn *ro = begin_ro(world_space(&w, n), n == 0 ? ts : 0);
            struct range g = random_range(&r, false);

            scan_and_compare(ro, &g, &own);
            txn_free(ro);
        }
        committed = own;
    }
}

static void open_scan_does_not_see_later_writes(void **state)
{
    struct model m = {{false}, {0}}, later;
    struct rng r;
    struct err err;

    (void)state;
    rng_seed(&r, 8);
    for (int reverse = 0; reverse < 2; reverse++) {
        struct range all = {.hi = KEYS, .reverse = reverse != 0, .lock = TXN_LOCK_EXCLUSIVE};
        struct txn *t = begin_rw(world_space(&w, (size_t)reverse));
        struct txn_scan *sc;
        struct bytes k, v;

        /* Begin with nothing. */
        sc = open_scan(t, &all);
        while (txn_scan_next(sc, &k, &v, &err) == ST_OK)
            must(txn_delete(t, k, &err), &err);
        txn_scan_close(sc);
        memset(&m, 0, sizeof m);
        change(t, &m, &r, 500);
        later = m;
        sc = open_scan(t, &all);
        change(t, &later, &r, 500);
        compare(sc, &all, &m);
        change(t, &later, &r, 100);
        txn_scan_close(sc);
        scan_and_compare(t, &all, &later);
        txn_free(t);
    }
}

static void limited_scan_locks_what_it_read(void **state)
{
    struct txn_space *s = world_space(&w, world_leader(&w));
    struct txn *t = begin_rw(s), *first, *other;
    struct range g = {.hi = KEYS, .limit = 1, .lock = TXN_LOCK_EXCLUSIVE};
    struct txn_scan *sc;
    struct bytes k, v;
    struct err err;
    char got[VALUE_MAX + 300];
    bool cancel = true;

    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        char key[16], value[VALUE_MAX + 16];

        key_of(i, key);
        must(txn_put(t, bytes_str(key), value_of(i, value), &err), &err);
    }
    must(commit(t, NULL, &err), &err);
    first = begin_rw(s);
    sc = open_scan(first, &g);
    must(txn_scan_next(sc, &k, &v, &err), &err);
    txn_scan_close(sc);
    must(txn_begin(s, &(struct txn_options){.mode = TXN_READ_WRITE, .cancel = &cancel}, &other,
                   &err),
         &err);
    /* With cancel set an operation that would have to wait ends: this tells the two apart. */
    assert_int_equal(get_str(other, "k00050", TXN_LOCK_EXCLUSIVE, got, sizeof got), ST_OK);
    assert_int_equal(get_str(other, "k00000", TXN_LOCK_EXCLUSIVE, got, sizeof got), ST_REJECT);
    txn_free(other);
    txn_free(first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scans_agree_with_model),
        cmocka_unit_test(open_scan_does_not_see_later_writes),
        cmocka_unit_test(limited_scan_locks_what_it_read),
    };

    return cmocka_run_group_tests(tests, open_world, close_world);
}
