#include "tools/meridiand/frontend.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "tools/meridiand/frontend_int.h"
#include "tools/meridiand/listen.h"

/* Threads beyond max_connections: for cancel requests, and to tell others 53300. */
enum { EXTRA_CONNS = 64, ACCEPT_PAUSE_MS = 100 };

/* Address space, not memory: pages that a thread never touches cost nothing. */
#ifdef MRD_SANITIZED
enum { CONN_STACK = 4 * 1024 * 1024 };
#else
enum { CONN_STACK = 512 * 1024 };
#endif

static void *accept_main(void *arg);

static void make_metrics(struct frontend *f, struct metrics *m)
{
    f->m_sessions = metrics_gauge(m, "meridian_pg_sessions", "Client sessions that are open.");
    f->m_connections =
        metrics_counter(m, "meridian_pg_connections_total", "Client connections accepted.");
    f->m_messages = metrics_counter(m, "meridian_pg_messages_total", "Client messages read.");
    f->m_bytes_in = metrics_counter(m, "meridian_pg_bytes_in_total", "Bytes read from clients.");
    f->m_bytes_out = metrics_counter(m, "meridian_pg_bytes_out_total", "Bytes sent to clients.");
    f->m_errors = metrics_counter(m, "meridian_pg_errors_total", "Errors sent to clients.");
}

enum status frontend_open(const struct frontend_options *opts, struct frontend **out,
                          struct err *err)
{
    struct frontend *f = xcalloc(1, sizeof *f);
    enum status st = ST_OK;

    f->opts = *opts;
    if (f->opts.max_connections == 0)
        f->opts.max_connections = FRONTEND_CONNECTIONS;
    if (f->opts.startup_ms == 0)
        f->opts.startup_ms = FRONTEND_STARTUP_MS;
    f->listen_fd = f->wake_fd = -1;
    f->next_pid = 1;
    pthread_mutex_init(&f->mu, NULL);
    pthread_cond_init(&f->gone, NULL);
    make_metrics(f, opts->metrics);
    TRY(listen_tcp(opts->listen, &f->listen_fd, err));
    listen_addr(f->listen_fd, f->addr, sizeof f->addr);
    f->opts.listen = f->addr;
    f->wake_fd = eventfd(0, EFD_CLOEXEC);
    if (f->wake_fd < 0)
        st = err_set(err, ST_FATAL, SQLSTATE_INTERNAL_ERROR, "no event descriptor: %s",
                     strerror(errno));
out:
    if (st == ST_OK)
        *out = f;
    else
        frontend_close(f);
    return st;
}

const char *frontend_addr(const struct frontend *f)
{
    return f->addr;
}

enum status frontend_start(struct frontend *f, struct err *err)
{
    int rc = pthread_create(&f->acceptor, NULL, accept_main, f);

    if (rc != 0)
        return err_set(err, ST_FATAL, SQLSTATE_INTERNAL_ERROR, "no thread to accept clients: %s",
                       strerror(rc));
    f->accepting = true;
    return ST_OK;
}

/* The socket is shut for reading only: the connection's thread still has to tell its client why. */
static void end_all_locked(struct frontend *f)
{
    for (struct conn *c = f->conns; c != NULL; c = c->next) {
        if (c->s != NULL)
            f->opts.backend->cancel(c->s);
        (void)shutdown(c->w.fd, SHUT_RD); /* fails if the client went first, which is as good */
    }
}

void frontend_stop(struct frontend *f)
{
    uint64_t one = 1;

    if (f->stopping)
        return;
    f->stopping = true;
    if (f->wake_fd >= 0 && write(f->wake_fd, &one, sizeof one) != (ssize_t)sizeof one)
        log_event(f->opts.log, LOG_WARN, "pg.wake", "error=%s", strerror(errno));
    if (f->accepting)
        pthread_join(f->acceptor, NULL);
    f->accepting = false;
    pthread_mutex_lock(&f->mu);
    end_all_locked(f);
    pthread_mutex_unlock(&f->mu);
}

/* A client that takes no bytes must not hold up a shutdown for ever: after a second its socket goes. */
static void wait_until_gone(struct frontend *f)
{
    struct timespec until;

    pthread_mutex_lock(&f->mu);
    while (f->n_conns != 0) {
        (void)clock_gettime(CLOCK_REALTIME, &until); /* cannot fail for this clock */
        until.tv_sec += 1;
        if (pthread_cond_timedwait(&f->gone, &f->mu, &until) != ETIMEDOUT)
            continue;
        end_all_locked(f);
        for (struct conn *c = f->conns; c != NULL; c = c->next)
            (void)shutdown(c->w.fd, SHUT_RDWR);
    }
    pthread_mutex_unlock(&f->mu);
}

