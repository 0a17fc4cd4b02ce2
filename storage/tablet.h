/*
 * tablet.h - the state machine of a group: rows, and what the group knows besides, as of a slot.
 *
 * Hides how entries become versions. Applying writes the rows, the outcomes and the applied slot in one
 * engine transaction, so that a checkpoint is some exact slot. Group state stands in ENGINE_DATA under keys
 * 0x00, group id, kind. In memory: applied slot, s_max, schema state, outcomes within the retention.
 *
 * Thread: tablet_apply on the group's worker. Reads (tablet_applied_ts, tablet_outcome ...) from any
 * thread: they are atomics or take the tablet's own mutex (lock 4 in storage/README.md).
 */
#ifndef MRD_STORAGE_TABLET_H
#define MRD_STORAGE_TABLET_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/ids.h"
#include "storage/engine.h"
#include "storage/mutant.h"
#include "storage/paxos/paxos.h"
#include "storage/record.h"

enum { TABLET_OUTCOME_RETENTION_S = 60, TABLET_OUTCOME_SLACK_S = 10 };

struct tablet;

/* Loads what the engine's DATA table holds for the group, or begins empty at slot 0. */
enum status tablet_open(struct engine *e, group_id group, struct tablet **out,
                        struct err *err) MRD_CHECKED;
void tablet_close(struct tablet *t);
#ifdef MRD_MUTANTS
void tablet_mutate(struct tablet *t, enum mutant mutant);
#endif

/* Applies chosen slots first..first+n-1 (payloads in order, first = applied + 1) in one engine transaction.
 * A COMMIT or ABORT of an id that has an outcome changes nothing. ST_FATAL: the replica must stop. */
enum status tablet_apply(struct tablet *t, slot_no first, const struct bytes *payloads, size_t n,
                         struct err *err) MRD_CHECKED;

slot_no tablet_applied(struct tablet *t);
tstamp
tablet_applied_ts(struct tablet *t); /* every commit at or below it is visible here: safe time */

/* ST_OK: *out_ts is the commit timestamp, 0 if the id was aborted. ST_NOTFOUND: no outcome within the retention. */
enum status tablet_outcome(struct tablet *t, struct txn_id id, tstamp *out_ts) MRD_CHECKED;
/* Ids that started before this are refused: their outcome may be forgotten. (Outcomes are kept for
 * TABLET_OUTCOME_SLACK_S longer, so that an id may start that much after the timestamp it got.) */
tstamp tablet_outcome_floor(struct tablet *t);

/* The history horizon: versions below it may be gone. Raised before they go, durably with them. */
tstamp tablet_horizon(struct tablet *t);
enum status tablet_raise_horizon(struct tablet *t, tstamp horizon, struct err *err) MRD_CHECKED;

/* mvcc_collect of the tablet's rows. ST_NOTFOUND: a snapshot is being installed, there is nothing to collect. */
struct tablet_collect {
    struct bytes start, end;
    tstamp horizon;
    size_t max_versions;
};
enum status tablet_collect(struct tablet *t, const struct tablet_collect *how, struct arena *mem,
                           bool *out_done, struct bytes *out_resume, uint64_t *out_removed,
                           struct err *err) MRD_CHECKED;

/* False while a snapshot is being installed (snapshot.h), also after a crash in the midst: it has applied
 * nothing, holds nothing, applies nothing, and its horizon is TSTAMP_MAX. */
bool tablet_usable(struct tablet *t);

/* What the last snapshot brought: the log may begin after its slot. Slot 0: there was none. The worker's;
 * good until the next snapshot. */
struct tablet_base {
    slot_no slot;
    struct ballot ballot; /* of the entry in that slot */
    struct bytes config;  /* what Paxos must know of the log up to there */
};
struct tablet_base tablet_base(struct tablet *t);

struct tablet_stats {
    uint64_t commands;   /* applied since open */
    uint64_t writes;     /* versions written */
    uint64_t duplicates; /* commands whose id had an outcome */
};
void tablet_stats(struct tablet *t, struct tablet_stats *out);

tstamp tablet_schema_from(struct tablet *t); /* ts of the last commit with RECORD_SCHEMA; 0 none */
tstamp tablet_schema_cap(struct tablet *t);  /* highest logged RECORD_CAP */

#endif
