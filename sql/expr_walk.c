/* The deep walk: through subqueries into the blocks below. */
#include "sql/bind.h"

struct walk {
    void (*fn)(void *arg, const struct bx *e, unsigned level);
    void *arg;
    unsigned level;
};

static void walk_query(struct walk *w, const struct query *q);

static bool walk_node(void *arg, struct bx **child)
{
    struct walk *w = arg;

    w->fn(w->arg, *child, w->level);
    (void)bx_each(*child, walk_node, w);
    if ((*child)->kind == BX_SUBQUERY)
        walk_query(w, (*child)->subquery->query);
    return true;
}

static void walk_list(struct walk *w, struct bx **items, size_t n)
{
    for (size_t i = 0; i < n; i++)
        (void)walk_node(w, &items[i]);
}

static void walk_one(struct walk *w, struct bx *e)
{
    if (e != NULL)
        (void)walk_node(w, &e);
}

static void walk_jtree(struct walk *w, const struct jtree *j)
{
    if (j == NULL)
        return;
    for (size_t i = 0; i < j->n_parts; i++)
        walk_jtree(w, j->parts[i]);
    walk_list(w, j->conds, j->n_conds);
}

static void walk_rte(struct walk *w, const struct rte *r)
{
    if (r->kind == RTE_QUERY)
        walk_query(w, r->query);
    for (size_t i = 0; i < 3; i++)
        walk_one(w, r->args[i]);
}

static void walk_query(struct walk *w, const struct query *q)
{
    if (!q->correlated)
        return;
    w->level++;
    if (q->kind == QUERY_SELECT)
        walk_list(w, q->targets, q->n_targets);
    walk_list(w, q->where, q->n_where);
    walk_list(w, q->group_keys, q->n_group_keys);
    walk_one(w, q->having);
    walk_jtree(w, q->from);
    for (size_t i = 0; i < q->n_aggs; i++) {
        walk_list(w, q->aggs[i]->args, q->aggs[i]->n_args);
        walk_one(w, q->aggs[i]->filter);
        for (size_t o = 0; o < q->aggs[i]->n_order; o++)
            walk_one(w, q->aggs[i]->order[o].key);
    }
    for (size_t i = 0; i < q->n_rows; i++)
        walk_list(w, q->rows[i], q->n_visible);
    for (size_t i = 0; i < q->n_rtes; i++)
        walk_rte(w, q->rtes[i]);
    walk_one(w, q->limit);
    walk_one(w, q->offset);
    if (q->kind == QUERY_SETOP) {
        walk_query(w, q->left);
        walk_query(w, q->right);
    }
    w->level--;
}

void bx_walk(const struct bx *e, void (*fn)(void *arg, const struct bx *e, unsigned level),
             void *arg)
{
    struct walk w = {.fn = fn, .arg = arg};
    struct bx *root = (struct bx *)(uintptr_t)e; /* only looked at */

    (void)walk_node(&w, &root);
}
