#include "storage/upkeep.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/check.h"
#include "base/clock.h"
#include "storage/group_int.h"
#include "storage/mvcc.h"
#include "storage/store_int.h"

enum {
    TICK_NS = 1 * NS_PER_S,
    COLLECT_PAUSE_NS = 10 * NS_PER_MS, /* between slices */
    COLLECT_VERSIONS = 2048,           /* looked at in a slice */
    COLLECT_PASSES = 10,               /* in the time of a retention */
    LAG_MARKS = 32                     /* how finely bytes of log are known by slot */
};

/* Of one group; the thread's, but `before` and `last` are guarded by checkpoint_mu. */
struct care {
    slot_no before; /* applied when the checkpoint before the last one began */
    slot_no last;   /* applied when the last one began */
    slot_no dropped;
    struct { /* how much had been logged when the log was that long; oldest first */
        slot_no slot;
        uint64_t bytes;
    } marks[LAG_MARKS];
    size_t n_marks;
    /* Removal of old versions. */
    bool collecting;
    tstamp horizon;    /* of this pass, or of the last one that was finished */
    struct buf resume; /* where the next slice of the pass begins */
    uint64_t writes_seen;
    tstamp last_write_ts; /* nothing newer was written */
};

struct upkeep {
    struct store *store; /* borrowed */
    pthread_t thread;
    bool started;
    pthread_mutex_t mu; /* lock 6: stop */
    pthread_cond_t cond;
    bool stop;
    pthread_mutex_t checkpoint_mu; /* lock 5: one checkpoint at a time, and the next two */
    int64_t checkpoint_mono;       /* when the last one ended */
    uint64_t checkpoint_log_bytes; /* engine_stats.log_bytes then */
    struct care *care;             /* owned; of each group */
};

struct upkeep *upkeep_new(struct store *s)
{
    struct upkeep *u = xcalloc(1, sizeof *u);
    pthread_condattr_t attr;

    u->store = s;
    u->care = xcalloc(s->n_groups, sizeof *u->care);
    u->checkpoint_mono = store_mono(s);
    pthread_mutex_init(&u->mu, NULL);
    pthread_mutex_init(&u->checkpoint_mu, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&u->cond, &attr);
    pthread_condattr_destroy(&attr);
    return u;
}

/* Checkpoints and the head of the log. */

static enum status checkpoint_locked(struct upkeep *u, struct err *err)
{
    struct store *s = u->store;
    slot_no *applied = xcalloc(s->n_groups, sizeof *applied);
    struct engine_stats stats;
    int64_t began = store_mono(s);
    enum status st;

    /* Read before: the checkpoint holds at least that. */
    for (size_t i = 0; i < s->n_groups; i++)
        applied[i] = tablet_applied(s->groups[i]->tablet);
    engine_stats(s->engine, &stats);
    TRY(engine_checkpoint(s->engine, err));
    for (size_t i = 0; i < s->n_groups; i++) {
        u->care[i].before = u->care[i].last;
        u->care[i].last = applied[i];
    }
    u->checkpoint_mono = store_mono(s);
    u->checkpoint_log_bytes = stats.log_bytes;
    metric_add(s->m.checkpoints, 1);
    metric_add(s->m.checkpoint_ns, u->checkpoint_mono - began);
out:
    free(applied);
    return st;
}

enum status upkeep_checkpoint(struct upkeep *u, struct err *err)
{
    enum status st;

    pthread_mutex_lock(&u->checkpoint_mu);
    st = checkpoint_locked(u, err);
    pthread_mutex_unlock(&u->checkpoint_mu);
    return st;
}

/* What the store does about an error of work that can be tried again later. */
static void judge(struct upkeep *u, enum status st, const struct err *err)
{
    if (st == ST_OK)
        store_set_full(u->store, STORE_FULL_CHECKPOINT, NULL);
    else if (store_is_disk_full(st, err))
        store_set_full(u->store, STORE_FULL_CHECKPOINT, err);
    else if (st != ST_RETRY)
        store_fatal(u->store, err);
}

static bool anything_new(struct upkeep *u)
{
    bool is = false;

    pthread_mutex_lock(&u->checkpoint_mu);
    for (size_t i = 0; i < u->store->n_groups; i++)
        is |= tablet_applied(u->store->groups[i]->tablet) > u->care[i].last;
    pthread_mutex_unlock(&u->checkpoint_mu);
    return is;
}

