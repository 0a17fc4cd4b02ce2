#include "txn/wire.h"

enum { COMMIT_SCHEMA = 1, COMMIT_FRESH = 2, COMMIT_BLIND = 4, COMMIT_FLAGS = 7 };
enum { SCAN_REVERSE = 1 };
enum { SQLSTATE_LEN = 5 };

/* Values. */

static enum status malformed(struct err *err)
{
    return err_set(err, ST_REJECT, SQLSTATE_PROTOCOL_VIOLATION,
                   "a malformed message between transaction spaces");
}

void wire_put_id(struct buf *b, struct txn_id id)
{
    buf_put_u64(b, (uint64_t)id.start);
    buf_put_u32(b, id.gateway);
    buf_put_u32(b, id.counter);
}

struct txn_id wire_get_id(struct rd *rd)
{
    struct txn_id id;

    id.start = (tstamp)rd_u64(rd);
    id.gateway = rd_u32(rd);
    id.counter = rd_u32(rd);
    return id;
}

enum status wire_get_version(struct rd *rd, struct err *err)
{
    uint8_t version = rd_u8(rd);

    if (rd->bad)
        return malformed(err);
    if (version != WIRE_VERSION)
        return err_set(err, ST_REJECT, SQLSTATE_FEATURE_NOT_SUPPORTED,
                       "a message between transaction spaces has version %u, known is %d", version,
                       WIRE_VERSION);
    return ST_OK;
}

void wire_put_ids_begin(struct buf *b)
{
    buf_reset(b);
    buf_put_u8(b, WIRE_VERSION);
}

void wire_put_pair(struct buf *b, uint64_t first, uint64_t second)
{
    wire_put_ids_begin(b);
    buf_put_u64(b, first);
    buf_put_u64(b, second);
}

/* Requests. */

static void put_ref(struct buf *b, const struct leader_ref *ref)
{
    wire_put_id(b, ref->id);
    buf_put_u64(b, (uint64_t)ref->age);
    buf_put_u64(b, ref->term);
    buf_put_u64(b, (uint64_t)ref->schema_from);
}

static void get_ref(struct rd *rd, struct leader_ref *ref)
{
    ref->id = wire_get_id(rd);
    ref->age = (tstamp)rd_u64(rd);
    ref->term = rd_u64(rd);
    ref->schema_from = (tstamp)rd_u64(rd);
}

static void put_commit(struct buf *b, const struct leader_commit *c)
{
    wire_put_id(b, c->id);
    buf_put_u64(b, (uint64_t)c->until);
    buf_put_u8(b, (uint8_t)((c->schema ? COMMIT_SCHEMA : 0) | (c->fresh ? COMMIT_FRESH : 0) |
                            (c->blind ? COMMIT_BLIND : 0)));
    buf_put_varint(b, c->n_writes);
    for (size_t i = 0; i < c->n_writes; i++) {
        buf_put_bytes(b, c->writes[i].key);
        buf_put_u8(b, c->writes[i].tombstone);
        if (!c->writes[i].tombstone)
            buf_put_bytes(b, c->writes[i].value);
    }
}

static bool key_is_good(struct bytes key)
{
    return key.len > 0 && key.len <= TXN_KEY_MAX && key.ptr[0] != 0;
}

/* In order, each key once: the record and the locks rely on it. */
static bool get_writes(struct rd *rd, struct arena *mem, struct leader_commit *c)
{
    uint64_t n = rd_varint(rd);
    struct record_write *writes;

    if (rd->bad || n > rd_left(rd)) /* each takes more than a byte */
        return false;
    writes = arena_alloc(mem, (size_t)n * sizeof *writes + 1);
    for (uint64_t i = 0; i < n; i++) {
        uint8_t tombstone;

        writes[i].key = rd_bytes(rd);
        tombstone = rd_u8(rd);
        writes[i].tombstone = tombstone != 0;
        writes[i].value = tombstone != 0 ? bytes_of(NULL, 0) : rd_bytes(rd);
        if (rd->bad || tombstone > 1 || !key_is_good(writes[i].key) ||
            (i > 0 && bytes_cmp(writes[i - 1].key, writes[i].key) >= 0))
            return false;
    }
    c->writes = writes;
    c->n_writes = (size_t)n;
    return true;
}

