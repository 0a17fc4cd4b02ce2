#include "storage/tablet.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "storage/mvcc.h"
#include "storage/tablet_int.h"

enum { STATE_FORMAT = 1, OUTCOMES_FORMAT = 1, BASE_FORMAT = 1 };

static const int64_t keep_ns =
    (int64_t)(TABLET_OUTCOME_RETENTION_S + TABLET_OUTCOME_SLACK_S) * NS_PER_S;

/* One call of tablet_apply. */
struct apply {
    struct engine_txn *x;
    struct tablet_state state;
    slot_no slot;
    uint64_t n_outcomes;      /* of the slot */
    size_t n_kept, n_dropped; /* slots that joined and left t->kept, undone if the batch fails */
    uint64_t n_commands, n_writes, n_duplicates;
};

static void put_be64(uint8_t *p, uint64_t v)
{
    for (int i = 0; i < 8; i++)
        p[i] = (uint8_t)(v >> (56 - 8 * i));
}

struct state_key tablet_state_key(group_id group, enum state_kind kind)
{
    struct state_key k = {.len = STATE_KEY_GROUP};

    put_be64(k.b + 1, group);
    k.b[9] = (uint8_t)kind;
    return k;
}

struct state_key tablet_outcomes_key(group_id group, slot_no slot)
{
    struct state_key k = tablet_state_key(group, STATE_OUTCOMES);

    put_be64(k.b + STATE_KEY_GROUP, slot);
    k.len = STATE_KEY_SLOT;
    return k;
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
        t->kept_cap = t->kept_cap == 0 ? 8 : t->kept_cap * 2;
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

bool tablet_parse_state(struct bytes row, struct tablet_state *out)
{
    struct rd r = rd_of(row);

    if (rd_u8(&r) != STATE_FORMAT)
        r.bad = true;
    out->applied = rd_u64(&r);
    out->s_max = (tstamp)rd_u64(&r);
    out->schema_from = (tstamp)rd_u64(&r);
    out->schema_cap = (tstamp)rd_u64(&r);
    return !r.bad && rd_left(&r) == 0;
}

bool tablet_parse_outcomes(struct bytes row, tstamp *out_ts, struct outcomes *into)
{
    struct rd r = rd_of(row);
    struct txn_id id;
    struct outcome o;
    tstamp at;

    if (rd_u8(&r) != OUTCOMES_FORMAT)
        r.bad = true;
    *out_ts = (tstamp)rd_u64(&r);
    while (!r.bad && rd_left(&r) > 0) {
        id.start = (tstamp)rd_u64(&r);
        id.gateway = rd_u32(&r);
        id.counter = rd_u32(&r);
        at = (tstamp)rd_u64(&r);
        o = outcome_of(id, at, rd_u8(&r) != 0);
        if (r.bad || at <= 0 || at > RECORD_TS_MAX)
            return false;
        if (into != NULL)
            outcomes_add(into, &o);
    }
    return !r.bad;
}

void tablet_encode_base(struct buf *out, const struct tablet_base *base)
{
    buf_put_u8(out, BASE_FORMAT);
    buf_put_u64(out, base->slot);
    buf_put_u64(out, base->ballot.round);
    buf_put_u32(out, base->ballot.node);
    buf_put_bytes(out, base->config);
}

static bool parse_base(struct bytes row, struct tablet_base *out)
{
    struct rd r = rd_of(row);

    if (rd_u8(&r) != BASE_FORMAT)
        r.bad = true;
    out->slot = rd_u64(&r);
    out->ballot.round = rd_u64(&r);
    out->ballot.node = rd_u32(&r);
    out->config = rd_bytes(&r);
    return !r.bad && rd_left(&r) == 0;
}

static enum status load_base(struct tablet *t, struct bytes row, struct err *err)
{
    struct tablet_base base;

    if (!parse_base(row, &base))
        return malformed(t, "malformed base of the log", 0, err);
    t->base.slot = base.slot;
    t->base.ballot = base.ballot;
    buf_reset(&t->base.config);
    buf_put(&t->base.config, base.config.ptr, base.config.len);
    return ST_OK;
}

static enum status load_row(struct tablet *t, struct bytes key, struct bytes value, struct err *err)
{
    struct rd r = rd_of(value);
    slot_no slot = 0;
    tstamp ts;

