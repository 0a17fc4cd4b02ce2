#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/clock.h"
#include "tools/meridiand/frontend_int.h"
#include "tools/meridiand/units.h"

enum {
    PROTOCOL_3 = 3,
    REQUEST_CANCEL = 80877102,
    REQUEST_SSL = 80877103,
    REQUEST_GSS = 80877104,
    STARTUP_PACKETS = 3,      /* SSL, GSS, start-up */
    STARTUP_OPTIONS_MAX = 64, /* settings in one start-up packet */
    ROW_MEM_KEEP = 64 * 1024
};

static bool conn_startup(struct conn *c);
static void conn_serve(struct conn *c);
static void conn_end(struct conn *c);

void *conn_main(void *conn_take)
{
    struct conn *c = conn_take;

    (void)pthread_setname_np(pthread_self(), "pg-conn"); /* bench and top tell threads by it */
    arena_init(&c->msg_mem, 0); /* a message is bounded by WIRE_MESSAGE_MAX */
    arena_init(&c->row_mem, 0); /* likewise a row, by the statement's own budget */
    if (conn_startup(c))
        conn_serve(c);
    conn_end(c);
    return NULL;
}

static void conn_end(struct conn *c)
{
    struct session *s = c->s;

    (void)wire_flush(&c->w); /* the last words, if anybody still listens */
    if (s != NULL) {
        frontend_publish_session(c, NULL);
        c->f->opts.backend->close(s);
        log_event(c->f->opts.log, LOG_DEBUG, "pg.end", "pid=%u client=%s", c->pid, c->peer);
    }
    metric_add(c->f->m_bytes_in, c->w.bytes_in);
    metric_add(c->f->m_bytes_out, c->w.bytes_out);
    extended_forget_portals(c);
    arena_fini(&c->msg_mem);
    arena_fini(&c->row_mem);
    frontend_leave(c);
}

bool conn_flush(struct conn *c)
{
    c->complete_end = 0;
    return wire_flush(&c->w);
}

void conn_error(struct conn *c, const struct err *err)
{
    metric_add(c->f->m_errors, 1);
    encode_error(&c->w, "ERROR", err);
}

bool conn_fatal(struct conn *c, const char *sqlstate, const char *fmt, ...)
{
    struct err err;
    char text[200];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap); /* a longer message is cut */
    va_end(ap);
    (void)err_set(&err, ST_REJECT, sqlstate, "%s", text);
    metric_add(c->f->m_errors, 1);
    encode_error(&c->w, "FATAL", &err);
    log_event(c->f->opts.log, LOG_INFO, "pg.fatal", "client=%s sqlstate=%s error=\"%s\"", c->peer,
              sqlstate, text);
    return false;
}

static bool fatal_err(struct conn *c, const struct err *err)
{
    metric_add(c->f->m_errors, 1);
    encode_error(&c->w, "FATAL", err);
    log_event(c->f->opts.log, LOG_INFO, "pg.refused", "client=%s sqlstate=%s error=\"%s\"", c->peer,
              err->sqlstate, err->msg);
    return false;
}

/* What a failed read means. Returns false, always: the connection is over. */
static bool read_failed(struct conn *c, enum wire_result r)
{
    switch (r) {
    case WIRE_OK:
        break;
    case WIRE_EOF:
        if (c->f->stopping)
            return conn_fatal(c, SQLSTATE_ADMIN_SHUTDOWN,
                              "terminating connection due to administrator command");
        break;
    case WIRE_TIMEOUT:
        if (c->s == NULL)
            return conn_fatal(c, SQLSTATE_PROTOCOL_VIOLATION, "no start-up packet within %lld ms",
                              (long long)c->f->opts.startup_ms);
        return conn_fatal(c, SQLSTATE_IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
                          "terminating connection due to idle-in-transaction timeout");
    case WIRE_BAD:
        return conn_fatal(c, SQLSTATE_PROTOCOL_VIOLATION, "invalid message length");
    case WIRE_TOO_BIG:
        return conn_fatal(c, SQLSTATE_PROGRAM_LIMIT_EXCEEDED, "message longer than %d bytes",
                          c->s == NULL ? WIRE_STARTUP_MAX : WIRE_MESSAGE_MAX);
    }
    return false;
}

static void set_receive_timeout(struct conn *c, int64_t ms)
{
    struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000};

    if (setsockopt(c->w.fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv) == 0)
        c->idle_limit_ms = ms;
}

