#include "base/status.h"

#include <stdio.h>
#include <string.h>

#define SQLSTATE(name, code, text) const char SQLSTATE_##name[6] = code;
#include "base/sqlstate.def"
#undef SQLSTATE

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
    (void)vsnprintf(err->msg, sizeof err->msg, fmt, ap); /* a longer message is cut */
    va_end(ap);
    return st;
}

enum status err_hint(struct err *err, const char *fmt, ...)
{
    va_list ap;

    if (err == NULL)
        return ST_REJECT;
    va_start(ap, fmt);
    (void)vsnprintf(err->hint, sizeof err->hint, fmt, ap); /* a longer hint is cut */
    va_end(ap);
    return err->st;
}

enum status err_detail(struct err *err, const char *fmt, ...)
{
    va_list ap;

    if (err == NULL)
        return ST_REJECT;
    va_start(ap, fmt);
    (void)vsnprintf(err->detail, sizeof err->detail, fmt, ap); /* a longer detail is cut */
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
