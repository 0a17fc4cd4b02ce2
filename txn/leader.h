/*
 * leader.h - the leader's side of one group: who holds which locks, what is being committed, what was promised.
 *
 * There is one on each node for each group, leading or not. Every operation is non-blocking: it answers, or it parks the
 * caller's struct leader_wait and says so; when that is woken the caller runs the same operation again. So sessions
 * of this node, service threads that work for remote gateways, and the simulator can all drive it.
 * All memory state (locks, transactions, grants) ends with the leadership; what must survive is in the log.
 *
 * Threads: any. One mutex (lock 1 in txn/README.md), short sections. Strong reads at a timestamp take no mutex at all
 * unless a conflicting write is pending.
 */
#ifndef MRD_TXN_LEADER_H
#define MRD_TXN_LEADER_H

#include <stdbool.h>

#include "base/fault.h"
#include "base/metrics.h"
#include "storage/group.h"
#include "storage/mvcc.h"
#include "timesvc/tt.h"
#include "txn/lock.h"
#include "txn/readmark.h"

struct leader;

enum {
    LEADER_CAP_AHEAD_MS = 3000, /* how far ahead a schema cap is logged */
    LEADER_CAP_RENEW_MS = 1500, /* less than this left: a new one is logged */
    LEADER_LEASE_LEAST_MS = 300 /* a lease shorter than this is not worth giving */
};

struct leader_options {
    node_id node;
    struct group *group; /* borrowed, as all below */
    struct engine *engine;
    struct tt *tt;
    struct metrics *metrics;
    /* A schema change wants the leases of this gateway back: answer with leader_returned, or let them lapse.
     * `fence`: grants with a smaller number must no longer be taken. Must not block. */
    void (*recall)(void *arg, node_id gateway, uint64_t term, uint64_t fence);
    void *recall_arg;
};

struct leader *leader_new(const struct leader_options *opts);
void leader_free(struct leader *l); /* the group has stopped; NULL is fine */

/* The group's upcalls, on its worker; `leader` goes into group_upcalls.arg. */
void leader_upcalls(struct leader *l, struct group_upcalls *out);
/* Every 100 ms or so: silent gateways, lapsed leases, deadlines of waits. */
void leader_tick(struct leader *l, int64_t mono_ns);
bool leader_idle(struct leader *l); /* nothing there that a tick could be about */
/* The gateway's process is gone, or cannot be reached: its transactions end at once. */
void leader_gateway_lost(struct leader *l, node_id gateway);
void leader_stop(struct leader *l);     /* wakes all that is parked; it then fails with 57P01 */
uint64_t leader_term(struct leader *l); /* 0: does not lead */

/* How an operation waits. wake runs under a lock: it signals or enqueues, and returns. */
struct leader_wait {
    void (*wake)(void *arg);
    void *arg;
    bool
        parked; /* set by the operation that returned: wake will run once, then run the operation again */
    /* The leader's, as what follows. */
    enum { LEADER_WAIT_NONE, LEADER_WAIT_LOCK, LEADER_WAIT_MARK, LEADER_WAIT_EVENT } kind;
    struct txn_id id;
    struct readmark_waiter mark;
    int64_t deadline_mono_ns; /* EVENT; 0: none */
    struct leader_wait *next, *prev;
    bool listed;
};
/* After it wake will not run. For a wait that is not wanted any more. */
void leader_unpark(struct leader *l, struct leader_wait *w);

enum { LEADER_GETS_BYTES = 256 * 1024 }; /* of values in one slice of many reads */

/* A transaction as its gateway knows it. */
struct leader_ref {
    struct txn_id id;
    tstamp age;
    node_id gateway;
    uint64_t term; /* leadership in which it holds locks; 0: none yet. Set by the first operation */
    tstamp schema_from; /* planned under this version; -1: none */
};

/* All return ST_RETRY 57P03 where this node does not lead (and nothing is held), ST_ABORT 40001 where the
 * transaction is over; with w->parked set the status says nothing. end.ptr NULL: a point. */
enum status leader_lock(struct leader *l, struct leader_ref *ref, struct bytes start,
                        struct bytes end, enum lock_mode mode, struct leader_wait *w,
                        struct err *err) MRD_CHECKED;
enum status leader_locked_get(struct leader *l, struct leader_ref *ref, struct bytes key,
                              enum lock_mode mode, struct leader_wait *w, struct arena *mem,
                              struct bytes *out_value, tstamp *out_ts, struct mvcc_read *io_seen,
                              struct err *err) MRD_CHECKED;

