#include "sql/lex.h"

#include <stddef.h>
#include <string.h>

#include "lemon/parse.h"
#include "sql/keyword.h"
#include "sql/utf8.h"

/* Texts are counted in 32 bits; statements of this size are an accident anyway. */
enum { TEXT_MAX = 256 * 1024 * 1024 };

void lex_init(struct lexer *lx, struct bytes text, struct arena *mem)
{
    memset(lx, 0, sizeof *lx);
    lx->text = text;
    lx->mem = mem;
}

enum status lex_check(struct bytes text, struct err *err)
{
    if (text.len > TEXT_MAX)
        return err_set(err, ST_REJECT, SQLSTATE_PROGRAM_LIMIT_EXCEEDED,
                       "statement text of %zu bytes is too long", text.len);
    return utf8_check(text, err);
}

/* The byte `n` after the current one; 0 past the end (the text itself holds no zero). */
static int peek(const struct lexer *lx, size_t n)
{
    return lx->at + n < lx->text.len ? lx->text.ptr[lx->at + n] : 0;
}

/* Character position of a byte at or after the last one asked for. */
static int position_of(struct lexer *lx, size_t at)
{
    for (; lx->counted < at; lx->counted++)
        lx->chars += (lx->text.ptr[lx->counted] & 0xc0) != 0x80;
    return lx->chars + 1;
}

static enum status fail(struct lexer *lx, size_t begin, const char *what, struct err *err)
{
    size_t len = lx->at - begin;
    int shown = (int)(len > 150 ? 150 : len);

    while (shown > 0 && (size_t)shown < len && (lx->text.ptr[begin + (size_t)shown] & 0xc0) == 0x80)
        shown--;
    (void)err_set(err, ST_REJECT, SQLSTATE_SYNTAX_ERROR, "%s at or near \"%.*s\"", what, shown,
                  (const char *)lx->text.ptr + begin);
    return err_position(err, position_of(lx, begin));
}

