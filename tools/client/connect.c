#include "client_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* libpq's own defaults wait for minutes. Given first, so that what the caller says wins. */
static const char *const defaults[][2] = {
    {"connect_timeout", "3"},  {"tcp_user_timeout", "15000"},
    {"keepalives_idle", "15"}, {"keepalives_interval", "5"},
    {"keepalives_count", "3"}, {"fallback_application_name", "libmeridian"},
};
enum { N_DEFAULTS = sizeof defaults / sizeof defaults[0] };

static void copy(char *to, size_t size, const char *from)
{
    (void)snprintf(to, size, "%s", from == NULL ? "" : from); /* cut if longer */
}

void error_from_result(struct mrd_error *e, const PGresult *res)
{
    const char *position = PQresultErrorField(res, PG_DIAG_STATEMENT_POSITION);

    copy(e->sqlstate, sizeof e->sqlstate, PQresultErrorField(res, PG_DIAG_SQLSTATE));
    copy(e->severity, sizeof e->severity, PQresultErrorField(res, PG_DIAG_SEVERITY_NONLOCALIZED));
    copy(e->message, sizeof e->message, PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY));
    copy(e->detail, sizeof e->detail, PQresultErrorField(res, PG_DIAG_MESSAGE_DETAIL));
    copy(e->hint, sizeof e->hint, PQresultErrorField(res, PG_DIAG_MESSAGE_HINT));
    e->position = position == NULL ? 0 : (int)strtol(position, NULL, 10);
}

static enum mrd_status classify(const char *sqlstate)
{
    static const char *const again[] = {"40001", "40P01", "57P03"};
    static const char *const unknown[] = {"40003", "08007"};

    for (size_t i = 0; i < sizeof again / sizeof again[0]; i++)
        if (strcmp(sqlstate, again[i]) == 0)
            return MRD_RETRY;
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++)
        if (strcmp(sqlstate, unknown[i]) == 0)
            return MRD_UNKNOWN;
    return MRD_ERROR;
}

enum mrd_status conn_failed(struct mrd_conn *c, const PGresult *res)
{
    struct mrd_error *e = &c->error;

    *e = (struct mrd_error){.status = MRD_ERROR};
    if (res != NULL)
        error_from_result(e, res);
    if (e->message[0] == '\0') {
        copy(e->message, sizeof e->message, PQerrorMessage(c->pg));
        e->message[strcspn(e->message, "\n")] = '\0';
    }
    e->status = classify(e->sqlstate);
    if (e->status == MRD_ERROR && PQstatus(c->pg) == CONNECTION_BAD)
        e->status = MRD_LOST;
    return e->status;
}

enum mrd_status conn_misuse(struct mrd_conn *c, const char *what)
{
    c->error = (struct mrd_error){.status = MRD_MISUSE};
    copy(c->error.message, sizeof c->error.message, what);
    return MRD_MISUSE;
}

static void on_notice(void *arg, const PGresult *res)
{
    struct mrd_conn *c = arg;
    struct mrd_error notice = {0};

    if (c->notice == NULL)
        return;
    error_from_result(&notice, res);
    c->notice(c->notice_arg, &notice);
}

/* Our own scheme means the same as libpq's. */
static char *libpq_url(const char *where)
{
    static const char ours[] = "meridian://", theirs[] = "postgresql://";
    const char *env = getenv("MERIDIAN_URL");
    size_t size;
    char *url;

    if ((where == NULL || *where == '\0') && env != NULL)
        where = env;
    if (where == NULL)
        where = "";
    if (strncmp(where, ours, sizeof ours - 1) != 0)
        return strdup(where);
    where += sizeof ours - 1;
    size = strlen(where) + sizeof theirs;
    url = malloc(size);
    if (url != NULL)
        (void)snprintf(url, size, "%s%s", theirs, where);
    return url;
}

/* An empty string makes libpq look at the environment alone; dbname with expansion takes a URL or a list. */
static PGconn *dial(const char *where)
{
    const char *keys[N_DEFAULTS + 2] = {0}, *values[N_DEFAULTS + 2] = {0};
    int n = 0;

    for (; n < N_DEFAULTS; n++) {
        keys[n] = defaults[n][0];
        values[n] = defaults[n][1];
    }
    if (*where != '\0') {
        keys[n] = "dbname";
        values[n] = where;
    }
    return PQconnectdbParams(keys, values, 1);
}