void frontend_close(struct frontend *f)
{
    if (f == NULL)
        return;
    frontend_stop(f);
    wait_until_gone(f);
    if (f->listen_fd >= 0)
        (void)close(f->listen_fd);
    if (f->wake_fd >= 0)
        (void)close(f->wake_fd);
    pthread_cond_destroy(&f->gone);
    pthread_mutex_destroy(&f->mu);
    free(f);
}

static bool add_conn(struct frontend *f, struct conn *c)
{
    bool room;

    pthread_mutex_lock(&f->mu);
    room = f->n_conns < f->opts.max_connections + EXTRA_CONNS && !f->stopping;
    if (room) {
        f->n_conns++;
        c->pid = f->next_pid++ & INT32_MAX;
        c->next = f->conns;
        if (c->next != NULL)
            c->next->prev = c;
        f->conns = c;
    }
    pthread_mutex_unlock(&f->mu);
    return room;
}

static bool start_thread(struct conn *c)
{
    pthread_attr_t attr;
    pthread_t thread;
    int rc;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, CONN_STACK);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    rc = pthread_create(&thread, &attr, conn_main, c);
    pthread_attr_destroy(&attr);
    if (rc != 0)
        log_event(c->f->opts.log, LOG_ERROR, "pg.thread", "error=%s", strerror(rc));
    return rc == 0;
}

static void start_conn(struct frontend *f, int fd, const struct sockaddr_storage *from,
                       socklen_t from_len)
{
    struct conn *c = xcalloc(1, sizeof *c);
    int on = 1;

    c->f = f;
    wire_init(&c->w, fd);
    listen_print(from, from_len, c->peer, sizeof c->peer);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* slower without, no more */
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on); /* likewise: later notice */
    metric_add(f->m_connections, 1);
    if (getrandom(&c->secret, sizeof c->secret, 0) != (ssize_t)sizeof c->secret ||
        !add_conn(f, c)) {
        wire_fini(&c->w);
        (void)close(fd);
        free(c);
    } else if (!start_thread(c)) {
        frontend_leave(c);
    }
}

static void *accept_main(void *arg)
{
    struct frontend *f = arg;
    struct pollfd fds[2] = {{.fd = f->listen_fd, .events = POLLIN},
                            {.fd = f->wake_fd, .events = POLLIN}};

    (void)pthread_setname_np(pthread_self(), "pg-accept"); /* for people */
    while (!f->stopping) {
        struct sockaddr_storage from = {0};
        socklen_t from_len = sizeof from;
        int fd;

        (void)poll(fds, 2, -1); /* interrupted or not: accept4 tells */
        if (f->stopping || (fds[0].revents & POLLIN) == 0)
            continue;
        fd = accept4(f->listen_fd, (struct sockaddr *)&from, &from_len, SOCK_CLOEXEC);
        if (fd >= 0) {
            start_conn(f, fd, &from, from_len);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            log_event(f->opts.log, LOG_ERROR, "pg.accept", "error=%s", strerror(errno));
            (void)poll(&fds[1], 1, ACCEPT_PAUSE_MS); /* until descriptors come back, or the end */
        }
    }
    return NULL;
}

void frontend_cancel(struct frontend *f, uint32_t pid, uint32_t secret)
{
    pthread_mutex_lock(&f->mu);
    for (struct conn *c = f->conns; c != NULL; c = c->next)
        if (c->pid == pid && c->secret == secret && c->s != NULL)
            f->opts.backend->cancel(c->s);
    pthread_mutex_unlock(&f->mu);
}

enum status frontend_admit(struct conn *c, struct err *err)
{
    struct frontend *f = c->f;
    enum status st = ST_OK;

    pthread_mutex_lock(&f->mu);
    if (f->stopping) {
        st = err_set(err, ST_RETRY, SQLSTATE_CANNOT_CONNECT_NOW, "the node is shutting down");
    } else if (f->n_sessions >= f->opts.max_connections) {
        st = err_set(err, ST_RETRY, SQLSTATE_TOO_MANY_CONNECTIONS, "too many clients already");
        (void)err_detail(err, "this node takes %u connections", f->opts.max_connections);
        (void)err_hint(err, "connect to another node, or raise --max-connections");
    } else {
        f->n_sessions++;
        c->counted = true;
    }
    pthread_mutex_unlock(&f->mu);
    return st;
}

void frontend_publish_session(struct conn *c, struct session *s)
{
    pthread_mutex_lock(&c->f->mu);
    c->s = s;
    pthread_mutex_unlock(&c->f->mu);
    metric_add(c->f->m_sessions, s != NULL ? 1 : -1);
}

void frontend_leave(struct conn *c)
{
    struct frontend *f = c->f;

    ASSERT(c->s == NULL);
    pthread_mutex_lock(&f->mu);
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        f->conns = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    (void)close(c->w.fd); /* under the lock: frontend_stop may be looking at the descriptor */
    wire_fini(&c->w);
    f->n_sessions -= c->counted;
    f->n_conns--;
    free(c);
    pthread_cond_broadcast(&f->gone);
    pthread_mutex_unlock(&f->mu);
}
