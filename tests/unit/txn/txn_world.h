/*
 * txn_world.h - three nodes in one process, up to their transaction spaces, for tests: memory engine and memory network,
 * or WiredTiger and nng over loopback. Included by one .c file per test program.
 */
#ifndef MRD_TESTS_TXN_WORLD_H
#define MRD_TESTS_TXN_WORLD_H

#include <pthread.h>
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
#include "base/rng.h"
#include "storage/engine_mem.h"
#include "txn/space_int.h"
#include "txn/txn.h"

enum { WORLD_NODES = 3, WORLD_WAIT_S = 20 };

struct world_node {
    node_id id;
    bool up;
    struct memdisk *disk; /* NULL: real */
    char dir[64], addr[32];
    struct metrics *metrics;
    struct faults *faults;
    struct rpc *rpc;
    struct store *store;
    struct txn_space *space;
};

struct world {
    const char *clock;
    int64_t lease_ns, op_timeout_ns;
    struct tt *tt;
    struct logger *log;
    struct rpc_hub *hub;
    struct world_node node[WORLD_NODES];
    /* The space of node i has stopped: whoever works with it must end before this returns. May be NULL. */
    void (*on_stopped)(void *arg, size_t i);
    void *on_stopped_arg;
};

static inline void must(enum status st, const struct err *err)
{
    if (st != ST_OK)
        fail_msg("%s %.5s %s", status_name(st), err->sqlstate, err->msg);
}

static bool world_clock(void *arg, int64_t *out_earliest, int64_t *out_latest)
{
    struct world *w = arg;
    struct tt_interval now = tt_now(w->tt);

    *out_earliest = now.earliest;
    *out_latest = now.latest;
    return !tt_is_void(now);
}

static void world_fatal(void *arg, const struct err *err)
{
    (void)arg;
    (void)fprintf(stderr, "fatal: %s\n", err->msg);
    abort();
}

static void world_start(struct world *w, size_t i)
{
    struct world_node *n = &w->node[i];
    node_id voters[WORLD_NODES];
    struct rpc_peer_addr peers[WORLD_NODES];
    struct err err;
    struct store_options so = {.dir = n->dir,
                               .memdisk = n->disk,
                               .cluster = "world",
                               .node = n->id,
                               .voters = voters,
                               .n_voters = WORLD_NODES,
                               .lease_ns = w->lease_ns,
                               .tt = w->tt,
                               .log = w->log,
                               .faults = n->faults,
                               .on_fatal = world_fatal};
    struct rpc_options ro = {.cluster = "world",
                             .node = n->id,
                             .listen_addr = n->addr,
                             .peers = peers,
                             .n_peers = WORLD_NODES,
                             .hub = w->hub,
                             .log = w->log,
                             .now = world_clock,
                             .now_arg = w};
    struct txn_space_options xo = {.node = n->id,
                                   .tt = w->tt,
                                   .log = w->log,
                                   .faults = n->faults,
                                   .op_timeout_ns = w->op_timeout_ns,
                                   .lease_ns = w->lease_ns};

    for (size_t k = 0; k < WORLD_NODES; k++) {
        voters[k] = w->node[k].id;
        peers[k] = (struct rpc_peer_addr){w->node[k].id, w->node[k].addr};
    }
    n->metrics = metrics_new();
    so.metrics = xo.metrics = n->metrics;
    must(store_open(&so, &n->store, &err), &err);
    ro.incarnation = store_incarnation(n->store);
    must(rpc_open(&ro, &n->rpc, &err), &err);
    store_wire(n->store, n->rpc);
    xo.store = n->store;
    xo.rpc = n->rpc;
    must(txn_space_open(&xo, &n->space, &err), &err);
    store_start(n->store);
    rpc_start(n->rpc);
    n->up = true;
}

static void world_take_down(struct world *w, size_t i, bool crash)
{
    struct world_node *n = &w->node[i];

    if (!n->up)
        return;
    if (crash) {
        store_halt(n->store);
        memdisk_crash(n->disk);
    }
    txn_space_stop(n->space);
    if (w->on_stopped != NULL)
        w->on_stopped(w->on_stopped_arg, i);
    store_stop(n->store);
    rpc_close(n->rpc);
    txn_space_close(n->space);
    store_close(n->store);
    metrics_free(n->metrics);
    n->up = false;
    n->space = NULL;
}

static inline void world_stop(struct world *w, size_t i)
{
    world_take_down(w, i, false);
}

static inline void world_crash(struct world *w, size_t i)
{
    world_take_down(w, i, true);
}

/* A port that the system says is free. */
static void world_find_addr(char *out, size_t size)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof sin;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int rc = bind(fd, (struct sockaddr *)&sin, sizeof sin);

    if (rc == 0)
        rc = getsockname(fd, (struct sockaddr *)&sin, &len);
    ASSERT(fd >= 0 && rc == 0);
    close(fd);
    (void)snprintf(out, size, "127.0.0.1:%u", ntohs(sin.sin_port));
}