static bool get_commit(struct rd *rd, struct arena *mem, struct leader_commit *c)
{
    uint8_t flags;

    c->id = wire_get_id(rd);
    c->until = (tstamp)rd_u64(rd);
    flags = rd_u8(rd);
    c->schema = (flags & COMMIT_SCHEMA) != 0;
    c->fresh = (flags & COMMIT_FRESH) != 0;
    c->blind = (flags & COMMIT_BLIND) != 0;
    return (flags & ~COMMIT_FLAGS) == 0 && get_writes(rd, mem, c);
}

static void put_items(struct buf *b, const struct request *rq)
{
    buf_put_varint(b, rq->n_items);
    for (size_t i = 0; i < rq->n_items; i++)
        buf_put_bytes(b, rq->items[i].key);
}

/* In order: the leader reads them with a cursor that only goes forward. */
static bool get_items(struct rd *rd, struct arena *mem, struct request *rq)
{
    uint64_t n = rd_varint(rd);

    if (rd->bad || n == 0 || n > TXN_GETS_MAX)
        return false;
    rq->items = arena_zalloc(mem, (size_t)n * sizeof *rq->items);
    rq->n_items = (size_t)n;
    for (size_t i = 0; i < rq->n_items; i++) {
        rq->items[i].key = rd_bytes(rd);
        if (rd->bad || !key_is_good(rq->items[i].key) ||
            (i > 0 && bytes_cmp(rq->items[i - 1].key, rq->items[i].key) > 0))
            return false;
    }
    return true;
}

void wire_put_request(struct buf *b, const struct request *rq, uint32_t wait_ms)
{
    buf_put_u8(b, WIRE_VERSION);
    buf_put_u8(b, (uint8_t)rq->kind);
    buf_put_u32(b, wait_ms);
    put_ref(b, &rq->ref);
    buf_put_u8(b, (uint8_t)rq->mode);
    buf_put_u64(b, (uint64_t)rq->t);
    buf_put_bytes(b, rq->start);
    buf_put_bytes(b, rq->end);
    buf_put_u8(b, rq->reverse ? SCAN_REVERSE : 0);
    buf_put_varint(b, rq->limit);
    buf_put_u32(b, rq->max_rows);
    if (rq->kind == REQUEST_COMMIT)
        put_commit(b, &rq->commit);
    else if (rq->kind == REQUEST_GETS)
        put_items(b, rq);
    else if (rq->kind == REQUEST_OUTCOME)
        wire_put_id(b, rq->commit.id);
}

static bool is_sound(const struct request *rq)
{
    bool locks = rq->mode != 0;

    if (rq->mode > LOCK_EXCLUSIVE || rq->start.len > TXN_KEY_MAX + MVCC_SUFFIX ||
        rq->end.len > TXN_KEY_MAX + MVCC_SUFFIX || rq->ref.age < 0 || rq->ref.id.start < 0 ||
        rq->t < 0)
        return false;
    switch (rq->kind) {
    case REQUEST_GET:
        return key_is_good(rq->start);
    case REQUEST_LOCK: /* the lock on the schema has a key that no row has */
        return locks && rq->start.len > 0;
    case REQUEST_SCAN:
        return rq->max_rows > 0 && rq->max_rows <= REQUEST_SLICE_ROWS;
    case REQUEST_COMMIT:
        return rq->commit.id.start >= 0 && rq->commit.until >= 0;
    case REQUEST_OUTCOME:
        return rq->commit.id.start >= 0;
    case REQUEST_GETS: /* get_items has looked at them */
    case REQUEST_LEASE:
    case REQUEST_CLOSE:
    case REQUEST_DIGEST:
        return true;
    case REQUEST_KIND_END:
        break;
    }
    return false;
}

enum status wire_get_request(struct bytes in, struct arena *mem, struct request *out,
                             uint32_t *out_wait_ms, struct err *err)
{
    struct request rq = {0};
    struct rd rd = rd_of(in);
    bool good = true;
    enum status st;

    TRY(wire_get_version(&rd, err));
    rq.kind = (enum request_kind)rd_u8(&rd);
    *out_wait_ms = rd_u32(&rd);
    get_ref(&rd, &rq.ref);
    rq.mode = rd_u8(&rd);
    rq.t = (tstamp)rd_u64(&rd);
    rq.start = rd_bytes(&rd);
    rq.end = rd_bytes(&rd);
    rq.reverse = rd_u8(&rd) == SCAN_REVERSE;
    rq.limit = rd_varint(&rd);
    rq.max_rows = rd_u32(&rd);
    if (rq.kind == REQUEST_COMMIT)
        good = get_commit(&rd, mem, &rq.commit);
    else if (rq.kind == REQUEST_GETS)
        good = get_items(&rd, mem, &rq);
    else if (rq.kind == REQUEST_OUTCOME)
        rq.commit.id = wire_get_id(&rd);
    if (rd.bad || rd_left(&rd) != 0 || !good || !is_sound(&rq)) {
        st = malformed(err);
        goto out;
    }
    *out = rq;
out:
    return st;
}

