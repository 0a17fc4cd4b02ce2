/* Single Paxos replicas that are fed messages by hand; then the codec. */
#include "storage/paxos/paxos.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/rng.h"

#define LEASE (INT64_C(2) * NS_PER_S)
#define T0    (INT64_C(1000) * NS_PER_S)
#define MS    ((int64_t)NS_PER_MS)

/* -------- one replica, fed by hand -------- */

struct lone {
    struct paxos *p;
    struct support *s;
    struct paxos_out out;
    int64_t mono;
    struct tt_interval now;
};

static struct lone lone_new(const struct paxos_start *st)
{
    static const node_id voters[] = {1, 2, 3};
    static const node_id peers[] = {2, 3};
    struct lone l = {.mono = NS_PER_S, .now = {T0 - MS, T0 + MS}};
    struct paxos_options o = {.group = 7,
                              .self = 1,
                              .voters = voters,
                              .n_voters = 3,
                              .seed = 1,
                              .election_min_ns = 100 * MS,
                              .election_max_ns = 300 * MS,
                              .heartbeat_ns = 250 * MS,
                              .resend_ns = 100 * MS,
                              .cache_bytes = 1000};
    struct support_options so = {.self = 1,
                                 .incarnation = 5,
                                 .peers = peers,
                                 .n_peers = 2,
                                 .lease_ns = LEASE,
                                 .renew_ns = LEASE / 4,
                                 .sync_age_max_ns = LEASE,
                                 .store_is_new = true,
                                 .longest_lease_ns = LEASE,
                                 .bound_cap_ns = 500 * MS};
    struct support_out ignored;

    l.s = support_new(&so, l.now, l.mono);
    support_step(l.s,
                 &(struct support_in){.kind = SUPPORT_IN_SYNCED, .now = l.now, .mono_ns = l.mono},
                 &ignored);
    l.p = paxos_new(&o, st, l.mono);
    return l;
}

static void lone_free(struct lone *l)
{
    paxos_free(l->p);
    support_free(l->s);
}

static void lone_step(struct lone *l, struct paxos_in in)
{
    in.now = l->now;
    in.mono_ns = l->mono;
    in.support = l->s;
    paxos_step(l->p, &in, &l->out);
}

static void hear(struct lone *l, struct paxos_msg m)
{
    m.group = 7;
    m.to = 1;
    if (m.from == 0)
        m.from = m.ballot.node;
    m.time = l->now;
    lone_step(l, (struct paxos_in){.kind = PAXOS_IN_MESSAGE, .msg = &m});
}

static void durable(struct lone *l)
{
    lone_step(l, (struct paxos_in){.kind = PAXOS_IN_DURABLE, .durable_seq = l->out.write_seq});
}

/* This node supports `peer` from now on. */
static void support_peer(struct lone *l, node_id peer)
{
    struct support_out ignored;

    support_step(l->s,
                 &(struct support_in){
                     .kind = SUPPORT_IN_MESSAGE,
                     .now = l->now,
                     .mono_ns = l->mono,
                     .msg = {.kind = SUPPORT_REQUEST, .from = peer, .incarnation = 1, .nonce = 1}},
                 &ignored);
}

static const struct paxos_send *sent(const struct lone *l, enum paxos_msg_kind kind)
{
    for (size_t i = 0; i < l->out.n_send; i++)
        if (l->out.send[i].msg.kind == kind)
            return &l->out.send[i];
    return NULL;
}

static struct paxos_start empty_start(void)
{
    return (struct paxos_start){.first = 1};
}

#define B(round_, node_) ((struct ballot){(round_), (node_)})
#define E(slot_, ballot_, text_) \
    ((struct paxos_entry){(slot_), (ballot_), PAXOS_ENTRY_COMMANDS, bytes_str(text_)})

