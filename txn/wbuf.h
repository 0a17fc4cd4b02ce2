/*
 * wbuf.h - what a transaction has written and not committed yet, in order of key.
 *
 * A scan sees the writes that were there when it was opened: while one is open, a key that is written again
 * keeps its earlier value for it. Everything lives in one arena. Thread: the transaction's.
 */
#ifndef MRD_TXN_WBUF_H
#define MRD_TXN_WBUF_H

#include <stdbool.h>

#include "base/arena.h"
#include "storage/record.h"
#include "txn/keytree.h"

struct wbuf {
    struct keytree tree; /* of struct wbuf_key */
    struct arena mem;
    uint64_t seq;   /* of the last write */
    size_t bytes;   /* of keys and of their last values */
    size_t n_scans; /* open: wbuf_scan_begin */
};

struct wbuf_value {
    struct bytes value;
    bool tombstone;
    uint64_t seq;
    struct wbuf_value *older; /* for scans */
};

struct wbuf_key {
    struct keynode node;
    struct wbuf_value *newest;
};

void wbuf_init(struct wbuf *w);
void wbuf_fini(struct wbuf *w);
/* False: more than bytes_max in keys and values, or in memory for them; nothing has changed. */
bool wbuf_put(struct wbuf *w, struct bytes key, struct bytes value, bool tombstone,
              size_t bytes_max);
/* NULL: not written. */
const struct wbuf_value *wbuf_get(const struct wbuf *w, struct bytes key);
/* All, by key, each once; in the buffer's memory. */
const struct record_write *wbuf_writes(struct wbuf *w, size_t *out_n);

/* A scan sees writes up to the number that begin returns. */
uint64_t wbuf_scan_begin(struct wbuf *w);
void wbuf_scan_end(struct wbuf *w);
/* The first key at or above `from` (forward), or the last one below it (reverse), that was written by then.
 * False: none. */
bool wbuf_scan_from(const struct wbuf *w, struct bytes from, bool reverse, uint64_t seq,
                    struct bytes *out_key, const struct wbuf_value **out);
/* Likewise, the one behind `key`. */
bool wbuf_scan_after(const struct wbuf *w, struct bytes key, bool reverse, uint64_t seq,
                     struct bytes *out_key, const struct wbuf_value **out);

#endif
