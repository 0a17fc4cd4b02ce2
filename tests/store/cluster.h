/*
 * cluster.h - a few stores in one process, for tests: on the memory engine and the in-process network, or on
 * WiredTiger and nng over loopback.
 */
#ifndef MRD_TESTS_STORE_CLUSTER_H
#define MRD_TESTS_STORE_CLUSTER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/fault.h"
#include "storage/engine_mem.h"
#include "storage/mvcc.h"
#include "storage/store.h"

/* CLUSTER_MAX nodes found the cluster; there may be more, which join when they are started. */
enum { CLUSTER_MAX = 3, CLUSTER_NODES = 5, CLUSTER_KEY_MAX = 32 };

struct cluster_options {
    bool real;         /* WiredTiger and nng */
    size_t n_more;     /* nodes besides the CLUSTER_MAX that found it; all know their addresses */
    int64_t lease_ns;  /* 0: 1 s */
    const char *clock; /* NULL: fixed:200us */
    int64_t gc_retention_ns; /* 0: the store's default; as all below */
    int64_t checkpoint_interval_ns;
    uint64_t keep_slots, lag_slots, snapshot_bytes_per_s;
};

struct cluster_node {
    struct cluster *cluster;
    node_id id;
    bool up;
    struct memdisk *disk;
    char dir[64], addr[32];
    struct faults *faults;
    struct metrics *metrics;
    struct rpc *rpc;
    struct store *store;
    struct group *group;
    atomic_int n_fatal;
    _Atomic uint64_t applied_seen;

    pthread_mutex_t mu; /* the next three: whoever proposes, and the upcalls */
    uint64_t term;
    tstamp last_ts; /* assigned or told */
    uint64_t n_led; /* leaderships so far */
};

struct cluster {
    struct cluster_options o;
    struct tt *tt;
    struct logger *log;
    struct rpc_hub *hub;
    struct cluster_node nodes[CLUSTER_NODES];
    atomic_uint n_ids;
};

void cluster_open(struct cluster *c, const struct cluster_options *o);
void cluster_close(struct cluster *c); /* stops what runs */

void cluster_start(struct cluster *c, size_t i);
void cluster_stop(struct cluster *c, size_t i);  /* clean */
void cluster_crash(struct cluster *c, size_t i); /* power loss, on the memory engine */
void cluster_crash_all(struct cluster *c);       /* of all that are up, at once */
void cluster_wipe(struct cluster *c,
                  size_t i); /* an empty disk, on the memory engine; it is down */

/* Waits; fails the test with `what` after 20 seconds. */
void cluster_wait(bool (*is)(void *arg), void *arg, const char *what);
size_t cluster_find_leader(struct cluster *c); /* CLUSTER_NODES: nobody leads now. Any thread */
size_t cluster_leader(struct cluster *c);      /* waits until one that is up leads */
void cluster_wait_equal(struct cluster *c); /* until all that are up have applied the same slot */
void cluster_assert_same_rows(struct cluster *c, uint64_t n_rows);

/* One row. A put is a command of its own; blocks until `done`, returns its status; RETRY also if nobody
 * took it. */
enum status cluster_put(struct cluster *c, size_t i, const char *key, struct bytes value);
/* The same, wherever the leader is, until it is ST_OK; ids make repeating safe. */
void cluster_put_surely(struct cluster *c, const char *key, struct bytes value);
bool cluster_has(struct cluster *c, size_t i, const char *key);

struct txn_id cluster_id(struct cluster *c); /* a new one */
/* A command that is on its way: for many at once. */
struct cluster_put {
    struct command command; /* first, so that a callback finds the rest */
    struct buf body;
    pthread_mutex_t mu;
    pthread_cond_t cond;
    bool finished, applied;
    enum status st;
};
/* What the caller set in p->command.done and .applied stands; NULL done: the usual. False: nobody took it. */
bool cluster_propose(struct cluster *c, size_t i, const char *key, struct bytes value,
                     struct txn_id id, struct cluster_put *p);
void cluster_wait_for(struct cluster_put *p);     /* until `done` has run */
enum status cluster_await(struct cluster_put *p); /* and frees what p holds */

#endif
