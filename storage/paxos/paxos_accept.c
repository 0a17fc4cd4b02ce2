/*
 * Phase 2: accepts and their answers, what is chosen, and catching up voters that lag.
 *
 * An accept names its predecessor. A voter whose log differs there says so (NACK), and the leader goes back; a voter
 * that does not answer gets heartbeats only, until it does.
 */
#include "base/check.h"
#include "storage/paxos/paxos_int.h"

enum {
    FLIGHT_BYTES = 8 * 1024 * 1024,
    GIVEUP_ELECTIONS = 4
}; /* election times without progress after which a recovering leader gives up */

static bool same_ballot(struct ballot a, struct ballot b)
{
    return ballot_cmp(a, b) == 0;
}

static void append_entry(struct paxos *p, struct ballot ballot, enum paxos_entry_kind kind,
                         struct bytes payload)
{
    px_begin_write(p);
    plog_append(&p->log, ballot, kind, payload);
    if (p->append_from == 0)
        p->append_from = p->log.last;
    if (kind == PAXOS_ENTRY_CONFIG)
        px_config_push(p, p->log.last, payload);
}

static void cut_log(struct paxos *p, slot_no from)
{
    ASSERT(from > p->chosen); /* P4 */
    px_begin_write(p);
    px_config_cut(p, from);
    plog_cut(&p->log, from);
    if (p->cut_from == 0 || from < p->cut_from)
        p->cut_from = from;
    if (p->append_from >= from)
        p->append_from = 0;
    if (p->durable >= from)
        p->durable = from - 1;
    for (size_t i = 0; i < p->n_pending; i++)
        if (p->pending[i].last >= from)
            p->pending[i].last = from - 1;
}

static bool good_config(struct bytes payload)
{
    struct rd r = rd_of(payload);
    struct paxos_config c;

    return paxos_config_decode(&r, &c) && rd_left(&r) == 0 && c.n > 0;
}

bool px_entries_ok(const struct paxos_msg *m, struct ballot max)
{
    struct ballot before = m->prev_ballot;

    for (size_t i = 0; i < m->n_entries; i++) {
        const struct paxos_entry *e = &m->entries[i];

        if (e->slot != m->prev_slot + 1 + i || ballot_cmp(e->ballot, before) < 0 ||
            ballot_cmp(e->ballot, max) > 0 || (e->payload.ptr == NULL && e->payload.len > 0) ||
            (e->kind == PAXOS_ENTRY_CONFIG && !good_config(e->payload)))
            return false;
        before = e->ballot;
    }
    return ballot_cmp(m->prev_ballot, max) <= 0;
}

bool px_adopt(struct paxos *p, const struct paxos_entry *entries, size_t n)
{
    size_t i = 0;

    /* What is equal stays; an entry below the window was chosen, and is equal. */
    while (i < n && entries[i].slot <= p->log.last &&
           (entries[i].slot < p->log.first ||
            same_ballot(entries[i].ballot, plog_ballot(&p->log, entries[i].slot))))
        i++;
    if (i == n)
        return true;
    if (entries[i].slot <= p->chosen) {
        px_trace(p, "n%u conflict below chosen at slot %llu", p->o.self,
                 (unsigned long long)entries[i].slot);
        return false;
    }
    if (entries[i].slot <= p->log.last) {
        px_trace(p, "n%u cuts %llu..%llu", p->o.self, (unsigned long long)entries[i].slot,
                 (unsigned long long)p->log.last);
        cut_log(p, entries[i].slot);
    }
    ASSERT(entries[i].slot == p->log.last + 1); /* P1 */
    for (; i < n; i++)
        append_entry(p, entries[i].ballot, entries[i].kind, entries[i].payload);
    return true;
}

const struct paxos_entry *px_entries(struct paxos *p, slot_no from, slot_no to, size_t *out_n)
{
    struct paxos_entry *entries;
    size_t n = 0, max, bytes = 0;

    ASSERT(from >= p->log.first && to <= p->log.last && from <= to);
    max = to - from + 1 < PAXOS_MSG_ENTRIES_MAX ? (size_t)(to - from + 1) : PAXOS_MSG_ENTRIES_MAX;
    *out_n = 0;
    if (plog_payload(&p->log, from).ptr == NULL)
        return NULL;
    entries = arena_alloc(&p->mem, max * sizeof *entries);
    while (n < max && (n == 0 || bytes < PAXOS_MSG_ENTRIES_BYTES)) {
        struct bytes payload = plog_payload(&p->log, from + n);

        if (payload.ptr == NULL)
            break;
        entries[n] = (struct paxos_entry){from + n, plog_ballot(&p->log, from + n),
                                          plog_kind(&p->log, from + n), payload};
        bytes += payload.len;
        n++;
    }
    *out_n = n;
    return entries;
}

