/*
 * arena.h - memory that is freed whole: one per statement, per transaction, per message.
 *
 * Hides blocks. Allocation never fails: running out of memory ends the process. The budget is
 * another matter: arena_over_budget() is asked between rows by whoever owns the arena, which then
 * raises SQLSTATE 53200. Thread: an arena belongs to one thread at a time.
 */
#ifndef MRD_BASE_ARENA_H
#define MRD_BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"
#include "base/status.h"

struct arena_block;

struct arena {
    struct arena_block *blocks; /* newest first; owned */
    size_t used;                /* bytes handed out since init or reset */
    size_t budget;              /* bytes; 0 is no budget */
};

void arena_init(struct arena *a, size_t budget);
void arena_fini(struct arena *a);
/* Everything allocated is gone; the newest block is kept for the next round. */
void arena_reset(struct arena *a);

/* Aligned for any type; not zeroed. */
void *arena_alloc(struct arena *a, size_t size) __attribute__((malloc, returns_nonnull));
void *arena_zalloc(struct arena *a, size_t size) __attribute__((malloc, returns_nonnull));
struct bytes arena_copy(struct arena *a, struct bytes b);
char *arena_strdup(struct arena *a, const char *s);
char *arena_strndup(struct arena *a, const char *s, size_t len); /* adds the terminating zero */
char *arena_printf(struct arena *a, const char *fmt, ...) MRD_PRINTF(2, 3);

static inline bool arena_over_budget(const struct arena *a)
{
    return a->budget != 0 && a->used > a->budget;
}

#endif
