#include "rpc_world.h"

static void open_pair(struct world *w)
{
    node_open(w, 0, 1);
    node_open(w, 1, 1);
    await_up(w, 0, 1);
    await_up(w, 1, 0);
}

static void call_echo_returns_the_payload(void **state)
{
    struct world *w = *state;
    struct waiter wait;

    open_pair(w);
    call_start(w, 0, 1, ECHO, bytes_of("a\0b", 3), in_ms(20000), &wait);
    assert_int_equal(waiter_wait(&wait), ST_OK);
    assert_int_equal(wait.reply.len, 3);
    assert_memory_equal(wait.reply.ptr, "a\0b", 3);
    assert_int_equal(w->node[1].seen_earliest, 1000);
    assert_int_equal(w->node[1].seen_incarnation, 1);
    assert_int_equal(rpc_self(w->node[0].rpc), 1);
    waiter_fini(&wait);
    AWAIT(rpc_peer_rtt_ns(w->node[0].rpc, 2) > 0);
}

/* Two pairs of beats later than the time in which silence is death, both are up, and have said little. */
static void pings_of_an_idle_pair_answer_each_other(void **state)
{
    struct world *w = *state;
    int64_t began, before, seconds;

    open_pair(w);
    AWAIT(rpc_peer_up(w->node[0].rpc, 2) && rpc_peer_rtt_ns(w->node[0].rpc, 2) > 0);
    began = mono_now();
    before = counter(w, 0, "meridian_rpc_frames_sent_total");
    mono_sleep_until(began + (RPC_DEAD_MS + 4 * RPC_HEARTBEAT_MS) * (int64_t)NS_PER_MS);
    seconds = (mono_now() - began) / NS_PER_S + 1;
    /* On two channels; with pongs it would be twice as many. */
    assert_in_range(
        counter(w, 0, "meridian_rpc_frames_sent_total") - before, 6,
        seconds * (1000 / RPC_HEARTBEAT_MS + 1000 / RPC_HEARTBEAT_MS / RPC_BULK_SLOWER) + 2);
    assert_int_equal(counter(w, 0, "meridian_rpc_connections_lost_total"), 0);
    assert_true(rpc_peer_up(w->node[0].rpc, 2) && rpc_peer_up(w->node[1].rpc, 1));
}

static void call_failing_peer_passes_its_error(void **state)
{
    struct world *w = *state;
    struct waiter wait;

    open_pair(w);
    call_start(w, 0, 1, FAIL, bytes_str("12345"), in_ms(20000), &wait);
    assert_int_equal(waiter_wait(&wait), ST_ABORT);
    assert_string_equal(wait.err.sqlstate, "40001");
    assert_string_equal(wait.err.msg, "no luck with 5 bytes");
    assert_string_equal(wait.err.hint, "try again");
    waiter_fini(&wait);
    call_start(w, 0, 1, NOBODY, bytes_str(""), in_ms(20000), &wait);
    assert_int_equal(waiter_wait(&wait), ST_REJECT);
    assert_string_equal(wait.err.sqlstate, "0A000");
    waiter_fini(&wait);
}

static void calls_64_in_flight_all_answered(void **state)
{
    enum { FLIGHT = 64, ROUNDS = 20 };
    struct world *w = *state;
    static struct waiter wait[FLIGHT];

    open_pair(w);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < FLIGHT; i++) {
            char text[32];

            snprintf(text, sizeof text, "%d/%d", round, i);
            call_start(w, i & 1, 1 - (i & 1), ECHO, bytes_str(text), in_ms(20000), &wait[i]);
        }
        for (int i = 0; i < FLIGHT; i++) {
            char text[32];

            snprintf(text, sizeof text, "%d/%d", round, i);
            assert_int_equal(waiter_wait(&wait[i]), ST_OK);
            assert_true(bytes_eq(buf_bytes(&wait[i].reply), bytes_str(text)));
            assert_int_equal(wait[i].n_done, 1);
            waiter_fini(&wait[i]);
        }
    }
    assert_int_equal(w->node[0].echoed + w->node[1].echoed, FLIGHT * ROUNDS);
}

static void call_without_answer_is_unknown_at_deadline(void **state)
{
    struct world *w = *state;
    struct waiter wait;
    int64_t deadline;

    open_pair(w);
    deadline = in_ms(30);
    call_start(w, 0, 1, HOLD, bytes_str("x"), deadline, &wait);
    assert_int_equal(waiter_wait(&wait), ST_UNKNOWN);
    assert_true(mono_now() >= deadline);
    assert_string_equal(wait.err.sqlstate, "08007");
    AWAIT(w->node[1].n_held == 1); /* it did leave */
    rpc_reply(w->node[1].rpc, w->node[1].held[0], ST_OK, bytes_str("late"), NULL);
    AWAIT(counter(w, 0, "meridian_rpc_late_replies_total") == 1);
    assert_int_equal(wait.n_done, 1);
    waiter_fini(&wait);
}

