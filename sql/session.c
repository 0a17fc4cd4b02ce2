#include "sql/session.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/rng.h"
#include "sql/session_int.h"

enum { DEFAULT_STATEMENT_MEMORY = 256 * 1024 * 1024 };

/* The database */

enum status sql_database_open(const struct sql_database_options *opts, struct sql_database **out,
                              struct err *err)
{
    struct sql_database *db = xcalloc(1, sizeof *db);

    (void)err;
    db->opts = *opts;
    if (db->opts.statement_memory == 0)
        db->opts.statement_memory = DEFAULT_STATEMENT_MEMORY;
    db->cache = catalog_cache_new(opts->space);
    if (opts->metrics != NULL) {
        db->statements = metrics_counter(opts->metrics, "meridian_sql_statements_total",
                                         "Statements that sessions were asked to run.");
        db->errors = metrics_counter(opts->metrics, "meridian_sql_errors_total",
                                     "Statements that ended with an error.");
        db->retries = metrics_counter(opts->metrics, "meridian_sql_retries_total",
                                      "Statements run again by themselves after a conflict.");
        db->plans = metrics_counter(opts->metrics, "meridian_sql_plans_total",
                                    "Statements bound and planned.");
    }
    *out = db;
    return ST_OK;
}

void sql_database_close(struct sql_database *db)
{
    if (db == NULL)
        return;
    catalog_cache_free(db->cache);
    free(db);
}

/* A session's life */

enum status session_open(struct sql_database *db, const struct session_options *opts,
                         struct session **out, struct err *err)
{
    struct session *s = xcalloc(1, sizeof *s);

    (void)err;
    s->db = db;
    s->state = SESSION_IDLE;
    s->user = xstrdup(opts->user != NULL ? opts->user : "");
    s->database = xstrdup(opts->database != NULL ? opts->database : s->user);
    s->settings = settings_new(s->user, opts->application_name);
    run_pool_init(&s->pool, db->opts.statement_memory);
    arena_init(&s->text_mem, 0);
    prepared_init(&s->simple, NULL);
    s->rng = xcalloc(1, sizeof *s->rng);
    rng_seed(s->rng, (uint64_t)mono_now() ^ (uint64_t)(uintptr_t)s);
    s->env.user = s->user;
    s->env.database = s->database;
    s->env.rng = s->rng;
    *out = s;
    return ST_OK;
}

static void free_portal(struct portal *p)
{
    run_close(p->run);
    prepared_unref(p->prepared);
    arena_fini(&p->mem);
    free(p->name);
    free(p);
}

static void free_portals(struct session *s)
{
    while (s->portals != NULL) {
        struct portal *p = s->portals;

        s->portals = p->next;
        free_portal(p);
    }
}

void session_close(struct session *s)
{
    if (s == NULL)
        return;
    session_rollback(s);
    free_portals(s);
    while (s->statements != NULL)
        (void)session_drop_prepared(s, s->statements->name, NULL); /* it is there */
    prepared_fini(&s->simple);
    arena_fini(&s->text_mem);
    catalog_unref(s->catalog);
    run_pool_fini(&s->pool);
    settings_free(s->settings);
    free(s->rng);
    free(s->user);
    free(s->database);
    free(s);
}

void session_cancel(struct session *s)
{
    __atomic_store_n(&s->cancel, true, __ATOMIC_RELAXED);
}

enum session_state session_state(const struct session *s)
{
    return s->state;
}

enum status session_set(struct session *s, const char *name, const char *value, struct err *err)
{
    enum status st = settings_set(s->settings, name, value, false, false, err);

    s->env.zone_s = settings_zone_s(s->settings);
    return st;
}

const char *session_get(struct session *s, const char *name)
{
    return settings_get(s->settings, name, NULL);
}

static void start_call(struct session *s, const struct sql_sink *sink)
{
    s->sink = sink;
    __atomic_store_n(&s->cancel, false, __ATOMIC_RELAXED);
}

static void report_changes(struct session *s)
{
    if (s->sink != NULL && s->sink->parameter != NULL)
        settings_report(s->settings, s->sink->parameter, s->sink->arg);
}

/* Simple protocol */

/* Rows on their way to the sink: the columns go first, once. */
struct simple_out {
    struct session *s;
    struct prepared *p;
    const struct sql_sink *sink;
    bool columns_sent;
    uint64_t n;
    enum status st;
};

