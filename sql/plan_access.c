/* Paths to one table: which index, which part of it, in which direction. */
#include "base/check.h"
#include "sql/like.h"
#include "sql/plan_int.h"
#include "sql/row.h"

enum { IN_PRODUCT_MAX = 4096 };

/* Types of one class have one key code: a value of one can be sought among values of another. */
enum key_class {
    CLASS_NONE,
    CLASS_BOOL,
    CLASS_INT,
    CLASS_FLOAT,
    CLASS_NUMERIC,
    CLASS_TEXT,
    CLASS_BPCHAR,
    CLASS_BYTEA,
    CLASS_TIME
};

static enum key_class class_of(enum sql_type type)
{
    switch (type) {
    case TYPE_BOOL:
        return CLASS_BOOL;
    case TYPE_INT2:
    case TYPE_INT4:
    case TYPE_INT8:
        return CLASS_INT;
    case TYPE_FLOAT4:
    case TYPE_FLOAT8:
        return CLASS_FLOAT;
    case TYPE_NUMERIC:
        return CLASS_NUMERIC;
    case TYPE_TEXT:
    case TYPE_VARCHAR:
        return CLASS_TEXT;
    case TYPE_BPCHAR:
        return CLASS_BPCHAR;
    case TYPE_BYTEA:
        return CLASS_BYTEA;
    case TYPE_TIMESTAMPTZ:
        return CLASS_TIME;
    case TYPE_UNKNOWN:
    case TYPE_COUNT:
        break;
    }
    return CLASS_NONE;
}

/* The column behind casts that keep order and key code; -1 if it is none of this relation. */
static int column_of(const struct rte *r, const struct bx *e)
{
    while (e->kind == BX_CAST && class_of(e->cast.cast->from) == class_of(e->type) &&
           e->cast.cast->from <= e->type)
        e = e->cast.arg;
    if (e->kind == BX_CAST && e->cast.cast->relabel &&
        class_of(e->cast.cast->from) == class_of(e->type))
        e = e->cast.arg;
    if (e->kind != BX_VAR || e->var.level != 0 || e->var.slot < r->slot ||
        e->var.slot >= r->slot + r->n_columns)
        return -1;
    return (int)(e->var.slot - r->slot);
}

/* What a condition says about one column. */
struct fact {
    int column;
    enum cmp_op op;
    struct bx **values;
    size_t n;
    bool is_null;
};

static bool usable_value(const struct query *q, const struct rte *r, int column, const struct bx *v,
                         uint64_t avail)
{
    return class_of(v->type) == class_of(r->types[column]) && (plan_mask(q, v) & ~avail) == 0;
}

static bool compare_fact(const struct query *q, const struct rte *r, const struct bx *e,
                         uint64_t avail, struct fact *out)
{
    enum cmp_op op = e->func.func->cmp;

    if (e->func.n != 2 || op == CMP_NONE || op == CMP_NE)
        return false;
    for (int side = 0; side < 2; side++) {
        int column = column_of(r, e->func.args[side]);

        if (column >= 0 && usable_value(q, r, column, e->func.args[1 - side], avail)) {
            *out = (struct fact){.column = column,
                                 .op = side == 0 ? op : cmp_swap(op),
                                 .values = &e->func.args[1 - side],
                                 .n = 1};
            return true;
        }
    }
    return false;
}

static bool fact_of(const struct query *q, const struct rte *r, const struct bx *e, uint64_t avail,
                    struct fact *out)
{
    if (e->kind == BX_FUNC)
        return compare_fact(q, r, e, avail, out);
    *out = (struct fact){.column = -1, .op = CMP_EQ};
    if (e->kind == BX_TEST && e->test.test == TEST_NULL && !e->test.negated) {
        out->column = column_of(r, e->test.arg);
        out->is_null = true;
    } else if (e->kind == BX_IN && !e->in.negated) {
        out->column = column_of(r, e->in.arg);
        out->values = e->in.items;
        out->n = e->in.n;
        for (size_t i = 0; out->column >= 0 && i < e->in.n; i++) {
            if (!usable_value(q, r, out->column, e->in.items[i], avail))
                return false;
        }
    }
    return out->column >= 0;
}

