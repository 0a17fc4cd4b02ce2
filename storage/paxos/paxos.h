/*
 * paxos.h - one replica of a Multi-Paxos group: a stepped core.
 *
 * A long-lived leader proposes a contiguous log of slots; a slot is a batch of commands, opaque here.
 * DESIGN.md section 4 has the rules; their invariants are numbered P1.. in storage/paxos/README.md.
 *   - Phase 1 learns logs, not loose slots. An accept names its predecessor's (slot, ballot); entries keep
 *     the ballot they were first proposed under. A candidate takes the whole log with the highest (last
 *     ballot, length) in its quorum, and counts nothing as chosen before an entry of its own ballot is.
 *   - A ballot is used only after its owner synced its own promise of it, and never again after a restart.
 *   - Leases are support between nodes (support.h). A leader's lease ends at the quorum-th largest end of
 *     the support that it counts: a voter counts only in the epoch in which it promised, or reconfirmed
 *     (acked under), this ballot. A voter promises another node's ballot only when its support of the promised
 *     ballot's owner has lapsed or that owner released it; and not while it is quiet after a start.
 *   - Acks carry the voter's interval: `agreed` is the time that a majority of clocks says has passed. A voter
 *     whose interval contradicts the leader's counts for durability only.
 *   - At most two slots in flight; the leader sends accepts before its own write is durable and counts itself
 *     when it is.
 *
 * Thread: none; the caller steps it. `in` is borrowed for the call; `out` points into the core and is
 * good until the next step.
 */
#ifndef MRD_STORAGE_PAXOS_PAXOS_H
#define MRD_STORAGE_PAXOS_PAXOS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"
#include "base/ids.h"
#include "storage/mutant.h"
#include "storage/paxos/config.h"
#include "storage/paxos/support.h"
#include "timesvc/tt.h"

enum {
    PAXOS_IN_FLIGHT_MAX = 2,
    PAXOS_MSG_ENTRIES_BYTES = 4 * 1024 * 1024, /* payload of one ACCEPT or LOG message, about */
    PAXOS_MSG_ENTRIES_MAX = 1024               /* entries of one, and of one out.load */
};

struct paxos;

struct ballot {
    uint64_t round;
    node_id node;
};

static inline int ballot_cmp(struct ballot a, struct ballot b)
{
    if (a.round != b.round)
        return a.round < b.round ? -1 : 1;
    return (a.node > b.node) - (a.node < b.node);
}

enum paxos_entry_kind {
    PAXOS_ENTRY_COMMANDS, /* payload: a batch of commands, opaque here. Empty: what a ballot begins with */
    PAXOS_ENTRY_CONFIG /* payload: a configuration (config.h). To apply it is to apply nothing */
};

struct paxos_entry {
    slot_no slot;
    struct ballot ballot; /* under which it was first proposed */
    enum paxos_entry_kind kind;
    struct bytes payload;
};

/* What must survive a crash besides entries. */
struct paxos_hard {
    struct ballot promised;
    struct ballot released; /* highest ballot whose owner released its voters */
    /* The last configuration that is known to be chosen, and the slot that carries it (0: the one that the group was
     * made with). No members: none is known; paxos_options.voters then says what the group was made with. */
    slot_no config_slot;
    struct paxos_config config;
};

/* Where the stored log begins. */
struct paxos_head {
    slot_no first;        /* every slot below it is dropped */
    struct ballot before; /* ballot of slot first - 1 */
};

enum paxos_role {
    PAXOS_FOLLOWER,
    PAXOS_CANDIDATE,  /* phase 1 */
    PAXOS_RECOVERING, /* phase 1 won; its own first entry is not chosen yet */
    PAXOS_LEADER
};

enum paxos_msg_kind {
    PAXOS_PREPARE = 1, /* ballot; last slot and ballot of the candidate */
    PAXOS_PROMISE,     /* ballot; last slot and ballot of the voter; epoch; chosen */
    PAXOS_REFUSE, /* ballot refused; `promised` says what stands, retry_ns when to try again (0 unknown).
                          Answer to FETCH: its slot; the entries are no longer there */
    PAXOS_FETCH, /* ballot; the candidate wants entries from `slot` on, or from where its log (prev_slot,
                          prev_ballot; equal up to chosen) begins to differ */
    PAXOS_LOG,    /* ballot; entries for a FETCH; slot: first that the sender still holds */
    PAXOS_ACCEPT, /* ballot; prev_slot, prev_ballot; entries (none: a heartbeat); chosen */
    PAXOS_ACK,    /* ballot; slot: log durable and equal to the leader's up to here; epoch */
    PAXOS_NACK,   /* ballot; slot: last slot that may match: send from slot + 1 */
    PAXOS_RELEASE, /* ballot: its owner gives up its lease; nothing more will be assigned under it. target: who
                          should lead now, 0 anyone */
    PAXOS_ASK,     /* would you promise this ballot? Nothing is written; keeps a returning node from
                          disturbing a leader that others still support. Fields as PREPARE */
    PAXOS_WILLING, /* answer to ASK: yes */
    PAXOS_QUERY,   /* epoch: number of the question: how far is what is chosen? */
    PAXOS_TELL /* answer: epoch; slot, last: of its log; chosen; config_slot: its latest configuration */
};

