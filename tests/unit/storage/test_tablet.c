#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/rng.h"
#include "storage/engine_mem.h"
#include "storage/mvcc.h"
#include "storage/tablet.h"

enum { SEC = 1000000000 };

struct world {
    struct memdisk *disk;
    struct engine *e;
    struct tablet *t;
    struct faults *faults;
    struct arena mem;
};

static void open_world(struct world *w)
{
    memset(w, 0, sizeof *w);
    w->disk = memdisk_new(7);
    w->faults = faults_new();
    w->e = engine_mem_open(w->disk, w->faults);
    arena_init(&w->mem, 0);
    assert_int_equal(tablet_open(w->e, 1, &w->t, NULL), ST_OK);
}

static void close_world(struct world *w)
{
    tablet_close(w->t);
    engine_close(w->e);
    memdisk_free(w->disk);
    faults_free(w->faults);
    arena_fini(&w->mem);
}

static int setup(void **state)
{
    static struct world w;

    open_world(&w);
    *state = &w;
    return 0;
}

static int teardown(void **state)
{
    close_world(*state);
    return 0;
}

static void crash(struct world *w)
{
    tablet_close(w->t);
    memdisk_crash(w->disk);
    engine_close(w->e);
    w->e = engine_mem_open(w->disk, w->faults);
    assert_int_equal(tablet_open(w->e, 1, &w->t, NULL), ST_OK);
}

/* One command as a payload in mem. */
static struct bytes payload_of(struct arena *mem, const struct record *rec)
{
    struct buf body = {0}, batch = {0};
    struct bytes out;

    record_encode(&body, rec);
    record_batch_begin(&batch, 1);
    record_batch_add(&batch, buf_bytes(&body));
    out = arena_copy(mem, buf_bytes(&batch));
    buf_fini(&body);
    buf_fini(&batch);
    return out;
}

static struct txn_id id_of(tstamp start, uint32_t counter)
{
    return (struct txn_id){.start = start, .gateway = 1, .counter = counter};
}

static enum status apply_one(struct world *w, const struct record *rec)
{
    struct bytes payload = payload_of(&w->mem, rec);

    return tablet_apply(w->t, tablet_applied(w->t) + 1, &payload, 1, NULL);
}

static enum status put(struct world *w, struct txn_id id, tstamp ts, const char *key,
                       const char *value)
{
    struct record_write write = {.key = bytes_str(key), .value = bytes_str(value)};
    struct record rec = {.kind = RECORD_COMMIT,
                         .id = id,
                         .ts = ts,
                         .until = TSTAMP_MAX,
                         .writes = &write,
                         .n_writes = 1};

    return apply_one(w, &rec);
}

static void assert_value(struct world *w, const char *key, tstamp t, const char *want)
{
    struct mvcc_read seen = {0};
    struct bytes value;
    tstamp ts;
    enum status st = mvcc_get(w->e, bytes_str(key), t, &w->mem, &value, &ts, &seen, NULL);

    assert_int_equal(st, want == NULL ? ST_NOTFOUND : ST_OK);
    if (want != NULL)
        assert_true(bytes_eq(value, bytes_str(want)));
}

static void commit_applied_is_visible_from_its_timestamp(void **state)
{
    struct world *w = *state;

    assert_int_equal(put(w, id_of(1, 1), 100, "k", "v"), ST_OK);
    assert_int_equal(tablet_applied(w->t), 1);
    assert_int_equal(tablet_applied_ts(w->t), 100);
    assert_value(w, "k", 99, NULL);
    assert_value(w, "k", 100, "v");
}

static void duplicate_id_changes_nothing(void **state)
{
    struct world *w = *state;
    struct tablet_stats stats;
    tstamp ts;

    assert_int_equal(put(w, id_of(1, 1), 100, "k", "first"), ST_OK);
    assert_int_equal(put(w, id_of(1, 1), 200, "k", "again"), ST_OK);
    assert_value(w, "k", 300, "first");
    assert_int_equal(tablet_outcome(w->t, id_of(1, 1), &ts), ST_OK);
    assert_int_equal(ts, 100);
    assert_int_equal(tablet_applied_ts(w->t), 200);
    tablet_stats(w->t, &stats);
    assert_int_equal(stats.duplicates, 1);
}

static void commit_after_abort_of_its_id_changes_nothing(void **state)
{
    struct world *w = *state;
    struct record abort = {.kind = RECORD_ABORT, .id = id_of(1, 1), .ts = 50};
    tstamp ts = 1;

    assert_int_equal(apply_one(w, &abort), ST_OK);
    assert_int_equal(put(w, id_of(1, 1), 100, "k", "v"), ST_OK);
    assert_value(w, "k", 300, NULL);
    assert_int_equal(tablet_outcome(w->t, id_of(1, 1), &ts), ST_OK);
    assert_int_equal(ts, 0);
    assert_int_equal(tablet_outcome(w->t, id_of(1, 2), &ts), ST_NOTFOUND);
}

