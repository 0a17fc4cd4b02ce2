#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

#include "base/clock.h"
#include "storage/waker.h"

static void call_before_wait_is_not_lost(void **state)
{
    struct waker w = {0};
    int64_t began = mono_now();

    (void)state;
    waker_call(&w);
    waker_call(&w);
    waker_wait(&w, 60LL * NS_PER_S);
    assert_true(mono_now() - began < 30LL * NS_PER_S);
}

static void wait_without_call_ends_by_time(void **state)
{
    struct waker w = {0};
    int64_t began = mono_now(), waited;

    (void)state;
    while ((waited = mono_now() - began) < 20 * NS_PER_MS)
        waker_wait(&w, 20 * NS_PER_MS - waited);
    waker_wait(&w, 0); /* returns at once */
    assert_true(mono_now() - began < 30LL * NS_PER_S);
}

enum { ITEMS = 20000 };

struct feed {
    struct waker w;
    atomic_int n_put;
};

static void *put_items(void *arg)
{
    struct feed *f = arg;

    for (int i = 0; i < ITEMS; i++) {
        atomic_fetch_add(&f->n_put, 1);
        waker_call(&f->w);
    }
    return NULL;
}

/* The waiter sleeps without a limit: one lost call and it never ends. */
static void no_call_of_another_thread_is_lost(void **state)
{
    struct feed f = {0};
    pthread_t thread;
    int seen = 0;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, put_items, &f), 0);
    while (seen < ITEMS) {
        waker_wait(&f.w, -1);
        seen = atomic_load(&f.n_put);
    }
    pthread_join(thread, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(call_before_wait_is_not_lost),
        cmocka_unit_test(wait_without_call_ends_by_time),
        cmocka_unit_test(no_call_of_another_thread_is_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
