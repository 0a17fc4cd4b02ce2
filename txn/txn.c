#include "txn/txn.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "txn/space_int.h"
#include "txn/wire.h"

/* Begin. */

static enum status check_options(const struct txn_options *o, struct err *err)
{
    if (o->read_ts < 0 || o->age < 0 || o->id.start < 0 || o->read_ts > RECORD_TS_MAX ||
        o->age > RECORD_TS_MAX || o->id.start > RECORD_TS_MAX)
        return err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                       "a timestamp of the transaction is out of range");
    return ST_OK;
}

enum status txn_begin(struct txn_space *s, const struct txn_options *opts, struct txn **out,
                      struct err *err)
{
    struct txn *t;
    tstamp now;
    enum status st;

    if (atomic_load_explicit(&s->stopped, memory_order_relaxed))
        return err_set(err, ST_RETRY, SQLSTATE_ADMIN_SHUTDOWN, "the node is shutting down");
    TRY(check_options(opts, err));
    TRY(space_now(s, &now, err));
    t = xmalloc(sizeof *t);
    t->s = s;
    t->mode = opts->mode;
    t->state = TXN_OPEN;
    t->read_ts = opts->read_ts != 0 ? opts->read_ts : now;
    t->own_id = opts->id.start != 0;
    t->id = t->own_id ? opts->id : space_new_id(s, now);
    /* The lock table's id is always of our own making: the caller may send the same one twice. */
    t->ref = (struct leader_ref){.id = t->own_id ? space_new_id(s, now) : t->id,
                                 .age = opts->age != 0 ? opts->age : now,
                                 .gateway = s->o.node,
                                 .schema_from = -1};
    t->at = 0;
    t->deadline_mono_ns = opts->deadline_mono_ns;
    t->cancel = opts->cancel;
    t->schema_until = TSTAMP_MAX;
    t->schema = false;
    t->over = NULL;
    t->seen = (struct mvcc_read){0};
    t->answered = 0;
    t->has_writes = t->listed = false;
    metric_add(s->m_begun, 1);
    *out = t;
out:
    return st;
}

struct txn_id txn_id_of(const struct txn *t)
{
    return t->id;
}

tstamp txn_read_ts(struct txn *t)
{
    ASSERT(t->mode == TXN_READ_ONLY);
    return t->read_ts;
}

/* State. */

enum status txn_usable(const struct txn *t, struct err *err)
{
    if (t->over != NULL) {
        if (err != NULL)
            *err = *t->over;
        return t->over->st;
    }
    if (t->state != TXN_OPEN)
        return err_set(err, ST_REJECT, SQLSTATE_NO_ACTIVE_SQL_TRANSACTION,
                       "the transaction has ended");
    return ST_OK;
}

enum status txn_fail(struct txn *t, enum status st, const struct err *why)
{
    if (t->over == NULL) {
        t->over = xmalloc(sizeof *t->over);
        *t->over = *why;
        t->over->st = st;
    }
    return st;
}

void txn_saw(struct txn *t, const struct mvcc_read *seen)
{
    if (seen->newest > t->seen.newest)
        t->seen.newest = seen->newest;
    t->seen.n_versions += seen->n_versions;
}

int txn_lock_mode(const struct txn *t, enum txn_lock lock)
{
    if (t->mode == TXN_READ_ONLY)
        return 0;
    return lock == TXN_LOCK_EXCLUSIVE ? LOCK_EXCLUSIVE : LOCK_SHARED;
}

void txn_set_deadline(struct txn *t, int64_t deadline_mono_ns)
{
    t->deadline_mono_ns = deadline_mono_ns;
}

void txn_set_schema(struct txn *t, tstamp from, tstamp until)
{
    struct err err;
    bool leased = until != TSTAMP_MAX;

    t->schema_until = until;
    if (t->mode == TXN_READ_WRITE) {
        t->ref.schema_from = from;
        return;
    }
    if (t->read_ts >= from && t->read_ts < until &&
        (!leased || gate_take(&t->s->gate, from, t->read_ts)))
        return;
    (void)txn_fail(t,
                   err_set(&err, ST_ABORT, SQLSTATE_SERIALIZATION_FAILURE,
                           "could not serialize access: the schema has changed"),
                   &err);
}

/* Operations. */

