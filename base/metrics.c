#include "base/metrics.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/status.h"

enum item_kind { ITEM_COUNTER, ITEM_GAUGE, ITEM_HIST };

struct item {
    const char *name;
    const char *help;
    enum item_kind kind;
    union {
        struct metric metric;
        struct hist hist;
    };
};

struct metrics {
    pthread_mutex_t mu;  /* guards items; the values are atomics */
    struct item **items; /* in order of name; owned */
    size_t n_items;
};

struct metrics *metrics_new(void)
{
    struct metrics *m = xcalloc(1, sizeof *m);

    pthread_mutex_init(&m->mu, NULL);
    return m;
}

void metrics_free(struct metrics *m)
{
    if (m == NULL)
        return;
    for (size_t i = 0; i < m->n_items; i++)
        free(m->items[i]);
    free(m->items);
    pthread_mutex_destroy(&m->mu);
    free(m);
}

static struct item *insert_at(struct metrics *m, size_t at, const char *name, const char *help,
                              enum item_kind kind)
{
    struct item *it = xcalloc(1, sizeof *it);

    it->name = name;
    it->help = help;
    it->kind = kind;
    m->items = xrealloc(m->items, (m->n_items + 1) * sizeof(struct item *));
    memmove(m->items + at + 1, m->items + at, (m->n_items - at) * sizeof(struct item *));
    m->items[at] = it;
    m->n_items++;
    return it;
}

static struct item *find_or_add(struct metrics *m, const char *name, const char *help,
                                enum item_kind kind)
{
    struct item *it = NULL;
    size_t at = 0;

    pthread_mutex_lock(&m->mu);
    while (at < m->n_items && strcmp(m->items[at]->name, name) < 0)
        at++;
    if (at < m->n_items && strcmp(m->items[at]->name, name) == 0)
        it = m->items[at];
    else
        it = insert_at(m, at, name, help, kind);
    ASSERT(it->kind == kind);
    pthread_mutex_unlock(&m->mu);
    return it;
}

struct metric *metrics_counter(struct metrics *m, const char *name, const char *help)
{
    return &find_or_add(m, name, help, ITEM_COUNTER)->metric;
}

struct metric *metrics_gauge(struct metrics *m, const char *name, const char *help)
{
    return &find_or_add(m, name, help, ITEM_GAUGE)->metric;
}

struct hist *metrics_hist(struct metrics *m, const char *name, const char *help)
{
    return &find_or_add(m, name, help, ITEM_HIST)->hist;
}

/* Values below HIST_SUB have a bucket each; above, the exponent picks a row and the next 4 bits a step. */
static size_t bucket_of(uint64_t v)
{
    int exp;

    if (v < HIST_SUB)
        return (size_t)v;
    exp = 63 - __builtin_clzll(v);
    return (size_t)(exp - 3) * HIST_SUB + (size_t)(v >> (exp - 4) & (HIST_SUB - 1));
}

static uint64_t bucket_top(size_t i)
{
    size_t row = i / HIST_SUB;

    if (row == 0)
        return i;
    return (((uint64_t)HIST_SUB + i % HIST_SUB + 1) << (row - 1)) - 1;
}

void hist_add(struct hist *h, int64_t ns)
{
    uint64_t v = ns < 0 ? 0 : (uint64_t)ns;
    uint64_t max = atomic_load_explicit(&h->max, memory_order_relaxed);

    atomic_fetch_add_explicit(&h->bucket[bucket_of(v)], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&h->count, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&h->sum, v, memory_order_relaxed);
    while (v > max && !atomic_compare_exchange_weak_explicit(&h->max, &max, v, memory_order_relaxed,
                                                             memory_order_relaxed))
        ;
}

int64_t hist_quantile(const struct hist *h, double q)
{
    uint64_t count = atomic_load_explicit(&h->count, memory_order_relaxed);
    uint64_t max = atomic_load_explicit(&h->max, memory_order_relaxed);
    uint64_t want = (uint64_t)(q * (double)count);
    uint64_t seen = 0;

    if (count == 0)
        return 0;
    for (size_t i = 0; i < HIST_BUCKETS; i++) {
        seen += atomic_load_explicit(&h->bucket[i], memory_order_relaxed);
        if (seen > want)
            return (int64_t)(bucket_top(i) < max ? bucket_top(i) : max);
    }
    return (int64_t)max;
}

