#include <inttypes.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/rpc_int.h"

/* ---- life ---- */

static void bury(struct loop_ev *ev)
{
    struct conn *c = (struct conn *)((char *)ev - offsetof(struct conn, doom_ev)), **at;
    struct rpc *r = c->rpc;

    if (c->link != NULL)
        link_lost(c->link, c);
    r->ops->close(c);
    if (c->link == NULL) {
        for (at = &r->accepted; *at != c; at = &(*at)->next)
            ;
        *at = c->next;
        r->n_accepted--;
        pthread_mutex_lock(&r->in_mu);
        if (c->from != NULL && c->from->in[c->ch] == c)
            c->from->in[c->ch] = NULL;
        pthread_mutex_unlock(&r->in_mu);
    }
    /* A thread that took the connection off its link before we did is still inside a send. */
    while (atomic_load_explicit(&c->users, memory_order_acquire) > 0)
        mono_sleep_until(mono_now() + 20 * NS_PER_US);
    log_event(r->log, LOG_DEBUG, "rpc.closed", "side=%s peer=%u why=\"%s\"",
              c->link != NULL ? "dialled" : "accepted",
              c->link != NULL   ? c->link->peer->node
              : c->from != NULL ? c->from->node
                                : 0,
              c->why);
    chunk_free(c->chunk);
    buf_fini(&c->rx);
    buf_fini(&c->ctl);
    buf_fini(&c->ctl_wait);
    pthread_mutex_destroy(&c->tx_mu);
    r->ops->free(c);
}

void conn_init(struct conn *c, struct rpc *r, struct link *l)
{
    c->rpc = r;
    c->link = l;
    c->doom_ev.run = bury;
    c->ch = l != NULL ? l->ch : RPC_CONSENSUS;
    pthread_mutex_init(&c->tx_mu, NULL);
}

void conn_doom(struct conn *c, const char *why)
{
    if (atomic_exchange(&c->dead, true))
        return;
    atomic_store(&c->why, why);
    loop_post(&c->rpc->loop, &c->doom_ev);
}

void conn_adopt(struct conn *c)
{
    struct rpc *r = c->rpc;
    size_t max = RPC_STRANGERS_MAX + 2 * RPC_CHANNELS * r->n_peers;

    c->next = r->accepted;
    r->accepted = c;
    r->n_accepted++;
    c->adopted_at = mono_now();
    atomic_store(&c->last_rx, c->adopted_at);
    if (r->closing || r->n_accepted > max) {
        metric_add(r->n.refused, 1);
        conn_doom(c, "too many connections");
        return;
    }
    loop_wake_by(&r->loop, rpc_next_beat(RPC_CONSENSUS, c->adopted_at));
    r->ops->recv(c);
}

int64_t accepted_tick(struct rpc *r, int64_t now)
{
    for (struct conn *c = r->accepted; c != NULL; c = c->next) {
        /* A stranger may not buy time by sending a byte now and then. */
        bool greeted = c->greeted;
        int64_t alive = greeted ? c->last_rx : c->adopted_at;

        if (now - alive >= rpc_dead_ns(greeted ? c->ch : RPC_CONSENSUS))
            conn_doom(c, greeted ? "no sign of life" : "no hello");
    }
    return r->accepted == NULL ? INT64_MAX : rpc_next_beat(RPC_CONSENSUS, now);
}

/* ---- sending ---- */

static bool accepted_next(struct conn *c, struct bytes *out)
{
    bool some, last;

    pthread_mutex_lock(&c->tx_mu);
    buf_reset(&c->ctl);
    if (c->ctl_wait.len > 0) {
        buf_put(&c->ctl, c->ctl_wait.ptr, c->ctl_wait.len);
        buf_reset(&c->ctl_wait);
    } else if (c->pong_due) {
        size_t at = frame_begin(&c->ctl, FR_PONG);

        buf_put_u64(&c->ctl, c->pong_stamp);
        frame_end(&c->ctl, at);
        c->pong_due = false;
    }
    some = c->ctl.len > 0 && !c->dead;
    last = !some && c->doom_when_sent;
    c->sending = some;
    pthread_mutex_unlock(&c->tx_mu);
    if (last)
        conn_doom(c, "refused");
    if (some)
        *out = buf_bytes(&c->ctl);
    return some;
}

