/* The only file that knows WiredTiger (3.2.1). Its traps, and what guards against each:
 *   - default isolation is read-committed: every session here is opened with isolation=snapshot;
 *   - a mixed transaction of the logged and the unlogged table is torn by a crash: engine.h says so;
 *   - verify, salvage, alter and checkpoints of one table tear transactions: none is called here;
 *   - lookaside and overflow items trigger its checkpoint bugs: snapshots are short, and values never
 *     overflow (leaf_value_max), nor do keys below a tenth of an internal page;
 *   - its group commit is slow with many sync committers: the floor above has one log writer. */
#include "storage/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <wiredtiger.h>

#include "base/check.h"
#include "base/clock.h"
#include "storage/engine_int.h"

enum {
    FORMAT_VERSION = 1,
    WRITERS_MAX = 8,
    SESSIONS_INTERNAL = 64, /* the library's own, generously */
    CONFLICT_RETRIES = 1000,
    CONFLICT_YIELDS = 100,
    CACHE_MIB_MIN = 32
};
/* A look at the cache gathers all of the library's statistics. Below half of what counts as tight it can wait longer:
 * the other half is not written in that time. */
#define LOOK_NS          (5 * NS_PER_MS)
#define LOOK_CALM_NS     (25 * NS_PER_MS)
#define SNAPSHOT_WAIT_NS (200 * NS_PER_MS)
_Static_assert(ENGINE_SESSIONS_MAX == 64, "the free sessions of a pool are the bits of a word");

#define MIB ((uint64_t)1 << 20)

/* Values never become overflow items; keys do above 3 KiB, and then only as separators. */
#define PAGES      "leaf_page_max=16KB,leaf_key_max=16KB,leaf_value_max=64MB,internal_page_max=32KB"
#define LOG_CONFIG "key_format=u,value_format=u," PAGES
/* No prefix compression: making keys of it again cost 8% of all CPU under a write load. */
#define DATA_CONFIG "key_format=u,value_format=u,log=(enabled=false)," PAGES

/* Per cent of the cache that is dirty. A dirty page is written by the next checkpoint, many versions at once, not by
 * eviction after a few of them: with the library's own marks (5 and 20) random writes spent more on eviction than on
 * all else. */
enum {
    DIRTY_TARGET = 60,  /* eviction begins to write, in threads of its own */
    DIRTY_TIGHT = 65,   /* writers let old snapshots end first (make_room) */
    DIRTY_TRIGGER = 90, /* whoever comes must evict */
    EVICTION_THREADS_MAX = 2
};

static const char *const uris[ENGINE_TABLES] = {"table:log", "table:data"};
static const char *const configs[ENGINE_TABLES] = {LOG_CONFIG, DATA_CONFIG};
static const char meta_uri[] = "table:meta"; /* what the store says of itself; logged */
static const char format_key[] = "format";

/* A session with its cursors, made at first use and kept. Belongs to whoever took it from the pool; `cursor` is
 * the engine cursor that lives in it meanwhile. */
struct wt_session {
    struct engine_cursor cursor;
    WT_CURSOR *at; /* the table's cursor that `cursor` moves */
    bool
        has_delivered; /* a row of this snapshot: it cannot be exchanged for a later one unnoticed */
    _Atomic uint64_t n_turns; /* odd: holds a snapshot */
    WT_SESSION *session;
    WT_CURSOR *tables[ENGINE_TABLES];
};

/* The lowest free session goes first, so that few are ever opened and those stay warm. */
struct pool {
    _Atomic uint64_t free; /* bit i: sessions[i] is free */
    atomic_int waiting;
    pthread_mutex_t mu; /* for the wait only */
    pthread_cond_t freed;
    struct wt_session sessions[ENGINE_SESSIONS_MAX];
};

