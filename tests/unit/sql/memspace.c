#include "tests/unit/sql/memspace.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"

struct version {
    tstamp ts;
    bool tombstone;
    struct buf value;
};

struct entry {
    struct buf key;
    struct version *versions; /* oldest first */
    size_t n_versions;
};

struct txn_space {
    pthread_mutex_t mu;
    struct entry **entries; /* in order of key */
    size_t n_entries, cap_entries;
    tstamp last_ts;
    tstamp schema_from;
    uint32_t next_counter;
    int wounds;
    struct memspace_stats stats;
};

struct write {
    struct buf key;
    struct buf value;
    bool tombstone;
};

struct range {
    struct buf start, end; /* end empty: the single key start */
};

struct txn {
    struct txn_space *space;
    enum txn_mode mode;
    struct txn_id id;
    tstamp snapshot;
    tstamp from, until;
    bool schema_change;
    bool over;
    const bool *cancel;
    struct write *writes; /* in order of key */
    size_t n_writes, cap_writes, write_bytes;
    struct range *reads;
    size_t n_reads, cap_reads;
};

struct txn_scan {
    struct txn *txn;
    struct buf start, end; /* what is left of the range */
    bool reverse;
    bool (*filter)(void *arg, struct bytes key, struct bytes value);
    void *filter_arg;
    struct buf key, value; /* of the row shown last */
};

struct txn_space *memspace_new(void)
{
    struct txn_space *s = xcalloc(1, sizeof *s);

    pthread_mutex_init(&s->mu, NULL);
    return s;
}

void memspace_free(struct txn_space *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->n_entries; i++) {
        struct entry *e = s->entries[i];

        for (size_t v = 0; v < e->n_versions; v++)
            buf_fini(&e->versions[v].value);
        free(e->versions);
        buf_fini(&e->key);
        free(e);
    }
    free(s->entries);
    pthread_mutex_destroy(&s->mu);
    free(s);
}

void memspace_wound(struct txn_space *s, int n)
{
    pthread_mutex_lock(&s->mu);
    s->wounds = n;
    pthread_mutex_unlock(&s->mu);
}

struct memspace_stats memspace_stats(struct txn_space *s)
{
    struct memspace_stats st;

    pthread_mutex_lock(&s->mu);
    st = s->stats;
    pthread_mutex_unlock(&s->mu);
    return st;
}

static tstamp tick_locked(struct txn_space *s)
{
    struct timespec now;
    tstamp t;

    clock_gettime(CLOCK_REALTIME, &now);
    t = (tstamp)now.tv_sec * 1000000000 + now.tv_nsec;
    s->last_ts = t > s->last_ts ? t : s->last_ts + 1;
    return s->last_ts;
}

