#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/rpc_int.h"

static const struct end_reason end_down = {ST_RETRY, SQLSTATE_CONNECTION_FAILURE,
                                           "there is no connection"};
static const struct end_reason end_nobody = {ST_RETRY, SQLSTATE_CONNECTION_FAILURE,
                                             "this node does not know it"};
static const struct end_reason end_full = {ST_RETRY, SQLSTATE_CONFIGURATION_LIMIT_EXCEEDED,
                                           "the queue is full"};
static const struct end_reason end_many = {ST_RETRY, SQLSTATE_CONFIGURATION_LIMIT_EXCEEDED,
                                           "too many calls are in flight"};
static const struct end_reason end_large = {ST_REJECT, SQLSTATE_PROGRAM_LIMIT_EXCEEDED,
                                            "the request is too large for one message"};
static const struct end_reason end_lost = {ST_UNKNOWN, SQLSTATE_TRANSACTION_RESOLUTION_UNKNOWN,
                                           "the connection was lost before the answer came"};
static const struct end_reason end_unsent = {ST_RETRY, SQLSTATE_CONNECTION_FAILURE,
                                             "the connection was lost before the request left"};
static const struct end_reason end_late = {ST_UNKNOWN, SQLSTATE_TRANSACTION_RESOLUTION_UNKNOWN,
                                           "no answer came before the deadline"};
static const struct end_reason end_stuck = {ST_RETRY, SQLSTATE_CONNECTION_FAILURE,
                                            "the deadline passed before the request left"};

/* ---- sending ---- */

static bool something_to_send_locked(const struct link *l)
{
    return l->head != NULL || (l->ping_due && !l->fault.cut);
}

/* A connection to pump, with a use of it, if it is idle and there is something for it. */
static struct conn *kick_locked(struct link *l)
{
    struct conn *c = l->conn;

    if (l->peer->self) {
        if (l->head != NULL && !l->self_posted && l->state == LINK_UP) {
            l->self_posted = true;
            loop_post(&l->rpc->loop, &l->self_ev);
        }
        return NULL;
    }
    if (l->state != LINK_UP || c->sending || !something_to_send_locked(l))
        return NULL;
    c->sending = true;
    atomic_fetch_add_explicit(&c->users, 1, memory_order_relaxed);
    return c;
}

static void pump(struct conn *c)
{
    if (c == NULL)
        return;
    conn_pump(c);
    atomic_fetch_sub_explicit(&c->users, 1, memory_order_release);
}

/* u64 stamp; then, if a ping of the peer's waits for an answer: u64 its stamp, u64 how long it waited. */
static void ctl_ping_locked(struct conn *c, struct link *l)
{
    size_t at = frame_begin(&c->ctl, FR_PING);
    int64_t now = mono_now();

    buf_put_u64(&c->ctl, (uint64_t)now);
    if (l->echo_stamp != 0) {
        buf_put_u64(&c->ctl, l->echo_stamp);
        buf_put_u64(&c->ctl, (uint64_t)(now - l->echo_mono));
        l->echo_stamp = 0;
    }
    frame_end(&c->ctl, at);
}

static void ctl_hello(struct conn *c)
{
    const struct rpc *r = c->rpc;
    size_t at = frame_begin(&c->ctl, FR_HELLO);

    buf_put_u16(&c->ctl, RPC_WIRE_MIN);
    buf_put_u16(&c->ctl, RPC_WIRE_MAX);
    buf_put_bytes(&c->ctl, bytes_str(r->cluster));
    buf_put_u32(&c->ctl, r->node);
    buf_put_u64(&c->ctl, r->incarnation);
    buf_put_u32(&c->ctl, c->link->peer->node);
    buf_put_u8(&c->ctl, (uint8_t)c->link->ch);
    frame_end(&c->ctl, at);
}

bool link_next(struct conn *c, struct bytes *out)
{
    struct link *l = c->link;
    struct chunk *k = NULL;
    bool some;

    pthread_mutex_lock(&l->mu);
    if (c->chunk != NULL)
        queue_recycle_locked(l, c->chunk);
    buf_reset(&c->ctl);
    if (l->conn == c && !c->dead) {
        if (c->hello_due) {
            ctl_hello(c);
            c->hello_due = false;
        } else if (l->ping_due && !l->fault.cut) {
            ctl_ping_locked(c, l);
            l->ping_due = false;
        } else if (l->state == LINK_UP) {
            k = queue_pop_locked(l);
        }
    }
    c->chunk = k;
    some = c->ctl.len > 0 || k != NULL;
    c->sending = some; /* if not, c belongs to whoever kicks it next as soon as we unlock */
    pthread_mutex_unlock(&l->mu);
    if (k != NULL)
        rpc_seal(c->rpc, k);
    if (some)
        *out = buf_bytes(k != NULL ? &k->buf : &c->ctl);
    return some;
}

