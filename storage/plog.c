#include "storage/plog.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/frame.h"

enum row_kind { ROW_IDENTITY = 1, ROW_MARK, ROW_VOTERS, ROW_HARD, ROW_HEAD, ROW_ENTRY, ROW_KIN };

/* Longest key: kind, group, slot. A row in a write: u8 key length, u32 value length, key, value. Key length 0:
 * a cut instead: u64 group, first and last slot. */
enum { KEY_MAX = 17 };

struct row_key {
    uint8_t b[KEY_MAX];
    size_t len;
};

static void put_be64(uint8_t *p, uint64_t v)
{
    for (int i = 0; i < 8; i++)
        p[i] = (uint8_t)(v >> (56 - 8 * i));
}

static uint64_t get_be64(const uint8_t *p)
{
    uint64_t v = 0;

    for (int i = 0; i < 8; i++)
        v = v << 8 | p[i];
    return v;
}

static struct row_key node_key(enum row_kind kind)
{
    return (struct row_key){.b = {(uint8_t)kind}, .len = 1};
}

static struct row_key group_key(enum row_kind kind, group_id group)
{
    struct row_key k = {.b = {(uint8_t)kind}, .len = 9};

    put_be64(k.b + 1, group);
    return k;
}

static struct row_key entry_key(group_id group, slot_no slot)
{
    struct row_key k = group_key(ROW_ENTRY, group);

    put_be64(k.b + 9, slot);
    k.len = KEY_MAX;
    return k;
}

static struct bytes key_bytes(const struct row_key *k)
{
    return bytes_of(k->b, k->len);
}

static void put_ballot(struct buf *b, struct ballot ballot)
{
    buf_put_u64(b, ballot.round);
    buf_put_u32(b, ballot.node);
}

static struct ballot get_ballot(struct rd *r)
{
    struct ballot b;

    b.round = rd_u64(r);
    b.node = rd_u32(r);
    return b;
}

/* The checksum covers the slot too: a row that turns up under another key is damage. */
static uint32_t entry_checksum(slot_no slot, const uint8_t *ballot12, uint8_t kind,
                               struct bytes payload)
{
    uint8_t be[8];
    uint32_t crc;

    put_be64(be, slot);
    crc = crc32c(0, be, sizeof be);
    crc = crc32c(crc, ballot12, 12);
    if (kind != PAXOS_ENTRY_COMMANDS)
        crc = crc32c(crc, &kind, 1);
    return payload.len == 0 ? crc : crc32c(crc, payload.ptr, payload.len);
}

/* Begins a row whose value is appended by the caller; end_row sets its length. */
static size_t begin_row(struct buf *rows, const struct row_key *key)
{
    size_t at;

    buf_put_u8(rows, (uint8_t)key->len);
    at = rows->len;
    buf_put_u32(rows, 0);
    buf_put(rows, key->b, key->len);
    return at;
}

static void end_row(struct buf *rows, size_t at, const struct row_key *key)
{
    buf_set_u32(rows, at, (uint32_t)(rows->len - at - 4 - key->len));
}

void plog_add_entry(struct buf *rows, group_id group, const struct paxos_entry *entry)
{
    struct row_key key = entry_key(group, entry->slot);
    size_t at = begin_row(rows, &key), ballot_at;
    uint8_t kind = (uint8_t)entry->kind;

    buf_put_u8(rows, kind == PAXOS_ENTRY_COMMANDS ? PLOG_FORMAT : PLOG_FORMAT_KIND);
    ballot_at = rows->len;
    put_ballot(rows, entry->ballot);
    buf_put_u32(rows, entry_checksum(entry->slot, rows->ptr + ballot_at, kind, entry->payload));
    if (kind != PAXOS_ENTRY_COMMANDS)
        buf_put_u8(rows, kind);
    buf_put(rows, entry->payload.ptr, entry->payload.len);
    end_row(rows, at, &key);
}

