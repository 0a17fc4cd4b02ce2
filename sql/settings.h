/*
 * settings.h - what SET and SHOW know: the run-time parameters of one session.
 *
 * Names are PostgreSQL's, so that clients find what they set; many are kept and shown without effect.
 * A value set inside a transaction goes back at its rollback, a SET LOCAL one at its end. Thread: the
 * session's.
 */
#ifndef MRD_SQL_SETTINGS_H
#define MRD_SQL_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

struct settings;

/* user: session_authorization. Both are copied; NULL is empty. */
struct settings *settings_new(const char *user, const char *application_name);
void settings_free(struct settings *s);

/* The setting's proper spelling and value; NULL if there is none of this name. Borrowed until it changes. */
const char *settings_get(struct settings *s, const char *name, const char **out_spelling);
/* value NULL: back to its default. 42704, 22023, 55P02 as 25006 for those that cannot be changed. */
enum status settings_set(struct settings *s, const char *name, const char *value, bool local,
                         bool in_txn, struct err *err) MRD_CHECKED;
void settings_reset_all(struct settings *s);
/* The transaction is over: LOCAL values go; after a rollback all values set in it go. */
void settings_end_txn(struct settings *s, bool committed);

/* Calls fn for every reported setting that changed since the last call. */
void settings_report(struct settings *s, void (*fn)(void *arg, const char *name, const char *value),
                     void *arg);
void settings_each(struct settings *s,
                   void (*fn)(void *arg, const char *name, const char *value, const char *what),
                   void *arg);

int64_t settings_timeout_ns(struct settings *s); /* statement_timeout; 0 none */
int32_t settings_zone_s(struct settings *s);
/* Grows whenever a setting that plans depend on has changed (TimeZone). */
uint64_t settings_plan_version(const struct settings *s);

#endif
