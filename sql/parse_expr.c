/* The builders of expressions and types: see parse_int.h. */
#include <stdlib.h>
#include <string.h>

#include "sql/numeric.h"
#include "sql/parse_int.h"

/* ---- nodes ---- */

struct expr *expr_new(struct parser *p, enum expr_kind kind, int pos)
{
    struct expr *e = arena_zalloc(p->mem, sizeof *e);

    e->kind = kind;
    e->pos = pos;
    e->depth = 1;
    return e;
}

static void grow(struct parser *p, struct expr *e, int child_depth)
{
    if (child_depth < e->depth)
        return;
    e->depth = child_depth + 1;
    if (e->depth > SQL_NESTING_MAX)
        parser_fail(p, SQLSTATE_STATEMENT_TOO_COMPLEX, e->pos,
                    "expression is nested more than %d levels deep", SQL_NESTING_MAX);
}

void expr_grow(struct parser *p, struct expr *e, const struct expr *child)
{
    if (child != NULL)
        grow(p, e, child->depth);
}

void expr_grow_list(struct parser *p, struct expr *e, struct expr_list children)
{
    for (size_t i = 0; i < children.n; i++)
        expr_grow(p, e, children.items[i]);
}

/* ---- literals ---- */

static struct expr *expr_const(struct parser *p, struct datum value, int pos)
{
    struct expr *e = expr_new(p, EXPR_CONST, pos);

    e->konst.value = value;
    return e;
}

static struct datum int_datum(int64_t v)
{
    bool small = v >= INT32_MIN && v <= INT32_MAX;

    return (struct datum){.type = small ? TYPE_INT4 : TYPE_INT8, .i = v};
}

struct expr *expr_int(struct parser *p, int64_t v, int pos)
{
    return expr_const(p, int_datum(v), pos);
}

/* Digits only, to an integer; false if it does not fit. */
static bool digits_value(const char *s, int64_t *out)
{
    int64_t v = 0;

    for (; *s != '\0'; s++) {
        if (*s < '0' || *s > '9' || __builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, *s - '0', &v))
            return false;
    }
    *out = v;
    return true;
}

struct expr *expr_number(struct parser *p, struct token t)
{
    int64_t v;
    struct datum d = {.type = TYPE_NUMERIC};
    struct err err;

    if (digits_value(t.str, &v))
        return expr_int(p, v, t.pos);
    if (numeric_from_text(bytes_str(t.str), p->mem, &d.n, &err) != ST_OK) {
        parser_fail(p, err.sqlstate, t.pos, "%s", err.msg);
        return expr_null(p, t.pos);
    }
    return expr_const(p, d, t.pos);
}

struct expr *expr_string(struct parser *p, const char *s, int pos)
{
    return expr_const(p, (struct datum){.type = TYPE_UNKNOWN, .s = bytes_str(s)}, pos);
}

struct expr *expr_bool(struct parser *p, bool v, int pos)
{
    return expr_const(p, (struct datum){.type = TYPE_BOOL, .b = v}, pos);
}

struct expr *expr_null(struct parser *p, int pos)
{
    return expr_const(p, datum_null(TYPE_UNKNOWN), pos);
}

struct expr *expr_param(struct parser *p, struct token t)
{
    struct expr *e = expr_new(p, EXPR_PARAM, t.pos);
    int64_t n;

    if (!digits_value(t.str, &n) || n < 1 || n > SQL_PARAM_MAX) {
        parser_fail(p, SQLSTATE_UNDEFINED_PARAMETER, t.pos, "there is no parameter $%s", t.str);
        n = 1;
    }
    e->param = (int)n;
    if (e->param > p->max_param)
        p->max_param = e->param;
    return e;
}

/* -5 is a literal of its own, so that the smallest integer can be written. */
struct expr *expr_negate(struct parser *p, struct expr *arg, int pos)
{
    struct datum *d = &arg->konst.value;
    int64_t v;

