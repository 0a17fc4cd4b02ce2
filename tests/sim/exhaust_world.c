/* A small world: its nodes, disks and packets, what can happen, and what must hold after each action. */
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "tests/sim/exhaust.h"

enum { LEASE_MS = 2000, CAP_MS = 10, TICK_MS = 150 };

static const int64_t epoch = INT64_C(1000000000) * NS_PER_S;

/* -------- nodes -------- */

static struct tt_interval clock_of(const struct xworld *w)
{
    return (struct tt_interval){w->now - NS_PER_MS, w->now + NS_PER_MS};
}

static int64_t mono_of(const struct xworld *w)
{
    return w->now - epoch + NS_PER_S;
}

static void node_unref(struct xnode *n)
{
    if (n == NULL || --n->refs > 0)
        return;
    paxos_free(n->paxos);
    support_free(n->support);
    free(n);
}

/* The node, this world's own from now on. */
static struct xnode *own(struct xworld *w, size_t i)
{
    struct xnode *n = w->nodes[i];
    struct xnode *c;

    if (n->refs > 1) {
        c = xmalloc(sizeof *c);
        *c = *n;
        c->refs = 1;
        c->paxos = core_clone(n->paxos);
        c->support = support_clone(n->support);
        n->refs--;
        w->nodes[i] = n = c;
    }
    n->fingerprint = 0;
    return n;
}

static void fail(struct xworld *w, const char *what, const struct xnode *n, uint64_t value)
{
    if (w->why[0] == '\0')
        snprintf(w->why, sizeof w->why, "%s: n%u, %llu", what, n->id, (unsigned long long)value);
}

static void start_cores(struct xworld *w, struct xnode *n, bool fresh)
{
    uint64_t incarnation = w->mutant == MUTANT_incarnation_reused ? 1 : ++n->incarnation;
    node_id peers[XNODES], voters[XNODES];
    struct support_options so = {.self = n->id,
                                 .incarnation = incarnation,
                                 .peers = peers,
                                 .lease_ns = LEASE_MS * (int64_t)NS_PER_MS,
                                 .renew_ns = 1,
                                 .sync_age_max_ns = 1000LL * NS_PER_S,
                                 .store_is_new = fresh,
                                 .longest_lease_ns = LEASE_MS * (int64_t)NS_PER_MS,
                                 .bound_cap_ns = CAP_MS * (int64_t)NS_PER_MS,
                                 .mutant = w->mutant};
    struct paxos_options po = {.group = 1,
                               .self = n->id,
                               .voters = voters,
                               .n_voters = XNODES,
                               .seed = 1,
                               .election_min_ns = 100LL * NS_PER_MS,
                               .election_max_ns = 300LL * NS_PER_MS,
                               .heartbeat_ns = 250LL * NS_PER_MS,
                               .resend_ns = 100LL * NS_PER_MS,
                               .cache_bytes = 1 << 20,
                               .mutant = w->mutant};
    struct paxos_entry entries[XSLOTS];
    struct paxos_start ps = {
        .hard = n->cur.hard, .first = 1, .entries = entries, .n_entries = n->cur.n};

    for (node_id i = 1; i <= XNODES; i++) {
        voters[i - 1] = i;
        if (i != n->id)
            peers[so.n_peers++] = i;
    }
    for (size_t i = 0; i < n->cur.n; i++) {
        const struct xentry *e = &n->cur.e[i];

        entries[i] = (struct paxos_entry){
            .slot = i + 1, .ballot = e->ballot, .payload = bytes_of(&e->value, e->value != 0)};
    }
    n->support = support_new(&so, clock_of(w), mono_of(w));
    n->paxos = paxos_new(&po, &ps, mono_of(w));
    n->durable_seq = 0;
    n->n_writes = n->n_held = 0;
    n->role = PAXOS_FOLLOWER;
    n->room = false;
    n->chosen = 0;
}

/* -------- packets -------- */

static void packet_unref(struct xpacket *p)
{
    if (--p->refs == 0)
        free(p);
}

static void remove_packet(struct xworld *w, size_t i)
{
    packet_unref(w->packets[i]);
    w->packets[i] = w->packets[--w->n_packets];
}

