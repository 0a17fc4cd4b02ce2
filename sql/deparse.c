#include "sql/deparse.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "sql/keyword.h"
#include "sql/numeric.h"

/* Operators are put in parentheses of their own throughout: nothing depends on precedence. */

static void put(struct buf *out, const char *s)
{
    buf_put(out, s, strlen(s));
}

static void put_expr(struct buf *out, const struct expr *e);
static void put_select(struct buf *out, const struct select_stmt *s);

void deparse_ident(struct buf *out, const char *name)
{
    if (!keyword_needs_quotes(name)) {
        put(out, name);
        return;
    }
    put(out, "\"");
    for (const char *p = name; *p != '\0'; p++) {
        if (*p == '"')
            put(out, "\"");
        buf_put_u8(out, (uint8_t)*p);
    }
    put(out, "\"");
}

static bool is_number(enum sql_type t)
{
    return type_info(t)->category == 'N' && t != TYPE_FLOAT4 && t != TYPE_FLOAT8;
}

void deparse_literal(struct buf *out, const struct datum *v)
{
    struct arena mem;
    struct bytes text;

    if (v->null) {
        put(out, "NULL");
        return;
    }
    if (v->type == TYPE_BOOL) {
        put(out, v->b ? "true" : "false");
        return;
    }
    arena_init(&mem, 0);
    text = datum_text(v, &mem);
    if (is_number(v->type) && text.len > 0 && text.ptr[text.len - 1] <= '9') {
        buf_put(out, text.ptr, text.len);
        if (v->type == TYPE_NUMERIC && numeric_scale(v->n) == 0)
            put(out, "."); /* or it would be read as an integer */
    } else {
        if (memchr(text.ptr == NULL ? (const uint8_t *)"" : text.ptr, '\\', text.len) != NULL)
            put(out, "E");
        put(out, "'");
        for (size_t i = 0; i < text.len; i++) {
            if (text.ptr[i] == '\'' || text.ptr[i] == '\\')
                buf_put_u8(out, text.ptr[i]);
            buf_put_u8(out, text.ptr[i]);
        }
        put(out, "'");
    }
    arena_fini(&mem);
}

static void put_qual_name(struct buf *out, const struct qual_name *n)
{
    if (n->catalog != NULL) {
        deparse_ident(out, n->catalog);
        put(out, ".");
    }
    if (n->schema != NULL) {
        deparse_ident(out, n->schema);
        put(out, ".");
    }
    deparse_ident(out, n->name);
}

static void put_list(struct buf *out, const struct expr_list *l, const char *between)
{
    for (size_t i = 0; i < l->n; i++) {
        if (i > 0)
            put(out, between);
        put_expr(out, l->items[i]);
    }
}

static void put_paren_list(struct buf *out, const char *word, const struct expr_list *l)
{
    put(out, word);
    put(out, "(");
    put_list(out, l, ", ");
    put(out, ")");
}

static void put_idents(struct buf *out, const struct ident_list *l)
{
    put(out, "(");
    for (size_t i = 0; i < l->n; i++) {
        if (i > 0)
            put(out, ", ");
        deparse_ident(out, l->items[i].name);
    }
    put(out, ")");
}

static void put_type(struct buf *out, const struct type_name *t)
{
    if (t->schema != NULL) {
        deparse_ident(out, t->schema);
        put(out, ".");
    }
    deparse_ident(out, t->name);
    if (t->mods.n > 0)
        put_paren_list(out, "", &t->mods);
    for (int i = 0; i < t->array_dims; i++)
        put(out, "[]");
}

static void put_sort(struct buf *out, const struct sort_list *l)
{
    put(out, " ORDER BY ");
    for (size_t i = 0; i < l->n; i++) {
        const struct sort_item *s = &l->items[i];

        if (i > 0)
            put(out, ", ");
        put_expr(out, s->expr);
        if (s->using_op != NULL) {
            put(out, " USING ");
            put(out, s->using_op);
        } else if (s->desc)
            put(out, " DESC");
        if (s->nulls != NULLS_DEFAULT)
            put(out, s->nulls == NULLS_FIRST ? " NULLS FIRST" : " NULLS LAST");
    }
}

