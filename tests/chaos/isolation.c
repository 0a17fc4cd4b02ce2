/*
 * isolation.c - many clients on the same rows: what serializable and strict must mean, as seen from outside.
 *
 *     isolation stale  READ_HOSTS WRITE_HOSTS SECONDS   one writer counts a register up; readers on other
 *                      connections must never see less than what was acknowledged before they asked
 *     isolation lost   HOSTS - SECONDS                  read, add one in the client, write: no update is lost
 *     isolation skew   HOSTS - SECONDS                  two rows, at least one must stay on: no write skew
 *
 * HOSTS is HOST:PORT[,HOST:PORT...]. Prints `reads=.. writes=.. retries=.. violations=..`; exit 0, 1 if there
 * was a violation, 2 on trouble of its own. The tables are made by the caller (see the .test files).
 */
#include <libpq-fe.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/rng.h"

enum { HOSTS_MAX = 9, READERS = 12, WRITERS = 8 };

struct hosts {
    char *conninfo[HOSTS_MAX];
    int n;
};

struct world {
    struct hosts readers, writers;
    int64_t end_ns;
    _Atomic long acknowledged; /* stale: the register's value that a client was promised */
    _Atomic long reads, writes, retries, violations;
};

struct worker {
    struct world *w;
    const struct hosts *hosts;
    int id, host;
    PGconn *conn;
    struct rng rng;
    pthread_t thread;
};

static void drop(struct worker *k)
{
    PQfinish(k->conn);
    k->conn = NULL;
}

static bool connected(struct worker *k)
{
    if (k->conn != NULL && PQstatus(k->conn) == CONNECTION_OK)
        return true;
    drop(k);
    k->host = (k->host + 1) % k->hosts->n;
    k->conn = PQconnectdb(k->hosts->conninfo[k->host]);
    if (PQstatus(k->conn) == CONNECTION_OK)
        return true;
    mono_sleep_until(mono_now() + 20 * (int64_t)NS_PER_MS);
    return false;
}

static bool over(const struct world *w)
{
    return mono_now() >= w->end_ns;
}

/* Runs a statement; *out_value (may be NULL) gets the one number it returns. SQLSTATE, "" on success,
 * "08006" if the connection is gone. */
