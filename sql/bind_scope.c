/* Names of columns and relations: FROM clauses, scopes, stars. */
#include <stdio.h>

#include "base/check.h"
#include "sql/bind_int.h"

struct bx *bx_var(struct binder *b, unsigned level, unsigned slot, enum sql_type type,
                  int32_t typmod, const char *table, const char *name)
{
    struct bx *e = bx_new(b, BX_VAR, type, 0);

    e->typmod = typmod;
    e->var.level = level;
    e->var.slot = slot;
    e->var.table = table;
    e->var.name = name;
    return e;
}

static struct scope_column *scope_push(struct binder *b, struct scope *s)
{
    if (s->n == s->cap) {
        size_t cap = s->cap == 0 ? 16 : s->cap * 2;
        struct scope_column *cols = arena_alloc(b->mem, cap * sizeof *cols);

        if (s->n > 0)
            memcpy(cols, s->cols, s->n * sizeof *cols);
        s->cols = cols;
        s->cap = cap;
    }
    s->cols[s->n] = (struct scope_column){0};
    return &s->cols[s->n++];
}

void scope_add_rte(struct binder *b, struct block *k, struct rte *r)
{
    for (size_t i = 0; i < r->n_columns; i++) {
        struct scope_column *c = scope_push(b, &k->scope);

        c->table = r->alias;
        c->name = r->names[i];
        c->rte = r;
        c->column = (unsigned)i;
        c->hidden = r->table != NULL && r->table->columns[i].hidden;
        c->value =
            bx_var(b, 0, r->slot + (unsigned)i, r->types[i], r->typmods[i], r->alias, r->names[i]);
    }
}

/* Looks a name up in one block; *out stays NULL if it is not there. */
static enum status find_in_block(const struct block *k, const char *table, const char *name,
                                 int pos, struct scope_column **out, struct err *err)
{
    *out = NULL;
    for (size_t i = k->scope_lo; i < k->scope.n; i++) {
        struct scope_column *c = &k->scope.cols[i];

        if (c->hidden || strcmp(c->name, name) != 0)
            continue;
        if (table == NULL ? c->qualified_only : c->table == NULL || strcmp(c->table, table) != 0)
            continue;
        if (*out != NULL) {
            (void)err_set(err, ST_REJECT, SQLSTATE_AMBIGUOUS_COLUMN,
                          "column reference \"%s\" is ambiguous", name);
            return err != NULL ? err_position(err, pos) : ST_REJECT;
        }
        *out = c;
    }
    return ST_OK;
}

static bool block_has_table(const struct block *k, const char *table)
{
    for (size_t i = k->scope_lo; i < k->scope.n; i++) {
        if (k->scope.cols[i].table != NULL && strcmp(k->scope.cols[i].table, table) == 0)
            return true;
    }
    return false;
}

static enum status no_such_column(const struct block *k, const char *table, const char *name,
                                  int pos, struct err *err)
{
    bool table_known = false;

    for (; table != NULL && k != NULL; k = k->outer)
        table_known |= block_has_table(k, table);
    if (table == NULL)
        (void)err_set(err, ST_REJECT, SQLSTATE_UNDEFINED_COLUMN, "column \"%s\" does not exist",
                      name);
    else if (table_known)
        (void)err_set(err, ST_REJECT, SQLSTATE_UNDEFINED_COLUMN, "column %s.%s does not exist",
                      table, name);
    else
        (void)err_set(err, ST_REJECT, SQLSTATE_UNDEFINED_TABLE,
                      "missing FROM-clause entry for table \"%s\"", table);
    return err != NULL ? err_position(err, pos) : ST_REJECT;
}

/* A copy of a variable as seen `level` blocks further in. */
static struct bx *at_level(struct binder *b, const struct bx *e, unsigned level)
{
    struct bx *copy = arena_alloc(b->mem, sizeof *copy);

    *copy = *e;
    if (e->kind == BX_VAR) {
        copy->var.level += level;
    } else if (e->kind == BX_COALESCE) {
        copy->list.items = arena_alloc(b->mem, e->list.n * sizeof *copy->list.items);
        for (size_t i = 0; i < e->list.n; i++)
            copy->list.items[i] = at_level(b, e->list.items[i], level);
    } else if (e->kind == BX_CAST) {
        copy->cast.arg = at_level(b, e->cast.arg, level);
    }
    return copy;
}

