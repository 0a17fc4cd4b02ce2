/*
 * Clocks that suspect each other: a small world with true time, where messages take their time and clocks lie.
 */
#include "timesvc/tt_suspect.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/rng.h"

#define MS  ((int64_t)NS_PER_MS)
#define T0  (INT64_C(1800000000) * NS_PER_S)
#define EPS (200 * (int64_t)NS_PER_US)

enum { NODES_MAX = 5, LETTERS_MAX = 4096 };

struct letter {
    int64_t at;
    node_id from, to;
    struct buf report; /* owned */
};

struct node {
    struct tt_suspect *s;
    bool up, is_void, distrusted;
    int64_t error_ns, rate_ppm; /* of its clock; the bound does not know */
    int64_t rate_since;
    int64_t mono_base, wake;
    size_t n_changes, n_sent;
    char why[96];
};

struct world {
    size_t n;
    struct node node[NODES_MAX + 1];
    struct letter queue[LETTERS_MAX];
    size_t n_queue;
    int64_t now, delay_min, delay_max;
    struct rng rng;
};

static struct tt_interval clock_of(const struct world *w, const struct node *n)
{
    int64_t t = w->now + n->error_ns + (w->now - n->rate_since) * n->rate_ppm / 1000000;

    return n->is_void ? TT_VOID : (struct tt_interval){t - EPS, t + EPS};
}

static void start(struct world *w, node_id id, uint64_t incarnation)
{
    node_id peers[NODES_MAX];
    struct tt_suspect_options o = {.self = id, .incarnation = incarnation, .peers = peers};
    struct node *n = &w->node[id];

    for (node_id p = 1; p <= w->n; p++)
        if (p != id)
            peers[o.n_peers++] = p;
    n->mono_base = (int64_t)id * 1000 * NS_PER_S - w->now;
    n->wake = w->now + n->mono_base;
    n->s = tt_suspect_new(&o, n->wake);
    n->up = true;
    n->distrusted = false;
}

static struct world *world_new(size_t n)
{
    struct world *w = xcalloc(1, sizeof *w);

    w->n = n;
    w->now = T0;
    w->delay_min = MS / 10;
    w->delay_max = MS / 2;
    rng_seed(&w->rng, 42);
    for (node_id id = 1; id <= n; id++)
        start(w, id, 1);
    return w;
}

static void world_free(struct world *w)
{
    for (node_id id = 1; id <= w->n; id++)
        tt_suspect_free(w->node[id].s);
    for (size_t i = 0; i < w->n_queue; i++)
        buf_fini(&w->queue[i].report);
    free(w);
}

static void send(struct world *w, node_id from, node_id to)
{
    struct node *n = &w->node[from];
    struct tt_clock_report r;
    struct letter *l = &w->queue[w->n_queue++];

    assert_true(w->n_queue < LETTERS_MAX);
    tt_suspect_compose(n->s, to, clock_of(w, n), w->now + n->mono_base, &r);
    r.distrusted = n->distrusted;
    *l = (struct letter){
        .from = from, .to = to, .at = w->now + rng_between(&w->rng, w->delay_min, w->delay_max)};
    tt_clock_report_encode(&l->report, &r);
    n->n_sent++;
}

static void step(struct world *w, node_id id, struct tt_suspect_in in)
{
    struct node *n = &w->node[id];
    struct tt_suspect_out out;

    in.now = in.at = clock_of(w, n);
    in.mono_ns = in.arrived_mono_ns = w->now + n->mono_base;
    tt_suspect_step(n->s, &in, &out);
    assert_int_equal(out.changed, out.distrusted != n->distrusted);
    n->distrusted = out.distrusted;
    n->n_changes += out.changed;
    n->wake = out.wake_mono_ns;
    assert_true(n->wake > in.mono_ns);
    if (out.changed)
        (void)snprintf(n->why, sizeof n->why, "%s", out.why);
    for (size_t i = 0; i < out.n_send; i++)
        send(w, id, out.send[i]);
}

