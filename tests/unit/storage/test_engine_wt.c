/* What only the WiredTiger engine can be asked: a process killed at work, a store that is not ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>
#include <wiredtiger.h>

#include "base/rng.h"
#include "storage/mvcc.h"

extern char **environ;

enum { CHECKPOINT_EVERY = 40 };

static int remove_entry(const char *path, const struct stat *sb, int flag, struct FTW *ftw)
{
    (void)sb;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static int setup(void **state)
{
    char *dir = strdup("/tmp/mrd-engine-wt-XXXXXX");

    assert_non_null(mkdtemp(dir));
    *state = dir;
    return 0;
}

static int teardown(void **state)
{
    nftw(*state, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    free(*state);
    return 0;
}

static struct engine *open_at(const char *dir)
{
    struct engine_options opts = {.dir = dir, .cache_bytes = 32 << 20, .log_file_bytes = 1 << 20};
    struct engine *e;
    struct err err;

    if (engine_wt_open(&opts, &e, &err) != ST_OK) {
        fprintf(stderr, "engine_wt_open: %s\n", err.msg);
        abort();
    }
    return e;
}

static uint32_t number(struct bytes b)
{
    struct rd rd = rd_of(b);

    return rd_u32(&rd);
}

/* -- the child: writes until it is killed, and says what it was told is done -- */

enum said { SAID_SYNCED = 'l', SAID_CHECKPOINT = 'c' };

struct word {
    uint32_t what, n;
};

static void say(int fd, enum said what, uint32_t n)
{
    struct word w = {what, n};

    if (write(fd, &w, sizeof w) != sizeof w)
        abort();
}

/* Entry n goes to LOG, synced; then row n and "applied = n" to DATA, in one transaction. */
static void write_entry(struct engine *e, uint32_t n, int fd)
{
    struct buf key = {0}, value = {0};
    struct engine_txn *x;

    buf_put_u8(&key, 'k');
    for (int shift = 24; shift >= 0; shift -= 8)
        buf_put_u8(&key, (uint8_t)(n >> shift));
    buf_put_u32(&value, n);
    buf_put(&value, (uint8_t[300]){0}, n % 300);
    if (engine_begin(e, &x, NULL) != ST_OK ||
        engine_put(x, ENGINE_LOG, buf_bytes(&key), buf_bytes(&value), NULL) != ST_OK ||
        engine_commit(x, ENGINE_SYNC, NULL) != ST_OK)
        abort();
    say(fd, SAID_SYNCED, n);
    if (engine_begin(e, &x, NULL) != ST_OK ||
        engine_put(x, ENGINE_DATA, buf_bytes(&key), buf_bytes(&value), NULL) != ST_OK ||
        engine_put(x, ENGINE_DATA, bytes_str("applied"), buf_bytes(&value), NULL) != ST_OK ||
        engine_commit(x, ENGINE_NOSYNC, NULL) != ST_OK)
        abort();
    buf_fini(&key);
    buf_fini(&value);
}

static int child(const char *dir, uint32_t first, int fd)
{
    struct engine *e = open_at(dir);

    for (uint32_t n = first;; n++) {
        write_entry(e, n, fd);
        if (n % CHECKPOINT_EVERY == 0) {
            if (engine_checkpoint(e, NULL) != ST_OK)
                abort();
            say(fd, SAID_CHECKPOINT, n);
        }
    }
}

/* -- the parent -- */

struct told {
    uint32_t synced, checkpoint;
};

/* Runs a child from entry `first` on, kills it after n_words, and takes in all that it said. */
static void run_and_kill(const char *dir, uint32_t first, uint32_t n_words, struct told *io_told)
{
    int fds[2];
    char first_text[16], fd_text[16];
    char *const argv[] = {(char[]){"child"}, strdup(dir), first_text, fd_text, NULL};
    struct word w;
    pid_t pid;

    assert_int_equal(pipe(fds), 0);
    fcntl(fds[0], F_SETFD, FD_CLOEXEC); /* a child that nobody listens to any more dies of it */
    snprintf(first_text, sizeof first_text, "%u", first);
    snprintf(fd_text, sizeof fd_text, "%d", fds[1]);
    assert_int_equal(posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, environ), 0);
    close(fds[1]);
    for (uint32_t n = 0; read(fds[0], &w, sizeof w) == sizeof w; n++) {
        if (w.what == SAID_SYNCED)
            io_told->synced = w.n;
        else
            io_told->checkpoint = w.n;
        if (n == n_words)
            kill(pid, SIGKILL);
    }
    close(fds[0]);
    waitpid(pid, NULL, 0);
    free(argv[1]);
}

