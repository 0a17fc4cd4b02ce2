#include "base/rpc.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/rpc_int.h"

/* ---- opening and closing ---- */

static void make_counters(struct rpc *r, struct metrics *m)
{
    static const struct {
        const char *name, *help;
        size_t at;
    } def[] = {
#define COUNTER(field, name, help) {name, help, offsetof(struct rpc_counters, field)}
        COUNTER(frames_sent, "meridian_rpc_frames_sent_total", "Frames sent to other nodes."),
        COUNTER(frames_received, "meridian_rpc_frames_received_total", "Frames received."),
        COUNTER(messages_sent, "meridian_rpc_messages_sent_total", "Messages queued for nodes."),
        COUNTER(messages_received, "meridian_rpc_messages_received_total", "Messages received."),
        COUNTER(bytes_sent, "meridian_rpc_bytes_sent_total", "Bytes of frames sent."),
        COUNTER(bytes_received, "meridian_rpc_bytes_received_total", "Bytes of frames received."),
        COUNTER(dropped_down, "meridian_rpc_dropped_down_total",
                "One-way messages and answers dropped for want of a connection."),
        COUNTER(dropped_full, "meridian_rpc_dropped_full_total",
                "One-way messages and answers dropped because a queue was full or they too large."),
        COUNTER(dropped_fault, "meridian_rpc_dropped_fault_total",
                "Messages lost by an injected fault."),
        COUNTER(bad_frames, "meridian_rpc_bad_frames_total",
                "Malformed frames; each closed its connection."),
        COUNTER(refused, "meridian_rpc_refused_total", "Connections refused."),
        COUNTER(reconnects, "meridian_rpc_connections_lost_total", "Working connections lost."),
        COUNTER(unhandled, "meridian_rpc_unhandled_total", "Messages of a type nobody handles."),
        COUNTER(late_replies, "meridian_rpc_late_replies_total",
                "Answers to calls that had ended already."),
        COUNTER(
            clock_contradictions, "meridian_rpc_clock_contradictions_total",
            "Frames whose sender's earliest time lay after our latest: a clock broke its bound."),
#undef COUNTER
    };

    for (size_t i = 0; i < sizeof def / sizeof *def; i++) {
        struct metric *c = metrics_counter(m, def[i].name, def[i].help);

        memcpy((char *)&r->n + def[i].at, &c, sizeof c);
    }
}

static struct peer *peer_new(struct rpc *r, node_id node, const char *addr)
{
    struct peer *p = xcalloc(1, sizeof *p);

    p->node = node;
    p->self = addr == NULL;
    p->addr = addr == NULL ? NULL : xstrdup(addr);
    p->rtt_ns = p->self ? 0 : -1;
    for (int ch = 0; ch < RPC_CHANNELS; ch++)
        link_init(&p->link[ch], r, p, (enum rpc_channel)ch);
    return p;
}

static int64_t tick(void *arg, int64_t now)
{
    struct rpc *r = arg;
    int64_t next = accepted_tick(r, now);

    for (size_t i = 0; i < r->n_peers; i++)
        for (int ch = 0; ch < RPC_CHANNELS; ch++) {
            int64_t at = link_tick(&r->peers[i]->link[ch], now);

            next = at < next ? at : next;
        }
    return next;
}

static struct rpc *rpc_make(const struct rpc_options *opts)
{
    struct rpc *r = xcalloc(1, sizeof *r);

    r->hub = opts->hub;
    r->ops = opts->hub != NULL ? &rpc_mem_transport : &rpc_nng_transport;
    r->cluster = xstrdup(opts->cluster);
    r->node = opts->node;
    r->incarnation = opts->incarnation;
    r->log = opts->log;
    r->now = opts->now;
    r->now_arg = opts->now_arg;
    if (opts->metrics == NULL)
        r->own_metrics = metrics_new();
    make_counters(r, opts->metrics != NULL ? opts->metrics : r->own_metrics);
    pthread_mutex_init(&r->in_mu, NULL);
    loop_init(&r->loop, tick, r);
    r->peers = xcalloc(opts->n_peers + 1, sizeof *r->peers);
    for (size_t i = 0; i < opts->n_peers; i++)
        if (opts->peers[i].node != opts->node)
            r->peers[r->n_peers++] = peer_new(r, opts->peers[i].node, opts->peers[i].addr);
    r->peers[r->n_peers++] = peer_new(r, opts->node, NULL);
    return r;
}

