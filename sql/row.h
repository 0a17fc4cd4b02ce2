/*
 * row.h - rows and index entries as bytes: keys, values, and back.
 *
 * Key: database id, table id, index id, then the parts of the index in order-preserving code. A
 * non-unique index appends the primary key's parts; a unique one does so only if a part is NULL.
 * Value: a format byte, the table's version, then fields (column id and kind, content); a NULL field is
 * absent. The primary row holds every column whose key code does not give the exact value back; an
 * index entry holds those too, and a unique one the primary key. An unknown format or kind is an error
 * (XX001), never a guess. Pure functions; no threads.
 */
#ifndef MRD_SQL_ROW_H
#define MRD_SQL_ROW_H

#include "sql/catalog.h"

enum { ROW_FORMAT = 1 };

/* Can values of this type be parts of a key? False: 0A000 is the caller's to raise. */
bool row_key_type(enum sql_type type);
/* True if the key code gives back exactly the value that went in. */
bool row_key_exact(enum sql_type type);

/* Database, table and index id. */
void row_put_prefix(struct buf *out, uint32_t table_id, uint32_t index_id);
void row_put_part(struct buf *out, const struct datum *v, enum key_dir dir);
/* Whole key of an index entry (the primary row: index is the primary one). `row` has a datum for every column
 * of the table. 54000 if it is longer than TXN_KEY_MAX. */
enum status row_key(struct buf *out, const struct table *t, const struct index *ix,
                    const struct datum *row, struct err *err) MRD_CHECKED;
/* True if the entry of this row carries the primary key in its key, too. */
bool row_key_has_pk(const struct index *ix, const struct datum *row);
/* Value of the entry. */
void row_value(struct buf *out, const struct table *t, const struct index *ix,
               const struct datum *row);

/* Fills slots[column] for every wanted column from an entry of index ix; a wanted column that the entry does not
 * hold is NULL (row_index_covers() says which can be asked for). Text points into key or value, or into mem. Decodes, and
 * so checks, no further than to the last column that is wanted. */
enum status row_decode(const struct table *t, const struct index *ix, struct bytes key,
                       struct bytes value, const bool *want, struct datum *slots, struct arena *mem,
                       struct err *err) MRD_CHECKED;
/* The key of the row that an entry of a secondary index belongs to, without decoding it. ST_NOTFOUND: the key
 * does not hold it, the entry's value does. */
enum status row_entry_pk(const struct table *t, const struct index *ix, struct bytes entry,
                         struct arena *mem, struct buf *out, struct err *err) MRD_CHECKED;
/* True if an entry of ix holds the column. */
bool row_index_covers(const struct table *t, const struct index *ix, uint16_t column);

#endif
