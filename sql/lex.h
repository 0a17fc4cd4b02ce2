/*
 * lex.h - SQL text to tokens, as PostgreSQL cuts it.
 *
 * Hides quoting, comments, escapes and the words that need a look ahead (NOT BETWEEN, NULLS FIRST, WITH TIME,
 * AS OF SYSTEM), which become tokens of their own so that the grammar needs to see one token only.
 * For the parser alone. Thread: a lexer belongs to one thread.
 */
#ifndef MRD_SQL_LEX_H
#define MRD_SQL_LEX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/status.h"

enum {
    IDENT_MAX = 63,     /* bytes of an identifier; more are cut, as PostgreSQL does */
    LEX_SEMICOLON = 999 /* kind of the token between statements, which the grammar never sees */
};

struct token {
    const char *
        str; /* identifier folded, keyword, string's content, number's or operator's text; never NULL */
    int kind;       /* TK_... of the grammar; 0 at the end of the text */
    int pos;        /* 1-based character position */
    uint32_t begin; /* byte range in the text */
    uint32_t end;
};

struct lexer {
    struct bytes text; /* borrowed */
    struct arena *mem; /* strings of tokens go here */
    size_t at;         /* next byte to look at */
    size_t counted;    /* bytes whose characters `chars` counts */
    int chars;
    bool after_dot; /* what follows a dot is a name, whatever word it is */
    bool has_ahead;
    struct token ahead; /* one token read too far */
};

/* The text must be valid UTF-8 without zero bytes: see lex_check(). */
void lex_init(struct lexer *lx, struct bytes text, struct arena *mem);
/* 22021 for text that is not UTF-8, 54000 for text that is too long. */
enum status lex_check(struct bytes text, struct err *err) MRD_CHECKED;
/* 42601 for what is not a token: unterminated strings and comments, 12abc ... */
enum status lex_next(struct lexer *lx, struct token *out, struct err *err) MRD_CHECKED;

#endif
