#include "storage/paxos/support.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"

enum {
    ASKED_MAX = 8,                /* requests whose answer may still be believed */
    ASK_BACK_NS = 50 * NS_PER_MS, /* at most this often is a request answered with an own request */
    VOID_RETRY_NS = 100 * NS_PER_MS,
    EPOCH_INCARNATION_SHIFT = 32, /* an epoch is (incarnation of the supporter, counter) */
    DRIFT_SHIFT = 12,             /* a monotonic clock is wrong by less than 1/4096 */
    FORMAT = 1
};

struct asked {
    uint64_t nonce;
    tstamp earliest; /* ours, before the request left */
};

struct peer {
    node_id node;
    uint64_t incarnation; /* highest heard of */
    /* given to it */
    uint64_t epoch;                 /* the last one that was begun; 0 none */
    bool live;                      /* that epoch has not ended */
    tstamp end;                     /* of what was given in that epoch; never decreases (S1) */
    tstamp old_end;                 /* the same for all earlier epochs */
    int64_t end_mono, old_end_mono; /* and by our monotonic clock, whatever the calendar does */
    uint64_t owed;                  /* nonce of a request that waits for our next sync; 0 none */
    /* received from it */
    struct asked asked[ASKED_MAX]; /* ring, by nonce */
    int64_t asked_mono;
    bool asked_ever;
    uint64_t got_epoch; /* 0 none */
    tstamp got_until;
};

struct support {
    struct support_options o; /* o.peers is not kept */
    struct peer peers[SUPPORT_PEERS_MAX];
    size_t n_peers;
    uint64_t n_epochs, n_nonces;
    bool wanted;        /* somebody here leads, or tries to */
    tstamp quiet_until; /* TSTAMP_MAX: unknown, time was void so far; 0: not quiet */
    bool synced_ever;
    int64_t synced_mono;
    tstamp self_until;
    struct support_send send[2 * SUPPORT_PEERS_MAX];
    size_t n_send;
};

static bool usable(const struct support *s, struct tt_interval now)
{
    return !tt_is_void(now) && now.latest - now.earliest <= 2 * s->o.bound_cap_ns;
}

static void begin_quiet(struct support *s, struct tt_interval now)
{
    if (s->quiet_until == TSTAMP_MAX && usable(s, now))
        s->quiet_until = now.latest + s->o.longest_lease_ns + s->o.bound_cap_ns;
}

struct support *support_new(const struct support_options *opts, struct tt_interval now,
                            int64_t mono_ns)
{
    struct support *s = xcalloc(1, sizeof *s);

    ASSERT(opts->n_peers <= SUPPORT_PEERS_MAX);
    ASSERT(opts->incarnation < UINT64_C(1) << EPOCH_INCARNATION_SHIFT);
    ASSERT(opts->lease_ns > 0 && opts->lease_ns <= opts->longest_lease_ns);
    s->o = *opts;
    s->o.peers = NULL;
    for (size_t i = 0; i < opts->n_peers; i++) {
        ASSERT(opts->peers[i] != opts->self);
        s->peers[s->n_peers++].node = opts->peers[i];
    }
    s->synced_mono = mono_ns;
    s->wanted = true;
    s->quiet_until = opts->store_is_new || MUTATED(opts, no_restart_wait) ? 0 : TSTAMP_MAX;
    begin_quiet(s, now);
    return s;
}

void support_free(struct support *s)
{
    free(s);
}

/* Epochs of this start are above all of earlier ones. */
static uint64_t epochs_from(const struct support *s)
{
    return MUTATED(&s->o, epochs_begin_anew) ? 0 : s->o.incarnation << EPOCH_INCARNATION_SHIFT;
}

static struct peer *find(struct support *s, node_id node)
{
    for (size_t i = 0; i < s->n_peers; i++)
        if (s->peers[i].node == node)
            return &s->peers[i];
    return NULL;
}

static const struct peer *find_const(const struct support *s, node_id node)
{
    for (size_t i = 0; i < s->n_peers; i++)
        if (s->peers[i].node == node)
            return &s->peers[i];
    return NULL;
}

