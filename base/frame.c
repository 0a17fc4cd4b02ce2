#include "base/frame.h"

#include <stdbool.h>

#include "base/check.h"

#if defined(__x86_64__)
#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t crc_hw(uint32_t crc, const uint8_t *p, size_t len)
{
    uint64_t c = crc;

    for (; len >= 8; p += 8, len -= 8) {
        uint64_t word;

        memcpy(&word, p, 8);
        c = _mm_crc32_u64(c, word);
    }
    for (; len > 0; p++, len--)
        c = _mm_crc32_u8((uint32_t)c, *p);
    return (uint32_t)c;
}

static bool have_hw(void)
{
    return __builtin_cpu_supports("sse4.2");
}
#else
static uint32_t crc_hw(uint32_t crc, const uint8_t *p, size_t len)
{
    (void)p;
    (void)len;
    return crc;
}

static bool have_hw(void)
{
    return false;
}
#endif

static uint32_t crc_bits(uint32_t crc, const uint8_t *p, size_t len)
{
    while (len-- > 0) {
        crc ^= *p++;
        for (int i = 0; i < 8; i++)
            crc = crc >> 1 ^ (0x82f63b78u & -(crc & 1));
    }
    return crc;
}

uint32_t crc32c(uint32_t crc, const void *ptr, size_t len)
{
    return ~(have_hw() ? crc_hw(~crc, ptr, len) : crc_bits(~crc, ptr, len));
}

enum { MAGIC = 'M' | 'F' << 8 };

size_t frame_begin(struct buf *b, uint8_t kind)
{
    size_t at = b->len;

    buf_put_u32(b, 0);
    buf_put_u32(b, 0);
    buf_put_u16(b, MAGIC);
    buf_put_u8(b, FRAME_VERSION);
    buf_put_u8(b, kind);
    return at;
}

void frame_end(struct buf *b, size_t at)
{
    size_t len = b->len - at - FRAME_HEADER;

    ASSERT(b->len >= at + FRAME_HEADER && len <= UINT32_MAX);
    buf_set_u32(b, at, (uint32_t)len);
    /* The checksum covers magic, version and kind as well: from byte 8 to the end. */
    buf_set_u32(b, at + 4, crc32c(0, b->ptr + at + 8, b->len - at - 8));
}

enum status frame_parse(struct bytes in, size_t max_payload, struct frame *out, struct err *err)
{
    struct rd r = rd_of(in);
    uint32_t len = rd_u32(&r);
    uint32_t crc = rd_u32(&r);
    uint16_t magic = rd_u16(&r);
    uint8_t version = rd_u8(&r);
    uint8_t kind = rd_u8(&r);

    if (r.bad)
        return ST_RETRY;
    if (magic != MAGIC)
        return err_set(err, ST_REJECT, SQLSTATE_PROTOCOL_VIOLATION,
                       "frame has magic 0x%04x, not 0x%04x", magic, MAGIC);
    if (version < FRAME_VERSION_MIN || version > FRAME_VERSION)
        return err_set(err, ST_REJECT, SQLSTATE_PROTOCOL_VIOLATION,
                       "frame has version %u, known are %d to %d", version, FRAME_VERSION_MIN,
                       FRAME_VERSION);
    if (len > max_payload)
        return err_set(err, ST_REJECT, SQLSTATE_PROTOCOL_VIOLATION,
                       "frame of %u bytes is above the limit of %zu", len, max_payload);
    if (rd_left(&r) < len)
        return ST_RETRY;
    if (crc32c(0, in.ptr + 8, (size_t)len + 4) != crc)
        return err_set(err, ST_REJECT, SQLSTATE_PROTOCOL_VIOLATION,
                       "frame of %u bytes has a wrong checksum", len);
    *out = (struct frame){version, kind, bytes_of(in.ptr + FRAME_HEADER, len),
                          FRAME_HEADER + (size_t)len};
    return ST_OK;
}
