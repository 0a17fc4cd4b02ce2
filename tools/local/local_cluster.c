#include "tools/local/local_cluster.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "meridian.h"

enum { STOP_MS = 10000, ARGS_MAX = 64, POLL_MS = 20 };

struct local_node {
    pid_t pid;  /* 0: not running */
    int out_fd; /* its standard output; -1 */
    int pg_port, rpc_port;
};

struct local_cluster {
    struct local_options opts;
    char dir[256];
    bool own_dir;
    char binary[544];
    struct local_node node[LOCAL_NODES_MAX + 1]; /* 1.. */
};

enum status local_find_server(char *out, size_t size, struct err *err)
{
    static const char *const places[] = {"meridiand", "../meridiand/meridiand"};
    char self[512];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    char *slash;

    if (n <= 0)
        return err_set(err, ST_REJECT, SQLSTATE_INTERNAL_ERROR, "cannot read /proc/self/exe");
    self[n] = '\0';
    slash = strrchr(self, '/');
    slash[1] = '\0';
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        (void)snprintf(out, size, "%s%s", self, places[i]);
        if (access(out, X_OK) == 0)
            return ST_OK;
    }
    return err_set(err, ST_REJECT, SQLSTATE_UNDEFINED_OBJECT, "meridiand is not beside %s", self);
}

/* Ports that are free now: all are held at once, so that they differ. */
static enum status reserve_ports(struct local_cluster *lc, struct err *err)
{
    int fd[2 * LOCAL_NODES_MAX], n = 2 * lc->opts.n_nodes, made = 0;
    enum status st = ST_OK;

    for (; made < n; made++) {
        struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t len = sizeof sa;
        struct local_node *node = &lc->node[1 + made / 2];

        fd[made] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd[made] < 0 || bind(fd[made], (struct sockaddr *)&sa, sizeof sa) != 0 ||
            getsockname(fd[made], (struct sockaddr *)&sa, &len) != 0) {
            st = err_set(err, ST_REJECT, SQLSTATE_INTERNAL_ERROR, "no free port: %s",
                         strerror(errno));
            if (fd[made] >= 0)
                (void)close(fd[made]);
            break;
        }
        if (made % 2 == 0)
            node->pg_port = ntohs(sa.sin_port);
        else
            node->rpc_port = ntohs(sa.sin_port);
    }
    while (made > 0)
        (void)close(fd[--made]);
    return st;
}

static enum status make_dir(struct local_cluster *lc, struct err *err)
{
    const char *tmp = getenv("TMPDIR");

    if (lc->opts.dir != NULL) {
        (void)snprintf(lc->dir, sizeof lc->dir, "%s", lc->opts.dir);
        if (mkdir(lc->dir, 0700) == 0 || errno == EEXIST)
            return ST_OK;
    } else {
        (void)snprintf(lc->dir, sizeof lc->dir, "%s/meridian-XXXXXX",
                       tmp != NULL && *tmp != '\0' ? tmp : "/var/tmp");
        lc->own_dir = mkdtemp(lc->dir) != NULL;
        if (lc->own_dir)
            return ST_OK;
    }
    return err_set(err, ST_REJECT, SQLSTATE_IO_ERROR, "cannot make directory \"%s\": %s", lc->dir,
                   strerror(errno));
}

enum status local_cluster_new(const struct local_options *opts, struct local_cluster **out,
                              struct err *err)
{
    struct local_cluster *lc = xcalloc(1, sizeof *lc);
    enum status st;

    lc->opts = *opts;
    for (int i = 0; i <= LOCAL_NODES_MAX; i++)
        lc->node[i].out_fd = -1;
    ASSERT(opts->n_nodes >= 1 && opts->n_nodes <= LOCAL_NODES_MAX);
    TRY(local_find_server(lc->binary, sizeof lc->binary, err));
    TRY(make_dir(lc, err));
    TRY(reserve_ports(lc, err));
    *out = lc;
out:
    if (st != ST_OK)
        local_cluster_free(lc, false);
    return st;
}

