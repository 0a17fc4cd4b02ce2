/* Calls: aggregates, functions, subqueries. */
#include "base/check.h"
#include "sql/bind_int.h"

static enum status at(struct err *err, int pos)
{
    return err != NULL ? err_position(err, pos) : ST_REJECT;
}

/* Aggregates */

static enum status agg_place(const struct block *k, const struct expr *e, struct err *err)
{
    static const char *const where[] = {[CLAUSE_WHERE] = "WHERE",
                                        [CLAUSE_ON] = "JOIN conditions",
                                        [CLAUSE_GROUP] = "GROUP BY",
                                        [CLAUSE_LIMIT] = "LIMIT",
                                        [CLAUSE_VALUES] = "VALUES",
                                        [CLAUSE_SET] = "UPDATE",
                                        [CLAUSE_RETURNING] = "RETURNING",
                                        [CLAUSE_DEFAULT] = "DEFAULT expressions",
                                        [CLAUSE_FROM] = "functions in FROM",
                                        [CLAUSE_TARGET] = NULL,
                                        [CLAUSE_HAVING] = NULL,
                                        [CLAUSE_ORDER] = NULL};

    if (k->in_agg)
        (void)err_set(err, ST_REJECT, SQLSTATE_GROUPING_ERROR,
                      "aggregate function calls cannot be nested");
    else if (where[k->clause] != NULL)
        (void)err_set(err, ST_REJECT, SQLSTATE_GROUPING_ERROR,
                      "aggregate functions are not allowed in %s", where[k->clause]);
    else
        return ST_OK;
    return at(err, e->pos);
}

static bool same_agg(const struct bx_agg *a, const struct bx_agg *b)
{
    if (a->agg != b->agg || a->n_args != b->n_args || a->distinct != b->distinct ||
        a->n_order != 0 || b->n_order != 0 || (a->filter == NULL) != (b->filter == NULL))
        return false;
    for (size_t i = 0; i < a->n_args; i++) {
        if (!bx_equal(a->args[i], b->args[i]))
            return false;
    }
    return a->filter == NULL || bx_equal(a->filter, b->filter);
}

/* The query's own list of aggregates; equal calls are computed once. */
static struct bx_agg *remember_agg(struct binder *b, struct query *q, struct bx_agg *a)
{
    struct bx_agg **grown;

    for (size_t i = 0; i < q->n_aggs; i++) {
        if (same_agg(q->aggs[i], a))
            return q->aggs[i];
    }
    grown = arena_alloc(b->mem, (q->n_aggs + 1) * sizeof *grown);
    if (q->n_aggs > 0)
        memcpy(grown, q->aggs, q->n_aggs * sizeof *grown);
    grown[q->n_aggs++] = a;
    q->aggs = grown;
    q->grouped = true;
    return a;
}

static enum status agg_order(struct binder *b, struct block *k, const struct sort_list *list,
                             struct bx_agg *a, struct err *err)
{
    a->order = arena_alloc(b->mem, (list->n + 1) * sizeof *a->order);
    for (size_t i = 0; i < list->n; i++) {
        const struct sort_item *s = &list->items[i];
        enum status st = bind_expr(b, k, s->expr, &a->order[i].key, err);

        if (st == ST_OK)
            st = settle_unknown(b, a->order[i].key, &a->order[i].key, err);
        if (st != ST_OK)
            return st;
        a->order[i].desc = s->desc;
        a->order[i].nulls_first = s->nulls == NULLS_DEFAULT ? s->desc : s->nulls == NULLS_FIRST;
    }
    a->n_order = list->n;
    return ST_OK;
}

static enum status bind_agg(struct binder *b, struct block *k, const struct expr *e,
                            struct bx **out, struct err *err)
{
    const struct expr_func *f = &e->func;
    struct bx_agg *a = arena_zalloc(b->mem, sizeof *a);
    enum sql_type types[AGG_ARGS_MAX + 2];
    struct bx *x;
    enum status st = ST_OK;

    TRY(agg_place(k, e, err));
    if (f->within_group || f->variadic || f->args.n > AGG_ARGS_MAX)
        return bind_unsupported(err, e->pos, "this form of aggregate call");
    k->in_agg = true;
    TRY(bind_items(b, k, &f->args, &a->args, err));
    a->n_args = f->args.n;
    for (size_t i = 0; i < a->n_args; i++)
        types[i] = a->args[i]->type;
    TRY(agg_resolve(f->schema, f->name, f->star, types, a->n_args, e->pos, &a->agg, err));
    for (size_t i = 0; i < a->n_args; i++) {
        if (a->agg->args[i] == FUNC_ANY)
            TRY(settle_unknown(b, a->args[i], &a->args[i], err));
        else
            TRY(coerce(b, a->args[i], a->agg->args[i], CAST_IMPLICIT, &a->args[i], err));
    }
    if (f->filter != NULL)
        TRY(bind_condition(b, k, f->filter, "FILTER", &a->filter, err));
    TRY(agg_order(b, k, &f->order_by, a, err));
    a->distinct = f->distinct;
    a->ast = e;
    x = bx_new(b, BX_AGG, a->agg->result, e->pos);
    /* min and max of a type that has no variant of its own give back the type that went in. */
    if (a->agg->result == FUNC_ANY && a->n_args > 0)
        x->type = a->args[0]->type;
    x->agg = remember_agg(b, k->query, a);
    *out = x;
out:
    k->in_agg = false;
    return st;
}

enum status bind_func(struct binder *b, struct block *k, const struct expr *e, struct bx **out,
                      struct err *err)
{
    const struct expr_func *f = &e->func;
    const struct func *func;
    enum sql_type *types;
    struct bx **args;
    enum status st = ST_OK;

