/* The shim and the rollback against scripts of system calls, then the real engine on a disk that forgets. This program
 * is also the child: `test_powerloss WHAT DIR ...` runs under the shim and is killed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/rng.h"
#include "storage/engine.h"

extern char **environ;

enum { SECTOR = 512, CHECKPOINT_EVERY = 40, PATH_LEN = 200 };

/* -- a disk: a directory with a journal beside it -- */

struct place {
    char root[64], dir[80], journal[80];
};

static int remove_entry(const char *path, const struct stat *sb, int flag, struct FTW *ftw)
{
    (void)sb;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static int setup(void **state)
{
    struct place *p = calloc(1, sizeof *p);

    assert_non_null(p);
    snprintf(p->root, sizeof p->root, "/var/tmp/mrd-power-XXXXXX");
    assert_non_null(mkdtemp(p->root));
    snprintf(p->dir, sizeof p->dir, "%s/disk", p->root);
    snprintf(p->journal, sizeof p->journal, "%s/journal", p->root);
    assert_int_equal(mkdir(p->dir, 0700), 0);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct place *p = *state;

    nftw(p->root, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    free(p);
    return 0;
}

static pid_t spawn_on(const struct place *p, char *const argv[])
{
    pid_t pid;

    setenv("LD_PRELOAD", SHIM, 1);
    setenv("POWERLOSS_DIR", p->dir, 1);
    setenv("POWERLOSS_JOURNAL", p->journal, 1);
    assert_int_equal(posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, environ), 0);
    unsetenv("LD_PRELOAD");
    return pid;
}

static void rollback(const struct place *p, unsigned seed)
{
    char text[16];
    char *const argv[] = {(char[]){ROLLBACK},
                          (char *)(uintptr_t)p->dir,
                          (char *)(uintptr_t)p->journal,
                          seed == 0 ? NULL : (char[]){"--seed"},
                          text,
                          NULL};
    posix_spawn_file_actions_t quiet;
    int status;
    pid_t pid;

    snprintf(text, sizeof text, "%u", seed);
    posix_spawn_file_actions_init(&quiet);
    posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0);
    assert_int_equal(posix_spawn(&pid, ROLLBACK, &quiet, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&quiet);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* -- scripts of system calls -- */

static void must(bool ok, const char *what)
{
    if (!ok) {
        perror(what);
        exit(1);
    }
}

static int open_in(const char *dir, const char *name, int flags)
{
    char path[PATH_LEN];
    int fd;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    fd = open(path, flags, 0600);
    must(fd >= 0, path);
    return fd;
}

static void fill(int fd, char with, size_t n, off_t at)
{
    char block[64 * SECTOR];

    memset(block, with, sizeof block);
    must(pwrite(fd, block, n, at) == (ssize_t)n, "pwrite");
}

static void sync_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY);

    must(fd >= 0 && fsync(fd) == 0, dir);
    close(fd);
}

static void script_content(const char *dir)
{
    int fd = open_in(dir, "f", O_RDWR | O_CREAT), copy;

    fill(fd, 'a', 3000, 0);
    must(fdatasync(fd) == 0, "fdatasync");
    sync_dir(dir);
    fill(fd, 'b', 1000, 2500);
    must(ftruncate(fd, 700) == 0, "ftruncate");
    must(lseek(fd, 0, SEEK_END) == 700 && write(fd, "xyz", 3) == 3, "write");
    must(fallocate(fd, 0, 0, 10000) == 0, "fallocate");
    copy = dup(fd);
    fill(copy, 'c', 10, 5);
    close(fd);
    close(open_in(dir, "f", O_WRONLY | O_TRUNC));
    raise(SIGKILL);
}

static void script_names(const char *dir)
{
    char from[PATH_LEN], to[PATH_LEN];

    for (const char *c = "pqr"; *c != '\0'; c++) {
        int fd = open_in(dir, (char[]){*c, '\0'}, O_RDWR | O_CREAT);

        fill(fd, *c, 10, 0);
        must(fsync(fd) == 0, "fsync");
        close(fd);
    }
    sync_dir(dir);
    close(open_in(dir, "new", O_RDWR | O_CREAT));
    snprintf(from, sizeof from, "%s/p", dir);
    snprintf(to, sizeof to, "%s/q", dir);
    must(rename(from, to) == 0, "rename");
    snprintf(from, sizeof from, "%s/r", dir);
    must(unlink(from) == 0, "unlink");
    close(open_in(dir, "p", O_RDWR | O_CREAT));
    snprintf(to, sizeof to, "%s/sub", dir);
    must(mkdir(to, 0700) == 0, "mkdir");
    close(open_in(to, "below", O_RDWR | O_CREAT));
    raise(SIGKILL);
}

static void script_names_synced(const char *dir)
{
    char from[PATH_LEN], to[PATH_LEN];

    close(open_in(dir, "p", O_RDWR | O_CREAT));
    close(open_in(dir, "q", O_RDWR | O_CREAT));
    snprintf(from, sizeof from, "%s/p", dir);
    snprintf(to, sizeof to, "%s/z", dir);
    must(rename(from, to) == 0, "rename");
    snprintf(from, sizeof from, "%s/q", dir);
    must(unlink(from) == 0, "unlink");
    sync_dir(dir);
    raise(SIGKILL);
}

