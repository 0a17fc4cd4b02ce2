#include "txn/request.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "txn/leader_int.h"

enum { ROWS_MIN = 16, DIGEST_WAIT_S = 10 };

void answer_fini(struct answer *a)
{
    free(a->rows);
    a->rows = NULL;
    a->n_rows = a->cap_rows = 0;
}

void answer_add(struct answer *a, struct bytes key, tstamp ts, struct bytes value)
{
    if (a->n_rows == a->cap_rows) {
        a->cap_rows = a->cap_rows == 0 ? ROWS_MIN : a->cap_rows * 2;
        a->rows = xrealloc(a->rows, a->cap_rows * sizeof *a->rows);
    }
    a->rows[a->n_rows++] =
        (struct request_row){arena_copy(a->mem, key), arena_copy(a->mem, value), ts};
    a->row_bytes += key.len + value.len;
}

struct collect {
    const struct request *rq;
    struct answer *a;
};

static void begin_rows(void *arg)
{
    struct collect *c = arg;

    c->a->n_rows = c->a->row_bytes = 0;
}

static bool take_row(void *arg, struct bytes key, tstamp ts, struct bytes value)
{
    struct collect *c = arg;

    if (c->rq->filter != NULL && !c->rq->filter(c->rq->filter_arg, key, value))
        return true;
    answer_add(c->a, key, ts, value);
    return c->a->row_bytes < REQUEST_SLICE_BYTES;
}

static enum status run_get(struct leader *l, struct request *rq, struct answer *a,
                           struct leader_wait *w, struct err *err)
{
    if (rq->mode == 0)
        return leader_get_at(l, rq->start, rq->t, w, a->mem, &a->value, &a->ts, &a->seen, err);
    return leader_locked_get(l, &rq->ref, rq->start, (enum lock_mode)rq->mode, w, a->mem, &a->value,
                             &a->ts, &a->seen, err);
}

static enum status run_gets(struct leader *l, struct request *rq, struct answer *a,
                            struct leader_wait *w, struct err *err)
{
    if (rq->mode == 0)
        return leader_gets_at(l, rq->items, rq->n_items, rq->t, w, a->mem, &a->n_got, &a->seen,
                              err);
    return leader_locked_gets(l, &rq->ref, rq->items, rq->n_items, (enum lock_mode)rq->mode, w,
                              a->mem, &a->n_got, &a->seen, err);
}

static enum status run_scan(struct leader *l, struct request *rq, struct answer *a,
                            struct leader_wait *w, struct err *err)
{
    struct collect collect = {rq, a};
    struct leader_scan scan = {.start = rq->start,
                               .end = rq->end,
                               .reverse = rq->reverse,
                               .limit = rq->limit,
                               .max_rows = rq->max_rows,
                               .begin = begin_rows,
                               .row = take_row,
                               .arg = &collect};

    if (rq->mode == 0)
        return leader_scan_at(l, &scan, rq->t, w, a->mem, &a->done, &a->resume, &a->seen, err);
    return leader_locked_scan(l, &rq->ref, &scan, (enum lock_mode)rq->mode, w, a->mem, &a->done,
                              &a->resume, &a->seen, err);
}

static enum status check_horizon(struct leader *l, tstamp t, struct err *err)
{
    if (t >= group_horizon(l->o.group))
        return ST_OK;
    return err_set(err, ST_REJECT, SQLSTATE_SNAPSHOT_TOO_OLD,
                   "the timestamp lies before the history that is kept");
}

static enum status run_digest(struct leader *l, struct request *rq, struct answer *a,
                              struct leader_wait *w, struct err *err)
{
    int64_t deadline = mono_now() + DIGEST_WAIT_S * (int64_t)NS_PER_S;
    enum status st;

    TRY(leader_wait_applied(l, rq->t, deadline, w, err));
    if (w->parked)
        goto out;
    TRY(mvcc_digest(l->o.engine, rq->start, rq->end, rq->t, &a->digest, err));
    TRY(check_horizon(l, rq->t, err));
out:
    return st;
}

enum status request_run(struct leader *l, struct request *rq, struct answer *a,
                        struct leader_wait *w, struct err *err)
{
    w->parked = false;
    switch (rq->kind) {
    case REQUEST_GET:
        return run_get(l, rq, a, w, err);
    case REQUEST_GETS:
        return run_gets(l, rq, a, w, err);
    case REQUEST_SCAN:
        return run_scan(l, rq, a, w, err);
    case REQUEST_LOCK:
        return leader_lock(l, &rq->ref, rq->start, bytes_of(NULL, 0), (enum lock_mode)rq->mode, w,
                           err);
    case REQUEST_COMMIT:
        return leader_commit(l, &rq->ref, &rq->commit, w, err);
    case REQUEST_OUTCOME:
        return leader_outcome(l, rq->commit.id, w, &a->ts, err);
    case REQUEST_LEASE:
        return leader_schema_lease(l, rq->ref.gateway, w, &a->lease, err);
    case REQUEST_CLOSE:
        return leader_close(l, rq->t, w, err);
    case REQUEST_DIGEST:
        return run_digest(l, rq, a, w, err);
    case REQUEST_KIND_END:
        break;
    }
    return err_set(err, ST_REJECT, SQLSTATE_PROTOCOL_VIOLATION, "an unknown kind of request");
}
