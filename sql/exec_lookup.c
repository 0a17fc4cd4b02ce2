/* Many rows by key at once. */
#include <stdlib.h>

#include "base/check.h"
#include "sql/exec_int.h"

enum { BATCH_FIRST = 8 };

struct wanted {
    struct bytes key;
    size_t nth;
};

void lookups_begin(struct node *n, struct lookups *l)
{
    if (l->mem == NULL)
        l->mem = run_pool_take(n->run->o.pool);
    arena_reset(l->mem);
    if (l->batch == 0)
        l->batch = n->scan.limit_hint > 0 ? n->scan.limit_hint : BATCH_FIRST;
    else
        l->batch *= 2;
    if (l->batch > TXN_GETS_MAX)
        l->batch = TXN_GETS_MAX;
    l->items = arena_alloc(l->mem, l->batch * sizeof *l->items);
    l->place = NULL;
    l->n = l->at = 0;
}

bool lookups_full(const struct lookups *l)
{
    return l->n == l->batch;
}

void lookups_add(struct lookups *l, struct bytes key)
{
    ASSERT(l->n < l->batch);
    l->items[l->n++] = (struct mvcc_item){.key = arena_copy(l->mem, key)};
}

static int by_key(const void *a, const void *b)
{
    return bytes_cmp(((const struct wanted *)a)->key, ((const struct wanted *)b)->key);
}

/* The key space wants them in order; nothing to do if they came so. */
static void sort_items(struct lookups *l)
{
    struct wanted *wanted;
    size_t i = 1;

    while (i < l->n && bytes_cmp(l->items[i - 1].key, l->items[i].key) <= 0)
        i++;
    if (i >= l->n)
        return;
    wanted = arena_alloc(l->mem, l->n * sizeof *wanted);
    l->place = arena_alloc(l->mem, l->n * sizeof *l->place);
    for (i = 0; i < l->n; i++)
        wanted[i] = (struct wanted){l->items[i].key, i};
    qsort(wanted, l->n, sizeof *wanted, by_key);
    for (i = 0; i < l->n; i++) {
        l->items[i].key = wanted[i].key;
        l->place[wanted[i].nth] = i;
    }
}

enum status lookups_read(struct node *n, struct lookups *l, enum txn_lock lock, struct err *err)
{
    enum status st = ST_OK;

    sort_items(l);
    for (size_t done = 0, got; done < l->n; done += got) {
        TRY(txn_get_many(n->run->o.txn, l->items + done, l->n - done, lock, l->mem, &got, err));
        TRY(check_budget(l->mem, err));
    }
out:
    if (st != ST_OK)
        l->n = 0;
    return st;
}

const struct mvcc_item *lookups_next(struct lookups *l)
{
    size_t i = l->at;

    if (i == l->n)
        return NULL;
    l->at++;
    return &l->items[l->place == NULL ? i : l->place[i]];
}
