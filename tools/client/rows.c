#include "client_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct mrd_rows {
    struct mrd_conn *conn;
    PGresult *res; /* the result that is being read; in a stream, its current row */
    enum fetch how;
    int at;     /* current row; -1 before the first */
    bool held;  /* a stream's first row has been received, but mrd_next has not been called */
    bool ended; /* nothing more of this result */
    unsigned char *bytes; /* of the last mrd_get_bytes; freed with PQfreemem */
};

static bool is_error(const PGresult *res)
{
    ExecStatusType st = PQresultStatus(res);

    return st == PGRES_FATAL_ERROR || st == PGRES_BAD_RESPONSE || st == PGRES_NONFATAL_ERROR;
}

/* COPY is not for this interface; leaving it alone would hang the connection. */
static bool end_copy(struct mrd_conn *c, const PGresult *res)
{
    char *dropped = NULL;
    int n;

    switch (PQresultStatus(res)) {
    case PGRES_COPY_IN:
    case PGRES_COPY_BOTH:
        (void)PQputCopyEnd(c->pg, "not supported by this driver");
        return true;
    case PGRES_COPY_OUT:
        while ((n = PQgetCopyData(c->pg, &dropped, 0)) > 0)
            PQfreemem(dropped);
        return true;
    case PGRES_EMPTY_QUERY:
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
    case PGRES_BAD_RESPONSE:
    case PGRES_NONFATAL_ERROR:
    case PGRES_FATAL_ERROR:
    case PGRES_SINGLE_TUPLE:
    case PGRES_PIPELINE_SYNC:
    case PGRES_PIPELINE_ABORTED:
        break;
    }
    return false;
}

/* What is still on its way is received and dropped; the first error among it counts. */
static enum mrd_status drain(struct mrd_conn *c)
{
    enum mrd_status st = MRD_OK;
    PGresult *res;

    while ((res = PQgetResult(c->pg)) != NULL) {
        if (end_copy(c, res))
            st = conn_misuse(c, "COPY is not supported by this driver");
        else if (st == MRD_OK && is_error(res))
            st = conn_failed(c, res);
        PQclear(res);
    }
    return st;
}

static int64_t affected_of(const PGresult *res)
{
    return strtoll(PQcmdTuples((PGresult *)res), NULL, 10);
}

/* The next result of what was sent, into r. */
static enum mrd_status take(struct mrd_rows *r)
{
    struct mrd_conn *c = r->conn;

    PQclear(r->res);
    r->at = -1;
    r->held = r->ended = false;
    r->res = PQgetResult(c->pg);
    if (r->res == NULL)
        return MRD_DONE;
    if (is_error(r->res))
        return conn_failed(c, r->res);
    if (end_copy(c, r->res))
        return conn_misuse(c, "COPY is not supported by this driver");
    r->held = PQresultStatus(r->res) == PGRES_SINGLE_TUPLE;
    return MRD_OK;
}

enum mrd_status rows_open(struct mrd_conn *c, enum fetch how, struct mrd_rows **out)
{
    struct mrd_rows *r = calloc(1, sizeof *r);
    enum mrd_status st;

    if (r == NULL)
        return conn_misuse(c, "out of memory");
    r->conn = c;
    r->how = how;
    if (how == FETCH_STREAM)
        (void)PQsetSingleRowMode(c->pg); /* refused only if nothing was sent: take() then says so */
    st = take(r);
    if (st == MRD_DONE)
        st = conn_failed(c, NULL);
    c->open = r;
    if (st == MRD_OK)
        *out = r;
    else
        mrd_rows_close(r);
    return st;
}

enum mrd_status rows_drain(struct mrd_conn *c, int64_t *affected)
{
    enum mrd_status st = MRD_OK;
    PGresult *res;

    while (st == MRD_OK && (res = PQgetResult(c->pg)) != NULL) {
        if (is_error(res))
            st = conn_failed(c, res);
        else if (end_copy(c, res))
            st = conn_misuse(c, "COPY is not supported by this driver");
        else if (affected != NULL)
            *affected = affected_of(res);
        PQclear(res);
    }
    if (st != MRD_OK) {
        struct mrd_error first = c->error;

        (void)drain(c); /* the first error is the one that counts */
        c->error = first;
    } else if (PQstatus(c->pg) == CONNECTION_BAD) {
        st = conn_failed(c, NULL);
    }
    return st;
}

void mrd_rows_close(struct mrd_rows *r)
{
    struct mrd_error last;

    if (r == NULL)
        return;
    last = r->conn->error;
    PQclear(r->res);
    PQfreemem(r->bytes);
    (void)drain(r->conn); /* nobody reads it any more */
    r->conn->error = last;
    r->conn->open = NULL;
    free(r);
}

/* The next row of a stream: PGRES_SINGLE_TUPLE for each, then an empty PGRES_TUPLES_OK. */
static enum mrd_status next_streamed(struct mrd_rows *r)
{
    if (r->held) {
        r->held = false;
        r->at = 0;
        return MRD_OK;
    }
    if (r->at >= 0) {
        enum mrd_status st = take(r);

        if (st != MRD_OK)
            return st;
        if (r->held) {
            r->held = false;
            r->at = 0;
            return MRD_OK;
        }
    }
    r->ended = true;
    return MRD_DONE;
}

