/*
 * The leader dies while clients write. Each writer knows what was acknowledged to it; what it was told must be there.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "tools/demo/demo_int.h"

enum {
    WRITERS = 8,
    WRITER_NS = 1000000, /* namespaces of the writers in the journal */
    BEFORE_MS = 1500,    /* load before the kill */
    AFTER_ACKS = 20,     /* every writer got so many answers after it */
    BACK_MS = 30000,
    SETTLE_MS = 60000,
    POLL_MS = 20
};

struct outage {
    struct local_cluster *lc;
    _Atomic bool stop, failed;
    pthread_mutex_t mu;
    int64_t last_ack, longest_gap; /* of all writers together; guarded by mu */
};

struct writer {
    struct outage *o;
    int number;
    pthread_t thread;
    _Atomic int64_t acked;    /* writes 1..acked were acknowledged */
    _Atomic int64_t in_doubt; /* answers that did not come, and were asked for again */
    char where[DEMO_WHERE_MAX];
};

static void note_ack(struct outage *o)
{
    int64_t now = mono_now();

    pthread_mutex_lock(&o->mu);
    if (now - o->last_ack > o->longest_gap)
        o->longest_gap = now - o->last_ack;
    o->last_ack = now;
    pthread_mutex_unlock(&o->mu);
}

/* One journal line, until the server says that it is there. Doing it again does nothing twice. */
static bool write_one(struct writer *w, struct mrd_stmt *stmt, int64_t seq)
{
    const struct mrd_value values[] = {mrd_int64(WRITER_NS + w->number), mrd_int64(seq)};

    for (;;) {
        enum mrd_status st = mrd_stmt_run(stmt, values, 2, NULL);

        if (st == MRD_OK)
            return true;
        if (st == MRD_ERROR || st == MRD_MISUSE)
            return false;
        w->in_doubt += st != MRD_RETRY;
        mono_sleep_until(mono_now() + NS_PER_MS);
    }
}

static void *writer_main(void *arg)
{
    struct writer *w = arg;
    struct mrd_conn *c = NULL;
    struct mrd_stmt *stmt = NULL;

    if (mrd_connect(w->where, &c, NULL) != MRD_OK ||
        mrd_prepare(
            c,
            "INSERT INTO journal (ns_id, seq, op, files, bytes, at) VALUES ($1, $2, 'write', "
            "1, 0, CURRENT_TIMESTAMP) ON CONFLICT DO NOTHING",
            &stmt) != MRD_OK)
        w->o->failed = c == NULL || !demo_failed(c, "preparing a write");
    while (!w->o->stop && !w->o->failed) {
        if (!write_one(w, stmt, w->acked + 1)) {
            w->o->failed = !demo_failed(c, "writing");
            break;
        }
        w->acked++;
        note_ack(w->o);
    }
    mrd_stmt_close(stmt);
    mrd_close(c);
    return NULL;
}

static void pause_ms(int ms)
{
    mono_sleep_until(mono_now() + (int64_t)ms * NS_PER_MS);
}

/* Until every writer has had AFTER_ACKS answers more than in `since`. */
static bool all_write_again(struct outage *o, struct writer *writers, const int64_t *since)
{
    int64_t until = mono_now() + (int64_t)BACK_MS * NS_PER_MS;

    while (mono_now() < until && !o->failed) {
        int n = 0;

        for (int i = 0; i < WRITERS; i++)
            n += writers[i].acked >= since[i] + AFTER_ACKS;
        if (n == WRITERS)
            return true;
        pause_ms(POLL_MS);
    }
    return false;
}

static int64_t sum_acked(const struct writer *writers)
{
    int64_t n = 0;

    for (int i = 0; i < WRITERS; i++)
        n += writers[i].acked;
    return n;
}

static bool kill_leader(struct outage *o, struct writer *writers, int *out_killed)
{
    int leader = local_cluster_leader(o->lc);
    int64_t since[WRITERS], gap;

    if (leader == 0) {
        (void)fprintf(stderr, "demo: no node says that it leads\n");
        return false;
    }
    demo_say("%" PRId64 " writes acknowledged so far. Node %d leads: SIGKILL.", sum_acked(writers),
             leader);
    pthread_mutex_lock(&o->mu);
    o->longest_gap = 0;
    pthread_mutex_unlock(&o->mu);
    local_cluster_kill(o->lc, leader);
    *out_killed = leader;
    for (int i = 0; i < WRITERS; i++)
        since[i] = writers[i].acked;
    if (!all_write_again(o, writers, since)) {
        (void)fprintf(stderr, "demo: writes did not resume within %d ms\n", BACK_MS);
        return false;
    }
    pthread_mutex_lock(&o->mu);
    gap = o->longest_gap;
    pthread_mutex_unlock(&o->mu);
    demo_say("Writes were paused for %.0f ms. Node %d leads now; all %d writers go on.",
             (double)gap / NS_PER_MS, local_cluster_leader(o->lc), WRITERS);
    return true;
}

