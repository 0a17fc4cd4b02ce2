#include "sql/ddl.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/check.h"
#include "base/clock.h"
#include "sql/ddl_int.h"

enum { CHANGE_TRIES = 50, RETRY_NS = 2 * NS_PER_MS };

void ddl_notice(const struct ddl_env *env, const char *sqlstate, const char *severity,
                const char *fmt, ...)
{
    char text[200];
    struct err note;
    va_list args;

    if (env->notice == NULL)
        return;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    err_clear(&note);
    (void)err_set(&note, ST_OK, sqlstate, "%s", text);
    env->notice(env->notice_arg, &note, severity);
}

static enum status try_change(const struct ddl_env *env, change_fn fn, const void *arg,
                              struct change *io_fill, tstamp age, tstamp *out_age, tstamp *out_ts,
                              struct err *err)
{
    enum status st = ST_OK;
    struct arena mem;
    struct change c = {.env = env, .mem = &mem};

    arena_init(&mem, env->memory);
    TRY(txn_begin(env->space,
                  &(struct txn_options){.mode = TXN_READ_WRITE, .age = age, .cancel = env->cancel},
                  &c.txn, err));
    *out_age = txn_id_of(c.txn).start;
    TRY(txn_schema_change(c.txn, err));
    TRY(catalog_load(c.txn, TXN_LOCK_SHARED, &c.catalog, err));
    TRY(fn(&c, arg, err));
    *out_ts = 0;
    if (c.changed)
        TRY(txn_commit_wait(c.txn, out_ts, err));
    else
        txn_rollback(c.txn);
    if (io_fill != NULL) {
        io_fill->table_id = c.table_id;
        io_fill->index_id = c.index_id;
        io_fill->backfill = c.backfill;
    }
out:
    catalog_unref(c.catalog);
    txn_free(c.txn);
    arena_fini(&mem);
    return st;
}

enum status ddl_change(const struct ddl_env *env, change_fn fn, const void *arg,
                       struct change *io_fill, tstamp *out_ts, struct err *err)
{
    tstamp age = 0;
    enum status st = ST_OK;

    for (int i = 0; i < CHANGE_TRIES; i++) {
        st = try_change(env, fn, arg, io_fill, age, &age, out_ts, err);
        if (st != ST_ABORT)
            return st;
        mono_sleep_until(mono_now() + RETRY_NS);
    }
    return st;
}

bool name_taken(const struct catalog *c, const char *name)
{
    const struct index *ix;

    return catalog_table(c, name) != NULL || catalog_index(c, name, &ix) != NULL;
}

const char *free_name(struct change *c, const char *base)
{
    const char *name = arena_strndup(c->mem, base, strnlen(base, CATALOG_NAME_MAX));

    for (int i = 1; name_taken(c->catalog, name); i++)
        name = arena_printf(c->mem, "%.*s%d", CATALOG_NAME_MAX - 10, base, i);
    return name;
}

struct table *table_copy(struct change *c, const struct table *t, size_t more_indexes)
{
    struct table *copy = arena_alloc(c->mem, sizeof *copy);
    struct index *indexes = arena_zalloc(c->mem, (t->n_indexes + more_indexes) * sizeof *indexes);

    *copy = *t;
    memcpy(indexes, t->indexes, t->n_indexes * sizeof *indexes);
    copy->indexes = indexes;
    return copy;
}

enum status put_table(struct change *c, struct table *t, struct err *err)
{
    uint32_t mark;
    enum status st = ST_OK;

    /* The counter row carries the catalog's version: every change rewrites it. */
    if (!c->changed)
        TRY(catalog_take_id(c->txn, &mark, err));
    t->version++;
    c->changed = true;
    TRY(catalog_put_table(c->txn, t, err));
out:
    return st;
}

/* DROP */

