#include "tools/meridiand/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/rpc.h"
#include "sql/session.h"
#include "storage/store.h"
#include "timesvc/tt.h"
#include "tools/meridiand/cluster_info.h"
#include "tools/meridiand/frontend.h"
#include "tools/meridiand/net_fault.h"
#include "txn/txn.h"

#define CACHE_BYTES ((uint64_t)256 << 20) /* unless --cache says otherwise; taken as it fills */

struct server {
    struct cluster_info info; /* what SHOW may ask; points at the parts below */
    struct metrics *metrics;
    struct faults *faults;
    struct tt *tt;
    struct store *store;
    struct rpc *rpc;
    struct net_fault *net_fault; /* NULL: none was asked for */
    struct txn_space *space;
    struct sql_database *db;
    struct frontend *frontend;
    bool store_running;
};

static const struct frontend_backend sql_backend = {
    .open = session_open,
    .close = session_close,
    .cancel = session_cancel,
    .state = session_state,
    .set = session_set,
    .get = session_get,
    .run = session_run,
    .prepare = session_prepare,
    .describe = session_describe,
    .bind = session_bind,
    .describe_portal = session_describe_portal,
    .execute = session_execute,
    .sync = session_sync,
    .failed = session_failed,
    .close_statement = session_close_statement,
    .close_portal = session_close_portal,
};

/* Also while this node distrusts its clock: how else would the others see that it is right again? */
static bool now_for_frames(void *arg, int64_t *out_earliest, int64_t *out_latest)
{
    int64_t mono_ns;
    struct tt_interval iv = tt_now_unjudged(arg, &mono_ns);

    *out_earliest = iv.earliest;
    *out_latest = iv.latest;
    return !tt_is_void(iv);
}

static enum status arm_faults(struct server *sv, const struct options *o, struct err *err)
{
    enum status st = ST_OK;

    for (size_t i = 0; i < o->n_faults; i++)
        TRY(faults_arm(sv->faults, o->fault[i], err));
out:
    return st;
}

static enum status make_directory(const char *dir, struct err *err)
{
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return err_set(err, ST_REJECT, SQLSTATE_IO_ERROR, "cannot make directory \"%s\": %s", dir,
                       strerror(errno));
    return ST_OK;
}

static enum status open_time(struct server *sv, const struct options *o, struct logger *log,
                             struct err *err)
{
    struct tt_options opts = {.source = o->time,
                              .drift_ppb = o->time_drift_ppm * 1000,
                              .fault_path = o->time_fault,
                              .log = log};

    return tt_open(&opts, &sv->tt, err);
}

static enum status open_store(struct server *sv, const struct options *o, struct logger *log,
                              void (*on_fatal)(void *arg, const struct err *err),
                              void *on_fatal_arg, struct err *err)
{
    node_id voters[OPTIONS_PEERS_MAX + 1] = {o->node};
    size_t n_voters = 1;
    struct store_options opts = {.dir = o->data,
                                 .cluster = o->cluster,
                                 .node = o->node,
                                 .voters = voters,
                                 .lease_ns = o->lease_ns,
                                 .checkpoint_interval_ns = o->checkpoint_ns,
                                 .checkpoint_log_bytes = (uint64_t)o->checkpoint_log_bytes,
                                 .keep_slots = (uint64_t)o->keep_slots,
                                 .lag_slots = (uint64_t)o->lag_slots,
                                 .lag_bytes = (uint64_t)o->lag_bytes,
                                 .snapshot_bytes_per_s = (uint64_t)o->snapshot_bytes_per_s,
                                 .cache_bytes =
                                     o->cache_bytes != 0 ? (uint64_t)o->cache_bytes : CACHE_BYTES,
                                 .fault_nosync = o->no_sync,
                                 .idle_groups = o->bench_groups,
                                 .tt = sv->tt,
                                 .log = log,
                                 .metrics = sv->metrics,
                                 .faults = sv->faults,
                                 .on_fatal = on_fatal,
                                 .on_fatal_arg = on_fatal_arg};

    for (size_t i = 0; i < o->n_peers; i++)
        if (o->peers[i].node != o->node)
            voters[n_voters++] = o->peers[i].node;
    opts.peers = voters;
    opts.n_peers = n_voters;
    /* Of the first start; afterwards the log says, and a peer that was added is only somebody to meet. */
    opts.n_voters = o->join || n_voters > PAXOS_VOTERS_MAX ? 0 : n_voters;
    return store_open(&opts, &sv->store, err);
}