/* The server's command line; texts go into `text`, which the arguments point into. */
static void make_args(const struct local_cluster *lc, int node, char **args, char *text,
                      size_t size)
{
    const struct local_options *o = &lc->opts;
    int n = 0;
    char *at = text;

#define ARG(...) (args[n++] = at, at += 1 + snprintf(at, size - (size_t)(at - text), __VA_ARGS__))
    ARG("%s", lc->binary);
    ARG("--node=%d", node);
    ARG("--cluster=local");
    ARG("--data=%s/n%d", lc->dir, node);
    ARG("--listen-pg=127.0.0.1:%d", lc->node[node].pg_port);
    ARG("--listen-rpc=127.0.0.1:%d", lc->node[node].rpc_port);
    ARG("--time=%s", o->time);
    ARG("--lease=%s", o->lease);
    for (int i = 1; i <= o->n_nodes; i++)
        if (i != node)
            ARG("--peer=%d=127.0.0.1:%d", i, lc->node[i].rpc_port);
    for (int i = 0; o->more != NULL && o->more[i] != NULL && i < LOCAL_FLAGS_MAX; i++)
        ARG("%s", o->more[i]);
#undef ARG
    args[n] = NULL;
    ASSERT(n < ARGS_MAX && at < text + size);
}

/* In the child: nothing here may allocate, the parent may have threads. */
static void become_server(char **args, int out_fd, int log_fd, pid_t parent)
{
    sigset_t none;

    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)setpgid(0, 0); /* Ctrl-C at the terminal is the parent's matter */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || dup2(out_fd, STDOUT_FILENO) < 0 || dup2(log_fd, STDERR_FILENO) < 0)
        _exit(127);
    (void)execv(args[0], args);
    _exit(127);
}

static enum status await_ready(struct local_cluster *lc, int node, struct err *err)
{
    struct local_node *n = &lc->node[node];
    int64_t until = mono_now() + (int64_t)LOCAL_READY_MS * NS_PER_MS;
    char line[256];
    size_t got = 0;

    while (got < sizeof line - 1 && memchr(line, '\n', got) == NULL) {
        struct pollfd p = {.fd = n->out_fd, .events = POLLIN};
        ssize_t k;

        if (mono_now() > until)
            return err_set(err, ST_RETRY, SQLSTATE_CANNOT_CONNECT_NOW,
                           "node %d was not ready within %d ms", node, LOCAL_READY_MS);
        if (poll(&p, 1, POLL_MS) <= 0)
            continue;
        k = read(n->out_fd, line + got, sizeof line - 1 - got);
        if (k <= 0)
            return err_set(err, ST_REJECT, SQLSTATE_CANNOT_CONNECT_NOW,
                           "node %d ended at its start; see %s/n%d.log", node, lc->dir, node);
        got += (size_t)k;
    }
    return ST_OK;
}

enum status local_cluster_start(struct local_cluster *lc, int node, struct err *err)
{
    struct local_node *n = &lc->node[node];
    char *args[ARGS_MAX], text[4096], log[320];
    int out[2] = {-1, -1}, log_fd;
    pid_t parent = getpid();

    ASSERT(n->pid == 0);
    make_args(lc, node, args, text, sizeof text);
    (void)snprintf(log, sizeof log, "%s/n%d.log", lc->dir, node);
    log_fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log_fd < 0 || pipe2(out, O_CLOEXEC) != 0) {
        if (log_fd >= 0)
            (void)close(log_fd);
        return err_set(err, ST_REJECT, SQLSTATE_IO_ERROR, "cannot start node %d: %s", node,
                       strerror(errno));
    }
    n->pid = fork();
    if (n->pid == 0)
        become_server(args, out[1], log_fd, parent);
    (void)close(out[1]);
    (void)close(log_fd);
    if (n->pid < 0) {
        n->pid = 0;
        (void)close(out[0]);
        return err_set(err, ST_REJECT, SQLSTATE_IO_ERROR, "cannot start node %d: %s", node,
                       strerror(errno));
    }
    n->out_fd = out[0];
    return await_ready(lc, node, err);
}

static void forget(struct local_node *n)
{
    n->pid = 0;
    if (n->out_fd >= 0)
        (void)close(n->out_fd);
    n->out_fd = -1;
}

