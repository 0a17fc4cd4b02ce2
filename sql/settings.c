#include "sql/settings.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/check.h"
#include "sql/timestamp.h"

enum setting_kind { SET_STRING, SET_BOOL, SET_INT, SET_TIME, SET_ZONE, SET_ENCODING, SET_FIXED };
enum { CUSTOM_MAX = 64 };

struct setting_def {
    const char *name;
    const char *value; /* default */
    enum setting_kind kind;
    bool report;
    const char *what;
};

static const struct setting_def defs[] = {
    {"application_name", "", SET_STRING, true, "Name of the client's program."},
    {"array_nulls", "on", SET_BOOL, false, "Kept for clients."},
    {"backslash_quote", "safe_encoding", SET_STRING, false, "Kept for clients."},
    {"bytea_output", "hex", SET_STRING, false, "Form of bytea in text; always hex."},
    {"check_function_bodies", "on", SET_BOOL, false, "Kept for clients."},
    {"client_encoding", "UTF8", SET_ENCODING, true, "The client's encoding; UTF8 only."},
    {"client_min_messages", "notice", SET_STRING, false, "Kept for clients."},
    {"commit_timestamp", "0", SET_FIXED, false, "Timestamp of this session's last commit, ns."},
    {"constraint_exclusion", "partition", SET_STRING, false, "Kept for clients."},
    {"cpu_index_tuple_cost", "0.005", SET_STRING, false, "Kept for clients."},
    {"cpu_operator_cost", "0.0025", SET_STRING, false, "Kept for clients."},
    {"cpu_tuple_cost", "0.01", SET_STRING, false, "Kept for clients."},
    {"DateStyle", "ISO, MDY", SET_STRING, true, "Form of dates; always ISO."},
    {"default_table_access_method", "heap", SET_STRING, false, "Kept for clients."},
    {"default_tablespace", "", SET_STRING, false, "Kept for clients."},
    {"default_transaction_deferrable", "off", SET_BOOL, false, "Kept for clients."},
    {"default_transaction_isolation", "serializable", SET_STRING, false,
     "Every transaction is serializable."},
    {"default_transaction_read_only", "off", SET_BOOL, true, "BEGIN is BEGIN READ ONLY."},
    {"effective_cache_size", "4GB", SET_STRING, false, "Kept for clients."},
    {"enable_bitmapscan", "on", SET_BOOL, false, "Kept for clients."},
    {"enable_hashagg", "on", SET_BOOL, false, "Kept for clients."},
    {"enable_hashjoin", "on", SET_BOOL, false, "Kept for clients."},
    {"enable_indexonlyscan", "on", SET_BOOL, false, "Kept for clients."},
    {"enable_indexscan", "on", SET_BOOL, false, "Kept for clients."},
    {"enable_material", "on", SET_BOOL, false, "Kept for clients."},
    {"enable_memoize", "on", SET_BOOL, false, "Kept for clients."},
    {"enable_mergejoin", "on", SET_BOOL, false, "Kept for clients."},
    {"enable_nestloop", "on", SET_BOOL, false, "Kept for clients."},
    {"enable_seqscan", "on", SET_BOOL, false, "Kept for clients."},
    {"enable_sort", "on", SET_BOOL, false, "Kept for clients."},
    {"escape_string_warning", "on", SET_BOOL, false, "Kept for clients."},
    {"extra_float_digits", "1", SET_INT, false, "Kept for clients; floats are always exact."},
    {"from_collapse_limit", "8", SET_INT, false, "Kept for clients."},
    {"geqo", "on", SET_BOOL, false, "Kept for clients."},
    {"idle_in_transaction_session_timeout", "0", SET_TIME, false, "Kept for clients."},
    {"idle_session_timeout", "0", SET_TIME, false, "Kept for clients."},
    {"in_hot_standby", "off", SET_FIXED, true, "A session can always write."},
    {"integer_datetimes", "on", SET_FIXED, true, "Timestamps are integers."},
    {"IntervalStyle", "postgres", SET_STRING, true, "Form of intervals."},
    {"jit", "off", SET_BOOL, false, "Kept for clients."},
    {"join_collapse_limit", "8", SET_INT, false, "Kept for clients."},
    {"lc_collate", "C", SET_FIXED, false, "Text is ordered by its bytes."},
    {"lc_ctype", "C", SET_FIXED, false, "Text is ordered by its bytes."},
    {"lc_messages", "C", SET_STRING, false, "Kept for clients."},
    {"lc_monetary", "C", SET_STRING, false, "Kept for clients."},
    {"lc_numeric", "C", SET_STRING, false, "Kept for clients."},
    {"lc_time", "C", SET_STRING, false, "Kept for clients."},
    {"lock_timeout", "0", SET_TIME, false, "Kept for clients."},
    {"log_min_duration_statement", "-1", SET_TIME, false, "Kept for clients."},
    {"log_statement", "none", SET_STRING, false, "Kept for clients."},
    {"maintenance_work_mem", "64MB", SET_STRING, false, "Kept for clients."},
    {"max_identifier_length", "63", SET_FIXED, false, "Bytes that a name may have."},
    {"max_parallel_workers_per_gather", "0", SET_INT, false, "Kept for clients."},
    {"plan_cache_mode", "auto", SET_STRING, false, "Kept for clients."},
    {"random_page_cost", "4", SET_STRING, false, "Kept for clients."},
    {"role", "none", SET_STRING, false, "Kept for clients."},
    {"row_security", "on", SET_BOOL, false, "Kept for clients."},
    {"search_path", "\"$user\", public", SET_STRING, false, "Kept for clients; public only."},
    {"seq_page_cost", "1", SET_STRING, false, "Kept for clients."},
    {"server_encoding", "UTF8", SET_FIXED, true, "Encoding of the database."},
    {"server_version", "15.0", SET_FIXED, true, "The PostgreSQL release whose dialect is spoken."},
    {"server_version_num", "150000", SET_FIXED, false, "The same as a number."},
    {"session_authorization", "", SET_FIXED, true, "The user of this session."},
    {"session_replication_role", "origin", SET_STRING, false, "Kept for clients."},
    {"standard_conforming_strings", "on", SET_BOOL, true, "Backslashes in strings are plain."},
    {"statement_timeout", "0", SET_TIME, false, "A statement that runs longer ends with 57014."},
    {"synchronize_seqscans", "on", SET_BOOL, false, "Kept for clients."},
    {"synchronous_commit", "on", SET_STRING, false, "Always on."},
    {"temp_buffers", "8MB", SET_STRING, false, "Kept for clients."},
    {"TimeZone", "UTC", SET_ZONE, true, "Zone of timestamps: UTC or a fixed offset."},
    {"transaction_age", "0", SET_INT, false,
     "Start time of the transaction's first attempt, ns: set before BEGIN to keep its age."},
    {"transaction_deferrable", "off", SET_BOOL, false, "Kept for clients."},
    {"transaction_isolation", "serializable", SET_STRING, false, "Always serializable."},
    {"transaction_read_only", "off", SET_BOOL, false, "Set by BEGIN READ ONLY."},
    {"vacuum_cost_delay", "0", SET_STRING, false, "Kept for clients."},
    {"work_mem", "4MB", SET_STRING, false, "Kept for clients."},
    {"xmloption", "content", SET_STRING, false, "Kept for clients."},
    {"is_superuser", "on", SET_FIXED, true, "Every user may do everything."},
};
enum { N_DEFS = sizeof defs / sizeof defs[0] };