    for (size_t i = STATE_KEY_GROUP; i < key.len; i++)
        slot = slot << 8 | key.ptr[i];
    switch ((enum state_kind)key.ptr[9]) {
    case STATE_MARK:
        atomic_store(&t->usable, false);
        return ST_NOTFOUND; /* whatever else there is counts for nothing */
    case STATE_ROW:
        return tablet_parse_state(value, &t->state) ? ST_OK
                                                    : malformed(t, "malformed state row", 0, err);
    case STATE_OUTCOMES:
        if (!tablet_parse_outcomes(value, &ts, &t->outcomes))
            return malformed(t, "malformed outcomes", slot, err);
        keep_slot(t, slot, ts);
        return ST_OK;
    case STATE_HORIZON:
        atomic_store(&t->horizon, (tstamp)rd_u64(&r));
        return r.bad ? malformed(t, "malformed horizon", 0, err) : ST_OK;
    case STATE_BASE:
        return load_base(t, value, err);
    }
    return malformed(t, "unknown kind of state", 0, err);
}

static enum status load_rows(struct tablet *t, struct err *err)
{
    struct state_key prefix = tablet_state_key(t->group, STATE_MARK);
    struct engine_cursor *c = NULL;
    enum status st;

    atomic_store(&t->usable, true);
    TRY(engine_cursor_open(t->engine, ENGINE_DATA, &c, err));
    for (st = engine_seek(c, state_key_bytes(&prefix), err); st == ST_OK;
         st = engine_next(c, err)) {
        struct bytes key = engine_key(c);

        if (key.len < STATE_KEY_GROUP || memcmp(key.ptr, prefix.b, STATE_KEY_GROUP - 1) != 0)
            break;
        st = load_row(t, key, engine_value(c), err);
        if (st != ST_OK)
            break;
    }
    if (st == ST_NOTFOUND)
        st = ST_OK;
out:
    engine_cursor_close(c);
    return st;
}

static void fini(struct tablet *t)
{
    outcomes_fini(&t->outcomes);
    outcomes_fini(&t->fresh);
    free(t->kept);
    buf_fini(&t->base.config);
    arena_fini(&t->mem);
    buf_fini(&t->row);
    buf_fini(&t->slot_row);
}

static void publish(struct tablet *t)
{
    atomic_store(&t->schema_from, t->state.schema_from);
    atomic_store(&t->schema_cap, t->state.schema_cap);
    atomic_store(&t->applied_ts, t->state.s_max);
    atomic_store(&t->applied, t->state.applied);
}

/* Takes over what f has loaded; f gets what there was. */
static void take_loaded(struct tablet *t, struct tablet *f)
{
    struct outcomes outcomes = t->outcomes;
    struct kept_slot *kept = t->kept;
    struct buf config = t->base.config;

    pthread_mutex_lock(&t->mu);
    t->outcomes = f->outcomes;
    pthread_mutex_unlock(&t->mu);
    f->outcomes = outcomes;
    t->kept = f->kept;
    t->kept_first = f->kept_first;
    t->kept_end = f->kept_end;
    t->kept_cap = f->kept_cap;
    f->kept = kept;
    t->base = f->base;
    f->base.config = config;
    t->state = f->state;
}

enum status tablet_load(struct tablet *t, struct err *err)
{
    struct tablet f = {.engine = t->engine, .group = t->group};
    enum status st;
    bool usable;

    arena_init(&f.mem, 0);
    TRY(load_rows(&f, err));
    take_loaded(t, &f);
    usable = atomic_load(&f.usable);
    /* The horizon first: nobody may believe what is below it. */
    atomic_store(&t->horizon, usable ? atomic_load(&f.horizon) : TSTAMP_MAX);
    publish(t);
    atomic_store(&t->usable, usable);
out:
    fini(&f);
    return st;
}

enum status tablet_open(struct engine *e, group_id group, struct tablet **out, struct err *err)
{
    struct tablet *t = xcalloc(1, sizeof *t);
    enum status st;