void plog_add_hard(struct buf *rows, group_id group, const struct paxos_hard *hard)
{
    struct row_key key = group_key(ROW_HARD, group);
    size_t at = begin_row(rows, &key);

    buf_put_u8(rows, PLOG_FORMAT_KIND);
    put_ballot(rows, hard->promised);
    put_ballot(rows, hard->released);
    buf_put_u64(rows, hard->config_slot);
    paxos_config_encode(rows, &hard->config);
    end_row(rows, at, &key);
}

void plog_add_head(struct buf *rows, group_id group, const struct paxos_head *head)
{
    struct row_key key = group_key(ROW_HEAD, group);
    size_t at = begin_row(rows, &key);

    buf_put_u8(rows, PLOG_FORMAT);
    buf_put_u64(rows, head->first);
    put_ballot(rows, head->before);
    end_row(rows, at, &key);
}

void plog_add_mark(struct buf *rows, uint64_t n)
{
    struct row_key key = node_key(ROW_MARK);
    size_t at = begin_row(rows, &key);

    buf_put_u64(rows, n);
    end_row(rows, at, &key);
}

void plog_add_cut(struct buf *rows, group_id group, slot_no from, slot_no to)
{
    buf_put_u8(rows, 0);
    buf_put_u64(rows, group);
    buf_put_u64(rows, from);
    buf_put_u64(rows, to);
}

static enum status cut(struct engine_txn *x, struct rd *r, struct err *err)
{
    group_id group = rd_u64(r);
    slot_no from = rd_u64(r);
    slot_no to = rd_u64(r);
    enum status st = ST_OK;

    for (slot_no s = from; s <= to; s++) {
        struct row_key key = entry_key(group, s);

        TRY(engine_delete(x, ENGINE_LOG, key_bytes(&key), err));
    }
out:
    return st;
}

enum status plog_put(struct engine_txn *x, struct bytes rows, struct err *err)
{
    struct rd r = rd_of(rows);
    enum status st = ST_OK;

    while (rd_left(&r) > 0) {
        size_t key_len = rd_u8(&r);

        if (key_len == 0) {
            TRY(cut(x, &r, err));
        } else {
            size_t value_len = rd_u32(&r);
            struct bytes key = rd_raw(&r, key_len);

            TRY(engine_put(x, ENGINE_LOG, key, rd_raw(&r, value_len), err));
        }
        ASSERT(!r.bad); /* we built it ourselves */
    }
out:
    return st;
}

static enum status damaged(struct err *err, const char *what, group_id group, slot_no slot)
{
    return err_set(err, ST_FATAL, SQLSTATE_DATA_CORRUPTED,
                   "consensus log: %s, group %llu, slot %llu", what, (unsigned long long)group,
                   (unsigned long long)slot);
}

/* Copies the value of one row. ST_NOTFOUND if it is not there. */
static enum status get_row(struct engine *e, const struct row_key *key, struct buf *out,
                           struct err *err)
{
    struct engine_cursor *c = NULL;
    enum status st;

    TRY(engine_cursor_open(e, ENGINE_LOG, &c, err));
    TRY(engine_seek(c, key_bytes(key), err));
    if (!bytes_eq(engine_key(c), key_bytes(key))) {
        st = ST_NOTFOUND;
        goto out;
    }
    buf_reset(out);
    buf_put(out, engine_value(c).ptr, engine_value(c).len);
out:
    engine_cursor_close(c);
    return st;
}

static enum status put_row(struct engine *e, const struct row_key *key, struct bytes value,
                           enum engine_sync sync, struct err *err)
{
    struct engine_txn *x = NULL;
    enum status st;

    TRY(engine_begin(e, &x, err));
    TRY(engine_put(x, ENGINE_LOG, key_bytes(key), value, err));
    st = engine_commit(x, sync, err);
    x = NULL;
out:
    engine_abort(x);
    return st;
}

