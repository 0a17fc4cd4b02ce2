/*
 * ids.h - the small values that must not be mixed, with their widths (DESIGN.md section 3).
 */
#ifndef MRD_BASE_IDS_H
#define MRD_BASE_IDS_H

#include <stdint.h>

typedef uint32_t node_id;  /* 1..; 0 is nobody */
typedef uint64_t group_id; /* 1..; 0 is none */
typedef uint64_t slot_no;  /* 1..; 0 is before the first */
typedef int64_t tstamp;    /* nanoseconds since the Unix epoch, UTC */

#define TSTAMP_MAX INT64_MAX

/* Transaction id, 128 bits: the start time is also the wound-wait age (older is smaller). */
struct txn_id {
    tstamp start;     /* of the first attempt; kept across retries of the same work */
    uint32_t gateway; /* node that made it */
    uint32_t counter; /* unique per gateway and incarnation */
};

#endif