static void put_column(struct buf *out, const struct expr_column *c)
{
    for (int i = 0; i < c->n_names; i++) {
        if (i > 0)
            put(out, ".");
        deparse_ident(out, c->names[i]);
    }
}

static void put_op(struct buf *out, const struct expr_op *o)
{
    put(out, "(");
    if (o->left != NULL) {
        put_expr(out, o->left);
        put(out, " ");
    }
    if (o->schema != NULL) {
        put(out, "OPERATOR(");
        deparse_ident(out, o->schema);
        put(out, ".");
        put(out, o->name);
        put(out, ") ");
    } else {
        put(out, o->name);
        put(out, " ");
    }
    put_expr(out, o->right);
    put(out, ")");
}

static void put_joined(struct buf *out, const struct expr_list *l, const char *between)
{
    put(out, "(");
    put_list(out, l, between);
    put(out, ")");
}

static void put_test(struct buf *out, const struct expr *e)
{
    static const char *const words[] = {
        [TEST_NULL] = "NULL",
        [TEST_TRUE] = "TRUE",
        [TEST_FALSE] = "FALSE",
        [TEST_UNKNOWN] = "UNKNOWN",
    };

    put(out, "(");
    put_expr(out, e->test.arg);
    put(out, e->test.negated ? " IS NOT " : " IS ");
    put(out, words[e->test.test]);
    put(out, ")");
}

static void put_between(struct buf *out, const struct expr *e)
{
    put(out, "(");
    put_expr(out, e->between.arg);
    put(out, e->between.negated ? " NOT BETWEEN " : " BETWEEN ");
    put(out, e->between.symmetric ? "SYMMETRIC " : "");
    put_expr(out, e->between.low);
    put(out, " AND ");
    put_expr(out, e->between.high);
    put(out, ")");
}

static void put_like(struct buf *out, const struct expr *e)
{
    static const char *const words[] = {
        [LIKE_LIKE] = " LIKE ", [LIKE_ILIKE] = " ILIKE ", [LIKE_SIMILAR] = " SIMILAR TO "};

    put(out, "(");
    put_expr(out, e->like.arg);
    put(out, e->like.negated ? " NOT" : "");
    put(out, words[e->like.like]);
    put_expr(out, e->like.pattern);
    if (e->like.escape != NULL) {
        put(out, " ESCAPE ");
        put_expr(out, e->like.escape);
    }
    put(out, ")");
}

static void put_subquery(struct buf *out, const struct expr *e)
{
    put(out, "(");
    if (e->subquery.left != NULL)
        put_expr(out, e->subquery.left);
    switch (e->subquery.sub) {
    case SUBQUERY_SCALAR:
        break;
    case SUBQUERY_EXISTS:
        put(out, "EXISTS ");
        break;
    case SUBQUERY_IN:
        put(out, e->subquery.negated ? " NOT IN " : " IN ");
        break;
    case SUBQUERY_ANY:
    case SUBQUERY_ALL:
        put(out, " ");
        put(out, e->subquery.op);
        put(out, e->subquery.sub == SUBQUERY_ANY ? " ANY " : " ALL ");
        break;
    case SUBQUERY_ARRAY:
        put(out, "ARRAY");
        break;
    }
    put(out, "(");
    put_select(out, e->subquery.select);
    put(out, "))");
}

static void put_case(struct buf *out, const struct expr *e)
{
    put(out, "CASE");
    if (e->kase.arg != NULL) {
        put(out, " ");
        put_expr(out, e->kase.arg);
    }
    for (size_t i = 0; i < e->kase.n_whens; i++) {
        put(out, " WHEN ");
        put_expr(out, e->kase.whens[i].when);
        put(out, " THEN ");
        put_expr(out, e->kase.whens[i].then);
    }
    if (e->kase.otherwise != NULL) {
        put(out, " ELSE ");
        put_expr(out, e->kase.otherwise);
    }
    put(out, " END");
}

static void put_window_def(struct buf *out, const struct window_def *w)
{
    put(out, "(");
    if (w->name != NULL)
        deparse_ident(out, w->name);
    if (w->partition_by.n > 0) {
        put(out, " PARTITION BY ");
        put_list(out, &w->partition_by, ", ");
    }
    if (w->order_by.n > 0)
        put_sort(out, &w->order_by);
    put(out, ")");
}

