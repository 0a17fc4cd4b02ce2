#include "tools/meridiand/node.h"

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
#include "txn/txn.h"

struct node {
    struct cluster_info info; /* what SHOW may ask; points at the parts below */
    struct metrics *metrics;
    struct faults *faults;
    struct tt *tt;
    struct store *store;
    struct rpc *rpc;
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

static bool now_for_frames(void *arg, int64_t *out_earliest, int64_t *out_latest)
{
    struct tt_interval iv = tt_now(arg);

    *out_earliest = iv.earliest;
    *out_latest = iv.latest;
    return !tt_is_void(iv);
}

static enum status arm_faults(struct node *n, const struct options *o, struct err *err)
{
    enum status st = ST_OK;

    for (size_t i = 0; i < o->n_faults; i++)
        TRY(faults_arm(n->faults, o->fault[i], err));
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

static enum status open_time(struct node *n, const struct options *o, struct logger *log,
                             struct err *err)
{
    struct tt_options opts = {.source = o->time, .fault_path = o->time_fault, .log = log};

    return tt_open(&opts, &n->tt, err);
}

static enum status open_store(struct node *n, const struct options *o, struct logger *log,
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
                                 .cache_bytes = (uint64_t)o->cache_bytes,
                                 .fault_nosync = o->no_sync,
                                 .tt = n->tt,
                                 .log = log,
                                 .metrics = n->metrics,
                                 .faults = n->faults,
                                 .on_fatal = on_fatal,
                                 .on_fatal_arg = on_fatal_arg};

    for (size_t i = 0; i < o->n_peers; i++)
        if (o->peers[i].node != o->node)
            voters[n_voters++] = o->peers[i].node;
    opts.n_voters = n_voters;
    return store_open(&opts, &n->store, err);
}

static enum status open_rpc(struct node *n, const struct options *o, struct logger *log,
                            struct err *err)
{
    struct rpc_options opts = {.cluster = o->cluster,
                               .node = o->node,
                               .incarnation = store_incarnation(n->store),
                               .listen_addr = o->listen_rpc,
                               .peers = o->peers,
                               .n_peers = o->n_peers,
                               .log = log,
                               .metrics = n->metrics,
                               .now = now_for_frames,
                               .now_arg = n->tt};

    return rpc_open(&opts, &n->rpc, err);
}

static enum status open_space(struct node *n, const struct options *o, struct logger *log,
                              struct err *err)
{
    struct txn_space_options opts = {.node = o->node,
                                     .store = n->store,
                                     .rpc = n->rpc,
                                     .tt = n->tt,
                                     .log = log,
                                     .metrics = n->metrics,
                                     .faults = n->faults,
                                     .op_timeout_ns = o->op_timeout_ns,
                                     .lease_ns = o->lease_ns};

    return txn_space_open(&opts, &n->space, err);
}

static enum status open_sql(struct node *n, const struct options *o, struct logger *log,
                            struct err *err)
{
    struct sql_database_options opts = {.space = n->space,
                                        .log = log,
                                        .metrics = n->metrics,
                                        .statement_memory = (size_t)o->statement_memory,
                                        .cluster_info = cluster_info_rows,
                                        .cluster_info_arg = &n->info};

    n->info = (struct cluster_info){.options = o,
                                    .metrics = n->metrics,
                                    .tt = n->tt,
                                    .store = n->store,
                                    .rpc = n->rpc,
                                    .space = n->space};
    return sql_database_open(&opts, &n->db, err);
}

static enum status open_frontend(struct node *n, const struct options *o, struct logger *log,
                                 struct err *err)
{
    struct frontend_options opts = {.listen = o->listen_pg,
                                    .backend = &sql_backend,
                                    .db = n->db,
                                    .max_connections = o->max_connections,
                                    .log = log,
                                    .metrics = n->metrics};

    return frontend_open(&opts, &n->frontend, err);
}

enum status node_open(const struct options *opts, struct logger *log,
                      void (*on_fatal)(void *arg, const struct err *err), void *on_fatal_arg,
                      struct node **out, struct err *err)
{
    struct node *n = xcalloc(1, sizeof *n);
    enum status st = ST_OK;

    n->metrics = metrics_new();
    n->faults = faults_new();
    TRY(arm_faults(n, opts, err));
    TRY(make_directory(opts->data, err));
    TRY(open_time(n, opts, log, err));
    TRY(open_store(n, opts, log, on_fatal, on_fatal_arg, err));
    TRY(open_rpc(n, opts, log, err));
    store_wire(n->store, n->rpc);
    TRY(open_space(n, opts, log, err));
    TRY(open_sql(n, opts, log, err));
    TRY(open_frontend(n, opts, log, err));
    store_start(n->store);
    n->store_running = true;
    rpc_start(n->rpc);
    TRY(frontend_start(n->frontend, err));
    *out = n;
out:
    if (st != ST_OK)
        node_close(n);
    return st;
}

const char *node_pg_addr(const struct node *n)
{
    return frontend_addr(n->frontend);
}

/* The reverse of node_open, but waits end before what they wait for: sessions stop waiting when the
 * transaction space stops, and only then can their threads be waited for. */
void node_close(struct node *n)
{
    if (n == NULL)
        return;
    if (n->frontend != NULL)
        frontend_stop(n->frontend);
    if (n->space != NULL)
        txn_space_stop(n->space);
    frontend_close(n->frontend);
    if (n->db != NULL)
        sql_database_close(n->db);
    if (n->store_running)
        store_stop(n->store);
    if (n->rpc != NULL)
        rpc_close(n->rpc);
    if (n->space != NULL)
        txn_space_close(n->space);
    if (n->store != NULL)
        store_close(n->store);
    if (n->tt != NULL)
        tt_close(n->tt);
    faults_free(n->faults);
    metrics_free(n->metrics);
    free(n);
}
