/* Running planned statements: alone, in a block, retried. */
#include <stdio.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/rng.h"
#include "sql/session_int.h"

enum { BACKOFF_MIN_NS = 200 * NS_PER_US, BACKOFF_MAX_NS = 20 * NS_PER_MS };

void planned_tag(const struct stmt *stmt, uint64_t count, char *out, size_t size)
{
    const char *word = stmt->kind == STMT_INSERT   ? "INSERT 0"
                       : stmt->kind == STMT_UPDATE ? "UPDATE"
                       : stmt->kind == STMT_DELETE ? "DELETE"
                                                   : "SELECT";

    (void)snprintf(out, size, "%s %llu", word, (unsigned long long)count);
}

enum status session_check_state(struct session *s, const struct stmt *stmt, struct err *err)
{
    if (s->state != SESSION_FAILED || stmt == NULL)
        return ST_OK;
    if (stmt->kind == STMT_TXN && (stmt->txn->txn == TXN_COMMIT || stmt->txn->txn == TXN_ROLLBACK))
        return ST_OK;
    return err_set(err, ST_REJECT, SQLSTATE_IN_FAILED_SQL_TRANSACTION,
                   "current transaction is aborted, commands ignored until end of transaction "
                   "block");
}

enum status session_catalog(struct session *s, struct err *err)
{
    struct txn_schema_lease lease;
    struct catalog *fresh;
    enum status st;

    if (s->txn != NULL)
        return ST_OK;
    st = txn_schema_lease(s->db->opts.space, &lease, err);
    if (st != ST_OK || (s->catalog != NULL && s->catalog->from == lease.from))
        return st;
    st = catalog_cache_current(s->db->cache, &lease, &fresh, err);
    if (st != ST_OK)
        return st;
    catalog_unref(s->catalog);
    s->catalog = fresh;
    return ST_OK;
}

void session_statement_failed(struct session *s, enum status st)
{
    (void)st;
    if (s->db->errors != NULL)
        metric_add(s->db->errors, 1);
    if (s->state == SESSION_IN_TXN)
        s->state = SESSION_FAILED;
    session_rollback(s);
}

/* Which kind of transaction a statement by itself wants. */
static enum txn_mode own_mode(const struct prepared *p)
{
    if (p->stmt->kind != STMT_SELECT || p->stmt->select->locking.n > 0)
        return TXN_READ_WRITE;
    return p->planned && p->bound.locks ? TXN_READ_WRITE : TXN_READ_ONLY;
}

static enum status check_mode(const struct session *s, const struct prepared *p, struct err *err)
{
    const char *what = p->stmt->kind == STMT_INSERT   ? "INSERT"
                       : p->stmt->kind == STMT_UPDATE ? "UPDATE"
                       : p->stmt->kind == STMT_DELETE ? "DELETE"
                       : p->bound.locks               ? "SELECT FOR UPDATE"
                                                      : NULL;

    if (s->mode != TXN_READ_ONLY || what == NULL)
        return ST_OK;
    return err_set(err, ST_REJECT, SQLSTATE_READ_ONLY_SQL_TRANSACTION,
                   "cannot execute %s in a read-only transaction", what);
}

static enum status begin_own(struct session *s, struct prepared *p, tstamp age, struct err *err)
{
    const struct expr *as_of = p->stmt->kind == STMT_SELECT ? p->stmt->select->as_of : NULL;
    enum txn_mode mode = s->implicit ? TXN_READ_WRITE : own_mode(p);
    tstamp at = 0;
    enum status st = ST_OK;

    if (as_of != NULL) {
        TRY(session_as_of(s, as_of, &at, err));
        mode = TXN_READ_ONLY;
    }
    TRY(session_begin(s, mode, at, age, err));
out:
    return st;
}

static enum status enter_block(struct session *s, const struct prepared *p, struct err *err)
{
    tstamp at;
    enum status st = ST_OK;

