#include "tools/meridiand/group_info.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "base/check.h"
#include "storage/plog.h"
#include "storage/record.h"

enum { CELLS_MAX = 12, CELL_BYTES = 48, LOG_READ_BYTES = 1024 * 1024 };

static const char *const list_columns[] = {"group", "role",       "leader",    "ballot",
                                           "first", "last",       "chosen",    "applied",
                                           "bytes", "applied_ts", "lease_end", NULL};
static const char *const one_columns[] = {"name", "value", NULL};
static const char *const log_columns[] = {"slot",     "ballot",   "kind",    "bytes",
                                          "commands", "first_ts", "last_ts", NULL};

/* A row being made. Cells that are not set are empty. */
struct row {
    char cell[CELLS_MAX][CELL_BYTES];
    size_t n;
    group_row_fn fn;
    void *arg;
};

static void add(struct row *r, const char *fmt, ...) MRD_PRINTF(2, 3);

static void add(struct row *r, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(r->cell[r->n++], CELL_BYTES, fmt, ap); /* numbers and names of ours: they fit */
    va_end(ap);
}

static void add_ballot(struct row *r, struct ballot b)
{
    add(r, "%" PRIu64 ".%" PRIu32, b.round, b.node);
}

static void end_row(struct row *r)
{
    const char *values[CELLS_MAX];

    for (size_t i = 0; i < r->n; i++)
        values[i] = r->cell[i];
    r->fn(r->arg, values, r->n);
    r->n = 0;
}

/* The number behind a topic's name; false: it is another topic. */
static bool topic_is(const char *topic, const char *name, group_id *out)
{
    size_t len = strlen(name);
    char *end;

    if (strncasecmp(topic, name, len) != 0 || topic[len] < '0' || topic[len] > '9')
        return false;
    *out = strtoull(topic + len, &end, 10);
    return *end == '\0';
}

const char *const *group_info_columns(const char *topic)
{
    group_id group;

    if (strcasecmp(topic, "groups") == 0)
        return list_columns;
    if (topic_is(topic, "group_", &group))
        return one_columns;
    return topic_is(topic, "log_", &group) ? log_columns : NULL;
}

/* ---- entries ---- */

static void add_commands(struct row *r, struct bytes payload)
{
    struct record_walk walk;
    struct arena mem;
    struct bytes body;
    struct record rec;
    tstamp first = 0, last = 0;
    uint64_t n = 0;
    struct err err;
    enum status st = record_walk_begin(&walk, payload, &err);

    arena_init(&mem, 0);
    while (st == ST_OK && (st = record_walk_next(&walk, &body, &err)) == ST_OK &&
           (st = record_decode(body, &mem, &rec, &err)) == ST_OK) {
        first = n == 0 ? rec.ts : first;
        last = rec.ts;
        n++;
    }
    add(r, "%s", st == ST_NOTFOUND ? "commands" : "malformed");
    add(r, "%zu", payload.len);
    add(r, "%" PRIu64, n);
    add(r, "%" PRId64, first);
    add(r, "%" PRId64, last);
    arena_fini(&mem);
}

static void log_row(const struct paxos_entry *e, struct row *r)
{
    add(r, "%" PRIu64, e->slot);
    add_ballot(r, e->ballot);
    if (e->kind == PAXOS_ENTRY_COMMANDS && e->payload.len > 0) {
        add_commands(r, e->payload);
    } else {
        /* An empty one is what a leader begins with. */
        add(r, "%s", e->kind == PAXOS_ENTRY_COMMANDS ? "begin" : "members");
        add(r, "%zu", e->payload.len);
        add(r, "0");
        add(r, "%s", "");
        add(r, "%s", "");
    }
    end_row(r);
}

/* The log may be cut, at either end, while it is read: what is gone is left out. */
static enum status log_rows(struct engine *e, group_id group, slot_no first, slot_no last,
                            struct row *r, struct err *err)
{
    struct paxos_entry *entries;
    enum status st = ST_OK;
    struct arena mem;
    size_t n = 1;

    arena_init(&mem, 0);
    if (last - first >= GROUP_INFO_LOG_MAX && last > first)
        first = last - GROUP_INFO_LOG_MAX + 1;
    for (slot_no at = first; at <= last && n > 0; at += n) {
        arena_reset(&mem);
        TRY(plog_read(e, group, at, last, LOG_READ_BYTES, &mem, &entries, &n, err));
        for (size_t i = 0; i < n; i++)
            log_row(&entries[i], r);
    }
out:
    arena_fini(&mem);
    return st;
}