/* Keys 'k' 1..n without a gap; returns n. */
static uint32_t count_rows(struct engine *e, enum engine_table t)
{
    struct engine_cursor *c;
    uint32_t n = 0;

    assert_int_equal(engine_cursor_open(e, t, &c, NULL), ST_OK);
    for (enum status st = engine_seek(c, bytes_str("k"), NULL); st == ST_OK;
         st = engine_next(c, NULL)) {
        n++;
        assert_int_equal(number(engine_value(c)), n);
        assert_int_equal(engine_value(c).len, 4 + n % 300);
    }
    engine_cursor_close(c);
    return n;
}

static uint32_t applied(struct engine *e)
{
    struct engine_cursor *c;
    uint32_t n = 0;

    assert_int_equal(engine_cursor_open(e, ENGINE_DATA, &c, NULL), ST_OK);
    if (engine_seek(c, bytes_str("applied"), NULL) == ST_OK &&
        bytes_eq(engine_key(c), bytes_str("applied")))
        n = number(engine_value(c));
    engine_cursor_close(c);
    return n;
}

/* What DATA lost is applied again from LOG, as the floor above does. */
static void replay(struct engine *e, uint32_t from, uint32_t to)
{
    for (uint32_t n = from; n <= to; n++) {
        struct engine_txn *x;
        struct engine_cursor *c;
        uint8_t key[5] = {'k', (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8),
                          (uint8_t)n};

        assert_int_equal(engine_cursor_open(e, ENGINE_LOG, &c, NULL), ST_OK);
        assert_int_equal(engine_seek(c, bytes_of(key, sizeof key), NULL), ST_OK);
        assert_int_equal(engine_begin(e, &x, NULL), ST_OK);
        assert_int_equal(engine_put(x, ENGINE_DATA, engine_key(c), engine_value(c), NULL), ST_OK);
        assert_int_equal(engine_put(x, ENGINE_DATA, bytes_str("applied"), engine_value(c), NULL),
                         ST_OK);
        assert_int_equal(engine_commit(x, ENGINE_NOSYNC, NULL), ST_OK);
        engine_cursor_close(c);
    }
}

static void killed_keeps_synced_log_and_last_checkpoint(void **state)
{
    const char *dir = *state;
    struct told told = {0};
    struct rng rng;

    rng_seed(&rng, 11);
    for (int round = 0; round < 6; round++) {
        struct engine *e;
        uint32_t n_log, n_data;

        run_and_kill(dir, told.synced + 1, (uint32_t)rng_below(&rng, 150), &told);
        e = open_at(dir);
        n_log = count_rows(e, ENGINE_LOG);
        n_data = applied(e);
        /* One sync, or one checkpoint, may have ended that the child could not report any more. */
        assert_true(n_log == told.synced || n_log == told.synced + 1);
        assert_int_equal(count_rows(e, ENGINE_DATA), n_data);
        if (n_data != told.checkpoint)
            assert_int_equal(n_data, (told.checkpoint / CHECKPOINT_EVERY + 1) * CHECKPOINT_EVERY);
        replay(e, n_data + 1, n_log);
        engine_close(e); /* checkpoints */
        told = (struct told){n_log, n_log};
    }
}

static void format_unknown_is_refused(void **state)
{
    const char *dir = *state;
    struct engine_options opts = {.dir = dir};
    struct engine *e;
    struct err err;
    WT_CONNECTION *conn;
    WT_SESSION *session;
    WT_CURSOR *c;
    WT_ITEM key = {.data = "format", .size = 6}, value = {.data = "\x63\0\0\0", .size = 4};

    engine_close(open_at(dir));
    assert_int_equal(wiredtiger_open(dir, NULL, "log=(enabled=true)", &conn), 0);
    assert_int_equal(conn->open_session(conn, NULL, NULL, &session), 0);
    assert_int_equal(session->open_cursor(session, "table:meta", NULL, NULL, &c), 0);
    c->set_key(c, &key);
    c->set_value(c, &value);
    assert_int_equal(c->insert(c), 0);
    assert_int_equal(conn->close(conn, NULL), 0);
    assert_int_equal(engine_wt_open(&opts, &e, &err), ST_FATAL);
    assert_non_null(strstr(err.msg, "format 99"));
}

static void store_damaged_is_refused(void **state)
{
    const char *dir = *state;
    struct engine_options opts = {.dir = dir};
    struct engine *e;
    struct err err;
    char path[128];

    engine_close(open_at(dir));
    snprintf(path, sizeof path, "%s/data.wt", dir);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(engine_wt_open(&opts, &e, &err), ST_FATAL);
}