void txn_op_init(struct txn *t, struct op *op, enum request_kind kind, int lock_mode)
{
    op_init(op, t->s, kind, NULL);
    op->deadline_mono_ns = t->deadline_mono_ns;
    op->cancel = t->cancel;
    op->rq.mode = lock_mode;
    op->rq.t = t->read_ts;
    if (t->mode == TXN_READ_WRITE) {
        op->rq.ref = t->ref;
        op->at = t->at;
    }
}

/* Its leader must hear of it from now on. */
static void list(struct txn *t)
{
    struct txn_space *s = t->s;

    if (t->listed || t->at == 0 || t->at == s->o.node)
        return;
    pthread_mutex_lock(&s->mu);
    t->prev = NULL;
    t->next = s->open;
    if (t->next != NULL)
        t->next->prev = t;
    s->open = t;
    pthread_mutex_unlock(&s->mu);
    t->listed = true;
}

void txn_unlist(struct txn *t)
{
    struct txn_space *s = t->s;

    if (!t->listed)
        return;
    pthread_mutex_lock(&s->mu);
    if (t->prev != NULL)
        t->prev->next = t->next;
    else
        s->open = t->next;
    if (t->next != NULL)
        t->next->prev = t->prev;
    pthread_mutex_unlock(&s->mu);
    t->listed = false;
}

static void set_at(struct txn *t, node_id at)
{
    if (t->at == at)
        return;
    txn_unlist(t);
    t->at = at;
    list(t);
}

enum status txn_op_run(struct txn *t, struct op *op, struct err *err)
{
    struct err own;
    enum status st = op_run(op, &own);

    txn_saw(t, &op->a.seen);
    if (t->mode == TXN_READ_WRITE) {
        t->ref.term = op->rq.ref.term;
        set_at(t, op->at);
    }
    if (st == ST_ABORT)
        (void)txn_fail(t, st, &own);
    if (st != ST_OK && st != ST_NOTFOUND && err != NULL)
        *err = own;
    return st;
}

/* Reads. */

static enum status own_value(const struct wbuf_value *v, struct arena *mem, struct bytes *out_value,
                             tstamp *out_ts)
{
    if (v->tombstone)
        return ST_NOTFOUND;
    *out_value = arena_copy(mem, v->value);
    if (out_ts != NULL)
        *out_ts = 0;
    return ST_OK;
}

enum status txn_check_key(struct bytes key, struct err *err)
{
    if (key.len == 0 || key.len > TXN_KEY_MAX || key.ptr[0] == 0)
        return err_set(err, ST_REJECT, SQLSTATE_PROGRAM_LIMIT_EXCEEDED,
                       "a key of %zu bytes exceeds the limit of %d, or is no key of a row", key.len,
                       TXN_KEY_MAX);
    return ST_OK;
}

enum status txn_check_history(const struct txn *t, struct err *err)
{
    if (t->read_ts < group_horizon(t->s->group))
        return err_set(err, ST_REJECT, SQLSTATE_SNAPSHOT_TOO_OLD,
                       "the timestamp of the read lies before the history that is kept");
    return ST_OK;
}

/* Without a message, if this replica has applied everything up to the timestamp. */
static enum status get_from_replica(struct txn *t, struct bytes key, struct arena *mem,
                                    struct bytes *out_value, tstamp *out_ts, struct err *err)
{
    enum status st = mvcc_get(t->s->engine, key, t->read_ts, mem, out_value, out_ts, &t->seen, err);
    enum status kept = st == ST_OK || st == ST_NOTFOUND ? txn_check_history(t, err) : ST_OK;

    return kept != ST_OK ? kept : st;
}

static void wake_nobody(void *arg)
{
    (void)arg;
}

/* The leader on this node, on the caller's own thread. False: it takes more than that. */
static bool get_at_once(struct txn *t, struct bytes key, struct arena *mem, struct bytes *out_value,
                        tstamp *out_ts, enum status *out_st)
{
    struct leader_wait w;
    struct err err;

    if (leader_term(t->s->leader) == 0)
        return false;
    w.wake = wake_nobody;
    w.kind = LEADER_WAIT_NONE;
    *out_st =
        leader_get_at(t->s->leader, key, t->read_ts, &w, mem, out_value, out_ts, &t->seen, &err);
    if (w.parked) {
        leader_unpark(t->s->leader, &w);
        return false;
    }
    return *out_st == ST_OK || *out_st == ST_NOTFOUND;
}

