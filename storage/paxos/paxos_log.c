/* The log window: ballots of every stored slot, payloads of the youngest. */
#include <stdlib.h>

#include "base/check.h"
#include "storage/paxos/paxos_int.h"

/* Payload of every empty entry: in memory, and nobody's to free. */
static const uint8_t empty_payload[1];

static void drop_payload(struct plog *l, struct log_entry *e)
{
    if (e->payload == NULL)
        return;
    l->cached_bytes -= e->len;
    if (e->payload != empty_payload)
        free((void *)(uintptr_t)e->payload);
    e->payload = NULL;
}

static struct log_entry *at(const struct plog *l, slot_no slot)
{
    ASSERT(slot >= l->first && slot <= l->last);
    return &l->entries[l->head + (size_t)(slot - l->first)];
}

static void make_room(struct plog *l)
{
    if (l->head + l->n < l->cap)
        return;
    if (l->head > l->cap / 2) {
        memmove(l->entries, l->entries + l->head, l->n * sizeof *l->entries);
        l->head = 0;
        return;
    }
    l->cap = l->cap == 0 ? 8 : l->cap * 2;
    l->entries = xrealloc(l->entries, l->cap * sizeof *l->entries);
}

static void append_raw(struct plog *l, struct ballot ballot, enum paxos_entry_kind kind,
                       const uint8_t *payload, size_t len)
{
    make_room(l);
    l->entries[l->head + l->n] = (struct log_entry){ballot, payload, (uint32_t)len, (uint8_t)kind};
    l->n++;
    l->last++;
    if (payload == NULL)
        l->cached_from = l->last + 1;
    else
        l->cached_bytes += len;
}

void plog_append(struct plog *l, struct ballot ballot, enum paxos_entry_kind kind,
                 struct bytes payload)
{
    uint8_t *copy;

    ASSERT(payload.len <= UINT32_MAX);
    if (payload.len == 0) {
        append_raw(l, ballot, kind, empty_payload, 0);
        return;
    }
    copy = xmalloc(payload.len);
    memcpy(copy, payload.ptr, payload.len);
    append_raw(l, ballot, kind, copy, payload.len);
}

void plog_init(struct plog *l, const struct paxos_start *start)
{
    ASSERT(start->first >= 1);
    *l = (struct plog){.first = start->first,
                       .last = start->first - 1,
                       .before = start->before,
                       .cached_from = start->first};
    for (size_t i = 0; i < start->n_entries; i++) {
        const struct paxos_entry *e = &start->entries[i];

        ASSERT(e->slot == l->last + 1);
        if (e->payload.ptr == NULL)
            append_raw(l, e->ballot, e->kind, NULL, 0);
        else
            plog_append(l, e->ballot, e->kind, e->payload);
    }
}

void plog_fini(struct plog *l)
{
    for (size_t i = 0; i < l->n; i++)
        drop_payload(l, &l->entries[l->head + i]);
    free(l->entries);
    l->entries = NULL;
}

bool plog_has(const struct plog *l, slot_no slot)
{
    return slot + 1 >= l->first && slot <= l->last;
}

struct ballot plog_ballot(const struct plog *l, slot_no slot)
{
    if (!plog_has(l, slot))
        return (struct ballot){0, 0};
    return slot + 1 == l->first ? l->before : at(l, slot)->ballot;
}

struct bytes plog_payload(const struct plog *l, slot_no slot)
{
    const struct log_entry *e;

    if (slot < l->first || slot > l->last)
        return bytes_of(NULL, 0);
    e = at(l, slot);
    return bytes_of(e->payload, e->len);
}

enum paxos_entry_kind plog_kind(const struct plog *l, slot_no slot)
{
    return (enum paxos_entry_kind)at(l, slot)->kind;
}

void plog_cut(struct plog *l, slot_no from)
{
    ASSERT(from >= l->first);
    while (l->last >= from) {
        drop_payload(l, at(l, l->last));
        l->last--;
        l->n--;
    }
    if (l->cached_from > l->last + 1)
        l->cached_from = l->last + 1;
}

void plog_truncate(struct plog *l, slot_no through)
{
    if (through < l->first)
        return;
    ASSERT(through <= l->last);
    l->before = at(l, through)->ballot;
    while (l->first <= through) {
        drop_payload(l, at(l, l->first));
        l->first++;
        l->head++;
        l->n--;
    }
    if (l->cached_from < l->first)
        l->cached_from = l->first;
}

void plog_restart(struct plog *l, slot_no slot, struct ballot ballot)
{
    ASSERT(l->n == 0);
    l->first = slot + 1;
    l->last = slot;
    l->before = ballot;
    l->head = 0;
    l->cached_from = l->first;
}

void plog_evict(struct plog *l, slot_no below, size_t cache_bytes)
{
    while (l->cached_bytes > cache_bytes && l->cached_from < below && l->cached_from <= l->last) {
        drop_payload(l, at(l, l->cached_from));
        l->cached_from++;
    }
}
