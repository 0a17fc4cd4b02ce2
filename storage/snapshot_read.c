#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "storage/mvcc_int.h"
#include "storage/snapshot_int.h"

enum { BYTES_DEFAULT = 256 * 1024, ROWS_DEFAULT = 4096, LOOK_EVERY = 64 };

static const int64_t ns_default = 5 * NS_PER_MS;

/* Where the reader stands before a chunk. */
struct point {
    struct buf from;
    bool done;
    struct snapshot_sum sum;
};

struct snapshot_reader {
    struct tablet *tablet; /* borrowed */
    struct snapshot_head head;
    struct buf head_bytes; /* what the head points into */
    bool holds;            /* outcomes must stay */
    uint64_t seq;          /* the last chunk that was read; 0 none */
    struct point before;   /* that chunk */
    struct snapshot_walk walk;
    struct snapshot_sum sum;
    struct buf rows;
};

/* One slice. */

struct slice {
    struct engine_cursor *c;
    const struct snapshot_limits *limits;
    int64_t until; /* 0: no end */
    size_t n_rows, n_seen, bytes;
    struct buf *rows;
    struct snapshot_sum *sum;
};

static bool over(struct slice *s)
{
    const struct snapshot_limits *l = s->limits;

    if (s->n_rows >= (l->max_rows == 0 ? ROWS_DEFAULT : l->max_rows) ||
        s->bytes >= (l->max_bytes == 0 ? BYTES_DEFAULT : l->max_bytes))
        return true;
    return s->until != 0 && s->n_seen % LOOK_EVERY == LOOK_EVERY - 1 && mono_now() > s->until;
}

static void take_row(struct slice *s)
{
    struct bytes key = engine_key(s->c), value = engine_value(s->c);

    s->n_rows++;
    s->bytes += key.len + value.len;
    snapshot_sum_add(s->sum, key, value);
    if (s->rows != NULL)
        snapshot_row_put(s->rows, key, value);
}

static void go_on_from(struct snapshot_walk *w, struct bytes key)
{
    buf_reset(&w->from);
    buf_put(&w->from, key.ptr, key.len);
}

/* Past a row that was taken. If the engine takes its snapshot back, the next slice begins behind the row. */
static enum status next_row(struct snapshot_walk *w, struct slice *s, struct err *err)
{
    enum status st = engine_next(s->c, err);

    if (st == ST_RETRY)
        buf_put_u8(&w->from, 0x00);
    return st;
}

/* ST_NOTFOUND: there are no more. ST_OK: the slice is over, w->from is where the next begins. */
static enum status walk_outcomes(struct snapshot_walk *w, struct slice *s, struct err *err)
{
    struct state_key end = tablet_outcomes_key(w->group, w->slot);
    enum status st = engine_seek(s->c, buf_bytes(&w->from), err);

    for (; st == ST_OK; st = next_row(w, s, err)) {
        if (bytes_cmp(engine_key(s->c), state_key_bytes(&end)) > 0)
            return ST_NOTFOUND;
        go_on_from(w, engine_key(s->c));
        if (over(s))
            return ST_OK;
        s->n_seen++;
        if (!tablet_outcomes_expired(engine_value(s->c), w->ts))
            take_row(s);
    }
    return st;
}

static enum status walk_versions(struct snapshot_walk *w, struct slice *s, struct err *err)
{
    enum status st = engine_seek(s->c, buf_bytes(&w->from), err);
    struct mvcc_version v;
    struct buf key = {0};
    int steps = 0;

    while (st == ST_OK) {
        TRY(mvcc_version(s->c, &v, err));
        if (!mvcc_before_end(v.key, w->range.end)) {
            st = ST_NOTFOUND;
            break;
        }
        go_on_from(w, engine_key(s->c));
        if (over(s))
            break;
        s->n_seen++;
        if (v.ts <= w->ts) {
            steps = 0;
            take_row(s);
            st = next_row(w, s, err);
        } else if (++steps < MVCC_STEPS_MAX) {
            st = engine_next(s->c, err);
        } else { /* a chain of newer ones */
            steps = 0;
            buf_reset(&key);
            buf_put(&key, v.key.ptr, v.key.len);
            st = mvcc_seek_version(s->c, buf_bytes(&key), w->ts, err);
        }
    }
out:
    buf_fini(&key);
    return st;
}

static bool among_outcomes(const struct snapshot_walk *w)
{
    return w->from.len > 0 && w->from.ptr[0] == 0x00;
}

static void to_versions(struct snapshot_walk *w)
{
    go_on_from(w, mvcc_range_start(w->range.start));
    w->done = w->range.none;
}

