/* members-sim: runs seeds, finds planted bugs, replays a failure. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/members/members.h"

struct args {
    uint64_t from, to;
    enum mutant mutant;
    bool trace, mutants;
};

struct result {
    bool failed;
    char why[256];
    uint64_t hash, slots, leads, changes, transfers, installs, confirms, crashes;
};

static const char *const names[] = {
#define MUTANT(name, what) #name,
#include "storage/mutant_members.def"
#undef MUTANT
};

static const char *mutant_name(enum mutant m)
{
    return names[m - MUTANT_COUNT - 1];
}

static void run_here(const struct args *a, uint64_t seed, struct result *r)
{
    struct world *w = calloc(1, sizeof *w);

    if (w == NULL)
        exit(2);
    w->seed = seed;
    w->mutant = a->mutant;
    w->trace = a->trace;
    world_run(w);
    *r = (struct result){.failed = w->failed,
                         .hash = w->hash,
                         .slots = w->chosen,
                         .leads = w->n_leads,
                         .changes = w->n_changes,
                         .transfers = w->n_transfers,
                         .installs = w->n_installs,
                         .confirms = w->n_confirms,
                         .crashes = w->n_crashes};
    memcpy(r->why, w->why, sizeof r->why);
    free(w);
}

/* In a child: an assertion of a core that fails is a finding like any other. */
static bool run_child(const struct args *a, uint64_t seed, struct result *r)
{
    int fd[2], status;
    pid_t pid;
    ssize_t got;

    if (pipe(fd) != 0 || (pid = fork()) < 0)
        exit(2);
    if (pid == 0) {
        close(fd[0]);
        run_here(a, seed, r);
        got = write(fd[1], r, sizeof *r);
        exit(got == (ssize_t)sizeof *r ? 0 : 2); /* not _exit: the leak checker has its say */
    }
    close(fd[1]);
    got = read(fd[0], r, sizeof *r);
    close(fd[0]);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (got == (ssize_t)sizeof *r)
        return !r->failed;
    *r = (struct result){.failed = true, .why = "the run was aborted by an assertion or a signal"};
    return false;
}

static int run_seeds(const struct args *a)
{
    struct result sum = {0};

    for (uint64_t seed = a->from; seed <= a->to; seed++) {
        struct result r = {0};

        if (!run_child(a, seed, &r)) {
            printf("seed %" PRIu64 " FAILED: %s\nreplay: members-sim --seed %" PRIu64 " --trace\n",
                   seed, r.why, seed);
            return 1;
        }
        sum.hash = sum.hash * 31 + r.hash;
        sum.slots += r.slots;
        sum.leads += r.leads;
        sum.changes += r.changes;
        sum.transfers += r.transfers;
        sum.installs += r.installs;
        sum.confirms += r.confirms;
        sum.crashes += r.crashes;
    }
    printf("%" PRIu64 " seeds ok: %" PRIu64 " slots, %" PRIu64 " leaderships, %" PRIu64
           " changes, %" PRIu64 " transfers, %" PRIu64 " snapshots, %" PRIu64
           " confirmations, %" PRIu64 " crashes; hash %016" PRIx64 "\n",
           a->to - a->from + 1, sum.slots, sum.leads, sum.changes, sum.transfers, sum.installs,
           sum.confirms, sum.crashes, sum.hash);
    return 0;
}

static int run_mutants(struct args *a)
{
    int survived = 0;

    for (enum mutant m = MUTANT_COUNT + 1; m < MUTANT_END; m++) {
        struct result r = {0};
        uint64_t seed = a->from;

        a->mutant = m;
        while (seed <= a->to && run_child(a, seed, &r))
            seed++;
        if (seed <= a->to)
            printf("%-32s found by seed %" PRIu64 ": %s\n", mutant_name(m), seed, r.why);
        else
            printf("%-32s SURVIVED\n", mutant_name(m));
        survived += seed > a->to;
    }
    return survived == 0 ? 0 : 1;
}

static bool parse_seeds(const char *s, struct args *a)
{
    char *end;

    a->from = a->to = strtoull(s, &end, 10);
    if (end != s && strncmp(end, "..", 2) == 0)
        a->to = strtoull(end + 2, &end, 10);
    return end != s && *end == '\0' && a->to >= a->from;
}

static bool parse_mutant(const char *s, struct args *a)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(s, names[i]) == 0) {
            a->mutant = (enum mutant)(MUTANT_COUNT + 1 + i);
            return true;
        }
    }
    return false;
}

int main(int argc, char **argv)
{
    struct args a = {.from = 1, .to = 1};

    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--trace") == 0) {
            a.trace = true;
        } else if (strcmp(argv[i], "--mutants") == 0) {
            a.mutants = true;
        } else if (i + 1 < argc && strncmp(argv[i], "--seed", 6) == 0) {
            if (!parse_seeds(argv[++i], &a))
                return 2;
        } else if (i + 1 < argc && strcmp(argv[i], "--mutant") == 0) {
            if (!parse_mutant(argv[++i], &a))
                return 2;
        } else {
            fputs("usage: members-sim [--seeds A..B] [--trace] [--mutant NAME] [--mutants]\n",
                  stderr);
            return 2;
        }
    }
    return a.mutants ? run_mutants(&a) : run_seeds(&a);
}
