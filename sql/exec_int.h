/*
 * exec_int.h - what the files of the executor share.
 */
#ifndef MRD_SQL_EXEC_INT_H
#define MRD_SQL_EXEC_INT_H

#include "sql/exec.h"

struct block_run;

/* Datums kept in rows of equal width. */
struct row_store {
    struct datum **rows;
    size_t n, cap;
};

struct span {
    struct bytes start, end; /* point: start is the whole key */
};

struct hash_table; /* exec_hash.c */

/* Rows by their whole keys, read many at a time (txn_get_many) and shown one by one in the order in which they were asked
 * for. Zeroed memory is none. */
struct lookups {
    struct arena *mem;       /* of what follows; reset with each batch. NULL until wanted */
    struct mvcc_item *items; /* as asked for, then by key */
    size_t *place;           /* of the i-th asked for; NULL: it stands there */
    size_t n, at;
    size_t batch; /* so many in the next one: it grows, for many are only asked for the first few */
};

struct node {
    const struct plan *plan;
    struct frame *frame;
    struct run *run;
    struct node *child, *inner;
    struct arena *row_mem;  /* reset at each next() of this node */
    struct arena *keep_mem; /* rows that are kept; reset at rescan. NULL until wanted */
    bool started;
    bool done;
    bool counted; /* as a loop, for EXPLAIN ANALYZE */
    union {
        struct {
            struct txn_scan *scan;
            struct span *spans;
            size_t n_spans, at;
            struct lookups points;   /* of spans that are whole keys */
            struct lookups rows;     /* behind entries of an index */
            struct arena *early_mem; /* for the filters that the tablet asks; reset at each */
            bool
                doubt; /* an entry has passed because its filter failed: they are all asked again */
            uint64_t limit_hint;
        } scan;
        struct {
            struct block_run *block;
        } query;
        struct {
            int64_t next, stop, step;
        } series;
        struct {
            struct row_store rows;
            size_t at;
        } virt;
        struct {
            size_t at;
        } values;
        struct {
            bool have_outer, matched;
        } loop;
        struct {
            struct hash_table *table;
            struct datum *key; /* of the outer row */
            size_t pos;        /* in its chain of matches, or in the table when draining */
            uint64_t hash;
            bool have_outer, matched, no_match, draining;
        } hash;
        struct {
            struct hash_table *groups;
            size_t at;
        } agg;
        struct {
            struct hash_table *seen;
            struct datum *last;
        } distinct;
        struct {
            struct row_store rows;
            size_t at;
            uint64_t top;        /* only so many are wanted; 0 all */
            struct arena *spare; /* for moving the rows that still count */
            size_t moved;        /* bytes in use after the last move */
        } sort;
        struct {
            uint64_t limit, offset, shown; /* limit UINT64_MAX: none */
        } limit;
        struct {
            struct block_run *left, *right;
            struct hash_table *table;
            size_t at;
            int side;
        } setop;
        struct {
            struct row_store rows; /* UPDATE, DELETE: rows met, before anything is written */
            struct block_run *source;
            size_t at;
            bool collected;
            struct hash_table *touched; /* ON CONFLICT DO UPDATE: keys of this command */
        } dml;
    };
};

/* A query block being run. */
struct block_run {
    const struct block_plan *plan;
    struct frame frame;
    struct node *root;
};

struct sub_state {
    struct block_run *block;
    bool cached;
    struct datum value;     /* scalar, exists */
    struct row_store rows;  /* ANY, ALL, IN: what it gave */
    struct hash_table *set; /* the same by value, if hashable */
    bool has_null;
    struct arena *mem;
};

struct run {
    struct run_options o;
    struct arena *mem; /* nodes and frames */
    size_t pool_mark;
    struct block_run *root;
    struct sub_state *subs;
    uint64_t affected;
    uint64_t ticks;
};

struct node *node_new(struct run *r, const struct plan *p, struct frame *frame);
/* The next row in the frame's slots, or ST_NOTFOUND. */
enum status node_next(struct node *n, struct err *err) MRD_CHECKED;
void node_rescan(struct node *n);
void node_close(struct node *n);
struct arena *node_keep(struct node *n); /* its keep_mem, taken when first asked for */

struct block_run *block_new(struct run *r, const struct block_plan *plan,
                            const struct frame *outer);
enum status block_next(struct block_run *b, struct err *err) MRD_CHECKED;
void block_rescan(struct block_run *b, const struct frame *outer);
void block_close(struct block_run *b);

struct eval node_eval(struct node *n);
/* Cancelled, timed out? Called between rows; cheap. */
enum status run_check(struct run *r, struct err *err) MRD_CHECKED;
enum status check_budget(const struct arena *a, struct err *err) MRD_CHECKED;

/* exec_rows.c */
void store_add(struct row_store *s, struct arena *mem, struct datum *row);
struct datum *copy_slots(const struct datum *slots, const unsigned *which, size_t n,
                         struct arena *mem);
struct datum *copy_row(const struct datum *row, size_t n, struct arena *mem);
bool rows_equal(const struct datum *a, const struct datum *b, size_t n); /* NULLs are equal */
uint64_t row_hash(const struct datum *row, size_t n);
int datum_order(const struct datum *a, const struct datum *b, bool desc, bool nulls_first);

/* A hash table of entries: a key row and a payload. */
struct hash_entry {
    struct datum *key;
    void *payload;
    uint64_t hash;
    uint64_t count;
    bool flag;
};
struct hash_table *hash_new(struct arena *mem, size_t key_width);
size_t hash_count(const struct hash_table *t);
struct hash_entry *hash_at(struct hash_table *t, size_t i); /* in order of arrival */
/* First entry with this key at or after position `from` of its chain; NULL none. *io_pos for the next call. */
struct hash_entry *hash_find(struct hash_table *t, const struct datum *key, uint64_t hash,
                             size_t *io_pos);
struct hash_entry *hash_add(struct hash_table *t, struct datum *key, uint64_t hash);

/* exec_lookup.c */
void lookups_begin(struct node *n, struct lookups *l); /* a new batch */
void lookups_add(struct lookups *l, struct bytes key); /* not more than l->batch; copied */
bool lookups_full(const struct lookups *l);
enum status lookups_read(struct node *n, struct lookups *l, enum txn_lock lock,
                         struct err *err) MRD_CHECKED;
/* The next one asked for; NULL: the batch is at its end. */
const struct mvcc_item *lookups_next(struct lookups *l);

/* by kind */
enum status scan_next(struct node *n, struct err *err) MRD_CHECKED;
void scan_close(struct node *n);
enum status series_next(struct node *n, struct err *err) MRD_CHECKED;
enum status virtual_next(struct node *n, struct err *err) MRD_CHECKED;
enum status values_next(struct node *n, struct err *err) MRD_CHECKED;
enum status query_next(struct node *n, struct err *err) MRD_CHECKED;
enum status nestloop_next(struct node *n, struct err *err) MRD_CHECKED;
enum status hashjoin_next(struct node *n, struct err *err) MRD_CHECKED;
enum status agg_next(struct node *n, struct err *err) MRD_CHECKED;
enum status project_next(struct node *n, struct err *err) MRD_CHECKED;
enum status distinct_next(struct node *n, struct err *err) MRD_CHECKED;
enum status unique_next(struct node *n, struct err *err) MRD_CHECKED;
enum status sort_next(struct node *n, struct err *err) MRD_CHECKED;
enum status limit_next(struct node *n, struct err *err) MRD_CHECKED;
enum status setop_next(struct node *n, struct err *err) MRD_CHECKED;
enum status dml_next(struct node *n, struct err *err) MRD_CHECKED;

#endif
