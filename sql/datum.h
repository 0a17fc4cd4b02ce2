/*
 * datum.h - SQL types and values.
 *
 * A datum is a small value passed by copy; text, bytea and numeric point into an arena that its maker
 * names. Types are PostgreSQL's, with PostgreSQL's OIDs on the wire. Pure values; no threads.
 */
#ifndef MRD_SQL_DATUM_H
#define MRD_SQL_DATUM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/status.h"

enum sql_type {
    TYPE_UNKNOWN = 0, /* an untyped literal or NULL, or a parameter not yet resolved */
    TYPE_BOOL,
    TYPE_INT2,
    TYPE_INT4,
    TYPE_INT8,
    TYPE_FLOAT4, /* real: kept as double, rounded to single */
    TYPE_FLOAT8,
    TYPE_NUMERIC,
    TYPE_TEXT,
    TYPE_VARCHAR, /* typmod: max characters, -1 none */
    TYPE_BPCHAR,  /* char(n) */
    TYPE_BYTEA,
    TYPE_TIMESTAMPTZ, /* microseconds since the Unix epoch, UTC; infinity is INT64_MAX/MIN */
    TYPE_COUNT
};

/* Exact decimal. Opaque outside sql/numeric.c; see sql/numeric.h. */
struct numeric;

struct datum {
    enum sql_type type;
    bool null;
    union {
        bool b;
        int64_t i;               /* INT2, INT4, INT8, TIMESTAMPTZ */
        double d;                /* FLOAT4, FLOAT8 */
        struct bytes s;          /* TEXT, VARCHAR, BPCHAR, BYTEA, UNKNOWN literals */
        const struct numeric *n; /* NUMERIC */
    };
};

/* What is known of a type by itself. */
struct type_info {
    enum sql_type type;
    const char *name; /* "bigint", as format_type prints it */
    uint32_t oid;     /* 20 */
    int16_t wire_len; /* typlen: 8; -1 variable */
    char category;    /* 'B' 'N' 'S' 'D' 'U' 'X' as in pg_type.typcategory */
};
const struct type_info *type_info(enum sql_type t);
enum sql_type type_by_oid(uint32_t oid); /* TYPE_UNKNOWN if not known */
/* SQL spelling: "int", "integer", "int4", "double precision", "varchar" ... False if not known. */
bool type_by_name(const char *name, enum sql_type *out);

/* Text form as PostgreSQL prints it (extra_float_digits 1: shortest exact floats). Into mem. */
struct bytes datum_text(const struct datum *d, struct arena *mem);
/* Input functions: text form to value. 22P02, 22003, 22007, 22008 as PostgreSQL. */
enum status datum_from_text(enum sql_type t, struct bytes text, struct arena *mem,
                            struct datum *out, struct err *err) MRD_CHECKED;
/* Binary wire form (network order), as PostgreSQL's send/receive functions. */
void datum_to_binary(const struct datum *d, struct buf *out);
enum status datum_from_binary(enum sql_type t, struct bytes wire, struct arena *mem,
                              struct datum *out, struct err *err) MRD_CHECKED;

/* Order within one type (NULL is the caller's matter); floats with NaN last; text by bytes (C collation). */
int datum_cmp(const struct datum *a, const struct datum *b);
uint64_t datum_hash(const struct datum *d); /* equal values (datum_cmp 0) hash equal */
struct datum datum_copy(const struct datum *d, struct arena *mem);

/* Calendar. The zone of a session is UTC unless set; only UTC and fixed offsets are known so far. */

static inline struct datum datum_null(enum sql_type t)
{
    return (struct datum){.type = t, .null = true};
}

#endif
