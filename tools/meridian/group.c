/*
 * meridian group - what a node's groups hold: from the node, through its SQL port, or from its directory while it does
 * not run. The first is a statement for the shell, the second a run of meridiand --inspect: this program links nothing
 * of the server.
 */
#include "tools/meridian/group.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "tools/local/local_cluster.h"
#include "tools/meridian/sql.h"

enum { GROUP_USAGE = 64, GROUP_NO_SERVER = 70, TOPIC_BYTES = 32 };

static const char usage[] =
    "usage: meridian group list          [flags of meridian sql | --data DIR]\n"
    "       meridian group show [GROUP]  ...   role, ballot, slots, lease\n"
    "       meridian group log [GROUP]   ...   slot, ballot, kind, bytes, commands, timestamps\n\n"
    "GROUP: its number (default 1). Without --data the node that the flags name is asked, as "
    "`meridian sql` asks it\n"
    "(meridian sql --help). --data DIR reads the directory of a node that does not run; one that "
    "runs is refused.\n"
    "Exit codes: 0; 64 wrong flags; else those of meridian sql or meridiand.\n";

struct asked {
    char topic[TOPIC_BYTES];
    int n_used; /* of the arguments behind the verb */
};

static bool parse(int argc, char **argv, struct asked *out)
{
    const char *verb = argc > 1 ? argv[1] : "";
    const char *number = argc > 2 && strspn(argv[2], "0123456789") == strlen(argv[2]) &&
                                 *argv[2] != '\0' && strlen(argv[2]) <= 20
                             ? argv[2]
                             : NULL;

    out->n_used = 0;
    if (strcmp(verb, "list") == 0) {
        (void)snprintf(out->topic, sizeof out->topic, "groups");
        return number == NULL;
    }
    if (strcmp(verb, "show") != 0 && strcmp(verb, "log") != 0)
        return false;
    (void)snprintf(out->topic, sizeof out->topic, "%s_%s",
                   strcmp(verb, "show") == 0 ? "group" : "log", number != NULL ? number : "1");
    out->n_used = number != NULL;
    return true;
}

static int from_node(const struct asked *a, int argc, char **argv)
{
    char **sql_argv = xcalloc((size_t)argc + 4, sizeof *sql_argv);
    char name[] = "sql", flag[] = "-c", statement[TOPIC_BYTES + 16];
    int n = 0, rc;

    (void)snprintf(statement, sizeof statement, "SHOW CLUSTER %s", a->topic);
    sql_argv[n++] = name;
    sql_argv[n++] = flag;
    sql_argv[n++] = statement;
    for (int i = 0; i < argc; i++)
        sql_argv[n++] = argv[i];
    rc = cmd_sql(n, sql_argv);
    free(sql_argv);
    return rc;
}

static int from_directory(struct asked *a, char *dir)
{
    char path[4096], name[] = "meridiand", node[] = "--node=1", data[] = "--data",
                     inspect[] = "--inspect";
    char *argv[] = {name, node, data, dir, inspect, a->topic, NULL};
    struct err err;

    if (local_find_server(path, sizeof path, &err) != ST_OK) {
        (void)fprintf(stderr, "meridian group: %s\n", err.msg);
        return GROUP_NO_SERVER;
    }
    (void)execv(path, argv);
    perror("meridian group: meridiand");
    return GROUP_NO_SERVER;
}

int cmd_group(int argc, char **argv)
{
    struct asked a;

    if (argc > 1 && strcmp(argv[1], "--help") == 0) {
        (void)fputs(usage, stdout);
        return 0;
    }
    if (!parse(argc, argv, &a)) {
        (void)fputs(usage, stderr);
        return GROUP_USAGE;
    }
    argc -= 2 + a.n_used;
    argv += 2 + a.n_used;
    if (argc == 2 && strcmp(argv[0], "--data") == 0)
        return from_directory(&a, argv[1]);
    return from_node(&a, argc, argv);
}
