/* The small things of the ground floor: bytes, arena, frame, fault, metrics, log, status. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/fault.h"
#include "base/frame.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/rng.h"

static void varint_any_value_round_trips(void **state)
{
    struct rng r;
    struct buf b = {0};

    (void)state;
    rng_seed(&r, 1);
    for (int i = 0; i < 100000; i++) {
        uint64_t v = rng_next(&r) >> rng_below(&r, 64);
        struct rd rd;

        buf_reset(&b);
        buf_put_varint(&b, v);
        rd = rd_of(buf_bytes(&b));
        assert_true(rd_varint(&rd) == v && !rd.bad && rd_left(&rd) == 0);
        rd = rd_of(bytes_of(b.ptr, b.len - 1));
        assert_true(rd_varint(&rd) == 0 && rd.bad);
    }
    buf_fini(&b);
}

static void reader_past_the_end_stays_bad(void **state)
{
    static const uint8_t raw[] = {5, 1, 2};
    struct rd rd = rd_of(bytes_of(raw, sizeof raw));

    (void)state;
    assert_int_equal(rd_bytes(&rd).len, 0);
    assert_true(rd.bad);
    assert_int_equal(rd_u8(&rd), 0);
}

static void arena_many_sizes_do_not_overlap(void **state)
{
    struct arena a;
    struct rng r;
    struct {
        uint8_t *p;
        size_t n;
    } got[500];

    (void)state;
    arena_init(&a, 1000);
    rng_seed(&r, 2);
    for (int i = 0; i < 500; i++) {
        got[i].n = rng_below(&r, 3000);
        got[i].p = arena_alloc(&a, got[i].n);
        assert_int_equal((uintptr_t)got[i].p % 16, 0);
        memset(got[i].p, i & 0xff, got[i].n);
    }
    assert_true(arena_over_budget(&a));
    for (int i = 0; i < 500; i++)
        for (size_t j = 0; j < got[i].n; j++)
            assert_int_equal(got[i].p[j], i & 0xff);
    arena_reset(&a);
    assert_false(arena_over_budget(&a));
    assert_string_equal(arena_printf(&a, "%d-%s", 7, "x"), "7-x");
    arena_fini(&a);
}

static void crc32c_known_value_matches(void **state)
{
    (void)state;
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283u); /* RFC 3720, appendix B.4 */
}

static void frame_damaged_byte_is_refused(void **state)
{
    struct buf b = {0};
    struct frame f;
    struct err err;
    size_t at = frame_begin(&b, 7);

    (void)state;
    buf_put(&b, "hello", 5);
    frame_end(&b, at);
    assert_int_equal(frame_parse(buf_bytes(&b), 100, &f, &err), ST_OK);
    assert_true(f.kind == 7 && bytes_eq(f.payload, bytes_str("hello")) && f.size == b.len);
    assert_int_equal(frame_parse(bytes_of(b.ptr, b.len - 1), 100, &f, &err), ST_RETRY);
    assert_int_equal(frame_parse(buf_bytes(&b), 4, &f, &err), ST_REJECT);
    for (size_t i = 4; i < b.len; i++) {
        b.ptr[i] ^= 0x40;
        assert_int_equal(frame_parse(buf_bytes(&b), 100, &f, &err), ST_REJECT);
        assert_string_equal(err.sqlstate, "08P01");
        b.ptr[i] ^= 0x40;
    }
    buf_fini(&b);
}

static void fault_armed_fires_on_the_named_hits(void **state)
{
    struct faults *f = faults_new();
    struct err err;
    int64_t arg = 0;
    int fired = 0;

    (void)state;
    assert_false(FAULT(f, "a"));
    assert_int_equal(faults_arm(f, "a=2,b=3+:200,c=every:2", &err), ST_OK);
    assert_false(FAULT(f, "a"));
    assert_true(FAULT(f, "a"));
    assert_false(FAULT(f, "a"));
    for (int i = 0; i < 6; i++)
        fired += faults_hit(f, "b", &arg);
    assert_int_equal(fired, 4);
    assert_int_equal(arg, 200);
    assert_false(FAULT(f, "c"));
    assert_true(FAULT(f, "c"));
    assert_int_equal(faults_arm(f, "nonsense", &err), ST_REJECT);
    assert_int_equal(faults_arm(f, "a=0", &err), ST_REJECT);
    assert_int_equal(faults_hits(f, "b"), 6);
    faults_clear(f);
    assert_false(FAULT(f, "b"));
    faults_free(f);
}

