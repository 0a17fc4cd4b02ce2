/* A group changes: who belongs to it, who leads it, where its log begins. On a calm cluster. */
#include "tests/unit/storage/calm.h"

#include "base/check.h"

static struct paxos_config voters(size_t n, const node_id *nodes)
{
    struct paxos_config c;

    paxos_config_of(&c, nodes, n);
    return c;
}

static struct paxos_config with(struct paxos_config c, node_id node, enum paxos_part part)
{
    for (size_t i = 0; i < c.n; i++) {
        if (c.members[i].node == node) {
            c.members[i].part = (uint8_t)part;
            return c;
        }
    }
    c.members[c.n++] = (struct paxos_member){.node = node, .part = (uint8_t)part};
    return c;
}

static enum paxos_verdict change(struct cluster *c, node_id id, struct paxos_config want)
{
    calm_step(c, &c->node[id], (struct paxos_in){.kind = PAXOS_IN_RECONFIGURE, .config = &want});
    return c->node[id].out.verdict;
}

/* Until the change is taken, and what it asks for is in force and chosen. */
static void change_now(struct cluster *c, node_id id, struct paxos_config want)
{
    int64_t until = c->now + 2 * LEASE;
    enum paxos_verdict v;

    while ((v = change(c, id, want)) == PAXOS_BUSY && c->now < until)
        calm_run(c, MS);
    assert_int_equal(v, PAXOS_TAKEN);
    while (!paxos_config_equal(c->node[id].out.config, &want) ||
           c->node[id].out.config_slot > c->node[id].out.chosen) {
        assert_true(c->now < until);
        calm_run(c, MS);
    }
}

static enum paxos_verdict transfer(struct cluster *c, node_id from, node_id to, tstamp used)
{
    calm_step(c, &c->node[from],
              (struct paxos_in){.kind = PAXOS_IN_TRANSFER, .transfer = {.to = to, .used = used}});
    return c->node[from].out.verdict;
}

static const node_id first_three[] = {1, 2, 3};

static void truncate_log(struct cluster *c, node_id id, slot_no slot)
{
    calm_step(c, &c->node[id], (struct paxos_in){.kind = PAXOS_IN_TRUNCATE, .slot = slot});
}

static void laggard_below_the_head_gets_a_snapshot_and_goes_on(void **state)
{
    struct cluster *c = calm_new();
    node_id id = calm_wait_leader(c, 400 * MS);
    node_id lagging = id % N + 1;

    (void)state;
    calm_isolate(c, lagging, true);
    calm_propose_many(c, id, 50);
    truncate_log(c, id, 40);
    assert_int_equal(c->node[id].out.first, 41);
    assert_int_equal(c->node[id].head.first, 41);
    calm_isolate(c, lagging, false);
    calm_run(c, NS_PER_S);
    assert_int_equal(c->node[lagging].n_installed, 1);
    assert_int_equal(c->node[id].out.n_snapshot, 0);
    calm_propose_many(c, id, 5);
    calm_run(c, 300 * MS);
    assert_int_equal(c->node[lagging].out.chosen, c->node[id].out.chosen);
    assert_int_equal(c->node[lagging].out.apply, c->node[id].out.chosen);
    assert_int_equal(c->node[lagging].last, c->node[id].last);
    /* What it has now is enough to go on without the one that sent it. */
    calm_kill(c, lagging);
    calm_start(c, lagging);
    calm_kill(c, id);
    assert_true(calm_wait_leader(c, 2 * LEASE) != id);
    calm_propose_many(c, calm_leader(c), 3);
    calm_run(c, 300 * MS);
    assert_int_equal(c->node[lagging].out.chosen, c->node[calm_leader(c)].out.chosen);
    calm_free(c);
}

