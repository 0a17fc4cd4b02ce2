/*
 * config.h - who belongs to a Paxos group: voters, witnesses, learners, and the change from one membership to the next.
 *
 * A configuration is carried by an entry of the log and is in force from the slot that carries it. While it is joint,
 * a decision needs a quorum of the old and one of the new voters. Node numbers are never used twice: a store that was
 * wiped comes back under another number (plog.h refuses a directory of another node, and a wiped one has a new uuid).
 *
 * Pure values. Thread: any.
 */
#ifndef MRD_STORAGE_PAXOS_CONFIG_H
#define MRD_STORAGE_PAXOS_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"
#include "base/ids.h"

enum {
    PAXOS_VOTERS_MAX = 9,   /* witnesses included; of one side of a joint configuration */
    PAXOS_MEMBERS_MAX = 24, /* voters of both sides, and learners */
    PAXOS_CONFIG_BYTES_MAX = 3 + PAXOS_MEMBERS_MAX * 8
};

enum paxos_part {
    PAXOS_PART_NONE,
    PAXOS_PART_LEARNER, /* gets the log; counts in no quorum */
    PAXOS_PART_VOTER
};

struct paxos_member {
    node_id node;
    uint8_t part;     /* enum paxos_part, in this configuration */
    uint8_t old_part; /* joint: in the one that is left */
    bool witness;     /* keeps the log but no data, never leads; for as long as its store lives */
    uint8_t
        preference; /* who should lead: the highest, if it is a voter with data that has caught up */
};

/* No members: unknown. */
struct paxos_config {
    bool joint;
    size_t n;
    struct paxos_member members[PAXOS_MEMBERS_MAX];
};

/* All voters, with data. */
void paxos_config_of(struct paxos_config *out, const node_id *voters, size_t n_voters);
const struct paxos_member *paxos_config_find(const struct paxos_config *c, node_id node); /* NULL */
bool paxos_config_votes(const struct paxos_config *c, node_id node); /* on either side */
size_t paxos_config_voters(const struct paxos_config *c);            /* of the new side */
bool paxos_config_equal(const struct paxos_config *a, const struct paxos_config *b);
/* NULL: it may be in force. Otherwise what is wrong with it, for people. */
const char *paxos_config_flaw(const struct paxos_config *c);

void paxos_config_encode(struct buf *out, const struct paxos_config *c);
/* False: malformed, or flawed. An empty one is good. */
bool paxos_config_decode(struct rd *r, struct paxos_config *out);

#endif
