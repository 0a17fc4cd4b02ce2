/*
 * engine_int.h - what the engines share: the table of calls behind struct engine, and how a transaction
 * gathers its writes.
 *
 * For storage/ only. A transaction is a buffer of encoded writes; an engine first sees it whole, in
 * apply(). So no engine transaction is open while its owner thinks, and a conflict is retried inside.
 */
#ifndef MRD_STORAGE_ENGINE_INT_H
#define MRD_STORAGE_ENGINE_INT_H

#include <stdatomic.h>

#include "storage/engine.h"

enum engine_move { ENGINE_SEEK, ENGINE_SEEK_BEFORE, ENGINE_NEXT, ENGINE_PREV };

/* One write as apply() meets it. */
struct engine_op {
    enum engine_table table;
    bool removes;
    struct bytes key, value;
};

struct engine_batch {
    struct buf ops; /* op_next() reads it */
    bool touches[ENGINE_TABLES];
};

/* Reads the next write from ops. False at the end. The content is this process's own, so it is asserted. */
bool engine_op_next(struct rd *ops, struct engine_op *out);

struct engine_ops {
    void (*close)(struct engine *e);
    enum status (*apply)(struct engine *e, const struct engine_batch *batch, enum engine_sync sync,
                         struct err *err);
    enum status (*truncate)(struct engine *e, enum engine_table t, struct bytes from,
                            struct bytes to, struct err *err);
    enum status (*cursor_open)(struct engine *e, enum engine_table t, struct engine_cursor **out,
                               struct err *err);
    void (*cursor_close)(struct engine_cursor *c);
    /* Sets c->key and c->value on ST_OK. An empty key: begin of the table (SEEK), its end (SEEK_BEFORE). */
    enum status (*move)(struct engine_cursor *c, enum engine_move how, struct bytes key,
                        struct err *err);
    enum status (*checkpoint)(struct engine *e, struct err *err);
    void (*stats)(struct engine *e, struct engine_stats *out);
};

struct engine {
    const struct engine_ops *ops;
    struct faults *faults; /* borrowed, may be NULL */
    atomic_bool failed;    /* a write returned ST_FATAL: no later one may seem to succeed */
};

struct engine_cursor {
    struct engine *e;
    struct bytes key, value; /* of the engine; good until the next move */
    bool placed;             /* stands on a row */
};

/* Makes room for one put in the transaction and says where key and value go: for callers that build
 * both in place. The pointers are good until the next call on x. */
enum status engine_put_room(struct engine_txn *x, enum engine_table t, size_t key_len,
                            size_t value_len, uint8_t **out_key, uint8_t **out_value,
                            struct err *err) MRD_CHECKED;

/* If the fault point fires: raises what an engine that met `errno_default`, or the point's ARG, would. */
enum status engine_fault(struct engine *e, const char *point, int errno_default,
                         struct err *err) MRD_CHECKED;
/* Raises the error of a system call that failed: a full disk is ST_REJECT 53100, the rest ST_FATAL 58030. */
enum status engine_errno(int error, const char *what, struct err *err) MRD_CHECKED;

#endif