struct wt_engine {
    struct engine base;
    WT_EVENT_HANDLER events;
    struct logger *log; /* borrowed */
    WT_CONNECTION *conn;
    struct pool readers; /* one for each open cursor */
    struct pool
        writers; /* for commits, which wait for nothing: a thread with a cursor open can commit */
    pthread_mutex_t upkeep_mu; /* guards upkeep: opening and checkpoints */
    WT_SESSION *upkeep;
    uint64_t cache_bytes;
    pthread_mutex_t look_mu; /* guards statistics */
    WT_CURSOR *statistics;
    _Atomic int64_t look_at_ns; /* when to look at the cache again */
    atomic_bool is_tight;
    atomic_ullong syncs, checkpoints;
};

static struct wt_engine *wt(struct engine *e)
{
    return (struct wt_engine *)e; /* base is the first member */
}

static enum status wt_raise(int ret, const char *what, struct err *err)
{
    if (ret == WT_ROLLBACK)
        return err_set(err, ST_RETRY, SQLSTATE_SERIALIZATION_FAILURE, "%s: met another writer",
                       what);
    if (ret > 0)
        return engine_errno(ret, what, err);
    return err_set(err, ST_FATAL, SQLSTATE_DATA_CORRUPTED, "%s: %s", what,
                   wiredtiger_strerror(ret));
}

/* -- sessions -- */

static void pool_init(struct pool *p, unsigned n)
{
    pthread_mutex_init(&p->mu, NULL);
    pthread_cond_init(&p->freed, NULL);
    atomic_init(&p->free, n == ENGINE_SESSIONS_MAX ? UINT64_MAX : (UINT64_C(1) << n) - 1);
}

static void pool_fini(struct pool *p)
{
    pthread_mutex_destroy(&p->mu);
    pthread_cond_destroy(&p->freed);
}

/* Counting oneself before looking again, and giving before counting the waiters, cannot miss each other. */
static void pool_wait(struct pool *p)
{
    pthread_mutex_lock(&p->mu);
    atomic_fetch_add(&p->waiting, 1);
    while (atomic_load(&p->free) == 0)
        pthread_cond_wait(&p->freed, &p->mu);
    atomic_fetch_sub(&p->waiting, 1);
    pthread_mutex_unlock(&p->mu);
}

static struct wt_session *pool_take(struct pool *p)
{
    uint64_t set = atomic_load_explicit(&p->free, memory_order_relaxed);

    for (;;) {
        if (set == 0) {
            pool_wait(p);
            set = atomic_load_explicit(&p->free, memory_order_relaxed);
        } else if (atomic_compare_exchange_weak_explicit(&p->free, &set, set & (set - 1),
                                                         memory_order_acquire,
                                                         memory_order_relaxed)) {
            return &p->sessions[__builtin_ctzll(set)];
        }
    }
}

static void pool_give(struct pool *p, struct wt_session *s)
{
    atomic_fetch_or(&p->free, UINT64_C(1) << (s - p->sessions));
    if (atomic_load(&p->waiting) > 0) {
        pthread_mutex_lock(&p->mu);
        pthread_cond_signal(&p->freed);
        pthread_mutex_unlock(&p->mu);
    }
}

static enum status open_session(struct wt_engine *e, WT_SESSION **out, struct err *err)
{
    int ret = e->conn->open_session(e->conn, NULL, "isolation=snapshot", out);

    return ret == 0 ? ST_OK : wt_raise(ret, "open session", err);
}

static enum status ready(struct wt_engine *e, struct wt_session *s, struct err *err)
{
    enum status st = ST_OK;
    int ret;

    if (s->session == NULL)
        TRY(open_session(e, &s->session, err));
    for (int t = 0; t < ENGINE_TABLES; t++) {
        if (s->tables[t] != NULL)
            continue;
        ret = s->session->open_cursor(s->session, uris[t], NULL, NULL, &s->tables[t]);
        if (ret != 0)
            return wt_raise(ret, uris[t], err);
    }
out:
    return st;
}

/* -- writes -- */

static WT_ITEM item(struct bytes b)
{
    WT_ITEM it;

    memset(&it, 0, sizeof it);
    it.data = b.ptr;
    it.size = b.len;
    return it;
}

