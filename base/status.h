/*
 * status.h - what a call returns, and what a person is told when it failed.
 *
 * The status tells the caller what to do next; struct err tells a person what happened, with the
 * five-character SQLSTATE that a client will see. Raised once, where the cause is known, and
 * passed on without rewording. Thread: pure values, no shared state.
 */
#ifndef MRD_BASE_STATUS_H
#define MRD_BASE_STATUS_H

#include <stdarg.h>

enum status {
    ST_OK = 0,
    ST_NOTFOUND, /* no such thing; often no error at all */
    ST_RETRY,    /* surely not done; the same call may succeed later, or on another node */
    ST_UNKNOWN,  /* perhaps done; ask by id, never run it again */
    ST_ABORT,    /* this transaction is over; the client may run it again */
    ST_REJECT,   /* the request is at fault; nothing has changed */
    ST_FATAL     /* this replica must stop: damaged data or a broken promise */
};

/* SQLSTATE_<NAME> for every line of sqlstate.def: a string literal of five characters. */
#define SQLSTATE(name, code, text) extern const char SQLSTATE_##name[6];
#include "base/sqlstate.def"
#undef SQLSTATE

struct err {
    enum status st;
    char sqlstate[6];
    char msg[256];    /* lower case, no full stop, names quoted */
    char detail[256]; /* may be empty */
    char hint[192];   /* what to do about it; may be empty */
    int position;     /* 1-based character position in the statement's text, 0 if none */
    const char *file; /* where it was raised; static storage */
    int line;
};

#define MRD_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#define MRD_CHECKED            __attribute__((warn_unused_result))

/* Raise: fills *err (NULL is allowed: the status alone is wanted) and returns st. */
#define err_set(err, st, sqlstate, ...) \
    err_set_at((err), (st), (sqlstate), __FILE__, __LINE__, __VA_ARGS__)
enum status err_set_at(struct err *err, enum status st, const char *sqlstate, const char *file,
                       int line, const char *fmt, ...) MRD_PRINTF(6, 7);

/* Adds to an error that was just raised; each returns err->st, so that it can be returned. */
enum status err_hint(struct err *err, const char *fmt, ...) MRD_PRINTF(2, 3);
enum status err_detail(struct err *err, const char *fmt, ...) MRD_PRINTF(2, 3);
enum status err_position(struct err *err, int position);

/* An err that holds nothing. */
void err_clear(struct err *err);

/* "ok", "retry", ... for logs and tests. Never NULL. */
const char *status_name(enum status st);

/* Name of a five-character SQLSTATE ("unique_violation"), or "unknown". Never NULL. */
const char *sqlstate_name(const char *code);

/* On anything but ST_OK, go to the function's one cleanup label. Needs `enum status st` in scope. */
#define TRY(call)        \
    do {                 \
        st = (call);     \
        if (st != ST_OK) \
            goto out;    \
    } while (0)

#endif
