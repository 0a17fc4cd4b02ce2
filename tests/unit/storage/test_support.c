/* Leases between two nodes: who may rely on what, until when. */
#include "storage/paxos/support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/rng.h"

#define LEASE (INT64_C(2) * NS_PER_S)
#define CAP   (INT64_C(500) * NS_PER_MS)
#define T0    (INT64_C(1000) * NS_PER_S)

static struct tt_interval at(int64_t true_ns, int64_t bound_ns)
{
    return (struct tt_interval){true_ns - bound_ns, true_ns + bound_ns};
}

static struct support *make(node_id self, node_id peer, uint64_t incarnation, bool is_new,
                            struct tt_interval now)
{
    struct support_options o = {.self = self,
                                .incarnation = incarnation,
                                .peers = &peer,
                                .n_peers = 1,
                                .lease_ns = LEASE,
                                .renew_ns = LEASE / 4,
                                .sync_age_max_ns = LEASE,
                                .store_is_new = is_new,
                                .longest_lease_ns = LEASE,
                                .bound_cap_ns = CAP};

    return support_new(&o, now, 1);
}

/* Monotonic time by which everything that a test gave has ended: there the calendar decides. */
#define MONO_LATE (10 * LEASE)

static void synced(struct support *s, struct tt_interval now, int64_t mono)
{
    struct support_out out;

    support_step(s, &(struct support_in){.kind = SUPPORT_IN_SYNCED, .now = now, .mono_ns = mono},
                 &out);
}

/* The message that a step sends to its only peer; kind 0 if it sends none of that kind. */
static struct support_msg step_for(struct support *s, struct support_in in, enum support_kind kind)
{
    struct support_out out;

    support_step(s, &in, &out);
    for (size_t i = 0; i < out.n_send; i++)
        if (out.send[i].msg.kind == kind)
            return out.send[i].msg;
    return (struct support_msg){.from = 0};
}

static struct support_msg tick(struct support *s, struct tt_interval now, int64_t mono)
{
    return step_for(s, (struct support_in){.kind = SUPPORT_IN_TICK, .now = now, .mono_ns = mono},
                    SUPPORT_REQUEST);
}

static struct support_msg give(struct support *s, struct support_msg m, struct tt_interval now,
                               int64_t mono)
{
    return step_for(
        s, (struct support_in){.kind = SUPPORT_IN_MESSAGE, .now = now, .mono_ns = mono, .msg = m},
        SUPPORT_GRANT);
}

struct pair {
    struct support *a, *b;
};

static struct pair pair_new(void)
{
    struct pair p = {make(1, 2, 1, true, at(T0, NS_PER_MS)),
                     make(2, 1, 1, true, at(T0, NS_PER_MS))};

    synced(p.b, at(T0, NS_PER_MS), 1); /* its first requests are lost */
    return p;
}

static void pair_free(struct pair *p)
{
    support_free(p->a);
    support_free(p->b);
}

static void grant_reliance_ends_before_givers_end(void **state)
{
    struct pair p = pair_new();
    uint64_t epoch_a, epoch_b;
    tstamp until;
    struct support_msg ask = tick(p.a, at(T0, 3 * NS_PER_MS), 2);
    struct support_msg grant = give(p.b, ask, at(T0 + 500, 2 * NS_PER_MS), 600);

    (void)state;
    assert_int_equal(grant.kind, SUPPORT_GRANT);
    (void)give(p.a, grant, at(T0 + 9000, 3 * NS_PER_MS), 9000);
    assert_true(support_received(p.a, 2, &epoch_a, &until));
    /* L1: from the own earliest before the request left, whenever the answer comes. */
    assert_int_equal(until, T0 - 3 * NS_PER_MS + LEASE);
    assert_true(support_given(p.b, 1, at(T0 + 1000, NS_PER_MS), &epoch_b));
    assert_int_equal(epoch_a, epoch_b);
    assert_int_equal(support_lapses_at(p.b, 1, epoch_b), T0 + 500 + 2 * NS_PER_MS + LEASE);
    assert_true(until < support_lapses_at(p.b, 1, epoch_b));
    pair_free(&p);
}

static void lapse_needs_givers_earliest_beyond_end(void **state)
{
    struct pair p = pair_new();
    uint64_t epoch = 0;
    int64_t end;

    (void)state;
    (void)give(p.b, tick(p.a, at(T0, 0), 2), at(T0, NS_PER_MS), 3);
    assert_true(support_given(p.b, 1, at(T0, NS_PER_MS), &epoch));
    end = T0 + NS_PER_MS + LEASE;
    assert_false(support_lapsed(p.b, 1, epoch, at(end + NS_PER_MS, NS_PER_MS), MONO_LATE));
    assert_false(support_lapsed(p.b, 1, epoch, TT_VOID, MONO_LATE));
    assert_true(support_lapsed(p.b, 1, epoch, at(end + NS_PER_MS + 1, NS_PER_MS), MONO_LATE));
    pair_free(&p);
}

