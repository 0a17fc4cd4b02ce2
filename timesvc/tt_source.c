#include "timesvc/tt_source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timex.h>
#include <time.h>

#include "base/check.h"
#include "timesvc/tt_chrony.h"
#include "timesvc/tt_clockbound.h"

enum { N_ASKED_MAX = 4, VIA_MAX = TT_WHERE_MAX + 16, NOTE_MAX = 160 };

/* Somebody or something to ask. */
struct asked {
    enum tt_source_kind kind;
    int64_t eps_ns;
    struct tt_chrony *chrony;         /* owned; NULL unless chrony */
    struct tt_clockbound *clockbound; /* owned; NULL unless clockbound */
    char via[VIA_MAX];
    char note[NOTE_MAX];
};

struct tt_source {
    struct asked asked[N_ASKED_MAX]; /* best first; only auto has more than one */
    size_t n_asked;
    size_t at;       /* the one in use */
    size_t probe;    /* auto: the better one to look at next */
    int until_probe; /* polls */
};

static enum status parse_duration(const char *text, int64_t *out_ns, struct err *err)
{
    static const struct {
        const char *unit;
        int64_t ns;
    } units[] = {{"ns", 1}, {"us", NS_PER_US}, {"ms", NS_PER_MS}, {"s", NS_PER_S}};
    const int64_t max_ns = (int64_t)TT_BOUND_MAX_MS * NS_PER_MS;
    char *end = NULL;
    int64_t v, unit = 0;

    errno = 0;
    v = strtoll(text, &end, 10);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strcmp(end, units[i].unit) == 0)
            unit = units[i].ns;
    if (end == text || errno != 0 || unit == 0 || v <= 0 || v > max_ns / unit)
        return err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                       "invalid clock bound \"%s\": wanted like 200us, above 0 and at most %ds",
                       text, TT_BOUND_MAX_MS / 1000);
    *out_ns = v * unit;
    return ST_OK;
}

/* What may stand after the name of a source. */
enum argument { ARG_NONE, ARG_MAY, ARG_MUST };

static const struct {
    const char *name;
    enum tt_source_kind kind;
    enum argument arg;
} kinds[] = {
    {"fixed", TT_FIXED, ARG_MUST},         {"kernel", TT_KERNEL, ARG_NONE},
    {"chrony", TT_CHRONY, ARG_MAY},        {"clockbound", TT_CLOCKBOUND, ARG_MAY},
    {"auto", TT_AUTO, ARG_NONE},           {"page", TT_PAGE, ARG_MUST},
    {"simulated", TT_SIMULATED, ARG_NONE},
};

static enum status parse_where(const char *where, struct tt_source_spec *spec, struct err *err)
{
    enum status st = ST_OK;
    struct tt_chrony *c = NULL;

    if (strlen(where) >= sizeof spec->where)
        return err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                       "the place of a clock source is longer than %zu bytes",
                       sizeof spec->where - 1);
    if (spec->kind != TT_CHRONY && where[0] != '/')
        return err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                       "a page of time is at an absolute path, not at \"%s\"", where);
    if (spec->kind == TT_CHRONY)
        TRY(tt_chrony_open(where, &c, err)); /* checks, and asks nobody */
    memcpy(spec->where, where, strlen(where) + 1);
out:
    tt_chrony_close(c);
    return st;
}

enum status tt_source_parse(const char *text, struct tt_source_spec *out, struct err *err)
{
    size_t name_len = strcspn(text, ":");
    const char *arg = text[name_len] == ':' ? text + name_len + 1 : NULL;

    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strlen(kinds[i].name) != name_len || memcmp(kinds[i].name, text, name_len) != 0 ||
            (arg == NULL && kinds[i].arg == ARG_MUST) || (arg != NULL && kinds[i].arg == ARG_NONE))
            continue;
        out->kind = kinds[i].kind;
        if (arg == NULL)
            return ST_OK;
        return out->kind == TT_FIXED ? parse_duration(arg, &out->eps_ns, err)
                                     : parse_where(arg, out, err);
    }
    return err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                   "unknown clock source \"%s\": wanted auto, chrony[:PATH|:HOST:PORT], "
                   "clockbound[:PATH], page:PATH, kernel, fixed:EPS or simulated",
                   text);
}

