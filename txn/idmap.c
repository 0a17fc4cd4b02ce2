#include "txn/idmap.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/check.h"

enum { BUCKETS_MIN = 256 };

void idmap_init(struct idmap *m)
{
    m->n_buckets = BUCKETS_MIN;
    m->bucket = xcalloc(m->n_buckets, sizeof(struct idnode *));
    m->n = 0;
}

void idmap_fini(struct idmap *m)
{
    ASSERT(m->n == 0);
    free(m->bucket);
    m->bucket = NULL;
}

static size_t place(const struct idmap *m, struct txn_id id)
{
    uint64_t h = (uint64_t)id.start * 0x9e3779b97f4a7c15u;

    h ^= ((uint64_t)id.gateway << 32 | id.counter) * 0xbf58476d1ce4e5b9u;
    return (size_t)((h ^ h >> 29) * 0x94d049bb133111ebu >> 20) & (m->n_buckets - 1);
}

static void grow(struct idmap *m)
{
    struct idmap wide = {.n_buckets = m->n_buckets * 2, .n = m->n};

    wide.bucket = xcalloc(wide.n_buckets, sizeof(struct idnode *));
    for (size_t i = 0; i < m->n_buckets; i++) {
        for (struct idnode *node = m->bucket[i], *next; node != NULL; node = next) {
            size_t at = place(&wide, node->id);

            next = node->next;
            node->next = wide.bucket[at];
            wide.bucket[at] = node;
        }
    }
    free(m->bucket);
    *m = wide;
}

void idmap_put(struct idmap *m, struct idnode *node)
{
    size_t at;

    if (m->n >= m->n_buckets)
        grow(m);
    at = place(m, node->id);
    node->next = m->bucket[at];
    m->bucket[at] = node;
    m->n++;
}

struct idnode *idmap_get(const struct idmap *m, struct txn_id id)
{
    struct idnode *node = m->bucket[place(m, id)];

    while (node != NULL && !txn_id_eq(node->id, id))
        node = node->next;
    return node;
}

void idmap_remove(struct idmap *m, struct idnode *node)
{
    struct idnode **at = &m->bucket[place(m, node->id)];

    while (*at != node) {
        ASSERT(*at != NULL);
        at = &(*at)->next;
    }
    *at = node->next;
    m->n--;
}

void idmap_each(struct idmap *m, void (*fn)(void *arg, struct idnode *node), void *arg)
{
    for (size_t i = 0; i < m->n_buckets; i++) {
        for (struct idnode *node = m->bucket[i], *next; node != NULL; node = next) {
            next = node->next;
            fn(arg, node);
        }
    }
}