static void script_sectors(const char *dir)
{
    int fd = open_in(dir, "f", O_RDWR | O_CREAT);

    fill(fd, 'a', 64 * SECTOR, 0);
    must(fsync(fd) == 0, "fsync");
    sync_dir(dir);
    fill(fd, 'b', 64 * SECTOR, 0);
    fill(fd, 'c', 32 * SECTOR, 32 * SECTOR);
    raise(SIGKILL);
}

static void run_script(const struct place *p, const char *name)
{
    char *const argv[] = {(char[]){"child"}, (char *)(uintptr_t)name, (char *)(uintptr_t)p->dir,
                          NULL};
    pid_t pid = spawn_on(p, argv);
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* Bytes of a file; -1 if there is none. */
static ssize_t content(const struct place *p, const char *name, char *out, size_t max)
{
    char path[PATH_LEN];
    ssize_t n;
    int fd;

    snprintf(path, sizeof path, "%s/%s", p->dir, name);
    fd = open(path, O_RDONLY);
    if (fd < 0)
        return -1;
    n = read(fd, out, max);
    close(fd);
    return n;
}

static void content_unsynced_is_undone(void **state)
{
    char got[4000];

    run_script(*state, "content");
    assert_int_equal(content(*state, "f", got, sizeof got), 0); /* before: cut by the last open */
    rollback(*state, 0);
    assert_int_equal(content(*state, "f", got, sizeof got), 3000);
    for (int i = 0; i < 3000; i++)
        assert_int_equal(got[i], 'a');
}

static void names_unsynced_are_undone(void **state)
{
    char got[20];

    run_script(*state, "names");
    rollback(*state, 0);
    for (const char *c = "pqr"; *c != '\0'; c++) {
        assert_int_equal(content(*state, (char[]){*c, '\0'}, got, sizeof got), 10);
        assert_int_equal(got[9], *c);
    }
    assert_int_equal(content(*state, "new", got, sizeof got), -1);
    assert_int_equal(content(*state, "sub", got, sizeof got), -1);
}

static void names_synced_stay(void **state)
{
    char got[20];

    run_script(*state, "names_synced");
    rollback(*state, 0);
    assert_int_equal(content(*state, "p", got, sizeof got), -1);
    assert_int_equal(content(*state, "q", got, sizeof got), -1);
    assert_int_equal(content(*state, "z", got, sizeof got), 0);
}

/* With a seed every sector is whole, and as it was at some time; some disks are torn, others are not. */
static void sectors_are_torn_by_seed(void **state)
{
    int n_torn = 0, n_even = 0;

    for (unsigned seed = 1; seed <= 24; seed++) {
        char got[64 * SECTOR];
        bool torn = false;

        run_script(*state, "sectors");
        rollback(*state, seed);
        if (content(*state, "f", got, sizeof got) < 0)
            fail();
        for (size_t i = 0; i < sizeof got; i++) {
            assert_true(got[i] == 'a' || got[i] == 'b' || (got[i] == 'c' && i >= 32 * SECTOR));
            assert_int_equal(got[i], got[i / SECTOR * SECTOR]);
            torn |= i < 32 * SECTOR && got[i] != got[0];
        }
        n_torn += torn;
        n_even += !torn;
    }
    assert_true(n_torn > 0 && n_even > 0);
}

/* -- the engine -- */

enum said { SAID_SYNCED = 'l', SAID_CHECKPOINT = 'c' };

struct word {
    uint32_t what, n;
};

static struct engine *open_engine(const char *dir, bool nosync, struct err *err)
{
    struct engine_options opts = {
        .dir = dir, .cache_bytes = 32 << 20, .log_file_bytes = 1 << 20, .fault_nosync = nosync};
    struct engine *e;

    return engine_wt_open(&opts, &e, err) == ST_OK ? e : NULL;
}

static void put(struct engine *e, enum engine_table t, uint32_t n, enum engine_sync sync)
{
    struct buf key = {0}, value = {0};
    struct engine_txn *x;

    for (int shift = 24; shift >= 0; shift -= 8)
        buf_put_u8(&key, (uint8_t)(n >> shift));
    buf_put_u32(&value, n);
    buf_put(&value, (uint8_t[700]){0}, n % 700);
    must(engine_begin(e, &x, NULL) == ST_OK &&
             engine_put(x, t, buf_bytes(&key), buf_bytes(&value), NULL) == ST_OK &&
             engine_commit(x, sync, NULL) == ST_OK,
         "put");
    buf_fini(&key);
    buf_fini(&value);
}

static void say(int fd, enum said what, uint32_t n)
{
    struct word w = {what, n};

    must(write(fd, &w, sizeof w) == sizeof w, "say");
}

/* Entry n to LOG, synced; row n to DATA; a checkpoint now and then. */
static void script_engine(const char *dir, uint32_t first, int fd, bool nosync)
{
    struct err err;
    struct engine *e = open_engine(dir, nosync, &err);

    must(e != NULL, "open");
    for (uint32_t n = first;; n++) {
        put(e, ENGINE_LOG, n, ENGINE_SYNC);
        say(fd, SAID_SYNCED, n);
        put(e, ENGINE_DATA, n, ENGINE_NOSYNC);
        if (n % CHECKPOINT_EVERY == 0) {
            must(engine_checkpoint(e, NULL) == ST_OK, "checkpoint");
            say(fd, SAID_CHECKPOINT, n);
        }
    }
}

struct told {
    uint32_t synced, checkpoint;
};

/* Runs a child from entry `first` on, kills it after n_words, and takes in all that it said. */
static void run_engine(const struct place *p, const char *how, uint32_t first, uint32_t n_words,
                       struct told *io_told)
{
    int fds[2];
    char first_text[16], fd_text[16];
    char *const argv[] = {(char[]){"child"},
                          (char *)(uintptr_t)how,
                          (char *)(uintptr_t)p->dir,
                          first_text,
                          fd_text,
                          NULL};
    struct word w;
    pid_t pid;

    assert_int_equal(pipe(fds), 0);
    fcntl(fds[0], F_SETFD, FD_CLOEXEC); /* a child that nobody listens to any more dies of it */
    snprintf(first_text, sizeof first_text, "%u", first);
    snprintf(fd_text, sizeof fd_text, "%d", fds[1]);
    pid = spawn_on(p, argv);
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
}

/* Rows 1..n without a gap; returns n. */
static uint32_t count_rows(struct engine *e, enum engine_table t)
{
    struct engine_cursor *c;
    uint32_t n = 0;

    assert_int_equal(engine_cursor_open(e, t, &c, NULL), ST_OK);
    for (enum status st = engine_seek(c, bytes_str(""), NULL); st == ST_OK;
         st = engine_next(c, NULL)) {
        struct rd rd = rd_of(engine_value(c));

        n++;
        assert_int_equal(rd_u32(&rd), n);
        assert_int_equal(rd_left(&rd), n % 700);
    }
    engine_cursor_close(c);
    return n;
}

/* LOG holds what was acknowledged, DATA is a checkpoint not older than the last that was. */
static void check_round(const struct place *p, struct told *io_told)
{
    struct err err = {0};
    struct engine *e = open_engine(p->dir, false, &err);
    uint32_t n_log, n_data;

    if (e == NULL)
        fail_msg("%s", err.msg);
    n_log = count_rows(e, ENGINE_LOG);
    n_data = count_rows(e, ENGINE_DATA);
    assert_true(n_log >= io_told->synced && n_log <= io_told->synced + 1);
    assert_true(n_data >= io_told->checkpoint && n_data <= n_log);
    assert_true(n_data == io_told->checkpoint || n_data % CHECKPOINT_EVERY == 0);
    for (uint32_t n = n_data + 1; n <= n_log; n++)
        put(e, ENGINE_DATA, n, ENGINE_NOSYNC);
    engine_close(e); /* checkpoints */
    *io_told = (struct told){n_log, n_log};
}

static void engine_without_power_keeps_what_it_synced(void **state)
{
    struct told told = {0};
    struct rng rng;

    rng_seed(&rng, 7);
    for (unsigned round = 0; round < 30; round++) {
        run_engine(*state, "engine", told.synced + 1, (uint32_t)rng_below(&rng, 200), &told);
        rollback(*state, round % 3 == 0 ? 0 : round);
        check_round(*state, &told);
    }
    assert_true(told.synced > 100);
}

/* The proof that the round above can fail: the same engine, lying about its syncs. */
static void engine_that_does_not_sync_is_caught(void **state)
{
    struct told told = {0};
    struct err err;
    struct engine *e;

    run_engine(*state, "engine_nosync", 1, 150, &told);
    assert_true(told.synced >= 100);
    rollback(*state, 0);
    e = open_engine(((struct place *)*state)->dir, false, &err);
    if (e == NULL)
        return; /* it lost more than entries */
    assert_true(count_rows(e, ENGINE_LOG) < told.synced);
    engine_close(e);
}

static int child(char **argv)
{
    const char *what = argv[1], *dir = argv[2];

    if (strcmp(what, "content") == 0)
        script_content(dir);
    else if (strcmp(what, "names") == 0)
        script_names(dir);
    else if (strcmp(what, "names_synced") == 0)
        script_names_synced(dir);
    else if (strcmp(what, "sectors") == 0)
        script_sectors(dir);
    else
        script_engine(dir, (uint32_t)strtoul(argv[3], NULL, 10), (int)strtol(argv[4], NULL, 10),
                      strcmp(what, "engine_nosync") == 0);
    return 1;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(content_unsynced_is_undone),
        TEST(names_unsynced_are_undone),
        TEST(names_synced_stay),
        TEST(sectors_are_torn_by_seed),
        TEST(engine_without_power_keeps_what_it_synced),
        TEST(engine_that_does_not_sync_is_caught),
    };

    if (argc > 2)
        return child(argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
