#include "storage/store.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "storage/clocks.h"
#include "storage/engine_mem.h"
#include "storage/group_int.h"
#include "storage/store_int.h"

enum { FIRST_GROUP = 1 };

static void set_defaults(struct store_options *o)
{
    if (o->lease_ns == 0)
        o->lease_ns = 2LL * NS_PER_S;
    if (o->bound_cap_ns == 0)
        o->bound_cap_ns = 500LL * NS_PER_MS;
    if (o->checkpoint_interval_ns == 0)
        o->checkpoint_interval_ns = 30LL * NS_PER_S;
    if (o->checkpoint_log_bytes == 0)
        o->checkpoint_log_bytes = 128u << 20;
    if (o->gc_retention_ns == 0)
        o->gc_retention_ns = 600LL * NS_PER_S;
    if (o->lag_slots == 0)
        o->lag_slots = 1000 * 1000;
    if (o->lag_bytes == 0)
        o->lag_bytes = 512u << 20;
    if (o->snapshot_bytes_per_s == 0)
        o->snapshot_bytes_per_s = 64u << 20;
    if (o->keep_slots == 0)
        o->keep_slots = UPKEEP_KEEP_SLOTS;
    if (o->log_cache_bytes == 0)
        o->log_cache_bytes = GROUP_CACHE_BYTES;
}

static void make_metrics(struct store *s)
{
    struct metrics *r = s->o.metrics;
    struct store_metrics *m = &s->m;

    if (r == NULL)
        r = s->own_metrics = metrics_new();
#define COUNTER(field, name, help) m->field = metrics_counter(r, "meridian_" name, help)
    COUNTER(log_syncs, "log_syncs_total", "Synced batches of the log writer.");
    COUNTER(log_bytes, "log_bytes_total", "Bytes of rows that the log writer wrote.");
    COUNTER(log_writer_ns, "log_writer_ns_total", "Wall time of log batches, sync included.");
    COUNTER(log_writer_cpu_ns, "log_writer_cpu_ns_total", "CPU time of the log writer thread.");
    COUNTER(worker_cpu_ns, "worker_cpu_ns_total", "CPU time of the worker thread.");
    COUNTER(worker_rounds, "worker_rounds_total", "Rounds of the worker.");
    COUNTER(worker_drops, "worker_drops_total", "Bundles dropped because the inbox was full.");
    COUNTER(messages_in, "consensus_messages_in_total", "Consensus messages taken.");
    COUNTER(messages_out, "consensus_messages_out_total", "Consensus messages sent.");
    COUNTER(slots_proposed, "slots_proposed_total", "Slots proposed by this leader.");
    COUNTER(commands_proposed, "commands_proposed_total", "Commands in those slots.");
    COUNTER(commands_done, "commands_done_total", "Commands acknowledged.");
    COUNTER(slots_applied, "slots_applied_total", "Slots applied on this node.");
    COUNTER(commands_applied, "commands_applied_total", "Commands applied on this node.");
    COUNTER(writes_applied, "writes_applied_total", "Row versions written by applying.");
    COUNTER(duplicates, "duplicate_commands_total", "Commands whose id had an outcome already.");
    COUNTER(apply_ns, "apply_ns_total", "Wall time of applying on the worker.");
    COUNTER(checkpoints, "checkpoints_total", "Completed checkpoints.");
    COUNTER(checkpoint_ns, "checkpoint_ns_total", "Wall time of checkpoints.");
    COUNTER(versions_collected, "versions_collected_total", "Old row versions removed.");
    m->clock_bound_ns = metrics_gauge(r, "meridian_clock_bound_ns",
                                      "Half width of this node's time interval; -1: void.");
    m->clock_age_ns =
        metrics_gauge(r, "meridian_clock_age_ns", "Since the source of time last reported.");
    m->clock_distrusted = metrics_gauge(r, "meridian_clock_distrusted",
                                        "1 while the clocks of other nodes contradict this one.");
    m->commit_wait_ns = metrics_hist(
        r, "meridian_commit_wait_ns",
        "From the moment a command was chosen until its time had passed on a majority of clocks.");
    COUNTER(clock_contradictions, "clock_contradictions_total",
            "Messages whose sender's clock is ahead of what this node thinks possible.");
    COUNTER(snapshots_sent, "snapshots_sent_total", "Snapshots that another node has installed.");
    COUNTER(snapshots_installed, "snapshots_installed_total", "Snapshots installed on this node.");
    COUNTER(strangers, "strangers_total",
            "Bundles refused: they came from another store than the one of that node's number.");
    COUNTER(snapshot_bytes, "snapshot_bytes_total", "Bytes of snapshots sent.");
#undef COUNTER
    m->queue_length =
        metrics_gauge(r, "meridian_group_queue_length", "Commands that wait for a slot.");
    m->groups_resting = metrics_gauge(r, "meridian_groups_resting",
                                      "Groups here that rest: nothing happens in them.");
    m->read_only = metrics_gauge(r, "meridian_read_only", "1 while the disk is full.");
    m->log_sync_ns = metrics_hist(r, "meridian_log_sync_ns", "Wall time of one log batch.");
}

