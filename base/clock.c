#include "base/clock.h"

#include <errno.h>
#include <time.h>

static int64_t read_clock(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

int64_t mono_now(void)
{
    return read_clock(CLOCK_MONOTONIC_RAW);
}

void mono_sleep_until(int64_t until_ns)
{
    int64_t left;

    /* The raw clock cannot be slept on; its distance to a sleepable clock is taken anew each round. */
    while ((left = until_ns - mono_now()) > 0) {
        struct timespec ts = {left / NS_PER_S, left % NS_PER_S};

        (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL); /* an early wake-up loops */
    }
}

int64_t thread_cpu_ns(void)
{
    return read_clock(CLOCK_THREAD_CPUTIME_ID);
}
