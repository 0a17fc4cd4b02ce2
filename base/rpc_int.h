/*
 * rpc_int.h - what the parts of rpc share. For base/rpc*.c alone.
 *
 * rpc.c       the public calls, and the delivery of messages to handlers and callers
 * rpc_link.c  a link: what leaves for one peer on one channel; its calls and states
 * rpc_queue.c its queue: frames that fill up, and the fault layer in front of them
 * rpc_conn.c  a connection: frames in, hello, heartbeats; accepted ones and dialled ones
 * rpc_calls.c the table of calls in flight
 * rpc_loop.c  the one thread of our own: timers, connects, burials, messages to oneself
 * rpc_nng.c, rpc_mem.c  the two transports
 *
 * Locks, in order: hub.mu (1, rpc_mem.c) < rpc.in_mu (2) < link.mu (3) < loop.mu (4). No handler,
 * no `done` and no transport call runs under one, but for mem's wiring under hub.mu.
 */
#ifndef MRD_BASE_RPC_INT_H
#define MRD_BASE_RPC_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/frame.h"
#include "base/rng.h"
#include "base/rpc.h"

enum {
    RPC_WIRE_MIN = 1, /* versions of what stands inside frames; agreed in the hello */
    RPC_WIRE_MAX = 2, /* 2: a ping carries the echo of the other side's last ping */
    RPC_WIRE_ECHO = 2,
    RPC_HELLO_MAX = 1024,        /* frames before the hello was believed */
    RPC_CHUNK_SOFT = 256 * 1024, /* a frame that holds so much takes no further message */
    RPC_CHUNK_KEEP = 4,          /* empty chunks kept by a link */
    RPC_STRANGERS_MAX = 64,      /* accepted connections beyond two for each peer and channel */
    RPC_HANDLERS_MAX = 32
};

enum frame_kind { FR_HELLO = 1, FR_WELCOME, FR_REFUSE, FR_MESSAGES, FR_PING, FR_PONG };
enum msg_kind { MSG_VOID = 0, MSG_ONEWAY, MSG_CALL, MSG_REPLY, MSG_ERROR };

/* In front of the messages of a frame: u64 incarnation, u8 has_time, i64 earliest, i64 latest. */
enum { MESSAGES_HEADER = 8 + 1 + 8 + 8 };

struct loop_ev {
    struct loop_ev *next;
    void (*run)(struct loop_ev *ev); /* on the loop's thread, no lock held */
};

/* One thread: runs events in order and a tick when it is due. */
struct loop {
    pthread_mutex_t mu; /* lock 4 */
    pthread_cond_t cond;
    struct loop_ev *head, **tail; /* guarded by mu */
    int64_t wake_at;              /* guarded by mu; mono_now() time of the next tick */
    bool stop, waiting;           /* guarded by mu */
    bool started;                 /* owner of the loop only */
    pthread_t thread;
    int64_t (*tick)(void *arg, int64_t now); /* returns when it wants to be called next */
    void *arg;
};

void loop_init(struct loop *loop, int64_t (*tick)(void *arg, int64_t now), void *arg);
void loop_start(struct loop *loop);
void loop_stop(struct loop *loop); /* joins; events that are left stay */
void loop_fini(struct loop *loop);
void loop_post(struct loop *loop, struct loop_ev *ev); /* any thread */
void loop_wake_by(struct loop *loop, int64_t at);      /* any thread */
bool loop_drain(
    struct loop *loop); /* runs what is queued, on the caller's thread; false: nothing */

/* ---- calls in flight on one link; guarded by link.mu ---- */

struct chunk;

struct call {
    struct rpc_done done;
    int64_t deadline;
    uint64_t gen;        /* of the id, so that a late answer to an earlier call finds nothing */
    uint64_t chunk_seq;  /* it has left once link.handed_seq >= this */
    struct chunk *chunk; /* where it waits; only read while it has not left */
    size_t kind_at;      /* offset of its kind byte in the chunk */
    uint32_t next_free;
    bool used;
};

