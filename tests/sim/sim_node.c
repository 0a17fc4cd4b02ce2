/* A node: its store, stepped by hand, and when which part of it has its turn, as the server's threads do it. */
#include "sim.h"

#include <errno.h>

#include "base/check.h"
#include "storage/group_int.h"
#include "storage/store_int.h"

enum { SNAPSHOT_POLL_NS = 20 * NS_PER_MS };
enum { FULL_RETRY_NS = 200 * NS_PER_MS };

struct group *node_group(struct sim_node *n)
{
    return store_group(n->store, SIM_GROUP);
}

/* -------- what a store has from its machine -------- */

static struct tt_interval hand_now(void *arg, int64_t *out_mono_ns)
{
    struct sim_node *n = arg;

    *out_mono_ns = clock_mono(n->world, n);
    return clock_now(n->world, n);
}

static void hand_send(void *arg, node_id to, enum rpc_channel ch, uint16_t type,
                      struct bytes payload)
{
    struct sim_node *n = arg;
    struct packet *p = net_packet(n->world, PACKET_STORE, n->id, to);

    (void)ch; /* both are as good here: the network reorders whatever it likes */
    p->type = type;
    p->time = clock_now(n->world, n);
    p->body = arena_copy(&n->world->mem, payload);
    net_send(n->world, p);
}

static void hand_stepped(void *arg, group_id group, const struct paxos_out *out)
{
    struct sim_node *n = arg;

    ASSERT(group == SIM_GROUP);
    if (n->up)
        check_stepped(n->world, n, out);
}

static void hand_line(void *arg, const char *line)
{
    struct sim_node *n = arg;

    sim_trace(n->world, "%s", line);
}

static void on_fatal(void *arg, const struct err *err)
{
    struct sim_node *n = arg;

    sim_trace(n->world, "n%u must stop: %s", n->id, err->msg);
    n->dies = true;
    /* A disk that fails is the world's doing. Anything else is damage. */
    if (memcmp(err->sqlstate, SQLSTATE_IO_ERROR, 5) != 0)
        sim_fail(n->world, "n%u: %s", n->id, err->msg);
}

/* -------- life -------- */

void node_init(struct world *w, struct sim_node *n)
{
    n->world = w;
    n->clock.mono_rate = 1 + (2 * rng_unit(&w->rng) - 1) * 100e-6;
    n->clock.mono_base = rng_between(&w->rng, NS_PER_S, 100LL * NS_PER_S);
    n->clock.mono_since = w->now;
    clock_change(w, n);
    n->disk = memdisk_new(rng_next(&w->rng));
    n->durable = engine_mem_open_durable(n->disk);
    n->faults = faults_new();
    n->hand = (struct store_hand){.arg = n,
                                  .now = hand_now,
                                  .send = hand_send,
                                  .stepped = hand_stepped,
                                  .line = hand_line,
                                  .seed = rng_next(&w->rng)};
    tsalloc_init(&n->alloc);
    n->alloc.mutant = w->o.mutant;
}

static void close_store(struct sim_node *n)
{
    n->up = false; /* callbacks that come now reach nobody */
    n->life++;
    kv_drop(n);
    store_step_end(n->store);
    store_close(n->store);
    n->store = NULL;
}

void node_fini(struct sim_node *n)
{
    if (n->up) {
        memdisk_crash(n->disk);
        close_store(n);
    }
    engine_close(n->durable);
    memdisk_free(n->disk);
    faults_free(n->faults);
    tsalloc_fini(&n->alloc);
}

static void arm(struct sim_node *n)
{
    struct err err;

    faults_clear(n->faults);
    if (n->full && faults_arm(n->faults, "engine.commit=1+,engine.checkpoint=1+", &err) != ST_OK)
        ASSERT(!"a fault that is spelt wrong");
}

void node_full_disk(struct sim_node *n, bool full)
{
    n->full = full;
    arm(n);
}

void node_failing_disk(struct sim_node *n)
{
    struct err err;

    if (faults_arm(n->faults, "engine.sync=1", &err) != ST_OK)
        ASSERT(!"a fault that is spelt wrong");
}

static void start_again(struct world *w, struct sim_node *n)
{
    sim_event(w, w->now + rng_between(&w->rng, NS_PER_MS, w->prof.lease_ns), EV_RESTART, n->id, 0,
              0, NULL);
}

