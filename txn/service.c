#include "txn/service.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "txn/space_int.h"
#include "txn/wire.h"

enum {
    WAIT_MAX_MS = 10000,
    READ_AHEAD_MS =
        20 /* of this node's latest: what the bounds of two right clocks may differ by */
};

/* A message that is being handled. */
struct served {
    struct job job; /* first */
    struct service *v;
    _Atomic int refs; /* whoever runs it; a commit on its way */
    uint16_t type;
    bool wants_reply;
    node_id from;
    uint64_t incarnation;
    struct rpc_token token;
    struct arena mem;
    struct bytes payload; /* in mem */
    bool decoded;
    struct request rq;
    struct answer a;
    struct leader_wait wait;
    bool parked;
    _Atomic bool woken;
    _Atomic int64_t wait_until; /* mono; INT64_MAX: not decoded yet */
    struct served *next, *prev;
};

static void served_unref(struct served *x)
{
    if (atomic_fetch_sub(&x->refs, 1) > 1)
        return;
    answer_fini(&x->a);
    arena_fini(&x->mem);
    free(x);
}

static void unlist(struct served *x)
{
    struct service *v = x->v;

    pthread_mutex_lock(&v->mu);
    if (x->prev != NULL)
        x->prev->next = x->next;
    else
        v->head = x->next;
    if (x->next != NULL)
        x->next->prev = x->prev;
    v->n--;
    if (v->head == NULL)
        pthread_cond_broadcast(&v->empty);
    pthread_mutex_unlock(&v->mu);
}

static bool is_gone(struct service *v)
{
    bool gone;

    pthread_mutex_lock(&v->mu);
    gone = v->gone;
    pthread_mutex_unlock(&v->mu);
    return gone;
}

static void answer(struct served *x, enum wire_what what, enum status st, const struct err *err)
{
    struct buf b = {0};

    if (!x->wants_reply)
        return;
    wire_put_answer(&b, &x->rq, what, st, &x->a, err);
    rpc_reply(x->v->s->o.rpc, x->token, ST_OK, buf_bytes(&b), NULL);
    buf_fini(&b);
}

/* On the group's worker, or inside leader_commit, or when the store is gone. */
static void on_committed(void *arg, enum status st, tstamp s, const struct err *err)
{
    struct served *x = arg;

    x->a.ts = s;
    if (!is_gone(x->v))
        answer(x, WIRE_ENDED, st, err);
    served_unref(x);
}

static void on_woken(void *arg)
{
    struct served *x = arg;

    atomic_store(&x->woken, true);
    job_kick(&x->job);
}

/* Requests. */

static enum status decode(struct served *x, struct err *err)
{
    uint32_t wait_ms;
    enum status st = wire_get_request(x->payload, &x->mem, &x->rq, &wait_ms, err);

    if (st != ST_OK)
        return st;
    x->rq.ref.gateway = x->from;
    atomic_store(&x->wait_until,
                 mono_now() + (int64_t)(wait_ms < WAIT_MAX_MS ? wait_ms : WAIT_MAX_MS) * NS_PER_MS);
    x->rq.commit.done = on_committed;
    x->rq.commit.done_arg = x;
    x->a.mem = &x->mem;
    x->decoded = true;
    return ST_OK;
}

static bool is_stopping(struct service *v)
{
    bool stopping;

    pthread_mutex_lock(&v->mu);
    stopping = v->stopping;
    pthread_mutex_unlock(&v->mu);
    return stopping;
}

/* True: it goes on waiting. Otherwise it is not parked any more; *out_again: nobody woke it. */
static bool stays_parked(struct served *x, bool *out_again)
{
    *out_again = false;
    if (!atomic_load(&x->woken)) {
        if (!is_stopping(x->v) && mono_now() < atomic_load(&x->wait_until))
            return true;
        *out_again = true;
    }
    leader_unpark(x->v->s->leader, &x->wait);
    x->parked = false;
    return false;
}

/*
 * A timestamp from another node is evidence of nothing but that node's clock. A read that is far ahead of this one would
 * lift the marks, and every writer would have to go above them and wait: it is the reader who has to come again.
 */
static enum status check_not_ahead(const struct served *x, struct err *err)
{
    struct tt_interval now = tt_now(x->v->s->o.tt);
    bool read = x->rq.mode == 0 && (x->rq.kind == REQUEST_GET || x->rq.kind == REQUEST_GETS ||
                                    x->rq.kind == REQUEST_SCAN);

    if (!read || tt_is_void(now) || x->rq.t <= now.latest + READ_AHEAD_MS * (int64_t)NS_PER_MS)
        return ST_OK;
    return err_set(err, ST_RETRY, SQLSTATE_CANNOT_CONNECT_NOW,
                   "the timestamp of the read is %" PRId64 " us ahead of the leader's clock",
                   (x->rq.t - now.latest) / NS_PER_US);
}

