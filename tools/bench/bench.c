#include "tools/bench/bench.h"

#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "meridian.h"
#include "tools/bench/bench_int.h"
#include "tools/local/local_cluster.h"

enum { EXIT_USAGE = 64, READY_MS = 30000 };

struct bench_flags {
    const char *where, *pids, *tsv, *ops, *keys, *clients, *time, *lease, *dir;
    bool start, no_load, spread, keep;
    int n_nodes;
    int64_t n_keys;
    int value_len;
    double seconds, warmup_s;
};

/* The three lists that a bench goes through, one run for each combination. */
struct plan {
    enum bench_op op[BENCH_OPS];
    enum bench_keys keys[BENCH_DISTRIBUTIONS];
    int clients[BENCH_LIST_MAX];
    size_t n_ops, n_keys, n_clients;
};

static const char usage[] =
    "usage: meridian bench kv (--start | --where URL) [flags]\n\n"
    "  --start             start three nodes on this machine, and stop them at the end\n"
    "  --where URL         a cluster that runs\n"
    "  --pids PID[,PID...] its servers' processes, for CPU and memory (with --where)\n"
    "  --op LIST           upsert,get\n"
    "  --keys LIST         uniform,zipfian\n"
    "  --clients LIST      1,8,32,64\n"
    "  --seconds S         a run (10), after --warmup S (1)\n"
    "  --rows N            keys (100000)\n"
    "  --value N           bytes of a value (100)\n"
    "  --tsv FILE          add a line a run\n"
    "  --no-load           the table is there and full\n"
    "  --spread            clients on all nodes; otherwise all on the leader's\n"
    "  --nodes N, --time SOURCE, --lease TIME, --dir DIR, --keep   with --start\n";

static const struct option longopts[] = {
    {"start", no_argument, NULL, 's'},
    {"where", required_argument, NULL, 'w'},
    {"pids", required_argument, NULL, 'p'},
    {"op", required_argument, NULL, 'o'},
    {"keys", required_argument, NULL, 'k'},
    {"clients", required_argument, NULL, 'c'},
    {"seconds", required_argument, NULL, 'S'},
    {"warmup", required_argument, NULL, 'W'},
    {"rows", required_argument, NULL, 'r'},
    {"value", required_argument, NULL, 'v'},
    {"tsv", required_argument, NULL, 't'},
    {"no-load", no_argument, NULL, 'n'},
    {"spread", no_argument, NULL, 'a'},
    {"nodes", required_argument, NULL, 'N'},
    {"time", required_argument, NULL, 'T'},
    {"lease", required_argument, NULL, 'l'},
    {"dir", required_argument, NULL, 'd'},
    {"keep", no_argument, NULL, 'K'},
    {NULL, 0, NULL, 0},
};

static bool take_flag(struct bench_flags *f, int ch)
{
    switch (ch) {
    case 's':
        f->start = true;
        break;
    case 'w':
        f->where = optarg;
        break;
    case 'p':
        f->pids = optarg;
        break;
    case 'o':
        f->ops = optarg;
        break;
    case 'k':
        f->keys = optarg;
        break;
    case 'c':
        f->clients = optarg;
        break;
    case 'S':
        f->seconds = strtod(optarg, NULL);
        break;
    case 'W':
        f->warmup_s = strtod(optarg, NULL);
        break;
    case 'r':
        f->n_keys = strtoll(optarg, NULL, 10);
        break;
    case 'v':
        f->value_len = (int)strtol(optarg, NULL, 10);
        break;
    case 't':
        f->tsv = optarg;
        break;
    case 'n':
        f->no_load = true;
        break;
    case 'a':
        f->spread = true;
        break;
    case 'N':
        f->n_nodes = (int)strtol(optarg, NULL, 10);
        break;
    case 'T':
        f->time = optarg;
        break;
    case 'l':
        f->lease = optarg;
        break;
    case 'd':
        f->dir = optarg;
        break;
    case 'K':
        f->keep = true;
        break;
    default: /* a character, no enum */
        return false;
    }
    return true;
}