static void put_window(struct buf *out, const struct window_def *w)
{
    put(out, " OVER ");
    if (w->name != NULL && w->partition_by.n == 0 && w->order_by.n == 0)
        deparse_ident(out, w->name);
    else
        put_window_def(out, w);
}

/* EXTRACT, POSITION: with words between the arguments. False: the call is written like any other. */
static bool put_worded(struct buf *out, const struct expr_func *f)
{
    if (f->form == FUNC_WORD && f->args.n == 0) {
        put(out, f->name); /* CURRENT_USER: a word, without parentheses and quotes */
        return true;
    }
    if (f->form != FUNC_SQL || f->args.n != 2)
        return false;
    if (strcmp(f->name, "position") == 0) {
        put(out, "position(");
        put_expr(out, f->args.items[1]);
        put(out, " IN ");
        put_expr(out, f->args.items[0]);
    } else if (strcmp(f->name, "extract") == 0) {
        put(out, "extract(");
        put_expr(out, f->args.items[0]);
        put(out, " FROM ");
        put_expr(out, f->args.items[1]);
    } else {
        return false;
    }
    put(out, ")");
    return true;
}

static void put_args(struct buf *out, const struct expr_func *f)
{
    put(out, "(");
    put(out, f->distinct ? "DISTINCT " : "");
    put(out, f->star ? "*" : "");
    for (size_t i = 0; i < f->args.n; i++) {
        put(out, i > 0 ? ", " : "");
        put(out, f->variadic && i + 1 == f->args.n ? "VARIADIC " : "");
        put_expr(out, f->args.items[i]);
    }
    if (f->order_by.n > 0 && !f->within_group)
        put_sort(out, &f->order_by);
    put(out, ")");
}

static void put_func(struct buf *out, const struct expr_func *f)
{
    if (f->schema != NULL) {
        deparse_ident(out, f->schema);
        put(out, ".");
    }
    if (put_worded(out, f))
        return;
    if (f->form == FUNC_WORD)
        put(out, f->name);
    else
        deparse_ident(out, f->name);
    put_args(out, f);
    if (f->within_group) {
        put(out, " WITHIN GROUP (");
        put_sort(out, &f->order_by);
        put(out, ")");
    }
    if (f->filter != NULL) {
        put(out, " FILTER (WHERE ");
        put_expr(out, f->filter);
        put(out, ")");
    }
    if (f->over != NULL)
        put_window(out, f->over);
}

static void put_subscript(struct buf *out, const struct expr *e)
{
    put(out, "(");
    put_expr(out, e->subscript.arg);
    put(out, ")[");
    if (e->subscript.low != NULL)
        put_expr(out, e->subscript.low);
    if (e->subscript.slice)
        put(out, ":");
    if (e->subscript.high != NULL)
        put_expr(out, e->subscript.high);
    put(out, "]");
}

static void put_number(struct buf *out, const char *fmt, int n)
{
    char text[16];

    (void)snprintf(text, sizeof text, "%d", n); /* fits */
    put(out, fmt);
    put(out, text);
}

static void put_in(struct buf *out, const struct expr *e)
{
    put(out, "(");
    put_expr(out, e->in.arg);
    put_paren_list(out, e->in.negated ? " NOT IN " : " IN ", &e->in.list);
    put(out, ")");
}

