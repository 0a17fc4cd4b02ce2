#include "timesvc/tt_suspect.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"

enum {
    SENT_MAX = 8,    /* reports whose echo may still be used */
    SAMPLES_MAX = 8, /* exchanges among which the quickest is believed */
    FORMAT = 1,
    INCARNATION_SHIFT = 32
};

static const int64_t memory_ns = (int64_t)TT_SUSPECT_MEMORY_MS * NS_PER_MS;

struct sent {
    uint64_t seq;
    struct tt_interval at;
    int64_t mono;
};

struct sample {
    int64_t offset_ns, rtt_ns;
};

struct peer {
    node_id node;
    uint64_t contradictions;
    bool ahead;         /* it was ahead of us, and has not agreed TT_SUSPECT_AGREE times since */
    int64_t ahead_mono; /* last such message */
    bool told;          /* by its last report we are ahead of it */
    size_t n_agree;     /* reports in a row that we judged and found possible */
    int64_t heard_mono; /* last report; 0 none */
    uint64_t heard_seq;
    struct tt_interval heard_at; /* ours then */
    uint64_t n_sent;             /* reports to it */
    struct sent sent[SENT_MAX];  /* ring, by seq */
    uint64_t echoed;             /* highest seq that it has echoed */
    struct sample samples[SAMPLES_MAX];
    size_t n_samples; /* ever */
    int64_t due_mono; /* next report to it */
};

struct tt_suspect {
    node_id self;
    uint64_t incarnation;
    struct peer peers[TT_SUSPECT_PEERS_MAX];
    size_t n_peers;
    bool distrusted;
    node_id send[TT_SUSPECT_PEERS_MAX];
    char why[96];
};

struct tt_suspect *tt_suspect_new(const struct tt_suspect_options *opts, int64_t mono_ns)
{
    struct tt_suspect *s = xcalloc(1, sizeof *s);

    ASSERT(opts->n_peers <= TT_SUSPECT_PEERS_MAX);
    ASSERT(opts->incarnation < UINT64_C(1) << INCARNATION_SHIFT);
    s->self = opts->self;
    s->incarnation = opts->incarnation;
    s->n_peers = opts->n_peers;
    for (size_t i = 0; i < opts->n_peers; i++)
        s->peers[i] = (struct peer){.node = opts->peers[i], .due_mono = mono_ns};
    return s;
}

void tt_suspect_free(struct tt_suspect *s)
{
    free(s);
}

static struct peer *find(struct tt_suspect *s, node_id node)
{
    for (size_t i = 0; i < s->n_peers; i++)
        if (s->peers[i].node == node)
            return &s->peers[i];
    return NULL;
}

/* What is known of one peer. */

static bool heard_lately(const struct peer *p, int64_t mono)
{
    return p->heard_mono != 0 && mono - p->heard_mono <= memory_ns;
}

static enum tt_peer_view view_of(const struct peer *p, int64_t mono)
{
    if (p->ahead && mono - p->ahead_mono <= memory_ns)
        return TT_PEER_AHEAD;
    if (p->told && heard_lately(p, mono))
        return TT_PEER_BEHIND;
    /* After a contradiction `ahead` stands until it has agreed often enough; told, so does the peer's. */
    if (p->n_agree > 0 && !p->ahead && heard_lately(p, mono))
        return TT_PEER_AGREES;
    return TT_PEER_UNKNOWN;
}

static bool contradicts(enum tt_peer_view view)
{
    return view == TT_PEER_AHEAD || view == TT_PEER_BEHIND;
}

/* True: the sender was ahead of what we thought possible when it arrived. */
static bool judge(struct peer *p, struct tt_interval theirs, struct tt_interval at, int64_t mono)
{
    if (tt_is_void(theirs) || tt_is_void(at) || theirs.earliest <= at.latest)
        return false;
    p->contradictions++;
    p->ahead = true;
    p->ahead_mono = mono;
    p->n_agree = 0;
    return true;
}

static int64_t middle(struct tt_interval iv)
{
    return iv.earliest + (iv.latest - iv.earliest) / 2;
}