static void deliver(struct world *w, size_t i)
{
    struct letter l = w->queue[i];
    struct tt_clock_report r;
    struct rd rd = rd_of(buf_bytes(&l.report));

    w->queue[i] = w->queue[--w->n_queue];
    assert_true(tt_clock_report_decode(&rd, &r));
    if (w->node[l.to].up && w->node[l.from].up)
        step(w, l.to,
             (struct tt_suspect_in){.kind = TT_SUSPECT_REPORT, .from = l.from, .report = &r});
    buf_fini(&l.report);
}

static void run(struct world *w, int64_t ns)
{
    for (int64_t end = w->now + ns; w->now < end; w->now += 50 * NS_PER_US) {
        for (size_t i = w->n_queue; i-- > 0;)
            if (w->queue[i].at <= w->now)
                deliver(w, i);
        for (node_id id = 1; id <= w->n; id++)
            if (w->node[id].up && w->now + w->node[id].mono_base >= w->node[id].wake)
                step(w, id, (struct tt_suspect_in){.kind = TT_SUSPECT_TICK});
    }
}

static void lie(struct world *w, node_id id, int64_t error_ns, int64_t rate_ppm)
{
    w->node[id].error_ns = error_ns;
    w->node[id].rate_ppm = rate_ppm;
    w->node[id].rate_since = w->now;
}

static int64_t run_until(struct world *w, node_id id, bool distrusted, int64_t limit_ns)
{
    int64_t began = w->now;

    while (w->node[id].distrusted != distrusted && w->now - began <= limit_ns)
        run(w, MS);
    return w->now - began;
}

static struct tt_pair pair_of(struct world *w, node_id id, node_id peer)
{
    struct tt_pair pairs[TT_SUSPECT_PEERS_MAX];
    size_t n = tt_suspect_pairs(w->node[id].s, w->now + w->node[id].mono_base, pairs);

    for (size_t i = 0; i < n; i++)
        if (pairs[i].node == peer)
            return pairs[i];
    fail();
    return pairs[0];
}

static void right_clocks_are_never_suspected(void **state)
{
    struct world *w = world_new(5);

    (void)state;
    w->delay_max = 700 * MS; /* late and out of order */
    for (int round = 0; round < 200; round++) {
        for (node_id id = 1; id <= 5; id++)
            lie(w, id, rng_between(&w->rng, -EPS, EPS), 0);
        run(w, 300 * MS);
    }
    for (node_id id = 1; id <= 5; id++) {
        assert_int_equal(w->node[id].n_changes, 0);
        for (node_id peer = 1; peer <= 5; peer++)
            if (peer != id)
                assert_int_equal(pair_of(w, id, peer).contradictions, 0);
    }
    world_free(w);
}

/* A lie of every kind: the liar alone gives up, soon; and is back soon after it is right again. */
static void liar_distrusts_itself_and_comes_back(void **state)
{
    static const struct {
        int64_t error_ns, rate_ppm;
    } lies[] = {{500 * MS, 0},         {-500 * MS, 0}, {0, 2000},   {0, -2000},
                {3600 * 1000 * MS, 0}, {2 * MS, 0},    {-2 * MS, 0}};

    (void)state;
    for (size_t n = 3; n <= 5; n += 2)
        for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
            struct world *w = world_new(n);

            run(w, 1234 * MS);
            lie(w, 2, lies[i].error_ns, lies[i].rate_ppm);
            assert_true(run_until(w, 2, true, 2000 * MS) <= 2000 * MS);
            run(w, 5000 * MS);
            assert_true(w->node[2].distrusted);
            lie(w, 2, 0, 0);
            assert_true(run_until(w, 2, false, 2000 * MS) <= 2000 * MS);
            run(w, 5000 * MS);
            assert_int_equal(w->node[2].n_changes, 2);
            for (node_id id = 1; id <= n; id++)
                assert_true(id == 2 || w->node[id].n_changes == 0);
            world_free(w);
        }
}