static enum status open_rpc(struct server *sv, const struct options *o, struct logger *log,
                            struct err *err)
{
    struct rpc_options opts = {.cluster = o->cluster,
                               .node = o->node,
                               .incarnation = store_incarnation(sv->store),
                               .listen_addr = o->listen_rpc,
                               .peers = o->peers,
                               .n_peers = o->n_peers,
                               .log = log,
                               .metrics = sv->metrics,
                               .now = now_for_frames,
                               .now_arg = sv->tt};

    return rpc_open(&opts, &sv->rpc, err);
}

static enum status open_space(struct server *sv, const struct options *o, struct logger *log,
                              struct err *err)
{
    struct txn_space_options opts = {.node = o->node,
                                     .store = sv->store,
                                     .rpc = sv->rpc,
                                     .tt = sv->tt,
                                     .log = log,
                                     .metrics = sv->metrics,
                                     .faults = sv->faults,
                                     .op_timeout_ns = o->op_timeout_ns,
                                     .lease_ns = o->lease_ns};

    return txn_space_open(&opts, &sv->space, err);
}

static enum status open_sql(struct server *sv, const struct options *o, struct logger *log,
                            struct err *err)
{
    struct sql_database_options opts = {.space = sv->space,
                                        .log = log,
                                        .metrics = sv->metrics,
                                        .statement_memory = (size_t)o->statement_memory,
                                        .cluster_info = cluster_info_rows,
                                        .cluster_columns = cluster_info_columns,
                                        .cluster_table = cluster_info_table,
                                        .cluster_info_arg = &sv->info};

    sv->info = (struct cluster_info){.options = o,
                                     .metrics = sv->metrics,
                                     .tt = sv->tt,
                                     .store = sv->store,
                                     .rpc = sv->rpc,
                                     .space = sv->space};
    return sql_database_open(&opts, &sv->db, err);
}

static enum status open_frontend(struct server *sv, const struct options *o, struct logger *log,
                                 struct err *err)
{
    struct frontend_options opts = {.listen = o->listen_pg,
                                    .backend = &sql_backend,
                                    .db = sv->db,
                                    .max_connections = o->max_connections,
                                    .log = log,
                                    .metrics = sv->metrics};

    return frontend_open(&opts, &sv->frontend, err);
}

enum status server_open(const struct options *opts, struct logger *log,
                        void (*on_fatal)(void *arg, const struct err *err), void *on_fatal_arg,
                        struct server **out, struct err *err)
{
    struct server *sv = xcalloc(1, sizeof *sv);
    enum status st = ST_OK;

    sv->metrics = metrics_new();
    sv->faults = faults_new();
    TRY(arm_faults(sv, opts, err));
    TRY(make_directory(opts->data, err));
    TRY(open_time(sv, opts, log, err));
    TRY(open_store(sv, opts, log, on_fatal, on_fatal_arg, err));
    TRY(open_rpc(sv, opts, log, err));
    store_wire(sv->store, sv->rpc);
    TRY(open_space(sv, opts, log, err));
    TRY(open_sql(sv, opts, log, err));
    TRY(open_frontend(sv, opts, log, err));
    store_start(sv->store);
    sv->store_running = true;
    rpc_start(sv->rpc);
    if (opts->net_fault != NULL)
        TRY(net_fault_start(opts->net_fault, sv->rpc, log, &sv->net_fault, err));
    TRY(frontend_start(sv->frontend, err));
    *out = sv;
out:
    if (st != ST_OK)
        server_close(sv);
    return st;
}

const char *server_pg_addr(const struct server *sv)
{
    return frontend_addr(sv->frontend);
}

/* The reverse of server_open, but waits end before what they wait for: sessions stop waiting when the
 * transaction space stops, and only then can their threads be waited for. */
void server_close(struct server *sv)
{
    if (sv == NULL)
        return;
    if (sv->frontend != NULL)
        frontend_stop(sv->frontend);
    if (sv->space != NULL)
        txn_space_stop(sv->space);
    frontend_close(sv->frontend);
    if (sv->db != NULL)
        sql_database_close(sv->db);
    if (sv->store_running)
        store_stop(sv->store);
    net_fault_stop(sv->net_fault);
    if (sv->rpc != NULL)
        rpc_close(sv->rpc);
    if (sv->space != NULL)
        txn_space_close(sv->space);
    if (sv->store != NULL)
        store_close(sv->store);
    if (sv->tt != NULL)
        tt_close(sv->tt);
    faults_free(sv->faults);
    metrics_free(sv->metrics);
    free(sv);
}
