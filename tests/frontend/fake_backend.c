#include "tests/frontend/fake_backend.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

enum { STATEMENTS_MAX = 16, PARAMS_MAX = 8 };

struct fake_statement {
    char name[64], text[256];
    enum sql_type types[PARAMS_MAX];
    size_t n_types;
    struct column_desc cols[PARAMS_MAX];
    size_t n_cols;
};

struct fake_portal {
    char name[64];
    struct fake_statement statement; /* a copy */
    struct datum values[PARAMS_MAX];
    struct arena mem;
    uint64_t at; /* rows given so far */
};

struct session {
    enum session_state state;
    struct fake_statement statements[STATEMENTS_MAX];
    size_t n_statements;
    struct fake_portal portals[STATEMENTS_MAX];
    size_t n_portals;
    bool sync_fails;
    char application_name[64];
    pthread_mutex_t mu;
    pthread_cond_t cond;
    bool cancelled; /* guarded by mu */
    bool hanging;   /* guarded by mu */
};

static _Atomic int n_sessions;

int fake_sessions(void)
{
    return n_sessions;
}

static enum status fake_open(struct sql_database *db, const struct session_options *opts,
                             struct session **out, struct err *err)
{
    struct session *s;

    (void)db;
    if (strcmp(opts->database, "nowhere") == 0)
        return err_set(err, ST_REJECT, SQLSTATE_INVALID_CATALOG_NAME,
                       "database \"nowhere\" does not exist");
    s = xcalloc(1, sizeof *s);
    s->state = SESSION_IDLE;
    (void)snprintf(s->application_name, sizeof s->application_name, "%s", opts->application_name);
    pthread_mutex_init(&s->mu, NULL);
    pthread_cond_init(&s->cond, NULL);
    n_sessions++;
    *out = s;
    return ST_OK;
}

static void fake_close(struct session *s)
{
    for (size_t i = 0; i < s->n_portals; i++)
        arena_fini(&s->portals[i].mem);
    pthread_cond_destroy(&s->cond);
    pthread_mutex_destroy(&s->mu);
    free(s);
    n_sessions--;
}

static void fake_cancel(struct session *s)
{
    pthread_mutex_lock(&s->mu);
    s->cancelled = true;
    pthread_cond_broadcast(&s->cond);
    pthread_mutex_unlock(&s->mu);
}

static enum session_state fake_state(const struct session *s)
{
    return s->state;
}

static enum status fake_set(struct session *s, const char *name, const char *value, struct err *err)
{
    if (strcmp(name, "application_name") == 0)
        (void)snprintf(s->application_name, sizeof s->application_name, "%s", value);
    else if (strcmp(name, "client_encoding") != 0)
        return err_set(err, ST_REJECT, SQLSTATE_UNDEFINED_OBJECT,
                       "unrecognized configuration parameter \"%s\"", name);
    return ST_OK;
}

static const char *fake_get(struct session *s, const char *name)
{
    if (strcmp(name, "application_name") == 0)
        return s->application_name;
    if (strcmp(name, "idle_in_transaction_session_timeout") == 0)
        return "200ms";
    return NULL;
}

static enum status fake_hang(struct session *s, struct err *err)
{
    pthread_mutex_lock(&s->mu);
    while (!s->cancelled)
        pthread_cond_wait(&s->cond, &s->mu);
    s->cancelled = false;
    pthread_mutex_unlock(&s->mu);
    return err_set(err, ST_REJECT, SQLSTATE_QUERY_CANCELED,
                   "canceling statement due to user request");
}

static bool fake_row(struct fake_portal *p, const struct sql_sink *sink)
{
    struct datum row[2] = {{.type = TYPE_INT8}, {.type = TYPE_TEXT}};
    char text[32];

    (void)snprintf(text, sizeof text, "row %llu", (unsigned long long)p->at);
    row[0].i = (int64_t)p->at++;
    row[1].s = bytes_str(text);
    return sink->row(sink->arg, row, 2);
}

static enum status fake_rows(struct fake_portal *p, uint64_t max_rows, const struct sql_sink *sink,
                             bool *out_suspended, struct err *err)
{
    uint64_t total = strtoull(p->statement.text + 5, NULL, 10), given = 0;
    char tag[32];

    while (p->at < total && (max_rows == 0 || given < max_rows)) {
        if (!fake_row(p, sink))
            return err_set(err, ST_REJECT, SQLSTATE_CONNECTION_FAILURE, "client gone");
        given++;
    }
    *out_suspended = max_rows != 0 && given == max_rows;
    (void)snprintf(tag, sizeof tag, "SELECT %llu", (unsigned long long)given);
    if (!*out_suspended)
        sink->complete(sink->arg, tag);
    return ST_OK;
}