static void promise_leaves_after_its_write(void **state)
{
    struct paxos_start st = empty_start();
    struct lone l = lone_new(&st);

    (void)state;
    hear(&l, (struct paxos_msg){.kind = PAXOS_PREPARE, .ballot = B(3, 2)});
    assert_non_null(sent(&l, PAXOS_PROMISE));
    assert_true(l.out.write_seq != 0);
    assert_int_equal(sent(&l, PAXOS_PROMISE)->after_write, l.out.write_seq);
    assert_int_equal(ballot_cmp(l.out.hard->promised, B(3, 2)), 0);
    durable(&l);
    hear(&l, (struct paxos_msg){.kind = PAXOS_PREPARE, .ballot = B(3, 2)}); /* again */
    assert_int_equal(sent(&l, PAXOS_PROMISE)->after_write, 0);
    assert_int_equal(l.out.write_seq, 0);
    lone_free(&l);
}

static void prepare_of_another_waits_for_support_to_lapse(void **state)
{
    struct paxos_start st = empty_start();
    struct lone l = lone_new(&st);
    const struct paxos_send *no;

    (void)state;
    support_peer(&l, 2);
    hear(&l, (struct paxos_msg){.kind = PAXOS_PREPARE, .ballot = B(3, 2)});
    assert_true(sent(&l, PAXOS_PROMISE)->msg.epoch != 0);
    hear(&l, (struct paxos_msg){.kind = PAXOS_PREPARE, .ballot = B(4, 3)});
    no = sent(&l, PAXOS_REFUSE);
    assert_non_null(no);
    assert_null(sent(&l, PAXOS_PROMISE));
    assert_int_equal(ballot_cmp(no->msg.promised, B(3, 2)), 0);
    assert_in_range(no->msg.retry_ns, LEASE, LEASE + 3 * MS);
    assert_int_equal(l.out.n_send,
                     2); /* and the owner is asked whether it still needs this voter */
    l.now = (struct tt_interval){T0 + MS + LEASE + 1, T0 + MS + LEASE + 2 * MS};
    hear(&l, (struct paxos_msg){.kind = PAXOS_PREPARE, .ballot = B(4, 3)});
    assert_null(sent(&l, PAXOS_PROMISE)); /* the calendar alone says so */
    l.mono += LEASE + MS;
    hear(&l, (struct paxos_msg){.kind = PAXOS_PREPARE, .ballot = B(4, 3)});
    assert_non_null(sent(&l, PAXOS_PROMISE));
    lone_free(&l);
}

static void release_frees_a_voter_at_once(void **state)
{
    struct paxos_start st = empty_start();
    struct lone l = lone_new(&st);

    (void)state;
    support_peer(&l, 2);
    hear(&l, (struct paxos_msg){.kind = PAXOS_PREPARE, .ballot = B(3, 2)});
    hear(&l, (struct paxos_msg){.kind = PAXOS_RELEASE, .ballot = B(3, 2), .from = 3});
    assert_null(l.out.hard); /* only its owner can */
    hear(&l, (struct paxos_msg){.kind = PAXOS_RELEASE, .ballot = B(2, 2)});
    assert_null(l.out.hard); /* another ballot */
    hear(&l, (struct paxos_msg){.kind = PAXOS_RELEASE, .ballot = B(3, 2)});
    assert_int_equal(ballot_cmp(l.out.hard->released, B(3, 2)), 0);
    hear(&l, (struct paxos_msg){.kind = PAXOS_PREPARE, .ballot = B(4, 3)});
    assert_non_null(sent(&l, PAXOS_PROMISE));
    lone_free(&l);
}

static void void_time_promises_nothing(void **state)
{
    struct paxos_start st = empty_start();
    struct lone l = lone_new(&st);

    (void)state;
    l.now = TT_VOID;
    hear(&l, (struct paxos_msg){.kind = PAXOS_PREPARE, .ballot = B(3, 2)});
    assert_non_null(sent(&l, PAXOS_REFUSE));
    assert_null(l.out.hard);
    lone_free(&l);
}

static void candidate_ahead_of_possible_time_is_refused(void **state)
{
    struct paxos_start st = empty_start();
    struct lone l = lone_new(&st);
    struct paxos_msg m = {.kind = PAXOS_ASK, .group = 7, .from = 2, .to = 1, .ballot = B(3, 2)};

    (void)state;
    m.time = (struct tt_interval){l.now.latest + 1, l.now.latest + 2};
    lone_step(&l, (struct paxos_in){.kind = PAXOS_IN_MESSAGE, .msg = &m});
    assert_non_null(sent(&l, PAXOS_REFUSE));
    m.time = l.now;
    lone_step(&l, (struct paxos_in){.kind = PAXOS_IN_MESSAGE, .msg = &m});
    assert_non_null(sent(&l, PAXOS_WILLING));
    assert_int_equal(l.out.write_seq, 0); /* asking costs no write */
    lone_free(&l);
}

