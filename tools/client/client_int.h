/*
 * client_int.h - what the files of libmeridian share: connect.c, rows.c, stmt.c, value.c, transaction.c.
 */
#ifndef MRD_TOOLS_CLIENT_CLIENT_INT_H
#define MRD_TOOLS_CLIENT_CLIENT_INT_H

#include <libpq-fe.h>

#include "meridian.h"

#define MRD_HIDDEN __attribute__((visibility("hidden")))

enum {
    VALUES_MAX = 65535,
    OID_BOOL = 16,
    OID_BYTEA = 17,
    OID_INT8 = 20,
    OID_INT2 = 21,
    OID_INT4 = 23,
    OID_OID = 26,
    OID_FLOAT4 = 700,
    OID_FLOAT8 = 701,
    OID_TIMESTAMPTZ = 1184,
    OID_NUMERIC = 1700
};

struct mrd_conn {
    PGconn *pg;
    char *where;           /* as libpq takes it; owned */
    uint64_t generation;   /* one more at every reconnect: statements are prepared again */
    uint64_t n_statements; /* names given so far */
    struct mrd_rows *open; /* rows that are not closed: the connection is theirs */
    struct mrd_error error;
    bool was_in_txn; /* when the last statement was sent */
    uint64_t chance; /* state of the generator for pauses */
    void (*notice)(void *arg, const struct mrd_error *notice);
    void *notice_arg;
};

/* Parameters as libpq takes them: arrays of n in one block. */
struct params {
    size_t n;
    const char **value;
    int *length, *format;
    Oid *type;
};
MRD_HIDDEN enum mrd_status params_init(struct params *p, struct mrd_conn *c,
                                       const struct mrd_value *values, size_t n);
MRD_HIDDEN void params_fini(struct params *p);

/* Fills c->error from what libpq knows and returns its status. */
MRD_HIDDEN enum mrd_status conn_failed(struct mrd_conn *c, const PGresult *res);
MRD_HIDDEN enum mrd_status conn_misuse(struct mrd_conn *c, const char *what);
MRD_HIDDEN void error_from_result(struct mrd_error *e, const PGresult *res);
/* Ready for a statement: no rows open, connected (again, if it was lost outside a transaction). */
MRD_HIDDEN enum mrd_status conn_ready(struct mrd_conn *c);

/* Takes what was sent: its rows, buffered or as they come. */
enum fetch { FETCH_ALL, FETCH_STREAM };
MRD_HIDDEN enum mrd_status rows_open(struct mrd_conn *c, enum fetch how, struct mrd_rows **out);
/* The same when no rows are wanted. */
MRD_HIDDEN enum mrd_status rows_drain(struct mrd_conn *c, int64_t *affected);

/* "2024-02-29 12:00:00.5+00" and back. False if it is none. */
MRD_HIDDEN bool timestamp_parse(const char *text, int64_t *out_us);
MRD_HIDDEN void timestamp_print(int64_t us, char out[96]);

#endif
