/* Query blocks: SELECT, VALUES, set operations. */
#include <stdio.h>

#include "base/check.h"
#include "sql/bind_int.h"
#include "sql/deparse.h"

static enum status at(struct err *err, int pos)
{
    return err != NULL ? err_position(err, pos) : ST_REJECT;
}

unsigned query_slots(struct query *q, size_t n)
{
    unsigned first = q->n_slots;

    q->n_slots += (unsigned)n;
    return first;
}

struct query *query_new(struct binder *b)
{
    return arena_zalloc(b->mem, sizeof(struct query));
}

void bx_append(struct binder *b, struct bx ***list, size_t *n, struct bx *e)
{
    /* Grown at powers of two. */
    if ((*n & (*n - 1)) == 0) {
        size_t cap = *n == 0 ? 1 : *n * 2;
        struct bx **grown = arena_alloc(b->mem, cap * sizeof *grown);

        if (*n > 0)
            memcpy(grown, *list, *n * sizeof *grown);
        *list = grown;
    }
    (*list)[(*n)++] = e;
}

void add_conjuncts(struct binder *b, struct bx *cond, struct bx ***list, size_t *n)
{
    if (cond->kind != BX_AND) {
        bx_append(b, list, n, cond);
        return;
    }
    for (size_t i = 0; i < cond->list.n; i++)
        add_conjuncts(b, cond->list.items[i], list, n);
}

void query_outputs(struct binder *b, struct query *q)
{
    q->out_slot = query_slots(q, q->n_targets);
    q->out_vars = arena_alloc(b->mem, (q->n_targets + 1) * sizeof *q->out_vars);
    for (size_t i = 0; i < q->n_targets; i++)
        q->out_vars[i] = bx_var(b, 0, q->out_slot + (unsigned)i, q->targets[i]->type,
                                q->targets[i]->typmod, NULL, i < q->n_visible ? q->names[i] : NULL);
}

enum status bind_targets(struct binder *b, struct block *k, const struct target_list *targets,
                         struct err *err)
{
    struct query *q = k->query;
    struct bx **items = NULL;
    const char **names = NULL;
    size_t n = 0, cap = 0;
    enum status st = ST_OK;

    cap = targets->n + 8;
    items = arena_zalloc(b->mem, cap * sizeof *items);
    names = arena_zalloc(b->mem, cap * sizeof *names);
    for (size_t i = 0; i < targets->n; i++) {
        const struct target *t = &targets->items[i];

        if (t->expr->kind == EXPR_STAR) {
            TRY(bind_star(b, k, t->expr, &items, &names, &n, &cap, err));
            continue;
        }
        if (n == cap) {
            struct bx **more = arena_zalloc(b->mem, cap * 2 * sizeof *more);
            const char **more_names = arena_zalloc(b->mem, cap * 2 * sizeof *more_names);

            memcpy(more, items, n * sizeof *more);
            memcpy(more_names, names, n * sizeof *more_names);
            items = more;
            names = more_names;
            cap *= 2;
        }
        TRY(bind_expr(b, k, t->expr, &items[n], err));
        names[n++] = t->alias != NULL ? t->alias : target_name(t);
    }
    q->targets = items;
    q->names = names;
    q->n_targets = n;
    q->n_visible = n;
out:
    return st;
}

/* Literals without a type become text, unless the target of an INSERT or the other side of a set operation
 * gives them another: what they were is kept. */
static enum status settle_targets(struct binder *b, struct block *k, struct err *err)
{
    struct query *q = k->query;

