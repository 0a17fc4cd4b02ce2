/* The builders of lists, queries and statements: see parse_int.h. */
#include <string.h>

#include "lemon/parse.h"
#include "sql/parse_int.h"

/* ---- names and lists ---- */

void *vec_grow(struct parser *p, void *items, size_t n, size_t size)
{
    void *grown;

    if (n != 0 && (n < 4 || (n & (n - 1)) != 0))
        return items; /* room was made at 0 (for four) and at each power of two from four on */
    grown = arena_alloc(p->mem, (n == 0 ? 4 : n * 2) * size);
    if (n > 0)
        memcpy(grown, items, n * size);
    return grown;
}

struct ident ident_of(struct token t)
{
    return (struct ident){t.str, t.pos};
}

struct ident_list ident_add(struct parser *p, struct ident_list l, struct ident id)
{
    l.items = vec_grow(p, l.items, l.n, sizeof *l.items);
    l.items[l.n++] = id;
    return l;
}

const char *dotted_text(struct parser *p, struct ident_list names)
{
    const char *s = names.items[0].name;

    for (size_t i = 1; i < names.n && i < 100; i++)
        s = arena_printf(p->mem, "%s.%s", s, names.items[i].name);
    return s;
}

struct qual_name qual_of(struct parser *p, struct ident_list parts)
{
    struct qual_name q = {.name = parts.items[parts.n - 1].name, .pos = parts.items[0].pos};

    if (parts.n > 3)
        parser_fail(p, SQLSTATE_SYNTAX_ERROR, q.pos,
                    "improper qualified name (too many dotted names): %s", dotted_text(p, parts));
    if (parts.n > 1)
        q.schema = parts.items[parts.n - 2].name;
    if (parts.n > 2)
        q.catalog = parts.items[parts.n - 3].name;
    return q;
}

struct qual_name_list qual_add(struct parser *p, struct qual_name_list l, struct qual_name q)
{
    l.items = vec_grow(p, l.items, l.n, sizeof *l.items);
    l.items[l.n++] = q;
    return l;
}

struct expr_list list_add(struct parser *p, struct expr_list l, struct expr *e)
{
    l.items = vec_grow(p, l.items, l.n, sizeof(struct expr *));
    l.items[l.n++] = e;
    return l;
}

struct target_list target_add(struct parser *p, struct target_list l, struct target t)
{
    l.items = vec_grow(p, l.items, l.n, sizeof *l.items);
    l.items[l.n++] = t;
    return l;
}

struct sort_list sort_add(struct parser *p, struct sort_list l, struct sort_item s)
{
    l.items = vec_grow(p, l.items, l.n, sizeof *l.items);
    l.items[l.n++] = s;
    return l;
}

struct from_list from_add(struct parser *p, struct from_list l, struct from_item *f)
{
    l.items = vec_grow(p, l.items, l.n, sizeof(struct from_item *));
    l.items[l.n++] = f;
    return l;
}

struct set_list set_add(struct parser *p, struct set_list l, struct set_item s)
{
    l.items = vec_grow(p, l.items, l.n, sizeof *l.items);
    l.items[l.n++] = s;
    return l;
}

struct set_list set_concat(struct parser *p, struct set_list a, struct set_list b)
{
    for (size_t i = 0; i < b.n; i++)
        a = set_add(p, a, b.items[i]);
    return a;
}

struct locking_list locking_add(struct parser *p, struct locking_list l, struct locking k)
{
    l.items = vec_grow(p, l.items, l.n, sizeof *l.items);
    l.items[l.n++] = k;
    return l;
}

/* ---- queries ---- */

struct select_stmt *select_new(struct parser *p, enum select_kind kind, int pos)
{
    struct select_stmt *s = arena_zalloc(p->mem, sizeof *s);

    s->kind = kind;
    s->pos = pos;
    s->depth = 1;
    return s;
}

static void select_grow(struct parser *p, struct select_stmt *s, int child_depth)
{
    if (child_depth < s->depth)
        return;
    s->depth = child_depth + 1;
    if (s->depth > SQL_NESTING_MAX)
        parser_fail(p, SQLSTATE_STATEMENT_TOO_COMPLEX, s->pos,
                    "query is nested more than %d levels deep", SQL_NESTING_MAX);
}

static void select_grow_expr(struct parser *p, struct select_stmt *s, const struct expr *e)
{
    if (e != NULL)
        select_grow(p, s, e->depth);
}

