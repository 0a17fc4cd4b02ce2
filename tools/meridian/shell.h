/*
 * shell.h - the SQL shell's state and its verbs. Thread: the main one; only the interrupt handler is outside.
 */
#ifndef MRD_TOOLS_MERIDIAN_SHELL_H
#define MRD_TOOLS_MERIDIAN_SHELL_H

#include <stdbool.h>
#include <stdio.h>

#include "meridian.h"
#include "tools/meridian/input.h"
#include "tools/meridian/split.h"
#include "tools/meridian/table.h"

/* Exit codes, as psql's. */
enum { SHELL_OK = 0, SHELL_FAILED = 1, SHELL_NO_CONNECTION = 2, SHELL_SCRIPT_ERROR = 3 };

enum { SHELL_INCLUDE_MAX = 16 }; /* \i inside \i */

struct shell {
    struct mrd_conn *conn;
    struct table_options table;
    bool timing, on_error_stop, quiet, interactive, echo;
    bool quit;
    bool failed; /* a statement failed since the shell began */
    int depth;   /* of \i */
    FILE *out;   /* stdout, or where \o points */
    char *last;  /* the last statement, for \g and \p; heap */
};

void shell_init(struct shell *sh);
void shell_fini(struct shell *sh);
/* Connects and says so on a terminal. False: it has been said why not. */
bool shell_connect(struct shell *sh, const char *where);

/* Reads statements and commands until the end of input. Returns an exit code. */
int shell_loop(struct shell *sh, struct input *in);
int shell_file(struct shell *sh, const char *path); /* "-" is standard input */
/* Runs a text and prints its results. False if a statement failed. */
bool shell_run(struct shell *sh, const char *sql);
/* Prints an error with the place in the text that it names. */
void shell_error(const struct mrd_error *e, const char *sql);

/* A command that begins with a backslash; returns behind what it took of the line. */
const char *shell_command(struct shell *sh, const char *text, struct split *split);

#endif
