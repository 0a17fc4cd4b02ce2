#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "storage/record.h"

static const struct record_write writes[] = {
    {.key = {(const uint8_t *)"a", 1}, .value = {(const uint8_t *)"one", 3}},
    {.key = {(const uint8_t *)"a\0b", 3}, .tombstone = true},
    {.key = {(const uint8_t *)"b", 1}, .value = {(const uint8_t *)"", 0}},
};

static struct record commit_of(void)
{
    return (struct record){.kind = RECORD_COMMIT,
                           .id = {.start = 77, .gateway = 3, .counter = 9},
                           .ts = 1000,
                           .until = 2000,
                           .flags = RECORD_SCHEMA,
                           .writes = writes,
                           .n_writes = 3};
}

static void commit_encoded_decodes_equal(void **state)
{
    struct record in = commit_of(), out;
    struct buf b = {0};
    struct arena mem;

    (void)state;
    arena_init(&mem, 0);
    record_encode(&b, &in);
    assert_int_equal(record_decode(buf_bytes(&b), &mem, &out, NULL), ST_OK);
    assert_int_equal(out.kind, RECORD_COMMIT);
    assert_int_equal(out.id.start, 77);
    assert_int_equal(out.id.gateway, 3);
    assert_int_equal(out.id.counter, 9);
    assert_int_equal(out.ts, 1000);
    assert_int_equal(out.until, 2000);
    assert_int_equal(out.flags, RECORD_SCHEMA);
    assert_int_equal(out.n_writes, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_true(bytes_eq(out.writes[i].key, writes[i].key));
        assert_true(bytes_eq(out.writes[i].value, writes[i].value));
        assert_int_equal(out.writes[i].tombstone, writes[i].tombstone);
    }
    buf_fini(&b);
    arena_fini(&mem);
}

static void other_kinds_encoded_decode_equal(void **state)
{
    static const enum record_kind kinds[] = {RECORD_ABORT, RECORD_CAP, RECORD_CLOSE};
    struct arena mem;
    struct buf b = {0};

    (void)state;
    arena_init(&mem, 0);
    for (size_t i = 0; i < 3; i++) {
        struct record in = {.kind = kinds[i], .ts = 5, .ts_arg = 42, .id = {.start = 6}};
        struct record out;

        buf_reset(&b);
        record_encode(&b, &in);
        assert_int_equal(record_decode(buf_bytes(&b), &mem, &out, NULL), ST_OK);
        assert_int_equal(out.kind, kinds[i]);
        assert_int_equal(out.ts, 5);
        assert_int_equal(out.ts_arg, kinds[i] == RECORD_CAP ? 42 : 0);
        assert_int_equal(out.id.start, kinds[i] == RECORD_ABORT ? 6 : 0);
        assert_int_equal(out.n_writes, 0);
    }
    buf_fini(&b);
    arena_fini(&mem);
}

static void record_cut_anywhere_is_rejected(void **state)
{
    struct record in = commit_of(), out;
    struct buf b = {0};
    struct arena mem;

    (void)state;
    arena_init(&mem, 0);
    record_encode(&b, &in);
    for (size_t len = 0; len < b.len; len++) {
        /* An exact heap copy, so that a read past the end is seen by the sanitizer. */
        uint8_t *cut = malloc(len + 1);

        memcpy(cut, b.ptr, len);
        assert_int_equal(record_decode(bytes_of(cut, len), &mem, &out, NULL), ST_REJECT);
        free(cut);
    }
    buf_put_u8(&b, 0);
    assert_int_equal(record_decode(buf_bytes(&b), &mem, &out, NULL), ST_REJECT);
    buf_fini(&b);
    arena_fini(&mem);
}

static enum status decode_with_keys(const struct record_write *w, size_t n)
{
    struct record in = commit_of(), out;
    enum status st;
    struct buf b = {0};
    struct arena mem;

    arena_init(&mem, 0);
    in.writes = w;
    in.n_writes = n;
    record_encode(&b, &in);
    st = record_decode(buf_bytes(&b), &mem, &out, NULL);
    buf_fini(&b);
    arena_fini(&mem);
    return st;
}