static enum status parse_identity(struct bytes row, struct plog_identity *out, struct err *err)
{
    struct rd r = rd_of(row);
    uint8_t format = rd_u8(&r);
    struct bytes uuid = rd_raw(&r, sizeof out->uuid);
    struct bytes cluster;

    if (!r.bad && format != PLOG_FORMAT)
        return err_set(err, ST_FATAL, SQLSTATE_DATA_CORRUPTED,
                       "store of format %u, this server knows %d", format, PLOG_FORMAT);
    out->node = rd_u32(&r);
    out->incarnation = rd_u64(&r);
    cluster = rd_bytes(&r);
    if (r.bad || rd_left(&r) != 0 || cluster.len > PLOG_CLUSTER_MAX)
        return damaged(err, "malformed identity", 0, 0);
    memcpy(out->uuid, uuid.ptr, sizeof out->uuid);
    memcpy(out->cluster, cluster.ptr, cluster.len);
    out->cluster[cluster.len] = '\0';
    return ST_OK;
}

/* A store without identity is new only if it holds nothing at all. */
static enum status check_empty(struct engine *e, struct err *err)
{
    enum status st = ST_OK;

    for (enum engine_table t = ENGINE_LOG; t < ENGINE_TABLES; t++) {
        struct engine_cursor *c = NULL;

        TRY(engine_cursor_open(e, t, &c, err));
        st = engine_seek(c, bytes_of("", 0), err);
        engine_cursor_close(c);
        if (st == ST_OK)
            st = err_set(err, ST_FATAL, SQLSTATE_DATA_CORRUPTED,
                         "the store has data but no identity: its log is lost");
        if (st != ST_NOTFOUND)
            goto out;
    }
    st = ST_OK;
out:
    return st;
}

static enum status mint(struct engine *e, const char *cluster, node_id node,
                        struct plog_identity *out, struct err *err)
{
    enum status st;
    size_t len = strlen(cluster);

    TRY(check_empty(e, err));
    if (len > PLOG_CLUSTER_MAX) {
        st = err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                     "cluster name is longer than %d bytes", PLOG_CLUSTER_MAX);
        goto out;
    }
    if (getentropy(out->uuid, sizeof out->uuid) != 0) {
        st = err_set(err, ST_FATAL, SQLSTATE_IO_ERROR, "no random bytes for the store's uuid");
        goto out;
    }
    memcpy(out->cluster, cluster, len + 1);
    out->node = node;
    out->incarnation = 0;
out:
    return st;
}

enum status plog_identify(struct engine *e, const char *cluster, node_id node,
                          struct plog_identity *out, bool *out_new, struct err *err)
{
    struct row_key key = node_key(ROW_IDENTITY);
    struct plog_identity id = {0};
    struct buf row = {0};
    enum status st = get_row(e, &key, &row, err);
    bool fresh = st == ST_NOTFOUND;

    if (fresh)
        TRY(mint(e, cluster, node, &id, err));
    else if (st != ST_OK)
        goto out;
    else
        TRY(parse_identity(buf_bytes(&row), &id, err));
    if (id.node != node || strcmp(id.cluster, cluster) != 0) {
        st = err_set(err, ST_REJECT, SQLSTATE_CONFIG_FILE_ERROR,
                     "the store belongs to node %u of cluster \"%s\", not to node %u of \"%s\"",
                     id.node, id.cluster, node, cluster);
        goto out;
    }
    id.incarnation++;
    buf_reset(&row);
    buf_put_u8(&row, PLOG_FORMAT);
    buf_put(&row, id.uuid, sizeof id.uuid);
    buf_put_u32(&row, id.node);
    buf_put_u64(&row, id.incarnation);
    buf_put_bytes(&row, bytes_str(id.cluster));
    TRY(put_row(e, &key, buf_bytes(&row), ENGINE_SYNC, err));
    *out = id;
    *out_new = fresh;
out:
    buf_fini(&row);
    return st;
}

