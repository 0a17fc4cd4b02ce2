#include "tests/store/cluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <ftw.h>
#include <sys/socket.h>

#include "base/check.h"
#include "base/clock.h"

enum { WAIT_S = 20, POLL_NS = 2 * NS_PER_MS };

static void on_fatal(void *arg, const struct err *err)
{
    struct cluster_node *n = arg;

    (void)err;
    atomic_fetch_add(&n->n_fatal, 1);
}

static void on_leading(void *arg, uint64_t term, tstamp lease_start, tstamp floor_ts)
{
    struct cluster_node *n = arg;
    tstamp ts = lease_start > floor_ts ? lease_start : floor_ts;

    pthread_mutex_lock(&n->mu);
    n->term = term;
    n->n_led++;
    if (ts > n->last_ts)
        n->last_ts = ts;
    pthread_mutex_unlock(&n->mu);
}

static void on_lost(void *arg, uint64_t term)
{
    struct cluster_node *n = arg;

    pthread_mutex_lock(&n->mu);
    ASSERT(n->term == term);
    n->term = 0;
    pthread_mutex_unlock(&n->mu);
}

static tstamp on_promised(void *arg, uint64_t term)
{
    struct cluster_node *n = arg;
    tstamp ts;

    (void)term;
    pthread_mutex_lock(&n->mu);
    ts = n->last_ts;
    pthread_mutex_unlock(&n->mu);
    return ts;
}

static void on_applied(void *arg, slot_no slot, tstamp ts)
{
    struct cluster_node *n = arg;

    (void)ts;
    atomic_store(&n->applied_seen, slot);
}

static bool read_clock(void *arg, int64_t *out_earliest, int64_t *out_latest)
{
    struct cluster *c = arg;
    struct tt_interval now = tt_now(c->tt);

    *out_earliest = now.earliest;
    *out_latest = now.latest;
    return !tt_is_void(now);
}

/* A port that the system says is free. */
static void find_addr(char *out, size_t size)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof sin;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    int rc = bind(fd, (struct sockaddr *)&sin, sizeof sin);

    if (rc == 0)
        rc = getsockname(fd, (struct sockaddr *)&sin, &len);
    ASSERT(fd >= 0 && rc == 0);
    close(fd);
    (void)snprintf(out, size, "127.0.0.1:%u", ntohs(sin.sin_port)); /* it fits */
}

static void must(enum status st, const struct err *err, const char *what)
{
    if (st == ST_OK)
        return;
    (void)fprintf(stderr, "%s: %s %s %s\n", what, status_name(st), err->sqlstate, err->msg);
    abort();
}

void cluster_open(struct cluster *c, const struct cluster_options *o)
{
    struct tt_options to = {.source = o->clock != NULL ? o->clock : "fixed:200us"};
    struct err err;

    memset(c, 0, sizeof *c);
    c->o = *o;
    if (c->o.lease_ns == 0)
        c->o.lease_ns = NS_PER_S;
    must(tt_open(&to, &c->tt, &err), &err, "tt_open");
    c->log = log_new(getenv("STORE_LOG") != NULL ? 2 : -1, LOG_DEBUG, NULL);
    c->hub = o->real ? NULL : rpc_hub_new(1);
    for (size_t i = 0; i < CLUSTER_NODES; i++) {
        struct cluster_node *n = &c->nodes[i];

        n->cluster = c;
        n->id = (node_id)i + 1;
        n->faults = faults_new();
        pthread_mutex_init(&n->mu, NULL);
        if (o->real) {
            memcpy(n->dir, "/tmp/meridian-store-XXXXXX", sizeof "/tmp/meridian-store-XXXXXX");
            if (mkdtemp(n->dir) == NULL)
                abort();
            find_addr(n->addr, sizeof n->addr);
        } else {
            n->disk = memdisk_new(i + 1);
        }
    }
}

static int remove_one(const char *path, const struct stat *sb, int type, struct FTW *ftw)
{
    (void)sb;
    (void)type;
    (void)ftw;
    return remove(path);
}

void cluster_close(struct cluster *c)
{
    for (size_t i = 0; i < CLUSTER_NODES; i++) {
        struct cluster_node *n = &c->nodes[i];

        if (n->up)
            cluster_stop(c, i);
        if (n->disk != NULL)
            memdisk_free(n->disk);
        else
            (void)nftw(n->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS); /* litter in /tmp at worst */
        faults_free(n->faults);
        pthread_mutex_destroy(&n->mu);
    }
    if (c->hub != NULL)
        rpc_hub_free(c->hub);
    log_free(c->log);
    tt_close(c->tt);
}