static void world_prepare(struct world *w, size_t i, bool real)
{
    static const char template[] = "/tmp/meridian-txn-XXXXXX";
    struct world_node *n = &w->node[i];

    n->id = (node_id)i + 1;
    n->faults = faults_new();
    if (!real) {
        n->disk = memdisk_new(i + 1);
        (void)snprintf(n->addr, sizeof n->addr, "memory");
        return;
    }
    memcpy(n->dir, template, sizeof template);
    if (mkdtemp(n->dir) == NULL)
        abort();
    world_find_addr(n->addr, sizeof n->addr);
}

static void world_open_on(struct world *w, const char *clock, bool real)
{
    struct tt_options to = {.source = clock};
    struct err err;

    memset(w, 0, sizeof *w);
    w->clock = clock;
    w->lease_ns = NS_PER_S;
    w->op_timeout_ns = 8 * (int64_t)NS_PER_S;
    must(tt_open(&to, &w->tt, &err), &err);
    w->log = log_new(getenv("TXN_LOG") != NULL ? 2 : -1, LOG_INFO, NULL);
    w->hub = real ? NULL : rpc_hub_new(1);
    for (size_t i = 0; i < WORLD_NODES; i++)
        world_prepare(w, i, real);
    for (size_t i = 0; i < WORLD_NODES; i++)
        world_start(w, i);
}

static inline void world_open(struct world *w, const char *clock)
{
    world_open_on(w, clock, false);
}

static int world_remove(const char *path, const struct stat *sb, int type, struct FTW *ftw)
{
    (void)sb;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void world_close(struct world *w)
{
    for (size_t i = 0; i < WORLD_NODES; i++) {
        world_stop(w, i);
        if (w->node[i].disk != NULL)
            memdisk_free(w->node[i].disk);
        else
            (void)nftw(w->node[i].dir, world_remove, 16,
                       FTW_DEPTH | FTW_PHYS); /* litter at worst */
        faults_free(w->node[i].faults);
    }
    if (w->hub != NULL)
        rpc_hub_free(w->hub);
    log_free(w->log);
    tt_close(w->tt);
}

static inline void world_wait(bool (*is)(void *arg), void *arg, const char *what)
{
    int64_t deadline = mono_now() + WORLD_WAIT_S * (int64_t)NS_PER_S;

    while (!is(arg)) {
        if (mono_now() > deadline)
            fail_msg("waited in vain until %s", what);
        mono_sleep_until(mono_now() + NS_PER_MS);
    }
}

struct world_seek {
    struct world *w;
    size_t found;
};

static bool world_some_leads(void *arg)
{
    struct world_seek *s = arg;

    for (s->found = 0; s->found < WORLD_NODES; s->found++)
        if (s->w->node[s->found].up && leader_term(s->w->node[s->found].space->leader) != 0)
            return true;
    return false;
}

static inline size_t world_leader(struct world *w)
{
    struct world_seek s = {.w = w};

    world_wait(world_some_leads, &s, "a node leads");
    return s.found;
}

static inline struct txn_space *world_space(struct world *w, size_t i)
{
    return w->node[i].space;
}

/* Transactions, shortly. */

static inline struct txn *begin_rw(struct txn_space *s)
{
    struct txn *t;
    struct err err;

    must(txn_begin(s, &(struct txn_options){.mode = TXN_READ_WRITE}, &t, &err), &err);
    return t;
}

static inline struct txn *begin_ro(struct txn_space *s, tstamp t_read)
{
    struct txn *t;
    struct err err;

    must(txn_begin(s, &(struct txn_options){.mode = TXN_READ_ONLY, .read_ts = t_read}, &t, &err),
         &err);
    return t;
}

static inline enum status put_str(struct txn *t, const char *key, const char *value)
{
    struct err err;

    return txn_put(t, bytes_str(key), bytes_str(value), &err);
}

/* The value as text, "-" if there is none; into out. */
static inline enum status get_str(struct txn *t, const char *key, enum txn_lock lock, char *out,
                                  size_t size)
{
    struct arena mem;
    struct bytes value;
    struct err err;
    enum status st;

    arena_init(&mem, 0);
    st = txn_get(t, bytes_str(key), lock, &mem, &value, NULL, &err);
    if (st == ST_OK)
        (void)snprintf(out, size, "%.*s", (int)value.len, (const char *)value.ptr);
    else if (st == ST_NOTFOUND)
        (void)snprintf(out, size, "-");
    else
        (void)snprintf(out, size, "%.5s", err.sqlstate);
    arena_fini(&mem);
    return st;
}

static inline void assert_reads(struct txn *t, const char *key, enum txn_lock lock,
                                const char *want)
{
    char got[256];

    (void)get_str(t, key, lock, got, sizeof got);
    assert_string_equal(got, want);
}

/* Commits and frees. */
static inline enum status commit(struct txn *t, tstamp *out_ts, struct err *err)
{
    enum status st = txn_commit_wait(t, out_ts, err);

    txn_free(t);
    return st;
}

static inline tstamp put_surely(struct txn_space *s, const char *key, const char *value)
{
    tstamp ts = 0;
    enum status st;
    struct err err;

    for (int i = 0; i < 200; i++) {
        struct txn *t = begin_rw(s);

        assert_int_equal(put_str(t, key, value), ST_OK);
        st = commit(t, &ts, &err);
        if (st == ST_OK)
            return ts;
        if (st != ST_ABORT && st != ST_RETRY)
            break;
    }
    must(st, &err);
    return ts;
}

#endif
