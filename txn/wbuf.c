#include "txn/wbuf.h"

#include "base/check.h"

/* Values that were overwritten stay in the arena: so much more than bytes_max it may hold. */
enum { MEMORY_FACTOR = 4 };

void wbuf_init(struct wbuf *w)
{
    *w = (struct wbuf){0};
    keytree_init(&w->tree, NULL);
    arena_init(&w->mem, 0);
}

void wbuf_fini(struct wbuf *w)
{
    arena_fini(&w->mem);
}

static struct wbuf_key *key_of(struct keynode *n)
{
    return n == NULL ? NULL : KEYTREE_OWNER(n, struct wbuf_key, node);
}

static struct wbuf_key *add_key(struct wbuf *w, struct bytes key)
{
    struct wbuf_key *k = arena_zalloc(&w->mem, sizeof *k);

    k->node.key = arena_copy(&w->mem, key);
    keytree_insert(&w->tree, &k->node);
    w->bytes += key.len;
    return k;
}

/* A value of its own if a scan may still want the one before; otherwise the same place. */
static struct wbuf_value *place_for(struct wbuf *w, struct wbuf_key *k, size_t len)
{
    struct wbuf_value *v = k->newest;

    if (v == NULL || w->n_scans > 0) {
        v = arena_zalloc(&w->mem, sizeof *v);
        v->older = w->n_scans > 0 ? k->newest : NULL;
        k->newest = v;
    } else if (v->value.len >= len && len > 0) {
        return v; /* its bytes can be overwritten */
    }
    v->value = bytes_of(len > 0 ? arena_alloc(&w->mem, len) : NULL, len);
    return v;
}

bool wbuf_put(struct wbuf *w, struct bytes key, struct bytes value, bool tombstone,
              size_t bytes_max)
{
    struct wbuf_key *k = key_of(keytree_find(&w->tree, key));
    size_t gone = k != NULL ? k->newest->value.len : 0;
    size_t added = value.len + (k == NULL ? key.len : 0);
    struct wbuf_value *v;

    if (w->bytes - gone + added > bytes_max ||
        w->mem.used + added > (size_t)MEMORY_FACTOR * bytes_max)
        return false;
    if (k == NULL)
        k = add_key(w, key);
    v = place_for(w, k, value.len);
    if (value.len > 0) {
        uint8_t *to = (uint8_t *)(uintptr_t)v->value.ptr; /* our own memory */

        memmove(to, value.ptr, value.len);
    }
    v->value.len = value.len;
    v->tombstone = tombstone;
    v->seq = ++w->seq;
    w->bytes += value.len - gone;
    return true;
}

const struct wbuf_value *wbuf_get(const struct wbuf *w, struct bytes key)
{
    struct wbuf_key *k = w->tree.n == 0 ? NULL : key_of(keytree_find(&w->tree, key));

    return k == NULL ? NULL : k->newest;
}

const struct record_write *wbuf_writes(struct wbuf *w, size_t *out_n)
{
    struct record_write *writes = arena_alloc(&w->mem, w->tree.n * sizeof *writes + 1);
    struct keynode *n = keytree_at_least(&w->tree, bytes_of("", 0));
    size_t i = 0;

    for (; n != NULL; n = keytree_after(&w->tree, n->key, n->rank)) {
        const struct wbuf_value *v = key_of(n)->newest;

        writes[i++] = (struct record_write){n->key, v->value, v->tombstone};
    }
    ASSERT(i == w->tree.n);
    *out_n = i;
    return writes;
}

uint64_t wbuf_scan_begin(struct wbuf *w)
{
    w->n_scans++;
    return w->seq;
}

void wbuf_scan_end(struct wbuf *w)
{
    ASSERT(w->n_scans > 0);
    w->n_scans--;
}

static const struct wbuf_value *value_at(const struct wbuf_key *k, uint64_t seq)
{
    const struct wbuf_value *v = k->newest;

    while (v != NULL && v->seq > seq)
        v = v->older;
    return v;
}

/* From n on, the first whose write is not younger than seq. */
static bool settle(const struct wbuf *w, struct keynode *n, bool reverse, uint64_t seq,
                   struct bytes *out_key, const struct wbuf_value **out)
{
    while (n != NULL) {
        *out = value_at(key_of(n), seq);
        if (*out != NULL) {
            *out_key = n->key;
            return true;
        }
        n = reverse ? keytree_below(&w->tree, n->key) : keytree_after(&w->tree, n->key, n->rank);
    }
    return false;
}

bool wbuf_scan_from(const struct wbuf *w, struct bytes from, bool reverse, uint64_t seq,
                    struct bytes *out_key, const struct wbuf_value **out)
{
    return settle(w, reverse ? keytree_below(&w->tree, from) : keytree_at_least(&w->tree, from),
                  reverse, seq, out_key, out);
}

bool wbuf_scan_after(const struct wbuf *w, struct bytes key, bool reverse, uint64_t seq,
                     struct bytes *out_key, const struct wbuf_value **out)
{
    return settle(w, reverse ? keytree_below(&w->tree, key) : keytree_after(&w->tree, key, 0),
                  reverse, seq, out_key, out);
}