/* The giver's calendar jumps, or was slow when it gave and is put right: the receiver knows nothing of it. */
static void lapse_needs_the_length_on_the_monotonic_clock_too(void **state)
{
    struct pair p = pair_new();
    uint64_t epoch = 0;
    int64_t gave = 3 + LEASE / 2, passed = gave + LEASE + LEASE / 4096;
    struct tt_interval far = at(T0 + 100 * LEASE, NS_PER_MS);

    (void)state;
    (void)give(p.b, tick(p.a, at(T0, 0), 2), at(T0, NS_PER_MS), 3);
    (void)give(p.b, tick(p.a, at(T0, 0), LEASE / 2), at(T0, NS_PER_MS), gave); /* it stands still */
    assert_true(support_given(p.b, 1, at(T0, NS_PER_MS), &epoch));
    assert_false(support_lapsed(p.b, 1, epoch, far, 4));
    assert_false(support_lapsed(p.b, 1, epoch, far, passed - 1));
    assert_true(support_lapsed(p.b, 1, epoch, far, passed));
    pair_free(&p);
}

static void lapse_once_seen_ends_epoch_for_good(void **state)
{
    struct pair p = pair_new();
    uint64_t first = 0, second = 0;
    int64_t late = T0 + LEASE + 10 * NS_PER_MS;

    (void)state;
    (void)give(p.b, tick(p.a, at(T0, 0), 2), at(T0, NS_PER_MS), 3);
    assert_true(support_given(p.b, 1, at(T0, NS_PER_MS), &first));
    assert_true(support_lapsed(p.b, 1, first, at(late, NS_PER_MS), MONO_LATE));
    /* The clock's next reading is wider: the epoch must not come back to life. */
    assert_false(support_given(p.b, 1, at(late, 100 * NS_PER_MS), &second));
    synced(p.b, at(late, NS_PER_MS), LEASE);
    (void)give(p.b, tick(p.a, at(late, 0), LEASE), at(late, NS_PER_MS), LEASE + 1);
    assert_true(support_given(p.b, 1, at(late, NS_PER_MS), &second));
    assert_true(second > first);
    pair_free(&p);
}

static void epoch_renewed_in_time_goes_on(void **state)
{
    struct pair p = pair_new();
    uint64_t first = 0, second = 0;
    tstamp until;

    (void)state;
    (void)give(p.a, give(p.b, tick(p.a, at(T0, 0), 2), at(T0, 0), 3), at(T0, 0), 4);
    assert_true(support_received(p.a, 2, &first, &until));
    (void)give(
        p.a,
        give(p.b, tick(p.a, at(T0 + LEASE / 2, 0), LEASE / 2), at(T0 + LEASE / 2, 0), LEASE / 2),
        at(T0 + LEASE / 2, 0), LEASE / 2 + 1);
    assert_true(support_received(p.a, 2, &second, &until));
    assert_int_equal(first, second);
    assert_int_equal(until, T0 + LEASE / 2 + LEASE);
    pair_free(&p);
}

static void unsynced_giver_gives_nothing(void **state)
{
    struct support *a = make(1, 2, 1, true, at(T0, 0));
    struct support *b = make(2, 1, 1, true, at(T0, 0));
    struct support_out out;

    (void)state;
    assert_int_equal(give(b, tick(a, at(T0, 0), 2), at(T0, 0), 3).kind, 0);
    synced(b, at(T0, 0), 4);
    assert_int_equal(give(b, tick(a, at(T0, 0), LEASE), at(T0, 0), 5).kind, SUPPORT_GRANT);
    /* L8: its last sync is too old. */
    assert_int_equal(give(b, tick(a, at(T0, 0), 2 * LEASE), at(T0, 0), LEASE + 5).kind, 0);
    support_step(
        b, &(struct support_in){.kind = SUPPORT_IN_TICK, .now = at(T0, 0), .mono_ns = LEASE + 6},
        &out);
    assert_true(out.want_sync);
    support_free(a);
    support_free(b);
}

static void request_before_first_sync_is_answered_by_it(void **state)
{
    struct support *a = make(1, 2, 1, true, at(T0, 0));
    struct support *b = make(2, 1, 1, true, at(T0, 0));
    struct support_msg grant;
    uint64_t epoch;
    tstamp until;

    (void)state;
    assert_int_equal(give(b, tick(a, at(T0, 0), 2), at(T0, 0), 3).kind, 0);
    grant = step_for(
        b, (struct support_in){.kind = SUPPORT_IN_SYNCED, .now = at(T0 + 9, 0), .mono_ns = 12},
        SUPPORT_GRANT);
    (void)give(a, grant, at(T0 + 10, 0), 13);
    assert_true(support_received(a, 2, &epoch, &until));
    assert_int_equal(until, T0 + LEASE); /* still from when it was asked */
    assert_int_equal(support_lapses_at(b, 1, epoch), T0 + 9 + LEASE);
    support_free(a);
    support_free(b);
}

