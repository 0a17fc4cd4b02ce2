#include "sql/exec.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "sql/exec_int.h"

enum { POOL_KEEP_BYTES = 4 * 1024 * 1024, TICKS_PER_CLOCK = 256 };

/* The pool */

void run_pool_init(struct run_pool *p, size_t budget)
{
    *p = (struct run_pool){.budget = budget};
}

void run_pool_fini(struct run_pool *p)
{
    for (size_t i = 0; i < p->n; i++) {
        arena_fini(p->arenas[i]);
        free(p->arenas[i]);
    }
    free(p->arenas);
    buf_fini(&p->key);
    buf_fini(&p->key2);
    buf_fini(&p->value);
    *p = (struct run_pool){0};
}

struct arena *run_pool_take(struct run_pool *p)
{
    if (p->used == p->n) {
        if (p->n == p->cap) {
            p->cap = p->cap == 0 ? 16 : p->cap * 2;
            p->arenas = xrealloc(p->arenas, p->cap * sizeof *p->arenas);
        }
        p->arenas[p->n] = xmalloc(sizeof **p->arenas);
        arena_init(p->arenas[p->n++], p->budget);
    }
    return p->arenas[p->used++];
}

void run_pool_release(struct run_pool *p, size_t mark)
{
    for (size_t i = mark; i < p->used; i++) {
        struct arena *a = p->arenas[i];

        if (a->used > POOL_KEEP_BYTES) {
            arena_fini(a);
            arena_init(a, p->budget);
        } else {
            arena_reset(a);
        }
    }
    p->used = mark;
}

/* Checks between rows */

enum status run_check(struct run *r, struct err *err)
{
    if (r->o.cancel != NULL && __atomic_load_n(r->o.cancel, __ATOMIC_RELAXED))
        return err_set(err, ST_REJECT, SQLSTATE_QUERY_CANCELED,
                       "canceling statement due to user request");
    if (r->o.deadline_mono_ns != 0 && r->ticks++ % TICKS_PER_CLOCK == 0 &&
        mono_now() > r->o.deadline_mono_ns)
        return err_set(err, ST_REJECT, SQLSTATE_QUERY_CANCELED,
                       "canceling statement due to statement timeout");
    return ST_OK;
}

enum status check_budget(const struct arena *a, struct err *err)
{
    if (!arena_over_budget(a))
        return ST_OK;
    (void)err_set(err, ST_REJECT, SQLSTATE_OUT_OF_MEMORY, "out of memory");
    return err != NULL ? err_detail(err, "The statement needs more than its %zu bytes.", a->budget)
                       : ST_REJECT;
}

/* Nodes */

struct eval node_eval(struct node *n)
{
    return (struct eval){.frame = n->frame,
                         .params = n->run->o.params,
                         .env = n->run->o.env,
                         .run = n->run,
                         .mem = n->row_mem};
}

struct arena *node_keep(struct node *n)
{
    if (n->keep_mem == NULL)
        n->keep_mem = run_pool_take(n->run->o.pool);
    return n->keep_mem;
}

struct node *node_new(struct run *r, const struct plan *p, struct frame *frame)
{
    struct node *n = arena_zalloc(r->mem, sizeof *n);

    n->plan = p;
    n->frame = frame;
    n->run = r;
    n->row_mem = run_pool_take(r->o.pool);
    if (p->child != NULL)
        n->child = node_new(r, p->child, frame);
    if (p->inner != NULL)
        n->inner = node_new(r, p->inner, frame);
    if (p->kind == PLAN_QUERY)
        n->query.block = block_new(r, p->query.block, frame);
    if (p->kind == PLAN_SETOP) {
        n->setop.left = block_new(r, p->setop.left, frame);
        n->setop.right = block_new(r, p->setop.right, frame);
    }
    if (p->kind == PLAN_DML && p->dml.source != NULL)
        n->dml.source = block_new(r, p->dml.source, frame);
    return n;
}

static enum status result_next(struct node *n, struct err *err)
{
    struct eval ev = node_eval(n);
    bool pass;
    enum status st;

    if (n->done)
        return ST_NOTFOUND;
    n->done = true;
    st = bx_all_true(n->plan->filter, n->plan->n_filter, &ev, &pass, err);
    return st != ST_OK ? st : pass ? ST_OK : ST_NOTFOUND;
}

static enum status filter_next(struct node *n, struct err *err)
{
    struct eval ev = node_eval(n);
    bool pass = false;

