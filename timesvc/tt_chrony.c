#include "timesvc/tt_chrony.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"

/* Big-endian. A request: version, type, 2 zero, command u16, attempt u16, sequence u32, zeroes. A reply: version,
 * type, 2 zero, command u16, reply u16, status u16, 3 x 0 u16, sequence u32, 2 x 0 u32, and from byte 28 on the body. */
enum {
    PROTO_VERSION = 6,
    TYPE_REQUEST = 1,
    TYPE_REPLY = 2,
    CMD_TRACKING = 33,
    REPLY_TRACKING = 5,
    STATUS_OK = 0,
    STATUS_UNAUTH = 2,
    HEAD = 28,
    OFF_SEQUENCE = 16,
    OFF_REF_ID = 28,
    OFF_ADDR = 32, /* 16 bytes of address, family u16, 0 u16 */
    OFF_STRATUM = 52,
    OFF_LEAP = 54,
    OFF_REF_TIME = 56, /* seconds high u32, seconds low u32, ns u32 */
    OFF_FLOATS = 68
};
static const uint32_t no_high_seconds =
    0x7fffffff; /* said for the upper half by one with 32 bits */
static const uint32_t local_ref_id = 0x7f7f0101;

static uint32_t be16(const uint8_t *p)
{
    return (uint32_t)p[0] << 8 | p[1];
}

static uint32_t be32(const uint8_t *p)
{
    return be16(p) << 16 | be16(p + 2);
}

static void put16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
    put16(p, v >> 16);
    put16(p + 2, v);
}

void tt_chrony_encode(uint8_t out[TT_CHRONY_FRAME], uint32_t sequence, uint16_t attempt)
{
    memset(out, 0, TT_CHRONY_FRAME);
    out[0] = PROTO_VERSION;
    out[1] = TYPE_REQUEST;
    put16(out + 4, CMD_TRACKING);
    put16(out + 6, attempt);
    put32(out + 8, sequence);
}

/* A float of the protocol: 7 bits of signed exponent, 25 bits of signed coefficient, coef * 2^(exp - 25). Times
 * `unit`, rounded away from zero, so that no bound shrinks here. False if it does not fit. */
static bool scaled(const uint8_t *p, int64_t unit, int64_t *out)
{
    uint32_t bits = be32(p);
    int exp = (int)(bits >> 25), shift;
    int64_t coef = bits & 0x1ffffff;
    unsigned __int128 mag;

    if (exp >= 1 << 6)
        exp -= 1 << 7;
    if (coef >= 1 << 24)
        coef -= 1 << 25;
    mag = (unsigned __int128)llabs(coef) * (uint64_t)unit;
    shift = exp - 25;
    if (shift >= 0)
        mag <<= shift; /* below 2^93 */
    else
        mag = (mag + (((unsigned __int128)1 << -shift) - 1)) >> -shift;
    if (mag > INT64_MAX / 4)
        return false;
    *out = coef < 0 ? -(int64_t)mag : (int64_t)mag;
    return true;
}

static enum status malformed(struct err *err, const char *what)
{
    return err_set(err, ST_REJECT, SQLSTATE_PROTOCOL_VIOLATION, "malformed reply of chronyd: %s",
                   what);
}

static bool all_zero(const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (p[i] != 0)
            return false;
    return true;
}

static enum status check_head(const uint8_t *f, size_t len, uint32_t sequence, struct err *err)
{
    uint32_t status;

    if (len < HEAD)
        return malformed(err, "shorter than its head");
    if (f[1] != TYPE_REPLY || f[2] != 0 || f[3] != 0 || be16(f + 4) != CMD_TRACKING ||
        !all_zero(f + 10, 6) || !all_zero(f + 20, 8))
        return malformed(err, "head");
    if (be32(f + OFF_SEQUENCE) != sequence)
        return err_set(err, ST_RETRY, SQLSTATE_PROTOCOL_VIOLATION,
                       "reply of chronyd to another request");
    if (f[0] != PROTO_VERSION)
        return err_set(err, ST_REJECT, SQLSTATE_PROTOCOL_VIOLATION,
                       "chronyd speaks version %d of its protocol, wanted %d", f[0], PROTO_VERSION);
    status = be16(f + 8);
    if (status != STATUS_OK)
        return err_set(err, ST_REJECT,
                       status == STATUS_UNAUTH ? SQLSTATE_INSUFFICIENT_PRIVILEGE
                                               : SQLSTATE_CONNECTION_FAILURE,
                       "chronyd declines to report: status %" PRIu32, status);
    if (be16(f + 6) != REPLY_TRACKING || len != TT_CHRONY_FRAME)
        return malformed(err, "not a tracking report");
    return ST_OK;
}

