/*
 * Phase 1: who may be promised, how a candidate asks, takes the best log, and wins; release.
 *
 * A candidate first asks (ASK) without writing anything: a voter that still supports the owner of the ballot
 * that it promised says no, so that a node that comes back does not force a healthy leader out. With a quorum of
 * yeses it promises itself, has that synced, and only then prepares.
 */
#include "base/check.h"
#include "storage/paxos/paxos_int.h"

enum { VOID_RETRY_NS = 100 * NS_PER_MS, UNSURE_RETRY_NS = 50 * NS_PER_MS };

/* A longer hint when to ask again is not believed. */
static const int64_t retry_max_ns = INT64_C(10) * NS_PER_S;

static bool same_ballot(struct ballot a, struct ballot b)
{
    return ballot_cmp(a, b) == 0;
}

bool px_own_lapsed(const struct paxos *p)
{
    return p->lease_max == 0 || tt_passed(p->now, p->lease_max) ||
           MUTATED(&p->o, promise_while_own_lease_stands);
}

bool px_free(const struct paxos *p)
{
    return p->hard.promised.node == 0 || same_ballot(p->hard.released, p->hard.promised);
}

void px_heard(struct paxos *p)
{
    p->heard_mono = p->mono;
    p->silence_ns = rng_between(&p->rng, p->o.election_min_ns, p->o.election_max_ns);
    p->eligible_mono = 0;
}

void px_heard_leader(struct paxos *p)
{
    px_heard(p);
    p->silence_ns += p->o.heartbeat_ns; /* the next one is not due before */
}

void px_promise(struct paxos *p, struct ballot b)
{
    ASSERT(ballot_cmp(b, p->hard.promised) > 0); /* P3 */
    if (b.node != p->hard.promised.node)
        p->bound_epoch = 0;
    px_begin_write(p);
    p->hard.promised = b;
    p->hard_seq = p->step_write;
    p->wrote_hard = true;
    p->to_release = false;
}

uint64_t px_bind(struct paxos *p)
{
    uint64_t epoch;

    if (!support_given(p->sup, p->hard.promised.node, p->now, &epoch))
        return 0;
    if (epoch > p->bound_epoch)
        p->bound_epoch = epoch;
    return epoch;
}

/* How long until this calendar time has surely passed, as far as can be told now. */
static int64_t until_passed(const struct paxos *p, tstamp t)
{
    if (tt_is_void(p->now) || t == TSTAMP_MAX)
        return VOID_RETRY_NS;
    return t < p->now.earliest ? 0 : t - p->now.earliest + 1;
}

/* Calendar time up to which this voter is bound to the owner of the ballot that it promised; 0: it is not. */
static tstamp bound_until(const struct paxos *p)
{
    tstamp quiet = support_quiet_until(p->sup);

    if (px_free(p))
        return 0;
    if (p->hard.promised.node != p->o.self)
        return support_lapses_at(p->sup, p->hard.promised.node, p->bound_epoch);
    return quiet > p->lease_max ? quiet : p->lease_max;
}

/* Nothing that was said under own ballots, of this run or an earlier one, can still be relied on. */
static bool own_past_over(struct paxos *p)
{
    return !tt_is_void(p->now) && px_own_lapsed(p) && !support_quiet(p->sup, p->now);
}

bool px_may_promise(struct paxos *p, struct ballot b, int64_t *out_retry_ns)
{
    struct ballot has = p->hard.promised;
    bool may;

    *out_retry_ns = 0;
    /* What a snapshot brought may be of a later ballot than the promise. */
    if (ballot_cmp(b, has) < 0 || ballot_cmp(b, plog_ballot(&p->log, p->log.last)) < 0)
        return false;
    if (b.node == has.node && b.node != p->o.self)
        return true; /* the same owner: it keeps its own leases apart */
    if (tt_is_void(p->now))
        return false;
    if (px_free(p))
        may = px_own_lapsed(p);
    else if (has.node == p->o.self)
        may = own_past_over(p);
    else
        may = px_own_lapsed(p) &&
              (support_lapsed(p->sup, has.node, p->bound_epoch, p->now, p->mono) ||
               MUTATED(&p->o, promise_while_support_stands));
    if (!may)
        *out_retry_ns = until_passed(p, bound_until(p));
    return may;
}

