/* Statements without a plan: SET, SHOW, PREPARE, EXECUTE, EXPLAIN, schema changes, maintenance. */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/check.h"
#include "base/clock.h"
#include "sql/ddl.h"
#include "sql/deparse.h"
#include "sql/session_int.h"
#include "sql/type_name.h"
#include "sql/virtual.h"

static struct datum text(const char *s)
{
    return s == NULL ? datum_null(TYPE_TEXT) : (struct datum){.type = TYPE_TEXT, .s = bytes_str(s)};
}

static void set_tag(char *tag, size_t size, const char *s)
{
    (void)snprintf(tag, size, "%s", s);
}

/* SET */

/* SET x = a, b, c: the values as one text. */
static const char *set_value(const struct expr_list *values, struct arena *mem)
{
    struct buf out = {0};
    const char *copy;

    for (size_t i = 0; i < values->n; i++) {
        const struct expr *e = values->items[i];

        if (i > 0)
            buf_put(&out, ", ", 2);
        if (e->kind == EXPR_CONST && e->konst.value.type == TYPE_UNKNOWN) {
            buf_put(&out, e->konst.value.s.ptr, e->konst.value.s.len);
        } else if (e->kind == EXPR_CONST) {
            struct bytes t = datum_text(&e->konst.value, mem);

            if (e->konst.value.type == TYPE_BOOL)
                t = bytes_str(e->konst.value.b ? "on" : "off");
            buf_put(&out, t.ptr, t.len);
        } else {
            const char *t = deparse_expr(e, mem);

            buf_put(&out, t, strlen(t));
        }
    }
    copy = arena_strndup(mem, (const char *)out.ptr, out.len);
    buf_fini(&out);
    return copy;
}

static enum status set_characteristics(struct session *s, const struct txn_modes *m,
                                       struct err *err)
{
    if (m->access == ACCESS_UNSET)
        return ST_OK;
    return settings_set(s->settings, "default_transaction_read_only",
                        m->access == ACCESS_READ_ONLY ? "on" : "off", false, session_in_block(s),
                        err);
}

/* SET transaction_read_only inside a block is SET TRANSACTION READ ONLY. */
static enum status set_read_only(struct session *s, const char *value, struct err *err)
{
    struct txn_modes m = {.access = strcasecmp(value, "on") == 0 || strcasecmp(value, "true") == 0
                                        ? ACCESS_READ_ONLY
                                        : ACCESS_READ_WRITE};

    return session_set_modes(s, &m, err);
}

static enum status do_set(struct session *s, const struct set_stmt *t, char *tag, size_t size,
                          struct err *err)
{
    struct arena mem;
    const char *value = NULL;
    bool local = t->scope == SET_LOCAL;
    enum status st = ST_OK;

    arena_init(&mem, 0);
    set_tag(tag, size, "SET");
    switch (t->set) {
    case SET_VALUE:
        value = set_value(&t->values, &mem);
        if (strcasecmp(t->name, "transaction_read_only") == 0 && session_in_block(s))
            TRY(set_read_only(s, value, err));
        if (local && !session_in_block(s))
            session_notice(s, SQLSTATE_NO_ACTIVE_SQL_TRANSACTION, "WARNING",
                           "SET LOCAL can only be used in transaction blocks");
        TRY(settings_set(s->settings, t->name, value, local, session_in_block(s), err));
        break;
    case SET_DEFAULT:
        set_tag(tag, size, "RESET");
        TRY(settings_set(s->settings, t->name, NULL, local, session_in_block(s), err));
        break;
    case SET_RESET_ALL:
        set_tag(tag, size, "RESET");
        settings_reset_all(s->settings);
        break;
    case SET_TRANSACTION:
        TRY(session_set_modes(s, &t->modes, err));
        break;
    case SET_CHARACTERISTICS:
        TRY(set_characteristics(s, &t->modes, err));
        break;
    }
    s->env.zone_s = settings_zone_s(s->settings);
out:
    arena_fini(&mem);
    return st;
}

/* SHOW */

struct show {
    const struct row_out *out;
    uint64_t n;
    bool gone;
};

static void show_row(struct show *w, const struct datum *row, size_t n)
{
    w->n++;
    if (!w->gone && !w->out->row(w->out->arg, row, n))
        w->gone = true;
}

static void show_setting(void *arg, const char *name, const char *value, const char *what)
{
    struct datum row[3] = {text(name), text(value), text(what)};

    show_row(arg, row, 3);
}

