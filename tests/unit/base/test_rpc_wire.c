/* Strangers at the port: what a node does with bytes that no peer of ours would send. */
#include "rpc_world.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>

#include "base/frame.h"
#include "base/rng.h"
#include "base/rpc_int.h"

static int dial_raw(struct world *w, int node)
{
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_port = htons(w->port[node]),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    return fd;
}

static void send_raw(int fd, struct bytes b)
{
    while (b.len > 0) {
        ssize_t n = send(fd, b.ptr, b.len, MSG_NOSIGNAL);

        if (n <= 0)
            return; /* closed on us already: the test looks at that */
        b = bytes_of(b.ptr + n, b.len - (size_t)n);
    }
}

/* Reads until the other side closes; what came is appended. False: it did not close in 20 s. */
static bool read_to_end(int fd, struct buf *out)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int64_t until = in_ms(20000);

    while (mono_now() < until && poll(&p, 1, 20000) > 0) {
        ssize_t n = recv(fd, buf_reserve(out, 4096), 4096, 0);

        if (n <= 0)
            return true;
        out->len += (size_t)n;
    }
    return false;
}

static void assert_closed(int fd)
{
    struct buf in = {0};

    assert_true(read_to_end(fd, &in));
    buf_fini(&in);
    close(fd);
}

static void put_hello(struct buf *b, uint16_t wire_min, uint16_t wire_max, const char *cluster,
                      node_id node, uint64_t incarnation, node_id to, uint8_t ch)
{
    size_t at = frame_begin(b, FR_HELLO);

    buf_put_u16(b, wire_min);
    buf_put_u16(b, wire_max);
    buf_put_bytes(b, bytes_str(cluster));
    buf_put_u32(b, node);
    buf_put_u64(b, incarnation);
    buf_put_u32(b, to);
    buf_put_u8(b, ch);
    frame_end(b, at);
}

/* A log that the test can read. */
struct log_file {
    int fd;
    struct logger *log;
    char text[16384];
};

static void log_file_open(struct log_file *f)
{
    f->fd = memfd_create("log", MFD_CLOEXEC);
    assert_true(f->fd >= 0);
    f->log = log_new(f->fd, LOG_INFO, NULL);
}

static const char *log_file_text(struct log_file *f)
{
    ssize_t n = pread(f->fd, f->text, sizeof f->text - 1, 0);

    assert_true(n >= 0);
    f->text[n] = '\0';
    return f->text;
}

static void log_file_close(struct log_file *f)
{
    log_free(f->log);
    close(f->fd);
}

static int count_lines(const char *text, const char *needle)
{
    int n = 0;

    for (; (text = strstr(text, needle)) != NULL; text++)
        n++;
    return n;
}

/* A frame that was made well and then spoilt in one place. */
struct spoilt {
    const char *what; /* appears in the log */
    size_t at;
    uint8_t value;
};

static void frame_damaged_closes_and_says_why(void **state)
{
    static const struct spoilt cases[] =
        {
            {"has version 99", 10, 99},   {"has magic", 8, 'X'},
            {"above the limit", 2, 0xff}, {"wrong checksum", 20, 0xee},
            {"of kind", 11, FR_MESSAGES}, /* replaced below by a sound frame of a wrong kind */
        };
    struct world *w = *state;
    struct log_file log;

    log_file_open(&log);
    w->node[0].log = log.log;
    node_open(w, 0, 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf b = {0};
        int fd = dial_raw(w, 0);
        size_t at;

        if (cases[i].at == 11) {
            at = frame_begin(&b, cases[i].value);
            buf_put_u64(&b, 5);
            frame_end(&b, at);
        } else {
            put_hello(&b, 1, 1, "testers", 2, 1, 1, 0);
            b.ptr[cases[i].at] = cases[i].value;
        }
        put_hello(&b, 1, 1, "testers", 2, 1, 1, 0); /* what follows is not looked at */
        send_raw(fd, buf_bytes(&b));
        assert_closed(fd);
        assert_int_equal(counter(w, 0, "meridian_rpc_bad_frames_total"), (int)i + 1);
        assert_non_null(strstr(log_file_text(&log), cases[i].what));
        assert_int_equal(count_lines(log_file_text(&log), "rpc.malformed"), (int)i + 1);
        buf_fini(&b);
    }
    node_close(w, 0);
    log_file_close(&log);
}