/* Two equal packets are one: that the same words arrive twice is what X_DUPLICATE is for. */
static void send_packet(struct xworld *w, const struct paxos_msg *m)
{
    struct buf b = {0};
    struct xpacket *p;
    uint64_t h;

    paxos_msg_encode(&b, m);
    h = xhash(1, b.ptr, b.len);
    for (size_t i = 0; i < w->n_packets; i++) {
        if (w->packets[i]->hash == h) {
            buf_fini(&b);
            return;
        }
    }
    ASSERT(w->n_packets < XPACKETS);
    p = xmalloc(sizeof *p + b.len);
    *p = (struct xpacket){.refs = 1, .from = m->from, .to = m->to, .hash = h, .len = b.len};
    memcpy(p->body, b.ptr, b.len);
    buf_fini(&b);
    w->packets[w->n_packets++] = p;
}

/* -------- disks -------- */

static void log_take(struct xlog *l, const struct xwrite *wr)
{
    if (wr->has_hard)
        l->hard = wr->hard;
    if (wr->cut_from != 0 && wr->cut_from <= l->n)
        l->n = (size_t)wr->cut_from - 1;
    for (size_t i = 0; i < wr->n; i++) {
        ASSERT(wr->first + i == l->n + 1 && l->n < XSLOTS);
        l->e[l->n++] = wr->e[i];
    }
}

static struct xentry entry_of(const struct paxos_entry *e)
{
    struct xentry x = {.ballot = {e->ballot.round, e->ballot.node}};

    if (e->payload.len > 0)
        x.value = e->payload.ptr[0];
    return x;
}

static void take_write(struct xnode *n, const struct paxos_out *out)
{
    struct xwrite *wr;

    if (out->write_seq == 0)
        return;
    ASSERT(n->n_writes < XWRITES && out->n_append <= sizeof wr->e / sizeof wr->e[0]);
    wr = &n->writes[n->n_writes++];
    memset(wr, 0, sizeof *wr);
    wr->seq = out->write_seq;
    wr->cut_from = out->cut_from;
    wr->n = out->n_append;
    if (out->hard != NULL) {
        wr->has_hard = true;
        wr->hard = *out->hard;
    }
    for (size_t i = 0; i < out->n_append; i++)
        wr->e[i] = entry_of(&out->append[i]);
    wr->first = out->n_append > 0 ? out->append[0].slot : 0;
    log_take(&n->cur, wr);
}

/* -------- what must hold -------- */

static bool on_disk(const struct xlog *l, slot_no slot, struct xentry e)
{
    return slot <= l->n && l->e[slot - 1].value == e.value &&
           ballot_cmp(l->e[slot - 1].ballot, e.ballot) == 0;
}

static void check_chosen(struct xworld *w, struct xnode *n, slot_no slot)
{
    struct xentry e;
    size_t holds = 0;

    if (slot > n->cur.n) {
        fail(w, "a chosen slot is not in the log", n, slot);
        return;
    }
    e = n->cur.e[slot - 1];
    if (w->truth[slot - 1] != 0 && w->truth[slot - 1] != e.value + 1)
        fail(w, "agreement: two values are chosen in one slot", n, slot);
    w->truth[slot - 1] = (uint8_t)(e.value + 1);
    if (n->role == PAXOS_FOLLOWER)
        return;
    for (size_t i = 0; i < XNODES; i++)
        holds += on_disk(&w->nodes[i]->durable, slot, e);
    if (holds < XNODES / 2 + 1)
        fail(w, "durability: a slot is chosen that no majority has synced", n, slot);
}

static void check_won(struct xworld *w, struct xnode *n, const struct paxos_out *out)
{
    for (size_t i = 0; i < w->n_leads; i++)
        if (ballot_cmp(w->leads[i].ballot, out->ballot) == 0)
            fail(w, "a ballot has led twice", n, out->ballot.round);
    ASSERT(w->n_leads < XLEADS);
    n->lead = w->n_leads;
    w->leads[w->n_leads++] = (struct xlead){.ballot = {out->ballot.round, out->ballot.node},
                                            .start = out->lease_start,
                                            .end = out->lease_end};
}

