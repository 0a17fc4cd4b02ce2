#include "client_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PAUSE_MIN_US = 500, PAUSE_MAX_US = 200000, TIMEOUT_MS = 30000 };

struct attempt {
    struct mrd_conn *c;
    const struct mrd_txn_options *options;
    int64_t age_ns;      /* start of the first attempt as the server told it; 0 not yet known */
    int64_t deadline_ns; /* monotonic */
    int64_t pause_us;
};

static int64_t mono_ns(void)
{
    struct timespec ts = {0};

    (void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail for this clock */
    return ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* xorshift64: which client waits how long does not matter, only that not all wait alike. */
static uint64_t chance(struct mrd_conn *c)
{
    c->chance = c->chance == 0 ? 1 : c->chance;
    c->chance ^= c->chance << 13;
    c->chance ^= c->chance >> 7;
    c->chance ^= c->chance << 17;
    return c->chance;
}

static void wait_a_little(struct attempt *a)
{
    int64_t us = a->pause_us / 2 + (int64_t)(chance(a->c) % (uint64_t)(a->pause_us / 2 + 1));
    struct timespec ts = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};

    (void)nanosleep(&ts, NULL); /* cut short by a signal: then the next attempt comes sooner */
    a->pause_us = a->pause_us * 2 > PAUSE_MAX_US ? PAUSE_MAX_US : a->pause_us * 2;
}

/* The one row and column of a SHOW, as a number. */
static enum mrd_status show_number(struct mrd_conn *c, const char *sql, int64_t *out)
{
    struct mrd_rows *r = NULL;
    enum mrd_status st = mrd_query(c, sql, &r);

    if (st != MRD_OK)
        return st;
    st = mrd_next(r);
    if (st == MRD_OK)
        *out = strtoll(mrd_get_text(r, 0), NULL, 10);
    mrd_rows_close(r);
    return st == MRD_DONE ? conn_misuse(c, "the server gave no value") : st;
}

static void begin_text(const struct attempt *a, char *sql, size_t size)
{
    const struct mrd_txn_options *o = a->options;

    if (!o->read_only && a->age_ns != 0)
        (void)snprintf(sql, size, "SET transaction_age = %" PRId64 "; BEGIN", a->age_ns);
    else if (!o->read_only)
        (void)snprintf(sql, size, "BEGIN");
    else if (o->as_of_ns != 0)
        (void)snprintf(sql, size, "BEGIN READ ONLY AS OF SYSTEM TIME %" PRId64, o->as_of_ns);
    else if (o->staleness_us != 0)
        (void)snprintf(sql, size, "BEGIN READ ONLY AS OF SYSTEM TIME '-%" PRId64 "us'",
                       o->staleness_us);
    else
        (void)snprintf(sql, size, "BEGIN READ ONLY");
}

/* Before a retry: the session knows when its last transaction started. */
static void keep_age(struct attempt *a)
{
    struct mrd_error why = a->c->error;

    if (mrd_connected(a->c) && !a->options->read_only && a->age_ns == 0 &&
        show_number(a->c, "SHOW transaction_age", &a->age_ns) != MRD_OK)
        a->age_ns = 0; /* then it starts as a young one */
    a->c->error = why;
}

/* The next transaction of the session is a young one again. */
static void forget_age(struct attempt *a)
{
    struct mrd_error why = a->c->error;

    if (a->age_ns != 0 && mrd_connected(a->c) && mrd_txn_state(a->c) == MRD_IDLE)
        (void)mrd_run(a->c, "SET transaction_age = 0",
                      NULL); /* if it fails it goes with the session */
    a->c->error = why;
}

static void roll_back(struct mrd_conn *c)
{
    struct mrd_error why = c->error;

    if (mrd_connected(c) && mrd_txn_state(c) != MRD_IDLE)
        (void)mrd_run(c, "ROLLBACK",
                      NULL); /* if it fails the connection is gone, and with it all */
    c->error = why;
}

static enum mrd_status once(struct attempt *a, mrd_work work, void *arg)
{
    struct mrd_conn *c = a->c;
    char sql[160];
    enum mrd_status st;

    begin_text(a, sql, sizeof sql);
    st = mrd_run(c, sql, NULL);
    if (st == MRD_OK)
        st = work(c, arg);
    if (c->open != NULL)
        mrd_rows_close(c->open);
    if (st == MRD_OK && mrd_txn_state(c) == MRD_FAILED_TRANSACTION)
        st = c->error.status != MRD_OK ? c->error.status : MRD_ERROR; /* work overlooked an error */
    if (st == MRD_OK) {
        st = mrd_run(c, "COMMIT", NULL);
        if (st == MRD_LOST)
            st = c->error.status = MRD_UNKNOWN;
    }
    if (st != MRD_OK) {
        roll_back(c);
        if (st == MRD_RETRY)
            keep_age(a);
    }
    return st;
}

enum mrd_status mrd_transaction(struct mrd_conn *c, const struct mrd_txn_options *options,
                                mrd_work work, void *arg)
{
    static const struct mrd_txn_options plain = {0};
    struct attempt a = {.c = c, .options = options != NULL ? options : &plain};
    int64_t timeout_ms = a.options->timeout_ms > 0 ? a.options->timeout_ms : TIMEOUT_MS;
    enum mrd_status st;

    if (mrd_txn_state(c) != MRD_IDLE)
        return conn_misuse(c, "a transaction is open already");
    a.deadline_ns = mono_ns() + timeout_ms * 1000000;
    a.pause_us = PAUSE_MIN_US;
    for (;;) {
        st = once(&a, work, arg);
        if ((st != MRD_RETRY && st != MRD_LOST) || mono_ns() > a.deadline_ns)
            break;
        wait_a_little(&a);
        if (st == MRD_LOST)
            (void)mrd_reconnect(c); /* if no node answers, the next attempt says MRD_LOST again */
    }
    forget_age(&a);
    return st;
}

enum mrd_status mrd_commit_timestamp(struct mrd_conn *c, int64_t *out_ns)
{
    return show_number(c, "SHOW commit_timestamp", out_ns);
}
