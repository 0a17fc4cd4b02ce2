/* Indexes made while rows change, and kept right by every kind of write. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/clock.h"
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

/* The index holds exactly what the table does, in both directions. */
static void check_index(struct sqltest *t)
{
    char through_table[4096], through_index[4096];

    (void)snprintf(through_table, sizeof through_table, "%s",
                   sqltest_run(t, t->s, "SELECT count(*), sum(k), sum(a) FROM w"));
    (void)snprintf(
        through_index, sizeof through_index, "%s",
        sqltest_run(t, t->s, "SELECT count(*), sum(k), sum(a) FROM w WHERE a >= 0 OR a IS NULL"));
    assert_string_equal(through_index, through_table);
    (void)snprintf(
        through_index, sizeof through_index, "%s",
        sqltest_run(t, t->s,
                    "SELECT (SELECT count(*) FROM w WHERE a > -1) + (SELECT count(*) FROM w "
                    "WHERE a IS NULL), (SELECT sum(k) FROM w), (SELECT sum(a) FROM w WHERE a "
                    "> -1)"));
    assert_string_equal(through_index, through_table);
}

static void index_on_rows_is_filled_and_public(void **state)
{
    struct sqltest *t = *state;

    expect(t, "CREATE TABLE w (k int PRIMARY KEY, a int)", "CREATE TABLE");
    expect(t, "INSERT INTO w SELECT g, nullif(g % 7, 0) FROM generate_series(1, 1700) g",
           "INSERT 0 1700");
    expect(t, "CREATE INDEX w_a ON w (a)", "CREATE INDEX");
    expect_rows(t, "EXPLAIN (COSTS OFF) SELECT k FROM w WHERE a = 3",
                "Index Only Scan using w_a on w\n  Index Cond: (a = 3)");
    expect_rows(t, "SELECT state FROM meridian.indexes WHERE index_name = 'w_a'", "public");
    check_index(t);
}

static void index_unique_with_duplicates_is_taken_out_again(void **state)
{
    struct sqltest *t = *state;

    expect(t, "CREATE TABLE w (k int PRIMARY KEY, a int)", "CREATE TABLE");
    expect(t, "INSERT INTO w SELECT g, g % 1000 FROM generate_series(1, 1200) g", "INSERT 0 1200");
    expect(t, "CREATE UNIQUE INDEX w_a ON w (a)",
           "ERROR 23505 could not create unique index \"w_a\" Key (a)=(1) is duplicated.");
    expect_rows(t, "SELECT index_name FROM meridian.indexes", "w_pkey");
    expect(t, "INSERT INTO w VALUES (5000, 1)", "INSERT 0 1");
    expect(t, "DELETE FROM w WHERE k > 999", "DELETE 202");
    expect(t, "CREATE UNIQUE INDEX w_a ON w (a)", "CREATE INDEX");
    check_index(t);
}

static void index_of_an_added_constraint_is_kept(void **state)
{
    struct sqltest *t = *state;

    expect(t, "CREATE TABLE w (k int PRIMARY KEY, a int)", "CREATE TABLE");
    expect(t, "INSERT INTO w VALUES (1, 1)", "INSERT 0 1");
    expect(t, "ALTER TABLE w ADD UNIQUE (a)", "ALTER TABLE");
    expect(t, "INSERT INTO w VALUES (2, 1)",
           "ERROR 23505 duplicate key value violates unique constraint \"w_a_key\" Key (a)=(1) "
           "already "
           "exists.");
    expect(
        t, "DROP INDEX w_a_key",
        "ERROR 2BP01 cannot drop index w_a_key because constraint w_a_key on table w requires it");
    check_index(t);
}

static void index_follows_every_write(void **state)
{
    struct sqltest *t = *state;

    expect(t, "CREATE TABLE w (k int PRIMARY KEY, a int)", "CREATE TABLE");
    expect(t, "CREATE INDEX w_a ON w (a)", "CREATE INDEX");
    expect(t, "INSERT INTO w SELECT g, g FROM generate_series(1, 50) g", "INSERT 0 50");
    expect(t, "UPDATE w SET a = a + 100 WHERE k % 2 = 0", "UPDATE 25");
    expect(t, "UPDATE w SET a = NULL WHERE k % 5 = 0", "UPDATE 10");
    expect(t, "UPDATE w SET k = k + 1000 WHERE k % 3 = 0", "UPDATE 16");
    expect(t, "DELETE FROM w WHERE a BETWEEN 10 AND 110", "DELETE 20");
    expect(t, "INSERT INTO w VALUES (1, 7) ON CONFLICT (k) DO UPDATE SET a = 99", "INSERT 0 1");
    check_index(t);
    expect_rows(t, "SELECT k FROM w WHERE a = 99", "1");
}

/* A writer beside the making of the index. */
struct writer {
    struct sqltest *t;
    struct session *s;
    bool stop;
    int n;
};