static void random_bytes_1000_strings_leave_it_working(void **state)
{
    struct world *w = *state;
    struct rng rng;
    uint8_t noise[300];

    rng_seed(&rng, 42);
    node_open(w, 0, 1);
    node_open(w, 1, 1);
    await_up(w, 1, 0);
    for (int i = 0; i < 1000; i++) {
        size_t len = 1 + (size_t)rng_below(&rng, sizeof noise);
        int fd = dial_raw(w, 0);

        for (size_t k = 0; k < len; k++)
            noise[k] = (uint8_t)rng_next(&rng);
        if (i % 3 == 0 && len > 12) { /* plausible up to the checksum */
            memcpy(noise, "\x10\0\0\0....MF\x01\x01", 12);
        }
        send_raw(fd, bytes_of(noise, len));
        close(fd);
    }
    assert_int_equal(call(w, 1, 0, ECHO, "still here"), ST_OK);
    AWAIT(counter(w, 0, "meridian_rpc_bad_frames_total") > 500);
}

static void stranger_silent_or_slow_is_closed(void **state)
{
    struct world *w = *state;
    struct buf hello = {0}, in = {0};
    int silent, slow;
    int64_t until;
    size_t sent = 0;

    node_open(w, 0, 1);
    put_hello(&hello, 1, 1, "testers", 2, 1, 1, 0);
    silent = dial_raw(w, 0);
    slow = dial_raw(w, 0);
    /* A byte now and then does not buy time: it never gets to the end of its hello. */
    until = in_ms(20000);
    while (recv(slow, buf_reserve(&in, 16), 16, MSG_DONTWAIT) != 0 && mono_now() < until) {
        if (sent < hello.len - 1)
            send_raw(slow, bytes_of(hello.ptr + sent++, 1));
        mono_sleep_until(in_ms(100));
    }
    assert_true(mono_now() < until);
    close(slow);
    assert_closed(silent);
    assert_int_equal(counter(w, 0, "meridian_rpc_bad_frames_total"), 0);
    buf_fini(&hello);
    buf_fini(&in);
}

/* Reads the single frame that a refused dialler gets. */
static void assert_refused(int fd, const char *why)
{
    struct buf in = {0};
    struct frame f;
    struct rd rd;

    assert_true(read_to_end(fd, &in));
    assert_int_equal(frame_parse(buf_bytes(&in), 1000, &f, NULL), ST_OK);
    assert_int_equal(f.kind, FR_REFUSE);
    rd = rd_of(f.payload);
    assert_true(bytes_eq(rd_bytes(&rd), bytes_str(why)));
    buf_fini(&in);
    close(fd);
}

static void hello_unacceptable_is_refused_with_a_reason(void **state)
{
    static const struct {
        uint16_t lo, hi;
        const char *cluster;
        node_id node, to;
        const char *why;
    } cases[] = {
        {RPC_WIRE_MAX + 1, 9, "testers", 2, 1, "no common wire version"},
        {0, 0, "testers", 2, 1, "no common wire version"},
        {1, 1, "tester", 2, 1, "another cluster"},
        {1, 1, "testers", 2, 3, "this address belongs to another node than the one dialled"},
        {1, 1, "testers", 9, 1, "unknown node"},
        {1, 1, "testers", 1, 1, "unknown node"},
    };
    struct world *w = *state;

    node_open(w, 0, 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf b = {0};
        int fd = dial_raw(w, 0);

        put_hello(&b, cases[i].lo, cases[i].hi, cases[i].cluster, cases[i].node, 1, cases[i].to, 0);
        send_raw(fd, buf_bytes(&b));
        assert_refused(fd, cases[i].why);
        buf_fini(&b);
    }
    assert_int_equal(counter(w, 0, "meridian_rpc_refused_total"), 6);
}