/* Its report echoes one of ours: there and back, less what lay in between (Mills, RFC 5905, section 8). */
static void take_echo(struct peer *p, const struct tt_suspect_in *in)
{
    const struct tt_clock_report *r = in->report;
    const struct sent *sent = &p->sent[r->echo_seq % SENT_MAX];
    int64_t rtt = in->arrived_mono_ns - sent->mono - r->echo_held_ns;

    if (r->echo_seq == 0 || sent->seq != r->echo_seq || r->echo_seq <= p->echoed || rtt < 0)
        return;
    p->echoed = r->echo_seq;
    if (tt_is_void(sent->at) || tt_is_void(r->echo_at) || tt_is_void(r->now) || tt_is_void(in->at))
        return;
    p->samples[p->n_samples++ % SAMPLES_MAX] = (struct sample){
        .offset_ns =
            (middle(r->echo_at) - middle(sent->at)) / 2 + (middle(r->now) - middle(in->at)) / 2,
        .rtt_ns = rtt,
    };
}

static bool says_we_are_ahead(const struct tt_suspect *s, const struct tt_clock_report *r)
{
    for (size_t i = 0; i < r->n_pairs; i++)
        if (r->pairs[i].node == s->self)
            return r->pairs[i].view == TT_PEER_AHEAD;
    return false;
}

static void on_report(struct tt_suspect *s, struct peer *p, const struct tt_suspect_in *in)
{
    const struct tt_clock_report *r = in->report;

    if (r->seq <= p->heard_seq)
        return; /* late, or twice */
    p->heard_seq = r->seq;
    p->heard_mono = in->arrived_mono_ns;
    p->heard_at = in->at;
    p->told = says_we_are_ahead(s, r);
    take_echo(p, in);
    if (tt_is_void(r->now) || tt_is_void(in->at)) {
        p->n_agree = 0;
        return;
    }
    if (judge(p, r->now, in->at, in->mono_ns))
        return;
    p->n_agree++;
    if (p->n_agree >= TT_SUSPECT_AGREE)
        p->ahead = false;
}

/* The verdict. */

static size_t count_agreeing(const struct tt_suspect *s, int64_t mono)
{
    size_t n = 1; /* the own */

    for (size_t i = 0; i < s->n_peers; i++)
        if (view_of(&s->peers[i], mono) == TT_PEER_AGREES &&
            (!s->distrusted || s->peers[i].n_agree >= TT_SUSPECT_AGREE))
            n++;
    return n;
}

static size_t count_contradicting(const struct tt_suspect *s, int64_t mono)
{
    size_t n = 0;

    for (size_t i = 0; i < s->n_peers; i++)
        n += contradicts(view_of(&s->peers[i], mono));
    return n;
}

static void say_why(struct tt_suspect *s, int64_t mono)
{
    size_t len = (size_t)snprintf(s->why, sizeof s->why, "contradicted by node");
    const char *sep = count_contradicting(s, mono) > 1 ? "s " : " ";

    for (size_t i = 0; i < s->n_peers && len < sizeof s->why; i++) {
        if (!contradicts(view_of(&s->peers[i], mono)))
            continue;
        len += (size_t)snprintf(s->why + len, sizeof s->why - len, "%s%u", sep, s->peers[i].node);
        sep = ", ";
    }
}

/* Of this node and all it has heard of: a member that is to come, and never came, can vouch for nobody. */
static size_t quorum(const struct tt_suspect *s)
{
    size_t known = 1;

    for (size_t i = 0; i < s->n_peers; i++)
        known += s->peers[i].heard_mono != 0;
    return known / 2 + 1;
}

/* W7, W8. */
static bool decide(struct tt_suspect *s, int64_t mono)
{
    bool vouched = count_agreeing(s, mono) >= quorum(s);
    bool was = s->distrusted;

    if (vouched)
        s->distrusted = false;
    else if (count_contradicting(s, mono) > 0)
        s->distrusted = true;
    if (s->distrusted && !was)
        say_why(s, mono);
    return s->distrusted != was;
}

