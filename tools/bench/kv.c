/*
 * The clients of one run: a thread and a connection each, closed loop, no think time, prepared statements.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "meridian.h"
#include "tools/bench/bench_int.h"

enum { LOAD_BATCH = 500, CLIENT_STACK = 256 * 1024, VALUE_MAX = 4096 };

enum phase { PHASE_CONNECT, PHASE_WARM, PHASE_MEASURE, PHASE_STOP };

struct crowd {
    const struct bench *b;
    struct bench_run *run;
    _Atomic enum phase phase;
    _Atomic int connected, failed;
    pthread_mutex_t mu; /* guards run->first_error */
};

struct client {
    struct crowd *crowd;
    size_t number;
    pthread_t thread;
    struct mrd_conn *conn;
    struct mrd_stmt *stmt;
    struct rng rng;
    struct hist *latency; /* own, merged at the end */
    int64_t ops, errors, retries;
    char value[VALUE_MAX + 1];
};

static void remember_error(struct client *cl, const char *message)
{
    struct crowd *cr = cl->crowd;

    pthread_mutex_lock(&cr->mu);
    if (cr->run->first_error[0] == '\0')
        (void)snprintf(cr->run->first_error, sizeof cr->run->first_error, "%s", message);
    pthread_mutex_unlock(&cr->mu);
}

static bool client_connect(struct client *cl)
{
    static const char *const sql[] = {
        [BENCH_UPSERT] = "INSERT INTO kv (k, v) VALUES ($1, $2) ON CONFLICT (k) DO UPDATE SET v = "
                         "EXCLUDED.v",
        [BENCH_GET] = "SELECT v FROM kv WHERE k = $1",
    };
    const struct bench *b = cl->crowd->b;
    struct mrd_error err = {0};

    if (mrd_connect(b->where[cl->number % b->n_where], &cl->conn, &err) != MRD_OK) {
        remember_error(cl, err.message);
        return false;
    }
    if (mrd_prepare(cl->conn, sql[cl->crowd->run->op], &cl->stmt) != MRD_OK) {
        remember_error(cl, mrd_error(cl->conn)->message);
        return false;
    }
    return true;
}

static int64_t next_key(struct client *cl)
{
    const struct bench *b = cl->crowd->b;

    if (cl->crowd->run->keys == BENCH_ZIPFIAN)
        return zipf_next(&b->zipf, &cl->rng);
    return 1 + (int64_t)rng_below(&cl->rng, (uint64_t)b->n_keys);
}

/* The last eight bytes change, so that a write is a write. */
static enum mrd_status upsert(struct client *cl, int64_t key)
{
    int len = cl->crowd->b->value_len;
    struct mrd_value values[2] = {mrd_int64(key), mrd_null()};

    (void)snprintf(cl->value + len - 8, 9, "%08" PRIu64, rng_below(&cl->rng, 100000000));
    values[1] = mrd_text(cl->value);
    return mrd_stmt_run(cl->stmt, values, 2, NULL);
}

static enum mrd_status get(struct client *cl, int64_t key)
{
    struct mrd_value value = mrd_int64(key);
    struct mrd_rows *rows = NULL;
    enum mrd_status st = mrd_stmt_query(cl->stmt, &value, 1, &rows);

    if (st != MRD_OK)
        return st;
    st = mrd_next(rows);
    if (st == MRD_DONE) {
        mrd_rows_close(rows);
        remember_error(cl, "a key that was loaded is not there");
        return MRD_ERROR;
    }
    mrd_rows_close(rows);
    return st;
}

/* One operation, until it is done; what the server asks to be run again is, and its time counts. */
static void operate(struct client *cl)
{
    int64_t start = mono_now(), key = next_key(cl);
    bool measured = cl->crowd->phase == PHASE_MEASURE;
    enum mrd_status st;

    do {
        st = cl->crowd->run->op == BENCH_UPSERT ? upsert(cl, key) : get(cl, key);
        cl->retries += measured && st == MRD_RETRY;
    } while (st == MRD_RETRY && cl->crowd->phase != PHASE_STOP);
    if (st != MRD_OK) {
        remember_error(cl, mrd_error(cl->conn)->message);
        cl->errors += measured;
        if (!mrd_connected(cl->conn))
            (void)mrd_reconnect(cl->conn); /* the next operation says whether it helped */
    } else if (measured && cl->crowd->phase == PHASE_MEASURE) {
        cl->ops++;
        hist_add(cl->latency, mono_now() - start);
    }
}

static void *client_main(void *arg)
{
    struct client *cl = arg;

    if (client_connect(cl))
        cl->crowd->connected++;
    else
        cl->crowd->failed++;
    while (cl->crowd->phase == PHASE_CONNECT)
        mono_sleep_until(mono_now() + NS_PER_MS);
    while (cl->crowd->phase != PHASE_STOP && cl->stmt != NULL)
        operate(cl);
    return NULL;
}

static bool start_clients(struct crowd *cr, struct client *clients, int n)
{
    pthread_attr_t attr;
    int made = 0;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, CLIENT_STACK);
    for (; made < n; made++) {
        struct client *cl = &clients[made];

        cl->crowd = cr;
        cl->number = (size_t)made;
        cl->latency = xcalloc(1, sizeof *cl->latency);
        rng_seed(&cl->rng, 1000 + (uint64_t)made);
        memset(cl->value, 'v', (size_t)cr->b->value_len);
        if (pthread_create(&cl->thread, &attr, client_main, cl) != 0)
            break;
    }
    pthread_attr_destroy(&attr);
    while (cr->connected + cr->failed < made)
        mono_sleep_until(mono_now() + NS_PER_MS);
    cr->failed += n - made;
    return cr->failed == 0;
}

