/*
 * parse_int.h - the parser's inside: what the grammar's actions and the files that serve them share.
 *
 * An action never fails by return value: the first error is kept in the parser, which then is fed no further
 * token. Builders always return a usable node, so that the rest of a reduction can go on. They keep the height
 * of what they build below SQL_NESTING_MAX.
 */
#ifndef MRD_SQL_PARSE_INT_H
#define MRD_SQL_PARSE_INT_H

#include "base/arena.h"
#include "base/status.h"
#include "sql/ast.h"
#include "sql/lex.h"
#include "sql/parse.h"

struct parser {
    struct arena *mem;
    struct err *err;
    enum status st; /* the first error */
    struct bytes text;
    struct stmt *result;      /* of the statement being parsed */
    struct expr *expr_result; /* of sql_parse_expr() */
    int max_param;
};

/* Keeps the first error. */
void parser_fail(struct parser *p, const char *sqlstate, int pos, const char *fmt, ...)
    MRD_PRINTF(4, 5);
void parser_syntax_error(struct parser *p, const struct token *t);

/* Appends to an array of `n` items of `size` bytes that grows by doubling in the arena; returns the array, with
 * room for one more. */
void *vec_grow(struct parser *p, void *items, size_t n, size_t size);

/* ---- names and lists ---- */
struct ident ident_of(struct token t);
struct ident_list ident_add(struct parser *p, struct ident_list l, struct ident id);
/* a.b.c to a qualified name; 42601 if there are too many parts. */
struct qual_name qual_of(struct parser *p, struct ident_list parts);
struct qual_name_list qual_add(struct parser *p, struct qual_name_list l, struct qual_name q);
struct expr_list list_add(struct parser *p, struct expr_list l, struct expr *e);
struct target_list target_add(struct parser *p, struct target_list l, struct target t);
struct sort_list sort_add(struct parser *p, struct sort_list l, struct sort_item s);
struct from_list from_add(struct parser *p, struct from_list l, struct from_item *f);
struct set_list set_add(struct parser *p, struct set_list l, struct set_item s);
struct set_list set_concat(struct parser *p, struct set_list a, struct set_list b);

/* ---- expressions ---- */
struct expr *expr_new(struct parser *p, enum expr_kind kind, int pos);
/* e's height counts this child; NULL is fine. */
void expr_grow(struct parser *p, struct expr *e, const struct expr *child);
void expr_grow_list(struct parser *p, struct expr *e, struct expr_list children);
struct expr *expr_int(struct parser *p, int64_t v, int pos);
struct expr *expr_number(struct parser *p, struct token t);
struct expr *expr_string(struct parser *p, const char *s, int pos);
struct expr *expr_bool(struct parser *p, bool v, int pos);
struct expr *expr_null(struct parser *p, int pos);
struct expr *expr_param(struct parser *p, struct token t);
struct expr *expr_column(struct parser *p, struct ident_list names);
struct expr *expr_star(struct parser *p, struct ident_list names, int pos);
struct expr *expr_op(struct parser *p, const char *op, struct expr *left, struct expr *right,
                     int pos);
/* Operators that do not chain: 42601 at `t` if `left` is one of the level and not in parentheses. The grammar
 * cannot refuse it itself: lemon drops the error of a %nonassoc where it keeps every look-ahead apart. */
enum nonassoc { NONASSOC_NONE, NONASSOC_COMPARE, NONASSOC_IS, NONASSOC_LIKE };
void expr_single(struct parser *p, const struct expr *left, enum nonassoc level,
                 const struct token *t);
struct expr *expr_compare(struct parser *p, struct token op, struct expr *left, struct expr *right);
struct expr *expr_negate(struct parser *p, struct expr *arg, int pos);
struct expr *expr_logic(struct parser *p, enum expr_kind kind, struct expr *left,
                        struct expr *right, int pos);
struct expr *expr_unary(struct parser *p, enum expr_kind kind, struct expr *arg, int pos);
struct expr *expr_test(struct parser *p, struct expr *arg, enum test_kind test, bool negated,
                       int pos);
struct expr *expr_distinct(struct parser *p, struct expr *left, struct expr *right, bool negated,
                           int pos);
struct expr *expr_between(struct parser *p, struct expr *arg, struct expr *low, struct expr *high,
                          int pos);
struct expr *expr_like(struct parser *p, enum like_kind like, struct expr *arg,
                       struct expr *pattern, struct expr *escape, int pos);
struct expr *expr_negated(struct expr *e); /* NOT LIKE, NOT IN, NOT BETWEEN: sets `negated` */
struct expr *expr_of_list(struct parser *p, enum expr_kind kind, struct expr_list list, int pos);
struct expr *expr_in_list(struct parser *p, struct expr_list list, int pos);
/* The `IN (...)` half gets its left side. */
struct expr *expr_in(struct parser *p, struct expr *left, struct expr *in, int pos);
struct expr *expr_subquery(struct parser *p, enum subquery_kind kind, struct select_stmt *select,
                           int pos);
struct expr *expr_quantified(struct parser *p, struct expr *left, const char *op, bool all,
                             struct select_stmt *select, int pos);
struct expr *expr_any_array(struct parser *p, struct expr *left, const char *op, bool all,
                            struct expr *array, int pos);
