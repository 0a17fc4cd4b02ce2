/* Transaction blocks, retries, the extended protocol, settings, time travel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/sql/sqltest.h"

static int set_up(void **state)
{
    static struct sqltest t;

    sqltest_open(&t);
    expect(&t, "CREATE TABLE kv (k bigint PRIMARY KEY, v text)", "CREATE TABLE");
    expect(&t, "INSERT INTO kv VALUES (1, 'one'), (2, 'two'), (3, 'three')", "INSERT 0 3");
    *state = &t;
    return 0;
}

static int tear_down(void **state)
{
    sqltest_close(*state);
    return 0;
}

/* Blocks */

static void block_failed_ignores_until_rollback(void **state)
{
    struct sqltest *t = *state;

    expect(t, "BEGIN", "BEGIN");
    expect(t, "INSERT INTO kv VALUES (9, 'nine')", "INSERT 0 1");
    expect_rows(t, "SELECT v FROM kv WHERE k = 9", "nine");
    expect(t, "SELECT 1 / 0", "ERROR 22012 division by zero");
    assert_int_equal(session_state(t->s), SESSION_FAILED);
    expect(t, "SELECT 1",
           "ERROR 25P02 current transaction is aborted, commands ignored until end of transaction "
           "block");
    expect(t, "COMMIT", "ROLLBACK");
    assert_int_equal(session_state(t->s), SESSION_IDLE);
    expect_rows(t, "SELECT v FROM kv WHERE k = 9", "");
}

static void block_warnings_as_postgresql(void **state)
{
    struct sqltest *t = *state;

    expect(t, "COMMIT", "WARNING: there is no transaction in progress\nCOMMIT");
    expect(t, "ROLLBACK", "WARNING: there is no transaction in progress\nROLLBACK");
    expect(t, "BEGIN", "BEGIN");
    expect(t, "BEGIN", "WARNING: there is already a transaction in progress\nBEGIN");
    expect(t, "CREATE TABLE z (a int)",
           "ERROR 0A000 CREATE TABLE inside a transaction block is not supported");
    expect(t, "ROLLBACK", "ROLLBACK");
    expect(t, "", "EMPTY");
}

static void block_read_only_is_one_snapshot(void **state)
{
    struct sqltest *t = *state;
    struct session *other = sqltest_session(t);

    expect(t, "BEGIN READ ONLY", "BEGIN");
    expect_in(t, other, "UPDATE kv SET v = 'changed' WHERE k = 1", "UPDATE 1");
    expect_rows(t, "SELECT v FROM kv WHERE k = 1", "one");
    expect(t, "UPDATE kv SET v = 'x'",
           "ERROR 25006 cannot execute UPDATE in a read-only transaction");
    expect(t, "ROLLBACK", "ROLLBACK");
    expect_rows(t, "SELECT v FROM kv WHERE k = 1", "changed");
    session_close(other);
}

static void block_that_lost_a_race_gets_40001(void **state)
{
    struct sqltest *t = *state;
    struct session *other = sqltest_session(t);

    expect(t, "BEGIN", "BEGIN");
    expect_rows(t, "SELECT v FROM kv WHERE k = 1 FOR UPDATE", "one");
    expect_in(t, other, "UPDATE kv SET v = 'first' WHERE k = 1", "UPDATE 1");
    expect(t, "UPDATE kv SET v = 'second' WHERE k = 1", "UPDATE 1");
    expect(t, "COMMIT", "ERROR 40001 could not serialize access due to concurrent update");
    assert_int_equal(session_state(t->s), SESSION_IDLE);
    expect_rows(t, "SELECT v FROM kv WHERE k = 1", "first");
    session_close(other);
}

static void statement_alone_is_retried_after_40001(void **state)
{
    struct sqltest *t = *state;

    memspace_wound(t->space, 3);
    expect(t, "UPDATE kv SET v = v || '!' WHERE k = 1 RETURNING v", "one!\nUPDATE 1");
    memspace_wound(t->space, 3);
    expect(t, "INSERT INTO kv SELECT k + 10, v FROM kv RETURNING k", "11\n12\n13\nINSERT 0 3");
    expect_rows(t, "SELECT count(*) FROM kv", "6");
}

static void several_statements_are_one_transaction(void **state)
{
    struct sqltest *t = *state;

    expect(t,
           "INSERT INTO kv VALUES (7, 'x'); SELECT v FROM kv WHERE k = 7; INSERT INTO kv VALUES "
           "(7, 'y')",
           "INSERT 0 1\nx\nSELECT 1\nERROR 23505 duplicate key value violates unique constraint "
           "\"kv_pkey\" Key (k)=(7) already exists.");
    expect_rows(t, "SELECT count(*) FROM kv", "3");
    expect(t, "CREATE TABLE a (x int); INSERT INTO a VALUES (1); DROP TABLE a",
           "CREATE TABLE\nINSERT 0 1\nDROP TABLE");
    expect(t, "SELECT 1; SELEC 2; SELECT 3", "ERROR 42601 syntax error at or near \"SELEC\" [11]");
}

