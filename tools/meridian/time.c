/*
 * meridian time - what the nodes' clocks say, how sure they are, why, and whether they agree.
 *
 * It asks a node through its SQL port: SHOW CLUSTER CLOCKS, SHOW CLUSTER CLOCK_PAIRS.
 */
#include "tools/meridian/time.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "tools/client/meridian.h"
#include "tools/meridian/time_plot.h"
#include "tools/meridian/where.h"

enum exit_code { TIME_OK = 0, TIME_VOID = 1, TIME_NO_ANSWER = 2, TIME_USAGE = 64 };
enum { NODES_MAX = 65, PLOT_HEIGHT = 10 };

struct flags {
    struct where where;
    bool peers, watch;
    double interval_s;
    int64_t count; /* of --watch; 0: for ever */
};

/* One row of SHOW CLUSTER CLOCKS. */
struct clock {
    char node[16], state[16], source[64], earliest[48], latest[48], why[160], peers[160];
    char contradictions[24];
    int64_t bound_us, age_us, heard_us; /* -1: null */
};

struct asked {
    struct clock clocks[NODES_MAX];
    size_t n;
    const struct clock *here; /* the node that answered */
};

static const char usage[] =
    "usage: meridian time [flags] [URL]\n\n"
    "  -h, --host HOST[,HOST...]   nodes (default 127.0.0.1); the first that answers is asked\n"
    "  -p, --port PORT[,PORT...]   their SQL ports (default 5433)\n"
    "  -U, --user USER             (default $USER)\n"
    "      --peers                 each node's view of each other's clock: contradictions, and "
    "offsets\n"
    "                              estimated from round trips (right within half of the round "
    "trip)\n"
    "      --watch                 the bound as it moves: a plot on a terminal, else a line a "
    "sample\n"
    "      --interval SECONDS      between samples (default 1)\n"
    "      --count N               ends after N samples\n\n"
    "URL: meridian://[user@]host:port[,host:port...]/database. The environment's MERIDIAN_URL is "
    "the "
    "default.\n"
    "Exit codes: 0; 1 the node that was asked has no time (void or distrusted); 2 no answer.\n";

/* ---- flags ---- */

static bool positive(const char *text, double *out)
{
    char *end;

    *out = strtod(text, &end);
    return end != text && *end == '\0' && *out > 0 && *out < 1e9;
}

static bool take_flag(struct flags *f, int ch)
{
    double number;

    switch (ch) {
    case 'h':
        f->where.host = optarg;
        return true;
    case 'p':
        f->where.port = optarg;
        return true;
    case 'U':
        f->where.user = optarg;
        return true;
    case 'P':
        f->peers = true;
        return true;
    case 'w':
        f->watch = true;
        return true;
    case 'i':
        return positive(optarg, &f->interval_s);
    case 'n':
        if (!positive(optarg, &number) || number != (double)(int64_t)number)
            return false;
        f->count = (int64_t)number;
        return true;
    default: /* a character, no enum */
        return false;
    }
}

static bool parse_flags(struct flags *f, int argc, char **argv)
{
    static const struct option longopts[] = {
        {"host", required_argument, NULL, 'h'},  {"port", required_argument, NULL, 'p'},
        {"user", required_argument, NULL, 'U'},  {"peers", no_argument, NULL, 'P'},
        {"watch", no_argument, NULL, 'w'},       {"interval", required_argument, NULL, 'i'},
        {"count", required_argument, NULL, 'n'}, {NULL, 0, NULL, 0},
    };
    int ch;

    while ((ch = getopt_long(argc, argv, "h:p:U:", longopts, NULL)) != -1)
        if (!take_flag(f, ch))
            return false;
    if (optind < argc)
        f->where.url = argv[optind++];
    return optind >= argc && !(f->peers && f->watch);
}

/* ---- asking ---- */

static void get_text(struct mrd_rows *r, const char *column, char *out, size_t size)
{
    *out = '\0';
    for (size_t i = 0; i < mrd_columns(r); i++)
        if (strcmp(mrd_column_name(r, i), column) == 0)
            (void)snprintf(out, size, "%s", mrd_get_text(r, i));
}