static void store_open_twice_is_refused(void **state)
{
    struct engine_options opts = {.dir = *state};
    struct engine *first = open_at(*state), *second;
    struct err err;

    assert_int_equal(engine_wt_open(&opts, &second, &err), ST_FATAL);
    engine_close(first);
}

static void cache_too_small_is_refused(void **state)
{
    struct engine_options opts = {.dir = *state, .cache_bytes = (32 << 20) - 1};
    struct engine *e;
    struct err err;

    assert_int_equal(engine_wt_open(&opts, &e, &err), ST_REJECT);
    assert_string_equal(err.sqlstate, SQLSTATE_INVALID_PARAMETER_VALUE);
}

/* -- churn: a cache that is too small, writes, slices of reads and checkpoints together -- */

struct churn {
    struct engine *e;
    atomic_bool stop;
    atomic_ullong n_rows;
};

static bool count_row(void *arg, struct bytes key, tstamp ts, struct bytes value)
{
    struct churn *c = arg;

    (void)key;
    (void)ts;
    (void)value;
    atomic_fetch_add_explicit(&c->n_rows, 1, memory_order_relaxed);
    return true;
}

static void *scan_again_and_again(void *arg)
{
    struct churn *c = arg;
    struct arena mem;

    arena_init(&mem, 0);
    while (!atomic_load(&c->stop)) {
        struct mvcc_slice slice = {.t = TSTAMP_MAX, .row = count_row, .arg = c};
        struct bytes resume;
        bool done = false;

        while (!done && !atomic_load(&c->stop)) {
            if (mvcc_scan(c->e, &slice, &mem, &done, &resume, NULL, NULL) != ST_OK)
                abort();
            if (!done)
                slice.start = resume;
        }
        arena_reset(&mem);
    }
    arena_fini(&mem);
    return NULL;
}

static void *checkpoint_again_and_again(void *arg)
{
    struct churn *c = arg;

    while (!atomic_load(&c->stop)) {
        if (engine_checkpoint(c->e, NULL) != ST_OK)
            abort();
        usleep(100 * 1000); /* a load, not a wait: without a pause it would be the only one */
    }
    return NULL;
}

/* The smallest cache there is. On a busy machine a reader may lose the processor in the middle of a slice,
 * and writers that did not wait for it would fill the cache with what its snapshot keeps there. */
static void churn_beyond_the_cache_leaves_lookaside_alone(void **state)
{
    struct engine_options opts = {.dir = *state, .cache_bytes = 32 << 20};
    struct churn churn = {0};
    struct engine_stats stats;
    struct rng rng;
    pthread_t reader, checkpointer;
    uint8_t filler[1000] = {0};

    rng_seed(&rng, 3);
    assert_int_equal(engine_wt_open(&opts, &churn.e, NULL), ST_OK);
    pthread_create(&reader, NULL, scan_again_and_again, &churn);
    pthread_create(&checkpointer, NULL, checkpoint_again_and_again, &churn);
    for (int n = 0; n < 2000; n++) { /* some 40 MB */
        struct engine_txn *x;

        assert_int_equal(engine_begin(churn.e, &x, NULL), ST_OK);
        for (int i = 0; i < 20; i++) {
            uint64_t random = rng_below(&rng, 5000);
            uint8_t key[3] = {1, (uint8_t)(1 + random / 200), (uint8_t)(1 + random % 200)};

            assert_int_equal(
                mvcc_put(x, bytes_of(key, sizeof key), n, bytes_of(filler, sizeof filler), NULL),
                ST_OK);
        }
        assert_int_equal(engine_commit(x, ENGINE_NOSYNC, NULL), ST_OK);
    }
    atomic_store(&churn.stop, true);
    pthread_join(reader, NULL);
    pthread_join(checkpointer, NULL);
    engine_stats(churn.e, &stats);
    assert_int_equal(stats.lookaside_inserts, 0);
    assert_true(stats.cache_bytes > 0); /* statistics are on at all */
    assert_true(churn.n_rows > 0);
    engine_close(churn.e);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(killed_keeps_synced_log_and_last_checkpoint),
        TEST(format_unknown_is_refused),
        TEST(store_damaged_is_refused),
        TEST(store_open_twice_is_refused),
        TEST(cache_too_small_is_refused),
        TEST(churn_beyond_the_cache_leaves_lookaside_alone),
    };

    if (argc == 4)
        return child(argv[1], (uint32_t)strtoul(argv[2], NULL, 10), (int)strtol(argv[3], NULL, 10));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
