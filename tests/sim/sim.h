/*
 * sim.h - the deterministic simulator: a world of nodes, disks, clocks, a network and clients, from one seed.
 *
 * The nodes run the very objects of the server: support, Paxos, the timestamp allocator and the read marks. The
 * world knows true time, every disk and every message, and checks what no server can check of itself. One thread;
 * one seed is one history, byte for byte (world.hash).
 *
 * sim.c the event queue and the run; sim_net.c network; sim_disk.c disks; sim_node.c a node's shell around
 * the cores; sim_kv.c what a leader does with requests; sim_client.c clients; sim_fault.c what goes wrong; sim_check.c
 * what must hold.
 */
#ifndef MRD_TESTS_SIM_SIM_H
#define MRD_TESTS_SIM_SIM_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/rng.h"
#include "storage/mutant.h"
#include "storage/paxos/paxos.h"
#include "storage/paxos/support.h"
#include "txn/readmark.h"
#include "txn/tsalloc.h"

enum { NODES_MAX = 5, CLIENTS_MAX = 6, KEYS = 4, SLOT_COMMANDS_MAX = 16, SIM_GROUP = 1 };

#define SIM_LEASE_NS (2LL * NS_PER_S)

struct sim_options {
    uint64_t seed;
    size_t n_nodes; /* 0: the seed chooses */
    enum mutant mutant;
    bool trace;
};

struct sim_result {
    bool failed;
    char why[512];
    uint64_t hash; /* of the history */
    int64_t sim_ns;
    uint64_t n_events, n_writes, n_reads, n_leaders, n_crashes;
};

void sim_run(const struct sim_options *opts, struct sim_result *out);
const char *sim_mutant_name(enum mutant m); /* NULL behind the last */
const char *sim_mutant_what(enum mutant m);

/* -------- events -------- */

enum event_kind {
    EV_DELIVER,       /* msg reaches node */
    EV_PAXOS_TIMER,   /* a: generation */
    EV_SUPPORT_TIMER, /* a: generation */
    EV_SYNC_DONE,     /* a: generation of the sync */
    EV_LOADED,        /* ptr: struct sim_load */
    EV_ACKS,          /* a leader looks at what it may acknowledge */
    EV_READ,          /* a: index of the read */
    EV_CHECKPOINT,
    EV_RESTART,
    EV_STOPPED, /* clean stop: its patience is over */
    EV_CLIENT,  /* a: client, b: generation */
    EV_FAULT,
    EV_LINK, /* the link from a to b works again */
    EV_HEAL
};

struct packet; /* sim_net.c */

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
    double mono_rate; /* of the monotonic clock: 1 + drift */
    int64_t mono_base, mono_since;
    int64_t void_until;
};

/* -------- disk -------- */

struct disk_entry {
    struct ballot ballot;
    enum paxos_entry_kind kind;
    struct bytes payload; /* in world.mem */
};

struct disk_log {
    struct paxos_hard hard;
    slot_no first;
    struct ballot before;
    struct disk_entry *entries; /* of first, first + 1, ... */
    size_t n, cap;
};

struct disk_write {
    uint64_t seq; /* of the core; 0: a record of the shell's */
    bool has_hard;
    struct paxos_hard hard;
    bool has_head;
    struct paxos_head head;
    slot_no cut_from;
    struct disk_entry *entries; /* in world.mem */
    slot_no first;
    size_t n;
};

struct sim_disk {
    struct disk_log cur, durable; /* as written, as synced */
    struct disk_write *writes;    /* not synced, in order */
    size_t n_writes, cap_writes;
    size_t n_syncing; /* of them are covered by the running sync */
    bool syncing;
    uint64_t n_syncs;
    int64_t slow_until;
};

/* -------- the replicated registers -------- */

struct command_kv {
    uint64_t id;
    uint32_t key;
    uint64_t value;
    tstamp ts;
};

struct version {
    tstamp ts;
    uint64_t value;
    slot_no slot;
};

struct registers {
    struct {
        struct version *v;
        size_t n, cap;
    } key[KEYS];
    struct outcome {
        uint64_t id;
        tstamp ts;
        slot_no slot;
    } * outcomes;
    size_t n_outcomes, cap_outcomes;
    uint32_t *by_id; /* 1 + index of its outcome, 0 none */
    size_t n_by_id;
    slot_no applied;
    tstamp applied_ts;
    uint64_t hash;
};

/* -------- node -------- */

enum write_state { WRITE_QUEUED, WRITE_PROPOSED, WRITE_CHOSEN };

