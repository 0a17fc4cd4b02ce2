/*
 * paxos_int.h - the inside of a Paxos replica, shared by the files of storage/paxos/ only.
 *
 * paxos.c steps and keeps the role; paxos_elect.c is phase 1; paxos_accept.c phase 2; paxos_lease.c what
 * a leader may conclude from support and clocks; paxos_log.c the log window; paxos_check.c the invariants.
 */
#ifndef MRD_STORAGE_PAXOS_PAXOS_INT_H
#define MRD_STORAGE_PAXOS_PAXOS_INT_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/rng.h"
#include "storage/paxos/paxos.h"

enum {
    PEERS_MAX = 2 * PAXOS_MEMBERS_MAX + 1, /* members, those who have just left, and self */
    CATCH_UP_SLOTS = 256,        /* a learner that lags less behind what is chosen may vote */
    HAND_OVER_SLOTS = 64,        /* a voter whose log lags less may be handed the lead */
    FLIGHT_MAX = 4,              /* accept messages with entries on their way to one voter */
    ASK_PAUSE_NS = 1 * NS_PER_MS /* added to a voter's hint when to ask again */
};

struct log_entry {
    struct ballot ballot;
    const uint8_t
        *payload; /* NULL: on the shell's disk only. Owned, unless it is the shared empty one */
    uint32_t len;
    uint8_t kind; /* enum paxos_entry_kind */
};

struct pending_write {
    uint64_t seq;
    slot_no last; /* the log is durable up to here once the write is (less if it was cut since) */
};

/* The log window: every slot that is stored, payloads of the youngest. */
struct plog {
    slot_no first; /* slot of entries[head]; last + 1 if there is none */
    slot_no last;
    struct ballot before; /* ballot of first - 1 */
    struct log_entry *entries;
    size_t head, n, cap;
    slot_no cached_from; /* slots below it have no payload in memory */
    size_t cached_bytes;
};

/* A configuration of the log, and the slot that carries it. */
struct config_at {
    slot_no slot;
    struct paxos_config config;
};

enum clock_view { CLOCK_UNKNOWN, CLOCK_AGREES, CLOCK_DISAGREES };

/* Another replica, or this one, as this replica sees it. What a candidate or leader knows is cleared
 * when it begins. */
struct peer {
    node_id node;
    /* From the configuration in force. */
    enum paxos_part part, old_part;
    bool witness;
    uint8_t preference;
    /* What a candidate or leader knows. */
    bool willing; /* answered ASK or PREPARE of the present phase */
    bool refused;
    int64_t retry_mono; /* ask again then; 0: when resend_ns is over */
    slot_no last;       /* of its log, by its PROMISE */
    struct ballot last_ballot;
    int64_t prepared_mono;      /* last PREPARE of a leader that raises its ballot */
    int64_t sent_mono;          /* last message of phase 1, or last accept */
    slot_no match;              /* its log is durable and equal to ours up to here */
    slot_no knows;              /* it knows that everything up to here is chosen */
    slot_no told_everywhere;    /* it was told that everything up to here is everywhere */
    slot_no next;               /* first slot that was not sent */
    slot_no flight[FLIGHT_MAX]; /* last slots of accepts with entries that are unanswered */
    size_t flight_bytes[FLIGHT_MAX];
    size_t n_flight;
    bool probing;        /* it does not answer: no entries, only heartbeats, until it does */
    bool wants_snapshot; /* it said that it needs what is truncated: only heartbeats */
    slot_no nacked;      /* last NACK that was acted upon, and when */
    int64_t nacked_mono;
    uint64_t
        epochs[2]; /* of its support, in which it promised or acked this ballot; newest first */
    enum clock_view clock;
    int64_t heard_mono; /* last ack */
    slot_no kept;       /* its checkpoints hold that */
    slot_no told;       /* `chosen` of the last accept */
    slot_no left;       /* it is no member since that slot, and should learn so; 0: it is one */
    int64_t left_mono;
    uint64_t told_number; /* of the question that it has answered; and what it said */
    slot_no told_chosen, told_last, told_config;
    tstamp earliest; /* agreeing clock: this had passed at earliest_mono */
    int64_t earliest_mono;
};

enum phase { PHASE_ASK, PHASE_PREPARE, PHASE_FETCH };
enum load_for { LOAD_NONE, LOAD_ACCEPT, LOAD_LOG };

