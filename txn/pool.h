/*
 * pool.h - a few threads that run jobs: work that must not wait, is kicked when it may go on, and runs again.
 *
 * A job is run by one thread at a time; a kick while it runs makes it run once more. Kicks may come from any
 * thread, under any lock. A job whose owner runs it itself (job_init_own) is never given to a thread: a
 * kick then wakes the owner, who sleeps in job_sleep.
 */
#ifndef MRD_TXN_POOL_H
#define MRD_TXN_POOL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/waker.h"

struct pool;

struct job {
    /* True: the job is over, and may be gone. */
    bool (*run)(struct job *j);
    struct pool *pool; /* NULL: its owner runs it */
    _Atomic uint32_t state;
    struct waker waker;
    struct job *next; /* the pool's */
};

struct pool *pool_new(unsigned n_threads);
/* What is queued still runs; then the threads end. Kicks afterwards do nothing. */
void pool_stop(struct pool *p);
void pool_free(struct pool *p); /* stopped; NULL is fine */

void job_init(struct job *j, struct pool *p, bool (*run)(struct job *j));
void job_init_own(struct job *j);
static inline bool job_is_own(const struct job *j)
{
    return j->pool == NULL;
}

void job_kick(struct job *j);
/* The owner's: returns after a kick since the last call, after about timeout_ns, or for no reason. */
void job_sleep(struct job *j, int64_t timeout_ns);

#endif
