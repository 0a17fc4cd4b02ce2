#include <nng/nng.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/rpc_int.h"

/* Nothing but moving bytes: callbacks receive into the connection, hand over what is complete and
 * re-arm; connections are made and buried by the loop alone, since nng's free calls wait for
 * callbacks. nng_init happens inside the first call: signals are blocked and forks done before. */
enum { URL_BYTES = 300 };

struct dialler {
    struct link *link;
    nng_stream_dialer *d;
    nng_aio *aio;
    struct loop_ev ev; /* the dial has ended */
};

struct nng_port {
    struct rpc *rpc;
    nng_stream_listener *listener;
    nng_aio *accept_aio;
    struct loop_ev accept_ev; /* the accept has ended; armed again by the loop */
    bool stopped;             /* loop thread only */
    struct dialler *diallers;
    size_t n_diallers;
};

struct nng_conn {
    struct conn c;
    nng_stream *s;
    nng_aio *rx, *tx;
    struct bytes left; /* of what is being sent */
};

/* ---- connections ---- */

static void on_received(void *arg);
static void on_sent(void *arg);

static struct conn *nconn_new(struct rpc *r, struct link *l, nng_stream *s)
{
    struct nng_conn *n = xcalloc(1, sizeof *n);

    conn_init(&n->c, r, l);
    n->s = s;
    ASSERT(nng_aio_alloc(&n->rx, on_received, n) == 0); /* it fails for want of memory alone */
    ASSERT(nng_aio_alloc(&n->tx, on_sent, n) == 0);
    return &n->c;
}

static void set_iov(nng_aio *aio, const void *ptr, size_t len)
{
    nng_iov iov = {.iov_len = len};

    memcpy(&iov.iov_buf, &ptr, sizeof ptr); /* nng has one type for both directions */
    ASSERT(nng_aio_set_iov(aio, 1, &iov) == 0);
}

static void nconn_recv(struct conn *c)
{
    struct nng_conn *n = (struct nng_conn *)c;
    size_t len;
    uint8_t *room = conn_room(c, &len);

    set_iov(n->rx, room, len);
    nng_stream_recv(n->s, n->rx);
}

static void on_received(void *arg)
{
    struct nng_conn *n = arg;
    int rv = nng_aio_result(n->rx);

    if (rv != 0) {
        conn_doom(&n->c, nng_strerror(rv));
        return;
    }
    n->c.rx.len += nng_aio_count(n->rx);
    if (conn_input(&n->c))
        nconn_recv(&n->c);
}

static void send_left(struct nng_conn *n)
{
    set_iov(n->tx, n->left.ptr, n->left.len);
    nng_stream_send(n->s, n->tx);
}

static enum send_result nconn_send(struct conn *c, struct bytes data)
{
    struct nng_conn *n = (struct nng_conn *)c;

    n->left = data;
    send_left(n);
    return SEND_PENDING;
}

static void on_sent(void *arg)
{
    struct nng_conn *n = arg;
    int rv = nng_aio_result(n->tx);
    size_t count;

    if (rv != 0) {
        conn_doom(&n->c, nng_strerror(rv));
        return;
    }
    count = nng_aio_count(n->tx);
    ASSERT(count <= n->left.len);
    n->left = bytes_of(n->left.ptr + count, n->left.len - count);
    if (n->left.len > 0)
        send_left(n); /* a part was taken */
    else
        conn_pump(&n->c);
}

static void nconn_close(struct conn *c)
{
    struct nng_conn *n = (struct nng_conn *)c;

    nng_stream_close(n->s);
    nng_aio_stop(n->rx); /* waits for the callback, and nothing can be started on it again */
    nng_aio_stop(n->tx);
}

static void nconn_free(struct conn *c)
{
    struct nng_conn *n = (struct nng_conn *)c;

    nng_aio_free(n->rx);
    nng_aio_free(n->tx);
    nng_stream_free(n->s);
    free(n);
}

/* ---- dialling ---- */

static void on_dial_done(void *arg)
{
    struct dialler *d = arg;

    loop_post(&d->link->rpc->loop, &d->ev);
}

static void dial_ended(struct loop_ev *ev)
{
    struct dialler *d = (struct dialler *)((char *)ev - offsetof(struct dialler, ev));
    int rv = nng_aio_result(d->aio);
    struct link *l = d->link;

    if (rv != 0) {
        log_event(l->rpc->log, LOG_DEBUG, "rpc.dial", "peer=%u channel=%d why=\"%s\"",
                  l->peer->node, (int)l->ch, nng_strerror(rv));
        link_dialled(l, NULL);
        return;
    }
    link_dialled(l, nconn_new(l->rpc, l, nng_aio_get_output(d->aio, 0)));
}

static void nng_dial_link(struct link *l)
{
    struct dialler *d = l->port;

    nng_aio_set_timeout(d->aio, RPC_DEAD_MS);
    nng_stream_dialer_dial(d->d, d->aio);
}

/* ---- listening ---- */

static void on_accept_done(void *arg)
{
    struct nng_port *port = arg;

    loop_post(&port->rpc->loop, &port->accept_ev);
}

