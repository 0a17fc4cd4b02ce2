#include "txn/leader.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "txn/leader_int.h"
#include "txn/txn.h"

void leader_lock_mu(struct leader *l)
{
    pthread_mutex_lock(&l->mu);
}

void leader_unlock_mu(struct leader *l)
{
    pthread_mutex_unlock(&l->mu);
}

static void end_term_locked(struct leader *l);

struct leader *leader_new(const struct leader_options *opts)
{
    struct leader *l = xcalloc(1, sizeof *l);
    struct metrics *m = opts->metrics;

    l->o = *opts;
    l->marks = readmark_new();
    pthread_mutex_init(&l->mu, NULL);
    tsalloc_init(&l->ts);
    l->settling_tail = &l->settling;
    l->locks = lock_table_new(TXN_LOCKS_MAX);
    idmap_init(&l->txns);
    idmap_init(&l->flight);
    l->m_commits = metrics_counter(m, "meridian_txn_commits_total", "Commits proposed here.");
    l->m_aborts = metrics_counter(m, "meridian_txn_aborts_total",
                                  "Transactions that this leader ended by itself.");
    l->m_wounds =
        metrics_counter(m, "meridian_txn_wounds_total", "Transactions wounded by an older one.");
    l->m_lock_waits =
        metrics_counter(m, "meridian_txn_lock_waits_total", "Requests that waited for a lock.");
    l->m_mark_waits = metrics_counter(m, "meridian_txn_read_waits_total",
                                      "Reads that waited for a pending write.");
    l->m_expired = metrics_counter(m, "meridian_txn_expired_total",
                                   "Transactions dropped because their gateway fell silent.");
    return l;
}

void leader_free(struct leader *l)
{
    if (l == NULL)
        return;
    leader_lock_mu(l);
    end_term_locked(l);
    leader_unlock_mu(l);
    lcommit_forsaken(l);
    ASSERT(l->events == NULL);
    idmap_fini(&l->txns);
    idmap_fini(&l->flight);
    lock_table_free(l->locks);
    tsalloc_fini(&l->ts);
    readmark_free(l->marks);
    free(l->schema.grants);
    pthread_mutex_destroy(&l->mu);
    free(l);
}

uint64_t leader_term(struct leader *l)
{
    return atomic_load(&l->term);
}

/* Waits. */

static void wake_txn_locked(struct ltxn *x)
{
    struct leader_wait *w = x->wait;

    if (w == NULL)
        return;
    x->wait = NULL;
    w->kind = LEADER_WAIT_NONE;
    w->wake(w->arg);
}

static void publish_locked(struct leader *l, const struct lock_events *ev)
{
    for (struct lock_owner *o = ev->granted; o != NULL; o = o->next)
        wake_txn_locked(ltxn_of(o));
    for (struct lock_owner *o = ev->wounded; o != NULL; o = o->next) {
        metric_add(l->m_wounds, 1);
        wake_txn_locked(ltxn_of(o));
    }
}

void leader_park_event_locked(struct leader *l, struct leader_wait *w, int64_t deadline_mono_ns)
{
    w->parked = true;
    w->kind = LEADER_WAIT_EVENT;
    w->deadline_mono_ns = deadline_mono_ns;
    w->prev = NULL;
    w->next = l->events;
    if (w->next != NULL)
        w->next->prev = w;
    l->events = w;
}

static void unlist_event_locked(struct leader *l, struct leader_wait *w)
{
    if (w->prev != NULL)
        w->prev->next = w->next;
    else
        l->events = w->next;
    if (w->next != NULL)
        w->next->prev = w->prev;
    w->kind = LEADER_WAIT_NONE;
}

void leader_wake_events_locked(struct leader *l)
{
    while (l->events != NULL) {
        struct leader_wait *w = l->events;

        unlist_event_locked(l, w);
        w->wake(w->arg);
    }
}