/* Answers. */

static void put_error(struct buf *b, const struct err *err)
{
    buf_put(b, err->sqlstate, SQLSTATE_LEN);
    buf_put_bytes(b, bytes_str(err->msg));
    buf_put_bytes(b, bytes_str(err->detail));
    buf_put_bytes(b, bytes_str(err->hint));
}

static void get_text(struct rd *rd, char *out, size_t size)
{
    struct bytes text = rd_bytes(rd);
    size_t n = text.len < size ? text.len : size - 1;

    if (n > 0)
        memcpy(out, text.ptr, n);
    out[n] = '\0';
}

static void get_error(struct rd *rd, enum status st, struct err *err)
{
    struct bytes code = rd_raw(rd, SQLSTATE_LEN);
    struct err got;

    (void)err_set(&got, st, SQLSTATE_INTERNAL_ERROR, "from another node");
    if (!rd->bad)
        memcpy(got.sqlstate, code.ptr, SQLSTATE_LEN);
    get_text(rd, got.msg, sizeof got.msg);
    get_text(rd, got.detail, sizeof got.detail);
    get_text(rd, got.hint, sizeof got.hint);
    if (err != NULL)
        *err = got;
}

static void put_rows(struct buf *b, const struct answer *a)
{
    buf_put_u8(b, a->done);
    buf_put_bytes(b, a->done ? bytes_of(NULL, 0) : a->resume);
    buf_put_varint(b, a->n_rows);
    for (size_t i = 0; i < a->n_rows; i++) {
        buf_put_bytes(b, a->rows[i].key);
        buf_put_u64(b, (uint64_t)a->rows[i].ts);
        buf_put_bytes(b, a->rows[i].value);
    }
}

static void get_rows(struct rd *rd, const struct request *rq, struct answer *a)
{
    uint64_t n;

    a->done = rd_u8(rd) != 0;
    a->resume = arena_copy(a->mem, rd_bytes(rd));
    n = rd_varint(rd);
    a->n_rows = a->row_bytes = 0;
    for (uint64_t i = 0; i < n && !rd->bad; i++) {
        struct bytes key = rd_bytes(rd);
        tstamp ts = (tstamp)rd_u64(rd);
        struct bytes value = rd_bytes(rd);

        if (!rd->bad && (rq->filter == NULL || rq->filter(rq->filter_arg, key, value)))
            answer_add(a, key, ts, value);
    }
}

static void put_found(struct buf *b, const struct request *rq, const struct answer *a)
{
    buf_put_varint(b, a->n_got);
    for (size_t i = 0; i < a->n_got; i++) {
        const struct mvcc_item *item = &rq->items[i];

        buf_put_u8(b, item->found);
        if (item->found) {
            buf_put_u64(b, (uint64_t)item->ts);
            buf_put_bytes(b, item->value);
        }
    }
}

static void get_found(struct rd *rd, const struct request *rq, struct answer *a)
{
    uint64_t n = rd_varint(rd);

    if (n == 0 || n > rq->n_items) {
        rd->bad = true;
        return;
    }
    for (uint64_t i = 0; i < n && !rd->bad; i++) {
        struct mvcc_item *item = &rq->items[i];

        item->found = rd_u8(rd) != 0;
        if (item->found) {
            item->ts = (tstamp)rd_u64(rd);
            item->value = arena_copy(a->mem, rd_bytes(rd));
        }
    }
    a->n_got = (size_t)n;
}

