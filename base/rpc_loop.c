#include <errno.h>
#include <time.h>

#include "base/check.h"
#include "base/rpc_int.h"

void loop_init(struct loop *loop, int64_t (*tick)(void *arg, int64_t now), void *arg)
{
    pthread_condattr_t attr;

    loop->head = NULL;
    loop->tail = &loop->head;
    loop->wake_at = 0;
    loop->stop = loop->waiting = loop->started = false;
    loop->tick = tick;
    loop->arg = arg;
    pthread_mutex_init(&loop->mu, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&loop->cond, &attr);
    pthread_condattr_destroy(&attr);
}

void loop_fini(struct loop *loop)
{
    ASSERT(loop->head == NULL);
    pthread_cond_destroy(&loop->cond);
    pthread_mutex_destroy(&loop->mu);
}

static struct loop_ev *take_all(struct loop *loop)
{
    struct loop_ev *ev;

    pthread_mutex_lock(&loop->mu);
    ev = loop->head;
    loop->head = NULL;
    loop->tail = &loop->head;
    pthread_mutex_unlock(&loop->mu);
    return ev;
}

bool loop_drain(struct loop *loop)
{
    struct loop_ev *ev = take_all(loop), *next;
    bool any = ev != NULL;

    for (; ev != NULL; ev = next) {
        next = ev->next; /* run may free it or post it again */
        ev->run(ev);
    }
    return any;
}

/* The raw clock cannot be waited on: its distance is added to the one that can. */
static void wait_until_locked(struct loop *loop, int64_t wake_at)
{
    const int64_t longest = (int64_t)NS_PER_S * 60;
    int64_t left = wake_at - mono_now();
    struct timespec ts;

    if (left <= 0)
        return;
    left = left > longest ? longest : left;
    ASSERT(clock_gettime(CLOCK_MONOTONIC, &ts) == 0);
    left += ts.tv_nsec;
    ts.tv_sec += left / NS_PER_S;
    ts.tv_nsec = left % NS_PER_S;
    loop->waiting = true;
    (void)pthread_cond_timedwait(&loop->cond, &loop->mu, &ts); /* the loop looks for itself */
    loop->waiting = false;
}

static void tick_if_due(struct loop *loop)
{
    int64_t now = mono_now(), next;
    bool due;

    pthread_mutex_lock(&loop->mu);
    due = now >= loop->wake_at;
    if (due)
        loop->wake_at = INT64_MAX;
    pthread_mutex_unlock(&loop->mu);
    if (due) {
        next = loop->tick(loop->arg, now);
        loop_wake_by(loop, next);
    }
}

static void *loop_main(void *arg)
{
    struct loop *loop = arg;
    bool stop = false;

    (void)pthread_setname_np(pthread_self(), "mrd-rpc");
    while (!stop) {
        (void)loop_drain(loop); /* whether there was anything does not matter here */
        tick_if_due(loop);
        pthread_mutex_lock(&loop->mu);
        if (!loop->stop && loop->head == NULL)
            wait_until_locked(loop, loop->wake_at);
        stop = loop->stop;
        pthread_mutex_unlock(&loop->mu);
    }
    return NULL;
}

void loop_start(struct loop *loop)
{
    ASSERT(!loop->started);
    ASSERT(pthread_create(&loop->thread, NULL, loop_main, loop) == 0);
    loop->started = true;
}

void loop_stop(struct loop *loop)
{
    if (!loop->started)
        return;
    pthread_mutex_lock(&loop->mu);
    loop->stop = true;
    pthread_cond_signal(&loop->cond);
    pthread_mutex_unlock(&loop->mu);
    pthread_join(loop->thread, NULL);
    loop->started = false;
}

void loop_post(struct loop *loop, struct loop_ev *ev)
{
    ev->next = NULL;
    pthread_mutex_lock(&loop->mu);
    *loop->tail = ev;
    loop->tail = &ev->next;
    if (loop->waiting)
        pthread_cond_signal(&loop->cond);
    pthread_mutex_unlock(&loop->mu);
}

void loop_wake_by(struct loop *loop, int64_t at)
{
    pthread_mutex_lock(&loop->mu);
    if (at < loop->wake_at) {
        loop->wake_at = at;
        if (loop->waiting)
            pthread_cond_signal(&loop->cond);
    }
    pthread_mutex_unlock(&loop->mu);
}
