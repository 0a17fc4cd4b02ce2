/*
 * The rules. Everything is a sweep over sorted arrays: n log n, so that a campaign of millions of operations
 * is checked in seconds.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tests/clock/history.h"

enum { COMPLAINTS_MAX = 20, ANY_PORT = -1 };

/* A log row and the write that made it. */
struct place {
    struct h_row row;
    const struct h_write *by; /* NULL: nobody's */
};

struct chain { /* rows of one key, in order of n */
    struct place *places;
    size_t n;
};

struct checker {
    struct history *h;
    const struct h_check *how;
    struct h_verdict v;
    struct h_write *writes;    /* h's, sorted by id */
    struct h_write **by_begin; /* acknowledged writes */
    struct h_write **by_end;
    size_t n_acked;
    struct place *places;
    struct chain chains[HISTORY_KEYS_MAX];
};

static void breach(struct checker *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void breach(struct checker *c, const char *fmt, ...)
{
    va_list ap;

    if (++c->v.violations > COMPLAINTS_MAX)
        return;
    va_start(ap, fmt);
    (void)vfprintf(c->how->complaints, fmt, ap); /* a lost complaint is still counted */
    va_end(ap);
    fputc('\n', c->how->complaints);
}

static bool in_window(const struct checker *c, int port, int64_t begin, int64_t end)
{
    const struct h_window *w = c->h->windows.items;

    for (size_t i = 0; i < c->h->windows.n; i++)
        if ((port == ANY_PORT || w[i].port == 0 || w[i].port == port) && w[i].begin <= end &&
            begin <= w[i].end)
            return true;
    return false;
}

static int compare(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static int write_by_id(const void *a, const void *b)
{
    return compare(((const struct h_write *)a)->id, ((const struct h_write *)b)->id);
}

static int write_by_begin(const void *a, const void *b)
{
    return compare((*(struct h_write *const *)a)->begin, (*(struct h_write *const *)b)->begin);
}

static int write_by_end(const void *a, const void *b)
{
    return compare((*(struct h_write *const *)a)->end, (*(struct h_write *const *)b)->end);
}

static int place_by_key(const void *a, const void *b)
{
    const struct h_row *x = &((const struct place *)a)->row, *y = &((const struct place *)b)->row;

    return x->key != y->key ? compare(x->key, y->key) : compare(x->n, y->n);
}

static int place_by_id(const void *a, const void *b)
{
    return compare(((const struct place *)a)->row.id, ((const struct place *)b)->row.id);
}

static int read_by_begin(const void *a, const void *b)
{
    return compare(((const struct h_read *)a)->begin, ((const struct h_read *)b)->begin);
}

static const struct h_read **reads_by_end(const struct history *h)
{
    const struct h_read **v = xcalloc(h->reads.n + 1, sizeof *v);

    for (size_t i = 0; i < h->reads.n; i++)
        v[i] = (const struct h_read *)h->reads.items + i;
    return v;
}

static int read_ptr_by_end(const void *a, const void *b)
{
    return compare((*(const struct h_read *const *)a)->end,
                   (*(const struct h_read *const *)b)->end);
}

static void sort_writes(struct checker *c)
{
    size_t n = c->h->writes.n;

    c->writes = c->h->writes.items;
    if (n > 0)
        qsort(c->writes, n, sizeof *c->writes, write_by_id);
    c->by_begin = xcalloc(n + 1, sizeof(struct h_write *));
    c->by_end = xcalloc(n + 1, sizeof(struct h_write *));
    for (size_t i = 0; i < n; i++) {
        struct h_write *w = &c->writes[i];

        if (i > 0 && w->id == w[-1].id)
            breach(c, "history: id %" PRId64 " was given out twice", w->id);
        if (strcmp(w->sqlstate, "-") == 0 && w->outcome != OUTCOME_ACKED)
            c->v.unexplained++;
        switch (w->outcome) {
        case OUTCOME_ACKED:
            c->by_begin[c->n_acked] = c->by_end[c->n_acked] = w;
            c->n_acked++;
            break;
        case OUTCOME_NOT_DONE:
            c->v.not_done++;
            break;
        case OUTCOME_IN_DOUBT:
            c->v.in_doubt++;
            break;
        }
    }
    c->v.acked = (long)c->n_acked;
    qsort(c->by_begin, c->n_acked, sizeof *c->by_begin, write_by_begin);
    qsort(c->by_end, c->n_acked, sizeof *c->by_end, write_by_end);
}

/* H1: every row is some write's; an acknowledged one has exactly one, a refused one none, one in doubt at most one. */
static void check_rows(struct checker *c)
{
    size_t n = c->h->rows.n, at = 0;
    const struct h_row *rows = c->h->rows.items;

    c->places = xcalloc(n + 1, sizeof *c->places);
    for (size_t i = 0; i < n; i++)
        c->places[i].row = rows[i];
    qsort(c->places, n, sizeof *c->places, place_by_id);
    for (size_t i = 0; i < c->h->writes.n; i++) {
        const struct h_write *w = &c->writes[i];
        size_t found = 0;

        while (at < n && c->places[at].row.id < w->id)
            at++;
        while (at < n && c->places[at].row.id == w->id) {
            if (c->places[at].row.key == w->key)
                c->places[at].by = w;
            found++;
            at++;
        }
        if (w->outcome == OUTCOME_ACKED && found == 0)
            breach(c, "H1 lost: acknowledged write %" PRId64 " of key %d has no row", w->id,
                   w->key);
        if (w->outcome == OUTCOME_NOT_DONE && found > 0)
            breach(c, "H1 refused write %" PRId64 " of key %d (%s) was done", w->id, w->key,
                   w->sqlstate);
        if (found > 1)
            breach(c, "H1 doubled: write %" PRId64 " of key %d has %zu rows", w->id, w->key, found);
    }
    for (size_t i = 0; i < n; i++)
        if (c->places[i].by == NULL)
            breach(c, "H1 row of key %d, n %" PRId64 ", id %" PRId64 ": nobody wrote it",
                   c->places[i].row.key, c->places[i].row.n, c->places[i].row.id);
}

/* H2: the rows of a key are 1..n, without a gap, and the counter says n. */
static void check_chains(struct checker *c)
{
    size_t n = c->h->rows.n, i = 0;

    qsort(c->places, n, sizeof *c->places, place_by_key);
    for (int key = 0; key < c->h->n_keys; key++) {
        struct chain *chain = &c->chains[key];

        chain->places = &c->places[i];
        for (; i < n && c->places[i].row.key == key; i++) {
            chain->n++;
            if (c->places[i].row.n != (int64_t)chain->n)
                breach(c, "H2 key %d: row %zu has n %" PRId64, key, chain->n, c->places[i].row.n);
        }
        if (c->h->counters[key] != (int64_t)chain->n)
            breach(c, "H2 key %d: counter %" PRId64 ", rows %zu", key, c->h->counters[key],
                   chain->n);
    }
}

/* H3: a write was told its own place. H5: timestamps rise along a key. H6: nobody began after a later place was
 * acknowledged. */
static void check_order_in_chain(struct checker *c, const struct chain *chain)
{
    const struct h_write *earlier = NULL; /* last acknowledged one */
    const struct h_write *first = NULL;   /* first acknowledged of the later places */

    for (size_t i = 0; i < chain->n; i++) {
        const struct h_write *w = chain->places[i].by;

        if (w == NULL || w->outcome != OUTCOME_ACKED)
            continue;
        if (w->n != chain->places[i].row.n)
            breach(c, "H3 key %d: write %" PRId64 " was told n %" PRId64 ", its row says %" PRId64,
                   w->key, w->id, w->n, chain->places[i].row.n);
        if (earlier != NULL && earlier->ts >= w->ts)
            breach(c,
                   "H5 key %d: n %" PRId64 " has timestamp %" PRId64 ", n %" PRId64 " has %" PRId64,
                   w->key, earlier->n, earlier->ts, w->n, w->ts);
        earlier = w;
    }
    for (size_t i = chain->n; i-- > 0;) {
        const struct h_write *w = chain->places[i].by;

        if (w == NULL)
            continue;
        if (first != NULL && first->end < w->begin)
            breach(c,
                   "H6 key %d: write %" PRId64 " (n %" PRId64
                   ") began after a later place was acknowledged (write %" PRId64 ", n %" PRId64
                   ")",
                   w->key, w->id, chain->places[i].row.n, first->id, first->n);
        if (w->outcome == OUTCOME_ACKED && (first == NULL || w->end < first->end))
            first = w;
    }
}

/* H4: what was acknowledged before something began has the smaller timestamp, whatever the keys. */
static void check_real_time(struct checker *c)
{
    const struct h_write *top = NULL; /* highest timestamp of those that ended */
    size_t ended = 0;

    for (size_t i = 0; i < c->n_acked; i++) {
        const struct h_write *w = c->by_begin[i];

        while (ended < c->n_acked && c->by_end[ended]->end < w->begin) {
            if (top == NULL || c->by_end[ended]->ts > top->ts)
                top = c->by_end[ended];
            ended++;
        }
        if (top != NULL && top->ts >= w->ts)
            breach(c,
                   "H4 write %" PRId64 " (ts %" PRId64 ") was acknowledged before write %" PRId64
                   " (ts %" PRId64 ") began",
                   top->id, top->ts, w->id, w->ts);
    }
}

/* H9: a timestamp lies inside its operation, the bound away from either end. The first half is a promise of the
 * leader's clock and does not hold in windows; the second one of a majority of clocks: it always holds. */
static void check_stamps(struct checker *c)
{
    int64_t slack = c->how->bound_ns - c->how->tolerance_ns;

    c->v.wait_min_ns = c->n_acked > 0 ? INT64_MAX : 0;
    for (size_t i = 0; i < c->n_acked; i++) {
        const struct h_write *w = c->by_begin[i];
        int64_t waited = w->end_wall - w->ts;

        if (waited < c->v.wait_min_ns)
            c->v.wait_min_ns = waited;
        if (waited > c->v.wait_max_ns)
            c->v.wait_max_ns = waited;
        if (waited < slack)
            breach(c,
                   "H9 write %" PRId64 ": acknowledged %" PRId64
                   " us after its timestamp, which takes %" PRId64 " us",
                   w->id, waited / 1000, slack / 1000);
        if (w->ts - w->begin_wall >= slack)
            continue;
        if (in_window(c, ANY_PORT, w->begin, w->end))
            c->v.early_stamps++;
        else
            breach(c,
                   "H9 write %" PRId64 ": timestamp %" PRId64
                   " us after its begin, which takes %" PRId64 " us",
                   w->id, (w->ts - w->begin_wall) / 1000, slack / 1000);
    }
}

/* H8: one moment explains all keys: the newest timestamp that was seen is below the oldest that was not. */
static bool torn(const struct checker *c, const struct h_read *r)
{
    int64_t seen = 0, unseen = INT64_MAX;

    for (int k = 0; k < c->h->n_keys; k++) {
        const struct chain *chain = &c->chains[k];
        const struct h_write *w;

        if (r->n[k] > 0 && (size_t)r->n[k] <= chain->n) {
            w = chain->places[r->n[k] - 1].by;
            if (w != NULL && w->outcome == OUTCOME_ACKED && w->ts > seen)
                seen = w->ts;
        }
        if ((size_t)r->n[k] < chain->n) {
            w = chain->places[r->n[k]].by;
            if (w != NULL && w->outcome == OUTCOME_ACKED && w->ts < unseen)
                unseen = w->ts;
        }
    }
    return seen >= unseen;
}

/* H7, second half: nothing is seen that is not there, or was begun after the read had ended. */
static void check_not_invented(struct checker *c, const struct h_read *r)
{
    for (int k = 0; k < c->h->n_keys; k++) {
        const struct chain *chain = &c->chains[k];
        const struct h_write *w;

        if (r->n[k] < 0 || (size_t)r->n[k] > chain->n) {
            breach(c, "H7 read by client %d of key %d saw n %" PRId64 " of %zu", r->client, k,
                   r->n[k], chain->n);
            continue;
        }
        w = r->n[k] == 0 ? NULL : chain->places[r->n[k] - 1].by;
        if (w != NULL && w->begin > r->end)
            breach(c, "H7 read by client %d of key %d saw write %" PRId64 " before it began",
                   r->client, k, w->id);
    }
}

/* H7, first half: a read sees all that was acknowledged, or read, before it began. */
static void check_reads(struct checker *c)
{
    struct h_read *reads = c->h->reads.items;
    const struct h_read **by_end;
    int64_t known[HISTORY_KEYS_MAX] = {0};
    size_t acked = 0, done = 0;

    if (c->h->reads.n > 0)
        qsort(reads, c->h->reads.n, sizeof *reads, read_by_begin);
    by_end = reads_by_end(c->h);
    qsort(by_end, c->h->reads.n, sizeof *by_end, read_ptr_by_end);
    for (size_t i = 0; i < c->h->reads.n; i++) {
        const struct h_read *r = &reads[i];
        bool admitted, stale = false;

        for (; acked < c->n_acked && c->by_end[acked]->end < r->begin; acked++)
            if (c->by_end[acked]->n > known[c->by_end[acked]->key])
                known[c->by_end[acked]->key] = c->by_end[acked]->n;
        for (; done < c->h->reads.n && by_end[done]->end < r->begin; done++)
            /* What a lying node said is no evidence against the others. */
            if (!in_window(c, by_end[done]->port, by_end[done]->begin, by_end[done]->end))
                for (int k = 0; k < c->h->n_keys; k++)
                    if (by_end[done]->n[k] > known[k])
                        known[k] = by_end[done]->n[k];
        if (strcmp(r->sqlstate, "-") != 0) {
            c->v.reads_refused++;
            continue;
        }
        c->v.reads++;
        check_not_invented(c, r);
        admitted = in_window(c, r->port, r->begin, r->end);
        for (int k = 0; k < c->h->n_keys; k++) {
            if (r->n[k] >= known[k])
                continue;
            stale = true;
            if (!admitted)
                breach(c,
                       "H7 stale read by client %d through port %d of key %d: n %" PRId64
                       ", but %" PRId64 " was known before it began",
                       r->client, r->port, k, r->n[k], known[k]);
        }
        if (torn(c, r)) {
            stale = true;
            if (!admitted)
                breach(c, "H8 torn read by client %d through port %d: no one moment explains it",
                       r->client, r->port);
        }
        c->v.admitted += stale && admitted;
    }
    free(by_end);
}

struct h_verdict history_check(struct history *h, const struct h_check *how)
{
    struct checker c = {.h = h, .how = how};

    sort_writes(&c);
    check_rows(&c);
    check_chains(&c);
    for (int key = 0; key < h->n_keys; key++)
        check_order_in_chain(&c, &c.chains[key]);
    check_real_time(&c);
    check_stamps(&c);
    check_reads(&c);
    free(c.by_begin);
    free(c.by_end);
    free(c.places);
    return c.v;
}
