/* Expressions: from the tree as written to functions over slots. */
#include <stdio.h>

#include "base/check.h"
#include "sql/bind_int.h"
#include "sql/type_name.h"

static enum status at(struct err *err, int pos)
{
    return err != NULL ? err_position(err, pos) : ST_REJECT;
}

enum status bind_unsupported(struct err *err, int pos, const char *what)
{
    (void)err_set(err, ST_REJECT, SQLSTATE_FEATURE_NOT_SUPPORTED, "%s is not supported", what);
    return at(err, pos);
}

static struct bx *bx_const(struct binder *b, struct datum v, int pos)
{
    struct bx *e = bx_new(b, BX_CONST, v.type, pos);

    e->konst = v;
    return e;
}

static struct bx *bx_list(struct binder *b, enum bx_kind kind, struct bx **items, size_t n, int pos)
{
    struct bx *e, *folded;

    if (n == 1)
        return items[0];
    e = bx_new(b, kind, TYPE_BOOL, pos);
    e->list.items = arena_alloc(b->mem, n * sizeof *items);
    memcpy(e->list.items, items, n * sizeof *items);
    e->list.n = n;
    return bx_fold(b, e, &folded, NULL) == ST_OK ? folded : e;
}

static struct bx *bx_not(struct binder *b, struct bx *arg, int pos)
{
    struct bx *e = bx_new(b, BX_NOT, TYPE_BOOL, pos), *folded;

    e->unary = arg;
    return bx_fold(b, e, &folded, NULL) == ST_OK ? folded : e;
}

enum status bind_func_call(struct binder *b, const struct func *f, struct bx **args, size_t n,
                           int pos, struct bx **out, struct err *err)
{
    struct bx *e = bx_new(b, BX_FUNC, f->result, pos);

    e->func.func = f;
    e->func.n = n;
    e->func.args = arena_alloc(b->mem, (n + 1) * sizeof *e->func.args);
    for (size_t i = 0; i < n; i++) {
        enum sql_type want = func_arg_type(f, i);
        enum status st = want == FUNC_ANY
                             ? settle_unknown(b, args[i], &e->func.args[i], err)
                             : coerce(b, args[i], want, CAST_IMPLICIT, &e->func.args[i], err);

        if (st != ST_OK)
            return st;
    }
    return bx_fold(b, e, out, err);
}

/* A parameter without a type takes that of the other side before the operator is chosen. */
static enum status settle_pair(struct binder *b, struct bx **left, struct bx **right,
                               struct err *err)
{
    enum status st = ST_OK;

    if ((*left)->kind == BX_PARAM && (*left)->type == TYPE_UNKNOWN)
        st = coerce(b, *left, b->opts->params->types[(*left)->param], CAST_IMPLICIT, left, err);
    if (st == ST_OK && (*right)->kind == BX_PARAM && (*right)->type == TYPE_UNKNOWN)
        st = coerce(b, *right, b->opts->params->types[(*right)->param], CAST_IMPLICIT, right, err);
    return st;
}

enum status bind_operator(struct binder *b, const char *schema, const char *op, struct bx *left,
                          struct bx *right, int pos, struct bx **out, struct err *err)
{
    const struct func *f;
    enum status st = ST_OK;

    if (left == NULL) {
        TRY(oper_prefix_resolve(schema, op, right->type, pos, &f, err));
        return bind_func_call(b, f, &right, 1, pos, out, err);
    }
    TRY(settle_pair(b, &left, &right, err));
    TRY(oper_resolve(schema, op, left->type, right->type, pos, &f, err));
    return bind_func_call(b, f, (struct bx *[]){left, right}, 2, pos, out, err);
out:
    return st;
}

static enum status need_bool(struct binder *b, struct bx *e, const char *what, struct bx **out,
                             struct err *err)
{
    if (e->type == TYPE_BOOL || e->type == TYPE_UNKNOWN)
        return coerce(b, e, TYPE_BOOL, CAST_IMPLICIT, out, err);
    (void)err_set(err, ST_REJECT, SQLSTATE_DATATYPE_MISMATCH,
                  "argument of %s must be type boolean, not type %s", what,
                  type_info(e->type)->name);
    return at(err, e->pos);
}