void node_start(struct world *w, struct sim_node *n)
{
    node_id peers[NODES_MAX];
    struct store_options o = {.memdisk = n->disk,
                              .cluster = "sim",
                              .node = n->id,
                              .voters = peers,
                              .n_voters = n->id <= w->n_founders ? w->n_founders : 0,
                              .peers = peers,
                              .n_peers = w->n_nodes,
                              .lease_ns = w->prof.lease_ns,
                              .bound_cap_ns = w->prof.lease_ns / 4,
                              .checkpoint_interval_ns = w->prof.checkpoint_ns,
                              .log_cache_bytes = w->prof.log_cache_bytes,
                              .keep_slots = w->prof.keep_slots,
                              .lag_slots = w->prof.lag_slots,
                              .hand = &n->hand,
                              .mutant = w->o.mutant,
                              .faults = n->faults,
                              .on_fatal = on_fatal,
                              .on_fatal_arg = n};
    struct group_upcalls up;
    struct err err;
    enum status st;

    for (size_t i = 0; i < w->n_nodes; i++)
        peers[i] = w->nodes[i].id;
    arm(n);
    st = store_open(&o, &n->store, &err);
    if (st != ST_OK) {
        if (n->full || st == ST_RETRY)
            start_again(w, n);
        else
            sim_fail(w, "n%u cannot start: %s", n->id, err.msg);
        return;
    }
    n->up = true;
    n->stopping = n->syncing = n->round_due = n->dies = n->used_known = false;
    n->role = PAXOS_FOLLOWER;
    n->flushed = n->taken = n->synced;
    n->paused_until = 0;
    n->synced_at = w->now;
    n->checked = tablet_applied(group_tablet(node_group(n)));
    check_found(w, n);
    kv_upcalls(n, &up);
    group_set_upcalls(node_group(n), &up);
    store_step_begin(n->store);
    sim_trace(w, "n%u starts, incarnation %llu, applied %llu", n->id,
              (unsigned long long)store_incarnation(n->store), (unsigned long long)n->checked);
    node_poke(w, n);
    sim_event(w, w->now + rng_between(&w->rng, 0, NS_PER_S), EV_UPKEEP, n->id, 0, 0, NULL);
    sim_event(w, w->now, EV_SNAPSHOTS, n->id, ++n->snapshots, 0, NULL);
}

/* The batch that the log writer was syncing may have reached the disk, or not. */
static void lose_power(struct world *w, struct sim_node *n)
{
    struct err err;

    if (n->syncing && rng_chance(&w->rng, 0.5) &&
        faults_arm(n->faults, "engine.nosync=1", &err) == ST_OK &&
        store_step_log_write(n->store, &err) != ST_OK)
        sim_trace(w, "n%u: what was being written is lost", n->id);
    memdisk_crash(n->disk);
}

void node_crash(struct world *w, struct sim_node *n)
{
    if (!n->up)
        return;
    sim_trace(w, "n%u down", n->id);
    n->up = false;
    lose_power(w, n);
    close_store(n);
    w->r.n_crashes++;
}

void node_stop(struct world *w, struct sim_node *n)
{
    sim_trace(w, "n%u is asked to stop", n->id);
    n->stopping = true;
    sim_event(w, w->now + 5 * w->prof.lease_ns / 2, EV_STOPPED, n->id, 0, 0, NULL);
    node_poke(w, n);
}

void node_campaign(struct world *w, struct sim_node *n)
{
    struct paxos_in in = {.kind = PAXOS_IN_CAMPAIGN};

    group_step(node_group(n), &in);
    group_settle_role(node_group(n));
    node_poke(w, n);
}

/* -------- turns -------- */

void node_poke(struct world *w, struct sim_node *n)
{
    if (n->round_due)
        return;
    n->round_due = true;
    sim_event(w, w->now + rng_between(&w->rng, 0, 30 * NS_PER_US), EV_ROUND, n->id, 0, 0, NULL);
}

static void call_snapshots(struct world *w, struct sim_node *n, int64_t after_ns)
{
    sim_event(w, w->now + after_ns + rng_between(&w->rng, 0, 100 * NS_PER_US), EV_SNAPSHOTS, n->id,
              ++n->snapshots, 0, NULL);
}

static void begin_sync(struct world *w, struct sim_node *n)
{
    int64_t cost = rng_between(&w->rng, w->prof.sync_min_ns, w->prof.sync_max_ns);

    if (n->syncing || !store_step_log_take(n->store))
        return;
    n->syncing = true;
    n->taken = n->flushed;
    n->last_taken = n->last_flushed;
    if (n->id == w->prof.slow_node)
        cost *= 10;
    if (w->now < n->slow_until)
        cost += w->prof.lease_ns / 20;
    if (w->now < n->hangs_until)
        cost += n->hangs_until - w->now;
    sim_event(w, w->now + cost, EV_SYNC_DONE, n->id, ++n->sync, 0, NULL);
}

void node_disk_heals(struct world *w, struct sim_node *n)
{
    n->slow_until = n->hangs_until = w->now;
    node_full_disk(n, false);
    if (n->up && n->syncing)
        sim_event(w, w->now + w->prof.sync_max_ns, EV_SYNC_DONE, n->id, ++n->sync, 0, NULL);
}