struct paxos {
    struct paxos_options o; /* o.voters is not kept */
    struct peer *peers;     /* owned; self first, member or not; then the other members */
    size_t n_peers, cap_peers;
    struct peer *self; /* peers[0] */
    struct config_at
        *configs; /* owned. The first may be older than the log; the last is in force */
    size_t n_configs, cap_configs;
    struct rng rng;
    struct plog log;

    /* durable, or on its way there */
    struct paxos_hard hard;
    uint64_t hard_seq;    /* write that carries it; 0: from the start */
    uint64_t write_seq;   /* last write that was given out */
    uint64_t durable_seq; /* every write up to here is durable */
    struct pending_write *pending;
    size_t n_pending, cap_pending;
    uint64_t config_seq; /* write that carries hard.config, where it came from the log */
    slot_no durable;     /* the log is durable up to here */
    slot_no chosen, everywhere;
    slot_no checkpointed; /* own */
    slot_no kept_all;
    uint64_t
        bound_epoch; /* latest epoch of our support for the promised ballot's owner in which we promised
                             or acked that ballot: only what was given up to it binds us. 0 none */

    enum paxos_role role;
    node_id leader;
    /* candidate */
    enum phase phase;
    struct ballot ballot; /* own: of the candidacy or leadership */
    uint64_t max_round;   /* highest seen anywhere */
    int64_t phase_until_mono;
    node_id fetch_from;
    slot_no fetch_last;
    struct ballot fetch_ballot;
    slot_no fetch_next; /* first slot that is wanted */
    int64_t fetch_mono;
    /* follower */
    bool campaign;           /* asked for: do not wait for silence */
    int64_t heard_mono;      /* last life sign of the leader */
    int64_t silence_ns;      /* this long without one, and an election may begin */
    int64_t not_before_mono; /* backoff */
    int64_t
        nudged_mono; /* when the owner of the promised ballot was last asked whether it still needs it */
    int64_t eligible_mono; /* everything speaks for an election: begin it then. 0: it does not */
    bool
        to_release; /* the promised ballot is our own and not in use: tell its voters when it may be */
    /* leader */
    struct ballot raise; /* own, higher: phase 1 for it runs while this leader goes on; 0,0: none */
    slot_no lead_first;  /* first slot of the ballot that this leadership began with */
    slot_no own_first;   /* first slot of the own ballot */
    tstamp lease_start, lease_end;
    tstamp lease_max; /* largest lease end that any leadership of this run was told */
    tstamp agreed;
    int64_t lapsed_mono;        /* since when the lease has not held; 0: it holds */
    int64_t giveup_mono;        /* recovering: step down if not done by then */
    struct paxos_config change; /* to be proposed once all before it is chosen; empty: none */
    /* What was told under the configuration before rests on that one's quorum: the next change waits until the quorum
     * of this one supports as much, or until that time has passed. */
    tstamp told_before;
    bool handing;    /* after PAXOS_IN_TRANSFER, until it has stepped down */
    node_id hand_to; /* who is told to campaign with the release; 0 nobody */
    node_id yield_to;
    int64_t led_mono; /* leader since */
    bool called;      /* the last owner told this replica to campaign: no asking first */
    bool stopping;    /* after PAXOS_IN_RELEASE, for good */
    tstamp stop_used;
    int64_t linger_mono;   /* stopping: stay until then, to vote and to say RELEASE once more */
    int64_t released_mono; /* when it was said last */

    /* question: how far is what is chosen? */
    uint64_t confirm; /* its number; 0 none */
    int64_t confirm_mono;
    slot_no confirmed_chosen, confirmed_bound;
    uint64_t confirmed;

    /* one payload request to the shell at a time */
    enum load_for load_kind;
    node_id load_node;
    slot_no load_from, load_to;
    struct ballot load_ballot;
    int64_t load_mono;

    /* this step */
    struct arena mem;
    struct tt_interval now;
    int64_t mono;
    struct support *sup;
    bool no_data;
    bool wrote_hard, won, lost, load_out, moved_head;
    bool ticked; /* by TICK */
    bool rests;
    struct paxos_head head;
    enum paxos_verdict verdict;
    uint64_t step_write;
    slot_no cut_from, append_from;
    struct paxos_send *send;
    size_t n_send, cap_send;
    /* previous step, for the invariants */
    struct ballot seen_promised;
    slot_no seen_chosen;
};

