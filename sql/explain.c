/* EXPLAIN: a plan as indented lines. */
#include <stdio.h>

#include "sql/deparse.h"
#include "sql/plan.h"

enum { DEPTH_MAX = 60 };

struct printer {
    const struct bound *bound;
    const struct node_stats *stats;
    bool costs, timing;
    bool qualified; /* the block has several relations */
    void (*line)(void *arg, const char *text);
    void *arg;
};

static void put_str(struct buf *out, const char *s)
{
    buf_put(out, s, strlen(s));
}

static void emit(struct printer *p, int depth, struct buf *text, bool detail)
{
    struct buf line = {0};

    for (int i = 0; i < depth * 6 - (detail ? 0 : 4); i++)
        buf_put_u8(&line, ' ');
    if (!detail && depth > 0)
        put_str(&line, "->  ");
    if (detail)
        put_str(&line, "  ");
    buf_put(&line, text->ptr, text->len);
    buf_put_u8(&line, 0);
    p->line(p->arg, (const char *)line.ptr);
    buf_fini(&line);
    buf_reset(text);
}

static void put_relation(struct buf *out, const struct rte *r, const char *name)
{
    deparse_ident(out, name);
    if (strcmp(r->alias, name) != 0) {
        put_str(out, " ");
        deparse_ident(out, r->alias);
    }
}

static void put_scan(struct buf *out, const struct plan *n)
{
    const struct rte *r = n->scan.rte;
    bool bounded = n->scan.n_parts > 0 || n->scan.low != NULL || n->scan.high != NULL;

    if (n->scan.index->primary && !bounded && !n->scan.reverse) {
        put_str(out, "Seq Scan on ");
    } else {
        put_str(out, n->scan.point        ? "Point Get"
                     : n->scan.index_only ? "Index Only Scan"
                                          : "Index Scan");
        put_str(out, n->scan.reverse ? " Backward using " : " using ");
        deparse_ident(out, n->scan.index->name);
        put_str(out, " on ");
    }
    put_relation(out, r, r->table->name);
}

static void put_join(struct buf *out, const struct plan *n)
{
    put_str(out, n->kind == PLAN_NESTLOOP ? "Nested Loop"
                 : n->join.n_keys > 0     ? "Hash"
                                          : "Nested Loop over Rows");
    if (n->join.join == JTREE_LEFT)
        put_str(out, " Left");
    if (n->join.join == JTREE_FULL)
        put_str(out, " Full");
    if (n->kind == PLAN_HASHJOIN || n->join.join != JTREE_INNER)
        put_str(out, " Join");
}

static const char *setop_name(const struct plan *n)
{
    switch (n->setop.op) {
    case SETOP_INTERSECT:
        return n->setop.all ? "Intersect All" : "Intersect";
    case SETOP_EXCEPT:
        return n->setop.all ? "Except All" : "Except";
    case SETOP_UNION:
        break;
    }
    return n->setop.all ? "Append" : "Union";
}

static const char *dml_name(const struct plan *n)
{
    switch (n->dml.dml->kind) {
    case DML_UPDATE:
        return "Update on ";
    case DML_DELETE:
        return "Delete on ";
    case DML_INSERT:
        break;
    }
    return n->dml.blind ? "Upsert without Read on " : "Insert on ";
}

static void put_title(struct buf *out, const struct plan *n)
{
    switch (n->kind) {
    case PLAN_RESULT:
        put_str(out, "Result");
        return;
    case PLAN_SCAN:
        put_scan(out, n);
        return;
    case PLAN_QUERY:
        put_str(out, "Subquery Scan on ");
        deparse_ident(out, n->query.rte->alias);
        return;
    case PLAN_SERIES:
        put_str(out, "Function Scan on generate_series");
        return;
    case PLAN_VIRTUAL:
        put_str(out, "Virtual Scan on ");
        put_relation(out, n->rel.rte, n->rel.rte->virt->name);
        return;
    case PLAN_VALUES:
        put_str(out, "Values");
        return;
    case PLAN_NESTLOOP:
    case PLAN_HASHJOIN:
        put_join(out, n);
        return;
    case PLAN_AGG:
        put_str(out, n->agg.query->n_group_keys > 0 ? "HashAggregate" : "Aggregate");
        return;
    case PLAN_FILTER:
        put_str(out, "Filter");
        return;
    case PLAN_PROJECT:
        put_str(out, "Project");
        return;
    case PLAN_DISTINCT:
        put_str(out, "Distinct");
        return;
    case PLAN_UNIQUE:
        put_str(out, "Unique");
        return;
    case PLAN_SORT:
        put_str(out, "Sort");
        return;
    case PLAN_LIMIT:
        put_str(out, "Limit");
        return;
    case PLAN_SETOP:
        put_str(out, setop_name(n));
        return;
    case PLAN_DML:
        put_str(out, dml_name(n));
        deparse_ident(out, n->dml.dml->table->name);
        return;
    }
}

static void put_numbers(struct printer *p, struct buf *out, const struct plan *n)
{
    char text[128];

    if (p->costs) {
        (void)snprintf(text, sizeof text, "  (rows=%.0f)", n->rows);
        put_str(out, text);
    }
    if (p->stats == NULL)
        return;
    if (p->stats[n->id].loops == 0) {
        put_str(out, " (never executed)");
        return;
    }
    if (p->timing)
        (void)snprintf(text, sizeof text, " (actual time=%.3f ms rows=%llu loops=%llu)",
                       (double)p->stats[n->id].ns / 1e6, (unsigned long long)p->stats[n->id].rows,
                       (unsigned long long)p->stats[n->id].loops);
    else
        (void)snprintf(text, sizeof text, " (actual rows=%llu loops=%llu)",
                       (unsigned long long)p->stats[n->id].rows,
                       (unsigned long long)p->stats[n->id].loops);
    put_str(out, text);
}

