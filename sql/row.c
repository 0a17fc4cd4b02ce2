#include "sql/row.h"

#include "base/check.h"
#include "sql/numeric.h"

/* How a field's content is laid out; stands in the low bits of its tag. */
enum field_kind { FIELD_INT = 0, FIELD_DOUBLE = 1, FIELD_BYTES = 2 };
enum { FIELD_KIND_BITS = 2 };

static enum field_kind kind_of(enum sql_type type)
{
    switch (type) {
    case TYPE_BOOL:
    case TYPE_INT2:
    case TYPE_INT4:
    case TYPE_INT8:
    case TYPE_TIMESTAMPTZ:
        return FIELD_INT;
    case TYPE_FLOAT4:
    case TYPE_FLOAT8:
        return FIELD_DOUBLE;
    case TYPE_NUMERIC:
    case TYPE_TEXT:
    case TYPE_VARCHAR:
    case TYPE_BPCHAR:
    case TYPE_BYTEA:
    case TYPE_UNKNOWN:
    case TYPE_COUNT:
        break;
    }
    return FIELD_BYTES;
}

bool row_key_type(enum sql_type type)
{
    return type > TYPE_UNKNOWN && type < TYPE_COUNT;
}

/* -0.0 loses its sign in a key, a numeric its trailing zeros, char(n) its blanks. */
bool row_key_exact(enum sql_type type)
{
    return type != TYPE_FLOAT4 && type != TYPE_FLOAT8 && type != TYPE_NUMERIC &&
           type != TYPE_BPCHAR;
}

void row_put_prefix(struct buf *out, uint32_t table_id, uint32_t index_id)
{
    key_put_id(out, CATALOG_USER_DATABASE);
    key_put_id(out, table_id);
    key_put_id(out, index_id);
}

static uint16_t be16(const uint8_t *p)
{
    return (uint16_t)((p[0] << 8) | p[1]);
}

static void put_be16(struct buf *out, uint16_t v)
{
    buf_put_u8(out, (uint8_t)(v >> 8));
    buf_put_u8(out, (uint8_t)v);
}

/*
 * Numeric in order-preserving code: a class byte (-inf, negative, zero, positive, +inf, NaN), then weight
 * and base-10000 digits plus one, closed by 0, all inverted for negatives. It is made from the wire form,
 * whose digits are normalised: no leading or trailing zero digit.
 */
static void put_numeric_part(struct buf *out, const struct datum *v, enum key_dir dir)
{
    enum { NUM_NEG_INF = 1, NUM_NEG, NUM_ZERO, NUM_POS, NUM_POS_INF, NUM_NAN };
    struct buf wire = {0}, code = {0};
    uint16_t n, sign;
    size_t at;

    datum_to_binary(v, &wire);
    ASSERT(wire.len >= 8);
    n = be16(wire.ptr);
    sign = be16(wire.ptr + 4);
    while (n > 0 && be16(wire.ptr + 8 + 2 * (size_t)(n - 1)) == 0)
        n--;
    if (sign == 0xC000) {
        buf_put_u8(&code, NUM_NAN);
    } else if (sign == 0xD000 || sign == 0xF000) {
        buf_put_u8(&code, sign == 0xD000 ? NUM_POS_INF : NUM_NEG_INF);
    } else if (n == 0) {
        buf_put_u8(&code, NUM_ZERO);
    } else {
        buf_put_u8(&code, sign == 0 ? NUM_POS : NUM_NEG);
        at = code.len;
        put_be16(&code, (uint16_t)(be16(wire.ptr + 2) ^ 0x8000));
        for (uint16_t i = 0; i < n; i++)
            put_be16(&code, (uint16_t)(be16(wire.ptr + 8 + 2 * (size_t)i) + 1));
        put_be16(&code, 0);
        for (size_t i = at; sign != 0 && i < code.len; i++)
            code.ptr[i] = (uint8_t)~code.ptr[i];
    }
    key_put_bytes(out, buf_bytes(&code), dir);
    buf_fini(&code);
    buf_fini(&wire);
}

/* char(n) compares without its trailing blanks. */
static struct bytes unpadded(struct bytes s)
{
    while (s.len > 0 && s.ptr[s.len - 1] == ' ')
        s.len--;
    return s;
}

