/*
 * members.h - a world in which a Paxos group changes its members and its leader while everything goes wrong.
 *
 * Up to seven nodes run the server's own core and support, with virtual network, disks and time, from one seed. What they
 * agree on is a chain of hashes, so a snapshot is a slot and a hash. The world knows true time and every disk. members_world.c:
 * events, network, faults; members_node.c: a node's shell; members_check.c: what must hold.
 */
#ifndef MRD_TESTS_MEMBERS_MEMBERS_H
#define MRD_TESTS_MEMBERS_MEMBERS_H

#include "base/clock.h"
#include "base/rng.h"
#include "storage/paxos/paxos.h"

enum { NODES = 7, SLOTS_MAX = 1 << 16 };

#define LEASE_NS (2LL * NS_PER_S)
#define T_HEAL   (1000LL * NS_PER_S + 15LL * NS_PER_S)
#define T_END    (T_HEAL + 12LL * NS_PER_S)

struct mentry {
    struct ballot ballot;
    enum paxos_entry_kind kind;
    struct bytes payload; /* of the world's heap, never freed */
};

struct mlog {
    struct paxos_hard hard;
    struct paxos_head head;
    struct mentry *e; /* [slot - head.first] */
    size_t n, cap;
};

struct mwrite {
    uint64_t seq;
    bool has_hard, has_head;
    struct paxos_hard hard;
    struct paxos_head head;
    slot_no cut_from, first;
    struct mentry *e;
    size_t n;
};

/* Data at a slot; what a checkpoint or a snapshot is. */
struct mdata {
    slot_no slot;
    uint64_t hash;
};

struct msnapshot {
    struct mdata data;
    struct ballot ballot;
    slot_no config_slot;
    struct paxos_config config;
};

struct mheld {
    struct paxos_msg msg;
    uint64_t after_write;
};

struct mnode {
    node_id id;
    bool up;
    bool witness; /* its store is one */
    uint64_t life, incarnation;
    int64_t error_ns, bound_ns, paused_until;
    struct paxos *paxos;
    struct support *support;
    struct mlog cur, durable;
    struct mwrite *writes;
    size_t n_writes, cap_writes, n_syncing;
    bool syncing;
    uint64_t durable_seq, paxos_timer, support_timer;
    struct mheld *held;
    size_t n_held, cap_held;
    struct mdata data, checkpoint;
    struct msnapshot installed; /* the last one: durable with the checkpoint */
    int64_t snapshot_due[NODES + 1];
    /* What the last step said. */
    struct paxos_out out;                      /* its pointers are stale */
    struct paxos_config config, config_before; /* in force after it, and before it */
    bool shut;                                 /* the shell has shut its term, to hand over */
    tstamp hand_used;                          /* not taken yet: again, to anybody; 0 it was */
    size_t lead;
    slot_no asked_chosen; /* chosen anywhere when it asked */
    uint64_t asked;
};

struct mlead {
    node_id node;
    struct ballot ballot;
    tstamp start, end;
    bool frozen; /* handed over: nothing above `end` was used */
};

enum mevent_kind {
    M_PACKET,
    M_PAXOS,
    M_SUPPORT,
    M_SYNC,
    M_INSTALL,
    M_CHECKPOINT,
    M_RESTART,
    M_FAULT
};

struct mevent {
    int64_t at;
    uint64_t seq, life, a;
    enum mevent_kind kind;
    node_id node, from;
    bool is_support;
    struct support_msg support;
    struct bytes body;
    struct msnapshot *snapshot;
};

struct world {
    uint64_t seed;
    MUTANT_FIELD
    bool trace;
    struct arena *mem;
    struct rng rng;
    int64_t now;
    struct mevent *heap;
    size_t n_heap, cap_heap;
    uint64_t n_seq, n_values, hash;
    struct mnode node[NODES + 1];
    bool cut[NODES + 1][NODES + 1];
    double loss, duplicate, late, propose;
    int64_t delay_max_ns, sync_max_ns, fault_gap_ns;
    bool healed;
    int64_t burst_until; /* changes one after the other */
    /* truth */
    struct {
        bool known;
        uint64_t entry, state;
    } * slot;
    slot_no chosen; /* highest anywhere */
    struct mlead *leads;
    size_t n_leads, cap_leads;
    bool failed;
    char why[256];
    uint64_t n_changes, n_transfers, n_installs, n_confirms, n_crashes;
    slot_no chosen_at_heal;
};

/* members_world.c */
void world_run(struct world *w);
void world_fail(struct world *w, const char *fmt, ...) MRD_PRINTF(2, 3);
void world_trace(struct world *w, const char *fmt, ...) MRD_PRINTF(2, 3);
struct mevent *world_event(struct world *w, int64_t at, enum mevent_kind kind, struct mnode *n);
void world_send(struct world *w, node_id from, node_id to, const struct paxos_msg *m,
                const struct support_msg *s);
uint64_t world_hash(uint64_t h, const void *ptr, size_t len);

/* members_node.c */
void node_start(struct world *w, struct mnode *n);
void node_crash(struct world *w, struct mnode *n);
void node_event(struct world *w, struct mnode *n, const struct mevent *e);
void node_paxos(struct world *w, struct mnode *n, struct paxos_in in);
void node_fini(struct mnode *n);

/* members_check.c */
void check_step(struct world *w, struct mnode *n);
void check_chosen(struct world *w, struct mnode *n, slot_no slot, const struct mentry *e);
void check_state(struct world *w, struct mnode *n);
void check_handed(struct world *w, struct mnode *n, tstamp used);
/* A change was taken: its new voters must have caught up, about. */
void check_change(struct world *w, const struct mnode *n, const struct paxos_config *was,
                  const struct paxos_config *want);
void check_end(struct world *w);

#endif