/* Says no; and tells the owner of the ballot that stands in the way, who may have given up long ago. */
void px_refuse(struct paxos *p, node_id to, struct ballot b, int64_t retry_ns)
{
    struct paxos_msg m = {
        .kind = PAXOS_REFUSE, .ballot = b, .promised = p->hard.promised, .retry_ns = retry_ns};
    struct ballot last = plog_ballot(&p->log, p->log.last);
    node_id owner = p->hard.promised.node;

    if (ballot_cmp(b, m.promised) >= 0 && ballot_cmp(b, last) < 0) {
        m.promised = last;
        px_send(p, to, m, 0);
        return;
    }
    px_send(p, to, m, 0);
    if (owner != p->o.self && owner != to && owner != 0 && !px_free(p))
        px_send(p, owner, m, 0);
}

void px_step_down(struct paxos *p, const char *why, int64_t backoff_ns)
{
    if (p->role == PAXOS_FOLLOWER)
        return;
    px_set_role(p, PAXOS_FOLLOWER, why);
    p->leader = 0;
    p->lease_end = 0;
    p->agreed = 0;
    p->lapsed_mono = 0;
    p->not_before_mono = p->mono + backoff_ns;
    if (p->load_kind == LOAD_ACCEPT)
        p->load_kind = LOAD_NONE;
    /* It will not be used again. Its voters learn that once nothing said under it can be relied on. */
    if (p->hard.promised.node == p->o.self && !px_free(p))
        p->to_release = true;
    p->raise = (struct ballot){0, 0};
    p->change.n = 0;
    p->handing = p->called = false;
    p->yield_to = 0;
    px_heard(p);
    px_drop_gone(p);
}

bool px_lingers(const struct paxos *p)
{
    return p->mono < p->linger_mono && p->hard.promised.node == p->o.self;
}

static void say_release(struct paxos *p)
{
    struct paxos_msg m = {.kind = PAXOS_RELEASE, .ballot = p->hard.promised, .target = p->hand_to};

    for (size_t i = 0; i < p->n_peers; i++)
        if (&p->peers[i] != p->self)
            px_send(p, p->peers[i].node, m, 0);
    p->released_mono = p->mono;
}

static void release_voters(struct paxos *p)
{
    struct ballot b = p->hard.promised;

    ASSERT(b.node == p->o.self && px_own_lapsed(p)); /* P10 */
    px_trace(p, "n%u releases %llu.%u", p->o.self, (unsigned long long)b.round, b.node);
    say_release(p);
    if (p->stopping) /* a lost word would cost the others a lease; and they can use this vote */
        p->linger_mono = p->mono + 2 * p->o.resend_ns;
    px_begin_write(p);
    p->hard.released = p->hard.promised;
    p->hard_seq = p->step_write;
    p->wrote_hard = true;
    p->to_release = false;
    p->hand_to = 0;
}

static void begin_phase(struct paxos *p, enum phase phase)
{
    p->phase = phase;
    p->phase_until_mono = p->mono + 2 * p->o.election_max_ns;
    for (size_t i = 0; i < p->n_peers; i++) {
        struct peer *peer = &p->peers[i];

        peer->willing = peer->refused = false;
        peer->retry_mono = 0;
        peer->sent_mono = p->mono - p->o.resend_ns;
    }
}

static void begin_ask(struct paxos *p)
{
    p->ballot = (struct ballot){p->max_round + 1, p->o.self};
    px_note_round(p, p->ballot);
    p->campaign = false;
    p->eligible_mono = 0;
    p->leader = 0;
    ASSERT(px_can_lead(p)); /* P13 */
    px_set_role(p, PAXOS_CANDIDATE, "asks");
    begin_phase(p, PHASE_ASK);
    for (size_t i = 0; i < p->n_peers; i++) {
        struct peer *peer = &p->peers[i];

        peer->epochs[0] = peer->epochs[1] = 0;
        peer->clock = CLOCK_UNKNOWN;
    }
    p->self->willing = true;
}

/* Silent, and bound to an owner that may be history, though its node lives and is supported: its word that it
 * released us may have been lost, and if it has no vote it will never ask us itself. */
