/* The event queue, the clocks, and a run from its first event to its last check. */
#include "sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"

static const int64_t true_epoch = INT64_C(1000000000) * NS_PER_S;

static bool before(const struct event *a, const struct event *b)
{
    return a->at != b->at ? a->at < b->at : a->seq < b->seq;
}

static void heap_push(struct world *w, struct event e)
{
    size_t i;

    if (w->n_heap == w->cap_heap) {
        w->cap_heap = w->cap_heap == 0 ? 256 : w->cap_heap * 2;
        w->heap = xrealloc(w->heap, w->cap_heap * sizeof *w->heap);
    }
    for (i = w->n_heap++; i > 0 && before(&e, &w->heap[(i - 1) / 2]); i = (i - 1) / 2)
        w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = e;
}

static struct event heap_pop(struct world *w)
{
    struct event top = w->heap[0];
    struct event e = w->heap[--w->n_heap];
    size_t i = 0;

    for (;;) {
        size_t c = 2 * i + 1;

        if (c >= w->n_heap)
            break;
        if (c + 1 < w->n_heap && before(&w->heap[c + 1], &w->heap[c]))
            c++;
        if (!before(&w->heap[c], &e))
            break;
        w->heap[i] = w->heap[c];
        i = c;
    }
    w->heap[i] = e;
    return top;
}

void sim_event(struct world *w, int64_t at, enum event_kind kind, node_id node, uint64_t a,
               uint64_t b, void *ptr)
{
    struct event e = {.at = at < w->now ? w->now : at,
                      .seq = ++w->n_seq,
                      .kind = kind,
                      .node = node,
                      .life = node == 0 ? 0 : sim_node(w, node)->life,
                      .a = a,
                      .b = b,
                      .ptr = ptr};

    heap_push(w, e);
}

uint64_t sim_hash(uint64_t h, const void *ptr, size_t len)
{
    const uint8_t *b = ptr;

    for (size_t i = 0; i < len; i++)
        h = (h ^ b[i]) * UINT64_C(0x100000001b3);
    return h;
}