void leader_unpark(struct leader *l, struct leader_wait *w)
{
    struct lock_events ev;
    struct idnode *n;

    leader_lock_mu(l);
    switch (w->kind) {
    case LEADER_WAIT_NONE:
        break;
    case LEADER_WAIT_MARK:
        readmark_cancel(l->marks, &w->mark);
        break;
    case LEADER_WAIT_EVENT:
        unlist_event_locked(l, w);
        break;
    case LEADER_WAIT_LOCK:
        n = idmap_get(&l->txns, w->id);
        ASSERT(n != NULL);
        KEYTREE_OWNER(n, struct ltxn, node)->wait = NULL;
        lock_cancel(l->locks, &KEYTREE_OWNER(n, struct ltxn, node)->owner, &ev);
        publish_locked(l, &ev);
        break;
    }
    w->kind = LEADER_WAIT_NONE;
    leader_unlock_mu(l);
}

/* Transactions. */

enum status leader_leading_locked(struct leader *l, struct err *err)
{
    if (l->stopped)
        return err_set(err, ST_RETRY, SQLSTATE_ADMIN_SHUTDOWN, "the node is shutting down");
    if (atomic_load(&l->term) == 0)
        return err_set(err, ST_RETRY, SQLSTATE_CANNOT_CONNECT_NOW,
                       "node %u does not lead the group", l->o.node);
    return ST_OK;
}

static enum status over(struct err *err, const char *why)
{
    return err_set(err, ST_ABORT, SQLSTATE_SERIALIZATION_FAILURE, "could not serialize access: %s",
                   why);
}

static struct ltxn *ltxn_new_locked(struct leader *l, struct leader_ref *ref)
{
    struct ltxn *x = xcalloc(1, sizeof *x);

    x->owner.age = ref->age;
    x->owner.id = ref->id;
    x->node.id = ref->id;
    x->gateway = ref->gateway;
    idmap_put(&l->txns, &x->node);
    return x;
}

enum status leader_find_locked(struct leader *l, struct leader_ref *ref, struct ltxn **out,
                               struct err *err)
{
    uint64_t term = atomic_load(&l->term);
    struct idnode *n;
    struct ltxn *x;
    enum status st = ST_OK;

    *out = NULL;
    if (ref->term != 0 && ref->term != term)
        return over(err, "the leader of its locks has changed");
    TRY(leader_leading_locked(l, err));
    if (ref->schema_from >= 0 && ref->schema_from != l->schema.from)
        return over(err, "the schema has changed");
    n = idmap_get(&l->txns, ref->id);
    if (n == NULL && ref->term != 0)
        return over(err, "its locks were dropped after a silence");
    x = n != NULL ? KEYTREE_OWNER(n, struct ltxn, node) : ltxn_new_locked(l, ref);
    if (x->owner.state == LOCK_OWNER_WOUNDED)
        return over(err, "an older transaction wanted its locks");
    ref->term = term;
    if (x->gateway != l->o.node)
        x->heard_mono = mono_now();
    *out = x;
out:
    return st;
}

enum status leader_acquire_locked(struct leader *l, struct ltxn *x, struct bytes start,
                                  struct bytes end, enum lock_mode mode, struct leader_wait *w,
                                  struct err *err)
{
    struct lock_events ev;
    enum lock_answer a;

    if (x->owner.state != LOCK_OWNER_ACTIVE || x->owner.waiting != NULL) /* a repeated message */
        return err_set(err, ST_RETRY, SQLSTATE_SERIALIZATION_FAILURE,
                       "another operation of the transaction is under way");
    a = lock_acquire(l->locks, &x->owner, start, end, mode, &ev);
    publish_locked(l, &ev);
    if (a == LOCK_TOO_MANY)
        return err_set(err, ST_REJECT, SQLSTATE_CONFIGURATION_LIMIT_EXCEEDED,
                       "the transaction holds more than %d locks", TXN_LOCKS_MAX);
    if (a == LOCK_WAITS) {
        w->parked = true;
        w->kind = LEADER_WAIT_LOCK;
        w->id = x->node.id;
        x->wait = w;
        metric_add(l->m_lock_waits, 1);
    }
    return ST_OK;
}

