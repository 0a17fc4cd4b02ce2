/*
 * meridian.h - the C driver of Meridian: connections, statements, typed rows, transactions that retry.
 *
 * Stands on libpq; any PostgreSQL type of URL works. A connection knows several nodes and goes to the next
 * one when its own is gone. Errors carry SQLSTATEs; the status says what to do about them.
 *
 *     struct mrd_conn *c;
 *     if (mrd_connect("meridian://127.0.0.1:5501,127.0.0.1:5502,127.0.0.1:5503/app", &c, NULL) == MRD_OK)
 *         mrd_run(c, "CREATE TABLE t (k bigint PRIMARY KEY, v text)", NULL);
 *
 * A connection that was lost outside a transaction is made again by the next call; one lost inside fails with
 * MRD_LOST until mrd_reconnect(), so that the rest of a transaction never runs without its beginning.
 *
 * Threads: a connection, its statements and its rows belong to one thread at a time; mrd_cancel_now from any
 * thread or signal handler. Handles given out are freed by their _close; NULL is fine there.
 */
#ifndef MERIDIAN_H
#define MERIDIAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MRD_VERSION "0.1.0"

enum mrd_status {
    MRD_OK = 0,
    MRD_DONE,    /* no more rows, no more results */
    MRD_RETRY,   /* surely not done; the transaction may be run again (40001, 40P01, 57P03) */
    MRD_UNKNOWN, /* perhaps done: the connection went while a commit was on its way (40003, 08007) */
    MRD_LOST,    /* no connection; nothing of the call was committed, except as MRD_UNKNOWN says */
    MRD_ERROR,   /* the statement is at fault: see sqlstate */
    MRD_MISUSE /* the call is at fault: no such column, a value of another type, rows still open */
};

struct mrd_error {
    enum mrd_status status;
    char sqlstate[6];  /* "" if the server did not say */
    char severity[16]; /* ERROR, FATAL; NOTICE, WARNING for notices */
    int position;      /* 1-based character in the statement's text; 0 none */
    char message[512];
    char detail[512]; /* may be empty, as hint */
    char hint[512];
};

struct mrd_conn;
struct mrd_stmt;
struct mrd_rows;

/* ---- connections ---- */

/* where: "meridian://[user@]host:port[,host:port...]/database?option=value", the same with postgresql://, or
 * libpq's "host=... port=... dbname=..."; NULL or "": the environment's MERIDIAN_URL, then libpq's PG*. Nodes are
 * tried in the order given. err may be NULL. */
enum mrd_status mrd_connect(const char *where, struct mrd_conn **out, struct mrd_error *err);
void mrd_close(struct mrd_conn *c);
/* Drops the connection and makes a new one, to any of the nodes. Prepared statements stay usable. */
enum mrd_status mrd_reconnect(struct mrd_conn *c);

const struct mrd_error *mrd_error(const struct mrd_conn *c); /* of the last call that failed */
const char *mrd_host(const struct mrd_conn *c);
const char *mrd_port(const struct mrd_conn *c);
const char *mrd_user(const struct mrd_conn *c);
const char *mrd_database(const struct mrd_conn *c);
/* A parameter that the server reported ("server_version", "TimeZone"), or NULL. */
const char *mrd_parameter(const struct mrd_conn *c, const char *name);
bool mrd_connected(const struct mrd_conn *c);

enum mrd_txn_state { MRD_IDLE, MRD_IN_TRANSACTION, MRD_FAILED_TRANSACTION };
enum mrd_txn_state mrd_txn_state(const struct mrd_conn *c);

/* Notices and warnings of the server; without a handler they are dropped. */
void mrd_on_notice(struct mrd_conn *c, void (*fn)(void *arg, const struct mrd_error *notice),
                   void *arg);

/* To end a running statement from elsewhere: it then fails with 57014. */
struct mrd_cancel;
struct mrd_cancel *mrd_cancel_new(struct mrd_conn *c); /* NULL if there is no connection */
void mrd_cancel_now(struct mrd_cancel *cancel);
void mrd_cancel_free(struct mrd_cancel *cancel);

/* ---- values ---- */

enum mrd_type {
    MRD_NULL,
    MRD_BOOL,
    MRD_INT64,
    MRD_DOUBLE,
    MRD_NUMERIC, /* exact decimal, of a column: read it as text */
    MRD_TEXT,    /* also every type without one of its own: its text */
    MRD_BYTES,
    MRD_TIMESTAMP /* microseconds since 1970-01-01 00:00:00 UTC */
};
struct mrd_value {
    enum mrd_type type;
    union {
        bool b;
        int64_t i; /* MRD_INT64, MRD_TIMESTAMP */
        double d;
        struct {
            const void *ptr;
            size_t len;
        } s; /* MRD_TEXT (zero-terminated), MRD_BYTES; borrowed for the call */
    } as;
};
struct mrd_value mrd_null(void);
struct mrd_value mrd_bool(bool v);
struct mrd_value mrd_int64(int64_t v);
struct mrd_value mrd_double(double v);
struct mrd_value mrd_text(const char *v); /* NULL is SQL's NULL */
struct mrd_value mrd_bytes(const void *ptr, size_t len);
struct mrd_value mrd_timestamp(int64_t us);

