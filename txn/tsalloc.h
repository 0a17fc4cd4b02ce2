/*
 * tsalloc.h - the one allocator of timestamps of a leader: what it has used, promised, and has on the way.
 *
 * A timestamp is above every one that this leader used or promised, above its lease start and above what the
 * recovered log holds; at or above the clock's latest, read after the request arrived; and at or below its lease
 * end, or it is refused. Whoever takes one proposes it before the next is taken (the log is in order of timestamps),
 * and says when it is settled.
 *
 * No I/O, clock, thread or global: a core, guarded by its leader's mutex.
 */
#ifndef MRD_TXN_TSALLOC_H
#define MRD_TXN_TSALLOC_H

#include <stdbool.h>
#include <stddef.h>

#include "base/ids.h"
#include "storage/mutant.h"

struct tsalloc {
    tstamp
        used; /* the highest that was taken, or that the recovered log held, or the lease start */
    tstamp promised; /* nothing at or below it will be taken: closed time, votes */
    struct tsalloc_flight {
        tstamp ts;
        bool settled;
    } * flight; /* ring, in order of ts; owned */
    size_t head, n, cap;
    MUTANT_FIELD
};

void tsalloc_init(struct tsalloc *a); /* before the first leadership: takes nothing yet */
void tsalloc_fini(struct tsalloc *a);
/* A new leadership: nothing is on the way. */
void tsalloc_lead(struct tsalloc *a, tstamp lease_start, tstamp floor_ts);

struct tsalloc_ask {
    tstamp latest;    /* tt_now().latest, read after the request arrived */
    tstamp lease_end; /* as this instant sees it; 0: no lease */
    tstamp above;     /* read marks of the keys */
    tstamp at_least;  /* further bound, 0 none */
};
/* False: it would be behind the lease end; nothing has changed. */
bool tsalloc_take(struct tsalloc *a, const struct tsalloc_ask *ask, tstamp *out_ts);
/* The command with this timestamp is applied, or surely never will be. */
void tsalloc_settle(struct tsalloc *a, tstamp ts);

/* Nothing at or below t will be taken from now on. False: t is behind the lease end. */
bool tsalloc_promise(struct tsalloc *a, tstamp t, tstamp lease_end);

/* At or below it everything that was ever taken is settled, and nothing more will be taken. */
tstamp tsalloc_quiet(const struct tsalloc *a);

#endif
