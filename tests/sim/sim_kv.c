/* Replicated registers: how a leader serves writes and reads, by the rules of the transaction floor. */
#include "sim.h"

#include "base/check.h"
#include "storage/group_int.h"
#include "storage/mvcc.h"

enum { STAMP_NS = 100 * NS_PER_US, STAMP_LATE_NS = 5 * NS_PER_MS, POLL_NS = 200 * NS_PER_US };

/* -------- answers -------- */

static void answer(struct world *w, struct sim_node *n, node_id to, struct reply r)
{
    struct packet *p = net_packet(w, PACKET_REPLY, n->id, to);

    r.hint = group_leader(node_group(n));
    p->rep = r;
    net_send(w, p);
}

static void answer_write(struct sim_write *wr, enum status st)
{
    struct world *w = wr->node->world;

    answer(
        w, wr->node, w->clients[wr->client].gateway,
        (struct reply){.client = wr->client, .attempt = wr->attempt, .st = st, .ts = wr->cmd.ts});
}

/* Close to its time, and the same in each attempt. */
static struct txn_id id_of(const struct world *w, uint64_t id)
{
    return (struct txn_id){
        .start = w->now_zero + (tstamp)id, .gateway = 1, .counter = (uint32_t)id};
}

/* -------- the life of a write -------- */

static void unlink_write(struct sim_node *n, struct sim_write *wr)
{
    struct sim_write **at = &n->writes;

    while (*at != NULL && *at != wr)
        at = &(*at)->next;
    if (*at != NULL)
        *at = wr->next;
}

/* Applied here, or surely never will be, or its term is over. */
static void settle(struct sim_write *wr)
{
    struct sim_node *n = wr->node;

    if (!wr->marked || wr->life != n->life || wr->term != n->term)
        return;
    wr->marked = false;
    if (wr->cmd.ts != 0)
        tsalloc_settle(&n->alloc, wr->cmd.ts);
    readmark_write_end(n->marks, &wr->mark);
    unlink_write(n, wr);
}

static struct sim_write *of_command(struct command *c)
{
    return (struct sim_write *)c; /* its first member */
}

static void on_done(struct command *c, enum status st)
{
    struct sim_write *wr = of_command(c);
    struct sim_node *n = wr->node;

    if (!n->up || wr->life != n->life)
        return; /* the node is gone: nobody is answered */
    wr->state = WRITE_DONE;
    if (st == ST_OK)
        check_ack(n->world, n, wr);
    else if (st == ST_RETRY)
        check_refused(n->world, wr);
    if (st != ST_OK || !wr->blind)
        answer_write(wr, st);
    if (st == ST_RETRY)
        settle(wr);
}

/* Its id may have had an outcome before, and then that one stands. */
static void answer_blind(struct sim_write *wr)
{
    struct world *w = wr->node->world;
    struct reply r = {.client = wr->client, .attempt = wr->attempt, .st = ST_OK};

    if (tablet_outcome(group_tablet(node_group(wr->node)), id_of(w, wr->id), &r.ts) != ST_OK)
        sim_fail(w, "n%u has applied write %llu and knows no outcome", wr->node->id,
                 (unsigned long long)wr->id);
    answer(w, wr->node, w->clients[wr->client].gateway, r);
}

static void on_applied(struct command *c)
{
    struct sim_write *wr = of_command(c);

    if (!wr->node->up || wr->life != wr->node->life)
        return;
    if (wr->blind)
        answer_blind(wr);
    settle(wr);
}

static void begin_pending(struct sim_write *wr)
{
    readmark_write_begin(wr->node->marks, &wr->mark);
    wr->marked = true;
}

static void encode(struct world *w, struct sim_write *wr)
{
    struct buf b = {0}, value = {0};
    struct record_write put = {.key = bytes_of(&wr->key_text, 1)};
    struct record rec = {.kind = RECORD_COMMIT,
                         .id = id_of(w, wr->id),
                         .ts = wr->cmd.ts,
                         .until = TSTAMP_MAX,
                         .writes = &put,
                         .n_writes = 1};

    buf_put_u64(&value, wr->value);
    put.value = buf_bytes(&value);
    record_encode(&b, &rec);
    wr->cmd.body = arena_copy(&w->mem, buf_bytes(&b));
    buf_fini(&b);
    buf_fini(&value);
}

static void refuse_write(struct sim_write *wr)
{
    wr->state = WRITE_DONE;
    answer_write(wr, ST_RETRY);
    settle(wr);
}