/* Whom to tell: in turn; at once whom we have just found ahead of us, since it may not know. */
static void plan(struct tt_suspect *s, int64_t mono, struct tt_suspect_out *out)
{
    bool hurry = s->distrusted || count_contradicting(s, mono) > 0;
    int64_t gap = (int64_t)(hurry ? TT_SUSPECT_HURRY_MS : TT_SUSPECT_REPORT_MS) * NS_PER_MS;

    out->n_send = 0;
    out->wake_mono_ns = mono + gap;
    for (size_t i = 0; i < s->n_peers; i++) {
        struct peer *p = &s->peers[i];

        if (p->due_mono > mono + gap)
            p->due_mono = mono + gap;
        if (p->due_mono <= mono) {
            s->send[out->n_send++] = p->node;
            p->due_mono = mono + gap;
        }
        if (p->due_mono < out->wake_mono_ns)
            out->wake_mono_ns = p->due_mono;
    }
    out->send = s->send;
}

void tt_suspect_step(struct tt_suspect *s, const struct tt_suspect_in *in,
                     struct tt_suspect_out *out)
{
    struct peer *p = in->kind == TT_SUSPECT_TICK ? NULL : find(s, in->from);
    bool stood = p != NULL && contradicts(view_of(p, in->mono_ns));

    *out = (struct tt_suspect_out){0};
    if (p != NULL && in->kind == TT_SUSPECT_HEARD)
        (void)judge(p, in->theirs, in->at, in->mono_ns); /* view_of() tells what it found */
    else if (p != NULL)
        on_report(s, p, in);
    if (p != NULL && stood != contradicts(view_of(p, in->mono_ns))) {
        p->n_samples = 0; /* one of the two clocks is another one now */
        out->contradicts_new = !stood;
        p->due_mono = stood ? p->due_mono : in->mono_ns;
    }
    out->changed = decide(s, in->mono_ns);
    for (size_t i = 0; out->changed && i < s->n_peers; i++)
        s->peers[i].due_mono = in->mono_ns;
    plan(s, in->mono_ns, out);
    out->distrusted = s->distrusted;
    out->why = s->why;
}

/* Reports. */

static struct sample best_sample(const struct peer *p)
{
    struct sample best = {.rtt_ns = -1};

    for (size_t i = 0; i < p->n_samples && i < SAMPLES_MAX; i++)
        if (best.rtt_ns < 0 || p->samples[i].rtt_ns < best.rtt_ns)
            best = p->samples[i];
    return best;
}

size_t tt_suspect_pairs(const struct tt_suspect *s, int64_t mono_ns, struct tt_pair *out)
{
    for (size_t i = 0; i < s->n_peers; i++) {
        const struct peer *p = &s->peers[i];
        struct sample best = best_sample(p);

        out[i] = (struct tt_pair){.node = p->node,
                                  .view = view_of(p, mono_ns),
                                  .contradictions = p->contradictions,
                                  .offset_ns = best.offset_ns,
                                  .rtt_ns = best.rtt_ns};
    }
    return s->n_peers;
}

void tt_suspect_compose(struct tt_suspect *s, node_id to, struct tt_interval now, int64_t mono_ns,
                        struct tt_clock_report *out)
{
    struct peer *p = find(s, to);

    ASSERT(p != NULL);
    *out = (struct tt_clock_report){.now = now};
    out->seq = s->incarnation << INCARNATION_SHIFT | ++p->n_sent;
    p->sent[out->seq % SENT_MAX] = (struct sent){out->seq, now, mono_ns};
    if (p->heard_mono != 0) {
        out->echo_seq = p->heard_seq;
        out->echo_held_ns = mono_ns - p->heard_mono;
        out->echo_at = p->heard_at;
    }
    out->n_pairs = tt_suspect_pairs(s, mono_ns, out->pairs);
}

const char *tt_peer_view_name(enum tt_peer_view view)
{
    switch (view) {
    case TT_PEER_UNKNOWN:
        return "unknown";
    case TT_PEER_AGREES:
        return "agrees";
    case TT_PEER_AHEAD:
        return "ahead";
    case TT_PEER_BEHIND:
        return "behind";
    }
    return "unknown";
}