static void show_fact(void *arg, const char *name, const char *value)
{
    struct datum row[2] = {text(name), text(value)};

    show_row(arg, row, 2);
}

enum { SHOW_COLUMNS_MAX = 16 };

static void show_cluster_row(void *arg, const char *const *values, size_t n)
{
    struct datum row[SHOW_COLUMNS_MAX];

    ASSERT(n <= SHOW_COLUMNS_MAX);
    for (size_t i = 0; i < n; i++)
        row[i] = text(values[i]);
    show_row(arg, row, n);
}

/* NULL: a topic of names and values, or none at all. */
static const char *const *cluster_columns(struct session *s, const char *topic)
{
    const struct sql_database_options *o = &s->db->opts;

    return o->cluster_columns == NULL ? NULL : o->cluster_columns(o->cluster_info_arg, topic);
}

static void show_cluster(struct session *s, const char *topic, struct show *w)
{
    const struct sql_database_options *o = &s->db->opts;

    if (cluster_columns(s, topic) != NULL)
        o->cluster_table(o->cluster_info_arg, topic, show_cluster_row, w);
    else if (o->cluster_info != NULL)
        o->cluster_info(o->cluster_info_arg, topic, show_fact, w);
}

struct show_table {
    const char *word;
    const char *table; /* of schema meridian */
    bool by_table;     /* takes FROM t */
};
static const struct show_table show_tables[] = {
    {"tables", "tables", false},
    {"columns", "columns", true},
    {"indexes", "indexes", true},
    {"index", "indexes", true},
};

static const struct show_table *show_table_of(const struct show_stmt *t)
{
    for (size_t i = 0; i < sizeof show_tables / sizeof show_tables[0]; i++) {
        if (strcasecmp(show_tables[i].word, t->name) == 0)
            return &show_tables[i];
    }
    return NULL;
}

static enum status show_virtual(struct session *s, const struct show_stmt *t,
                                const struct show_table *which, struct show *w, struct err *err)
{
    const struct virtual_table *v = virtual_table_find("meridian", which->table);
    struct arena mem;
    struct virtual_rows rows = {.mem = &mem, .n_columns = v->n_columns};
    enum status st = ST_OK;

    arena_init(&mem, 0);
    TRY(session_catalog(s, err));
    if (t->arg != NULL && which->by_table && catalog_table(s->catalog, t->arg) == NULL) {
        st = err_set(err, ST_REJECT, SQLSTATE_UNDEFINED_TABLE, "relation \"%s\" does not exist",
                     t->arg);
        goto out;
    }
    v->fill(s->catalog, &rows);
    for (size_t i = 0; i < rows.n; i++) {
        if (t->arg == NULL || !which->by_table || bytes_eq(rows.rows[i][0].s, bytes_str(t->arg)))
            show_row(w, rows.rows[i], v->n_columns);
    }
out:
    arena_fini(&mem);
    return st;
}

/* Settings whose value is what the session does now. */
static const char *live_value(struct session *s, const char *name, char *room, size_t size)
{
    if (strcasecmp(name, "commit_timestamp") == 0) {
        (void)snprintf(room, size, "%lld", (long long)s->last_commit);
        return room;
    }
    if (strcasecmp(name, "transaction_age") == 0) {
        (void)snprintf(room, size, "%lld", (long long)s->last_age);
        return room;
    }
    if (strcasecmp(name, "transaction_read_only") == 0 && s->txn != NULL)
        return s->mode == TXN_READ_ONLY ? "on" : "off";
    return settings_get(s->settings, name, NULL);
}

static enum status do_show(struct session *s, const struct show_stmt *t, const struct row_out *out,
                           struct err *err)
{
    struct show w = {.out = out};
    const struct show_table *table = show_table_of(t);
    char room[32];
    const char *value;
    struct datum row;

    if (strcasecmp(t->name, "all") == 0) {
        settings_each(s->settings, show_setting, &w);
        return ST_OK;
    }
    if (strcasecmp(t->name, "cluster") == 0) {
        show_cluster(s, t->arg != NULL ? t->arg : "", &w);
        return ST_OK;
    }
    if (table != NULL)
        return show_virtual(s, t, table, &w, err);
    value = live_value(s, t->name, room, sizeof room);
    if (value == NULL)
        return err_set(err, ST_REJECT, SQLSTATE_UNDEFINED_OBJECT,
                       "unrecognized configuration parameter \"%s\"", t->name);
    row = text(value);
    show_row(&w, &row, 1);
    return ST_OK;
}