static void candidate_below_the_head_gives_up_and_follows(void **state)
{
    struct cluster *c = calm_new();
    node_id id = calm_wait_leader(c, 400 * MS);
    node_id lagging = id % N + 1, other = lagging % N + 1;

    (void)state;
    calm_isolate(c, lagging, true);
    calm_propose_many(c, id, 50);
    truncate_log(c, id, 45);
    truncate_log(c, other, 45);
    calm_kill(c, id);
    calm_isolate(c, lagging, false);
    calm_run(c, LEASE - 300 * MS);
    for (int i = 0; i < 300 && calm_leader(c) == 0; i++) { /* it may go first all the time */
        calm_step(c, &c->node[lagging], (struct paxos_in){.kind = PAXOS_IN_CAMPAIGN});
        calm_run(c, 5 * MS);
    }
    assert_int_equal(calm_wait_leader(c, 2 * LEASE), other);
    calm_run(c, NS_PER_S);
    assert_int_equal(c->node[lagging].n_installed, 1);
    calm_propose_many(c, other, 2);
    calm_run(c, 300 * MS);
    assert_int_equal(c->node[lagging].out.chosen, c->node[other].out.chosen);
    calm_free(c);
}

static void blank_node_takes_part_in_nothing(void **state)
{
    struct cluster *c = calm_new_of(4);

    (void)state;
    calm_start(c, 4);
    (void)calm_wait_leader(c, 400 * MS);
    calm_run(c, 3 * LEASE);
    assert_int_equal(c->node[4].out.role, PAXOS_FOLLOWER);
    assert_int_equal(c->node[4].out.ballot.round, 0);
    assert_int_equal(c->node[4].last, 0);
    assert_false(c->node[4].out.removed);
    calm_free(c);
}

static void learner_catches_up_and_is_promoted(void **state)
{
    struct cluster *c = calm_new_of(4);
    node_id id = calm_wait_leader(c, 400 * MS);
    struct paxos_config three = voters(3, first_three);
    struct paxos_config learns = with(three, 4, PAXOS_PART_LEARNER);
    struct paxos_config four = with(three, 4, PAXOS_PART_VOTER);

    (void)state;
    calm_propose_many(c, id, 20);
    assert_int_equal(change(c, id, four), PAXOS_BEHIND); /* a learner first */
    change_now(c, id, learns);
    calm_run(c, 100 * MS);
    assert_int_equal(change(c, id, four), PAXOS_BEHIND); /* nobody is there */
    calm_start(c, 4);
    calm_run(c, NS_PER_S);
    assert_int_equal(c->node[4].last, c->node[id].last);
    assert_int_equal(c->node[4].out.leader, id);
    change_now(c, id, four);
    calm_run(c, NS_PER_S);
    assert_true(paxos_config_equal(c->node[4].out.config, &four));
    /* Three of four are a quorum, two are not. */
    for (node_id n = 1, cut = 0; n <= 3 && cut < 2; n++) {
        if (n == id)
            continue;
        cut++;
        calm_isolate(c, n, true);
        (void)calm_propose(c, id, cut == 1 ? "three of four" : "two of four");
        calm_run(c, 50 * MS);
        if (cut == 1)
            assert_int_equal(c->node[id].out.chosen, c->node[id].out.last);
        else
            assert_true(c->node[id].out.chosen < c->node[id].out.last);
    }
    calm_free(c);
}

static void learner_counts_in_no_quorum(void **state)
{
    struct cluster *c = calm_new_of(4);
    node_id id = calm_wait_leader(c, 400 * MS);
    slot_no chosen;

    (void)state;
    calm_start(c, 4);
    change_now(c, id, with(voters(3, first_three), 4, PAXOS_PART_LEARNER));
    calm_run(c, 500 * MS);
    assert_int_equal(c->node[4].out.chosen, c->node[id].out.chosen);
    for (node_id n = 1; n <= 3; n++)
        if (n != id)
            calm_isolate(c, n, true);
    chosen = c->node[id].out.chosen;
    (void)calm_propose(c, id, "heard by a learner only");
    calm_run(c, 100 * MS);
    assert_int_equal(c->node[4].last, c->node[id].last);
    assert_int_equal(c->node[id].out.chosen, chosen);
    calm_run(c, 2 * LEASE); /* nor in the lease; nor does it lead itself */
    assert_int_equal(calm_leader(c), 0);
    assert_int_equal(c->node[4].out.role, PAXOS_FOLLOWER);
    calm_free(c);
}

