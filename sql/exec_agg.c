/* Grouping by hash; aggregates with DISTINCT, ORDER BY and FILTER. */
#include <stdlib.h>

#include "base/check.h"
#include "sql/exec_int.h"

/* What one aggregate knows of one group. */
struct agg_cell {
    void *state;
    struct hash_table *seen;  /* DISTINCT: arguments met */
    struct row_store ordered; /* ORDER BY: order keys, then arguments */
};

static enum status step(struct node *n, const struct bx_agg *a, struct agg_cell *cell,
                        const struct datum *args, struct err *err)
{
    return agg_step(a->agg, n->run->o.env, cell->state, args, n->keep_mem, err);
}

/* True if DISTINCT has met these arguments before. */
static bool met_before(struct node *n, const struct bx_agg *a, struct agg_cell *cell,
                       const struct datum *args)
{
    uint64_t hash = row_hash(args, a->n_args);
    size_t pos = 0;

    if (cell->seen == NULL)
        cell->seen = hash_new(n->keep_mem, a->n_args);
    if (hash_find(cell->seen, args, hash, &pos) != NULL)
        return true;
    (void)hash_add(cell->seen, copy_row(args, a->n_args, n->keep_mem), hash);
    return false;
}

static enum status keep_ordered(struct node *n, const struct bx_agg *a, struct agg_cell *cell,
                                const struct datum *args, const struct eval *ev, struct err *err)
{
    struct datum *row = arena_alloc(n->keep_mem, (a->n_order + a->n_args) * sizeof *row);

    for (size_t i = 0; i < a->n_order; i++) {
        enum status st = bx_eval(a->order[i].key, ev, &row[i], err);

        if (st != ST_OK)
            return st;
        if (!row[i].null)
            row[i] = datum_copy(&row[i], n->keep_mem);
    }
    for (size_t i = 0; i < a->n_args; i++)
        row[a->n_order + i] = args[i].null ? args[i] : datum_copy(&args[i], n->keep_mem);
    store_add(&cell->ordered, n->keep_mem, row);
    return ST_OK;
}

static enum status advance(struct node *n, const struct bx_agg *a, struct agg_cell *cell,
                           struct err *err)
{
    struct eval ev = node_eval(n);
    struct datum args[AGG_ARGS_MAX];
    bool pass = true;
    enum status st = ST_OK;

    if (a->filter != NULL)
        TRY(bx_true(a->filter, &ev, &pass, err));
    if (!pass)
        return ST_OK;
    for (size_t i = 0; i < a->n_args; i++)
        TRY(bx_eval(a->args[i], &ev, &args[i], err));
    if (a->n_args > 0 && args[0].null && !a->agg->lax)
        return ST_OK;
    if (a->distinct && met_before(n, a, cell, args))
        return ST_OK;
    if (a->n_order > 0)
        return keep_ordered(n, a, cell, args, &ev, err);
    TRY(step(n, a, cell, args, err));
out:
    return st;
}

static struct agg_cell *new_cells(struct node *n)
{
    const struct query *q = n->plan->agg.query;
    struct agg_cell *cells = arena_zalloc(n->keep_mem, (q->n_aggs + 1) * sizeof *cells);

    for (size_t i = 0; i < q->n_aggs; i++) {
        cells[i].state = arena_zalloc(n->keep_mem, q->aggs[i]->agg->state_size + 1);
        agg_init(q->aggs[i]->agg, cells[i].state);
    }
    return cells;
}

static enum status eval_group(struct node *n, struct datum *key, struct err *err)
{
    const struct query *q = n->plan->agg.query;
    struct eval ev = node_eval(n);

    for (size_t i = 0; i < q->n_group_keys; i++) {
        enum status st = bx_eval(q->group_keys[i], &ev, &key[i], err);

        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

static enum status collect(struct node *n, struct err *err)
{
    const struct query *q = n->plan->agg.query;
    size_t width = q->n_group_keys;
    struct datum *key = arena_alloc(node_keep(n), (width + 1) * sizeof *key);
    enum status st;

    n->agg.groups = hash_new(n->keep_mem, width);
    while ((st = node_next(n->child, err)) == ST_OK) {
        struct hash_entry *e;
        size_t pos = 0;
        uint64_t hash;

        arena_reset(n->row_mem);
        TRY(eval_group(n, key, err));
        hash = row_hash(key, width);
        e = hash_find(n->agg.groups, key, hash, &pos);
        if (e == NULL) {
            e = hash_add(n->agg.groups, copy_row(key, width, n->keep_mem), hash);
            e->payload = new_cells(n);
            TRY(check_budget(n->keep_mem, err));
        }
        for (size_t i = 0; i < q->n_aggs; i++)
            TRY(advance(n, q->aggs[i], &((struct agg_cell *)e->payload)[i], err));
        TRY(check_budget(n->keep_mem, err));
    }
    if (st != ST_NOTFOUND)
        return st;
    st = ST_OK;
    /* Without GROUP BY there is always one group. */
    if (width == 0 && hash_count(n->agg.groups) == 0)
        hash_add(n->agg.groups, key, row_hash(key, 0))->payload = new_cells(n);
out:
    return st;
}

/* Sorting the rows of an ordered aggregate: qsort_r's argument. */
static int by_order(const void *a, const void *b, void *arg)
{
    const struct bx_agg *agg = arg;
    const struct datum *x = *(struct datum *const *)a, *y = *(struct datum *const *)b;

    for (size_t i = 0; i < agg->n_order; i++) {
        int c = datum_order(&x[i], &y[i], agg->order[i].desc, agg->order[i].nulls_first);

        if (c != 0)
            return c;
    }
    return 0;
}

static enum status finish(struct node *n, const struct bx_agg *a, struct agg_cell *cell,
                          struct datum *out, struct err *err)
{
    struct bx_agg *order = (struct bx_agg *)(uintptr_t)a; /* only read */

    if (cell->ordered.n > 1)
        qsort_r(cell->ordered.rows, cell->ordered.n, sizeof *cell->ordered.rows, by_order, order);
    for (size_t i = 0; i < cell->ordered.n; i++) {
        enum status st = step(n, a, cell, cell->ordered.rows[i] + a->n_order, err);

        if (st != ST_OK)
            return st;
    }
    return agg_final(a->agg, n->run->o.env, cell->state, n->row_mem, out, err);
}

enum status agg_next(struct node *n, struct err *err)
{
    const struct query *q = n->plan->agg.query;
    bool pass = false;
    enum status st = ST_OK;

    if (!n->started) {
        TRY(collect(n, err));
        n->agg.at = 0;
        n->started = true;
    }
    while (!pass) {
        struct eval ev = node_eval(n);
        const struct hash_entry *e;

        if (n->agg.at == hash_count(n->agg.groups))
            return ST_NOTFOUND;
        arena_reset(n->row_mem);
        e = hash_at(n->agg.groups, n->agg.at++);
        for (size_t i = 0; i < q->n_group_keys; i++)
            n->frame->slots[q->group_slots[i]] = e->key[i];
        for (size_t i = 0; i < q->n_aggs; i++)
            TRY(finish(n, q->aggs[i], &((struct agg_cell *)e->payload)[i],
                       &n->frame->slots[q->aggs[i]->slot], err));
        TRY(bx_all_true(n->plan->filter, n->plan->n_filter, &ev, &pass, err));
    }
out:
    return st;
}
