/* One Paxos group as a calm cluster, whose traces are compared as text. Chaos is tests/sim's. */
#include "tests/unit/storage/calm.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"

static void cluster_new_elects_one_leader_at_once(void **state)
{
    struct cluster *c = calm_new();
    node_id id = calm_wait_leader(c, 400 * MS);

    (void)state;
    assert_int_equal(id, 1);
    calm_assert_trace(c, "n1 follower -> candidate ballot=1.1 last=0 chosen=0: asks\n"
                         "n1 prepares 1.1\n"
                         "n2 promises 1.1\n"
                         "n3 promises 1.1\n"
                         "n1 candidate -> recovering ballot=1.1 last=0 chosen=0: won phase 1\n"
                         "n1 recovering -> leader ballot=1.1 last=1 chosen=1: leads\n");
    assert_true(c->node[id].out.lease_start <= c->now + MS);
    assert_true(c->node[id].out.lease_end <= c->now + LEASE);
    calm_free(c);
}

static void proposal_is_chosen_everywhere(void **state)
{
    struct cluster *c = calm_new();
    node_id id = calm_wait_leader(c, 400 * MS);
    slot_no slot = calm_propose(c, id, "hello");

    (void)state;
    assert_true(c->node[id].out.room); /* two may be in flight */
    (void)calm_propose(c, id, "world");
    assert_false(c->node[id].out.room);
    calm_run(c, 5 * MS);
    assert_int_equal(slot, 2);
    assert_int_equal(c->node[id].out.chosen, 3);
    assert_true(c->node[id].out.room);
    assert_true(c->node[id].out.agreed > 0 && c->node[id].out.agreed < c->now);
    calm_run(c, 600 * MS);
    for (node_id n = 1; n <= N; n++) {
        assert_int_equal(c->node[n].out.chosen, 3);
        assert_int_equal(c->node[n].out.apply, 3);
        assert_int_equal(c->node[n].out.everywhere, 3);
    }
    calm_assert_logs_equal(c, 3);
    calm_free(c);
}

/* Another leads, and the one whose clock lies has not acknowledged anything since: `agreed` was 0 or in the past. */
static void expect_deposed(struct cluster *c, node_id liar)
{
    int64_t began = c->now;

    while (calm_leader(c) == liar || calm_leader(c) == 0) {
        const struct paxos_out *out = &c->node[liar].out;

        assert_true(out->agreed < c->now);
        assert_true(c->now - began < 2 * LEASE);
        calm_run(c, MS);
    }
}

static void leader_that_steps_back_acknowledges_nothing_and_steps_down(void **state)
{
    struct cluster *c = calm_new();
    node_id id = calm_wait_leader(c, 400 * MS);

    (void)state;
    calm_propose_many(c, id, 3);
    calm_run(c, 300 * MS);
    calm_forget_trace(c);
    c->node[id].lie_ns = -500 * MS;
    (void)calm_propose(
        c, id, "at a time that has passed"); /* the very step sees it: no answer has come yet */
    assert_int_equal(c->node[id].out.agreed, 0);
    assert_int_equal(c->node[id].out.role, PAXOS_FOLLOWER);
    assert_non_null(strstr(c->trace, "clocks disagree"));
    expect_deposed(c, id);
    calm_free(c);
}

static void leader_that_steps_ahead_acknowledges_nothing_early(void **state)
{
    struct cluster *c = calm_new();
    node_id id = calm_wait_leader(c, 400 * MS);
    slot_no slot;

    (void)state;
    calm_propose_many(c, id, 3);
    calm_run(c, 300 * MS);
    calm_forget_trace(c);
    c->node[id].lie_ns = 500 * MS;
    slot = calm_propose(c, id, "at a time that has not come");
    while (c->node[id].out.role == PAXOS_LEADER) {
        assert_true(c->node[id].out.agreed < c->now);
        calm_run(c, MS / 10);
    }
    assert_non_null(strstr(c->trace, "clocks disagree"));
    expect_deposed(c, id);
    calm_run(c, LEASE);
    assert_true(c->node[calm_leader(c)].out.chosen >=
                slot); /* its answers counted for durability */
    calm_free(c);
}

