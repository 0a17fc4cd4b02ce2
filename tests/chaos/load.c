/*
 * load.c - clients that know what they were promised, for the kill and power-loss campaigns.
 *
 * Each client owns one counter row and a log of rows (client, n). One operation is a transaction that raises
 * the counter from n - 1 to n and inserts log row n. Acknowledged operations go to standard output, a line each,
 * flushed at once:
 *
 *     A <client> <n> <mono_ns>     acknowledged
 *     R <client> <n> <mono_ns>     outcome was in doubt; found committed when asked
 *     V <client> <text>            violation: an acknowledged operation is gone, or one was done twice
 *
 * Runs until standard input ends, then checks every client's counter and log once more, prints
 * `S <acknowledged> <resolved> <retried>` and exits 0, or 1 if there was a violation, or 2 on trouble of its own.
 *
 *     load HOST:PORT[,HOST:PORT...] CLIENTS [FIRST_CLIENT]
 *     load now         prints the clock that the stamps are of
 */
#include <errno.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/rng.h"

enum { HOSTS_MAX = 9, CLIENTS_MAX = 256, ASK_DEADLINE_S = 60 };

struct load {
    char *conninfo[HOSTS_MAX];
    int n_hosts;
    _Atomic bool stop;
    _Atomic bool violated;
    _Atomic long acknowledged, resolved, retried;
    pthread_mutex_t out_mu; /* standard output, line by line */
};

struct client {
    struct load *load;
    int id;
    long n; /* last operation known to be committed */
    PGconn *conn;
    int host;
    struct rng rng;
    pthread_t thread;
};

static void say(struct load *l, char what, int client, long n)
{
    char line[128];
    int len =
        snprintf(line, sizeof line, "%c %d %ld %lld\n", what, client, n, (long long)mono_now());

    pthread_mutex_lock(&l->out_mu);
    if (write(STDOUT_FILENO, line, (size_t)len) != len)
        abort();
    pthread_mutex_unlock(&l->out_mu);
}

static void violation(struct client *c, const char *what, long expected, long found)
{
    char line[256];
    int len = snprintf(line, sizeof line, "V %d %s: expected %ld, found %ld\n", c->id, what,
                       expected, found);

    c->load->violated = true;
    pthread_mutex_lock(&c->load->out_mu);
    if (write(STDOUT_FILENO, line, (size_t)len) != len)
        abort();
    pthread_mutex_unlock(&c->load->out_mu);
}

static void disconnect(struct client *c)
{
    PQfinish(c->conn);
    c->conn = NULL;
}

static bool connected(struct client *c)
{
    if (c->conn != NULL && PQstatus(c->conn) == CONNECTION_OK)
        return true;
    disconnect(c);
    c->host = (c->host + 1) % c->load->n_hosts;
    c->conn = PQconnectdb(c->load->conninfo[c->host]);
    if (PQstatus(c->conn) == CONNECTION_OK)
        return true;
    mono_sleep_until(mono_now() + 20 * (int64_t)NS_PER_MS);
    return false;
}

enum outcome { DONE, NOT_DONE, IN_DOUBT };

/* SQLSTATEs by which the server says that surely nothing happened. */
static bool surely_not_done(const PGresult *r)
{
    const char *code = PQresultErrorField(r, PG_DIAG_SQLSTATE);

    return code != NULL && strcmp(code, "40003") != 0 && strcmp(code, "08007") != 0 &&
           strncmp(code, "57P", 3) != 0;
}

static bool run(struct client *c, const char *sql)
{
    PGresult *r = PQexec(c->conn, sql);
    bool ok = PQresultStatus(r) == PGRES_COMMAND_OK;

    PQclear(r);
    return ok;
}

static enum outcome one_operation(struct client *c)
{
    char sql[256];
    PGresult *r;
    enum outcome out;

    if (!connected(c))
        return NOT_DONE;
    if (!run(c, "BEGIN"))
        goto not_done;
    (void)snprintf(sql, sizeof sql,
                   "UPDATE chaos_counter SET n = n + 1 WHERE client = %d AND n = %ld", c->id,
                   c->n); /* fits: two numbers */
    r = PQexec(c->conn, sql);
    if (PQresultStatus(r) == PGRES_COMMAND_OK && strcmp(PQcmdTuples(r), "1") != 0) {
        /* A row with another n than the one we know: lost or doubled. */
        violation(c, "update found no counter with n", c->n, -1);
        PQclear(r);
        goto not_done;
    }
    if (PQresultStatus(r) != PGRES_COMMAND_OK) {
        PQclear(r);
        goto not_done;
    }
    PQclear(r);
    (void)snprintf(sql, sizeof sql,
                   "INSERT INTO chaos_log (client, n, payload) VALUES (%d, %ld, repeat('x', 80))",
                   c->id, c->n + 1);
    if (!run(c, sql))
        goto not_done;
    r = PQexec(c->conn, "COMMIT");
    if (PQresultStatus(r) == PGRES_COMMAND_OK && strcmp(PQcmdStatus(r), "COMMIT") == 0)
        out = DONE;
    else
        out = PQstatus(c->conn) == CONNECTION_OK && surely_not_done(r) ? NOT_DONE : IN_DOUBT;
    PQclear(r);
    return out;

not_done:
    if (PQstatus(c->conn) == CONNECTION_OK)
        (void)run(c, "ROLLBACK");
    else
        disconnect(c);
    return NOT_DONE;
}

/* One number; -1 if nobody could be asked. */
static long read_number(struct client *c, const char *sql)
{
    PGresult *r;
    long n = -1;

    if (!connected(c))
        return -1;
    r = PQexec(c->conn, sql);
    if (PQresultStatus(r) == PGRES_TUPLES_OK && PQntuples(r) == 1)
        n = strtol(PQgetvalue(r, 0, 0), NULL, 10);
    else
        disconnect(c);
    PQclear(r);
    return n;
}

