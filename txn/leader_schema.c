#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "txn/leader_int.h"

/*
 * Schema leases. A grant [from, until) lets a gateway plan under version `from` for timestamps below until, which is at
 * or below a logged cap. A schema change, once it has all its locks, freezes the grants, calls them back, waits out
 * those that are not returned, and commits at or above every `until`; applied, it is the new `from`. Commits planned
 * under another version are refused here by comparing `from`, so that those on their way need not be waited for.
 * A new leader does not know the grants of the old one, but all lie below the cap that its log holds.
 */

struct bytes leader_schema_key(void)
{
    static const uint8_t key[] = {0x00, 's'};

    return bytes_of(key, sizeof key);
}

void leader_schema_lead_locked(struct leader *l)
{
    struct tablet *tablet = group_tablet(l->o.group);

    l->schema.from = tablet_schema_from(tablet);
    l->schema.inherited = tablet_schema_cap(tablet);
    l->schema.cap = 0; /* the first lease logs a cap of this term */
    l->schema.cap_flight = false;
    l->schema.number = 0;
    l->schema.change = CHANGE_NONE;
    l->schema.n_grants = 0;
}

static enum status raise_cap_locked(struct leader *l, tstamp now, struct err *err)
{
    struct record rec = {.kind = RECORD_CAP,
                         .until = TSTAMP_MAX,
                         .ts_arg = now + (tstamp)LEADER_CAP_AHEAD_MS * NS_PER_MS};
    struct lcommit *c;
    enum status st;

    if (l->schema.cap_flight)
        return ST_OK;
    c = lcommit_new(l, RECORD_CAP, 0, 0);
    c->ts_arg = rec.ts_arg;
    st = lcommit_propose_locked(l, c, &rec, 0, err);
    if (st == ST_OK)
        l->schema.cap_flight = true;
    else
        lcommit_free(c);
    return st;
}

static enum status note_grant_locked(struct leader *l, node_id gateway, tstamp until,
                                     struct err *err)
{
    for (size_t i = 0; i < l->schema.n_grants; i++) {
        struct lgrant *g = &l->schema.grants[i];

        if (g->gateway != gateway)
            continue;
        g->until = until > g->until ? until : g->until;
        return ST_OK;
    }
    if (l->schema.n_grants == LEADER_GATEWAYS_MAX)
        return err_set(err, ST_RETRY, SQLSTATE_CONFIGURATION_LIMIT_EXCEEDED,
                       "more than %d gateways ask for schema leases", LEADER_GATEWAYS_MAX);
    if (l->schema.n_grants == l->schema.cap_grants) {
        l->schema.cap_grants = l->schema.cap_grants == 0 ? 8 : l->schema.cap_grants * 2;
        l->schema.grants =
            xrealloc(l->schema.grants, l->schema.cap_grants * sizeof *l->schema.grants);
    }
    l->schema.grants[l->schema.n_grants++] = (struct lgrant){.gateway = gateway, .until = until};
    return ST_OK;
}

static enum status lease_locked(struct leader *l, node_id gateway, struct leader_wait *w,
                                struct leader_lease *out, struct err *err)
{
    struct tt_interval now = tt_now(l->o.tt);
    enum status st;

    TRY(leader_leading_locked(l, err));
    if (tt_is_void(now)) {
        st = err_set(err, ST_RETRY, SQLSTATE_CANNOT_CONNECT_NOW,
                     "the leader's clock is not bounded");
        goto out;
    }
    if (l->schema.change != CHANGE_NONE) {
        leader_park_event_locked(l, w, 0);
        goto out;
    }
    if (l->schema.cap - now.latest < (tstamp)LEADER_CAP_RENEW_MS * NS_PER_MS)
        TRY(raise_cap_locked(l, now.latest, err));
    if (l->schema.cap - now.latest < (tstamp)LEADER_LEASE_LEAST_MS * NS_PER_MS) {
        leader_park_event_locked(l, w, 0);
        goto out;
    }
    TRY(note_grant_locked(l, gateway, l->schema.cap, err));
    *out = (struct leader_lease){.from = l->schema.from,
                                 .until = l->schema.cap,
                                 .term = atomic_load(&l->term),
                                 .number = ++l->schema.number};
out:
    return st;
}

enum status leader_schema_lease(struct leader *l, node_id gateway, struct leader_wait *w,
                                struct leader_lease *out, struct err *err)
{
    enum status st;

    w->parked = false;
    leader_lock_mu(l);
    st = lease_locked(l, gateway, w, out, err);
    leader_unlock_mu(l);
    return st;
}

