/*
 * like.h - LIKE and ILIKE on UTF-8 text.
 */
#ifndef MRD_SQL_LIKE_H
#define MRD_SQL_LIKE_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/status.h"

enum { LIKE_NO_ESCAPE = -1 };

/* Escape is one byte, or LIKE_NO_ESCAPE. 22025 if the pattern ends in it. */
enum status like_match(struct bytes text, struct bytes pattern, int escape, bool *out,
                       struct err *err) MRD_CHECKED;
/* Letter case is ignored; folds into mem. */
enum status ilike_match(struct bytes text, struct bytes pattern, int escape, struct arena *mem,
                        bool *out, struct err *err) MRD_CHECKED;
/* A pattern with an escape character of its own (one character, or empty for none), rewritten to use a
 * backslash. 22025 if it is longer. */
enum status like_escape(struct bytes pattern, struct bytes escape, struct arena *mem,
                        struct bytes *out, struct err *err) MRD_CHECKED;

/* The literal text with which every match must begin, for index ranges; *out_exact if the pattern is that text
 * alone. Into mem. */
struct bytes like_prefix(struct bytes pattern, int escape, struct arena *mem, bool *out_exact);

#endif
