/*
 * options.h - what meridiand is told: flags and a config file, with the same names.
 *
 * The file is read first wherever --config stands; flags win over it. Thread: before there are any.
 */
#ifndef MRD_TOOLS_MERIDIAND_OPTIONS_H
#define MRD_TOOLS_MERIDIAND_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/ids.h"
#include "base/log.h"
#include "base/rpc.h"
#include "base/status.h"

enum { OPTIONS_PEERS_MAX = 64, OPTIONS_FAULTS_MAX = 32 };

struct options {
    node_id node;
    char *cluster; /* all strings: heap */
    char *data;
    char *listen_pg;
    char *listen_rpc;
    char *time;
    char *time_fault;       /* NULL: none */
    char *net_fault;        /* likewise */
    int64_t time_drift_ppm; /* 0: as timesvc has it */
    char *fault[OPTIONS_FAULTS_MAX];
    size_t n_faults;
    struct rpc_peer_addr peers[OPTIONS_PEERS_MAX]; /* addr: heap */
    size_t n_peers;
    int64_t lease_ns;
    int64_t cache_bytes;
    int64_t checkpoint_ns;
    int64_t checkpoint_log_bytes;
    int64_t keep_slots;
    int64_t lag_slots;
    int64_t lag_bytes;
    int64_t snapshot_bytes_per_s;
    int64_t op_timeout_ns;
    int64_t statement_memory;
    unsigned max_connections;
    uint32_t bench_groups;
    char *inspect; /* NULL: serve */
    enum log_level log_level;
    bool no_sync;
    bool join;
};

enum options_result { OPTIONS_RUN, OPTIONS_HELP, OPTIONS_VERSION, OPTIONS_BAD };

void options_init(struct options *o);
void options_fini(struct options *o);
/* OPTIONS_BAD: err says which flag or which line of the file, and why. */
enum options_result options_parse(struct options *o, int argc, char **argv, struct err *err);
void options_help(FILE *to);

#endif