static void locking_select_alone_reads_and_locks(void **state)
{
    struct sqltest *t = *state;

    expect_rows(t, "SELECT v FROM kv WHERE k = 1 FOR UPDATE", "one");
    expect_rows(t, "SELECT v FROM (SELECT v FROM kv WHERE k = 2 FOR SHARE) s", "two");
    expect(t, "SELECT count(*) FROM kv FOR UPDATE",
           "ERROR 0A000 FOR UPDATE is not allowed with GROUP BY, DISTINCT or set operations");
    expect(t, "SELECT v FROM kv FOR UPDATE NOWAIT",
           "ERROR 0A000 NOWAIT and SKIP LOCKED are not supported");
}

static void schema_change_fails_an_open_block(void **state)
{
    struct sqltest *t = *state;
    struct session *other = sqltest_session(t);

    expect(t, "BEGIN", "BEGIN");
    expect(t, "INSERT INTO kv VALUES (8, '')", "INSERT 0 1");
    expect_in(t, other, "CREATE INDEX kv_v ON kv (v)", "CREATE INDEX");
    expect(t, "INSERT INTO kv VALUES (9, '')",
           "ERROR 40001 the schema has changed since the transaction began");
    expect(t, "ROLLBACK", "ROLLBACK");
    expect(t, "INSERT INTO kv VALUES (9, '')", "INSERT 0 1");
    session_close(other);
}

/* Time */

static void as_of_sees_rows_and_catalog_of_then(void **state)
{
    struct sqltest *t = *state;
    char sql[200], then[32];

    (void)snprintf(then, sizeof then, "%s", sqltest_run(t, t->s, "SHOW commit_timestamp"));
    then[strcspn(then, "\n")] = 0;
    expect(t, "UPDATE kv SET v = 'later'", "UPDATE 3");
    (void)snprintf(sql, sizeof sql, "SELECT v FROM kv AS OF SYSTEM TIME %s WHERE k = 1", then);
    expect_rows(t, sql, "one");
    expect(t, "DROP TABLE kv", "DROP TABLE");
    expect_rows(t, sql, "one");
    (void)snprintf(sql, sizeof sql, "BEGIN AS OF SYSTEM TIME %s", then);
    expect(t, sql, "BEGIN");
    expect_rows(t, "SELECT v FROM kv WHERE k = 2", "two");
    expect(t, "COMMIT", "COMMIT");
    expect(t, "SELECT * FROM kv AS OF SYSTEM TIME '-1h'",
           "ERROR 42P01 relation \"kv\" does not exist [15]");
    expect(t, "SELECT 1 AS OF SYSTEM TIME '+1h'",
           "ERROR 22007 invalid input syntax for type timestamp with time zone: \"+1h\"");
}

/* Extended protocol */

static enum status execute(struct sqltest *t, const char *portal, uint64_t max, bool *suspended,
                           struct err *err)
{
    struct sql_sink sink;

    buf_reset(&t->out);
    return session_execute(t->s, portal, max, sqltest_sink(t, &sink), suspended, err);
}

static const char *out_of(struct sqltest *t)
{
    buf_put_u8(&t->out, 0);
    return (const char *)t->out.ptr;
}

static void extended_infers_parameters_and_describes(void **state)
{
    struct sqltest *t = *state;
    const enum sql_type *params;
    const struct column_desc *cols;
    size_t n_params, n_cols;
    struct err err;

    err_clear(&err);
    assert_int_equal(
        session_prepare(t->s, "s", "SELECT v, k + $2 AS n FROM kv WHERE k = $1", NULL, 0, &err),
        ST_OK);
    assert_int_equal(session_describe(t->s, "s", &params, &n_params, &cols, &n_cols, &err), ST_OK);
    assert_int_equal(n_params, 2);
    assert_int_equal(params[0], TYPE_INT8);
    assert_int_equal(params[1], TYPE_INT8);
    assert_int_equal(n_cols, 2);
    assert_string_equal(cols[0].name, "v");
    assert_int_equal(cols[0].column_number, 2);
    assert_string_equal(cols[1].name, "n");
    assert_int_equal(cols[1].table_oid, 0);
    assert_int_equal(session_prepare(t->s, "", "SELECT coalesce($1, $2) IS NULL", NULL, 0, &err),
                     ST_OK);
    assert_int_equal(session_prepare(t->s, "s", "SELECT 1", NULL, 0, &err), ST_REJECT);
    assert_string_equal(err.sqlstate, SQLSTATE_DUPLICATE_PREPARED_STATEMENT);
}

