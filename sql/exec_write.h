/*
 * exec_write.h - one row and its index entries into the transaction.
 *
 * Every writer goes through here, so that a row and its entries in all indexes, write-only ones included,
 * change together. Thread: the run's.
 */
#ifndef MRD_SQL_EXEC_WRITE_H
#define MRD_SQL_EXEC_WRITE_H

#include "sql/exec.h"
#include "sql/row.h"

struct write_env {
    struct txn *txn;
    struct run_pool *pool; /* scratch buffers */
    struct arena *mem;     /* lives as long as the rows that are handed in */
    const struct table *table;
};

/* 23502, with the row in the detail. */
enum status write_check_not_null(const struct table *t, const struct datum *row,
                                 struct err *err) MRD_CHECKED;

/* The unique index that already has the row's key, and the row it belongs to. */
struct write_conflict {
    const struct index *index; /* NULL: none */
    struct bytes row_key, row_value;
};
/* Looks in `first` (if not NULL) before the other unique indexes. */
enum status write_find_conflict(struct write_env *w, const struct datum *row,
                                const struct index *first, struct write_conflict *out,
                                struct err *err) MRD_CHECKED;
/* Raises 23505 for the row's key in this index. */
enum status write_duplicate(const struct write_env *w, const struct index *ix,
                            const struct datum *row, struct err *err) MRD_CHECKED;

/* Without any check for duplicates. */
enum status write_insert(struct write_env *w, const struct datum *row, struct err *err) MRD_CHECKED;
/* Checks the keys that change. */
enum status write_update(struct write_env *w, const struct datum *old, const struct datum *fresh,
                         struct err *err) MRD_CHECKED;
enum status write_delete(struct write_env *w, const struct datum *old, struct err *err) MRD_CHECKED;

#endif