static bool should_nudge(const struct paxos *p)
{
    node_id owner = p->hard.promised.node;

    return owner != 0 && owner != p->o.self && !px_free(p) && px_can_lead(p) && !p->stopping;
}

static void nudge(struct paxos *p)
{
    struct paxos_msg m = {.kind = PAXOS_REFUSE,
                          .ballot = {p->max_round + 1, p->o.self},
                          .promised = p->hard.promised};

    if (p->mono - p->nudged_mono < p->o.election_max_ns)
        return;
    p->nudged_mono = p->mono;
    px_send(p, p->hard.promised.node, m, 0);
}

void px_follow(struct paxos *p)
{
    int64_t retry_ns;
    bool silent = p->campaign || p->mono - p->heard_mono >= p->silence_ns;
    struct ballot next = {p->max_round + 1, p->o.self};
    bool eligible;

    if (p->to_release &&
        (own_past_over(p) || (MUTATED(&p->o, release_at_restart) && p->lease_max == 0)))
        release_voters(p);
    else if (p->stopping && px_lingers(p) && p->mono - p->released_mono >= p->o.resend_ns)
        say_release(p);
    eligible = !p->stopping && silent && px_can_lead(p) &&
               (p->campaign || p->mono >= p->not_before_mono) && px_may_promise(p, next, &retry_ns);
    if (!eligible && silent && should_nudge(p))
        nudge(p);
    if (!eligible)
        p->eligible_mono = 0;
    else if (p->eligible_mono == 0)
        p->eligible_mono =
            p->mono +
            (p->campaign
                 ? 0
                 : rng_between(&p->rng, 0, (p->o.election_max_ns - p->o.election_min_ns) / 2));
    p->campaign = false;
    if (eligible && p->mono >= p->eligible_mono)
        begin_ask(p);
    else
        p->called = false;
}

int64_t px_follow_wake(struct paxos *p)
{
    int64_t wake = p->heard_mono + p->silence_ns;
    int64_t bound;

    if (tt_is_void(p->now))
        return p->mono + VOID_RETRY_NS;
    if (p->eligible_mono != 0)
        return p->eligible_mono;
    bound = p->mono + until_passed(p, bound_until(p));
    if (p->to_release)
        return bound > p->mono ? bound : p->mono + UNSURE_RETRY_NS;
    if (wake < p->not_before_mono)
        wake = p->not_before_mono;
    if (wake < bound && !should_nudge(p))
        wake = bound;
    else if (wake < bound && wake < p->nudged_mono + p->o.election_max_ns)
        wake = p->nudged_mono + p->o.election_max_ns;
    if (!px_can_lead(p))
        wake = p->mono + NS_PER_S;
    if (p->stopping)
        wake = p->mono + (px_lingers(p) ? p->o.resend_ns : NS_PER_S);
    /* Due, and still not eligible: the clock does not let us; no reason to spin. */
    return wake > p->mono ? wake : p->mono + UNSURE_RETRY_NS;
}

bool px_quorum_willing(const struct paxos *p)
{
    int64_t willing[PEERS_MAX];

    for (size_t i = 0; i < p->n_peers; i++)
        willing[i] = p->peers[i].willing;
    return px_quorum(p, willing, MUTATED(&p->o, elect_with_minority)) != 0;
}

/* The refusals leave no quorum. */
static bool quorum_refused(const struct paxos *p)
{
    int64_t open[PEERS_MAX];

    for (size_t i = 0; i < p->n_peers; i++)
        open[i] = !p->peers[i].refused;
    return px_quorum(p, open, 0) == 0;
}

/* Own promise first (a second look: time has passed since the asking), synced before any PREPARE leaves. */
static void begin_prepare(struct paxos *p)
{
    int64_t retry_ns;

    if (!px_may_promise(p, p->ballot, &retry_ns)) {
        px_step_down(p, "bound meanwhile", retry_ns);
        return;
    }
    p->called = false;
    px_trace(p, "n%u prepares %llu.%u", p->o.self, (unsigned long long)p->ballot.round,
             p->ballot.node);
    px_promise(p, p->ballot);
    begin_phase(p, PHASE_PREPARE);
    p->phase_until_mono += 2 * p->o.election_max_ns; /* two syncs lie on its way */
}

