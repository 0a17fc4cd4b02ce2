#include "base/check.h"
#include "txn/leader_int.h"

/* Above every key: a key begins with the code of an id, which is never all ones. */
static const uint8_t ALL_ONES[16] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static struct bytes end_of(struct bytes end)
{
    return end.len == 0 ? bytes_of(ALL_ONES, sizeof ALL_ONES) : end;
}

/* After a locking read: were the locks ours all the while, and the lease? */
static enum status still_held(struct leader *l, struct leader_ref *ref, struct err *err)
{
    struct ltxn *x;
    enum status st;
    struct tt_interval now = tt_now(l->o.tt);

    leader_lock_mu(l);
    st = leader_find_locked(l, ref, &x, err);
    leader_unlock_mu(l);
    if (st != ST_OK)
        return st;
    if (tt_is_void(now) || now.latest > group_lease_end(l->o.group, ref->term))
        return err_set(err, ST_RETRY, SQLSTATE_CANNOT_CONNECT_NOW, "the leader's lease has lapsed");
    return ST_OK;
}

enum status leader_locked_get(struct leader *l, struct leader_ref *ref, struct bytes key,
                              enum lock_mode mode, struct leader_wait *w, struct arena *mem,
                              struct bytes *out_value, tstamp *out_ts, struct mvcc_read *io_seen,
                              struct err *err)
{
    enum status st;
    enum status held;

    st = leader_lock(l, ref, key, bytes_of(NULL, 0), mode, w, err);
    if (st != ST_OK || w->parked)
        return st;
    st = mvcc_get(l->o.engine, key, TSTAMP_MAX, mem, out_value, out_ts, io_seen, err);
    if (st != ST_OK && st != ST_NOTFOUND)
        return st;
    held = still_held(l, ref, err);
    return held != ST_OK ? held : st;
}

enum status leader_locked_gets(struct leader *l, struct leader_ref *ref, struct mvcc_item *items,
                               size_t n, enum lock_mode mode, struct leader_wait *w,
                               struct arena *mem, size_t *out_n, struct mvcc_read *io_seen,
                               struct err *err)
{
    size_t done;
    enum status st = ST_OK;

    for (size_t i = 0; i < n; i++) {
        TRY(leader_lock(l, ref, items[i].key, bytes_of(NULL, 0), mode, w, err));
        if (w->parked)
            goto out;
    }
    TRY(mvcc_get_many(l->o.engine, items, n, TSTAMP_MAX, LEADER_GETS_BYTES, mem, &done, io_seen,
                      err));
    TRY(still_held(l, ref, err));
    *out_n = done;
out:
    return st;
}

static bool count_row(void *arg, struct bytes key, tstamp ts, struct bytes value)
{
    (void)arg;
    (void)key;
    (void)ts;
    (void)value;
    return true;
}

/* How far a slice of scan->limit rows would reach now: the part that is to be locked. */
static enum status reach(struct leader *l, const struct leader_scan *scan, struct arena *mem,
                         struct bytes *out_start, struct bytes *out_end, struct err *err)
{
    struct mvcc_slice peek = {.start = scan->start,
                              .end = scan->end,
                              .reverse = scan->reverse,
                              .t = TSTAMP_MAX,
                              .max_rows = scan->max_rows,
                              .row = count_row};
    struct bytes resume;
    bool done;
    enum status st = ST_OK;

    *out_start = scan->start;
    *out_end = scan->end;
    if (scan->limit == 0)
        return ST_OK;
    TRY(mvcc_scan(l->o.engine, &peek, mem, &done, &resume, NULL, err));
    if (!done && scan->reverse)
        *out_start = resume;
    else if (!done)
        *out_end = resume;
out:
    return st;
}

/*
 * The lock must stand before the rows are read, but how far a limited slice reaches is known only from the rows: so it
 * looks, locks as far as it looked, and reads again what it may now rely on.
 */
enum status leader_locked_scan(struct leader *l, struct leader_ref *ref,
                               const struct leader_scan *scan, enum lock_mode mode,
                               struct leader_wait *w, struct arena *mem, bool *out_done,
                               struct bytes *out_resume, struct mvcc_read *io_seen, struct err *err)
{
    struct mvcc_slice slice = {.reverse = scan->reverse,
                               .t = TSTAMP_MAX,
                               .max_rows = scan->max_rows,
                               .row = scan->row,
                               .arg = scan->arg};
    bool done;
    enum status st = ST_OK;

    w->parked = false;
    TRY(reach(l, scan, mem, &slice.start, &slice.end, err));
    TRY(leader_lock(l, ref, slice.start, end_of(slice.end), mode, w, err));
    if (w->parked)
        goto out;
    scan->begin(scan->arg);
    TRY(mvcc_scan(l->o.engine, &slice, mem, &done, out_resume, io_seen, err));
    TRY(still_held(l, ref, err));
    *out_done = done && bytes_eq(slice.start, scan->start) && bytes_eq(slice.end, scan->end);
    if (done && !*out_done)
        *out_resume = scan->reverse ? slice.start : slice.end;
out:
    return st;
}

