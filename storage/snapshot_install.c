#include <stdlib.h>

#include "base/check.h"
#include "storage/mvcc_int.h"
#include "storage/snapshot_int.h"

enum { MARK_FORMAT = 1 };

struct snapshot_install {
    struct tablet *tablet; /* borrowed */
    struct buf head_bytes;
    struct snapshot_head head; /* points into head_bytes */
    struct snapshot_range range;
    tstamp floor; /* the horizon afterwards is at or above it */
    uint64_t next;
    struct snapshot_sum sum;
    struct buf last_key;
};

static enum status no_sense(const struct tablet *t, const char *what, struct err *err)
{
    return err_set(err, ST_REJECT, SQLSTATE_DATA_CORRUPTED, "snapshot of group %llu: %s",
                   (unsigned long long)t->group, what);
}

/* Beginning. */

static enum status check_head(struct tablet *t, const struct snapshot_head *h, struct err *err)
{
    struct tablet_state state;

    if (h->group != t->group || h->slot == 0 || !tablet_parse_state(h->state, &state) ||
        state.applied != h->slot || state.s_max != h->ts)
        return no_sense(t, "malformed head", err);
    if (tablet_usable(t) && h->slot <= tablet_applied(t))
        return no_sense(t, "it is older than the tablet", err);
    return ST_OK;
}

static enum status put_mark(struct tablet *t, const struct snapshot_head *h, struct err *err)
{
    struct buf row = {0};
    enum status st;

    buf_put_u8(&row, MARK_FORMAT);
    buf_put_u64(&row, h->slot);
    st = tablet_put_state(t, STATE_MARK, buf_bytes(&row), err);
    buf_fini(&row);
    return st;
}

/* Everything of the group but the mark, which stands before the rest. */
static enum status drop_old(struct tablet *t, const struct snapshot_range *range, struct err *err)
{
    struct state_key from = tablet_state_key(t->group, STATE_ROW);
    struct state_key to = tablet_state_key(t->group, (enum state_kind)UINT8_MAX);
    enum status st;

    TRY(engine_truncate(t->engine, ENGINE_DATA, state_key_bytes(&from), state_key_bytes(&to), err));
    if (!range->none)
        st = engine_truncate(t->engine, ENGINE_DATA, mvcc_range_start(range->start), range->end,
                             err);
out:
    return st;
}

/* No collection runs after this: each looks at `usable` under the same lock. */
static enum status clear_tablet(struct tablet *t, const struct snapshot_install *in,
                                struct err *err)
{
    enum status st;

    pthread_mutex_lock(&t->sweep_mu);
    atomic_store(&t->horizon, TSTAMP_MAX);
    atomic_store(&t->usable, false);
    TRY(put_mark(t, &in->head, err));
    TRY(drop_old(t, &in->range, err));
out:
    pthread_mutex_unlock(&t->sweep_mu);
    return st;
}

enum status snapshot_begin(struct tablet *t, const struct snapshot_head *head,
                           struct snapshot_install **out, struct err *err)
{
    struct snapshot_install *in = xcalloc(1, sizeof *in);
    enum status st;
    struct rd r;
    bool good;

    in->tablet = t;
    in->next = 1;
    TRY(check_head(t, head, err));
    snapshot_head_encode(&in->head_bytes, head);
    r = rd_of(buf_bytes(&in->head_bytes));
    good = snapshot_head_decode(&r, &in->head);
    ASSERT(good); /* we built it ourselves */
    in->range = snapshot_range(t->group);
    /* Whoever reads now reads at or below what was applied. */
    in->floor = tablet_applied_ts(t) > 0 ? tablet_applied_ts(t) + 1 : 0;
    TRY(clear_tablet(t, in, err));
    *out = in;
    in = NULL;
out:
    snapshot_install_free(in);
    return st;
}

uint64_t snapshot_next(const struct snapshot_install *in)
{
    return in->next;
}

/* Chunks. */

static bool good_outcomes_row(const struct snapshot_install *in, struct bytes key,
                              struct bytes value)
{
    struct state_key first = tablet_outcomes_key(in->head.group, 0);
    struct state_key last = tablet_outcomes_key(in->head.group, in->head.slot);
    tstamp ts;

    return key.len == STATE_KEY_SLOT && bytes_cmp(key, state_key_bytes(&first)) >= 0 &&
           bytes_cmp(key, state_key_bytes(&last)) <= 0 && tablet_parse_outcomes(value, &ts, NULL) &&
           ts <= in->head.ts;
}

static bool good_version(const struct snapshot_install *in, struct bytes key, struct bytes value)
{
    struct bytes user;
    tstamp ts;

    return !in->range.none && mvcc_decode(key, &user, &ts) && ts <= in->head.ts &&
           bytes_cmp(user, mvcc_range_start(in->range.start)) >= 0 &&
           mvcc_before_end(user, in->range.end) && value.len > 0 && value.ptr[0] <= MVCC_TOMBSTONE;
}