static void send_fetch(struct paxos *p)
{
    px_send(p, p->fetch_from,
            (struct paxos_msg){.kind = PAXOS_FETCH,
                               .ballot = p->ballot,
                               .slot = p->fetch_next,
                               .prev_slot = p->fetch_next - 1,
                               .prev_ballot = plog_ballot(&p->log, p->fetch_next - 1),
                               .chosen = p->chosen},
            0);
    p->fetch_mono = p->mono;
}

/* The quorum is there. The log with the highest (last ballot, length) among it holds all that is chosen. */
static void take_best_log(struct paxos *p)
{
    struct peer *best = p->self;

    p->self->last = p->log.last;
    p->self->last_ballot = plog_ballot(&p->log, p->log.last);
    for (size_t i = 0; i < p->n_peers; i++) {
        struct peer *peer = &p->peers[i];
        int c = ballot_cmp(peer->last_ballot, best->last_ballot);

        if (MUTATED(&p->o, adopt_longest_log))
            c = 0;
        else if (MUTATED(&p->o, adopt_lowest_ballot))
            c = -c;

        if (peer->willing && (c > 0 || (c == 0 && peer->last > best->last)))
            best = peer;
    }
    if (best == p->self) {
        px_lead_begin(p);
        return;
    }
    p->phase = PHASE_FETCH;
    p->phase_until_mono = p->mono + 2 * p->o.election_max_ns;
    p->fetch_from = best->node;
    p->fetch_last = best->last;
    p->fetch_ballot = best->last_ballot;
    p->fetch_next = (p->log.last < best->last ? p->log.last : best->last) + 1;
    px_trace(p, "n%u fetches from n%u slots %llu..%llu", p->o.self, best->node,
             (unsigned long long)p->fetch_next, (unsigned long long)best->last);
    send_fetch(p);
}

/* The refusals leave no quorum: wait for as long as the first of the voters said. */
static void back_off(struct paxos *p)
{
    int64_t pause = retry_max_ns;

    for (size_t i = 0; i < p->n_peers; i++) {
        const struct peer *peer = &p->peers[i];

        if (peer->refused && peer->retry_mono - p->mono < pause)
            pause = peer->retry_mono - p->mono;
    }
    px_step_down(p, "refused", pause + rng_between(&p->rng, 0, p->o.election_min_ns));
}

static int64_t ask_at(const struct paxos *p, const struct peer *peer)
{
    return peer->retry_mono != 0 ? peer->retry_mono : peer->sent_mono + p->o.resend_ns;
}

static bool wants_answer(const struct paxos *p, const struct peer *peer)
{
    return peer != p->self && px_votes(peer) && !peer->willing && !peer->refused;
}

static void ask_voters(struct paxos *p)
{
    struct paxos_msg m = {.kind = p->phase == PHASE_ASK ? PAXOS_ASK : PAXOS_PREPARE,
                          .ballot = p->ballot,
                          .slot = p->log.last,
                          .last = plog_ballot(&p->log, p->log.last),
                          .promised = p->hard.released};
    uint64_t after = p->phase == PHASE_PREPARE && p->hard_seq > p->durable_seq ? p->hard_seq : 0;

    if (MUTATED(&p->o, prepare_before_own_sync))
        after = 0;
    if (after != 0 && p->hard_seq != p->step_write)
        return; /* they wait for the sync already */
    for (size_t i = 0; i < p->n_peers; i++) {
        struct peer *peer = &p->peers[i];

        if (wants_answer(p, peer) && p->mono >= ask_at(p, peer)) {
            peer->retry_mono = 0;
            peer->sent_mono = p->mono;
            px_send(p, peer->node, m, after);
        }
    }
}

