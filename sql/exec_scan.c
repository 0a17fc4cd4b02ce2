/* Leaves: table access, derived tables, series, virtual tables, VALUES. */
#include <stdlib.h>

#include "base/check.h"
#include "sql/exec_int.h"
#include "sql/row.h"
#include "sql/virtual.h"

/* Spans: the stretches of the index that the path's values name. */

struct span_build {
    struct node *n;
    const struct plan *plan;
    struct buf *key; /* parts so far */
    struct eval ev;
    struct datum low, high;
    size_t cap;
    bool single; /* at most one span can come out: it may stay in the pool's buffers */
    struct err *err;
};

static void put_bound(struct buf *out, const struct buf *prefix, const struct datum *v,
                      enum key_dir dir, bool after)
{
    buf_reset(out);
    buf_put(out, prefix->ptr, prefix->len);
    row_put_part(out, v, dir);
    if (after)
        ASSERT(key_prefix_end(out));
}

/* NULLs stand last in an ascending part and first in a descending one; a range never includes them. */
static void range_bounds(struct span_build *b, enum key_dir dir, enum sql_type type,
                         struct buf *start, struct buf *end)
{
    const struct plan *p = b->plan;
    struct datum null = datum_null(type);
    const struct datum *first = dir == KEY_ASC ? &b->low : &b->high;
    const struct datum *last = dir == KEY_ASC ? &b->high : &b->low;
    bool has_first = (dir == KEY_ASC ? p->scan.low : p->scan.high) != NULL;
    bool has_last = (dir == KEY_ASC ? p->scan.high : p->scan.low) != NULL;
    bool first_open = dir == KEY_ASC ? p->scan.low_open : p->scan.high_open;
    bool last_open = dir == KEY_ASC ? p->scan.high_open : p->scan.low_open;

    if (has_first)
        put_bound(start, b->key, first, dir, first_open);
    else if (dir == KEY_DESC)
        put_bound(start, b->key, &null, dir, true);
    else
        buf_put(start, b->key->ptr, b->key->len);
    if (has_last) {
        put_bound(end, b->key, last, dir, !last_open);
    } else if (dir == KEY_ASC) {
        put_bound(end, b->key, &null, dir, false);
    } else {
        buf_put(end, b->key->ptr, b->key->len);
        ASSERT(key_prefix_end(end));
    }
}

static void add_span(struct span_build *b, struct bytes start, struct bytes end)
{
    struct node *n = b->n;

    if (n->scan.n_spans == b->cap) {
        size_t cap = b->cap == 0 ? 1 : b->cap * 8;
        struct span *grown = arena_alloc(node_keep(n), cap * sizeof *grown);

        if (n->scan.n_spans > 0)
            memcpy(grown, n->scan.spans, n->scan.n_spans * sizeof *grown);
        n->scan.spans = grown;
        b->cap = cap;
    }
    n->scan.spans[n->scan.n_spans++] =
        (struct span){arena_copy(node_keep(n), start), arena_copy(node_keep(n), end)};
}

static void emit_span(struct span_build *b)
{
    const struct plan *p = b->plan;
    const struct index *ix = p->scan.index;
    struct buf start = {0}, end = {0};

    if (p->scan.point) {
        add_span(b, buf_bytes(b->key), (struct bytes){0});
        return;
    }
    if (p->scan.low != NULL || p->scan.high != NULL) {
        const struct index_part *part = &ix->parts[p->scan.n_parts];

        range_bounds(b, part->dir, p->scan.rte->types[part->column], &start, &end);
    } else {
        buf_put(&start, b->key->ptr, b->key->len);
        buf_put(&end, b->key->ptr, b->key->len);
        ASSERT(key_prefix_end(&end));
    }
    if (bytes_cmp(buf_bytes(&start), buf_bytes(&end)) < 0)
        add_span(b, buf_bytes(&start), buf_bytes(&end));
    buf_fini(&start);
    buf_fini(&end);
}

static enum status build_parts(struct span_build *b, size_t i)
{
    const struct scan_part *part = &b->plan->scan.parts[i];
    const struct index *ix = b->plan->scan.index;
    size_t len = b->key->len;
    struct datum v;
    enum status st = ST_OK;