void conn_pump(struct conn *c)
{
    struct bytes out;

    atomic_store_explicit(&c->last_tx, mono_now(), memory_order_relaxed);
    while (c->link != NULL ? link_next(c, &out) : accepted_next(c, &out)) {
        metric_add(c->rpc->n.frames_sent, 1);
        metric_add(c->rpc->n.bytes_sent, (int64_t)out.len);
        if (c->rpc->ops->send(c, out) == SEND_PENDING)
            return;
    }
}

/* tx_mu is held by the caller and released here. */
static void accepted_kick_unlock(struct conn *c)
{
    bool idle = !c->sending;

    c->sending = true;
    pthread_mutex_unlock(&c->tx_mu);
    if (idle)
        conn_pump(c);
}

/* ---- receiving ---- */

static void complain(struct conn *c, const char *why)
{
    struct peer *p = c->link != NULL ? c->link->peer : c->from;

    /* The connection ends with it, so that there is one such line for each. */
    metric_add(c->rpc->n.bad_frames, 1);
    log_event(c->rpc->log, LOG_WARN, "rpc.malformed", "peer=%u side=%s why=\"%s\"",
              p != NULL ? p->node : 0, c->link != NULL ? "dialled" : "accepted", why);
    conn_doom(c, "malformed frame");
}

static enum status refuse(struct conn *c, const char *why, struct err *err)
{
    size_t at;

    metric_add(c->rpc->n.refused, 1);
    log_event(c->rpc->log, LOG_WARN, "rpc.refusing", "why=\"%s\"", why);
    pthread_mutex_lock(&c->tx_mu);
    at = frame_begin(&c->ctl_wait, FR_REFUSE);
    buf_put_bytes(&c->ctl_wait, bytes_str(why));
    frame_end(&c->ctl_wait, at);
    c->doom_when_sent = true;
    accepted_kick_unlock(c);
    return err_set(err, ST_NOTFOUND, SQLSTATE_PROTOCOL_VIOLATION, "%s", why);
}

struct hello {
    uint16_t wire_min, wire_max;
    struct bytes cluster;
    node_id node, to;
    uint64_t incarnation;
    uint8_t ch;
};

static const char *why_refused(struct rpc *r, const struct hello *h, struct peer *p)
{
    if (h->wire_min > RPC_WIRE_MAX || h->wire_max < RPC_WIRE_MIN || h->wire_min > h->wire_max)
        return "no common wire version";
    if (!bytes_eq(h->cluster, bytes_str(r->cluster)))
        return "another cluster";
    if (h->to != r->node)
        return "this address belongs to another node than the one dialled";
    if (p == NULL || p->self)
        return "unknown node";
    return NULL;
}

/* This incarnation of p is not older than any seen; in_mu held. */
static bool see_locked(struct peer *p, uint64_t incarnation)
{
    if (incarnation < p->seen_incarnation)
        return false;
    p->seen_incarnation = incarnation;
    return true;
}

static bool take_place(struct conn *c, struct peer *p, const struct hello *h)
{
    bool fresh;

    pthread_mutex_lock(&c->rpc->in_mu);
    fresh = see_locked(p, h->incarnation);
    if (fresh) {
        struct conn *old = p->in[h->ch];

        if (old != NULL) /* half dead: its owner would not dial again otherwise */
            conn_doom(old, "replaced by a newer connection");
        p->in[h->ch] = c;
        c->from = p;
        c->ch = (enum rpc_channel)h->ch;
        c->incarnation = h->incarnation;
    }
    pthread_mutex_unlock(&c->rpc->in_mu);
    return fresh;
}

