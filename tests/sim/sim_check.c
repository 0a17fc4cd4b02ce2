/* What must hold, by one who knows true time, every disk and the whole history. */
#include "sim.h"

#include <stdlib.h>

#include "base/check.h"

/* -------- agreement -------- */

static struct truth_slot *truth_of(struct world *w, slot_no slot)
{
    while (w->n_truth <= slot)
        VEC_PUSH(w->truth, w->n_truth, w->cap_truth) = (struct truth_slot){0};
    return &w->truth[slot];
}

void check_chosen(struct world *w, const struct sim_node *n, slot_no slot,
                  const struct disk_entry *e)
{
    struct bytes payload = e->payload;
    struct truth_slot *t = truth_of(w, slot);
    uint64_t h = sim_hash(UINT64_C(0xcbf29ce484222325), payload.ptr, payload.len);

    if (!t->known) {
        t->known = true;
        t->kind = e->kind;
        t->payload_hash = h;
        t->payload = payload;
        sim_trace(w, "n%u chose slot %llu, %zu bytes", n->id, (unsigned long long)slot,
                  payload.len);
    } else if (t->payload_hash != h || t->kind != e->kind) {
        sim_fail(w, "agreement: n%u holds another payload as chosen in slot %llu", n->id,
                 (unsigned long long)slot);
    }
}

void check_applied(struct world *w, const struct sim_node *n, slot_no slot, uint64_t hash)
{
    struct truth_slot *t = truth_of(w, slot);

    if (t->state_hash == 0)
        t->state_hash = hash + 1;
    else if (t->state_hash != hash + 1)
        sim_fail(w, "replicas: the state of n%u at slot %llu differs", n->id,
                 (unsigned long long)slot);
}

/* -------- leaders and leases -------- */

void check_won(struct world *w, const struct sim_node *n)
{
    struct sim_node *mine = sim_node(w, n->id);

    for (size_t i = 0; i < w->n_leads; i++)
        if (ballot_cmp(w->leads[i].ballot, n->ballot) == 0)
            sim_fail(w, "ballot %llu.%u has led twice", (unsigned long long)n->ballot.round,
                     n->ballot.node);
    if (n->ballot.node != n->id)
        sim_fail(w, "n%u leads under a ballot of n%u", n->id, n->ballot.node);
    mine->lead = w->n_leads;
    VEC_PUSH(w->leads, w->n_leads, w->cap_leads) =
        (struct leadership){n->id, n->ballot, n->lease_start, n->lease_end};
}

void check_lease(struct world *w, const struct sim_node *n)
{
    struct leadership *mine = &w->leads[n->lead];

    if (n->lease_start != mine->start)
        sim_fail(w, "n%u: the lease start moved", n->id);
    if (n->lease_end <= mine->end && n->lease_end != 0 && w->n_leads == n->lead + 1 &&
        mine->end != n->lease_end)
        return;
    if (n->lease_end > mine->end)
        mine->end = n->lease_end;
    for (size_t i = 0; i < w->n_leads; i++) {
        const struct leadership *o = &w->leads[i];

        if (o != mine && o->start <= mine->end && mine->start <= o->end)
            sim_fail(w, "leases overlap: n%u %llu.%u [%lld, %lld] and n%u %llu.%u [%lld, %lld]",
                     o->node, (unsigned long long)o->ballot.round, o->ballot.node,
                     (long long)o->start, (long long)o->end, mine->node,
                     (unsigned long long)mine->ballot.round, mine->ballot.node,
                     (long long)mine->start, (long long)mine->end);
    }
}

void check_gone(struct world *w, const struct sim_node *n, tstamp used)
{
    struct leadership *l = &w->leads[n->lead];

    if (used != 0 && used < l->end)
        l->end = used; /* nothing above it was assigned or promised */
}

/* -------- acknowledgements -------- */

void check_ack(struct world *w, const struct sim_node *n, const struct sim_write *wr)
{
    const struct disk_entry *own = disk_at(&n->disk.cur, wr->slot);
    size_t holds = 0;

    if (w->now <= wr->c.ts)
        sim_fail(w, "n%u acknowledges %lld before that time has passed", n->id,
                 (long long)wr->c.ts);
    for (size_t i = 0; i < w->n_nodes && own != NULL; i++) {
        const struct disk_entry *e = disk_at(&w->nodes[i].disk.durable, wr->slot);

        holds += (e != NULL && ballot_cmp(e->ballot, own->ballot) == 0) ||
                 wr->slot < w->nodes[i].disk.durable.first;
    }
    if (own != NULL && holds < w->n_nodes / 2 + 1)
        sim_fail(w, "n%u acknowledges slot %llu, which only %zu of %zu disks have synced", n->id,
                 (unsigned long long)wr->slot, holds, w->n_nodes);
}

/* -------- the history -------- */

struct final_version {
    tstamp ts;
    uint64_t value;
};

struct history {
    struct final_version *v[KEYS];
    size_t n[KEYS], cap[KEYS];
    tstamp *ts_of_id; /* 0: never committed */
};

