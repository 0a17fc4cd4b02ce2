/* Many reads with one question. */
#include "base/check.h"
#include "txn/space_int.h"

static void wake_nobody(void *arg)
{
    (void)arg;
}

/* The leader on this node, on the caller's own thread. False: it takes more than that. */
static bool gets_at_once(struct txn *t, struct mvcc_item *items, size_t n, struct arena *mem,
                         size_t *out_n)
{
    struct leader_wait w;
    struct err err;
    enum status st;

    if (leader_term(t->s->leader) == 0)
        return false;
    w.wake = wake_nobody;
    w.kind = LEADER_WAIT_NONE;
    st = leader_gets_at(t->s->leader, items, n, t->read_ts, &w, mem, out_n, &t->seen, &err);
    if (w.parked) {
        leader_unpark(t->s->leader, &w);
        return false;
    }
    return st == ST_OK;
}

static enum status gets_from_replica(struct txn *t, struct mvcc_item *items, size_t n,
                                     struct arena *mem, size_t *out_n, struct err *err)
{
    size_t done;
    enum status st = ST_OK;

    TRY(mvcc_get_many(t->s->engine, items, n, t->read_ts, LEADER_GETS_BYTES, mem, &done, &t->seen,
                      err));
    TRY(txn_check_history(t, err));
    *out_n = done;
out:
    return st;
}

static enum status gets_committed(struct txn *t, struct mvcc_item *items, size_t n, int mode,
                                  struct arena *mem, size_t *out_n, struct err *err)
{
    struct op op;
    enum status st;

    if (mode == 0) {
        if (space_has_applied(t->s, t->read_ts))
            return gets_from_replica(t, items, n, mem, out_n, err);
        if (gets_at_once(t, items, n, mem, out_n))
            return ST_OK;
    }
    txn_op_init(t, &op, REQUEST_GETS, mode);
    op.a.mem = mem;
    op.rq.items = items;
    op.rq.n_items = n;
    st = txn_op_run(t, &op, err);
    if (st == ST_OK)
        *out_n = op.a.n_got;
    op_fini(&op);
    return st;
}

/* Items that are own writes are answered; the others go to `rest`, with their places. */
static enum status take_own(struct txn *t, struct mvcc_item *items, size_t n, enum txn_lock lock,
                            struct arena *mem, struct mvcc_item *rest, size_t *where,
                            size_t *out_n_rest, struct err *err)
{
    size_t n_rest = 0;
    enum status st = ST_OK;

    for (size_t i = 0; i < n; i++) {
        const struct wbuf_value *own = wbuf_get(&t->writes, items[i].key);

        if (own == NULL) {
            where[n_rest] = i;
            rest[n_rest++] = items[i];
            continue;
        }
        if (lock == TXN_LOCK_EXCLUSIVE)
            TRY(txn_lock_key(t, items[i].key, lock, err));
        items[i].found = !own->tombstone;
        items[i].ts = 0;
        if (!own->tombstone)
            items[i].value = arena_copy(mem, own->value);
    }
    *out_n_rest = n_rest;
out:
    return st;
}

static enum status gets_over_own(struct txn *t, struct mvcc_item *items, size_t n,
                                 enum txn_lock lock, struct arena *mem, size_t *out_n,
                                 struct err *err)
{
    struct mvcc_item *rest = arena_alloc(mem, n * sizeof *rest);
    size_t *where = arena_alloc(mem, n * sizeof *where);
    size_t n_rest, n_got = 0;
    enum status st = ST_OK;

    TRY(take_own(t, items, n, lock, mem, rest, where, &n_rest, err));
    if (n_rest > 0)
        TRY(gets_committed(t, rest, n_rest, txn_lock_mode(t, lock), mem, &n_got, err));
    for (size_t i = 0; i < n_got; i++)
        items[where[i]] = rest[i];
    *out_n = n_got < n_rest ? where[n_got] : n;
out:
    return st;
}

enum status txn_get_many(struct txn *t, struct mvcc_item *items, size_t n, enum txn_lock lock,
                         struct arena *mem, size_t *out_n, struct err *err)
{
    enum status st;

    ASSERT(n > 0 && n <= TXN_GETS_MAX);
    TRY(txn_usable(t, err));
    for (size_t i = 0; i < n; i++) {
        ASSERT(i == 0 || bytes_cmp(items[i - 1].key, items[i].key) <= 0);
        TRY(txn_check_key(items[i].key, err));
    }
    st = t->has_writes ? gets_over_own(t, items, n, lock, mem, out_n, err)
                       : gets_committed(t, items, n, txn_lock_mode(t, lock), mem, out_n, err);
out:
    return st;
}