static void hist_uniform_quantiles_are_close(void **state)
{
    struct metrics *m = metrics_new();
    struct hist *h = metrics_hist(m, "meridian_test_seconds", "test");
    struct buf out = {0};

    (void)state;
    for (int64_t i = 1; i <= 100000; i++)
        hist_add(h, i * 1000);
    assert_in_range(hist_quantile(h, 0.5), 50000000, 54000000);
    assert_in_range(hist_quantile(h, 0.99), 99000000, 100000000);
    assert_ptr_equal(h, metrics_hist(m, "meridian_test_seconds", "test"));
    metric_add(metrics_counter(m, "meridian_a_total", "a"), 3);
    metrics_text(m, &out);
    buf_put_u8(&out, 0);
    assert_non_null(strstr((char *)out.ptr, "\nmeridian_a_total 3\n"));
    assert_non_null(strstr((char *)out.ptr, "meridian_test_seconds_count 100000\n"));
    buf_fini(&out);
    metrics_free(m);
}

static void log_event_is_one_line(void **state)
{
    int fds[2];
    char line[512];
    ssize_t n;
    struct logger *log;

    (void)state;
    assert_int_equal(pipe(fds), 0);
    log = log_new(fds[1], LOG_INFO, "n1");
    log_event(log, LOG_DEBUG, "test.quiet", "a=%d", 1);
    log_event(log, LOG_WARN, "test.loud", "a=%d text=\"%s\"", 1, "x\ny");
    n = read(fds[0], line, sizeof line - 1);
    assert_true(n > 0);
    line[n] = '\0';
    assert_non_null(strstr(line, " warn n1 test.loud a=1 text=\"x y\"\n"));
    assert_null(strstr(line, "quiet"));
    log_free(log);
    close(fds[0]);
    close(fds[1]);
}

static void err_too_long_is_cut_between_characters(void **state)
{
    struct err err;
    char text[400];

    (void)state;
    for (size_t lead = 0; lead < 4; lead++) {
        size_t len, n = lead;

        memset(text, 'a', lead);
        for (; n + 3 < sizeof text; n += 3)
            memcpy(text + n, "\xe2\x82\xac", 3);
        text[n] = '\0';
        (void)err_set(&err, ST_REJECT, SQLSTATE_UNDEFINED_TABLE, "%s", text);
        len = strlen(err.msg);
        assert_true(len > sizeof err.msg - 4);
        assert_int_equal((len - lead) % 3, 0);
    }
}

static void err_set_keeps_what_was_said(void **state)
{
    struct err err;

    (void)state;
    assert_int_equal(err_set(&err, ST_REJECT, SQLSTATE_UNDEFINED_TABLE, "no %s", "t"), ST_REJECT);
    assert_int_equal(err_hint(&err, "make one"), ST_REJECT);
    assert_string_equal(err.sqlstate, "42P01");
    assert_string_equal(err.msg, "no t");
    assert_string_equal(err.hint, "make one");
    assert_string_equal(sqlstate_name("23505"), "unique_violation");
    assert_string_equal(status_name(ST_UNKNOWN), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(varint_any_value_round_trips),
        cmocka_unit_test(reader_past_the_end_stays_bad),
        cmocka_unit_test(arena_many_sizes_do_not_overlap),
        cmocka_unit_test(crc32c_known_value_matches),
        cmocka_unit_test(frame_damaged_byte_is_refused),
        cmocka_unit_test(fault_armed_fires_on_the_named_hits),
        cmocka_unit_test(hist_uniform_quantiles_are_close),
        cmocka_unit_test(log_event_is_one_line),
        cmocka_unit_test(err_set_keeps_what_was_said),
        cmocka_unit_test(err_too_long_is_cut_between_characters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
