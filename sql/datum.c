#include "sql/datum.h"

#include <math.h>
#include <string.h>
#include <strings.h>
#include <xxhash.h>

#include "base/check.h"
#include "sql/numeric.h"

static const struct type_info types[TYPE_COUNT] = {
    [TYPE_UNKNOWN] = {TYPE_UNKNOWN, "unknown", 705, -2, 'X'},
    [TYPE_BOOL] = {TYPE_BOOL, "boolean", 16, 1, 'B'},
    [TYPE_INT2] = {TYPE_INT2, "smallint", 21, 2, 'N'},
    [TYPE_INT4] = {TYPE_INT4, "integer", 23, 4, 'N'},
    [TYPE_INT8] = {TYPE_INT8, "bigint", 20, 8, 'N'},
    [TYPE_FLOAT4] = {TYPE_FLOAT4, "real", 700, 4, 'N'},
    [TYPE_FLOAT8] = {TYPE_FLOAT8, "double precision", 701, 8, 'N'},
    [TYPE_NUMERIC] = {TYPE_NUMERIC, "numeric", 1700, -1, 'N'},
    [TYPE_TEXT] = {TYPE_TEXT, "text", 25, -1, 'S'},
    [TYPE_VARCHAR] = {TYPE_VARCHAR, "character varying", 1043, -1, 'S'},
    [TYPE_BPCHAR] = {TYPE_BPCHAR, "character", 1042, -1, 'S'},
    [TYPE_BYTEA] = {TYPE_BYTEA, "bytea", 17, -1, 'U'},
    [TYPE_TIMESTAMPTZ] = {TYPE_TIMESTAMPTZ, "timestamp with time zone", 1184, 8, 'D'},
};

const struct type_info *type_info(enum sql_type t)
{
    ASSERT(t < TYPE_COUNT);
    return &types[t];
}

enum sql_type type_by_oid(uint32_t oid)
{
    for (int t = 0; t < TYPE_COUNT; t++)
        if (types[t].oid == oid)
            return types[t].type;
    return TYPE_UNKNOWN;
}

bool type_by_name(const char *name, enum sql_type *out)
{
    static const struct {
        const char *name;
        enum sql_type type;
    } spellings[] = {
        {"bool", TYPE_BOOL},
        {"boolean", TYPE_BOOL},
        {"smallint", TYPE_INT2},
        {"int2", TYPE_INT2},
        {"int", TYPE_INT4},
        {"integer", TYPE_INT4},
        {"int4", TYPE_INT4},
        {"bigint", TYPE_INT8},
        {"int8", TYPE_INT8},
        {"real", TYPE_FLOAT4},
        {"float4", TYPE_FLOAT4},
        {"float8", TYPE_FLOAT8},
        {"float", TYPE_FLOAT8},
        {"double precision", TYPE_FLOAT8},
        {"numeric", TYPE_NUMERIC},
        {"decimal", TYPE_NUMERIC},
        {"dec", TYPE_NUMERIC},
        {"text", TYPE_TEXT},
        {"varchar", TYPE_VARCHAR},
        {"character varying", TYPE_VARCHAR},
        {"bpchar", TYPE_BPCHAR},
        {"char", TYPE_BPCHAR},
        {"character", TYPE_BPCHAR},
        {"bytea", TYPE_BYTEA},
        {"timestamptz", TYPE_TIMESTAMPTZ},
        {"timestamp with time zone", TYPE_TIMESTAMPTZ},
    };

    for (size_t i = 0; i < sizeof spellings / sizeof spellings[0]; i++) {
        if (strcasecmp(name, spellings[i].name) == 0) {
            *out = spellings[i].type;
            return true;
        }
    }
    return false;
}

static int cmp_double(double a, double b)
{
    if (isnan(a) || isnan(b))
        return (isnan(a) != 0) - (isnan(b) != 0);
    return (a > b) - (a < b);
}

/* char(n) compares without its padding. */
static struct bytes unpadded(struct bytes s)
{
    while (s.len > 0 && s.ptr[s.len - 1] == ' ')
        s.len--;
    return s;
}

int datum_cmp(const struct datum *a, const struct datum *b)
{
    switch (a->type) {
    case TYPE_BOOL:
        return a->b - b->b;
    case TYPE_INT2:
    case TYPE_INT4:
    case TYPE_INT8:
    case TYPE_TIMESTAMPTZ:
        return (a->i > b->i) - (a->i < b->i);
    case TYPE_FLOAT4:
    case TYPE_FLOAT8:
        return cmp_double(a->d, b->d);
    case TYPE_NUMERIC:
        return numeric_cmp(a->n, b->n);
    case TYPE_BPCHAR:
        return bytes_cmp(unpadded(a->s), unpadded(b->s));
    case TYPE_UNKNOWN:
    case TYPE_TEXT:
    case TYPE_VARCHAR:
    case TYPE_BYTEA:
        return bytes_cmp(a->s, b->s);
    case TYPE_COUNT:
        break;
    }
    ASSERT(!"a type that has an order");
    return 0;
}

uint64_t datum_hash(const struct datum *d)
{
    double v;
    struct bytes s;

    if (d->null)
        return 0x6e756c6cu;
    switch (d->type) {
    case TYPE_BOOL:
        return XXH3_64bits(&d->b, sizeof d->b);
    case TYPE_INT2:
    case TYPE_INT4:
    case TYPE_INT8:
    case TYPE_TIMESTAMPTZ:
        return XXH3_64bits(&d->i, sizeof d->i);
    case TYPE_FLOAT4:
    case TYPE_FLOAT8:
        v = isnan(d->d) ? (double)NAN : d->d == 0 ? 0 : d->d; /* -0.0 equals 0.0 */
        return XXH3_64bits(&v, sizeof v);
    case TYPE_NUMERIC:
        return numeric_hash(d->n);
    case TYPE_UNKNOWN:
    case TYPE_TEXT:
    case TYPE_VARCHAR:
    case TYPE_BYTEA:
    case TYPE_BPCHAR:
        s = d->type == TYPE_BPCHAR ? unpadded(d->s) : d->s;
        return XXH3_64bits(s.ptr, s.len);
    case TYPE_COUNT:
        break;
    }
    ASSERT(!"a type that can be hashed");
    return 0;
}

struct datum datum_copy(const struct datum *d, struct arena *mem)
{
    struct datum copy = *d;

    if (d->null)
        return copy;
    switch (d->type) {
    case TYPE_UNKNOWN:
    case TYPE_TEXT:
    case TYPE_VARCHAR:
    case TYPE_BPCHAR:
    case TYPE_BYTEA:
        copy.s = arena_copy(mem, d->s);
        break;
    case TYPE_NUMERIC:
        copy.n = numeric_copy(d->n, mem);
        break;
    case TYPE_BOOL:
    case TYPE_INT2:
    case TYPE_INT4:
    case TYPE_INT8:
    case TYPE_FLOAT4:
    case TYPE_FLOAT8:
    case TYPE_TIMESTAMPTZ:
    case TYPE_COUNT:
        break;
    }
    return copy;
}
