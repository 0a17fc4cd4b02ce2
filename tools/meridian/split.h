/*
 * split.h - finds where a statement ends in text that comes line by line.
 *
 * Knows quotes, dollar quotes, comments and parentheses, no grammar. Thread: the object's owner.
 */
#ifndef MRD_TOOLS_MERIDIAN_SPLIT_H
#define MRD_TOOLS_MERIDIAN_SPLIT_H

#include "base/bytes.h"

enum split_in {
    SPLIT_PLAIN,
    SPLIT_QUOTE,        /* '...' */
    SPLIT_ESCAPE_QUOTE, /* E'...', where a backslash escapes */
    SPLIT_IDENT,        /* "..." */
    SPLIT_DOLLAR,       /* $tag$...$tag$ */
    SPLIT_COMMENT       /* nested */
};

struct split {
    struct buf text; /* the statement so far, without the semicolon; owned */
    enum split_in in;
    int comment_depth, paren_depth;
    char tag[64]; /* of a dollar quote, with its dollars */
};

enum split_end {
    SPLIT_MORE,      /* the line is used up, the statement goes on */
    SPLIT_STATEMENT, /* ended by a semicolon */
    SPLIT_COMMAND    /* an unquoted backslash: *at stands on it */
};

void split_init(struct split *s);
void split_fini(struct split *s);
void split_reset(struct split *s);
/* Takes from *at to where a statement or the line ends, and moves *at behind it. A line end is added to the text
 * of a statement that goes on. */
enum split_end split_feed(struct split *s, const char **at);
/* Nothing but blanks and comments has been taken. */
bool split_is_empty(const struct split *s);

#endif
