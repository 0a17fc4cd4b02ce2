#include "txn/lock.h"

#include <stdlib.h>

#include "base/check.h"
#include "txn/keytree.h"

/*
 * Two interval trees, one of locks held and one of requests that wait. A lock is [node.key, end); a point k is [k, k
 * 0x00), which no other key is in. Each node keeps the largest end of its subtree, so that what overlaps a range is
 * found without looking at the rest.
 */
struct lock {
    struct keynode node; /* first: the start, and a number for equal starts */
    struct bytes end;
    struct bytes max_end;
    struct lock_owner *owner;
    enum lock_mode mode;
    bool candidate;           /* in the list of waiters to look at again */
    struct lock *prev, *next; /* the owner's list of held locks */
    uint8_t bytes[];
};

struct list {
    struct lock **at;
    size_t n, cap;
};

struct lock_table {
    struct keytree held;
    struct keytree waiting;
    size_t locks_max;
    uint64_t next_rank;
    struct list found;      /* scratch of one search */
    struct list candidates; /* waiters that something was released for */
    struct lock_stats stats;
};

static struct lock *lock_of(struct keynode *n)
{
    return (struct lock *)n;
}

static void update_max_end(struct keynode *n)
{
    struct lock *l = lock_of(n);

    l->max_end = l->end;
    if (n->left != NULL && bytes_cmp(lock_of(n->left)->max_end, l->max_end) > 0)
        l->max_end = lock_of(n->left)->max_end;
    if (n->right != NULL && bytes_cmp(lock_of(n->right)->max_end, l->max_end) > 0)
        l->max_end = lock_of(n->right)->max_end;
}

struct lock_table *lock_table_new(size_t locks_max)
{
    struct lock_table *t = xcalloc(1, sizeof *t);

    keytree_init(&t->held, update_max_end);
    keytree_init(&t->waiting, update_max_end);
    t->locks_max = locks_max;
    return t;
}

void lock_table_free(struct lock_table *t)
{
    if (t == NULL)
        return;
    ASSERT(t->held.n == 0 && t->waiting.n == 0);
    free(t->found.at);
    free(t->candidates.at);
    free(t);
}

static void push(struct list *list, struct lock *l)
{
    if (list->n == list->cap) {
        list->cap = list->cap == 0 ? 32 : list->cap * 2;
        list->at = xrealloc(list->at, list->cap * sizeof *list->at);
    }
    list->at[list->n++] = l;
}

/* Depth: that of the tree, logarithmic by its random priorities. */
static void overlapping(struct keynode *n, struct bytes start, struct bytes end, struct list *out)
{
    while (n != NULL && bytes_cmp(lock_of(n)->max_end, start) > 0) {
        overlapping(n->left, start, end, out);
        if (bytes_cmp(n->key, end) >= 0)
            return;
        if (bytes_cmp(lock_of(n)->end, start) > 0)
            push(out, lock_of(n));
        n = n->right;
    }
}

static void find(struct lock_table *t, const struct keytree *in, const struct lock *l)
{
    t->found.n = 0;
    overlapping(in->root, l->node.key, l->end, &t->found);
}

static bool older(const struct lock_owner *a, const struct lock_owner *b)
{
    if (a->age != b->age)
        return a->age < b->age;
    if (a->id.start != b->id.start)
        return a->id.start < b->id.start;
    if (a->id.gateway != b->id.gateway)
        return a->id.gateway < b->id.gateway;
    return a->id.counter < b->id.counter;
}

static bool conflict(const struct lock *a, const struct lock *b)
{
    return a->owner != b->owner && (a->mode == LOCK_EXCLUSIVE || b->mode == LOCK_EXCLUSIVE);
}

static bool covers(const struct lock *l, const struct lock *want)
{
    return l->owner == want->owner && l->mode >= want->mode &&
           bytes_cmp(l->node.key, want->node.key) <= 0 && bytes_cmp(l->end, want->end) >= 0;
}

static void event(struct lock_owner **list, struct lock_owner *o)
{
    o->next = *list;
    *list = o;
}

static struct lock *lock_new(struct lock_table *t, struct lock_owner *o, struct bytes start,
                             struct bytes end, enum lock_mode mode)
{
    bool point = end.ptr == NULL;
    struct lock *l = xmalloc(sizeof *l + start.len + (point ? 1 : end.len));