enum status bind_condition(struct binder *b, struct block *k, const struct expr *e,
                           const char *what, struct bx **out, struct err *err)
{
    struct bx *bound;
    enum status st = bind_expr(b, k, e, &bound, err);

    return st == ST_OK ? need_bool(b, bound, what, out, err) : st;
}

enum status bind_items(struct binder *b, struct block *k, const struct expr_list *list,
                       struct bx ***out, struct err *err)
{
    struct bx **items = arena_alloc(b->mem, (list->n + 1) * sizeof *items);

    for (size_t i = 0; i < list->n; i++) {
        enum status st = bind_expr(b, k, list->items[i], &items[i], err);

        if (st != ST_OK)
            return st;
    }
    *out = items;
    return ST_OK;
}

static enum status bind_logic(struct binder *b, struct block *k, const struct expr *e,
                              struct bx **out, struct err *err)
{
    const char *what = e->kind == EXPR_AND ? "AND" : "OR";
    struct bx **items = arena_alloc(b->mem, (e->list.n + 1) * sizeof *items);

    for (size_t i = 0; i < e->list.n; i++) {
        enum status st = bind_condition(b, k, e->list.items[i], what, &items[i], err);

        if (st != ST_OK)
            return st;
    }
    *out = bx_list(b, e->kind == EXPR_AND ? BX_AND : BX_OR, items, e->list.n, e->pos);
    return ST_OK;
}

static enum status bind_param(struct binder *b, const struct expr *e, struct bx **out,
                              struct err *err)
{
    struct bind_params *p = b->opts->params;
    struct bx *x;

    if (p == NULL || e->param < 1 || (size_t)e->param > p->n) {
        (void)err_set(err, ST_REJECT, SQLSTATE_UNDEFINED_PARAMETER, "there is no parameter $%d",
                      e->param);
        return at(err, e->pos);
    }
    x = bx_new(b, BX_PARAM, p->types[e->param - 1], e->pos);
    x->param = (unsigned)(e->param - 1);
    *out = x;
    return ST_OK;
}

/* Rows: (a, b) = (c, d) and the like are spelled out column by column. */

static enum status row_equal(struct binder *b, struct bx **l, struct bx **r, size_t n, int pos,
                             struct bx **out, struct err *err)
{
    struct bx **items = arena_alloc(b->mem, n * sizeof *items);

    for (size_t i = 0; i < n; i++) {
        enum status st = bind_operator(b, NULL, "=", l[i], r[i], pos, &items[i], err);

        if (st != ST_OK)
            return st;
    }
    *out = bx_list(b, BX_AND, items, n, pos);
    return ST_OK;
}

/* a < c OR (a = c AND (b < d OR ...)); the last column takes `op` itself. */
static enum status row_order(struct binder *b, const char *op, struct bx **l, struct bx **r,
                             size_t n, int pos, struct bx **out, struct err *err)
{
    char strict[2] = {op[0], 0};
    struct bx *less, *eq, *rest;
    enum status st = ST_OK;

    if (n == 1)
        return bind_operator(b, NULL, op, l[0], r[0], pos, out, err);
    TRY(bind_operator(b, NULL, strict, l[0], r[0], pos, &less, err));
    TRY(bind_operator(b, NULL, "=", l[0], r[0], pos, &eq, err));
    TRY(row_order(b, op, l + 1, r + 1, n - 1, pos, &rest, err));
    rest = bx_list(b, BX_AND, (struct bx *[]){eq, rest}, 2, pos);
    *out = bx_list(b, BX_OR, (struct bx *[]){less, rest}, 2, pos);
out:
    return st;
}

static enum status bind_row_op(struct binder *b, struct block *k, const struct expr *e,
                               struct bx **out, struct err *err)
{
    const struct expr_list *l = &e->op.left->list, *r = &e->op.right->list;
    struct bx **ls, **rs;
    enum status st = ST_OK;

