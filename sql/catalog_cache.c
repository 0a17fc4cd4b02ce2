#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "sql/catalog.h"

enum { CACHE_SNAPSHOTS = 8, LOAD_TRIES = 20 };

struct catalog_cache {
    struct txn_space *space;
    pthread_mutex_t mu;                      /* guards recent */
    struct catalog *recent[CACHE_SNAPSHOTS]; /* most recently used first; owns a reference each */
};

struct catalog_cache *catalog_cache_new(struct txn_space *space)
{
    struct catalog_cache *c = xcalloc(1, sizeof *c);

    c->space = space;
    pthread_mutex_init(&c->mu, NULL);
    return c;
}

void catalog_cache_free(struct catalog_cache *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; i < CACHE_SNAPSHOTS; i++)
        catalog_unref(c->recent[i]);
    pthread_mutex_destroy(&c->mu);
    free(c);
}

/* Moves entry i to the front. */
static void touch_locked(struct catalog_cache *c, size_t i)
{
    struct catalog *hit = c->recent[i];

    memmove(&c->recent[1], &c->recent[0], i * sizeof c->recent[0]);
    c->recent[0] = hit;
}

struct catalog *catalog_cache_find(struct catalog_cache *c, tstamp from)
{
    struct catalog *found = NULL;

    pthread_mutex_lock(&c->mu);
    for (size_t i = 0; i < CACHE_SNAPSHOTS && c->recent[i] != NULL; i++) {
        if (c->recent[i]->from == from) {
            found = catalog_ref(c->recent[i]);
            touch_locked(c, i);
            break;
        }
    }
    pthread_mutex_unlock(&c->mu);
    return found;
}

static void remember(struct catalog_cache *c, struct catalog *snap)
{
    struct catalog *old;

    pthread_mutex_lock(&c->mu);
    old = c->recent[CACHE_SNAPSHOTS - 1];
    memmove(&c->recent[1], &c->recent[0], (CACHE_SNAPSHOTS - 1) * sizeof c->recent[0]);
    c->recent[0] = catalog_ref(snap);
    pthread_mutex_unlock(&c->mu);
    catalog_unref(old);
}

/* Reads the catalog at a timestamp; 0 is now. */
static enum status load_at(struct catalog_cache *c, tstamp t, tstamp *out_read_ts,
                           struct catalog **out, struct err *err)
{
    enum status st = ST_OK;
    struct catalog *snap = NULL;
    struct txn *txn = NULL;

    TRY(txn_begin(c->space, &(struct txn_options){.mode = TXN_READ_ONLY, .read_ts = t}, &txn, err));
    *out_read_ts = txn_read_ts(txn);
    TRY(catalog_load(txn, TXN_LOCK_NONE, &snap, err));
    TRY(txn_answer(txn, err));
    *out = catalog_ref(snap);
out:
    catalog_unref(snap);
    txn_free(txn);
    return st;
}

enum status catalog_cache_current(struct catalog_cache *c, struct txn_schema_lease *out_lease,
                                  struct catalog **out, struct err *err)
{
    for (int i = 0; i < LOAD_TRIES; i++) {
        struct catalog *snap;
        struct txn_schema_lease lease;
        tstamp read_ts;
        enum status st = txn_schema_lease(c->space, &lease, err);

        if (st != ST_OK)
            return st;
        snap = catalog_cache_find(c, lease.from);
        if (snap == NULL) {
            st = load_at(c, 0, &read_ts, &snap, err);
            if (st != ST_OK)
                return st;
            /* A change came in between, or the lease ran out: what was read may be of another version. */
            if (snap->from != lease.from || read_ts >= lease.until) {
                catalog_unref(snap);
                continue;
            }
            remember(c, snap);
        }
        *out_lease = lease;
        *out = snap;
        return ST_OK;
    }
    return err_set(err, ST_ABORT, SQLSTATE_SERIALIZATION_FAILURE,
                   "the schema changes faster than it can be read");
}

enum status catalog_cache_as_of(struct catalog_cache *c, tstamp t, struct catalog **out,
                                struct err *err)
{
    struct catalog *snap, *known;
    tstamp read_ts;
    enum status st = load_at(c, t, &read_ts, &snap, err);

    if (st != ST_OK)
        return st;
    /* One object per version, so that plans made for it are found again. */
    known = catalog_cache_find(c, snap->from);
    if (known != NULL) {
        catalog_unref(snap);
        snap = known;
    } else {
        remember(c, snap);
    }
    *out = snap;
    return ST_OK;
}
