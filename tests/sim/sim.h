/*
 * sim.h - the deterministic simulator: a world of nodes, disks, clocks, a network and clients, from one seed.
 *
 * The nodes are the server's own stores: worker, log writer, upkeep, groups, Paxos and support over the memory engine,
 * stepped by hand (store_step.h); before them the timestamp allocator and the read marks. The world knows true
 * time, every disk and every message, and checks what no server can check of itself. One thread; one seed is one
 * history, byte for byte (world.hash).
 *
 * sim.c the event queue and the run; sim_net.c network; sim_node.c a node's life; sim_kv.c what a leader does with
 * requests; sim_client.c clients; sim_fault.c what goes wrong; sim_members.c members that come and go; sim_check.c what must hold; sim_history.c what must hold of
 * the whole.
 */
#ifndef MRD_TESTS_SIM_SIM_H
#define MRD_TESTS_SIM_SIM_H

#ifndef MRD_MUTANTS
#define MRD_MUTANTS 1 /* as all that it is linked with is compiled */
#endif

#include "base/arena.h"
#include "base/clock.h"
#include "base/rng.h"
#include "storage/engine_mem.h"
#include "storage/group.h"
#include "storage/mutant.h"
#include "storage/store.h"
#include "storage/store_step.h"
#include "txn/readmark.h"
#include "txn/tsalloc.h"

enum { NODES_MAX = 5, CLIENTS_MAX = 6, KEYS = 4, SIM_GROUP = 1, LAG_NONE = 1000000 };

struct sim_options {
    uint64_t seed;
    size_t n_nodes; /* 0: the seed chooses */
    enum mutant mutant;
    bool trace;
    /* Of the faults, in the order in which they come, only those whose bit is set happen; NULL: all. For --minimize. */
    const uint8_t *faults_on;
    size_t n_faults_on;
    uint64_t salt;      /* of all chances but the faults' */
    size_t n_clients;   /* 0: the seed chooses */
    bool plain_network; /* nothing is lost, doubled, reordered or late by itself */
    bool good_clocks;   /* errors stay small and bounds do not change */
};

struct sim_result {
    bool failed;
    char why[512];
    const char *check; /* which one has failed: static text, the same for each failure of it */
    uint64_t hash;     /* of the history */
    int64_t sim_ns;
    uint64_t n_changes; /* of the members, that were taken */
    uint64_t n_events, n_writes, n_reads, n_leaders, n_crashes, n_faults;
};

void sim_run(const struct sim_options *opts, struct sim_result *out);
/* The same in a child process; true if nothing failed. */
bool sim_child(const struct sim_options *opts, struct sim_result *out);
int sim_minimize(const struct sim_options *opts); /* prints; an exit code */
const char *sim_mutant_name(enum mutant m);       /* NULL behind the last */
const char *sim_mutant_what(enum mutant m);

/* -------- events -------- */

enum event_kind {
    EV_DELIVER,   /* ptr: packet that reaches the node */
    EV_ROUND,     /* the worker's turn */
    EV_WAKE,      /* the worker's timer; a: generation */
    EV_SYNC_DONE, /* the log writer's batch is on the disk; a: generation */
    EV_UPKEEP,    /* the upkeep's turn */
    EV_SNAPSHOTS, /* the turn of snapshots that come and go; a: generation */
    EV_STAMP,     /* ptr: struct sim_write that is pending and wants its timestamp */
    EV_READ,      /* a: index of the read */
    EV_RESTART,
    EV_STOPPED, /* clean stop: its patience is over */
    EV_CLIENT,  /* a: client, b: generation */
    EV_FAULT,
    EV_LINK,  /* the link from a to b works again */
    EV_SPACE, /* the disk of node a has room again */
    EV_HEAL
};

struct event {
    int64_t at;   /* true time */
    uint64_t seq; /* order of making: ties */
    enum event_kind kind;
    node_id node;  /* 0: the world's own */
    uint64_t life; /* of the node; an event of an earlier life is dropped */
    uint64_t a, b;
    void *ptr; /* in world.mem */
};

/* -------- clock -------- */

struct sim_clock {
    int64_t since;         /* true time of the last change */
    double error_ns, rate; /* error then, and its growth (ns per ns) */
    int64_t bound_ns;
    bool lies;        /* its error may exceed its bound */
    double mono_rate; /* of the monotonic clock: 1 + drift */
    int64_t mono_base, mono_since;
    int64_t void_until;
};

/* -------- node -------- */

struct world;

/* A write at its leader. In world.mem, so that a late event or callback finds it. */
struct sim_write {
    struct command cmd; /* first member: the store's */
    struct sim_node *node;
    uint64_t life, term;
    uint64_t id, value;
    uint32_t key, client;
    uint64_t attempt;
    enum { WRITE_PENDING, WRITE_PROPOSED, WRITE_DONE } state;
    bool blind;  /* the outcome of its id was not asked for: it may be there */
    bool marked; /* its key is pending in the marks of its term */
    tstamp floor;
    uint8_t key_text;
    struct readmark_key mark_key;
    struct readmark_write mark;
    struct sim_write *next;
};

