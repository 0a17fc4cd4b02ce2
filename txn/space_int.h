/*
 * space_int.h - what the parts of a transaction space share. For txn/ only.
 */
#ifndef MRD_TXN_SPACE_INT_H
#define MRD_TXN_SPACE_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/fault.h"
#include "txn/leader.h"
#include "txn/op.h"
#include "txn/pool.h"
#include "txn/schema_gate.h"
#include "txn/service.h"
#include "txn/txn.h"
#include "txn/wbuf.h"

enum {
    SPACE_THREADS = 4,
    SPACE_TICK_MS = 100,
    SPACE_DOZE_MS = 1000,      /* while there is nothing to look at */
    SPACE_HEARD_MS = 2000,     /* how often open transactions are named to their leader */
    SPACE_RENEW_MS = 1500,     /* a schema lease that is used is renewed when less is left */
    SPACE_PEER_LOST_MS = 1000, /* a link down for so long: its gateway's transactions end */
    SPACE_TIMEOUT_S = 10
};

struct txn_space {
    struct txn_space_options o;
    struct group *group;
    struct tablet *tablet;
    struct engine *engine;
    struct leader *leader; /* owned */
    struct pool *pool;     /* owned */
    struct service service;
    struct schema_gate gate;
    _Atomic bool stopped;
    _Atomic bool dozing; /* the ticker sleeps for long: what begins rouses it */
    _Atomic uint32_t next_id;
    pthread_t ticker;
    pthread_mutex_t mu; /* lock 3; guards what follows */
    pthread_cond_t wake;
    struct txn *open; /* read-write transactions with locks on another node */
    struct op *ops;   /* asynchronous ones */
    struct op renew;  /* of the schema lease; in ops while it runs */
    bool renewing;
    struct metric *m_remote, *m_retries, *m_begun, *m_unknown;
};

enum txn_state { TXN_OPEN, TXN_COMMITTING, TXN_ENDED };

struct txn {
    struct txn_space *s;
    enum txn_mode mode;
    enum txn_state state;
    tstamp read_ts;        /* READ_ONLY */
    struct txn_id id;      /* of its outcome */
    bool own_id;           /* the caller's: never replaced */
    struct leader_ref ref; /* READ_WRITE */
    node_id at;            /* where its locks are, or may be; 0: it has none */
    int64_t deadline_mono_ns;
    const bool *cancel;
    tstamp schema_until;
    bool schema;           /* changes the schema */
    struct err *over;      /* owned: why it can only be rolled back; NULL: it is fine */
    struct mvcc_read seen; /* newest version met */
    tstamp answered;       /* surely passed */
    struct wbuf writes;
    bool has_writes; /* writes is in use */
    struct op op;    /* the commit */
    struct txn_done done;
    struct txn *next, *prev; /* in space.open */
    bool listed;
};

/* An operation of t: what it must not outlive, where its locks are. */
void txn_op_init(struct txn *t, struct op *op, enum request_kind kind, int lock_mode);
/* Runs it on the caller's thread and takes what it learnt. */
enum status txn_op_run(struct txn *t, struct op *op, struct err *err) MRD_CHECKED;
/* May the transaction still read or write? */
enum status txn_usable(const struct txn *t, struct err *err) MRD_CHECKED;
void txn_saw(struct txn *t, const struct mvcc_read *seen);
enum status txn_fail(struct txn *t, enum status st, const struct err *why); /* returns st */
void txn_unlist(struct txn *t);
enum status txn_check_key(struct bytes key, struct err *err) MRD_CHECKED; /* may a row have it? */
/* After a read at t on this replica: is all that t can see still kept? */
enum status txn_check_history(const struct txn *t, struct err *err) MRD_CHECKED;
int txn_lock_mode(const struct txn *t, enum txn_lock lock);
void space_rouse(struct txn_space *s); /* something begins that has deadlines; no lock is held */
/* Can this replica answer a read at t by itself? */
bool space_has_applied(struct txn_space *s, tstamp t);
struct txn_id space_new_id(struct txn_space *s, tstamp start);
enum status space_now(struct txn_space *s, tstamp *out_latest, struct err *err) MRD_CHECKED;

void space_recall(void *arg, node_id gateway, uint64_t term, uint64_t fence);

#endif
