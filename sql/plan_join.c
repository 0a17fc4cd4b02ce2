/*
 * Order and kind of joins. Inner joins of a block are one list: the relation with the fewest expected rows comes
 * first, then, one at a time, the one that is cheapest to add: by index lookup for each row so far, or
 * by a hash of its own rows. Outer joins stay where they were written.
 */
#include "sql/plan_int.h"

static const struct wanted_order no_order = {.n = 0};

struct unit {
    const struct jtree *j;
    uint64_t mask;
    uint64_t deps; /* LATERAL: relations that must come first */
    bool placed;
};

struct joined {
    struct plan *plan; /* NULL: nothing yet */
    uint64_t mask;
};

static uint64_t jtree_mask(const struct jtree *j)
{
    uint64_t mask = 0;

    if (j->kind == JTREE_RTE)
        return UINT64_C(1) << j->rte;
    for (size_t i = 0; i < j->n_parts; i++)
        mask |= jtree_mask(j->parts[i]);
    return mask;
}

static uint64_t jtree_deps(const struct query *q, const struct jtree *j)
{
    uint64_t deps = 0;

    if (j->kind == JTREE_RTE)
        return q->rtes[j->rte]->deps;
    for (size_t i = 0; i < j->n_parts; i++)
        deps |= jtree_deps(q, j->parts[i]);
    return deps & ~jtree_mask(j);
}

static enum status plan_jtree(struct planner *p, const struct query *q, const struct jtree *j,
                              struct pool *pool, uint64_t avail, const struct wanted_order *order,
                              struct plan **out, bool *out_ordered);

/* A relation by itself. */
static enum status plan_rte(struct planner *p, const struct query *q, unsigned rte,
                            struct pool *pool, uint64_t avail, const struct wanted_order *order,
                            struct plan **out, bool *out_ordered)
{
    struct rte *r = q->rtes[rte];
    struct access a;
    struct plan *n = NULL;

    *out_ordered = false;
    switch (r->kind) {
    case RTE_TABLE:
        access_choose(p, q, rte, pool, avail, order, &a);
        *out_ordered = a.ordered;
        *out = access_plan(p, q, rte, pool, avail, &a);
        return ST_OK;
    case RTE_QUERY: {
        struct block_plan *block;
        enum status st = plan_block(p, r->query, &block);

        if (st != ST_OK)
            return st;
        n = plan_new(p, PLAN_QUERY);
        n->query.rte = r;
        n->query.block = block;
        n->rows = block->root->rows;
        break;
    }
    case RTE_SERIES:
    case RTE_VIRTUAL:
        n = plan_new(p, r->kind == RTE_SERIES ? PLAN_SERIES : PLAN_VIRTUAL);
        n->rel.rte = r;
        n->rows = 100;
        break;
    }
    plan_take_filters(p, pool, avail | UINT64_C(1) << rte, n);
    *out = n;
    return ST_OK;
}

static void add_slot(struct planner *p, struct slot_set *s, unsigned slot)
{
    if ((s->n & (s->n - 1)) == 0) {
        unsigned *grown = arena_alloc(p->mem, (s->n == 0 ? 1 : s->n * 2) * sizeof *grown);

        if (s->n > 0)
            memcpy(grown, s->slots, s->n * sizeof *grown);
        s->slots = grown;
    }
    s->slots[s->n++] = slot;
}

static struct slot_set slots_of(struct planner *p, const struct query *q, uint64_t mask)
{
    struct slot_set s = {0};

    for (size_t i = 0; i < q->n_rtes; i++) {
        if ((mask >> i & 1) == 0)
            continue;
        for (size_t c = 0; c < q->rtes[i]->n_columns; c++) {
            if (q->rtes[i]->want[c])
                add_slot(p, &s, q->rtes[i]->slot + (unsigned)c);
        }
    }
    return s;
}

/* Is the condition outer-expression = inner-expression of one type? */
static bool hash_key_of(const struct query *q, const struct bx *e, uint64_t outer, uint64_t inner,
                        struct hash_key *out)
{
    if (e->kind != BX_FUNC || e->func.func->cmp != CMP_EQ || e->func.n != 2 ||
        e->func.args[0]->type != e->func.args[1]->type)
        return false;
    for (int side = 0; side < 2; side++) {
        struct bx *o = e->func.args[side], *i = e->func.args[1 - side];
        uint64_t mo = plan_mask(q, o), mi = plan_mask(q, i);

        if (mo != 0 && mi != 0 && (mo & ~outer) == 0 && (mi & ~inner) == 0) {
            *out = (struct hash_key){o, i};
            return true;
        }
    }
    return false;
}

/* FULL and LEFT must count a row as unmatched only by the whole ON condition: filters are part of the join. */
static struct plan *make_hash_join(struct planner *p, const struct query *q, enum jtree_kind kind,
                                   struct joined *outer, struct plan *inner, uint64_t inner_mask,
                                   struct pool *pool)
{
    struct plan *n = plan_new(p, PLAN_HASHJOIN);

