#include "base/status.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define SQLSTATE(name, code, text) const char SQLSTATE_##name[6] = code;
#include "base/sqlstate.def"
#undef SQLSTATE

/* A text that is too long is cut before a character, never inside one: it is sent as UTF-8. */
static void put_text(char *out, size_t size, const char *fmt, va_list ap) MRD_PRINTF(3, 0);

static void put_text(char *out, size_t size, const char *fmt, va_list ap)
{
    int n = vsnprintf(out, size, fmt, ap);
    size_t end = size - 1;

    if (n < 0 || (size_t)n < size)
        return;
    for (size_t at = end; at > 0 && end - at < 4; at--) {
        uint8_t lead = (uint8_t)out[at - 1];

        if ((lead & 0xc0) == 0x80)
            continue; /* a continuation: its lead stands before it */
        if (lead >= 0xc0 && end - (at - 1) < (lead >= 0xf0 ? 4u : lead >= 0xe0 ? 3u : 2u))
            out[at - 1] = '\0';
        break;
    }
}

enum status err_set_at(struct err *err, enum status st, const char *sqlstate, const char *file,
                       int line, const char *fmt, ...)
{
    va_list ap;

    if (err == NULL)
        return st;
    err_clear(err);
    err->st = st;
    memcpy(err->sqlstate, sqlstate, 5);
    err->file = file;
    err->line = line;
    va_start(ap, fmt);
    put_text(err->msg, sizeof err->msg, fmt, ap);
    va_end(ap);
    return st;
}

enum status err_hint(struct err *err, const char *fmt, ...)
{
    va_list ap;

    if (err == NULL)
        return ST_REJECT;
    va_start(ap, fmt);
    put_text(err->hint, sizeof err->hint, fmt, ap);
    va_end(ap);
    return err->st;
}

enum status err_detail(struct err *err, const char *fmt, ...)
{
    va_list ap;

    if (err == NULL)
        return ST_REJECT;
    va_start(ap, fmt);
    put_text(err->detail, sizeof err->detail, fmt, ap);
    va_end(ap);
    return err->st;
}

enum status err_position(struct err *err, int position)
{
    if (err == NULL)
        return ST_REJECT;
    err->position = position;
    return err->st;
}

void err_clear(struct err *err)
{
    memset(err, 0, sizeof *err);
    memcpy(err->sqlstate, SQLSTATE_OK, 6);
}

const char *status_name(enum status st)
{
    switch (st) {
    case ST_OK:
        return "ok";
    case ST_NOTFOUND:
        return "notfound";
    case ST_RETRY:
        return "retry";
    case ST_UNKNOWN:
        return "unknown";
    case ST_ABORT:
        return "abort";
    case ST_REJECT:
        return "reject";
    case ST_FATAL:
        return "fatal";
    }
    return "invalid";
}

const char *sqlstate_name(const char *code)
{
#define SQLSTATE(name, value, text)  \
    if (memcmp(code, value, 5) == 0) \
        return text;
#include "base/sqlstate.def"
#undef SQLSTATE
    return "unknown";
}
