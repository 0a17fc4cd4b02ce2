/*
 * meridiand - one node of a Meridian cluster. Everything is in its parts; here are the process's own matters:
 * flags, signals, exit codes.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "tools/meridiand/inspect.h"
#include "tools/meridiand/options.h"
#include "tools/meridiand/server.h"

enum { EXIT_BAD_FLAGS = 64, EXIT_CANNOT_GO_ON = 70 };

/* Before any thread is there, so that all inherit it: signals then come to sigwait alone. */
static void block_signals(sigset_t *out_wait_for)
{
    sigset_t blocked;

    sigemptyset(out_wait_for);
    sigaddset(out_wait_for, SIGTERM);
    sigaddset(out_wait_for, SIGINT);
    blocked = *out_wait_for;
    sigaddset(&blocked, SIGHUP);
    sigaddset(&blocked, SIGPIPE);
    sigaddset(&blocked, SIGUSR1);
    sigaddset(&blocked, SIGUSR2);
    (void)pthread_sigmask(SIG_BLOCK, &blocked, NULL); /* cannot fail for these arguments */
}

/* A connection is a descriptor; the soft limit is often 1024. */
static void raise_descriptor_limit(void)
{
    struct rlimit rl;

    if (getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur < rl.rlim_max) {
        rl.rlim_cur = rl.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &rl); /* refused: then the limit stays */
    }
}

/* The store cannot vouch for its data any more: no destructor may run, no byte may still be written. */
static void die(void *arg, const struct err *err)
{
    log_err(arg, LOG_ERROR, "node.fatal", err);
    _exit(EXIT_CANNOT_GO_ON);
}

static void print_failure(const struct err *err)
{
    (void)fprintf(stderr, "meridiand: %s\n", err->msg);
    if (err->detail[0] != '\0')
        (void)fprintf(stderr, "detail: %s\n", err->detail);
    if (err->hint[0] != '\0')
        (void)fprintf(stderr, "hint: %s\n", err->hint);
}

static int serve(const struct options *opts, const sigset_t *wait_for)
{
    struct logger *log;
    struct server *sv = NULL;
    char name[16];
    struct err err;
    int sig = 0;

    (void)snprintf(name, sizeof name, "%u", opts->node);
    log = log_new(STDERR_FILENO, opts->log_level, name);
    if (server_open(opts, log, die, log, &sv, &err) != ST_OK) {
        log_err(log, LOG_ERROR, "node.open", &err);
        print_failure(&err);
        log_free(log);
        return EXIT_CANNOT_GO_ON;
    }
    (void)printf("meridiand ready node=%u pg=%s rpc=%s pid=%d\n", opts->node, server_pg_addr(sv),
                 opts->listen_rpc, (int)getpid());
    (void)fflush(stdout);
    log_event(log, LOG_INFO, "node.ready", "pg=%s rpc=%s", server_pg_addr(sv), opts->listen_rpc);
    (void)sigwait(wait_for, &sig); /* fails only for a signal set that does not exist */
    log_event(log, LOG_INFO, "node.stop", "signal=%d", sig);
    server_close(sv);
    log_event(log, LOG_INFO, "node.stopped", "pid=%d", (int)getpid());
    log_free(log);
    return EXIT_SUCCESS;
}

static int inspect(const struct options *opts)
{
    struct err err;

    if (inspect_directory(opts->data, opts->inspect, &err) == ST_OK)
        return EXIT_SUCCESS;
    print_failure(&err);
    return EXIT_CANNOT_GO_ON;
}

int main(int argc, char **argv)
{
    struct options opts;
    struct err err;
    sigset_t wait_for;
    int rc = EXIT_SUCCESS;

    block_signals(&wait_for);
    raise_descriptor_limit();
    options_init(&opts);
    switch (options_parse(&opts, argc, argv, &err)) {
    case OPTIONS_RUN:
        rc = opts.inspect != NULL ? inspect(&opts) : serve(&opts, &wait_for);
        break;
    case OPTIONS_HELP:
        options_help(stdout);
        break;
    case OPTIONS_VERSION:
        (void)printf("meridiand 0.1.0\n");
        break;
    case OPTIONS_BAD:
        print_failure(&err);
        (void)fprintf(stderr, "hint: meridiand --help lists the flags\n");
        rc = EXIT_BAD_FLAGS;
        break;
    }
    options_fini(&opts);
    return rc;
}
