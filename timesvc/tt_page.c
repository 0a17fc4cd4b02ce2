#include "timesvc/tt_page.h"

#include <string.h>

#include "base/check.h"

_Static_assert(sizeof(struct tt_map) == TT_MAP_WORDS * sizeof(uint64_t), "one word a field");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "shared memory needs words without a lock");

static void map_store(_Atomic uint64_t *word, const struct tt_map *map)
{
    uint64_t plain[TT_MAP_WORDS];

    memcpy(plain, map, sizeof plain);
    /* Release: a reader that sees one of these words also sees the seq that was set before. */
    for (int i = 0; i < TT_MAP_WORDS; i++)
        atomic_store_explicit(&word[i], plain[i], memory_order_release);
}

void tt_page_init(struct tt_page *page)
{
    static const struct tt_map none = {.bound_ns = -1};

    page->magic = TT_PAGE_MAGIC;
    page->version = TT_PAGE_VERSION;
    map_store(page->copy[0], &none);
    map_store(page->copy[1], &none);
    atomic_store_explicit(&page->seq, 0, memory_order_release);
}

void tt_page_write(struct tt_page *page, const struct tt_map *map)
{
    uint64_t seq = atomic_load_explicit(&page->seq, memory_order_relaxed);
    struct tt_map old, next = *map;

    ASSERT(page->magic == TT_PAGE_MAGIC);
    /* Odd: a writer died while it wrote copy 0; readers are on copy 1 already. */
    tt_map_load(page->copy[seq & 1], &old);
    if ((seq & 1) == 0) {
        map_store(page->copy[1], &old);
        atomic_store_explicit(&page->seq, ++seq, memory_order_release);
    }
    next.generation = old.generation + 1;
    map_store(page->copy[0], &next);
    atomic_store_explicit(&page->seq, ++seq, memory_order_release);
}
