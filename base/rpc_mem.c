#include <stdlib.h>

#include "base/check.h"
#include "base/rpc_int.h"

/* Every rpc of the process that talks through memory. Connections are pairs of ends, wired and
 * unwired under mu; one send at a time is in flight on an end, and it completes when the receiving
 * loop has handled it, so that messages gather meanwhile as they do on a real wire. */
struct rpc_hub {
    pthread_mutex_t mu;     /* lock 1 */
    struct mem_port *ports; /* guarded by mu */
    uint64_t seed;
};

struct mem_port {
    struct rpc *rpc;
    struct mem_port *next;
    bool listed; /* guarded by hub.mu: it accepts */
};

struct mem_conn {
    struct conn c;
    struct mem_conn *other;  /* guarded by hub.mu; NULL: gone */
    struct loop_ev bytes_ev; /* the other end has put bytes into c.rx */
    struct loop_ev join_ev;  /* this end is new */
};

struct rpc_hub *rpc_hub_new(uint64_t seed)
{
    struct rpc_hub *hub = xcalloc(1, sizeof *hub);

    pthread_mutex_init(&hub->mu, NULL);
    hub->seed = seed;
    return hub;
}

void rpc_hub_free(struct rpc_hub *hub)
{
    if (hub == NULL)
        return;
    ASSERT(hub->ports == NULL);
    pthread_mutex_destroy(&hub->mu);
    free(hub);
}

static enum status mem_open(struct rpc *r, const struct rpc_options *opts, struct err *err)
{
    struct mem_port *port = xcalloc(1, sizeof *port);
    struct rpc_hub *hub = opts->hub;

    (void)err; /* nothing here can fail */
    port->rpc = r;
    r->port = port;
    for (size_t i = 0; i < r->n_peers; i++)
        for (int ch = 0; ch < RPC_CHANNELS; ch++) {
            struct link *l = &r->peers[i]->link[ch];

            rng_seed(&l->rng,
                     hub->seed * 1000003 + r->node * 8191 + l->peer->node * 31 + (uint64_t)ch);
        }
    pthread_mutex_lock(&hub->mu);
    port->next = hub->ports;
    hub->ports = port;
    pthread_mutex_unlock(&hub->mu);
    return ST_OK;
}

static void mem_start(struct rpc *r)
{
    struct mem_port *port = r->port;

    pthread_mutex_lock(&r->hub->mu);
    port->listed = true;
    pthread_mutex_unlock(&r->hub->mu);
}

static void mem_stop(struct rpc *r)
{
    struct mem_port *port = r->port;

    if (port == NULL)
        return;
    pthread_mutex_lock(&r->hub->mu);
    port->listed = false;
    pthread_mutex_unlock(&r->hub->mu);
}

static void mem_fini(struct rpc *r)
{
    struct mem_port **at;

    if (r->port == NULL)
        return;
    pthread_mutex_lock(&r->hub->mu);
    for (at = &r->hub->ports; *at != r->port; at = &(*at)->next)
        ;
    *at = (*at)->next;
    pthread_mutex_unlock(&r->hub->mu);
    free(r->port);
}

/* ---- connections ---- */

static void on_bytes(struct loop_ev *ev)
{
    struct mem_conn *m = (struct mem_conn *)((char *)ev - offsetof(struct mem_conn, bytes_ev));
    struct rpc_hub *hub = m->c.rpc->hub;
    struct mem_conn *sender;

    (void)conn_input(&m->c); /* false: it is doomed, and burial unwires it */
    pthread_mutex_lock(&hub->mu);
    sender = m->other;
    if (sender != NULL)
        atomic_fetch_add_explicit(&sender->c.users, 1, memory_order_relaxed);
    pthread_mutex_unlock(&hub->mu);
    if (sender == NULL)
        return;
    conn_pump(&sender->c);
    atomic_fetch_sub_explicit(&sender->c.users, 1, memory_order_release);
}

static void on_join(struct loop_ev *ev)
{
    struct mem_conn *m = (struct mem_conn *)((char *)ev - offsetof(struct mem_conn, join_ev));

    if (m->c.link != NULL)
        link_dialled(m->c.link, &m->c);
    else
        conn_adopt(&m->c);
}

static struct mem_conn *end_new(struct rpc *r, struct link *l)
{
    struct mem_conn *m = xcalloc(1, sizeof *m);

    conn_init(&m->c, r, l);
    m->bytes_ev.run = on_bytes;
    m->join_ev.run = on_join;
    return m;
}

static void mem_dial(struct link *l)
{
    struct rpc_hub *hub = l->rpc->hub;
    struct mem_port *port;
    struct mem_conn *mine = NULL, *theirs;

    pthread_mutex_lock(&hub->mu);
    for (port = hub->ports; port != NULL; port = port->next)
        if (port->listed && port->rpc->node == l->peer->node)
            break;
    if (port != NULL) {
        mine = end_new(l->rpc, l);
        theirs = end_new(port->rpc, NULL);
        mine->other = theirs;
        theirs->other = mine;
        /* Under mu: an end that dies early is buried after it has joined. */
        loop_post(&port->rpc->loop, &theirs->join_ev);
        loop_post(&l->rpc->loop, &mine->join_ev);
    }
    pthread_mutex_unlock(&hub->mu);
    if (mine == NULL)
        link_dialled(l, NULL);
}

static void mem_recv(struct conn *c)
{
    (void)c; /* bytes come as events of the loop */
}

static enum send_result mem_send(struct conn *c, struct bytes data)
{
    struct mem_conn *m = (struct mem_conn *)c;
    struct rpc_hub *hub = c->rpc->hub;
    bool gone;

    pthread_mutex_lock(&hub->mu);
    gone = m->other == NULL;
    if (!gone) {
        /* Nobody else touches it: the other end looks when the event comes, and one is in flight. */
        buf_put(&m->other->c.rx, data.ptr, data.len);
        loop_post(&m->other->c.rpc->loop, &m->other->bytes_ev);
    }
    pthread_mutex_unlock(&hub->mu);
    if (gone)
        conn_doom(c, "the other end is gone");
    return gone ? SEND_DONE : SEND_PENDING;
}

static void mem_close(struct conn *c)
{
    struct mem_conn *m = (struct mem_conn *)c;
    struct rpc_hub *hub = c->rpc->hub;

    pthread_mutex_lock(&hub->mu);
    if (m->other != NULL) {
        m->other->other = NULL;
        conn_doom(&m->other->c, "the other end is gone");
        m->other = NULL;
    }
    pthread_mutex_unlock(&hub->mu);
}

/* An event with bytes may still be queued behind the burial: it goes first. */
static void free_later(struct loop_ev *ev)
{
    free((char *)ev - offsetof(struct mem_conn, join_ev));
}

static void mem_free(struct conn *c)
{
    struct mem_conn *m = (struct mem_conn *)c;

    m->join_ev.run = free_later;
    loop_post(&c->rpc->loop, &m->join_ev);
}

const struct transport rpc_mem_transport = {
    .open = mem_open,
    .start = mem_start,
    .stop = mem_stop,
    .fini = mem_fini,
    .dial = mem_dial,
    .recv = mem_recv,
    .send = mem_send,
    .close = mem_close,
    .free = mem_free,
};