static void new_node_behind_the_head_learns_by_snapshot(void **state)
{
    struct cluster *c = calm_new_of(4);
    node_id id = calm_wait_leader(c, 400 * MS);
    struct paxos_config three = voters(3, first_three);

    (void)state;
    calm_propose_many(c, id, 60);
    for (node_id n = 1; n <= 3; n++)
        truncate_log(c, n, 50);
    calm_start(c, 4);
    change_now(c, id, with(three, 4, PAXOS_PART_LEARNER));
    calm_run(c, NS_PER_S);
    assert_int_equal(c->node[4].n_installed, 1);
    change_now(c, id, with(three, 4, PAXOS_PART_VOTER));
    calm_run(c, 500 * MS);
    calm_kill(c, 4); /* what it knows of the group it has from the snapshot and the log */
    calm_start(c, 4);
    assert_int_equal(c->node[4].out.config->n, 4);
    calm_run(c, NS_PER_S);
    assert_int_equal(c->node[4].out.chosen, c->node[id].out.chosen);
    calm_free(c);
}

/* The lease that was told rests on the quorum before: the next change waits for it. */
static void second_change_waits_for_the_lease(void **state)
{
    struct cluster *c = calm_new_of(5);
    node_id id = calm_wait_leader(c, 400 * MS);
    struct paxos_config want = voters(3, first_three);
    tstamp told;

    (void)state;
    calm_start(c, 4);
    calm_start(c, 5);
    want = with(with(want, 4, PAXOS_PART_LEARNER), 5, PAXOS_PART_LEARNER);
    change_now(c, id, want);
    calm_run(c, LEASE);
    told = c->node[id].out.lease_end;
    want = with(want, 4, PAXOS_PART_VOTER);
    assert_int_equal(change(c, id, want), PAXOS_TAKEN);
    assert_int_equal(change(c, id, with(want, 5, PAXOS_PART_VOTER)), PAXOS_BUSY);
    calm_isolate(c, id % N + 1, true); /* three of four must do, one of them new */
    change_now(c, id, with(want, 5, PAXOS_PART_VOTER));
    assert_true(c->node[id].out.lease_end >= told || c->now > told);
    calm_free(c);
}

static void whole_group_moves_and_its_old_nodes_know_that_they_left(void **state)
{
    static const node_id other_three[] = {4, 5, 6};
    struct cluster *c = calm_new_of(6);
    node_id id = calm_wait_leader(c, 400 * MS), next;
    struct paxos_config old = voters(3, first_three), want = voters(3, other_three);
    struct paxos_config learn = old;
    int64_t began;

    (void)state;
    calm_propose_many(c, id, 10);
    for (node_id n = 4; n <= 6; n++) {
        calm_start(c, n);
        learn = with(learn, n, PAXOS_PART_LEARNER);
    }
    change_now(c, id, learn);
    calm_run(c, NS_PER_S);
    calm_forget_trace(c);
    assert_int_equal(change(c, id, want), PAXOS_TAKEN);
    calm_run(c, LEASE);
    assert_non_null(strstr(c->trace, "6 members, 3 voters, joint"));
    assert_true(paxos_config_equal(c->node[id].out.config, &want));
    assert_int_equal(calm_leader(c), id); /* it goes on, without a vote, until it is told */
    next = c->node[id].out.yield_to;
    assert_in_range(next, 4, 6);
    began = c->now;
    assert_int_equal(transfer(c, id, next, c->now), PAXOS_TAKEN);
    assert_int_equal(calm_wait_leader(c, 100 * MS), next);
    assert_true(c->now - began < 50 * MS);
    calm_run(c, NS_PER_S);
    for (node_id n = 1; n <= 3; n++) {
        assert_true(c->node[n].out.removed);
        calm_kill(c, n);
    }
    calm_run(c, 2 * LEASE);
    assert_int_equal(calm_leader(c), next);
    calm_propose_many(c, next, 10);
    assert_int_equal(c->node[next].out.chosen, c->node[next].out.last);
    calm_free(c);
}

/* A node that was removed behind its back asks, and is told by the log; the leader stays. */
static void removed_node_leaves_the_group_alone(void **state)
{
    struct cluster *c = calm_new();
    node_id id = calm_wait_leader(c, 400 * MS);
    node_id gone = id % N + 1;
    struct paxos_config two = {.joint = false};
    struct ballot ballot = c->node[id].out.ballot;

    (void)state;
    for (node_id n = 1; n <= 3; n++)
        if (n != gone)
            two = with(two, n, PAXOS_PART_VOTER);
    calm_isolate(c, gone, true);
    change_now(c, id, two);
    calm_run(c, 5 * LEASE);
    calm_isolate(c, gone, false);
    calm_run(c, 5 * LEASE);
    assert_int_equal(calm_leader(c), id);
    assert_int_equal(ballot_cmp(c->node[id].out.ballot, ballot), 0);
    assert_int_equal(c->node[gone].out.role == PAXOS_LEADER, 0);
    calm_free(c);
}

