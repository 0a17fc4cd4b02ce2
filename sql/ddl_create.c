/* CREATE TABLE. */
#include <stdio.h>

#include "base/check.h"
#include "sql/ddl_int.h"
#include "sql/deparse.h"
#include "sql/row.h"
#include "sql/type_name.h"

/* A table on its way into the catalog. */
struct building {
    struct change *c;
    const struct create_table_stmt *s;
    struct table *t;
    struct column *columns;
    struct index *indexes;
    bool has_pk;
};

static enum status at(struct err *err, int pos)
{
    return err != NULL ? err_position(err, pos) : ST_REJECT;
}

static enum status unsupported(struct err *err, int pos, const char *what)
{
    (void)err_set(err, ST_REJECT, SQLSTATE_FEATURE_NOT_SUPPORTED, "%s is not supported", what);
    return at(err, pos);
}

static enum status check_key_columns(const struct building *b, const struct ident_list *names,
                                     struct index_part *out, struct err *err)
{
    for (size_t i = 0; i < names->n; i++) {
        int col = table_column(b->t, names->items[i].name);

        if (col < 0) {
            (void)err_set(err, ST_REJECT, SQLSTATE_UNDEFINED_COLUMN,
                          "column \"%s\" named in key does not exist", names->items[i].name);
            return at(err, names->items[i].pos);
        }
        for (size_t j = 0; j < i; j++) {
            if (out[j].column == col) {
                (void)err_set(err, ST_REJECT, SQLSTATE_DUPLICATE_COLUMN,
                              "column \"%s\" appears twice in primary key constraint",
                              names->items[i].name);
                return at(err, names->items[i].pos);
            }
        }
        out[i] = (struct index_part){(uint16_t)col, KEY_ASC};
    }
    return ST_OK;
}

static const char *unique_name(struct building *b, const struct ident_list *names)
{
    struct buf name = {0};
    const char *copy;

    buf_put(&name, b->t->name, strlen(b->t->name));
    for (size_t i = 0; i < names->n; i++) {
        buf_put_u8(&name, '_');
        buf_put(&name, names->items[i].name, strlen(names->items[i].name));
    }
    buf_put(&name, "_key", 4);
    copy = arena_strndup(b->c->mem, (const char *)name.ptr, name.len);
    buf_fini(&name);
    return free_name(b->c, copy);
}

static enum status add_key(struct building *b, bool primary, const char *name,
                           const struct ident_list *names, int pos, struct err *err)
{
    struct index_part *parts = arena_alloc(b->c->mem, (names->n + 1) * sizeof *parts);
    struct index *ix;
    enum status st = ST_OK;

    if (names->n > CATALOG_KEY_PARTS_MAX || b->t->n_indexes == CATALOG_INDEXES_MAX) {
        (void)err_set(err, ST_REJECT, SQLSTATE_PROGRAM_LIMIT_EXCEEDED,
                      "a table may have at most %d indexes of at most %d columns",
                      CATALOG_INDEXES_MAX, CATALOG_KEY_PARTS_MAX);
        return at(err, pos);
    }
    if (primary && b->has_pk) {
        (void)err_set(err, ST_REJECT, SQLSTATE_INVALID_TABLE_DEFINITION,
                      "multiple primary keys for table \"%s\" are not allowed", b->t->name);
        return at(err, pos);
    }
    TRY(check_key_columns(b, names, parts, err));
    /* The primary key is index 0 whatever came before it in the text. */
    ix = primary ? &b->indexes[0] : &b->indexes[b->t->n_indexes++];
    b->has_pk |= primary;
    *ix = (struct index){.name = name,
                         .unique = true,
                         .primary = primary,
                         .constraint = true,
                         .state = INDEX_PUBLIC,
                         .parts = parts,
                         .n_parts = names->n};
    if (name == NULL)
        ix->name = primary ? free_name(b->c, arena_printf(b->c->mem, "%s_pkey", b->t->name))
                           : unique_name(b, names);
    else if (name_taken(b->c->catalog, name))
        return err_set(err, ST_REJECT, SQLSTATE_DUPLICATE_TABLE, "relation \"%s\" already exists",
                       name);
    for (size_t i = 0; primary && i < names->n; i++)
        b->columns[parts[i].column].not_null = true;
out:
    return st;
}

static enum status set_default(struct building *b, struct column *c, const struct expr *e,
                               struct err *err)
{
    struct bind_options opts = {
        .catalog = b->c->catalog, .env = b->c->env->env, .mem = b->c->mem, .params = NULL};
    struct bx *bound;
    enum status st = ST_OK;

    TRY(bind_value(&opts, e, c->type, c->typmod, &bound, err));
    c->default_sql = deparse_expr(e, b->c->mem);
out:
    return st;
}

static enum status column_constraint(struct building *b, struct column *c,
                                     const struct column_constraint *k, struct err *err)
{
    struct ident id = {c->name, k->pos};
    struct ident_list one = {&id, 1};

    switch (k->kind) {
    case COLUMN_NOT_NULL:
        c->not_null = true;
        return ST_OK;
    case COLUMN_NULL:
        return ST_OK;
    case COLUMN_DEFAULT:
        return set_default(b, c, k->expr, err);
    case COLUMN_PRIMARY_KEY:
        return add_key(b, true, k->name, &one, k->pos, err);
    case COLUMN_UNIQUE:
        return add_key(b, false, k->name, &one, k->pos, err);
    case COLUMN_CHECK:
        return unsupported(err, k->pos, "CHECK");
    case COLUMN_REFERENCES:
        return unsupported(err, k->pos, "REFERENCES");
    }
    return ST_OK;
}

