/*
 * clock_history.c - the command: records what clients see while clocks lie, and judges it.
 *
 *     clock_history prepare HOSTS                     makes the tables
 *     clock_history record HOSTS CLIENTS SEED PAUSE_US
 *                                                     until standard input ends; the history goes to standard output
 *     clock_history check BOUND_US TOLERANCE_US FILE...
 *                                                     0: it can have happened; 1: it cannot, and why
 *     clock_history now                               monotonic time and the wall clock, ns
 *
 * Exit 2: trouble of its own.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/clock/history.h"
#include "tests/clock/record.h"

enum { KEYS = 6 };

static int usage(void)
{
    fprintf(stderr, "usage: clock_history prepare HOSTS | record HOSTS CLIENTS SEED PAUSE_US | "
                    "check BOUND_US TOLERANCE_US FILE... | now\n");
    return 2;
}

static bool read_files(struct history *h, char **paths, int n)
{
    bool ok = true;

    for (int i = 0; ok && i < n; i++) {
        FILE *f = fopen(paths[i], "re");

        if (f == NULL) {
            fprintf(stderr, "clock_history: %s: %s\n", paths[i], strerror(errno));
            return false;
        }
        ok = history_read(h, f, stderr);
        fclose(f);
    }
    return ok;
}

static int check(char **argv, int argc)
{
    struct h_check how = {.complaints = stdout};
    struct h_verdict v;
    struct history h;

    if (argc < 3)
        return usage();
    how.bound_ns = strtoll(argv[0], NULL, 10) * NS_PER_US;
    how.tolerance_ns = strtoll(argv[1], NULL, 10) * NS_PER_US;
    history_init(&h);
    if (!read_files(&h, argv + 2, argc - 2)) {
        history_fini(&h);
        return 2;
    }
    v = history_check(&h, &how);
    printf("violations=%ld acked=%ld not_done=%ld in_doubt=%ld reads=%ld reads_refused=%ld "
           "unexplained=%ld admitted=%ld early_stamps=%ld wait_min_us=%" PRId64
           " wait_max_us=%" PRId64 "\n",
           v.violations, v.acked, v.not_done, v.in_doubt, v.reads, v.reads_refused, v.unexplained,
           v.admitted, v.early_stamps, v.wait_min_ns / 1000, v.wait_max_ns / 1000);
    history_fini(&h);
    return v.violations == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct record_options o = {
        .keys = KEYS, .clients = 1, .stop_fd = STDIN_FILENO, .out = stdout, .seed = 1};
    struct timespec wall = {0};

    if (argc == 2 && strcmp(argv[1], "now") == 0) {
        (void)clock_gettime(CLOCK_REALTIME, &wall); /* cannot fail for this clock */
        printf("%" PRId64 " %" PRId64 "\n", mono_now(),
               (int64_t)wall.tv_sec * NS_PER_S + wall.tv_nsec);
        return 0;
    }
    if (argc >= 2 && strcmp(argv[1], "check") == 0)
        return check(argv + 2, argc - 2);
    if (argc < 3)
        return usage();
    o.hosts = argv[2];
    if (argc == 3 && strcmp(argv[1], "prepare") == 0)
        return record_prepare(&o) ? 0 : 2;
    if (argc != 6 || strcmp(argv[1], "record") != 0)
        return usage();
    o.clients = (int)strtol(argv[3], NULL, 10);
    o.seed = strtoull(argv[4], NULL, 10);
    o.pause_ns = strtoll(argv[5], NULL, 10) * NS_PER_US;
    return record_run(&o) ? 0 : 2;
}
