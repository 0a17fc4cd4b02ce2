/* Functions of text, in characters. */
#include <string.h>

#include "sql/cast.h"
#include "sql/func_int.h"
#include "sql/utf8.h"

static enum status text_length(FUNC_ARGS)
{
    FUNC_UNUSED;
    return func_put_int(TYPE_INT4, (int64_t)utf8_count(args[0].s), out);
}

static enum status octets(FUNC_ARGS)
{
    FUNC_UNUSED;
    return func_put_int(TYPE_INT4, (int64_t)args[0].s.len, out);
}

static enum status bits(FUNC_ARGS)
{
    FUNC_UNUSED;
    return func_put_int(TYPE_INT4, (int64_t)args[0].s.len * 8, out);
}

static enum status text_lower(FUNC_ARGS)
{
    FUNC_UNUSED;
    return func_put_text(utf8_lower(args[0].s, mem), out);
}

static enum status text_upper(FUNC_ARGS)
{
    FUNC_UNUSED;
    return func_put_text(utf8_upper(args[0].s, mem), out);
}

/* Characters from..to of s, 1-based, both included; what lies outside is not there. */
static struct bytes slice(struct bytes s, int64_t from, int64_t to)
{
    size_t begin;
    size_t end;

    if (from < 1)
        from = 1;
    if (to < from)
        return bytes_of(s.ptr, 0);
    begin = utf8_offset(s, (size_t)from - 1);
    s = bytes_of(s.ptr + begin, s.len - begin);
    end = utf8_offset(s, (size_t)(to - from) + 1);
    return bytes_of(s.ptr, end);
}

static enum status text_substr(FUNC_ARGS)
{
    int64_t from = args[1].i;
    int64_t to = INT32_MAX;

    FUNC_UNUSED;
    if (n > 2) {
        if (args[2].i < 0)
            return err_set(err, ST_REJECT, SQLSTATE_SUBSTRING_ERROR,
                           "negative substring length not allowed");
        to = from + args[2].i - 1;
    }
    return func_put_text(slice(args[0].s, from, to), out);
}

static enum status text_left(FUNC_ARGS)
{
    int64_t chars = args[1].i;

    FUNC_UNUSED;
    if (chars < 0)
        chars += (int64_t)utf8_count(args[0].s);
    return func_put_text(slice(args[0].s, 1, chars), out);
}

static enum status text_right(FUNC_ARGS)
{
    int64_t count = (int64_t)utf8_count(args[0].s);
    int64_t chars = args[1].i;

    FUNC_UNUSED;
    return func_put_text(slice(args[0].s, chars < 0 ? 1 - chars : count - chars + 1, count), out);
}

/* Where needle begins in s at or after byte `from`; SIZE_MAX if nowhere. */
static size_t find(struct bytes s, struct bytes needle, size_t from)
{
    const uint8_t *p;

    if (needle.len == 0)
        return from;
    if (s.len - from < needle.len)
        return SIZE_MAX;
    p = memmem(s.ptr + from, s.len - from, needle.ptr, needle.len);
    return p == NULL ? SIZE_MAX : (size_t)(p - s.ptr);
}

static enum status text_position(struct bytes s, struct bytes needle, struct datum *out)
{
    size_t at = find(s, needle, 0);

    return func_put_int(TYPE_INT4,
                        at == SIZE_MAX ? 0 : (int64_t)utf8_count(bytes_of(s.ptr, at)) + 1, out);
}

static enum status text_strpos(FUNC_ARGS) /* position(text, needle): the grammar swaps x IN y */
{
    FUNC_UNUSED;
    return text_position(args[0].s, args[1].s, out);
}

static enum status text_replace(FUNC_ARGS)
{
    struct bytes s = args[0].s;
    struct bytes old = args[1].s;
    struct bytes new = args[2].s;
    struct buf b = {0};
    size_t at = 0;
    enum status st = ST_OK;

    FUNC_UNUSED;
    if (old.len == 0 || find(s, old, 0) == SIZE_MAX)
        return func_put_text(s, out);
    for (size_t hit; (hit = find(s, old, at)) != SIZE_MAX; at = hit + old.len) {
        buf_put(&b, s.ptr + at, hit - at);
        buf_put(&b, new.ptr, new.len);
        st = func_check_size(env, b.len, err);
        if (st != ST_OK)
            goto out;
    }
    buf_put(&b, s.ptr + at, s.len - at);
    st = func_put_text(arena_copy(mem, buf_bytes(&b)), out);
out:
    buf_fini(&b);
    return st;
}

/* Copies of a character set: is the character at `at` of s in set? */
static bool in_set(struct bytes s, size_t at, struct bytes set)
{
    size_t step = utf8_step(s, at);

    for (size_t i = 0; i < set.len; i += utf8_step(set, i))
        if (utf8_step(set, i) == step && memcmp(set.ptr + i, s.ptr + at, step) == 0)
            return true;
    return false;
}