static int run_op(struct wt_session *s, const struct engine_op *op)
{
    WT_CURSOR *c = s->tables[op->table];
    WT_ITEM key = item(op->key), value = item(op->value);
    int ret;

    c->set_key(c, &key);
    if (!op->removes) {
        c->set_value(c, &value);
        return c->insert(c);
    }
    ret = c->remove(c);
    return ret == WT_NOTFOUND ? 0 : ret;
}

/* One attempt. WT_ROLLBACK: another writer was at the same keys, nothing happened. */
static int run_batch(struct wt_session *s, const struct engine_batch *batch, const char *how)
{
    WT_SESSION *ws = s->session;
    struct rd ops = rd_of(buf_bytes(&batch->ops));
    struct engine_op op;
    int ret = ws->begin_transaction(ws, NULL);

    if (ret != 0)
        return ret;
    while (ret == 0 && engine_op_next(&ops, &op))
        ret = run_op(s, &op);
    if (ret == 0)
        return ws->commit_transaction(ws, how); /* rolls back by itself when it fails */
    (void)ws->rollback_transaction(ws, NULL);   /* `ret` is what to tell */
    return ret;
}

static enum status retry_batch(struct wt_session *s, const struct engine_batch *batch,
                               const char *how, struct err *err)
{
    int ret = run_batch(s, batch, how);

    for (int n = 0; ret == WT_ROLLBACK && n < CONFLICT_RETRIES; n++) {
        /* The other one is in the middle of a short transaction, perhaps without a processor. */
        if (n < CONFLICT_YIELDS)
            sched_yield();
        else
            mono_sleep_until(mono_now() + NS_PER_MS / 4);
        ret = run_batch(s, batch, how);
    }
    return ret == 0 ? ST_OK : wt_raise(ret, "commit", err);
}

/* -- room in the cache --
 * What a snapshot may still have to see cannot leave the cache but by way of the lookaside, to which the
 * engine turns once its dirty share is half way from target to trigger. A reader that got no processor may
 * hold its snapshot for long; so when the cache grows tight, writers let those end that stand open. */

static uint64_t statistic(WT_CURSOR *c, int which)
{
    const char *name, *text;
    uint64_t value = 0;

    c->set_key(c, which);
    if (c->search(c) != 0 || c->get_value(c, &name, &text, &value) != 0)
        return 0;
    return value;
}

static void look_at_cache(struct wt_engine *e, int64_t now)
{
    uint64_t dirty, tight = e->cache_bytes * DIRTY_TIGHT / 100;

    if (pthread_mutex_trylock(&e->look_mu) != 0)
        return; /* somebody is looking */
    atomic_store_explicit(&e->look_at_ns, now + LOOK_NS, memory_order_relaxed);
    if (e->statistics->reset(e->statistics) == 0) { /* gathers anew */
        dirty = statistic(e->statistics, WT_STAT_CONN_CACHE_BYTES_DIRTY);
        atomic_store_explicit(&e->is_tight, dirty > tight, memory_order_relaxed);
        if (dirty < tight / 2)
            atomic_store_explicit(&e->look_at_ns, now + LOOK_CALM_NS, memory_order_relaxed);
    }
    pthread_mutex_unlock(&e->look_mu);
}

/* Until every snapshot that is open now has ended, or the time is up: its holder may be waiting for us. */
static void let_snapshots_end(struct wt_engine *e, int64_t now)
{
    const struct timespec pause = {.tv_nsec = NS_PER_MS / 10};

    for (int i = 0; i < ENGINE_SESSIONS_MAX; i++) {
        const struct wt_session *s = &e->readers.sessions[i];
        uint64_t turn = atomic_load(&s->n_turns);

        while (turn % 2 == 1 && atomic_load(&s->n_turns) == turn &&
               mono_now() < now + SNAPSHOT_WAIT_NS)
            nanosleep(&pause, NULL);
    }
}

static void make_room(struct wt_engine *e)
{
    int64_t now = mono_now();

    if (now >= atomic_load_explicit(&e->look_at_ns, memory_order_relaxed))
        look_at_cache(e, now);
    if (atomic_load_explicit(&e->is_tight, memory_order_relaxed))
        let_snapshots_end(e, now);
}

