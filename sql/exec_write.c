#include "sql/exec_write.h"

#include <stdio.h>

#include "base/check.h"

static void put_text(char *out, size_t size, const char *text, size_t len)
{
    size_t at = strlen(out);

    if (at + len + 1 > size)
        len = size - at - 1;
    memcpy(out + at, text, len);
    out[at + len] = 0;
}

static void put_datum(char *out, size_t size, const struct datum *v, struct arena *mem)
{
    struct bytes text = v->null ? bytes_str("null") : datum_text(v, mem);

    put_text(out, size, (const char *)text.ptr, text.len > 64 ? 64 : text.len);
}

enum status write_check_not_null(const struct table *t, const struct datum *row, struct err *err)
{
    char shown[240] = "(";
    struct arena mem;

    for (size_t c = 0; c < t->n_columns; c++) {
        if (!row[c].null || !t->columns[c].not_null)
            continue;
        arena_init(&mem, 0);
        for (size_t i = 0; i < t->n_columns; i++) {
            if (t->columns[i].hidden)
                continue;
            if (i > 0)
                put_text(shown, sizeof shown - 1, ", ", 2);
            put_datum(shown, sizeof shown - 1, &row[i], &mem);
        }
        put_text(shown, sizeof shown, ")", 1);
        arena_fini(&mem);
        (void)err_set(err, ST_REJECT, SQLSTATE_NOT_NULL_VIOLATION,
                      "null value in column \"%s\" of relation \"%s\" violates not-null constraint",
                      t->columns[c].name, t->name);
        return err != NULL ? err_detail(err, "Failing row contains %s.", shown) : ST_REJECT;
    }
    return ST_OK;
}

enum status write_duplicate(const struct write_env *w, const struct index *ix,
                            const struct datum *row, struct err *err)
{
    char names[120] = "", values[120] = "";

    for (size_t i = 0; i < ix->n_parts; i++) {
        const char *name = w->table->columns[ix->parts[i].column].name;

        if (i > 0) {
            put_text(names, sizeof names, ", ", 2);
            put_text(values, sizeof values, ", ", 2);
        }
        put_text(names, sizeof names, name, strlen(name));
        put_datum(values, sizeof values, &row[ix->parts[i].column], w->mem);
    }
    (void)err_set(err, ST_REJECT, SQLSTATE_UNIQUE_VIOLATION,
                  "duplicate key value violates unique constraint \"%s\"", ix->name);
    return err != NULL ? err_detail(err, "Key (%s)=(%s) already exists.", names, values)
                       : ST_REJECT;
}

static enum status entry_key(struct write_env *w, struct buf *out, const struct index *ix,
                             const struct datum *row, struct err *err)
{
    buf_reset(out);
    return row_key(out, w->table, ix, row, err);
}

static bool is_unique_for(const struct index *ix, const struct datum *row)
{
    return ix->unique && (ix->primary || !row_key_has_pk(ix, row));
}

/* From an entry of a unique secondary index to its row. */
static enum status row_of_entry(struct write_env *w, const struct index *ix, struct bytes key,
                                struct bytes value, struct write_conflict *out, struct err *err)
{
    const struct table *t = w->table;
    bool *want = arena_zalloc(w->mem, t->n_columns + 1);
    struct datum *pk = arena_zalloc(w->mem, t->n_columns * sizeof *pk);
    enum status st = ST_OK;

    for (uint16_t c = 0; c < t->n_columns; c++)
        want[c] = table_column_in_pk(t, c);
    TRY(row_decode(t, ix, key, value, want, pk, w->mem, err));
    TRY(entry_key(w, &w->pool->key, &t->indexes[0], pk, err));
    out->row_key = arena_copy(w->mem, buf_bytes(&w->pool->key));
    st = txn_get(w->txn, out->row_key, TXN_LOCK_EXCLUSIVE, w->mem, &out->row_value, NULL, err);
    if (st == ST_NOTFOUND)
        st = err_set(err, ST_REJECT, SQLSTATE_DATA_CORRUPTED,
                     "index \"%s\" has an entry without a row in table \"%s\"", ix->name, t->name);
out:
    return st;
}

static enum status look_up(struct write_env *w, const struct index *ix, const struct datum *row,
                           struct write_conflict *out, struct err *err)
{
    struct bytes value, key;
    enum status st = ST_OK;

