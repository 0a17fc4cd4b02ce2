#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "storage/engine_mem.h"
#include "storage/plog.h"

struct world {
    struct memdisk *disk;
    struct engine *e;
    struct arena mem;
};

static int setup(void **state)
{
    static struct world w;

    memset(&w, 0, sizeof w);
    w.disk = memdisk_new(7);
    w.e = engine_mem_open(w.disk, NULL);
    arena_init(&w.mem, 0);
    *state = &w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    engine_close(w->e);
    memdisk_free(w->disk);
    arena_fini(&w->mem);
    return 0;
}

static void crash(struct world *w)
{
    memdisk_crash(w->disk);
    engine_close(w->e);
    w->e = engine_mem_open(w->disk, NULL);
}

static void cut_entries(struct world *w, slot_no from, slot_no to)
{
    struct engine_txn *x;
    struct buf rows = {0};

    plog_add_cut(&rows, 1, from, to);
    assert_int_equal(engine_begin(w->e, &x, NULL), ST_OK);
    assert_int_equal(plog_put(x, buf_bytes(&rows), NULL), ST_OK);
    assert_int_equal(engine_commit(x, ENGINE_SYNC, NULL), ST_OK);
    buf_fini(&rows);
}

static void write_entries(struct world *w, slot_no from, slot_no to, uint64_t round)
{
    struct engine_txn *x;
    struct buf rows = {0};

    for (slot_no s = from; s <= to; s++) {
        char text[32];
        int len = snprintf(text, sizeof text, "%llu/%llu", (unsigned long long)s,
                           (unsigned long long)round);
        struct paxos_entry e = {s, {round, 1}, PAXOS_ENTRY_COMMANDS, bytes_of(text, (size_t)len)};

        if (s % 5 == 0)
            e.payload = bytes_of(NULL, 0);
        plog_add_entry(&rows, 1, &e);
    }
    assert_int_equal(engine_begin(w->e, &x, NULL), ST_OK);
    assert_int_equal(plog_put(x, buf_bytes(&rows), NULL), ST_OK);
    assert_int_equal(engine_commit(x, ENGINE_SYNC, NULL), ST_OK);
    buf_fini(&rows);
}

static void entries_written_are_loaded_and_read(void **state)
{
    struct world *w = *state;
    struct paxos_hard hard = {.promised = {9, 2}, .released = {4, 1}};
    struct paxos_entry *entries;
    struct engine_txn *x;
    struct plog_state s;
    struct buf rows = {0};
    size_t n;

    write_entries(w, 1, 12, 3);
    plog_add_hard(&rows, 1, &hard);
    plog_add_mark(&rows, 5);
    assert_int_equal(engine_begin(w->e, &x, NULL), ST_OK);
    assert_int_equal(plog_put(x, buf_bytes(&rows), NULL), ST_OK);
    assert_int_equal(engine_commit(x, ENGINE_SYNC, NULL), ST_OK);
    crash(w);

    assert_int_equal(plog_load(w->e, 1, &s, NULL), ST_OK);
    assert_int_equal(s.first, 1);
    assert_int_equal(s.last, 12);
    assert_int_equal(s.n_entries, 12);
    assert_int_equal(s.hard.promised.round, 9);
    assert_int_equal(s.hard.released.node, 1);
    assert_int_equal(s.entries[11].ballot.round, 3);
    plog_state_fini(&s);

    assert_int_equal(plog_read(w->e, 1, 4, 6, 1000, &w->mem, &entries, &n, NULL), ST_OK);
    assert_int_equal(n, 3);
    assert_true(bytes_eq(entries[0].payload, bytes_str("4/3")));
    assert_int_equal(entries[1].payload.len, 0);
    assert_non_null(entries[1].payload.ptr);
    assert_int_equal(plog_read(w->e, 1, 4, 12, 3, &w->mem, &entries, &n, NULL), ST_OK);
    assert_int_equal(n, 3); /* 3 bytes, nothing, then one too many */
    assert_int_equal(plog_read(w->e, 1, 13, 20, 1000, &w->mem, &entries, &n, NULL), ST_OK);
    assert_int_equal(n, 0);
    assert_int_equal(plog_load(w->e, 2, &s, NULL), ST_OK); /* another group has nothing */
    assert_int_equal(s.n_entries, 0);
    assert_int_equal(s.last, 0);
    plog_state_fini(&s);
    buf_fini(&rows);
}