    while (!pass) {
        enum status st = node_next(n->child, err);

        if (st != ST_OK)
            return st;
        arena_reset(n->row_mem);
        st = bx_all_true(n->plan->filter, n->plan->n_filter, &ev, &pass, err);
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

static enum status dispatch(struct node *n, struct err *err)
{
    switch (n->plan->kind) {
    case PLAN_RESULT:
        return result_next(n, err);
    case PLAN_SCAN:
        return scan_next(n, err);
    case PLAN_QUERY:
        return query_next(n, err);
    case PLAN_SERIES:
        return series_next(n, err);
    case PLAN_VIRTUAL:
        return virtual_next(n, err);
    case PLAN_VALUES:
        return values_next(n, err);
    case PLAN_NESTLOOP:
        return nestloop_next(n, err);
    case PLAN_HASHJOIN:
        return hashjoin_next(n, err);
    case PLAN_AGG:
        return agg_next(n, err);
    case PLAN_FILTER:
        return filter_next(n, err);
    case PLAN_PROJECT:
        return project_next(n, err);
    case PLAN_DISTINCT:
        return distinct_next(n, err);
    case PLAN_UNIQUE:
        return unique_next(n, err);
    case PLAN_SORT:
        return sort_next(n, err);
    case PLAN_LIMIT:
        return limit_next(n, err);
    case PLAN_SETOP:
        return setop_next(n, err);
    case PLAN_DML:
        return dml_next(n, err);
    }
    return err_set(err, ST_REJECT, SQLSTATE_INTERNAL_ERROR, "unknown plan node");
}

static enum status measured_next(struct node *n, struct err *err)
{
    struct node_stats *s = &n->run->o.stats[n->plan->id];
    int64_t start = mono_now();
    enum status st = dispatch(n, err);

    s->ns += mono_now() - start;
    s->rows += st == ST_OK;
    s->loops += !n->counted;
    n->counted = true;
    return st;
}

enum status node_next(struct node *n, struct err *err)
{
    return n->run->o.stats == NULL ? dispatch(n, err) : measured_next(n, err);
}

void node_rescan(struct node *n)
{
    if (n->plan->kind == PLAN_SCAN)
        scan_close(n);
    n->started = false;
    n->done = false;
    n->counted = false;
    if (n->keep_mem != NULL)
        arena_reset(n->keep_mem);
    if (n->child != NULL)
        node_rescan(n->child);
    if (n->inner != NULL)
        node_rescan(n->inner);
    if (n->plan->kind == PLAN_QUERY)
        block_rescan(n->query.block, n->frame);
    if (n->plan->kind == PLAN_SETOP) {
        block_rescan(n->setop.left, n->frame);
        block_rescan(n->setop.right, n->frame);
    }
}

void node_close(struct node *n)
{
    if (n == NULL)
        return;
    if (n->plan->kind == PLAN_SCAN)
        scan_close(n);
    if (n->plan->kind == PLAN_QUERY)
        block_close(n->query.block);
    if (n->plan->kind == PLAN_SETOP) {
        block_close(n->setop.left);
        block_close(n->setop.right);
    }
    if (n->plan->kind == PLAN_DML)
        block_close(n->dml.source);
    node_close(n->child);
    node_close(n->inner);
}

/* Blocks */

struct block_run *block_new(struct run *r, const struct block_plan *plan, const struct frame *outer)
{
    struct block_run *b = arena_zalloc(r->mem, sizeof *b);

    b->plan = plan;
    b->frame.slots = arena_zalloc(r->mem, (plan->n_slots + 1) * sizeof *b->frame.slots);
    for (unsigned i = 0; i < plan->n_slots; i++)
        b->frame.slots[i].null = true;
    b->frame.outer = outer;
    b->root = node_new(r, plan->root, &b->frame);
    return b;
}

enum status block_next(struct block_run *b, struct err *err)
{
    return node_next(b->root, err);
}

void block_rescan(struct block_run *b, const struct frame *outer)
{
    b->frame.outer = outer;
    node_rescan(b->root);
}

void block_close(struct block_run *b)
{
    if (b != NULL)
        node_close(b->root);
}

/* Runs */

enum status run_open(const struct run_options *opts, struct run **out, struct err *err)
{
    size_t mark = opts->pool->used;
    struct arena *mem = run_pool_take(opts->pool);
    struct run *r = arena_zalloc(mem, sizeof *r);

    (void)err;
    r->o = *opts;
    r->mem = mem;
    r->pool_mark = mark;
    if (opts->bound->n_subqueries > 0)
        r->subs = arena_zalloc(mem, opts->bound->n_subqueries * sizeof *r->subs);
    r->root = block_new(r, opts->plan->root, NULL);
    *out = r;
    return ST_OK;
}

enum status run_next(struct run *r, const struct datum **out_values, struct err *err)
{
    enum status st = run_check(r, err);

    if (st == ST_OK)
        st = block_next(r->root, err);
    if (st == ST_OK)
        *out_values = r->root->frame.slots + r->root->plan->out_slot;
    return st;
}

uint64_t run_affected(const struct run *r)
{
    return r->affected;
}

void run_close(struct run *r)
{
    struct run_pool *pool;
    size_t mark;

    if (r == NULL)
        return;
    block_close(r->root);
    for (unsigned i = 0; i < r->o.bound->n_subqueries; i++)
        block_close(r->subs[i].block);
    pool = r->o.pool;
    mark = r->pool_mark;
    run_pool_release(pool, mark);
}
