/*
 * snapshot_msg.h - what two nodes say to each other about a snapshot that is on its way.
 *
 * One message of the bulk channel each, of type SNAPSHOT_RPC; any may be lost, come twice or late. The receiver drives: it
 * fetches one chunk after the other and asks again for what does not come, so it decides where a stream that was
 * interrupted goes on. Pure functions.
 */
#ifndef MRD_STORAGE_SNAPSHOT_MSG_H
#define MRD_STORAGE_SNAPSHOT_MSG_H

#include "storage/snapshot.h"

enum snapshot_msg_kind {
    SNAPSHOT_ASK = 1, /* I need one of this group; stream 0 */
    SNAPSHOT_OFFER,   /* head */
    SNAPSHOT_FETCH,   /* seq of the chunk that is wanted */
    SNAPSHOT_CHUNK,   /* chunk */
    SNAPSHOT_END      /* why */
};

enum snapshot_end {
    SNAPSHOT_DONE = 1, /* receiver: it is installed and durable */
    SNAPSHOT_BUSY,     /* receiver: another one is on its way here, ask later */
    SNAPSHOT_REFUSED,  /* receiver: it is of no use here */
    SNAPSHOT_FAILED,   /* receiver: it did not fit together; begin again */
    SNAPSHOT_GONE      /* sender: it knows of no such stream, or not of this chunk */
};

struct snapshot_msg {
    enum snapshot_msg_kind kind;
    group_id group;
    uint64_t stream; /* chosen by the sender; never used again */
    uint64_t seq;
    enum snapshot_end why;
    struct snapshot_head head;
    struct snapshot_chunk chunk;
};

void snapshot_msg_encode(struct buf *out, const struct snapshot_msg *m);
/* Points into the input. False: malformed, or damaged. */
bool snapshot_msg_decode(struct bytes in, struct snapshot_msg *out);

#endif