    *l = (struct lock){.owner = o, .mode = mode};
    if (start.len > 0)
        memcpy(l->bytes, start.ptr, start.len);
    l->node.key = bytes_of(l->bytes, start.len);
    l->node.rank = ++t->next_rank;
    if (point) {
        l->bytes[start.len] = 0;
        l->end = bytes_of(l->bytes, start.len + 1);
    } else {
        memcpy(l->bytes + start.len, end.ptr, end.len);
        l->end = bytes_of(l->bytes + start.len, end.len);
        ASSERT(bytes_cmp(l->node.key, l->end) < 0);
    }
    return l;
}

/* Waiters that overlap what is going away are looked at again. */
static void note_candidates(struct lock_table *t, const struct lock *gone)
{
    if (t->waiting.n == 0)
        return;
    find(t, &t->waiting, gone);
    for (size_t i = 0; i < t->found.n; i++) {
        struct lock *w = t->found.at[i];

        if (!w->candidate) {
            w->candidate = true;
            push(&t->candidates, w);
        }
    }
}

static void drop_waiting(struct lock_table *t, struct lock_owner *o)
{
    struct lock *w = o->waiting;

    if (w == NULL)
        return;
    keytree_remove(&t->waiting, &w->node);
    for (size_t i = 0; w->candidate && i < t->candidates.n; i++) {
        if (t->candidates.at[i] == w) {
            t->candidates.at[i] = t->candidates.at[--t->candidates.n];
            break;
        }
    }
    o->waiting = NULL;
    note_candidates(t, w);
    free(w);
}

static void drop_held(struct lock_table *t, struct lock_owner *o)
{
    while (o->held != NULL) {
        struct lock *l = o->held;

        o->held = l->next;
        keytree_remove(&t->held, &l->node);
        note_candidates(t, l);
        free(l);
    }
    o->n_held = 0;
}

static void hold(struct lock_table *t, struct lock *l)
{
    struct lock_owner *o = l->owner;

    l->prev = NULL;
    l->next = o->held;
    if (l->next != NULL)
        l->next->prev = l;
    o->held = l;
    o->n_held++;
    keytree_insert(&t->held, &l->node);
}

/* Must the request wait? Younger holders in its way are gathered in `found`. */
static bool blocked(struct lock_table *t, const struct lock *want)
{
    bool wait = false;
    size_t n = 0;

    find(t, &t->waiting, want);
    for (size_t i = 0; i < t->found.n; i++) {
        if (conflict(t->found.at[i], want) && older(t->found.at[i]->owner, want->owner))
            wait = true;
    }
    find(t, &t->held, want);
    for (size_t i = 0; i < t->found.n; i++) {
        struct lock *l = t->found.at[i];

        if (!conflict(l, want))
            continue;
        if (l->owner->state == LOCK_OWNER_PROTECTED || older(l->owner, want->owner))
            wait = true;
        else
            t->found.at[n++] = l;
    }
    t->found.n = n;
    return wait;
}

static int by_age(const void *a, const void *b)
{
    const struct lock *const *x = a;
    const struct lock *const *y = b;

    return older((*x)->owner, (*y)->owner) ? -1 : 1;
}

/* Serves the candidates, the oldest first: one pass is enough, for a grant never frees anybody else. */
static void serve_candidates(struct lock_table *t, struct lock_events *out)
{
    size_t n = t->candidates.n;

    if (n > 1)
        qsort(t->candidates.at, n, sizeof *t->candidates.at, by_age);
    for (size_t i = 0; i < n; i++) {
        struct lock *w = t->candidates.at[i];

        w->candidate = false;
        if (blocked(t, w))
            continue;
        ASSERT(t->found.n == 0); /* T2: a younger holder was wounded when the request came */
        keytree_remove(&t->waiting, &w->node);
        w->owner->waiting = NULL;
        hold(t, w);
        event(&out->granted, w->owner);
    }
    t->candidates.n = 0;
}

/* Every younger owner among the locks found loses all it has. */
static void wound_found(struct lock_table *t, struct lock_events *out)
{
    for (size_t i = 0; i < t->found.n; i++) {
        struct lock_owner *o = t->found.at[i]->owner;

        if (o->state == LOCK_OWNER_WOUNDED)
            continue;                          /* by another of its locks */
        ASSERT(o->state == LOCK_OWNER_ACTIVE); /* T2 */
        o->state = LOCK_OWNER_WOUNDED;
        t->stats.wounds++;
        event(&out->wounded, o);
    }
    for (struct lock_owner *o = out->wounded; o != NULL; o = o->next) {
        drop_waiting(t, o);
        drop_held(t, o);
    }
}

