/*
 * group_int.h - a group as the store's own threads see it; for storage/ only.
 *
 * Every call is the worker's unless said otherwise.
 */
#ifndef MRD_STORAGE_GROUP_INT_H
#define MRD_STORAGE_GROUP_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "storage/group.h"
#include "storage/timers.h"
#include "storage/worker.h"

enum {
    GROUP_BATCH_BYTES = 1024 * 1024, /* bodies of one slot; a larger command goes alone */
    GROUP_BATCH_COMMANDS = 8192,
    GROUP_BODY_MAX = 13 * 1024 * 1024, /* one command */
    GROUP_APPLY_SLOTS = 256,           /* slots of one apply */
    GROUP_APPLY_BYTES = 4 * 1024 * 1024,
    GROUP_CACHE_BYTES = 16 * 1024 * 1024 /* payloads that Paxos keeps for laggards */
};

struct command_list {
    struct command *head, *tail;
    size_t n;
};

/* What the last step said; see struct paxos_out. */
struct group_view {
    enum paxos_role role;
    struct ballot ballot;
    node_id leader;
    bool room, released, rests;
    enum paxos_verdict verdict; /* of a change */
    node_id yield_to;           /* should lead instead; 0 nobody */
    slot_no first, last, chosen, apply, everywhere;
    tstamp lease_start, lease_end, agreed;
    int64_t agreed_mono; /* mono_ns of that step */
    int64_t wake_mono;
};

/* A snapshot that is to take the tablet's place (snapshot_shell.h). Moves: any thread asks; the worker answers; who was
 * granted the tablet gives it back, as it was or with a snapshot in it. */
enum group_install {
    GROUP_INSTALL_NONE,
    GROUP_INSTALL_ASKED,
    GROUP_INSTALL_REFUSED,
    GROUP_INSTALL_GRANTED, /* the worker keeps its hands off the tablet; also from the start, if it is not usable */
    GROUP_INSTALL_READY /* a snapshot is in it, durably */
};

/* A message (never one with entries) that waits for a write. */
struct held {
    uint64_t after_write;
    struct paxos_msg msg;
};

struct group {
    group_id number;
    struct store *store;   /* borrowed */
    struct tablet *tablet; /* owned */
    struct paxos *paxos;   /* owned */
    struct group_upcalls up;

    pthread_mutex_t mu; /* lock 1: the next seven */
    struct command_list queue;
    size_t call_at;     /* the worker wants to know when the queue is that long */
    uint64_t open_term; /* commands of it are taken; 0 none */
    tstamp queued_ts;   /* of the last command */
    struct group_report report;
    struct group_ask *asks;
    bool asks_over; /* the worker ends, or has */

    /* Published by the worker, read by any thread. */
    _Atomic uint64_t term;
    _Atomic int64_t lease_end;
    _Atomic uint32_t leader;
    _Atomic uint64_t everywhere, last;
    _Atomic uint64_t durable;     /* published by the log writer: last write that is synced */
    _Atomic uint64_t drop_wanted; /* published by upkeep: it would drop slots up to here ... */
    _Atomic bool resting;         /* published by the worker: whoever wants something wakes it */
    _Atomic uint64_t drop_agreed; /* ... and may up to here, says the worker: the head is durable */

    atomic_uint asked; /* asks is not empty */
    /* Payloads given to the log writer, and what the log held at the start. */
    _Atomic uint64_t bytes_logged;

    /* Snapshots. */
    _Atomic int install; /* enum group_install */
    _Atomic uint64_t install_slot;
    _Atomic uint64_t
        snapshot_hold; /* what follows on this slot stays in the log; 0: nothing must */
    _Atomic uint32_t snapshot_asked; /* a node that needs one; 0 none */

    /* Which groups have work: see roster.h. */
    _Atomic bool called;       /* it is in the worker's list of those that other threads called */
    struct group *next_called; /* whoever set `called`, then the worker */
    struct timer timer;        /* the worker's, as all below */
    bool active;               /* it takes part in this round */
    bool writing;              /* it waits for a sync */
    uint64_t write_last;       /* last write that was given to the log writer */

