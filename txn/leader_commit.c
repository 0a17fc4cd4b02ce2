#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "txn/leader_int.h"

enum { LOCKS_PER_SECTION = 256 }; /* acquired without letting go of the mutex */

/* An outcome older than this has passed on every clock that may take part (the bound's cap is far lower). */
#define OUTCOME_SETTLED_NS (10 * (int64_t)NS_PER_S)

/* Commands. */

struct lcommit *lcommit_new(struct leader *l, enum record_kind kind, size_t n_keys,
                            size_t key_bytes)
{
    struct lcommit *c = xmalloc(sizeof *c + n_keys * sizeof c->keys[0] + key_bytes);

    memset(c, 0, sizeof *c);
    c->l = l;
    c->kind = kind;
    c->mark.keys = c->keys;
    c->mark.n = n_keys;
    return c;
}

void lcommit_free(struct lcommit *c)
{
    buf_fini(&c->body);
    free(c);
}

static void enlist_locked(struct leader *l, struct lcommit *c)
{
    c->prev = NULL;
    c->next = l->commits;
    if (c->next != NULL)
        c->next->prev = c;
    l->commits = c;
    if (c->has_id)
        idmap_put(&l->flight, &c->node);
}

static void unlist_locked(struct leader *l, struct lcommit *c)
{
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        l->commits = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
}

/* Gives back what the command kept from others: pending marks, its transaction's locks, its timestamp. */
static void end_locked(struct leader *l, struct lcommit *c)
{
    struct ltxn *x = c->txn;

    if (c->ended)
        return;
    c->ended = true;
    readmark_write_end(l->marks, &c->mark);
    tsalloc_settle(&l->ts, c->cmd.ts);
    if (c->has_id)
        idmap_remove(&l->flight, &c->node);
    if (x != NULL) {
        ASSERT(x->commit == c);
        x->commit = NULL;
        c->txn = NULL;
        leader_drop_locked(l, x);
    }
}

/* The term is over: nothing read under it will be answered any more, so nothing need be kept pending. */
void lcommit_lost_locked(struct leader *l)
{
    for (struct lcommit *c = l->commits, *next; c != NULL; c = next) {
        next = c->next;
        end_locked(l, c);
        if (c->state == LCOMMIT_UNKNOWN) { /* it has had its last callback */
            unlist_locked(l, c);
            lcommit_free(c);
        }
    }
}

void lcommit_forsaken(struct leader *l)
{
    while (l->commits != NULL) {
        struct lcommit *c = l->commits;
        struct err err;

        l->commits = c->next;
        if (c->state == LCOMMIT_PROPOSED && c->done != NULL) {
            (void)err_set(&err, ST_UNKNOWN, SQLSTATE_STATEMENT_COMPLETION_UNKNOWN,
                          "the node stopped while the commit was on its way");
            c->done(c->done_arg, ST_UNKNOWN, c->cmd.ts, &err);
        }
        lcommit_free(c);
    }
}

static struct lcommit *lcommit_of(struct command *cmd)
{
    return (struct lcommit *)cmd;
}

static enum status lost_error(const struct lcommit *c, enum status st, struct err *err)
{
    if (st == ST_UNKNOWN)
        return err_set(err, ST_UNKNOWN, SQLSTATE_STATEMENT_COMPLETION_UNKNOWN,
                       "the leader was lost while the commit was on its way");
    if (c->blind)
        return err_set(err, ST_RETRY, SQLSTATE_CANNOT_CONNECT_NOW,
                       "the leader was lost before the commit was chosen");
    return err_set(err, ST_ABORT, SQLSTATE_SERIALIZATION_FAILURE,
                   "could not serialize access: the leader of its locks was lost");
}

/* Surely not chosen, or nobody knows. */
static void on_lost_command(struct lcommit *c, enum status st)
{
    struct leader *l = c->l;
    void (*done)(void *arg, enum status st, tstamp s, const struct err *err) = c->done;
    void *arg = c->done_arg;
    tstamp s = c->cmd.ts;
    struct err err;

    st = lost_error(c, st, &err);
    leader_lock_mu(l);
    if (st == ST_UNKNOWN) {
        /* Perhaps chosen: its keys stay pending until `lost`, so that no read of this term misses it. */
        c->state = LCOMMIT_UNKNOWN;
    } else {
        if (c->schema)
            leader_schema_dropped_locked(l, c->txn != NULL ? c->txn->node.id : c->node.id);
        end_locked(l, c);
        unlist_locked(l, c);
    }
    leader_wake_events_locked(l);
    leader_unlock_mu(l);
    if (st != ST_UNKNOWN)
        lcommit_free(c);
    if (done != NULL)
        done(arg, st, s, &err);
}

