/*
 * memspace.h - the key space of txn/txn.h in memory, for unit tests of sql.
 *
 * One process, one mutex, no node: an ordered map of versioned keys. Transactions read a snapshot taken at
 * their begin and are checked when they commit (a key or range that was read and has changed since is
 * 40001), which gives the same answers as locks without ever blocking. Own writes, tombstones, reverse
 * scans, rollback, schema versions and AS OF reads behave as txn.h promises.
 */
#ifndef MRD_TESTS_MEMSPACE_H
#define MRD_TESTS_MEMSPACE_H

#include "txn/txn.h"

struct txn_space *memspace_new(void);
void memspace_free(struct txn_space *s);
/* The next n commits fail with ST_ABORT 40001, as if wounded. */
void memspace_wound(struct txn_space *s, int n);

struct memspace_stats {
    uint64_t gets, scans, scanned, commits, aborts;
};
struct memspace_stats memspace_stats(struct txn_space *s);

#endif
