#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "tools/meridian/split.h"

/* The statements of a text of several lines, each ended by '|'; what is left stands behind the last. */
static void split_text(const char *text, char *out)
{
    struct split s;
    char line[256];

    split_init(&s);
    *out = '\0';
    while (*text != '\0') {
        size_t len = strcspn(text, "\n");
        const char *at = line;
        enum split_end end;

        memcpy(line, text, len);
        line[len] = '\0';
        do {
            end = split_feed(&s, &at);
            if (end == SPLIT_STATEMENT) {
                strncat(out, (char *)s.text.ptr, s.text.len);
                strncat(out, "|", 2);
                split_reset(&s);
            } else if (end == SPLIT_COMMAND) {
                strncat(out, at, 64);
                break;
            }
        } while (end != SPLIT_MORE);
        text += len + (text[len] == '\n');
    }
    strncat(out, s.text.ptr == NULL ? "" : (char *)s.text.ptr, s.text.len);
    split_fini(&s);
}

static void expect(const char *text, const char *want)
{
    char got[1024];

    split_text(text, got);
    assert_string_equal(got, want);
}

static void statements_end_at_semicolons(void **state)
{
    (void)state;
    expect("SELECT 1; SELECT 2;", "SELECT 1| SELECT 2|");
    expect("SELECT 1\n, 2;", "SELECT 1\n, 2|");
    expect("SELECT (1;2);", "SELECT (1;2)|");
    expect("a) ; b", "a) | b\n");
}

static void semicolons_in_quotes_are_text(void **state)
{
    (void)state;
    expect("SELECT ';', \"a;b\", 'it''s;';", "SELECT ';', \"a;b\", 'it''s;'|");
    expect("SELECT 'a\n;b';", "SELECT 'a\n;b'|");
    expect("SELECT E'a\\';b';", "SELECT E'a\\';b'|");
    expect("SELECT 'a\\';b", "SELECT 'a\\'|b\n");
    expect("SELECT type'x\\';", "SELECT type'x\\'|");
}

static void dollar_quotes_hold_everything(void **state)
{
    (void)state;
    expect("SELECT $$a;'b$$;", "SELECT $$a;'b$$|");
    expect("SELECT $x$a;$$;\n;$x$;", "SELECT $x$a;$$;\n;$x$|");
    expect("SELECT $1; SELECT a$b$;", "SELECT $1| SELECT a$b$|");
}

static void comments_hide_semicolons(void **state)
{
    (void)state;
    expect("SELECT 1 -- ;\n;", "SELECT 1 -- ;\n|");
    expect("SELECT /* ; /* ; */ ; */ 1;", "SELECT /* ; /* ; */ ; */ 1|");
    expect("-- nothing; here\nSELECT 1;", "SELECT 1|");
}

static void backslash_is_a_command_outside_quotes(void **state)
{
    (void)state;
    expect("\\d t", "\\d t");
    expect("SELECT 1 \\g", "\\gSELECT 1 ");
    expect("SELECT '\\d';", "SELECT '\\d'|");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statements_end_at_semicolons),
        cmocka_unit_test(semicolons_in_quotes_are_text),
        cmocka_unit_test(dollar_quotes_hold_everything),
        cmocka_unit_test(comments_hide_semicolons),
        cmocka_unit_test(backslash_is_a_command_outside_quotes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
