/* Snapshots between two tablets on memory engines, with power cuts at every step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/rng.h"
#include "storage/engine_mem.h"
#include "storage/mvcc.h"
#include "storage/snapshot.h"

enum { SEC = 1000000000, GROUP = 1 };

static const struct ballot ballot = {7, 3};
static const struct snapshot_limits small = {.max_bytes = 400, .max_rows = 7, .max_ns = -1};

struct replica {
    struct memdisk *disk;
    struct engine *e;
    struct tablet *t;
};

/* A source that goes on, and a target. Payloads of the log, so that both can apply the same. */
struct world {
    struct replica source, target;
    struct arena mem;
    struct rng rng;
    struct bytes *log; /* log[slot - 1] */
    size_t n_log, cap_log;
    tstamp ts;
};

static void open_replica(struct replica *r, uint64_t seed)
{
    r->disk = memdisk_new(seed);
    r->e = engine_mem_open(r->disk, NULL);
    assert_int_equal(tablet_open(r->e, GROUP, &r->t, NULL), ST_OK);
}

static void close_replica(struct replica *r)
{
    tablet_close(r->t);
    engine_close(r->e);
    memdisk_free(r->disk);
}

static void crash(struct replica *r)
{
    tablet_close(r->t);
    memdisk_crash(r->disk);
    engine_close(r->e);
    r->e = engine_mem_open(r->disk, NULL);
    assert_int_equal(tablet_open(r->e, GROUP, &r->t, NULL), ST_OK);
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);

    open_replica(&w->source, 1);
    open_replica(&w->target, 2);
    arena_init(&w->mem, 0);
    rng_seed(&w->rng, 11);
    w->ts = 1000 * (tstamp)SEC;
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    close_replica(&w->source);
    close_replica(&w->target);
    arena_fini(&w->mem);
    free(w->log);
    free(w);
    return 0;
}

/* The log. */

static void log_record(struct world *w, struct record *rec)
{
    struct buf body = {0}, batch = {0};

    rec->ts = ++w->ts;
    rec->until = TSTAMP_MAX;
    record_encode(&body, rec);
    record_batch_begin(&batch, 1);
    record_batch_add(&batch, buf_bytes(&body));
    if (w->n_log == w->cap_log) {
        w->cap_log = w->cap_log == 0 ? 256 : w->cap_log * 2;
        w->log = realloc(w->log, w->cap_log * sizeof *w->log);
    }
    w->log[w->n_log++] = arena_copy(&w->mem, buf_bytes(&batch));
    buf_fini(&body);
    buf_fini(&batch);
}

static void log_put(struct world *w, const char *key, const char *value)
{
    struct record_write write = {.key = bytes_str(key),
                                 .value = bytes_str(value != NULL ? value : "")};
    struct record rec = {.kind = RECORD_COMMIT, .writes = &write, .n_writes = 1};

    write.tombstone = value == NULL;
    rec.id = (struct txn_id){.start = w->ts, .gateway = 1, .counter = (uint32_t)w->n_log};
    log_record(w, &rec);
}

/* Rows of a small key space, again and again; deletions, aborts, ids that come twice, time that passes. */
static void log_random(struct world *w, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char key[] = {'k', (char)('a' + rng_below(&w->rng, 26)),
                      (char)('a' + rng_below(&w->rng, 3)), 0};
        struct record_write write = {.key = bytes_str(key), .value = bytes_str("a value")};
        struct record rec = {.kind = rng_chance(&w->rng, 0.1) ? RECORD_ABORT : RECORD_COMMIT,
                             .writes = &write,
                             .n_writes = 1};

        write.tombstone = rng_chance(&w->rng, 0.2);
        rec.id = (struct txn_id){w->ts, 1, (uint32_t)rng_below(&w->rng, 1000)};
        if (rng_chance(&w->rng, 0.2))
            rec.id = (struct txn_id){1000 * (tstamp)SEC, 2, (uint32_t)rng_below(&w->rng, 100)};
        w->ts += (tstamp)rng_below(&w->rng, SEC / 4);
        log_record(w, &rec);
    }
}

