/* Nodes that are replaced, on the memory engine and the in-process network, while somebody writes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "storage/members.h"
#include "tests/store/cluster.h"

enum { STEP_S = 20 };

static const struct cluster_options quick = {
    .n_more = 2, .checkpoint_interval_ns = 50 * NS_PER_MS, .keep_slots = 8, .lag_slots = 16};

/* Somebody who writes, one row after the other, as long as the test goes on. */
struct writer {
    struct cluster *c;
    pthread_t thread;
    atomic_bool stop;
    size_t n_rows;
    int64_t longest_ns; /* from the first try of a row to its acknowledgement */
};

struct world {
    struct cluster c;
    struct writer w;
};

static void *write_rows(void *arg)
{
    struct writer *w = arg;
    char key[CLUSTER_KEY_MAX];

    while (!atomic_load(&w->stop)) {
        int64_t began = mono_now(), took;

        (void)snprintf(key, sizeof key, "load%06zu", w->n_rows);
        cluster_put_surely(w->c, key, bytes_str("value"));
        w->n_rows++;
        took = mono_now() - began;
        w->longest_ns = took > w->longest_ns ? took : w->longest_ns;
    }
    return NULL;
}

static void writer_start(struct writer *w, struct cluster *c)
{
    *w = (struct writer){.c = c};
    assert_int_equal(pthread_create(&w->thread, NULL, write_rows, w), 0);
}

static size_t writer_stop(struct writer *w)
{
    atomic_store(&w->stop, true);
    assert_int_equal(pthread_join(w->thread, NULL), 0);
    return w->n_rows;
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);

    cluster_open(&w->c, &quick);
    for (size_t i = 0; i < CLUSTER_MAX; i++)
        cluster_start(&w->c, i);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    cluster_close(&w->c);
    free(w);
    return 0;
}

static int64_t deadline(void)
{
    return mono_now() + STEP_S * (int64_t)NS_PER_S;
}

static void put_many(struct cluster *c, const char *prefix, size_t n)
{
    char key[CLUSTER_KEY_MAX];

    for (size_t i = 0; i < n; i++) {
        (void)snprintf(key, sizeof key, "%s%06zu", prefix, i);
        cluster_put_surely(c, key, bytes_str("value"));
    }
}

static bool log_is_cut(void *arg)
{
    struct cluster *c = arg;
    struct group_report r;

    cluster_put_surely(c, "tick", bytes_str("v"));
    group_describe(c->nodes[cluster_leader(c)].group, &r);
    return r.first > 30;
}

static int64_t installed(struct cluster *c, size_t i)
{
    return metric_get(
        metrics_counter(c->nodes[i].metrics, "meridian_snapshots_installed_total", ""));
}

static const struct paxos_member *member(const struct group_ask *a, node_id node)
{
    return paxos_config_find(&a->config, node);
}

static void must(enum status st, const struct err *err)
{
    if (st != ST_OK)
        fail_msg("%s %s", status_name(st), err->msg);
}

/* The leader holds on to its lease meanwhile; a call that meets another one is made again there. */
#define ON_LEADER(c, st, err, call)                            \
    do {                                                       \
        struct group *g = (c)->nodes[cluster_leader(c)].group; \
        (st) = (call);                                         \
    } while ((st) == ST_RETRY && strcmp((err)->sqlstate, SQLSTATE_CANNOT_CONNECT_NOW) == 0)

static void dead_node_is_replaced_by_an_empty_one_under_load(void **state)
{
    struct world *w = *state;
    struct cluster *c = &w->c;
    struct group_ask a = {0};
    struct err err;
    enum status st;
    size_t dead, rows;

    put_many(c, "a", 60);
    cluster_wait(log_is_cut, c, "the log begins behind its first entries");
    dead = (cluster_leader(c) + 1) % CLUSTER_MAX;
    cluster_crash(c, dead);
    writer_start(&w->w, c);
    cluster_start(c, 3);
    ON_LEADER(c, st, &err, members_replace(g, c->nodes[dead].id, 4, deadline(), &err));
    must(st, &err);
    assert_true(installed(c, 3) >= 1);
    members_look(c->nodes[cluster_leader(c)].group, &a);
    assert_int_equal(a.config.n, 3);
    assert_null(member(&a, c->nodes[dead].id));
    assert_int_equal(member(&a, 4)->part, PAXOS_PART_VOTER);
    rows = writer_stop(&w->w);
    assert_true(rows > 20);
    assert_in_range(w->w.longest_ns, 0, NS_PER_S);
    cluster_wait_equal(c);
    cluster_assert_same_rows(c, 61 + rows);
}

