#include "storage/tablet.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "storage/mvcc.h"
#include "storage/tablet_outcomes.h"

enum { STATE_FORMAT = 1, OUTCOMES_FORMAT = 1 };
enum state_kind { STATE_ROW = 1, STATE_HORIZON, STATE_OUTCOMES };

/* Key of group state: 0x00, group, kind, and for outcomes the slot; all big-endian. */
enum { KEY_GROUP = 10, KEY_SLOT = 18 };

static const int64_t keep_ns =
    (int64_t)(TABLET_OUTCOME_RETENTION_S + TABLET_OUTCOME_SLACK_S) * NS_PER_S;

/* A slot whose outcomes stand in the engine. */
struct kept_slot {
    slot_no slot;
    tstamp ts; /* s_max after the slot */
};

/* What applying changes, besides rows; copied before a batch and published after its commit. */
struct tablet_state {
    slot_no applied;
    tstamp s_max;
    tstamp schema_from;
    tstamp schema_cap;
};

struct tablet {
    struct engine *engine; /* borrowed */
    group_id group;

    /* Published after each commit; written by the worker. */
    _Atomic uint64_t applied;
    _Atomic int64_t applied_ts, schema_from, schema_cap, horizon;
    _Atomic uint64_t n_commands, n_writes, n_duplicates;

    pthread_mutex_t mu;       /* lock 4: outcomes; the worker alone writes, and reads without it */
    struct outcomes outcomes; /* committed */

    /* The worker's. */
    struct tablet_state state;
    struct outcomes fresh;  /* of the batch being applied */
    struct kept_slot *kept; /* owned; kept[kept_first..kept_end), by slot */
    size_t kept_first, kept_end, kept_cap;
    struct arena mem;
    struct buf row, slot_row;
};

/* One call of tablet_apply. */
struct apply {
    struct engine_txn *x;
    struct tablet_state state;
    slot_no slot;
    uint64_t n_outcomes;      /* of the slot */
    size_t n_kept, n_dropped; /* slots that joined and left t->kept, undone if the batch fails */
    uint64_t n_commands, n_writes, n_duplicates;
};

struct state_key {
    uint8_t b[KEY_SLOT];
    size_t len;
};

static void put_be64(uint8_t *p, uint64_t v)
{
    for (int i = 0; i < 8; i++)
        p[i] = (uint8_t)(v >> (56 - 8 * i));
}

static struct state_key key_of(const struct tablet *t, enum state_kind kind)
{
    struct state_key k = {.len = KEY_GROUP};

    put_be64(k.b + 1, t->group);
    k.b[9] = (uint8_t)kind;
    return k;
}

static struct state_key outcomes_key(const struct tablet *t, slot_no slot)
{
    struct state_key k = key_of(t, STATE_OUTCOMES);

    put_be64(k.b + KEY_GROUP, slot);
    k.len = KEY_SLOT;
    return k;
}

static struct bytes key_bytes(const struct state_key *k)
{
    return bytes_of(k->b, k->len);
}

/* Outcomes below it count as forgotten, on every replica alike: it follows from the log alone. */
static tstamp keep_from(tstamp s_max)
{
    return s_max - keep_ns;
}

static const struct outcome *find_outcome(const struct outcomes *o, struct txn_id id, tstamp s_max)
{
    const struct outcome *found = outcomes_find(o, id);

    return found != NULL && outcome_ts(found) >= keep_from(s_max) ? found : NULL;
}

static void keep_slot(struct tablet *t, slot_no slot, tstamp ts)
{
    if (t->kept_end == t->kept_cap && t->kept_first > t->kept_cap / 2) {
        memmove(t->kept, t->kept + t->kept_first, (t->kept_end - t->kept_first) * sizeof *t->kept);
        t->kept_end -= t->kept_first;
        t->kept_first = 0;
    } else if (t->kept_end == t->kept_cap) {
        t->kept_cap = t->kept_cap == 0 ? 256 : t->kept_cap * 2;
        t->kept = xrealloc(t->kept, t->kept_cap * sizeof *t->kept);
    }
    t->kept[t->kept_end++] = (struct kept_slot){slot, ts};
}

static enum status malformed(struct tablet *t, const char *what, slot_no slot, struct err *err)
{
    return err_set(err, ST_FATAL, SQLSTATE_DATA_CORRUPTED, "group %llu: %s, slot %llu",
                   (unsigned long long)t->group, what, (unsigned long long)slot);
}

/* Loading. */

static enum status load_state(struct tablet *t, struct bytes row, struct err *err)
{
    struct rd r = rd_of(row);

