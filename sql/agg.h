/*
 * agg.h - aggregate functions: count, sum, avg, min, max, bool_and, bool_or, every, string_agg.
 *
 * Hides the running state. Per group: agg_init() in memory of agg->state_size bytes, agg_step() for each row,
 * agg_final() once or more. What the state keeps is copied into the group's arena `mem`, whose use stays
 * bounded by what the result needs. DISTINCT, ORDER BY and FILTER are the executor's: it decides which rows are
 * stepped, in which order. Thread: constant tables; a state belongs to one thread at a time.
 */
#ifndef MRD_SQL_AGG_H
#define MRD_SQL_AGG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/status.h"
#include "sql/datum.h"
#include "sql/func.h"

enum { AGG_STATE_MAX = 128, AGG_ARGS_MAX = 2 };

struct agg {
    const char *name;
    int n_args;                       /* count(*) has none */
    enum sql_type args[AGG_ARGS_MAX]; /* FUNC_ANY: any type as it is */
    enum sql_type result;
    size_t state_size; /* <= AGG_STATE_MAX; aligned as for any type */
    bool lax; /* steps rows whose first argument is NULL, too; otherwise agg_step() skips them */
    bool
        first_of_type; /* planner's hint: min is the first of an ascending index, max of a descending one */
    void (*init)(void *state);
    enum status (*step)(const struct func_env *env, void *state, const struct datum *args,
                        struct arena *mem, struct err *err);
    enum status (*final)(const struct func_env *env, const void *state, struct arena *mem,
                         struct datum *out, struct err *err);
};

bool agg_exists(const char *schema, const char *name);

/* As func_resolve(). `star`: count(*). */
enum status agg_resolve(const char *schema, const char *name, bool star, const enum sql_type *args,
                        size_t n, int pos, const struct agg **out, struct err *err) MRD_CHECKED;

static inline void agg_init(const struct agg *a, void *state)
{
    a->init(state);
}

/* Arguments are of agg->args types. */
static inline MRD_CHECKED enum status agg_step(const struct agg *a, const struct func_env *env,
                                               void *state, const struct datum *args,
                                               struct arena *mem, struct err *err)
{
    if (!a->lax && a->n_args > 0 && args[0].null)
        return ST_OK;
    return a->step(env, state, args, mem, err);
}

/* count of nothing is 0, all others NULL. */
static inline MRD_CHECKED enum status agg_final(const struct agg *a, const struct func_env *env,
                                                const void *state, struct arena *mem,
                                                struct datum *out, struct err *err)
{
    enum status st = a->final(env, state, mem, out, err);

    if (st == ST_OK)
        out->type = a->result; /* a state that serves several types does not know it */
    return st;
}

#endif