static int greet_as(struct world *w, uint64_t incarnation, uint16_t wire_max)
{
    struct buf b = {0};
    struct frame f;
    int fd = dial_raw(w, 0);
    ssize_t n;

    put_hello(&b, 1, wire_max, "testers", 2, incarnation, 1, 0);
    send_raw(fd, buf_bytes(&b));
    buf_reset(&b);
    n = recv(fd, buf_reserve(&b, 4096), 4096, 0);
    assert_true(n > 0);
    b.len = (size_t)n;
    assert_int_equal(frame_parse(buf_bytes(&b), 1000, &f, NULL), ST_OK);
    assert_int_equal(f.kind, FR_WELCOME);
    buf_fini(&b);
    return fd;
}

static int greet_raw(struct world *w, uint64_t incarnation)
{
    return greet_as(w, incarnation, 1);
}

/* Sends a ping with this stamp; what comes next must be the answer to it. */
static void assert_ponged(int fd, uint64_t stamp)
{
    struct buf b = {0};
    size_t at = frame_begin(&b, FR_PING);
    struct frame f;
    struct rd rd;
    ssize_t n;

    buf_put_u64(&b, stamp);
    frame_end(&b, at);
    send_raw(fd, buf_bytes(&b));
    buf_reset(&b);
    n = recv(fd, buf_reserve(&b, 4096), 4096, 0);
    assert_true(n > 0);
    b.len = (size_t)n;
    assert_int_equal(frame_parse(buf_bytes(&b), 1000, &f, NULL), ST_OK);
    assert_int_equal(f.kind, FR_PONG);
    rd = rd_of(f.payload);
    assert_int_equal(rd_u64(&rd), stamp);
    buf_fini(&b);
}

/* The own ping cannot carry the answer: the other side would not understand it, or there is no link to it. */
static void ping_is_answered_by_itself_where_no_ping_can(void **state)
{
    struct world *w = *state;
    int old, unlinked;

    node_open(w, 0, 1);
    old = greet_as(w, 1, 1);
    assert_ponged(old, 77);
    unlinked = greet_as(w, 1, RPC_WIRE_MAX);
    assert_ponged(unlinked, 78);
    close(old);
    close(unlinked);
}

/* Messages in a sound frame whose inside is random or cut: also after the hello nothing is believed. */
static void messages_malformed_close_the_connection(void **state)
{
    struct world *w = *state;
    struct rng rng;

    rng_seed(&rng, 7);
    node_open(w, 0, 1);
    for (int i = 0; i < 100; i++) {
        struct buf b = {0};
        int fd = greet_raw(w, 1);
        size_t at = frame_begin(&b, FR_MESSAGES);

        buf_put_u64(&b, i % 4 == 0 ? 2 : 1); /* 2: not the incarnation of the hello */
        buf_put_u8(&b, 1);
        buf_put_u64(&b, i % 4 == 1 ? 200 : 100); /* earliest above latest */
        buf_put_u64(&b, 150);
        buf_put_u8(&b, i % 4 == 2 ? 77 : MSG_ONEWAY); /* no such kind */
        buf_put_u16(&b, COUNT);
        if (i % 4 == 2)
            buf_put_u64(&b, 1);
        buf_put_varint(&b, 1 + rng_below(&rng, UINT64_MAX - 1)); /* longer than what follows */
        frame_end(&b, at);
        send_raw(fd, buf_bytes(&b));
        assert_closed(fd);
        buf_fini(&b);
    }
    assert_int_equal(counter(w, 0, "meridian_rpc_bad_frames_total"), 100);
    assert_int_equal(w->node[0].counted, 0);
}