static void leader_an_hour_ahead_has_no_lease_to_put_its_hour_into(void **state)
{
    struct cluster *c = calm_new();
    node_id id = calm_wait_leader(c, 400 * MS);
    struct node *n = &c->node[id];

    (void)state;
    calm_run(c, 300 * MS);
    n->lie_ns = 3600 * (int64_t)NS_PER_S;
    /* Support is renewed and would be relied on by the hour that the clock is ahead. */
    for (int64_t until = c->now + LEASE; c->now < until && n->out.role == PAXOS_LEADER;
         calm_run(c, MS / 10))
        assert_true(n->out.lease_end < c->now + LEASE + 500 * MS);
    expect_deposed(c, id);
    calm_free(c);
}

/* For a moment its calendar says that its support of the leader has lapsed. The leader still relies on that support,
 * and has told readers so. */
static void voter_that_is_ahead_for_a_moment_hands_no_lease_over(void **state)
{
    struct cluster *c = calm_new();
    node_id id = calm_wait_leader(c, 400 * MS);
    node_id next = id % N + 1, voter = next % N + 1;
    tstamp told;

    (void)state;
    calm_propose_many(c, id, 3);
    c->cut[id][next] = c->cut[next][id] = true;
    calm_run(c, LEASE + 700 * MS); /* the support of `next` has lapsed; it asks, and is refused */
    assert_int_equal(calm_leader(c), id);
    told = c->node[id].out.lease_end;
    c->node[voter].lie_ns = 2 * LEASE;
    for (int i = 0; i < 300; i++) {
        calm_step(c, &c->node[next], (struct paxos_in){.kind = PAXOS_IN_CAMPAIGN});
        calm_run(c, MS);
    }
    c->node[voter].lie_ns = 0;
    for (int64_t until = c->now + 4 * LEASE; c->now < until; calm_run(c, MS)) {
        if (c->node[id].out.lease_end > told)
            told = c->node[id].out.lease_end;
        if (c->node[next].out.role == PAXOS_LEADER)
            assert_true(c->node[next].out.lease_start > told);
    }
    c->cut[id][next] = c->cut[next][id] = false;
    assert_true(calm_wait_leader(c, 2 * LEASE) != 0);
    calm_free(c);
}

/* One of two voters: the other clock and the leader's are a majority. */
static void voter_whose_clock_lies_costs_the_leader_nothing(void **state)
{
    struct cluster *c = calm_new();
    node_id id = calm_wait_leader(c, 400 * MS);
    struct ballot ballot = c->node[id].out.ballot;

    (void)state;
    for (int sign = -1; sign <= 1; sign += 2) {
        c->node[id % N + 1].lie_ns = sign * 500 * MS;
        calm_propose_many(c, id, 3);
        calm_run(c, 2 * LEASE);
        assert_int_equal(calm_leader(c), id);
        assert_int_equal(ballot_cmp(c->node[id].out.ballot, ballot), 0);
        assert_true(c->node[id].out.agreed <
                    c->now); /* it is of the last step, a heartbeat ago at most */
        assert_true(c->node[id].out.agreed > c->now - 260 * MS);
    }
    calm_free(c);
}

static void leader_killed_next_leads_within_lease(void **state)
{
    (void)state;
    for (int ms = 0; ms < 1000; ms += 100) {
        struct cluster *c = calm_new();
        node_id first = calm_wait_leader(c, 400 * MS);
        int64_t killed;

        calm_propose_many(c, first, 5);
        calm_run(c, (3000 + ms) * MS);
        killed = c->now;
        calm_kill(c, first);
        assert_int_not_equal(calm_wait_leader(c, LEASE + NS_PER_S), first);
        assert_true(c->now - killed < LEASE + 200 * MS);
        calm_start(c, first); /* it comes back: nothing is disturbed */
        calm_forget_trace(c);
        calm_run(c, 8 * LEASE);
        if (first == 1) /* when it may, it says that its old ballot is history; that is all */
            calm_assert_trace(c, "n1 releases 1.1\n");
        assert_true(strstr(c->trace, "asks") == NULL);
        calm_assert_logs_equal(c, c->node[1].last);
        calm_free(c);
    }
}