/* Pending first, then the marks, then (here) the timestamp, and into the log with it. */
void kv_stamp(struct world *w, struct sim_node *n, struct sim_write *wr)
{
    struct tt_interval now = clock_now(w, n);
    struct tsalloc_ask ask = {.latest = now.latest, .above = wr->floor};
    struct err err;

    if (wr->term != n->term || wr->state != WRITE_PENDING)
        return; /* kv_lost has answered it */
    if (!wr->marked)
        begin_pending(wr);
    ask.lease_end = group_lease_end(node_group(n), wr->term);
    if (tt_is_void(now) || !tsalloc_take(&n->alloc, &ask, &wr->cmd.ts)) {
        wr->cmd.ts = 0;
        refuse_write(wr);
        return;
    }
    if (wr->cmd.ts > ask.lease_end)
        sim_fail(w, "n%u assigns %lld, beyond its lease", n->id, (long long)wr->cmd.ts);
    readmark_write_set(n->marks, &wr->mark, wr->cmd.ts);
    encode(w, wr);
    wr->state = WRITE_PROPOSED;
    if (group_propose(node_group(n), &wr->cmd, &err) != ST_OK)
        refuse_write(wr);
    else
        node_poke(w, n);
}

uint64_t kv_id(struct txn_id id)
{
    return id.counter;
}

static tstamp agreed_now(const struct world *w, struct sim_node *n)
{
    const struct group_view *v = &node_group(n)->view;
    int64_t age = clock_mono(w, n) - v->agreed_mono;

    return v->agreed == 0 ? 0 : v->agreed + age - age / 4096;
}

static void new_write(struct world *w, struct sim_node *n, const struct request *q, bool blind)
{
    struct sim_write *wr = arena_zalloc(&w->mem, sizeof *wr);

    wr->node = n;
    wr->life = n->life;
    wr->term = n->term;
    wr->id = q->id;
    wr->value = q->value;
    wr->key = q->key;
    wr->client = q->client;
    wr->attempt = q->attempt;
    wr->blind = blind;
    wr->key_text = (uint8_t)('a' + q->key);
    wr->mark_key.node.key = bytes_of(&wr->key_text, 1);
    wr->mark.keys = &wr->mark_key;
    wr->mark.n = 1;
    wr->cmd.term = n->term;
    wr->cmd.done = on_done;
    wr->cmd.applied = on_applied;
    wr->next = n->writes;
    n->writes = wr;
    if (!MUTATED(&w->o, mark_read_before_pending))
        begin_pending(wr);
    wr->floor = readmark_write_floor(n->marks, &wr->mark);
    sim_event(w,
              w->now + rng_between(&w->rng, 0, rng_chance(&w->rng, 0.1) ? STAMP_LATE_NS : STAMP_NS),
              EV_STAMP, n->id, 0, 0, wr);
}

static void write_request(struct world *w, struct sim_node *n, const struct packet *p)
{
    const struct request *q = &p->req;
    struct reply no = {.client = q->client, .attempt = q->attempt, .st = ST_RETRY};
    struct txn_id id = id_of(w, q->id);
    bool blind = rng_chance(&w->rng, 0.2); /* the state machine must cope with a second commit */
    tstamp ts;

    if (n->term == 0 || tt_is_void(clock_now(w, n))) {
        answer(w, n, p->from, no);
        return;
    }
    if (!blind && tablet_outcome(group_tablet(node_group(n)), id, &ts) == ST_OK) {
        /* The same commit again: its first outcome, once that has passed. */
        no.st = agreed_now(w, n) > ts ? ST_OK : ST_RETRY;
        no.ts = ts;
        answer(w, n, p->from, no);
        return;
    }
    for (struct sim_write *wr = n->writes; wr != NULL; wr = wr->next) {
        if (wr->id == q->id) { /* also one that is chosen, until it is applied and has an outcome */
            wr->attempt = q->attempt;
            return;
        }
    }
    new_write(w, n, q, blind);
}

/* -------- leadership -------- */

static void on_leading(void *arg, uint64_t term, tstamp lease_start, tstamp floor_ts)
{
    struct sim_node *n = arg;

    if (!n->up)
        return;
    sim_trace(n->world, "n%u serves in term %llu", n->id, (unsigned long long)term);
    n->term = term;
    n->used_known = false;
    n->marks = readmark_new();
    readmark_mutate(n->marks, n->world->o.mutant);
    n->writes = NULL;
    tsalloc_lead(&n->alloc, lease_start, floor_ts);
    n->world->r.n_leaders++;
    check_leading(n->world, n);
}

static tstamp used(const struct sim_node *n)
{
    tstamp reads = readmark_highest(n->marks);

    return reads > n->alloc.used ? reads : n->alloc.used;
}

static void end_term(struct sim_node *n, bool answers)
{
    for (struct sim_write *wr = n->writes, *next; wr != NULL; wr = next) {
        next = wr->next;
        if (answers && wr->state == WRITE_PENDING)
            answer_write(wr, ST_RETRY);
        wr->state = WRITE_DONE;
        if (wr->marked)
            readmark_write_end(n->marks, &wr->mark);
        wr->marked = false;
    }
    n->writes = NULL;
    n->term = 0;
    readmark_free(n->marks);
    n->marks = NULL;
}