static void settle_later(struct lcommit *c)
{
    struct leader *l = c->l;

    if (c->settling)
        return;
    c->settling = true;
    c->next_settling = NULL;
    *l->settling_tail = c;
    l->settling_tail = &c->next_settling;
}

/* On the group's worker. */
static void on_done(struct command *cmd, enum status st)
{
    struct lcommit *c = lcommit_of(cmd);

    if (st != ST_OK)
        on_lost_command(c, st);
    else
        settle_later(c);
}

/* On the group's worker, after on_done(ST_OK). */
static void on_applied(struct command *cmd)
{
    struct lcommit *c = lcommit_of(cmd);

    c->applied = true;
    settle_later(c);
}

static void settle_locked(struct leader *l, struct lcommit *c)
{
    if (c->state == LCOMMIT_PROPOSED) {
        c->state = LCOMMIT_CHOSEN;
        if (!c->ended && c->cmd.ts > l->agreed)
            l->agreed = c->cmd.ts;
    }
    if (!c->applied)
        return;
    if (!c->ended)
        leader_schema_applied_locked(l, c);
    if (c->kind == RECORD_CLOSE && !c->ended)
        l->closing = 0;
    end_locked(l, c);
    unlist_locked(l, c);
}

/* Wakes whoever waits for it: after the mutex, which the woken wants. */
static void answer(struct lcommit *c)
{
    void (*done)(void *arg, enum status st, tstamp s, const struct err *err) = c->done;

    c->done = NULL;
    if (done != NULL)
        done(c->done_arg, ST_OK, c->cmd.ts, NULL);
    if (c->applied)
        lcommit_free(c);
}

void lcommit_settle(struct leader *l)
{
    struct lcommit *first = l->settling;

    l->settling = NULL;
    l->settling_tail = &l->settling;
    leader_lock_mu(l);
    for (struct lcommit *c = first; c != NULL; c = c->next_settling)
        settle_locked(l, c);
    leader_wake_events_locked(l);
    leader_unlock_mu(l);
    for (struct lcommit *c = first, *next; c != NULL; c = next) {
        next = c->next_settling;
        c->settling = false;
        answer(c);
    }
}

enum status lcommit_propose_locked(struct leader *l, struct lcommit *c, struct record *rec,
                                   tstamp at_least, struct err *err)
{
    uint64_t term = atomic_load(&l->term);
    struct tt_interval now = tt_now(l->o.tt);
    struct tsalloc_ask ask = {.latest = now.latest, .at_least = at_least};
    enum status st = ST_OK;

    if (tt_is_void(now))
        return err_set(err, ST_RETRY, SQLSTATE_CANNOT_CONNECT_NOW,
                       "the leader's clock is not bounded");
    ask.lease_end = group_lease_end(l->o.group, term);
    ask.above = readmark_write_floor(l->marks, &c->mark); /* T5: after the keys were entered */
    if (!tsalloc_take(&l->ts, &ask, &rec->ts))
        return err_set(err, ST_RETRY, SQLSTATE_CANNOT_CONNECT_NOW,
                       "the leader's lease does not reach the commit's timestamp");
    if (rec->ts >= rec->until) {
        st = err_set(err, ST_ABORT, SQLSTATE_SERIALIZATION_FAILURE,
                     "could not serialize access: the lease of its schema has lapsed");
        goto out;
    }
    buf_reset(&c->body);
    record_encode(&c->body, rec);
    c->cmd.body = buf_bytes(&c->body);
    c->cmd.ts = rec->ts;
    c->cmd.term = term;
    c->cmd.done = on_done;
    c->cmd.applied = on_applied;
    if (c->mark.n > 0)
        readmark_write_set(l->marks, &c->mark, rec->ts);
    st = group_propose(l->o.group, &c->cmd, err);
out:
    if (st != ST_OK)
        tsalloc_settle(&l->ts, rec->ts);
    else
        enlist_locked(l, c);
    return st;
}

