#include "storage/record.h"

#include "base/check.h"
#include "storage/engine.h"
#include "storage/mvcc.h"

static void put_id(struct buf *out, struct txn_id id)
{
    buf_put_u64(out, (uint64_t)id.start);
    buf_put_u32(out, id.gateway);
    buf_put_u32(out, id.counter);
}

static struct txn_id get_id(struct rd *r)
{
    struct txn_id id;

    id.start = (tstamp)rd_u64(r);
    id.gateway = rd_u32(r);
    id.counter = rd_u32(r);
    return id;
}

/* A write is its key, then 0 for a tombstone or the value's length + 1 and the value. */
static void put_writes(struct buf *out, const struct record *rec)
{
    buf_put_varint(out, rec->n_writes);
    for (size_t i = 0; i < rec->n_writes; i++) {
        const struct record_write *w = &rec->writes[i];

        buf_put_bytes(out, w->key);
        buf_put_varint(out, w->tombstone ? 0 : w->value.len + 1);
        if (!w->tombstone)
            buf_put(out, w->value.ptr, w->value.len);
    }
}

void record_encode(struct buf *out, const struct record *rec)
{
    buf_put_u8(out, (uint8_t)rec->kind);
    buf_put_u64(out, (uint64_t)rec->ts);
    switch (rec->kind) {
    case RECORD_COMMIT:
        put_id(out, rec->id);
        buf_put_u64(out, (uint64_t)rec->until);
        buf_put_varint(out, rec->flags);
        put_writes(out, rec);
        break;
    case RECORD_ABORT:
        put_id(out, rec->id);
        break;
    case RECORD_CAP:
        buf_put_u64(out, (uint64_t)rec->ts_arg);
        break;
    case RECORD_CLOSE:
        break;
    }
}

/* User keys only: group state stands under keys that begin with 0x00, and no record may reach it. */
static bool key_is_good(struct bytes key, struct bytes before)
{
    return key.len > 0 && key.len <= ENGINE_KEY_MAX - MVCC_SUFFIX && key.ptr[0] != 0x00 &&
           bytes_cmp(before, key) < 0;
}

static bool get_write(struct rd *r, struct bytes before, struct record_write *w)
{
    uint64_t code;

    w->key = rd_bytes(r);
    code = rd_varint(r);
    if (code > rd_left(r) + 1)
        r->bad = true;
    if (r->bad || !key_is_good(w->key, before))
        return false;
    w->tombstone = code == 0;
    w->value = w->tombstone ? bytes_of(NULL, 0) : rd_raw(r, (size_t)(code - 1));
    return w->value.len < ENGINE_VALUE_MAX;
}

static bool get_writes(struct rd *r, struct arena *mem, struct record *rec)
{
    struct bytes before = {NULL, 0};
    struct record_write *writes;
    uint64_t n = rd_varint(r);

    /* No write takes fewer than three bytes: a lying count cannot make us allocate. */
    if (r->bad || n > rd_left(r) / 3)
        return false;
    writes = arena_alloc(mem, (size_t)n * sizeof *writes);
    for (size_t i = 0; i < n; i++) {
        if (!get_write(r, before, &writes[i]))
            return false;
        before = writes[i].key;
    }
    rec->writes = writes;
    rec->n_writes = (size_t)n;
    return true;
}

static bool get_body(struct rd *r, uint8_t kind, struct arena *mem, struct record *rec)
{
    uint64_t flags;

    switch (kind) {
    case RECORD_COMMIT:
        rec->id = get_id(r);
        rec->until = (tstamp)rd_u64(r);
        flags = rd_varint(r);
        rec->flags = (uint32_t)flags;
        return (flags & ~(uint64_t)RECORD_SCHEMA) == 0 && get_writes(r, mem, rec);
    case RECORD_ABORT:
        rec->id = get_id(r);
        return true;
    case RECORD_CAP:
        rec->ts_arg = (tstamp)rd_u64(r);
        return true;
    case RECORD_CLOSE:
        return true;
    }
    return false;
}

enum status record_decode(struct bytes body, struct arena *mem, struct record *out, struct err *err)
{
    struct record rec = {0};
    struct rd r = rd_of(body);
    uint8_t kind = rd_u8(&r);

    rec.until = TSTAMP_MAX;
    rec.ts = (tstamp)rd_u64(&r);
    if (r.bad || rec.ts <= 0 || rec.ts > RECORD_TS_MAX || !get_body(&r, kind, mem, &rec) || r.bad ||
        rd_left(&r) != 0)
        return err_set(err, ST_REJECT, SQLSTATE_DATA_CORRUPTED,
                       "malformed record: kind %u, %zu bytes", kind, body.len);
    rec.kind = (enum record_kind)kind;
    *out = rec;
    return ST_OK;
}

void record_batch_begin(struct buf *out, uint64_t count)
{
    buf_put_u8(out, RECORD_FORMAT);
    buf_put_varint(out, count);
}

void record_batch_add(struct buf *out, struct bytes body)
{
    buf_put_bytes(out, body);
}

enum status record_walk_begin(struct record_walk *w, struct bytes payload, struct err *err)
{
    struct record_walk walk = {.rd = rd_of(payload)};

    /* A new leader's first entry carries nothing. */
    if (payload.len > 0) {
        walk.format = rd_u8(&walk.rd);
        walk.left = rd_varint(&walk.rd);
        if (walk.rd.bad || walk.left > rd_left(&walk.rd))
            return err_set(err, ST_FATAL, SQLSTATE_DATA_CORRUPTED, "malformed batch of %zu bytes",
                           payload.len);
        if (walk.format != RECORD_FORMAT)
            return err_set(err, ST_FATAL, SQLSTATE_DATA_CORRUPTED,
                           "batch of format %u, this server knows %d", walk.format, RECORD_FORMAT);
    }
    *w = walk;
    return ST_OK;
}

enum status record_walk_next(struct record_walk *w, struct bytes *out_body, struct err *err)
{
    struct bytes body;

    if (w->left == 0) {
        if (rd_left(&w->rd) == 0)
            return ST_NOTFOUND;
        return err_set(err, ST_FATAL, SQLSTATE_DATA_CORRUPTED, "%zu bytes after the batch's end",
                       rd_left(&w->rd));
    }
    body = rd_bytes(&w->rd);
    if (w->rd.bad)
        return err_set(err, ST_FATAL, SQLSTATE_DATA_CORRUPTED, "batch ends inside a record");
    w->left--;
    *out_body = body;
    return ST_OK;
}