static enum status wt_apply(struct engine *base, const struct engine_batch *batch,
                            enum engine_sync sync, struct err *err)
{
    struct wt_engine *e = wt(base);
    struct wt_session *s;
    bool syncs = sync == ENGINE_SYNC && !FAULT(base->faults, "engine.nosync");
    enum status st;

    if (batch->touches[ENGINE_DATA])
        make_room(e);
    s = pool_take(&e->writers);
    TRY(ready(e, s, err));
    if (batch->ops.len > 0)
        TRY(retry_batch(s, batch, syncs ? "sync=on" : "sync=off", err));
    if (syncs &&
        !batch->touches[ENGINE_LOG]) { /* nothing of it is in the log; what came before is */
        int ret = s->session->log_flush(s->session, "sync=on");

        TRY(ret == 0 ? ST_OK : wt_raise(ret, "log flush", err));
    }
    if (sync == ENGINE_SYNC) {
        atomic_fetch_add_explicit(&e->syncs, 1, memory_order_relaxed);
        TRY(engine_fault(base, "engine.sync", EIO, err));
    }
out:
    pool_give(&e->writers, s);
    return st;
}

/* Places c on the first key >= from; on the last one < to. */
static int place(WT_CURSOR *c, struct bytes key, bool before)
{
    WT_ITEM it = item(key);
    int exact, ret;

    if (key.len == 0) {
        ret = c->reset(c);
        if (ret == 0)
            ret = before ? c->prev(c) : c->next(c);
        return ret;
    }
    c->set_key(c, &it);
    ret = c->search_near(c, &exact);
    if (ret == 0 && !before && exact < 0)
        ret = c->next(c);
    else if (ret == 0 && before && exact >= 0)
        ret = c->prev(c);
    return ret;
}

static struct bytes key_of(WT_CURSOR *c)
{
    WT_ITEM it;
    int ret = c->get_key(c, &it);

    ASSERT(ret == 0); /* the cursor is positioned */
    return bytes_of(it.data, it.size);
}

static int truncate_range(WT_SESSION *ws, WT_CURSOR *first, WT_CURSOR *last, struct bytes from,
                          struct bytes to)
{
    int ret = ws->begin_transaction(ws, NULL);

    if (ret != 0)
        return ret;
    ret = place(first, from, false);
    if (ret == 0)
        ret = place(last, to, true);
    if (ret == 0 && bytes_cmp(key_of(first), key_of(last)) <= 0)
        ret = ws->truncate(ws, NULL, first, last, NULL);
    if (ret == 0)
        return ws->commit_transaction(ws, "sync=off");
    (void)ws->rollback_transaction(ws, NULL); /* `ret` is what to tell */
    return ret == WT_NOTFOUND ? 0 : ret;
}

static enum status wt_truncate(struct engine *base, enum engine_table t, struct bytes from,
                               struct bytes to, struct err *err)
{
    struct wt_engine *e = wt(base);
    struct wt_session *s = pool_take(&e->writers);
    WT_CURSOR *last = NULL;
    enum status st;
    int ret;

    TRY(ready(e, s, err));
    ret = s->session->open_cursor(s->session, uris[t], NULL, NULL, &last);
    if (ret == 0) {
        ret = truncate_range(s->session, s->tables[t], last, from, to);
        for (int n = 0; ret == WT_ROLLBACK && n < CONFLICT_RETRIES; n++)
            ret = truncate_range(s->session, s->tables[t], last, from, to);
        (void)last->close(last); /* holds nothing */
    }
    if (ret != 0)
        st = wt_raise(ret, "truncate", err);
out:
    pool_give(&e->writers, s);
    return st;
}

/* -- reads -- */

static enum status wt_cursor_open(struct engine *base, enum engine_table t,
                                  struct engine_cursor **out, struct err *err)
{
    struct wt_engine *e = wt(base);
    struct wt_session *s = pool_take(&e->readers);
    enum status st;
    int ret;