/* Answers to a process that we have no link to yet may wait for it. */
static bool may_wait_locked(struct link *l, enum msg_kind kind, uint64_t to_incarnation)
{
    if (kind != MSG_REPLY && kind != MSG_ERROR)
        return false;
    if (l->state == LINK_UP || l->peer->self)
        return l->state == LINK_UP && l->incarnation == to_incarnation;
    if (l->incarnation != to_incarnation) {
        queue_drop_locked(l);
        l->incarnation = to_incarnation;
    }
    if (l->head == NULL)
        l->waits_since = mono_now();
    return true;
}

enum enqueued link_put(struct link *l, enum msg_kind kind, uint16_t type, uint64_t call_id,
                       struct bytes payload, uint64_t to_incarnation)
{
    enum enqueued done = ENQ_OK;
    struct conn *c = NULL;
    bool answer = kind == MSG_REPLY || kind == MSG_ERROR;
    size_t at;

    pthread_mutex_lock(&l->mu);
    if ((l->state != LINK_UP || answer) && !may_wait_locked(l, kind, to_incarnation))
        done = ENQ_DOWN;
    else if (l->queued_bytes + l->held_bytes + payload.len > RPC_QUEUE_MAX_BYTES)
        done = ENQ_FULL;
    else if (l->peer->self || !queue_fault_takes_locked(l, (uint8_t)kind, type, call_id, payload))
        (void)queue_append_locked(l, (uint8_t)kind, type, call_id, payload,
                                  &at); /* not looked for */
    c = kick_locked(l);
    pthread_mutex_unlock(&l->mu);
    pump(c);
    return done;
}

static const struct end_reason *call_locked(struct link *l, uint16_t type, struct bytes payload,
                                            int64_t deadline, struct rpc_done done)
{
    struct call *call;
    uint64_t id;

    if (payload.len > RPC_MESSAGE_MAX)
        return &end_large;
    if (l->state != LINK_UP)
        return &end_down;
    if (l->queued_bytes + l->held_bytes + payload.len > RPC_QUEUE_MAX_BYTES)
        return &end_full;
    call = calls_add(&l->calls, l->ch, &id);
    if (call == NULL)
        return &end_many;
    call->done = done;
    call->deadline = deadline;
    /* One that the fault layer took is out of our hands: chunk_seq 0 is "has left". */
    if (!l->peer->self && queue_fault_takes_locked(l, MSG_CALL, type, id, payload))
        return NULL;
    call->chunk = queue_append_locked(l, MSG_CALL, type, id, payload, &call->kind_at);
    call->chunk_seq = call->chunk->seq;
    return NULL;
}

/* A call that failed at once still ends on the loop: never inside rpc_call. */
struct failed_call {
    struct loop_ev ev;
    node_id peer;
    struct ended_list list;
};

static void failed_call_run(struct loop_ev *ev)
{
    struct failed_call *f = (struct failed_call *)ev;

    ended_run(&f->list, f->peer);
    free(f);
}

static void fail_later(struct rpc *r, node_id peer, struct rpc_done done,
                       const struct end_reason *why)
{
    struct failed_call *f = xcalloc(1, sizeof *f);

    f->ev.run = failed_call_run;
    f->peer = peer;
    ended_put(&f->list, done, why);
    loop_post(&r->loop, &f->ev);
}

void link_call_nobody(struct rpc *r, node_id peer, struct rpc_done done)
{
    fail_later(r, peer, done, &end_nobody);
}

void link_call(struct link *l, uint16_t type, struct bytes payload, int64_t deadline,
               struct rpc_done done)
{
    const struct end_reason *why;
    struct conn *c;
    bool sooner;

    pthread_mutex_lock(&l->mu);
    why = call_locked(l, type, payload, deadline, done);
    sooner = why == NULL && deadline < l->calls.next_deadline;
    if (sooner)
        l->calls.next_deadline = deadline;
    c = kick_locked(l);
    pthread_mutex_unlock(&l->mu);
    pump(c);
    if (sooner)
        loop_wake_by(&l->rpc->loop, deadline);
    if (why != NULL)
        fail_later(l->rpc, l->peer->node, done, why);
}