/* PREPARE, EXECUTE */

static enum status do_prepare(struct session *s, const struct prepared *p, struct err *err)
{
    const struct prepare_stmt *t = p->stmt->prepare;
    enum sql_type *types = xcalloc(t->n_types + 1, sizeof *types);
    struct arena mem;
    struct prepared *made;
    const char *body;
    int32_t typmod;
    enum status st = ST_OK;

    arena_init(&mem, 0);
    for (size_t i = 0; i < t->n_types; i++)
        TRY(type_name_resolve(&t->types[i], &types[i], &typmod, err));
    body = deparse_stmt(t->stmt, &mem);
    TRY(prepared_new(s, t->name.name, body, types, t->n_types, &made, err));
    TRY(session_add_prepared(s, made, false, err));
out:
    arena_fini(&mem);
    free(types);
    return st;
}

static enum status execute_params(struct session *s, const struct execute_stmt *t,
                                  const struct prepared *target, struct arena *mem,
                                  struct datum **out, struct err *err)
{
    struct datum *params = arena_zalloc(mem, (t->args.n + 1) * sizeof *params);
    struct bind_options opts = {.catalog = s->catalog, .env = &s->env, .mem = mem};
    struct eval ev = {.env = &s->env, .mem = mem};
    enum status st = ST_OK;

    if (t->args.n != target->n_params) {
        (void)err_set(err, ST_REJECT, SQLSTATE_SYNTAX_ERROR,
                      "wrong number of parameters for prepared statement \"%s\"", t->name.name);
        return err != NULL ? err_detail(err, "Expected %zu parameters but got %zu.",
                                        target->n_params, t->args.n)
                           : ST_REJECT;
    }
    TRY(session_catalog(s, err));
    opts.catalog = s->catalog;
    for (size_t i = 0; i < t->args.n; i++) {
        struct bx *bound;

        TRY(bind_value(&opts, t->args.items[i], target->types[i], -1, &bound, err));
        TRY(bx_eval(bound, &ev, &params[i], err));
    }
    *out = params;
out:
    return st;
}

static enum status do_execute(struct session *s, const struct execute_stmt *t,
                              const struct row_out *out, char *tag, size_t size, struct err *err)
{
    struct prepared *target = prepared_find(s, t->name.name);
    struct arena mem;
    struct datum *params = NULL;
    uint64_t count;
    enum status st = ST_OK;

    if (target == NULL)
        return err_set(err, ST_REJECT, SQLSTATE_INVALID_SQL_STATEMENT_NAME,
                       "prepared statement \"%s\" does not exist", t->name.name);
    arena_init(&mem, 0);
    TRY(execute_params(s, t, target, &mem, &params, err));
    target->refs++;
    if (stmt_is_planned(target->stmt)) {
        st = session_run_planned(s, target, params, out, NULL, &count, err);
        if (st == ST_OK)
            planned_tag(target->stmt, count, tag, size);
    } else if (target->stmt != NULL) {
        st = session_utility(s, target, out, tag, size, err);
    }
    prepared_unref(target);
out:
    arena_fini(&mem);
    return st;
}

static enum status do_deallocate(struct session *s, const char *name, char *tag, size_t size,
                                 struct err *err)
{
    set_tag(tag, size, name == NULL ? "DEALLOCATE ALL" : "DEALLOCATE");
    while (name == NULL && s->statements != NULL)
        (void)session_drop_prepared(s, s->statements->name, NULL); /* it is there */
    if (name != NULL && session_drop_prepared(s, name, err) != ST_OK)
        return err_set(err, ST_REJECT, SQLSTATE_INVALID_SQL_STATEMENT_NAME,
                       "prepared statement \"%s\" does not exist", name);
    return ST_OK;
}

/* EXPLAIN */

static void explain_line(void *arg, const char *line)
{
    struct datum row = text(line);

    show_row(arg, &row, 1);
}

static bool drop_row(void *arg, const struct datum *values, size_t n)
{
    (void)arg;
    (void)values;
    (void)n;
    return true;
}

static enum status explain_analyze(struct session *s, struct prepared *p,
                                   const struct stats_room *stats, int64_t *out_ns, struct err *err)
{
    struct row_out nowhere = {drop_row, NULL};
    int64_t start = mono_now();
    uint64_t count;
    enum status st = session_run_planned(s, p, NULL, &nowhere, stats, &count, err);

    *out_ns = mono_now() - start;
    return st;
}

