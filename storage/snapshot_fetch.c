#include "base/check.h"
#include "storage/group_int.h"
#include "storage/snapshot_shell_int.h"
#include "storage/upkeep.h"

enum {
    FETCH_AGAIN_NS = 1 * NS_PER_S,
    RETRY_NS = 200 * NS_PER_MS, /* a full disk, a checkpoint that failed */
    ASK_NS = 1 * NS_PER_S
};

static const int64_t silence_max_ns = 30LL * NS_PER_S;

static void send_end(struct snapshots *sh, node_id to, group_id group, uint64_t stream,
                     enum snapshot_end why)
{
    struct snapshot_msg m = {.kind = SNAPSHOT_END, .group = group, .stream = stream, .why = why};

    snapshot_send_msg(sh, to, &m);
}

/* One step of installing; tests stop the node at each. */
static bool freezes(struct snapshots *sh)
{
    if (FAULT(sh->store->o.faults, "snapshot.step"))
        sh->frozen = true;
    return sh->frozen;
}

/* The stream is over. If the tablet was touched it stays with this thread, which asks for another. */
static void forget(struct snapshots *sh)
{
    struct snapshot_fetch *f = &sh->fetch;

    snapshot_install_free(f->install);
    f->install = NULL;
    f->state = FETCH_NONE;
    f->group = NULL;
}

void fetch_stop(struct snapshots *sh)
{
    forget(sh);
    buf_fini(&sh->fetch.head);
    buf_fini(&sh->fetch.chunk);
}

static void give_up(struct snapshots *sh, enum snapshot_end why, const char *event,
                    const struct err *err)
{
    struct snapshot_fetch *f = &sh->fetch;

    log_event(sh->store->o.log, LOG_WARN, event, "group=%llu from=%u %s",
              (unsigned long long)f->group->number, f->from, err != NULL ? err->msg : "");
    send_end(sh, f->from, f->group->number, f->stream, why);
    forget(sh);
}

static void fetch(struct snapshots *sh, uint64_t seq)
{
    struct snapshot_fetch *f = &sh->fetch;
    struct snapshot_msg m = {
        .kind = SNAPSHOT_FETCH, .group = f->group->number, .stream = f->stream, .seq = seq};

    f->sent_mono = store_mono(sh->store);
    snapshot_send_msg(sh, f->from, &m);
}

/* What to do about an error of the engine. True: the same again later. */
static bool waits(struct snapshots *sh, enum status st, const struct err *err)
{
    if (st == ST_FATAL) {
        store_fatal(sh->store, err);
        return true;
    }
    if (store_is_disk_full(st, err))
        store_set_full(sh->store, STORE_FULL_APPLY, err);
    else if (st != ST_RETRY)
        return false;
    sh->fetch.retry_mono = store_mono(sh->store) + RETRY_NS;
    return true;
}

/* Steps. */

static void begin(struct snapshots *sh)
{
    struct snapshot_fetch *f = &sh->fetch;
    struct rd r = rd_of(buf_bytes(&f->head));
    struct snapshot_head head;
    enum status st;
    struct err err;
    bool good = snapshot_head_decode(&r, &head);

    ASSERT(good); /* it was when it came */
    if (freezes(sh))
        return;
    st = snapshot_begin(f->group->tablet, &head, &f->install, &err);
    if (st == ST_OK) {
        f->state = FETCH_GOING;
        f->heard_mono = store_mono(sh->store);
        fetch(sh, 1);
    } else if (!waits(sh, st, &err)) {
        if (tablet_usable(f->group->tablet)) /* nothing was touched */
            group_install_end(f->group, false);
        give_up(sh, SNAPSHOT_REFUSED, "snapshot.refused", &err);
    }
}

static void look_for_tablet(struct snapshots *sh)
{
    struct snapshot_fetch *f = &sh->fetch;

    switch (group_install_state(f->group)) {
    case GROUP_INSTALL_GRANTED:
        begin(sh);
        break;
    case GROUP_INSTALL_REFUSED:
        group_install_end(f->group, false);
        give_up(sh, SNAPSHOT_REFUSED, "snapshot.refused", NULL);
        break;
    case GROUP_INSTALL_ASKED: /* the worker wakes this thread */
        break;
    case GROUP_INSTALL_NONE:
    case GROUP_INSTALL_READY:
        ASSERT(false);
    }
}

static void put(struct snapshots *sh)
{
    struct snapshot_fetch *f = &sh->fetch;
    struct rd r = rd_of(buf_bytes(&f->chunk));
    struct snapshot_chunk c;
    bool finished = false, good = snapshot_chunk_decode(&r, &c);
    enum status st;
    struct err err;

    ASSERT(good); /* it was when it came */
    if (freezes(sh))
        return;
    st = snapshot_put(f->install, &c, &finished, &err);
    f->state = FETCH_GOING;
    if (st == ST_OK) {
        store_set_full(sh->store, STORE_FULL_APPLY, NULL);
        if (finished)
            f->state = FETCH_CHECKPOINT;
    } else if (waits(sh, st, &err)) {
        f->state = FETCH_PUTTING;
    } else {
        give_up(sh, SNAPSHOT_FAILED, "snapshot.failed", &err);
    }
}