void px_append_config(struct paxos *p, const struct paxos_config *c)
{
    struct buf b = {0};

    paxos_config_encode(&b, c);
    append_entry(p, p->ballot, PAXOS_ENTRY_CONFIG, buf_bytes(&b));
    buf_fini(&b);
}

void px_lead_entry(struct paxos *p)
{
    append_entry(p, p->ballot, PAXOS_ENTRY_COMMANDS, bytes_of(NULL, 0));
    p->own_first = p->log.last;
}

void px_lead_peer(struct paxos *p, struct peer *peer, slot_no last)
{
    /* A voter's last entry, if we hold the same one, vouches for all before it. */
    if (peer->willing && peer->last < last)
        last = same_ballot(plog_ballot(&p->log, peer->last), peer->last_ballot) ? peer->last
                                                                                : p->chosen;
    peer->match = 0;
    peer->knows = peer->told_everywhere = 0;
    peer->next = last + 1;
    peer->n_flight = 0;
    peer->probing = false;
    peer->wants_snapshot = false;
    peer->nacked = 0;
    peer->sent_mono = p->mono;
    peer->heard_mono = p->mono;
    peer->clock = CLOCK_UNKNOWN;
    peer->earliest = 0;
    peer->told = 0;
}

void px_lead_begin(struct paxos *p)
{
    slot_no last = p->log.last;

    px_set_role(p, PAXOS_RECOVERING, "won phase 1");
    p->leader = p->o.self;
    p->lapsed_mono = 0;
    p->giveup_mono = p->mono + GIVEUP_ELECTIONS * p->o.election_max_ns;
    p->raise = (struct ballot){0, 0};
    px_lead_entry(p);
    p->lead_first = p->own_first;
    p->change.n = 0;
    p->told_before = 0; /* whoever led before is surely over once this leader has a lease */
    p->handing = false;
    p->hand_to = p->yield_to = 0;
    for (size_t i = 0; i < p->n_peers; i++)
        px_lead_peer(p, &p->peers[i], last);
}

bool px_room(const struct paxos *p)
{
    return p->role == PAXOS_LEADER && !p->stopping && !p->handing && !px_raising(p) &&
           !px_change_waits(p) && px_lease_holds(p) &&
           p->log.last - p->chosen < PAXOS_IN_FLIGHT_MAX;
}

void px_propose(struct paxos *p, struct bytes payload)
{
    /* The lease may have run out since out.room was said: whoever assigned the timestamps checked them
     * against lease_end, so the entry itself does no harm. */
    ASSERT(p->role == PAXOS_LEADER && !p->stopping && !p->handing && !px_raising(p));
    ASSERT(p->log.last - p->chosen < PAXOS_IN_FLIGHT_MAX); /* P8 */
    append_entry(p, p->ballot, PAXOS_ENTRY_COMMANDS, payload);
}

void px_send_accept(struct paxos *p, struct peer *peer, const struct paxos_entry *entries, size_t n)
{
    slot_no prev = peer->next - 1;

    if (prev + 1 < p->log.first)
        prev = p->log.first - 1; /* it lags behind the stored log: at least it hears that we live */
    ASSERT(n == 0 || entries[0].slot == prev + 1);
    px_send(p, peer->node,
            (struct paxos_msg){.kind = PAXOS_ACCEPT,
                               .ballot = p->ballot,
                               .slot = p->everywhere,
                               .prev_slot = prev,
                               .prev_ballot = plog_ballot(&p->log, prev),
                               .chosen = p->chosen,
                               .kept = p->kept_all,
                               .entries = entries,
                               .n_entries = n},
            0);
    peer->sent_mono = p->mono;
    peer->told_everywhere = p->everywhere;
    peer->told = p->chosen;
    if (n > 0) {
        size_t bytes = 0;

        for (size_t i = 0; i < n; i++)
            bytes += entries[i].payload.len;
        ASSERT(peer->n_flight < FLIGHT_MAX);
        peer->next += n;
        peer->flight_bytes[peer->n_flight] = bytes;
        peer->flight[peer->n_flight++] = peer->next - 1;
    }
}