struct paxos_msg {
    enum paxos_msg_kind kind;
    group_id group;
    node_id from, to;
    struct ballot ballot;
    slot_no slot;       /* PREPARE, PROMISE: last slot; FETCH: first wanted; ACK, NACK: see above;
                               ACCEPT: every voter's log is durable and equal up to here */
    struct ballot last; /* PREPARE, PROMISE: ballot of the last entry */
    slot_no prev_slot;  /* ACCEPT, LOG */
    struct ballot prev_ballot;
    slot_no chosen; /* ACCEPT, PROMISE, ACK: known chosen by the sender */
    uint64_t epoch; /* PROMISE, ACK: epoch of the sender's support for the ballot's owner; 0 none */
    struct ballot
        promised; /* REFUSE. PREPARE: a ballot that its owner has released, as the sender knows */
    int64_t retry_ns; /* REFUSE */
    slot_no kept; /* ACK: the sender's checkpoints hold everything up to here. ACCEPT: every voter's
                               with data do */
    slot_no config_slot; /* TELL */
    node_id target;      /* RELEASE */
    struct tt_interval
        time;        /* the sender's interval, set by the core from in.now. Who holds a message back
                                until a write is durable may renew it then, but not if it is void: that says
                                that the sender disagrees with the receiver's clock */
    int64_t mono_ns; /* receiver: when it arrived; not on the wire */
    const struct paxos_entry *entries;
    size_t n_entries;
};

struct paxos_options {
    group_id group;
    node_id self;
    /* Copied: whom the group was made with, all voters; used only while start.hard.config is empty. None: this
     * node does not know. Then it takes part in nothing until it learns a configuration from entries or a snapshot. */
    const node_id *voters;
    size_t n_voters;
    uint64_t seed;
    /* Silence after which a candidate may ask; a heartbeat's time is added where a leader was heard. The
     * lease holds elections back, so these may be short: lease / 20 and 3 * lease / 20 do well. */
    int64_t election_min_ns, election_max_ns;
    int64_t heartbeat_ns; /* empty accepts when there is nothing else to send */
    int64_t resend_ns;    /* repeat what was not answered */
    /* A learner that lags less behind what is chosen may be made a voter; 0: 256. Every replica keeps more slots than
     * that behind the end of its log: else the voters of a new configuration might need a snapshot before any of them
     * can lead. */
    slot_no catch_up_slots;
    size_t flight_bytes;          /* entries on their way to one peer, about; 0: 8 MiB */
    int64_t contradiction_cap_ns; /* 0 */
    int64_t
        lease_cap_ns; /* a lease ends no later than this after the time that a majority of clocks
                             agrees upon: longest lease + bound cap; 0: whatever the own clock says */
    size_t
        cache_bytes; /* payloads kept in memory behind `chosen`; older ones are asked of the shell */
    bool may_rest;   /* an idle group sends no heartbeats; see out.rests */
    void (*trace)(void *arg, const char *line); /* NULL: none */
    void *trace_arg;
    MUTANT_FIELD
};

/* What the log and the last run left. */
struct paxos_start {
    struct paxos_hard hard;
    slot_no first;                     /* first slot that is stored; last + 1 if none is */
    struct ballot before;              /* ballot of slot first - 1 (0,0 if first is 1) */
    const struct paxos_entry *entries; /* all stored entries, in order; payload may be empty with */
    size_t
        n_entries; /*   payload.ptr NULL when the shell keeps them on disk (LOAD); not of configurations */
    slot_no
        applied; /* chosen for sure: what the tablet has applied. A tablet that is ahead of the log was
                         installed from a snapshot, and the crash came before INSTALLED was written: say first - 1 here, and
                         give INSTALLED as the first input */
};

