#include "sql/like.h"

#include "sql/utf8.h"

enum match { MATCH_NO, MATCH_YES, MATCH_BAD_PATTERN };

/* Greedy with one point to go back to: a later % makes an earlier one settle. */
static enum match match(struct bytes text, struct bytes pat, int escape)
{
    size_t t = 0;
    size_t p = 0;
    size_t back_p = SIZE_MAX;
    size_t back_t = 0;

    for (;;) {
        if (p < pat.len && pat.ptr[p] == '%' && (int)pat.ptr[p] != escape) {
            back_p = ++p;
            back_t = t;
            continue;
        }
        if (p == pat.len && t == text.len)
            return MATCH_YES;
        if (p < pat.len && (int)pat.ptr[p] == escape) {
            if (t == text.len)
                return MATCH_NO; /* without a look at what is escaped, as PostgreSQL */
            if (p + 1 == pat.len)
                return MATCH_BAD_PATTERN;
            if (pat.ptr[p + 1] == text.ptr[t]) {
                p += 2;
                t++;
                continue;
            }
        } else if (p < pat.len && t < text.len && pat.ptr[p] == '_') {
            p++;
            t += utf8_step(text, t);
            continue;
        } else if (p < pat.len && t < text.len && pat.ptr[p] == text.ptr[t]) {
            p++;
            t++;
            continue;
        }
        if (back_p == SIZE_MAX || back_t >= text.len)
            return MATCH_NO;
        back_t += utf8_step(text, back_t);
        t = back_t;
        p = back_p;
    }
}

enum status like_match(struct bytes text, struct bytes pattern, int escape, bool *out,
                       struct err *err)
{
    enum match m = match(text, pattern, escape);

    if (m == MATCH_BAD_PATTERN)
        return err_set(err, ST_REJECT, SQLSTATE_INVALID_ESCAPE_SEQUENCE,
                       "LIKE pattern must not end with escape character");
    *out = m == MATCH_YES;
    return ST_OK;
}

enum status ilike_match(struct bytes text, struct bytes pattern, int escape, struct arena *mem,
                        bool *out, struct err *err)
{
    return like_match(utf8_lower(text, mem), utf8_lower(pattern, mem), escape, out, err);
}

enum status like_escape(struct bytes pattern, struct bytes escape, struct arena *mem,
                        struct bytes *out, struct err *err)
{
    uint8_t *p = arena_alloc(mem, 2 * pattern.len + 1);
    size_t n = 0;

    if (escape.len > 0 && utf8_step(escape, 0) != escape.len)
        goto bad_escape;
    for (size_t i = 0; i < pattern.len;) {
        if (escape.len > 0 && bytes_starts(bytes_of(pattern.ptr + i, pattern.len - i), escape)) {
            size_t step;

            i += escape.len;
            p[n++] = '\\';
            if (i == pattern.len)
                break; /* refused by the match */
            step = utf8_step(pattern, i);
            memcpy(p + n, pattern.ptr + i, step);
            n += step;
            i += step;
        } else {
            if (pattern.ptr[i] == '\\')
                p[n++] = '\\';
            p[n++] = pattern.ptr[i++];
        }
    }
    *out = bytes_of(p, n);
    return ST_OK;
bad_escape:
    (void)err_set(err, ST_REJECT, SQLSTATE_INVALID_ESCAPE_SEQUENCE, "invalid escape string");
    return err_hint(err, "Escape string must be empty or one character.");
}

struct bytes like_prefix(struct bytes pattern, int escape, struct arena *mem, bool *out_exact)
{
    uint8_t *p = arena_alloc(mem, pattern.len + 1);
    size_t n = 0;
    size_t i = 0;

    while (i < pattern.len) {
        if ((int)pattern.ptr[i] == escape) {
            if (++i == pattern.len)
                break;
        } else if (pattern.ptr[i] == '%' || pattern.ptr[i] == '_') {
            break;
        }
        p[n++] = pattern.ptr[i++];
    }
    *out_exact = i == pattern.len;
    return bytes_of(p, n);
}