static void keys_out_of_order_or_reserved_are_rejected(void **state)
{
    static uint8_t longest[20 * 1024];
    struct record_write w[2] = {writes[0], writes[0]};

    (void)state;
    memset(longest, 'x', sizeof longest);
    assert_int_equal(decode_with_keys(w, 2), ST_REJECT); /* the same key twice */
    w[0] = writes[2];
    assert_int_equal(decode_with_keys(w, 2), ST_REJECT); /* descending */
    w[0].key = bytes_of("\0group", 6);
    assert_int_equal(decode_with_keys(w, 1), ST_REJECT); /* would overwrite group state */
    w[0].key = bytes_of("", 0);
    assert_int_equal(decode_with_keys(w, 1), ST_REJECT);
    w[0].key = bytes_of(longest, sizeof longest);
    assert_int_equal(decode_with_keys(w, 1), ST_REJECT);
    w[0].key = bytes_of(longest, 8192);
    assert_int_equal(decode_with_keys(w, 1), ST_OK);
}

static void lying_counts_are_rejected(void **state)
{
    struct record in = {.kind = RECORD_COMMIT, .ts = 1, .until = 2};
    struct record out;
    struct record_walk walk;
    struct buf b = {0};
    struct arena mem;
    struct bytes body;

    (void)state;
    arena_init(&mem, 0);
    record_encode(&b, &in);
    b.len--; /* the count of writes */
    buf_put_varint(&b, UINT64_MAX);
    assert_int_equal(record_decode(buf_bytes(&b), &mem, &out, NULL), ST_REJECT);

    buf_reset(&b);
    record_batch_begin(&b, UINT64_MAX);
    assert_int_equal(record_walk_begin(&walk, buf_bytes(&b), NULL), ST_FATAL);

    buf_reset(&b);
    record_batch_begin(&b, 1);
    buf_put_varint(&b, 1000);
    assert_int_equal(record_walk_begin(&walk, buf_bytes(&b), NULL), ST_OK);
    assert_int_equal(record_walk_next(&walk, &body, NULL), ST_FATAL);
    buf_fini(&b);
    arena_fini(&mem);
}

static void batch_walks_to_its_end(void **state)
{
    struct record_walk walk;
    struct buf b = {0};
    struct bytes body;

    (void)state;
    record_batch_begin(&b, 2);
    record_batch_add(&b, bytes_str("first"));
    record_batch_add(&b, bytes_str(""));
    assert_int_equal(record_walk_begin(&walk, buf_bytes(&b), NULL), ST_OK);
    assert_int_equal(record_walk_next(&walk, &body, NULL), ST_OK);
    assert_true(bytes_eq(body, bytes_str("first")));
    assert_int_equal(record_walk_next(&walk, &body, NULL), ST_OK);
    assert_int_equal(body.len, 0);
    assert_int_equal(record_walk_next(&walk, &body, NULL), ST_NOTFOUND);

    buf_put_u8(&b, 1); /* something after the last record */
    assert_int_equal(record_walk_begin(&walk, buf_bytes(&b), NULL), ST_OK);
    assert_int_equal(record_walk_next(&walk, &body, NULL), ST_OK);
    assert_int_equal(record_walk_next(&walk, &body, NULL), ST_OK);
    assert_int_equal(record_walk_next(&walk, &body, NULL), ST_FATAL);

    b.ptr[0] = RECORD_FORMAT + 1;
    assert_int_equal(record_walk_begin(&walk, buf_bytes(&b), NULL), ST_FATAL);
    assert_int_equal(record_walk_begin(&walk, bytes_of(NULL, 0), NULL), ST_OK);
    assert_int_equal(record_walk_next(&walk, &body, NULL), ST_NOTFOUND);
    buf_fini(&b);
}

static void random_bytes_never_crash_the_decoder(void **state)
{
    uint64_t x = 88172645463325252u;
    struct arena mem;

    (void)state;
    arena_init(&mem, 0);
    for (int round = 0; round < 20000; round++) {
        uint8_t in[64];
        struct record out;
        size_t len = (size_t)(round % 64);

        for (size_t i = 0; i < len; i++) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            in[i] = (uint8_t)x;
        }
        in[0] = (uint8_t)(round % 6); /* kinds that exist, and two that do not */
        if (record_decode(bytes_of(in, len), &mem, &out, NULL) == ST_OK)
            assert_in_range(out.kind, RECORD_COMMIT, RECORD_CLOSE);
        arena_reset(&mem);
    }
    arena_fini(&mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commit_encoded_decodes_equal),
        cmocka_unit_test(other_kinds_encoded_decode_equal),
        cmocka_unit_test(record_cut_anywhere_is_rejected),
        cmocka_unit_test(keys_out_of_order_or_reserved_are_rejected),
        cmocka_unit_test(lying_counts_are_rejected),
        cmocka_unit_test(batch_walks_to_its_end),
        cmocka_unit_test(random_bytes_never_crash_the_decoder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