static void put_body(struct buf *b, const struct request *rq, enum status st,
                     const struct answer *a)
{
    switch (rq->kind) {
    case REQUEST_GET:
        buf_put_u64(b, st == ST_OK ? (uint64_t)a->ts : 0);
        buf_put_bytes(b, st == ST_OK ? a->value : bytes_of(NULL, 0));
        break;
    case REQUEST_GETS:
        put_found(b, rq, a);
        break;
    case REQUEST_SCAN:
        put_rows(b, a);
        break;
    case REQUEST_COMMIT:
    case REQUEST_OUTCOME:
        buf_put_u64(b, (uint64_t)a->ts);
        break;
    case REQUEST_LEASE:
        buf_put_u64(b, (uint64_t)a->lease.from);
        buf_put_u64(b, (uint64_t)a->lease.until);
        buf_put_u64(b, a->lease.term);
        buf_put_u64(b, a->lease.number);
        break;
    case REQUEST_DIGEST:
        buf_put_u64(b, a->digest.lo);
        buf_put_u64(b, a->digest.hi);
        buf_put_u64(b, a->digest.n_rows);
        break;
    case REQUEST_LOCK:
    case REQUEST_CLOSE:
    case REQUEST_KIND_END:
        break;
    }
}

static void get_body(struct rd *rd, const struct request *rq, struct answer *a)
{
    switch (rq->kind) {
    case REQUEST_GET:
        a->ts = (tstamp)rd_u64(rd);
        a->value = arena_copy(a->mem, rd_bytes(rd));
        break;
    case REQUEST_GETS:
        get_found(rd, rq, a);
        break;
    case REQUEST_SCAN:
        get_rows(rd, rq, a);
        break;
    case REQUEST_COMMIT:
    case REQUEST_OUTCOME:
        a->ts = (tstamp)rd_u64(rd);
        break;
    case REQUEST_LEASE:
        a->lease.from = (tstamp)rd_u64(rd);
        a->lease.until = (tstamp)rd_u64(rd);
        a->lease.term = rd_u64(rd);
        a->lease.number = rd_u64(rd);
        break;
    case REQUEST_DIGEST:
        a->digest.lo = rd_u64(rd);
        a->digest.hi = rd_u64(rd);
        a->digest.n_rows = rd_u64(rd);
        break;
    case REQUEST_LOCK:
    case REQUEST_CLOSE:
    case REQUEST_KIND_END:
        break;
    }
}

static bool has_body(enum wire_what what, enum status st)
{
    return what == WIRE_ENDED && (st == ST_OK || st == ST_NOTFOUND);
}

void wire_put_answer(struct buf *b, const struct request *rq, enum wire_what what, enum status st,
                     const struct answer *a, const struct err *err)
{
    buf_put_u8(b, WIRE_VERSION);
    buf_put_u8(b, (uint8_t)what);
    buf_put_u8(b, (uint8_t)st);
    buf_put_u64(b, rq->ref.term);
    if (has_body(what, st)) {
        buf_put_u64(b, (uint64_t)a->seen.newest);
        buf_put_u64(b, a->seen.n_versions);
        put_body(b, rq, st, a);
    } else if (what == WIRE_ENDED) {
        put_error(b, err);
    }
}

static void get_seen(struct rd *rd, struct mvcc_read *seen)
{
    tstamp newest = (tstamp)rd_u64(rd);

    seen->n_versions += rd_u64(rd);
    if (newest > seen->newest)
        seen->newest = newest;
}

enum status wire_get_answer(struct bytes in, struct request *rq, enum wire_what *out_what,
                            struct answer *a, struct err *err)
{
    struct rd rd = rd_of(in);
    uint8_t what, sent;
    uint64_t term;
    enum status st;

    *out_what = WIRE_BROKEN;
    st = wire_get_version(&rd, err);
    if (st != ST_OK)
        return st;
    what = rd_u8(&rd);
    sent = rd_u8(&rd);
    term = rd_u64(&rd);
    if (rd.bad || what > WIRE_WAITS || sent > ST_FATAL)
        return malformed(err);
    st = (enum status)sent;
    if (has_body((enum wire_what)what, st)) {
        get_seen(&rd, &a->seen);
        get_body(&rd, rq, a);
    } else if (what == WIRE_ENDED) {
        get_error(&rd, st, err);
    }
    if (rd.bad || rd_left(&rd) != 0)
        return malformed(err);
    *out_what = (enum wire_what)what;
    rq->ref.term = term;
    return st == ST_FATAL ? ST_REJECT : st; /* what is fatal there is not so here */
}