static bool is_space(int c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static bool is_ident_start(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80;
}

static bool is_ident(int c)
{
    return is_ident_start(c) || is_digit(c) || c == '$';
}

static bool is_operator(int c)
{
    return c != 0 && strchr("~!@#^&|`?+-*/%<>=", c) != NULL;
}

/* A nested comment; the cursor stands on its opening. */
static enum status skip_comment(struct lexer *lx, struct err *err)
{
    size_t begin = lx->at;
    int depth = 0;

    do {
        if (peek(lx, 0) == '/' && peek(lx, 1) == '*') {
            depth++;
            lx->at += 2;
        } else if (peek(lx, 0) == '*' && peek(lx, 1) == '/') {
            depth--;
            lx->at += 2;
        } else if (lx->at >= lx->text.len) {
            return fail(lx, begin, "unterminated /* comment", err);
        } else {
            lx->at++;
        }
    } while (depth > 0);
    return ST_OK;
}

static enum status skip_blanks(struct lexer *lx, struct err *err)
{
    enum status st = ST_OK;

    for (;;) {
        if (is_space(peek(lx, 0))) {
            lx->at++;
        } else if (peek(lx, 0) == '-' && peek(lx, 1) == '-') {
            while (lx->at < lx->text.len && peek(lx, 0) != '\n' && peek(lx, 0) != '\r')
                lx->at++;
        } else if (peek(lx, 0) == '/' && peek(lx, 1) == '*') {
            TRY(skip_comment(lx, err));
        } else {
            break;
        }
    }
out:
    return st;
}

/* ---- words ---- */

static const char *fold(struct lexer *lx, size_t begin, size_t len)
{
    char *s;

    if (len > IDENT_MAX)
        len = utf8_clip(bytes_of(lx->text.ptr + begin, len), IDENT_MAX);
    s = arena_strndup(lx->mem, (const char *)lx->text.ptr + begin, len);
    for (char *c = s; *c != '\0'; c++) {
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    }
    return s;
}

static enum status lex_word(struct lexer *lx, struct token *out)
{
    size_t begin = lx->at;
    const struct keyword *k;

    while (is_ident(peek(lx, 0)))
        lx->at++;
    out->str = fold(lx, begin, lx->at - begin);
    k = lx->after_dot ? NULL : keyword_find(out->str, strlen(out->str));
    out->kind = k == NULL ? TK_ID : k->token;
    return ST_OK;
}

static enum status lex_quoted_word(struct lexer *lx, struct token *out, struct err *err)
{
    size_t begin = lx->at;
    char *s;
    size_t n = 0;

    lx->at++;
    while (lx->at < lx->text.len && (peek(lx, 0) != '"' || peek(lx, 1) == '"'))
        lx->at += peek(lx, 0) == '"' ? 2 : 1;
    if (lx->at >= lx->text.len)
        return fail(lx, begin, "unterminated quoted identifier", err);
    lx->at++;
    if (lx->at - begin == 2)
        return fail(lx, begin, "zero-length delimited identifier", err);
    s = arena_alloc(lx->mem, lx->at - begin);
    for (size_t i = begin + 1; i + 1 < lx->at; i++) {
        s[n++] = (char)lx->text.ptr[i];
        if (lx->text.ptr[i] == '"')
            i++;
    }
    if (n > IDENT_MAX)
        n = utf8_clip(bytes_of(s, n), IDENT_MAX);
    s[n] = '\0';
    out->str = s;
    out->kind = TK_ID;
    return ST_OK;
}

/* ---- numbers ---- */

static void skip_digits(struct lexer *lx)
{
    while (is_digit(peek(lx, 0)))
        lx->at++;
}

static void skip_ident(struct lexer *lx)
{
    while (is_ident(peek(lx, 0)))
        lx->at++;
}

static enum status lex_number(struct lexer *lx, struct token *out, struct err *err)
{
    size_t begin = lx->at;

    out->kind = TK_ICONST;
    skip_digits(lx);
    if (peek(lx, 0) == '.' && peek(lx, 1) != '.') {
        out->kind = TK_FCONST;
        lx->at++;
        skip_digits(lx);
    }
    if (peek(lx, 0) == 'e' || peek(lx, 0) == 'E') {
        size_t sign = peek(lx, 1) == '+' || peek(lx, 1) == '-';

        if (is_digit(peek(lx, 1 + sign))) {
            out->kind = TK_FCONST;
            lx->at += 1 + sign;
            skip_digits(lx);
        } else if (sign) {
            lx->at += 2;
            return fail(lx, begin, "trailing junk after numeric literal", err);
        }
    }
    if (is_ident_start(peek(lx, 0))) {
        skip_ident(lx);
        return fail(lx, begin, "trailing junk after numeric literal", err);
    }
    out->str = arena_strndup(lx->mem, (const char *)lx->text.ptr + begin, lx->at - begin);
    return ST_OK;
}

static enum status lex_param(struct lexer *lx, struct token *out, struct err *err)
{
    size_t begin = lx->at;

    lx->at++;
    skip_digits(lx);
    if (is_ident_start(peek(lx, 0))) {
        skip_ident(lx);
        return fail(lx, begin, "trailing junk after parameter", err);
    }
    out->kind = TK_PARAM;
    out->str = arena_strndup(lx->mem, (const char *)lx->text.ptr + begin + 1, lx->at - begin - 1);
    return ST_OK;
}

/* ---- strings ---- */

static int hex_value(int c)
{
    if (is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* \uXXXX (digits 4) or \UXXXXXXXX (8) after the letter; surrogate pairs are joined. */
static enum status unicode_escape(struct lexer *lx, int digits, char *s, size_t *n, struct err *err)
{
    size_t begin = lx->at;
    uint32_t c = 0;

    for (int i = 0; i < digits; i++) {
        int v = hex_value(peek(lx, 0));

        if (v < 0) {
            (void)err_set(err, ST_REJECT, SQLSTATE_INVALID_ESCAPE_SEQUENCE,
                          "invalid Unicode escape");
            (void)err_hint(err, "Unicode escapes must be \\uXXXX or \\UXXXXXXXX.");
            return err_position(err, position_of(lx, begin - 2));
        }
        c = c << 4 | (uint32_t)v;
        lx->at++;
    }
    if (c >= 0xd800 && c < 0xdc00 && peek(lx, 0) == '\\' && peek(lx, 1) == 'u') {
        uint32_t low = 0;

        for (size_t i = 0; i < 4; i++)
            low = low << 4 | (uint32_t)(hex_value(peek(lx, 2 + i)) & 0xf);
        if (low >= 0xdc00 && low < 0xe000) {
            c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
            lx->at += 6;
        }
    }
    if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) {
        (void)err_set(err, ST_REJECT, SQLSTATE_SYNTAX_ERROR, "invalid Unicode escape value");
        return err_position(err, position_of(lx, begin));
    }
    *n += utf8_put(c, (uint8_t *)s + *n);
    return ST_OK;
}

/* The escape after a backslash in E''; the cursor stands behind the backslash. */
static enum status string_escape(struct lexer *lx, char *s, size_t *n, struct err *err)
{
    static const char from[] = "bfnrtv";
    static const char to[] = "\b\f\n\r\t\v";
    int c = peek(lx, 0);
    const char *hit = c == 0 ? NULL : strchr(from, c);

    lx->at++;
    if (hit != NULL) {
        s[(*n)++] = to[hit - from];
    } else if (c >= '0' && c <= '7') {
        int v = c - '0';

        for (int i = 0; i < 2 && peek(lx, 0) >= '0' && peek(lx, 0) <= '7'; i++)
            v = v * 8 + (lx->text.ptr[lx->at++] - '0');
        s[(*n)++] = (char)v;
    } else if (c == 'x' && hex_value(peek(lx, 0)) >= 0) {
        int v = hex_value(lx->text.ptr[lx->at++]);

        if (hex_value(peek(lx, 0)) >= 0)
            v = v * 16 + hex_value(lx->text.ptr[lx->at++]);
        s[(*n)++] = (char)v;
    } else if (c == 'u' || c == 'U') {
        return unicode_escape(lx, c == 'u' ? 4 : 8, s, n, err);
    } else if (c != 0) {
        s[(*n)++] = (char)c;
    }
    return ST_OK;
}

/* True, and the cursor behind the quote, if only blanks with a line end stand before another quote: the two
 * strings are one. */
static bool string_goes_on(struct lexer *lx)
{
    size_t at = lx->at;
    bool newline = false;

    while (at < lx->text.len && is_space(lx->text.ptr[at])) {
        newline = newline || lx->text.ptr[at] == '\n' || lx->text.ptr[at] == '\r';
        at++;
    }
    if (!newline || at >= lx->text.len || lx->text.ptr[at] != '\'')
        return false;
    lx->at = at + 1;
    return true;
}

/* Moves behind the closing quote of a string whose first character is the current one. */
static bool skip_string(struct lexer *lx, bool escapes)
{
    while (lx->at < lx->text.len) {
        if (peek(lx, 0) == '\\' && escapes) {
            lx->at += 2;
        } else if (peek(lx, 0) != '\'') {
            lx->at++;
        } else if (peek(lx, 1) == '\'') {
            lx->at += 2;
        } else {
            lx->at++;
            if (!string_goes_on(lx))
                return true;
        }
    }
    lx->at = lx->text.len; /* a backslash may have led past it */
    return false;
}

/* '...'; begin is where the token starts (an E may stand there), quote where its first quote is. */
static enum status lex_string(struct lexer *lx, size_t begin, size_t quote, bool escapes,
                              struct token *out, struct err *err)
{
    enum status st = ST_OK;
    size_t end;
    char *s;
    size_t n = 0;

    lx->at = quote + 1;
    if (!skip_string(lx, escapes))
        return fail(lx, begin, "unterminated quoted string", err);
    end = lx->at;
    s = arena_alloc(lx->mem, end - quote); /* no escape is longer than what it stands for */
    lx->at = quote + 1;
    while (lx->at < end) {
        int c = peek(lx, 0);

        lx->at++;
        if (c == '\'' && peek(lx, 0) == '\'' && lx->at < end) {
            s[n++] = '\'';
            lx->at++;
        } else if (c == '\'') {
            if (lx->at < end)
                (void)string_goes_on(lx); /* it does: there is more before the end */
        } else if (c == '\\' && escapes) {
            TRY(string_escape(lx, s, &n, err));
        } else {
            s[n++] = (char)c;
        }
    }
    s[n] = '\0';
    if (escapes)
        TRY(utf8_check(bytes_of(s, n), err));
    out->str = s;
    out->kind = TK_SCONST;
out:
    return st;
}

/* $tag$ ... $tag$; false if this dollar does not start one. */
static bool dollar_tag(const struct lexer *lx, size_t *out_len)
{
    size_t n = 1;

    if (peek(lx, 1) != '$' && !is_ident_start(peek(lx, 1)))
        return false;
    while (is_ident(peek(lx, n)) && peek(lx, n) != '$')
        n++;
    *out_len = n + 1;
    return peek(lx, n) == '$';
}

static enum status lex_dollar_string(struct lexer *lx, size_t tag_len, struct token *out,
                                     struct err *err)
{
    size_t begin = lx->at;
    const uint8_t *start = lx->text.ptr + begin + tag_len;
    const uint8_t *end =
        memmem(start, lx->text.len - begin - tag_len, lx->text.ptr + begin, tag_len);

    if (end == NULL) {
        lx->at = lx->text.len;
        return fail(lx, begin, "unterminated dollar-quoted string", err);
    }
    lx->at = (size_t)(end - lx->text.ptr) + tag_len;
    out->str = arena_strndup(lx->mem, (const char *)start, (size_t)(end - start));
    out->kind = TK_SCONST;
    return ST_OK;
}

/* ---- operators ---- */

static int single_char(int c)
{
    switch (c) {
    case '(':
        return TK_LP;
    case ')':
        return TK_RP;
    case '[':
        return TK_LB;
    case ']':
        return TK_RB;
    case ',':
        return TK_COMMA;
    case '.':
        return TK_DOT;
    case ':':
        return TK_COLON;
    case '+':
        return TK_PLUS;
    case '-':
        return TK_MINUS;
    case '*':
        return TK_STAR;
    case '/':
        return TK_SLASH;
    case '%':
        return TK_PERCENT;
    case '^':
        return TK_CARET;
    case '<':
        return TK_LT;
    case '>':
        return TK_GT;
    case '=':
        return TK_EQ;
    default:
        return 0;
    }
}

static int operator_kind(const char *s, size_t len)
{
    if (len == 1 && single_char(s[0]) != 0)
        return single_char(s[0]);
    if (len == 2 && s[1] == '=' && s[0] == '<')
        return TK_LE;
    if (len == 2 && s[1] == '=' && s[0] == '>')
        return TK_GE;
    if (len == 2 && s[0] == '<' && s[1] == '>')
        return TK_NE;
    return TK_OP;
}

/* The longest run of operator characters, but a comment ends it, and a + or - at its end belongs to it only
 * if the run holds a character that no SQL operator has (PostgreSQL's rule, so that a=-1 works). */
static void lex_operator(struct lexer *lx, struct token *out)
{
    size_t len = 0;
    bool strange = false;

    while (is_operator(peek(lx, len))) {
        int next = peek(lx, len + 1);

        if (len > 0 &&
            ((peek(lx, len) == '-' && next == '-') || (peek(lx, len) == '/' && next == '*')))
            break;
        strange = strange || strchr("~!@#^&|`?%", peek(lx, len)) != NULL;
        len++;
    }
    while (len > 1 && !strange && (peek(lx, len - 1) == '+' || peek(lx, len - 1) == '-'))
        len--;
    out->str = arena_strndup(lx->mem, (const char *)lx->text.ptr + lx->at, len);
    out->kind = operator_kind(out->str, len);
    if (strcmp(out->str, "!=") == 0) {
        out->str = "<>";
        out->kind = TK_NE;
    }
    lx->at += len;
}

/* ---- tokens ---- */

static enum status lex_plain(struct lexer *lx, struct token *out, struct err *err)
{
    size_t begin = lx->at;
    int c = peek(lx, 0);
    int next = peek(lx, 1);
    size_t tag_len;

    if (next == '\'' && (c == 'e' || c == 'E'))
        return lex_string(lx, begin, begin + 1, true, out, err);
    if (next == '\'' && (c == 'n' || c == 'N'))
        return lex_string(lx, begin, begin + 1, false, out, err);
    if (next == '\'' && (c == 'b' || c == 'B' || c == 'x' || c == 'X')) {
        (void)err_set(err, ST_REJECT, SQLSTATE_FEATURE_NOT_SUPPORTED,
                      "bit strings are not supported");
        return err_position(err, position_of(lx, begin));
    }
    if (is_ident_start(c))
        return lex_word(lx, out);
    if (c == '"')
        return lex_quoted_word(lx, out, err);
    if (c == '\'')
        return lex_string(lx, begin, begin, false, out, err);
    if (is_digit(c) || (c == '.' && is_digit(next)))
        return lex_number(lx, out, err);
    if (c == '$' && is_digit(next))
        return lex_param(lx, out, err);
    if (c == '$' && dollar_tag(lx, &tag_len))
        return lex_dollar_string(lx, tag_len, out, err);
    if (c == ':' && next == ':') {
        lx->at += 2;
        out->kind = TK_TYPECAST;
        out->str = "::";
        return ST_OK;
    }
    if (is_operator(c)) {
        lex_operator(lx, out);
        return ST_OK;
    }
    if (c == '.' && next == '.') { /* a token that SQL has no use for */
        lx->at += 2;
        return fail(lx, begin, "syntax error", err);
    }
    lx->at++;
    out->str = arena_strndup(lx->mem, (const char *)lx->text.ptr + begin, 1);
    out->kind = c == ';' ? LEX_SEMICOLON : single_char(c);
    if (out->kind == 0)
        return fail(lx, begin, "syntax error", err);
    return ST_OK;
}

static enum status lex_one(struct lexer *lx, struct token *out, struct err *err)
{
    enum status st = ST_OK;

    TRY(skip_blanks(lx, err));
    *out = (struct token){.str = "", .pos = position_of(lx, lx->at), .begin = (uint32_t)lx->at};
    if (lx->at < lx->text.len)
        TRY(lex_plain(lx, out, err));
    lx->after_dot = out->kind == TK_DOT;
    out->end = (uint32_t)lx->at;
out:
    return st;
}

/* The kind of a word that the next one turns into another token; 0 if it stays what it is. */
static int joined_kind(int kind, const struct token *next)
{
    switch (kind) {
    case TK_NOT:
        return next->kind == TK_BETWEEN || next->kind == TK_IN || next->kind == TK_LIKE ||
                       next->kind == TK_ILIKE || next->kind == TK_SIMILAR
                   ? TK_NOT_LA
                   : 0;
    case TK_NULLS:
        return next->kind == TK_FIRST || next->kind == TK_LAST ? TK_NULLS_LA : 0;
    case TK_WITH:
        return next->kind == TK_TIME || next->kind == TK_ORDINALITY ? TK_WITH_LA : 0;
    case TK_AS:
        return next->kind == TK_OF ? TK_AS_LA : 0;
    default:
        return 0;
    }
}

enum status lex_next(struct lexer *lx, struct token *out, struct err *err)
{
    enum status st = ST_OK;
    int joined;

    if (lx->has_ahead) {
        *out = lx->ahead;
        lx->has_ahead = false;
    } else {
        TRY(lex_one(lx, out, err));
    }
    if (out->kind != TK_NOT && out->kind != TK_NULLS && out->kind != TK_WITH && out->kind != TK_AS)
        goto out;
    TRY(lex_one(lx, &lx->ahead, err));
    lx->has_ahead = true;
    joined = joined_kind(out->kind, &lx->ahead);
    if (joined != 0)
        out->kind = joined;
out:
    return st;
}