struct calls {
    struct call *slot;
    uint32_t n_slots, n_used, free_head;
    uint64_t gen;
    int64_t next_deadline; /* no call ends before; may be early, never late */
};

/* Why a call ended without an answer. */
struct end_reason {
    enum status st;
    const char *sqlstate;
    const char *text;
};
/* How calls ended, to be told without a lock. */
struct ended {
    struct rpc_done done;
    const struct end_reason *why; /* static storage */
};
struct ended_list {
    struct ended *v;
    size_t n, cap;
};

void calls_init(struct calls *c);
void calls_fini(struct calls *c);
/* Id: generation, slot, channel in the lowest bit. NULL: RPC_CALLS_MAX are in flight. */
struct call *calls_add(struct calls *c, enum rpc_channel ch, uint64_t *out_id);
bool calls_take(struct calls *c, uint64_t id, struct rpc_done *out);
void calls_remove(struct calls *c, struct call *call);
void ended_put(struct ended_list *list, struct rpc_done done, const struct end_reason *why);
/* Calls every done, then frees the list. */
void ended_run(struct ended_list *list, node_id peer);

/* ---- links ---- */

enum link_state { LINK_DOWN, LINK_DIALING, LINK_HELLO, LINK_UP };

/* One frame of messages being filled, then on its way. */
struct chunk {
    struct chunk *next;
    uint64_t seq;
    struct buf buf;
};

/* A message that the fault layer holds back. */
struct held {
    struct held *next;
    int64_t due;
    uint8_t kind;
    uint16_t type;
    uint64_t call;
    struct bytes payload; /* owned, follows the struct */
};

struct link {
    struct rpc *rpc;
    struct peer *peer;
    enum rpc_channel ch;
    void *port;         /* the transport's own, constant */
    pthread_mutex_t mu; /* lock 3; guards the rest */
    enum link_state state;
    struct conn *conn;    /* HELLO and UP; owned by the loop */
    uint64_t incarnation; /* of the peer, as welcomed, or for which answers wait; 0: none */
    struct chunk *head, *last, *spare; /* last is meaningless without head */
    size_t n_spare, queued_bytes;
    uint64_t next_seq, handed_seq;
    bool ping_due, self_posted;
    uint64_t echo_stamp; /* of the peer's last ping, which our next one answers; 0: none waits */
    int64_t echo_mono;   /* when that one came */
    struct loop_ev self_ev;
    struct calls calls;
    int64_t dial_at, beat_at, backoff_ns;
    int64_t waits_since; /* answers wait in the queue of a link that is down since then */
    struct rpc_fault fault;
    struct rng rng;
    struct held *held; /* in order of due */
    size_t held_bytes;
    char refused[128]; /* the last refusal, so that it is logged once */
};

struct peer {
    node_id node;
    char *addr; /* owned; NULL for oneself */
    bool self;
    struct link link[RPC_CHANNELS];
    struct conn *in[RPC_CHANNELS]; /* guarded by rpc.in_mu: the accepted connection that counts */
    uint64_t seen_incarnation;     /* guarded by rpc.in_mu: highest in a hello or welcome */
    _Atomic int64_t rtt_ns;
};

/* ---- the queue of a link; link.mu is held, but for the first and the last ---- */

void chunk_free(struct chunk *k); /* NULL is fine */
/* Appends a message to the frame that is being filled; returns where it went. */
struct chunk *queue_append_locked(struct link *l, uint8_t kind, uint16_t type, uint64_t call_id,
                                  struct bytes payload, size_t *out_kind_at);
/* The oldest frame is handed over: its calls have left. NULL: none. */
struct chunk *queue_pop_locked(struct link *l);
void queue_recycle_locked(struct link *l, struct chunk *k);
/* What waits will not leave; handed_seq stays behind it, so that its calls surely were not sent. */
void queue_drop_locked(struct link *l);
/* True: the fault layer took the message: lost it, holds it back, or doubled it. */
bool queue_fault_takes_locked(struct link *l, uint8_t kind, uint16_t type, uint64_t call_id,
                              struct bytes payload);
