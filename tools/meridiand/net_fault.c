#include "tools/meridiand/net_fault.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "storage/waker.h"
#include "tools/meridiand/units.h"

#define LOOK_EVERY_NS (50 * (int64_t)1000000)

struct net_fault {
    const char *path;
    struct rpc *rpc;
    struct logger *log;
    pthread_t thread;
    struct waker waker;
    atomic_bool stop;
    /* The thread's. */
    char text[NET_FAULT_BYTES], seen[NET_FAULT_BYTES];
    bool refused; /* and said so; until the file is another one */
    struct net_fault_line lines[NET_FAULT_LINES];
};

/* Parsing. */

static bool probability(const char *text, double *out)
{
    char *end;

    *out = strtod(text, &end);
    return end != text && *end == '\0' && *out >= 0 && *out <= 1;
}

static bool parse_word(const char *word, struct rpc_fault *f)
{
    if (strcmp(word, "cut") == 0) {
        f->cut = true;
        return true;
    }
    if (strncmp(word, "drop=", 5) == 0)
        return probability(word + 5, &f->drop);
    if (strncmp(word, "duplicate=", 10) == 0)
        return probability(word + 10, &f->duplicate);
    if (strncmp(word, "reorder=", 8) == 0)
        return probability(word + 8, &f->reorder);
    if (strncmp(word, "delay=", 6) == 0)
        return units_duration(word + 6, 0, &f->delay_ns, NULL) == ST_OK && f->delay_ns >= 0;
    return false;
}

static bool parse_line(char *line, struct net_fault_line *out)
{
    char *at = NULL, *word = strtok_r(line, " \t", &at);
    int64_t peer;

    *out = (struct net_fault_line){0};
    if (word == NULL || units_number("a node", word, 0, UINT32_MAX, &peer, NULL) != ST_OK)
        return false;
    out->peer = (node_id)peer;
    while ((word = strtok_r(NULL, " \t", &at)) != NULL)
        if (!parse_word(word, &out->fault))
            return false;
    return true;
}

enum status net_fault_parse(char *text, struct net_fault_line lines[NET_FAULT_LINES], size_t *out_n,
                            struct err *err)
{
    char *at = NULL;
    size_t n = 0;

    for (char *line = strtok_r(text, "\n", &at); line != NULL; line = strtok_r(NULL, "\n", &at)) {
        if (n == NET_FAULT_LINES || !parse_line(line, &lines[n]))
            return err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                           "line %zu of the network's faults makes no sense", n + 1);
        n++;
    }
    *out_n = n;
    return ST_OK;
}

/* Following the file. */

/* The whole file as a string; empty if there is none. False, with why: it is too long, or cannot be read. */
static bool read_file(struct net_fault *nf, const char **out_why)
{
    int fd = open(nf->path, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    nf->text[0] = '\0';
    *out_why = strerror(errno);
    if (fd < 0)
        return errno == ENOENT;
    n = read(fd, nf->text, sizeof nf->text);
    *out_why = n < 0 ? strerror(errno) : "it is too long";
    (void)close(fd); /* read only */
    if (n < 0 || (size_t)n == sizeof nf->text)
        return false;
    nf->text[n] = '\0';
    return true;
}

static void refuse(struct net_fault *nf, const char *why)
{
    if (!nf->refused)
        log_event(nf->log, LOG_ERROR, "net.fault", "error=\"%s\"", why);
    nf->refused = true;
}

static void apply(struct net_fault *nf, size_t n)
{
    static const struct rpc_fault none = {0};

    rpc_set_fault(nf->rpc, 0, &none);
    for (size_t i = 0; i < n; i++)
        rpc_set_fault(nf->rpc, nf->lines[i].peer, &nf->lines[i].fault);
}

static void look(struct net_fault *nf)
{
    const char *why;
    struct err err;
    size_t n;

    if (!read_file(nf, &why)) {
        refuse(nf, why);
        return;
    }
    if (strcmp(nf->text, nf->seen) == 0)
        return;
    memcpy(nf->seen, nf->text, sizeof nf->seen);
    nf->refused = false;
    if (net_fault_parse(nf->text, nf->lines, &n, &err) != ST_OK) {
        refuse(nf, err.msg);
        return;
    }
    apply(nf, n);
    log_event(nf->log, LOG_WARN, "net.fault", "lines=%zu", n);
}

static void *run(void *arg)
{
    struct net_fault *nf = arg;

    (void)pthread_setname_np(pthread_self(), "mrd-netfault");
    while (!atomic_load(&nf->stop)) {
        look(nf);
        waker_wait(&nf->waker, LOOK_EVERY_NS);
    }
    return NULL;
}

enum status net_fault_start(const char *path, struct rpc *rpc, struct logger *log,
                            struct net_fault **out, struct err *err)
{
    struct net_fault *nf = xcalloc(1, sizeof *nf);
    int rc;

    nf->path = path;
    nf->rpc = rpc;
    nf->log = log;
    rc = pthread_create(&nf->thread, NULL, run, nf);
    if (rc != 0) {
        free(nf);
        return err_set(err, ST_FATAL, SQLSTATE_INTERNAL_ERROR, "no thread for the faults: %s",
                       strerror(rc));
    }
    *out = nf;
    return ST_OK;
}

void net_fault_stop(struct net_fault *nf)
{
    if (nf == NULL)
        return;
    atomic_store(&nf->stop, true);
    waker_call(&nf->waker);
    pthread_join(nf->thread, NULL);
    free(nf);
}