    if (!is_unique_for(ix, row) || w->table->columns[ix->parts[0].column].hidden)
        return ST_OK;
    TRY(entry_key(w, &w->pool->key, ix, row, err));
    st = txn_get(w->txn, buf_bytes(&w->pool->key), TXN_LOCK_EXCLUSIVE, w->mem, &value, NULL, err);
    if (st == ST_NOTFOUND)
        return ST_OK;
    if (st != ST_OK)
        return st;
    key = arena_copy(w->mem, buf_bytes(&w->pool->key));
    out->index = ix;
    out->row_key = key;
    out->row_value = value;
    if (!ix->primary)
        TRY(row_of_entry(w, ix, key, value, out, err));
out:
    return st;
}

enum status write_find_conflict(struct write_env *w, const struct datum *row,
                                const struct index *first, struct write_conflict *out,
                                struct err *err)
{
    *out = (struct write_conflict){0};
    if (first != NULL) {
        enum status st = look_up(w, first, row, out, err);

        if (st != ST_OK || out->index != NULL)
            return st;
    }
    for (size_t i = 0; i < w->table->n_indexes; i++) {
        enum status st = ST_OK;

        if (&w->table->indexes[i] != first)
            st = look_up(w, &w->table->indexes[i], row, out, err);
        if (st != ST_OK || out->index != NULL)
            return st;
    }
    return ST_OK;
}

static enum status put_entry(struct write_env *w, const struct index *ix, const struct datum *row,
                             struct err *err)
{
    enum status st = ST_OK;

    TRY(entry_key(w, &w->pool->key, ix, row, err));
    buf_reset(&w->pool->value);
    row_value(&w->pool->value, w->table, ix, row);
    TRY(txn_put(w->txn, buf_bytes(&w->pool->key), buf_bytes(&w->pool->value), err));
out:
    return st;
}

enum status write_insert(struct write_env *w, const struct datum *row, struct err *err)
{
    for (size_t i = 0; i < w->table->n_indexes; i++) {
        enum status st = put_entry(w, &w->table->indexes[i], row, err);

        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

/* A changed key of a unique index must be free. */
static enum status check_free(struct write_env *w, const struct index *ix,
                              const struct datum *fresh, struct err *err)
{
    struct write_conflict conflict = {0};
    enum status st = look_up(w, ix, fresh, &conflict, err);

    if (st == ST_OK && conflict.index != NULL)
        st = write_duplicate(w, ix, fresh, err);
    return st;
}

static bool parts_differ(const struct index *ix, const struct datum *a, const struct datum *b)
{
    for (size_t i = 0; i < ix->n_parts; i++) {
        const struct datum *x = &a[ix->parts[i].column], *y = &b[ix->parts[i].column];

        if (x->null != y->null || (!x->null && datum_cmp(x, y) != 0))
            return true;
    }
    return false;
}

/* True if the entry's value must be written although its key stays: it holds columns that keys do not give
 * back exactly (1.0 and 1.00 are one key). */
static bool value_may_differ(const struct table *t, const struct index *ix)
{
    for (size_t i = 0; i < ix->n_parts; i++) {
        if (!row_key_exact(t->columns[ix->parts[i].column].type))
            return true;
    }
    return false;
}

static enum status update_entry(struct write_env *w, const struct index *ix, bool pk_moves,
                                const struct datum *old, const struct datum *fresh, struct err *err)
{
    bool moves = parts_differ(ix, old, fresh);
    enum status st = ST_OK;

    if (!moves && !ix->primary && !pk_moves && !value_may_differ(w->table, ix))
        return ST_OK;
    if (moves)
        TRY(check_free(w, ix, fresh, err));
    if (moves || (pk_moves && row_key_has_pk(ix, old))) {
        TRY(entry_key(w, &w->pool->key, ix, old, err));
        TRY(txn_delete(w->txn, buf_bytes(&w->pool->key), err));
    }
    TRY(put_entry(w, ix, fresh, err));
out:
    return st;
}

enum status write_update(struct write_env *w, const struct datum *old, const struct datum *fresh,
                         struct err *err)
{
    bool pk_moves = parts_differ(&w->table->indexes[0], old, fresh);

    for (size_t i = 0; i < w->table->n_indexes; i++) {
        enum status st = update_entry(w, &w->table->indexes[i], pk_moves, old, fresh, err);

        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

enum status write_delete(struct write_env *w, const struct datum *old, struct err *err)
{
    enum status st = ST_OK;

    for (size_t i = 0; i < w->table->n_indexes; i++) {
        TRY(entry_key(w, &w->pool->key, &w->table->indexes[i], old, err));
        TRY(txn_delete(w->txn, buf_bytes(&w->pool->key), err));
    }
out:
    return st;
}
