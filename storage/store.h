/*
 * store.h - everything durable of one node: the engine, the consensus log, the groups and their threads.
 *
 * Hides the worker (steps Paxos, support and apply of its groups), the one log writer (drains the
 * appends of all groups into one engine transaction and one sync), checkpoints and log truncation,
 * and recovery. The store's uuid is minted when it is made; a directory of another cluster or node is refused.
 *
 * Threads: store_open/start/stop/close from the thread that wires the node. on_fatal may run on any
 * thread and must end the process or the node; it is never called twice.
 */
#ifndef MRD_STORAGE_STORE_H
#define MRD_STORAGE_STORE_H

#include "base/fault.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/rpc.h"
#include "storage/engine.h"
#include "storage/group.h"
#include "storage/mutant.h"
#include "timesvc/tt.h"
#include "timesvc/tt_suspect.h"

struct store;
struct store_hand;

/* rpc message types of this floor */
enum { STORE_RPC_LO = 0x0100, STORE_RPC_SNAPSHOT = 0x0180, STORE_RPC_HI = 0x01ff };

struct store_options {
    const char *dir;         /* data directory; NULL with memdisk */
    struct memdisk *memdisk; /* tests: the memory engine instead of WiredTiger */
    const char *cluster;
    node_id node;
    /* Of the one group, if it is new here; afterwards the log says. None: this node joins a cluster that is there, and
     * has no part until it is made a member. */
    const node_id *voters;
    size_t n_voters;
    const node_id *peers; /* every node that this one may meet; none: the voters */
    size_t n_peers;
    int64_t lease_ns;     /* 0: 2 s */
    int64_t bound_cap_ns; /* 0: 500 ms; an interval wider than twice this counts as void */
    int64_t checkpoint_interval_ns; /* 0: 30 s */
    uint64_t checkpoint_log_bytes;  /* 0: 128 MiB of log since the last one */
    uint64_t cache_bytes;           /* engine cache; 0: 64 MiB */
    int64_t gc_retention_ns;        /* history that stays readable; 0: 10 min */
    uint64_t keep_slots;            /* of the log's end, never dropped; 0: 1,024 */
    /* A voter that is absent keeps the others' logs from being cut up to here; beyond, it gets a snapshot. */
    uint64_t lag_slots;            /* 0: 1,000,000 */
    uint64_t lag_bytes;            /* 0: 512 MiB */
    uint64_t snapshot_bytes_per_s; /* pace of the snapshots that leave; 0: 64 MiB */
    bool fault_nosync;             /* test builds: never sync */
    uint64_t log_cache_bytes;      /* payloads kept in memory per group; 0: 16 MiB */
    /* So many groups besides group 1, without a range: to measure what they cost. */
    uint32_t idle_groups;
    MUTANT_FIELD
    const struct store_hand *hand; /* the simulator: no threads, see store_step.h; NULL */
    struct tt *tt;                 /* borrowed, as all below */
    struct logger *log;
    struct metrics *metrics;
    struct faults *faults;
    void (*on_fatal)(void *arg, const struct err *err);
    void *on_fatal_arg;
};

/* Opens or makes the store and recovers it. Nothing runs yet. */
enum status store_open(const struct store_options *opts, struct store **out,
                       struct err *err) MRD_CHECKED;
uint64_t store_incarnation(struct store *s); /* number of this start, durable: rpc_open wants it */
void store_wire(struct store *s, struct rpc *rpc); /* borrows rpc; registers the message types */
void store_start(struct store *s); /* threads run; after rpc is wired, before rpc_start */
/* Clean stop: gives up leases, stops threads. */
void store_stop(struct store *s);
/* As a crash would: the threads end where they stand, nothing is given back. For tests; then store_close. */
void store_halt(struct store *s);
void store_close(struct store *s);

struct group *store_group(struct store *s,
                          group_id group); /* NULL if unknown; group 1 exists always */
struct engine *store_engine(struct store *s);
/* What the nodes say of their clocks, this one first; the others' as they told it last. Any thread. */
struct store_clock {
    node_id node;
    int64_t heard_ns; /* how long ago it told; 0 this node; -1 never: then the rest says nothing */
    struct tt_clock_report report;
};
size_t store_clocks(struct store *s, struct store_clock *out, size_t max);
bool store_read_only(struct store *s); /* the disk is full: writes are refused with 53100 */
enum status store_checkpoint(struct store *s, struct err *err) MRD_CHECKED; /* now; blocks */

#endif
