/*
 * ddl_int.h - what the files of schema changes share.
 */
#ifndef MRD_SQL_DDL_INT_H
#define MRD_SQL_DDL_INT_H

#include "sql/ddl.h"

/* One schema change inside its transaction. */
struct change {
    const struct ddl_env *env;
    struct txn *txn;
    struct catalog *catalog; /* as the transaction sees it */
    struct arena *mem;
    bool changed;
    /* An index that has yet to be filled, by name of its table. */
    uint32_t table_id, index_id;
    bool backfill;
};

typedef enum status (*change_fn)(struct change *c, const void *arg, struct err *err);

/* Runs fn as a schema change, again after every conflict, and commits what it wrote. The ids of an index to fill
 * are copied to *io_fill (may be NULL). */
enum status ddl_change(const struct ddl_env *env, change_fn fn, const void *arg,
                       struct change *io_fill, tstamp *out_ts, struct err *err) MRD_CHECKED;

void ddl_notice(const struct ddl_env *env, const char *sqlstate, const char *severity,
                const char *fmt, ...) MRD_PRINTF(4, 5);
bool name_taken(const struct catalog *c, const char *name);
/* base, base1, base2 ...: the first that is free. Names are cut to CATALOG_NAME_MAX bytes. */
const char *free_name(struct change *c, const char *base);
/* A copy that may be changed; its column and index arrays have room for `more_indexes`. */
struct table *table_copy(struct change *c, const struct table *t, size_t more_indexes);
enum status put_table(struct change *c, struct table *t, struct err *err) MRD_CHECKED;

/* ddl_create.c */
enum status ddl_create_table(struct change *c, const void *stmt, struct err *err) MRD_CHECKED;
/* ddl_index.c: CREATE INDEX and ALTER TABLE ADD UNIQUE, with filling. */
/* constraint: by ALTER TABLE ADD UNIQUE; it cannot be dropped as an index. */
enum status ddl_create_index(const struct ddl_env *env, const struct create_index_stmt *s,
                             bool constraint, tstamp *out_ts, struct err *err) MRD_CHECKED;

#endif