struct value {
    char *now;
    char *after_commit;   /* SET LOCAL: what comes back at the end; NULL none */
    char *after_rollback; /* what was before the transaction; NULL unchanged in it */
    bool changed;         /* to be reported */
};

struct settings {
    struct value values[N_DEFS];
    char *user;
    char *custom_names[CUSTOM_MAX]; /* "a.b": any value */
    char *custom_values[CUSTOM_MAX];
    size_t n_custom;
    int32_t zone_s;
    int64_t timeout_ns;
    uint64_t plan_version;
    bool any_changed; /* a reported one waits */
    bool any_in_txn;  /* one has an `after_` value */
};

static int find(const char *name)
{
    for (int i = 0; i < N_DEFS; i++) {
        if (strcasecmp(defs[i].name, name) == 0)
            return i;
    }
    return -1;
}

static const char *default_of(const struct settings *s, int i)
{
    return strcmp(defs[i].name, "session_authorization") == 0 ? s->user : defs[i].value;
}

static void put(char **at, const char *value)
{
    char *copy = value == NULL ? NULL : xstrdup(value);

    free(*at);
    *at = copy;
}

struct settings *settings_new(const char *user, const char *application_name)
{
    struct settings *s = xcalloc(1, sizeof *s);

    s->user = xstrdup(user != NULL ? user : "");
    for (int i = 0; i < N_DEFS; i++)
        s->values[i].now = xstrdup(default_of(s, i));
    if (application_name != NULL)
        put(&s->values[find("application_name")].now, application_name);
    return s;
}

