#include "tools/meridiand/options.h"

#include <getopt.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tools/meridiand/frontend.h"
#include "tools/meridiand/units.h"

struct option_def {
    const char *name;
    const char *arg; /* NULL: a switch */
    const char *help;
    enum status (*set)(struct options *o, const char *value, struct err *err);
};

static enum status set_string(char **to, const char *what, const char *value, struct err *err)
{
    if (*value == '\0')
        return err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE, "%s must not be empty",
                       what);
    free(*to);
    *to = xstrdup(value);
    return ST_OK;
}

static enum status set_node(struct options *o, const char *value, struct err *err)
{
    int64_t n = 0;
    enum status st;

    TRY(units_number("node", value, 1, UINT32_MAX, &n, err));
    o->node = (node_id)n;
out:
    return st;
}

static enum status set_cluster(struct options *o, const char *value, struct err *err)
{
    return set_string(&o->cluster, "cluster", value, err);
}

static enum status set_data(struct options *o, const char *value, struct err *err)
{
    return set_string(&o->data, "data", value, err);
}

static enum status set_listen_pg(struct options *o, const char *value, struct err *err)
{
    return set_string(&o->listen_pg, "listen-pg", value, err);
}

static enum status set_listen_rpc(struct options *o, const char *value, struct err *err)
{
    return set_string(&o->listen_rpc, "listen-rpc", value, err);
}

static enum status add_peer(struct options *o, const char *value, struct err *err)
{
    const char *eq = strchr(value, '=');
    char number[16];
    int64_t n = 0;
    enum status st;

    if (eq == NULL || eq[1] == '\0' || (size_t)(eq - value) >= sizeof number)
        return err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                       "peer must be of the form NODE=HOST:PORT, not \"%s\"", value);
    if (o->n_peers == OPTIONS_PEERS_MAX)
        return err_set(err, ST_REJECT, SQLSTATE_CONFIGURATION_LIMIT_EXCEEDED, "more than %d peers",
                       OPTIONS_PEERS_MAX);
    memcpy(number, value, (size_t)(eq - value));
    number[eq - value] = '\0';
    TRY(units_number("node of a peer", number, 1, UINT32_MAX, &n, err));
    for (size_t i = 0; i < o->n_peers; i++)
        if (o->peers[i].node == (node_id)n)
            return err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                           "peer %lld is given twice", (long long)n);
    o->peers[o->n_peers++] = (struct rpc_peer_addr){(node_id)n, xstrdup(eq + 1)};
out:
    return st;
}

static enum status set_time(struct options *o, const char *value, struct err *err)
{
    return set_string(&o->time, "time", value, err);
}

static enum status set_time_drift(struct options *o, const char *value, struct err *err)
{
    return units_number("time-drift", value, 1, 500, &o->time_drift_ppm, err);
}

static enum status set_time_fault(struct options *o, const char *value, struct err *err)
{
    return set_string(&o->time_fault, "time-fault", value, err);
}

static enum status set_net_fault(struct options *o, const char *value, struct err *err)
{
    return set_string(&o->net_fault, "net-fault", value, err);
}

static enum status set_lease(struct options *o, const char *value, struct err *err)
{
    enum status st;

    TRY(units_duration(value, 0, &o->lease_ns, err));
    if (o->lease_ns < 100 * 1000000LL)
        st = err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                     "a lease is at least 100ms, not \"%s\"", value);
out:
    return st;
}

static enum status set_cache(struct options *o, const char *value, struct err *err)
{
    return units_size(value, &o->cache_bytes, err);
}

static enum status set_checkpoint(struct options *o, const char *value, struct err *err)
{
    return units_duration(value, 0, &o->checkpoint_ns, err);
}

static enum status set_checkpoint_log(struct options *o, const char *value, struct err *err)
{
    return units_size(value, &o->checkpoint_log_bytes, err);
}

static enum status set_log_keep(struct options *o, const char *value, struct err *err)
{
    return units_number("log-keep", value, 1, INT64_MAX, &o->keep_slots, err);
}

static enum status set_log_lag(struct options *o, const char *value, struct err *err)
{
    return units_number("log-lag", value, 1, INT64_MAX, &o->lag_slots, err);
}

static enum status set_log_lag_bytes(struct options *o, const char *value, struct err *err)
{
    return units_size(value, &o->lag_bytes, err);
}

static enum status set_snapshot_rate(struct options *o, const char *value, struct err *err)
{
    return units_size(value, &o->snapshot_bytes_per_s, err);
}

static enum status set_op_timeout(struct options *o, const char *value, struct err *err)
{
    return units_duration(value, 0, &o->op_timeout_ns, err);
}

static enum status set_statement_memory(struct options *o, const char *value, struct err *err)
{
    return units_size(value, &o->statement_memory, err);
}

static enum status set_max_connections(struct options *o, const char *value, struct err *err)
{
    int64_t n = 0;
    enum status st;

    TRY(units_number("max-connections", value, 1, 100000, &n, err));
    o->max_connections = (unsigned)n;
out:
    return st;
}

static enum status set_bench_groups(struct options *o, const char *value, struct err *err)
{
    int64_t n = 0;
    enum status st;

