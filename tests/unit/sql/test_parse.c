/* SQL text to statements: precedence, errors and their places, limits, and text that is no SQL at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sql/deparse.h"
#include "sql/keyword.h"
#include "sql/parse.h"
#include "tests/unit/sql/soup.h"

static void operators_bind_as_in_postgresql(void **state)
{
    static const char *const cases[][2] = {
        {"1 + 2 * 3 - 4", "((1 + (2 * 3)) - 4)"},
        {"2 ^ 3 ^ 2", "((2 ^ 3) ^ 2)"},
        {"-2 ^ 2", "(-2 ^ 2)"},
        {"-a ^ 2", "((- a) ^ 2)"},
        {"- a::int", "(- CAST(a AS int4))"},
        {"a = b OR c AND NOT d", "((a = b) OR (c AND (NOT d)))"},
        {"NOT a = b", "(NOT (a = b))"},
        {"a || b + c", "(a || (b + c))"},
        {"a || b = c", "((a || b) = c)"},
        {"a # b + 1 & c", "((a # (b + 1)) & c)"},
        {"a < b IS NULL", "((a < b) IS NULL)"},
        {"a IS NULL IS NULL", "((a IS NULL) IS NULL)"},
        {"a LIKE b || c", "(a LIKE (b || c))"},
        {"a BETWEEN 1 AND 2 AND c", "((a BETWEEN 1 AND 2) AND c)"},
        {"a + 1 BETWEEN b - 1 AND c * 2", "((a + 1) BETWEEN (b - 1) AND (c * 2))"},
        {"a IN (1) AND b NOT IN (2)", "((a IN (1)) AND (b NOT IN (2)))"},
        {"a IN (1) IN (2)", "((a IN (1)) IN (2))"},
        {"a = b IN (c)", "(a = (b IN (c)))"},
        {"a AND b AND c", "(a AND b AND c)"},
        {"a AND (b AND c)", "(a AND (b AND c))"},
        {"a::int::text COLLATE \"C\"", "(CAST(CAST(a AS int4) AS text) COLLATE \"C\")"},
        {"a <= b", "(a <= b)"},
        {"a != b", "(a <> b)"},
        {"a=-1", "(a = -1)"},
        {"a @- b", "(a @- b)"},
        {"a AT TIME ZONE 'x' || b", "(timezone('x', a) || b)"},
        {"x.y[1].z", "((x.y)[1]).z"},
        {"CASE WHEN a THEN b END + 1", "(CASE WHEN a THEN b END + 1)"},
    };
    struct arena mem;

    (void)state;
    arena_init(&mem, 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct expr *e;
        struct err err;

        err_clear(&err);
        if (sql_parse_expr(bytes_str(cases[i][0]), &mem, &e, &err) != ST_OK)
            fail_msg("%s: %s", cases[i][0], err.msg);
        assert_string_equal(deparse_expr(e, &mem), cases[i][1]);
    }
    arena_fini(&mem);
}

static void literals_have_postgresqls_types(void **state)
{
    static const struct {
        const char *text;
        enum sql_type type;
        const char *value;
    } cases[] = {
        {"2147483647", TYPE_INT4, "2147483647"},
        {"-2147483648", TYPE_INT4, "-2147483648"},
        {"2147483648", TYPE_INT8, "2147483648"},
        {"-9223372036854775808", TYPE_INT8, "-9223372036854775808"},
        {"9223372036854775808", TYPE_NUMERIC, "9223372036854775808"},
        {"- -9223372036854775808", TYPE_NUMERIC, "9223372036854775808"},
        {"1.", TYPE_NUMERIC, "1"},
        {"-1e2", TYPE_NUMERIC, "-100"},
        {".50", TYPE_NUMERIC, "0.50"},
        {"true", TYPE_BOOL, "t"},
        {"'it''s'", TYPE_UNKNOWN, "it's"},
        {"'a'\n  'b'", TYPE_UNKNOWN, "ab"},
        {"E'a\\tb\\x41\\101\\u00e4\\\\'", TYPE_UNKNOWN, "a\tbAA\xc3\xa4\\"},
        {"E'\\uD83D\\uDE00'", TYPE_UNKNOWN, "\xf0\x9f\x98\x80"},
        {"$$a'b$$", TYPE_UNKNOWN, "a'b"},
        {"$x$a$$b$x$", TYPE_UNKNOWN, "a$$b"},
    };
    struct arena mem;

    (void)state;
    arena_init(&mem, 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct expr *e;
        struct bytes text;

        assert_int_equal(sql_parse_expr(bytes_str(cases[i].text), &mem, &e, NULL), ST_OK);
        assert_int_equal(e->kind, EXPR_CONST);
        assert_int_equal(e->konst.value.type, cases[i].type);
        text = datum_text(&e->konst.value, &mem);
        assert_string_equal(arena_strndup(&mem, (const char *)text.ptr, text.len), cases[i].value);
    }
    arena_fini(&mem);
}

static void what_is_no_sql_is_an_error_at_its_place(void **state)
{
    static const struct {
        const char *sql, *sqlstate, *msg;
        int pos;
    } cases[] = {
        {"selec 1", "42601", "syntax error at or near \"selec\"", 1},
        {"select 1 from", "42601", "syntax error at end of input", 14},
        {"select 1,", "42601", "syntax error at end of input", 10},
        {"select (1", "42601", "syntax error at end of input", 10},
        {"select 1)", "42601", "syntax error at or near \")\"", 9},
        {"select 1 < 2 < 3", "42601", "syntax error at or near \"<\"", 14},
        {"select 1 = 1 = true", "42601", "syntax error at or near \"=\"", 14},
        {"select a like b like c", "42601", "syntax error at or near \"like\"", 17},
        {"select a between 1 and 2 between 3 and 4", "42601", "syntax error at or near \"between\"",
         26},
        {"select a is distinct from b is null", "42601", "syntax error at or near \"is\"", 29},
        {"select 'abc", "42601", "unterminated quoted string at or near \"'abc\"", 8},
        {"select \"abc", "42601", "unterminated quoted identifier at or near \"\"abc\"", 8},
        {"select $$abc", "42601", "unterminated dollar-quoted string at or near \"$$abc\"", 8},
        {"select /* abc", "42601", "unterminated /* comment at or near \"/* abc\"", 8},
        {"select \"\"", "42601", "zero-length delimited identifier at or near \"\"\"\"", 8},
        {"select 123abc", "42601", "trailing junk after numeric literal at or near \"123abc\"", 8},
        {"select 1e+", "42601", "trailing junk after numeric literal at or near \"1e+\"", 8},
        {"select $1a", "42601", "trailing junk after parameter at or near \"$1a\"", 8},
        {"select $0", "42P02", "there is no parameter $0", 8},
        {"select 1..2", "42601", "syntax error at or near \"..\"", 9},
        {"select E'\\u00'", "22025", "invalid Unicode escape", 10},
        {"select coalesce()", "42601", "syntax error at or near \")\"", 17},
        {"select nullif(1)", "42601", "syntax error at or near \")\"", 16},
        {"select a.b.c.d.e", "42601", "improper qualified name (too many dotted names): a.b.c.d.e",
         8},
        {"select '\xc3\xa4', from", "42601", "syntax error at or near \"from\"", 13},
        {"values (1, 2), (3)", "42601", "VALUES lists must all be the same length", 17},
        {"select 1 limit 1 limit 2", "42601", "syntax error at or near \"limit\"", 18},
        {"select 1 order by 1 union select 2", "42601", "syntax error at or near \"union\"", 21},
        {"create table t (a int,)", "42601", "syntax error at or near \")\"", 23},
        {"insert into t", "42601", "syntax error at end of input", 14},
        {"update t set a", "42601", "syntax error at end of input", 15},
        {"select 1; select 2; selec 3", "42601", "syntax error at or near \"selec\"", 21},
        {"select 1::float(0)", "22023", "precision for type float must be at least 1 bit", 17},
        {"\xff", "22021", "invalid byte sequence for encoding \"UTF8\": 0xff", 0},
    };
    struct arena mem;

    (void)state;
    arena_init(&mem, 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct stmt_list l;
        struct err err;

        if (sql_parse(bytes_str(cases[i].sql), &mem, &l, &err) == ST_OK)
            fail_msg("parses: %s", cases[i].sql);
        assert_string_equal(err.msg, cases[i].msg);
        assert_string_equal(err.sqlstate, cases[i].sqlstate);
        assert_int_equal(err.position, cases[i].pos);
    }
    arena_fini(&mem);
}

static void statements_of_a_text_are_split(void **state)
{
    static const char sql[] =
        " ;; select 'a;b' /* ; */ ;\n-- c;\nbegin; insert into t values ($2);";
    struct arena mem;
    struct stmt_list l;

    (void)state;
    arena_init(&mem, 0);
    assert_int_equal(sql_parse(bytes_str(sql), &mem, &l, NULL), ST_OK);
    assert_int_equal(l.n, 3);
    assert_int_equal(l.items[0]->kind, STMT_SELECT);
    assert_memory_equal(sql + l.items[0]->begin, "select 'a;b'", l.items[0]->len);
    assert_int_equal(l.items[0]->len, 12);
    assert_int_equal(l.items[1]->kind, STMT_TXN);
    assert_memory_equal(sql + l.items[1]->begin, "begin", l.items[1]->len);
    assert_int_equal(l.items[2]->kind, STMT_INSERT);
    assert_int_equal(l.items[2]->max_param, 2);
    assert_int_equal(l.items[0]->max_param, 0);
    assert_int_equal(l.items[2]->pos, strstr(sql, "insert") - sql + 1);
    assert_int_equal(sql_parse(bytes_str(""), &mem, &l, NULL), ST_OK);
    assert_int_equal(l.n, 0);
    assert_int_equal(sql_parse(bytes_str(" ; -- nothing"), &mem, &l, NULL), ST_OK);
    assert_int_equal(l.n, 0);
    arena_fini(&mem);
}