static void put_expr(struct buf *out, const struct expr *e)
{
    switch (e->kind) {
    case EXPR_CONST:
        deparse_literal(out, &e->konst.value);
        break;
    case EXPR_PARAM:
        put_number(out, "$", e->param);
        break;
    case EXPR_COLUMN:
        put_column(out, &e->column);
        break;
    case EXPR_STAR:
        put_column(out, &e->column);
        put(out, e->column.n_names > 0 ? ".*" : "*");
        break;
    case EXPR_OP:
        put_op(out, &e->op);
        break;
    case EXPR_AND:
        put_joined(out, &e->list, " AND ");
        break;
    case EXPR_OR:
        put_joined(out, &e->list, " OR ");
        break;
    case EXPR_NOT:
        put(out, "(NOT ");
        put_expr(out, e->unary);
        put(out, ")");
        break;
    case EXPR_TEST:
        put_test(out, e);
        break;
    case EXPR_DISTINCT:
        put(out, "(");
        put_expr(out, e->binary.left);
        put(out, e->binary.negated ? " IS NOT DISTINCT FROM " : " IS DISTINCT FROM ");
        put_expr(out, e->binary.right);
        put(out, ")");
        break;
    case EXPR_BETWEEN:
        put_between(out, e);
        break;
    case EXPR_IN:
        put_in(out, e);
        break;
    case EXPR_LIKE:
        put_like(out, e);
        break;
    case EXPR_SUBQUERY:
        put_subquery(out, e);
        break;
    case EXPR_ANY_ARRAY:
        put(out, "(");
        put_expr(out, e->any_array.left);
        put(out, " ");
        put(out, e->any_array.op);
        put(out, e->any_array.all ? " ALL (" : " ANY (");
        put_expr(out, e->any_array.array);
        put(out, "))");
        break;
    case EXPR_CASE:
        put_case(out, e);
        break;
    case EXPR_CAST:
        put(out, "CAST(");
        put_expr(out, e->cast.arg);
        put(out, " AS ");
        put_type(out, &e->cast.type);
        put(out, ")");
        break;
    case EXPR_FUNC:
        put_func(out, &e->func);
        break;
    case EXPR_COALESCE:
        put_paren_list(out, "COALESCE", &e->list);
        break;
    case EXPR_NULLIF:
        put_paren_list(out, "NULLIF", &e->list);
        break;
    case EXPR_GREATEST:
        put_paren_list(out, "GREATEST", &e->list);
        break;
    case EXPR_LEAST:
        put_paren_list(out, "LEAST", &e->list);
        break;
    case EXPR_ROW:
        put_paren_list(out, "ROW", &e->list);
        break;
    case EXPR_ARRAY:
        put(out, "ARRAY[");
        put_list(out, &e->list, ", ");
        put(out, "]");
        break;
    case EXPR_SUBSCRIPT:
        put_subscript(out, e);
        break;
    case EXPR_FIELD:
        put(out, "(");
        put_expr(out, e->field.arg);
        put(out, ").");
        if (e->field.name == NULL)
            put(out, "*");
        else
            deparse_ident(out, e->field.name);
        break;
    case EXPR_COLLATE:
        put(out, "(");
        put_expr(out, e->collate.arg);
        put(out, " COLLATE ");
        put_qual_name(out, &e->collate.collation);
        put(out, ")");
        break;
    case EXPR_DEFAULT:
        put(out, "DEFAULT");
        break;
    }
}

/* Queries. */

static void put_targets(struct buf *out, const struct target_list *l)
{
    for (size_t i = 0; i < l->n; i++) {
        if (i > 0)
            put(out, ", ");
        put_expr(out, l->items[i].expr);
        if (l->items[i].alias != NULL) {
            put(out, " AS ");
            deparse_ident(out, l->items[i].alias);
        }
    }
}

static void put_alias(struct buf *out, const struct alias *a)
{
    if (a->name == NULL)
        return;
    put(out, " AS ");
    deparse_ident(out, a->name);
    if (a->columns.n > 0)
        put_idents(out, &a->columns);
}

static void put_from_item(struct buf *out, const struct from_item *f);

static void put_join(struct buf *out, const struct from_item *f)
{
    static const char *const words[] = {
        [JOIN_INNER] = " JOIN ",     [JOIN_LEFT] = " LEFT JOIN ",   [JOIN_RIGHT] = " RIGHT JOIN ",
        [JOIN_FULL] = " FULL JOIN ", [JOIN_CROSS] = " CROSS JOIN ",
    };

    put(out, "(");
    put_from_item(out, f->join.left);
    put(out, f->join.natural ? " NATURAL" : "");
    put(out, words[f->join.join]);
    put_from_item(out, f->join.right);
    if (f->join.on != NULL) {
        put(out, " ON ");
        put_expr(out, f->join.on);
    }
    if (f->join.using.n > 0) {
        put(out, " USING ");
        put_idents(out, &f->join.using);
    }
    put(out, ")");
}

