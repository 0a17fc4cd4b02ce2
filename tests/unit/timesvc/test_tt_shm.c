#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "timesvc/tt.h"
#include "timesvc/tt_bound.h"
#include "timesvc/tt_shm.h"

struct place {
    char dir[64];
    char path[96];
    char spec[112];
};

static int setup(void **state)
{
    struct place *p = calloc(1, sizeof *p);

    snprintf(p->dir, sizeof p->dir, "/tmp/mrd_shm_XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    snprintf(p->path, sizeof p->path, "%s/page", p->dir);
    snprintf(p->spec, sizeof p->spec, "page:%s", p->path);
    *state = p;
    return 0;
}

/* Nothing but the page is left behind. */
static int teardown(void **state)
{
    struct place *p = *state;
    int rc;

    (void)unlink(p->path);
    rc = rmdir(p->dir);
    free(p);
    return rc;
}

static struct tt *open_publisher(const struct place *p, const char *source)
{
    struct tt_options opts = {.source = source, .publish = p->path};
    struct tt *tt;

    assert_int_equal(tt_open(&opts, &tt, NULL), ST_OK);
    return tt;
}

static struct tt *open_reader(const struct place *p)
{
    struct tt_options opts = {.source = p->spec};
    struct tt *tt;

    assert_int_equal(tt_open(&opts, &tt, NULL), ST_OK);
    return tt;
}

/* Waits for polls of the reader, up to 5 s. */
static void await_void(struct tt *tt, bool is_void)
{
    int64_t until = mono_now() + 5 * (int64_t)NS_PER_S;

    while (tt_is_void(tt_now(tt)) != is_void) {
        if (mono_now() > until)
            fail_msg("the reader never became %s", is_void ? "void" : "bounded");
        mono_sleep_until(mono_now() + NS_PER_MS);
    }
}

static void reader_sees_what_is_published(void **state)
{
    struct place *p = *state;
    struct tt *pub = open_publisher(p, "fixed:3ms"), *reader = open_reader(p);
    struct tt_report r;

    for (int i = 0; i < 100; i++) {
        struct tt_interval a = tt_now(pub), b = tt_now(reader), c = tt_now(pub);

        assert_false(tt_is_void(b));
        assert_true(a.earliest <= b.latest && b.earliest <= c.latest);
        assert_in_range(b.latest - b.earliest, 6 * NS_PER_MS, 7 * NS_PER_MS);
    }
    tt_describe(reader, &r);
    assert_string_equal(r.source, p->spec);
    assert_string_equal(r.via, "fixed");
    assert_int_equal(r.said_ns, 3 * NS_PER_MS);
    assert_int_equal(r.n_reports, 1);
    tt_close(reader);
    tt_close(pub);
}

static void reader_that_comes_first_waits_for_the_page(void **state)
{
    struct place *p = *state;
    struct tt *reader = open_reader(p), *pub;
    struct tt_report r;

    assert_true(tt_is_void(tt_now(reader)));
    tt_describe(reader, &r);
    assert_int_equal(r.bound_ns, -1);
    assert_int_equal(strncmp(r.why, "void", 4), 0);
    assert_non_null(strstr(r.why, p->path));
    pub = open_publisher(p, "fixed:1ms");
    await_void(reader, false);
    tt_close(pub);
    assert_false(tt_is_void(tt_now(reader))); /* what it left is good until it ends */
    tt_close(reader);
}

static void second_publisher_is_refused_and_a_successor_is_not(void **state)
{
    struct place *p = *state;
    struct tt_options opts = {.source = "fixed:1ms", .publish = p->path};
    struct tt *pub = open_publisher(p, "fixed:1ms"), *reader = open_reader(p), *other;
    struct err err;
    struct stat a, b;

    assert_int_equal(tt_open(&opts, &other, &err), ST_REJECT);
    assert_string_equal(err.sqlstate, "55006");
    assert_int_equal(stat(p->path, &a), 0);
    tt_close(pub);
    pub = open_publisher(p, "fixed:2ms");
    assert_int_equal(stat(p->path, &b), 0);
    assert_int_equal(a.st_ino, b.st_ino);
    assert_in_range(tt_now(reader).latest - tt_now(reader).earliest, 3 * NS_PER_MS, 5 * NS_PER_MS);
    tt_close(reader);
    tt_close(pub);
}

/* kill -9 in the middle of anything: the lock goes with the process, the mapping ends by itself. */
static void publisher_that_died_voids_time(void **state)
{
    struct place *p = *state;
    struct tt_map map = {.bound_ns = 1000};
    struct tt *reader;
    struct tt_report r;
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        struct tt_shm *shm;

        if (tt_shm_publish(p->path, &shm, NULL) != ST_OK)
            _exit(1);
        map.base_raw_ns = mono_now();
        map.base_utc_ns = 1700000000 * (int64_t)NS_PER_S;
        map.void_after_ns = map.base_raw_ns + 400 * NS_PER_MS;
        tt_page_write(tt_shm_page(shm), &map);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    reader = open_reader(p);
    await_void(reader, true);
    mono_sleep_until(mono_now() + 2 * (int64_t)TT_POLL_MS * NS_PER_MS);
    tt_describe(reader, &r);
    assert_int_equal(r.bound_ns, -1);
    assert_int_equal(strncmp(r.why, "void", 4), 0);
    tt_close(reader);
}

static void replaced_page_is_followed(void **state)
{
    struct place *p = *state;
    struct tt *pub = open_publisher(p, "fixed:1ms"), *reader = open_reader(p);
    int64_t until = mono_now() + 5 * (int64_t)NS_PER_S;

    tt_close(pub);
    assert_int_equal(unlink(p->path), 0);
    pub = open_publisher(p, "fixed:50ms");
    while (tt_now(reader).latest - tt_now(reader).earliest < 90 * NS_PER_MS)
        assert_true(mono_now() < until);
    tt_close(reader);
    tt_close(pub);
}

static void poke(const struct place *p, off_t at, const char *bytes, size_t n)
{
    int fd = open(p->path, O_WRONLY);

    assert_int_equal(pwrite(fd, bytes, n, at), n);
    close(fd);
}

static void page_of_another_kind_is_refused_and_replaced(void **state)
{
    static const struct {
        off_t at;
        const char *bytes;
        size_t n;
    } spoilt[] = {{0, "nope", 4}, {4, "\7", 1}, {8, "\1", 1}, {16, "00000000", 8}, {64, "x", 1}};
    struct place *p = *state;
    struct tt_shm *shm;
    struct err err;

    for (size_t i = 0; i < sizeof spoilt / sizeof *spoilt; i++) {
        tt_close(open_publisher(p, "fixed:1ms"));
        assert_int_equal(tt_shm_open(p->path, &shm, &err), ST_OK);
        tt_shm_close(shm);
        poke(p, spoilt[i].at, spoilt[i].bytes, spoilt[i].n);
        assert_int_equal(tt_shm_open(p->path, &shm, &err), ST_REJECT);
        assert_string_equal(err.sqlstate, "XX001");
    }
    assert_int_equal(truncate(p->path, 17), 0);
    assert_int_equal(tt_shm_open(p->path, &shm, &err), ST_REJECT);
    tt_close(open_publisher(p, "fixed:1ms"));
    assert_int_equal(tt_shm_open(p->path, &shm, &err), ST_OK);
    tt_shm_close(shm);
}

static void page_that_others_may_write_is_refused(void **state)
{
    struct place *p = *state;
    struct tt_shm *shm;
    struct err err;

    tt_close(open_publisher(p, "fixed:1ms"));
    assert_int_equal(chmod(p->path, 0664), 0);
    assert_int_equal(tt_shm_open(p->path, &shm, &err), ST_REJECT);
    assert_string_equal(err.sqlstate, "42501");
    assert_int_equal(unlink(p->path), 0);
    assert_int_equal(tt_shm_open(p->path, &shm, &err), ST_RETRY);
}

static void page_is_not_published_from_a_page(void **state)
{
    struct place *p = *state;
    struct tt_options opts = {.source = p->spec, .publish = "/tmp/mrd_never"};
    struct tt *tt;
    struct err err;

    assert_int_equal(tt_open(&opts, &tt, &err), ST_REJECT);
    assert_string_equal(err.sqlstate, "22023");
    opts.source = "fixed:1ms";
    opts.publish = "/nonexistent/dir/page";
    assert_int_equal(tt_open(&opts, &tt, &err), ST_REJECT);
    assert_string_equal(err.sqlstate, "58030");
}

/* Words of a hostile publisher make hostile times, and nothing worse: UBSan watches. */
static void absurd_mappings_do_not_overflow(void **state)
{
    static const int64_t odd[] = {INT64_MIN, INT64_MIN / 2, -1, 0, 1, INT64_MAX / 2, INT64_MAX};
    enum { N = sizeof odd / sizeof *odd };
    struct tt_map map = {.void_after_ns = INT64_MAX};

    (void)state;
    for (int i = 0; i < N * N * N * N; i++) {
        map.base_raw_ns = odd[i % N];
        map.bound_ns = odd[i / N % N];
        map.drift_q = odd[i / N / N % N];
        map.rate_q = odd[i / N / N / N % N];
        map.base_utc_ns = odd[(i + 3) % N];
        (void)tt_map_bound(&map, mono_now());
        (void)tt_map_utc(&map, mono_now());
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reader_sees_what_is_published, setup, teardown),
        cmocka_unit_test_setup_teardown(reader_that_comes_first_waits_for_the_page, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(second_publisher_is_refused_and_a_successor_is_not, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(publisher_that_died_voids_time, setup, teardown),
        cmocka_unit_test_setup_teardown(replaced_page_is_followed, setup, teardown),
        cmocka_unit_test_setup_teardown(page_of_another_kind_is_refused_and_replaced, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(page_that_others_may_write_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(page_is_not_published_from_a_page, setup, teardown),
        cmocka_unit_test(absurd_mappings_do_not_overflow),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
