#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "tools/bench/bench_int.h"

const char *bench_op_name(enum bench_op op)
{
    static const char *const names[BENCH_OPS] = {[BENCH_UPSERT] = "upsert", [BENCH_GET] = "get"};

    return names[op];
}

const char *bench_keys_name(enum bench_keys keys)
{
    static const char *const names[BENCH_DISTRIBUTIONS] = {
        [BENCH_UNIFORM] = "uniform", [BENCH_ZIPFIAN] = "zipfian"};

    return names[keys];
}

static double ms(const struct bench_run *run, double q)
{
    return (double)hist_quantile(run->latency, q) / NS_PER_MS;
}

static double max_ms(const struct bench_run *run)
{
    return (double)run->latency->max / NS_PER_MS;
}

static double per_op(const struct bench_run *run, double x)
{
    return run->ops == 0 ? 0 : x / (double)run->ops;
}

void report_head(const struct bench *b)
{
    (void)printf("%s\n%" PRId64
                 " keys, values of %d bytes, %.0f s a run, closed loop, one connection a "
                 "client, prepared statements\n\n",
                 b->setting, b->n_keys, b->value_len, b->seconds);
    (void)printf("%-7s %-8s %7s %9s %8s %8s %8s %8s %6s %9s %8s %8s %9s\n", "op", "keys", "clients",
                 "op/s", "p50 ms", "p99 ms", "p99.9", "max", "errors", "CPUs/1k", "cli/1k",
                 "PSS MiB", "flush/op");
    if (b->tsv != NULL && ftell(b->tsv) == 0)
        (void)fprintf(
            b->tsv, "date\tworkload\tkeys\tclients\tsecs\tops\tops_per_s\tp50_ms\tp99_ms\tp999_ms\t"
                    "max_ms\terrors\tretries\tserver_cpu_s\tcpu_s_per_1k\tclient_cpu_s\tpss_mib\t"
                    "rss_mib\tdisk_flushes\tdisk_written_mib\tlog_syncs\tcpu_by_thread\tsetting\n");
}

/* "pg-conn:12.1;worker:5.0" in us of CPU per operation. */
static void tsv_kinds(const struct bench *b, const struct bench_run *run)
{
    for (size_t i = 0; i < run->used.n_kinds; i++)
        (void)fprintf(b->tsv, "%s%s:%.2f", i == 0 ? "" : ";", run->used.kind[i].name,
                      per_op(run, (run->used.kind[i].user_s + run->used.kind[i].sys_s) * 1e6));
}

static void tsv_line(const struct bench *b, const struct bench_run *run)
{
    char date[32];
    time_t now = time(NULL);
    struct tm tm;

    (void)gmtime_r(&now, &tm);
    (void)strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &tm);
    (void)fprintf(b->tsv,
                  "%s\t%s\t%s\t%d\t%.2f\t%" PRId64 "\t%.1f\t%.3f\t%.3f\t%.3f\t%.3f\t%" PRId64
                  "\t%" PRId64 "\t%.2f\t%.4f\t%.2f\t%.0f\t%.0f\t%" PRId64 "\t%.1f\t%" PRId64 "\t",
                  date, bench_op_name(run->op), bench_keys_name(run->keys), run->clients,
                  run->elapsed_s, run->ops, (double)run->ops / run->elapsed_s, ms(run, 0.5),
                  ms(run, 0.99), ms(run, 0.999), max_ms(run), run->errors, run->retries,
                  run->used.cpu_s, per_op(run, run->used.cpu_s) * 1000, run->client_cpu_s,
                  run->used.pss_mib, run->used.rss_mib, run->disk.flushes,
                  (double)run->disk.sectors_written / 2048, run->log_syncs);
    tsv_kinds(b, run);
    (void)fprintf(b->tsv, "\t%s\n", b->setting);
    (void)fflush(b->tsv);
}

void report_run(const struct bench *b, const struct bench_run *run)
{
    (void)printf(
        "%-7s %-8s %7d %9.0f %8.3f %8.3f %8.3f %8.1f %6" PRId64 " %9.4f %8.4f %8.0f %9.3f\n",
        bench_op_name(run->op), bench_keys_name(run->keys), run->clients,
        (double)run->ops / run->elapsed_s, ms(run, 0.5), ms(run, 0.99), ms(run, 0.999), max_ms(run),
        run->errors, per_op(run, run->used.cpu_s) * 1000, per_op(run, run->client_cpu_s) * 1000,
        run->used.pss_mib, per_op(run, (double)run->disk.flushes));
    if (run->errors != 0)
        (void)printf("        first error: %s\n", run->first_error);
    (void)fflush(stdout);
    if (b->tsv != NULL)
        tsv_line(b, run);
}

/* Which part of the budget a kind of thread works for. */
static const char *part_of(const char *thread)
{
    static const char *const parts[][2] = {
        {"pg-conn", "sockets, sql, txn: session threads"},
        {"pg-accept", "accepting clients"},
        {"mrd-worker", "consensus and apply"},
        {"mrd-log", "log writer and its syncs"},
        {"mrd-txn", "requests of other nodes, commits"},
        {"mrd-tick", "transactions' timers"},
        {"mrd-rpc", "messages in and out"},
        {"mrd-upkeep", "checkpoints, collection of versions"},
        {"mrd-time", "source of time"},
        {"nng", "wire between nodes"},
        {"meridiand", "the engine's own: eviction, checkpoints"},
    };

    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (strncmp(thread, parts[i][0], strlen(parts[i][0])) == 0)
            return parts[i][1];
    return "";
}

void report_budget(const struct bench_run *run)
{
    double total = 0;

    if (run->ops == 0 || run->used.n_kinds == 0)
        return;
    (void)printf("\nCPU of all nodes per %s at %d clients, us (%s keys), by kind of thread\n",
                 bench_op_name(run->op), run->clients, bench_keys_name(run->keys));
    (void)printf("  %-16s %8s %8s %8s\n", "thread", "user", "system", "sum");
    for (size_t i = 0; i < run->used.n_kinds; i++) {
        double user = per_op(run, run->used.kind[i].user_s * 1e6);
        double sys = per_op(run, run->used.kind[i].sys_s * 1e6);

        total += user + sys;
        if (user + sys >= 0.05)
            (void)printf("  %-16s %8.1f %8.1f %8.1f  %s\n", run->used.kind[i].name, user, sys,
                         user + sys, part_of(run->used.kind[i].name));
    }
    (void)printf("  %-16s %8s %8s %8.1f\n", "sum", "", "", total);
    if (run->log_syncs >= 0)
        (void)printf("  log syncs of the node asked: %" PRId64 ", %.2f operations each\n",
                     run->log_syncs,
                     run->log_syncs == 0 ? 0 : (double)run->ops / (double)run->log_syncs);
}
