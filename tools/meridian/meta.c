/*
 * The shell's own commands: a table of names and functions.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "tools/meridian/shell.h"

struct meta {
    const char *name, *args, *help;
    void (*run)(struct shell *sh, const char *arg);
};

static void put_switch(const char *what, bool on)
{
    (void)printf("%s is %s.\n", what, on ? "on" : "off");
}

static bool switched(const char *arg, bool now)
{
    if (strcmp(arg, "on") == 0 || strcmp(arg, "1") == 0)
        return true;
    if (strcmp(arg, "off") == 0 || strcmp(arg, "0") == 0)
        return false;
    return !now;
}

static void do_timing(struct shell *sh, const char *arg)
{
    sh->timing = switched(arg, sh->timing);
    if (!sh->quiet)
        put_switch("Timing", sh->timing);
}

static void do_expanded(struct shell *sh, const char *arg)
{
    bool on = switched(arg, sh->table.format == TABLE_EXPANDED);

    sh->table.format = on ? TABLE_EXPANDED : TABLE_ALIGNED;
    if (!sh->quiet)
        put_switch("Expanded display", on);
}

static void do_tuples_only(struct shell *sh, const char *arg)
{
    sh->table.tuples_only = switched(arg, sh->table.tuples_only);
    if (!sh->quiet)
        put_switch("Tuples only", sh->table.tuples_only);
}

static void do_csv(struct shell *sh, const char *arg)
{
    bool on = switched(arg, sh->table.format == TABLE_CSV);

    sh->table.format = on ? TABLE_CSV : TABLE_ALIGNED;
    if (!sh->quiet)
        put_switch("CSV", on);
}

static void do_quit(struct shell *sh, const char *arg)
{
    (void)arg;
    sh->quit = true;
}

static void do_include(struct shell *sh, const char *arg)
{
    if (*arg == '\0') {
        (void)fputs("\\i: a file is missing\n", stderr);
        sh->failed = true;
        return;
    }
    (void)shell_file(sh, arg); /* it has said what went wrong, and sh->failed knows */
}

static void do_output(struct shell *sh, const char *arg)
{
    FILE *to = *arg == '\0' ? stdout : fopen(arg, "we");

    if (to == NULL) {
        (void)fprintf(stderr, "%s: %s\n", arg, strerror(errno));
        sh->failed = true;
        return;
    }
    if (sh->out != stdout)
        (void)fclose(sh->out);
    sh->out = to;
}

static void do_echo(struct shell *sh, const char *arg)
{
    (void)fprintf(sh->out, "%s\n", arg);
}

static void do_connect(struct shell *sh, const char *arg)
{
    if (!shell_connect(sh, arg))
        sh->failed = true;
}

static void do_conninfo(struct shell *sh, const char *arg)
{
    const char *version = mrd_parameter(sh->conn, "server_version");

    (void)arg;
    (void)printf("Node %s:%s, user \"%s\", database \"%s\", server %s.\n", mrd_host(sh->conn),
                 mrd_port(sh->conn), mrd_user(sh->conn), mrd_database(sh->conn),
                 version == NULL ? "?" : version);
}

static void do_set(struct shell *sh, const char *arg)
{
    size_t n = strcspn(arg, " =");
    const char *value = arg + n + strspn(arg + n, " =");

    if (n == strlen("ON_ERROR_STOP") && strncmp(arg, "ON_ERROR_STOP", n) == 0) {
        sh->on_error_stop = *value == '\0' || switched(value, false);
    } else {
        (void)fprintf(stderr, "\\set knows ON_ERROR_STOP only\n");
        sh->failed = true;
    }
}

/* A query of the shell's own, with a title. */
static void describe(struct shell *sh, const char *title, const char *sql)
{
    sh->table.title = sh->table.format == TABLE_ALIGNED ? title : NULL;
    (void)shell_run(sh, sql);
    sh->table.title = NULL;
}

static void do_tables(struct shell *sh, const char *arg)
{
    (void)arg;
    describe(sh, "Tables", "SHOW TABLES");
}

static bool is_plain_name(const char *name)
{
    for (const char *p = name; *p != '\0'; p++)
        if (!(islower((unsigned char)*p) || *p == '_' || *p == '.' ||
              (p > name && isdigit((unsigned char)*p)) || (unsigned char)*p >= 0x80))
            return false;
    return true;
}

/* A name as it must stand in SQL: what was not quoted and is plain stays, all else is quoted. */
static void quote_name(const char *name, char *out, size_t size)
{
    size_t n = 0;

    if (*name == '"' || is_plain_name(name)) {
        (void)snprintf(out, size, "%s", name); /* a longer name does not exist */
        return;
    }
    out[n++] = '"';
    for (; *name != '\0' && n + 4 < size; name++) {
        if (*name == '"')
            out[n++] = '"';
        out[n++] = *name;
    }
    out[n++] = '"';
    out[n] = '\0';
}