static void accept_of_older_ballot_is_refused(void **state)
{
    struct paxos_start st = empty_start();
    struct lone l = lone_new(&st);
    struct paxos_entry e = E(1, B(2, 3), "x");

    (void)state;
    hear(&l, (struct paxos_msg){.kind = PAXOS_PREPARE, .ballot = B(3, 2)});
    hear(&l, (struct paxos_msg){
                 .kind = PAXOS_ACCEPT, .ballot = B(2, 3), .entries = &e, .n_entries = 1});
    assert_non_null(sent(&l, PAXOS_REFUSE));
    assert_null(sent(&l, PAXOS_ACK));
    assert_int_equal(l.out.last, 0);
    lone_free(&l);
}

static void accept_is_acked_after_its_write_up_to_what_is_equal(void **state)
{
    struct paxos_start st = empty_start();
    struct lone l = lone_new(&st);
    struct paxos_entry e[] = {E(1, B(3, 2), "a"), E(2, B(3, 2), "b"), E(3, B(3, 2), "c")};
    struct paxos_msg m = {
        .kind = PAXOS_ACCEPT, .ballot = B(3, 2), .chosen = 2, .entries = e, .n_entries = 3};

    (void)state;
    hear(&l, m);
    assert_int_equal(l.out.n_append, 3);
    assert_int_equal(sent(&l, PAXOS_ACK)->msg.slot, 3);
    assert_int_equal(sent(&l, PAXOS_ACK)->after_write, l.out.write_seq);
    assert_int_equal(l.out.chosen, 2);
    assert_int_equal(l.out.apply, 0); /* nothing is durable here yet */
    durable(&l);
    assert_int_equal(l.out.apply, 2);
    m.n_entries = 1; /* a late duplicate: acked as far as it goes, nothing is cut */
    hear(&l, m);
    assert_int_equal(sent(&l, PAXOS_ACK)->msg.slot, 1);
    assert_int_equal(l.out.write_seq, 0);
    assert_int_equal(l.out.last, 3);
    lone_free(&l);
}

static void accept_behind_a_gap_is_nacked(void **state)
{
    struct paxos_start st = empty_start();
    struct lone l = lone_new(&st);
    struct paxos_entry a = E(1, B(3, 2), "a"), c = E(3, B(3, 2), "c");

    (void)state;
    hear(&l, (struct paxos_msg){
                 .kind = PAXOS_ACCEPT, .ballot = B(3, 2), .entries = &a, .n_entries = 1});
    hear(&l, (struct paxos_msg){.kind = PAXOS_ACCEPT,
                                .ballot = B(3, 2),
                                .prev_slot = 2,
                                .prev_ballot = B(3, 2),
                                .chosen = 3,
                                .entries = &c,
                                .n_entries = 1});
    assert_int_equal(sent(&l, PAXOS_NACK)->msg.slot, 1);
    assert_int_equal(l.out.last, 1);
    assert_int_equal(l.out.chosen, 0); /* what follows the gap is not known to be equal */
    lone_free(&l);
}