    TRY(units_number("bench-groups", value, 0, 100000, &n, err));
    o->bench_groups = (uint32_t)n;
out:
    return st;
}

static enum status set_inspect(struct options *o, const char *value, struct err *err)
{
    return set_string(&o->inspect, "inspect", value, err);
}

static enum status set_log_level(struct options *o, const char *value, struct err *err)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(value, names[i]) == 0) {
            o->log_level = (enum log_level)i;
            return ST_OK;
        }
    return err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                   "log-level must be error, warn, info or debug, not \"%s\"", value);
}

static enum status add_fault(struct options *o, const char *value, struct err *err)
{
    if (o->n_faults == OPTIONS_FAULTS_MAX)
        return err_set(err, ST_REJECT, SQLSTATE_CONFIGURATION_LIMIT_EXCEEDED, "more than %d faults",
                       OPTIONS_FAULTS_MAX);
    o->fault[o->n_faults++] = xstrdup(value);
    return ST_OK;
}

static enum status set_no_sync(struct options *o, const char *value, struct err *err)
{
    if (value != NULL && strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
        return err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                       "no-sync must be true or false, not \"%s\"", value);
    o->no_sync = value == NULL || strcmp(value, "true") == 0;
    return ST_OK;
}

static enum status set_join(struct options *o, const char *value, struct err *err)
{
    (void)err;
    o->join = value == NULL || strcmp(value, "true") == 0;
    return ST_OK;
}

static enum status set_config(struct options *o, const char *value, struct err *err);

static const struct option_def defs[] = {
    {"config", "FILE", "read these names from FILE, one \"name = value\" a line", set_config},
    {"node", "N", "number of this node, from 1 on; required", set_node},
    {"cluster", "NAME", "nodes of another name are refused (default meridian)", set_cluster},
    {"data", "DIR", "where this node keeps its data; made if it is not there; required", set_data},
    {"listen-pg", "HOST:PORT", "for SQL clients (default 127.0.0.1:5433); port 0: any",
     set_listen_pg},
    {"listen-rpc", "HOST:PORT", "for the other nodes (default 127.0.0.1:4700)", set_listen_rpc},
    {"peer", "N=HOST:PORT", "another node; once for each", add_peer},
    {"join", NULL, "a new node of a cluster that is there: no part until it is made a member",
     set_join},
    {"time", "SOURCE",
     "chrony[:SOCKET|:HOST:PORT], clockbound[:PAGE], page:FILE, kernel, fixed:200us, auto (the "
     "default)",
     set_time},
    {"time-drift", "PPM", "worst rate error of this node's oscillator (default 50)",
     set_time_drift},
    {"time-fault", "FILE", "shared page that bends this node's clock; for tests", set_time_fault},
    {"net-fault", "FILE", "what goes wrong on the way to other nodes; for tests", set_net_fault},
    {"lease", "TIME", "of leaders (default 2s); the same on every node", set_lease},
    {"cache", "SIZE", "memory for data pages (default 256MB)", set_cache},
    {"checkpoint", "TIME", "between checkpoints (default 30s)", set_checkpoint},
    {"checkpoint-log", "SIZE", "log that makes an earlier one (default 128MB)", set_checkpoint_log},
    {"log-keep", "N", "entries at the log's end that are never cut (default 1024)", set_log_keep},
    {"log-lag", "N", "entries kept for a node that is away; then a snapshot (default 1000000)",
     set_log_lag},
    {"log-lag-bytes", "SIZE", "the same in bytes (default 512MB)", set_log_lag_bytes},
    {"snapshot-rate", "SIZE", "bytes a second of a snapshot for another node (default 64MB)",
     set_snapshot_rate},
    {"op-timeout", "TIME", "how long an operation looks for a leader (default 10s)",
     set_op_timeout},
    {"statement-memory", "SIZE", "of one statement (default 256MB)", set_statement_memory},
    {"max-connections", "N", "SQL clients (default 500)", set_max_connections},
    {"log-level", "LEVEL", "error, warn, info, debug (default info)", set_log_level},
    {"bench-groups", "N",
     "so many idle groups more, to measure what they cost; the same on every node",
     set_bench_groups},
    {"inspect", "TOPIC",
     "print groups, group_N or log_N from the directory of a node that does not run", set_inspect},
    {"fault", "SPEC", "arm a fault point, as store.sync=1+; for tests", add_fault},
    {"no-sync", NULL, "never sync: a power cut loses data; for tests", set_no_sync},
    {"help", NULL, "print this and exit", NULL},
    {"version", NULL, "print the version and exit", NULL},
};
enum { N_DEFS = sizeof defs / sizeof defs[0] };

void options_init(struct options *o)
{
    *o = (struct options){.cluster = xstrdup("meridian"),
                          .listen_pg = xstrdup("127.0.0.1:5433"),
                          .listen_rpc = xstrdup("127.0.0.1:4700"),
                          .time = xstrdup("auto"),
                          .max_connections = FRONTEND_CONNECTIONS,
                          .log_level = LOG_INFO};
}