/* Replays the chosen log: the first outcome of an id stands. */
static void build_history(struct world *w, struct history *h)
{
    h->ts_of_id = xcalloc(w->n_ids + 1, sizeof *h->ts_of_id);
    for (size_t s = 1; s < w->n_truth; s++) {
        struct command_kv c[SLOT_COMMANDS_MAX];
        size_t k;

        if (!w->truth[s].known) {
            sim_fail(w, "slot %zu is missing in the chosen log", s);
            return;
        }
        if (w->truth[s].kind != PAXOS_ENTRY_COMMANDS)
            continue;
        k = kv_decode(w->truth[s].payload, c, SLOT_COMMANDS_MAX);
        for (size_t i = 0; i < k; i++) {
            if (h->ts_of_id[c[i].id] != 0)
                continue;
            h->ts_of_id[c[i].id] = c[i].ts;
            VEC_PUSH(h->v[c[i].key], h->n[c[i].key], h->cap[c[i].key]) =
                (struct final_version){c[i].ts, c[i].value};
        }
    }
}

static struct final_version final_at(const struct history *h, uint32_t key, tstamp t)
{
    size_t lo = 0, hi = h->n[key];

    while (lo < hi) {
        size_t mid = (lo + hi) / 2;

        if (h->v[key][mid].ts <= t)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo == 0 ? (struct final_version){0, 0} : h->v[key][lo - 1];
}

static void check_ops(struct world *w, const struct history *h)
{
    for (size_t i = 0; i < w->n_ops && !w->r.failed; i++) {
        const struct op *o = &w->ops[i];

        if (o->kind == OP_WRITE) {
            if (h->ts_of_id[o->id] == 0)
                sim_fail(w, "lost: write %llu was acknowledged at %lld and is not in the log",
                         (unsigned long long)o->id, (long long)o->ts);
            else if (h->ts_of_id[o->id] != o->ts)
                sim_fail(w, "write %llu was acknowledged at %lld, but it is at %lld",
                         (unsigned long long)o->id, (long long)o->ts,
                         (long long)h->ts_of_id[o->id]);
        } else {
            struct final_version v = final_at(h, o->key, o->ts);

            if (v.ts != o->seen_ts || v.value != o->value)
                sim_fail(w, "read of %c at %lld saw the version of %lld, the last is of %lld",
                         (int)('a' + o->key), (long long)o->ts, (long long)o->seen_ts,
                         (long long)v.ts);
        }
    }
}

static int by_began(const void *a, const void *b)
{
    const struct op *x = *(const struct op *const *)a;
    const struct op *y = *(const struct op *const *)b;

    return (x->began > y->began) - (x->began < y->began);
}

static int by_ended(const void *a, const void *b)
{
    const struct op *x = *(const struct op *const *)a;
    const struct op *y = *(const struct op *const *)b;

    return (x->ended > y->ended) - (x->ended < y->ended);
}

/*
 * Real time order: what an operation that has ended used or saw is below every write, and at or below every strong
 * read, that begins later.
 */
static void check_real_time(struct world *w)
{
    const struct op **began = xcalloc(w->n_ops + 1, sizeof *began);
    const struct op **ended = xcalloc(w->n_ops + 1, sizeof *ended);
    tstamp highest = 0;
    size_t e = 0;

    for (size_t i = 0; i < w->n_ops; i++)
        began[i] = ended[i] = &w->ops[i];
    qsort(began, w->n_ops, sizeof *began, by_began);
    qsort(ended, w->n_ops, sizeof *ended, by_ended);
    for (size_t i = 0; i < w->n_ops; i++) {
        const struct op *o = began[i];

        for (; e < w->n_ops && ended[e]->ended < o->began; e++) {
            tstamp t = ended[e]->kind == OP_WRITE ? ended[e]->ts : ended[e]->seen_ts;

            if (t > highest)
                highest = t;
        }
        if (o->kind == OP_WRITE ? o->ts <= highest : o->kind == OP_STRONG_READ && o->ts < highest) {
            sim_fail(w, "order: an operation at %lld began after one at %lld had ended",
                     (long long)o->ts, (long long)highest);
            break;
        }
    }
    free(began);
    free(ended);
}

static void check_liveness(struct world *w)
{
    slot_no last = w->n_truth - 1;

    for (size_t c = 0; c < w->n_clients; c++)
        if (w->clients[c].n_done_after_heal == 0)
            sim_fail(w, "no progress: client %zu has written nothing since all faults ended", c);
    for (size_t i = 0; i < w->n_nodes; i++)
        if (w->nodes[i].reg.applied + 50 < last)
            sim_fail(w, "no progress: n%u has applied %llu of %llu slots", w->nodes[i].id,
                     (unsigned long long)w->nodes[i].reg.applied, (unsigned long long)last);
}

void check_end(struct world *w)
{
    struct history h = {0};

    if (w->n_truth == 0)
        sim_fail(w, "no progress: nothing was ever chosen");
    else
        check_liveness(w);
    if (!w->r.failed)
        build_history(w, &h);
    if (!w->r.failed)
        check_ops(w, &h);
    if (!w->r.failed)
        check_real_time(w);
    for (size_t k = 0; k < KEYS; k++)
        free(h.v[k]);
    free(h.ts_of_id);
}