static void names_fold_and_are_cut(void **state)
{
    char sql[100] = "SELECT ";
    struct arena mem;
    struct stmt_list l;
    const char *name;

    (void)state;
    arena_init(&mem, 0);
    memset(sql + 7, 'A', 80);
    assert_int_equal(sql_parse(bytes_str(sql), &mem, &l, NULL), ST_OK);
    name = l.items[0]->select->targets.items[0].expr->column.names[0];
    assert_int_equal(strlen(name), 63);
    assert_int_equal(name[0], 'a');
    assert_int_equal(sql_parse(bytes_str("SELECT \"MiXed\" AS select"), &mem, &l, NULL), ST_OK);
    assert_string_equal(l.items[0]->select->targets.items[0].expr->column.names[0], "MiXed");
    assert_string_equal(l.items[0]->select->targets.items[0].alias, "select");
    arena_fini(&mem);
}

/* Text made of `open` n times, middle, and `close` n times. */
static enum status nested(const char *head, const char *open, const char *middle, const char *close,
                          int n, struct err *err)
{
    struct arena mem;
    struct buf b = {0};
    struct stmt_list l;
    enum status st;

    arena_init(&mem, 0);
    buf_put(&b, head, strlen(head));
    for (int i = 0; i < n; i++)
        buf_put(&b, open, strlen(open));
    buf_put(&b, middle, strlen(middle));
    for (int i = 0; i < n; i++)
        buf_put(&b, close, strlen(close));
    st = sql_parse(buf_bytes(&b), &mem, &l, err);
    if (st == ST_OK && l.items[0]->kind == STMT_SELECT)
        (void)deparse_stmt(l.items[0], &mem); /* walks the whole depth */
    buf_fini(&b);
    arena_fini(&mem);
    return st;
}

