#include "sql/catalog.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

enum { META_FORMAT = 1, META_KEY_IDS = 1 };

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
