#include "sql/expr.h"

#include "base/check.h"
#include "sql/exec.h"

static enum status eval_func(const struct bx *e, const struct eval *ev, struct datum *out,
                             struct err *err)
{
    enum { ARGS_ON_STACK = 8 };
    struct datum small[ARGS_ON_STACK];
    struct datum *args = small;
    size_t n = e->func.n;
    enum status st;

    if (n > ARGS_ON_STACK)
        args = arena_alloc(ev->mem, n * sizeof *args);
    for (size_t i = 0; i < n; i++) {
        st = bx_eval(e->func.args[i], ev, &args[i], err);
        if (st != ST_OK)
            return st;
        if (args[i].null && !e->func.func->lax) {
            *out = datum_null(e->type);
            return ST_OK;
        }
    }
    return e->func.func->call(ev->env, args, n, ev->mem, out, err);
}

static enum status eval_logic(const struct bx *e, const struct eval *ev, struct datum *out,
                              struct err *err)
{
    bool stop_at = e->kind == BX_OR;
    bool null = false;
    struct datum v;

    for (size_t i = 0; i < e->list.n; i++) {
        enum status st = bx_eval(e->list.items[i], ev, &v, err);

        if (st != ST_OK)
            return st;
        if (v.null) {
            null = true;
        } else if (v.b == stop_at) {
            *out = datum_bool(stop_at);
            return ST_OK;
        }
    }
    *out = null ? datum_null(TYPE_BOOL) : datum_bool(!stop_at);
    return ST_OK;
}

static enum status eval_test(const struct bx *e, const struct eval *ev, struct datum *out,
                             struct err *err)
{
    struct datum v;
    enum status st = bx_eval(e->test.arg, ev, &v, err);
    bool yes = false;

    if (st != ST_OK)
        return st;
    switch (e->test.test) {
    case TEST_NULL:
    case TEST_UNKNOWN:
        yes = v.null;
        break;
    case TEST_TRUE:
        yes = datum_is_true(&v);
        break;
    case TEST_FALSE:
        yes = datum_is_false(&v);
        break;
    }
    *out = datum_bool(yes != e->test.negated);
    return ST_OK;
}

/* IS DISTINCT FROM and NULLIF. */
static enum status eval_distinct(const struct bx *e, const struct eval *ev, struct datum *out,
                                 struct err *err)
{
    struct datum a, b, eq;
    enum status st = ST_OK;
    bool differ;

    TRY(bx_eval(e->distinct.left, ev, &a, err));
    TRY(bx_eval(e->distinct.right, ev, &b, err));
    if (a.null || b.null) {
        differ = a.null != b.null;
    } else {
        TRY(func_call(e->distinct.eq, ev->env, (struct datum[]){a, b}, 2, ev->mem, &eq, err));
        differ = !datum_is_true(&eq);
    }
    if (e->kind == BX_DISTINCT) {
        *out = datum_bool(differ != e->distinct.negated);
    } else {
        *out = a;
        if (!differ)
            *out = datum_null(e->type);
    }
out:
    return st;
}

static enum status eval_in(const struct bx *e, const struct eval *ev, struct datum *out,
                           struct err *err)
{
    struct datum pair[2], eq;
    bool null = false;
    enum status st = ST_OK;

    TRY(bx_eval(e->in.arg, ev, &pair[0], err));
    if (pair[0].null && e->in.n > 0) {
        *out = datum_null(TYPE_BOOL);
        return ST_OK;
    }
    for (size_t i = 0; i < e->in.n; i++) {
        TRY(bx_eval(e->in.items[i], ev, &pair[1], err));
        TRY(func_call(e->in.eq, ev->env, pair, 2, ev->mem, &eq, err));
        if (datum_is_true(&eq)) {
            *out = datum_bool(!e->in.negated);
            return ST_OK;
        }
        null |= eq.null;
    }
    *out = null ? datum_null(TYPE_BOOL) : datum_bool(e->in.negated);
out:
    return st;
}

static enum status eval_case(const struct bx *e, const struct eval *ev, struct datum *out,
                             struct err *err)
{
    for (size_t i = 0; i < e->kase.n; i++) {
        bool yes;
        enum status st = bx_true(e->kase.whens[i].when, ev, &yes, err);

        if (st != ST_OK)
            return st;
        if (yes)
            return bx_eval(e->kase.whens[i].then, ev, out, err);
    }
    if (e->kase.otherwise != NULL)
        return bx_eval(e->kase.otherwise, ev, out, err);
    *out = datum_null(e->type);
    return ST_OK;
}