    if (rd_u8(&r) != STATE_FORMAT)
        r.bad = true;
    t->state.applied = rd_u64(&r);
    t->state.s_max = (tstamp)rd_u64(&r);
    t->state.schema_from = (tstamp)rd_u64(&r);
    t->state.schema_cap = (tstamp)rd_u64(&r);
    if (r.bad || rd_left(&r) != 0)
        return malformed(t, "malformed state row", 0, err);
    return ST_OK;
}

static enum status load_outcomes(struct tablet *t, slot_no slot, struct bytes row, struct err *err)
{
    struct rd r = rd_of(row);
    struct txn_id id;
    struct outcome o;
    tstamp ts, at;

    if (rd_u8(&r) != OUTCOMES_FORMAT)
        r.bad = true;
    ts = (tstamp)rd_u64(&r);
    while (!r.bad && rd_left(&r) > 0) {
        id.start = (tstamp)rd_u64(&r);
        id.gateway = rd_u32(&r);
        id.counter = rd_u32(&r);
        at = (tstamp)rd_u64(&r);
        o = outcome_of(id, at, rd_u8(&r) != 0);
        if (r.bad || at <= 0 || at > RECORD_TS_MAX)
            break;
        outcomes_add(&t->outcomes, &o);
    }
    if (r.bad || rd_left(&r) > 0)
        return malformed(t, "malformed outcomes", slot, err);
    keep_slot(t, slot, ts);
    return ST_OK;
}

static enum status load_row(struct tablet *t, struct bytes key, struct bytes value, struct err *err)
{
    struct rd r = rd_of(value);
    slot_no slot = 0;

    for (size_t i = KEY_GROUP; i < key.len; i++)
        slot = slot << 8 | key.ptr[i];
    switch ((enum state_kind)key.ptr[9]) {
    case STATE_ROW:
        return load_state(t, value, err);
    case STATE_OUTCOMES:
        return load_outcomes(t, slot, value, err);
    case STATE_HORIZON:
        atomic_store(&t->horizon, (tstamp)rd_u64(&r));
        return r.bad ? malformed(t, "malformed horizon", 0, err) : ST_OK;
    }
    return malformed(t, "unknown kind of state", 0, err);
}

static enum status load(struct tablet *t, struct err *err)
{
    struct state_key prefix = key_of(t, (enum state_kind)0);
    struct engine_cursor *c = NULL;
    enum status st;

    TRY(engine_cursor_open(t->engine, ENGINE_DATA, &c, err));
    for (st = engine_seek(c, key_bytes(&prefix), err); st == ST_OK; st = engine_next(c, err)) {
        struct bytes key = engine_key(c);

        if (key.len < KEY_GROUP || memcmp(key.ptr, prefix.b, KEY_GROUP - 1) != 0)
            break;
        TRY(load_row(t, key, engine_value(c), err));
    }
    if (st == ST_NOTFOUND)
        st = ST_OK;
out:
    engine_cursor_close(c);
    return st;
}

static void publish(struct tablet *t)
{
    atomic_store(&t->schema_from, t->state.schema_from);
    atomic_store(&t->schema_cap, t->state.schema_cap);
    atomic_store(&t->applied_ts, t->state.s_max);
    atomic_store(&t->applied, t->state.applied);
}

enum status tablet_open(struct engine *e, group_id group, struct tablet **out, struct err *err)
{
    struct tablet *t = xcalloc(1, sizeof *t);
    enum status st;

    t->engine = e;
    t->group = group;
    pthread_mutex_init(&t->mu, NULL);
    arena_init(&t->mem, 0);
    TRY(load(t, err));
    publish(t);
    *out = t;
    t = NULL;
out:
    tablet_close(t);
    return st;
}

void tablet_close(struct tablet *t)
{
    if (t == NULL)
        return;
    outcomes_fini(&t->outcomes);
    outcomes_fini(&t->fresh);
    free(t->kept);
    arena_fini(&t->mem);
    buf_fini(&t->row);
    buf_fini(&t->slot_row);
    pthread_mutex_destroy(&t->mu);
    free(t);
}

/* Applying. */

