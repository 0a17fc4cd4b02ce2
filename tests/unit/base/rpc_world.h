/*
 * rpc_world.h - a few nodes in one process, over memory or over loopback, for the rpc tests.
 */
#ifndef MRD_TESTS_RPC_WORLD_H
#define MRD_TESTS_RPC_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/rpc.h"

enum { NODES = 3, ECHO = 100, COUNT = 101, HOLD = 102, FAIL = 103, ORDER = 104, NOBODY = 999 };

struct world;

struct node {
    struct world *w;
    struct rpc *rpc;
    struct metrics *metrics;
    struct logger *log; /* borrowed; NULL: none */
    uint64_t incarnation;
    _Atomic int counted; /* COUNT messages seen */
    _Atomic int echoed;
    _Atomic uint32_t order_next; /* ORDER messages carry 0, 1, 2 ... */
    _Atomic int disordered;
    struct rpc_token held[128]; /* HOLD calls not answered; one connection brings them */
    _Atomic size_t n_held;
    int64_t earliest, latest; /* what its clock says; void if earliest > latest */
    _Atomic int64_t seen_earliest;
    _Atomic uint64_t seen_incarnation;
};

struct world {
    struct rpc_hub *hub; /* NULL: nng */
    char addr[NODES][32];
    uint16_t port[NODES];
    struct node node[NODES]; /* node i has id i + 1 */
};

/* A call in flight: waits for its end. */
struct waiter {
    pthread_mutex_t mu;
    pthread_cond_t cond;
    int n_done;
    enum status st;
    struct err err;
    struct buf reply;
};

static inline void waiter_done(void *arg, enum status st, struct bytes reply, const struct err *err)
{
    struct waiter *w = arg;

    pthread_mutex_lock(&w->mu);
    w->n_done++;
    w->st = st;
    if (err != NULL)
        w->err = *err;
    buf_reset(&w->reply);
    buf_put(&w->reply, reply.ptr, reply.len);
    pthread_cond_broadcast(&w->cond);
    pthread_mutex_unlock(&w->mu);
}

static inline void waiter_init(struct waiter *w)
{
    memset(w, 0, sizeof *w);
    pthread_mutex_init(&w->mu, NULL);
    pthread_cond_init(&w->cond, NULL);
}

static inline void waiter_fini(struct waiter *w)
{
    buf_fini(&w->reply);
    pthread_cond_destroy(&w->cond);
    pthread_mutex_destroy(&w->mu);
}

/* The call's own deadline, or rpc_close, ends the wait. */
static inline enum status waiter_wait(struct waiter *w)
{
    enum status st;

    pthread_mutex_lock(&w->mu);
    while (w->n_done == 0)
        pthread_cond_wait(&w->cond, &w->mu);
    st = w->st;
    pthread_mutex_unlock(&w->mu);
    return st;
}

static inline void on_message(void *arg, const struct rpc_msg *msg)
{
    struct node *n = arg;
    struct err err;
    struct rd rd = rd_of(msg->payload);

    atomic_store(&n->seen_earliest, msg->has_time ? msg->earliest : -1);
    atomic_store(&n->seen_incarnation, msg->incarnation);
    switch (msg->type) {
    case ECHO:
        assert_true(msg->wants_reply);
        atomic_fetch_add(&n->echoed, 1);
        rpc_reply(n->rpc, msg->token, ST_OK, msg->payload, NULL);
        break;
    case COUNT:
        atomic_fetch_add(&n->counted, 1);
        if (msg->wants_reply)
            rpc_reply(n->rpc, msg->token, ST_OK, bytes_str("counted"), NULL);
        break;
    case HOLD:
        n->held[n->n_held % 128] = msg->token;
        n->n_held++;
        break;
    case FAIL:
        (void)err_set(&err, ST_ABORT, SQLSTATE_SERIALIZATION_FAILURE, "no luck with %zu bytes",
                      msg->payload.len);
        (void)err_hint(&err, "try again");
        rpc_reply(n->rpc, msg->token, ST_ABORT, bytes_of(NULL, 0), &err);
        break;
    case ORDER:
        if (rd_u32(&rd) != atomic_fetch_add(&n->order_next, 1))
            atomic_fetch_add(&n->disordered, 1);
        break;
    default:
        break;
    }
}

static inline bool node_now(void *arg, int64_t *earliest, int64_t *latest)
{
    struct node *n = arg;

    *earliest = n->earliest;
    *latest = n->latest;
    return n->earliest <= n->latest;
}

