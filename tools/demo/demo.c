#include "tools/demo/demo.h"

#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "tools/demo/demo_int.h"
#include "tools/meridian/sql.h"
#include "tools/meridian/table.h"

enum { EXIT_USAGE = 64, NODES = 3, READY_MS = 30000, DIR_MAX = 160 };

struct demo_flags {
    const char *root, *dir, *time, *lease;
    size_t max_files;
    bool no_shell, keep;
};

static const char usage[] = "usage: meridian demo [flags]\n\n"
                            "Three nodes on this machine, the files under /usr in tables, some "
                            "queries, and a leader that is killed.\n\n"
                            "  --root DIR     load the files under DIR (/usr)\n"
                            "  --files N      at most N of them (all)\n"
                            "  --dir DIR      keep data and logs there (a new directory under "
                            "/var/tmp, removed at the end)\n"
                            "  --keep         do not remove it\n"
                            "  --time SOURCE  clock of the nodes (fixed:200us)\n"
                            "  --lease TIME   lease of leaders (2s)\n"
                            "  --no-shell     end without the SQL shell, also on a terminal\n";

void demo_say(const char *fmt, ...)
{
    va_list ap;

    (void)fputs("* ", stdout);
    va_start(ap, fmt);
    (void)vprintf(fmt, ap);
    va_end(ap);
    (void)fputc('\n', stdout);
    (void)fflush(stdout);
}

bool demo_failed(const struct mrd_conn *c, const char *what)
{
    const struct mrd_error *e = mrd_error(c);

    (void)fprintf(stderr, "\ndemo: %s: %s %s\n", what, e->sqlstate, e->message);
    return false;
}

static void part(const char *title)
{
    (void)printf("\n== %s\n\n", title);
}

/* A query with what it shows, its rows, and how long it took. */
static bool show(struct mrd_conn *c, const char *what, const char *sql)
{
    const struct table_options options = {.format = TABLE_ALIGNED, .null_text = ""};
    struct mrd_rows *rows = NULL;
    int64_t start = mono_now(), took;

    (void)printf("%s\n\n    %s;\n\n", what, sql);
    if (mrd_query(c, sql, &rows) != MRD_OK)
        return demo_failed(c, sql);
    took = mono_now() - start;
    (void)table_print(stdout, rows, &options); /* fetched rows have no later error */
    mrd_rows_close(rows);
    (void)printf("%.1f ms\n\n", (double)took / NS_PER_MS);
    (void)fflush(stdout);
    return true;
}

static bool show_queries(struct mrd_conn *c, const char *dir)
{
    char sql[512], plan[600];

    (void)snprintf(sql, sizeof sql,
                   "SELECT path, size, mode FROM files WHERE dir = '%s' ORDER BY path LIMIT 6",
                   dir);
    (void)snprintf(plan, sizeof plan, "EXPLAIN %s", sql);
    return show(c, "The namespaces, largest first.",
                "SELECT name, owner, files, bytes FROM namespaces ORDER BY bytes DESC LIMIT 6") &&
           show(
               c, "The largest directories: every file is read.",
               "SELECT dir, count(*) AS files, sum(size) AS bytes FROM files GROUP BY dir ORDER BY "
               "bytes DESC LIMIT 5") &&
           show(c, "The newest files: the index on mtime, backwards.",
                "SELECT mtime, path FROM files ORDER BY mtime DESC LIMIT 5") &&
           show(c, "A directory listing, by index.", sql) && show(c, "How that was done.", plan) &&
           show(c, "The tail of a journal.",
                "SELECT seq, op, files, bytes, at FROM journal WHERE ns_id = 1 ORDER BY seq DESC "
                "LIMIT "
                "4") &&
           show(c, "Programs that run with somebody else's rights, joined and grouped.",
                "SELECT n.name, f.owner, count(*) AS files FROM namespaces n JOIN files f ON "
                "f.ns_id = "
                "n.ns_id WHERE f.mode >= '1000' GROUP BY n.name, f.owner ORDER BY files DESC LIMIT "
                "4");
}