/* A peer gets no more than it takes: so many messages, and so many bytes. */
static bool flight_full(const struct paxos *p, const struct peer *peer)
{
    size_t bytes = 0, max = p->o.flight_bytes != 0 ? p->o.flight_bytes : FLIGHT_BYTES;

    for (size_t i = 0; i < peer->n_flight; i++)
        bytes += peer->flight_bytes[i];
    return peer->n_flight == FLIGHT_MAX || bytes >= max;
}

static int64_t heartbeat_ns(const struct paxos *p)
{
    /* Without the lease every answer counts. */
    return px_lease_holds(p) ? p->o.heartbeat_ns : p->o.resend_ns;
}

static void replicate(struct paxos *p, struct peer *peer)
{
    if (peer->n_flight > 0 && p->mono - peer->sent_mono >= p->o.resend_ns) {
        peer->probing = true;
        peer->n_flight = 0;
        peer->next = peer->match != 0 ? peer->match + 1 : peer->flight[0];
        px_send_accept(p, peer, NULL, 0);
    }
    while (!peer->probing && !peer->wants_snapshot && !flight_full(p, peer) &&
           peer->next <= p->log.last && peer->next >= p->log.first) {
        size_t n;
        const struct paxos_entry *entries = px_entries(p, peer->next, p->log.last, &n);

        if (n == 0) {
            px_load(p, LOAD_ACCEPT, peer->node, peer->next, p->log.last, p->ballot);
            break;
        }
        px_send_accept(p, peer, entries, n);
    }
    /* A tick that comes anyway, with a renewal of support, takes the next heartbeat along. */
    if (p->mono - peer->sent_mono >= (p->ticked ? heartbeat_ns(p) / 2 : heartbeat_ns(p)))
        px_send_accept(p, peer, NULL, 0);
}

/* The slot that a quorum holds durably. */
static slot_no quorum_match(const struct paxos *p)
{
    int64_t match[PEERS_MAX];

    for (size_t i = 0; i < p->n_peers; i++)
        match[i] = (int64_t)p->peers[i].match;
    return (slot_no)px_quorum(p, match, MUTATED(&p->o, choose_with_minority));
}

static void count_chosen(struct paxos *p)
{
    slot_no slot;
    slot_no all = p->log.last, kept = p->chosen;

    p->self->kept = p->checkpointed;
    p->self->match = MUTATED(&p->o, ack_before_sync) ? p->log.last : p->durable;
    slot = quorum_match(p);
    /* P7: an older entry counts only once one of the own ballot behind it does. */
    if (slot > p->chosen && (slot >= p->own_first || MUTATED(&p->o, older_entry_counts))) {
        ASSERT(same_ballot(plog_ballot(&p->log, slot), p->ballot)); /* P7 */
        p->chosen = slot;
    }
    for (size_t i = 0; i < p->n_peers; i++) {
        const struct peer *peer = &p->peers[i];

        if (px_votes(peer) && peer->match < all)
            all = peer->match;
        if ((px_votes(peer) || px_will_vote(p, peer->node)) && !peer->witness && peer->kept < kept)
            kept = peer->kept;
    }
    if (kept > p->kept_all)
        p->kept_all = kept;
    if (all > p->chosen)
        all = p->chosen;
    if (all > p->everywhere)
        p->everywhere = all;
}

static void begin_lease(struct paxos *p)
{
    px_set_role(p, PAXOS_LEADER, "leads");
    p->led_mono = p->mono;
    /* A quorum promised when all earlier leases had surely passed, so this is above every one of them. */
    p->lease_start = MUTATED(&p->o, lease_start_at_earliest) ? p->now.earliest : p->now.latest;
    ASSERT(p->lease_start > p->lease_max || MUTATED(&p->o, lease_start_at_earliest)); /* P9 */
    px_lease(p);
}

