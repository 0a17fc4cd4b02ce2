/*
 * leader_int.h - what the parts of a leader share: leader.c (life, locks), leader_read.c, leader_commit.c,
 * leader_schema.c. For txn/ only. Names that end in _locked want l->mu held.
 */
#ifndef MRD_TXN_LEADER_INT_H
#define MRD_TXN_LEADER_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "txn/idmap.h"
#include "txn/leader.h"
#include "txn/tsalloc.h"

/* A transaction that holds locks here, or has been wounded and does not know yet. */
struct ltxn {
    struct lock_owner owner; /* first */
    struct idnode node;      /* in leader.txns */
    node_id gateway;
    int64_t heard_mono;       /* remote gateways: last sign of life */
    struct leader_wait *wait; /* parked on a lock */
    struct lcommit *commit;   /* proposed; ends with it */
};

/* A command from proposal until it is applied, or surely never will be. */
struct lcommit {
    struct command cmd; /* first */
    struct leader *l;
    enum record_kind kind;
    enum { LCOMMIT_PROPOSED, LCOMMIT_CHOSEN, LCOMMIT_UNKNOWN } state;
    bool ended; /* gave back its marks and locks: it only waits for its last callback */
    bool blind; /* held nothing before: the same commit may be sent again */
    bool schema;
    bool has_id;
    struct idnode node; /* in leader.flight, if has_id */
    struct ltxn *txn;   /* NULL: none, or gone */
    tstamp ts_arg;
    struct readmark_write mark;
    struct buf body;
    void (*done)(void *arg, enum status st, tstamp s, const struct err *err);
    void *done_arg;
    struct lcommit *next, *prev;   /* in leader.commits */
    struct lcommit *next_settling; /* as the next two the worker's: in leader.settling */
    bool settling, applied;
    struct readmark_key keys[]; /* then the keys' bytes */
};

/* What was granted to one gateway and not returned. */
struct lgrant {
    node_id gateway;
    tstamp until; /* a schema change gets a timestamp at or above it */
    bool recalled, returned;
};

enum { LEADER_GATEWAYS_MAX = 1024 };

struct leader {
    struct leader_options o;
    struct readmark *marks;
    _Atomic uint64_t term; /* written under mu; 0: does not lead */
    pthread_mutex_t mu;    /* lock 1; guards what follows */
    bool stopped;
    struct tsalloc ts;
    struct lock_table *locks;
    struct idmap txns;
    struct idmap flight;
    struct lcommit *commits;    /* all that are not freed */
    struct leader_wait *events; /* EVENT waits */
    tstamp agreed;              /* a majority of clocks has passed it, in this term */
    tstamp closing;             /* an empty command at or above it is on its way; 0 none */
    tstamp lease_start;
    struct {
        tstamp from;
        tstamp cap;       /* logged and applied: leases may be given up to it */
        bool cap_flight;  /* a higher one is on its way */
        tstamp inherited; /* leases of earlier leaders may reach up to it */
        uint64_t number;  /* of the last grant */
        enum { CHANGE_NONE, CHANGE_FROZEN, CHANGE_PROPOSED } change;
        struct txn_id changer;
        struct lgrant *grants; /* owned */
        size_t n_grants, cap_grants;
    } schema;
    struct lcommit *settling, **settling_tail; /* the worker's: done or applied in this round */
    struct metric *m_commits, *m_aborts, *m_wounds, *m_lock_waits, *m_mark_waits, *m_expired;
};

static inline struct ltxn *ltxn_of(struct lock_owner *o)
{
    return (struct ltxn *)o;
}

void leader_lock_mu(struct leader *l);
void leader_unlock_mu(struct leader *l);

/* ST_OK if this node leads; the errors that every operation begins with. */
enum status leader_leading_locked(struct leader *l, struct err *err) MRD_CHECKED;
/* The transaction of ref, made if it holds nothing yet. *out is NULL on anything but ST_OK. */
enum status leader_find_locked(struct leader *l, struct leader_ref *ref, struct ltxn **out,
                               struct err *err) MRD_CHECKED;
enum status leader_acquire_locked(struct leader *l, struct ltxn *x, struct bytes start,
                                  struct bytes end, enum lock_mode mode, struct leader_wait *w,
                                  struct err *err) MRD_CHECKED;
void leader_drop_locked(struct leader *l, struct ltxn *x); /* releases, wakes, frees */
void leader_park_event_locked(struct leader *l, struct leader_wait *w, int64_t deadline_mono_ns);
void leader_wake_events_locked(struct leader *l);

/* leader_commit.c */
struct lcommit *lcommit_new(struct leader *l, enum record_kind kind, size_t n_keys,
                            size_t key_bytes);
/* Chooses a timestamp at or above at_least and proposes; rec->ts is filled in. On failure c is as before. */
enum status lcommit_propose_locked(struct leader *l, struct lcommit *c, struct record *rec,
                                   tstamp at_least, struct err *err) MRD_CHECKED;
/* The group's worker: what was done or applied since the last call, under one lock. */
void lcommit_settle(struct leader *l);
void lcommit_free(struct lcommit *c);       /* not proposed, or ended and out of the list */
void lcommit_lost_locked(struct leader *l); /* the term is over */
/* The store has stopped for good: those without a last callback get it, and all are freed. */
void lcommit_forsaken(struct leader *l);
enum status leader_start_close_locked(struct leader *l, tstamp t, struct err *err) MRD_CHECKED;

/* leader_schema.c */
void leader_schema_lead_locked(struct leader *l);
void leader_schema_applied_locked(struct leader *l, const struct lcommit *c);
/* The changer gave up, or its command surely was not chosen. */
void leader_schema_dropped_locked(struct leader *l, struct txn_id id);
/* All leases are back or have lapsed: *out_at_least bounds the change's timestamp. Otherwise parks. */
enum status leader_schema_freeze(struct leader *l, struct leader_ref *ref, struct leader_wait *w,
                                 tstamp *out_at_least, struct err *err) MRD_CHECKED;

#endif
