#include "txn/op.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "txn/space_int.h"
#include "txn/wire.h"

enum {
    WAIT_MS = 500, /* so long a leader on another node keeps a request parked */
    LOST_MS = 500, /* and when no word has come after that, it is asked again: by then a message was
                                     lost, and what a repeated request names is done once */
    CALL_NS_PER_BYTE = NS_PER_US, /* what a slow wire may take besides */
    PAUSE_MIN_US = 1000,
    PAUSE_MAX_US = 50000,
    CANCEL_POLL_MS = 20,
    LEADER_LOOK_MS = 100,   /* does the node that was called still lead? */
    SMALL_BYTES = 64 * 1024 /* larger requests go by the bulk channel */
};

/*
 * What comes from elsewhere: the end of a commit that was proposed here, or a message. It may come after the
 * operation has given up waiting, so it is shared by the two, and the last one frees it. An owner that runs its
 * operation itself sleeps on the reply, not on the job: whoever wakes it holds no lock that the woken would
 * want at once.
 */
struct op_reply {
    pthread_mutex_t mu; /* lock 2: op */
    struct op *op; /* to be kicked; NULL: it runs itself, or the reply is not wanted any more */
    struct waker waker; /* the owner of an operation that runs itself */
    _Atomic unsigned refs;
    bool here;             /* the end of a commit on this node; otherwise a message */
    _Atomic bool finished; /* what follows is filled */
    enum status st;
    tstamp ts;
    struct err err;
    struct buf payload;
};

static struct op_reply *reply_new(struct op *op, bool here)
{
    struct op_reply *r = xmalloc(sizeof *r);

    pthread_mutex_init(&r->mu, NULL);
    r->op = job_is_own(&op->job) ? NULL : op;
    r->waker = (struct waker){0};
    r->refs = 2;
    r->here = here;
    r->finished = false;
    r->payload = (struct buf){0};
    return r;
}

static void reply_unref(struct op_reply *r)
{
    if (atomic_fetch_sub(&r->refs, 1) > 1)
        return;
    pthread_mutex_destroy(&r->mu);
    buf_fini(&r->payload);
    free(r);
}

static void reply_drop(struct op_reply *r)
{
    pthread_mutex_lock(&r->mu);
    r->op = NULL;
    pthread_mutex_unlock(&r->mu);
    reply_unref(r);
}

static void finish_reply(struct op_reply *r, enum status st, const struct err *err)
{
    r->st = st;
    if (st != ST_OK && err != NULL)
        r->err = *err;
    else if (st != ST_OK)
        (void)err_set(&r->err, st, SQLSTATE_CONNECTION_FAILURE, "the message was lost");
    atomic_store(&r->finished, true);
    waker_call(&r->waker);
    pthread_mutex_lock(&r->mu);
    if (r->op != NULL)
        job_kick(&r->op->job); /* under the lock: the operation is gone after reply_drop */
    pthread_mutex_unlock(&r->mu);
    reply_unref(r);
}

static void on_message(void *arg, enum status st, struct bytes payload, const struct err *err)
{
    struct op_reply *r = arg;

    if (st == ST_OK)
        buf_put(&r->payload, payload.ptr, payload.len);
    finish_reply(r, st, err);
}

static void on_committed(void *arg, enum status st, tstamp s, const struct err *err)
{
    struct op_reply *r = arg;

    r->ts = s;
    finish_reply(r, st, err);
}

/* Steps. */

static void on_woken(void *arg)
{
    struct op *op = arg;

    atomic_store(&op->woken, true);
    job_kick(&op->job);
}

static void end(struct op *op, enum status st)
{
    op->st = st;
    op->phase = OP_OVER;
}

static void pause_op(struct op *op)
{
    int64_t now = mono_now();

    metric_add(op->s->m_retries, 1);
    op->pause_ns = op->pause_ns == 0 ? (int64_t)PAUSE_MIN_US * NS_PER_US : op->pause_ns * 2;
    if (op->pause_ns > (int64_t)PAUSE_MAX_US * NS_PER_US)
        op->pause_ns = (int64_t)PAUSE_MAX_US * NS_PER_US;
    op->due = now + op->pause_ns;
    op->phase = OP_PAUSED;
}

/* A leader has it in hand: the search for one begins anew. */
static void heard(struct op *op)
{
    op->alone_since = mono_now();
    op->pause_ns = 0;
}

