#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client_int.h"

static void expect(const char *text, int64_t want)
{
    int64_t us = 0;

    assert_true(timestamp_parse(text, &us));
    assert_int_equal(us, want);
}

static void timestamp_texts_are_read(void **state)
{
    (void)state;
    expect("1970-01-01 00:00:00+00", 0);
    expect("2024-02-29 12:00:00.5+00", 1709208000500000);
    expect("2024-02-29 14:00:00+02", 1709208000000000);
    expect("2024-02-29 06:30:00.000001-05:30", 1709208000000001);
    expect("1969-12-31 23:59:59.999999+00", -1);
    expect("0001-12-31 00:00:00+00 BC", -62135683200000000);
    expect("infinity", INT64_MAX);
    expect("-infinity", INT64_MIN);
}

static void timestamp_garbage_is_refused(void **state)
{
    static const char *const bad[] = {
        "", "today", "2024-02-29", "2024-02-29 12:00:00", "12", "2024-02-29 12:00:00+00x"};
    int64_t us = 0;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(timestamp_parse(bad[i], &us));
}

static void timestamps_survive_the_round(void **state)
{
    static const int64_t some[] = {0,
                                   -1,
                                   1,
                                   1709208000500000,
                                   -62135596800000000,
                                   -62135596800000001,
                                   253402300799999999,
                                   -210866803200000000,
                                   INT64_MAX,
                                   INT64_MIN};

    (void)state;
    for (size_t i = 0; i < sizeof some / sizeof some[0]; i++) {
        char text[96];
        int64_t back = 0;

        timestamp_print(some[i], text);
        assert_true(timestamp_parse(text, &back));
        assert_int_equal(back, some[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timestamp_texts_are_read),
        cmocka_unit_test(timestamp_garbage_is_refused),
        cmocka_unit_test(timestamps_survive_the_round),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