static void send_columns(struct simple_out *o)
{
    struct column_desc *cols = o->p->cols;
    size_t n = o->p->n_cols;
    struct arena mem;

    if (o->columns_sent)
        return;
    o->columns_sent = true;
    arena_init(&mem, 0);
    if (!stmt_is_planned(o->p->stmt))
        o->st = utility_columns(o->s, o->p->stmt, &mem, &cols, &n, NULL);
    if (o->st == ST_OK && n > 0 && o->sink->columns != NULL)
        o->sink->columns(o->sink->arg, cols, n);
    arena_fini(&mem);
}

static bool simple_row(void *arg, const struct datum *values, size_t n)
{
    struct simple_out *o = arg;

    send_columns(o);
    o->n++;
    return o->sink->row == NULL || o->sink->row(o->sink->arg, values, n);
}

static bool returns_columns(const struct prepared *p)
{
    if (stmt_is_planned(p->stmt))
        return p->stmt->kind == STMT_SELECT || p->n_cols > 0;
    return p->stmt->kind == STMT_SHOW || p->stmt->kind == STMT_EXPLAIN ||
           p->stmt->kind == STMT_EXECUTE;
}

static enum status run_one(struct session *s, const struct stmt *stmt, const struct sql_sink *sink,
                           struct err *err)
{
    struct prepared *p = &s->simple;
    struct simple_out o = {.s = s, .p = p, .sink = sink};
    struct row_out out = {simple_row, &o};
    uint64_t count;
    char tag[64] = "";
    enum status st = ST_OK;

    p->stmt = stmt;
    p->planned = false;
    p->n_cols = 0;
    TRY(session_check_state(s, stmt, err));
    if (s->db->statements != NULL)
        metric_add(s->db->statements, 1);
    if (stmt_is_planned(stmt)) {
        TRY(session_run_planned(s, p, NULL, &out, NULL, &count, err));
        planned_tag(stmt, count, tag, sizeof tag);
    } else {
        TRY(session_utility(s, p, &out, tag, sizeof tag, err));
    }
    if (returns_columns(p))
        send_columns(&o);
    report_changes(s);
    if (sink->complete != NULL)
        sink->complete(sink->arg, tag);
out:
    return st;
}

/* Several statements are one transaction if any of them writes. */
static bool text_writes(const struct stmt_list *list)
{
    bool writes = false;

    for (size_t i = 0; i < list->n; i++) {
        const struct stmt *t = list->items[i];

        writes |= t->kind == STMT_INSERT || t->kind == STMT_UPDATE || t->kind == STMT_DELETE ||
                  t->kind == STMT_EXECUTE || (t->kind == STMT_SELECT && t->select->locking.n > 0);
    }
    return writes && list->n > 1;
}

static enum status end_implicit(struct session *s, struct err *err)
{
    enum status st = ST_OK;

    s->implicit = false;
    if (s->state == SESSION_IDLE && s->txn != NULL) {
        st = s->mode == TXN_READ_WRITE ? session_renew(s, err) : ST_OK;
        if (st == ST_OK)
            st = session_commit(s, err);
        else
            session_rollback(s);
    }
    return st;
}

enum status session_run(struct session *s, const char *text, const struct sql_sink *sink,
                        struct err *err)
{
    struct stmt_list list;
    enum status st;

    start_call(s, sink);
    arena_reset(&s->text_mem);
    st = sql_parse(bytes_str(text), &s->text_mem, &list, err);
    if (st != ST_OK) {
        session_statement_failed(s, st);
        goto out;
    }
    if (list.n == 0 && sink->empty != NULL)
        sink->empty(sink->arg);
    s->implicit = text_writes(&list);
    for (size_t i = 0; i < list.n && st == ST_OK; i++)
        st = run_one(s, list.items[i], sink, err);
    if (st == ST_OK) {
        st = end_implicit(s, err);
    } else {
        s->implicit = false;
        session_statement_failed(s, st);
    }
    report_changes(s);
out:
    s->sink = NULL;
    return st;
}

/* Extended protocol */

static enum status fail(struct session *s, enum status st)
{
    if (st != ST_OK)
        session_statement_failed(s, st);
    s->sink = NULL;
    return st;
}