static enum mrd_status attach(struct mrd_conn *c)
{
    c->generation++;
    c->was_in_txn = false;
    if (c->pg == NULL || PQstatus(c->pg) != CONNECTION_OK) {
        c->error = (struct mrd_error){.status = MRD_LOST};
        copy(c->error.message, sizeof c->error.message,
             c->pg == NULL ? "out of memory" : PQerrorMessage(c->pg));
        c->error.message[strcspn(c->error.message, "\n")] = '\0';
        return MRD_LOST;
    }
    (void)PQsetNoticeReceiver(c->pg, on_notice, c); /* the old receiver is libpq's, to stderr */
    return MRD_OK;
}

enum mrd_status mrd_connect(const char *where, struct mrd_conn **out, struct mrd_error *err)
{
    struct mrd_conn *c = calloc(1, sizeof *c);
    struct timespec now = {0};
    enum mrd_status st = MRD_LOST;

    if (c == NULL)
        return MRD_LOST;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
    c->chance = (uint64_t)now.tv_nsec ^ (uint64_t)(uintptr_t)c;
    c->where = libpq_url(where);
    if (c->where != NULL) {
        c->pg = dial(c->where);
        st = attach(c);
    }
    if (err != NULL)
        *err = c->error;
    if (st == MRD_OK)
        *out = c;
    else
        mrd_close(c);
    return st;
}

void mrd_close(struct mrd_conn *c)
{
    if (c == NULL)
        return;
    PQfinish(c->pg);
    free(c->where);
    free(c);
}

enum mrd_status mrd_reconnect(struct mrd_conn *c)
{
    if (c->open != NULL)
        return conn_misuse(c, "rows are still open");
    PQfinish(c->pg);
    c->pg = dial(c->where);
    return attach(c);
}

enum mrd_status conn_ready(struct mrd_conn *c)
{
    if (c->open != NULL)
        return conn_misuse(c, "rows of an earlier statement are still open");
    if (c->pg != NULL && PQstatus(c->pg) != CONNECTION_BAD) {
        c->was_in_txn = PQtransactionStatus(c->pg) != PQTRANS_IDLE;
        return MRD_OK;
    }
    if (!c->was_in_txn)
        return mrd_reconnect(c);
    /* The rest of a lost transaction must not run as single statements on a new connection. */
    c->error = (struct mrd_error){.status = MRD_LOST};
    copy(c->error.message, sizeof c->error.message, "the connection was lost inside a transaction");
    copy(c->error.hint, sizeof c->error.hint, "mrd_reconnect() makes a new one");
    return MRD_LOST;
}

const struct mrd_error *mrd_error(const struct mrd_conn *c)
{
    return &c->error;
}

const char *mrd_host(const struct mrd_conn *c)
{
    return PQhost(c->pg);
}

const char *mrd_port(const struct mrd_conn *c)
{
    return PQport(c->pg);
}

const char *mrd_user(const struct mrd_conn *c)
{
    return PQuser(c->pg);
}

const char *mrd_database(const struct mrd_conn *c)
{
    return PQdb(c->pg);
}

const char *mrd_parameter(const struct mrd_conn *c, const char *name)
{
    return PQparameterStatus(c->pg, name);
}

bool mrd_connected(const struct mrd_conn *c)
{
    return PQstatus(c->pg) == CONNECTION_OK;
}

enum mrd_txn_state mrd_txn_state(const struct mrd_conn *c)
{
    switch (PQtransactionStatus(c->pg)) {
    case PQTRANS_INTRANS:
    case PQTRANS_ACTIVE:
        return MRD_IN_TRANSACTION;
    case PQTRANS_INERROR:
        return MRD_FAILED_TRANSACTION;
    case PQTRANS_IDLE:
    case PQTRANS_UNKNOWN:
        break;
    }
    return MRD_IDLE;
}

void mrd_on_notice(struct mrd_conn *c, void (*fn)(void *arg, const struct mrd_error *notice),
                   void *arg)
{
    c->notice = fn;
    c->notice_arg = arg;
}

/* struct mrd_cancel is libpq's own object under our name. */
struct mrd_cancel *mrd_cancel_new(struct mrd_conn *c)
{
    return (struct mrd_cancel *)PQgetCancel(c->pg);
}

void mrd_cancel_now(struct mrd_cancel *cancel)
{
    char why[8]; /* nobody can be told here */

    (void)PQcancel((PGcancel *)cancel, why, sizeof why);
}

void mrd_cancel_free(struct mrd_cancel *cancel)
{
    PQfreeCancel((PGcancel *)cancel);
}

char *mrd_quote(struct mrd_conn *c, const char *text)
{
    char *theirs = PQescapeLiteral(c->pg, text, strlen(text));
    char *ours = theirs == NULL ? NULL : strdup(theirs);

    PQfreemem(theirs);
    return ours;
}