static void leader_killed_and_back_at_once_does_not_delay_election(void **state)
{
    struct cluster *c = calm_new();
    node_id first = calm_wait_leader(c, 400 * MS);
    int64_t killed;

    (void)state;
    calm_run(c, 3 * LEASE);
    killed = c->now;
    calm_kill(c, first);
    calm_run(c, 50 * MS);
    calm_start(c, first);
    assert_int_equal(calm_leader(c), 0);
    assert_int_not_equal(calm_wait_leader(c, LEASE + NS_PER_S), first);
    assert_true(c->now - killed < LEASE + 200 * MS);
    calm_free(c);
}

static void isolated_leader_suffix_is_cut_when_it_returns(void **state)
{
    struct cluster *c = calm_new();
    node_id old = calm_wait_leader(c, 400 * MS);
    node_id next;

    (void)state;
    calm_propose_many(c, old, 3);
    calm_isolate(c, old, true);
    (void)calm_propose(c, old, "never chosen 1");
    (void)calm_propose(c, old, "never chosen 2");
    calm_run(c, 10 * MS);
    assert_int_equal(c->node[old].last, 6);
    calm_forget_trace(c);
    next = 0;
    while (next == 0 || next == old) {
        calm_run(c, MS);
        next = calm_leader(c);
    }
    (void)calm_propose(c, next, "chosen");
    calm_run(c, LEASE);
    calm_isolate(c, old, false);
    calm_run(c, LEASE);
    assert_int_equal(calm_leader(c), next);
    calm_assert_logs_equal(c, 6);
    assert_true(bytes_eq(c->node[old].log[6].payload, bytes_str("chosen")));
    assert_non_null(strstr(c->trace, "n1 cuts 5..6\n"));
    calm_free(c);
}

static void candidate_with_short_log_takes_the_best(void **state)
{
    struct cluster *c = calm_new();
    node_id old = calm_wait_leader(c, 400 * MS);
    node_id lagging = old % N + 1;
    node_id other = lagging % N + 1;

    (void)state;
    calm_isolate(c, lagging, true);
    calm_propose_many(c, old, 40);
    calm_kill(c, old);
    calm_isolate(c, lagging, false);
    c->cut[old][lagging] = c->cut[old][other] = true;
    calm_forget_trace(c);
    /* Only the one that lags may try: it must still end up with every chosen entry. */
    calm_run_until(c, c->now + LEASE - 200 * MS);
    while (calm_leader(c) != lagging) {
        calm_step(c, &c->node[lagging], (struct paxos_in){.kind = PAXOS_IN_CAMPAIGN});
        calm_run(c, MS);
        assert_true(calm_leader(c) != other);
    }
    assert_non_null(strstr(c->trace, "fetches"));
    assert_int_equal(c->node[lagging].last, 42);
    calm_isolate(c, old, false);
    calm_start(c, old);
    calm_run(c, 2 * LEASE);
    calm_assert_logs_equal(c, 42);
    calm_free(c);
}

static void lagging_voter_catches_up_from_disk(void **state)
{
    struct cluster *c = calm_new();
    node_id id = calm_wait_leader(c, 400 * MS);
    node_id lagging = id % N + 1;

    (void)state;
    c->cache_bytes = 64;
    for (node_id n = 1; n <= N; n++) { /* again, with next to no cache and payloads on disk only */
        calm_kill(c, n);
        c->node[n].on_disk_only = true;
        calm_start(c, n);
    }
    id = calm_wait_leader(c, 2 * LEASE);
    lagging = id % N + 1;
    calm_isolate(c, lagging, true);
    calm_propose_many(c, id, 200);
    calm_isolate(c, lagging, false);
    calm_run(c, LEASE);
    assert_int_equal(calm_leader(c), id);
    calm_assert_logs_equal(c, c->node[id].last);
    assert_int_equal(c->node[lagging].out.chosen, c->node[id].out.chosen);
    calm_free(c);
}

