/*
 * What a reading of time costs, beside a bare clock_gettime(CLOCK_REALTIME) in the same run: no more than half as much again,
 * no system call, and sixteen readers as cheap as one. Costs are judged where the compiler optimises, printed elsewhere.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "timesvc/tt.h"

#if defined __OPTIMIZE__ && !defined MRD_SANITIZED
enum { JUDGED = 1 };
#else
enum { JUDGED = 0 };
#endif

enum { CALLS = JUDGED ? 20000 : 2000, ROUNDS = 60, N_READERS = 16 };

static double bare_ns(clockid_t id)
{
    struct timespec ts;
    int64_t sum = 0, cpu = thread_cpu_ns();

    for (int i = 0; i < CALLS; i++) {
        clock_gettime(id, &ts);
        sum += ts.tv_nsec;
    }
    cpu = thread_cpu_ns() - cpu;
    return sum == 0 ? -1 : (double)cpu / CALLS;
}

static double tt_now_ns(struct tt *tt)
{
    int64_t sum = 0, cpu = thread_cpu_ns();

    for (int i = 0; i < CALLS; i++)
        sum += tt_now(tt).latest & 1;
    cpu = thread_cpu_ns() - cpu;
    return sum < 0 ? -1 : (double)cpu / CALLS;
}

static double least(double a, double b)
{
    return a < b ? a : b;
}

static struct tt *open_fixed(void)
{
    struct tt_options opts = {.source = "fixed:1ms"};
    struct tt *tt;

    assert_int_equal(tt_open(&opts, &tt, NULL), ST_OK);
    return tt;
}

/* The best of many short rounds, taken in turns: what a busy machine takes away, it takes from both. */
static void now_costs_little_more_than_a_bare_clock(void **state)
{
    struct tt *tt = open_fixed();
    double tt_best = 1e9, bare_best = 1e9, raw_best = 1e9;

    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        bare_best = least(bare_best, bare_ns(CLOCK_REALTIME));
        tt_best = least(tt_best, tt_now_ns(tt));
        raw_best = least(raw_best, bare_ns(CLOCK_MONOTONIC_RAW));
    }
    print_message(
        "tt_now %.1f ns, clock_gettime REALTIME %.1f ns, MONOTONIC_RAW %.1f ns: ratio %.2f\n",
        tt_best, bare_best, raw_best, tt_best / bare_best);
    if (JUDGED)
        assert_true(tt_best <= 1.5 * bare_best);
    tt_close(tt);
}

static void *read_much(void *arg)
{
    struct tt *tt = arg;
    double *best = malloc(sizeof *best);

    *best = 1e9;
    for (int i = 0; i < ROUNDS; i++)
        *best = least(*best, tt_now_ns(tt));
    return best;
}

static void sixteen_readers_do_not_slow_each_other(void **state)
{
    struct tt *tt = open_fixed();
    pthread_t readers[N_READERS];
    double *alone = read_much(tt), sum = 0;

    (void)state;
    for (int i = 0; i < N_READERS; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, read_much, tt), 0);
    for (int i = 0; i < N_READERS; i++) {
        void *best;

        pthread_join(readers[i], &best);
        sum += *(double *)best;
        free(best);
    }
    print_message("tt_now: alone %.1f ns, one of %d %.1f ns\n", *alone, N_READERS, sum / N_READERS);
    if (JUDGED)
        assert_true(sum / N_READERS <= 1.3 * *alone);
    free(alone);
    tt_close(tt);
}

/* From here on the process is killed at any system call but exit. (Not the strict mode: that forbids rdtsc, too.) */
static int forbid_system_calls(void)
{
    struct sock_filter steps[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    struct sock_fprog program = {.len = sizeof steps / sizeof *steps, .filter = steps};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return -1;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}

static int outcome_of_reading(struct tt *tt, bool call_the_kernel)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        if (forbid_system_calls() != 0)
            syscall(SYS_exit, 2);
        if (call_the_kernel)
            (void)syscall(SYS_getppid);
        for (int i = 0; i < 100000; i++)
            if (tt_is_void(tt_now(tt)) || tt_after(tt, TSTAMP_MAX) || tt_before(tt, 0))
                syscall(SYS_exit, 1);
        syscall(SYS_exit, 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void now_makes_no_system_call(void **state)
{
    struct tt *tt = open_fixed();

    (void)state;
    assert_false(tt_is_void(tt_now(tt))); /* what the linker does at a first call is done */
    assert_int_equal(WTERMSIG(outcome_of_reading(tt, true)), SIGSYS); /* the trap works */
    assert_int_equal(outcome_of_reading(tt, false), 0);
    tt_close(tt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(now_costs_little_more_than_a_bare_clock),
        cmocka_unit_test(sixteen_readers_do_not_slow_each_other),
        cmocka_unit_test(now_makes_no_system_call),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