/* The address of the reference is nobody's business here, but its bytes are what they must be. */
static bool address_is_sane(const uint8_t *p)
{
    static const size_t used[] = {0, 4, 16, 4}; /* by family: none, IPv4, IPv6, an id */
    uint32_t family = be16(p + 16);

    return family < sizeof used / sizeof *used && all_zero(p + 18, 2) &&
           all_zero(p + used[family], 16 - used[family]);
}

static bool decode_ref_time(const uint8_t *p, int64_t *out_ns)
{
    uint32_t high = be32(p), ns = be32(p + 8);
    int64_t seconds;

    if (high == no_high_seconds)
        high = 0;
    seconds = (int64_t)((uint64_t)high << 32 | be32(p + 4));
    if (ns >= NS_PER_S || seconds < 0 || seconds >= INT64_MAX / NS_PER_S)
        return false;
    *out_ns = seconds * NS_PER_S + ns;
    return true;
}

static bool decode_floats(const uint8_t *p, struct tt_tracking *t)
{
    struct {
        int64_t unit;
        int64_t *to;
    } field[] = {
        {NS_PER_S, &t->correction_ns},      {NS_PER_S, &t->last_offset_ns},
        {NS_PER_S, &t->rms_offset_ns},      {1000, &t->freq_ppb},
        {1000, &t->residual_freq_ppb},      {1000, &t->skew_ppb},
        {NS_PER_S, &t->root_delay_ns},      {NS_PER_S, &t->root_dispersion_ns},
        {NS_PER_S, &t->update_interval_ns},
    };

    for (size_t i = 0; i < sizeof field / sizeof *field; i++)
        if (!scaled(p + 4 * i, field[i].unit, field[i].to))
            return false;
    return true;
}

enum status tt_chrony_decode(const uint8_t *f, size_t len, uint32_t sequence,
                             struct tt_tracking *out, struct err *err)
{
    struct tt_tracking t = {0};
    enum status st = check_head(f, len, sequence, err);

    if (st != ST_OK)
        return st;
    t.ref_id = be32(f + OFF_REF_ID);
    t.stratum = (int)be16(f + OFF_STRATUM);
    t.leap = (int)be16(f + OFF_LEAP);
    if (!address_is_sane(f + OFF_ADDR))
        return malformed(err, "address");
    if (t.stratum > 16 || t.leap > 3)
        return malformed(err, "stratum or leap status");
    if (!decode_ref_time(f + OFF_REF_TIME, &t.ref_utc_ns))
        return malformed(err, "reference time");
    if (!decode_floats(f + OFF_FLOATS, &t))
        return malformed(err, "a number too large");
    if (t.root_delay_ns < 0 || t.root_dispersion_ns < 0 || t.skew_ppb < 0 || t.rms_offset_ns < 0 ||
        t.update_interval_ns < 0)
        return malformed(err, "a negative width");
    *out = t;
    return ST_OK;
}

int64_t tt_tracking_bound(const struct tt_tracking *t)
{
    return llabs(t->correction_ns) + t->root_dispersion_ns + (t->root_delay_ns + 1) / 2;
}

/* What chronyd sets anew with every measurement that it uses, and at no other time. Equal by chance: then the
 * report counts as a repeated one, which errs on the safe side. */
static uint64_t update_id(const struct tt_tracking *t)
{
    const int64_t part[] = {t->ref_id,        t->stratum,           t->last_offset_ns,
                            t->rms_offset_ns, t->residual_freq_ppb, t->skew_ppb,
                            t->root_delay_ns, t->update_interval_ns};
    uint64_t id = 0;

    for (size_t i = 0; i < sizeof part / sizeof *part; i++)
        id = (id ^ (uint64_t)part[i]) * UINT64_C(0x9e3779b97f4a7c15) + (id >> 31);
    return id;
}