static void mark_wanted(struct query *q, const struct bx *value)
{
    if (value->kind == BX_COALESCE) {
        for (size_t i = 0; i < value->list.n; i++)
            mark_wanted(q, value->list.items[i]);
    } else if (value->kind == BX_CAST) {
        mark_wanted(q, value->cast.arg);
    } else if (value->kind == BX_VAR) {
        for (size_t i = 0; i < q->n_rtes; i++) {
            struct rte *r = q->rtes[i];

            if (value->var.slot >= r->slot && value->var.slot < r->slot + r->n_columns)
                r->want[value->var.slot - r->slot] = true;
        }
    }
}

static void note_dependency(struct block *home, const struct scope_column *c)
{
    if (home->lateral_deps == NULL || c->rte == NULL)
        return;
    for (size_t i = 0; i < home->query->n_rtes; i++) {
        if (home->query->rtes[i] == c->rte)
            *home->lateral_deps |= UINT64_C(1) << i;
    }
}

enum status bind_column(struct binder *b, struct block *k, const struct expr *e, struct bx **out,
                        struct err *err)
{
    int n = e->column.n_names;
    const char *name = e->column.names[n - 1];
    const char *table = n > 1 ? e->column.names[n - 2] : NULL;
    struct scope_column *found = NULL;
    struct block *home = k;
    unsigned level = 0;
    bool opaque = false;

    for (;; level++) {
        enum status st = ST_OK;

        if (!opaque)
            st = find_in_block(home, table, name, e->pos, &found, err);
        if (st != ST_OK)
            return st;
        if (found != NULL || home->outer == NULL)
            break;
        opaque = home->outer_opaque;
        home = home->outer;
    }
    if (found == NULL)
        return no_such_column(k, table, name, e->pos, err);
    for (struct block *in = k; in != home; in = in->outer)
        in->query->correlated = true;
    note_dependency(home, found);
    mark_wanted(home->query, found->value);
    *out = at_level(b, found->value, level);
    (*out)->pos = e->pos;
    return ST_OK;
}

/* Relations */

static struct rte *rte_new(struct binder *b, struct block *k, enum rte_kind kind, size_t n_columns)
{
    struct rte *r = arena_zalloc(b->mem, sizeof *r);
    size_t n = n_columns + 1;

    r->kind = kind;
    r->n_columns = n_columns;
    r->names = arena_zalloc(b->mem, n * sizeof *r->names);
    r->types = arena_zalloc(b->mem, n * sizeof *r->types);
    r->typmods = arena_zalloc(b->mem, n * sizeof *r->typmods);
    r->want = arena_zalloc(b->mem, n * sizeof *r->want);
    r->slot = query_slots(k->query, n_columns);
    for (size_t i = 0; i < n_columns; i++)
        r->typmods[i] = -1;
    return r;
}

static enum status rte_add(struct block *k, struct rte *r, int pos, struct err *err)
{
    for (size_t i = 0; i < k->query->n_rtes; i++) {
        if (strcmp(k->query->rtes[i]->alias, r->alias) == 0) {
            (void)err_set(err, ST_REJECT, SQLSTATE_DUPLICATE_ALIAS,
                          "table name \"%s\" specified more than once", r->alias);
            return err != NULL ? err_position(err, pos) : ST_REJECT;
        }
    }
    if (k->query->n_rtes == BIND_RTES_MAX)
        return err_set(err, ST_REJECT, SQLSTATE_PROGRAM_LIMIT_EXCEEDED,
                       "a query may name at most %d relations", BIND_RTES_MAX);
    r->pos = pos;
    k->query->rtes[k->query->n_rtes++] = r;
    return ST_OK;
}

static enum status undefined_table(const struct qual_name *name, struct err *err)
{
    (void)err_set(err, ST_REJECT, SQLSTATE_UNDEFINED_TABLE, "relation \"%s%s%s\" does not exist",
                  name->schema != NULL ? name->schema : "", name->schema != NULL ? "." : "",
                  name->name);
    return err != NULL ? err_position(err, name->pos) : ST_REJECT;
}

