#include "tests/unit/sql/sqltest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

static void put_str(struct buf *out, const char *s)
{
    buf_put(out, s, strlen(s));
}

static bool on_row(void *arg, const struct datum *values, size_t n)
{
    struct sqltest *t = arg;
    struct arena mem;

    arena_init(&mem, 0);
    for (size_t i = 0; i < n; i++) {
        struct bytes text = values[i].null ? bytes_str("~") : datum_text(&values[i], &mem);

        if (i > 0)
            put_str(&t->out, "|");
        buf_put(&t->out, text.ptr, text.len);
    }
    put_str(&t->out, "\n");
    arena_fini(&mem);
    return true;
}

static void on_complete(void *arg, const char *tag)
{
    struct sqltest *t = arg;

    if (t->tags) {
        put_str(&t->out, tag);
        put_str(&t->out, "\n");
    }
}

static void on_notice(void *arg, const struct err *note, const char *severity)
{
    struct sqltest *t = arg;

    put_str(&t->out, severity);
    put_str(&t->out, ": ");
    put_str(&t->out, note->msg);
    put_str(&t->out, "\n");
}

static void on_empty(void *arg)
{
    put_str(&((struct sqltest *)arg)->out, "EMPTY\n");
}

const struct sql_sink *sqltest_sink(struct sqltest *t, struct sql_sink *sink)
{
    *sink = (struct sql_sink){
        .arg = t, .row = on_row, .complete = on_complete, .notice = on_notice, .empty = on_empty};
    return sink;
}

struct session *sqltest_session(struct sqltest *t)
{
    struct session_options opts = {.user = "tester", .database = "test"};
    struct session *s;
    struct err err;

    err_clear(&err);
    ASSERT(session_open(t->db, &opts, &s, &err) == ST_OK);
    return s;
}

void sqltest_open(struct sqltest *t)
{
    struct err err;
    struct sql_database_options opts;

    *t = (struct sqltest){.tags = true};
    err_clear(&err);
    t->space = memspace_new();
    opts = (struct sql_database_options){.space = t->space};
    ASSERT(sql_database_open(&opts, &t->db, &err) == ST_OK);
    t->s = sqltest_session(t);
}

void sqltest_close(struct sqltest *t)
{
    session_close(t->s);
    sql_database_close(t->db);
    memspace_free(t->space);
    buf_fini(&t->out);
}

static void put_error(struct buf *out, const struct err *err)
{
    char pos[32];

    put_str(out, "ERROR ");
    put_str(out, err->sqlstate);
    put_str(out, " ");
    put_str(out, err->msg);
    if (err->position > 0) {
        (void)snprintf(pos, sizeof pos, " [%d]", err->position);
        put_str(out, pos);
    }
    if (err->detail[0] != 0) {
        put_str(out, " ");
        put_str(out, err->detail);
    }
    put_str(out, "\n");
}

const char *sqltest_run(struct sqltest *t, struct session *s, const char *sql)
{
    struct sql_sink sink;
    struct err err;

    err_clear(&err);
    buf_reset(&t->out);
    if (session_run(s, sql, sqltest_sink(t, &sink), &err) != ST_OK)
        put_error(&t->out, &err);
    if (t->out.len > 0)
        t->out.len--;
    buf_put_u8(&t->out, 0);
    return (const char *)t->out.ptr;
}

void sqltest_expect(struct sqltest *t, struct session *s, const char *sql, const char *want,
                    const char *file, int line)
{
    const char *got = sqltest_run(t, s, sql);

    if (strcmp(got, want) == 0)
        return;
    (void)fprintf(stderr, "%s:%d: %s\n--- wanted:\n%s\n--- got:\n%s\n", file, line, sql, want, got);
    if (getenv("SQLTEST_GO_ON") == NULL) /* to see them all */
        ASSERT(!"the answer is not the one wanted");
}
