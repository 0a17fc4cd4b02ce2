/* Values in PostgreSQL's binary wire form: network order, as its send and receive functions have it. */
#include <string.h>

#include "base/check.h"
#include "sql/datum.h"
#include "sql/numeric.h"
#include "sql/timestamp.h"
#include "sql/utf8.h"

static void put_be(struct buf *out, uint64_t v, int n)
{
    uint8_t *p = buf_extend(out, (size_t)n);

    for (int i = 0; i < n; i++)
        p[i] = (uint8_t)(v >> (8 * (n - 1 - i)));
}

static int64_t to_pg_epoch(int64_t ts)
{
    return ts == TIMESTAMP_INFINITY || ts == TIMESTAMP_NEG_INFINITY ? ts
                                                                    : ts - TIMESTAMP_PG_EPOCH_US;
}

void datum_to_binary(const struct datum *d, struct buf *out)
{
    uint64_t u64;
    uint32_t u32;
    float single;

    ASSERT(!d->null);
    switch (d->type) {
    case TYPE_BOOL:
        buf_put_u8(out, d->b);
        break;
    case TYPE_INT2:
        put_be(out, (uint64_t)d->i, 2);
        break;
    case TYPE_INT4:
        put_be(out, (uint64_t)d->i, 4);
        break;
    case TYPE_INT8:
        put_be(out, (uint64_t)d->i, 8);
        break;
    case TYPE_FLOAT4:
        single = (float)d->d;
        memcpy(&u32, &single, 4);
        put_be(out, u32, 4);
        break;
    case TYPE_FLOAT8:
        memcpy(&u64, &d->d, 8);
        put_be(out, u64, 8);
        break;
    case TYPE_NUMERIC:
        numeric_to_wire(d->n, out);
        break;
    case TYPE_UNKNOWN:
    case TYPE_TEXT:
    case TYPE_VARCHAR:
    case TYPE_BPCHAR:
    case TYPE_BYTEA:
        buf_put(out, d->s.ptr, d->s.len);
        break;
    case TYPE_TIMESTAMPTZ:
        put_be(out, (uint64_t)to_pg_epoch(d->i), 8);
        break;
    case TYPE_COUNT:
        ASSERT(!"a type with a binary form");
    }
}

static uint64_t get_be(struct bytes w)
{
    uint64_t v = 0;

    for (size_t i = 0; i < w.len; i++)
        v = v << 8 | w.ptr[i];
    return v;
}

static enum status timestamp_in(int64_t wire, int64_t *out, struct err *err)
{
    if (wire == INT64_MAX || wire == INT64_MIN) {
        *out = wire;
        return ST_OK;
    }
    if (wire > TIMESTAMP_MAX - TIMESTAMP_PG_EPOCH_US ||
        wire < TIMESTAMP_MIN - TIMESTAMP_PG_EPOCH_US)
        return err_set(err, ST_REJECT, SQLSTATE_DATETIME_FIELD_OVERFLOW, "timestamp out of range");
    *out = wire + TIMESTAMP_PG_EPOCH_US;
    return ST_OK;
}

static enum status text_in(enum sql_type t, struct bytes wire, struct arena *mem, struct datum *out,
                           struct err *err)
{
    enum status st = t == TYPE_BYTEA ? ST_OK : utf8_check(wire, err);

    if (st == ST_OK)
        out->s = arena_copy(mem, wire);
    return st;
}

enum status datum_from_binary(enum sql_type t, struct bytes wire, struct arena *mem,
                              struct datum *out, struct err *err)
{
    struct datum d = {.type = t};
    int16_t len = type_info(t)->wire_len;
    uint64_t u64;
    uint32_t u32;
    float single;
    enum status st = ST_OK;

    if (len > 0 && wire.len != (size_t)len)
        return err_set(err, ST_REJECT, SQLSTATE_INVALID_BINARY_REPRESENTATION,
                       "incorrect binary data format: %zu bytes for type %s", wire.len,
                       type_info(t)->name);
    switch (t) {
    case TYPE_BOOL:
        d.b = wire.ptr[0] != 0;
        break;
    case TYPE_INT2:
        d.i = (int16_t)get_be(wire);
        break;
    case TYPE_INT4:
        d.i = (int32_t)get_be(wire);
        break;
    case TYPE_INT8:
        d.i = (int64_t)get_be(wire);
        break;
    case TYPE_FLOAT4:
        u32 = (uint32_t)get_be(wire);
        memcpy(&single, &u32, 4);
        d.d = (double)single;
        break;
    case TYPE_FLOAT8:
        u64 = get_be(wire);
        memcpy(&d.d, &u64, 8);
        break;
    case TYPE_NUMERIC:
        TRY(numeric_from_wire(wire, mem, &d.n, err));
        break;
    case TYPE_UNKNOWN:
    case TYPE_TEXT:
    case TYPE_VARCHAR:
    case TYPE_BPCHAR:
    case TYPE_BYTEA:
        TRY(text_in(t, wire, mem, &d, err));
        break;
    case TYPE_TIMESTAMPTZ:
        TRY(timestamp_in((int64_t)get_be(wire), &d.i, err));
        break;
    case TYPE_COUNT:
        ASSERT(!"a type with a binary form");
    }
    *out = d;
out:
    return st;
}
