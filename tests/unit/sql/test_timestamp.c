/* Points in time as text, and the calendar. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rng.h"
#include "sql/timestamp.h"

static const int64_t now = INT64_C(1709209000123456); /* 2024-02-29 12:16:40.123456 */

static const char *out_of(int64_t ts, int32_t zone, char room[TIMESTAMP_TEXT_MAX])
{
    room[timestamp_text(ts, zone, room)] = '\0';
    return room;
}

static void text_in_gives_the_canonical_text_out(void **state)
{
    static const char *const cases[][2] = {
        {"2024-02-29", "2024-02-29 00:00:00+00"},
        {"2024-02-29 12:34:56", "2024-02-29 12:34:56+00"},
        {"2024-02-29T12:34:56.789Z", "2024-02-29 12:34:56.789+00"},
        {"2024-02-29 12:34:56.1234567+02", "2024-02-29 10:34:56.123457+00"},
        {"2024-02-29 12:34:56-03:30", "2024-02-29 16:04:56+00"},
        {"2024-01-02 03:04:05 +0530", "2024-01-01 21:34:05+00"},
        {"2024-01-02 03:04:05+05:30:15", "2024-01-01 21:33:50+00"},
        {"2024-01-02 03:04:05+15:59", "2024-01-01 11:05:05+00"},
        {"2024-01-02 03:04:05 GMT", "2024-01-02 03:04:05+00"},
        {"20240102T030405", "2024-01-02 03:04:05+00"},
        {"20240102 030405", "2024-01-02 03:04:05+00"},
        {"2024-1-2 3:04", "2024-01-02 03:04:00+00"},
        {"2024/01/05", "2024-01-05 00:00:00+00"},
        {"2024.01.05", "2024-01-05 00:00:00+00"},
        {"01/05/2024", "2024-01-05 00:00:00+00"},
        {"Jan 5, 2024", "2024-01-05 00:00:00+00"},
        {"5 January 2024 10:00", "2024-01-05 10:00:00+00"},
        {"2024-Jan-05", "2024-01-05 00:00:00+00"},
        {"2024-01-05 10:00 PM", "2024-01-05 22:00:00+00"},
        {"2024-01-05 12:30:00 am", "2024-01-05 00:30:00+00"},
        {"2024-01-01 24:00:00", "2024-01-02 00:00:00+00"},
        {"2024-01-01 23:59:60", "2024-01-02 00:00:00+00"},
        {"2024-01-05 10:00:00.9999999", "2024-01-05 10:00:01+00"},
        {"infinity", "infinity"},
        {" -Infinity ", "-infinity"},
        {"epoch", "1970-01-01 00:00:00+00"},
        {"now", "2024-02-29 12:16:40.123456+00"},
        {"today", "2024-02-29 00:00:00+00"},
        {"tomorrow 10:00", "2024-03-01 10:00:00+00"},
        {"yesterday", "2024-02-28 00:00:00+00"},
        {"0044-03-15 BC", "0044-03-15 00:00:00+00 BC"},
        {"4714-11-24 BC", "4714-11-24 00:00:00+00 BC"},
        {"0001-01-01", "0001-01-01 00:00:00+00"},
        {"12345-06-07", "12345-06-07 00:00:00+00"},
        {"294246-12-31 23:59:59.999999", "294246-12-31 23:59:59.999999+00"},
    };
    char room[TIMESTAMP_TEXT_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t ts;
        struct err err;

        err_clear(&err);
        if (timestamp_from_text(bytes_str(cases[i][0]), 0, now, &ts, &err) != ST_OK)
            fail_msg("%s: %s", cases[i][0], err.msg);
        assert_string_equal(out_of(ts, 0, room), cases[i][1]);
    }
}