static void suffix_cut_and_replaced_loads_new_ballots(void **state)
{
    struct world *w = *state;
    struct plog_state s;

    write_entries(w, 1, 10, 1);
    cut_entries(w, 6, 10);
    write_entries(w, 6, 7, 2);
    assert_int_equal(plog_load(w->e, 1, &s, NULL), ST_OK);
    assert_int_equal(s.last, 7);
    assert_int_equal(s.entries[4].ballot.round, 1);
    assert_int_equal(s.entries[5].ballot.round, 2);
    plog_state_fini(&s);
}

static void write_head(struct world *w, slot_no first, uint64_t round)
{
    struct paxos_head head = {first, {round, 1}};
    struct engine_txn *x;
    struct buf rows = {0};

    plog_add_head(&rows, 1, &head);
    assert_int_equal(engine_begin(w->e, &x, NULL), ST_OK);
    assert_int_equal(plog_put(x, buf_bytes(&rows), NULL), ST_OK);
    assert_int_equal(engine_commit(x, ENGINE_SYNC, NULL), ST_OK);
    buf_fini(&rows);
}

static void truncated_head_is_remembered_with_its_ballot(void **state)
{
    struct world *w = *state;
    struct plog_state s;

    write_entries(w, 1, 4, 1);
    write_entries(w, 5, 10, 2);
    write_head(w, 6, 2);
    assert_int_equal(plog_load(w->e, 1, &s, NULL), ST_OK); /* rows before the head do not count */
    assert_int_equal(s.n_entries, 5);
    plog_state_fini(&s);
    assert_int_equal(plog_drop_below(w->e, 1, 6, NULL), ST_OK);
    assert_int_equal(plog_load(w->e, 1, &s, NULL), ST_OK);
    assert_int_equal(s.first, 6);
    assert_int_equal(s.last, 10);
    assert_int_equal(s.before.round, 2);
    plog_state_fini(&s);
    write_head(w, 11, 2);
    assert_int_equal(plog_drop_below(w->e, 1, 11, NULL), ST_OK);
    assert_int_equal(plog_load(w->e, 1, &s, NULL), ST_OK);
    assert_int_equal(s.first, 11);
    assert_int_equal(s.last, 10);
    assert_int_equal(s.n_entries, 0);
    plog_state_fini(&s);
}

static void configuration_is_kept_and_read_back(void **state)
{
    static const node_id nodes[] = {1, 2, 3};
    struct paxos_hard hard = {.promised = {9, 2}, .config_slot = 2};
    struct world *w = *state;
    struct plog_state s;
    struct paxos_entry *entries, e = {4, {3, 1}, PAXOS_ENTRY_CONFIG, {0}};
    struct buf rows = {0}, config = {0};
    struct engine_txn *x;
    size_t n;

    write_entries(w, 1, 3, 3);
    paxos_config_of(&hard.config, nodes, 3);
    hard.config.members[2].witness = true;
    paxos_config_encode(&config, &hard.config);
    e.payload = buf_bytes(&config);
    plog_add_hard(&rows, 1, &hard);
    plog_add_entry(&rows, 1, &e);
    assert_int_equal(engine_begin(w->e, &x, NULL), ST_OK);
    assert_int_equal(plog_put(x, buf_bytes(&rows), NULL), ST_OK);
    assert_int_equal(engine_commit(x, ENGINE_SYNC, NULL), ST_OK);
    crash(w);
    assert_int_equal(plog_load(w->e, 1, &s, NULL), ST_OK);
    assert_int_equal(s.hard.config_slot, 2);
    assert_true(paxos_config_equal(&s.hard.config, &hard.config));
    assert_int_equal(s.n_entries, 4);
    assert_int_equal(s.entries[3].kind, PAXOS_ENTRY_CONFIG);
    assert_true(bytes_eq(s.entries[3].payload, buf_bytes(&config)));
    assert_null(s.entries[2].payload.ptr);
    plog_state_fini(&s);
    assert_int_equal(plog_read(w->e, 1, 4, 4, 1000, &w->mem, &entries, &n, NULL), ST_OK);
    assert_int_equal(n, 1);
    assert_int_equal(entries[0].kind, PAXOS_ENTRY_CONFIG);
    buf_fini(&rows);
    buf_fini(&config);
}

