#include "tools/meridiand/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/check.h"
#include "base/clock.h"

void wire_init(struct wire *w, int fd)
{
    *w = (struct wire){.fd = fd};
    w->in_cap = WIRE_IN_SIZE;
    w->in = xmalloc(w->in_cap);
}

void wire_fini(struct wire *w)
{
    free(w->in);
    buf_fini(&w->out);
    w->in = NULL;
}

bool wire_has_input(const struct wire *w)
{
    return w->in_end > w->in_at;
}

static uint32_t get_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Room to receive into: unread bytes go to the front, and the buffer grows by what has really come, never
 * by what the peer claims will come. */
static void make_room(struct wire *w)
{
    size_t have = w->in_end - w->in_at;

    if (have == 0 && w->in_cap > WIRE_IN_KEEP) {
        free(w->in);
        w->in_cap = WIRE_IN_SIZE;
        w->in = xmalloc(w->in_cap);
    } else if (have != 0 && w->in_at != 0) {
        memmove(w->in, w->in + w->in_at, have);
    }
    w->in_at = 0;
    w->in_end = have;
    if (have == w->in_cap) {
        w->in_cap *= 2;
        w->in = xrealloc(w->in, w->in_cap);
    }
}

/* Receives until at least `want` unread bytes are there. */
static enum wire_result fill(struct wire *w, size_t want)
{
    while (w->in_end - w->in_at < want) {
        ssize_t n;

        if (w->broken)
            return WIRE_EOF;
        if (w->deadline_mono_ns != 0 && mono_now() > w->deadline_mono_ns)
            return WIRE_TIMEOUT;
        if (w->in_at == w->in_end || w->in_end == w->in_cap || w->in_cap - w->in_at < want)
            make_room(w);
        n = recv(w->fd, w->in + w->in_end, w->in_cap - w->in_end, 0);
        if (n > 0) {
            w->in_end += (size_t)n;
            w->bytes_in += n;
        } else if (n == 0) {
            return WIRE_EOF;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return WIRE_TIMEOUT;
        } else if (errno != EINTR) {
            return WIRE_EOF;
        }
    }
    return WIRE_OK;
}

enum wire_result wire_read_startup(struct wire *w, struct wire_msg *out)
{
    enum wire_result r = fill(w, 4);
    uint32_t len;

    if (r != WIRE_OK)
        return r;
    len = get_be32(w->in + w->in_at);
    if (len < 8)
        return WIRE_BAD;
    if (len > WIRE_STARTUP_MAX)
        return WIRE_TOO_BIG;
    r = fill(w, len);
    if (r != WIRE_OK)
        return r;
    *out = (struct wire_msg){0, bytes_of(w->in + w->in_at + 4, len - 4)};
    w->in_at += len;
    return WIRE_OK;
}

enum wire_result wire_read(struct wire *w, struct wire_msg *out)
{
    enum wire_result r = fill(w, 5);
    uint32_t len;

    if (r != WIRE_OK)
        return r;
    len = get_be32(w->in + w->in_at + 1);
    if (len < 4 || len > INT32_MAX)
        return WIRE_BAD;
    if (len > WIRE_MESSAGE_MAX)
        return WIRE_TOO_BIG;
    r = fill(w, (size_t)len + 1);
    if (r != WIRE_OK)
        return r;
    *out = (struct wire_msg){w->in[w->in_at], bytes_of(w->in + w->in_at + 5, len - 4)};
    w->in_at += (size_t)len + 1;
    return WIRE_OK;
}

bool wire_flush(struct wire *w)
{
    size_t at = 0;

    while (at < w->out.len && !w->broken) {
        ssize_t n = send(w->fd, w->out.ptr + at, w->out.len - at, MSG_NOSIGNAL);

        if (n >= 0)
            at += (size_t)n;
        else if (errno != EINTR)
            w->broken = true;
    }
    w->bytes_out += (int64_t)at;
    if (w->out.cap > WIRE_OUT_KEEP)
        buf_fini(&w->out);
    else
        buf_reset(&w->out);
    return !w->broken;
}

bool wire_flush_if_full(struct wire *w)
{
    return w->out.len < WIRE_OUT_SOFT ? !w->broken : wire_flush(w);
}

size_t wire_begin(struct wire *w, char type)
{
    size_t at = w->out.len;
    uint8_t *p = buf_extend(&w->out, 5);

    p[0] = (uint8_t)type;
    return at + 1;
}

void wire_end(struct wire *w, size_t handle)
{
    ASSERT(handle + 4 <= w->out.len);
    wire_set_u32(&w->out, handle, (uint32_t)(w->out.len - handle));
}

void wire_set_u32(struct buf *out, size_t at, uint32_t v)
{
    uint8_t *p = out->ptr + at;

    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}

void wire_put_u8(struct wire *w, uint8_t v)
{
    *buf_extend(&w->out, 1) = v;
}

void wire_put_u16(struct wire *w, uint16_t v)
{
    uint8_t *p = buf_extend(&w->out, 2);

    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

void wire_put_u32(struct wire *w, uint32_t v)
{
    (void)buf_extend(&w->out, 4); /* filled by offset below */
    wire_set_u32(&w->out, w->out.len - 4, v);
}

void wire_put_str(struct wire *w, const char *s)
{
    buf_put(&w->out, s, strlen(s) + 1);
}

struct wire_rd wire_rd_of(struct bytes body)
{
    return (struct wire_rd){body.ptr, body.ptr + body.len, false};
}

struct bytes wire_get_raw(struct wire_rd *r, size_t len)
{
    struct bytes got;

    if (r->bad || (size_t)(r->end - r->ptr) < len) {
        r->bad = true;
        return bytes_of(NULL, 0);
    }
    got = bytes_of(r->ptr, len);
    r->ptr += len;
    return got;
}

uint8_t wire_get_u8(struct wire_rd *r)
{
    struct bytes b = wire_get_raw(r, 1);

    return b.len == 0 ? 0 : b.ptr[0];
}

uint16_t wire_get_u16(struct wire_rd *r)
{
    struct bytes b = wire_get_raw(r, 2);

    if (b.len == 0)
        return 0;
    return (uint16_t)(b.ptr[0] << 8 | b.ptr[1]);
}

uint32_t wire_get_u32(struct wire_rd *r)
{
    struct bytes b = wire_get_raw(r, 4);

    return b.len == 0 ? 0 : get_be32(b.ptr);
}

const char *wire_get_str(struct wire_rd *r)
{
    const uint8_t *zero =
        r->bad || r->ptr == r->end ? NULL : memchr(r->ptr, 0, (size_t)(r->end - r->ptr));
    const char *s;

    if (zero == NULL) {
        r->bad = true;
        return "";
    }
    s = (const char *)r->ptr;
    r->ptr = zero + 1;
    return s;
}

bool wire_rd_done(const struct wire_rd *r)
{
    return !r->bad && r->ptr == r->end;
}
