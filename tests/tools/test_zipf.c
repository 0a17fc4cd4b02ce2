#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "tools/bench/zipf.h"

enum { KEYS = 1000, DRAWS = 200000 };

static int by_count(const void *a, const void *b)
{
    return *(const int *)b - *(const int *)a;
}

/* With theta 0.99 and 1000 keys the hottest key is drawn about 13% of the time, the ten hottest about 39%. */
static void keys_are_skewed_and_in_range(void **state)
{
    int *count = calloc(KEYS + 1, sizeof *count);
    struct zipf z;
    struct rng rng;
    int ten = 0;

    (void)state;
    rng_seed(&rng, 1);
    zipf_init(&z, KEYS);
    for (int i = 0; i < DRAWS; i++) {
        int64_t k = zipf_next(&z, &rng);

        assert_in_range(k, 1, KEYS);
        count[k]++;
    }
    qsort(count, KEYS + 1, sizeof *count, by_count);
    for (int i = 0; i < 10; i++)
        ten += count[i];
    assert_in_range(count[0], DRAWS * 11 / 100, DRAWS * 15 / 100);
    assert_in_range(ten, DRAWS * 34 / 100, DRAWS * 44 / 100);
    free(count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(keys_are_skewed_and_in_range)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
