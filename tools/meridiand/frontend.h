/*
 * frontend.h - the PostgreSQL v3 door of a node: a listening socket, a thread per connection.
 *
 * Hides sockets, the protocol and its errors. Statements go to a backend: a table of the calls of
 * sql/session.h, so that the door can be tested without a house behind it. Every byte a client sends is
 * checked; a client that breaks the protocol gets FATAL 08P01 and loses its connection, nothing else.
 *
 * Threads: one that accepts, one per connection. frontend_* calls from the thread that wires the node.
 */
#ifndef MRD_TOOLS_MERIDIAND_FRONTEND_H
#define MRD_TOOLS_MERIDIAND_FRONTEND_H

#include "base/log.h"
#include "base/metrics.h"
#include "base/status.h"
#include "sql/session.h"

struct frontend;

/* The calls of sql/session.h, under the same contracts. */
struct frontend_backend {
    enum status (*open)(struct sql_database *db, const struct session_options *opts,
                        struct session **out, struct err *err);
    void (*close)(struct session *s);
    void (*cancel)(struct session *s);
    enum session_state (*state)(const struct session *s);
    enum status (*set)(struct session *s, const char *name, const char *value, struct err *err);
    const char *(*get)(struct session *s, const char *name);
    enum status (*run)(struct session *s, const char *text, const struct sql_sink *sink,
                       struct err *err);
    enum status (*prepare)(struct session *s, const char *name, const char *text,
                           const enum sql_type *param_types, size_t n_params, struct err *err);
    enum status (*describe)(struct session *s, const char *name, const enum sql_type **out_params,
                            size_t *out_n_params, const struct column_desc **out_cols,
                            size_t *out_n_cols, struct err *err);
    enum status (*bind)(struct session *s, const char *portal, const char *statement,
                        const struct datum *params, size_t n_params, struct err *err);
    enum status (*describe_portal)(struct session *s, const char *portal,
                                   const struct column_desc **out_cols, size_t *out_n_cols,
                                   struct err *err);
    enum status (*execute)(struct session *s, const char *portal, uint64_t max_rows,
                           const struct sql_sink *sink, bool *out_suspended, struct err *err);
    enum status (*sync)(struct session *s, struct err *err);
    void (*failed)(struct session *s);
    enum status (*close_statement)(struct session *s, const char *name, struct err *err);
    enum status (*close_portal)(struct session *s, const char *name, struct err *err);
};

enum {
    FRONTEND_CONNECTIONS = 500,
    FRONTEND_STARTUP_MS = 10000 /* from accept until the start-up packet is complete */
};

struct frontend_options {
    const char *listen; /* "127.0.0.1:5433", "[::1]:5433"; port 0 asks the system for one */
    const struct frontend_backend *backend; /* borrowed */
    struct sql_database *db;                /* borrowed; handed to backend->open */
    unsigned max_connections;               /* 0: FRONTEND_CONNECTIONS; one more is 53300 */
    int64_t startup_ms;                     /* 0: FRONTEND_STARTUP_MS */
    struct logger *log;                     /* borrowed, may be NULL */
    struct metrics *metrics;                /* borrowed */
};

/* Binds and listens; nobody is let in yet. */
enum status frontend_open(const struct frontend_options *opts, struct frontend **out,
                          struct err *err) MRD_CHECKED;
/* The address that clients can use, with the port that the system gave. Borrowed. */
const char *frontend_addr(const struct frontend *f);
enum status frontend_start(struct frontend *f, struct err *err) MRD_CHECKED;
/* Lets nobody in any more, cancels running statements, tells every client 57P01 and ends it. Does not wait. */
void frontend_stop(struct frontend *f);
/* Waits until the last connection thread is gone; NULL is fine. */
void frontend_close(struct frontend *f);

#endif