static bool died(struct world *w, struct sim_node *n)
{
    if (!n->dies)
        return false;
    node_crash(w, n);
    start_again(w, n);
    return true;
}

static void stopped(struct world *w, struct sim_node *n)
{
    sim_trace(w, "n%u stops", n->id);
    close_store(n);
    w->r.n_crashes++;
}

static void on_round(struct world *w, struct sim_node *n)
{
    int64_t wake_mono;
    bool busy;

    n->round_due = false;
    busy = store_step_round(n->store, &wake_mono);
    n->flushed = n->ballot;
    n->last_flushed = n->last;
    if (n->role == PAXOS_LEADER)
        check_support(w, n);
    if (died(w, n))
        return;
    if (n->stopping && store_step_retire(n->store) && !n->syncing) {
        stopped(w, n);
        return;
    }
    begin_sync(w, n);
    if (busy) {
        node_poke(w, n);
        return;
    }
    if (n->stopping && wake_mono > clock_mono(w, n) + NS_PER_MS)
        wake_mono = clock_mono(w, n) + NS_PER_MS;
    sim_event(w, clock_true_of_mono(n, wake_mono), EV_WAKE, n->id, ++n->wake, 0, NULL);
}

static void on_sync_done(struct world *w, struct sim_node *n)
{
    struct err err;
    enum status st = store_step_log_write(n->store, &err);

    if (died(w, n))
        return;
    if (st != ST_OK) {
        sim_event(w, w->now + FULL_RETRY_NS, EV_SYNC_DONE, n->id, ++n->sync, 0, NULL);
        return;
    }
    n->syncing = false;
    n->synced_at = w->now;
    n->synced = n->taken;
    n->last_synced = n->last_taken;
    begin_sync(w, n);
    node_poke(w, n);
}

static void on_upkeep(struct world *w, struct sim_node *n)
{
    int64_t pause = store_step_upkeep(n->store);

    if (died(w, n))
        return;
    sim_event(w, w->now + pause, EV_UPKEEP, n->id, 0, 0, NULL);
    node_poke(w, n); /* it may have asked for a truncation */
}

static void on_snapshots(struct world *w, struct sim_node *n)
{
    int64_t at = clock_true_of_mono(n, store_step_snapshots(n->store));

    if (died(w, n))
        return;
    /* Its waker is not heard here, so it is called often, where there may be something. */
    if (w->prof.lag_slots < LAG_NONE && at > w->now + SNAPSHOT_POLL_NS)
        at = w->now + SNAPSHOT_POLL_NS;
    call_snapshots(w, n, at - w->now);
    node_poke(w, n);
}

static void deliver(struct world *w, struct sim_node *n, const struct packet *p)
{
    struct rpc_msg m = {.from = p->from,
                        .type = p->type,
                        .has_time = true,
                        .earliest = p->time.earliest,
                        .latest = p->time.latest,
                        .received_mono_ns = clock_mono(w, n),
                        .payload = p->body};

    switch (p->kind) {
    case PACKET_STORE:
        store_step_deliver(n->store, &m);
        if (p->type >= STORE_RPC_SNAPSHOT)
            call_snapshots(w, n, 0);
        else
            node_poke(w, n);
        break;
    case PACKET_REQUEST:
        kv_request(w, n, p);
        break;
    case PACKET_REPLY:
        client_reply(w, &p->rep);
        break;
    }
}

void node_event(struct world *w, struct sim_node *n, const struct event *e)
{
    if (e->kind == EV_RESTART) {
        if (!n->up)
            node_start(w, n);
        return;
    }
    if (!n->up)
        return;
    switch (e->kind) {
    case EV_DELIVER:
        deliver(w, n, e->ptr);
        break;
    case EV_ROUND:
        on_round(w, n);
        break;
    case EV_WAKE:
        if (e->a == n->wake && !n->round_due)
            on_round(w, n);
        break;
    case EV_SYNC_DONE:
        if (e->a == n->sync)
            on_sync_done(w, n);
        break;
    case EV_UPKEEP:
        on_upkeep(w, n);
        break;
    case EV_SNAPSHOTS:
        if (e->a == n->snapshots)
            on_snapshots(w, n);
        break;
    case EV_STAMP:
        kv_stamp(w, n, e->ptr);
        break;
    case EV_READ:
        kv_read(w, n, e->a);
        break;
    case EV_STOPPED:
        node_crash(w, n);
        break;
    case EV_RESTART:
    case EV_CLIENT:
    case EV_FAULT:
    case EV_LINK:
    case EV_SPACE:
    case EV_HEAL:
        ASSERT(!"an event of the world");
        break;
    }
}
