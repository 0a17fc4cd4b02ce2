#include "tools/meridian/timed.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "timesvc/tt.h"

enum { EXIT_USAGE = 64, EXIT_CANNOT = 70, DRIFT_MAX_PPM = 500 };

static const char usage[] =
    "usage: meridian timed --page FILE [flags]\n\n"
    "Publishes the time of this machine, and how wrong it may be, on a page of shared memory for "
    "meridiand\n"
    "--time page:FILE. Sets no clock and needs no privilege but to ask its source and to write the "
    "page.\n\n"
    "  --page FILE       absolute path, best on tmpfs; made if it is not there, readable by all\n"
    "  --source SOURCE   auto (default), chrony[:SOCKET|:HOST:PORT], clockbound[:PAGE], kernel, "
    "fixed:EPS\n"
    "  --drift PPM       worst rate error of this machine's oscillator (default 50)\n"
    "  --log-level LEVEL error, warn, info (default), debug\n";

static const struct option longopts[] = {
    {"page", required_argument, NULL, 'p'},  {"source", required_argument, NULL, 's'},
    {"drift", required_argument, NULL, 'd'}, {"log-level", required_argument, NULL, 'l'},
    {"help", no_argument, NULL, 'h'},        {NULL, 0, NULL, 0},
};

struct timed_flags {
    struct tt_options tt;
    enum log_level level;
    bool help;
};

static bool take_drift(struct timed_flags *f, const char *text)
{
    char *end = NULL;
    long ppm;

    errno = 0;
    ppm = strtol(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || ppm < 1 || ppm > DRIFT_MAX_PPM)
        return false;
    f->tt.drift_ppb = (int64_t)ppm * 1000;
    return true;
}

static bool take_level(struct timed_flags *f, const char *text)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(text, names[i]) == 0) {
            f->level = (enum log_level)i;
            return true;
        }
    return false;
}

static bool take_flags(struct timed_flags *f, int argc, char **argv)
{
    int ch;

    optind = 0; /* GNU: start afresh */
    while ((ch = getopt_long(argc, argv, "", longopts, NULL)) != -1) {
        bool good = true;

        if (ch == 'p')
            f->tt.publish = optarg;
        else if (ch == 's')
            f->tt.source = optarg;
        else if (ch == 'd')
            good = take_drift(f, optarg);
        else if (ch == 'l')
            good = take_level(f, optarg);
        else if (ch == 'h')
            f->help = true;
        else
            return false; /* getopt said why */
        if (!good) {
            (void)fprintf(stderr, "meridian timed: invalid value \"%s\"\n", optarg);
            return false;
        }
    }
    if (optind < argc || (!f->help && (f->tt.publish == NULL || f->tt.publish[0] != '/'))) {
        (void)fputs("meridian timed: --page wants an absolute path\n", stderr);
        return false;
    }
    return true;
}

static int publish(const struct timed_flags *f)
{
    struct tt *tt = NULL;
    struct tt_report r;
    struct err err;
    sigset_t stop;
    int sig = 0;

    /* Before the poller is there: it inherits the mask, and signals come to sigwait alone. */
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    (void)pthread_sigmask(SIG_BLOCK, &stop, NULL); /* cannot fail for these arguments */
    if (tt_open(&f->tt, &tt, &err) != ST_OK) {
        (void)fprintf(stderr, "meridian timed: %s\n", err.msg);
        return EXIT_CANNOT;
    }
    tt_describe(tt, &r);
    (void)printf("meridian timed ready page=%s source=%s via=%s bound_us=%" PRId64 " pid=%d\n",
                 f->tt.publish, r.source, r.via, r.bound_ns < 0 ? -1 : r.bound_ns / 1000,
                 (int)getpid());
    (void)fflush(stdout);
    (void)sigwait(&stop, &sig); /* fails only for a signal set that does not exist */
    log_event(f->tt.log, LOG_INFO, "timed.stop", "signal=%d", sig);
    tt_close(tt); /* the last mapping stays, and ends by itself: a successor may take over before */
    return EXIT_SUCCESS;
}

int cmd_timed(int argc, char **argv)
{
    struct timed_flags f = {.tt = {.source = "auto"}, .level = LOG_INFO};
    int rc;

    if (!take_flags(&f, argc, argv)) {
        (void)fputs(usage, stderr);
        return EXIT_USAGE;
    }
    if (f.help) {
        (void)fputs(usage, stdout);
        return EXIT_SUCCESS;
    }
    f.tt.log = log_new(STDERR_FILENO, f.level, NULL);
    rc = publish(&f);
    log_free(f.tt.log);
    return rc;
}