static enum status on_hello(struct conn *c, struct bytes payload, struct err *err)
{
    struct rpc *r = c->rpc;
    struct rd rd = rd_of(payload);
    struct hello h = {.wire_min = rd_u16(&rd), .wire_max = rd_u16(&rd)};
    struct peer *p;
    const char *why;
    size_t at;

    h.cluster = rd_bytes(&rd);
    h.node = rd_u32(&rd);
    h.incarnation = rd_u64(&rd);
    h.to = rd_u32(&rd);
    h.ch = rd_u8(&rd);
    if (rd.bad || h.ch >= RPC_CHANNELS)
        return err_set(err, ST_REJECT, SQLSTATE_PROTOCOL_VIOLATION, "hello is malformed");
    p = rpc_find_peer(r, h.node);
    why = why_refused(r, &h, p);
    if (why == NULL && !take_place(c, p, &h))
        why = "a newer incarnation of this node was seen";
    if (why != NULL)
        return refuse(c, why, err);
    c->version = h.wire_max < RPC_WIRE_MAX ? h.wire_max : RPC_WIRE_MAX;
    c->greeted = true;
    pthread_mutex_lock(&c->tx_mu);
    at = frame_begin(&c->ctl_wait, FR_WELCOME);
    buf_put_u16(&c->ctl_wait, c->version);
    buf_put_u32(&c->ctl_wait, r->node);
    buf_put_u64(&c->ctl_wait, r->incarnation);
    frame_end(&c->ctl_wait, at);
    accepted_kick_unlock(c);
    for (int ch = 0; ch < RPC_CHANNELS; ch++)
        link_peer_seen(&p->link[ch], h.incarnation);
    return ST_OK;
}

static enum status on_ping(struct conn *c, struct bytes payload, struct err *err)
{
    struct rd rd = rd_of(payload);
    struct link *back = &c->from->link[c->ch];
    uint64_t stamp = rd_u64(&rd), echo = 0;
    int64_t held_ns = 0;

    if (rd_left(&rd) > 0) {
        echo = rd_u64(&rd);
        held_ns = (int64_t)rd_u64(&rd);
    }
    if (rd.bad)
        return err_set(err, ST_REJECT, SQLSTATE_PROTOCOL_VIOLATION, "ping is malformed");
    if (echo != 0)
        link_echoed(back, c->incarnation, echo, held_ns);
    if (c->version >= RPC_WIRE_ECHO && link_takes_echo(back, c->incarnation, stamp))
        return ST_OK;
    pthread_mutex_lock(&c->tx_mu);
    c->pong_due = true;
    c->pong_stamp = stamp;
    accepted_kick_unlock(c);
    return ST_OK;
}

static enum status on_welcome(struct conn *c, struct bytes payload, struct err *err)
{
    struct rd rd = rd_of(payload);
    uint16_t version = rd_u16(&rd);
    node_id node = rd_u32(&rd);
    uint64_t incarnation = rd_u64(&rd);
    bool fresh;

    if (rd.bad || version < RPC_WIRE_MIN || version > RPC_WIRE_MAX || node != c->link->peer->node)
        return err_set(err, ST_REJECT, SQLSTATE_PROTOCOL_VIOLATION,
                       "welcome is malformed: version %u node %u", version, node);
    pthread_mutex_lock(&c->rpc->in_mu);
    fresh = see_locked(c->link->peer, incarnation);
    pthread_mutex_unlock(&c->rpc->in_mu);
    if (!fresh)
        return err_set(err, ST_REJECT, SQLSTATE_PROTOCOL_VIOLATION,
                       "welcome of an old incarnation: %" PRIu64, incarnation);
    c->version = version;
    c->incarnation = incarnation;
    c->greeted = true;
    link_welcomed(c->link, c, incarnation);
    return ST_OK;
}

static enum status on_refuse(struct conn *c, struct bytes payload, struct err *err)
{
    struct rd rd = rd_of(payload);
    struct bytes why = rd_bytes(&rd);