static void apply_to(struct world *w, struct replica *r, slot_no upto)
{
    slot_no from = tablet_applied(r->t) + 1;

    assert_true(upto <= w->n_log);
    if (from <= upto)
        assert_int_equal(tablet_apply(r->t, from, &w->log[from - 1], upto - from + 1, NULL), ST_OK);
}

/* Transfers. */

/* Through bytes, as between nodes. */
static enum status pass_chunk(struct snapshot_reader *from, struct snapshot_install *to,
                              bool *out_finished)
{
    struct snapshot_chunk c, got;
    struct buf wire = {0};
    enum status st;
    struct rd r;

    assert_int_equal(snapshot_read(from, snapshot_next(to), &small, &c, NULL), ST_OK);
    snapshot_chunk_encode(&wire, &c);
    r = rd_of(buf_bytes(&wire));
    assert_true(snapshot_chunk_decode(&r, &got));
    st = snapshot_put(to, &got, out_finished, NULL);
    buf_fini(&wire);
    return st;
}

static struct snapshot_install *begin(struct replica *r, const struct snapshot_reader *from)
{
    struct snapshot_install *in = NULL;
    struct snapshot_head head;
    struct buf wire = {0};
    struct rd rd;

    snapshot_head_encode(&wire, snapshot_reader_head(from));
    rd = rd_of(buf_bytes(&wire));
    assert_true(snapshot_head_decode(&rd, &head));
    assert_int_equal(snapshot_begin(r->t, &head, &in, NULL), ST_OK);
    buf_fini(&wire);
    return in;
}

static struct snapshot_reader *take(struct replica *r)
{
    return snapshot_take(r->t, ballot, bytes_str("configuration"));
}

static void install_all(struct snapshot_reader *from, struct replica *to)
{
    struct snapshot_install *in = begin(to, from);
    bool finished = false;

    while (!finished)
        assert_int_equal(pass_chunk(from, in, &finished), ST_OK);
    snapshot_install_free(in);
}

/* Every row of DATA but where the log begins, which only the target has. */
static void dump(struct engine *e, struct buf *out)
{
    static const uint8_t base[] = {0, 0, 0, 0, 0, 0, 0, 0, GROUP, 4};
    struct engine_cursor *c;
    enum status st;

    buf_reset(out);
    assert_int_equal(engine_cursor_open(e, ENGINE_DATA, &c, NULL), ST_OK);
    for (st = engine_seek(c, bytes_of("", 0), NULL); st == ST_OK; st = engine_next(c, NULL)) {
        if (bytes_eq(engine_key(c), bytes_of(base, sizeof base)))
            continue;
        buf_put_bytes(out, engine_key(c));
        buf_put_bytes(out, engine_value(c));
    }
    engine_cursor_close(c);
}

static void assert_same_bytes(struct world *w)
{
    struct buf a = {0}, b = {0};

    dump(w->source.e, &a);
    dump(w->target.e, &b);
    assert_true(bytes_eq(buf_bytes(&a), buf_bytes(&b)));
    buf_fini(&a);
    buf_fini(&b);
}

static void assert_same_rows_at(struct world *w, tstamp t)
{
    struct mvcc_digest a, b;

    assert_int_equal(mvcc_digest(w->source.e, bytes_of("", 0), bytes_of("", 0), t, &a, NULL),
                     ST_OK);
    assert_int_equal(mvcc_digest(w->target.e, bytes_of("", 0), bytes_of("", 0), t, &b, NULL),
                     ST_OK);
    assert_true(a.n_rows > 0);
    assert_true(a.lo == b.lo && a.hi == b.hi && a.n_rows == b.n_rows);
}