static void check_lease(struct xworld *w, struct xnode *n, const struct paxos_out *out)
{
    struct xlead *mine = &w->leads[n->lead];

    if (out->lease_end > mine->end)
        mine->end = out->lease_end;
    for (size_t i = 0; i < w->n_leads; i++)
        if (i != n->lead && w->leads[i].start <= mine->end && mine->start <= w->leads[i].end)
            fail(w, "leases overlap", n, w->leads[i].ballot.round);
}

/* -------- steps -------- */

static void deliver_now(struct xworld *w, const struct paxos_msg *m);

/* ASK and its answers write nothing: they do not linger. */
static bool is_asking(const struct paxos_msg *m, const struct paxos_msg *answered)
{
    return m->kind == PAXOS_ASK || m->kind == PAXOS_WILLING ||
           (m->kind == PAXOS_REFUSE && answered != NULL && answered->kind == PAXOS_ASK);
}

static void transmit(struct xworld *w, struct paxos_msg m)
{
    if (!tt_is_void(m.time))
        m.time = clock_of(w);
    send_packet(w, &m);
}

static void sync_now(struct xworld *w, size_t i);

static void step(struct xworld *w, size_t i, struct paxos_in *in)
{
    struct xnode *n = own(w, i);
    struct paxos_msg asking[2 * XNODES];
    size_t n_asking = 0;
    struct paxos_out out;

    in->now = clock_of(w);
    in->mono_ns = mono_of(w);
    in->support = n->support;
    core_reseed(n->paxos);
    paxos_step(n->paxos, in, &out);
    take_write(n, &out);
    for (size_t k = 0; k < out.n_send; k++) {
        const struct paxos_send *s = &out.send[k];

        if (is_asking(&s->msg, in->kind == PAXOS_IN_MESSAGE ? in->msg : NULL)) {
            ASSERT(n_asking < sizeof asking / sizeof asking[0]);
            asking[n_asking++] = s->msg;
        } else if (s->after_write > n->durable_seq) {
            ASSERT(n->n_held < XHELD && s->msg.n_entries == 0);
            n->held[n->n_held++] = (struct xheld){s->msg, s->after_write};
        } else {
            transmit(w, s->msg);
        }
    }
    n->role = out.role;
    n->room = out.room;
    if (out.won)
        check_won(w, n, &out);
    if (out.role == PAXOS_LEADER)
        check_lease(w, n, &out);
    while (n->chosen < out.chosen)
        check_chosen(w, n, ++n->chosen);
    for (size_t k = 0; k < n_asking; k++)
        deliver_now(w, &asking[k]);
    if (w->left.crashes == 0)
        sync_now(w, i);
}

static void deliver_now(struct xworld *w, const struct paxos_msg *m)
{
    struct paxos_msg copy = *m;
    struct paxos_in in = {.kind = PAXOS_IN_MESSAGE, .msg = &copy};

    copy.mono_ns = mono_of(w);
    step(w, m->to - 1, &in);
}

static void sync_now(struct xworld *w, size_t i)
{
    struct xnode *n = w->nodes[i];
    struct paxos_in in = {.kind = PAXOS_IN_DURABLE};
    size_t kept = 0;

    if (n->n_writes == 0)
        return;
    n = own(w, i);
    for (size_t k = 0; k < n->n_writes; k++)
        log_take(&n->durable, &n->writes[k]);
    n->durable_seq = in.durable_seq = n->writes[n->n_writes - 1].seq;
    n->n_writes = 0;
    for (size_t k = 0; k < n->n_held; k++) {
        if (n->held[k].after_write <= n->durable_seq)
            transmit(w, n->held[k].msg);
        else
            n->held[kept++] = n->held[k];
    }
    n->n_held = kept;
    step(w, i, &in);
}

/* -------- actions -------- */

