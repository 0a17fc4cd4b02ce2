#include "txn/tsalloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static tstamp take(struct tsalloc *a, tstamp latest, tstamp above)
{
    struct tsalloc_ask ask = {.latest = latest, .lease_end = 1000, .above = above};
    tstamp s = 0;

    return tsalloc_take(a, &ask, &s) ? s : -1;
}

static void take_without_lease_is_refused(void **state)
{
    struct tsalloc a;
    struct tsalloc_ask ask = {.latest = 5, .lease_end = 0};
    tstamp s = 77;

    (void)state;
    tsalloc_init(&a);
    assert_false(tsalloc_take(&a, &ask, &s));
    assert_int_equal(s, 77);
    tsalloc_fini(&a);
}

static void take_is_above_everything_that_was_said(void **state)
{
    struct tsalloc a;

    (void)state;
    tsalloc_init(&a);
    tsalloc_lead(&a, 100, 150);
    assert_int_equal(take(&a, 10, 0), 151);    /* above the recovered log */
    assert_int_equal(take(&a, 200, 0), 200);   /* at the clock's latest */
    assert_int_equal(take(&a, 200, 0), 201);   /* above the last one */
    assert_int_equal(take(&a, 200, 300), 301); /* above a read mark */
    assert_true(tsalloc_promise(&a, 400, 1000));
    assert_int_equal(take(&a, 200, 0), 401); /* above a promise */
    tsalloc_lead(&a, 500, 0);
    assert_int_equal(take(&a, 200, 0), 501); /* above the new lease's start */
    tsalloc_lead(&a, 0, 0);
    assert_int_equal(take(&a, 200, 0), 502); /* never back */
    tsalloc_fini(&a);
}

static void take_behind_the_lease_end_is_refused_and_changes_nothing(void **state)
{
    struct tsalloc a;
    struct tsalloc_ask ask = {.latest = 50, .lease_end = 60, .at_least = 61};
    tstamp s;

    (void)state;
    tsalloc_init(&a);
    tsalloc_lead(&a, 10, 10);
    assert_false(tsalloc_take(&a, &ask, &s));
    ask.at_least = 60;
    assert_true(tsalloc_take(&a, &ask, &s));
    assert_int_equal(s, 60);
    assert_false(tsalloc_promise(&a, 61, 60));
    tsalloc_fini(&a);
}

static void quiet_stays_below_what_is_on_the_way(void **state)
{
    struct tsalloc a;
    tstamp ts[200];

    (void)state;
    tsalloc_init(&a);
    tsalloc_lead(&a, 10, 10);
    assert_int_equal(tsalloc_quiet(&a), 10);
    for (size_t i = 0; i < 200; i++)
        ts[i] = take(&a, 100, 0);
    assert_int_equal(tsalloc_quiet(&a), ts[0] - 1);
    tsalloc_settle(&a, ts[1]);
    assert_int_equal(tsalloc_quiet(&a), ts[0] - 1);
    tsalloc_settle(&a, ts[0]);
    assert_int_equal(tsalloc_quiet(&a), ts[2] - 1);
    for (size_t i = 199; i >= 2; i--)
        tsalloc_settle(&a, ts[i]);
    assert_int_equal(tsalloc_quiet(&a), ts[199]);
    tsalloc_settle(&a, 5); /* of an earlier leadership: ignored */
    tsalloc_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(take_without_lease_is_refused),
        cmocka_unit_test(take_is_above_everything_that_was_said),
        cmocka_unit_test(take_behind_the_lease_end_is_refused_and_changes_nothing),
        cmocka_unit_test(quiet_stays_below_what_is_on_the_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
