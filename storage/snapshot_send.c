#include "base/check.h"
#include "storage/group_int.h"
#include "storage/snapshot_shell_int.h"

enum {
    OFFER_AGAIN_NS = 500 * NS_PER_MS,
    QUIET_NS = 2 * NS_PER_S, /* a receiver that is silent so long has perhaps begun a new life */
    PAUSE_NS = 1 * NS_PER_S  /* after a stream failed, before the next one to that node */
};

/* How long the receiver may be silent: it comes back after a broken connection. */
static const int64_t offer_max_ns = 5LL * NS_PER_S, silence_max_ns = 30LL * NS_PER_S;
/* What follows on a snapshot that is installed stays in the log that long, for the receiver to catch up. */
static const int64_t after_ns = 10LL * NS_PER_S;

static void say(struct snapshots *sh, const char *event, const char *why)
{
    const struct snapshot_send *s = &sh->send;

    log_event(sh->store->o.log, LOG_INFO, event, "group=%llu to=%u slot=%llu%s%s",
              (unsigned long long)s->group->number, s->to,
              (unsigned long long)snapshot_reader_head(s->reader)->slot, why != NULL ? " why=" : "",
              why != NULL ? why : "");
}

static void pause_node(struct snapshots *sh, node_id node, int64_t until_mono)
{
    size_t i = 0;

    pthread_mutex_lock(&sh->mu);
    while (i < SNAPSHOT_PAUSES && sh->pauses[i].node != node)
        i++;
    if (i == SNAPSHOT_PAUSES)
        i = sh->pause_at++ % SNAPSHOT_PAUSES;
    sh->pauses[i].node = node;
    sh->pauses[i].until_mono = until_mono;
    pthread_mutex_unlock(&sh->mu);
}

static void let_log_go(struct snapshots *sh)
{
    if (sh->after.group != NULL)
        atomic_store(&sh->after.group->snapshot_hold, 0);
    sh->after.group = NULL;
}

static void end(struct snapshots *sh, const char *why, bool done)
{
    struct snapshot_send *s = &sh->send;
    struct group *group;
    int64_t mono = store_mono(sh->store);

    if (s->group == NULL)
        return;
    say(sh, "snapshot.sent", why);
    let_log_go(sh);
    if (done) {
        metric_add(sh->store->m.snapshots_sent, 1);
        sh->after.group = s->group;
        sh->after.until_mono = mono + after_ns;
    } else {
        atomic_store(&s->group->snapshot_hold, 0);
    }
    /* It failed, or Paxos has yet to hear that it did not. */
    pause_node(sh, s->to, mono + PAUSE_NS);
    snapshot_reader_free(s->reader);
    group = s->group;
    *s = (struct snapshot_send){.next_mono = s->next_mono};
    atomic_store(&sh->sending, false);
    worker_call(sh->store->worker,
                group); /* another of its peers may wait; other groups look at heartbeats */
}

void send_stop(struct snapshots *sh)
{
    snapshot_reader_free(sh->send.reader);
    sh->send.reader = NULL;
}

/* An offer of the worker becomes the stream. */
static void take_offered(struct snapshots *sh, int64_t mono)
{
    struct snapshot_send offered;

    pthread_mutex_lock(&sh->mu);
    offered = sh->offered;
    sh->offered = (struct snapshot_send){0};
    pthread_mutex_unlock(&sh->mu);
    if (offered.group == NULL)
        return;
    ASSERT(sh->send.group == NULL);
    offered.next_mono = sh->send.next_mono;
    offered.stream = ++sh->n_streams;
    offered.heard_mono = mono;
    offered.offered_mono = 0;
    sh->send = offered;
    say(sh, "snapshot.offer", NULL);
}

static void offer(struct snapshots *sh, int64_t mono)
{
    struct snapshot_send *s = &sh->send;
    struct snapshot_msg m = {.kind = SNAPSHOT_OFFER,
                             .group = s->group->number,
                             .stream = s->stream,
                             .head = *snapshot_reader_head(s->reader)};

    s->offered_mono = mono;
    snapshot_send_msg(sh, s->to, &m);
}

