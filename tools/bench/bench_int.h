/*
 * bench_int.h - what the files of the bench share: bench.c (flags, cluster, order of runs), kv.c (the clients of one
 * run), report.c (what a run has shown).
 */
#ifndef MRD_TOOLS_BENCH_BENCH_INT_H
#define MRD_TOOLS_BENCH_BENCH_INT_H

#include <stdbool.h>
#include <stdio.h>

#include "base/metrics.h"
#include "tools/bench/zipf.h"
#include "tools/local/proc_stat.h"

enum bench_op { BENCH_UPSERT, BENCH_GET, BENCH_OPS };
enum bench_keys { BENCH_UNIFORM, BENCH_ZIPFIAN, BENCH_DISTRIBUTIONS };
enum {
    BENCH_NODES_MAX = 9,
    BENCH_WHERE_MAX = 512,
    BENCH_CLIENTS_MAX = 1024,
    BENCH_LIST_MAX = 16,
    BENCH_PIDS_MAX = 64
};

struct bench {
    char where[BENCH_NODES_MAX]
              [BENCH_WHERE_MAX]; /* client i connects to the i-th, round and round */
    size_t n_where;
    int64_t n_keys;
    int value_len;
    double seconds, warmup_s;
    struct zipf zipf;
    pid_t pids[BENCH_PIDS_MAX];
    size_t n_pids;
    const char *disk_path; /* on the disk whose flushes count; NULL: not known */
    char setting[256];     /* clock, bound, lease, replicas: stands in every report */
    FILE *tsv;             /* NULL: none */
};

/* One run. */
struct bench_run {
    enum bench_op op;
    enum bench_keys keys;
    int clients;
    /* measured */
    double elapsed_s, client_cpu_s;
    int64_t ops, errors, retries;
    struct hist *latency; /* heap, the run's */
    struct proc_usage used;
    struct disk_usage disk;
    int64_t log_syncs; /* of the servers' own metrics; -1 not known */
    char first_error[512];
};

/* Makes the table and fills it with every key. False: it has been said why not. */
bool kv_load(const struct bench *b);
/* False: no client could connect; first_error says why. */
bool kv_run(const struct bench *b, struct bench_run *run);

void report_head(const struct bench *b);
void report_run(const struct bench *b, const struct bench_run *run);
void report_budget(const struct bench_run *run);

const char *bench_op_name(enum bench_op op);
const char *bench_keys_name(enum bench_keys keys);

#endif
