#include <stdlib.h>
#include <time.h>

#include "base/check.h"
#include "base/clock.h"
#include "txn/space_int.h"
#include "txn/wire.h"

/* The schema lease is renewed before it ends, so that no statement waits for it. */

static void on_renewed(struct op *op, enum status st, struct err *err)
{
    struct txn_space *s = op->s;

    (void)err; /* a statement that needs the lease asks itself, and says what is wrong */
    if (st == ST_OK)
        (void)gate_put(&s->gate, &op->a.lease); /* called back: nobody may use it */
    op_fini(op);
    pthread_mutex_lock(&s->mu);
    s->renewing = false;
    pthread_cond_broadcast(&s->wake);
    pthread_mutex_unlock(&s->mu);
}

static void renew(struct txn_space *s)
{
    struct tt_interval now = tt_now(s->o.tt);
    bool busy;

    if (tt_is_void(now) || atomic_load(&s->stopped) || !atomic_load(&s->gate.used) ||
        atomic_load(&s->gate.until) - now.latest > (tstamp)SPACE_RENEW_MS * NS_PER_MS)
        return;
    pthread_mutex_lock(&s->mu);
    busy = s->renewing;
    s->renewing = true;
    pthread_mutex_unlock(&s->mu);
    if (busy)
        return;
    atomic_store(&s->gate.used, false);
    op_init(&s->renew, s, REQUEST_LEASE, NULL);
    s->renew.deadline_mono_ns = mono_now() + s->o.op_timeout_ns;
    s->renew.finished = on_renewed;
    op_start(&s->renew);
}

/* Signs of life for the leaders that hold locks for this gateway. */
static void tell_open(struct txn_space *s)
{
    struct buf b = {0};
    node_id to = 0;
    size_t n = 0;

    pthread_mutex_lock(&s->mu);
    /* Nearly always one leader has them all: those at another one get messages of their own. */
    for (struct txn *t = s->open; t != NULL; t = t->next) {
        if (n > 0 && (t->at != to || n == WIRE_HEARD_MAX)) {
            rpc_send(s->o.rpc, to, RPC_CONSENSUS, WIRE_HEARD, buf_bytes(&b));
            n = 0;
        }
        if (n++ == 0) {
            to = t->at;
            wire_put_ids_begin(&b);
        }
        wire_put_id(&b, t->ref.id);
    }
    pthread_mutex_unlock(&s->mu);
    if (n > 0)
        rpc_send(s->o.rpc, to, RPC_CONSENSUS, WIRE_HEARD, buf_bytes(&b));
    buf_fini(&b);
}

static void kick_ops(struct txn_space *s)
{
    pthread_mutex_lock(&s->mu);
    for (struct op *op = s->ops; op != NULL; op = op->next)
        job_kick(&op->job);
    pthread_mutex_unlock(&s->mu);
}

void space_rouse(struct txn_space *s)
{
    /* Missed while the ticker lies down, it costs one long tick. */
    if (!atomic_load_explicit(&s->dozing, memory_order_relaxed))
        return;
    pthread_mutex_lock(&s->mu);
    atomic_store(&s->dozing, false);
    pthread_cond_broadcast(&s->wake);
    pthread_mutex_unlock(&s->mu);
}

static bool idle(struct txn_space *s)
{
    bool none;

    pthread_mutex_lock(&s->mu);
    none = s->ops == NULL && s->open == NULL;
    pthread_mutex_unlock(&s->mu);
    return none && !atomic_load(&s->gate.used) && service_idle(&s->service) &&
           leader_idle(s->leader);
}

/* False: the space stops. */
static bool sleep_tick(struct txn_space *s)
{
    struct timespec until;
    bool doze;

    atomic_store(&s->dozing, true); /* first: what begins while we look is not missed */
    doze = idle(s);
    if (!doze)
        atomic_store(&s->dozing, false);
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)(doze ? SPACE_DOZE_MS : SPACE_TICK_MS) * NS_PER_MS;
    if (until.tv_nsec >= NS_PER_S) {
        until.tv_sec++;
        until.tv_nsec -= NS_PER_S;
    }
    pthread_mutex_lock(&s->mu);
    while (!atomic_load(&s->stopped) && (!doze || atomic_load(&s->dozing)) &&
           pthread_cond_timedwait(&s->wake, &s->mu, &until) == 0)
        ;
    atomic_store(&s->dozing, false);
    pthread_mutex_unlock(&s->mu);
    return !atomic_load(&s->stopped);
}

static void *run_ticker(void *arg)
{
    struct txn_space *s = arg;
    int64_t told = mono_now();

    (void)pthread_setname_np(pthread_self(), "mrd-tick");
    while (sleep_tick(s)) {
        int64_t now = mono_now();

        leader_tick(s->leader, now);
        service_tick(&s->service, now);
        kick_ops(s);
        renew(s);
        if (now - told >= (int64_t)SPACE_HEARD_MS * NS_PER_MS) {
            told = now;
            tell_open(s);
        }
    }
    return NULL;
}