static void candidate_goes_on_to_the_quorum_of_the_configuration_it_finds(void **state)
{
    struct cluster *c = calm_new_of(4);
    node_id id = calm_wait_leader(c, 400 * MS);
    node_id knows = id % N + 1, not = knows % N + 1;
    struct paxos_config three = voters(3, first_three);

    (void)state;
    calm_start(c, 4);
    change_now(c, id, with(three, 4, PAXOS_PART_LEARNER));
    calm_run(c, LEASE);
    /* The new configuration reaches one other voter, and not the one that it makes a voter. */
    calm_isolate(c, not, true);
    calm_isolate(c, 4, true);
    assert_int_equal(change(c, id, with(three, 4, PAXOS_PART_VOTER)), PAXOS_TAKEN);
    calm_run(c, 20 * MS);
    assert_int_equal(c->node[knows].out.config_slot, c->node[id].out.config_slot);
    assert_true(c->node[id].out.config_slot > c->node[id].out.chosen);
    calm_kill(c, id);
    c->cut[not ][knows] = c->cut[knows][not ] = false;
    calm_run(c, LEASE);
    for (int i = 0; i < 100; i++) { /* two of three promise; that is no longer enough */
        calm_step(c, &c->node[not ], (struct paxos_in){.kind = PAXOS_IN_CAMPAIGN});
        calm_run(c, 10 * MS);
        assert_int_equal(calm_leader(c), 0);
    }
    assert_non_null(strstr(c->trace, "fetches"));
    assert_int_equal(c->node[not ].out.config->n, 4);
    calm_isolate(c, 4, false);
    (void)calm_wait_leader(c, 2 * LEASE);
    calm_propose_many(c, calm_leader(c), 3);
    calm_free(c);
}

static void transfer_is_quick_and_keeps_leases_apart(void **state)
{
    struct cluster *c = calm_new();
    node_id id = calm_wait_leader(c, 400 * MS);
    node_id next = id % N + 1;
    int64_t began;
    tstamp used;

    (void)state;
    calm_propose_many(c, id, 20);
    calm_run(c, LEASE);
    assert_int_equal(paxos_may_transfer(c->node[next].paxos, id), PAXOS_NOT_LEADER);
    assert_int_equal(paxos_may_transfer(c->node[id].paxos, id), PAXOS_FLAWED);
    assert_int_equal(paxos_may_transfer(c->node[id].paxos, 9), PAXOS_FLAWED);
    began = c->now;
    used = c->now + 3 * MS; /* promised to a reader whose clock is ahead */
    calm_step(c, &c->node[id],
              (struct paxos_in){
                  .kind = PAXOS_IN_TRANSFER,
                  .transfer = {.to = next, .used = used, .payload = bytes_str("last words")}});
    assert_int_equal(c->node[id].out.verdict, PAXOS_TAKEN);
    assert_false(c->node[id].out.room);
    assert_int_equal(transfer(c, id, next, used), PAXOS_BUSY);
    while (calm_leader(c) == id) /* until its last words are chosen */
        calm_run(c, MS / 10);
    assert_int_equal(calm_wait_leader(c, 100 * MS), next);
    assert_true(c->now - began < 50 * MS);
    assert_true(c->node[next].out.lease_start > used);
    assert_true(
        bytes_eq(c->node[next].log[c->node[next].last - 1].payload, bytes_str("last words")));
    calm_propose_many(c, next, 5);
    calm_run(c, 2 * LEASE);
    assert_int_equal(calm_leader(c), next);
    calm_assert_logs_equal(c, c->node[next].last);
    calm_free(c);
}

static void transfer_to_a_dead_node_is_made_good_by_another(void **state)
{
    struct cluster *c = calm_new();
    node_id id = calm_wait_leader(c, 400 * MS);
    node_id next = id % N + 1;

    (void)state;
    calm_propose_many(c, id, 2);
    calm_kill(c, next); /* a moment before: nobody has noticed */
    assert_int_equal(transfer(c, id, next, c->now), PAXOS_TAKEN);
    (void)calm_wait_leader(c, NS_PER_S);
    calm_run(c, NS_PER_S);
    assert_int_equal(paxos_may_transfer(c->node[calm_leader(c)].paxos, next), PAXOS_BEHIND);
    calm_free(c);
}