void px_campaign(struct paxos *p)
{
    if (tt_is_void(p->now)) {
        px_step_down(p, "time is void", 0);
        return;
    }
    if (!px_can_lead(p)) { /* P13: the log that it took says so */
        px_step_down(p, "has no vote in the configuration it found", 4 * p->o.election_max_ns);
        return;
    }
    if (quorum_refused(p)) {
        back_off(p);
        return;
    }
    if (p->mono >= p->phase_until_mono) {
        px_step_down(p, "no quorum", rng_between(&p->rng, 0, p->o.election_max_ns));
        return;
    }
    if (p->phase == PHASE_ASK && (px_quorum_willing(p) || p->called))
        begin_prepare(p);
    if (p->role == PAXOS_CANDIDATE && p->phase == PHASE_PREPARE) {
        /* P5: own promise counts once synced */
        p->self->willing = p->hard_seq <= p->durable_seq || MUTATED(&p->o, prepare_before_own_sync);
        if (px_quorum_willing(p))
            take_best_log(p);
    }
    if (p->role != PAXOS_CANDIDATE)
        return;
    if (p->phase != PHASE_FETCH)
        ask_voters(p);
    else if (p->mono - p->fetch_mono >= p->o.resend_ns)
        send_fetch(p);
}

int64_t px_campaign_wake(const struct paxos *p)
{
    int64_t wake = p->phase_until_mono;

    if (p->phase == PHASE_FETCH && p->fetch_mono + p->o.resend_ns < wake)
        wake = p->fetch_mono + p->o.resend_ns;
    for (size_t i = 0; p->phase != PHASE_FETCH && i < p->n_peers; i++) {
        const struct peer *peer = &p->peers[i];

        /* While the own promise is being synced nothing is sent again; DURABLE will step us. */
        if (p->phase == PHASE_PREPARE && p->hard_seq > p->durable_seq)
            break;
        if (wants_answer(p, peer) && ask_at(p, peer) < wake)
            wake = ask_at(p, peer);
    }
    return wake;
}

/* Somebody else leads, or is about to, and was heard just now. */
static bool hears_leader(const struct paxos *p)
{
    return p->role == PAXOS_FOLLOWER && p->leader != 0 &&
           p->mono - p->heard_mono < p->o.election_min_ns;
}

void px_on_ask(struct paxos *p, const struct paxos_msg *m)
{
    int64_t retry_ns = 0;

    px_note_round(p, m->ballot);
    if (m->from != m->ballot.node)
        return;
    if (same_ballot(m->ballot, p->hard.promised) || px_contradicts(p, m->time) ||
        (hears_leader(p) && p->leader != m->from) || !px_may_promise(p, m->ballot, &retry_ns)) {
        px_refuse(p, m->from, m->ballot, retry_ns);
        return;
    }
    px_send(p, m->from, (struct paxos_msg){.kind = PAXOS_WILLING, .ballot = m->ballot}, 0);
}

void px_on_willing(struct paxos *p, struct peer *peer, const struct paxos_msg *m)
{
    if (p->role == PAXOS_CANDIDATE && p->phase == PHASE_ASK && same_ballot(m->ballot, p->ballot)) {
        peer->willing = true;
        peer->refused = false;
    }
}

/* Nothing said under the promised ballot can still be relied on. */
static void note_released(struct paxos *p)
{
    px_begin_write(p);
    p->hard.released = p->hard.promised;
    p->hard_seq = p->step_write;
    p->wrote_hard = true;
}

void px_on_prepare(struct paxos *p, const struct paxos_msg *m)
{
    int64_t retry_ns = 0;

    px_note_round(p, m->ballot);
    if (m->from != m->ballot.node)
        return;
    /* The owner's word may reach the next candidate first. */
    if (p->role == PAXOS_FOLLOWER && p->hard.promised.node != p->o.self && !px_free(p) &&
        (same_ballot(m->promised, p->hard.promised) ||
         (m->promised.round != 0 && MUTATED(&p->o, release_claimed_for_any_ballot))))
        note_released(p);
    if (px_contradicts(p, m->time) || !px_may_promise(p, m->ballot, &retry_ns)) {
        px_refuse(p, m->from, m->ballot, retry_ns);
        return;
    }
    if (!same_ballot(m->ballot, p->hard.promised)) {
        px_step_down(p, "promises another", 0);
        px_promise(p, m->ballot);
        px_trace(p, "n%u promises %llu.%u", p->o.self, (unsigned long long)m->ballot.round,
                 m->ballot.node);
        p->leader = 0;
    }
    px_heard(p);
    px_send(p, m->from,
            (struct paxos_msg){.kind = PAXOS_PROMISE,
                               .ballot = m->ballot,
                               .slot = p->log.last,
                               .last = plog_ballot(&p->log, p->log.last),
                               .chosen = p->chosen,
                               .epoch = px_bind(p)},
            px_after(p, p->log.last));
}