/* From now on only the outcome is of interest. */
static void ask_outcome(struct op *op)
{
    ASSERT(op->rq.kind == REQUEST_COMMIT);
    metric_add(op->s->m_unknown, 1);
    op->in_doubt = true;
    op->rq.kind = REQUEST_OUTCOME;
    op->rq.ref.term = 0; /* whoever leads may know */
    op->alone_since = mono_now();
    op->phase = OP_TRY;
}

static void settle(struct op *op, enum status st)
{
    if (op->rq.kind == REQUEST_COMMIT && st == ST_UNKNOWN)
        ask_outcome(op);
    else if (op->in_doubt && st == ST_REJECT)
        end(op, ST_UNKNOWN);
    else if (st == ST_RETRY || st == ST_UNKNOWN)
        pause_op(op);
    else
        end(op, st);
}

/* Does the leader on this node answer? Also when it must say that locks here are lost. */
static bool is_here(const struct op *op)
{
    const struct txn_space *s = op->s;

    if (op->node != 0)
        return op->node == s->o.node;
    if (op->rq.ref.term != 0 && op->at != 0)
        return op->at == s->o.node;
    return leader_term(s->leader) != 0;
}

static void try_here(struct op *op)
{
    bool commits = op->rq.kind == REQUEST_COMMIT;
    enum status st;

    if (op->rq.kind <= REQUEST_COMMIT)
        op->at = op->s->o.node;
    if (commits) {
        op->reply = reply_new(op, true);
        op->rq.commit.done = on_committed;
        op->rq.commit.done_arg = op->reply;
        op->rq.commit.n_locked = 0;
    }
    atomic_store(&op->woken, false);
    st = request_run(op->s->leader, &op->rq, &op->a, &op->wait, &op->err);
    if (commits && st == ST_OK && !op->wait.parked) {
        op->phase = OP_CALLED;
        heard(op);
        return;
    }
    if (commits) {
        op->reply->refs = 1; /* `done` will not run */
        reply_drop(op->reply);
        op->reply = NULL;
    }
    if (op->wait.parked) {
        op->phase = OP_PARKED;
        heard(op);
    } else {
        settle(op, st);
    }
}

static node_id find_node(const struct op *op)
{
    if (op->node != 0)
        return op->node;
    if (op->rq.ref.term != 0 && op->at != 0)
        return op->at;
    return group_leader(op->s->group);
}

/* When an answer is given up. A connection that is lost ends the call at once; this is for what is worse. */
static int64_t call_deadline(const struct op *op, size_t bytes)
{
    int64_t deadline =
        mono_now() + (int64_t)(WAIT_MS + LOST_MS) * NS_PER_MS + (int64_t)bytes * CALL_NS_PER_BYTE;

    if (op->rq.kind == REQUEST_DIGEST) /* reads the whole range before it answers */
        return op->deadline_mono_ns;
    return op->deadline_mono_ns != 0 && op->deadline_mono_ns < deadline ? op->deadline_mono_ns
                                                                        : deadline;
}

static void try_there(struct op *op, node_id node)
{
    struct buf b = {0};
    int64_t deadline;
    enum rpc_channel ch;

    metric_add(op->s->m_remote, 1);
    if (op->rq.kind <= REQUEST_COMMIT)
        op->at = node;
    wire_put_request(&b, &op->rq, WAIT_MS);
    deadline = call_deadline(op, b.len);
    ch = b.len > SMALL_BYTES ? RPC_BULK : RPC_CONSENSUS;
    op->reply = reply_new(op, false);
    op->phase = OP_CALLED;
    op->called = node;
    rpc_call(op->s->o.rpc, node, ch, WIRE_CALL, buf_bytes(&b), deadline,
             (struct rpc_done){on_message, op->reply});
    op->rq.commit.fresh = false; /* it may have been sent */
    buf_fini(&b);
}

static void try_op(struct op *op)
{
    node_id node;

    if (is_here(op)) {
        try_here(op);
        return;
    }
    node = find_node(op);
    if (node != 0 && node != op->s->o.node) {
        try_there(op, node);
        return;
    }
    (void)err_set(&op->err, ST_RETRY, SQLSTATE_CANNOT_CONNECT_NOW, "no leader is known at node %u",
                  op->s->o.node);
    pause_op(op);
}

/* The call itself failed. */
static void on_call_failed(struct op *op, enum status st)
{
    node_id leader = group_leader(op->s->group);

    if (op->node == 0 && op->rq.ref.term != 0 && op->rq.kind != REQUEST_COMMIT && leader != 0 &&
        leader != op->at) {
        end(op, err_set(&op->err, ST_ABORT, SQLSTATE_SERIALIZATION_FAILURE,
                        "could not serialize access: the leader of its locks was lost"));
        return;
    }
    if (op->rq.kind == REQUEST_COMMIT && st == ST_RETRY && op->rq.ref.term != 0 && leader != 0 &&
        leader != op->at) {
        end(op, err_set(&op->err, ST_ABORT, SQLSTATE_SERIALIZATION_FAILURE,
                        "could not serialize access: the leader of its locks was lost"));
        return;
    }
    settle(op, st);
}