enum paxos_in_kind {
    PAXOS_IN_TICK,
    PAXOS_IN_MESSAGE,  /* msg */
    PAXOS_IN_PROPOSE,  /* payload: next batch; only if out.room was true */
    PAXOS_IN_DURABLE,  /* durable_seq: every write up to this number is synced */
    PAXOS_IN_LOADED,   /* load_for, entries: answer to out.load */
    PAXOS_IN_CAMPAIGN, /* try to lead now (tests, leader preference) */
    PAXOS_IN_RELEASE, /* used: clean stop. Assign nothing more, release the voters once all is chosen and
                          `used` has surely passed; out.released says when. It never campaigns again */
    PAXOS_IN_TRUNCATE, /* slot: the log may begin behind it. out.head says where it begins (perhaps earlier, or
                          no head: nothing changes); rows go once that write is durable */
    PAXOS_IN_CHECKPOINTED, /* slot: completed checkpoints of this replica's data hold everything up to here */
    PAXOS_IN_RECONFIGURE, /* config: whom the group is to have. out.verdict answers at once; the rest is seen in
                          out.config. More than one voter changing goes through a joint configuration, which the leader
                          leaves by itself. A voter must be a learner that has caught up before it is made one */
    PAXOS_IN_TRANSFER, /* transfer: assign nothing more, have payload (if any) chosen as the last entry, release
                          the voters once `used` has surely passed, and let `to` campaign at once (0: whoever likes). The
                          shell has shut its term: what it queued is surely not chosen. out.verdict answers; a shell that has
                          shut its term and is refused asks again, for anybody (0), until it is taken or the lead is lost */
    PAXOS_IN_CONFIRM, /* confirm: a number of the shell's. How far is what is chosen? out.confirmed answers, in a
                          later step; lost questions are asked again, a new number replaces the one before */
    PAXOS_IN_INSTALLED /* installed: the data is a snapshot at this slot, durably (no data on a witness). The log
                          begins behind it: what it held up to there is covered, and a suffix that does not follow from there
                          was never chosen. Never on a leader (it steps down), no harm if the log is ahead of it */
};

struct paxos_in {
    enum paxos_in_kind kind;
    struct tt_interval now; /* may be void */
    int64_t mono_ns;
    struct support *support; /* the node's */
    /* As long as it is said: the data is not there (a snapshot is being installed), so this replica votes and
     * keeps its log, but does not campaign. Said to a follower only. */
    bool no_data;
    union {
        const struct paxos_msg *msg;
        struct bytes payload;
        uint64_t durable_seq;
        struct {
            node_id load_for;
            const struct paxos_entry *entries;
            size_t n_entries;
        } loaded;
        slot_no slot;
        struct {
            slot_no slot;
            struct ballot ballot; /* of that slot */
            slot_no config_slot;  /* the configuration in force there, and where it stands */
            const struct paxos_config *config;
        } installed;
        const struct paxos_config *config;
        struct {
            node_id to;
            tstamp used; /* as below */
            struct bytes payload;
        } transfer;
        uint64_t confirm;
        tstamp
            used; /* highest timestamp that was assigned or promised; 0 unknown: the end of the lease */
    };
};

enum paxos_verdict {
    PAXOS_NO_VERDICT,
    PAXOS_TAKEN,
    PAXOS_NOT_LEADER,
    PAXOS_BUSY, /* with another change or transfer, or the lease must reach further first: again soon */
    PAXOS_BEHIND, /* who is to vote, or to lead, has not caught up, or too many voters do not answer */
    PAXOS_FLAWED /* not a configuration for this group; or not one that may lead */
};

struct paxos_send {
    struct paxos_msg msg;
    uint64_t after_write; /* may leave once this write is durable; 0: at once */
};

struct paxos_out {
    /* One write, in this order: hard state (if any); drop every entry from cut_from on (if not 0); drop every entry
     * below head->first, and remember head (if any); append. */
    const struct paxos_hard *hard;
    slot_no cut_from;
    const struct paxos_head *head;
    const struct paxos_entry *append;
    size_t n_append;
    uint64_t write_seq; /* number of that write, 0 if there is nothing to write */

    const struct paxos_send *send;
    size_t n_send;

    slot_no
        chosen; /* acknowledge up to here (durable on a majority, perhaps not yet on this node) */
    slot_no apply; /* apply up to here: chosen, and durable in this node's log */
    slot_no
        everywhere; /* durable on every voter up to here, as far as is known. Whoever truncates beyond it makes
                           a voter need a snapshot: the shell keeps what is behind it up to a bound of its own */
    struct { /* payloads wanted from the shell's log: PAXOS_IN_LOADED answers. node 0: none */
        node_id node;
        slot_no from, to;
    } load;