/* Commits. */

/* Has this id been here before? ST_NOTFOUND: not as far as is known. */
static enum status met_before(struct leader *l, struct leader_commit *c, struct leader_wait *w,
                              tstamp *out_s, struct err *err)
{
    enum status st;
    struct tablet *tablet = group_tablet(l->o.group);

    if (c->fresh)
        return ST_NOTFOUND;
    leader_lock_mu(l);
    st = leader_leading_locked(l, err);
    if (st == ST_OK && idmap_get(&l->flight, c->id) == NULL)
        st = tablet_outcome(tablet, c->id, out_s);
    leader_unlock_mu(l);
    if (st == ST_NOTFOUND && c->id.start < tablet_outcome_floor(tablet))
        return err_set(err, ST_REJECT, SQLSTATE_STATEMENT_COMPLETION_UNKNOWN,
                       "the transaction's id is older than the outcomes that are kept");
    return st == ST_OK ? leader_outcome(l, c->id, w, out_s, err) : st;
}

static enum status find_locked(struct leader *l, struct leader_ref *ref, bool blind,
                               struct ltxn **out, struct err *err)
{
    enum status st;
    struct idnode *n;

    st = leader_find_locked(l, ref, out, err);
    if (st != ST_ABORT || !blind)
        return st;
    if (ref->schema_from >= 0 && ref->schema_from != l->schema.from && l->term != 0)
        return st; /* what it writes may be of no use any more */
    /* Nothing was read: what went wrong is no reason to give up. The wounded rest goes, a new one will come. */
    n = idmap_get(&l->txns, ref->id);
    if (n != NULL && KEYTREE_OWNER(n, struct ltxn, node)->commit == NULL)
        leader_drop_locked(l, KEYTREE_OWNER(n, struct ltxn, node));
    ref->term = 0;
    return ST_RETRY;
}

/* The keys' exclusive locks, in sections so that a large commit does not hold up all others. */
static enum status take_locks(struct leader *l, struct leader_ref *ref, struct leader_commit *c,
                              struct leader_wait *w, struct err *err)
{
    enum status st = ST_OK;
    struct ltxn *x;

    do {
        leader_lock_mu(l);
        st = find_locked(l, ref, c->blind, &x, err);
        /* A schema change that is asked for again, frozen meanwhile, has all its locks. */
        if (st == ST_OK && x->owner.state == LOCK_OWNER_PROTECTED && x->commit == NULL)
            c->n_locked = c->n_writes;
        for (int i = 0;
             st == ST_OK && !w->parked && c->n_locked < c->n_writes && i < LOCKS_PER_SECTION; i++) {
            st = leader_acquire_locked(l, x, c->writes[c->n_locked].key, bytes_of(NULL, 0),
                                       LOCK_EXCLUSIVE, w, err);
            if (st == ST_OK && !w->parked)
                c->n_locked++;
        }
        leader_unlock_mu(l);
    } while (st == ST_OK && !w->parked && c->n_locked < c->n_writes);
    return st;
}

/* No writes: it is enough that every lock is held at one moment within the lease. */
static enum status prove(struct leader *l, struct leader_ref *ref, struct err *err)
{
    struct tt_interval now = tt_now(l->o.tt);
    struct ltxn *x;
    enum status st;

    leader_lock_mu(l);
    TRY(leader_find_locked(l, ref, &x, err));
    if (tt_is_void(now) || now.latest > group_lease_end(l->o.group, ref->term)) {
        st = err_set(err, ST_RETRY, SQLSTATE_CANNOT_CONNECT_NOW, "the leader's lease has lapsed");
        goto out;
    }
    if (x->commit == NULL)
        leader_drop_locked(l, x);
out:
    leader_unlock_mu(l);
    return st;
}

static struct lcommit *commit_new(struct leader *l, const struct leader_commit *c, bool blind)
{
    size_t bytes = 0;
    struct lcommit *lc;
    uint8_t *at;

