/*
 * calm.h - a small calm cluster of Paxos replicas for unit tests: perfect order, fixed delays, virtual time.
 *
 * Nodes 1 to 3 are the voters that the group was made with; more are started blank (calm_start). Their disk is
 * a log in memory; a snapshot that a leader wants sent is installed at once if the two can hear each other.
 */
#ifndef MRD_TESTS_UNIT_STORAGE_CALM_H
#define MRD_TESTS_UNIT_STORAGE_CALM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/clock.h"
#include "storage/paxos/paxos.h"

#define LEASE (INT64_C(2) * NS_PER_S)
#define T0    (INT64_C(1000) * NS_PER_S)
#define MS    ((int64_t)NS_PER_MS)

enum {
    N = 3,
    CALM_NODES = 6,
    DELAY_NS = 100 * NS_PER_US,
    SYNC_NS = NS_PER_MS,
    CALM_QUEUE = 4096,
    CALM_LOG = 1024
};

struct letter {
    int64_t at;
    uint64_t seq;
    node_id to;
    bool is_support;
    struct support_msg support;
    struct buf paxos; /* encoded; owned */
};

struct held {
    uint64_t after;
    struct letter letter;
};

struct node {
    node_id id;
    bool up, stopped;
    uint64_t incarnation;
    struct paxos *paxos;
    struct support *support;
    struct paxos_out out;
    int64_t wake, support_wake, sync_at; /* sync_at 0: none runs */
    uint64_t written, syncing, durable;
    struct held held[64];
    size_t n_held;
    struct paxos_hard hard;
    struct paxos_head head;           /* first 0: from slot 1 */
    struct paxos_entry log[CALM_LOG]; /* [slot]; payloads owned */
    slot_no last;
    bool on_disk_only; /* restarts without payloads in memory */
    size_t n_sent, n_installed;
    int64_t installed_at;
    int64_t lie_ns; /* its clock is wrong by this, and does not know it */
};

struct cluster {
    size_t n; /* nodes that know of each other */
    struct node node[CALM_NODES + 1];
    struct letter queue[CALM_QUEUE];
    size_t n_queue;
    uint64_t seq;
    int64_t now;
    bool cut[CALM_NODES + 1][CALM_NODES + 1];
    size_t cache_bytes;
    char trace[65536];
    size_t trace_len;
};

struct cluster *calm_new(void);            /* nodes 1 to 3 run */
struct cluster *calm_new_of(size_t nodes); /* the same; up to `nodes` may join */
void calm_free(struct cluster *c);
void calm_start(struct cluster *c, node_id id);
/* What was written is kept (the simulator loses unsynced writes). */
void calm_kill(struct cluster *c, node_id id);
void calm_step(struct cluster *c, struct node *n, struct paxos_in in);
void calm_run(struct cluster *c, int64_t ns);
void calm_run_until(struct cluster *c, int64_t until);
/* The one leader; 0 if there is none. Fails if there are two that hold a lease. */
node_id calm_leader(struct cluster *c);
node_id calm_wait_leader(struct cluster *c, int64_t at_most_ns);
slot_no calm_propose(struct cluster *c, node_id id, const char *text);
void calm_propose_many(struct cluster *c, node_id id, int count); /* one after the other */
void calm_isolate(struct cluster *c, node_id id, bool cut);
/* All three: from the first slot that both compared logs hold. */
void calm_assert_logs_equal(struct cluster *c, slot_no last);
void calm_assert_trace(struct cluster *c, const char *want); /* since the last look */
void calm_forget_trace(struct cluster *c);

#endif
