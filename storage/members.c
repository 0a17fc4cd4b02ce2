#include "storage/members.h"

#include <pthread.h>

#include "base/check.h"
#include "base/clock.h"

enum { AGAIN_NS = 20 * NS_PER_MS };

/* Asking, and waiting for the answer. */

struct waiting {
    struct group_ask ask; /* first */
    pthread_mutex_t mu;
    pthread_cond_t cond;
    bool answered;
};

static void on_answer(struct group_ask *a)
{
    struct waiting *w = (struct waiting *)a;

    pthread_mutex_lock(&w->mu);
    w->answered = true;
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->mu);
}

/* io->change and io->want are the question. */
static void ask(struct group *g, struct group_ask *io)
{
    struct waiting w = {.ask = *io};

    w.ask.done = on_answer;
    pthread_mutex_init(&w.mu, NULL);
    pthread_cond_init(&w.cond, NULL);
    group_ask(g, &w.ask);
    pthread_mutex_lock(&w.mu);
    while (!w.answered)
        pthread_cond_wait(&w.cond, &w.mu);
    pthread_mutex_unlock(&w.mu);
    *io = w.ask;
    pthread_mutex_destroy(&w.mu);
    pthread_cond_destroy(&w.cond);
}

void members_look(struct group *g, struct group_ask *out)
{
    out->change = false;
    ask(g, out);
}

/* Steps. */

static enum status time_is_up(struct group *g, const char *what, struct err *err)
{
    return err_set(err, ST_RETRY, SQLSTATE_QUERY_CANCELED,
                   "time is up for group %llu: %s; it goes on from there when it is asked again",
                   (unsigned long long)group_number(g), what);
}

static enum status pause_until(struct group *g, int64_t deadline, const char *what, struct err *err)
{
    if (mono_now() >= deadline)
        return time_is_up(g, what, err);
    mono_sleep_until(mono_now() + AGAIN_NS);
    return ST_OK;
}

static enum status not_leader(struct group *g, struct err *err)
{
    return err_set(err, ST_RETRY, SQLSTATE_CANNOT_CONNECT_NOW,
                   "this node does not lead group %llu, node %u does",
                   (unsigned long long)group_number(g), group_leader(g));
}

/* The members as they are once no change is under way. */
static enum status settled(struct group *g, struct group_ask *a, int64_t deadline, struct err *err)
{
    enum status st = ST_OK;

    for (;;) {
        members_look(g, a);
        if (!a->leads)
            return not_leader(g, err);
        if (a->settled && !a->config.joint)
            return ST_OK;
        TRY(pause_until(g, deadline, "another change is under way", err));
    }
out:
    return st;
}

/* Proposes until it is taken, and waits until it is in force and chosen. */
static enum status change_to(struct group *g, const struct paxos_config *want, int64_t deadline,
                             struct err *err)
{
    struct group_ask a = {.change = true, .want = *want};
    enum status st = ST_OK;

    for (;;) {
        ask(g, &a);
        if (a.verdict == PAXOS_NOT_LEADER || !a.leads)
            return not_leader(g, err);
        if (a.verdict == PAXOS_FLAWED)
            return err_set(err, ST_REJECT, SQLSTATE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                           "group %llu cannot have these members",
                           (unsigned long long)group_number(g));
        if (a.verdict == PAXOS_TAKEN && a.settled && paxos_config_equal(&a.config, want))
            return ST_OK;
        TRY(pause_until(g, deadline,
                        a.verdict == PAXOS_BEHIND ? "too many voters have not caught up"
                                                  : "the change is not chosen yet",
                        err));
    }
out:
    return st;
}

static struct paxos_member *find(struct paxos_config *c, node_id node)
{
    for (size_t i = 0; i < c->n; i++)
        if (c->members[i].node == node)
            return &c->members[i];
    return NULL;
}

static void take_out(struct paxos_config *c, node_id node)
{
    struct paxos_member *m = find(c, node);

    if (m != NULL)
        *m = c->members[--c->n];
}

enum status members_add(struct group *g, node_id node, int64_t deadline_mono_ns, struct err *err)
{
    struct group_ask a;
    enum status st;

    TRY(settled(g, &a, deadline_mono_ns, err));
    if (find(&a.config, node) != NULL)
        goto out;
    if (a.config.n == PAXOS_MEMBERS_MAX)
        return err_set(err, ST_REJECT, SQLSTATE_PROGRAM_LIMIT_EXCEEDED,
                       "group %llu has %d members already", (unsigned long long)group_number(g),
                       PAXOS_MEMBERS_MAX);
    a.config.members[a.config.n++] =
        (struct paxos_member){.node = node, .part = PAXOS_PART_LEARNER};
    st = change_to(g, &a.config, deadline_mono_ns, err);
out:
    return st;
}

/* Gives the learner a vote, and takes `instead` out (0: nobody). */
static enum status promote(struct group *g, node_id node, node_id instead, int64_t deadline,
                           struct err *err)
{
    struct group_ask a;
    struct paxos_member *m;
    enum status st;

    TRY(settled(g, &a, deadline, err));
    m = find(&a.config, node);
    if (m == NULL)
        return err_set(err, ST_REJECT, SQLSTATE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                       "node %u is no member of group %llu", node,
                       (unsigned long long)group_number(g));
    m->part = PAXOS_PART_VOTER;
    if (instead != 0)
        take_out(&a.config, instead);
    st = change_to(g, &a.config, deadline, err);
out:
    return st;
}

enum status members_promote(struct group *g, node_id node, int64_t deadline_mono_ns,
                            struct err *err)
{
    return promote(g, node, 0, deadline_mono_ns, err);
}

static enum status check_not_self(struct group *g, node_id node, struct err *err)
{
    if (node != group_leader(g))
        return ST_OK;
    return err_set(err, ST_REJECT, SQLSTATE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                   "node %u leads group %llu: let another one lead first", node,
                   (unsigned long long)group_number(g));
}

enum status members_remove(struct group *g, node_id node, int64_t deadline_mono_ns, struct err *err)
{
    struct group_ask a;
    enum status st;

    TRY(settled(g, &a, deadline_mono_ns, err));
    if (find(&a.config, node) == NULL)
        goto out;
    TRY(check_not_self(g, node, err));
    take_out(&a.config, node);
    st = change_to(g, &a.config, deadline_mono_ns, err);
out:
    return st;
}

enum status members_replace(struct group *g, node_id old, node_id new_node,
                            int64_t deadline_mono_ns, struct err *err)
{
    enum status st;

    TRY(check_not_self(g, old, err));
    TRY(members_add(g, new_node, deadline_mono_ns, err));
    st = promote(g, new_node, old, deadline_mono_ns, err);
out:
    return st;
}
