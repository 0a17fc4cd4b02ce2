/*
 * test_store_soak [ROUNDS [SEED]] - proposers that never stop, while nodes crash and come back.
 *
 * On the memory engine, where a crash loses what was not synced. At the end every acknowledged row must be on every
 * node, every refused one on none, and the replicas must be equal. The seed fixes the faults, not the threads.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/rng.h"
#include "tests/store/cluster.h"

enum { PROPOSERS = 8, PUTS_MAX = 400000 };

struct proposer {
    struct cluster *c;
    unsigned me;
    pthread_t thread;
    atomic_bool *stop;
    enum status st[PUTS_MAX]; /* how each key ended */
    size_t n;
};

static uint64_t soak_rounds = 6, soak_seed = 1; /* set before anything runs */

static void key_of(const struct proposer *p, size_t i, char *out, size_t size)
{
    (void)snprintf(out, size, "k%u.%06zu", p->me, i);
}

static void *propose(void *arg)
{
    struct proposer *p = arg;
    char key[CLUSTER_KEY_MAX];

    while (!atomic_load(p->stop) && p->n < PUTS_MAX) {
        size_t leader = cluster_find_leader(p->c);

        if (leader == CLUSTER_NODES) {
            mono_sleep_until(mono_now() + NS_PER_MS);
            continue;
        }
        key_of(p, p->n, key, sizeof key);
        p->st[p->n] = cluster_put(p->c, leader, key, bytes_str("v"));
        p->n++;
    }
    return NULL;
}

static void disturb(struct cluster *c, struct rng *rng)
{
    size_t victim = (size_t)rng_below(rng, CLUSTER_MAX);
    size_t second = (victim + 1) % CLUSTER_MAX;
    int64_t away_ns = rng_between(rng, 0, 800) * NS_PER_MS;
    struct err err;

    mono_sleep_until(mono_now() + rng_between(rng, 20, 1500) * NS_PER_MS);
    if (rng_chance(rng, 0.5) && store_checkpoint(c->nodes[second].store, &err) != ST_OK)
        fail_msg("checkpoint: %s", err.msg);
    switch (rng_below(rng, 5)) {
    case 0:
        cluster_crash_all(c);
        break;
    case 1:
        cluster_stop(c, victim);
        break;
    case 2:
        cluster_crash(c, victim);
        cluster_crash(c, second);
        break;
    default:
        cluster_crash(c, victim);
        break;
    }
    mono_sleep_until(mono_now() + away_ns);
    for (size_t i = 0; i < CLUSTER_MAX; i++)
        if (!c->nodes[i].up)
            cluster_start(c, i);
}

static uint64_t check_rows(struct cluster *c, const struct proposer *p, uint64_t *io_rows)
{
    char key[CLUSTER_KEY_MAX];
    uint64_t n_ok = 0;

    for (size_t i = 0; i < p->n; i++) {
        bool there;

        key_of(p, i, key, sizeof key);
        there = cluster_has(c, i % CLUSTER_MAX, key);
        if (p->st[i] == ST_OK && !there)
            fail_msg("acknowledged row \"%s\" is lost", key);
        if (p->st[i] == ST_RETRY && there)
            fail_msg("row \"%s\" was refused, but is there", key);
        n_ok += p->st[i] == ST_OK;
        *io_rows += there;
    }
    return n_ok;
}

static void acknowledged_rows_survive_whatever_happens(void **state)
{
    struct proposer *proposers = xcalloc(PROPOSERS, sizeof *proposers);
    struct cluster c;
    struct rng rng;
    atomic_bool stop = false;
    uint64_t n_ok = 0, n_rows = 0;

    (void)state;
    rng_seed(&rng, soak_seed);
    cluster_open(&c, &(struct cluster_options){.lease_ns = 500 * NS_PER_MS});
    for (size_t i = 0; i < CLUSTER_MAX; i++)
        cluster_start(&c, i);
    (void)cluster_leader(&c);
    for (unsigned i = 0; i < PROPOSERS; i++) {
        proposers[i].c = &c;
        proposers[i].me = i;
        proposers[i].stop = &stop;
        assert_int_equal(pthread_create(&proposers[i].thread, NULL, propose, &proposers[i]), 0);
    }
    for (uint64_t round = 0; round < soak_rounds; round++)
        disturb(&c, &rng);
    (void)cluster_leader(&c);
    atomic_store(&stop, true);
    for (size_t i = 0; i < PROPOSERS; i++)
        pthread_join(proposers[i].thread, NULL);
    cluster_wait_equal(&c);
    for (size_t i = 0; i < PROPOSERS; i++)
        n_ok += check_rows(&c, &proposers[i], &n_rows);
    cluster_assert_same_rows(&c, n_rows);
    assert_true(n_ok > 100);
    printf("%llu rows acknowledged, %llu there\n", (unsigned long long)n_ok,
           (unsigned long long)n_rows);
    cluster_close(&c);
    free(proposers);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(acknowledged_rows_survive_whatever_happens),
    };

    if (argc > 1)
        soak_rounds = strtoull(argv[1], NULL, 10);
    if (argc > 2)
        soak_seed = strtoull(argv[2], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