static void void_time_gives_and_believes_nothing(void **state)
{
    struct pair p = pair_new();
    uint64_t epoch;
    tstamp until;
    struct support_msg ask = tick(p.a, at(T0, 0), 2);
    struct support_msg grant;

    (void)state;
    assert_int_equal(give(p.b, ask, TT_VOID, 3).kind, 0);
    assert_int_equal(give(p.b, ask, at(T0, 2 * CAP), 3).kind, 0); /* wider than is accepted */
    grant = give(p.b, ask, at(T0, 0), 3);
    (void)give(p.a, grant, TT_VOID, 4);
    assert_false(support_received(p.a, 2, &epoch, &until));
    assert_int_equal(tick(p.a, TT_VOID, LEASE).kind, 0);
    pair_free(&p);
}

static void grant_of_foreign_or_old_request_is_ignored(void **state)
{
    struct pair p = pair_new();
    uint64_t epoch;
    tstamp until;
    struct support_msg grant = give(p.b, tick(p.a, at(T0, 0), 2), at(T0, 0), 3);
    struct support_msg bad = grant;

    (void)state;
    bad.nonce += 1;
    (void)give(p.a, bad, at(T0, 0), 4);
    bad = grant;
    bad.to_incarnation += 1;
    (void)give(p.a, bad, at(T0, 0), 4);
    bad = grant;
    bad.lease_ns = LEASE + 1; /* longer than any that was configured */
    (void)give(p.a, bad, at(T0, 0), 4);
    bad.lease_ns = -1;
    (void)give(p.a, bad, at(T0, 0), 4);
    bad = grant;
    bad.from = 9;
    (void)give(p.a, bad, at(T0, 0), 4);
    assert_false(support_received(p.a, 2, &epoch, &until));
    (void)give(p.a, grant, at(T0, 0), 4);
    assert_true(support_received(p.a, 2, &epoch, &until));
    pair_free(&p);
}

static void restarted_peer_gets_new_epoch_and_old_end_stands(void **state)
{
    struct pair p = pair_new();
    uint64_t first = 0, second = 0;
    struct support *again = make(1, 2, 2, false, at(T0 + NS_PER_S, 0));
    struct support_msg old = tick(p.a, at(T0, 0), 2);

    (void)state;
    (void)give(p.b, old, at(T0, 0), 3);
    assert_true(support_given(p.b, 1, at(T0, 0), &first));
    (void)give(p.b, tick(again, at(T0 + NS_PER_S, 0), 2), at(T0 + NS_PER_S, 0), NS_PER_S);
    assert_true(support_given(p.b, 1, at(T0 + NS_PER_S, 0), &second));
    assert_true(second > first);
    /* What the dead incarnation was given stands until its end, and no longer. */
    assert_false(support_lapsed(p.b, 1, first, at(T0 + LEASE, 0), MONO_LATE));
    assert_true(support_lapsed(p.b, 1, first, at(T0 + LEASE + 1, 0), MONO_LATE));
    assert_false(support_lapsed(p.b, 1, second, at(T0 + LEASE + 1, 0), MONO_LATE));
    /* A late message of the dead incarnation changes nothing. */
    assert_int_equal(give(p.b, old, at(T0 + NS_PER_S, 0), NS_PER_S).kind, 0);
    support_free(again);
    pair_free(&p);
}

static void restarted_giver_is_quiet_until_its_old_gifts_have_lapsed(void **state)
{
    struct support *b = make(2, 1, 2, false, at(T0, NS_PER_MS));
    int64_t over = T0 + NS_PER_MS + LEASE + CAP;

    (void)state;
    assert_true(support_quiet(b, at(T0, NS_PER_MS)));
    assert_false(support_lapsed(b, 1, 0, at(T0 + LEASE, NS_PER_MS), MONO_LATE));
    assert_true(support_quiet(b, at(over + NS_PER_MS, NS_PER_MS)));
    assert_false(support_quiet(b, at(over + NS_PER_MS + 1, NS_PER_MS)));
    assert_true(support_lapsed(b, 1, 0, at(over + NS_PER_MS + 2, NS_PER_MS), MONO_LATE));
    assert_int_equal(support_quiet_until(b), 0);
    support_free(b);
}