static int64_t applied_of(const struct local_cluster *lc, int node)
{
    char where[128], text[32];

    local_cluster_where_node(lc, node, where, sizeof where);
    local_cluster_info(where, "GROUP", "applied", text, sizeof text);
    return *text == '\0' ? -1 : strtoll(text, NULL, 10);
}

static bool bring_back(struct outage *o, int node)
{
    int leader = local_cluster_leader(o->lc);
    int64_t goal = leader == 0 ? 0 : applied_of(o->lc, leader), start = mono_now();
    struct err err;

    if (local_cluster_start(o->lc, node, &err) != ST_OK) {
        (void)fprintf(stderr, "demo: %s\n", err.msg);
        return false;
    }
    while (applied_of(o->lc, node) < goal) {
        if (mono_now() - start > (int64_t)SETTLE_MS * NS_PER_MS) {
            (void)fprintf(stderr, "demo: node %d did not catch up\n", node);
            return false;
        }
        pause_ms(POLL_MS);
    }
    demo_say("Node %d is back and has caught up after %.0f ms.", node,
             (double)(mono_now() - start) / NS_PER_MS);
    return true;
}

static bool check_writer(struct mrd_conn *c, const struct writer *w)
{
    struct mrd_value ns = mrd_int64(WRITER_NS + w->number);
    struct mrd_rows *rows = NULL;
    int64_t n = 0, last = 0;

    if (mrd_query_values(c, "SELECT count(*), max(seq) FROM journal WHERE ns_id = $1", &ns, 1,
                         &rows) != MRD_OK ||
        mrd_next(rows) != MRD_OK) {
        mrd_rows_close(rows);
        return demo_failed(c, "checking");
    }
    n = mrd_get_int64(rows, 0);
    last = mrd_get_int64(rows, 1);
    mrd_rows_close(rows);
    if (n == w->acked && last == w->acked)
        return true;
    (void)fprintf(stderr,
                  "demo: BROKEN: writer %d was told of %" PRId64 " writes, %" PRId64
                  " are there, the last is %" PRId64 "\n",
                  w->number, w->acked, n, last);
    return false;
}

static bool check_replicas(struct mrd_conn *c, int n_nodes)
{
    struct mrd_rows *rows = NULL;
    char first[128] = "";
    int n = 0, same = 0;

    if (mrd_query(c, "SHOW CLUSTER DIGEST", &rows) != MRD_OK)
        return demo_failed(c, "comparing the replicas");
    while (mrd_next(rows) == MRD_OK) {
        const char *digest = mrd_get_text(rows, 1);

        if (n++ == 0)
            (void)snprintf(first, sizeof first, "%s", digest);
        same += strcmp(first, digest) == 0;
        if (strstr(digest, "rows=") == NULL) {
            (void)fprintf(stderr, "demo: node %s: %s\n", mrd_get_text(rows, 0), digest);
            same = -n_nodes;
        }
    }
    mrd_rows_close(rows);
    if (n != n_nodes || same != n_nodes) {
        (void)fprintf(stderr, "demo: BROKEN: the replicas were not shown to be the same\n");
        return false;
    }
    demo_say("All %d replicas hold the same rows (digest %.16s...).", n, first);
    return true;
}

static bool check_all(struct outage *o, const struct writer *writers)
{
    char where[DEMO_WHERE_MAX];
    struct mrd_conn *c = NULL;
    bool ok = true;
    int64_t in_doubt = 0;

    local_cluster_where(o->lc, 1, where, sizeof where);
    if (mrd_connect(where, &c, NULL) != MRD_OK)
        return false;
    for (int i = 0; i < WRITERS; i++) {
        ok = check_writer(c, &writers[i]) && ok;
        in_doubt += writers[i].in_doubt;
    }
    if (ok)
        demo_say("Every one of %" PRId64 " acknowledged writes is there, none twice (%" PRId64
                 " answers were lost with the node and asked for again).",
                 sum_acked(writers), in_doubt);
    ok = ok && check_replicas(c, local_cluster_nodes(o->lc));
    mrd_close(c);
    return ok;
}

bool demo_outage(struct local_cluster *lc)
{
    struct outage o = {.lc = lc, .last_ack = mono_now()};
    struct writer *writers = xcalloc(WRITERS, sizeof *writers);
    int made = 0, killed = 0;
    bool ok;

    pthread_mutex_init(&o.mu, NULL);
    for (; made < WRITERS; made++) {
        struct writer *w = &writers[made];

        w->o = &o;
        w->number = made;
        local_cluster_where(lc, 1 + made % local_cluster_nodes(lc), w->where, sizeof w->where);
        if (pthread_create(&w->thread, NULL, writer_main, w) != 0)
            break;
    }
    pause_ms(BEFORE_MS);
    ok = made == WRITERS && !o.failed && kill_leader(&o, writers, &killed);
    ok = ok && bring_back(&o, killed);
    o.stop = true;
    for (int i = 0; i < made; i++)
        (void)pthread_join(writers[i].thread, NULL); /* joinable, and joined once */
    ok = ok && !o.failed && check_all(&o, writers);
    pthread_mutex_destroy(&o.mu);
    free(writers);
    return ok;
}