static void snapshot_of_a_resting_tablet_is_the_same_bytes(void **state)
{
    struct world *w = *state;
    struct snapshot_reader *r;

    log_random(w, 500);
    apply_to(w, &w->source, 500);
    r = take(&w->source);
    install_all(r, &w->target);
    assert_int_equal(tablet_applied(w->target.t), 500);
    assert_int_equal(tablet_applied_ts(w->target.t), tablet_applied_ts(w->source.t));
    assert_int_equal(tablet_base(w->target.t).slot, 500);
    assert_int_equal(ballot_cmp(tablet_base(w->target.t).ballot, ballot), 0);
    assert_true(bytes_eq(tablet_base(w->target.t).config, bytes_str("configuration")));
    assert_same_bytes(w);
    snapshot_reader_free(r);
}

/* The source applies between the slices, long enough that outcomes of the snapshot expire there. */
static void snapshot_of_a_busy_tablet_is_that_of_its_slot(void **state)
{
    struct world *w = *state;
    struct snapshot_reader *r;
    struct snapshot_install *in;
    bool finished = false;
    tstamp at;

    log_random(w, 600);
    apply_to(w, &w->source, 600);
    at = tablet_applied_ts(w->source.t);
    r = take(&w->source);
    in = begin(&w->target, r);
    while (!finished) {
        assert_int_equal(pass_chunk(r, in, &finished), ST_OK);
        log_random(w, 20);
        apply_to(w, &w->source, w->n_log);
    }
    snapshot_install_free(in);
    snapshot_reader_free(r);
    assert_true(tablet_applied_ts(w->source.t) - at > 100 * (tstamp)SEC);
    assert_int_equal(tablet_applied(w->target.t), 600);
    assert_same_rows_at(w, at);
    log_random(w, 50);
    apply_to(w, &w->source, w->n_log);
    apply_to(w, &w->target, w->n_log);
    assert_same_bytes(w);
}

static void collection_meanwhile_is_not_noticed_above_the_horizon(void **state)
{
    struct world *w = *state;
    struct snapshot_reader *r;
    struct snapshot_install *in;
    bool finished = false, done;
    struct bytes resume;
    uint64_t removed = 0;

    log_random(w, 600);
    apply_to(w, &w->source, 600);
    r = take(&w->source);
    in = begin(&w->target, r);
    for (int i = 0; !finished; i++) {
        struct tablet_collect how = {.horizon = tablet_applied_ts(w->source.t) - (i % 2) * SEC};

        assert_int_equal(pass_chunk(r, in, &finished), ST_OK);
        if (i % 5 != 0 || finished)
            continue;
        log_random(w, 10);
        apply_to(w, &w->source, w->n_log);
        assert_int_equal(tablet_raise_horizon(w->source.t, how.horizon, NULL), ST_OK);
        assert_int_equal(tablet_collect(w->source.t, &how, &w->mem, &done, &resume, &removed, NULL),
                         ST_OK);
    }
    assert_true(removed > 0);
    assert_int_equal(tablet_horizon(w->target.t), tablet_horizon(w->source.t));
    apply_to(w, &w->target, w->n_log);
    assert_same_rows_at(w, tablet_horizon(w->source.t));
    assert_same_rows_at(w, tablet_applied_ts(w->source.t));
    snapshot_install_free(in);
    snapshot_reader_free(r);
}

static void many_newer_versions_are_left_by_a_seek(void **state)
{
    struct world *w = *state;
    struct snapshot_reader *r;

    log_put(w, "a", "1");
    log_put(w, "b", "1");
    apply_to(w, &w->source, 2);
    r = take(&w->source);
    for (int i = 0; i < 300; i++)
        log_put(w, "a", "newer");
    apply_to(w, &w->source, w->n_log);
    install_all(r, &w->target);
    assert_same_rows_at(w, w->ts - 300);
    snapshot_reader_free(r);
}