/* A mistake, and the state before it, by the timestamp of an earlier commit. */
static bool show_past(struct mrd_conn *c, const char *dir)
{
    char sql[512];
    int64_t token = 0;

    if (mrd_run(c, "INSERT INTO journal VALUES (0, 1, 'mark', 0, 0, CURRENT_TIMESTAMP)", NULL) !=
            MRD_OK ||
        mrd_commit_timestamp(c, &token) != MRD_OK)
        return demo_failed(c, "a commit and its timestamp");
    demo_say("A commit at %" PRId64 ". Then somebody makes a mistake:", token);
    (void)snprintf(sql, sizeof sql, "UPDATE files SET mode = '0000' WHERE dir = '%s'", dir);
    (void)printf("\n    %s;\n\n", sql);
    if (mrd_run(c, sql, NULL) != MRD_OK)
        return demo_failed(c, sql);
    (void)snprintf(sql, sizeof sql,
                   "SELECT mode, count(*) FROM files WHERE dir = '%s' GROUP BY mode ORDER BY mode",
                   dir);
    if (!show(c, "Now:", sql))
        return false;
    (void)snprintf(sql, sizeof sql,
                   "SELECT mode, count(*) FROM files AS OF SYSTEM TIME %" PRId64
                   " WHERE dir = '%s' GROUP BY mode ORDER BY mode",
                   token, dir);
    return show(c, "As of that commit:", sql);
}

/* The directory with the most files, for the listing. */
static void busiest_dir(const struct tree *t, char *out, size_t size)
{
    size_t best = 0, run = 0;

    for (size_t i = 0; i < t->n_files; i++) {
        const struct tree_file *f = &t->files[i], *prev = i == 0 ? f : &t->files[i - 1];
        bool same = f->dir_len == prev->dir_len && memcmp(f->path, prev->path, f->dir_len) == 0;

        run = same ? run + 1 : 1;
        if (run > best && f->dir_len < size && memchr(f->path, '\'', f->dir_len) == NULL) {
            best = run;
            (void)snprintf(out, size, "%.*s", (int)f->dir_len, f->path);
        }
    }
}

static void say_clock(const struct demo_flags *f, const char *bound)
{
    if (strncmp(f->time, "fixed:", 6) == 0)
        demo_say("Clock: %s, bound %s. The operator's word that clocks are right within that "
                 "bound; it is\n  true here because all nodes share this machine's clock. Across "
                 "machines it would be a guess.",
                 f->time, bound);
    else
        demo_say("Clock: %s, bound %s, as that source itself bounds its error.", f->time, bound);
}

static bool start_cluster(struct local_cluster *lc, const struct demo_flags *f)
{
    char where[DEMO_WHERE_MAX], bound[32];
    struct err err;
    enum status st = ST_OK;

    for (int i = 1; i <= NODES; i++)
        TRY(local_cluster_start(lc, i, &err));
    TRY(local_cluster_wait_writable(lc, READY_MS, &err));
    local_cluster_where(lc, 1, where, sizeof where);
    local_cluster_info(where, "TIME", "bound", bound, sizeof bound);
    demo_say("Three nodes run, node %d leads. Data and logs: %s", local_cluster_leader(lc),
             local_cluster_dir(lc));
    say_clock(f, bound);
    demo_say("Lease of the leader: %s. Every commit is synced by two of three nodes before it is "
             "acknowledged.",
             f->lease);
out:
    if (st != ST_OK)
        (void)fprintf(stderr, "demo: %s\n", err.msg);
    return st == ST_OK;
}

