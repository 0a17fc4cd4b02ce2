/* INSERT, UPDATE, DELETE. */
#include "base/check.h"
#include "sql/bind_int.h"
#include "sql/parse.h"

static enum status at(struct err *err, int pos)
{
    return err != NULL ? err_position(err, pos) : ST_REJECT;
}

static enum status no_column(const struct ident *id, const struct table *t, struct err *err)
{
    (void)err_set(err, ST_REJECT, SQLSTATE_UNDEFINED_COLUMN,
                  "column \"%s\" of relation \"%s\" does not exist", id->name, t->name);
    return at(err, id->pos);
}

/* The column's default as an expression of its type. */
static enum status bind_default(struct binder *b, const struct column *c, struct bx **out,
                                struct err *err)
{
    struct expr *e;
    enum status st = ST_OK;

    if (c->default_sql == NULL) {
        *out = bx_new(b, BX_CONST, c->type, 0);
        (*out)->konst = datum_null(c->type);
        return ST_OK;
    }
    TRY(sql_parse_expr(bytes_str(c->default_sql), b->mem, &e, err));
    TRY(bind_value(b->opts, e, c->type, c->typmod, out, err));
out:
    return st;
}

static enum status bind_target(struct binder *b, struct block *k, const struct qual_name *name,
                               const char *alias, struct dml *d, struct err *err)
{
    struct rte *r;
    enum status st = bind_table(b, k, name, alias, &r, err);

    if (st != ST_OK)
        return st;
    if (r->table == NULL) {
        (void)err_set(err, ST_REJECT, SQLSTATE_WRONG_OBJECT_TYPE, "\"%s\" is not a table",
                      name->name);
        return at(err, name->pos);
    }
    for (size_t i = 0; i < r->n_columns; i++)
        r->want[i] = true;
    r->lock = TXN_LOCK_EXCLUSIVE;
    scope_add_rte(b, k, r);
    d->table = r->table;
    d->query = k->query;
    d->new_slot = query_slots(k->query, r->n_columns);
    return ST_OK;
}

/* Which table column each INSERT item goes to. */
static enum status insert_columns(struct binder *b, const struct insert_stmt *s,
                                  const struct table *t, uint16_t **out, size_t *out_n,
                                  struct err *err)
{
    uint16_t *map = arena_alloc(b->mem, (t->n_columns + s->columns.n + 1) * sizeof *map);
    size_t n = 0;

    for (uint16_t i = 0; s->columns.n == 0 && i < t->n_columns; i++) {
        if (!t->columns[i].hidden)
            map[n++] = i;
    }
    for (size_t i = 0; i < s->columns.n; i++) {
        const struct ident *id = &s->columns.items[i];
        int c = table_column(t, id->name);

        if (c < 0)
            return no_column(id, t, err);
        for (size_t j = 0; j < n; j++) {
            if (map[j] == c) {
                (void)err_set(err, ST_REJECT, SQLSTATE_DUPLICATE_COLUMN,
                              "column \"%s\" specified more than once", id->name);
                return at(err, id->pos);
            }
        }
        map[n++] = (uint16_t)c;
    }
    *out = map;
    *out_n = n;
    return ST_OK;
}

static enum status check_width(const struct insert_stmt *s, size_t have, size_t want, int pos,
                               struct err *err)
{
    if (have > want)
        (void)err_set(err, ST_REJECT, SQLSTATE_SYNTAX_ERROR,
                      "INSERT has more expressions than target columns");
    else if (have < want && s->columns.n > 0)
        (void)err_set(err, ST_REJECT, SQLSTATE_SYNTAX_ERROR,
                      "INSERT has more target columns than expressions");
    else
        return ST_OK;
    return at(err, pos);
}

/* VALUES of an INSERT: each item is bound for its column, and DEFAULT is a word. */
static enum status bind_insert_values(struct binder *b, const struct insert_stmt *s,
                                      const struct table *t, const uint16_t *map, size_t n_map,
                                      struct query **out, struct err *err)
{
    const struct select_stmt *v = s->source;
    struct query *q = query_new(b);
    struct block k = {.query = q, .clause = CLAUSE_VALUES};
    size_t width = v->rows[0].n;
    enum status st = ST_OK;