static void call_to_absent_peer_is_retry(void **state)
{
    struct world *w = *state;
    struct waiter wait;

    node_open(w, 0, 1);
    call_start(w, 0, 2, ECHO, bytes_str("x"), in_ms(20000), &wait);
    assert_int_equal(waiter_wait(&wait), ST_RETRY);
    assert_string_equal(wait.err.sqlstate, "08006");
    waiter_fini(&wait);
    call_start(w, 0, 41, ECHO, bytes_str("x"), in_ms(20000), &wait);
    assert_int_equal(waiter_wait(&wait), ST_RETRY);
    waiter_fini(&wait);
    rpc_send(w->node[0].rpc, 3, RPC_CONSENSUS, COUNT, bytes_str("x"));
    assert_int_equal(counter(w, 0, "meridian_rpc_dropped_down_total"), 1);
    assert_false(rpc_peer_up(w->node[0].rpc, 3));
    assert_int_equal(rpc_peer_rtt_ns(w->node[0].rpc, 3), -1);
}

static void messages_keep_their_order(void **state)
{
    enum { N = 5000 };
    struct world *w = *state;

    open_pair(w);
    for (uint32_t i = 0; i < N; i++)
        rpc_send(w->node[0].rpc, 2, RPC_CONSENSUS, ORDER, bytes_of(&i, sizeof i));
    AWAIT(w->node[1].order_next == N);
    assert_int_equal(w->node[1].disordered, 0);
    /* Batching: far fewer frames than messages, in any but the unluckiest scheduling. */
    assert_true(counter(w, 0, "meridian_rpc_frames_sent_total") < N);
}

static void node_calls_itself_through_a_queue(void **state)
{
    struct world *w = *state;
    struct waiter wait;

    node_open(w, 0, 1);
    call_start(w, 0, 0, ECHO, bytes_str("me"), in_ms(20000), &wait);
    assert_int_equal(waiter_wait(&wait), ST_OK);
    assert_true(bytes_eq(buf_bytes(&wait.reply), bytes_str("me")));
    waiter_fini(&wait);
    for (int i = 0; i < 1000; i++)
        rpc_send(w->node[0].rpc, 1, RPC_BULK, COUNT, bytes_str("x"));
    AWAIT(w->node[0].counted == 1000);
    assert_true(rpc_peer_up(w->node[0].rpc, 1));
    call_start(w, 0, 0, HOLD, bytes_str("x"), in_ms(20), &wait);
    assert_int_equal(waiter_wait(&wait), ST_UNKNOWN);
    waiter_fini(&wait);
}

static void both_channels_carry_large_messages(void **state)
{
    struct world *w = *state;
    struct waiter wait;
    size_t len = RPC_MESSAGE_MAX;
    uint8_t *big = malloc(len);

    assert_non_null(big);
    for (size_t i = 0; i < len; i++)
        big[i] = (uint8_t)(i * 31 >> 3);
    open_pair(w);
    for (int ch = 0; ch < RPC_CHANNELS; ch++) {
        waiter_init(&wait);
        AWAIT((rpc_call(w->node[0].rpc, 2, (enum rpc_channel)ch, ECHO, bytes_of(big, len),
                        in_ms(20000), (struct rpc_done){waiter_done, &wait}),
               waiter_wait(&wait) == ST_OK || (wait.n_done = 0)));
        assert_int_equal(wait.reply.len, len);
        assert_memory_equal(wait.reply.ptr, big, len);
        waiter_fini(&wait);
    }
    free(big);
}

static void message_oversize_is_rejected(void **state)
{
    struct world *w = *state;
    struct waiter wait;
    size_t len = RPC_MESSAGE_MAX + 1;
    uint8_t *big = calloc(1, len);

    open_pair(w);
    call_start(w, 0, 1, COUNT, bytes_of(big, len), in_ms(20000), &wait);
    assert_int_equal(waiter_wait(&wait), ST_REJECT);
    assert_string_equal(wait.err.sqlstate, "54000");
    rpc_send(w->node[0].rpc, 2, RPC_CONSENSUS, COUNT, bytes_of(big, len));
    assert_int_equal(counter(w, 0, "meridian_rpc_dropped_full_total"), 1);
    assert_int_equal(call(w, 0, 1, COUNT, "still working"), ST_OK);
    assert_int_equal(w->node[1].counted, 1);
    waiter_fini(&wait);
    free(big);
}