static void all_restart_is_quiet_then_elects(void **state)
{
    struct cluster *c = calm_new();
    node_id id = calm_wait_leader(c, 400 * MS);
    int64_t down;

    (void)state;
    calm_propose_many(c, id, 3);
    down = c->now;
    for (node_id n = 1; n <= N; n++)
        calm_kill(c, n);
    for (node_id n = 1; n <= N; n++)
        calm_start(c, n);
    calm_run(c, LEASE + 490 * MS);
    assert_int_equal(calm_leader(c), 0); /* start.latest + longest lease + bound cap */
    (void)calm_wait_leader(c, NS_PER_S);
    assert_true(c->now - down < LEASE + NS_PER_S);
    assert_int_equal(c->node[1].out.ballot.round, 2);
    calm_free(c);
}

static void release_lets_next_lead_at_once(void **state)
{
    struct cluster *c = calm_new();
    node_id old = calm_wait_leader(c, 400 * MS);
    int64_t stopped;
    tstamp used;

    (void)state;
    calm_propose_many(c, old, 2);
    stopped = c->now;
    used = c->now + 30 * MS; /* promised to a reader whose clock is ahead */
    calm_forget_trace(c);
    calm_step(c, &c->node[old], (struct paxos_in){.kind = PAXOS_IN_RELEASE, .used = used});
    assert_false(c->node[old].out.room);
    assert_int_equal(c->node[old].out.lease_end, 0);
    assert_false(c->node[old].out.released);
    while (!c->node[old].out.released)
        calm_run(c, MS);
    assert_true(c->now > used);
    calm_kill(c, old);
    assert_int_not_equal(calm_wait_leader(c, 300 * MS), old);
    assert_true(c->now - stopped < 350 * MS);
    assert_true(c->node[calm_leader(c)].out.lease_start > used);
    calm_free(c);
}

static void released_cluster_restarts_without_waiting(void **state)
{
    struct cluster *c = calm_new();
    node_id old = calm_wait_leader(c, 400 * MS);
    int64_t back;

    (void)state;
    calm_run(c, 500 * MS);
    calm_step(c, &c->node[old], (struct paxos_in){.kind = PAXOS_IN_RELEASE, .used = c->now});
    for (node_id n = 1; n <= N; n++)
        if (n != old)
            calm_step(c, &c->node[n], (struct paxos_in){.kind = PAXOS_IN_RELEASE});
    calm_run(c, 210 * MS);
    for (node_id n = 1; n <= N; n++) {
        assert_true(c->node[n].out.released);
        calm_kill(c, n);
    }
    back = c->now;
    for (node_id n = 1; n <= N; n++)
        calm_start(c, n);
    (void)calm_wait_leader(c, 500 * MS);
    assert_true(c->now - back < 500 * MS);
    calm_free(c);
}

static void returning_node_leaves_a_healthy_leader_alone(void **state)
{
    struct cluster *c = calm_new();
    node_id id = calm_wait_leader(c, 400 * MS);
    node_id away = id % N + 1;
    struct ballot ballot = c->node[id].out.ballot;

    (void)state;
    calm_isolate(c, away, true);
    calm_run(c, 5 * LEASE); /* it asks again and again, and is not heard */
    calm_isolate(c, away, false);
    calm_run(c, 5 * LEASE);
    assert_int_equal(calm_leader(c), id);
    assert_int_equal(ballot_cmp(c->node[id].out.ballot, ballot), 0);
    calm_free(c);
}

