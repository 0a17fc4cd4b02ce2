/* Trees back to text: what is printed parses to what prints the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sql/deparse.h"
#include "sql/parse.h"
#include "tests/unit/sql/soup.h"

static const char *stmt_text(const char *sql, struct arena *mem)
{
    struct stmt_list l;
    struct err err;

    err_clear(&err);
    if (sql_parse(bytes_str(sql), mem, &l, &err) != ST_OK)
        fail_msg("%s at %d: %s", err.msg, err.position, sql);
    assert_int_equal(l.n, 1);
    return deparse_stmt(l.items[0], mem);
}

static const char *expr_text(const char *sql, struct arena *mem)
{
    struct expr *e;
    struct err err;

    err_clear(&err);
    if (sql_parse_expr(bytes_str(sql), mem, &e, &err) != ST_OK)
        fail_msg("%s at %d: %s", err.msg, err.position, sql);
    return deparse_expr(e, mem);
}

static void expression_is_printed_with_its_structure(void **state)
{
    static const char *const cases[][2] = {
        {"1+2*3", "(1 + (2 * 3))"},
        {"a AND b OR NOT c", "((a AND b) OR (NOT c))"},
        {"1.", "1."},
        {"1e2", "100."},
        {"-1.", "-1."},
        {"-9223372036854775808", "-9223372036854775808"},
        {"9223372036854775808", "9223372036854775808."},
        {"'it''s'", "'it''s'"},
        {"E'a\\\\b'", "E'a\\\\b'"},
        {"x::char", "CAST(x AS bpchar(1))"},
        {"x::\"char\"", "CAST(x AS \"char\")"},
        {"x::\"Odd\"", "CAST(x AS \"Odd\")"},
        {"timestamptz '2024-01-01'", "CAST('2024-01-01' AS timestamptz)"},
        {"f(VARIADIC a)", "f(VARIADIC a)"},
        {"p(0.5) WITHIN GROUP (ORDER BY a)", "p(0.5) WITHIN GROUP ( ORDER BY a)"},
        {"\"Select\".\"from\"", "\"Select\".\"from\""},
        {"a IN (1, 2)", "(a IN (1, 2))"},
        {"a NOT BETWEEN 1 AND 2", "(a NOT BETWEEN 1 AND 2)"},
        {"x IS NOT DISTINCT FROM y", "(x IS NOT DISTINCT FROM y)"},
        {"CASE a WHEN 1 THEN 2 END", "CASE a WHEN 1 THEN 2 END"},
        {"position('a' IN b)", "position('a' IN b)"},
        {"extract(year FROM b)", "extract('year' FROM b)"},
        {"current_user", "current_user"},
        {"count(*) FILTER (WHERE a) OVER w", "count(*) FILTER (WHERE a) OVER w"},
    };
    struct arena mem;

    (void)state;
    arena_init(&mem, 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_string_equal(expr_text(cases[i][0], &mem), cases[i][1]);
    arena_fini(&mem);
}

static void statement_is_printed_with_all_its_clauses(void **state)
{
    static const char *const cases[][2] = {
        {"select a from t order by a using > nulls last limit 1",
         "SELECT a FROM t ORDER BY a USING > NULLS LAST LIMIT 1"},
        {"select sum(a) over w from t window w as (partition by b order by c desc)",
         "SELECT sum(a) OVER w FROM t WINDOW w AS ( PARTITION BY b ORDER BY c DESC)"},
        {"table t", "SELECT * FROM t"},
        {"select 1 union all select 2", "(SELECT 1) UNION ALL (SELECT 2)"},
        {"insert into t default values returning a", "INSERT INTO t DEFAULT VALUES RETURNING a"},
        {"update t set (a, b) = (select 1, 2)", "UPDATE t SET (a, b) = ((SELECT 1, 2))"},
        {"delete from t using u where a = b", "DELETE FROM t USING u WHERE (a = b)"},
    };
    struct arena mem;

    (void)state;
    arena_init(&mem, 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_string_equal(stmt_text(cases[i][0], &mem), cases[i][1]);
    arena_fini(&mem);
}

static void printed_text_is_a_fixpoint(void **state)
{
    struct rng r;
    struct arena mem;
    struct buf b = {0};

    (void)state;
    rng_seed(&r, 37);
    arena_init(&mem, 0);
    for (int i = 0; i < 4000; i++) {
        const char *sql;
        const char *once;

        buf_reset(&b);
        if (i % 2 == 0)
            soup_expr(&r, 4, &b);
        else
            soup_stmt(&r, 3, &b);
        buf_put_u8(&b, 0);
        sql = (const char *)b.ptr;
        once = i % 2 == 0 ? expr_text(sql, &mem) : stmt_text(sql, &mem);
        if (strcmp(i % 2 == 0 ? expr_text(once, &mem) : stmt_text(once, &mem), once) != 0)
            fail_msg("%s\nprints as %s", sql, once);
        arena_reset(&mem);
    }
    buf_fini(&b);
    arena_fini(&mem);
}

static void deepest_tree_is_printed(void **state)
{
    struct arena mem;
    struct buf b = {0};
    struct stmt_list l;

    (void)state;
    arena_init(&mem, 0);
    buf_put(&b, "SELECT ", 7);
    for (int i = 0; i < SQL_NESTING_MAX - 2; i++)
        buf_put(&b, "- ", 2);
    buf_put(&b, "a", 1);
    assert_int_equal(sql_parse(buf_bytes(&b), &mem, &l, NULL), ST_OK);
    assert_true(strlen(deparse_stmt(l.items[0], &mem)) > SQL_NESTING_MAX);
    buf_fini(&b);
    arena_fini(&mem);
}

static void result_columns_have_postgresqls_names(void **state)
{
    static const char *const cases[][2] = {
        {"a", "a"},
        {"t.b", "b"},
        {"1", "?column?"},
        {"a + 1", "?column?"},
        {"count(*)", "count"},
        {"a::int", "a"},
        {"1::int", "int4"},
        {"'x'::varchar(3)", "varchar"},
        {"CASE WHEN a THEN b END", "case"},
        {"CASE WHEN a THEN 1 ELSE b END", "b"},
        {"coalesce(a, b)", "coalesce"},
        {"EXISTS (SELECT 1)", "exists"},
        {"(SELECT a FROM t)", "a"},
        {"(SELECT 1)", "?column?"},
        {"a IN (1)", "?column?"},
        {"ARRAY[1]", "array"},
        {"ROW(1, 2)", "row"},
        {"(x).f", "f"},
        {"x[1]", "x"},
        {"current_user", "current_user"},
        {"extract(year FROM x)", "extract"},
        {"trim(x)", "btrim"},
        {"1 AS z", "z"},
    };
    struct arena mem;

    (void)state;
    arena_init(&mem, 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct stmt_list l;
        const char *sql = arena_printf(&mem, "SELECT %s", cases[i][0]);

        assert_int_equal(sql_parse(bytes_str(sql), &mem, &l, NULL), ST_OK);
        assert_string_equal(target_name(&l.items[0]->select->targets.items[0]), cases[i][1]);
    }
    arena_fini(&mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(expression_is_printed_with_its_structure),
        cmocka_unit_test(statement_is_printed_with_all_its_clauses),
        cmocka_unit_test(printed_text_is_a_fixpoint),
        cmocka_unit_test(deepest_tree_is_printed),
        cmocka_unit_test(result_columns_have_postgresqls_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
