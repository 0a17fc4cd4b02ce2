/*
 * session.h - a SQL session: a library without sockets or threads.
 *
 * Text goes in, rows go to a sink. A session holds the transaction state, settings, prepared statements and
 * portals of one client. Simple protocol: session_run(). Extended protocol: prepare, bind, describe,
 * execute. The errors that a call returns are also what the client must be sent; the session has then
 * marked its transaction as failed, as PostgreSQL does (25P02 until ROLLBACK).
 *
 * Thread: a session belongs to one thread at a time; session_cancel() from any thread.
 */
#ifndef MRD_SQL_SESSION_H
#define MRD_SQL_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "sql/datum.h"
#include "txn/txn.h"

struct sql_database; /* catalog cache and plan environment of one node: shared by its sessions */
struct session;

struct sql_database_options {
    struct txn_space *space; /* borrowed */
    struct logger *log;
    struct metrics *metrics;
    size_t statement_memory; /* budget of one statement's arena, bytes; 0: 256 MiB; more is 53200 */
    /* For SHOW and cluster information; the server answers. Calls row(name, value); may be NULL. */
    void (*cluster_info)(void *arg, const char *topic,
                         void (*row)(void *row_arg, const char *name, const char *value),
                         void *row_arg);
    /* Topics that have other columns than name and value: their names, NULL behind the last; NULL: not such
     * a topic. Rows have a value for each, NULL for null. */
    const char *const *(*cluster_columns)(void *arg, const char *topic);
    void (*cluster_table)(void *arg, const char *topic,
                          void (*row)(void *row_arg, const char *const *values, size_t n),
                          void *row_arg);
    void *cluster_info_arg; /* for all three */
};
enum status sql_database_open(const struct sql_database_options *opts, struct sql_database **out,
                              struct err *err) MRD_CHECKED;
void sql_database_close(struct sql_database *db);

struct column_desc {
    const char *name;
    enum sql_type type;
    int32_t typmod;        /* -1 none; varchar(n): n + 4, as PostgreSQL sends it */
    uint32_t table_oid;    /* 0: not a plain column */
    int16_t column_number; /* 1-based, 0 likewise */
};

/* Where results go. Pointers are borrowed for the call. A false from row stops the statement (client gone). */
struct sql_sink {
    void *arg;
    void (*columns)(void *arg, const struct column_desc *cols,
                    size_t n); /* only from session_run */
    bool (*row)(void *arg, const struct datum *values, size_t n);
    void (*complete)(void *arg, const char *tag); /* "INSERT 0 3", "SELECT 12" */
    void (*empty)(void *arg);                     /* an empty statement */
    void (*notice)(void *arg, const struct err *note,
                   const char *severity); /* "NOTICE", "WARNING" */
    void (*parameter)(void *arg, const char *name,
                      const char *value); /* ParameterStatus: a reported setting changed */
};

struct session_options {
    const char *user, *database, *application_name; /* copied */
    const char *client_name;                        /* address, for the log */
};
enum status session_open(struct sql_database *db, const struct session_options *opts,
                         struct session **out, struct err *err) MRD_CHECKED;
void session_close(struct session *s);  /* rolls back */
void session_cancel(struct session *s); /* any thread: the running statement ends with 57014 */

enum session_state { SESSION_IDLE = 'I', SESSION_IN_TXN = 'T', SESSION_FAILED = 'E' };
enum session_state session_state(const struct session *s);

/* Start-up settings (DateStyle, TimeZone, client_encoding ...): like SET. */
enum status session_set(struct session *s, const char *name, const char *value,
                        struct err *err) MRD_CHECKED;
/* NULL if there is no such setting. Borrowed until it changes. */
const char *session_get(struct session *s, const char *name);

/* Simple protocol: every statement of the text, as one implicit transaction unless it has its own. Stops at
 * the first error, which is returned. */
enum status session_run(struct session *s, const char *text, const struct sql_sink *sink,
                        struct err *err) MRD_CHECKED;

/* Extended protocol. Names: "" is the unnamed one. */
enum status session_prepare(struct session *s, const char *name, const char *text,
                            const enum sql_type *param_types, size_t n_params,
                            struct err *err) MRD_CHECKED;
/* Parameters and result columns of a prepared statement; borrowed until it is closed. *out_n_cols is 0 and
 * *out_cols NULL for a statement without rows. */
enum status session_describe(struct session *s, const char *name, const enum sql_type **out_params,
                             size_t *out_n_params, const struct column_desc **out_cols,
                             size_t *out_n_cols, struct err *err) MRD_CHECKED;
/* Values are copied. A value's type is the parameter's resolved type (see session_describe). */
enum status session_bind(struct session *s, const char *portal, const char *statement,
                         const struct datum *params, size_t n_params, struct err *err) MRD_CHECKED;
enum status session_describe_portal(struct session *s, const char *portal,
                                    const struct column_desc **out_cols, size_t *out_n_cols,
                                    struct err *err) MRD_CHECKED;
/* max_rows 0: all. *out_suspended: the portal has more rows (PortalSuspended instead of complete). */
enum status session_execute(struct session *s, const char *portal, uint64_t max_rows,
                            const struct sql_sink *sink, bool *out_suspended,
                            struct err *err) MRD_CHECKED;
/* Sync: ends the implicit transaction of the extended protocol (commits it). */
enum status session_sync(struct session *s, struct err *err) MRD_CHECKED;
/* After an error in the extended protocol, when the client's Sync arrives: as session_sync, but rolls
 * back an implicit transaction. */
void session_failed(struct session *s);
enum status session_close_statement(struct session *s, const char *name,
                                    struct err *err) MRD_CHECKED;
enum status session_close_portal(struct session *s, const char *name, struct err *err) MRD_CHECKED;

#endif
