/* Three stores on the memory engine and the in-process network. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "storage/upkeep.h"
#include "tests/store/cluster.h"

static int setup(void **state)
{
    static struct cluster c;

    cluster_open(&c, &(struct cluster_options){0});
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

static void put_many(struct cluster *c, const char *prefix, size_t n)
{
    char key[CLUSTER_KEY_MAX];

    for (size_t i = 0; i < n; i++) {
        (void)snprintf(key, sizeof key, "%s%06zu", prefix, i);
        cluster_put_surely(c, key, bytes_str("value"));
    }
}

/* n puts of `size` bytes at once, through whoever leads; each must succeed. */
static void put_burst(struct cluster *c, const char *prefix, size_t n, size_t size)
{
    struct cluster_put *puts = calloc(n, sizeof *puts);
    uint8_t *value = calloc(1, size);
    size_t leader = cluster_leader(c);
    char key[CLUSTER_KEY_MAX];

    for (size_t i = 0; i < n; i++) {
        (void)snprintf(key, sizeof key, "%s%06zu", prefix, i);
        (void)cluster_propose(c, leader, key, bytes_of(value, size), cluster_id(c), &puts[i]);
    }
    for (size_t i = 0; i < n; i++)
        assert_int_equal(cluster_await(&puts[i]), ST_OK);
    free(value);
    free(puts);
}

static void commands_acknowledged_are_applied_on_every_node(void **state)
{
    struct cluster *c = *state;

    put_many(c, "a", 20);
    put_burst(c, "b", 500, 100);
    cluster_wait_equal(c);
    cluster_assert_same_rows(c, 520);
    for (size_t i = 0; i < CLUSTER_MAX; i++)
        assert_true(cluster_has(c, i, "b000499"));
}

static void follower_refuses_and_stale_term_is_refused(void **state)
{
    struct cluster *c = *state;
    size_t leader = cluster_leader(c), other = (leader + 1) % CLUSTER_MAX;
    struct cluster_node *n = &c->nodes[leader];
    struct command stale = {.body = bytes_str("x"), .ts = TSTAMP_MAX / 4};
    struct err err;

    assert_int_equal(cluster_put(c, other, "k", bytes_str("v")), ST_RETRY);
    stale.term = group_term(n->group) - 1;
    assert_int_equal(group_propose(n->group, &stale, &err), ST_RETRY);
    assert_string_equal(err.sqlstate, SQLSTATE_CANNOT_CONNECT_NOW);
    assert_int_equal(group_lease_end(n->group, stale.term), 0);
    assert_true(group_lease_end(n->group, group_term(n->group)) > 0);
}

struct timed {
    struct cluster_put put; /* first */
    struct cluster *c;
    struct tt_interval at_done;
};

static void done_timed(struct command *command, enum status st)
{
    struct timed *t = (struct timed *)command;

    t->at_done = tt_now(t->c->tt);
    pthread_mutex_lock(&t->put.mu);
    t->put.finished = true;
    t->put.st = st;
    pthread_cond_signal(&t->put.cond);
    pthread_mutex_unlock(&t->put.mu);
}

/* The clock is so bad that the wait dwarfs everything else. */
static void acknowledgement_waits_until_time_has_passed(void **state)
{
    struct cluster c;
    struct timed t = {.c = &c};
    size_t leader;

    (void)state;
    cluster_open(&c, &(struct cluster_options){.clock = "fixed:15ms"});
    for (size_t i = 0; i < CLUSTER_MAX; i++)
        cluster_start(&c, i);
    leader = cluster_leader(&c);
    for (int round = 0; round < 20; round++) {
        t.put.command.done = done_timed;
        assert_true(cluster_propose(&c, leader, "k", bytes_str("v"), cluster_id(&c), &t.put));
        assert_int_equal(cluster_await(&t.put), ST_OK);
        assert_true(tt_passed(t.at_done, t.put.command.ts));
    }
    cluster_close(&c);
}

static void crash_of_the_leader_loses_nothing_acknowledged(void **state)
{
    struct cluster *c = *state;
    size_t leader;

    for (int round = 0; round < 3; round++) {
        char prefix[] = {(char)('a' + round), '\0'};

        put_many(c, prefix, 50);
        leader = cluster_leader(c);
        cluster_crash(c, leader);
        put_many(c, (char[]){(char)('k' + round), '\0'}, 20); /* the others go on */
        cluster_start(c, leader);
        cluster_wait_equal(c);
        cluster_assert_same_rows(c, (uint64_t)(round + 1) * 70);
    }
}

