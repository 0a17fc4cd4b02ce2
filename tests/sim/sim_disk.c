/*
 * The disk: a log as written and a log as synced. A crash leaves the synced one and a random prefix of
 * the writes behind it; a write that was torn is gone whole, as a checksummed log record is.
 */
#include "sim.h"

#include <stdlib.h>

#include "base/check.h"

static void log_apply(struct disk_log *l, const struct disk_write *wr)
{
    if (l->first == 0)
        l->first = 1;
    if (wr->has_hard)
        l->hard = wr->hard;
    if (wr->cut_from != 0 && wr->cut_from < l->first + l->n) {
        ASSERT(wr->cut_from >= l->first);
        l->n = (size_t)(wr->cut_from - l->first);
    }
    if (wr->has_head) {
        size_t k = (size_t)(wr->head.first - l->first);

        ASSERT(wr->head.first >= l->first && (k <= l->n || l->n == 0));
        k = k < l->n ? k : l->n;
        l->n -= k;
        memmove(l->entries, l->entries + k, l->n * sizeof *l->entries);
        l->first = wr->head.first;
        l->before = wr->head.before;
    }
    for (size_t i = 0; i < wr->n; i++) {
        ASSERT(wr->first + i == l->first + l->n); /* no holes */
        VEC_PUSH(l->entries, l->n, l->cap) = wr->entries[i];
    }
}

static void push(struct sim_disk *d, const struct disk_write *wr)
{
    log_apply(&d->cur, wr);
    VEC_PUSH(d->writes, d->n_writes, d->cap_writes) = *wr;
}

void disk_write(struct world *w, struct sim_node *n, const struct paxos_out *out)
{
    struct disk_write wr = {.seq = out->write_seq, .cut_from = out->cut_from, .n = out->n_append};

    if (out->hard != NULL) {
        wr.has_hard = true;
        wr.hard = *out->hard;
    }
    if (out->head != NULL) {
        wr.has_head = true;
        wr.head = *out->head;
    }
    if (out->n_append > 0) {
        wr.first = out->append[0].slot;
        wr.entries = arena_alloc(&w->mem, out->n_append * sizeof *wr.entries);
        for (size_t i = 0; i < out->n_append; i++)
            wr.entries[i] = (struct disk_entry){out->append[i].ballot, out->append[i].kind,
                                                arena_copy(&w->mem, out->append[i].payload)};
    }
    push(&n->disk, &wr);
}

void disk_sync(struct world *w, struct sim_node *n)
{
    struct sim_disk *d = &n->disk;
    int64_t cost = rng_between(&w->rng, w->prof.sync_min_ns, w->prof.sync_max_ns);

    if (d->syncing)
        return;
    if (w->now < d->slow_until)
        cost += 100 * NS_PER_MS;
    d->syncing = true;
    d->n_syncing = d->n_writes;
    sim_event(w, w->now + cost, EV_SYNC_DONE, n->id, ++d->n_syncs, 0, NULL);
}

static void drop_writes(struct sim_disk *d, size_t k)
{
    if (k == 0)
        return;
    d->n_writes -= k;
    memmove(d->writes, d->writes + k, d->n_writes * sizeof *d->writes);
}

uint64_t disk_synced(struct world *w, struct sim_node *n)
{
    struct sim_disk *d = &n->disk;
    uint64_t seq = n->durable_seq;

    (void)w;
    for (size_t i = 0; i < d->n_syncing; i++) {
        log_apply(&d->durable, &d->writes[i]);
        if (d->writes[i].seq != 0)
            seq = d->writes[i].seq;
    }
    drop_writes(d, d->n_syncing);
    d->n_syncing = 0;
    d->syncing = false;
    return seq;
}

void disk_crash(struct world *w, struct sim_node *n)
{
    struct sim_disk *d = &n->disk;
    size_t survive = rng_chance(&w->rng, 0.5) ? 0 : rng_below(&w->rng, d->n_writes + 1);
    struct disk_log *c = &d->cur;
    struct disk_log *s = &d->durable;

    for (size_t i = 0; i < survive; i++)
        log_apply(s, &d->writes[i]);
    d->n_writes = d->n_syncing = 0;
    d->syncing = false;
    while (c->cap < s->n) {
        c->cap = c->cap == 0 ? 16 : c->cap * 2;
        c->entries = xrealloc(c->entries, c->cap * sizeof *c->entries);
    }
    if (s->n > 0)
        memcpy(c->entries, s->entries, s->n * sizeof *c->entries);
    c->n = s->n;
    c->first = s->first;
    c->before = s->before;
    c->hard = s->hard;
}

const struct disk_entry *disk_at(const struct disk_log *l, slot_no slot)
{
    if (l->first == 0 || slot < l->first || slot >= l->first + l->n)
        return NULL;
    return &l->entries[slot - l->first];
}

void disk_fini(struct sim_disk *d)
{
    free(d->cur.entries);
    free(d->durable.entries);
    free(d->writes);
}
