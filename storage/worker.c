#include "storage/worker.h"

#include <stdlib.h>
#include <sys/prctl.h>

#include "base/check.h"
#include "base/clock.h"
#include "storage/clocks.h"
#include "storage/group_int.h"
#include "storage/roster.h"
#include "storage/store_int.h"

enum {
    RPC_BUNDLE = STORE_RPC_LO, /* u8 version, u64 tag of the sender's store (kin.h), then items */
    BUNDLE_VERSION = 2,
    ITEM_PAXOS = 1, /* an item: u8 kind, u32 length, encoded message */
    ITEM_SUPPORT = 2,
    ITEM_CLOCK = 3,
    ITEM_STRANGER =
        4, /* u64: this tag is not the one that the sender knows under the receiver's number */
    BUNDLE_MAX = 8 * 1024 * 1024, /* sent before it grows beyond; a larger message goes alone */
    INBOX_MAX = 64 * 1024 * 1024, /* more is dropped: consensus repairs */
    CPU_EVERY_NS = 20 * NS_PER_MS,
    IDLE_MAX_NS = 1 * NS_PER_S,
    LOOK_MIN_NS = 2 * NS_PER_MS,
    STOP_EXTRA_NS = 1 * NS_PER_S /* beyond the lease, for a clean stop */
};

enum stop { RUN, RETIRE, HALT };

/* In front of each message of the inbox. */
struct arrival {
    node_id from;
    uint32_t len;
    int64_t mono_ns;
    struct tt_interval theirs; /* the frame's; may be void */
    struct tt_interval at;     /* ours then, as the source said */
};

struct outbox {
    node_id node;
    /* Support between us as groups that rest know it. Epoch 0: there is none now. */
    uint64_t given_epoch, got_epoch;
    struct buf bundle[RPC_CHANNELS];
};

struct worker {
    struct store *store;     /* borrowed */
    struct support *support; /* owned */
    struct clocks *clocks;   /* owned */
    struct waker waker;
    pthread_t thread;
    bool started;
    atomic_int stop;
    pthread_mutex_t mu; /* lock 2: inbox */
    struct buf inbox;   /* guarded by mu: struct arrival and payload, again and again */

    /* The thread's. */
    struct roster roster; /* roster_call: any thread */
    struct buf reading;
    struct outbox peers[SUPPORT_PEERS_MAX];
    size_t n_peers;
    struct log_batch batch;
    uint64_t n_syncs_seen;
    int64_t support_wake_mono;
    bool support_moved;      /* groups must look at it */
    int64_t lapse_wake_mono; /* what a group that rests is bound by may lapse then */
    bool sync_asked;
    bool support_wanted; /* as support knows it */
    uint64_t n_marks;
    size_t n_resting_told;
    int64_t cpu_told_mono, stop_mono;
    struct paxos_entry entries[PAXOS_MSG_ENTRIES_MAX];
};

struct worker *worker_new(struct store *s, const node_id *peers, size_t n_peers, bool store_is_new)
{
    struct worker *w = xcalloc(1, sizeof *w);
    node_id others[SUPPORT_PEERS_MAX];
    int64_t mono;
    struct tt_interval now = store_now(s, &mono);
    struct support_options opts = {
        .self = s->o.node,
        .incarnation = s->identity.incarnation,
        .peers = others,
        .lease_ns = s->o.lease_ns,
        /* Two tries before a lease is over; and an idle node syncs its mark once a lease, no more. */
        .renew_ns = s->o.lease_ns * 3 / 8,
        .sync_age_max_ns = s->o.lease_ns * 2,
        .store_is_new = store_is_new,
        .longest_lease_ns = s->o.lease_ns,
        .bound_cap_ns = s->o.bound_cap_ns,
    };

