/* What every engine promises, asked of both. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/rng.h"
#include "storage/engine_mem.h"

enum kind { MEM, WT };

struct rig {
    enum kind kind;
    struct engine *e;
    struct faults *faults;
    struct memdisk *disk;
    char dir[64];
};

static const enum kind kinds[] = {MEM, WT};

static void open_engine(struct rig *r)
{
    struct engine_options opts = {
        .dir = r->dir, .cache_bytes = 32 << 20, .log_file_bytes = 1 << 20, .faults = r->faults};
    struct err err;

    if (r->kind == MEM) {
        r->e = engine_mem_open(r->disk, r->faults);
        return;
    }
    if (engine_wt_open(&opts, &r->e, &err) != ST_OK)
        fail_msg("engine_wt_open: %s", err.msg);
}

static int setup(void **state)
{
    struct rig *r = calloc(1, sizeof *r);

    r->kind = *(const enum kind *)*state;
    r->faults = faults_new();
    if (r->kind == MEM) {
        r->disk = memdisk_new(1);
    } else {
        snprintf(r->dir, sizeof r->dir, "/tmp/mrd-engine-XXXXXX");
        assert_non_null(mkdtemp(r->dir));
    }
    open_engine(r);
    *state = r;
    return 0;
}

static int remove_entry(const char *path, const struct stat *sb, int flag, struct FTW *ftw)
{
    (void)sb;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static int teardown(void **state)
{
    struct rig *r = *state;

    engine_close(r->e);
    memdisk_free(r->disk);
    if (r->dir[0] != '\0')
        nftw(r->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    faults_free(r->faults);
    free(r);
    return 0;
}

static struct engine_txn *begin(struct rig *r)
{
    struct engine_txn *x;

    assert_int_equal(engine_begin(r->e, &x, NULL), ST_OK);
    return x;
}

static void put(struct engine_txn *x, enum engine_table t, const char *key, const char *value)
{
    assert_int_equal(engine_put(x, t, bytes_str(key), bytes_str(value), NULL), ST_OK);
}

static void commit(struct engine_txn *x)
{
    struct err err;

    if (engine_commit(x, ENGINE_NOSYNC, &err) != ST_OK)
        fail_msg("commit: %s", err.msg);
}

static void put_one(struct rig *r, enum engine_table t, const char *key, const char *value)
{
    struct engine_txn *x = begin(r);

    put(x, t, key, value);
    commit(x);
}

static struct engine_cursor *cursor(struct rig *r, enum engine_table t)
{
    struct engine_cursor *c;

    assert_int_equal(engine_cursor_open(r->e, t, &c, NULL), ST_OK);
    return c;
}

/* All keys of a cursor in order, one character each (keys are one character), then in reverse. */
static void expect_keys(struct engine_cursor *c, const char *want)
{
    char got[256];
    size_t n = 0;

    for (enum status st = engine_seek(c, bytes_str(""), NULL); st == ST_OK;
         st = engine_next(c, NULL)) {
        assert_true(n + 1 < sizeof got);
        got[n++] = (char)engine_key(c).ptr[0];
    }
    got[n] = '\0';
    assert_string_equal(got, want);
    for (enum status st = engine_seek_before(c, bytes_str(""), NULL); st == ST_OK;
         st = engine_prev(c, NULL)) {
        assert_true(n > 0);
        assert_int_equal(engine_key(c).ptr[0], want[--n]);
    }
    assert_int_equal(n, 0);
}

static void expect_table(struct rig *r, enum engine_table t, const char *want)
{
    struct engine_cursor *c = cursor(r, t);

    expect_keys(c, want);
    engine_cursor_close(c);
}

static bool holds(struct rig *r, enum engine_table t, const char *key, const char *value)
{
    struct engine_cursor *c = cursor(r, t);
    bool yes = engine_seek(c, bytes_str(key), NULL) == ST_OK &&
               bytes_eq(engine_key(c), bytes_str(key)) &&
               bytes_eq(engine_value(c), bytes_str(value));

    engine_cursor_close(c);
    return yes;
}