    TRY(session_renew(s, err));
    if (p->stmt->kind == STMT_SELECT && p->stmt->select->as_of != NULL) {
        TRY(session_as_of(s, p->stmt->select->as_of, &at, err));
        if (at != s->as_of)
            return err_set(err, ST_REJECT, SQLSTATE_FEATURE_NOT_SUPPORTED,
                           "AS OF SYSTEM TIME in a transaction block must be the block's own");
    }
out:
    return st;
}

enum status session_enter(struct session *s, struct prepared *p, tstamp age, bool *out_own,
                          struct err *err)
{
    enum status st = ST_OK;

    *out_own = false;
    if (s->txn != NULL) {
        TRY(enter_block(s, p, err));
    } else {
        /* In a text of several statements with writes, the first opens what all share. */
        bool alone =
            !s->implicit || (p->stmt->kind == STMT_SELECT && p->stmt->select->as_of != NULL);

        TRY(begin_own(s, p, age, err));
        *out_own = alone;
    }
    TRY(prepared_plan(s, p, s->catalog, err));
    /* FOR UPDATE further inside only shows once the statement is bound. */
    if (*out_own && s->mode == TXN_READ_ONLY && p->bound.locks && s->as_of == 0) {
        session_rollback(s);
        TRY(session_begin(s, TXN_READ_WRITE, 0, age, err));
        TRY(prepared_plan(s, p, s->catalog, err));
    }
    TRY(check_mode(s, p, err));
    s->touched = true;
out:
    return st;
}

enum status session_open_run(struct session *s, struct prepared *p, const struct datum *params,
                             const struct stats_room *stats, struct run **out, struct err *err)
{
    struct run_options opts = {.plan = &p->plan,
                               .bound = &p->bound,
                               .catalog = p->catalog,
                               .txn = s->txn,
                               .mode = s->mode,
                               .params = params,
                               .env = &s->env,
                               .pool = &s->pool,
                               .cancel = &s->cancel,
                               .deadline_mono_ns = session_deadline(s),
                               .row_seq = &s->row_seq};

    if (stats != NULL && stats->cap >= p->plan.n_nodes)
        opts.stats = stats->items;
    txn_set_deadline(s->txn, opts.deadline_mono_ns);
    return run_open(&opts, out, err);
}

/* One attempt */

struct attempt {
    struct session *s;
    struct prepared *p;
    const struct datum *params;
    const struct row_out *out;
    const struct stats_room *stats;
    bool own;
    bool hold; /* rows wait for the commit */
    struct arena *held_mem;
    struct datum **held;
    size_t n_held, cap_held;
    uint64_t count;
    bool delivered; /* a row has left: no second attempt */
};

static enum status client_gone(struct err *err)
{
    return err_set(err, ST_REJECT, SQLSTATE_CONNECTION_FAILURE, "the client is gone");
}

static enum status hold_row(struct attempt *a, const struct datum *row)
{
    if (a->n_held == a->cap_held) {
        size_t cap = a->cap_held == 0 ? 16 : a->cap_held * 2;
        struct datum **grown = arena_alloc(a->held_mem, cap * sizeof *grown);

        if (a->n_held > 0)
            memcpy(grown, a->held, a->n_held * sizeof *grown);
        a->held = grown;
        a->cap_held = cap;
    }
    a->held[a->n_held] = arena_alloc(a->held_mem, (a->p->n_cols + 1) * sizeof *row);
    for (size_t i = 0; i < a->p->n_cols; i++)
        a->held[a->n_held][i] = row[i].null ? row[i] : datum_copy(&row[i], a->held_mem);
    a->n_held++;
    return ST_OK;
}

static enum status take_rows(struct attempt *a, struct run *run, struct err *err)
{
    const struct datum *row;
    enum status st;