    n->child = outer->plan;
    n->inner = inner;
    n->join.join = kind;
    n->join.keys = arena_alloc(p->mem, (pool->n + 1) * sizeof *n->join.keys);
    for (size_t i = 0; i < pool->n; i++) {
        if (!pool->items[i].used && hash_key_of(q, pool->items[i].e, outer->mask, inner_mask,
                                                &n->join.keys[n->join.n_keys])) {
            n->join.n_keys++;
            pool->items[i].used = true;
        }
    }
    plan_take_filters(p, pool, outer->mask | inner_mask, n);
    n->join.inner_slots = slots_of(p, q, inner_mask);
    n->join.outer_slots = slots_of(p, q, outer->mask);
    n->rows = n->join.n_keys > 0
                  ? (outer->plan->rows > inner->rows ? outer->plan->rows : inner->rows)
                  : outer->plan->rows * inner->rows;
    return n;
}

static struct plan *make_nestloop(struct planner *p, const struct query *q, enum jtree_kind kind,
                                  struct joined *outer, struct plan *inner, uint64_t inner_mask)
{
    struct plan *n = plan_new(p, PLAN_NESTLOOP);

    n->child = outer->plan;
    n->inner = inner;
    n->join.join = kind;
    n->join.inner_slots = slots_of(p, q, inner_mask);
    n->rows = outer->plan->rows * (inner->rows < 1 ? 1 : inner->rows);
    return n;
}

/* True if an index of the unit, sought with values of the rows so far, beats reading it as a whole. */
static bool prefer_lookup(struct planner *p, const struct query *q, const struct joined *outer,
                          const struct unit *u, const struct pool *pool, struct access *out)
{
    struct access alone;

    if (u->j->kind != JTREE_RTE || q->rtes[u->j->rte]->kind != RTE_TABLE)
        return false;
    access_choose(p, q, u->j->rte, pool, outer->mask, &no_order, out);
    access_choose(p, q, u->j->rte, pool, 0, &no_order, &alone);
    if (out->n_used == alone.n_used && out->cost >= alone.cost)
        return false;
    return outer->plan->rows * (GUESS_LOOKUP + out->cost) < alone.cost + outer->plan->rows * 0.2;
}

static enum status join_unit(struct planner *p, const struct query *q, enum jtree_kind kind,
                             struct joined *outer, const struct unit *u, struct pool *pool)
{
    struct plan *inner;
    struct access a;
    bool ordered;
    enum status st = ST_OK;

    if ((u->deps & outer->mask) != 0) {
        TRY(plan_jtree(p, q, u->j, pool, outer->mask, &no_order, &inner, &ordered));
        outer->plan = make_nestloop(p, q, kind, outer, inner, u->mask);
    } else if (kind != JTREE_FULL && prefer_lookup(p, q, outer, u, pool, &a)) {
        inner = access_plan(p, q, u->j->rte, pool, outer->mask, &a);
        outer->plan = make_nestloop(p, q, kind, outer, inner, u->mask);
    } else {
        if (kind == JTREE_FULL) {
            struct pool none = {0};

            TRY(plan_jtree(p, q, u->j, &none, 0, &no_order, &inner, &ordered));
        } else {
            TRY(plan_jtree(p, q, u->j, pool, 0, &no_order, &inner, &ordered));
        }
        outer->plan = make_hash_join(p, q, kind, outer, inner, u->mask, pool);
    }
    outer->mask |= u->mask;
out:
    return st;
}

/* Inner joins */

static void flatten(struct planner *p, const struct query *q, const struct jtree *j,
                    struct unit *units, size_t *n, struct pool *pool)
{
    if (j->kind != JTREE_INNER) {
        units[(*n)++] = (struct unit){j, jtree_mask(j), jtree_deps(q, j), false};
        return;
    }
    for (size_t i = 0; i < j->n_conds; i++)
        pool_add(p, pool, q, j->conds[i]);
    for (size_t i = 0; i < j->n_parts; i++)
        flatten(p, q, j->parts[i], units, n, pool);
}

static double alone_rows(struct planner *p, const struct query *q, const struct unit *u,
                         const struct pool *pool)
{
    struct access a;
    double rows;

    if (u->j->kind != JTREE_RTE || q->rtes[u->j->rte]->kind != RTE_TABLE)
        return u->j->kind == JTREE_RTE ? 100 : GUESS_TABLE_ROWS;
    access_choose(p, q, u->j->rte, pool, 0, &no_order, &a);
    rows = a.rows;
    for (size_t i = 0; i < pool->n; i++) {
        bool answered = false;

        for (size_t k = 0; k < a.n_used; k++)
            answered |= a.used[k] == i;
        if (!answered && !pool->items[i].used && pool->items[i].mask == u->mask)
            rows *= GUESS_FILTER;
    }
    return rows;
}

/* How good it is to add the unit now: lookups by index first, then equalities, then small ones. */
static double join_rank(struct planner *p, const struct query *q, const struct joined *outer,
                        const struct unit *u, const struct pool *pool)
{
    double rows = alone_rows(p, q, u, pool);
    struct hash_key key;
    struct access a;
    bool linked = false;

    if (u->j->kind == JTREE_RTE && q->rtes[u->j->rte]->kind == RTE_TABLE) {
        access_choose(p, q, u->j->rte, pool, outer->mask, &no_order, &a);
        if (a.point)
            return 1;
    }
    for (size_t i = 0; i < pool->n && !linked; i++)
        linked =
            !pool->items[i].used && hash_key_of(q, pool->items[i].e, outer->mask, u->mask, &key);
    return linked ? rows : rows * GUESS_TABLE_ROWS;
}