    for (size_t i = 0; i < c->n_writes; i++)
        bytes += c->writes[i].key.len;
    lc = lcommit_new(l, RECORD_COMMIT, c->n_writes, bytes);
    at = (uint8_t *)&lc->keys[c->n_writes];
    for (size_t i = 0; i < c->n_writes; i++) {
        struct bytes key = c->writes[i].key;

        memcpy(at, key.ptr, key.len);
        lc->keys[i].node.key = bytes_of(at, key.len);
        at += key.len;
    }
    lc->blind = blind;
    lc->schema = c->schema;
    lc->has_id = true;
    lc->node.id = c->id;
    lc->done = c->done;
    lc->done_arg = c->done_arg;
    return lc;
}

/* Somebody may have asked for the id and been told that it will never be committed, or it has been. */
static enum status still_open_locked(struct leader *l, const struct leader_commit *c,
                                     struct err *err)
{
    struct tablet *tablet = group_tablet(l->o.group);
    tstamp s;

    if (idmap_get(&l->flight, c->id) != NULL)
        return err_set(err, ST_RETRY, SQLSTATE_SERIALIZATION_FAILURE,
                       "the same commit, or its end, is under way");
    if (tablet_outcome(tablet, c->id, &s) == ST_OK && s != 0)
        return err_set(err, ST_UNKNOWN, SQLSTATE_STATEMENT_COMPLETION_UNKNOWN,
                       "a transaction of the same id was committed meanwhile");
    if (tablet_outcome(tablet, c->id, &s) == ST_OK || c->id.start < tablet_outcome_floor(tablet))
        return err_set(err, ST_ABORT, SQLSTATE_SERIALIZATION_FAILURE,
                       "could not serialize access: the transaction was given up");
    return ST_OK;
}

/* The version that it was planned under is compared under the same lock, so its lease reaches to the cap. */
static tstamp until_of(const struct leader *l, const struct leader_ref *ref,
                       const struct leader_commit *c)
{
    return ref->schema_from >= 0 && l->schema.cap > c->until ? l->schema.cap : c->until;
}

static enum status propose_locked(struct leader *l, struct leader_ref *ref, struct leader_commit *c,
                                  struct lcommit *lc, tstamp at_least, struct leader_wait *w,
                                  struct err *err)
{
    struct record rec = {.kind = RECORD_COMMIT,
                         .id = c->id,
                         .until = until_of(l, ref, c),
                         .flags = c->schema ? RECORD_SCHEMA : 0,
                         .writes = c->writes,
                         .n_writes = c->n_writes};
    struct ltxn *x;
    enum status st;

    TRY(find_locked(l, ref, c->blind, &x, err));
    if (x->commit != NULL || x->owner.waiting != NULL) {
        st = err_set(err, ST_RETRY, SQLSTATE_SERIALIZATION_FAILURE,
                     "another operation of the transaction is under way");
        goto out;
    }
    TRY(still_open_locked(l, c, err));
    if (l->schema.change == CHANGE_PROPOSED) { /* which version comes first is being decided */
        leader_park_event_locked(l, w, 0);
        goto out;
    }
    TRY(lcommit_propose_locked(l, lc, &rec, at_least, err));
    if (x->owner.state == LOCK_OWNER_ACTIVE)
        lock_protect(&x->owner); /* T2: from here on it is never wounded */
    x->commit = lc;
    lc->txn = x;
    if (c->schema)
        l->schema.change = CHANGE_PROPOSED;
    metric_add(l->m_commits, 1);
out:
    return st;
}

static enum status leader_commit_writes(struct leader *l, struct leader_ref *ref,
                                        struct leader_commit *c, struct leader_wait *w,
                                        struct err *err)
{
    struct lcommit *lc;
    tstamp at_least = 0;
    enum status st;

    if (c->schema) {
        st = leader_schema_freeze(l, ref, w, &at_least, err);
        if (st != ST_OK || w->parked)
            return st;
    }
    lc = commit_new(l, c, c->blind);
    readmark_write_begin(l->marks, &lc->mark);
    leader_lock_mu(l);
    st = propose_locked(l, ref, c, lc, at_least, w, err);
    if (st != ST_OK || w->parked)
        readmark_write_end(l->marks, &lc->mark);
    leader_unlock_mu(l);
    if (st != ST_OK || w->parked)
        lcommit_free(lc);
    return st;
}

