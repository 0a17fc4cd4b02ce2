/*
 * session_int.h - what the files of a session share.
 */
#ifndef MRD_SQL_SESSION_INT_H
#define MRD_SQL_SESSION_INT_H

#include "sql/catalog.h"
#include "sql/exec.h"
#include "sql/parse.h"
#include "sql/session.h"
#include "sql/settings.h"

enum { AUTOCOMMIT_TRIES = 50 };

struct sql_database {
    struct sql_database_options opts;
    struct catalog_cache *cache;
    struct metric *statements, *errors, *retries, *plans;
};

/* A statement with its plan. The text and the tree live as long as it does; the plan is made anew when the
 * catalog or a setting that it depends on has changed. */
struct prepared {
    struct prepared *next;
    char *name;
    char *text;
    int refs; /* the session's list, and portals */
    struct arena ast_mem;
    const struct stmt *stmt; /* NULL: empty */
    enum sql_type *declared; /* as the client gave them */
    enum sql_type *types;    /* as resolved */
    size_t n_params;

    struct arena plan_mem;
    bool planned;
    struct catalog *catalog; /* a reference */
    uint64_t settings_version;
    struct bound bound;
    struct statement_plan plan;
    struct column_desc *cols;
    size_t n_cols;
    enum sql_type
        *shown_types; /* of the columns that the client has been told of; NULL: not told */
    size_t n_shown;
};

struct portal {
    struct portal *next;
    char *name;
    struct prepared *prepared; /* a reference */
    struct arena mem;
    struct datum *params;
    struct run *run; /* suspended: more rows may come */
    uint64_t shown;
    bool done;
    /* Rows of a statement that ran to its end at the first call: RETURNING, SHOW, EXPLAIN. */
    struct datum **rows;
    size_t n_rows, cap_rows, at_row;
    char tag[64];
};

struct session {
    struct sql_database *db;
    char *user, *database;
    struct settings *settings;
    struct run_pool pool;
    struct rng *rng;
    bool cancel; /* any thread sets it, by __atomic */

    enum session_state state;
    bool implicit;   /* inside a text of several statements: they are one transaction */
    struct txn *txn; /* of the block, or of the statement that runs */
    enum txn_mode mode;
    bool touched;            /* a statement has run in the block */
    struct catalog *catalog; /* of txn; a reference */
    struct txn_schema_lease lease;
    tstamp as_of; /* 0: none */
    int64_t txn_mono_ns;
    uint64_t row_seq;
    struct func_env env;

    tstamp last_commit;
    tstamp last_age;
    struct prepared *statements;
    struct prepared simple; /* the statement of session_run() at hand */
    struct arena text_mem;  /* its text's trees */
    struct portal *portals;
    const struct sql_sink *sink; /* of the call that runs, for notices */
};

/* Where the rows of a statement go. */
struct row_out {
    bool (*row)(void *arg, const struct datum *values, size_t n); /* false: stop */
    void *arg;
};

/* session_txn.c */
enum status session_begin(struct session *s, enum txn_mode mode, tstamp read_ts, tstamp age,
                          struct err *err) MRD_CHECKED;
enum status session_commit(struct session *s, struct err *err) MRD_CHECKED;
void session_rollback(struct session *s);
/* Before a statement in a block: the schema lease is carried on. 40001 if the schema has changed. */
enum status session_renew(struct session *s, struct err *err) MRD_CHECKED;
enum status session_txn_stmt(struct session *s, const struct txn_stmt *t, const char **out_tag,
                             struct err *err) MRD_CHECKED;
enum status session_set_modes(struct session *s, const struct txn_modes *m,
                              struct err *err) MRD_CHECKED;
/* AS OF SYSTEM TIME's value as a timestamp. */
enum status session_as_of(struct session *s, const struct expr *e, tstamp *out,
                          struct err *err) MRD_CHECKED;
enum status session_as_of_value(struct session *s, const struct datum *v, tstamp *out,
                                struct err *err) MRD_CHECKED;
void session_notice(struct session *s, const char *sqlstate, const char *severity, const char *fmt,
                    ...) MRD_PRINTF(4, 5);
bool session_in_block(const struct session *s);
int64_t session_deadline(struct session *s);

/* session_prepared.c */
/* From text that holds one statement or none (42601 otherwise). */
enum status prepared_new(struct session *s, const char *name, const char *text,
                         const enum sql_type *types, size_t n_types, struct prepared **out,
                         struct err *err) MRD_CHECKED;
void prepared_unref(struct prepared *p);
void prepared_init(struct prepared *p, const struct stmt *stmt);
void prepared_fini(struct prepared *p);
struct prepared *prepared_find(struct session *s, const char *name);
/* A plan for this catalog; nothing to do if the plan at hand fits. */
enum status prepared_plan(struct session *s, struct prepared *p, struct catalog *catalog,
                          struct err *err) MRD_CHECKED;
/* Statements that have a plan: SELECT, INSERT, UPDATE, DELETE. */
bool stmt_is_planned(const struct stmt *stmt);
bool stmt_is_ddl(const struct stmt *stmt);
enum status session_add_prepared(struct session *s, struct prepared *p, bool replace,
                                 struct err *err) MRD_CHECKED;
/* ST_NOTFOUND if there is none. */
enum status session_drop_prepared(struct session *s, const char *name, struct err *err);

/* session_exec.c */
struct stats_room {
    struct node_stats *items;
    size_t cap;
};
/* Runs a planned statement to its end, in the open transaction or in one of its own (then retried after 40001,
 * and rows of a writing one leave only after the commit). `stats` may be NULL. */
enum status session_run_planned(struct session *s, struct prepared *p, const struct datum *params,
                                const struct row_out *out, const struct stats_room *stats,
                                uint64_t *out_count, struct err *err) MRD_CHECKED;
void planned_tag(const struct stmt *stmt, uint64_t count, char *out, size_t size);
/* A transaction for the statement if none is open (*out_own), and a plan for its catalog. */
enum status session_enter(struct session *s, struct prepared *p, tstamp age, bool *out_own,
                          struct err *err) MRD_CHECKED;
enum status session_open_run(struct session *s, struct prepared *p, const struct datum *params,
                             const struct stats_room *stats, struct run **out,
                             struct err *err) MRD_CHECKED;
/* The statement has failed: an open block is over but for its ROLLBACK. */
void session_statement_failed(struct session *s, enum status st);
/* Catalog for planning without a transaction: that of the block, or the present one. */
enum status session_catalog(struct session *s, struct err *err) MRD_CHECKED;
/* 25P02 unless the statement ends the block. */
enum status session_check_state(struct session *s, const struct stmt *stmt,
                                struct err *err) MRD_CHECKED;

/* session_utility.c: everything without a plan. Rows (SHOW, EXPLAIN, EXECUTE) go to out; tag is filled. */
enum status session_utility(struct session *s, struct prepared *p, const struct row_out *out,
                            char *tag, size_t tag_size, struct err *err) MRD_CHECKED;
/* Result columns of a utility statement; false if it has none. Into mem. */
enum status utility_columns(struct session *s, const struct stmt *stmt, struct arena *mem,
                            struct column_desc **out, size_t *out_n, struct err *err) MRD_CHECKED;

#endif