    w->store = s;
    pthread_mutex_init(&w->mu, NULL);
    for (size_t i = 0; i < n_peers; i++) {
        if (peers[i] == s->o.node)
            continue;
        others[opts.n_peers++] = peers[i];
        w->peers[w->n_peers++].node = peers[i];
    }
    MUTANT_COPY(&opts, &s->o);
    w->support = support_new(&opts, now, mono);
    support_want(w->support, false);
    w->support_wake_mono = mono;
    w->clocks = clocks_new(s, others, opts.n_peers);
    return w;
}

struct waker *worker_waker(struct worker *w)
{
    return &w->waker;
}

struct support *worker_support(struct worker *w)
{
    return w->support;
}

struct clocks *worker_clocks(struct worker *w)
{
    return w->clocks;
}

struct log_batch *worker_batch(struct worker *w)
{
    return &w->batch;
}

/* Out. */

static void flush_outbox(struct worker *w, struct outbox *o, enum rpc_channel ch)
{
    struct buf *b = &o->bundle[ch];

    if (b->len == 0)
        return;
    if (w->store->o.hand != NULL)
        w->store->o.hand->send(w->store->o.hand->arg, o->node, ch, RPC_BUNDLE, buf_bytes(b));
    else if (w->store->rpc != NULL)
        rpc_send(w->store->rpc, o->node, ch, RPC_BUNDLE, buf_bytes(b));
    buf_reset(b);
}

/* Where an item of about `room` bytes for `to` goes; NULL if it is no peer. */
static struct buf *begin_item(struct worker *w, node_id to, enum rpc_channel ch, uint8_t kind,
                              size_t room)
{
    struct outbox *o = w->peers, *end = w->peers + w->n_peers;

    while (o < end && o->node != to)
        o++;
    if (o == end)
        return NULL;
    if (o->bundle[ch].len + room > BUNDLE_MAX)
        flush_outbox(w, o, ch);
    if (o->bundle[ch].len == 0) {
        buf_put_u8(&o->bundle[ch], BUNDLE_VERSION);
        buf_put_u64(&o->bundle[ch], kin_own_tag(w->store->kin));
    }
    buf_put_u8(&o->bundle[ch], kind);
    buf_put_u32(&o->bundle[ch], 0);
    return &o->bundle[ch];
}

static void end_item(struct buf *b, size_t at)
{
    buf_set_u32(b, at - 4, (uint32_t)(b->len - at));
}

void worker_send(struct worker *w, const struct paxos_msg *m)
{
    /* What a laggard catches up with must not delay a vote. */
    enum rpc_channel ch = m->kind == PAXOS_LOG ? RPC_BULK : RPC_CONSENSUS;
    struct buf *b;
    size_t room = 0, at;

    for (size_t i = 0; i < m->n_entries; i++)
        room += m->entries[i].payload.len + 32;
    b = begin_item(w, m->to, ch, ITEM_PAXOS, room);
    if (b == NULL)
        return;
    at = b->len;
    paxos_msg_encode(b, m);
    end_item(b, at);
    metric_add(w->store->m.messages_out, 1);
}

static void send_support(struct worker *w, const struct support_send *send)
{
    struct buf *b = begin_item(w, send->to, RPC_CONSENSUS, ITEM_SUPPORT, 64);
    size_t at;

    if (b == NULL)
        return;
    at = b->len;
    support_msg_encode(b, &send->msg);
    end_item(b, at);
    metric_add(w->store->m.messages_out, 1);
}

static void send_clocks(struct worker *w)
{
    node_id to;

    while ((to = clocks_next_due(w->clocks)) != 0) {
        struct buf *b = begin_item(w, to, RPC_CONSENSUS, ITEM_CLOCK, 4096);
        size_t at;

        if (b == NULL)
            continue;
        at = b->len;
        clocks_put_report(w->clocks, to, b);
        end_item(b, at);
        metric_add(w->store->m.messages_out, 1);
    }
}