static void cursor_any_order_of_puts_is_sorted(void **state)
{
    struct rig *r = *state;

    for (const char *p = "qwertyuiopasdfghjklzxcvbnm"; *p != '\0'; p++)
        put_one(r, ENGINE_DATA, (char[]){*p, '\0'}, "v");
    expect_table(r, ENGINE_DATA, "abcdefghijklmnopqrstuvwxyz");
    expect_table(r, ENGINE_LOG, ""); /* tables are apart */
}

static void seek_between_keys_finds_neighbours(void **state)
{
    struct rig *r = *state;
    struct engine_txn *x = begin(r);
    struct engine_cursor *c;

    put(x, ENGINE_LOG, "bb", "1");
    put(x, ENGINE_LOG, "dd", "2");
    commit(x);
    c = cursor(r, ENGINE_LOG);
    assert_int_equal(engine_seek(c, bytes_str("bb"), NULL), ST_OK);
    assert_true(bytes_eq(engine_key(c), bytes_str("bb")));
    assert_int_equal(engine_seek(c, bytes_str("bba"), NULL), ST_OK);
    assert_true(bytes_eq(engine_key(c), bytes_str("dd")));
    assert_int_equal(engine_seek(c, bytes_str("ddd"), NULL), ST_NOTFOUND);
    assert_int_equal(engine_seek_before(c, bytes_str("dd"), NULL), ST_OK);
    assert_true(bytes_eq(engine_key(c), bytes_str("bb")));
    assert_int_equal(engine_seek_before(c, bytes_str("z"), NULL), ST_OK);
    assert_true(bytes_eq(engine_key(c), bytes_str("dd")));
    assert_true(bytes_eq(engine_value(c), bytes_str("2")));
    assert_int_equal(engine_seek_before(c, bytes_str("bb"), NULL), ST_NOTFOUND);
    engine_cursor_close(c);
}

static void txn_same_key_last_write_wins(void **state)
{
    struct rig *r = *state;
    struct engine_txn *x = begin(r);

    put(x, ENGINE_DATA, "a", "1");
    put(x, ENGINE_DATA, "a", "2");
    put(x, ENGINE_DATA, "b", "1");
    assert_int_equal(engine_delete(x, ENGINE_DATA, bytes_str("b"), NULL), ST_OK);
    assert_int_equal(engine_delete(x, ENGINE_DATA, bytes_str("c"), NULL), ST_OK);
    put(x, ENGINE_DATA, "c", "3");
    assert_int_equal(engine_delete(x, ENGINE_DATA, bytes_str("missing"), NULL), ST_OK);
    commit(x);
    expect_table(r, ENGINE_DATA, "ac");
    assert_true(holds(r, ENGINE_DATA, "a", "2"));
    assert_true(holds(r, ENGINE_DATA, "c", "3"));
}

static void txn_aborted_leaves_nothing(void **state)
{
    struct rig *r = *state;
    struct engine_txn *x = begin(r);

    put(x, ENGINE_DATA, "a", "1");
    put(x, ENGINE_LOG, "a", "1");
    engine_abort(x);
    expect_table(r, ENGINE_DATA, "");
    expect_table(r, ENGINE_LOG, "");
}

static void txn_empty_commits(void **state)
{
    struct rig *r = *state;

    assert_int_equal(engine_commit(begin(r), ENGINE_NOSYNC, NULL), ST_OK);
    assert_int_equal(engine_commit(begin(r), ENGINE_SYNC, NULL), ST_OK);
}

static void cursor_sees_its_snapshot_only(void **state)
{
    struct rig *r = *state;
    struct engine_cursor *c;
    struct engine_txn *x;

    put_one(r, ENGINE_DATA, "a", "1");
    put_one(r, ENGINE_DATA, "c", "1");
    c = cursor(r, ENGINE_DATA);
    x = begin(r); /* a thread may commit while it holds a cursor */
    put(x, ENGINE_DATA, "b", "1");
    put(x, ENGINE_DATA, "c", "2");
    assert_int_equal(engine_delete(x, ENGINE_DATA, bytes_str("a"), NULL), ST_OK);
    commit(x);
    expect_keys(c, "ac");
    assert_int_equal(engine_seek(c, bytes_str("c"), NULL), ST_OK);
    assert_true(bytes_eq(engine_value(c), bytes_str("1")));
    engine_cursor_close(c);
    expect_table(r, ENGINE_DATA, "bc");
    assert_true(holds(r, ENGINE_DATA, "c", "2"));
}