static enum status do_explain(struct session *s, const struct explain_stmt *t,
                              const struct row_out *out, struct err *err)
{
    struct prepared p;
    struct show w = {.out = out};
    struct stats_room stats = {0};
    int64_t ns = 0;
    char line[64];
    enum status st = ST_OK;

    if (t->format != NULL && strcasecmp(t->format, "text") != 0)
        return err_set(err, ST_REJECT, SQLSTATE_FEATURE_NOT_SUPPORTED,
                       "EXPLAIN (FORMAT %s) is not supported", t->format);
    prepared_init(&p, t->stmt);
    if (stmt_is_planned(t->stmt)) {
        TRY(session_catalog(s, err));
        TRY(prepared_plan(s, &p, s->catalog, err));
        stats.cap = p.plan.n_nodes * 2 + 16;
        stats.items = xcalloc(stats.cap, sizeof *stats.items);
        if (t->analyze)
            TRY(explain_analyze(s, &p, &stats, &ns, err));
        plan_explain(&p.plan, &p.bound, t->analyze ? stats.items : NULL, t->costs, t->timing,
                     explain_line, &w);
        if (t->analyze && t->summary) {
            (void)snprintf(line, sizeof line, "Execution Time: %.3f ms", (double)ns / 1e6);
            explain_line(&w, line);
        }
    } else {
        st = err_set(err, ST_REJECT, SQLSTATE_FEATURE_NOT_SUPPORTED,
                     "EXPLAIN of this statement is not supported");
    }
out:
    free(stats.items);
    prepared_fini(&p);
    return st;
}

/* Schema changes */

static void ddl_note(void *arg, const struct err *note, const char *severity)
{
    struct session *s = arg;

    if (s->sink != NULL && s->sink->notice != NULL)
        s->sink->notice(s->sink->arg, note, severity);
}

static enum status do_ddl(struct session *s, const struct stmt *stmt, char *tag, size_t size,
                          struct err *err)
{
    struct ddl_env env = {.space = s->db->opts.space,
                          .cache = s->db->cache,
                          .env = &s->env,
                          .memory = s->pool.budget,
                          .cancel = &s->cancel,
                          .notice = ddl_note,
                          .notice_arg = s};
    tstamp ts;
    enum status st = ST_OK;

    if (s->state != SESSION_IDLE)
        return err_set(err, ST_REJECT, SQLSTATE_FEATURE_NOT_SUPPORTED,
                       "%s inside a transaction block is not supported", ddl_tag(stmt));
    /* In a text of several statements a schema change ends what came before it. */
    if (s->txn != NULL)
        TRY(session_commit(s, err));
    TRY(ddl_run(&env, stmt, &ts, err));
    if (ts != 0)
        s->last_commit = ts;
    set_tag(tag, size, ddl_tag(stmt));
out:
    return st;
}

