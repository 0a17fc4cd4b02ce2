/*
 * utf8.h - characters in text: checking, counting, stepping, simple letter case.
 *
 * All but utf8_check() take text that is valid already; on other bytes they stay within the text.
 * Pure functions.
 */
#ifndef MRD_SQL_UTF8_H
#define MRD_SQL_UTF8_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/status.h"

/* 22021 unless valid UTF-8 without zero bytes. */
enum status utf8_check(struct bytes text, struct err *err) MRD_CHECKED;

/* Bytes of the character at a position that is not the end: 1..4, never past the end. */
static inline size_t utf8_step(struct bytes text, size_t at)
{
    uint8_t c = text.ptr[at];
    size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

    return n <= text.len - at ? n : text.len - at;
}

size_t utf8_count(struct bytes text); /* characters */
size_t utf8_offset(struct bytes text,
                   size_t chars); /* bytes of the first n characters; at most text.len */
size_t utf8_clip(struct bytes text,
                 size_t max);              /* most bytes <= max that end with a whole character */
size_t utf8_put(uint32_t c, uint8_t *out); /* appends 1..4 bytes, returns how many */
uint32_t utf8_get(struct bytes text,
                  size_t at); /* the character at a position that is not the end */

/* Letter by letter in the way of the C.UTF-8 locale: towupper() and towlower() for the first plane's letters. */
struct bytes utf8_upper(struct bytes text, struct arena *mem);
struct bytes utf8_lower(struct bytes text, struct arena *mem);

#endif
