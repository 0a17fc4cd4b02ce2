/*
 * plan.h - how a bound statement will be run: a tree of nodes for each query block.
 *
 * A node gives rows by writing slots of its block's frame: a scan the slots of its relation, a projection the
 * slots of the targets. Every path to the data is one of: whole primary key or unique index (point), leading
 * index parts by equality or list, a range on the next part, or all of it. The choice is by rules with
 * coarse guesses at row counts; EXPLAIN shows it. Plans are immutable, live in their statement's arena, and may be
 * run many times, by one session at a time.
 */
#ifndef MRD_SQL_PLAN_H
#define MRD_SQL_PLAN_H

#include "sql/bind.h"

enum plan_kind {
    PLAN_RESULT,   /* one row without columns */
    PLAN_SCAN,     /* a table through one of its indexes */
    PLAN_QUERY,    /* a derived table */
    PLAN_SERIES,   /* generate_series */
    PLAN_VIRTUAL,  /* a table made up from the catalog */
    PLAN_VALUES,   /* rows of expressions into the targets' slots */
    PLAN_NESTLOOP, /* inner is run anew for every row of child */
    PLAN_HASHJOIN, /* inner is read once and kept; without keys: every row of it */
    PLAN_AGG,
    PLAN_FILTER,
    PLAN_PROJECT,
    PLAN_DISTINCT, /* all visible targets, by hash */
    PLAN_UNIQUE,   /* DISTINCT ON: first of neighbours */
    PLAN_SORT,
    PLAN_LIMIT,
    PLAN_SETOP,
    PLAN_DML
};

/* A leading index part that is fixed to one of some values. */
struct scan_part {
    struct bx **values; /* of a type whose key code compares with the part's */
    size_t n;
    bool is_null; /* IS NULL; n is 0 */
};

/* The tree of one query block. */
struct block_plan {
    struct plan *root;
    unsigned n_slots;
    unsigned out_slot;
    size_t n_out; /* visible targets */
};

struct hash_key {
    struct bx *outer;
    struct bx *inner;
};

/* A run of slots that a join or sort must keep for a row. */
struct slot_set {
    unsigned *slots;
    size_t n;
};

struct plan {
    enum plan_kind kind;
    unsigned id; /* numbers the nodes of a statement, for counters */
    double rows; /* guess */
    struct plan *child;
    struct plan *inner;
    struct bx **filter; /* rows must pass; of a join: part of its condition */
    size_t n_filter;
    union {
        struct {
            const struct rte *rte;
            const struct index *index;
            struct scan_part *parts; /* leading parts by equality */
            size_t n_parts;
            struct bx *low, *high; /* range on the next part; either may be NULL */
            bool low_open, high_open;
            bool point;      /* at most one row per combination of values: a get */
            bool index_only; /* the entry holds all that is wanted */
            bool reverse;
            size_t
                n_early; /* the first filters, asked where the tablet is: the entry has all they look at */
            bool *early_want;   /* which columns that is */
            enum txn_lock lock; /* NONE: as the statement's transaction reads */
            bool *entry_want;   /* what is decoded from the entry */
            struct bx **conds;  /* what the path answers, for EXPLAIN */
            size_t n_conds;
        } scan;
        struct {
            const struct rte *rte;
            struct block_plan *block;
        } query;
        struct {
            const struct rte *rte;
        } rel; /* SERIES, VIRTUAL */
        struct {
            const struct query *query;
        } values;
        struct {
            enum jtree_kind join; /* INNER, LEFT, FULL */
            struct hash_key *keys;
            size_t n_keys;
            struct slot_set inner_slots; /* kept of an inner row */
            struct slot_set outer_slots; /* set to NULL for unmatched inner rows (FULL) */
        } join;
        struct {
            const struct query *query;
        } agg;
        struct {
            struct bx **exprs;
            unsigned out_slot;
            size_t n;
        } project;
        struct {
            unsigned out_slot;
            size_t n;
            const unsigned *on; /* UNIQUE */
            size_t n_on;
        } distinct;
        struct {
            const struct order_item *items;
            size_t n;
            unsigned out_slot;
            size_t n_targets;
            struct bx *const *targets; /* for EXPLAIN */
        } sort;
        struct {
            struct bx *limit, *offset;
        } limit;
        struct {
            enum setop_kind op;
            bool all;
            struct block_plan *left, *right;
            unsigned out_slot;
            size_t n;
        } setop;
        struct {
            const struct dml *dml;
            struct block_plan *source; /* INSERT */
            bool blind;                /* an upsert that needs not read what it replaces */
            bool in_place;             /* UPDATE, DELETE: at most one row is met, none is kept */
            bool pk_changes;           /* UPDATE assigns part of the primary key */
        } dml;
    };
};

struct statement_plan {
    struct block_plan *root;
    unsigned n_nodes;
    bool writes;
};

struct plan_options {
    const struct catalog *catalog;
    struct arena *mem;
};

/* Plans the statement and all of its subqueries. */
enum status plan_stmt(const struct plan_options *opts, const struct bound *b,
                      struct statement_plan *out, struct err *err) MRD_CHECKED;

/* EXPLAIN's lines. `stats` (by node id) adds what ANALYZE measured; NULL for plain EXPLAIN. */
struct node_stats {
    uint64_t rows;
    uint64_t loops;
    int64_t ns;
};
void plan_explain(const struct statement_plan *p, const struct bound *b,
                  const struct node_stats *stats, bool costs, bool timing,
                  void (*line)(void *arg, const char *text), void *arg);

#endif
