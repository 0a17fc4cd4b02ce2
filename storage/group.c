#include "storage/group.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "storage/group_int.h"
#include "storage/store_int.h"

/* Life. */

static void paxos_line(void *arg, const char *line)
{
    struct group *g = arg;

    if (g->store->o.hand != NULL)
        g->store->o.hand->line(g->store->o.hand->arg, line);
    log_event(g->store->o.log, LOG_DEBUG, "paxos.trace", "group=%llu %s",
              (unsigned long long)g->number, line);
}

static struct paxos *make_paxos(struct group *g, const node_id *voters, size_t n_voters,
                                const struct plog_state *log, slot_no applied)
{
    const struct store_options *o = &g->store->o;
    struct paxos_options opts = {
        .group = g->number,
        .self = o->node,
        .voters = voters,
        .n_voters = n_voters,
        .seed = g->store->identity.incarnation * 0x9e3779b97f4a7c15u + o->node,
        /* Short: the lease holds elections back, and a new cluster should not wait for one. */
        .election_min_ns = o->lease_ns / 20,
        .election_max_ns = o->lease_ns * 3 / 20,
        /* Later than the renewals of support (worker.c), which take it along. */
        .heartbeat_ns = o->lease_ns / 2,
        .resend_ns = o->lease_ns / 20,
        .lease_cap_ns = o->lease_ns + o->bound_cap_ns,
        .cache_bytes = o->log_cache_bytes,
        .may_rest = true,
        .trace = paxos_line,
        .trace_arg = g,
    };
    struct paxos_start start = {
        .hard = log->hard,
        .first = log->first,
        .before = log->before,
        .entries = log->entries,
        .n_entries = log->n_entries,
        .applied = applied,
    };

    MUTANT_COPY(&opts, o);
    if (o->hand != NULL)
        opts.seed += o->hand->seed;
    return paxos_new(&opts, &start, store_mono(g->store));
}

/* A crash came after a snapshot was installed, and before the log knew. */
static bool is_ahead_of_log(struct group *g, const struct plog_state *log)
{
    struct tablet_base base = tablet_base(g->tablet);
    struct ballot there = log->before;

    if (base.slot == 0 || base.slot + 1 < log->first)
        return false;
    if (base.slot > log->last)
        return true;
    if (base.slot >= log->first)
        there = log->entries[base.slot - log->first].ballot;
    return ballot_cmp(there, base.ballot) != 0;
}

/* What is applied was durable in the log first: a log that ends before it was cut or lost. */
static enum status check_log(struct group *g, const struct plog_state *log, struct err *err)
{
    slot_no applied = tablet_applied(g->tablet);

    if (applied + 1 >= log->first && applied <= log->last)
        return ST_OK;
    return err_set(err, ST_FATAL, SQLSTATE_DATA_CORRUPTED,
                   "group %llu has applied slot %llu, but its log holds %llu to %llu",
                   (unsigned long long)g->number, (unsigned long long)applied,
                   (unsigned long long)log->first, (unsigned long long)log->last);
}

enum status group_open(struct store *s, struct worker *w, group_id number, const node_id *voters,
                       size_t n_voters, struct group **out, struct err *err)
{
    struct group *g = xcalloc(1, sizeof *g);
    struct plog_state log = {0};
    node_id founders[PAXOS_VOTERS_MAX];
    size_t n_founders;
    enum status st;
    bool ahead;

    g->number = number;
    g->store = s;
    g->worker = w;
    pthread_mutex_init(&g->mu, NULL);
    arena_init(&g->mem, 0);
    TRY(plog_voters(s->engine, number, voters, n_voters, founders, &n_founders, err));
    TRY(tablet_open(s->engine, number, &g->tablet, err));
#ifdef MRD_MUTANTS
    tablet_mutate(g->tablet, s->o.mutant);
#endif
    TRY(plog_load(s->engine, number, &log, err));
    g->view.apply =
        log.first - 1; /* what is dropped was applied, by whatever the tablet was then */
    ahead = is_ahead_of_log(g, &log);
    if (!tablet_usable(g->tablet)) {
        atomic_store(&g->install, GROUP_INSTALL_GRANTED);
    } else if (!ahead) {
        TRY(check_log(g, &log, err));
        g->view.apply = tablet_applied(g->tablet);
    }
    g->paxos = make_paxos(g, founders, n_founders, &log, g->view.apply);
    g->log_last = log.last;
    atomic_store(&g->last, log.last);
    atomic_store(&g->drop_agreed, log.first - 1);
    atomic_store(&g->bytes_logged, log.bytes);
    if (ahead)
        TRY(group_take_installed(g, err));
    log_event(s->o.log, LOG_INFO, "group.open",
              "group=%llu first=%llu last=%llu applied=%llu promised=%llu.%u",
              (unsigned long long)number, (unsigned long long)log.first,
              (unsigned long long)log.last, (unsigned long long)tablet_applied(g->tablet),
              (unsigned long long)log.hard.promised.round, log.hard.promised.node);
    *out = g;
    g = NULL;
out:
    plog_state_fini(&log);
    group_close(g);
    return st;
}

