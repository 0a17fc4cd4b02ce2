#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>

#include "timesvc/tt_page.h"

static void page_fresh_is_void(void **state)
{
    struct tt_page page;
    struct tt_map map;

    (void)state;
    tt_page_init(&page);
    tt_page_read(&page, &map);
    assert_int_equal(map.generation, 0);
    assert_int_equal(tt_map_bound(&map, 1), -1);
}

static void map_ages_rate_and_drift_apply(void **state)
{
    struct tt_map map = {.base_raw_ns = 1000,
                         .base_utc_ns = INT64_C(1700000000000000000),
                         .rate_q = tt_q_of_ppb(-20000),
                         .bound_ns = 5000,
                         .drift_q = tt_q_of_ppb(50000),
                         .void_after_ns = 1000 + 10 * (int64_t)NS_PER_S};
    int64_t later = 1000 + NS_PER_S;

    (void)state;
    assert_in_range(tt_map_bound(&map, later), 5000 + 50000 - 1, 5000 + 50000);
    assert_in_range(tt_map_utc(&map, later) - map.base_utc_ns, NS_PER_S - 20000 - 1,
                    NS_PER_S - 20000 + 1);
    assert_int_equal(tt_map_bound(&map, 999), -1);               /* before the base */
    assert_int_equal(tt_map_bound(&map, map.void_after_ns), -1); /* the publisher is dead */
    assert_true(tt_map_bound(&map, map.void_after_ns - 1) > 0);
    map.rate_q = TT_RATE_STILL;
    assert_int_equal(tt_map_utc(&map, INT64_MAX / 2), map.base_utc_ns);
}

static void rate_in_ppb_round_trips(void **state)
{
    static const int64_t ppb[] = {0, 1, -1, 999, -50000, 500000, NS_PER_S, -NS_PER_S};

    (void)state;
    for (size_t i = 0; i < sizeof ppb / sizeof *ppb; i++)
        assert_int_equal(tt_ppb_of_q(tt_q_of_ppb(ppb[i])), ppb[i]);
}

/* What a writer that died between its two steps left behind: an odd seq, copy 0 half written. */
static void page_dead_writer_old_mapping_stays(void **state)
{
    struct tt_page page;
    struct tt_map map = {.base_utc_ns = 7, .bound_ns = 7, .void_after_ns = 7}, seen;

    (void)state;
    tt_page_init(&page);
    tt_page_write(&page, &map);
    for (int i = 0; i < TT_MAP_WORDS; i++)
        atomic_store(&page.copy[1][i], atomic_load(&page.copy[0][i]));
    atomic_fetch_add(&page.seq, 1);
    atomic_store(&page.copy[0][1], 999);
    tt_page_read(&page, &seen);
    assert_int_equal(seen.base_utc_ns, 7);
    map.base_utc_ns = 8;
    tt_page_write(&page, &map); /* the next writer repairs it */
    tt_page_read(&page, &seen);
    assert_int_equal(seen.base_utc_ns, 8);
    assert_int_equal(seen.generation, 2);
    assert_int_equal(atomic_load(&page.seq) & 1, 0);
}

struct race {
    struct tt_page page;
    _Atomic int done;
};

static void *write_many(void *arg)
{
    struct race *race = arg;

    for (int64_t i = 1; i <= 200000; i++) {
        struct tt_map map = {i, i, i, i, i, i, 0};

        tt_page_write(&race->page, &map);
    }
    atomic_store(&race->done, 1);
    return NULL;
}

static void page_read_while_written_is_never_torn(void **state)
{
    static struct race race;
    pthread_t writer;
    int64_t last = 0, n = 0;

    (void)state;
    tt_page_init(&race.page);
    assert_int_equal(pthread_create(&writer, NULL, write_many, &race), 0);
    while (!atomic_load(&race.done) || n == 0) {
        struct tt_map m;

        tt_page_read(&race.page, &m);
        n++;
        if (m.generation == 0)
            continue;
        assert_true(m.base_raw_ns == m.base_utc_ns && m.rate_q == m.bound_ns &&
                    m.drift_q == m.void_after_ns && m.base_raw_ns == m.rate_q &&
                    m.rate_q == m.drift_q && (uint64_t)m.rate_q == m.generation);
        assert_true(m.base_raw_ns >= last);
        last = m.base_raw_ns;
    }
    pthread_join(writer, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(page_fresh_is_void),
        cmocka_unit_test(map_ages_rate_and_drift_apply),
        cmocka_unit_test(rate_in_ppb_round_trips),
        cmocka_unit_test(page_dead_writer_old_mapping_stays),
        cmocka_unit_test(page_read_while_written_is_never_torn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
