/* UNION, INTERSECT, EXCEPT; subqueries inside expressions. */
#include "base/check.h"
#include "sql/exec_int.h"

static const struct datum *block_row(const struct block_run *b)
{
    return b->frame.slots + b->plan->out_slot;
}

static void show(struct node *n, const struct datum *row)
{
    memcpy(n->frame->slots + n->plan->setop.out_slot, row,
           n->plan->setop.n * sizeof *n->frame->slots);
}

/* INTERSECT and EXCEPT: how often each row of the right side occurs. */
static enum status count_right(struct node *n, struct err *err)
{
    size_t width = n->plan->setop.n;
    enum status st;

    while ((st = block_next(n->setop.right, err)) == ST_OK) {
        const struct datum *row = block_row(n->setop.right);
        uint64_t hash = row_hash(row, width);
        size_t pos = 0;
        struct hash_entry *e = hash_find(n->setop.table, row, hash, &pos);

        if (e == NULL)
            e = hash_add(n->setop.table, copy_row(row, width, n->keep_mem), hash);
        e->count++;
        st = check_budget(n->keep_mem, err);
        if (st != ST_OK)
            return st;
    }
    return st == ST_NOTFOUND ? ST_OK : st;
}

/* Is the left row part of the result? Without ALL each distinct row at most once. */
static bool wanted_left(struct node *n, const struct datum *row)
{
    const struct plan *p = n->plan;
    uint64_t hash = row_hash(row, p->setop.n);
    size_t pos = 0;
    struct hash_entry *e = hash_find(n->setop.table, row, hash, &pos);
    bool intersect = p->setop.op == SETOP_INTERSECT;

    if (p->setop.all) {
        if (e != NULL && e->count > 0) {
            e->count--;
            return intersect;
        }
        return !intersect;
    }
    if (e == NULL) {
        e = hash_add(n->setop.table, copy_row(row, p->setop.n, n->keep_mem), hash);
        e->flag = true;
        return !intersect;
    }
    if (e->flag || !intersect)
        return false;
    e->flag = true;
    return true;
}

static enum status union_next(struct node *n, struct err *err)
{
    const struct plan *p = n->plan;

    for (;;) {
        struct block_run *b = n->setop.side == 0 ? n->setop.left : n->setop.right;
        enum status st = block_next(b, err);
        const struct datum *row = block_row(b);
        size_t pos = 0;
        uint64_t hash;

        if (st == ST_NOTFOUND && n->setop.side == 0) {
            n->setop.side = 1;
            continue;
        }
        if (st != ST_OK)
            return st;
        show(n, row);
        if (p->setop.all)
            return ST_OK;
        hash = row_hash(row, p->setop.n);
        if (hash_find(n->setop.table, row, hash, &pos) != NULL)
            continue;
        (void)hash_add(n->setop.table, copy_row(row, p->setop.n, n->keep_mem), hash);
        return check_budget(n->keep_mem, err);
    }
}

enum status setop_next(struct node *n, struct err *err)
{
    enum status st = ST_OK;

    if (!n->started) {
        n->setop.table = hash_new(node_keep(n), n->plan->setop.n);
        n->setop.side = 0;
        if (n->plan->setop.op != SETOP_UNION)
            TRY(count_right(n, err));
        n->started = true;
    }
    if (n->plan->setop.op == SETOP_UNION)
        return union_next(n, err);
    do {
        TRY(block_next(n->setop.left, err));
    } while (!wanted_left(n, block_row(n->setop.left)));
    show(n, block_row(n->setop.left));
    TRY(check_budget(n->keep_mem, err));
out:
    return st;
}

/* Subqueries */

static enum status sub_start(struct run *r, const struct subquery *s, const struct eval *ev,
                             struct sub_state **out)
{
    struct sub_state *state = &r->subs[s->id];

    if (state->block == NULL) {
        state->block = block_new(r, s->plan, ev->frame);
        state->mem = run_pool_take(r->o.pool);
    } else if (s->correlated) {
        arena_reset(state->mem);
        block_rescan(state->block, ev->frame);
    }
    *out = state;
    return ST_OK;
}

static enum status scalar_value(struct sub_state *state, const struct subquery *s,
                                struct datum *out, struct err *err)
{
    enum status st = block_next(state->block, err);
    const struct datum *row = block_row(state->block);

    if (s->kind == SUBQUERY_EXISTS) {
        if (st != ST_OK && st != ST_NOTFOUND)
            return st;
        *out = datum_bool((st == ST_OK) != s->negated);
        return ST_OK;
    }
    if (st == ST_NOTFOUND) {
        *out = datum_null(s->query->out_vars[0]->type);
        return ST_OK;
    }
    if (st != ST_OK)
        return st;
    *out = row[0].null ? row[0] : datum_copy(&row[0], state->mem);
    st = block_next(state->block, err);
    if (st == ST_OK)
        return err_set(err, ST_REJECT, SQLSTATE_CARDINALITY_VIOLATION,
                       "more than one row returned by a subquery used as an expression");
    return st == ST_NOTFOUND ? ST_OK : st;
}

