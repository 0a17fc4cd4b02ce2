#include "sql/plan.h"

#include "base/check.h"
#include "sql/plan_int.h"

struct plan *plan_new(struct planner *p, enum plan_kind kind)
{
    struct plan *n = arena_zalloc(p->mem, sizeof *n);

    n->kind = kind;
    n->id = p->n_nodes++;
    n->rows = 1;
    return n;
}

struct mask_walk {
    const struct query *q;
    uint64_t mask;
};

static void add_to_mask(void *arg, const struct bx *e, unsigned level)
{
    struct mask_walk *w = arg;

    if (e->kind != BX_VAR || e->var.level != level)
        return;
    for (size_t i = 0; i < w->q->n_rtes; i++) {
        const struct rte *r = w->q->rtes[i];

        if (e->var.slot >= r->slot && e->var.slot < r->slot + r->n_columns)
            w->mask |= UINT64_C(1) << i;
    }
}

uint64_t plan_mask(const struct query *q, const struct bx *e)
{
    struct mask_walk w = {.q = q};

    if (e->kind == BX_CONST || e->kind == BX_PARAM)
        return 0;
    bx_walk(e, add_to_mask, &w);
    return w.mask;
}

void pool_add(struct planner *p, struct pool *pool, const struct query *q, struct bx *e)
{
    if (pool->n == pool->cap) {
        size_t cap = pool->cap == 0 ? 8 : pool->cap * 2;
        struct cond *grown = arena_alloc(p->mem, cap * sizeof *grown);

        if (pool->n > 0)
            memcpy(grown, pool->items, pool->n * sizeof *grown);
        pool->items = grown;
        pool->cap = cap;
    }
    pool->items[pool->n++] = (struct cond){e, plan_mask(q, e), false};
}

static void note_subquery(void *arg, const struct bx *e, unsigned level)
{
    (void)level;
    if (e->kind == BX_SUBQUERY)
        *(bool *)arg = true;
}

static bool has_subquery(const struct bx *e)
{
    bool found = false;

    bx_walk(e, note_subquery, &found);
    return found;
}

void plan_take_filters(struct planner *p, struct pool *pool, uint64_t mask, struct plan *node)
{
    struct bx **filter = arena_alloc(p->mem, (node->n_filter + pool->n + 1) * sizeof *filter);
    size_t n = node->n_filter;

    if (n > 0)
        memcpy(filter, node->filter, n * sizeof *filter);
    /* Cheap conditions first, those with subqueries last. */
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < pool->n; i++) {
            struct cond *c = &pool->items[i];

            if (c->used || (c->mask & ~mask) != 0 || has_subquery(c->e) != (pass == 1))
                continue;
            filter[n++] = c->e;
            c->used = true;
            node->rows *= GUESS_FILTER;
        }
    }
    node->filter = filter;
    node->n_filter = n;
    if (node->rows < 1)
        node->rows = 1;
    if (node->kind == PLAN_SCAN)
        access_split_filters(p, node);
}

/* Blocks */

static struct plan *over(struct planner *p, enum plan_kind kind, struct plan *child)
{
    struct plan *n = plan_new(p, kind);

    n->child = child;
    n->rows = child->rows;
    return n;
}

static struct plan *plan_group(struct planner *p, const struct query *q, struct plan *child)
{
    struct plan *n = over(p, PLAN_AGG, child);

    n->agg.query = q;
    n->rows = q->n_group_keys == 0 ? 1 : child->rows * 0.1 + 1;
    if (q->having != NULL) {
        n->filter = arena_alloc(p->mem, sizeof *n->filter);
        n->filter[0] = q->having;
        n->n_filter = 1;
    }
    return n;
}

static struct plan *plan_sort(struct planner *p, const struct query *q, struct plan *child)
{
    struct plan *n = over(p, PLAN_SORT, child);

    n->sort.items = q->order;
    n->sort.n = q->n_order;
    n->sort.out_slot = q->out_slot;
    n->sort.n_targets = q->n_targets;
    n->sort.targets = q->targets;
    return n;
}