static void divergent_suffix_is_cut_in_one_write(void **state)
{
    struct paxos_entry old[] = {E(1, B(1, 3), "a"), E(2, B(1, 3), "b"), E(3, B(2, 3), "c"),
                                E(4, B(2, 3), "d")};
    struct paxos_start st = {.hard = {.promised = B(2, 3), .released = B(2, 3)},
                             .first = 1,
                             .entries = old,
                             .n_entries = 4,
                             .applied = 1};
    struct lone l = lone_new(&st);
    struct paxos_entry e = E(3, B(5, 2), "C");

    (void)state;
    hear(&l, (struct paxos_msg){
                 .kind = PAXOS_ACCEPT, .ballot = B(5, 2), .prev_slot = 4, .prev_ballot = B(5, 2)});
    assert_int_equal(sent(&l, PAXOS_NACK)->msg.slot, 2); /* all of 2.3 may differ */
    hear(&l, (struct paxos_msg){.kind = PAXOS_ACCEPT,
                                .ballot = B(5, 2),
                                .prev_slot = 2,
                                .prev_ballot = B(1, 3),
                                .entries = &e,
                                .n_entries = 1});
    assert_int_equal(l.out.cut_from, 3);
    assert_int_equal(l.out.n_append, 1);
    assert_int_equal(l.out.append[0].slot, 3);
    assert_int_equal(l.out.last, 3);
    assert_true(bytes_eq(paxos_payload(l.p, 3), bytes_str("C")));
    /* The cut slots are no longer durable, although their first writes were. */
    assert_int_equal(sent(&l, PAXOS_ACK)->after_write, l.out.write_seq);
    lone_free(&l);
}

static void conflict_below_chosen_changes_nothing(void **state)
{
    struct paxos_entry old[] = {E(1, B(1, 3), "a"), E(2, B(1, 3), "b")};
    struct paxos_start st = {.hard = {.promised = B(1, 3), .released = B(1, 3)},
                             .first = 1,
                             .entries = old,
                             .n_entries = 2,
                             .applied = 2};
    struct lone l = lone_new(&st);
    struct paxos_entry e = E(2, B(5, 2), "B");

    (void)state;
    hear(&l, (struct paxos_msg){.kind = PAXOS_ACCEPT,
                                .ballot = B(5, 2),
                                .prev_slot = 1,
                                .prev_ballot = B(1, 3),
                                .entries = &e,
                                .n_entries = 1});
    assert_null(sent(&l, PAXOS_ACK));
    assert_int_equal(l.out.cut_from, 0);
    assert_int_equal(l.out.last, 2);
    lone_free(&l);
}

static void malformed_accept_is_ignored(void **state)
{
    struct paxos_start st = empty_start();
    struct lone l = lone_new(&st);
    struct paxos_entry gap[] = {E(1, B(3, 2), "a"), E(3, B(3, 2), "b")};
    struct paxos_entry falling[] = {E(1, B(3, 2), "a"), E(2, B(2, 2), "b")};
    struct paxos_entry future[] = {E(1, B(4, 2), "a")};
    struct paxos_msg m = {.kind = PAXOS_ACCEPT, .ballot = B(3, 2), .entries = gap, .n_entries = 2};

    (void)state;
    hear(&l, m);
    assert_int_equal(l.out.n_send, 0);
    m.entries = falling;
    hear(&l, m);
    assert_int_equal(l.out.n_send, 0);
    m.entries = future;
    m.n_entries = 1;
    hear(&l, m);
    assert_int_equal(l.out.n_send, 0);
    m.entries = gap;
    m.from = 3; /* not the ballot's owner */
    hear(&l, m);
    assert_int_equal(l.out.n_send, 0);
    assert_int_equal(l.out.last, 0);
    lone_free(&l);
}

static void random_messages_break_no_invariant(void **state)
{
    struct rng rng;

    (void)state;
    rng_seed(&rng, 42);
    for (int round = 0; round < 300; round++) {
        struct paxos_start st = empty_start();
        struct lone l = lone_new(&st);

        for (int i = 0; i < 200; i++) {
            struct paxos_entry e[3];
            struct paxos_msg m = {.kind = (enum paxos_msg_kind)(1 + rng_below(&rng, 11)),
                                  .from = (node_id)(1 + rng_below(&rng, 4)),
                                  .ballot = B(rng_below(&rng, 5), (node_id)rng_below(&rng, 4)),
                                  .slot = rng_below(&rng, 8),
                                  .last = B(rng_below(&rng, 5), (node_id)rng_below(&rng, 4)),
                                  .prev_slot = rng_below(&rng, 6),
                                  .prev_ballot = B(rng_below(&rng, 5), (node_id)rng_below(&rng, 4)),
                                  .chosen = rng_below(&rng, 8),
                                  .epoch = rng_below(&rng, 3),
                                  .promised = B(rng_below(&rng, 5), (node_id)rng_below(&rng, 4)),
                                  .retry_ns = (int64_t)rng_next(&rng),
                                  .entries = e,
                                  .n_entries = rng_below(&rng, 4)};
            bool tidy = rng_chance(&rng, 0.7);

            if (tidy)
                m.from = m.ballot.node;
            for (size_t k = 0; k < 3; k++)
                e[k] = E(m.prev_slot + 1 + k, tidy ? m.ballot : B(rng_below(&rng, 5), 2), "x");
            hear(&l, m);
            l.mono += rng_between(&rng, 0, 200 * MS);
            l.now.earliest += 50 * MS;
            l.now.latest += 50 * MS;
            if (rng_chance(&rng, 0.3))
                durable(&l);
        }
        lone_free(&l);
    }
}

