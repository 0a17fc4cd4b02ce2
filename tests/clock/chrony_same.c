/*
 * chrony_same.c - one report of chronyd, read by chronyc and by us.
 *
 *     chrony_same SOCKET CHRONYC
 *
 * What chronyd says changes from question to question. So chronyc is sent through a relay here, which keeps a copy of
 * the reply: its line (`chronyc -c tracking`) is printed first, then what timesvc makes of the same bytes:
 *
 *     ours STRATUM LEAP CORRECTION ROOT_DELAY ROOT_DISPERSION INTERVAL FREQ SKEW BOUND    nanoseconds, parts per billion
 *
 * Exit 0, 2 on trouble.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "timesvc/tt_chrony.h"

enum { FRAME_MAX = 1024, SEQUENCE_AT = 16 /* in a reply */, DEADLINE_S = 10 };

struct relay {
    int udp, sock;
    uint16_t port;
    char own[sizeof((struct sockaddr_un *)0)->sun_path];
    uint8_t reply[FRAME_MAX]; /* the last one */
    ssize_t reply_len;
};

static int trouble(const char *what)
{
    fprintf(stderr, "chrony_same: %s: %s\n", what, strerror(errno));
    return 2;
}

static bool open_udp(struct relay *r)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;

    r->udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (r->udp < 0 || bind(r->udp, (struct sockaddr *)&a, sizeof a) != 0 ||
        getsockname(r->udp, (struct sockaddr *)&a, &len) != 0)
        return false;
    r->port = ntohs(a.sin_port);
    return true;
}

/* chronyd answers to a socket file, which it must be able to find and write. */
static bool open_unix(struct relay *r, const char *path)
{
    struct sockaddr_un own = {.sun_family = AF_UNIX}, to = {.sun_family = AF_UNIX};

    if (snprintf(to.sun_path, sizeof to.sun_path, "%s", path) >= (int)sizeof to.sun_path ||
        snprintf(own.sun_path, sizeof own.sun_path, "%s.same.%d", path, (int)getpid()) >=
            (int)sizeof own.sun_path) {
        errno = ENAMETOOLONG;
        return false;
    }
    r->sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (r->sock < 0 || bind(r->sock, (struct sockaddr *)&own, sizeof own) != 0)
        return false;
    memcpy(r->own, own.sun_path, sizeof r->own);
    return chmod(r->own, 0666) == 0 && connect(r->sock, (struct sockaddr *)&to, sizeof to) == 0;
}

static bool spawn_chronyc(const struct relay *r, const char *program, pid_t *out)
{
    char port[16];
    const char *argv[] = {program, "-c", "-h", "127.0.0.1", "-p", port, "tracking", NULL};

    (void)snprintf(port, sizeof port, "%u", r->port);
    errno = posix_spawn(out, program, NULL, NULL, (char *const *)argv, environ);
    return errno == 0;
}

/* One question there, its answer back. */
static bool relay_one(struct relay *r)
{
    uint8_t ask[FRAME_MAX];
    struct sockaddr_in who;
    socklen_t who_len = sizeof who;
    ssize_t len = recvfrom(r->udp, ask, sizeof ask, 0, (struct sockaddr *)&who, &who_len);
    struct pollfd answered = {.fd = r->sock, .events = POLLIN};

    if (len < 0 || send(r->sock, ask, (size_t)len, 0) != len || poll(&answered, 1, 2000) != 1)
        return false;
    r->reply_len = recv(r->sock, r->reply, sizeof r->reply, 0);
    return r->reply_len > 0 && sendto(r->udp, r->reply, (size_t)r->reply_len, 0,
                                      (struct sockaddr *)&who, who_len) == r->reply_len;
}

static bool serve(struct relay *r, pid_t chronyc)
{
    int64_t deadline = mono_now() + DEADLINE_S * (int64_t)NS_PER_S;
    int status = -1;

    while (waitpid(chronyc, &status, WNOHANG) == 0) {
        struct pollfd asked = {.fd = r->udp, .events = POLLIN};

        if (mono_now() > deadline || (poll(&asked, 1, 20) == 1 && !relay_one(r))) {
            (void)kill(chronyc, SIGKILL); /* ours, and not yet waited for */
            (void)waitpid(chronyc, &status, 0);
            return false;
        }
    }
    return status == 0;
}

static int print_ours(const struct relay *r)
{
    struct tt_tracking t;
    struct err err;
    uint32_t sequence;

    if (r->reply_len < SEQUENCE_AT + 4) {
        fprintf(stderr, "chrony_same: no reply went through\n");
        return 2;
    }
    memcpy(&sequence, r->reply + SEQUENCE_AT, sizeof sequence);
    if (tt_chrony_decode(r->reply, (size_t)r->reply_len, ntohl(sequence), &t, &err) != ST_OK) {
        fprintf(stderr, "chrony_same: %s\n", err.msg);
        return 2;
    }
    printf("ours %d %d %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64
           " %" PRId64 "\n",
           t.stratum, t.leap, t.correction_ns, t.root_delay_ns, t.root_dispersion_ns,
           t.update_interval_ns, t.freq_ppb, t.skew_ppb, tt_tracking_bound(&t));
    return 0;
}

int main(int argc, char **argv)
{
    struct relay r = {.udp = -1, .sock = -1};
    pid_t chronyc;
    int code = 2;

    if (argc != 3) {
        fprintf(stderr, "usage: chrony_same SOCKET CHRONYC\n");
        return 2;
    }
    if (!open_udp(&r) || !open_unix(&r, argv[1]))
        code = trouble("cannot open the relay");
    else if (!spawn_chronyc(&r, argv[2], &chronyc))
        code = trouble(argv[2]);
    else if (!serve(&r, chronyc))
        fprintf(stderr, "chrony_same: chronyc got no answer\n");
    else
        code = print_ours(&r);
    if (r.own[0] != '\0')
        (void)unlink(r.own); /* it may never have been made */
    return code;
}