static enum status do_maintenance(struct session *s, const struct maintenance_stmt *t, char *tag,
                                  size_t size, struct err *err)
{
    switch (t->maint) {
    case MAINT_VACUUM:
        if (s->state != SESSION_IDLE)
            return err_set(err, ST_REJECT, SQLSTATE_ACTIVE_SQL_TRANSACTION,
                           "VACUUM cannot run inside a transaction block");
        set_tag(tag, size, "VACUUM");
        break;
    case MAINT_ANALYZE:
        set_tag(tag, size, "ANALYZE");
        break;
    case MAINT_CHECKPOINT:
        set_tag(tag, size, "CHECKPOINT");
        break;
    case MAINT_DISCARD:
        (void)snprintf(tag, size, "DISCARD %s", t->discard);
        for (char *c = tag; *c != 0; c++)
            *c = (char)(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
        if (strcasecmp(t->discard, "all") == 0) {
            char ignored[64];

            settings_reset_all(s->settings);
            return do_deallocate(s, NULL, ignored, sizeof ignored, err);
        }
        break;
    }
    return ST_OK;
}

enum status session_utility(struct session *s, struct prepared *p, const struct row_out *out,
                            char *tag, size_t tag_size, struct err *err)
{
    const struct stmt *stmt = p->stmt;
    const char *word = "";
    enum status st = ST_OK;

    switch (stmt->kind) {
    case STMT_TXN:
        st = session_txn_stmt(s, stmt->txn, &word, err);
        set_tag(tag, tag_size, word);
        return st;
    case STMT_SET:
        return do_set(s, stmt->set, tag, tag_size, err);
    case STMT_SHOW:
        set_tag(tag, tag_size, "SHOW");
        return do_show(s, stmt->show, out, err);
    case STMT_PREPARE:
        set_tag(tag, tag_size, "PREPARE");
        return do_prepare(s, p, err);
    case STMT_EXECUTE:
        return do_execute(s, stmt->execute, out, tag, tag_size, err);
    case STMT_DEALLOCATE:
        return do_deallocate(s, stmt->deallocate.name, tag, tag_size, err);
    case STMT_EXPLAIN:
        set_tag(tag, tag_size, "EXPLAIN");
        return do_explain(s, stmt->explain, out, err);
    case STMT_MAINTENANCE:
        return do_maintenance(s, stmt->maintenance, tag, tag_size, err);
    case STMT_CREATE_TABLE:
    case STMT_CREATE_INDEX:
    case STMT_DROP:
    case STMT_TRUNCATE:
    case STMT_ALTER_TABLE:
        return do_ddl(s, stmt, tag, tag_size, err);
    case STMT_SELECT:
    case STMT_INSERT:
    case STMT_UPDATE:
    case STMT_DELETE:
        break;
    }
    return err_set(err, ST_REJECT, SQLSTATE_INTERNAL_ERROR, "this statement has a plan");
}

/* Result columns */

static void text_columns(const char *const *names, size_t n, struct arena *mem,
                         struct column_desc **out, size_t *out_n)
{
    struct column_desc *cols = arena_zalloc(mem, n * sizeof *cols);

    for (size_t i = 0; i < n; i++)
        cols[i] = (struct column_desc){.name = names[i], .type = TYPE_TEXT, .typmod = -1};
    *out = cols;
    *out_n = n;
}

static void virtual_columns(const struct show_table *t, struct arena *mem, struct column_desc **out,
                            size_t *out_n)
{
    const struct virtual_table *v = virtual_table_find("meridian", t->table);
    struct column_desc *cols = arena_zalloc(mem, v->n_columns * sizeof *cols);

    for (size_t i = 0; i < v->n_columns; i++)
        cols[i] = (struct column_desc){
            .name = v->columns[i].name, .type = v->columns[i].type, .typmod = -1};
    *out = cols;
    *out_n = v->n_columns;
}

static enum status show_columns(struct session *s, const struct show_stmt *t, struct arena *mem,
                                struct column_desc **out, size_t *out_n, struct err *err)
{
    const struct show_table *table = show_table_of(t);
    const char *spelling = NULL;

    if (table != NULL) {
        virtual_columns(table, mem, out, out_n);
    } else if (strcasecmp(t->name, "all") == 0) {
        text_columns((const char *[]){"name", "setting", "description"}, 3, mem, out, out_n);
    } else if (strcasecmp(t->name, "cluster") == 0) {
        static const char *const facts[] = {"name", "value", NULL};
        const char *const *names = cluster_columns(s, t->arg != NULL ? t->arg : "");
        size_t n = 0;

        names = names != NULL ? names : facts;
        while (names[n] != NULL)
            n++;
        text_columns(names, n, mem, out, out_n);
    } else {
        if (settings_get(s->settings, t->name, &spelling) == NULL)
            return err_set(err, ST_REJECT, SQLSTATE_UNDEFINED_OBJECT,
                           "unrecognized configuration parameter \"%s\"", t->name);
        text_columns(&spelling, 1, mem, out, out_n);
    }
    return ST_OK;
}

enum status utility_columns(struct session *s, const struct stmt *stmt, struct arena *mem,
                            struct column_desc **out, size_t *out_n, struct err *err)
{
    static const char *const plan[] = {"QUERY PLAN"};
    struct prepared *target;

    *out = NULL;
    *out_n = 0;
    if (stmt == NULL)
        return ST_OK;
    if (stmt->kind == STMT_EXPLAIN) {
        text_columns(plan, 1, mem, out, out_n);
    } else if (stmt->kind == STMT_SHOW) {
        return show_columns(s, stmt->show, mem, out, out_n, err);
    } else if (stmt->kind == STMT_EXECUTE) {
        target = prepared_find(s, stmt->execute->name.name);
        if (target == NULL)
            return err_set(err, ST_REJECT, SQLSTATE_INVALID_SQL_STATEMENT_NAME,
                           "prepared statement \"%s\" does not exist", stmt->execute->name.name);
        if (!stmt_is_planned(target->stmt))
            return utility_columns(s, target->stmt, mem, out, out_n, err);
        *out = target->cols;
        *out_n = target->n_cols;
    }
    return ST_OK;
}
