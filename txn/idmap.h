/*
 * idmap.h - transaction id to struct: a chained hash table of nodes that live in somebody else's structs.
 * Owns only its buckets. No thread: guarded by whoever has it.
 */
#ifndef MRD_TXN_IDMAP_H
#define MRD_TXN_IDMAP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/ids.h"

struct idnode {
    struct txn_id id; /* the caller's to fill */
    struct idnode *next;
};

struct idmap {
    struct idnode **bucket;
    size_t n_buckets; /* a power of two */
    size_t n;
};

void idmap_init(struct idmap *m);
void idmap_fini(struct idmap *m);                                  /* must be empty */
void idmap_put(struct idmap *m, struct idnode *node);              /* the id must not be in yet */
struct idnode *idmap_get(const struct idmap *m, struct txn_id id); /* NULL: not in */
void idmap_remove(struct idmap *m, struct idnode *node);           /* must be in */
/* Calls fn for each; fn may remove the node that it is given. */
void idmap_each(struct idmap *m, void (*fn)(void *arg, struct idnode *node), void *arg);

static inline bool txn_id_eq(struct txn_id a, struct txn_id b)
{
    return a.start == b.start && a.gateway == b.gateway && a.counter == b.counter;
}

#endif
