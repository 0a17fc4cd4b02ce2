#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "txn/space_int.h"
#include "txn/wire.h"

/* An id that a gateway made itself is renewed at commit if it is older: outcomes are kept for a while only. */
#define ID_FRESH_NS (10 * (int64_t)NS_PER_S)

/* Gives up what the leader holds for it. A commit that is on its way is not touched by it. */
static void let_go(struct txn *t)
{
    struct txn_space *s = t->s;
    struct buf b = {0};

    txn_unlist(t);
    if (t->at == s->o.node) {
        leader_rollback(s->leader, t->ref.id);
    } else if (t->at != 0 && !atomic_load(&s->stopped)) {
        wire_put_ids_begin(&b);
        wire_put_id(&b, t->ref.id);
        rpc_send(s->o.rpc, t->at, RPC_CONSENSUS, WIRE_ROLLBACK, buf_bytes(&b));
        buf_fini(&b);
    }
    t->at = 0;
}

static enum status prepare(struct txn *t, struct err *err)
{
    struct leader_commit *c = &t->op.rq.commit;
    enum status st;
    tstamp now;

    TRY(txn_usable(t, err));
    TRY(space_now(t->s, &now, err));
    if (!t->own_id && now - t->id.start > ID_FRESH_NS)
        t->id = space_new_id(t->s, now);
    txn_op_init(t, &t->op, REQUEST_COMMIT, 0);
    c->id = t->id;
    c->until = t->schema_until;
    c->schema = t->schema;
    c->fresh = !t->own_id;
    c->blind = t->at == 0;
    if (t->has_writes)
        c->writes = wbuf_writes(&t->writes, &c->n_writes);
out:
    return st;
}

/* Nothing that a leader would have to know of. */
static bool is_empty(const struct txn *t)
{
    return t->mode == TXN_READ_ONLY || (t->at == 0 && !t->has_writes);
}

/* The last look at an operation that has ended. */
static enum status conclude(struct txn *t, enum status st)
{
    bool committed = st == ST_OK;

    t->at = t->op.at != 0 ? t->op.at : t->at;
    op_fini(&t->op);
    /* Its locks ended with it; but where the caller names the transaction an earlier commit of that name may have
     * been the answer, and the locks of this attempt are still held. */
    if (committed && !t->own_id)
        t->at = 0;
    t->state = TXN_ENDED;
    let_go(t);
    return st;
}

static void on_finished(struct op *op, enum status st, struct err *err)
{
    struct txn *t = (struct txn *)((char *)op - offsetof(struct txn, op));
    tstamp ts = op->a.ts;
    struct txn_done done = t->done;
    struct err why = *err;

    st = conclude(t, st);
    done.fn(done.arg, st, st == ST_OK ? ts : 0, st == ST_OK ? NULL : &why);
}

void txn_commit(struct txn *t, struct txn_done done)
{
    struct err err;
    enum status st;

    if (is_empty(t)) {
        st = txn_usable(t, &err);
        if (st == ST_OK)
            t->state = TXN_ENDED;
        done.fn(done.arg, st, 0, st == ST_OK ? NULL : &err);
        return;
    }
    st = prepare(t, &err);
    if (st != ST_OK) {
        done.fn(done.arg, st, 0, &err);
        return;
    }
    t->state = TXN_COMMITTING;
    t->done = done;
    t->op.finished = on_finished;
    op_start(&t->op);
}

enum status txn_commit_wait(struct txn *t, tstamp *out_ts, struct err *err)
{
    tstamp ts = 0;
    enum status st;

    if (is_empty(t)) {
        TRY(txn_usable(t, err));
        t->state = TXN_ENDED;
    } else {
        TRY(prepare(t, err));
        t->state = TXN_COMMITTING;
        st = op_run(&t->op, err);
        ts = t->op.a.ts;
        TRY(conclude(t, st));
    }
    if (out_ts != NULL)
        *out_ts = ts;
out:
    return st;
}

void txn_rollback(struct txn *t)
{
    ASSERT(t->state != TXN_COMMITTING);
    if (t->state == TXN_OPEN)
        let_go(t);
    t->state = TXN_ENDED;
}

void txn_free(struct txn *t)
{
    if (t == NULL)
        return;
    txn_rollback(t);
    if (t->has_writes)
        wbuf_fini(&t->writes);
    free(t->over);
    free(t);
}
