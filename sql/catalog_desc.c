/* A table's descriptor: what stands in it, and its bytes. */
#include <string.h>

#include "sql/catalog.h"

enum { DESCRIPTOR_FORMAT = 1 };

int table_column(const struct table *t, const char *name)
{
    for (size_t i = 0; i < t->n_columns; i++) {
        if (!t->columns[i].hidden && strcmp(t->columns[i].name, name) == 0)
            return (int)i;
    }
    return -1;
}

const struct index *table_index(const struct table *t, const char *name)
{
    for (size_t i = 0; i < t->n_indexes; i++) {
        if (strcmp(t->indexes[i].name, name) == 0)
            return &t->indexes[i];
    }
    return NULL;
}

bool table_column_in_pk(const struct table *t, uint16_t column)
{
    const struct index *pk = &t->indexes[0];

    for (size_t i = 0; i < pk->n_parts; i++) {
        if (pk->parts[i].column == column)
            return true;
    }
    return false;
}

static void put_string(struct buf *out, const char *s)
{
    buf_put_bytes(out, bytes_str(s));
}

static void encode_column(struct buf *out, const struct column *c)
{
    buf_put_varint(out, c->id);
    put_string(out, c->name);
    buf_put_varint(out, type_info(c->type)->oid);
    buf_put_u32(out, (uint32_t)c->typmod);
    buf_put_u8(out, (uint8_t)((c->not_null ? 1 : 0) | (c->hidden ? 2 : 0) |
                              (c->default_sql != NULL ? 4 : 0)));
    if (c->default_sql != NULL)
        put_string(out, c->default_sql);
}

static void encode_index(struct buf *out, const struct index *ix)
{
    buf_put_varint(out, ix->id);
    put_string(out, ix->name);
    buf_put_u8(out,
               (uint8_t)((ix->unique ? 1 : 0) | (ix->primary ? 2 : 0) | (ix->constraint ? 4 : 0)));
    buf_put_u8(out, (uint8_t)ix->state);
    buf_put_varint(out, ix->n_parts);
    for (size_t i = 0; i < ix->n_parts; i++) {
        buf_put_varint(out, ix->parts[i].column);
        buf_put_u8(out, (uint8_t)ix->parts[i].dir);
    }
}

void table_encode(struct buf *out, const struct table *t)
{
    buf_put_u8(out, DESCRIPTOR_FORMAT);
    buf_put_varint(out, t->id);
    buf_put_varint(out, t->version);
    put_string(out, t->name);
    buf_put_varint(out, t->next_column_id);
    buf_put_varint(out, t->next_index_id);
    buf_put_varint(out, t->n_columns);
    for (size_t i = 0; i < t->n_columns; i++)
        encode_column(out, &t->columns[i]);
    buf_put_varint(out, t->n_indexes);
    for (size_t i = 0; i < t->n_indexes; i++)
        encode_index(out, &t->indexes[i]);
}

static const char *get_string(struct rd *r, struct arena *mem)
{
    struct bytes s = rd_bytes(r);

    return arena_strndup(mem, (const char *)s.ptr, s.len);
}

/* A count that cannot exceed `max`; too large marks the input as bad. */
static size_t get_count(struct rd *r, size_t max)
{
    uint64_t n = rd_varint(r);

    if (n > max) {
        r->bad = true;
        return 0;
    }
    return (size_t)n;
}

static void decode_column(struct rd *r, struct arena *mem, struct column *out)
{
    uint8_t flags;

    out->id = (uint32_t)rd_varint(r);
    out->name = get_string(r, mem);
    out->type = type_by_oid((uint32_t)rd_varint(r));
    out->typmod = (int32_t)rd_u32(r);
    flags = rd_u8(r);
    out->not_null = (flags & 1) != 0;
    out->hidden = (flags & 2) != 0;
    out->default_sql = (flags & 4) != 0 ? get_string(r, mem) : NULL;
    if (out->type == TYPE_UNKNOWN || (flags & ~7u) != 0)
        r->bad = true;
}

static void decode_index(struct rd *r, struct arena *mem, size_t n_columns, struct index *out)
{
    struct index_part *parts;
    uint8_t flags, state;

    out->id = (uint32_t)rd_varint(r);
    out->name = get_string(r, mem);
    flags = rd_u8(r);
    out->unique = (flags & 1) != 0;
    out->primary = (flags & 2) != 0;
    out->constraint = (flags & 4) != 0;
    state = rd_u8(r);
    out->state = state == INDEX_PUBLIC ? INDEX_PUBLIC : INDEX_WRITE_ONLY;
    out->n_parts = get_count(r, CATALOG_KEY_PARTS_MAX);
    parts = arena_zalloc(mem, sizeof *parts * (out->n_parts + 1));
    for (size_t i = 0; i < out->n_parts; i++) {
        uint64_t column = rd_varint(r);
        uint8_t dir = rd_u8(r);

        if (column >= n_columns || dir > KEY_DESC)
            r->bad = true;
        parts[i].column = (uint16_t)column;
        parts[i].dir = dir == KEY_DESC ? KEY_DESC : KEY_ASC;
    }
    out->parts = parts;
    if (state != INDEX_PUBLIC && state != INDEX_WRITE_ONLY)
        r->bad = true;
}

enum status table_decode(struct bytes in, struct arena *mem, struct table *out, struct err *err)
{
    struct rd r = rd_of(in);
    uint8_t format = rd_u8(&r);
    struct column *columns;
    struct index *indexes;
    struct table t = {0};

    t.id = (uint32_t)rd_varint(&r);
    t.version = (uint32_t)rd_varint(&r);
    t.name = get_string(&r, mem);
    t.next_column_id = (uint32_t)rd_varint(&r);
    t.next_index_id = (uint32_t)rd_varint(&r);
    t.n_columns = format == DESCRIPTOR_FORMAT ? get_count(&r, CATALOG_COLUMNS_MAX) : 0;
    columns = arena_zalloc(mem, sizeof *columns * (t.n_columns + 1));
    for (size_t i = 0; i < t.n_columns && !r.bad; i++)
        decode_column(&r, mem, &columns[i]);
    t.n_indexes = get_count(&r, CATALOG_INDEXES_MAX);
    indexes = arena_zalloc(mem, sizeof *indexes * (t.n_indexes + 1));
    for (size_t i = 0; i < t.n_indexes && !r.bad; i++)
        decode_index(&r, mem, t.n_columns, &indexes[i]);
    if (r.bad || format != DESCRIPTOR_FORMAT || rd_left(&r) != 0 || t.n_indexes == 0 ||
        !indexes[0].primary)
        return err_set(err, ST_REJECT, SQLSTATE_DATA_CORRUPTED,
                       "a table descriptor is damaged or of an unknown format");
    t.columns = columns;
    t.indexes = indexes;
    *out = t;
    return ST_OK;
}
