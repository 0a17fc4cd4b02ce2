/*
 * net_fault.h - the network of one node goes wrong, live: a file says how. For tests and drills.
 *
 * Each line is one peer (0: every peer), and what this node does to the messages that it sends there:
 *
 *     2 cut                              no message leaves: one direction of a partition
 *     0 drop=0.1 duplicate=0.01 reorder=0.05 delay=100ms
 *
 * A peer that no line names is left alone. The file (at most NET_FAULT_BYTES) is looked at every 50 ms;
 * whoever changes it renames a new one over it. No file: no faults. One that makes no sense, or cannot be read,
 * is reported once, and what held goes on.
 *
 * Threads: one of its own between net_fault_start and net_fault_stop.
 */
#ifndef MRD_TOOLS_MERIDIAND_NET_FAULT_H
#define MRD_TOOLS_MERIDIAND_NET_FAULT_H

#include "base/log.h"
#include "base/rpc.h"
#include "base/status.h"

enum { NET_FAULT_LINES = 65, NET_FAULT_BYTES = 4096 };

struct net_fault_line {
    node_id peer; /* 0: every peer */
    struct rpc_fault fault;
};

/* Changes `text`. 22023: which line is no line. */
enum status net_fault_parse(char *text, struct net_fault_line lines[NET_FAULT_LINES], size_t *out_n,
                            struct err *err) MRD_CHECKED;

struct net_fault;

/* Borrows all three until net_fault_stop. */
enum status net_fault_start(const char *path, struct rpc *rpc, struct logger *log,
                            struct net_fault **out, struct err *err) MRD_CHECKED;
void net_fault_stop(struct net_fault *nf); /* NULL is fine; before rpc_close */

#endif