static bool story(struct local_cluster *lc, const struct demo_flags *f, const struct tree *tree)
{
    char where[DEMO_WHERE_MAX], dir[DIR_MAX] = "";
    struct mrd_conn *c = NULL;
    bool ok;

    part("A cluster");
    if (!start_cluster(lc, f))
        return false;
    part("Real data");
    demo_say("%zu files under %s: path, size, mtime, mode, owner; two indexes; a journal.",
             tree->n_files, f->root);
    if (!demo_load(lc, tree))
        return false;
    part("Questions");
    busiest_dir(tree, dir, sizeof dir);
    local_cluster_where(lc, 1, where, sizeof where);
    if (mrd_connect(where, &c, NULL) != MRD_OK)
        return false;
    ok = show_queries(c, dir);
    if (ok)
        part("The past");
    ok = ok && show_past(c, dir);
    mrd_close(c);
    if (!ok)
        return false;
    part("The leader dies");
    demo_say("Eight clients write journal lines, one commit each.");
    return demo_outage(lc);
}

static void end_in_shell(const struct local_cluster *lc)
{
    char where[DEMO_WHERE_MAX], name[] = "sql";
    char *argv[] = {name, where, NULL};

    local_cluster_where(lc, 1, where, sizeof where);
    part("Yours");
    demo_say(
        "The cluster runs until you leave with \\q. Try \\d files, \\nodes, \\timing, a query of "
        "yours.");
    optind = 0;             /* GNU: the shell parses flags of its own */
    (void)cmd_sql(2, argv); /* whatever was typed, the demo went well */
}

static bool parse_flags(struct demo_flags *f, int argc, char **argv)
{
    static const struct option longopts[] = {
        {"root", required_argument, NULL, 'r'}, {"files", required_argument, NULL, 'n'},
        {"dir", required_argument, NULL, 'd'},  {"keep", no_argument, NULL, 'k'},
        {"time", required_argument, NULL, 't'}, {"lease", required_argument, NULL, 'l'},
        {"no-shell", no_argument, NULL, 's'},   {NULL, 0, NULL, 0},
    };
    int ch;

    while ((ch = getopt_long(argc, argv, "", longopts, NULL)) != -1) {
        if (ch == 'r')
            f->root = optarg;
        else if (ch == 'n')
            f->max_files = (size_t)strtoull(optarg, NULL, 10);
        else if (ch == 'd')
            f->dir = optarg;
        else if (ch == 'k')
            f->keep = true;
        else if (ch == 't')
            f->time = optarg;
        else if (ch == 'l')
            f->lease = optarg;
        else if (ch == 's')
            f->no_shell = true;
        else
            return false;
    }
    return optind == argc;
}

static int run(const struct demo_flags *f)
{
    struct local_options opts = {
        .n_nodes = NODES, .dir = f->dir, .time = f->time, .lease = f->lease};
    struct local_cluster *lc = NULL;
    struct tree tree;
    struct err err;
    bool ok;

    if (!tree_read(f->root, f->max_files, &tree)) {
        (void)fprintf(stderr, "demo: there are no files to read under %s\n", f->root);
        return EXIT_FAILURE;
    }
    if (local_cluster_new(&opts, &lc, &err) != ST_OK) {
        (void)fprintf(stderr, "demo: %s\n", err.msg);
        tree_free(&tree);
        return EXIT_FAILURE;
    }
    ok = story(lc, f, &tree);
    tree_free(&tree);
    if (ok && !f->no_shell && isatty(STDIN_FILENO) == 1)
        end_in_shell(lc);
    if (!ok)
        (void)fprintf(stderr, "demo: data and logs stay in %s\n", local_cluster_dir(lc));
    local_cluster_free(lc, f->keep || !ok);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

int cmd_demo(int argc, char **argv)
{
    struct demo_flags f = {.root = "/usr", .time = "fixed:200us", .lease = "2s"};

    if (argc > 1 && strcmp(argv[1], "--help") == 0) {
        (void)fputs(usage, stdout);
        return EXIT_SUCCESS;
    }
    if (!parse_flags(&f, argc, argv)) {
        (void)fputs(usage, stderr);
        return EXIT_USAGE;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    return run(&f);
}
