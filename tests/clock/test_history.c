/* Histories that were made by hand: a good one passes, and each rule has one that breaks it alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tests/clock/history.h"

/* Two keys. Writes 1 and 2 of key 0, then write 3 of key 1; wall clock = monotonic clock here, in microseconds. */
#define W1      "W 0 5001 10000 20000 10000 20000 0 1 A 15000 1 -\n"
#define W2      "W 1 5002 30000 40000 30000 40000 0 2 A 35000 2 -\n"
#define W3      "W 0 5001 50000 60000 50000 60000 1 3 A 55000 1 -\n"
#define REFUSED "W 0 5001 61000 62000 61000 62000 1 4 N 0 0 40001\n"
#define DOUBT   "W 0 5001 61000 62000 61000 62000 1 5 U 0 0 40003\n"
#define ROWS    "L 0 1 1\nL 0 2 2\nL 1 1 3\n"
#define ENDS    "C 0 2\nC 1 1\n"
#define R_OLD   "R 2 5003 1000 9000 - 0 0\n"
#define R_MID   "R 2 5003 41000 42000 - 2 0\n"
#define R_END   "R 2 5003 70000 80000 - 2 1\n"
#define GOOD    W1 W2 W3 REFUSED ROWS ENDS R_OLD R_MID R_END

struct judged {
    struct h_verdict v;
    char *text; /* complaints */
};

static struct judged judge(const char *lines, int64_t bound_ns)
{
    struct judged j = {0};
    struct history h;
    size_t len = 0;
    FILE *complaints = open_memstream(&j.text, &len);
    FILE *in = fmemopen((void *)lines, strlen(lines), "r");
    struct h_check how = {.bound_ns = bound_ns, .complaints = complaints};

    assert_non_null(complaints);
    assert_non_null(in);
    history_init(&h);
    assert_true(history_read(&h, in, complaints));
    j.v = history_check(&h, &how);
    history_fini(&h);
    fclose(in);
    fclose(complaints);
    return j;
}

static void expect_good(const char *lines)
{
    struct judged j = judge(lines, 0);

    if (j.v.violations != 0)
        fail_msg("unexpected: %s", j.text);
    free(j.text);
}

/* The history breaks that rule, and no other. */
static void expect_breach(const char *lines, const char *rule)
{
    struct judged j = judge(lines, 0);

    assert_true(j.v.violations > 0);
    for (char *line = j.text; *line != '\0'; line = strchr(line, '\n') + 1)
        if (strncmp(line, rule, strlen(rule)) != 0)
            fail_msg("another rule than %s: %s", rule, line);
    free(j.text);
}

static void history_good_passes(void **state)
{
    struct judged j = judge(GOOD, 0);

    (void)state;
    assert_int_equal(j.v.violations, 0);
    assert_int_equal(j.v.acked, 3);
    assert_int_equal(j.v.not_done, 1);
    assert_int_equal(j.v.reads, 3);
    assert_int_equal(j.v.wait_min_ns, 5000);
    free(j.text);
}

static void history_in_doubt_may_be_done_or_not(void **state)
{
    (void)state;
    expect_good(GOOD DOUBT);
    expect_good(W1 W2 W3 DOUBT ROWS "L 1 2 5\nC 0 2\nC 1 2\n");
}

static void write_acknowledged_without_row_is_lost(void **state)
{
    (void)state;
    expect_breach(W1 W2 W3 "L 0 1 1\nL 0 2 2\nC 0 2\nC 1 0\n", "H1 lost");
}

static void write_with_two_rows_is_doubled(void **state)
{
    (void)state;
    expect_breach(W1 W2 W3 ROWS "L 1 2 3\nC 0 2\nC 1 2\n", "H");
    expect_breach(W1 W2 DOUBT "L 0 1 1\nL 0 2 2\nL 1 1 5\nL 1 2 5\nC 0 2\nC 1 2\n", "H1 doubled");
}

static void write_refused_but_done_is_found(void **state)
{
    (void)state;
    expect_breach(W1 W2 W3 REFUSED ROWS "L 1 2 4\nC 0 2\nC 1 2\n", "H1 refused");
}

static void row_of_nobody_is_found(void **state)
{
    (void)state;
    expect_breach(GOOD "L 2 1 99\nC 2 1\n", "H1 row");
}

static void chain_with_gap_is_found(void **state)
{
    (void)state;
    expect_breach(W1 W2 W3 DOUBT ROWS "L 1 3 5\nC 0 2\nC 1 2\n", "H2");
}

static void counter_unlike_rows_is_found(void **state)
{
    (void)state;
    expect_breach(W1 W2 W3 ROWS "C 0 3\nC 1 1\n", "H2");
}

static void place_told_unlike_row_is_found(void **state)
{
    (void)state;
    expect_breach(W1 W2 "W 0 5001 50000 60000 50000 60000 1 3 A 55000 7 -\n" ROWS ENDS, "H3");
}

static void timestamps_against_real_time_are_found(void **state)
{
    (void)state;
    /* Another key, begun after write 2 was acknowledged, with a smaller timestamp; a window excuses H9 alone. */
    expect_breach(W1 W2 "W 0 5001 50000 60000 50000 60000 1 3 A 34000 1 -\n" ROWS ENDS
                        "F 5001 0 0 lie\n",
                  "H4");
}

static void timestamps_against_places_are_found(void **state)
{
    (void)state;
    /* Both at once, so that real time orders neither. */
    expect_breach("W 0 5001 10000 40000 10000 40000 0 1 A 35000 1 -\n"
                  "W 1 5002 10000 40000 10000 40000 0 2 A 25000 2 -\n" W3 ROWS ENDS,
                  "H5");
}