static void deliver_packet(struct xworld *w, size_t i, bool keep)
{
    struct xpacket *p = w->packets[i];
    struct paxos_entry entries[XSLOTS];
    struct paxos_msg m;
    struct rd r = rd_of(bytes_of(p->body, p->len));
    bool good = paxos_msg_decode(&r, &m, entries, XSLOTS);

    ASSERT(good);
    p->refs++;
    if (!keep)
        remove_packet(w, i);
    deliver_now(w, &m);
    packet_unref(p);
}

static void crash(struct xworld *w, size_t i)
{
    struct xnode *n = own(w, i);

    paxos_free(n->paxos);
    support_free(n->support);
    n->cur = n->durable;
    start_cores(w, n, false);
}

static void support_input(struct xworld *w, unsigned set, size_t i, struct support_in *in)
{
    struct xnode *n = own(w, i);
    struct support_out out;
    struct support_send sends[2 * XNODES];
    size_t n_sends;

    in->now = clock_of(w);
    in->mono_ns = mono_of(w);
    support_step(n->support, in, &out);
    n_sends = out.n_send;
    ASSERT(n_sends <= sizeof sends / sizeof sends[0]);
    memcpy(sends, out.send, n_sends * sizeof sends[0]);
    for (size_t k = 0; k < n_sends; k++) {
        struct support_in next = {.kind = SUPPORT_IN_MESSAGE, .msg = sends[k].msg};

        if ((set >> (sends[k].to - 1) & 1) != 0)
            support_input(w, set, sends[k].to - 1, &next);
    }
}

static void renew(struct xworld *w, unsigned set)
{
    for (size_t i = 0; i < XNODES; i++) {
        struct support_in in = {.kind = SUPPORT_IN_SYNCED};

        if ((set >> i & 1) != 0)
            support_input(w, set, i, &in);
    }
    for (size_t i = 0; i < XNODES; i++) {
        struct paxos_in in = {.kind = PAXOS_IN_TICK};

        if ((set >> i & 1) != 0)
            step(w, i, &in);
    }
}

static void tick_all(struct xworld *w)
{
    w->now += TICK_MS * (int64_t)NS_PER_MS;
    for (size_t i = 0; i < XNODES; i++) {
        struct paxos_in in = {.kind = PAXOS_IN_TICK};

        step(w, i, &in);
    }
}

static void propose(struct xworld *w, size_t i, uint8_t value)
{
    struct paxos_in in = {.kind = PAXOS_IN_PROPOSE, .payload = bytes_of(&value, 1)};

    step(w, i, &in);
}

void xworld_act(struct xworld *w, struct xaction a)
{
    struct paxos_in campaign = {.kind = PAXOS_IN_CAMPAIGN};

    switch ((enum xaction_kind)a.kind) {
    case X_DELIVER:
        deliver_packet(w, a.a, false);
        break;
    case X_DUPLICATE:
        w->left.duplicates--;
        deliver_packet(w, a.a, true);
        break;
    case X_SYNC:
        sync_now(w, a.a);
        break;
    case X_CRASH:
        w->left.crashes--;
        crash(w, a.a);
        for (size_t i = 0; w->left.crashes == 0 && i < XNODES; i++)
            sync_now(w, i);
        break;
    case X_CAMPAIGN:
        w->left.campaigns--;
        step(w, a.a, &campaign);
        break;
    case X_PROPOSE:
        propose(w, a.a, w->left.values--);
        break;
    case X_RENEW:
        w->left.renewals--;
        renew(w, a.a);
        break;
    case X_TICK:
        w->left.ticks--;
        tick_all(w);
        break;
    case X_LAPSE:
        w->left.lapses--;
        w->now += (LEASE_MS + 2 * CAP_MS + TICK_MS) * (int64_t)NS_PER_MS;
        break;
    }
}

static void add(struct xaction *out, size_t *n, size_t max, enum xaction_kind kind, size_t a)
{
    ASSERT(*n < max);
    out[(*n)++] = (struct xaction){(uint8_t)kind, (uint8_t)a};
}