/* Held messages whose time has come go into the queue, or nowhere if the link is down or cut. */
void queue_held_release_locked(struct link *l, int64_t now);
void queue_fini(struct link *l);

/* ---- links: what others call ---- */

void link_init(struct link *l, struct rpc *r, struct peer *peer, enum rpc_channel ch);
/* Closing, on the loop: dooms the connection (true: there is one), then ends the calls, then frees. */
bool link_close(struct link *l);
void link_end_calls(struct link *l);
void link_fini(struct link *l);
enum enqueued { ENQ_OK, ENQ_DOWN, ENQ_FULL };
/* Queues a message; applies the faults. call_id 0 for one-way messages. For MSG_REPLY and MSG_ERROR,
 * to_incarnation is the process that asked: its answer waits a while for a link that is down. */
enum enqueued link_put(struct link *l, enum msg_kind kind, uint16_t type, uint64_t call_id,
                       struct bytes payload, uint64_t to_incarnation);
void link_call(struct link *l, uint16_t type, struct bytes payload, int64_t deadline,
               struct rpc_done done);
void link_call_nobody(struct rpc *r, node_id peer, struct rpc_done done); /* an unknown node */
bool link_answered(struct link *l, uint64_t id, struct rpc_done *out);
void link_set_fault(struct link *l, const struct rpc_fault *fault);
int64_t link_tick(struct link *l, int64_t now);
/* The transport's answer to ops->dial; c NULL: failed. Loop thread. */
void link_dialled(struct link *l, struct conn *c);
void link_welcomed(struct link *l, struct conn *c, uint64_t incarnation);
void link_lost(struct link *l, struct conn *c); /* loop thread, while c is buried */
/* The peer showed up under this incarnation: dial now, and drop what belongs to an older one. */
void link_peer_seen(struct link *l, uint64_t incarnation);
/* A ping of this process of the peer came on its own connection. True: our next ping answers it. False: nothing
 * is about to leave here, or too much, so that an answer of its own is needed. */
bool link_takes_echo(struct link *l, uint64_t incarnation, uint64_t stamp);
/* The answer to a ping of ours, `held_ns` old when it left there; as a message of its own, or in a ping. */
void link_echoed(struct link *l, uint64_t incarnation, uint64_t stamp, int64_t held_ns);
/* The next bytes to leave on a dialled connection; false: nothing, and c->sending is cleared. */
bool link_next(struct conn *c, struct bytes *out);
void link_refused(struct link *l, const char *why, size_t len);

/* ---- connections ---- */

/* Owned by the loop, made by the transport. Bytes are received by one thread at a time. */
struct conn {
    struct rpc *rpc;
    struct link *link; /* dialled: for which; accepted: NULL */
    struct conn *next; /* accepted: list of the loop */
    _Atomic bool dead;
    _Atomic int users; /* threads inside conn_pump by way of the link */
    _Atomic int64_t last_rx, last_tx;
    int64_t adopted_at; /* accepted: loop thread only */
    struct loop_ev doom_ev;
    const char *_Atomic why; /* it is dead; static storage */
    /* receiving side: the transport's receive thread */
    struct buf rx;
    _Atomic bool greeted;
    struct peer *from; /* accepted: who it is, once greeted */
    enum rpc_channel ch;
    uint64_t incarnation;
    uint16_t version; /* agreed; constant once greeted */
    int64_t born;     /* dialled: no ping of ours is older */
    /* sending side: whoever set sending. Dialled: guarded by link.mu; accepted: by tx_mu */
    pthread_mutex_t tx_mu; /* leaf, accepted connections only */
    bool sending, hello_due, pong_due, doom_when_sent;
    uint64_t pong_stamp;
    struct buf ctl;      /* hello, welcome, refusal, ping, pong on its way */
    struct buf ctl_wait; /* accepted: welcome or refusal, not yet on its way */
    struct chunk *chunk; /* on its way */
};