static void stepping_clock_is_distrusted_while_it_steps(void **state)
{
    struct world *w = world_new(3);

    (void)state;
    run(w, 2000 * MS);
    for (int i = 0; i < 20; i++) { /* now 300 ms ahead, now right, by turns too short for trust */
        lie(w, 3, i % 2 == 0 ? 300 * MS : 0, 0);
        run(w, 350 * MS);
        assert_true(i < 4 || w->node[3].distrusted);
    }
    assert_false(w->node[1].distrusted);
    assert_false(w->node[2].distrusted);
    lie(w, 3, 0, 0);
    assert_true(run_until(w, 3, false, 2000 * MS) <= 2000 * MS);
    world_free(w);
}

static void reason_names_who_contradicts(void **state)
{
    struct world *w = world_new(3);

    (void)state;
    run(w, 2000 * MS);
    lie(w, 2, -500 * MS, 0);
    run(w, 2000 * MS);
    assert_string_equal(w->node[2].why, "contradicted by nodes 1, 3");
    assert_int_equal(pair_of(w, 2, 1).view, TT_PEER_AHEAD);
    assert_int_equal(pair_of(w, 1, 2).view, TT_PEER_BEHIND);
    assert_int_equal(pair_of(w, 1, 3).view, TT_PEER_AGREES);
    assert_true(pair_of(w, 2, 1).contradictions > 0);
    assert_int_equal(pair_of(w, 1, 2).contradictions, 0); /* it was never ahead of 1 */
    world_free(w);
}

/* Two that contradict each other, and nobody to ask: neither may be believed. The third one's return decides. */
static void two_alone_that_disagree_both_stop_until_a_third_decides(void **state)
{
    struct world *w = world_new(3);

    (void)state;
    run(w, 2000 * MS);
    w->node[3].up = false;
    run(w, 4000 * MS);
    assert_false(w->node[1].distrusted || w->node[2].distrusted);
    lie(w, 2, 500 * MS, 0);
    assert_true(run_until(w, 1, true, 2000 * MS) <= 2000 * MS);
    assert_true(run_until(w, 2, true, 2000 * MS) <= 2000 * MS);
    run(w, 10000 * MS);
    tt_suspect_free(w->node[3].s);
    start(w, 3, 2);
    assert_true(run_until(w, 1, false, 2000 * MS) <= 2000 * MS);
    run(w, 3000 * MS);
    assert_true(w->node[2].distrusted);
    assert_false(w->node[1].distrusted || w->node[3].distrusted);
    world_free(w);
}

static void members_that_never_came_do_not_count(void **state)
{
    struct world *w = world_new(5);

    (void)state;
    w->node[4].up = w->node[5].up = false;
    run(w, 2000 * MS);
    lie(w, 2, 500 * MS, 0);
    run(w, 4000 * MS);
    assert_true(w->node[2].distrusted);
    assert_false(w->node[1].distrusted || w->node[3].distrusted);
    world_free(w);
}

/* It was contradicted, then hears nobody: silence is no proof that it is right again. */
static void silence_restores_no_trust_and_takes_none(void **state)
{
    struct world *w = world_new(3);

    (void)state;
    run(w, 2000 * MS);
    lie(w, 1, 500 * MS, 0);
    run(w, 2000 * MS);
    assert_true(w->node[1].distrusted);
    w->node[2].up = w->node[3].up = false;
    run(w, 20000 * MS);
    assert_true(w->node[1].distrusted);
    assert_int_equal(pair_of(w, 1, 2).view, TT_PEER_UNKNOWN);
    world_free(w);

    w = world_new(3);
    run(w, 2000 * MS);
    w->node[2].up = w->node[3].up = false;
    run(w, 20000 * MS);
    assert_false(w->node[1].distrusted);
    world_free(w);
}

