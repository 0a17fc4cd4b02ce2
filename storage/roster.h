/*
 * roster.h - which groups of a worker have work: called by other threads, met by a message, synced, or due.
 *
 * Hides how a worker with thousands of groups looks only at those. A group is active in a round, or sleeps until its
 * timer, or rests: then nothing but a call, a message or a turn of support brings it back. Threads: roster_call any;
 * the rest the worker.
 */
#ifndef MRD_STORAGE_ROSTER_H
#define MRD_STORAGE_ROSTER_H

#include "storage/group_int.h"

struct roster {
    struct group *_Atomic called; /* a stack, by next_called */
    struct timers timers;         /* of those that sleep */
    struct group **active;        /* owned; in the order in which they became it */
    size_t n_active, cap_active;
    struct group **writing; /* owned; they wait for a sync */
    size_t n_writing, cap_writing;
    size_t n_resting;
    long n_wanting; /* groups that lead, or try to */
};

void roster_fini(struct roster *r);
/* Somebody wants something of g: it will be active in the next round. The caller wakes the worker. */
void roster_call(struct roster *r, struct group *g);
struct group *roster_next_called(struct roster *r);               /* since last asked; NULL: none */
void roster_activate(struct roster *r, struct group *g);          /* nothing, if it is */
struct group *roster_next_due(struct roster *r, int64_t mono_ns); /* now active; NULL: none */
void roster_writes(struct roster *r, struct group *g);            /* it waits for a sync now */
/* An active group has no more to do now. The caller takes it out of the list of active ones. */
void roster_sleep(struct roster *r, struct group *g, int64_t wake_mono_ns);
void roster_rest(struct roster *r, struct group *g);
int64_t roster_wake(const struct roster *r); /* when the next one is due; INT64_MAX: none */

#endif