/* The best equality on a column: a single value goes before a list. */
static bool find_equality(const struct query *q, const struct rte *r, const struct pool *pool,
                          uint64_t avail, int column, struct fact *out, size_t *out_cond)
{
    bool found = false;

    for (size_t i = 0; i < pool->n; i++) {
        struct fact f;

        if (pool->items[i].used || !fact_of(q, r, pool->items[i].e, avail, &f) ||
            f.column != column || f.op != CMP_EQ)
            continue;
        if (found && f.n >= out->n)
            continue;
        *out = f;
        *out_cond = i;
        found = true;
    }
    return found;
}

static void find_range(const struct query *q, const struct rte *r, const struct pool *pool,
                       uint64_t avail, int column, struct access *a)
{
    for (size_t i = 0; i < pool->n; i++) {
        struct fact f;
        bool low;

        if (pool->items[i].used || !fact_of(q, r, pool->items[i].e, avail, &f) ||
            f.column != column || f.op == CMP_EQ)
            continue;
        low = f.op == CMP_GT || f.op == CMP_GE;
        if (low ? a->low != NULL : a->high != NULL)
            continue;
        if (low) {
            a->low = f.values[0];
            a->low_open = f.op == CMP_GT;
        } else {
            a->high = f.values[0];
            a->high_open = f.op == CMP_LT;
        }
        a->used[a->n_used++] = i;
    }
}

static struct bx *text_compare(struct planner *p, enum cmp_op op, struct bx *column,
                               struct bytes value)
{
    struct bx *k = arena_zalloc(p->mem, sizeof *k), *e = arena_zalloc(p->mem, sizeof *e);

    k->kind = BX_CONST;
    k->type = TYPE_TEXT;
    k->konst = (struct datum){.type = TYPE_TEXT, .s = value};
    e->kind = BX_FUNC;
    e->type = TYPE_BOOL;
    e->func.func = oper_same_type(op, TYPE_TEXT);
    e->func.n = 2;
    e->func.args = arena_alloc(p->mem, 2 * sizeof *e->func.args);
    e->func.args[0] = column;
    e->func.args[1] = k;
    return e;
}

/* column LIKE 'abc%' lies in ['abc', 'abd'). */
static void find_prefix(struct planner *p, const struct rte *r, const struct pool *pool, int column,
                        struct access *a)
{
    for (size_t i = 0; i < pool->n && a->low == NULL && a->high == NULL; i++) {
        const struct bx *e = pool->items[i].e;
        struct buf end = {0};
        struct bytes prefix;
        bool exact;

        if (pool->items[i].used || e->kind != BX_FUNC || e->func.func != func_like(false, false) ||
            e->func.args[1]->kind != BX_CONST || e->func.args[1]->konst.null ||
            column_of(r, e->func.args[0]) != column || class_of(r->types[column]) != CLASS_TEXT)
            continue;
        prefix = like_prefix(e->func.args[1]->konst.s, '\\', p->mem, &exact);
        buf_put(&end, prefix.ptr, prefix.len);
        if (prefix.len > 0 && key_prefix_end(&end)) {
            a->derived[0] = text_compare(p, CMP_GE, e->func.args[0], prefix);
            a->derived[1] =
                text_compare(p, CMP_LT, e->func.args[0], arena_copy(p->mem, buf_bytes(&end)));
            a->n_derived = 2;
            a->low = a->derived[0]->func.args[1];
            a->high = a->derived[1]->func.args[1];
            a->high_open = true;
        }
        buf_fini(&end);
    }
}

/* Parts in the order in which entries really stand: a non-unique index goes on with the primary key. */
static size_t effective_parts(const struct table *t, const struct index *ix, struct index_part *out)
{
    size_t n = 0;

    for (size_t i = 0; i < ix->n_parts; i++)
        out[n++] = ix->parts[i];
    for (size_t i = 0; !ix->primary && !ix->unique && i < t->indexes[0].n_parts; i++)
        out[n++] = t->indexes[0].parts[i];
    return n;
}

static bool fixed_column(const struct access *a, int column)
{
    for (size_t i = 0; i < a->n_parts; i++) {
        if (a->index->parts[i].column == column && (a->parts[i].n == 1 || a->parts[i].is_null))
            return true;
    }
    return false;
}