    t->engine = e;
    t->group = group;
    pthread_mutex_init(&t->mu, NULL);
    pthread_mutex_init(&t->sweep_mu, NULL);
    arena_init(&t->mem, 0);
    TRY(tablet_load(t, err));
    *out = t;
    t = NULL;
out:
    tablet_close(t);
    return st;
}

#ifdef MRD_MUTANTS
void tablet_mutate(struct tablet *t, enum mutant mutant)
{
    t->mutant = mutant;
}
#endif

void tablet_close(struct tablet *t)
{
    if (t == NULL)
        return;
    fini(t);
    pthread_mutex_destroy(&t->mu);
    pthread_mutex_destroy(&t->sweep_mu);
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
        return MUTATED(t, outcome_forgotten);
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
        struct state_key key = tablet_outcomes_key(t->group, a->slot);

        buf_set_u32(&t->slot_row, 1, (uint32_t)a->state.s_max);
        buf_set_u32(&t->slot_row, 5, (uint32_t)((uint64_t)a->state.s_max >> 32));
        TRY(engine_put(a->x, ENGINE_DATA, state_key_bytes(&key), buf_bytes(&t->slot_row), err));
        keep_slot(t, a->slot, a->state.s_max);
        a->n_kept++;
    }
    for (size_t i = t->kept_first + a->n_dropped; atomic_load(&t->holds) == 0 && i < t->kept_end &&
                                                  t->kept[i].ts < keep_from(a->state.s_max);
         i++) {
        struct state_key key = tablet_outcomes_key(t->group, t->kept[i].slot);

        TRY(engine_delete(a->x, ENGINE_DATA, state_key_bytes(&key), err));
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

void tablet_encode_state(struct buf *out, const struct tablet_state *state)
{
    buf_put_u8(out, STATE_FORMAT);
    buf_put_u64(out, state->applied);
    buf_put_u64(out, (uint64_t)state->s_max);
    buf_put_u64(out, (uint64_t)state->schema_from);
    buf_put_u64(out, (uint64_t)state->schema_cap);
}

static enum status put_state(struct tablet *t, struct apply *a, struct err *err)
{
    struct state_key key = tablet_state_key(t->group, STATE_ROW);

    buf_reset(&t->row);
    tablet_encode_state(&t->row, &a->state);
    return engine_put(a->x, ENGINE_DATA, state_key_bytes(&key), buf_bytes(&t->row), err);
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

    ASSERT(first == t->state.applied + 1 && atomic_load(&t->usable)); /* M2 */
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

bool tablet_usable(struct tablet *t)
{
    return atomic_load(&t->usable);
}

struct tablet_base tablet_base(struct tablet *t)
{
    return (struct tablet_base){t->base.slot, t->base.ballot, buf_bytes(&t->base.config)};
}

bool tablet_outcomes_expired(struct bytes row, tstamp s_max)
{
    tstamp ts;

    return tablet_parse_outcomes(row, &ts, NULL) && ts < keep_from(s_max);
}

tstamp tablet_horizon(struct tablet *t)
{
    return atomic_load(&t->horizon);
}

enum status tablet_put_state(struct tablet *t, enum state_kind kind, struct bytes value,
                             struct err *err)
{
    struct state_key key = tablet_state_key(t->group, kind);
    struct engine_txn *x = NULL;
    enum status st;

    TRY(engine_begin(t->engine, &x, err));
    TRY(engine_put(x, ENGINE_DATA, state_key_bytes(&key), value, err));
    st = engine_commit(x, ENGINE_NOSYNC, err);
    x = NULL;
out:
    engine_abort(x);
    return st;
}

static enum status put_horizon(struct tablet *t, tstamp horizon, struct err *err)
{
    struct buf row = {0};
    enum status st;

    buf_put_u64(&row, (uint64_t)horizon);
    st = tablet_put_state(t, STATE_HORIZON, buf_bytes(&row), err);
    buf_fini(&row);
    return st;
}

/* Memory first, so that no read that begins now believes what is about to go; then the row, in the same
 * table as the versions, so that no checkpoint holds their absence without it. */
enum status tablet_raise_horizon(struct tablet *t, tstamp horizon, struct err *err)
{
    enum status st = ST_OK;

    pthread_mutex_lock(&t->sweep_mu);
    if (horizon > atomic_load(&t->horizon)) { /* never while a snapshot is installed */
        atomic_store(&t->horizon, horizon);
        st = put_horizon(t, horizon, err);
    }
    pthread_mutex_unlock(&t->sweep_mu);
    return st;
}

enum status tablet_collect(struct tablet *t, const struct tablet_collect *how, struct arena *mem,
                           bool *out_done, struct bytes *out_resume, uint64_t *out_removed,
                           struct err *err)
{
    enum status st = ST_NOTFOUND;

    pthread_mutex_lock(&t->sweep_mu);
    if (tablet_usable(t))
        st = mvcc_collect(t->engine, how->start, how->end, how->horizon, how->max_versions, mem,
                          out_done, out_resume, out_removed, err);
    pthread_mutex_unlock(&t->sweep_mu);
    return st;
}

void tablet_stats(struct tablet *t, struct tablet_stats *out)
{
    out->commands = atomic_load_explicit(&t->n_commands, memory_order_relaxed);
    out->writes = atomic_load_explicit(&t->n_writes, memory_order_relaxed);
    out->duplicates = atomic_load_explicit(&t->n_duplicates, memory_order_relaxed);
}