bool support_add_peer(struct support *s, node_id node)
{
    ASSERT(node != 0 && node != s->o.self);
    if (find(s, node) != NULL || s->n_peers == SUPPORT_PEERS_MAX)
        return false;
    s->peers[s->n_peers++] = (struct peer){.node = node};
    return true;
}

static bool synced_lately(const struct support *s, int64_t mono_ns)
{
    return MUTATED(&s->o, renew_without_sync) ||
           (s->synced_ever && mono_ns - s->synced_mono <= s->o.sync_age_max_ns);
}

static void push(struct support *s, node_id to, const struct support_msg *m)
{
    ASSERT(s->n_send < sizeof s->send / sizeof s->send[0]);
    s->send[s->n_send].to = to;
    s->send[s->n_send].msg = *m;
    s->n_send++;
}

/* L1: our earliest is noted before the request leaves; the answer can be relied on from there. */
static void ask(struct support *s, struct peer *p, struct tt_interval now, int64_t mono_ns)
{
    uint64_t nonce = ++s->n_nonces;

    p->asked[nonce % ASKED_MAX] = (struct asked){nonce, now.earliest};
    p->asked_mono = mono_ns;
    p->asked_ever = true;
    push(s, p->node,
         &(struct support_msg){.kind = SUPPORT_REQUEST,
                               .from = s->o.self,
                               .incarnation = s->o.incarnation,
                               .nonce = nonce});
}

/* True if the epoch given to p goes on. A lapse that is seen here ends it for good (S3). */
static bool still_live(const struct support *s, struct peer *p, struct tt_interval now)
{
    if (p->live && tt_passed(now, p->end) && !MUTATED(&s->o, extended_after_lapse))
        p->live = false;
    return p->live;
}

static void grant(struct support *s, struct peer *p, struct tt_interval now, int64_t mono_ns,
                  uint64_t nonce)
{
    tstamp end = now.latest + s->o.lease_ns;
    int64_t end_mono = mono_ns + s->o.lease_ns + (s->o.lease_ns >> DRIFT_SHIFT);

    if (!still_live(s, p, now)) {
        p->old_end = p->end > p->old_end ? p->end : p->old_end;
        p->old_end_mono = p->end_mono > p->old_end_mono ? p->end_mono : p->old_end_mono;
        p->end = 0;
        p->end_mono = 0;
        p->epoch = epochs_from(s) | ++s->n_epochs;
        p->live = true;
    }
    if (end > p->end)
        p->end = end; /* S1 */
    if (end_mono > p->end_mono)
        p->end_mono = end_mono;
    p->owed = 0;
    push(s, p->node,
         &(struct support_msg){.kind = SUPPORT_GRANT,
                               .from = s->o.self,
                               .incarnation = s->o.incarnation,
                               .to_incarnation = p->incarnation,
                               .nonce = nonce,
                               .epoch = p->epoch,
                               .lease_ns = s->o.lease_ns});
}

static void on_request(struct support *s, struct peer *p, const struct support_in *in)
{
    if (synced_lately(s, in->mono_ns))
        grant(s, p, in->now, in->mono_ns, in->msg.nonce);
    else
        p->owed = in->msg.nonce; /* L8: who cannot write gives nothing */
    /* A peer that we have nothing from is asked at once: after a start this saves a renewal's time. */
    if (s->wanted && tt_passed(in->now, p->got_until) &&
        (!p->asked_ever || in->mono_ns - p->asked_mono >= ASK_BACK_NS))
        ask(s, p, in->now, in->mono_ns);
}

static void on_synced(struct support *s, const struct support_in *in)
{
    s->synced_ever = true;
    s->synced_mono = in->mono_ns;
    for (size_t i = 0; i < s->n_peers && usable(s, in->now); i++)
        if (s->peers[i].owed != 0)
            grant(s, &s->peers[i], in->now, in->mono_ns, s->peers[i].owed);
}

static void on_grant(struct support *s, struct peer *p, const struct support_msg *m,
                     struct tt_interval now)
{
    const struct asked *a = &p->asked[m->nonce % ASKED_MAX];
    tstamp until;

