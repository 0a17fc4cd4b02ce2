#include "base/clock.h"
#include "storage/mvcc_int.h"

enum {
    ROWS_DEFAULT = 256,
    NS_DEFAULT = 2 * NS_PER_MS,
    VERSIONS_MAX = 4096,   /* looked at in one slice, live or not */
    VERSIONS_PER_TICK = 32 /* between two looks at the clock */
};

/* A slice under way. The key being worked on is copied, for the cursor moves on beneath it; behind the
 * copy stands one 0x01, so that the same buffer also says what comes after the key (mvcc_after). */
struct scan {
    const struct mvcc_slice *slice;
    struct engine_cursor *c;
    struct mvcc_read *seen;
    struct bytes start, end;
    struct buf at; /* key, 0x01 */
    bool finished; /* the key in `at` has been dealt with */
    struct {
        bool found, tombstone;
        tstamp ts;
        struct buf value;
    } best; /* reverse: the newest visible version met so far */
    size_t n_rows, n_rows_max;
    uint64_t n_versions, next_tick;
    int64_t deadline_ns; /* INT64_MAX: none */
    bool over;
};

static struct bytes scan_key(const struct scan *s)
{
    return bytes_of(s->at.ptr, s->at.len - 1);
}

static void begin_key(struct scan *s, struct bytes key)
{
    mvcc_after(&s->at, key);
    s->finished = false;
}

static void look(struct scan *s)
{
    s->n_versions++;
    mvcc_count(s->seen);
}

/* Asked between keys only, so that every slice deals with at least one. */
static bool slice_over(struct scan *s)
{
    if (s->n_versions >= s->next_tick) {
        s->next_tick = s->n_versions + VERSIONS_PER_TICK;
        if (s->deadline_ns != INT64_MAX && mono_now() >= s->deadline_ns)
            s->over = true;
    }
    return s->over || s->n_versions >= VERSIONS_MAX;
}

static void show(struct scan *s, tstamp ts, bool tombstone, struct bytes value)
{
    mvcc_note(s->seen, ts);
    if (tombstone)
        return;
    s->n_rows++;
    if (!s->slice->row(s->slice->arg, scan_key(s), ts, value) || s->n_rows >= s->n_rows_max)
        s->over = true;
}

/* Forward: from a version of the key in `at` that is too new, to one that is not. The cursor may end on
 * the next key: then *v is that. */
static enum status to_visible(struct scan *s, struct mvcc_version *v, struct err *err)
{
    enum status st = ST_OK;

    for (int step = 0; v->ts > s->slice->t && bytes_eq(v->key, scan_key(s)); step++) {
        look(s);
        if (step < MVCC_STEPS_MAX)
            TRY(engine_next(s->c, err));
        else
            TRY(mvcc_seek_version(s->c, scan_key(s), s->slice->t, err));
        TRY(mvcc_version(s->c, v, err));
    }
out:
    return st;
}

/* Forward: from the version shown to the first one of another key. */
static enum status to_next_key(struct scan *s, struct mvcc_version *v, struct err *err)
{
    enum status st = ST_OK;

    for (int step = 0; bytes_eq(v->key, scan_key(s)); step++) {
        look(s);
        if (step < MVCC_STEPS_MAX)
            TRY(engine_next(s->c, err));
        else
            TRY(engine_seek(s->c, buf_bytes(&s->at), err));
        TRY(mvcc_version(s->c, v, err));
    }
out:
    return st;
}

/* ST_NOTFOUND: the range is exhausted. ST_OK: the slice is over. */
static enum status scan_forward(struct scan *s, struct err *err)
{
    enum status st;
    struct mvcc_version v;

    TRY(engine_seek(s->c, s->start, err));
    TRY(mvcc_version(s->c, &v, err));
    while (mvcc_before_end(v.key, s->end)) {
        if (slice_over(s))
            goto out;
        begin_key(s, v.key);
        TRY(to_visible(s, &v, err));
        if (bytes_eq(v.key, scan_key(s)))
            show(s, v.ts, v.tombstone, v.value);
        s->finished = true;
        TRY(to_next_key(s, &v, err));
    }
    st = ST_NOTFOUND;
out:
    return st;
}