static enum status check_options(const struct rpc_options *opts, struct err *err)
{
    enum { NAME_MAX_LEN = 255 };

    if (opts->node == 0 || opts->incarnation == 0)
        return err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                       "node and incarnation must be above 0");
    if (opts->cluster == NULL || *opts->cluster == '\0' || strlen(opts->cluster) > NAME_MAX_LEN)
        return err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                       "the cluster's name must have 1 to %d bytes", NAME_MAX_LEN);
    for (size_t i = 0; i < opts->n_peers; i++)
        for (size_t k = 0; k <= i; k++) {
            if (opts->peers[i].node == 0 || opts->peers[i].addr == NULL)
                return err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                               "peer %zu has no node or no address", i);
            if (k < i && opts->peers[k].node == opts->peers[i].node)
                return err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                               "node %u is named twice", opts->peers[i].node);
        }
    return ST_OK;
}

enum status rpc_open(const struct rpc_options *opts, struct rpc **out, struct err *err)
{
    enum status st = ST_OK;
    struct rpc *r = NULL;

    TRY(check_options(opts, err));
    r = rpc_make(opts);
    TRY(r->ops->open(r, opts, err));
    *out = r;
out:
    if (st != ST_OK)
        rpc_close(r);
    return st;
}

void rpc_register(struct rpc *r, uint16_t type_lo, uint16_t type_hi, rpc_handler fn, void *arg)
{
    ASSERT(!r->loop.started && r->n_handlers < RPC_HANDLERS_MAX && type_lo <= type_hi);
    for (size_t i = 0; i < r->n_handlers; i++)
        ASSERT(type_hi < r->handlers[i].lo || type_lo > r->handlers[i].hi);
    r->handlers[r->n_handlers++] = (struct handler){type_lo, type_hi, fn, arg};
}

void rpc_start(struct rpc *r)
{
    loop_start(&r->loop);
    r->ops->start(r);
}

/* Dooms what is open; true if there was anything. */
static bool doom_all(struct rpc *r)
{
    bool any = r->accepted != NULL;

    for (struct conn *c = r->accepted; c != NULL; c = c->next)
        conn_doom(c, "closing");
    for (size_t i = 0; i < r->n_peers; i++)
        for (int ch = 0; ch < RPC_CHANNELS; ch++)
            any = link_close(&r->peers[i]->link[ch]) || any;
    return any;
}

static void free_peers(struct rpc *r)
{
    for (size_t i = 0; i < r->n_peers; i++) {
        free(r->peers[i]->addr);
        free(r->peers[i]);
    }
    free(r->peers);
}

void rpc_close(struct rpc *r)
{
    bool busy = true;

    if (r == NULL)
        return;
    r->closing = true;
    loop_stop(&r->loop);
    /* From here on this thread is the loop. */
    r->ops->stop(r);
    while (busy) {
        busy = doom_all(r);
        busy = loop_drain(&r->loop) || busy;
    }
    for (size_t i = 0; i < r->n_peers; i++)
        for (int ch = 0; ch < RPC_CHANNELS; ch++)
            link_end_calls(&r->peers[i]->link[ch]);
    while (loop_drain(&r->loop))
        ; /* what those calls' callers began in answer */
    r->ops->fini(r);
    for (size_t i = 0; i < r->n_peers; i++)
        for (int ch = 0; ch < RPC_CHANNELS; ch++)
            link_fini(&r->peers[i]->link[ch]);
    free_peers(r);
    loop_fini(&r->loop);
    pthread_mutex_destroy(&r->in_mu);
    metrics_free(r->own_metrics);
    free(r->cluster);
    free(r);
}

/* ---- sending ---- */

struct peer *rpc_find_peer(struct rpc *r, node_id node)
{
    for (size_t i = 0; i < r->n_peers; i++)
        if (r->peers[i]->node == node)
            return r->peers[i];
    return NULL;
}

static void count_put(struct rpc *r, enum enqueued done)
{
    switch (done) {
    case ENQ_OK:
        metric_add(r->n.messages_sent, 1);
        break;
    case ENQ_DOWN:
        metric_add(r->n.dropped_down, 1);
        break;
    case ENQ_FULL:
        metric_add(r->n.dropped_full, 1);
        break;
    }
}