/* Messages first: their way is longer than that of our own write. */
static void flush(struct worker *w)
{
    for (size_t i = 0; i < w->n_peers; i++)
        for (int ch = 0; ch < RPC_CHANNELS; ch++)
            flush_outbox(w, &w->peers[i], (enum rpc_channel)ch);
    if (w->batch.n_marks > 0 || w->batch.rows.len > 0)
        logwriter_put(w->store->logwriter, &w->batch);
}

/* In. */

void worker_deliver(void *arg, const struct rpc_msg *msg)
{
    struct worker *w = arg;
    struct arrival a = {msg->from, (uint32_t)msg->payload.len, msg->received_mono_ns, TT_VOID,
                        TT_VOID};
    bool wake = false;
    int64_t mono;

    if (msg->type != RPC_BUNDLE || msg->wants_reply)
        return;
    a.at = store_now_unjudged(w->store, &mono);
    if (msg->has_time)
        a.theirs = (struct tt_interval){msg->earliest, msg->latest};
    pthread_mutex_lock(&w->mu);
    if (w->inbox.len + sizeof a + msg->payload.len > INBOX_MAX) {
        metric_add(w->store->m.worker_drops, 1);
    } else {
        wake = w->inbox.len == 0;
        buf_put(&w->inbox, &a, sizeof a);
        buf_put(&w->inbox, msg->payload.ptr, msg->payload.len);
    }
    pthread_mutex_unlock(&w->mu);
    if (wake)
        waker_call(&w->waker);
}

static void step_support(struct worker *w, struct support_in *in)
{
    struct support_out out;

    in->now = store_now(w->store, &in->mono_ns);
    support_step(w->support, in, &out);
    for (size_t i = 0; i < out.n_send; i++)
        send_support(w, &out.send[i]);
    w->support_wake_mono = out.wake_mono_ns;
    if (out.want_sync && !w->sync_asked) {
        plog_add_mark(&w->batch.rows, ++w->n_marks);
        w->sync_asked = true;
    }
}

static bool on_paxos_item(struct worker *w, const struct arrival *a, struct rd *r)
{
    struct paxos_msg m;
    struct group *g;

    if (!paxos_msg_decode(r, &m, w->entries, PAXOS_MSG_ENTRIES_MAX) || rd_left(r) != 0)
        return false;
    if (m.from != a->from || m.to != w->store->o.node)
        return false;
    m.mono_ns = a->mono_ns;
    g = store_group(w->store, m.group);
    if (g != NULL) {
        roster_activate(&w->roster, g);
        group_on_message(g, &m);
    }
    return true;
}

static bool on_support_item(struct worker *w, const struct arrival *a, struct rd *r)
{
    struct support_in in = {.kind = SUPPORT_IN_MESSAGE};

    if (!support_msg_decode(r, &in.msg) || rd_left(r) != 0 || in.msg.from != a->from)
        return false;
    step_support(w, &in);
    w->support_moved = true;
    return true;
}

/* Somebody knows another store under our number: this one was wiped, or is a second one of that number. */
static bool on_stranger_item(struct worker *w, const struct arrival *a, struct rd *r)
{
    uint64_t tag = rd_u64(r);
    struct err err;

    if (r->bad || rd_left(r) != 0)
        return false;
    if (tag != kin_own_tag(w->store->kin))
        return true;
    (void)err_set(&err, ST_FATAL, SQLSTATE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                  "node %u knows another store as node %u; numbers are never used twice: let this "
                  "one join under a new number, and remove the old",
                  a->from, w->store->o.node); /* said by store_fatal */
    store_fatal(w->store, &err);
    return true;
}

static void refuse_stranger(struct worker *w, const struct arrival *a, uint64_t tag)
{
    struct buf *b = begin_item(w, a->from, RPC_CONSENSUS, ITEM_STRANGER, 16);
    size_t at;

    metric_add(w->store->m.strangers, 1);
    if (b == NULL)
        return;
    at = b->len;
    buf_put_u64(b, tag);
    end_item(b, at);
}

