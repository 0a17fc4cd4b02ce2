/*
 * clocks.h - this node's clock among the others': the shell around tt_suspect. For storage/ only.
 *
 * Reports travel as items of the worker's bundles. The verdict makes the node's time void (tt_distrust), and
 * with that leases, leadership, support and answers end by themselves; frames still carry what the source
 * says. Threads: the worker's, but for clocks_describe, which any thread may call (struct store_clock, store.h).
 */
#ifndef MRD_STORAGE_CLOCKS_H
#define MRD_STORAGE_CLOCKS_H

#include "storage/store.h"
#include "timesvc/tt_suspect.h"

struct clocks;

struct clocks *clocks_new(struct store *s, const node_id *peers, size_t n_peers);
void clocks_free(struct clocks *c); /* NULL is fine */

/* A message arrived with its sender's interval; `at` is ours, as the source said at that moment. */
void clocks_heard(struct clocks *c, node_id from, struct tt_interval theirs, struct tt_interval at,
                  int64_t arrived_mono_ns);
/* A report arrived. False: malformed. */
bool clocks_on_report(struct clocks *c, node_id from, struct tt_interval at,
                      int64_t arrived_mono_ns, struct rd *item);
void clocks_tick(struct clocks *c);
/* The next node that a report is due to, 0: none. clocks_put_report appends it. */
node_id clocks_next_due(struct clocks *c);
void clocks_put_report(struct clocks *c, node_id to, struct buf *out);
/* True once after time became void or was given back: whatever depends on it should look. */
bool clocks_changed(struct clocks *c);
int64_t clocks_wake_mono(const struct clocks *c);

size_t clocks_describe(struct clocks *c, struct store_clock *out, size_t max);

#endif
