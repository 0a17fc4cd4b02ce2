/*
 * memtree.h - an ordered map whose old states stay readable: what the memory engine is made of.
 *
 * Hides a treap with shared nodes. A tree is a pointer to its root; NULL is the empty tree. A copy costs one
 * reference, and changing one tree leaves its copies as they were: snapshots, checkpoints and crash
 * points are copies. Shape follows from the keys alone, so equal content has equal shape.
 * Threads: a tree may be changed by one thread while others read or drop copies of it.
 */
#ifndef MRD_STORAGE_MEMTREE_H
#define MRD_STORAGE_MEMTREE_H

#include <stdbool.h>

#include "base/bytes.h"

struct memnode;

struct memnode *memtree_ref(struct memnode *tree); /* a copy; NULL is fine */
void memtree_unref(struct memnode *tree);          /* NULL is fine */

/* Each replaces *tree, which is owned by the caller. Key and value are copied in. */
void memtree_put(struct memnode **tree, struct bytes key, struct bytes value);
void memtree_delete(struct memnode **tree, struct bytes key);
void memtree_truncate(struct memnode **tree, struct bytes from,
                      struct bytes to); /* empty to: the end */

/* First key >= or > key; last key < key; an empty key with memtree_below is the end. False: none. The
 * bytes are good as long as the caller holds its reference. */
bool memtree_from(const struct memnode *tree, struct bytes key, struct bytes *out_key,
                  struct bytes *out_value);
bool memtree_above(const struct memnode *tree, struct bytes key, struct bytes *out_key,
                   struct bytes *out_value);
bool memtree_below(const struct memnode *tree, struct bytes key, struct bytes *out_key,
                   struct bytes *out_value);

#endif