/* First entry >= key. */
static size_t find_locked(struct txn_space *s, struct bytes key)
{
    size_t lo = 0, hi = s->n_entries;

    while (lo < hi) {
        size_t mid = (lo + hi) / 2;

        if (bytes_cmp(buf_bytes(&s->entries[mid]->key), key) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static const struct version *visible(const struct entry *e, tstamp t)
{
    for (size_t i = e->n_versions; i-- > 0;) {
        if (e->versions[i].ts <= t)
            return &e->versions[i];
    }
    return NULL;
}

static size_t find_write(const struct txn *t, struct bytes key)
{
    size_t lo = 0, hi = t->n_writes;

    while (lo < hi) {
        size_t mid = (lo + hi) / 2;

        if (bytes_cmp(buf_bytes(&t->writes[mid].key), key) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static void note_read(struct txn *t, struct bytes start, struct bytes end)
{
    struct range *r;

    if (t->mode == TXN_READ_ONLY)
        return;
    if (t->n_reads == t->cap_reads) {
        t->cap_reads = t->cap_reads == 0 ? 8 : t->cap_reads * 2;
        t->reads = xrealloc(t->reads, t->cap_reads * sizeof *t->reads);
    }
    r = &t->reads[t->n_reads++];
    *r = (struct range){0};
    buf_put(&r->start, start.ptr, start.len);
    buf_put(&r->end, end.ptr, end.len);
}

static enum status check_open(const struct txn *t, struct err *err)
{
    if (t->cancel != NULL && __atomic_load_n(t->cancel, __ATOMIC_RELAXED))
        return err_set(err, ST_REJECT, SQLSTATE_QUERY_CANCELED,
                       "canceling statement due to user request");
    ASSERT(!t->over);
    return ST_OK;
}

enum status txn_begin(struct txn_space *s, const struct txn_options *opts, struct txn **out,
                      struct err *err)
{
    struct txn *t = xcalloc(1, sizeof *t);

    (void)err;
    pthread_mutex_lock(&s->mu);
    t->space = s;
    t->mode = opts->mode;
    t->snapshot = opts->read_ts != 0 ? opts->read_ts : tick_locked(s);
    t->id = opts->id.start != 0
                ? opts->id
                : (struct txn_id){opts->age != 0 ? opts->age : t->snapshot, 1, ++s->next_counter};
    t->until = TSTAMP_MAX;
    t->from = -1;
    t->cancel = opts->cancel;
    pthread_mutex_unlock(&s->mu);
    *out = t;
    return ST_OK;
}

struct txn_id txn_id_of(const struct txn *t)
{
    return t->id;
}

tstamp txn_read_ts(struct txn *t)
{
    return t->snapshot;
}

enum status txn_get(struct txn *t, struct bytes key, enum txn_lock lock, struct arena *mem,
                    struct bytes *out_value, tstamp *out_ts, struct err *err)
{
    struct txn_space *s = t->space;
    enum status st = check_open(t, err);
    size_t w;

    if (st != ST_OK)
        return st;
    ASSERT((t->mode == TXN_READ_ONLY) == (lock == TXN_LOCK_NONE));
    w = find_write(t, key);
    if (w < t->n_writes && bytes_eq(buf_bytes(&t->writes[w].key), key)) {
        if (out_ts != NULL)
            *out_ts = 0;
        if (t->writes[w].tombstone)
            return ST_NOTFOUND;
        *out_value = arena_copy(mem, buf_bytes(&t->writes[w].value));
        return ST_OK;
    }
    note_read(t, key, (struct bytes){0});
    st = ST_NOTFOUND;
    pthread_mutex_lock(&s->mu);
    s->stats.gets++;
    w = find_locked(s, key);
    if (w < s->n_entries && bytes_eq(buf_bytes(&s->entries[w]->key), key)) {
        const struct version *v = visible(s->entries[w], t->snapshot);

        if (v != NULL && !v->tombstone) {
            *out_value = arena_copy(mem, buf_bytes(&v->value));
            if (out_ts != NULL)
                *out_ts = v->ts;
            st = ST_OK;
        }
    }
    pthread_mutex_unlock(&s->mu);
    return st;
}

/* A few at a time, so that whoever asks learns to ask again. */
enum status txn_get_many(struct txn *t, struct mvcc_item *items, size_t n, enum txn_lock lock,
                         struct arena *mem, size_t *out_n, struct err *err)
{
    enum { SLICE = 3 };
    size_t slice = n < SLICE ? n : SLICE;

    ASSERT(n > 0 && n <= TXN_GETS_MAX);
    for (size_t i = 1; i < n; i++)
        ASSERT(bytes_cmp(items[i - 1].key, items[i].key) <= 0);
    for (size_t i = 0; i < slice; i++) {
        enum status st = txn_get(t, items[i].key, lock, mem, &items[i].value, &items[i].ts, err);

        if (st != ST_OK && st != ST_NOTFOUND)
            return st;
        items[i].found = st == ST_OK;
    }
    *out_n = slice;
    return ST_OK;
}

enum status txn_scan_open(struct txn *t, const struct txn_scan_options *opts, struct txn_scan **out,
                          struct err *err)
{
    struct txn_scan *sc;
    enum status st = check_open(t, err);

    if (st != ST_OK)
        return st;
    ASSERT((t->mode == TXN_READ_ONLY) == (opts->lock == TXN_LOCK_NONE));
    sc = xcalloc(1, sizeof *sc);
    sc->txn = t;
    buf_put(&sc->start, opts->start.ptr, opts->start.len);
    buf_put(&sc->end, opts->end.ptr, opts->end.len);
    sc->reverse = opts->reverse;
    sc->filter = opts->filter;
    sc->filter_arg = opts->filter_arg;
    note_read(t, opts->start, opts->end);
    pthread_mutex_lock(&t->space->mu);
    t->space->stats.scans++;
    pthread_mutex_unlock(&t->space->mu);
    *out = sc;
    return ST_OK;
}

static void set_buf(struct buf *b, struct bytes v)
{
    struct buf copy = {0};

    buf_put(&copy, v.ptr, v.len);
    buf_fini(b);
    *b = copy;
}

/* Takes the outermost key of what is left, own writes merged in; false at the end. */
static bool step_locked(struct txn_scan *sc, bool *out_live)
{
    struct txn_space *s = sc->txn->space;
    struct bytes start = buf_bytes(&sc->start), end = buf_bytes(&sc->end);
    size_t e = find_locked(s, sc->reverse ? end : start);
    size_t w = find_write(sc->txn, sc->reverse ? end : start);
    const struct entry *entry = NULL;
    const struct write *write = NULL;
    int cmp;

    if (sc->reverse) {
        if (e > 0 && bytes_cmp(buf_bytes(&s->entries[e - 1]->key), start) >= 0)
            entry = s->entries[e - 1];
        if (w > 0 && bytes_cmp(buf_bytes(&sc->txn->writes[w - 1].key), start) >= 0)
            write = &sc->txn->writes[w - 1];
    } else {
        if (e < s->n_entries && bytes_cmp(buf_bytes(&s->entries[e]->key), end) < 0)
            entry = s->entries[e];
        if (w < sc->txn->n_writes && bytes_cmp(buf_bytes(&sc->txn->writes[w].key), end) < 0)
            write = &sc->txn->writes[w];
    }
    if (entry == NULL && write == NULL)
        return false;
    cmp = entry == NULL   ? 1
          : write == NULL ? -1
                          : bytes_cmp(buf_bytes(&entry->key), buf_bytes(&write->key));
    if (sc->reverse && entry != NULL && write != NULL)
        cmp = -cmp;
    if (cmp < 0) {
        const struct version *v = visible(entry, sc->txn->snapshot);

        *out_live = v != NULL && !v->tombstone;
        set_buf(&sc->key, buf_bytes(&entry->key));
        if (*out_live)
            set_buf(&sc->value, buf_bytes(&v->value));
    } else {
        *out_live = !write->tombstone;
        set_buf(&sc->key, buf_bytes(&write->key));
        set_buf(&sc->value, buf_bytes(&write->value));
    }
    if (sc->reverse) {
        set_buf(&sc->end, buf_bytes(&sc->key));
    } else {
        set_buf(&sc->start, buf_bytes(&sc->key));
        buf_put_u8(&sc->start, 0);
    }
    return true;
}

enum status txn_scan_next(struct txn_scan *sc, struct bytes *out_key, struct bytes *out_value,
                          struct err *err)
{
    struct txn_space *s = sc->txn->space;
    enum status st = check_open(sc->txn, err);
    bool live = false;

    if (st != ST_OK)
        return st;
    pthread_mutex_lock(&s->mu);
    do {
        if (!step_locked(sc, &live)) {
            st = ST_NOTFOUND;
            break;
        }
        if (live && sc->filter != NULL &&
            !sc->filter(sc->filter_arg, buf_bytes(&sc->key), buf_bytes(&sc->value)))
            live = false;
    } while (!live);
    s->stats.scanned += st == ST_OK;
    pthread_mutex_unlock(&s->mu);
    *out_key = buf_bytes(&sc->key);
    *out_value = buf_bytes(&sc->value);
    return st;
}

void txn_scan_close(struct txn_scan *sc)
{
    if (sc == NULL)
        return;
    buf_fini(&sc->start);
    buf_fini(&sc->end);
    buf_fini(&sc->key);
    buf_fini(&sc->value);
    free(sc);
}

enum status txn_lock_key(struct txn *t, struct bytes key, enum txn_lock lock, struct err *err)
{
    enum status st = check_open(t, err);

    (void)lock;
    if (st == ST_OK)
        note_read(t, key, (struct bytes){0});
    return st;
}

static enum status add_write(struct txn *t, struct bytes key, struct bytes value, bool tombstone,
                             struct err *err)
{
    enum status st = check_open(t, err);
    size_t w;

    if (st != ST_OK)
        return st;
    ASSERT(t->mode == TXN_READ_WRITE);
    ASSERT(key.len <= TXN_KEY_MAX);
    t->write_bytes += key.len + value.len;
    if (t->write_bytes > TXN_WRITES_MAX_BYTES)
        return err_set(err, ST_REJECT, SQLSTATE_PROGRAM_LIMIT_EXCEEDED,
                       "transaction writes more than %d bytes", TXN_WRITES_MAX_BYTES);
    w = find_write(t, key);
    if (w == t->n_writes || !bytes_eq(buf_bytes(&t->writes[w].key), key)) {
        if (t->n_writes == t->cap_writes) {
            t->cap_writes = t->cap_writes == 0 ? 8 : t->cap_writes * 2;
            t->writes = xrealloc(t->writes, t->cap_writes * sizeof *t->writes);
        }
        memmove(&t->writes[w + 1], &t->writes[w], (t->n_writes - w) * sizeof *t->writes);
        t->n_writes++;
        t->writes[w] = (struct write){0};
        buf_put(&t->writes[w].key, key.ptr, key.len);
    }
    set_buf(&t->writes[w].value, value);
    t->writes[w].tombstone = tombstone;
    return ST_OK;
}

enum status txn_put(struct txn *t, struct bytes key, struct bytes value, struct err *err)
{
    return add_write(t, key, value, false, err);
}

enum status txn_delete(struct txn *t, struct bytes key, struct err *err)
{
    return add_write(t, key, (struct bytes){0}, true, err);
}

enum status txn_answer(struct txn *t, struct err *err)
{
    (void)t;
    (void)err;
    return ST_OK;
}

void txn_set_deadline(struct txn *t, int64_t deadline_mono_ns)
{
    (void)t;
    (void)deadline_mono_ns; /* nothing here ever waits */
}

void txn_set_schema(struct txn *t, tstamp from, tstamp until)
{
    t->from = from;
    t->until = until;
}

static bool changed_since(const struct entry *e, tstamp t)
{
    return e->n_versions > 0 && e->versions[e->n_versions - 1].ts > t;
}

static bool conflicts_locked(struct txn *t)
{
    struct txn_space *s = t->space;

    for (size_t i = 0; i < t->n_reads; i++) {
        struct bytes start = buf_bytes(&t->reads[i].start), end = buf_bytes(&t->reads[i].end);

        for (size_t e = find_locked(s, start); e < s->n_entries; e++) {
            struct bytes key = buf_bytes(&s->entries[e]->key);

            if (end.len == 0 ? !bytes_eq(key, start) : bytes_cmp(key, end) >= 0)
                break;
            if (changed_since(s->entries[e], t->snapshot))
                return true;
        }
    }
    return false;
}

static void apply_locked(struct txn_space *s, const struct write *w, tstamp ts)
{
    struct bytes key = buf_bytes(&w->key);
    size_t i = find_locked(s, key);
    struct version *v;
    struct entry *e;

    if (i == s->n_entries || !bytes_eq(buf_bytes(&s->entries[i]->key), key)) {
        if (s->n_entries == s->cap_entries) {
            s->cap_entries = s->cap_entries == 0 ? 64 : s->cap_entries * 2;
            s->entries = xrealloc(s->entries, s->cap_entries * sizeof *s->entries);
        }
        memmove(&s->entries[i + 1], &s->entries[i], (s->n_entries - i) * sizeof *s->entries);
        s->entries[i] = xcalloc(1, sizeof **s->entries);
        buf_put(&s->entries[i]->key, key.ptr, key.len);
        s->n_entries++;
    }
    e = s->entries[i];
    e->versions = xrealloc(e->versions, (e->n_versions + 1) * sizeof *e->versions);
    v = &e->versions[e->n_versions++];
    *v = (struct version){.ts = ts, .tombstone = w->tombstone};
    buf_put(&v->value, w->value.ptr, w->value.len);
}

static enum status commit_locked(struct txn *t, tstamp *out_ts, struct err *err)
{
    struct txn_space *s = t->space;
    tstamp ts;

    if (t->n_writes == 0 && !t->schema_change) {
        *out_ts = 0;
        if (t->mode == TXN_READ_ONLY || !conflicts_locked(t))
            return ST_OK;
    }
    if (s->wounds > 0) {
        s->wounds--;
        s->stats.aborts++;
        return err_set(err, ST_ABORT, SQLSTATE_SERIALIZATION_FAILURE, "transaction was wounded");
    }
    if (conflicts_locked(t) || (t->from >= 0 && t->from != s->schema_from)) {
        s->stats.aborts++;
        return err_set(err, ST_ABORT, SQLSTATE_SERIALIZATION_FAILURE,
                       "could not serialize access due to concurrent update");
    }
    ts = tick_locked(s);
    for (size_t i = 0; i < t->n_writes; i++)
        apply_locked(s, &t->writes[i], ts);
    if (t->schema_change)
        s->schema_from = ts;
    s->stats.commits++;
    *out_ts = ts;
    return ST_OK;
}

enum status txn_commit_wait(struct txn *t, tstamp *out_ts, struct err *err)
{
    enum status st = check_open(t, err);

    if (st != ST_OK)
        return st;
    pthread_mutex_lock(&t->space->mu);
    st = commit_locked(t, out_ts, err);
    t->over = true;
    pthread_mutex_unlock(&t->space->mu);
    return st;
}

void txn_commit(struct txn *t, struct txn_done done)
{
    struct err err;
    tstamp ts = 0;
    enum status st;

    err_clear(&err);
    st = txn_commit_wait(t, &ts, &err);
    done.fn(done.arg, st, ts, &err);
}

void txn_rollback(struct txn *t)
{
    t->over = true;
}

void txn_free(struct txn *t)
{
    if (t == NULL)
        return;
    for (size_t i = 0; i < t->n_writes; i++) {
        buf_fini(&t->writes[i].key);
        buf_fini(&t->writes[i].value);
    }
    for (size_t i = 0; i < t->n_reads; i++) {
        buf_fini(&t->reads[i].start);
        buf_fini(&t->reads[i].end);
    }
    free(t->writes);
    free(t->reads);
    free(t);
}

enum status txn_outcome(struct txn_space *s, struct txn_id id, tstamp *out_ts, struct err *err)
{
    (void)s;
    (void)id;
    (void)out_ts;
    return err_set(err, ST_REJECT, SQLSTATE_FEATURE_NOT_SUPPORTED,
                   "outcomes are not kept in memory");
}

enum status txn_schema_lease(struct txn_space *s, struct txn_schema_lease *out, struct err *err)
{
    (void)err;
    pthread_mutex_lock(&s->mu);
    *out = (struct txn_schema_lease){s->schema_from, TSTAMP_MAX};
    pthread_mutex_unlock(&s->mu);
    return ST_OK;
}

enum status txn_schema_change(struct txn *t, struct err *err)
{
    (void)err;
    t->schema_change = true;
    return ST_OK;
}
