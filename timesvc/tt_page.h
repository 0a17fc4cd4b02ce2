/*
 * tt_page.h - the page between a publisher of time and its readers: a mapping MONOTONIC_RAW -> UTC.
 *
 * The layout is that of shared memory: fixed widths, a version, no pointers, so that a publisher in
 * another process can write it. It is a sequence lock of the latch kind: there are two copies of
 * the mapping and the parity of `seq` says which one is whole. A reader therefore never waits for a
 * writer that was preempted, and a writer that dies half way leaves the older mapping to be read
 * until its void_after. Thread: one writer at a time (its owner sees to that), any number of readers.
 */
#ifndef MRD_TIMESVC_TT_PAGE_H
#define MRD_TIMESVC_TT_PAGE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "timesvc/tt.h"

enum {
    TT_PAGE_MAGIC = 0x5454504d, /* "MPTT" */
    TT_PAGE_VERSION = 1,
    TT_Q = 40 /* rates are fixed point: ns per ns, times 2^40 */
};

/* A rate that stands still: simulated time moves only when it is set. */
#define TT_RATE_STILL (-(INT64_C(1) << TT_Q))

/* utc(raw) = base_utc + d + d * rate, with d = raw - base_raw; the bound grows by d * drift. */
struct tt_map {
    int64_t base_raw_ns;   /* the MONOTONIC_RAW reading that the rest is about */
    int64_t base_utc_ns;   /* best estimate of UTC at that reading */
    int64_t rate_q;        /* how much faster UTC runs than MONOTONIC_RAW; negative: slower */
    int64_t bound_ns;      /* |estimate - true time| at base_raw; negative: void */
    int64_t drift_q;       /* growth of the bound, at the worst rate error assumed */
    int64_t void_after_ns; /* MONOTONIC_RAW: no interval from this reading on */
    uint64_t generation;   /* counts mappings; grows by one per publication, 0 is none */
};

enum { TT_MAP_WORDS = 7 };

struct tt_page {
    uint32_t magic;
    uint32_t version;
    _Atomic uint64_t seq; /* even: copy 0 is whole, odd: copy 1 */
    _Atomic uint64_t copy[2][TT_MAP_WORDS];
};

/* The latch by itself, for other words that cross the same boundary: 2 * n words of copies, n below the maximum. */
enum { TT_LATCH_WORDS_MAX = 64 };
void tt_latch_write(_Atomic uint64_t *latch, _Atomic uint64_t *copies, size_t n,
                    const uint64_t *words);
void tt_latch_read(const _Atomic uint64_t *latch, const _Atomic uint64_t *copies, size_t n,
                   uint64_t *out);

/* An empty page: its mapping is void. */
void tt_page_init(struct tt_page *page);
/* Replaces the mapping; the page numbers it (map->generation is ignored). */
void tt_page_write(struct tt_page *page, const struct tt_map *map);

static inline int64_t tt_q_of_ppb(int64_t ppb)
{
    return (int64_t)((__int128)ppb * (INT64_C(1) << TT_Q) / NS_PER_S);
}
static inline int64_t tt_ppb_of_q(int64_t q)
{
    return (int64_t)((((__int128)q * NS_PER_S) + (INT64_C(1) << (TT_Q - 1))) >> TT_Q);
}
static inline int64_t tt_q_scale(int64_t ns, int64_t q)
{
    return (int64_t)(((__int128)ns * q) >> TT_Q);
}

static inline void tt_map_load(const _Atomic uint64_t *word, struct tt_map *out)
{
    /* Acquire, not relaxed: seq may not be read again before these words have been. */
    out->base_raw_ns = (int64_t)atomic_load_explicit(&word[0], memory_order_acquire);
    out->base_utc_ns = (int64_t)atomic_load_explicit(&word[1], memory_order_acquire);
    out->rate_q = (int64_t)atomic_load_explicit(&word[2], memory_order_acquire);
    out->bound_ns = (int64_t)atomic_load_explicit(&word[3], memory_order_acquire);
    out->drift_q = (int64_t)atomic_load_explicit(&word[4], memory_order_acquire);
    out->void_after_ns = (int64_t)atomic_load_explicit(&word[5], memory_order_acquire);
    out->generation = atomic_load_explicit(&word[6], memory_order_acquire);
}

static inline void tt_page_read(const struct tt_page *page, struct tt_map *out)
{
    uint64_t seq;

    do {
        seq = atomic_load_explicit(&page->seq, memory_order_acquire);
        tt_map_load(page->copy[seq & 1], out);
    } while (atomic_load_explicit(&page->seq, memory_order_relaxed) != seq);
}

/* Wraps instead of overflowing: the words of a page may come from another process. */
static inline int64_t tt_add(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a + (uint64_t)b);
}

/* Half width of the interval at a reading, -1 if void there. */
static inline int64_t tt_map_bound(const struct tt_map *map, int64_t raw_ns)
{
    int64_t d = (int64_t)((uint64_t)raw_ns - (uint64_t)map->base_raw_ns);

    if (map->bound_ns < 0 || d < 0 || raw_ns >= map->void_after_ns)
        return -1;
    return tt_add(map->bound_ns, tt_q_scale(d, map->drift_q));
}

static inline int64_t tt_map_utc(const struct tt_map *map, int64_t raw_ns)
{
    int64_t d = (int64_t)((uint64_t)raw_ns - (uint64_t)map->base_raw_ns);

    return tt_add(tt_add(map->base_utc_ns, d), tt_q_scale(d, map->rate_q));
}

#endif
