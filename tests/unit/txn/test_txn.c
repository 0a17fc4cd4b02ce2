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

static void commit_read_back_everywhere(void **state)
{
    size_t leader = world_leader(&w);
    struct err err;
    (void)state;

    for (size_t i = 0; i < WORLD_NODES; i++) {
        char key[] = "a0";
        tstamp ts;

        key[1] = (char)('0' + i);
        ts = put_surely(world_space(&w, i), key, "v");
        assert_true(ts > 0);
        for (size_t k = 0; k < WORLD_NODES; k++) {
            struct txn *t = begin_ro(world_space(&w, k), 0);

            assert_true(txn_read_ts(t) > ts);
            assert_reads(t, key, TXN_LOCK_NONE, "v");
            must(txn_answer(t, &err), &err);
            txn_free(t);
            t = begin_rw(world_space(&w, k));
            assert_reads(t, key, TXN_LOCK_SHARED, "v");
            must(commit(t, &ts, &err), &err);
        }
    }
    (void)leader;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commit_read_back_everywhere),
    };

    return cmocka_run_group_tests(tests, open_world, close_world);
}
