/* Prepared statements: text, tree, plan. */
#include <stdlib.h>

#include "base/check.h"
#include "sql/session_int.h"

bool stmt_is_planned(const struct stmt *stmt)
{
    return stmt != NULL && (stmt->kind == STMT_SELECT || stmt->kind == STMT_INSERT ||
                            stmt->kind == STMT_UPDATE || stmt->kind == STMT_DELETE);
}

bool stmt_is_ddl(const struct stmt *stmt)
{
    return stmt != NULL && (stmt->kind == STMT_CREATE_TABLE || stmt->kind == STMT_CREATE_INDEX ||
                            stmt->kind == STMT_DROP || stmt->kind == STMT_TRUNCATE ||
                            stmt->kind == STMT_ALTER_TABLE);
}

void prepared_init(struct prepared *p, const struct stmt *stmt)
{
    *p = (struct prepared){.stmt = stmt, .refs = 1};
    arena_init(&p->ast_mem, 0);
    arena_init(&p->plan_mem, 0);
}

void prepared_fini(struct prepared *p)
{
    catalog_unref(p->catalog);
    arena_fini(&p->plan_mem);
    arena_fini(&p->ast_mem);
    free(p->shown_types);
    free(p->declared);
    free(p->types);
    free(p->text);
    free(p->name);
}

void prepared_unref(struct prepared *p)
{
    if (p == NULL || --p->refs > 0)
        return;
    prepared_fini(p);
    free(p);
}

static enum status parse_one(struct prepared *p, struct err *err)
{
    struct stmt_list list;
    enum status st = sql_parse(bytes_str(p->text), &p->ast_mem, &list, err);

    if (st != ST_OK)
        return st;
    if (list.n > 1)
        return err_set(err, ST_REJECT, SQLSTATE_SYNTAX_ERROR,
                       "cannot insert multiple commands into a prepared statement");
    p->stmt = list.n == 1 ? list.items[0] : NULL;
    return ST_OK;
}

static void alloc_params(struct prepared *p, const enum sql_type *types, size_t n_types)
{
    size_t n = p->stmt != NULL && p->stmt->max_param > 0 ? (size_t)p->stmt->max_param : 0;

    p->n_params = n > n_types ? n : n_types;
    if (p->n_params == 0)
        return;
    p->declared = xcalloc(p->n_params, sizeof *p->declared);
    p->types = xcalloc(p->n_params, sizeof *p->types);
    if (n_types > 0)
        memcpy(p->declared, types, n_types * sizeof *types);
    memcpy(p->types, p->declared, p->n_params * sizeof *p->types);
}

enum status prepared_new(struct session *s, const char *name, const char *text,
                         const enum sql_type *types, size_t n_types, struct prepared **out,
                         struct err *err)
{
    struct prepared *p = xcalloc(1, sizeof *p);
    enum status st = ST_OK;

    prepared_init(p, NULL);
    p->name = xstrdup(name);
    p->text = xstrdup(text);
    TRY(parse_one(p, err));
    alloc_params(p, types, n_types);
    if (stmt_is_planned(p->stmt)) {
        TRY(session_check_state(s, p->stmt, err));
        TRY(session_catalog(s, err));
        TRY(prepared_plan(s, p, s->catalog, err));
    }
    *out = p;
    return ST_OK;
out:
    prepared_unref(p);
    return st;
}

struct prepared *prepared_find(struct session *s, const char *name)
{
    for (struct prepared *p = s->statements; p != NULL; p = p->next) {
        if (strcmp(p->name, name) == 0)
            return p;
    }
    return NULL;
}

enum status session_drop_prepared(struct session *s, const char *name, struct err *err)
{
    for (struct prepared **at = &s->statements; *at != NULL; at = &(*at)->next) {
        struct prepared *p = *at;

        if (strcmp(p->name, name) != 0)
            continue;
        *at = p->next;
        prepared_unref(p);
        return ST_OK;
    }
    return err_set(err, ST_NOTFOUND, SQLSTATE_INVALID_SQL_STATEMENT_NAME,
                   "prepared statement \"%s\" does not exist", name);
}

enum status session_add_prepared(struct session *s, struct prepared *p, bool replace,
                                 struct err *err)
{
    if (prepared_find(s, p->name) != NULL) {
        if (!replace) {
            enum status st = err_set(err, ST_REJECT, SQLSTATE_DUPLICATE_PREPARED_STATEMENT,
                                     "prepared statement \"%s\" already exists", p->name);

            prepared_unref(p);
            return st;
        }
        (void)session_drop_prepared(s, p->name, NULL); /* it is there */
    }
    p->next = s->statements;
    s->statements = p;
    return ST_OK;
}

/* Result columns */

static void describe_origin(const struct query *q, const struct bx *e, struct column_desc *out)
{
    if (q->kind != QUERY_SELECT || e->kind != BX_VAR || e->var.level != 0)
        return;
    for (size_t i = 0; i < q->n_rtes; i++) {
        const struct rte *r = q->rtes[i];

        if (r->table == NULL || e->var.slot < r->slot || e->var.slot >= r->slot + r->n_columns)
            continue;
        out->table_oid = r->table->id;
        out->column_number = (int16_t)(e->var.slot - r->slot + 1);
    }
}

static void make_columns(struct prepared *p)
{
    const struct query *q = p->bound.query;

    if (p->bound.dml != NULL)
        q = p->bound.dml->returning ? p->bound.dml->query : NULL;
    p->cols = NULL;
    p->n_cols = 0;
    if (q == NULL)
        return;
    p->n_cols = q->n_visible;
    p->cols = arena_zalloc(&p->plan_mem, (p->n_cols + 1) * sizeof *p->cols);
    for (size_t i = 0; i < p->n_cols; i++) {
        p->cols[i].name = q->names[i];
        p->cols[i].type = q->out_vars[i]->type;
        p->cols[i].typmod = q->out_vars[i]->typmod;
        describe_origin(q, q->targets[i], &p->cols[i]);
    }
}

/* A client that was told of the columns must not get others. */
static enum status check_columns(const struct prepared *p, struct err *err)
{
    bool same = p->shown_types == NULL || p->n_shown == p->n_cols;

    for (size_t i = 0; same && p->shown_types != NULL && i < p->n_cols; i++)
        same = p->shown_types[i] == p->cols[i].type;
    if (same)
        return ST_OK;
    return err_set(err, ST_REJECT, SQLSTATE_FEATURE_NOT_SUPPORTED,
                   "cached plan must not change result type");
}

enum status prepared_plan(struct session *s, struct prepared *p, struct catalog *catalog,
                          struct err *err)
{
    struct bind_params params = {p->types, p->n_params};
    struct bind_options bind = {
        .catalog = catalog, .env = &s->env, .mem = &p->plan_mem, .params = &params};
    struct plan_options plan = {.catalog = catalog, .mem = &p->plan_mem};
    enum status st = ST_OK;

    if (p->planned && p->catalog->from == catalog->from &&
        p->settings_version == settings_plan_version(s->settings))
        return ST_OK;
    p->planned = false;
    catalog_unref(p->catalog);
    p->catalog = catalog_ref(catalog);
    arena_reset(&p->plan_mem);
    TRY(bind_stmt(&bind, p->stmt, &p->bound, err));
    TRY(plan_stmt(&plan, &p->bound, &p->plan, err));
    make_columns(p);
    TRY(check_columns(p, err));
    p->settings_version = settings_plan_version(s->settings);
    p->planned = true;
    if (s->db->plans != NULL)
        metric_add(s->db->plans, 1);
out:
    return st;
}
