#include "storage/paxos/paxos.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "storage/paxos/paxos_int.h"

enum {
    WAKE_MIN_NS = 100 * NS_PER_US, /* a timer is never nearer: no busy poll */
    LOAD_PATIENCE = 20 /* resend times after which an unanswered load is asked for again */
};

struct paxos *paxos_new(const struct paxos_options *opts, const struct paxos_start *start,
                        int64_t mono_ns)
{
    struct paxos *p = xcalloc(1, sizeof *p);

    ASSERT(opts->election_min_ns > 0 && opts->election_min_ns <= opts->election_max_ns);
    ASSERT(opts->heartbeat_ns > 0 && opts->resend_ns > 0);
    p->o = *opts;
    p->o.voters = NULL;
    rng_seed(&p->rng, opts->seed);
    arena_init(&p->mem, 0);
    plog_init(&p->log, start);
    ASSERT(start->applied + 1 >= p->log.first && start->applied <= p->log.last); /* P2 */
    px_config_init(p, opts, start);
    if (MUTATED(opts, forget_promise_over_restart)) {
        p->hard.promised = plog_ballot(&p->log, p->log.last);
        p->hard.released = (struct ballot){0, 0};
    }
    p->durable = p->log.last;
    p->chosen = start->applied;
    if (p->hard.config_slot > p->chosen && p->hard.config_slot <= p->log.last)
        p->chosen = p->hard.config_slot; /* it was written down because it was chosen */
    px_note_round(p, p->hard.promised);
    px_note_round(p, plog_ballot(&p->log, p->log.last));
    p->seen_promised = p->hard.promised;
    p->seen_chosen = p->chosen;
    p->mono = mono_ns;
    p->now = TT_VOID;
    /* Ballots of earlier runs are never used again, so their voters may be let go: when quiet is over. */
    p->to_release = p->hard.promised.node == opts->self && !px_free(p);
    px_heard(p);
    return p;
}

void paxos_free(struct paxos *p)
{
    if (p == NULL)
        return;
    plog_fini(&p->log);
    arena_fini(&p->mem);
    free(p->configs);
    free(p->peers);
    free(p->pending);
    free(p->send);
    free(p);
}

struct bytes paxos_payload(const struct paxos *p, slot_no slot)
{
    bool has = slot >= p->log.first && slot <= p->log.last;

    if (has && plog_kind(&p->log, slot) == PAXOS_ENTRY_CONFIG)
        return bytes_of("", 0);
    return plog_payload(&p->log, slot);
}

struct ballot paxos_ballot_of(const struct paxos *p, slot_no slot)
{
    return plog_ballot(&p->log, slot);
}

void px_trace(struct paxos *p, const char *fmt, ...)
{
    char line[256];
    va_list ap;

    if (p->o.trace == NULL)
        return;
    va_start(ap, fmt);
    (void)vsnprintf(line, sizeof line, fmt, ap); /* a cut line is good enough for a trace */
    va_end(ap);
    p->o.trace(p->o.trace_arg, line);
}

bool px_leads(const struct paxos *p)
{
    return p->role == PAXOS_RECOVERING || p->role == PAXOS_LEADER;
}

/* Allowed moves: row from, column to. */
static const bool role_moves[4][4] = {
    [PAXOS_FOLLOWER] = {[PAXOS_CANDIDATE] = true},
    [PAXOS_CANDIDATE] = {[PAXOS_FOLLOWER] = true, [PAXOS_RECOVERING] = true},
    [PAXOS_RECOVERING] = {[PAXOS_FOLLOWER] = true, [PAXOS_LEADER] = true},
    [PAXOS_LEADER] = {[PAXOS_FOLLOWER] = true},
};

void px_set_role(struct paxos *p, enum paxos_role role, const char *why)
{
    static const char *const names[] = {"follower", "candidate", "recovering", "leader"};

    ASSERT(role_moves[p->role][role]);
    px_trace(p, "n%u %s -> %s ballot=%llu.%u last=%llu chosen=%llu: %s", p->o.self, names[p->role],
             names[role], (unsigned long long)p->ballot.round, p->ballot.node,
             (unsigned long long)p->log.last, (unsigned long long)p->chosen, why);
    if (role == PAXOS_LEADER)
        p->won = true;
    if (p->role == PAXOS_LEADER)
        p->lost = true;
    p->role = role;
}

void px_begin_write(struct paxos *p)
{
    if (p->step_write == 0)
        p->step_write = ++p->write_seq;
}