void row_put_part(struct buf *out, const struct datum *v, enum key_dir dir)
{
    if (v->null) {
        key_put_null(out, dir);
        return;
    }
    switch (v->type) {
    case TYPE_BOOL:
        key_put_bool(out, v->b, dir);
        return;
    case TYPE_INT2:
    case TYPE_INT4:
    case TYPE_INT8:
    case TYPE_TIMESTAMPTZ:
        key_put_int(out, v->i, dir);
        return;
    case TYPE_FLOAT4:
    case TYPE_FLOAT8:
        key_put_double(out, v->d, dir);
        return;
    case TYPE_NUMERIC:
        put_numeric_part(out, v, dir);
        return;
    case TYPE_BPCHAR:
        key_put_bytes(out, unpadded(v->s), dir);
        return;
    case TYPE_TEXT:
    case TYPE_VARCHAR:
    case TYPE_BYTEA:
        key_put_bytes(out, v->s, dir);
        return;
    case TYPE_UNKNOWN:
    case TYPE_COUNT:
        break;
    }
    ASSERT(!"a key part has a type");
}

/* One part from a key; inexact ones are only stepped over. */
static void get_part(struct rd *r, enum sql_type type, enum key_dir dir, struct datum *out,
                     struct arena *mem)
{
    *out = datum_null(type);
    if (key_get_null(r, dir))
        return;
    out->null = false;
    switch (type) {
    case TYPE_BOOL:
        out->b = key_get_bool(r, dir);
        return;
    case TYPE_INT2:
    case TYPE_INT4:
    case TYPE_INT8:
    case TYPE_TIMESTAMPTZ:
        out->i = key_get_int(r, dir);
        return;
    case TYPE_FLOAT4:
    case TYPE_FLOAT8:
        out->d = key_get_double(r, dir);
        return;
    case TYPE_NUMERIC:
        (void)key_get_bytes(r, dir, mem); /* the value holds it */
        out->null = true;
        return;
    case TYPE_BPCHAR:
    case TYPE_TEXT:
    case TYPE_VARCHAR:
    case TYPE_BYTEA:
        out->s = key_get_bytes(r, dir, mem);
        return;
    case TYPE_UNKNOWN:
    case TYPE_COUNT:
        break;
    }
    r->bad = true;
}

bool row_key_has_pk(const struct index *ix, const struct datum *row)
{
    if (ix->primary)
        return false;
    if (!ix->unique)
        return true;
    for (size_t i = 0; i < ix->n_parts; i++) {
        if (row[ix->parts[i].column].null)
            return true;
    }
    return false;
}

static void put_parts(struct buf *out, const struct index *ix, const struct datum *row)
{
    for (size_t i = 0; i < ix->n_parts; i++)
        row_put_part(out, &row[ix->parts[i].column], ix->parts[i].dir);
}

enum status row_key(struct buf *out, const struct table *t, const struct index *ix,
                    const struct datum *row, struct err *err)
{
    row_put_prefix(out, t->id, ix->id);
    put_parts(out, ix, row);
    if (row_key_has_pk(ix, row))
        put_parts(out, &t->indexes[0], row);
    if (out->len > TXN_KEY_MAX)
        return err_set(err, ST_REJECT, SQLSTATE_PROGRAM_LIMIT_EXCEEDED,
                       "index row size %zu exceeds maximum %d for index \"%s\"", out->len,
                       TXN_KEY_MAX, ix->name);
    return ST_OK;
}

static bool index_has_part(const struct index *ix, uint16_t column)
{
    for (size_t i = 0; i < ix->n_parts; i++) {
        if (ix->parts[i].column == column)
            return true;
    }
    return false;
}

bool row_index_covers(const struct table *t, const struct index *ix, uint16_t column)
{
    return ix->primary || index_has_part(ix, column) || table_column_in_pk(t, column);
}

/* Is the column a field of the entry's value? The key holds the rest. */
static bool value_has_column(const struct table *t, const struct index *ix, uint16_t column)
{
    bool exact = row_key_exact(t->columns[column].type);

    if (ix->primary)
        return !exact || !index_has_part(ix, column);
    if (index_has_part(ix, column))
        return !exact;
    if (table_column_in_pk(t, column))
        return ix->unique || !exact;
    return false;
}

