#include "storage/waker.h"

#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

enum { AWAKE, CALLED, ASLEEP };

static void futex(struct waker *w, int op, uint32_t value, const struct timespec *timeout)
{
    /* A wait that ends early, for whatever reason, is a wake-up without a call: the waiter looks and
     * waits again. */
    (void)syscall(SYS_futex, &w->word, op, value, timeout, NULL, 0);
}

void waker_call(struct waker *w)
{
    if (atomic_exchange(&w->word, CALLED) == ASLEEP)
        futex(w, FUTEX_WAKE_PRIVATE, 1, NULL);
}

void waker_wait(struct waker *w, int64_t timeout_ns)
{
    struct timespec ts = {timeout_ns / NS_PER_S, timeout_ns % NS_PER_S};
    uint32_t awake = AWAKE;

    if (timeout_ns != 0 && atomic_compare_exchange_strong(&w->word, &awake, ASLEEP))
        futex(w, FUTEX_WAIT_PRIVATE, ASLEEP, timeout_ns < 0 ? NULL : &ts);
    atomic_store(&w->word, AWAKE);
}