void plog_add_kin(struct buf *rows, const struct plog_kin *kin)
{
    struct row_key key = group_key(ROW_KIN, kin->node);
    size_t at = begin_row(rows, &key);

    buf_put_u8(rows, PLOG_FORMAT);
    buf_put_u64(rows, kin->tag);
    end_row(rows, at, &key);
}

static bool parse_kin(struct bytes key, struct bytes value, struct plog_kin *out)
{
    struct rd r = rd_of(value);

    if (key.len != 9 || rd_u8(&r) != PLOG_FORMAT)
        return false;
    out->node = (node_id)get_be64(key.ptr + 1);
    out->tag = rd_u64(&r);
    return !r.bad && rd_left(&r) == 0;
}

enum status plog_kin_load(struct engine *e, struct plog_kin *out, size_t max, size_t *out_n,
                          struct err *err)
{
    struct row_key from = node_key(ROW_KIN);
    struct engine_cursor *c = NULL;
    enum status st;
    size_t n = 0;

    TRY(engine_cursor_open(e, ENGINE_LOG, &c, err));
    for (st = engine_seek(c, key_bytes(&from), err); st == ST_OK; st = engine_next(c, err)) {
        if (!bytes_starts(engine_key(c), key_bytes(&from)))
            break;
        if (n == max || !parse_kin(engine_key(c), engine_value(c), &out[n])) {
            st = damaged(err, "malformed row of another store", 0, 0);
            goto out;
        }
        n++;
    }
    if (st == ST_NOTFOUND)
        st = ST_OK;
    *out_n = n;
out:
    engine_cursor_close(c);
    return st;
}

static bool parse_voters(struct bytes row, node_id *out, size_t *out_n)
{
    struct rd r = rd_of(row);
    uint64_t n;

    if (rd_u8(&r) != PLOG_FORMAT)
        return false;
    n = rd_varint(&r);
    if (r.bad || n > PAXOS_VOTERS_MAX)
        return false;
    for (uint64_t i = 0; i < n; i++)
        out[i] = (node_id)rd_varint(&r);
    *out_n = n;
    return !r.bad && rd_left(&r) == 0;
}

enum status plog_voters(struct engine *e, group_id group, const node_id *voters, size_t n_voters,
                        node_id *out, size_t *out_n, struct err *err)
{
    struct row_key key = group_key(ROW_VOTERS, group);
    struct buf row = {0};
    enum status st = get_row(e, &key, &row, err);

    if (st == ST_NOTFOUND) {
        buf_put_u8(&row, PLOG_FORMAT);
        buf_put_varint(&row, n_voters);
        for (size_t i = 0; i < n_voters; i++)
            buf_put_varint(&row, voters[i]);
        /* Durable no later than anything else that the group writes: the log's commits keep their order (E1). */
        st = put_row(e, &key, buf_bytes(&row), ENGINE_NOSYNC, err);
    }
    if (st == ST_OK && !parse_voters(buf_bytes(&row), out, out_n))
        st = damaged(err, "malformed voters", group, 0);
    buf_fini(&row);
    return st;
}

static enum status parse_entry(group_id group, slot_no slot, struct bytes value,
                               struct paxos_entry *out, struct err *err)
{
    struct rd r = rd_of(value);
    uint8_t format = rd_u8(&r);
    const uint8_t *ballot12 = r.ptr;
    uint8_t kind = PAXOS_ENTRY_COMMANDS;
    struct paxos_config config;
    struct rd payload;
    uint32_t crc;

    if (r.bad || (format != PLOG_FORMAT && format != PLOG_FORMAT_KIND))
        return damaged(err, "row of an unknown format", group, slot);
    out->slot = slot;
    out->ballot = get_ballot(&r);
    crc = rd_u32(&r);
    if (format == PLOG_FORMAT_KIND)
        kind = rd_u8(&r);
    if (r.bad)
        return damaged(err, "row too short", group, slot);
    out->payload = rd_raw(&r, rd_left(&r));
    if (crc != entry_checksum(slot, ballot12, kind, out->payload))
        return damaged(err, "wrong checksum", group, slot);
    payload = rd_of(out->payload);
    if (kind > PAXOS_ENTRY_CONFIG ||
        (kind == PAXOS_ENTRY_CONFIG &&
         (!paxos_config_decode(&payload, &config) || config.n == 0 || rd_left(&payload) != 0)))
        return damaged(err, "entry of an unknown kind", group, slot);
    out->kind = (enum paxos_entry_kind)kind;
    return ST_OK;
}