/* The old replica holds a row whose deletion, tombstone and all, is already collected at the source. */
static void old_rows_of_the_target_do_not_come_back(void **state)
{
    struct world *w = *state;
    struct snapshot_reader *r;
    struct tablet_collect how = {0};
    struct bytes resume;
    uint64_t removed;
    bool done;
    tstamp before;

    log_put(w, "ghost", "v");
    log_put(w, "stays", "v");
    apply_to(w, &w->target, 2);
    before = w->ts;
    log_put(w, "ghost", NULL);
    log_put(w, "other", "v");
    apply_to(w, &w->source, 4);
    assert_int_equal(tablet_raise_horizon(w->source.t, w->ts, NULL), ST_OK);
    how.horizon = w->ts;
    assert_int_equal(tablet_collect(w->source.t, &how, &w->mem, &done, &resume, &removed, NULL),
                     ST_OK);
    assert_int_equal(removed, 2);
    r = take(&w->source);
    install_all(r, &w->target);
    assert_same_bytes(w);
    assert_true(tablet_horizon(w->target.t) > before); /* who read the old rows is refused */
    snapshot_reader_free(r);
}

static void readers_of_the_old_rows_are_refused(void **state)
{
    struct world *w = *state;
    struct snapshot_reader *r;
    struct snapshot_install *in;
    bool finished = false;
    tstamp before;

    log_random(w, 100);
    apply_to(w, &w->target, 50);
    before = tablet_applied_ts(w->target.t);
    apply_to(w, &w->source, 100);
    r = take(&w->source);
    in = begin(&w->target, r);
    while (!finished) {
        assert_int_equal(tablet_horizon(w->target.t), TSTAMP_MAX);
        assert_false(tablet_usable(w->target.t));
        assert_int_equal(tablet_raise_horizon(w->target.t, before, NULL), ST_OK);
        assert_int_equal(tablet_horizon(w->target.t), TSTAMP_MAX);
        assert_int_equal(pass_chunk(r, in, &finished), ST_OK);
    }
    assert_int_equal(tablet_horizon(w->target.t), before + 1);
    snapshot_install_free(in);
    snapshot_reader_free(r);
}

static void chunk_can_be_had_again_but_no_other(void **state)
{
    struct world *w = *state;
    struct snapshot_reader *r;
    struct snapshot_chunk a, b;
    struct buf first = {0};

    log_random(w, 100);
    apply_to(w, &w->source, 100);
    r = take(&w->source);
    assert_int_equal(snapshot_read(r, 2, &small, &a, NULL), ST_NOTFOUND);
    for (uint64_t seq = 1; seq <= 5; seq++) {
        assert_int_equal(snapshot_read(r, seq, &small, &a, NULL), ST_OK);
        buf_reset(&first);
        snapshot_chunk_encode(&first, &a);
        assert_int_equal(snapshot_read(r, seq, &small, &a, NULL), ST_OK);
        buf_reset(&first);
        snapshot_chunk_encode(&first, &a);
        assert_int_equal(snapshot_read(r, seq, &small, &b, NULL), ST_OK);
        assert_true(bytes_eq(a.rows, b.rows));
        assert_true(a.sum.lo == b.sum.lo && a.sum.n_rows == b.sum.n_rows);
    }
    assert_int_equal(snapshot_read(r, 4, &small, &a, NULL), ST_NOTFOUND);
    assert_int_equal(snapshot_read(r, 7, &small, &a, NULL), ST_NOTFOUND);
    buf_fini(&first);
    snapshot_reader_free(r);
}

static void damage_on_the_way_is_seen(void **state)
{
    struct world *w = *state;
    struct snapshot_reader *r;
    struct snapshot_chunk c, got;
    struct buf wire = {0};
    struct rd rd;

    log_random(w, 20);
    apply_to(w, &w->source, 20);
    r = take(&w->source);
    assert_int_equal(snapshot_read(r, 1, &small, &c, NULL), ST_OK);
    snapshot_chunk_encode(&wire, &c);
    for (size_t i = 0; i < wire.len; i++) {
        wire.ptr[i] ^= 0x20;
        rd = rd_of(buf_bytes(&wire));
        assert_false(snapshot_chunk_decode(&rd, &got));
        wire.ptr[i] ^= 0x20;
        rd = rd_of(bytes_of(wire.ptr, i));
        assert_false(snapshot_chunk_decode(&rd, &got));
    }
    buf_fini(&wire);
    snapshot_reader_free(r);
}

