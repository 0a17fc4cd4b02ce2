/*
 * cluster_info.h - what a node can say about itself, for SHOW: topics with rows of name and value.
 * Thread: any; everything it reads is safe to read from any thread.
 */
#ifndef MRD_TOOLS_MERIDIAND_CLUSTER_INFO_H
#define MRD_TOOLS_MERIDIAND_CLUSTER_INFO_H

#include "base/metrics.h"
#include "base/rpc.h"
#include "storage/store.h"
#include "timesvc/tt.h"
#include "tools/meridiand/options.h"
#include "txn/txn.h"

struct cluster_info { /* all borrowed */
    const struct options *options;
    struct metrics *metrics;
    struct tt *tt;
    struct store *store;
    struct rpc *rpc;
    struct txn_space *space;
};

/* For sql_database_options.cluster_info. Topics, in either case: "nodes", "time", "group", "metrics",
 * "digest" (blocks until every node has applied a common timestamp). An unknown
 * topic gives no row. */
void cluster_info_rows(void *info, const char *topic,
                       void (*row)(void *row_arg, const char *name, const char *value),
                       void *row_arg);

/* For sql_database_options.cluster_columns and cluster_table. "clocks": a row a node. "clock_pairs": a row for each node
 * and each other one, as the first sees it. "groups", "group_N", "log_N": group_info.h. */
const char *const *cluster_info_columns(void *info, const char *topic);
void cluster_info_table(void *info, const char *topic,
                        void (*row)(void *row_arg, const char *const *values, size_t n),
                        void *row_arg);

#endif