/* ORDER BY, DISTINCT ON, LIMIT: the same above every kind of block. */
static struct plan *plan_tail(struct planner *p, const struct query *q, struct plan *root,
                              bool ordered)
{
    if (q->n_order > 0 && !ordered)
        root = plan_sort(p, q, root);
    if (q->n_distinct_on > 0) {
        root = over(p, PLAN_UNIQUE, root);
        root->distinct.out_slot = q->out_slot;
        root->distinct.n = q->n_visible;
        root->distinct.on = q->distinct_on;
        root->distinct.n_on = q->n_distinct_on;
    }
    if (q->limit != NULL || q->offset != NULL) {
        root = over(p, PLAN_LIMIT, root);
        root->limit.limit = q->limit;
        root->limit.offset = q->offset;
        if (q->limit != NULL && q->limit->kind == BX_CONST && !q->limit->konst.null &&
            (double)q->limit->konst.i < root->rows)
            root->rows = (double)q->limit->konst.i;
    }
    return root;
}

static struct plan *plan_project(struct planner *p, const struct query *q, struct plan *child)
{
    struct plan *n = over(p, PLAN_PROJECT, child);

    n->project.exprs = q->targets;
    n->project.out_slot = q->out_slot;
    n->project.n = q->n_targets;
    return n;
}

/* min(x) or max(x) alone: the first row of an index in order of x gives it. */
static const struct bx_agg *single_extreme(const struct query *q)
{
    const struct bx_agg *a = q->n_aggs == 1 ? q->aggs[0] : NULL;

    if (!q->grouped || q->n_group_keys > 0 || q->n_rtes != 1 || a == NULL ||
        !a->agg->first_of_type || a->filter != NULL || a->n_args != 1)
        return NULL;
    return a;
}

static struct plan *first_row(struct planner *p, struct plan *child)
{
    struct plan *n = over(p, PLAN_LIMIT, child);
    struct bx *one = arena_zalloc(p->mem, sizeof *one);

    one->kind = BX_CONST;
    one->type = TYPE_INT8;
    one->konst = (struct datum){.type = TYPE_INT8, .i = 1};
    n->limit.limit = one;
    n->rows = 1;
    return n;
}

static enum status plan_select(struct planner *p, const struct query *q, struct plan **out)
{
    struct wanted_order order = {
        .exprs = q->targets, .items = q->order, .limited = q->limit != NULL};
    const struct bx_agg *extreme = single_extreme(q);
    struct order_item first = {0};
    struct plan *root;
    bool ordered;
    enum status st;

    if (extreme != NULL) {
        first.desc = strcmp(extreme->agg->name, "max") == 0;
        order =
            (struct wanted_order){.exprs = extreme->args, .items = &first, .n = 1, .limited = true};
    } else if (!q->grouped && !q->distinct) {
        order.n = q->n_order;
    }
    st = plan_from(p, q, &order, &root, &ordered);
    if (st != ST_OK)
        return st;
    if (extreme != NULL && ordered)
        root = first_row(p, root);
    if (q->grouped)
        root = plan_group(p, q, root);
    root = plan_project(p, q, root);
    if (q->distinct) {
        root = over(p, PLAN_DISTINCT, root);
        root->distinct.out_slot = q->out_slot;
        root->distinct.n = q->n_visible;
    }
    *out = plan_tail(p, q, root, ordered && extreme == NULL);
    return ST_OK;
}

static enum status plan_setop(struct planner *p, const struct query *q, struct plan **out)
{
    struct plan *n = plan_new(p, PLAN_SETOP);
    enum status st = ST_OK;

    TRY(plan_block(p, q->left, &n->setop.left));
    TRY(plan_block(p, q->right, &n->setop.right));
    n->setop.op = q->setop;
    n->setop.all = q->setop_all;
    n->setop.out_slot = q->out_slot;
    n->setop.n = q->n_visible;
    n->rows = n->setop.left->root->rows + n->setop.right->root->rows;
    *out = plan_tail(p, q, n, false);
out:
    return st;
}