static enum status put_rows(struct snapshot_install *in, struct engine_txn *x, struct bytes rows,
                            struct snapshot_sum *sum, struct bytes *out_last, struct err *err)
{
    struct rd r = rd_of(rows);
    struct bytes key, value, last = buf_bytes(&in->last_key);
    enum status st = ST_OK;

    while (rd_left(&r) > 0) {
        if (!snapshot_row_next(&r, &key, &value) || bytes_cmp(key, last) <= 0)
            return no_sense(in->tablet, "malformed chunk", err);
        if (!good_outcomes_row(in, key, value) && !good_version(in, key, value))
            return no_sense(in->tablet, "a row that does not belong there", err);
        TRY(engine_put(x, ENGINE_DATA, key, value, err));
        snapshot_sum_add(sum, key, value);
        last = key;
    }
    *out_last = last;
out:
    return st;
}

/* What stands in the engine is what was sent. */
static enum status verify(struct snapshot_install *in, struct err *err)
{
    struct snapshot_walk w = {.engine = in->tablet->engine,
                              .group = in->head.group,
                              .slot = in->head.slot,
                              .ts = in->head.ts,
                              .range = in->range};
    struct snapshot_limits limits = {0};
    struct snapshot_sum sum = {0};
    enum status st = ST_OK;

    while (!w.done) {
        st = snapshot_walk_slice(&w, &limits, NULL, &sum, err);
        if (st != ST_RETRY)
            TRY(st);
    }
    st = snapshot_sum_eq(&sum, &in->sum)
             ? ST_OK
             : no_sense(in->tablet, "the rows are not those that were sent", err);
out:
    buf_fini(&w.from);
    return st;
}

static enum status put_state(struct snapshot_install *in, enum state_kind kind, struct bytes value,
                             struct engine_txn *x, struct err *err)
{
    struct state_key key = tablet_state_key(in->head.group, kind);

    return engine_put(x, ENGINE_DATA, state_key_bytes(&key), value, err);
}

/* One transaction makes of all that a tablet. */
static enum status clear_mark(struct snapshot_install *in, tstamp horizon, struct err *err)
{
    struct state_key mark = tablet_state_key(in->head.group, STATE_MARK);
    struct tablet_base base = {in->head.slot, in->head.ballot, in->head.config};
    struct engine_txn *x = NULL;
    struct buf row = {0};
    enum status st;

    TRY(engine_begin(in->tablet->engine, &x, err));
    TRY(put_state(in, STATE_ROW, in->head.state, x, err));
    if (horizon > 0) { /* otherwise nothing was ever collected, and there is no such row */
        buf_put_u64(&row, (uint64_t)horizon);
        TRY(put_state(in, STATE_HORIZON, buf_bytes(&row), x, err));
        buf_reset(&row);
    }
    tablet_encode_base(&row, &base);
    TRY(put_state(in, STATE_BASE, buf_bytes(&row), x, err));
    TRY(engine_delete(x, ENGINE_DATA, state_key_bytes(&mark), err));
    st = engine_commit(x, ENGINE_NOSYNC, err);
    x = NULL;
out:
    engine_abort(x);
    buf_fini(&row);
    return st;
}

static enum status finish(struct snapshot_install *in, tstamp horizon, struct err *err)
{
    enum status st;

    TRY(verify(in, err));
    TRY(clear_mark(in, horizon > in->floor ? horizon : in->floor, err));
    TRY(tablet_load(in->tablet, err));
    ASSERT(tablet_usable(in->tablet) && tablet_applied(in->tablet) == in->head.slot); /* M2 */
out:
    return st;
}

static enum status take_chunk(struct snapshot_install *in, const struct snapshot_chunk *c,
                              struct err *err)
{
    struct snapshot_sum sum = in->sum;
    struct engine_txn *x = NULL;
    struct bytes last = {0};
    enum status st;

    TRY(engine_begin(in->tablet->engine, &x, err));
    TRY(put_rows(in, x, c->rows, &sum, &last, err));
    if (!snapshot_sum_eq(&sum, &c->sum)) {
        st = no_sense(in->tablet, "a chunk does not follow on the last one", err);
        goto out;
    }
    st = engine_commit(x, ENGINE_NOSYNC, err);
    x = NULL;
    TRY(st);
    if (c->rows.len > 0) {
        buf_reset(&in->last_key);
        buf_put(&in->last_key, last.ptr, last.len);
    }
    in->sum = sum;
    in->next++;
out:
    engine_abort(x);
    return st;
}

enum status snapshot_put(struct snapshot_install *in, const struct snapshot_chunk *c,
                         bool *out_finished, struct err *err)
{
    enum status st = ST_OK;

    if (c->seq == in->next)
        TRY(take_chunk(in, c, err));
    else if (!c->last || c->seq + 1 != in->next) /* the last one again: its end failed for now */
        return no_sense(in->tablet, "not the chunk that is wanted", err);
    if (c->last)
        TRY(finish(in, c->horizon, err));
    *out_finished = c->last;
out:
    return st;
}

void snapshot_install_free(struct snapshot_install *in)
{
    if (in == NULL)
        return;
    buf_fini(&in->head_bytes);
    buf_fini(&in->last_key);
    free(in);
}
