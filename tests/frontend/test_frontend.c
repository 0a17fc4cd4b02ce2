#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/rng.h"
#include "tests/frontend/fake_backend.h"

enum { TEST_CONNECTIONS = 4 };

struct world {
    struct metrics *metrics;
    struct frontend *f;
    uint16_t port;
};

static int world_setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    struct frontend_options opts = {.listen = "127.0.0.1:0",
                                    .backend = &fake_backend,
                                    .max_connections = TEST_CONNECTIONS,
                                    .startup_ms = 300};
    struct err err;

    w->metrics = metrics_new();
    opts.metrics = w->metrics;
    assert_int_equal(frontend_open(&opts, &w->f, &err), ST_OK);
    assert_int_equal(frontend_start(w->f, &err), ST_OK);
    w->port = (uint16_t)strtoul(strrchr(frontend_addr(w->f), ':') + 1, NULL, 10);
    *state = w;
    return 0;
}

static int world_teardown(void **state)
{
    struct world *w = *state;

    frontend_close(w->f);
    metrics_free(w->metrics);
    assert_int_equal(fake_sessions(), 0);
    free(w);
    return 0;
}

static PGconn *client(const struct world *w, const char *more)
{
    char info[256];

    (void)snprintf(info, sizeof info, "host=127.0.0.1 port=%u user=u dbname=d %s", w->port, more);
    return PQconnectdb(info);
}

static PGconn *good_client(const struct world *w)
{
    PGconn *c = client(w, "");

    if (PQstatus(c) != CONNECTION_OK)
        fail_msg("%s", PQerrorMessage(c));
    return c;
}

/* Connections end on their own threads; the next one must not meet 53300. */
static void finish(const struct world *w, PGconn *c)
{
    int before = fake_sessions();
    int64_t until = mono_now() + 5 * (int64_t)NS_PER_S;

    (void)w;
    PQfinish(c);
    while (fake_sessions() >= before && mono_now() < until)
        mono_sleep_until(mono_now() + NS_PER_MS);
    assert_true(fake_sessions() < before);
}

static void expect_status(PGresult *r, ExecStatusType want)
{
    if (PQresultStatus(r) != want)
        fail_msg("%s: %s", PQresStatus(PQresultStatus(r)), PQresultErrorMessage(r));
}

static void expect_sqlstate(PGresult *r, const char *want)
{
    const char *got = PQresultErrorField(r, PG_DIAG_SQLSTATE);

    expect_status(r, PGRES_FATAL_ERROR);
    assert_non_null(got);
    assert_string_equal(got, want);
}

static void startup_with_ssl_request_reports_parameters(void **state)
{
    const struct world *w = *state;
    PGconn *c =
        client(w, "sslmode=prefer application_name=tests options='-c client_encoding=UTF8'");

    assert_int_equal(PQstatus(c), CONNECTION_OK);
    assert_int_equal(PQserverVersion(c) / 10000, 15);
    assert_string_equal(PQparameterStatus(c, "integer_datetimes"), "on");
    assert_string_equal(PQparameterStatus(c, "application_name"), "tests");
    assert_true(PQbackendPID(c) > 0);
    finish(w, c);
}

static void startup_unknown_setting_is_refused(void **state)
{
    PGconn *c = client(*state, "options='-c no_such=1'");

    assert_int_equal(PQstatus(c), CONNECTION_BAD);
    assert_non_null(strstr(PQerrorMessage(c), "no_such"));
    PQfinish(c);
}

static void startup_unknown_database_is_refused(void **state)
{
    PGconn *c = client(*state, "dbname=nowhere");

    assert_int_equal(PQstatus(c), CONNECTION_BAD);
    assert_non_null(strstr(PQerrorMessage(c), "nowhere"));
    PQfinish(c);
}

static void startup_beyond_max_connections_is_refused(void **state)
{
    const struct world *w = *state;
    PGconn *c[TEST_CONNECTIONS + 1];

    for (int i = 0; i < TEST_CONNECTIONS; i++)
        c[i] = good_client(w);
    c[TEST_CONNECTIONS] = client(w, "");
    assert_int_equal(PQstatus(c[TEST_CONNECTIONS]), CONNECTION_BAD);
    assert_non_null(strstr(PQerrorMessage(c[TEST_CONNECTIONS]), "too many clients"));
    PQfinish(c[TEST_CONNECTIONS]);
    for (int i = 0; i < TEST_CONNECTIONS; i++)
        finish(w, c[i]);
}