static void abort_after_commit_of_its_id_changes_nothing(void **state)
{
    struct world *w = *state;
    struct record abort = {.kind = RECORD_ABORT, .id = id_of(1, 1), .ts = 150};
    tstamp ts = 0;

    assert_int_equal(put(w, id_of(1, 1), 100, "k", "v"), ST_OK);
    assert_int_equal(apply_one(w, &abort), ST_OK);
    assert_int_equal(tablet_outcome(w->t, id_of(1, 1), &ts), ST_OK);
    assert_int_equal(ts, 100);
    assert_value(w, "k", 300, "v");
}

static void outcome_older_than_retention_is_forgotten(void **state)
{
    struct world *w = *state;
    const tstamp keep = (tstamp)(TABLET_OUTCOME_RETENTION_S + TABLET_OUTCOME_SLACK_S) * SEC;
    const tstamp base = 1000 * (tstamp)SEC;
    tstamp ts;

    assert_int_equal(put(w, id_of(base, 1), base, "a", "1"), ST_OK);
    assert_int_equal(put(w, id_of(base, 2), base + keep, "b", "1"), ST_OK);
    assert_int_equal(tablet_outcome(w->t, id_of(base, 1), &ts), ST_OK); /* just old enough */
    assert_true(tablet_outcome_floor(w->t) > base);
    assert_int_equal(put(w, id_of(base, 3), base + keep + 1, "c", "1"), ST_OK);
    assert_int_equal(tablet_outcome(w->t, id_of(base, 1), &ts), ST_NOTFOUND);
    assert_int_equal(tablet_outcome(w->t, id_of(base, 2), &ts), ST_OK);
}

static void crash_falls_back_to_the_checkpoint_and_replays(void **state)
{
    struct world *w = *state;
    tstamp ts;

    assert_int_equal(put(w, id_of(1, 1), 100, "k", "one"), ST_OK);
    assert_int_equal(engine_checkpoint(w->e, NULL), ST_OK);
    assert_int_equal(put(w, id_of(1, 2), 200, "k", "two"), ST_OK);
    crash(w);
    assert_int_equal(tablet_applied(w->t), 1);
    assert_int_equal(tablet_applied_ts(w->t), 100);
    assert_int_equal(tablet_outcome(w->t, id_of(1, 1), &ts), ST_OK);
    assert_int_equal(tablet_outcome(w->t, id_of(1, 2), &ts), ST_NOTFOUND);
    assert_value(w, "k", 300, "one");
    assert_int_equal(put(w, id_of(1, 1), 150, "k", "dup"), ST_OK); /* outcomes came back, too */
    assert_value(w, "k", 300, "one");
}

static void timestamp_that_does_not_rise_is_fatal(void **state)
{
    struct world *w = *state;

    assert_int_equal(put(w, id_of(1, 1), 100, "k", "v"), ST_OK);
    assert_int_equal(put(w, id_of(1, 2), 100, "k", "w"), ST_FATAL);
    assert_int_equal(tablet_applied(w->t), 1);
    assert_value(w, "k", 300, "v");
}

static void malformed_payload_is_fatal_and_leaves_nothing(void **state)
{
    struct world *w = *state;
    struct record_write write = {.key = bytes_str("k"), .value = bytes_str("v")};
    struct record rec = {.kind = RECORD_COMMIT, .ts = 10, .writes = &write, .n_writes = 1};
    struct bytes payloads[2];

    payloads[0] = payload_of(&w->mem, &rec);
    payloads[1] = bytes_str("\x01\x01\x05nonsense");
    assert_int_equal(tablet_apply(w->t, 1, payloads, 2, NULL), ST_FATAL);
    assert_int_equal(tablet_applied(w->t), 0);
    assert_value(w, "k", 300, NULL);
    assert_int_equal(tablet_apply(w->t, 1, payloads, 1, NULL), ST_OK);
    assert_value(w, "k", 300, "v");
}

static void failed_commit_can_be_applied_again(void **state)
{
    struct world *w = *state;
    tstamp ts;

    assert_int_equal(put(w, id_of(1, 1), 100, "k", "v"), ST_OK);
    assert_int_equal(faults_arm(w->faults, "engine.commit=1", NULL), ST_OK);
    assert_int_not_equal(put(w, id_of(1, 2), 200, "k", "w"), ST_OK);
    assert_int_equal(tablet_applied(w->t), 1);
    assert_int_equal(tablet_outcome(w->t, id_of(1, 2), &ts), ST_NOTFOUND);
    assert_int_equal(put(w, id_of(1, 2), 200, "k", "w"), ST_OK);
    assert_int_equal(tablet_outcome(w->t, id_of(1, 2), &ts), ST_OK);
    assert_value(w, "k", 300, "w");
}

