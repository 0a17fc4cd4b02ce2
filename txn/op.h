/*
 * op.h - one request of this gateway until it has an answer: finds the leader, waits, asks again.
 *
 * Runs on the caller's thread (op_run) or by kicks on the space's threads (op_start). A leader on this node is asked
 * by a call, another one by a message; an operation that has to wait there is asked for again in between, so that
 * neither side waits for the other without bound.
 *
 * Without a deadline an operation ends after op_timeout without a leader; while a leader has it parked (on a lock)
 * it waits on. A commit whose fate is unknown becomes a question for its outcome.
 */
#ifndef MRD_TXN_OP_H
#define MRD_TXN_OP_H

#include "txn/pool.h"
#include "txn/request.h"

struct txn_space;
struct op_reply;

enum op_phase { OP_TRY, OP_PARKED, OP_CALLED, OP_PAUSED, OP_OVER };

struct op {
    struct job job; /* first */
    struct txn_space *s;
    struct request rq;
    struct answer a;
    node_id node; /* ask this one; 0: the leader */
    node_id
        at; /* where locks of the transaction are; 0: nowhere yet. Rises with the first request */
    int64_t deadline_mono_ns;                                         /* 0: none */
    const bool *cancel;                                               /* may be NULL */
    void (*finished)(struct op *op, enum status st, struct err *err); /* op_start: its last act */
    /* The operation's own, as what follows. */
    enum op_phase phase;
    bool in_doubt;         /* a commit left, and its answer was lost */
    int64_t alone_since;   /* no leader has answered since */
    int64_t due, pause_ns; /* PAUSED */
    struct leader_wait wait;
    _Atomic bool woken;
    struct op_reply *reply; /* CALLED */
    node_id called;         /* a reply from another node is awaited from this one */
    enum status st;
    struct err err; /* why not yet, or why not */
    struct op *next, *prev;
};

/* mem: of what the answer holds. */
void op_init(struct op *op, struct txn_space *s, enum request_kind kind, struct arena *mem);
void op_fini(struct op *op);
enum status op_run(struct op *op, struct err *err) MRD_CHECKED;
void op_start(struct op *op);

#endif
