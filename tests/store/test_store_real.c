/* Three stores on WiredTiger and nng over loopback: the same road as meridiand's, in one process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "tests/store/cluster.h"

static int setup(void **state)
{
    static struct cluster c;

    cluster_open(&c, &(struct cluster_options){.real = true});
    for (size_t i = 0; i < CLUSTER_MAX; i++)
        cluster_start(&c, i);
    *state = &c;
    return 0;
}

static int teardown(void **state)
{
    cluster_close(*state);
    return 0;
}

static void put_some(struct cluster *c, const char *prefix, int n)
{
    char key[CLUSTER_KEY_MAX];

    for (int i = 0; i < n; i++) {
        (void)snprintf(key, sizeof key, "%s%06d", prefix, i);
        cluster_put_surely(c, key, bytes_str("value"));
    }
}

struct loader {
    struct cluster *c;
    pthread_t thread;
    char name;
};

static void *load(void *arg)
{
    struct loader *l = arg;
    size_t leader = cluster_leader(l->c);
    char key[CLUSTER_KEY_MAX];
    int n = 0;

    for (int i = 0; i < 100; i++) {
        (void)snprintf(key, sizeof key, "%c%06d", l->name, i);
        n += cluster_put(l->c, leader, key, bytes_str("value")) == ST_OK;
    }
    return n == 100 ? l : NULL;
}

static void many_proposers_are_applied_alike_on_every_node(void **state)
{
    enum { N = 16 };
    struct cluster *c = *state;
    struct loader loaders[N];
    struct engine_stats stats;

    (void)cluster_leader(c);
    for (int i = 0; i < N; i++) {
        loaders[i] = (struct loader){.c = c, .name = (char)('a' + i)};
        assert_int_equal(pthread_create(&loaders[i].thread, NULL, load, &loaders[i]), 0);
    }
    for (int i = 0; i < N; i++) {
        void *all_ok;

        pthread_join(loaders[i].thread, &all_ok);
        assert_non_null(all_ok);
    }
    cluster_wait_equal(c);
    cluster_assert_same_rows(c, N * 100);
    for (size_t i = 0; i < CLUSTER_MAX; i++) {
        engine_stats(store_engine(c->nodes[i].store), &stats);
        assert_int_equal(stats.lookaside_inserts, 0);
    }
}

static void leader_stopped_and_restarted_has_everything(void **state)
{
    struct cluster *c = *state;
    size_t leader;

    for (int round = 0; round < 2; round++) {
        put_some(c, (char[]){(char)('a' + round), '\0'}, 30);
        leader = cluster_leader(c);
        cluster_stop(c, leader);
        put_some(c, (char[]){(char)('k' + round), '\0'}, 30);
        cluster_start(c, leader);
        cluster_wait_equal(c);
        cluster_assert_same_rows(c, (uint64_t)(round + 1) * 60);
    }
}

static void all_restarted_have_everything(void **state)
{
    struct cluster *c = *state;
    struct err err;

    put_some(c, "a", 50);
    assert_int_equal(store_checkpoint(c->nodes[0].store, &err), ST_OK);
    put_some(c, "b", 50);
    for (size_t i = 0; i < CLUSTER_MAX; i++)
        cluster_stop(c, i);
    for (size_t i = 0; i < CLUSTER_MAX; i++)
        cluster_start(c, i);
    put_some(c, "c", 10);
    cluster_wait_equal(c);
    cluster_assert_same_rows(c, 110);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(many_proposers_are_applied_alike_on_every_node),
        T(leader_stopped_and_restarted_has_everything),
        T(all_restarted_have_everything),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
