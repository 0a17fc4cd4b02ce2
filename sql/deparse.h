/*
 * deparse.h - trees back to SQL text: for EXPLAIN, for stored defaults, for result column names.
 *
 * The text parses to an equal tree. Pure functions; results live in `mem`.
 */
#ifndef MRD_SQL_DEPARSE_H
#define MRD_SQL_DEPARSE_H

#include "base/arena.h"
#include "base/bytes.h"
#include "sql/ast.h"

const char *deparse_expr(const struct expr *e, struct arena *mem);
const char *deparse_select(const struct select_stmt *s, struct arena *mem);
/* INSERT, UPDATE, DELETE and SELECT; other statements are shown by their own text, see stmt.begin. */
const char *deparse_stmt(const struct stmt *s, struct arena *mem);
/* Parts that the printer of plans needs, too. Both append. */
void deparse_ident(struct buf *out, const char *name);            /* quoted where it must be */
void deparse_literal(struct buf *out, const struct datum *value); /* 'it''s', 12, NULL, true */

/* The name of a result column without alias, by PostgreSQL's rules: a column's own, a function's, "case",
 * "coalesce", the type of a cast ..., or "?column?". Borrowed from the tree or static. */
const char *target_name(const struct target *t);

#endif
