#include "tools/meridiand/encode.h"

#include <stdio.h>

/* An untyped literal leaves as text, as in PostgreSQL. */
static const struct type_info *wire_type(enum sql_type t)
{
    return type_info(t == TYPE_UNKNOWN ? TYPE_TEXT : t);
}

void encode_row_description(struct wire *w, const struct column_desc *cols, size_t n,
                            const struct formats *formats)
{
    size_t m = wire_begin(w, 'T');

    wire_put_u16(w, (uint16_t)n);
    for (size_t i = 0; i < n; i++) {
        const struct type_info *ti = wire_type(cols[i].type);

        wire_put_str(w, cols[i].name);
        wire_put_u32(w, cols[i].table_oid);
        wire_put_u16(w, (uint16_t)cols[i].column_number);
        wire_put_u32(w, ti->oid);
        wire_put_u16(w, (uint16_t)ti->wire_len);
        wire_put_u32(w, (uint32_t)cols[i].typmod);
        wire_put_u16(w, format_is_binary(formats, i));
    }
    wire_end(w, m);
}

void encode_parameter_description(struct wire *w, const enum sql_type *params, size_t n)
{
    size_t m = wire_begin(w, 't');

    wire_put_u16(w, (uint16_t)n);
    for (size_t i = 0; i < n; i++)
        wire_put_u32(w, wire_type(params[i])->oid);
    wire_end(w, m);
}

/* Decimal digits of v, written from the end of a buffer of 20 characters; returns where they start. */
static char *int_digits(int64_t v, char *end)
{
    uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;

    do {
        *--end = (char)('0' + u % 10);
        u /= 10;
    } while (u != 0);
    if (v < 0)
        *--end = '-';
    return end;
}

static void put_text(struct wire *w, const struct datum *d, struct arena *row_mem)
{
    char digits[24], *end = digits + sizeof digits, *start;
    struct bytes text;

    switch (d->type) {
    case TYPE_INT2:
    case TYPE_INT4:
    case TYPE_INT8:
        start = int_digits(d->i, end);
        text = bytes_of(start, (size_t)(end - start));
        break;
    case TYPE_UNKNOWN:
    case TYPE_TEXT:
    case TYPE_VARCHAR:
        text = d->s;
        break;
    case TYPE_BOOL:
    case TYPE_FLOAT4:
    case TYPE_FLOAT8:
    case TYPE_NUMERIC:
    case TYPE_BPCHAR:
    case TYPE_BYTEA:
    case TYPE_TIMESTAMPTZ:
    case TYPE_COUNT:
        text = datum_text(d, row_mem);
        break;
    }
    wire_put_u32(w, (uint32_t)text.len);
    buf_put(&w->out, text.ptr, text.len);
}

static void put_binary(struct wire *w, const struct datum *d)
{
    size_t at = w->out.len;

    wire_put_u32(w, 0);
    datum_to_binary(d, &w->out);
    wire_set_u32(&w->out, at, (uint32_t)(w->out.len - at - 4));
}

void encode_row(struct wire *w, const struct datum *values, size_t n, const struct formats *formats,
                struct arena *row_mem)
{
    size_t m = wire_begin(w, 'D');

    wire_put_u16(w, (uint16_t)n);
    for (size_t i = 0; i < n; i++) {
        if (values[i].null)
            wire_put_u32(w, UINT32_MAX);
        else if (format_is_binary(formats, i))
            put_binary(w, &values[i]);
        else
            put_text(w, &values[i], row_mem);
    }
    wire_end(w, m);
}

static void put_field(struct wire *w, char field, const char *value)
{
    if (value == NULL || *value == '\0')
        return;
    wire_put_u8(w, (uint8_t)field);
    wire_put_str(w, value);
}

static void put_number_field(struct wire *w, char field, int value)
{
    char text[16];

    if (value <= 0)
        return;
    (void)snprintf(text, sizeof text, "%d", value); /* eleven characters at most */
    put_field(w, field, text);
}

static void put_report(struct wire *w, char type, const char *severity, const struct err *err)
{
    const char *slash = err->file == NULL ? NULL : strrchr(err->file, '/');
    size_t m = wire_begin(w, type);

    put_field(w, 'S', severity);
    put_field(w, 'V', severity);
    put_field(w, 'C', err->sqlstate);
    wire_put_u8(w, 'M'); /* the one field that must be there even if empty */
    wire_put_str(w, err->msg);
    put_field(w, 'D', err->detail);
    put_field(w, 'H', err->hint);
    put_number_field(w, 'P', err->position);
    put_field(w, 'F', slash == NULL ? err->file : slash + 1);
    put_number_field(w, 'L', err->line);
    put_field(w, 'R', sqlstate_name(err->sqlstate));
    wire_put_u8(w, 0);
    wire_end(w, m);
}

void encode_error(struct wire *w, const char *severity, const struct err *err)
{
    put_report(w, 'E', severity, err);
}

void encode_notice(struct wire *w, const char *severity, const struct err *note)
{
    put_report(w, 'N', severity, note);
}

void encode_command_complete(struct wire *w, const char *tag)
{
    size_t m = wire_begin(w, 'C');

    wire_put_str(w, tag);
    wire_end(w, m);
}

void encode_parameter_status(struct wire *w, const char *name, const char *value)
{
    size_t m = wire_begin(w, 'S');

    wire_put_str(w, name);
    wire_put_str(w, value);
    wire_end(w, m);
}

void encode_ready(struct wire *w, enum session_state state)
{
    size_t m = wire_begin(w, 'Z');

    wire_put_u8(w, (uint8_t)state);
    wire_end(w, m);
}

void encode_bare(struct wire *w, char type)
{
    wire_end(w, wire_begin(w, type));
}
