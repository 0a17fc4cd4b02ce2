/*
 * meridian - one command for people. The table below is the list of what there is.
 */
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "tools/bench/bench.h"
#include "tools/demo/demo.h"
#include "tools/meridian/group.h"
#include "tools/meridian/sql.h"
#include "tools/meridian/time.h"
#include "tools/meridian/timed.h"

enum { EXIT_USAGE = 64 };

struct subcommand {
    const char *name, *summary;
    int (*run)(int argc, char **argv); /* argv[0] is the subcommand's name; returns an exit code */
};

static const struct subcommand subcommands[] = {
    {"sql", "the SQL shell: statements from the terminal, a pipe, files or -c", cmd_sql},
    {"group", "the consensus groups of a node: list, show, log; also of one that does not run",
     cmd_group},
    {"time", "what the nodes' clocks say, how sure they are, and whether they agree", cmd_time},
    {"demo", "three nodes on this machine, real data, a leader that is killed", cmd_demo},
    {"bench", "throughput, latency and CPU of upserts and reads, as a table and as TSV", cmd_bench},
    {"timed", "publishes this machine's time and its bound, for nodes that read page:FILE",
     cmd_timed},
};
enum { N_SUBCOMMANDS = sizeof subcommands / sizeof subcommands[0] };

static void help(FILE *to)
{
    (void)fputs("usage: meridian COMMAND [flags]\n\n", to);
    for (size_t i = 0; i < N_SUBCOMMANDS; i++)
        (void)fprintf(to, "  %-10s %s\n", subcommands[i].name, subcommands[i].summary);
    (void)fputs("  help       this list\n  version    the version\n\n"
                "meridian COMMAND --help tells more about one.\n",
                to);
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";

    (void)setlocale(LC_CTYPE, ""); /* widths of characters; an unknown locale leaves ASCII */
    for (size_t i = 0; i < N_SUBCOMMANDS; i++)
        if (strcmp(name, subcommands[i].name) == 0)
            return subcommands[i].run(argc - 1, argv + 1);
    if (strcmp(name, "version") == 0 || strcmp(name, "--version") == 0) {
        (void)puts("meridian 0.1.0");
        return 0;
    }
    if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0) {
        help(stdout);
        return 0;
    }
    if (*name != '\0')
        (void)fprintf(stderr, "meridian: there is no command \"%s\"\n\n", name);
    help(stderr);
    return EXIT_USAGE;
}