enum status snapshot_walk_slice(struct snapshot_walk *w, const struct snapshot_limits *limits,
                                struct buf *rows, struct snapshot_sum *sum, struct err *err)
{
    struct slice s = {.limits = limits, .rows = rows, .sum = sum};
    struct state_key begin = tablet_outcomes_key(w->group, 0);
    enum status st;

    if (w->from.len == 0)
        go_on_from(w, state_key_bytes(&begin));
    if (limits->max_ns >= 0)
        s.until = mono_now() + (limits->max_ns == 0 ? ns_default : limits->max_ns);
    TRY(engine_cursor_open(w->engine, ENGINE_DATA, &s.c, err));
    if (among_outcomes(w)) {
        st = walk_outcomes(w, &s, err);
        if (st == ST_NOTFOUND) {
            to_versions(w);
            st = ST_OK;
        }
    }
    if (st == ST_OK && !w->done && !among_outcomes(w)) {
        st = walk_versions(w, &s, err);
        if (st == ST_NOTFOUND) {
            w->done = true;
            st = ST_OK;
        }
    }
out:
    engine_cursor_close(s.c);
    return st;
}

/* A reader. */

struct snapshot_reader *snapshot_take(struct tablet *t, struct ballot ballot, struct bytes config)
{
    struct snapshot_reader *r = xcalloc(1, sizeof *r);
    size_t len;

    ASSERT(tablet_usable(t));
    atomic_fetch_add(&t->holds, 1);
    r->holds = true;
    r->tablet = t;
    tablet_encode_state(&r->head_bytes, &t->state);
    len = r->head_bytes.len;
    buf_put(&r->head_bytes, config.ptr, config.len);
    r->head = (struct snapshot_head){
        .group = t->group,
        .slot = t->state.applied,
        .ballot = ballot,
        .ts = t->state.s_max,
        .state = bytes_of(r->head_bytes.ptr, len),
        .config = bytes_of(r->head_bytes.ptr + len, config.len),
    };
    r->walk = (struct snapshot_walk){
        .engine = t->engine,
        .group = t->group,
        .slot = r->head.slot,
        .ts = r->head.ts,
        .range = snapshot_range(t->group),
    };
    return r;
}

const struct snapshot_head *snapshot_reader_head(const struct snapshot_reader *r)
{
    return &r->head;
}

static void let_go(struct snapshot_reader *r)
{
    if (r->holds)
        atomic_fetch_sub(&r->tablet->holds, 1);
    r->holds = false;
}

static void note_point(struct snapshot_reader *r)
{
    buf_reset(&r->before.from);
    buf_put(&r->before.from, r->walk.from.ptr, r->walk.from.len);
    r->before.done = r->walk.done;
    r->before.sum = r->sum;
    /* Outcomes are never asked for again once the chunk after the last of them is. */
    if (r->walk.from.len > 0 && !among_outcomes(&r->walk))
        let_go(r);
}

static void back_to_point(struct snapshot_reader *r)
{
    go_on_from(&r->walk, buf_bytes(&r->before.from));
    r->walk.done = r->before.done;
    r->sum = r->before.sum;
}

enum status snapshot_read(struct snapshot_reader *r, uint64_t seq,
                          const struct snapshot_limits *limits, struct snapshot_chunk *out,
                          struct err *err)
{
    enum status st;

    if (seq == 0 || (seq != r->seq && seq != r->seq + 1) || (seq == r->seq + 1 && r->walk.done))
        return ST_NOTFOUND;
    if (seq == r->seq)
        back_to_point(r);
    else
        note_point(r);
    r->seq = seq;
    buf_reset(&r->rows);
    st = snapshot_walk_slice(&r->walk, limits, &r->rows, &r->sum, err);
    if (st == ST_RETRY) { /* the engine took its snapshot back: what was found until then stands */
        st = ST_OK;
    } else if (st != ST_OK) {
        return st;
    }
    *out = (struct snapshot_chunk){
        .seq = seq,
        .last = r->walk.done,
        /* After the last version: see snapshot.h. */
        .horizon = r->walk.done ? tablet_horizon(r->tablet) : 0,
        .sum = r->sum,
        .rows = buf_bytes(&r->rows),
    };
    return st;
}

void snapshot_reader_free(struct snapshot_reader *r)
{
    if (r == NULL)
        return;
    let_go(r);
    buf_fini(&r->head_bytes);
    buf_fini(&r->before.from);
    buf_fini(&r->walk.from);
    buf_fini(&r->rows);
    free(r);
}
