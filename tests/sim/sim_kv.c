/* Replicated registers: how a leader serves writes and reads, by the rules of the transaction floor. */
#include "sim.h"

#include <stdlib.h>

#include "base/check.h"

/* -------- the state machine -------- */

static struct outcome *outcome_of(struct sim_node *n, uint64_t id)
{
    if (id >= n->reg.n_by_id || n->reg.by_id[id] == 0)
        return NULL;
    return &n->reg.outcomes[n->reg.by_id[id] - 1];
}

size_t kv_decode(struct bytes payload, struct command_kv *out, size_t max)
{
    struct rd r = rd_of(payload);
    size_t n = 0;

    while (rd_left(&r) > 0 && n < max) {
        out[n].id = rd_u64(&r);
        out[n].key = rd_u32(&r);
        out[n].value = rd_u64(&r);
        out[n].ts = (tstamp)rd_u64(&r);
        n++;
    }
    ASSERT(!r.bad && rd_left(&r) == 0);
    return n;
}

static void note_outcome(struct registers *r, const struct command_kv *c, slot_no slot)
{
    if (c->id >= r->n_by_id) {
        size_t was = r->n_by_id;

        r->n_by_id = (size_t)c->id * 2 + 64;
        r->by_id = xrealloc(r->by_id, r->n_by_id * sizeof *r->by_id);
        memset(r->by_id + was, 0, (r->n_by_id - was) * sizeof *r->by_id);
    }
    VEC_PUSH(r->outcomes, r->n_outcomes, r->cap_outcomes) = (struct outcome){c->id, c->ts, slot};
    r->by_id[c->id] = (uint32_t)r->n_outcomes;
}

void kv_apply(struct world *w, struct sim_node *n, slot_no slot, struct bytes payload)
{
    struct registers *r = &n->reg;
    struct command_kv c[SLOT_COMMANDS_MAX];
    size_t k = kv_decode(payload, c, SLOT_COMMANDS_MAX);

    ASSERT(slot == r->applied + 1);
    for (size_t i = 0; i < k; i++) {
        if (c[i].ts <= r->applied_ts)
            sim_fail(w, "n%u slot %llu: timestamp %lld is not above %lld before it", n->id,
                     (unsigned long long)slot, (long long)c[i].ts, (long long)r->applied_ts);
        r->applied_ts = c[i].ts;
        if (outcome_of(n, c[i].id) != NULL)
            continue; /* the first outcome of an id stands */
        note_outcome(r, &c[i], slot);
        VEC_PUSH(r->key[c[i].key].v, r->key[c[i].key].n, r->key[c[i].key].cap) =
            (struct version){c[i].ts, c[i].value, slot};
        r->hash = sim_hash(r->hash, &c[i], sizeof c[i].id);
        r->hash = sim_hash(r->hash, &c[i].ts, sizeof c[i].ts);
    }
    r->applied = slot;
    check_applied(w, n, slot, r->hash);
}

void kv_checkpoint(struct sim_node *n)
{
    for (size_t k = 0; k < KEYS; k++)
        n->checkpoint.n[k] = n->reg.key[k].n;
    n->checkpoint.n_outcomes = n->reg.n_outcomes;
    n->checkpoint.applied = n->reg.applied;
    n->checkpoint.applied_ts = n->reg.applied_ts;
    n->checkpoint.hash = n->reg.hash;
}

/* Versions and outcomes are only ever appended, so a checkpoint is how many there were. */
void kv_restore(struct sim_node *n)
{
    for (size_t k = 0; k < KEYS; k++)
        n->reg.key[k].n = n->checkpoint.n[k];
    while (n->reg.n_outcomes > n->checkpoint.n_outcomes)
        n->reg.by_id[n->reg.outcomes[--n->reg.n_outcomes].id] = 0;
    n->reg.applied = n->checkpoint.applied;
    n->reg.applied_ts = n->checkpoint.applied_ts;
    n->reg.hash = n->checkpoint.hash;
}

static struct version version_at(const struct sim_node *n, uint32_t key, tstamp t)
{
    size_t i = n->reg.key[key].n;

    while (i > 0 && n->reg.key[key].v[i - 1].ts > t)
        i--;
    return i == 0 ? (struct version){0, 0, 0} : n->reg.key[key].v[i - 1];
}

/* -------- answers -------- */

static void answer(struct world *w, struct sim_node *n, node_id to, struct reply r)
{
    struct packet *p = net_packet(w, PACKET_REPLY, n->id, to);

    r.hint = n->leader_hint;
    p->rep = r;
    net_send(w, p);
}

static node_id gateway_of(const struct world *w, uint32_t client)
{
    return w->clients[client].gateway;
}

static void answer_write(struct world *w, struct sim_node *n, const struct sim_write *wr,
                         enum status st)
{
    answer(w, n, gateway_of(w, wr->client),
           (struct reply){.client = wr->client, .attempt = wr->attempt, .st = st, .ts = wr->c.ts});
}