enum status session_prepare(struct session *s, const char *name, const char *text,
                            const enum sql_type *param_types, size_t n_params, struct err *err)
{
    struct prepared *p;
    enum status st = ST_OK;

    start_call(s, NULL);
    TRY(prepared_new(s, name, text, param_types, n_params, &p, err));
    TRY(session_add_prepared(s, p, name[0] == 0, err));
out:
    return fail(s, st);
}

static enum status find_statement(struct session *s, const char *name, struct prepared **out,
                                  struct err *err)
{
    *out = prepared_find(s, name);
    if (*out != NULL)
        return ST_OK;
    if (name[0] == 0)
        return err_set(err, ST_REJECT, SQLSTATE_INVALID_SQL_STATEMENT_NAME,
                       "unnamed prepared statement does not exist");
    return err_set(err, ST_REJECT, SQLSTATE_INVALID_SQL_STATEMENT_NAME,
                   "prepared statement \"%s\" does not exist", name);
}

/* The columns as the client is told of them now: they must stay so. */
static void remember_shown(struct prepared *p)
{
    if (p->shown_types != NULL || !stmt_is_planned(p->stmt))
        return;
    p->shown_types = xcalloc(p->n_cols + 1, sizeof *p->shown_types);
    p->n_shown = p->n_cols;
    for (size_t i = 0; i < p->n_cols; i++)
        p->shown_types[i] = p->cols[i].type;
}

static enum status describe(struct session *s, struct prepared *p,
                            const struct column_desc **out_cols, size_t *out_n, struct err *err)
{
    enum status st = ST_OK;

    if (!stmt_is_planned(p->stmt)) {
        struct column_desc *cols;

        TRY(utility_columns(s, p->stmt, &p->plan_mem, &cols, out_n, err));
        *out_cols = cols;
        return ST_OK;
    }
    remember_shown(p);
    *out_cols = p->n_cols > 0 ? p->cols : NULL;
    *out_n = p->n_cols;
out:
    return st;
}

enum status session_describe(struct session *s, const char *name, const enum sql_type **out_params,
                             size_t *out_n_params, const struct column_desc **out_cols,
                             size_t *out_n_cols, struct err *err)
{
    struct prepared *p;
    enum status st = ST_OK;

    TRY(find_statement(s, name, &p, err));
    TRY(describe(s, p, out_cols, out_n_cols, err));
    *out_params = p->types;
    *out_n_params = p->n_params;
out:
    return fail(s, st);
}

static struct portal **portal_at(struct session *s, const char *name)
{
    struct portal **at = &s->portals;

    while (*at != NULL && strcmp((*at)->name, name) != 0)
        at = &(*at)->next;
    return at;
}

/* A portal of this name, made or (the unnamed one) used again. */
static enum status open_portal(struct session *s, const char *name, struct portal **out,
                               struct err *err)
{
    struct portal *p = *portal_at(s, name);

    if (p != NULL && name[0] != 0)
        return err_set(err, ST_REJECT, SQLSTATE_DUPLICATE_CURSOR, "portal \"%s\" already exists",
                       name);
    if (p == NULL) {
        p = xcalloc(1, sizeof *p);
        arena_init(&p->mem, s->pool.budget);
        p->name = xstrdup(name);
        p->next = s->portals;
        s->portals = p;
    } else {
        run_close(p->run);
        prepared_unref(p->prepared);
        arena_reset(&p->mem);
        p->prepared = NULL;
        p->run = NULL;
        p->rows = NULL;
        p->n_rows = p->cap_rows = p->at_row = 0;
        p->shown = 0;
        p->done = false;
    }
    *out = p;
    return ST_OK;
}

enum status session_bind(struct session *s, const char *portal, const char *statement,
                         const struct datum *params, size_t n_params, struct err *err)
{
    struct prepared *p;
    struct portal *q = NULL;
    enum status st = ST_OK;

    TRY(find_statement(s, statement, &p, err));
    TRY(session_check_state(s, p->stmt, err));
    if (n_params != p->n_params) {
        st = err_set(err, ST_REJECT, SQLSTATE_PROTOCOL_VIOLATION,
                     "bind message supplies %zu parameters, but prepared statement \"%s\" requires "
                     "%zu",
                     n_params, statement, p->n_params);
        goto out;
    }
    TRY(open_portal(s, portal, &q, err));
    q->prepared = p;
    p->refs++;
    q->params = arena_alloc(&q->mem, (n_params + 1) * sizeof *q->params);
    for (size_t i = 0; i < n_params; i++)
        q->params[i] = params[i].null ? params[i] : datum_copy(&params[i], &q->mem);
out:
    return fail(s, st);
}

