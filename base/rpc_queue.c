#include <stdlib.h>

#include "base/check.h"
#include "base/rpc_int.h"

static void chunk_start(struct chunk *k)
{
    (void)frame_begin(&k->buf, FR_MESSAGES); /* at 0: the buffer was reset */
    memset(buf_extend(&k->buf, MESSAGES_HEADER), 0, MESSAGES_HEADER);
}

void chunk_free(struct chunk *k)
{
    if (k == NULL)
        return;
    buf_fini(&k->buf);
    free(k);
}

static struct chunk *chunk_get_locked(struct link *l)
{
    struct chunk *k = l->spare;

    if (k == NULL)
        k = xcalloc(1, sizeof *k);
    else
        l->spare = k->next, l->n_spare--;
    k->next = NULL;
    k->seq = ++l->next_seq;
    buf_reset(&k->buf);
    chunk_start(k);
    if (l->head == NULL)
        l->head = k;
    else
        l->last->next = k;
    l->last = k;
    return k;
}

void queue_recycle_locked(struct link *l, struct chunk *k)
{
    if (l->n_spare >= RPC_CHUNK_KEEP || k->buf.cap > 2 * RPC_CHUNK_SOFT) {
        chunk_free(k);
        return;
    }
    k->next = l->spare;
    l->spare = k;
    l->n_spare++;
}

struct chunk *queue_pop_locked(struct link *l)
{
    struct chunk *k = l->head;

    if (k == NULL)
        return NULL;
    l->head = k->next;
    k->next = NULL;
    l->queued_bytes -= k->buf.len;
    l->handed_seq = k->seq;
    return k;
}

void queue_drop_locked(struct link *l)
{
    struct chunk *k;
    uint64_t handed = l->handed_seq;

    while ((k = queue_pop_locked(l)) != NULL)
        queue_recycle_locked(l, k);
    l->handed_seq = handed;
    ASSERT(l->queued_bytes == 0);
}

struct chunk *queue_append_locked(struct link *l, uint8_t kind, uint16_t type, uint64_t call_id,
                                  struct bytes payload, size_t *out_kind_at)
{
    struct chunk *k = l->head == NULL ? NULL : l->last;
    size_t before;

    if (k == NULL || k->buf.len + payload.len > RPC_CHUNK_SOFT) {
        k = chunk_get_locked(l);
        l->queued_bytes += k->buf.len;
    }
    before = k->buf.len;
    buf_put_u8(&k->buf, kind);
    buf_put_u16(&k->buf, type);
    if (kind != MSG_ONEWAY)
        buf_put_u64(&k->buf, call_id);
    buf_put_bytes(&k->buf, payload);
    l->queued_bytes += k->buf.len - before;
    *out_kind_at = before;
    return k;
}

/* ---- the fault layer ---- */

static bool faulty(const struct rpc_fault *f)
{
    return f->cut || f->drop > 0 || f->duplicate > 0 || f->reorder > 0 || f->delay_ns > 0;
}

static void hold_locked(struct link *l, int64_t due, uint8_t kind, uint16_t type, uint64_t call_id,
                        struct bytes payload)
{
    struct held *h = xmalloc(sizeof *h + payload.len), **at = &l->held;
    uint8_t *copy = (uint8_t *)(h + 1);

    if (payload.len > 0)
        memcpy(copy, payload.ptr, payload.len);
    while (*at != NULL && (*at)->due <= due)
        at = &(*at)->next;
    *h = (struct held){*at, due, kind, type, call_id, bytes_of(copy, payload.len)};
    *at = h;
    l->held_bytes += payload.len;
    loop_wake_by(&l->rpc->loop, due);
}

bool queue_fault_takes_locked(struct link *l, uint8_t kind, uint16_t type, uint64_t call_id,
                              struct bytes payload)
{
    const int64_t reorder_max_ns = 5 * NS_PER_MS;
    int64_t wait = l->fault.delay_ns;
    bool twice;
    size_t at;

    if (!faulty(&l->fault))
        return false;
    if (l->fault.cut || rng_chance(&l->rng, l->fault.drop)) {
        metric_add(l->rpc->n.dropped_fault, 1);
        return true;
    }
    twice = rng_chance(&l->rng, l->fault.duplicate);
    if (twice)
        (void)queue_append_locked(l, kind, type, call_id, payload, &at); /* not to be taken back */
    if (rng_chance(&l->rng, l->fault.reorder))
        wait += 1 + (int64_t)rng_below(&l->rng, (uint64_t)reorder_max_ns);
    if (wait > 0)
        hold_locked(l, mono_now() + wait, kind, type, call_id, payload);
    else if (twice)
        (void)queue_append_locked(l, kind, type, call_id, payload, &at); /* not to be taken back */
    return wait > 0 || twice;
}

void queue_held_release_locked(struct link *l, int64_t now)
{
    struct held *h;
    size_t at;

    while ((h = l->held) != NULL && h->due <= now) {
        l->held = h->next;
        l->held_bytes -= h->payload.len;
        if (l->state == LINK_UP && !l->fault.cut)
            (void)queue_append_locked(l, h->kind, h->type, h->call, h->payload,
                                      &at); /* not looked for */
        free(h);
    }
}

void queue_fini(struct link *l)
{
    struct chunk *k;

    pthread_mutex_lock(&l->mu);
    queue_drop_locked(l);
    queue_held_release_locked(l, INT64_MAX); /* the link is down: they are freed */
    while ((k = l->spare) != NULL) {
        l->spare = k->next;
        chunk_free(k);
    }
    pthread_mutex_unlock(&l->mu);
}
