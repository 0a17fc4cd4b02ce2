#include "storage/mvcc.h"

#include <xxhash.h>

#include "storage/engine_int.h"
#include "storage/mvcc_int.h"

static const uint8_t first_user_key[] = {0x01};

/* Descending in ts: flipping all but the sign bit of the two's complement does both the sign fix-up
 * and the inversion. */
static void put_suffix(uint8_t *at, tstamp ts)
{
    uint64_t v = (uint64_t)ts ^ INT64_MAX;

    *at++ = 0x00;
    for (int shift = 56; shift >= 0; shift -= 8)
        *at++ = (uint8_t)(v >> shift);
}

static tstamp get_suffix(const uint8_t *at)
{
    uint64_t v = 0;

    for (int i = 1; i < MVCC_SUFFIX; i++)
        v = v << 8 | at[i];
    return (tstamp)(v ^ INT64_MAX);
}

void mvcc_encode(struct buf *out, struct bytes key, tstamp ts)
{
    buf_put(out, key.ptr, key.len);
    put_suffix(buf_extend(out, MVCC_SUFFIX), ts);
}

bool mvcc_decode(struct bytes engine_key, struct bytes *out_key, tstamp *out_ts)
{
    size_t len;

    if (engine_key.len <= MVCC_SUFFIX || engine_key.ptr[0] == 0x00)
        return false;
    len = engine_key.len - MVCC_SUFFIX;
    if (engine_key.ptr[len] != 0x00)
        return false;
    *out_key = bytes_of(engine_key.ptr, len);
    *out_ts = get_suffix(engine_key.ptr + len);
    return true;
}

static enum status put_version(struct engine_txn *x, struct bytes key, tstamp ts,
                               enum mvcc_kind kind, struct bytes value, struct err *err)
{
    enum status st;
    uint8_t *k, *v;

    ASSERT(key.len > 0 && key.ptr[0] != 0x00);
    TRY(engine_put_room(x, ENGINE_DATA, key.len + MVCC_SUFFIX, value.len + 1, &k, &v, err));
    memcpy(k, key.ptr, key.len);
    put_suffix(k + key.len, ts);
    v[0] = (uint8_t)kind;
    if (value.len > 0)
        memcpy(v + 1, value.ptr, value.len);
out:
    return st;
}

enum status mvcc_put(struct engine_txn *x, struct bytes key, tstamp ts, struct bytes value,
                     struct err *err)
{
    return put_version(x, key, ts, MVCC_VALUE, value, err);
}

enum status mvcc_tombstone(struct engine_txn *x, struct bytes key, tstamp ts, struct err *err)
{
    return put_version(x, key, ts, MVCC_TOMBSTONE, bytes_of(NULL, 0), err);
}

enum status mvcc_version(struct engine_cursor *c, struct mvcc_version *out, struct err *err)
{
    struct bytes value = engine_value(c);

    if (!mvcc_decode(engine_key(c), &out->key, &out->ts))
        return err_set(err, ST_FATAL, SQLSTATE_DATA_CORRUPTED,
                       "a key of %zu bytes among the rows is no version", engine_key(c).len);
    if (value.len == 0 || value.ptr[0] > MVCC_TOMBSTONE)
        return err_set(err, ST_FATAL, SQLSTATE_DATA_CORRUPTED,
                       "a version of unknown kind stands among the rows");
    out->tombstone = value.ptr[0] == MVCC_TOMBSTONE;
    out->value = bytes_of(value.ptr + 1, value.len - 1);
    return ST_OK;
}

struct bytes mvcc_range_start(struct bytes start)
{
    if (start.len == 0)
        return bytes_of(first_user_key, sizeof first_user_key);
    ASSERT(start.ptr[0] != 0x00);
    return start;
}

enum status mvcc_seek_version(struct engine_cursor *c, struct bytes key, tstamp t, struct err *err)
{
    uint8_t at[ENGINE_KEY_MAX];

    ASSERT(key.len > 0 && key.ptr[0] != 0x00);
    if (key.len > MVCC_KEY_MAX)
        return err_set(err, ST_REJECT, SQLSTATE_PROGRAM_LIMIT_EXCEEDED,
                       "key of %zu bytes is larger than %d bytes", key.len, MVCC_KEY_MAX);
    memcpy(at, key.ptr, key.len);
    put_suffix(at + key.len, t);
    return engine_seek(c, bytes_of(at, key.len + MVCC_SUFFIX), err);
}

void mvcc_after(struct buf *out, struct bytes key)
{
    buf_reset(out);
    buf_put(out, key.ptr, key.len);
    buf_put_u8(out, 0x01); /* versions go on with 0x00, further parts with 0x01 or more */
}

enum status mvcc_get(struct engine *e, struct bytes key, tstamp t, struct arena *mem,
                     struct bytes *out_value, tstamp *out_ts, struct mvcc_read *io_seen,
                     struct err *err)
{
    enum status st;
    struct engine_cursor *c = NULL;
    struct mvcc_version v;

    TRY(engine_cursor_open(e, ENGINE_DATA, &c, err));
    TRY(mvcc_seek_version(c, key, t, err));
    TRY(mvcc_version(c, &v, err));
    TRY(bytes_eq(v.key, key) ? ST_OK : ST_NOTFOUND);
    mvcc_count(io_seen);
    mvcc_note(io_seen, v.ts);
    TRY(v.tombstone ? ST_NOTFOUND : ST_OK);
    *out_value = arena_copy(mem, v.value);
    *out_ts = v.ts;
out:
    engine_cursor_close(c);
    return st;
}

struct digest_sink {
    XXH3_state_t *hash;
    uint64_t n_rows;
};

static bool digest_row(void *arg, struct bytes key, tstamp ts, struct bytes value)
{
    struct digest_sink *sink = arg;
    /* Lengths go in first, so that no two rows run together alike. */
    uint64_t head[3] = {key.len, value.len, (uint64_t)ts};

    XXH3_128bits_update(sink->hash, head, sizeof head);
    XXH3_128bits_update(sink->hash, key.ptr, key.len);
    XXH3_128bits_update(sink->hash, value.ptr, value.len);
    sink->n_rows++;
    return true;
}

enum status mvcc_digest(struct engine *e, struct bytes start, struct bytes end, tstamp t,
                        struct mvcc_digest *out, struct err *err)
{
    enum status st;
    struct digest_sink sink = {.hash = XXH3_createState()};
    struct mvcc_slice slice = {.start = start, .end = end, .t = t, .row = digest_row, .arg = &sink};
    struct arena slice_mem;
    struct buf from = {0};
    struct bytes resume;
    XXH128_hash_t hash;
    bool done = false;

    ASSERT(sink.hash != NULL);
    XXH3_128bits_reset(sink.hash);
    arena_init(&slice_mem, 0);
    for (;;) {
        TRY(mvcc_scan(e, &slice, &slice_mem, &done, &resume, NULL, err));
        if (done)
            break;
        buf_reset(&from); /* outlives the reset of the arena that resume stands in */
        buf_put(&from, resume.ptr, resume.len);
        slice.start = buf_bytes(&from);
        arena_reset(&slice_mem);
    }
    hash = XXH3_128bits_digest(sink.hash);
    *out = (struct mvcc_digest){hash.low64, hash.high64, sink.n_rows};
out:
    XXH3_freeState(sink.hash);
    arena_fini(&slice_mem);
    buf_fini(&from);
    return st;
}