static void query_rows_arrive_as_text(void **state)
{
    const struct world *w = *state;
    PGconn *c = good_client(w);
    PGresult *r = PQexec(c, "rows 3");

    expect_status(r, PGRES_TUPLES_OK);
    assert_int_equal(PQntuples(r), 3);
    assert_int_equal(PQftype(r, 0), 20);
    assert_int_equal(PQftype(r, 1), 25);
    assert_string_equal(PQgetvalue(r, 2, 0), "2");
    assert_string_equal(PQgetvalue(r, 2, 1), "row 2");
    assert_string_equal(PQcmdStatus(r), "SELECT 3");
    PQclear(r);
    r = PQexec(c, "");
    expect_status(r, PGRES_EMPTY_QUERY);
    PQclear(r);
    finish(w, c);
}

static void query_of_many_rows_arrives_whole(void **state)
{
    const struct world *w = *state;
    PGconn *c = good_client(w);
    PGresult *r = PQexec(c, "rows 200000");

    expect_status(r, PGRES_TUPLES_OK);
    assert_int_equal(PQntuples(r), 200000);
    assert_string_equal(PQgetvalue(r, 199999, 1), "row 199999");
    PQclear(r);
    finish(w, c);
}

static void query_error_carries_all_fields_and_session_goes_on(void **state)
{
    const struct world *w = *state;
    PGconn *c = good_client(w);
    PGresult *r = PQexec(c, "fail 22012");

    expect_sqlstate(r, "22012");
    assert_string_equal(PQresultErrorField(r, PG_DIAG_SEVERITY), "ERROR");
    assert_string_equal(PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY), "asked to fail");
    assert_string_equal(PQresultErrorField(r, PG_DIAG_MESSAGE_DETAIL), "the detail");
    assert_string_equal(PQresultErrorField(r, PG_DIAG_MESSAGE_HINT), "the hint");
    assert_string_equal(PQresultErrorField(r, PG_DIAG_STATEMENT_POSITION), "6");
    assert_string_equal(PQresultErrorField(r, PG_DIAG_SOURCE_FILE), "fake_backend.c");
    PQclear(r);
    r = PQexec(c, "rows 1");
    expect_status(r, PGRES_TUPLES_OK);
    PQclear(r);
    finish(w, c);
}

static void transaction_state_reaches_the_client(void **state)
{
    const struct world *w = *state;
    PGconn *c = good_client(w);

    assert_int_equal(PQtransactionStatus(c), PQTRANS_IDLE);
    PQclear(PQexec(c, "begin"));
    assert_int_equal(PQtransactionStatus(c), PQTRANS_INTRANS);
    PQclear(PQexec(c, "fail 22012"));
    assert_int_equal(PQtransactionStatus(c), PQTRANS_INERROR);
    PQclear(PQexec(c, "commit"));
    assert_int_equal(PQtransactionStatus(c), PQTRANS_IDLE);
    finish(w, c);
}

static void prepared_statement_takes_and_gives_both_formats(void **state)
{
    const struct world *w = *state;
    PGconn *c = good_client(w);
    const Oid types[3] = {20, 25, 20};
    uint64_t be = htobe64(77);
    const char *values[3] = {(const char *)&be, "text", NULL};
    const int lengths[3] = {8, 0, 0}, formats[3] = {1, 0, 0};
    PGresult *r = PQprepare(c, "p", "echo $1 $2 $3", 3, types);

    expect_status(r, PGRES_COMMAND_OK);
    PQclear(r);
    r = PQexecPrepared(c, "p", 3, values, lengths, formats, 1);
    expect_status(r, PGRES_TUPLES_OK);
    assert_int_equal(PQfformat(r, 0), 1);
    assert_memory_equal(PQgetvalue(r, 0, 0), &be, 8);
    assert_string_equal(PQgetvalue(r, 0, 1), "text");
    assert_true(PQgetisnull(r, 0, 2));
    PQclear(r);
    r = PQexecPrepared(c, "p", 3, values, lengths, formats, 0);
    assert_string_equal(PQgetvalue(r, 0, 0), "77");
    PQclear(r);
    r = PQdescribePrepared(c, "p");
    assert_int_equal(PQnparams(r), 3);
    assert_int_equal(PQparamtype(r, 1), 25);
    assert_int_equal(PQnfields(r), 3);
    PQclear(r);
    finish(w, c);
}

