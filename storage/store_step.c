#include "storage/store_step.h"

#include "base/check.h"
#include "storage/store_int.h"

void store_step_begin(struct store *s)
{
    ASSERT(s->o.hand != NULL && s->phase == STORE_OPENED);
    upkeep_begin(s->upkeep);
}

void store_step_deliver(struct store *s, const struct rpc_msg *msg)
{
    if (msg->type >= STORE_RPC_SNAPSHOT)
        snapshots_deliver(s->snapshots, msg);
    else
        worker_deliver(s->worker, msg);
}

bool store_step_round(struct store *s, int64_t *out_wake_mono)
{
    return worker_round(s->worker, out_wake_mono);
}

bool store_step_log_take(struct store *s)
{
    return logwriter_take(s->logwriter);
}

enum status store_step_log_write(struct store *s, struct err *err)
{
    return logwriter_write(s->logwriter, err);
}

int64_t store_step_upkeep(struct store *s)
{
    return upkeep_round(s->upkeep);
}

int64_t store_step_snapshots(struct store *s)
{
    return snapshots_round(s->snapshots);
}

bool store_step_retire(struct store *s)
{
    return worker_retire(s->worker);
}

void store_step_end(struct store *s)
{
    worker_abandon(s->worker);
}