/* Adds to the slot's row and to the fresh ones. False: the id has an outcome already, nothing may change. */
static bool settle(struct tablet *t, struct apply *a, const struct record *rec)
{
    struct outcome o = outcome_of(rec->id, rec->ts, rec->kind == RECORD_ABORT);

    if (find_outcome(&t->outcomes, rec->id, rec->ts) != NULL ||
        find_outcome(&t->fresh, rec->id, rec->ts) != NULL) {
        a->n_duplicates++;
        return false;
    }
    outcomes_add(&t->fresh, &o);
    if (a->n_outcomes++ == 0) {
        buf_reset(&t->slot_row);
        buf_put_u8(&t->slot_row, OUTCOMES_FORMAT);
        buf_put_u64(&t->slot_row, 0); /* s_max after the slot, set when the slot ends */
    }
    buf_put_u64(&t->slot_row, (uint64_t)o.id.start);
    buf_put_u32(&t->slot_row, o.id.gateway);
    buf_put_u32(&t->slot_row, o.id.counter);
    buf_put_u64(&t->slot_row, (uint64_t)rec->ts);
    buf_put_u8(&t->slot_row, outcome_aborted(&o));
    return true;
}

static enum status apply_writes(struct apply *a, const struct record *rec, struct err *err)
{
    enum status st = ST_OK;

    for (size_t i = 0; i < rec->n_writes; i++) {
        const struct record_write *w = &rec->writes[i];

        if (w->tombstone)
            TRY(mvcc_tombstone(a->x, w->key, rec->ts, err));
        else
            TRY(mvcc_put(a->x, w->key, rec->ts, w->value, err));
    }
    a->n_writes += rec->n_writes;
out:
    return st;
}

static enum status apply_record(struct tablet *t, struct apply *a, const struct record *rec,
                                struct err *err)
{
    if (rec->ts <= a->state.s_max) /* M1 */
        return malformed(t, "timestamps do not rise", a->slot, err);
    a->state.s_max = rec->ts;
    a->n_commands++;
    switch (rec->kind) {
    case RECORD_COMMIT:
        if (!settle(t, a, rec))
            return ST_OK;
        if ((rec->flags & RECORD_SCHEMA) != 0)
            a->state.schema_from = rec->ts;
        return apply_writes(a, rec, err);
    case RECORD_ABORT:
        (void)settle(t, a, rec); /* an outcome that is there already stands */
        return ST_OK;
    case RECORD_CAP:
        if (rec->ts_arg > a->state.schema_cap)
            a->state.schema_cap = rec->ts_arg;
        return ST_OK;
    case RECORD_CLOSE:
        return ST_OK;
    }
    return malformed(t, "unknown command", a->slot, err);
}

/* The slot's outcomes go in, those that are older than anybody may ask for go out. */
static enum status end_slot(struct tablet *t, struct apply *a, struct err *err)
{
    enum status st = ST_OK;

    if (a->n_outcomes > 0) {
        struct state_key key = outcomes_key(t, a->slot);

        buf_set_u32(&t->slot_row, 1, (uint32_t)a->state.s_max);
        buf_set_u32(&t->slot_row, 5, (uint32_t)((uint64_t)a->state.s_max >> 32));
        TRY(engine_put(a->x, ENGINE_DATA, key_bytes(&key), buf_bytes(&t->slot_row), err));
        keep_slot(t, a->slot, a->state.s_max);
        a->n_kept++;
    }
    for (size_t i = t->kept_first + a->n_dropped;
         i < t->kept_end && t->kept[i].ts < keep_from(a->state.s_max); i++) {
        struct state_key key = outcomes_key(t, t->kept[i].slot);

        TRY(engine_delete(a->x, ENGINE_DATA, key_bytes(&key), err));
        a->n_dropped++;
    }
    a->state.applied = a->slot;
    a->n_outcomes = 0;
out:
    return st;
}

static enum status apply_slot(struct tablet *t, struct apply *a, struct bytes payload,
                              struct err *err)
{
    struct record_walk walk;
    struct record rec;
    struct bytes body;
    enum status st;

    TRY(record_walk_begin(&walk, payload, err));
    while ((st = record_walk_next(&walk, &body, err)) == ST_OK) {
        arena_reset(&t->mem);
        if (record_decode(body, &t->mem, &rec, err) != ST_OK) {
            st = malformed(t, "malformed command", a->slot, err);
            goto out;
        }
        TRY(apply_record(t, a, &rec, err));
    }
    if (st == ST_NOTFOUND)
        st = end_slot(t, a, err);
out:
    return st;
}

static enum status put_state(struct tablet *t, struct apply *a, struct err *err)
{
    struct state_key key = key_of(t, STATE_ROW);

    buf_reset(&t->row);
    buf_put_u8(&t->row, STATE_FORMAT);
    buf_put_u64(&t->row, a->state.applied);
    buf_put_u64(&t->row, (uint64_t)a->state.s_max);
    buf_put_u64(&t->row, (uint64_t)a->state.schema_from);
    buf_put_u64(&t->row, (uint64_t)a->state.schema_cap);
    return engine_put(a->x, ENGINE_DATA, key_bytes(&key), buf_bytes(&t->row), err);
}

