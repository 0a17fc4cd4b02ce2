/*
 * snapshot.h - a tablet as of one slot, read in slices on one replica and installed in slices on another.
 *
 * Hides how a stream that takes minutes is one slot's state although the tablet goes on meanwhile. A
 * snapshot at slot S, whose largest timestamp is T, is made of
 *   the head         slot, ballot, state row, configuration: taken at once on the worker, at S;
 *   outcomes         rows of slots up to S: they never change, and while a reader holds them they stay;
 *   versions         every version at or below T in the tablet's range: timestamps rise along the log (M1), so
 *                    they are those of slots up to S, and a version never changes (V2). What is collected
 *                    meanwhile goes missing, which reads at or above the horizon do not notice (V3);
 *   the horizon      read after the last version, so at or above every collection the reader may have met.
 * Between two slices no cursor is open. A slice of one replica is the transaction of another. The sum over
 * all rows is compared after the last, with what then stands in the engine.
 *
 * Installing: the mark goes in first, then the old rows go, then the new come; the state row, the base of the log and
 * the removal of the mark are one transaction. A crash finds the old state, the mark (the tablet is not
 * usable, begin again), or the new state. Readers that began before are refused: the horizon in memory is
 * TSTAMP_MAX meanwhile, and above everything that was readable before afterwards.
 *
 * Thread: snapshot_take on the group's worker; a reader, an install from one thread at a time.
 */
#ifndef MRD_STORAGE_SNAPSHOT_H
#define MRD_STORAGE_SNAPSHOT_H

#include "storage/tablet.h"

enum { SNAPSHOT_FORMAT = 1 };

/* Sum over rows: does not depend on how they were cut into chunks. */
struct snapshot_sum {
    uint64_t lo, hi;
    uint64_t n_rows;
};

struct snapshot_head {
    group_id group;
    slot_no slot;
    struct ballot ballot; /* of the entry in that slot */
    tstamp ts;            /* largest in the log up to there */
    struct bytes state;   /* value of the state row */
    struct bytes config;  /* what Paxos must know of the log up to there; opaque here */
};

void snapshot_head_encode(struct buf *out, const struct snapshot_head *h);
/* Points into the input. False: malformed. */
bool snapshot_head_decode(struct rd *r, struct snapshot_head *out);

/* User keys of a tablet: [start, end); an empty start is the first key, an empty end lies above all. */
struct snapshot_range {
    struct bytes start, end;
    bool none; /* no keys at all */
};
struct snapshot_range snapshot_range(group_id group);

struct snapshot_chunk {
    uint64_t seq; /* 1, 2, ... */
    bool last;
    tstamp horizon;          /* of the last one */
    struct snapshot_sum sum; /* of all rows up to here */
    struct bytes rows;       /* key, value, again and again; keys ascend through the whole stream */
};

/* With a checksum over all of it. */
void snapshot_chunk_encode(struct buf *out, const struct snapshot_chunk *c);
/* Points into the input. False: malformed, or damaged on the way. */
bool snapshot_chunk_decode(struct rd *r, struct snapshot_chunk *out);

/* Reading. */

struct snapshot_limits {
    size_t max_bytes; /* of a chunk, about; 0: 256 KiB. At least one row */
    size_t max_rows;  /* 0: 4096 */
    int64_t max_ns;   /* of work; 0: 5 ms; below 0: as long as it takes, for simulators */
};

struct snapshot_reader;

/* On the worker: a snapshot at the slot that is applied now. Only of a usable tablet. */
struct snapshot_reader *snapshot_take(struct tablet *t, struct ballot ballot, struct bytes config);
const struct snapshot_head *snapshot_reader_head(const struct snapshot_reader *r);
/* Chunk `seq`: the one after the last that was read, or that one again (it may hold fewer rows then). ST_NOTFOUND:
 * neither. Bytes of the chunk are good until the next call. */
enum status snapshot_read(struct snapshot_reader *r, uint64_t seq,
                          const struct snapshot_limits *limits, struct snapshot_chunk *out,
                          struct err *err) MRD_CHECKED;
void snapshot_reader_free(struct snapshot_reader *r); /* NULL is fine; the tablet still lives */

/* Installing. Nobody applies to the tablet between begin and finish, or if it ends otherwise until a later one
 * has finished. */

struct snapshot_install;

/* ST_REJECT: the head makes no sense; nothing has changed. Otherwise the tablet is not usable from here on. */
enum status snapshot_begin(struct tablet *t, const struct snapshot_head *head,
                           struct snapshot_install **out, struct err *err) MRD_CHECKED;
uint64_t snapshot_next(const struct snapshot_install *in); /* number of the chunk that is wanted */
/* ST_REJECT: not that chunk, or its rows make no sense, or (the last) the sum is not what stands in the
 * engine: begin again. After the last the tablet is usable, at the snapshot's slot, in memory; it is durable with
 * the next checkpoint, and until then the log must not lose what it had. */
enum status snapshot_put(struct snapshot_install *in, const struct snapshot_chunk *c,
                         bool *out_finished, struct err *err) MRD_CHECKED;
void snapshot_install_free(struct snapshot_install *in); /* NULL is fine */

#endif