static void nesting_is_bounded_whatever_nests(void **state)
{
    static const struct {
        const char *head, *open, *middle, *close;
    } cases[] = {
        {"select ", "(", "1", ")"},
        {"select ", "- ", "a", ""},
        {"select ", "not ", "a", ""},
        {"select a", "", "", "::int"},
        {"select 1", "", "", " + 1"},
        {"select a", "", "", " || a"},
        {"select a", "", "", "[1]"},
        {"select ", "f(", "1", ")"},
        {"select ", "case when ", "a", " then 1 end"},
        {"select ", "case when true then 1 else ", "a", " end"},
        {"select ", "array[", "1", "]"},
        {"select ", "(select ", "1", ")"},
        {"", "(", "select 1", ")"},
        {"select 1", "", "", " union select 1"},
        {"select * from ", "(select * from ", "t", ") x"},
        {"select * from ", "(", "t join u on true", ")"},
        {"select * from t", "", "", " join u on true"},
        {"", "with a as (", "select 1", ") select 1"},
        {"", "with a as (", "delete from t", ") delete from t"},
        {"select f() over (partition by ", "f(", "1", ")"},
        {"insert into t values (", "(", "1", ")"},
        {"update t set a = ", "- ", "a", ""},
        {"delete from t where ", "not ", "a", ""},
        {"select x", " is not distinct from (y", "", ")"},
        {"select x in ", "(x in ", "(1)", ")"},
        {"create table t (a int check ", "(", "a > 0", ")"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err err;

        err_clear(&err);
        if (nested(cases[i].head, cases[i].open, cases[i].middle, cases[i].close, 3000, &err) ==
            ST_OK)
            fail_msg("3000 of '%s' parse", cases[i].open);
        if (strcmp(err.sqlstate, "54001") != 0)
            fail_msg("3000 of '%s%s': %s %s", cases[i].open, cases[i].close, err.sqlstate, err.msg);
    }
    assert_int_equal(nested("select ", "(", "1", ")", 400, NULL), ST_OK);
    assert_int_equal(nested("select 1", "", "", " + 1", 400, NULL), ST_OK);
    assert_int_equal(nested("select a", "", "", " and a", 5000, NULL), ST_OK);
    assert_int_equal(nested("select 1", "", "", ", 1", 5000, NULL), ST_OK);
}

/* A statement that modifies data inside a subquery inside ...: each level is shallow, the whole is not. */
static void depth_counts_through_every_clause(void **state)
{
    static const char *const levels[][2] = {
        {"with a as (delete from t where - - - - - - - - - - (", ") = 1) select 1"},
        {"with a as (update t set b = - - - - - - - - - - (", ")) select 1"},
        {"with a as (insert into t select - - - - - - - - - - (", ")) select 1"},
        {"with a as (insert into t values (1) returning - - - - - - - - - - (", ")) select 1"},
        {"with a as (insert into t values (1) on conflict (x) do update set b = - - - - - - - - (",
         ")) select 1"},
        {"select 1 window w as (partition by - - - - - - - - - - (", "))"},
        {"select 1 order by - - - - - - - - - - (", ")"},
        {"select 1 limit - - - - - - - - - - (", ")"},
        {"select 1 from t join u on - - - - - - - - - - (", ") = 1"},
        {"select f(a order by - - - - - - - - - - (", "))"},
        {"select f(a) filter (where - - - - - - - - - - (", ") = 1)"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        struct err err;

        err_clear(&err);
        if (nested("", levels[i][0], "select 1", levels[i][1], 100, &err) == ST_OK)
            fail_msg("1000 levels of '%s' parse", levels[i][0]);
        assert_string_equal(err.sqlstate, "54001");
        assert_int_equal(nested("", levels[i][0], "select 1", levels[i][1], 10, NULL), ST_OK);
    }
}

static void keywords_are_sorted_and_found(void **state)
{
    size_t n;
    const struct keyword *all = keyword_table(&n);

    (void)state;
    for (size_t i = 0; i < n; i++) {
        assert_true(i == 0 || strcmp(all[i - 1].name, all[i].name) < 0);
        assert_ptr_equal(keyword_find(all[i].name, strlen(all[i].name)), &all[i]);
    }
    assert_null(keyword_find("selec", 5));
    assert_null(keyword_find("selects", 7));
    assert_null(keyword_find("", 0));
    assert_true(keyword_needs_quotes("select"));
    assert_true(keyword_needs_quotes("Mixed"));
    assert_true(keyword_needs_quotes("1a"));
    assert_true(keyword_needs_quotes(""));
    assert_false(keyword_needs_quotes("name"));
    assert_false(keyword_needs_quotes("_x1"));
}

/* Any name that deparse leaves bare must be read back as that name, as a column, a table and an alias. */
static void words_left_bare_are_names(void **state)
{
    size_t n;
    const struct keyword *all = keyword_table(&n);
    struct arena mem;

    (void)state;
    arena_init(&mem, 0);
    for (size_t i = 0; i < n; i++) {
        struct stmt_list l;
        struct err err;
        const char *k = all[i].name;
        const char *sql;

        if (keyword_needs_quotes(k))
            continue;
        err_clear(&err);
        sql = arena_printf(&mem, "select %s, %s.%s as %s from %s as %s where %s(%s) = 1", k, k, k,
                           k, k, k, k, k);
        if (sql_parse(bytes_str(sql), &mem, &l, &err) != ST_OK)
            fail_msg("%s at %d: %s", err.msg, err.position, sql);
        assert_string_equal(l.items[0]->select->targets.items[0].expr->column.names[0], k);
        arena_reset(&mem);
    }
    arena_fini(&mem);
}

static void soup_never_crashes_and_errors_have_a_place(void **state)
{
    struct rng r;
    struct arena mem;
    struct buf b = {0};
    int parsed = 0;

    (void)state;
    rng_seed(&r, 41);
    arena_init(&mem, 0);
    for (int i = 0; i < 30000; i++) {
        struct stmt_list l;
        struct err err;

        buf_reset(&b);
        if (i % 3 == 0) {
            for (uint64_t n = rng_below(&r, 60); n > 0; n--)
                buf_put_u8(&b, (uint8_t)rng_next(&r));
        } else if (i % 3 == 1) {
            soup_words(&r, 1 + (int)rng_below(&r, 25), &b);
        } else { /* a good statement with one byte or word wrong */
            soup_stmt(&r, 2, &b);
            b.ptr[rng_below(&r, b.len)] = (uint8_t) " ()',;.$\"a1-*"[rng_below(&r, 13)];
        }
        err_clear(&err);
        if (sql_parse(buf_bytes(&b), &mem, &l, &err) == ST_OK) {
            parsed++;
            for (size_t k = 0; k < l.n; k++)
                if (l.items[k]->kind <= STMT_DELETE)
                    (void)deparse_stmt(l.items[k], &mem);
        } else {
            assert_true(err.msg[0] != '\0');
            assert_true(err.position >= 0 && (size_t)err.position <= b.len + 1);
        }
        arena_reset(&mem);
    }
    assert_true(parsed > 1000); /* or this would test nothing but the lexer */
    buf_fini(&b);
    arena_fini(&mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operators_bind_as_in_postgresql),
        cmocka_unit_test(literals_have_postgresqls_types),
        cmocka_unit_test(what_is_no_sql_is_an_error_at_its_place),
        cmocka_unit_test(statements_of_a_text_are_split),
        cmocka_unit_test(names_fold_and_are_cut),
        cmocka_unit_test(nesting_is_bounded_whatever_nests),
        cmocka_unit_test(depth_counts_through_every_clause),
        cmocka_unit_test(keywords_are_sorted_and_found),
        cmocka_unit_test(words_left_bare_are_names),
        cmocka_unit_test(soup_never_crashes_and_errors_have_a_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