static void put_interval(struct buf *out, struct tt_interval iv)
{
    buf_put_u64(out, (uint64_t)iv.earliest);
    buf_put_u64(out, (uint64_t)iv.latest);
}

void tt_clock_report_encode(struct buf *out, const struct tt_clock_report *r)
{
    buf_put_u8(out, FORMAT);
    buf_put_u64(out, r->seq);
    put_interval(out, r->now);
    buf_put_u64(out, r->echo_seq);
    buf_put_u64(out, (uint64_t)r->echo_held_ns);
    put_interval(out, r->echo_at);
    buf_put_u8(out, r->distrusted);
    buf_put_bytes(out, bytes_str(r->source));
    buf_put_bytes(out, bytes_str(r->why));
    buf_put_u64(out, (uint64_t)r->bound_ns);
    buf_put_u64(out, (uint64_t)r->age_ns);
    buf_put_varint(out, r->n_pairs);
    for (size_t i = 0; i < r->n_pairs; i++) {
        const struct tt_pair *pair = &r->pairs[i];

        buf_put_u32(out, pair->node);
        buf_put_u8(out, (uint8_t)pair->view);
        buf_put_varint(out, pair->contradictions);
        buf_put_u64(out, (uint64_t)pair->offset_ns);
        buf_put_u64(out, (uint64_t)pair->rtt_ns);
    }
}

/* Text for people: what is no plain character is shown as one. */
static void get_text(struct rd *rd, char *out, size_t size)
{
    struct bytes text = rd_bytes(rd);
    size_t n = text.len < size ? text.len : size - 1;

    for (size_t i = 0; i < n; i++)
        out[i] = (char)(text.ptr[i] >= 0x20 && text.ptr[i] < 0x7f ? text.ptr[i] : '?');
    out[n] = '\0';
}

/* Beyond +-2^62 ns (146 years around the epoch) differences would overflow. */
static bool possible(int64_t t)
{
    return t > -(INT64_C(1) << 62) && t < INT64_C(1) << 62;
}

static struct tt_interval get_interval(struct rd *rd)
{
    struct tt_interval iv = {.earliest = (int64_t)rd_u64(rd)};

    iv.latest = (int64_t)rd_u64(rd);
    return possible(iv.earliest) && possible(iv.latest) ? iv : TT_VOID;
}

bool tt_clock_report_decode(struct rd *rd, struct tt_clock_report *out)
{
    uint8_t format = rd_u8(rd);
    uint64_t n;

    *out = (struct tt_clock_report){.seq = rd_u64(rd)};
    out->now = get_interval(rd);
    out->echo_seq = rd_u64(rd);
    out->echo_held_ns = (int64_t)rd_u64(rd);
    out->echo_at = get_interval(rd);
    out->distrusted = rd_u8(rd) != 0;
    get_text(rd, out->source, sizeof out->source);
    get_text(rd, out->why, sizeof out->why);
    out->bound_ns = (int64_t)rd_u64(rd);
    out->age_ns = (int64_t)rd_u64(rd);
    n = rd_varint(rd);
    if (rd->bad || format != FORMAT || n > TT_SUSPECT_PEERS_MAX || !possible(out->echo_held_ns) ||
        out->echo_held_ns < 0 || !possible(out->age_ns))
        return false;
    for (out->n_pairs = 0; out->n_pairs < n; out->n_pairs++) {
        struct tt_pair *pair = &out->pairs[out->n_pairs];
        uint8_t view;

        pair->node = rd_u32(rd);
        view = rd_u8(rd);
        pair->contradictions = rd_varint(rd);
        pair->offset_ns = (int64_t)rd_u64(rd);
        pair->rtt_ns = (int64_t)rd_u64(rd);
        if (rd->bad || view > TT_PEER_BEHIND)
            return false;
        pair->view = (enum tt_peer_view)view;
    }
    return !rd->bad;
}