enum status leader_lock(struct leader *l, struct leader_ref *ref, struct bytes start,
                        struct bytes end, enum lock_mode mode, struct leader_wait *w,
                        struct err *err)
{
    struct ltxn *x;
    enum status st;

    w->parked = false;
    leader_lock_mu(l);
    st = leader_find_locked(l, ref, &x, err);
    if (st == ST_OK)
        st = leader_acquire_locked(l, x, start, end, mode, w, err);
    leader_unlock_mu(l);
    return st;
}

void leader_drop_locked(struct leader *l, struct ltxn *x)
{
    struct lock_events ev;

    ASSERT(x->commit == NULL);
    lock_release(l->locks, &x->owner, &ev);
    publish_locked(l, &ev);
    wake_txn_locked(x);
    idmap_remove(&l->txns, &x->node);
    leader_schema_dropped_locked(l, x->node.id);
    free(x);
}

void leader_rollback(struct leader *l, struct txn_id id)
{
    struct idnode *n;

    leader_lock_mu(l);
    n = idmap_get(&l->txns, id);
    if (n != NULL && KEYTREE_OWNER(n, struct ltxn, node)->commit == NULL)
        leader_drop_locked(l, KEYTREE_OWNER(n, struct ltxn, node));
    leader_unlock_mu(l);
}

void leader_heard(struct leader *l, const struct txn_id *ids, size_t n, int64_t mono_ns)
{
    leader_lock_mu(l);
    for (size_t i = 0; i < n; i++) {
        struct idnode *node = idmap_get(&l->txns, ids[i]);

        if (node != NULL)
            KEYTREE_OWNER(node, struct ltxn, node)->heard_mono = mono_ns;
    }
    leader_unlock_mu(l);
}

/* Upcalls. */

static void drop_each(void *arg, struct idnode *n)
{
    struct ltxn *x = KEYTREE_OWNER(n, struct ltxn, node);

    x->commit = NULL;
    leader_drop_locked(arg, x);
}

static void end_term_locked(struct leader *l)
{
    atomic_store(&l->term, 0);
    lcommit_lost_locked(l);
    idmap_each(&l->txns, drop_each, l);
    leader_wake_events_locked(l);
    l->agreed = l->closing = 0;
}

static void on_leading(void *arg, uint64_t term, tstamp lease_start, tstamp floor_ts)
{
    struct leader *l = arg;

    leader_lock_mu(l);
    end_term_locked(l);
    tsalloc_lead(&l->ts, lease_start, floor_ts);
    l->lease_start = lease_start;
    leader_schema_lead_locked(l);
    atomic_store(&l->term, term);
    leader_unlock_mu(l);
}

static void on_lost(void *arg, uint64_t term)
{
    struct leader *l = arg;

    leader_lock_mu(l);
    if (atomic_load(&l->term) == term)
        end_term_locked(l);
    leader_unlock_mu(l);
}

static tstamp on_promised(void *arg, uint64_t term)
{
    struct leader *l = arg;
    tstamp highest = readmark_highest(l->marks);

    (void)term; /* promises of earlier terms are lower, and do no harm */
    leader_lock_mu(l);
    highest = l->ts.used > highest ? l->ts.used : highest;
    highest = l->ts.promised > highest ? l->ts.promised : highest;
    leader_unlock_mu(l);
    return highest;
}

static void on_applied(void *arg, slot_no slot, tstamp ts)
{
    struct leader *l = arg;

    (void)slot;
    (void)ts;
    lcommit_settle(l);
}

static void on_acknowledged(void *arg)
{
    lcommit_settle(arg);
}

void leader_upcalls(struct leader *l, struct group_upcalls *out)
{
    *out = (struct group_upcalls){
        .arg = l,
        .leading = on_leading,
        .lost = on_lost,
        .promised = on_promised,
        .acknowledged = on_acknowledged,
        .applied = on_applied,
    };
}

