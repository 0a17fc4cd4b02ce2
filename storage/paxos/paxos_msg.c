/* The wire form of struct paxos_msg: writer and reader side by side. */
#include "base/check.h"
#include "storage/paxos/paxos.h"

enum { FORMAT = 2 };

static void put_ballot(struct buf *out, struct ballot b)
{
    buf_put_varint(out, b.round);
    buf_put_varint(out, b.node);
}

static struct ballot get_ballot(struct rd *r)
{
    struct ballot b;
    uint64_t node;

    b.round = rd_varint(r);
    node = rd_varint(r);
    if (node > UINT32_MAX)
        r->bad = true;
    b.node = (node_id)node;
    return b;
}

void paxos_msg_encode(struct buf *out, const struct paxos_msg *m)
{
    buf_put_u8(out, FORMAT);
    buf_put_u8(out, (uint8_t)m->kind);
    buf_put_varint(out, m->group);
    buf_put_u32(out, m->from);
    buf_put_u32(out, m->to);
    put_ballot(out, m->ballot);
    buf_put_varint(out, m->slot);
    put_ballot(out, m->last);
    buf_put_varint(out, m->prev_slot);
    put_ballot(out, m->prev_ballot);
    buf_put_varint(out, m->chosen);
    buf_put_varint(out, m->epoch);
    put_ballot(out, m->promised);
    buf_put_u64(out, (uint64_t)m->retry_ns);
    buf_put_u64(out, (uint64_t)m->time.earliest);
    buf_put_u64(out, (uint64_t)m->time.latest);
    buf_put_varint(out, m->kept);
    buf_put_varint(out, m->config_slot);
    buf_put_varint(out, m->target);
    buf_put_varint(out, m->n_entries);
    for (size_t i = 0; i < m->n_entries; i++) {
        ASSERT(m->entries[i].payload.ptr != NULL || m->entries[i].payload.len == 0);
        buf_put_varint(out, m->entries[i].slot);
        put_ballot(out, m->entries[i].ballot);
        buf_put_u8(out, (uint8_t)m->entries[i].kind);
        buf_put_bytes(out, m->entries[i].payload);
    }
}

bool paxos_msg_decode(struct rd *r, struct paxos_msg *m, struct paxos_entry *entries, size_t max)
{
    uint8_t format = rd_u8(r);
    uint8_t kind = rd_u8(r);
    uint64_t n, target;

    *m = (struct paxos_msg){.mono_ns = 0};
    m->group = rd_varint(r);
    m->from = rd_u32(r);
    m->to = rd_u32(r);
    m->ballot = get_ballot(r);
    m->slot = rd_varint(r);
    m->last = get_ballot(r);
    m->prev_slot = rd_varint(r);
    m->prev_ballot = get_ballot(r);
    m->chosen = rd_varint(r);
    m->epoch = rd_varint(r);
    m->promised = get_ballot(r);
    m->retry_ns = (int64_t)rd_u64(r);
    m->time.earliest = (tstamp)rd_u64(r);
    m->time.latest = (tstamp)rd_u64(r);
    m->kept = rd_varint(r);
    m->config_slot = rd_varint(r);
    target = rd_varint(r);
    n = rd_varint(r);
    if (r->bad || format != FORMAT || kind < PAXOS_PREPARE || kind > PAXOS_TELL || n > max ||
        target > UINT32_MAX)
        return false;
    m->target = (node_id)target;
    m->kind = (enum paxos_msg_kind)kind;
    for (size_t i = 0; i < n; i++) {
        uint8_t entry_kind;

        entries[i].slot = rd_varint(r);
        entries[i].ballot = get_ballot(r);
        entry_kind = rd_u8(r);
        if (entry_kind > PAXOS_ENTRY_CONFIG)
            return false;
        entries[i].kind = (enum paxos_entry_kind)entry_kind;
        entries[i].payload = rd_bytes(r);
    }
    m->entries = entries;
    m->n_entries = (size_t)n;
    return !r->bad;
}