/* ST_OK without *out_over: it is parked. */
static bool run_request(struct served *x)
{
    bool commits = x->rq.kind == REQUEST_COMMIT, again;
    struct err err;
    enum status st;

    err_clear(&err);
    if (x->parked) {
        if (stays_parked(x, &again))
            return false;
        if (again) {
            answer(x, WIRE_WAITS, ST_OK, NULL);
            return true;
        }
    }
    st = check_not_ahead(x, &err);
    if (st != ST_OK) {
        answer(x, WIRE_ENDED, st, &err);
        return true;
    }
    atomic_store(&x->woken, false);
    if (commits)
        atomic_fetch_add(&x->refs, 1); /* `done` has it */
    st = request_run(x->v->s->leader, &x->rq, &x->a, &x->wait, &err);
    x->parked = x->wait.parked;
    if (commits && st == ST_OK && !x->parked)
        return true;
    if (commits)
        atomic_fetch_sub(&x->refs, 1);
    if (!x->parked) {
        answer(x, WIRE_ENDED, st, &err);
        return true;
    }
    if (!is_stopping(x->v))
        return false;
    leader_unpark(x->v->s->leader, &x->wait);
    answer(x, WIRE_WAITS, ST_OK, NULL);
    return true;
}

static bool serve_call(struct served *x)
{
    struct err err;
    enum status st;

    if (!x->decoded) {
        st = decode(x, &err);
        if (st != ST_OK) {
            if (x->wants_reply)
                rpc_reply(x->v->s->o.rpc, x->token, st, bytes_of(NULL, 0), &err);
            return true;
        }
    }
    return run_request(x);
}

/* One-way messages. What is malformed is dropped. */

static void serve_ids(struct served *x)
{
    struct txn_id ids[64];
    struct rd rd = rd_of(x->payload);
    struct leader *l = x->v->s->leader;
    int64_t now = mono_now();
    size_t n = 0;

    if (wire_get_version(&rd, NULL) != ST_OK)
        return;
    while (rd_left(&rd) > 0) {
        ids[n] = wire_get_id(&rd);
        if (rd.bad)
            break;
        if (x->type == WIRE_ROLLBACK)
            leader_rollback(l, ids[n]);
        else if (++n == sizeof ids / sizeof ids[0]) {
            leader_heard(l, ids, n, now);
            n = 0;
        }
    }
    if (n > 0)
        leader_heard(l, ids, n, now);
}

static void serve_pair(struct served *x)
{
    struct txn_space *s = x->v->s;
    struct rd rd = rd_of(x->payload);
    struct tt_interval now = tt_now(s->o.tt);
    struct buf b = {0};
    uint64_t term, second;

    if (wire_get_version(&rd, NULL) != ST_OK)
        return;
    term = rd_u64(&rd);
    second = rd_u64(&rd);
    if (rd.bad)
        return;
    if (x->type == WIRE_RETURNED) {
        if (second <= (uint64_t)RECORD_TS_MAX)
            leader_returned(s->leader, x->from, term, (tstamp)second);
        return;
    }
    wire_put_pair(&b, term,
                  (uint64_t)gate_recall(&s->gate, term, second, tt_is_void(now) ? 0 : now.latest));
    rpc_send(s->o.rpc, x->from, RPC_CONSENSUS, WIRE_RETURNED, buf_bytes(&b));
    buf_fini(&b);
}

static bool serve(struct served *x)
{
    switch (x->type) {
    case WIRE_CALL:
        return serve_call(x);
    case WIRE_ROLLBACK:
    case WIRE_HEARD:
        serve_ids(x);
        return true;
    case WIRE_RECALL:
    case WIRE_RETURNED:
        serve_pair(x);
        return true;
    default: /* not an enum: a number from the wire */
        return true;
    }
}

static bool run(struct job *j)
{
    struct served *x = (struct served *)j;

    if (!serve(x))
        return false;
    unlist(x);
    served_unref(x);
    return true;
}

/* Messages in, on rpc's threads. */

/* True: it is another process than the one that was known. */
static bool note_gateway_locked(struct service *v, node_id node, uint64_t incarnation)
{
    struct service_gateway *g = NULL;
    bool other;

    for (size_t i = 0; i < v->n_gateways && g == NULL; i++)
        if (v->gateways[i].node == node)
            g = &v->gateways[i];
    if (g == NULL) {
        if (v->n_gateways == SERVICE_GATEWAYS_MAX)
            return false;
        v->gateways = xrealloc(v->gateways, (v->n_gateways + 1) * sizeof *v->gateways);
        g = &v->gateways[v->n_gateways++];
        *g = (struct service_gateway){.node = node, .incarnation = incarnation};
    }
    other = incarnation > g->incarnation;
    if (other)
        g->incarnation = incarnation;
    return other;
}

static struct served *served_new(struct service *v, const struct rpc_msg *msg)
{
    struct served *x = xcalloc(1, sizeof *x);