void px_send(struct paxos *p, node_id to, struct paxos_msg m, uint64_t after_write)
{
    if (p->n_send == p->cap_send) {
        p->cap_send = p->cap_send == 0 ? 16 : p->cap_send * 2;
        p->send = xrealloc(p->send, p->cap_send * sizeof *p->send);
    }
    m.group = p->o.group;
    m.from = p->o.self;
    m.to = to;
    m.time = p->now;
    m.mono_ns = 0;
    p->send[p->n_send++] = (struct paxos_send){m, after_write};
}

void px_note_round(struct paxos *p, struct ballot b)
{
    if (b.round > p->max_round)
        p->max_round = b.round;
}

uint64_t px_after(const struct paxos *p, slot_no slot)
{
    if (MUTATED(&p->o, ack_before_sync))
        return 0;
    if (slot > p->durable)
        return p->write_seq; /* writes are in order: the last one covers all before it */
    return p->hard_seq > p->durable_seq ? p->hard_seq : 0;
}

static void on_durable(struct paxos *p, uint64_t seq)
{
    size_t done = 0;

    if (seq > p->write_seq)
        seq = p->write_seq;
    if (seq <= p->durable_seq)
        return;
    p->durable_seq = seq;
    while (done < p->n_pending && p->pending[done].seq <= seq) {
        p->durable = p->pending[done].last;
        done++;
    }
    p->n_pending -= done;
    memmove(p->pending, p->pending + done, p->n_pending * sizeof *p->pending);
}

static bool well_formed(const struct paxos *p, const struct paxos_msg *m)
{
    return m->group == p->o.group && m->to == p->o.self && m->from != p->o.self && m->from != 0 &&
           m->ballot.round != 0 && m->ballot.node != 0 && m->ballot.round < UINT64_MAX / 2 &&
           m->slot < UINT64_MAX / 2 && m->prev_slot < UINT64_MAX / 2 &&
           m->promised.round < UINT64_MAX / 2 && m->last.round < UINT64_MAX / 2;
}

/* Answers count only if the configuration in force knows who gives them. */
static void on_answer(struct paxos *p, struct peer *peer, const struct paxos_msg *m)
{
    if (m->kind == PAXOS_WILLING)
        px_on_willing(p, peer, m);
    else if (m->kind == PAXOS_PROMISE)
        px_on_promise(p, peer, m);
    else if (m->kind == PAXOS_ACK)
        px_on_ack(p, peer, m);
    else
        px_on_nack(p, peer, m);
}

/* Questions are answered whoever asks: this replica's configuration may be older than the asker's. */
static void on_message(struct paxos *p, const struct paxos_msg *m)
{
    struct peer *peer = px_peer(p, m->from);

    if (!well_formed(p, m))
        return;
    switch (m->kind) {
    case PAXOS_ASK:
        px_on_ask(p, m);
        break;
    case PAXOS_WILLING:
    case PAXOS_PROMISE:
    case PAXOS_ACK:
    case PAXOS_NACK:
        if (peer != NULL)
            on_answer(p, peer, m);
        break;
    case PAXOS_PREPARE:
        px_on_prepare(p, m);
        break;
    case PAXOS_REFUSE:
        px_on_refuse(p, peer, m);
        break;
    case PAXOS_FETCH:
        px_on_fetch(p, m);
        break;
    case PAXOS_LOG:
        px_on_log(p, m);
        break;
    case PAXOS_ACCEPT:
        px_on_accept(p, m);
        break;
    case PAXOS_RELEASE:
        px_on_release(p, m);
        break;
    case PAXOS_QUERY:
        px_on_query(p, m);
        break;
    case PAXOS_TELL:
        if (peer != NULL)
            px_on_tell(p, peer, m);
        break;
    }
}

/* The shell's answer to out.load: pass it on, if it is still what its asker needs. */
static void on_loaded(struct paxos *p, node_id node, const struct paxos_entry *entries, size_t n)
{
    enum load_for kind = p->load_kind;
    struct peer *peer = px_peer(p, node);
    struct paxos_entry *copy;

    if (kind == LOAD_NONE || node != p->load_node)
        return;
    p->load_kind = LOAD_NONE;
    if (n > PAXOS_MSG_ENTRIES_MAX)
        n = PAXOS_MSG_ENTRIES_MAX;
    if (n == 0 || entries[0].slot != p->load_from)
        return;
    copy = arena_alloc(&p->mem, n * sizeof *copy);
    for (size_t i = 0; i < n; i++) {
        /* The log may have been cut since it was asked for. */
        if (entries[i].slot != p->load_from + i || entries[i].slot > p->log.last ||
            entries[i].slot < p->log.first ||
            entries[i].kind != plog_kind(&p->log, entries[i].slot) ||
            ballot_cmp(entries[i].ballot, plog_ballot(&p->log, entries[i].slot)) != 0)
            return;
        copy[i] = entries[i];
        copy[i].payload = arena_copy(&p->mem, entries[i].payload);
    }
    if (kind == LOAD_LOG && ballot_cmp(p->load_ballot, p->hard.promised) == 0)
        px_send_log(p, node, copy, n);
    else if (kind == LOAD_ACCEPT && px_leads(p) && peer != NULL && peer->next == p->load_from)
        px_send_accept(p, peer, copy, n);
}

