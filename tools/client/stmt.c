#include "client_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct mrd_stmt {
    struct mrd_conn *conn;
    char *sql;
    char name[32];
    uint64_t generation; /* of the connection that knows it; another one is told again */
};

static enum mrd_status sent(struct mrd_conn *c, int ok)
{
    return ok == 1 ? MRD_OK : conn_failed(c, NULL);
}

static enum mrd_status send_text(struct mrd_conn *c, const char *sql)
{
    enum mrd_status st = conn_ready(c);

    return st == MRD_OK ? sent(c, PQsendQuery(c->pg, sql)) : st;
}

static enum mrd_status send_values(struct mrd_conn *c, const char *sql,
                                   const struct mrd_value *values, size_t n)
{
    struct params p;
    enum mrd_status st = conn_ready(c);

    if (st == MRD_OK)
        st = params_init(&p, c, values, n);
    if (st != MRD_OK)
        return st;
    st = sent(c, PQsendQueryParams(c->pg, sql, (int)n, p.type, p.value, p.length, p.format, 0));
    params_fini(&p);
    return st;
}

static enum mrd_status tell(struct mrd_stmt *s)
{
    struct mrd_conn *c = s->conn;
    enum mrd_status st = sent(c, PQsendPrepare(c->pg, s->name, s->sql, 0, NULL));

    if (st == MRD_OK)
        st = rows_drain(c, NULL);
    if (st == MRD_OK)
        s->generation = c->generation;
    return st;
}

static enum mrd_status send_stmt(struct mrd_stmt *s, const struct mrd_value *values, size_t n)
{
    struct mrd_conn *c = s->conn;
    struct params p;
    enum mrd_status st = conn_ready(c);

    if (st == MRD_OK && s->generation != c->generation)
        st = tell(s);
    if (st == MRD_OK)
        st = params_init(&p, c, values, n);
    if (st != MRD_OK)
        return st;
    st = sent(c, PQsendQueryPrepared(c->pg, s->name, (int)n, p.value, p.length, p.format, 0));
    params_fini(&p);
    return st;
}

enum mrd_status mrd_run(struct mrd_conn *c, const char *sql, int64_t *affected)
{
    enum mrd_status st = send_text(c, sql);

    return st == MRD_OK ? rows_drain(c, affected) : st;
}

enum mrd_status mrd_run_values(struct mrd_conn *c, const char *sql, const struct mrd_value *values,
                               size_t n, int64_t *affected)
{
    enum mrd_status st = send_values(c, sql, values, n);

    return st == MRD_OK ? rows_drain(c, affected) : st;
}

enum mrd_status mrd_query(struct mrd_conn *c, const char *sql, struct mrd_rows **out)
{
    enum mrd_status st = send_text(c, sql);

    return st == MRD_OK ? rows_open(c, FETCH_ALL, out) : st;
}

enum mrd_status mrd_query_values(struct mrd_conn *c, const char *sql,
                                 const struct mrd_value *values, size_t n, struct mrd_rows **out)
{
    enum mrd_status st = send_values(c, sql, values, n);

    return st == MRD_OK ? rows_open(c, FETCH_ALL, out) : st;
}

enum mrd_status mrd_stream(struct mrd_conn *c, const char *sql, struct mrd_rows **out)
{
    enum mrd_status st = send_text(c, sql);

    return st == MRD_OK ? rows_open(c, FETCH_STREAM, out) : st;
}

enum mrd_status mrd_prepare(struct mrd_conn *c, const char *sql, struct mrd_stmt **out)
{
    struct mrd_stmt *s;
    enum mrd_status st = conn_ready(c);

    if (st != MRD_OK)
        return st;
    s = calloc(1, sizeof *s);
    if (s == NULL)
        return conn_misuse(c, "out of memory");
    s->conn = c;
    s->sql = strdup(sql);
    (void)snprintf(s->name, sizeof s->name, "mrd_%" PRIu64, ++c->n_statements);
    st = s->sql == NULL ? conn_misuse(c, "out of memory") : tell(s);
    if (st == MRD_OK) {
        *out = s;
    } else {
        free(s->sql);
        free(s);
    }
    return st;
}

enum mrd_status mrd_stmt_run(struct mrd_stmt *s, const struct mrd_value *values, size_t n,
                             int64_t *affected)
{
    enum mrd_status st = send_stmt(s, values, n);

    return st == MRD_OK ? rows_drain(s->conn, affected) : st;
}

enum mrd_status mrd_stmt_query(struct mrd_stmt *s, const struct mrd_value *values, size_t n,
                               struct mrd_rows **out)
{
    enum mrd_status st = send_stmt(s, values, n);

    return st == MRD_OK ? rows_open(s->conn, FETCH_ALL, out) : st;
}

enum mrd_status mrd_stmt_stream(struct mrd_stmt *s, const struct mrd_value *values, size_t n,
                                struct mrd_rows **out)
{
    enum mrd_status st = send_stmt(s, values, n);

    return st == MRD_OK ? rows_open(s->conn, FETCH_STREAM, out) : st;
}

void mrd_stmt_close(struct mrd_stmt *s)
{
    char sql[64];

    if (s == NULL)
        return;
    if (s->conn->open == NULL && s->generation == s->conn->generation && mrd_connected(s->conn) &&
        mrd_txn_state(s->conn) != MRD_FAILED_TRANSACTION) {
        struct mrd_error last = s->conn->error;

        (void)snprintf(sql, sizeof sql, "DEALLOCATE %s", s->name);
        (void)mrd_run(s->conn, sql, NULL); /* if it fails the server keeps a name until the end */
        s->conn->error = last;
    }
    free(s->sql);
    free(s);
}
