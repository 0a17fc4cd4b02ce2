/* What SHOW CLUSTER tells of the clocks of all nodes: this node's, and what the others told it of theirs. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/check.h"
#include "base/clock.h"
#include "tools/meridiand/cluster_info.h"
#include "tools/meridiand/group_info.h"

enum { COLUMNS_MAX = 12, VALUE_MAX = 160 };

typedef void (*table_row_fn)(void *row_arg, const char *const *values, size_t n);

/* A row being filled, column by column. */
struct row {
    char text[COLUMNS_MAX][VALUE_MAX];
    const char *value[COLUMNS_MAX];
    size_t n;
};

static void put(struct row *r, const char *fmt, ...) MRD_PRINTF(2, 3);

static void put(struct row *r, const char *fmt, ...)
{
    va_list ap;

    ASSERT(r->n < COLUMNS_MAX);
    va_start(ap, fmt);
    (void)vsnprintf(r->text[r->n], VALUE_MAX, fmt,
                    ap); /* a longer value is cut: it is for people */
    va_end(ap);
    r->value[r->n] = r->text[r->n];
    r->n++;
}

static void put_null(struct row *r)
{
    ASSERT(r->n < COLUMNS_MAX);
    r->value[r->n++] = NULL;
}

static void put_time(struct row *r, tstamp t)
{
    time_t s = (time_t)(t / NS_PER_S - (t % NS_PER_S < 0));
    struct tm tm;
    char day[64];

    if (gmtime_r(&s, &tm) == NULL || strftime(day, sizeof day, "%Y-%m-%d %H:%M:%S", &tm) == 0)
        put_null(r);
    else
        put(r, "%s.%09" PRId64 "+00", day, t - (int64_t)s * NS_PER_S);
}

/* Contradictions in which a node took part, whoever of the two was right. */
static uint64_t contradictions_of(const struct store_clock *all, size_t n, node_id node)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < all[i].report.n_pairs; k++)
            if (all[i].node == node || all[i].report.pairs[k].node == node)
                sum += all[i].report.pairs[k].contradictions;
    return sum;
}

static bool is_contradicted(const struct tt_clock_report *r)
{
    for (size_t i = 0; i < r->n_pairs; i++)
        if (r->pairs[i].view == TT_PEER_AHEAD || r->pairs[i].view == TT_PEER_BEHIND)
            return true;
    return false;
}

static bool is_silent(const struct store_clock *c)
{
    return c->heard_ns < 0 || c->heard_ns > (int64_t)TT_SUSPECT_MEMORY_MS * NS_PER_MS;
}

static const char *state_of(const struct store_clock *c)
{
    if (is_silent(c))
        return "silent";
    if (c->report.distrusted)
        return "distrusted";
    if (tt_is_void(c->report.now))
        return "void";
    return is_contradicted(&c->report) ? "contradicted" : "ok";
}

/* The interval as it is by now: what a node said a moment ago has moved on. */
static void put_interval(struct row *r, struct tt_interval iv, int64_t moved_ns)
{
    if (tt_is_void(iv)) {
        put_null(r);
        put_null(r);
        return;
    }
    put_time(r, iv.earliest + moved_ns);
    put_time(r, iv.latest + moved_ns);
}

static const char *const clocks_columns[] = {"node",   "state",    "source",         "earliest",
                                             "latest", "bound_us", "age_us",         "heard_us",
                                             "why",    "peers",    "contradictions", NULL};

static void clock_source(const struct store_clock *c, struct row *r)
{
    const struct tt_clock_report *rep = &c->report;

    put(r, "%s", rep->source);
    put_interval(r, rep->now, c->heard_ns);
    if (rep->bound_ns < 0 || tt_is_void(rep->now))
        put_null(r);
    else
        put(r, "%" PRId64, rep->bound_ns / NS_PER_US);
    put(r, "%" PRId64, (rep->age_ns + c->heard_ns) / NS_PER_US);
    put(r, "%" PRId64, c->heard_ns / NS_PER_US);
    put(r, "%s", rep->why);
}

