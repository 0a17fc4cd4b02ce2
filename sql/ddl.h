/*
 * ddl.h - schema changes: CREATE, DROP, TRUNCATE, ALTER; each a transaction of its own.
 *
 * A change runs as txn_schema_change(): no other change beside it, and its timestamp is above every lease
 * that was given out on the version before. An index on an existing table is made online in three steps: write-only,
 * filled in chunks of bounded transactions, public. Dropped data is not deleted here: its ids are never used
 * again, and the range is noted as garbage. Conflicts (40001) are retried inside. Thread: the session's.
 */
#ifndef MRD_SQL_DDL_H
#define MRD_SQL_DDL_H

#include "sql/bind.h"

struct ddl_env {
    struct txn_space *space;
    struct catalog_cache *cache;
    const struct func_env *env;
    size_t memory; /* budget */
    const bool *cancel;
    void (*notice)(void *arg, const struct err *note, const char *severity); /* may be NULL */
    void *notice_arg;
};

/* *out_ts: when the (last) change was committed, 0 if nothing changed. */
enum status ddl_run(const struct ddl_env *env, const struct stmt *stmt, tstamp *out_ts,
                    struct err *err) MRD_CHECKED;
/* "CREATE TABLE", "DROP INDEX" ... */
const char *ddl_tag(const struct stmt *stmt);

#endif