static bool is_covered(struct lock_table *t, const struct lock *want)
{
    find(t, &t->held, want);
    for (size_t i = 0; i < t->found.n; i++) {
        if (covers(t->found.at[i], want))
            return true;
    }
    return false;
}

enum lock_answer lock_acquire(struct lock_table *t, struct lock_owner *o, struct bytes start,
                              struct bytes end, enum lock_mode mode, struct lock_events *out)
{
    struct lock *want;
    bool wait;

    ASSERT(o->state == LOCK_OWNER_ACTIVE && o->waiting == NULL); /* T1 */
    *out = (struct lock_events){NULL, NULL};
    want = lock_new(t, o, start, end, mode);
    if (o->n_held > 0 && is_covered(t, want)) {
        free(want);
        return LOCK_GRANTED;
    }
    if (o->n_held >= t->locks_max) {
        free(want);
        return LOCK_TOO_MANY;
    }
    wait = blocked(t, want);
    wound_found(t, out);
    if (wait) {
        keytree_insert(&t->waiting, &want->node);
        o->waiting = want;
        t->stats.waits++;
    } else {
        hold(t, want);
    }
    serve_candidates(t, out);
    return wait ? LOCK_WAITS : LOCK_GRANTED;
}

bool lock_holds(struct lock_table *t, const struct lock_owner *o, struct bytes start,
                struct bytes end, enum lock_mode mode)
{
    struct lock *want;
    bool held;

    if (o->n_held == 0)
        return false;
    want = lock_new(t, NULL, start, end, mode);
    want->owner = o->held->owner;
    held = is_covered(t, want);
    free(want);
    return held;
}

void lock_protect(struct lock_owner *o)
{
    ASSERT(o->state == LOCK_OWNER_ACTIVE && o->waiting == NULL);
    o->state = LOCK_OWNER_PROTECTED;
}

void lock_cancel(struct lock_table *t, struct lock_owner *o, struct lock_events *out)
{
    *out = (struct lock_events){NULL, NULL};
    drop_waiting(t, o);
    serve_candidates(t, out);
}

void lock_release(struct lock_table *t, struct lock_owner *o, struct lock_events *out)
{
    *out = (struct lock_events){NULL, NULL};
    drop_waiting(t, o);
    drop_held(t, o);
    serve_candidates(t, out);
}

void lock_stats(const struct lock_table *t, struct lock_stats *out)
{
    *out = t->stats;
    out->held = t->held.n;
    out->waiting = t->waiting.n;
}

static void check_waiter(struct lock_table *t, const struct lock *w)
{
    bool reason = false;

    ASSERT(w->owner->state == LOCK_OWNER_ACTIVE && w->owner->waiting == w); /* T1 */
    find(t, &t->held, w);
    for (size_t i = 0; i < t->found.n; i++) {
        const struct lock *l = t->found.at[i];

        if (!conflict(l, w))
            continue;
        ASSERT(l->owner->state == LOCK_OWNER_PROTECTED || older(l->owner, w->owner)); /* T2 */
        reason = true;
    }
    find(t, &t->waiting, w);
    for (size_t i = 0; i < t->found.n; i++) {
        if (conflict(t->found.at[i], w) && older(t->found.at[i]->owner, w->owner))
            reason = true;
    }
    ASSERT(reason); /* T3: nobody waits for nothing */
}

void lock_check(struct lock_table *t)
{
    struct keynode *n;

    for (n = keytree_at_least(&t->held, bytes_str("")); n != NULL;
         n = keytree_after(&t->held, n->key, n->rank)) {
        find(t, &t->held, lock_of(n));
        for (size_t i = 0; i < t->found.n; i++)
            ASSERT(!conflict(t->found.at[i], lock_of(n))); /* T1 */
        ASSERT(lock_of(n)->owner->state != LOCK_OWNER_WOUNDED);
    }
    for (n = keytree_at_least(&t->waiting, bytes_str("")); n != NULL;
         n = keytree_after(&t->waiting, n->key, n->rank))
        check_waiter(t, lock_of(n));
}