static void crash_under_load_keeps_every_acknowledged_row(void **state)
{
    enum { N = 2000 };
    struct cluster *c = *state;
    struct cluster_put *puts = calloc(N, sizeof *puts);
    enum status *st = calloc(N, sizeof *st);
    size_t leader = cluster_leader(c);
    uint64_t n_ok = 0;
    char key[CLUSTER_KEY_MAX];

    for (size_t i = 0; i < N; i++) {
        (void)snprintf(key, sizeof key, "k%06zu", i);
        (void)cluster_propose(c, leader, key, bytes_str("v"), cluster_id(c), &puts[i]);
        if (i == N / 2)
            cluster_wait_for(&puts[N / 4]); /* it is in the middle of things */
    }
    cluster_crash(c, leader);
    for (size_t i = 0; i < N; i++)
        st[i] = cluster_await(&puts[i]);
    put_many(c, "after", 1);
    cluster_start(c, leader);
    cluster_wait_equal(c);
    for (size_t i = 0; i < N; i++) {
        bool there;

        (void)snprintf(key, sizeof key, "k%06zu", i);
        there = cluster_has(c, leader, key);
        n_ok += st[i] == ST_OK;
        assert_true(st[i] != ST_OK || there);
        assert_true(st[i] != ST_RETRY || !there);
    }
    assert_true(n_ok > 0);
    free(puts);
    free(st);
}

static void power_loss_of_all_nodes_keeps_every_acknowledged_row(void **state)
{
    enum { N = 600 };
    struct cluster *c = *state;
    struct cluster_put *puts = calloc(N, sizeof *puts);
    size_t leader = cluster_leader(c), n_ok = 0;
    char key[CLUSTER_KEY_MAX];

    for (size_t i = 0; i < N; i++) {
        (void)snprintf(key, sizeof key, "k%06zu", i);
        (void)cluster_propose(c, leader, key, bytes_str("v"), cluster_id(c), &puts[i]);
        if (i % 20 == 19)
            cluster_wait_for(&puts[i - 10]); /* many slots, the last of them under way */
    }
    cluster_crash_all(c);
    for (size_t i = 0; i < CLUSTER_MAX; i++)
        cluster_start(c, i);
    put_many(c, "after", 1);
    cluster_wait_equal(c);
    for (size_t i = 0; i < N; i++) {
        bool ok = cluster_await(&puts[i]) == ST_OK;

        (void)snprintf(key, sizeof key, "k%06zu", i);
        assert_true(!ok || cluster_has(c, i % CLUSTER_MAX, key));
        n_ok += ok;
    }
    assert_true(n_ok > N / 2);
    free(puts);
}

static void node_that_was_away_catches_up_from_the_log_on_disk(void **state)
{
    struct cluster *c = *state;
    size_t away = (cluster_leader(c) + 1) % CLUSTER_MAX;
    struct err err;

    put_many(c, "before", 10);
    cluster_stop(c, away);
    /* More than Paxos keeps in memory. */
    for (int i = 0; i < 6; i++)
        put_burst(c, (char[]){(char)('a' + i), '\0'}, 60, 64 * 1024);
    /* Checkpoints must not cut off what the absent node needs. */
    for (int i = 0; i < 3; i++)
        assert_int_equal(store_checkpoint(c->nodes[cluster_leader(c)].store, &err), ST_OK);
    cluster_start(c, away);
    cluster_wait_equal(c);
    cluster_assert_same_rows(c, 370);
}

static bool log_is_cut(void *arg)
{
    struct cluster *c = arg;
    struct group_report r;
    struct err err;
    bool cut = true;

    for (size_t i = 0; i < CLUSTER_MAX; i++) {
        group_describe(c->nodes[i].group, &r);
        cut &= r.first > 100;
        if (r.first <= 100)
            assert_int_equal(store_checkpoint(c->nodes[i].store, &err), ST_OK);
    }
    return cut;
}

struct tick_wait {
    struct cluster_node *n;
    int64_t began_mono;
    struct group_report away, report;
};

/* The upkeep thread of n has had ticks enough to act upon the checkpoints. */
static bool upkeep_had_its_chance(void *arg)
{
    struct tick_wait *w = arg;

    group_describe(w->n->group, &w->report);
    return w->report.first > w->away.last + 1 || mono_now() - w->began_mono > 2500LL * NS_PER_MS;
}

