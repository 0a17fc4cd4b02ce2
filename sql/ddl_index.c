/*
 * CREATE INDEX, online. First the index is there for writers only; from then on every commit keeps it (a commit
 * under an older catalog is refused by its schema lease). Then its entries are made from the rows, in chunks, each a
 * transaction that locks the rows it reads. Then it becomes public. A duplicate found on the way, or any other
 * error, takes it out again.
 */
#include <stdio.h>

#include "base/check.h"
#include "base/clock.h"
#include "sql/ddl_int.h"
#include "sql/exec_write.h"
#include "sql/row.h"

enum {
    CHUNK_ROWS = 500,
    CHUNK_ROWS_MIN = 4,
    CHUNK_BYTES = 2 * 1024 * 1024,
    CHUNK_TRIES = 100,
    CHUNK_RETRY_NS = 2 * NS_PER_MS
};

static enum status at(struct err *err, int pos)
{
    return err != NULL ? err_position(err, pos) : ST_REJECT;
}

/* What CREATE INDEX and ALTER TABLE ADD UNIQUE ask for. */
struct request {
    const struct create_index_stmt *s;
    bool constraint;
};

static const char *default_name(struct change *c, const struct request *q)
{
    const struct create_index_stmt *s = q->s;
    struct buf name = {0};
    const char *copy;

    buf_put(&name, s->table.name, strlen(s->table.name));
    for (size_t i = 0; i < s->n_columns; i++) {
        const char *col = s->columns[i].expr->column.names[0];

        buf_put_u8(&name, '_');
        buf_put(&name, col, strlen(col));
    }
    buf_put(&name, q->constraint ? "_key" : "_idx", 4);
    copy = arena_strndup(c->mem, (const char *)name.ptr, name.len);
    buf_fini(&name);
    return free_name(c, copy);
}

static enum status index_parts(struct change *c, const struct create_index_stmt *s,
                               const struct table *t, struct index *ix, struct err *err)
{
    struct index_part *parts = arena_alloc(c->mem, (s->n_columns + 1) * sizeof *parts);

    if (s->n_columns > CATALOG_KEY_PARTS_MAX)
        return err_set(err, ST_REJECT, SQLSTATE_TOO_MANY_COLUMNS,
                       "cannot use more than %d columns in an index", CATALOG_KEY_PARTS_MAX);
    for (size_t i = 0; i < s->n_columns; i++) {
        const struct index_column *col = &s->columns[i];
        bool first = col->nulls == NULLS_DEFAULT ? col->desc : col->nulls == NULLS_FIRST;
        int at_column;

        if (col->expr->kind != EXPR_COLUMN || first != col->desc) {
            (void)err_set(err, ST_REJECT, SQLSTATE_FEATURE_NOT_SUPPORTED,
                          col->expr->kind != EXPR_COLUMN
                              ? "an index on an expression is not supported"
                              : "this order of NULLs in an index is not supported");
            return at(err, col->pos);
        }
        at_column = table_column(t, col->expr->column.names[0]);
        if (at_column < 0)
            return err_set(err, ST_REJECT, SQLSTATE_UNDEFINED_COLUMN,
                           "column \"%s\" does not exist", col->expr->column.names[0]);
        parts[i] = (struct index_part){(uint16_t)at_column, col->desc ? KEY_DESC : KEY_ASC};
    }
    ix->parts = parts;
    ix->n_parts = s->n_columns;
    return ST_OK;
}

static enum status check_statement(const struct create_index_stmt *s, struct err *err)
{
    const char *what = s->where != NULL ? "a partial index" : s->include.n > 0 ? "INCLUDE" : NULL;

    if (s->method != NULL && strcmp(s->method, "btree") != 0)
        return err_set(err, ST_REJECT, SQLSTATE_FEATURE_NOT_SUPPORTED,
                       "access method \"%s\" is not supported", s->method);
    if (what == NULL)
        return ST_OK;
    (void)err_set(err, ST_REJECT, SQLSTATE_FEATURE_NOT_SUPPORTED, "%s is not supported", what);
    return at(err, s->pos);
}