    struct worker *worker; /* borrowed */
    struct group_view view;
    uint64_t durable_seen;
    slot_no log_last;   /* of what was given to the log writer */
    slot_no drop_asked; /* of drop_wanted, what Paxos was told */
    slot_no head_first; /* where the log begins once write head_seq is durable; 0: as it does */
    uint64_t head_seq;
    bool won, lost;              /* seen in a step, not yet acted upon */
    uint64_t won_term;           /* leads, but what it recovered is perhaps not applied; 0 no */
    slot_no won_slot;            /* that must be applied first */
    uint64_t up_term;            /* the floor above was told; 0 no */
    struct command_list flight;  /* proposed, `done` not yet run */
    struct command_list settled; /* done(ST_OK), not yet applied here */
    int64_t done_wake_mono;      /* when time may be up for the first of flight; 0 none */
    slot_no wait_slot;           /* last slot that was chosen before its time had passed ... */
    int64_t wait_mono;           /* ... and since when it has waited */
    size_t usual;                /* commands that slots lately carried, the largest of them */
    int64_t gather_mono;         /* until then more commands are waited for; 0: nothing waits */
    int64_t apply_wake_mono;     /* apply failed for now: try again then; 0 no */
    struct {
        node_id node;
        slot_no from, to;
    } load;
    node_id behind[PAXOS_MEMBERS_MAX]; /* whom the log cannot help */
    size_t n_behind;
    struct held *held; /* owned; in the order in which they were made */
    size_t n_held, cap_held;
    struct buf payload;
    struct arena mem;
    struct tablet_stats told; /* what the metrics know */
    node_id heir;             /* HANDING_OVER: to whom */
    uint64_t handed_term;     /* ... and which term that ends */
    int64_t hand_over_again_mono;
    enum { GROUP_SERVING, GROUP_HANDING_OVER, GROUP_RETIRING, GROUP_RELEASING, GROUP_GONE } stage;
};

/* Any thread, before the worker runs. */
enum status group_open(struct store *s, struct worker *w, group_id number, const node_id *voters,
                       size_t n_voters, struct group **out, struct err *err) MRD_CHECKED;
void group_close(struct group *g); /* NULL is fine */

/* Inputs, in the order of a round. */
void group_on_durable(struct group *g);
void group_on_message(struct group *g, const struct paxos_msg *m);
void group_tick(struct group *g, bool even_if_not_due);
/* Nothing is under way, and nothing needs to happen until somebody calls or support turns. */
bool group_may_rest(struct group *g);
void group_trim(struct group *g); /* gives back memory that is not needed at rest */
/* Loads and proposes: after it, what the round produced may leave. */
void group_output(struct group *g);
/* Hands the group's leadership over if it should; group_transfer.c. */
void group_hand_over(struct group *g);
/* From here on no timestamp is assigned and no command is taken in the term; what waits is surely not chosen. */
void group_shut_term(struct group *g);
void group_tell_lost(struct group *g, const char *why); /* once a term; not before it is shut */
/* Acknowledges and applies. Returns when it wants to run again at the latest. */
int64_t group_work(struct group *g);
bool group_is_busy(struct group *g); /* it has more to do at once */

/* A clean stop: assigns nothing more; gives the lease back once everything promised has passed. */
void group_retire(struct group *g);
bool group_gone(const struct group *g);
/* The worker ends: every command that waits is answered. */
void group_abandon(struct group *g);

/* Between the files of a group: group.c (calls and leadership), group_step.c (Paxos and its outputs),
 * group_work.c (commands on their way), group_snapshot.c. */
void group_step(struct group *g, struct paxos_in *in);
void group_tell_applied(struct group *g);
void group_settle_role(struct group *g); /* acts upon won and lost */
void group_lead_if_ready(struct group *g);

void group_answer(struct group *g); /* what group_ask brought */
void group_refuse_asks(struct group *g);

/* Snapshots: of the worker, but the next three, which any thread may call. */
bool group_install_ask(struct group *g,
                       slot_no slot); /* of the snapshot; false: another one is under way */
enum group_install group_install_state(struct group *g);
void group_install_end(struct group *g, bool installed);
void group_want_snapshots(struct group *g, const struct paxos_out *out);
void group_settle_install(struct group *g);
/* Tells Paxos of the snapshot that the tablet stands on. */
enum status group_take_installed(struct group *g, struct err *err) MRD_CHECKED;

static inline void command_push(struct command_list *l, struct command *c)
{
    c->next = NULL;
    if (l->head == NULL)
        l->head = c;
    else
        l->tail->next = c;
    l->tail = c;
    l->n++;
}

static inline struct command *command_pop(struct command_list *l)
{
    struct command *c = l->head;

    if (c != NULL) {
        l->head = c->next;
        l->n--;
    }
    return c;
}

#endif
