#include "storage/timers.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/status.h"

static void put(struct timers *t, struct timer *timer, size_t place)
{
    t->heap[place - 1] = timer;
    timer->place = place;
}

static void rise(struct timers *t, struct timer *timer, size_t place)
{
    while (place > 1 && t->heap[place / 2 - 1]->at > timer->at) {
        put(t, t->heap[place / 2 - 1], place);
        place /= 2;
    }
    put(t, timer, place);
}

static void sink(struct timers *t, struct timer *timer, size_t place)
{
    for (;;) {
        size_t child = 2 * place;

        if (child < t->n && t->heap[child]->at < t->heap[child - 1]->at)
            child++;
        if (child > t->n || t->heap[child - 1]->at >= timer->at)
            break;
        put(t, t->heap[child - 1], place);
        place = child;
    }
    put(t, timer, place);
}

/* A place whose timer is gone or has changed. */
static void settle(struct timers *t, struct timer *timer, size_t place)
{
    if (place > 1 && t->heap[place / 2 - 1]->at > timer->at)
        rise(t, timer, place);
    else
        sink(t, timer, place);
}

void timers_fini(struct timers *t)
{
    free(t->heap);
    *t = (struct timers){0};
}

void timers_set(struct timers *t, struct timer *timer, int64_t at)
{
    timer->at = at;
    if (timer->place != 0) {
        settle(t, timer, timer->place);
        return;
    }
    if (t->n == t->cap) {
        t->cap = t->cap == 0 ? 16 : t->cap * 2;
        t->heap = xrealloc(t->heap, t->cap * sizeof *t->heap);
    }
    t->n++;
    rise(t, timer, t->n);
}

void timers_clear(struct timers *t, struct timer *timer)
{
    size_t place = timer->place;
    struct timer *last;

    if (place == 0)
        return;
    ASSERT(place <= t->n && t->heap[place - 1] == timer);
    timer->place = 0;
    last = t->heap[--t->n];
    if (last != timer)
        settle(t, last, place);
}

struct timer *timers_first(const struct timers *t)
{
    return t->n == 0 ? NULL : t->heap[0];
}