/* Step 1: write-only. */
static enum status change_add(struct change *c, const void *arg, struct err *err)
{
    const struct request *q = arg;
    const struct create_index_stmt *s = q->s;
    const struct table *t = catalog_table(c->catalog, s->table.name);
    struct table *copy;
    struct index *ix;
    enum status st = ST_OK;

    if (t == NULL) {
        (void)err_set(err, ST_REJECT, SQLSTATE_UNDEFINED_TABLE, "relation \"%s\" does not exist",
                      s->table.name);
        return at(err, s->table.pos);
    }
    if (s->name != NULL && name_taken(c->catalog, s->name)) {
        if (!s->if_not_exists)
            return err_set(err, ST_REJECT, SQLSTATE_DUPLICATE_TABLE,
                           "relation \"%s\" already exists", s->name);
        ddl_notice(c->env, SQLSTATE_DUPLICATE_TABLE, "NOTICE",
                   "relation \"%s\" already exists, skipping", s->name);
        return ST_OK;
    }
    if (t->n_indexes == CATALOG_INDEXES_MAX)
        return err_set(err, ST_REJECT, SQLSTATE_PROGRAM_LIMIT_EXCEEDED,
                       "a table may have at most %d indexes", CATALOG_INDEXES_MAX);
    copy = table_copy(c, t, 1);
    ix = (struct index *)(uintptr_t)&copy->indexes[copy->n_indexes]; /* our own copy */
    *ix = (struct index){.id = copy->next_index_id++,
                         .unique = s->unique,
                         .constraint = q->constraint,
                         .state = INDEX_WRITE_ONLY};
    TRY(index_parts(c, s, t, ix, err));
    ix->name = s->name != NULL ? s->name : default_name(c, q);
    copy->n_indexes++;
    c->table_id = t->id;
    c->index_id = ix->id;
    c->backfill = true;
    TRY(put_table(c, copy, err));
out:
    return st;
}

/* The descriptor's copy and the position of the index in it; NULL if either is gone. */
static struct table *find_index(struct change *c, const struct change *fill, size_t *out_at)
{
    const struct table *t = catalog_table_by_id(c->catalog, fill->table_id);

    for (size_t i = 0; t != NULL && i < t->n_indexes; i++) {
        if (t->indexes[i].id == fill->index_id) {
            *out_at = i;
            return table_copy(c, t, 0);
        }
    }
    return NULL;
}

static enum status index_gone(struct err *err)
{
    return err_set(err, ST_REJECT, SQLSTATE_UNDEFINED_OBJECT,
                   "the index was dropped while it was filled");
}

/* Step 3: public. */
static enum status change_publish(struct change *c, const void *arg, struct err *err)
{
    size_t i;
    struct table *copy = find_index(c, arg, &i);

    if (copy == NULL)
        return index_gone(err);
    ((struct index *)(uintptr_t)&copy->indexes[i])->state = INDEX_PUBLIC; /* our own copy */
    return put_table(c, copy, err);
}

/* Instead of step 3, after an error. */
static enum status change_undo(struct change *c, const void *arg, struct err *err)
{
    const struct change *fill = arg;
    size_t i;
    struct table *copy = find_index(c, fill, &i);
    struct index *indexes;
    enum status st = ST_OK;

    if (copy == NULL)
        return ST_OK;
    indexes = (struct index *)(uintptr_t)copy->indexes; /* our own copy */
    memmove(&indexes[i], &indexes[i + 1], (copy->n_indexes - i - 1) * sizeof *indexes);
    copy->n_indexes--;
    TRY(put_table(c, copy, err));
    TRY(catalog_put_garbage(c->txn, fill->table_id, fill->index_id, err));
out:
    return st;
}

/* Step 2: entries from rows. */

struct filling {
    const struct ddl_env *env;
    const struct change *fill;
    struct buf resume; /* first key of the next chunk */
    struct buf end;
    int chunk_rows; /* halved after a conflict: a small chunk gets through between writers */
    bool done;
};

