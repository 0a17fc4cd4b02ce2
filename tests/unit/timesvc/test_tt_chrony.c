#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "timesvc/tt_chrony.h"

/* A reply of chronyd 4.3 to sequence 0x01020304, as it came over the wire; chronyc printed beside it:
 * 7F000001 (localhost), stratum 2, leap normal, delay 9.4 us. */
static const char golden_hex[] =
    "060200000021000500000000000000000102030400000000000000007f0000017f0000010000000000000000"
    "000000000001000000020000000000006b03dac813a0277ddf279dc8db421b1ce0c2ba0bed1b18ecfb1f5726"
    "06e12688e29dca2be4b17a100080d7d6";
enum { GOLDEN_SEQUENCE = 0x01020304 };

static void golden(uint8_t out[TT_CHRONY_FRAME])
{
    for (size_t i = 0; i < TT_CHRONY_FRAME; i++) {
        char pair[3] = {golden_hex[2 * i], golden_hex[2 * i + 1], '\0'};

        out[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
}

static void put_float(uint8_t *p, int exp, int32_t coef)
{
    uint32_t v = (uint32_t)exp << 25 | ((uint32_t)coef & 0x1ffffff);

    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (24 - 8 * i));
}

static enum status decode(const uint8_t *f, size_t len, struct tt_tracking *t, struct err *err)
{
    return tt_chrony_decode(f, len, GOLDEN_SEQUENCE, t, err);
}

static void request_is_as_documented(void **state)
{
    static const uint8_t head[] = {6, 1, 0, 0, 0, 33, 0, 7, 0xde, 0xad, 0xbe, 0xef};
    uint8_t f[TT_CHRONY_FRAME];

    (void)state;
    memset(f, 0xff, sizeof f);
    tt_chrony_encode(f, 0xdeadbeef, 7);
    assert_memory_equal(f, head, sizeof head);
    for (size_t i = sizeof head; i < sizeof f; i++)
        assert_int_equal(f[i], 0);
}

static void golden_reply_is_understood(void **state)
{
    uint8_t f[TT_CHRONY_FRAME];
    struct tt_tracking t;

    (void)state;
    golden(f);
    assert_int_equal(decode(f, sizeof f, &t, NULL), ST_OK);
    assert_int_equal(t.ref_id, 0x7f000001);
    assert_int_equal(t.stratum, 2);
    assert_int_equal(t.leap, 0);
    assert_int_equal(t.ref_utc_ns, INT64_C(1795414728) * NS_PER_S + 329262973);
    assert_int_equal(t.correction_ns, -3225);
    assert_int_equal(t.last_offset_ns, -708);
    assert_int_equal(t.rms_offset_ns, 5804);
    assert_int_equal(t.residual_freq_ppb, -55);
    assert_int_equal(t.skew_ppb, 3518);
    assert_int_equal(t.root_delay_ns, 9406);
    assert_int_equal(t.root_dispersion_ns, 21157);
    assert_int_equal(t.update_interval_ns, 251646698);
    assert_int_equal(tt_tracking_bound(&t), 3225 + 21157 + 4703);
}

static void float_extremes_are_exact_or_rejected(void **state)
{
    static const struct {
        int exp;
        int32_t coef;
        int64_t ns; /* -1: too large */
    } cases[] = {
        {0, 0, 0},
        {1, 1 << 23, 500000000},       /* 2^23 * 2^-24 */
        {1, (1 << 24) - 1, 999999941}, /* rounded up from 999999940.4 */
        {1, -(1 << 24), -1000000000},  /* the most negative coefficient */
        {25, 7, INT64_C(7000000000)},  /* 2^0 */
        {0x40, 1, 1},                  /* exponent -64: a trace is still one */
        {0x40, -1, -1000000},          /* the same, negative (see below) */
        {0x3f, (1 << 24) - 1, -1},     /* 2^62 s */
        {0x20, 1 << 23, (INT64_C(1) << 30) * NS_PER_S},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t f[TT_CHRONY_FRAME];
        struct tt_tracking t;
        enum status st;

        golden(f);
        put_float(f + 68, cases[i].exp, cases[i].coef); /* the correction */
        st = decode(f, sizeof f, &t, NULL);
        if (cases[i].exp == 0x40 && cases[i].coef < 0) {
            assert_int_equal(st, ST_OK);
            assert_int_equal(t.correction_ns, -1);
        } else if (cases[i].ns == -1) {
            assert_int_equal(st, ST_REJECT);
        } else {
            assert_int_equal(st, ST_OK);
            assert_int_equal(t.correction_ns, cases[i].ns);
        }
    }
}

static void malformed_reply_is_rejected(void **state)
{
    static const struct {
        size_t at;
        uint8_t value;
    } bad[] = {
        {0, 5},  {1, 1},   {2, 1},  {3, 9},    {4, 1},    {5, 34},    {6, 1},    {7, 6},  {9, 6},
        {10, 1}, {15, 1},  {20, 1}, {27, 255}, {36, 1},   {47, 1},    {48, 1},   {49, 4}, {51, 1},
        {52, 1}, {53, 17}, {54, 1}, {55, 4},   {57, 255}, {64, 0x3c}, {64, 255},
    };
    uint8_t f[TT_CHRONY_FRAME + 1];
    struct tt_tracking t;
    struct err err;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        golden(f);
        f[bad[i].at] = bad[i].value;
        if (decode(f, TT_CHRONY_FRAME, &t, &err) != ST_REJECT)
            fail_msg("byte %zu = %d was taken", bad[i].at, bad[i].value);
    }
    golden(f);
    f[TT_CHRONY_FRAME] = 0;
    for (size_t len = 0; len <= sizeof f; len++)
        assert_int_equal(decode(f, len, &t, &err), len == TT_CHRONY_FRAME ? ST_OK : ST_REJECT);
    golden(f);
    put_float(f + 92, 0, -1); /* delay */
    assert_int_equal(decode(f, TT_CHRONY_FRAME, &t, &err), ST_REJECT);
    assert_string_equal(err.sqlstate, "08P01");
    golden(f);
    put_float(f + 96, 0, -1); /* dispersion */
    assert_int_equal(decode(f, TT_CHRONY_FRAME, &t, &err), ST_REJECT);
}