void px_load(struct paxos *p, enum load_for kind, node_id node, slot_no from, slot_no to,
             struct ballot ballot)
{
    if (p->load_kind != LOAD_NONE && p->mono - p->load_mono < LOAD_PATIENCE * p->o.resend_ns)
        return; /* one at a time; whoever needs it asks again */
    if (to - from >= PAXOS_MSG_ENTRIES_MAX)
        to = from + PAXOS_MSG_ENTRIES_MAX - 1;
    p->load_kind = kind;
    p->load_node = node;
    p->load_from = from;
    p->load_to = to;
    p->load_ballot = ballot;
    p->load_mono = p->mono;
    p->load_out = true;
}

static void on_release_wanted(struct paxos *p, tstamp used)
{
    if (p->stopping)
        return;
    p->stopping = true;
    p->stop_used = used;
    p->handing = false;
    p->hand_to = 0;
    if (p->role != PAXOS_LEADER && p->role != PAXOS_FOLLOWER)
        px_step_down(p, "stopping", 0);
}

static void begin_step(struct paxos *p, const struct paxos_in *in)
{
    arena_reset(&p->mem);
    p->now = in->now;
    if (in->mono_ns > p->mono)
        p->mono = in->mono_ns;
    p->ticked = in->kind == PAXOS_IN_TICK;
    p->rests = false;
    p->sup = in->support;
    ASSERT(!in->no_data || p->role == PAXOS_FOLLOWER);
    p->no_data = in->no_data;
    p->n_send = 0;
    p->step_write = 0;
    p->cut_from = 0;
    p->append_from = 0;
    p->verdict = PAXOS_NO_VERDICT;
    p->wrote_hard = p->won = p->lost = p->load_out = p->moved_head = false;
    plog_evict(&p->log, (p->chosen < p->durable ? p->chosen : p->durable) + 1, p->o.cache_bytes);
}

static void dispatch(struct paxos *p, const struct paxos_in *in)
{
    switch (in->kind) {
    case PAXOS_IN_TICK:
        break;
    case PAXOS_IN_MESSAGE:
        on_message(p, in->msg);
        break;
    case PAXOS_IN_PROPOSE:
        px_propose(p, in->payload);
        break;
    case PAXOS_IN_DURABLE:
        on_durable(p, in->durable_seq);
        break;
    case PAXOS_IN_LOADED:
        on_loaded(p, in->loaded.load_for, in->loaded.entries, in->loaded.n_entries);
        break;
    case PAXOS_IN_CAMPAIGN:
        p->campaign = true;
        break;
    case PAXOS_IN_RELEASE:
        on_release_wanted(p, in->used);
        break;
    case PAXOS_IN_TRUNCATE:
        px_truncate(p, in->slot);
        break;
    case PAXOS_IN_CHECKPOINTED:
        if (in->slot > p->checkpointed)
            p->checkpointed = in->slot;
        break;
    case PAXOS_IN_RECONFIGURE:
        px_on_reconfigure(p, in->config);
        break;
    case PAXOS_IN_TRANSFER:
        px_on_transfer(p, in);
        break;
    case PAXOS_IN_CONFIRM:
        px_on_confirm(p, in->confirm);
        break;
    case PAXOS_IN_INSTALLED:
        px_on_installed(p, in);
        break;
    }
}

static int64_t wake_at(struct paxos *p)
{
    int64_t wake = p->mono;

    if (p->rests)
        return INT64_MAX;
    switch (p->role) {
    case PAXOS_FOLLOWER:
        wake = px_follow_wake(p);
        break;
    case PAXOS_CANDIDATE:
        wake = px_campaign_wake(p);
        break;
    case PAXOS_RECOVERING:
    case PAXOS_LEADER:
        wake = px_lead_wake(p);
        break;
    }
    wake = px_confirm_wake(p, wake);
    return wake < p->mono + WAKE_MIN_NS ? p->mono + WAKE_MIN_NS : wake;
}

