/* What stands above the joins and groups of a block: projection, DISTINCT, sort, limit. */
#include <stdlib.h>

#include "base/check.h"
#include "sql/exec_int.h"

enum status project_next(struct node *n, struct err *err)
{
    const struct plan *p = n->plan;
    struct eval ev = node_eval(n);
    enum status st = node_next(n->child, err);

    if (st != ST_OK)
        return st;
    arena_reset(n->row_mem);
    for (size_t i = 0; i < p->project.n; i++) {
        st = bx_eval(p->project.exprs[i], &ev, &n->frame->slots[p->project.out_slot + i], err);
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

enum status distinct_next(struct node *n, struct err *err)
{
    const struct plan *p = n->plan;
    const struct datum *row = n->frame->slots + p->distinct.out_slot;

    if (!n->started) {
        n->distinct.seen = hash_new(node_keep(n), p->distinct.n);
        n->started = true;
    }
    for (;;) {
        enum status st = node_next(n->child, err);
        size_t pos = 0;
        uint64_t hash;

        if (st != ST_OK)
            return st;
        hash = row_hash(row, p->distinct.n);
        if (hash_find(n->distinct.seen, row, hash, &pos) != NULL)
            continue;
        (void)hash_add(n->distinct.seen, copy_row(row, p->distinct.n, n->keep_mem), hash);
        return check_budget(n->keep_mem, err);
    }
}

enum status unique_next(struct node *n, struct err *err)
{
    const struct plan *p = n->plan;
    const struct datum *row = n->frame->slots + p->distinct.out_slot;

    if (!n->started) {
        n->distinct.last = NULL;
        n->started = true;
    }
    for (;;) {
        enum status st = node_next(n->child, err);
        bool same = n->distinct.last != NULL;

        if (st != ST_OK)
            return st;
        for (size_t i = 0; same && i < p->distinct.n_on; i++)
            same = rows_equal(&n->distinct.last[i], &row[p->distinct.on[i]], 1);
        if (same)
            continue;
        arena_reset(node_keep(n));
        n->distinct.last = copy_slots(row, p->distinct.on, p->distinct.n_on, n->keep_mem);
        return ST_OK;
    }
}

enum { TOP_WASTE = 64 * 1024 };

/* Sort. With a limit above, only that many rows are kept, in a heap whose root is the last of them. */

static int compare_rows(const struct plan *p, const struct datum *a, const struct datum *b)
{
    for (size_t i = 0; i < p->sort.n; i++) {
        const struct order_item *o = &p->sort.items[i];
        int c = datum_order(&a[o->target], &b[o->target], o->desc, o->nulls_first);

        if (c != 0)
            return c;
    }
    return 0;
}

static void sift_down(const struct plan *p, struct datum **heap, size_t n, size_t i)
{
    for (;;) {
        size_t l = 2 * i + 1, largest = i;
        struct datum *swap;

        if (l < n && compare_rows(p, heap[l], heap[largest]) > 0)
            largest = l;
        if (l + 1 < n && compare_rows(p, heap[l + 1], heap[largest]) > 0)
            largest = l + 1;
        if (largest == i)
            return;
        swap = heap[i];
        heap[i] = heap[largest];
        heap[largest] = swap;
        i = largest;
    }
}

/* Stable merge sort: rows that tie stay in the order in which they came. */
static void merge_sort(const struct plan *p, struct datum **rows, struct datum **tmp, size_t n)
{
    size_t half = n / 2, a = 0, b = half;

    if (n < 2)
        return;
    merge_sort(p, rows, tmp, half);
    merge_sort(p, rows + half, tmp, n - half);
    if (compare_rows(p, rows[half - 1], rows[half]) <= 0)
        return;
    memcpy(tmp, rows, n * sizeof *rows);
    for (size_t i = 0; i < n; i++) {
        if (b == n || (a < half && compare_rows(p, tmp[a], tmp[b]) <= 0))
            rows[i] = tmp[a++];
        else
            rows[i] = tmp[b++];
    }
}

/* Rows that fell out of the heap still take memory: the others move to a clean arena. */
static void move_rows(struct node *n)
{
    struct row_store *s = &n->sort.rows;
    struct arena *old = n->keep_mem;
    struct datum **rows;

    if (n->sort.spare == NULL)
        n->sort.spare = run_pool_take(n->run->o.pool);
    n->keep_mem = n->sort.spare;
    n->sort.spare = old;
    rows = arena_alloc(n->keep_mem, s->cap * sizeof *rows);
    for (size_t i = 0; i < s->n; i++)
        rows[i] = copy_row(s->rows[i], n->plan->sort.n_targets, n->keep_mem);
    s->rows = rows;
    arena_reset(old);
    n->sort.moved = n->keep_mem->used;
}

static void keep_row(struct node *n, const struct datum *row)
{
    const struct plan *p = n->plan;
    struct row_store *s = &n->sort.rows;
    bool full = n->sort.top != 0 && s->n == n->sort.top;

    if (full && compare_rows(p, row, s->rows[0]) >= 0)
        return;
    if (!full) {
        store_add(s, n->keep_mem, copy_row(row, p->sort.n_targets, n->keep_mem));
        for (size_t i = s->n / 2; n->sort.top != 0 && s->n == n->sort.top && i-- > 0;)
            sift_down(p, s->rows, s->n, i);
        return;
    }
    s->rows[0] = copy_row(row, p->sort.n_targets, n->keep_mem);
    sift_down(p, s->rows, s->n, 0);
    if (n->keep_mem->used > 2 * n->sort.moved + TOP_WASTE)
        move_rows(n);
}

static enum status sort_all(struct node *n, struct err *err)
{
    const struct plan *p = n->plan;
    enum status st;

    n->sort.rows = (struct row_store){0};
    n->sort.moved = 0;
    (void)node_keep(n);
    while ((st = node_next(n->child, err)) == ST_OK) {
        keep_row(n, n->frame->slots + p->sort.out_slot);
        st = check_budget(n->keep_mem, err);
        if (st != ST_OK)
            return st;
    }
    if (st != ST_NOTFOUND)
        return st;
    merge_sort(p, n->sort.rows.rows,
               arena_alloc(n->keep_mem, (n->sort.rows.n + 1) * sizeof(struct datum *)),
               n->sort.rows.n);
    n->sort.at = 0;
    n->started = true;
    return ST_OK;
}

enum status sort_next(struct node *n, struct err *err)
{
    const struct plan *p = n->plan;

    if (!n->started) {
        enum status st = sort_all(n, err);

        if (st != ST_OK)
            return st;
    }
    if (n->sort.at == n->sort.rows.n)
        return ST_NOTFOUND;
    memcpy(n->frame->slots + p->sort.out_slot, n->sort.rows.rows[n->sort.at++],
           p->sort.n_targets * sizeof *n->frame->slots);
    return ST_OK;
}

/* Limit */

static enum status eval_count(struct node *n, const struct bx *e, uint64_t *out, bool offset,
                              struct err *err)
{
    struct eval ev = node_eval(n);
    struct datum v;
    enum status st;

    if (e == NULL)
        return ST_OK;
    st = bx_eval(e, &ev, &v, err);
    if (st != ST_OK || v.null)
        return st;
    if (v.i < 0)
        return offset ? err_set(err, ST_REJECT, SQLSTATE_INVALID_ROW_COUNT_IN_RESULT_OFFSET_CLAUSE,
                                "OFFSET must not be negative")
                      : err_set(err, ST_REJECT, SQLSTATE_INVALID_ROW_COUNT_IN_LIMIT_CLAUSE,
                                "LIMIT must not be negative");
    *out = (uint64_t)v.i;
    return ST_OK;
}

/* Tells what is below how many rows will be asked for at most. */
static void hint_limit(struct node *n, uint64_t rows)
{
    if (rows == 0)
        return;
    if (n->plan->kind == PLAN_SORT && rows < SIZE_MAX / 2)
        n->sort.top = rows;
    else if (n->plan->kind == PLAN_PROJECT)
        hint_limit(n->child, rows);
    else if (n->plan->kind == PLAN_SCAN && n->plan->n_filter == 0)
        n->scan.limit_hint = rows;
}

static enum status limit_start(struct node *n, struct err *err)
{
    enum status st = ST_OK;

    n->limit.limit = UINT64_MAX;
    n->limit.offset = 0;
    n->limit.shown = 0;
    TRY(eval_count(n, n->plan->limit.limit, &n->limit.limit, false, err));
    TRY(eval_count(n, n->plan->limit.offset, &n->limit.offset, true, err));
    if (n->limit.limit < UINT64_MAX - n->limit.offset)
        hint_limit(n->child, n->limit.limit + n->limit.offset);
    n->started = true;
out:
    return st;
}

enum status limit_next(struct node *n, struct err *err)
{
    enum status st = ST_OK;

    if (!n->started)
        TRY(limit_start(n, err));
    if (n->limit.shown >= n->limit.limit)
        return ST_NOTFOUND;
    for (; n->limit.offset > 0; n->limit.offset--)
        TRY(node_next(n->child, err));
    TRY(node_next(n->child, err));
    n->limit.shown++;
out:
    return st;
}
