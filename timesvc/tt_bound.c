#include "timesvc/tt_bound.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

static const int64_t day_ns = INT64_C(86400) * NS_PER_S;
static const int64_t leap_guard_ns = (int64_t)TT_LEAP_GUARD_MS * NS_PER_MS;
static const int64_t void_ns = (int64_t)TT_VOID_MS * NS_PER_MS;
static const int64_t bound_max_ns = (int64_t)TT_BOUND_MAX_MS * NS_PER_MS;

static int64_t max64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t clamp(int64_t v, int64_t limit)
{
    return max64(min64(v, limit), -limit);
}

/* What `ppb` makes of a duration. */
static int64_t scale_ppb(int64_t ns, int64_t ppb)
{
    return (int64_t)((__int128)ns * ppb / NS_PER_S);
}

static void forget_allowance(struct tt_bound *b)
{
    b->before.has_ref = false;
    b->allowed_ppb = 0;
    b->allowed_known = false;
    b->curious = TT_CURIOUS_POLLS;
}

bool tt_bound_is_curious(const struct tt_bound *b)
{
    return b->before.has_ref && !b->allowed_known && b->curious > 0;
}

void tt_bound_init(struct tt_bound *b, int64_t drift_ppb)
{
    memset(b, 0, sizeof *b);
    b->drift_ppb = drift_ppb == 0 ? TT_DRIFT_PPB : drift_ppb;
    ASSERT(b->drift_ppb > 0 && b->drift_ppb <= TT_DRIFT_MAX_PPB);
    b->map.bound_ns = -1;
    b->last.bound_ns = -1;
    b->said_ns = -1;
    b->was_usable = true;
    forget_allowance(b);
}

void tt_bound_new_source(struct tt_bound *b)
{
    b->has_ref = false;
    forget_allowance(b);
    b->said_ns = -1;
}

/* How far the clock moved against MONOTONIC_RAW beyond what the kernel's corrections explain. */
static int64_t unexplained(const struct tt_sample *was, const struct tt_sample *is)
{
    int64_t d = is->raw_ns - was->raw_ns;
    int64_t gained = is->utc_ns - was->utc_ns - d;
    int64_t least = scale_ppb(d, min64(was->freq_ppb, is->freq_ppb));
    int64_t most = scale_ppb(d, max64(was->freq_ppb, is->freq_ppb));
    /* The two readings are not at one moment, and the kernel rounds its rates. */
    int64_t slack = was->width_ns + is->width_ns + NS_PER_US + scale_ppb(d, 1000);

    /* All that it can have been: how long the kernel ran at which of the two rates is not known. */
    if (gained > most + slack)
        return gained - least;
    return gained < least - slack ? most - gained : 0;
}

static bool slept(const struct tt_sample *was, const struct tt_sample *is)
{
    const int64_t least_ns = NS_PER_MS; /* the clocks that tell are not read at one moment */

    return is->suspended_ns - was->suspended_ns > least_ns;
}

/* Why an answer is of no use; TT_OK_FRESH if it is. */
static enum tt_verdict judge(const struct tt_sample *in, const struct tt_said *said)
{
    const int64_t blur_ns = NS_PER_S / 100;
    int64_t age = in->raw_ns - said->as_of_raw_ns;

    switch (said->answer) {
    case TT_SAYS_NOTHING:
        return TT_VOID_SILENT;
    case TT_SAYS_REFUSED:
        return TT_VOID_REFUSED;
    case TT_SAYS_GARBAGE:
        return TT_VOID_GARBAGE;
    case TT_SAYS_UNSYNC:
        return TT_VOID_UNSYNC;
    case TT_SAYS_LOCAL:
        return TT_VOID_LOCAL;
    case TT_SAYS_DISRUPTED:
        return TT_VOID_DISRUPTED;
    case TT_SAYS_BOUND:
        break;
    }
    if (said->bound_ns < 0 || said->drift_ppb < 0 || said->drift_ppb > NS_PER_S)
        return TT_VOID_GARBAGE;
    if (said->bound_ns > bound_max_ns)
        return TT_VOID_WIDE;
    if (age < 0 || (said->has_ref && said->ref_age_ns < -said->bound_ns - blur_ns))
        return TT_VOID_FUTURE;
    if (age > void_ns || (said->good_for_ns > 0 && age >= said->good_for_ns))
        return TT_VOID_OLD;
    if (said->has_ref &&
        said->ref_age_ns > max64((int64_t)TT_REF_OLD_MS * NS_PER_MS,
                                 TT_REF_OLD_UPDATES * min64(said->ref_every_ns, day_ns)))
        return TT_VOID_OLD;
    return TT_OK_FRESH;
}