struct sweep {
    struct leader *l;
    int64_t mono_ns;
};

static void drop_silent(void *arg, struct idnode *n)
{
    struct sweep *s = arg;
    struct ltxn *x = KEYTREE_OWNER(n, struct ltxn, node);

    if (x->gateway == s->l->o.node || x->commit != NULL ||
        s->mono_ns - x->heard_mono < (int64_t)TXN_IDLE_TIMEOUT_S * NS_PER_S)
        return;
    metric_add(s->l->m_expired, 1);
    leader_drop_locked(s->l, x);
}

struct lost_gateway {
    struct leader *l;
    node_id gateway;
};

static void drop_of_gateway(void *arg, struct idnode *n)
{
    struct lost_gateway *lost = arg;
    struct ltxn *x = KEYTREE_OWNER(n, struct ltxn, node);

    if (x->gateway != lost->gateway || x->commit != NULL)
        return;
    metric_add(lost->l->m_expired, 1);
    leader_drop_locked(lost->l, x);
}

void leader_gateway_lost(struct leader *l, node_id gateway)
{
    struct lost_gateway lost = {l, gateway};

    if (gateway == l->o.node)
        return;
    leader_lock_mu(l);
    idmap_each(&l->txns, drop_of_gateway, &lost);
    leader_unlock_mu(l);
}

void leader_tick(struct leader *l, int64_t mono_ns)
{
    struct sweep sweep = {l, mono_ns};

    leader_lock_mu(l);
    idmap_each(&l->txns, drop_silent, &sweep);
    if (l->schema.change == CHANGE_FROZEN) {
        leader_wake_events_locked(l); /* leases may have lapsed */
    } else {
        for (struct leader_wait *w = l->events, *next; w != NULL; w = next) {
            next = w->next;
            if (w->deadline_mono_ns != 0 && w->deadline_mono_ns <= mono_ns) {
                unlist_event_locked(l, w);
                w->wake(w->arg);
            }
        }
    }
    leader_unlock_mu(l);
}

bool leader_idle(struct leader *l)
{
    bool idle;

    leader_lock_mu(l);
    idle =
        l->txns.n == 0 && l->flight.n == 0 && l->events == NULL && l->schema.change == CHANGE_NONE;
    leader_unlock_mu(l);
    return idle;
}

void leader_stop(struct leader *l)
{
    leader_lock_mu(l);
    l->stopped = true;
    for (size_t i = 0; i < l->txns.n_buckets; i++) {
        for (struct idnode *n = l->txns.bucket[i]; n != NULL; n = n->next)
            wake_txn_locked(KEYTREE_OWNER(n, struct ltxn, node));
    }
    leader_wake_events_locked(l);
    leader_unlock_mu(l);
}

enum status leader_wait_applied(struct leader *l, tstamp t, int64_t deadline_mono_ns,
                                struct leader_wait *w, struct err *err)
{
    enum status st = ST_OK;

    w->parked = false;
    leader_lock_mu(l);
    if (tablet_applied_ts(group_tablet(l->o.group)) >= t)
        st = ST_OK;
    else if (l->stopped)
        st = err_set(err, ST_RETRY, SQLSTATE_ADMIN_SHUTDOWN, "the node is shutting down");
    else if (mono_now() >= deadline_mono_ns)
        st = err_set(err, ST_RETRY, SQLSTATE_CANNOT_CONNECT_NOW,
                     "node %u has not applied the timestamp yet", l->o.node);
    else
        leader_park_event_locked(l, w, deadline_mono_ns);
    leader_unlock_mu(l);
    return st;
}

void leader_stats(struct leader *l, struct leader_stats *out)
{
    leader_lock_mu(l);
    lock_stats(l->locks, &out->locks);
    out->txns = l->txns.n;
    out->in_flight = l->flight.n;
    leader_unlock_mu(l);
}