static void peer_restarted_calls_end_and_work_again(void **state)
{
    struct world *w = *state;
    struct waiter wait;

    open_pair(w);
    call_start(w, 0, 1, HOLD, bytes_str("x"), in_ms(20000), &wait);
    AWAIT(w->node[1].n_held == 1);
    node_close(w, 1);
    assert_int_equal(waiter_wait(&wait), ST_UNKNOWN); /* at once, not at its deadline */
    waiter_fini(&wait);
    AWAIT(!rpc_peer_up(w->node[0].rpc, 2));
    node_open(w, 1, 2);
    await_up(w, 0, 1);
    assert_int_equal(call(w, 0, 1, ECHO, "back"), ST_OK);
    await_up(w, 1, 0);
    assert_int_equal(call(w, 1, 0, ECHO, "back"), ST_OK);
    assert_int_equal(w->node[0].seen_incarnation, 2);
    /* The held call went to a process that is gone: its request was not repeated. */
    assert_int_equal(w->node[1].n_held, 1);
}

static void older_incarnation_is_refused(void **state)
{
    struct world *w = *state;

    node_open(w, 0, 5);
    node_open(w, 1, 5);
    await_up(w, 0, 1);
    await_up(w, 1, 0);
    node_close(w, 1);
    AWAIT(!rpc_peer_up(w->node[0].rpc, 2));
    node_open(w, 1, 4);
    AWAIT(counter(w, 0, "meridian_rpc_refused_total") > 0);
    assert_false(rpc_peer_up(w->node[0].rpc, 2));
    assert_false(rpc_peer_up(w->node[1].rpc, 1));
}

static void wrong_cluster_is_refused(void **state)
{
    struct world *w = *state;

    node_open(w, 0, 1);
    node_open_as(w, 1, 1, "strangers");
    AWAIT(counter(w, 0, "meridian_rpc_refused_total") > 1);
    AWAIT(counter(w, 1, "meridian_rpc_refused_total") > 1);
    assert_false(rpc_peer_up(w->node[0].rpc, 2));
    assert_false(rpc_peer_up(w->node[1].rpc, 1));
}

/* Calls cross a connection that dies again and again; none may be carried out twice. */
static void connection_lost_requests_are_never_sent_again(void **state)
{
    enum { ROUNDS = 10, FLIGHT = 20 };
    struct world *w = *state;
    static struct waiter wait[FLIGHT];
    int begun = 0, ok = 0, unknown = 0;

    open_pair(w);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < FLIGHT; i++)
            call_start(w, 0, 1, COUNT, bytes_str("x"), in_ms(20000), &wait[i]);
        node_close(w, 1);
        for (int i = 0; i < FLIGHT; i++) {
            enum status st = waiter_wait(&wait[i]);

            assert_true(st == ST_OK || st == ST_UNKNOWN || st == ST_RETRY);
            assert_int_equal(wait[i].n_done, 1);
            ok += st == ST_OK;
            unknown += st == ST_UNKNOWN;
            begun++;
            waiter_fini(&wait[i]);
        }
        node_open(w, 1, (uint64_t)round + 2);
        await_up(w, 0, 1);
    }
    assert_int_equal(begun, ROUNDS * FLIGHT);
    /* Done at least once if OK, at most once in any case, never if RETRY. */
    assert_in_range(w->node[1].counted, ok, ok + unknown);
}

static void fault_cut_stops_one_direction(void **state)
{
    struct world *w = *state;
    struct waiter wait;
    struct rpc_fault fault = {.cut = true};

    open_pair(w);
    rpc_set_fault(w->node[0].rpc, 2, &fault);
    call_start(w, 0, 1, COUNT, bytes_str("x"), in_ms(50), &wait);
    assert_int_equal(waiter_wait(&wait), ST_UNKNOWN); /* nobody told us that it was lost */
    waiter_fini(&wait);
    rpc_send(w->node[1].rpc, 1, RPC_CONSENSUS, COUNT, bytes_str("the other way"));
    AWAIT(w->node[0].counted == 1);
    AWAIT(!rpc_peer_up(w->node[0].rpc, 2)); /* no pongs come back */
    assert_int_equal(w->node[1].counted, 0);
    rpc_send(w->node[1].rpc, 1, RPC_CONSENSUS, COUNT, bytes_str("still"));
    AWAIT(w->node[0].counted == 2);
    fault.cut = false;
    rpc_set_fault(w->node[0].rpc, 0, &fault);
    await_up(w, 0, 1);
    assert_int_equal(call(w, 0, 1, COUNT, "healed"), ST_OK);
    assert_int_equal(w->node[1].counted, 1);
}

