/*
 * metrics.h - counters, gauges and latency histograms of one node, and their text exposition.
 *
 * A registry belongs to one node (several nodes live in one process). Values are made at start
 * and updated from any thread with relaxed atomics. The text form is Prometheus' exposition format.
 */
#ifndef MRD_BASE_METRICS_H
#define MRD_BASE_METRICS_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/bytes.h"

struct metrics;

struct metric {
    _Atomic int64_t value;
};

/* Log-linear histogram of nanoseconds: 64 powers of two, 16 linear steps each: 6% resolution. */
enum { HIST_SUB = 16, HIST_BUCKETS = 64 * HIST_SUB };
struct hist {
    _Atomic uint64_t count;
    _Atomic uint64_t sum;
    _Atomic uint64_t max;
    _Atomic uint32_t bucket[HIST_BUCKETS];
};

struct metrics *metrics_new(void);
void metrics_free(struct metrics *m);

/* name in the Prometheus form (meridian_log_syncs_total), help one sentence; both static storage.
 * The same name returns the same object. The registry owns the objects. */
struct metric *metrics_counter(struct metrics *m, const char *name, const char *help);
struct metric *metrics_gauge(struct metrics *m, const char *name, const char *help);
struct hist *metrics_hist(struct metrics *m, const char *name, const char *help);

static inline void metric_add(struct metric *c, int64_t n)
{
    atomic_fetch_add_explicit(&c->value, n, memory_order_relaxed);
}
static inline void metric_set(struct metric *c, int64_t v)
{
    atomic_store_explicit(&c->value, v, memory_order_relaxed);
}
static inline int64_t metric_get(const struct metric *c)
{
    return atomic_load_explicit(&c->value, memory_order_relaxed);
}

void hist_add(struct hist *h, int64_t ns); /* a negative duration counts as 0 */
/* Upper edge in ns of the bucket that holds quantile q (0..1); 0 if empty. */
int64_t hist_quantile(const struct hist *h, double q);
void hist_merge(struct hist *into, const struct hist *from);

/* Appends the whole registry as text, metrics in order of name. */
void metrics_text(struct metrics *m, struct buf *out);

/* For SQL and tools: calls fn for every counter and gauge, and for count/p50/p99 of histograms. */
void metrics_each(struct metrics *m, void (*fn)(void *arg, const char *name, int64_t value),
                  void *arg);

#endif