    /* Leader: these peers need slots that this log no longer holds (or, on a witness that is new, its head).
     * The shell streams a snapshot to each, of a slot >= first - 1 whose configuration paxos_config_at knows, and does
     * not truncate beyond the slot of one that is under way. The list stands in every step until the peer's log has got
     * on: whoever misses an answer looks again. */
    const node_id *snapshot;
    size_t n_snapshot;

    slot_no first; /* of the stored log */
    slot_no
        kept_all; /* every voter with data has checkpointed up to here, as far as is known: a witness keeps the
                         rest, whatever TRUNCATE says */

    enum paxos_verdict verdict;        /* RECONFIGURE, TRANSFER: of this step's */
    const struct paxos_config *config; /* in force */
    slot_no config_slot;               /* that carries it; chosen once <= chosen */
    bool removed;                      /* this replica is in no chosen configuration any more */
    /* Leader: it should hand over to this node: a preferred one has caught up, or this one is to have no vote. The
     * shell does so when it likes (TRANSFER). 0: no */
    node_id yield_to;
    struct {
        uint64_t number; /* of the question that was answered last; 0 none */
        slot_no chosen;  /* that much was chosen, as a quorum knows */
        slot_no bound;   /* and nothing above was when the question was asked */
    } confirmed;

    enum paxos_role role;
    struct ballot ballot; /* promised; own while it leads */
    node_id leader;       /* best guess, 0 unknown */
    bool room;            /* leader, lease holds, fewer than two slots in flight */
    slot_no last;         /* of the log; right after PROPOSE: the slot that the batch got */
    tstamp lease_start;   /* leader: every timestamp must be above; fixed for the ballot */
    tstamp
        lease_end;  /* leader: no timestamp, no promise above; 0 otherwise. It may be in the past */
    tstamp agreed;  /* leader: a majority of clocks says that this has passed, as of mono_ns of the
                              step: add the monotonic time since (less 1/4096 of it). 0 unknown */
    bool won, lost; /* in this step: became PAXOS_LEADER / ceased to be it. They alone delimit a
                              leadership: `ballot` may rise within one */
    bool released;  /* after PAXOS_IN_RELEASE: nothing holds the voters any more, the node may go */
    /* Nothing is under way, and support between the nodes says all that heartbeats would: wake_mono_ns is INT64_MAX.
     * The shell sends a TICK when support turns, though: a leader's, when what any peer gives to this node begins,
     * lapses or changes its epoch; a follower's, when what this node gives to the owner of `ballot` lapses or does. While
     * it rests a leader's lease_end stays as it was said last, and soon lies in the past. */
    bool rests;
    int64_t wake_mono_ns; /* want a TICK no later than this */
};

struct paxos *paxos_new(const struct paxos_options *opts, const struct paxos_start *start,
                        int64_t mono_ns);
void paxos_free(struct paxos *p);
void paxos_step(struct paxos *p, const struct paxos_in *in, struct paxos_out *out);

/* The other members, for people and for planning; n <= PAXOS_MEMBERS_MAX. On a leader, how far each is. */
struct paxos_peer_view {
    node_id node;
    enum paxos_part part, old_part;
    bool witness, answers, wants_snapshot;
    slot_no match; /* its log is durable and equal up to here */
    slot_no kept;  /* its checkpoints hold that */
};
size_t paxos_peers(const struct paxos *p, struct paxos_peer_view *out, size_t max);
/* What TRANSFER to this node would answer now. */
enum paxos_verdict paxos_may_transfer(const struct paxos *p, node_id to);

void paxos_stay_awake(struct paxos *p); /* takes may_rest back; before the first step */
/* Gives back the memory that only a step needs; the last `out` is no longer good. */
void paxos_trim(struct paxos *p);

/* What a slot gives to apply, if it is in memory; ptr NULL otherwise. A configuration gives nothing: length 0. */
struct bytes paxos_payload(const struct paxos *p, slot_no slot);
struct ballot paxos_ballot_of(const struct paxos *p, slot_no slot);
/* The configuration in force at a slot of the log, and the slot that carries it; NULL if that was truncated. Good
 * until the next step. */
const struct paxos_config *paxos_config_at(const struct paxos *p, slot_no slot,
                                           slot_no *out_config_slot);

void paxos_msg_encode(struct buf *out, const struct paxos_msg *m);
/* Entries are put into entries[0..max); payloads point into the input. False: malformed or too many. */
bool paxos_msg_decode(struct rd *r, struct paxos_msg *m, struct paxos_entry *entries, size_t max);

#endif