void tt_tracking_said(const struct tt_tracking *t, int64_t asked_raw_ns, int64_t clock_utc_ns,
                      struct tt_said *out)
{
    *out = (struct tt_said){
        .answer = TT_SAYS_BOUND,
        .as_of_raw_ns = asked_raw_ns,
        .bound_ns = tt_tracking_bound(t),
        .drift_ppb = t->skew_ppb + llabs(t->residual_freq_ppb),
        .has_ref = true,
        /* Reference times are of the corrected clock. */
        .ref_age_ns = clock_utc_ns + t->correction_ns - t->ref_utc_ns,
        .update_id = update_id(t),
        .ref_every_ns = t->update_interval_ns,
        .ref_error_ns = t->root_dispersion_ns,
        .has_freq = true,
        .freq_ppb = t->freq_ppb,
        .ref_id = t->ref_id,
        .stratum = t->stratum,
        .leap = t->leap == 1   ? TT_LEAP_INSERT
                : t->leap == 2 ? TT_LEAP_DELETE
                               : TT_LEAP_NONE,
    };
    if (t->leap == 3 || t->stratum < 1 || t->stratum > 15)
        out->answer = TT_SAYS_UNSYNC;
    else if (t->ref_id == local_ref_id)
        out->answer = TT_SAYS_LOCAL;
}

struct tt_chrony {
    union {
        struct sockaddr any;
        struct sockaddr_un un;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } to;
    socklen_t to_len;
    int fd;                             /* -1: closed, opened by the next question */
    char own_path[TT_CHRONY_WHERE_MAX]; /* "": not bound to a file */
    uint32_t sequence;
};

static void disconnect(struct tt_chrony *c)
{
    if (c->own_path[0] != '\0')
        (void)unlink(c->own_path); /* it may be gone with the directory */
    c->own_path[0] = '\0';
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

static enum status parse_host(struct tt_chrony *c, const char *where, struct err *err)
{
    const char *colon = strrchr(where, ':');
    char host[INET6_ADDRSTRLEN + 2], *end = NULL;
    size_t len = colon == NULL ? 0 : (size_t)(colon - where);
    long port = 0;
    bool loopback = false;

    if (len > 0 && len < sizeof host) {
        memcpy(host, where, len);
        host[len] = '\0';
        errno = 0;
        port = strtol(colon + 1, &end, 10);
        if (end == colon + 1 || *end != '\0' || errno != 0 || port < 1 || port > UINT16_MAX)
            port = 0;
        if (host[0] == '[' && host[len - 1] == ']') {
            host[len - 1] = '\0';
            loopback = inet_pton(AF_INET6, host + 1, &c->to.in6.sin6_addr) == 1 &&
                       IN6_IS_ADDR_LOOPBACK(&c->to.in6.sin6_addr);
            c->to.in6.sin6_family = AF_INET6;
            c->to.in6.sin6_port = htons((uint16_t)port);
            c->to_len = sizeof c->to.in6;
        } else if (inet_pton(AF_INET, host, &c->to.in.sin_addr) == 1) {
            loopback = ntohl(c->to.in.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
            c->to.in.sin_family = AF_INET;
            c->to.in.sin_port = htons((uint16_t)port);
            c->to_len = sizeof c->to.in;
        }
    }
    if (port == 0 || !loopback)
        return err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                       "chronyd is at a path or at a numeric loopback HOST:PORT, not at \"%s\"",
                       where);
    return ST_OK;
}

enum status tt_chrony_open(const char *where, struct tt_chrony **out, struct err *err)
{
    enum status st = ST_OK;
    struct tt_chrony *c = xcalloc(1, sizeof *c);

    c->fd = -1;
    /* Replies to an earlier process on the same port or path must not be taken for ours. */
    if (getrandom(&c->sequence, sizeof c->sequence, GRND_NONBLOCK) != sizeof c->sequence)
        c->sequence = (uint32_t)mono_now();
    if (where[0] != '/') {
        TRY(parse_host(c, where, err));
    } else {
        if (strlen(where) >= sizeof c->to.un.sun_path) {
            st = err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                         "the path of chronyd's socket is longer than %zu bytes",
                         sizeof c->to.un.sun_path - 1);
            goto out;
        }
        c->to.un.sun_family = AF_UNIX;
        memcpy(c->to.un.sun_path, where, strlen(where) + 1);
        c->to_len = sizeof c->to.un;
    }
    *out = c;
out:
    if (st != ST_OK)
        free(c);
    return st;
}

void tt_chrony_close(struct tt_chrony *c)
{
    if (c == NULL)
        return;
    disconnect(c);
    free(c);
}

static enum status no_way(struct tt_chrony *c, const char *what, int why, struct err *err)
{
    bool refused = why == EACCES || why == EPERM;