static bool is_late(const struct tt_said *said)
{
    return said->has_ref &&
           said->ref_age_ns > max64((int64_t)TT_REF_LATE_MS * NS_PER_MS,
                                    TT_REF_OLD_UPDATES * min64(said->ref_every_ns, day_ns));
}

/* True if the source learned something since the last report. Its reference time does not tell: chronyd's is that
 * of the best of several measurements, and goes back and forth. */
static bool is_fresh(struct tt_bound *b, const struct tt_sample *in, const struct tt_said *said)
{
    bool fresh = !said->has_ref || !b->has_ref || said->update_id != b->update_id;

    b->has_ref = said->has_ref;
    b->update_id = said->update_id;
    b->ref_raw_ns = in->raw_ns - said->ref_age_ns;
    b->ref_id = said->ref_id;
    b->stratum = said->stratum;
    return fresh;
}

/* How wrong the kernel's rate may be as a rate of UTC. A source that corrects the clock has set the kernel's rate
 * to minus its own figure, but for what it slews at the moment; one that only watches found its figure on top of the
 * kernel's rate. Both are allowed for, unless the two are equal to the last digit. */
static int64_t rate_doubt_ppb(const struct tt_sample *in, const struct tt_said *said)
{
    const int64_t equal_ppb = 20; /* the kernel's unit is 15 ppb */
    int64_t rate = clamp(in->freq_ppb, TT_DRIFT_MAX_PPB);
    int64_t corrected, watched;

    if (!said->has_freq)
        return 0;
    corrected = llabs(rate - clamp(-said->freq_ppb, TT_DRIFT_MAX_PPB));
    watched = llabs(rate - clamp(in->freq_ppb - said->freq_ppb, TT_DRIFT_MAX_PPB));
    if (llabs(in->freq_ppb + said->freq_ppb) <= equal_ppb)
        return corrected;
    return max64(corrected, watched);
}

/* The mapping that a usable report stands for, without what distrust adds. */
static struct tt_map candidate(const struct tt_bound *b, const struct tt_sample *in,
                               const struct tt_said *said)
{
    const int64_t rounding_ns = 3; /* scaling here and at the readers rounds down */
    int64_t age = in->raw_ns - said->as_of_raw_ns;
    int64_t drift = min64(b->drift_ppb + said->drift_ppb + rate_doubt_ppb(in, said), NS_PER_S);
    int64_t since_ref = said->has_ref ? max64(0, said->ref_age_ns - age) : 0;
    struct tt_map map = {
        .base_raw_ns = in->raw_ns,
        .base_utc_ns = in->utc_ns,
        .rate_q = tt_q_of_ppb(clamp(in->freq_ppb, TT_DRIFT_MAX_PPB)),
        /* The stated drift also holds between the measurement and the report, where the source allowed for less. */
        .bound_ns = said->bound_ns + scale_ppb(age, drift) +
                    scale_ppb(since_ref, max64(0, b->drift_ppb - b->allowed_ppb)) + in->width_ns +
                    rounding_ns,
        .drift_q = tt_q_of_ppb(drift) + 1,
        .void_after_ns = in->raw_ns + void_ns,
    };

    if (said->good_for_ns > 0)
        map.void_after_ns =
            min64(map.void_after_ns, said->as_of_raw_ns + min64(said->good_for_ns, day_ns));
    return map;
}

/* True if both can be right. A mapping that was void promised nothing. */
static bool agree(const struct tt_map *was, const struct tt_map *is)
{
    int64_t d = is->base_raw_ns - was->base_raw_ns;

    if (was->bound_ns < 0 || is->bound_ns < 0)
        return true;
    return llabs(is->base_utc_ns - tt_map_utc(was, is->base_raw_ns)) <=
           was->bound_ns + tt_q_scale(d, was->drift_q) + is->bound_ns;
}

static void distrust(struct tt_bound *b, enum tt_verdict event)
{
    b->event = event;
    b->hold = TT_HOLD_REPORTS;
    b->map.bound_ns = -1;
    b->counts.steps++;
}

static void note_movement(struct tt_bound *b, int64_t moved)
{
    if (moved == 0)
        return;
    b->moved_ns = min64(b->moved_ns + moved, bound_max_ns);
    b->moved_reports = TT_HOLD_REPORTS;
    b->counts.steps++;
}