struct sim_read {
    bool used;
    bool strong;
    uint32_t client;
    uint64_t attempt;
    uint32_t key;
    tstamp t;
    uint64_t term; /* of the leadership, strong reads */
    bool done;     /* the engine was read; what was found: */
    tstamp seen_ts;
    uint64_t value;
};

enum { READS_MAX = 64 };

struct sim_node {
    node_id id;
    struct world *world;
    bool up, stopping;
    uint64_t life;
    int64_t paused_until;
    struct sim_clock clock;
    /* its disk */
    struct memdisk *disk;
    struct engine *durable; /* what a crash would leave of it */
    struct faults *faults;
    int64_t slow_until, hangs_until;
    bool full;
    int64_t synced_at; /* true time of the last successful sync, 0 never in this life */
    /* its store */
    struct store *store;
    struct store_hand hand;
    bool syncing, round_due, dies;
    uint64_t wake, sync, snapshots; /* generations */
    /* what its core said last */
    enum paxos_role role;
    struct ballot ballot;
    slot_no checked; /* agreement was, up to here */
    slot_no dropped; /* from the log's head, in any life */
    /* Its promise and the end of its log: given to the log writer, being synced, durable. */
    struct ballot flushed, taken, synced;
    slot_no last, last_flushed, last_taken, last_synced;
    size_t lead;          /* index of its leadership in world.leads */
    size_t chosen_before; /* that leadership: 1 + last slot that anybody knew as chosen */
    /* leadership, as the floor above knows it */
    uint64_t term; /* 0: does not lead */
    struct tsalloc alloc;
    struct readmark *marks;
    struct sim_write *writes; /* of the term, not yet over */
    tstamp used;              /* of the last term: the highest that was used or promised */
    bool used_known;          /* a clean stop has told it */
    struct sim_read reads[READS_MAX];
};

/* -------- client -------- */

enum op_kind { OP_WRITE, OP_STRONG_READ, OP_SNAPSHOT_READ };

struct op {
    enum op_kind kind;
    uint32_t key;
    uint64_t id, value;   /* write */
    tstamp ts;            /* commit or read timestamp */
    tstamp seen_ts;       /* read: version that was met, 0 none */
    int64_t began, ended; /* true time; ended 0: unknown outcome */
};

struct sim_client {
    bool busy;
    struct op op;
    node_id gateway, target, hint;
    uint64_t attempt, generation;
    uint64_t n_done_after_heal;
};

/* -------- world -------- */

struct truth_slot {
    bool known;
    enum paxos_entry_kind kind;
    struct bytes payload; /* in world.mem */
    bool has_digest;
    uint64_t digest; /* of the rows after it */
};

struct leadership {
    node_id node;
    struct ballot ballot;
    tstamp start, end; /* lease start, and the largest end that it was told */
};

/* A command that was surely never chosen, as its proposer was told. */
struct refused {
    uint64_t id;
    tstamp ts;
};

struct profile {
    int64_t lease_ns; /* all that goes wrong lasts in proportion: short leases see more of it */
    double loss, duplicate, reorder, late;
    int64_t delay_min_ns, delay_max_ns;
    int64_t sync_min_ns, sync_max_ns;
    node_id slow_node; /* whose disk takes ten times as long; 0 none */
    int64_t bound_max_ns;
    int64_t think_ns;
    int64_t fault_gap_ns;
    uint64_t log_cache_bytes, keep_slots, lag_slots;
    int64_t checkpoint_ns;
    bool
        lying_clock; /* one node's clock breaks its bound: only the weaker guarantees are checked */
};

struct world {
    struct sim_options o;
    struct sim_result r;
    struct arena mem;
    struct rng rng;
    struct rng chance;     /* of the fault that is being made */
    int64_t now, now_zero; /* true time, and where it began */
    struct event *heap;
    size_t n_heap, cap_heap;
    uint64_t n_seq;
    struct profile prof;
    size_t n_nodes, n_founders; /* the first of the nodes: voters from the start, the rest join */
    struct sim_node nodes[NODES_MAX];
    bool cut[NODES_MAX + 1][NODES_MAX + 1]; /* from, to: nothing arrives */
    bool healed;
    int64_t heal_at, end_at;
    size_t n_clients;
    struct sim_client clients[CLIENTS_MAX];
    uint64_t n_ids;
    /* what the world knows */
    struct truth_slot *truth; /* by slot */
    size_t n_truth, cap_truth;
    struct leadership *leads;
    size_t n_leads, cap_leads;
    struct op *ops;
    size_t n_ops, cap_ops;
    struct ballot *released; /* ballots that their owners released */
    size_t n_released, cap_released;
    struct refused *refused;
    size_t n_refused, cap_refused;
};