/* Does the path give rows in the wanted order, forwards or backwards? */
static bool gives_order(const struct rte *r, const struct wanted_order *order,
                        const struct access *a, bool *out_reverse)
{
    struct index_part parts[2 * CATALOG_KEY_PARTS_MAX];
    size_t n_parts = effective_parts(r->table, a->index, parts), p = 0;
    bool decided = false;

    *out_reverse = false;
    if (order->n == 0)
        return false;
    if (a->point && a->rows <= 1)
        return true;
    for (size_t i = 0; i < order->n; i++) {
        const struct order_item *o = &order->items[i];
        const struct bx *e = order->exprs[o->target];
        int column = e->kind == BX_VAR ? column_of(r, e) : -1;

        if (column < 0)
            return false;
        if (fixed_column(a, column))
            continue;
        while (p < n_parts && fixed_column(a, parts[p].column))
            p++;
        if (p == n_parts)
            return a->index->primary; /* whole key: later items decide nothing */
        if (parts[p].column != column ||
            (o->nulls_first != o->desc && !r->table->columns[column].not_null))
            return false;
        if (decided && *out_reverse != (o->desc != (parts[p].dir == KEY_DESC)))
            return false;
        *out_reverse = o->desc != (parts[p].dir == KEY_DESC);
        decided = true;
        p++;
    }
    return true;
}

static bool covers(const struct rte *r, const struct index *ix)
{
    for (uint16_t c = 0; c < r->n_columns; c++) {
        if (r->want[c] && !row_index_covers(r->table, ix, c))
            return false;
    }
    return true;
}

static void rate(const struct rte *r, const struct wanted_order *order, struct access *a)
{
    const struct index *ix = a->index;
    bool whole = a->n_parts == ix->n_parts;
    double n = 1, rows = GUESS_TABLE_ROWS;
    bool any_null = false;

    for (size_t i = 0; i < a->n_parts; i++) {
        n *= a->parts[i].is_null ? 1 : (double)a->parts[i].n;
        any_null |= a->parts[i].is_null;
        rows *= GUESS_EQ;
    }
    if (a->low != NULL || a->high != NULL)
        rows *= a->low != NULL && a->high != NULL ? GUESS_RANGE_BOTH : GUESS_RANGE_ONE;
    a->point = whole && ix->unique && !any_null;
    if (rows < 2)
        rows = 2;
    a->rows = a->point ? n : rows * n;
    a->index_only = !ix->primary && covers(r, ix);
    a->cost = a->rows * (ix->primary || a->index_only ? 1 : GUESS_FETCH);
    /* Entries are narrower than rows, but a whole index is only read if nothing else speaks for the table. */
    if (!ix->primary && a->index_only)
        a->cost *= 1.01;
    a->ordered = gives_order(r, order, a, &a->reverse);
    if (order->n > 0 && a->ordered && order->limited)
        a->cost *= GUESS_LIMIT_FACTOR;
    else if (order->n > 0 && !a->ordered)
        a->cost *= 1.3;
}

static void try_index(struct planner *p, const struct query *q, const struct rte *r,
                      const struct index *ix, const struct pool *pool, uint64_t avail,
                      const struct wanted_order *order, struct access *a)
{
    size_t product = 1;

    *a = (struct access){.index = ix};
    for (size_t i = 0; i < ix->n_parts; i++) {
        struct fact f;
        size_t cond;

        if (!find_equality(q, r, pool, avail, ix->parts[i].column, &f, &cond) ||
            (!f.is_null && product * f.n > IN_PRODUCT_MAX)) {
            find_range(q, r, pool, avail, ix->parts[i].column, a);
            find_prefix(p, r, pool, ix->parts[i].column, a);
            break;
        }
        if (!f.is_null)
            product *= f.n;
        a->parts[i] = (struct scan_part){f.values, f.n, f.is_null};
        a->used[a->n_used++] = cond;
        a->n_parts++;
    }
    rate(r, order, a);
}

