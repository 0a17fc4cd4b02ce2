/*
 * Grouping. Aggregation takes the rows of a block and gives rows of group keys and aggregate results in the same
 * frame. A key that is a plain column comes back into the column's own slot, so that correlated subqueries find
 * it there; other keys and all results get slots of their own. This pass replaces what stands above the
 * aggregation by these slots, and refuses columns that a group does not determine (42803).
 */
#include "base/check.h"
#include "sql/bind_int.h"

struct regroup {
    struct binder *b;
    struct query *q;
    unsigned first_slot; /* slots from here on are made by the aggregation */
    unsigned level;      /* how many blocks further in than q's expressions we look */
    enum status st;
    struct err *err;
};

static struct rte *rte_of_slot(const struct query *q, unsigned slot)
{
    for (size_t i = 0; i < q->n_rtes; i++) {
        if (slot >= q->rtes[i]->slot && slot < q->rtes[i]->slot + q->rtes[i]->n_columns)
            return q->rtes[i];
    }
    return NULL;
}

static bool is_key_slot(const struct query *q, unsigned slot)
{
    for (size_t i = 0; i < q->n_group_keys; i++) {
        if (q->group_keys[i]->kind == BX_VAR && q->group_keys[i]->var.level == 0 &&
            q->group_keys[i]->var.slot == slot)
            return true;
    }
    return false;
}

/* All parts of the table's primary key are group keys: they determine the rest of its row. */
static bool determined_by_keys(const struct query *q, const struct rte *r)
{
    const struct index *pk;

    if (r == NULL || r->table == NULL)
        return false;
    pk = &r->table->indexes[0];
    for (size_t i = 0; i < pk->n_parts; i++) {
        if (!is_key_slot(q, r->slot + pk->parts[i].column))
            return false;
    }
    return true;
}

static void add_key(struct regroup *g, struct bx *key, unsigned slot)
{
    struct query *q = g->q;
    unsigned *slots = arena_alloc(g->b->mem, (q->n_group_keys + 1) * sizeof *slots);

    if (q->n_group_keys > 0)
        memcpy(slots, q->group_slots, q->n_group_keys * sizeof *slots);
    slots[q->n_group_keys] = slot;
    q->group_slots = slots;
    bx_append(g->b, &q->group_keys, &q->n_group_keys, key);
}

static bool check_var(struct regroup *g, const struct bx *e)
{
    struct query *q = g->q;
    struct rte *r;

    if (e->var.level != g->level || e->var.slot >= g->first_slot || is_key_slot(q, e->var.slot))
        return true;
    r = rte_of_slot(q, e->var.slot);
    if (determined_by_keys(q, r)) {
        add_key(g, bx_var(g->b, 0, e->var.slot, e->type, e->typmod, e->var.table, e->var.name),
                e->var.slot);
        return true;
    }
    if (g->level == 0)
        g->st = err_set(g->err, ST_REJECT, SQLSTATE_GROUPING_ERROR,
                        "column \"%s.%s\" must appear in the GROUP BY clause or be used in an "
                        "aggregate function",
                        e->var.table != NULL ? e->var.table : "?",
                        e->var.name != NULL ? e->var.name : "?");
    else
        g->st = err_set(g->err, ST_REJECT, SQLSTATE_GROUPING_ERROR,
                        "subquery uses ungrouped column \"%s.%s\" from outer query",
                        e->var.table != NULL ? e->var.table : "?",
                        e->var.name != NULL ? e->var.name : "?");
    if (g->err != NULL)
        (void)err_position(g->err, e->pos);
    return false;
}

/* Below a subquery nothing is replaced, only looked at. */
static void check_inner(void *arg, const struct bx *e, unsigned level)
{
    struct regroup *g = arg;

    if (e->kind == BX_VAR && level > 0 && g->st == ST_OK) {
        g->level = level;
        (void)check_var(g, e);
        g->level = 0;
    }
}

static bool replace(void *arg, struct bx **child)
{
    struct regroup *g = arg;
    struct query *q = g->q;
    struct bx *e = *child;

    for (size_t i = 0; i < q->n_group_keys; i++) {
        if (e->kind != BX_CONST && bx_equal(e, q->group_keys[i])) {
            if (e->kind != BX_VAR)
                *child = bx_var(g->b, 0, q->group_slots[i], e->type, e->typmod, NULL, NULL);
            return true;
        }
    }
    if (e->kind == BX_AGG) {
        *child = bx_var(g->b, 0, e->agg->slot, e->type, e->typmod, NULL, e->agg->agg->name);
        return true;
    }
    if (e->kind == BX_VAR)
        return check_var(g, e);
    if (e->kind == BX_SUBQUERY)
        bx_walk(e, check_inner, g);
    return g->st == ST_OK && bx_each(e, replace, g);
}

enum status bind_grouping(struct binder *b, struct block *k, struct err *err)
{
    struct query *q = k->query;
    struct regroup g = {.b = b, .q = q, .st = ST_OK, .err = err, .first_slot = q->n_slots};

    q->group_slots = arena_alloc(b->mem, (q->n_group_keys + 1) * sizeof *q->group_slots);
    for (size_t i = 0; i < q->n_group_keys; i++) {
        struct bx *key = q->group_keys[i];

        q->group_slots[i] =
            key->kind == BX_VAR && key->var.level == 0 ? key->var.slot : query_slots(q, 1);
    }
    for (size_t i = 0; i < q->n_aggs; i++)
        q->aggs[i]->slot = query_slots(q, 1);
    for (size_t i = 0; i < q->n_targets; i++) {
        if (!replace(&g, &q->targets[i]))
            return g.st;
    }
    if (q->having != NULL && !replace(&g, &q->having))
        return g.st;
    return ST_OK;
}