static void end_clients(struct crowd *cr, struct client *clients, int n)
{
    cr->phase = PHASE_STOP;
    for (int i = 0; i < n; i++) {
        struct client *cl = &clients[i];

        if (cl->crowd == NULL)
            continue;
        (void)pthread_join(cl->thread, NULL); /* joinable, and joined once */
        cr->run->ops += cl->ops;
        cr->run->errors += cl->errors;
        cr->run->retries += cl->retries;
        hist_merge(cr->run->latency, cl->latency);
        mrd_stmt_close(cl->stmt);
        mrd_close(cl->conn);
        free(cl->latency);
    }
}

static double own_cpu_s(void)
{
    struct rusage ru;

    (void)getrusage(RUSAGE_SELF, &ru); /* cannot fail for these arguments */
    return (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
           (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6;
}

/* The servers' own count of log syncs, of the node that is asked; -1 if it has none. */
static int64_t log_syncs(const struct bench *b)
{
    struct mrd_conn *c = NULL;
    struct mrd_rows *rows = NULL;
    int64_t n = -1;

    if (mrd_connect(b->where[0], &c, NULL) != MRD_OK)
        return -1;
    if (mrd_query(c, "SHOW CLUSTER METRICS", &rows) == MRD_OK)
        while (mrd_next(rows) == MRD_OK)
            if (strcmp(mrd_get_text(rows, 0), "meridian_log_syncs_total") == 0)
                n = strtoll(mrd_get_text(rows, 1), NULL, 10);
    mrd_rows_close(rows);
    mrd_close(c);
    return n;
}

static struct disk_usage disk_now(const struct bench *b)
{
    return b->disk_path == NULL ? (struct disk_usage){0} : disk_usage_of(b->disk_path);
}

/* Usage is read while the clients still are connected: a thread's CPU time goes with the thread. */
static void measure(struct crowd *cr)
{
    struct bench_run *run = cr->run;
    const struct bench *b = cr->b;
    struct proc_usage before, after;
    struct disk_usage d0, d1;
    int64_t start, syncs = log_syncs(b);
    double cpu;

    cr->phase = PHASE_WARM;
    mono_sleep_until(mono_now() + (int64_t)(b->warmup_s * NS_PER_S));
    proc_usage_of(b->pids, b->n_pids, &before);
    d0 = disk_now(b);
    cpu = own_cpu_s();
    start = mono_now();
    cr->phase = PHASE_MEASURE;
    mono_sleep_until(start + (int64_t)(b->seconds * NS_PER_S));
    cr->phase = PHASE_WARM;
    run->elapsed_s = (double)(mono_now() - start) / NS_PER_S;
    run->client_cpu_s = own_cpu_s() - cpu;
    proc_usage_of(b->pids, b->n_pids, &after);
    d1 = disk_now(b);
    run->used = proc_usage_since(&after, &before);
    run->disk.flushes = d1.flushes - d0.flushes;
    run->disk.sectors_written = d1.sectors_written - d0.sectors_written;
    run->log_syncs = syncs < 0 ? -1 : log_syncs(b) - syncs;
}

bool kv_run(const struct bench *b, struct bench_run *run)
{
    struct client *clients = xcalloc((size_t)run->clients, sizeof *clients);
    struct crowd cr = {.b = b, .run = run};
    bool ok;

    run->latency = xcalloc(1, sizeof *run->latency);
    pthread_mutex_init(&cr.mu, NULL);
    ok = start_clients(&cr, clients, run->clients);
    if (ok)
        measure(&cr);
    end_clients(&cr, clients, run->clients);
    pthread_mutex_destroy(&cr.mu);
    free(clients);
    return ok;
}

static bool load_failed(struct mrd_conn *c)
{
    (void)fprintf(stderr, "bench: %s: %s\n", mrd_error(c)->sqlstate, mrd_error(c)->message);
    return false;
}

static enum mrd_status load_batch(const struct bench *b, struct mrd_conn *c, int64_t from,
                                  int64_t to, struct buf *sql, const char *value)
{
    enum mrd_status st;

    buf_reset(sql);
    buf_put(sql, "INSERT INTO kv (k, v) VALUES ", 29);
    for (int64_t k = from; k < to; k++) {
        char row[64];
        int len = snprintf(row, sizeof row, "%s(%" PRId64 ",'", k == from ? "" : ",", k);

        buf_put(sql, row, (size_t)len);
        buf_put(sql, value, (size_t)b->value_len);
        buf_put(sql, "')", 2);
    }
    buf_put_u8(sql, 0);
    do
        st = mrd_run(c, (char *)sql->ptr, NULL);
    while (st == MRD_RETRY);
    return st;
}

bool kv_load(const struct bench *b)
{
    struct mrd_conn *c = NULL;
    struct mrd_error err = {0};
    struct buf sql = {0};
    char value[VALUE_MAX + 1];
    bool ok = true;

    if (mrd_connect(b->where[0], &c, &err) != MRD_OK) {
        (void)fprintf(stderr, "bench: %s\n", err.message);
        return false;
    }
    memset(value, 'v', sizeof value);
    if (mrd_run(c, "DROP TABLE IF EXISTS kv", NULL) != MRD_OK ||
        mrd_run(c, "CREATE TABLE kv (k BIGINT NOT NULL PRIMARY KEY, v TEXT NOT NULL)", NULL) !=
            MRD_OK)
        ok = load_failed(c);
    for (int64_t k = 1; ok && k <= b->n_keys; k += LOAD_BATCH) {
        int64_t to = k + LOAD_BATCH > b->n_keys ? b->n_keys + 1 : k + LOAD_BATCH;

        if (load_batch(b, c, k, to, &sql, value) != MRD_OK)
            ok = load_failed(c);
    }
    buf_fini(&sql);
    mrd_close(c);
    return ok;
}
