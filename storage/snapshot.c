#include "storage/snapshot.h"

#include <xxhash.h>

#include "base/frame.h"
#include "storage/snapshot_int.h"

enum { WHOLE_SPACE = 1 }; /* the group that holds every key; the others hold none */

struct snapshot_range snapshot_range(group_id group)
{
    return (struct snapshot_range){.none = group != WHOLE_SPACE};
}

/* The head. */

void snapshot_head_encode(struct buf *out, const struct snapshot_head *h)
{
    buf_put_u8(out, SNAPSHOT_FORMAT);
    buf_put_u64(out, h->group);
    buf_put_u64(out, h->slot);
    buf_put_u64(out, h->ballot.round);
    buf_put_u32(out, h->ballot.node);
    buf_put_u64(out, (uint64_t)h->ts);
    buf_put_bytes(out, h->state);
    buf_put_bytes(out, h->config);
}

bool snapshot_head_decode(struct rd *r, struct snapshot_head *out)
{
    if (rd_u8(r) != SNAPSHOT_FORMAT)
        r->bad = true;
    out->group = rd_u64(r);
    out->slot = rd_u64(r);
    out->ballot.round = rd_u64(r);
    out->ballot.node = rd_u32(r);
    out->ts = (tstamp)rd_u64(r);
    out->state = rd_bytes(r);
    out->config = rd_bytes(r);
    return !r->bad;
}

/* Rows and chunks. */

void snapshot_row_put(struct buf *rows, struct bytes key, struct bytes value)
{
    buf_put_bytes(rows, key);
    buf_put_bytes(rows, value);
}

bool snapshot_row_next(struct rd *rows, struct bytes *out_key, struct bytes *out_value)
{
    *out_key = rd_bytes(rows);
    *out_value = rd_bytes(rows);
    return !rows->bad;
}

void snapshot_chunk_encode(struct buf *out, const struct snapshot_chunk *c)
{
    size_t at = out->len, body;

    buf_put_u32(out, 0);
    body = out->len;
    buf_put_u8(out, SNAPSHOT_FORMAT);
    buf_put_u64(out, c->seq);
    buf_put_u8(out, c->last);
    buf_put_u64(out, (uint64_t)c->horizon);
    buf_put_u64(out, c->sum.lo);
    buf_put_u64(out, c->sum.hi);
    buf_put_u64(out, c->sum.n_rows);
    buf_put(out, c->rows.ptr, c->rows.len);
    buf_set_u32(out, at, crc32c(0, out->ptr + body, out->len - body));
}

bool snapshot_chunk_decode(struct rd *r, struct snapshot_chunk *out)
{
    uint32_t crc = rd_u32(r);

    if (r->bad || crc != crc32c(0, r->ptr, rd_left(r)) || rd_u8(r) != SNAPSHOT_FORMAT)
        return false;
    out->seq = rd_u64(r);
    out->last = rd_u8(r) != 0;
    out->horizon = (tstamp)rd_u64(r);
    out->sum.lo = rd_u64(r);
    out->sum.hi = rd_u64(r);
    out->sum.n_rows = rd_u64(r);
    out->rows = rd_raw(r, rd_left(r));
    return !r->bad;
}

/* The length of the key goes in, so that no two rows run together alike. */
void snapshot_sum_add(struct snapshot_sum *sum, struct bytes key, struct bytes value)
{
    XXH128_hash_t k = XXH3_128bits_withSeed(key.ptr, key.len, key.len);
    XXH128_hash_t v = XXH3_128bits_withSeed(value.ptr, value.len, k.low64 ^ k.high64);
    uint64_t lo = k.low64 ^ v.low64;

    sum->lo += lo;
    sum->hi += (k.high64 ^ v.high64) + (sum->lo < lo);
    sum->n_rows++;
}
