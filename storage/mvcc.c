#include "storage/mvcc.h"

#include <xxhash.h>

#include "base/clock.h"
#include "storage/engine_int.h"
#include "storage/mvcc_int.h"

#define MANY_NS (2 * NS_PER_MS)
enum { MANY_PER_TICK = 32 }; /* reads between two looks at the clock */

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

/* The place of a version, built in `at`. */
static enum status version_key(struct bytes key, tstamp t, uint8_t at[static ENGINE_KEY_MAX],
                               struct bytes *out, struct err *err)
{
    ASSERT(key.len > 0 && key.ptr[0] != 0x00);
    if (key.len > MVCC_KEY_MAX)
        return err_set(err, ST_REJECT, SQLSTATE_PROGRAM_LIMIT_EXCEEDED,
                       "key of %zu bytes is larger than %d bytes", key.len, MVCC_KEY_MAX);
    memcpy(at, key.ptr, key.len);
    put_suffix(at + key.len, t);
    *out = bytes_of(at, key.len + MVCC_SUFFIX);
    return ST_OK;
}

enum status mvcc_seek_version(struct engine_cursor *c, struct bytes key, tstamp t, struct err *err)
{
    uint8_t at[ENGINE_KEY_MAX];
    struct bytes target;
    enum status st = version_key(key, t, at, &target, err);

    return st != ST_OK ? st : engine_seek(c, target, err);
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

/* Many reads with one cursor. Keys ascend, so the cursor only goes forward: by steps where the next key is near, by a
 * seek where steps have not helped. */
struct many {
    struct engine_cursor *c;
    bool placed, at_end;
    int steps_max;
};

/* To the first version at or after target; the cursor stands on the first one at or after a target before it. */
static enum status go_on(struct many *m, struct bytes target, struct err *err)
{
    enum status st = ST_OK;

    for (int step = 0; bytes_cmp(engine_key(m->c), target) < 0; step++) {
        if (step == m->steps_max) {
            m->steps_max /= 2;
            return engine_seek(m->c, target, err);
        }
        TRY(engine_next(m->c, err));
    }
    m->steps_max = MVCC_STEPS_MAX;
out:
    return st;
}

static enum status find_version(struct many *m, struct bytes key, tstamp t, struct err *err)
{
    uint8_t at[ENGINE_KEY_MAX];
    struct bytes target;
    enum status st = ST_OK;

    TRY(version_key(key, t, at, &target, err));
    TRY(m->at_end ? ST_NOTFOUND : ST_OK);
    st = m->placed ? go_on(m, target, err) : engine_seek(m->c, target, err);
    m->placed = true;
    m->at_end = st == ST_NOTFOUND; /* so for all keys that come */
out:
    return st;
}

static enum status get_item(struct many *m, struct mvcc_item *item, tstamp t, struct arena *mem,
                            struct mvcc_read *io_seen, struct err *err)
{
    struct mvcc_version v;
    enum status st = ST_OK;

    item->found = false;
    TRY(find_version(m, item->key, t, err));
    TRY(mvcc_version(m->c, &v, err));
    if (!bytes_eq(v.key, item->key))
        return ST_OK;
    mvcc_count(io_seen);
    mvcc_note(io_seen, v.ts);
    if (v.tombstone)
        return ST_OK;
    item->found = true;
    item->value = arena_copy(mem, v.value);
    item->ts = v.ts;
out:
    return st == ST_NOTFOUND ? ST_OK : st;
}

enum status mvcc_get_many(struct engine *e, struct mvcc_item *items, size_t n, tstamp t,
                          size_t max_bytes, struct arena *mem, size_t *out_n,
                          struct mvcc_read *io_seen, struct err *err)
{
    struct many m = {.steps_max = MVCC_STEPS_MAX};
    int64_t deadline = mono_now() + MANY_NS;
    size_t bytes = 0, done = 0;
    enum status st;

    TRY(engine_cursor_open(e, ENGINE_DATA, &m.c, err));
    while (done < n && bytes < max_bytes) {
        struct mvcc_item *item = &items[done];

        ASSERT(done == 0 || bytes_cmp(items[done - 1].key, item->key) <= 0);
        if (done > 0 && done % MANY_PER_TICK == 0 && mono_now() >= deadline)
            break;
        st = get_item(&m, item, t, mem, io_seen, err);
        if (st == ST_RETRY && done > 0) /* the engine took its snapshot back: what is read stands */
            break;
        TRY(st);
        bytes += item->found ? item->value.len : 0;
        done++;
    }
    *out_n = done;
    st = ST_OK;
out:
    engine_cursor_close(m.c);
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
