#include "storage/engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "storage/engine_int.h"

struct engine_txn {
    struct engine *e;
    struct engine_batch batch;
};

/* Encoded write: u8 table, u8 removes, u32 key length, u32 value length, key, value. */
enum { OP_HEAD = 10, FIRST_RESERVE = 4096 };

void engine_close(struct engine *e)
{
    if (e != NULL)
        e->ops->close(e);
}

enum status engine_begin(struct engine *e, struct engine_txn **out, struct err *err)
{
    struct engine_txn *x = xcalloc(1, sizeof *x);

    (void)err; /* an engine that has failed says so at commit */
    x->e = e;
    buf_reserve(&x->batch.ops, FIRST_RESERVE);
    *out = x;
    return ST_OK;
}

static enum status check_sizes(size_t key_len, size_t value_len, struct err *err)
{
    if (key_len == 0 || key_len > ENGINE_KEY_MAX)
        return err_set(err, ST_REJECT, SQLSTATE_PROGRAM_LIMIT_EXCEEDED,
                       "key of %zu bytes is not within 1..%d bytes", key_len, ENGINE_KEY_MAX);
    if (value_len > ENGINE_VALUE_MAX)
        return err_set(err, ST_REJECT, SQLSTATE_PROGRAM_LIMIT_EXCEEDED,
                       "value of %zu bytes is larger than %d bytes", value_len, ENGINE_VALUE_MAX);
    return ST_OK;
}

static uint8_t *add_op(struct engine_txn *x, enum engine_table t, bool removes, size_t key_len,
                       size_t value_len)
{
    struct buf *ops = &x->batch.ops;

    x->batch.touches[t] = true;
    buf_reserve(ops, OP_HEAD + key_len + value_len);
    buf_put_u8(ops, (uint8_t)t);
    buf_put_u8(ops, removes);
    buf_put_u32(ops, (uint32_t)key_len);
    buf_put_u32(ops, (uint32_t)value_len);
    return buf_extend(ops, key_len + value_len);
}

enum status engine_put_room(struct engine_txn *x, enum engine_table t, size_t key_len,
                            size_t value_len, uint8_t **out_key, uint8_t **out_value,
                            struct err *err)
{
    enum status st = check_sizes(key_len, value_len, err);

    if (st != ST_OK)
        return st;
    *out_key = add_op(x, t, false, key_len, value_len);
    *out_value = *out_key + key_len;
    return ST_OK;
}

enum status engine_put(struct engine_txn *x, enum engine_table t, struct bytes key,
                       struct bytes value, struct err *err)
{
    enum status st;
    uint8_t *k, *v;

    TRY(engine_put_room(x, t, key.len, value.len, &k, &v, err));
    memcpy(k, key.ptr, key.len);
    if (value.len > 0)
        memcpy(v, value.ptr, value.len);
out:
    return st;
}

enum status engine_delete(struct engine_txn *x, enum engine_table t, struct bytes key,
                          struct err *err)
{
    enum status st = check_sizes(key.len, 0, err);

    if (st == ST_OK)
        memcpy(add_op(x, t, true, key.len, 0), key.ptr, key.len);
    return st;
}

bool engine_op_next(struct rd *ops, struct engine_op *out)
{
    uint8_t table;
    uint32_t key_len, value_len;

    if (rd_left(ops) == 0)
        return false;
    table = rd_u8(ops);
    out->removes = rd_u8(ops) != 0;
    key_len = rd_u32(ops);
    value_len = rd_u32(ops);
    out->key = rd_raw(ops, key_len);
    out->value = rd_raw(ops, value_len);
    ASSERT(!ops->bad && table < ENGINE_TABLES);
    out->table = (enum engine_table)table;
    return true;
}

static enum status check_alive(struct engine *e, struct err *err)
{
    if (atomic_load_explicit(&e->failed, memory_order_relaxed))
        return err_set(err, ST_FATAL, SQLSTATE_IO_ERROR, "the engine has failed before");
    return ST_OK;
}

static enum status note_failure(struct engine *e, enum status st)
{
    if (st == ST_FATAL)
        atomic_store_explicit(&e->failed, true, memory_order_relaxed);
    return st;
}

enum status engine_commit(struct engine_txn *x, enum engine_sync sync, struct err *err)
{
    struct engine *e = x->e;
    enum status st;

    TRY(check_alive(e, err));
    TRY(engine_fault(e, "engine.commit", ENOSPC, err));
    TRY(e->ops->apply(e, &x->batch, sync, err));
out:
    engine_abort(x);
    return note_failure(e, st);
}

void engine_abort(struct engine_txn *x)
{
    if (x == NULL)
        return;
    buf_fini(&x->batch.ops);
    free(x);
}

enum status engine_truncate(struct engine *e, enum engine_table t, struct bytes from,
                            struct bytes to, struct err *err)
{
    enum status st;

    TRY(check_alive(e, err));
    if (to.len == 0 || bytes_cmp(from, to) < 0)
        TRY(e->ops->truncate(e, t, from, to, err));
out:
    return note_failure(e, st);
}

enum status engine_cursor_open(struct engine *e, enum engine_table t, struct engine_cursor **out,
                               struct err *err)
{
    return e->ops->cursor_open(e, t, out, err);
}

void engine_cursor_close(struct engine_cursor *c)
{
    if (c != NULL)
        c->e->ops->cursor_close(c);
}

static enum status move(struct engine_cursor *c, enum engine_move how, struct bytes key,
                        struct err *err)
{
    enum status st = c->e->ops->move(c, how, key, err);

    c->placed = st == ST_OK;
    return st;
}

enum status engine_seek(struct engine_cursor *c, struct bytes key, struct err *err)
{
    return move(c, ENGINE_SEEK, key, err);
}

enum status engine_seek_before(struct engine_cursor *c, struct bytes key, struct err *err)
{
    return move(c, ENGINE_SEEK_BEFORE, key, err);
}

enum status engine_next(struct engine_cursor *c, struct err *err)
{
    ASSERT(c->placed);
    return move(c, ENGINE_NEXT, bytes_of(NULL, 0), err);
}

enum status engine_prev(struct engine_cursor *c, struct err *err)
{
    ASSERT(c->placed);
    return move(c, ENGINE_PREV, bytes_of(NULL, 0), err);
}

struct bytes engine_key(struct engine_cursor *c)
{
    ASSERT(c->placed);
    return c->key;
}

struct bytes engine_value(struct engine_cursor *c)
{
    ASSERT(c->placed);
    return c->value;
}

enum status engine_checkpoint(struct engine *e, struct err *err)
{
    enum status st;

    TRY(check_alive(e, err));
    TRY(engine_fault(e, "engine.checkpoint", ENOSPC, err));
    TRY(e->ops->checkpoint(e, err));
out:
    return note_failure(e, st);
}

void engine_stats(struct engine *e, struct engine_stats *out)
{
    memset(out, 0, sizeof *out);
    e->ops->stats(e, out);
}

enum status engine_errno(int error, const char *what, struct err *err)
{
    char text[128];

    if (error == ENOSPC || error == EDQUOT)
        return err_set(err, ST_REJECT, SQLSTATE_DISK_FULL, "%s: the disk is full", what);
    return err_set(err, ST_FATAL, SQLSTATE_IO_ERROR, "%s: %s", what,
                   strerror_r(error, text, sizeof text));
}

enum status engine_fault(struct engine *e, const char *point, int errno_default, struct err *err)
{
    int64_t arg;

    if (!faults_hit(e->faults, point, &arg))
        return ST_OK;
    return engine_errno(arg != 0 ? (int)arg : errno_default, point, err);
}
