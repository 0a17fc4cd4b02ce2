/*
 * engine_mem.h - the memory engine: same interface, same crash semantics, for simulator and tests.
 *
 * A memdisk outlives engines opened on it. It holds what is synced (LOG), what is checkpointed
 * (DATA), and what a crash would lose. memdisk_crash() takes the power away: DATA falls back to the last
 * completed checkpoint; LOG keeps every synced commit and, by chance (seeded), a prefix of the unsynced ones.
 */
#ifndef MRD_STORAGE_ENGINE_MEM_H
#define MRD_STORAGE_ENGINE_MEM_H

#include "storage/engine.h"

struct memdisk;

struct memdisk *memdisk_new(uint64_t seed);
void memdisk_free(struct memdisk *d);
/* The engine on it must not be used afterwards, except to engine_close() it (which then saves nothing). */
void memdisk_crash(struct memdisk *d);
struct engine *engine_mem_open(struct memdisk *d, struct faults *faults);
/* What would surely be there after a crash, for checkers: to read, whatever happens to the disk, and to close. */
struct engine *engine_mem_open_durable(struct memdisk *d);

#endif
