/*
 * snapshot_int.h - what snapshot.c (bytes), snapshot_read.c and snapshot_install.c share.
 */
#ifndef MRD_STORAGE_SNAPSHOT_INT_H
#define MRD_STORAGE_SNAPSHOT_INT_H

#include "storage/snapshot.h"
#include "storage/tablet_int.h"

/* A walk over the rows of a snapshot that stand in an engine, in slices. */
struct snapshot_walk {
    struct engine *engine;
    group_id group;
    slot_no slot;
    tstamp ts;
    struct snapshot_range range;
    struct buf from; /* key to go on from; empty: the begin */
    bool done;
};

/* One slice: rows go to *rows (NULL: nowhere) and into *sum. */
enum status snapshot_walk_slice(struct snapshot_walk *w, const struct snapshot_limits *limits,
                                struct buf *rows, struct snapshot_sum *sum,
                                struct err *err) MRD_CHECKED;

void snapshot_sum_add(struct snapshot_sum *sum, struct bytes key, struct bytes value);
static inline bool snapshot_sum_eq(const struct snapshot_sum *a, const struct snapshot_sum *b)
{
    return a->lo == b->lo && a->hi == b->hi && a->n_rows == b->n_rows;
}

void snapshot_row_put(struct buf *rows, struct bytes key, struct bytes value);
bool snapshot_row_next(struct rd *rows, struct bytes *out_key, struct bytes *out_value);

#endif