void options_fini(struct options *o)
{
    free(o->cluster);
    free(o->data);
    free(o->listen_pg);
    free(o->listen_rpc);
    free(o->time);
    free(o->time_fault);
    free(o->inspect);
    free(o->net_fault);
    for (size_t i = 0; i < o->n_faults; i++)
        free(o->fault[i]);
    for (size_t i = 0; i < o->n_peers; i++)
        free((char *)(uintptr_t)o->peers[i].addr); /* ours, const only for rpc */
}

/* inih calls this for every line; the first error stays. */
struct file_state {
    struct options *o;
    struct err *err;
    bool failed;
};

static int file_line(void *arg, const char *section, const char *name, const char *value)
{
    struct file_state *fs = arg;

    (void)section; /* sections are for the reader's eye */
    if (fs->failed)
        return 1;
    for (size_t i = 0; i < N_DEFS; i++)
        if (strcmp(name, defs[i].name) == 0 && defs[i].set != NULL && defs[i].set != set_config) {
            fs->failed = defs[i].set(fs->o, value, fs->err) != ST_OK;
            return !fs->failed;
        }
    (void)err_set(fs->err, ST_REJECT, SQLSTATE_CONFIG_FILE_ERROR, "unknown name \"%s\"", name);
    fs->failed = true;
    return 0;
}

static enum status set_config(struct options *o, const char *value, struct err *err)
{
    struct file_state fs = {.o = o, .err = err};
    int line = ini_parse(value, file_line, &fs);
    char why[256];

    if (line == 0)
        return ST_OK;
    if (line < 0)
        return err_set(err, ST_REJECT, SQLSTATE_CONFIG_FILE_ERROR, "cannot read \"%s\"", value);
    if (!fs.failed)
        return err_set(err, ST_REJECT, SQLSTATE_CONFIG_FILE_ERROR,
                       "%s:%d: not of the form \"name = value\"", value, line);
    (void)snprintf(why, sizeof why, "%s", err == NULL ? "" : err->msg); /* cut if longer */
    return err_set(err, ST_REJECT, SQLSTATE_CONFIG_FILE_ERROR, "%s:%d: %s", value, line, why);
}

static void make_longopts(struct option *longopts)
{
    for (int i = 0; i < N_DEFS; i++)
        longopts[i] =
            (struct option){.name = defs[i].name,
                            .has_arg = defs[i].arg != NULL ? required_argument : no_argument,
                            .val = 256 + i};
    longopts[N_DEFS] = (struct option){0};
}

/* Walks the flags once: only --config if `config` is set, else all others. */
static enum options_result walk(struct options *o, int argc, char **argv, bool config,
                                struct err *err)
{
    struct option longopts[N_DEFS + 1];
    int ch;

    make_longopts(longopts);
    optind = 0; /* GNU: start afresh, also the hidden state */
    opterr = 0;
    while ((ch = getopt_long(argc, argv, ":", longopts, NULL)) != -1) {
        const struct option_def *def = ch >= 256 ? &defs[ch - 256] : NULL;

        if (def == NULL) {
            (void)err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                          ch == ':' ? "flag \"%s\" wants a value" : "unknown flag \"%s\"",
                          argv[optind - 1]);
            return OPTIONS_BAD;
        }
        if (def->set == NULL)
            return strcmp(def->name, "help") == 0 ? OPTIONS_HELP : OPTIONS_VERSION;
        if ((def->set == set_config) == config && def->set(o, optarg, err) != ST_OK)
            return OPTIONS_BAD;
    }
    if (optind < argc) {
        (void)err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                      "unexpected argument \"%s\"", argv[optind]);
        return OPTIONS_BAD;
    }
    return OPTIONS_RUN;
}

static enum options_result check(const struct options *o, struct err *err)
{
    const char *missing = o->node == 0 ? "node" : o->data == NULL ? "data" : NULL;

    if (missing != NULL) {
        (void)err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE, "--%s is required",
                      missing);
        return OPTIONS_BAD;
    }
    return OPTIONS_RUN;
}

enum options_result options_parse(struct options *o, int argc, char **argv, struct err *err)
{
    enum options_result r = walk(o, argc, argv, true, err);

    if (r == OPTIONS_RUN)
        r = walk(o, argc, argv, false, err);
    if (r == OPTIONS_RUN)
        r = check(o, err);
    return r;
}

void options_help(FILE *to)
{
    (void)fprintf(to, "usage: meridiand --node N --data DIR [--peer N=HOST:PORT ...] [flags]\n\n"
                      "One node of a Meridian cluster: SQL for PostgreSQL clients.\n\n");
    for (size_t i = 0; i < N_DEFS; i++) {
        char flag[64];

        (void)snprintf(flag, sizeof flag, "--%s %s", defs[i].name,
                       defs[i].arg == NULL ? "" : defs[i].arg);
        (void)fprintf(to, "  %-26s %s\n", flag, defs[i].help);
    }
    (void)fprintf(to,
                  "\nOther nodes dial the address of --listen-rpc, so its port cannot be 0 in a "
                  "cluster of several.\nExit codes: 0 stopped by SIGTERM or SIGINT, 64 bad flags, "
                  "70 cannot go on (the log says why).\n");
}