void access_choose(struct planner *p, const struct query *q, unsigned rte, const struct pool *pool,
                   uint64_t avail, const struct wanted_order *order, struct access *out)
{
    const struct rte *r = q->rtes[rte];

    for (size_t i = 0; i < r->table->n_indexes; i++) {
        struct access a;

        if (r->table->indexes[i].state != INDEX_PUBLIC)
            continue;
        try_index(p, q, r, &r->table->indexes[i], pool, avail & ~(UINT64_C(1) << rte), order, &a);
        if (i == 0 || a.cost < out->cost)
            *out = a;
    }
}

/* What must be decoded from an entry: all that is wanted, or what leads to the row. */
static bool *entry_columns(struct planner *p, const struct rte *r, const struct access *a)
{
    bool *want = arena_zalloc(p->mem, r->n_columns + 1);

    for (uint16_t c = 0; c < r->n_columns; c++) {
        if (a->index->primary || a->index_only)
            want[c] = r->want[c];
        else
            want[c] = table_column_in_pk(r->table, c);
    }
    return want;
}

struct early {
    const struct rte *r;
    const struct index *ix;
    bool *want;
    bool good;
};

/* Columns of the entry and values that stand still; nothing that asks the key space again or changes as it is asked. */
static void note_early(void *arg, const struct bx *e, unsigned level)
{
    struct early *a = arg;

    (void)level;
    if (e->kind == BX_SUBQUERY ||
        (e->kind == BX_FUNC && e->func.func->volatility == FUNC_VOLATILE)) {
        a->good = false;
    } else if (e->kind == BX_VAR && e->var.level == 0 && e->var.slot >= a->r->slot &&
               e->var.slot < a->r->slot + a->r->n_columns) {
        uint16_t column = (uint16_t)(e->var.slot - a->r->slot);

        a->good = a->good && row_index_covers(a->r->table, a->ix, column);
        a->want[column] = true;
    }
}

/* Only the first ones: a condition must not be asked of a row that one before it has sorted out. */
void access_split_filters(struct planner *p, struct plan *scan)
{
    const struct rte *r = scan->scan.rte;
    struct early a = {.r = r, .ix = scan->scan.index, .good = true};

    scan->scan.n_early = 0;
    scan->scan.early_want = arena_zalloc(p->mem, r->n_columns + 1);
    if (scan->scan.point)
        return;
    for (size_t i = 0; i < scan->n_filter; i++) {
        a.want = arena_alloc(p->mem, r->n_columns + 1);
        memcpy(a.want, scan->scan.early_want, r->n_columns + 1);
        bx_walk(scan->filter[i], note_early, &a);
        if (!a.good)
            return;
        scan->scan.early_want = a.want;
        scan->scan.n_early = i + 1;
    }
}

struct plan *access_plan(struct planner *p, const struct query *q, unsigned rte, struct pool *pool,
                         uint64_t avail, const struct access *a)
{
    const struct rte *r = q->rtes[rte];
    struct plan *n = plan_new(p, PLAN_SCAN);

    n->rows = a->rows;
    n->scan.rte = r;
    n->scan.index = a->index;
    n->scan.n_parts = a->n_parts;
    n->scan.parts = arena_alloc(p->mem, (a->n_parts + 1) * sizeof *n->scan.parts);
    memcpy(n->scan.parts, a->parts, a->n_parts * sizeof *n->scan.parts);
    n->scan.low = a->low;
    n->scan.high = a->high;
    n->scan.low_open = a->low_open;
    n->scan.high_open = a->high_open;
    n->scan.point = a->point;
    n->scan.index_only = a->index_only;
    n->scan.reverse = a->reverse;
    n->scan.lock = r->lock;
    n->scan.entry_want = entry_columns(p, r, a);
    n->scan.conds = arena_alloc(p->mem, (a->n_used + a->n_derived + 1) * sizeof *n->scan.conds);
    for (size_t i = 0; i < a->n_used; i++) {
        n->scan.conds[n->scan.n_conds++] = pool->items[a->used[i]].e;
        pool->items[a->used[i]].used = true;
    }
    for (size_t i = 0; i < a->n_derived; i++)
        n->scan.conds[n->scan.n_conds++] = a->derived[i];
    plan_take_filters(p, pool, avail | UINT64_C(1) << rte, n);
    return n;
}