    if (l->n != r->n || l->n == 0) {
        (void)err_set(err, ST_REJECT, SQLSTATE_SYNTAX_ERROR,
                      "unequal number of entries in row expressions");
        return at(err, e->pos);
    }
    TRY(bind_items(b, k, l, &ls, err));
    TRY(bind_items(b, k, r, &rs, err));
    if (strcmp(e->op.name, "=") == 0) {
        TRY(row_equal(b, ls, rs, l->n, e->pos, out, err));
    } else if (strcmp(e->op.name, "<>") == 0) {
        TRY(row_equal(b, ls, rs, l->n, e->pos, out, err));
        *out = bx_not(b, *out, e->pos);
    } else if (e->op.name[0] == '<' || e->op.name[0] == '>') {
        TRY(row_order(b, e->op.name, ls, rs, l->n, e->pos, out, err));
    } else {
        return bind_unsupported(err, e->pos, "this operator on rows");
    }
out:
    return st;
}

static enum status bind_op(struct binder *b, struct block *k, const struct expr *e, struct bx **out,
                           struct err *err)
{
    struct bx *left = NULL, *right;
    enum status st = ST_OK;

    if (e->op.left != NULL && e->op.left->kind == EXPR_ROW && e->op.right->kind == EXPR_ROW)
        return bind_row_op(b, k, e, out, err);
    if (e->op.left != NULL)
        TRY(bind_expr(b, k, e->op.left, &left, err));
    TRY(bind_expr(b, k, e->op.right, &right, err));
    TRY(bind_operator(b, e->op.schema, e->op.name, left, right, e->pos, out, err));
out:
    return st;
}

static enum status bind_between(struct binder *b, struct block *k, const struct expr *e,
                                struct bx **out, struct err *err)
{
    struct bx *arg, *low, *high, *ge, *le, *both;
    enum status st = ST_OK;

    TRY(bind_expr(b, k, e->between.arg, &arg, err));
    TRY(bind_expr(b, k, e->between.low, &low, err));
    TRY(bind_expr(b, k, e->between.high, &high, err));
    TRY(bind_operator(b, NULL, ">=", arg, low, e->pos, &ge, err));
    TRY(bind_operator(b, NULL, "<=", arg, high, e->pos, &le, err));
    both = bx_list(b, BX_AND, (struct bx *[]){ge, le}, 2, e->pos);
    if (e->between.symmetric) {
        struct bx *other;

        TRY(bind_operator(b, NULL, ">=", arg, high, e->pos, &ge, err));
        TRY(bind_operator(b, NULL, "<=", arg, low, e->pos, &le, err));
        other = bx_list(b, BX_AND, (struct bx *[]){ge, le}, 2, e->pos);
        both = bx_list(b, BX_OR, (struct bx *[]){both, other}, 2, e->pos);
    }
    *out = e->between.negated ? bx_not(b, both, e->pos) : both;
out:
    return st;
}

/* arg IN (items), all bound. */
static enum status make_in(struct binder *b, struct bx *arg, struct bx **items, size_t n,
                           bool negated, int pos, struct bx **out, struct err *err)
{
    struct bx **all = arena_alloc(b->mem, (n + 1) * sizeof *all);
    enum sql_type type;
    struct bx *e;
    enum status st = ST_OK;

    all[0] = arg;
    memcpy(all + 1, items, n * sizeof *all);
    /* With one shared type the list is compared as it is; otherwise each item for itself. */
    st = type_common((enum sql_type[]){arg->type, n > 0 ? items[0]->type : arg->type}, 2, "IN", pos,
                     &type, NULL);
    if (st == ST_OK)
        st = coerce_common(b, all, n + 1, "IN", pos, &type, NULL);
    if (st == ST_OK) {
        e = bx_new(b, BX_IN, TYPE_BOOL, pos);
        e->in.arg = all[0];
        e->in.items = all + 1;
        e->in.n = n;
        e->in.eq = oper_same_type(CMP_EQ, type);
        e->in.negated = negated;
        return bx_fold(b, e, out, err);
    }
    for (size_t i = 0; i < n; i++)
        TRY(bind_operator(b, NULL, "=", arg, items[i], pos, &all[i], err));
    *out = bx_list(b, BX_OR, all, n, pos);
    if (negated)
        *out = bx_not(b, *out, pos);
    st = ST_OK;
out:
    return st;
}