enum mrd_status mrd_next(struct mrd_rows *r)
{
    if (r->ended)
        return MRD_DONE;
    if (r->how == FETCH_STREAM)
        return next_streamed(r);
    if (r->at + 1 < PQntuples(r->res)) {
        r->at++;
        return MRD_OK;
    }
    r->ended = true;
    return MRD_DONE;
}

void mrd_rewind(struct mrd_rows *r)
{
    if (r->how == FETCH_ALL) {
        r->at = -1;
        r->ended = false;
    }
}

enum mrd_status mrd_next_result(struct mrd_rows *r)
{
    enum mrd_status st = MRD_OK;

    while (r->how == FETCH_STREAM && st == MRD_OK && PQnfields(r->res) > 0 && !r->ended)
        st = mrd_next(r);
    if (st != MRD_OK && st != MRD_DONE)
        return st;
    return take(r);
}

size_t mrd_columns(const struct mrd_rows *r)
{
    return (size_t)PQnfields(r->res);
}

const char *mrd_column_name(const struct mrd_rows *r, size_t column)
{
    return column < mrd_columns(r) ? PQfname(r->res, (int)column) : NULL;
}

enum mrd_type mrd_column_type(const struct mrd_rows *r, size_t column)
{
    if (column >= mrd_columns(r))
        return MRD_NULL;
    switch (PQftype(r->res, (int)column)) {
    case OID_BOOL:
        return MRD_BOOL;
    case OID_BYTEA:
        return MRD_BYTES;
    case OID_INT2:
    case OID_INT4:
    case OID_INT8:
    case OID_OID:
        return MRD_INT64;
    case OID_FLOAT4:
    case OID_FLOAT8:
        return MRD_DOUBLE;
    case OID_NUMERIC:
        return MRD_NUMERIC;
    case OID_TIMESTAMPTZ:
        return MRD_TIMESTAMP;
    default: /* an Oid, no enum */
        return MRD_TEXT;
    }
}

size_t mrd_count(const struct mrd_rows *r)
{
    return r->how == FETCH_ALL ? (size_t)PQntuples(r->res) : 0;
}

int64_t mrd_affected(const struct mrd_rows *r)
{
    return affected_of(r->res);
}

const char *mrd_command(const struct mrd_rows *r)
{
    return PQcmdStatus(r->res);
}

/* The text of a value, or NULL if it is SQL's NULL, or if there is none (which is the caller's mistake). */
static const char *text_at(const struct mrd_rows *r, size_t column)
{
    if (column >= mrd_columns(r) || r->at < 0 || r->at >= PQntuples(r->res)) {
        (void)conn_misuse(r->conn, "no such column, or no current row");
        return NULL;
    }
    if (PQgetisnull(r->res, r->at, (int)column))
        return NULL;
    return PQgetvalue(r->res, r->at, (int)column);
}

bool mrd_is_null(const struct mrd_rows *r, size_t column)
{
    return text_at(r, column) == NULL;
}

bool mrd_get_bool(struct mrd_rows *r, size_t column)
{
    const char *text = text_at(r, column);

    if (text != NULL && strcmp(text, "t") != 0 && strcmp(text, "f") != 0)
        (void)conn_misuse(r->conn, "the value is no bool");
    return text != NULL && *text == 't';
}

int64_t mrd_get_int64(struct mrd_rows *r, size_t column)
{
    const char *text = text_at(r, column);
    char *end = NULL;
    int64_t v;

    if (text == NULL)
        return 0;
    errno = 0;
    v = strtoll(text, &end, 10);
    if (errno == 0 && end != text && *end == '\0')
        return v;
    (void)conn_misuse(r->conn, "the value is no 64-bit integer");
    return 0;
}

double mrd_get_double(struct mrd_rows *r, size_t column)
{
    const char *text = text_at(r, column);
    char *end = NULL;
    double v;

    if (text == NULL)
        return 0;
    v = strtod(text, &end);
    if (end != text && *end == '\0')
        return v;
    (void)conn_misuse(r->conn, "the value is no number");
    return 0;
}

const char *mrd_get_text(struct mrd_rows *r, size_t column)
{
    const char *text = text_at(r, column);

    return text == NULL ? "" : text;
}

const void *mrd_get_bytes(struct mrd_rows *r, size_t column, size_t *len)
{
    const char *text = text_at(r, column);

    *len = 0;
    if (text == NULL)
        return "";
    if (mrd_column_type(r, column) != MRD_BYTES) {
        *len = (size_t)PQgetlength(r->res, r->at, (int)column);
        return text;
    }
    PQfreemem(r->bytes);
    r->bytes = PQunescapeBytea((const unsigned char *)text, len);
    return r->bytes == NULL ? (const void *)"" : r->bytes;
}

int64_t mrd_get_timestamp(struct mrd_rows *r, size_t column)
{
    const char *text = text_at(r, column);
    int64_t us = 0;

    if (text != NULL && !timestamp_parse(text, &us))
        (void)conn_misuse(r->conn, "the value is no timestamp");
    return us;
}