/* ---- a running store ---- */

static const char *role_name(enum paxos_role role)
{
    static const char *const names[] = {"follower", "candidate", "recovering", "leader"};

    return names[role];
}

static void list_row(const struct group_report *g, struct row *r)
{
    add(r, "%" PRIu64, g->group);
    add(r, "%s", role_name(g->role));
    add(r, "%" PRIu32, g->leader);
    add_ballot(r, g->ballot);
    add(r, "%" PRIu64, g->first);
    add(r, "%" PRIu64, g->last);
    add(r, "%" PRIu64, g->chosen);
    add(r, "%" PRIu64, g->applied);
    add(r, "%s", "");
    add(r, "%" PRId64, g->applied_ts);
    add(r, "%" PRId64, g->lease_end);
}

/* A row of the list, turned: a row for each of its columns. */
static void turn(void *arg, const char *const *values, size_t n)
{
    struct row *r = arg;

    for (size_t i = 0; i < n; i++) {
        if (*values[i] == '\0')
            continue;
        add(r, "%s", list_columns[i]);
        add(r, "%s", values[i]);
        end_row(r);
    }
}

void group_info_rows(struct store *s, const char *topic, group_row_fn fn, void *row_arg)
{
    struct row *r = xcalloc(2, sizeof *r);
    struct group_report report;
    struct group *g;
    group_id group;
    struct err err;

    r[0].fn = fn;
    r[0].arg = row_arg;
    r[1].fn = turn;
    r[1].arg = &r[0];
    if (strcasecmp(topic, "groups") == 0) {
        for (group = 1; (g = store_group(s, group)) != NULL; group++) {
            group_describe(g, &report);
            list_row(&report, &r[0]);
            end_row(&r[0]);
        }
    } else if (topic_is(topic, "group_", &group) && (g = store_group(s, group)) != NULL) {
        group_describe(g, &report);
        list_row(&report, &r[1]);
        end_row(&r[1]);
    } else if (topic_is(topic, "log_", &group) && (g = store_group(s, group)) != NULL) {
        group_describe(g, &report);
        (void)log_rows(store_engine(s), group, report.first, report.last, r,
                       &err); /* the node itself will say what is wrong with its log */
    }
    free(r);
}

/* ---- a store that does not run ---- */

static void stored_row(group_id group, const struct plog_state *log, struct row *r)
{
    add(r, "%" PRIu64, group);
    add(r, "%s", "");
    add(r, "%s", "");
    add_ballot(r, log->hard.promised);
    add(r, "%" PRIu64, log->first);
    add(r, "%" PRIu64, log->last);
    add(r, "%s", "");
    add(r, "%s", "");
    add(r, "%" PRIu64, log->bytes);
    add(r, "%s", "");
    add(r, "%s", "");
    end_row(r);
}

static enum status stored(struct engine *e, group_id group, bool entries, struct row *r,
                          struct err *err)
{
    struct plog_state log;
    enum status st = plog_load(e, group, &log, err);

    if (st != ST_OK)
        return st;
    if (!entries)
        stored_row(group, &log, r);
    else if (log.last >= log.first)
        st = log_rows(e, group, log.first, log.last, r, err);
    plog_state_fini(&log);
    return st;
}

enum status group_info_offline(struct engine *e, const char *topic, group_row_fn fn, void *row_arg,
                               struct err *err)
{
    struct row *r = xcalloc(2, sizeof *r);
    group_id group = 0;
    enum status st = ST_OK;

    r[0].fn = fn;
    r[0].arg = row_arg;
    r[1].fn = turn;
    r[1].arg = &r[0];
    if (strcasecmp(topic, "groups") == 0) {
        while ((st = plog_next_group(e, group, &group, err)) == ST_OK)
            TRY(stored(e, group, false, &r[0], err));
        st = st == ST_NOTFOUND ? ST_OK : st;
    } else if (topic_is(topic, "group_", &group)) {
        TRY(stored(e, group, false, &r[1], err));
    } else if (topic_is(topic, "log_", &group)) {
        TRY(stored(e, group, true, &r[0], err));
    }
out:
    free(r);
    return st;
}
