#include "tools/meridian/time_plot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void expect(const struct plot *p, size_t width, size_t height, const char *want)
{
    struct buf b = {0};

    plot_draw(p, width, height, &b);
    buf_put_u8(&b, 0);
    assert_string_equal((const char *)b.ptr, want);
    buf_fini(&b);
}

static void bounds_become_columns_and_void_a_mark(void **state)
{
    struct plot p = {.n = 0};
    static const int64_t bounds[] = {200, 250, 300, 400, PLOT_VOID, PLOT_VOID, 100, 500};

    (void)state;
    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++)
        plot_add(&p, bounds[i]);
    expect(&p, 21, 5,
           "   500 us |         #\n"
           "          |     #   #\n"
           "   300 us |   ###   #\n"
           "          |  ####   #\n"
           "          |  ####xx##\n"
           "        0 +----------\n");
}

static void newest_samples_stay_when_the_room_is_short(void **state)
{
    struct plot p = {.n = 0};

    (void)state;
    expect(&p, 14, 1, "     1 us |   \n        0 +---\n");
    for (int64_t i = 0; i < 3 * PLOT_SAMPLES_MAX; i++)
        plot_add(&p, i < 3 * PLOT_SAMPLES_MAX - 2 ? 1000000 : 1);
    expect(&p, 14, 2, "   1.00 s |#  \n          |#..\n        0 +---\n");
    plot_add(&p, 1);
    expect(&p, 14, 1, "     1 us |###\n        0 +---\n");
    expect(&p, 0, 1, "     1 us |#\n        0 +-\n");
}

static void bound_text_has_a_unit(void **state)
{
    static const struct {
        int64_t us;
        const char *text;
    } cases[] = {
        {-1, "void"}, {0, "0 us"}, {999, "999 us"}, {1500, "1.50 ms"}, {2000000, "2.00 s"}};
    char text[16];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        plot_bound_text(cases[i].us, text);
        assert_string_equal(text, cases[i].text);
    }
    plot_bound_text(INT64_MAX, text); /* cut, not overrun */
    assert_int_equal(strlen(text), 15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bounds_become_columns_and_void_a_mark),
        cmocka_unit_test(newest_samples_stay_when_the_room_is_short),
        cmocka_unit_test(bound_text_has_a_unit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
