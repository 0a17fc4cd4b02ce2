/*
 * keytree.h - an ordered tree of nodes that live in somebody else's structs, sorted by (key, rank).
 *
 * A treap: expected depth is logarithmic whatever the keys are, because the priorities come from a generator
 * of its own. The tree owns nothing; a node's key must stay good while it is in. `update`, if given, runs on a node
 * after its children have changed (the lock table keeps the largest end of a subtree there).
 * No I/O, no thread, no global: a core. One thread at a time.
 */
#ifndef MRD_TXN_KEYTREE_H
#define MRD_TXN_KEYTREE_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

struct keynode {
    struct keynode *left, *right; /* the tree's */
    uint64_t prio;                /* the tree's */
    struct bytes key;
    uint64_t rank; /* tells nodes of the same key apart; 0 where keys are unique */
};

struct keytree {
    struct keynode *root;
    uint64_t seed;
    size_t n;
    void (*update)(struct keynode *node); /* may be NULL */
};

void keytree_init(struct keytree *t, void (*update)(struct keynode *node));
void keytree_insert(struct keytree *t, struct keynode *node); /* (key, rank) must not be in yet */
void keytree_remove(struct keytree *t, struct keynode *node); /* must be in */

struct keynode *keytree_find(const struct keytree *t,
                             struct bytes key); /* first of that key, or NULL */
struct keynode *keytree_at_least(const struct keytree *t, struct bytes key);
struct keynode *keytree_below(const struct keytree *t,
                              struct bytes key); /* last with a smaller key */
/* The neighbour behind it in order, found from the top: safe when the tree has changed since. */
struct keynode *keytree_after(const struct keytree *t, struct bytes key, uint64_t rank);

/* The struct that a node stands in. */
#define KEYTREE_OWNER(node, type, member) ((type *)((char *)(node)-offsetof(type, member)))

/* A quick hash of a key for tables in memory; its values may differ between versions. */
uint64_t key_hash(struct bytes key);

#endif