/* A client that sits in a transaction holds locks; the limit is the session's own setting. */
static void follow_idle_setting(struct conn *c, enum session_state state)
{
    const char *text = NULL;
    int64_t limit_ns = 0;

    if (state != SESSION_IDLE)
        text = c->f->opts.backend->get(c->s, "idle_in_transaction_session_timeout");
    if (text != NULL && units_duration(text, NS_PER_MS, &limit_ns, NULL) != ST_OK)
        limit_ns = 0;
    if (limit_ns / NS_PER_MS != c->idle_limit_ms)
        set_receive_timeout(c, limit_ns / NS_PER_MS);
}

static bool conn_ready(struct conn *c)
{
    enum session_state state = c->f->opts.backend->state(c->s);

    if (state == SESSION_IDLE && c->portals != NULL && c->portals->next != NULL)
        extended_forget_portals(c); /* portals end with their transaction */
    follow_idle_setting(c, state);
    encode_ready(&c->w, state);
    return conn_flush(c);
}

/* The sink: results of the session, on this thread, into the write buffer. */

static void sink_columns(void *arg, const struct column_desc *cols, size_t n)
{
    struct conn *c = arg;

    encode_row_description(&c->w, cols, n, c->row_formats);
}

static bool sink_row(void *arg, const struct datum *values, size_t n)
{
    struct conn *c = arg;

    encode_row(&c->w, values, n, c->row_formats, &c->row_mem);
    if (c->row_mem.used > ROW_MEM_KEEP)
        arena_reset(&c->row_mem);
    if (c->w.out.len >= WIRE_OUT_SOFT)
        return conn_flush(c);
    return !c->w.broken;
}

static void sink_complete(void *arg, const char *tag)
{
    struct conn *c = arg;

    c->complete_at = c->w.out.len;
    encode_command_complete(&c->w, tag);
    c->complete_end = c->w.out.len;
}

static void sink_empty(void *arg)
{
    struct conn *c = arg;

    encode_bare(&c->w, 'I');
}

static void sink_notice(void *arg, const struct err *note, const char *severity)
{
    struct conn *c = arg;

    encode_notice(&c->w, severity, note);
}

static void sink_parameter(void *arg, const char *name, const char *value)
{
    struct conn *c = arg;

    encode_parameter_status(&c->w, name, value);
}

struct sql_sink conn_sink(struct conn *c)
{
    return (struct sql_sink){.arg = c,
                             .columns = sink_columns,
                             .row = sink_row,
                             .complete = sink_complete,
                             .empty = sink_empty,
                             .notice = sink_notice,
                             .parameter = sink_parameter};
}

static bool handle_query(struct conn *c, struct bytes body)
{
    static const struct formats all_text = {0};
    struct sql_sink sink = conn_sink(c);
    struct wire_rd r = wire_rd_of(body);
    const char *text = wire_get_str(&r);
    struct err err;

    if (!wire_rd_done(&r))
        return conn_fatal(c, SQLSTATE_PROTOCOL_VIOLATION, "invalid message format: query");
    c->row_formats = &all_text;
    if (c->f->opts.backend->run(c->s, text, &sink, &err) != ST_OK)
        conn_error(c, &err);
    return conn_ready(c);
}

static bool handle_function_call(struct conn *c)
{
    struct err err;

    (void)err_set(&err, ST_REJECT, SQLSTATE_FEATURE_NOT_SUPPORTED,
                  "function call messages are not supported");
    (void)err_hint(&err, "call the function in a SELECT");
    conn_error(c, &err);
    return conn_ready(c);
}

static bool handle_sync(struct conn *c)
{
    bool alive = extended_sync(c);

    c->skip_to_sync = false;
    return alive && conn_ready(c);
}

static bool handle(struct conn *c, const struct wire_msg *msg)
{
    if (c->skip_to_sync && msg->type != 'S' && msg->type != 'X')
        return true;
    switch (msg->type) {
    case 'Q':
        return handle_query(c, msg->body);
    case 'P':
        return extended_parse(c, msg->body);
    case 'B':
        return extended_bind(c, msg->body);
    case 'D':
        return extended_describe(c, msg->body);
    case 'E':
        return extended_execute(c, msg->body);
    case 'C':
        return extended_close(c, msg->body);
    case 'S':
        return handle_sync(c);
    case 'H':
        return conn_flush(c);
    case 'F':
        return handle_function_call(c);
    case 'X':
        return false;
    case 'c':
    case 'd':
    case 'f':
        return true; /* the rest of a COPY that failed: ignored, as the protocol says */
    default:         /* a byte off the wire, no enum */
        return conn_fatal(c, SQLSTATE_PROTOCOL_VIOLATION, "invalid message type %d", msg->type);
    }
}