    if (m->to_incarnation != s->o.incarnation || m->nonce == 0 || a->nonce != m->nonce)
        return;
    if (m->lease_ns <= 0 || m->lease_ns > s->o.longest_lease_ns || m->epoch < p->got_epoch)
        return;
    until = a->earliest + m->lease_ns; /* S2 */
    if (MUTATED(&s->o, lease_from_receive_time))
        until = now.earliest + m->lease_ns;
    if (MUTATED(&s->o, lease_too_long))
        until += m->lease_ns;
    if (m->epoch > p->got_epoch) {
        p->got_epoch = m->epoch;
        p->got_until = until;
    } else if (until > p->got_until) {
        p->got_until = until;
    }
}

static void on_message(struct support *s, const struct support_in *in)
{
    const struct support_msg *m = &in->msg;
    struct peer *p = find(s, m->from);

    if (p == NULL || m->incarnation < p->incarnation || !usable(s, in->now))
        return; /* S4: void time gives nothing and believes nothing */
    if (m->incarnation > p->incarnation) {
        /* The old incarnation is dead, but what it promised stands until the end of its epoch. */
        p->incarnation = m->incarnation;
        p->live = false;
        p->owed = 0;
    }
    if (m->kind == SUPPORT_REQUEST)
        on_request(s, p, in);
    else
        on_grant(s, p, m, in->now);
}

static int64_t renew_all(struct support *s, struct tt_interval now, int64_t mono_ns)
{
    int64_t wake = mono_ns + s->o.renew_ns;

    if (!s->wanted)
        return mono_ns + s->o.lease_ns;
    for (size_t i = 0; i < s->n_peers; i++) {
        struct peer *p = &s->peers[i];

        if (!p->asked_ever || mono_ns - p->asked_mono >= s->o.renew_ns)
            ask(s, p, now, mono_ns);
        if (p->asked_mono + s->o.renew_ns < wake)
            wake = p->asked_mono + s->o.renew_ns;
    }
    return wake;
}

void support_want(struct support *s, bool wanted)
{
    s->wanted = wanted;
}

/* Somebody relies on what this node gave, or wants to: syncs must go on. */
static bool relied_on(struct support *s, struct tt_interval now)
{
    bool is = s->wanted;

    for (size_t i = 0; i < s->n_peers; i++)
        is = still_live(s, &s->peers[i], now) || s->peers[i].owed != 0 || is;
    return is;
}

void support_step(struct support *s, const struct support_in *in, struct support_out *out)
{
    s->n_send = 0;
    begin_quiet(s, in->now);
    switch (in->kind) {
    case SUPPORT_IN_TICK:
        break;
    case SUPPORT_IN_MESSAGE:
        on_message(s, in);
        break;
    case SUPPORT_IN_SYNCED:
        on_synced(s, in);
        break;
    }
    if (usable(s, in->now)) {
        if (synced_lately(s, in->mono_ns))
            s->self_until = in->now.earliest + s->o.lease_ns;
        out->wake_mono_ns = renew_all(s, in->now, in->mono_ns);
    } else {
        out->wake_mono_ns = in->mono_ns + VOID_RETRY_NS;
    }
    /* Half of the age, so that one slow sync does not cost the lease. */
    out->want_sync =
        (!s->synced_ever || in->mono_ns - s->synced_mono >= s->o.sync_age_max_ns / 2) &&
        relied_on(s, in->now);
    out->send = s->send;
    out->n_send = s->n_send;
}

bool support_quiet(struct support *s, struct tt_interval now)
{
    if (s->quiet_until == 0)
        return false;
    begin_quiet(s, now);
    if (s->quiet_until != TSTAMP_MAX && usable(s, now) && tt_passed(now, s->quiet_until))
        s->quiet_until = 0;
    return s->quiet_until != 0;
}

tstamp support_quiet_until(const struct support *s)
{
    return s->quiet_until;
}

bool support_given(struct support *s, node_id peer, struct tt_interval now, uint64_t *out_epoch)
{
    struct peer *p;

    if (peer == s->o.self) {
        *out_epoch = s->o.incarnation << EPOCH_INCARNATION_SHIFT;
        return s->self_until != 0;
    }
    p = find(s, peer);
    if (p == NULL || !usable(s, now) || !still_live(s, p, now))
        return false;
    *out_epoch = p->epoch;
    return true;
}

