/*
 * type_name.h - from a type as written to a type and its modifier, and back.
 *
 * Typmods are PostgreSQL's: varchar(n) and char(n) are n + 4, numeric(p,s) is (p << 16 | s in 11 bits) + 4, -1 is none.
 * Pure functions.
 */
#ifndef MRD_SQL_TYPE_NAME_H
#define MRD_SQL_TYPE_NAME_H

#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "sql/ast.h"
#include "sql/datum.h"

/* 42704 unknown type, 22023 bad modifier, 0A000 arrays; with the name's position. */
enum status type_name_resolve(const struct type_name *name, enum sql_type *out_type,
                              int32_t *out_typmod, struct err *err) MRD_CHECKED;

/* Of a NUMERIC's typmod that is not -1. The scale may be negative, or above the precision. */
static inline int type_numeric_precision(int32_t typmod)
{
    return (typmod - 4) >> 16 & 0xffff;
}
static inline int type_numeric_scale(int32_t typmod)
{
    return (((typmod - 4) & 0x7ff) ^ 1024) - 1024;
}

/* "character varying(20)", as PostgreSQL's format_type() prints it. */
const char *type_name_format(enum sql_type type, int32_t typmod, struct arena *mem);

#endif
