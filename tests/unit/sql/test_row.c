/* Keys and values of rows: there and back, order, and bytes that must be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sql/numeric.h"
#include "sql/row.h"

static const struct column columns[] = {
    {.id = 1, .name = "a", .type = TYPE_INT8, .typmod = -1, .not_null = true},
    {.id = 2, .name = "b", .type = TYPE_TEXT, .typmod = -1, .not_null = true},
    {.id = 4, .name = "c", .type = TYPE_FLOAT8, .typmod = -1},
    {.id = 5, .name = "d", .type = TYPE_NUMERIC, .typmod = -1},
    {.id = 9, .name = "e", .type = TYPE_BOOL, .typmod = -1},
};
static const struct index_part pk_parts[] = {{0, KEY_ASC}, {1, KEY_DESC}};
static const struct index_part d_parts[] = {{3, KEY_ASC}};
static const struct index_part c_parts[] = {{2, KEY_DESC}};
static const struct index indexes[] = {
    {.id = 1,
     .name = "t_pkey",
     .unique = true,
     .primary = true,
     .state = INDEX_PUBLIC,
     .parts = pk_parts,
     .n_parts = 2},
    {.id = 2, .name = "t_d", .unique = true, .state = INDEX_PUBLIC, .parts = d_parts, .n_parts = 1},
    {.id = 3, .name = "t_c", .state = INDEX_PUBLIC, .parts = c_parts, .n_parts = 1},
};
static const struct table table = {.id = 300,
                                   .version = 7,
                                   .name = "t",
                                   .columns = columns,
                                   .n_columns = 5,
                                   .indexes = indexes,
                                   .n_indexes = 3,
                                   .next_column_id = 10,
                                   .next_index_id = 4};
static const bool all[] = {true, true, true, true, true};

struct fixture {
    struct arena mem;
    struct buf key, value;
    struct datum row[5];
};

static struct datum text(const char *s)
{
    return (struct datum){.type = TYPE_TEXT, .s = bytes_str(s)};
}

static struct datum number(struct fixture *f, const char *s)
{
    struct datum d = {.type = TYPE_NUMERIC};

    assert_int_equal(numeric_from_text(bytes_str(s), &f->mem, &d.n, NULL), ST_OK);
    return d;
}

static int set_up(void **state)
{
    static struct fixture f;

    f = (struct fixture){0};
    arena_init(&f.mem, 0);
    f.row[0] = (struct datum){.type = TYPE_INT8, .i = -12};
    f.row[1] = text("na\0me");
    f.row[2] = (struct datum){.type = TYPE_FLOAT8, .d = -0.0};
    f.row[3] = number(&f, "1.50");
    f.row[4] = datum_null(TYPE_BOOL);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    buf_fini(&f->key);
    buf_fini(&f->value);
    arena_fini(&f->mem);
    return 0;
}

static void encode(struct fixture *f, const struct index *ix)
{
    buf_reset(&f->key);
    buf_reset(&f->value);
    assert_int_equal(row_key(&f->key, &table, ix, f->row, NULL), ST_OK);
    row_value(&f->value, &table, ix, f->row);
}

static enum status decode(struct fixture *f, const struct index *ix, struct datum *out,
                          struct err *err)
{
    return row_decode(&table, ix, buf_bytes(&f->key), buf_bytes(&f->value), all, out, &f->mem, err);
}

static void row_primary_round_trip_is_exact(void **state)
{
    struct fixture *f = *state;
    struct datum out[5];

    encode(f, &indexes[0]);
    assert_int_equal(decode(f, &indexes[0], out, NULL), ST_OK);
    assert_int_equal(out[0].i, -12);
    assert_true(bytes_eq(out[1].s, f->row[1].s));
    assert_true(__builtin_signbit(out[2].d));
    assert_int_equal(numeric_scale(out[3].n), 2);
    assert_true(out[4].null);
}

static void row_index_entry_gives_key_and_primary_key(void **state)
{
    struct fixture *f = *state;
    struct datum out[5];

    for (size_t i = 1; i < 3; i++) {
        encode(f, &indexes[i]);
        assert_int_equal(decode(f, &indexes[i], out, NULL), ST_OK);
        assert_int_equal(out[0].i, -12);
        assert_true(bytes_eq(out[1].s, f->row[1].s));
    }
    assert_true(__builtin_signbit(out[2].d));
}

static void row_unique_entry_with_null_carries_primary_key(void **state)
{
    struct fixture *f = *state;
    struct datum out[5];
    size_t short_len;

    encode(f, &indexes[1]);
    short_len = f->key.len;
    f->row[3] = datum_null(TYPE_NUMERIC);
    assert_true(row_key_has_pk(&indexes[1], f->row));
    encode(f, &indexes[1]);
    assert_true(f->key.len > short_len - 8);
    assert_int_equal(decode(f, &indexes[1], out, NULL), ST_OK);
    assert_true(out[3].null);
    assert_int_equal(out[0].i, -12);
}

static void row_damaged_value_is_an_error(void **state)
{
    struct fixture *f = *state;
    struct datum out[5];
    struct err err;
    size_t whole;

    encode(f, &indexes[0]);
    whole = f->value.len;
    for (size_t cut = 1; cut < whole; cut++) {
        f->value.len = cut;
        err_clear(&err);
        if (decode(f, &indexes[0], out, &err) != ST_OK)
            assert_string_not_equal(err.msg, "");
    }
    f->value.len = whole;
    f->value.ptr[0] = 99;
    err_clear(&err);
    assert_int_equal(decode(f, &indexes[0], out, &err), ST_REJECT);
    assert_string_equal(err.sqlstate, SQLSTATE_DATA_CORRUPTED);
}

static void row_key_of_another_index_is_an_error(void **state)
{
    struct fixture *f = *state;
    struct datum out[5];
    struct err err;

    encode(f, &indexes[2]);
    err_clear(&err);
    assert_int_equal(decode(f, &indexes[0], out, &err), ST_REJECT);
    assert_string_equal(err.sqlstate, SQLSTATE_DATA_CORRUPTED);
}

static void row_numeric_keys_keep_order(void **state)
{
    static const char *const sorted[] = {"-Infinity", "-123456789012345678901234",
                                         "-10000",    "-9999.5",
                                         "-1",        "-0.00001",
                                         "0",         "0.00001",
                                         "0.1",       "0.10001",
                                         "1",         "9999",
                                         "10000",     "10000.0001",
                                         "1e40",      "Infinity",
                                         "NaN"};
    struct fixture *f = *state;
    struct buf before = {0}, now = {0};

    for (int dir = 0; dir < 2; dir++) {
        for (size_t i = 0; i < sizeof sorted / sizeof sorted[0]; i++) {
            struct datum d = number(f, sorted[i]);

            buf_reset(&now);
            row_put_part(&now, &d, dir == 0 ? KEY_ASC : KEY_DESC);
            if (i > 0) {
                int c = bytes_cmp(buf_bytes(&before), buf_bytes(&now));

                assert_true(dir == 0 ? c < 0 : c > 0);
            }
            buf_reset(&before);
            buf_put(&before, now.ptr, now.len);
        }
    }
    buf_fini(&before);
    buf_fini(&now);
}

static void row_numeric_keys_ignore_trailing_zeros(void **state)
{
    struct fixture *f = *state;
    struct datum a = number(f, "1.5"), b = number(f, "1.5000");
    struct buf x = {0}, y = {0};

    row_put_part(&x, &a, KEY_ASC);
    row_put_part(&y, &b, KEY_ASC);
    assert_true(bytes_eq(buf_bytes(&x), buf_bytes(&y)));
    buf_fini(&x);
    buf_fini(&y);
}

static void table_descriptor_round_trip_and_damage(void **state)
{
    struct fixture *f = *state;
    struct table out;
    struct err err;

    table_encode(&f->value, &table);
    assert_int_equal(table_decode(buf_bytes(&f->value), &f->mem, &out, NULL), ST_OK);
    assert_int_equal(out.n_columns, 5);
    assert_string_equal(out.columns[3].name, "d");
    assert_int_equal(out.indexes[2].parts[0].dir, KEY_DESC);
    for (size_t cut = 0; cut < f->value.len; cut++) {
        err_clear(&err);
        assert_int_equal(table_decode(bytes_of(f->value.ptr, cut), &f->mem, &out, &err), ST_REJECT);
        assert_string_equal(err.sqlstate, SQLSTATE_DATA_CORRUPTED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(row_primary_round_trip_is_exact, set_up, tear_down),
        cmocka_unit_test_setup_teardown(row_index_entry_gives_key_and_primary_key, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(row_unique_entry_with_null_carries_primary_key, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(row_damaged_value_is_an_error, set_up, tear_down),
        cmocka_unit_test_setup_teardown(row_key_of_another_index_is_an_error, set_up, tear_down),
        cmocka_unit_test_setup_teardown(row_numeric_keys_keep_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(row_numeric_keys_ignore_trailing_zeros, set_up, tear_down),
        cmocka_unit_test_setup_teardown(table_descriptor_round_trip_and_damage, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
