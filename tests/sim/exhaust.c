/*
 * The search: depth first, each state once for the largest depth that was left when it was met.
 *
 * It runs in a child, so that a failed assertion of a core is a finding: the path stands in shared memory.
 */
#include "tests/sim/exhaust.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"

enum { ACTIONS_MAX = 2 * XPACKETS + 4 * XNODES + 8, DEPTH_BITS = 6 };

/* What the child tells its parent. */
struct shared {
    struct xaction path[XDEPTH_MAX];
    volatile unsigned depth;
    char why[200];
    uint64_t n_states, n_steps;
    bool done, failed;
};

/* States that were met: fingerprint with the depth that was left in its lowest bits; 0 is an empty place. */
struct visited {
    uint64_t *t;
    size_t n, cap;
};

struct search {
    struct visited seen;
    struct shared *sh;
};

struct config {
    enum xscene scene;
    unsigned depth;
    struct xbudget budget;
};

static const struct config configs[] = {
    /* A leader that holds an entry which nobody else has heard of, and candidates beside it. The first is closed: there
     * are no more states, however deep. */
    {XSCENE_DIVERGED, 60, {.campaigns = 1}},
    {XSCENE_DIVERGED, 13, {.campaigns = 2}},
    {XSCENE_DIVERGED, 12, {.campaigns = 2, .crashes = 1}},
    {XSCENE_DIVERGED, 10, {.campaigns = 2, .duplicates = 1}},
    /* Nobody has led. */
    {XSCENE_COLD, 60, {.campaigns = 1}},
    {XSCENE_COLD, 18, {.campaigns = 2}},
    {XSCENE_COLD, 10, {.campaigns = 2, .crashes = 1, .ticks = 1}},
    /* A leader in its lease, until that is over. */
    {XSCENE_LED, 13, {.campaigns = 1, .values = 1, .lapses = 1}},
    {XSCENE_LED, 11, {.campaigns = 1, .values = 1, .lapses = 1, .renewals = 1}},
    {XSCENE_LED, 9, {.campaigns = 1, .lapses = 1, .renewals = 2}},
    {XSCENE_LED, 10, {.campaigns = 1, .lapses = 1, .renewals = 2, .crashes = 1}},
    {XSCENE_LED, 12, {.campaigns = 1, .values = 1, .lapses = 1, .crashes = 1}},
};

static uint64_t *place(struct visited *v, uint64_t f)
{
    size_t i = (size_t)(f >> DEPTH_BITS) & (v->cap - 1);

    while (v->t[i] != 0 && v->t[i] >> DEPTH_BITS != f >> DEPTH_BITS)
        i = (i + 1) & (v->cap - 1);
    return &v->t[i];
}

static void grow(struct visited *v)
{
    struct visited big = {.cap = v->cap == 0 ? 1 << 16 : v->cap * 2, .n = v->n};

    big.t = xcalloc(big.cap, sizeof *big.t);
    for (size_t i = 0; i < v->cap; i++)
        if (v->t[i] != 0)
            *place(&big, v->t[i]) = v->t[i];
    free(v->t);
    *v = big;
}

/* True if it was not yet met with so much depth left. */
static bool visit(struct visited *v, uint64_t f, unsigned left)
{
    uint64_t *at;

    if (2 * v->n >= v->cap)
        grow(v);
    f |= UINT64_C(1) << 63; /* never an empty place */
    at = place(v, f);
    if (*at == 0)
        v->n++;
    else if ((*at & ((1u << DEPTH_BITS) - 1)) >= left)
        return false;
    *at = (f >> DEPTH_BITS << DEPTH_BITS) | left;
    return true;
}

static bool search(struct search *s, const struct xworld *w, unsigned left)
{
    struct xaction actions[ACTIONS_MAX];
    size_t n = xworld_actions(w, actions, ACTIONS_MAX);

    for (size_t i = 0; i < n; i++) {
        struct xworld next;
        bool good = true;

        xworld_copy(&next, w);
        s->sh->path[s->sh->depth++] = actions[i];
        xworld_act(&next, actions[i]);
        s->sh->n_steps++;
        if (next.why[0] != '\0') {
            memcpy(s->sh->why, next.why, sizeof s->sh->why);
            good = false;
        } else if (visit(&s->seen, xworld_fingerprint(&next), left - 1) && left > 1) {
            good = search(s, &next, left - 1);
        }
        xworld_drop(&next);
        if (!good)
            return false;
        s->sh->depth--;
    }
    return true;
}

