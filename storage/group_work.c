#include "storage/group_int.h"

#include "base/check.h"
#include "base/clock.h"
#include "storage/store_int.h"

enum { APPLY_RETRY_NS = 100 * NS_PER_MS, GATHER_NS = 300 * NS_PER_US };

/* Proposing. */

static void take_batch(struct group *g, struct command_list *out)
{
    size_t bytes = 0;

    pthread_mutex_lock(&g->mu);
    while (g->queue.head != NULL && out->n < GROUP_BATCH_COMMANDS &&
           (out->n == 0 || bytes + g->queue.head->body.len <= GROUP_BATCH_BYTES)) {
        bytes += g->queue.head->body.len;
        command_push(out, command_pop(&g->queue));
    }
    metric_set(g->store->m.queue_length, (int64_t)g->queue.n);
    pthread_mutex_unlock(&g->mu);
}

static void propose_batch(struct group *g, struct command_list *batch)
{
    struct paxos_in in = {.kind = PAXOS_IN_PROPOSE};
    struct command *c;

    buf_reset(&g->payload);
    record_batch_begin(&g->payload, batch->n);
    for (c = batch->head; c != NULL; c = c->next)
        record_batch_add(&g->payload, c->body);
    metric_add(g->store->m.slots_proposed, 1);
    metric_add(g->store->m.commands_proposed, (int64_t)batch->n);
    in.payload = buf_bytes(&g->payload);
    group_step(g, &in);
    while ((c = command_pop(batch)) != NULL) {
        c->slot = g->view.last;
        command_push(&g->flight, c);
    }
    group_settle_role(g);
}

/* A slot costs three syncs and a dozen messages whatever it carries, and clients that were answered
 * together come back together: a slot waits a moment for about as many commands as slots lately had. A
 * lone client never waits. */
static bool worth_a_slot(struct group *g)
{
    size_t n, enough = (g->usual * 3 + 3) / 4;
    bool go;

    pthread_mutex_lock(&g->mu);
    n = g->queue.n;
    go = n > 0 && n >= enough;
    if (n > 0 && !go) {
        int64_t mono = store_mono(g->store);

        if (g->gather_mono == 0)
            g->gather_mono = mono + GATHER_NS;
        go = mono >= g->gather_mono;
    }
    g->call_at = go || n == 0 ? 1 : enough;
    pthread_mutex_unlock(&g->mu);
    if (go)
        g->usual = n > g->usual ? n : g->usual - (g->usual - n + 7) / 8;
    if (go || n == 0)
        g->gather_mono = 0;
    return go;
}

static void propose(struct group *g)
{
    g->gather_mono = g->up_term == 0 ? 0 : g->gather_mono;
    while (g->up_term != 0 && g->stage == GROUP_SERVING && g->view.room && worth_a_slot(g)) {
        struct command_list batch = {0};

        take_batch(g, &batch);
        propose_batch(g, &batch);
    }
}

/* Acknowledging. */

static void finish(struct group *g, struct command *c, int64_t mono)
{
    bool applied = tablet_applied(g->tablet) >= c->slot;

    metric_add(g->store->m.commands_done, 1);
    hist_add(g->store->m.commit_wait_ns, c->slot == g->wait_slot ? mono - g->wait_mono : 0);
    if (c->applied == NULL) {
        c->done(c, ST_OK);
        return;
    }
    if (!applied)
        command_push(&g->settled, c);
    c->done(c, ST_OK);
    if (applied)
        c->applied(c);
}

/* A command is done once its slot is chosen and a majority of clocks says that its time has passed; their
 * word is aged by our monotonic clock, less what that may be too fast. */
static void acknowledge(struct group *g)
{
    const struct group_view *v = &g->view;
    int64_t mono = store_mono(g->store), age = mono - v->agreed_mono;
    tstamp agreed = v->agreed + age - age / 4096;
    struct command *c, *first = g->flight.head;

    g->done_wake_mono = 0;
    while ((c = g->flight.head) != NULL &&
           (c->slot <= v->chosen || MUTATED(&g->store->o, done_before_chosen)) && v->agreed != 0) {
        int64_t left = c->ts - agreed;

        if (left >= 0 && !MUTATED(&g->store->o, done_before_agreed)) {
            if (g->wait_slot != c->slot) {
                g->wait_slot = c->slot;
                g->wait_mono = mono;
            }
            g->done_wake_mono = mono + left + left / 4000 + 1;
            break;
        }
        (void)command_pop(&g->flight);
        finish(g, c, mono);
    }
    if (c != first && g->up.acknowledged != NULL)
        g->up.acknowledged(g->up.arg);
}

/* Applying. */

/* Payloads of slots from..; those that Paxos no longer holds come from the log. */
static enum status gather(struct group *g, slot_no from, struct bytes **out, size_t *out_n,
                          struct err *err)
{
    size_t n = 0, bytes = 0;
    enum status st = ST_OK;
    struct bytes *payloads;