bool link_answered(struct link *l, uint64_t id, struct rpc_done *out)
{
    bool found;

    pthread_mutex_lock(&l->mu);
    found = calls_take(&l->calls, id, out);
    pthread_mutex_unlock(&l->mu);
    return found;
}

/* ---- messages to oneself: through the same queue, delivered by the loop ---- */

static void self_run(struct loop_ev *ev)
{
    struct link *l = (struct link *)((char *)ev - offsetof(struct link, self_ev));
    struct rpc *r = l->rpc;
    struct chunk *k;
    struct bytes body;

    pthread_mutex_lock(&l->mu);
    k = queue_pop_locked(l);
    pthread_mutex_unlock(&l->mu);
    if (k != NULL) {
        rpc_seal(r, k);
        body = bytes_of(k->buf.ptr + FRAME_HEADER, k->buf.len - FRAME_HEADER);
        ASSERT(rpc_deliver(r, l->peer, r->incarnation, body));
    }
    pthread_mutex_lock(&l->mu);
    l->self_posted = false;
    if (k != NULL)
        queue_recycle_locked(l, k);
    (void)kick_locked(l); /* posts itself again; there is no connection to pump */
    pthread_mutex_unlock(&l->mu);
}

/* ---- signs of life ---- */

bool link_takes_echo(struct link *l, uint64_t incarnation, uint64_t stamp)
{
    bool takes;

    pthread_mutex_lock(&l->mu);
    /* Behind messages on their way it could be late: that may be megabytes. */
    takes = l->state == LINK_UP && l->incarnation == incarnation && !l->fault.cut &&
            l->conn->version >= RPC_WIRE_ECHO && l->conn->chunk == NULL && l->head == NULL;
    if (takes) {
        l->echo_stamp = stamp;
        l->echo_mono = mono_now();
    }
    pthread_mutex_unlock(&l->mu);
    return takes;
}

static void note_rtt(struct peer *p, int64_t rtt)
{
    int64_t old = p->rtt_ns;

    if (rtt >= 0 && rtt < (int64_t)RPC_DEAD_MS * NS_PER_MS)
        p->rtt_ns = old < 0 ? rtt : old + (rtt - old) / 8;
}

void link_echoed(struct link *l, uint64_t incarnation, uint64_t stamp, int64_t held_ns)
{
    int64_t now = mono_now(), rtt = now - (int64_t)stamp - held_ns;

    pthread_mutex_lock(&l->mu);
    /* A ping of an earlier connection says nothing of this one. */
    if (l->state == LINK_UP && l->incarnation == incarnation && held_ns >= 0 &&
        (int64_t)stamp >= l->conn->born && (int64_t)stamp <= now) {
        atomic_store_explicit(&l->conn->last_rx, now, memory_order_relaxed);
        if (l->ch == RPC_CONSENSUS)
            note_rtt(l->peer, rtt);
    }
    pthread_mutex_unlock(&l->mu);
}

/* ---- states ---- */

void link_set_fault(struct link *l, const struct rpc_fault *fault)
{
    pthread_mutex_lock(&l->mu);
    l->fault = *fault;
    if (fault->cut) {
        /* As in a network: what waited is lost, and nobody can say that it was. */
        queue_drop_locked(l);
        l->handed_seq = l->next_seq;
    } else if (l->state == LINK_DOWN) {
        l->dial_at = 0;
    }
    pthread_mutex_unlock(&l->mu);
    loop_wake_by(&l->rpc->loop, 0);
}

void link_init(struct link *l, struct rpc *r, struct peer *peer, enum rpc_channel ch)
{
    l->rpc = r;
    l->peer = peer;
    l->ch = ch;
    pthread_mutex_init(&l->mu, NULL);
    l->self_ev.run = self_run;
    l->backoff_ns = (int64_t)RPC_RECONNECT_MIN_MS * NS_PER_MS;
    calls_init(&l->calls);
    rng_seed(&l->rng, r->incarnation * 31 + r->node * 7919 + peer->node * 104729 + (uint64_t)ch);
    if (peer->self) {
        l->state = LINK_UP;
        l->incarnation = r->incarnation;
    }
}

