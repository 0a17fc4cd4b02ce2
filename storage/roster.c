#include "storage/roster.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/status.h"

static void append(struct group ***list, size_t *n, size_t *cap, struct group *g)
{
    if (*n == *cap) {
        *cap = *cap == 0 ? 16 : *cap * 2;
        *list = xrealloc(*list, *cap * sizeof **list);
    }
    (*list)[(*n)++] = g;
}

void roster_fini(struct roster *r)
{
    timers_fini(&r->timers);
    free(r->active);
    free(r->writing);
}

void roster_call(struct roster *r, struct group *g)
{
    struct group *head;

    if (atomic_exchange(&g->called, true))
        return; /* it is in the list */
    head = atomic_load_explicit(&r->called, memory_order_relaxed);
    do {
        g->next_called = head;
    } while (!atomic_compare_exchange_weak(&r->called, &head, g));
}

struct group *roster_next_called(struct roster *r)
{
    struct group *g = atomic_load(&r->called);

    /* Only the worker takes, so that the head cannot go and come back meanwhile. */
    while (g != NULL && !atomic_compare_exchange_weak(&r->called, &g, g->next_called))
        ;
    if (g == NULL)
        return NULL;
    atomic_store(&g->called, false); /* before it is looked at: a later call is not lost */
    return g;
}

void roster_activate(struct roster *r, struct group *g)
{
    if (g->active)
        return;
    g->active = true;
    if (atomic_load_explicit(&g->resting, memory_order_relaxed)) {
        atomic_store(&g->resting, false);
        r->n_resting--;
    }
    timers_clear(&r->timers, &g->timer);
    append(&r->active, &r->n_active, &r->cap_active, g);
}

struct group *roster_next_due(struct roster *r, int64_t mono_ns)
{
    struct timer *t = timers_first(&r->timers);
    struct group *g;

    if (t == NULL || t->at > mono_ns)
        return NULL;
    g = (struct group *)((char *)t - offsetof(struct group, timer));
    roster_activate(r, g);
    return g;
}

void roster_writes(struct roster *r, struct group *g)
{
    if (g->writing)
        return;
    g->writing = true;
    append(&r->writing, &r->n_writing, &r->cap_writing, g);
}

void roster_sleep(struct roster *r, struct group *g, int64_t wake_mono_ns)
{
    g->active = false;
    timers_set(&r->timers, &g->timer, wake_mono_ns);
}

void roster_rest(struct roster *r, struct group *g)
{
    g->active = false;
    r->n_resting++;
    group_trim(g);
    atomic_store(&g->resting, true);
}

int64_t roster_wake(const struct roster *r)
{
    const struct timer *t = timers_first(&r->timers);

    return t == NULL ? INT64_MAX : t->at;
}