static void schema_and_cap_survive_a_restart(void **state)
{
    struct world *w = *state;
    struct record ddl = {.kind = RECORD_COMMIT,
                         .id = id_of(1, 1),
                         .ts = 100,
                         .until = TSTAMP_MAX,
                         .flags = RECORD_SCHEMA};
    struct record cap = {.kind = RECORD_CAP, .ts = 110, .ts_arg = 5000};
    struct record lower = {.kind = RECORD_CAP, .ts = 120, .ts_arg = 4000};
    struct record close = {.kind = RECORD_CLOSE, .ts = 130};

    assert_int_equal(apply_one(w, &ddl), ST_OK);
    assert_int_equal(apply_one(w, &cap), ST_OK);
    assert_int_equal(apply_one(w, &lower), ST_OK);
    assert_int_equal(apply_one(w, &close), ST_OK);
    assert_int_equal(tablet_raise_horizon(w->t, 77, NULL), ST_OK);
    assert_int_equal(tablet_raise_horizon(w->t, 66, NULL), ST_OK); /* never falls */
    assert_int_equal(engine_checkpoint(w->e, NULL), ST_OK);
    crash(w);
    assert_int_equal(tablet_schema_from(w->t), 100);
    assert_int_equal(tablet_schema_cap(w->t), 5000);
    assert_int_equal(tablet_applied_ts(w->t), 130);
    assert_int_equal(tablet_horizon(w->t), 77);
}

/* Every row of DATA, keys and values, as one text. */
static void dump(struct engine *e, struct buf *out)
{
    struct engine_cursor *c;
    enum status st;

    buf_reset(out);
    assert_int_equal(engine_cursor_open(e, ENGINE_DATA, &c, NULL), ST_OK);
    for (st = engine_seek(c, bytes_of("", 0), NULL); st == ST_OK; st = engine_next(c, NULL)) {
        buf_put_bytes(out, engine_key(c));
        buf_put_bytes(out, engine_value(c));
    }
    engine_cursor_close(c);
}

/* The same log, cut into batches differently and with crashes on one side, ends in the same bytes. */
static void replicas_of_one_log_are_byte_identical(void **state)
{
    enum { SLOTS = 400 };
    struct world *a = *state, b;
    struct buf da = {0}, db = {0};
    struct bytes payloads[SLOTS];
    struct rng rng;
    tstamp ts = 1000 * (tstamp)SEC;

    open_world(&b);
    rng_seed(&rng, 1);
    for (int i = 0; i < SLOTS; i++) {
        char key[] = {'k', (char)('a' + rng_below(&rng, 20)), 0};
        struct record_write write = {.key = bytes_str(key), .value = bytes_str("v")};
        struct record rec = {.kind = rng_chance(&rng, 0.1) ? RECORD_ABORT : RECORD_COMMIT,
                             .id = id_of(ts, (uint32_t)rng_below(&rng, 300)),
                             .until = TSTAMP_MAX,
                             .writes = &write,
                             .n_writes = 1};

        if (rng_chance(&rng, 0.3))
            rec.id.start = 1000 * (tstamp)SEC; /* ids that come again, also after the retention */
        write.tombstone = rng_chance(&rng, 0.2);
        ts += (tstamp)rng_below(&rng, SEC);
        rec.ts = ++ts;
        payloads[i] = rng_chance(&rng, 0.05) ? bytes_of("", 0) : payload_of(&a->mem, &rec);
    }
    for (size_t i = 0; i < SLOTS;) {
        size_t n = 1 + (size_t)rng_below(&rng, 30);

        n = n < SLOTS - i ? n : SLOTS - i;
        assert_int_equal(tablet_apply(a->t, i + 1, &payloads[i], n, NULL), ST_OK);
        i += n;
    }
    while (tablet_applied(b.t) < SLOTS) {
        slot_no at = tablet_applied(b.t);

        assert_int_equal(tablet_apply(b.t, at + 1, &payloads[at], 1, NULL), ST_OK);
        if (rng_chance(&rng, 0.1))
            assert_int_equal(engine_checkpoint(b.e, NULL), ST_OK);
        if (rng_chance(&rng, 0.02))
            crash(&b);
    }
    dump(a->e, &da);
    dump(b.e, &db);
    assert_int_equal(da.len, db.len);
    assert_memory_equal(da.ptr, db.ptr, da.len);
    buf_fini(&da);
    buf_fini(&db);
    close_world(&b);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(commit_applied_is_visible_from_its_timestamp),
        T(duplicate_id_changes_nothing),
        T(commit_after_abort_of_its_id_changes_nothing),
        T(abort_after_commit_of_its_id_changes_nothing),
        T(outcome_older_than_retention_is_forgotten),
        T(crash_falls_back_to_the_checkpoint_and_replays),
        T(timestamp_that_does_not_rise_is_fatal),
        T(malformed_payload_is_fatal_and_leaves_nothing),
        T(failed_commit_can_be_applied_again),
        T(schema_and_cap_survive_a_restart),
        T(replicas_of_one_log_are_byte_identical),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