void px_on_promise(struct paxos *p, struct peer *peer, const struct paxos_msg *m)
{
    if (p->role == PAXOS_LEADER && px_raising(p) && same_ballot(m->ballot, p->raise)) {
        px_note_epoch(peer, m->epoch);
        px_raise_promised(p, peer, m);
        return;
    }
    if (p->role == PAXOS_FOLLOWER || !same_ballot(m->ballot, p->ballot) ||
        (p->role == PAXOS_CANDIDATE && p->phase == PHASE_ASK))
        return;
    px_note_epoch(peer, m->epoch);
    if (p->role != PAXOS_CANDIDATE || peer->willing || ballot_cmp(m->last, p->ballot) >= 0)
        return;
    peer->willing = true;
    peer->refused = false;
    peer->last = m->slot;
    peer->last_ballot = m->last;
}

/* A voter still holds one of our ballots against another node: let it go, if that ballot is history. */
static void on_nudge(struct paxos *p, const struct paxos_msg *m)
{
    bool in_use = (same_ballot(m->promised, p->ballot) || same_ballot(m->promised, p->raise)) &&
                  (px_leads(p) || (p->role == PAXOS_CANDIDATE && p->phase != PHASE_ASK));

    if (in_use || ballot_cmp(m->promised, p->hard.promised) > 0 || !own_past_over(p))
        return;
    px_send(p, m->from, (struct paxos_msg){.kind = PAXOS_RELEASE, .ballot = m->promised}, 0);
}

static void refused_by(struct paxos *p, struct peer *peer, int64_t retry_ns)
{
    if (retry_ns < 0 || retry_ns > retry_max_ns)
        retry_ns = retry_max_ns;
    if (retry_ns == 0)
        retry_ns = p->o.election_min_ns;
    peer->retry_mono = p->mono + retry_ns + ASK_PAUSE_NS;
    peer->refused = retry_ns > p->o.election_max_ns; /* else it is worth waiting for */
}

void px_on_refuse(struct paxos *p, struct peer *peer, const struct paxos_msg *m)
{
    px_note_round(p, m->promised);
    if (m->promised.node == p->o.self && m->ballot.node != p->o.self) {
        px_note_round(p, m->ballot);
        on_nudge(p, m);
        return;
    }
    if (peer == NULL || p->role == PAXOS_FOLLOWER ||
        (!same_ballot(m->ballot, p->ballot) &&
         !(px_raising(p) && same_ballot(m->ballot, p->raise))))
        return;
    if (p->role == PAXOS_LEADER && m->promised.node == p->o.self)
        return; /* an accept from before this leader raised its ballot */
    if (p->role == PAXOS_LEADER && ballot_cmp(m->promised, p->ballot) > 0 && px_lease_holds(p)) {
        px_raise(p);
        return;
    }
    if (ballot_cmp(m->promised, p->ballot) > 0 ||
        (p->role == PAXOS_CANDIDATE && p->phase == PHASE_ASK &&
         same_ballot(m->promised, p->ballot)))
        px_step_down(p, "outbid", rng_between(&p->rng, 0, p->o.election_min_ns));
    else if (p->role == PAXOS_CANDIDATE && p->phase == PHASE_FETCH && m->slot != 0)
        px_step_down(p, "its log is not to be had", 4 * p->o.election_max_ns);
    else if (p->role == PAXOS_CANDIDATE && !peer->willing)
        refused_by(p, peer, m->retry_ns);
}

void px_send_log(struct paxos *p, node_id to, const struct paxos_entry *entries, size_t n)
{
    slot_no prev = entries[0].slot - 1;

    px_send(p, to,
            (struct paxos_msg){.kind = PAXOS_LOG,
                               .ballot = p->hard.promised,
                               .slot = p->log.first,
                               .prev_slot = prev,
                               .prev_ballot = plog_ballot(&p->log, prev),
                               .chosen = p->chosen,
                               .entries = entries,
                               .n_entries = n},
            0);
}