static enum status open_engine(struct store *s, struct err *err)
{
    const struct store_options *o = &s->o;
    struct engine_options eo = {.dir = o->dir,
                                .cache_bytes = o->cache_bytes,
                                .fault_nosync = o->fault_nosync,
                                .log = o->log,
                                .faults = o->faults};

    if (o->memdisk != NULL) {
        s->engine = engine_mem_open(o->memdisk, o->faults);
        return ST_OK;
    }
    return engine_wt_open(&eo, &s->engine, err);
}

/* Numbers follow on each other: store_group relies on that. */
static enum status open_groups(struct store *s, const struct store_options *opts, struct err *err)
{
    size_t n = 1 + (size_t)opts->idle_groups;
    enum status st = ST_OK;

    s->groups = xcalloc(n, sizeof *s->groups);
    while (s->n_groups < n) {
        TRY(group_open(s, s->worker, FIRST_GROUP + s->n_groups, opts->voters, opts->n_voters,
                       &s->groups[s->n_groups], err));
        worker_take(s->worker, s->groups[s->n_groups]);
        s->n_groups++;
    }
out:
    return st;
}

enum status store_open(const struct store_options *opts, struct store **out, struct err *err)
{
    struct store *s = xcalloc(1, sizeof *s);
    enum status st;
    bool fresh;

    ASSERT(opts->n_voters <= PAXOS_VOTERS_MAX && opts->n_peers <= SUPPORT_PEERS_MAX);
    s->o = *opts;
    if (s->o.n_peers == 0) {
        s->o.peers = opts->voters;
        s->o.n_peers = opts->n_voters;
    }
    set_defaults(&s->o);
    make_metrics(s);
    TRY(open_engine(s, err));
    /* Synced: with it, everything else that recovery found in the log is durable as well. */
    TRY(plog_identify(s->engine, opts->cluster, opts->node, &s->identity, &fresh, err));
    TRY(kin_open(s->engine, s->identity.uuid, &s->kin, err));
    if (MUTATED(opts, incarnation_reused))
        s->identity.incarnation = 1;
    s->worker = worker_new(s, s->o.peers, s->o.n_peers, fresh);
    s->logwriter = logwriter_new(s, worker_waker(s->worker));
    TRY(open_groups(s, opts, err));
    s->upkeep = upkeep_new(s);
    s->snapshots = snapshots_new(s);
    s->o.cluster = s->identity.cluster;
    s->o.voters = s->o.peers = NULL;
    s->o.dir = NULL;
    log_event(s->o.log, LOG_INFO, "store.open", "cluster=%s node=%u incarnation=%llu new=%d",
              s->identity.cluster, s->identity.node, (unsigned long long)s->identity.incarnation,
              fresh);
    *out = s;
    s = NULL;
out:
    store_close(s);
    return st;
}

uint64_t store_incarnation(struct store *s)
{
    return s->identity.incarnation;
}

void store_wire(struct store *s, struct rpc *rpc)
{
    s->rpc = rpc;
    rpc_register(rpc, STORE_RPC_LO, STORE_RPC_SNAPSHOT - 1, worker_deliver, s->worker);
    rpc_register(rpc, STORE_RPC_SNAPSHOT, STORE_RPC_HI, snapshots_deliver, s->snapshots);
}

void store_start(struct store *s)
{
    ASSERT(s->phase == STORE_OPENED);
    s->phase = STORE_RUNNING;
    logwriter_start(s->logwriter);
    worker_start(s->worker);
    upkeep_start(s->upkeep);
    snapshots_start(s->snapshots);
}