void group_close(struct group *g)
{
    if (g == NULL)
        return;
    paxos_free(g->paxos);
    tablet_close(g->tablet);
    free(g->held);
    buf_fini(&g->payload);
    arena_fini(&g->mem);
    pthread_mutex_destroy(&g->mu);
    free(g);
}

void group_set_upcalls(struct group *g, const struct group_upcalls *up)
{
    g->up = *up;
}

void group_stay_awake(struct group *g)
{
    paxos_stay_awake(g->paxos);
}

/* Any thread. */

enum status group_propose(struct group *g, struct command *c, struct err *err)
{
    bool wake = false;
    enum status st = ST_OK;

    if (c->body.len > GROUP_BODY_MAX)
        return err_set(err, ST_REJECT, SQLSTATE_PROGRAM_LIMIT_EXCEEDED,
                       "a command of %zu bytes exceeds the limit of %d", c->body.len,
                       GROUP_BODY_MAX);
    if (store_read_only(g->store))
        return err_set(err, ST_REJECT, SQLSTATE_DISK_FULL,
                       "node %u has no room on its disk and takes no writes", g->store->o.node);
    pthread_mutex_lock(&g->mu);
    if (c->term == 0 || c->term != g->open_term) {
        st = err_set(err, ST_RETRY, SQLSTATE_CANNOT_CONNECT_NOW,
                     "node %u no longer leads group %llu in term %llu", g->store->o.node,
                     (unsigned long long)g->number, (unsigned long long)c->term);
    } else if (g->queue.n >= GROUP_QUEUE_MAX) {
        st = err_set(err, ST_RETRY, SQLSTATE_CONFIGURATION_LIMIT_EXCEEDED,
                     "%d commands wait for group %llu already", GROUP_QUEUE_MAX,
                     (unsigned long long)g->number);
    } else {
        ASSERT(c->ts > g->queued_ts); /* M1 */
        g->queued_ts = c->ts;
        command_push(&g->queue, c);
        wake = g->queue.n == 1 || g->queue.n == g->call_at;
    }
    pthread_mutex_unlock(&g->mu);
    /* The first one wakes, and the one that fills a slot that is being gathered; nobody else needs to. */
    if (wake)
        worker_call(g->worker, g);
    return st;
}

tstamp group_lease_end(struct group *g, uint64_t term)
{
    tstamp end;

    if (term == 0 || atomic_load(&g->term) != term)
        return 0;
    if (atomic_load_explicit(&g->resting, memory_order_relaxed))
        worker_call(g->worker, g); /* its lease will hold again soon */
    end = atomic_load(&g->lease_end);
    /* Read again: the end may be the next term's. */
    return atomic_load(&g->term) == term ? end : 0;
}

uint64_t group_term(struct group *g)
{
    return atomic_load(&g->term);
}

node_id group_leader(struct group *g)
{
    return atomic_load(&g->leader);
}

struct tablet *group_tablet(struct group *g)
{
    return g->tablet;
}

tstamp group_horizon(struct group *g)
{
    return tablet_horizon(g->tablet);
}

group_id group_number(const struct group *g)
{
    return g->number;
}