static void put_numeric_field(struct buf *out, const struct datum *v)
{
    struct buf wire = {0};

    numeric_encode(v->n, &wire);
    buf_put_bytes(out, buf_bytes(&wire));
    buf_fini(&wire);
}

static void put_field(struct buf *out, uint32_t column_id, const struct datum *v)
{
    enum field_kind kind = kind_of(v->type);
    uint64_t bits;

    buf_put_varint(out, ((uint64_t)column_id << FIELD_KIND_BITS) | (unsigned)kind);
    switch (kind) {
    case FIELD_INT:
        bits = v->type == TYPE_BOOL ? (uint64_t)v->b : (uint64_t)v->i;
        /* zigzag: small negative numbers stay short */
        buf_put_varint(out, (bits << 1) ^ (uint64_t)((int64_t)bits >> 63));
        return;
    case FIELD_DOUBLE:
        memcpy(&bits, &v->d, sizeof bits);
        buf_put_u64(out, bits);
        return;
    case FIELD_BYTES:
        if (v->type == TYPE_NUMERIC)
            put_numeric_field(out, v);
        else
            buf_put_bytes(out, v->s);
        return;
    }
}

void row_value(struct buf *out, const struct table *t, const struct index *ix,
               const struct datum *row)
{
    buf_put_u8(out, ROW_FORMAT);
    buf_put_varint(out, t->version);
    for (uint16_t c = 0; c < t->n_columns; c++) {
        if (!row[c].null && value_has_column(t, ix, c))
            put_field(out, t->columns[c].id, &row[c]);
    }
}

static enum status damaged(struct err *err, const struct table *t, const char *what)
{
    return err_set(err, ST_REJECT, SQLSTATE_DATA_CORRUPTED, "table \"%s\": %s", t->name, what);
}

/* Nearly all varints of a row are one byte. */
static inline uint64_t varint(struct rd *r)
{
    return r->ptr < r->end && *r->ptr < 0x80 ? *r->ptr++ : rd_varint(r);
}

static inline struct bytes content(struct rd *r)
{
    return rd_raw(r, (size_t)varint(r));
}

/* Reads one field's content; the column's type says what it must be. */
static enum status get_field(struct rd *r, unsigned kind, const struct table *t,
                             const struct column *c, struct datum *out, struct arena *mem,
                             struct err *err)
{
    uint64_t bits;
    struct bytes s;

    if (kind != (unsigned)kind_of(c->type))
        return damaged(err, t, "a field has another kind than its column");
    *out = datum_null(c->type);
    out->null = false;
    if (kind == FIELD_INT) {
        bits = varint(r);
        bits = (bits >> 1) ^ (~(bits & 1) + 1);
        if (c->type == TYPE_BOOL)
            out->b = bits != 0;
        else
            out->i = (int64_t)bits;
    } else if (kind == FIELD_DOUBLE) {
        bits = rd_u64(r);
        memcpy(&out->d, &bits, sizeof bits);
    } else {
        s = content(r);
        if (r->bad)
            return damaged(err, t, "a row is cut short");
        if (c->type == TYPE_NUMERIC)
            return numeric_decode(s, mem, &out->n, err);
        out->s = s;
    }
    return r->bad ? damaged(err, t, "a row is cut short") : ST_OK;
}

static bool skip_field(struct rd *r, unsigned kind)
{
    if (kind == FIELD_INT)
        (void)varint(r);
    else if (kind == FIELD_DOUBLE)
        (void)rd_u64(r);
    else if (kind == FIELD_BYTES)
        (void)content(r);
    else
        return false;
    return !r->bad;
}

/* Fields come in order of column position; ids grow with it, so one walk serves both. It ends behind the last column
 * that is wanted. */
static enum status decode_value(const struct table *t, struct bytes value, const bool *want,
                                size_t n_columns, struct datum *slots, struct arena *mem,
                                struct err *err)
{
    struct rd r = rd_of(value);
    uint8_t format = rd_u8(&r);
    size_t c = 0;

