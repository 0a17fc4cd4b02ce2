/* Functions of bytes and of codes of characters: md5, encode, chr ... */
#include <stdio.h>
#include <string.h>

#include "sql/cast.h"
#include "sql/func_int.h"
#include "sql/utf8.h"

/* MD5 (RFC 1321), as PostgreSQL's md5() has it: for checksums, not for secrets. */
static const uint32_t md5_sines[64] = {
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
    0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
    0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
    0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
    0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
    0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391,
};

static uint32_t rotate(uint32_t x, int by)
{
    return x << by | x >> (32 - by);
}

static void md5_block(uint32_t h[4], const uint8_t *p)
{
    static const int shifts[4][4] = {
        {7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}};
    uint32_t a = h[0];
    uint32_t b = h[1];
    uint32_t c = h[2];
    uint32_t d = h[3];

    for (int i = 0; i < 64; i++) {
        int round = i / 16;
        int g = round == 0 ? i : round == 1 ? 5 * i + 1 : round == 2 ? 3 * i + 5 : 7 * i;
        uint32_t f = round == 0   ? (b & c) | (~b & d)
                     : round == 1 ? (d & b) | (~d & c)
                     : round == 2 ? b ^ c ^ d
                                  : c ^ (b | ~d);
        uint32_t w;
        uint32_t next;

        memcpy(&w, p + 4 * (g % 16), 4); /* little-endian, as every machine that is supported */
        next = b + rotate(a + f + md5_sines[i] + w, shifts[round][i % 4]);
        a = d;
        d = c;
        c = b;
        b = next;
    }
    h[0] += a;
    h[1] += b;
    h[2] += c;
    h[3] += d;
}

static void md5(struct bytes in, uint8_t out[16])
{
    uint32_t h[4] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
    uint8_t tail[128] = {0};
    uint64_t bits = (uint64_t)in.len * 8;
    size_t whole = in.len / 64 * 64;
    size_t rest = in.len - whole;
    size_t padded = rest < 56 ? 64 : 128;

    for (size_t i = 0; i < whole; i += 64)
        md5_block(h, in.ptr + i);
    if (rest > 0)
        memcpy(tail, in.ptr + whole, rest);
    tail[rest] = 0x80;
    memcpy(tail + padded - 8, &bits, 8);
    for (size_t i = 0; i < padded; i += 64)
        md5_block(h, tail + i);
    memcpy(out, h, 16);
}

static struct bytes hex(struct bytes in, struct arena *mem)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t *p = arena_alloc(mem, in.len * 2);

    for (size_t i = 0; i < in.len; i++) {
        p[2 * i] = (uint8_t)digits[in.ptr[i] >> 4];
        p[2 * i + 1] = (uint8_t)digits[in.ptr[i] & 15];
    }
    return bytes_of(p, in.len * 2);
}

static enum status md5_hex(FUNC_ARGS)
{
    uint8_t sum[16];

    FUNC_UNUSED;
    md5(args[0].s, sum);
    return func_put_text(hex(bytes_of(sum, sizeof sum), mem), out);
}

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Lines of 76 characters, as MIME (RFC 2045) and PostgreSQL have them. */
static struct bytes base64(struct bytes in, struct arena *mem)
{
    uint8_t *p = arena_alloc(mem, in.len / 3 * 4 + in.len / 57 + 8);
    size_t n = 0;
    size_t column = 0;

    for (size_t i = 0; i < in.len; i += 3) {
        size_t have = in.len - i < 3 ? in.len - i : 3;
        uint32_t v = (uint32_t)in.ptr[i] << 16 | (have > 1 ? (uint32_t)in.ptr[i + 1] << 8 : 0) |
                     (have > 2 ? (uint32_t)in.ptr[i + 2] : 0);

        if (column == 76) {
            p[n++] = '\n';
            column = 0;
        }
        for (size_t k = 0; k < 4; k++)
            p[n++] = (uint8_t)(k <= have ? base64_digits[v >> (18 - 6 * k) & 63] : '=');
        column += 4;
    }
    return bytes_of(p, n);
}

