/*
 * record.h - the commands that a group's log carries, as bytes and as structs.
 *
 * A slot's payload is a batch: u8 format version, varint count, then that many records, each varint
 * length and body. Apply follows the format version of the payload, never the binary's. Decoding input
 * from a disk or a wire is checked. Pure functions.
 */
#ifndef MRD_STORAGE_RECORD_H
#define MRD_STORAGE_RECORD_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/ids.h"
#include "base/status.h"

enum { RECORD_FORMAT = 1, RECORD_WRITES_MAX_BYTES = 12 * 1024 * 1024 };

/* Far above any clock, and far enough from the edge that sums with durations cannot overflow. */
#define RECORD_TS_MAX (TSTAMP_MAX / 2)

enum record_kind {
    RECORD_COMMIT = 1, /* a one-group transaction: id, ts, until, flags, writes */
    RECORD_ABORT,      /* tombstone of an id: a later commit of it is refused */
    RECORD_CAP,        /* schema leases may be given up to ts_arg */
    RECORD_CLOSE       /* carries only a timestamp: nothing at or below it will be written */
};

enum record_flags {
    RECORD_SCHEMA = 1 /* the commit changes the schema: the schema's `from` becomes ts */
};

struct record_write {
    struct bytes key;
    struct bytes value;
    bool tombstone;
};

struct record {
    enum record_kind kind;
    struct txn_id id;
    tstamp ts;     /* strictly increasing along a group's log */
    tstamp until;  /* COMMIT: s >= until is refused (schema lease); TSTAMP_MAX none */
    tstamp ts_arg; /* CAP */
    uint32_t flags;
    const struct record_write *writes; /* in order of key */
    size_t n_writes;
};

void record_encode(struct buf *out, const struct record *rec); /* body only */
enum status record_decode(struct bytes body, struct arena *mem, struct record *out,
                          struct err *err) MRD_CHECKED;

/* Walks a payload: next body, ST_NOTFOUND at the end, ST_FATAL if malformed or of an unknown version. */
struct record_walk {
    struct rd rd;
    uint64_t left;
    uint8_t format;
};
enum status record_walk_begin(struct record_walk *w, struct bytes payload,
                              struct err *err) MRD_CHECKED;
enum status record_walk_next(struct record_walk *w, struct bytes *out_body,
                             struct err *err) MRD_CHECKED;
void record_batch_begin(struct buf *out, uint64_t count);
void record_batch_add(struct buf *out, struct bytes body);

#endif
