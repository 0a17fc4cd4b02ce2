/*
 * lock.h - the range locks of a leader: shared and exclusive, on points and on ranges [start, end).
 *
 * Wound-wait by age: a requester wounds every younger owner that holds what it wants, and waits behind
 * every older one, be it holder or waiter; a younger waiter is overtaken. So each edge of waiting leads from younger to
 * older, and no circle can close. The one exception, an owner whose commit is under way, is never wounded and
 * never waits. Among waiters the oldest is served first, so that nobody starves. An owner may ask again for what it
 * holds, and may make its shared lock exclusive (it then waits for other holders only, as for any lock).
 *
 * A wounded owner loses its locks and its place in the queue at once: whoever runs it must look at its state before it
 * believes what it has read. Locks live in memory only, and end with the leadership.
 *
 * No I/O, clock, thread or global: a core, guarded by its leader's mutex.
 */
#ifndef MRD_TXN_LOCK_H
#define MRD_TXN_LOCK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"
#include "base/ids.h"

struct lock_table;
struct lock;

enum lock_mode { LOCK_SHARED = 1, LOCK_EXCLUSIVE };

enum lock_state {
    LOCK_OWNER_ACTIVE,
    LOCK_OWNER_PROTECTED, /* its commit is proposed, or may be: never wounded */
    LOCK_OWNER_WOUNDED    /* holds nothing any more; its transaction is over */
};

/* Stands in the struct of a transaction. age and id are the caller's to fill, the rest zero. */
struct lock_owner {
    tstamp age; /* smaller is older; equal ages go by id */
    struct txn_id id;
    enum lock_state state; /* the table's, as what follows */
    struct lock *held;     /* list */
    size_t n_held;
    struct lock *waiting;    /* at most one */
    struct lock_owner *next; /* in a list of events */
};

/* What a call brought about for other owners, once each. Good until the table's next call. */
struct lock_events {
    struct lock_owner *granted; /* what they waited for is theirs now */
    struct lock_owner *wounded; /* they hold nothing any more */
};

enum lock_answer { LOCK_GRANTED, LOCK_WAITS, LOCK_TOO_MANY };

struct lock_table *lock_table_new(size_t locks_max); /* of one owner */
void lock_table_free(struct lock_table *t); /* all owners must hold nothing; NULL is fine */

/* end.ptr NULL: the point `start`. The owner must be active and not waiting. Bytes are copied. */
enum lock_answer lock_acquire(struct lock_table *t, struct lock_owner *o, struct bytes start,
                              struct bytes end, enum lock_mode mode, struct lock_events *out);
/* Is it held already, by one lock that covers it? */
bool lock_holds(struct lock_table *t, const struct lock_owner *o, struct bytes start,
                struct bytes end, enum lock_mode mode);
void lock_protect(struct lock_owner *o); /* active, and not waiting */
/* Gives up the waiting request, if there is one. */
void lock_cancel(struct lock_table *t, struct lock_owner *o, struct lock_events *out);
/* Gives up everything, the waiting request too. The owner may be freed, once it is out of the events. */
void lock_release(struct lock_table *t, struct lock_owner *o, struct lock_events *out);

struct lock_stats {
    size_t held, waiting;
    uint64_t wounds, waits;
};
void lock_stats(const struct lock_table *t, struct lock_stats *out);
void lock_check(struct lock_table *t); /* asserts every invariant; slow */

#endif