static bool on_bundle(struct worker *w, const struct arrival *a, struct bytes payload)
{
    struct rd r = rd_of(payload);
    uint64_t tag;

    if (rd_u8(&r) != BUNDLE_VERSION)
        return false;
    tag = rd_u64(&r);
    if (r.bad)
        return false;
    if (!kin_is(w->store->kin, a->from, tag, &w->batch.rows)) {
        refuse_stranger(w, a, tag);
        return true;
    }
    while (rd_left(&r) > 0) {
        uint8_t kind = rd_u8(&r);
        struct bytes body = rd_raw(&r, rd_u32(&r));
        struct rd item = rd_of(body);
        bool good = false;

        if (r.bad)
            return false;
        metric_add(w->store->m.messages_in, 1);
        if (kind == ITEM_PAXOS)
            good = on_paxos_item(w, a, &item);
        else if (kind == ITEM_SUPPORT)
            good = on_support_item(w, a, &item);
        else if (kind == ITEM_CLOCK)
            good = clocks_on_report(w->clocks, a->from, a->at, a->mono_ns, &item);
        else if (kind == ITEM_STRANGER)
            good = on_stranger_item(w, a, &item);
        if (!good)
            return false;
    }
    return true;
}

static void take_inbox(struct worker *w)
{
    struct buf t = w->reading;
    size_t at = 0;

    buf_reset(&t);
    pthread_mutex_lock(&w->mu);
    w->reading = w->inbox;
    w->inbox = t;
    pthread_mutex_unlock(&w->mu);
    while (at < w->reading.len) {
        struct arrival a;

        memcpy(&a, w->reading.ptr + at, sizeof a);
        at += sizeof a;
        clocks_heard(w->clocks, a.from, a.theirs, a.at, a.mono_ns);
        if (!on_bundle(w, &a, bytes_of(w->reading.ptr + at, a.len)))
            log_event(w->store->o.log, LOG_WARN, "store.malformed", "from=%u bytes=%u", a.from,
                      a.len);
        at += a.len;
    }
}

/* A round. */

static void sync_groups(struct worker *w)
{
    struct roster *r = &w->roster;
    size_t n = r->n_writing, kept = 0;

    for (size_t i = 0; i < n; i++) {
        struct group *g = r->writing[i];

        roster_activate(r, g);
        group_on_durable(g); /* it may write again: then it stays where it is */
        g->writing = g->durable_seen < g->write_last;
        if (g->writing)
            r->writing[kept++] = g;
    }
    r->n_writing = kept;
}

static void take_syncs(struct worker *w)
{
    uint64_t n = logwriter_syncs(w->store->logwriter);
    struct support_in in = {.kind = SUPPORT_IN_SYNCED};

    if (n == w->n_syncs_seen)
        return;
    sync_groups(w);
    w->n_syncs_seen = n;
    w->sync_asked = false;
    step_support(w, &in);
    w->support_moved = true; /* what was owed is given now */
}

/* Support of the other nodes is asked for by leaders and candidates alone. In one bundle with their first words:
 * the voters have given it when they promise. */
static void want_support(struct worker *w)
{
    struct support_in in = {.kind = SUPPORT_IN_TICK};
    bool wanted = w->roster.n_wanting > 0;

    if (wanted == w->support_wanted)
        return;
    w->support_wanted = wanted;
    support_want(w->support, wanted);
    step_support(w, &in);
}

/* Did support between us and this node begin, lapse, or change its epoch since the last look? */
static bool support_turned(struct worker *w, struct outbox *o, struct tt_interval now)
{
    uint64_t given = 0, got = 0;
    tstamp until;
    bool turned;

    if (!support_given(w->support, o->node, now, &given))
        given = 0;
    if (!support_received(w->support, o->node, &got, &until) || tt_passed(now, until))
        got = 0;
    turned = given != o->given_epoch || got != o->got_epoch;
    o->given_epoch = given;
    o->got_epoch = got;
    return turned;
}