static void log_is_cut_only_behind_what_everybody_has(void **state)
{
    struct cluster *c = *state;
    size_t leader = cluster_leader(c), away = (leader + 1) % CLUSTER_MAX;
    struct tick_wait w = {.n = &c->nodes[leader]};
    struct err err;

    group_describe(c->nodes[away].group, &w.away);
    cluster_stop(c, away);
    /* One command a slot, more slots than are always kept. */
    for (int i = 0; i < 1500; i++)
        cluster_put_surely(c, "hot", bytes_str("v"));
    for (int i = 0; i < 3; i++)
        assert_int_equal(store_checkpoint(w.n->store, &err), ST_OK);
    w.began_mono = mono_now();
    cluster_wait(upkeep_had_its_chance, &w, "upkeep has run");
    assert_true(w.report.first <= w.away.last + 1);
    assert_true(w.report.last > w.away.last + UPKEEP_KEEP_SLOTS); /* it would have cut */

    cluster_start(c, away);
    cluster_wait_equal(c);
    cluster_wait(log_is_cut, c, "every node has cut its log");
    for (size_t i = 0; i < CLUSTER_MAX; i++) {
        cluster_crash(c, i);
        cluster_start(c, i);
    }
    put_many(c, "x", 5);
    cluster_wait_equal(c);
    cluster_assert_same_rows(c, 6);
}

static bool is_read_only(void *arg)
{
    return store_read_only(arg);
}

static bool is_writable(void *arg)
{
    return !store_read_only(arg);
}

static void full_disk_refuses_writes_until_there_is_room(void **state)
{
    struct cluster *c = *state;
    size_t leader = cluster_leader(c);
    struct cluster_node *n = &c->nodes[leader];
    struct cluster_put p = {0};
    struct command refused = {.body = bytes_str("x"), .ts = TSTAMP_MAX / 4};
    struct err err;

    assert_int_equal(faults_arm(n->faults, "engine.commit=1+", NULL), ST_OK);
    assert_true(cluster_propose(c, leader, "k", bytes_str("v"), cluster_id(c), &p));
    cluster_wait(is_read_only, n->store, "the node is read-only");
    refused.term = group_term(n->group);
    assert_int_equal(group_propose(n->group, &refused, &err), ST_REJECT);
    assert_string_equal(err.sqlstate, SQLSTATE_DISK_FULL);
    faults_clear(n->faults);
    cluster_wait(is_writable, n->store, "the node takes writes again");
    (void)cluster_await(&p); /* the others may have chosen it meanwhile, or elected */
    assert_int_equal(n->n_fatal, 0);
    put_many(c, "more", 5);
    cluster_wait_equal(c);
    assert_true(cluster_has(c, leader, "more000004"));
}

static bool is_fatal(void *arg)
{
    struct cluster_node *n = arg;

    return atomic_load(&n->n_fatal) > 0;
}

static void failed_sync_stops_the_node_and_the_others_go_on(void **state)
{
    struct cluster *c = *state;
    size_t leader = cluster_leader(c);
    struct cluster_node *n = &c->nodes[leader];
    struct cluster_put p = {0};

    assert_int_equal(faults_arm(n->faults, "engine.sync=1", NULL), ST_OK);
    (void)cluster_propose(c, leader, "k", bytes_str("v"), cluster_id(c), &p);
    cluster_wait(is_fatal, n, "the failed sync is fatal");
    (void)cluster_await(&p); /* it is answered, whatever the answer */
    cluster_crash(c, leader);
    assert_int_equal(n->n_fatal, 1);
    put_many(c, "others", 5);
    cluster_start(c, leader);
    cluster_wait_equal(c);
    assert_true(cluster_has(c, leader, "others000004"));
}

static void clean_stop_hands_the_lease_over_at_once(void **state)
{
    struct cluster *c = *state;
    size_t leader = cluster_leader(c);
    int64_t began;

    put_many(c, "a", 5);
    began = mono_now();
    cluster_stop(c, leader);
    assert_int_not_equal(cluster_leader(c), leader);
    /* Far less than a lease of a second and an election. */
    assert_in_range(mono_now() - began, 0, 900 * NS_PER_MS);
    put_many(c, "b", 5);
}

static void callbacks_come_in_order(struct command *command)
{
    struct cluster_put *p = (struct cluster_put *)command;

    pthread_mutex_lock(&p->mu);
    p->applied = p->finished && p->st == ST_OK;
    pthread_cond_signal(&p->cond);
    pthread_mutex_unlock(&p->mu);
}

static bool is_applied(void *arg)
{
    struct cluster_put *p = arg;
    bool applied;

    pthread_mutex_lock(&p->mu);
    applied = p->applied;
    pthread_mutex_unlock(&p->mu);
    return applied;
}

static void applied_runs_after_done_and_sees_the_row(void **state)
{
    struct cluster *c = *state;
    size_t leader = cluster_leader(c);
    struct cluster_put p = {.command.applied = callbacks_come_in_order};

    assert_true(cluster_propose(c, leader, "k", bytes_str("v"), cluster_id(c), &p));
    cluster_wait(is_applied, &p, "`applied` has run, after `done`");
    assert_true(tablet_applied(group_tablet(c->nodes[leader].group)) >= p.command.slot);
    assert_true(cluster_has(c, leader, "k"));
    assert_int_equal(cluster_await(&p), ST_OK);
}