    if (i == b->plan->scan.n_parts) {
        emit_span(b);
        return ST_OK;
    }
    if (part->is_null) {
        key_put_null(b->key, ix->parts[i].dir);
        st = build_parts(b, i + 1);
        b->key->len = len;
        return st;
    }
    for (size_t k = 0; k < part->n; k++) {
        TRY(bx_eval(part->values[k], &b->ev, &v, b->err));
        if (v.null)
            continue; /* nothing equals NULL */
        row_put_part(b->key, &v, ix->parts[i].dir);
        TRY(build_parts(b, i + 1));
        b->key->len = len;
    }
out:
    return st;
}

static int by_start(const void *a, const void *b)
{
    return bytes_cmp(((const struct span *)a)->start, ((const struct span *)b)->start);
}

static void sort_spans(struct node *n)
{
    size_t kept = 1;

    if (n->scan.n_spans < 2)
        return;
    qsort(n->scan.spans, n->scan.n_spans, sizeof *n->scan.spans, by_start);
    for (size_t i = 1; i < n->scan.n_spans; i++) {
        if (!bytes_eq(n->scan.spans[i].start, n->scan.spans[kept - 1].start))
            n->scan.spans[kept++] = n->scan.spans[i];
    }
    n->scan.n_spans = kept;
}

static void forget_lookups(struct lookups *l)
{
    l->n = l->at = l->batch = 0;
}

static enum status scan_start(struct node *n, struct err *err)
{
    const struct plan *p = n->plan;
    struct buf key = n->run->o.pool->key2;
    struct span_build b = {.n = n, .plan = p, .key = &key, .ev = node_eval(n), .err = err};
    enum status st = ST_OK;

    n->scan.spans = NULL;
    n->scan.n_spans = 0;
    n->scan.at = 0;
    n->scan.doubt = false;
    forget_lookups(&n->scan.points);
    forget_lookups(&n->scan.rows);
    buf_reset(&key);
    row_put_prefix(&key, p->scan.rte->table->id, p->scan.index->id);
    /* The subqueries in the bounds may use the pool's buffers themselves. */
    n->run->o.pool->key2 = (struct buf){0};
    if (p->scan.low != NULL)
        TRY(bx_eval(p->scan.low, &b.ev, &b.low, err));
    if (p->scan.high != NULL)
        TRY(bx_eval(p->scan.high, &b.ev, &b.high, err));
    if ((p->scan.low == NULL || !b.low.null) && (p->scan.high == NULL || !b.high.null))
        TRY(build_parts(&b, 0));
    sort_spans(n);
    n->started = true;
out:
    buf_fini(&n->run->o.pool->key2);
    n->run->o.pool->key2 = key;
    return st;
}

void scan_close(struct node *n)
{
    txn_scan_close(n->scan.scan);
    n->scan.scan = NULL;
}

static enum txn_lock lock_of(const struct node *n)
{
    if (n->run->o.mode == TXN_READ_ONLY)
        return TXN_LOCK_NONE;
    return n->plan->scan.lock != TXN_LOCK_NONE ? n->plan->scan.lock : TXN_LOCK_SHARED;
}

static const struct span *next_span(struct node *n)
{
    size_t i = n->scan.at++;

    return &n->scan.spans[n->plan->scan.reverse ? n->scan.n_spans - 1 - i : i];
}

/* The next of the spans that are whole keys. */
static enum status next_point(struct node *n, struct bytes *out_key, struct bytes *out_value,
                              struct err *err)
{
    struct lookups *l = &n->scan.points;
    const struct mvcc_item *item;
    enum status st = ST_OK;

    if (n->scan.n_spans == 1 && n->scan.at == 0) {
        *out_key = next_span(n)->start;
        return txn_get(n->run->o.txn, *out_key, lock_of(n), n->row_mem, out_value, NULL, err);
    }
    for (;;) {
        while ((item = lookups_next(l)) != NULL) {
            if (!item->found)
                continue;
            *out_key = item->key;
            *out_value = item->value;
            return ST_OK;
        }
        if (n->scan.at == n->scan.n_spans)
            return ST_NOTFOUND;
        lookups_begin(n, l);
        while (n->scan.at < n->scan.n_spans && !lookups_full(l))
            lookups_add(l, next_span(n)->start);
        TRY(lookups_read(n, l, lock_of(n), err));
    }
out:
    return st;
}

/* Run where the tablet is, on entries to come: what fails here may never be asked for, so it passes, and fails when it
 * is. */