/* A leader without a lease waits for as long as an election takes, then makes place. */
static void watch_lease(struct paxos *p)
{
    if (px_lease_holds(p))
        p->lapsed_mono = 0;
    else if (p->lapsed_mono == 0)
        p->lapsed_mono = p->mono;
    else if (p->role == PAXOS_LEADER && p->mono - p->lapsed_mono >= p->o.election_max_ns)
        px_step_down(p, "lease lapsed", 0);
}

static void watch_stop(struct paxos *p)
{
    if (!(p->stopping || p->handing) || p->chosen < p->log.last)
        return;
    if (MUTATED(&p->o, release_before_used_passed) ||
        (p->handing && MUTATED(&p->o, hand_over_before_used_passed)))
        p->lease_max = 1;
    if (p->stop_used != 0 && p->stop_used < p->lease_max)
        p->lease_max = p->stop_used; /* nothing above it was assigned or promised */
    if (p->stopping)
        px_step_down(p, "stopping", 0);
    else /* others go first */
        px_step_down(p, "hands over", 2 * p->o.election_max_ns);
}

void px_lead(struct paxos *p)
{
    if (tt_is_void(p->now)) {
        px_step_down(p, "time is void", 0);
        return;
    }
    count_chosen(p);
    px_lease(p);
    if (px_clocks_lost(p)) {
        px_step_down(p, "clocks disagree", p->o.election_max_ns);
        return;
    }
    if (p->role == PAXOS_RECOVERING && p->chosen >= p->own_first && px_lease_holds(p))
        begin_lease(p);
    if (p->role == PAXOS_RECOVERING && p->mono >= p->giveup_mono) {
        px_step_down(p, "no progress", rng_between(&p->rng, 0, p->o.election_max_ns));
        return;
    }
    watch_lease(p);
    if (p->role == PAXOS_LEADER)
        watch_stop(p);
    if (p->role == PAXOS_LEADER && px_raising(p))
        px_raise_step(p);
    if (p->role == PAXOS_LEADER)
        px_change_step(p);
    p->rests = px_leader_rests(p);
    for (size_t i = 0; px_leads(p) && !p->rests && !px_raising(p) && i < p->n_peers; i++)
        if (&p->peers[i] != p->self)
            replicate(p, &p->peers[i]);
}

int64_t px_lead_wake(const struct paxos *p)
{
    int64_t wake = p->mono + p->o.heartbeat_ns;

    for (size_t i = 0; i < p->n_peers; i++) {
        const struct peer *peer = &p->peers[i];
        int64_t due = peer->sent_mono + (peer->n_flight > 0 ? p->o.resend_ns : heartbeat_ns(p));

        if (peer != p->self && due < wake)
            wake = due;
    }
    if (px_raising(p) && p->mono + p->o.resend_ns < wake)
        wake = p->mono + p->o.resend_ns;
    if (p->role == PAXOS_RECOVERING && p->giveup_mono < wake)
        wake = p->giveup_mono;
    return wake;
}

slot_no px_back(const struct paxos *p, slot_no slot, slot_no equal)
{
    struct ballot b;

    if (slot > p->log.last)
        return p->log.last > equal ? p->log.last : equal;
    b = plog_ballot(&p->log, slot);
    while (slot > equal && slot >= p->log.first && same_ballot(plog_ballot(&p->log, slot), b))
        slot--;
    return slot > equal ? slot : equal;
}

/* False: it was refused, and that was said. */
static bool takes_accept(struct paxos *p, const struct paxos_msg *m)
{
    int64_t retry_ns = 0;
    int c = ballot_cmp(m->ballot, p->hard.promised);

    if (c < 0 && MUTATED(&p->o, accept_without_promise_check) && p->role == PAXOS_FOLLOWER)
        return true;
    if (!px_may_promise(p, m->ballot, &retry_ns)) {
        px_refuse(p, m->from, m->ballot, retry_ns);
        if (c > 0 && p->role == PAXOS_FOLLOWER)
            px_heard_leader(p); /* somebody leads, though this voter may not follow yet */
        return false;
    }
    px_step_down(p, "another leads", 0);
    if (c > 0)
        px_promise(p, m->ballot);
    return true;
}

