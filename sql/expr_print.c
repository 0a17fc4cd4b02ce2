/* Bound expressions as SQL text, for EXPLAIN. */
#include <stdio.h>

#include "sql/deparse.h"
#include "sql/expr.h"

static void put_str(const struct bx_text *out, const char *s)
{
    buf_put(out->buf, s, strlen(s));
}

static void print_list(struct bx *const *items, size_t n, const char *between,
                       const struct bx_text *out)
{
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            put_str(out, between);
        bx_print(items[i], out);
    }
}

static bool is_sign(const char *name)
{
    return strchr("+-*/%<>=!~|&#^@", name[0]) != NULL;
}

static void print_func(const struct bx *e, const struct bx_text *out)
{
    const char *name = e->func.func->name;

    if (!is_sign(name)) {
        put_str(out, name);
        put_str(out, "(");
        print_list(e->func.args, e->func.n, ", ", out);
        put_str(out, ")");
        return;
    }
    put_str(out, "(");
    if (e->func.n == 2) {
        bx_print(e->func.args[0], out);
        put_str(out, " ");
    }
    put_str(out, name);
    put_str(out, e->func.n == 2 ? " " : "");
    bx_print(e->func.args[e->func.n - 1], out);
    put_str(out, ")");
}

static void print_test(const struct bx *e, const struct bx_text *out)
{
    static const char *const words[] = {"NULL", "TRUE", "FALSE", "UNKNOWN"};

    put_str(out, "(");
    bx_print(e->test.arg, out);
    put_str(out, e->test.negated ? " IS NOT " : " IS ");
    put_str(out, words[e->test.test]);
    put_str(out, ")");
}

static void print_case(const struct bx *e, const struct bx_text *out)
{
    put_str(out, "CASE");
    for (size_t i = 0; i < e->kase.n; i++) {
        put_str(out, " WHEN ");
        bx_print(e->kase.whens[i].when, out);
        put_str(out, " THEN ");
        bx_print(e->kase.whens[i].then, out);
    }
    if (e->kase.otherwise != NULL) {
        put_str(out, " ELSE ");
        bx_print(e->kase.otherwise, out);
    }
    put_str(out, " END");
}

static void print_subquery(const struct bx *e, const struct bx_text *out)
{
    char name[32];

    if (e->subquery->n_left > 0) {
        put_str(out, e->subquery->negated ? "NOT (" : "(");
        print_list(e->subquery->left, e->subquery->n_left, ", ", out);
        put_str(out, e->subquery->kind == SUBQUERY_ALL ? " ALL " : " IN ");
    }
    if (e->subquery->kind == SUBQUERY_EXISTS)
        put_str(out, "EXISTS");
    (void)snprintf(name, sizeof name, "(SubPlan %u)", e->subquery->id + 1);
    put_str(out, name);
    if (e->subquery->n_left > 0)
        put_str(out, ")");
}

static void print_const(const struct bx *e, const struct bx_text *out)
{
    deparse_literal(out->buf, &e->konst);
    if (e->konst.null || e->type == TYPE_TIMESTAMPTZ || e->type == TYPE_BYTEA ||
        e->type == TYPE_TEXT || e->type == TYPE_VARCHAR || e->type == TYPE_BPCHAR) {
        put_str(out, "::");
        put_str(out, type_info(e->type)->name);
    }
}

static void print_agg(const struct bx *e, const struct bx_text *out)
{
    put_str(out, e->agg->agg->name);
    put_str(out, e->agg->distinct ? "(DISTINCT " : "(");
    if (e->agg->n_args == 0)
        put_str(out, "*");
    print_list(e->agg->args, e->agg->n_args, ", ", out);
    put_str(out, ")");
}

static void print_wrapped(const char *name, struct bx *const *items, size_t n,
                          const struct bx_text *out)
{
    put_str(out, name);
    put_str(out, "(");
    print_list(items, n, ", ", out);
    put_str(out, ")");
}

static void print_name(const struct bx *e, const struct bx_text *out)
{
    char number[32];

    if (e->kind == BX_PARAM) {
        (void)snprintf(number, sizeof number, "$%u", e->param + 1);
        put_str(out, number);
        return;
    }
    if (e->var.table != NULL && (out->qualified || e->var.level > 0)) {
        deparse_ident(out->buf, e->var.table);
        put_str(out, ".");
    }
    if (e->var.name != NULL)
        deparse_ident(out->buf, e->var.name);
    else
        put_str(out, "?");
}

static void print_distinct(const struct bx *e, const struct bx_text *out)
{
    put_str(out, "(");
    bx_print(e->distinct.left, out);
    put_str(out, e->distinct.negated ? " IS NOT DISTINCT FROM " : " IS DISTINCT FROM ");
    bx_print(e->distinct.right, out);
    put_str(out, ")");
}

void bx_print(const struct bx *e, const struct bx_text *out)
{
    switch (e->kind) {
    case BX_CONST:
        print_const(e, out);
        return;
    case BX_PARAM:
    case BX_VAR:
        print_name(e, out);
        return;
    case BX_FUNC:
        print_func(e, out);
        return;
    case BX_AND:
    case BX_OR:
        put_str(out, "(");
        print_list(e->list.items, e->list.n, e->kind == BX_AND ? " AND " : " OR ", out);
        put_str(out, ")");
        return;
    case BX_NOT:
        put_str(out, "(NOT ");
        bx_print(e->unary, out);
        put_str(out, ")");
        return;
    case BX_TEST:
        print_test(e, out);
        return;
    case BX_DISTINCT:
        print_distinct(e, out);
        return;
    case BX_IN:
        put_str(out, "(");
        bx_print(e->in.arg, out);
        print_wrapped(e->in.negated ? " NOT IN " : " IN ", e->in.items, e->in.n, out);
        put_str(out, ")");
        return;
    case BX_CASE:
        print_case(e, out);
        return;
    case BX_CAST:
        bx_print(e->cast.arg, out);
        if (!e->cast.cast->relabel) {
            put_str(out, "::");
            put_str(out, type_info(e->type)->name);
        }
        return;
    case BX_TYPMOD:
        bx_print(e->typmodded.arg, out);
        return;
    case BX_COALESCE:
        print_wrapped("COALESCE", e->list.items, e->list.n, out);
        return;
    case BX_NULLIF:
        print_wrapped("NULLIF", (struct bx *const[]){e->distinct.left, e->distinct.right}, 2, out);
        return;
    case BX_MINMAX:
        print_wrapped(e->minmax.before->cmp == CMP_LT ? "LEAST" : "GREATEST", e->minmax.items,
                      e->minmax.n, out);
        return;
    case BX_SUBQUERY:
        print_subquery(e, out);
        return;
    case BX_AGG:
        print_agg(e, out);
        return;
    }
}