static void void_clock_is_not_judged_and_vouches_for_nobody(void **state)
{
    struct world *w = world_new(3);

    (void)state;
    run(w, 2000 * MS);
    w->node[3].is_void = true;
    run(w, 4000 * MS);
    for (node_id id = 1; id <= 3; id++)
        assert_false(w->node[id].distrusted);
    assert_int_equal(pair_of(w, 1, 3).view, TT_PEER_UNKNOWN);
    lie(w, 2, 500 * MS, 0); /* two that disagree, and one that cannot tell */
    run(w, 2000 * MS);
    assert_true(w->node[1].distrusted && w->node[2].distrusted);
    w->node[3].is_void = false;
    run(w, 2000 * MS);
    assert_true(!w->node[1].distrusted && w->node[2].distrusted);
    world_free(w);
}

static void message_that_is_ahead_is_counted_and_told(void **state)
{
    struct world *w = world_new(3);
    struct tt_interval ours;
    struct tt_suspect_out out;
    struct tt_suspect_in in = {.kind = TT_SUSPECT_HEARD, .from = 2};

    (void)state;
    run(w, 2000 * MS);
    in.now = in.at = ours = clock_of(w, &w->node[1]);
    in.mono_ns = in.arrived_mono_ns = w->now + w->node[1].mono_base;
    in.theirs = (struct tt_interval){ours.latest, ours.latest + 1};
    tt_suspect_step(w->node[1].s, &in, &out);
    assert_false(out.contradicts_new); /* at the edge both may be right */
    in.theirs.earliest++;
    tt_suspect_step(w->node[1].s, &in, &out);
    assert_true(out.contradicts_new && !out.distrusted);
    assert_int_equal(out.n_send, 1); /* node 2 does not know yet */
    assert_int_equal(out.send[0], 2);
    tt_suspect_step(w->node[1].s, &in, &out);
    assert_false(out.contradicts_new);
    assert_int_equal(pair_of(w, 1, 2).contradictions, 2);
    world_free(w);
}

static void offset_is_right_within_half_a_round_trip(void **state)
{
    struct world *w = world_new(3);

    (void)state;
    w->delay_max = 20 * MS;
    lie(w, 2, 77 * MS, 0);
    assert_int_equal(pair_of(w, 1, 2).rtt_ns, -1);
    run(w, 5000 * MS);
    for (node_id id = 1; id <= 3; id += 2) {
        struct tt_pair there = pair_of(w, id, 2), back = pair_of(w, 2, id);

        assert_true(there.rtt_ns > 0 && there.rtt_ns <= 41 * MS);
        assert_in_range(there.offset_ns, 77 * MS - there.rtt_ns / 2, 77 * MS + there.rtt_ns / 2);
        assert_in_range(-back.offset_ns, 77 * MS - back.rtt_ns / 2, 77 * MS + back.rtt_ns / 2);
    }
    world_free(w);
}

static void offset_of_a_clock_that_was_wrong_is_forgotten(void **state)
{
    struct world *w = world_new(3);

    (void)state;
    run(w, 2000 * MS);
    lie(w, 2, 500 * MS, 0);
    run(w, 4000 * MS);
    assert_true(llabs(pair_of(w, 2, 1).offset_ns + 500 * MS) < MS);
    lie(w, 2, 0, 0);
    run(w, 3000 * MS);
    assert_false(w->node[2].distrusted);
    for (node_id id = 2; id <= 3; id++)
        assert_true(llabs(pair_of(w, id, id == 2 ? 1 : 2).offset_ns) < MS);
    world_free(w);
}

static void quiet_cluster_sends_four_reports_in_three_seconds(void **state)
{
    struct world *w = world_new(3);
    size_t before;

    (void)state;
    run(w, 1000 * MS);
    before = w->node[1].n_sent;
    run(w, 12000 * MS);
    assert_in_range(w->node[1].n_sent - before, 30, 34); /* to two peers */
    world_free(w);
}

