#include <stdlib.h>

#include "base/check.h"
#include "base/rpc_int.h"

enum { SLOT_BITS = 16 };

_Static_assert(RPC_CALLS_MAX == 1 << SLOT_BITS, "a slot number fits the id");
_Static_assert(RPC_CHANNELS == 2, "one bit of the id is the channel");

void calls_init(struct calls *c)
{
    *c = (struct calls){.free_head = UINT32_MAX, .next_deadline = INT64_MAX};
}

void calls_fini(struct calls *c)
{
    ASSERT(c->n_used == 0);
    free(c->slot);
}

static void grow(struct calls *c)
{
    uint32_t n = c->n_slots == 0 ? 64 : c->n_slots * 2;

    c->slot = xrealloc(c->slot, n * sizeof *c->slot);
    for (uint32_t i = n; i-- > c->n_slots;) {
        c->slot[i] = (struct call){.next_free = c->free_head};
        c->free_head = i;
    }
    c->n_slots = n;
}

struct call *calls_add(struct calls *c, enum rpc_channel ch, uint64_t *out_id)
{
    struct call *call;

    if (c->n_used == RPC_CALLS_MAX)
        return NULL;
    if (c->free_head == UINT32_MAX)
        grow(c);
    call = &c->slot[c->free_head];
    *out_id = ++c->gen << (SLOT_BITS + 1) | (uint64_t)c->free_head << 1 | (uint64_t)ch;
    c->free_head = call->next_free;
    c->n_used++;
    *call = (struct call){.gen = c->gen, .used = true};
    return call;
}

void calls_remove(struct calls *c, struct call *call)
{
    ASSERT(call->used);
    call->used = false;
    call->next_free = c->free_head;
    c->free_head = (uint32_t)(call - c->slot);
    c->n_used--;
}

bool calls_take(struct calls *c, uint64_t id, struct rpc_done *out)
{
    uint64_t at = id >> 1 & (RPC_CALLS_MAX - 1), gen = id >> (SLOT_BITS + 1);
    struct call *call;

    if (at >= c->n_slots)
        return false;
    call = &c->slot[at];
    if (!call->used || call->gen != gen)
        return false;
    *out = call->done;
    calls_remove(c, call);
    return true;
}

void ended_put(struct ended_list *list, struct rpc_done done, const struct end_reason *why)
{
    if (list->n == list->cap) {
        list->cap = list->cap == 0 ? 8 : list->cap * 2;
        list->v = xrealloc(list->v, list->cap * sizeof *list->v);
    }
    list->v[list->n++] = (struct ended){done, why};
}

void ended_run(struct ended_list *list, node_id peer)
{
    for (size_t i = 0; i < list->n; i++) {
        const struct ended *e = &list->v[i];
        struct err err;
        enum status st =
            err_set(&err, e->why->st, e->why->sqlstate, "call to node %u: %s", peer, e->why->text);

        e->done.fn(e->done.arg, st, bytes_of(NULL, 0), &err);
    }
    free(list->v);
    *list = (struct ended_list){0};
}