static void text_that_is_no_timestamp_is_an_error(void **state)
{
    static const struct {
        const char *in, *sqlstate, *start, *hint;
    } cases[] = {
        {"", "22007", "invalid input syntax for type timestamp with time zone: \"\"", ""},
        {"garbage", "22007", "invalid input syntax for type timestamp with time zone: \"garbage\"",
         ""},
        {"2024-01", "22007", "invalid input syntax for type timestamp with time zone: \"2024-01\"",
         ""},
        {"+infinity", "22007",
         "invalid input syntax for type timestamp with time zone: \"+infinity\"", ""},
        {"2024-01-05x", "22007",
         "invalid input syntax for type timestamp with time zone: \"2024-01-05x\"", ""},
        {"2024-01-05 10", "22007",
         "invalid input syntax for type timestamp with time zone: \"2024-01-05 10\"", ""},
        {"2023-02-29", "22008", "date/time field value out of range: \"2023-02-29\"", ""},
        {"2024-13-01", "22008", "date/time field value out of range: \"2024-13-01\"",
         "Perhaps you need a different \"datestyle\" setting."},
        {"99-01-01", "22008", "date/time field value out of range: \"99-01-01\"",
         "Perhaps you need a different \"datestyle\" setting."},
        {"0000-01-01", "22008", "date/time field value out of range: \"0000-01-01\"", ""},
        {"2024-01-01 25:00:00", "22008",
         "date/time field value out of range: \"2024-01-01 25:00:00\"", ""},
        {"2024-01-01 23:60:00", "22008",
         "date/time field value out of range: \"2024-01-01 23:60:00\"", ""},
        {"2024-01-02 03:04:05+16", "22009",
         "time zone displacement out of range: \"2024-01-02 03:04:05+16\"", ""},
        {"4714-11-23 BC", "22008", "timestamp out of range: \"4714-11-23 BC\"", ""},
        {"294277-01-01", "22008", "timestamp out of range: \"294277-01-01\"", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t ts;
        struct err err;

        assert_int_equal(timestamp_from_text(bytes_str(cases[i].in), 0, now, &ts, &err), ST_REJECT);
        assert_string_equal(err.msg, cases[i].start);
        assert_string_equal(err.sqlstate, cases[i].sqlstate);
        assert_string_equal(err.hint, cases[i].hint);
    }
}

static void zone_of_the_session_applies_where_none_is_written(void **state)
{
    char room[TIMESTAMP_TEXT_MAX];
    int64_t ts;
    int32_t zone;

    (void)state;
    assert_true(timestamp_zone("-03:30", &zone));
    assert_int_equal(zone, -12600);
    assert_true(timestamp_zone("+02", &zone));
    assert_int_equal(zone, 7200);
    assert_true(timestamp_zone("UTC", &zone));
    assert_false(timestamp_zone("+99", &zone));
    assert_false(timestamp_zone("", &zone));
    assert_false(timestamp_zone("Mars/Olympus", &zone));
    assert_int_equal(timestamp_from_text(bytes_str("2024-01-01 00:00"), 7200, now, &ts, NULL),
                     ST_OK);
    assert_string_equal(out_of(ts, 0, room), "2023-12-31 22:00:00+00");
    assert_string_equal(out_of(ts, 7200, room), "2024-01-01 00:00:00+02");
    assert_string_equal(out_of(ts, -12600, room), "2023-12-31 18:30:00-03:30");
}

static void every_timestamp_reads_back(void **state)
{
    struct rng r;
    char room[TIMESTAMP_TEXT_MAX];

    (void)state;
    rng_seed(&r, 23);
    for (int i = 0; i < 20000; i++) {
        int32_t zone = (int32_t)rng_below(&r, 2 * 57599) - 57599;
        uint64_t span = (uint64_t)TIMESTAMP_MAX - (uint64_t)TIMESTAMP_MIN;
        int64_t ts = (int64_t)((uint64_t)TIMESTAMP_MIN + rng_next(&r) % span);
        int64_t back;
        size_t n;

        if (i < 2) { /* the ends, as seen from afar */
            ts = i == 0 ? TIMESTAMP_MIN : TIMESTAMP_MAX;
            zone = 0;
        } else if (i % 2 == 0) {
            ts = (int64_t)(rng_next(&r) % UINT64_C(4000000000000000)); /* near our days */
        }
        n = timestamp_text(ts, zone, room);
        assert_true(n < TIMESTAMP_TEXT_MAX);
        assert_int_equal(timestamp_from_text(bytes_of(room, n), 0, 0, &back, NULL), ST_OK);
        assert_true(back == ts);
    }
    (void)timestamp_text(TIMESTAMP_MAX, 57599, room);
    (void)timestamp_text(TIMESTAMP_MIN, -57599, room);
}

static void random_text_never_crashes(void **state)
{
    static const char alphabet[] = "0123456789-:+.T Zbcjanfebutcpm/,";
    struct rng r;

    (void)state;
    rng_seed(&r, 29);
    for (int i = 0; i < 100000; i++) {
        char in[40];
        size_t len = rng_below(&r, sizeof in);
        int64_t ts;

        for (size_t k = 0; k < len; k++)
            in[k] = alphabet[rng_below(&r, sizeof alphabet - 1)];
        if (i % 2 == 0 && len > 10)
            memcpy(in, "2024-01-02 ", 11);
        if (timestamp_from_text(bytes_of(in, len), 0, now, &ts, NULL) == ST_OK)
            assert_true(ts >= TIMESTAMP_MIN);
    }
}

static void calendar_fields_agree(void **state)
{
    static const struct {
        const char *in;
        int weekday, day_of_year, week;
        int64_t week_year;
    } cases[] = {
        {"2024-02-29", 4, 60, 9, 2024},  {"2021-01-03", 0, 3, 53, 2020},
        {"2024-12-31", 2, 366, 1, 2025}, {"2000-01-01", 6, 1, 52, 1999},
        {"0001-01-01", 1, 1, 1, 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t ts;
        int64_t year;
        struct civil c;

        assert_int_equal(timestamp_from_text(bytes_str(cases[i].in), 0, now, &ts, NULL), ST_OK);
        c = civil_of(ts, 0);
        assert_int_equal(civil_weekday(&c), cases[i].weekday);
        assert_int_equal(civil_day_of_year(&c), cases[i].day_of_year);
        assert_int_equal(civil_iso_week(&c, &year), cases[i].week);
        assert_int_equal(year, cases[i].week_year);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_in_gives_the_canonical_text_out),
        cmocka_unit_test(text_that_is_no_timestamp_is_an_error),
        cmocka_unit_test(zone_of_the_session_applies_where_none_is_written),
        cmocka_unit_test(every_timestamp_reads_back),
        cmocka_unit_test(random_text_never_crashes),
        cmocka_unit_test(calendar_fields_agree),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