    if (arg->kind != EXPR_CONST || d->null)
        return expr_op(p, "-", NULL, arg, pos);
    if ((d->type == TYPE_INT4 || d->type == TYPE_INT8) && d->i == INT64_MIN)
        return expr_const(
            p,
            (struct datum){.type = TYPE_NUMERIC, .n = numeric_from_int128(-(__int128)d->i, p->mem)},
            pos);
    if (d->type == TYPE_INT4 || d->type == TYPE_INT8)
        return expr_int(p, -d->i, pos);
    if (d->type == TYPE_NUMERIC) {
        struct datum neg = {.type = TYPE_NUMERIC, .n = numeric_neg(d->n, p->mem)};

        if (numeric_scale(neg.n) == 0 &&
            numeric_to_int(neg.n, "bigint", INT64_MIN, INT64_MIN, &v, NULL) == ST_OK)
            return expr_int(p, v, pos);
        return expr_const(p, neg, pos);
    }
    return expr_op(p, "-", NULL, arg, pos);
}

/* ---- names ---- */

struct expr *expr_column(struct parser *p, struct ident_list names)
{
    struct expr *e = expr_new(p, EXPR_COLUMN, names.items[0].pos);

    if (names.n > EXPR_COLUMN_NAMES_MAX) {
        parser_fail(p, SQLSTATE_SYNTAX_ERROR, e->pos,
                    "improper qualified name (too many dotted names): %s", dotted_text(p, names));
        names.n = EXPR_COLUMN_NAMES_MAX;
    }
    e->column.n_names = (int)names.n;
    for (size_t i = 0; i < names.n; i++)
        e->column.names[i] = names.items[i].name;
    return e;
}

struct expr *expr_star(struct parser *p, struct ident_list names, int pos)
{
    struct expr *e;

    if (names.n == 0)
        return expr_new(p, EXPR_STAR, pos);
    e = expr_column(p, names);
    e->kind = EXPR_STAR;
    return e;
}

/* ---- operators ---- */

struct expr *expr_op(struct parser *p, const char *op, struct expr *left, struct expr *right,
                     int pos)
{
    struct expr *e = expr_new(p, EXPR_OP, pos);

    e->op.name = op;
    e->op.left = left;
    e->op.right = right;
    expr_grow(p, e, left);
    expr_grow(p, e, right);
    return e;
}

static enum nonassoc nonassoc_of(const struct expr *e)
{
    static const char *const comparisons[] = {"<", ">", "=", "<=", ">=", "<>"};

    if (e->in_parens)
        return NONASSOC_NONE;
    if (e->kind == EXPR_DISTINCT)
        return NONASSOC_IS;
    if (e->kind == EXPR_BETWEEN || e->kind == EXPR_LIKE)
        return NONASSOC_LIKE;
    if (e->kind != EXPR_OP || e->op.schema != NULL || e->op.left == NULL)
        return NONASSOC_NONE;
    for (size_t i = 0; i < sizeof comparisons / sizeof comparisons[0]; i++) {
        if (strcmp(e->op.name, comparisons[i]) == 0)
            return NONASSOC_COMPARE;
    }
    return NONASSOC_NONE;
}

void expr_single(struct parser *p, const struct expr *left, enum nonassoc level,
                 const struct token *t)
{
    struct token here = *t;

    here.kind = -1; /* rules may keep something else there; it is not the end of the text */
    if (nonassoc_of(left) == level)
        parser_syntax_error(p, &here);
}

struct expr *expr_compare(struct parser *p, struct token op, struct expr *left, struct expr *right)
{
    expr_single(p, left, NONASSOC_COMPARE, &op);
    return expr_op(p, op.str, left, right, op.pos);
}

/* a AND b AND c is one node, so that a long chain is not a deep tree. */
struct expr *expr_logic(struct parser *p, enum expr_kind kind, struct expr *left,
                        struct expr *right, int pos)
{
    struct expr *e = left;