static inline void node_open_as(struct world *w, int i, uint64_t incarnation, const char *cluster)
{
    struct node *n = &w->node[i];
    struct rpc_peer_addr peers[NODES];
    struct rpc_options opts = {.cluster = cluster,
                               .node = (node_id)i + 1,
                               .incarnation = incarnation,
                               .listen_addr = w->addr[i],
                               .peers = peers,
                               .n_peers = NODES,
                               .hub = w->hub,
                               .metrics = n->metrics,
                               .log = n->log,
                               .now = node_now,
                               .now_arg = n};
    struct err err;
    int64_t until;

    for (int k = 0; k < NODES; k++)
        peers[k] = (struct rpc_peer_addr){(node_id)k + 1, w->addr[k]};
    assert_null(n->rpc);
    n->incarnation = incarnation;
    /* While a node is closed the system may lend its port to somebody else's connection. */
    until = mono_now() + INT64_C(20) * NS_PER_S;
    while (rpc_open(&opts, &n->rpc, &err) != ST_OK) {
        if (mono_now() > until)
            fail_msg("rpc_open: %s", err.msg);
        mono_sleep_until(mono_now() + 10 * NS_PER_MS);
    }
    rpc_register(n->rpc, 100, 199, on_message, n);
    rpc_start(n->rpc);
}

static inline void node_open(struct world *w, int i, uint64_t incarnation)
{
    node_open_as(w, i, incarnation, "testers");
}

static inline void node_close(struct world *w, int i)
{
    rpc_close(w->node[i].rpc);
    w->node[i].rpc = NULL;
}

/* A port that was free a moment ago. */
static inline uint16_t free_port(void)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof sa;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    close(fd);
    return ntohs(sa.sin_port);
}

static inline struct world *world_new(bool mem)
{
    struct world *w = calloc(1, sizeof *w);

    assert_non_null(w);
    w->hub = mem ? rpc_hub_new(7) : NULL;
    for (int i = 0; i < NODES; i++) {
        w->port[i] = free_port();
        snprintf(w->addr[i], sizeof w->addr[i], "127.0.0.1:%u", w->port[i]);
        w->node[i].w = w;
        w->node[i].metrics = metrics_new();
        w->node[i].earliest = 1000;
        w->node[i].latest = 2000;
    }
    return w;
}

static inline void world_free(struct world *w)
{
    for (int i = 0; i < NODES; i++)
        node_close(w, i);
    for (int i = 0; i < NODES; i++)
        metrics_free(w->node[i].metrics);
    rpc_hub_free(w->hub);
    free(w);
}

static inline int setup_mem(void **state)
{
    *state = world_new(true);
    return 0;
}

static inline int setup_nng(void **state)
{
    *state = world_new(false);
    return 0;
}

static inline int teardown(void **state)
{
    world_free(*state);
    return 0;
}

#define BOTH(f)                                 \
    {#f "_mem", f, setup_mem, teardown, NULL},  \
    {                                           \
#f "_nng", f, setup_nng, teardown, NULL \
    }
#define OVER_NNG(f)                      \
    {                                    \
#f, f, setup_nng, teardown, NULL \
    }

/* Waits for a condition of the world, with a bound, and says what it waited for. */
#define AWAIT(cond)                                           \
    do {                                                      \
        int64_t until_ = mono_now() + INT64_C(20) * NS_PER_S; \
        while (!(cond)) {                                     \
            if (mono_now() > until_)                          \
                fail_msg("waited in vain for %s", #cond);     \
            mono_sleep_until(mono_now() + NS_PER_MS);         \
        }                                                     \
    } while (0)

static inline void await_up(struct world *w, int from, int to)
{
    AWAIT(rpc_peer_up(w->node[from].rpc, (node_id)to + 1));
}

static inline int64_t in_ms(int64_t ms)
{
    return mono_now() + ms * NS_PER_MS;
}

static inline void call_start(struct world *w, int from, int to, uint16_t type,
                              struct bytes payload, int64_t deadline, struct waiter *out)
{
    waiter_init(out);
    rpc_call(w->node[from].rpc, (node_id)to + 1, RPC_CONSENSUS, type, payload, deadline,
             (struct rpc_done){waiter_done, out});
}

/* One call, waited for; the reply is thrown away. */
static inline enum status call(struct world *w, int from, int to, uint16_t type, const char *text)
{
    struct waiter wait;
    enum status st;

    call_start(w, from, to, type, bytes_str(text), in_ms(20000), &wait);
    st = waiter_wait(&wait);
    waiter_fini(&wait);
    return st;
}

static inline int64_t counter(struct world *w, int node, const char *name)
{
    return metric_get(metrics_counter(w->node[node].metrics, name, ""));
}

#endif
