#include "txn/tsalloc.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

void tsalloc_init(struct tsalloc *a)
{
    memset(a, 0, sizeof *a);
}

void tsalloc_fini(struct tsalloc *a)
{
    free(a->flight);
    memset(a, 0, sizeof *a);
}

static tstamp max_ts(tstamp a, tstamp b)
{
    return a > b ? a : b;
}

void tsalloc_lead(struct tsalloc *a, tstamp lease_start, tstamp floor_ts)
{
    a->used = max_ts(a->used, max_ts(lease_start, floor_ts));
    a->head = a->n = 0;
}

static void push(struct tsalloc *a, tstamp ts)
{
    if (a->n == a->cap) {
        size_t cap = a->cap == 0 ? 64 : a->cap * 2;
        struct tsalloc_flight *ring = xmalloc(cap * sizeof *ring);

        for (size_t i = 0; i < a->n; i++)
            ring[i] = a->flight[(a->head + i) & (a->cap - 1)];
        free(a->flight);
        a->flight = ring;
        a->cap = cap;
        a->head = 0;
    }
    a->flight[(a->head + a->n++) & (a->cap - 1)] = (struct tsalloc_flight){ts, false};
}

bool tsalloc_take(struct tsalloc *a, const struct tsalloc_ask *ask, tstamp *out_ts)
{
    tstamp s = max_ts(a->used, max_ts(a->promised, ask->above)) + 1;

    if (MUTATED(a, timestamp_below_read_mark))
        s = max_ts(a->used, a->promised) + 1;
    if (!MUTATED(a, timestamp_below_latest))
        s = max_ts(s, max_ts(ask->latest, ask->at_least));
    if (s > ask->lease_end && !MUTATED(a, timestamp_above_lease_end))
        return false;
    ASSERT(s > a->used && s > a->promised); /* T4 */
    ASSERT((s > ask->above || MUTATED(a, timestamp_below_read_mark)) &&
           (s >= ask->latest || MUTATED(a, timestamp_below_latest))); /* T4 */
    a->used = s;
    push(a, s);
    *out_ts = s;
    return true;
}

void tsalloc_settle(struct tsalloc *a, tstamp ts)
{
    size_t lo = 0;
    size_t hi = a->n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (a->flight[(a->head + mid) & (a->cap - 1)].ts < ts)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == a->n || a->flight[(a->head + lo) & (a->cap - 1)].ts != ts)
        return; /* of an earlier leadership */
    a->flight[(a->head + lo) & (a->cap - 1)].settled = true;
    while (a->n > 0 && a->flight[a->head].settled) {
        a->head = (a->head + 1) & (a->cap - 1);
        a->n--;
    }
}

bool tsalloc_promise(struct tsalloc *a, tstamp t, tstamp lease_end)
{
    if (t > lease_end)
        return false;
    a->promised = max_ts(a->promised, t);
    return true;
}

tstamp tsalloc_quiet(const struct tsalloc *a)
{
    return a->n > 0 ? a->flight[a->head].ts - 1 : max_ts(a->used, a->promised);
}
