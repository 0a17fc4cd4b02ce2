/* Transaction blocks: BEGIN, COMMIT, ROLLBACK, and the catalog that a transaction sees. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "sql/session_int.h"
#include "sql/timestamp.h"

enum { LEASE_TRIES = 20 };

void session_notice(struct session *s, const char *sqlstate, const char *severity, const char *fmt,
                    ...)
{
    char text[200];
    struct err note;
    va_list args;

    if (s->sink == NULL || s->sink->notice == NULL)
        return;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    err_clear(&note);
    (void)err_set(&note, ST_OK, sqlstate, "%s", text);
    s->sink->notice(s->sink->arg, &note, severity);
}

bool session_in_block(const struct session *s)
{
    return s->state != SESSION_IDLE || s->implicit;
}

int64_t session_deadline(struct session *s)
{
    int64_t timeout = settings_timeout_ns(s->settings);

    return timeout == 0 ? 0 : mono_now() + timeout;
}

/* The catalog under the lease that holds now. Most of the time it is the one at hand. */
static enum status take_catalog(struct session *s, struct err *err)
{
    struct txn_schema_lease lease;
    struct catalog *fresh;
    enum status st = txn_schema_lease(s->db->opts.space, &lease, err);

    if (st != ST_OK)
        return st;
    if (s->catalog == NULL || s->catalog->from != lease.from) {
        st = catalog_cache_current(s->db->cache, &lease, &fresh, err);
        if (st != ST_OK)
            return st;
        catalog_unref(s->catalog);
        s->catalog = fresh;
    }
    s->lease = lease;
    return ST_OK;
}

static enum status take_catalog_as_of(struct session *s, tstamp t, struct err *err)
{
    struct catalog *then;
    enum status st = catalog_cache_as_of(s->db->cache, t, &then, err);

    if (st != ST_OK)
        return st;
    catalog_unref(s->catalog);
    s->catalog = then;
    s->lease = (struct txn_schema_lease){then->from, TSTAMP_MAX};
    return ST_OK;
}

static void set_times(struct session *s, tstamp start)
{
    s->env.txn_us = start / 1000;
    s->env.stmt_us = s->env.txn_us;
    s->txn_mono_ns = mono_now();
}

static enum status begin_once(struct session *s, enum txn_mode mode, tstamp read_ts, tstamp age,
                              bool *out_again, struct err *err)
{
    struct txn_options opts = {.mode = mode, .read_ts = read_ts, .age = age, .cancel = &s->cancel};
    enum status st = ST_OK;

    *out_again = false;
    TRY(read_ts != 0 ? take_catalog_as_of(s, read_ts, err) : take_catalog(s, err));
    TRY(txn_begin(s->db->opts.space, &opts, &s->txn, err));
    if (mode == TXN_READ_ONLY) {
        tstamp t = txn_read_ts(s->txn);

        /* The lease ran out between the two calls: the catalog may be another one at t. */
        if (t >= s->lease.until || t < s->lease.from) {
            txn_free(s->txn);
            s->txn = NULL;
            *out_again = true;
            return ST_OK;
        }
        set_times(s, t);
    } else {
        s->last_age = txn_id_of(s->txn).start;
        set_times(s, s->last_age);
    }
    txn_set_schema(s->txn, s->lease.from, s->lease.until);
out:
    return st;
}

enum status session_begin(struct session *s, enum txn_mode mode, tstamp read_ts, tstamp age,
                          struct err *err)
{
    bool again = true;

    ASSERT(s->txn == NULL);
    for (int i = 0; again && i < LEASE_TRIES; i++) {
        enum status st = begin_once(s, mode, read_ts, age, &again, err);

        if (st != ST_OK)
            return st;
    }
    if (again)
        return err_set(err, ST_ABORT, SQLSTATE_SERIALIZATION_FAILURE,
                       "the schema changes faster than it can be leased");
    s->mode = mode;
    s->as_of = read_ts;
    s->touched = false;
    s->row_seq = 0;
    return ST_OK;
}

static void forget_txn(struct session *s)
{
    txn_free(s->txn);
    s->txn = NULL;
    s->as_of = 0;
}

static void close_portals(struct session *s)
{
    for (struct portal *p = s->portals; p != NULL; p = p->next) {
        run_close(p->run);
        if (p->run != NULL)
            p->done = true;
        p->run = NULL;
    }
}

enum status session_commit(struct session *s, struct err *err)
{
    tstamp ts = 0;
    enum status st = ST_OK;

    close_portals(s);
    if (s->txn != NULL && s->mode == TXN_READ_WRITE) {
        txn_set_deadline(s->txn, 0); /* a cursor's, which must not put the commit in doubt */
        st = txn_commit_wait(s->txn, &ts, err);
        if (st == ST_OK && ts != 0)
            s->last_commit = ts;
    }
    forget_txn(s);
    settings_end_txn(s->settings, st == ST_OK);
    return st;
}

void session_rollback(struct session *s)
{
    close_portals(s);
    if (s->txn != NULL)
        txn_rollback(s->txn);
    forget_txn(s);
    settings_end_txn(s->settings, false);
}