static bool versions_are_gone(void *arg)
{
    struct cluster *c = arg;

    for (size_t i = 0; i < CLUSTER_MAX; i++)
        if (metric_get(metrics_counter(c->nodes[i].metrics, "meridian_versions_collected_total",
                                       "")) < 190)
            return false;
    return true;
}

static void old_versions_go_behind_the_horizon_and_rows_stay(void **state)
{
    struct cluster c;

    (void)state;
    cluster_open(&c, &(struct cluster_options){.gc_retention_ns = 200 * NS_PER_MS});
    for (size_t i = 0; i < CLUSTER_MAX; i++)
        cluster_start(&c, i);
    for (int i = 0; i < 200; i++)
        cluster_put_surely(&c, "hot", bytes_str("v"));
    put_many(&c, "cold", 10);
    /* Time goes on in the log only while something is written. */
    mono_sleep_until(mono_now() + 250 * NS_PER_MS);
    put_many(&c, "later", 1);
    cluster_wait(versions_are_gone, &c, "every node has collected the hot row's versions");
    cluster_wait_equal(&c);
    cluster_assert_same_rows(&c, 12);
    for (size_t i = 0; i < CLUSTER_MAX; i++) {
        struct group *g = c.nodes[i].group;

        assert_true(group_horizon(g) > 0);
        assert_true(group_horizon(g) < tablet_applied_ts(group_tablet(g)));
        assert_true(cluster_has(&c, i, "hot"));
    }
    cluster_close(&c);
}

static bool all_rest(void *arg)
{
    struct cluster *c = arg;
    int64_t n = 0;

    for (size_t i = 0; i < CLUSTER_MAX; i++)
        if (c->nodes[i].up)
            n += metric_get(metrics_gauge(c->nodes[i].metrics, "meridian_groups_resting", ""));
        else
            n++;
    return n == CLUSTER_MAX;
}

static bool leader_changed(void *arg)
{
    struct cluster *c = arg;
    size_t leader = cluster_find_leader(c);

    return leader != CLUSTER_NODES && c->nodes[leader].n_led > 0;
}

/* Nothing happens: the group sends nothing any more, keeps its leader, and is there again at the first command. */
static void group_idle_rests_and_wakes(void **state)
{
    struct cluster *c = *state;
    size_t leader;

    put_many(c, "a", 3);
    leader = cluster_leader(c);
    cluster_wait(all_rest, c, "the group rests on every node");
    mono_sleep_until(mono_now() +
                     2 * NS_PER_S); /* two leases: what it was told of its own is long over */
    assert_true(all_rest(c));
    assert_int_equal(cluster_leader(c), leader);
    assert_int_equal(c->nodes[leader].n_led, 1);
    assert_int_equal(cluster_put(c, leader, "b", bytes_str("v")), ST_OK);
    cluster_wait_equal(c);
    cluster_wait(all_rest, c, "the group rests again");
}

/* Nobody hears of the leader's death from the group: support ends, and that wakes those who were bound by it. */
static void group_at_rest_survives_its_leader(void **state)
{
    struct cluster *c = *state;
    size_t leader;

    put_many(c, "a", 3);
    leader = cluster_leader(c);
    cluster_wait(all_rest, c, "the group rests on every node");
    cluster_crash(c, leader);
    cluster_wait(leader_changed, c, "another node leads");
    put_many(c, "b", 3);
    cluster_wait(all_rest, c, "the two that are left rest");
    cluster_start(c, leader);
    cluster_wait_equal(c);
    cluster_wait(all_rest, c, "all three rest");
    cluster_assert_same_rows(c, 6);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(group_idle_rests_and_wakes),
        T(group_at_rest_survives_its_leader),
        T(commands_acknowledged_are_applied_on_every_node),
        T(follower_refuses_and_stale_term_is_refused),
        cmocka_unit_test(acknowledgement_waits_until_time_has_passed),
        T(applied_runs_after_done_and_sees_the_row),
        T(crash_of_the_leader_loses_nothing_acknowledged),
        T(crash_under_load_keeps_every_acknowledged_row),
        T(power_loss_of_all_nodes_keeps_every_acknowledged_row),
        T(node_that_was_away_catches_up_from_the_log_on_disk),
        T(log_is_cut_only_behind_what_everybody_has),
        T(full_disk_refuses_writes_until_there_is_room),
        T(failed_sync_stops_the_node_and_the_others_go_on),
        T(clean_stop_hands_the_lease_over_at_once),
        cmocka_unit_test(old_versions_go_behind_the_horizon_and_rows_stay),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
