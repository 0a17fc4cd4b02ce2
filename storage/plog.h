/*
 * plog.h - the durable Paxos log of a node: rows of the engine's LOG table.
 *
 * Hides how entries, promises and the store's identity look on disk. A row's key is its kind, then the
 * group and the slot, big-endian, so that a group's entries are neighbours in order. An entry row is: format version,
 * ballot, checksum over slot, ballot, kind and payload, kind, payload. Format 1, which is still read, and written for
 * commands, has no kind.
 *
 * Rows of a write are built in a struct buf by whoever steps Paxos, and put into an engine transaction by
 * the log writer. Threads: pure functions over the engine; any thread.
 */
#ifndef MRD_STORAGE_PLOG_H
#define MRD_STORAGE_PLOG_H

#include "base/arena.h"
#include "storage/engine.h"
#include "storage/paxos/paxos.h"

enum { PLOG_FORMAT = 1, PLOG_FORMAT_KIND = 2, PLOG_CLUSTER_MAX = 63 };

/* Who this store is. Minted once; the incarnation counts starts and is synced before it is used. */
struct plog_identity {
    uint8_t uuid[16];
    char cluster[PLOG_CLUSTER_MAX + 1];
    node_id node;
    uint64_t incarnation;
};

/* Reads the identity, or mints it in an empty store; counts this start, and syncs. A store of another cluster
 * or node is ST_REJECT, one whose log is lost (data without identity) or of another format ST_FATAL. */
enum status plog_identify(struct engine *e, const char *cluster, node_id node,
                          struct plog_identity *out, bool *out_new, struct err *err) MRD_CHECKED;

/* Whom a group was made with, none if this store joined it: what is given is written if the group is new here (durable with its first write);
 * otherwise *out, with room for PAXOS_VOTERS_MAX, is what was written then, whatever is configured now. */
enum status plog_voters(struct engine *e, group_id group, const node_id *voters, size_t n_voters,
                        node_id *out, size_t *out_n, struct err *err) MRD_CHECKED;

/* Which store stands behind a node's number (kin.h). */
struct plog_kin {
    node_id node;
    uint64_t tag;
};
/* All of them; ST_FATAL if there are more than max. */
enum status plog_kin_load(struct engine *e, struct plog_kin *out, size_t max, size_t *out_n,
                          struct err *err) MRD_CHECKED;
void plog_add_kin(struct buf *rows, const struct plog_kin *kin);

/* What a group finds when it starts: every entry's slot and ballot, payloads left on disk. */
struct plog_state {
    struct paxos_hard hard;
    slot_no first; /* last + 1 if none is stored */
    slot_no last;
    struct ballot before;        /* of slot first - 1 */
    struct paxos_entry *entries; /* owned; payload.ptr NULL, save of configurations */
    size_t n_entries;
    uint64_t bytes;   /* of all payloads */
    struct arena mem; /* of what payloads are there */
};

/* The next group that this store has anything of; 0: the first. ST_NOTFOUND: no more. */
enum status plog_next_group(struct engine *e, group_id after, group_id *out,
                            struct err *err) MRD_CHECKED;

/* Checks every row's checksum, and that no slot is missing (ST_FATAL). Drops rows that a truncation left over. */
enum status plog_load(struct engine *e, group_id group, struct plog_state *out,
                      struct err *err) MRD_CHECKED;
void plog_state_fini(struct plog_state *s);

/* Entries from..to as far as they are there without a gap, and until max_bytes of payload are exceeded (at
 * least one). *out in mem; an empty payload has a pointer, too. */
enum status plog_read(struct engine *e, group_id group, slot_no from, slot_no to, size_t max_bytes,
                      struct arena *mem, struct paxos_entry **out, size_t *out_n,
                      struct err *err) MRD_CHECKED;

/* Rows of a write to come: appended to `rows`. */
void plog_add_entry(struct buf *rows, group_id group, const struct paxos_entry *entry);
void plog_add_hard(struct buf *rows, group_id group, const struct paxos_hard *hard);
void plog_add_head(struct buf *rows, group_id group, const struct paxos_head *head);
void plog_add_mark(struct buf *rows, uint64_t n); /* something small to sync */
void plog_add_cut(struct buf *rows, group_id group, slot_no from, slot_no to); /* drops entries */
/* Does all that in a transaction, in order. */
enum status plog_put(struct engine_txn *x, struct bytes rows, struct err *err) MRD_CHECKED;

/* Drops the entries below `first`: after a write of plog_add_head(first) or more is committed. */
enum status plog_drop_below(struct engine *e, group_id group, slot_no first,
                            struct err *err) MRD_CHECKED;

#endif
