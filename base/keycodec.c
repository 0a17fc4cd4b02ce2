#include "base/keycodec.h"

#include <string.h>

#include "base/check.h"

/*
 * A part is a tag byte and a body. Tags are above 0x00 and below 0xff, apart for each direction of
 * NULL so that NULLs come last ascending and first descending. Of a descending part the body is the
 * ascending body with every byte inverted; the tag stays as it is, since it only tells NULL from a value.
 */
enum {
    TAG_NULL_DESC = 0x02,
    TAG_VALUE = 0x10,
    TAG_NULL_ASC = 0xf0,
    ID_ONE_BYTE_MAX = 0xf0 /* first bytes 0x01..0xf0 carry small ids */
};

/* Bytes strings escape 0x00 as 0x00 0xff and end with 0x00 0x01: the end sorts below any content. */
enum { ESCAPED_ZERO = 0xff, END_MARK = 0x01 };

void key_put_id(struct buf *b, uint64_t id)
{
    uint8_t be[8];
    int n = 8;

    ASSERT(id < UINT64_MAX - ID_ONE_BYTE_MAX);
    if (id < ID_ONE_BYTE_MAX) {
        buf_put_u8(b, (uint8_t)(id + 1));
        return;
    }
    for (int i = 0; i < 8; i++)
        be[i] = (uint8_t)(id >> (56 - 8 * i));
    while (n > 1 && be[8 - n] == 0)
        n--;
    buf_put_u8(b, (uint8_t)(ID_ONE_BYTE_MAX + n));
    buf_put(b, be + 8 - n, (size_t)n);
}

uint64_t key_get_id(struct rd *r)
{
    uint8_t first = rd_u8(r);
    uint64_t id = 0;
    int n;

    if (first >= 1 && first <= ID_ONE_BYTE_MAX)
        return first - 1u;
    n = first - ID_ONE_BYTE_MAX;
    if (first == 0 || n > 8) {
        r->bad = true;
        return 0;
    }
    for (int i = 0; i < n; i++)
        id = id << 8 | rd_u8(r);
    if (id < ID_ONE_BYTE_MAX || (n > 1 && id >> (8 * (n - 1)) == 0))
        r->bad = true; /* not the shortest code: two codes for one id would break the order */
    return r->bad ? 0 : id;
}

void key_put_null(struct buf *b, enum key_dir dir)
{
    buf_put_u8(b, dir == KEY_ASC ? TAG_NULL_ASC : TAG_NULL_DESC);
}

static uint8_t flip(enum key_dir dir)
{
    return dir == KEY_ASC ? 0x00 : 0xff;
}

void key_put_bool(struct buf *b, bool v, enum key_dir dir)
{
    uint8_t *p = buf_extend(b, 2);

    p[0] = TAG_VALUE;
    p[1] = (uint8_t)((v ? 1 : 0) ^ flip(dir));
}

static void put_u64(struct buf *b, uint64_t v, enum key_dir dir)
{
    uint8_t *p = buf_extend(b, 9);

    if (dir == KEY_DESC)
        v = ~v;
    p[0] = TAG_VALUE;
    for (int i = 0; i < 8; i++)
        p[1 + i] = (uint8_t)(v >> (56 - 8 * i));
}

static bool take_tag(struct rd *r)
{
    if (rd_u8(r) != TAG_VALUE)
        r->bad = true;
    return !r->bad;
}

static uint64_t get_u64(struct rd *r, enum key_dir dir)
{
    struct bytes raw;
    uint64_t v = 0;

    if (!take_tag(r))
        return 0;
    raw = rd_raw(r, 8);
    if (r->bad)
        return 0;
    for (int i = 0; i < 8; i++)
        v = v << 8 | raw.ptr[i];
    return dir == KEY_DESC ? ~v : v;
}

#define SIGN_BIT ((uint64_t)1 << 63)

