#include "storage/group_int.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "storage/store_int.h"

static void hold(struct group *g, const struct paxos_send *send)
{
    ASSERT(send->msg.n_entries == 0); /* entries point into the core */
    if (g->n_held == g->cap_held) {
        g->cap_held = g->cap_held == 0 ? 16 : g->cap_held * 2;
        g->held = xrealloc(g->held, g->cap_held * sizeof *g->held);
    }
    g->held[g->n_held++] = (struct held){send->after_write, send->msg};
}

/* The interval is taken anew: a sync has passed since the core set it, and the receiver's commit wait
 * would pay for its age. A void one says that this voter disagrees with the leader's clock: it stays. */
static void release_held(struct group *g, struct tt_interval now)
{
    size_t n = 0;

    for (size_t i = 0; i < g->n_held; i++) {
        if (g->held[i].after_write > g->durable_seen) {
            g->held[n++] = g->held[i];
            continue;
        }
        if (!tt_is_void(g->held[i].msg.time))
            g->held[i].msg.time = now;
        worker_send(g->worker, &g->held[i].msg);
    }
    g->n_held = n;
}

static void take_write(struct group *g, const struct paxos_out *out)
{
    struct log_batch *batch = worker_batch(g->worker);

    if (out->write_seq == 0)
        return;
    if (out->hard != NULL && MUTATED(&g->store->o, promise_not_written))
        plog_add_mark(&batch->rows, 0);
    else if (out->hard != NULL)
        plog_add_hard(&batch->rows, g->number, out->hard);
    if (out->cut_from != 0) {
        plog_add_cut(&batch->rows, g->number, out->cut_from, g->log_last);
        g->log_last = out->cut_from - 1;
    }
    if (out->head != NULL) {
        plog_add_head(&batch->rows, g->number, out->head);
        g->head_first = out->head->first;
        g->head_seq = out->write_seq;
        if (g->log_last < g->head_first - 1)
            g->log_last = g->head_first - 1;
    }
    for (size_t i = 0; i < out->n_append; i++) {
        ASSERT(out->append[i].slot == g->log_last + 1); /* M3 */
        plog_add_entry(&batch->rows, g->number, &out->append[i]);
        atomic_fetch_add_explicit(&g->bytes_logged, out->append[i].payload.len,
                                  memory_order_relaxed);
        g->log_last++;
    }
    log_batch_mark(batch, &g->durable, out->write_seq);
    g->write_last = out->write_seq;
    worker_writes(g->worker, g);
}

static void take_view(struct group *g, const struct paxos_out *out, int64_t mono_ns)
{
    struct group_view *v = &g->view;

    ASSERT(out->apply >= v->apply && out->apply <= out->chosen); /* M3 */
    worker_wants(g->worker, (out->role != PAXOS_FOLLOWER) - (v->role != PAXOS_FOLLOWER));
    *v = (struct group_view){
        .role = out->role,
        .ballot = out->ballot,
        .leader = out->leader,
        .room = out->room,
        .verdict = out->verdict,
        .released = out->released,
        .yield_to = out->yield_to,
        .rests = out->rests,
        .first = out->first,
        .last = out->last,
        .chosen = out->chosen,
        .apply = out->apply,
        .everywhere = out->everywhere,
        .lease_start = out->lease_start,
        .lease_end = out->lease_end,
        .agreed = out->agreed,
        .agreed_mono = mono_ns,
        .wake_mono = out->wake_mono_ns,
    };
    if (g->up_term != 0 && g->stage == GROUP_SERVING && !out->lost)
        atomic_store(&g->lease_end, out->lease_end);
    atomic_store_explicit(&g->leader, out->leader, memory_order_relaxed);
    atomic_store_explicit(&g->everywhere, out->everywhere, memory_order_relaxed);
    atomic_store_explicit(&g->last, out->last, memory_order_relaxed);
}

void group_step(struct group *g, struct paxos_in *in)
{
    struct paxos_out out;

    in->now = store_now(g->store, &in->mono_ns);
    in->support = worker_support(g->worker);
    in->no_data = group_install_state(g) >= GROUP_INSTALL_GRANTED;
    paxos_step(g->paxos, in, &out);
    take_write(g, &out);
    for (size_t i = 0; i < out.n_send; i++) {
        if (out.send[i].after_write > g->durable_seen && !MUTATED(&g->store->o, sent_before_write))
            hold(g, &out.send[i]);
        else
            worker_send(g->worker, &out.send[i].msg);
    }
    if (out.load.node != 0) {
        g->load.node = out.load.node;
        g->load.from = out.load.from;
        g->load.to = out.load.to;
    }
    group_want_snapshots(g, &out);
    take_view(g, &out, in->mono_ns);
    if (g->store->o.hand != NULL)
        g->store->o.hand->stepped(g->store->o.hand->arg, g->number, &out);
    g->won |= out.won;
    g->lost |= out.lost;
}

void group_on_durable(struct group *g)
{
    uint64_t durable = atomic_load(&g->durable);
    struct paxos_in in = {.kind = PAXOS_IN_DURABLE, .durable_seq = durable};
    int64_t mono;

    if (durable == g->durable_seen)
        return;
    g->durable_seen = durable;
    if (g->head_first != 0 && g->head_seq <= durable) {
        atomic_store(&g->drop_agreed, g->head_first - 1);
        g->head_first = 0;
    }
    release_held(g, store_now(g->store, &mono));
    group_step(g, &in);
    group_settle_role(g);
}

void group_on_message(struct group *g, const struct paxos_msg *m)
{
    struct paxos_in in = {.kind = PAXOS_IN_MESSAGE, .msg = m};

    group_step(g, &in);
    group_settle_role(g);
}

bool group_may_rest(struct group *g)
{
    bool none;

    if (!g->view.rests || g->stage != GROUP_SERVING || g->n_behind > 0 ||
        atomic_load(&g->snapshot_asked) != 0 || group_install_state(g) != GROUP_INSTALL_NONE ||
        g->flight.head != NULL || g->settled.head != NULL || g->n_held > 0 || g->load.node != 0 ||
        g->won_term != 0 || g->durable_seen < g->write_last ||
        g->view.apply > tablet_applied(g->tablet))
        return false;
    pthread_mutex_lock(&g->mu);
    none = g->queue.head == NULL;
    pthread_mutex_unlock(&g->mu);
    return none;
}

void group_trim(struct group *g)
{
    paxos_trim(g->paxos);
    arena_fini(&g->mem);
    buf_fini(&g->payload);
    free(g->held);
    g->held = NULL;
    g->cap_held = 0;
}

void group_tick(struct group *g, bool even_if_not_due)
{
    struct paxos_in in = {.kind = PAXOS_IN_TICK};

    if (!even_if_not_due && store_mono(g->store) < g->view.wake_mono)
        return;
    group_step(g, &in);
    group_settle_role(g);
}