static void conn_serve(struct conn *c)
{
    struct wire_msg msg;
    enum wire_result r = WIRE_OK;
    bool alive = true;

    while (alive) {
        r = wire_read(&c->w, &msg);
        if (c->f->stopping)
            r = WIRE_EOF; /* a statement that came after the stop is not begun */
        if (r != WIRE_OK)
            break;
        metric_add(c->f->m_messages, 1);
        arena_reset(&c->msg_mem);
        alive = handle(c, &msg);
    }
    if (r != WIRE_OK)
        (void)read_failed(c, r); /* false: it is over either way */
}

/* What the start-up packet asks for. Strings point into it. */
struct startup {
    const char *user, *database, *application_name, *options;
    const char *name[STARTUP_OPTIONS_MAX], *value[STARTUP_OPTIONS_MAX];
    size_t n_settings;
    const char *unknown[STARTUP_OPTIONS_MAX]; /* protocol options that this server does not know */
    size_t n_unknown;
};

static enum status take_startup_option(struct startup *su, const char *name, const char *value,
                                       struct err *err)
{
    if (strcmp(name, "user") == 0) {
        su->user = value;
    } else if (strcmp(name, "database") == 0) {
        su->database = value;
    } else if (strcmp(name, "application_name") == 0) {
        su->application_name = value;
    } else if (strcmp(name, "options") == 0) {
        su->options = value;
    } else if (strcmp(name, "replication") == 0) {
        if (strcasecmp(value, "false") != 0 && strcmp(value, "0") != 0 &&
            strcasecmp(value, "off") != 0 && strcasecmp(value, "no") != 0)
            return err_set(err, ST_REJECT, SQLSTATE_FEATURE_NOT_SUPPORTED,
                           "streaming replication connections are not supported");
    } else if (strncmp(name, "_pq_.", 5) == 0) {
        su->unknown[su->n_unknown++] = name;
    } else {
        su->name[su->n_settings] = name;
        su->value[su->n_settings++] = value;
    }
    return ST_OK;
}

static enum status parse_startup(struct wire_rd *r, struct startup *su, struct err *err)
{
    enum status st = ST_OK;

    *su = (struct startup){.application_name = ""};
    for (size_t n = 0;; n++) {
        const char *name = wire_get_str(r), *value;

        if (*name == '\0')
            break;
        value = wire_get_str(r);
        if (n == STARTUP_OPTIONS_MAX)
            return err_set(err, ST_REJECT, SQLSTATE_PROTOCOL_VIOLATION,
                           "more than %d start-up options", STARTUP_OPTIONS_MAX);
        TRY(take_startup_option(su, name, value, err));
    }
    if (!wire_rd_done(r))
        return err_set(err, ST_REJECT, SQLSTATE_PROTOCOL_VIOLATION,
                       "invalid start-up packet layout: expected terminator as last byte");
    if (su->user == NULL || *su->user == '\0')
        return err_set(err, ST_REJECT, SQLSTATE_INVALID_AUTHORIZATION_SPECIFICATION,
                       "no PostgreSQL user name specified in startup packet");
    if (su->database == NULL || *su->database == '\0')
        su->database = su->user;
out:
    return st;
}

/* One word of "options": backslash escapes a blank. Returns NULL at the end. */
static char *next_word(const char **at, struct arena *mem)
{
    const char *p = *at;
    char *word, *to;

    while (*p == ' ' || *p == '\t')
        p++;
    if (*p == '\0')
        return NULL;
    to = word = arena_alloc(mem, strlen(p) + 1);
    for (; *p != '\0' && *p != ' ' && *p != '\t'; p++) {
        if (*p == '\\' && p[1] != '\0')
            p++;
        *to++ = *p;
    }
    *to = '\0';
    *at = p;
    return word;
}

/* "-c name=value", "-cname=value", "--name=value": libpq's options parameter. */
static enum status apply_options(struct conn *c, struct session *s, const char *options,
                                 struct err *err)
{
    enum status st = ST_OK;
    char *word, *value;

    while (options != NULL && (word = next_word(&options, &c->msg_mem)) != NULL) {
        if (strcmp(word, "-c") == 0)
            word = next_word(&options, &c->msg_mem);
        else if (strncmp(word, "--", 2) == 0 || strncmp(word, "-c", 2) == 0)
            word += 2;
        else
            word = NULL;
        value = word == NULL ? NULL : strchr(word, '=');
        if (value == NULL)
            return err_set(err, ST_REJECT, SQLSTATE_PROTOCOL_VIOLATION,
                           "start-up options must be of the form -c name=value");
        *value = '\0';
        TRY(c->f->opts.backend->set(s, word, value + 1, err));
    }
out:
    return st;
}