static int64_t get_number(struct mrd_rows *r, const char *column)
{
    char text[32];

    get_text(r, column, text, sizeof text);
    return *text == '\0' ? -1 : strtoll(text, NULL, 10);
}

static void get_clock(struct mrd_rows *r, struct clock *c)
{
    get_text(r, "node", c->node, sizeof c->node);
    get_text(r, "state", c->state, sizeof c->state);
    get_text(r, "source", c->source, sizeof c->source);
    get_text(r, "earliest", c->earliest, sizeof c->earliest);
    get_text(r, "latest", c->latest, sizeof c->latest);
    get_text(r, "why", c->why, sizeof c->why);
    get_text(r, "peers", c->peers, sizeof c->peers);
    get_text(r, "contradictions", c->contradictions, sizeof c->contradictions);
    c->bound_us = get_number(r, "bound_us");
    c->age_us = get_number(r, "age_us");
    c->heard_us = get_number(r, "heard_us");
}

/* False: no answer, and mrd_error tells why. */
static bool ask(struct mrd_conn *conn, struct asked *out)
{
    struct mrd_rows *r;

    out->n = 0;
    out->here = NULL;
    if (mrd_query(conn, "SHOW CLUSTER CLOCKS", &r) != MRD_OK)
        return false;
    while (out->n < NODES_MAX && mrd_next(r) == MRD_OK) {
        struct clock *c = &out->clocks[out->n++];

        get_clock(r, c);
        if (c->heard_us == 0 && out->here == NULL)
            out->here = c;
    }
    mrd_rows_close(r);
    return out->here != NULL;
}

static bool has_time(const struct clock *c)
{
    return c->bound_us >= 0 && strcmp(c->state, "distrusted") != 0;
}

static int complain(struct mrd_conn *conn)
{
    const struct mrd_error *e = mrd_error(conn);

    (void)fprintf(stderr, "meridian time: %s\n", *e->message != '\0' ? e->message : "no answer");
    return TIME_NO_ANSWER;
}

/* ---- now ---- */

static void print_here(struct mrd_conn *conn, const struct clock *c)
{
    char bound[16];

    plot_bound_text(c->bound_us, bound);
    (void)printf("node %s (%s:%s): %s\n", c->node, mrd_host(conn), mrd_port(conn), c->state);
    if (*c->earliest != '\0')
        (void)printf("  earliest  %s\n  latest    %s\n", c->earliest, c->latest);
    (void)printf("  bound     %s\n", bound);
    (void)printf("  source    %s, reported %.1f ms ago\n", c->source, (double)c->age_us / 1e3);
    (void)printf("  why       %s\n", c->why);
    if (*c->peers != '\0')
        (void)printf("  others    %s (contradictions so far: %s)\n", c->peers, c->contradictions);
}

static void print_others(const struct asked *a)
{
    if (a->n < 2)
        return;
    (void)printf("\n%4s  %-12s  %9s  %-16s  %s\n", "node", "state", "bound", "source", "why");
    for (size_t i = 0; i < a->n; i++) {
        const struct clock *c = &a->clocks[i];
        char bound[16];

        plot_bound_text(c->bound_us, bound);
        (void)printf("%4s  %-12s  %9s  %-16s  %s\n", c->node, c->state, bound, c->source, c->why);
    }
}

static int show_now(struct mrd_conn *conn)
{
    struct asked a;

    if (!ask(conn, &a))
        return complain(conn);
    print_here(conn, a.here);
    print_others(&a);
    return has_time(a.here) ? TIME_OK : TIME_VOID;
}

/* ---- peers ---- */

static void print_pair(struct mrd_rows *r)
{
    static const char *const columns[] = {"node",           "peer",      "view",
                                          "contradictions", "offset_us", "rtt_us"};
    char v[6][32];

    for (size_t i = 0; i < 6; i++)
        get_text(r, columns[i], v[i], sizeof v[i]);
    for (size_t i = 4; i < 6; i++)
        if (*v[i] == '\0')
            (void)snprintf(v[i], sizeof v[i], "-");
    (void)printf("%4s  %4s  %-8s  %14s  %12s  %10s\n", v[0], v[1], v[2], v[3], v[4], v[5]);
}