static void truncate_any_range_removes_just_it(void **state)
{
    struct rig *r = *state;
    static const struct {
        const char *from, *to, *left;
    } cases[] = {
        {"c", "e", "abefg"},   {"bb", "dd", "abefg"},   {"", "c", "cdefg"},
        {"e", "", "abcd"},     {"h", "z", "abcdefg"},   {"e", "e", "abcdefg"},
        {"e", "c", "abcdefg"}, {"cc", "cd", "abcdefg"}, {"0", "1", "abcdefg"},
        {"", "", ""},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int t = 0; t < ENGINE_TABLES; t++) {
            for (const char *p = "abcdefg"; *p != '\0'; p++)
                put_one(r, (enum engine_table)t, (char[]){*p, '\0'}, "v");
            assert_int_equal(engine_truncate(r->e, (enum engine_table)t, bytes_str(cases[i].from),
                                             bytes_str(cases[i].to), NULL),
                             ST_OK);
            expect_table(r, (enum engine_table)t, cases[i].left);
        }
}

static void limits_too_large_are_rejected(void **state)
{
    struct rig *r = *state;
    struct engine_txn *x = begin(r);
    uint8_t *big = calloc(1, ENGINE_VALUE_MAX + 1);
    struct err err;

    memset(big, 'k', ENGINE_KEY_MAX + 1);
    assert_int_equal(
        engine_put(x, ENGINE_DATA, bytes_of(big, ENGINE_KEY_MAX + 1), bytes_str(""), &err),
        ST_REJECT);
    assert_string_equal(err.sqlstate, SQLSTATE_PROGRAM_LIMIT_EXCEEDED);
    assert_int_equal(engine_put(x, ENGINE_DATA, bytes_str(""), bytes_str(""), &err), ST_REJECT);
    assert_int_equal(
        engine_put(x, ENGINE_DATA, bytes_str("k"), bytes_of(big, ENGINE_VALUE_MAX + 1), &err),
        ST_REJECT);
    assert_string_equal(err.sqlstate, SQLSTATE_PROGRAM_LIMIT_EXCEEDED);
    /* The largest pass, and the transaction has survived the refusals. */
    assert_int_equal(engine_put(x, ENGINE_DATA, bytes_of(big, ENGINE_KEY_MAX),
                                bytes_of(big, ENGINE_VALUE_MAX), &err),
                     ST_OK);
    put(x, ENGINE_DATA, "x", "");
    commit(x);
    expect_table(r, ENGINE_DATA, "kx");
    assert_true(holds(r, ENGINE_DATA, "x", ""));
    free(big);
}

/* Random writes against an array, with clean restarts between: nothing is lost by them. */
static void writes_any_then_reopen_match_model(void **state)
{
    enum { KEYS = 300 };
    struct rig *r = *state;
    uint32_t model[KEYS] = {0}; /* 0: absent */
    struct rng rng;

    rng_seed(&rng, 7);
    for (int round = 0; round < 4; round++) {
        struct engine_cursor *c;
        enum status st;

        for (int n = 0; n < 40; n++) {
            struct engine_txn *x = begin(r);

            for (int i = 0; i < 20; i++) {
                uint32_t k = (uint32_t)rng_below(&rng, KEYS);
                uint8_t key[2] = {(uint8_t)(1 + k / 200), (uint8_t)(k % 200)};

                model[k] = rng_chance(&rng, 0.3) ? 0 : (uint32_t)rng_next(&rng) | 1;
                if (model[k] == 0)
                    assert_int_equal(engine_delete(x, ENGINE_DATA, bytes_of(key, 2), NULL), ST_OK);
                else
                    assert_int_equal(engine_put(x, ENGINE_DATA, bytes_of(key, 2),
                                                bytes_of(&model[k], sizeof model[k]), NULL),
                                     ST_OK);
            }
            commit(x);
        }
        engine_close(r->e);
        open_engine(r);
        c = cursor(r, ENGINE_DATA);
        st = engine_seek(c, bytes_str(""), NULL);
        for (uint32_t k = 0; k < KEYS; k++) {
            if (model[k] == 0)
                continue;
            assert_int_equal(st, ST_OK);
            assert_int_equal(engine_key(c).ptr[0], 1 + k / 200);
            assert_int_equal(engine_key(c).ptr[1], k % 200);
            assert_memory_equal(engine_value(c).ptr, &model[k], sizeof model[k]);
            st = engine_next(c, NULL);
        }
        assert_int_equal(st, ST_NOTFOUND);
        engine_cursor_close(c);
    }
}

