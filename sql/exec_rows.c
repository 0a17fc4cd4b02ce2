/* Rows that are kept: copies, order, hashing. */
#include "base/check.h"
#include "sql/exec_int.h"

void store_add(struct row_store *s, struct arena *mem, struct datum *row)
{
    if (s->n == s->cap) {
        size_t cap = s->cap == 0 ? 32 : s->cap * 2;
        struct datum **grown = arena_alloc(mem, cap * sizeof *grown);

        if (s->n > 0)
            memcpy(grown, s->rows, s->n * sizeof *grown);
        s->rows = grown;
        s->cap = cap;
    }
    s->rows[s->n++] = row;
}

struct datum *copy_row(const struct datum *row, size_t n, struct arena *mem)
{
    struct datum *copy = arena_alloc(mem, (n + 1) * sizeof *copy);

    for (size_t i = 0; i < n; i++)
        copy[i] = row[i].null ? row[i] : datum_copy(&row[i], mem);
    return copy;
}

struct datum *copy_slots(const struct datum *slots, const unsigned *which, size_t n,
                         struct arena *mem)
{
    struct datum *copy = arena_alloc(mem, (n + 1) * sizeof *copy);

    for (size_t i = 0; i < n; i++) {
        const struct datum *d = &slots[which[i]];

        copy[i] = d->null ? *d : datum_copy(d, mem);
    }
    return copy;
}

bool rows_equal(const struct datum *a, const struct datum *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (a[i].null != b[i].null || (!a[i].null && datum_cmp(&a[i], &b[i]) != 0))
            return false;
    }
    return true;
}

uint64_t row_hash(const struct datum *row, size_t n)
{
    uint64_t h = UINT64_C(0x9e3779b97f4a7c15);

    for (size_t i = 0; i < n; i++) {
        uint64_t v = row[i].null ? 1 : datum_hash(&row[i]);

        h = (h ^ v) * UINT64_C(0xff51afd7ed558ccd);
        h ^= h >> 32;
    }
    return h;
}

int datum_order(const struct datum *a, const struct datum *b, bool desc, bool nulls_first)
{
    int c;

    if (a->null || b->null) {
        if (a->null && b->null)
            return 0;
        return a->null == nulls_first ? -1 : 1;
    }
    c = datum_cmp(a, b);
    return desc ? -c : c;
}

/* Hash table: entries in order of arrival, chains through indexes. */
struct hash_table {
    struct arena *mem;
    size_t key_width;
    struct hash_entry *entries;
    uint32_t *next; /* of the same bucket; 0 ends, otherwise index + 1 */
    size_t n, cap;
    uint32_t *buckets;
    uint32_t *tails; /* last entry of each bucket: chains keep the order of arrival */
    size_t n_buckets;
};

struct hash_table *hash_new(struct arena *mem, size_t key_width)
{
    struct hash_table *t = arena_zalloc(mem, sizeof *t);

    t->mem = mem;
    t->key_width = key_width;
    t->n_buckets = 64;
    t->buckets = arena_zalloc(mem, t->n_buckets * sizeof *t->buckets);
    t->tails = arena_zalloc(mem, t->n_buckets * sizeof *t->tails);
    return t;
}

size_t hash_count(const struct hash_table *t)
{
    return t->n;
}

struct hash_entry *hash_at(struct hash_table *t, size_t i)
{
    return &t->entries[i];
}

static void link_entry(struct hash_table *t, size_t i)
{
    size_t b = t->entries[i].hash & (t->n_buckets - 1);

    t->next[i] = 0;
    if (t->buckets[b] == 0)
        t->buckets[b] = (uint32_t)i + 1;
    else
        t->next[t->tails[b] - 1] = (uint32_t)i + 1;
    t->tails[b] = (uint32_t)i + 1;
}

static void grow(struct hash_table *t)
{
    size_t cap = t->cap == 0 ? 64 : t->cap * 2;
    struct hash_entry *entries = arena_alloc(t->mem, cap * sizeof *entries);
    uint32_t *next = arena_zalloc(t->mem, cap * sizeof *next);

    if (t->n > 0)
        memcpy(entries, t->entries, t->n * sizeof *entries);
    t->entries = entries;
    t->next = next;
    t->cap = cap;
    if (cap > t->n_buckets) {
        t->n_buckets = cap;
        t->buckets = arena_alloc(t->mem, cap * sizeof *t->buckets);
        t->tails = arena_alloc(t->mem, cap * sizeof *t->tails);
    }
    memset(t->buckets, 0, t->n_buckets * sizeof *t->buckets);
    memset(t->tails, 0, t->n_buckets * sizeof *t->tails);
    for (size_t i = 0; i < t->n; i++)
        link_entry(t, i);
}

struct hash_entry *hash_find(struct hash_table *t, const struct datum *key, uint64_t hash,
                             size_t *io_pos)
{
    size_t i = *io_pos == 0 ? t->buckets[hash & (t->n_buckets - 1)] : t->next[*io_pos - 1];

    for (; i != 0; i = t->next[i - 1]) {
        struct hash_entry *e = &t->entries[i - 1];

        if (e->hash == hash && rows_equal(e->key, key, t->key_width)) {
            *io_pos = i;
            return e;
        }
    }
    return NULL;
}

struct hash_entry *hash_add(struct hash_table *t, struct datum *key, uint64_t hash)
{
    ASSERT(t->n < UINT32_MAX - 1);
    if (t->n == t->cap)
        grow(t);
    t->entries[t->n] = (struct hash_entry){.key = key, .hash = hash};
    link_entry(t, t->n);
    return &t->entries[t->n++];
}