void space_recall(void *arg, node_id gateway, uint64_t term, uint64_t fence)
{
    struct txn_space *s = arg;
    struct tt_interval now = tt_now(s->o.tt);
    struct buf b = {0};

    if (gateway == s->o.node) {
        leader_returned(s->leader, gateway, term,
                        gate_recall(&s->gate, term, fence, tt_is_void(now) ? 0 : now.latest));
        return;
    }
    wire_put_pair(&b, term, fence);
    rpc_send(s->o.rpc, gateway, RPC_CONSENSUS, WIRE_RECALL, buf_bytes(&b));
    buf_fini(&b);
}

/* Life. */

static void make_leader(struct txn_space *s)
{
    struct leader_options lo = {.node = s->o.node,
                                .group = s->group,
                                .engine = s->engine,
                                .tt = s->o.tt,
                                .metrics = s->o.metrics,
                                .recall = space_recall,
                                .recall_arg = s};
    struct group_upcalls up;

    s->leader = leader_new(&lo);
    leader_upcalls(s->leader, &up);
    group_set_upcalls(s->group, &up);
    group_stay_awake(
        s->group); /* a read at the leader sends no message, however long nobody read */
}

static void make_metrics(struct txn_space *s)
{
    struct metrics *m = s->o.metrics;

    s->m_begun =
        metrics_counter(m, "meridian_txn_begun_total", "Transactions begun at this gateway.");
    s->m_remote = metrics_counter(m, "meridian_txn_remote_requests_total",
                                  "Requests sent to a leader on another node.");
    s->m_retries = metrics_counter(m, "meridian_txn_request_retries_total",
                                   "Requests that have to be made again, for want of a leader.");
    s->m_unknown = metrics_counter(m, "meridian_txn_in_doubt_total",
                                   "Commits whose answer was lost, and that were asked for by id.");
}

enum status txn_space_open(const struct txn_space_options *opts, struct txn_space **out,
                           struct err *err)
{
    struct txn_space *s;
    struct group *group = store_group(opts->store, 1);
    pthread_condattr_t monotonic;
    int rc;

    if (group == NULL)
        return err_set(err, ST_REJECT, SQLSTATE_INTERNAL_ERROR, "the store has no group 1");
    s = xcalloc(1, sizeof *s);
    s->o = *opts;
    if (s->o.op_timeout_ns == 0)
        s->o.op_timeout_ns = SPACE_TIMEOUT_S * (int64_t)NS_PER_S;
    s->group = group;
    s->tablet = group_tablet(group);
    s->engine = store_engine(opts->store);
    pthread_mutex_init(&s->mu, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&s->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    gate_init(&s->gate);
    make_metrics(s);
    make_leader(s);
    s->pool = pool_new(SPACE_THREADS);
    service_init(&s->service, s);
    /* Not from 0: what an earlier process of this node began has other numbers, even if the clock stood still. */
    s->next_id = (uint32_t)(store_incarnation(opts->store) * 0x9e3779b1u);
    rc = pthread_create(&s->ticker, NULL, run_ticker, s);
    ASSERT(rc == 0);
    *out = s;
    return ST_OK;
}

void txn_space_stop(struct txn_space *s)
{
    pthread_mutex_lock(&s->mu);
    if (atomic_exchange(&s->stopped, true)) {
        pthread_mutex_unlock(&s->mu);
        return;
    }
    pthread_cond_broadcast(&s->wake);
    pthread_mutex_unlock(&s->mu);
    pthread_join(s->ticker, NULL);
    leader_stop(s->leader);
    service_stop(&s->service);
    kick_ops(s);
}

/* Asynchronous operations end by themselves: the store and rpc have stopped, so that all have their answers. */
static void wait_for_ops(struct txn_space *s)
{
    kick_ops(s);
    pthread_mutex_lock(&s->mu);
    while (s->ops != NULL || s->renewing)
        pthread_cond_wait(&s->wake, &s->mu);
    pthread_mutex_unlock(&s->mu);
}

void txn_space_close(struct txn_space *s)
{
    if (s == NULL)
        return;
    txn_space_stop(s);
    service_gone(&s->service);
    wait_for_ops(s);
    pool_stop(s->pool);
    leader_free(s->leader);
    pool_free(s->pool);
    service_fini(&s->service);
    gate_fini(&s->gate);
    ASSERT(s->open == NULL);
    pthread_cond_destroy(&s->wake);
    pthread_mutex_destroy(&s->mu);
    free(s);
}

/* Shared by the parts. */

enum status space_now(struct txn_space *s, tstamp *out_latest, struct err *err)
{
    struct tt_interval now = tt_now(s->o.tt);
    struct tt_report report;

    if (tt_is_void(now)) {
        tt_describe(s->o.tt, &report);
        return err_set(err, ST_RETRY, SQLSTATE_CANNOT_CONNECT_NOW, "node %u has no time: %s",
                       s->o.node, report.why);
    }
    *out_latest = now.latest;
    return ST_OK;
}

struct txn_id space_new_id(struct txn_space *s, tstamp start)
{
    return (struct txn_id){start, s->o.node, atomic_fetch_add(&s->next_id, 1)};
}

bool space_has_applied(struct txn_space *s, tstamp t)
{
    return tablet_applied_ts(s->tablet) >= t && t >= group_horizon(s->group);
}
