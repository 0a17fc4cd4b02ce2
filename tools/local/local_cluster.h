/*
 * local_cluster.h - a cluster of real nodes on this machine: child processes on loopback, for demo and bench.
 *
 * Hides the server's flags, ports and files. A child ends when its parent does, however the parent ends.
 * Thread: all calls from the thread that made it (a child dies with the thread that started it).
 */
#ifndef MRD_TOOLS_LOCAL_LOCAL_CLUSTER_H
#define MRD_TOOLS_LOCAL_LOCAL_CLUSTER_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/status.h"

enum { LOCAL_NODES_MAX = 9, LOCAL_READY_MS = 20000, LOCAL_FLAGS_MAX = 32 };

struct local_options {
    int n_nodes; /* 1..LOCAL_NODES_MAX */
    const char *
        dir; /* where data goes; NULL: a new directory under $TMPDIR or /var/tmp, removed at the end */
    const char *time;        /* "fixed:200us" */
    const char *lease;       /* "2s" */
    const char *const *more; /* further flags of the server, NULL-terminated; may be NULL */
};

struct local_cluster;

/* meridiand beside this program, as it lies in a build tree or in an installation. */
enum status local_find_server(char *out, size_t size, struct err *err) MRD_CHECKED;

/* Reserves ports and makes directories; nothing runs yet. */
enum status local_cluster_new(const struct local_options *opts, struct local_cluster **out,
                              struct err *err) MRD_CHECKED;
/* Starts node i (1..n) and waits for its ready line. */
enum status local_cluster_start(struct local_cluster *lc, int node, struct err *err) MRD_CHECKED;
/* Until a statement commits on some node; 57P03 after the bound. */
enum status local_cluster_wait_writable(struct local_cluster *lc, int timeout_ms,
                                        struct err *err) MRD_CHECKED;
void local_cluster_kill(struct local_cluster *lc, int node); /* SIGKILL; waits until it is gone */
/* SIGTERM to all; what does not end within 10 s is killed. A directory of its own goes, unless keep. NULL is fine. */
void local_cluster_free(struct local_cluster *lc, bool keep);

int local_cluster_nodes(const struct local_cluster *lc);
pid_t local_cluster_pid(const struct local_cluster *lc, int node); /* 0: not running */
const char *local_cluster_dir(const struct local_cluster *lc);
/* For mrd_connect: all nodes, node `first` (1..n) first. Into out. */
void local_cluster_where(const struct local_cluster *lc, int first, char *out, size_t size);
/* One node only. */
void local_cluster_where_node(const struct local_cluster *lc, int node, char *out, size_t size);
/* The node that says it leads; 0 if none does. */
int local_cluster_leader(const struct local_cluster *lc);

/* One value of SHOW CLUSTER <topic> as the server at `where` says it; "" if it does not. */
void local_cluster_info(const char *where, const char *topic, const char *name, char *out,
                        size_t size);

#endif