/* When the first support that groups at rest are bound by may lapse. */
static void watch_lapse(struct worker *w, struct tt_interval now, int64_t mono)
{
    w->lapse_wake_mono = INT64_MAX;
    for (size_t i = 0; i < w->n_peers; i++) {
        const struct outbox *o = &w->peers[i];
        tstamp at;
        int64_t wake;

        if (o->given_epoch == 0)
            continue;
        at = support_lapses_at(w->support, o->node, o->given_epoch);
        /* It may have to pass by the monotonic clock as well: then look again, but do not spin. */
        wake = mono + (at > now.earliest + LOOK_MIN_NS ? at - now.earliest : LOOK_MIN_NS);
        if (!tt_is_void(now) && at != TSTAMP_MAX && wake < w->lapse_wake_mono)
            w->lapse_wake_mono = wake;
    }
}

/* Groups at rest sleep through everything but a turn of support between this node and another, which concerns
 * all those alike that have a replica there. */
static bool wake_resting(struct worker *w, bool all)
{
    int64_t mono;
    struct tt_interval now = store_now(w->store, &mono);
    bool turned = all;

    for (size_t i = 0; i < w->n_peers; i++)
        turned |= support_turned(w, &w->peers[i], now);
    watch_lapse(w, now, mono);
    for (size_t i = 0; turned && w->roster.n_resting > 0 && i < w->store->n_groups; i++)
        if (atomic_load_explicit(&w->store->groups[i]->resting, memory_order_relaxed))
            roster_activate(&w->roster, w->store->groups[i]);
    return turned;
}

/* `moved`: leases must be looked at. `judged`: what we think of our clock has changed. */
static void tick_groups(struct worker *w, bool moved, bool judged)
{
    struct roster *r = &w->roster;
    size_t n_asleep;
    struct group *g;

    if (moved || judged || store_mono(w->store) >= w->lapse_wake_mono) {
        if (wake_resting(w, judged))
            moved = true;
    }
    while (moved && (n_asleep = r->timers.n) > 0) {
        roster_activate(r, (struct group *)((char *)r->timers.heap[n_asleep - 1] -
                                            offsetof(struct group, timer)));
    }
    for (size_t i = 0; i < r->n_active; i++)
        group_tick(r->active[i], moved);
    while ((g = roster_next_called(r)) != NULL) {
        roster_activate(r, g);
        group_tick(g, g->view.rests); /* what it knows of its lease may be old */
    }
    while ((g = roster_next_due(r, store_mono(w->store))) != NULL)
        group_tick(g, false);
}

static void tick(struct worker *w)
{
    struct support_in in = {.kind = SUPPORT_IN_TICK};
    bool moved = w->support_moved, judged;

    if (store_mono(w->store) >= w->support_wake_mono) {
        step_support(w, &in);
        moved = true;
    }
    clocks_tick(w->clocks);
    judged = clocks_changed(w->clocks);
    w->support_moved = false;
    tick_groups(w, moved || judged, judged);
    want_support(w);
}

static void tell_cpu(struct worker *w, int64_t mono)
{
    if (mono - w->cpu_told_mono < CPU_EVERY_NS)
        return;
    w->cpu_told_mono = mono;
    metric_set(w->store->m.worker_cpu_ns, thread_cpu_ns());
}

/* What the active groups do next: true if one has more to do at once. */
static bool work_groups(struct worker *w)
{
    struct roster *r = &w->roster;
    size_t n = r->n_active, kept = 0;

    for (size_t i = 0; i < n; i++) {
        struct group *g = r->active[i];
        int64_t wake = group_work(g);

        if (group_is_busy(g))
            r->active[kept++] = g;
        else if (group_may_rest(g))
            roster_rest(r, g);
        else
            roster_sleep(r, g, wake);
    }
    ASSERT(r->n_active == n);
    r->n_active = kept;
    if (r->n_resting != w->n_resting_told) {
        w->n_resting_told = r->n_resting;
        metric_set(w->store->m.groups_resting, (int64_t)r->n_resting);
    }
    return kept > 0;
}

