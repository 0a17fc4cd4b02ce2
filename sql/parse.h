/*
 * parse.h - SQL text to statements.
 *
 * Hides the lexer and the grammar. Thread: no shared state; any thread, each with its own arena.
 */
#ifndef MRD_SQL_PARSE_H
#define MRD_SQL_PARSE_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/status.h"
#include "sql/ast.h"

enum {
    SQL_NESTING_MAX = 500, /* nested parentheses, subqueries, operators: more is 54001 */
    SQL_PARAM_MAX = 65535  /* highest $n: the wire counts parameters in 16 bits */
};

/* Every statement of a text, in order; empty ones are left out. The text must stay as long as `mem`
 * is used and must be UTF-8 (22021 otherwise). Errors are PostgreSQL's, with position: 42601, 54001 ... */
enum status sql_parse(struct bytes text, struct arena *mem, struct stmt_list *out,
                      struct err *err) MRD_CHECKED;

/* One expression, e.g. a stored column default. */
enum status sql_parse_expr(struct bytes text, struct arena *mem, struct expr **out,
                           struct err *err) MRD_CHECKED;

#endif
