/*
 * store_int.h - what the threads of a store share; for storage/ only.
 */
#ifndef MRD_STORAGE_STORE_INT_H
#define MRD_STORAGE_STORE_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "storage/kin.h"
#include "storage/logwriter.h"
#include "storage/plog.h"
#include "storage/snapshot_shell.h"
#include "storage/store.h"
#include "storage/store_step.h"
#include "storage/upkeep.h"
#include "storage/worker.h"

/* Objects of the registry; what each counts stands where they are made. */
struct store_metrics {
    struct metric *log_syncs, *log_bytes, *log_writer_ns, *log_writer_cpu_ns;
    struct hist *log_sync_ns;
    struct metric *worker_cpu_ns, *worker_rounds, *worker_drops, *messages_in, *messages_out;
    struct metric *slots_proposed, *commands_proposed, *commands_done, *queue_length;
    struct metric *slots_applied, *commands_applied, *writes_applied, *duplicates, *apply_ns;
    struct metric *checkpoints, *checkpoint_ns, *versions_collected, *read_only;
    struct metric *groups_resting;
    struct metric *clock_contradictions, *clock_bound_ns, *clock_age_ns, *clock_distrusted;
    struct hist *commit_wait_ns;
    struct metric *snapshots_sent, *snapshots_installed, *snapshot_bytes, *strangers;
};

enum store_phase { STORE_OPENED, STORE_RUNNING, STORE_STOPPED };

struct store {
    struct store_options o; /* strings and voters are not kept */
    struct engine *engine;  /* owned */
    struct plog_identity identity;
    struct metrics *own_metrics; /* owned; only if none were given */
    struct store_metrics m;
    struct rpc *rpc;        /* borrowed */
    enum store_phase phase; /* the wiring thread's */
    struct group **groups;  /* owned */
    size_t n_groups;
    struct worker *worker;       /* owned */
    struct logwriter *logwriter; /* owned */
    struct upkeep *upkeep;       /* owned */
    struct snapshots *snapshots; /* owned */
    struct kin *kin;             /* owned; the worker's */
    atomic_uint full;            /* enum store_full */
    atomic_bool failed;
    atomic_bool distrusted; /* the clocks of the others contradict this node's */
};

/* The node's interval, void if it is wider than the cap allows or distrusted, and the monotonic time it was read at. */
struct tt_interval store_now(const struct store *s, int64_t *out_mono_ns);
/* The same as the source says it, whatever we think of it: for judging clocks. */
struct tt_interval store_now_unjudged(const struct store *s, int64_t *out_mono_ns);
/* The node's monotonic clock: every timer of the store. */
int64_t store_mono(const struct store *s);
/* Calls on_fatal, the first time. Every thread of the store ends soon. */
void store_fatal(struct store *s, const struct err *err);
bool store_failed(const struct store *s);
bool store_is_disk_full(enum status st, const struct err *err);
/* What has met a full disk. The node takes no writes until each has had room again. */
enum store_full { STORE_FULL_LOG = 1, STORE_FULL_APPLY = 2, STORE_FULL_CHECKPOINT = 4 };
void store_set_full(struct store *s, enum store_full what, const struct err *why); /* NULL: room */
/* Starts a thread, or ends the process. */
void store_thread(pthread_t *out, void *(*run)(void *), void *arg);

#endif