static void take_message(struct op *op, const struct op_reply *r)
{
    enum wire_what what;
    enum status st;

    if (r->st != ST_OK) {
        op->err = r->err;
        on_call_failed(op, r->st);
        return;
    }
    st = wire_get_answer(buf_bytes(&r->payload), &op->rq, &what, &op->a, &op->err);
    if (what == WIRE_BROKEN) {
        settle(op, ST_UNKNOWN);
    } else if (what == WIRE_WAITS) {
        heard(op);
        op->phase = OP_TRY;
    } else {
        settle(op, st);
    }
}

/* True: there was an answer. */
static bool take_reply(struct op *op)
{
    struct op_reply *r = op->reply;

    if (!atomic_load(&r->finished))
        return false;
    op->reply = NULL;
    if (r->here) {
        op->a.ts = r->ts;
        if (r->st != ST_OK)
            op->err = r->err;
        settle(op, r->st);
    } else {
        take_message(op, r);
    }
    reply_drop(r);
    return true;
}

/* A leader that hears and is not heard keeps its connections, and its callers waiting. That another one leads is
 * word enough not to wait for it. */
static bool waits_for_a_leader_of_old(const struct op *op)
{
    node_id leader = group_leader(op->s->group);

    return op->node == 0 && !op->reply->here && leader != 0 && leader != op->called;
}

static void leave_leader_of_old(struct op *op)
{
    (void)err_set(&op->err, ST_UNKNOWN, SQLSTATE_STATEMENT_COMPLETION_UNKNOWN,
                  "node %u does not lead any more", op->called);
    reply_drop(op->reply);
    op->reply = NULL;
    on_call_failed(op, ST_UNKNOWN);
}

/* Neither parked nor called: those end by the leader's word, or by the call's own deadline. */
static bool is_alone(const struct op *op, int64_t now)
{
    bool waits = op->phase == OP_PARKED || (op->phase == OP_CALLED && !op->reply->here);

    return !waits && now - op->alone_since >= op->s->o.op_timeout_ns;
}

/* Waiting has an end: ST_OK, or why it is over. */
static enum status patience(struct op *op, int64_t now, struct err *err)
{
    const struct txn_space *s = op->s;
    bool commit = op->rq.kind == REQUEST_COMMIT || op->in_doubt;

    if (op->cancel != NULL && __atomic_load_n(op->cancel, __ATOMIC_RELAXED) && !commit)
        return err_set(err, ST_REJECT, SQLSTATE_QUERY_CANCELED,
                       "canceling statement due to user request");
    if (op->deadline_mono_ns != 0 && now >= op->deadline_mono_ns)
        return err_set(err, ST_RETRY, SQLSTATE_CANNOT_CONNECT_NOW,
                       "the operation did not end before its deadline");
    if (is_alone(op, now))
        return err_set(err, ST_RETRY, SQLSTATE_CANNOT_CONNECT_NOW,
                       "no leader answered within %lld ms",
                       (long long)(s->o.op_timeout_ns / NS_PER_MS));
    if (atomic_load(&s->stopped) && op->phase != OP_CALLED)
        return err_set(err, ST_RETRY, SQLSTATE_ADMIN_SHUTDOWN, "the node is shutting down");
    return ST_OK;
}

/* Gives up whatever it is waiting for. */
static void give_up(struct op *op, enum status st, const struct err *why)
{
    bool sent = op->phase == OP_CALLED;

    if (op->phase == OP_PARKED)
        leader_unpark(op->s->leader, &op->wait);
    if (op->reply != NULL)
        reply_drop(op->reply);
    op->reply = NULL;
    if (op->in_doubt || (sent && op->rq.kind == REQUEST_COMMIT)) {
        end(op, err_set(&op->err, ST_UNKNOWN, SQLSTATE_STATEMENT_COMPLETION_UNKNOWN,
                        "the commit is in doubt: %.200s", why->msg));
        return;
    }
    if (st != ST_RETRY || op->phase == OP_CALLED || op->phase == OP_PARKED || op->err.st == ST_OK)
        op->err = *why; /* otherwise the last answer says more */
    op->err.st = st;
    end(op, st);
}