/* Every call of a link whose connection went. */
static void end_calls_locked(struct link *l, struct ended_list *ended)
{
    for (uint32_t i = 0; i < l->calls.n_slots && l->calls.n_used > 0; i++) {
        struct call *call = &l->calls.slot[i];

        if (!call->used)
            continue;
        ended_put(ended, call->done, call->chunk_seq <= l->handed_seq ? &end_lost : &end_unsent);
        calls_remove(&l->calls, call);
    }
    l->calls.next_deadline = INT64_MAX;
}

bool link_close(struct link *l)
{
    bool busy;

    pthread_mutex_lock(&l->mu);
    if (l->peer->self)
        l->state = LINK_DOWN; /* nothing to oneself is taken any more */
    busy = l->conn != NULL;
    if (busy)
        conn_doom(l->conn, "closing");
    pthread_mutex_unlock(&l->mu);
    return busy;
}

void link_end_calls(struct link *l)
{
    struct ended_list ended = {0};

    pthread_mutex_lock(&l->mu);
    end_calls_locked(l, &ended);
    pthread_mutex_unlock(&l->mu);
    ended_run(&ended, l->peer->node);
}

void link_fini(struct link *l)
{
    ASSERT(l->state != LINK_UP && l->conn == NULL);
    queue_fini(l);
    calls_fini(&l->calls);
    pthread_mutex_destroy(&l->mu);
}

static void down_locked(struct link *l, int64_t now)
{
    const int64_t max = (int64_t)RPC_RECONNECT_MAX_MS * NS_PER_MS;
    int64_t wait = l->backoff_ns / 2 + (int64_t)rng_below(&l->rng, (uint64_t)l->backoff_ns);

    l->state = LINK_DOWN;
    l->dial_at = now + wait;
    l->backoff_ns = l->backoff_ns * 2 > max ? max : l->backoff_ns * 2;
    loop_wake_by(&l->rpc->loop, l->dial_at);
}

void link_dialled(struct link *l, struct conn *c)
{
    int64_t now = mono_now();

    pthread_mutex_lock(&l->mu);
    ASSERT(l->state == LINK_DIALING && l->conn == NULL);
    if (c == NULL) {
        down_locked(l, now);
    } else {
        l->state = LINK_HELLO;
        l->conn = c;
        l->beat_at = rpc_next_beat(RPC_CONSENSUS, now); /* looks for the welcome */
        l->ping_due = false;
        c->hello_due = c->sending = true;
        c->last_rx = c->last_tx = c->born = now;
    }
    pthread_mutex_unlock(&l->mu);
    if (c == NULL)
        return;
    l->rpc->ops->recv(c);
    conn_pump(c);
}

void link_welcomed(struct link *l, struct conn *c, uint64_t incarnation)
{
    struct conn *kick = NULL;
    bool up;

    pthread_mutex_lock(&l->mu);
    up = l->conn == c && l->state == LINK_HELLO;
    if (up) {
        if (l->incarnation != incarnation)
            queue_drop_locked(l); /* answers that waited for another process */
        l->incarnation = incarnation;
        l->state = LINK_UP;
        l->backoff_ns = (int64_t)RPC_RECONNECT_MIN_MS * NS_PER_MS;
        l->refused[0] = '\0';
        l->ping_due = true;
        l->echo_stamp = 0;
        kick = kick_locked(l);
    }
    pthread_mutex_unlock(&l->mu);
    if (up)
        log_event(l->rpc->log, LOG_INFO, "rpc.up", "peer=%u channel=%d incarnation=%" PRIu64,
                  l->peer->node, (int)l->ch, incarnation);
    pump(kick);
}

void link_refused(struct link *l, const char *why, size_t len)
{
    char text[sizeof l->refused];
    bool fresh;

    (void)snprintf(text, sizeof text, "%.*s", (int)(len < sizeof text ? len : sizeof text - 1),
                   why); /* a long reason is cut */
    for (char *p = text; *p != '\0'; p++)
        if ((unsigned char)*p < ' ' || *p == '"' || (unsigned char)*p > '~')
            *p = '?'; /* it comes from outside and goes into a log line */
    pthread_mutex_lock(&l->mu);
    fresh = strcmp(text, l->refused) != 0;
    memcpy(l->refused, text, sizeof text);
    pthread_mutex_unlock(&l->mu);
    if (fresh)
        log_event(l->rpc->log, LOG_WARN, "rpc.refused", "peer=%u channel=%d why=\"%s\"",
                  l->peer->node, (int)l->ch, text);
}