static void answer_accept(struct paxos *p, const struct paxos_msg *m, enum paxos_msg_kind kind,
                          slot_no slot)
{
    bool agrees = !px_contradicts(p, m->time);
    /* With a test build's bug the ballot may be an older one: then it must not bind. */
    uint64_t epoch = agrees && same_ballot(m->ballot, p->hard.promised) ? px_bind(p) : 0;

    px_send(p, m->from,
            (struct paxos_msg){.kind = kind,
                               .ballot = m->ballot,
                               .slot = slot,
                               .chosen = p->chosen,
                               .epoch = epoch,
                               .kept = p->self->witness ? p->kept_all : p->checkpointed},
            px_after(p, kind == PAXOS_ACK ? slot : 0));
    if (!agrees) /* it counts for durability only */
        p->send[p->n_send - 1].msg.time = TT_VOID;
}

void px_on_accept(struct paxos *p, const struct paxos_msg *m)
{
    slot_no prev = m->prev_slot;
    slot_no matched = prev + m->n_entries;
    slot_no known;

    if (matched + 1 < p->log.first)
        matched = p->log.first - 1;
    px_note_round(p, m->ballot);
    if (m->from != m->ballot.node || !px_entries_ok(m, m->ballot) || !takes_accept(p, m))
        return;
    p->leader = m->from;
    px_heard_leader(p);
    /* Below the window everything was chosen, so it is equal. */
    if (prev + 1 >= p->log.first &&
        (!plog_has(&p->log, prev) || (!same_ballot(plog_ballot(&p->log, prev), m->prev_ballot) &&
                                      !MUTATED(&p->o, accept_without_predecessor_check)))) {
        answer_accept(p, m, PAXOS_NACK, px_back(p, prev, p->chosen));
        return;
    }
    if (!px_adopt(p, m->entries, m->n_entries))
        return;
    known = MUTATED(&p->o, chosen_beyond_matched) ? p->log.last : matched;
    known = m->chosen < known ? m->chosen : known;
    if (known > p->chosen)
        p->chosen = known;
    if (m->slot > p->everywhere && m->slot <= p->chosen)
        p->everywhere = m->slot;
    if (m->kept > p->kept_all)
        p->kept_all = m->kept;
    answer_accept(p, m, PAXOS_ACK, matched);
}

void px_on_ack(struct paxos *p, struct peer *peer, const struct paxos_msg *m)
{
    size_t kept = 0;

    if (!px_leads(p) || m->slot > p->log.last || !same_ballot(m->ballot, p->ballot))
        return;
    px_note_clock(p, peer, m);
    peer->heard_mono = p->mono;
    if (m->kept > peer->kept)
        peer->kept = m->kept;
    if (peer->witness && m->kept > p->kept_all)
        p->kept_all = m->kept; /* what it was told under another leader stands */
    peer->probing = false;
    if (m->slot + 1 >= p->log.first)
        peer->wants_snapshot = false;
    peer->knows = m->chosen;
    if (m->slot > peer->match) {
        peer->match = m->slot;
        p->giveup_mono = p->mono + GIVEUP_ELECTIONS * p->o.election_max_ns;
    }
    if (peer->next <= peer->match)
        peer->next = peer->match + 1;
    for (size_t i = 0; i < peer->n_flight; i++) {
        if (peer->flight[i] <= peer->match)
            continue;
        peer->flight_bytes[kept] = peer->flight_bytes[i];
        peer->flight[kept++] = peer->flight[i];
    }
    peer->n_flight = kept;
}

void px_on_nack(struct paxos *p, struct peer *peer, const struct paxos_msg *m)
{
    if (!px_leads(p) || !same_ballot(m->ballot, p->ballot))
        return;
    px_note_clock(p, peer, m);
    peer->heard_mono = p->mono;
    if (m->slot < peer->match)
        return; /* overtaken by an ack */
    if (!peer->probing && peer->n_flight > 0 && peer->nacked == m->slot &&
        p->mono - peer->nacked_mono < p->o.resend_ns)
        return; /* the rest of the same gap: it is being sent again */
    peer->nacked = m->slot;
    peer->nacked_mono = p->mono;
    peer->probing = false;
    peer->n_flight = 0;
    peer->next = (m->slot < p->log.last ? m->slot : p->log.last) + 1;
    peer->wants_snapshot = peer->next < p->log.first;
    if (peer->wants_snapshot)
        peer->next = p->log.first;
}