    arena_reset(&g->mem);
    payloads = arena_alloc(&g->mem, GROUP_APPLY_SLOTS * sizeof *payloads);
    while (from + n <= g->view.apply && n < GROUP_APPLY_SLOTS && bytes < GROUP_APPLY_BYTES) {
        struct bytes payload = paxos_payload(g->paxos, from + n);

        if (payload.ptr == NULL) {
            struct paxos_entry *entries;
            size_t n_read;

            TRY(plog_read(g->store->engine, g->number, from + n, from + n, 0, &g->mem, &entries,
                          &n_read, err));
            if (n_read != 1) {
                st = err_set(err, ST_FATAL, SQLSTATE_DATA_CORRUPTED,
                             "group %llu: slot %llu is chosen, but not in the log",
                             (unsigned long long)g->number, (unsigned long long)(from + n));
                goto out;
            }
            payload =
                entries[0].kind == PAXOS_ENTRY_COMMANDS ? entries[0].payload : bytes_of("", 0);
        }
        bytes += payload.len;
        payloads[n++] = payload;
    }
    *out = payloads;
    *out_n = n;
out:
    return st;
}

void group_tell_applied(struct group *g)
{
    struct tablet_stats now;
    const struct store_metrics *m = &g->store->m;
    slot_no applied = tablet_applied(g->tablet);

    tablet_stats(g->tablet, &now);
    metric_add(m->commands_applied, (int64_t)(now.commands - g->told.commands));
    metric_add(m->writes_applied, (int64_t)(now.writes - g->told.writes));
    metric_add(m->duplicates, (int64_t)(now.duplicates - g->told.duplicates));
    g->told = now;
    while (g->settled.head != NULL && g->settled.head->slot <= applied) {
        struct command *c = command_pop(&g->settled);

        c->applied(c);
    }
    if (g->up.applied != NULL)
        g->up.applied(g->up.arg, applied, tablet_applied_ts(g->tablet));
    group_lead_if_ready(g);
}

static void apply(struct group *g)
{
    slot_no from = tablet_applied(g->tablet) + 1;
    int64_t began;
    struct bytes *payloads = NULL;
    struct err err;
    enum status st;
    size_t n = 0;

    if (g->view.apply < from || group_install_state(g) >= GROUP_INSTALL_GRANTED) {
        g->apply_wake_mono = 0; /* or a wake that has passed keeps the worker spinning */
        return;
    }
    began = store_mono(g->store);
    if (g->apply_wake_mono > began)
        return;
    g->apply_wake_mono = 0;
    st = gather(g, from, &payloads, &n, &err);
    if (st == ST_OK)
        st = tablet_apply(g->tablet, from, payloads, n, &err);
    if (st == ST_OK) {
        store_set_full(g->store, STORE_FULL_APPLY, NULL);
        metric_add(g->store->m.slots_applied, (int64_t)n);
        metric_add(g->store->m.apply_ns, store_mono(g->store) - began);
        group_tell_applied(g);
    } else if (store_is_disk_full(st, &err)) {
        store_set_full(g->store, STORE_FULL_APPLY, &err);
        g->apply_wake_mono = began + APPLY_RETRY_NS;
    } else if (st != ST_RETRY) {
        store_fatal(g->store, &err);
    }
}

/* Entries for a laggard that are no longer in memory. */
static void load(struct group *g)
{
    struct paxos_in in = {.kind = PAXOS_IN_LOADED};
    struct paxos_entry *entries;
    enum status st;
    struct err err;
    size_t n;

    if (g->load.node == 0)
        return;
    arena_reset(&g->mem);
    st = plog_read(g->store->engine, g->number, g->load.from, g->load.to, PAXOS_MSG_ENTRIES_BYTES,
                   &g->mem, &entries, &n, &err);
    if (st != ST_OK) {
        store_fatal(g->store, &err);
        return;
    }
    in.loaded.load_for = g->load.node;
    in.loaded.entries = entries;
    in.loaded.n_entries = n;
    g->load.node = 0;
    group_step(g, &in);
    group_settle_role(g);
}

/* Paxos forgets first, and writes where the log begins now; once that is durable upkeep drops the rows. */
static void agree_to_drop(struct group *g)
{
    slot_no wanted = atomic_load(&g->drop_wanted);
    struct paxos_in in = {.kind = PAXOS_IN_TRUNCATE, .slot = wanted};

    if (wanted <= g->drop_asked)
        return;
    g->drop_asked = wanted;
    group_step(g, &in);
    group_settle_role(g);
}

static void report(struct group *g)
{
    const struct group_view *v = &g->view;

    pthread_mutex_lock(&g->mu);
    g->report.role = v->role;
    g->report.ballot = v->ballot;
    g->report.leader = v->leader;
    g->report.first = v->first;
    g->report.last = v->last;
    g->report.chosen = v->chosen;
    g->report.lease_end = v->lease_end;
    pthread_mutex_unlock(&g->mu);
}

static int64_t earlier(int64_t wake, int64_t other)
{
    return other != 0 && other < wake ? other : wake;
}

void group_output(struct group *g)
{
    group_answer(g);
    agree_to_drop(g);
    load(g);
    propose(g);
}

int64_t group_work(struct group *g)
{
    int64_t wake;

    acknowledge(g);
    group_settle_install(g);
    apply(g);
    acknowledge(g);
    group_hand_over(g);
    report(g);
    wake = earlier(g->view.wake_mono, g->done_wake_mono);
    if (g->view.room)
        wake = earlier(wake, g->gather_mono);
    return earlier(wake, g->apply_wake_mono);
}

bool group_is_busy(struct group *g)
{
    if (g->load.node != 0 || (g->done_wake_mono != 0 && g->done_wake_mono <= store_mono(g->store)))
        return true;
    return g->view.apply > tablet_applied(g->tablet) && g->apply_wake_mono == 0 &&
           group_install_state(g) < GROUP_INSTALL_GRANTED;
}
