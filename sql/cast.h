/*
 * cast.h - from one type to another: which casts exist in which place, and how they are done.
 *
 * The matrix is PostgreSQL's pg_cast, plus its conversions through text: any type to a string type on
 * assignment, a string type to any type when asked explicitly. An untyped literal (TYPE_UNKNOWN) goes to any
 * type through that type's input function. Thread: constant tables, pure functions.
 */
#ifndef MRD_SQL_CAST_H
#define MRD_SQL_CAST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "sql/datum.h"
#include "sql/func.h"

/* Where a cast happens; each allows what the ones before it allow. */
enum cast_context {
    CAST_IMPLICIT,   /* inside expressions */
    CAST_ASSIGNMENT, /* into a column */
    CAST_EXPLICIT    /* CAST(x AS t) */
};

struct cast {
    enum sql_type from;
    enum sql_type to;
    bool relabel;   /* no work: only datum.type changes */
    bool immutable; /* may be folded when planning */
    enum status (*call)(const struct func_env *env, const struct datum *in, struct arena *mem,
                        struct datum *out, struct err *err);
};

/* NULL: there is none in that context. from == to gives a relabelling that does nothing. */
const struct cast *cast_find(enum sql_type from, enum sql_type to, enum cast_context context);

/* Runs it; NULL gives NULL. 22P02, 22003, 22007 ... Does not apply a typmod. `out` may be
 * `in`. */
enum status cast_run(const struct cast *c, const struct func_env *env, const struct datum *in,
                     struct arena *mem, struct datum *out, struct err *err) MRD_CHECKED;

/* True if typmod says anything about values of this type (varchar(n), char(n), numeric(p,s)). */
bool typmod_matters(enum sql_type type, int32_t typmod);

/* Makes *value (of `type`) fit: varchar(n) and char(n) refuse longer text (22001) unless only blanks are
 * cut, or cut it when `context` is CAST_EXPLICIT; char(n) pads; numeric(p,s) rounds (22003). NULL stays. */
enum status typmod_apply(enum sql_type type, int32_t typmod, enum cast_context context,
                         struct arena *mem, struct datum *value, struct err *err) MRD_CHECKED;

/* The common type of UNION columns, CASE arms, VALUES columns, IN lists, COALESCE ... by PostgreSQL's
 * rules; all UNKNOWN gives TEXT. `what` names the construct ("CASE", "UNION", "COALESCE"). Every type then
 * casts implicitly to *out. 42804 with `pos`. */
enum status type_common(const enum sql_type *types, size_t n, const char *what, int pos,
                        enum sql_type *out, struct err *err) MRD_CHECKED;

/* Input function with an environment: 'now', and zones that are not written. */
enum status datum_input(enum sql_type t, struct bytes text, const struct func_env *env,
                        struct arena *mem, struct datum *out, struct err *err) MRD_CHECKED;
/* Output function with an environment: timestamps in the session's zone. */
struct bytes datum_output(const struct datum *d, const struct func_env *env, struct arena *mem);

#endif
