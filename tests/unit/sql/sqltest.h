/*
 * sqltest.h - SQL in, text out: a session on memspace for unit tests.
 *
 * expect() runs a text and compares all that came out: one line a row, columns joined by '|', NULL as ~,
 * then the tag; notices as "NOTICE: ..."; an error as "ERROR sqlstate message [position] detail".
 */
#ifndef MRD_TESTS_SQLTEST_H
#define MRD_TESTS_SQLTEST_H

#include "sql/session.h"
#include "tests/unit/sql/memspace.h"

struct sqltest {
    struct txn_space *space;
    struct sql_database *db;
    struct session *s;
    struct buf out;
    bool tags; /* off: rows only */
};

void sqltest_open(struct sqltest *t);
void sqltest_close(struct sqltest *t);
/* Another session of the same database. */
struct session *sqltest_session(struct sqltest *t);
/* Runs and returns what came out, without the last line end; good until the next call. */
const char *sqltest_run(struct sqltest *t, struct session *s, const char *sql);
const struct sql_sink *sqltest_sink(struct sqltest *t, struct sql_sink *sink);

void sqltest_expect(struct sqltest *t, struct session *s, const char *sql, const char *want,
                    const char *file, int line);
#define expect(t, sql, want) sqltest_expect((t), (t)->s, (sql), (want), __FILE__, __LINE__)
#define expect_in(t, session, sql, want) \
    sqltest_expect((t), (session), (sql), (want), __FILE__, __LINE__)
/* Rows only, without the tag. */
#define expect_rows(t, sql, want)                                       \
    do {                                                                \
        (t)->tags = false;                                              \
        sqltest_expect((t), (t)->s, (sql), (want), __FILE__, __LINE__); \
        (t)->tags = true;                                               \
    } while (0)

#endif
