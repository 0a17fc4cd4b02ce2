/*
 * snapshot_shell.h - snapshots on their way between the stores of two nodes: one out, one in, at a time.
 *
 * A leader's Paxos says whom the log cannot help any more; its worker then has a snapshot taken and offered. The
 * receiver asks its own worker to keep its hands off the tablet, fetches chunk by chunk, installs, makes it durable
 * with a checkpoint and only then hands the tablet back, so that the log moves last. The sender's pace is limited
 * (store_options.snapshot_bytes_per_s); its log keeps what follows on the snapshot while the stream lives.
 *
 * A connection that breaks costs a pause. A sender that restarts ends the stream: the receiver, whose tablet is not
 * usable any more, asks its group's leader for another. Memory: one chunk each way.
 *
 * Threads: a background thread of the store runs the rounds; snapshots_deliver from any thread; snapshots_claim and what follows on it
 * from a worker; the rest as worker.h.
 */
#ifndef MRD_STORAGE_SNAPSHOT_SHELL_H
#define MRD_STORAGE_SNAPSHOT_SHELL_H

#include "base/rpc.h"
#include "storage/snapshot.h"

struct snapshots;
struct store;
struct group;

struct snapshots *snapshots_new(struct store *s);
void snapshots_start(struct snapshots *sh);
void snapshots_stop(struct snapshots *sh); /* ends where it stands */
void snapshots_free(struct snapshots *sh); /* NULL is fine; before the groups */

/* What the thread does, for whoever steps the store by hand: one round; when to call again at the latest. */
int64_t snapshots_round(struct snapshots *sh);
void snapshots_deliver(void *arg, const struct rpc_msg *msg); /* an rpc handler */

/* For the worker: may a snapshot for this node begin now? True: it must offer one, or say that it does not. */
bool snapshots_claim(struct snapshots *sh, node_id to);
void snapshots_offer(struct snapshots *sh, struct group *g, node_id to,
                     struct snapshot_reader *reader_take);
void snapshots_unclaim(struct snapshots *sh);
void snapshots_wake(struct snapshots *sh); /* the worker has answered */

#endif
