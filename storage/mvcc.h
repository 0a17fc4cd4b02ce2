/*
 * mvcc.h - many versions of a key in the engine's DATA table.
 *
 * Engine key: user key, 0x00, 8 bytes big-endian of the bitwise inverse of (timestamp xor sign bit): newest
 * first. Engine value: one byte kind (value, tombstone), then the value. No user key has a code that
 * begins where another ends with 0x00 (base/keycodec.h), so the versions of a key are neighbours.
 * Group state stands in the same table under keys that begin with 0x00 (storage/tablet.h).
 */
#ifndef MRD_STORAGE_MVCC_H
#define MRD_STORAGE_MVCC_H

#include "base/arena.h"
#include "base/ids.h"
#include "storage/engine.h"

enum { MVCC_SUFFIX = 9 };

struct mvcc_read {
    tstamp
        newest; /* newest version at or below t that was met: shown, filtered or tombstone; 0 none */
    uint64_t n_versions; /* looked at */
};

void mvcc_encode(struct buf *out, struct bytes key, tstamp ts);
/* False if it is not a version key. */
bool mvcc_decode(struct bytes engine_key, struct bytes *out_key, tstamp *out_ts);

enum status mvcc_put(struct engine_txn *x, struct bytes key, tstamp ts, struct bytes value,
                     struct err *err) MRD_CHECKED;
enum status mvcc_tombstone(struct engine_txn *x, struct bytes key, tstamp ts,
                           struct err *err) MRD_CHECKED;

/* Value of key at t, copied into mem. ST_NOTFOUND: none or deleted. io_seen (NULL is fine): newest only
 * rises, n_versions is added to. */
enum status mvcc_get(struct engine *e, struct bytes key, tstamp t, struct arena *mem,
                     struct bytes *out_value, tstamp *out_ts, struct mvcc_read *io_seen,
                     struct err *err) MRD_CHECKED;

/* One of many reads. */
struct mvcc_item {
    struct bytes key; /* the caller's */
    bool found;       /* what follows is there */
    tstamp ts;
    struct bytes value;
};
/* As mvcc_get for each item, under one cursor: one slice of work. Keys ascend (equal ones are fine). *out_n, at least
 * one, have been dealt with: fewer than n once max_bytes of values are together, or 2 ms have gone. */
enum status mvcc_get_many(struct engine *e, struct mvcc_item *items, size_t n, tstamp t,
                          size_t max_bytes, struct arena *mem, size_t *out_n,
                          struct mvcc_read *io_seen, struct err *err) MRD_CHECKED;

/* Ranges of user keys: an empty start is the first user key, an empty end lies above all. Neither begins
 * with 0x00. */

/* One slice of a scan of [start, end) at t: calls row() for each live key in order (descending if
 * reverse) until it returns false (having had that row), the slice is over (max_rows, max_ns of work,
 * versions looked at), or the range is. key and value are borrowed for the call; row() opens no cursor.
 * *out_done: the range is exhausted; otherwise *out_resume (in mem) is where the next slice starts
 * (forward: its new start; reverse: its new end): no user key, but ordered among them. */
struct mvcc_slice {
    struct bytes start, end;
    bool reverse;
    tstamp t;
    size_t max_rows; /* live rows delivered; 0: 256 */
    int64_t max_ns;  /* 0: 2 ms; below 0: as long as it takes, for simulators */
    bool (*row)(void *arg, struct bytes key, tstamp ts, struct bytes value);
    void *arg;
};
enum status mvcc_scan(struct engine *e, const struct mvcc_slice *slice, struct arena *mem,
                      bool *out_done, struct bytes *out_resume, struct mvcc_read *io_seen,
                      struct err *err) MRD_CHECKED;

/* Rolling checksum (xxh3, 128 bits) over every live key, its timestamp and value in [start, end) at
 * t: equal on two replicas if and only if (for this hash) they hold the same rows. Slices by itself. */
struct mvcc_digest {
    uint64_t lo, hi;
    uint64_t n_rows;
};
enum status mvcc_digest(struct engine *e, struct bytes start, struct bytes end, tstamp t,
                        struct mvcc_digest *out, struct err *err) MRD_CHECKED;

/* Removes versions that no read at or above `horizon` can see, one slice of about max_versions looked at
 * (0: 1024). *out_resume as in a forward mvcc_scan. One collector per range at a time. */
enum status mvcc_collect(struct engine *e, struct bytes start, struct bytes end, tstamp horizon,
                         size_t max_versions, struct arena *mem, bool *out_done,
                         struct bytes *out_resume, uint64_t *out_removed,
                         struct err *err) MRD_CHECKED;

#endif