static const char *query(struct worker *k, char sqlstate[6], long *out_value, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static const char *query(struct worker *k, char sqlstate[6], long *out_value, const char *fmt, ...)
{
    char sql[256];
    va_list ap;
    PGresult *r;
    const char *code;

    va_start(ap, fmt);
    (void)vsnprintf(sql, sizeof sql, fmt, ap); /* statements here are short */
    va_end(ap);
    r = PQexec(k->conn, sql);
    sqlstate[0] = '\0';
    if (PQresultStatus(r) == PGRES_TUPLES_OK && out_value != NULL && PQntuples(r) == 1) {
        *out_value = strtol(PQgetvalue(r, 0, 0), NULL, 10);
    } else if (PQresultStatus(r) != PGRES_COMMAND_OK && PQresultStatus(r) != PGRES_TUPLES_OK) {
        code = PQresultErrorField(r, PG_DIAG_SQLSTATE);
        (void)snprintf(sqlstate, 6, "%s", code == NULL ? "08006" : code);
    }
    PQclear(r);
    return sqlstate;
}

static void complain(struct world *w, const char *what, long expected, long found)
{
    w->violations++;
    fprintf(stderr, "violation: %s: expected %ld, found %ld\n", what, expected, found);
}

static void *stale_reader(void *arg)
{
    struct worker *k = arg;
    char code[6];

    while (!over(k->w)) {
        long before, seen = -1;

        /* Some readers pause at random, so that requests reach a stopped node at every moment. */
        if (k->id % 2 == 0)
            mono_sleep_until(mono_now() + rng_between(&k->rng, 0, 1500 * (int64_t)NS_PER_MS));
        if (!connected(k))
            continue;
        before = k->w->acknowledged;
        if (*query(k, code, &seen, "SELECT n FROM iso_register WHERE id = 1") != '\0') {
            drop(k);
            continue;
        }
        k->w->reads++;
        if (seen < before)
            complain(k->w, "stale read", before, seen);
    }
    return NULL;
}

static void *stale_writer(void *arg)
{
    struct worker *k = arg;
    char code[6];
    long n = 0;

    while (!over(k->w)) {
        if (!connected(k))
            continue;
        if (*query(k, code, NULL, "UPDATE iso_register SET n = %ld WHERE id = 1", n + 1) != '\0') {
            k->w->retries++; /* it may still be done: the next write is the same value, so no harm */
            drop(k);
            continue;
        }
        n++;
        k->w->acknowledged = n;
        k->w->writes++;
    }
    return NULL;
}

static void again(struct worker *k, const char *code)
{
    char ignored[6];

    k->w->retries++;
    if (strncmp(code, "08", 2) == 0 || strncmp(code, "57", 2) == 0)
        drop(k);
    else if (PQtransactionStatus(k->conn) != PQTRANS_IDLE)
        (void)query(k, ignored, NULL, "ROLLBACK"); /* if it fails, the next statement says so */
}

/* 1 committed, 0 surely not, -1 in doubt */
static int commit(struct worker *k)
{
    char code[6];

    if (*query(k, code, NULL, "COMMIT") == '\0')
        return 1;
    again(k, code);
    return strcmp(code, "40001") == 0 ? 0 : -1;
}

static void *lost_update(void *arg)
{
    struct worker *k = arg;
    char code[6];

    while (!over(k->w)) {
        long row = (long)rng_below(&k->rng, 2) + 1;
        long n = -1;

        if (!connected(k))
            continue;
        if (*query(k, code, NULL, "BEGIN") != '\0' ||
            *query(k, code, &n, "SELECT n FROM iso_register WHERE id = %ld", row) != '\0' ||
            *query(k, code, NULL, "UPDATE iso_register SET n = %ld WHERE id = %ld", n + 1, row) !=
                '\0') {
            again(k, code);
            continue;
        }
        switch (commit(k)) {
        case 1:
            k->w->writes++;
            break;
        case -1:
            complain(k->w, "commit in doubt on a healthy cluster", 0, 0);
            break;
        }
    }
    return NULL;
}

static void *write_skew(void *arg)
{
    struct worker *k = arg;
    char code[6];

    while (!over(k->w)) {
        long on = -1;
        long mine = (long)(k->id % 2) + 1;

        if (!connected(k))
            continue;
        if (*query(k, code, NULL, "BEGIN") != '\0' ||
            *query(k, code, &on, "SELECT sum(n) FROM iso_register WHERE id IN (1, 2)") != '\0') {
            again(k, code);
            continue;
        }
        k->w->reads++;
        if (on < 1)
            complain(k->w, "write skew: nobody is on", 1, on);
        /* Off only if the other one stays on; on again otherwise. */
        if (*query(k, code, NULL, "UPDATE iso_register SET n = %d WHERE id = %ld", on == 2 ? 0 : 1,
                   mine) != '\0') {
            again(k, code);
            continue;
        }
        if (commit(k) == 1)
            k->w->writes++;
    }
    return NULL;
}

static void parse_hosts(struct hosts *h, const char *list)
{
    char *copy = xstrdup(list);
    char *save = NULL;

    for (char *p = strtok_r(copy, ",", &save); p != NULL; p = strtok_r(NULL, ",", &save)) {
        char *colon = strrchr(p, ':');
        char info[256];

        if (colon == NULL || h->n == HOSTS_MAX) {
            fprintf(stderr, "isolation: bad host list\n");
            exit(2);
        }
        *colon = '\0';
        (void)snprintf(info, sizeof info,
                       "host=%s port=%s user=iso dbname=meridian sslmode=disable "
                       "gssencmode=disable connect_timeout=20",
                       p, colon + 1);
        h->conninfo[h->n++] = xstrdup(info);
    }
    free(copy);
}

static void start(struct worker *k, struct world *w, int id, const struct hosts *hosts,
                  void *(*fn)(void *))
{
    *k = (struct worker){.w = w, .hosts = hosts, .id = id, .host = id};
    rng_seed(&k->rng, (uint64_t)id + 1);
    if (pthread_create(&k->thread, NULL, fn, k) != 0) {
        fprintf(stderr, "isolation: no thread\n");
        exit(2);
    }
}

/* Total of the two rows must be what was acknowledged. */
static void check_lost(struct world *w)
{
    struct worker k = {.w = w, .hosts = &w->readers};
    char code[6];
    long total = -1;

    w->end_ns = mono_now() + 30 * (int64_t)NS_PER_S;
    while (!over(w) &&
           (!connected(&k) ||
            *query(&k, code, &total, "SELECT sum(n) FROM iso_register WHERE id IN (1, 2)") != '\0'))
        ;
    if (total != w->writes)
        complain(w, "sum of the counters", w->writes, total);
    drop(&k);
}

int main(int argc, char **argv)
{
    static struct world w;
    struct worker workers[READERS + WRITERS];
    int n = 0;

    if (argc != 5 || (strcmp(argv[1], "stale") != 0 && strcmp(argv[1], "lost") != 0 &&
                      strcmp(argv[1], "skew") != 0)) {
        fprintf(stderr, "usage: isolation stale|lost|skew READ_HOSTS WRITE_HOSTS SECONDS\n");
        return 2;
    }
    parse_hosts(&w.readers, argv[2]);
    if (strcmp(argv[1], "stale") == 0)
        parse_hosts(&w.writers, argv[3]);
    w.end_ns = mono_now() + (int64_t)(strtod(argv[4], NULL) * 1e9);
    if (strcmp(argv[1], "stale") == 0) {
        start(&workers[n], &w, n, &w.writers, stale_writer);
        n++;
        for (; n <= READERS; n++)
            start(&workers[n], &w, n, &w.readers, stale_reader);
    } else {
        for (; n < WRITERS; n++)
            start(&workers[n], &w, n, &w.readers,
                  strcmp(argv[1], "lost") == 0 ? lost_update : write_skew);
    }
    for (int i = 0; i < n; i++) {
        pthread_join(workers[i].thread, NULL);
        drop(&workers[i]);
    }
    if (strcmp(argv[1], "lost") == 0)
        check_lost(&w);
    printf("reads=%ld writes=%ld retries=%ld violations=%ld\n", (long)w.reads, (long)w.writes,
           (long)w.retries, (long)w.violations);
    return w.violations == 0 ? 0 : 1;
}
