#include <stdlib.h>

#include "base/check.h"
#include "txn/space_int.h"

/* Above every key: a key begins with the code of an id, which is never all ones. */
static const uint8_t ALL_ONES[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

struct txn_scan {
    struct txn *t;
    int mode;
    bool reverse;
    bool (*filter)(void *arg, struct bytes key, struct bytes value);
    void *filter_arg;
    uint64_t limit;
    uint32_t slice_rows;
    /* Committed rows, a slice at a time. */
    struct buf start, end; /* what is not fetched yet */
    struct arena mem;      /* of the slice */
    struct op op;
    size_t next_row;
    bool done; /* no slice is left */
    /* Own writes, as they were when the scan was opened. */
    bool overlaid;
    uint64_t seq;
    bool has_own;
    struct bytes own_key;
    const struct wbuf_value *own;
    struct buf low, high; /* the whole range */
};

static struct bytes upper(const struct buf *end)
{
    return end->len == 0 ? bytes_of(ALL_ONES, sizeof ALL_ONES) : buf_bytes(end);
}

/* Own writes outside the range do not count. */
static void clip_own(struct txn_scan *sc)
{
    if (sc->has_own && sc->reverse)
        sc->has_own = bytes_cmp(sc->own_key, buf_bytes(&sc->low)) >= 0;
    else if (sc->has_own)
        sc->has_own = bytes_cmp(sc->own_key, upper(&sc->high)) < 0;
}

static void first_own(struct txn_scan *sc)
{
    struct bytes from = sc->reverse ? upper(&sc->high) : buf_bytes(&sc->low);

    sc->has_own = sc->overlaid && wbuf_scan_from(&sc->t->writes, from, sc->reverse, sc->seq,
                                                 &sc->own_key, &sc->own);
    clip_own(sc);
}

static void next_own(struct txn_scan *sc)
{
    sc->has_own =
        wbuf_scan_after(&sc->t->writes, sc->own_key, sc->reverse, sc->seq, &sc->own_key, &sc->own);
    clip_own(sc);
}

enum status txn_scan_open(struct txn *t, const struct txn_scan_options *o, struct txn_scan **out,
                          struct err *err)
{
    struct txn_scan *sc;
    enum status st;

    TRY(txn_usable(t, err));
    if (o->start.len > TXN_KEY_MAX + MVCC_SUFFIX || o->end.len > TXN_KEY_MAX + MVCC_SUFFIX) {
        st = err_set(err, ST_REJECT, SQLSTATE_PROGRAM_LIMIT_EXCEEDED,
                     "a bound of the scan exceeds the limit of %d bytes", TXN_KEY_MAX);
        goto out;
    }
    sc = xcalloc(1, sizeof *sc);
    sc->t = t;
    sc->mode = txn_lock_mode(t, o->lock);
    sc->reverse = o->reverse;
    sc->filter = o->filter;
    sc->filter_arg = o->filter_arg;
    sc->limit = o->limit;
    sc->slice_rows =
        o->limit > 0 && o->limit < REQUEST_SLICE_ROWS ? (uint32_t)o->limit : REQUEST_SLICE_ROWS;
    sc->done = o->end.len > 0 && bytes_cmp(o->start, o->end) >= 0;
    arena_init(&sc->mem, 0);
    buf_put(&sc->start, o->start.ptr, o->start.len);
    buf_put(&sc->end, o->end.ptr, o->end.len);
    buf_put(&sc->low, o->start.ptr, o->start.len);
    buf_put(&sc->high, o->end.ptr, o->end.len);
    sc->overlaid = t->has_writes && !sc->done;
    if (sc->overlaid)
        sc->seq = wbuf_scan_begin(&t->writes);
    first_own(sc);
    *out = sc;
out:
    return st;
}

void txn_scan_close(struct txn_scan *sc)
{
    if (sc == NULL)
        return;
    if (sc->overlaid)
        wbuf_scan_end(&sc->t->writes);
    answer_fini(&sc->op.a);
    arena_fini(&sc->mem);
    buf_fini(&sc->start);
    buf_fini(&sc->end);
    buf_fini(&sc->low);
    buf_fini(&sc->high);
    free(sc);
}

/* Slices. */

static bool take_replica_row(void *arg, struct bytes key, tstamp ts, struct bytes value)
{
    struct txn_scan *sc = arg;

    if (sc->filter == NULL || sc->filter(sc->filter_arg, key, value))
        answer_add(&sc->op.a, key, ts, value);
    return sc->op.a.row_bytes < REQUEST_SLICE_BYTES;
}

static enum status slice_from_replica(struct txn_scan *sc, struct err *err)
{
    struct txn *t = sc->t;
    struct mvcc_slice slice = {.start = buf_bytes(&sc->start),
                               .end = buf_bytes(&sc->end),
                               .reverse = sc->reverse,
                               .t = t->read_ts,
                               .max_rows = sc->slice_rows,
                               .row = take_replica_row,
                               .arg = sc};
    struct answer *a = &sc->op.a;
    enum status st;

    TRY(mvcc_scan(t->s->engine, &slice, &sc->mem, &a->done, &a->resume, &t->seen, err));
    TRY(txn_check_history(t, err));
out:
    return st;
}

/* The answer's rows keep their room from slice to slice. */
static void begin_slice(struct txn_scan *sc)
{
    struct answer kept = sc->op.a;

    arena_reset(&sc->mem);
    txn_op_init(sc->t, &sc->op, REQUEST_SCAN, sc->mode);
    sc->op.a = (struct answer){.mem = &sc->mem, .rows = kept.rows, .cap_rows = kept.cap_rows};
    sc->next_row = 0;
}

static enum status fetch(struct txn_scan *sc, struct err *err)
{
    struct request *rq = &sc->op.rq;
    struct answer *a = &sc->op.a;
    enum status st;

    begin_slice(sc);
    if (sc->mode == 0 && space_has_applied(sc->t->s, sc->t->read_ts)) {
        TRY(slice_from_replica(sc, err));
    } else {
        rq->start = buf_bytes(&sc->start);
        rq->end = buf_bytes(&sc->end);
        rq->reverse = sc->reverse;
        rq->limit = sc->limit;
        rq->max_rows = sc->slice_rows;
        rq->filter = sc->filter;
        rq->filter_arg = sc->filter_arg;
        TRY(txn_op_run(sc->t, &sc->op, err));
    }
    sc->done = a->done;
    if (!a->done) {
        struct buf *bound = sc->reverse ? &sc->end : &sc->start;

        buf_reset(bound);
        buf_put(bound, a->resume.ptr, a->resume.len);
    }
    /* It wanted more than it said: larger slices cost less. */
    sc->slice_rows =
        sc->slice_rows * 2 < REQUEST_SLICE_ROWS ? sc->slice_rows * 2 : REQUEST_SLICE_ROWS;
out:
    if (st != ST_OK)
        a->n_rows = 0;
    return st;
}

/* Merging. */

/* The committed row that comes next; NULL: none is left. */
static enum status peek_row(struct txn_scan *sc, struct request_row **out, struct err *err)
{
    enum status st = ST_OK;

    while (sc->next_row == sc->op.a.n_rows && !sc->done)
        TRY(fetch(sc, err));
    *out = sc->next_row < sc->op.a.n_rows ? &sc->op.a.rows[sc->next_row] : NULL;
out:
    return st;
}

/* <0: the row comes first; 0: the own write hides it; >0: the own write comes first. */
static int which(const struct txn_scan *sc, const struct request_row *row)
{
    int c;

    if (row == NULL || !sc->has_own)
        return row == NULL ? 1 : -1;
    c = bytes_cmp(row->key, sc->own_key);
    return sc->reverse ? -c : c;
}

/* False: it is a deletion, or the filter does not want it. */
static bool take_own(struct txn_scan *sc, struct bytes *out_key, struct bytes *out_value)
{
    const struct wbuf_value *own = sc->own;
    struct bytes key = sc->own_key;

    next_own(sc);
    if (own->tombstone || (sc->filter != NULL && !sc->filter(sc->filter_arg, key, own->value)))
        return false;
    *out_key = key;
    *out_value = own->value;
    return true;
}

enum status txn_scan_next(struct txn_scan *sc, struct bytes *out_key, struct bytes *out_value,
                          struct err *err)
{
    struct request_row *row;
    enum status st;

    for (;;) {
        int c;

        TRY(txn_usable(sc->t, err));
        TRY(peek_row(sc, &row, err));
        if (row == NULL && !sc->has_own)
            return ST_NOTFOUND;
        c = which(sc, row);
        if (c <= 0)
            sc->next_row++;
        if (c < 0) {
            *out_key = row->key;
            *out_value = row->value;
            return ST_OK;
        }
        if (take_own(sc, out_key, out_value))
            return ST_OK;
    }
out:
    return st;
}
