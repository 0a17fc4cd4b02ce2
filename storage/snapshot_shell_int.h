/*
 * snapshot_shell_int.h - the inside of the shell, shared by snapshot_shell.c (thread, inbox, messages),
 * snapshot_send.c and snapshot_fetch.c.
 */
#ifndef MRD_STORAGE_SNAPSHOT_SHELL_INT_H
#define MRD_STORAGE_SNAPSHOT_SHELL_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "storage/snapshot_msg.h"
#include "storage/snapshot_shell.h"
#include "storage/store_int.h"

enum { SNAPSHOT_PAUSES = 8 };

/* The one stream that leaves. */
struct snapshot_send {
    struct group *group; /* NULL: none */
    node_id to;
    struct snapshot_reader *reader; /* owned */
    uint64_t stream;
    bool fetched;         /* the receiver has taken the offer */
    int64_t heard_mono;   /* last word of the receiver, or the begin */
    int64_t offered_mono; /* last OFFER */
    uint64_t wanted;      /* chunk that waits for its turn; 0 none */
    int64_t next_mono;    /* the pace allows no chunk before */
};

enum fetch_state {
    FETCH_NONE,
    FETCH_ASKED,     /* the worker is asked for the tablet */
    FETCH_GOING,     /* chunks come */
    FETCH_PUTTING,   /* a chunk could not be written yet */
    FETCH_CHECKPOINT /* installed, not durable yet */
};

/* The one stream that comes. */
struct snapshot_fetch {
    enum fetch_state state;
    struct group *group;
    node_id from;
    uint64_t stream;
    struct buf head;                  /* encoded */
    struct snapshot_install *install; /* owned */
    struct buf chunk;                 /* that is being written */
    int64_t heard_mono;               /* last chunk, or the begin */
    int64_t sent_mono;                /* last FETCH */
    int64_t retry_mono;               /* try again then; 0 at once */
};

struct snapshots {
    struct store *store; /* borrowed */
    struct waker waker;
    pthread_t thread;
    bool started;
    atomic_bool stop;

    pthread_mutex_t mu; /* lock 8: inbox, offered, pauses */
    struct buf inbox;   /* node, length, message; again and again */
    struct snapshot_send offered;
    struct {
        node_id node;
        int64_t until_mono;
    } pauses[SNAPSHOT_PAUSES]; /* nodes that a snapshot just failed for */
    size_t pause_at;
    atomic_bool sending; /* a stream leaves, or is offered */

    /* The thread's. */
    struct buf reading, out;
    struct snapshot_send send;
    struct snapshot_fetch fetch;
    uint64_t n_streams;
    struct { /* of streams that are over: what follows on them stays in the log a while */
        struct group *group;
        int64_t until_mono;
    } after;
    int64_t asked_mono;
    bool frozen; /* fault point "snapshot.step": nothing happens here any more */
};

void snapshot_send_msg(struct snapshots *sh, node_id to, const struct snapshot_msg *m);

/* snapshot_send.c */
void send_on_msg(struct snapshots *sh, node_id from, const struct snapshot_msg *m);
int64_t send_round(struct snapshots *sh, int64_t mono);
void send_stop(struct snapshots *sh);

/* snapshot_fetch.c */
void fetch_on_msg(struct snapshots *sh, node_id from, const struct snapshot_msg *m);
int64_t fetch_round(struct snapshots *sh, int64_t mono);
void fetch_stop(struct snapshots *sh);

#endif
