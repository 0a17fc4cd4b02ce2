/*
 * bytes.h - byte strings that do not own, and a growing buffer that does; little-endian codec.
 *
 * struct bytes looks at memory of somebody else. struct buf owns heap memory and grows by
 * appending. struct rd reads a byte string front to back and remembers the first thing that was
 * wrong, so that a decoder checks once, at its end. Thread: each object belongs to one thread.
 */
#ifndef MRD_BASE_BYTES_H
#define MRD_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
    const uint8_t *ptr;
    size_t len;
};

static inline struct bytes bytes_of(const void *ptr, size_t len)
{
    return (struct bytes){ptr, len};
}

static inline struct bytes bytes_str(const char *s)
{
    return (struct bytes){(const uint8_t *)s, strlen(s)};
}

static inline bool bytes_eq(struct bytes a, struct bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* Order of unsigned bytes; a proper prefix comes first. <0, 0, >0. */
static inline int bytes_cmp(struct bytes a, struct bytes b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n == 0 ? 0 : memcmp(a.ptr, b.ptr, n);

    return c != 0 ? c : (a.len > b.len) - (a.len < b.len);
}

static inline bool bytes_starts(struct bytes a, struct bytes prefix)
{
    return a.len >= prefix.len && (prefix.len == 0 || memcmp(a.ptr, prefix.ptr, prefix.len) == 0);
}

/* Zeroed memory is an empty buffer. */
struct buf {
    uint8_t *ptr;
    size_t len;
    size_t cap;
};

void buf_fini(struct buf *b); /* frees; zeroed afterwards */
static inline void buf_reset(struct buf *b)
{
    b->len = 0;
}
uint8_t *buf_grow(struct buf *b, size_t n); /* what buf_reserve does when there is no room */
/* Room for n more bytes; returns where they go. len does not move. */
static inline uint8_t *buf_reserve(struct buf *b, size_t n)
{
    return b->cap - b->len < n ? buf_grow(b, n) : b->ptr + b->len;
}
/* n bytes of undefined content are appended; returns where they start. */
static inline uint8_t *buf_extend(struct buf *b, size_t n)
{
    uint8_t *at = buf_reserve(b, n);

    b->len += n;
    return at;
}
void buf_put(struct buf *b, const void *ptr, size_t len);
void buf_put_u8(struct buf *b, uint8_t v);
void buf_put_u16(struct buf *b, uint16_t v);
void buf_put_u32(struct buf *b, uint32_t v);
void buf_put_u64(struct buf *b, uint64_t v);
void buf_put_varint(struct buf *b, uint64_t v);         /* LEB128, 1-10 bytes */
void buf_put_bytes(struct buf *b, struct bytes v);      /* varint length, then bytes */
void buf_set_u32(struct buf *b, size_t at, uint32_t v); /* overwrite at an offset */
static inline struct bytes buf_bytes(const struct buf *b)
{
    return (struct bytes){b->ptr, b->len};
}

/* After any read past the end or any malformed varint, `bad` is set and all reads give zero. */
struct rd {
    const uint8_t *ptr;
    const uint8_t *end;
    bool bad;
};

static inline struct rd rd_of(struct bytes b)
{
    return (struct rd){b.ptr, b.ptr + b.len, false};
}

static inline size_t rd_left(const struct rd *r)
{
    return (size_t)(r->end - r->ptr);
}

uint8_t rd_u8(struct rd *r);
uint16_t rd_u16(struct rd *r);
uint32_t rd_u32(struct rd *r);
uint64_t rd_u64(struct rd *r);
uint64_t rd_varint(struct rd *r);
struct bytes rd_bytes(struct rd *r); /* varint length, then bytes; points into the input */
struct bytes rd_raw(struct rd *r, size_t len); /* exactly len bytes */

#endif
