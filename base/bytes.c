#include "base/bytes.h"

#include <stdlib.h>

#include "base/check.h"

void buf_fini(struct buf *b)
{
    free(b->ptr);
    memset(b, 0, sizeof *b);
}

uint8_t *buf_grow(struct buf *b, size_t n)
{
    size_t cap = b->cap < 64 ? 64 : b->cap * 2;

    while (cap - b->len < n)
        cap *= 2;
    b->ptr = xrealloc(b->ptr, cap);
    b->cap = cap;
    return b->ptr + b->len;
}

void buf_put(struct buf *b, const void *ptr, size_t len)
{
    if (len > 0)
        memcpy(buf_extend(b, len), ptr, len);
}

void buf_put_u8(struct buf *b, uint8_t v)
{
    *buf_extend(b, 1) = v;
}

static void put_le(uint8_t *p, uint64_t v, int n)
{
    for (int i = 0; i < n; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

void buf_put_u16(struct buf *b, uint16_t v)
{
    put_le(buf_extend(b, 2), v, 2);
}

void buf_put_u32(struct buf *b, uint32_t v)
{
    put_le(buf_extend(b, 4), v, 4);
}

void buf_put_u64(struct buf *b, uint64_t v)
{
    put_le(buf_extend(b, 8), v, 8);
}

void buf_put_varint(struct buf *b, uint64_t v)
{
    uint8_t *p = buf_reserve(b, 10);
    size_t n = 0;

    while (v >= 0x80) {
        p[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    p[n++] = (uint8_t)v;
    b->len += n;
}

void buf_put_bytes(struct buf *b, struct bytes v)
{
    buf_put_varint(b, v.len);
    buf_put(b, v.ptr, v.len);
}

void buf_set_u32(struct buf *b, size_t at, uint32_t v)
{
    ASSERT(at + 4 <= b->len);
    put_le(b->ptr + at, v, 4);
}

static const uint8_t *take(struct rd *r, size_t n)
{
    const uint8_t *p = r->ptr;

    if (r->bad || rd_left(r) < n) {
        r->bad = true;
        return NULL;
    }
    r->ptr += n;
    return p;
}

static uint64_t get_le(struct rd *r, int n)
{
    const uint8_t *p = take(r, (size_t)n);
    uint64_t v = 0;

    if (p == NULL)
        return 0;
    for (int i = n - 1; i >= 0; i--)
        v = v << 8 | p[i];
    return v;
}

uint8_t rd_u8(struct rd *r)
{
    return (uint8_t)get_le(r, 1);
}

uint16_t rd_u16(struct rd *r)
{
    return (uint16_t)get_le(r, 2);
}

uint32_t rd_u32(struct rd *r)
{
    return (uint32_t)get_le(r, 4);
}

uint64_t rd_u64(struct rd *r)
{
    return get_le(r, 8);
}

uint64_t rd_varint(struct rd *r)
{
    uint64_t v = 0;

    for (int shift = 0; shift < 64; shift += 7) {
        const uint8_t *p = take(r, 1);

        if (p == NULL)
            return 0;
        if (shift == 63 && *p > 1)
            break;
        v |= (uint64_t)(*p & 0x7f) << shift;
        if ((*p & 0x80) == 0)
            return v;
    }
    r->bad = true;
    return 0;
}

struct bytes rd_raw(struct rd *r, size_t len)
{
    const uint8_t *p = take(r, len);

    return p == NULL ? bytes_of(NULL, 0) : bytes_of(p, len);
}

struct bytes rd_bytes(struct rd *r)
{
    uint64_t len = rd_varint(r);

    if (len > rd_left(r)) {
        r->bad = true;
        return bytes_of(NULL, 0);
    }
    return rd_raw(r, (size_t)len);
}
