/*
 * clock.h - the monotonic clock for timers and deadlines. Calendar time is timesvc's alone.
 */
#ifndef MRD_BASE_CLOCK_H
#define MRD_BASE_CLOCK_H

#include <stdint.h>

/* CLOCK_MONOTONIC_RAW in nanoseconds: never stepped, never slewed. */
int64_t mono_now(void);
/* Sleeps until mono_now() >= until_ns; overshoots by 70 us and more. */
void mono_sleep_until(int64_t until_ns);
/* CPU time of the calling thread, ns. */
int64_t thread_cpu_ns(void);

enum { NS_PER_US = 1000, NS_PER_MS = 1000000, NS_PER_S = 1000000000 };

#endif
