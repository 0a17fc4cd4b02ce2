/*
 * func.h - scalar functions and operators: what exists, which one a call means, how to run it.
 *
 * Hides the tables of overloads and PostgreSQL's rules for choosing among them (exact match, then implicit
 * casts, preferred types, unknown literals). The binder resolves a call, coerces every argument to
 * func->args[i] with sql/cast.h, and keeps the `struct func` pointer; the executor calls it. COALESCE,
 * NULLIF, GREATEST, LEAST, CASE, AND, OR, NOT, IN and BETWEEN are the binder's own forms; see type_common()
 * in sql/cast.h for their types and func_eq() for the comparisons in them.
 *
 * Thread: the tables are constant; calls touch only their arguments.
 */
#ifndef MRD_SQL_FUNC_H
#define MRD_SQL_FUNC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/rng.h"
#include "base/status.h"
#include "sql/datum.h"

/* What a function may know of the statement that calls it. Zeroed memory is a valid environment: epoch
 * times, UTC, no names, random() refuses. Strings are borrowed for as long as the environment is used. */
struct func_env {
    int64_t txn_us;  /* now(): start of the transaction, microseconds since the Unix epoch */
    int64_t stmt_us; /* statement_timestamp() */
    int64_t (*clock_us)(void *arg); /* clock_timestamp(); NULL: stmt_us */
    void *clock_arg;
    int32_t zone_s;   /* the session's zone, seconds east of UTC */
    const char *user; /* current_user, session_user */
    const char *database;
    const char *schema;  /* current_schema; NULL: "public" */
    const char *version; /* version(); NULL: a plain name */
    struct rng *rng;     /* random() */
    size_t result_max;   /* bytes that one text value may have; 0: 256 MiB; more is 54000 */
};

enum { FUNC_ARGS_MAX = 4 };

/* In func.args and agg.args: takes any type as it is. */
#define FUNC_ANY TYPE_UNKNOWN

enum func_volatility { FUNC_IMMUTABLE, FUNC_STABLE, FUNC_VOLATILE };

/* Which comparison an operator is, for planners. */
enum cmp_op { CMP_NONE, CMP_EQ, CMP_NE, CMP_LT, CMP_LE, CMP_GT, CMP_GE };
/* a OP b is b swap(OP) a; NOT (a OP b) is a negate(OP) b. */
enum cmp_op cmp_swap(enum cmp_op op);
enum cmp_op cmp_negate(enum cmp_op op);

struct func {
    const char *name; /* "substr", or an operator's sign */
    int n_args;       /* those in `args`; a variadic function takes n_args - 1 or more */
    enum sql_type args[FUNC_ARGS_MAX];
    enum sql_type result;
    bool lax; /* sees NULL arguments; otherwise the caller answers NULL if any argument is NULL */
    bool variadic; /* the last of `args` may occur any number of times */
    enum func_volatility volatility;
    enum cmp_op cmp; /* operators only */
    /* Writes *out on ST_OK only, of type `result`, possibly NULL. Results may point into args or `mem`. Unless
     * `lax`, no argument is NULL: see func_call(). */
    enum status (*call)(const struct func_env *env, const struct datum *args, size_t n,
                        struct arena *mem, struct datum *out, struct err *err);
};

/* Runs it, with NULL in giving NULL out for strict functions. */
static inline MRD_CHECKED enum status func_call(const struct func *f, const struct func_env *env,
                                                const struct datum *args, size_t n,
                                                struct arena *mem, struct datum *out,
                                                struct err *err)
{
    if (!f->lax) {
        for (size_t i = 0; i < n; i++) {
            if (args[i].null) {
                *out = datum_null(f->result);
                return ST_OK;
            }
        }
    }
    return f->call(env, args, n, mem, out, err);
}

/* The type that argument i must have when f is called. FUNC_ANY: whatever it is (an UNKNOWN becomes text). */
static inline enum sql_type func_arg_type(const struct func *f, size_t i)
{
    return f->args[(int)i < f->n_args ? i : (size_t)f->n_args - 1];
}

/* True if there is a scalar function (of any arguments) of this name. schema: NULL or "pg_catalog". */
bool func_exists(const char *schema, const char *name);

/* The function that name(args) means; TYPE_UNKNOWN for untyped literals and parameters. 42883, 42725;
 * `pos` goes into the error. */
enum status func_resolve(const char *schema, const char *name, const enum sql_type *args, size_t n,
                         int pos, const struct func **out, struct err *err) MRD_CHECKED;

/* The operator that "left OP right" means; prefix operators have no left: see oper_prefix_resolve(). */
enum status oper_resolve(const char *schema, const char *op, enum sql_type left,
                         enum sql_type right, int pos, const struct func **out,
                         struct err *err) MRD_CHECKED;
enum status oper_prefix_resolve(const char *schema, const char *op, enum sql_type right, int pos,
                                const struct func **out, struct err *err) MRD_CHECKED;

/* The comparison `cmp` of two values of one type, e.g. for NULLIF or USING; never NULL for a type that has an
 * order (all but UNKNOWN). */
const struct func *oper_same_type(enum cmp_op cmp, enum sql_type type);

/* LIKE and ILIKE as functions of (text, pattern) and (text, pattern, escape); NOT is the binder's.
 * Their arguments are resolved as those of a function. */
const struct func *func_like(bool ilike, bool with_escape);

/* Three-valued logic. A bool datum, or NULL. */
static inline struct datum datum_bool(bool b)
{
    return (struct datum){.type = TYPE_BOOL, .b = b};
}
static inline bool datum_is_true(const struct datum *d)
{
    return !d->null && d->b;
}
static inline bool datum_is_false(const struct datum *d)
{
    return !d->null && !d->b;
}
static inline struct datum logic_not(struct datum a)
{
    a.b = !a.b && !a.null;
    return a;
}
static inline struct datum logic_and(struct datum a, struct datum b)
{
    if (datum_is_false(&a) || datum_is_false(&b))
        return datum_bool(false);
    return a.null || b.null ? datum_null(TYPE_BOOL) : datum_bool(true);
}
static inline struct datum logic_or(struct datum a, struct datum b)
{
    if (datum_is_true(&a) || datum_is_true(&b))
        return datum_bool(true);
    return a.null || b.null ? datum_null(TYPE_BOOL) : datum_bool(false);
}

#endif