enum status find_table(struct binder *b, const struct qual_name *name, const struct table **out,
                       struct err *err)
{
    if (name->schema == NULL || strcmp(name->schema, "public") == 0)
        *out = catalog_table(b->opts->catalog, name->name);
    else
        *out = NULL;
    return *out != NULL ? ST_OK : undefined_table(name, err);
}

enum status bind_table(struct binder *b, struct block *k, const struct qual_name *name,
                       const char *alias, struct rte **out, struct err *err)
{
    const struct virtual_table *virt = virtual_table_find(name->schema, name->name);
    const struct table *t = NULL;
    struct rte *r;
    enum status st;

    if (virt == NULL) {
        st = find_table(b, name, &t, err);
        if (st != ST_OK)
            return st;
    }
    r = rte_new(b, k, virt != NULL ? RTE_VIRTUAL : RTE_TABLE,
                virt != NULL ? virt->n_columns : t->n_columns);
    r->alias = alias != NULL ? alias : name->name;
    r->table = t;
    r->virt = virt;
    for (size_t i = 0; i < r->n_columns; i++) {
        r->names[i] = virt != NULL ? virt->columns[i].name : t->columns[i].name;
        r->types[i] = virt != NULL ? virt->columns[i].type : t->columns[i].type;
        r->typmods[i] = virt != NULL ? -1 : t->columns[i].typmod;
    }
    st = rte_add(k, r, name->pos, err);
    if (st == ST_OK)
        *out = r;
    return st;
}

static struct jtree *jtree_leaf(struct binder *b, struct block *k)
{
    struct jtree *j = arena_zalloc(b->mem, sizeof *j);

    j->kind = JTREE_RTE;
    j->rte = (unsigned)k->query->n_rtes - 1;
    return j;
}

static enum status rename_columns(struct rte *r, const struct alias *alias, struct err *err)
{
    if (alias->columns.n > r->n_columns) {
        (void)err_set(err, ST_REJECT, SQLSTATE_INVALID_COLUMN_REFERENCE,
                      "table \"%s\" has %zu columns available but %zu columns specified", r->alias,
                      r->n_columns, alias->columns.n);
        return err != NULL ? err_position(err, alias->pos) : ST_REJECT;
    }
    for (size_t i = 0; i < alias->columns.n; i++)
        r->names[i] = alias->columns.items[i].name;
    return ST_OK;
}

static enum status bind_from_query(struct binder *b, struct block *k,
                                   const struct select_stmt *select, bool lateral, struct rte **out,
                                   struct err *err)
{
    struct query *q;
    struct rte *r;
    uint64_t deps = 0;
    enum status st;

    if (lateral)
        k->lateral_deps = &deps;
    st = bind_query(b, k, !lateral, select, &q, err);
    k->lateral_deps = NULL;
    if (st != ST_OK)
        return st;
    r = rte_new(b, k, RTE_QUERY, q->n_visible);
    r->query = q;
    r->deps = deps;
    for (size_t i = 0; i < q->n_visible; i++) {
        r->names[i] = q->names[i];
        r->types[i] = q->out_vars[i]->type;
        r->typmods[i] = q->out_vars[i]->typmod;
    }
    *out = r;
    return ST_OK;
}

/* A WITH query is bound anew at each place that names it. */
static enum status bind_cte(struct binder *b, struct block *k, struct bind_cte *cte,
                            const struct from_item *item, struct rte **out, struct err *err)
{
    const struct stmt *stmt = cte->cte->stmt;
    struct rte *r;
    enum status st;

    if (stmt->kind != STMT_SELECT)
        return err_set(err, ST_REJECT, SQLSTATE_FEATURE_NOT_SUPPORTED,
                       "data-modifying statements in WITH are not supported");
    if (cte->used_now)
        return err_set(err, ST_REJECT, SQLSTATE_FEATURE_NOT_SUPPORTED,
                       "recursive WITH is not supported");
    cte->used_now = true;
    st = bind_from_query(b, k, stmt->select, false, &r, err);
    cte->used_now = false;
    if (st != ST_OK)
        return st;
    for (size_t i = 0; i < cte->cte->columns.n && i < r->n_columns; i++)
        r->names[i] = cte->cte->columns.items[i].name;
    r->alias = item->alias.name != NULL ? item->alias.name : cte->name;
    *out = r;
    return ST_OK;
}

