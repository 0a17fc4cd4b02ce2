/*
 * Shrinks a failure: fewer faults, fewer nodes and clients, a plainer world, while the same check still fails.
 *
 * The faults of a seed come from chances of their own, so that one can be left out and the rest stay. All else (what the
 * network does to a packet, when a client asks) shifts with every change, and the failure may slip away by luck alone: each
 * smaller world is tried under a few salts of those chances.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "sim.h"

enum { SALTS = 12, FAULTS_MAX = 256 };

struct shrink {
    struct sim_options best;
    struct sim_result result;
    uint8_t on[FAULTS_MAX]; /* of best */
    size_t n_on;            /* length of on: behind it no fault happens */
    unsigned n_runs;
};

static size_t count_on(const uint8_t *on, size_t n)
{
    size_t k = 0;

    for (size_t i = 0; i < n; i++)
        k += on[i];
    return k;
}

/* Is the candidate, with these faults, a failure of the same kind? Then it is the best one. */
static bool try(struct shrink *s, struct sim_options o, const uint8_t *on, size_t n_on)
{
    uint64_t first = o.salt;

    for (uint64_t i = 0; i < SALTS; i++) {
        struct sim_result r = {0};

        o.salt = i == 0 ? first : i;
        o.faults_on = on;
        o.n_faults_on = n_on;
        s->n_runs++;
        if (sim_child(&o, &r) || r.check != s->result.check)
            continue;
        memmove(s->on, on, n_on);
        s->n_on = r.n_faults < n_on ? (size_t)r.n_faults : n_on;
        s->best = o;
        s->best.faults_on = s->on;
        s->best.n_faults_on = s->n_on;
        s->result = r;
        return true;
    }
    return false;
}

static void try_plainer(struct shrink *s)
{
    struct sim_options o = s->best;

    o.plain_network = true;
    (void)try(s, o, s->on, s->n_on);
    o = s->best;
    o.good_clocks = true;
    (void)try(s, o, s->on, s->n_on);
    o = s->best;
    o.n_nodes = 3;
    if (s->best.n_nodes != 3)
        (void)try(s, o, s->on, s->n_on);
    for (size_t n = 1; n < CLIENTS_MAX; n++) {
        o = s->best;
        o.n_clients = n;
        if ((s->best.n_clients == 0 || n < s->best.n_clients) && try(s, o, s->on, s->n_on))
            break;
    }
}

/* Leaves out the faults [from, from + n) of those that are on. False: it needs them. */
static bool try_without(struct shrink *s, size_t from, size_t n)
{
    uint8_t on[FAULTS_MAX];
    size_t seen = 0;

    memcpy(on, s->on, sizeof on);
    for (size_t i = 0; i < s->n_on; i++) {
        if (on[i] != 0 && seen >= from && seen < from + n)
            on[i] = 0;
        seen += s->on[i] != 0;
    }
    return try(s, s->best, on, s->n_on);
}

static void try_fewer_faults(struct shrink *s)
{
    for (size_t chunk = count_on(s->on, s->n_on); chunk > 0; chunk /= 2) {
        for (size_t from = 0; from < count_on(s->on, s->n_on);)
            if (!try_without(s, from, chunk))
                from += chunk;
    }
}

static void print_best(const struct shrink *s)
{
    const char *comma = "";

    printf("after %u runs: %s\n", s->n_runs, s->result.why);
    printf("replay: meridian-sim --seed %llu", (unsigned long long)s->best.seed);
    if (s->best.salt != 0)
        printf(" --salt %llu", (unsigned long long)s->best.salt);
    if (s->best.n_nodes != 0)
        printf(" --nodes %zu", s->best.n_nodes);
    if (s->best.n_clients != 0)
        printf(" --clients %zu", s->best.n_clients);
    if (s->best.plain_network)
        printf(" --plain-network");
    if (s->best.good_clocks)
        printf(" --good-clocks");
    if (s->best.mutant != MUTANT_NONE)
        printf(" --mutant %s", sim_mutant_name(s->best.mutant));
    printf(" --faults ");
    for (size_t i = 0; i < s->n_on; i++) {
        if (s->on[i] != 0) {
            printf("%s%zu", comma, i);
            comma = ",";
        }
    }
    printf("%s --trace\n", comma[0] == '\0' ? "none" : "");
}

int sim_minimize(const struct sim_options *o)
{
    struct shrink s = {.best = *o};

    if (sim_child(o, &s.result)) {
        printf("seed %llu does not fail\n", (unsigned long long)o->seed);
        return 2;
    }
    printf("seed %llu: %s\n", (unsigned long long)o->seed, s.result.why);
    s.n_on = s.result.n_faults < FAULTS_MAX ? (size_t)s.result.n_faults : FAULTS_MAX;
    memset(s.on, 1, s.n_on);
    if (o->faults_on != NULL)
        for (size_t i = 0; i < s.n_on; i++)
            s.on[i] = i < o->n_faults_on && o->faults_on[i] != 0;
    s.best.faults_on = s.on;
    s.best.n_faults_on = s.n_on;
    printf("%zu faults, %.1f simulated s\n", count_on(s.on, s.n_on), (double)s.result.sim_ns / 1e9);
    try_plainer(&s);
    try_fewer_faults(&s);
    try_plainer(&s);
    printf("%zu faults, %.1f simulated s, ", count_on(s.on, s.n_on), (double)s.result.sim_ns / 1e9);
    print_best(&s);
    return 0;
}