static bool early_filter(void *arg, struct bytes key, struct bytes value)
{
    struct node *n = arg;
    const struct plan *p = n->plan;
    const struct rte *r = p->scan.rte;
    struct eval ev = node_eval(n);
    struct err err;
    bool pass;

    ev.mem = n->scan.early_mem;
    arena_reset(ev.mem);
    if (run_check(n->run, &err) == ST_OK &&
        row_decode(r->table, p->scan.index, key, value, p->scan.early_want,
                   n->frame->slots + r->slot, ev.mem, &err) == ST_OK &&
        bx_all_true(p->filter, p->scan.n_early, &ev, &pass, &err) == ST_OK)
        return pass;
    n->scan.doubt = true;
    return true;
}

static enum status open_span(struct node *n, const struct span *s, struct err *err)
{
    const struct plan *p = n->plan;
    struct txn_scan_options o = {.start = s->start,
                                 .end = s->end,
                                 .reverse = p->scan.reverse,
                                 .lock = lock_of(n),
                                 .limit = n->scan.limit_hint};

    if (p->scan.n_early > 0) {
        if (n->scan.early_mem == NULL)
            n->scan.early_mem = run_pool_take(n->run->o.pool);
        o.filter = early_filter;
        o.filter_arg = n;
    }
    return txn_scan_open(n->run->o.txn, &o, &n->scan.scan, err);
}

/* The next entry of the path: its key and value are good until the node goes on. */
static enum status next_entry(struct node *n, struct bytes *out_key, struct bytes *out_value,
                              struct err *err)
{
    const struct plan *p = n->plan;

    if (p->scan.point)
        return next_point(n, out_key, out_value, err);
    for (;;) {
        enum status st;

        if (n->scan.scan != NULL) {
            st = txn_scan_next(n->scan.scan, out_key, out_value, err);
            if (st != ST_NOTFOUND)
                return st;
            scan_close(n);
        }
        if (n->scan.at == n->scan.n_spans)
            return ST_NOTFOUND;
        st = open_span(n, next_span(n), err);
        if (st != ST_OK)
            return st;
    }
}

/* The key of the row behind an entry, into the pool's buffer. */
static enum status row_key_of_entry(struct node *n, struct bytes entry, struct bytes value,
                                    struct datum *slots, struct err *err)
{
    const struct table *t = n->plan->scan.rte->table;
    struct buf *key = &n->run->o.pool->key;
    enum status st = row_entry_pk(t, n->plan->scan.index, entry, n->row_mem, key, err);

    if (st != ST_NOTFOUND)
        return st;
    st = row_decode(t, n->plan->scan.index, entry, value, n->plan->scan.entry_want, slots,
                    n->row_mem, err);
    buf_reset(key);
    return st == ST_OK ? row_key(key, t, &t->indexes[0], slots, err) : st;
}

/* The rows behind the next entries. */
static enum status read_ahead(struct node *n, struct datum *slots, struct err *err)
{
    struct lookups *l = &n->scan.rows;
    struct bytes entry, value;
    enum status st = ST_OK;

    lookups_begin(n, l);
    while (!lookups_full(l)) {
        arena_reset(n->row_mem);
        TRY(run_check(n->run, err));
        st = next_entry(n, &entry, &value, err);
        if (st == ST_NOTFOUND && l->n > 0)
            break;
        TRY(st);
        TRY(row_key_of_entry(n, entry, value, slots, err));
        lookups_add(l, buf_bytes(&n->run->o.pool->key));
    }
    TRY(lookups_read(n, l, lock_of(n), err));
out:
    if (st != ST_OK)
        l->n = 0;
    return st;
}

/* The row behind the next entry. */
static enum status next_row(struct node *n, struct datum *slots, struct err *err)
{
    const struct rte *r = n->plan->scan.rte;
    const struct table *t = r->table;
    const struct mvcc_item *item = lookups_next(&n->scan.rows);
    enum status st = ST_OK;

    if (item == NULL) {
        TRY(read_ahead(n, slots, err));
        item = lookups_next(&n->scan.rows);
    }
    if (!item->found)
        return err_set(err, ST_REJECT, SQLSTATE_DATA_CORRUPTED,
                       "index \"%s\" has an entry without a row in table \"%s\"",
                       n->plan->scan.index->name, t->name);
    TRY(row_decode(t, &t->indexes[0], item->key, item->value, r->want, slots, n->row_mem, err));
out:
    return st;
}

enum status scan_next(struct node *n, struct err *err)
{
    const struct plan *p = n->plan;
    const struct rte *r = p->scan.rte;
    struct datum *slots = n->frame->slots + r->slot;
    struct eval ev = node_eval(n);
    struct bytes key, value;
    size_t asked;
    bool pass = false;
    enum status st = ST_OK;