static bool no_row(void *arg, const struct datum *values, size_t n)
{
    (void)arg;
    (void)values;
    return n > 0;
}

static void *write_rows(void *arg)
{
    struct writer *w = arg;
    const struct sql_sink sink = {.row = no_row};
    char sql[100];
    struct err err;

    for (int i = 0; !__atomic_load_n(&w->stop, __ATOMIC_RELAXED); i++) {
        int k = i * 37 % 2000;

        if (i % 3 == 0)
            (void)snprintf(sql, sizeof sql, "DELETE FROM w WHERE k = %d", k);
        else
            (void)snprintf(sql, sizeof sql,
                           "INSERT INTO w VALUES (%d, %d) ON CONFLICT (k) DO UPDATE SET a = %d", k,
                           i, i);
        err_clear(&err);
        if (session_run(w->s, sql, &sink, &err) == ST_OK)
            w->n++;
        /* The key space in memory is optimistic: without a pace the writer would starve the backfill. */
        mono_sleep_until(mono_now() + 200 * NS_PER_US);
    }
    return NULL;
}

static void index_made_under_writes_misses_nothing(void **state)
{
    struct sqltest *t = *state;
    struct writer w = {.t = t};
    pthread_t thread;

    expect(t, "CREATE TABLE w (k int PRIMARY KEY, a int)", "CREATE TABLE");
    expect(t, "INSERT INTO w SELECT g, g FROM generate_series(0, 1999) g", "INSERT 0 2000");
    w.s = sqltest_session(t);
    assert_int_equal(pthread_create(&thread, NULL, write_rows, &w), 0);
    for (int i = 0; i < 3; i++) {
        expect(t, "CREATE INDEX w_a ON w (a)", "CREATE INDEX");
        if (i < 2)
            expect(t, "DROP INDEX w_a", "DROP INDEX");
    }
    __atomic_store_n(&w.stop, true, __ATOMIC_RELAXED);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(w.n > 0);
    check_index(t);
    session_close(w.s);
}

/* Rows behind entries are read many at once: they come in the order of the index all the same, with own writes. */
static void index_rows_come_in_its_order(void **state)
{
    struct sqltest *t = *state;

    expect(t, "CREATE TABLE w (k int PRIMARY KEY, a int, b int, c text)", "CREATE TABLE");
    expect(t, "CREATE INDEX w_ab ON w (a, b)", "CREATE INDEX");
    expect(
        t,
        "INSERT INTO w SELECT g, g % 3, (g * 7919) % 1009, 'c' || g FROM generate_series(1, 900) g",
        "INSERT 0 900");
    expect_rows(t, "EXPLAIN (COSTS OFF) SELECT c FROM w WHERE a = 1 ORDER BY b LIMIT 4",
                "Limit\n  ->  Index Scan using w_ab on w\n        Index Cond: (a = 1)");
    for (int reverse = 0; reverse < 2; reverse++) {
        char sql[256], by_table[4096];

        for (int limit = 1; limit < 400; limit = limit * 3 + 1) {
            (void)snprintf(
                sql, sizeof sql,
                "SELECT string_agg(c, ',' ORDER BY b%s) FROM (SELECT b, c FROM w WHERE a "
                "+ 0 = 1 ORDER BY b%s LIMIT %d) x",
                reverse ? " DESC" : "", reverse ? " DESC" : "", limit);
            (void)snprintf(by_table, sizeof by_table, "%s", sqltest_run(t, t->s, sql));
            (void)snprintf(sql, sizeof sql,
                           "SELECT string_agg(c, ',') FROM (SELECT c FROM w WHERE a = 1 ORDER BY "
                           "b%s LIMIT %d) x",
                           reverse ? " DESC" : "", limit);
            assert_string_equal(sqltest_run(t, t->s, sql), by_table);
        }
    }
    expect(t, "BEGIN", "BEGIN");
    expect(t, "UPDATE w SET c = 'own' WHERE a = 1 AND b < 100", "UPDATE 29");
    expect(t, "DELETE FROM w WHERE a = 1 AND b >= 100 AND b < 990", "DELETE 266");
    expect_rows(t, "SELECT count(*), count(nullif(c, 'own')) FROM w WHERE a = 1", "34|5");
    expect_rows(t, "SELECT min(c), max(c), count(*) FROM w WHERE a = 1 AND b < 100", "own|own|29");
    expect(t, "ROLLBACK", "ROLLBACK");
    expect_rows(t, "SELECT count(c) FROM w WHERE a = 1", "300");
}