    TRY(ready(e, s, err));
    ret = s->session->begin_transaction(s->session, NULL);
    if (ret != 0) {
        st = wt_raise(ret, "begin", err);
        goto out;
    }
    atomic_fetch_add(&s->n_turns, 1);
    s->at = s->tables[t];
    s->has_delivered = false;
    s->cursor.e = base;
    s->cursor.placed = false;
    *out = &s->cursor;
    return ST_OK;
out:
    pool_give(&e->readers, s);
    return st;
}

static struct wt_session *wt_cursor(struct engine_cursor *c)
{
    return (struct wt_session *)c; /* cursor is the first member */
}

/* Rolling back also resets the session's cursors, so that none pins a page. */
static void wt_cursor_close(struct engine_cursor *c)
{
    struct wt_session *s = wt_cursor(c);

    (void)s->session->rollback_transaction(s->session, NULL); /* a read has nothing to lose */
    atomic_fetch_add(&s->n_turns, 1);
    pool_give(&wt(c->e)->readers, s);
}

static int step(WT_CURSOR *c, enum engine_move how, struct bytes key)
{
    switch (how) {
    case ENGINE_SEEK:
        return place(c, key, false);
    case ENGINE_SEEK_BEFORE:
        return place(c, key, true);
    case ENGINE_NEXT:
        return c->next(c);
    case ENGINE_PREV:
        return c->prev(c);
    }
    return EINVAL;
}

static int load(struct wt_session *s)
{
    WT_ITEM key, value;
    int ret = s->at->get_key(s->at, &key);

    if (ret == 0)
        ret = s->at->get_value(s->at, &value);
    if (ret != 0)
        return ret;
    s->cursor.key = bytes_of(key.data, key.size);
    s->cursor.value = bytes_of(value.data, value.size);
    s->has_delivered = true;
    return 0;
}

static enum status wt_move(struct engine_cursor *c, enum engine_move how, struct bytes key,
                           struct err *err)
{
    struct wt_session *s = wt_cursor(c);
    WT_SESSION *ws = s->session;
    int ret = step(s->at, how, key);

    /* Its cache is full of old versions: it wants this snapshot to end. */
    for (int n = 0; ret == WT_ROLLBACK && !s->has_delivered && n < CONFLICT_RETRIES; n++) {
        (void)ws->rollback_transaction(ws, NULL); /* a read has nothing to lose */
        ret = ws->begin_transaction(ws, NULL);
        if (ret == 0)
            ret = step(s->at, how, key);
    }
    if (ret == 0)
        ret = load(s);
    if (ret == 0)
        return ST_OK;
    return ret == WT_NOTFOUND ? ST_NOTFOUND : wt_raise(ret, "read", err);
}

/* -- upkeep -- */

static enum status wt_checkpoint(struct engine *base, struct err *err)
{
    struct wt_engine *e = wt(base);
    int ret;

    pthread_mutex_lock(&e->upkeep_mu);
    ret = e->upkeep->checkpoint(e->upkeep, NULL);
    pthread_mutex_unlock(&e->upkeep_mu);
    if (ret != 0)
        return wt_raise(ret, "checkpoint", err);
    atomic_fetch_add_explicit(&e->checkpoints, 1, memory_order_relaxed);
    return ST_OK;
}

static void wt_stats(struct engine *base, struct engine_stats *out)
{
    struct wt_engine *e = wt(base);
    WT_CURSOR *c = e->statistics;

    out->syncs = atomic_load_explicit(&e->syncs, memory_order_relaxed);
    out->checkpoints = atomic_load_explicit(&e->checkpoints, memory_order_relaxed);
    pthread_mutex_lock(&e->look_mu);
    if (c->reset(c) == 0) { /* gathers anew */
        out->lookaside_inserts = statistic(c, WT_STAT_CONN_CACHE_LOOKASIDE_INSERT);
        out->cache_bytes = statistic(c, WT_STAT_CONN_CACHE_BYTES_INUSE);
        out->log_bytes = statistic(c, WT_STAT_CONN_LOG_BYTES_WRITTEN);
    }
    pthread_mutex_unlock(&e->look_mu);
}