    q->kind = QUERY_VALUES;
    q->n_rows = v->n_rows;
    q->rows = arena_alloc(b->mem, v->n_rows * sizeof *q->rows);
    q->targets = arena_alloc(b->mem, (width + 1) * sizeof *q->targets);
    q->names = arena_zalloc(b->mem, (width + 1) * sizeof *q->names);
    for (size_t r = 0; r < v->n_rows; r++) {
        TRY(check_width(s, width, n_map, v->rows[r].items[width > n_map ? n_map : width - 1]->pos,
                        err));
        q->rows[r] = arena_alloc(b->mem, (width + 1) * sizeof **q->rows);
        for (size_t i = 0; i < width; i++) {
            const struct column *c = &t->columns[map[i]];
            struct bx *item;

            if (v->rows[r].items[i]->kind == EXPR_DEFAULT) {
                TRY(bind_default(b, c, &q->rows[r][i], err));
                continue;
            }
            TRY(bind_expr(b, &k, v->rows[r].items[i], &item, err));
            TRY(coerce_column(b, item, c, &q->rows[r][i], err));
        }
    }
    for (size_t i = 0; i < width; i++)
        q->targets[i] = q->rows[0][i];
    q->n_targets = q->n_visible = width;
    query_outputs(b, q);
    *out = q;
out:
    return st;
}

/* A plain VALUES list, without ORDER BY and the like. */
static bool plain_values(const struct select_stmt *s)
{
    return s->kind == SELECT_VALUES && s->n_rows > 0 && s->rows[0].n > 0 && s->order_by.n == 0 &&
           s->limit == NULL && s->offset == NULL && s->with.n == 0;
}

static enum status bind_source(struct binder *b, struct block *k, const struct insert_stmt *s,
                               struct dml *d, struct err *err)
{
    const struct table *t = d->table;
    uint16_t *map = NULL;
    size_t n_map = 0, width;
    enum status st = ST_OK;

    TRY(insert_columns(b, s, t, &map, &n_map, err));
    d->values = arena_zalloc(b->mem, t->n_columns * sizeof *d->values);
    if (s->source != NULL) {
        if (plain_values(s->source)) {
            TRY(bind_insert_values(b, s, t, map, n_map, &d->source, err));
        } else {
            b->keep_unknown = s->source->kind == SELECT_PLAIN;
            TRY(bind_query(b, k, true, s->source, &d->source, err));
        }
        width = d->source->n_visible;
        TRY(check_width(s, width, n_map, s->source->pos, err));
        for (size_t i = 0; i < width; i++) {
            if (d->source->out_vars[i]->type == TYPE_UNKNOWN)
                TRY(retype_output(b, d->source, i, t->columns[map[i]].type, err));
        }
        d->source_slot = query_slots(k->query, width);
        for (size_t i = 0; i < width; i++) {
            const struct bx *o = d->source->out_vars[i];
            struct bx *v = bx_var(b, 0, d->source_slot + (unsigned)i, o->type, o->typmod, NULL,
                                  d->source->names[i]);

            v->pos = d->source->targets[i]->pos;
            if (plain_values(s->source))
                d->values[map[i]] = v;
            else
                TRY(coerce_column(b, v, &t->columns[map[i]], &d->values[map[i]], err));
        }
    }
    for (uint16_t c = 0; c < t->n_columns; c++) {
        if (d->values[c] == NULL)
            TRY(bind_default(b, &t->columns[c], &d->values[c], err));
    }
out:
    return st;
}

static enum status set_value(struct binder *b, struct block *k, const struct set_item *item,
                             const struct column *c, struct bx **out, struct err *err)
{
    const struct expr *e = item->value;
    struct bx *v;
    enum status st = ST_OK;

    if (item->row_width > 1 || e->kind == EXPR_ROW) {
        if (e->kind != EXPR_ROW) {
            (void)err_set(err, ST_REJECT, SQLSTATE_FEATURE_NOT_SUPPORTED,
                          "a subquery as source of several columns is not supported");
            return at(err, e->pos);
        }
        if (e->list.n != (size_t)item->row_width) {
            (void)err_set(err, ST_REJECT, SQLSTATE_SYNTAX_ERROR,
                          "number of columns does not match number of values");
            return at(err, e->pos);
        }
        e = e->list.items[item->row_index];
    }
    if (e->kind == EXPR_DEFAULT)
        return bind_default(b, c, out, err);
    TRY(bind_expr(b, k, e, &v, err));
    TRY(coerce_column(b, v, c, out, err));
out:
    return st;
}

