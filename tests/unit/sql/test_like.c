/* LIKE against a matcher that is too simple to be wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rng.h"
#include "sql/like.h"
#include "sql/utf8.h"

static bool like(const char *text, const char *pattern)
{
    bool yes = false;

    assert_int_equal(like_match(bytes_str(text), bytes_str(pattern), '\\', &yes, NULL), ST_OK);
    return yes;
}

static void pattern_matches_as_written(void **state)
{
    static const struct {
        const char *text, *pattern;
        bool want;
    } cases[] = {
        {"a", "a%", true},        {"abc", "a_c", true},
        {"abc", "a_", false},     {"", "%", true},
        {"", "_", false},         {"", "", true},
        {"a%c", "a\\%c", true},   {"abc", "a\\%c", false},
        {"a\\c", "a\\\\c", true}, {"abc", "abc%", true},
        {"abc", "%c", true},      {"abc", "a%%c", true},
        {"abc", "_%_", true},     {"ab", "%__%_", false},
        {"\xc3\xa4", "_", true},  {"\xc3\xa4z", "\xc3\xa4_", true},
        {"aXbXc", "a%X_", true},  {"abc", "ABC", false},
        {"abc", "%\\c", true},    {"a", "a\\", false}, /* the escape is not reached */
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (like(cases[i].text, cases[i].pattern) != cases[i].want)
            fail_msg("'%s' LIKE '%s'", cases[i].text, cases[i].pattern);
}

static void pattern_that_ends_in_its_escape_is_an_error(void **state)
{
    bool yes;
    struct err err;

    (void)state;
    assert_int_equal(like_match(bytes_str("ab"), bytes_str("a\\"), '\\', &yes, &err), ST_REJECT);
    assert_string_equal(err.sqlstate, "22025");
    assert_string_equal(err.msg, "LIKE pattern must not end with escape character");
}

static void case_is_ignored_by_ilike(void **state)
{
    struct arena mem;
    bool yes;

    (void)state;
    arena_init(&mem, 0);
    assert_int_equal(
        ilike_match(bytes_str("aBc\xc3\x84"), bytes_str("AbC\xc3\xa4"), '\\', &mem, &yes, NULL),
        ST_OK);
    assert_true(yes);
    assert_int_equal(ilike_match(bytes_str("aBd"), bytes_str("ab_"), '\\', &mem, &yes, NULL),
                     ST_OK);
    assert_true(yes);
    arena_fini(&mem);
}

static void escape_of_its_own_is_rewritten(void **state)
{
    static const struct {
        const char *text, *pattern, *escape;
        bool want;
    } cases[] = {
        {"a%", "a!%", "!", true},
        {"abc", "a!%", "!", false},
        {"a\\", "a\\", "", true},
        {"a\\b", "a\\b", "!", true},
        {"a%", "a\xc3\xa4%", "\xc3\xa4", true},
        {"a!", "a!!", "!", true},
    };
    struct arena mem;
    struct bytes p;
    struct err err;
    bool yes;

    (void)state;
    arena_init(&mem, 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(
            like_escape(bytes_str(cases[i].pattern), bytes_str(cases[i].escape), &mem, &p, &err),
            ST_OK);
        assert_int_equal(like_match(bytes_str(cases[i].text), p, '\\', &yes, NULL), ST_OK);
        assert_int_equal(yes, cases[i].want);
    }
    assert_int_equal(like_escape(bytes_str("a"), bytes_str("cc"), &mem, &p, &err), ST_REJECT);
    assert_string_equal(err.sqlstate, "22025");
    assert_string_equal(err.hint, "Escape string must be empty or one character.");
    arena_fini(&mem);
}

/* By the definition. Patterns here do not end in an escape. */
static bool naive(struct bytes t, struct bytes p)
{
    size_t step;

    if (p.len == 0)
        return t.len == 0;
    if (p.ptr[0] == '%') {
        for (size_t i = 0;; i += utf8_step(t, i)) {
            if (naive(bytes_of(t.ptr + i, t.len - i), bytes_of(p.ptr + 1, p.len - 1)))
                return true;
            if (i == t.len)
                return false;
        }
    }
    if (t.len == 0)
        return false;
    step = utf8_step(t, 0);
    if (p.ptr[0] == '_')
        return naive(bytes_of(t.ptr + step, t.len - step), bytes_of(p.ptr + 1, p.len - 1));
    if (p.ptr[0] == '\\')
        p = bytes_of(p.ptr + 1, p.len - 1);
    return p.ptr[0] == t.ptr[0] &&
           naive(bytes_of(t.ptr + 1, t.len - 1), bytes_of(p.ptr + 1, p.len - 1));
}

static size_t random_string(struct rng *r, const char *const *parts, size_t n_parts, size_t max,
                            uint8_t *out)
{
    size_t n = 0;

    for (size_t k = rng_below(r, max); k > 0; k--) {
        const char *part = parts[rng_below(r, n_parts)];

        memcpy(out + n, part, strlen(part));
        n += strlen(part);
    }
    return n;
}

static void random_patterns_agree_with_the_definition(void **state)
{
    static const char *const text_parts[] = {"a", "b", "\xc3\xa4", "%"};
    static const char *const pattern_parts[] = {"a",   "b",   "\xc3\xa4", "%",    "%",         "_",
                                                "\\%", "\\a", "\\_",      "\\\\", "\\\xc3\xa4"};
    struct rng r;
    struct arena mem;

    (void)state;
    rng_seed(&r, 31);
    arena_init(&mem, 0);
    for (int i = 0; i < 50000; i++) {
        uint8_t text[64];
        uint8_t pattern[64];
        struct bytes t = bytes_of(text, random_string(&r, text_parts, 4, 10, text));
        struct bytes p = bytes_of(pattern, random_string(&r, pattern_parts, 11, 8, pattern));
        bool yes;
        bool exact;
        struct bytes prefix;

        assert_int_equal(like_match(t, p, '\\', &yes, NULL), ST_OK);
        if (yes != naive(t, p))
            fail_msg("'%.*s' LIKE '%.*s'", (int)t.len, t.ptr, (int)p.len, p.ptr);
        prefix = like_prefix(p, '\\', &mem, &exact);
        if (yes)
            assert_true(bytes_starts(t, prefix));
        if (exact)
            assert_int_equal(yes, bytes_eq(t, prefix));
        if (i % 64 == 0)
            arena_reset(&mem);
    }
    arena_fini(&mem);
}

static void many_percents_take_no_exponential_time(void **state)
{
    char text[5001];
    char pattern[121];

    (void)state;
    memset(text, 'a', 5000);
    text[5000] = '\0';
    for (int i = 0; i < 120; i += 2)
        memcpy(pattern + i, "%a", 2);
    pattern[119] = 'b';
    pattern[120] = '\0';
    assert_false(like(text, pattern));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pattern_matches_as_written),
        cmocka_unit_test(pattern_that_ends_in_its_escape_is_an_error),
        cmocka_unit_test(case_is_ignored_by_ilike),
        cmocka_unit_test(escape_of_its_own_is_rewritten),
        cmocka_unit_test(random_patterns_agree_with_the_definition),
        cmocka_unit_test(many_percents_take_no_exponential_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