static enum status missing(const struct change *c, const struct drop_stmt *s,
                           const struct qual_name *name, struct err *err)
{
    const char *what = s->drop == DROP_INDEX ? "index" : s->drop == DROP_VIEW ? "view" : "table";

    if (s->if_exists) {
        ddl_notice(c->env, SQLSTATE_OK, "NOTICE", "%s \"%s\" does not exist, skipping", what,
                   name->name);
        return ST_OK;
    }
    return err_set(err, ST_REJECT,
                   s->drop == DROP_INDEX ? SQLSTATE_UNDEFINED_OBJECT : SQLSTATE_UNDEFINED_TABLE,
                   "%s \"%s\" does not exist", what, name->name);
}

static enum status drop_table(struct change *c, const struct drop_stmt *s,
                              const struct qual_name *name, struct err *err)
{
    const struct table *t = catalog_table(c->catalog, name->name);
    const struct index *ix;
    uint32_t mark;
    enum status st = ST_OK;

    if (t == NULL && s->drop == DROP_TABLE && catalog_index(c->catalog, name->name, &ix) != NULL)
        return err_set(err, ST_REJECT, SQLSTATE_WRONG_OBJECT_TYPE, "\"%s\" is not a table",
                       name->name);
    if (t == NULL)
        return missing(c, s, name, err);
    if (s->drop == DROP_VIEW)
        return err_set(err, ST_REJECT, SQLSTATE_WRONG_OBJECT_TYPE, "\"%s\" is not a view",
                       name->name);
    if (!c->changed)
        TRY(catalog_take_id(c->txn, &mark, err));
    c->changed = true;
    TRY(catalog_delete_table(c->txn, t->id, err));
    TRY(catalog_put_garbage(c->txn, t->id, 0, err));
out:
    return st;
}

static enum status drop_index(struct change *c, const struct drop_stmt *s,
                              const struct qual_name *name, struct err *err)
{
    const struct index *ix = NULL;
    const struct table *t = catalog_index(c->catalog, name->name, &ix);
    struct table *copy;
    struct index *indexes;
    enum status st = ST_OK;

    if (t == NULL)
        return missing(c, s, name, err);
    if (ix->primary || ix->constraint) {
        (void)err_set(err, ST_REJECT, SQLSTATE_DEPENDENT_OBJECTS_STILL_EXIST,
                      "cannot drop index %s because constraint %s on table %s requires it",
                      ix->name, ix->name, t->name);
        return err != NULL ? err_hint(err, "You can drop constraint %s on table %s instead.",
                                      ix->name, t->name)
                           : ST_REJECT;
    }
    copy = table_copy(c, t, 0);
    indexes = arena_alloc(c->mem, t->n_indexes * sizeof *indexes);
    copy->n_indexes = 0;
    for (size_t i = 0; i < t->n_indexes; i++) {
        if (&t->indexes[i] != ix)
            indexes[copy->n_indexes++] = t->indexes[i];
    }
    copy->indexes = indexes;
    TRY(put_table(c, copy, err));
    TRY(catalog_put_garbage(c->txn, t->id, ix->id, err));
out:
    return st;
}

static enum status change_drop(struct change *c, const void *arg, struct err *err)
{
    const struct drop_stmt *s = arg;