static struct bind_cte *find_cte(struct block *k, const struct qual_name *name)
{
    if (name->schema != NULL)
        return NULL;
    for (; k != NULL; k = k->outer) {
        for (struct bind_cte *c = k->ctes; c != NULL; c = c->next) {
            if (strcmp(c->name, name->name) == 0)
                return c;
        }
    }
    return NULL;
}

static enum status bind_series(struct binder *b, struct block *k, const struct from_item *item,
                               struct rte **out, struct err *err)
{
    const struct expr *call = item->func.call;
    const struct expr_func *f = &call->func;
    struct bx *args[3];
    uint64_t deps = 0;
    enum sql_type type;
    struct rte *r;
    enum status st = ST_OK;

    if (strcmp(f->name, "generate_series") != 0 || f->args.n < 2 || f->args.n > 3 ||
        item->func.ordinality) {
        (void)err_set(err, ST_REJECT, SQLSTATE_FEATURE_NOT_SUPPORTED,
                      "function %s in FROM is not supported", f->name);
        return err != NULL ? err_position(err, call->pos) : ST_REJECT;
    }
    k->lateral_deps = &deps;
    for (size_t i = 0; i < f->args.n; i++)
        TRY(bind_expr(b, k, f->args.items[i], &args[i], err));
    TRY(coerce_common(b, args, f->args.n, "generate_series", call->pos, &type, err));
    if (type != TYPE_INT4 && type != TYPE_INT8) {
        if (type != TYPE_INT2 && type != TYPE_TEXT) {
            st = err_set(err, ST_REJECT, SQLSTATE_FEATURE_NOT_SUPPORTED,
                         "generate_series of type %s is not supported", type_info(type)->name);
            goto out;
        }
        type = TYPE_INT4;
        for (size_t i = 0; i < f->args.n; i++)
            TRY(coerce(b, args[i], type, CAST_EXPLICIT, &args[i], err));
    }
    r = rte_new(b, k, RTE_SERIES, 1);
    r->deps = deps;
    for (size_t i = 0; i < f->args.n; i++)
        r->args[i] = args[i];
    r->types[0] = type;
    r->names[0] = item->alias.name != NULL ? item->alias.name : f->name;
    r->alias = r->names[0];
    *out = r;
out:
    k->lateral_deps = NULL;
    return st;
}

static enum status bind_leaf(struct binder *b, struct block *k, const struct from_item *item,
                             struct jtree **out, struct err *err)
{
    enum status st = ST_OK;
    struct rte *r = NULL;
    struct bind_cte *cte = NULL;
    bool added = false;

    if (item->kind == FROM_TABLE)
        cte = find_cte(k, &item->table.name);
    if (cte != NULL) {
        TRY(bind_cte(b, k, cte, item, &r, err));
    } else if (item->kind == FROM_TABLE) {
        TRY(bind_table(b, k, &item->table.name, item->alias.name, &r, err));
        added = true;
    } else if (item->kind == FROM_SUBQUERY) {
        TRY(bind_from_query(b, k, item->subquery.select, item->subquery.lateral, &r, err));
        r->alias = item->alias.name != NULL ? item->alias.name : "unnamed_subquery";
    } else {
        TRY(bind_series(b, k, item, &r, err));
    }
    if (!added)
        TRY(rte_add(k, r, item->pos, err));
    TRY(rename_columns(r, &item->alias, err));
    scope_add_rte(b, k, r);
    *out = jtree_leaf(b, k);
out:
    return st;
}

/* Joins */

/* Finds `name` among scope columns [lo, hi) that bare names can see. */
static struct scope_column *side_column(struct block *k, size_t lo, size_t hi, const char *name,
                                        bool *out_twice)
{
    struct scope_column *found = NULL;

    *out_twice = false;
    for (size_t i = lo; i < hi; i++) {
        struct scope_column *c = &k->scope.cols[i];

        if (c->hidden || c->qualified_only || strcmp(c->name, name) != 0)
            continue;
        *out_twice |= found != NULL;
        found = c;
    }
    return found;
}

struct merge {
    const char *name;
    struct bx *value;
};