/* The data is durable before the log may lose what led there. */
static void make_durable(struct snapshots *sh)
{
    struct snapshot_fetch *f = &sh->fetch;
    struct group *g = f->group;
    struct err err;
    enum status st;

    if (freezes(sh))
        return;
    st = upkeep_checkpoint(sh->store->upkeep, &err);
    if (st != ST_OK) {
        if (!waits(sh, st, &err))
            f->retry_mono = store_mono(sh->store) + RETRY_NS;
        return;
    }
    if (freezes(sh))
        return;
    log_event(sh->store->o.log, LOG_INFO, "snapshot.installed", "group=%llu from=%u slot=%llu",
              (unsigned long long)g->number, f->from,
              (unsigned long long)tablet_applied(g->tablet));
    metric_add(sh->store->m.snapshots_installed, 1);
    send_end(sh, f->from, g->number, f->stream, SNAPSHOT_DONE);
    forget(sh);
    group_install_end(g, true);
}

/* Tablets that a crash, or a stream that broke off, has left without state. */
static void ask(struct snapshots *sh, int64_t mono)
{
    struct store *s = sh->store;

    if (mono - sh->asked_mono < ASK_NS)
        return;
    sh->asked_mono = mono;
    for (size_t i = 0; i < s->n_groups; i++) {
        struct group *g = s->groups[i];
        struct snapshot_msg m = {.kind = SNAPSHOT_ASK, .group = g->number};
        node_id leader = group_leader(g);

        if (group_install_state(g) != GROUP_INSTALL_GRANTED || leader == 0 || leader == s->o.node)
            continue;
        snapshot_send_msg(sh, leader, &m);
        return; /* one at a time */
    }
}

int64_t fetch_round(struct snapshots *sh, int64_t mono)
{
    struct snapshot_fetch *f = &sh->fetch;

    if (f->state == FETCH_NONE) {
        ask(sh, mono);
        return INT64_MAX;
    }
    if (f->retry_mono > mono)
        return f->retry_mono;
    f->retry_mono = 0;
    if (f->state == FETCH_ASKED)
        look_for_tablet(sh);
    if (f->state == FETCH_PUTTING)
        put(sh);
    if (f->state == FETCH_CHECKPOINT && !sh->frozen)
        make_durable(sh);
    if (f->state == FETCH_GOING && mono - f->heard_mono > silence_max_ns)
        give_up(sh, SNAPSHOT_FAILED, "snapshot.silence", NULL);
    else if (f->state == FETCH_GOING && mono - f->sent_mono >= FETCH_AGAIN_NS)
        fetch(sh, snapshot_next(f->install));
    if (f->retry_mono != 0)
        return f->retry_mono;
    return f->state == FETCH_GOING ? f->sent_mono + FETCH_AGAIN_NS : INT64_MAX;
}

/* Messages. */

static void on_offer(struct snapshots *sh, node_id from, const struct snapshot_msg *m)
{
    struct snapshot_fetch *f = &sh->fetch;
    struct group *g = store_group(sh->store, m->group);

    if (f->state != FETCH_NONE) {
        if (f->from != from || f->stream != m->stream)
            send_end(sh, from, m->group, m->stream, SNAPSHOT_BUSY);
        return; /* the same once more: the first FETCH is lost, and is said again */
    }
    if (g == NULL || !group_install_ask(g, m->head.slot)) {
        send_end(sh, from, m->group, m->stream, SNAPSHOT_REFUSED);
        return;
    }
    f->state = FETCH_ASKED;
    f->group = g;
    f->from = from;
    f->stream = m->stream;
    f->retry_mono = 0;
    buf_reset(&f->head);
    snapshot_head_encode(&f->head, &m->head);
    look_for_tablet(sh);
}

/* The next one is under way while this one is written. */
static void on_chunk(struct snapshots *sh, const struct snapshot_msg *m)
{
    struct snapshot_fetch *f = &sh->fetch;

    if (f->state != FETCH_GOING || m->chunk.seq != snapshot_next(f->install))
        return; /* late, or twice */
    f->heard_mono = store_mono(sh->store);
    if (!m->chunk.last)
        fetch(sh, m->chunk.seq + 1);
    buf_reset(&f->chunk);
    snapshot_chunk_encode(&f->chunk, &m->chunk);
    put(sh);
}

void fetch_on_msg(struct snapshots *sh, node_id from, const struct snapshot_msg *m)
{
    struct snapshot_fetch *f = &sh->fetch;

    if (m->kind == SNAPSHOT_OFFER) {
        on_offer(sh, from, m);
        return;
    }
    if (f->state == FETCH_NONE || f->from != from || f->stream != m->stream)
        return;
    if (m->kind == SNAPSHOT_CHUNK)
        on_chunk(sh, m);
    else if (f->install != NULL && f->state == FETCH_GOING)
        give_up(sh, SNAPSHOT_FAILED, "snapshot.gone", NULL);
}