static enum status fake_run_portal(struct session *s, struct fake_portal *p, uint64_t max_rows,
                                   const struct sql_sink *sink, bool *out_suspended,
                                   struct err *err)
{
    const char *text = p->statement.text;

    *out_suspended = false;
    if (s->state == SESSION_FAILED && strcmp(text, "commit") != 0)
        return err_set(err, ST_REJECT, SQLSTATE_IN_FAILED_SQL_TRANSACTION,
                       "current transaction is aborted");
    if (strncmp(text, "fail ", 5) == 0) {
        (void)err_set(err, ST_REJECT, text + 5, "asked to fail");
        (void)err_detail(err, "the detail");
        (void)err_hint(err, "the hint");
        return err_position(err, 6);
    }
    if (strncmp(text, "rows ", 5) == 0)
        return fake_rows(p, max_rows, sink, out_suspended, err);
    if (strcmp(text, "hang") == 0)
        return fake_hang(s, err);
    if (strncmp(text, "echo", 4) == 0) {
        if (!sink->row(sink->arg, p->values, p->statement.n_types))
            return err_set(err, ST_REJECT, SQLSTATE_CONNECTION_FAILURE, "client gone");
        sink->complete(sink->arg, "SELECT 1");
    } else if (strcmp(text, "begin") == 0) {
        s->state = SESSION_IN_TXN;
        sink->complete(sink->arg, "BEGIN");
    } else if (strcmp(text, "commit") == 0) {
        sink->complete(sink->arg, s->state == SESSION_FAILED ? "ROLLBACK" : "COMMIT");
        s->state = SESSION_IDLE;
    } else if (strcmp(text, "notice") == 0) {
        struct err note;

        (void)err_set(&note, ST_OK, SQLSTATE_OK, "look here");
        sink->notice(sink->arg, &note, "NOTICE");
        sink->complete(sink->arg, "NOTICE");
    } else if (strcmp(text, "failsync") == 0) {
        s->sync_fails = true;
        sink->complete(sink->arg, "INSERT 0 1");
    } else if (*text == '\0') {
        sink->empty(sink->arg);
    } else {
        return err_set(err, ST_REJECT, SQLSTATE_SYNTAX_ERROR, "syntax error at \"%s\"", text);
    }
    return ST_OK;
}

static void fake_fill(struct fake_statement *st, const char *name, const char *text,
                      const enum sql_type *types, size_t n)
{
    memset(st, 0, sizeof *st);
    (void)snprintf(st->name, sizeof st->name, "%s", name);
    (void)snprintf(st->text, sizeof st->text, "%s", text);
    for (const char *p = text; (p = strchr(p, '$')) != NULL && st->n_types < PARAMS_MAX; p++) {
        enum sql_type t = st->n_types < n ? types[st->n_types] : TYPE_UNKNOWN;

        st->types[st->n_types++] = t == TYPE_UNKNOWN ? TYPE_INT8 : t;
    }
    if (strncmp(text, "rows ", 5) == 0) {
        st->cols[0] = (struct column_desc){"n", TYPE_INT8, -1, 16384, 1};
        st->cols[1] = (struct column_desc){"t", TYPE_TEXT, -1, 16384, 2};
        st->n_cols = 2;
    } else if (strncmp(text, "echo", 4) == 0) {
        for (size_t i = 0; i < st->n_types; i++)
            st->cols[i] = (struct column_desc){"echo", st->types[i], -1, 0, 0};
        st->n_cols = st->n_types;
    }
}

static enum status fake_run(struct session *s, const char *text, const struct sql_sink *sink,
                            struct err *err)
{
    enum status st = ST_OK;

    while (st == ST_OK) {
        size_t len = strcspn(text, ";");
        struct fake_portal p = {0};
        char one[256];
        bool suspended;

        (void)snprintf(one, sizeof one, "%.*s", (int)len, text + strspn(text, " "));
        fake_fill(&p.statement, "", one, NULL, 0);
        if (p.statement.n_cols != 0)
            sink->columns(sink->arg, p.statement.cols, p.statement.n_cols);
        st = fake_run_portal(s, &p, 0, sink, &suspended, err);
        text += len;
        if (*text++ == '\0' || *text == '\0')
            break;
    }
    if (st != ST_OK && s->state == SESSION_IN_TXN)
        s->state = SESSION_FAILED;
    return st;
}

static struct fake_statement *fake_find(struct session *s, const char *name, struct err *err)
{
    for (size_t i = 0; i < s->n_statements; i++)
        if (strcmp(s->statements[i].name, name) == 0)
            return &s->statements[i];
    (void)err_set(err, ST_REJECT, SQLSTATE_INVALID_SQL_STATEMENT_NAME,
                  "prepared statement \"%s\" does not exist", name);
    return NULL;
}

