/*
 * keyword.h - PostgreSQL's keywords and their classes.
 */
#ifndef MRD_SQL_KEYWORD_H
#define MRD_SQL_KEYWORD_H

#include <stdbool.h>
#include <stddef.h>

/* What a word may also be used for. */
enum keyword_class {
    KEYWORD_UNRESERVED, /* any name */
    KEYWORD_COLUMN,     /* column and table, not function or type */
    KEYWORD_TYPE_FUNC,  /* function and type, not column or table */
    KEYWORD_RESERVED    /* only a label after AS */
};

struct keyword {
    const char *name;
    int token; /* of the grammar; TK_ID where the grammar does not treat the word specially */
    enum keyword_class class;
};

/* Lower-case word to keyword; NULL if it is none. */
const struct keyword *keyword_find(const char *word, size_t len);
/* All of them, sorted by name: for tests and completion. */
const struct keyword *keyword_table(size_t *out_n);
/* True if a name must be quoted to be read back as the same identifier. */
bool keyword_needs_quotes(const char *name);

#endif