static void corrupt_one_byte(struct world *w, size_t nth_row, size_t at)
{
    struct engine_cursor *c;
    struct engine_txn *x;
    struct buf key = {0}, value = {0};

    assert_int_equal(engine_cursor_open(w->e, ENGINE_LOG, &c, NULL), ST_OK);
    assert_int_equal(engine_seek(c, bytes_of("", 0), NULL), ST_OK);
    while (nth_row-- > 0)
        assert_int_equal(engine_next(c, NULL), ST_OK);
    buf_put(&key, engine_key(c).ptr, engine_key(c).len);
    buf_put(&value, engine_value(c).ptr, engine_value(c).len);
    engine_cursor_close(c);
    value.ptr[at] ^= 0x10;
    assert_int_equal(engine_begin(w->e, &x, NULL), ST_OK);
    assert_int_equal(engine_put(x, ENGINE_LOG, buf_bytes(&key), buf_bytes(&value), NULL), ST_OK);
    assert_int_equal(engine_commit(x, ENGINE_SYNC, NULL), ST_OK);
    buf_fini(&key);
    buf_fini(&value);
}

static void damaged_row_is_fatal_wherever_it_is_hit(void **state)
{
    struct world *w = *state;
    struct plog_state s;

    write_entries(w, 1, 3, 1);
    for (size_t at = 0; at < 20; at++) {
        corrupt_one_byte(w, 1, at);
        assert_int_equal(plog_load(w->e, 1, &s, NULL), ST_FATAL);
        corrupt_one_byte(w, 1, at); /* back again */
    }
    assert_int_equal(plog_load(w->e, 1, &s, NULL), ST_OK);
    plog_state_fini(&s);
}

static void missing_slot_is_fatal(void **state)
{
    struct world *w = *state;
    struct plog_state s;

    write_entries(w, 1, 5, 1);
    cut_entries(w, 3, 3);
    assert_int_equal(plog_load(w->e, 1, &s, NULL), ST_FATAL);
}

static void identity_survives_and_counts_starts(void **state)
{
    struct world *w = *state;
    struct plog_identity first, second;
    struct err err;
    bool fresh;

    assert_int_equal(plog_identify(w->e, "house", 2, &first, &fresh, &err), ST_OK);
    assert_true(fresh);
    assert_int_equal(first.incarnation, 1);
    crash(w);
    assert_int_equal(plog_identify(w->e, "house", 2, &second, &fresh, &err), ST_OK);
    assert_false(fresh);
    assert_int_equal(second.incarnation, 2);
    assert_memory_equal(first.uuid, second.uuid, sizeof first.uuid);
    assert_int_equal(plog_identify(w->e, "house", 3, &second, &fresh, &err), ST_REJECT);
    assert_int_equal(plog_identify(w->e, "garden", 2, &second, &fresh, &err), ST_REJECT);
}

static void data_without_identity_is_fatal(void **state)
{
    struct world *w = *state;
    struct plog_identity id;
    struct engine_txn *x;
    bool fresh;

    assert_int_equal(engine_begin(w->e, &x, NULL), ST_OK);
    assert_int_equal(engine_put(x, ENGINE_DATA, bytes_str("row"), bytes_str("v"), NULL), ST_OK);
    assert_int_equal(engine_commit(x, ENGINE_NOSYNC, NULL), ST_OK);
    assert_int_equal(plog_identify(w->e, "house", 1, &id, &fresh, NULL), ST_FATAL);
}

static void voters_of_the_first_start_stand(void **state)
{
    static const node_id three[] = {1, 2, 3}, other[] = {1, 2, 4, 5};
    struct world *w = *state;
    node_id got[PAXOS_VOTERS_MAX];
    size_t n = 0;

    assert_int_equal(plog_voters(w->e, 1, three, 3, got, &n, NULL), ST_OK);
    assert_int_equal(n, 3);
    assert_memory_equal(got, three, sizeof three);
    memset(got, 0, sizeof got);
    assert_int_equal(plog_voters(w->e, 1, other, 4, got, &n, NULL), ST_OK);
    assert_int_equal(n, 3);
    assert_memory_equal(got, three, sizeof three);
    assert_int_equal(plog_voters(w->e, 2, NULL, 0, got, &n, NULL), ST_OK); /* one that joins */
    assert_int_equal(plog_voters(w->e, 2, three, 3, got, &n, NULL), ST_OK);
    assert_int_equal(n, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(entries_written_are_loaded_and_read),
        T(suffix_cut_and_replaced_loads_new_ballots),
        T(truncated_head_is_remembered_with_its_ballot),
        T(configuration_is_kept_and_read_back),
        T(damaged_row_is_fatal_wherever_it_is_hit),
        T(missing_slot_is_fatal),
        T(identity_survives_and_counts_starts),
        T(data_without_identity_is_fatal),
        T(voters_of_the_first_start_stand),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
