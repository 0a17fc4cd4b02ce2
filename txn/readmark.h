/*
 * readmark.h - reads against writes at a leader: what was promised to readers, what is being written.
 *
 * A reader at t raises the mark of what it reads to t, then asks whether a write of it is pending at or below
 * t, then begins its engine read. A writer enters its keys as pending, then reads the marks, then chooses a
 * timestamp above them. Whichever comes first, the other one sees it: either the writer's timestamp is above t, or
 * the reader waits until the write is applied (or surely never will be).
 *
 * Marks: hashed slots for points, one mark for all ranges, raised by atomic maxima. They err on the high side,
 * which costs a writer nothing: every t was some clock's `latest` when the mark was raised. Pending keys: counters
 * that tell "nothing pending here" without a lock, and an ordered table under a mutex that tells exactly.
 *
 * Thread: any. The mutex (lock 4 in txn/README.md) is held for lookups only; waiters are woken under it.
 */
#ifndef MRD_TXN_READMARK_H
#define MRD_TXN_READMARK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"
#include "base/ids.h"
#include "storage/mutant.h"
#include "txn/keytree.h"

struct readmark;

struct readmark *readmark_new(void);
void readmark_free(struct readmark *rm); /* NULL is fine; nothing may be pending */

#ifdef MRD_MUTANTS
void readmark_mutate(struct readmark *rm, enum mutant mutant); /* the simulator's */
#endif

/* A reader that has to wait. fn runs once, under the mutex: it signals somebody and returns. */
struct readmark_waiter {
    void (*fn)(void *arg);
    void *arg;
    tstamp t; /* the table's, as what follows */
    struct readmark_waiter *next, *prev;
    struct readmark_write *on; /* NULL: not waiting */
};

/* The readers' side, in this order: raise, ask, read. Ends are excluded. */
void readmark_raise(struct readmark *rm, struct bytes key, tstamp t);
void readmark_raise_range(struct readmark *rm, tstamp t);
/* True: a write at or below t, or without a timestamp yet, is pending there: wait, then ask again. w may be
 * NULL; otherwise it is enlisted if the answer is true, and its fn runs when it is worth asking again. */
bool readmark_blocked(struct readmark *rm, struct bytes key, tstamp t, struct readmark_waiter *w);
bool readmark_blocked_range(struct readmark *rm, struct bytes start, struct bytes end, tstamp t,
                            struct readmark_waiter *w);
void readmark_cancel(struct readmark *rm,
                     struct readmark_waiter *w); /* fn will not run afterwards */

/* The writers' side. A write owns its keys until it has ended. */
struct readmark_key {
    struct keynode node; /* node.key is the caller's to fill */
    struct readmark_write *write;
};

struct readmark_write {
    struct readmark_key *keys; /* the caller's memory, as the keys' bytes */
    size_t n;
    tstamp s; /* 0: not chosen */
    struct readmark_waiter *waiters;
};

/* keys[i].node.key and n are filled; what else is in *w does not matter. */
void readmark_write_begin(struct readmark *rm, struct readmark_write *w);
/* The highest timestamp promised to a reader of any of the keys: s must be above it. */
tstamp readmark_write_floor(struct readmark *rm, const struct readmark_write *w);
void readmark_write_set(struct readmark *rm, struct readmark_write *w, tstamp s);
/* Applied here, or surely never will be, or this node no longer leads. */
void readmark_write_end(struct readmark *rm, struct readmark_write *w);

size_t readmark_pending(struct readmark *rm); /* keys */
tstamp readmark_highest(struct readmark *rm); /* that any reader was promised; 0 none */

#endif
