/*
 * worker.h - the thread that steps support and Paxos of its groups and applies what they choose.
 *
 * Hides the inbox, the timers, and how what a round produced leaves: appends as one batch to the log writer,
 * messages as one bundle to each peer. It sleeps when there is nothing to do. Threads: worker_deliver
 * from any thread; worker_send and worker_batch from its groups, on its own; the rest from the
 * thread that wires the store.
 */
#ifndef MRD_STORAGE_WORKER_H
#define MRD_STORAGE_WORKER_H

#include "base/rpc.h"
#include "storage/logwriter.h"
#include "storage/paxos/paxos.h"

struct clocks;
struct worker;
struct group;
struct store;

/* peers: every node that this one may meet; itself among them does no harm. */
struct worker *worker_new(struct store *s, const node_id *peers, size_t n_peers, bool store_is_new);
void worker_take(struct worker *w, struct group *g); /* before it runs: steps this one, too */
struct waker *worker_waker(struct worker *w);
struct support *worker_support(struct worker *w);
struct clocks *worker_clocks(struct worker *w);
void worker_start(struct worker *w);
/* Clean: groups give up their leases, for as long as that takes but not beyond the lease. */
void worker_stop(struct worker *w);
void worker_halt(struct worker *w);
void worker_free(struct worker *w); /* NULL is fine */

/* What the thread does, again and again; for whoever steps the store by hand (store_step.h). True if there is
 * more to do at once; otherwise *out_wake_mono is when. */
bool worker_round(struct worker *w, int64_t *out_wake_mono);
/* A clean stop, after each round: true once every group has given up its lease, or there is no more time to. */
bool worker_retire(struct worker *w);
void worker_abandon(struct worker *w); /* it ends: every command that waits is answered */

/* An rpc handler: copies the message into the inbox. */
void worker_deliver(void *arg, const struct rpc_msg *msg);

/* Somebody wants something of this group. Any thread. */
void worker_call(struct worker *w, struct group *g);

/* For groups, within a round. */
void worker_writes(struct worker *w, struct group *g); /* it has put something into the batch */
void worker_wants(struct worker *w, int more);         /* so many more groups lead, or try to */
void worker_send(struct worker *w, const struct paxos_msg *m);
struct log_batch *worker_batch(struct worker *w);

#endif
