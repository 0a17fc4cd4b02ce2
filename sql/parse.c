#include "sql/parse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lemon/parse.h"
#include "sql/lex.h"
#include "sql/parse_int.h"
#include "sql/utf8.h"

/* The generated parser. */
void *sql_grammarAlloc(void *(*alloc)(size_t), struct parser *p);
void sql_grammar(void *machine, int kind, struct token token);
void sql_grammarFree(void *machine, void (*release)(void *));

void parser_fail(struct parser *p, const char *sqlstate, int pos, const char *fmt, ...)
{
    va_list ap;
    char msg[256];

    if (p->st != ST_OK)
        return;
    va_start(ap, fmt);
    (void)vsnprintf(msg, sizeof msg, fmt, ap); /* a longer message is cut */
    va_end(ap);
    p->st = err_set(p->err, ST_REJECT, sqlstate, "%s", msg);
    if (pos > 0)
        (void)err_position(p->err, pos);
}

void parser_syntax_error(struct parser *p, const struct token *t)
{
    if (t->kind == 0)
        parser_fail(p, SQLSTATE_SYNTAX_ERROR, t->pos, "syntax error at end of input");
    else
        parser_fail(p, SQLSTATE_SYNTAX_ERROR, t->pos, "syntax error at or near \"%.*s\"",
                    (int)utf8_clip(bytes_of(p->text.ptr + t->begin, t->end - t->begin), 150),
                    (const char *)p->text.ptr + t->begin);
}

/* Bounds what the grammar's stack can hold before any node is built. */
static void check_nesting(struct parser *p, const struct token *t, int *nesting)
{
    if (t->kind == TK_LP || t->kind == TK_LB || t->kind == TK_CASE)
        (*nesting)++;
    else if (t->kind == TK_RP || t->kind == TK_RB || t->kind == TK_END)
        (*nesting)--;
    if (*nesting > SQL_NESTING_MAX)
        parser_fail(p, SQLSTATE_STATEMENT_TOO_COMPLEX, t->pos,
                    "statement is nested more than %d levels deep", SQL_NESTING_MAX);
}

/* Feeds one statement, up to a semicolon or the end. *out_last is the last token before that; it and the first
 * are the same kind-0 token if there was nothing. */
static enum status parse_one(struct parser *p, struct lexer *lx, void *machine,
                             struct token *out_first, struct token *out_last, bool *out_more)
{
    enum status st = ST_OK;
    struct token t;
    int nesting = 0;
    size_t n = 0;

    for (;; n++) {
        TRY(lex_next(lx, &t, p->err));
        if (t.kind == 0 || t.kind == LEX_SEMICOLON)
            break;
        if (n == 0)
            *out_first = t;
        *out_last = t;
        check_nesting(p, &t, &nesting);
        if (p->st == ST_OK)
            sql_grammar(machine, t.kind, t);
        TRY(p->st);
    }
    *out_more = t.kind == LEX_SEMICOLON;
    if (n > 0) {
        /* A semicolon in the middle is an error at itself, the text's end one at the end. */
        sql_grammar(machine, 0, t);
        TRY(p->st);
    } else {
        *out_first = *out_last = (struct token){.kind = 0};
    }
out:
    return st;
}

static struct stmt *finish_stmt(struct parser *p, const struct token *first,
                                const struct token *last)
{
    struct stmt *s = p->result;

    s->pos = first->pos;
    s->begin = first->begin;
    s->len = last->end - first->begin;
    s->max_param = p->max_param;
    return s;
}

static void parser_reset(struct parser *p)
{
    p->result = NULL;
    p->expr_result = NULL;
    p->max_param = 0;
}

static enum status parse_all(struct parser *p, struct lexer *lx, struct stmt_list *out)
{
    enum status st = ST_OK;
    struct stmt_list list = {NULL, 0};
    struct token first;
    struct token last;
    bool more = true;
    void *machine = NULL;

    while (more) {
        parser_reset(p);
        machine = sql_grammarAlloc(malloc, p);
        TRY(parse_one(p, lx, machine, &first, &last, &more));
        sql_grammarFree(machine, free);
        machine = NULL;
        if (p->result == NULL)
            continue;
        list.items = vec_grow(p, list.items, list.n, sizeof *list.items);
        list.items[list.n++] = finish_stmt(p, &first, &last);
    }
    *out = list;
out:
    if (machine != NULL)
        sql_grammarFree(machine, free);
    return st;
}

enum status sql_parse(struct bytes text, struct arena *mem, struct stmt_list *out, struct err *err)
{
    enum status st = ST_OK;
    struct err ignored;
    struct parser p = {.mem = mem, .err = err != NULL ? err : &ignored, .text = text};
    struct lexer lx;

    TRY(lex_check(text, err));
    lex_init(&lx, text, mem);
    TRY(parse_all(&p, &lx, out));
out:
    return st;
}

enum status sql_parse_expr(struct bytes text, struct arena *mem, struct expr **out, struct err *err)
{
    enum status st = ST_OK;
    struct err ignored;
    struct parser p = {.mem = mem, .err = err != NULL ? err : &ignored, .text = text};
    struct lexer lx;
    struct token first;
    struct token last;
    bool more;
    void *machine = NULL;

    TRY(lex_check(text, err));
    lex_init(&lx, text, mem);
    machine = sql_grammarAlloc(malloc, &p);
    sql_grammar(machine, TK_WANT_EXPR, (struct token){.str = "", .kind = TK_WANT_EXPR});
    TRY(parse_one(&p, &lx, machine, &first, &last, &more));
    if (p.expr_result == NULL || more) {
        st = err_set(err, ST_REJECT, SQLSTATE_SYNTAX_ERROR, "one expression was expected");
        goto out;
    }
    *out = p.expr_result;
out:
    if (machine != NULL)
        sql_grammarFree(machine, free);
    return st;
}
