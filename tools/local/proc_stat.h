/*
 * proc_stat.h - what processes have used, from /proc: CPU by kind of thread, memory, disk flushes. Thread: any.
 */
#ifndef MRD_TOOLS_LOCAL_PROC_STAT_H
#define MRD_TOOLS_LOCAL_PROC_STAT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { PROC_KINDS_MAX = 32 };

/* Threads of one name, of all processes together. "other" is what has ended since. */
struct proc_kind {
    char name[16];
    double cpu_s; /* exact */
    double user_s,
        sys_s; /* by the clock's ticks, 10 ms each: proc_usage_since() makes them add up to cpu_s */
};

struct proc_usage {
    double cpu_s; /* user and system, of all processes */
    struct proc_kind kind[PROC_KINDS_MAX];
    size_t n_kinds;
    double pss_mib, rss_mib;
};

void proc_usage_of(const pid_t *pids, size_t n, struct proc_usage *out);
/* a - b; kinds matched by name; memory is a's. */
struct proc_usage proc_usage_since(const struct proc_usage *a, const struct proc_usage *b);

/* Flushes and sectors written of the disk that holds `path`; zeros if the kernel does not say. */
struct disk_usage {
    int64_t flushes, sectors_written;
};
struct disk_usage disk_usage_of(const char *path);

#endif