struct hammer {
    struct rig *r;
    int id;
    pthread_t thread;
    atomic_int *failures;
};

/* Every transaction writes its number into all of few keys that every thread writes too. */
static void *write_same_keys(void *arg)
{
    struct hammer *h = arg;

    for (int n = 0; n < 200; n++) {
        struct engine_txn *x;
        char value[32];

        snprintf(value, sizeof value, "%d.%d", h->id, n);
        if (engine_begin(h->r->e, &x, NULL) != ST_OK)
            continue;
        for (int i = 0; i < 4; i++)
            put(x, ENGINE_DATA, (char[]){(char)('a' + i), '\0'}, value);
        if (engine_commit(x, ENGINE_NOSYNC, NULL) != ST_OK)
            atomic_fetch_add(h->failures, 1);
    }
    return NULL;
}

static void *read_same_keys(void *arg)
{
    struct hammer *h = arg;

    for (int n = 0; n < 200; n++) {
        struct engine_cursor *c;
        uint8_t first[32];
        size_t len = 0;

        if (engine_cursor_open(h->r->e, ENGINE_DATA, &c, NULL) != ST_OK)
            continue;
        for (enum status st = engine_seek(c, bytes_str("a"), NULL); st == ST_OK;
             st = engine_next(c, NULL)) {
            if (len == 0) {
                len = engine_value(c).len;
                memcpy(first, engine_value(c).ptr, len);
            } else if (!bytes_eq(engine_value(c), bytes_of(first, len))) {
                atomic_fetch_add(h->failures, 1); /* half of a transaction */
            }
        }
        engine_cursor_close(c);
    }
    return NULL;
}

static void threads_same_keys_all_commit_whole(void **state)
{
    enum { N = 12 }; /* more writers than writer sessions */
    struct rig *r = *state;
    struct hammer h[N];
    atomic_int failures = 0;

    for (int i = 0; i < N; i++) {
        h[i] = (struct hammer){.r = r, .id = i, .failures = &failures};
        pthread_create(&h[i].thread, NULL, i < 9 ? write_same_keys : read_same_keys, &h[i]);
    }
    for (int i = 0; i < N; i++)
        pthread_join(h[i].thread, NULL);
    assert_int_equal(failures, 0);
    expect_table(r, ENGINE_DATA, "abcd");
}

struct one_more {
    struct rig *r;
    struct engine_cursor *c;
};

static void *open_one_more(void *arg)
{
    struct one_more *m = arg;

    m->c = cursor(m->r, ENGINE_DATA);
    return NULL;
}

static void cursors_beyond_the_pool_wait_for_one(void **state)
{
    struct rig *r = *state;
    struct engine_cursor *held[ENGINE_SESSIONS_MAX];
    struct one_more more = {.r = r};
    pthread_t thread;

    for (int i = 0; i < ENGINE_SESSIONS_MAX; i++)
        held[i] = cursor(r, ENGINE_DATA);
    put_one(r, ENGINE_DATA, "a", "1"); /* commits do not need what readers hold */
    pthread_create(&thread, NULL, open_one_more, &more);
    engine_cursor_close(held[17]);
    pthread_join(thread, NULL);
    if (r->kind == WT)
        assert_ptr_equal(more.c, held[17]); /* it had to wait for the one that came free */
    expect_keys(more.c, "a");               /* its snapshot is younger than the put */
    engine_cursor_close(more.c);
    for (int i = 0; i < ENGINE_SESSIONS_MAX; i++)
        if (i != 17)
            engine_cursor_close(held[i]);
}