static int64_t clock_ns(clockid_t id)
{
    struct timespec ts;

    ASSERT(clock_gettime(id, &ts) == 0);
    return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static void ask_kernel(struct tt_sample *out)
{
    struct timex tx = {.modes = 0};
    int state = ntp_adjtime(&tx);

    out->maxerror_ns = -1;
    out->freq_ppb = 0;
    out->leap = TT_LEAP_NONE;
    if (state == -1)
        return; /* a sandbox forbids the call: no bound, no correction */
    if (state != TIME_ERROR && (tx.status & STA_UNSYNC) == 0)
        out->maxerror_ns = (int64_t)tx.maxerror * NS_PER_US;
    /* freq is in 2^-16 ppm; a tick is nominally 10,000 us, 1 us of it is 100 ppm. */
    out->freq_ppb = (int64_t)tx.freq * 1000 / 65536 + ((int64_t)tx.tick - 10000) * 100000;
    if (state == TIME_INS)
        out->leap = TT_LEAP_INSERT;
    else if (state == TIME_DEL)
        out->leap = TT_LEAP_DELETE;
}

void tt_sample_take(struct tt_sample *out)
{
    ask_kernel(out);
    out->suspended_ns = clock_ns(CLOCK_BOOTTIME) - clock_ns(CLOCK_MONOTONIC);
    out->width_ns = INT64_MAX;
    /* The narrowest of a few: this thread may lose its processor between two readings. */
    for (int i = 0; i < 5; i++) {
        int64_t before = mono_now(), utc = clock_ns(CLOCK_REALTIME), after = mono_now();

        if (after - before < out->width_ns) {
            out->width_ns = after - before;
            out->raw_ns = before + (after - before) / 2;
            out->utc_ns = utc;
        }
    }
}

static enum status add_asked(struct tt_source *src, enum tt_source_kind kind, const char *where,
                             struct err *err)
{
    enum status st = ST_OK;
    struct asked *a = &src->asked[src->n_asked];

    ASSERT(src->n_asked < N_ASKED_MAX);
    memset(a, 0, sizeof *a);
    a->kind = kind;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].kind == kind)
            (void)snprintf(a->via, sizeof a->via, "%s%s%s", kinds[i].name,
                           where[0] == '\0' ? "" : ":", where);
    if (kind == TT_CHRONY)
        TRY(tt_chrony_open(where, &a->chrony, err));
    if (kind == TT_CLOCKBOUND)
        TRY(tt_clockbound_open(where, &a->clockbound, err));
    src->n_asked++;
out:
    return st;
}

static void ask_chrony(struct asked *a, struct tt_sample *clocks, struct tt_said *said)
{
    struct tt_tracking t;
    struct err err;
    int64_t asked_raw = mono_now();
    enum status st = tt_chrony_ask(a->chrony, (int64_t)TT_CHRONY_ASK_MS * NS_PER_MS, &t, &err);

    tt_sample_take(clocks); /* after the report, which so is about an earlier moment */
    if (st == ST_OK) {
        tt_tracking_said(&t, asked_raw, clocks->utc_ns, said);
        a->note[0] = '\0';
        return;
    }
    *said = (struct tt_said){.answer = st == ST_RETRY ? TT_SAYS_NOTHING
                                       : strcmp(err.sqlstate, SQLSTATE_PROTOCOL_VIOLATION) == 0
                                           ? TT_SAYS_GARBAGE
                                           : TT_SAYS_REFUSED};
    (void)snprintf(a->note, sizeof a->note, "%.150s", err.msg);
}

/* CLOCK_REALTIME itself is the report. */
static void ask_word(const struct asked *a, struct tt_sample *clocks, struct tt_said *said)
{
    tt_sample_take(clocks);
    *said = (struct tt_said){.answer = TT_SAYS_BOUND, .as_of_raw_ns = clocks->raw_ns};
    if (a->kind == TT_FIXED)
        said->bound_ns = a->eps_ns;
    else if (clocks->maxerror_ns < 0)
        said->answer = TT_SAYS_UNSYNC;
    else /* The kernel counts whole microseconds and lets maxerror grow once a second. */
        said->bound_ns = clocks->maxerror_ns + NS_PER_US + TT_DRIFT_PPB;
}

