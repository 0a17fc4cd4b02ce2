/* What must hold of the whole history, by one who knows the chosen log and true time. */
#include <stdlib.h>

#include "base/check.h"
#include "sim.h"
#include "storage/group_int.h"
#include "storage/record.h"

struct final_version {
    tstamp ts;
    uint64_t value;
};

struct history {
    struct final_version *v[KEYS];
    size_t n[KEYS], cap[KEYS];
    tstamp *ts_of_id; /* 0: never committed */
    tstamp last_ts;
};

static bool was_refused(const struct world *w, uint64_t id, tstamp ts)
{
    for (size_t i = 0; i < w->n_refused; i++)
        if (w->refused[i].id == id && w->refused[i].ts == ts)
            return true;
    return false;
}

static void add_record(struct world *w, struct history *h, size_t slot, const struct record *rec)
{
    uint64_t id = kv_id(rec->id);
    uint32_t key;
    struct rd value;

    if (rec->ts <= h->last_ts)
        sim_fail(w, "slot %zu: timestamp %lld is not above %lld before it", slot,
                 (long long)rec->ts, (long long)h->last_ts);
    h->last_ts = rec->ts;
    if (was_refused(w, id, rec->ts))
        sim_fail(w, "write %llu at %lld was said to be surely not chosen, and stands in slot %zu",
                 (unsigned long long)id, (long long)rec->ts, slot);
    if (rec->kind != RECORD_COMMIT || h->ts_of_id[id] != 0)
        return;
    h->ts_of_id[id] = rec->ts;
    key = (uint32_t)(rec->writes[0].key.ptr[0] - 'a');
    value = rd_of(rec->writes[0].value);
    VEC_PUSH(h->v[key], h->n[key], h->cap[key]) = (struct final_version){rec->ts, rd_u64(&value)};
}

static void add_slot(struct world *w, struct history *h, size_t slot)
{
    struct record_walk walk;
    struct bytes body;
    struct record rec;
    struct err err;
    enum status st = record_walk_begin(&walk, w->truth[slot].payload, &err);

    while (st == ST_OK && !w->r.failed) {
        st = record_walk_next(&walk, &body, &err);
        if (st != ST_OK)
            break;
        st = record_decode(body, &w->mem, &rec, &err);
        if (st == ST_OK)
            add_record(w, h, slot, &rec);
    }
    if (st != ST_NOTFOUND && !w->r.failed)
        sim_fail(w, "slot %zu cannot be read: %s", slot, err.msg);
}

/* Replays the chosen log: the first outcome of an id stands. */
static void build_history(struct world *w, struct history *h)
{
    h->ts_of_id = xcalloc(w->n_ids + 1, sizeof *h->ts_of_id);
    for (size_t s = 1; s < w->n_truth; s++) {
        if (!w->truth[s].known) {
            sim_fail(w, "slot %zu is missing in the chosen log", s);
            return;
        }
        if (w->truth[s].kind == PAXOS_ENTRY_COMMANDS && w->truth[s].payload.len > 0)
            add_slot(w, h, s);
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
            else if (o->ts < o->began && !w->prof.lying_clock)
                sim_fail(w, "write %llu is at %lld, before it was asked for",
                         (unsigned long long)o->id, (long long)o->ts);
        } else if (!w->prof.lying_clock) {
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
            tstamp t = ended[e]->kind == OP_WRITE ? ended[e]->ts
                       : w->prof.lying_clock      ? 0
                                                  : ended[e]->seen_ts;

            if (t > highest)
                highest = t;
        }
        if (w->prof.lying_clock && o->kind != OP_WRITE)
            continue;
        if (o->kind == OP_WRITE ? o->ts <= highest : o->kind == OP_STRONG_READ && o->ts < highest) {
            sim_fail(w, "order: an operation at %lld began after one at %lld had ended",
                     (long long)o->ts, (long long)highest);
            break;
        }
    }
    free(began);
    free(ended);
}

static slot_no applied_by(struct sim_node *n)
{
    return n->up ? tablet_applied(group_tablet(node_group(n))) : 0;
}

/* As a leader sees it; without one, everybody who was from the start. */
static bool is_member(struct world *w, node_id node)
{
    for (size_t i = 0; i < w->n_nodes; i++) {
        struct sim_node *n = &w->nodes[i];
        const struct paxos_config *c = NULL;
        slot_no at;

        if (n->up && n->role == PAXOS_LEADER)
            c = paxos_config_at(node_group(n)->paxos, node_group(n)->view.last, &at);
        if (c != NULL)
            return paxos_config_find(c, node) != NULL;
    }
    return node <= w->n_founders;
}

static void check_liveness(struct world *w)
{
    slot_no last = w->n_truth - 1;

    for (size_t c = 0; c < w->n_clients; c++)
        if (w->clients[c].n_done_after_heal == 0)
            sim_fail(w, "no progress: client %zu has written nothing since all faults ended", c);
    for (size_t i = 0; i < w->n_nodes; i++)
        if (is_member(w, w->nodes[i].id) && applied_by(&w->nodes[i]) + 50 < last)
            sim_fail(w, "no progress: n%u (role %d%s%s) has applied %llu of %llu slots",
                     w->nodes[i].id, (int)w->nodes[i].role, w->nodes[i].syncing ? ", syncing" : "",
                     w->nodes[i].round_due ? ", due" : "",
                     (unsigned long long)applied_by(&w->nodes[i]), (unsigned long long)last);
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