    if (left->kind != kind || left->in_parens) {
        e = expr_new(p, kind, pos);
        e->list = list_add(p, e->list, left);
        expr_grow(p, e, left);
    }
    e->list = list_add(p, e->list, right);
    expr_grow(p, e, right);
    return e;
}

struct expr *expr_unary(struct parser *p, enum expr_kind kind, struct expr *arg, int pos)
{
    struct expr *e = expr_new(p, kind, pos);

    e->unary = arg;
    expr_grow(p, e, arg);
    return e;
}

struct expr *expr_test(struct parser *p, struct expr *arg, enum test_kind test, bool negated,
                       int pos)
{
    struct expr *e = expr_new(p, EXPR_TEST, pos);

    e->test.arg = arg;
    e->test.test = test;
    e->test.negated = negated;
    expr_grow(p, e, arg);
    return e;
}

struct expr *expr_distinct(struct parser *p, struct expr *left, struct expr *right, bool negated,
                           int pos)
{
    struct expr *e = expr_new(p, EXPR_DISTINCT, pos);

    e->binary.left = left;
    e->binary.right = right;
    e->binary.negated = negated;
    expr_grow(p, e, left);
    expr_grow(p, e, right);
    return e;
}

struct expr *expr_between(struct parser *p, struct expr *arg, struct expr *low, struct expr *high,
                          int pos)
{
    struct expr *e = expr_new(p, EXPR_BETWEEN, pos);

    e->between.arg = arg;
    e->between.low = low;
    e->between.high = high;
    expr_grow(p, e, arg);
    expr_grow(p, e, low);
    expr_grow(p, e, high);
    return e;
}

struct expr *expr_like(struct parser *p, enum like_kind like, struct expr *arg,
                       struct expr *pattern, struct expr *escape, int pos)
{
    struct expr *e = expr_new(p, EXPR_LIKE, pos);

    e->like.like = like;
    e->like.arg = arg;
    e->like.pattern = pattern;
    e->like.escape = escape;
    expr_grow(p, e, arg);
    expr_grow(p, e, pattern);
    expr_grow(p, e, escape);
    return e;
}

struct expr *expr_negated(struct expr *e)
{
    if (e->kind == EXPR_LIKE)
        e->like.negated = true;
    else if (e->kind == EXPR_BETWEEN)
        e->between.negated = true;
    else if (e->kind == EXPR_IN)
        e->in.negated = true;
    else if (e->kind == EXPR_SUBQUERY)
        e->subquery.negated = true;
    return e;
}

struct expr *expr_of_list(struct parser *p, enum expr_kind kind, struct expr_list list, int pos)
{
    struct expr *e = expr_new(p, kind, pos);

    e->list = list;
    expr_grow_list(p, e, list);
    return e;
}

struct expr *expr_in_list(struct parser *p, struct expr_list list, int pos)
{
    struct expr *e = expr_new(p, EXPR_IN, pos);

    e->in.list = list;
    expr_grow_list(p, e, list);
    return e;
}

struct expr *expr_in(struct parser *p, struct expr *left, struct expr *in, int pos)
{
    in->pos = pos;
    if (in->kind == EXPR_SUBQUERY)
        in->subquery.left = left;
    else
        in->in.arg = left;
    expr_grow(p, in, left);
    return in;
}

struct expr *expr_subquery(struct parser *p, enum subquery_kind kind, struct select_stmt *select,
                           int pos)
{
    struct expr *e = expr_new(p, EXPR_SUBQUERY, pos);

    e->subquery.sub = kind;
    e->subquery.select = select;
    grow(p, e, select->depth);
    return e;
}

struct expr *expr_quantified(struct parser *p, struct expr *left, const char *op, bool all,
                             struct select_stmt *select, int pos)
{
    struct expr *e = expr_subquery(p, all ? SUBQUERY_ALL : SUBQUERY_ANY, select, pos);

    e->subquery.left = left;
    e->subquery.op = op;
    expr_grow(p, e, left);
    return e;
}