/* The engine has committed: what was prepared beside becomes visible. */
static void accept(struct tablet *t, const struct apply *a)
{
    pthread_mutex_lock(&t->mu);
    for (size_t i = 0; i < t->fresh.n_spans; i++) {
        const struct outcome_span *s = &t->fresh.spans[i];

        for (size_t k = 0; k < s->n_places; k++)
            if (s->places[k].code != 0)
                outcomes_add(&t->outcomes, &s->places[k]);
    }
    outcomes_forget(&t->outcomes, keep_from(a->state.s_max));
    pthread_mutex_unlock(&t->mu);
    t->kept_first += a->n_dropped;
    t->state = a->state;
    publish(t);
    atomic_fetch_add_explicit(&t->n_commands, a->n_commands, memory_order_relaxed);
    atomic_fetch_add_explicit(&t->n_writes, a->n_writes, memory_order_relaxed);
    atomic_fetch_add_explicit(&t->n_duplicates, a->n_duplicates, memory_order_relaxed);
}

enum status tablet_apply(struct tablet *t, slot_no first, const struct bytes *payloads, size_t n,
                         struct err *err)
{
    struct apply a = {.state = t->state};
    enum status st;

    ASSERT(first == t->state.applied + 1); /* M2 */
    TRY(engine_begin(t->engine, &a.x, err));
    for (size_t i = 0; i < n; i++) {
        a.slot = first + i;
        TRY(apply_slot(t, &a, payloads[i], err));
    }
    TRY(put_state(t, &a, err));
    st = engine_commit(a.x, ENGINE_NOSYNC, err);
    a.x = NULL;
    if (st == ST_OK)
        accept(t, &a);
out:
    if (st != ST_OK)
        t->kept_end -= a.n_kept;
    engine_abort(a.x);
    outcomes_clear(&t->fresh);
    return st;
}

/* Reading. */

slot_no tablet_applied(struct tablet *t)
{
    return atomic_load(&t->applied);
}

tstamp tablet_applied_ts(struct tablet *t)
{
    return atomic_load(&t->applied_ts);
}

tstamp tablet_schema_from(struct tablet *t)
{
    return atomic_load(&t->schema_from);
}

tstamp tablet_schema_cap(struct tablet *t)
{
    return atomic_load(&t->schema_cap);
}

enum status tablet_outcome(struct tablet *t, struct txn_id id, tstamp *out_ts)
{
    const struct outcome *o;

    pthread_mutex_lock(&t->mu);
    o = find_outcome(&t->outcomes, id, atomic_load(&t->applied_ts));
    if (o != NULL)
        *out_ts = outcome_aborted(o) ? 0 : outcome_ts(o);
    pthread_mutex_unlock(&t->mu);
    return o != NULL ? ST_OK : ST_NOTFOUND;
}

tstamp tablet_outcome_floor(struct tablet *t)
{
    tstamp floor = atomic_load(&t->applied_ts) - (int64_t)TABLET_OUTCOME_RETENTION_S * NS_PER_S;

    return floor > 0 ? floor : 0;
}

tstamp tablet_horizon(struct tablet *t)
{
    return atomic_load(&t->horizon);
}

/* Memory first, so that no read that begins now believes what is about to go; then the row, in the same
 * table as the versions, so that no checkpoint holds their absence without it. */
enum status tablet_raise_horizon(struct tablet *t, tstamp horizon, struct err *err)
{
    struct state_key key = key_of(t, STATE_HORIZON);
    struct engine_txn *x = NULL;
    struct buf row = {0};
    enum status st;

    if (horizon <= atomic_load(&t->horizon))
        return ST_OK;
    atomic_store(&t->horizon, horizon);
    buf_put_u64(&row, (uint64_t)horizon);
    TRY(engine_begin(t->engine, &x, err));
    TRY(engine_put(x, ENGINE_DATA, key_bytes(&key), buf_bytes(&row), err));
    st = engine_commit(x, ENGINE_NOSYNC, err);
    x = NULL;
out:
    engine_abort(x);
    buf_fini(&row);
    return st;
}

void tablet_stats(struct tablet *t, struct tablet_stats *out)
{
    out->commands = atomic_load_explicit(&t->n_commands, memory_order_relaxed);
    out->writes = atomic_load_explicit(&t->n_writes, memory_order_relaxed);
    out->duplicates = atomic_load_explicit(&t->n_duplicates, memory_order_relaxed);
}
