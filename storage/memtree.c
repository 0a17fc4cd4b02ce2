#include "storage/memtree.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/check.h"

/* A row, shared by all nodes that stand for it in different states of the tree. Never changes. */
struct memrow {
    atomic_uint refs;
    uint32_t key_len, value_len;
    uint8_t data[]; /* key, then value */
};

/* A node that more than one tree can reach never changes. One whose refs are 1, and those of every node on
 * the way to it, belongs to a single tree and is changed in place. */
struct memnode {
    atomic_uint refs;
    uint64_t
        priority; /* hash of the key: parents have the larger one, which keeps the tree shallow */
    struct memrow *row;
    struct memnode *left, *right;
};

static struct bytes row_key(const struct memrow *r)
{
    return bytes_of(r->data, r->key_len);
}

static struct memrow *row_new(struct bytes key, struct bytes value)
{
    struct memrow *r = xmalloc(sizeof *r + key.len + value.len);

    atomic_init(&r->refs, 1);
    r->key_len = (uint32_t)key.len;
    r->value_len = (uint32_t)value.len;
    memcpy(r->data, key.ptr, key.len);
    if (value.len > 0)
        memcpy(r->data + key.len, value.ptr, value.len);
    return r;
}

static void row_unref(struct memrow *r)
{
    if (atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) == 1)
        free(r);
}

struct memnode *memtree_ref(struct memnode *tree)
{
    if (tree != NULL)
        atomic_fetch_add_explicit(&tree->refs, 1, memory_order_relaxed);
    return tree;
}

/* Recursion here and below goes as deep as the tree, which the hashed priorities keep near 3 log2(n). */
void memtree_unref(struct memnode *tree)
{
    if (tree == NULL || atomic_fetch_sub_explicit(&tree->refs, 1, memory_order_acq_rel) != 1)
        return;
    memtree_unref(tree->left);
    memtree_unref(tree->right);
    row_unref(tree->row);
    free(tree);
}

/* All of the following take the caller's reference to the nodes they are given, and return one. */

static struct memnode *node_new(struct memrow *row_take, uint64_t priority, struct memnode *left,
                                struct memnode *right)
{
    struct memnode *n = xmalloc(sizeof *n);

    atomic_init(&n->refs, 1);
    n->priority = priority;
    n->row = row_take;
    n->left = left;
    n->right = right;
    return n;
}

/* The node itself if nobody else holds it, else a copy that may be changed. */
static struct memnode *own(struct memnode *n)
{
    struct memnode *copy;

    if (atomic_load_explicit(&n->refs, memory_order_acquire) == 1)
        return n;
    atomic_fetch_add_explicit(&n->row->refs, 1, memory_order_relaxed);
    copy = node_new(n->row, n->priority, memtree_ref(n->left), memtree_ref(n->right));
    memtree_unref(n);
    return copy;
}

/* Splits into keys < key and keys >= key. */
static void split(struct memnode *n, struct bytes key, struct memnode **out_lt,
                  struct memnode **out_ge)
{
    if (n == NULL) {
        *out_lt = *out_ge = NULL;
        return;
    }
    n = own(n);
    if (bytes_cmp(row_key(n->row), key) < 0) {
        split(n->right, key, &n->right, out_ge);
        *out_lt = n;
    } else {
        split(n->left, key, out_lt, &n->left);
        *out_ge = n;
    }
}

/* Joins two trees; every key of a is below every key of b. */
static struct memnode *join(struct memnode *a, struct memnode *b)
{
    if (a == NULL || b == NULL)
        return a == NULL ? b : a;
    if (a->priority >= b->priority) {
        a = own(a);
        a->right = join(a->right, b);
        return a;
    }
    b = own(b);
    b->left = join(a, b->left);
    return b;
}

static struct memnode *put(struct memnode *n, struct memrow *row_take, uint64_t priority)
{
    struct memnode *left, *right;
    int c;

    if (n == NULL)
        return node_new(row_take, priority, NULL, NULL);
    c = bytes_cmp(row_key(row_take), row_key(n->row));
    /* The same key has the same priority, so it cannot stand below a smaller one. */
    if (c != 0 && priority > n->priority) {
        split(n, row_key(row_take), &left, &right);
        return node_new(row_take, priority, left, right);
    }
    n = own(n);
    if (c == 0) {
        row_unref(n->row);
        n->row = row_take;
    } else if (c < 0) {
        n->left = put(n->left, row_take, priority);
    } else {
        n->right = put(n->right, row_take, priority);
    }
    return n;
}

static struct memnode *remove_key(struct memnode *n, struct bytes key)
{
    struct memnode *rest;
    int c;

    if (n == NULL)
        return NULL;
    c = bytes_cmp(key, row_key(n->row));
    n = own(n);
    if (c == 0) {
        rest = join(n->left, n->right);
        n->left = n->right = NULL;
        memtree_unref(n);
        return rest;
    }
    if (c < 0)
        n->left = remove_key(n->left, key);
    else
        n->right = remove_key(n->right, key);
    return n;
}

void memtree_put(struct memnode **tree, struct bytes key, struct bytes value)
{
    *tree = put(*tree, row_new(key, value), XXH3_64bits(key.ptr, key.len));
}

void memtree_delete(struct memnode **tree, struct bytes key)
{
    *tree = remove_key(*tree, key);
}

void memtree_truncate(struct memnode **tree, struct bytes from, struct bytes to)
{
    struct memnode *below, *middle, *above = NULL;

    split(*tree, from, &below, &middle);
    if (to.len > 0)
        split(middle, to, &middle, &above);
    memtree_unref(middle);
    *tree = join(below, above);
}

static bool found(const struct memnode *n, struct bytes *out_key, struct bytes *out_value)
{
    if (n == NULL)
        return false;
    *out_key = row_key(n->row);
    *out_value = bytes_of(n->row->data + n->row->key_len, n->row->value_len);
    return true;
}

bool memtree_from(const struct memnode *tree, struct bytes key, struct bytes *out_key,
                  struct bytes *out_value)
{
    const struct memnode *best = NULL;

    while (tree != NULL) {
        if (bytes_cmp(row_key(tree->row), key) >= 0) {
            best = tree;
            tree = tree->left;
        } else {
            tree = tree->right;
        }
    }
    return found(best, out_key, out_value);
}

bool memtree_above(const struct memnode *tree, struct bytes key, struct bytes *out_key,
                   struct bytes *out_value)
{
    const struct memnode *best = NULL;

    while (tree != NULL) {
        if (bytes_cmp(row_key(tree->row), key) > 0) {
            best = tree;
            tree = tree->left;
        } else {
            tree = tree->right;
        }
    }
    return found(best, out_key, out_value);
}

bool memtree_below(const struct memnode *tree, struct bytes key, struct bytes *out_key,
                   struct bytes *out_value)
{
    const struct memnode *best = NULL;

    while (tree != NULL) {
        if (key.len == 0 || bytes_cmp(row_key(tree->row), key) < 0) {
            best = tree;
            tree = tree->right;
        } else {
            tree = tree->left;
        }
    }
    return found(best, out_key, out_value);
}
