#include "tools/meridian/split.h"

#include <ctype.h>

void split_init(struct split *s)
{
    *s = (struct split){0};
}

void split_fini(struct split *s)
{
    buf_fini(&s->text);
}

void split_reset(struct split *s)
{
    buf_reset(&s->text);
    s->in = SPLIT_PLAIN;
    s->comment_depth = s->paren_depth = 0;
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

/* The quote at p follows an E that is a word by itself. */
static bool is_escape_prefix(const struct split *s)
{
    const uint8_t *t = s->text.ptr;
    size_t n = s->text.len;

    return n > 0 && (t[n - 1] == 'E' || t[n - 1] == 'e') && (n == 1 || !is_word((char)t[n - 2]));
}

/* "$$" or "$tag$" at p: its length, 0 if it is none ("$1", or the end of a name). */
static size_t dollar_tag(const struct split *s, const char *p)
{
    size_t n = 1;

    if (s->text.len > 0 && is_word((char)s->text.ptr[s->text.len - 1]))
        return 0;
    if (isdigit((unsigned char)p[1]))
        return 0;
    while (is_word(p[n]))
        n++;
    return p[n] == '$' && n + 1 < sizeof s->tag ? n + 1 : 0;
}

/* One step outside quotes; returns how many characters were taken. */
static size_t step_plain(struct split *s, const char *p)
{
    size_t n;

    if (p[0] == '-' && p[1] == '-')
        return strlen(p);
    if (p[0] == '/' && p[1] == '*') {
        s->in = SPLIT_COMMENT;
        s->comment_depth = 1;
        return 2;
    }
    if (p[0] == '\'')
        s->in = is_escape_prefix(s) ? SPLIT_ESCAPE_QUOTE : SPLIT_QUOTE;
    else if (p[0] == '"')
        s->in = SPLIT_IDENT;
    else if (p[0] == '(')
        s->paren_depth++;
    else if (p[0] == ')' && s->paren_depth > 0)
        s->paren_depth--;
    else if (p[0] == '$' && (n = dollar_tag(s, p)) != 0) {
        memcpy(s->tag, p, n);
        s->tag[n] = '\0';
        s->in = SPLIT_DOLLAR;
        return n;
    }
    return 1;
}

static size_t step_comment(struct split *s, const char *p)
{
    if (p[0] == '/' && p[1] == '*') {
        s->comment_depth++;
        return 2;
    }
    if (p[0] == '*' && p[1] == '/') {
        if (--s->comment_depth == 0)
            s->in = SPLIT_PLAIN;
        return 2;
    }
    return 1;
}

static size_t step(struct split *s, const char *p)
{
    switch (s->in) {
    case SPLIT_PLAIN:
        return step_plain(s, p);
    case SPLIT_COMMENT:
        return step_comment(s, p);
    case SPLIT_ESCAPE_QUOTE:
        if (p[0] == '\\' && p[1] != '\0')
            return 2;
        if (p[0] == '\'')
            s->in = SPLIT_PLAIN;
        return 1;
    case SPLIT_QUOTE:
        if (p[0] == '\'')
            s->in = SPLIT_PLAIN; /* a doubled quote opens again at once */
        return 1;
    case SPLIT_IDENT:
        if (p[0] == '"')
            s->in = SPLIT_PLAIN;
        return 1;
    case SPLIT_DOLLAR:
        if (p[0] == '$' && strncmp(p, s->tag, strlen(s->tag)) == 0) {
            s->in = SPLIT_PLAIN;
            return strlen(s->tag);
        }
        return 1;
    }
    return 1;
}

enum split_end split_feed(struct split *s, const char **at)
{
    const char *p = *at;

    while (*p != '\0') {
        size_t n;

        if (s->in == SPLIT_PLAIN && *p == ';' && s->paren_depth == 0) {
            *at = p + 1;
            return SPLIT_STATEMENT;
        }
        if (s->in == SPLIT_PLAIN && *p == '\\') {
            *at = p;
            return SPLIT_COMMAND;
        }
        n = step(s, p);
        buf_put(&s->text, p, n);
        p += n;
    }
    *at = p;
    if (!split_is_empty(s) || s->in != SPLIT_PLAIN)
        buf_put_u8(&s->text, '\n');
    else
        buf_reset(&s->text); /* a comment before a statement is not part of it */
    return SPLIT_MORE;
}

bool split_is_empty(const struct split *s)
{
    const char *p = (const char *)s->text.ptr, *end = p + s->text.len;
    int depth = 0;

    for (; p < end; p++) {
        if (depth == 0 && p + 1 < end && p[0] == '-' && p[1] == '-') {
            while (p < end && *p != '\n')
                p++;
            if (p == end)
                break;
        } else if (p + 1 < end && p[0] == '/' && p[1] == '*') {
            depth++;
            p++;
        } else if (depth > 0 && p + 1 < end && p[0] == '*' && p[1] == '/') {
            depth--;
            p++;
        } else if (depth == 0 && !isspace((unsigned char)*p)) {
            return false;
        }
    }
    return true;
}