/* The right side of IN, ANY and ALL, as rows of what the comparison wants. */
static enum status read_rows(struct run *r, struct sub_state *state, const struct subquery *s,
                             struct err *err)
{
    struct eval ev = {.frame = &state->block->frame,
                      .params = r->o.params,
                      .env = r->o.env,
                      .run = r,
                      .mem = state->mem};
    enum status st;

    state->rows = (struct row_store){0};
    state->set = s->hashable ? hash_new(state->mem, s->n_left) : NULL;
    state->has_null = false;
    while ((st = block_next(state->block, err)) == ST_OK) {
        struct datum *row = arena_alloc(state->mem, s->n_left * sizeof *row);
        size_t pos = 0;
        uint64_t hash;

        for (size_t i = 0; i < s->n_left; i++) {
            TRY(bx_eval(s->right[i], &ev, &row[i], err));
            state->has_null |= row[i].null;
            if (!row[i].null)
                row[i] = datum_copy(&row[i], state->mem);
        }
        if (state->set != NULL) {
            hash = row_hash(row, s->n_left);
            if (hash_find(state->set, row, hash, &pos) != NULL)
                continue;
            (void)hash_add(state->set, row, hash);
        }
        store_add(&state->rows, state->mem, row);
        TRY(check_budget(state->mem, err));
    }
    st = st == ST_NOTFOUND ? ST_OK : st;
out:
    return st;
}

/* left cmp row, over all columns: equality of rows is AND, "<>" is OR; order compares one column. */
static enum status compare_left(const struct subquery *s, const struct datum *left,
                                const struct datum *row, const struct eval *ev, struct datum *out,
                                struct err *err)
{
    bool any = s->cmp[0]->cmp == CMP_NE;
    enum status st = ST_OK;

    *out = datum_bool(!any);
    for (size_t i = 0; i < s->n_left; i++) {
        struct datum one;

        TRY(func_call(s->cmp[i], ev->env, (struct datum[]){left[i], row[i]}, 2, ev->mem, &one,
                      err));
        *out = any ? logic_or(*out, one) : logic_and(*out, one);
    }
out:
    return st;
}

static enum status quantified(struct run *r, const struct subquery *s, struct sub_state *state,
                              const struct eval *ev, struct datum *out, struct err *err)
{
    struct datum *left = arena_alloc(ev->mem, (s->n_left + 1) * sizeof *left);
    bool all = s->kind == SUBQUERY_ALL, left_null = false;
    struct datum acc = datum_bool(all), one;
    enum status st = ST_OK;
    size_t pos = 0;

    (void)r;
    for (size_t i = 0; i < s->n_left; i++) {
        TRY(bx_eval(s->left[i], ev, &left[i], err));
        left_null |= left[i].null;
    }
    /* A hit in the set is a hit; a miss without NULLs on either side is a miss. */
    if (state->set != NULL && !all && !left_null) {
        bool hit = hash_find(state->set, left, row_hash(left, s->n_left), &pos) != NULL;

        if (hit || !state->has_null) {
            *out = datum_bool(hit != s->negated);
            return ST_OK;
        }
    }
    for (size_t i = 0; i < state->rows.n; i++) {
        TRY(compare_left(s, left, state->rows.rows[i], ev, &one, err));
        acc = all ? logic_and(acc, one) : logic_or(acc, one);
        if (!acc.null && acc.b != all)
            break;
    }
    *out = s->negated ? logic_not(acc) : acc;
out:
    return st;
}

enum status run_subquery(struct run *r, const struct subquery *s, const struct eval *ev,
                         struct datum *out, struct err *err)
{
    bool scalar = s->kind == SUBQUERY_SCALAR || s->kind == SUBQUERY_EXISTS;
    struct sub_state *state;
    enum status st = ST_OK;

    if (r == NULL)
        return err_set(err, ST_REJECT, SQLSTATE_FEATURE_NOT_SUPPORTED,
                       "a subquery cannot be used here");
    state = &r->subs[s->id];
    if (!state->cached || s->correlated) {
        TRY(sub_start(r, s, ev, &state));
        if (scalar)
            TRY(scalar_value(state, s, &state->value, err));
        else
            TRY(read_rows(r, state, s, err));
        state->cached = true;
    }
    if (scalar)
        *out = state->value;
    else
        TRY(quantified(r, s, state, ev, out, err));
out:
    return st;
}