void worker_take(struct worker *w, struct group *g)
{
    roster_activate(&w->roster, g);
}

void worker_call(struct worker *w, struct group *g)
{
    roster_call(&w->roster, g);
    waker_call(&w->waker);
}

void worker_writes(struct worker *w, struct group *g)
{
    roster_writes(&w->roster, g);
}

void worker_wants(struct worker *w, int more)
{
    w->roster.n_wanting += more;
}

bool worker_round(struct worker *w, int64_t *out_wake_mono)
{
    bool busy;
    int64_t wake;

    metric_add(w->store->m.worker_rounds, 1);
    take_inbox(w);
    take_syncs(w);
    tick(w);
    for (size_t i = 0; i < w->roster.n_active; i++)
        group_output(w->roster.active[i]);
    send_clocks(w);
    flush(w);
    wake = w->support_wake_mono;
    if (clocks_wake_mono(w->clocks) < wake)
        wake = clocks_wake_mono(w->clocks);
    busy = work_groups(w);
    if (roster_wake(&w->roster) < wake)
        wake = roster_wake(&w->roster);
    if (w->roster.n_resting > 0 && w->lapse_wake_mono < wake)
        wake = w->lapse_wake_mono;
    flush(w);
    *out_wake_mono = wake;
    return busy;
}

bool worker_retire(struct worker *w)
{
    int64_t mono = store_mono(w->store);
    bool gone = true;

    if (w->stop_mono == 0)
        w->stop_mono = mono;
    for (size_t i = 0; i < w->store->n_groups; i++) {
        if (!group_gone(w->store->groups[i]))
            roster_activate(&w->roster, w->store->groups[i]);
        group_retire(w->store->groups[i]);
        gone &= group_gone(w->store->groups[i]);
    }
    flush(w);
    return gone || mono - w->stop_mono > w->store->o.lease_ns + STOP_EXTRA_NS;
}

void worker_abandon(struct worker *w)
{
    for (size_t i = 0; i < w->store->n_groups; i++)
        group_abandon(w->store->groups[i]);
}

static void *run(void *arg)
{
    struct worker *w = arg;
    int64_t wake, mono;

    pthread_setname_np(pthread_self(), "mrd-worker");
    (void)prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0); /* commit waits are short; best effort */
    while (!store_failed(w->store)) {
        bool busy = worker_round(w, &wake);
        int stop = atomic_load(&w->stop);

        if (stop == HALT || (stop == RETIRE && worker_retire(w)))
            break;
        mono = mono_now();
        tell_cpu(w, mono);
        if (stop == RETIRE && wake > mono + NS_PER_MS)
            wake = mono + NS_PER_MS;
        if (wake > mono + IDLE_MAX_NS)
            wake = mono + IDLE_MAX_NS;
        if (!busy && wake > mono)
            waker_wait(&w->waker, wake - mono);
    }
    worker_abandon(w);
    return NULL;
}

void worker_start(struct worker *w)
{
    store_thread(&w->thread, run, w);
    w->started = true;
}

static void end(struct worker *w, enum stop how)
{
    atomic_store(&w->stop, how);
    waker_call(&w->waker);
    if (w->started)
        pthread_join(w->thread, NULL);
    w->started = false;
}

void worker_stop(struct worker *w)
{
    end(w, RETIRE);
}

void worker_halt(struct worker *w)
{
    end(w, HALT);
}

void worker_free(struct worker *w)
{
    if (w == NULL)
        return;
    ASSERT(!w->started);
    support_free(w->support);
    clocks_free(w->clocks);
    log_batch_fini(&w->batch);
    roster_fini(&w->roster);
    buf_fini(&w->inbox);
    buf_fini(&w->reading);
    for (size_t i = 0; i < w->n_peers; i++)
        for (int ch = 0; ch < RPC_CHANNELS; ch++)
            buf_fini(&w->peers[i].bundle[ch]);
    pthread_mutex_destroy(&w->mu);
    free(w);
}