/* Closing the connection closes its sessions and cursors, and checkpoints unless it has panicked. */
static void wt_close(struct engine *base)
{
    struct wt_engine *e = wt(base);
    int ret = e->conn == NULL ? 0 : e->conn->close(e->conn, NULL);

    if (ret != 0)
        log_event(e->log, LOG_ERROR, "engine.close", "error=\"%s\"", wiredtiger_strerror(ret));
    pool_fini(&e->readers);
    pool_fini(&e->writers);
    pthread_mutex_destroy(&e->upkeep_mu);
    pthread_mutex_destroy(&e->look_mu);
    free(e);
}

static const struct engine_ops wt_ops = {
    .close = wt_close,
    .apply = wt_apply,
    .truncate = wt_truncate,
    .cursor_open = wt_cursor_open,
    .cursor_close = wt_cursor_close,
    .move = wt_move,
    .checkpoint = wt_checkpoint,
    .stats = wt_stats,
};

/* -- opening -- */

static struct wt_engine *of_handler(WT_EVENT_HANDLER *h)
{
    return (struct wt_engine *)((char *)h - offsetof(struct wt_engine, events));
}

static int on_error(WT_EVENT_HANDLER *h, WT_SESSION *ws, int error, const char *message)
{
    (void)ws;
    log_event(of_handler(h)->log, LOG_ERROR, "engine.wiredtiger", "error=%d message=\"%s\"", error,
              message);
    return 0;
}

static int on_message(WT_EVENT_HANDLER *h, WT_SESSION *ws, const char *message)
{
    (void)ws;
    log_event(of_handler(h)->log, LOG_DEBUG, "engine.wiredtiger", "message=\"%s\"", message);
    return 0;
}

/* The directory, and its name in the directory above, durable. */
static enum status make_dir(const char *dir, struct err *err)
{
    char *copy = xstrdup(dir);
    int fd = -1;
    enum status st = ST_OK;

    if (mkdir(dir, 0750) != 0 && errno != EEXIST) {
        st = engine_errno(errno, dir, err);
        goto out;
    }
    fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        st = engine_errno(errno, dir, err);
out:
    if (fd >= 0)
        (void)close(fd); /* nothing was written through it */
    free(copy);
    return st;
}

static enum status open_connection(struct wt_engine *e, const struct engine_options *o,
                                   struct err *err)
{
    char config[512];
    uint64_t log_file = o->log_file_bytes != 0 ? o->log_file_bytes : 16 * MIB;
    int ret;

    if (e->cache_bytes < CACHE_MIB_MIN * MIB)
        return err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                       "a cache of %" PRIu64 " bytes is below the least, %d MiB", e->cache_bytes,
                       CACHE_MIB_MIN);
    /* With method=none a sync commit writes to the kernel and stops there: what fault_nosync is for. */
    ret = snprintf(config, sizeof config,
                   "create,config_base=false,cache_size=%" PRIu64 ",session_max=%d,"
                   "log=(enabled=true,archive=true,file_max=%" PRIu64 "),"
                   "transaction_sync=(enabled=false,method=%s),mmap=false,"
                   "eviction=(threads_min=1,threads_max=%d),eviction_dirty_target=%d,"
                   "eviction_dirty_trigger=%d,statistics=(fast)",
                   e->cache_bytes, ENGINE_SESSIONS_MAX + WRITERS_MAX + SESSIONS_INTERNAL, log_file,
                   o->fault_nosync ? "none" : "fsync", EVICTION_THREADS_MAX, DIRTY_TARGET,
                   DIRTY_TRIGGER);
    ASSERT(ret > 0 && (size_t)ret < sizeof config);
    ret = wiredtiger_open(o->dir, &e->events, config, &e->conn);
    return ret == 0 ? ST_OK : wt_raise(ret, o->dir, err);
}

static enum status open_statistics(struct wt_engine *e, struct err *err)
{
    WT_SESSION *ws;
    enum status st;
    int ret;

    TRY(open_session(e, &ws, err));
    ret = ws->open_cursor(ws, "statistics:", NULL, "statistics=(fast)", &e->statistics);
    if (ret != 0)
        st = wt_raise(ret, "statistics", err);
out:
    return st;
}