void group_describe(struct group *g, struct group_report *out)
{
    pthread_mutex_lock(&g->mu);
    *out = g->report;
    pthread_mutex_unlock(&g->mu);
    out->group = g->number;
    out->applied = tablet_applied(g->tablet);
    out->applied_ts = tablet_applied_ts(g->tablet);
}

/* Leadership, on the worker. */

void group_lead_if_ready(struct group *g)
{
    tstamp floor = tablet_applied_ts(g->tablet);

    if (g->won_term == 0 || g->stage != GROUP_SERVING ||
        (tablet_applied(g->tablet) < g->won_slot && !MUTATED(&g->store->o, serve_before_recovered)))
        return;
    ASSERT(g->up_term == 0 && g->flight.head == NULL);
    g->up_term = g->won_term;
    g->won_term = 0;
    pthread_mutex_lock(&g->mu);
    ASSERT(g->queue.head == NULL);
    g->open_term = g->up_term;
    g->queued_ts = floor > g->view.lease_start ? floor : g->view.lease_start;
    pthread_mutex_unlock(&g->mu);
    atomic_store(&g->lease_end, g->view.lease_end);
    atomic_store(&g->term, g->up_term);
    log_event(g->store->o.log, LOG_INFO, "group.leading", "group=%llu term=%llu slot=%llu",
              (unsigned long long)g->number, (unsigned long long)g->up_term,
              (unsigned long long)g->won_slot);
    if (g->up.leading != NULL)
        g->up.leading(g->up.arg, g->up_term, g->view.lease_start, floor);
}

void group_shut_term(struct group *g)
{
    struct command_list queue;
    struct command *c;

    atomic_store(&g->term, 0);
    atomic_store(&g->lease_end, 0);
    pthread_mutex_lock(&g->mu);
    g->open_term = 0;
    queue = g->queue;
    g->queue = (struct command_list){0};
    pthread_mutex_unlock(&g->mu);
    while ((c = command_pop(&queue)) != NULL)
        c->done(c, ST_RETRY);
}

/* What waits in the queue is surely not chosen; of what is under way nobody knows. */
static void fail_all(struct group *g)
{
    struct command *c;

    group_shut_term(g);
    while ((c = command_pop(&g->flight)) != NULL)
        c->done(c, MUTATED(&g->store->o, lost_means_never) ? ST_RETRY : ST_UNKNOWN);
    g->done_wake_mono = 0;
    g->wait_slot = 0;
}

void group_tell_lost(struct group *g, const char *why)
{
    uint64_t term = g->up_term;

    g->up_term = 0;
    if (term == 0)
        return;
    log_event(g->store->o.log, LOG_INFO, "group.lost", "group=%llu term=%llu why=%s",
              (unsigned long long)g->number, (unsigned long long)term, why);
    if (g->up.lost != NULL)
        g->up.lost(g->up.arg, term);
}

void group_settle_role(struct group *g)
{
    if (g->lost) {
        g->lost = false;
        g->won_term = 0;
        fail_all(g);
        group_tell_lost(g, "leadership");
    }
    if (g->won) {
        g->won = false;
        g->won_term = g->view.ballot.round; /* no two leaderships of a node share a round */
        g->won_slot = g->view.chosen;
        group_lead_if_ready(g);
    }
}

/* Stopping. */

void group_abandon(struct group *g)
{
    group_refuse_asks(g);
    fail_all(g);
    group_tell_lost(g, "stop");
}

static void release(struct group *g, uint64_t term)
{
    struct paxos_in in = {.kind = PAXOS_IN_RELEASE};

    if (term != 0 && g->up.promised != NULL)
        in.used = g->up.promised(g->up.arg, term);
    g->stage = GROUP_RELEASING;
    group_step(g, &in);
    group_settle_role(g);
}

void group_retire(struct group *g)
{
    uint64_t term = g->up_term;

    if (g->stage <= GROUP_HANDING_OVER) {
        g->stage = GROUP_RETIRING;
        group_shut_term(g);
    }
    if (g->stage == GROUP_RETIRING && g->flight.head == NULL) {
        group_tell_lost(g, "stop");
        release(g, term);
    }
    if (g->stage == GROUP_RELEASING && g->view.released)
        g->stage = GROUP_GONE;
}

bool group_gone(const struct group *g)
{
    return g->stage == GROUP_GONE;
}
