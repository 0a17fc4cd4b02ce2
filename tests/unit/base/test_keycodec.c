#include "base/keycodec.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rng.h"

enum { ROUNDS = 200000 };

/* The property of every encoder: sign of memcmp of codes = sign of the order of values, reversed if
 * descending; no code is a proper prefix of another one. */
static void check_order(const struct buf *a, const struct buf *b, int want, enum key_dir dir)
{
    int got = bytes_cmp(buf_bytes(a), buf_bytes(b));

    assert_int_equal((got > 0) - (got < 0), dir == KEY_ASC ? want : -want);
    if (want != 0) {
        assert_false(bytes_starts(buf_bytes(a), buf_bytes(b)));
        assert_false(bytes_starts(buf_bytes(b), buf_bytes(a)));
    }
    assert_int_not_equal(a->ptr[0], 0);
    assert_int_not_equal(b->ptr[0], 0);
}

static int64_t odd_int(struct rng *r)
{
    static const int64_t edges[] = {INT64_MIN, INT64_MIN + 1, -256, -1, 0, 1, 255, 256, INT64_MAX};

    if (rng_chance(r, 0.2))
        return edges[rng_below(r, sizeof edges / sizeof edges[0])];
    return (int64_t)(rng_next(r) >> rng_below(r, 64)) * (rng_chance(r, 0.5) ? 1 : -1);
}

static void int_any_two_order_is_kept(void **state)
{
    struct rng r;
    struct buf a = {0}, b = {0};

    (void)state;
    rng_seed(&r, 1);
    for (int i = 0; i < ROUNDS; i++) {
        enum key_dir dir = i % 2 ? KEY_ASC : KEY_DESC;
        int64_t x = odd_int(&r), y = odd_int(&r);
        struct rd rd;

        buf_reset(&a);
        buf_reset(&b);
        key_put_int(&a, x, dir);
        key_put_int(&b, y, dir);
        check_order(&a, &b, (x > y) - (x < y), dir);
        rd = rd_of(buf_bytes(&a));
        assert_true(key_get_int(&rd, dir) == x && !rd.bad && rd_left(&rd) == 0);
    }
    buf_fini(&a);
    buf_fini(&b);
}

static double odd_double(struct rng *r)
{
    static const double edges[] = {-INFINITY, -1e308, -1.0,  -5e-324,  -0.0, 0.0,
                                   5e-324,    1.0,    1e308, INFINITY, NAN};
    double v;
    uint64_t u = rng_next(r);

    if (rng_chance(r, 0.3))
        return edges[rng_below(r, sizeof edges / sizeof edges[0])];
    memcpy(&v, &u, 8);
    return v;
}

/* PostgreSQL's order: NaN equals NaN and is above everything. */
static int double_cmp(double x, double y)
{
    if (isnan(x) || isnan(y))
        return (isnan(x) != 0) - (isnan(y) != 0);
    return (x > y) - (x < y);
}

static void double_any_two_order_is_kept(void **state)
{
    struct rng r;
    struct buf a = {0}, b = {0};

    (void)state;
    rng_seed(&r, 2);
    for (int i = 0; i < ROUNDS; i++) {
        enum key_dir dir = i % 2 ? KEY_ASC : KEY_DESC;
        double x = odd_double(&r), y = odd_double(&r);
        struct rd rd;

        buf_reset(&a);
        buf_reset(&b);
        key_put_double(&a, x, dir);
        key_put_double(&b, y, dir);
        check_order(&a, &b, double_cmp(x, y), dir);
        rd = rd_of(buf_bytes(&a));
        assert_int_equal(double_cmp(key_get_double(&rd, dir), x), 0);
    }
    buf_fini(&a);
    buf_fini(&b);
}

static struct bytes odd_bytes(struct rng *r, uint8_t *space)
{
    static const uint8_t alphabet[] = {0x00, 0x01, 0xff, 0xfe, 'a'};
    size_t n = rng_below(r, 6);

    for (size_t i = 0; i < n; i++)
        space[i] = alphabet[rng_below(r, sizeof alphabet)];
    return bytes_of(space, n);
}

static void bytes_any_two_order_is_kept(void **state)
{
    struct rng r;
    struct buf a = {0}, b = {0};
    struct arena mem;

    (void)state;
    arena_init(&mem, 0);
    rng_seed(&r, 3);
    for (int i = 0; i < ROUNDS; i++) {
        enum key_dir dir = i % 2 ? KEY_ASC : KEY_DESC;
        uint8_t sx[8], sy[8];
        struct bytes x = odd_bytes(&r, sx), y = odd_bytes(&r, sy);
        int c = bytes_cmp(x, y);
        struct rd rd;

        buf_reset(&a);
        buf_reset(&b);
        key_put_bytes(&a, x, dir);
        key_put_bytes(&b, y, dir);
        check_order(&a, &b, (c > 0) - (c < 0), dir);
        rd = rd_of(buf_bytes(&a));
        assert_true(bytes_eq(key_get_bytes(&rd, dir, &mem), x) && !rd.bad && rd_left(&rd) == 0);
        arena_reset(&mem);
    }
    arena_fini(&mem);
    buf_fini(&a);
    buf_fini(&b);
}