static enum status bind_row_in(struct binder *b, struct block *k, const struct expr *e,
                               struct bx **out, struct err *err)
{
    const struct expr_list *l = &e->in.arg->list;
    struct bx **ls, **rs, **ors = arena_alloc(b->mem, (e->in.list.n + 1) * sizeof *ors);
    enum status st = ST_OK;

    TRY(bind_items(b, k, l, &ls, err));
    for (size_t i = 0; i < e->in.list.n; i++) {
        const struct expr *r = e->in.list.items[i];

        if (r->kind != EXPR_ROW || r->list.n != l->n) {
            (void)err_set(err, ST_REJECT, SQLSTATE_SYNTAX_ERROR,
                          "unequal number of entries in row expressions");
            return at(err, r->pos);
        }
        TRY(bind_items(b, k, &r->list, &rs, err));
        TRY(row_equal(b, ls, rs, l->n, e->pos, &ors[i], err));
    }
    *out = bx_list(b, BX_OR, ors, e->in.list.n, e->pos);
    if (e->in.negated)
        *out = bx_not(b, *out, e->pos);
out:
    return st;
}

static enum status bind_in(struct binder *b, struct block *k, const struct expr *e, struct bx **out,
                           struct err *err)
{
    struct bx *arg, **items;
    enum status st = ST_OK;

    if (e->in.arg->kind == EXPR_ROW)
        return bind_row_in(b, k, e, out, err);
    TRY(bind_expr(b, k, e->in.arg, &arg, err));
    TRY(bind_items(b, k, &e->in.list, &items, err));
    TRY(make_in(b, arg, items, e->in.list.n, e->in.negated, e->pos, out, err));
out:
    return st;
}

/* The elements of '{a,b,"c d"}'; false if it is not a plain one-dimensional array. */
static bool array_items(struct binder *b, struct bytes text, struct bx ***out, size_t *out_n,
                        int pos)
{
    size_t cap = 2;
    struct bx **items;
    struct buf word = {0};
    size_t i = 1, n = 0;
    bool quoted, ok = false;

    if (text.len < 2 || text.ptr[0] != '{' || text.ptr[text.len - 1] != '}')
        return false;
    for (size_t j = 0; j < text.len; j++)
        cap += text.ptr[j] == ',';
    items = arena_alloc(b->mem, cap * sizeof *items);
    while (text.len > 2 && i < text.len) {
        buf_reset(&word);
        quoted = false;
        for (bool in_quotes = false; i < text.len; i++) {
            uint8_t c = text.ptr[i];

            if (c == '\\' && i + 1 < text.len)
                buf_put_u8(&word, text.ptr[++i]);
            else if (c == '"')
                in_quotes = !in_quotes;
            else if (!in_quotes && (c == ',' || c == '}'))
                break;
            else if (!in_quotes && c == '{')
                goto out;
            else if (in_quotes || c != ' ')
                buf_put_u8(&word, c);
            if (c == '"')
                quoted = true;
        }
        i++;
        items[n] = bx_new(b, BX_CONST, TYPE_UNKNOWN, pos);
        items[n]->konst = datum_null(TYPE_UNKNOWN);
        if (quoted || word.len != 4 || strncasecmp((char *)word.ptr, "null", 4) != 0) {
            items[n]->konst.null = false;
            items[n]->konst.s = arena_copy(b->mem, buf_bytes(&word));
        }
        n++;
    }
    *out = items;
    *out_n = n;
    ok = true;
out:
    buf_fini(&word);
    return ok;
}

static enum status bind_any_array(struct binder *b, struct block *k, const struct expr *e,
                                  struct bx **out, struct err *err)
{
    const struct expr *array = e->any_array.array;
    struct bx *left, **items;
    size_t n;
    bool eq = strcmp(e->any_array.op, "=") == 0, ne = strcmp(e->any_array.op, "<>") == 0;
    enum status st = ST_OK;