/* paxos.c */
void px_trace(struct paxos *p, const char *fmt, ...) MRD_PRINTF(2, 3);
void px_set_role(struct paxos *p, enum paxos_role role, const char *why);
struct peer *px_peer(struct paxos *p, node_id node);
void px_begin_write(struct paxos *p);
void px_send(struct paxos *p, node_id to, struct paxos_msg m, uint64_t after_write);
void px_note_round(struct paxos *p, struct ballot b);
/* The write after which a message may leave that tells of slots up to `slot` and of the promise. */
uint64_t px_after(const struct paxos *p, slot_no slot);
bool px_leads(const struct paxos *p); /* recovering or leader */

/* paxos_members.c */
void px_config_init(struct paxos *p, const struct paxos_options *opts,
                    const struct paxos_start *start);
const struct paxos_config *px_config(const struct paxos *p); /* in force */
slot_no px_config_slot(const struct paxos *p);
void px_config_push(struct paxos *p, slot_no slot, struct bytes payload);
void px_config_cut(struct paxos *p, slot_no from);
void px_config_forget(struct paxos *p); /* those that no slot of the log needs */
void px_config_install(struct paxos *p, slot_no slot, slot_no config_slot,
                       const struct paxos_config *config);
void px_config_chosen(struct paxos *p); /* writes down the latest that is */
slot_no px_config_apply_limit(const struct paxos *p);
bool px_votes(const struct peer *peer);
bool px_can_lead(const struct paxos *p);
/* The highest value that a quorum has reached; in a joint configuration, a quorum of each side. 0: no voters.
 * short_by: voters that may be missing in it, for deliberate bugs only. */
int64_t px_quorum(const struct paxos *p, const int64_t *values, size_t short_by);

bool px_data_voter(const struct peer *peer); /* of the new side */
void px_drop_gone(struct paxos *p);          /* leader: forgets who has left and knows it */

/* paxos_change.c */
void px_on_reconfigure(struct paxos *p, const struct paxos_config *want);
void px_change_step(struct paxos *p); /* each step of a leader */
bool px_change_waits(const struct paxos *p);
bool px_will_vote(const struct paxos *p, node_id node); /* once the change that waits is proposed */
void px_on_transfer(struct paxos *p, const struct paxos_in *in);

/* paxos_confirm.c */
void px_on_confirm(struct paxos *p, uint64_t number);
void px_on_query(struct paxos *p, const struct paxos_msg *m);
void px_on_tell(struct paxos *p, struct peer *peer, const struct paxos_msg *m);
void px_confirm_step(struct paxos *p); /* each step */
int64_t px_confirm_wake(const struct paxos *p, int64_t wake);

/* paxos_install.c */
void px_truncate(struct paxos *p, slot_no slot);
void px_on_installed(struct paxos *p, const struct paxos_in *in);

/* paxos_elect.c */
void px_promise(struct paxos *p, struct ballot b);
/* May this voter promise b, or take an accept of it? *out_retry_ns: when to ask again if it may not. */
bool px_may_promise(struct paxos *p, struct ballot b, int64_t *out_retry_ns);
bool px_lingers(const struct paxos *p); /* stopping, and still good for something */
/* The epoch of our support for the owner of the promised ballot, for an answer under it; from now on it binds. */
uint64_t px_bind(struct paxos *p);
void px_refuse(struct paxos *p, node_id to, struct ballot b, int64_t retry_ns);
void px_step_down(struct paxos *p, const char *why, int64_t backoff_ns);
bool px_own_lapsed(const struct paxos *p); /* no promise of an own leadership of this run stands */
bool px_free(const struct paxos *p);       /* nothing was promised, or its owner released it */
void px_heard(struct paxos *p);            /* begin to wait for silence anew */
void px_heard_leader(struct paxos *p);     /* the same, at a leader's heartbeat */
bool px_quorum_willing(const struct paxos *p);
void px_follow(struct paxos *p);   /* each step of a follower */
void px_campaign(struct paxos *p); /* each step of a candidate */
int64_t px_follow_wake(struct paxos *p);
int64_t px_campaign_wake(const struct paxos *p);
void px_on_ask(struct paxos *p, const struct paxos_msg *m);
void px_on_willing(struct paxos *p, struct peer *peer, const struct paxos_msg *m);
void px_on_prepare(struct paxos *p, const struct paxos_msg *m);
void px_on_promise(struct paxos *p, struct peer *peer, const struct paxos_msg *m);
void px_on_refuse(struct paxos *p, struct peer *peer, const struct paxos_msg *m);
void px_on_fetch(struct paxos *p, const struct paxos_msg *m);
void px_on_log(struct paxos *p, const struct paxos_msg *m);
void px_on_release(struct paxos *p, const struct paxos_msg *m);
void px_send_log(struct paxos *p, node_id to, const struct paxos_entry *entries, size_t n);