/* One step; false: nothing to do until a kick or until op_next_look(). */
static bool step(struct op *op)
{
    struct err why;
    int64_t now;
    enum status st;

    switch (op->phase) {
    case OP_TRY:
        if (atomic_load(&op->s->stopped))
            break;
        try_op(op);
        return true;
    case OP_PARKED:
        if (!atomic_load(&op->woken))
            break;
        leader_unpark(op->s->leader, &op->wait); /* whoever woke it has let go of it afterwards */
        op->phase = OP_TRY;
        return true;
    case OP_CALLED:
        if (take_reply(op))
            return true;
        if (!waits_for_a_leader_of_old(op))
            break;
        leave_leader_of_old(op);
        return true;
    case OP_PAUSED:
        if (mono_now() < op->due)
            break;
        op->phase = OP_TRY;
        st = patience(op, mono_now(), &why);
        if (st != ST_OK)
            give_up(op, st, &why);
        return true;
    case OP_OVER:
        return false;
    }
    now = mono_now();
    st = patience(op, now, &why);
    if (st == ST_OK)
        return false;
    give_up(op, st, &why);
    return true;
}

static int64_t next_look(const struct op *op)
{
    int64_t now = mono_now(), at = op->alone_since + op->s->o.op_timeout_ns;

    if (op->phase == OP_PARKED)
        at = INT64_MAX; /* somebody kicks */
    if (op->phase == OP_CALLED && !op->reply->here)
        at = now + (int64_t)LEADER_LOOK_MS * NS_PER_MS;
    if (op->phase == OP_PAUSED && op->due < at)
        at = op->due;
    if (op->deadline_mono_ns != 0 && op->deadline_mono_ns < at)
        at = op->deadline_mono_ns;
    if (op->cancel != NULL && at - now > (int64_t)CANCEL_POLL_MS * NS_PER_MS)
        at = now + (int64_t)CANCEL_POLL_MS * NS_PER_MS;
    if (at == INT64_MAX)
        return -1;
    return at > now ? at - now : 0;
}

void op_init(struct op *op, struct txn_space *s, enum request_kind kind, struct arena *mem)
{
    job_init_own(&op->job);
    space_rouse(s);
    op->s = s;
    op->rq = (struct request){.kind = kind};
    op->rq.ref.gateway = s->o.node;
    op->rq.ref.schema_from = -1;
    op->a = (struct answer){.mem = mem};
    op->node = op->at = 0;
    op->deadline_mono_ns = 0;
    op->cancel = NULL;
    op->finished = NULL;
    op->phase = OP_TRY;
    op->in_doubt = false;
    op->pause_ns = 0;
    op->wait.wake = on_woken;
    op->wait.arg = op;
    op->wait.kind = LEADER_WAIT_NONE;
    op->reply = NULL;
    op->err.st = ST_OK;
}

void op_fini(struct op *op)
{
    answer_fini(&op->a);
}

static void sleep_own(struct op *op)
{
    if (op->phase == OP_CALLED)
        waker_wait(&op->reply->waker, next_look(op));
    else
        job_sleep(&op->job, next_look(op));
}

enum status op_run(struct op *op, struct err *err)
{
    op->alone_since = mono_now();
    while (op->phase != OP_OVER) {
        if (!step(op) && op->phase != OP_OVER)
            sleep_own(op);
    }
    if (op->st != ST_OK && op->st != ST_NOTFOUND && err != NULL)
        *err = op->err;
    return op->st;
}

/* The space's ticker kicks it for deadlines and pauses. */
static bool run_async(struct job *j)
{
    struct op *op = (struct op *)j;
    struct txn_space *s = op->s;

    while (step(op))
        ;
    if (op->phase != OP_OVER)
        return false;
    pthread_mutex_lock(&s->mu);
    if (op->prev != NULL)
        op->prev->next = op->next;
    else
        s->ops = op->next;
    if (op->next != NULL)
        op->next->prev = op->prev;
    pthread_cond_broadcast(&s->wake);
    pthread_mutex_unlock(&s->mu);
    op->finished(op, op->st, &op->err);
    return true;
}

void op_start(struct op *op)
{
    struct txn_space *s = op->s;

    op->alone_since = mono_now();
    job_init(&op->job, s->pool, run_async);
    pthread_mutex_lock(&s->mu);
    op->prev = NULL;
    op->next = s->ops;
    if (op->next != NULL)
        op->next->prev = op;
    s->ops = op;
    job_kick(&op->job); /* under the lock: from here on it may end at any moment */
    pthread_mutex_unlock(&s->mu);
}