    while (array->kind == EXPR_CAST && array->cast.type.array_dims > 0)
        array = array->cast.arg;
    TRY(bind_expr(b, k, e->any_array.left, &left, err));
    if (array->kind == EXPR_ARRAY) {
        TRY(bind_items(b, k, &array->list, &items, err));
        n = array->list.n;
    } else if (array->kind != EXPR_CONST || array->konst.value.type != TYPE_UNKNOWN ||
               array->konst.value.null ||
               !array_items(b, array->konst.value.s, &items, &n, array->pos)) {
        return bind_unsupported(err, array->pos, "this kind of array");
    }
    if ((eq && !e->any_array.all) || (ne && e->any_array.all))
        return make_in(b, left, items, n, ne, e->pos, out, err);
    for (size_t i = 0; i < n; i++)
        TRY(bind_operator(b, NULL, e->any_array.op, left, items[i], e->pos, &items[i], err));
    *out = n == 0 ? bx_const(b, datum_bool(e->any_array.all), e->pos)
                  : bx_list(b, e->any_array.all ? BX_AND : BX_OR, items, n, e->pos);
out:
    return st;
}

static enum status bind_like(struct binder *b, struct block *k, const struct expr *e,
                             struct bx **out, struct err *err)
{
    struct bx *args[3];
    size_t n = 2;
    enum status st = ST_OK;

    if (e->like.like == LIKE_SIMILAR)
        return bind_unsupported(err, e->pos, "SIMILAR TO");
    TRY(bind_expr(b, k, e->like.arg, &args[0], err));
    TRY(bind_expr(b, k, e->like.pattern, &args[1], err));
    if (e->like.escape != NULL)
        TRY(bind_expr(b, k, e->like.escape, &args[n++], err));
    for (size_t i = 0; i < n; i++) {
        if (args[i]->type != TYPE_UNKNOWN && type_info(args[i]->type)->category != 'S') {
            (void)err_set(err, ST_REJECT, SQLSTATE_UNDEFINED_FUNCTION,
                          "operator does not exist: %s %s %s", type_info(args[0]->type)->name,
                          e->like.like == LIKE_ILIKE ? "~~*" : "~~",
                          type_info(args[1]->type)->name);
            (void)err_hint(err, "No operator matches the given name and argument types. You might "
                                "need to add explicit type casts.");
            return at(err, e->pos);
        }
    }
    TRY(bind_func_call(b, func_like(e->like.like == LIKE_ILIKE, n == 3), args, n, e->pos, out,
                       err));
    if (e->like.negated)
        *out = bx_not(b, *out, e->pos);
out:
    return st;
}

static enum status bind_test(struct binder *b, struct block *k, const struct expr *e,
                             struct bx **out, struct err *err)
{
    static const char *const names[] = {"IS NULL", "IS TRUE", "IS FALSE", "IS UNKNOWN"};
    struct bx *x = bx_new(b, BX_TEST, TYPE_BOOL, e->pos), *arg;
    enum status st = ST_OK;

    if (e->test.arg->kind == EXPR_ROW)
        return bind_unsupported(err, e->pos, "IS NULL of a row");
    TRY(bind_expr(b, k, e->test.arg, &arg, err));
    if (e->test.test == TEST_NULL)
        TRY(settle_unknown(b, arg, &arg, err));
    else
        TRY(need_bool(b, arg, names[e->test.test], &arg, err));
    x->test.arg = arg;
    x->test.test = e->test.test;
    x->test.negated = e->test.negated;
    TRY(bx_fold(b, x, out, err));
out:
    return st;
}

