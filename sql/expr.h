/*
 * expr.h - bound expressions: names are slots, operators are functions, types are known; and their values.
 *
 * A row that is being worked on stands in a frame: an array of datums, one frame a query block. A variable is
 * (level, slot): level 0 the block's own frame, 1 the enclosing block's, and so on. Trees are made by the
 * binder in a statement's arena and never change while they run; subtrees may be shared. Evaluation allocates
 * from the caller's arena, which lives as long as the values are wanted.
 *
 * Thread: a tree may be evaluated by several threads at once, each with its own struct eval.
 */
#ifndef MRD_SQL_EXPR_H
#define MRD_SQL_EXPR_H

#include "sql/agg.h"
#include "sql/ast.h"
#include "sql/cast.h"
#include "sql/func.h"

struct query;
struct block_plan;
struct run;

enum bx_kind {
    BX_CONST,
    BX_PARAM,
    BX_VAR,
    BX_FUNC,     /* call of a function or an operator */
    BX_AND,      /* list */
    BX_OR,       /* list */
    BX_NOT,      /* unary */
    BX_TEST,     /* IS NULL, IS TRUE ... */
    BX_DISTINCT, /* IS [NOT] DISTINCT FROM */
    BX_IN,       /* arg IN (list) */
    BX_CASE,
    BX_CAST,
    BX_TYPMOD,   /* varchar(n) and the like on a value of that type */
    BX_COALESCE, /* list */
    BX_NULLIF,
    BX_MINMAX, /* GREATEST, LEAST */
    BX_SUBQUERY,
    BX_AGG /* gone after the binder's grouping pass */
};

struct bx_sort {
    struct bx *key;
    bool desc;
    bool nulls_first;
};

/* A subquery inside an expression. */
struct subquery {
    enum subquery_kind kind;
    unsigned id;             /* index of its state in struct run */
    struct query *query;     /* as bound */
    struct block_plan *plan; /* filled by the planner */
    bool correlated;         /* looks at an enclosing frame: must run again for each row */
    bool negated;
    struct bx **left; /* IN, ANY, ALL: as many as the subquery has columns */
    size_t n_left;
    const struct func **cmp; /* left[i] cmp column i */
    struct bx *const
        *right; /* column i, cast to the type that cmp wants: variables of the subquery's own row */
    bool hashable; /* all cmp are equality: the rows can be kept in a hash set */
};

struct bx_agg {
    const struct agg *agg;
    struct bx **args;
    size_t n_args;
    struct bx *filter; /* or NULL */
    bool distinct;
    struct bx_sort *order; /* string_agg(x, ',' ORDER BY y) */
    size_t n_order;
    unsigned slot; /* where the result goes */
    const struct expr *ast;
};

struct bx_when {
    struct bx *when;
    struct bx *then;
};

struct bx {
    enum bx_kind kind;
    enum sql_type type;
    int32_t typmod;
    int pos;
    union {
        struct datum konst;
        unsigned param; /* 0-based */
        struct {
            unsigned level;
            unsigned slot;
            const char *table; /* for messages and EXPLAIN; may be NULL */
            const char *name;
        } var;
        struct {
            const struct func *func;
            struct bx **args;
            size_t n;
        } func;
        struct {
            struct bx **items;
            size_t n;
        } list;
        struct bx *unary;
        struct {
            struct bx *arg;
            enum test_kind test;
            bool negated;
        } test;
        struct {
            struct bx *left, *right;
            const struct func *eq;
            bool negated;
        } distinct; /* also NULLIF */
        struct {
            struct bx *arg;
            const struct func *eq;
            struct bx **items;
            size_t n;
            bool negated;
        } in;
        struct {
            struct bx_when *whens;
            size_t n;
            struct bx *otherwise; /* or NULL */
        } kase;
        struct {
            struct bx *arg;
            const struct cast *cast;
        } cast;
        struct {
            struct bx *arg;
            enum cast_context context;
        } typmodded;
        struct {
            struct bx **items;
            size_t n;
            const struct func *before; /* a before b: b is not the one */
        } minmax;
        struct subquery *subquery;
        struct bx_agg *agg;
    };
};

/* A row of one query block, and the rows around it. */
struct frame {
    struct datum *slots;
    const struct frame *outer;
};

struct eval {
    const struct frame *frame;
    const struct datum *params;
    const struct func_env *env;
    struct run *run; /* for subqueries; NULL where none can occur */
    struct arena *mem;
};

enum status bx_eval(const struct bx *e, const struct eval *ev, struct datum *out,
                    struct err *err) MRD_CHECKED;
/* A condition: NULL counts as false. */
enum status bx_true(const struct bx *e, const struct eval *ev, bool *out,
                    struct err *err) MRD_CHECKED;
/* All of them; stops at the first that is not true. */
enum status bx_all_true(struct bx *const *conds, size_t n, const struct eval *ev, bool *out,
                        struct err *err) MRD_CHECKED;

/* Calls fn for every direct subexpression (not into subqueries); stops on false. */
bool bx_each(const struct bx *e, bool (*fn)(void *arg, struct bx **child), void *arg);
/* Visits e and everything below it, subqueries included; `level` tells how many blocks further in than e a node
 * stands: a variable belongs to e's own block if var.level == level. */
void bx_walk(const struct bx *e, void (*fn)(void *arg, const struct bx *e, unsigned level),
             void *arg);
/* The same expression: equal values whenever evaluated in the same frame. */
bool bx_equal(const struct bx *a, const struct bx *b);
/* Constant as far as a plan is concerned: no variable, parameter, subquery or volatile function. */
bool bx_is_foldable(const struct bx *e);

/* SQL text for EXPLAIN. */
struct bx_text {
    struct buf *buf;
    bool qualified; /* columns with the name of their table */
};
void bx_print(const struct bx *e, const struct bx_text *out);

#endif