    for (size_t i = 0; i < s->names.n; i++) {
        const struct qual_name *name = &s->names.items[i];
        enum status st =
            s->drop == DROP_INDEX ? drop_index(c, s, name, err) : drop_table(c, s, name, err);

        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

/* TRUNCATE: the same table with new index ids; what stood under the old ones is garbage. */
static enum status change_truncate(struct change *c, const void *arg, struct err *err)
{
    const struct truncate_stmt *s = arg;
    enum status st = ST_OK;

    for (size_t i = 0; i < s->tables.n; i++) {
        const struct table *t = catalog_table(c->catalog, s->tables.items[i].name);
        struct table *copy;
        struct index *indexes;

        if (t == NULL) {
            (void)err_set(err, ST_REJECT, SQLSTATE_UNDEFINED_TABLE,
                          "relation \"%s\" does not exist", s->tables.items[i].name);
            return err != NULL ? err_position(err, s->tables.items[i].pos) : ST_REJECT;
        }
        copy = table_copy(c, t, 0);
        indexes = arena_alloc(c->mem, t->n_indexes * sizeof *indexes);
        memcpy(indexes, t->indexes, t->n_indexes * sizeof *indexes);
        for (size_t k = 0; k < t->n_indexes; k++) {
            if (indexes[k].state != INDEX_PUBLIC)
                return err_set(err, ST_REJECT, SQLSTATE_OBJECT_IN_USE,
                               "index \"%s\" of table \"%s\" is being made", indexes[k].name,
                               t->name);
            TRY(catalog_put_garbage(c->txn, t->id, indexes[k].id, err));
            indexes[k].id = copy->next_index_id++;
        }
        copy->indexes = indexes;
        TRY(put_table(c, copy, err));
    }
out:
    return st;
}

/* ALTER TABLE ... ADD UNIQUE is an index by another name. */
static enum status alter_table(const struct ddl_env *env, const struct alter_table_stmt *s,
                               tstamp *out_ts, struct err *err)
{
    enum status st = ST_OK;

    for (size_t i = 0; i < s->n_actions; i++) {
        const struct table_constraint *con = &s->actions[i].constraint;
        struct create_index_stmt ix = {
            .unique = true, .name = con->name, .table = s->table, .pos = con->pos};
        struct index_column columns[CATALOG_KEY_PARTS_MAX];
        struct expr exprs[CATALOG_KEY_PARTS_MAX];

        if (con->kind != TABLE_UNIQUE || con->columns.n > CATALOG_KEY_PARTS_MAX) {
            (void)err_set(err, ST_REJECT, SQLSTATE_FEATURE_NOT_SUPPORTED,
                          "this ALTER TABLE is not supported");
            return err != NULL ? err_position(err, s->actions[i].pos) : ST_REJECT;
        }
        for (size_t c = 0; c < con->columns.n; c++) {
            exprs[c] = (struct expr){.kind = EXPR_COLUMN, .pos = con->columns.items[c].pos};
            exprs[c].column.n_names = 1;
            exprs[c].column.names[0] = con->columns.items[c].name;
            columns[c] = (struct index_column){.expr = &exprs[c], .pos = exprs[c].pos};
        }
        ix.columns = columns;
        ix.n_columns = con->columns.n;
        TRY(ddl_create_index(env, &ix, true, out_ts, err));
    }
out:
    return st;
}

const char *ddl_tag(const struct stmt *stmt)
{
    switch (stmt->kind) {
    case STMT_CREATE_TABLE:
        return "CREATE TABLE";
    case STMT_CREATE_INDEX:
        return "CREATE INDEX";
    case STMT_TRUNCATE:
        return "TRUNCATE TABLE";
    case STMT_ALTER_TABLE:
        return "ALTER TABLE";
    case STMT_DROP:
        return stmt->drop->drop == DROP_INDEX  ? "DROP INDEX"
               : stmt->drop->drop == DROP_VIEW ? "DROP VIEW"
                                               : "DROP TABLE";
    case STMT_SELECT:
    case STMT_INSERT:
    case STMT_UPDATE:
    case STMT_DELETE:
    case STMT_TXN:
    case STMT_SET:
    case STMT_SHOW:
    case STMT_PREPARE:
    case STMT_EXECUTE:
    case STMT_DEALLOCATE:
    case STMT_EXPLAIN:
    case STMT_MAINTENANCE:
        break;
    }
    return NULL;
}

enum status ddl_run(const struct ddl_env *env, const struct stmt *stmt, tstamp *out_ts,
                    struct err *err)
{
    *out_ts = 0;
    if (stmt->kind == STMT_CREATE_TABLE)
        return ddl_change(env, ddl_create_table, stmt->create_table, NULL, out_ts, err);
    if (stmt->kind == STMT_DROP)
        return ddl_change(env, change_drop, stmt->drop, NULL, out_ts, err);
    if (stmt->kind == STMT_TRUNCATE)
        return ddl_change(env, change_truncate, stmt->truncate, NULL, out_ts, err);
    if (stmt->kind == STMT_ALTER_TABLE)
        return alter_table(env, stmt->alter_table, out_ts, err);
    ASSERT(stmt->kind == STMT_CREATE_INDEX);
    return ddl_create_index(env, stmt->create_index, false, out_ts, err);
}
