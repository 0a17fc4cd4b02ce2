/*
 * exec.h - running a plan: pull rows, one at a time.
 *
 * A struct run is one execution of a statement inside a transaction. Nodes are made in the run's arena from the
 * immutable plan; each owns an arena for what must live until its next row, taken from a pool that the
 * session keeps, so that a short statement allocates nothing. What a node shows stays good until that node is
 * asked for its next row. Rows that are kept (sort, hash, groups) are copied and counted
 * against the statement's budget (53200).
 *
 * Thread: a run belongs to its session's thread.
 */
#ifndef MRD_SQL_EXEC_H
#define MRD_SQL_EXEC_H

#include "sql/plan.h"

/* Arenas and buffers that a session lends to its runs, one run after another; nested ones share. */
struct run_pool {
    struct arena **arenas;
    size_t n, cap, used;
    struct buf key, key2, value; /* scratch for codes of keys and rows */
    size_t budget;
};
void run_pool_init(struct run_pool *p, size_t budget);
void run_pool_fini(struct run_pool *p);
struct arena *run_pool_take(struct run_pool *p);
/* Gives back everything taken since `mark` (a former value of p->used). */
void run_pool_release(struct run_pool *p, size_t mark);

struct run_options {
    const struct statement_plan *plan;
    const struct bound *bound;
    const struct catalog *catalog;
    struct txn *txn;
    enum txn_mode mode;
    const struct datum *params;
    const struct func_env *env;
    struct run_pool *pool;
    const bool *cancel;       /* may be NULL */
    int64_t deadline_mono_ns; /* statement_timeout; 0 none */
    uint64_t
        *row_seq; /* rows without a primary key that the transaction has made: part of their ids */
    struct node_stats *stats; /* by node id, zeroed; NULL: nothing is measured */
};

struct run;
enum status run_open(const struct run_options *opts, struct run **out, struct err *err) MRD_CHECKED;
/* ST_OK: *out_values are the result's columns, good until the next call. ST_NOTFOUND: the end. A statement without
 * result columns runs to its end in one call and gives ST_NOTFOUND. */
enum status run_next(struct run *r, const struct datum **out_values, struct err *err) MRD_CHECKED;
uint64_t run_affected(const struct run *r); /* rows inserted, updated, deleted */
void run_close(struct run *r);              /* NULL is fine */

/* For bx_eval(): the value of a subquery in the frame of ev. */
enum status run_subquery(struct run *r, const struct subquery *s, const struct eval *ev,
                         struct datum *out, struct err *err) MRD_CHECKED;

#endif
