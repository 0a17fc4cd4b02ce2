/* meridian-sim: runs seeds, finds planted bugs, replays a failure. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "exhaust.h"
#include "sim.h"

struct args {
    uint64_t from, to;
    struct sim_options o;
    bool until_failure, mutants, exhaust, minimize;
    uint8_t faults[256]; /* those that happen */
    uint64_t cut;        /* of the depth of an exhaustive search */
};

static void usage(void)
{
    fputs(
        "usage: meridian-sim [--seed N | --seeds A..B] [--nodes 3|5] [--trace] [--mutant NAME]\n"
        "                    [--until-failure] [--mutants]\n"
        "       meridian-sim --exhaust [--cut DEPTH] [--mutant NAME]\n"
        "       meridian-sim --minimize --seed N [--nodes 3|5] [--mutant NAME]\n"
        "       meridian-sim --seed N [--salt N] [--clients N] [--plain-network] [--good-clocks]\n"
        "                    [--faults N,N,...]: as --minimize printed them\n"
        "  --until-failure  go on from the first seed until one fails\n"
        "  --mutants        find every deliberate bug within the seeds, or in a small world; fails "
        "if one survives\n",
        stderr);
}

static void print_replay(FILE *f, const struct sim_options *o, uint64_t seed)
{
    fprintf(f, "replay: meridian-sim --seed %" PRIu64, seed);
    if (o->n_nodes != 0)
        fprintf(f, " --nodes %zu", o->n_nodes);
    if (o->mutant != MUTANT_NONE)
        fprintf(f, " --mutant %s", sim_mutant_name(o->mutant));
    fputs(" --trace\n", f);
}