static tstamp end_of(const struct peer *p, uint64_t epoch)
{
    return epoch < p->epoch ? p->old_end : p->end;
}

static int64_t end_mono_of(const struct peer *p, uint64_t epoch)
{
    return epoch < p->epoch ? p->old_end_mono : p->end_mono;
}

bool support_lapsed(struct support *s, node_id peer, uint64_t epoch, struct tt_interval now,
                    int64_t mono_ns)
{
    struct peer *p = find(s, peer);

    if (!usable(s, now) || support_quiet(s, now))
        return false;
    if (p == NULL || epoch == 0)
        return true;
    (void)still_live(s, p,
                     now); /* whoever acts upon the answer may rely on it: the epoch is over */
    return tt_passed(now, end_of(p, epoch)) && mono_ns >= end_mono_of(p, epoch); /* S7 */
}

tstamp support_lapses_at(const struct support *s, node_id peer, uint64_t epoch)
{
    const struct peer *p = find_const(s, peer);
    tstamp end = p == NULL || epoch == 0 ? 0 : end_of(p, epoch);

    return s->quiet_until > end ? s->quiet_until : end;
}

bool support_received(const struct support *s, node_id peer, uint64_t *out_epoch, tstamp *out_until)
{
    const struct peer *p;

    if (peer == s->o.self) {
        *out_epoch = s->o.incarnation << EPOCH_INCARNATION_SHIFT;
        *out_until = s->self_until;
        return s->self_until != 0;
    }
    p = find_const(s, peer);
    if (p == NULL || p->got_epoch == 0)
        return false;
    *out_epoch = p->got_epoch;
    *out_until = p->got_until;
    return true;
}

#ifdef MRD_MUTANTS
struct support *support_clone(const struct support *s)
{
    struct support *c = xmalloc(sizeof *c); /* what lies behind n_peers is never looked at */

    memcpy(c, s, offsetof(struct support, peers));
    memcpy(c->peers, s->peers, s->n_peers * sizeof s->peers[0]);
    c->n_peers = s->n_peers;
    c->n_epochs = s->n_epochs;
    c->n_nonces = s->n_nonces;
    c->wanted = s->wanted;
    c->quiet_until = s->quiet_until;
    c->synced_ever = s->synced_ever;
    c->synced_mono = s->synced_mono;
    c->self_until = s->self_until;
    c->n_send = 0;
    return c;
}

void support_memory(const struct support *s, void (*take)(void *arg, const void *ptr, size_t len),
                    void *arg)
{
    uint64_t words[] = {s->n_epochs,
                        s->n_nonces,
                        (uint64_t)s->quiet_until,
                        s->synced_ever,
                        (uint64_t)s->synced_mono,
                        (uint64_t)s->self_until};

    take(arg, words, sizeof words);
    take(arg, s->peers, s->n_peers * sizeof s->peers[0]);
}
#endif

bool support_knows(const struct support *s, node_id peer)
{
    return find_const(s, peer) != NULL;
}

void support_msg_encode(struct buf *out, const struct support_msg *m)
{
    buf_put_u8(out, FORMAT);
    buf_put_u8(out, (uint8_t)m->kind);
    buf_put_u32(out, m->from);
    buf_put_varint(out, m->incarnation);
    buf_put_varint(out, m->to_incarnation);
    buf_put_varint(out, m->nonce);
    buf_put_varint(out, m->epoch);
    buf_put_u64(out, (uint64_t)m->lease_ns);
}

bool support_msg_decode(struct rd *r, struct support_msg *m)
{
    uint8_t format = rd_u8(r);
    uint8_t kind = rd_u8(r);

    m->from = rd_u32(r);
    m->incarnation = rd_varint(r);
    m->to_incarnation = rd_varint(r);
    m->nonce = rd_varint(r);
    m->epoch = rd_varint(r);
    m->lease_ns = (int64_t)rd_u64(r);
    if (r->bad || format != FORMAT || (kind != SUPPORT_REQUEST && kind != SUPPORT_GRANT))
        return false;
    m->kind = (enum support_kind)kind;
    return true;
}
