/*
 * upkeep.h - the background thread of a store: checkpoints, log truncation, removal of old versions.
 *
 * A checkpoint is due by time or by bytes of log, if anything was applied since the last. The log is cut
 * only behind the checkpoint before the last one, only where every voter's log is durable (or lags by more than
 * lag_slots or lag_bytes), never behind a snapshot that is on its way, and never within the last keep_slots slots. Old versions go in slices with pauses, after the horizon was raised. Threads: as worker.h;
 * upkeep_checkpoint from any thread.
 */
#ifndef MRD_STORAGE_UPKEEP_H
#define MRD_STORAGE_UPKEEP_H

#include <stdint.h>

#include "base/status.h"

struct upkeep;
struct store;

enum { UPKEEP_KEEP_SLOTS = 1024 }; /* store_options.keep_slots, by default */

struct upkeep *upkeep_new(struct store *s);
/* What the thread does; for whoever steps the store by hand (store_step.h): begin once, then rounds, each of
 * which says how long to pause. */
void upkeep_begin(struct upkeep *u);
int64_t upkeep_round(struct upkeep *u);
void upkeep_start(struct upkeep *u);
void upkeep_stop(struct upkeep *u);
void upkeep_free(struct upkeep *u);                                           /* NULL is fine */
enum status upkeep_checkpoint(struct upkeep *u, struct err *err) MRD_CHECKED; /* now; blocks */

#endif
