/* What statements answer: data, errors, names, joins, groups, subqueries, changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/sql/sqltest.h"

static int set_up(void **state)
{
    static struct sqltest t;

    sqltest_open(&t);
    *state = &t;
    return 0;
}

static int tear_down(void **state)
{
    sqltest_close(*state);
    return 0;
}

static void make_people(struct sqltest *t)
{
    expect(t, "CREATE TABLE p (id int PRIMARY KEY, a int UNIQUE, b text, c float8)",
           "CREATE TABLE");
    expect(t, "INSERT INTO p VALUES (1,10,'x',1.5),(2,20,'y',2.5),(3,NULL,'z',NULL),(4,NULL,'z',0)",
           "INSERT 0 4");
}

static void insert_duplicate_key_is_refused(void **state)
{
    struct sqltest *t = *state;

    make_people(t);
    expect(t, "INSERT INTO p VALUES (1, 1, '', 0)",
           "ERROR 23505 duplicate key value violates unique constraint \"p_pkey\" Key (id)=(1) "
           "already "
           "exists.");
    expect(t, "INSERT INTO p VALUES (9, 10, '', 0)",
           "ERROR 23505 duplicate key value violates unique constraint \"p_a_key\" Key (a)=(10) "
           "already "
           "exists.");
    expect(t, "INSERT INTO p VALUES (5, 5, '', 0), (5, 6, '', 0)",
           "ERROR 23505 duplicate key value violates unique constraint \"p_pkey\" Key (id)=(5) "
           "already "
           "exists.");
    expect_rows(t, "SELECT count(*) FROM p", "4");
}

static void insert_null_into_not_null_is_refused(void **state)
{
    struct sqltest *t = *state;

    make_people(t);
    expect(t, "INSERT INTO p (a) VALUES (1)",
           "ERROR 23502 null value in column \"id\" of relation \"p\" violates not-null constraint "
           "Failing row contains (null, 1, null, null).");
    expect(t, "UPDATE p SET id = NULL WHERE id = 1",
           "ERROR 23502 null value in column \"id\" of relation \"p\" violates not-null constraint "
           "Failing row contains (null, 10, x, 1.5).");
}

static void insert_casts_and_limits_as_assignment(void **state)
{
    struct sqltest *t = *state;

    expect(
        t,
        "CREATE TABLE d (k int PRIMARY KEY, v varchar(3) DEFAULT 'ab', n numeric(5,2), s smallint)",
        "CREATE TABLE");
    expect(t, "INSERT INTO d (k, n) VALUES (1, 1.005) RETURNING *", "1|ab|1.01|~\nINSERT 0 1");
    expect(t, "INSERT INTO d (k, v) VALUES (2, 'abcd')",
           "ERROR 22001 value too long for type character varying(3)");
    expect(t, "INSERT INTO d (k, v) VALUES (2, 'abc  ')", "INSERT 0 1");
    expect(t, "INSERT INTO d (k, s) VALUES (3, 40000)", "ERROR 22003 smallint out of range");
    expect(t, "INSERT INTO d VALUES ('x')",
           "ERROR 22P02 invalid input syntax for type integer: \"x\" [23]");
    expect(t, "INSERT INTO d (k, v) VALUES (4, true)",
           "ERROR 22001 value too long for type character varying(3)");
    expect(t, "INSERT INTO d (k, v) VALUES (4, DEFAULT), (5, NULL)", "INSERT 0 2");
    expect(t, "INSERT INTO d (k, nope) VALUES (1, 1)",
           "ERROR 42703 column \"nope\" of relation \"d\" does not exist [19]");
    expect(t, "INSERT INTO d (k, k) VALUES (1, 1)",
           "ERROR 42701 column \"k\" specified more than once [19]");
    expect(t, "INSERT INTO d (k) VALUES (1, 2)",
           "ERROR 42601 INSERT has more expressions than target columns [30]");
    expect(t, "INSERT INTO d (k, v) VALUES (1)",
           "ERROR 42601 INSERT has more target columns than expressions [30]");
    expect_rows(t, "SELECT k, v FROM d ORDER BY k", "1|ab\n2|abc\n4|ab\n5|~");
}

static void upsert_does_nothing_or_updates(void **state)
{
    struct sqltest *t = *state;

    make_people(t);
    expect(t, "INSERT INTO p VALUES (1,99,'n',0), (7,70,'n',0) ON CONFLICT DO NOTHING RETURNING id",
           "7\nINSERT 0 1");
    expect(t,
           "INSERT INTO p VALUES (8,10,'n',0) ON CONFLICT (a) DO UPDATE SET b = p.b || EXCLUDED.b "
           "RETURNING id, b",
           "1|xn\nINSERT 0 1");
    expect(
        t,
        "INSERT INTO p VALUES (2,2,'w',0) ON CONFLICT (id) DO UPDATE SET b = 'w' WHERE p.a > 100",
        "INSERT 0 0");
    expect(t, "INSERT INTO p VALUES (2,10,'w',0) ON CONFLICT (id) DO UPDATE SET a = EXCLUDED.a",
           "ERROR 23505 duplicate key value violates unique constraint \"p_a_key\" Key (a)=(10) "
           "already "
           "exists.");
    expect(t,
           "INSERT INTO p VALUES (20,1,'',0), (20,1,'',0) ON CONFLICT (id) DO UPDATE SET b = 'q'",
           "ERROR 21000 ON CONFLICT DO UPDATE command cannot affect row a second time");
    expect(t, "INSERT INTO p VALUES (20,1,'',0) ON CONFLICT (b) DO NOTHING",
           "ERROR 42P10 there is no unique or exclusion constraint matching the ON CONFLICT "
           "specification");
    expect_rows(t, "SELECT id, a, b FROM p WHERE id < 3 ORDER BY id", "1|10|xn\n2|20|y");
}

static void blind_upsert_replaces_the_whole_row(void **state)
{
    struct sqltest *t = *state;

    expect(t, "CREATE TABLE kv (k bigint PRIMARY KEY, v text NOT NULL)", "CREATE TABLE");
    expect_rows(
        t,
        "EXPLAIN (COSTS OFF) INSERT INTO kv VALUES (1, 'a') ON CONFLICT (k) DO UPDATE SET v = "
        "EXCLUDED.v",
        "Upsert without Read on kv\n  ->  Values");
    for (int i = 0; i < 2; i++)
        expect(t, "INSERT INTO kv VALUES (1, 'a') ON CONFLICT (k) DO UPDATE SET v = EXCLUDED.v",
               "INSERT 0 1");
    expect(t, "INSERT INTO kv VALUES (1, NULL) ON CONFLICT (k) DO UPDATE SET v = EXCLUDED.v",
           "ERROR 23502 null value in column \"v\" of relation \"kv\" violates not-null constraint "
           "Failing row contains (1, null).");
    expect_rows(t, "SELECT * FROM kv", "1|a");
}

static void update_never_meets_its_own_rows(void **state)
{
    struct sqltest *t = *state;

    make_people(t);
    expect(t, "UPDATE p SET id = id + 100", "UPDATE 4");
    expect(t, "UPDATE p SET id = id + 1 WHERE id > 100",
           "ERROR 23505 duplicate key value violates unique constraint \"p_pkey\" Key (id)=(102) "
           "already "
           "exists.");
    expect(t, "UPDATE p SET a = a + 1 WHERE a > 0 RETURNING id, a", "101|11\n102|21\nUPDATE 2");
    expect_rows(t, "SELECT id FROM p WHERE a = 11", "101");
    expect_rows(t, "SELECT id FROM p WHERE a = 10", "");
    expect(t, "INSERT INTO p SELECT id + 10, NULL, b, c FROM p", "INSERT 0 4");
    expect(t, "DELETE FROM p USING p q WHERE p.id = q.id + 10 RETURNING p.id",
           "111\n112\n113\n114\nDELETE 4");
    expect(t, "UPDATE p SET b = 'new' FROM p q WHERE q.id <> p.id AND p.id = 101 RETURNING p.b",
           "new\nUPDATE 1");
}

static void update_with_defaults_and_rows_of_values(void **state)
{
    struct sqltest *t = *state;

    expect(t, "CREATE TABLE w (k int PRIMARY KEY, a int DEFAULT 7, b int)", "CREATE TABLE");
    expect(t, "INSERT INTO w VALUES (1, 1, 1)", "INSERT 0 1");
    expect(t, "UPDATE w SET (a, b) = (b + 1, DEFAULT)", "UPDATE 1");
    expect_rows(t, "SELECT * FROM w", "1|2|~");
    expect(t, "UPDATE w SET a = DEFAULT WHERE k = 1 RETURNING a", "7\nUPDATE 1");
    expect(t, "UPDATE w SET a = 1, a = 2",
           "ERROR 42601 multiple assignments to same column \"a\" [21]");
    expect(t, "UPDATE w SET a = 'x'",
           "ERROR 22P02 invalid input syntax for type integer: \"x\" [18]");
    expect(t, "UPDATE w SET a = true",
           "ERROR 42804 column \"a\" is of type integer but expression is of type boolean [18]");
}

static void names_that_are_unknown_or_ambiguous(void **state)
{
    struct sqltest *t = *state;

    make_people(t);
    expect(t, "SELECT nope FROM p", "ERROR 42703 column \"nope\" does not exist [8]");
    expect(t, "SELECT p.nope FROM p", "ERROR 42703 column p.nope does not exist [8]");
    expect(t, "SELECT q.id FROM p", "ERROR 42P01 missing FROM-clause entry for table \"q\" [8]");
    expect(t, "SELECT * FROM nope", "ERROR 42P01 relation \"nope\" does not exist [15]");
    expect(t, "SELECT id FROM p, p q", "ERROR 42702 column reference \"id\" is ambiguous [8]");
    expect(t, "SELECT * FROM p, p", "ERROR 42712 table name \"p\" specified more than once [18]");
    expect(t, "SELECT 1 FROM p ORDER BY 2",
           "ERROR 42P10 ORDER BY position 2 is not in select list [26]");
    expect(t, "SELECT 1 FROM p GROUP BY 2",
           "ERROR 42P10 GROUP BY position 2 is not in select list [26]");
    expect(t, "SELECT DISTINCT a FROM p ORDER BY b",
           "ERROR 42P10 for SELECT DISTINCT, ORDER BY expressions must appear in select list [35]");
    expect(t, "SELECT id FROM p WHERE b",
           "ERROR 42804 argument of WHERE must be type boolean, not type text [24]");
    expect(t, "SELECT $1", "ERROR 42P02 there is no parameter $1 [8]");
}

static void grouping_refuses_what_a_group_does_not_determine(void **state)
{
    struct sqltest *t = *state;

    make_people(t);
    expect(
        t, "SELECT a FROM p GROUP BY b",
        "ERROR 42803 column \"p.a\" must appear in the GROUP BY clause or be used in an aggregate "
        "function [8]");
    expect(t, "SELECT b, (SELECT max(q.id) FROM p q WHERE q.a = p.a) FROM p GROUP BY b",
           "ERROR 42803 subquery uses ungrouped column \"p.a\" from outer query [50]");
    expect(t, "SELECT id FROM p WHERE count(*) > 1",
           "ERROR 42803 aggregate functions are not allowed in WHERE [24]");
    expect(t, "SELECT sum(count(*)) FROM p",
           "ERROR 42803 aggregate function calls cannot be nested [12]");
    expect_rows(t, "SELECT id, b, count(*) FROM p GROUP BY id ORDER BY id LIMIT 1", "1|x|1");
    expect_rows(
        t, "SELECT b, (SELECT max(q.id) FROM p q WHERE q.b = p.b) FROM p GROUP BY b ORDER BY b",
        "x|1\ny|2\nz|4");
}

static void groups_and_aggregates(void **state)
{
    struct sqltest *t = *state;

    make_people(t);
    expect_rows(t,
                "SELECT b, count(*), count(a), sum(a), avg(c), min(id), max(id) FROM p GROUP BY b "
                "ORDER BY b",
                "x|1|1|10|1.5|1|1\ny|1|1|20|2.5|2|2\nz|2|0|~|0|3|4");
    expect_rows(t, "SELECT count(*), sum(a) FROM p WHERE id > 99", "0|~");
    expect_rows(t, "SELECT b FROM p GROUP BY b HAVING count(*) > 1", "z");
    expect_rows(
        t,
        "SELECT id % 2, count(DISTINCT b), string_agg(b, ',' ORDER BY b DESC) FROM p GROUP BY "
        "id % 2 ORDER BY 1",
        "0|2|z,y\n1|2|z,x");
    expect_rows(t, "SELECT count(*) FILTER (WHERE a > 10), count(*) FROM p", "1|4");
    expect_rows(t, "SELECT id % 2 + 1 AS k FROM p GROUP BY k ORDER BY k", "1\n2");
    expect_rows(t, "SELECT 1 FROM p HAVING count(*) > 3", "1");
}

static void joins_of_all_kinds(void **state)
{
    struct sqltest *t = *state;

    make_people(t);
    expect(t, "CREATE TABLE q (id int PRIMARY KEY, p_id int, w text)", "CREATE TABLE");
    expect(t,
           "INSERT INTO q VALUES (1, 1, 'one'), (2, 1, 'two'), (3, 9, 'none'), (4, NULL, 'null')",
           "INSERT 0 4");
    expect_rows(t, "SELECT p.id, w FROM p JOIN q ON p_id = p.id ORDER BY 2", "1|one\n1|two");
    expect_rows(t, "SELECT p.id, w FROM p LEFT JOIN q ON p_id = p.id AND w > 'one' ORDER BY 1",
                "1|two\n2|~\n3|~\n4|~");
    expect_rows(t, "SELECT p.id, w FROM p LEFT JOIN q ON p_id = p.id WHERE w IS NULL ORDER BY 1",
                "2|~\n3|~\n4|~");
    expect_rows(t, "SELECT p.id, w FROM p RIGHT JOIN q ON p_id = p.id ORDER BY w",
                "~|none\n~|null\n1|one\n1|two");
    expect_rows(t, "SELECT p.id, q.id FROM p FULL JOIN q ON p_id = p.id ORDER BY 1, 2",
                "1|1\n1|2\n2|~\n3|~\n4|~\n~|3\n~|4");
    expect_rows(t, "SELECT * FROM q x JOIN q y USING (id) WHERE id = 1", "1|1|one|1|one");
    expect_rows(t, "SELECT count(*) FROM p NATURAL JOIN q", "4");
    expect_rows(t, "SELECT count(*) FROM p CROSS JOIN q", "16");
    expect_rows(t, "SELECT x.id, y.id FROM p x, p y WHERE x.id < y.id AND y.id < 3", "1|2");
    expect_rows(t,
                "SELECT a.id, s.n FROM p a, LATERAL (SELECT count(*) n FROM q WHERE p_id = a.id) s "
                "ORDER BY 1 LIMIT 2",
                "1|2\n2|0");
    expect_rows(t, "SELECT g, h FROM generate_series(1, 3) g, generate_series(g, 3) h WHERE g < h",
                "1|2\n1|3\n2|3");
}

static void subqueries_of_all_kinds(void **state)
{
    struct sqltest *t = *state;

    make_people(t);
    expect_rows(t, "SELECT id FROM p x WHERE EXISTS (SELECT 1 FROM p y WHERE y.a > x.a)", "1");
    expect_rows(t, "SELECT id FROM p WHERE a = (SELECT max(a) FROM p)", "2");
    expect_rows(t, "SELECT id FROM p WHERE id IN (SELECT a / 10 FROM p) ORDER BY 1", "1\n2");
    expect_rows(t, "SELECT id FROM p WHERE id NOT IN (SELECT a FROM p)", "");
    expect_rows(t,
                "SELECT id FROM p WHERE id NOT IN (SELECT a FROM p WHERE a IS NOT NULL) ORDER BY 1",
                "1\n2\n3\n4");
    expect_rows(t, "SELECT id FROM p WHERE (id, b) IN (SELECT 3, 'z')", "3");
    expect_rows(t, "SELECT id FROM p WHERE id > ALL (SELECT 2) ORDER BY 1", "3\n4");
    expect_rows(t, "SELECT id, (SELECT count(*) FROM p y WHERE y.id < x.id) FROM p x ORDER BY 1",
                "1|0\n2|1\n3|2\n4|3");
    expect(t, "SELECT (SELECT id FROM p)",
           "ERROR 21000 more than one row returned by a subquery used as an expression");
    expect(t, "SELECT (SELECT id, a FROM p)",
           "ERROR 42601 subquery must return only one column [9]");
    expect_rows(t, "SELECT n FROM (SELECT id + 1 AS n FROM p WHERE id > 2) s WHERE n < 5", "4");
    expect_rows(t, "WITH s AS (SELECT id FROM p) SELECT count(*) FROM s a, s b", "16");
    expect_rows(t, "SELECT v.b FROM (VALUES (1, 'a'), (2, 'b')) v(a, b) WHERE a = 2", "b");
}

static void set_operations_and_order(void **state)
{
    struct sqltest *t = *state;

    make_people(t);
    expect_rows(t, "SELECT b FROM p UNION SELECT 'k' ORDER BY 1", "k\nx\ny\nz");
    expect_rows(t, "SELECT b FROM p UNION ALL SELECT b FROM p ORDER BY b LIMIT 3", "x\nx\ny");
    expect_rows(t, "SELECT b FROM p INTERSECT SELECT 'z'", "z");
    expect_rows(t, "SELECT b FROM p EXCEPT ALL SELECT 'z' ORDER BY 1", "x\ny\nz");
    expect_rows(t, "SELECT 1 UNION SELECT 2.5 ORDER BY 1", "1\n2.5");
    expect_rows(t, "SELECT a FROM p ORDER BY a DESC, id LIMIT 3", "~\n~\n20");
    expect_rows(t, "SELECT id FROM p ORDER BY a NULLS FIRST, id DESC", "4\n3\n1\n2");
    expect_rows(t, "SELECT id FROM p ORDER BY id LIMIT 2 OFFSET 1", "2\n3");
    expect_rows(t, "SELECT DISTINCT b FROM p ORDER BY b", "x\ny\nz");
    expect_rows(t, "SELECT DISTINCT ON (b) b, id FROM p ORDER BY b, id DESC", "x|1\ny|2\nz|4");
    expect(t, "SELECT 1 UNION SELECT 1, 2",
           "ERROR 42601 each UNION query must have the same number of columns [16]");
    expect(t, "SELECT id FROM p LIMIT -1", "ERROR 2201W LIMIT must not be negative");
}

static void three_valued_logic(void **state)
{
    struct sqltest *t = *state;

    expect_rows(t, "SELECT NULL AND false, NULL AND true, NULL OR true, NOT NULL", "f|~|t|~");
    expect_rows(t, "SELECT 1 IN (2, NULL), 1 IN (1, NULL), 1 NOT IN (2, NULL)", "~|t|~");
    expect_rows(t, "SELECT NULL = NULL, NULL IS NULL, 1 IS DISTINCT FROM NULL", "~|t|t");
    expect_rows(t, "SELECT CASE WHEN NULL THEN 1 ELSE 2 END, CASE 3 WHEN 3 THEN 'x' END", "2|x");
    expect_rows(t, "SELECT coalesce(NULL, 2), nullif(1, 1), greatest(1, NULL, 3), least(2, 1)",
                "2|~|3|1");
    expect_rows(
        t, "SELECT 2 BETWEEN 1 AND 3, 2 NOT BETWEEN SYMMETRIC 3 AND 1, NULL BETWEEN 1 AND NULL",
        "t|f|~");
    expect_rows(t, "SELECT (1, 2) < (1, 3), (1, 2) = (1, NULL), (1, 2) IN ((1, 2), (3, 4))",
                "t|~|t");
    expect_rows(t, "SELECT 3 = ANY ('{1,3}'), 3 <> ALL (ARRAY[1, 2])", "t|t");
    expect(t, "SELECT 1 / 0", "ERROR 22012 division by zero");
    expect_rows(t, "SELECT CASE WHEN true THEN 1 ELSE 1 / 0 END", "1");
}

static void table_without_key_keeps_order_and_duplicates(void **state)
{
    struct sqltest *t = *state;

    expect(t, "CREATE TABLE h (a int)", "CREATE TABLE");
    expect(t, "INSERT INTO h VALUES (3), (1), (3)", "INSERT 0 3");
    expect(t, "BEGIN; INSERT INTO h VALUES (7); INSERT INTO h VALUES (7); COMMIT",
           "BEGIN\nINSERT 0 1\nINSERT 0 1\nCOMMIT");
    expect_rows(t, "SELECT * FROM h", "3\n1\n3\n7\n7");
    expect(t, "SELECT rowid FROM h", "ERROR 42703 column \"rowid\" does not exist [8]");
    expect(t, "DELETE FROM h WHERE a = 3", "DELETE 2");
}

static void schema_changes_and_their_errors(void **state)
{
    struct sqltest *t = *state;

    expect(t, "CREATE TABLE s (a int, b text, PRIMARY KEY (b, a))", "CREATE TABLE");
    expect(t, "CREATE TABLE s (a int)", "ERROR 42P07 relation \"s\" already exists");
    expect(t, "CREATE TABLE IF NOT EXISTS s (a int)",
           "NOTICE: relation \"s\" already exists, skipping\nCREATE TABLE");
    expect(t, "CREATE TABLE x (a int, a int)",
           "ERROR 42701 column \"a\" specified more than once [24]");
    expect(t, "CREATE TABLE x (a nope)", "ERROR 42704 type \"nope\" does not exist [19]");
    expect(t, "CREATE TABLE x (a int PRIMARY KEY, b int PRIMARY KEY)",
           "ERROR 42P16 multiple primary keys for table \"x\" are not allowed [42]");
    expect(t, "CREATE TABLE x (a int, PRIMARY KEY (z))",
           "ERROR 42703 column \"z\" named in key does not exist [37]");
    expect(t, "CREATE TABLE x (a int DEFAULT 'q')",
           "ERROR 22P02 invalid input syntax for type integer: \"q\" [31]");
    expect(t, "DROP TABLE x", "ERROR 42P01 table \"x\" does not exist");
    expect(t, "DROP TABLE IF EXISTS x, s",
           "NOTICE: table \"x\" does not exist, skipping\nDROP TABLE");
    expect(t, "CREATE TABLE s (a int)", "CREATE TABLE");
    expect(t, "INSERT INTO s VALUES (1)", "INSERT 0 1");
    expect(t, "TRUNCATE s", "TRUNCATE TABLE");
    expect_rows(t, "SELECT * FROM s", "");
    expect(t, "DROP INDEX nope", "ERROR 42704 index \"nope\" does not exist");
    expect_rows(t, "SELECT table_name, column_name, data_type FROM meridian.columns",
                "s|a|integer");
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(insert_duplicate_key_is_refused),
        CASE(insert_null_into_not_null_is_refused),
        CASE(insert_casts_and_limits_as_assignment),
        CASE(upsert_does_nothing_or_updates),
        CASE(blind_upsert_replaces_the_whole_row),
        CASE(update_never_meets_its_own_rows),
        CASE(update_with_defaults_and_rows_of_values),
        CASE(names_that_are_unknown_or_ambiguous),
        CASE(grouping_refuses_what_a_group_does_not_determine),
        CASE(groups_and_aggregates),
        CASE(joins_of_all_kinds),
        CASE(subqueries_of_all_kinds),
        CASE(set_operations_and_order),
        CASE(three_valued_logic),
        CASE(table_without_key_keeps_order_and_duplicates),
        CASE(schema_changes_and_their_errors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
