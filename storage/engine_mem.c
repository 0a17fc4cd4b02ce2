#include "storage/engine_mem.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/rng.h"
#include "storage/engine_int.h"
#include "storage/memtree.h"

/* States of LOG that a crash can choose from. Beyond it the older half is taken for written, as a kernel
 * writes pages back in its own time. */
enum { UNSYNCED_MAX = 1024 };

struct memdisk {
    pthread_mutex_t mu; /* guards everything below; held for single operations only */
    struct rng rng;
    uint64_t power;                         /* number of crashes so far */
    struct memnode *now[ENGINE_TABLES];     /* as engines see it */
    struct memnode *data_checkpoint;        /* DATA after a crash */
    struct memnode *log_synced;             /* the least that LOG is after a crash */
    struct memnode *unsynced[UNSYNCED_MAX]; /* LOG after each later commit */
    size_t n_unsynced;
};

struct mem_engine {
    struct engine base;
    struct memdisk *disk;
    uint64_t power; /* of the disk when it was opened: an older one has crashed */
    bool durable;   /* reads what a crash would leave, whenever; never writes */
    atomic_ullong syncs, checkpoints, log_bytes;
};

struct mem_cursor {
    struct engine_cursor base;
    struct memnode *tree;
};

struct memdisk *memdisk_new(uint64_t seed)
{
    struct memdisk *d = xcalloc(1, sizeof *d);

    pthread_mutex_init(&d->mu, NULL);
    rng_seed(&d->rng, seed);
    return d;
}

static void forget_unsynced_locked(struct memdisk *d, size_t n)
{
    for (size_t i = 0; i < n; i++)
        memtree_unref(d->unsynced[i]);
    d->n_unsynced -= n;
    memmove(d->unsynced, d->unsynced + n, d->n_unsynced * sizeof d->unsynced[0]);
}

static void set_tree(struct memnode **slot, struct memnode *tree)
{
    struct memnode *old = *slot;

    *slot = memtree_ref(tree);
    memtree_unref(old);
}

void memdisk_free(struct memdisk *d)
{
    if (d == NULL)
        return;
    forget_unsynced_locked(d, d->n_unsynced);
    for (int t = 0; t < ENGINE_TABLES; t++)
        memtree_unref(d->now[t]);
    memtree_unref(d->data_checkpoint);
    memtree_unref(d->log_synced);
    pthread_mutex_destroy(&d->mu);
    free(d);
}

void memdisk_crash(struct memdisk *d)
{
    size_t kept;

    pthread_mutex_lock(&d->mu);
    d->power++;
    kept = (size_t)rng_below(&d->rng, d->n_unsynced + 1);
    if (kept > 0)
        set_tree(&d->log_synced, d->unsynced[kept - 1]);
    forget_unsynced_locked(d, d->n_unsynced);
    set_tree(&d->now[ENGINE_LOG], d->log_synced);
    set_tree(&d->now[ENGINE_DATA], d->data_checkpoint);
    pthread_mutex_unlock(&d->mu);
}

static void sync_log_locked(struct memdisk *d)
{
    forget_unsynced_locked(d, d->n_unsynced);
    set_tree(&d->log_synced, d->now[ENGINE_LOG]);
}

static void note_unsynced_locked(struct memdisk *d)
{
    if (d->n_unsynced == UNSYNCED_MAX) {
        set_tree(&d->log_synced, d->unsynced[UNSYNCED_MAX / 2 - 1]);
        forget_unsynced_locked(d, UNSYNCED_MAX / 2);
    }
    d->unsynced[d->n_unsynced++] = memtree_ref(d->now[ENGINE_LOG]);
}

static struct mem_engine *mem(struct engine *e)
{
    return (struct mem_engine *)e; /* base is the first member */
}

/* The disk, locked; NULL (unlocked) if it crashed since e was opened. */
static struct memdisk *lock_disk(struct mem_engine *e, struct err *err)
{
    pthread_mutex_lock(&e->disk->mu);
    if (e->power == e->disk->power || e->durable)
        return e->disk;
    pthread_mutex_unlock(&e->disk->mu);
    (void)err_set(err, ST_FATAL, SQLSTATE_IO_ERROR, "the memory disk has crashed");
    return NULL;
}

static void apply_ops_locked(struct mem_engine *e, const struct engine_batch *batch)
{
    struct rd ops = rd_of(buf_bytes(&batch->ops));
    struct engine_op op;

    while (engine_op_next(&ops, &op)) {
        if (op.removes)
            memtree_delete(&e->disk->now[op.table], op.key);
        else
            memtree_put(&e->disk->now[op.table], op.key, op.value);
        if (op.table == ENGINE_LOG)
            atomic_fetch_add(&e->log_bytes, op.key.len + op.value.len);
    }
}

static enum status mem_apply(struct engine *base, const struct engine_batch *batch,
                             enum engine_sync sync, struct err *err)
{
    struct mem_engine *e = mem(base);
    struct memdisk *d = lock_disk(e, err);
    enum status st = ST_OK;

