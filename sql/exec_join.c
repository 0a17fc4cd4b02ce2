/* Joins: inner by lookup for each outer row, or by a hash of all inner rows. */
#include "base/check.h"
#include "sql/exec_int.h"

static void set_null(struct node *n, const struct slot_set *set)
{
    for (size_t i = 0; i < set->n; i++)
        n->frame->slots[set->slots[i]].null = true;
}

static enum status join_filter(struct node *n, bool *out, struct err *err)
{
    struct eval ev = node_eval(n);

    return bx_all_true(n->plan->filter, n->plan->n_filter, &ev, out, err);
}

enum status nestloop_next(struct node *n, struct err *err)
{
    const struct plan *p = n->plan;

    if (!n->started) {
        n->loop.have_outer = false;
        n->started = true;
    }
    for (;;) {
        enum status st;
        bool pass;

        if (!n->loop.have_outer) {
            st = node_next(n->child, err);
            if (st != ST_OK)
                return st;
            n->loop.have_outer = true;
            n->loop.matched = false;
            node_rescan(n->inner);
        }
        st = node_next(n->inner, err);
        if (st == ST_OK) {
            arena_reset(n->row_mem);
            st = join_filter(n, &pass, err);
            if (st != ST_OK)
                return st;
            if (!pass)
                continue;
            n->loop.matched = true;
            return ST_OK;
        }
        if (st != ST_NOTFOUND)
            return st;
        n->loop.have_outer = false;
        if (p->join.join == JTREE_LEFT && !n->loop.matched) {
            set_null(n, &p->join.inner_slots);
            return ST_OK;
        }
    }
}

/* Hash join */

/* *out_null: a part is NULL, so the key matches nothing. */
static enum status eval_keys(struct node *n, bool inner, struct datum *out, bool *out_null,
                             struct err *err)
{
    const struct plan *p = n->plan;
    struct eval ev = node_eval(n);

    *out_null = false;
    for (size_t i = 0; i < p->join.n_keys; i++) {
        const struct bx *e = inner ? p->join.keys[i].inner : p->join.keys[i].outer;
        enum status st = bx_eval(e, &ev, &out[i], err);

        if (st != ST_OK)
            return st;
        *out_null |= out[i].null;
    }
    return ST_OK;
}

/* Reads the inner side. A row with a NULL key is only kept for FULL, under a key that nobody asks for. */
static enum status build(struct node *n, struct err *err)
{
    const struct plan *p = n->plan;
    struct arena *keep = node_keep(n);
    size_t width = p->join.n_keys;
    enum status st;
    bool null;

    n->hash.table = hash_new(keep, width);
    n->hash.key = arena_alloc(keep, (width + 1) * sizeof *n->hash.key);
    while ((st = node_next(n->inner, err)) == ST_OK) {
        struct hash_entry *e;
        struct datum *key;

        arena_reset(n->row_mem);
        TRY(eval_keys(n, true, n->hash.key, &null, err));
        if (null && p->join.join != JTREE_FULL)
            continue;
        key = copy_row(n->hash.key, width, keep);
        e = hash_add(n->hash.table, key, row_hash(key, width));
        e->payload =
            copy_slots(n->frame->slots, p->join.inner_slots.slots, p->join.inner_slots.n, keep);
        TRY(check_budget(keep, err));
        TRY(run_check(n->run, err));
    }
    st = st == ST_NOTFOUND ? ST_OK : st;
out:
    return st;
}

static void show_inner(struct node *n, const struct hash_entry *e)
{
    const struct slot_set *set = &n->plan->join.inner_slots;
    const struct datum *row = e->payload;

    for (size_t i = 0; i < set->n; i++)
        n->frame->slots[set->slots[i]] = row[i];
}

/* FULL: inner rows that matched nothing, with NULLs for the outer side. */
static enum status drain(struct node *n)
{
    while (n->hash.pos < hash_count(n->hash.table)) {
        struct hash_entry *e = hash_at(n->hash.table, n->hash.pos++);

        if (e->flag)
            continue;
        show_inner(n, e);
        set_null(n, &n->plan->join.outer_slots);
        return ST_OK;
    }
    return ST_NOTFOUND;
}

static enum status next_outer(struct node *n, struct err *err)
{
    enum status st = node_next(n->child, err);

    if (st != ST_OK)
        return st;
    arena_reset(n->row_mem);
    n->hash.have_outer = true;
    n->hash.matched = false;
    n->hash.pos = 0;
    st = eval_keys(n, false, n->hash.key, &n->hash.no_match, err);
    n->hash.hash = row_hash(n->hash.key, n->plan->join.n_keys);
    return st;
}

/* The next inner row for the outer row at hand. */
static enum status next_match(struct node *n, struct err *err)
{
    struct hash_entry *e;

    while (!n->hash.no_match &&
           (e = hash_find(n->hash.table, n->hash.key, n->hash.hash, &n->hash.pos)) != NULL) {
        bool pass;
        enum status st = run_check(n->run, err);

        show_inner(n, e);
        if (st == ST_OK)
            st = join_filter(n, &pass, err);
        if (st != ST_OK)
            return st;
        if (!pass)
            continue;
        n->hash.matched = true;
        e->flag = true;
        return ST_OK;
    }
    return ST_NOTFOUND;
}

enum status hashjoin_next(struct node *n, struct err *err)
{
    const struct plan *p = n->plan;
    enum status st = ST_OK;

    if (!n->started) {
        TRY(build(n, err));
        n->hash.have_outer = n->hash.draining = false;
        n->started = true;
    }
    while (!n->hash.draining) {
        if (!n->hash.have_outer) {
            st = next_outer(n, err);
            if (st == ST_NOTFOUND && p->join.join == JTREE_FULL) {
                n->hash.draining = true;
                n->hash.pos = 0;
                break;
            }
            if (st != ST_OK)
                return st;
        }
        st = next_match(n, err);
        if (st != ST_NOTFOUND)
            return st;
        n->hash.have_outer = false;
        if (p->join.join != JTREE_INNER && !n->hash.matched) {
            set_null(n, &p->join.inner_slots);
            return ST_OK;
        }
    }
    return drain(n);
out:
    return st;
}
