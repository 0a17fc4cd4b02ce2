#include "storage/clocks.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "storage/store_int.h"

struct row {
    node_id node;
    bool known;
    int64_t mono; /* when the report came */
    struct tt_clock_report report;
};

struct clocks {
    struct store *store;        /* borrowed */
    struct tt_suspect *suspect; /* owned; the worker's, as the rest but for the rows */
    int64_t wake_mono;
    bool changed;
    node_id due[TT_SUSPECT_PEERS_MAX];
    size_t n_due;
    size_t n_rows;      /* constant */
    pthread_mutex_t mu; /* lock 8, a leaf: the next three */
    struct row rows[TT_SUSPECT_PEERS_MAX];
    struct tt_pair pairs[TT_SUSPECT_PEERS_MAX]; /* of the own report */
    size_t n_pairs;
};

struct clocks *clocks_new(struct store *s, const node_id *peers, size_t n_peers)
{
    struct clocks *c = xcalloc(1, sizeof *c);
    int64_t mono = store_mono(s);

    c->store = s;
    c->suspect = tt_suspect_new(&(struct tt_suspect_options){.self = s->o.node,
                                                             .incarnation = s->identity.incarnation,
                                                             .peers = peers,
                                                             .n_peers = n_peers},
                                mono);
    c->wake_mono = mono;
    pthread_mutex_init(&c->mu, NULL);
    for (size_t i = 0; i < n_peers; i++)
        c->rows[c->n_rows++].node = peers[i];
    return c;
}

void clocks_free(struct clocks *c)
{
    if (c == NULL)
        return;
    tt_suspect_free(c->suspect);
    pthread_mutex_destroy(&c->mu);
    free(c);
}

/* What the source says of itself. A store that is stepped by hand has no source. */
static void describe_source(const struct store *s, struct tt_report *out)
{
    if (s->o.hand == NULL)
        tt_describe(s->o.tt, out);
    else
        *out = (struct tt_report){
            .source = "by hand", .bound_ns = -1, .distrusted = atomic_load(&s->distrusted)};
}

static void tell_metrics(struct clocks *c)
{
    struct tt_report r;

    describe_source(c->store, &r);
    metric_set(c->store->m.clock_bound_ns, r.bound_ns);
    metric_set(c->store->m.clock_age_ns, r.age_ns);
    metric_set(c->store->m.clock_distrusted, r.distrusted);
}

/* W8: from here on every reader of this node's time finds it void, or finds it again. */
static void change(struct clocks *c, const struct tt_suspect_out *out)
{
    struct store *s = c->store;

    atomic_store(&s->distrusted, out->distrusted);
    if (s->o.hand == NULL)
        tt_distrust(s->o.tt, out->distrusted ? out->why : NULL);
    c->changed = true;
    if (out->distrusted)
        log_event(s->o.log, LOG_WARN, "clock.distrusted", "node=%u why=\"%s\"", s->o.node,
                  out->why);
    else
        log_event(s->o.log, LOG_INFO, "clock.trusted", "node=%u", s->o.node);
}

static void step(struct clocks *c, struct tt_suspect_in *in)
{
    struct tt_suspect_out out;

    in->now = store_now_unjudged(c->store, &in->mono_ns);
    tt_suspect_step(c->suspect, in, &out);
    c->wake_mono = out.wake_mono_ns;
    for (size_t i = 0; i < out.n_send && c->n_due < TT_SUSPECT_PEERS_MAX; i++)
        c->due[c->n_due++] = out.send[i];
    if (out.contradicts_new)
        log_event(c->store->o.log, LOG_WARN, "clock.contradiction", "node=%u peer=%u",
                  c->store->o.node, in->from);
    if (out.changed)
        change(c, &out);
    pthread_mutex_lock(&c->mu);
    c->n_pairs = tt_suspect_pairs(c->suspect, in->mono_ns, c->pairs);
    pthread_mutex_unlock(&c->mu);
}

