/*
 * tablet_outcomes.h - how recent transactions ended, by id, in memory.
 *
 * A few hash tables, each for a span of timestamps: outcomes come in order of time and leave a whole
 * table at a time, so nothing is ever deleted singly. An id is looked up only in the spans that its
 * start allows: usually one or two. Thread: none of its own; the tablet guards it.
 */
#ifndef MRD_STORAGE_TABLET_OUTCOMES_H
#define MRD_STORAGE_TABLET_OUTCOMES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/ids.h"

/* 24 bytes: a busy node holds a million of them. */
struct outcome {
    struct txn_id id;
    uint64_t code; /* the record's timestamp times 2, plus 1 if aborted; 0 marks an empty place */
};

static inline struct outcome outcome_of(struct txn_id id, tstamp ts, bool aborted)
{
    return (struct outcome){id, (uint64_t)ts << 1 | aborted};
}

static inline tstamp outcome_ts(const struct outcome *o)
{
    return (tstamp)(o->code >> 1);
}

static inline bool outcome_aborted(const struct outcome *o)
{
    return (o->code & 1) != 0;
}

struct outcome_span {
    tstamp from; /* multiple of the span's length */
    bool early;  /* holds an id that starts later than its timestamp allows: always looked into */
    struct outcome *places; /* owned; a power of two */
    size_t n_places, n_used;
};

struct outcomes {
    struct outcome_span *spans; /* owned; by from, ascending */
    size_t n_spans, cap_spans;
};

void outcomes_fini(struct outcomes *o); /* zeroed memory is empty */
void outcomes_clear(struct outcomes *o);
void outcomes_add(struct outcomes *o, const struct outcome *add); /* not in there yet */
/* NULL: none. Good until the next call that changes the table. */
const struct outcome *outcomes_find(const struct outcomes *o, struct txn_id id);
/* Lets go of spans that lie wholly below ts. */
void outcomes_forget(struct outcomes *o, tstamp ts);
size_t outcomes_count(const struct outcomes *o);

#endif