/* ---- statements ---- */

/* One or several statements, rows dropped. *affected (may be NULL): rows inserted, updated or deleted by the last. */
enum mrd_status mrd_run(struct mrd_conn *c, const char *sql, int64_t *affected);
/* One statement with $1, $2 ... */
enum mrd_status mrd_run_values(struct mrd_conn *c, const char *sql, const struct mrd_value *values,
                               size_t n, int64_t *affected);

/* The same with rows, which are all fetched before the first is seen. */
enum mrd_status mrd_query(struct mrd_conn *c, const char *sql, struct mrd_rows **out);
enum mrd_status mrd_query_values(struct mrd_conn *c, const char *sql,
                                 const struct mrd_value *values, size_t n, struct mrd_rows **out);
/* Rows as they come, one in memory at a time. An error may come after rows: mrd_next tells. */
enum mrd_status mrd_stream(struct mrd_conn *c, const char *sql, struct mrd_rows **out);

/* Parsed and planned once. Lives until it is closed or its connection is. */
enum mrd_status mrd_prepare(struct mrd_conn *c, const char *sql, struct mrd_stmt **out);
enum mrd_status mrd_stmt_run(struct mrd_stmt *s, const struct mrd_value *values, size_t n,
                             int64_t *affected);
enum mrd_status mrd_stmt_query(struct mrd_stmt *s, const struct mrd_value *values, size_t n,
                               struct mrd_rows **out);
enum mrd_status mrd_stmt_stream(struct mrd_stmt *s, const struct mrd_value *values, size_t n,
                                struct mrd_rows **out);
void mrd_stmt_close(struct mrd_stmt *s);

/* ---- rows ---- */

/* MRD_OK: there is a row. MRD_DONE: the end. Else an error of a stream. */
enum mrd_status mrd_next(struct mrd_rows *r);
/* The next statement's result, of several in one text: MRD_OK, MRD_DONE, or that statement's error. */
enum mrd_status mrd_next_result(struct mrd_rows *r);
void mrd_rewind(struct mrd_rows *r);     /* before the first row again; not of a stream */
void mrd_rows_close(struct mrd_rows *r); /* drops what was not read */

size_t mrd_columns(const struct mrd_rows *r); /* 0: a statement without rows */
const char *mrd_column_name(const struct mrd_rows *r, size_t column); /* NULL: no such column */
enum mrd_type mrd_column_type(const struct mrd_rows *r, size_t column);
size_t mrd_count(const struct mrd_rows *r); /* rows of a fetched result; of a stream: 0 */
int64_t mrd_affected(const struct mrd_rows *r);
const char *mrd_command(const struct mrd_rows *r); /* "SELECT 3"; of a stream: after its end */

/* Values of the current row, good until the next mrd_next. NULL reads as 0, "" or no bytes: ask mrd_is_null.
 * A value that is not of the type asked for reads the same way, and mrd_error says so (MRD_MISUSE). */
bool mrd_is_null(const struct mrd_rows *r, size_t column);
bool mrd_get_bool(struct mrd_rows *r, size_t column);
int64_t mrd_get_int64(struct mrd_rows *r, size_t column);
double mrd_get_double(struct mrd_rows *r, size_t column);
const char *mrd_get_text(struct mrd_rows *r, size_t column); /* any type, as PostgreSQL prints it */
const void *mrd_get_bytes(struct mrd_rows *r, size_t column, size_t *len);
int64_t mrd_get_timestamp(struct mrd_rows *r, size_t column);

/* ---- transactions ---- */

struct mrd_txn_options {
    bool read_only;       /* no locks; a consistent view at one timestamp */
    int64_t staleness_us; /* read_only: as things were so long ago; 0: now (strong) */
    int64_t as_of_ns; /* read_only: as of this timestamp, ns since 1970 (a commit token); 0: none */
    int timeout_ms;   /* gives up retrying after so long; 0: 30,000 */
};

/* What runs inside. MRD_OK commits; anything else rolls back. It may be run several times, so it must not
 * change anything outside the database that it cannot change twice. */
typedef enum mrd_status (*mrd_work)(struct mrd_conn *c, void *arg);

/* BEGIN, work, COMMIT; again on MRD_RETRY, or when a node was lost before the commit, after a growing pause; the
 * transaction keeps its age, so that in the end it wins against younger ones. options may be NULL. MRD_UNKNOWN: the
 * node was lost during the commit; it is not run again. Otherwise what work or the server said. */
enum mrd_status mrd_transaction(struct mrd_conn *c, const struct mrd_txn_options *options,
                                mrd_work work, void *arg);

/* Timestamp of this connection's last commit that wrote, ns since 1970; 0 if there is none. Hand it to whoever must
 * see that commit: a read at or after it does. */
enum mrd_status mrd_commit_timestamp(struct mrd_conn *c, int64_t *out_ns);

/* A literal of SQL text: quoted, zero-terminated, to be freed with free(). */
char *mrd_quote(struct mrd_conn *c, const char *text);

#ifdef __cplusplus
}
#endif

#endif