    while ((st = run_next(run, &row, err)) == ST_OK) {
        a->count++;
        if (a->hold) {
            st = hold_row(a, row);
        } else {
            st = txn_answer(a->s->txn, err);
            if (st == ST_OK) {
                a->delivered = true;
                if (!a->out->row(a->out->arg, row, a->p->n_cols))
                    st = client_gone(err);
            }
        }
        if (st != ST_OK)
            return st;
        if (a->hold && arena_over_budget(a->held_mem))
            return err_set(err, ST_REJECT, SQLSTATE_OUT_OF_MEMORY, "out of memory");
    }
    if (st == ST_NOTFOUND && a->count == 0 && !a->hold)
        return txn_answer(a->s->txn, err); /* "no rows" is an answer, too */
    return st == ST_NOTFOUND ? ST_OK : st;
}

/* A wait that the statement's own deadline ended, for a lock say, ended by its timeout. The commit has no deadline: it
 * would be in doubt. */
static enum status end_deadline(struct session *s, int64_t deadline, enum status st,
                                struct err *err)
{
    if (s->txn != NULL)
        txn_set_deadline(s->txn, 0);
    if (st == ST_RETRY && deadline != 0 && mono_now() >= deadline)
        return err_set(err, ST_REJECT, SQLSTATE_QUERY_CANCELED,
                       "canceling statement due to statement timeout");
    return st;
}

static enum status attempt_once(struct attempt *a, tstamp age, struct err *err)
{
    struct session *s = a->s;
    struct run *run = NULL;
    int64_t deadline = session_deadline(s);
    enum status st = ST_OK;

    a->count = 0;
    TRY(session_enter(s, a->p, age, &a->own, err));
    a->hold = a->own && s->mode == TXN_READ_WRITE && a->p->n_cols > 0;
    TRY(session_open_run(s, a->p, a->params, a->stats, &run, err));
    TRY(take_rows(a, run, err));
    if (a->p->bound.dml != NULL)
        a->count = run_affected(run);
out:
    run_close(run);
    st = end_deadline(s, deadline, st, err);
    /* An error tells what was read, as rows do. */
    if (st == ST_REJECT && s->txn != NULL && txn_answer(s->txn, NULL) != ST_OK)
        st = ST_REJECT;
    /* A long statement must not commit under a lease that has run out. */
    if (a->own && st == ST_OK)
        st = session_renew(s, err);
    if (a->own && st == ST_OK)
        st = session_commit(s, err);
    else if (a->own)
        session_rollback(s);
    return st;
}

static void back_off(struct session *s, int attempt)
{
    int64_t span = (int64_t)BACKOFF_MIN_NS << (attempt > 7 ? 7 : attempt);

    if (span > BACKOFF_MAX_NS)
        span = BACKOFF_MAX_NS;
    mono_sleep_until(mono_now() + span / 2 + (int64_t)(rng_next(s->rng) % (uint64_t)span));
}

static enum status deliver_held(struct attempt *a, struct err *err)
{
    for (size_t i = 0; i < a->n_held; i++) {
        if (!a->out->row(a->out->arg, a->held[i], a->p->n_cols))
            return client_gone(err);
    }
    return ST_OK;
}

enum status session_run_planned(struct session *s, struct prepared *p, const struct datum *params,
                                const struct row_out *out, const struct stats_room *stats,
                                uint64_t *out_count, struct err *err)
{
    struct attempt a = {.s = s, .p = p, .params = params, .out = out, .stats = stats};
    size_t mark = s->pool.used;
    bool alone = s->txn == NULL;
    tstamp age = 0;
    enum status st;

    a.held_mem = run_pool_take(&s->pool);
    for (int i = 0;; i++) {
        st = attempt_once(&a, age, err);
        if (st != ST_ABORT || !alone || !a.own || a.delivered || i + 1 >= AUTOCOMMIT_TRIES ||
            __atomic_load_n(&s->cancel, __ATOMIC_RELAXED))
            break;
        if (s->db->retries != NULL)
            metric_add(s->db->retries, 1);
        age = s->mode == TXN_READ_WRITE ? s->last_age : 0;
        a.n_held = 0;
        back_off(s, i);
    }
    if (st == ST_OK && a.hold)
        st = deliver_held(&a, err);
    *out_count = a.count;
    run_pool_release(&s->pool, mark);
    return st;
}
