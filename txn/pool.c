#include "txn/pool.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/check.h"

enum { IDLE, QUEUED, RUNNING, AGAIN };

struct pool {
    pthread_mutex_t mu; /* lock 6: a leaf; guards what follows */
    pthread_cond_t work;
    struct job *head, **tail;
    unsigned n_idle;
    bool stop;
    unsigned n_threads; /* the owner's */
    pthread_t threads[];
};

static struct job *pop(struct pool *p)
{
    struct job *j;

    pthread_mutex_lock(&p->mu);
    while (p->head == NULL && !p->stop) {
        p->n_idle++;
        pthread_cond_wait(&p->work, &p->mu);
        p->n_idle--;
    }
    j = p->head;
    if (j != NULL) {
        p->head = j->next;
        if (p->head == NULL)
            p->tail = &p->head;
    }
    pthread_mutex_unlock(&p->mu);
    return j;
}

static void run_job(struct job *j)
{
    uint32_t running;

    do {
        atomic_store(&j->state, RUNNING);
        if (j->run(j))
            return;
        running = RUNNING;
    } while (!atomic_compare_exchange_strong(&j->state, &running, IDLE));
}

static void *run_thread(void *arg)
{
    struct pool *p = arg;
    struct job *j;

    (void)pthread_setname_np(pthread_self(), "mrd-txn");
    while ((j = pop(p)) != NULL)
        run_job(j);
    return NULL;
}

struct pool *pool_new(unsigned n_threads)
{
    struct pool *p = xcalloc(1, sizeof *p + n_threads * sizeof p->threads[0]);

    pthread_mutex_init(&p->mu, NULL);
    pthread_cond_init(&p->work, NULL);
    p->tail = &p->head;
    p->n_threads = n_threads;
    for (unsigned i = 0; i < n_threads; i++) {
        int rc = pthread_create(&p->threads[i], NULL, run_thread, p);

        ASSERT(rc == 0);
    }
    return p;
}

void pool_stop(struct pool *p)
{
    pthread_mutex_lock(&p->mu);
    p->stop = true;
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->mu);
    for (unsigned i = 0; i < p->n_threads; i++)
        pthread_join(p->threads[i], NULL);
    p->n_threads = 0;
}

void pool_free(struct pool *p)
{
    if (p == NULL)
        return;
    ASSERT(p->n_threads == 0);
    pthread_cond_destroy(&p->work);
    pthread_mutex_destroy(&p->mu);
    free(p);
}

static void push(struct pool *p, struct job *j)
{
    bool wake;

    pthread_mutex_lock(&p->mu);
    j->next = NULL;
    *p->tail = j;
    p->tail = &j->next;
    wake = p->n_idle > 0;
    pthread_mutex_unlock(&p->mu);
    if (wake)
        pthread_cond_signal(&p->work);
}

void job_init(struct job *j, struct pool *p, bool (*run)(struct job *j))
{
    *j = (struct job){.run = run, .pool = p};
}

void job_init_own(struct job *j)
{
    *j = (struct job){.run = NULL};
}

void job_kick(struct job *j)
{
    uint32_t state = atomic_load(&j->state);

    if (j->pool == NULL) {
        waker_call(&j->waker);
        return;
    }
    for (;;) {
        if (state == QUEUED || state == AGAIN)
            return;
        if (atomic_compare_exchange_strong(&j->state, &state, state == IDLE ? QUEUED : AGAIN))
            break;
    }
    if (state == IDLE)
        push(j->pool, j);
}

void job_sleep(struct job *j, int64_t timeout_ns)
{
    waker_wait(&j->waker, timeout_ns);
}