static long ask_counter(struct client *c)
{
    char sql[128];
    int64_t deadline = mono_now() + ASK_DEADLINE_S * (int64_t)NS_PER_S;
    long n = -1;

    (void)snprintf(sql, sizeof sql, "SELECT n FROM chaos_counter WHERE client = %d FOR UPDATE",
                   c->id);
    while (n < 0 && mono_now() < deadline)
        n = read_number(c, sql);
    return n;
}

/*
 * The connection died in COMMIT. A plain read would not do: the commit may still be on its way from a
 * gateway to the leader. A read that locks the row is final: either the commit holds the lock and we see its
 * result, or its lock is gone and it can never be done.
 */
static void resolve(struct client *c)
{
    long n;

    disconnect(c);
    n = ask_counter(c);
    if (n == c->n + 1) {
        c->n++;
        c->load->resolved++;
        say(c->load, 'R', c->id, c->n);
    } else if (n >= 0 && n != c->n) {
        violation(c, "counter after doubt", c->n, n);
        c->n = n;
    }
}

static void *client_main(void *arg)
{
    struct client *c = arg;

    while (!c->load->stop) {
        switch (one_operation(c)) {
        case DONE:
            c->n++;
            c->load->acknowledged++;
            say(c->load, 'A', c->id, c->n);
            break;
        case NOT_DONE:
            c->load->retried++;
            break;
        case IN_DOUBT:
            resolve(c);
            break;
        }
    }
    return NULL;
}

static void prepare(struct client *c)
{
    char sql[160];

    while (!connected(c))
        ;
    (void)snprintf(sql, sizeof sql,
                   "INSERT INTO chaos_counter VALUES (%d, 0) ON CONFLICT (client) DO NOTHING",
                   c->id);
    (void)run(c, sql); /* a failure shows in the read below */
    c->n = ask_counter(c);
    if (c->n < 0) {
        fprintf(stderr, "load: client %d cannot read its counter: %s\n", c->id,
                c->conn == NULL ? "not connected" : PQerrorMessage(c->conn));
        exit(2);
    }
}

static void final_check(struct client *c)
{
    char sql[160];
    int64_t deadline = mono_now() + ASK_DEADLINE_S * (int64_t)NS_PER_S;
    long counter = ask_counter(c);
    long rows = -1;
    long max = -1;

    if (counter != c->n)
        violation(c, "counter at the end", c->n, counter);
    while ((rows < 0 || max < 0) && mono_now() < deadline) {
        (void)snprintf(sql, sizeof sql, "SELECT count(*) FROM chaos_log WHERE client = %d", c->id);
        rows = read_number(c, sql);
        (void)snprintf(sql, sizeof sql,
                       "SELECT coalesce(max(n), 0) FROM chaos_log WHERE client = %d", c->id);
        max = read_number(c, sql);
    }
    if (rows != c->n)
        violation(c, "log rows at the end", c->n, rows);
    if (max != c->n)
        violation(c, "last log row at the end", c->n, max);
}

static void parse_hosts(struct load *l, char *list)
{
    char *save = NULL;

    for (char *h = strtok_r(list, ",", &save); h != NULL; h = strtok_r(NULL, ",", &save)) {
        char *colon = strrchr(h, ':');
        char info[256];

        if (colon == NULL || l->n_hosts == HOSTS_MAX) {
            fprintf(stderr, "load: bad host list\n");
            exit(2);
        }
        *colon = '\0';
        (void)snprintf(info, sizeof info,
                       "host=%s port=%s user=chaos dbname=meridian sslmode=disable "
                       "gssencmode=disable connect_timeout=2 tcp_user_timeout=5000",
                       h, colon + 1);
        l->conninfo[l->n_hosts++] = xstrdup(info);
    }
}

int main(int argc, char **argv)
{
    static struct load l = {.out_mu = PTHREAD_MUTEX_INITIALIZER};
    struct client *clients;
    int n_clients = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 0;
    int first = argc > 3 ? (int)strtol(argv[3], NULL, 10) : 0;
    char byte;

    if (argc == 2 && strcmp(argv[1], "now") == 0) {
        printf("%lld\n", (long long)mono_now());
        return 0;
    }
    if (n_clients < 1 || n_clients > CLIENTS_MAX) {
        fprintf(stderr, "usage: load HOST:PORT[,HOST:PORT...] CLIENTS [FIRST_CLIENT]\n");
        return 2;
    }
    parse_hosts(&l, argv[1]);
    clients = xcalloc((size_t)n_clients, sizeof *clients);
    for (int i = 0; i < n_clients; i++) {
        clients[i] = (struct client){.load = &l, .id = first + i, .host = i};
        rng_seed(&clients[i].rng, (uint64_t)(first + i));
        prepare(&clients[i]);
    }
    for (int i = 0; i < n_clients; i++)
        if (pthread_create(&clients[i].thread, NULL, client_main, &clients[i]) != 0)
            return 2;
    while (read(STDIN_FILENO, &byte, 1) > 0 || errno == EINTR)
        ;
    l.stop = true;
    for (int i = 0; i < n_clients; i++)
        pthread_join(clients[i].thread, NULL);
    for (int i = 0; i < n_clients; i++) {
        final_check(&clients[i]);
        disconnect(&clients[i]);
    }
    printf("S %ld %ld %ld\n", (long)l.acknowledged, (long)l.resolved, (long)l.retried);
    free(clients);
    for (int i = 0; i < l.n_hosts; i++)
        free(l.conninfo[i]);
    return l.violated ? 1 : 0;
}