void conn_init(struct conn *c, struct rpc *r, struct link *l);
/* An accepted connection joins the loop, on its thread, and begins to receive. */
void conn_adopt(struct conn *c);
/* The transport appended to c->rx. False: the connection is dead, receive no more. */
bool conn_input(struct conn *c);
/* Room for the next receive, at least a few KB. */
uint8_t *conn_room(struct conn *c, size_t *out_len);
/* The previous send of this connection completed whole. */
void conn_pump(struct conn *c);
/* First call wins: the loop will bury it. Any thread. */
void conn_doom(struct conn *c, const char *why);
int64_t accepted_tick(struct rpc *r, int64_t now);

/* ---- transports ---- */

enum send_result { SEND_PENDING, SEND_DONE };

struct transport {
    enum status (*open)(struct rpc *r, const struct rpc_options *opts, struct err *err);
    void (*start)(struct rpc *r); /* lets connections in */
    void (*stop)(struct rpc *r);  /* no new connection afterwards; blocks */
    void (*fini)(struct rpc *r);  /* frees the ports */
    void (*dial)(struct link *l); /* loop thread; ends in link_dialled on the loop thread */
    void (*recv)(struct conn *c); /* loop thread: begin to receive */
    /* One at a time. PENDING: conn_pump(c) or conn_doom(c) follows, on any thread. DONE with a
     * doomed connection: it could not be sent. */
    enum send_result (*send)(struct conn *c, struct bytes data);
    void (*close)(struct conn *c); /* loop thread; blocks until none of its callbacks runs */
    void (*free)(struct conn *c);  /* after close and with no users */
};

extern const struct transport rpc_nng_transport;
extern const struct transport rpc_mem_transport;

struct rpc_counters {
    struct metric *frames_sent, *frames_received, *messages_sent, *messages_received;
    struct metric *bytes_sent, *bytes_received, *dropped_down, *dropped_full, *dropped_fault;
    struct metric *bad_frames, *refused, *reconnects, *unhandled, *late_replies;
    struct metric *clock_contradictions;
};

struct handler {
    uint16_t lo, hi;
    rpc_handler fn;
    void *arg;
};

struct rpc {
    const struct transport *ops;
    void *port; /* the transport's own */
    struct rpc_hub *hub;
    char *cluster; /* owned */
    node_id node;
    uint64_t incarnation;
    struct logger *log;
    struct metrics *own_metrics; /* owned, if the options gave none */
    struct rpc_counters n;
    bool (*now)(void *arg, int64_t *out_earliest, int64_t *out_latest);
    void *now_arg;
    struct handler handlers[RPC_HANDLERS_MAX]; /* constant after rpc_start */
    size_t n_handlers;
    struct peer **peers; /* constant; the last one is oneself */
    size_t n_peers;
    struct loop loop;
    _Atomic bool closing;
    pthread_mutex_t in_mu; /* lock 2 */
    struct conn *accepted; /* loop thread only */
    size_t n_accepted;     /* loop thread only */
};

/* Beats of all links fall together, so that an idle node wakes as seldom as it can. */
static inline int64_t rpc_next_beat(enum rpc_channel ch, int64_t now)
{
    int64_t beat = (int64_t)RPC_HEARTBEAT_MS * NS_PER_MS * (ch == RPC_BULK ? RPC_BULK_SLOWER : 1);

    return (now / beat + 1) * beat;
}
static inline int64_t rpc_dead_ns(enum rpc_channel ch)
{
    return (int64_t)RPC_DEAD_MS * NS_PER_MS * (ch == RPC_BULK ? RPC_BULK_SLOWER : 1);
}

struct peer *rpc_find_peer(struct rpc *r, node_id node); /* NULL: unknown */
/* The messages of one frame to their handlers and callers. False: malformed. */
bool rpc_deliver(struct rpc *r, struct peer *from, uint64_t incarnation, struct bytes payload);
void rpc_seal(struct rpc *r, struct chunk *chunk); /* header and checksum, just before it leaves */

#endif