/* True if the cursor stands on an entry of the group; its slot. */
static bool at_entry(struct engine_cursor *c, group_id group, slot_no *out_slot)
{
    struct row_key any = group_key(ROW_ENTRY, group);
    struct bytes key = engine_key(c);

    if (key.len != KEY_MAX || !bytes_starts(key, key_bytes(&any)))
        return false;
    *out_slot = get_be64(key.ptr + 9);
    return true;
}

static enum status parse_hard(group_id group, struct bytes row, struct paxos_hard *out,
                              struct err *err)
{
    struct rd r = rd_of(row);
    uint8_t format = rd_u8(&r);
    bool good = format == PLOG_FORMAT || format == PLOG_FORMAT_KIND;

    out->promised = get_ballot(&r);
    out->released = get_ballot(&r);
    if (format == PLOG_FORMAT_KIND) {
        out->config_slot = rd_u64(&r);
        good = paxos_config_decode(&r, &out->config);
    }
    if (!good || r.bad || rd_left(&r) != 0)
        return damaged(err, "malformed promise", group, 0);
    return ST_OK;
}

static enum status load_hard(struct engine *e, group_id group, struct plog_state *s,
                             struct err *err)
{
    struct row_key hard_key = group_key(ROW_HARD, group), head_key = group_key(ROW_HEAD, group);
    struct buf row = {0};
    enum status st;
    struct rd r;

    s->first = 1;
    st = get_row(e, &hard_key, &row, err);
    if (st == ST_OK) {
        st = parse_hard(group, buf_bytes(&row), &s->hard, err);
    }
    if (st != ST_OK && st != ST_NOTFOUND)
        goto out;
    st = get_row(e, &head_key, &row, err);
    if (st == ST_OK) {
        r = rd_of(buf_bytes(&row));
        if (rd_u8(&r) != PLOG_FORMAT)
            r.bad = true;
        s->first = rd_u64(&r);
        s->before = get_ballot(&r);
        if (r.bad || rd_left(&r) != 0 || s->first == 0)
            st = damaged(err, "malformed head", group, 0);
    }
    if (st == ST_NOTFOUND)
        st = ST_OK;
out:
    buf_fini(&row);
    return st;
}

static void add_loaded(struct plog_state *s, size_t *cap, const struct paxos_entry *entry)
{
    if (s->n_entries == *cap) {
        *cap = *cap == 0 ? 1024 : *cap * 2;
        s->entries = xrealloc(s->entries, *cap * sizeof *s->entries);
    }
    s->bytes += entry->payload.len;
    s->entries[s->n_entries] = *entry;
    s->entries[s->n_entries].payload =
        entry->kind == PAXOS_ENTRY_CONFIG ? arena_copy(&s->mem, entry->payload) : bytes_of(NULL, 0);
    s->n_entries++;
    s->last = entry->slot;
}

static enum status load_entries(struct engine *e, group_id group, struct plog_state *s,
                                struct err *err)
{
    struct row_key from = entry_key(group, s->first);
    struct engine_cursor *c = NULL;
    struct paxos_entry entry;
    struct ballot before;
    enum status st;
    size_t cap = 0;
    slot_no slot;