static void checkpoint_if_due(struct upkeep *u)
{
    const struct store_options *o = &u->store->o;
    struct engine_stats stats;
    enum status st = ST_OK;
    struct err err;
    bool by_time, by_bytes;

    if (!anything_new(u)) /* asked first: an engine's statistics are not free */
        return;
    engine_stats(u->store->engine, &stats);
    pthread_mutex_lock(&u->checkpoint_mu);
    by_time = store_mono(u->store) - u->checkpoint_mono >= o->checkpoint_interval_ns;
    by_bytes = stats.log_bytes - u->checkpoint_log_bytes >= o->checkpoint_log_bytes;
    if (by_time || by_bytes)
        st = checkpoint_locked(u, &err);
    pthread_mutex_unlock(&u->checkpoint_mu);
    if (by_time || by_bytes)
        judge(u, st, &err);
}

static slot_no least(slot_no a, slot_no b)
{
    return a < b ? a : b;
}

static slot_no most(slot_no a, slot_no b)
{
    return a > b ? a : b;
}

static void mark_log(struct care *c, slot_no slot, uint64_t bytes, uint64_t max)
{
    if (c->n_marks > 0 && bytes - c->marks[c->n_marks - 1].bytes < max / (LAG_MARKS / 2))
        return;
    if (c->n_marks == LAG_MARKS)
        memmove(c->marks, c->marks + 1, --c->n_marks * sizeof c->marks[0]);
    c->marks[c->n_marks].slot = slot;
    c->marks[c->n_marks++].bytes = bytes;
}

/* The log is not kept for anybody's sake up to here: whoever lacks that gets a snapshot. */
static slot_no lag_bound(struct upkeep *u, struct group *g, struct care *c)
{
    const struct store_options *o = &u->store->o;
    slot_no last = atomic_load(&g->last);
    uint64_t bytes = atomic_load(&g->bytes_logged);
    slot_no bound = last > o->lag_slots ? last - o->lag_slots : 0;
    size_t i = c->n_marks;

    while (i > 0 && bytes - c->marks[i - 1].bytes < o->lag_bytes)
        i--;
    if (i > 0)
        bound = most(bound, c->marks[i - 1].slot);
    mark_log(c, last, bytes, o->lag_bytes);
    return bound;
}

/* Asks the worker to let Paxos forget; once it has, the rows go. */
static void drop_head(struct upkeep *u, size_t i)
{
    struct group *g = u->store->groups[i];
    struct care *c = &u->care[i];
    slot_no keep = u->store->o.keep_slots, hold;
    slot_no last = atomic_load(&g->last), agreed = atomic_load(&g->drop_agreed), upto;
    enum status st;
    struct err err;

    if (c->dropped < agreed) {
        st = plog_drop_below(u->store->engine, g->number, agreed + 1, &err);
        judge(u, st, &err);
        if (st != ST_OK)
            return;
        c->dropped = agreed;
    }
    pthread_mutex_lock(&u->checkpoint_mu);
    upto = c->before;
    pthread_mutex_unlock(&u->checkpoint_mu);
    if (MUTATED(&u->store->o, truncate_before_checkpoint))
        upto = tablet_applied(g->tablet);
    upto = least(upto, most(atomic_load(&g->everywhere), lag_bound(u, g, c)));
    hold = atomic_load(&g->snapshot_hold);
    if (hold != 0) /* whoever is installing needs what follows */
        upto = least(upto, hold);
    upto = least(upto, last > keep ? last - keep : 0);
    if (upto > atomic_load(&g->drop_wanted) && upto > agreed) {
        atomic_store(&g->drop_wanted, upto);
        worker_call(u->store->worker, g);
    }
}

/* Old versions. */

static bool begin_pass(struct upkeep *u, size_t i)
{
    struct tablet *t = u->store->groups[i]->tablet;
    struct care *c = &u->care[i];
    int64_t keep = u->store->o.gc_retention_ns;
    tstamp horizon = tablet_applied_ts(t) - keep;
    struct tablet_stats stats;
    enum status st;
    struct err err;

    tablet_stats(t, &stats);
    if (stats.writes != c->writes_seen || c->last_write_ts == 0) {
        c->writes_seen = stats.writes;
        c->last_write_ts = tablet_applied_ts(t);
    }
    /* Nothing was written since what the last pass has seen, or too little time has passed. */
    if (c->last_write_ts <= c->horizon || horizon < c->horizon + keep / COLLECT_PASSES)
        return false;
    st = tablet_raise_horizon(t, horizon, &err);
    judge(u, st, &err);
    if (st != ST_OK)
        return false;
    c->horizon = horizon;
    buf_reset(&c->resume);
    return true;
}

