/*
 * store_step.h - a store without threads: whoever opened it steps it, over a clock and a network of its own.
 *
 * For the simulator, which runs many nodes in one thread with virtual time: the store's worker, log writer and upkeep
 * are the server's own, only their loops are the caller's. Such a store is opened with store_options.hand, over a
 * memdisk, and never started, stopped or wired. The log writer's sync takes as long as the caller lets pass between
 * take and write; a crash in between loses the batch. Thread: the caller's.
 */
#ifndef MRD_STORAGE_STORE_STEP_H
#define MRD_STORAGE_STORE_STEP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/rpc.h"
#include "base/status.h"
#include "timesvc/tt.h"

struct store;
struct paxos_out;

/* What the threads of a store would have from the machine. Borrowed by the store. */
struct store_hand {
    void *arg;
    struct tt_interval (*now)(void *arg, int64_t *out_mono_ns);
    void (*send)(void *arg, node_id to, enum rpc_channel ch, uint16_t type, struct bytes payload);
    /* After each step of a group's core, and each line of its trace; for checkers. */
    void (*stepped)(void *arg, group_id group, const struct paxos_out *out);
    void (*line)(void *arg, const char *line);
    uint64_t seed; /* of the cores' chance */
};

void store_step_begin(struct store *s); /* once, before the rest */
void store_step_deliver(struct store *s, const struct rpc_msg *msg);
/* One round of the worker: takes what was delivered, synced and proposed, and sends. True if there is more to do at
 * once; otherwise *out_wake_mono is when, unless something comes before. */
bool store_step_round(struct store *s, int64_t *out_wake_mono);
/* The log writer. Take: false, nothing waits. Write: it is durable now; ST_RETRY, ST_REJECT: write again later;
 * ST_FATAL: the node must end. A round should follow. */
bool store_step_log_take(struct store *s);
enum status store_step_log_write(struct store *s, struct err *err) MRD_CHECKED;
int64_t store_step_upkeep(struct store *s); /* how long to pause until the next */
/* Snapshots that leave and come: a round after each delivery of their messages (type STORE_RPC_SNAPSHOT), and no later than
 * the time it returns; a round of the worker should follow. */
int64_t store_step_snapshots(struct store *s);
/* A clean stop, asked after each round from then on: true once every lease is given up. */
bool store_step_retire(struct store *s);
/* Every command that waits is answered; only store_close may follow. */
void store_step_end(struct store *s);

#endif