    (void)varint(&r);
    if (r.bad || format != ROW_FORMAT)
        return damaged(err, t, "a row has an unknown format");
    while (rd_left(&r) > 0) {
        uint64_t tag = varint(&r);
        uint64_t id = tag >> FIELD_KIND_BITS;
        unsigned kind = (unsigned)(tag & ((1u << FIELD_KIND_BITS) - 1));

        while (c < n_columns && t->columns[c].id < id)
            c++;
        if (c == n_columns)
            return r.bad ? damaged(err, t, "a row is cut short") : ST_OK;
        if (t->columns[c].id == id && want[c]) {
            enum status st = get_field(&r, kind, t, &t->columns[c], &slots[c], mem, err);

            if (st != ST_OK)
                return st;
        } else if (!skip_field(&r, kind)) {
            return damaged(err, t, "a row is cut short or has a field of an unknown kind");
        }
    }
    return ST_OK;
}

/* How many leading parts of the index lead to all of them that are wanted. */
static size_t parts_wanted(const struct index *ix, const bool *want)
{
    size_t n = ix->n_parts;

    while (n > 0 && !want[ix->parts[n - 1].column])
        n--;
    return n;
}

static enum status decode_parts(struct rd *r, const struct table *t, const struct index *ix,
                                size_t n_parts, const bool *want, struct datum *slots,
                                struct arena *mem, struct err *err)
{
    struct datum v;

    for (size_t i = 0; i < n_parts; i++) {
        uint16_t c = ix->parts[i].column;

        get_part(r, t->columns[c].type, ix->parts[i].dir, &v, mem);
        if (want[c])
            slots[c] = v;
    }
    return r->bad ? damaged(err, t, "a key is malformed") : ST_OK;
}

static enum status decode_key(const struct table *t, const struct index *ix, struct bytes key,
                              const bool *want, struct datum *slots, struct arena *mem,
                              struct err *err)
{
    const struct index *primary = &t->indexes[0];
    struct rd r = rd_of(key);
    size_t n_own = parts_wanted(ix, want);
    size_t n_primary = ix->primary ? 0 : parts_wanted(primary, want);
    bool whole = n_own == ix->n_parts;
    enum status st = ST_OK;

    if (n_primary > 0)
        n_own = ix->n_parts;
    if (n_own == 0)
        return ST_OK;
    (void)key_get_id(&r);
    if (key_get_id(&r) != t->id || key_get_id(&r) != ix->id || r.bad)
        return damaged(err, t, "a key does not belong to the index");
    TRY(decode_parts(&r, t, ix, n_own, want, slots, mem, err));
    if (n_primary > 0 && (!ix->unique || rd_left(&r) > 0)) {
        TRY(decode_parts(&r, t, primary, n_primary, want, slots, mem, err));
        whole = n_primary == primary->n_parts;
    } else {
        whole = whole && ix->primary;
    }
    if (whole && rd_left(&r) > 0)
        return damaged(err, t, "a key has bytes behind its last part");
out:
    return st;
}

enum status row_decode(const struct table *t, const struct index *ix, struct bytes key,
                       struct bytes value, const bool *want, struct datum *slots, struct arena *mem,
                       struct err *err)
{
    size_t n_columns = 0; /* up to the last that is wanted */
    enum status st = ST_OK;

    for (size_t c = 0; c < t->n_columns; c++) {
        if (!want[c])
            continue;
        slots[c] = datum_null(t->columns[c].type);
        n_columns = c + 1;
    }
    TRY(decode_key(t, ix, key, want, slots, mem, err));
    TRY(decode_value(t, value, want, n_columns, slots, mem, err));
out:
    return st;
}

enum status row_entry_pk(const struct table *t, const struct index *ix, struct bytes entry,
                         struct arena *mem, struct buf *out, struct err *err)
{
    struct rd r = rd_of(entry);
    struct datum v;

    for (int i = 0; i < 3; i++)
        (void)key_get_id(&r);
    for (size_t i = 0; i < ix->n_parts; i++)
        get_part(&r, t->columns[ix->parts[i].column].type, ix->parts[i].dir, &v, mem);
    if (r.bad)
        return damaged(err, t, "a key is malformed");
    if (rd_left(&r) == 0)
        return ST_NOTFOUND;
    buf_reset(out);
    row_put_prefix(out, t->id, t->indexes[0].id);
    buf_put(out, r.ptr, rd_left(&r));
    return ST_OK;
}