static void codec_roundtrip_and_noise(void **state)
{
    struct paxos_entry e[] = {E(UINT64_C(1) << 40, B(3, 2), "payload"),
                              {5, B(4, 1), PAXOS_ENTRY_CONFIG, bytes_str("")}};
    struct paxos_msg m = {.kind = PAXOS_ACCEPT,
                          .group = 77,
                          .from = 1,
                          .to = 2,
                          .ballot = B(UINT64_C(1) << 50, UINT32_MAX),
                          .slot = 3,
                          .last = B(1, 2),
                          .prev_slot = 9,
                          .prev_ballot = B(2, 2),
                          .chosen = 8,
                          .epoch = UINT64_MAX,
                          .promised = B(7, 7),
                          .retry_ns = -5,
                          .kept = UINT64_MAX,
                          .config_slot = 6,
                          .target = UINT32_MAX,
                          .time = {T0, T0 + 1},
                          .entries = e,
                          .n_entries = 2};
    struct paxos_entry got_e[4];
    struct paxos_msg got;
    struct buf b = {0};
    struct rd r;
    struct rng rng;

    (void)state;
    paxos_msg_encode(&b, &m);
    r = rd_of(buf_bytes(&b));
    assert_true(paxos_msg_decode(&r, &got, got_e, 4));
    assert_int_equal(rd_left(&r), 0);
    assert_int_equal(got.kind, m.kind);
    assert_int_equal(got.ballot.node, m.ballot.node);
    assert_int_equal(got.retry_ns, m.retry_ns);
    assert_int_equal(got.kept, m.kept);
    assert_int_equal(got.config_slot, m.config_slot);
    assert_int_equal(got.target, m.target);
    assert_int_equal(got.entries[1].kind, PAXOS_ENTRY_CONFIG);
    assert_int_equal(got.time.latest, m.time.latest);
    assert_int_equal(got.n_entries, 2);
    assert_true(bytes_eq(got.entries[0].payload, e[0].payload));
    assert_int_equal(got.entries[0].slot, e[0].slot);
    r = rd_of(buf_bytes(&b));
    assert_false(paxos_msg_decode(&r, &got, got_e, 1)); /* too many entries */
    for (size_t cut = 0; cut < b.len; cut++) {
        r = rd_of(bytes_of(b.ptr, cut));
        assert_false(paxos_msg_decode(&r, &got, got_e, 4));
    }
    rng_seed(&rng, 3);
    for (int i = 0; i < 50000; i++) {
        struct buf noisy = {0};

        buf_put(&noisy, b.ptr, b.len);
        for (int k = 0; k < 4; k++)
            noisy.ptr[rng_below(&rng, noisy.len)] = (uint8_t)rng_next(&rng);
        r = rd_of(buf_bytes(&noisy));
        if (paxos_msg_decode(&r, &got, got_e, 4))
            assert_true(got.n_entries <= 4 && got.kind >= PAXOS_PREPARE && got.kind <= PAXOS_TELL);
        buf_fini(&noisy);
    }
    buf_fini(&b);
}

static struct paxos_in installed(slot_no slot, struct ballot ballot,
                                 const struct paxos_config *config)
{
    return (struct paxos_in){.kind = PAXOS_IN_INSTALLED,
                             .installed = {.slot = slot, .ballot = ballot, .config = config}};
}

