/*
 * schema_gate.h - the schema lease that this gateway holds, and which timestamps were taken under it.
 *
 * The lease is read without a lock. When a schema change calls it back the gate answers with a bound: no timestamp
 * above it was taken under the lease, and none will be. A reader therefore first raises `taken`, then looks whether
 * the lease is still there; a recall first takes the lease away, then reads `taken`. (Read-write transactions need no
 * bound: the leader compares their version.)
 *
 * Threads: any. The mutex (lock 5 in txn/README.md) is a leaf. No clock: a core.
 */
#ifndef MRD_TXN_SCHEMA_GATE_H
#define MRD_TXN_SCHEMA_GATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "txn/leader.h"

struct schema_gate {
    _Atomic uint32_t version;   /* odd: there is no lease, or it is being changed */
    _Atomic tstamp from, until; /* of the lease */
    _Atomic tstamp taken;       /* highest timestamp that a read-only transaction took */
    _Atomic bool used;          /* since the last renewal */
    pthread_mutex_t mu;         /* guards changes, and what follows */
    uint64_t term, number;      /* of the lease */
    uint64_t fence_term, fence; /* grants of this term with a smaller number are void */
    tstamp revoked_from, revoked_bound;
};

void gate_init(struct schema_gate *g);
void gate_fini(struct schema_gate *g);

/* The lease, if it is good for timestamps a little above `latest`. */
bool gate_lease(struct schema_gate *g, tstamp latest, tstamp *out_from, tstamp *out_until);
/* A grant has come. False: it was called back before it came; ask again. */
bool gate_put(struct schema_gate *g, const struct leader_lease *grant);
/* May a read-only transaction read at t with a plan of version `from`? If so t counts as taken. */
bool gate_take(struct schema_gate *g, tstamp from, tstamp t);
/* Gives the lease back, and refuses grants below the fence. Returns the bound, at least at_least. */
tstamp gate_recall(struct schema_gate *g, uint64_t term, uint64_t fence, tstamp at_least);

#endif
