/* Replicas that the log cannot help any more, on the memory engine and the in-process network. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "tests/store/cluster.h"

/* Logs are cut soon, and behind a voter that is away, too. */
static const struct cluster_options quick = {
    .checkpoint_interval_ns = 50 * NS_PER_MS, .keep_slots = 8, .lag_slots = 16};

static int setup(void **state)
{
    static struct cluster c;

    cluster_open(&c, &quick);
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

static int64_t metric_of(struct cluster *c, size_t i, const char *name)
{
    return metric_get(metrics_counter(c->nodes[i].metrics, name, ""));
}

struct log_wait {
    struct cluster *c;
    slot_no beyond;
};

static bool logs_are_cut(void *arg)
{
    struct log_wait *w = arg;
    struct group_report r;

    cluster_put_surely(w->c, "tick",
                       bytes_str("v")); /* a checkpoint comes only where something is new */
    for (size_t i = 0; i < CLUSTER_MAX; i++) {
        if (!w->c->nodes[i].up)
            continue;
        group_describe(w->c->nodes[i].group, &r);
        if (r.first <= w->beyond)
            return false;
    }
    return true;
}

/* A follower that stops, and does not come back before the others have cut their logs behind it. */
static size_t leave_behind(struct cluster *c)
{
    size_t away = (cluster_leader(c) + 1) % CLUSTER_MAX;
    struct log_wait w = {.c = c};
    struct group_report r;

    cluster_wait_equal(c);
    group_describe(c->nodes[away].group, &r);
    cluster_stop(c, away);
    put_many(c, "away", 60);
    w.beyond = r.last + 1;
    cluster_wait(logs_are_cut, &w, "the logs are cut beyond what the absent node has");
    return away;
}

static void replica_behind_the_log_gets_a_snapshot(void **state)
{
    struct cluster *c = *state;
    struct group_report r;
    size_t away;

    put_many(c, "a", 30);
    away = leave_behind(c);
    cluster_start(c, away);
    put_many(c, "b", 30);
    cluster_wait_equal(c);
    cluster_assert_same_rows(c, 121);
    assert_int_equal(metric_of(c, away, "meridian_snapshots_installed_total"), 1);
    group_describe(c->nodes[away].group, &r);
    assert_true(r.first > 30);
    cluster_crash(c, away); /* what it has is durable, and it goes on from there */
    put_many(c, "c", 5);
    cluster_start(c, away);
    cluster_wait_equal(c);
    cluster_assert_same_rows(c, 126);
    assert_int_equal(metric_of(c, away, "meridian_snapshots_installed_total"), 0);
}

static void restored_replica_leads_and_loses_nothing(void **state)
{
    struct cluster *c = *state;
    size_t away = leave_behind(c), n_moves = 0, tries = 0;

    cluster_start(c, away);
    cluster_wait_equal(c);
    while (cluster_leader(c) != away) {
        size_t leader = cluster_leader(c);

        assert_in_range(tries++, 0, 50);
        cluster_stop(c, leader);
        n_moves = 1;
        put_many(c, "moves", 1);
        cluster_start(c, leader);
        cluster_wait_equal(c);
    }
    put_many(c, "b", 10);
    cluster_wait_equal(c);
    cluster_assert_same_rows(c, 60 + 1 + n_moves + 10);
}

static bool is_frozen(void *arg)
{
    struct cluster_node *n = arg;

    return faults_hits(n->faults, "snapshot.step") > 0;
}

/* A life may begin with a snapshot in place: the power went after it was durable, before the log knew. */
static bool has_caught_up(struct cluster *c, size_t i)
{
    return tablet_applied(group_tablet(c->nodes[i].group)) >= 60;
}

struct step_wait {
    struct cluster *c;
    size_t node;
    int step;
};

static bool frozen_or_installed(void *arg)
{
    struct step_wait *w = arg;

    return faults_hits(w->c->nodes[w->node].faults, "snapshot.step") >= (uint64_t)w->step ||
           metric_of(w->c, w->node, "meridian_snapshots_installed_total") > 0;
}

/* Power goes before the first step of an install, before the second ... until a life begins with the snapshot in
 * place, or installs it whole. Returns how many steps there were. */
static int cut_power_at_each_step(struct cluster *c, size_t away, bool checkpoint)
{
    struct step_wait w = {c, away, 0};
    char spec[64];

    for (;;) {
        w.step++;
        (void)snprintf(spec, sizeof spec, "snapshot.step=%d", w.step);
        assert_int_equal(faults_arm(c->nodes[away].faults, spec, NULL), ST_OK);
        cluster_start(c, away);
        if (has_caught_up(c, away))
            break;
        cluster_wait(frozen_or_installed, &w, "the install stands still, or is through");
        if (faults_hits(c->nodes[away].faults, "snapshot.step") < (uint64_t)w.step)
            break;
        if (checkpoint)
            assert_int_equal(store_checkpoint(c->nodes[away].store, NULL), ST_OK);
        cluster_crash(c, away);
        put_many(c, "meanwhile", 1);
    }
    faults_clear(c->nodes[away].faults);
    return w.step - 1;
}

static void power_cut_before_any_step_is_survived(void **state)
{
    struct cluster *c = *state;
    size_t away = leave_behind(c);

    assert_in_range(cut_power_at_each_step(c, away, false), 3, 4);
    cluster_wait_equal(c);
    cluster_assert_same_rows(c, 62);
}

static void power_cut_after_a_checkpoint_at_any_step_is_survived(void **state)
{
    struct cluster *c = *state;
    size_t away = leave_behind(c);

    assert_in_range(cut_power_at_each_step(c, away, true), 3, 4);
    cluster_wait_equal(c);
    cluster_assert_same_rows(c, 62);
}

/* The sender dies in the middle; whoever leads then begins anew. */
static void sender_that_dies_is_replaced(void **state)
{
    struct cluster *c = *state;
    size_t away = leave_behind(c), leader;

    assert_int_equal(faults_arm(c->nodes[away].faults, "snapshot.step=2", NULL), ST_OK);
    cluster_start(c, away);
    cluster_wait(is_frozen, &c->nodes[away], "the install has begun");
    cluster_crash(c, away);
    faults_clear(c->nodes[away].faults);
    leader = cluster_leader(c);
    cluster_crash(c, leader);
    cluster_start(c, away); /* its tablet has a mark; with the third it elects and asks */
    put_many(c, "b", 10);
    cluster_start(c, leader);
    cluster_wait_equal(c);
    cluster_assert_same_rows(c, 71);
}

enum { BIG_ROWS = 40, BIG_BYTES = 64 * 1024, PACE = 1024 * 1024 };

struct link_wait {
    struct cluster *c;
    size_t from, to;
};

static bool third_has_left(void *arg)
{
    struct link_wait *w = arg;

    return metric_of(w->c, w->from, "meridian_snapshot_bytes_total") > BIG_ROWS * BIG_BYTES / 3;
}

static bool link_is_down(void *arg)
{
    struct link_wait *w = arg;

    return !rpc_peer_up(w->c->nodes[w->from].rpc, w->c->nodes[w->to].id);
}

static bool is_installed(void *arg)
{
    struct link_wait *w = arg;

    return metric_of(w->c, w->to, "meridian_snapshots_installed_total") > 0;
}

static void cut_off(struct cluster *c, size_t i, bool cut)
{
    struct rpc_fault fault = {.cut = cut};

    for (size_t k = 0; k < CLUSTER_MAX; k++)
        rpc_set_fault(c->nodes[k].rpc, k == i ? 0 : c->nodes[i].id, &fault);
}

/* The pace is kept, and a connection that breaks costs a pause, not the stream. */
static void stream_goes_on_where_the_connection_broke(void **state)
{
    struct cluster_options o = quick;
    struct cluster c;
    struct link_wait w = {.c = &c};
    uint8_t *value = calloc(1, BIG_BYTES);
    char key[CLUSTER_KEY_MAX];
    int64_t began, sent;

    (void)state;
    o.snapshot_bytes_per_s = PACE;
    cluster_open(&c, &o);
    for (size_t i = 0; i < CLUSTER_MAX; i++)
        cluster_start(&c, i);
    for (int i = 0; i < BIG_ROWS; i++) {
        (void)snprintf(key, sizeof key, "big%06d", i);
        cluster_put_surely(&c, key, bytes_of(value, BIG_BYTES));
    }
    w.to = leave_behind(&c);
    w.from = cluster_leader(&c);
    began = mono_now();
    cluster_start(&c, w.to);
    cluster_wait(third_has_left, &w, "a third of the snapshot has left");
    cut_off(&c, w.to, true);
    cluster_wait(link_is_down, &w, "the link is down");
    cut_off(&c, w.to, false);
    cluster_wait(is_installed, &w, "the snapshot is installed");
    assert_true(mono_now() - began > BIG_ROWS * (int64_t)BIG_BYTES * NS_PER_S / PACE * 8 / 10);
    sent = metric_of(&c, w.from, "meridian_snapshot_bytes_total");
    assert_in_range(sent, BIG_ROWS * BIG_BYTES, BIG_ROWS * BIG_BYTES * 5 / 4);
    cluster_wait_equal(&c);
    cluster_assert_same_rows(&c, BIG_ROWS + 61);
    cluster_close(&c);
    free(value);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(replica_behind_the_log_gets_a_snapshot),
        T(restored_replica_leads_and_loses_nothing),
        T(power_cut_before_any_step_is_survived),
        T(power_cut_after_a_checkpoint_at_any_step_is_survived),
        T(sender_that_dies_is_replaced),
        cmocka_unit_test(stream_goes_on_where_the_connection_broke),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