static size_t last_char(struct bytes s)
{
    size_t at = s.len - 1;

    while (at > 0 && (s.ptr[at] & 0xc0) == 0x80)
        at--;
    return at;
}

static struct bytes trim(struct bytes s, struct bytes set, bool left, bool right)
{
    while (left && s.len > 0 && in_set(s, 0, set)) {
        size_t step = utf8_step(s, 0);

        s = bytes_of(s.ptr + step, s.len - step);
    }
    while (right && s.len > 0 && in_set(s, last_char(s), set))
        s.len = last_char(s);
    return s;
}

static struct bytes trim_set(const struct datum *args, size_t n)
{
    return n > 1 ? args[1].s : bytes_str(" ");
}

static enum status text_btrim(FUNC_ARGS)
{
    FUNC_UNUSED;
    return func_put_text(trim(args[0].s, trim_set(args, n), true, true), out);
}

static enum status text_ltrim(FUNC_ARGS)
{
    FUNC_UNUSED;
    return func_put_text(trim(args[0].s, trim_set(args, n), true, false), out);
}

static enum status text_rtrim(FUNC_ARGS)
{
    FUNC_UNUSED;
    return func_put_text(trim(args[0].s, trim_set(args, n), false, true), out);
}

/* `chars` characters of fill, over and over. */
static void put_fill(struct buf *b, struct bytes fill, size_t chars)
{
    size_t at = 0;

    for (size_t i = 0; i < chars; i++) {
        size_t step = utf8_step(fill, at);

        buf_put(b, fill.ptr + at, step);
        at = at + step == fill.len ? 0 : at + step;
    }
}

static enum status pad(bool left, FUNC_ARGS)
{
    struct bytes s = args[0].s;
    struct bytes fill = n > 2 ? args[2].s : bytes_str(" ");
    size_t want = args[1].i < 0 ? 0 : (size_t)args[1].i;
    size_t have = utf8_count(s);
    struct buf b = {0};
    enum status st;

    if (have >= want || fill.len == 0)
        return func_put_text(slice(s, 1, (int64_t)want), out);
    st = func_check_size(env, s.len + (uint64_t)(want - have) * 4, err);
    if (st != ST_OK)
        return st;
    if (left)
        put_fill(&b, fill, want - have);
    buf_put(&b, s.ptr, s.len);
    if (!left)
        put_fill(&b, fill, want - have);
    st = func_put_text(arena_copy(mem, buf_bytes(&b)), out);
    buf_fini(&b);
    return st;
}

static enum status text_lpad(FUNC_ARGS)
{
    return pad(true, env, args, n, mem, out, err);
}

static enum status text_rpad(FUNC_ARGS)
{
    return pad(false, env, args, n, mem, out, err);
}

static enum status text_repeat(FUNC_ARGS)
{
    size_t times = args[1].i < 0 ? 0 : (size_t)args[1].i;
    enum status st = func_check_size(env, (uint64_t)args[0].s.len * times, err);
    uint8_t *p;

    FUNC_UNUSED;
    if (st != ST_OK)
        return st;
    p = arena_alloc(mem, args[0].s.len * times);
    for (size_t i = 0; i < times && args[0].s.len > 0; i++)
        memcpy(p + i * args[0].s.len, args[0].s.ptr, args[0].s.len);
    return func_put_text(bytes_of(p, args[0].s.len * times), out);
}

static enum status text_reverse(FUNC_ARGS)
{
    struct bytes s = args[0].s;
    uint8_t *p = arena_alloc(mem, s.len);
    size_t to = s.len;

    FUNC_UNUSED;
    for (size_t at = 0; at < s.len;) {
        size_t step = utf8_step(s, at);

        to -= step;
        memcpy(p + to, s.ptr + at, step);
        at += step;
    }
    return func_put_text(bytes_of(p, s.len), out);
}

static enum status split_part(FUNC_ARGS)
{
    struct bytes s = args[0].s;
    struct bytes sep = args[1].s;
    int64_t field = args[2].i;
    int64_t fields = 1;
    size_t at = 0;

    FUNC_UNUSED;
    if (field == 0)
        return err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                       "field position must not be zero");
    if (sep.len == 0 || s.len == 0)
        return func_put_text(field == 1 || field == -1 ? s : bytes_of(s.ptr, 0), out);
    for (size_t hit, from = 0; (hit = find(s, sep, from)) != SIZE_MAX; from = hit + sep.len)
        fields++;
    if (field < 0)
        field += fields + 1;
    for (int64_t i = 1; i <= fields; i++) {
        size_t hit = find(s, sep, at);
        size_t end = hit == SIZE_MAX ? s.len : hit;

        if (i == field)
            return func_put_text(bytes_of(s.ptr + at, end - at), out);
        at = end + sep.len;
    }
    return func_put_text(bytes_of(s.ptr, 0), out);
}

static enum status starts_with(FUNC_ARGS)
{
    FUNC_UNUSED;
    *out = datum_bool(bytes_starts(args[0].s, args[1].s));
    return ST_OK;
}

