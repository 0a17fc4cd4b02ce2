#include "storage/mvcc_int.h"

enum { VERSIONS_DEFAULT = 1024 };

/* Of a key, the newest version at or below the horizon is what reads there see; all older ones go. If it is
 * a tombstone it goes as well, but never before the last older one: a read, or a crash, between
 * the two would find a deleted row alive. */
struct collect {
    struct engine_cursor *c;
    struct engine_txn *x;
    struct bytes end;
    tstamp horizon;
    struct buf at; /* key being worked on, 0x01 (mvcc_after) */
    bool finished; /* with that key */
    size_t n_looked, n_max;
    uint64_t n_removed;
};

static struct bytes collect_key(const struct collect *w)
{
    return bytes_of(w->at.ptr, w->at.len - 1);
}

static enum status remove_here(struct collect *w, struct err *err)
{
    w->n_removed++;
    return engine_delete(w->x, ENGINE_DATA, engine_key(w->c), err);
}

/* Past the versions above the horizon. ST_NOTFOUND also if the key has no others. */
static enum status to_horizon(struct collect *w, struct mvcc_version *v, struct err *err)
{
    enum status st = ST_OK;

    for (int step = 0; v->ts > w->horizon && bytes_eq(v->key, collect_key(w)); step++) {
        w->n_looked++;
        if (step < MVCC_STEPS_MAX)
            TRY(engine_next(w->c, err));
        else
            TRY(mvcc_seek_version(w->c, collect_key(w), w->horizon, err));
        TRY(mvcc_version(w->c, v, err));
    }
out:
    return st;
}

/* Removes what lies below the version under the cursor, and that one too if it is a tombstone. *v and the
 * cursor end on the next key. */
static enum status thin(struct collect *w, struct mvcc_version *v, struct err *err)
{
    enum status st = ST_OK;
    bool tombstone = v->tombstone;
    tstamp ts = v->ts;
    struct buf tomb_key = {0};

    for (w->n_looked++;; w->n_looked++) {
        st = engine_next(w->c, err);
        if (st == ST_OK)
            st = mvcc_version(w->c, v, err);
        if (st != ST_OK || !bytes_eq(v->key, collect_key(w)))
            break;
        if (w->n_looked >= w->n_max && w->n_removed > 0)
            goto out; /* the key stays unfinished, its tombstone in place */
        TRY(remove_here(w, err));
    }
    if (st != ST_OK && st != ST_NOTFOUND)
        goto out;
    w->finished = true;
    if (tombstone) {
        enum status end = st;

        mvcc_encode(&tomb_key, collect_key(w), ts);
        w->n_removed++;
        TRY(engine_delete(w->x, ENGINE_DATA, buf_bytes(&tomb_key), err));
        st = end;
    }
out:
    buf_fini(&tomb_key);
    return st;
}

/* ST_NOTFOUND: the range is exhausted. ST_OK: the slice is over. */
static enum status collect_slice(struct collect *w, struct bytes start, struct err *err)
{
    enum status st;
    struct mvcc_version v;

    TRY(engine_seek(w->c, start, err));
    TRY(mvcc_version(w->c, &v, err));
    while (mvcc_before_end(v.key, w->end)) {
        if (w->n_looked >= w->n_max)
            goto out;
        mvcc_after(&w->at, v.key);
        w->finished = false;
        TRY(to_horizon(w, &v, err));
        if (bytes_eq(v.key, collect_key(w))) {
            TRY(thin(w, &v, err));
            if (!w->finished)
                goto out;
        }
        w->finished = true;
    }
    st = ST_NOTFOUND;
out:
    return st;
}

enum status mvcc_collect(struct engine *e, struct bytes start, struct bytes end, tstamp horizon,
                         size_t max_versions, struct arena *mem, bool *out_done,
                         struct bytes *out_resume, uint64_t *out_removed, struct err *err)
{
    enum status st;
    enum status walked = ST_NOTFOUND;
    struct collect w = {.end = end,
                        .horizon = horizon,
                        .n_max = max_versions == 0 ? VERSIONS_DEFAULT : max_versions};

    start = mvcc_range_start(start);
    TRY(engine_begin(e, &w.x, err));
    if (mvcc_before_end(start, end)) {
        TRY(engine_cursor_open(e, ENGINE_DATA, &w.c, err));
        walked = collect_slice(&w, start, err);
        if (walked != ST_OK && walked != ST_NOTFOUND)
            TRY(walked == ST_RETRY ? ST_OK : walked); /* snapshot taken back: keep what was found */
        engine_cursor_close(w.c);
        w.c = NULL;
    }
    st = engine_commit(w.x, ENGINE_NOSYNC, err);
    w.x = NULL;
    TRY(st);
    *out_done = walked == ST_NOTFOUND;
    *out_removed = w.n_removed;
    if (!*out_done && w.at.len == 0)
        *out_resume = arena_copy(mem, start);
    else if (!*out_done)
        *out_resume = arena_copy(mem, w.finished ? buf_bytes(&w.at) : collect_key(&w));
out:
    engine_cursor_close(w.c);
    engine_abort(w.x);
    buf_fini(&w.at);
    return st;
}
