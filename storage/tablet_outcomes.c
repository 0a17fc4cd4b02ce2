#include "storage/tablet_outcomes.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "storage/tablet.h"

enum { FIRST_PLACES = 64 };

static const int64_t span_ns = 10LL * NS_PER_S;
static const int64_t slack_ns = (int64_t)TABLET_OUTCOME_SLACK_S * NS_PER_S;

/* Ids are made by clients, too: every bit is mixed, so that no pattern of them clusters. */
static size_t hash_id(struct txn_id id)
{
    uint64_t h = (uint64_t)id.start ^ ((uint64_t)id.gateway << 32 | id.counter);

    h = (h ^ (h >> 33)) * 0xff51afd7ed558ccdu;
    h ^= (uint64_t)id.counter * 0x9e3779b97f4a7c15u;
    h = (h ^ (h >> 33)) * 0xc4ceb9fe1a85ec53u;
    return (size_t)(h ^ (h >> 33));
}

static bool same_id(struct txn_id a, struct txn_id b)
{
    return a.start == b.start && a.gateway == b.gateway && a.counter == b.counter;
}

static void insert(struct outcome *places, size_t n_places, const struct outcome *add)
{
    size_t i = hash_id(add->id) & (n_places - 1);

    while (places[i].code != 0)
        i = (i + 1) & (n_places - 1);
    places[i] = *add;
}

static void grow(struct outcome_span *s)
{
    size_t n_places = s->n_places == 0 ? FIRST_PLACES : s->n_places * 2;
    struct outcome *places = xcalloc(n_places, sizeof *places);

    for (size_t i = 0; i < s->n_places; i++)
        if (s->places[i].code != 0)
            insert(places, n_places, &s->places[i]);
    free(s->places);
    s->places = places;
    s->n_places = n_places;
}

static struct outcome_span *span_of(struct outcomes *o, tstamp ts)
{
    tstamp from = ts - ts % span_ns;
    size_t i = o->n_spans;

    while (i > 0 && o->spans[i - 1].from > from)
        i--;
    if (i > 0 && o->spans[i - 1].from == from)
        return &o->spans[i - 1];
    if (o->n_spans == o->cap_spans) {
        o->cap_spans = o->cap_spans == 0 ? 16 : o->cap_spans * 2;
        o->spans = xrealloc(o->spans, o->cap_spans * sizeof *o->spans);
    }
    memmove(&o->spans[i + 1], &o->spans[i], (o->n_spans - i) * sizeof *o->spans);
    o->spans[i] = (struct outcome_span){.from = from};
    o->n_spans++;
    return &o->spans[i];
}

void outcomes_add(struct outcomes *o, const struct outcome *add)
{
    struct outcome_span *s = span_of(o, outcome_ts(add));

    ASSERT(outcome_ts(add) > 0);
    if (s->n_used * 3 >= s->n_places * 2)
        grow(s);
    insert(s->places, s->n_places, add);
    s->n_used++;
    if (add->id.start > outcome_ts(add) + slack_ns)
        s->early = true;
}

static const struct outcome *find_in(const struct outcome_span *s, struct txn_id id)
{
    size_t mask = s->n_places - 1;

    for (size_t i = hash_id(id) & mask; s->places[i].code != 0; i = (i + 1) & mask)
        if (same_id(s->places[i].id, id))
            return &s->places[i];
    return NULL;
}

const struct outcome *outcomes_find(const struct outcomes *o, struct txn_id id)
{
    for (size_t i = o->n_spans; i-- > 0;) {
        const struct outcome_span *s = &o->spans[i];
        const struct outcome *found;

        /* An id that starts (less the slack) after the span's end got a timestamp after it, too. */
        if (!s->early && id.start >= s->from + span_ns + slack_ns)
            continue;
        found = find_in(s, id);
        if (found != NULL)
            return found;
    }
    return NULL;
}

void outcomes_forget(struct outcomes *o, tstamp ts)
{
    size_t n = 0;

    while (n < o->n_spans && o->spans[n].from + span_ns <= ts)
        free(o->spans[n++].places);
    o->n_spans -= n;
    if (n > 0)
        memmove(o->spans, o->spans + n, o->n_spans * sizeof *o->spans);
}

size_t outcomes_count(const struct outcomes *o)
{
    size_t n = 0;

    for (size_t i = 0; i < o->n_spans; i++)
        n += o->spans[i].n_used;
    return n;
}

void outcomes_clear(struct outcomes *o)
{
    for (size_t i = 0; i < o->n_spans; i++)
        free(o->spans[i].places);
    o->n_spans = 0;
}

void outcomes_fini(struct outcomes *o)
{
    outcomes_clear(o);
    free(o->spans);
    memset(o, 0, sizeof *o);
}