    disconnect(c);
    (void)err_set(err, refused ? ST_REJECT : ST_RETRY,
                  refused ? SQLSTATE_INSUFFICIENT_PRIVILEGE : SQLSTATE_CONNECTION_FAILURE,
                  "cannot %s: %s", what, strerror(why));
    if (refused && err != NULL && c->to.any.sa_family == AF_UNIX)
        (void)err_hint(err,
                       "run as the user of chronyd, or ask it over UDP: chrony:" TT_CHRONY_UDP);
    return refused ? ST_REJECT : ST_RETRY;
}

/* chronyd answers to a named socket only, and as another user: a file beside its own, open to all. */
static enum status bind_beside(struct tt_chrony *c, struct err *err)
{
    struct sockaddr_un own = {.sun_family = AF_UNIX};
    int dir_len = (int)(strrchr(c->to.un.sun_path, '/') - c->to.un.sun_path);
    /* The descriptor tells two clients of one process apart. */
    int n = snprintf(own.sun_path, sizeof own.sun_path, "%.*s/meridian.%d.%d.sock", dir_len,
                     c->to.un.sun_path, (int)getpid(), c->fd);

    if (n < 0 || (size_t)n >= sizeof own.sun_path)
        return no_way(c, "make a socket beside chronyd's", ENAMETOOLONG, err);
    (void)unlink(own.sun_path); /* of a process that was killed and had our number */
    if (bind(c->fd, (struct sockaddr *)&own, sizeof own) != 0)
        return no_way(c, "make a socket beside chronyd's", errno, err);
    memcpy(c->own_path, own.sun_path, sizeof c->own_path);
    if (chmod(own.sun_path, 0666) != 0)
        return no_way(c, "open the socket beside chronyd's to it", errno, err);
    return ST_OK;
}

static enum status ensure_connected(struct tt_chrony *c, struct err *err)
{
    enum status st = ST_OK;

    if (c->fd >= 0)
        return ST_OK;
    c->fd = socket(c->to.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (c->fd < 0)
        return no_way(c, "make a socket", errno, err);
    if (c->to.any.sa_family == AF_UNIX)
        TRY(bind_beside(c, err));
    if (connect(c->fd, &c->to.any, c->to_len) != 0)
        st = no_way(c, "reach chronyd", errno, err);
out:
    return st;
}

/* Takes datagrams until one is the reply to the last request. */
static enum status await_reply(struct tt_chrony *c, int64_t until_mono_ns, struct tt_tracking *out,
                               struct err *err)
{
    for (;;) {
        uint8_t frame[TT_CHRONY_FRAME + 1]; /* one more: a longer one is not ours */
        int64_t left = until_mono_ns - mono_now();
        struct pollfd p = {.fd = c->fd, .events = POLLIN};
        struct timespec ts = {left / NS_PER_S, left % NS_PER_S};
        ssize_t n;
        int ready = left > 0 ? ppoll(&p, 1, &ts, NULL) : 0;

        if (ready < 0 && errno != EINTR)
            return no_way(c, "wait for chronyd", errno, err);
        if (ready == 0)
            return err_set(err, ST_RETRY, SQLSTATE_CONNECTION_FAILURE, "chronyd does not answer");
        n = recv(c->fd, frame, sizeof frame, 0);
        if (n >= 0) {
            enum status st = tt_chrony_decode(frame, (size_t)n, c->sequence, out, err);

            if (st != ST_RETRY) /* else an answer to a question that we gave up */
                return st;
        } else if (errno != EAGAIN && errno != EINTR) {
            return no_way(c, "hear chronyd", errno, err);
        }
    }
}

enum status tt_chrony_ask(struct tt_chrony *c, int64_t wait_ns, struct tt_tracking *out,
                          struct err *err)
{
    enum status st;
    int64_t until = mono_now() + wait_ns;
    uint8_t frame[TT_CHRONY_FRAME];

    TRY(ensure_connected(c, err));
    tt_chrony_encode(frame, ++c->sequence, 0);
    if (send(c->fd, frame, sizeof frame, MSG_NOSIGNAL) != (ssize_t)sizeof frame) {
        /* A stopped chronyd lets its queue fill up; a new one has a new socket. */
        st = errno == EAGAIN ? err_set(err, ST_RETRY, SQLSTATE_CONNECTION_FAILURE,
                                       "chronyd does not take requests")
                             : no_way(c, "ask chronyd", errno, err);
        goto out;
    }
    TRY(await_reply(c, until, out, err));
out:
    return st;
}