static void finish_write(struct paxos *p, struct paxos_out *out)
{
    struct paxos_entry *append;

    out->write_seq = p->step_write;
    if (p->step_write == 0)
        return;
    out->hard = p->wrote_hard ? &p->hard : NULL;
    out->cut_from = p->cut_from;
    out->head = p->moved_head ? &p->head : NULL;
    if (p->append_from != 0 && p->append_from <= p->log.last) {
        out->n_append = (size_t)(p->log.last - p->append_from + 1);
        append = arena_alloc(&p->mem, out->n_append * sizeof *append);
        for (size_t i = 0; i < out->n_append; i++) {
            slot_no slot = p->append_from + i;

            append[i] = (struct paxos_entry){slot, plog_ballot(&p->log, slot),
                                             plog_kind(&p->log, slot), plog_payload(&p->log, slot)};
        }
        out->append = append;
    }
    if (p->n_pending == p->cap_pending) {
        p->cap_pending = p->cap_pending == 0 ? 16 : p->cap_pending * 2;
        p->pending = xrealloc(p->pending, p->cap_pending * sizeof *p->pending);
    }
    p->pending[p->n_pending++] = (struct pending_write){p->step_write, p->log.last};
}

static slot_no least(slot_no a, slot_no b)
{
    return a < b ? a : b;
}

static void list_snapshots(struct paxos *p, struct paxos_out *out)
{
    node_id *nodes = NULL;

    for (size_t i = 0; px_leads(p) && i < p->n_peers; i++) {
        if (!p->peers[i].wants_snapshot || p->peers[i].left != 0)
            continue;
        if (nodes == NULL)
            nodes = arena_alloc(&p->mem, p->n_peers * sizeof *nodes);
        nodes[out->n_snapshot++] = p->peers[i].node;
    }
    out->snapshot = nodes;
}

static void finish_step(struct paxos *p, struct paxos_out *out)
{
    bool leads = p->role == PAXOS_LEADER;

    *out = (struct paxos_out){.send = p->send, .n_send = p->n_send};
    px_config_chosen(p);
    finish_write(p, out);
    list_snapshots(p, out);
    out->chosen = p->chosen;
    out->apply =
        p->chosen < p->durable || MUTATED(&p->o, apply_before_durable) ? p->chosen : p->durable;
    out->apply = least(out->apply, px_config_apply_limit(p));
    out->first = p->log.first;
    out->kept_all = p->kept_all;
    out->verdict = p->verdict;
    out->config = px_config(p);
    out->config_slot = px_config_slot(p);
    out->removed = p->hard.config.n > 0 && paxos_config_find(&p->hard.config, p->o.self) == NULL &&
                   paxos_config_find(px_config(p), p->o.self) == NULL;
    out->yield_to = leads ? p->yield_to : 0;
    out->confirmed.number = p->confirmed;
    out->confirmed.chosen = p->confirmed_chosen;
    out->confirmed.bound = p->confirmed_bound;
    out->everywhere = p->everywhere;
    if (p->load_out) {
        out->load.node = p->load_node;
        out->load.from = p->load_from;
        out->load.to = p->load_to;
    }
    out->role = p->role;
    out->ballot = p->hard.promised;
    out->leader = p->leader;
    out->room = px_room(p);
    out->last = p->log.last;
    out->lease_start = leads ? p->lease_start : 0;
    out->lease_end = leads ? p->lease_end : 0;
    out->agreed = leads ? p->agreed : 0;
    out->won = p->won;
    out->lost = p->lost;
    out->released = p->stopping && p->role == PAXOS_FOLLOWER && !p->to_release && !px_lingers(p);
    if (p->role == PAXOS_FOLLOWER)
        p->rests = px_follower_rests(p);
    out->rests = p->rests;
    out->wake_mono_ns = wake_at(p);
}

void paxos_stay_awake(struct paxos *p)
{
    p->o.may_rest = false;
}

void paxos_trim(struct paxos *p)
{
    arena_fini(&p->mem);
    free(p->send);
    p->send = NULL;
    p->cap_send = 0;
    if (p->n_pending == 0) {
        free(p->pending);
        p->pending = NULL;
        p->cap_pending = 0;
    }
}

void paxos_step(struct paxos *p, const struct paxos_in *in, struct paxos_out *out)
{
    begin_step(p, in);
    dispatch(p, in);
    if (p->role == PAXOS_FOLLOWER)
        px_follow(p);
    if (p->role == PAXOS_CANDIDATE)
        px_campaign(p);
    if (px_leads(p))
        px_lead(p);
    px_confirm_step(p);
    finish_step(p, out);
    px_check(p, out);
}