struct sim_write {
    struct command_kv c;
    uint32_t client;
    uint64_t attempt;
    enum write_state state;
    slot_no slot;
    bool acked, applied;
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

struct held_message {
    struct paxos_msg msg; /* without entries */
    uint64_t after_write;
};

struct sim_node {
    node_id id;
    bool up, stopping;
    bool ever; /* its store exists */
    uint64_t life, incarnation;
    int64_t paused_until;
    struct sim_clock clock;
    struct sim_disk disk;
    struct paxos *paxos;
    struct support *support;
    bool support_wanted; /* as support knows it */
    uint64_t paxos_timer, support_timer;
    uint64_t durable_seq;
    struct held_message *held;
    size_t n_held, cap_held;
    struct registers reg;
    struct registers_mark { /* the checkpoint */
        size_t n[KEYS];
        size_t n_outcomes;
        slot_no applied;
        tstamp applied_ts;
        uint64_t hash;
    } checkpoint;
    /* what the last step said */
    enum paxos_role role;
    struct ballot ballot;
    node_id leader_hint;
    bool room;
    slot_no chosen, everywhere, checked; /* checked: agreement was, up to here */
    tstamp lease_start, lease_end, agreed;
    int64_t agreed_mono;
    bool acks_due; /* an EV_ACKS is on its way */
    /* leadership */
    uint64_t term;      /* 0: does not lead */
    slot_no term_first; /* serve once this is applied */
    bool serving;
    size_t lead;     /* index of its leadership in world.leads */
    bool stop_leads; /* it led when it was stopped */
    tstamp stop_used;
    struct tsalloc alloc;
    struct readmark *marks;
    struct sim_write *writes; /* in order of timestamps */
    struct sim_write **writes_tail;
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
    uint64_t payload_hash;
    struct bytes payload; /* in world.mem */
    uint64_t state_hash;  /* 0 unknown */
};

struct leadership {
    node_id node;
    struct ballot ballot;
    tstamp start, end; /* lease start, and the largest end that it was told */
};

struct profile {
    double loss, duplicate, reorder, late;
    int64_t delay_min_ns, delay_max_ns;
    int64_t sync_min_ns, sync_max_ns;
    int64_t bound_max_ns;
    int64_t think_ns;
    int64_t fault_gap_ns;
    size_t cache_bytes;
};

struct world {
    struct sim_options o;
    struct sim_result r;
    struct arena mem;
    struct rng rng;
    int64_t now;
    struct event *heap;
    size_t n_heap, cap_heap;
    uint64_t n_seq;
    struct profile prof;
    size_t n_nodes;
    struct sim_node nodes[NODES_MAX];
    bool cut[NODES_MAX + 1][NODES_MAX + 1]; /* from, to: nothing arrives */
    bool healed;
    int64_t heal_at, end_at;
    size_t n_clients;
    struct sim_client clients[CLIENTS_MAX];
    uint64_t n_ids, n_terms;
    struct paxos_entry received[PAXOS_MSG_ENTRIES_MAX]; /* of the message being delivered */
    /* what the world knows */
    struct truth_slot *truth; /* by slot */
    size_t n_truth, cap_truth;
    tstamp truth_ts;
    struct leadership *leads;
    size_t n_leads, cap_leads;
    struct op *ops;
    size_t n_ops, cap_ops;
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
enum packet_kind { PACKET_PAXOS, PACKET_SUPPORT, PACKET_REQUEST, PACKET_REPLY };
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
    struct bytes body; /* paxos, support: encoded */
    struct request req;
    struct reply rep;
};
struct packet *net_packet(struct world *w, enum packet_kind kind, node_id from, node_id to);
void net_send(struct world *w, struct packet *p);

/* sim_disk.c */
void disk_fini(struct sim_disk *d);
void disk_write(struct world *w, struct sim_node *n, const struct paxos_out *out);
void disk_sync(struct world *w, struct sim_node *n);       /* begins one if none runs */
uint64_t disk_synced(struct world *w, struct sim_node *n); /* the running one is done; last seq */
void disk_crash(struct world *w, struct sim_node *n);
const struct disk_entry *disk_at(const struct disk_log *l, slot_no slot); /* NULL: not there */

/* sim_node.c */
void node_init(struct world *w, struct sim_node *n);
void node_fini(struct sim_node *n);
void node_start(struct world *w, struct sim_node *n);
void node_crash(struct world *w, struct sim_node *n);
void node_event(struct world *w, struct sim_node *n, const struct event *e);
void node_paxos(struct world *w, struct sim_node *n, struct paxos_in *in);
void node_step(struct world *w, struct sim_node *n, enum paxos_in_kind kind);
void node_stop(struct world *w, struct sim_node *n); /* clean: releases first */

/* sim_kv.c */
void kv_request(struct world *w, struct sim_node *n, const struct packet *p);
void kv_after_step(struct world *w, struct sim_node *n); /* chosen, applied, lease moved on */
void kv_won(struct world *w, struct sim_node *n, slot_no last);
void kv_lost(struct world *w, struct sim_node *n, bool crashed);
bool kv_next_batch(struct world *w, struct sim_node *n, struct buf *out); /* queued commands */
void kv_proposed(struct world *w, struct sim_node *n, slot_no slot);
void kv_acks(struct world *w, struct sim_node *n);
void kv_read(struct world *w, struct sim_node *n, uint64_t index);
tstamp kv_used(const struct sim_node *n);
size_t kv_decode(struct bytes payload, struct command_kv *out, size_t max);
void kv_apply(struct world *w, struct sim_node *n, slot_no slot, struct bytes payload);
void kv_restore(struct sim_node *n);
void kv_checkpoint(struct sim_node *n);

/* sim_client.c */
void client_event(struct world *w, uint32_t client, uint64_t generation);
void client_reply(struct world *w, const struct reply *r);

/* sim_fault.c */
void fault_profile(struct world *w);
void fault_event(struct world *w);
void fault_link_heals(struct world *w, node_id from, node_id to);
void fault_heal(struct world *w);

/* sim_check.c */
void check_chosen(struct world *w, const struct sim_node *n, slot_no slot,
                  const struct disk_entry *e);
void check_applied(struct world *w, const struct sim_node *n, slot_no slot, uint64_t hash);
void check_won(struct world *w, const struct sim_node *n);
void check_lease(struct world *w, const struct sim_node *n);
void check_gone(struct world *w, const struct sim_node *n, tstamp used); /* released cleanly */
void check_ack(struct world *w, const struct sim_node *n, const struct sim_write *wr);
void check_end(struct world *w);

#endif