    q->untyped = arena_zalloc(b->mem, (q->n_targets + 1) * sizeof *q->untyped);
    for (size_t i = 0; i < q->n_targets; i++) {
        enum status st = ST_OK;

        if (q->targets[i]->type == TYPE_UNKNOWN)
            q->untyped[i] = q->targets[i];
        if (!k->keep_unknown)
            st = settle_unknown(b, q->targets[i], &q->targets[i], err);

        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

static bool ordinal_of(const struct expr *e, int64_t *out)
{
    if (e->kind != EXPR_CONST || e->konst.value.null ||
        (e->konst.value.type != TYPE_INT4 && e->konst.value.type != TYPE_INT8))
        return false;
    *out = e->konst.value.i;
    return true;
}

static enum status bad_ordinal(const char *clause, int64_t n, int pos, struct err *err)
{
    (void)err_set(err, ST_REJECT, SQLSTATE_INVALID_COLUMN_REFERENCE,
                  "%s position %lld is not in select list", clause, (long long)n);
    return at(err, pos);
}

/* A bare name that is an output column's; -1 none, -2 more than one, of different meaning. */
static int output_named(const struct query *q, const struct expr *e)
{
    int found = -1;

    if (e->kind != EXPR_COLUMN || e->column.n_names != 1)
        return -1;
    for (size_t i = 0; i < q->n_visible; i++) {
        if (strcmp(q->names[i], e->column.names[0]) != 0)
            continue;
        if (found >= 0 && !bx_equal(q->targets[found], q->targets[i]))
            return -2;
        if (found < 0)
            found = (int)i;
    }
    return found;
}

static size_t add_hidden_target(struct binder *b, struct query *q, struct bx *e)
{
    struct bx **grown = arena_alloc(b->mem, (q->n_targets + 1) * sizeof *grown);

    memcpy(grown, q->targets, q->n_targets * sizeof *grown);
    grown[q->n_targets] = e;
    q->targets = grown;
    return q->n_targets++;
}

/* The target that an ORDER BY or DISTINCT ON item means; made if there is none. */
static enum status sort_target(struct binder *b, struct block *k, const struct expr *e,
                               const char *clause, unsigned *out, struct err *err)
{
    struct query *q = k->query;
    struct bx *bound;
    int64_t ordinal;
    int named = output_named(q, e);
    enum status st = ST_OK;

    if (ordinal_of(e, &ordinal)) {
        if (ordinal < 1 || (size_t)ordinal > q->n_visible)
            return bad_ordinal(clause, ordinal, e->pos, err);
        *out = (unsigned)ordinal - 1;
        return ST_OK;
    }
    if (named == -2) {
        (void)err_set(err, ST_REJECT, SQLSTATE_AMBIGUOUS_COLUMN, "%s \"%s\" is ambiguous", clause,
                      e->column.names[0]);
        return at(err, e->pos);
    }
    if (named >= 0) {
        *out = (unsigned)named;
        return ST_OK;
    }
    if (e->kind == EXPR_CONST && !e->konst.value.null && e->konst.value.type != TYPE_UNKNOWN) {
        (void)err_set(err, ST_REJECT, SQLSTATE_SYNTAX_ERROR, "non-integer constant in %s", clause);
        return at(err, e->pos);
    }
    TRY(bind_expr(b, k, e, &bound, err));
    TRY(settle_unknown(b, bound, &bound, err));
    for (unsigned i = 0; i < q->n_targets; i++) {
        if (bx_equal(q->targets[i], bound)) {
            *out = i;
            return ST_OK;
        }
    }
    if (q->distinct) {
        (void)err_set(err, ST_REJECT, SQLSTATE_INVALID_COLUMN_REFERENCE,
                      "for SELECT DISTINCT, ORDER BY expressions must appear in select list");
        return at(err, e->pos);
    }
    *out = (unsigned)add_hidden_target(b, q, bound);
out:
    return st;
}

static enum status order_direction(const struct sort_item *s, struct order_item *o, struct err *err)
{
    o->desc = s->desc;
    if (s->using_op != NULL) {
        if (strcmp(s->using_op, "<") != 0 && strcmp(s->using_op, ">") != 0)
            return err_set(err, ST_REJECT, SQLSTATE_WRONG_OBJECT_TYPE,
                           "operator %s is not a valid ordering operator", s->using_op);
        o->desc = s->using_op[0] == '>';
    }
    o->nulls_first = s->nulls == NULLS_DEFAULT ? o->desc : s->nulls == NULLS_FIRST;
    return ST_OK;
}

static enum status bind_order(struct binder *b, struct block *k, const struct sort_list *list,
                              struct err *err)
{
    struct query *q = k->query;
    enum status st = ST_OK;

    k->clause = CLAUSE_ORDER;
    q->order = arena_alloc(b->mem, (list->n + 1) * sizeof *q->order);
    for (size_t i = 0; i < list->n; i++) {
        struct order_item *o = &q->order[q->n_order];
        bool again = false;

        TRY(sort_target(b, k, list->items[i].expr, "ORDER BY", &o->target, err));
        TRY(order_direction(&list->items[i], o, err));
        for (size_t j = 0; j < q->n_order; j++)
            again |= q->order[j].target == o->target;
        q->n_order += !again;
    }
out:
    return st;
}

static enum status bind_limit(struct binder *b, struct block *k, const struct select_stmt *s,
                              struct err *err)
{
    struct query *none = query_new(b);
    struct block empty = {
        .outer = k->outer, .outer_opaque = k->outer_opaque, .query = none, .clause = CLAUSE_LIMIT};
    enum status st = ST_OK;

    if (s->with_ties)
        return err_set(err, ST_REJECT, SQLSTATE_FEATURE_NOT_SUPPORTED,
                       "WITH TIES is not supported");
    if (s->limit != NULL) {
        TRY(bind_expr(b, &empty, s->limit, &k->query->limit, err));
        TRY(coerce(b, k->query->limit, TYPE_INT8, CAST_ASSIGNMENT, &k->query->limit, err));
    }
    if (s->offset != NULL) {
        TRY(bind_expr(b, &empty, s->offset, &k->query->offset, err));
        TRY(coerce(b, k->query->offset, TYPE_INT8, CAST_ASSIGNMENT, &k->query->offset, err));
    }
    k->query->correlated |= none->correlated;
out:
    return st;
}

static enum status bind_locking(struct binder *b, struct block *k, const struct select_stmt *s,
                                struct err *err)
{
    for (size_t i = 0; i < s->locking.n; i++) {
        const struct locking *l = &s->locking.items[i];
        struct query *q = k->query;

        if (l->wait != LOCK_BLOCK)
            return err_set(err, ST_REJECT, SQLSTATE_FEATURE_NOT_SUPPORTED,
                           "NOWAIT and SKIP LOCKED are not supported");
        if (q->grouped || q->distinct || s->kind != SELECT_PLAIN)
            return err_set(err, ST_REJECT, SQLSTATE_FEATURE_NOT_SUPPORTED,
                           "FOR UPDATE is not allowed with GROUP BY, DISTINCT or set operations");
        for (size_t r = 0; r < q->n_rtes; r++) {
            bool named = l->of.n == 0;

            for (size_t o = 0; o < l->of.n; o++)
                named |= strcmp(l->of.items[o].name, q->rtes[r]->alias) == 0;
            if (named && q->rtes[r]->kind == RTE_TABLE && q->rtes[r]->lock != TXN_LOCK_EXCLUSIVE)
                q->rtes[r]->lock =
                    l->strength >= LOCK_NO_KEY_UPDATE ? TXN_LOCK_EXCLUSIVE : TXN_LOCK_SHARED;
        }
        b->out->locks = true;
    }
    return ST_OK;
}

static enum status bind_group_by(struct binder *b, struct block *k, const struct select_stmt *s,
                                 struct err *err)
{
    struct query *q = k->query;
    enum status st = ST_OK;

    k->clause = CLAUSE_GROUP;
    for (size_t i = 0; i < s->group_by.n; i++) {
        const struct expr *e = s->group_by.items[i];
        struct bx *key = NULL;
        int64_t ordinal;
        int named = output_named(q, e);
        struct err tried;

        if (ordinal_of(e, &ordinal)) {
            if (ordinal < 1 || (size_t)ordinal > q->n_visible)
                return bad_ordinal("GROUP BY", ordinal, e->pos, err);
            key = q->targets[ordinal - 1];
        } else {
            /* An input column's name goes before an output's. */
            err_clear(&tried);
            st = bind_expr(b, k, e, &key, &tried);
            if (st != ST_OK && named >= 0 &&
                strcmp(tried.sqlstate, SQLSTATE_UNDEFINED_COLUMN) == 0) {
                key = q->targets[named];
            } else if (st != ST_OK) {
                if (err != NULL)
                    *err = tried;
                return st;
            }
        }
        TRY(settle_unknown(b, key, &key, err));
        bx_append(b, &q->group_keys, &q->n_group_keys, key);
    }
    q->grouped |= s->group_by.n > 0;
    st = ST_OK;
out:
    return st;
}

static enum status bind_distinct(struct binder *b, struct block *k, const struct select_stmt *s,
                                 struct err *err)
{
    struct query *q = k->query;
    enum status st = ST_OK;

    if (s->distinct != DISTINCT_ON)
        return ST_OK;
    k->clause = CLAUSE_ORDER;
    q->distinct_on = arena_alloc(b->mem, s->distinct_on.n * sizeof *q->distinct_on);
    for (size_t i = 0; i < s->distinct_on.n; i++)
        TRY(sort_target(b, k, s->distinct_on.items[i], "DISTINCT ON", &q->distinct_on[i], err));
    q->n_distinct_on = s->distinct_on.n;
    /* The rows of one group must stand together: the first ORDER BY items are DISTINCT ON's. */
    for (size_t i = 0; i < q->n_order && i < q->n_distinct_on; i++) {
        bool listed = false;

        for (size_t j = 0; j < q->n_distinct_on; j++)
            listed |= q->distinct_on[j] == q->order[i].target;
        if (!listed)
            return err_set(
                err, ST_REJECT, SQLSTATE_INVALID_COLUMN_REFERENCE,
                "SELECT DISTINCT ON expressions must match initial ORDER BY expressions");
    }
    if (q->n_order < q->n_distinct_on) {
        q->order = arena_zalloc(b->mem, q->n_distinct_on * sizeof *q->order);
        for (size_t j = 0; j < q->n_distinct_on; j++)
            q->order[j].target = q->distinct_on[j];
        q->n_order = q->n_distinct_on;
    }
out:
    return st;
}

static enum status bind_plain(struct binder *b, struct block *k, const struct select_stmt *s,
                              struct err *err)
{
    struct query *q = k->query;
    struct bx *where;
    enum status st = ST_OK;

    if (s->n_windows > 0)
        return err_set(err, ST_REJECT, SQLSTATE_FEATURE_NOT_SUPPORTED,
                       "window functions are not supported");
    q->distinct = s->distinct == DISTINCT_YES;
    TRY(bind_from(b, k, &s->from, &q->from, err));
    k->clause = CLAUSE_TARGET;
    TRY(bind_targets(b, k, &s->targets, err));
    TRY(settle_targets(b, k, err));
    if (s->where != NULL) {
        k->clause = CLAUSE_WHERE;
        TRY(bind_condition(b, k, s->where, "WHERE", &where, err));
        add_conjuncts(b, where, &q->where, &q->n_where);
    }
    TRY(bind_group_by(b, k, s, err));
    if (s->having != NULL) {
        k->clause = CLAUSE_HAVING;
        TRY(bind_condition(b, k, s->having, "HAVING", &q->having, err));
        q->grouped = true;
    }
    TRY(bind_order(b, k, &s->order_by, err));
    TRY(bind_distinct(b, k, s, err));
    if (q->grouped)
        TRY(bind_grouping(b, k, err));
    query_outputs(b, q);
out:
    return st;
}

static enum status bind_values(struct binder *b, struct block *k, const struct select_stmt *s,
                               struct err *err)
{
    struct query *q = k->query;
    size_t width = s->n_rows > 0 ? s->rows[0].n : 0;
    struct bx **column = arena_alloc(b->mem, (s->n_rows + 1) * sizeof *column);
    enum sql_type type;
    enum status st = ST_OK;

    q->n_rows = s->n_rows;
    q->rows = arena_alloc(b->mem, (s->n_rows + 1) * sizeof *q->rows);
    q->names = arena_alloc(b->mem, (width + 1) * sizeof *q->names);
    q->targets = arena_alloc(b->mem, (width + 1) * sizeof *q->targets);
    k->clause = CLAUSE_VALUES;
    for (size_t r = 0; r < s->n_rows; r++) {
        q->rows[r] = arena_alloc(b->mem, (width + 1) * sizeof **q->rows);
        for (size_t c = 0; c < width; c++)
            TRY(bind_expr(b, k, s->rows[r].items[c], &q->rows[r][c], err));
    }
    for (size_t c = 0; c < width; c++) {
        for (size_t r = 0; r < s->n_rows; r++)
            column[r] = q->rows[r][c];
        TRY(coerce_common(b, column, s->n_rows, "VALUES", column[0]->pos, &type, err));
        for (size_t r = 0; r < s->n_rows; r++)
            q->rows[r][c] = column[r];
        q->names[c] = arena_printf(b->mem, "column%zu", c + 1);
        q->targets[c] = column[0];
    }
    q->n_targets = q->n_visible = width;
    query_outputs(b, q);
    TRY(bind_order(b, k, &s->order_by, err));
out:
    return st;
}

/* Casts column i of everything below a set operation. */
enum status retype_output(struct binder *b, struct query *q, size_t i, enum sql_type type,
                          struct err *err)
{
    enum status st = ST_OK;

    if (q->out_vars[i]->type == type)
        return ST_OK;
    if (q->kind == QUERY_SELECT) {
        TRY(coerce(b, q->untyped[i] != NULL ? q->untyped[i] : q->targets[i], type, CAST_IMPLICIT,
                   &q->targets[i], err));
    } else if (q->kind == QUERY_VALUES) {
        for (size_t r = 0; r < q->n_rows; r++)
            TRY(coerce(b, q->rows[r][i], type, CAST_IMPLICIT, &q->rows[r][i], err));
    } else {
        TRY(retype_output(b, q->left, i, type, err));
        TRY(retype_output(b, q->right, i, type, err));
    }
    q->out_vars[i]->type = type;
    q->out_vars[i]->typmod = -1;
out:
    return st;
}

/* Literals of unknown type in a branch wait for the other branch to give them one. */
static enum status unify_outputs(struct binder *b, struct query *q, const struct select_stmt *s,
                                 struct err *err)
{
    static const char *const words[] = {"UNION", "INTERSECT", "EXCEPT"};
    struct query *l = q->left, *r = q->right;
    enum status st = ST_OK;

    if (l->n_visible != r->n_visible) {
        (void)err_set(err, ST_REJECT, SQLSTATE_SYNTAX_ERROR,
                      "each %s query must have the same number of columns", words[s->setop]);
        return at(err, s->right->pos);
    }
    q->n_targets = q->n_visible = l->n_visible;
    q->names = l->names;
    q->targets = arena_alloc(b->mem, (l->n_visible + 1) * sizeof *q->targets);
    for (size_t i = 0; i < l->n_visible; i++) {
        enum sql_type types[2] = {l->out_vars[i]->type, r->out_vars[i]->type}, type;

        if (l->kind == QUERY_SELECT && l->untyped[i] != NULL)
            types[0] = TYPE_UNKNOWN;
        if (r->kind == QUERY_SELECT && r->untyped[i] != NULL)
            types[1] = TYPE_UNKNOWN;
        TRY(type_common(types, 2, words[s->setop], s->right->pos, &type, err));
        TRY(retype_output(b, l, i, type, err));
        TRY(retype_output(b, r, i, type, err));
        q->targets[i] =
            bx_var(b, 0, 0, type,
                   l->out_vars[i]->typmod == r->out_vars[i]->typmod ? l->out_vars[i]->typmod : -1,
                   NULL, q->names[i]);
    }
out:
    return st;
}

static enum status bind_setop(struct binder *b, struct block *k, const struct select_stmt *s,
                              struct err *err)
{
    struct query *q = k->query;
    enum status st = ST_OK;

    TRY(bind_query(b, k, true, s->left, &q->left, err));
    TRY(bind_query(b, k, true, s->right, &q->right, err));
    q->setop = s->setop;
    q->setop_all = s->setop_all;
    TRY(unify_outputs(b, q, s, err));
    query_outputs(b, q);
    for (size_t i = 0; i < s->order_by.n; i++) {
        const struct expr *e = s->order_by.items[i].expr;
        int64_t ordinal;

        if (!ordinal_of(e, &ordinal) && output_named(q, e) < 0) {
            if (e->kind == EXPR_COLUMN && e->column.n_names == 1)
                (void)err_set(err, ST_REJECT, SQLSTATE_UNDEFINED_COLUMN,
                              "column \"%s\" does not exist", e->column.names[0]);
            else
                (void)err_set(err, ST_REJECT, SQLSTATE_FEATURE_NOT_SUPPORTED,
                              "invalid UNION/INTERSECT/EXCEPT ORDER BY clause");
            return at(err, e->pos);
        }
    }
    TRY(bind_order(b, k, &s->order_by, err));
out:
    return st;
}

void bind_ctes(struct binder *b, struct block *k, const struct with_clause *with)
{
    for (size_t i = 0; i < with->n; i++) {
        struct bind_cte *c = arena_zalloc(b->mem, sizeof *c);

        c->name = with->items[i].name.name;
        c->cte = &with->items[i];
        c->next = k->ctes;
        k->ctes = c;
    }
}

static enum query_kind kind_of(const struct select_stmt *s)
{
    switch (s->kind) {
    case SELECT_VALUES:
        return QUERY_VALUES;
    case SELECT_SETOP:
        return QUERY_SETOP;
    case SELECT_PLAIN:
        break;
    }
    return QUERY_SELECT;
}

enum status bind_query(struct binder *b, struct block *outer, bool opaque,
                       const struct select_stmt *s, struct query **out, struct err *err)
{
    struct block k = {.outer = outer, .outer_opaque = opaque, .keep_unknown = b->keep_unknown};
    enum status st = ST_OK;

    b->keep_unknown = false;
    if (++b->levels > BIND_LEVELS_MAX) {
        st = err_set(err, ST_REJECT, SQLSTATE_STATEMENT_TOO_COMPLEX,
                     "queries are nested more than %d deep", BIND_LEVELS_MAX);
        goto out;
    }
    k.query = query_new(b);
    k.query->kind = kind_of(s);
    bind_ctes(b, &k, &s->with);
    if (s->as_of != NULL && outer != NULL) {
        st = err_set(err, ST_REJECT, SQLSTATE_FEATURE_NOT_SUPPORTED,
                     "AS OF SYSTEM TIME must stand in the outermost query");
        goto out;
    }
    if (s->as_of != NULL)
        TRY(bind_value(b->opts, s->as_of, TYPE_UNKNOWN, -1, &b->out->as_of, err));
    switch (k.query->kind) {
    case QUERY_SELECT:
        TRY(bind_plain(b, &k, s, err));
        break;
    case QUERY_VALUES:
        TRY(bind_values(b, &k, s, err));
        break;
    case QUERY_SETOP:
        TRY(bind_setop(b, &k, s, err));
        break;
    }
    TRY(bind_limit(b, &k, s, err));
    TRY(bind_locking(b, &k, s, err));
    *out = k.query;
out:
    b->levels--;
    return st;
}

/* The statement as a whole */

static enum status check_params(const struct bind_params *p, struct err *err)
{
    for (size_t i = 0; p != NULL && i < p->n; i++) {
        if (p->types[i] == TYPE_UNKNOWN)
            return err_set(err, ST_REJECT, SQLSTATE_INDETERMINATE_DATATYPE,
                           "could not determine data type of parameter $%zu", i + 1);
    }
    return ST_OK;
}

enum status bind_stmt(const struct bind_options *opts, const struct stmt *stmt, struct bound *out,
                      struct err *err)
{
    struct binder b = {.opts = opts, .mem = opts->mem, .out = out};
    enum status st = ST_OK;

    *out = (struct bound){0};
    if (stmt->kind == STMT_SELECT)
        TRY(bind_query(&b, NULL, false, stmt->select, &out->query, err));
    else
        TRY(bind_dml(&b, stmt, &out->dml, err));
    TRY(check_params(opts->params, err));
out:
    return st;
}

enum status bind_value(const struct bind_options *opts, const struct expr *e, enum sql_type want,
                       int32_t typmod, struct bx **out, struct err *err)
{
    struct bound scratch = {0};
    struct binder b = {.opts = opts, .mem = opts->mem, .out = &scratch};
    struct block k = {.query = query_new(&b), .clause = CLAUSE_DEFAULT};
    enum status st = ST_OK;

    TRY(bind_expr(&b, &k, e, out, err));
    if (want == TYPE_UNKNOWN)
        TRY(settle_unknown(&b, *out, out, err));
    else
        TRY(coerce(&b, *out, want, CAST_ASSIGNMENT, out, err));
    *out = apply_typmod(&b, *out, typmod, CAST_ASSIGNMENT);
    if (scratch.n_subqueries > 0)
        st = err_set(err, ST_REJECT, SQLSTATE_FEATURE_NOT_SUPPORTED,
                     "a subquery cannot be used in this expression");
out:
    return st;
}