static enum status bind_set(struct binder *b, struct block *k, const struct set_list *set,
                            const struct table *t, struct bx ***out, struct err *err)
{
    struct bx **values = arena_zalloc(b->mem, t->n_columns * sizeof *values);

    k->clause = CLAUSE_SET;
    for (size_t i = 0; i < set->n; i++) {
        const struct set_item *item = &set->items[i];
        int c = table_column(t, item->column.name);
        enum status st;

        if (c < 0)
            return no_column(&item->column, t, err);
        if (values[c] != NULL) {
            (void)err_set(err, ST_REJECT, SQLSTATE_SYNTAX_ERROR,
                          "multiple assignments to same column \"%s\"", item->column.name);
            return at(err, item->column.pos);
        }
        st = set_value(b, k, item, &t->columns[c], &values[c], err);
        if (st != ST_OK)
            return st;
    }
    *out = values;
    return ST_OK;
}

/* ON CONFLICT (columns): the unique index over exactly these. */
static const struct index *infer_arbiter(const struct table *t, const bool *named, size_t n_named)
{
    for (size_t i = 0; i < t->n_indexes; i++) {
        const struct index *ix = &t->indexes[i];
        size_t hits = 0;

        if (!(ix->unique || ix->primary) || ix->state != INDEX_PUBLIC)
            continue;
        for (size_t p = 0; p < ix->n_parts; p++)
            hits += named[ix->parts[p].column];
        if (hits == n_named && ix->n_parts == n_named)
            return ix;
    }
    return NULL;
}

static enum status bind_arbiter(struct binder *b, const struct on_conflict *c, struct dml *d,
                                struct err *err)
{
    const struct table *t = d->table;
    bool *named = arena_zalloc(b->mem, t->n_columns + 1);
    size_t n = 0;

    if (c->constraint != NULL) {
        d->arbiter = table_index(t, c->constraint);
        if (d->arbiter == NULL || !(d->arbiter->unique || d->arbiter->primary))
            return err_set(err, ST_REJECT, SQLSTATE_UNDEFINED_OBJECT,
                           "constraint \"%s\" for table \"%s\" does not exist", c->constraint,
                           t->name);
        return ST_OK;
    }
    if (c->target.n == 0) {
        if (c->action == CONFLICT_NOTHING)
            return ST_OK;
        (void)err_set(err, ST_REJECT, SQLSTATE_SYNTAX_ERROR,
                      "ON CONFLICT DO UPDATE requires inference specification or constraint name");
        return at(err, c->pos);
    }
    for (size_t i = 0; i < c->target.n; i++) {
        const struct expr *e = c->target.items[i];
        int col = e->kind == EXPR_COLUMN ? table_column(t, e->column.names[0]) : -1;

        if (e->kind != EXPR_COLUMN || c->target_where != NULL) {
            (void)err_set(err, ST_REJECT, SQLSTATE_FEATURE_NOT_SUPPORTED,
                          "ON CONFLICT takes columns only");
            return at(err, e->pos);
        }
        if (col < 0) {
            (void)err_set(err, ST_REJECT, SQLSTATE_UNDEFINED_COLUMN, "column \"%s\" does not exist",
                          e->column.names[0]);
            return at(err, e->pos);
        }
        n += !named[col];
        named[col] = true;
    }
    d->arbiter = infer_arbiter(t, named, n);
    if (d->arbiter == NULL)
        return err_set(err, ST_REJECT, SQLSTATE_INVALID_COLUMN_REFERENCE,
                       "there is no unique or exclusion constraint matching the ON CONFLICT "
                       "specification");
    return ST_OK;
}

static void add_excluded(struct binder *b, struct block *k, const struct dml *d)
{
    struct rte *r = arena_alloc(b->mem, sizeof *r);

    /* The proposed row, under the name excluded: not a relation of the query. */
    *r = *k->query->rtes[0];
    r->alias = "excluded";
    r->slot = d->new_slot;
    scope_add_rte(b, k, r);
}

static enum status bind_conflict(struct binder *b, struct block *k, const struct on_conflict *c,
                                 struct dml *d, struct err *err)
{
    size_t visible = k->scope.n;
    enum status st = ST_OK;

    d->conflict = c->action;
    if (c->action == CONFLICT_NONE)
        return ST_OK;
    TRY(bind_arbiter(b, c, d, err));
    if (c->action == CONFLICT_NOTHING)
        return ST_OK;
    add_excluded(b, k, d);
    TRY(bind_set(b, k, &c->set, d->table, &d->conflict_values, err));
    if (c->where != NULL) {
        k->clause = CLAUSE_WHERE;
        TRY(bind_condition(b, k, c->where, "WHERE", &d->conflict_where, err));
    }
    k->scope.n = visible;
out:
    return st;
}