enum status session_renew(struct session *s, struct err *err)
{
    struct txn_schema_lease lease;
    enum status st;

    if (s->as_of != 0 || s->mode == TXN_READ_ONLY)
        return ST_OK;
    st = txn_schema_lease(s->db->opts.space, &lease, err);
    if (st != ST_OK)
        return st;
    if (lease.from != s->lease.from)
        return err_set(err, ST_ABORT, SQLSTATE_SERIALIZATION_FAILURE,
                       "the schema has changed since the transaction began");
    s->lease = lease;
    txn_set_schema(s->txn, lease.from, lease.until);
    s->env.stmt_us = s->env.txn_us + (mono_now() - s->txn_mono_ns) / 1000;
    return ST_OK;
}

/* AS OF SYSTEM TIME */

/* "-5s", "-100ms", "-2min": an age. False if the text is not of that form. */
static bool parse_age(const char *text, int64_t *out_ns)
{
    static const struct {
        const char *unit;
        int64_t ns;
    } units[] = {{"ns", 1},          {"us", 1000},         {"ms", 1000000},     {"s", 1000000000},
                 {"m", 60000000000}, {"min", 60000000000}, {"h", 3600000000000}};
    char *end;
    double n = strtod(text, &end);

    if (end == text || n > 0)
        return false;
    while (*end == ' ')
        end++;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        double ns = -n * (double)units[i].ns;

        if (strcmp(end, units[i].unit) == 0 && ns < 9e18) {
            *out_ns = (int64_t)ns;
            return true;
        }
    }
    return false;
}

static enum status now_latest(struct session *s, tstamp *out, struct err *err)
{
    struct txn *t = NULL;
    enum status st =
        txn_begin(s->db->opts.space, &(struct txn_options){.mode = TXN_READ_ONLY}, &t, err);

    if (st == ST_OK)
        *out = txn_read_ts(t);
    txn_free(t);
    return st;
}

static enum status as_of_text(struct session *s, struct bytes text, tstamp now, tstamp *out,
                              struct err *err)
{
    struct arena mem;
    char *copy, *end;
    int64_t ns, us;
    enum status st = ST_OK;

    arena_init(&mem, 0);
    copy = arena_strndup(&mem, (const char *)text.ptr, text.len);
    ns = strtoll(copy, &end, 10);
    if (end != copy && *end == 0 && ns > 0) {
        *out = ns;
    } else if (parse_age(copy, &ns)) {
        *out = now - ns;
    } else {
        st = timestamp_from_text(text, settings_zone_s(s->settings), now / 1000, &us, err);
        if (st == ST_OK)
            *out = us > INT64_MAX / 1000 ? INT64_MAX : us * 1000;
    }
    arena_fini(&mem);
    return st;
}

enum status session_as_of_value(struct session *s, const struct datum *v, tstamp *out,
                                struct err *err)
{
    tstamp now;
    enum status st = ST_OK;

    TRY(now_latest(s, &now, err));
    if (v->null)
        return err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                       "AS OF SYSTEM TIME must not be NULL");
    switch (v->type) {
    case TYPE_INT8:
    case TYPE_INT4:
        *out = v->i;
        break;
    case TYPE_TIMESTAMPTZ:
        *out = v->i > INT64_MAX / 1000 || v->i < 0 ? 0 : v->i * 1000;
        break;
    case TYPE_TEXT:
    case TYPE_VARCHAR:
    case TYPE_UNKNOWN:
        TRY(as_of_text(s, v->s, now, out, err));
        break;
    case TYPE_BOOL:
    case TYPE_INT2:
    case TYPE_FLOAT4:
    case TYPE_FLOAT8:
    case TYPE_NUMERIC:
    case TYPE_BPCHAR:
    case TYPE_BYTEA:
    case TYPE_COUNT:
        *out = 0;
        break;
    }
    if (*out <= 0 || *out > now) {
        (void)err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                      *out > now ? "AS OF SYSTEM TIME lies in the future"
                                 : "AS OF SYSTEM TIME is not a point in time");
        return err != NULL ? err_hint(err, "Give an age ('-5s'), a timestamp, or nanoseconds since "
                                           "1970.")
                           : ST_REJECT;
    }
out:
    return st;
}

enum status session_as_of(struct session *s, const struct expr *e, tstamp *out, struct err *err)
{
    struct catalog none = {0};
    struct arena mem;
    struct bind_options opts = {.catalog = &none, .env = &s->env, .mem = &mem};
    struct eval ev = {.env = &s->env, .mem = &mem};
    struct datum v;
    struct bx *bound;
    enum status st = ST_OK;

    arena_init(&mem, 0);
    TRY(bind_value(&opts, e, TYPE_UNKNOWN, -1, &bound, err));
    TRY(bx_eval(bound, &ev, &v, err));
    TRY(session_as_of_value(s, &v, out, err));
out:
    arena_fini(&mem);
    return st;
}

/* Statements */