static void put_from_item(struct buf *out, const struct from_item *f)
{
    switch (f->kind) {
    case FROM_TABLE:
        put(out, f->table.only ? "ONLY " : "");
        put_qual_name(out, &f->table.name);
        break;
    case FROM_SUBQUERY:
        put(out, f->subquery.lateral ? "LATERAL (" : "(");
        put_select(out, f->subquery.select);
        put(out, ")");
        break;
    case FROM_FUNC:
        put(out, f->func.lateral ? "LATERAL " : "");
        put_expr(out, f->func.call);
        put(out, f->func.ordinality ? " WITH ORDINALITY" : "");
        break;
    case FROM_JOIN:
        put_join(out, f);
        break;
    }
    put_alias(out, &f->alias);
}

static void put_from(struct buf *out, const char *word, const struct from_list *l)
{
    for (size_t i = 0; i < l->n; i++) {
        put(out, i == 0 ? word : ", ");
        put_from_item(out, l->items[i]);
    }
}

static void put_clause(struct buf *out, const char *word, const struct expr *e)
{
    if (e == NULL)
        return;
    put(out, word);
    put_expr(out, e);
}

static void put_plain(struct buf *out, const struct select_stmt *s)
{
    put(out, "SELECT ");
    if (s->distinct == DISTINCT_YES)
        put(out, "DISTINCT ");
    if (s->distinct == DISTINCT_ON) {
        put_paren_list(out, "DISTINCT ON ", &s->distinct_on);
        put(out, " ");
    }
    put_targets(out, &s->targets);
    put_from(out, " FROM ", &s->from);
    put_clause(out, " AS OF SYSTEM TIME ", s->as_of);
    put_clause(out, " WHERE ", s->where);
    if (s->group_by.n > 0) {
        put(out, s->group_distinct ? " GROUP BY DISTINCT " : " GROUP BY ");
        put_list(out, &s->group_by, ", ");
    }
    put_clause(out, " HAVING ", s->having);
    for (size_t i = 0; i < s->n_windows; i++) {
        put(out, i == 0 ? " WINDOW " : ", ");
        deparse_ident(out, s->windows[i].name.name);
        put(out, " AS ");
        put_window_def(out, s->windows[i].def);
    }
}

static void put_values(struct buf *out, const struct select_stmt *s)
{
    put(out, "VALUES ");
    for (size_t i = 0; i < s->n_rows; i++)
        put_paren_list(out, i > 0 ? ", " : "", &s->rows[i]);
}

static void put_setop(struct buf *out, const struct select_stmt *s)
{
    static const char *const words[] = {[SETOP_UNION] = ") UNION ",
                                        [SETOP_INTERSECT] = ") INTERSECT ",
                                        [SETOP_EXCEPT] = ") EXCEPT "};

    put(out, "(");
    put_select(out, s->left);
    put(out, words[s->setop]);
    put(out, s->setop_all ? "ALL (" : "(");
    put_select(out, s->right);
    put(out, ")");
}

static void put_locking(struct buf *out, const struct locking *l)
{
    static const char *const words[] = {
        [LOCK_KEY_SHARE] = " FOR KEY SHARE",
        [LOCK_SHARE] = " FOR SHARE",
        [LOCK_NO_KEY_UPDATE] = " FOR NO KEY UPDATE",
        [LOCK_UPDATE] = " FOR UPDATE",
    };

    put(out, words[l->strength]);
    for (size_t i = 0; i < l->of.n; i++) {
        put(out, i == 0 ? " OF " : ", ");
        put_qual_name(out, &l->of.items[i]);
    }
    if (l->wait != LOCK_BLOCK)
        put(out, l->wait == LOCK_NOWAIT ? " NOWAIT" : " SKIP LOCKED");
}

static void put_with(struct buf *out, const struct with_clause *w)
{
    struct arena mem;

    if (w->n == 0)
        return;
    arena_init(&mem, 0);
    put(out, w->recursive ? "WITH RECURSIVE " : "WITH ");
    for (size_t i = 0; i < w->n; i++) {
        const struct cte *c = &w->items[i];

        put(out, i > 0 ? ", " : "");
        deparse_ident(out, c->name.name);
        if (c->columns.n > 0)
            put_idents(out, &c->columns);
        put(out, " AS ");
        if (c->materialized != CTE_DEFAULT)
            put(out, c->materialized == CTE_MATERIALIZED ? "MATERIALIZED " : "NOT MATERIALIZED ");
        put(out, "(");
        put(out, deparse_stmt(c->stmt, &mem));
        put(out, ") ");
    }
    arena_fini(&mem);
}