static struct bytes one_row(struct buf *b, struct bytes key, struct bytes value)
{
    buf_reset(b);
    buf_put_bytes(b, key);
    buf_put_bytes(b, value);
    return buf_bytes(b);
}

static void rows_that_do_not_belong_are_refused(void **state)
{
    static const uint8_t state_row[] = {0, 0, 0, 0, 0, 0, 0, 0, GROUP, 1};
    static const uint8_t other_group[] = {0, 0, 0, 0, 0, 0, 0, 0, 2, 3, 0, 0, 0, 0, 0, 0, 0, 1};
    struct world *w = *state;
    struct snapshot_reader *r;
    struct snapshot_install *in;
    struct snapshot_head head;
    struct buf row = {0}, key = {0};
    struct snapshot_chunk c = {.seq = 1};
    bool finished;

    log_random(w, 20);
    apply_to(w, &w->source, 20);
    r = take(&w->source);
    head = *snapshot_reader_head(r);
    head.slot++;
    assert_int_equal(snapshot_begin(w->target.t, &head, &in, NULL), ST_REJECT);
    assert_true(tablet_usable(w->target.t));
    in = begin(&w->target, r);
    c.rows = one_row(&row, bytes_of(state_row, sizeof state_row), bytes_str("x"));
    assert_int_equal(snapshot_put(in, &c, &finished, NULL), ST_REJECT);
    c.rows = one_row(&row, bytes_of(other_group, sizeof other_group), bytes_str("x"));
    assert_int_equal(snapshot_put(in, &c, &finished, NULL), ST_REJECT);
    mvcc_encode(&key, bytes_str("k"), w->ts + 1); /* of a later slot */
    c.rows = one_row(&row, buf_bytes(&key), bytes_of("\0x", 2));
    assert_int_equal(snapshot_put(in, &c, &finished, NULL), ST_REJECT);
    buf_reset(&key);
    mvcc_encode(&key, bytes_str("k"), w->ts); /* a row that the sum does not know */
    c.rows = one_row(&row, buf_bytes(&key), bytes_of("\0x", 2));
    assert_int_equal(snapshot_put(in, &c, &finished, NULL), ST_REJECT);
    c = (struct snapshot_chunk){.seq = 2};
    assert_int_equal(snapshot_put(in, &c, &finished, NULL), ST_REJECT);
    assert_int_equal(pass_chunk(r, in, &finished), ST_OK); /* the right one still goes in */
    snapshot_install_free(in);
    snapshot_reader_free(r);
    buf_fini(&row);
    buf_fini(&key);
}

static void row_that_went_missing_in_the_engine_is_seen(void **state)
{
    struct world *w = *state;
    struct snapshot_reader *r;
    struct snapshot_install *in;
    struct engine_txn *x;
    struct buf key = {0};
    bool finished = false;
    enum status st = ST_OK;

    log_put(w, "a", "v");
    mvcc_encode(&key, bytes_str("a"), w->ts);
    log_random(w, 20);
    apply_to(w, &w->source, 21);
    r = take(&w->source);
    in = begin(&w->target, r);
    while (!finished && st == ST_OK) {
        assert_int_equal(engine_begin(w->target.e, &x, NULL), ST_OK);
        assert_int_equal(engine_delete(x, ENGINE_DATA, buf_bytes(&key), NULL), ST_OK);
        assert_int_equal(engine_commit(x, ENGINE_NOSYNC, NULL), ST_OK);
        st = pass_chunk(r, in, &finished);
    }
    assert_int_equal(st, ST_REJECT);
    assert_false(tablet_usable(w->target.t));
    snapshot_install_free(in);
    in = begin(&w->target, r); /* a reader serves one stream; the next begins anew */
    snapshot_install_free(in);
    snapshot_reader_free(r);
    r = take(&w->source);
    install_all(r, &w->target);
    assert_same_rows_at(w, w->ts);
    snapshot_reader_free(r);
    buf_fini(&key);
}

