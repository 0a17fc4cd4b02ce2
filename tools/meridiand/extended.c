/*
 * The extended protocol: parse, bind, describe, execute, close, sync. A statement's error makes the connection
 * ignore everything until Sync; a message that is not what the protocol says ends the connection.
 */
#include <stdlib.h>

#include "base/check.h"
#include "tools/meridiand/frontend_int.h"

static bool malformed(struct conn *c, const char *what)
{
    return conn_fatal(c, SQLSTATE_PROTOCOL_VIOLATION, "invalid message format: %s", what);
}

static bool statement_failed(struct conn *c, const struct err *err)
{
    conn_error(c, err);
    c->skip_to_sync = true;
    return true;
}

bool extended_parse(struct conn *c, struct bytes body)
{
    struct wire_rd r = wire_rd_of(body);
    const char *name = wire_get_str(&r);
    const char *text = wire_get_str(&r);
    size_t n = wire_get_u16(&r);
    enum sql_type *types;
    struct err err;

    types = arena_zalloc(&c->msg_mem, (n + 1) * sizeof *types);
    for (size_t i = 0; i < n; i++)
        types[i] = type_by_oid(wire_get_u32(&r)); /* one that we lack is inferred, like 0 */
    if (!wire_rd_done(&r))
        return malformed(c, "parse");
    if (c->f->opts.backend->prepare(c->s, name, text, types, n, &err) != ST_OK)
        return statement_failed(c, &err);
    encode_bare(&c->w, '1');
    return true;
}

/* Format codes: how many there are, then each. They stay in msg_mem. */
static enum status get_formats(struct conn *c, struct wire_rd *r, struct formats *out,
                               struct err *err)
{
    enum status st = ST_OK;

    out->n = wire_get_u16(r);
    out->code = arena_zalloc(&c->msg_mem, (out->n + 1) * sizeof *out->code);
    for (size_t i = 0; i < out->n && !r->bad; i++) {
        out->code[i] = wire_get_u16(r);
        if (out->code[i] > 1)
            st = err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                         "unsupported format code: %u", out->code[i]);
    }
    return st;
}

struct raw_param {
    struct bytes value;
    bool null;
};

/* What a Bind message holds, before it is known what the statement wants. */
struct bind {
    const char *portal, *statement;
    struct formats in, out;
    struct raw_param *param;
    size_t n_params;
};

static enum status parse_bind(struct conn *c, struct wire_rd *r, struct bind *b, struct err *err)
{
    enum status st_in, st_out;

    b->portal = wire_get_str(r);
    b->statement = wire_get_str(r);
    st_in = get_formats(c, r, &b->in, err);
    b->n_params = wire_get_u16(r);
    b->param = arena_zalloc(&c->msg_mem, (b->n_params + 1) * sizeof *b->param);
    for (size_t i = 0; i < b->n_params && !r->bad; i++) {
        uint32_t len = wire_get_u32(r);

        b->param[i].null = len == UINT32_MAX;
        if (!b->param[i].null)
            b->param[i].value = wire_get_raw(r, len);
    }
    st_out = get_formats(c, r, &b->out, err);
    return st_in != ST_OK ? st_in : st_out;
}

static enum status decode_param(struct conn *c, const struct raw_param *raw, bool binary,
                                enum sql_type type, struct datum *out, struct err *err)
{
    if (raw->null) {
        *out = datum_null(type);
        return ST_OK;
    }
    if (type == TYPE_UNKNOWN)
        type = TYPE_TEXT;
    if (binary)
        return datum_from_binary(type, raw->value, &c->msg_mem, out, err);
    return datum_from_text(type, raw->value, &c->msg_mem, out, err);
}

static enum status check_bind(const struct bind *b, size_t n_wanted, size_t n_cols, struct err *err)
{
    if (b->n_params != n_wanted)
        return err_set(err, ST_REJECT, SQLSTATE_PROTOCOL_VIOLATION,
                       "bind message supplies %zu parameters, but prepared statement \"%s\" "
                       "requires %zu",
                       b->n_params, b->statement, n_wanted);
    if (b->in.n > 1 && b->in.n != b->n_params)
        return err_set(err, ST_REJECT, SQLSTATE_PROTOCOL_VIOLATION,
                       "bind message has %zu parameter formats but %zu parameters", b->in.n,
                       b->n_params);
    if (b->out.n > 1 && b->out.n != n_cols)
        return err_set(err, ST_REJECT, SQLSTATE_PROTOCOL_VIOLATION,
                       "bind message has %zu result formats but query has %zu columns", b->out.n,
                       n_cols);
    return ST_OK;
}

/* The formats of a portal, by name; made if there are none yet. The unnamed one stays for good. */
static struct portal_formats *portal_slot(struct conn *c, const char *name)
{
    struct portal_formats **at = &c->portals, *p;

    for (; *at != NULL; at = &(*at)->next)
        if (strcmp((*at)->name, name) == 0)
            return *at;
    p = xcalloc(1, sizeof *p);
    p->name = xstrdup(name);
    *at = p;
    return p;
}

static void keep_formats(struct conn *c, const char *portal, const struct formats *formats)
{
    struct portal_formats *p = portal_slot(c, portal);

    if (formats->n > p->formats.n)
        p->formats.code = xrealloc(p->formats.code, formats->n * sizeof *formats->code);
    if (formats->n != 0)
        memcpy(p->formats.code, formats->code, formats->n * sizeof *formats->code);
    p->formats.n = formats->n;
}