static int show_peers(struct mrd_conn *conn)
{
    struct asked a;
    struct mrd_rows *r;

    if (!ask(conn, &a) || mrd_query(conn, "SHOW CLUSTER CLOCK_PAIRS", &r) != MRD_OK)
        return complain(conn);
    (void)printf("%4s  %4s  %-8s  %14s  %12s  %10s\n", "node", "peer", "peer is", "contradictions",
                 "offset us", "rtt us");
    while (mrd_next(r) == MRD_OK)
        print_pair(r);
    mrd_rows_close(r);
    return has_time(a.here) ? TIME_OK : TIME_VOID;
}

/* ---- watch ---- */

static void print_plot(struct mrd_conn *conn, const struct plot *plot, const struct asked *a)
{
    struct winsize size = {0};
    struct buf b = {0};
    size_t width = 80;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20)
        width = size.ws_col;
    plot_draw(plot, width, PLOT_HEIGHT, &b);
    (void)fputs("\033[H\033[J", stdout); /* home, and clear what is below */
    (void)fwrite(b.ptr, 1, b.len, stdout);
    if (a->here != NULL) {
        print_here(conn, a->here);
        print_others(a);
    } else {
        (void)printf("no answer: %s\n", mrd_error(conn)->message);
    }
    buf_fini(&b);
}

static void print_sample(struct mrd_conn *conn, const struct asked *a)
{
    const struct clock *c = a->here;
    char bound[16];

    if (c == NULL) {
        (void)printf("no answer: %s\n", mrd_error(conn)->message);
        return;
    }
    plot_bound_text(c->bound_us, bound);
    (void)printf("%s node=%s state=%s bound_us=%" PRId64 " age_us=%" PRId64 " why=\"%s\"\n",
                 *c->earliest != '\0' ? c->earliest : "-", c->node, c->state, c->bound_us,
                 c->age_us, c->why);
}

static int watch(struct mrd_conn *conn, const struct flags *f)
{
    struct plot plot = {.n = 0};
    bool terminal = isatty(STDOUT_FILENO) == 1;
    int64_t at = mono_now();
    struct asked a;
    int rc = TIME_OK;

    for (int64_t i = 0; f->count == 0 || i < f->count; i++) {
        if (i > 0)
            mono_sleep_until(at += (int64_t)(f->interval_s * 1e9));
        if (!ask(conn, &a)) /* the next call tries the other nodes */
            rc = TIME_NO_ANSWER;
        else
            rc = has_time(a.here) ? TIME_OK : TIME_VOID;
        plot_add(&plot, rc == TIME_OK ? a.here->bound_us : PLOT_VOID);
        if (terminal)
            print_plot(conn, &plot, &a);
        else
            print_sample(conn, &a);
        if (fflush(stdout) != 0)
            break; /* nobody reads any more */
    }
    return rc;
}

int cmd_time(int argc, char **argv)
{
    struct flags f = {.interval_s = 1};
    struct mrd_conn *conn = NULL;
    struct mrd_error err;
    struct buf where = {0};
    int rc;

    if (argc > 1 && strcmp(argv[1], "--help") == 0) {
        (void)fputs(usage, stdout);
        return TIME_OK;
    }
    if (!parse_flags(&f, argc, argv)) {
        (void)fputs(usage, stderr);
        return TIME_USAGE;
    }
    where_put(&f.where, &where);
    if (mrd_connect((const char *)where.ptr, &conn, &err) != MRD_OK) {
        (void)fprintf(stderr, "meridian time: %s\n", err.message);
        rc = TIME_NO_ANSWER;
    } else {
        rc = f.watch ? watch(conn, &f) : f.peers ? show_peers(conn) : show_now(conn);
    }
    mrd_close(conn);
    buf_fini(&where);
    return rc;
}
