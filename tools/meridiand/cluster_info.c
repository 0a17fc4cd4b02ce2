#include "tools/meridiand/cluster_info.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "storage/members.h"

typedef void (*row_fn)(void *row_arg, const char *name, const char *value);

struct rows {
    row_fn fn;
    void *arg;
};

static void put(const struct rows *rows, const char *name, const char *fmt, ...) MRD_PRINTF(3, 4);

static void put(const struct rows *rows, const char *name, const char *fmt, ...)
{
    char value[256];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(value, sizeof value, fmt, ap); /* a longer value is cut: it is for people */
    va_end(ap);
    rows->fn(rows->arg, name, value);
}

static void nodes(const struct cluster_info *info, const struct rows *rows)
{
    const struct options *o = info->options;
    struct group *g = store_group(info->store, 1);
    node_id leader = g == NULL ? 0 : group_leader(g);
    char name[32];

    (void)snprintf(name, sizeof name, "%" PRIu32, o->node);
    put(rows, name, "this node, %s, rpc %s", leader == o->node ? "leads" : "follows",
        o->listen_rpc);
    for (size_t i = 0; i < o->n_peers; i++) {
        node_id peer = o->peers[i].node;
        int64_t rtt = rpc_peer_rtt_ns(info->rpc, peer);

        if (peer == o->node)
            continue;
        (void)snprintf(name, sizeof name, "%" PRIu32, peer);
        put(rows, name, "%s, %s, round trip %" PRId64 " us, rpc %s",
            rpc_peer_up(info->rpc, peer) ? "up" : "down", leader == peer ? "leads" : "follows",
            rtt < 0 ? -1 : rtt / 1000, o->peers[i].addr);
    }
}

static void time_source(const struct cluster_info *info, const struct rows *rows)
{
    struct tt_report r;

    tt_describe(info->tt, &r);
    put(rows, "source", "%s", r.source);
    if (r.bound_ns < 0)
        put(rows, "bound", "void");
    else
        put(rows, "bound", "%" PRId64 " us", r.bound_ns / 1000);
    put(rows, "age", "%" PRId64 " us", r.age_ns / 1000);
    put(rows, "why", "%s", r.why);
}

static const char *role_name(enum paxos_role role)
{
    switch (role) {
    case PAXOS_FOLLOWER:
        return "follower";
    case PAXOS_CANDIDATE:
        return "candidate";
    case PAXOS_RECOVERING:
        return "recovering";
    case PAXOS_LEADER:
        return "leader";
    }
    return "unknown";
}

static void group(const struct cluster_info *info, const struct rows *rows)
{
    struct group *g = store_group(info->store, 1);
    struct group_report r;

    if (g == NULL)
        return;
    group_describe(g, &r);
    put(rows, "group", "%" PRIu64, r.group);
    put(rows, "role", "%s", role_name(r.role));
    put(rows, "leader", "%" PRIu32, r.leader);
    put(rows, "ballot", "%" PRIu64 ".%" PRIu32, r.ballot.round, r.ballot.node);
    put(rows, "first", "%" PRIu64, r.first);
    put(rows, "last", "%" PRIu64, r.last);
    put(rows, "chosen", "%" PRIu64, r.chosen);
    put(rows, "applied", "%" PRIu64, r.applied);
    put(rows, "applied_ts", "%" PRId64, r.applied_ts);
    put(rows, "lease_end", "%" PRId64, r.lease_end);
}

static const char *part_name(const struct paxos_member *m)
{
    switch ((enum paxos_part)m->part) {
    case PAXOS_PART_NONE:
        return "leaves";
    case PAXOS_PART_LEARNER:
        return "learner";
    case PAXOS_PART_VOTER:
        return m->witness ? "witness" : "voter";
    }
    return "unknown";
}

/* As this node knows it; how far each is, only the leader knows. */
static void members(const struct cluster_info *info, const struct rows *rows)
{
    struct group *g = store_group(info->store, 1);
    struct group_ask a = {0};
    char name[32];

    if (g == NULL)
        return;
    members_look(g, &a);
    for (size_t i = 0; i < a.config.n; i++) {
        const struct paxos_member *m = &a.config.members[i];
        const struct paxos_peer_view *p = NULL;

        for (size_t k = 0; k < a.n_peers; k++)
            if (a.peers[k].node == m->node)
                p = &a.peers[k];
        (void)snprintf(name, sizeof name, "%" PRIu32, m->node);
        if (!a.leads || p == NULL)
            put(rows, name, "%s%s", part_name(m), a.settled ? "" : ", changing");
        else
            put(rows, name, "%s%s, %s, %" PRIu64 " of %" PRIu64 " slots%s", part_name(m),
                a.settled ? "" : ", changing", p->answers ? "answers" : "silent", p->match, a.last,
                p->wants_snapshot ? ", needs a snapshot" : "");
    }
}

/* The same digest on every node at one timestamp says that the replicas hold the same rows. A node that does not
 * answer has its error in place of it. */
static void digest(const struct cluster_info *info, const struct rows *rows)
{
    static const uint8_t last[] = {0xff};
    const struct options *o = info->options;
    tstamp t = 0;
    struct err err;

    if (txn_stable_ts(info->space, &t, &err) != ST_OK) {
        put(rows, "error", "%s", err.msg);
        return;
    }
    for (size_t i = 0; i <= o->n_peers; i++) {
        node_id node = i == 0 ? o->node : o->peers[i - 1].node;
        struct mvcc_digest d;
        char name[32];

        if (i > 0 && node == o->node)
            continue;
        (void)snprintf(name, sizeof name, "%" PRIu32, node);
        if (txn_digest(info->space, node, bytes_of("", 0), bytes_of(last, sizeof last), t, &d,
                       &err) == ST_OK)
            put(rows, name, "%016" PRIx64 "%016" PRIx64 " rows=%" PRIu64, d.hi, d.lo, d.n_rows);
        else
            put(rows, name, "%s: %s", err.sqlstate, err.msg);
    }
}

static void one_metric(void *arg, const char *name, int64_t value)
{
    put(arg, name, "%" PRId64, value);
}

void cluster_info_rows(void *arg, const char *topic, row_fn fn, void *row_arg)
{
    const struct cluster_info *info = arg;
    struct rows rows = {fn, row_arg};

    if (strcasecmp(topic, "nodes") == 0)
        nodes(info, &rows);
    else if (strcasecmp(topic, "time") == 0)
        time_source(info, &rows);
    else if (strcasecmp(topic, "group") == 0)
        group(info, &rows);
    else if (strcasecmp(topic, "members") == 0)
        members(info, &rows);
    else if (strcasecmp(topic, "digest") == 0)
        digest(info, &rows);
    else if (strcasecmp(topic, "metrics") == 0)
        metrics_each(info->metrics, one_metric, &rows);
}