    s->last = s->first - 1;
    before = s->before;
    TRY(engine_cursor_open(e, ENGINE_LOG, &c, err));
    for (st = engine_seek(c, key_bytes(&from), err); st == ST_OK && at_entry(c, group, &slot);
         st = engine_next(c, err)) {
        if (slot != s->last + 1) {
            st = damaged(err, "slots are missing before", group, slot);
            goto out;
        }
        TRY(parse_entry(group, slot, engine_value(c), &entry, err));
        if (ballot_cmp(entry.ballot, before) < 0) { /* P1 */
            st = damaged(err, "ballots fall before", group, slot);
            goto out;
        }
        before = entry.ballot;
        add_loaded(s, &cap, &entry);
    }
    if (st == ST_NOTFOUND)
        st = ST_OK;
out:
    engine_cursor_close(c);
    return st;
}

/* A crash between the two steps of a truncation leaves rows before the head. */
static enum status drop_before(struct engine *e, group_id group, slot_no first, struct err *err)
{
    struct row_key from = entry_key(group, 0), to = entry_key(group, first);

    return engine_truncate(e, ENGINE_LOG, key_bytes(&from), key_bytes(&to), err);
}

enum status plog_next_group(struct engine *e, group_id after, group_id *out, struct err *err)
{
    struct row_key from = group_key(ROW_VOTERS, after + 1);
    struct engine_cursor *c = NULL;
    struct bytes key;
    enum status st;

    TRY(engine_cursor_open(e, ENGINE_LOG, &c, err));
    TRY(engine_seek(c, key_bytes(&from), err));
    key = engine_key(c);
    if (key.len == from.len && key.ptr[0] == ROW_VOTERS)
        *out = get_be64(key.ptr + 1);
    else
        st = ST_NOTFOUND;
out:
    engine_cursor_close(c);
    return st;
}

enum status plog_load(struct engine *e, group_id group, struct plog_state *out, struct err *err)
{
    struct plog_state s = {0};
    enum status st;

    arena_init(&s.mem, 0);
    TRY(load_hard(e, group, &s, err));
    if (s.first > 1)
        TRY(drop_before(e, group, s.first, err));
    TRY(load_entries(e, group, &s, err));
    *out = s;
    memset(&s, 0, sizeof s);
out:
    plog_state_fini(&s);
    return st;
}

void plog_state_fini(struct plog_state *s)
{
    free(s->entries);
    arena_fini(&s->mem);
    memset(s, 0, sizeof *s);
}

enum status plog_read(struct engine *e, group_id group, slot_no from, slot_no to, size_t max_bytes,
                      struct arena *mem, struct paxos_entry **out, size_t *out_n, struct err *err)
{
    struct row_key key = entry_key(group, from);
    struct engine_cursor *c = NULL;
    struct paxos_entry *entries = NULL;
    size_t n = 0, cap = 0, used = 0;
    slot_no slot, want = from;
    enum status st;

    TRY(engine_cursor_open(e, ENGINE_LOG, &c, err));
    for (st = engine_seek(c, key_bytes(&key), err);
         st == ST_OK && want <= to && used <= max_bytes && at_entry(c, group, &slot) &&
         slot == want;
         st = engine_next(c, err), want++) {
        if (n == cap) {
            cap = cap == 0 ? 64 : cap * 2;
            entries = xrealloc(entries, cap * sizeof *entries);
        }
        TRY(parse_entry(group, slot, engine_value(c), &entries[n], err));
        /* One byte more than the payload, so that an empty one has an address. */
        entries[n].payload = bytes_of(memcpy(arena_alloc(mem, entries[n].payload.len + 1),
                                             entries[n].payload.ptr, entries[n].payload.len),
                                      entries[n].payload.len);
        used += entries[n].payload.len;
        n++;
    }
    if (st != ST_OK && st != ST_NOTFOUND)
        goto out;
    st = ST_OK;
    *out = arena_alloc(mem, (n + 1) * sizeof *entries);
    if (n > 0)
        memcpy(*out, entries, n * sizeof *entries);
    *out_n = n;
out:
    free(entries);
    engine_cursor_close(c);
    return st;
}

enum status plog_drop_below(struct engine *e, group_id group, slot_no first, struct err *err)
{
    return drop_before(e, group, first, err);
}
