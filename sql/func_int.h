/*
 * func_int.h - the tables of functions and operators, for sql/func.c alone; and what their files share.
 */
#ifndef MRD_SQL_FUNC_INT_H
#define MRD_SQL_FUNC_INT_H

#include "sql/func.h"

struct func_table {
    const struct func *items;
    size_t n;
};

extern const struct func_table func_math_table;    /* func_math.c */
extern const struct func_table func_text_table;    /* func_text.c */
extern const struct func_table func_bytes_table;   /* func_bytes.c */
extern const struct func_table func_time_table;    /* func_time.c */
extern const struct func_table func_session_table; /* func_session.c */
extern const struct func_table oper_arith_table;   /* oper_arith.c: two operands */
extern const struct func_table oper_prefix_table;  /* oper_arith.c */
extern const struct func_table oper_cmp_table;     /* oper_cmp.c */

/* The signature that every function has; unused ones are marked where they are not looked at. */
#define FUNC_ARGS                                                                      \
    const struct func_env *env, const struct datum *args, size_t n, struct arena *mem, \
        struct datum *out, struct err *err
#define FUNC_UNUSED ((void)env, (void)args, (void)n, (void)mem, (void)err)

static inline enum status func_put_int(enum sql_type t, int64_t v, struct datum *out)
{
    *out = (struct datum){.type = t, .i = v};
    return ST_OK;
}

static inline enum status func_put_double(double v, struct datum *out)
{
    *out = (struct datum){.type = TYPE_FLOAT8, .d = v};
    return ST_OK;
}

static inline enum status func_put_text(struct bytes s, struct datum *out)
{
    *out = (struct datum){.type = TYPE_TEXT, .s = s};
    return ST_OK;
}

/* 54000 if a result of so many bytes is more than a text may have. */
enum status func_check_size(const struct func_env *env, uint64_t bytes,
                            struct err *err) MRD_CHECKED;

#endif