/* paxos_accept.c */
void px_lead_peer(struct paxos *p, struct peer *peer, slot_no last); /* it is to get our log */
void px_lead_begin(
    struct paxos *p);          /* phase 1 is won: the first own entry, and where the voters stand */
void px_lead(struct paxos *p); /* each step of a leader: count, replicate, heartbeat */
int64_t px_lead_wake(const struct paxos *p);
void px_propose(struct paxos *p, struct bytes payload);
bool px_room(const struct paxos *p);
void px_on_accept(struct paxos *p, const struct paxos_msg *m);
void px_on_ack(struct paxos *p, struct peer *peer, const struct paxos_msg *m);
void px_on_nack(struct paxos *p, struct peer *peer, const struct paxos_msg *m);
void px_send_accept(struct paxos *p, struct peer *peer, const struct paxos_entry *entries,
                    size_t n);
/* Entries [from, from + n) into step memory, at most the limits of one message; *out_n 0 if the first is
 * not in memory. */
const struct paxos_entry *px_entries(struct paxos *p, slot_no from, slot_no to, size_t *out_n);
void px_load(struct paxos *p, enum load_for kind, node_id node, slot_no from, slot_no to,
             struct ballot ballot);
/* `slot` holds another ballot, or nothing, in somebody's log: the next to try, before everything of our ballot
 * there, but never below `equal`, up to where both are known to be equal. */
slot_no px_back(const struct paxos *p, slot_no slot, slot_no equal);
/* Entries that follow on prev: their slots are consecutive, their ballots rise and are at most `max`. */
bool px_entries_ok(const struct paxos_msg *m, struct ballot max);
/* Makes the log equal to the entries, which follow on a slot that is equal already. False: that would cut
 * something that is chosen; nothing was changed. */
bool px_adopt(struct paxos *p, const struct paxos_entry *entries, size_t n);

void px_append_config(struct paxos *p, const struct paxos_config *c);
void px_lead_entry(struct paxos *p); /* the entry that a ballot begins with */

/* paxos_raise.c */
bool px_raising(const struct paxos *p);
void px_raise(
    struct paxos *p); /* a voter promised a higher ballot: begin, unless that is not possible now */
void px_raise_promised(struct paxos *p, struct peer *peer, const struct paxos_msg *m);
void px_raise_step(struct paxos *p);

/* paxos_lease.c */
void px_note_epoch(struct peer *peer, uint64_t epoch);
void px_note_clock(struct paxos *p, struct peer *peer, const struct paxos_msg *m);
bool px_contradicts(const struct paxos *p,
                    struct tt_interval other); /* it is ahead of what we think possible */
void px_lease(struct paxos *p);                /* lease_end and agreed, from support and clocks */
bool px_lease_holds(const struct paxos *p);
bool px_clocks_lost(const struct paxos *p); /* no majority of clocks agrees with this one */

/* paxos_rest.c */
bool px_leader_rests(const struct paxos *p);
bool px_follower_rests(const struct paxos *p);

/* paxos_log.c */
void plog_init(struct plog *l, const struct paxos_start *start);
void plog_fini(struct plog *l);
bool plog_has(const struct plog *l, slot_no slot);             /* ballot known: first - 1 .. last */
struct ballot plog_ballot(const struct plog *l, slot_no slot); /* 0,0 if unknown */
struct bytes plog_payload(const struct plog *l, slot_no slot);
enum paxos_entry_kind plog_kind(const struct plog *l, slot_no slot);
void plog_append(struct plog *l, struct ballot ballot, enum paxos_entry_kind kind,
                 struct bytes payload); /* copies */
void plog_restart(struct plog *l, slot_no slot,
                  struct ballot ballot); /* empty, and behind `slot` */
void plog_cut(struct plog *l, slot_no from);
void plog_truncate(struct plog *l, slot_no through);
void plog_evict(struct plog *l, slot_no below, size_t cache_bytes); /* payloads of slots < below */

/* paxos_check.c */
void px_check(struct paxos *p, const struct paxos_out *out);

#endif
