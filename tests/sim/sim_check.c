/* What must hold at every step, by one who knows true time and every disk. */
#include "sim.h"

#include "base/check.h"
#include "storage/group_int.h"
#include "storage/mvcc.h"
#include "storage/paxos/paxos_int.h"
#include "storage/plog.h"
#include "storage/store_int.h"

/* -------- logs -------- */

/* The entry of a slot in an engine's log, in mem. False: it is not there. */
static bool entry_in(struct engine *e, slot_no slot, struct arena *mem, struct paxos_entry *out)
{
    struct paxos_entry *entries;
    struct err err;
    size_t n;

    if (plog_read(e, SIM_GROUP, slot, slot, 0, mem, &entries, &n, &err) != ST_OK || n != 1)
        return false;
    *out = entries[0];
    return true;
}

static struct truth_slot *truth_of(struct world *w, slot_no slot)
{
    while (w->n_truth <= slot)
        VEC_PUSH(w->truth, w->n_truth, w->cap_truth) = (struct truth_slot){0};
    return &w->truth[slot];
}

/* -------- agreement -------- */

static void agree(struct world *w, const struct sim_node *n, slot_no slot,
                  const struct paxos_entry *e)
{
    struct truth_slot *t = truth_of(w, slot);

    if (!t->known) {
        t->known = true;
        t->kind = e->kind;
        t->payload = arena_copy(&w->mem, e->payload);
        sim_trace(w, "n%u chose slot %llu, %zu bytes", n->id, (unsigned long long)slot,
                  e->payload.len);
    } else if (t->kind != e->kind || !bytes_eq(t->payload, e->payload)) {
        sim_fail(w, "agreement: n%u holds another payload as chosen in slot %llu", n->id,
                 (unsigned long long)slot);
    }
}

static bool look_up(struct sim_node *n, slot_no slot, struct arena *mem, struct paxos_entry *out)
{
    const struct plog *log = &node_group(n)->paxos->log;

    if (plog_payload(log, slot).ptr == NULL)
        return entry_in(store_engine(n->store), slot, mem, out);
    *out = (struct paxos_entry){
        .slot = slot, .kind = plog_kind(log, slot), .payload = plog_payload(log, slot)};
    return true;
}

static void check_chosen(struct world *w, struct sim_node *n, slot_no chosen)
{
    struct arena mem;

    if (n->checked < n->dropped)
        n->checked = n->dropped; /* a snapshot has brought what it never saw chosen */
    arena_init(&mem, 0);
    for (; n->checked < chosen && !w->r.failed; n->checked++) {
        struct paxos_entry e;

        if (look_up(n, n->checked + 1, &mem, &e))
            agree(w, n, n->checked + 1, &e);
        else
            break; /* not written yet: another time */
    }
    arena_fini(&mem);
}

/* -------- leaders and leases -------- */

static void check_won(struct world *w, struct sim_node *n, const struct paxos_out *out)
{
    for (size_t i = 0; i < w->n_leads; i++)
        if (ballot_cmp(w->leads[i].ballot, out->ballot) == 0)
            sim_fail(w, "ballot %llu.%u has led twice", (unsigned long long)out->ballot.round,
                     out->ballot.node);
    if (out->ballot.node != n->id)
        sim_fail(w, "n%u leads under a ballot of n%u", n->id, out->ballot.node);
    n->lead = w->n_leads;
    n->chosen_before = w->n_truth;
    VEC_PUSH(w->leads, w->n_leads, w->cap_leads) =
        (struct leadership){n->id, out->ballot, out->lease_start, 0};
}

