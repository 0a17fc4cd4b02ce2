/*
 * engine.h - the storage engine of a node: two ordered tables in one store, narrow on purpose.
 *
 * Hides WiredTiger (engine_wt.c) and a memory engine with the same crash semantics (engine_mem.c).
 *   ENGINE_LOG   consensus entries and promises. A commit with ENGINE_SYNC is durable when it returns.
 *   ENGINE_DATA  row versions and group state. Never logged: durable only up to the last completed checkpoint.
 * After a crash LOG holds every synced commit (and perhaps later ones), DATA is exactly the last
 * completed checkpoint. A transaction over both tables is therefore not atomic across a crash.
 *
 * Threads: any thread; a transaction or a cursor belongs to the thread that opened it. A cursor borrows an
 * engine session from a pool (ENGINE_SESSIONS_MAX; more waits), so a thread holds at most one cursor at a time;
 * it may commit while it does. A transaction is a buffer that takes effect whole at commit; no read sees it
 * before. No cursor may outlive a slice of a scan, a lock wait or a network wait: 3.2.1 answers long
 * snapshots with its lookaside.
 */
#ifndef MRD_STORAGE_ENGINE_H
#define MRD_STORAGE_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/status.h"

struct engine;
struct engine_txn;
struct engine_cursor;

enum engine_table { ENGINE_LOG, ENGINE_DATA, ENGINE_TABLES };
enum engine_sync { ENGINE_NOSYNC, ENGINE_SYNC };

enum {
    ENGINE_SESSIONS_MAX = 64,
    ENGINE_KEY_MAX = 16 * 1024,         /* larger is ST_REJECT 54000 */
    ENGINE_VALUE_MAX = 16 * 1024 * 1024 /* likewise */
};

struct engine_options {
    const char *dir;         /* made if missing */
    uint64_t cache_bytes;    /* 0: 64 MiB; below 32 MiB is ST_REJECT 22023 */
    uint64_t log_file_bytes; /* 0: 16 MiB */
    bool
        fault_nosync; /* test builds: commits with ENGINE_SYNC do not sync (the power-loss test must catch it) */
    struct logger *log;    /* borrowed */
    struct faults *faults; /* borrowed, may be NULL; see below */
};

/* Fault points. The ARG is the errno that the engine seems to meet; without one:
 *   "engine.sync"        EIO: an ENGINE_SYNC commit has happened but is perhaps not durable: ST_FATAL
 *   "engine.commit"      ENOSPC: nothing happened: ST_REJECT 53100
 *   "engine.checkpoint"  ENOSPC: no checkpoint
 *   "engine.nosync"      an ENGINE_SYNC commit skips its sync and says nothing: a lying disk */

/* Recovers what a crash left. ST_FATAL: damaged, or of an unknown version. */
enum status engine_wt_open(const struct engine_options *opts, struct engine **out,
                           struct err *err) MRD_CHECKED;

/* The memory engine lives on a disk object that survives "crashes" of the engine: see engine_mem.h. */

void engine_close(struct engine *e); /* clean: checkpoints first */

/* Writes. Within one transaction the last put or delete of a key wins. */
enum status engine_begin(struct engine *e, struct engine_txn **out, struct err *err) MRD_CHECKED;
enum status engine_put(struct engine_txn *x, enum engine_table t, struct bytes key,
                       struct bytes value, struct err *err) MRD_CHECKED;
enum status engine_delete(struct engine_txn *x, enum engine_table t, struct bytes key,
                          struct err *err) MRD_CHECKED; /* a missing key is fine */
/* Ends the transaction whatever it returns. ENGINE_SYNC makes durable its writes to LOG and those of every
 * commit that returned before it. A failed sync is ST_FATAL: the process must stop, and every later write
 * fails too. A full disk is ST_REJECT 53100. ST_RETRY: it kept meeting other writers of the same keys. */
enum status engine_commit(struct engine_txn *x, enum engine_sync sync, struct err *err) MRD_CHECKED;
void engine_abort(struct engine_txn *x); /* NULL is fine */

/* Removes [from, to) in a transaction of its own, never synced. An empty `to` is the end of the table. Nobody
 * else may write in the range meanwhile. */
enum status engine_truncate(struct engine *e, enum engine_table t, struct bytes from,
                            struct bytes to, struct err *err) MRD_CHECKED;

/* Reads: a cursor sees one snapshot of its table, taken at open. Key and value stay good until the
 * cursor moves or closes. ST_NOTFOUND at the end: the cursor then stands nowhere and must seek.
 * ST_RETRY: the engine had to end the snapshot (its cache is full of it); close and open anew. */
enum status engine_cursor_open(struct engine *e, enum engine_table t, struct engine_cursor **out,
                               struct err *err) MRD_CHECKED;
void engine_cursor_close(struct engine_cursor *c); /* NULL is fine */
/* First key >= key / last key < key; an empty key is the begin, or the end, of the table. */
enum status engine_seek(struct engine_cursor *c, struct bytes key, struct err *err) MRD_CHECKED;
enum status engine_seek_before(struct engine_cursor *c, struct bytes key,
                               struct err *err) MRD_CHECKED;
enum status engine_next(struct engine_cursor *c, struct err *err) MRD_CHECKED;
enum status engine_prev(struct engine_cursor *c, struct err *err) MRD_CHECKED;
struct bytes engine_key(struct engine_cursor *c);
struct bytes engine_value(struct engine_cursor *c);

/* Makes DATA durable as it is now (and lets LOG files be archived). Any thread, one at a time. */
enum status engine_checkpoint(struct engine *e, struct err *err) MRD_CHECKED;

struct engine_stats {
    uint64_t syncs; /* commits with ENGINE_SYNC */
    uint64_t checkpoints;
    uint64_t lookaside_inserts; /* must stay 0 */
    uint64_t cache_bytes;
    uint64_t log_bytes; /* written since open */
};
void engine_stats(struct engine *e, struct engine_stats *out);

#endif