/* The pace is kept over all streams: a chunk that has left moves the time of the next. */
static void serve(struct snapshots *sh, int64_t mono)
{
    struct snapshot_send *s = &sh->send;
    struct snapshot_limits limits = {.max_ns = sh->store->o.hand != NULL ? -1 : 0};
    struct snapshot_msg m = {
        .kind = SNAPSHOT_CHUNK, .group = s->group->number, .stream = s->stream};
    enum status st;
    struct err err;

    st = snapshot_read(s->reader, s->wanted, &limits, &m.chunk, &err);
    s->wanted = 0;
    if (st == ST_NOTFOUND) {
        m = (struct snapshot_msg){.kind = SNAPSHOT_END, .group = m.group, .stream = m.stream};
        m.why = SNAPSHOT_GONE;
        snapshot_send_msg(sh, s->to, &m);
        end(sh, "lost", false);
    } else if (st == ST_OK) {
        snapshot_send_msg(sh, s->to, &m);
        metric_add(sh->store->m.snapshot_bytes, (int64_t)sh->out.len);
        s->next_mono =
            (s->next_mono > mono ? s->next_mono : mono) +
            (int64_t)((double)sh->out.len * NS_PER_S / (double)sh->store->o.snapshot_bytes_per_s);
    } else if (st != ST_RETRY) {
        store_fatal(sh->store, &err);
    }
}

/* A receiver that knows the stream already takes no notice; one that restarted asks for the first chunk again, and
 * a new stream begins. */
static int64_t offer_at(const struct snapshot_send *s)
{
    int64_t quiet = s->heard_mono + QUIET_NS, again = s->offered_mono + OFFER_AGAIN_NS;

    if (!s->fetched)
        return again;
    return quiet > again ? quiet : again;
}

int64_t send_round(struct snapshots *sh, int64_t mono)
{
    struct snapshot_send *s = &sh->send;

    if (sh->after.group != NULL && mono >= sh->after.until_mono)
        let_log_go(sh);
    take_offered(sh, mono);
    if (s->group == NULL)
        return INT64_MAX;
    if (mono - s->heard_mono > (s->fetched ? silence_max_ns : offer_max_ns)) {
        end(sh, "silence", false);
        return mono;
    }
    if (s->wanted != 0 && mono >= s->next_mono)
        serve(sh, mono);
    if (s->group == NULL) /* that was its end */
        return mono;
    if (s->wanted != 0)
        return s->next_mono;
    if (mono >= offer_at(s))
        offer(sh, mono);
    return offer_at(s);
}

/* A replica whose tablet is not usable wants to begin anew. */
static void on_ask(struct snapshots *sh, node_id from, const struct snapshot_msg *m)
{
    struct group *g = store_group(sh->store, m->group);

    if (g == NULL)
        return;
    if (sh->send.group == g && sh->send.to == from && sh->send.fetched)
        end(sh, "asked anew", false);
    atomic_store(&g->snapshot_asked, from);
    worker_call(sh->store->worker, g);
}

static const char *name_of(enum snapshot_end why)
{
    switch (why) {
    case SNAPSHOT_DONE:
        return "done";
    case SNAPSHOT_BUSY:
        return "busy";
    case SNAPSHOT_REFUSED:
        return "refused";
    case SNAPSHOT_FAILED:
        return "failed";
    case SNAPSHOT_GONE:
        return "gone";
    }
    return "?";
}

void send_on_msg(struct snapshots *sh, node_id from, const struct snapshot_msg *m)
{
    struct snapshot_send *s = &sh->send;
    struct snapshot_msg gone = {
        .kind = SNAPSHOT_END, .group = m->group, .stream = m->stream, .why = SNAPSHOT_GONE};
    bool known = s->group != NULL && s->stream == m->stream && s->to == from;

    if (m->kind == SNAPSHOT_ASK) {
        on_ask(sh, from, m);
    } else if (m->kind == SNAPSHOT_END) {
        if (known)
            end(sh, name_of(m->why), m->why == SNAPSHOT_DONE);
    } else if (known) {
        s->fetched = true;
        s->heard_mono = store_mono(sh->store);
        s->wanted = m->seq;
    } else {
        snapshot_send_msg(sh, from, &gone);
    }
}