/* IS DISTINCT FROM and NULLIF: an equality whose NULLs are the node's own matter. */
static enum status bind_equality(struct binder *b, enum bx_kind kind, struct bx *l, struct bx *r,
                                 bool negated, int pos, struct bx **out, struct err *err)
{
    struct bx *x;
    const struct func *eq;
    enum status st = ST_OK;

    TRY(settle_pair(b, &l, &r, err));
    TRY(oper_resolve(NULL, "=", l->type, r->type, pos, &eq, err));
    TRY(coerce(b, l, func_arg_type(eq, 0), CAST_IMPLICIT, &l, err));
    TRY(coerce(b, r, func_arg_type(eq, 1), CAST_IMPLICIT, &r, err));
    x = bx_new(b, kind, kind == BX_DISTINCT ? TYPE_BOOL : l->type, pos);
    x->distinct.left = l;
    x->distinct.right = r;
    x->distinct.eq = eq;
    x->distinct.negated = negated;
    TRY(bx_fold(b, x, out, err));
out:
    return st;
}

static enum status bind_case(struct binder *b, struct block *k, const struct expr *e,
                             struct bx **out, struct err *err)
{
    size_t n = e->kase.n_whens;
    struct bx **thens = arena_alloc(b->mem, (n + 1) * sizeof *thens);
    struct bx *x = bx_new(b, BX_CASE, TYPE_TEXT, e->pos), *arg = NULL, *when;
    enum status st = ST_OK;

    x->kase.whens = arena_alloc(b->mem, (n + 1) * sizeof *x->kase.whens);
    x->kase.n = n;
    if (e->kase.arg != NULL) {
        TRY(bind_expr(b, k, e->kase.arg, &arg, err));
        TRY(settle_unknown(b, arg, &arg, err));
    }
    for (size_t i = 0; i < n; i++) {
        if (arg != NULL) {
            TRY(bind_expr(b, k, e->kase.whens[i].when, &when, err));
            TRY(bind_operator(b, NULL, "=", arg, when, e->kase.whens[i].when->pos,
                              &x->kase.whens[i].when, err));
        } else {
            TRY(bind_condition(b, k, e->kase.whens[i].when, "CASE/WHEN", &x->kase.whens[i].when,
                               err));
        }
        TRY(bind_expr(b, k, e->kase.whens[i].then, &thens[i + 1], err));
    }
    /* The ELSE arm comes first, as PostgreSQL looks for the common type. */
    if (e->kase.otherwise != NULL) {
        TRY(bind_expr(b, k, e->kase.otherwise, &thens[0], err));
    } else {
        thens[0] = bx_const(b, datum_null(TYPE_UNKNOWN), e->pos);
    }
    TRY(coerce_common(b, thens, n + 1, "CASE", e->pos, &x->type, err));
    for (size_t i = 0; i < n; i++)
        x->kase.whens[i].then = thens[i + 1];
    x->kase.otherwise = thens[0];
    *out = x;
out:
    return st;
}

static enum status bind_cast(struct binder *b, struct block *k, const struct expr *e,
                             struct bx **out, struct err *err)
{
    struct bx *arg;
    enum sql_type type;
    int32_t typmod;
    enum status st = ST_OK;

    TRY(type_name_resolve(&e->cast.type, &type, &typmod, err));
    TRY(bind_expr(b, k, e->cast.arg, &arg, err));
    TRY(coerce(b, arg, type, CAST_EXPLICIT, out, err));
    *out = apply_typmod(b, *out, typmod, CAST_EXPLICIT);
out:
    return st;
}

static enum status bind_form(struct binder *b, struct block *k, const struct expr *e,
                             struct bx **out, struct err *err)
{
    const char *what = e->kind == EXPR_COALESCE   ? "COALESCE"
                       : e->kind == EXPR_GREATEST ? "GREATEST"
                                                  : "LEAST";
    struct bx *x, **items;
    enum sql_type type;
    enum status st = ST_OK;

    TRY(bind_items(b, k, &e->list, &items, err));
    if (e->kind == EXPR_NULLIF) {
        TRY(bind_equality(b, BX_NULLIF, items[0], items[1], false, e->pos, out, err));
        return ST_OK;
    }
    TRY(coerce_common(b, items, e->list.n, what, e->pos, &type, err));
    if (e->kind == EXPR_COALESCE) {
        x = bx_new(b, BX_COALESCE, type, e->pos);
        x->list.items = items;
        x->list.n = e->list.n;
    } else {
        x = bx_new(b, BX_MINMAX, type, e->pos);
        x->minmax.items = items;
        x->minmax.n = e->list.n;
        x->minmax.before = oper_same_type(e->kind == EXPR_GREATEST ? CMP_GT : CMP_LT, type);
    }
    TRY(bx_fold(b, x, out, err));
out:
    return st;
}