static enum status get_committed(struct txn *t, struct bytes key, int mode, struct arena *mem,
                                 struct bytes *out_value, tstamp *out_ts, struct err *err)
{
    struct op op;
    enum status st;

    if (mode == 0) {
        if (space_has_applied(t->s, t->read_ts))
            return get_from_replica(t, key, mem, out_value, out_ts, err);
        if (get_at_once(t, key, mem, out_value, out_ts, &st))
            return st;
    }
    txn_op_init(t, &op, REQUEST_GET, mode);
    op.a.mem = mem;
    op.rq.start = key;
    st = txn_op_run(t, &op, err);
    if (st == ST_OK) {
        *out_value = op.a.value;
        *out_ts = op.a.ts;
    }
    op_fini(&op);
    return st;
}

enum status txn_get(struct txn *t, struct bytes key, enum txn_lock lock, struct arena *mem,
                    struct bytes *out_value, tstamp *out_ts, struct err *err)
{
    int mode = txn_lock_mode(t, lock);
    const struct wbuf_value *own;
    tstamp ts;
    enum status st;

    TRY(txn_usable(t, err));
    TRY(txn_check_key(key, err));
    own = t->has_writes ? wbuf_get(&t->writes, key) : NULL;
    if (own != NULL) {
        if (mode == LOCK_EXCLUSIVE)
            TRY(txn_lock_key(t, key, lock, err));
        return own_value(own, mem, out_value, out_ts);
    }
    st = get_committed(t, key, mode, mem, out_value, &ts, err);
    if (st == ST_OK && out_ts != NULL)
        *out_ts = ts;
out:
    return st;
}

static enum status lock_any(struct txn *t, struct bytes key, int mode, struct err *err)
{
    struct op op;
    enum status st;

    txn_op_init(t, &op, REQUEST_LOCK, mode);
    op.rq.start = key;
    st = txn_op_run(t, &op, err);
    op_fini(&op);
    return st;
}

static enum status check_writable(const struct txn *t, struct err *err)
{
    enum status st = txn_usable(t, err);

    if (st == ST_OK && t->mode != TXN_READ_WRITE)
        st = err_set(err, ST_REJECT, SQLSTATE_READ_ONLY_SQL_TRANSACTION,
                     "the transaction is read-only");
    return st;
}

enum status txn_lock_key(struct txn *t, struct bytes key, enum txn_lock lock, struct err *err)
{
    enum status st;

    TRY(check_writable(t, err));
    TRY(txn_check_key(key, err));
    TRY(lock_any(t, key, txn_lock_mode(t, lock), err));
out:
    return st;
}

enum status txn_schema_change(struct txn *t, struct err *err)
{
    enum status st;

    TRY(check_writable(t, err));
    TRY(lock_any(t, leader_schema_key(), LOCK_EXCLUSIVE, err));
    t->schema = true;
out:
    return st;
}

/* Writes. */

static enum status write_key(struct txn *t, struct bytes key, struct bytes value, bool tombstone,
                             struct err *err)
{
    enum status st;

    TRY(check_writable(t, err));
    TRY(txn_check_key(key, err));
    if (!t->has_writes) {
        wbuf_init(&t->writes);
        t->has_writes = true;
    }
    if (!wbuf_put(&t->writes, key, value, tombstone, TXN_WRITES_MAX_BYTES))
        st = err_set(err, ST_REJECT, SQLSTATE_PROGRAM_LIMIT_EXCEEDED,
                     "the transaction writes more than %d bytes", TXN_WRITES_MAX_BYTES);
out:
    return st;
}

enum status txn_put(struct txn *t, struct bytes key, struct bytes value, struct err *err)
{
    return write_key(t, key, value, false, err);
}

enum status txn_delete(struct txn *t, struct bytes key, struct err *err)
{
    return write_key(t, key, bytes_of(NULL, 0), true, err);
}

enum status txn_answer(struct txn *t, struct err *err)
{
    struct txn_space *s = t->s;
    int64_t deadline = t->deadline_mono_ns;
    enum status st = ST_OK;

    if (t->over != NULL)
        return txn_usable(t, err);
    if (t->seen.newest <= t->answered)
        return ST_OK;
    if (!tt_after(s->o.tt, t->seen.newest)) {
        if (deadline == 0)
            deadline = mono_now() + s->o.op_timeout_ns;
        TRY(tt_wait_after(s->o.tt, t->seen.newest, deadline, err));
    }
    t->answered = t->seen.newest;
out:
    return st;
}
