/*
 * meridian sql - the SQL shell: its flags.
 */
#include "tools/meridian/sql.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "tools/meridian/shell.h"
#include "tools/meridian/where.h"

enum { ACTIONS_MAX = 64 };

/* What -c and -f ask for, in the order given. */
struct action {
    enum { RUN_TEXT, RUN_FILE } kind;
    const char *what;
};

struct sql_flags {
    struct where where;
    struct action actions[ACTIONS_MAX];
    int n_actions;
    bool csv, expanded, tuples_only, unaligned, quiet, echo, timing, on_error_stop;
    const char *null_text, *output;
};

static const char usage[] =
    "usage: meridian sql [flags] [URL | DATABASE]\n\n"
    "  -h, --host HOST[,HOST...]   nodes (default 127.0.0.1)\n"
    "  -p, --port PORT[,PORT...]   their SQL ports (default 5433)\n"
    "  -U, --user USER             (default $USER)\n"
    "  -d, --database NAME         (default meridian)\n"
    "  -c, --command SQL           run it and exit; may be given several times, with -f\n"
    "  -f, --file FILE             run a file and exit; - is standard input\n"
    "  -o, --output FILE           results go there\n"
    "  -v, --set ON_ERROR_STOP=1   end a script at its first error, exit 3\n"
    "      --csv                   rows as CSV\n"
    "  -A, --no-align              rows as a|b\n"
    "  -x, --expanded              one line a value\n"
    "  -t, --tuples-only           no header, no footer\n"
    "  -P, --null TEXT             how NULL is shown\n"
    "  -q, --quiet                 results and errors only\n"
    "  -e, --echo                  print each statement before it runs\n"
    "      --timing                how long each statement takes\n\n"
    "URL: meridian://[user@]host:port[,host:port...]/database. The environment's MERIDIAN_URL is "
    "the default.\n"
    "Exit codes: 0; 1 a -c failed, or a file is not there; 2 no connection; 3 a script stopped at "
    "an error.\n";

static bool take_flag(struct sql_flags *f, int ch)
{
    switch (ch) {
    case 'h':
        f->where.host = optarg;
        break;
    case 'p':
        f->where.port = optarg;
        break;
    case 'U':
        f->where.user = optarg;
        break;
    case 'd':
        f->where.database = optarg;
        break;
    case 'c':
    case 'f':
        if (f->n_actions == ACTIONS_MAX)
            return false;
        f->actions[f->n_actions++] =
            (struct action){.kind = ch == 'c' ? RUN_TEXT : RUN_FILE, .what = optarg};
        break;
    case 'o':
        f->output = optarg;
        break;
    case 'v':
        if (strncmp(optarg, "ON_ERROR_STOP", 13) != 0)
            return false;
        f->on_error_stop = strcmp(optarg, "ON_ERROR_STOP=0") != 0;
        break;
    case 'P':
        f->null_text = optarg;
        break;
    case 'C':
        f->csv = true;
        break;
    case 'A':
        f->unaligned = true;
        break;
    case 'x':
        f->expanded = true;
        break;
    case 't':
        f->tuples_only = true;
        break;
    case 'q':
        f->quiet = true;
        break;
    case 'e':
        f->echo = true;
        break;
    case 'T':
        f->timing = true;
        break;
    case 'X': /* psql's habit: there is no start-up file to leave out */
        break;
    default: /* a character, no enum */
        return false;
    }
    return true;
}

static bool parse_flags(struct sql_flags *f, int argc, char **argv)
{
    static const struct option longopts[] = {
        {"host", required_argument, NULL, 'h'},   {"port", required_argument, NULL, 'p'},
        {"user", required_argument, NULL, 'U'},   {"database", required_argument, NULL, 'd'},
        {"dbname", required_argument, NULL, 'd'}, {"command", required_argument, NULL, 'c'},
        {"file", required_argument, NULL, 'f'},   {"output", required_argument, NULL, 'o'},
        {"set", required_argument, NULL, 'v'},    {"csv", no_argument, NULL, 'C'},
        {"no-align", no_argument, NULL, 'A'},     {"expanded", no_argument, NULL, 'x'},
        {"tuples-only", no_argument, NULL, 't'},  {"null", required_argument, NULL, 'P'},
        {"quiet", no_argument, NULL, 'q'},        {"echo", no_argument, NULL, 'e'},
        {"timing", no_argument, NULL, 'T'},       {NULL, 0, NULL, 0},
    };
    int ch;

    while ((ch = getopt_long(argc, argv, "h:p:U:d:c:f:o:v:P:AxtqeX", longopts, NULL)) != -1)
        if (!take_flag(f, ch))
            return false;
    if (optind < argc) {
        const char *rest = argv[optind++];

        if (strstr(rest, "://") != NULL || strchr(rest, '=') != NULL)
            f->where.url = rest;
        else
            f->where.database = rest;
    }
    return optind >= argc;
}

static int run_actions(struct shell *sh, const struct sql_flags *f)
{
    int rc = SHELL_OK;

    for (int i = 0; i < f->n_actions && rc == SHELL_OK && !sh->quit; i++) {
        const char *what = f->actions[i].what;
        struct split split;

        if (f->actions[i].kind == RUN_FILE) {
            rc = shell_file(sh, what);
        } else if (*what == '\\') {
            split_init(&split);
            (void)shell_command(sh, what, &split); /* takes the whole text */
            split_fini(&split);
            rc = sh->failed ? SHELL_FAILED : SHELL_OK;
        } else {
            rc = shell_run(sh, what) ? SHELL_OK : SHELL_FAILED;
        }
    }
    return rc;
}

static int run_input(struct shell *sh)
{
    struct input *in = sh->interactive ? input_terminal() : input_stream(stdin);
    int rc = shell_loop(sh, in);

    input_close(in);
    return rc;
}

static void apply(struct shell *sh, const struct sql_flags *f)
{
    sh->table.format = f->csv         ? TABLE_CSV
                       : f->expanded  ? TABLE_EXPANDED
                       : f->unaligned ? TABLE_UNALIGNED
                                      : TABLE_ALIGNED;
    sh->table.tuples_only = f->tuples_only;
    sh->table.null_text = f->null_text != NULL ? f->null_text : "";
    sh->quiet = f->quiet;
    sh->echo = f->echo;
    sh->timing = f->timing;
    sh->on_error_stop = f->on_error_stop;
    sh->interactive = f->n_actions == 0 && isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1;
}

int cmd_sql(int argc, char **argv)
{
    struct sql_flags f = {0};
    struct shell sh;
    struct buf where = {0};
    int rc;

    if (argc > 1 && strcmp(argv[1], "--help") == 0) {
        (void)fputs(usage, stdout);
        return SHELL_OK;
    }
    if (!parse_flags(&f, argc, argv)) {
        (void)fputs(usage, stderr);
        return SHELL_FAILED;
    }
    shell_init(&sh);
    apply(&sh, &f);
    where_put(&f.where, &where);
    if (!shell_connect(&sh, (char *)where.ptr)) {
        rc = SHELL_NO_CONNECTION;
    } else if (f.output != NULL && (sh.out = fopen(f.output, "we")) == NULL) {
        perror(f.output);
        sh.out = stdout;
        rc = SHELL_FAILED;
    } else {
        rc = f.n_actions > 0 ? run_actions(&sh, &f) : run_input(&sh);
    }
    buf_fini(&where);
    shell_fini(&sh);
    return rc;
}
