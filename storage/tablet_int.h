/*
 * tablet_int.h - the inside of a tablet, shared by tablet.c (loads, applies, answers) and by the files of
 * snapshots (snapshot.h), which read and replace its rows; for storage/ only.
 *
 * Keys of group state: 0x00, group, kind, and for outcomes the slot; all big-endian.
 */
#ifndef MRD_STORAGE_TABLET_INT_H
#define MRD_STORAGE_TABLET_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "storage/paxos/paxos.h"
#include "storage/tablet.h"
#include "storage/tablet_outcomes.h"

enum state_kind {
    STATE_MARK =
        0, /* a snapshot is being installed: nothing else of the group can be believed. Met first */
    STATE_ROW,
    STATE_HORIZON,
    STATE_OUTCOMES,
    STATE_BASE /* the snapshot that was installed last: the log may begin after its slot */
};

enum { STATE_KEY_GROUP = 10, STATE_KEY_SLOT = 18 };

struct state_key {
    uint8_t b[STATE_KEY_SLOT];
    size_t len;
};

/* A slot whose outcomes stand in the engine. */
struct kept_slot {
    slot_no slot;
    tstamp ts; /* s_max after the slot */
};

/* What applying changes, besides rows; copied before a batch and published after its commit. */
struct tablet_state {
    slot_no applied;
    tstamp s_max;
    tstamp schema_from;
    tstamp schema_cap;
};

struct tablet {
    struct engine *engine; /* borrowed */
    group_id group;
    MUTANT_FIELD

    /* Published after each commit; written by the worker. */
    _Atomic uint64_t applied;
    _Atomic int64_t applied_ts, schema_from, schema_cap, horizon;
    _Atomic uint64_t n_commands, n_writes, n_duplicates;

    _Atomic uint32_t holds; /* while not 0, outcomes that are too old stay in the engine */
    _Atomic bool usable;    /* false: STATE_MARK stands */

    pthread_mutex_t mu;       /* lock 4: outcomes; the worker alone writes, and reads without it */
    struct outcomes outcomes; /* committed */

    pthread_mutex_t sweep_mu; /* lock 7: who removes or replaces rows otherwise than by applying */

    /* The worker's; of whoever installs a snapshot, while the worker keeps its hands off. */
    struct tablet_state state;
    struct {
        slot_no slot; /* 0: no snapshot was ever installed */
        struct ballot ballot;
        struct buf config;
    } base;
    struct outcomes fresh;  /* of the batch being applied */
    struct kept_slot *kept; /* owned; kept[kept_first..kept_end), by slot */
    size_t kept_first, kept_end, kept_cap;
    struct arena mem;
    struct buf row, slot_row;
};

static inline struct bytes state_key_bytes(const struct state_key *k)
{
    return bytes_of(k->b, k->len);
}

struct state_key tablet_state_key(group_id group, enum state_kind kind);
/* One row of the group's state, in an engine transaction of its own. */
enum status tablet_put_state(struct tablet *t, enum state_kind kind, struct bytes value,
                             struct err *err) MRD_CHECKED;
struct state_key tablet_outcomes_key(group_id group, slot_no slot);
/* Values of rows. False: malformed. */
void tablet_encode_state(struct buf *out, const struct tablet_state *state);
bool tablet_parse_state(struct bytes row, struct tablet_state *out);
void tablet_encode_base(struct buf *out, const struct tablet_base *base);
/* *out_ts: s_max after the slot. into NULL: only looks at the row. */
bool tablet_parse_outcomes(struct bytes row, tstamp *out_ts, struct outcomes *into);
/* Nobody may ask for these outcomes any more once s_max is reached. */
bool tablet_outcomes_expired(struct bytes row, tstamp s_max);
/* Everything in memory anew from the engine; nothing is changed unless it returns ST_OK. */
enum status tablet_load(struct tablet *t, struct err *err) MRD_CHECKED;

#endif