static enum status fake_prepare(struct session *s, const char *name, const char *text,
                                const enum sql_type *types, size_t n, struct err *err)
{
    struct fake_statement *st = fake_find(s, name, NULL);

    if (strcmp(text, "garbage") == 0)
        return err_set(err, ST_REJECT, SQLSTATE_SYNTAX_ERROR, "syntax error");
    if (st == NULL && s->n_statements == STATEMENTS_MAX)
        return err_set(err, ST_REJECT, SQLSTATE_CONFIGURATION_LIMIT_EXCEEDED, "too many");
    fake_fill(st != NULL ? st : &s->statements[s->n_statements++], name, text, types, n);
    return ST_OK;
}

static enum status fake_describe(struct session *s, const char *name, const enum sql_type **params,
                                 size_t *n_params, const struct column_desc **cols, size_t *n_cols,
                                 struct err *err)
{
    struct fake_statement *st = fake_find(s, name, err);

    if (st == NULL)
        return ST_REJECT;
    *params = st->types;
    *n_params = st->n_types;
    *cols = st->n_cols == 0 ? NULL : st->cols;
    *n_cols = st->n_cols;
    return ST_OK;
}

static struct fake_portal *fake_find_portal(struct session *s, const char *name, struct err *err)
{
    for (size_t i = 0; i < s->n_portals; i++)
        if (strcmp(s->portals[i].name, name) == 0)
            return &s->portals[i];
    (void)err_set(err, ST_REJECT, SQLSTATE_INVALID_CURSOR_NAME, "portal \"%s\" does not exist",
                  name);
    return NULL;
}

static enum status fake_bind(struct session *s, const char *portal, const char *statement,
                             const struct datum *params, size_t n, struct err *err)
{
    struct fake_statement *st = fake_find(s, statement, err);
    struct fake_portal *p = fake_find_portal(s, portal, NULL);

    if (st == NULL)
        return ST_REJECT;
    if (p == NULL && s->n_portals == STATEMENTS_MAX)
        return err_set(err, ST_REJECT, SQLSTATE_CONFIGURATION_LIMIT_EXCEEDED, "too many");
    if (p == NULL)
        p = &s->portals[s->n_portals++];
    else
        arena_fini(&p->mem);
    memset(p, 0, sizeof *p);
    (void)snprintf(p->name, sizeof p->name, "%s", portal);
    p->statement = *st;
    arena_init(&p->mem, 0);
    for (size_t i = 0; i < n; i++)
        p->values[i] = datum_copy(&params[i], &p->mem);
    return ST_OK;
}

static enum status fake_describe_portal(struct session *s, const char *portal,
                                        const struct column_desc **cols, size_t *n_cols,
                                        struct err *err)
{
    struct fake_portal *p = fake_find_portal(s, portal, err);

    if (p == NULL)
        return ST_REJECT;
    *cols = p->statement.n_cols == 0 ? NULL : p->statement.cols;
    *n_cols = p->statement.n_cols;
    return ST_OK;
}

static enum status fake_execute(struct session *s, const char *portal, uint64_t max_rows,
                                const struct sql_sink *sink, bool *out_suspended, struct err *err)
{
    struct fake_portal *p = fake_find_portal(s, portal, err);
    enum status st = ST_REJECT;

    if (p != NULL)
        st = fake_run_portal(s, p, max_rows, sink, out_suspended, err);
    if (st != ST_OK && s->state == SESSION_IN_TXN)
        s->state = SESSION_FAILED;
    return st;
}

static enum status fake_sync(struct session *s, struct err *err)
{
    if (s->sync_fails) {
        s->sync_fails = false;
        return err_set(err, ST_ABORT, SQLSTATE_SERIALIZATION_FAILURE, "wounded");
    }
    return ST_OK;
}

static void fake_failed(struct session *s)
{
    s->sync_fails = false;
}

static enum status fake_close_statement(struct session *s, const char *name, struct err *err)
{
    struct fake_statement *st = fake_find(s, name, NULL);

    (void)err; /* closing what is not there is no error */
    if (st != NULL)
        *st = s->statements[--s->n_statements];
    return ST_OK;
}

static enum status fake_close_portal(struct session *s, const char *name, struct err *err)
{
    struct fake_portal *p = fake_find_portal(s, name, NULL);

    (void)err; /* likewise */
    if (p != NULL) {
        arena_fini(&p->mem);
        *p = s->portals[--s->n_portals];
    }
    return ST_OK;
}

const struct frontend_backend fake_backend = {
    .open = fake_open,
    .close = fake_close,
    .cancel = fake_cancel,
    .state = fake_state,
    .set = fake_set,
    .get = fake_get,
    .run = fake_run,
    .prepare = fake_prepare,
    .describe = fake_describe,
    .bind = fake_bind,
    .describe_portal = fake_describe_portal,
    .execute = fake_execute,
    .sync = fake_sync,
    .failed = fake_failed,
    .close_statement = fake_close_statement,
    .close_portal = fake_close_portal,
};
