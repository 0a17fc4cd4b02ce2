/*
 * plan_int.h - what the files of the planner share.
 */
#ifndef MRD_SQL_PLAN_INT_H
#define MRD_SQL_PLAN_INT_H

#include "sql/plan.h"

/* Guesses, in rows; they only have to rank paths. */
#define GUESS_TABLE_ROWS   10000.0
#define GUESS_EQ           0.02
#define GUESS_RANGE_ONE    0.33
#define GUESS_RANGE_BOTH   0.1
#define GUESS_FILTER       0.5
#define GUESS_FETCH        2.5 /* an entry and its row, against an entry alone */
#define GUESS_LOOKUP       4.0 /* one run of an inner index access */
#define GUESS_LIMIT_FACTOR 0.2

struct planner {
    const struct plan_options *opts;
    struct arena *mem;
    unsigned n_nodes;
    struct err *err;
};

/* A condition on its way to the node that will check it. */
struct cond {
    struct bx *e;
    uint64_t mask; /* relations of this block that it looks at */
    bool used;
};

struct pool {
    struct cond *items;
    size_t n, cap;
};

/* ORDER BY of a block, where it is plain columns. */
struct wanted_order {
    struct bx *const *exprs; /* what items[i].target counts */
    const struct order_item *items;
    size_t n; /* 0: nothing is wanted */
    bool limited;
};

struct plan *plan_new(struct planner *p, enum plan_kind kind);
uint64_t plan_mask(const struct query *q, const struct bx *e);
void pool_add(struct planner *p, struct pool *pool, const struct query *q, struct bx *e);
/* Moves every unused condition that looks at nothing outside `mask` to the node's filter. */
void plan_take_filters(struct planner *p, struct pool *pool, uint64_t mask, struct plan *node);

/* plan_access.c */
/* Which of the scan's filters can be asked of entries, before anything is copied or looked up. */
void access_split_filters(struct planner *p, struct plan *scan);
struct access {
    const struct index *index;
    struct scan_part parts[CATALOG_KEY_PARTS_MAX];
    size_t n_parts;
    struct bx *low, *high;
    bool low_open, high_open;
    bool point, index_only, reverse, ordered;
    size_t used[2 * CATALOG_KEY_PARTS_MAX]; /* conditions of the pool that the path answers */
    size_t n_used;
    struct bx *derived[2]; /* a range that LIKE 'abc%' implies; LIKE itself stays a filter */
    size_t n_derived;
    double rows, cost;
};
/* The cheapest path to a relation when the relations of `avail` are given. */
void access_choose(struct planner *p, const struct query *q, unsigned rte, const struct pool *pool,
                   uint64_t avail, const struct wanted_order *order, struct access *out);
/* Makes the scan, marks its conditions as used and adds all others that it can check. */
struct plan *access_plan(struct planner *p, const struct query *q, unsigned rte, struct pool *pool,
                         uint64_t avail, const struct access *a);

/* plan_join.c: FROM and WHERE. *out_ordered: rows come as `order` wants them. */
enum status plan_from(struct planner *p, const struct query *q, const struct wanted_order *order,
                      struct plan **out, bool *out_ordered) MRD_CHECKED;

/* plan.c */
enum status plan_block(struct planner *p, struct query *q, struct block_plan **out) MRD_CHECKED;

#endif
