#include "sql/catalog.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

enum { DESCRIPTOR_FORMAT = 1, META_FORMAT = 1, META_KEY_IDS = 1 };

/* A snapshot and everything that it points to. */
struct snapshot {
    struct catalog pub;
    _Atomic int refs;
    struct arena mem;
};

struct catalog *catalog_ref(struct catalog *c)
{
    struct snapshot *s = (struct snapshot *)c;

    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return c;
}

void catalog_unref(struct catalog *c)
{
    struct snapshot *s = (struct snapshot *)c;

    if (s == NULL || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
        return;
    arena_fini(&s->mem);
    free(s);
}

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

const struct table *catalog_table(const struct catalog *c, const char *name)
{
    size_t lo = 0, hi = c->n_tables;

    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        int cmp = strcmp(c->tables[mid]->name, name);

        if (cmp == 0)
            return c->tables[mid];
        if (cmp < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

const struct table *catalog_table_by_id(const struct catalog *c, uint32_t id)
{
    for (size_t i = 0; i < c->n_tables; i++) {
        if (c->tables[i]->id == id)
            return c->tables[i];
    }
    return NULL;
}

const struct table *catalog_index(const struct catalog *c, const char *name,
                                  const struct index **out_index)
{
    for (size_t i = 0; i < c->n_tables; i++) {
        const struct index *ix = table_index(c->tables[i], name);

        if (ix != NULL) {
            *out_index = ix;
            return c->tables[i];
        }
    }
    return NULL;
}

/* Descriptors */

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

/* System rows */

static void system_prefix(struct buf *key, unsigned table)
{
    key_put_id(key, CATALOG_DATABASE);
    key_put_id(key, table);
    key_put_id(key, 1);
}

static void descriptor_key(struct buf *key, uint32_t id)
{
    system_prefix(key, CATALOG_TABLE_DESCRIPTORS);
    key_put_int(key, id, KEY_ASC);
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const struct table *const *)a)->name, (*(const struct table *const *)b)->name);
}

/* Scans the descriptors into the snapshot's memory. */
static enum status load_tables(struct txn *t, enum txn_lock lock, struct snapshot *s,
                               struct err *err)
{
    enum status st = ST_OK;
    struct buf start = {0}, end = {0};
    struct txn_scan *scan = NULL;
    struct bytes key, value;
    const struct table **tables = NULL;
    size_t cap = 0, n = 0;

    system_prefix(&start, CATALOG_TABLE_DESCRIPTORS);
    system_prefix(&end, CATALOG_TABLE_DESCRIPTORS);
    ASSERT(key_prefix_end(&end));
    TRY(txn_scan_open(t,
                      &(struct txn_scan_options){
                          .start = buf_bytes(&start), .end = buf_bytes(&end), .lock = lock},
                      &scan, err));
    while ((st = txn_scan_next(scan, &key, &value, err)) == ST_OK) {
        struct table *table = arena_zalloc(&s->mem, sizeof *table);

        TRY(table_decode(value, &s->mem, table, err));
        if (n == cap) {
            cap = cap == 0 ? 16 : cap * 2;
            tables = xrealloc(tables, cap * sizeof *tables);
        }
        tables[n++] = table;
    }
    if (st != ST_NOTFOUND)
        goto out;
    st = ST_OK;
    if (n > 0) {
        qsort(tables, n, sizeof *tables, by_name);
        s->pub.tables =
            (const struct table *const *)arena_copy(&s->mem, bytes_of(tables, n * sizeof *tables))
                .ptr;
    }
    s->pub.n_tables = n;
out:
    txn_scan_close(scan);
    free(tables);
    buf_fini(&start);
    buf_fini(&end);
    return st;
}

static void meta_key(struct buf *key)
{
    system_prefix(key, CATALOG_TABLE_META);
    key_put_int(key, META_KEY_IDS, KEY_ASC);
}

/* The meta row is rewritten by every schema change: its timestamp is the version of the catalog. */
static enum status read_meta(struct txn *t, enum txn_lock lock, uint32_t *out_next, tstamp *out_ts,
                             struct err *err)
{
    enum status st = ST_OK;
    struct buf key = {0};
    struct arena mem;
    struct bytes value;

    arena_init(&mem, 0);
    meta_key(&key);
    *out_next = CATALOG_FIRST_ID;
    *out_ts = 0;
    st = txn_get(t, buf_bytes(&key), lock, &mem, &value, out_ts, err);
    if (st == ST_NOTFOUND) {
        st = ST_OK;
    } else if (st == ST_OK) {
        struct rd r = rd_of(value);

        if (rd_u8(&r) != META_FORMAT)
            r.bad = true;
        *out_next = (uint32_t)rd_varint(&r);
        if (r.bad)
            st = err_set(err, ST_REJECT, SQLSTATE_DATA_CORRUPTED,
                         "the catalog's counter is damaged or of an unknown format");
    }
    arena_fini(&mem);
    buf_fini(&key);
    return st;
}

enum status catalog_load(struct txn *t, enum txn_lock lock, struct catalog **out, struct err *err)
{
    enum status st = ST_OK;
    struct snapshot *s = xcalloc(1, sizeof *s);
    uint32_t next;

    atomic_init(&s->refs, 1);
    arena_init(&s->mem, 0);
    TRY(read_meta(t, lock, &next, &s->pub.from, err));
    TRY(load_tables(t, lock, s, err));
    *out = &s->pub;
    return ST_OK;
out:
    catalog_unref(&s->pub);
    return st;
}

enum status catalog_take_id(struct txn *t, uint32_t *out_id, struct err *err)
{
    enum status st = ST_OK;
    struct buf key = {0}, value = {0};
    uint32_t next;
    tstamp ts;

    TRY(read_meta(t, TXN_LOCK_EXCLUSIVE, &next, &ts, err));
    meta_key(&key);
    buf_put_u8(&value, META_FORMAT);
    buf_put_varint(&value, next + 1);
    TRY(txn_put(t, buf_bytes(&key), buf_bytes(&value), err));
    *out_id = next;
out:
    buf_fini(&key);
    buf_fini(&value);
    return st;
}

enum status catalog_put_table(struct txn *t, const struct table *table, struct err *err)
{
    struct buf key = {0}, value = {0};
    enum status st;

    descriptor_key(&key, table->id);
    table_encode(&value, table);
    st = txn_put(t, buf_bytes(&key), buf_bytes(&value), err);
    buf_fini(&key);
    buf_fini(&value);
    return st;
}

enum status catalog_delete_table(struct txn *t, uint32_t id, struct err *err)
{
    struct buf key = {0};
    enum status st;

    descriptor_key(&key, id);
    st = txn_delete(t, buf_bytes(&key), err);
    buf_fini(&key);
    return st;
}

enum status catalog_put_garbage(struct txn *t, uint32_t table_id, uint32_t index_id,
                                struct err *err)
{
    struct buf key = {0};
    uint8_t format = META_FORMAT;
    enum status st;

    system_prefix(&key, CATALOG_TABLE_GARBAGE);
    key_put_int(&key, table_id, KEY_ASC);
    key_put_int(&key, index_id, KEY_ASC);
    st = txn_put(t, buf_bytes(&key), bytes_of(&format, 1), err);
    buf_fini(&key);
    return st;
}