static const struct formats *formats_of(struct conn *c, const char *portal)
{
    static const struct formats all_text = {0};

    for (struct portal_formats *p = c->portals; p != NULL; p = p->next)
        if (strcmp(p->name, portal) == 0)
            return &p->formats;
    return &all_text; /* a portal that SQL made: text */
}

void extended_forget_portals(struct conn *c)
{
    while (c->portals != NULL) {
        struct portal_formats *p = c->portals;

        c->portals = p->next;
        free(p->formats.code);
        free(p->name);
        free(p);
    }
}

static enum status do_bind(struct conn *c, const struct bind *b, struct err *err)
{
    const struct frontend_backend *be = c->f->opts.backend;
    const enum sql_type *types = NULL;
    const struct column_desc *cols = NULL;
    size_t n_types = 0, n_cols = 0;
    struct datum *values;
    enum status st = ST_OK;

    TRY(be->describe(c->s, b->statement, &types, &n_types, &cols, &n_cols, err));
    TRY(check_bind(b, n_types, n_cols, err));
    values = arena_alloc(&c->msg_mem, (b->n_params + 1) * sizeof *values);
    for (size_t i = 0; i < b->n_params; i++)
        TRY(decode_param(c, &b->param[i], format_is_binary(&b->in, i), types[i], &values[i], err));
    TRY(be->bind(c->s, b->portal, b->statement, values, b->n_params, err));
    keep_formats(c, b->portal, &b->out);
out:
    return st;
}

bool extended_bind(struct conn *c, struct bytes body)
{
    struct wire_rd r = wire_rd_of(body);
    struct bind b;
    struct err err;
    enum status st = parse_bind(c, &r, &b, &err);

    if (!wire_rd_done(&r))
        return malformed(c, "bind");
    if (st != ST_OK || do_bind(c, &b, &err) != ST_OK)
        return statement_failed(c, &err);
    encode_bare(&c->w, '2');
    return true;
}

static void describe_rows(struct conn *c, const struct column_desc *cols, size_t n,
                          const struct formats *formats)
{
    if (cols == NULL)
        encode_bare(&c->w, 'n');
    else
        encode_row_description(&c->w, cols, n, formats);
}

static enum status describe_statement(struct conn *c, const char *name, struct err *err)
{
    static const struct formats all_text = {0};
    const enum sql_type *types = NULL;
    const struct column_desc *cols = NULL;
    size_t n_types = 0, n_cols = 0;
    enum status st;

    TRY(c->f->opts.backend->describe(c->s, name, &types, &n_types, &cols, &n_cols, err));
    encode_parameter_description(&c->w, types, n_types);
    describe_rows(c, cols, n_cols, &all_text);
out:
    return st;
}

static enum status describe_portal(struct conn *c, const char *name, struct err *err)
{
    const struct column_desc *cols = NULL;
    size_t n_cols = 0;
    enum status st;

    TRY(c->f->opts.backend->describe_portal(c->s, name, &cols, &n_cols, err));
    describe_rows(c, cols, n_cols, formats_of(c, name));
out:
    return st;
}

bool extended_describe(struct conn *c, struct bytes body)
{
    struct wire_rd r = wire_rd_of(body);
    uint8_t kind = wire_get_u8(&r);
    const char *name = wire_get_str(&r);
    enum status st;
    struct err err;

    if (!wire_rd_done(&r) || (kind != 'S' && kind != 'P'))
        return malformed(c, "describe");
    st = kind == 'S' ? describe_statement(c, name, &err) : describe_portal(c, name, &err);
    return st == ST_OK || statement_failed(c, &err);
}

bool extended_execute(struct conn *c, struct bytes body)
{
    struct wire_rd r = wire_rd_of(body);
    const char *portal = wire_get_str(&r);
    int32_t limit = (int32_t)wire_get_u32(&r);
    struct sql_sink sink = conn_sink(c);
    bool suspended = false;
    struct err err;

    if (!wire_rd_done(&r))
        return malformed(c, "execute");
    c->row_formats = formats_of(c, portal);
    if (c->f->opts.backend->execute(c->s, portal, limit < 0 ? 0 : (uint64_t)limit, &sink,
                                    &suspended, &err) != ST_OK)
        return statement_failed(c, &err);
    if (suspended)
        encode_bare(&c->w, 's');
    return true;
}

bool extended_close(struct conn *c, struct bytes body)
{
    struct wire_rd r = wire_rd_of(body);
    uint8_t kind = wire_get_u8(&r);
    const char *name = wire_get_str(&r);
    enum status st;
    struct err err;

    if (!wire_rd_done(&r) || (kind != 'S' && kind != 'P'))
        return malformed(c, "close");
    st = kind == 'S' ? c->f->opts.backend->close_statement(c->s, name, &err)
                     : c->f->opts.backend->close_portal(c->s, name, &err);
    if (st != ST_OK)
        return statement_failed(c, &err);
    encode_bare(&c->w, '3');
    return true;
}

/* The implicit transaction commits here. If that fails and the statement's CommandComplete has not left yet, it is
 * taken back: the client then sees one error, as if the statement itself had failed. */
bool extended_sync(struct conn *c)
{
    struct err err;

    if (c->skip_to_sync) {
        c->f->opts.backend->failed(c->s);
    } else if (c->f->opts.backend->sync(c->s, &err) != ST_OK) {
        if (c->complete_end != 0 && c->complete_end == c->w.out.len)
            c->w.out.len = c->complete_at;
        conn_error(c, &err);
    }
    c->complete_end = 0;
    return true;
}