static void alone_it_is_never_distrusted(void **state)
{
    struct tt_suspect_options o = {.self = 1, .incarnation = 1};
    struct tt_suspect *s = tt_suspect_new(&o, 5);
    struct tt_suspect_in in = {.kind = TT_SUSPECT_TICK, .now = {1, 2}, .mono_ns = 10};
    struct tt_suspect_out out;

    (void)state;
    tt_suspect_step(s, &in, &out);
    assert_false(out.distrusted || out.n_send > 0);
    assert_true(out.wake_mono_ns > 10);
    in.kind = TT_SUSPECT_HEARD; /* of a stranger */
    in.from = 9;
    in.theirs = (struct tt_interval){100, 101};
    tt_suspect_step(s, &in, &out);
    assert_false(out.contradicts_new || out.distrusted);
    tt_suspect_free(s);
}

static void codec_roundtrip_and_noise(void **state)
{
    struct world *w = world_new(5);
    struct tt_clock_report a, b;
    struct buf text = {0}, again = {0};
    struct rd rd;

    (void)state;
    lie(w, 2, 500 * MS, 0);
    run(w, 3000 * MS);
    tt_suspect_compose(w->node[1].s, 2, clock_of(w, &w->node[1]), w->now, &a);
    (void)snprintf(a.source, sizeof a.source, "fixed:200us");
    (void)snprintf(a.why, sizeof a.why, "because");
    a.bound_ns = -1;
    a.age_ns = 77;
    tt_clock_report_encode(&text, &a);
    rd = rd_of(buf_bytes(&text));
    assert_true(tt_clock_report_decode(&rd, &b));
    assert_int_equal(rd_left(&rd), 0);
    tt_clock_report_encode(&again, &b);
    assert_true(bytes_eq(buf_bytes(&text), buf_bytes(&again)));
    buf_fini(&again);
    for (size_t len = 0; len < text.len; len++) {
        rd = rd_of(bytes_of(text.ptr, len));
        assert_false(tt_clock_report_decode(&rd, &b));
    }
    for (int i = 0; i < 20000; i++) { /* noise may be malformed or strange, never worse */
        struct tt_suspect_in in = {.kind = TT_SUSPECT_REPORT, .from = 2, .report = &b};
        size_t at = (size_t)rng_between(&w->rng, 0, (int64_t)text.len - 1);
        uint8_t was = text.ptr[at];

        text.ptr[at] = (uint8_t)rng_next(&w->rng);
        rd = rd_of(buf_bytes(&text));
        if (tt_clock_report_decode(&rd, &b))
            step(w, 1, in);
        text.ptr[at] = was;
    }
    buf_fini(&text);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(right_clocks_are_never_suspected),
        cmocka_unit_test(liar_distrusts_itself_and_comes_back),
        cmocka_unit_test(stepping_clock_is_distrusted_while_it_steps),
        cmocka_unit_test(reason_names_who_contradicts),
        cmocka_unit_test(two_alone_that_disagree_both_stop_until_a_third_decides),
        cmocka_unit_test(members_that_never_came_do_not_count),
        cmocka_unit_test(silence_restores_no_trust_and_takes_none),
        cmocka_unit_test(void_clock_is_not_judged_and_vouches_for_nobody),
        cmocka_unit_test(message_that_is_ahead_is_counted_and_told),
        cmocka_unit_test(offset_is_right_within_half_a_round_trip),
        cmocka_unit_test(offset_of_a_clock_that_was_wrong_is_forgotten),
        cmocka_unit_test(quiet_cluster_sends_four_reports_in_three_seconds),
        cmocka_unit_test(alone_it_is_never_distrusted),
        cmocka_unit_test(codec_roundtrip_and_noise),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