static void ask_one(struct asked *a, struct tt_sample *clocks, struct tt_said *said)
{
    const char *note = NULL;

    switch (a->kind) {
    case TT_CHRONY:
        ask_chrony(a, clocks, said);
        return;
    case TT_CLOCKBOUND:
        tt_clockbound_ask(a->clockbound, said, &note);
        (void)snprintf(a->note, sizeof a->note, "%s", note == NULL ? "" : note);
        tt_sample_take(clocks);
        return;
    case TT_FIXED:
    case TT_KERNEL:
        ask_word(a, clocks, said);
        return;
    case TT_AUTO:
    case TT_PAGE:
    case TT_SIMULATED:
        break;
    }
    ASSERT(!"nobody to ask");
}

/* Present: it is there and talks, though perhaps it does not know the time (yet). */
static bool is_present(const struct tt_said *said)
{
    return said->answer != TT_SAYS_NOTHING && said->answer != TT_SAYS_REFUSED &&
           said->answer != TT_SAYS_GARBAGE;
}

/* The best one that is there; the kernel, last in the list, always is. */
static void pick(struct tt_source *src)
{
    struct tt_sample clocks;
    struct tt_said said;

    for (src->at = 0; src->at + 1 < src->n_asked; src->at++) {
        ask_one(&src->asked[src->at], &clocks, &said);
        if (is_present(&said))
            break;
    }
    src->until_probe = TT_AUTO_PROBE_POLLS;
}

enum status tt_source_open(const struct tt_source_spec *spec, struct tt_source **out,
                           struct err *err)
{
    enum status st = ST_OK;
    struct tt_source *src = xcalloc(1, sizeof *src);
    const char *where = spec->where;

    ASSERT(spec->kind != TT_SIMULATED && spec->kind != TT_PAGE);
    if (spec->kind == TT_AUTO || (spec->kind == TT_CHRONY && where[0] == '\0')) {
        TRY(add_asked(src, TT_CHRONY, TT_CHRONY_SOCKET, err));
        TRY(add_asked(src, TT_CHRONY, TT_CHRONY_UDP, err));
    } else if (spec->kind == TT_CLOCKBOUND && where[0] == '\0') {
        where = TT_CLOCKBOUND_PATH;
    }
    if (spec->kind == TT_AUTO) {
        TRY(add_asked(src, TT_CLOCKBOUND, TT_CLOCKBOUND_PATH, err));
        TRY(add_asked(src, TT_KERNEL, "", err));
    } else if (src->n_asked == 0) {
        TRY(add_asked(src, spec->kind, where, err));
        src->asked[0].eps_ns = spec->eps_ns;
    }
    pick(src);
    *out = src;
out:
    if (st != ST_OK)
        tt_source_close(src);
    return st;
}

void tt_source_close(struct tt_source *src)
{
    if (src == NULL)
        return;
    for (size_t i = 0; i < src->n_asked; i++) {
        tt_chrony_close(src->asked[i].chrony);
        tt_clockbound_close(src->asked[i].clockbound);
    }
    free(src);
}

/* Now and then, looks whether a better one has come. Never back: a source that went silent voids time, and
 * does not make a weaker one believed. */
static bool look_for_better(struct tt_source *src, struct tt_sample *clocks, struct tt_said *said)
{
    struct asked *better = &src->asked[src->probe];

    if (src->at == 0 || --src->until_probe > 0)
        return false;
    src->until_probe = TT_AUTO_PROBE_POLLS;
    src->probe = (src->probe + 1) % src->at;
    ask_one(better, clocks, said);
    if (said->answer != TT_SAYS_BOUND)
        return false;
    src->at = (size_t)(better - src->asked);
    src->probe = 0;
    return true;
}

bool tt_source_ask(struct tt_source *src, struct tt_sample *out_clocks, struct tt_said *out_said)
{
    if (look_for_better(src, out_clocks, out_said))
        return true;
    ask_one(&src->asked[src->at], out_clocks, out_said);
    return false;
}

const char *tt_source_via(const struct tt_source *src)
{
    return src->asked[src->at].via;
}

const char *tt_source_note(const struct tt_source *src)
{
    const struct asked *a = &src->asked[src->at];

    /* What is wrong with it; of the last resort, what is wrong with the best. */
    return a->note[0] == '\0' && src->at > 0 ? src->asked[0].note : a->note;
}