static void replies_forged_are_ignored(void **state)
{
    struct world *w = *state;
    struct buf b = {0};
    int fd;
    size_t at;

    node_open(w, 0, 1);
    fd = greet_raw(w, 1);
    at = frame_begin(&b, FR_MESSAGES);
    buf_put_u64(&b, 1);
    memset(buf_extend(&b, 17), 0, 17);
    for (uint64_t id = 0; id < 100; id++) {
        buf_put_u8(&b, MSG_REPLY);
        buf_put_u16(&b, 0);
        buf_put_u64(&b, id * 0x123456789);
        buf_put_bytes(&b, bytes_str("gift"));
    }
    buf_put_u8(&b, MSG_ONEWAY);
    buf_put_u16(&b, COUNT);
    buf_put_bytes(&b, bytes_str(""));
    frame_end(&b, at);
    send_raw(fd, buf_bytes(&b));
    AWAIT(w->node[0].counted == 1);
    assert_int_equal(counter(w, 0, "meridian_rpc_late_replies_total"), 100);
    close(fd);
    buf_fini(&b);
}

static void peer_silent_after_hello_is_closed(void **state)
{
    struct world *w = *state;
    int64_t start = mono_now();

    node_open(w, 0, 1);
    assert_closed(greet_raw(w, 1));
    assert_true(mono_now() - start >= RPC_DEAD_MS * (int64_t)NS_PER_MS);
}

static void connection_repeated_replaces_the_older(void **state)
{
    struct world *w = *state;
    struct pollfd p = {.events = POLLIN};
    int first, second, third;

    node_open(w, 0, 1);
    first = greet_raw(w, 1);
    second = greet_raw(w, 1);
    assert_closed(first); /* long before it would have died of silence */
    third = greet_raw(w, 2);
    assert_closed(second);
    p.fd = third;
    assert_int_equal(poll(&p, 1, 0), 0);
    close(third);
}