static void select_grow_exprs(struct parser *p, struct select_stmt *s, struct expr_list l)
{
    for (size_t i = 0; i < l.n; i++)
        select_grow_expr(p, s, l.items[i]);
}

static int max_int(int a, int b)
{
    return a > b ? a : b;
}

static int exprs_depth(const struct expr_list *l)
{
    int depth = 0;

    for (size_t i = 0; i < l->n; i++)
        depth = max_int(depth, l->items[i]->depth);
    return depth;
}

static int expr_depth(const struct expr *e)
{
    return e == NULL ? 0 : e->depth;
}

static int targets_depth(const struct target_list *l)
{
    int depth = 0;

    for (size_t i = 0; i < l->n; i++)
        depth = max_int(depth, l->items[i].expr->depth);
    return depth;
}

static int sets_depth(const struct set_list *l)
{
    int depth = 0;

    for (size_t i = 0; i < l->n; i++)
        depth = max_int(depth, l->items[i].value->depth);
    return depth;
}

static int from_depth(const struct from_list *l)
{
    int depth = 0;

    for (size_t i = 0; i < l->n; i++)
        depth = max_int(depth, l->items[i]->depth);
    return depth;
}

static int with_depth(const struct with_clause *w);

/* Height of a statement's tree, as select_stmt.depth counts it. */
static int dml_depth(const struct stmt *s)
{
    int depth = 0;

    if (s->kind == STMT_SELECT)
        return s->select->depth;
    if (s->kind == STMT_INSERT) {
        const struct insert_stmt *i = s->insert;

        depth = i->source == NULL ? 0 : i->source->depth;
        depth = max_int(depth, max_int(with_depth(&i->with), targets_depth(&i->returning)));
        depth =
            max_int(depth, max_int(sets_depth(&i->conflict.set), exprs_depth(&i->conflict.target)));
        depth = max_int(
            depth, max_int(expr_depth(i->conflict.where), expr_depth(i->conflict.target_where)));
    } else if (s->kind == STMT_UPDATE) {
        const struct update_stmt *u = s->update;

        depth = max_int(sets_depth(&u->set), from_depth(&u->from));
        depth = max_int(depth, max_int(with_depth(&u->with), targets_depth(&u->returning)));
        depth = max_int(depth, expr_depth(u->where));
    } else if (s->kind == STMT_DELETE) {
        const struct delete_stmt *d = s->delete;

        depth = max_int(expr_depth(d->where), from_depth(&d->using));
        depth = max_int(depth, max_int(with_depth(&d->with), targets_depth(&d->returning)));
    }
    return depth + 1;
}

static int with_depth(const struct with_clause *w)
{
    int depth = 0;

    for (size_t i = 0; i < w->n; i++)
        depth = max_int(depth, dml_depth(w->items[i].stmt));
    return depth;
}

struct stmt *dml_done(struct parser *p, struct stmt *s)
{
    if (dml_depth(s) > SQL_NESTING_MAX)
        parser_fail(p, SQLSTATE_STATEMENT_TOO_COMPLEX, 0,
                    "statement is nested more than %d levels deep", SQL_NESTING_MAX);
    return s;
}

struct select_stmt *select_done(struct parser *p, struct select_stmt *s)
{
    for (size_t i = 0; i < s->n_windows; i++) {
        select_grow_exprs(p, s, s->windows[i].def->partition_by);
        for (size_t k = 0; k < s->windows[i].def->order_by.n; k++)
            select_grow_expr(p, s, s->windows[i].def->order_by.items[k].expr);
    }
    select_grow_exprs(p, s, s->distinct_on);
    for (size_t i = 0; i < s->targets.n; i++)
        select_grow_expr(p, s, s->targets.items[i].expr);
    for (size_t i = 0; i < s->from.n; i++)
        select_grow(p, s, s->from.items[i]->depth);
    select_grow_expr(p, s, s->as_of);
    select_grow_expr(p, s, s->where);
    select_grow_exprs(p, s, s->group_by);
    select_grow_expr(p, s, s->having);
    for (size_t i = 0; i < s->n_rows; i++)
        select_grow_exprs(p, s, s->rows[i]);
    return s;
}

struct select_stmt *select_values_add(struct parser *p, struct select_stmt *s, struct expr_list row,
                                      int pos)
{
    if (s->n_rows > 0 && s->rows[0].n != row.n)
        parser_fail(p, SQLSTATE_SYNTAX_ERROR, row.n > 0 ? row.items[0]->pos : pos,
                    "VALUES lists must all be the same length");
    s->rows = vec_grow(p, s->rows, s->n_rows, sizeof *s->rows);
    s->rows[s->n_rows++] = row;
    return s;
}