static void abdication_lets_any_other_lead(void **state)
{
    struct cluster *c = calm_new();
    node_id id = calm_wait_leader(c, 400 * MS);

    (void)state;
    calm_run(c, LEASE);
    assert_int_equal(transfer(c, id, 0, c->now), PAXOS_TAKEN);
    assert_int_not_equal(calm_wait_leader(c, 400 * MS), id);
    calm_run(c, 2 * LEASE);
    assert_true(calm_leader(c) != 0);
    calm_free(c);
}

static void preferred_replica_is_named_once_it_has_caught_up(void **state)
{
    struct cluster *c = calm_new();
    node_id id = calm_wait_leader(c, 400 * MS);
    node_id wanted = id % N + 1;
    struct paxos_config want = voters(3, first_three);

    (void)state;
    want.members[wanted - 1].preference = 5;
    calm_isolate(c, wanted, true);
    change_now(c, id, want);
    calm_run(c, LEASE);
    assert_int_equal(c->node[id].out.yield_to, 0); /* it does not answer */
    calm_isolate(c, wanted, false);
    calm_run(c, NS_PER_S);
    assert_int_equal(c->node[id].out.yield_to, wanted);
    assert_int_equal(transfer(c, id, wanted, c->now), PAXOS_TAKEN);
    assert_int_equal(calm_wait_leader(c, 100 * MS), wanted);
    calm_run(c, LEASE);
    assert_int_equal(c->node[wanted].out.yield_to, 0);
    calm_free(c);
}

static void witness_votes_never_leads_and_keeps_the_log(void **state)
{
    struct cluster *c = calm_new_of(4);
    node_id id = calm_wait_leader(c, 400 * MS);
    node_id other = id % N + 1, third = other % N + 1;
    struct paxos_config want = voters(3, first_three);

    (void)state;
    calm_start(c, 4);
    want = with(want, 4, PAXOS_PART_LEARNER);
    want.members[3].witness = true;
    change_now(c, id, want);
    calm_run(c, NS_PER_S);
    /* Two data voters and a witness. */
    want.members[3].part = PAXOS_PART_VOTER;
    for (size_t i = 0; i < want.n; i++)
        if (want.members[i].node == third)
            want.members[i] = want.members[--want.n];
    change_now(c, id, want);
    calm_run(c, NS_PER_S);
    calm_propose_many(c, id, 10);
    /* It drops only what every voter with data has checkpointed. */
    truncate_log(c, 4, 8);
    assert_int_equal(c->node[4].out.first, 1);
    calm_step(c, &c->node[id], (struct paxos_in){.kind = PAXOS_IN_CHECKPOINTED, .slot = 9});
    calm_step(c, &c->node[other], (struct paxos_in){.kind = PAXOS_IN_CHECKPOINTED, .slot = 5});
    calm_run(c, NS_PER_S);
    assert_int_equal(c->node[4].out.kept_all, 5);
    truncate_log(c, 4, 8);
    assert_int_equal(c->node[4].out.first, 6);
    /* With one data voter gone it is the quorum; with both gone it does not lead. */
    calm_kill(c, third);
    calm_kill(c, other);
    calm_propose_many(c, id, 3);
    assert_int_equal(c->node[id].out.chosen, c->node[id].out.last);
    calm_kill(c, id);
    calm_start(c, other); /* it lags: what it misses only the witness has */
    assert_int_equal(calm_wait_leader(c, 4 * LEASE), other);
    assert_int_equal(c->node[other].last, c->node[id].last + 1);
    assert_int_equal(c->node[4].out.role, PAXOS_FOLLOWER);
    calm_free(c);
}

