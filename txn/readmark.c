#include "txn/readmark.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/check.h"

enum { POINT_SLOTS = 1 << 14, PENDING_SLOTS = 1 << 12 };

struct readmark {
    _Atomic tstamp point[POINT_SLOTS];
    _Atomic uint32_t pending[PENDING_SLOTS]; /* pending keys that hash here */
    _Atomic tstamp range;
    _Atomic size_t n_pending;
    MUTANT_FIELD
    pthread_mutex_t mu;
    struct keytree keys; /* guarded by mu, as what follows */
    uint64_t next_rank;
};

struct readmark *readmark_new(void)
{
    struct readmark *rm = xcalloc(1, sizeof *rm);

    pthread_mutex_init(&rm->mu, NULL);
    keytree_init(&rm->keys, NULL);
    return rm;
}

void readmark_free(struct readmark *rm)
{
    if (rm == NULL)
        return;
    ASSERT(rm->keys.n == 0);
    pthread_mutex_destroy(&rm->mu);
    free(rm);
}

#ifdef MRD_MUTANTS
void readmark_mutate(struct readmark *rm, enum mutant mutant)
{
    rm->mutant = mutant;
}
#endif

/*
 * All atomics here are sequentially consistent, and must be: the reader stores a mark and then loads a counter,
 * the writer stores a counter and then loads a mark. With anything weaker both could miss the other.
 */
static void raise_to(_Atomic tstamp *mark, tstamp t)
{
    tstamp seen = atomic_load(mark);

    while (seen < t && !atomic_compare_exchange_weak(mark, &seen, t))
        continue;
}

void readmark_raise(struct readmark *rm, struct bytes key, tstamp t)
{
    if (!MUTATED(rm, read_mark_forgotten))
        raise_to(&rm->point[key_hash(key) % POINT_SLOTS], t);
}

void readmark_raise_range(struct readmark *rm, tstamp t)
{
    if (!MUTATED(rm, read_mark_forgotten))
        raise_to(&rm->range, t);
}

static bool blocks(const struct readmark_write *w, tstamp t)
{
    return w->s == 0 || w->s <= t;
}

static void enlist(struct readmark_waiter *r, struct readmark_write *on, tstamp t)
{
    ASSERT(r->on == NULL);
    r->t = t;
    r->on = on;
    r->prev = NULL;
    r->next = on->waiters;
    if (r->next != NULL)
        r->next->prev = r;
    on->waiters = r;
}

static void unlist(struct readmark_waiter *r)
{
    if (r->prev != NULL)
        r->prev->next = r->next;
    else
        r->on->waiters = r->next;
    if (r->next != NULL)
        r->next->prev = r->prev;
    r->on = NULL;
}

static void wake(struct readmark_waiter *r)
{
    unlist(r);
    r->fn(r->arg); /* r may be gone from here on */
}

bool readmark_blocked(struct readmark *rm, struct bytes key, tstamp t, struct readmark_waiter *w)
{
    bool blocked = false;

    if (atomic_load(&rm->pending[key_hash(key) % PENDING_SLOTS]) == 0 ||
        MUTATED(rm, pending_forgotten))
        return false;
    pthread_mutex_lock(&rm->mu);
    for (struct keynode *n = keytree_find(&rm->keys, key); n != NULL && bytes_eq(n->key, key);
         n = keytree_after(&rm->keys, n->key, n->rank)) {
        struct readmark_write *on = KEYTREE_OWNER(n, struct readmark_key, node)->write;

        if (blocks(on, t)) {
            blocked = true;
            if (w != NULL)
                enlist(w, on, t);
            break;
        }
    }
    pthread_mutex_unlock(&rm->mu);
    return blocked;
}

bool readmark_blocked_range(struct readmark *rm, struct bytes start, struct bytes end, tstamp t,
                            struct readmark_waiter *w)
{
    bool blocked = false;

    if (atomic_load(&rm->n_pending) == 0)
        return false;
    pthread_mutex_lock(&rm->mu);
    for (struct keynode *n = keytree_at_least(&rm->keys, start);
         n != NULL && bytes_cmp(n->key, end) < 0; n = keytree_after(&rm->keys, n->key, n->rank)) {
        struct readmark_write *on = KEYTREE_OWNER(n, struct readmark_key, node)->write;

        if (blocks(on, t)) {
            blocked = true;
            if (w != NULL)
                enlist(w, on, t);
            break;
        }
    }
    pthread_mutex_unlock(&rm->mu);
    return blocked;
}

void readmark_cancel(struct readmark *rm, struct readmark_waiter *w)
{
    pthread_mutex_lock(&rm->mu);
    if (w->on != NULL)
        unlist(w);
    pthread_mutex_unlock(&rm->mu);
}

void readmark_write_begin(struct readmark *rm, struct readmark_write *w)
{
    w->s = 0;
    w->waiters = NULL;
    pthread_mutex_lock(&rm->mu);
    for (size_t i = 0; i < w->n; i++) {
        w->keys[i].write = w;
        w->keys[i].node.rank = ++rm->next_rank;
        keytree_insert(&rm->keys, &w->keys[i].node);
        atomic_fetch_add(&rm->pending[key_hash(w->keys[i].node.key) % PENDING_SLOTS], 1);
    }
    atomic_fetch_add(&rm->n_pending, w->n);
    pthread_mutex_unlock(&rm->mu);
}

tstamp readmark_write_floor(struct readmark *rm, const struct readmark_write *w)
{
    tstamp floor = w->n == 0 ? 0 : atomic_load(&rm->range);

    for (size_t i = 0; i < w->n; i++) {
        tstamp t = atomic_load(&rm->point[key_hash(w->keys[i].node.key) % POINT_SLOTS]);

        if (t > floor)
            floor = t;
    }
    return floor;
}

void readmark_write_set(struct readmark *rm, struct readmark_write *w, tstamp s)
{
    struct readmark_waiter *next;

    pthread_mutex_lock(&rm->mu);
    ASSERT(w->s == 0 && s > 0);
    w->s = s;
    for (struct readmark_waiter *r = w->waiters; r != NULL; r = next) {
        next = r->next;
        if (!blocks(w, r->t))
            wake(r);
    }
    pthread_mutex_unlock(&rm->mu);
}

void readmark_write_end(struct readmark *rm, struct readmark_write *w)
{
    pthread_mutex_lock(&rm->mu);
    for (size_t i = 0; i < w->n; i++) {
        keytree_remove(&rm->keys, &w->keys[i].node);
        atomic_fetch_sub(&rm->pending[key_hash(w->keys[i].node.key) % PENDING_SLOTS], 1);
    }
    atomic_fetch_sub(&rm->n_pending, w->n);
    while (w->waiters != NULL)
        wake(w->waiters);
    pthread_mutex_unlock(&rm->mu);
}

size_t readmark_pending(struct readmark *rm)
{
    return atomic_load(&rm->n_pending);
}

tstamp readmark_highest(struct readmark *rm)
{
    tstamp highest = atomic_load(&rm->range);

    for (size_t i = 0; i < POINT_SLOTS; i++) {
        tstamp t = atomic_load(&rm->point[i]);

        if (t > highest)
            highest = t;
    }
    return highest;
}