static void one_way_deaf_node_leaves_a_healthy_leader_alone(void **state)
{
    struct cluster *c = calm_new();
    node_id id = calm_wait_leader(c, 400 * MS);
    node_id deaf = id % N + 1;
    struct ballot ballot = c->node[id].out.ballot;

    (void)state;
    c->cut[id][deaf] = true; /* it hears everybody but the leader */
    calm_run(c, 5 * LEASE);
    assert_int_equal(calm_leader(c), id);
    assert_int_equal(ballot_cmp(c->node[id].out.ballot, ballot), 0);
    calm_free(c);
}

static void voter_with_higher_promise_is_won_back_in_place(void **state)
{
    struct cluster *c = calm_new();
    node_id id = calm_wait_leader(c, 400 * MS);
    node_id stray = id % N + 1;
    struct ballot first = c->node[id].out.ballot;
    tstamp start_ts;

    (void)state;
    calm_propose_many(c, id, 3);
    start_ts = c->node[id].out.lease_start;
    calm_kill(c, stray);
    c->node[stray].hard.promised = (struct ballot){9, stray}; /* of a candidacy that failed */
    calm_start(c, stray);
    calm_forget_trace(c);
    for (int i = 0; i < 400; i++) {
        calm_run(c, 10 * MS);
        assert_int_equal(calm_leader(c), id); /* at every moment */
        if (c->node[id].out.room && i % 10 == 0)
            (void)calm_propose(c, id, "goes on");
    }
    calm_run(c, NS_PER_S);
    assert_non_null(strstr(c->trace, "raises its ballot to 1"));
    assert_null(strstr(c->trace, "leader -> follower"));
    assert_true(ballot_cmp(c->node[id].out.ballot, first) > 0);
    assert_int_equal(c->node[id].out.lease_start, start_ts);
    assert_int_equal(ballot_cmp(c->node[stray].out.ballot, c->node[id].out.ballot), 0);
    calm_assert_logs_equal(c, c->node[id].last);
    calm_free(c);
}

static void idle_cluster_sends_little(void **state)
{
    struct cluster *c = calm_new();
    size_t sent = 0;

    (void)state;
    (void)calm_wait_leader(c, 400 * MS);
    calm_run(c, LEASE);
    for (node_id n = 1; n <= N; n++)
        sent -= c->node[n].n_sent;
    calm_run(c, 10 * (int64_t)NS_PER_S);
    for (node_id n = 1; n <= N; n++)
        sent += c->node[n].n_sent;
    /* A second: 2 x 2 heartbeats and acks at 4 Hz, 6 x 2 support messages at 2 Hz. */
    assert_in_range(sent, 300, 420);
    calm_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cluster_new_elects_one_leader_at_once),
        cmocka_unit_test(proposal_is_chosen_everywhere),
        cmocka_unit_test(leader_that_steps_back_acknowledges_nothing_and_steps_down),
        cmocka_unit_test(leader_that_steps_ahead_acknowledges_nothing_early),
        cmocka_unit_test(leader_an_hour_ahead_has_no_lease_to_put_its_hour_into),
        cmocka_unit_test(voter_that_is_ahead_for_a_moment_hands_no_lease_over),
        cmocka_unit_test(voter_whose_clock_lies_costs_the_leader_nothing),
        cmocka_unit_test(leader_killed_next_leads_within_lease),
        cmocka_unit_test(leader_killed_and_back_at_once_does_not_delay_election),
        cmocka_unit_test(isolated_leader_suffix_is_cut_when_it_returns),
        cmocka_unit_test(candidate_with_short_log_takes_the_best),
        cmocka_unit_test(lagging_voter_catches_up_from_disk),
        cmocka_unit_test(all_restart_is_quiet_then_elects),
        cmocka_unit_test(release_lets_next_lead_at_once),
        cmocka_unit_test(released_cluster_restarts_without_waiting),
        cmocka_unit_test(returning_node_leaves_a_healthy_leader_alone),
        cmocka_unit_test(one_way_deaf_node_leaves_a_healthy_leader_alone),
        cmocka_unit_test(voter_with_higher_promise_is_won_back_in_place),
        cmocka_unit_test(idle_cluster_sends_little),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
