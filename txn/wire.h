/*
 * wire.h - requests, answers and notices of txn as bytes. Writer and reader in one file; what is read is checked.
 *
 * Each message begins with a version. Pure functions.
 */
#ifndef MRD_TXN_WIRE_H
#define MRD_TXN_WIRE_H

#include "txn/request.h"
#include "txn/txn.h"

enum {
    WIRE_VERSION = 2,
    WIRE_CALL = TXN_RPC_LO, /* gateway to leader: a request; its answer comes back */
    WIRE_ROLLBACK,          /* gateway to leader: an id */
    WIRE_HEARD,             /* gateway to leader: ids of open transactions */
    WIRE_RECALL,            /* leader to gateway: term, fence */
    WIRE_RETURNED,          /* gateway to leader: term, bound */
    WIRE_HEARD_MAX = 4096   /* ids in one message */
};

void wire_put_request(struct buf *b, const struct request *rq, uint32_t wait_ms);
/* Bytes point into `in`; writes are allocated in mem. rq->ref.gateway is for the caller to fill. */
enum status wire_get_request(struct bytes in, struct arena *mem, struct request *out,
                             uint32_t *out_wait_ms, struct err *err) MRD_CHECKED;

/* What became of a request: its end, or it still waits and should be sent again. BROKEN is never sent: nobody
 * knows. */
enum wire_what { WIRE_ENDED, WIRE_WAITS, WIRE_BROKEN };

/* st: how it ended, with err if it failed. ref's term goes with it. */
void wire_put_answer(struct buf *b, const struct request *rq, enum wire_what what, enum status st,
                     const struct answer *a, const struct err *err);
/* Returns the status that was sent, or what was wrong with the bytes. Rows pass rq's filter. Sets
 * rq->ref.term. */
enum status wire_get_answer(struct bytes in, struct request *rq, enum wire_what *out_what,
                            struct answer *a, struct err *err) MRD_CHECKED;

void wire_put_id(struct buf *b, struct txn_id id);
struct txn_id wire_get_id(struct rd *rd);

/* One-way messages. */
void wire_put_ids_begin(struct buf *b);
enum status wire_get_version(struct rd *rd, struct err *err) MRD_CHECKED;
void wire_put_pair(struct buf *b, uint64_t first, uint64_t second);

#endif