/* Reverse: the version under the cursor. ST_NOTFOUND: it lies below the range (where group state may stand). */
static enum status version_below(struct scan *s, struct mvcc_version *out, struct err *err)
{
    if (bytes_cmp(engine_key(s->c), s->start) < 0)
        return ST_NOTFOUND;
    return mvcc_version(s->c, out, err);
}

static void keep(struct scan *s, const struct mvcc_version *v)
{
    s->best.found = true;
    s->best.ts = v->ts;
    s->best.tombstone = v->tombstone;
    buf_reset(&s->best.value);
    buf_put(&s->best.value, v->value.ptr, v->value.len);
}

/* Reverse: from the oldest version of the key in `at` to the oldest one of the key below it. On the way the
 * newest visible version is kept, for when it is known to be that the cursor has left it. */
static enum status climb(struct scan *s, struct mvcc_version *v, struct err *err)
{
    enum status st = ST_OK;
    struct bytes key = scan_key(s);

    s->best.found = false;
    for (int step = 0; v->ts <= s->slice->t && bytes_eq(v->key, key); step++) {
        if (step == MVCC_STEPS_MAX) {
            TRY(mvcc_seek_version(s->c, key, s->slice->t, err));
            TRY(mvcc_version(s->c, v, err));
            look(s);
            keep(s, v);
            break;
        }
        look(s);
        keep(s, v);
        TRY(engine_prev(s->c, err));
        TRY(version_below(s, v, err));
    }
    if (bytes_eq(v->key, key)) { /* only versions above t are left of it */
        TRY(engine_seek_before(s->c, key, err));
        TRY(version_below(s, v, err));
    }
out:
    return st;
}

static enum status scan_reverse(struct scan *s, struct err *err)
{
    enum status st;
    struct mvcc_version v;

    TRY(engine_seek_before(s->c, s->end, err));
    TRY(version_below(s, &v, err));
    while (!slice_over(s)) {
        begin_key(s, v.key);
        st = climb(s, &v, err);
        if (st != ST_OK && st != ST_NOTFOUND)
            goto out;
        if (s->best.found)
            show(s, s->best.ts, s->best.tombstone, buf_bytes(&s->best.value));
        s->finished = true;
        TRY(st);
    }
out:
    return st;
}

/* Where the next slice begins (forward) or ends (reverse). The 0x01 behind the key keeps the key in a
 * reverse range and out of a forward one. */
static struct bytes resume_at(const struct scan *s)
{
    if (s->at.len == 0)
        return s->slice->reverse ? s->slice->end : s->start;
    return s->finished == s->slice->reverse ? scan_key(s) : buf_bytes(&s->at);
}

enum status mvcc_scan(struct engine *e, const struct mvcc_slice *slice, struct arena *mem,
                      bool *out_done, struct bytes *out_resume, struct mvcc_read *io_seen,
                      struct err *err)
{
    enum status st = ST_NOTFOUND;
    int64_t max_ns = slice->max_ns == 0 ? NS_DEFAULT : slice->max_ns;
    struct scan s = {
        .slice = slice,
        .seen = io_seen,
        .start = mvcc_range_start(slice->start),
        .end = slice->end,
        .n_rows_max = slice->max_rows == 0 ? ROWS_DEFAULT : slice->max_rows,
        .next_tick = VERSIONS_PER_TICK,
        .deadline_ns = max_ns < 0 ? INT64_MAX : mono_now() + max_ns,
    };

    if (mvcc_before_end(s.start, s.end)) {
        TRY(engine_cursor_open(e, ENGINE_DATA, &s.c, err));
        st = slice->reverse ? scan_reverse(&s, err) : scan_forward(&s, err);
        if (st ==
            ST_RETRY) /* the engine took its snapshot back: what was shown stands, go on from there */
            st = ST_OK;
    }
    if (st != ST_OK && st != ST_NOTFOUND)
        goto out;
    *out_done = st == ST_NOTFOUND;
    if (st == ST_OK)
        *out_resume = arena_copy(mem, resume_at(&s));
    st = ST_OK;
out:
    engine_cursor_close(s.c);
    buf_fini(&s.at);
    buf_fini(&s.best.value);
    return st;
}
