/*
 * group.h - one Paxos group on this node: its log, its tablet, its place in the world.
 *
 * Hides how agreement is reached. A caller proposes a command and is told when it is chosen and its
 * time has passed, and when it is applied. Thread: calls are made from any thread unless said
 * otherwise; upcalls and completions run on the group's worker and must not block.
 */
#ifndef MRD_STORAGE_GROUP_H
#define MRD_STORAGE_GROUP_H

#include <stdbool.h>

#include "base/ids.h"
#include "base/status.h"
#include "storage/paxos/paxos.h"
#include "storage/record.h"
#include "storage/tablet.h"

struct group;

/* A command on its way. The proposer fills body, ts, term and the callbacks, and owns the memory again
 * after the last callback: `done` and `applied` each run at most once, `done` always and first. */
struct command {
    struct bytes body; /* an encoded record; must stay good until `done` has run */
    tstamp ts;         /* its timestamp; increasing in the order of group_propose */
    uint64_t
        term; /* the leadership under which ts was assigned and locks are held; never another */
    /* ST_OK: chosen, and a majority of clocks agrees that ts has passed. ST_RETRY: surely not chosen.
     * ST_UNKNOWN: leadership went first; ask by id. */
    void (*done)(struct command *c, enum status st);
    /* Applied on this node; only after done(ST_OK). NULL: not wanted, `done` is the last callback. */
    void (*applied)(struct command *c);
    struct command *next; /* the group's */
    slot_no slot;         /* the group's */
};

/* Queues a command. Proposers serialise themselves: ts rises with each call. Never blocks. On anything but
 * ST_OK no callback runs. ST_RETRY: this node does not lead in c->term (57P03), or GROUP_QUEUE_MAX commands
 * wait already (53400). ST_REJECT 53100: the disk is full. */
enum { GROUP_QUEUE_MAX = 65536 };
enum status group_propose(struct group *g, struct command *c, struct err *err) MRD_CHECKED;

/* Upcalls to the floor above, on the worker. */
struct group_upcalls {
    void *arg;
    /* This node leads: everything recovered is applied. Timestamps must be above lease_start and floor_ts
     * (the largest in the recovered log). `term` names this leadership. */
    void (*leading)(void *arg, uint64_t term, tstamp lease_start, tstamp floor_ts);
    void (*lost)(void *arg, uint64_t term); /* all commands of the term have had their `done` */
    /* Asked after `lost` of a clean stop: the highest timestamp that was used or promised (reads!) in the
     * term. The lease is given back only once it has surely passed. NULL: it is left to lapse. */
    tstamp (*promised)(void *arg, uint64_t term);
    void (*acknowledged)(void *arg); /* after the done(ST_OK) of one round; may be NULL */
    /* After each apply, any replica, and after the `applied` of its commands. */
    void (*applied)(void *arg, slot_no slot, tstamp ts);
};
void group_set_upcalls(struct group *g, const struct group_upcalls *up); /* before store_start */
/* Before store_start. While it leads, it has its lease at any moment. Other groups rest when nothing happens in them:
 * then the lease is let go, and whoever asks for its end or proposes wakes the group, which has it again a
 * round trip later. */
void group_stay_awake(struct group *g);

/* The lease as this instant sees it: its end, 0 if this node does not lead in `term`. A timestamp may be
 * assigned, or an answer given, only at or below it, and must be re-checked after the work. Lock-free. */
tstamp group_lease_end(struct group *g, uint64_t term);
uint64_t group_term(struct group *g);  /* of the current leadership, 0 if not leading */
node_id group_leader(struct group *g); /* best guess, 0 unknown */
struct tablet *group_tablet(struct group *g);
/* Versions below it may be gone: a read at t < horizon is refused (72000). Check after every slice. Lock-free. */
tstamp group_horizon(struct group *g);
group_id group_number(const struct group *g);

/* What members a group has, and a change of them. Leaders alone know how far each is. */
struct group_ask {
    bool change;              /* to `want`; without: only look */
    struct paxos_config want; /* of a change: the members that there are to be, all of them */
    /* The answer. */
    enum paxos_verdict verdict; /* of a change: TAKEN is a beginning, the end is seen in `config` */
    struct paxos_config config; /* in force */
    slot_no config_slot;
    bool settled; /* it is chosen */
    bool leads;
    slot_no last, chosen;
    struct paxos_peer_view peers[PAXOS_MEMBERS_MAX]; /* the other members */
    size_t n_peers;
    void (*done)(struct group_ask *a); /* runs once, on the worker, or when it ends */
    struct group_ask *next;            /* the group's */
};
void group_ask(struct group *g, struct group_ask *a); /* any thread; a stays until `done` */

/* For people: role, ballot, first and last slot, chosen, applied, lease left. */
struct group_report {
    group_id group;
    enum paxos_role role;
    struct ballot ballot;
    node_id leader;
    slot_no first, last, chosen, applied;
    tstamp applied_ts, lease_end;
};
void group_describe(struct group *g, struct group_report *out);

#endif