void rpc_send(struct rpc *r, node_id to, enum rpc_channel ch, uint16_t type, struct bytes payload)
{
    struct peer *p = rpc_find_peer(r, to);

    if (p == NULL)
        count_put(r, ENQ_DOWN);
    else if (payload.len > RPC_MESSAGE_MAX)
        count_put(r, ENQ_FULL);
    else
        count_put(r, link_put(&p->link[ch], MSG_ONEWAY, type, 0, payload, 0));
}

void rpc_call(struct rpc *r, node_id to, enum rpc_channel ch, uint16_t type, struct bytes payload,
              int64_t deadline_mono_ns, struct rpc_done done)
{
    struct peer *p = rpc_find_peer(r, to);

    if (p == NULL) {
        link_call_nobody(r, to, done); /* ST_RETRY: the map of nodes may be newer elsewhere */
        return;
    }
    metric_add(r->n.messages_sent, 1);
    link_call(&p->link[ch], type, payload, deadline_mono_ns, done);
}

static void put_error(struct buf *b, const struct err *err, enum status st)
{
    buf_put_u8(b, (uint8_t)st);
    buf_put(b, err->sqlstate, 5);
    buf_put_u32(b, (uint32_t)err->position);
    buf_put_bytes(b, bytes_str(err->msg));
    buf_put_bytes(b, bytes_str(err->detail));
    buf_put_bytes(b, bytes_str(err->hint));
}

static void get_text(struct rd *rd, char *out, size_t size)
{
    struct bytes text = rd_bytes(rd);
    size_t n = text.len < size ? text.len : size - 1;

    if (n > 0)
        memcpy(out, text.ptr, n);
    out[n] = '\0';
}

static bool get_error(struct bytes payload, struct err *out)
{
    struct rd rd = rd_of(payload);
    uint8_t st = rd_u8(&rd);
    struct bytes code = rd_raw(&rd, 5);
    uint32_t position = rd_u32(&rd);

    if (rd.bad || st == ST_OK || st > ST_FATAL)
        return false;
    err_clear(out);
    (void)err_set(out, (enum status)st, SQLSTATE_INTERNAL_ERROR, "from another node");
    memcpy(out->sqlstate, code.ptr, 5);
    out->position = position <= INT32_MAX ? (int)position : 0;
    get_text(&rd, out->msg, sizeof out->msg);
    get_text(&rd, out->detail, sizeof out->detail);
    get_text(&rd, out->hint, sizeof out->hint);
    return !rd.bad;
}

void rpc_reply(struct rpc *r, struct rpc_token token, enum status st, struct bytes payload,
               const struct err *err)
{
    struct peer *p = rpc_find_peer(r, token.peer);
    enum msg_kind kind = MSG_REPLY;
    struct buf coded = {0};
    struct err own;

    ASSERT(p != NULL);
    if (st == ST_OK && payload.len > RPC_MESSAGE_MAX) {
        st = err_set(&own, ST_UNKNOWN, SQLSTATE_PROGRAM_LIMIT_EXCEEDED,
                     "the answer of %zu bytes is too large for one message", payload.len);
        err = &own;
    } else if (st != ST_OK && err == NULL) {
        (void)err_set(&own, st, SQLSTATE_INTERNAL_ERROR, "node %u says %s without a reason",
                      r->node, status_name(st));
        err = &own;
    }
    if (st != ST_OK) {
        kind = MSG_ERROR;
        put_error(&coded, err, st);
        payload = buf_bytes(&coded);
    }
    count_put(r,
              link_put(&p->link[token.call & 1], kind, 0, token.call, payload, token.incarnation));
    buf_fini(&coded);
}

/* ---- delivery ---- */

void rpc_seal(struct rpc *r, struct chunk *chunk)
{
    int64_t earliest = 0, latest = 0;
    bool has = r->now != NULL && r->now(r->now_arg, &earliest, &latest);
    struct buf *b = &chunk->buf;
    size_t at = FRAME_HEADER;

    buf_set_u32(b, at, (uint32_t)r->incarnation);
    buf_set_u32(b, at + 4, (uint32_t)(r->incarnation >> 32));
    b->ptr[at + 8] = has;
    buf_set_u32(b, at + 9, (uint32_t)earliest);
    buf_set_u32(b, at + 13, (uint32_t)((uint64_t)earliest >> 32));
    buf_set_u32(b, at + 17, (uint32_t)latest);
    buf_set_u32(b, at + 21, (uint32_t)((uint64_t)latest >> 32));
    frame_end(b, 0);
}

static const struct handler *find_handler(const struct rpc *r, uint16_t type)
{
    for (size_t i = 0; i < r->n_handlers; i++)
        if (type >= r->handlers[i].lo && type <= r->handlers[i].hi)
            return &r->handlers[i];
    return NULL;
}