    arena_reset(n->row_mem);
    if (!n->started)
        TRY(scan_start(n, err));
    while (!pass) {
        arena_reset(n->row_mem);
        TRY(run_check(n->run, err));
        if (p->scan.index->primary || p->scan.index_only) {
            TRY(next_entry(n, &key, &value, err));
            TRY(row_decode(r->table, p->scan.index, key, value, p->scan.entry_want, slots,
                           n->row_mem, err));
        } else {
            TRY(next_row(n, slots, err));
        }
        asked = n->scan.doubt ? 0 : p->scan.n_early;
        TRY(bx_all_true(p->filter + asked, p->n_filter - asked, &ev, &pass, err));
    }
out:
    return st;
}

static enum status passes(struct node *n, bool *out, struct err *err)
{
    struct eval ev = node_eval(n);

    return bx_all_true(n->plan->filter, n->plan->n_filter, &ev, out, err);
}

enum status query_next(struct node *n, struct err *err)
{
    const struct rte *r = n->plan->query.rte;
    struct block_run *b = n->query.block;
    bool pass = false;
    enum status st = ST_OK;

    n->started = true;
    while (!pass) {
        TRY(block_next(b, err));
        arena_reset(n->row_mem);
        memcpy(n->frame->slots + r->slot, b->frame.slots + b->plan->out_slot,
               r->n_columns * sizeof *b->frame.slots);
        TRY(passes(n, &pass, err));
    }
out:
    return st;
}

static enum status series_start(struct node *n, struct err *err)
{
    const struct rte *r = n->plan->rel.rte;
    struct eval ev = node_eval(n);
    struct datum v[3] = {{.null = true}, {.null = true}, {.type = TYPE_INT8, .i = 1}};
    enum status st = ST_OK;

    for (int i = 0; i < 3; i++) {
        if (r->args[i] != NULL)
            TRY(bx_eval(r->args[i], &ev, &v[i], err));
        if (v[i].null)
            n->done = true;
    }
    if (!n->done && v[2].i == 0)
        return err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                       "step size cannot equal zero");
    n->series.next = v[0].i;
    n->series.stop = v[1].i;
    n->series.step = v[2].i;
    n->started = true;
out:
    return st;
}

enum status series_next(struct node *n, struct err *err)
{
    const struct rte *r = n->plan->rel.rte;
    bool pass = false;
    enum status st = ST_OK;

    if (!n->started)
        TRY(series_start(n, err));
    while (!pass) {
        if (n->done || (n->series.step > 0 ? n->series.next > n->series.stop
                                           : n->series.next < n->series.stop))
            return ST_NOTFOUND;
        TRY(run_check(n->run, err));
        arena_reset(n->row_mem);
        n->frame->slots[r->slot] = (struct datum){.type = r->types[0], .i = n->series.next};
        if (__builtin_add_overflow(n->series.next, n->series.step, &n->series.next))
            n->done = true;
        TRY(passes(n, &pass, err));
    }
out:
    return st;
}

enum status virtual_next(struct node *n, struct err *err)
{
    const struct rte *r = n->plan->rel.rte;
    bool pass = false;

    if (!n->started) {
        struct virtual_rows rows = {.mem = node_keep(n), .n_columns = r->n_columns};

        r->virt->fill(n->run->o.catalog, &rows);
        n->virt.rows = (struct row_store){rows.rows, rows.n, rows.cap};
        n->virt.at = 0;
        n->started = true;
    }
    while (!pass) {
        enum status st;

        if (n->virt.at == n->virt.rows.n)
            return ST_NOTFOUND;
        arena_reset(n->row_mem);
        memcpy(n->frame->slots + r->slot, n->virt.rows.rows[n->virt.at++],
               r->n_columns * sizeof *n->frame->slots);
        st = passes(n, &pass, err);
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

enum status values_next(struct node *n, struct err *err)
{
    const struct query *q = n->plan->values.query;
    struct eval ev = node_eval(n);

    if (!n->started) {
        n->values.at = 0;
        n->started = true;
    }
    if (n->values.at == q->n_rows)
        return ST_NOTFOUND;
    arena_reset(n->row_mem);
    for (size_t i = 0; i < q->n_visible; i++) {
        enum status st =
            bx_eval(q->rows[n->values.at][i], &ev, &n->frame->slots[q->out_slot + i], err);

        if (st != ST_OK)
            return st;
    }
    n->values.at++;
    return ST_OK;
}