static void restarted_giver_without_time_is_quiet_from_its_first_time(void **state)
{
    struct support *b = make(2, 1, 2, false, TT_VOID);

    (void)state;
    assert_true(support_quiet(b, TT_VOID));
    assert_true(support_quiet_until(b) == TSTAMP_MAX);
    (void)tick(b, at(T0, 0), 2);
    assert_int_equal(support_quiet_until(b), T0 + LEASE + CAP);
    assert_false(support_quiet(b, at(T0 + LEASE + CAP + 1, 0)));
    support_free(b);
}

static void idle_pair_asks_once_per_renewal(void **state)
{
    struct pair p = pair_new();
    struct support_out out;
    int64_t mono = 2;
    int asked = 0;

    (void)state;
    while (mono < 10 * LEASE) {
        support_step(
            p.a,
            &(struct support_in){.kind = SUPPORT_IN_TICK, .now = at(T0 + mono, 0), .mono_ns = mono},
            &out);
        asked += (int)out.n_send;
        assert_true(out.wake_mono_ns > mono);
        mono = out.wake_mono_ns;
    }
    assert_in_range(asked, 39, 42);
    pair_free(&p);
}

static void peer_that_joined_is_asked_and_supported(void **state)
{
    struct support *s = make(1, 2, 1, true, at(T0, NS_PER_MS));
    struct support_msg ask = {.kind = SUPPORT_REQUEST, .from = 3, .incarnation = 1, .nonce = 1};
    struct support_out out;
    bool asked = false;

    (void)state;
    synced(s, at(T0, NS_PER_MS), 1);
    assert_int_equal(give(s, ask, at(T0, NS_PER_MS), 2).kind, 0); /* a stranger */
    assert_true(support_add_peer(s, 3));
    assert_false(support_add_peer(s, 3));
    support_step(
        s, &(struct support_in){.kind = SUPPORT_IN_TICK, .now = at(T0, NS_PER_MS), .mono_ns = 3},
        &out);
    for (size_t i = 0; i < out.n_send; i++)
        asked |= out.send[i].to == 3 && out.send[i].msg.kind == SUPPORT_REQUEST;
    assert_true(asked);
    assert_int_equal(give(s, ask, at(T0, NS_PER_MS), 4).kind, SUPPORT_GRANT);
    for (node_id n = 4; n < SUPPORT_PEERS_MAX + 2; n++)
        assert_true(support_add_peer(s, n));
    assert_false(support_add_peer(s, SUPPORT_PEERS_MAX + 2));
    support_free(s);
}

static void codec_roundtrip_and_noise(void **state)
{
    struct support_msg m = {SUPPORT_GRANT, 7, 8, 9, UINT64_MAX, UINT64_C(1) << 40, LEASE}, got;
    struct buf b = {0};
    struct rd r;
    struct rng rng;

    (void)state;
    support_msg_encode(&b, &m);
    r = rd_of(buf_bytes(&b));
    assert_true(support_msg_decode(&r, &got));
    assert_memory_equal(&m, &got, sizeof m);
    for (size_t cut = 0; cut < b.len; cut++) {
        r = rd_of(bytes_of(b.ptr, cut));
        assert_false(support_msg_decode(&r, &got));
    }
    rng_seed(&rng, 1);
    for (int i = 0; i < 20000; i++) {
        uint8_t noise[48];

        for (size_t k = 0; k < sizeof noise; k++)
            noise[k] = k == 0 ? 1 : (uint8_t)rng_next(&rng);
        r = rd_of(bytes_of(noise, rng_below(&rng, sizeof noise)));
        if (support_msg_decode(&r, &got))
            assert_true(got.kind == SUPPORT_REQUEST || got.kind == SUPPORT_GRANT);
    }
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grant_reliance_ends_before_givers_end),
        cmocka_unit_test(lapse_needs_givers_earliest_beyond_end),
        cmocka_unit_test(lapse_needs_the_length_on_the_monotonic_clock_too),
        cmocka_unit_test(lapse_once_seen_ends_epoch_for_good),
        cmocka_unit_test(epoch_renewed_in_time_goes_on),
        cmocka_unit_test(unsynced_giver_gives_nothing),
        cmocka_unit_test(request_before_first_sync_is_answered_by_it),
        cmocka_unit_test(void_time_gives_and_believes_nothing),
        cmocka_unit_test(grant_of_foreign_or_old_request_is_ignored),
        cmocka_unit_test(restarted_peer_gets_new_epoch_and_old_end_stands),
        cmocka_unit_test(restarted_giver_is_quiet_until_its_old_gifts_have_lapsed),
        cmocka_unit_test(restarted_giver_without_time_is_quiet_from_its_first_time),
        cmocka_unit_test(idle_pair_asks_once_per_renewal),
        cmocka_unit_test(peer_that_joined_is_asked_and_supported),
        cmocka_unit_test(codec_roundtrip_and_noise),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
