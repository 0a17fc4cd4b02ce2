/*
 * soup.h - random SQL for tests of the parser: words in any order, and expressions that parse.
 *
 * Both append to a buffer. One seed, one text.
 */
#ifndef MRD_TESTS_SOUP_H
#define MRD_TESTS_SOUP_H

#include "base/bytes.h"
#include "base/rng.h"

/* Up to n words, signs and pieces of tokens. */
void soup_words(struct rng *r, int n, struct buf *out);
/* An expression that the grammar takes, of about so many levels. */
void soup_expr(struct rng *r, int levels, struct buf *out);
/* SELECT, INSERT, UPDATE or DELETE, likewise. */
void soup_stmt(struct rng *r, int levels, struct buf *out);

#endif