/* Reads at a timestamp. Invariant T5: raise the mark, look for pending writes, read, look at the lease again. */

static enum status lease_covers(struct leader *l, uint64_t term, tstamp t, struct err *err)
{
    if (term == 0)
        return err_set(err, ST_RETRY, SQLSTATE_CANNOT_CONNECT_NOW,
                       "node %u does not lead the group", l->o.node);
    if (t > group_lease_end(l->o.group, term))
        return err_set(err, ST_RETRY, SQLSTATE_CANNOT_CONNECT_NOW,
                       "the leader's lease does not reach the timestamp of the read");
    return ST_OK;
}

static enum status still_covers(struct leader *l, uint64_t term, tstamp t, struct err *err)
{
    enum status st = lease_covers(l, term, t, err);

    if (st == ST_OK && t < group_horizon(l->o.group))
        return err_set(err, ST_REJECT, SQLSTATE_SNAPSHOT_TOO_OLD,
                       "the timestamp of the read lies before the history that is kept");
    return st;
}

static void wake_from_mark(void *arg)
{
    struct leader_wait *w = arg;

    w->wake(w->arg);
}

static struct readmark_waiter *mark_waiter(struct leader_wait *w)
{
    w->kind = LEADER_WAIT_MARK;
    w->mark = (struct readmark_waiter){.fn = wake_from_mark, .arg = w};
    /* Before it is enlisted: from then on the caller may already run the operation again elsewhere. */
    w->parked = true;
    return &w->mark;
}

static void not_parked(struct leader_wait *w)
{
    w->parked = false;
    w->kind = LEADER_WAIT_NONE;
}

enum status leader_get_at(struct leader *l, struct bytes key, tstamp t, struct leader_wait *w,
                          struct arena *mem, struct bytes *out_value, tstamp *out_ts,
                          struct mvcc_read *io_seen, struct err *err)
{
    uint64_t term = leader_term(l);
    enum status st;
    enum status covered;

    w->parked = false;
    TRY(lease_covers(l, term, t, err));
    readmark_raise(l->marks, key, t);
    if (readmark_blocked(l->marks, key, t, mark_waiter(w))) {
        metric_add(l->m_mark_waits, 1);
        return ST_RETRY;
    }
    not_parked(w);
    st = mvcc_get(l->o.engine, key, t, mem, out_value, out_ts, io_seen, err);
    if (st != ST_OK && st != ST_NOTFOUND)
        goto out;
    covered = still_covers(l, term, t, err);
    st = covered != ST_OK ? covered : st;
out:
    return st;
}

/* Only a key that is pending itself makes the reader wait, though the mark is that of all ranges: one store for many
 * keys, and no writer's timestamp depends on which of the two it was. */
static bool any_blocked(struct leader *l, const struct mvcc_item *items, size_t n, tstamp t,
                        struct leader_wait *w)
{
    if (readmark_pending(l->marks) == 0)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (readmark_blocked(l->marks, items[i].key, t, mark_waiter(w)))
            return true;
    }
    return false;
}

enum status leader_gets_at(struct leader *l, struct mvcc_item *items, size_t n, tstamp t,
                           struct leader_wait *w, struct arena *mem, size_t *out_n,
                           struct mvcc_read *io_seen, struct err *err)
{
    uint64_t term = leader_term(l);
    size_t done;
    enum status st;

    w->parked = false;
    TRY(lease_covers(l, term, t, err));
    readmark_raise_range(l->marks, t);
    if (any_blocked(l, items, n, t, w)) {
        metric_add(l->m_mark_waits, 1);
        return ST_RETRY;
    }
    not_parked(w);
    TRY(mvcc_get_many(l->o.engine, items, n, t, LEADER_GETS_BYTES, mem, &done, io_seen, err));
    TRY(still_covers(l, term, t, err));
    *out_n = done;
out:
    return st;
}

enum status leader_scan_at(struct leader *l, const struct leader_scan *scan, tstamp t,
                           struct leader_wait *w, struct arena *mem, bool *out_done,
                           struct bytes *out_resume, struct mvcc_read *io_seen, struct err *err)
{
    struct mvcc_slice slice = {.start = scan->start,
                               .end = scan->end,
                               .reverse = scan->reverse,
                               .t = t,
                               .max_rows = scan->max_rows,
                               .row = scan->row,
                               .arg = scan->arg};
    uint64_t term = leader_term(l);
    enum status st;

    w->parked = false;
    TRY(lease_covers(l, term, t, err));
    readmark_raise_range(l->marks, t);
    if (readmark_blocked_range(l->marks, scan->start, end_of(scan->end), t, mark_waiter(w))) {
        metric_add(l->m_mark_waits, 1);
        return ST_RETRY;
    }
    not_parked(w);
    scan->begin(scan->arg);
    TRY(mvcc_scan(l->o.engine, &slice, mem, out_done, out_resume, io_seen, err));
    TRY(still_covers(l, term, t, err));
out:
    return st;
}