enum status leader_commit(struct leader *l, struct leader_ref *ref, struct leader_commit *c,
                          struct leader_wait *w, struct err *err)
{
    tstamp s = 0;
    enum status st;

    w->parked = false;
    st = met_before(l, c, w, &s, err);
    if (w->parked)
        return st;
    if (st == ST_OK) {
        c->done(c->done_arg, ST_OK, s, NULL);
        return ST_OK;
    }
    if (st != ST_NOTFOUND)
        return st;
    st = take_locks(l, ref, c, w, err);
    if (st != ST_OK || w->parked)
        return st;
    if (c->n_writes > 0 || c->schema)
        return leader_commit_writes(l, ref, c, w, err);
    st = prove(l, ref, err);
    if (st == ST_OK)
        c->done(c->done_arg, ST_OK, 0, NULL);
    return st;
}

/* Outcomes and empty commands. */

enum status leader_start_close_locked(struct leader *l, tstamp t, struct err *err)
{
    struct record rec = {.kind = RECORD_CLOSE, .until = TSTAMP_MAX};
    struct lcommit *c;
    enum status st;

    if (l->closing >= t)
        return ST_OK;
    c = lcommit_new(l, RECORD_CLOSE, 0, 0);
    st = lcommit_propose_locked(l, c, &rec, t, err);
    if (st == ST_OK)
        l->closing = rec.ts;
    else
        lcommit_free(c);
    return st;
}

static enum status bury_locked(struct leader *l, struct txn_id id, struct err *err)
{
    struct record rec = {.kind = RECORD_ABORT, .id = id, .until = TSTAMP_MAX};
    struct lcommit *c = lcommit_new(l, RECORD_ABORT, 0, 0);
    enum status st;

    c->has_id = true;
    c->node.id = id;
    st = lcommit_propose_locked(l, c, &rec, 0, err);
    if (st != ST_OK)
        lcommit_free(c);
    else
        metric_add(l->m_aborts, 1);
    return st;
}

/* ST_NOTFOUND: wait for an event and look again. */
static enum status outcome_locked(struct leader *l, struct txn_id id, tstamp *out_s,
                                  struct err *err)
{
    struct tablet *tablet = group_tablet(l->o.group);
    struct tt_interval now = tt_now(l->o.tt);
    tstamp s = 0;
    enum status st;

    st = leader_leading_locked(l, err);
    if (st != ST_OK)
        return st;
    if (idmap_get(&l->flight, id) != NULL)
        return ST_NOTFOUND;
    if (tablet_outcome(tablet, id, &s) != ST_OK) {
        if (id.start < tablet_outcome_floor(tablet))
            return err_set(err, ST_REJECT, SQLSTATE_STATEMENT_COMPLETION_UNKNOWN,
                           "the transaction's id is older than the outcomes that are kept");
        st = bury_locked(l, id, err);
        return st == ST_OK ? ST_NOTFOUND : st;
    }
    if (s == 0)
        return err_set(err, ST_ABORT, SQLSTATE_SERIALIZATION_FAILURE,
                       "the transaction was not committed, and will not be");
    /* The answer acknowledges the commit: a majority of clocks must have passed s, whoever led then. */
    if (s > l->agreed && !tt_passed(now, s + OUTCOME_SETTLED_NS)) {
        st = leader_start_close_locked(l, s, err);
        return st == ST_OK ? ST_NOTFOUND : st;
    }
    *out_s = s;
    return ST_OK;
}

enum status leader_outcome(struct leader *l, struct txn_id id, struct leader_wait *w, tstamp *out_s,
                           struct err *err)
{
    enum status st;

    w->parked = false;
    leader_lock_mu(l);
    st = outcome_locked(l, id, out_s, err);
    if (st == ST_NOTFOUND)
        leader_park_event_locked(l, w, 0);
    leader_unlock_mu(l);
    return st;
}

enum status leader_close(struct leader *l, tstamp t, struct leader_wait *w, struct err *err)
{
    enum status st = ST_OK;

    w->parked = false;
    leader_lock_mu(l);
    if (tablet_applied_ts(group_tablet(l->o.group)) < t) {
        TRY(leader_leading_locked(l, err));
        TRY(leader_start_close_locked(l, t, err));
        leader_park_event_locked(l, w, 0);
    }
out:
    leader_unlock_mu(l);
    return st;
}
