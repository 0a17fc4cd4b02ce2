/*
 * waker.h - how one thread sleeps until others have work for it: one system call per sleep, none per item.
 *
 * A caller first puts its item where the sleeper will look, then calls. Calls while the sleeper is awake
 * cost one exchange of a word. Threads: any thread calls; one thread waits.
 */
#ifndef MRD_STORAGE_WAKER_H
#define MRD_STORAGE_WAKER_H

#include <stdatomic.h>
#include <stdint.h>

struct waker {
    _Atomic uint32_t word; /* zero is good */
};

void waker_call(struct waker *w);
/* Returns at once if there was a call since the last wait; otherwise sleeps until one, or for about
 * timeout_ns (negative: for ever), or for no reason at all. */
void waker_wait(struct waker *w, int64_t timeout_ns);

#endif