void link_lost(struct link *l, struct conn *c)
{
    struct ended_list ended = {0};
    bool was_up = false;

    pthread_mutex_lock(&l->mu);
    if (l->conn == c) {
        was_up = l->state == LINK_UP;
        l->conn = NULL;
        end_calls_locked(l, &ended);
        /* Answers that wait for a hello are not the lost connection's. */
        if (was_up)
            queue_drop_locked(l);
        l->ping_due = false;
        down_locked(l, mono_now());
    }
    pthread_mutex_unlock(&l->mu);
    if (was_up) {
        metric_add(l->rpc->n.reconnects, 1);
        log_event(l->rpc->log, LOG_INFO, "rpc.down", "peer=%u channel=%d calls_ended=%zu",
                  l->peer->node, (int)l->ch, ended.n);
    }
    ended_run(&ended, l->peer->node);
}

void link_peer_seen(struct link *l, uint64_t incarnation)
{
    bool stale;

    pthread_mutex_lock(&l->mu);
    stale = l->state == LINK_UP && l->incarnation < incarnation;
    if (stale)
        conn_doom(l->conn, "the peer has restarted");
    if (l->state == LINK_DOWN) {
        l->backoff_ns = (int64_t)RPC_RECONNECT_MIN_MS * NS_PER_MS;
        l->dial_at = 0;
        loop_wake_by(&l->rpc->loop, 0);
    }
    pthread_mutex_unlock(&l->mu);
}

/* ---- time ---- */

static void expire_calls_locked(struct link *l, int64_t now, struct ended_list *ended)
{
    int64_t next = INT64_MAX;

    if (now < l->calls.next_deadline)
        return;
    for (uint32_t i = 0; i < l->calls.n_slots; i++) {
        struct call *call = &l->calls.slot[i];

        if (!call->used)
            continue;
        if (call->deadline > now) {
            next = call->deadline < next ? call->deadline : next;
            continue;
        }
        if (call->chunk_seq > l->handed_seq) {
            call->chunk->buf.ptr[call->kind_at] = MSG_VOID; /* taken back: it never leaves */
            ended_put(ended, call->done, &end_stuck);
        } else {
            ended_put(ended, call->done, &end_late);
        }
        calls_remove(&l->calls, call);
    }
    l->calls.next_deadline = next;
}

static int64_t latest(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static void beat_locked(struct link *l, int64_t now)
{
    bool up = l->state == LINK_UP;
    int64_t dead_ns = rpc_dead_ns(up ? l->ch : RPC_CONSENSUS);
    int64_t alive = l->conn->last_rx;

    /* On the bulk channel a pong waits behind megabytes: progress is a sign of life there. */
    if (up && l->ch == RPC_BULK)
        alive = latest(alive, l->conn->last_tx);
    if (now - alive >= dead_ns)
        conn_doom(l->conn, up ? "no sign of life" : "no welcome");
    else if (up)
        l->ping_due = true;
    l->beat_at = rpc_next_beat(up ? l->ch : RPC_CONSENSUS, now);
}

static int64_t next_tick_locked(const struct link *l)
{
    int64_t next = l->calls.next_deadline;

    if (l->held != NULL && l->held->due < next)
        next = l->held->due;
    if (l->conn != NULL && l->beat_at < next)
        next = l->beat_at;
    if (l->state == LINK_DOWN && !l->fault.cut && l->dial_at < next)
        next = l->dial_at;
    return next;
}

int64_t link_tick(struct link *l, int64_t now)
{
    const int64_t answers_wait_ns = (int64_t)RPC_DEAD_MS * NS_PER_MS;
    struct ended_list ended = {0};
    struct conn *c;
    bool dial;
    int64_t next;

    pthread_mutex_lock(&l->mu);
    if (l->conn != NULL && now >= l->beat_at)
        beat_locked(l, now);
    if (l->state != LINK_UP && l->head != NULL && now - l->waits_since > answers_wait_ns)
        queue_drop_locked(l);
    queue_held_release_locked(l, now);
    expire_calls_locked(l, now, &ended);
    c = kick_locked(l);
    dial = l->state == LINK_DOWN && now >= l->dial_at && !l->fault.cut && !l->rpc->closing;
    if (dial)
        l->state = LINK_DIALING;
    next = next_tick_locked(l);
    pthread_mutex_unlock(&l->mu);
    pump(c);
    if (dial)
        l->rpc->ops->dial(l);
    ended_run(&ended, l->peer->node);
    return next;
}
