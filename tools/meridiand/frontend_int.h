/*
 * frontend_int.h - what the files of the frontend share: frontend.c (who is connected), conn.c (start-up
 * and the message loop of one connection), extended.c (parse, bind, describe, execute, close).
 */
#ifndef MRD_TOOLS_MERIDIAND_FRONTEND_INT_H
#define MRD_TOOLS_MERIDIAND_FRONTEND_INT_H

#include <pthread.h>

#include "base/arena.h"
#include "tools/meridiand/encode.h"
#include "tools/meridiand/frontend.h"
#include "tools/meridiand/wire.h"

struct portal_formats {
    char *name;             /* heap; "" is the unnamed portal */
    struct formats formats; /* code: heap */
    struct portal_formats *next;
};

struct conn {
    struct frontend *f;
    struct conn *next, *prev; /* guarded by f->mu */
    struct session *s;        /* set and cleared under f->mu: cancelling looks at it */
    bool counted;             /* holds one of max_connections; guarded by f->mu */
    uint32_t pid, secret;     /* BackendKeyData; constant */

    /* The rest belongs to the connection's thread. */
    struct wire w;
    char peer[64];
    struct arena msg_mem; /* one message: parameters */
    struct arena row_mem; /* text of values on their way out */
    struct portal_formats *portals;
    const struct formats *row_formats; /* of the portal that is running */
    bool skip_to_sync;                 /* an error in the extended protocol: ignore until Sync */
    int64_t idle_limit_ms;             /* the socket's receive timeout as it is set now; 0 none */
    size_t complete_at, complete_end;  /* a CommandComplete that still is the last thing in w.out */
};

struct frontend {
    struct frontend_options opts;
    char addr[96];
    int listen_fd, wake_fd;
    pthread_t acceptor;
    bool accepting; /* the acceptor thread exists */

    pthread_mutex_t mu; /* lock 1 of tools/meridiand: see README.md */
    pthread_cond_t gone;
    struct conn *conns;  /* guarded by mu */
    unsigned n_conns;    /* threads; guarded by mu */
    unsigned n_sessions; /* of max_connections; guarded by mu */
    uint32_t next_pid;   /* guarded by mu */
    _Atomic bool stopping;

    struct metric *m_sessions, *m_connections, *m_messages, *m_bytes_in, *m_bytes_out, *m_errors;
};

/* Body of a connection thread: takes c, which is in f->conns. */
void *conn_main(void *conn_take);
/* Another connection's statement is to end. A wrong secret does nothing. */
void frontend_cancel(struct frontend *f, uint32_t pid, uint32_t secret);
/* One of max_connections for c, and its session can be cancelled from now on. 53300 if there is none left. */
enum status frontend_admit(struct conn *c, struct err *err) MRD_CHECKED;
void frontend_publish_session(struct conn *c, struct session *s); /* NULL: before it is closed */
void frontend_leave(struct conn *c); /* the connection thread's last call; frees c */

/* Sends what has gathered. */
bool conn_flush(struct conn *c);
/* An error that ends the connection. Returns false, for `return conn_fatal(...)` in handlers. */
bool conn_fatal(struct conn *c, const char *sqlstate, const char *fmt, ...) MRD_PRINTF(3, 4);
/* An error of one statement. */
void conn_error(struct conn *c, const struct err *err);
struct sql_sink conn_sink(struct conn *c);

/* Messages of the extended protocol. False: the connection is over. */
bool extended_parse(struct conn *c, struct bytes body);
bool extended_bind(struct conn *c, struct bytes body);
bool extended_describe(struct conn *c, struct bytes body);
bool extended_execute(struct conn *c, struct bytes body);
bool extended_close(struct conn *c, struct bytes body);
bool extended_sync(struct conn *c);
void extended_forget_portals(struct conn *c);

#endif