struct select_stmt *select_setop(struct parser *p, enum setop_kind op, bool all,
                                 struct select_stmt *left, struct select_stmt *right, int pos)
{
    struct select_stmt *s = select_new(p, SELECT_SETOP, pos);

    s->setop = op;
    s->setop_all = all;
    s->left = left;
    s->right = right;
    select_grow(p, s, left->depth);
    select_grow(p, s, right->depth);
    return s;
}

struct select_tail *tail_new(struct parser *p)
{
    return arena_zalloc(p->mem, sizeof(struct select_tail));
}

/* What the parenthesised query already had must not come again outside. */
static void add_limits(struct parser *p, struct select_stmt *s, const struct select_tail *tail)
{
    if (tail->has_offset) {
        if (s->offset != NULL)
            parser_fail(p, SQLSTATE_SYNTAX_ERROR, tail->offset != NULL ? tail->offset->pos : 0,
                        "multiple OFFSET clauses not allowed");
        s->offset = tail->offset;
    }
    if (tail->has_limit) {
        if (s->limit != NULL)
            parser_fail(p, SQLSTATE_SYNTAX_ERROR, tail->limit != NULL ? tail->limit->pos : 0,
                        "multiple LIMIT clauses not allowed");
        s->limit = tail->limit;
        s->with_ties = tail->with_ties;
        if (s->with_ties && s->order_by.n == 0)
            parser_fail(p, SQLSTATE_SYNTAX_ERROR, 0,
                        "WITH TIES cannot be specified without ORDER BY clause");
    }
}

struct select_stmt *select_add_tail(struct parser *p, struct select_stmt *s,
                                    const struct select_tail *tail, const struct with_clause *with)
{
    if (tail != NULL) {
        if (tail->order_by.n > 0) {
            if (s->order_by.n > 0)
                parser_fail(p, SQLSTATE_SYNTAX_ERROR, tail->order_by.items[0].expr->pos,
                            "multiple ORDER BY clauses not allowed");
            s->order_by = tail->order_by;
        }
        for (size_t i = 0; i < tail->locking.n; i++)
            s->locking = locking_add(p, s->locking, tail->locking.items[i]);
        add_limits(p, s, tail);
        for (size_t i = 0; i < s->order_by.n; i++)
            select_grow_expr(p, s, s->order_by.items[i].expr);
        select_grow_expr(p, s, s->limit);
        select_grow_expr(p, s, s->offset);
    }
    if (with != NULL) {
        if (s->with.n > 0)
            parser_fail(p, SQLSTATE_SYNTAX_ERROR, with->pos, "multiple WITH clauses not allowed");
        s->with = *with;
        select_grow(p, s, with_depth(with));
    }
    return s;
}

struct with_clause *with_add(struct parser *p, struct with_clause *w, struct cte c)
{
    if (w == NULL)
        w = arena_zalloc(p->mem, sizeof *w);
    w->items = vec_grow(p, w->items, w->n, sizeof *w->items);
    w->items[w->n++] = c;
    return w;
}

/* ---- FROM ---- */

struct from_item *from_new(struct parser *p, enum from_kind kind, int pos)
{
    struct from_item *f = arena_zalloc(p->mem, sizeof *f);

    f->kind = kind;
    f->pos = pos;
    f->depth = 1;
    return f;
}

void from_grow(struct parser *p, struct from_item *f, int depth)
{
    if (depth < f->depth)
        return;
    f->depth = depth + 1;
    if (f->depth > SQL_NESTING_MAX)
        parser_fail(p, SQLSTATE_STATEMENT_TOO_COMPLEX, f->pos,
                    "query is nested more than %d levels deep", SQL_NESTING_MAX);
}

struct alias *alias_new(struct parser *p, struct ident name, struct ident_list columns)
{
    struct alias *a = arena_zalloc(p->mem, sizeof *a);

    *a = (struct alias){name.name, columns, name.pos};
    return a;
}

struct from_item *from_alias(struct from_item *f, const struct alias *a)
{
    if (a != NULL)
        f->alias = *a;
    return f;
}

struct from_item *from_subquery(struct parser *p, struct select_stmt *s, bool lateral, int pos)
{
    struct from_item *f = from_new(p, FROM_SUBQUERY, pos);

    f->subquery.select = s;
    f->subquery.lateral = lateral;
    from_grow(p, f, s->depth);
    return f;
}

