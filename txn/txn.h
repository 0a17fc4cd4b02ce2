/*
 * txn.h - one ordered, transactional, multi-version key space: all that sql ever sees of the house.
 *
 * Hides groups, leaders, locks, timestamps and messages. Serializable and externally consistent: if one
 * commit is acknowledged before another transaction begins, its timestamp is smaller. Read-write transactions lock
 * key ranges at the leader (shared, exclusive; wound-wait by age), buffer their writes here, and read their
 * own writes. Read-only transactions take no lock: they read at a timestamp.
 *
 * Threads: a txn belongs to one session thread at a time; calls may block that thread (lock waits, messages,
 * clock). A read whose replica is on this node runs on the caller's thread. txn_space is shared by all.
 *
 * Errors: ST_ABORT 40001 the transaction was wounded or lost its leader: roll back and run it again;
 * ST_RETRY 40001/57P03 nothing was done; ST_UNKNOWN 40003 commit in doubt even after asking by id (only when
 * no leader could be reached until the deadline); ST_REJECT the request is at fault.
 */
#ifndef MRD_TXN_TXN_H
#define MRD_TXN_TXN_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/ids.h"
#include "base/metrics.h"
#include "base/rpc.h"
#include "base/status.h"
#include "storage/mvcc.h"
#include "storage/store.h"
#include "timesvc/tt.h"

struct txn_space;
struct txn;

enum {
    TXN_RPC_LO = 0x0200,
    TXN_RPC_HI = 0x02ff,
    TXN_WRITES_MAX_BYTES = 8 * 1024 * 1024, /* keys and values of one transaction; more is 54000 */
    TXN_LOCKS_MAX = 100000,                 /* ranges locked by one transaction; more is 53400 */
    TXN_IDLE_TIMEOUT_S = 10, /* silence of a gateway after which the leader drops its transaction */
    TXN_KEY_MAX = 8 * 1024,
    TXN_GETS_MAX = 128 /* keys of one txn_get_many */
};

struct txn_space_options {
    node_id node;
    struct store *store; /* borrowed, as all below */
    struct rpc *rpc;
    struct tt *tt;
    struct logger *log;
    struct metrics *metrics;
    struct faults *faults;
    int64_t op_timeout_ns; /* how long an operation looks for a leader before it fails; 0: 10 s */
    int64_t lease_ns;      /* as the store's; 0: 2 s */
};

/* Registers its rpc types and its group upcalls: before store_start. */
enum status txn_space_open(const struct txn_space_options *opts, struct txn_space **out,
                           struct err *err) MRD_CHECKED;
void txn_space_stop(struct txn_space *s);  /* no new work; wakes all waits */
void txn_space_close(struct txn_space *s); /* after rpc_close and store_stop */

enum txn_mode { TXN_READ_WRITE, TXN_READ_ONLY };
enum txn_lock {
    TXN_LOCK_NONE,     /* read-only transactions */
    TXN_LOCK_SHARED,   /* plain reads of read-write transactions */
    TXN_LOCK_EXCLUSIVE /* SELECT FOR UPDATE, reads before writes */
};

struct txn_options {
    enum txn_mode mode;
    tstamp read_ts;   /* READ_ONLY: exact timestamp; 0 is strong (now().latest) */
    tstamp age;       /* READ_WRITE: start time of the first attempt, kept across retries; 0: now */
    struct txn_id id; /* READ_WRITE: the caller's own id, for idempotent commit; start 0: minted */
    int64_t deadline_mono_ns; /* of each operation; 0: op_timeout from the operation's start */
    const bool *cancel;       /* set by another thread to interrupt waits (57014); may be NULL */
};

enum status txn_begin(struct txn_space *s, const struct txn_options *opts, struct txn **out,
                      struct err *err) MRD_CHECKED;
struct txn_id txn_id_of(const struct txn *t);
tstamp txn_read_ts(struct txn *t); /* READ_ONLY: its timestamp, chosen at begin */

/* Reads. Values are copied into mem. ST_NOTFOUND: no such key. Own writes are seen. *out_ts (may be NULL) is the
 * version's commit timestamp, 0 for an own write. */
enum status txn_get(struct txn *t, struct bytes key, enum txn_lock lock, struct arena *mem,
                    struct bytes *out_value, tstamp *out_ts, struct err *err) MRD_CHECKED;

/* As txn_get for each of 1..TXN_GETS_MAX items, which ascend by key: one question for all of them. Values come in slices:
 * *out_n items, at least one, are answered; ask again for the rest. A missing key is no error. */
