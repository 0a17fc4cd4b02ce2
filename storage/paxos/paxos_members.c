/*
 * Who counts: the configurations of the log, the table of peers, quorums.
 *
 * The configuration in force is the last one in the log, chosen or not; a candidate that takes a log with a later one
 * goes on until it has that one's quorum. So a configuration that is chosen is known to whoever can win: it was
 * chosen by a quorum of its own, which shares a voter with every quorum of the one before it.
 */
#include <stdlib.h>

#include "base/check.h"
#include "storage/paxos/paxos_int.h"

enum { LEFT_ELECTIONS = 10 }; /* election times in which a leader still tells who has left */

const struct paxos_config *px_config(const struct paxos *p)
{
    return &p->configs[p->n_configs - 1].config;
}

slot_no px_config_slot(const struct paxos *p)
{
    return p->configs[p->n_configs - 1].slot;
}

bool px_votes(const struct peer *peer)
{
    return peer->part == PAXOS_PART_VOTER || peer->old_part == PAXOS_PART_VOTER;
}

bool px_can_lead(const struct paxos *p)
{
    return px_votes(p->self) && !p->no_data && (!p->self->witness || MUTATED(&p->o, witness_leads));
}

struct peer *px_peer(struct paxos *p, node_id node)
{
    for (size_t i = 0; i < p->n_peers; i++)
        if (p->peers[i].node == node)
            return &p->peers[i];
    return NULL;
}

bool px_data_voter(const struct peer *peer)
{
    return peer->part == PAXOS_PART_VOTER && !peer->witness;
}

static struct peer *add_peer(struct paxos *p, node_id node)
{
    ASSERT(p->n_peers < PEERS_MAX);
    if (p->n_peers == p->cap_peers) {
        p->cap_peers += 4;
        p->peers = xrealloc(p->peers, p->cap_peers * sizeof *p->peers);
        p->self = &p->peers[0];
    }
    memset(&p->peers[p->n_peers], 0, sizeof p->peers[0]); /* padding too: states are compared */
    p->peers[p->n_peers].node = node;
    return &p->peers[p->n_peers++];
}

/* A leader keeps who has just left, so that they learn it from the log. */
static bool stays(const struct paxos *p, const struct peer *peer)
{
    if (peer->part != PAXOS_PART_NONE || peer->old_part != PAXOS_PART_NONE)
        return true;
    return px_leads(p) && p->mono < peer->left_mono + LEFT_ELECTIONS * p->o.election_max_ns &&
           (peer->match < peer->left || peer->told < peer->left) && p->n_peers < PEERS_MAX / 2;
}

static void keep_those_who_stay(struct paxos *p)
{
    size_t kept = 1;

    for (size_t i = 1; i < p->n_peers; i++)
        if (stays(p, &p->peers[i]))
            p->peers[kept++] = p->peers[i];
    p->n_peers = kept;
}

void px_drop_gone(struct paxos *p)
{
    for (size_t i = 1; i < p->n_peers; i++) {
        if (!stays(p, &p->peers[i])) {
            keep_those_who_stay(p);
            return;
        }
    }
}

/* Peers keep what is known of them as long as they are members. */
static void take_members(struct paxos *p)
{
    const struct paxos_config *c = px_config(p);

    for (size_t i = 0; i < p->n_peers; i++) {
        struct peer *peer = &p->peers[i];
        bool was = peer->part != PAXOS_PART_NONE || peer->old_part != PAXOS_PART_NONE;
        bool is = paxos_config_find(c, peer->node) != NULL;

        peer->part = peer->old_part = PAXOS_PART_NONE;
        if (is) {
            peer->part = PAXOS_PART_LEARNER; /* the right one comes below */
            peer->left = 0;
        } else if (was) {
            peer->left = px_config_slot(p);
            peer->left_mono = p->mono;
        }
    }
    keep_those_who_stay(p);
    for (size_t i = 0; i < c->n; i++) {
        const struct paxos_member *m = &c->members[i];
        struct peer *peer = px_peer(p, m->node);

        if (peer == NULL) {
            peer = add_peer(p, m->node);
            if (px_leads(p))
                px_lead_peer(p, peer, p->log.last);
        }
        peer->part = (enum paxos_part)m->part;
        peer->old_part = (enum paxos_part)m->old_part;
        peer->witness = m->witness;
        peer->preference = m->preference;
    }
}

static void push(struct paxos *p, slot_no slot, const struct paxos_config *config)
{
    if (p->n_configs == p->cap_configs) {
        p->cap_configs = p->cap_configs == 0 ? 2 : p->cap_configs * 2;
        p->configs = xrealloc(p->configs, p->cap_configs * sizeof *p->configs);
    }
    p->configs[p->n_configs++] = (struct config_at){slot, *config};
}