static void arm(struct rig *r, const char *spec)
{
    assert_int_equal(faults_arm(r->faults, spec, NULL), ST_OK);
}

static void commit_disk_full_is_rejected_and_heals(void **state)
{
    struct rig *r = *state;
    struct engine_txn *x = begin(r);
    struct err err;

    arm(r, "engine.commit=1");
    put(x, ENGINE_DATA, "a", "1");
    assert_int_equal(engine_commit(x, ENGINE_NOSYNC, &err), ST_REJECT);
    assert_string_equal(err.sqlstate, SQLSTATE_DISK_FULL);
    expect_table(r, ENGINE_DATA, "");
    put_one(r, ENGINE_DATA, "b", "1");
    expect_table(r, ENGINE_DATA, "b");
}

static void sync_failed_is_fatal_for_good(void **state)
{
    struct rig *r = *state;
    struct engine_txn *x = begin(r);
    struct err err;

    arm(r, "engine.sync=1");
    put(x, ENGINE_LOG, "a", "1");
    assert_int_equal(engine_commit(x, ENGINE_SYNC, &err), ST_FATAL);
    assert_string_equal(err.sqlstate, SQLSTATE_IO_ERROR);
    x = begin(r);
    put(x, ENGINE_LOG, "b", "1");
    assert_int_equal(engine_commit(x, ENGINE_SYNC, &err), ST_FATAL);
    assert_int_equal(engine_checkpoint(r->e, &err), ST_FATAL);
    assert_int_equal(engine_truncate(r->e, ENGINE_LOG, bytes_str(""), bytes_str(""), &err),
                     ST_FATAL);
}

static void checkpoint_failed_says_so(void **state)
{
    struct rig *r = *state;
    struct engine_stats stats;
    struct err err;

    arm(r, "engine.checkpoint=1");
    put_one(r, ENGINE_DATA, "a", "1");
    assert_int_equal(engine_checkpoint(r->e, &err), ST_REJECT);
    assert_string_equal(err.sqlstate, SQLSTATE_DISK_FULL);
    assert_int_equal(engine_checkpoint(r->e, &err), ST_OK);
    engine_stats(r->e, &stats);
    assert_int_equal(stats.checkpoints, 1);
}

static void stats_count_syncs_and_log_bytes(void **state)
{
    struct rig *r = *state;
    struct engine_stats before, after;
    struct engine_txn *x = begin(r);

    engine_stats(r->e, &before);
    put(x, ENGINE_LOG, "a", "0123456789");
    assert_int_equal(engine_commit(x, ENGINE_SYNC, NULL), ST_OK);
    engine_stats(r->e, &after);
    assert_int_equal(after.syncs, before.syncs + 1);
    assert_true(after.log_bytes >= before.log_bytes + 11);
}

#define BOTH(f)                                                       \
    {#f "[mem]", f, setup, teardown, (void *)(uintptr_t)&kinds[MEM]}, \
    {                                                                 \
#f "[wt]", f, setup, teardown, (void *)(uintptr_t)&kinds[WT]  \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(cursor_any_order_of_puts_is_sorted),
        BOTH(seek_between_keys_finds_neighbours),
        BOTH(txn_same_key_last_write_wins),
        BOTH(txn_aborted_leaves_nothing),
        BOTH(txn_empty_commits),
        BOTH(cursor_sees_its_snapshot_only),
        BOTH(truncate_any_range_removes_just_it),
        BOTH(limits_too_large_are_rejected),
        BOTH(writes_any_then_reopen_match_model),
        BOTH(threads_same_keys_all_commit_whole),
        BOTH(cursors_beyond_the_pool_wait_for_one),
        BOTH(commit_disk_full_is_rejected_and_heals),
        BOTH(sync_failed_is_fatal_for_good),
        BOTH(checkpoint_failed_says_so),
        BOTH(stats_count_syncs_and_log_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