    if (f->over != NULL)
        return bind_unsupported(err, e->pos, "a window function");
    if (agg_exists(f->schema, f->name))
        return bind_agg(b, k, e, out, err);
    if (f->star || f->distinct || f->filter != NULL || f->order_by.n > 0) {
        const char *form = f->star       ? "(*)"
                           : f->distinct ? "DISTINCT"
                           : f->filter   ? "FILTER"
                                         : "ORDER BY";

        if (func_exists(f->schema, f->name))
            (void)err_set(err, ST_REJECT, SQLSTATE_WRONG_OBJECT_TYPE,
                          "%s specified, but %s is not an aggregate function", form, f->name);
        else
            (void)err_set(err, ST_REJECT, SQLSTATE_UNDEFINED_FUNCTION, "function %s does not exist",
                          f->name);
        return at(err, e->pos);
    }
    TRY(bind_items(b, k, &f->args, &args, err));
    types = arena_alloc(b->mem, (f->args.n + 1) * sizeof *types);
    for (size_t i = 0; i < f->args.n; i++)
        types[i] = args[i]->type;
    TRY(func_resolve(f->schema, f->name, types, f->args.n, e->pos, &func, err));
    TRY(bind_func_call(b, func, args, f->args.n, e->pos, out, err));
out:
    return st;
}

/* Subqueries */

static enum status subquery_width(const struct expr *e, size_t want, size_t have, struct err *err)
{
    if (want == have)
        return ST_OK;
    if (e->subquery.sub == SUBQUERY_SCALAR)
        (void)err_set(err, ST_REJECT, SQLSTATE_SYNTAX_ERROR,
                      "subquery must return only one column");
    else
        (void)err_set(err, ST_REJECT, SQLSTATE_SYNTAX_ERROR, "subquery has too %s columns",
                      have > want ? "many" : "few");
    return at(err, e->pos);
}

/* left[i] op column i of the subquery. */
static enum status subquery_compare(struct binder *b, struct subquery *s, const char *op, int pos,
                                    struct err *err)
{
    size_t n = s->n_left;
    const struct func **cmp = arena_alloc(b->mem, n * sizeof *cmp);
    struct bx **right = arena_alloc(b->mem, n * sizeof *right);
    enum status st = ST_OK;

    s->hashable = true;
    for (size_t i = 0; i < n; i++) {
        struct bx *column = s->query->out_vars[i];

        TRY(coerce(b, s->left[i], s->left[i]->type, CAST_IMPLICIT, &s->left[i], err));
        TRY(oper_resolve(NULL, op, s->left[i]->type, column->type, pos, &cmp[i], err));
        TRY(coerce(b, s->left[i], func_arg_type(cmp[i], 0), CAST_IMPLICIT, &s->left[i], err));
        TRY(coerce(b, column, func_arg_type(cmp[i], 1), CAST_IMPLICIT, &right[i], err));
        s->hashable &= cmp[i]->cmp == CMP_EQ && s->left[i]->type == right[i]->type;
    }
    s->cmp = cmp;
    s->right = right;
out:
    return st;
}

static enum status bind_left_side(struct binder *b, struct block *k, const struct expr *left,
                                  struct subquery *s, struct err *err)
{
    struct expr *one = (struct expr *)(uintptr_t)left;
    struct expr_list list = {&one, 1};

    if (left->kind == EXPR_ROW)
        list = left->list;
    s->n_left = list.n;
    return bind_items(b, k, &list, &s->left, err);
}

static void remember_subquery(struct binder *b, struct subquery *s)
{
    struct bound *o = b->out;

    if (o->n_subqueries == b->cap_subqueries) {
        size_t cap = b->cap_subqueries == 0 ? 8 : b->cap_subqueries * 2;
        struct subquery **grown = arena_alloc(b->mem, cap * sizeof *grown);

        if (o->n_subqueries > 0)
            memcpy(grown, o->subqueries, o->n_subqueries * sizeof *grown);
        o->subqueries = grown;
        b->cap_subqueries = cap;
    }
    s->id = o->n_subqueries;
    o->subqueries[o->n_subqueries++] = s;
}

enum status bind_subquery(struct binder *b, struct block *k, const struct expr *e, struct bx **out,
                          struct err *err)
{
    struct subquery *s = arena_zalloc(b->mem, sizeof *s);
    const char *op = e->subquery.sub == SUBQUERY_IN ? "=" : e->subquery.op;
    struct bx *x;
    enum status st = ST_OK;

    s->kind = e->subquery.sub;
    s->negated = e->subquery.negated;
    if (s->kind == SUBQUERY_ARRAY)
        return bind_unsupported(err, e->pos, "ARRAY(subquery)");
    if (e->subquery.left != NULL)
        TRY(bind_left_side(b, k, e->subquery.left, s, err));
    TRY(bind_query(b, k, false, e->subquery.select, &s->query, err));
    s->correlated = s->query->correlated;
    x = bx_new(b, BX_SUBQUERY, TYPE_BOOL, e->pos);
    x->subquery = s;
    if (s->kind == SUBQUERY_SCALAR) {
        TRY(subquery_width(e, 1, s->query->n_visible, err));
        x->type = s->query->out_vars[0]->type;
        x->typmod = s->query->out_vars[0]->typmod;
    } else if (s->kind != SUBQUERY_EXISTS) {
        TRY(subquery_width(e, s->n_left, s->query->n_visible, err));
        TRY(subquery_compare(b, s, op, e->pos, err));
    }
    remember_subquery(b, s);
    *out = x;
out:
    return st;
}