static void do_describe(struct shell *sh, const char *arg)
{
    char name[160], sql[256], title[256];

    if (*arg == '\0') {
        do_tables(sh, arg);
        return;
    }
    quote_name(arg, name, sizeof name);
    (void)snprintf(title, sizeof title, "Columns of %s", name);
    (void)snprintf(sql, sizeof sql, "SHOW COLUMNS FROM %s", name);
    sh->table.title = sh->table.format == TABLE_ALIGNED ? title : NULL;
    if (shell_run(sh, sql)) {
        (void)snprintf(title, sizeof title, "Indexes of %s", name);
        (void)snprintf(sql, sizeof sql, "SHOW INDEXES FROM %s", name);
        (void)shell_run(sh, sql);
    }
    sh->table.title = NULL;
}

static void do_nodes(struct shell *sh, const char *arg)
{
    (void)arg;
    describe(sh, "Nodes", "SHOW CLUSTER NODES");
}

static void do_clock(struct shell *sh, const char *arg)
{
    (void)arg;
    describe(sh, "Time", "SHOW CLUSTER TIME");
}

static void do_again(struct shell *sh, const char *arg)
{
    (void)arg;
    if (sh->last != NULL)
        (void)shell_run(sh, sh->last);
}

static void do_help(struct shell *sh, const char *arg);

static const struct meta metas[] = {
    {"q", "", "leave", do_quit},
    {"d", "[TABLE]", "tables, or the columns and indexes of one", do_describe},
    {"dt", "", "tables", do_tables},
    {"c", "[WHERE]", "connect: a URL, or host=... port=...", do_connect},
    {"connect", NULL, NULL, do_connect},
    {"conninfo", "", "which node, user, database", do_conninfo},
    {"nodes", "", "the cluster as this node sees it", do_nodes},
    {"time", "", "the source of time and its bound", do_clock},
    {"timing", "[on|off]", "how long each statement takes", do_timing},
    {"x", "[on|off]", "one line a value", do_expanded},
    {"t", "[on|off]", "rows without header and footer", do_tuples_only},
    {"csv", "[on|off]", "rows as CSV", do_csv},
    {"g", "", "run the statement, or the last one again", do_again},
    {"i", "FILE", "run a file", do_include},
    {"o", "[FILE]", "send results to a file, or back to the terminal", do_output},
    {"echo", "TEXT", "print TEXT", do_echo},
    {"set", "ON_ERROR_STOP [on|off]", "end a script at its first error", do_set},
    {"?", "", "this list", do_help},
};

static void do_help(struct shell *sh, const char *arg)
{
    (void)sh;
    (void)arg;
    (void)puts("Statements end with a semicolon and may span lines. Ctrl-C ends a running one.\n");
    for (size_t i = 0; i < sizeof metas / sizeof metas[0]; i++) {
        char left[64];

        if (metas[i].help == NULL)
            continue;
        (void)snprintf(left, sizeof left, "\\%s %s", metas[i].name, metas[i].args);
        (void)printf("  %-32s%s\n", left, metas[i].help);
    }
}

/* The command's argument: the rest of the line without blanks and quotes around it. */
static void take_arg(const char *from, char *out, size_t size)
{
    size_t len;

    while (isspace((unsigned char)*from))
        from++;
    len = strlen(from);
    while (len > 0 && (isspace((unsigned char)from[len - 1]) || from[len - 1] == ';'))
        len--;
    if (len >= 2 && from[0] == '\'' && from[len - 1] == '\'') {
        from++;
        len -= 2;
    }
    (void)snprintf(out, size, "%.*s", (int)len, from);
}

const char *shell_command(struct shell *sh, const char *text, struct split *split)
{
    char name[32], arg[1024];
    size_t n = strcspn(text + 1, " \t\\;");

    (void)snprintf(name, sizeof name, "%.*s", (int)n, text + 1);
    take_arg(text + 1 + n, arg, sizeof arg);
    if (strcmp(name, "g") == 0 && !split_is_empty(split)) {
        buf_put_u8(&split->text, '\0');
        free(sh->last);
        sh->last = xstrdup((char *)split->text.ptr);
        split_reset(split);
    }
    if (strcmp(name, "r") == 0) {
        split_reset(split);
        return text + strlen(text);
    }
    for (size_t i = 0; i < sizeof metas / sizeof metas[0]; i++)
        if (strcmp(name, metas[i].name) == 0) {
            metas[i].run(sh, arg);
            return text + strlen(text);
        }
    (void)fprintf(stderr, "There is no command \\%s. \\? lists them.\n", name);
    sh->failed = true;
    return text + strlen(text);
}