static enum status merge_column(struct binder *b, struct block *k, const struct from_item *item,
                                size_t lo, size_t mid, const struct ident *id, struct jtree *j,
                                struct merge *out, struct err *err)
{
    bool twice_l, twice_r;
    struct scope_column *l = side_column(k, lo, mid, id->name, &twice_l);
    struct scope_column *r = side_column(k, mid, k->scope.n, id->name, &twice_r);
    struct bx *eq, *pair[2];
    enum sql_type type;
    enum status st = ST_OK;

    if (l == NULL || r == NULL) {
        (void)err_set(err, ST_REJECT, SQLSTATE_UNDEFINED_COLUMN,
                      "column \"%s\" specified in USING clause does not exist in %s table",
                      id->name, l == NULL ? "left" : "right");
        return err != NULL ? err_position(err, id->pos) : ST_REJECT;
    }
    if (twice_l || twice_r) {
        (void)err_set(err, ST_REJECT, SQLSTATE_AMBIGUOUS_COLUMN,
                      "common column name \"%s\" appears more than once in %s table", id->name,
                      twice_l ? "left" : "right");
        return err != NULL ? err_position(err, id->pos) : ST_REJECT;
    }
    mark_wanted(k->query, l->value);
    mark_wanted(k->query, r->value);
    TRY(bind_operator(b, NULL, "=", l->value, r->value, id->pos, &eq, err));
    bx_append(b, &j->conds, &j->n_conds, eq);
    l->qualified_only = true;
    r->qualified_only = true;
    pair[0] = l->value;
    pair[1] = r->value;
    out->name = id->name;
    if (item->join.join == JOIN_FULL) {
        TRY(coerce_common(b, pair, 2, "JOIN/USING", id->pos, &type, err));
        out->value = bx_new(b, BX_COALESCE, type, id->pos);
        out->value->list.items = arena_alloc(b->mem, sizeof pair);
        memcpy(out->value->list.items, pair, sizeof pair);
        out->value->list.n = 2;
    } else {
        out->value = item->join.join == JOIN_RIGHT ? pair[1] : pair[0];
    }
out:
    return st;
}

static void natural_names(struct binder *b, struct block *k, size_t lo, size_t mid,
                          struct ident_list *out, int pos)
{
    bool twice;

    out->items = arena_alloc(b->mem, (mid - lo + 1) * sizeof *out->items);
    out->n = 0;
    for (size_t i = lo; i < mid; i++) {
        struct scope_column *c = &k->scope.cols[i];

        if (c->hidden || c->qualified_only ||
            side_column(k, mid, k->scope.n, c->name, &twice) == NULL)
            continue;
        out->items[out->n++] = (struct ident){c->name, pos};
    }
}

/* USING and NATURAL: merged columns come first in the scope of the join. */
static enum status bind_using(struct binder *b, struct block *k, const struct from_item *item,
                              size_t lo, size_t mid, struct jtree *j, struct err *err)
{
    struct ident_list names = item->join.using;
    struct scope_column *cols;
    struct merge *merges;
    size_t n = k->scope.n;
    enum status st = ST_OK;

    if (item->join.natural)
        natural_names(b, k, lo, mid, &names, item->pos);
    if (names.n == 0)
        return ST_OK;
    merges = arena_alloc(b->mem, names.n * sizeof *merges);
    for (size_t i = 0; i < names.n; i++)
        TRY(merge_column(b, k, item, lo, mid, &names.items[i], j, &merges[i], err));
    for (size_t i = 0; i < names.n; i++)
        (void)scope_push(b, &k->scope);
    cols = k->scope.cols;
    memmove(&cols[lo + names.n], &cols[lo], (n - lo) * sizeof *cols);
    for (size_t i = 0; i < names.n; i++)
        cols[lo + i] = (struct scope_column){.name = merges[i].name, .value = merges[i].value};
out:
    return st;
}

static enum status bind_from_item(struct binder *b, struct block *k, const struct from_item *item,
                                  struct jtree **out, struct err *err);

static enum status bind_join(struct binder *b, struct block *k, const struct from_item *item,
                             struct jtree **out, struct err *err)
{
    struct jtree *j = arena_zalloc(b->mem, sizeof *j);
    size_t lo = k->scope.n, mid, saved_lo = k->scope_lo;
    struct bx *on;
    enum status st = ST_OK;