static enum status bind_returning(struct binder *b, struct block *k, const struct target_list *list,
                                  struct dml *d, struct err *err)
{
    struct query *q = k->query;
    enum status st = ST_OK;

    if (list->n == 0)
        return ST_OK;
    k->clause = CLAUSE_RETURNING;
    d->returning = true;
    TRY(bind_targets(b, k, list, err));
    for (size_t i = 0; i < q->n_targets; i++)
        TRY(settle_unknown(b, q->targets[i], &q->targets[i], err));
    query_outputs(b, q);
out:
    return st;
}

static enum status bind_insert(struct binder *b, struct block *k, const struct insert_stmt *s,
                               struct dml *d, struct err *err)
{
    enum status st = ST_OK;

    bind_ctes(b, k, &s->with);
    TRY(bind_target(b, k, &s->table, s->alias, d, err));
    TRY(bind_source(b, k, s, d, err));
    TRY(bind_conflict(b, k, &s->conflict, d, err));
    TRY(bind_returning(b, k, &s->returning, d, err));
out:
    return st;
}

/* The target and the other relations as one inner join. */
static enum status bind_join_target(struct binder *b, struct block *k,
                                    const struct from_list *others, struct err *err)
{
    struct jtree *root = arena_zalloc(b->mem, sizeof *root);
    struct jtree *leaf = arena_zalloc(b->mem, sizeof *leaf);
    struct jtree *rest;
    enum status st = bind_from(b, k, others, &rest, err);

    if (st != ST_OK)
        return st;
    leaf->kind = JTREE_RTE;
    leaf->rte = 0;
    root->kind = JTREE_INNER;
    root->parts = arena_alloc(b->mem, 2 * sizeof *root->parts);
    root->parts[0] = leaf;
    root->n_parts = 1;
    if (rest != NULL)
        root->parts[root->n_parts++] = rest;
    k->query->from = root;
    return ST_OK;
}

static enum status bind_filter(struct binder *b, struct block *k, const struct expr *where,
                               struct err *err)
{
    struct bx *cond;
    enum status st;

    if (where == NULL)
        return ST_OK;
    k->clause = CLAUSE_WHERE;
    st = bind_condition(b, k, where, "WHERE", &cond, err);
    if (st == ST_OK)
        add_conjuncts(b, cond, &k->query->where, &k->query->n_where);
    return st;
}

static enum status bind_update(struct binder *b, struct block *k, const struct update_stmt *s,
                               struct dml *d, struct err *err)
{
    enum status st = ST_OK;

    bind_ctes(b, k, &s->with);
    TRY(bind_target(b, k, &s->table, s->alias, d, err));
    TRY(bind_join_target(b, k, &s->from, err));
    TRY(bind_set(b, k, &s->set, d->table, &d->values, err));
    TRY(bind_filter(b, k, s->where, err));
    TRY(bind_returning(b, k, &s->returning, d, err));
out:
    return st;
}

static enum status bind_delete(struct binder *b, struct block *k, const struct delete_stmt *s,
                               struct dml *d, struct err *err)
{
    enum status st = ST_OK;

    bind_ctes(b, k, &s->with);
    TRY(bind_target(b, k, &s->table, s->alias, d, err));
    TRY(bind_join_target(b, k, &s->using, err));
    TRY(bind_filter(b, k, s->where, err));
    TRY(bind_returning(b, k, &s->returning, d, err));
out:
    return st;
}

enum status bind_dml(struct binder *b, const struct stmt *stmt, struct dml **out, struct err *err)
{
    struct dml *d = arena_zalloc(b->mem, sizeof *d);
    struct block k = {.query = query_new(b)};
    enum status st = ST_OK;

    *out = d;
    if (stmt->kind == STMT_INSERT) {
        d->kind = DML_INSERT;
        st = bind_insert(b, &k, stmt->insert, d, err);
    } else if (stmt->kind == STMT_UPDATE) {
        d->kind = DML_UPDATE;
        st = bind_update(b, &k, stmt->update, d, err);
    } else {
        ASSERT(stmt->kind == STMT_DELETE);
        d->kind = DML_DELETE;
        st = bind_delete(b, &k, stmt->delete, d, err);
    }
    return st;
}