void local_cluster_kill(struct local_cluster *lc, int node)
{
    struct local_node *n = &lc->node[node];

    if (n->pid == 0)
        return;
    (void)kill(n->pid, SIGKILL);
    while (waitpid(n->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    forget(n);
}

static int remove_one(const char *path, const struct stat *sb, int type, struct FTW *ftw)
{
    (void)sb;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void stop_all(struct local_cluster *lc)
{
    int64_t until = mono_now() + (int64_t)STOP_MS * NS_PER_MS;

    for (int i = 1; i <= lc->opts.n_nodes; i++)
        if (lc->node[i].pid != 0)
            (void)kill(lc->node[i].pid, SIGTERM);
    for (int i = 1; i <= lc->opts.n_nodes; i++) {
        struct local_node *n = &lc->node[i];

        while (n->pid != 0 && waitpid(n->pid, NULL, WNOHANG) == 0 && mono_now() < until)
            (void)poll(NULL, 0, POLL_MS);
        if (n->pid != 0 && waitpid(n->pid, NULL, WNOHANG) == 0)
            local_cluster_kill(lc, i);
        forget(n);
    }
}

void local_cluster_free(struct local_cluster *lc, bool keep)
{
    if (lc == NULL)
        return;
    stop_all(lc);
    if (lc->own_dir && !keep)
        (void)nftw(lc->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS); /* what stays is in /var/tmp */
    free(lc);
}

int local_cluster_nodes(const struct local_cluster *lc)
{
    return lc->opts.n_nodes;
}

pid_t local_cluster_pid(const struct local_cluster *lc, int node)
{
    return lc->node[node].pid;
}

const char *local_cluster_dir(const struct local_cluster *lc)
{
    return lc->dir;
}

void local_cluster_where(const struct local_cluster *lc, int first, char *out, size_t size)
{
    int n = lc->opts.n_nodes, len = snprintf(out, size, "meridian://meridian@");

    for (int i = 0; i < n; i++)
        len += snprintf(out + len, size - (size_t)len, "%s127.0.0.1:%d", i == 0 ? "" : ",",
                        lc->node[1 + (first - 1 + i) % n].pg_port);
    (void)snprintf(out + len, size - (size_t)len, "/meridian?sslmode=disable");
}

void local_cluster_where_node(const struct local_cluster *lc, int node, char *out, size_t size)
{
    (void)snprintf(out, size, "meridian://meridian@127.0.0.1:%d/meridian?sslmode=disable",
                   lc->node[node].pg_port);
}

void local_cluster_info(const char *where, const char *topic, const char *name, char *out,
                        size_t size)
{
    struct mrd_conn *c = NULL;
    struct mrd_rows *rows = NULL;
    char sql[64];

    (void)snprintf(out, size, "%s", "");
    if (mrd_connect(where, &c, NULL) != MRD_OK)
        return;
    (void)snprintf(sql, sizeof sql, "SHOW CLUSTER %s", topic);
    if (mrd_query(c, sql, &rows) == MRD_OK)
        while (mrd_next(rows) == MRD_OK)
            if (strcmp(mrd_get_text(rows, 0), name) == 0)
                (void)snprintf(out, size, "%s", mrd_get_text(rows, 1));
    mrd_rows_close(rows);
    mrd_close(c);
}

int local_cluster_leader(const struct local_cluster *lc)
{
    for (int i = 1; i <= lc->opts.n_nodes; i++) {
        char where[128], role[32];

        if (lc->node[i].pid == 0)
            continue;
        local_cluster_where_node(lc, i, where, sizeof where);
        local_cluster_info(where, "GROUP", "role", role, sizeof role);
        if (strcmp(role, "leader") == 0)
            return i;
    }
    return 0;
}

enum status local_cluster_wait_writable(struct local_cluster *lc, int timeout_ms, struct err *err)
{
    int64_t until = mono_now() + (int64_t)timeout_ms * NS_PER_MS;
    char where[512];

    local_cluster_where(lc, 1, where, sizeof where);
    while (mono_now() < until) {
        struct mrd_conn *c = NULL;
        enum mrd_status st = mrd_connect(where, &c, NULL);

        if (st == MRD_OK)
            st = mrd_run(c, "CREATE TABLE IF NOT EXISTS local_probe (id INT PRIMARY KEY)", NULL);
        mrd_close(c);
        if (st == MRD_OK)
            return ST_OK;
        (void)poll(NULL, 0, POLL_MS);
    }
    return err_set(err, ST_RETRY, SQLSTATE_CANNOT_CONNECT_NOW,
                   "no node committed a write within %d ms; logs are in %s", timeout_ms, lc->dir);
}