static tstamp wanted_age(struct session *s)
{
    const char *age = settings_get(s->settings, "transaction_age", NULL);

    return strtoll(age, NULL, 10);
}

static bool on(struct session *s, const char *name)
{
    return strcmp(settings_get(s->settings, name, NULL), "on") == 0;
}

static enum status do_begin(struct session *s, const struct txn_modes *m, struct err *err)
{
    bool read_only = m->access == ACCESS_UNSET ? on(s, "default_transaction_read_only")
                                               : m->access == ACCESS_READ_ONLY;
    tstamp at = 0;
    enum status st = ST_OK;

    if (s->state == SESSION_IN_TXN) {
        session_notice(s, SQLSTATE_ACTIVE_SQL_TRANSACTION, "WARNING",
                       "there is already a transaction in progress");
        return ST_OK;
    }
    /* BEGIN inside a text of several statements makes what came before a part of the block. */
    if (s->txn != NULL) {
        s->state = SESSION_IN_TXN;
        return ST_OK;
    }
    if (m->as_of != NULL)
        TRY(session_as_of(s, m->as_of, &at, err));
    if (at != 0 && m->access == ACCESS_READ_WRITE)
        return err_set(err, ST_REJECT, SQLSTATE_FEATURE_NOT_SUPPORTED,
                       "a transaction AS OF SYSTEM TIME can only read");
    TRY(session_begin(s, read_only || at != 0 ? TXN_READ_ONLY : TXN_READ_WRITE, at, wanted_age(s),
                      err));
    s->state = SESSION_IN_TXN;
out:
    return st;
}

static enum status do_commit(struct session *s, const char **out_tag, struct err *err)
{
    enum session_state was = s->state;
    enum status st;

    *out_tag = was == SESSION_FAILED ? "ROLLBACK" : "COMMIT";
    if (was == SESSION_IDLE && s->txn == NULL)
        session_notice(s, SQLSTATE_NO_ACTIVE_SQL_TRANSACTION, "WARNING",
                       "there is no transaction in progress");
    s->state = SESSION_IDLE;
    if (was == SESSION_FAILED) {
        session_rollback(s);
        return ST_OK;
    }
    st = s->txn == NULL || s->mode == TXN_READ_ONLY ? ST_OK : session_renew(s, err);
    if (st == ST_OK)
        return session_commit(s, err);
    session_rollback(s);
    return st;
}

static void do_rollback(struct session *s)
{
    if (s->state == SESSION_IDLE && s->txn == NULL)
        session_notice(s, SQLSTATE_NO_ACTIVE_SQL_TRANSACTION, "WARNING",
                       "there is no transaction in progress");
    s->state = SESSION_IDLE;
    session_rollback(s);
}

enum status session_set_modes(struct session *s, const struct txn_modes *m, struct err *err)
{
    enum txn_mode mode = m->access == ACCESS_UNSET       ? s->mode
                         : m->access == ACCESS_READ_ONLY ? TXN_READ_ONLY
                                                         : TXN_READ_WRITE;
    tstamp at = s->as_of;
    enum status st = ST_OK;

    if (s->state != SESSION_IN_TXN) {
        session_notice(s, SQLSTATE_NO_ACTIVE_SQL_TRANSACTION, "WARNING",
                       "SET TRANSACTION can only be used in transaction blocks");
        return ST_OK;
    }
    if (m->as_of != NULL) {
        TRY(session_as_of(s, m->as_of, &at, err));
        mode = TXN_READ_ONLY;
    }
    if (mode == s->mode && at == s->as_of)
        return ST_OK;
    if (s->touched)
        return err_set(err, ST_REJECT, SQLSTATE_ACTIVE_SQL_TRANSACTION,
                       "transaction mode must be set before any query");
    txn_rollback(s->txn);
    forget_txn(s);
    TRY(session_begin(s, mode, at, wanted_age(s), err));
out:
    return st;
}

static enum status chain(struct session *s, const struct txn_stmt *t, struct err *err)
{
    struct txn_modes modes = {0};

    return t->chain ? do_begin(s, &modes, err) : ST_OK;
}

enum status session_txn_stmt(struct session *s, const struct txn_stmt *t, const char **out_tag,
                             struct err *err)
{
    enum status st = ST_OK;

    switch (t->txn) {
    case TXN_BEGIN:
    case TXN_START:
        *out_tag = t->txn == TXN_BEGIN ? "BEGIN" : "START TRANSACTION";
        return do_begin(s, &t->modes, err);
    case TXN_COMMIT:
        TRY(do_commit(s, out_tag, err));
        TRY(chain(s, t, err));
        return ST_OK;
    case TXN_ROLLBACK:
        *out_tag = "ROLLBACK";
        do_rollback(s);
        return chain(s, t, err);
    case TXN_SAVEPOINT:
    case TXN_RELEASE:
    case TXN_ROLLBACK_TO:
        break;
    }
    return err_set(err, ST_REJECT, SQLSTATE_FEATURE_NOT_SUPPORTED, "savepoints are not supported");
out:
    return st;
}
