#include "txn_world.h"

/* Many reads at once against a model: committed rows, own writes on top, every node, with and without locks. Values are
 * so long that a batch takes several slices. */

enum { KEYS = 400, ROUNDS = 24, VALUE_MIN = 3000, VALUE_SPAN = 4000 };

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
    unsigned value[KEYS];
};

static void key_of(unsigned i, char out[16])
{
    (void)snprintf(out, 16, "g%05u", i);
}

static struct bytes value_of(unsigned v, char out[VALUE_MIN + VALUE_SPAN + 16])
{
    int n = snprintf(out, 16, "%u:", v);
    size_t more = VALUE_MIN + v % VALUE_SPAN;

    memset(out + n, 'x', more);
    return bytes_of(out, (size_t)n + more);
}

static void change(struct txn *t, struct model *m, struct rng *r, unsigned n)
{
    char key[16], value[VALUE_MIN + VALUE_SPAN + 16];
    struct err err;

    for (unsigned i = 0; i < n; i++) {
        unsigned k = (unsigned)rng_below(r, KEYS), v = (unsigned)rng_below(r, 100000);

        key_of(k, key);
        m->there[k] = !rng_chance(r, 0.3);
        m->value[k] = v;
        if (m->there[k])
            must(txn_put(t, bytes_str(key), value_of(v, value), &err), &err);
        else
            must(txn_delete(t, bytes_str(key), &err), &err);
    }
}

/* Reads a random choice of keys, some twice, and compares. Returns how many calls it took. */
static size_t read_and_compare(struct txn *t, const struct model *m, struct rng *r,
                               enum txn_lock lock)
{
    struct mvcc_item items[TXN_GETS_MAX];
    char keys[TXN_GETS_MAX][16], value[VALUE_MIN + VALUE_SPAN + 16];
    unsigned which[TXN_GETS_MAX];
    size_t n = 1 + rng_below(r, TXN_GETS_MAX), calls = 0, got;
    unsigned k = (unsigned)rng_below(r, 50);
    struct arena mem;
    struct err err;

    for (size_t i = 0; i < n; i++) {
        which[i] = k;
        key_of(k, keys[i]);
        items[i] = (struct mvcc_item){.key = bytes_str(keys[i])};
        k += (unsigned)rng_below(r, k + 1 < KEYS - 4 ? 4
                                                     : 1); /* at the end the same again and again */
    }
    arena_init(&mem, 0);
    for (size_t done = 0; done < n; done += got, calls++) {
        must(txn_get_many(t, items + done, n - done, lock, &mem, &got, &err), &err);
        assert_in_range(got, 1, n - done);
    }
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(items[i].found, m->there[which[i]]);
        if (items[i].found)
            assert_true(bytes_eq(items[i].value, value_of(m->value[which[i]], value)));
    }
    arena_fini(&mem);
    return calls;
}

static void gets_agree_with_model(void **state)
{
    struct model committed = {{false}, {0}}, own;
    struct rng r;
    struct err err;
    size_t calls = 0, rounds = 0;

    (void)state;
    rng_seed(&r, 11);
    for (int round = 0; round < ROUNDS; round++) {
        struct txn *t = begin_rw(world_space(&w, (size_t)round % WORLD_NODES));
        tstamp ts;

        own = committed;
        for (int i = 0; i < 3; i++, rounds++) {
            change(t, &own, &r, (unsigned)rng_below(&r, 100));
            calls += read_and_compare(t, &own, &r,
                                      rng_chance(&r, 0.5) ? TXN_LOCK_SHARED : TXN_LOCK_EXCLUSIVE);
        }
        if (round % 4 == 3) {
            txn_free(t);
            continue;
        }
        must(commit(t, &ts, &err), &err);
        for (size_t n = 0; n < WORLD_NODES; n++, rounds++) { /* strong, and then as of the commit */
            struct txn *ro = begin_ro(world_space(&w, n), n == 0 ? ts : 0);

            calls += read_and_compare(ro, &own, &r, TXN_LOCK_NONE);
            txn_free(ro);
        }
        committed = own;
    }
    assert_true(calls > rounds); /* some took more than one slice */
}

/* From every node: what was read by many keys stays as it was until the reader has ended. */
static void gets_lock_what_they_read(void **state)
{
    struct err err;
    bool cancel = true;

    (void)state;
    for (size_t n = 0; n < WORLD_NODES; n++) {
        struct mvcc_item items[] = {{.key = bytes_str("l1")}, {.key = bytes_str("l3")}};
        struct txn *t = begin_rw(world_space(&w, n)), *other;
        struct arena mem;
        size_t got;
        char text[64];

        put_surely(world_space(&w, n), "l1", "one");
        arena_init(&mem, 0);
        must(txn_get_many(t, items, 2, TXN_LOCK_SHARED, &mem, &got, &err), &err);
        assert_int_equal(got, 2);
        assert_true(items[0].found && !items[1].found);
        /* With cancel set an operation that would have to wait ends: this tells the two apart. */
        must(txn_begin(world_space(&w, world_leader(&w)),
                       &(struct txn_options){.mode = TXN_READ_WRITE, .cancel = &cancel}, &other,
                       &err),
             &err);
        assert_int_equal(get_str(other, "l2", TXN_LOCK_EXCLUSIVE, text, sizeof text), ST_NOTFOUND);
        assert_int_equal(get_str(other, "l1", TXN_LOCK_SHARED, text, sizeof text), ST_OK);
        assert_int_equal(get_str(other, "l3", TXN_LOCK_EXCLUSIVE, text, sizeof text), ST_REJECT);
        txn_free(other);
        txn_free(t);
        arena_fini(&mem);
    }
}

static void gets_key_too_long_is_rejected(void **state)
{
    static const uint8_t long_key[TXN_KEY_MAX + 1] = {1};
    struct mvcc_item items[] = {{.key = bytes_of(long_key, sizeof long_key)}};
    struct txn *t = begin_ro(world_space(&w, 0), 0);
    struct arena mem;
    size_t got;
    struct err err;

    (void)state;
    arena_init(&mem, 0);
    assert_int_equal(txn_get_many(t, items, 1, TXN_LOCK_NONE, &mem, &got, &err), ST_REJECT);
    assert_string_equal(err.sqlstate, SQLSTATE_PROGRAM_LIMIT_EXCEEDED);
    arena_fini(&mem);
    txn_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gets_agree_with_model),
        cmocka_unit_test(gets_lock_what_they_read),
        cmocka_unit_test(gets_key_too_long_is_rejected),
    };

    return cmocka_run_group_tests(tests, open_world, close_world);
}