static tstamp agreed_now(const struct world *w, const struct sim_node *n)
{
    int64_t age = clock_mono(w, n) - n->agreed_mono;

    return n->agreed == 0 ? 0 : n->agreed + age - age / 4096;
}

/* -------- leadership -------- */

void kv_won(struct world *w, struct sim_node *n, slot_no last)
{
    n->term = ++w->n_terms;
    n->term_first = last;
    n->serving = false;
    n->marks = readmark_new();
    readmark_mutate(n->marks, w->o.mutant);
    n->writes = NULL;
    n->writes_tail = &n->writes;
    w->r.n_leaders++;
}

tstamp kv_used(const struct sim_node *n)
{
    tstamp reads;

    if (n->term == 0 || !n->serving)
        return 0;
    reads = readmark_highest(n->marks);
    return reads > n->alloc.used ? reads : n->alloc.used;
}

void kv_lost(struct world *w, struct sim_node *n, bool crashed)
{
    memset(n->reads, 0, sizeof n->reads);
    if (n->term == 0)
        return;
    for (struct sim_write *wr = n->writes; wr != NULL; wr = wr->next) {
        if (!wr->acked && !crashed)
            answer_write(w, n, wr, wr->state == WRITE_QUEUED ? ST_RETRY : ST_UNKNOWN);
        if (!wr->applied)
            readmark_write_end(n->marks, &wr->mark);
    }
    n->writes = NULL;
    n->writes_tail = &n->writes;
    n->term = 0;
    n->serving = false;
    readmark_free(n->marks);
    n->marks = NULL;
}

static void settle(struct sim_node *n, struct sim_write *wr)
{
    wr->applied = true;
    tsalloc_settle(&n->alloc, wr->c.ts);
    readmark_write_end(n->marks, &wr->mark);
}

void kv_after_step(struct world *w, struct sim_node *n)
{
    if (n->term == 0)
        return;
    if (!n->serving && !n->stopping && n->reg.applied >= n->term_first) {
        n->serving = true;
        tsalloc_lead(&n->alloc, n->lease_start, n->reg.applied_ts);
    }
    for (struct sim_write *wr = n->writes; wr != NULL; wr = wr->next) {
        if (wr->state == WRITE_PROPOSED && wr->slot <= n->chosen)
            wr->state = WRITE_CHOSEN;
        if (wr->state == WRITE_CHOSEN && !wr->applied && wr->slot <= n->reg.applied)
            settle(n, wr);
    }
    kv_acks(w, n);
}

void kv_acks(struct world *w, struct sim_node *n)
{
    tstamp agreed = agreed_now(w, n);
    bool wait = false;

    if (n->term == 0)
        return;
    for (struct sim_write *wr = n->writes; wr != NULL; wr = wr->next) {
        if (wr->acked || wr->state != WRITE_CHOSEN)
            continue;
        if (agreed <= wr->c.ts) {
            wait = true;
            continue;
        }
        check_ack(w, n, wr);
        answer_write(w, n, wr, ST_OK);
        wr->acked = true;
    }
    while (n->writes != NULL && n->writes->acked && n->writes->applied)
        n->writes = n->writes->next;
    if (n->writes == NULL)
        n->writes_tail = &n->writes;
    if (wait && !n->acks_due) {
        n->acks_due = true;
        sim_event(w, w->now + 100 * NS_PER_US, EV_ACKS, n->id, 0, 0, NULL);
    }
}

bool kv_next_batch(struct world *w, struct sim_node *n, struct buf *out)
{
    size_t k = 0;

    (void)w;
    for (struct sim_write *wr = n->writes; wr != NULL && k < SLOT_COMMANDS_MAX; wr = wr->next) {
        if (wr->state != WRITE_QUEUED)
            continue;
        buf_put_u64(out, wr->c.id);
        buf_put_u32(out, wr->c.key);
        buf_put_u64(out, wr->c.value);
        buf_put_u64(out, (uint64_t)wr->c.ts);
        wr->state = WRITE_PROPOSED;
        wr->slot = 0;
        k++;
    }
    return k > 0;
}

void kv_proposed(struct world *w, struct sim_node *n, slot_no slot)
{
    (void)w;
    for (struct sim_write *wr = n->writes; wr != NULL; wr = wr->next)
        if (wr->state == WRITE_PROPOSED && wr->slot == 0)
            wr->slot = slot;
}

/* -------- requests -------- */