void sim_trace(struct world *w, const char *fmt, ...)
{
    char line[400];
    va_list ap;
    int n;

    n = snprintf(line, sizeof line, "%.6f ", (double)(w->now - true_epoch) / 1e9);
    va_start(ap, fmt);
    n += vsnprintf(line + n, sizeof line - (size_t)n, fmt, ap);
    va_end(ap);
    w->r.hash = sim_hash(w->r.hash, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
    if (w->o.trace)
        puts(line);
}

void sim_fail(struct world *w, const char *fmt, ...)
{
    va_list ap;

    if (w->r.failed)
        return;
    w->r.failed = true;
    w->r.check = fmt;
    va_start(ap, fmt);
    (void)vsnprintf(w->r.why, sizeof w->r.why, fmt, ap); /* a cut sentence is still one */
    va_end(ap);
    sim_trace(w, "FAILED: %s", w->r.why);
}

void *sim_grow_into(void *vecp, size_t *n, size_t *cap, size_t size)
{
    void **vec = vecp;

    if (*n == *cap) {
        *cap = *cap == 0 ? 16 : *cap * 2;
        *vec = xrealloc(*vec, *cap * size);
    }
    return (char *)*vec + size * (*n)++;
}

struct sim_node *sim_node(struct world *w, node_id id)
{
    return &w->nodes[id - 1];
}

static double clock_error(const struct world *w, const struct sim_clock *c)
{
    double e = c->error_ns + c->rate * (double)(w->now - c->since);
    double b = (double)c->bound_ns;

    return c->lies ? e : e > b ? b : e < -b ? -b : e;
}

struct tt_interval clock_now(const struct world *w, const struct sim_node *n)
{
    int64_t e = (int64_t)clock_error(w, &n->clock);

    if (w->now < n->clock.void_until)
        return TT_VOID;
    return (struct tt_interval){w->now + e - n->clock.bound_ns, w->now + e + n->clock.bound_ns};
}

int64_t clock_mono(const struct world *w, const struct sim_node *n)
{
    return n->clock.mono_base +
           (int64_t)((double)(w->now - n->clock.mono_since) * n->clock.mono_rate);
}

int64_t clock_true_of_mono(const struct sim_node *n, int64_t mono_ns)
{
    return n->clock.mono_since +
           (int64_t)((double)(mono_ns - n->clock.mono_base) / n->clock.mono_rate) + 1;
}

/* A new bound, a new error inside it, a new drift: as after a poll of the source. */
void clock_change(struct world *w, struct sim_node *n)
{
    struct sim_clock *c = &n->clock;

    c->bound_ns = rng_between(&w->rng, 20 * NS_PER_US, w->prof.bound_max_ns);
    c->error_ns = (double)c->bound_ns * (2 * rng_unit(&w->rng) - 1);
    c->rate = (2 * rng_unit(&w->rng) - 1) * 200e-6;
    c->since = w->now;
}

static void setup(struct world *w, const struct sim_options *opts)
{
    w->o = *opts;
    w->now = w->now_zero = true_epoch;
    w->r.hash = UINT64_C(0xcbf29ce484222325);
    arena_init(&w->mem, 0);
    rng_seed(&w->rng, opts->seed);
    fault_profile(w);
    w->n_nodes = opts->n_nodes != 0 ? opts->n_nodes : rng_chance(&w->rng, 0.4) ? 5 : 3;
    w->n_clients = 3 + rng_below(&w->rng, CLIENTS_MAX - 2);
    w->n_founders = w->n_nodes == NODES_MAX && rng_chance(&w->rng, 0.6) ? 3 : w->n_nodes;
    if (opts->n_clients != 0)
        w->n_clients = opts->n_clients;
    if (opts->salt != 0)
        rng_seed(&w->rng, opts->seed ^ opts->salt << 48);
    w->heal_at = w->now + 12LL * NS_PER_S;
    w->end_at = w->heal_at + 9LL * NS_PER_S;
    for (size_t i = 0; i < w->n_nodes; i++) {
        w->nodes[i].id = (node_id)(i + 1);
        node_init(w, &w->nodes[i]);
        sim_event(w, w->now + rng_between(&w->rng, 0, 100 * NS_PER_MS), EV_RESTART, w->nodes[i].id,
                  0, 0, NULL);
    }
    for (uint32_t c = 0; c < w->n_clients; c++)
        sim_event(w, w->now + rng_between(&w->rng, 0, 500 * NS_PER_MS), EV_CLIENT, 0, c, 0, NULL);
    sim_event(w, w->now + w->prof.fault_gap_ns, EV_FAULT, 0, 0, 0, NULL);
    sim_event(w, w->heal_at, EV_HEAL, 0, 0, 0, NULL);
}

static void run_event(struct world *w, const struct event *e)
{
    struct sim_node *n = e->node == 0 ? NULL : sim_node(w, e->node);

    if (n != NULL) {
        if (e->life != n->life && e->kind != EV_DELIVER)
            return;
        if (n->up && w->now < n->paused_until && e->kind != EV_RESTART) {
            struct event later = *e;

            later.at = n->paused_until;
            later.seq = ++w->n_seq;
            heap_push(w, later);
            return;
        }
        node_event(w, n, e);
    } else if (e->kind == EV_CLIENT) {
        client_event(w, (uint32_t)e->a, e->b);
    } else if (e->kind == EV_FAULT) {
        fault_event(w);
    } else if (e->kind == EV_LINK) {
        fault_link_heals(w, (node_id)e->a, (node_id)e->b);
    } else if (e->kind == EV_SPACE) {
        fault_disk_has_room(w, (node_id)e->a);
    } else if (e->kind == EV_HEAL) {
        fault_heal(w);
    }
}

static void hash_event(struct world *w, const struct event *e)
{
    const uint64_t words[] = {(uint64_t)e->at, e->kind, e->node, e->a, e->b};

    w->r.hash = sim_hash(w->r.hash, words, sizeof words);
}

void sim_run(const struct sim_options *opts, struct sim_result *out)
{
    struct world *w = xcalloc(1, sizeof *w);

    setup(w, opts);
    while (w->n_heap > 0 && !w->r.failed) {
        struct event e = heap_pop(w);

        if (e.at > w->end_at)
            break;
        w->now = e.at;
        w->r.n_events++;
        hash_event(w, &e);
        run_event(w, &e);
    }
    if (!w->r.failed)
        check_end(w);
    w->r.sim_ns = w->now - true_epoch;
    *out = w->r;
    for (size_t i = 0; i < w->n_nodes; i++)
        node_fini(&w->nodes[i]);
    arena_fini(&w->mem);
    free(w->heap);
    free(w->truth);
    free(w->leads);
    free(w->ops);
    free(w->refused);
    free(w->released);
    free(w);
}

static const char *const mutant_text[MUTANT_COUNT][2] = {
    [MUTANT_NONE] = {"none", "no bug"},
#define MUTANT(name, what) [MUTANT_##name] = {#name, what},
#include "storage/mutant.def"
#undef MUTANT
};

const char *sim_mutant_name(enum mutant m)
{
    return m < MUTANT_COUNT ? mutant_text[m][0] : NULL;
}

const char *sim_mutant_what(enum mutant m)
{
    return m < MUTANT_COUNT ? mutant_text[m][1] : NULL;
}