void leader_schema_applied_locked(struct leader *l, const struct lcommit *c)
{
    if (c->kind == RECORD_CAP) {
        l->schema.cap_flight = false;
        if (c->ts_arg > l->schema.cap)
            l->schema.cap = c->ts_arg;
    }
    if (c->schema) {
        ASSERT(l->schema.change == CHANGE_PROPOSED && c->cmd.ts > l->schema.from); /* T8 */
        l->schema.from = c->cmd.ts;
        l->schema.change = CHANGE_NONE;
        l->schema.n_grants = 0;
    }
}

void leader_schema_dropped_locked(struct leader *l, struct txn_id id)
{
    if (l->schema.change == CHANGE_NONE || !txn_id_eq(l->schema.changer, id))
        return;
    l->schema.change = CHANGE_NONE;
    for (size_t i = 0; i < l->schema.n_grants; i++)
        l->schema.grants[i].recalled = l->schema.grants[i].returned = false;
    leader_wake_events_locked(l);
}

void leader_returned(struct leader *l, node_id gateway, uint64_t term, tstamp bound)
{
    leader_lock_mu(l);
    if (atomic_load(&l->term) == term && l->schema.change == CHANGE_FROZEN) {
        for (size_t i = 0; i < l->schema.n_grants; i++) {
            struct lgrant *g = &l->schema.grants[i];

            if (g->gateway != gateway || !g->recalled)
                continue;
            g->returned = true;
            if (bound + 1 < g->until)
                g->until = bound + 1;
        }
        leader_wake_events_locked(l);
    }
    leader_unlock_mu(l);
}

static enum status freeze_locked(struct leader *l, struct leader_ref *ref, struct err *err)
{
    struct ltxn *x;
    enum status st;

    TRY(leader_find_locked(l, ref, &x, err));
    if (!lock_holds(l->locks, &x->owner, leader_schema_key(), bytes_of(NULL, 0), LOCK_EXCLUSIVE)) {
        st = err_set(err, ST_REJECT, SQLSTATE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                     "a schema change does not hold the lock on the schema");
        goto out;
    }
    if (x->owner.waiting != NULL) { /* of an operation that its gateway has given up */
        st = err_set(err, ST_RETRY, SQLSTATE_SERIALIZATION_FAILURE,
                     "another operation of the transaction is under way");
        goto out;
    }
    if (l->schema.change != CHANGE_NONE) {
        ASSERT(txn_id_eq(l->schema.changer, ref->id)); /* T8: the lock on the schema sees to that */
        goto out;
    }
    if (x->owner.state == LOCK_OWNER_ACTIVE)
        lock_protect(&x->owner); /* it has all its locks, and all others wait for it from here on */
    l->schema.change = CHANGE_FROZEN;
    l->schema.changer = ref->id;
out:
    return st;
}

/* The next gateway that still has to be asked; 0: none. */
static node_id next_recall_locked(struct leader *l)
{
    for (size_t i = 0; i < l->schema.n_grants; i++) {
        if (!l->schema.grants[i].recalled) {
            l->schema.grants[i].recalled = true;
            return l->schema.grants[i].gateway;
        }
    }
    return 0;
}

static void recall_all(struct leader *l, uint64_t term)
{
    for (;;) {
        uint64_t fence;
        node_id gateway;

        leader_lock_mu(l);
        gateway = next_recall_locked(l);
        fence = l->schema.number + 1;
        leader_unlock_mu(l);
        if (gateway == 0)
            return;
        l->o.recall(l->o.recall_arg, gateway, term,
                    fence); /* may answer at once: no lock is held */
    }
}

enum status leader_schema_freeze(struct leader *l, struct leader_ref *ref, struct leader_wait *w,
                                 tstamp *out_at_least, struct err *err)
{
    struct tt_interval now;
    enum status st;

    leader_lock_mu(l);
    st = freeze_locked(l, ref, err);
    leader_unlock_mu(l);
    if (st != ST_OK)
        return st;
    recall_all(l, ref->term);
    leader_lock_mu(l);
    now = tt_now(l->o.tt);
    *out_at_least = l->schema.inherited;
    for (size_t i = 0; i < l->schema.n_grants; i++) {
        const struct lgrant *g = &l->schema.grants[i];

        if (!g->returned && (tt_is_void(now) || g->until > now.latest))
            w->parked = true;
        if (g->until > *out_at_least)
            *out_at_least = g->until;
    }
    /* A timestamp far ahead would hold up every commit behind it: wait until it is near instead. */
    if (tt_is_void(now) || l->schema.inherited > now.latest)
        w->parked = true;
    if (w->parked)
        leader_park_event_locked(l, w, 0);
    leader_unlock_mu(l);
    return st;
}
