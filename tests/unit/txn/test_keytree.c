#include "txn/keytree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

enum { NODES = 400, STEPS = 20000 };

struct item {
    struct keynode node;
    char text[8];
    bool in;
};

static uint64_t next(uint64_t *x)
{
    *x = *x * 6364136223846793005u + 1442695040888963407u;
    return *x >> 33;
}

/* The smallest item that is in and not below (key, rank), or above it; by looking at all. */
static struct keynode *naive(struct item *items, struct bytes key, int64_t rank)
{
    struct keynode *best = NULL;

    for (int i = 0; i < NODES; i++) {
        struct keynode *n = &items[i].node;
        int c = bytes_cmp(n->key, key);

        if (!items[i].in || c < 0 || (c == 0 && (int64_t)n->rank <= rank))
            continue;
        if (best == NULL || bytes_cmp(n->key, best->key) < 0 ||
            (bytes_eq(n->key, best->key) && n->rank < best->rank))
            best = n;
    }
    return best;
}

static void tree_random_steps_agree_with_a_list(void **state)
{
    static struct item items[NODES];
    struct keytree t;
    uint64_t x = 7;
    size_t in = 0;

    (void)state;
    keytree_init(&t, NULL);
    for (int i = 0; i < NODES; i++) {
        int len = snprintf(items[i].text, sizeof items[i].text, "%d", (int)(next(&x) % 150));

        items[i].node.key = bytes_of(items[i].text, (size_t)len);
        items[i].node.rank = (uint64_t)i;
    }
    for (int step = 0; step < STEPS; step++) {
        struct item *it = &items[next(&x) % NODES];
        struct item *probe = &items[next(&x) % NODES];
        struct keynode *below;

        if (it->in)
            keytree_remove(&t, &it->node);
        else
            keytree_insert(&t, &it->node);
        it->in = !it->in;
        in = it->in ? in + 1 : in - 1;
        assert_int_equal(t.n, in);
        assert_ptr_equal(keytree_at_least(&t, probe->node.key), naive(items, probe->node.key, -1));
        assert_ptr_equal(keytree_after(&t, probe->node.key, probe->node.rank),
                         naive(items, probe->node.key, (int64_t)probe->node.rank));
        below = keytree_below(&t, probe->node.key);
        if (below != NULL) {
            assert_true(bytes_cmp(below->key, probe->node.key) < 0);
            assert_ptr_equal(keytree_after(&t, below->key, below->rank),
                             naive(items, probe->node.key, -1));
        } else {
            assert_ptr_equal(naive(items, bytes_str(""), -1), naive(items, probe->node.key, -1));
        }
    }
}

static void hash_of_nearby_keys_spreads(void **state)
{
    unsigned used[256] = {0};
    unsigned most = 0;

    (void)state;
    for (unsigned i = 0; i < 256 * 16; i++) {
        unsigned n = ++used[key_hash(bytes_of(&i, sizeof i)) % 256];

        most = n > most ? n : most;
    }
    assert_true(most < 48); /* 16 on average */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tree_random_steps_agree_with_a_list),
        cmocka_unit_test(hash_of_nearby_keys_spreads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
