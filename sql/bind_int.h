/*
 * bind_int.h - what the files of the binder share.
 */
#ifndef MRD_SQL_BIND_INT_H
#define MRD_SQL_BIND_INT_H

#include "sql/bind.h"

/* A name that can be seen in a block. */
struct scope_column {
    const char *table; /* alias; NULL: only by its bare name (a merged column of USING) */
    const char *name;
    struct bx *value;    /* the variable, or COALESCE of two for a merged column */
    struct rte *rte;     /* NULL for merged columns */
    unsigned column;     /* of rte */
    bool qualified_only; /* hidden from bare names and from *: merged away */
    bool hidden;         /* never shown by * */
};

struct scope {
    struct scope_column *cols;
    size_t n, cap;
};

struct bind_cte {
    const char *name;
    const struct cte *cte;
    struct bind_cte *next;
    bool used_now; /* being bound: a recursive reference */
};

/* Where expressions stand; decides what they may contain. */
enum clause {
    CLAUSE_TARGET,
    CLAUSE_WHERE,
    CLAUSE_ON,
    CLAUSE_GROUP,
    CLAUSE_HAVING,
    CLAUSE_ORDER,
    CLAUSE_LIMIT,
    CLAUSE_VALUES,
    CLAUSE_SET,
    CLAUSE_RETURNING,
    CLAUSE_DEFAULT,
    CLAUSE_FROM
};

/* One query block while it is bound. */
struct block {
    struct block *outer;
    bool outer_opaque; /* a subquery in FROM that is not LATERAL: does not see its own FROM */
    struct query *query;
    struct scope scope;
    size_t scope_lo;        /* names before it cannot be seen now: ON sees its own join only */
    uint64_t *lateral_deps; /* while a FROM item is bound that may look at its neighbours */
    enum clause clause;
    bool in_agg;
    bool keep_unknown; /* targets without a type wait for one */
    struct bind_cte *ctes;
};

struct binder {
    const struct bind_options *opts;
    struct arena *mem;
    struct bound *out;
    size_t cap_subqueries;
    unsigned levels;
    bool keep_unknown; /* for the block that is bound next */
};

/* bind_expr.c */
enum status bind_expr(struct binder *b, struct block *k, const struct expr *e, struct bx **out,
                      struct err *err) MRD_CHECKED;
/* A condition: bool, else 42804 "argument of WHERE must be type boolean". */
enum status bind_condition(struct binder *b, struct block *k, const struct expr *e,
                           const char *what, struct bx **out, struct err *err) MRD_CHECKED;
struct bx *bx_new(struct binder *b, enum bx_kind kind, enum sql_type type, int pos);
struct bx *bx_var(struct binder *b, unsigned level, unsigned slot, enum sql_type type,
                  int32_t typmod, const char *table, const char *name);
/* Folds what can be computed now. */
enum status bx_fold(struct binder *b, struct bx *e, struct bx **out, struct err *err) MRD_CHECKED;
enum status bind_func_call(struct binder *b, const struct func *f, struct bx **args, size_t n,
                           int pos, struct bx **out, struct err *err) MRD_CHECKED;
enum status bind_operator(struct binder *b, const char *schema, const char *op, struct bx *left,
                          struct bx *right, int pos, struct bx **out, struct err *err) MRD_CHECKED;

enum status bind_items(struct binder *b, struct block *k, const struct expr_list *list,
                       struct bx ***out, struct err *err) MRD_CHECKED;
/* 0A000 "... is not supported". */
enum status bind_unsupported(struct err *err, int pos, const char *what);

/* bind_call.c */
enum status bind_func(struct binder *b, struct block *k, const struct expr *e, struct bx **out,
                      struct err *err) MRD_CHECKED;
enum status bind_subquery(struct binder *b, struct block *k, const struct expr *e, struct bx **out,
                          struct err *err) MRD_CHECKED;

/* bind_coerce.c */
enum status coerce(struct binder *b, struct bx *e, enum sql_type to, enum cast_context context,
                   struct bx **out, struct err *err) MRD_CHECKED;
/* Into a column: assignment cast and typmod; 42804 with the column's name. */
enum status coerce_column(struct binder *b, struct bx *e, const struct column *c, struct bx **out,
                          struct err *err) MRD_CHECKED;
struct bx *apply_typmod(struct binder *b, struct bx *e, int32_t typmod, enum cast_context context);
/* UNKNOWN becomes text: result columns, arguments of any type. */
enum status settle_unknown(struct binder *b, struct bx *e, struct bx **out,
                           struct err *err) MRD_CHECKED;
/* All of one common type; `what` as in type_common(). */
enum status coerce_common(struct binder *b, struct bx **items, size_t n, const char *what, int pos,
                          enum sql_type *out_type, struct err *err) MRD_CHECKED;

/* bind_scope.c */
enum status bind_column(struct binder *b, struct block *k, const struct expr *e, struct bx **out,
                        struct err *err) MRD_CHECKED;
enum status bind_from(struct binder *b, struct block *k, const struct from_list *from,
                      struct jtree **out, struct err *err) MRD_CHECKED;
enum status bind_table(struct binder *b, struct block *k, const struct qual_name *name,
                       const char *alias, struct rte **out, struct err *err) MRD_CHECKED;
enum status find_table(struct binder *b, const struct qual_name *name, const struct table **out,
                       struct err *err) MRD_CHECKED;
void scope_add_rte(struct binder *b, struct block *k, struct rte *r);
/* Appends what * or alias.* stands for. */
enum status bind_star(struct binder *b, struct block *k, const struct expr *e, struct bx ***items,
                      const char ***names, size_t *n, size_t *cap, struct err *err) MRD_CHECKED;

/* bind_query.c */
enum status bind_query(struct binder *b, struct block *outer, bool opaque,
                       const struct select_stmt *s, struct query **out,
                       struct err *err) MRD_CHECKED;
void bind_ctes(struct binder *b, struct block *k, const struct with_clause *with);
unsigned query_slots(struct query *q, size_t n);
struct query *query_new(struct binder *b);
enum status bind_targets(struct binder *b, struct block *k, const struct target_list *targets,
                         struct err *err) MRD_CHECKED;
/* The result columns as variables of the query's own frame; makes out_slot. */
void query_outputs(struct binder *b, struct query *q);
/* Casts column i of the result, in every branch. */
enum status retype_output(struct binder *b, struct query *q, size_t i, enum sql_type type,
                          struct err *err) MRD_CHECKED;
/* Splits a condition at its ANDs and appends the parts. */
void add_conjuncts(struct binder *b, struct bx *cond, struct bx ***list, size_t *n);
void bx_append(struct binder *b, struct bx ***list, size_t *n, struct bx *e);

/* bind_group.c: aggregates and grouping; after it no BX_AGG is left. */
enum status bind_grouping(struct binder *b, struct block *k, struct err *err) MRD_CHECKED;

/* bind_dml.c */
enum status bind_dml(struct binder *b, const struct stmt *stmt, struct dml **out,
                     struct err *err) MRD_CHECKED;

#endif