/* An install that loses power after `steps` of it, the last checkpoint having been `checkpoint` steps in
 * (beyond the end: never). True if it came to its end before. */
static bool install_until(struct world *w, int steps, int checkpoint)
{
    struct snapshot_reader *r = take(&w->source);
    struct snapshot_install *in = NULL;
    bool finished = false;

    for (int i = 0; i < steps && !finished; i++) {
        if (in == NULL)
            in = begin(&w->target, r);
        else
            assert_int_equal(pass_chunk(r, in, &finished), ST_OK);
        if (i == checkpoint)
            assert_int_equal(engine_checkpoint(w->target.e, NULL), ST_OK);
    }
    snapshot_install_free(in);
    snapshot_reader_free(r);
    crash(&w->target);
    return finished;
}

static void power_cut_at_any_step_leaves_old_state_mark_or_new_state(void **state)
{
    struct world *w = *state;
    size_t n_old = 0, n_mark = 0, n_new = 0;
    bool ended = false;
    tstamp old_ts;

    log_random(w, 120);
    apply_to(w, &w->source, 120);
    for (int steps = 1; !ended; steps++) {
        for (int checkpoint = -1; checkpoint < steps; checkpoint++) {
            struct snapshot_reader *r;

            close_replica(&w->target);
            open_replica(&w->target, (uint64_t)steps);
            apply_to(w, &w->target, 40);
            assert_int_equal(engine_checkpoint(w->target.e, NULL), ST_OK);
            old_ts = tablet_applied_ts(w->target.t);
            ended |= install_until(w, steps, checkpoint);
            if (tablet_usable(w->target.t) && tablet_applied(w->target.t) == 40) {
                n_old++;
                assert_true(checkpoint < 0);
                assert_same_rows_at(w, old_ts);
                apply_to(w, &w->target, 120);
                assert_same_bytes(w);
                continue;
            }
            if (tablet_usable(w->target.t)) {
                n_new++;
                assert_int_equal(tablet_applied(w->target.t), 120);
                assert_int_equal(tablet_base(w->target.t).slot, 120);
                assert_same_rows_at(w, w->ts);
                continue;
            }
            n_mark++;
            assert_int_equal(tablet_applied(w->target.t), 0);
            assert_int_equal(tablet_horizon(w->target.t), TSTAMP_MAX);
            r = take(&w->source);
            install_all(r, &w->target);
            assert_same_bytes(w);
            snapshot_reader_free(r);
        }
    }
    assert_true(n_old > 10 && n_mark > 10 && n_new == 1);
}

static void older_snapshot_than_the_tablet_is_refused(void **state)
{
    struct world *w = *state;
    struct snapshot_install *in;
    struct snapshot_reader *r;

    log_random(w, 20);
    apply_to(w, &w->source, 20);
    apply_to(w, &w->target, 20);
    r = take(&w->source);
    assert_int_equal(snapshot_begin(w->target.t, snapshot_reader_head(r), &in, NULL), ST_REJECT);
    assert_true(tablet_usable(w->target.t));
    assert_same_bytes(w);
    snapshot_reader_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(snapshot_of_a_resting_tablet_is_the_same_bytes),
        T(snapshot_of_a_busy_tablet_is_that_of_its_slot),
        T(collection_meanwhile_is_not_noticed_above_the_horizon),
        T(many_newer_versions_are_left_by_a_seek),
        T(old_rows_of_the_target_do_not_come_back),
        T(readers_of_the_old_rows_are_refused),
        T(chunk_can_be_had_again_but_no_other),
        T(damage_on_the_way_is_seen),
        T(rows_that_do_not_belong_are_refused),
        T(row_that_went_missing_in_the_engine_is_seen),
        T(power_cut_at_any_step_leaves_old_state_mark_or_new_state),
        T(older_snapshot_than_the_tablet_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