static void fault_drop_loses_some_messages(void **state)
{
    enum { N = 2000 };
    struct world *w = *state;
    struct rpc_fault fault = {.drop = 0.5}, none = {0};

    open_pair(w);
    rpc_set_fault(w->node[0].rpc, 2, &fault);
    for (int i = 0; i < N; i++)
        rpc_send(w->node[0].rpc, 2, RPC_CONSENSUS, COUNT, bytes_str("x"));
    rpc_set_fault(w->node[0].rpc, 2, &none);
    assert_int_equal(call(w, 0, 1, ECHO, "behind them"), ST_OK);
    assert_in_range(w->node[1].counted, N / 3, N * 2 / 3);
    assert_int_equal(w->node[1].counted + counter(w, 0, "meridian_rpc_dropped_fault_total"), N);
}

static void fault_duplicate_doubles_messages(void **state)
{
    struct world *w = *state;
    struct rpc_fault fault = {.duplicate = 1};

    open_pair(w);
    rpc_set_fault(w->node[0].rpc, 2, &fault);
    for (int i = 0; i < 100; i++)
        rpc_send(w->node[0].rpc, 2, RPC_CONSENSUS, COUNT, bytes_str("x"));
    AWAIT(w->node[1].counted == 200);
    assert_int_equal(call(w, 0, 1, ECHO, "once for the caller"), ST_OK);
    AWAIT(w->node[1].echoed == 2);
}

static void fault_reorder_and_delay_lose_nothing(void **state)
{
    enum { N = 500 };
    struct world *w = *state;
    struct rpc_fault fault = {.reorder = 0.3, .delay_ns = 2 * NS_PER_MS};
    int64_t start;

    open_pair(w);
    rpc_set_fault(w->node[0].rpc, 2, &fault);
    start = mono_now();
    assert_int_equal(call(w, 0, 1, ECHO, "slow"), ST_OK);
    assert_true(mono_now() - start >= 2 * NS_PER_MS);
    for (uint32_t i = 0; i < N; i++)
        rpc_send(w->node[0].rpc, 2, RPC_CONSENSUS, ORDER, bytes_of(&i, sizeof i));
    AWAIT(w->node[1].order_next == N);
    assert_true(w->node[1].disordered > 0);
}

/* A slow path fills the queue: what does not fit is dropped or RETRY, nothing grows without bound. */
static void queue_full_is_dropped_and_retry(void **state)
{
    struct world *w = *state;
    struct rpc_fault fault = {.delay_ns = INT64_C(3600) * NS_PER_S};
    size_t len = 4 * 1024 * 1024;
    uint8_t *big = calloc(1, len);
    struct waiter wait;

    open_pair(w);
    rpc_set_fault(w->node[0].rpc, 2, &fault);
    for (int i = 0; i < 20; i++)
        rpc_send(w->node[0].rpc, 2, RPC_CONSENSUS, COUNT, bytes_of(big, len));
    assert_int_equal(counter(w, 0, "meridian_rpc_dropped_full_total"), 20 - 16);
    call_start(w, 0, 1, COUNT, bytes_of(big, len), in_ms(20000), &wait);
    assert_int_equal(waiter_wait(&wait), ST_RETRY);
    assert_string_equal(wait.err.sqlstate, "53400");
    waiter_fini(&wait);
    free(big);
}

static void calls_over_the_limit_are_retry(void **state)
{
    struct world *w = *state;
    struct rpc_fault fault = {.drop = 1};
    struct waiter wait;
    static struct waiter shared;

    open_pair(w);
    waiter_init(&shared);
    rpc_set_fault(w->node[0].rpc, 2, &fault);
    for (int i = 0; i < RPC_CALLS_MAX; i++)
        rpc_call(w->node[0].rpc, 2, RPC_CONSENSUS, COUNT, bytes_str("x"), in_ms(3600000),
                 (struct rpc_done){waiter_done, &shared});
    call_start(w, 0, 1, COUNT, bytes_str("x"), in_ms(3600000), &wait);
    assert_int_equal(waiter_wait(&wait), ST_RETRY);
    assert_string_equal(wait.err.sqlstate, "53400");
    waiter_fini(&wait);
    node_close(w, 0); /* ends every one of them */
    assert_int_equal(shared.n_done, RPC_CALLS_MAX);
    assert_int_equal(shared.st, ST_UNKNOWN);
    waiter_fini(&shared);
}