static enum status from_base64(struct bytes in, struct arena *mem, struct bytes *out,
                               struct err *err)
{
    uint8_t *p = arena_alloc(mem, in.len / 4 * 3 + 4);
    size_t n = 0;
    uint32_t v = 0;
    int have = 0;
    int pads = 0;

    for (size_t i = 0; i < in.len; i++) {
        const char *at = in.ptr[i] == 0 ? NULL : strchr(base64_digits, in.ptr[i]);

        if (in.ptr[i] == '\n' || in.ptr[i] == '\r' || in.ptr[i] == ' ' || in.ptr[i] == '\t')
            continue;
        if (in.ptr[i] == '=' && have < 2 && pads == 0)
            return err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                           "unexpected \"=\" while decoding base64 sequence");
        if (in.ptr[i] == '=')
            pads++;
        else if (at == NULL || pads > 0)
            return err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                           "invalid symbol \"%.*s\" found while decoding base64 sequence",
                           (int)utf8_step(in, i), (const char *)in.ptr + i);
        v = v << 6 | (at == NULL ? 0 : (uint32_t)(at - base64_digits));
        if (++have == 4) {
            for (int k = 0; k < 3 - pads; k++)
                p[n++] = (uint8_t)(v >> (16 - 8 * k));
            have = 0;
            v = 0;
        }
    }
    if (have != 0 || pads > 2) {
        (void)err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                      "invalid base64 end sequence");
        return err_hint(err, "Input data is missing padding, is truncated, or is otherwise "
                             "corrupted.");
    }
    *out = bytes_of(p, n);
    return ST_OK;
}

static enum status bad_encoding(struct bytes name, struct err *err)
{
    return err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                   "unrecognized encoding: \"%.*s\"", (int)name.len, (const char *)name.ptr);
}

static enum status encode(FUNC_ARGS)
{
    FUNC_UNUSED;
    if (bytes_eq(args[1].s, bytes_str("hex")))
        return func_put_text(hex(args[0].s, mem), out);
    if (bytes_eq(args[1].s, bytes_str("base64")))
        return func_put_text(base64(args[0].s, mem), out);
    return bad_encoding(args[1].s, err);
}

static enum status decode(FUNC_ARGS)
{
    struct datum d = {.type = TYPE_BYTEA};
    struct buf literal = {0};
    enum status st;

    FUNC_UNUSED;
    if (bytes_eq(args[1].s, bytes_str("base64"))) {
        st = from_base64(args[0].s, mem, &d.s, err);
        if (st == ST_OK)
            *out = d;
        return st;
    }
    if (!bytes_eq(args[1].s, bytes_str("hex")))
        return bad_encoding(args[1].s, err);
    buf_put(&literal, "\\x", 2);
    buf_put(&literal, args[0].s.ptr, args[0].s.len);
    st = datum_input(TYPE_BYTEA, buf_bytes(&literal), env, mem, out, err);
    buf_fini(&literal);
    return st;
}

static enum status to_hex(FUNC_ARGS)
{
    uint64_t v = args[0].type == TYPE_INT4 ? (uint32_t)args[0].i : (uint64_t)args[0].i;

    FUNC_UNUSED;
    return func_put_text(bytes_str(arena_printf(mem, "%llx", (unsigned long long)v)), out);
}

static enum status chr(FUNC_ARGS)
{
    uint8_t *p = arena_alloc(mem, 4);
    int64_t c = args[0].i;