/* Many keys, ascending; *out_n of them, at least one, are answered. All of them are locked. */
enum status leader_locked_gets(struct leader *l, struct leader_ref *ref, struct mvcc_item *items,
                               size_t n, enum lock_mode mode, struct leader_wait *w,
                               struct arena *mem, size_t *out_n, struct mvcc_read *io_seen,
                               struct err *err) MRD_CHECKED;

/* One slice. limit 0: the whole range is locked; otherwise what the slice covers. */
struct leader_scan {
    struct bytes start, end; /* empty end: above all keys */
    bool reverse;
    uint64_t limit;
    size_t max_rows;
    /* Called for each row; false ends the slice. begin: rows from before are void (the slice runs again). */
    void (*begin)(void *arg);
    bool (*row)(void *arg, struct bytes key, tstamp ts, struct bytes value);
    void *arg;
};
enum status leader_locked_scan(struct leader *l, struct leader_ref *ref,
                               const struct leader_scan *scan, enum lock_mode mode,
                               struct leader_wait *w, struct arena *mem, bool *out_done,
                               struct bytes *out_resume, struct mvcc_read *io_seen,
                               struct err *err) MRD_CHECKED;

/* Reads at t, without locks: the mark is raised, pending writes at or below t are waited out. */
enum status leader_get_at(struct leader *l, struct bytes key, tstamp t, struct leader_wait *w,
                          struct arena *mem, struct bytes *out_value, tstamp *out_ts,
                          struct mvcc_read *io_seen, struct err *err) MRD_CHECKED;
enum status leader_gets_at(struct leader *l, struct mvcc_item *items, size_t n, tstamp t,
                           struct leader_wait *w, struct arena *mem, size_t *out_n,
                           struct mvcc_read *io_seen, struct err *err) MRD_CHECKED;
enum status leader_scan_at(struct leader *l, const struct leader_scan *scan, tstamp t,
                           struct leader_wait *w, struct arena *mem, bool *out_done,
                           struct bytes *out_resume, struct mvcc_read *io_seen,
                           struct err *err) MRD_CHECKED;

/* Commit. With no writes it only proves that every lock is still held. */
struct leader_commit {
    struct txn_id id; /* of the outcome; may start later than the reference's */
    tstamp until;     /* TSTAMP_MAX: no schema */
    bool schema;      /* changes the schema */
    bool fresh;       /* this id was surely never sent before */
    bool blind; /* the transaction read and locked nothing: it may be sent again on ST_RETRY */
    const struct record_write
        *writes; /* by key, each once; good until the call that does not park returns */
    size_t n_writes;
    size_t n_locked; /* the leader's; begin with 0 */
    /* Runs once, if and only if the call returned ST_OK without parking; on any thread, also before it returns. */
    void (*done)(void *arg, enum status st, tstamp s, const struct err *err);
    void *done_arg;
};
enum status leader_commit(struct leader *l, struct leader_ref *ref, struct leader_commit *c,
                          struct leader_wait *w, struct err *err) MRD_CHECKED;
/* Gives up locks and waits, unless the commit is on its way. */
void leader_rollback(struct leader *l, struct txn_id id);
/* Signs of life of a remote gateway's transactions. */
void leader_heard(struct leader *l, const struct txn_id *ids, size_t n, int64_t mono_ns);

/* How a commit ended: ST_OK and its timestamp, or ST_ABORT: surely not, and never will be; ST_REJECT: too old.
 * An unknown id gets a tombstone first. */
enum status leader_outcome(struct leader *l, struct txn_id id, struct leader_wait *w, tstamp *out_s,
                           struct err *err) MRD_CHECKED;
/* Everything at or below t is decided and applied here; logs an empty command if it must. */
enum status leader_close(struct leader *l, tstamp t, struct leader_wait *w,
                         struct err *err) MRD_CHECKED;

/* What stands for the whole schema in the lock table; no row has it. A change locks it exclusively, then commits. */
struct bytes leader_schema_key(void);

/* Schema leases. number orders the grants of a term. */
struct leader_lease {
    tstamp from, until;
    uint64_t term, number;
};
enum status leader_schema_lease(struct leader *l, node_id gateway, struct leader_wait *w,
                                struct leader_lease *out, struct err *err) MRD_CHECKED;
/* The gateway has taken no timestamp above `bound` under its leases, and will not. */
void leader_returned(struct leader *l, node_id gateway, uint64_t term, tstamp bound);

/* Any replica: waits until it has applied t. */
enum status leader_wait_applied(struct leader *l, tstamp t, int64_t deadline_mono_ns,
                                struct leader_wait *w, struct err *err) MRD_CHECKED;

struct leader_stats {
    struct lock_stats locks;
    size_t txns, in_flight;
};
void leader_stats(struct leader *l, struct leader_stats *out);

#endif