void key_put_int(struct buf *b, int64_t v, enum key_dir dir)
{
    put_u64(b, (uint64_t)v ^ SIGN_BIT, dir);
}

int64_t key_get_int(struct rd *r, enum key_dir dir)
{
    uint64_t v = get_u64(r, dir);

    return r->bad ? 0 : (int64_t)(v ^ SIGN_BIT);
}

void key_put_double(struct buf *b, double v, enum key_dir dir)
{
    uint64_t u;

    if (v == 0)
        v = 0; /* -0.0 equals 0.0, so it has its code */
    if (v != v) {
        u = UINT64_MAX; /* every NaN is the same, above infinity */
    } else {
        memcpy(&u, &v, 8);
        u = u & SIGN_BIT ? ~u : u | SIGN_BIT;
    }
    put_u64(b, u, dir);
}

double key_get_double(struct rd *r, enum key_dir dir)
{
    uint64_t u = get_u64(r, dir);
    double v;

    if (r->bad)
        return 0;
    if (u == UINT64_MAX)
        u = 0x7ff8000000000000u;
    else
        u = u & SIGN_BIT ? u & ~SIGN_BIT : ~u;
    memcpy(&v, &u, 8);
    return v;
}

void key_put_bytes(struct buf *b, struct bytes v, enum key_dir dir)
{
    uint8_t x = flip(dir);
    size_t zeros = 0;
    uint8_t *p;

    for (size_t i = 0; i < v.len; i++)
        zeros += v.ptr[i] == 0;
    p = buf_extend(b, 1 + v.len + zeros + 2);
    *p++ = TAG_VALUE;
    for (size_t i = 0; i < v.len; i++) {
        *p++ = v.ptr[i] ^ x;
        if (v.ptr[i] == 0)
            *p++ = ESCAPED_ZERO ^ x;
    }
    *p++ = x;
    *p++ = END_MARK ^ x;
}

bool key_get_null(struct rd *r, enum key_dir dir)
{
    uint8_t want = dir == KEY_ASC ? TAG_NULL_ASC : TAG_NULL_DESC;

    if (r->bad || rd_left(r) == 0 || *r->ptr != want)
        return false;
    r->ptr++;
    return true;
}

bool key_get_bool(struct rd *r, enum key_dir dir)
{
    uint8_t v;

    if (!take_tag(r))
        return false;
    v = rd_u8(r) ^ flip(dir);
    if (v > 1)
        r->bad = true;
    return v == 1 && !r->bad;
}

struct bytes key_get_bytes(struct rd *r, enum key_dir dir, struct arena *mem)
{
    uint8_t x = flip(dir);
    const uint8_t *zero;
    uint8_t *out;
    size_t n = 0;

    if (!take_tag(r))
        return bytes_of(NULL, 0);
    zero = dir == KEY_ASC ? memchr(r->ptr, 0, rd_left(r)) : NULL;
    if (zero != NULL && zero + 1 < r->end && zero[1] == END_MARK) {
        struct bytes plain = bytes_of(r->ptr, (size_t)(zero - r->ptr));

        r->ptr = zero + 2;
        return plain;
    }
    out = arena_alloc(mem, rd_left(r));
    for (;;) {
        uint8_t c = rd_u8(r) ^ x;
        uint8_t next;

        if (r->bad)
            return bytes_of(NULL, 0);
        if (c != 0) {
            out[n++] = c;
            continue;
        }
        next = rd_u8(r) ^ x;
        if (!r->bad && next == END_MARK)
            return bytes_of(out, n);
        if (next != ESCAPED_ZERO)
            r->bad = true;
        out[n++] = 0;
    }
}

bool key_prefix_end(struct buf *b)
{
    size_t n = b->len;

    while (n > 0 && b->ptr[n - 1] == 0xff)
        n--;
    if (n == 0)
        return false;
    b->ptr[n - 1]++;
    b->len = n;
    return true;
}
