#include "timesvc/tt_page.h"

#include <string.h>

#include "base/check.h"

_Static_assert(sizeof(struct tt_map) == TT_MAP_WORDS * sizeof(uint64_t), "one word a field");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "shared memory needs words without a lock");

static void store(_Atomic uint64_t *to, size_t n, const uint64_t *words)
{
    /* Release: a reader that sees one of these words also sees the seq that was set before. */
    for (size_t i = 0; i < n; i++)
        atomic_store_explicit(&to[i], words[i], memory_order_release);
}

static void load(const _Atomic uint64_t *from, size_t n, uint64_t *out)
{
    /* Acquire, not relaxed: seq may not be read again before these words have been. */
    for (size_t i = 0; i < n; i++)
        out[i] = atomic_load_explicit(&from[i], memory_order_acquire);
}

void tt_latch_write(_Atomic uint64_t *latch, _Atomic uint64_t *copies, size_t n,
                    const uint64_t *words)
{
    uint64_t seq = atomic_load_explicit(latch, memory_order_relaxed);
    uint64_t old[TT_LATCH_WORDS_MAX];

    ASSERT(n <= TT_LATCH_WORDS_MAX);
    /* Odd: a writer died while it wrote copy 0; readers are on copy 1 already. */
    if ((seq & 1) == 0) {
        load(copies, n, old);
        store(copies + n, n, old);
        atomic_store_explicit(latch, ++seq, memory_order_release);
    }
    store(copies, n, words);
    atomic_store_explicit(latch, ++seq, memory_order_release);
}

void tt_latch_read(const _Atomic uint64_t *latch, const _Atomic uint64_t *copies, size_t n,
                   uint64_t *out)
{
    uint64_t seq;

    do {
        seq = atomic_load_explicit(latch, memory_order_acquire);
        load(copies + (seq & 1) * n, n, out);
    } while (atomic_load_explicit(latch, memory_order_relaxed) != seq);
}

void tt_page_init(struct tt_page *page)
{
    static const struct tt_map none = {.bound_ns = -1};
    uint64_t words[TT_MAP_WORDS];

    memcpy(words, &none, sizeof words);
    page->magic = TT_PAGE_MAGIC;
    page->version = TT_PAGE_VERSION;
    store(page->copy[0], TT_MAP_WORDS, words);
    store(page->copy[1], TT_MAP_WORDS, words);
    atomic_store_explicit(&page->seq, 0, memory_order_release);
}

void tt_page_write(struct tt_page *page, const struct tt_map *map)
{
    struct tt_map old, next = *map;
    uint64_t words[TT_MAP_WORDS];

    ASSERT(page->magic == TT_PAGE_MAGIC);
    tt_page_read(page, &old); /* there is no other writer: whole at once */
    next.generation = old.generation + 1;
    memcpy(words, &next, sizeof words);
    tt_latch_write(&page->seq, page->copy[0], TT_MAP_WORDS, words);
}