static void extended_portal_gives_rows_in_parts(void **state)
{
    struct sqltest *t = *state;
    struct datum params[1] = {{.type = TYPE_INT8, .i = 1}};
    bool suspended;
    struct err err;

    err_clear(&err);
    assert_int_equal(
        session_prepare(t->s, "", "SELECT k FROM kv WHERE k >= $1 ORDER BY k", NULL, 0, &err),
        ST_OK);
    assert_int_equal(session_bind(t->s, "", "", params, 1, &err), ST_OK);
    assert_int_equal(execute(t, "", 2, &suspended, &err), ST_OK);
    assert_true(suspended);
    assert_string_equal(out_of(t), "1\n2\n");
    assert_int_equal(execute(t, "", 2, &suspended, &err), ST_OK);
    assert_false(suspended);
    assert_string_equal(out_of(t), "3\nSELECT 1\n");
    assert_int_equal(session_sync(t->s, &err), ST_OK);

    assert_int_equal(session_prepare(t->s, "", "UPDATE kv SET v = 'p' RETURNING k", NULL, 0, &err),
                     ST_OK);
    assert_int_equal(session_bind(t->s, "", "", NULL, 0, &err), ST_OK);
    assert_int_equal(execute(t, "", 2, &suspended, &err), ST_OK);
    assert_true(suspended);
    assert_int_equal(execute(t, "", 0, &suspended, &err), ST_OK);
    assert_string_equal(out_of(t), "3\nUPDATE 3\n");
    assert_int_equal(session_sync(t->s, &err), ST_OK);
}

static void extended_plan_follows_the_schema(void **state)
{
    struct sqltest *t = *state;
    struct datum params[1] = {{.type = TYPE_TEXT, .s = {(const uint8_t *)"two", 3}}};
    const enum sql_type *types;
    const struct column_desc *cols;
    size_t n, n_cols;
    bool suspended;
    struct err err;

    err_clear(&err);
    assert_int_equal(session_prepare(t->s, "q", "SELECT * FROM kv WHERE v = $1", NULL, 0, &err),
                     ST_OK);
    assert_int_equal(session_describe(t->s, "q", &types, &n, &cols, &n_cols, &err), ST_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(session_bind(t->s, "", "q", params, 1, &err), ST_OK);
        assert_int_equal(execute(t, "", 0, &suspended, &err), ST_OK);
        assert_string_equal(out_of(t), "2|two\nSELECT 1\n");
        assert_int_equal(session_sync(t->s, &err), ST_OK);
        if (i == 0)
            expect(t, "CREATE INDEX kv_v ON kv (v)", "CREATE INDEX");
    }
    expect(t, "DROP TABLE kv; CREATE TABLE kv (v text, k int)", "DROP TABLE\nCREATE TABLE");
    assert_int_equal(session_bind(t->s, "", "q", params, 1, &err), ST_OK);
    assert_int_equal(execute(t, "", 0, &suspended, &err), ST_REJECT);
    assert_string_equal(err.msg, "cached plan must not change result type");
    session_failed(t->s);
}

static void extended_error_fails_the_block_until_rollback(void **state)
{
    struct sqltest *t = *state;
    bool suspended;
    struct err err;

    err_clear(&err);
    expect(t, "BEGIN", "BEGIN");
    assert_int_equal(session_prepare(t->s, "", "SELECT 1 / (k - 1) FROM kv", NULL, 0, &err), ST_OK);
    assert_int_equal(session_bind(t->s, "", "", NULL, 0, &err), ST_OK);
    assert_int_equal(execute(t, "", 0, &suspended, &err), ST_REJECT);
    session_failed(t->s);
    assert_int_equal(session_state(t->s), SESSION_FAILED);
    assert_int_equal(session_prepare(t->s, "", "ROLLBACK", NULL, 0, &err), ST_OK);
    assert_int_equal(session_bind(t->s, "", "", NULL, 0, &err), ST_OK);
    assert_int_equal(execute(t, "", 0, &suspended, &err), ST_OK);
    assert_int_equal(session_state(t->s), SESSION_IDLE);
    assert_int_equal(session_bind(t->s, "", "gone", NULL, 0, &err), ST_REJECT);
    assert_string_equal(err.sqlstate, SQLSTATE_INVALID_SQL_STATEMENT_NAME);
}

static void prepare_execute_deallocate_in_text(void **state)
{
    struct sqltest *t = *state;

    expect(t, "PREPARE q(bigint) AS SELECT v FROM kv WHERE k = $1", "PREPARE");
    expect(t, "EXECUTE q(2)", "two\nSELECT 1");
    expect(t, "EXECUTE q(1, 2)",
           "ERROR 42601 wrong number of parameters for prepared statement \"q\" Expected 1 "
           "parameters but "
           "got 2.");
    expect(t, "PREPARE q AS SELECT 1", "ERROR 42P05 prepared statement \"q\" already exists");
    expect(t, "DEALLOCATE q", "DEALLOCATE");
    expect(t, "EXECUTE q(2)", "ERROR 26000 prepared statement \"q\" does not exist");
}