static void accept_ended(struct loop_ev *ev)
{
    struct nng_port *port = (struct nng_port *)((char *)ev - offsetof(struct nng_port, accept_ev));
    int rv = nng_aio_result(port->accept_aio);

    if (rv == 0) {
        conn_adopt(nconn_new(port->rpc, NULL, nng_aio_get_output(port->accept_aio, 0)));
    } else if (!port->stopped) {
        log_event(port->rpc->log, LOG_WARN, "rpc.accept", "why=\"%s\"", nng_strerror(rv));
        mono_sleep_until(mono_now() + NS_PER_MS); /* out of descriptors: do not spin on it */
    }
    if (!port->stopped)
        nng_stream_listener_accept(port->listener, port->accept_aio);
}

/* ---- ports ---- */

static enum status nng_fault(struct err *err, const char *what, const char *addr, int rv)
{
    return err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE, "cannot %s \"%s\": %s", what,
                   addr, nng_strerror(rv));
}

static enum status url_of(const char *addr, char *out, struct err *err)
{
    if (addr == NULL || strchr(addr, ':') == NULL || strlen(addr) > 255)
        return err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                       "address \"%s\" is not of the form host:port", addr != NULL ? addr : "");
    (void)snprintf(out, URL_BYTES, "tcp://%s", addr); /* the length was checked */
    return ST_OK;
}

static enum status open_dialler(struct dialler *d, struct link *l, struct err *err)
{
    char url[URL_BYTES];
    enum status st = url_of(l->peer->addr, url, err);
    int rv;

    if (st != ST_OK)
        return st;
    d->link = l;
    d->ev.run = dial_ended;
    l->port = d;
    rv = nng_stream_dialer_alloc(&d->d, url);
    if (rv == 0)
        rv = nng_stream_dialer_set_bool(d->d, NNG_OPT_TCP_NODELAY, true);
    if (rv == 0)
        rv = nng_aio_alloc(&d->aio, on_dial_done, d);
    return rv == 0 ? ST_OK : nng_fault(err, "use peer address", l->peer->addr, rv);
}

static enum status open_listener(struct nng_port *port, const char *addr, struct err *err)
{
    char url[URL_BYTES];
    enum status st = url_of(addr, url, err);
    int rv;

    if (st != ST_OK)
        return st;
    port->accept_ev.run = accept_ended;
    rv = nng_stream_listener_alloc(&port->listener, url);
    if (rv == 0)
        rv = nng_stream_listener_set_bool(port->listener, NNG_OPT_TCP_NODELAY, true);
    if (rv == 0)
        rv = nng_aio_alloc(&port->accept_aio, on_accept_done, port);
    if (rv == 0)
        rv = nng_stream_listener_listen(port->listener);
    return rv == 0 ? ST_OK : nng_fault(err, "listen on", addr, rv);
}

static enum status nng_port_open(struct rpc *r, const struct rpc_options *opts, struct err *err)
{
    enum status st = ST_OK;
    struct nng_port *port = xcalloc(1, sizeof *port);

    r->port = port;
    port->rpc = r;
    port->diallers = xcalloc(r->n_peers * RPC_CHANNELS, sizeof *port->diallers);
    for (size_t i = 0; i < r->n_peers; i++)
        for (int ch = 0; !r->peers[i]->self && ch < RPC_CHANNELS; ch++)
            TRY(open_dialler(&port->diallers[port->n_diallers++], &r->peers[i]->link[ch], err));
    TRY(open_listener(port, opts->listen_addr, err));
out:
    return st; /* rpc_close follows a failure, and frees */
}

static void nng_port_start(struct rpc *r)
{
    struct nng_port *port = r->port;

    nng_stream_listener_accept(port->listener, port->accept_aio);
}

static void nng_port_stop(struct rpc *r)
{
    struct nng_port *port = r->port;

    if (port == NULL)
        return;
    port->stopped = true;
    if (port->listener != NULL)
        nng_stream_listener_close(port->listener);
    nng_aio_stop(port->accept_aio);
    for (size_t i = 0; i < port->n_diallers; i++) {
        if (port->diallers[i].d != NULL)
            nng_stream_dialer_close(port->diallers[i].d);
        nng_aio_stop(port->diallers[i].aio);
    }
}

static void nng_port_fini(struct rpc *r)
{
    struct nng_port *port = r->port;

    if (port == NULL)
        return;
    nng_aio_free(port->accept_aio);
    if (port->listener != NULL)
        nng_stream_listener_free(port->listener);
    for (size_t i = 0; i < port->n_diallers; i++) {
        nng_aio_free(port->diallers[i].aio);
        if (port->diallers[i].d != NULL)
            nng_stream_dialer_free(port->diallers[i].d);
    }
    free(port->diallers);
    free(port);
}

const struct transport rpc_nng_transport = {
    .open = nng_port_open,
    .start = nng_port_start,
    .stop = nng_port_stop,
    .fini = nng_port_fini,
    .dial = nng_dial_link,
    .recv = nconn_recv,
    .send = nconn_send,
    .close = nconn_close,
    .free = nconn_free,
};
