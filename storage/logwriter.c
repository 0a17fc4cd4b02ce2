#include "storage/logwriter.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "storage/plog.h"
#include "storage/store_int.h"

enum { FULL_RETRY_NS = 200 * NS_PER_MS, CPU_EVERY_NS = 20 * NS_PER_MS };

enum stop { RUN, DRAIN, HALT };

struct logwriter {
    struct store *store; /* borrowed */
    struct waker *done;  /* borrowed: the worker's */
    struct waker waker;
    pthread_t thread;
    bool started;
    atomic_int stop;
    _Atomic uint64_t n_syncs;
    pthread_mutex_t mu;       /* lock 3: waiting */
    struct log_batch waiting; /* guarded by mu */
    struct log_batch writing; /* the thread's */
    int64_t cpu_told_mono;    /* the thread's */
};

void log_batch_mark(struct log_batch *b, _Atomic uint64_t *durable, uint64_t seq)
{
    for (size_t i = 0; i < b->n_marks; i++) {
        if (b->marks[i].durable == durable) {
            b->marks[i].seq = seq;
            return;
        }
    }
    if (b->n_marks == b->cap_marks) {
        b->cap_marks = b->cap_marks == 0 ? 8 : b->cap_marks * 2;
        b->marks = xrealloc(b->marks, b->cap_marks * sizeof *b->marks);
    }
    b->marks[b->n_marks++] = (struct log_mark){durable, seq};
}

void log_batch_fini(struct log_batch *b)
{
    buf_fini(&b->rows);
    free(b->marks);
    memset(b, 0, sizeof *b);
}

static void swap(struct log_batch *a, struct log_batch *b)
{
    struct log_batch t = *a;

    *a = *b;
    *b = t;
}

static void clear(struct log_batch *b)
{
    buf_reset(&b->rows);
    b->n_marks = 0;
}

struct logwriter *logwriter_new(struct store *s, struct waker *done)
{
    struct logwriter *lw = xcalloc(1, sizeof *lw);

    lw->store = s;
    lw->done = done;
    pthread_mutex_init(&lw->mu, NULL);
    return lw;
}

void logwriter_put(struct logwriter *lw, struct log_batch *batch)
{
    pthread_mutex_lock(&lw->mu);
    if (lw->waiting.rows.len == 0 && lw->waiting.n_marks == 0) {
        swap(&lw->waiting, batch);
    } else {
        buf_put(&lw->waiting.rows, batch->rows.ptr, batch->rows.len);
        for (size_t i = 0; i < batch->n_marks; i++)
            log_batch_mark(&lw->waiting, batch->marks[i].durable, batch->marks[i].seq);
    }
    pthread_mutex_unlock(&lw->mu);
    clear(batch);
    waker_call(&lw->waker);
}

uint64_t logwriter_syncs(struct logwriter *lw)
{
    return atomic_load(&lw->n_syncs);
}

static enum status write_batch(struct logwriter *lw, struct err *err)
{
    struct engine_txn *x = NULL;
    enum status st;

    TRY(engine_begin(lw->store->engine, &x, err));
    TRY(plog_put(x, buf_bytes(&lw->writing.rows), err));
    st = engine_commit(x, ENGINE_SYNC, err);
    x = NULL;
out:
    engine_abort(x);
    return st;
}

static void publish(const struct log_batch *b)
{
    for (size_t i = 0; i < b->n_marks; i++)
        atomic_store(b->marks[i].durable, b->marks[i].seq);
}

static void tell(struct logwriter *lw, int64_t began, int64_t ended)
{
    const struct store_metrics *m = &lw->store->m;

    metric_add(m->log_syncs, 1);
    metric_add(m->log_bytes, (int64_t)lw->writing.rows.len);
    metric_add(m->log_writer_ns, ended - began);
    hist_add(m->log_sync_ns, ended - began);
    publish(&lw->writing);
    atomic_fetch_add(&lw->n_syncs, 1);
    waker_call(lw->done);
}

bool logwriter_take(struct logwriter *lw)
{
    pthread_mutex_lock(&lw->mu);
    if (lw->writing.rows.len == 0)
        swap(&lw->waiting, &lw->writing);
    pthread_mutex_unlock(&lw->mu);
    ASSERT(lw->writing.rows.len > 0 || lw->writing.n_marks == 0);
    if (MUTATED(&lw->store->o, durable_before_write))
        publish(&lw->writing);
    return lw->writing.rows.len > 0;
}

enum status logwriter_write(struct logwriter *lw, struct err *err)
{
    int64_t began = store_mono(lw->store);
    enum status st = write_batch(lw, err);

    if (st == ST_OK) {
        store_set_full(lw->store, STORE_FULL_LOG, NULL);
        tell(lw, began, store_mono(lw->store));
        clear(&lw->writing);
    } else if (store_is_disk_full(st, err)) {
        store_set_full(lw->store, STORE_FULL_LOG, err);
    } else if (st != ST_RETRY) {
        store_fatal(lw->store, err);
    }
    return st;
}

/* Writes the batch, however long a full disk makes that take. False: the thread must end. */
static bool write_until_done(struct logwriter *lw)
{
    for (;;) {
        struct err err;
        enum status st = logwriter_write(lw, &err);

        if (st == ST_OK)
            return true;
        if (store_failed(lw->store))
            return false;
        if (atomic_load(&lw->stop) != RUN)
            return false; /* unsynced, so nobody was told anything */
        waker_wait(&lw->waker, FULL_RETRY_NS);
    }
}

static void tell_cpu(struct logwriter *lw)
{
    int64_t mono = mono_now();

    if (mono - lw->cpu_told_mono < CPU_EVERY_NS)
        return;
    lw->cpu_told_mono = mono;
    metric_set(lw->store->m.log_writer_cpu_ns, thread_cpu_ns());
}

static void *run(void *arg)
{
    struct logwriter *lw = arg;

    pthread_setname_np(pthread_self(), "mrd-log");
    while (atomic_load(&lw->stop) != HALT && !store_failed(lw->store)) {
        if (!logwriter_take(lw)) {
            if (atomic_load(&lw->stop) != RUN)
                break;
            tell_cpu(lw);
            waker_wait(&lw->waker, -1);
            continue;
        }
        if (!write_until_done(lw))
            break;
    }
    return NULL;
}

void logwriter_start(struct logwriter *lw)
{
    store_thread(&lw->thread, run, lw);
    lw->started = true;
}

static void end(struct logwriter *lw, enum stop how)
{
    atomic_store(&lw->stop, how);
    waker_call(&lw->waker);
    if (lw->started)
        pthread_join(lw->thread, NULL);
    lw->started = false;
}

void logwriter_stop(struct logwriter *lw)
{
    end(lw, DRAIN);
}

void logwriter_halt(struct logwriter *lw)
{
    end(lw, HALT);
}

void logwriter_free(struct logwriter *lw)
{
    if (lw == NULL)
        return;
    ASSERT(!lw->started);
    log_batch_fini(&lw->waiting);
    log_batch_fini(&lw->writing);
    pthread_mutex_destroy(&lw->mu);
    free(lw);
}