static int listen_raw(struct world *w, int node)
{
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_port = htons(w->port[node]),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1, lfd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(setsockopt(lfd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
    AWAIT(bind(lfd, (struct sockaddr *)&sa, sizeof sa) == 0);
    assert_int_equal(listen(lfd, 16), 0);
    return lfd;
}

/* The peer's port accepts and says nothing, as a stopped process does. */
static void peer_mute_is_dialled_again(void **state)
{
    struct world *w = *state;
    int lfd = listen_raw(w, 1), n_closed = 0;

    node_open(w, 0, 1);
    while (n_closed < 4) { /* two channels, each at least twice */
        int fd = accept(lfd, NULL, NULL);

        assert_true(fd >= 0);
        if (n_closed % 2 == 1)
            send_raw(fd, bytes_str("HTTP/1.1 400 Bad Request\r\n\r\n"));
        assert_closed(fd);
        n_closed++;
    }
    assert_false(rpc_peer_up(w->node[0].rpc, 2));
    close(lfd);
    node_open(w, 1, 1);
    await_up(w, 0, 1);
    assert_int_equal(call(w, 0, 1, ECHO, "the real one"), ST_OK);
}

/* Accepts connections until the bulk one says hello, and welcomes that. */
static int accept_bulk(int lfd)
{
    for (;;) {
        int fd = accept(lfd, NULL, NULL);
        uint8_t hello[256];
        struct buf b = {0};
        ssize_t n = recv(fd, hello, sizeof hello, 0);
        size_t at = frame_begin(&b, FR_WELCOME);

        assert_true(n > FRAME_HEADER);
        buf_put_u16(&b, 1);
        buf_put_u32(&b, 2);
        buf_put_u64(&b, 1);
        frame_end(&b, at);
        if (hello[n - 1] == RPC_BULK)
            send_raw(fd, buf_bytes(&b));
        buf_fini(&b);
        if (hello[n - 1] == RPC_BULK)
            return fd;
        close(fd);
    }
}

/* Counts the messages of one type in what a node sent, by kind. */
static void count_messages(struct bytes in, uint16_t type, int n_by_kind[MSG_ERROR + 1])
{
    struct frame f;

    while (frame_parse(in, RPC_FRAME_MAX, &f, NULL) == ST_OK) {
        struct rd rd = rd_of(f.payload);

        in = bytes_of(in.ptr + f.size, in.len - f.size);
        if (f.kind != FR_MESSAGES)
            continue;
        (void)rd_raw(&rd, MESSAGES_HEADER);
        while (rd_left(&rd) > 0) {
            uint8_t kind = rd_u8(&rd);
            uint16_t t = rd_u16(&rd);

            if (kind != MSG_ONEWAY)
                (void)rd_u64(&rd);
            (void)rd_bytes(&rd);
            assert_false(rd.bad);
            assert_true(kind <= MSG_ERROR);
            n_by_kind[kind] += t == type;
        }
    }
}

/* The peer reads nothing, so that a call stays in the queue: at its deadline it is taken back, and
 * when the peer reads again, the request is not there. */
static void call_stuck_in_queue_is_taken_back(void **state)
{
    struct world *w = *state;
    size_t len = 8 * 1024 * 1024;
    uint8_t *big = calloc(1, len);
    int lfd = listen_raw(w, 1), fd, kinds[MSG_ERROR + 1] = {0};
    struct waiter stuck, gone;
    struct buf in = {0};

    waiter_init(&stuck);
    waiter_init(&gone);
    node_open(w, 0, 1);
    fd = accept_bulk(lfd);
    AWAIT((rpc_send(w->node[0].rpc, 2, RPC_BULK, ORDER, bytes_of(big, len)),
           counter(w, 0, "meridian_rpc_messages_sent_total") == 3)); /* two of them wait */
    rpc_call(w->node[0].rpc, 2, RPC_BULK, HOLD, bytes_str("stuck"), in_ms(50),
             (struct rpc_done){waiter_done, &stuck});
    assert_int_equal(waiter_wait(&stuck), ST_RETRY);
    assert_non_null(strstr(stuck.err.msg, "before the request left"));
    rpc_call(w->node[0].rpc, 2, RPC_BULK, FAIL, bytes_str("gone"), in_ms(2000),
             (struct rpc_done){waiter_done, &gone});
    while (kinds[MSG_CALL] == 0) {
        ssize_t n = recv(fd, buf_reserve(&in, len), len, 0);

        assert_true(n > 0);
        in.len += (size_t)n;
        if (in.len > 3 * len)
            count_messages(buf_bytes(&in), FAIL, kinds);
    }
    assert_int_equal(waiter_wait(&gone), ST_UNKNOWN); /* that one left, and nobody answered */
    memset(kinds, 0, sizeof kinds);
    count_messages(buf_bytes(&in), HOLD, kinds);
    assert_int_equal(kinds[MSG_CALL], 0);
    assert_int_equal(kinds[MSG_VOID], 1);
    close(fd);
    close(lfd);
    waiter_fini(&stuck);
    waiter_fini(&gone);
    buf_fini(&in);
    free(big);
}

static void strangers_many_do_not_lock_out_a_peer(void **state)
{
    enum { CROWD = RPC_STRANGERS_MAX + 2 * RPC_CHANNELS * NODES + 40 };
    struct world *w = *state;
    int fd[CROWD];

    node_open(w, 0, 1);
    for (int i = 0; i < CROWD; i++)
        fd[i] = dial_raw(w, 0);
    AWAIT(counter(w, 0, "meridian_rpc_refused_total") >= 40);
    node_open(w, 1, 1);
    await_up(w, 1, 0); /* once the crowd has timed out */
    assert_int_equal(call(w, 1, 0, ECHO, "let me in"), ST_OK);
    for (int i = 0; i < CROWD; i++)
        close(fd[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        OVER_NNG(frame_damaged_closes_and_says_why),
        OVER_NNG(random_bytes_1000_strings_leave_it_working),
        OVER_NNG(stranger_silent_or_slow_is_closed),
        OVER_NNG(hello_unacceptable_is_refused_with_a_reason),
        OVER_NNG(messages_malformed_close_the_connection),
        OVER_NNG(ping_is_answered_by_itself_where_no_ping_can),
        OVER_NNG(replies_forged_are_ignored),
        OVER_NNG(peer_silent_after_hello_is_closed),
        OVER_NNG(connection_repeated_replaces_the_older),
        OVER_NNG(peer_mute_is_dialled_again),
        OVER_NNG(call_stuck_in_queue_is_taken_back),
        OVER_NNG(strangers_many_do_not_lock_out_a_peer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