void settings_free(struct settings *s)
{
    if (s == NULL)
        return;
    for (int i = 0; i < N_DEFS; i++) {
        free(s->values[i].now);
        free(s->values[i].after_commit);
        free(s->values[i].after_rollback);
    }
    for (size_t i = 0; i < s->n_custom; i++) {
        free(s->custom_names[i]);
        free(s->custom_values[i]);
    }
    free(s->user);
    free(s);
}

const char *settings_get(struct settings *s, const char *name, const char **out_spelling)
{
    int i = find(name);

    if (i >= 0) {
        if (out_spelling != NULL)
            *out_spelling = defs[i].name;
        return s->values[i].now;
    }
    for (size_t c = 0; c < s->n_custom; c++) {
        if (strcasecmp(s->custom_names[c], name) == 0) {
            if (out_spelling != NULL)
                *out_spelling = s->custom_names[c];
            return s->custom_values[c];
        }
    }
    return NULL;
}

/* Values */

static enum status invalid(const char *name, const char *value, struct err *err)
{
    return err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                   "invalid value for parameter \"%s\": \"%s\"", name, value);
}

static const char *parse_bool(const char *v)
{
    static const char *const yes[] = {"on", "true", "yes", "1", "t", "y"};
    static const char *const no[] = {"off", "false", "no", "0", "f", "n"};

    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
        if (strcasecmp(v, yes[i]) == 0)
            return "on";
        if (strcasecmp(v, no[i]) == 0)
            return "off";
    }
    return NULL;
}

/* "250", "250ms", "5s", "1min", "2h" in milliseconds; -1 if it is none of these. */
static int64_t parse_ms(const char *v)
{
    char *end;
    long long n = strtoll(v, &end, 10);

    while (*end == ' ')
        end++;
    if (end == v || n < 0 || n > INT64_C(1) << 40)
        return -1;
    if (*end == 0 || strcmp(end, "ms") == 0)
        return n;
    if (strcmp(end, "s") == 0)
        return n * 1000;
    if (strcmp(end, "min") == 0)
        return n * 60000;
    if (strcmp(end, "h") == 0)
        return n * 3600000;
    return -1;
}

static bool utf8_name(const char *v)
{
    return strcasecmp(v, "UTF8") == 0 || strcasecmp(v, "UTF-8") == 0 ||
           strcasecmp(v, "UNICODE") == 0;
}

/* The value as it is kept, or NULL if it is not valid. */
static const char *normalise(const struct setting_def *d, const char *v)
{
    int32_t zone;
    char *end;

    switch (d->kind) {
    case SET_BOOL:
        return parse_bool(v);
    case SET_INT:
        (void)strtoll(v, &end, 10);
        return end != v && *end == 0 ? v : NULL;
    case SET_TIME:
        return parse_ms(v) >= 0 || strcmp(v, "-1") == 0 ? v : NULL;
    case SET_ZONE:
        return timestamp_zone(v, &zone) ? v : NULL;
    case SET_ENCODING:
        return utf8_name(v) ? "UTF8" : NULL;
    case SET_STRING:
        if (strcmp(d->name, "DateStyle") == 0)
            return strncasecmp(v, "iso", 3) == 0 ? "ISO, MDY" : NULL;
        return v;
    case SET_FIXED:
        break;
    }
    return v;
}