static void handle(struct rpc *r, const struct rpc_msg *msg)
{
    const struct handler *h = find_handler(r, msg->type);
    struct err err;

    if (h != NULL) {
        h->fn(h->arg, msg);
        return;
    }
    metric_add(r->n.unhandled, 1);
    if (msg->wants_reply) {
        enum status st = err_set(&err, ST_REJECT, SQLSTATE_FEATURE_NOT_SUPPORTED,
                                 "node %u does not handle messages of type %u", r->node, msg->type);

        rpc_reply(r, msg->token, st, bytes_of(NULL, 0), &err);
    }
}

static bool answer(struct rpc *r, struct peer *from, uint8_t kind, uint64_t call,
                   struct bytes payload)
{
    struct rpc_done done;
    struct err err;

    if (kind == MSG_ERROR && !get_error(payload, &err))
        return false;
    if (!link_answered(&from->link[call & 1], call, &done))
        metric_add(r->n.late_replies, 1);
    else if (kind == MSG_REPLY)
        done.fn(done.arg, ST_OK, payload, NULL);
    else
        done.fn(done.arg, err.st, bytes_of(NULL, 0), &err);
    return true;
}

/* One message; msg holds what is common to all of the frame. False: malformed. */
static bool deliver_one(struct rpc *r, struct peer *from, struct rpc_msg *msg, struct rd *rd)
{
    uint8_t kind = rd_u8(rd);
    uint64_t call;

    msg->type = rd_u16(rd);
    call = kind == MSG_ONEWAY ? 0 : rd_u64(rd);
    msg->payload = rd_bytes(rd);
    if (rd->bad || kind > MSG_ERROR)
        return false;
    if (kind == MSG_VOID)
        return true; /* taken back by the sender before it left */
    metric_add(r->n.messages_received, 1);
    if (kind == MSG_REPLY || kind == MSG_ERROR)
        return answer(r, from, kind, call, msg->payload);
    msg->wants_reply = kind == MSG_CALL;
    msg->token = (struct rpc_token){msg->from, msg->incarnation, call};
    handle(r, msg);
    return true;
}

static void judge_clock(struct rpc *r, const struct rpc_msg *msg)
{
    int64_t earliest, latest;

    if (msg->has_time && r->now != NULL && r->now(r->now_arg, &earliest, &latest) &&
        msg->earliest > latest)
        metric_add(r->n.clock_contradictions, 1);
}

bool rpc_deliver(struct rpc *r, struct peer *from, uint64_t incarnation, struct bytes payload)
{
    struct rd rd = rd_of(payload);
    struct rpc_msg msg = {.from = from->node, .incarnation = rd_u64(&rd)};

    msg.has_time = rd_u8(&rd) != 0;
    msg.earliest = (int64_t)rd_u64(&rd);
    msg.latest = (int64_t)rd_u64(&rd);
    if (rd.bad || msg.incarnation != incarnation || (msg.has_time && msg.earliest > msg.latest))
        return false;
    msg.received_mono_ns = mono_now();
    judge_clock(r, &msg);
    while (rd_left(&rd) > 0)
        if (!deliver_one(r, from, &msg, &rd))
            return false;
    return true;
}

/* ---- looking ---- */

bool rpc_peer_up(struct rpc *r, node_id peer)
{
    struct peer *p = rpc_find_peer(r, peer);
    bool up;

    if (p == NULL)
        return false;
    pthread_mutex_lock(&p->link[RPC_CONSENSUS].mu);
    up = p->link[RPC_CONSENSUS].state == LINK_UP;
    pthread_mutex_unlock(&p->link[RPC_CONSENSUS].mu);
    return up;
}

int64_t rpc_peer_rtt_ns(struct rpc *r, node_id peer)
{
    struct peer *p = rpc_find_peer(r, peer);

    return p == NULL ? -1 : p->rtt_ns;
}

node_id rpc_self(const struct rpc *r)
{
    return r->node;
}

void rpc_set_fault(struct rpc *r, node_id peer, const struct rpc_fault *fault)
{
    for (size_t i = 0; i < r->n_peers; i++)
        if (!r->peers[i]->self && (peer == 0 || r->peers[i]->node == peer))
            for (int ch = 0; ch < RPC_CHANNELS; ch++)
                link_set_fault(&r->peers[i]->link[ch], fault);
}