void px_on_fetch(struct paxos *p, const struct paxos_msg *m)
{
    const struct paxos_entry *entries;
    slot_no from = m->slot;
    size_t n;

    if (m->from != m->ballot.node || !same_ballot(m->ballot, p->hard.promised) ||
        m->prev_slot + 1 != m->slot)
        return;
    if (from < p->log.first)
        from = p->log.first; /* good enough if it holds what was before; it will see */
    else if (from > p->log.last + 1 ||
             !same_ballot(plog_ballot(&p->log, m->prev_slot), m->prev_ballot))
        from = px_back(p, m->prev_slot, m->chosen) + 1;
    if (from < p->log.first || from > p->log.last) {
        px_send(p, m->from,
                (struct paxos_msg){.kind = PAXOS_REFUSE,
                                   .ballot = m->ballot,
                                   .promised = p->hard.promised,
                                   .slot = m->slot},
                0);
        return;
    }
    entries = px_entries(p, from, p->log.last, &n);
    if (n > 0)
        px_send_log(p, m->from, entries, n);
    else
        px_load(p, LOAD_LOG, m->from, from, p->log.last, m->ballot);
}

static bool log_wanted(const struct paxos *p, const struct paxos_msg *m)
{
    return p->role == PAXOS_CANDIDATE && p->phase == PHASE_FETCH && m->n_entries > 0 &&
           same_ballot(m->ballot, p->ballot) && m->from == p->fetch_from &&
           m->prev_slot + m->n_entries <= p->fetch_last && px_entries_ok(m, p->fetch_ballot);
}

/* The suffix of the best log; what differs in ours was never chosen, for the best log holds all that was. */
void px_on_log(struct paxos *p, const struct paxos_msg *m)
{
    const struct paxos_entry *entries = m->entries;
    size_t n = m->n_entries;
    slot_no end = m->prev_slot + n;

    if (!log_wanted(p, m))
        return;
    if (!plog_has(&p->log, m->prev_slot) ||
        !same_ballot(plog_ballot(&p->log, m->prev_slot), m->prev_ballot)) {
        if (m->prev_slot <= p->chosen || m->slot > p->fetch_next) {
            px_step_down(p,
                         m->prev_slot <= p->chosen ? "logs differ below chosen"
                                                   : "needs a snapshot first",
                         4 * p->o.election_max_ns);
            return;
        }
        p->fetch_next = px_back(p, m->prev_slot, p->chosen) + 1;
        send_fetch(p);
        return;
    }
    while (MUTATED(&p->o, adopt_slot_by_slot) && n > 0 && entries[0].slot <= p->log.last) {
        entries++;
        n--;
    }
    if (!px_adopt(p, entries, n)) {
        px_step_down(p, "logs differ below chosen", 4 * p->o.election_max_ns);
        return;
    }
    p->fetch_next = end + 1;
    p->phase_until_mono = p->mono + 2 * p->o.election_max_ns;
    if (end < p->fetch_last) {
        send_fetch(p);
        return;
    }
    ASSERT(p->log.last == end || MUTATED(&p->o, adopt_slot_by_slot)); /* P6 */
    if (MUTATED(&p->o, adopt_slot_by_slot) || MUTATED(&p->o, config_found_is_not_asked)) {
        px_lead_begin(p);
        return;
    }
    /* Is it enough? The log may have brought a later configuration: then its quorum is needed as well. */
    p->phase = PHASE_PREPARE;
}

void px_on_release(struct paxos *p, const struct paxos_msg *m)
{
    if (m->from != m->ballot.node || px_free(p) ||
        (MUTATED(&p->o, release_of_older_ballot_frees) ? m->ballot.node != p->hard.promised.node
                                                       : !same_ballot(m->ballot, p->hard.promised)))
        return;
    px_trace(p, "n%u is released from %llu.%u", p->o.self, (unsigned long long)m->ballot.round,
             m->ballot.node);
    note_released(p);
    p->leader = 0;
    p->not_before_mono = p->mono;
    if (m->target == p->o.self)
        p->campaign = p->called = px_can_lead(p);
    else if (m->target != 0)
        px_heard(p); /* it goes first */
    else
        p->heard_mono = p->mono - p->silence_ns; /* no need to wait for silence: nobody leads */
}