static void reply_to_another_request_is_skipped(void **state)
{
    uint8_t f[TT_CHRONY_FRAME];
    struct tt_tracking t;

    (void)state;
    golden(f);
    assert_int_equal(tt_chrony_decode(f, sizeof f, GOLDEN_SEQUENCE + 1, &t, NULL), ST_RETRY);
}

static void refusal_by_chronyd_is_told_apart(void **state)
{
    uint8_t f[TT_CHRONY_FRAME];
    struct tt_tracking t;
    struct err err;

    (void)state;
    golden(f);
    f[7] = 1; /* the empty reply */
    f[9] = 2;
    assert_int_equal(decode(f, 28, &t, &err), ST_REJECT);
    assert_string_equal(err.sqlstate, "42501");
    f[9] = 18;
    assert_int_equal(decode(f, 28, &t, &err), ST_REJECT);
    assert_string_equal(err.sqlstate, "08006");
}

/* Whatever comes, the decoder neither crashes nor lets a negative width through. */
static void noise_never_passes_as_nonsense(void **state)
{
    uint64_t seed = 88172645463325252u;
    struct tt_tracking t;
    struct tt_said said;

    (void)state;
    for (int i = 0; i < 200000; i++) {
        uint8_t f[TT_CHRONY_FRAME];

        golden(f);
        for (int k = 0; k < 6; k++) {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            f[28 + seed % 76] = (uint8_t)(seed >> 32);
        }
        if (decode(f, sizeof f, &t, NULL) != ST_OK)
            continue;
        assert_true(tt_tracking_bound(&t) >= 0);
        assert_true(t.root_delay_ns >= 0 && t.root_dispersion_ns >= 0 && t.skew_ppb >= 0);
        tt_tracking_said(&t, 1000, INT64_C(1795414729) * NS_PER_S, &said);
        if (said.answer == TT_SAYS_BOUND)
            assert_true(t.leap < 3 && t.stratum >= 1 && t.stratum <= 15);
    }
}