enum status plan_block(struct planner *p, struct query *q, struct block_plan **out)
{
    struct block_plan *block = arena_zalloc(p->mem, sizeof *block);
    enum status st = ST_OK;
    struct plan *n;

    switch (q->kind) {
    case QUERY_SELECT:
        TRY(plan_select(p, q, &block->root));
        break;
    case QUERY_VALUES:
        n = plan_new(p, PLAN_VALUES);
        n->values.query = q;
        n->rows = (double)q->n_rows;
        block->root = plan_tail(p, q, n, false);
        break;
    case QUERY_SETOP:
        TRY(plan_setop(p, q, &block->root));
        break;
    }
    block->n_slots = q->n_slots;
    block->out_slot = q->out_slot;
    block->n_out = q->n_visible;
    *out = block;
out:
    return st;
}

/* Data changes */

static bool is_excluded(const struct dml *d, uint16_t column)
{
    const struct bx *v = d->conflict_values[column];

    return v != NULL && v->kind == BX_VAR && v->var.level == 0 &&
           v->var.slot == d->new_slot + column;
}

/* An upsert that replaces every column by the proposed row writes the same bytes whether the row was there or not:
 * it need not look. */
static bool blind_upsert(const struct dml *d)
{
    if (d->kind != DML_INSERT || d->conflict != CONFLICT_UPDATE || d->returning ||
        d->conflict_where != NULL || d->table->n_indexes != 1 ||
        d->arbiter != &d->table->indexes[0] || d->source == NULL || d->source->n_rows != 1)
        return false;
    for (uint16_t c = 0; c < d->table->n_columns; c++) {
        bool pk = table_column_in_pk(d->table, c);

        if (pk ? d->conflict_values[c] != NULL && !is_excluded(d, c) : !is_excluded(d, c))
            return false;
    }
    return true;
}

static bool single_point(const struct plan *n)
{
    if (n->kind != PLAN_SCAN || !n->scan.point)
        return false;
    for (size_t i = 0; i < n->scan.n_parts; i++) {
        if (n->scan.parts[i].n != 1)
            return false;
    }
    return true;
}

static enum status plan_dml(struct planner *p, const struct dml *d, struct block_plan **out)
{
    struct wanted_order none = {.n = 0};
    struct block_plan *block = arena_zalloc(p->mem, sizeof *block);
    struct plan *n = plan_new(p, PLAN_DML);
    bool ordered;
    enum status st = ST_OK;

    n->dml.dml = d;
    if (d->kind == DML_INSERT) {
        if (d->source != NULL)
            TRY(plan_block(p, d->source, &n->dml.source));
        n->dml.blind = blind_upsert(d);
    } else {
        TRY(plan_from(p, d->query, &none, &n->child, &ordered));
        n->dml.in_place = single_point(n->child);
        n->rows = n->child->rows;
    }
    for (uint16_t c = 0; d->kind == DML_UPDATE && c < d->table->n_columns; c++)
        n->dml.pk_changes |= d->values[c] != NULL && table_column_in_pk(d->table, c);
    block->root = n;
    block->n_slots = d->query->n_slots;
    block->out_slot = d->query->out_slot;
    block->n_out = d->query->n_visible;
    *out = block;
out:
    return st;
}

enum status plan_stmt(const struct plan_options *opts, const struct bound *b,
                      struct statement_plan *out, struct err *err)
{
    struct planner p = {.opts = opts, .mem = opts->mem, .err = err};
    enum status st = ST_OK;

    if (b->dml != NULL)
        TRY(plan_dml(&p, b->dml, &out->root));
    else
        TRY(plan_block(&p, b->query, &out->root));
    for (unsigned i = 0; i < b->n_subqueries; i++)
        TRY(plan_block(&p, b->subqueries[i]->query, &b->subqueries[i]->plan));
    out->n_nodes = p.n_nodes;
    out->writes = b->dml != NULL;
out:
    return st;
}
