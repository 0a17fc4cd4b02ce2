/*
 * virtual.h - tables made up from the catalog: meridian.tables, meridian.columns, meridian.indexes.
 *
 * A virtual table fills its rows at once from a snapshot; see struct virtual_table in sql/bind.h.
 * Pure functions.
 */
#ifndef MRD_SQL_VIRTUAL_H
#define MRD_SQL_VIRTUAL_H

#include "sql/bind.h"

struct virtual_rows {
    struct arena *mem;
    size_t n_columns;
    struct datum **rows;
    size_t n, cap;
};

/* Adds a row of n_columns datums, to be filled by the caller. */
struct datum *virtual_row(struct virtual_rows *out);

/* "CREATE UNIQUE INDEX i ON t (a, b DESC)". */
const char *index_definition(const struct table *t, const struct index *ix, struct arena *mem);

#endif