static void install_drops_a_suffix_that_does_not_follow_on_it(void **state)
{
    static const node_id voters[] = {1, 2, 3};
    struct paxos_entry log[] = {E(1, B(1, 3), "a"), E(2, B(1, 3), "b"), E(3, B(1, 3), "c"),
                                E(4, B(1, 3), "d")};
    struct paxos_start st = {.hard = {.promised = B(1, 3), .released = B(1, 3)},
                             .first = 1,
                             .entries = log,
                             .n_entries = 4,
                             .applied = 1};
    struct paxos_config c;
    struct lone l = lone_new(&st);

    (void)state;
    paxos_config_of(&c, voters, 3);
    lone_step(
        &l, installed(2, B(2, 2), &c)); /* another ballot there: slots 3 and 4 follow on nothing */
    assert_int_equal(l.out.cut_from, 1);
    assert_int_equal(l.out.head->first, 3);
    assert_int_equal(ballot_cmp(l.out.head->before, B(2, 2)), 0);
    assert_int_equal(l.out.last, 2);
    assert_int_equal(l.out.chosen, 2);
    assert_int_equal(l.out.apply, 2);
    /* A leader of a ballot before the snapshot's is history, though this replica did not promise any later one. */
    hear(&l, (struct paxos_msg){.kind = PAXOS_ACCEPT, .ballot = B(1, 3), .prev_slot = 1});
    assert_null(sent(&l, PAXOS_ACK));
    assert_int_equal(ballot_cmp(sent(&l, PAXOS_REFUSE)->msg.promised, B(2, 2)), 0);
    /* And what one of that ballot sends is taken, and acked once the new beginning is durable. */
    hear(&l, (struct paxos_msg){
                 .kind = PAXOS_ACCEPT,
                 .ballot = B(2, 2),
                 .prev_slot = 2,
                 .prev_ballot = B(2, 2),
                 .entries = &(struct paxos_entry){3, B(2, 2), PAXOS_ENTRY_COMMANDS, bytes_str("e")},
                 .n_entries = 1});
    assert_int_equal(sent(&l, PAXOS_ACK)->msg.slot, 3);
    assert_int_equal(sent(&l, PAXOS_ACK)->after_write, l.out.write_seq);
    lone_free(&l);
}

static void install_keeps_a_suffix_that_follows_on_it(void **state)
{
    static const node_id voters[] = {1, 2, 3};
    struct paxos_entry log[] = {E(1, B(1, 3), "a"), E(2, B(1, 3), "b"), E(3, B(1, 3), "c")};
    struct paxos_start st = {.hard = {.promised = B(1, 3), .released = B(1, 3)},
                             .first = 1,
                             .entries = log,
                             .n_entries = 3,
                             .applied = 1};
    struct paxos_config c;
    struct lone l = lone_new(&st);

    (void)state;
    paxos_config_of(&c, voters, 3);
    lone_step(&l, installed(2, B(1, 3), &c));
    assert_int_equal(l.out.cut_from, 0);
    assert_int_equal(l.out.head->first, 3);
    assert_int_equal(l.out.last, 3);
    lone_step(&l, installed(1, B(1, 3), &c)); /* behind it already: nothing happens */
    assert_null(l.out.head);
    assert_int_equal(l.out.write_seq, 0);
    lone_free(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(install_drops_a_suffix_that_does_not_follow_on_it),
        cmocka_unit_test(install_keeps_a_suffix_that_follows_on_it),
        cmocka_unit_test(promise_leaves_after_its_write),
        cmocka_unit_test(prepare_of_another_waits_for_support_to_lapse),
        cmocka_unit_test(release_frees_a_voter_at_once),
        cmocka_unit_test(void_time_promises_nothing),
        cmocka_unit_test(candidate_ahead_of_possible_time_is_refused),
        cmocka_unit_test(accept_of_older_ballot_is_refused),
        cmocka_unit_test(accept_is_acked_after_its_write_up_to_what_is_equal),
        cmocka_unit_test(accept_behind_a_gap_is_nacked),
        cmocka_unit_test(divergent_suffix_is_cut_in_one_write),
        cmocka_unit_test(conflict_below_chosen_changes_nothing),
        cmocka_unit_test(malformed_accept_is_ignored),
        cmocka_unit_test(random_messages_break_no_invariant),
        cmocka_unit_test(codec_roundtrip_and_noise),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