/* A new measurement: the only thing that makes an interval narrower. */
static void on_fresh(struct tt_bound *b, const struct tt_sample *in, const struct tt_said *said)
{
    struct tt_map map = candidate(b, in, said);

    if (!agree(&b->last, &map))
        distrust(b, TT_VOID_STEPPED); /* W4 */
    else if (b->hold > 0)
        b->hold--;
    if (said->has_ref)
        map.bound_ns += b->moved_ns; /* W9: the report may be about the clock before it moved */
    b->last = map;
    if (b->hold == 0)
        b->map = map;
    if (b->moved_reports > 0 && --b->moved_reports == 0)
        b->moved_ns = 0;
}

/* chronyd lets its dispersion grow by `maxclockerror`, which it does not tell, beyond what it tells: seen in two
 * reports on one measurement. Not believed to the last part, and not at all if an answer took long. */
static void learn_allowance(struct tt_bound *b, const struct tt_sample *in,
                            const struct tt_said *said)
{
    const struct tt_said *was = &b->before;
    int64_t d = said->as_of_raw_ns - was->as_of_raw_ns;
    int64_t blur = in->raw_ns - said->as_of_raw_ns + b->seen.raw_ns - was->as_of_raw_ns;
    int64_t ppb;

    if (!said->has_ref || !was->has_ref || said->update_id != was->update_id ||
        said->drift_ppb != was->drift_ppb || d < NS_PER_MS || d > void_ns || blur > d / 200)
        return;
    ppb = (int64_t)((__int128)(said->ref_error_ns - was->ref_error_ns) * NS_PER_S / d) -
          said->drift_ppb;
    b->allowed_ppb = max64(0, min64(ppb, TT_DRIFT_MAX_PPB)) / 200 * 199;
    b->allowed_known = true;
}

/* No new measurement: the mapping that we have, which does not follow CLOCK_REALTIME, is kept and goes on growing. */
static void on_repeated(struct tt_bound *b, const struct tt_sample *in, const struct tt_said *said)
{
    struct tt_map same = candidate(b, in, said);
    struct tt_map *map = &b->map;

    learn_allowance(b, in, said);
    if (map->bound_ns < 0)
        return;
    if (same.drift_q > map->drift_q) {
        int64_t utc = tt_map_utc(map, in->raw_ns);

        map->bound_ns += tt_q_scale(in->raw_ns - map->base_raw_ns, map->drift_q) + 2;
        map->base_utc_ns = utc;
        map->base_raw_ns = in->raw_ns;
        map->drift_q = same.drift_q;
    }
    map->void_after_ns = max64(map->void_after_ns, same.void_after_ns);
}

/* Which midnight an announced leap second belongs to, while it is near enough to matter. */
static void follow_leap(struct tt_bound *b, const struct tt_sample *in, bool announced)
{
    int64_t utc = in->utc_ns;

    if (b->leap_utc_ns != 0 && utc > b->leap_utc_ns + leap_guard_ns) {
        b->leap_utc_ns = 0; /* it is over: what was said before is about another count */
        b->last.bound_ns = -1;
        b->moved_ns = 0;
        distrust(b, TT_VOID_LEAP);
    }
    if (b->leap_utc_ns != 0 && utc < b->leap_utc_ns - day_ns)
        b->leap_utc_ns = 0; /* the clock was set back: it may be another midnight */
    if (b->leap_utc_ns == 0 && announced && utc > 0)
        b->leap_utc_ns = (utc / day_ns + 1) * day_ns;
    else if (!announced && utc < b->leap_utc_ns - leap_guard_ns)
        b->leap_utc_ns = 0; /* taken back in time */
}

/* The reading at which the interval touches the guarded time; far away if none is. */
static int64_t leap_raw(const struct tt_bound *b, const struct tt_map *map)
{
    int64_t left;

    if (b->leap_utc_ns == 0 || map->bound_ns < 0)
        return INT64_MAX;
    left = b->leap_utc_ns - leap_guard_ns - map->base_utc_ns - map->bound_ns;
    /* Less a part for a rate and a growth that are both in parts per thousand at most. */
    return map->base_raw_ns + (left > 0 ? left - left / 500 : 0);
}

static enum tt_verdict bounded_verdict(const struct tt_bound *b, const struct tt_said *said,
                                       enum tt_verdict judged, bool fresh)
{
    if (judged == TT_VOID_SILENT)
        return TT_OK_SILENT;
    if (judged == TT_VOID_UNSYNC || judged == TT_VOID_LOCAL)
        return TT_OK_UNSYNC;
    if (judged != TT_OK_FRESH)
        return TT_OK_BAD;
    if (!said->has_ref)
        return TT_OK_WORD;
    if (is_late(said))
        return TT_OK_LATE;
    if (b->moved_ns > 0)
        return TT_OK_MOVED;
    return fresh ? TT_OK_FRESH : TT_OK_HELD;
}