/* Protocol options and minor versions that we lack are no error: the client is told what we have. */
static void negotiate(struct conn *c, const struct startup *su)
{
    size_t m = wire_begin(&c->w, 'v');

    wire_put_u32(&c->w, 0); /* newest minor version of protocol 3 */
    wire_put_u32(&c->w, (uint32_t)su->n_unknown);
    for (size_t i = 0; i < su->n_unknown; i++)
        wire_put_str(&c->w, su->unknown[i]);
    wire_end(&c->w, m);
}

/* Clients decide by these how to talk to us: see docs of libpq, PQparameterStatus. */
static void send_parameters(struct conn *c)
{
    static const char *const reported[][2] = {
        {"server_version", "15.0"},
        {"server_encoding", "UTF8"},
        {"client_encoding", "UTF8"},
        {"DateStyle", "ISO, MDY"},
        {"IntervalStyle", "postgres"},
        {"TimeZone", "UTC"},
        {"integer_datetimes", "on"},
        {"standard_conforming_strings", "on"},
        {"is_superuser", "on"},
        {"session_authorization", ""},
        {"application_name", ""},
        {"in_hot_standby", "off"},
        {"default_transaction_read_only", "off"},
    };

    for (size_t i = 0; i < sizeof reported / sizeof reported[0]; i++) {
        const char *now = c->f->opts.backend->get(c->s, reported[i][0]);

        encode_parameter_status(&c->w, reported[i][0], now != NULL ? now : reported[i][1]);
    }
}

static void greet(struct conn *c)
{
    size_t m = wire_begin(&c->w, 'R');

    wire_put_u32(&c->w, 0); /* AuthenticationOk */
    wire_end(&c->w, m);
    send_parameters(c);
    m = wire_begin(&c->w, 'K');
    wire_put_u32(&c->w, c->pid);
    wire_put_u32(&c->w, c->secret);
    wire_end(&c->w, m);
}

static enum status open_session(struct conn *c, const struct startup *su, struct err *err)
{
    const struct frontend_backend *be = c->f->opts.backend;
    struct session_options opts = {.user = su->user,
                                   .database = su->database,
                                   .application_name = su->application_name,
                                   .client_name = c->peer};
    struct session *s = NULL;
    enum status st;

    TRY(frontend_admit(c, err));
    TRY(be->open(c->f->opts.db, &opts, &s, err));
    TRY(apply_options(c, s, su->options, err));
    for (size_t i = 0; i < su->n_settings; i++)
        TRY(be->set(s, su->name[i], su->value[i], err));
    frontend_publish_session(c, s);
out:
    if (st != ST_OK && s != NULL)
        be->close(s);
    return st;
}

static bool start_session(struct conn *c, struct wire_rd *r, uint32_t version)
{
    struct startup su;
    struct err err;

    if (parse_startup(r, &su, &err) != ST_OK)
        return fatal_err(c, &err);
    if (su.n_unknown != 0 || (version & 0xffff) != 0)
        negotiate(c, &su);
    if (open_session(c, &su, &err) != ST_OK)
        return fatal_err(c, &err);
    log_event(c->f->opts.log, LOG_DEBUG, "pg.start", "pid=%u client=%s", c->pid, c->peer);
    greet(c);
    c->w.deadline_mono_ns = 0;
    set_receive_timeout(c, 0);
    return conn_ready(c);
}

static bool conn_startup(struct conn *c)
{
    c->w.deadline_mono_ns = mono_now() + c->f->opts.startup_ms * NS_PER_MS;
    set_receive_timeout(c, c->f->opts.startup_ms);
    for (int i = 0; i < STARTUP_PACKETS; i++) {
        struct wire_msg msg;
        enum wire_result result = wire_read_startup(&c->w, &msg);
        struct wire_rd r;
        uint32_t code;

        if (result != WIRE_OK)
            return read_failed(c, result);
        r = wire_rd_of(msg.body);
        code = wire_get_u32(&r);
        if (code == REQUEST_CANCEL) {
            uint32_t pid = wire_get_u32(&r), secret = wire_get_u32(&r);

            if (wire_rd_done(&r))
                frontend_cancel(c->f, pid, secret);
            return false;
        }
        if (code >> 16 == PROTOCOL_3)
            return start_session(c, &r, code);
        if (code != REQUEST_SSL && code != REQUEST_GSS)
            return conn_fatal(c, SQLSTATE_FEATURE_NOT_SUPPORTED,
                              "unsupported frontend protocol %u.%u: server supports 3.0",
                              code >> 16, code & 0xffff);
        wire_put_u8(&c->w, 'N');
        if (!conn_flush(c))
            return false;
    }
    return conn_fatal(c, SQLSTATE_PROTOCOL_VIOLATION, "too many encryption requests");
}