static bool parse_flags(struct bench_flags *f, int argc, char **argv)
{
    int ch;

    if (argc < 2 || strcmp(argv[1], "kv") != 0)
        return false;
    while ((ch = getopt_long(argc - 1, argv + 1, "", longopts, NULL)) != -1)
        if (!take_flag(f, ch))
            return false;
    return optind == argc - 1 && f->start != (f->where != NULL) && f->seconds > 0 &&
           f->n_keys >= 1 && f->value_len >= 8 && f->value_len <= 4096 && f->n_nodes >= 1 &&
           f->n_nodes <= LOCAL_NODES_MAX;
}

/* The next word of a list with commas; false at its end. */
static bool next_word(const char **list, char *out, size_t size)
{
    size_t n = strcspn(*list, ",");

    if (**list == '\0')
        return false;
    (void)snprintf(out, size, "%.*s", (int)n, *list);
    *list += n + ((*list)[n] == ',');
    return true;
}

static bool make_plan(const struct bench_flags *f, struct plan *p)
{
    const char *ops = f->ops, *keys = f->keys, *clients = f->clients;
    char word[32];

    *p = (struct plan){0};
    while (next_word(&ops, word, sizeof word)) {
        enum bench_op op = strcmp(word, "get") == 0 ? BENCH_GET : BENCH_UPSERT;

        if (p->n_ops == BENCH_OPS || strcmp(word, bench_op_name(op)) != 0)
            return false;
        p->op[p->n_ops++] = op;
    }
    while (next_word(&keys, word, sizeof word)) {
        enum bench_keys k = strcmp(word, "zipfian") == 0 ? BENCH_ZIPFIAN : BENCH_UNIFORM;

        if (p->n_keys == BENCH_DISTRIBUTIONS || strcmp(word, bench_keys_name(k)) != 0)
            return false;
        p->keys[p->n_keys++] = k;
    }
    while (next_word(&clients, word, sizeof word)) {
        int n = (int)strtol(word, NULL, 10);

        if (p->n_clients == BENCH_LIST_MAX || n < 1 || n > BENCH_CLIENTS_MAX)
            return false;
        p->clients[p->n_clients++] = n;
    }
    return p->n_ops != 0 && p->n_keys != 0 && p->n_clients != 0;
}

/* The last and largest run of each operation shows where the CPU went. */
static int run_plan(const struct bench *b, const struct plan *p)
{
    int rc = EXIT_SUCCESS;

    report_head(b);
    for (size_t i = 0; i < p->n_ops; i++) {
        struct bench_run last = {0};

        for (size_t j = 0; j < p->n_keys; j++)
            for (size_t k = 0; k < p->n_clients; k++) {
                struct bench_run run = {
                    .op = p->op[i], .keys = p->keys[j], .clients = p->clients[k]};

                free(last.latency);
                if (!kv_run(b, &run)) {
                    (void)fprintf(stderr, "bench: %s\n", run.first_error);
                    free(run.latency);
                    return EXIT_FAILURE;
                }
                report_run(b, &run);
                rc = run.errors != 0 || run.ops == 0 ? EXIT_FAILURE : rc;
                last = run;
            }
        report_budget(&last);
        free(last.latency);
        (void)putchar('\n');
    }
    return rc;
}

static void describe_setting(struct bench *b, int n_nodes, const char *lease, const char *place)
{
    char source[64], bound[32];

    local_cluster_info(b->where[0], "TIME", "source", source, sizeof source);
    local_cluster_info(b->where[0], "TIME", "bound", bound, sizeof bound);
    if (*source == '\0') /* another server: what it promises is not ours to say */
        (void)snprintf(b->setting, sizeof b->setting,
                       "the server names no clock; what is durable is as it was configured");
    else
        (void)snprintf(
            b->setting, sizeof b->setting,
            "%d replicas, every commit synced by a majority; clock %s, bound %s; lease %s; "
            "clients on %s",
            n_nodes, source, *bound == '\0' ? "?" : bound, lease, place);
}

