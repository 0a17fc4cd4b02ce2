#include "tests/clock/record.h"

#include <errno.h>
#include <inttypes.h>
#include <meridian.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/rng.h"
#include "tests/clock/history.h"

enum { GIVE_UP_S = 60 };

struct load {
    const struct record_options *o;
    char *url[RECORD_HOSTS_MAX];
    int port[RECORD_HOSTS_MAX];
    int n_hosts;
    _Atomic bool stop;
    _Atomic int64_t next_id;
    pthread_mutex_t out_mu; /* o->out, line by line */
};

struct client {
    struct load *load;
    int id, host;
    struct mrd_conn *conn;
    struct rng rng;
    pthread_t thread;
};

static int64_t wall_now(void)
{
    struct timespec ts = {0};

    (void)clock_gettime(CLOCK_REALTIME, &ts); /* cannot fail for this clock */
    return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

static void note(struct load *l, const char *line)
{
    pthread_mutex_lock(&l->out_mu);
    if (fputs(line, l->o->out) < 0 || fflush(l->o->out) != 0) {
        fprintf(stderr, "clock_history: cannot write: %s\n", strerror(errno));
        exit(2);
    }
    pthread_mutex_unlock(&l->out_mu);
}

static bool connected(struct client *c)
{
    if (c->conn != NULL && mrd_connected(c->conn))
        return true;
    mrd_close(c->conn);
    c->conn = NULL;
    if (mrd_connect(c->load->url[c->host], &c->conn, NULL) == MRD_OK)
        return true;
    c->conn = NULL;
    mono_sleep_until(mono_now() + 20 * (int64_t)NS_PER_MS);
    return false;
}

/* A connection that died has no SQLSTATE of the server's: 08006 is libpq's word for it. */
static const char *last_sqlstate(const struct client *c)
{
    const char *s = mrd_error(c->conn)->sqlstate;

    if (s[0] != '\0')
        return s;
    return mrd_connected(c->conn) ? "-" : "08006";
}

/* ---- writes ---- */

static enum mrd_status read_counter(struct client *c, int key, int64_t *out_n)
{
    struct mrd_value k = mrd_int64(key);
    struct mrd_rows *rows = NULL;
    enum mrd_status st =
        mrd_query_values(c->conn, "SELECT n FROM clock_counter WHERE k = $1", &k, 1, &rows);

    if (st != MRD_OK)
        return st;
    st = mrd_next(rows);
    if (st == MRD_OK)
        *out_n = mrd_get_int64(rows, 0);
    mrd_rows_close(rows);
    return st;
}

static enum mrd_status write_body(struct client *c, int key, int64_t id, int64_t *out_n)
{
    struct mrd_value row[3];
    int64_t n = -1;
    enum mrd_status st = mrd_run(c->conn, "BEGIN", NULL);

    if (st == MRD_OK)
        st = read_counter(c, key, &n);
    if (st != MRD_OK)
        return st;
    row[0] = mrd_int64(key);
    row[1] = mrd_int64(n + 1);
    row[2] = mrd_int64(id);
    st = mrd_run_values(c->conn, "UPDATE clock_counter SET n = $2 WHERE k = $1", row, 2, NULL);
    if (st == MRD_OK)
        st = mrd_run_values(c->conn, "INSERT INTO clock_log (k, n, id) VALUES ($1, $2, $3)", row, 3,
                            NULL);
    *out_n = n + 1;
    return st;
}

static enum outcome one_write(struct client *c, struct h_write *w)
{
    enum mrd_status st = write_body(c, w->key, w->id, &w->n);
    enum outcome out = OUTCOME_NOT_DONE;

    if (st == MRD_OK) {
        st = mrd_run(c->conn, "COMMIT", NULL);
        if (st == MRD_OK)
            out = OUTCOME_ACKED;
        else if (st == MRD_UNKNOWN || st == MRD_LOST)
            out = OUTCOME_IN_DOUBT;
    }
    w->end = mono_now();
    w->end_wall = wall_now();
    if (st != MRD_OK) {
        (void)snprintf(w->sqlstate, sizeof w->sqlstate, "%s", last_sqlstate(c));
        if (mrd_connected(c->conn) && mrd_txn_state(c->conn) != MRD_IDLE)
            (void)mrd_run(c->conn, "ROLLBACK", NULL); /* if it fails, the connection goes */
    }
    return out;
}

static void do_write(struct client *c)
{
    struct h_write w = {.client = c->id, .port = c->load->port[c->host], .sqlstate = "-"};
    char line[256];

    w.key = (int)rng_below(&c->rng, (uint64_t)c->load->o->keys);
    w.id = ++c->load->next_id;
    w.begin_wall = wall_now();
    w.begin = mono_now();
    w.outcome = one_write(c, &w);
    if (w.outcome == OUTCOME_ACKED && mrd_commit_timestamp(c->conn, &w.ts) != MRD_OK) {
        /* Acknowledged, but when? Its row is looked for all the same. */
        w.outcome = OUTCOME_IN_DOUBT;
        (void)snprintf(w.sqlstate, sizeof w.sqlstate, "%s", last_sqlstate(c));
    }
    (void)snprintf(line, sizeof line,
                   "W %d %d %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %d %" PRId64
                   " %c %" PRId64 " %" PRId64 " %s\n",
                   w.client, w.port, w.begin, w.end, w.begin_wall, w.end_wall, w.key, w.id,
                   (char)w.outcome, w.ts, w.n, w.sqlstate); /* fits: numbers */
    note(c->load, line);
}

/* ---- reads ---- */

/* ", n" of every key in order, into text; false: not every key was there. */
static bool counters_text(struct mrd_rows *rows, int keys, char *text, size_t size)
{
    size_t len = 0;
    int key = 0;

    while (mrd_next(rows) == MRD_OK && key < keys && len < size) {
        if (mrd_get_int64(rows, 0) != key)
            return false;
        len += (size_t)snprintf(text + len, size - len, " %" PRId64, mrd_get_int64(rows, 1));
        key++;
    }
    return key == keys;
}

static void do_read(struct client *c)
{
    struct mrd_rows *rows = NULL;
    char values[HISTORY_KEYS_MAX * 21 + 1] = "", line[512], state[6] = "-";
    int64_t begin = mono_now(), end;
    enum mrd_status st = mrd_query(c->conn, "SELECT k, n FROM clock_counter ORDER BY k", &rows);

    end = mono_now();
    if (st != MRD_OK) {
        (void)snprintf(state, sizeof state, "%s", last_sqlstate(c));
    } else if (!counters_text(rows, c->load->o->keys, values, sizeof values)) {
        fprintf(stderr, "clock_history: a read did not see every counter\n");
        exit(2);
    }
    mrd_rows_close(rows);
    if (st != MRD_OK && strcmp(state, "-") == 0)
        (void)snprintf(state, sizeof state, "XX000");
    (void)snprintf(line, sizeof line, "R %d %d %" PRId64 " %" PRId64 " %s%s\n", c->id,
                   c->load->port[c->host], begin, end, state, values); /* fits */
    note(c->load, line);
}

static void *client_main(void *arg)
{
    struct client *c = arg;

    while (!c->load->stop) {
        if (!connected(c))
            continue;
        if (rng_chance(&c->rng, 0.5))
            do_write(c);
        else
            do_read(c);
        if (c->load->o->pause_ns > 0)
            mono_sleep_until(mono_now() + rng_between(&c->rng, 0, 2 * c->load->o->pause_ns));
    }
    mrd_close(c->conn);
    return NULL;
}

/* ---- before and after ---- */

static bool parse_hosts(struct load *l)
{
    char *copy = xstrdup(l->o->hosts), *save = NULL;
    bool ok = true;

    for (char *p = strtok_r(copy, ",", &save); p != NULL && ok; p = strtok_r(NULL, ",", &save)) {
        char *colon = strrchr(p, ':');
        char url[256];

        ok = colon != NULL && l->n_hosts < RECORD_HOSTS_MAX;
        if (!ok)
            break;
        (void)snprintf(url, sizeof url, "meridian://clock@%s/meridian?connect_timeout=3", p);
        l->url[l->n_hosts] = xstrdup(url);
        l->port[l->n_hosts++] = (int)strtol(colon + 1, NULL, 10);
    }
    free(copy);
    return ok && l->n_hosts > 0;
}

static bool load_open(struct load *l, const struct record_options *o)
{
    *l = (struct load){.o = o, .out_mu = PTHREAD_MUTEX_INITIALIZER};
    if (parse_hosts(l) && o->clients >= 1 && o->clients <= RECORD_CLIENTS_MAX && o->keys >= 1 &&
        o->keys <= HISTORY_KEYS_MAX)
        return true;
    fprintf(stderr, "clock_history: bad hosts, clients or keys\n");
    return false;
}

static void load_close(struct load *l)
{
    for (int i = 0; i < l->n_hosts; i++)
        free(l->url[i]);
}

/* Tries a step through any node until it works, a minute at most. */
static bool persist(struct load *l, const char *what, enum mrd_status (*step)(struct client *c))
{
    int64_t deadline = mono_now() + GIVE_UP_S * (int64_t)NS_PER_S;
    struct client c = {.load = l};
    enum mrd_status st = MRD_LOST;

    while (st != MRD_OK && mono_now() < deadline) {
        if (connected(&c))
            st = step(&c);
        if (st == MRD_OK)
            break;
        if (c.conn != NULL)
            fprintf(stderr, "clock_history: %s through port %d: %s %s\n", what, l->port[c.host],
                    mrd_error(c.conn)->sqlstate, mrd_error(c.conn)->message);
        mrd_close(c.conn);
        c.conn = NULL;
        c.host = (c.host + 1) % l->n_hosts;
        mono_sleep_until(mono_now() + 100 * (int64_t)NS_PER_MS);
    }
    mrd_close(c.conn);
    return st == MRD_OK;
}

static enum mrd_status make_tables(struct client *c)
{
    static const char *const steps[] = {
        "DROP TABLE IF EXISTS clock_counter",
        "DROP TABLE IF EXISTS clock_log",
        "CREATE TABLE clock_counter (k BIGINT PRIMARY KEY, n BIGINT NOT NULL)",
        "CREATE TABLE clock_log (k BIGINT, n BIGINT, id BIGINT NOT NULL, PRIMARY KEY (k, n))",
    };
    enum mrd_status st = MRD_OK;

    for (size_t i = 0; i < sizeof steps / sizeof steps[0] && st == MRD_OK; i++)
        st = mrd_run(c->conn, steps[i], NULL);
    for (int key = 0; key < c->load->o->keys && st == MRD_OK; key++) {
        struct mrd_value k = mrd_int64(key);

        st = mrd_run_values(c->conn, "INSERT INTO clock_counter VALUES ($1, 0)", &k, 1, NULL);
    }
    return st;
}

/* What was in doubt may still be on its way from a gateway. The locks of this read settle it: either the commit is
 * below it, or its locks are gone and it can never be done. */
static enum mrd_status settle(struct client *c)
{
    return mrd_run(c->conn, "SELECT n FROM clock_counter FOR UPDATE", NULL);
}

/* A connection has one set of rows open at a time, and nothing may be noted twice: first all is fetched. */
static enum mrd_status note_tables(struct client *c)
{
    struct mrd_rows *rows = NULL;
    char counters[HISTORY_KEYS_MAX * 32 + 1] = "", line[128];
    size_t len = 0;
    enum mrd_status st = mrd_query(c->conn, "SELECT k, n FROM clock_counter ORDER BY k", &rows);

    while (st == MRD_OK && mrd_next(rows) == MRD_OK && len < sizeof counters)
        len +=
            (size_t)snprintf(counters + len, sizeof counters - len, "C %" PRId64 " %" PRId64 "\n",
                             mrd_get_int64(rows, 0), mrd_get_int64(rows, 1));
    mrd_rows_close(rows);
    rows = NULL;
    if (st == MRD_OK)
        st = mrd_query(c->conn, "SELECT k, n, id FROM clock_log ORDER BY k, n", &rows);
    if (st != MRD_OK)
        return st;
    note(c->load, counters);
    while (mrd_next(rows) == MRD_OK) {
        (void)snprintf(line, sizeof line, "L %" PRId64 " %" PRId64 " %" PRId64 "\n",
                       mrd_get_int64(rows, 0), mrd_get_int64(rows, 1), mrd_get_int64(rows, 2));
        note(c->load, line);
    }
    mrd_rows_close(rows);
    return MRD_OK;
}

bool record_prepare(const struct record_options *o)
{
    struct load l;
    bool ok = load_open(&l, o) && persist(&l, "making tables", make_tables);

    load_close(&l);
    return ok;
}

bool record_run(const struct record_options *o)
{
    struct load l;
    struct client clients[RECORD_CLIENTS_MAX];
    bool ok = load_open(&l, o);
    char byte;

    for (int i = 0; ok && i < o->clients; i++) {
        clients[i] = (struct client){.load = &l, .id = i, .host = i % l.n_hosts};
        rng_seed(&clients[i].rng, o->seed + (uint64_t)i);
        if (pthread_create(&clients[i].thread, NULL, client_main, &clients[i]) != 0) {
            fprintf(stderr, "clock_history: no thread\n");
            exit(2);
        }
    }
    while (ok && (read(o->stop_fd, &byte, 1) > 0 || errno == EINTR))
        errno = 0;
    l.stop = true;
    for (int i = 0; ok && i < o->clients; i++)
        pthread_join(clients[i].thread, NULL);
    ok = ok && persist(&l, "settling", settle) && persist(&l, "reading the tables", note_tables);
    load_close(&l);
    return ok;
}
