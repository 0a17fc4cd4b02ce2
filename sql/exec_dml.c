/*
 * INSERT, UPDATE, DELETE. Rows to be changed are collected before the first is written, unless the path can only
 * meet one: a statement never meets its own new rows. Uniqueness is checked row by row, as PostgreSQL
 * does, under exclusive locks on the keys that are looked at.
 */
#include "base/check.h"
#include "sql/exec_int.h"
#include "sql/exec_write.h"

static const struct dml *dml_of(const struct node *n)
{
    return n->plan->dml.dml;
}

static struct datum *target_slots(struct node *n)
{
    return n->frame->slots + dml_of(n)->query->rtes[0]->slot;
}

static struct write_env env_of(struct node *n)
{
    return (struct write_env){
        .txn = n->run->o.txn, .pool = n->run->o.pool, .mem = n->row_mem, .table = dml_of(n)->table};
}

/* RETURNING looks at the row as it now is. */
static enum status show_returning(struct node *n, const struct datum *row, struct err *err)
{
    const struct query *q = dml_of(n)->query;
    struct eval ev = node_eval(n);

    if (row != target_slots(n))
        memmove(target_slots(n), row, dml_of(n)->table->n_columns * sizeof *row);
    for (size_t i = 0; i < q->n_targets; i++) {
        enum status st = bx_eval(q->targets[i], &ev, &n->frame->slots[q->out_slot + i], err);

        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

/* INSERT */

static void make_row_id(struct node *n, struct datum *out)
{
    struct txn_id id = txn_id_of(n->run->o.txn);
    uint64_t seq = (*n->run->o.row_seq)++;
    uint8_t *p = arena_alloc(n->row_mem, 20);

    for (int i = 0; i < 8; i++)
        p[i] = (uint8_t)((uint64_t)id.start >> (56 - 8 * i));
    for (int i = 0; i < 4; i++) {
        p[8 + i] = (uint8_t)(seq >> (24 - 8 * i));
        p[12 + i] = (uint8_t)(id.gateway >> (24 - 8 * i));
        p[16 + i] = (uint8_t)(id.counter >> (24 - 8 * i));
    }
    *out = (struct datum){.type = TYPE_BYTEA, .s = bytes_of(p, 20)};
}

static enum status proposed_row(struct node *n, struct datum *row, struct err *err)
{
    const struct dml *d = dml_of(n);
    struct eval ev = node_eval(n);

    for (size_t c = 0; c < d->table->n_columns; c++) {
        enum status st = bx_eval(d->values[c], &ev, &row[c], err);

        if (st != ST_OK)
            return st;
        if (d->table->columns[c].hidden)
            make_row_id(n, &row[c]);
    }
    return write_check_not_null(d->table, row, err);
}

/* One command must not update a row twice: the outcome would hang on the order of its rows. */
static enum status touch_once(struct node *n, const struct datum *old, struct err *err)
{
    const struct index *pk = &dml_of(n)->table->indexes[0];
    struct datum *key = arena_alloc(node_keep(n), (pk->n_parts + 1) * sizeof *key);
    uint64_t hash;
    size_t pos = 0;

    for (size_t i = 0; i < pk->n_parts; i++)
        key[i] = datum_copy(&old[pk->parts[i].column], n->keep_mem);
    if (n->dml.touched == NULL)
        n->dml.touched = hash_new(n->keep_mem, pk->n_parts);
    hash = row_hash(key, pk->n_parts);
    if (hash_find(n->dml.touched, key, hash, &pos) == NULL) {
        (void)hash_add(n->dml.touched, key, hash);
        return ST_OK;
    }
    (void)err_set(err, ST_REJECT, SQLSTATE_CARDINALITY_VIOLATION,
                  "ON CONFLICT DO UPDATE command cannot affect row a second time");
    return err != NULL
               ? err_hint(err, "Ensure that no rows proposed for insertion within the same command "
                               "have duplicate constrained values.")
               : ST_REJECT;
}

/* New values of an update over `old`, which stands in the target's slots. */
static enum status updated_row(struct node *n, struct bx *const *values, struct datum *out,
                               struct err *err)
{
    const struct table *t = dml_of(n)->table;
    struct eval ev = node_eval(n);

    for (size_t c = 0; c < t->n_columns; c++) {
        enum status st = ST_OK;

        if (values[c] == NULL)
            out[c] = target_slots(n)[c];
        else
            st = bx_eval(values[c], &ev, &out[c], err);
        if (st != ST_OK)
            return st;
    }
    return write_check_not_null(t, out, err);
}

static enum status conflict_update(struct node *n, struct bytes old_key, struct bytes old_value,
                                   bool *out_done, struct err *err)
{
    const struct dml *d = dml_of(n);
    const struct table *t = d->table;
    struct write_env w = env_of(n);
    struct datum *old = target_slots(n);
    struct datum *fresh = arena_alloc(n->row_mem, t->n_columns * sizeof *fresh);
    struct eval ev = node_eval(n);
    enum status st = ST_OK;

    TRY(row_decode(t, &t->indexes[0], old_key, old_value, d->query->rtes[0]->want, old, n->row_mem,
                   err));
    TRY(touch_once(n, old, err));
    *out_done = true;
    if (d->conflict_where != NULL)
        TRY(bx_true(d->conflict_where, &ev, out_done, err));
    if (!*out_done)
        return ST_OK;
    TRY(updated_row(n, d->conflict_values, fresh, err));
    TRY(write_update(&w, old, fresh, err));
    memcpy(old, fresh, t->n_columns * sizeof *fresh);
out:
    return st;
}

/* *out_done: a row was inserted or updated. */
static enum status insert_row(struct node *n, bool *out_done, struct err *err)
{
    const struct dml *d = dml_of(n);
    struct write_env w = env_of(n);
    struct datum *row = n->frame->slots + d->new_slot;
    struct write_conflict conflict;
    enum status st = ST_OK;

    TRY(proposed_row(n, row, err));
    *out_done = true;
    if (n->plan->dml.blind)
        return write_insert(&w, row, err);
    TRY(write_find_conflict(&w, row, d->arbiter, &conflict, err));
    if (conflict.index == NULL) {
        TRY(write_insert(&w, row, err));
        if (d->conflict == CONFLICT_UPDATE)
            TRY(touch_once(n, row, err));
        memcpy(target_slots(n), row, d->table->n_columns * sizeof *row);
    } else if (d->conflict != CONFLICT_NONE &&
               (d->arbiter == NULL || d->arbiter == conflict.index)) {
        *out_done = false;
        if (d->conflict == CONFLICT_UPDATE)
            TRY(conflict_update(n, conflict.row_key, conflict.row_value, out_done, err));
    } else {
        st = write_duplicate(&w, conflict.index, row, err);
    }
out:
    return st;
}

/* The next proposed row into the source's slots; DEFAULT VALUES is one row. */
static enum status next_source(struct node *n, struct err *err)
{
    struct block_run *b = n->dml.source;
    enum status st;

    if (b == NULL) {
        if (n->done)
            return ST_NOTFOUND;
        n->done = true;
        return ST_OK;
    }
    st = block_next(b, err);
    if (st == ST_OK)
        memcpy(n->frame->slots + dml_of(n)->source_slot, b->frame.slots + b->plan->out_slot,
               b->plan->n_out * sizeof *b->frame.slots);
    return st;
}

/* INSERT ... SELECT reads its source to the end before it writes. */
static enum status collect_source(struct node *n, struct err *err)
{
    struct block_run *b = n->dml.source;
    enum status st;

    n->dml.rows = (struct row_store){0};
    (void)node_keep(n);
    while ((st = block_next(b, err)) == ST_OK) {
        store_add(&n->dml.rows, n->keep_mem,
                  copy_row(b->frame.slots + b->plan->out_slot, b->plan->n_out, n->keep_mem));
        st = check_budget(n->keep_mem, err);
        if (st != ST_OK)
            return st;
    }
    return st == ST_NOTFOUND ? ST_OK : st;
}

static enum status insert_source(struct node *n, struct err *err)
{
    bool reads = n->dml.source != NULL && n->plan->dml.source->root->kind != PLAN_VALUES;

    if (!n->started) {
        enum status st = reads ? collect_source(n, err) : ST_OK;

        if (st != ST_OK)
            return st;
        n->dml.at = 0;
        n->started = true;
    }
    if (!reads)
        return next_source(n, err);
    if (n->dml.at == n->dml.rows.n)
        return ST_NOTFOUND;
    memcpy(n->frame->slots + dml_of(n)->source_slot, n->dml.rows.rows[n->dml.at++],
           n->plan->dml.source->n_out * sizeof *n->frame->slots);
    return ST_OK;
}

static enum status insert_next(struct node *n, struct err *err)
{
    enum status st = ST_OK;
    bool done;

    for (;;) {
        arena_reset(n->row_mem);
        TRY(run_check(n->run, err));
        TRY(insert_source(n, err));
        TRY(insert_row(n, &done, err));
        n->run->affected += done;
        if (done && dml_of(n)->returning)
            return show_returning(n, target_slots(n), err);
    }
out:
    return st;
}

/* UPDATE and DELETE */

/* A row met twice through a join is changed once. */
static bool met_before(struct node *n, const struct datum *row)
{
    const struct index *pk = &dml_of(n)->table->indexes[0];
    struct datum *key = arena_alloc(n->keep_mem, (pk->n_parts + 1) * sizeof *key);
    uint64_t hash;
    size_t pos = 0;

    if (n->child->plan->kind == PLAN_SCAN)
        return false;
    for (size_t i = 0; i < pk->n_parts; i++)
        key[i] = datum_copy(&row[pk->parts[i].column], n->keep_mem);
    if (n->dml.touched == NULL)
        n->dml.touched = hash_new(n->keep_mem, pk->n_parts);
    hash = row_hash(key, pk->n_parts);
    if (hash_find(n->dml.touched, key, hash, &pos) != NULL)
        return true;
    (void)hash_add(n->dml.touched, key, hash);
    return false;
}

static void keep_datums(struct datum *to, const struct datum *from, size_t n, struct arena *mem)
{
    for (size_t i = 0; i < n; i++)
        to[i] = from[i].null ? from[i] : datum_copy(&from[i], mem);
}

/* Keeps old row and, for UPDATE, new row of everything that the path meets. */
static enum status collect_targets(struct node *n, struct err *err)
{
    const struct dml *d = dml_of(n);
    size_t width = d->table->n_columns;
    enum status st;

    n->dml.rows = (struct row_store){0};
    (void)node_keep(n);
    while ((st = node_next(n->child, err)) == ST_OK) {
        struct datum *fresh = n->frame->slots + d->new_slot;
        struct datum *kept;

        arena_reset(n->row_mem);
        if (met_before(n, target_slots(n)))
            continue;
        if (d->kind == DML_UPDATE)
            TRY(updated_row(n, d->values, fresh, err));
        kept = arena_alloc(n->keep_mem, 2 * width * sizeof *kept);
        keep_datums(kept, target_slots(n), width, n->keep_mem);
        if (d->kind == DML_UPDATE)
            keep_datums(kept + width, fresh, width, n->keep_mem);
        store_add(&n->dml.rows, n->keep_mem, kept);
        TRY(check_budget(n->keep_mem, err));
    }
    st = st == ST_NOTFOUND ? ST_OK : st;
out:
    return st;
}

static enum status change_row(struct node *n, const struct datum *old, const struct datum *fresh,
                              struct err *err)
{
    struct write_env w = env_of(n);
    enum status st = dml_of(n)->kind == DML_UPDATE ? write_update(&w, old, fresh, err)
                                                   : write_delete(&w, old, err);

    if (st != ST_OK)
        return st;
    n->run->affected++;
    if (dml_of(n)->returning)
        st = show_returning(n, dml_of(n)->kind == DML_UPDATE ? fresh : old, err);
    return st;
}

static enum status change_in_place(struct node *n, struct err *err)
{
    struct datum *fresh = n->frame->slots + dml_of(n)->new_slot;
    enum status st = ST_OK;

    if (n->done)
        return ST_NOTFOUND;
    n->done = true;
    TRY(node_next(n->child, err));
    if (dml_of(n)->kind == DML_UPDATE)
        TRY(updated_row(n, dml_of(n)->values, fresh, err));
    TRY(change_row(n, target_slots(n), fresh, err));
    if (!dml_of(n)->returning)
        st = ST_NOTFOUND;
out:
    return st;
}

static enum status change_next(struct node *n, struct err *err)
{
    size_t width = dml_of(n)->table->n_columns;
    enum status st = ST_OK;

    arena_reset(n->row_mem);
    if (n->plan->dml.in_place)
        return change_in_place(n, err);
    if (!n->started) {
        TRY(collect_targets(n, err));
        n->dml.at = 0;
        n->started = true;
    }
    while (n->dml.at < n->dml.rows.n) {
        const struct datum *kept = n->dml.rows.rows[n->dml.at++];

        arena_reset(n->row_mem);
        TRY(run_check(n->run, err));
        TRY(change_row(n, kept, kept + width, err));
        if (dml_of(n)->returning)
            return ST_OK;
    }
    st = ST_NOTFOUND;
out:
    return st;
}

enum status dml_next(struct node *n, struct err *err)
{
    return dml_of(n)->kind == DML_INSERT ? insert_next(n, err) : change_next(n, err);
}