static int bench_cluster(struct bench *b, const struct plan *p, bool load)
{
    if (load && !kv_load(b))
        return EXIT_FAILURE;
    zipf_init(&b->zipf, b->n_keys);
    return run_plan(b, p);
}

static int bench_where(struct bench *b, const struct bench_flags *f, const struct plan *p)
{
    const char *pids = f->pids;
    char word[32];

    (void)snprintf(b->where[0], sizeof b->where[0], "%s", f->where);
    b->n_where = 1;
    while (pids != NULL && b->n_pids < BENCH_PIDS_MAX && next_word(&pids, word, sizeof word))
        b->pids[b->n_pids++] = (pid_t)strtol(word, NULL, 10);
    describe_setting(b, (int)b->n_pids, "as the servers were told", "the URL's node");
    return bench_cluster(b, p, !f->no_load);
}

static int bench_started(struct bench *b, const struct bench_flags *f, const struct plan *p)
{
    struct local_options opts = {
        .n_nodes = f->n_nodes, .dir = f->dir, .time = f->time, .lease = f->lease};
    struct local_cluster *lc = NULL;
    struct err err;
    enum status st;
    int rc = EXIT_FAILURE, leader;

    TRY(local_cluster_new(&opts, &lc, &err));
    for (int i = 1; i <= f->n_nodes; i++) {
        TRY(local_cluster_start(lc, i, &err));
        b->pids[b->n_pids++] = local_cluster_pid(lc, i);
    }
    TRY(local_cluster_wait_writable(lc, READY_MS, &err));
    leader = local_cluster_leader(lc);
    b->n_where = f->spread || leader == 0 ? (size_t)f->n_nodes : 1;
    for (size_t i = 0; i < b->n_where; i++)
        local_cluster_where_node(lc, b->n_where == 1 ? leader : (int)i + 1, b->where[i],
                                 sizeof b->where[i]);
    b->disk_path = local_cluster_dir(lc);
    describe_setting(b, f->n_nodes, f->lease, b->n_where == 1 ? "the leader's node" : "all nodes");
    rc = bench_cluster(b, p, !f->no_load);
out:
    if (st != ST_OK)
        (void)fprintf(stderr, "bench: %s\n", err.msg);
    local_cluster_free(lc, f->keep || rc != EXIT_SUCCESS);
    return rc;
}

int cmd_bench(int argc, char **argv)
{
    struct bench_flags f = {.ops = "upsert,get",
                            .keys = "uniform,zipfian",
                            .clients = "1,8,32,64",
                            .time = "fixed:200us",
                            .lease = "2s",
                            .n_nodes = 3,
                            .n_keys = 100000,
                            .value_len = 100,
                            .seconds = 10,
                            .warmup_s = 1};
    struct bench b = {0};
    struct plan plan;
    int rc;

    if (argc > 1 && strcmp(argv[1], "--help") == 0) {
        (void)fputs(usage, stdout);
        return EXIT_SUCCESS;
    }
    if (!parse_flags(&f, argc, argv) || !make_plan(&f, &plan)) {
        (void)fputs(usage, stderr);
        return EXIT_USAGE;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    b.n_keys = f.n_keys;
    b.value_len = f.value_len;
    b.seconds = f.seconds;
    b.warmup_s = f.warmup_s;
    if (f.tsv != NULL && (b.tsv = fopen(f.tsv, "ae")) == NULL) {
        perror(f.tsv);
        return EXIT_FAILURE;
    }
    rc = f.start ? bench_started(&b, &f, &plan) : bench_where(&b, &f, &plan);
    if (b.tsv != NULL)
        (void)fclose(b.tsv);
    return rc;
}