void px_config_push(struct paxos *p, slot_no slot, struct bytes payload)
{
    struct rd r = rd_of(payload);
    struct paxos_config config;
    bool good = paxos_config_decode(&r, &config);

    ASSERT(good && slot > px_config_slot(p)); /* checked where it came in */
    push(p, slot, &config);
    take_members(p);
}

void px_config_init(struct paxos *p, const struct paxos_options *opts,
                    const struct paxos_start *start)
{
    p->hard = start->hard;
    if (p->hard.config.n == 0)
        paxos_config_of(&p->hard.config, opts->voters, opts->n_voters);
    p->self = add_peer(p, opts->self);
    push(p, p->hard.config_slot, &p->hard.config);
    take_members(p);
    for (size_t i = 0; i < start->n_entries; i++)
        if (start->entries[i].kind == PAXOS_ENTRY_CONFIG &&
            start->entries[i].slot > p->hard.config_slot)
            px_config_push(p, start->entries[i].slot, start->entries[i].payload);
}

void px_config_cut(struct paxos *p, slot_no from)
{
    size_t had = p->n_configs;

    while (p->n_configs > 1 && px_config_slot(p) >= from)
        p->n_configs--;
    if (p->n_configs != had)
        take_members(p);
}

static void drop_first(struct paxos *p, size_t n)
{
    p->n_configs -= n;
    memmove(p->configs, p->configs + n, p->n_configs * sizeof *p->configs);
}

void px_config_forget(struct paxos *p)
{
    size_t n = 0;

    while (n + 1 < p->n_configs && p->configs[n + 1].slot < p->log.first)
        n++;
    drop_first(p, n);
}

void px_config_install(struct paxos *p, slot_no slot, slot_no config_slot,
                       const struct paxos_config *config)
{
    size_t n = 0;

    while (n < p->n_configs && p->configs[n].slot <= slot)
        n++;
    if (n == 0)
        return; /* the one that is known to be chosen is newer */
    n--;
    p->configs[n] = (struct config_at){config_slot, *config};
    drop_first(p, n);
    if (config_slot > p->hard.config_slot || p->hard.config.n == 0) {
        p->hard.config_slot = config_slot;
        p->hard.config = *config;
    }
    take_members(p);
}

void px_config_chosen(struct paxos *p)
{
    for (size_t i = p->n_configs; i > 0; i--) {
        const struct config_at *c = &p->configs[i - 1];

        if (c->slot > p->chosen)
            continue;
        if (c->slot <= p->hard.config_slot)
            return;
        p->hard.config_slot = c->slot;
        p->hard.config = c->config;
        px_begin_write(p);
        p->wrote_hard = true;
        p->config_seq = p->step_write;
        px_trace(p, "n%u configuration of slot %llu is chosen", p->o.self,
                 (unsigned long long)c->slot);
        return;
    }
}

slot_no px_config_apply_limit(const struct paxos *p)
{
    return p->config_seq > p->durable_seq ? p->hard.config_slot - 1 : UINT64_MAX;
}

const struct paxos_config *paxos_config_at(const struct paxos *p, slot_no slot,
                                           slot_no *out_config_slot)
{
    for (size_t i = p->n_configs; i > 0; i--) {
        if (p->configs[i - 1].slot <= slot) {
            *out_config_slot = p->configs[i - 1].slot;
            return &p->configs[i - 1].config;
        }
    }
    return NULL;
}

static int64_t half(const struct paxos *p, const int64_t *values, size_t short_by, bool old)
{
    int64_t sorted[PEERS_MAX];
    size_t n = 0;

    for (size_t i = 0; i < p->n_peers; i++) {
        enum paxos_part part = old ? p->peers[i].old_part : p->peers[i].part;
        size_t j = n;

        if (part != PAXOS_PART_VOTER &&
            !(part == PAXOS_PART_LEARNER && MUTATED(&p->o, learner_counts)))
            continue;
        for (; j > 0 && sorted[j - 1] < values[i]; j--)
            sorted[j] = sorted[j - 1];
        sorted[j] = values[i];
        n++;
    }
    return n == 0 ? 0 : sorted[n / 2 > short_by ? n / 2 - short_by : 0];
}

int64_t px_quorum(const struct paxos *p, const int64_t *values, size_t short_by)
{
    int64_t now = half(p, values, short_by, false), was;

    if (!px_config(p)->joint || MUTATED(&p->o, joint_counts_one_side))
        return now;
    was = half(p, values, short_by, true);
    return was < now ? was : now;
}