static void effects_against_real_time_are_found(void **state)
{
    (void)state;
    /* In doubt, so that it has no timestamp; it began after place 2 was acknowledged, and stands at place 1. */
    expect_breach("W 0 5001 41000 42000 41000 42000 0 1 U 0 0 40003\n" W2 W3 ROWS ENDS, "H6");
}

static void read_stale_is_found_outside_windows(void **state)
{
    struct judged j;

    (void)state;
    expect_breach(GOOD "R 3 5001 41000 42000 - 1 0\n", "H7 stale");
    expect_breach(GOOD "R 3 5001 41000 42000 - 1 0\nF 5002 0 0 another node\n", "H7 stale");
    expect_breach(GOOD "R 3 5001 41000 42000 - 1 0\nF 5001 0 40999 earlier\n", "H7 stale");
    j = judge(GOOD "R 3 5001 41000 42000 - 1 0\nF 5001 40000 43000 lie\n", 0);
    assert_int_equal(j.v.violations, 0);
    assert_int_equal(j.v.admitted, 1);
    free(j.text);
}

static void reads_going_back_are_found(void **state)
{
    (void)state;
    /* Both overlap write 2; the second began after the first had ended, and saw less. */
    expect_breach(GOOD "R 3 5003 31000 32000 - 2 0\nR 4 5002 33000 34000 - 1 0\n", "H7 stale");
    expect_good(GOOD "R 3 5003 31000 32000 - 2 0\nR 4 5002 31500 34000 - 1 0\n");
    /* What a lying node showed early binds nobody. */
    expect_good(GOOD
                "R 3 5003 31000 32000 - 2 0\nR 4 5002 33000 34000 - 1 0\nF 5003 30000 32500 x\n");
}

static void read_of_what_is_not_yet_there_is_found(void **state)
{
    (void)state;
    expect_breach(GOOD "R 3 5003 22000 23000 - 2 0\n", "H7 read");
    expect_breach(GOOD "R 3 5003 70000 80000 - 2 2\n", "H7 read");
}

static void read_torn_is_found(void **state)
{
    (void)state;
    /* Overlaps writes 2 and 3: sees the later of them and not the earlier. */
    expect_breach("W 0 5001 10000 20000 10000 20000 0 1 A 15000 1 -\n"
                  "W 1 5002 30000 60000 30000 60000 0 2 A 35000 2 -\n" W3 ROWS ENDS
                  "R 3 5003 31000 59000 - 1 1\n",
                  "H8");
}

static void stamp_outside_its_operation_is_found(void **state)
{
    struct judged j;

    (void)state;
    expect_breach(W1 W2 "W 0 5001 50000 60000 50000 60000 1 3 A 61000 1 -\n" ROWS ENDS, "H9");
    expect_breach(W1 W2 "W 0 5001 50000 60000 50000 60000 1 3 A 49000 1 -\n" ROWS ENDS, "H9");
    /* A window excuses a timestamp that is too low, never one that is too high. */
    expect_good(W1 W2 "W 0 5001 50000 60000 50000 60000 1 3 A 49000 1 -\n" ROWS ENDS
                      "F 5002 45000 55000 lie\n");
    expect_breach(W1 W2 "W 0 5001 50000 60000 50000 60000 1 3 A 61000 1 -\n" ROWS ENDS
                        "F 5001 0 0 lie\n",
                  "H9");
    j = judge(GOOD, 5000);
    assert_int_equal(j.v.violations, 0);
    free(j.text);
    j = judge(GOOD, 5001); /* both halves of each of three writes */
    assert_int_equal(j.v.violations, 6);
    free(j.text);
}

static void lines_that_are_none_are_refused(void **state)
{
    static const char *const bad[] = {
        "X 1\n",
        "W 0 5001 10000\n",
        "W 0 5001 10 20 10 20 99 1 A 15 1 -\n",
        "W 0 5001 10 20 10 20 0 1 Z 15 1 -\n",
        "W 0 5001 20 10 10 20 0 1 A 15 1 -\n",
        "R 0 5001 10 20 40001 1\n",
        "R 0 5001 10 20 -\n",
        "L 0 1\n",
        "C -1 1\n",
        "F 1\n",
        "C 0 1", /* cut off */
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct history h;
        FILE *in = fmemopen((void *)bad[i], strlen(bad[i]), "r");
        FILE *drop = fopen("/dev/null", "w");

        history_init(&h);
        assert_false(history_read(&h, in, drop));
        history_fini(&h);
        fclose(in);
        fclose(drop);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(history_good_passes),
        cmocka_unit_test(history_in_doubt_may_be_done_or_not),
        cmocka_unit_test(write_acknowledged_without_row_is_lost),
        cmocka_unit_test(write_with_two_rows_is_doubled),
        cmocka_unit_test(write_refused_but_done_is_found),
        cmocka_unit_test(row_of_nobody_is_found),
        cmocka_unit_test(chain_with_gap_is_found),
        cmocka_unit_test(counter_unlike_rows_is_found),
        cmocka_unit_test(place_told_unlike_row_is_found),
        cmocka_unit_test(timestamps_against_real_time_are_found),
        cmocka_unit_test(timestamps_against_places_are_found),
        cmocka_unit_test(effects_against_real_time_are_found),
        cmocka_unit_test(read_stale_is_found_outside_windows),
        cmocka_unit_test(reads_going_back_are_found),
        cmocka_unit_test(read_of_what_is_not_yet_there_is_found),
        cmocka_unit_test(read_torn_is_found),
        cmocka_unit_test(stamp_outside_its_operation_is_found),
        cmocka_unit_test(lines_that_are_none_are_refused),
    };

    return cmocka_run_group_tests_name("clock_history", tests, NULL, NULL);
}