enum status txn_get_many(struct txn *t, struct mvcc_item *items, size_t n, enum txn_lock lock,
                         struct arena *mem, size_t *out_n, struct err *err) MRD_CHECKED;

/* Scans [start, end) in order, in slices; own writes are merged in. limit 0: none; otherwise a hint of how
 * many rows will be wanted. With a lock, the part of the range that was read is locked. */
struct txn_scan;
struct txn_scan_options {
    struct bytes start, end; /* borrowed until txn_scan_open returns */
    bool reverse;
    enum txn_lock lock;
    uint64_t limit;
    /* Pushed down: false drops a row before it is copied. Runs on any thread, must not block; NULL none. */
    bool (*filter)(void *arg, struct bytes key, struct bytes value);
    void *filter_arg;
};
enum status txn_scan_open(struct txn *t, const struct txn_scan_options *opts, struct txn_scan **out,
                          struct err *err) MRD_CHECKED;
/* ST_OK: key and value are good until the next call. ST_NOTFOUND: the end. */
enum status txn_scan_next(struct txn_scan *sc, struct bytes *out_key, struct bytes *out_value,
                          struct err *err) MRD_CHECKED;
void txn_scan_close(struct txn_scan *sc); /* NULL is fine; before the transaction ends */

/* Takes locks without reading. */
enum status txn_lock_key(struct txn *t, struct bytes key, enum txn_lock lock,
                         struct err *err) MRD_CHECKED;

/* Writes are buffered; the last one of a key wins. Keys are locked exclusively at the latest at commit. */
enum status txn_put(struct txn *t, struct bytes key, struct bytes value,
                    struct err *err) MRD_CHECKED;
enum status txn_delete(struct txn *t, struct bytes key, struct err *err) MRD_CHECKED;

/* Must be called before anything that was read leaves to the client: waits until the newest version met
 * has surely passed. Nearly always returns at once. */
enum status txn_answer(struct txn *t, struct err *err) MRD_CHECKED;

/* From now on operations, waits for locks included, give up at this mono_now() time with ST_RETRY 57P03; 0: they wait
 * as long as there is a leader. A commit that gives up is in doubt. */
void txn_set_deadline(struct txn *t, int64_t deadline_mono_ns);

/* The schema that the transaction was planned under: [from, until). Commit refuses s >= until (ST_ABORT 40001),
 * read-only transactions outside it likewise. */
void txn_set_schema(struct txn *t, tstamp from, tstamp until);

/* Asynchronous commit: `done` runs once, on any thread, also before this returns. ST_OK: durable on a majority,
 * and its timestamp has passed on a majority of clocks. The txn may be freed after done. */
struct txn_done {
    void (*fn)(void *arg, enum status st, tstamp commit_ts, const struct err *err);
    void *arg;
};
void txn_commit(struct txn *t, struct txn_done done);
/* The blocking wrapper. *out_ts 0 if nothing was written. */
enum status txn_commit_wait(struct txn *t, tstamp *out_ts, struct err *err) MRD_CHECKED;
void txn_rollback(struct txn *t); /* gives up locks; the transaction can only be freed */
void txn_free(struct txn *t);     /* NULL is fine; rolls back what is open */

/* How a commit by id ended: ST_OK (*out_ts), ST_ABORT (surely not committed, and never will be),
 * ST_REJECT (older than the retention). */
enum status txn_outcome(struct txn_space *s, struct txn_id id, tstamp *out_ts,
                        struct err *err) MRD_CHECKED;

/*
 * Schema leases. `from` names a version of the catalog: the timestamp of the schema change that made it. A
 * gateway may use it for timestamps in [from, until). Cached here; asks the leader when needed.
 */
struct txn_schema_lease {
    tstamp from;
    tstamp until;
};
enum status txn_schema_lease(struct txn_space *s, struct txn_schema_lease *out,
                             struct err *err) MRD_CHECKED;
/* Turns a read-write transaction into a schema change: no other runs; gateways give their leases back (or these are
 * waited out), and its commit timestamp is at or above every `until` given. After it the catalog has a new `from`. */
enum status txn_schema_change(struct txn *t, struct err *err) MRD_CHECKED;

/* Digest of [start, end) at t on one node, for comparing replicas. Waits until that node has applied t. */
enum status txn_digest(struct txn_space *s, node_id node, struct bytes start, struct bytes end,
                       tstamp t, struct mvcc_digest *out, struct err *err) MRD_CHECKED;
/* A timestamp at or below which this node's leader has applied everything: good for digests. */
enum status txn_stable_ts(struct txn_space *s, tstamp *out_ts, struct err *err) MRD_CHECKED;

#endif
