#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "timesvc/tt_clockbound.h"

enum { V1_LEN = 72, V2_LEN = 80 };

static void put(uint8_t *p, size_t at, uint64_t v, size_t len)
{
    memcpy(p + at, &v, len); /* little-endian, as everything that we run on */
}

/* As of 1000 s, good until 1005 s, within 250 us, 1 ppm, synchronised. */
static size_t page(uint8_t *p, int version)
{
    memset(p, 0, TT_CLOCKBOUND_MAX);
    put(p, 0, 0x414d5a4e, 4);
    put(p, 4, 0x43420200, 4);
    put(p, 8, version == 1 ? V1_LEN : V2_LEN, 4);
    put(p, 12, (uint64_t)version, 2);
    put(p, 14, 6, 2);
    put(p, 16, 1000, 8);
    put(p, 32, 1005, 8);
    put(p, 48, 250000, 8);
    put(p, version == 1 ? 56 : 64, 1000, 4);
    put(p, version == 1 ? 64 : 68, 1, 4);
    return version == 1 ? V1_LEN : V2_LEN;
}

static const int64_t mono = INT64_C(1000200000000), raw = INT64_C(990000000000);

static void both_layouts_are_understood(void **state)
{
    (void)state;
    for (int version = 1; version <= 2; version++) {
        uint8_t p[TT_CLOCKBOUND_MAX];
        struct tt_said said;

        tt_clockbound_decode(p, page(p, version), mono, raw, &said);
        assert_int_equal(said.answer, TT_SAYS_BOUND);
        assert_int_equal(said.bound_ns, 250000);
        assert_int_equal(said.drift_ppb, 1000);
        assert_int_equal(said.as_of_raw_ns, raw - 200 * NS_PER_MS);
        assert_int_equal(said.good_for_ns, 5 * (int64_t)NS_PER_S);
        assert_int_equal(said.update_id, 1000 * (uint64_t)NS_PER_S);
    }
}

static void status_is_understood(void **state)
{
    static const struct {
        uint32_t status;
        enum tt_answer answer;
    } cases[] = {{0, TT_SAYS_UNSYNC},    {1, TT_SAYS_BOUND},   {2, TT_SAYS_BOUND},
                 {3, TT_SAYS_DISRUPTED}, {4, TT_SAYS_GARBAGE}, {UINT32_MAX, TT_SAYS_GARBAGE}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t p[TT_CLOCKBOUND_MAX];
        struct tt_said said;
        size_t len = page(p, 2);

        put(p, 68, cases[i].status, 4);
        tt_clockbound_decode(p, len, mono, raw, &said);
        assert_int_equal(said.answer, cases[i].answer);
    }
}

static void malformed_page_is_garbage(void **state)
{
    static const struct {
        size_t at, len;
        uint64_t v;
    } bad[] = {
        {0, 4, 1},           {4, 4, 0x43420300}, {8, 4, 60},          {8, 4, 72},
        {12, 2, 0},          {12, 2, 3},         {14, 2, 0},          {16, 8, 1001},
        {16, 8, UINT64_MAX}, {24, 8, NS_PER_S},  {24, 8, UINT64_MAX}, {32, 8, UINT64_MAX / 2},
    };
    uint8_t p[TT_CLOCKBOUND_MAX];
    struct tt_said said;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        size_t len = page(p, 2);

        put(p, bad[i].at, bad[i].v, bad[i].len);
        tt_clockbound_decode(p, len, mono, raw, &said);
        if (said.answer != TT_SAYS_GARBAGE)
            fail_msg("word %zu = %llx was taken", bad[i].at, (unsigned long long)bad[i].v);
    }
    for (size_t len = 0; len < 73; len++) {
        (void)page(p, 2);
        tt_clockbound_decode(p, len, mono, raw, &said);
        assert_int_equal(said.answer, TT_SAYS_GARBAGE);
    }
    (void)page(p, 2);
    put(p, 32, 999, 8); /* void before it was good */
    tt_clockbound_decode(p, V2_LEN, mono, raw, &said);
    assert_int_equal(said.answer, TT_SAYS_UNSYNC);
}

static void file_is_read_whole_or_not_at_all(void **state)
{
    char path[] = "/tmp/mrd_clockbound_XXXXXX";
    int fd = mkstemp(path);
    uint8_t p[TT_CLOCKBOUND_MAX];
    struct tt_clockbound *c;
    struct tt_said said;
    const char *note;
    size_t len = page(p, 2);

    (void)state;
    put(p, 16, 0, 8); /* as of the start of this machine, and good for ever */
    put(p, 32, 1 << 30, 8);
    assert_int_equal(write(fd, p, len), len);
    assert_int_equal(tt_clockbound_open(path, &c, NULL), ST_OK);
    tt_clockbound_ask(c, &said, &note);
    assert_int_equal(said.answer, TT_SAYS_BOUND);
    assert_null(note);
    put(p, 14, 7, 2); /* a daemon that died while it wrote */
    assert_int_equal(pwrite(fd, p, len, 0), len);
    tt_clockbound_ask(c, &said, &note);
    assert_int_equal(said.answer, TT_SAYS_GARBAGE);
    assert_non_null(note);
    assert_int_equal(ftruncate(fd, 3), 0);
    tt_clockbound_ask(c, &said, &note);
    assert_int_equal(said.answer, TT_SAYS_GARBAGE);
    unlink(path);
    tt_clockbound_ask(c, &said, &note);
    assert_int_equal(said.answer, TT_SAYS_NOTHING);
    tt_clockbound_close(c);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_layouts_are_understood),
        cmocka_unit_test(status_is_understood),
        cmocka_unit_test(malformed_page_is_garbage),
        cmocka_unit_test(file_is_read_whole_or_not_at_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