static enum status initcap(FUNC_ARGS)
{
    struct bytes s = utf8_lower(args[0].s, mem);
    struct buf b = {0};
    bool inside = false;

    FUNC_UNUSED;
    for (size_t at = 0; at < s.len;) {
        size_t step = utf8_step(s, at);
        struct bytes c = bytes_of(s.ptr + at, step);
        bool letter = step > 1 || (s.ptr[at] >= 'a' && s.ptr[at] <= 'z') ||
                      (s.ptr[at] >= '0' && s.ptr[at] <= '9');

        if (letter && !inside)
            c = utf8_upper(c, mem);
        buf_put(&b, c.ptr, c.len);
        inside = letter;
        at += step;
    }
    *out = (struct datum){.type = TYPE_TEXT, .s = arena_copy(mem, buf_bytes(&b))};
    buf_fini(&b);
    return ST_OK;
}

/* NULLs are left out; anything else is taken in its text form. */
static enum status concat_from(struct bytes sep, size_t first, FUNC_ARGS)
{
    struct buf b = {0};
    bool any = false;
    enum status st = ST_OK;

    for (size_t i = first; i < n && st == ST_OK; i++) {
        struct bytes s;

        if (args[i].null)
            continue;
        s = datum_output(&args[i], env, mem);
        if (any)
            buf_put(&b, sep.ptr, sep.len);
        buf_put(&b, s.ptr, s.len);
        any = true;
        st = func_check_size(env, b.len, err);
    }
    if (st == ST_OK)
        *out = (struct datum){.type = TYPE_TEXT, .s = arena_copy(mem, buf_bytes(&b))};
    buf_fini(&b);
    return st;
}

static enum status concat(FUNC_ARGS)
{
    return concat_from(bytes_of(NULL, 0), 0, env, args, n, mem, out, err);
}

static enum status concat_ws(FUNC_ARGS)
{
    if (args[0].null) {
        *out = datum_null(TYPE_TEXT);
        return ST_OK;
    }
    return concat_from(args[0].s, 1, env, args, n, mem, out, err);
}

#define T TYPE_TEXT
#define I TYPE_INT4
#define F1(fname, a, r, fn)                                              \
    {                                                                    \
        .name = fname, .n_args = 1, .args = {a}, .result = r, .call = fn \
    }
#define F2(fname, a, b, r, fn)                                              \
    {                                                                       \
        .name = fname, .n_args = 2, .args = {a, b}, .result = r, .call = fn \
    }
#define F3(fname, a, b, c, r, fn)                                              \
    {                                                                          \
        .name = fname, .n_args = 3, .args = {a, b, c}, .result = r, .call = fn \
    }

static const struct func table[] = {
    F1("length", T, I, text_length),
    F1("char_length", T, I, text_length),
    F1("character_length", T, I, text_length),
    F1("octet_length", T, I, octets),
    F1("octet_length", TYPE_BPCHAR, I, octets),
    F1("bit_length", T, I, bits),
    F1("bit_length", TYPE_BYTEA, I, bits),
    F1("lower", T, T, text_lower),
    F1("upper", T, T, text_upper),
    F1("initcap", T, T, initcap),
    F2("substr", T, I, T, text_substr),
    F3("substr", T, I, I, T, text_substr),
    F2("substring", T, I, T, text_substr),
    F3("substring", T, I, I, T, text_substr),
    F2("left", T, I, T, text_left),
    F2("right", T, I, T, text_right),
    F2("position", T, T, I, text_strpos),
    F2("strpos", T, T, I, text_strpos),
    F3("replace", T, T, T, T, text_replace),
    F1("btrim", T, T, text_btrim),
    F2("btrim", T, T, T, text_btrim),
    F1("ltrim", T, T, text_ltrim),
    F2("ltrim", T, T, T, text_ltrim),
    F1("rtrim", T, T, text_rtrim),
    F2("rtrim", T, T, T, text_rtrim),
    F2("lpad", T, I, T, text_lpad),
    F3("lpad", T, I, T, T, text_lpad),
    F2("rpad", T, I, T, text_rpad),
    F3("rpad", T, I, T, T, text_rpad),
    F2("repeat", T, I, T, text_repeat),
    F1("reverse", T, T, text_reverse),
    F3("split_part", T, T, I, T, split_part),
    F2("starts_with", T, T, TYPE_BOOL, starts_with),
    {.name = "concat",
     .n_args = 2, /* at least one */
     .args = {FUNC_ANY, FUNC_ANY},
     .result = T,
     .lax = true,
     .variadic = true,
     .volatility = FUNC_STABLE,
     .call = concat},
    {.name = "concat_ws",
     .n_args = 3, /* at least two */
     .args = {T, FUNC_ANY, FUNC_ANY},
     .result = T,
     .lax = true,
     .variadic = true,
     .volatility = FUNC_STABLE,
     .call = concat_ws},
};

const struct func_table func_text_table = {table, sizeof table / sizeof table[0]};