struct expr *expr_any_array(struct parser *p, struct expr *left, const char *op, bool all,
                            struct expr *array, int pos)
{
    struct expr *e = expr_new(p, EXPR_ANY_ARRAY, pos);

    e->any_array.left = left;
    e->any_array.op = op;
    e->any_array.all = all;
    e->any_array.array = array;
    expr_grow(p, e, left);
    expr_grow(p, e, array);
    return e;
}

struct expr *expr_case_when(struct parser *p, struct expr *kase, struct expr *when,
                            struct expr *then)
{
    kase->kase.whens = vec_grow(p, kase->kase.whens, kase->kase.n_whens, sizeof *kase->kase.whens);
    kase->kase.whens[kase->kase.n_whens++] = (struct case_when){when, then};
    expr_grow(p, kase, when);
    expr_grow(p, kase, then);
    return kase;
}

struct expr *expr_cast(struct parser *p, struct expr *arg, struct type_name *type, int pos)
{
    struct expr *e = expr_new(p, EXPR_CAST, pos);

    e->cast.arg = arg;
    e->cast.type = *type;
    expr_grow(p, e, arg);
    return e;
}

struct expr *expr_subscript(struct parser *p, struct expr *arg, struct expr *low, struct expr *high,
                            int pos)
{
    struct expr *e = expr_new(p, EXPR_SUBSCRIPT, pos);

    e->subscript.arg = arg;
    e->subscript.low = low;
    e->subscript.high = high;
    expr_grow(p, e, arg);
    expr_grow(p, e, low);
    expr_grow(p, e, high);
    return e;
}

struct expr *expr_field(struct parser *p, struct expr *arg, const char *name, int pos)
{
    struct expr *e = expr_new(p, EXPR_FIELD, pos);

    e->field.arg = arg;
    e->field.name = name;
    expr_grow(p, e, arg);
    return e;
}

struct expr *expr_collate(struct parser *p, struct expr *arg, struct qual_name collation, int pos)
{
    struct expr *e = expr_new(p, EXPR_COLLATE, pos);

    e->collate.arg = arg;
    e->collate.collation = collation;
    expr_grow(p, e, arg);
    return e;
}

/* ---- functions ---- */

/* Functions whose arguments are not evaluated like others' are kinds of their own. */
static bool special_func(struct parser *p, const struct ident *name, struct expr_list args,
                         const struct token *end, enum expr_kind *out)
{
    if (strcmp(name->name, "coalesce") == 0)
        *out = EXPR_COALESCE;
    else if (strcmp(name->name, "greatest") == 0)
        *out = EXPR_GREATEST;
    else if (strcmp(name->name, "least") == 0)
        *out = EXPR_LEAST;
    else if (strcmp(name->name, "nullif") == 0)
        *out = EXPR_NULLIF;
    else
        return false;
    if (args.n == 0 || (*out == EXPR_NULLIF && args.n != 2))
        parser_syntax_error(p, end);
    return true;
}

struct expr *expr_func(struct parser *p, struct ident_list name, struct expr_list args,
                       struct token end)
{
    enum expr_kind kind;
    struct qual_name q;
    struct expr *e;

    if (name.n == 1 && special_func(p, &name.items[0], args, &end, &kind))
        return expr_of_list(p, kind, args, name.items[0].pos);
    q = qual_of(p, name);
    e = expr_new(p, EXPR_FUNC, q.pos);
    e->func.schema = q.schema;
    e->func.name = q.name;
    e->func.args = args;
    expr_grow_list(p, e, args);
    return e;
}

struct expr *expr_func_form(struct parser *p, const char *name, enum func_form form,
                            struct expr_list args, int pos)
{
    struct expr *e = expr_new(p, EXPR_FUNC, pos);

    e->func.name = name;
    e->func.form = form;
    e->func.args = args;
    expr_grow_list(p, e, args);
    return e;
}