static void put_select(struct buf *out, const struct select_stmt *s)
{
    put_with(out, &s->with);
    switch (s->kind) {
    case SELECT_PLAIN:
        put_plain(out, s);
        break;
    case SELECT_VALUES:
        put_values(out, s);
        break;
    case SELECT_SETOP:
        put_setop(out, s);
        break;
    }
    if (s->order_by.n > 0)
        put_sort(out, &s->order_by);
    if (s->with_ties) {
        put_clause(out, " OFFSET ", s->offset);
        put_clause(out, " FETCH FIRST ", s->limit);
        put(out, " ROWS WITH TIES");
    } else {
        put_clause(out, " LIMIT ", s->limit);
        put_clause(out, " OFFSET ", s->offset);
    }
    for (size_t i = 0; i < s->locking.n; i++)
        put_locking(out, &s->locking.items[i]);
}

/* Data. */

static void put_set_list(struct buf *out, const struct set_list *l)
{
    for (size_t i = 0; i < l->n; i += (size_t)l->items[i].row_width) {
        const struct set_item *item = &l->items[i];

        put(out, i > 0 ? ", " : "");
        if (item->row_width == 1) {
            deparse_ident(out, item->column.name);
        } else {
            put(out, "(");
            for (int k = 0; k < item->row_width; k++) {
                put(out, k > 0 ? ", " : "");
                deparse_ident(out, l->items[i + (size_t)k].column.name);
            }
            put(out, ")");
        }
        put(out, " = ");
        put_expr(out, item->value);
    }
}

static void put_returning(struct buf *out, const struct target_list *l)
{
    if (l->n == 0)
        return;
    put(out, " RETURNING ");
    put_targets(out, l);
}

static void put_aliased(struct buf *out, const struct qual_name *table, const char *alias)
{
    put_qual_name(out, table);
    if (alias != NULL) {
        put(out, " AS ");
        deparse_ident(out, alias);
    }
}

static void put_conflict(struct buf *out, const struct on_conflict *c)
{
    if (c->action == CONFLICT_NONE)
        return;
    put(out, " ON CONFLICT");
    if (c->constraint != NULL) {
        put(out, " ON CONSTRAINT ");
        deparse_ident(out, c->constraint);
    }
    if (c->target.n > 0)
        put_paren_list(out, " ", &c->target);
    put_clause(out, " WHERE ", c->target_where);
    if (c->action == CONFLICT_NOTHING) {
        put(out, " DO NOTHING");
        return;
    }
    put(out, " DO UPDATE SET ");
    put_set_list(out, &c->set);
    put_clause(out, " WHERE ", c->where);
}

static void put_insert(struct buf *out, const struct insert_stmt *s)
{
    put_with(out, &s->with);
    put(out, "INSERT INTO ");
    put_aliased(out, &s->table, s->alias);
    if (s->columns.n > 0) {
        put(out, " ");
        put_idents(out, &s->columns);
    }
    put(out, " ");
    if (s->source == NULL)
        put(out, "DEFAULT VALUES");
    else
        put_select(out, s->source);
    put_conflict(out, &s->conflict);
    put_returning(out, &s->returning);
}

static void put_update(struct buf *out, const struct update_stmt *s)
{
    put_with(out, &s->with);
    put(out, "UPDATE ");
    put_aliased(out, &s->table, s->alias);
    put(out, " SET ");
    put_set_list(out, &s->set);
    put_from(out, " FROM ", &s->from);
    put_clause(out, " WHERE ", s->where);
    put_returning(out, &s->returning);
}

static void put_delete(struct buf *out, const struct delete_stmt *s)
{
    put_with(out, &s->with);
    put(out, "DELETE FROM ");
    put_aliased(out, &s->table, s->alias);
    put_from(out, " USING ", &s->using);
    put_clause(out, " WHERE ", s->where);
    put_returning(out, &s->returning);
}

