/*
 * rpc.h - messages between nodes: one-way sends and calls with a deadline, over nng byte streams.
 *
 * Hides connections: two per ordered pair of nodes (consensus, bulk), dialled, greeted (hello: cluster,
 * node, incarnation, wire versions min/max), re-dialled, watched by own heartbeats and closed when
 * half dead. All that waits for a peer goes into one frame per flush; a flush starts when the
 * previous send has completed. Queues are bounded: a send to a full queue or a dead peer is dropped
 * and counted (consensus repairs), a call fails with ST_RETRY if it surely never left. A request is
 * never sent twice by this layer. Every frame carries the sender's time interval and incarnation.
 *
 * Threads: rpc_send, rpc_call and rpc_reply from any thread; they only queue. Handlers and `done`
 * run on the transport's threads: they put the message on a queue of their own and return, they take no
 * lock that is held while blocking, and never call rpc_close. Payloads are borrowed for the call.
 *
 * Two transports behind it: nng (rpc_nng.c, the one file that knows nng) and in-process
 * (rpc_mem.c), both under the same fault layer (rpc_faults).
 */
#ifndef MRD_BASE_RPC_H
#define MRD_BASE_RPC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/status.h"

struct rpc;
struct rpc_hub; /* the in-process network: all rpcs of one process that talk through memory */

enum rpc_channel { RPC_CONSENSUS, RPC_BULK, RPC_CHANNELS };

enum {
    RPC_FRAME_MAX = 16 * 1024 * 1024,   /* payload of a frame; larger closes the connection */
    RPC_MESSAGE_MAX = 15 * 1024 * 1024, /* one message; a larger send is ST_REJECT 54000 */
    RPC_QUEUE_MAX_BYTES = 64 * 1024 * 1024,
    RPC_CALLS_MAX = 65536, /* calls in flight per peer and channel; one more is ST_RETRY 53400 */
    RPC_HEARTBEAT_MS =
        333,            /* a ping on every connection; answered by the next one of the other side */
    RPC_DEAD_MS = 1000, /* nothing received for so long: closed and re-dialled */
    RPC_BULK_SLOWER = 4, /* the bulk channel beats and dies so many times slower */
    RPC_RECONNECT_MIN_MS = 20,
    RPC_RECONNECT_MAX_MS = 500
};

struct rpc_peer_addr {
    node_id node;
    const char *addr; /* "127.0.0.1:4701"; copied */
};

struct rpc_options {
    const char *cluster; /* a hello with another cluster name is refused */
    node_id node;
    uint64_t incarnation;    /* a number that only grows for this node, one per process start */
    const char *listen_addr; /* "127.0.0.1:4701"; copied */
    const struct rpc_peer_addr *peers; /* the others; itself is ignored */
    size_t n_peers;
    struct rpc_hub *hub; /* NULL: nng. Otherwise the in-process network; addresses are ignored */
    struct logger *log;  /* borrowed, may be NULL */
    struct metrics *metrics; /* borrowed, may be NULL */
    /* The interval that goes into every frame; false if time is void. Any thread; must not block. */
    bool (*now)(void *arg, int64_t *out_earliest, int64_t *out_latest);
    void *now_arg;
};

/* A message as the handler sees it. Everything is borrowed for the call. */
struct rpc_msg {
    node_id from;
    uint64_t incarnation; /* the sender's */
    uint16_t type;
    bool wants_reply; /* it is a call: answer with rpc_reply(token) exactly once */
    struct rpc_token {
        node_id peer;
        uint64_t incarnation;
        uint64_t call;
    } token;
    bool has_time;
    int64_t earliest, latest; /* sender's interval when the frame was made */
    int64_t received_mono_ns;
    struct bytes payload;
};

typedef void (*rpc_handler)(void *arg, const struct rpc_msg *msg);

/* How a call ended. ST_OK: payload is the reply. ST_RETRY: surely never reached the peer. ST_UNKNOWN: it left,
 * no answer came (deadline, connection lost, peer restarted). Other: the peer's own status, with err.
 * Without a connection a call is ST_RETRY at once, it does not wait for one: the caller may know
 * another node. What is still queued when the connection goes, or at its deadline, is taken back. */
struct rpc_done {
    void (*fn)(void *arg, enum status st, struct bytes reply, const struct err *err);
    void *arg;
};

/* Address and option errors: ST_REJECT. Listening starts at once, handlers are registered before
 * rpc_start(), which lets messages in. */
enum status rpc_open(const struct rpc_options *opts, struct rpc **out, struct err *err) MRD_CHECKED;
/* Message types type_lo..type_hi belong to the floor that registers them. */
void rpc_register(struct rpc *r, uint16_t type_lo, uint16_t type_hi, rpc_handler fn, void *arg);
void rpc_start(struct rpc *r);
/* Stops: every pending call ends with ST_UNKNOWN or ST_RETRY; no handler runs afterwards. NULL is fine.
 * No other thread may be inside a call on r, or begin one. */
void rpc_close(struct rpc *r);

/* A node may call itself: the message goes through a queue, as any other. */
void rpc_send(struct rpc *r, node_id to, enum rpc_channel ch, uint16_t type, struct bytes payload);
/* done.fn runs exactly once, whatever happens, and never inside this call; it may already have run
 * when this returns. The deadline is mono_now() time. A retry belongs on a queue of the caller's, with
 * a pause: not into done.fn. */
void rpc_call(struct rpc *r, node_id to, enum rpc_channel ch, uint16_t type, struct bytes payload,
              int64_t deadline_mono_ns, struct rpc_done done);
/* st ST_OK: payload is the answer. Else err is sent (payload ignored). It goes to the process that
 * asked or to nobody; while its connection is being made, it waits for up to RPC_DEAD_MS. */
void rpc_reply(struct rpc *r, struct rpc_token token, enum status st, struct bytes payload,
               const struct err *err);

/* For people and placement: is a connection up, and the smoothed round trip of heartbeats. */
bool rpc_peer_up(struct rpc *r, node_id peer);
int64_t rpc_peer_rtt_ns(struct rpc *r, node_id peer); /* -1 unknown */
node_id rpc_self(const struct rpc *r);

/* The fault layer, live: what this node does to messages it sends to `peer` (0: every peer). */
struct rpc_fault {
    double drop, duplicate, reorder; /* probabilities */
    int64_t delay_ns;                /* added to every message */
    /* No message and no ping leaves: one direction of a partition. What the peer sends still comes
     * in, and its pings are still answered. */
    bool cut;
};
void rpc_set_fault(struct rpc *r, node_id peer, const struct rpc_fault *fault);

struct rpc_hub *rpc_hub_new(uint64_t seed);
void rpc_hub_free(struct rpc_hub *hub); /* after every rpc on it is closed */

#endif