struct from_item *from_func(struct parser *p, struct expr *call, bool lateral, bool ordinality)
{
    struct from_item *f = from_new(p, FROM_FUNC, call->pos);

    f->func.call = call;
    f->func.lateral = lateral;
    f->func.ordinality = ordinality;
    from_grow(p, f, call->depth);
    return f;
}

struct from_item *from_join(struct parser *p, enum join_kind kind, struct from_item *left,
                            struct from_item *right, int pos)
{
    struct from_item *f = from_new(p, FROM_JOIN, pos);

    f->join.join = kind;
    f->join.left = left;
    f->join.right = right;
    from_grow(p, f, left->depth);
    from_grow(p, f, right->depth);
    return f;
}

/* ---- statements ---- */

struct stmt *stmt_new(struct parser *p, enum stmt_kind kind, void *body)
{
    struct stmt *s = arena_zalloc(p->mem, sizeof *s);

    s->kind = kind;
    s->select = body; /* all bodies but DEALLOCATE's are one pointer of the union */
    return s;
}

/* (a, b) = (1, 2): plain items where the source is a row as long as the names; else items that share it. */
struct set_list set_row(struct parser *p, struct ident_list columns, struct expr *value, int pos)
{
    struct set_list l = {NULL, 0};
    bool row = value->kind == EXPR_ROW;

    if (row && value->list.n != columns.n)
        parser_fail(p, SQLSTATE_SYNTAX_ERROR, value->pos,
                    "number of columns does not match number of values");
    else if (!row && columns.n > 1 &&
             !(value->kind == EXPR_SUBQUERY && value->subquery.sub == SUBQUERY_SCALAR))
        parser_fail(p, SQLSTATE_FEATURE_NOT_SUPPORTED, pos,
                    "source for a multiple-column UPDATE item must be a sub-SELECT or ROW() "
                    "expression");
    for (size_t i = 0; i < columns.n; i++) {
        if (row && i < value->list.n)
            l = set_add(p, l, (struct set_item){columns.items[i], value->list.items[i], 0, 1});
        else
            l = set_add(p, l, (struct set_item){columns.items[i], value, (int)i, (int)columns.n});
    }
    return l;
}

struct create_table_stmt *table_element(struct parser *p, struct create_table_stmt *t,
                                        const struct table_element *e)
{
    if (t == NULL)
        t = arena_zalloc(p->mem, sizeof *t);
    if (e->column != NULL) {
        t->columns = vec_grow(p, t->columns, t->n_columns, sizeof *t->columns);
        t->columns[t->n_columns++] = *e->column;
    } else {
        t->constraints = vec_grow(p, t->constraints, t->n_constraints, sizeof *t->constraints);
        t->constraints[t->n_constraints++] = *e->constraint;
    }
    return t;
}

struct column_constraint *constraint_new(struct parser *p, enum column_constraint_kind kind,
                                         int pos)
{
    struct column_constraint *c = arena_zalloc(p->mem, sizeof *c);

    c->kind = kind;
    c->pos = pos;
    return c;
}

struct column_def *column_add(struct parser *p, struct column_def *d,
                              const struct column_constraint *c)
{
    d->constraints = vec_grow(p, d->constraints, d->n_constraints, sizeof *d->constraints);
    d->constraints[d->n_constraints++] = *c;
    return d;
}

struct create_index_stmt *index_add(struct parser *p, struct create_index_stmt *x,
                                    const struct index_column *c)
{
    if (x == NULL)
        x = arena_zalloc(p->mem, sizeof *x);
    x->columns = vec_grow(p, x->columns, x->n_columns, sizeof *x->columns);
    x->columns[x->n_columns++] = *c;
    return x;
}

struct alter_table_stmt *alter_add(struct parser *p, struct alter_table_stmt *a,
                                   const struct alter_action *action)
{
    if (a == NULL)
        a = arena_zalloc(p->mem, sizeof *a);
    a->actions = vec_grow(p, a->actions, a->n_actions, sizeof *a->actions);
    a->actions[a->n_actions++] = *action;
    return a;
}

/* ---- session ---- */

struct stmt *txn_new(struct parser *p, enum txn_kind kind, struct txn_modes modes)
{
    struct txn_stmt *t = arena_zalloc(p->mem, sizeof *t);

    t->txn = kind;
    t->modes = modes;
    return stmt_new(p, STMT_TXN, t);
}