struct chunk {
    struct txn *txn;
    const struct table *table;
    const struct index *index;
    struct arena *mem;
    struct buf key, value;
    bool *all; /* every column is wanted */
    struct datum *row;
};

/* The key is taken: by this very row (a writer came first), or by another. */
static enum status check_entry(struct chunk *k, struct bytes found, struct err *err)
{
    const struct index *pk = &k->table->indexes[0];
    struct datum *other = arena_zalloc(k->mem, k->table->n_columns * sizeof *other);
    bool *want = arena_zalloc(k->mem, k->table->n_columns + 1);
    struct run_pool pool = {0};
    struct err dup;
    const char *shown;
    struct write_env w = {.table = k->table, .mem = k->mem, .pool = &pool};
    enum status st = ST_OK;

    for (size_t i = 0; i < pk->n_parts; i++)
        want[pk->parts[i].column] = true;
    TRY(row_decode(k->table, k->index, buf_bytes(&k->key), found, want, other, k->mem, err));
    for (size_t i = 0; i < pk->n_parts; i++) {
        uint16_t c = pk->parts[i].column;

        if (datum_cmp(&other[c], &k->row[c]) == 0)
            continue;
        err_clear(&dup);
        st = write_duplicate(&w, k->index, k->row, &dup);
        shown = strstr(dup.detail, " already exists");
        (void)err_set(err, ST_REJECT, SQLSTATE_UNIQUE_VIOLATION,
                      "could not create unique index \"%s\"", k->index->name);
        return err != NULL && shown != NULL
                   ? err_detail(err, "%.*s is duplicated.", (int)(shown - dup.detail), dup.detail)
                   : st;
    }
out:
    return st;
}

static enum status fill_row(struct chunk *k, struct bytes key, struct bytes value, struct err *err)
{
    struct bytes found;
    enum status st = ST_OK;

    TRY(row_decode(k->table, &k->table->indexes[0], key, value, k->all, k->row, k->mem, err));
    buf_reset(&k->key);
    buf_reset(&k->value);
    TRY(row_key(&k->key, k->table, k->index, k->row, err));
    row_value(&k->value, k->table, k->index, k->row);
    if (k->index->unique && !row_key_has_pk(k->index, k->row)) {
        st = txn_get(k->txn, buf_bytes(&k->key), TXN_LOCK_EXCLUSIVE, k->mem, &found, NULL, err);
        if (st == ST_OK)
            return check_entry(k, found, err);
        if (st != ST_NOTFOUND)
            return st;
    }
    TRY(txn_put(k->txn, buf_bytes(&k->key), buf_bytes(&k->value), err));
out:
    return st;
}

static enum status fill_rows(struct filling *f, struct chunk *k, struct buf *out_next,
                             bool *out_done, struct err *err)
{
    struct txn_scan *scan = NULL;
    struct bytes key, value;
    size_t bytes = 0;
    enum status st = ST_OK;

    *out_done = false;
    TRY(txn_scan_open(k->txn,
                      &(struct txn_scan_options){.start = buf_bytes(&f->resume),
                                                 .end = buf_bytes(&f->end),
                                                 .lock = TXN_LOCK_SHARED,
                                                 .limit = (uint64_t)f->chunk_rows},
                      &scan, err));
    for (int i = 0; i < f->chunk_rows && bytes < CHUNK_BYTES; i++) {
        st = txn_scan_next(scan, &key, &value, err);
        if (st == ST_NOTFOUND) {
            *out_done = true;
            st = ST_OK;
            break;
        }
        if (st != ST_OK)
            break;
        TRY(fill_row(k, key, value, err));
        bytes += k->key.len + k->value.len;
        buf_reset(out_next);
        buf_put(out_next, key.ptr, key.len);
        buf_put_u8(out_next, 0); /* no key goes on with 0x00: this is just behind it */
        arena_reset(k->mem);
    }
out:
    txn_scan_close(scan);
    return st;
}