/* What the hot path reads is kept ready. */
static void refresh(struct settings *s, int i)
{
    if (defs[i].kind == SET_ZONE) {
        int32_t zone;

        if (timestamp_zone(s->values[i].now, &zone) && zone != s->zone_s) {
            s->zone_s = zone;
            s->plan_version++;
        }
    } else if (strcmp(defs[i].name, "statement_timeout") == 0) {
        s->timeout_ns = parse_ms(s->values[i].now) * 1000000;
    }
    s->values[i].changed = defs[i].report;
    s->any_changed |= defs[i].report;
}

static enum status set_custom(struct settings *s, const char *name, const char *value,
                              struct err *err)
{
    size_t c = 0;

    while (c < s->n_custom && strcasecmp(s->custom_names[c], name) != 0)
        c++;
    if (c == CUSTOM_MAX)
        return err_set(err, ST_REJECT, SQLSTATE_CONFIGURATION_LIMIT_EXCEEDED,
                       "a session may set at most %d parameters of its own", CUSTOM_MAX);
    if (c == s->n_custom) {
        s->custom_names[c] = xstrdup(name);
        s->custom_values[c] = NULL;
        s->n_custom++;
    }
    put(&s->custom_values[c], value != NULL ? value : "");
    return ST_OK;
}

enum status settings_set(struct settings *s, const char *name, const char *value, bool local,
                         bool in_txn, struct err *err)
{
    int i = find(name);
    const char *kept;
    struct value *v;

    if (i < 0 && strchr(name, '.') != NULL)
        return set_custom(s, name, value, err);
    if (i < 0)
        return err_set(err, ST_REJECT, SQLSTATE_UNDEFINED_OBJECT,
                       "unrecognized configuration parameter \"%s\"", name);
    v = &s->values[i];
    kept = normalise(&defs[i], value != NULL ? value : default_of(s, i));
    if (kept == NULL)
        return invalid(defs[i].name, value, err);
    if (defs[i].kind == SET_FIXED) {
        if (strcmp(v->now, kept) == 0)
            return ST_OK;
        return err_set(err, ST_REJECT, SQLSTATE_OBJECT_IN_USE, "parameter \"%s\" cannot be changed",
                       defs[i].name);
    }
    if (local && !in_txn)
        return ST_OK;
    s->any_in_txn |= in_txn;
    if (in_txn && v->after_rollback == NULL)
        put(&v->after_rollback, v->now);
    if (local && v->after_commit == NULL)
        put(&v->after_commit, v->now);
    else if (!local)
        put(&v->after_commit, NULL);
    put(&v->now, kept);
    refresh(s, i);
    return ST_OK;
}

void settings_reset_all(struct settings *s)
{
    for (int i = 0; i < N_DEFS; i++) {
        if (defs[i].kind != SET_FIXED && strcmp(s->values[i].now, default_of(s, i)) != 0) {
            put(&s->values[i].now, default_of(s, i));
            refresh(s, i);
        }
    }
}

void settings_end_txn(struct settings *s, bool committed)
{
    for (int i = 0; s->any_in_txn && i < N_DEFS; i++) {
        struct value *v = &s->values[i];
        const char *back = committed ? v->after_commit : v->after_rollback;

        if (back != NULL) {
            put(&v->now, back);
            refresh(s, i);
        }
        if (v->after_commit != NULL)
            put(&v->after_commit, NULL);
        if (v->after_rollback != NULL)
            put(&v->after_rollback, NULL);
    }
    s->any_in_txn = false;
}

void settings_report(struct settings *s, void (*fn)(void *arg, const char *name, const char *value),
                     void *arg)
{
    for (int i = 0; s->any_changed && i < N_DEFS; i++) {
        if (s->values[i].changed)
            fn(arg, defs[i].name, s->values[i].now);
        s->values[i].changed = false;
    }
    s->any_changed = false;
}

void settings_each(struct settings *s,
                   void (*fn)(void *arg, const char *name, const char *value, const char *what),
                   void *arg)
{
    for (int i = 0; i < N_DEFS; i++)
        fn(arg, defs[i].name, s->values[i].now, defs[i].what);
}

int64_t settings_timeout_ns(struct settings *s)
{
    return s->timeout_ns;
}

int32_t settings_zone_s(struct settings *s)
{
    return s->zone_s;
}

uint64_t settings_plan_version(const struct settings *s)
{
    return s->plan_version;
}