static void confirm_needs_a_quorum_and_tells_how_far_chosen_is(void **state)
{
    struct cluster *c = calm_new();
    node_id id = calm_wait_leader(c, 400 * MS);
    node_id asks = id % N + 1, other = asks % N + 1;

    (void)state;
    calm_propose_many(c, id, 10);
    calm_isolate(c, asks, true);
    calm_propose_many(c, id, 5);
    calm_step(c, &c->node[asks], (struct paxos_in){.kind = PAXOS_IN_CONFIRM, .confirm = 77});
    calm_run(c, 500 * MS);
    assert_int_equal(c->node[asks].out.confirmed.number, 0);
    c->cut[asks][other] = c->cut[other][asks] = false;
    calm_run(c, 200 * MS);
    assert_int_equal(c->node[asks].out.confirmed.number, 77);
    assert_int_equal(c->node[asks].out.confirmed.bound, c->node[id].out.last);
    assert_in_range(c->node[asks].out.confirmed.chosen, 11, c->node[id].out.chosen);
    calm_free(c);
}

static void flawed_changes_are_refused(void **state)
{
    struct cluster *c = calm_new();
    node_id id = calm_wait_leader(c, 400 * MS);
    struct paxos_config three = voters(3, first_three), bad;

    (void)state;
    assert_int_equal(change(c, id % N + 1, three), PAXOS_NOT_LEADER);
    assert_int_equal(change(c, id, three), PAXOS_TAKEN); /* that is so already */
    bad = (struct paxos_config){.joint = false};
    assert_int_equal(change(c, id, bad), PAXOS_FLAWED);
    bad = three;
    bad.members[1].node = bad.members[0].node;
    assert_int_equal(change(c, id, bad), PAXOS_FLAWED);
    bad = three;
    bad.members[0].witness = true; /* for its life, or not at all */
    assert_int_equal(change(c, id, bad), PAXOS_FLAWED);
    bad = three;
    for (size_t i = 0; i < 3; i++)
        bad.members[i].part = PAXOS_PART_LEARNER;
    assert_int_equal(change(c, id, bad), PAXOS_FLAWED);
    assert_int_equal(c->node[id].out.config_slot, 0);
    calm_free(c);
}

static void config_codec_roundtrip_and_noise(void **state)
{
    static const node_id nodes[] = {1, 2, UINT32_MAX};
    struct paxos_config c = voters(3, nodes), got;
    struct buf b = {0};
    struct rd r;

    (void)state;
    c.joint = true;
    c.members[0].old_part = PAXOS_PART_VOTER;
    c.members[1].witness = true;
    c.members[2].preference = 200;
    paxos_config_encode(&b, &c);
    assert_true(b.len <= PAXOS_CONFIG_BYTES_MAX);
    r = rd_of(buf_bytes(&b));
    assert_true(paxos_config_decode(&r, &got) && rd_left(&r) == 0);
    assert_true(paxos_config_equal(&c, &got));
    for (size_t cut = 0; cut < b.len; cut++) {
        r = rd_of(bytes_of(b.ptr, cut));
        assert_false(paxos_config_decode(&r, &got));
    }
    for (size_t bit = 0; bit < 8 * b.len; bit++) {
        b.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
        r = rd_of(buf_bytes(&b));
        if (paxos_config_decode(&r, &got))
            assert_true(got.n == 0 || paxos_config_flaw(&got) == NULL);
        b.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(laggard_below_the_head_gets_a_snapshot_and_goes_on),
        cmocka_unit_test(candidate_below_the_head_gives_up_and_follows),
        cmocka_unit_test(blank_node_takes_part_in_nothing),
        cmocka_unit_test(learner_catches_up_and_is_promoted),
        cmocka_unit_test(learner_counts_in_no_quorum),
        cmocka_unit_test(new_node_behind_the_head_learns_by_snapshot),
        cmocka_unit_test(second_change_waits_for_the_lease),
        cmocka_unit_test(whole_group_moves_and_its_old_nodes_know_that_they_left),
        cmocka_unit_test(removed_node_leaves_the_group_alone),
        cmocka_unit_test(candidate_goes_on_to_the_quorum_of_the_configuration_it_finds),
        cmocka_unit_test(transfer_is_quick_and_keeps_leases_apart),
        cmocka_unit_test(transfer_to_a_dead_node_is_made_good_by_another),
        cmocka_unit_test(abdication_lets_any_other_lead),
        cmocka_unit_test(preferred_replica_is_named_once_it_has_caught_up),
        cmocka_unit_test(witness_votes_never_leads_and_keeps_the_log),
        cmocka_unit_test(confirm_needs_a_quorum_and_tells_how_far_chosen_is),
        cmocka_unit_test(flawed_changes_are_refused),
        cmocka_unit_test(config_codec_roundtrip_and_noise),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