    job_init(&x->job, v->s->pool, run);
    x->v = v;
    x->refs = 1;
    x->type = msg->type;
    x->wants_reply = msg->wants_reply;
    x->from = msg->from;
    x->incarnation = msg->incarnation;
    x->token = msg->token;
    arena_init(&x->mem, 0);
    x->payload = arena_copy(&x->mem, msg->payload);
    x->wait.wake = on_woken;
    x->wait.arg = x;
    atomic_init(&x->wait_until, INT64_MAX);
    return x;
}

static enum status admit_locked(struct service *v, struct served *x, struct err *err)
{
    if (v->stopping)
        return err_set(err, ST_RETRY, SQLSTATE_CANNOT_CONNECT_NOW, "node %u is shutting down",
                       v->s->o.node);
    if (v->n >= SERVICE_REQUESTS_MAX)
        return err_set(err, ST_RETRY, SQLSTATE_CONFIGURATION_LIMIT_EXCEEDED,
                       "node %u serves %d requests already", v->s->o.node, SERVICE_REQUESTS_MAX);
    x->prev = NULL;
    x->next = v->head;
    if (x->next != NULL)
        x->next->prev = x;
    v->head = x;
    v->n++;
    return ST_OK;
}

static void on_rpc(void *arg, const struct rpc_msg *msg)
{
    struct service *v = arg;
    struct served *x = served_new(v, msg);
    bool other;
    enum status st;
    struct err err;

    space_rouse(v->s);
    pthread_mutex_lock(&v->mu);
    other = note_gateway_locked(v, msg->from, msg->incarnation);
    pthread_mutex_unlock(&v->mu);
    if (other)
        leader_gateway_lost(v->s->leader, msg->from);
    pthread_mutex_lock(&v->mu);
    st = admit_locked(v, x, &err);
    if (st == ST_OK)
        job_kick(&x->job); /* under the lock: from here on it may end at any moment */
    pthread_mutex_unlock(&v->mu);
    if (st == ST_OK)
        return;
    if (msg->wants_reply)
        rpc_reply(v->s->o.rpc, msg->token, st, bytes_of(NULL, 0), &err);
    served_unref(x);
}

/* Life. */

void service_init(struct service *v, struct txn_space *s)
{
    *v = (struct service){.s = s};
    pthread_mutex_init(&v->mu, NULL);
    pthread_cond_init(&v->empty, NULL);
    rpc_register(s->o.rpc, TXN_RPC_LO, TXN_RPC_HI, on_rpc, v);
}

/* The next gateway whose link has been down for long enough; 0: none. */
static node_id next_lost(struct service *v, int64_t mono_ns)
{
    node_id lost = 0;

    pthread_mutex_lock(&v->mu);
    for (size_t i = 0; i < v->n_gateways && lost == 0; i++) {
        struct service_gateway *g = &v->gateways[i];

        if (rpc_peer_up(v->s->o.rpc, g->node)) {
            g->down_since = 0;
            g->lost = false;
        } else if (g->down_since == 0) {
            g->down_since = mono_ns;
        } else if (!g->lost && mono_ns - g->down_since > (int64_t)SPACE_PEER_LOST_MS * NS_PER_MS) {
            g->lost = true;
            lost = g->node;
        }
    }
    pthread_mutex_unlock(&v->mu);
    return lost;
}

void service_tick(struct service *v, int64_t mono_ns)
{
    node_id lost;

    while ((lost = next_lost(v, mono_ns)) != 0) {
        log_event(v->s->o.log, LOG_INFO, "txn.gateway_lost", "gateway=%u", lost);
        leader_gateway_lost(v->s->leader, lost);
    }
    pthread_mutex_lock(&v->mu);
    for (struct served *x = v->head; x != NULL; x = x->next)
        if (atomic_load(&x->wait_until) <= mono_ns)
            job_kick(&x->job);
    pthread_mutex_unlock(&v->mu);
}

bool service_idle(struct service *v)
{
    bool idle;

    pthread_mutex_lock(&v->mu);
    idle = v->head == NULL;
    pthread_mutex_unlock(&v->mu);
    return idle;
}

void service_stop(struct service *v)
{
    pthread_mutex_lock(&v->mu);
    v->stopping = true;
    for (struct served *x = v->head; x != NULL; x = x->next)
        job_kick(&x->job);
    while (v->head != NULL)
        pthread_cond_wait(&v->empty, &v->mu);
    pthread_mutex_unlock(&v->mu);
}

void service_gone(struct service *v)
{
    pthread_mutex_lock(&v->mu);
    v->gone = true;
    pthread_mutex_unlock(&v->mu);
}

void service_fini(struct service *v)
{
    ASSERT(v->head == NULL);
    free(v->gateways);
    pthread_cond_destroy(&v->empty);
    pthread_mutex_destroy(&v->mu);
}
