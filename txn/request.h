/*
 * request.h - what a gateway asks of a leader, and what it gets: one form for a leader on this node and for one
 * that is reached by messages (wire.h), so that both ways run the same code.
 *
 * Thread: a request belongs to one thread at a time.
 */
#ifndef MRD_TXN_REQUEST_H
#define MRD_TXN_REQUEST_H

#include "txn/leader.h"

enum request_kind {
    REQUEST_GET = 1,
    REQUEST_GETS, /* many keys */
    REQUEST_SCAN,
    REQUEST_LOCK,
    REQUEST_COMMIT,
    REQUEST_OUTCOME,
    REQUEST_LEASE,  /* of the schema */
    REQUEST_CLOSE,  /* everything at or below t is applied at the leader */
    REQUEST_DIGEST, /* of any replica */
    REQUEST_KIND_END
};

enum { REQUEST_SLICE_BYTES = 256 * 1024, REQUEST_SLICE_ROWS = 512 };

struct request {
    enum request_kind kind;
    struct leader_ref ref; /* reads with a lock, LOCK, COMMIT; gateway always */
    int mode;              /* enum lock_mode; 0: at t, without a lock */
    tstamp t;
    struct bytes start, end; /* GET, LOCK: start is the key */
    bool reverse;
    uint64_t limit;
    uint32_t max_rows;
    struct mvcc_item *items; /* GETS: keys, filled with what was found */
    size_t n_items;
    struct leader_commit commit; /* COMMIT; OUTCOME: its id */
    /* SCAN: as in txn.h. Not on the wire: the gateway asks it of what comes. */
    bool (*filter)(void *arg, struct bytes key, struct bytes value);
    void *filter_arg;
};

struct request_row {
    struct bytes key, value;
    tstamp ts;
};

/* A second use overwrites the first; rows keep their room. */
struct answer {
    struct arena *mem; /* of value, values of items, rows and resume; borrowed */
    struct mvcc_read seen;
    tstamp ts;          /* GET, COMMIT, OUTCOME */
    struct bytes value; /* GET */
    size_t n_got;       /* GETS: items that are answered */
    struct request_row *rows;
    size_t n_rows, cap_rows, row_bytes;
    bool done;
    struct bytes resume;
    struct leader_lease lease;
    struct mvcc_digest digest;
};

void answer_fini(struct answer *a); /* zeroed memory is fine */
void answer_add(struct answer *a, struct bytes key, tstamp ts, struct bytes value); /* copies */

/* As leader.h's operations: w->parked, then run it again. COMMIT: the end comes through rq->commit.done. */
enum status request_run(struct leader *l, struct request *rq, struct answer *a,
                        struct leader_wait *w, struct err *err) MRD_CHECKED;

#endif