    if (rd.bad)
        return err_set(err, ST_REJECT, SQLSTATE_PROTOCOL_VIOLATION, "refusal is malformed");
    link_refused(c->link, (const char *)why.ptr, why.len);
    conn_doom(c, "refused by the peer");
    return err_set(err, ST_NOTFOUND, SQLSTATE_PROTOCOL_VIOLATION, "refused");
}

static enum status on_pong(struct conn *c, struct bytes payload, struct err *err)
{
    struct rd rd = rd_of(payload);
    uint64_t stamp = rd_u64(&rd);

    if (rd.bad)
        return err_set(err, ST_REJECT, SQLSTATE_PROTOCOL_VIOLATION, "pong is malformed");
    link_echoed(c->link, c->incarnation, stamp, 0);
    return ST_OK;
}

/* ST_NOTFOUND: the connection is over, and that has been said already. */
static enum status on_frame(struct conn *c, const struct frame *f, struct err *err)
{
    bool dialled = c->link != NULL, greeted = c->greeted;

    metric_add(c->rpc->n.frames_received, 1);
    if (!dialled && !greeted && f->kind == FR_HELLO)
        return on_hello(c, f->payload, err);
    if (!dialled && greeted && f->kind == FR_PING)
        return on_ping(c, f->payload, err);
    if (!dialled && greeted && f->kind == FR_MESSAGES) {
        if (rpc_deliver(c->rpc, c->from, c->incarnation, f->payload))
            return ST_OK;
        return err_set(err, ST_REJECT, SQLSTATE_PROTOCOL_VIOLATION, "messages are malformed");
    }
    if (dialled && !greeted && f->kind == FR_WELCOME)
        return on_welcome(c, f->payload, err);
    if (dialled && !greeted && f->kind == FR_REFUSE)
        return on_refuse(c, f->payload, err);
    if (dialled && greeted && f->kind == FR_PONG)
        return on_pong(c, f->payload, err);
    return err_set(err, ST_REJECT, SQLSTATE_PROTOCOL_VIOLATION, "frame of kind %u %s", f->kind,
                   greeted ? "is unexpected" : "before the hello");
}

static size_t frame_limit(const struct conn *c)
{
    return c->link == NULL && c->greeted ? RPC_FRAME_MAX : RPC_HELLO_MAX;
}

bool conn_input(struct conn *c)
{
    enum { KEEP_BYTES = 1024 * 1024 };
    size_t at = 0;
    enum status st = ST_OK;
    struct frame f;
    struct err err;

    atomic_store_explicit(&c->last_rx, mono_now(), memory_order_relaxed);
    while (st == ST_OK && !c->dead) {
        st = frame_parse(bytes_of(c->rx.ptr + at, c->rx.len - at), frame_limit(c), &f, &err);
        if (st == ST_OK) {
            metric_add(c->rpc->n.bytes_received, (int64_t)f.size);
            at += f.size;
            st = on_frame(c, &f, &err);
        }
    }
    if (st == ST_REJECT)
        complain(c, err.msg);
    if (c->dead || (st != ST_OK && st != ST_RETRY))
        return false;
    if (at > 0 && at < c->rx.len)
        memmove(c->rx.ptr, c->rx.ptr + at, c->rx.len - at);
    c->rx.len -= at;
    if (c->rx.len == 0 && c->rx.cap > KEEP_BYTES)
        buf_fini(&c->rx);
    return true;
}

uint8_t *conn_room(struct conn *c, size_t *out_len)
{
    const size_t usual = frame_limit(c) == RPC_FRAME_MAX ? 64 * 1024 : 2 * RPC_HELLO_MAX;
    struct rd rd = rd_of(buf_bytes(&c->rx));
    /* The length was found to be within the limit, or there is no whole header yet. */
    size_t frame = c->rx.len >= FRAME_HEADER ? FRAME_HEADER + (size_t)rd_u32(&rd) : 0;
    size_t need = frame > c->rx.len ? frame - c->rx.len : 0;
    uint8_t *room = buf_reserve(&c->rx, need > usual ? need : usual);

    *out_len = c->rx.cap - c->rx.len;
    return room;
}
