#include "txn/schema_gate.h"

#include "base/check.h"
#include "base/clock.h"

/* A lease that ends sooner is no use to a transaction that only begins. */
#define LEASE_LEAST_NS (50 * (int64_t)NS_PER_MS)

void gate_init(struct schema_gate *g)
{
    *g = (struct schema_gate){.version = 1, .revoked_from = -1};
    pthread_mutex_init(&g->mu, NULL);
}

void gate_fini(struct schema_gate *g)
{
    pthread_mutex_destroy(&g->mu);
}

bool gate_lease(struct schema_gate *g, tstamp latest, tstamp *out_from, tstamp *out_until)
{
    uint32_t version = atomic_load(&g->version);
    tstamp from = atomic_load(&g->from), until = atomic_load(&g->until);

    if ((version & 1) != 0 || atomic_load(&g->version) != version ||
        until - latest < LEASE_LEAST_NS)
        return false;
    if (!atomic_load_explicit(&g->used, memory_order_relaxed))
        atomic_store_explicit(&g->used, true, memory_order_relaxed);
    *out_from = from;
    *out_until = until;
    return true;
}

/* Afterwards nobody finds the lease. */
static void take_away_locked(struct schema_gate *g)
{
    uint32_t version = atomic_load(&g->version);

    if ((version & 1) == 0)
        atomic_store(&g->version, version + 1);
}

bool gate_put(struct schema_gate *g, const struct leader_lease *grant)
{
    bool good;

    pthread_mutex_lock(&g->mu);
    good =
        grant->term > g->fence_term || (grant->term == g->fence_term && grant->number >= g->fence);
    /* Of two answers that overtook each other the later grant stays. */
    if (good && (grant->term > g->term || (grant->term == g->term && grant->number > g->number))) {
        take_away_locked(g);
        atomic_store(&g->from, grant->from);
        atomic_store(&g->until, grant->until);
        g->term = grant->term;
        g->number = grant->number;
        atomic_fetch_add(&g->version, 1);
    }
    pthread_mutex_unlock(&g->mu);
    return good;
}

static void raise_taken(struct schema_gate *g, tstamp t)
{
    tstamp taken = atomic_load(&g->taken);

    while (taken < t && !atomic_compare_exchange_weak(&g->taken, &taken, t))
        ;
}

bool gate_take(struct schema_gate *g, tstamp from, tstamp t)
{
    uint32_t version;
    tstamp held;
    bool good;

    raise_taken(g, t);
    version = atomic_load(&g->version); /* T9: after taken was raised */
    held = atomic_load(&g->from);
    if ((version & 1) == 0 && held == from && atomic_load(&g->version) == version)
        return true;
    pthread_mutex_lock(&g->mu);
    version = atomic_load(&g->version);
    good = ((version & 1) == 0 && atomic_load(&g->from) == from) ||
           (from == g->revoked_from && t <= g->revoked_bound);
    pthread_mutex_unlock(&g->mu);
    return good;
}

tstamp gate_recall(struct schema_gate *g, uint64_t term, uint64_t fence, tstamp at_least)
{
    tstamp bound;

    pthread_mutex_lock(&g->mu);
    if (term > g->fence_term || (term == g->fence_term && fence > g->fence)) {
        g->fence_term = term;
        g->fence = fence;
    }
    take_away_locked(g);
    bound = atomic_load(&g->taken); /* T9: after the lease was taken away */
    if (at_least > bound)
        bound = at_least;
    if (g->revoked_from == atomic_load(&g->from) && g->revoked_bound > bound)
        bound = g->revoked_bound;
    g->revoked_from = atomic_load(&g->from);
    g->revoked_bound = bound;
    pthread_mutex_unlock(&g->mu);
    return bound;
}
