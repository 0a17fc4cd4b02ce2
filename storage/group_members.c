#include "storage/group_int.h"

#include "storage/store_int.h"

static void refuse(struct group_ask *a)
{
    a->verdict = PAXOS_NOT_LEADER;
    a->leads = a->settled = false;
    a->n_peers = 0;
    a->done(a);
}

void group_ask(struct group *g, struct group_ask *a)
{
    bool over;

    pthread_mutex_lock(&g->mu);
    over = g->asks_over;
    if (!over) {
        a->next = g->asks;
        g->asks = a;
        atomic_store(&g->asked, 1);
    }
    pthread_mutex_unlock(&g->mu);
    if (over)
        refuse(a);
    else
        worker_call(g->worker, g);
}

static void answer(struct group *g, struct group_ask *a)
{
    struct paxos_in in = {.kind = PAXOS_IN_RECONFIGURE, .config = &a->want};
    const struct paxos_config *config;

    if (a->change) {
        group_step(g, &in);
        a->verdict = g->view.verdict;
        group_settle_role(g);
    }
    a->config_slot = 0;
    config = paxos_config_at(g->paxos, g->view.last, &a->config_slot);
    a->config = config != NULL ? *config : (struct paxos_config){.n = 0};
    a->settled = a->config_slot <= g->view.chosen;
    a->leads = g->up_term != 0;
    a->last = g->view.last;
    a->chosen = g->view.chosen;
    a->n_peers = paxos_peers(g->paxos, a->peers, PAXOS_MEMBERS_MAX);
    a->done(a);
}

static struct group_ask *take_asks(struct group *g, bool over)
{
    struct group_ask *a;

    pthread_mutex_lock(&g->mu);
    a = g->asks;
    g->asks = NULL;
    g->asks_over |= over;
    pthread_mutex_unlock(&g->mu);
    return a;
}

void group_answer(struct group *g)
{
    struct group_ask *a, *next;

    if (atomic_load_explicit(&g->asked, memory_order_relaxed) == 0)
        return;
    atomic_store(&g->asked, 0);
    for (a = take_asks(g, false); a != NULL; a = next) {
        next = a->next; /* `done` may free it */
        answer(g, a);
    }
}

void group_refuse_asks(struct group *g)
{
    struct group_ask *a, *next;

    for (a = take_asks(g, true); a != NULL; a = next) {
        next = a->next;
        refuse(a);
    }
}
