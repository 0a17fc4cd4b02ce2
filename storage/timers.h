/*
 * timers.h - many timers, of which the earliest is wanted: a binary heap of structs that live in somebody else's.
 *
 * Setting and taking out cost the logarithm of how many there are. No thread: the owner's.
 */
#ifndef MRD_STORAGE_TIMERS_H
#define MRD_STORAGE_TIMERS_H

#include <stddef.h>
#include <stdint.h>

/* All zero: not set. */
struct timer {
    int64_t at;
    size_t place; /* in the heap, from 1; 0: not in it */
};

struct timers {
    struct timer **heap; /* owned; the timers are not */
    size_t n, cap;
};

void timers_fini(struct timers *t);
void timers_set(struct timers *t, struct timer *timer, int64_t at); /* anew, or to another time */
void timers_clear(struct timers *t, struct timer *timer);           /* nothing, if it is not set */
struct timer *timers_first(const struct timers *t);                 /* NULL: none is set */

#endif