static enum status find_portal(struct session *s, const char *name, struct portal **out,
                               struct err *err)
{
    *out = *portal_at(s, name);
    return *out != NULL ? ST_OK
                        : err_set(err, ST_REJECT, SQLSTATE_INVALID_CURSOR_NAME,
                                  "portal \"%s\" does not exist", name);
}

enum status session_describe_portal(struct session *s, const char *portal,
                                    const struct column_desc **out_cols, size_t *out_n_cols,
                                    struct err *err)
{
    struct portal *p;
    enum status st = ST_OK;

    TRY(find_portal(s, portal, &p, err));
    TRY(describe(s, p->prepared, out_cols, out_n_cols, err));
out:
    return fail(s, st);
}

/* Execution */

static bool sink_row(void *arg, const struct datum *values, size_t n)
{
    const struct sql_sink *sink = arg;

    return sink->row == NULL || sink->row(sink->arg, values, n);
}

/* Rows that wait in the portal. */
static bool portal_row(void *arg, const struct datum *values, size_t n)
{
    struct portal *p = arg;

    if (p->n_rows == p->cap_rows) {
        size_t cap = p->cap_rows == 0 ? 32 : p->cap_rows * 2;
        struct datum **grown = arena_alloc(&p->mem, cap * sizeof *grown);

        if (p->n_rows > 0)
            memcpy(grown, p->rows, p->n_rows * sizeof *grown);
        p->rows = grown;
        p->cap_rows = cap;
    }
    p->rows[p->n_rows] = arena_alloc(&p->mem, (n + 1) * sizeof **p->rows);
    for (size_t i = 0; i < n; i++)
        p->rows[p->n_rows][i] = values[i].null ? values[i] : datum_copy(&values[i], &p->mem);
    p->n_rows++;
    return !arena_over_budget(&p->mem);
}

static enum status run_whole(struct session *s, struct portal *p, const struct row_out *out,
                             struct err *err)
{
    uint64_t count;
    enum status st;

    if (!stmt_is_planned(p->prepared->stmt))
        return session_utility(s, p->prepared, out, p->tag, sizeof p->tag, err);
    st = session_run_planned(s, p->prepared, p->params, out, NULL, &count, err);
    if (st == ST_OK)
        planned_tag(p->prepared->stmt, count, p->tag, sizeof p->tag);
    return st;
}

/* Up to max_rows of a portal that ran whole: PostgreSQL suspends also if no row is left. */
static enum status show_waiting(struct portal *p, uint64_t max_rows, const struct sql_sink *sink,
                                bool *out_suspended, struct err *err)
{
    size_t n_cols = p->prepared->n_cols;

    for (uint64_t i = 0; i < max_rows && p->at_row < p->n_rows; i++) {
        if (sink->row != NULL && !sink->row(sink->arg, p->rows[p->at_row], n_cols))
            return err_set(err, ST_REJECT, SQLSTATE_CONNECTION_FAILURE, "the client is gone");
        p->at_row++;
    }
    *out_suspended = p->at_row < p->n_rows;
    return ST_OK;
}

/* A SELECT whose rows are fetched bit by bit: its transaction stays open until Sync or the end of the block. */
static enum status start_cursor(struct session *s, struct portal *p, struct err *err)
{
    bool own;
    enum status st = ST_OK;

    TRY(session_enter(s, p->prepared, 0, &own, err));
    TRY(session_open_run(s, p->prepared, p->params, NULL, &p->run, err));
out:
    return st;
}

static enum status fetch(struct session *s, struct portal *p, uint64_t max_rows,
                         const struct sql_sink *sink, bool *out_suspended, struct err *err)
{
    const struct datum *row;
    uint64_t n = 0;
    enum status st = ST_OK;

    *out_suspended = false;
    while (n < max_rows) {
        st = run_next(p->run, &row, err);
        if (st == ST_NOTFOUND) {
            run_close(p->run);
            p->run = NULL;
            p->done = true;
            planned_tag(p->prepared->stmt, n, p->tag, sizeof p->tag);
            return txn_answer(s->txn, err);
        }
        if (st == ST_OK)
            st = txn_answer(s->txn, err);
        if (st != ST_OK)
            return st;
        if (sink->row != NULL && !sink->row(sink->arg, row, p->prepared->n_cols))
            return err_set(err, ST_REJECT, SQLSTATE_CONNECTION_FAILURE, "the client is gone");
        n++;
    }
    *out_suspended = true;
    return ST_OK;
}