static void on_lost(void *arg, uint64_t term)
{
    struct sim_node *n = arg;

    if (!n->up || n->term != term)
        return;
    n->used = used(n);
    end_term(n, true);
    for (size_t i = 0; i < READS_MAX; i++)
        if (n->reads[i].strong && !MUTATED(&n->world->o, read_without_recheck))
            n->reads[i].used = false;
}

/* Asked when a clean stop gives the lease back. */
static tstamp on_promised(void *arg, uint64_t term)
{
    struct sim_node *n = arg;

    (void)term;
    n->used_known = true;
    return n->used;
}

static void on_slots(void *arg, slot_no slot, tstamp ts)
{
    struct sim_node *n = arg;

    if (n->up)
        check_applied(n->world, n, slot, ts);
}

void kv_upcalls(struct sim_node *n, struct group_upcalls *out)
{
    *out = (struct group_upcalls){.arg = n,
                                  .leading = on_leading,
                                  .lost = on_lost,
                                  .promised = on_promised,
                                  .applied = on_slots};
}

void kv_drop(struct sim_node *n)
{
    memset(n->reads, 0, sizeof n->reads);
    if (n->term != 0)
        end_term(n, false);
}

/* -------- reads -------- */

static bool lease_covers(struct world *w, struct sim_node *n, uint64_t term, tstamp t)
{
    struct tt_interval now = clock_now(w, n);
    tstamp end = group_lease_end(node_group(n), term);

    return term != 0 && !tt_is_void(now) && now.latest <= end && t <= end;
}

/* What a follower may answer: all up to there is applied. */
static tstamp safe_time(struct world *w, struct sim_node *n)
{
    tstamp ts = tablet_applied_ts(group_tablet(node_group(n)));

    return MUTATED(&w->o, follower_reads_ahead) ? ts + 100LL * NS_PER_MS : ts;
}

static void read_request(struct world *w, struct sim_node *n, const struct packet *p)
{
    const struct request *q = &p->req;
    struct reply no = {.client = q->client, .attempt = q->attempt, .st = ST_RETRY};
    bool strong = q->kind == OP_STRONG_READ;
    uint8_t key = (uint8_t)('a' + q->key);

    if (strong ? !lease_covers(w, n, n->term, q->t)
               : q->t > safe_time(w, n) || q->t < group_horizon(node_group(n))) {
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
        sim_event(w, w->now + rng_between(&w->rng, 0, POLL_NS), EV_READ, n->id, i, 0, NULL);
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

static void read_engine(struct world *w, struct sim_node *n, struct sim_read *rd)
{
    uint8_t key = (uint8_t)('a' + rd->key);
    struct arena mem;
    struct bytes value;
    struct err err;
    enum status st;

    arena_init(&mem, 0);
    st = mvcc_get(store_engine(n->store), bytes_of(&key, 1), rd->t, &mem, &value, &rd->seen_ts,
                  NULL, &err);
    if (st == ST_OK) {
        struct rd r = rd_of(value);

        rd->value = rd_u64(&r);
    } else if (st == ST_NOTFOUND) {
        rd->seen_ts = 0;
        rd->value = 0;
    } else {
        sim_fail(w, "n%u cannot read: %s", n->id, err.msg);
    }
    rd->done = true;
    arena_fini(&mem);
}

/* One stage of a read: wait for what is pending, read, check the lease again, wait for time, answer. */
void kv_read(struct world *w, struct sim_node *n, uint64_t index)
{
    struct sim_read *rd = &n->reads[index];
    uint8_t key = (uint8_t)('a' + rd->key);
    struct reply r = {.client = rd->client, .attempt = rd->attempt, .ts = rd->t};
    bool over = rd->strong && !MUTATED(&w->o, read_without_recheck) &&
                (rd->term != n->term || !lease_covers(w, n, rd->term, rd->t));

    if (!rd->used)
        return;
    if (over || (rd->done && rd->t < group_horizon(node_group(n)))) {
        r.st = ST_RETRY;
    } else if (!rd->done && rd->strong && rd->term == n->term &&
               readmark_blocked(n->marks, bytes_of(&key, 1), rd->t, NULL)) {
        sim_event(w, w->now + POLL_NS, EV_READ, n->id, index, 0, NULL);
        return;
    } else if (!rd->done) {
        read_engine(w, n, rd);
        sim_event(w, w->now + rng_between(&w->rng, 0, POLL_NS / 2), EV_READ, n->id, index, 0, NULL);
        return;
    } else if (!tt_passed(clock_now(w, n), rd->seen_ts)) {
        sim_event(w, w->now + POLL_NS, EV_READ, n->id, index, 0, NULL);
        return;
    } else {
        r.st = ST_OK;
        r.seen_ts = rd->seen_ts;
        r.value = rd->value;
    }
    rd->used = false;
    answer(w, n, w->clients[rd->client].gateway, r);
}