static void write_request(struct world *w, struct sim_node *n, const struct packet *p)
{
    const struct request *q = &p->req;
    struct reply no = {.client = q->client, .attempt = q->attempt, .st = ST_RETRY};
    struct tt_interval now = clock_now(w, n);
    struct outcome *o;
    struct sim_write *wr;
    struct tsalloc_ask ask;

    if (!n->serving || tt_is_void(now)) {
        answer(w, n, p->from, no);
        return;
    }
    o = outcome_of(n, q->id);
    if (o != NULL) { /* the same commit again: its first outcome, once that has passed */
        no.st = agreed_now(w, n) > o->ts ? ST_OK : ST_RETRY;
        no.ts = o->ts;
        answer(w, n, p->from, no);
        return;
    }
    for (wr = n->writes; wr != NULL; wr = wr->next) {
        if (wr->c.id == q->id) {
            wr->attempt = q->attempt;
            return;
        }
    }
    wr = arena_zalloc(&w->mem, sizeof *wr);
    wr->client = q->client;
    wr->attempt = q->attempt;
    wr->key_text = (uint8_t)('a' + q->key);
    wr->mark_key.node.key = bytes_of(&wr->key_text, 1);
    wr->mark.keys = &wr->mark_key;
    wr->mark.n = 1;
    wr->c = (struct command_kv){.id = q->id, .key = q->key, .value = q->value};
    /* Pending first, then the marks, then the timestamp. */
    readmark_write_begin(n->marks, &wr->mark);
    ask = (struct tsalloc_ask){.latest = now.latest,
                               .lease_end = n->lease_end,
                               .above = readmark_write_floor(n->marks, &wr->mark)};
    if (!tsalloc_take(&n->alloc, &ask, &wr->c.ts)) {
        readmark_write_end(n->marks, &wr->mark);
        answer(w, n, p->from, no);
        return;
    }
    readmark_write_set(n->marks, &wr->mark, wr->c.ts);
    *n->writes_tail = wr;
    n->writes_tail = &wr->next;
    if (n->room)
        node_step(w, n, PAXOS_IN_TICK);
}

static bool lease_covers(const struct world *w, const struct sim_node *n, tstamp t)
{
    struct tt_interval now = clock_now(w, n);

    return n->serving && !tt_is_void(now) && now.latest <= n->lease_end && t <= n->lease_end;
}

static void read_request(struct world *w, struct sim_node *n, const struct packet *p)
{
    const struct request *q = &p->req;
    struct reply no = {.client = q->client, .attempt = q->attempt, .st = ST_RETRY};
    bool strong = q->kind == OP_STRONG_READ;
    uint8_t key = (uint8_t)('a' + q->key);

    if (strong ? !lease_covers(w, n, q->t) : q->t > n->reg.applied_ts) {
        answer(w, n, p->from, no);
        return;
    }
    for (size_t i = 0; i < READS_MAX; i++) {
        struct sim_read *rd = &n->reads[i];

        if (rd->used)
            continue;
        *rd = (struct sim_read){.used = true,
                                .strong = strong,
                                .client = q->client,
                                .attempt = q->attempt,
                                .key = q->key,
                                .t = q->t,
                                .term = n->term};
        if (strong)
            readmark_raise(n->marks, bytes_of(&key, 1), q->t);
        sim_event(w, w->now + rng_between(&w->rng, 0, 200 * NS_PER_US), EV_READ, n->id, i, 0, NULL);
        return;
    }
    answer(w, n, p->from, no);
}

void kv_request(struct world *w, struct sim_node *n, const struct packet *p)
{
    if (p->req.kind == OP_WRITE)
        write_request(w, n, p);
    else
        read_request(w, n, p);
}

/* One stage of a read: wait for what is pending, read, check the lease again, wait for time, answer. */
void kv_read(struct world *w, struct sim_node *n, uint64_t index)
{
    struct sim_read *rd = &n->reads[index];
    uint8_t key = (uint8_t)('a' + rd->key);
    struct reply r = {.client = rd->client, .attempt = rd->attempt, .ts = rd->t};

    if (!rd->used)
        return;
    if (rd->strong && (rd->term != n->term || !lease_covers(w, n, rd->t))) {
        r.st = ST_RETRY;
    } else if (!rd->done && rd->strong &&
               readmark_blocked(n->marks, bytes_of(&key, 1), rd->t, NULL)) {
        sim_event(w, w->now + 200 * NS_PER_US, EV_READ, n->id, index, 0, NULL);
        return;
    } else if (!rd->done) {
        struct version v = version_at(n, rd->key, rd->t);

        rd->done = true;
        rd->seen_ts = v.ts;
        rd->value = v.value;
        sim_event(w, w->now + rng_between(&w->rng, 0, 100 * NS_PER_US), EV_READ, n->id, index, 0,
                  NULL);
        return;
    } else if (!tt_passed(clock_now(w, n), rd->seen_ts)) {
        sim_event(w, w->now + 200 * NS_PER_US, EV_READ, n->id, index, 0, NULL);
        return;
    } else {
        r.st = ST_OK;
        r.seen_ts = rd->seen_ts;
        r.value = rd->value;
    }
    rd->used = false;
    answer(w, n, gateway_of(w, rd->client), r);
}
