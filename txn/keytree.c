#include "txn/keytree.h"

#include "base/check.h"

void keytree_init(struct keytree *t, void (*update)(struct keynode *node))
{
    *t = (struct keytree){.root = NULL, .seed = 0x9e3779b97f4a7c15u, .n = 0, .update = update};
}

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static int order(struct bytes key, uint64_t rank, const struct keynode *n)
{
    int c = bytes_cmp(key, n->key);

    return c != 0 ? c : (rank > n->rank) - (rank < n->rank);
}

static void updated(const struct keytree *t, struct keynode *n)
{
    if (t->update != NULL)
        t->update(n);
}

/* Parts cur into what is before and what is behind (key, rank). Depth: that of the tree. */
static void split(const struct keytree *t, struct keynode *cur, const struct keynode *at,
                  struct keynode **out_left, struct keynode **out_right)
{
    if (cur == NULL) {
        *out_left = *out_right = NULL;
    } else if (order(at->key, at->rank, cur) < 0) {
        split(t, cur->left, at, out_left, &cur->left);
        *out_right = cur;
        updated(t, cur);
    } else {
        split(t, cur->right, at, &cur->right, out_right);
        *out_left = cur;
        updated(t, cur);
    }
}

static struct keynode *merge(const struct keytree *t, struct keynode *a, struct keynode *b)
{
    struct keynode *top;

    if (a == NULL || b == NULL)
        return a == NULL ? b : a;
    if (a->prio > b->prio) {
        a->right = merge(t, a->right, b);
        top = a;
    } else {
        b->left = merge(t, a, b->left);
        top = b;
    }
    updated(t, top);
    return top;
}

static struct keynode *insert_at(const struct keytree *t, struct keynode *cur, struct keynode *node)
{
    int c;

    if (cur == NULL || node->prio > cur->prio) {
        split(t, cur, node, &node->left, &node->right);
        updated(t, node);
        return node;
    }
    c = order(node->key, node->rank, cur);
    ASSERT(c != 0);
    if (c < 0)
        cur->left = insert_at(t, cur->left, node);
    else
        cur->right = insert_at(t, cur->right, node);
    updated(t, cur);
    return cur;
}

void keytree_insert(struct keytree *t, struct keynode *node)
{
    t->seed += 0x9e3779b97f4a7c15u;
    node->prio = mix(t->seed);
    node->left = node->right = NULL;
    t->root = insert_at(t, t->root, node);
    t->n++;
}

static struct keynode *remove_at(const struct keytree *t, struct keynode *cur, struct keynode *node)
{
    int c;

    ASSERT(cur != NULL);
    if (cur == node)
        return merge(t, cur->left, cur->right);
    c = order(node->key, node->rank, cur);
    if (c < 0)
        cur->left = remove_at(t, cur->left, node);
    else
        cur->right = remove_at(t, cur->right, node);
    updated(t, cur);
    return cur;
}

void keytree_remove(struct keytree *t, struct keynode *node)
{
    t->root = remove_at(t, t->root, node);
    node->left = node->right = NULL;
    t->n--;
}

struct keynode *keytree_at_least(const struct keytree *t, struct bytes key)
{
    struct keynode *found = NULL;

    for (struct keynode *n = t->root; n != NULL;) {
        if (order(key, 0, n) <= 0) {
            found = n;
            n = n->left;
        } else {
            n = n->right;
        }
    }
    return found;
}

struct keynode *keytree_find(const struct keytree *t, struct bytes key)
{
    struct keynode *n = keytree_at_least(t, key);

    return n != NULL && bytes_eq(n->key, key) ? n : NULL;
}

struct keynode *keytree_below(const struct keytree *t, struct bytes key)
{
    struct keynode *found = NULL;

    for (struct keynode *n = t->root; n != NULL;) {
        if (order(key, 0, n) > 0) {
            found = n;
            n = n->right;
        } else {
            n = n->left;
        }
    }
    return found;
}

struct keynode *keytree_after(const struct keytree *t, struct bytes key, uint64_t rank)
{
    struct keynode *found = NULL;

    for (struct keynode *n = t->root; n != NULL;) {
        if (order(key, rank, n) < 0) {
            found = n;
            n = n->left;
        } else {
            n = n->right;
        }
    }
    return found;
}

uint64_t key_hash(struct bytes key)
{
    uint64_t h = 0x2545f4914f6cdd1du ^ key.len;
    size_t i = 0;
    uint64_t word;

    for (; i + sizeof word <= key.len; i += sizeof word) {
        memcpy(&word, key.ptr + i, sizeof word);
        h = mix(h ^ word);
    }
    if (i < key.len) {
        word = 0;
        memcpy(&word, key.ptr + i, key.len - i);
        h = mix(h ^ word);
    }
    return mix(h);
}