static void said_knows_the_bad_states(void **state)
{
    struct tt_tracking good, t;
    uint8_t f[TT_CHRONY_FRAME];
    struct tt_said said;
    int64_t utc = INT64_C(1795414730) * NS_PER_S;

    (void)state;
    golden(f);
    assert_int_equal(decode(f, sizeof f, &good, NULL), ST_OK);
    tt_tracking_said(&good, 77, utc, &said);
    assert_int_equal(said.answer, TT_SAYS_BOUND);
    assert_int_equal(said.as_of_raw_ns, 77);
    assert_int_equal(said.bound_ns, tt_tracking_bound(&good));
    assert_int_equal(said.ref_age_ns, utc - 3225 - good.ref_utc_ns);
    assert_int_equal(said.drift_ppb, good.skew_ppb + 55);
    t = good;
    t.leap = 3;
    tt_tracking_said(&t, 77, utc, &said);
    assert_int_equal(said.answer, TT_SAYS_UNSYNC);
    t = good;
    t.stratum = 16;
    tt_tracking_said(&t, 77, utc, &said);
    assert_int_equal(said.answer, TT_SAYS_UNSYNC);
    t = good;
    t.ref_id = 0x7f7f0101;
    tt_tracking_said(&t, 77, utc, &said);
    assert_int_equal(said.answer, TT_SAYS_LOCAL);
    t = good;
    t.leap = 1;
    tt_tracking_said(&t, 77, utc, &said);
    assert_int_equal(said.answer, TT_SAYS_BOUND);
    assert_int_equal(said.leap, TT_LEAP_INSERT);
}

/* A chronyd made of one thread: answers as the test says. */
struct fake {
    char dir[64];
    char path[96];
    int fd;
    pthread_t thread;
    enum { ANSWER_GOOD, ANSWER_STALE_FIRST, ANSWER_NOTHING, ANSWER_GARBAGE } how;
};

static void *fake_main(void *arg)
{
    struct fake *k = arg;

    for (;;) {
        uint8_t q[2 * TT_CHRONY_FRAME], f[TT_CHRONY_FRAME];
        struct sockaddr_un from;
        socklen_t from_len = sizeof from;
        ssize_t n = recvfrom(k->fd, q, sizeof q, 0, (struct sockaddr *)&from, &from_len);

        if (n == 1)
            return NULL; /* the test ends */
        assert_int_equal(n, TT_CHRONY_FRAME);
        golden(f);
        memcpy(f + 16, q + 8, 4);
        if (k->how == ANSWER_NOTHING)
            continue;
        if (k->how == ANSWER_GARBAGE)
            f[1] = 77;
        if (k->how == ANSWER_STALE_FIRST) {
            f[16] ^= 1;
            (void)sendto(k->fd, f, sizeof f, 0, (struct sockaddr *)&from, from_len);
            f[16] ^= 1;
        }
        (void)sendto(k->fd, f, sizeof f, 0, (struct sockaddr *)&from, from_len);
    }
}

static void fake_start(struct fake *k)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};

    k->fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    memcpy(at.sun_path, k->path, strlen(k->path) + 1);
    assert_int_equal(bind(k->fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(pthread_create(&k->thread, NULL, fake_main, k), 0);
}

static void fake_stop(struct fake *k)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

    memcpy(at.sun_path, k->path, strlen(k->path) + 1);
    assert_int_equal(sendto(fd, "x", 1, 0, (struct sockaddr *)&at, sizeof at), 1);
    pthread_join(k->thread, NULL);
    close(fd);
    close(k->fd);
    unlink(k->path);
}

static int fake_setup(void **state)
{
    struct fake *k = calloc(1, sizeof *k);

    snprintf(k->dir, sizeof k->dir, "/tmp/mrd_chrony_XXXXXX");
    assert_non_null(mkdtemp(k->dir));
    snprintf(k->path, sizeof k->path, "%s/chronyd.sock", k->dir);
    *state = k;
    return 0;
}

/* Nothing is left behind in the directory of chronyd. */
static int fake_teardown(void **state)
{
    struct fake *k = *state;
    int rc = rmdir(k->dir);

    free(k);
    return rc;
}

static void client_asks_and_is_answered(void **state)
{
    struct fake *k = *state;
    struct tt_chrony *c;
    struct tt_tracking t;

    assert_int_equal(tt_chrony_open(k->path, &c, NULL), ST_OK);
    fake_start(k);
    for (int i = 0; i < 3; i++)
        assert_int_equal(tt_chrony_ask(c, NS_PER_S, &t, NULL), ST_OK);
    assert_int_equal(t.stratum, 2);
    fake_stop(k);
    tt_chrony_close(c);
}

