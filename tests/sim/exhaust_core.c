/* Copies and fingerprints of a Paxos replica: all that it remembers, and nothing that only lives for one step. */
#include <stddef.h>
#include <stdlib.h>

#include "base/check.h"
#include "storage/paxos/paxos_int.h"
#include "tests/sim/exhaust.h"

uint64_t xhash(uint64_t h, const void *ptr, size_t len)
{
    const uint8_t *b = ptr;
    uint64_t w;

    for (; len >= sizeof w; b += sizeof w, len -= sizeof w) {
        memcpy(&w, b, sizeof w);
        h = (h ^ w) * UINT64_C(0x9fb21c651e98df25);
        h ^= h >> 32;
    }
    for (; len > 0; b++, len--)
        h = (h ^ *b) * UINT64_C(0x100000001b3);
    return h;
}

void core_reseed(struct paxos *p)
{
    rng_seed(&p->rng, 1);
}

struct paxos *core_clone(const struct paxos *p)
{
    struct paxos *c = xmalloc(sizeof *c);

    *c = *p;
    c->peers = xmalloc(p->n_peers * sizeof *c->peers);
    memcpy(c->peers, p->peers, p->n_peers * sizeof *c->peers);
    c->cap_peers = p->n_peers;
    c->self = &c->peers[0];
    c->log.entries = xmalloc((p->log.n + 1) * sizeof *c->log.entries);
    c->log.head = 0;
    c->log.cap = p->log.n + 1;
    for (size_t i = 0; i < p->log.n; i++) {
        struct log_entry e = p->log.entries[p->log.head + i];

        ASSERT(e.payload != NULL); /* the cache is large enough for all */
        if (e.len > 0) {
            uint8_t *copy = xmalloc(e.len);

            memcpy(copy, e.payload, e.len);
            e.payload = copy;
        }
        c->log.entries[i] = e;
    }
    c->configs = xmalloc((p->n_configs + 1) * sizeof *c->configs);
    memcpy(c->configs, p->configs, p->n_configs * sizeof *c->configs);
    c->cap_configs = p->n_configs + 1;
    c->pending = xmalloc((p->n_pending + 1) * sizeof *c->pending);
    c->cap_pending = p->n_pending + 1;
    if (p->n_pending > 0)
        memcpy(c->pending, p->pending, p->n_pending * sizeof *c->pending);
    arena_init(&c->mem, 0);
    c->send = NULL;
    c->n_send = c->cap_send = 0;
    return c;
}

static void take(void *arg, const void *ptr, size_t len)
{
    uint64_t *h = arg;

    *h = xhash(*h, ptr, len);
}

uint64_t core_fingerprint(const struct paxos *p, const struct support *s)
{
    const uint64_t log[] = {p->log.first, p->log.last, p->log.before.round, p->log.before.node};
    uint64_t h = xhash(1, log, sizeof log);
    struct paxos c;

    /* Replicas, then what stands behind them, scalars all, less what is of one step. */
    h = xhash(h, p->peers, p->n_peers * sizeof p->peers[0]);
    memcpy(&c.hard, &p->hard, sizeof c - offsetof(struct paxos, hard));
    memset(&c.hard.config, 0, sizeof c.hard.config); /* always the same here */
    memset(&c.mem, 0, sizeof c.mem);
    memset(&c.now, 0, sizeof c.now);
    memset(&c.head, 0, sizeof c.head);
    c.pending = NULL;
    c.cap_pending = c.cap_send = c.n_send = 0;
    c.sup = NULL;
    c.send = NULL;
    c.mono = 0;
    c.wrote_hard = c.won = c.lost = c.load_out = c.moved_head = c.ticked = false;
    c.verdict = PAXOS_NO_VERDICT;
    c.step_write = 0;
    c.cut_from = c.append_from = 0;
    h = xhash(h, &c.hard.promised, sizeof c.hard.promised);
    h = xhash(h, &c.hard.released, sizeof c.hard.released);
    h = xhash(h, &c.hard_seq, sizeof c - offsetof(struct paxos, hard_seq));
    for (size_t i = 0; i < p->log.n; i++) {
        const struct log_entry *e = &p->log.entries[p->log.head + i];

        h = xhash(h, &e->ballot.round, sizeof e->ballot.round);
        h = xhash(h, &e->ballot.node, sizeof e->ballot.node);
        h = xhash(h, e->payload, e->len);
        h = xhash(h, &e->len, sizeof e->len);
    }
    if (p->n_pending > 0)
        h = xhash(h, p->pending, p->n_pending * sizeof *p->pending);
    support_memory(s, take, &h);
    return h;
}