size_t xworld_actions(const struct xworld *w, struct xaction *out, size_t max)
{
    static const unsigned sets[] = {3, 5, 6, 7};
    size_t n = 0;

    for (size_t i = 0; i < w->n_packets; i++) {
        add(out, &n, max, X_DELIVER, i);
        if (w->left.duplicates > 0)
            add(out, &n, max, X_DUPLICATE, i);
    }
    for (size_t i = 0; i < XNODES; i++) {
        const struct xnode *node = w->nodes[i];

        if (node->n_writes > 0)
            add(out, &n, max, X_SYNC, i);
        if (w->left.crashes > 0)
            add(out, &n, max, X_CRASH, i);
        if (w->left.campaigns > 0 && node->role == PAXOS_FOLLOWER)
            add(out, &n, max, X_CAMPAIGN, i);
        if (w->left.values > 0 && node->room)
            add(out, &n, max, X_PROPOSE, i);
    }
    for (size_t i = 0; w->left.renewals > 0 && i < sizeof sets / sizeof sets[0]; i++)
        add(out, &n, max, X_RENEW, sets[i]);
    if (w->left.ticks > 0)
        add(out, &n, max, X_TICK, 0);
    if (w->left.lapses > 0)
        add(out, &n, max, X_LAPSE, 0);
    return n;
}

/* -------- life -------- */

/* Everything is delivered and synced, in order of sending. */
static void settle(struct xworld *w)
{
    for (bool more = true; more;) {
        more = w->n_packets > 0;
        if (w->n_packets > 0)
            deliver_packet(w, 0, false);
        for (size_t i = 0; i < XNODES; i++) {
            more |= w->nodes[i]->n_writes > 0;
            sync_now(w, i);
        }
    }
}

static void lose_packets(struct xworld *w)
{
    while (w->n_packets > 0)
        remove_packet(w, 0);
}

/* n1 leads; in the diverged scene it holds an entry that nobody else has heard of, and its lease is over. */
static void play(struct xworld *w, enum xscene scene)
{
    struct paxos_in campaign = {.kind = PAXOS_IN_CAMPAIGN};

    renew(w, 7);
    if (scene == XSCENE_COLD)
        return;
    step(w, 0, &campaign);
    settle(w);
    if (w->nodes[0]->role != PAXOS_LEADER || w->why[0] != '\0')
        return; /* a mutant's doing */
    if (scene == XSCENE_LED)
        return;
    propose(w, 0, UINT8_MAX - 1);
    sync_now(w, 0);
    lose_packets(w);
    w->now += (LEASE_MS + 2 * CAP_MS + TICK_MS) * (int64_t)NS_PER_MS;
}

void xworld_begin(struct xworld *w, enum xscene scene, struct xbudget budget, enum mutant mutant)
{
    memset(w, 0, sizeof *w);
    w->now = epoch;
    w->mutant = mutant;
    w->left = budget;
    for (size_t i = 0; i < XNODES; i++) {
        w->nodes[i] = xcalloc(1, sizeof *w->nodes[i]);
        w->nodes[i]->refs = 1;
        w->nodes[i]->id = (node_id)(i + 1);
        start_cores(w, w->nodes[i], true);
    }
    play(w, scene);
}

void xworld_copy(struct xworld *to, const struct xworld *from)
{
    *to = *from;
    for (size_t i = 0; i < XNODES; i++)
        to->nodes[i]->refs++;
    for (size_t i = 0; i < to->n_packets; i++)
        to->packets[i]->refs++;
}

void xworld_drop(struct xworld *w)
{
    for (size_t i = 0; i < XNODES; i++)
        node_unref(w->nodes[i]);
    while (w->n_packets > 0)
        packet_unref(w->packets[--w->n_packets]);
}

static uint64_t hash_log(uint64_t h, const struct xlog *l)
{
    const uint64_t hard[] = {l->hard.promised.round, l->hard.promised.node, l->hard.released.round,
                             l->hard.released.node, l->n};

    h = xhash(h, hard, sizeof hard);
    for (size_t i = 0; i < l->n; i++) {
        const uint64_t e[] = {l->e[i].ballot.round, l->e[i].ballot.node, l->e[i].value};

        h = xhash(h, e, sizeof e);
    }
    return h;
}