static void prepared_statement_errors_recover_at_sync(void **state)
{
    const struct world *w = *state;
    PGconn *c = good_client(w);
    const char *values[1] = {"not a number"};
    PGresult *r = PQexecPrepared(c, "none", 0, NULL, NULL, NULL, 0);

    expect_sqlstate(r, "26000");
    PQclear(r);
    PQclear(PQprepare(c, "p", "echo $1", 0, NULL));
    r = PQexecPrepared(c, "p", 0, NULL, NULL, NULL, 0);
    expect_sqlstate(r, "08P01");
    PQclear(r);
    r = PQexecPrepared(c, "p", 1, values, NULL, NULL, 0);
    expect_sqlstate(r, "22P02");
    PQclear(r);
    values[0] = "5";
    r = PQexecPrepared(c, "p", 1, values, NULL, NULL, 0);
    expect_status(r, PGRES_TUPLES_OK);
    PQclear(r);
    finish(w, c);
}

static void sync_failure_replaces_the_completion(void **state)
{
    const struct world *w = *state;
    PGconn *c = good_client(w);
    PGresult *r;

    assert_int_equal(PQsendQueryParams(c, "failsync", 0, NULL, NULL, NULL, NULL, 0), 1);
    r = PQgetResult(c);
    expect_sqlstate(r, "40001");
    PQclear(r);
    assert_null(PQgetResult(c));
    finish(w, c);
}

static void pipeline_error_skips_until_sync(void **state)
{
    const struct world *w = *state;
    PGconn *c = good_client(w);
    static const ExecStatusType want[] = {PGRES_TUPLES_OK, PGRES_FATAL_ERROR,
                                          PGRES_PIPELINE_ABORTED};
    static const char *const text[] = {"rows 1", "fail 22012", "rows 1"};
    PGresult *r;

    assert_int_equal(PQenterPipelineMode(c), 1);
    for (int i = 0; i < 3; i++)
        assert_int_equal(PQsendQueryParams(c, text[i], 0, NULL, NULL, NULL, NULL, 0), 1);
    assert_int_equal(PQpipelineSync(c), 1);
    for (int i = 0; i < 3; i++) {
        r = PQgetResult(c);
        assert_int_equal(PQresultStatus(r), want[i]);
        PQclear(r);
        assert_null(PQgetResult(c));
    }
    r = PQgetResult(c);
    assert_int_equal(PQresultStatus(r), PGRES_PIPELINE_SYNC);
    PQclear(r);
    assert_int_equal(PQexitPipelineMode(c), 1);
    r = PQexec(c, "rows 1");
    expect_status(r, PGRES_TUPLES_OK);
    PQclear(r);
    finish(w, c);
}

static void cancel_request_ends_the_statement(void **state)
{
    const struct world *w = *state;
    PGconn *c = good_client(w);
    PGcancel *cancel = PQgetCancel(c);
    char why[128];
    PGresult *r;

    assert_int_equal(PQsendQuery(c, "hang"), 1);
    assert_int_equal(PQcancel(cancel, why, sizeof why), 1);
    r = PQgetResult(c);
    expect_sqlstate(r, "57014");
    PQclear(r);
    assert_null(PQgetResult(c));
    PQfreeCancel(cancel);
    finish(w, c);
}

static void notice_reaches_the_client(void **state)
{
    const struct world *w = *state;
    PGconn *c = good_client(w);
    PGresult *r = PQexec(c, "notice; rows 1");

    expect_status(r, PGRES_TUPLES_OK);
    PQclear(r);
    finish(w, c);
}

static void idle_transaction_is_ended(void **state)
{
    const struct world *w = *state;
    PGconn *c = good_client(w);
    struct pollfd p = {.fd = PQsocket(c), .events = POLLIN};
    PGresult *r;

    PQclear(PQexec(c, "begin"));
    assert_int_equal(poll(&p, 1, 5000), 1);
    r = PQexec(c, "rows 1");
    assert_int_equal(PQresultStatus(r), PGRES_FATAL_ERROR);
    assert_non_null(strstr(PQerrorMessage(c), "idle-in-transaction"));
    PQclear(r);
    PQfinish(c);
}

/* Raw sockets from here on. */