    j->parts = arena_alloc(b->mem, 2 * sizeof *j->parts);
    j->n_parts = 2;
    TRY(bind_from_item(b, k, item->join.left, &j->parts[0], err));
    mid = k->scope.n;
    TRY(bind_from_item(b, k, item->join.right, &j->parts[1], err));
    k->scope_lo = lo;
    if (item->join.on != NULL) {
        k->clause = CLAUSE_ON;
        TRY(bind_condition(b, k, item->join.on, "JOIN/ON", &on, err));
        add_conjuncts(b, on, &j->conds, &j->n_conds);
    }
    TRY(bind_using(b, k, item, lo, mid, j, err));
    switch (item->join.join) {
    case JOIN_INNER:
    case JOIN_CROSS:
        j->kind = JTREE_INNER;
        break;
    case JOIN_RIGHT: {
        struct jtree *left = j->parts[0];

        j->parts[0] = j->parts[1];
        j->parts[1] = left;
        j->kind = JTREE_LEFT;
        break;
    }
    case JOIN_LEFT:
        j->kind = JTREE_LEFT;
        break;
    case JOIN_FULL:
        j->kind = JTREE_FULL;
        break;
    }
    if (item->alias.name != NULL)
        st = err_set(err, ST_REJECT, SQLSTATE_FEATURE_NOT_SUPPORTED,
                     "an alias for a join is not supported");
    *out = j;
out:
    k->scope_lo = saved_lo;
    return st;
}

static enum status bind_from_item(struct binder *b, struct block *k, const struct from_item *item,
                                  struct jtree **out, struct err *err)
{
    return item->kind == FROM_JOIN ? bind_join(b, k, item, out, err)
                                   : bind_leaf(b, k, item, out, err);
}

enum status bind_from(struct binder *b, struct block *k, const struct from_list *from,
                      struct jtree **out, struct err *err)
{
    struct jtree *j;

    *out = NULL;
    k->clause = CLAUSE_FROM;
    if (from->n == 0)
        return ST_OK;
    j = arena_zalloc(b->mem, sizeof *j);
    j->kind = JTREE_INNER;
    j->parts = arena_alloc(b->mem, from->n * sizeof *j->parts);
    for (size_t i = 0; i < from->n; i++) {
        enum status st = bind_from_item(b, k, from->items[i], &j->parts[i], err);

        if (st != ST_OK)
            return st;
        j->n_parts++;
    }
    *out = j;
    return ST_OK;
}

/* Stars */

enum status bind_star(struct binder *b, struct block *k, const struct expr *e, struct bx ***items,
                      const char ***names, size_t *n, size_t *cap, struct err *err)
{
    const char *table = e->column.n_names > 0 ? e->column.names[e->column.n_names - 1] : NULL;
    size_t before = *n;

    for (size_t i = 0; i < k->scope.n; i++) {
        struct scope_column *c = &k->scope.cols[i];

        if (c->hidden)
            continue;
        if (table == NULL ? c->qualified_only : c->table == NULL || strcmp(c->table, table) != 0)
            continue;
        if (*n == *cap) {
            size_t grown = *cap == 0 ? 16 : *cap * 2;
            struct bx **new_items = arena_zalloc(b->mem, grown * sizeof *new_items);
            const char **new_names = arena_zalloc(b->mem, grown * sizeof *new_names);

            if (*n > 0) {
                memcpy(new_items, *items, *n * sizeof *new_items);
                memcpy(new_names, *names, *n * sizeof *new_names);
            }
            *items = new_items;
            *names = new_names;
            *cap = grown;
        }
        mark_wanted(k->query, c->value);
        (*items)[*n] = at_level(b, c->value, 0);
        (*names)[(*n)++] = c->name;
    }
    if (*n > before || (table != NULL && block_has_table(k, table)))
        return ST_OK;
    if (table == NULL && k->query->n_rtes > 0)
        return ST_OK;
    if (table == NULL)
        (void)err_set(err, ST_REJECT, SQLSTATE_SYNTAX_ERROR,
                      "SELECT * with no tables specified is not valid");
    else
        (void)err_set(err, ST_REJECT, SQLSTATE_UNDEFINED_TABLE,
                      "missing FROM-clause entry for table \"%s\"", table);
    return err != NULL ? err_position(err, e->pos) : ST_REJECT;
}
