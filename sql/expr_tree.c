/* Walking and comparing bound expressions. */
#include "sql/expr.h"

static bool each_item(struct bx **items, size_t n, bool (*fn)(void *arg, struct bx **child),
                      void *arg)
{
    for (size_t i = 0; i < n; i++) {
        if (!fn(arg, &items[i]))
            return false;
    }
    return true;
}

static bool each_agg(struct bx_agg *a, bool (*fn)(void *arg, struct bx **child), void *arg)
{
    for (size_t i = 0; i < a->n_order; i++) {
        if (!fn(arg, &a->order[i].key))
            return false;
    }
    return each_item(a->args, a->n_args, fn, arg) && (a->filter == NULL || fn(arg, &a->filter));
}

bool bx_each(const struct bx *ce, bool (*fn)(void *arg, struct bx **child), void *arg)
{
    struct bx *e = (struct bx *)(uintptr_t)ce; /* fn may replace children */

    switch (e->kind) {
    case BX_CONST:
    case BX_PARAM:
    case BX_VAR:
        return true;
    case BX_FUNC:
        return each_item(e->func.args, e->func.n, fn, arg);
    case BX_AND:
    case BX_OR:
    case BX_COALESCE:
        return each_item(e->list.items, e->list.n, fn, arg);
    case BX_NOT:
        return fn(arg, &e->unary);
    case BX_TEST:
        return fn(arg, &e->test.arg);
    case BX_DISTINCT:
    case BX_NULLIF:
        return fn(arg, &e->distinct.left) && fn(arg, &e->distinct.right);
    case BX_IN:
        return fn(arg, &e->in.arg) && each_item(e->in.items, e->in.n, fn, arg);
    case BX_CASE:
        for (size_t i = 0; i < e->kase.n; i++) {
            if (!fn(arg, &e->kase.whens[i].when) || !fn(arg, &e->kase.whens[i].then))
                return false;
        }
        return e->kase.otherwise == NULL || fn(arg, &e->kase.otherwise);
    case BX_CAST:
        return fn(arg, &e->cast.arg);
    case BX_TYPMOD:
        return fn(arg, &e->typmodded.arg);
    case BX_MINMAX:
        return each_item(e->minmax.items, e->minmax.n, fn, arg);
    case BX_SUBQUERY:
        return each_item(e->subquery->left, e->subquery->n_left, fn, arg);
    case BX_AGG:
        return each_agg(e->agg, fn, arg);
    }
    return true;
}

/* Collects the children of a node. */
struct children {
    struct bx *items[64];
    size_t n;
    bool overflow;
};

static bool collect(void *arg, struct bx **child)
{
    struct children *c = arg;

    if (c->n == sizeof c->items / sizeof c->items[0]) {
        c->overflow = true;
        return false;
    }
    c->items[c->n++] = *child;
    return true;
}

static bool same_const(const struct datum *a, const struct datum *b)
{
    if (a->null || b->null)
        return a->null && b->null;
    return a->type == TYPE_UNKNOWN ? bytes_eq(a->s, b->s) : datum_cmp(a, b) == 0;
}

static bool same_node(const struct bx *a, const struct bx *b)
{
    switch (a->kind) {
    case BX_CONST:
        return same_const(&a->konst, &b->konst);
    case BX_PARAM:
        return a->param == b->param;
    case BX_VAR:
        return a->var.level == b->var.level && a->var.slot == b->var.slot;
    case BX_FUNC:
        return a->func.func == b->func.func && a->func.func->volatility != FUNC_VOLATILE;
    case BX_TEST:
        return a->test.test == b->test.test && a->test.negated == b->test.negated;
    case BX_DISTINCT:
        return a->distinct.negated == b->distinct.negated;
    case BX_IN:
        return a->in.negated == b->in.negated && a->in.eq == b->in.eq;
    case BX_CASE:
        return a->kase.n == b->kase.n;
    case BX_CAST:
        return a->cast.cast == b->cast.cast;
    case BX_TYPMOD:
        return a->typmod == b->typmod;
    case BX_MINMAX:
        return a->minmax.before == b->minmax.before;
    case BX_SUBQUERY:
        return a->subquery == b->subquery;
    case BX_AGG:
        return a->agg == b->agg;
    case BX_AND:
    case BX_OR:
    case BX_NOT:
    case BX_COALESCE:
    case BX_NULLIF:
        break;
    }
    return true;
}

bool bx_equal(const struct bx *a, const struct bx *b)
{
    struct children ca = {.n = 0}, cb = {.n = 0};

    if (a == b)
        return true;
    if (a->kind != b->kind || a->type != b->type || !same_node(a, b))
        return false;
    (void)bx_each(a, collect, &ca);
    (void)bx_each(b, collect, &cb);
    if (ca.overflow || cb.overflow || ca.n != cb.n)
        return false;
    for (size_t i = 0; i < ca.n; i++) {
        if (!bx_equal(ca.items[i], cb.items[i]))
            return false;
    }
    return true;
}

static bool foldable_child(void *arg, struct bx **child)
{
    (void)arg;
    return bx_is_foldable(*child);
}

bool bx_is_foldable(const struct bx *e)
{
    switch (e->kind) {
    case BX_PARAM:
    case BX_VAR:
    case BX_SUBQUERY:
    case BX_AGG:
        return false;
    case BX_FUNC:
        if (e->func.func->volatility != FUNC_IMMUTABLE)
            return false;
        break;
    case BX_CAST:
        if (!e->cast.cast->immutable)
            return false;
        break;
    case BX_CONST:
    case BX_AND:
    case BX_OR:
    case BX_NOT:
    case BX_TEST:
    case BX_DISTINCT:
    case BX_IN:
    case BX_CASE:
    case BX_TYPMOD:
    case BX_COALESCE:
    case BX_NULLIF:
    case BX_MINMAX:
        break;
    }
    return bx_each(e, foldable_child, NULL);
}