static enum status read_format(WT_CURSOR *meta, uint32_t *out, struct err *err)
{
    WT_ITEM key = item(bytes_str(format_key)), value;
    struct rd rd;
    int ret;

    meta->set_key(meta, &key);
    ret = meta->search(meta);
    if (ret == 0)
        ret = meta->get_value(meta, &value);
    if (ret != 0)
        return ret == WT_NOTFOUND ? ST_NOTFOUND : wt_raise(ret, "read format", err);
    rd = rd_of(bytes_of(value.data, value.size));
    *out = rd_u32(&rd);
    if (rd.bad || rd_left(&rd) != 0)
        return err_set(err, ST_FATAL, SQLSTATE_DATA_CORRUPTED, "the store's format is no number");
    return ST_OK;
}

static enum status write_format(WT_SESSION *ws, WT_CURSOR *meta, struct err *err)
{
    struct buf text = {0};
    WT_ITEM key = item(bytes_str(format_key)), value;
    int ret;

    buf_put_u32(&text, FORMAT_VERSION);
    value = item(buf_bytes(&text));
    ret = ws->begin_transaction(ws, NULL);
    if (ret == 0) {
        meta->set_key(meta, &key);
        meta->set_value(meta, &value);
        ret = meta->insert(meta);
        if (ret == 0)
            ret = ws->commit_transaction(ws, "sync=on");
        else
            (void)ws->rollback_transaction(ws, NULL); /* `ret` is what to tell */
    }
    buf_fini(&text);
    return ret == 0 ? ST_OK : wt_raise(ret, "write format", err);
}

/* The format is written last: a store without it is one whose making was cut short, and is empty. */
static enum status open_tables(struct wt_engine *e, struct err *err)
{
    enum status st;
    WT_SESSION *ws = e->upkeep;
    WT_CURSOR *meta = NULL;
    uint32_t format = 0;
    int ret = ws->create(ws, meta_uri, LOG_CONFIG);

    if (ret == 0)
        ret = ws->open_cursor(ws, meta_uri, NULL, NULL, &meta);
    if (ret != 0)
        return wt_raise(ret, meta_uri, err);
    st = read_format(meta, &format, err);
    if (st == ST_OK && format != FORMAT_VERSION)
        st = err_set(err, ST_FATAL, SQLSTATE_FEATURE_NOT_SUPPORTED,
                     "the store has format %" PRIu32 ", this program knows %d", format,
                     FORMAT_VERSION);
    if (st != ST_NOTFOUND)
        goto out;
    for (int t = 0; t < ENGINE_TABLES; t++) {
        ret = ws->create(ws, uris[t], configs[t]);
        if (ret != 0) {
            st = wt_raise(ret, uris[t], err);
            goto out;
        }
    }
    st = write_format(ws, meta, err);
out:
    (void)meta->close(meta); /* holds nothing */
    return st;
}

enum status engine_wt_open(const struct engine_options *opts, struct engine **out, struct err *err)
{
    enum status st;
    struct wt_engine *e = xcalloc(1, sizeof *e);

    e->base.ops = &wt_ops;
    e->base.faults = opts->faults;
    e->log = opts->log;
    e->cache_bytes = opts->cache_bytes != 0 ? opts->cache_bytes : 64 * MIB;
    e->events.handle_error = on_error;
    e->events.handle_message = on_message;
    pool_init(&e->readers, ENGINE_SESSIONS_MAX);
    pool_init(&e->writers, WRITERS_MAX);
    pthread_mutex_init(&e->upkeep_mu, NULL);
    pthread_mutex_init(&e->look_mu, NULL);
    TRY(make_dir(opts->dir, err));
    TRY(open_connection(e, opts, err));
    TRY(open_session(e, &e->upkeep, err));
    TRY(open_statistics(e, err));
    TRY(open_tables(e, err));
    TRY(ready(e, &e->readers.sessions[0],
              err)); /* a table that is gone shows here, not at the first read */
    *out = &e->base;
    e = NULL;
out:
    if (e != NULL)
        wt_close(&e->base);
    return st;
}