static enum status bind_collate(struct binder *b, struct block *k, const struct expr *e,
                                struct bx **out, struct err *err)
{
    const char *name = e->collate.collation.name;

    if (strcmp(name, "default") != 0 && strcmp(name, "C") != 0 && strcmp(name, "POSIX") != 0 &&
        strcmp(name, "ucs_basic") != 0) {
        (void)err_set(err, ST_REJECT, SQLSTATE_UNDEFINED_OBJECT,
                      "collation \"%s\" for encoding \"UTF8\" does not exist", name);
        return at(err, e->pos);
    }
    return bind_expr(b, k, e->collate.arg, out, err);
}

static enum status bind_simple(struct binder *b, struct block *k, const struct expr *e,
                               struct bx **out, struct err *err)
{
    struct bx *l, *r;
    enum status st = ST_OK;

    if (e->kind == EXPR_CONST) {
        *out = bx_const(b, e->konst.value, e->pos);
    } else if (e->kind == EXPR_NOT) {
        TRY(bind_condition(b, k, e->unary, "NOT", &l, err));
        *out = bx_not(b, l, e->pos);
    } else {
        TRY(bind_expr(b, k, e->binary.left, &l, err));
        TRY(bind_expr(b, k, e->binary.right, &r, err));
        TRY(bind_equality(b, BX_DISTINCT, l, r, e->binary.negated, e->pos, out, err));
    }
out:
    return st;
}

enum status bind_expr(struct binder *b, struct block *k, const struct expr *e, struct bx **out,
                      struct err *err)
{
    switch (e->kind) {
    case EXPR_CONST:
    case EXPR_NOT:
    case EXPR_DISTINCT:
        return bind_simple(b, k, e, out, err);
    case EXPR_PARAM:
        return bind_param(b, e, out, err);
    case EXPR_COLUMN:
        return bind_column(b, k, e, out, err);
    case EXPR_OP:
        return bind_op(b, k, e, out, err);
    case EXPR_AND:
    case EXPR_OR:
        return bind_logic(b, k, e, out, err);
    case EXPR_TEST:
        return bind_test(b, k, e, out, err);
    case EXPR_BETWEEN:
        return bind_between(b, k, e, out, err);
    case EXPR_IN:
        return bind_in(b, k, e, out, err);
    case EXPR_LIKE:
        return bind_like(b, k, e, out, err);
    case EXPR_SUBQUERY:
        return bind_subquery(b, k, e, out, err);
    case EXPR_ANY_ARRAY:
        return bind_any_array(b, k, e, out, err);
    case EXPR_CASE:
        return bind_case(b, k, e, out, err);
    case EXPR_CAST:
        return bind_cast(b, k, e, out, err);
    case EXPR_FUNC:
        return bind_func(b, k, e, out, err);
    case EXPR_COALESCE:
    case EXPR_NULLIF:
    case EXPR_GREATEST:
    case EXPR_LEAST:
        return bind_form(b, k, e, out, err);
    case EXPR_COLLATE:
        return bind_collate(b, k, e, out, err);
    case EXPR_STAR:
        (void)err_set(err, ST_REJECT, SQLSTATE_SYNTAX_ERROR, "\"*\" is not allowed here");
        return at(err, e->pos);
    case EXPR_DEFAULT:
        (void)err_set(err, ST_REJECT, SQLSTATE_SYNTAX_ERROR,
                      "DEFAULT is not allowed in this context");
        return at(err, e->pos);
    case EXPR_ROW:
        return bind_unsupported(err, e->pos, "a row value");
    case EXPR_ARRAY:
    case EXPR_SUBSCRIPT:
        return bind_unsupported(err, e->pos, "an array");
    case EXPR_FIELD:
        return bind_unsupported(err, e->pos, "a field of a composite value");
    }
    return bind_unsupported(err, e->pos, "this expression");
}
