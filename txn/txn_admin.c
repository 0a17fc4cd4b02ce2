/* What is asked of a space outside any transaction: outcomes, schema leases, digests. */
#include "base/check.h"
#include "base/clock.h"
#include "txn/space_int.h"

enum { LEASE_TRIES = 100, DIGEST_TIMEOUT_S = 60 };

enum status txn_outcome(struct txn_space *s, struct txn_id id, tstamp *out_ts, struct err *err)
{
    struct op op;
    enum status st;

    op_init(&op, s, REQUEST_OUTCOME, NULL);
    op.rq.commit.id = id;
    op.deadline_mono_ns = mono_now() + s->o.op_timeout_ns;
    st = op_run(&op, err);
    if (st == ST_OK)
        *out_ts = op.a.ts;
    op_fini(&op);
    return st;
}

static enum status ask_lease(struct txn_space *s, struct leader_lease *out, struct err *err)
{
    struct op op;
    enum status st;

    op_init(&op, s, REQUEST_LEASE, NULL);
    op.deadline_mono_ns = mono_now() + s->o.op_timeout_ns;
    st = op_run(&op, err);
    if (st == ST_OK)
        *out = op.a.lease;
    op_fini(&op);
    return st;
}

enum status txn_schema_lease(struct txn_space *s, struct txn_schema_lease *out, struct err *err)
{
    struct leader_lease grant;
    tstamp now;
    enum status st;

    for (int i = 0; i < LEASE_TRIES; i++) {
        TRY(space_now(s, &now, err));
        if (gate_lease(&s->gate, now, &out->from, &out->until))
            return ST_OK;
        TRY(ask_lease(s, &grant, err));
        (void)gate_put(&s->gate,
                       &grant); /* if it was called back on its way the next look finds none */
    }
    st = err_set(err, ST_RETRY, SQLSTATE_CANNOT_CONNECT_NOW,
                 "the schema changes faster than it can be leased");
out:
    return st;
}

enum status txn_digest(struct txn_space *s, node_id node, struct bytes start, struct bytes end,
                       tstamp t, struct mvcc_digest *out, struct err *err)
{
    struct op op;
    enum status st;

    op_init(&op, s, REQUEST_DIGEST, NULL);
    op.node = node;
    op.rq.start = start;
    op.rq.end = end;
    op.rq.t = t;
    op.deadline_mono_ns = mono_now() + DIGEST_TIMEOUT_S * (int64_t)NS_PER_S;
    st = op_run(&op, err);
    if (st == ST_OK)
        *out = op.a.digest;
    op_fini(&op);
    return st;
}

enum status txn_stable_ts(struct txn_space *s, tstamp *out_ts, struct err *err)
{
    struct op op;
    tstamp now;
    enum status st;

    TRY(space_now(s, &now, err));
    op_init(&op, s, REQUEST_CLOSE, NULL);
    op.rq.t = now;
    op.deadline_mono_ns = mono_now() + s->o.op_timeout_ns;
    st = op_run(&op, err);
    if (st == ST_OK)
        *out_ts = now;
    op_fini(&op);
out:
    return st;
}