static double seconds(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* CPU time of the children, who do the work: what a machine that has other work does not change. */
static double cpu_seconds(void)
{
    struct rusage u;

    getrusage(RUSAGE_CHILDREN, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* One seed is one history. */
static bool run_again(const struct sim_options *o, const struct sim_result *first)
{
    struct sim_options quiet = *o;
    struct sim_result r = {0};

    quiet.trace = false;
    if (sim_child(&quiet, &r) && r.hash == first->hash)
        return true;
    printf("seed %" PRIu64 " FAILED: the second run differs, %016" PRIx64 " and %016" PRIx64 "\n",
           o->seed, first->hash, r.hash);
    return false;
}

static int run_seeds(const struct args *a)
{
    double begun = seconds();
    struct sim_result sum = {0};
    uint64_t n = 0;

    for (uint64_t seed = a->from; seed <= a->to || a->until_failure; seed++) {
        struct sim_options o = a->o;
        struct sim_result r = {0};

        o.seed = seed;
        if (!sim_child(&o, &r)) {
            printf("seed %" PRIu64 " FAILED: %s\n", seed, r.why);
            print_replay(stdout, &a->o, seed);
            return 1;
        }
        if (a->from == a->to && !run_again(&o, &r))
            return 1;
        if (a->from == a->to)
            printf("seed %" PRIu64 " ok: trace hash %016" PRIx64 "\n", seed, r.hash);
        n++;
        sum.hash = sum.hash * 31 + r.hash;
        sum.sim_ns += r.sim_ns;
        sum.n_events += r.n_events;
        sum.n_writes += r.n_writes;
        sum.n_reads += r.n_reads;
        sum.n_leaders += r.n_leaders;
        sum.n_crashes += r.n_crashes;
    }
    printf("%" PRIu64 " seeds ok in %.1f s, %.1f s of CPU (%.0f simulated s per CPU s): %" PRIu64
           " events, %" PRIu64 " writes, %" PRIu64 " reads, %" PRIu64 " leaderships, %" PRIu64
           " crashes; hash %016" PRIx64 "\n",
           n, seconds() - begun, cpu_seconds(), (double)sum.sim_ns / 1e9 / cpu_seconds(),
           sum.n_events, sum.n_writes, sum.n_reads, sum.n_leaders, sum.n_crashes, sum.hash);
    return 0;
}

static bool find_mutant(const struct args *a, enum mutant m)
{
    for (uint64_t seed = a->from; seed <= a->to; seed++) {
        struct sim_options o = a->o;
        struct sim_result r = {0};

        o.seed = seed;
        o.mutant = m;
        if (sim_child(&o, &r))
            continue;
        printf("%-34s found by seed %" PRIu64 " (%" PRIu64 " tried): %s\n", sim_mutant_name(m),
               seed, seed - a->from + 1, r.why);
        return true;
    }
    return false;
}

static int run_mutants(const struct args *a)
{
    uint64_t survived = 0;
    unsigned steps;
    char why[200];

    for (enum mutant m = MUTANT_NONE + 1; m < MUTANT_COUNT; m++) {
        if (find_mutant(a, m))
            continue;
        if (exhaust_finds(2, m, why, sizeof why, &steps)) {
            printf("%-34s found in a small world, after %u actions: %s\n", sim_mutant_name(m),
                   steps, why);
            continue;
        }
        printf("%-34s SURVIVED seeds %" PRIu64 "..%" PRIu64 "\n", sim_mutant_name(m), a->from,
               a->to);
        survived++;
    }
    return survived == 0 ? 0 : 1;
}

static bool parse_seeds(const char *s, struct args *a)
{
    char *end;

    a->from = strtoull(s, &end, 10);
    if (end == s)
        return false;
    a->to = a->from;
    if (strncmp(end, "..", 2) == 0) {
        s = end + 2;
        a->to = strtoull(s, &end, 10);
        if (end == s)
            return false;
    }
    return *end == '\0' && a->to >= a->from;
}

static bool parse_mutant(const char *name, struct args *a)
{
    for (enum mutant m = MUTANT_NONE; m < MUTANT_COUNT; m++) {
        if (strcmp(name, sim_mutant_name(m)) == 0) {
            a->o.mutant = m;
            return true;
        }
    }
    return false;
}

/* Faults by number, with commas between; "none". */
static bool parse_faults(const char *s, struct args *a)
{
    char *end;

    a->o.faults_on = a->faults;
    while (strcmp(s, "none") != 0) {
        uint64_t i = strtoull(s, &end, 10);

        if (end == s || i >= sizeof a->faults)
            return false;
        a->faults[i] = 1;
        if (i >= a->o.n_faults_on)
            a->o.n_faults_on = (size_t)i + 1;
        if (*end != ',')
            return *end == '\0';
        s = end + 1;
    }
    return true;
}

/* What makes a world other than its seed would; --minimize prints these. */
static bool parse_world(const char *arg, const char *value, struct args *a, int *i)
{
    if (strcmp(arg, "--plain-network") == 0) {
        a->o.plain_network = true;
        return true;
    }
    if (strcmp(arg, "--good-clocks") == 0) {
        a->o.good_clocks = true;
        return true;
    }
    if (value == NULL)
        return false;
    (*i)++;
    if (strcmp(arg, "--salt") == 0) {
        a->o.salt = strtoull(value, NULL, 10);
        return true;
    }
    if (strcmp(arg, "--clients") == 0) {
        a->o.n_clients = (size_t)strtoull(value, NULL, 10);
        return a->o.n_clients <= CLIENTS_MAX;
    }
    if (strcmp(arg, "--faults") == 0)
        return parse_faults(value, a);
    (*i)--;
    return false;
}

static bool parse(int argc, char **argv, struct args *a)
{
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;

        if (parse_world(arg, value, a, &i)) {
            continue;
        } else if (strcmp(arg, "--trace") == 0) {
            a->o.trace = true;
        } else if (strcmp(arg, "--until-failure") == 0) {
            a->until_failure = true;
        } else if (strcmp(arg, "--minimize") == 0) {
            a->minimize = true;
        } else if (strcmp(arg, "--exhaust") == 0) {
            a->exhaust = true;
        } else if (strcmp(arg, "--mutants") == 0) {
            a->mutants = true;
        } else if (value == NULL) {
            return false;
        } else if (strcmp(arg, "--seed") == 0 || strcmp(arg, "--seeds") == 0) {
            i++;
            if (!parse_seeds(value, a))
                return false;
        } else if (strcmp(arg, "--nodes") == 0) {
            i++;
            if (strcmp(value, "3") != 0 && strcmp(value, "5") != 0)
                return false;
            a->o.n_nodes = value[0] == '3' ? 3 : 5;
        } else if (strcmp(arg, "--cut") == 0) {
            i++;
            a->cut = strtoull(value, NULL, 10);
        } else if (strcmp(arg, "--mutant") == 0) {
            i++;
            if (!parse_mutant(value, a))
                return false;
        } else {
            return false;
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    struct args a = {.from = 1, .to = 1};

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!parse(argc, argv, &a)) {
        usage();
        return 2;
    }
    if (a.minimize) {
        a.o.seed = a.from;
        return sim_minimize(&a.o);
    }
    if (a.exhaust)
        return exhaust_run((unsigned)a.cut, a.o.mutant);
    return a.mutants ? run_mutants(&a) : run_seeds(&a);
}