static void print_conds(struct printer *p, int depth, const char *label, struct bx *const *conds,
                        size_t n)
{
    struct buf text = {0};

    if (n == 0)
        return;
    put_str(&text, label);
    put_str(&text, n > 1 ? "(" : "");
    for (size_t i = 0; i < n; i++) {
        put_str(&text, i > 0 ? " AND " : "");
        bx_print(conds[i], &(struct bx_text){&text, p->qualified});
    }
    put_str(&text, n > 1 ? ")" : "");
    emit(p, depth, &text, true);
    buf_fini(&text);
}

static void print_keys(struct printer *p, int depth, const struct plan *n)
{
    struct buf text = {0};

    if (n->join.n_keys == 0)
        return;
    put_str(&text, "Hash Cond: ");
    for (size_t i = 0; i < n->join.n_keys; i++) {
        put_str(&text, i > 0 ? " AND (" : "(");
        bx_print(n->join.keys[i].outer, &(struct bx_text){&text, p->qualified});
        put_str(&text, " = ");
        bx_print(n->join.keys[i].inner, &(struct bx_text){&text, p->qualified});
        put_str(&text, ")");
    }
    emit(p, depth, &text, true);
    buf_fini(&text);
}

static void print_sort(struct printer *p, int depth, const struct plan *n)
{
    struct buf text = {0};

    put_str(&text, "Sort Key: ");
    for (size_t i = 0; i < n->sort.n; i++) {
        const struct order_item *o = &n->sort.items[i];

        put_str(&text, i > 0 ? ", " : "");
        bx_print(n->sort.targets[o->target], &(struct bx_text){&text, p->qualified});
        put_str(&text, o->desc ? " DESC" : "");
        if (o->nulls_first != o->desc)
            put_str(&text, o->nulls_first ? " NULLS FIRST" : " NULLS LAST");
    }
    emit(p, depth, &text, true);
    buf_fini(&text);
}

static void print_group(struct printer *p, int depth, const struct query *q)
{
    struct buf text = {0};

    if (q->n_group_keys == 0)
        return;
    put_str(&text, "Group Key: ");
    for (size_t i = 0; i < q->n_group_keys; i++) {
        put_str(&text, i > 0 ? ", " : "");
        bx_print(q->group_keys[i], &(struct bx_text){&text, p->qualified});
    }
    emit(p, depth, &text, true);
    buf_fini(&text);
}

static void print_details(struct printer *p, int depth, const struct plan *n)
{
    if (n->kind == PLAN_SCAN)
        print_conds(p, depth, "Index Cond: ", n->scan.conds, n->scan.n_conds);
    if (n->kind == PLAN_HASHJOIN)
        print_keys(p, depth, n);
    if (n->kind == PLAN_SORT)
        print_sort(p, depth, n);
    if (n->kind == PLAN_AGG)
        print_group(p, depth, n->agg.query);
    print_conds(p, depth,
                n->kind == PLAN_HASHJOIN || n->kind == PLAN_NESTLOOP ? "Join Filter: " : "Filter: ",
                n->filter, n->n_filter);
}

/* More than one relation below: column names need their table's. */
static bool several(const struct plan *n)
{
    for (; n != NULL; n = n->child) {
        if (n->inner != NULL)
            return true;
    }
    return false;
}

static void print_node(struct printer *p, int depth, const struct plan *n)
{
    struct buf text = {0};

    if (depth > DEPTH_MAX)
        return;
    /* A projection or a filter tells nothing by itself. */
    if (n->kind == PLAN_PROJECT) {
        print_node(p, depth, n->child);
        return;
    }
    put_title(&text, n);
    put_numbers(p, &text, n);
    emit(p, depth, &text, false);
    buf_fini(&text);
    print_details(p, depth, n);
    if (n->child != NULL)
        print_node(p, depth + 1, n->child);
    if (n->inner != NULL)
        print_node(p, depth + 1, n->inner);
    if (n->kind == PLAN_QUERY) {
        bool outer = p->qualified;

        p->qualified = several(n->query.block->root);
        print_node(p, depth + 1, n->query.block->root);
        p->qualified = outer;
    }
    if (n->kind == PLAN_SETOP) {
        print_node(p, depth + 1, n->setop.left->root);
        print_node(p, depth + 1, n->setop.right->root);
    }
    if (n->kind == PLAN_DML && n->dml.source != NULL)
        print_node(p, depth + 1, n->dml.source->root);
}

void plan_explain(const struct statement_plan *plan, const struct bound *b,
                  const struct node_stats *stats, bool costs, bool timing,
                  void (*line)(void *arg, const char *text), void *arg)
{
    struct printer p = {b, stats, costs, timing, several(plan->root->root), line, arg};
    struct buf text = {0};

    print_node(&p, 0, plan->root->root);
    for (unsigned i = 0; i < b->n_subqueries; i++) {
        char name[32];

        (void)snprintf(name, sizeof name, "SubPlan %u%s", i + 1,
                       b->subqueries[i]->correlated ? "" : " (run once)");
        put_str(&text, name);
        emit(&p, 0, &text, true);
        p.qualified = several(b->subqueries[i]->plan->root);
        print_node(&p, 1, b->subqueries[i]->plan->root);
    }
    buf_fini(&text);
}