/* A row of two nullable ints: parts are self-delimiting, so rows order by part. */
static void rows_of_nullable_parts_order_is_kept(void **state)
{
    struct rng r;
    struct buf k[2] = {{0}, {0}};

    (void)state;
    rng_seed(&r, 4);
    for (int i = 0; i < ROUNDS; i++) {
        enum key_dir dir = i % 2 ? KEY_ASC : KEY_DESC;
        int64_t v[2][2];
        bool null[2][2];
        int want = 0;

        for (int j = 0; j < 2; j++) {
            buf_reset(&k[j]);
            for (int p = 0; p < 2; p++) {
                null[j][p] = rng_chance(&r, 0.3);
                v[j][p] = rng_between(&r, -2, 2);
                if (null[j][p])
                    key_put_null(&k[j], dir);
                else
                    key_put_int(&k[j], v[j][p], dir);
            }
        }
        for (int p = 0; p < 2 && want == 0; p++) {
            if (null[0][p] || null[1][p])
                want = null[0][p] - null[1][p]; /* NULL is larger than any value */
            else
                want = (v[0][p] > v[1][p]) - (v[0][p] < v[1][p]);
        }
        check_order(&k[0], &k[1], want, dir);
    }
    buf_fini(&k[0]);
    buf_fini(&k[1]);
}

static void id_any_two_order_is_kept(void **state)
{
    struct rng r;
    struct buf a = {0}, b = {0};

    (void)state;
    rng_seed(&r, 5);
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t x = (rng_next(&r) >> 1) >> rng_below(&r, 63),
                 y = (rng_next(&r) >> 1) >> rng_below(&r, 63);
        struct rd rd;

        buf_reset(&a);
        buf_reset(&b);
        key_put_id(&a, x);
        key_put_id(&b, y);
        check_order(&a, &b, (x > y) - (x < y), KEY_ASC);
        rd = rd_of(buf_bytes(&a));
        assert_true(key_get_id(&rd) == x && !rd.bad && rd_left(&rd) == 0);
    }
    buf_fini(&a);
    buf_fini(&b);
}

static void decode_random_bytes_is_refused_or_whole(void **state)
{
    struct rng r;
    struct arena mem;

    (void)state;
    arena_init(&mem, 0);
    rng_seed(&r, 6);
    for (int i = 0; i < ROUNDS; i++) {
        uint8_t raw[12];
        size_t n = rng_below(&r, sizeof raw);
        struct rd rd;

        for (size_t j = 0; j < n; j++)
            raw[j] = (uint8_t)rng_next(&r);
        if (n > 0 && rng_chance(&r, 0.7))
            raw[0] = 0x10;
        rd = rd_of(bytes_of(raw, n));
        (void)key_get_bytes(&rd, i % 2 ? KEY_ASC : KEY_DESC, &mem);
        rd = rd_of(bytes_of(raw, n));
        (void)key_get_int(&rd, KEY_ASC);
        assert_true(rd.bad || rd_left(&rd) + 9 == n);
        rd = rd_of(bytes_of(raw, n));
        (void)key_get_id(&rd);
        arena_reset(&mem);
    }
    arena_fini(&mem);
}

static void prefix_end_is_just_above_the_prefix(void **state)
{
    struct buf b = {0};
    static const uint8_t one[] = {0x01, 0xff, 0xff}, all[] = {0xff, 0xff};

    (void)state;
    buf_put(&b, one, sizeof one);
    assert_true(key_prefix_end(&b));
    assert_true(b.len == 1 && b.ptr[0] == 0x02);
    buf_reset(&b);
    buf_put(&b, all, sizeof all);
    assert_false(key_prefix_end(&b));
    assert_int_equal(b.len, 2);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(int_any_two_order_is_kept),
        cmocka_unit_test(double_any_two_order_is_kept),
        cmocka_unit_test(bytes_any_two_order_is_kept),
        cmocka_unit_test(rows_of_nullable_parts_order_is_kept),
        cmocka_unit_test(id_any_two_order_is_kept),
        cmocka_unit_test(decode_random_bytes_is_refused_or_whole),
        cmocka_unit_test(prefix_end_is_just_above_the_prefix),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
