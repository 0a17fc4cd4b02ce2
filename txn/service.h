/*
 * service.h - the leader's door for gateways on other nodes: requests in, answers out, and who of them is still there.
 *
 * A message is copied and becomes a job of the space's threads. A request that has to wait is parked, not its
 * thread; after the time that the gateway allows it is taken back and the gateway told to ask again, so
 * that a gateway which is gone leaves nothing behind. A gateway whose process is another one than before, or
 * whose link has been down for a while, loses its transactions here.
 */
#ifndef MRD_TXN_SERVICE_H
#define MRD_TXN_SERVICE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/rpc.h"

struct txn_space;
struct served;

enum { SERVICE_GATEWAYS_MAX = 1024, SERVICE_REQUESTS_MAX = 16384 };

struct service_gateway {
    node_id node;
    uint64_t incarnation; /* as its last message said */
    int64_t down_since;   /* mono; 0: its link is up, or nobody knows of one */
    bool lost;            /* said so */
};

struct service {
    struct txn_space *s;
    pthread_mutex_t mu; /* lock 3; guards what follows */
    pthread_cond_t empty;
    bool stopping;
    bool gone;           /* nothing can be answered any more */
    struct served *head; /* all that may be parked */
    size_t n;
    struct service_gateway *gateways; /* owned */
    size_t n_gateways;
};

void service_init(struct service *v, struct txn_space *s); /* registers the messages */
void service_tick(struct service *v, int64_t mono_ns);
bool service_idle(struct service *v); /* it serves nothing now */
void service_stop(struct service *v); /* nothing is parked afterwards; blocks for a moment */
void service_gone(struct service *v); /* rpc is closed */
void service_fini(struct service *v);

#endif
