#include "tools/meridian/shell.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/clock.h"

enum { LINE_SHOWN_MAX = 120 }; /* characters of a long line in an error */

/* What Ctrl-C must reach, from a signal handler: the statement that runs, or the line that is edited. */
static struct mrd_cancel *volatile interrupt_cancel;

static void on_interrupt(int sig)
{
    struct mrd_cancel *cancel = interrupt_cancel;

    (void)sig;
    if (cancel != NULL)
        mrd_cancel_now(cancel);
}

static void on_notice(void *arg, const struct mrd_error *notice)
{
    (void)arg;
    (void)fprintf(stderr, "%s:  %s\n", notice->severity, notice->message);
    if (notice->detail[0] != '\0')
        (void)fprintf(stderr, "DETAIL:  %s\n", notice->detail);
    if (notice->hint[0] != '\0')
        (void)fprintf(stderr, "HINT:  %s\n", notice->hint);
}

void shell_init(struct shell *sh)
{
    struct sigaction sa = {.sa_handler = on_interrupt};

    *sh = (struct shell){.table = {.format = TABLE_ALIGNED, .null_text = ""}, .out = stdout};
    sigemptyset(&sa.sa_mask);
    (void)sigaction(SIGINT, &sa, NULL); /* no SA_RESTART: editing a line must end */
    (void)signal(SIGPIPE, SIG_IGN);     /* "| head" is seen as a write error */
}

void shell_fini(struct shell *sh)
{
    mrd_close(sh->conn);
    if (sh->out != stdout)
        (void)fclose(sh->out);
    free(sh->last);
}

bool shell_connect(struct shell *sh, const char *where)
{
    struct mrd_conn *conn = NULL;
    struct mrd_error err = {0};

    if (mrd_connect(where, &conn, &err) != MRD_OK) {
        (void)fprintf(stderr, "meridian: %s\n", err.message);
        return false;
    }
    mrd_close(sh->conn);
    sh->conn = conn;
    mrd_on_notice(conn, on_notice, NULL);
    if (sh->interactive && !sh->quiet)
        (void)printf("Connected to %s:%s as \"%s\", database \"%s\". \\? for help.\n",
                     mrd_host(conn), mrd_port(conn), mrd_user(conn), mrd_database(conn));
    return true;
}

/* Bytes that make up the first n characters of UTF-8. */
static size_t bytes_of_chars(const char *s, int n)
{
    size_t i = 0;

    while (n > 0 && s[i] != '\0') {
        i++;
        while (((unsigned char)s[i] & 0xc0) == 0x80)
            i++;
        n--;
    }
    return i;
}

/* "LINE 2: ..." and a caret under the character that the server names. */
static void show_place(const char *sql, int position)
{
    size_t at = bytes_of_chars(sql, position - 1), start = at, end = at, cut = 0;
    int line = 1, prefix;

    for (size_t i = 0; i < at; i++)
        line += sql[i] == '\n';
    while (start > 0 && sql[start - 1] != '\n')
        start--;
    end = at + strcspn(sql + at, "\n");
    if (at - start > LINE_SHOWN_MAX / 2)
        cut = at - LINE_SHOWN_MAX / 2;
    while (cut != 0 && ((unsigned char)sql[cut] & 0xc0) == 0x80)
        cut++;
    if (cut != 0)
        start = cut;
    if (end - start > LINE_SHOWN_MAX)
        end = start + LINE_SHOWN_MAX;
    while (end > at && ((unsigned char)sql[end] & 0xc0) == 0x80)
        end--;
    prefix = fprintf(stderr, "LINE %d: %s", line, cut != 0 ? "..." : "");
    (void)fprintf(stderr, "%.*s\n", (int)(end - start), sql + start);
    for (size_t i = start; i < at; i++)
        prefix += ((unsigned char)sql[i] & 0xc0) != 0x80;
    (void)fprintf(stderr, "%*s^\n", prefix, "");
}

void shell_error(const struct mrd_error *e, const char *sql)
{
    (void)fflush(stdout); /* what came before the error stands before it */
    if (e->sqlstate[0] != '\0')
        (void)fprintf(stderr, "%s:  %s: %s\n", e->severity, e->sqlstate, e->message);
    else
        (void)fprintf(stderr, "ERROR:  %s\n", e->message);
    if (e->position > 0 && sql != NULL)
        show_place(sql, e->position);
    if (e->detail[0] != '\0')
        (void)fprintf(stderr, "DETAIL:  %s\n", e->detail);
    if (e->hint[0] != '\0')
        (void)fprintf(stderr, "HINT:  %s\n", e->hint);
}

static enum mrd_status print_results(struct shell *sh, struct mrd_rows *rows)
{
    enum mrd_status st;

    do {
        if (mrd_columns(rows) != 0 || mrd_count(rows) != 0) {
            st = table_print(sh->out, rows, &sh->table);
            if (st != MRD_DONE)
                return st;
        } else if (!sh->quiet && *mrd_command(rows) != '\0') {
            (void)fprintf(sh->out, "%s\n", mrd_command(rows));
        }
        st = mrd_next_result(rows);
    } while (st == MRD_OK);
    return st;
}

static enum mrd_status run_and_print(struct shell *sh, const char *sql)
{
    struct mrd_rows *rows = NULL;
    bool streams = sh->table.format == TABLE_CSV || sh->table.format == TABLE_UNALIGNED;
    enum mrd_status st =
        streams ? mrd_stream(sh->conn, sql, &rows) : mrd_query(sh->conn, sql, &rows);

    if (st == MRD_OK)
        st = print_results(sh, rows);
    mrd_rows_close(rows);
    return st == MRD_DONE ? MRD_OK : st;
}