/* Settings */

static void settings_set_show_reset(void **state)
{
    struct sqltest *t = *state;

    expect(t, "SET statement_timeout = '5s'", "SET");
    expect_rows(t, "SHOW statement_timeout", "5s");
    expect(t, "RESET statement_timeout", "RESET");
    expect_rows(t, "SHOW statement_timeout", "0");
    expect(t, "SET nope = 1", "ERROR 42704 unrecognized configuration parameter \"nope\"");
    expect(t, "SHOW nope", "ERROR 42704 unrecognized configuration parameter \"nope\"");
    expect(t, "SET TIME ZONE 'Mars'",
           "ERROR 22023 invalid value for parameter \"TimeZone\": \"Mars\"");
    expect(t, "SET my.thing = 'x'", "SET");
    expect_rows(t, "SHOW my.thing", "x");
    expect(t, "SET server_version = '9'",
           "ERROR 55006 parameter \"server_version\" cannot be changed");
}

static void settings_go_back_with_their_transaction(void **state)
{
    struct sqltest *t = *state;

    expect(t, "BEGIN", "BEGIN");
    expect(t, "SET application_name = 'inside'", "SET");
    expect(t, "ROLLBACK", "ROLLBACK");
    expect_rows(t, "SHOW application_name", "");
    expect(t, "BEGIN", "BEGIN");
    expect(t, "SET LOCAL application_name = 'local'", "SET");
    expect_rows(t, "SHOW application_name", "local");
    expect(t, "COMMIT", "COMMIT");
    expect_rows(t, "SHOW application_name", "");
}

static void transaction_age_is_kept_for_a_retry(void **state)
{
    struct sqltest *t = *state;
    char sql[64], age[32];

    expect(t, "BEGIN", "BEGIN");
    expect(t, "ROLLBACK", "ROLLBACK");
    (void)snprintf(age, sizeof age, "%s", sqltest_run(t, t->s, "SHOW transaction_age"));
    age[strcspn(age, "\n")] = 0;
    (void)snprintf(sql, sizeof sql, "SET transaction_age = %s", age);
    expect(t, sql, "SET");
    expect(t, "BEGIN", "BEGIN");
    expect_rows(t, "SHOW transaction_age", age);
    expect(t, "COMMIT", "COMMIT");
}

static void statement_memory_is_bounded(void **state)
{
    struct sqltest *t = *state;
    struct sql_database_options opts = {.space = t->space, .statement_memory = 200000};
    struct sql_database *db;
    struct session_options so = {.user = "small"};
    struct session *s;
    struct err err;

    err_clear(&err);
    assert_int_equal(sql_database_open(&opts, &db, &err), ST_OK);
    assert_int_equal(session_open(db, &so, &s, &err), ST_OK);
    expect_in(t, s, "SELECT count(*) FROM (SELECT DISTINCT g FROM generate_series(1, 100000) g) x",
              "ERROR 53200 out of memory The statement needs more than its 200000 bytes.");
    expect_in(t, s, "SELECT g FROM generate_series(1, 100000) g ORDER BY g DESC LIMIT 1",
              "100000\nSELECT 1");
    session_close(s);
    sql_database_close(db);
}

static void statement_timeout_ends_a_long_one(void **state)
{
    struct sqltest *t = *state;

    expect(t, "SET statement_timeout = '10ms'", "SET");
    expect(t, "SELECT count(*) FROM generate_series(1, 100000000000) g",
           "ERROR 57014 canceling statement due to statement timeout");
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(block_failed_ignores_until_rollback),
        CASE(block_warnings_as_postgresql),
        CASE(block_read_only_is_one_snapshot),
        CASE(block_that_lost_a_race_gets_40001),
        CASE(statement_alone_is_retried_after_40001),
        CASE(several_statements_are_one_transaction),
        CASE(locking_select_alone_reads_and_locks),
        CASE(schema_change_fails_an_open_block),
        CASE(as_of_sees_rows_and_catalog_of_then),
        CASE(extended_infers_parameters_and_describes),
        CASE(extended_portal_gives_rows_in_parts),
        CASE(extended_plan_follows_the_schema),
        CASE(extended_error_fails_the_block_until_rollback),
        CASE(prepare_execute_deallocate_in_text),
        CASE(settings_set_show_reset),
        CASE(settings_go_back_with_their_transaction),
        CASE(transaction_age_is_kept_for_a_retry),
        CASE(statement_memory_is_bounded),
        CASE(statement_timeout_ends_a_long_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