/* One transaction. The catalog is that of now: other changes may run beside the filling. */
static enum status fill_chunk(struct filling *f, tstamp age, tstamp *out_age, struct err *err)
{
    enum status st = ST_OK;
    struct txn_schema_lease lease;
    struct catalog *catalog = NULL;
    struct arena mem, row_mem;
    struct chunk k = {.mem = &row_mem};
    struct buf next = {0};
    tstamp ts;
    bool done;

    arena_init(&mem, 0);
    arena_init(&row_mem, 0);
    TRY(catalog_cache_current(f->env->cache, &lease, &catalog, err));
    k.table = catalog_table_by_id(catalog, f->fill->table_id);
    for (size_t i = 0; k.table != NULL && i < k.table->n_indexes; i++) {
        if (k.table->indexes[i].id == f->fill->index_id)
            k.index = &k.table->indexes[i];
    }
    if (k.index == NULL) {
        st = index_gone(err);
        goto out;
    }
    k.all = arena_alloc(&mem, k.table->n_columns);
    memset(k.all, true, k.table->n_columns);
    k.row = arena_zalloc(&mem, k.table->n_columns * sizeof *k.row);
    if (f->end.len == 0) {
        row_put_prefix(&f->resume, k.table->id, k.table->indexes[0].id);
        row_put_prefix(&f->end, k.table->id, k.table->indexes[0].id);
        ASSERT(key_prefix_end(&f->end));
    }
    TRY(txn_begin(
        f->env->space,
        &(struct txn_options){.mode = TXN_READ_WRITE, .age = age, .cancel = f->env->cancel}, &k.txn,
        err));
    *out_age = txn_id_of(k.txn).start;
    txn_set_schema(k.txn, lease.from, lease.until);
    TRY(fill_rows(f, &k, &next, &done, err));
    TRY(txn_commit_wait(k.txn, &ts, err));
    f->done = done;
    if (!done) {
        buf_reset(&f->resume);
        buf_put(&f->resume, next.ptr, next.len);
    }
out:
    txn_free(k.txn);
    catalog_unref(catalog);
    buf_fini(&next);
    buf_fini(&k.key);
    buf_fini(&k.value);
    arena_fini(&row_mem);
    arena_fini(&mem);
    return st;
}

static enum status fill(const struct ddl_env *env, const struct change *what, struct err *err)
{
    struct filling f = {.env = env, .fill = what, .chunk_rows = CHUNK_ROWS};
    enum status st = ST_OK;

    while (st == ST_OK && !f.done) {
        tstamp age = 0;

        for (int i = 0; i < CHUNK_TRIES; i++) {
            st = fill_chunk(&f, age, &age, err);
            if (st != ST_ABORT)
                break;
            if (f.chunk_rows / 2 >= CHUNK_ROWS_MIN)
                f.chunk_rows /= 2;
            mono_sleep_until(mono_now() + CHUNK_RETRY_NS);
        }
        if (f.chunk_rows < CHUNK_ROWS)
            f.chunk_rows++;
    }
    buf_fini(&f.resume);
    buf_fini(&f.end);
    return st;
}

enum status ddl_create_index(const struct ddl_env *env, const struct create_index_stmt *s,
                             bool constraint, tstamp *out_ts, struct err *err)
{
    struct request q = {s, constraint};
    struct change what = {0};
    struct err undo_err;
    tstamp ts;
    enum status st = ST_OK;

    TRY(check_statement(s, err));
    TRY(ddl_change(env, change_add, &q, &what, out_ts, err));
    if (!what.backfill)
        return ST_OK;
    st = fill(env, &what, err);
    if (st == ST_OK)
        return ddl_change(env, change_publish, &what, NULL, out_ts, err);
    err_clear(&undo_err);
    if (ddl_change(env, change_undo, &what, NULL, &ts, &undo_err) != ST_OK)
        ddl_notice(env, undo_err.sqlstate, "WARNING",
                   "the unfinished index could not be removed: %s", undo_err.msg);
out:
    return st;
}