static int raw_connect(const struct world *w)
{
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_port = htons(w->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct timeval tv = {.tv_sec = 5};

    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    return fd;
}

static void raw_send(int fd, const void *bytes, size_t len)
{
    (void)!send(fd, bytes, len, MSG_NOSIGNAL); /* the server may have closed already */
}

/* Everything until the server closes; returns its length. */
static size_t raw_drain(int fd, char *out, size_t size)
{
    size_t got = 0;
    ssize_t n;

    while (got < size && (n = recv(fd, out + got, size - got, 0)) > 0)
        got += (size_t)n;
    if (got < size)
        assert_false(n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)); /* it must close */
    return got;
}

static const char startup_packet[] = "\0\0\0\x14\0\3\0\0user\0u\0\0\0\0";
enum { STARTUP_LEN = 16 };

static void raw_startup(int fd)
{
    char packet[STARTUP_LEN];
    char in[2048];
    size_t got = 0;

    memcpy(packet, startup_packet, sizeof packet);
    packet[3] = STARTUP_LEN;
    raw_send(fd, packet, sizeof packet);
    while (got < 6 || memcmp(in + got - 6, "Z\0\0\0\5I", 6) != 0) {
        ssize_t n = recv(fd, in + got, sizeof in - got, 0);

        assert_true(n > 0);
        got += (size_t)n;
    }
}

static void expect_fatal(int fd, const char *sqlstate)
{
    char in[2048];
    size_t n = raw_drain(fd, in, sizeof in);

    assert_true(n > 10);
    assert_int_equal(in[0], 'E');
    assert_non_null(memmem(in, n, "SFATAL", 7));
    assert_non_null(memmem(in, n, sqlstate, 5));
    (void)close(fd);
}

static void message_of_impossible_length_is_fatal(void **state)
{
    int fd = raw_connect(*state);

    raw_startup(fd);
    raw_send(fd, "Q\0\0\0\3", 5);
    expect_fatal(fd, "08P01");
}

static void message_too_long_is_fatal(void **state)
{
    int fd = raw_connect(*state);

    raw_startup(fd);
    raw_send(fd, "Q\x7f\0\0\0", 5);
    expect_fatal(fd, "54000");
}

static void message_of_unknown_type_is_fatal(void **state)
{
    int fd = raw_connect(*state);

    raw_startup(fd);
    raw_send(fd, "?\0\0\0\4", 5);
    expect_fatal(fd, "08P01");
}

static void message_without_terminator_is_fatal(void **state)
{
    static const char *const bodies[] = {"Q\0\0\0\7abc", "P\0\0\0\7abc", "B\0\0\0\6\0\0",
                                         "E\0\0\0\5x",   "D\0\0\0\6X\0", "C\0\0\0\5S"};

    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        int fd = raw_connect(*state);

        raw_startup(fd);
        raw_send(fd, bodies[i], (size_t)bodies[i][4] + 1);
        expect_fatal(fd, "08P01");
    }
}

static void bind_with_huge_counts_is_fatal(void **state)
{
    static const char bind[] = "B\0\0\0\xa\0\0\0\0\xff\xff";
    int fd = raw_connect(*state);

    raw_startup(fd);
    raw_send(fd, bind, sizeof bind - 1);
    expect_fatal(fd, "08P01");
}

static void startup_of_old_protocol_is_refused(void **state)
{
    int fd = raw_connect(*state);

    raw_send(fd, "\0\0\0\x8\0\2\0\0", 8);
    expect_fatal(fd, "0A000");
}

static void startup_that_never_comes_is_ended(void **state)
{
    int fd = raw_connect(*state);

    raw_send(fd, "\0\0", 2);
    expect_fatal(fd, "08P01");
}

static void startup_of_newer_protocol_is_negotiated(void **state)
{
    static const char packet[] = "\0\0\0\x19\0\3\0\2user\0u\0_pq_.x\0y\0";
    int fd = raw_connect(*state);
    char in[64];

    raw_send(fd, packet, 25);
    assert_true(recv(fd, in, sizeof in, 0) > 20);
    assert_memory_equal(in, "v\0\0\0\x13\0\0\0\0\0\0\0\1_pq_.x", 20);
    (void)close(fd);
}