/* What an entry holds is asked of the entry: rows that fail are never fetched. */
static void index_filters_entries_before_rows(void **state)
{
    struct sqltest *t = *state;
    uint64_t gets;

    expect(t, "CREATE TABLE w (k int PRIMARY KEY, a int, b int, c text)", "CREATE TABLE");
    expect(t, "CREATE INDEX w_ab ON w (a, b)", "CREATE INDEX");
    expect(t, "INSERT INTO w SELECT g, g % 3, g % 100, 'c' || g FROM generate_series(1, 900) g",
           "INSERT 0 900");
    gets = memspace_stats(t->space).gets;
    expect_rows(t, "SELECT count(c) FROM w WHERE a = 1 AND b % 50 = 7", "6");
    assert_int_equal(memspace_stats(t->space).gets - gets, 6);
    /* The second condition looks at the row, the third comes after it. */
    gets = memspace_stats(t->space).gets;
    expect_rows(t, "SELECT count(*) FROM w WHERE a = 1 AND b % 50 = 7 AND c <> 'c7' AND k > 0",
                "5");
    assert_int_equal(memspace_stats(t->space).gets - gets, 6);
    expect(t, "BEGIN", "BEGIN");
    expect(t, "UPDATE w SET b = 57 WHERE a = 1 AND b = 58", "UPDATE 3");
    expect_rows(t, "SELECT count(c) FROM w WHERE a = 1 AND b % 50 = 7", "9");
    expect_rows(t, "SELECT count(*) FROM w WHERE b % 50 = 7 AND c LIKE 'c%'", "21");
    expect(t, "ROLLBACK", "ROLLBACK");
}

/* Filters run ahead of what is asked for; an error in one counts only if its row is reached. */
static void filter_fails_where_its_row_is_reached(void **state)
{
    struct sqltest *t = *state;

    expect(t, "CREATE TABLE w (k int PRIMARY KEY, a int)", "CREATE TABLE");
    expect(t, "INSERT INTO w SELECT g, 40 - g FROM generate_series(1, 100) g", "INSERT 0 100");
    expect_rows(t, "SELECT k FROM w WHERE 76 / a > 2 ORDER BY k LIMIT 3", "15\n16\n17");
    expect_rows(t, "SELECT k FROM w WHERE a <> 0 AND 76 / a > 35 ORDER BY k", "38\n39");
    expect(t, "SELECT k FROM w WHERE 76 / a > 35 ORDER BY k",
           "38\n39\nERROR 22012 division by zero");
    expect_rows(t, "SELECT count(*) FROM w WHERE random() >= 0 AND a > 0", "39");
    expect_rows(
        t,
        "SELECT count(*) FROM generate_series(1, 3) g, LATERAL (SELECT k FROM w WHERE a % 10 "
        "= g) x",
        "12");
}

static void keys_in_a_list_are_found_once_each(void **state)
{
    struct sqltest *t = *state;

    expect(t, "CREATE TABLE w (k int PRIMARY KEY, u int UNIQUE, c text)", "CREATE TABLE");
    expect(t, "INSERT INTO w SELECT g * 2, g * 3, 'c' || g FROM generate_series(1, 200) g",
           "INSERT 0 200");
    expect_rows(t, "SELECT c FROM w WHERE k IN (8, 3, 2, 8, 400, 6, 401, 4) ORDER BY k",
                "c1\nc2\nc3\nc4\nc200");
    expect_rows(t, "SELECT c FROM w WHERE k IN (8, 3, 2, 8, 400, 6, 401, 4) ORDER BY k DESC",
                "c200\nc4\nc3\nc2\nc1");
    expect_rows(t, "SELECT c FROM w WHERE u IN (9, 600, 10, 3, 9, 6) ORDER BY u DESC",
                "c200\nc3\nc2\nc1");
    expect_rows(t, "SELECT k FROM w WHERE u IN (9, 600, 10, 3, 9, 6) AND c <> 'c2' ORDER BY u",
                "2\n6\n400");
    expect_rows(t, "SELECT c FROM w WHERE k = 7", "");
    expect(t, "BEGIN", "BEGIN");
    expect(t, "DELETE FROM w WHERE k IN (2, 4, 5)", "DELETE 2");
    expect(t, "INSERT INTO w VALUES (5, 1000, 'own')", "INSERT 0 1");
    expect_rows(t, "SELECT c FROM w WHERE k IN (2, 4, 5, 6) ORDER BY k", "own\nc3");
    expect_rows(t, "SELECT c FROM w WHERE u IN (3, 6, 9, 1000) ORDER BY u", "c3\nown");
    expect(t, "ROLLBACK", "ROLLBACK");
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(index_on_rows_is_filled_and_public),
        CASE(index_unique_with_duplicates_is_taken_out_again),
        CASE(index_of_an_added_constraint_is_kept),
        CASE(index_follows_every_write),
        CASE(index_rows_come_in_its_order),
        CASE(index_filters_entries_before_rows),
        CASE(filter_fails_where_its_row_is_reached),
        CASE(keys_in_a_list_are_found_once_each),
        CASE(index_made_under_writes_misses_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