/* One slice; true if the pass goes on. */
static bool collect(struct upkeep *u, size_t i)
{
    struct care *c = &u->care[i];
    struct tablet_collect how = {.max_versions = COLLECT_VERSIONS};
    struct bytes resume;
    struct arena mem;
    uint64_t removed = 0;
    bool done = true;
    enum status st;
    struct err err;

    if (!c->collecting && !begin_pass(u, i))
        return false;
    arena_init(&mem, 0);
    how.horizon = c->horizon;
    how.start = buf_bytes(&c->resume);
    st = tablet_collect(u->store->groups[i]->tablet, &how, &mem, &done, &resume, &removed, &err);
    if (st == ST_NOTFOUND)
        c->collecting = false;
    else
        judge(u, st, &err);
    if (st == ST_OK) {
        metric_add(u->store->m.versions_collected, (int64_t)removed);
        buf_reset(&c->resume);
        if (!done)
            buf_put(&c->resume, resume.ptr, resume.len);
        c->collecting = !done;
    }
    arena_fini(&mem);
    return c->collecting;
}

/* The thread. */

/* False: it must end. */
static bool pause_for(struct upkeep *u, int64_t ns)
{
    struct timespec until;
    bool go;

    (void)clock_gettime(CLOCK_MONOTONIC, &until); /* cannot fail for this clock */
    ns += until.tv_nsec;
    until.tv_sec += ns / NS_PER_S;
    until.tv_nsec = ns % NS_PER_S;
    pthread_mutex_lock(&u->mu);
    if (!u->stop)
        (void)pthread_cond_timedwait(&u->cond, &u->mu, &until); /* woken early: one round more */
    go = !u->stop;
    pthread_mutex_unlock(&u->mu);
    return go && !store_failed(u->store);
}

void upkeep_begin(struct upkeep *u)
{
    for (size_t i = 0; i < u->store->n_groups; i++) {
        u->care[i].dropped = atomic_load(&u->store->groups[i]->drop_agreed);
        u->care[i].last = tablet_applied(u->store->groups[i]->tablet);
        mark_log(&u->care[i], u->care[i].dropped, 0, u->store->o.lag_bytes);
    }
}

int64_t upkeep_round(struct upkeep *u)
{
    int64_t interval = u->store->o.checkpoint_interval_ns;
    bool collecting = false;

    checkpoint_if_due(u);
    for (size_t i = 0; i < u->store->n_groups; i++) {
        drop_head(u, i);
        collecting |= collect(u, i);
    }
    if (collecting)
        return COLLECT_PAUSE_NS;
    return interval / 2 < TICK_NS ? interval / 2 : TICK_NS;
}

static void *run(void *arg)
{
    struct upkeep *u = arg;
    int64_t pause = TICK_NS;

    pthread_setname_np(pthread_self(), "mrd-upkeep");
    if (u->store->o.checkpoint_interval_ns / 2 < pause)
        pause = u->store->o.checkpoint_interval_ns / 2;
    while (pause_for(u, pause))
        pause = upkeep_round(u);
    return NULL;
}

void upkeep_start(struct upkeep *u)
{
    upkeep_begin(u);
    store_thread(&u->thread, run, u);
    u->started = true;
}

void upkeep_stop(struct upkeep *u)
{
    pthread_mutex_lock(&u->mu);
    u->stop = true;
    pthread_cond_signal(&u->cond);
    pthread_mutex_unlock(&u->mu);
    if (u->started)
        pthread_join(u->thread, NULL);
    u->started = false;
}

void upkeep_free(struct upkeep *u)
{
    if (u == NULL)
        return;
    ASSERT(!u->started);
    for (size_t i = 0; u->care != NULL && i < u->store->n_groups; i++)
        buf_fini(&u->care[i].resume);
    free(u->care);
    pthread_mutex_destroy(&u->mu);
    pthread_mutex_destroy(&u->checkpoint_mu);
    pthread_cond_destroy(&u->cond);
    free(u);
}