static enum tt_verdict conclude(const struct tt_bound *b, const struct tt_sample *in,
                                const struct tt_said *said, enum tt_verdict judged, bool fresh,
                                struct tt_map *out)
{
    int64_t until = leap_raw(b, &b->map);
    enum tt_verdict v = TT_VOID_NEVER;

    *out = b->map;
    out->void_after_ns = min64(out->void_after_ns, until);
    if (tt_map_bound(out, in->raw_ns) >= 0)
        v = tt_map_bound(out, in->raw_ns) > bound_max_ns ? TT_VOID_WIDE
                                                         : bounded_verdict(b, said, judged, fresh);
    else if (b->leap_utc_ns != 0 &&
             (in->raw_ns >= until || in->utc_ns > b->leap_utc_ns - leap_guard_ns))
        v = TT_VOID_LEAP;
    else if (b->hold > 0)
        v = b->event;
    else if (tt_verdict_is_void(judged))
        v = judged;
    if (tt_verdict_is_void(v))
        out->bound_ns = -1;
    return v;
}

void tt_bound_step(struct tt_bound *b, const struct tt_sample *clocks, const struct tt_said *said,
                   struct tt_map *out, enum tt_verdict *out_verdict)
{
    enum tt_verdict judged = judge(clocks, said);
    bool usable = judged == TT_OK_FRESH, fresh = false;

    ASSERT(!b->has_seen || clocks->raw_ns >= b->seen.raw_ns);
    follow_leap(b, clocks,
                clocks->leap != TT_LEAP_NONE || (usable && said->leap != TT_LEAP_NONE) ||
                    (!usable && b->leap_utc_ns != 0));
    if (b->has_seen && slept(&b->seen, clocks))
        distrust(b, TT_VOID_SLEPT);
    else if (b->has_seen)
        note_movement(b, unexplained(&b->seen, clocks));
    if (said->answer == TT_SAYS_DISRUPTED)
        distrust(b, TT_VOID_DISRUPTED);
    if (usable) {
        if (!b->was_usable)
            b->counts.restarts++;
        b->said_ns = said->bound_ns;
        b->said_raw_ns = said->as_of_raw_ns;
        fresh = is_fresh(b, clocks, said);
        b->counts.reports++;
        b->counts.fresh += fresh;
        if (fresh)
            on_fresh(b, clocks, said);
        else
            on_repeated(b, clocks, said);
        b->before = *said;
        b->curious -= b->curious > 0;
    } else {
        b->counts.unusable++;
        forget_allowance(b); /* it may come back with another configuration */
    }
    b->was_usable = usable;
    b->seen = *clocks;
    b->has_seen = true;
    *out_verdict = conclude(b, clocks, said, judged, fresh, out);
}

const char *tt_verdict_text(enum tt_verdict v)
{
    static const char *const text[TT_N_VERDICTS] = {
        [TT_OK_WORD] = "the source says so, growing at the stated drift",
        [TT_OK_FRESH] = "measured against the reference just now",
        [TT_OK_HELD] = "last measurement, growing at the worst drift",
        [TT_OK_LATE] = "the reference is overdue: last measurement, growing",
        [TT_OK_MOVED] = "the clock moved without a reason: widened by as much",
        [TT_OK_SILENT] = "the source is silent: last report, growing until it is void",
        [TT_OK_UNSYNC] = "the source lost its reference: last report, growing until it is void",
        [TT_OK_BAD] = "the report is of no use: last one, growing until it is void",
        [TT_VOID_NEVER] = "void: no report yet",
        [TT_VOID_SILENT] = "void: the source does not answer",
        [TT_VOID_REFUSED] = "void: the source may not be asked",
        [TT_VOID_GARBAGE] = "void: the source answers garbage",
        [TT_VOID_UNSYNC] = "void: the source is not synchronised",
        [TT_VOID_LOCAL] = "void: the source's reference is this very clock",
        [TT_VOID_DISRUPTED] = "void: the machine was disrupted",
        [TT_VOID_OLD] = "void: the reference was measured too long ago",
        [TT_VOID_FUTURE] = "void: a report from the future",
        [TT_VOID_WIDE] = "void: too wide",
        [TT_VOID_STEPPED] = "void: the clock was stepped, or reports contradict each other",
        [TT_VOID_SLEPT] = "void: the machine slept",
        [TT_VOID_LEAP] = "void: a leap second is near",
    };

    ASSERT((unsigned)v < TT_N_VERDICTS);
    return text[v];
}