    FUNC_UNUSED;
    if (c == 0)
        return err_set(err, ST_REJECT, SQLSTATE_PROGRAM_LIMIT_EXCEEDED,
                       "null character not permitted");
    if (c < 0)
        return err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                       "character number must be positive");
    if (c > 0x10ffff)
        return err_set(err, ST_REJECT, SQLSTATE_PROGRAM_LIMIT_EXCEEDED,
                       "requested character too large for encoding: %lld", (long long)c);
    if (c >= 0xd800 && c <= 0xdfff)
        return err_set(err, ST_REJECT, SQLSTATE_PROGRAM_LIMIT_EXCEEDED,
                       "requested character not valid for encoding: %lld", (long long)c);
    return func_put_text(bytes_of(p, utf8_put((uint32_t)c, p)), out);
}

static enum status ascii(FUNC_ARGS)
{
    FUNC_UNUSED;
    return func_put_int(TYPE_INT4, args[0].s.len == 0 ? 0 : (int64_t)utf8_get(args[0].s, 0), out);
}

static enum status bytea_length(FUNC_ARGS)
{
    FUNC_UNUSED;
    return func_put_int(TYPE_INT4, (int64_t)args[0].s.len, out);
}

static enum status bytea_substr(FUNC_ARGS)
{
    int64_t from = args[1].i;
    int64_t to = n > 2 ? from + args[2].i : INT32_MAX; /* not included */
    int64_t len = (int64_t)args[0].s.len;

    FUNC_UNUSED;
    if (n > 2 && args[2].i < 0)
        return err_set(err, ST_REJECT, SQLSTATE_SUBSTRING_ERROR,
                       "negative substring length not allowed");
    from = from < 1 ? 1 : from;
    to = to > len + 1 ? len + 1 : to;
    *out =
        (struct datum){.type = TYPE_BYTEA,
                       .s = from >= to ? bytes_of(args[0].s.ptr, 0)
                                       : bytes_of(args[0].s.ptr + from - 1, (size_t)(to - from))};
    return ST_OK;
}

#define F1(fname, a, r, fn)                                              \
    {                                                                    \
        .name = fname, .n_args = 1, .args = {a}, .result = r, .call = fn \
    }

static const struct func table[] = {
    F1("md5", TYPE_TEXT, TYPE_TEXT, md5_hex),
    F1("md5", TYPE_BYTEA, TYPE_TEXT, md5_hex),
    F1("to_hex", TYPE_INT4, TYPE_TEXT, to_hex),
    F1("to_hex", TYPE_INT8, TYPE_TEXT, to_hex),
    F1("chr", TYPE_INT4, TYPE_TEXT, chr),
    F1("ascii", TYPE_TEXT, TYPE_INT4, ascii),
    F1("length", TYPE_BYTEA, TYPE_INT4, bytea_length),
    F1("octet_length", TYPE_BYTEA, TYPE_INT4, bytea_length),
    {.name = "substr",
     .n_args = 2,
     .args = {TYPE_BYTEA, TYPE_INT4},
     .result = TYPE_BYTEA,
     .call = bytea_substr},
    {.name = "substr",
     .n_args = 3,
     .args = {TYPE_BYTEA, TYPE_INT4, TYPE_INT4},
     .result = TYPE_BYTEA,
     .call = bytea_substr},
    {.name = "substring",
     .n_args = 2,
     .args = {TYPE_BYTEA, TYPE_INT4},
     .result = TYPE_BYTEA,
     .call = bytea_substr},
    {.name = "substring",
     .n_args = 3,
     .args = {TYPE_BYTEA, TYPE_INT4, TYPE_INT4},
     .result = TYPE_BYTEA,
     .call = bytea_substr},
    {.name = "encode",
     .n_args = 2,
     .args = {TYPE_BYTEA, TYPE_TEXT},
     .result = TYPE_TEXT,
     .call = encode},
    {.name = "decode",
     .n_args = 2,
     .args = {TYPE_TEXT, TYPE_TEXT},
     .result = TYPE_BYTEA,
     .call = decode},
};

const struct func_table func_bytes_table = {table, sizeof table / sizeof table[0]};