void cluster_start(struct cluster *c, size_t i)
{
    struct cluster_node *n = &c->nodes[i];
    size_t n_nodes = CLUSTER_MAX + c->o.n_more;
    node_id voters[CLUSTER_NODES];
    struct rpc_peer_addr peers[CLUSTER_NODES];
    struct group_upcalls up = {.arg = n,
                               .leading = on_leading,
                               .lost = on_lost,
                               .promised = on_promised,
                               .applied = on_applied};
    struct store_options so = {.dir = n->dir,
                               .memdisk = n->disk,
                               .cluster = "test",
                               .node = n->id,
                               .voters = voters,
                               .n_voters = i < CLUSTER_MAX ? CLUSTER_MAX : 0,
                               .peers = voters,
                               .n_peers = n_nodes,
                               .lease_ns = c->o.lease_ns,
                               .bound_cap_ns = 20 * NS_PER_MS,
                               .gc_retention_ns = c->o.gc_retention_ns,
                               .checkpoint_interval_ns = c->o.checkpoint_interval_ns,
                               .keep_slots = c->o.keep_slots,
                               .lag_slots = c->o.lag_slots,
                               .snapshot_bytes_per_s = c->o.snapshot_bytes_per_s,
                               .tt = c->tt,
                               .log = c->log,
                               .faults = n->faults,
                               .on_fatal = on_fatal,
                               .on_fatal_arg = n};
    struct rpc_options ro = {.cluster = "test",
                             .node = n->id,
                             .listen_addr = n->addr,
                             .peers = peers,
                             .n_peers = n_nodes,
                             .hub = c->hub,
                             .log = c->log,
                             .now = read_clock,
                             .now_arg = c};
    struct err err;

    ASSERT(!n->up);
    for (size_t k = 0; k < n_nodes; k++) {
        voters[k] = c->nodes[k].id;
        peers[k] = (struct rpc_peer_addr){c->nodes[k].id, c->nodes[k].addr};
    }
    n->metrics = metrics_new();
    so.metrics = n->metrics;
    must(store_open(&so, &n->store, &err), &err, "store_open");
    ro.incarnation = store_incarnation(n->store);
    must(rpc_open(&ro, &n->rpc, &err), &err, "rpc_open");
    store_wire(n->store, n->rpc);
    n->group = store_group(n->store, 1);
    group_set_upcalls(n->group, &up);
    store_start(n->store);
    rpc_start(n->rpc);
    n->up = true;
}

static void take_down(struct cluster_node *n)
{
    rpc_close(n->rpc);
    store_close(n->store);
    metrics_free(n->metrics);
    n->up = false;
    n->store = NULL;
    n->group = NULL;
}

void cluster_stop(struct cluster *c, size_t i)
{
    store_stop(c->nodes[i].store);
    take_down(&c->nodes[i]);
}

void cluster_crash(struct cluster *c, size_t i)
{
    ASSERT(!c->o.real);
    store_halt(c->nodes[i].store);
    memdisk_crash(c->nodes[i].disk);
    take_down(&c->nodes[i]);
}

void cluster_crash_all(struct cluster *c)
{
    for (size_t i = 0; i < CLUSTER_NODES; i++)
        if (c->nodes[i].up)
            store_halt(c->nodes[i].store);
    for (size_t i = 0; i < CLUSTER_NODES; i++) {
        if (!c->nodes[i].up)
            continue;
        memdisk_crash(c->nodes[i].disk);
        take_down(&c->nodes[i]);
    }
}

void cluster_wipe(struct cluster *c, size_t i)
{
    struct cluster_node *n = &c->nodes[i];

    ASSERT(!n->up && !c->o.real);
    memdisk_free(n->disk);
    n->disk = memdisk_new(100 + i);
}

void cluster_wait(bool (*is)(void *arg), void *arg, const char *what)
{
    int64_t deadline = mono_now() + WAIT_S * (int64_t)NS_PER_S;

    while (!is(arg)) {
        if (mono_now() > deadline)
            fail_msg("waited in vain until %s", what);
        mono_sleep_until(mono_now() + POLL_NS);
    }
}

/* A node that is down has no term: `lost` comes before its store goes. */
static bool leads(struct cluster_node *n)
{
    struct tt_interval now = tt_now(n->cluster->tt);
    bool yes;

    pthread_mutex_lock(&n->mu);
    yes = n->term != 0 && group_lease_end(n->group, n->term) > now.latest;
    pthread_mutex_unlock(&n->mu);
    return yes;
}

size_t cluster_find_leader(struct cluster *c)
{
    size_t i = 0;

    while (i < CLUSTER_NODES && !leads(&c->nodes[i]))
        i++;
    return i;
}

struct leader_wait {
    struct cluster *c;
    size_t found;
};

static bool some_leads(void *arg)
{
    struct leader_wait *w = arg;

    w->found = cluster_find_leader(w->c);
    return w->found < CLUSTER_NODES;
}

size_t cluster_leader(struct cluster *c)
{
    struct leader_wait w = {.c = c};

    cluster_wait(some_leads, &w, "a node leads");
    return w.found;
}

static bool all_equal(void *arg)
{
    struct cluster *c = arg;
    struct group_report first = {0}, r;

    for (size_t i = 0; i < CLUSTER_NODES; i++) {
        if (!c->nodes[i].up)
            continue;
        group_describe(c->nodes[i].group, &r);
        if (r.applied != r.last || (first.applied != 0 && r.applied != first.applied))
            return false;
        first = r;
    }
    return true;
}