struct txn_modes modes_merge(struct parser *p, struct txn_modes a, struct txn_modes b)
{
    if (a.as_of != NULL && b.as_of != NULL)
        parser_fail(p, SQLSTATE_SYNTAX_ERROR, b.as_of->pos,
                    "AS OF SYSTEM TIME specified more than once");
    if (b.isolation != ISOLATION_UNSET)
        a.isolation = b.isolation;
    if (b.access != ACCESS_UNSET)
        a.access = b.access;
    if (b.deferrable != DEFERRABLE_UNSET)
        a.deferrable = b.deferrable;
    if (b.as_of != NULL)
        a.as_of = b.as_of;
    return a;
}

struct stmt *set_new(struct parser *p, enum set_kind kind, const char *name,
                     struct expr_list values)
{
    struct set_stmt *s = arena_zalloc(p->mem, sizeof *s);

    s->set = kind;
    s->scope = SET_SESSION;
    s->name = name;
    s->values = values;
    return stmt_new(p, STMT_SET, s);
}

/* SET x = on: a word is a string. */
struct expr *set_word(struct parser *p, struct token t)
{
    return expr_string(p, t.str, t.pos);
}

struct stmt *show_new(struct parser *p, const char *name, const char *arg)
{
    struct show_stmt *s = arena_zalloc(p->mem, sizeof *s);

    s->name = name;
    s->arg = arg;
    return stmt_new(p, STMT_SHOW, s);
}

struct prepare_stmt *prepare_type(struct parser *p, struct prepare_stmt *s,
                                  const struct type_name *t)
{
    if (s == NULL)
        s = arena_zalloc(p->mem, sizeof *s);
    s->types = vec_grow(p, s->types, s->n_types, sizeof *s->types);
    s->types[s->n_types++] = *t;
    return s;
}

static struct explain_stmt *explain_defaults(struct parser *p)
{
    struct explain_stmt *x = arena_zalloc(p->mem, sizeof *x);

    x->costs = true;
    x->timing = true;
    x->summary = true;
    x->format = "text";
    return x;
}

static bool option_on(struct parser *p, const struct token *name, const char *value)
{
    static const char *const on[] = {"on", "true", "1", "yes"};
    static const char *const off[] = {"off", "false", "0", "no"};

    if (value == NULL)
        return true;
    for (size_t i = 0; i < sizeof on / sizeof on[0]; i++) {
        if (strcasecmp(value, on[i]) == 0)
            return true;
        if (strcasecmp(value, off[i]) == 0)
            return false;
    }
    parser_fail(p, SQLSTATE_SYNTAX_ERROR, name->pos, "%s requires a Boolean value", name->str);
    return false;
}

struct explain_stmt *explain_option(struct parser *p, struct explain_stmt *x, struct token name,
                                    const char *value)
{
    if (x == NULL)
        x = explain_defaults(p);
    if (strcmp(name.str, "analyze") == 0 || strcmp(name.str, "analyse") == 0)
        x->analyze = option_on(p, &name, value);
    else if (strcmp(name.str, "verbose") == 0)
        x->verbose = option_on(p, &name, value);
    else if (strcmp(name.str, "costs") == 0)
        x->costs = option_on(p, &name, value);
    else if (strcmp(name.str, "timing") == 0)
        x->timing = option_on(p, &name, value);
    else if (strcmp(name.str, "summary") == 0)
        x->summary = option_on(p, &name, value);
    else if (strcmp(name.str, "buffers") == 0)
        x->buffers = option_on(p, &name, value);
    else if (strcmp(name.str, "settings") == 0 || strcmp(name.str, "wal") == 0)
        (void)option_on(p, &name, value); /* nothing to show for them */
    else if (strcmp(name.str, "format") == 0)
        x->format = value == NULL ? "text" : value;
    else
        parser_fail(p, SQLSTATE_SYNTAX_ERROR, name.pos, "unrecognized EXPLAIN option \"%s\"",
                    name.str);
    return x;
}

struct stmt *explain_new(struct parser *p, struct explain_stmt *options, struct stmt *target)
{
    if (options == NULL)
        options = explain_defaults(p);
    options->stmt = target;
    return stmt_new(p, STMT_EXPLAIN, options);
}

struct stmt *maintenance_new(struct parser *p, enum maintenance_kind kind,
                             struct qual_name_list tables)
{
    struct maintenance_stmt *m = arena_zalloc(p->mem, sizeof *m);

    m->maint = kind;
    m->tables = tables;
    return stmt_new(p, STMT_MAINTENANCE, m);
}
