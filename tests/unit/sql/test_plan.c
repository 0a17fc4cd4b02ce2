/* Which path the planner takes, as EXPLAIN shows it, and that the path gives the right rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/sql/sqltest.h"

static int set_up(void **state)
{
    static struct sqltest t;

    sqltest_open(&t);
    expect(&t,
           "CREATE TABLE files (ns bigint, id bigint, parent bigint NOT NULL, name varchar(20) NOT "
           "NULL, "
           "size bigint, PRIMARY KEY (ns, id))",
           "CREATE TABLE");
    expect(&t, "CREATE INDEX by_parent ON files (ns, parent, name)", "CREATE INDEX");
    expect(&t, "CREATE UNIQUE INDEX by_name ON files (name)", "CREATE INDEX");
    expect(&t, "CREATE INDEX by_size ON files (size DESC)", "CREATE INDEX");
    expect(
        &t,
        "INSERT INTO files SELECT 1 + g / 50, g, g % 4, 'f' || (100 + g), nullif(g % 10, 0) FROM "
        "generate_series(0, 99) g",
        "INSERT 0 100");
    *state = &t;
    return 0;
}

static int tear_down(void **state)
{
    sqltest_close(*state);
    return 0;
}

static void explain(struct sqltest *t, const char *sql, const char *want)
{
    char text[512];

    (void)snprintf(text, sizeof text, "EXPLAIN (COSTS OFF) %s", sql);
    expect_rows(t, text, want);
}

static void whole_key_is_a_point_get(void **state)
{
    struct sqltest *t = *state;

    explain(t, "SELECT name FROM files WHERE ns = 1 AND id = 7",
            "Point Get using files_pkey on files\n  Index Cond: ((ns = 1) AND (id = "
            "7))");
    expect_rows(t, "SELECT name FROM files WHERE ns = 1 AND id = 7", "f107");
    explain(t, "SELECT id FROM files WHERE name = 'f107'",
            "Point Get using by_name on files\n  Index Cond: (name = 'f107'::text)");
    expect_rows(t, "SELECT id, size FROM files WHERE name = 'f107'", "7|7");
}

static void leading_parts_and_order_come_from_the_index(void **state)
{
    struct sqltest *t = *state;

    explain(t, "SELECT id, name, size FROM files WHERE ns = 1 AND parent = 2 ORDER BY name LIMIT 2",
            "Limit\n  ->  Index Scan using by_parent on files\n        Index Cond: ((ns = 1) "
            "AND (parent = 2))");
    expect_rows(
        t, "SELECT id, name, size FROM files WHERE ns = 1 AND parent = 2 ORDER BY name LIMIT 2",
        "2|f102|2\n6|f106|6");
    explain(t, "SELECT id, name FROM files WHERE ns = 1 AND parent = 2 ORDER BY name DESC LIMIT 2",
            "Limit\n  ->  Index Only Scan Backward using by_parent on files\n        Index Cond: "
            "((ns = "
            "1) AND (parent = 2))");
    expect_rows(t,
                "SELECT id, name FROM files WHERE ns = 1 AND parent = 2 ORDER BY name DESC LIMIT 2",
                "46|f146\n42|f142");
}

static void range_on_the_next_part(void **state)
{
    struct sqltest *t = *state;

    explain(t, "SELECT id FROM files WHERE ns = 2 AND id > 96 ORDER BY id",
            "Index Scan using files_pkey on files\n  Index Cond: ((ns = 2) AND (id > "
            "96))");
    expect_rows(t, "SELECT id FROM files WHERE ns = 2 AND id > 96 ORDER BY id", "97\n98\n99");
    expect_rows(t, "SELECT id FROM files WHERE ns = 2 AND id >= 98 AND id < 99", "98");
    expect_rows(t, "SELECT id FROM files WHERE ns = 2 AND id BETWEEN 98 AND 97", "");
    expect_rows(t, "SELECT id FROM files WHERE ns = 2 AND id > NULL", "");
}

static void descending_index_serves_both_directions_and_nulls(void **state)
{
    struct sqltest *t = *state;

    explain(t, "SELECT size FROM files WHERE size > 7 ORDER BY size",
            "Index Only Scan Backward using by_size on files\n  Index Cond: (size > 7)");
    expect_rows(t, "SELECT DISTINCT size FROM files WHERE size > 7 ORDER BY size", "8\n9");
    expect_rows(t, "SELECT DISTINCT size FROM files WHERE size < 3 ORDER BY size DESC", "2\n1");
    expect_rows(t, "SELECT count(*) FROM files WHERE size IS NULL", "10");
    explain(t, "SELECT count(*) FROM files WHERE size IS NULL",
            "Aggregate\n  ->  Index Only Scan using by_size on files\n        Index Cond: (size IS "
            "NULL)");
    expect_rows(t, "SELECT size FROM files ORDER BY size DESC LIMIT 1", "~");
    expect_rows(t, "SELECT size FROM files ORDER BY size LIMIT 1", "1");
    explain(
        t, "SELECT size FROM files ORDER BY size DESC NULLS LAST LIMIT 1",
        "Limit\n  ->  Sort\n        Sort Key: size DESC NULLS LAST\n        ->  Seq Scan on files");
}

static void lists_become_several_points(void **state)
{
    struct sqltest *t = *state;

    explain(t, "SELECT name FROM files WHERE ns = 1 AND id IN (9, 3, 3) ORDER BY id",
            "Point Get using files_pkey on files\n  Index Cond: ((ns = 1) AND (id IN (9, 3, 3)))");
    expect_rows(t, "SELECT name FROM files WHERE ns = 1 AND id IN (9, 3, 3) ORDER BY id",
                "f103\nf109");
    expect_rows(t,
                "SELECT name FROM files WHERE ns = 1 AND id = ANY ('{9,3,NULL}') ORDER BY id DESC",
                "f109\nf103");
    expect_rows(t, "SELECT count(*) FROM files WHERE ns IN (1, 2) AND parent IN (1, 2)", "50");
}

static void extreme_of_an_indexed_column_reads_one_row(void **state)
{
    struct sqltest *t = *state;

    explain(t, "SELECT max(id) FROM files WHERE ns = 1",
            "Aggregate\n  ->  Limit\n        ->  Index Scan Backward using files_pkey on files\n"
            "              Index Cond: (ns = 1)");
    expect_rows(t, "SELECT max(id), max(id) + 1 FROM files WHERE ns = 1", "49|50");
    expect_rows(t, "SELECT min(name) FROM files", "f100");
    expect_rows(t, "SELECT min(size) FROM files", "1");
    expect_rows(t, "SELECT max(size) FROM files", "9");
    expect_rows(t, "SELECT max(id) FROM files WHERE ns = 77", "~");
    expect_rows(t, "SELECT min(id), max(id) FROM files", "0|99");
}

static void like_with_a_prefix_reads_its_range(void **state)
{
    struct sqltest *t = *state;

    explain(
        t, "SELECT id FROM files WHERE name LIKE 'f10%'",
        "Index Only Scan using by_name on files\n  Index Cond: ((name >= 'f10'::text) AND (name < "
        "'f11'::text))\n  Filter: (name ~~ 'f10%'::text)");
    expect_rows(t, "SELECT count(*) FROM files WHERE name LIKE 'f10%'", "10");
    expect_rows(t,
                "SELECT id FROM files WHERE name LIKE 'f1_7' AND ns = 1 AND parent = 1 ORDER BY id",
                "17\n37");
    expect_rows(t, "SELECT count(*) FROM files WHERE name LIKE '%9'", "10");
}

static void limit_stops_the_scan_early(void **state)
{
    struct sqltest *t = *state;
    struct memspace_stats before = memspace_stats(t->space), after;

    expect_rows(t, "SELECT id FROM files WHERE ns = 1 ORDER BY id LIMIT 3", "0\n1\n2");
    after = memspace_stats(t->space);
    assert_int_equal(after.scanned - before.scanned, 3);
}

static void join_looks_up_by_index_when_few_rows_ask(void **state)
{
    struct sqltest *t = *state;

    explain(
        t,
        "SELECT b.name FROM files a JOIN files b ON b.ns = a.ns AND b.id = a.parent WHERE a.ns = 1 "
        "AND a.id = 7",
        "Nested Loop\n  ->  Point Get using files_pkey on files a\n        Index Cond: ((a.ns = "
        "1) AND (a.id = 7))\n  ->  Point Get using files_pkey on files b\n        "
        "Index Cond: ((b.ns = a.ns) AND (b.id = a.parent))");
    expect_rows(
        t,
        "SELECT b.name FROM files a JOIN files b ON b.ns = a.ns AND b.id = a.parent WHERE a.ns "
        "= 1 AND a.id = 7",
        "f103");
}

static void join_of_whole_tables_hashes(void **state)
{
    struct sqltest *t = *state;

    explain(
        t, "SELECT count(*) FROM files a JOIN files b ON b.size = a.id",
        "Aggregate\n  ->  Hash Join\n        Hash Cond: (a.id = b.size)\n        ->  Seq Scan on "
        "files a\n        ->  Seq Scan on files b");
    expect_rows(t, "SELECT count(*) FROM files a JOIN files b ON b.size = a.id", "90");
    expect_rows(t, "SELECT count(*) FROM files a JOIN files b ON b.size = a.size", "900");
}

static void subplans_say_how_often_they_run(void **state)
{
    struct sqltest *t = *state;

    explain(
        t,
        "SELECT 1 FROM files f WHERE size = (SELECT max(size) FROM files) AND EXISTS (SELECT 1 "
        "FROM "
        "files g WHERE g.ns = f.ns AND g.id = f.parent)",
        "Index Scan using by_size on files f\n  Index Cond: (size = (SubPlan 1))\n  Filter: EXISTS("
        "SubPlan 2)\n  SubPlan 1 (run once)\n  ->  Aggregate\n        ->  Seq Scan on files\n  "
        "SubPlan "
        "2\n  ->  Point Get using files_pkey on files g\n        Index Cond: ((ns = f.ns) AND (id "
        "= "
        "f.parent))");
}

static void analyze_counts_what_ran(void **state)
{
    struct sqltest *t = *state;

    expect_rows(
        t,
        "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT name FROM files WHERE ns = 1 "
        "AND id < 5",
        "Index Scan using files_pkey on files (actual rows=5 loops=1)\n  Index Cond: ((ns = "
        "1) AND (id < 5))");
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(whole_key_is_a_point_get),
        CASE(leading_parts_and_order_come_from_the_index),
        CASE(range_on_the_next_part),
        CASE(descending_index_serves_both_directions_and_nulls),
        CASE(lists_become_several_points),
        CASE(extreme_of_an_indexed_column_reads_one_row),
        CASE(like_with_a_prefix_reads_its_range),
        CASE(limit_stops_the_scan_early),
        CASE(join_looks_up_by_index_when_few_rows_ask),
        CASE(join_of_whole_tables_hashes),
        CASE(subplans_say_how_often_they_run),
        CASE(analyze_counts_what_ran),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