void cluster_wait_equal(struct cluster *c)
{
    cluster_wait(all_equal, c, "all replicas have applied the same slot");
}

void cluster_assert_same_rows(struct cluster *c, uint64_t n_rows)
{
    struct mvcc_digest first = {0}, d;
    bool seen = false;
    struct err err;

    for (size_t i = 0; i < CLUSTER_NODES; i++) {
        struct cluster_node *n = &c->nodes[i];

        if (!n->up)
            continue;
        must(mvcc_digest(store_engine(n->store), bytes_of("\x01", 1), bytes_of(NULL, 0),
                         tablet_applied_ts(group_tablet(n->group)), &d, &err),
             &err, "mvcc_digest");
        assert_int_equal(d.n_rows, n_rows);
        if (seen) {
            assert_int_equal(d.lo, first.lo);
            assert_int_equal(d.hi, first.hi);
        }
        first = d;
        seen = true;
    }
    assert_true(seen);
}

/* Commands. */

static void on_done(struct command *command, enum status st)
{
    struct cluster_put *p = (struct cluster_put *)command;

    pthread_mutex_lock(&p->mu);
    p->finished = true;
    p->st = st;
    pthread_cond_signal(&p->cond);
    pthread_mutex_unlock(&p->mu);
}

static bool propose_locked(struct cluster_node *n, const char *key, struct bytes value,
                           struct txn_id id, struct cluster_put *p)
{
    struct record_write write = {.key = bytes_str(key), .value = value};
    struct record rec = {
        .kind = RECORD_COMMIT, .id = id, .until = TSTAMP_MAX, .writes = &write, .n_writes = 1};
    struct tt_interval now = tt_now(n->cluster->tt);

    if (n->term == 0 || tt_is_void(now))
        return false;
    rec.ts = now.latest > n->last_ts ? now.latest : n->last_ts + 1;
    if (rec.ts > group_lease_end(n->group, n->term))
        return false;
    record_encode(&p->body, &rec);
    p->command.body = buf_bytes(&p->body);
    p->command.ts = rec.ts;
    p->command.term = n->term;
    if (p->command.done == NULL)
        p->command.done = on_done;
    if (group_propose(n->group, &p->command, NULL) != ST_OK)
        return false;
    n->last_ts = rec.ts;
    return true;
}

bool cluster_propose(struct cluster *c, size_t i, const char *key, struct bytes value,
                     struct txn_id id, struct cluster_put *p)
{
    struct cluster_node *n = &c->nodes[i];
    bool taken;

    p->body = (struct buf){0};
    p->finished = p->applied = false;
    pthread_mutex_init(&p->mu, NULL);
    pthread_cond_init(&p->cond, NULL);
    pthread_mutex_lock(&n->mu);
    taken = propose_locked(n, key, value, id, p);
    pthread_mutex_unlock(&n->mu);
    if (!taken) {
        p->finished = true;
        p->st = ST_RETRY;
    }
    return taken;
}

void cluster_wait_for(struct cluster_put *p)
{
    pthread_mutex_lock(&p->mu);
    while (!p->finished)
        pthread_cond_wait(&p->cond, &p->mu);
    pthread_mutex_unlock(&p->mu);
}

enum status cluster_await(struct cluster_put *p)
{
    cluster_wait_for(p);
    buf_fini(&p->body);
    pthread_mutex_destroy(&p->mu);
    pthread_cond_destroy(&p->cond);
    return p->st;
}

struct txn_id cluster_id(struct cluster *c)
{
    return (struct txn_id){
        .start = tt_now(c->tt).latest, .gateway = 1, .counter = atomic_fetch_add(&c->n_ids, 1)};
}

enum status cluster_put(struct cluster *c, size_t i, const char *key, struct bytes value)
{
    struct cluster_put p = {0};

    (void)cluster_propose(c, i, key, value, cluster_id(c), &p); /* await tells */
    return cluster_await(&p);
}

void cluster_put_surely(struct cluster *c, const char *key, struct bytes value)
{
    int64_t deadline = mono_now() + WAIT_S * (int64_t)NS_PER_S;
    struct txn_id id = cluster_id(c);
    struct cluster_put p = {0};

    for (;;) {
        (void)cluster_propose(c, cluster_leader(c), key, value, id, &p); /* await tells */
        if (cluster_await(&p) == ST_OK)
            return;
        if (mono_now() > deadline)
            fail_msg("\"%s\" could not be written", key);
        mono_sleep_until(mono_now() + POLL_NS);
    }
}

bool cluster_has(struct cluster *c, size_t i, const char *key)
{
    struct cluster_node *n = &c->nodes[i];
    struct mvcc_read seen = {0};
    struct bytes value;
    struct arena mem;
    struct err err;
    enum status st;
    tstamp ts;

    arena_init(&mem, 0);
    st = mvcc_get(store_engine(n->store), bytes_str(key), TSTAMP_MAX / 2, &mem, &value, &ts, &seen,
                  &err);
    arena_fini(&mem);
    if (st != ST_NOTFOUND)
        must(st, &err, "mvcc_get");
    return st == ST_OK;
}