/* "2 agrees, 3 ahead" */
static void put_peers(struct row *r, const struct tt_clock_report *rep)
{
    char *at = r->text[r->n];
    size_t len = 0;

    put(r, "%s", "");
    for (size_t i = 0; i < rep->n_pairs && len < VALUE_MAX; i++)
        len += (size_t)snprintf(at + len, VALUE_MAX - len, "%s%" PRIu32 " %s", i > 0 ? ", " : "",
                                rep->pairs[i].node, tt_peer_view_name(rep->pairs[i].view));
}

static void clock_row(const struct store_clock *all, size_t n, const struct store_clock *c,
                      struct row *r)
{
    put(r, "%" PRIu32, c->node);
    put(r, "%s", state_of(c));
    if (c->heard_ns >= 0) {
        clock_source(c, r);
        put_peers(r, &c->report);
    } else {
        for (int i = 0; i < 6; i++)
            put_null(r);
        put(r, "nothing was heard of it");
        put_null(r);
    }
    put(r, "%" PRIu64, contradictions_of(all, n, c->node));
}

static const char *const pairs_columns[] = {"node",      "peer",   "view", "contradictions",
                                            "offset_us", "rtt_us", NULL};

static void pair_row(const struct store_clock *c, const struct tt_pair *pair, struct row *r)
{
    put(r, "%" PRIu32, c->node);
    put(r, "%" PRIu32, pair->node);
    put(r, "%s", is_silent(c) ? "unknown" : tt_peer_view_name(pair->view));
    put(r, "%" PRIu64, pair->contradictions);
    if (pair->rtt_ns < 0) {
        put_null(r);
        put_null(r);
        return;
    }
    put(r, "%" PRId64, pair->offset_ns / NS_PER_US);
    put(r, "%" PRId64, pair->rtt_ns / NS_PER_US);
}

static void clocks(const struct store_clock *all, size_t n, table_row_fn fn, void *row_arg)
{
    for (size_t i = 0; i < n; i++) {
        struct row r = {.n = 0};

        clock_row(all, n, &all[i], &r);
        fn(row_arg, r.value, r.n);
    }
}

static void pairs(const struct store_clock *all, size_t n, table_row_fn fn, void *row_arg)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; all[i].heard_ns >= 0 && k < all[i].report.n_pairs; k++) {
            struct row r = {.n = 0};

            pair_row(&all[i], &all[i].report.pairs[k], &r);
            fn(row_arg, r.value, r.n);
        }
}

static const struct {
    const char *topic;
    const char *const *columns;
    void (*rows)(const struct store_clock *all, size_t n, table_row_fn fn, void *row_arg);
} tables[] = {
    {"clocks", clocks_columns, clocks},
    {"clock_pairs", pairs_columns, pairs},
};
enum { N_TABLES = sizeof tables / sizeof tables[0] };

const char *const *cluster_info_columns(void *info, const char *topic)
{
    (void)info;
    for (size_t i = 0; i < N_TABLES; i++)
        if (strcasecmp(topic, tables[i].topic) == 0)
            return tables[i].columns;
    return group_info_columns(topic);
}

static int by_node(const void *a, const void *b)
{
    const struct store_clock *x = a, *y = b;

    return (x->node > y->node) - (x->node < y->node);
}

void cluster_info_table(void *info, const char *topic, table_row_fn fn, void *row_arg)
{
    const struct cluster_info *ci = info;
    struct store_clock *all = xcalloc(TT_SUSPECT_PEERS_MAX + 1, sizeof *all);
    size_t n = store_clocks(ci->store, all, TT_SUSPECT_PEERS_MAX + 1);

    if (group_info_columns(topic) != NULL)
        group_info_rows(ci->store, topic, fn, row_arg);
    qsort(all, n, sizeof *all, by_node);
    for (size_t i = 0; i < N_TABLES; i++)
        if (strcasecmp(topic, tables[i].topic) == 0)
            tables[i].rows(all, n, fn, row_arg);
    free(all);
}
