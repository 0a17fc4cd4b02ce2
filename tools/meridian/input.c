#include "tools/meridian/input.h"

#include <errno.h>
#include <histedit.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

enum { HISTORY_MAX = 2000 };

struct input {
    FILE *stream; /* NULL: a terminal */
    EditLine *el;
    History *history;
    char *history_file; /* NULL: there is no home */
    const char *prompt; /* of the read that runs */
    char *line;
    size_t line_size;
};

static char *prompt_of(EditLine *el)
{
    struct input *in = NULL;

    (void)el_get(el, EL_CLIENTDATA, &in); /* set when it was made */
    return (char *)(uintptr_t)in->prompt; /* libedit only reads it */
}

static char *home_file(const char *name)
{
    const char *home = getenv("HOME");
    char *path;
    size_t size;

    if (home == NULL || *home == '\0')
        return NULL;
    size = strlen(home) + strlen(name) + 2;
    path = xmalloc(size);
    (void)snprintf(path, size, "%s/%s", home, name);
    return path;
}

struct input *input_terminal(void)
{
    struct input *in = xcalloc(1, sizeof *in);
    HistEvent ev;

    in->el = el_init("meridian", stdin, stdout, stderr);
    if (in->el == NULL) { /* a terminal that libedit cannot drive: plain lines */
        in->stream = stdin;
        return in;
    }
    in->history = history_init();
    in->history_file = home_file(".meridian_history");
    in->prompt = "";
    (void)history(in->history, &ev, H_SETSIZE, HISTORY_MAX);
    (void)history(in->history, &ev, H_SETUNIQUE, 1);
    if (in->history_file != NULL)
        (void)history(in->history, &ev, H_LOAD,
                      in->history_file); /* the first time there is none */
    (void)el_set(in->el, EL_CLIENTDATA, in);
    (void)el_set(in->el, EL_PROMPT, prompt_of);
    (void)el_set(in->el, EL_EDITOR, "emacs");
    (void)el_set(in->el, EL_HIST, history, in->history);
    (void)el_set(in->el, EL_BIND, "^R", "em-inc-search-prev", NULL);
    (void)el_source(in->el, NULL); /* the user's ~/.editrc, if there is one */
    return in;
}

struct input *input_stream(FILE *from)
{
    struct input *in = xcalloc(1, sizeof *in);

    in->stream = from;
    return in;
}

void input_close(struct input *in)
{
    HistEvent ev;

    if (in == NULL)
        return;
    if (in->history != NULL) {
        if (in->history_file != NULL)
            (void)history(in->history, &ev, H_SAVE,
                          in->history_file); /* a lost history is no error */
        history_end(in->history);
    }
    if (in->el != NULL)
        el_end(in->el);
    free(in->history_file);
    free(in->line);
    free(in);
}

static enum input_result read_stream(struct input *in, const char **out)
{
    ssize_t n = getline(&in->line, &in->line_size, in->stream);

    if (n < 0)
        return INPUT_END;
    if (n > 0 && in->line[n - 1] == '\n')
        in->line[n - 1] = '\0';
    *out = in->line;
    return INPUT_LINE;
}

static enum input_result read_terminal(struct input *in, const char *prompt, const char **out)
{
    const char *got;
    size_t len;
    int n = 0;

    in->prompt = prompt;
    errno = 0;
    got = el_gets(in->el, &n);
    if (got == NULL || n <= 0)
        return errno == EINTR ? INPUT_INTERRUPTED : INPUT_END;
    len = strcspn(got, "\n");
    in->line = xrealloc(in->line, len + 1);
    memcpy(in->line, got, len);
    in->line[len] = '\0';
    *out = in->line;
    return INPUT_LINE;
}

enum input_result input_read(struct input *in, const char *prompt, const char **out)
{
    return in->stream != NULL ? read_stream(in, out) : read_terminal(in, prompt, out);
}

void input_remember(struct input *in, const char *statement)
{
    HistEvent ev;

    if (in->history != NULL)
        (void)history(in->history, &ev, H_ENTER, statement); /* without memory: not remembered */
}
