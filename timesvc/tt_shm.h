/*
 * tt_shm.h - the page of time in a file, from one publisher to the readers of other processes. For timesvc/.
 *
 * A small versioned file that is mapped: a header (magic, version, size, the boot that its MONOTONIC_RAW readings
 * belong to), the page, and what a person wants to know about it. One publisher at a time: it holds a lock on the
 * file. A publisher that dies leaves a mapping that ends by itself; its successor goes on in the same file.
 * The file must not be truncated while it is mapped. Thread: open, close and facts belong to one thread; the page
 * is as tt_page.h says.
 */
#ifndef MRD_TIMESVC_TT_SHM_H
#define MRD_TIMESVC_TT_SHM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "timesvc/tt_page.h"

/* Beside the page: why it is what it is. Words only, no padding: it crosses a process boundary. */
struct tt_facts {
    int64_t verdict; /* enum tt_verdict */
    int64_t said_ns, said_raw_ns;
    int64_t ref_raw_ns; /* -1: not told */
    int64_t ref_id, stratum, leap_announced;
    int64_t n_reports, n_unusable, n_restarts, n_steps;
    char via[128];
    char note[128];
};
enum { TT_FACTS_WORDS = sizeof(struct tt_facts) / sizeof(uint64_t) };

struct tt_shm;

/* For the publisher. Makes the file if it is not there (readable by all), takes over one that an earlier publisher left,
 * replaces one of another version. ST_REJECT: 55006 if another publisher lives, 58030 if the file cannot be made. */
enum status tt_shm_publish(const char *path, struct tt_shm **out, struct err *err) MRD_CHECKED;
/* For a reader. ST_RETRY 58030: there is no such file yet. ST_REJECT: 42501 if others than root or this user could have
 * written it, XX001 if it is something else, or of another version, or of an earlier boot. */
enum status tt_shm_open(const char *path, struct tt_shm **out, struct err *err) MRD_CHECKED;
void tt_shm_close(struct tt_shm *shm);

/* Constant while open; of a reader, mapped read-only. */
struct tt_page *tt_shm_page(struct tt_shm *shm);
/* True if the path names another file by now. */
bool tt_shm_is_replaced(const struct tt_shm *shm, const char *path);

void tt_shm_put_facts(struct tt_shm *shm, const struct tt_facts *facts);
/* Texts end in a zero byte and the verdict is one, whatever the file says. */
void tt_shm_get_facts(const struct tt_shm *shm, struct tt_facts *out);

#endif