struct expr *expr_case_when(struct parser *p, struct expr *kase, struct expr *when,
                            struct expr *then);
struct expr *expr_cast(struct parser *p, struct expr *arg, struct type_name *type, int pos);
struct expr *expr_subscript(struct parser *p, struct expr *arg, struct expr *low, struct expr *high,
                            int pos);
struct expr *expr_field(struct parser *p, struct expr *arg, const char *name, int pos);
struct expr *expr_collate(struct parser *p, struct expr *arg, struct qual_name collation, int pos);
/* name(args); COALESCE and its like become their own kinds. `end` is the closing parenthesis. */
struct expr *expr_func(struct parser *p, struct ident_list name, struct expr_list args,
                       struct token end);
struct expr *expr_func_form(struct parser *p, const char *name, enum func_form form,
                            struct expr_list args, int pos);
/* Marks that the order to come stands in WITHIN GROUP; 42601 where the call has an order or DISTINCT. */
void func_within(struct parser *p, struct expr *func);
struct expr *func_modify(struct parser *p, struct expr *func, struct sort_list within,
                         struct expr *filter, struct window_def *over);

/* ---- types ---- */
struct type_name *type_new(struct parser *p, const char *name, int pos);
struct type_name *type_generic(struct parser *p, struct ident_list names, struct expr_list mods);
struct type_name *type_char(struct parser *p, bool varying, struct expr_list mods, int pos);

/* ---- queries ---- */
struct select_stmt *select_new(struct parser *p, enum select_kind kind, int pos);
/* To be called when all parts of a SELECT_PLAIN or SELECT_VALUES stand. */
struct select_stmt *select_done(struct parser *p, struct select_stmt *s);
struct select_stmt *select_values_add(struct parser *p, struct select_stmt *s, struct expr_list row,
                                      int pos);
struct select_stmt *select_setop(struct parser *p, enum setop_kind op, bool all,
                                 struct select_stmt *left, struct select_stmt *right, int pos);

/* ORDER BY, LIMIT and locking as they follow a query, each at most once. */
struct select_tail {
    struct sort_list order_by;
    struct expr *limit;
    struct expr *offset;
    bool has_limit;
    bool has_offset;
    bool with_ties;
    int limit_pos;
    int offset_pos;
    struct locking_list locking;
};
struct select_tail *tail_new(struct parser *p);
struct select_stmt *select_add_tail(struct parser *p, struct select_stmt *s,
                                    const struct select_tail *tail, const struct with_clause *with);
struct locking_list locking_add(struct parser *p, struct locking_list l, struct locking k);

struct from_item *from_new(struct parser *p, enum from_kind kind, int pos);
struct from_item *from_alias(struct from_item *f, const struct alias *a);
struct from_item *from_subquery(struct parser *p, struct select_stmt *s, bool lateral, int pos);
struct from_item *from_func(struct parser *p, struct expr *call, bool lateral, bool ordinality);
struct from_item *from_join(struct parser *p, enum join_kind kind, struct from_item *left,
                            struct from_item *right, int pos);
void from_grow(struct parser *p, struct from_item *f, int depth);
struct alias *alias_new(struct parser *p, struct ident name, struct ident_list columns);
struct with_clause *with_add(struct parser *p, struct with_clause *w, struct cte c);

/* ---- statements ---- */
struct stmt *stmt_new(struct parser *p, enum stmt_kind kind, void *body);
/* To be called when all parts of an INSERT, UPDATE or DELETE stand. */
struct stmt *dml_done(struct parser *p, struct stmt *s);
struct set_list set_row(struct parser *p, struct ident_list columns, struct expr *value, int pos);

/* One item of CREATE TABLE's list: either. */
struct table_element {
    struct column_def *column;
    struct table_constraint *constraint;
};
/* The `_add` of statement parts make the statement with the first part. */
struct create_table_stmt *table_element(struct parser *p, struct create_table_stmt *t,
                                        const struct table_element *e);
struct column_constraint *constraint_new(struct parser *p, enum column_constraint_kind kind,
                                         int pos);
struct column_def *column_add(struct parser *p, struct column_def *d,
                              const struct column_constraint *c);
struct create_index_stmt *index_add(struct parser *p, struct create_index_stmt *x,
                                    const struct index_column *c);
struct alter_table_stmt *alter_add(struct parser *p, struct alter_table_stmt *a,
                                   const struct alter_action *action);
struct stmt *txn_new(struct parser *p, enum txn_kind kind, struct txn_modes modes);
/* What b says wins over a. */
struct txn_modes modes_merge(struct parser *p, struct txn_modes a, struct txn_modes b);
struct stmt *set_new(struct parser *p, enum set_kind kind, const char *name,
                     struct expr_list values);
struct expr *set_word(struct parser *p, struct token t);
struct stmt *show_new(struct parser *p, const char *name, const char *arg);
struct prepare_stmt *prepare_type(struct parser *p, struct prepare_stmt *s,
                                  const struct type_name *t);
struct explain_stmt *explain_option(struct parser *p, struct explain_stmt *x, struct token name,
                                    const char *value);
struct stmt *explain_new(struct parser *p, struct explain_stmt *options, struct stmt *target);
struct stmt *maintenance_new(struct parser *p, enum maintenance_kind kind,
                             struct qual_name_list tables);
const char *dotted_text(struct parser *p, struct ident_list names);

#endif