static enum status execute_limited(struct session *s, struct portal *p, uint64_t max_rows,
                                   const struct sql_sink *sink, bool *out_suspended,
                                   struct err *err)
{
    bool cursor = p->prepared->stmt->kind == STMT_SELECT;
    struct row_out wait = {portal_row, p};
    enum status st = ST_OK;

    if (cursor) {
        if (p->run == NULL)
            TRY(start_cursor(s, p, err));
        return fetch(s, p, max_rows, sink, out_suspended, err);
    }
    if (p->n_rows == 0)
        TRY(run_whole(s, p, &wait, err));
    TRY(show_waiting(p, max_rows, sink, out_suspended, err));
    p->done = !*out_suspended;
out:
    return st;
}

static enum status execute(struct session *s, struct portal *p, uint64_t max_rows,
                           const struct sql_sink *sink, bool *out_suspended, struct err *err)
{
    struct row_out out = {sink_row, NULL};
    struct sql_sink copy = *sink;
    enum status st = ST_OK;

    *out_suspended = false;
    if (p->done) {
        /* Run once: a second Execute finds no more rows. */
        if (stmt_is_planned(p->prepared->stmt))
            planned_tag(p->prepared->stmt, 0, p->tag, sizeof p->tag);
        return ST_OK;
    }
    out.arg = &copy;
    if (s->db->statements != NULL)
        metric_add(s->db->statements, 1);
    if (p->run != NULL || p->n_rows > 0 || (max_rows > 0 && stmt_is_planned(p->prepared->stmt)))
        return execute_limited(s, p, max_rows == 0 ? UINT64_MAX : max_rows, sink, out_suspended,
                               err);
    TRY(run_whole(s, p, &out, err));
    p->done = true;
out:
    return st;
}

enum status session_execute(struct session *s, const char *portal, uint64_t max_rows,
                            const struct sql_sink *sink, bool *out_suspended, struct err *err)
{
    struct portal *p;
    enum status st = ST_OK;

    start_call(s, sink);
    *out_suspended = false;
    TRY(find_portal(s, portal, &p, err));
    TRY(session_check_state(s, p->prepared->stmt, err));
    if (p->prepared->stmt == NULL) {
        if (sink->empty != NULL)
            sink->empty(sink->arg);
        goto out;
    }
    TRY(execute(s, p, max_rows, sink, out_suspended, err));
    report_changes(s);
    if (!*out_suspended && sink->complete != NULL)
        sink->complete(sink->arg, p->tag);
out:
    return fail(s, st);
}

/* Portals live as long as the transaction; the unnamed one is kept for the next Bind. */
static void end_portals(struct session *s)
{
    struct portal **at = &s->portals;

    while (*at != NULL) {
        struct portal *p = *at;

        if (p->name[0] == 0) {
            at = &p->next;
            continue;
        }
        *at = p->next;
        free_portal(p);
    }
}

enum status session_sync(struct session *s, struct err *err)
{
    enum status st = ST_OK;

    if (s->state != SESSION_IDLE)
        return ST_OK;
    if (s->txn != NULL)
        st = session_commit(s, err);
    if (s->portals != NULL)
        end_portals(s);
    return st;
}

void session_failed(struct session *s)
{
    /* An error that the caller found, in a parameter's value say, fails the block as a statement's would. */
    if (s->state == SESSION_IN_TXN)
        session_statement_failed(s, ST_REJECT);
    if (s->state != SESSION_IDLE)
        return;
    if (s->txn != NULL)
        session_rollback(s);
    end_portals(s);
}

enum status session_close_statement(struct session *s, const char *name, struct err *err)
{
    (void)err;
    (void)session_drop_prepared(s, name, NULL); /* closing what is not there is no error */
    return ST_OK;
}

enum status session_close_portal(struct session *s, const char *name, struct err *err)
{
    struct portal **at = portal_at(s, name);
    struct portal *p = *at;

    (void)err;
    if (p != NULL) {
        *at = p->next;
        free_portal(p);
    }
    return ST_OK;
}