static void portal_with_row_limit_is_suspended(void **state)
{
    static const char batch[] = "P\0\0\0\xe\0rows 3\0\0\0"
                                "B\0\0\0\xc\0\0\0\0\0\0\0\0"
                                "E\0\0\0\x9\0\0\0\0\2"
                                "E\0\0\0\x9\0\0\0\0\2"
                                "S\0\0\0\4";
    static const char types[] = "12DDsDCZ";
    int fd = raw_connect(*state);
    char in[1024];
    size_t got = 0, at = 0;

    raw_startup(fd);
    raw_send(fd, batch, sizeof batch - 1);
    raw_send(fd, "X\0\0\0\4", 5);
    got = raw_drain(fd, in, sizeof in);
    for (size_t i = 0; i < sizeof types - 1; i++) {
        assert_true(at + 5 <= got);
        assert_int_equal(in[at], types[i]);
        at += 1 + (size_t)(uint8_t)in[at + 4];
    }
    assert_int_equal(at, got);
    (void)close(fd);
}

static void raw_noise(struct rng *rng, int fd)
{
    char noise[512];
    size_t len = 1 + rng_below(rng, sizeof noise);

    for (size_t i = 0; i < len; i++)
        noise[i] = (char)rng_next(rng);
    if (len > 5 && rng_below(rng, 2) == 0) { /* a message with a plausible head gets further */
        noise[0] = "QPBDECSHFdcfX"[rng_below(rng, 13)];
        noise[1] = noise[2] = 0;
        noise[3] = (char)((len - 1) >> 8);
        noise[4] = (char)(len - 1);
    }
    raw_send(fd, noise, len);
}

static void random_bytes_never_stop_the_server(void **state)
{
    const struct world *w = *state;
    struct rng rng;
    char in[4096];

    rng_seed(&rng, 20250101);
    for (int i = 0; i < 1000; i++) {
        int fd = raw_connect(w);

        if (i % 2 == 0)
            raw_startup(fd);
        for (uint64_t n = 1 + rng_below(&rng, 4); n > 0; n--)
            raw_noise(&rng, fd);
        (void)shutdown(fd, SHUT_WR);
        while (recv(fd, in, sizeof in, 0) > 0)
            ;
        (void)close(fd);
    }
    query_rows_arrive_as_text(state);
}

static void stop_tells_clients_and_cancels(void **state)
{
    struct world *w = *state;
    PGconn *idle = good_client(w), *busy = good_client(w);
    PGresult *r;

    assert_int_equal(PQsendQuery(busy, "hang"), 1);
    frontend_stop(w->f);
    r = PQexec(idle, "rows 1");
    assert_int_equal(PQresultStatus(r), PGRES_FATAL_ERROR);
    assert_non_null(strstr(PQerrorMessage(idle), "administrator command"));
    PQclear(r);
    PQfinish(idle);
    PQfinish(busy);
}

#define WORLD_TEST(fn) cmocka_unit_test_setup_teardown(fn, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(startup_with_ssl_request_reports_parameters),
        WORLD_TEST(startup_unknown_setting_is_refused),
        WORLD_TEST(startup_unknown_database_is_refused),
        WORLD_TEST(startup_beyond_max_connections_is_refused),
        WORLD_TEST(startup_of_old_protocol_is_refused),
        WORLD_TEST(startup_of_newer_protocol_is_negotiated),
        WORLD_TEST(startup_that_never_comes_is_ended),
        WORLD_TEST(query_rows_arrive_as_text),
        WORLD_TEST(query_of_many_rows_arrives_whole),
        WORLD_TEST(query_error_carries_all_fields_and_session_goes_on),
        WORLD_TEST(transaction_state_reaches_the_client),
        WORLD_TEST(prepared_statement_takes_and_gives_both_formats),
        WORLD_TEST(prepared_statement_errors_recover_at_sync),
        WORLD_TEST(sync_failure_replaces_the_completion),
        WORLD_TEST(pipeline_error_skips_until_sync),
        WORLD_TEST(portal_with_row_limit_is_suspended),
        WORLD_TEST(cancel_request_ends_the_statement),
        WORLD_TEST(notice_reaches_the_client),
        WORLD_TEST(idle_transaction_is_ended),
        WORLD_TEST(message_of_impossible_length_is_fatal),
        WORLD_TEST(message_too_long_is_fatal),
        WORLD_TEST(message_of_unknown_type_is_fatal),
        WORLD_TEST(message_without_terminator_is_fatal),
        WORLD_TEST(bind_with_huge_counts_is_fatal),
        WORLD_TEST(random_bytes_never_stop_the_server),
        WORLD_TEST(stop_tells_clients_and_cancels),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
