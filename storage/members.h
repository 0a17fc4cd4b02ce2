/*
 * members.h - who holds a group: members are added, promoted, removed, replaced.
 *
 * For people and for the driver of placement: each call goes through the steps, waits for each until it is chosen, and
 * leaves the group as it is where a step would lower what it survives more than the caller asked for. Node numbers are
 * never used twice: a store that was wiped comes back under another one.
 *
 * Threads: any that may block, not the worker. Only on the leader's node; ST_RETRY elsewhere (57P03) and when time
 * is up (57014): what was begun then stands as far as it got, and the same call goes on from there.
 */
#ifndef MRD_STORAGE_MEMBERS_H
#define MRD_STORAGE_MEMBERS_H

#include "storage/group.h"

void members_look(struct group *g, struct group_ask *out);

/* A learner: it gets the log, or a snapshot and the log. Already a member: nothing. */
enum status members_add(struct group *g, node_id node, int64_t deadline_mono_ns,
                        struct err *err) MRD_CHECKED;
/* Waits until the learner has caught up, and gives it a vote. */
enum status members_promote(struct group *g, node_id node, int64_t deadline_mono_ns,
                            struct err *err) MRD_CHECKED;
/* Not the leader itself (55000). Its number is spent. */
enum status members_remove(struct group *g, node_id node, int64_t deadline_mono_ns,
                           struct err *err) MRD_CHECKED;
/* Add, catch up, and then both at once, the new one's vote for the old one's. */
enum status members_replace(struct group *g, node_id old, node_id new_node,
                            int64_t deadline_mono_ns, struct err *err) MRD_CHECKED;

#endif