    if (d == NULL)
        return ST_FATAL;
    ASSERT(!e->durable);
    apply_ops_locked(e, batch);
    if (batch->touches[ENGINE_LOG])
        note_unsynced_locked(d);
    if (sync == ENGINE_SYNC) {
        atomic_fetch_add(&e->syncs, 1);
        TRY(engine_fault(base, "engine.sync", EIO, err));
        if (!FAULT(base->faults, "engine.nosync"))
            sync_log_locked(d);
    }
out:
    pthread_mutex_unlock(&d->mu);
    return st;
}

static enum status mem_truncate(struct engine *base, enum engine_table t, struct bytes from,
                                struct bytes to, struct err *err)
{
    struct memdisk *d = lock_disk(mem(base), err);

    if (d == NULL)
        return ST_FATAL;
    memtree_truncate(&d->now[t], from, to);
    if (t == ENGINE_LOG)
        note_unsynced_locked(d);
    pthread_mutex_unlock(&d->mu);
    return ST_OK;
}

static enum status mem_cursor_open(struct engine *base, enum engine_table t,
                                   struct engine_cursor **out, struct err *err)
{
    struct memdisk *d = lock_disk(mem(base), err);
    struct mem_cursor *c;

    if (d == NULL)
        return ST_FATAL;
    c = xcalloc(1, sizeof *c);
    c->base.e = base;
    if (mem(base)->durable)
        c->tree = memtree_ref(t == ENGINE_LOG ? d->log_synced : d->data_checkpoint);
    else
        c->tree = memtree_ref(d->now[t]);
    pthread_mutex_unlock(&d->mu);
    *out = &c->base;
    return ST_OK;
}

static struct mem_cursor *mem_cursor(struct engine_cursor *c)
{
    return (struct mem_cursor *)c; /* base is the first member */
}

static void mem_cursor_close(struct engine_cursor *c)
{
    memtree_unref(mem_cursor(c)->tree);
    free(c);
}

static bool locate(struct engine_cursor *c, enum engine_move how, struct bytes key)
{
    const struct memnode *tree = mem_cursor(c)->tree;

    switch (how) {
    case ENGINE_SEEK:
        return memtree_from(tree, key, &c->key, &c->value);
    case ENGINE_SEEK_BEFORE:
        return memtree_below(tree, key, &c->key, &c->value);
    case ENGINE_NEXT:
        return memtree_above(tree, c->key, &c->key, &c->value);
    case ENGINE_PREV:
        return memtree_below(tree, c->key, &c->key, &c->value);
    }
    return false;
}

static enum status mem_move(struct engine_cursor *c, enum engine_move how, struct bytes key,
                            struct err *err)
{
    (void)err;
    return locate(c, how, key) ? ST_OK : ST_NOTFOUND;
}

static enum status mem_checkpoint(struct engine *base, struct err *err)
{
    struct mem_engine *e = mem(base);
    struct memdisk *d = lock_disk(e, err);

    if (d == NULL)
        return ST_FATAL;
    set_tree(&d->data_checkpoint, d->now[ENGINE_DATA]);
    pthread_mutex_unlock(&d->mu);
    atomic_fetch_add(&e->checkpoints, 1);
    return ST_OK;
}

static void mem_stats(struct engine *base, struct engine_stats *out)
{
    struct mem_engine *e = mem(base);

    out->syncs = atomic_load(&e->syncs);
    out->checkpoints = atomic_load(&e->checkpoints);
    out->log_bytes = atomic_load(&e->log_bytes);
}

static void mem_close(struct engine *base)
{
    bool saves = !atomic_load(&base->failed) && !mem(base)->durable;
    struct memdisk *d = saves ? lock_disk(mem(base), NULL) : NULL;

    if (d != NULL) {
        sync_log_locked(d);
        set_tree(&d->data_checkpoint, d->now[ENGINE_DATA]);
        pthread_mutex_unlock(&d->mu);
    }
    free(base);
}

static const struct engine_ops mem_ops = {
    .close = mem_close,
    .apply = mem_apply,
    .truncate = mem_truncate,
    .cursor_open = mem_cursor_open,
    .cursor_close = mem_cursor_close,
    .move = mem_move,
    .checkpoint = mem_checkpoint,
    .stats = mem_stats,
};

struct engine *engine_mem_open(struct memdisk *d, struct faults *faults)
{
    struct mem_engine *e = xcalloc(1, sizeof *e);

    e->base.ops = &mem_ops;
    e->base.faults = faults;
    e->disk = d;
    pthread_mutex_lock(&d->mu);
    e->power = d->power;
    pthread_mutex_unlock(&d->mu);
    return &e->base;
}

struct engine *engine_mem_open_durable(struct memdisk *d)
{
    struct engine *e = engine_mem_open(d, NULL);

    mem(e)->durable = true;
    return e;
}
