#include "sql/virtual.h"

#include "sql/deparse.h"
#include "sql/type_name.h"

struct datum *virtual_row(struct virtual_rows *out)
{
    if (out->n == out->cap) {
        size_t cap = out->cap == 0 ? 32 : out->cap * 2;
        struct datum **grown = arena_alloc(out->mem, cap * sizeof *grown);

        if (out->n > 0)
            memcpy(grown, out->rows, out->n * sizeof *grown);
        out->rows = grown;
        out->cap = cap;
    }
    out->rows[out->n] = arena_zalloc(out->mem, (out->n_columns + 1) * sizeof **out->rows);
    return out->rows[out->n++];
}

static struct datum text(const char *s)
{
    return s == NULL ? datum_null(TYPE_TEXT) : (struct datum){.type = TYPE_TEXT, .s = bytes_str(s)};
}

static struct datum number(int64_t v)
{
    return (struct datum){.type = TYPE_INT8, .i = v};
}

static struct datum flag(bool v)
{
    return (struct datum){.type = TYPE_BOOL, .b = v};
}

static void put_str(struct buf *out, const char *s)
{
    buf_put(out, s, strlen(s));
}

static void put_parts(struct buf *out, const struct table *t, const struct index *ix)
{
    put_str(out, "(");
    for (size_t i = 0; i < ix->n_parts; i++) {
        put_str(out, i > 0 ? ", " : "");
        deparse_ident(out, t->columns[ix->parts[i].column].name);
        put_str(out, ix->parts[i].dir == KEY_DESC ? " DESC" : "");
    }
    put_str(out, ")");
}

const char *index_definition(const struct table *t, const struct index *ix, struct arena *mem)
{
    struct buf out = {0};
    const char *copy;

    put_str(&out, ix->unique ? "CREATE UNIQUE INDEX " : "CREATE INDEX ");
    deparse_ident(&out, ix->name);
    put_str(&out, " ON ");
    deparse_ident(&out, t->name);
    put_str(&out, " ");
    put_parts(&out, t, ix);
    copy = arena_strndup(mem, (const char *)out.ptr, out.len);
    buf_fini(&out);
    return copy;
}

static const char *index_columns(const struct table *t, const struct index *ix, struct arena *mem)
{
    struct buf out = {0};
    const char *copy;

    put_parts(&out, t, ix);
    copy = arena_strndup(mem, (const char *)out.ptr + 1, out.len - 2);
    buf_fini(&out);
    return copy;
}

static bool hidden_key(const struct table *t)
{
    return t->columns[t->indexes[0].parts[0].column].hidden;
}

/* meridian.tables */

static const struct virtual_column tables_columns[] = {
    {"table_id", TYPE_INT8}, {"schema_name", TYPE_TEXT}, {"table_name", TYPE_TEXT},
    {"version", TYPE_INT8},  {"primary_key", TYPE_TEXT},
};

static void fill_tables(const struct catalog *c, struct virtual_rows *out)
{
    for (size_t i = 0; i < c->n_tables; i++) {
        const struct table *t = c->tables[i];
        struct datum *row = virtual_row(out);

        row[0] = number(t->id);
        row[1] = text("public");
        row[2] = text(t->name);
        row[3] = number(t->version);
        row[4] = text(hidden_key(t) ? NULL : index_columns(t, &t->indexes[0], out->mem));
    }
}

/* meridian.columns */

static const struct virtual_column columns_columns[] = {
    {"table_name", TYPE_TEXT}, {"position", TYPE_INT8},       {"column_name", TYPE_TEXT},
    {"data_type", TYPE_TEXT},  {"not_null", TYPE_BOOL},       {"column_default", TYPE_TEXT},
    {"column_id", TYPE_INT8},  {"in_primary_key", TYPE_BOOL},
};

static void fill_columns(const struct catalog *c, struct virtual_rows *out)
{
    for (size_t i = 0; i < c->n_tables; i++) {
        const struct table *t = c->tables[i];
        int64_t position = 0;

        for (uint16_t k = 0; k < t->n_columns; k++) {
            const struct column *col = &t->columns[k];
            struct datum *row;

            if (col->hidden)
                continue;
            row = virtual_row(out);
            row[0] = text(t->name);
            row[1] = number(++position);
            row[2] = text(col->name);
            row[3] = text(type_name_format(col->type, col->typmod, out->mem));
            row[4] = flag(col->not_null);
            row[5] = text(col->default_sql);
            row[6] = number(col->id);
            row[7] = flag(table_column_in_pk(t, k));
        }
    }
}

/* meridian.indexes */

static const struct virtual_column indexes_columns[] = {
    {"table_name", TYPE_TEXT}, {"index_name", TYPE_TEXT}, {"is_unique", TYPE_BOOL},
    {"is_primary", TYPE_BOOL}, {"state", TYPE_TEXT},      {"columns", TYPE_TEXT},
    {"definition", TYPE_TEXT}, {"index_id", TYPE_INT8},
};

static void fill_indexes(const struct catalog *c, struct virtual_rows *out)
{
    for (size_t i = 0; i < c->n_tables; i++) {
        const struct table *t = c->tables[i];

        for (size_t k = hidden_key(t) ? 1 : 0; k < t->n_indexes; k++) {
            const struct index *ix = &t->indexes[k];
            struct datum *row = virtual_row(out);

            row[0] = text(t->name);
            row[1] = text(ix->name);
            row[2] = flag(ix->unique);
            row[3] = flag(ix->primary);
            row[4] = text(ix->state == INDEX_PUBLIC ? "public" : "write only");
            row[5] = text(index_columns(t, ix, out->mem));
            row[6] = text(index_definition(t, ix, out->mem));
            row[7] = number(ix->id);
        }
    }
}

#define COLUMNS(c) c, sizeof(c) / sizeof((c)[0])
static const struct virtual_table virtual_tables[] = {
    {"meridian", "tables", COLUMNS(tables_columns), fill_tables},
    {"meridian", "columns", COLUMNS(columns_columns), fill_columns},
    {"meridian", "indexes", COLUMNS(indexes_columns), fill_indexes},
};

const struct virtual_table *virtual_table_find(const char *schema, const char *name)
{
    if (schema == NULL)
        return NULL;
    for (size_t i = 0; i < sizeof virtual_tables / sizeof virtual_tables[0]; i++) {
        const struct virtual_table *v = &virtual_tables[i];

        if (strcmp(v->schema, schema) == 0 && strcmp(v->name, name) == 0)
            return v;
    }
    return NULL;
}
