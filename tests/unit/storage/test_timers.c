/* Many timers: the first one is the earliest, whatever was set, moved and taken out before. */
#include "storage/timers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rng.h"

enum { N = 300, STEPS = 20000 };

static struct timer *earliest(struct timer *all)
{
    struct timer *first = NULL;

    for (size_t i = 0; i < N; i++)
        if (all[i].place != 0 && (first == NULL || all[i].at < first->at))
            first = &all[i];
    return first;
}

static void timers_first_is_the_earliest(void **state)
{
    struct timer all[N] = {0};
    struct timers t = {0};
    struct rng rng;
    size_t n_set = 0;

    (void)state;
    rng_seed(&rng, 5);
    for (int i = 0; i < STEPS; i++) {
        struct timer *one = &all[rng_below(&rng, N)], *first;
        bool was = one->place != 0;

        if (rng_chance(&rng, 0.4)) {
            timers_clear(&t, one);
            n_set -= was;
        } else {
            timers_set(&t, one, (int64_t)rng_below(&rng, 1000));
            n_set += !was;
        }
        first = earliest(all);
        assert_int_equal(t.n, n_set);
        assert_int_equal(timers_first(&t) == NULL, first == NULL);
        if (first != NULL)
            assert_int_equal(timers_first(&t)->at, first->at);
    }
    timers_fini(&t);
}

static void timers_come_out_in_order(void **state)
{
    struct timer all[N] = {0};
    struct timers t = {0};
    int64_t last = -1;
    struct timer *one;
    struct rng rng;

    (void)state;
    rng_seed(&rng, 6);
    for (size_t i = 0; i < N; i++)
        timers_set(&t, &all[i], (int64_t)rng_below(&rng, 100));
    while ((one = timers_first(&t)) != NULL) {
        assert_true(one->at >= last);
        last = one->at;
        timers_clear(&t, one);
        assert_int_equal(one->place, 0);
    }
    timers_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_first_is_the_earliest),
        cmocka_unit_test(timers_come_out_in_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
