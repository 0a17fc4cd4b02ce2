#include "sql/utf8.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Length of the valid character at the start of n > 0 bytes; 0 if it is not one. */
static size_t valid_step(const uint8_t *p, size_t n)
{
    if (p[0] < 0x80)
        return p[0] != 0;
    if (p[0] < 0xc2)
        return 0;
    if (p[0] < 0xe0)
        return n >= 2 && (p[1] & 0xc0) == 0x80 ? 2 : 0;
    if (p[0] < 0xf0) {
        if (n < 3 || (p[1] & 0xc0) != 0x80 || (p[2] & 0xc0) != 0x80)
            return 0;
        if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] >= 0xa0))
            return 0; /* too long a form, or half of a surrogate pair */
        return 3;
    }
    if (p[0] > 0xf4 || n < 4 || (p[1] & 0xc0) != 0x80 || (p[2] & 0xc0) != 0x80 ||
        (p[3] & 0xc0) != 0x80)
        return 0;
    return (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] >= 0x90) ? 0 : 4;
}

static enum status bad_sequence(const uint8_t *p, size_t n, struct err *err)
{
    static const size_t by_lead[] = {2, 2, 3,
                                     4}; /* 10x, 110x, 1110, 1111: how many bytes are shown */
    size_t show = p[0] < 0x80 ? 1 : p[0] < 0xc0 ? 1 : by_lead[((p[0] >> 4) & 3)];
    char hex[32];
    size_t len = 0;

    if (p[0] > 0xf4)
        show = 1;
    for (size_t i = 0; i < show && i < n; i++)
        len += (size_t)snprintf(hex + len, sizeof hex - len, i == 0 ? "0x%02x" : " 0x%02x", p[i]);
    return err_set(err, ST_REJECT, SQLSTATE_CHARACTER_NOT_IN_REPERTOIRE,
                   "invalid byte sequence for encoding \"UTF8\": %s", hex);
}

enum status utf8_check(struct bytes text, struct err *err)
{
    size_t at = 0;

    while (at < text.len) {
        uint64_t eight;
        size_t n;

        /* Eight plain characters at a time: no high bit, and no zero byte. */
        if (text.len - at >= 8) {
            memcpy(&eight, text.ptr + at, 8);
            if (((eight | (eight - UINT64_C(0x0101010101010101))) & UINT64_C(0x8080808080808080)) ==
                0) {
                at += 8;
                continue;
            }
        }
        n = valid_step(text.ptr + at, text.len - at);
        if (n == 0)
            return bad_sequence(text.ptr + at, text.len - at, err);
        at += n;
    }
    return ST_OK;
}

size_t utf8_count(struct bytes text)
{
    size_t n = 0;

    for (size_t i = 0; i < text.len; i++)
        n += (text.ptr[i] & 0xc0) != 0x80;
    return n;
}

size_t utf8_offset(struct bytes text, size_t chars)
{
    size_t at = 0;

    for (; chars > 0 && at < text.len; chars--)
        at += utf8_step(text, at);
    return at;
}

size_t utf8_clip(struct bytes text, size_t max)
{
    if (text.len <= max)
        return text.len;
    while (max > 0 && (text.ptr[max] & 0xc0) == 0x80)
        max--;
    return max;
}

size_t utf8_put(uint32_t c, uint8_t *out)
{
    if (c < 0x80) {
        out[0] = (uint8_t)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (uint8_t)(0xc0 | c >> 6);
        out[1] = (uint8_t)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (uint8_t)(0xe0 | c >> 12);
        out[1] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
        out[2] = (uint8_t)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (uint8_t)(0xf0 | c >> 18);
    out[1] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
    out[2] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
    out[3] = (uint8_t)(0x80 | (c & 0x3f));
    return 4;
}

uint32_t utf8_get(struct bytes text, size_t at)
{
    size_t n = utf8_step(text, at);
    uint32_t c = text.ptr[at];

    if (n == 1)
        return c;
    c &= 0x7fU >> n;
    for (size_t i = 1; i < n; i++)
        c = c << 6 | (text.ptr[at + i] & 0x3fU);
    return c;
}

/* The letter of the other case for the scripts that have plain pairs: Latin, Greek, Cyrillic, Armenian.
 * Written out because the C library's answer depends on the locale of the process. */
static uint32_t swap_case(uint32_t c, bool upper)
{
    if (c < 0x80) {
        if (upper)
            return c >= 'a' && c <= 'z' ? c - 32 : c;
        return c >= 'A' && c <= 'Z' ? c + 32 : c;
    }
    if (upper) {
        if ((c >= 0xe0 && c <= 0xfe && c != 0xf7) || (c >= 0x3b1 && c <= 0x3cb && c != 0x3c2) ||
            (c >= 0x430 && c <= 0x44f))
            return c - 32;
        if (c >= 0x450 && c <= 0x45f)
            return c - 80;
        if (c >= 0x561 && c <= 0x586)
            return c - 48;
        if (c == 0xff)
            return 0x178;
        if (c == 0x3c2)
            return 0x3a3;
    } else {
        if ((c >= 0xc0 && c <= 0xde && c != 0xd7) || (c >= 0x391 && c <= 0x3ab && c != 0x3a2) ||
            (c >= 0x410 && c <= 0x42f))
            return c + 32;
        if (c >= 0x400 && c <= 0x40f)
            return c + 80;
        if (c >= 0x531 && c <= 0x556)
            return c + 48;
        if (c == 0x178)
            return 0xff;
    }
    /* Neighbouring pairs: even is upper, odd is lower. */
    if ((c >= 0x100 && c <= 0x12f) || (c >= 0x132 && c <= 0x137) || (c >= 0x14a && c <= 0x177) ||
        (c >= 0x1de && c <= 0x1ef) || (c >= 0x1f8 && c <= 0x21f) || (c >= 0x222 && c <= 0x233) ||
        (c >= 0x460 && c <= 0x481) || (c >= 0x48a && c <= 0x4bf) || (c >= 0x4d0 && c <= 0x52f) ||
        (c >= 0x1e00 && c <= 0x1e95) || (c >= 0x1ea0 && c <= 0x1eff))
        return upper ? c & ~1U : c | 1U;
    /* And where odd is upper, even is lower. */
    if ((c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17e) || (c >= 0x1cd && c <= 0x1dc) ||
        (c >= 0x4c1 && c <= 0x4ce))
        return upper ? c - ((c & 1) == 0) : c + (c & 1);
    return c;
}

static struct bytes convert(struct bytes text, bool upper, struct arena *mem)
{
    uint8_t *out = arena_alloc(mem, text.len * 2 + 4);
    size_t n = 0;

    for (size_t at = 0; at < text.len; at += utf8_step(text, at))
        n += utf8_put(swap_case(utf8_get(text, at), upper), out + n);
    return bytes_of(out, n);
}

struct bytes utf8_upper(struct bytes text, struct arena *mem)
{
    return convert(text, true, mem);
}

struct bytes utf8_lower(struct bytes text, struct arena *mem)
{
    return convert(text, false, mem);
}
