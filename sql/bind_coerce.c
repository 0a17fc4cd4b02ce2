/* Types: casts where they are allowed, inferred parameters, folding of constants. */
#include "base/check.h"
#include "sql/bind_int.h"
#include "sql/type_name.h"

struct bx *bx_new(struct binder *b, enum bx_kind kind, enum sql_type type, int pos)
{
    struct bx *e = arena_zalloc(b->mem, sizeof *e);

    e->kind = kind;
    e->type = type;
    e->typmod = -1;
    e->pos = pos;
    return e;
}

static bool child_is_const(void *arg, struct bx **child)
{
    (void)arg;
    return (*child)->kind == BX_CONST;
}

static bool foldable_kind(const struct bx *e)
{
    switch (e->kind) {
    case BX_FUNC:
        return e->func.func->volatility == FUNC_IMMUTABLE;
    case BX_CAST:
        return e->cast.cast->immutable;
    case BX_AND:
    case BX_OR:
    case BX_NOT:
    case BX_TEST:
    case BX_TYPMOD:
    case BX_COALESCE:
    case BX_NULLIF:
    case BX_MINMAX:
    case BX_DISTINCT:
    case BX_IN:
        return true;
    case BX_CONST:
    case BX_PARAM:
    case BX_VAR:
    case BX_CASE:
    case BX_SUBQUERY:
    case BX_AGG:
        break;
    }
    return false;
}

/* An error while folding is left for the execution, which may never come by. */
enum status bx_fold(struct binder *b, struct bx *e, struct bx **out, struct err *err)
{
    struct eval ev = {.env = b->opts->env, .mem = b->mem};
    struct datum v;
    struct bx *k;

    (void)err;
    *out = e;
    if (!foldable_kind(e) || !bx_each(e, child_is_const, NULL))
        return ST_OK;
    if (bx_eval(e, &ev, &v, NULL) != ST_OK)
        return ST_OK;
    k = bx_new(b, BX_CONST, e->type, e->pos);
    k->typmod = e->typmod;
    k->konst = v;
    k->konst.type = e->type;
    *out = k;
    return ST_OK;
}

static enum status input_literal(struct binder *b, const struct bx *e, enum sql_type to,
                                 struct bx **out, struct err *err)
{
    struct bx *k = bx_new(b, BX_CONST, to, e->pos);
    enum status st = ST_OK;

    if (e->konst.null)
        k->konst = datum_null(to);
    else
        st = datum_input(to, e->konst.s, b->opts->env, b->mem, &k->konst, err);
    if (st != ST_OK) {
        if (err != NULL)
            (void)err_position(err, e->pos);
        return st;
    }
    *out = k;
    return ST_OK;
}

/* A parameter takes the type of its first use. */
static void infer_param(struct binder *b, struct bx *e, enum sql_type to)
{
    enum sql_type *known = &b->opts->params->types[e->param];

    if (*known == TYPE_UNKNOWN)
        *known = to;
    e->type = *known;
}

enum status coerce(struct binder *b, struct bx *e, enum sql_type to, enum cast_context context,
                   struct bx **out, struct err *err)
{
    const struct cast *cast;
    struct bx *c;

    if (e->kind == BX_PARAM && e->type == TYPE_UNKNOWN && to != TYPE_UNKNOWN)
        infer_param(b, e, to);
    if (e->type == to || to == TYPE_UNKNOWN) {
        *out = e;
        return ST_OK;
    }
    if (e->type == TYPE_UNKNOWN && e->kind == BX_CONST)
        return input_literal(b, e, to, out, err);
    cast = cast_find(e->type, to, context);
    if (cast == NULL) {
        (void)err_set(err, ST_REJECT,
                      context == CAST_EXPLICIT ? SQLSTATE_CANNOT_COERCE
                                               : SQLSTATE_DATATYPE_MISMATCH,
                      "cannot cast type %s to %s", type_info(e->type)->name, type_info(to)->name);
        return err != NULL ? err_position(err, e->pos) : ST_REJECT;
    }
    c = bx_new(b, BX_CAST, to, e->pos);
    c->cast.arg = e;
    c->cast.cast = cast;
    return bx_fold(b, c, out, err);
}

struct bx *apply_typmod(struct binder *b, struct bx *e, int32_t typmod, enum cast_context context)
{
    struct bx *m, *folded;

    if (!typmod_matters(e->type, typmod) || (e->kind == BX_VAR && e->typmod == typmod))
        return e;
    m = bx_new(b, BX_TYPMOD, e->type, e->pos);
    m->typmod = typmod;
    m->typmodded.arg = e;
    m->typmodded.context = context;
    return bx_fold(b, m, &folded, NULL) == ST_OK ? folded : m;
}

enum status coerce_column(struct binder *b, struct bx *e, const struct column *c, struct bx **out,
                          struct err *err)
{
    enum sql_type from = e->type;
    enum status st;

    if (from != TYPE_UNKNOWN && from != c->type &&
        cast_find(from, c->type, CAST_ASSIGNMENT) == NULL) {
        st = err_set(err, ST_REJECT, SQLSTATE_DATATYPE_MISMATCH,
                     "column \"%s\" is of type %s but expression is of type %s", c->name,
                     type_info(c->type)->name, type_info(from)->name);
        if (err != NULL) {
            (void)err_hint(err, "You will need to rewrite or cast the expression.");
            (void)err_position(err, e->pos);
        }
        return st;
    }
    st = coerce(b, e, c->type, CAST_ASSIGNMENT, out, err);
    if (st == ST_OK)
        *out = apply_typmod(b, *out, c->typmod, CAST_ASSIGNMENT);
    return st;
}

enum status settle_unknown(struct binder *b, struct bx *e, struct bx **out, struct err *err)
{
    return e->type == TYPE_UNKNOWN ? coerce(b, e, TYPE_TEXT, CAST_IMPLICIT, out, err)
                                   : coerce(b, e, e->type, CAST_IMPLICIT, out, err);
}

enum status coerce_common(struct binder *b, struct bx **items, size_t n, const char *what, int pos,
                          enum sql_type *out_type, struct err *err)
{
    enum sql_type *types = arena_alloc(b->mem, (n + 1) * sizeof *types);
    enum status st;

    for (size_t i = 0; i < n; i++)
        types[i] = items[i]->type;
    st = type_common(types, n, what, pos, out_type, err);
    for (size_t i = 0; i < n && st == ST_OK; i++)
        st = coerce(b, items[i], *out_type, CAST_IMPLICIT, &items[i], err);
    return st;
}