/* The statement is run; a lost connection is made again, for the statements that follow. */
bool shell_run(struct shell *sh, const char *sql)
{
    int64_t start = mono_now();
    struct mrd_cancel *cancel = mrd_cancel_new(sh->conn);
    enum mrd_status st;

    if (sh->echo)
        (void)fprintf(sh->out, "%s\n", sql);
    interrupt_cancel = cancel;
    st = run_and_print(sh, sql);
    interrupt_cancel = NULL;
    mrd_cancel_free(cancel);
    if (st != MRD_OK) {
        shell_error(mrd_error(sh->conn), sql);
        sh->failed = true;
    }
    if (sh->timing)
        (void)fprintf(sh->out, "Time: %.3f ms\n", (double)(mono_now() - start) / NS_PER_MS);
    (void)fflush(sh->out);
    if (!mrd_connected(sh->conn)) {
        (void)fprintf(stderr, "The connection was lost. Trying again: ");
        if (mrd_reconnect(sh->conn) != MRD_OK) {
            (void)fprintf(stderr, "%s\n", mrd_error(sh->conn)->message);
            sh->quit = !sh->interactive;
        } else {
            (void)fprintf(stderr, "now on %s:%s.\n", mrd_host(sh->conn), mrd_port(sh->conn));
        }
    }
    return st == MRD_OK;
}

static void make_prompt(const struct shell *sh, const struct split *split, char *out, size_t size)
{
    static const char inside[] = {
        [SPLIT_PLAIN] = '-', [SPLIT_QUOTE] = '\'', [SPLIT_ESCAPE_QUOTE] = '\'',
        [SPLIT_IDENT] = '"', [SPLIT_DOLLAR] = '$', [SPLIT_COMMENT] = '*'};
    static const char *const state[] = {
        [MRD_IDLE] = "", [MRD_IN_TRANSACTION] = "*", [MRD_FAILED_TRANSACTION] = "!"};
    char sign = '=';

    if (split->paren_depth > 0 && split->in == SPLIT_PLAIN)
        sign = '(';
    else if (!split_is_empty(split) || split->in != SPLIT_PLAIN)
        sign = inside[split->in];
    (void)snprintf(out, size, "%s%c%s> ", mrd_database(sh->conn), sign,
                   state[mrd_txn_state(sh->conn)]);
}

static void run_statement(struct shell *sh, struct input *in, struct split *split)
{
    if (!split_is_empty(split)) {
        buf_put_u8(&split->text, '\0');
        free(sh->last);
        sh->last = xstrdup((char *)split->text.ptr);
        split->text.ptr[split->text.len - 1] = ';';
        buf_put_u8(&split->text, '\0');
        if (sh->interactive)
            input_remember(in, (char *)split->text.ptr);
        (void)shell_run(sh, sh->last);
    }
    split_reset(split);
}

/* All that one line completes. */
static void take_line(struct shell *sh, struct input *in, struct split *split, const char *line)
{
    while (*line != '\0' && !sh->quit && !(sh->failed && sh->on_error_stop)) {
        switch (split_feed(split, &line)) {
        case SPLIT_MORE:
            return;
        case SPLIT_STATEMENT:
            run_statement(sh, in, split);
            break;
        case SPLIT_COMMAND:
            if (sh->interactive && split_is_empty(split))
                input_remember(in, line);
            line = shell_command(sh, line, split);
            break;
        }
    }
    if (*line == '\0' && (!split_is_empty(split) || split->in != SPLIT_PLAIN))
        buf_put_u8(&split->text, '\n'); /* an empty line inside a statement */
}

int shell_loop(struct shell *sh, struct input *in)
{
    struct split split;
    bool at_end = false;

    split_init(&split);
    while (!sh->quit && !at_end && !(sh->failed && sh->on_error_stop)) {
        const char *line = NULL;
        char prompt[128];

        make_prompt(sh, &split, prompt, sizeof prompt);
        switch (input_read(in, prompt, &line)) {
        case INPUT_LINE:
            take_line(sh, in, &split, line);
            break;
        case INPUT_INTERRUPTED:
            (void)fputc('\n', stdout);
            split_reset(&split);
            break;
        case INPUT_END:
            at_end = true;
            break;
        }
    }
    if (at_end && sh->interactive)
        (void)fputs("\\q\n", stdout);
    if (at_end && split.in == SPLIT_PLAIN)
        run_statement(sh, in, &split); /* the last statement of a pipe needs no semicolon */
    split_fini(&split);
    if (!mrd_connected(sh->conn))
        return SHELL_NO_CONNECTION;
    return sh->failed && sh->on_error_stop ? SHELL_SCRIPT_ERROR : SHELL_OK;
}

int shell_file(struct shell *sh, const char *path)
{
    FILE *from = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    bool was_interactive = sh->interactive;
    struct input *in;
    int rc;

    if (from == NULL) {
        (void)fprintf(stderr, "%s: %s\n", path, strerror(errno));
        sh->failed = true;
        return SHELL_FAILED;
    }
    if (sh->depth == SHELL_INCLUDE_MAX) {
        (void)fprintf(stderr, "%s: files include each other more than %d deep\n", path,
                      SHELL_INCLUDE_MAX);
        sh->failed = true;
        (void)fclose(from);
        return SHELL_FAILED;
    }
    in = input_stream(from);
    sh->depth++;
    sh->interactive = false;
    rc = shell_loop(sh, in);
    sh->interactive = was_interactive;
    sh->depth--;
    input_close(in);
    if (from != stdin)
        (void)fclose(from);
    return rc;
}
