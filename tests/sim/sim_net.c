/* The network: every packet is encoded, and may be lost, doubled, late, or overtake another. */
#include "sim.h"

struct packet *net_packet(struct world *w, enum packet_kind kind, node_id from, node_id to)
{
    struct packet *p = arena_zalloc(&w->mem, sizeof *p);

    p->kind = kind;
    p->from = from;
    p->to = to;
    return p;
}

static void transmit(struct world *w, struct packet *p)
{
    int64_t delay = rng_between(&w->rng, w->prof.delay_min_ns, w->prof.delay_max_ns);

    if (rng_chance(&w->rng, w->prof.reorder))
        delay += rng_between(&w->rng, 0, w->prof.lease_ns / 40);
    if (rng_chance(&w->rng, w->prof.late))
        delay += rng_between(&w->rng, 0, 2 * w->prof.lease_ns);
    if (p->from == p->to)
        delay = 5 * NS_PER_US;
    sim_event(w, w->now + delay, EV_DELIVER, p->to, 0, 0, p);
}

void net_send(struct world *w, struct packet *p)
{
    if (p->from != p->to && (w->cut[p->from][p->to] || rng_chance(&w->rng, w->prof.loss)))
        return;
    transmit(w, p);
    if (p->from != p->to && rng_chance(&w->rng, w->prof.duplicate))
        transmit(w, p);
}