static void clock_contradiction_is_counted(void **state)
{
    struct world *w = *state;

    w->node[0].earliest = 5000; /* later than the other's latest */
    w->node[0].latest = 6000;
    w->node[1].earliest = 1000;
    w->node[1].latest = 2000;
    open_pair(w);
    assert_int_equal(call(w, 0, 1, ECHO, "from the future"), ST_OK);
    assert_true(counter(w, 1, "meridian_rpc_clock_contradictions_total") > 0);
    assert_int_equal(counter(w, 0, "meridian_rpc_clock_contradictions_total"), 0);
}

static void three_nodes_talk_all_to_all(void **state)
{
    struct world *w = *state;

    for (int i = 0; i < NODES; i++)
        node_open(w, i, 1);
    for (int i = 0; i < NODES; i++)
        for (int k = 0; k < NODES; k++) {
            await_up(w, i, k);
            assert_int_equal(call(w, i, k, ECHO, "hello"), ST_OK);
        }
}

struct storm {
    struct world *w;
    int from;
    _Atomic bool *stop;
    int n;
};

static void *storm_main(void *arg)
{
    struct storm *s = arg;

    while (!*s->stop) {
        enum status st = call(s->w, s->from, 2, COUNT, "storm");

        assert_true(st == ST_OK || st == ST_RETRY || st == ST_UNKNOWN);
        rpc_send(s->w->node[s->from].rpc, 3, RPC_BULK, COUNT, bytes_str("bulk"));
        s->n++;
    }
    return NULL;
}

static void restarts_under_load_end_every_call(void **state)
{
    struct world *w = *state;
    _Atomic bool stop = false;
    struct storm storm[2] = {{w, 0, &stop, 0}, {w, 1, &stop, 0}};
    pthread_t t[2];

    for (int i = 0; i < NODES; i++)
        node_open(w, i, 1);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&t[i], NULL, storm_main, &storm[i]), 0);
    for (uint64_t round = 2; round < 6; round++) {
        int before = w->node[2].counted;

        AWAIT(w->node[2].counted > before + 10);
        node_close(w, 2);
        node_open(w, 2, round);
    }
    stop = true;
    for (int i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
}

static void options_wrong_are_rejected(void **state)
{
    struct world *w = *state;
    struct rpc_peer_addr peers[2] = {{2, "127.0.0.1:1"}, {2, "127.0.0.1:2"}};
    struct rpc_options good = {.cluster = "c",
                               .node = 1,
                               .incarnation = 1,
                               .listen_addr = w->addr[0],
                               .peers = peers,
                               .n_peers = 1};
    struct rpc_options bad[6] = {good, good, good, good, good, good};
    struct rpc *r;
    struct err err;

    bad[0].node = 0;
    bad[1].incarnation = 0;
    bad[2].cluster = "";
    bad[3].n_peers = 2;
    bad[4].listen_addr = "nonsense";
    bad[5].listen_addr = "192.0.2.1:1"; /* not an address of this machine */
    for (int i = 0; i < 6; i++) {
        assert_int_equal(rpc_open(&bad[i], &r, &err), ST_REJECT);
        assert_string_equal(err.sqlstate, "22023");
    }
    assert_int_equal(rpc_open(&good, &r, &err), ST_OK);
    rpc_close(r); /* never started */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(call_echo_returns_the_payload),
        BOTH(pings_of_an_idle_pair_answer_each_other),
        BOTH(call_failing_peer_passes_its_error),
        BOTH(calls_64_in_flight_all_answered),
        BOTH(call_without_answer_is_unknown_at_deadline),
        BOTH(call_to_absent_peer_is_retry),
        BOTH(messages_keep_their_order),
        BOTH(node_calls_itself_through_a_queue),
        BOTH(both_channels_carry_large_messages),
        BOTH(message_oversize_is_rejected),
        BOTH(peer_restarted_calls_end_and_work_again),
        BOTH(older_incarnation_is_refused),
        BOTH(wrong_cluster_is_refused),
        BOTH(connection_lost_requests_are_never_sent_again),
        BOTH(fault_cut_stops_one_direction),
        BOTH(fault_drop_loses_some_messages),
        BOTH(fault_duplicate_doubles_messages),
        BOTH(fault_reorder_and_delay_lose_nothing),
        BOTH(queue_full_is_dropped_and_retry),
        BOTH(calls_over_the_limit_are_retry),
        BOTH(clock_contradiction_is_counted),
        BOTH(three_nodes_talk_all_to_all),
        BOTH(restarts_under_load_end_every_call),
        OVER_NNG(options_wrong_are_rejected),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