void hist_merge(struct hist *into, const struct hist *from)
{
    uint64_t max = atomic_load_explicit(&from->max, memory_order_relaxed);

    for (size_t i = 0; i < HIST_BUCKETS; i++) {
        uint32_t n = atomic_load_explicit(&from->bucket[i], memory_order_relaxed);

        if (n > 0)
            atomic_fetch_add_explicit(&into->bucket[i], n, memory_order_relaxed);
    }
    atomic_fetch_add_explicit(&into->count,
                              atomic_load_explicit(&from->count, memory_order_relaxed),
                              memory_order_relaxed);
    atomic_fetch_add_explicit(&into->sum, atomic_load_explicit(&from->sum, memory_order_relaxed),
                              memory_order_relaxed);
    if (max > atomic_load_explicit(&into->max, memory_order_relaxed))
        atomic_store_explicit(&into->max, max, memory_order_relaxed);
}

static void put_text(struct buf *out, const char *fmt, ...) MRD_PRINTF(2, 3);

static void put_text(struct buf *out, const char *fmt, ...)
{
    char line[512];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    ASSERT(n >= 0 && (size_t)n < sizeof line);
    buf_put(out, line, (size_t)n);
}

static void item_text(const struct item *it, struct buf *out)
{
    static const double quantiles[] = {0.5, 0.99, 0.999};

    if (it->kind != ITEM_HIST) {
        put_text(out, "# HELP %s %s\n# TYPE %s %s\n%s %lld\n", it->name, it->help, it->name,
                 it->kind == ITEM_COUNTER ? "counter" : "gauge", it->name,
                 (long long)metric_get(&it->metric));
        return;
    }
    put_text(out, "# HELP %s %s\n# TYPE %s summary\n", it->name, it->help, it->name);
    for (size_t i = 0; i < sizeof quantiles / sizeof quantiles[0]; i++)
        put_text(out, "%s{quantile=\"%g\"} %.9f\n", it->name, quantiles[i],
                 (double)hist_quantile(&it->hist, quantiles[i]) / 1e9);
    put_text(out, "%s_sum %.9f\n%s_count %llu\n", it->name,
             (double)atomic_load_explicit(&it->hist.sum, memory_order_relaxed) / 1e9, it->name,
             (unsigned long long)atomic_load_explicit(&it->hist.count, memory_order_relaxed));
}

void metrics_text(struct metrics *m, struct buf *out)
{
    pthread_mutex_lock(&m->mu);
    for (size_t i = 0; i < m->n_items; i++)
        item_text(m->items[i], out);
    pthread_mutex_unlock(&m->mu);
}

static void hist_each(const struct item *it, void (*fn)(void *, const char *, int64_t), void *arg)
{
    char name[128];

    (void)snprintf(name, sizeof name, "%s_count", it->name); /* a longer name is cut */
    fn(arg, name, (int64_t)atomic_load_explicit(&it->hist.count, memory_order_relaxed));
    (void)snprintf(name, sizeof name, "%s_sum_ns", it->name);
    fn(arg, name, (int64_t)atomic_load_explicit(&it->hist.sum, memory_order_relaxed));
    (void)snprintf(name, sizeof name, "%s_p50_ns", it->name);
    fn(arg, name, hist_quantile(&it->hist, 0.5));
    (void)snprintf(name, sizeof name, "%s_p99_ns", it->name);
    fn(arg, name, hist_quantile(&it->hist, 0.99));
}

void metrics_each(struct metrics *m, void (*fn)(void *arg, const char *name, int64_t value),
                  void *arg)
{
    pthread_mutex_lock(&m->mu);
    for (size_t i = 0; i < m->n_items; i++) {
        const struct item *it = m->items[i];

        if (it->kind == ITEM_HIST)
            hist_each(it, fn, arg);
        else
            fn(arg, it->name, metric_get(&it->metric));
    }
    pthread_mutex_unlock(&m->mu);
}