/* sim.c */
void sim_event(struct world *w, int64_t at, enum event_kind kind, node_id node, uint64_t a,
               uint64_t b, void *ptr);
void sim_fail(struct world *w, const char *fmt, ...) MRD_PRINTF(2, 3);
void sim_trace(struct world *w, const char *fmt, ...) MRD_PRINTF(2, 3);
struct sim_node *sim_node(struct world *w, node_id id);
uint64_t sim_hash(uint64_t h, const void *ptr, size_t len);
struct tt_interval clock_now(const struct world *w, const struct sim_node *n);
int64_t clock_mono(const struct world *w, const struct sim_node *n);
int64_t clock_true_of_mono(const struct sim_node *n, int64_t mono_ns);
void clock_change(struct world *w, struct sim_node *n);
/* Grows a vector by one element; VEC_PUSH is the place of the new one. */
#define VEC_PUSH(vec, n, cap) (*(typeof(vec))(sim_grow_into(&(vec), &(n), &(cap), sizeof *(vec))))
void *sim_grow_into(void *vecp, size_t *n, size_t *cap, size_t size);

/* sim_net.c */
enum packet_kind { PACKET_STORE, PACKET_REQUEST, PACKET_REPLY };
struct request {
    enum op_kind kind;
    uint32_t client, key;
    uint64_t attempt, id, value;
    tstamp t;
};
struct reply {
    uint32_t client;
    uint64_t attempt;
    enum status st;
    tstamp ts, seen_ts;
    uint64_t value;
    node_id hint;
};
struct packet {
    enum packet_kind kind;
    node_id from, to;
    uint16_t type;           /* STORE */
    struct tt_interval time; /* STORE: the sender's, as every frame carries it */
    struct bytes body;       /* STORE; in world.mem */
    struct request req;
    struct reply rep;
};
struct packet *net_packet(struct world *w, enum packet_kind kind, node_id from, node_id to);
void net_send(struct world *w, struct packet *p);

/* sim_node.c */
void node_init(struct world *w, struct sim_node *n);
void node_fini(struct sim_node *n);
void node_start(struct world *w, struct sim_node *n);
void node_crash(struct world *w, struct sim_node *n);
void node_event(struct world *w, struct sim_node *n, const struct event *e);
void node_poke(struct world *w, struct sim_node *n);     /* the worker has something to do */
void node_stop(struct world *w, struct sim_node *n);     /* clean: releases first */
void node_campaign(struct world *w, struct sim_node *n); /* out of turn */
void node_full_disk(struct sim_node *n, bool full);      /* commits meet ENOSPC */
void node_disk_heals(struct world *w, struct sim_node *n);
void node_failing_disk(struct sim_node *n); /* the next sync fails */
struct group *node_group(struct sim_node *n);

/* sim_kv.c */
void kv_upcalls(struct sim_node *n, struct group_upcalls *out);
void kv_request(struct world *w, struct sim_node *n, const struct packet *p);
void kv_stamp(struct world *w, struct sim_node *n, struct sim_write *wr);
void kv_read(struct world *w, struct sim_node *n, uint64_t index);
void kv_drop(struct sim_node *n); /* the node is gone, with all that it had in memory */
uint64_t kv_id(struct txn_id id);

/* sim_client.c */
void client_event(struct world *w, uint32_t client, uint64_t generation);
void client_reply(struct world *w, const struct reply *r);

/* sim_fault.c */
void fault_profile(struct world *w);
void fault_event(struct world *w);
void fault_heal(struct world *w);
void fault_link_heals(struct world *w, node_id from, node_id to);
void fault_members(struct world *w,
                   struct sim_node *n); /* sim_members.c: n, a leader, changes the group */
void fault_disk_has_room(struct world *w, node_id id);

/* sim_check.c */
void check_stepped(struct world *w, struct sim_node *n, const struct paxos_out *out);
void check_applied(struct world *w, struct sim_node *n, slot_no slot, tstamp ts);
void check_ack(struct world *w, const struct sim_node *n, const struct sim_write *wr);
void check_gone(struct world *w, const struct sim_node *n, tstamp used); /* no longer relied on */
void check_leading(struct world *w, struct sim_node *n);
void check_found(struct world *w, struct sim_node *n); /* after a start */
/* Do these nodes, by number, hold a quorum of every side of a configuration? */
bool check_quorum(const struct paxos_config *c, const bool *holds);
void check_support(struct world *w, struct sim_node *n);
void check_refused(struct world *w, const struct sim_write *wr);

/* sim_history.c */
void check_end(struct world *w);

#endif
