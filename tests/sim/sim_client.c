/* Clients: writes that are repeated under one id until they are known, strong reads, reads of the past. */
#include "sim.h"

enum { GATEWAY_RETRY_NS = 50 * NS_PER_MS };

static void think(struct world *w, uint32_t client)
{
    struct sim_client *c = &w->clients[client];

    c->busy = false;
    sim_event(w, w->now + rng_between(&w->rng, w->prof.think_ns / 4, w->prof.think_ns * 2),
              EV_CLIENT, 0, client, ++c->generation, NULL);
}

static void record(struct world *w, struct sim_client *c, int64_t ended)
{
    c->op.ended = ended;
    VEC_PUSH(w->ops, w->n_ops, w->cap_ops) = c->op;
}

static bool gateway_works(struct world *w, node_id id)
{
    struct sim_node *n = sim_node(w, id);

    return n->up && w->now >= n->paused_until && !tt_is_void(clock_now(w, n));
}

static bool choose_gateway(struct world *w, struct sim_client *c)
{
    if (c->gateway != 0 && gateway_works(w, c->gateway) && !rng_chance(&w->rng, 0.05))
        return true;
    for (int i = 0; i < 4; i++) {
        c->gateway = (node_id)(1 + rng_below(&w->rng, w->n_nodes));
        if (gateway_works(w, c->gateway))
            return true;
    }
    return false;
}

static void new_op(struct world *w, struct sim_client *c)
{
    double x = rng_unit(&w->rng);

    c->op = (struct op){.kind = x < 0.5    ? OP_WRITE
                                : x < 0.85 ? OP_STRONG_READ
                                           : OP_SNAPSHOT_READ,
                        .key = (uint32_t)rng_below(&w->rng, KEYS),
                        .began = w->now};
    if (c->op.kind == OP_WRITE)
        c->op.id = c->op.value = ++w->n_ids;
    c->attempt++; /* answers to the operation before are not for this one */
    c->busy = true;
}

static void attempt(struct world *w, uint32_t client)
{
    struct sim_client *c = &w->clients[client];
    struct packet *p;

    sim_event(w, w->now + rng_between(&w->rng, 100LL * NS_PER_MS, 400LL * NS_PER_MS), EV_CLIENT, 0,
              client, ++c->generation, NULL);
    if (!choose_gateway(w, c))
        return;
    if (c->target == 0 || rng_chance(&w->rng, 0.1))
        c->target = (node_id)(1 + rng_below(&w->rng, w->n_nodes));
    if (c->op.kind != OP_WRITE) {
        tstamp latest = clock_now(w, sim_node(w, c->gateway)).latest;

        c->op.began = w->now;
        c->op.ts = latest;
        if (c->op.kind == OP_SNAPSHOT_READ) {
            c->op.ts -= rng_between(&w->rng, 0, NS_PER_S);
            c->target = (node_id)(1 + rng_below(&w->rng, w->n_nodes));
        }
    }
    p = net_packet(w, PACKET_REQUEST, c->gateway, c->target);
    p->req = (struct request){.kind = c->op.kind,
                              .client = client,
                              .key = c->op.key,
                              .attempt = ++c->attempt,
                              .id = c->op.id,
                              .value = c->op.value,
                              .t = c->op.ts};
    net_send(w, p);
}

void client_event(struct world *w, uint32_t client, uint64_t generation)
{
    struct sim_client *c = &w->clients[client];

    if (generation != c->generation)
        return;
    if (!c->busy) {
        new_op(w, c);
    } else {
        c->target = c->hint; /* 0 if it did not answer in time */
        c->hint = 0;
        if (c->op.kind == OP_SNAPSHOT_READ) {
            think(w, client);
            return;
        }
    }
    attempt(w, client);
}

static void retry_soon(struct world *w, uint32_t client)
{
    struct sim_client *c = &w->clients[client];

    sim_event(w, w->now + rng_between(&w->rng, NS_PER_MS, GATEWAY_RETRY_NS), EV_CLIENT, 0, client,
              ++c->generation, NULL);
}

void client_reply(struct world *w, const struct reply *r)
{
    struct sim_client *c = &w->clients[r->client];

    if (!c->busy || r->attempt != c->attempt)
        return;
    if (r->st != ST_OK) {
        c->hint = r->hint;
        retry_soon(w, r->client);
        return;
    }
    if (c->op.kind == OP_WRITE) {
        c->op.ts = r->ts;
        w->r.n_writes++;
        if (w->healed)
            c->n_done_after_heal++;
    } else {
        c->op.seen_ts = r->seen_ts;
        c->op.value = r->value;
        w->r.n_reads++;
    }
    record(w, c, w->now);
    think(w, r->client);
}