static enum status eval_minmax(const struct bx *e, const struct eval *ev, struct datum *out,
                               struct err *err)
{
    struct datum pair[2], before;
    enum status st = ST_OK;

    pair[0] = datum_null(e->type);
    for (size_t i = 0; i < e->minmax.n; i++) {
        TRY(bx_eval(e->minmax.items[i], ev, &pair[1], err));
        if (pair[1].null)
            continue;
        if (pair[0].null) {
            pair[0] = pair[1];
            continue;
        }
        TRY(func_call(e->minmax.before, ev->env, (struct datum[]){pair[1], pair[0]}, 2, ev->mem,
                      &before, err));
        if (datum_is_true(&before))
            pair[0] = pair[1];
    }
    *out = pair[0];
out:
    return st;
}

static enum status eval_coalesce(const struct bx *e, const struct eval *ev, struct datum *out,
                                 struct err *err)
{
    *out = datum_null(e->type);
    for (size_t i = 0; i < e->list.n; i++) {
        enum status st = bx_eval(e->list.items[i], ev, out, err);

        if (st != ST_OK || !out->null)
            return st;
    }
    return ST_OK;
}

static enum status eval_cast(const struct bx *e, const struct eval *ev, struct datum *out,
                             struct err *err)
{
    struct datum v;
    enum status st = bx_eval(e->cast.arg, ev, &v, err);

    if (st != ST_OK)
        return st;
    if (e->cast.cast->relabel || v.null) {
        *out = v;
        out->type = e->type;
        return ST_OK;
    }
    return cast_run(e->cast.cast, ev->env, &v, ev->mem, out, err);
}

static enum status eval_typmod(const struct bx *e, const struct eval *ev, struct datum *out,
                               struct err *err)
{
    struct datum v;
    enum status st = bx_eval(e->typmodded.arg, ev, &v, err);

    if (st == ST_OK && !v.null)
        st = typmod_apply(e->type, e->typmod, e->typmodded.context, ev->mem, &v, err);
    if (st == ST_OK)
        *out = v;
    return st;
}

static void eval_var(const struct bx *e, const struct eval *ev, struct datum *out)
{
    const struct frame *f = ev->frame;

    for (unsigned i = e->var.level; i > 0; i--)
        f = f->outer;
    *out = f->slots[e->var.slot];
}

enum status bx_eval(const struct bx *e, const struct eval *ev, struct datum *out, struct err *err)
{
    enum status st;

    switch (e->kind) {
    case BX_CONST:
        *out = e->konst;
        return ST_OK;
    case BX_PARAM:
        *out = ev->params[e->param];
        return ST_OK;
    case BX_VAR:
        eval_var(e, ev, out);
        return ST_OK;
    case BX_FUNC:
        return eval_func(e, ev, out, err);
    case BX_AND:
    case BX_OR:
        return eval_logic(e, ev, out, err);
    case BX_NOT:
        st = bx_eval(e->unary, ev, out, err);
        if (st == ST_OK)
            *out = logic_not(*out);
        return st;
    case BX_TEST:
        return eval_test(e, ev, out, err);
    case BX_DISTINCT:
    case BX_NULLIF:
        return eval_distinct(e, ev, out, err);
    case BX_IN:
        return eval_in(e, ev, out, err);
    case BX_CASE:
        return eval_case(e, ev, out, err);
    case BX_CAST:
        return eval_cast(e, ev, out, err);
    case BX_TYPMOD:
        return eval_typmod(e, ev, out, err);
    case BX_COALESCE:
        return eval_coalesce(e, ev, out, err);
    case BX_MINMAX:
        return eval_minmax(e, ev, out, err);
    case BX_SUBQUERY:
        return run_subquery(ev->run, e->subquery, ev, out, err);
    case BX_AGG:
        break;
    }
    return err_set(err, ST_REJECT, SQLSTATE_INTERNAL_ERROR,
                   "an aggregate was left outside of grouping");
}

enum status bx_true(const struct bx *e, const struct eval *ev, bool *out, struct err *err)
{
    struct datum v;
    enum status st = bx_eval(e, ev, &v, err);

    if (st == ST_OK)
        *out = datum_is_true(&v);
    return st;
}

enum status bx_all_true(struct bx *const *conds, size_t n, const struct eval *ev, bool *out,
                        struct err *err)
{
    *out = true;
    for (size_t i = 0; i < n && *out; i++) {
        enum status st = bx_true(conds[i], ev, out, err);

        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}
