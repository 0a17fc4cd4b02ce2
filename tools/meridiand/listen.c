#include "tools/meridiand/listen.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/meridiand/units.h"

enum { LISTEN_BACKLOG = 512 };

/* Splits at the last colon; brackets around the host go. */
static enum status split(const char *address, char *host, size_t host_size, const char **out_port,
                         struct err *err)
{
    const char *colon = strrchr(address, ':');
    size_t len = colon == NULL ? 0 : (size_t)(colon - address);

    if (len >= 2 && address[0] == '[' && address[len - 1] == ']') {
        address++;
        len -= 2;
    }
    if (colon == NULL || colon[1] == '\0' || len == 0 || len >= host_size)
        return err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                       "\"%s\" is not an address of the form HOST:PORT", address);
    memcpy(host, address, len);
    host[len] = '\0';
    *out_port = colon + 1;
    return ST_OK;
}

static int bind_one(const struct addrinfo *ai)
{
    int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1, saved;

    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on); /* helps a restart, no more */
    if (bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 && listen(fd, LISTEN_BACKLOG) == 0)
        return fd;
    saved = errno;
    (void)close(fd); /* the error that counts is bind's */
    errno = saved;
    return -1;
}

enum status listen_tcp(const char *address, int *out_fd, struct err *err)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    char host[128];
    const char *port = NULL;
    enum status st = ST_OK;
    int64_t number = 0;
    int fd = -1, rc;

    TRY(split(address, host, sizeof host, &port, err));
    TRY(units_number("a port", port, 0, UINT16_MAX, &number, err)); /* getaddrinfo takes any */
    rc = getaddrinfo(host, port, &hints, &found);
    if (rc != 0) {
        st = err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                     "address \"%s\" cannot be resolved: %s", address, gai_strerror(rc));
        goto out;
    }
    for (const struct addrinfo *ai = found; ai != NULL && fd < 0; ai = ai->ai_next)
        fd = bind_one(ai);
    freeaddrinfo(found);
    if (fd < 0)
        st = err_set(err, ST_REJECT, SQLSTATE_CONNECTION_FAILURE, "cannot listen on \"%s\": %s",
                     address, strerror(errno));
    else
        *out_fd = fd;
out:
    return st;
}

void listen_print(const struct sockaddr_storage *sa, socklen_t len, char *out, size_t out_size)
{
    char host[64], port[16];

    if (getnameinfo((const struct sockaddr *)sa, len, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        (void)snprintf(out, out_size, "unknown");
    else
        (void)snprintf(out, out_size, sa->ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

void listen_addr(int fd, char *out, size_t out_size)
{
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof sa;

    if (getsockname(fd, (struct sockaddr *)&sa, &len) == 0)
        listen_print(&sa, len, out, out_size);
    else
        (void)snprintf(out, out_size, "unknown");
}