/* The vote of the new node counts: with it and one of the old ones there is a majority. */
static void replacement_votes_and_its_vote_is_enough(void **state)
{
    struct world *w = *state;
    struct cluster *c = &w->c;
    struct err err;
    enum status st;
    size_t dead = (cluster_leader(c) + 1) % CLUSTER_MAX, leader;

    cluster_crash(c, dead);
    cluster_start(c, 3);
    ON_LEADER(c, st, &err, members_replace(g, c->nodes[dead].id, 4, deadline(), &err));
    must(st, &err);
    put_many(c, "a", 10);
    leader = cluster_leader(c);
    cluster_crash(c, leader);
    put_many(c, "b", 10); /* the third of the old ones, and the new one */
    cluster_start(c, leader);
    cluster_wait_equal(c);
    cluster_assert_same_rows(c, 20);
}

static void removed_node_that_comes_back_disturbs_nobody(void **state)
{
    struct world *w = *state;
    struct cluster *c = &w->c;
    struct err err;
    enum status st;
    size_t old = (cluster_leader(c) + 1) % CLUSTER_MAX, leader;
    uint64_t term;

    cluster_crash(c, old);
    ON_LEADER(c, st, &err, members_remove(g, c->nodes[old].id, deadline(), &err));
    must(st, &err);
    put_many(c, "a", 20);
    leader = cluster_leader(c);
    term = group_term(c->nodes[leader].group);
    cluster_start(c, old);
    mono_sleep_until(mono_now() + 1500 * NS_PER_MS); /* longer than a lease and an election */
    put_many(c, "b", 20);
    assert_int_equal(cluster_leader(c), leader);
    assert_int_equal(group_term(c->nodes[leader].group), term);
}

static bool is_fatal(void *arg)
{
    struct cluster_node *n = arg;

    return atomic_load(&n->n_fatal) > 0;
}

/* The old store's promises are forgotten: what is empty now may not vote in its place. */
static void wiped_store_under_its_old_number_is_refused(void **state)
{
    struct world *w = *state;
    struct cluster *c = &w->c;
    size_t leader, wiped;
    struct group_report r;
    struct err err;
    enum status st;

    put_many(c, "a", 20);
    leader = cluster_leader(c);
    wiped = (leader + 1) % CLUSTER_MAX;
    cluster_stop(c, wiped);
    cluster_wipe(c, wiped);
    cluster_start(c, wiped);
    cluster_wait(is_fatal, &c->nodes[wiped], "the wiped node is told, and stops");
    group_describe(c->nodes[wiped].group, &r);
    assert_int_equal(r.last, 0);
    put_many(c, "b", 20);
    assert_int_equal(cluster_leader(c), leader);
    cluster_stop(c, wiped);
    cluster_start(c, 3); /* the same machine, under a new number */
    ON_LEADER(c, st, &err, members_replace(g, c->nodes[wiped].id, 4, deadline(), &err));
    must(st, &err);
    cluster_wait_equal(c);
    cluster_assert_same_rows(c, 40);
}

static void leader_is_not_removed_and_strangers_are_not_promoted(void **state)
{
    struct world *w = *state;
    struct cluster *c = &w->c;
    size_t leader = cluster_leader(c), other = (leader + 1) % CLUSTER_MAX;
    struct err err;

    assert_int_equal(members_remove(c->nodes[leader].group, c->nodes[leader].id, deadline(), &err),
                     ST_REJECT);
    assert_int_equal(members_promote(c->nodes[leader].group, 5, deadline(), &err), ST_REJECT);
    assert_int_equal(members_add(c->nodes[other].group, 4, deadline(), &err), ST_RETRY);
    assert_string_equal(err.sqlstate, SQLSTATE_CANNOT_CONNECT_NOW);
    /* A learner that is not there never catches up; the group goes on. */
    assert_int_equal(members_add(c->nodes[leader].group, 4, deadline(), &err), ST_OK);
    assert_int_equal(members_promote(c->nodes[leader].group, 4, mono_now() + 200 * NS_PER_MS, &err),
                     ST_RETRY);
    assert_string_equal(err.sqlstate, SQLSTATE_QUERY_CANCELED);
    put_many(c, "a", 10);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(dead_node_is_replaced_by_an_empty_one_under_load),
        T(replacement_votes_and_its_vote_is_enough),
        T(removed_node_that_comes_back_disturbs_nobody),
        T(wiped_store_under_its_old_number_is_refused),
        T(leader_is_not_removed_and_strangers_are_not_promoted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