void store_stop(struct store *s)
{
    if (s->phase != STORE_RUNNING)
        return;
    s->phase = STORE_STOPPED;
    snapshots_stop(s->snapshots);
    upkeep_stop(s->upkeep);
    worker_stop(s->worker);
    logwriter_stop(s->logwriter);
}

void store_halt(struct store *s)
{
    if (s->phase != STORE_RUNNING)
        return;
    s->phase = STORE_STOPPED;
    logwriter_halt(s->logwriter);
    worker_halt(s->worker);
    snapshots_stop(s->snapshots);
    upkeep_stop(s->upkeep);
}

void store_close(struct store *s)
{
    if (s == NULL)
        return;
    ASSERT(s->phase != STORE_RUNNING);
    snapshots_free(s->snapshots);
    for (size_t i = 0; i < s->n_groups; i++)
        group_close(s->groups[i]);
    free(s->groups);
    upkeep_free(s->upkeep);
    logwriter_free(s->logwriter);
    worker_free(s->worker);
    kin_close(s->kin);
    if (s->engine != NULL)
        engine_close(s->engine);
    metrics_free(s->own_metrics);
    free(s);
}

struct group *store_group(struct store *s, group_id group)
{
    return group >= FIRST_GROUP && group - FIRST_GROUP < s->n_groups
               ? s->groups[group - FIRST_GROUP]
               : NULL;
}

struct engine *store_engine(struct store *s)
{
    return s->engine;
}

size_t store_clocks(struct store *s, struct store_clock *out, size_t max)
{
    return clocks_describe(worker_clocks(s->worker), out, max);
}

bool store_read_only(struct store *s)
{
    return atomic_load_explicit(&s->full, memory_order_relaxed) != 0;
}

enum status store_checkpoint(struct store *s, struct err *err)
{
    return upkeep_checkpoint(s->upkeep, err);
}

/* For the threads of the store. */

struct tt_interval store_now_unjudged(const struct store *s, int64_t *out_mono_ns)
{
    return s->o.hand != NULL ? s->o.hand->now(s->o.hand->arg, out_mono_ns)
                             : tt_now_unjudged(s->o.tt, out_mono_ns);
}

struct tt_interval store_now(const struct store *s, int64_t *out_mono_ns)
{
    struct tt_interval now = store_now_unjudged(s, out_mono_ns);

    if (atomic_load_explicit(&s->distrusted, memory_order_relaxed))
        return TT_VOID;
    if (!tt_is_void(now) && now.latest - now.earliest > 2 * s->o.bound_cap_ns)
        return TT_VOID;
    return now;
}

int64_t store_mono(const struct store *s)
{
    int64_t mono;

    if (s->o.hand == NULL)
        return mono_now();
    (void)s->o.hand->now(s->o.hand->arg, &mono); /* only the monotonic half is asked for */
    return mono;
}

void store_fatal(struct store *s, const struct err *err)
{
    if (atomic_exchange(&s->failed, true))
        return;
    log_err(s->o.log, LOG_ERROR, "store.fatal", err);
    waker_call(worker_waker(s->worker));
    if (s->o.on_fatal != NULL)
        s->o.on_fatal(s->o.on_fatal_arg, err);
}

bool store_failed(const struct store *s)
{
    return atomic_load(&s->failed);
}

bool store_is_disk_full(enum status st, const struct err *err)
{
    return st == ST_REJECT && memcmp(err->sqlstate, SQLSTATE_DISK_FULL, 5) == 0;
}

void store_set_full(struct store *s, enum store_full what, const struct err *why)
{
    unsigned bit = what, before;

    /* The common case costs one load. */
    if (why == NULL && (atomic_load_explicit(&s->full, memory_order_relaxed) & bit) == 0)
        return;
    before = why != NULL ? atomic_fetch_or(&s->full, bit) : atomic_fetch_and(&s->full, ~bit);
    if (why != NULL && before == 0)
        log_err(s->o.log, LOG_ERROR, "store.readonly", why);
    else if (why == NULL && before == bit)
        log_event(s->o.log, LOG_INFO, "store.writable", "node=%u", s->o.node);
    metric_set(s->m.read_only, atomic_load(&s->full) != 0);
}

void store_thread(pthread_t *out, void *(*run)(void *), void *arg)
{
    int rc = pthread_create(out, NULL, run, arg);

    ASSERT(rc == 0);
}
