#include "storage/snapshot_msg.h"

enum { WIRE_VERSION = 1 };

void snapshot_msg_encode(struct buf *out, const struct snapshot_msg *m)
{
    buf_put_u8(out, WIRE_VERSION);
    buf_put_u8(out, (uint8_t)m->kind);
    buf_put_u64(out, m->group);
    buf_put_u64(out, m->stream);
    switch (m->kind) {
    case SNAPSHOT_ASK:
        break;
    case SNAPSHOT_OFFER:
        snapshot_head_encode(out, &m->head);
        break;
    case SNAPSHOT_FETCH:
        buf_put_u64(out, m->seq);
        break;
    case SNAPSHOT_CHUNK:
        snapshot_chunk_encode(out, &m->chunk);
        break;
    case SNAPSHOT_END:
        buf_put_u8(out, (uint8_t)m->why);
        break;
    }
}

bool snapshot_msg_decode(struct bytes in, struct snapshot_msg *out)
{
    struct rd r = rd_of(in);
    uint8_t kind, why;

    if (rd_u8(&r) != WIRE_VERSION)
        return false;
    kind = rd_u8(&r);
    if (kind < SNAPSHOT_ASK || kind > SNAPSHOT_END)
        return false;
    *out = (struct snapshot_msg){.kind = (enum snapshot_msg_kind)kind};
    out->group = rd_u64(&r);
    out->stream = rd_u64(&r);
    switch (out->kind) {
    case SNAPSHOT_ASK:
        break;
    case SNAPSHOT_OFFER:
        if (!snapshot_head_decode(&r, &out->head) || out->head.group != out->group)
            return false;
        break;
    case SNAPSHOT_FETCH:
        out->seq = rd_u64(&r);
        break;
    case SNAPSHOT_CHUNK:
        if (!snapshot_chunk_decode(&r, &out->chunk))
            return false;
        break;
    case SNAPSHOT_END:
        why = rd_u8(&r);
        if (why < SNAPSHOT_DONE || why > SNAPSHOT_GONE)
            return false;
        out->why = (enum snapshot_end)why;
        break;
    }
    return !r.bad && rd_left(&r) == 0;
}
