/*
 * encode.h - what the server says in PostgreSQL v3: rows, row descriptions, errors, parameters.
 *
 * Everything goes to a wire's write buffer; nothing here sends. Thread: the wire's.
 */
#ifndef MRD_TOOLS_MERIDIAND_ENCODE_H
#define MRD_TOOLS_MERIDIAND_ENCODE_H

#include "base/arena.h"
#include "base/status.h"
#include "sql/datum.h"
#include "sql/session.h"
#include "tools/meridiand/wire.h"

/* Result formats of a portal as Bind gave them: none is text for all, one is for all, or one a column. */
struct formats {
    uint16_t *code; /* 0 text, 1 binary */
    size_t n;
};
static inline bool format_is_binary(const struct formats *f, size_t column)
{
    return f->n != 0 && f->code[f->n == 1 ? 0 : column] == 1;
}

void encode_row_description(struct wire *w, const struct column_desc *cols, size_t n,
                            const struct formats *formats);
void encode_parameter_description(struct wire *w, const enum sql_type *params, size_t n);
/* row_mem is scratch for values whose text is made; the caller resets it now and then. */
void encode_row(struct wire *w, const struct datum *values, size_t n, const struct formats *formats,
                struct arena *row_mem);

/* "ERROR", "FATAL": an ErrorResponse. "NOTICE", "WARNING", "INFO", "LOG", "DEBUG": a NoticeResponse. */
void encode_error(struct wire *w, const char *severity, const struct err *err);
void encode_notice(struct wire *w, const char *severity, const struct err *note);

void encode_command_complete(struct wire *w, const char *tag);
void encode_parameter_status(struct wire *w, const char *name, const char *value);
void encode_ready(struct wire *w, enum session_state state);
/* A message without a body: '1' ParseComplete, '2' BindComplete, 's' PortalSuspended ... */
void encode_bare(struct wire *w, char type);

#endif