static const char *finish(struct buf *b, struct arena *mem)
{
    const char *s = arena_strndup(mem, b->ptr == NULL ? "" : (const char *)b->ptr, b->len);

    buf_fini(b);
    return s;
}

const char *deparse_expr(const struct expr *e, struct arena *mem)
{
    struct buf b = {0};

    put_expr(&b, e);
    return finish(&b, mem);
}

const char *deparse_select(const struct select_stmt *s, struct arena *mem)
{
    struct buf b = {0};

    put_select(&b, s);
    return finish(&b, mem);
}

const char *deparse_stmt(const struct stmt *s, struct arena *mem)
{
    struct buf b = {0};

    switch (s->kind) {
    case STMT_SELECT:
        put_select(&b, s->select);
        break;
    case STMT_INSERT:
        put_insert(&b, s->insert);
        break;
    case STMT_UPDATE:
        put_update(&b, s->update);
        break;
    case STMT_DELETE:
        put_delete(&b, s->delete);
        break;
    case STMT_CREATE_TABLE:
    case STMT_CREATE_INDEX:
    case STMT_DROP:
    case STMT_TRUNCATE:
    case STMT_ALTER_TABLE:
    case STMT_TXN:
    case STMT_SET:
    case STMT_SHOW:
    case STMT_PREPARE:
    case STMT_EXECUTE:
    case STMT_DEALLOCATE:
    case STMT_EXPLAIN:
    case STMT_MAINTENANCE:
        ASSERT(!"a statement that is shown by its own text");
    }
    return finish(&b, mem);
}

/* PostgreSQL's FigureColname: how strong a name is decides which of two is taken. */
static const char *figure_name(const struct expr *e, int *out_strength)
{
    const char *name = NULL;
    int inner = 0;

    *out_strength = 2;
    switch (e->kind) {
    case EXPR_COLUMN:
        return e->column.names[e->column.n_names - 1];
    case EXPR_FIELD:
        return e->field.name;
    case EXPR_SUBSCRIPT:
        return figure_name(e->subscript.arg, out_strength);
    case EXPR_FUNC:
        return e->func.name;
    case EXPR_COALESCE:
        return "coalesce";
    case EXPR_NULLIF:
        return "nullif";
    case EXPR_GREATEST:
        return "greatest";
    case EXPR_LEAST:
        return "least";
    case EXPR_ROW:
        return "row";
    case EXPR_ARRAY:
        return "array";
    case EXPR_COLLATE:
        return figure_name(e->collate.arg, out_strength);
    case EXPR_CASE:
        if (e->kase.otherwise != NULL)
            name = figure_name(e->kase.otherwise, &inner);
        *out_strength = inner > 1 ? inner : 1;
        return inner > 1 ? name : "case";
    case EXPR_CAST:
        name = figure_name(e->cast.arg, &inner);
        *out_strength = inner > 1 ? inner : 1;
        return inner > 1 ? name : e->cast.type.name;
    case EXPR_SUBQUERY:
        if (e->subquery.sub == SUBQUERY_EXISTS)
            return "exists";
        if (e->subquery.sub == SUBQUERY_ARRAY)
            return "array";
        if (e->subquery.sub == SUBQUERY_SCALAR && e->subquery.select->kind == SELECT_PLAIN &&
            e->subquery.select->targets.n > 0)
            return target_name(&e->subquery.select->targets.items[0]);
        break;
    case EXPR_CONST:
    case EXPR_PARAM:
    case EXPR_STAR:
    case EXPR_OP:
    case EXPR_AND:
    case EXPR_OR:
    case EXPR_NOT:
    case EXPR_TEST:
    case EXPR_DISTINCT:
    case EXPR_BETWEEN:
    case EXPR_IN:
    case EXPR_LIKE:
    case EXPR_ANY_ARRAY:
    case EXPR_DEFAULT:
        break;
    }
    *out_strength = 0;
    return NULL;
}

const char *target_name(const struct target *t)
{
    int strength;
    const char *name;

    if (t->alias != NULL)
        return t->alias;
    name = figure_name(t->expr, &strength);
    return name == NULL ? "?column?" : name;
}