/* Its cursor in the log as written follows from the core's own; what is synced, and what waits for it, does not. */
static uint64_t node_fingerprint(struct xnode *n)
{
    struct buf b = {0};
    const uint64_t words[] = {n->id,       n->incarnation, n->durable_seq,
                              n->n_writes, n->chosen,      n->lead};

    if (n->fingerprint != 0)
        return n->fingerprint;
    n->fingerprint = hash_log(core_fingerprint(n->paxos, n->support), &n->durable);
    n->fingerprint = xhash(n->fingerprint, words, sizeof words);
    for (size_t i = 0; i < n->n_held; i++) {
        paxos_msg_encode(&b, &n->held[i].msg);
        buf_put_u64(&b, n->held[i].after_write);
    }
    if (b.len > 0)
        n->fingerprint = xhash(n->fingerprint, b.ptr, b.len);
    buf_fini(&b);
    return n->fingerprint;
}

uint64_t xworld_fingerprint(struct xworld *w)
{
    uint64_t packets = 0, h;

    for (size_t i = 0; i < w->n_packets; i++)
        packets += w->packets[i]->hash; /* a set: order does not matter */
    h = xhash((uint64_t)w->now, &packets, sizeof packets);
    h = xhash(h, &w->left, sizeof w->left);
    h = xhash(h, w->truth, sizeof w->truth);
    for (size_t i = 0; i < w->n_leads; i++) {
        const uint64_t l[] = {w->leads[i].ballot.round, (uint64_t)w->leads[i].start,
                              (uint64_t)w->leads[i].end};

        h = xhash(h, l, sizeof l);
    }
    for (size_t i = 0; i < XNODES; i++) {
        uint64_t f = node_fingerprint(w->nodes[i]);

        h = xhash(h, &f, sizeof f);
    }
    return h;
}

/* -------- words -------- */

const char *xscene_name(enum xscene scene)
{
    static const char *const names[XSCENES] = {"cold", "led", "diverged"};

    return names[scene];
}

static void describe_packet(const struct xpacket *p, const char *verb, char *out, size_t len)
{
    static const char *const kinds[] = {"?",     "PREPARE", "PROMISE", "REFUSE",
                                        "FETCH", "LOG",     "ACCEPT",  "ACK",
                                        "NACK",  "RELEASE", "ASK",     "WILLING"};
    struct paxos_entry entries[XSLOTS];
    struct paxos_msg m;
    struct rd r = rd_of(bytes_of(p->body, p->len));
    bool known = paxos_msg_decode(&r, &m, entries, XSLOTS) &&
                 (size_t)m.kind < sizeof kinds / sizeof kinds[0];

    snprintf(out, len, "%s %s n%u -> n%u ballot %llu.%u slot %llu prev %llu entries %zu", verb,
             known ? kinds[m.kind] : "?", p->from, p->to, (unsigned long long)m.ballot.round,
             m.ballot.node, (unsigned long long)m.slot, (unsigned long long)m.prev_slot,
             m.n_entries);
}

void xaction_describe(const struct xworld *w, struct xaction a, char *out, size_t len)
{
    static const char *const words[] = {[X_SYNC] = "syncs",
                                        [X_CRASH] = "crashes and starts",
                                        [X_CAMPAIGN] = "campaigns",
                                        [X_PROPOSE] = "proposes"};

    switch ((enum xaction_kind)a.kind) {
    case X_DELIVER:
        describe_packet(w->packets[a.a], "deliver", out, len);
        break;
    case X_DUPLICATE:
        describe_packet(w->packets[a.a], "deliver, and keep,", out, len);
        break;
    case X_SYNC:
    case X_CRASH:
    case X_CAMPAIGN:
    case X_PROPOSE:
        snprintf(out, len, "n%u %s", a.a + 1u, words[a.kind]);
        break;
    case X_RENEW:
        snprintf(out, len, "support is exchanged among%s%s%s", a.a & 1 ? " n1" : "",
                 a.a & 2 ? " n2" : "", a.a & 4 ? " n3" : "");
        break;
    case X_TICK:
        snprintf(out, len, "timers run");
        break;
    case X_LAPSE:
        snprintf(out, len, "all support lapses");
        break;
    }
}
