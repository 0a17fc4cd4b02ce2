/*
 * catalog.h - what tables there are: descriptors, their rows, and snapshots of them all.
 *
 * A descriptor (table, columns, indexes) is one ordinary row of a system table in database 0, so a
 * read at t sees the catalog as of t. A struct catalog is an immutable snapshot, shared by reference
 * count; the cache keeps one per schema version, keyed by the `from` of the schema lease. Changing a
 * descriptor in place is only allowed to the schema change that made its private copy (sql/ddl.c).
 *
 * Threads: snapshots and the cache are used from any thread; a snapshot never changes.
 */
#ifndef MRD_SQL_CATALOG_H
#define MRD_SQL_CATALOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/keycodec.h"
#include "sql/datum.h"
#include "txn/txn.h"

enum {
    CATALOG_DATABASE = 0, /* database id of the system tables */
    CATALOG_USER_DATABASE = 1,
    CATALOG_TABLE_DESCRIPTORS = 1, /* table id -> descriptor */
    CATALOG_TABLE_META = 2,        /* counter row: next id; rewritten by every schema change */
    CATALOG_TABLE_GARBAGE = 3,     /* key ranges that nothing refers to any more */
    CATALOG_FIRST_ID = 100,        /* first id of a user's table */
    CATALOG_COLUMNS_MAX = 1600,
    CATALOG_INDEXES_MAX = 64,
    CATALOG_KEY_PARTS_MAX = 32,
    CATALOG_NAME_MAX = 63
};

struct column {
    uint32_t id; /* 1.., never reused within its table */
    const char *name;
    enum sql_type type;
    int32_t typmod; /* as type_typmod has it; -1 none */
    bool not_null;
    bool hidden;             /* the row id of a table without a primary key */
    const char *default_sql; /* text of the default expression, NULL none */
};

struct index_part {
    uint16_t column; /* position in table.columns */
    enum key_dir dir;
};

/* A write-only index is maintained by every writer and read by none. */
enum index_state { INDEX_WRITE_ONLY = 1, INDEX_PUBLIC = 2 };

struct index {
    uint32_t id; /* 1.., never reused within its table */
    const char *name;
    bool unique;
    bool primary;
    bool constraint; /* made by UNIQUE in CREATE TABLE */
    enum index_state state;
    const struct index_part *parts;
    size_t n_parts;
};

struct table {
    uint32_t id;
    uint32_t version; /* of this descriptor; stands in every row it writes */
    const char *name;
    const struct column *columns;
    size_t n_columns;
    const struct index *indexes; /* the first one is the primary key */
    size_t n_indexes;
    uint32_t next_column_id;
    uint32_t next_index_id;
};

/* Position of a visible column; -1 if there is none. */
int table_column(const struct table *t, const char *name);
const struct index *table_index(const struct table *t, const char *name);
/* True if the column is a part of the primary key. */
bool table_column_in_pk(const struct table *t, uint16_t column);

struct catalog {
    tstamp from;                       /* the schema change that made it; 0 the empty catalog */
    const struct table *const *tables; /* in order of name */
    size_t n_tables;
};

struct catalog *catalog_ref(struct catalog *c);
void catalog_unref(struct catalog *c); /* NULL is fine */
const struct table *catalog_table(const struct catalog *c, const char *name);
const struct table *catalog_table_by_id(const struct catalog *c, uint32_t id);
/* The table that has an index of this name; *out_index. NULL if there is none. */
const struct table *catalog_index(const struct catalog *c, const char *name,
                                  const struct index **out_index);

/* Reads every descriptor that the transaction sees. A reference is returned. */
enum status catalog_load(struct txn *t, enum txn_lock lock, struct catalog **out,
                         struct err *err) MRD_CHECKED;

/* Snapshots by version. */
struct catalog_cache;
struct catalog_cache *catalog_cache_new(struct txn_space *space);
void catalog_cache_free(struct catalog_cache *c);
/* The catalog under the lease that holds now, and that lease. A reference is returned. */
enum status catalog_cache_current(struct catalog_cache *c, struct txn_schema_lease *out_lease,
                                  struct catalog **out, struct err *err) MRD_CHECKED;
/* The snapshot of a version if the cache has it, else NULL. A reference is returned. */
struct catalog *catalog_cache_find(struct catalog_cache *c, tstamp from);
/* The catalog as of t. A reference is returned. */
enum status catalog_cache_as_of(struct catalog_cache *c, tstamp t, struct catalog **out,
                                struct err *err) MRD_CHECKED;

/* Inside a schema change. Ids come from a counter that only grows; taking one also marks the new version, so
 * every schema change takes at least one. */
enum status catalog_take_id(struct txn *t, uint32_t *out_id, struct err *err) MRD_CHECKED;
enum status catalog_put_table(struct txn *t, const struct table *table,
                              struct err *err) MRD_CHECKED;
enum status catalog_delete_table(struct txn *t, uint32_t id, struct err *err) MRD_CHECKED;
/* Remembers that the keys of an index are garbage from now on. index_id 0: of the whole table. */
enum status catalog_put_garbage(struct txn *t, uint32_t table_id, uint32_t index_id,
                                struct err *err) MRD_CHECKED;

/* Descriptor codec; decoding checks. The result lives in mem. */
void table_encode(struct buf *out, const struct table *t);
enum status table_decode(struct bytes in, struct arena *mem, struct table *out,
                         struct err *err) MRD_CHECKED;

#endif