static struct unit *choose(struct planner *p, const struct query *q, const struct joined *outer,
                           struct unit *units, size_t n, const struct pool *pool)
{
    struct unit *best = NULL;
    double best_rank = 0;

    for (size_t i = 0; i < n; i++) {
        double rank;

        if (units[i].placed || (units[i].deps & ~outer->mask) != 0)
            continue;
        rank = outer->plan == NULL ? alone_rows(p, q, &units[i], pool)
                                   : join_rank(p, q, outer, &units[i], pool);
        if (best == NULL || rank < best_rank) {
            best = &units[i];
            best_rank = rank;
        }
    }
    return best;
}

static enum status plan_inner(struct planner *p, const struct query *q, const struct jtree *j,
                              struct pool *pool, uint64_t avail, const struct wanted_order *order,
                              struct plan **out, bool *out_ordered)
{
    struct unit *units = arena_alloc(p->mem, (q->n_rtes + 1) * sizeof *units);
    struct joined joined = {0};
    size_t n = 0;
    enum status st = ST_OK;

    flatten(p, q, j, units, &n, pool);
    *out_ordered = false;
    for (size_t i = 0; i < n; i++) {
        struct unit *u = choose(p, q, &joined, units, n, pool);

        if (u == NULL)
            return err_set(p->err, ST_REJECT, SQLSTATE_FEATURE_NOT_SUPPORTED,
                           "this LATERAL reference is not supported");
        u->placed = true;
        if (joined.plan == NULL) {
            TRY(plan_jtree(p, q, u->j, pool, avail, order, &joined.plan, out_ordered));
            joined.mask = u->mask;
        } else {
            TRY(join_unit(p, q, JTREE_INNER, &joined, u, pool));
        }
    }
    *out = joined.plan;
out:
    return st;
}

/* LEFT and FULL: the conditions of ON decide what matches; those of WHERE may only move into the kept side of LEFT. */
static enum status plan_outer(struct planner *p, const struct query *q, const struct jtree *j,
                              struct pool *pool, uint64_t avail, const struct wanted_order *order,
                              struct plan **out, bool *out_ordered)
{
    struct joined left = {.mask = jtree_mask(j->parts[0])};
    struct unit right = {j->parts[1], jtree_mask(j->parts[1]), jtree_deps(q, j->parts[1]), false};
    struct pool on = {0}, none = {0};
    enum status st = ST_OK;

    TRY(plan_jtree(p, q, j->parts[0], j->kind == JTREE_LEFT ? pool : &none, avail, order,
                   &left.plan, out_ordered));
    if (j->kind == JTREE_FULL)
        *out_ordered = false;
    for (size_t i = 0; i < j->n_conds; i++)
        pool_add(p, &on, q, j->conds[i]);
    TRY(join_unit(p, q, j->kind, &left, &right, &on));
    for (size_t i = 0; i < on.n; i++) {
        if (!on.items[i].used)
            return err_set(p->err, ST_REJECT, SQLSTATE_FEATURE_NOT_SUPPORTED,
                           "this condition of an outer join is not supported");
    }
    *out = left.plan;
out:
    return st;
}

static enum status plan_jtree(struct planner *p, const struct query *q, const struct jtree *j,
                              struct pool *pool, uint64_t avail, const struct wanted_order *order,
                              struct plan **out, bool *out_ordered)
{
    switch (j->kind) {
    case JTREE_RTE:
        return plan_rte(p, q, j->rte, pool, avail, order, out, out_ordered);
    case JTREE_INNER:
        return plan_inner(p, q, j, pool, avail, order, out, out_ordered);
    case JTREE_LEFT:
    case JTREE_FULL:
        break;
    }
    return plan_outer(p, q, j, pool, avail, order, out, out_ordered);
}

enum status plan_from(struct planner *p, const struct query *q, const struct wanted_order *order,
                      struct plan **out, bool *out_ordered)
{
    struct pool pool = {0};
    struct plan *top;
    enum status st = ST_OK;

    *out_ordered = false;
    for (size_t i = 0; i < q->n_where; i++)
        pool_add(p, &pool, q, q->where[i]);
    if (q->from == NULL)
        *out = plan_new(p, PLAN_RESULT);
    else
        TRY(plan_jtree(p, q, q->from, &pool, 0, order, out, out_ordered));
    /* What only holds above the joins: conditions on the nullable side of an outer join. */
    top = (*out)->kind == PLAN_RESULT ? *out : plan_new(p, PLAN_FILTER);
    plan_take_filters(p, &pool, UINT64_MAX, top);
    if (top != *out && top->n_filter > 0) {
        top->child = *out;
        top->rows = (*out)->rows * GUESS_FILTER;
        *out = top;
    }
out:
    return st;
}
