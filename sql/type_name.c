#include "sql/type_name.h"

#include <string.h>

#include "base/check.h"
#include "sql/numeric.h"

enum { VARCHAR_MAX = 10485760, TYPMOD_HEADER = 4 };

static enum status bad_mods(const struct type_name *name, const char *why, struct err *err)
{
    (void)err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE, "%s", why);
    return err_position(err, name->pos);
}

static bool int_mod(const struct type_name *name, size_t i, int64_t *out)
{
    const struct expr *e = name->mods.items[i];

    if (e->kind != EXPR_CONST || e->konst.value.null || e->konst.value.type != TYPE_INT4)
        return false;
    *out = e->konst.value.i;
    return true;
}

static enum status length_mod(const struct type_name *name, int32_t *out, struct err *err)
{
    int64_t n;

    if (name->mods.n != 1 || !int_mod(name, 0, &n))
        return bad_mods(name, "invalid type modifier", err);
    if (n < 1 || n > VARCHAR_MAX) {
        (void)err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                      n < 1 ? "length for type %s must be at least 1"
                            : "length for type %s cannot exceed 10485760",
                      strcmp(name->name, "bpchar") == 0 ? "char" : name->name);
        return err_position(err, name->pos);
    }
    *out = (int32_t)n + TYPMOD_HEADER;
    return ST_OK;
}

static enum status numeric_mod_of(const struct type_name *name, int32_t *out, struct err *err)
{
    int64_t precision;
    int64_t scale = 0;

    if (name->mods.n > 2 || !int_mod(name, 0, &precision) ||
        (name->mods.n == 2 && !int_mod(name, 1, &scale)))
        return bad_mods(name, "invalid NUMERIC type modifier", err);
    if (precision < 1 || precision > NUMERIC_PRECISION_MAX) {
        (void)err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                      "NUMERIC precision %lld must be between 1 and %d", (long long)precision,
                      NUMERIC_PRECISION_MAX);
        return err_position(err, name->pos);
    }
    if (scale < -NUMERIC_PRECISION_MAX || scale > NUMERIC_PRECISION_MAX) {
        (void)err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                      "NUMERIC scale %lld must be between %d and %d", (long long)scale,
                      -NUMERIC_PRECISION_MAX, NUMERIC_PRECISION_MAX);
        return err_position(err, name->pos);
    }
    *out = (int32_t)(precision << 16 | (scale & 0x7ff)) + TYPMOD_HEADER;
    return ST_OK;
}

/* float(n): real up to 24 binary digits, double precision up to 53. */
static enum status float_mod(const struct type_name *name, enum sql_type *out, struct err *err)
{
    int64_t bits;

    if (name->mods.n != 1 || !int_mod(name, 0, &bits))
        return bad_mods(name, "invalid type modifier", err);
    if (bits < 1)
        return bad_mods(name, "precision for type float must be at least 1 bit", err);
    if (bits > 53)
        return bad_mods(name, "precision for type float must be less than 54 bits", err);
    *out = bits <= 24 ? TYPE_FLOAT4 : TYPE_FLOAT8;
    return ST_OK;
}

static enum status mods(const struct type_name *name, enum sql_type *io_type, int32_t *out,
                        struct err *err)
{
    int64_t digits;

    switch (*io_type) {
    case TYPE_VARCHAR:
    case TYPE_BPCHAR:
        return length_mod(name, out, err);
    case TYPE_NUMERIC:
        return numeric_mod_of(name, out, err);
    case TYPE_FLOAT8:
        if (strcmp(name->name, "float") == 0)
            return float_mod(name, io_type, err);
        break;
    case TYPE_TIMESTAMPTZ:
        if (name->mods.n == 1 && int_mod(name, 0, &digits) && digits == 6)
            return ST_OK;
        (void)err_set(err, ST_REJECT, SQLSTATE_FEATURE_NOT_SUPPORTED,
                      "a timestamp precision other than 6 is not supported");
        return err_position(err, name->pos);
    case TYPE_UNKNOWN:
    case TYPE_BOOL:
    case TYPE_INT2:
    case TYPE_INT4:
    case TYPE_INT8:
    case TYPE_FLOAT4:
    case TYPE_TEXT:
    case TYPE_BYTEA:
    case TYPE_COUNT:
        break;
    }
    (void)err_set(err, ST_REJECT, SQLSTATE_SYNTAX_ERROR,
                  "type modifier is not allowed for type \"%s\"", name->name);
    return err_position(err, name->pos);
}

enum status type_name_resolve(const struct type_name *name, enum sql_type *out_type,
                              int32_t *out_typmod, struct err *err)
{
    enum sql_type type;
    int32_t typmod = -1;
    enum status st = ST_OK;

    if ((name->schema != NULL && strcmp(name->schema, "pg_catalog") != 0) ||
        !type_by_name(name->name, &type)) {
        (void)err_set(err, ST_REJECT, SQLSTATE_UNDEFINED_OBJECT, "type \"%s%s%s\" does not exist",
                      name->schema == NULL ? "" : name->schema, name->schema == NULL ? "" : ".",
                      name->name);
        return err_position(err, name->pos);
    }
    if (name->array_dims > 0 || name->setof) {
        (void)err_set(err, ST_REJECT, SQLSTATE_FEATURE_NOT_SUPPORTED,
                      "arrays and sets of type \"%s\" are not supported", name->name);
        return err_position(err, name->pos);
    }
    if (name->mods.n > 0)
        TRY(mods(name, &type, &typmod, err));
    *out_type = type;
    *out_typmod = typmod;
out:
    return st;
}

const char *type_name_format(enum sql_type type, int32_t typmod, struct arena *mem)
{
    int32_t m = typmod - TYPMOD_HEADER;

    if (typmod >= TYPMOD_HEADER && (type == TYPE_VARCHAR || type == TYPE_BPCHAR))
        return arena_printf(mem, "%s(%d)", type_info(type)->name, m);
    if (typmod >= TYPMOD_HEADER && type == TYPE_NUMERIC)
        return arena_printf(mem, "numeric(%d,%d)", type_numeric_precision(typmod),
                            type_numeric_scale(typmod));
    return type_info(type)->name;
}