static bool is_ahead(struct tt_interval theirs, struct tt_interval at)
{
    return !tt_is_void(theirs) && !tt_is_void(at) && theirs.earliest > at.latest;
}

void clocks_heard(struct clocks *c, node_id from, struct tt_interval theirs, struct tt_interval at,
                  int64_t arrived_mono_ns)
{
    struct tt_suspect_in in = {.kind = TT_SUSPECT_HEARD,
                               .from = from,
                               .theirs = theirs,
                               .at = at,
                               .arrived_mono_ns = arrived_mono_ns};

    if (!is_ahead(theirs, at))
        return; /* nothing else is learnt from it */
    metric_add(c->store->m.clock_contradictions, 1);
    step(c, &in);
}

bool clocks_on_report(struct clocks *c, node_id from, struct tt_interval at,
                      int64_t arrived_mono_ns, struct rd *item)
{
    struct tt_clock_report r;
    struct tt_suspect_in in = {.kind = TT_SUSPECT_REPORT,
                               .from = from,
                               .at = at,
                               .arrived_mono_ns = arrived_mono_ns,
                               .report = &r};

    if (!tt_clock_report_decode(item, &r) || rd_left(item) != 0)
        return false;
    if (is_ahead(r.now, at))
        metric_add(c->store->m.clock_contradictions, 1);
    step(c, &in);
    pthread_mutex_lock(&c->mu);
    for (size_t i = 0; i < c->n_rows; i++)
        if (c->rows[i].node == from)
            c->rows[i] =
                (struct row){.node = from, .known = true, .mono = arrived_mono_ns, .report = r};
    pthread_mutex_unlock(&c->mu);
    return true;
}

void clocks_tick(struct clocks *c)
{
    struct tt_suspect_in in = {.kind = TT_SUSPECT_TICK};

    if (store_mono(c->store) < c->wake_mono)
        return;
    step(c, &in);
    tell_metrics(c);
}

node_id clocks_next_due(struct clocks *c)
{
    return c->n_due > 0 ? c->due[--c->n_due] : 0;
}

static void fill_report(const struct store *s, struct tt_clock_report *r)
{
    struct tt_report source;

    describe_source(s, &source);
    r->distrusted = source.distrusted;
    r->bound_ns = source.bound_ns;
    r->age_ns = source.age_ns;
    (void)snprintf(r->source, sizeof r->source, "%s", source.source);
    (void)snprintf(r->why, sizeof r->why, "%.*s", (int)sizeof r->why - 1, source.why);
}

void clocks_put_report(struct clocks *c, node_id to, struct buf *out)
{
    struct tt_clock_report r;
    int64_t mono;
    struct tt_interval now = store_now_unjudged(c->store, &mono);

    tt_suspect_compose(c->suspect, to, now, mono, &r);
    fill_report(c->store, &r);
    tt_clock_report_encode(out, &r);
}

bool clocks_changed(struct clocks *c)
{
    bool changed = c->changed;

    c->changed = false;
    return changed;
}

int64_t clocks_wake_mono(const struct clocks *c)
{
    return c->wake_mono;
}

size_t clocks_describe(struct clocks *c, struct store_clock *out, size_t max)
{
    size_t n = 0;
    int64_t mono;
    struct tt_interval now = store_now_unjudged(c->store, &mono);

    if (max == 0)
        return 0;
    out[n] = (struct store_clock){.node = c->store->o.node, .report = {.now = now}};
    fill_report(c->store, &out[n].report);
    pthread_mutex_lock(&c->mu);
    out[n].report.n_pairs = c->n_pairs;
    memcpy(out[n].report.pairs, c->pairs, c->n_pairs * sizeof c->pairs[0]);
    n++;
    for (size_t i = 0; i < c->n_rows && n < max; i++, n++)
        out[n] = (struct store_clock){
            .node = c->rows[i].node,
            .heard_ns = c->rows[i].known ? mono - c->rows[i].mono : -1,
            .report = c->rows[i].report,
        };
    pthread_mutex_unlock(&c->mu);
    return n;
}