static enum status add_column(struct building *b, const struct column_def *def, struct err *err)
{
    struct column *c = &b->columns[b->t->n_columns];
    enum status st = ST_OK;

    if (table_column(b->t, def->name.name) >= 0) {
        (void)err_set(err, ST_REJECT, SQLSTATE_DUPLICATE_COLUMN,
                      "column \"%s\" specified more than once", def->name.name);
        return at(err, def->name.pos);
    }
    *c = (struct column){.id = b->t->next_column_id++, .name = def->name.name, .typmod = -1};
    TRY(type_name_resolve(&def->type, &c->type, &c->typmod, err));
    if (c->type == TYPE_UNKNOWN) {
        (void)err_set(err, ST_REJECT, SQLSTATE_INVALID_TABLE_DEFINITION,
                      "column \"%s\" has pseudo-type unknown", c->name);
        return at(err, def->type.pos);
    }
    b->t->n_columns++;
    for (size_t i = 0; i < def->n_constraints; i++)
        TRY(column_constraint(b, c, &def->constraints[i], err));
out:
    return st;
}

static enum status table_constraint(struct building *b, const struct table_constraint *k,
                                    struct err *err)
{
    switch (k->kind) {
    case TABLE_PRIMARY_KEY:
        return add_key(b, true, k->name, &k->columns, k->pos, err);
    case TABLE_UNIQUE:
        return add_key(b, false, k->name, &k->columns, k->pos, err);
    case TABLE_CHECK:
        return unsupported(err, k->pos, "CHECK");
    case TABLE_FOREIGN_KEY:
        return unsupported(err, k->pos, "FOREIGN KEY");
    }
    return ST_OK;
}

/* A table without a primary key is ordered by a hidden row id: time of insertion, and a number to make it unique. */
static void add_row_id(struct building *b)
{
    struct index_part *part = arena_alloc(b->c->mem, sizeof *part);

    b->columns[b->t->n_columns] = (struct column){.id = b->t->next_column_id++,
                                                  .name = "rowid",
                                                  .type = TYPE_BYTEA,
                                                  .typmod = -1,
                                                  .not_null = true,
                                                  .hidden = true};
    *part = (struct index_part){(uint16_t)b->t->n_columns++, KEY_ASC};
    b->indexes[0] =
        (struct index){.name = free_name(b->c, arena_printf(b->c->mem, "%s_rowid", b->t->name)),
                       .unique = true,
                       .primary = true,
                       .constraint = true,
                       .state = INDEX_PUBLIC,
                       .parts = part,
                       .n_parts = 1};
}

static enum status build(struct building *b, struct err *err)
{
    const struct create_table_stmt *s = b->s;
    enum status st = ST_OK;

    for (size_t i = 0; i < s->n_columns; i++)
        TRY(add_column(b, &s->columns[i], err));
    for (size_t i = 0; i < s->n_constraints; i++)
        TRY(table_constraint(b, &s->constraints[i], err));
    if (!b->has_pk)
        add_row_id(b);
    for (size_t i = 0; i < b->t->n_indexes; i++)
        b->indexes[i].id = b->t->next_index_id++;
out:
    return st;
}

static enum status check_name(struct change *c, const struct create_table_stmt *s, bool *out_skip,
                              struct err *err)
{
    *out_skip = false;
    if (s->table.schema != NULL && strcmp(s->table.schema, "public") != 0) {
        (void)err_set(err, ST_REJECT, SQLSTATE_INVALID_SCHEMA_NAME, "schema \"%s\" does not exist",
                      s->table.schema);
        return at(err, s->table.pos);
    }
    if (!name_taken(c->catalog, s->table.name))
        return ST_OK;
    if (!s->if_not_exists)
        return err_set(err, ST_REJECT, SQLSTATE_DUPLICATE_TABLE, "relation \"%s\" already exists",
                       s->table.name);
    ddl_notice(c->env, SQLSTATE_DUPLICATE_TABLE, "NOTICE",
               "relation \"%s\" already exists, skipping", s->table.name);
    *out_skip = true;
    return ST_OK;
}

enum status ddl_create_table(struct change *c, const void *stmt, struct err *err)
{
    const struct create_table_stmt *s = stmt;
    struct building b = {.c = c, .s = s};
    bool skip;
    enum status st = ST_OK;

    if (s->temporary)
        return unsupported(err, s->table.pos, "a temporary table");
    if (s->n_columns > CATALOG_COLUMNS_MAX - 1)
        return err_set(err, ST_REJECT, SQLSTATE_TOO_MANY_COLUMNS,
                       "tables can have at most %d columns", CATALOG_COLUMNS_MAX - 1);
    TRY(check_name(c, s, &skip, err));
    if (skip)
        return ST_OK;
    b.t = arena_zalloc(c->mem, sizeof *b.t);
    b.columns = arena_zalloc(c->mem, (s->n_columns + 1) * sizeof *b.columns);
    b.indexes = arena_zalloc(c->mem, (CATALOG_INDEXES_MAX + 1) * sizeof *b.indexes);
    b.t->name = s->table.name;
    b.t->columns = b.columns;
    b.t->indexes = b.indexes;
    b.t->n_indexes = 1;
    b.t->next_column_id = 1;
    b.t->next_index_id = 1;
    TRY(build(&b, err));
    TRY(catalog_take_id(c->txn, &b.t->id, err));
    c->changed = true;
    TRY(put_table(c, b.t, err));
out:
    return st;
}