static void check_overlap(struct world *w, const struct leadership *mine)
{
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

/* Who cannot sync is not supported for long: neither by itself nor by others. */
static void check_sync_age(struct world *w, const struct sim_node *n, tstamp lease_end)
{
    const int64_t longest = 3 * w->prof.lease_ns + w->prof.lease_ns / 8;

    if (lease_end > n->synced_at + longest + n->clock.bound_ns)
        sim_fail(w, "n%u has a lease for %.3f s after its last sync", n->id,
                 (double)(lease_end - n->synced_at) / 1e9);
}

static void check_lease(struct world *w, struct sim_node *n, const struct paxos_out *out)
{
    struct leadership *mine = &w->leads[n->lead];

    if (out->lease_start != mine->start)
        sim_fail(w, "n%u: the lease start moved", n->id);
    if (w->prof.lying_clock)
        return;
    check_sync_age(w, n, out->lease_end);
    if (out->lease_end > mine->end) {
        mine->end = out->lease_end;
        check_overlap(w, mine);
    }
}

/* S2: nobody relies on support for longer than its giver means to keep it. */
void check_support(struct world *w, struct sim_node *n)
{
    const struct support *mine = worker_support(n->store->worker);

    for (size_t i = 0; i < w->n_nodes && !w->prof.lying_clock; i++) {
        struct sim_node *giver = &w->nodes[i];
        uint64_t epoch;
        tstamp until, end;

        if (giver == n || !giver->up || !support_received(mine, giver->id, &epoch, &until) ||
            until <= w->now)
            continue;
        end = support_lapses_at(worker_support(giver->store->worker), n->id, epoch);
        if (until > end)
            sim_fail(w, "n%u relies on n%u for %lld ns longer than that means to support it", n->id,
                     giver->id, (long long)(until - end));
    }
}

void check_gone(struct world *w, const struct sim_node *n, tstamp used)
{
    struct leadership *l = &w->leads[n->lead];

    if (used != 0 && used < l->end)
        l->end = used; /* nothing above it was assigned or promised */
}

/* -------- promises -------- */

static bool was_released(const struct world *w, struct ballot b)
{
    for (size_t i = 0; i < w->n_released; i++)
        if (ballot_cmp(w->released[i], b) == 0)
            return true;
    return false;
}

/* A ballot is released only when all that was said under it, or under an earlier one of its owner, has passed. */
static void check_over(struct world *w, const struct sim_node *n, struct ballot b)
{
    for (size_t i = 0; i < w->n_leads && !w->prof.lying_clock; i++) {
        const struct leadership *l = &w->leads[i];

        if (l->node == n->id && ballot_cmp(l->ballot, b) <= 0 && l->end >= w->now)
            sim_fail(w, "n%u releases %llu.%u %lld ns before all that was said has passed", n->id,
                     (unsigned long long)b.round, b.node, (long long)(l->end - w->now));
    }
}

static void check_promises(struct world *w, const struct sim_node *n, const struct paxos_out *out)
{
    if (ballot_cmp(out->ballot, n->synced) < 0)
        sim_fail(w, "n%u has forgotten its promise of %llu.%u", n->id,
                 (unsigned long long)n->synced.round, n->synced.node);
    for (size_t i = 0; i < out->n_send; i++) {
        const struct paxos_msg *m = &out->send[i].msg;

        if (m->kind == PAXOS_ACK && ballot_cmp(m->ballot, out->ballot) < 0)
            sim_fail(w, "n%u acks %llu.%u below its promise", n->id,
                     (unsigned long long)m->ballot.round, m->ballot.node);
        if (m->kind == PAXOS_RELEASE && !was_released(w, m->ballot)) {
            check_over(w, n, m->ballot);
            VEC_PUSH(w->released, w->n_released, w->cap_released) = m->ballot;
        }
    }
    if (out->hard != NULL && out->hard->released.node != 0 && out->hard->released.node != n->id &&
        !was_released(w, out->hard->released))
        sim_fail(w, "n%u is free of %llu.%u, which its owner never released", n->id,
                 (unsigned long long)out->hard->released.round, out->hard->released.node);
}

void check_stepped(struct world *w, struct sim_node *n, const struct paxos_out *out)
{
    if (out->lost && n->used_known)
        check_gone(w, n, n->used);
    check_promises(w, n, out);
    n->role = out->role;
    n->ballot = out->ballot;
    n->last = out->last;
    if (out->first - 1 > n->dropped)
        n->dropped = out->first - 1;
    if (out->won)
        check_won(w, n, out);
    if (out->role == PAXOS_LEADER)
        check_lease(w, n, out);
    check_chosen(w, n, out->chosen);
}

/* Serving begins when all that others may have chosen is applied. */
void check_leading(struct world *w, struct sim_node *n)
{
    struct group *g = node_group(n);
    struct tt_interval now = clock_now(w, n);

    if (w->prof.lying_clock || tt_is_void(now) || now.latest > g->view.lease_end)
        return; /* it will serve nobody, and others may lead */
    if (tablet_applied(group_tablet(g)) + 1 < n->chosen_before)
        sim_fail(w, "n%u serves with slot %llu applied, and slot %zu was chosen before", n->id,
                 (unsigned long long)tablet_applied(group_tablet(g)), n->chosen_before - 1);
}

/* A log is found as it was written: as far as is synced, or with the batch that was being synced. */
void check_found(struct world *w, struct sim_node *n)
{
    slot_no last = node_group(n)->paxos->log.last;

    if (last != n->last_synced && last != n->last_taken)
        sim_fail(w, "n%u finds its log up to slot %llu, and had written it up to %llu or %llu",
                 n->id, (unsigned long long)last, (unsigned long long)n->last_synced,
                 (unsigned long long)n->last_taken);
    n->last = n->last_flushed = n->last_taken = n->last_synced = last;
}

/* -------- applying -------- */

/* Equal slots are equal rows. */
static void check_rows(struct world *w, struct sim_node *n, slot_no slot, tstamp ts)
{
    struct truth_slot *t = truth_of(w, slot);
    struct mvcc_digest d;
    struct err err;

    if (mvcc_digest(store_engine(n->store), bytes_of(NULL, 0), bytes_of(NULL, 0), ts, &d, &err) !=
        ST_OK) {
        sim_fail(w, "n%u has no digest: %s", n->id, err.msg);
        return;
    }
    if (!t->has_digest) {
        t->has_digest = true;
        t->digest = d.lo;
    } else if (t->digest != d.lo) {
        sim_fail(w, "replicas: the rows of n%u at slot %llu differ", n->id,
                 (unsigned long long)slot);
    }
}

void check_applied(struct world *w, struct sim_node *n, slot_no slot, tstamp ts)
{
    struct arena mem;
    struct paxos_entry e;

    arena_init(&mem, 0);
    if (slot > n->dropped && !entry_in(n->durable, slot, &mem, &e))
        sim_fail(w, "n%u applies slot %llu, which its disk has not synced", n->id,
                 (unsigned long long)slot);
    arena_fini(&mem);
    if (slot % 8 == 0 || rng_chance(&w->rng, 0.02))
        check_rows(w, n, slot, ts);
}

/* -------- acknowledgements -------- */

static bool holds(struct sim_node *other, slot_no slot, const struct paxos_entry *e,
                  struct arena *mem)
{
    struct paxos_entry theirs;

    if (entry_in(other->durable, slot, mem, &theirs))
        return ballot_cmp(theirs.ballot, e->ballot) == 0;
    /* Dropped, so in a checkpoint. */
    return other->dropped >= slot;
}

void check_ack(struct world *w, const struct sim_node *n, const struct sim_write *wr)
{
    const struct paxos *p = node_group(sim_node(w, n->id))->paxos;
    slot_no slot = wr->cmd.slot, at;
    const struct paxos_config *c = paxos_config_at(p, slot, &at);
    struct paxos_entry e = {.slot = slot, .ballot = paxos_ballot_of(p, slot)};
    bool found[NODES_MAX + 1] = {false};
    struct arena mem;
    size_t n_holds = 0;

    if (w->now <= wr->cmd.ts)
        sim_fail(w, "n%u acknowledges %lld before that time has passed", n->id,
                 (long long)wr->cmd.ts);
    if (e.ballot.round == 0 || c == NULL)
        return; /* no longer in its log */
    arena_init(&mem, 0);
    for (size_t i = 0; i < w->n_nodes; i++) {
        found[i + 1] = holds(&w->nodes[i], slot, &e, &mem);
        n_holds += found[i + 1];
    }
    arena_fini(&mem);
    if (!check_quorum(c, found))
        sim_fail(w, "n%u acknowledges slot %llu, which only %zu of %zu disks have synced", n->id,
                 (unsigned long long)slot, n_holds, w->n_nodes);
}

/* It was said to be surely not chosen: it must never be found. */
void check_refused(struct world *w, const struct sim_write *wr)
{
    VEC_PUSH(w->refused, w->n_refused, w->cap_refused) = (struct refused){wr->id, wr->cmd.ts};
}