static void run_child(const struct config *c, unsigned depth, enum mutant mutant, struct shared *sh)
{
    struct search s = {.sh = sh};
    struct xworld w;

    xworld_begin(&w, c->scene, c->budget, mutant);
    (void)visit(&s.seen, xworld_fingerprint(&w), depth);
    sh->failed = w.why[0] != '\0' || !search(&s, &w, depth);
    sh->n_states = s.seen.n;
    sh->done = true;
    xworld_drop(&w);
    free(s.seen.t);
}

static void print_path(const struct config *c, enum mutant mutant, const struct shared *sh)
{
    struct xworld w;
    char line[200];

    xworld_begin(&w, c->scene, c->budget, mutant);
    for (unsigned i = 0; i < sh->depth; i++) {
        xaction_describe(&w, sh->path[i], line, sizeof line);
        printf("  %2u %s\n", i + 1, line);
        if (i + 1 < sh->depth)
            xworld_act(&w, sh->path[i]); /* the last one may be fatal */
    }
    xworld_drop(&w);
}

/* True if all held. */
static bool run_config(const struct config *c, unsigned depth, enum mutant mutant,
                       struct shared *sh)
{
    int status = 0;
    pid_t pid;

    memset(sh, 0, sizeof *sh);
    fflush(stdout);
    pid = fork();
    ASSERT(pid >= 0);
    if (pid == 0) {
        run_child(c, depth, mutant, sh);
        exit(0);
    }
    ASSERT(waitpid(pid, &status, 0) == pid);
    if (!sh->done)
        snprintf(sh->why, sizeof sh->why, "the search was aborted by an assertion or a signal (%d)",
                 WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    return sh->done && !sh->failed;
}

static unsigned depth_of(const struct config *c, unsigned cut)
{
    return c->depth > cut ? c->depth - cut : 1;
}

static struct shared *share(void)
{
    struct shared *sh =
        mmap(NULL, sizeof *sh, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    ASSERT(sh != MAP_FAILED);
    return sh;
}

bool exhaust_finds(unsigned depth_cut, enum mutant mutant, char *out_why, size_t len,
                   unsigned *out_steps)
{
    struct shared *sh = share();
    bool found = false;

    for (size_t i = 0; !found && i < sizeof configs / sizeof configs[0]; i++)
        found = !run_config(&configs[i], depth_of(&configs[i], depth_cut), mutant, sh);
    snprintf(out_why, len, "%s", sh->why);
    *out_steps = sh->depth;
    munmap(sh, sizeof *sh);
    return found;
}

static void print_config(const struct config *c, unsigned depth, const struct shared *sh, double s)
{
    printf("%-9s depth %2u, campaigns %u values %u crashes %u lapses %u renewals %u ticks %u "
           "duplicates %u: %llu states, %llu steps, %.1f s%s%s\n",
           xscene_name(c->scene), depth, c->budget.campaigns, c->budget.values, c->budget.crashes,
           c->budget.lapses, c->budget.renewals, c->budget.ticks, c->budget.duplicates,
           (unsigned long long)sh->n_states, (unsigned long long)sh->n_steps, s,
           sh->done && !sh->failed ? "" : " FAILED: ", sh->why);
}

int exhaust_run(unsigned depth_cut, enum mutant mutant)
{
    struct shared *sh = share();
    uint64_t n_states = 0;
    bool good = true;

    for (size_t i = 0; good && i < sizeof configs / sizeof configs[0]; i++) {
        const struct config *c = &configs[i];
        int64_t began = mono_now();

        good = run_config(c, depth_of(c, depth_cut), mutant, sh);
        print_config(c, depth_of(c, depth_cut), sh, (double)(mono_now() - began) / 1e9);
        n_states += sh->n_states;
        if (!good)
            print_path(c, mutant, sh);
    }
    printf("%llu states%s\n", (unsigned long long)n_states, good ? ", all holds in each" : "");
    munmap(sh, sizeof *sh);
    return good == (mutant == MUTANT_NONE) ? 0 : 1;
}