void func_within(struct parser *p, struct expr *func)
{
    if (func->kind != EXPR_FUNC)
        return; /* refused by func_modify() */
    if (func->func.order_by.n > 0)
        parser_fail(p, SQLSTATE_SYNTAX_ERROR, func->pos,
                    "cannot use multiple ORDER BY clauses with WITHIN GROUP");
    else if (func->func.distinct)
        parser_fail(p, SQLSTATE_SYNTAX_ERROR, func->pos, "cannot use DISTINCT with WITHIN GROUP");
    func->func.within_group = true;
}

struct expr *func_modify(struct parser *p, struct expr *func, struct sort_list within,
                         struct expr *filter, struct window_def *over)
{
    if (within.n == 0 && filter == NULL && over == NULL)
        return func;
    if (func->kind != EXPR_FUNC) {
        parser_fail(p, SQLSTATE_SYNTAX_ERROR, func->pos, "only a function can have a clause here");
        return func;
    }
    if (within.n > 0)
        func->func.order_by = within;
    if (filter != NULL)
        func->func.filter = filter;
    if (over != NULL)
        func->func.over = over;
    expr_grow(p, func, filter);
    for (size_t i = 0; i < within.n; i++)
        expr_grow(p, func, within.items[i].expr);
    if (over != NULL) {
        expr_grow_list(p, func, over->partition_by);
        for (size_t i = 0; i < over->order_by.n; i++)
            expr_grow(p, func, over->order_by.items[i].expr);
    }
    return func;
}

/* ---- types ---- */

struct type_name *type_new(struct parser *p, const char *name, int pos)
{
    struct type_name *t = arena_zalloc(p->mem, sizeof *t);

    t->name = name;
    t->pos = pos;
    return t;
}

/* SQL's words for PostgreSQL's types. */
static const char *internal_name(const char *name)
{
    static const char *const names[][2] = {
        {"int", "int4"},        {"integer", "int4"}, {"smallint", "int2"},
        {"bigint", "int8"},     {"real", "float4"},  {"float", "float8"},
        {"decimal", "numeric"}, {"dec", "numeric"},  {"boolean", "bool"},
    };

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(name, names[i][0]) == 0)
            return names[i][1];
    }
    return name;
}

/* float(p): which of the two is decided by the digits. */
static void float_precision(struct parser *p, struct type_name *t)
{
    const struct expr *e = t->mods.items[0];
    int64_t digits =
        e->kind == EXPR_CONST && e->konst.value.type == TYPE_INT4 ? e->konst.value.i : 0;

    if (digits < 1)
        parser_fail(p, SQLSTATE_INVALID_PARAMETER_VALUE, e->pos,
                    "precision for type float must be at least 1 bit");
    else if (digits > 53)
        parser_fail(p, SQLSTATE_INVALID_PARAMETER_VALUE, e->pos,
                    "precision for type float must be less than 54 bits");
    t->name = digits < 25 ? "float4" : "float8";
    t->mods.n = 0;
}

struct type_name *type_generic(struct parser *p, struct ident_list names, struct expr_list mods)
{
    struct qual_name q = qual_of(p, names);
    struct type_name *t = type_new(p, q.schema == NULL ? internal_name(q.name) : q.name, q.pos);

    t->schema = q.schema;
    t->mods = mods;
    if (mods.n == 1 && q.schema == NULL && strcmp(q.name, "float") == 0)
        float_precision(p, t);
    for (size_t i = 0; i < mods.n; i++) {
        if (mods.items[i]->depth > 8) /* literals are expected */
            parser_fail(p, SQLSTATE_INVALID_PARAMETER_VALUE, t->pos,
                        "type modifiers must be simple constants or identifiers");
    }
    return t;
}

struct type_name *type_char(struct parser *p, bool varying, struct expr_list mods, int pos)
{
    struct type_name *t = type_new(p, varying ? "varchar" : "bpchar", pos);

    t->mods = mods;
    if (!varying && mods.n == 0)
        t->mods = list_add(p, mods, expr_int(p, 1, pos)); /* char is char(1) */
    return t;
}