static void client_skips_late_answers(void **state)
{
    struct fake *k = *state;
    struct tt_chrony *c;
    struct tt_tracking t;

    k->how = ANSWER_STALE_FIRST;
    fake_start(k);
    assert_int_equal(tt_chrony_open(k->path, &c, NULL), ST_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(tt_chrony_ask(c, NS_PER_S, &t, NULL), ST_OK);
    fake_stop(k);
    tt_chrony_close(c);
}

static void client_survives_silence_and_restart(void **state)
{
    struct fake *k = *state;
    struct tt_chrony *c;
    struct tt_tracking t;
    struct err err;
    int64_t began;

    assert_int_equal(tt_chrony_open(k->path, &c, NULL), ST_OK);
    assert_int_equal(tt_chrony_ask(c, NS_PER_S, &t, &err), ST_RETRY); /* nobody there */
    k->how = ANSWER_NOTHING;
    fake_start(k);
    began = mono_now();
    assert_int_equal(tt_chrony_ask(c, 20 * NS_PER_MS, &t, &err), ST_RETRY);
    assert_true(mono_now() - began >= 20 * NS_PER_MS);
    fake_stop(k);
    k->how = ANSWER_GARBAGE;
    fake_start(k);
    assert_int_equal(tt_chrony_ask(c, NS_PER_S, &t, &err),
                     ST_RETRY); /* its socket is another one now */
    assert_int_equal(tt_chrony_ask(c, NS_PER_S, &t, &err), ST_REJECT);
    assert_string_equal(err.sqlstate, "08P01");
    fake_stop(k);
    k->how = ANSWER_GOOD;
    fake_start(k);
    assert_int_equal(tt_chrony_ask(c, NS_PER_S, &t, &err), ST_RETRY);
    assert_int_equal(tt_chrony_ask(c, NS_PER_S, &t, &err), ST_OK);
    fake_stop(k);
    tt_chrony_close(c);
}

/* A stopped chronyd: its queue fills up, and no question takes longer than it may. */
static void client_never_blocks_on_a_full_queue(void **state)
{
    struct fake *k = *state;
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    struct tt_chrony *c;
    struct tt_tracking t;
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

    memcpy(at.sun_path, k->path, strlen(k->path) + 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(tt_chrony_open(k->path, &c, NULL), ST_OK);
    for (int i = 0; i < 600; i++)
        assert_int_equal(tt_chrony_ask(c, 10 * NS_PER_US, &t, NULL), ST_RETRY);
    tt_chrony_close(c);
    close(fd);
    unlink(k->path);
}

static void place_malformed_is_rejected(void **state)
{
    static const char *const bad[] = {
        "",        "127.0.0.1",         "127.0.0.1:",     "127.0.0.1:0",
        ":323",    "127.0.0.1:1x",      "8.8.8.8:323",    "localhost:323",
        "::1:323", "[2001:db8::1]:323", "127.0.0.1:65536"};
    static const char *const good[] = {"127.0.0.1:323", "127.9.9.9:1", "[::1]:65535", "/x"};
    struct tt_chrony *c;
    struct err err;
    char longer[200];

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(tt_chrony_open(bad[i], &c, &err), ST_REJECT);
        assert_string_equal(err.sqlstate, "22023");
    }
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(tt_chrony_open(good[i], &c, &err), ST_OK);
        tt_chrony_close(c);
    }
    memset(longer, '/', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(tt_chrony_open(longer, &c, &err), ST_REJECT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_is_as_documented),
        cmocka_unit_test(golden_reply_is_understood),
        cmocka_unit_test(float_extremes_are_exact_or_rejected),
        cmocka_unit_test(malformed_reply_is_rejected),
        cmocka_unit_test(reply_to_another_request_is_skipped),
        cmocka_unit_test(refusal_by_chronyd_is_told_apart),
        cmocka_unit_test(noise_never_passes_as_nonsense),
        cmocka_unit_test(said_knows_the_bad_states),
        cmocka_unit_test_setup_teardown(client_asks_and_is_answered, fake_setup, fake_teardown),
        cmocka_unit_test_setup_teardown(client_skips_late_answers, fake_setup, fake_teardown),
        cmocka_unit_test_setup_teardown(client_survives_silence_and_restart, fake_setup,
                                        fake_teardown),
        cmocka_unit_test_setup_teardown(client_never_blocks_on_a_full_queue, fake_setup,
                                        fake_teardown),
        cmocka_unit_test(place_malformed_is_rejected),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
