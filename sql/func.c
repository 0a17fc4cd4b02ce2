#include "sql/func.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "sql/cast.h"
#include "sql/func_int.h"
#include "sql/like.h"

enum { CANDIDATES_MAX = 64 };

static const struct func_table *const func_tables[] = {
    &func_math_table, &func_text_table, &func_bytes_table, &func_time_table, &func_session_table,
};
static const struct func_table *const binary_tables[] = {&oper_cmp_table, &oper_arith_table};
static const struct func_table *const prefix_tables[] = {&oper_prefix_table};

struct candidates {
    const struct func *item[CANDIDATES_MAX];
    size_t n;
};

struct call {
    const char *name;
    const enum sql_type *args;
    size_t n;
};

static bool takes(const struct func *f, size_t n)
{
    return f->variadic ? (int)n >= f->n_args - 1 : (int)n == f->n_args;
}

static void gather(const struct func_table *const *tables, size_t n_tables, const struct call *c,
                   struct candidates *out)
{
    out->n = 0;
    for (size_t t = 0; t < n_tables; t++) {
        for (size_t i = 0; i < tables[t]->n; i++) {
            const struct func *f = &tables[t]->items[i];

            if (strcmp(f->name, c->name) != 0 || !takes(f, c->n))
                continue;
            ASSERT(out->n < CANDIDATES_MAX);
            out->item[out->n++] = f;
        }
    }
}

/* The rules of PostgreSQL's manual, 10.2 and 10.3, step by step. Each step keeps the best candidates. */

static bool reachable(enum sql_type from, enum sql_type to)
{
    return to == FUNC_ANY || from == TYPE_UNKNOWN || cast_find(from, to, CAST_IMPLICIT) != NULL;
}

static bool matches_exactly(const struct func *f, const struct call *c)
{
    for (size_t i = 0; i < c->n; i++)
        if (func_arg_type(f, i) != c->args[i] || c->args[i] == TYPE_UNKNOWN)
            return false;
    return true;
}

static bool callable(const struct func *f, const struct call *c)
{
    for (size_t i = 0; i < c->n; i++)
        if (!reachable(c->args[i], func_arg_type(f, i)))
            return false;
    return true;
}

static bool is_preferred(enum sql_type t)
{
    return t == TYPE_BOOL || t == TYPE_FLOAT8 || t == TYPE_TEXT || t == TYPE_TIMESTAMPTZ;
}

static int exact_args(const struct func *f, const struct call *c)
{
    int score = 0;

    for (size_t i = 0; i < c->n; i++)
        score += c->args[i] != TYPE_UNKNOWN && func_arg_type(f, i) == c->args[i];
    return score;
}

static int preferred_args(const struct func *f, const struct call *c)
{
    int score = exact_args(f, c);

    for (size_t i = 0; i < c->n; i++)
        score += c->args[i] != TYPE_UNKNOWN && func_arg_type(f, i) != c->args[i] &&
                 func_arg_type(f, i) != FUNC_ANY && is_preferred(func_arg_type(f, i));
    return score;
}

static void keep_best(struct candidates *cs, const struct call *c,
                      int (*score)(const struct func *f, const struct call *c))
{
    int best = 0;
    size_t n = 0;

    for (size_t i = 0; i < cs->n; i++) {
        int s = score(cs->item[i], c);

        best = s > best ? s : best;
    }
    for (size_t i = 0; i < cs->n; i++)
        if (score(cs->item[i], c) == best)
            cs->item[n++] = cs->item[i];
    cs->n = n;
}

static char category_at(const struct func *f, size_t i)
{
    enum sql_type t = func_arg_type(f, i);

    return t == FUNC_ANY ? 'S' : type_info(t)->category;
}

/* What an untyped literal there is taken for: a string if any candidate takes one, else what all of them
 * take; 0 if they differ. */
static char category_of_unknown(const struct candidates *cs, size_t arg)
{
    char first = category_at(cs->item[0], arg);
    bool same = true;

    for (size_t i = 0; i < cs->n; i++) {
        char k = category_at(cs->item[i], arg);

        if (k == 'S')
            return k;
        same &= k == first;
    }
    return same ? first : 0;
}

static bool accepts(const struct func *f, size_t arg, char category, bool preferred)
{
    return category_at(f, arg) == category && (!preferred || is_preferred(func_arg_type(f, arg)));
}

/* Keeps the candidates that take, for every untyped literal, the category chosen there, and its preferred type
 * where one of them does. All stay if nothing can be concluded. */
static void keep_by_unknowns(struct candidates *cs, const struct call *c)
{
    struct candidates left = *cs;

    for (size_t arg = 0; arg < c->n; arg++) {
        char category;
        bool preferred = false;
        size_t n = 0;

        if (c->args[arg] != TYPE_UNKNOWN)
            continue;
        category = category_of_unknown(cs, arg);
        if (category == 0)
            return;
        for (size_t i = 0; i < cs->n; i++)
            preferred |= accepts(cs->item[i], arg, category, true);
        for (size_t i = 0; i < left.n; i++)
            if (accepts(left.item[i], arg, category, preferred))
                left.item[n++] = left.item[i];
        left.n = n;
    }
    if (left.n > 0)
        *cs = left;
}

/* If the known arguments are all of one type, the untyped ones are taken to be of it, too. */
static void keep_by_one_type(struct candidates *cs, const struct call *c)
{
    enum sql_type one = TYPE_UNKNOWN;
    const struct func *found = NULL;
    size_t n = 0;

    for (size_t i = 0; i < c->n; i++) {
        if (c->args[i] == TYPE_UNKNOWN)
            continue;
        if (one != TYPE_UNKNOWN && c->args[i] != one)
            return;
        one = c->args[i];
    }
    if (one == TYPE_UNKNOWN)
        return;
    for (size_t i = 0; i < cs->n; i++) {
        bool all = true;

        for (size_t a = 0; a < c->n; a++)
            all &= reachable(one, func_arg_type(cs->item[i], a));
        if (all) {
            found = cs->item[i];
            n++;
        }
    }
    if (n == 1) {
        cs->item[0] = found;
        cs->n = 1;
    }
}

/* Calls that PostgreSQL finds ambiguous, if all arguments are untyped, because of types that are not here (dates,
 * intervals, money, network addresses). */
static bool ambiguous_elsewhere(const struct call *c)
{
    static const struct {
        const char *name;
        size_t n;
    } calls[] = {{"+", 2}, {"-", 2}, {"*", 2}, {"/", 2}, {"-", 1}, {"~", 1}, {"trunc", 1}};

    for (size_t i = 0; i < c->n; i++)
        if (c->args[i] != TYPE_UNKNOWN)
            return false;
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        if (c->n == calls[i].n && strcmp(c->name, calls[i].name) == 0)
            return true;
    return false;
}

/* How many are left: 1 is success, 0 none fits, more is ambiguous. */
static size_t choose(struct candidates *cs, const struct call *c)
{
    size_t n = 0;

    for (size_t i = 0; i < cs->n; i++) {
        if (matches_exactly(cs->item[i], c)) {
            cs->item[0] = cs->item[i];
            return 1;
        }
    }
    for (size_t i = 0; i < cs->n; i++)
        if (callable(cs->item[i], c))
            cs->item[n++] = cs->item[i];
    cs->n = n;
    if (cs->n > 1 && ambiguous_elsewhere(c))
        return cs->n;
    if (cs->n > 1)
        keep_best(cs, c, exact_args);
    if (cs->n > 1)
        keep_best(cs, c, preferred_args);
    if (cs->n > 1)
        keep_by_unknowns(cs, c);
    if (cs->n > 1)
        keep_by_one_type(cs, c);
    return cs->n;
}

static const char *arg_names(const struct call *c, char *out, size_t size)
{
    size_t n = 0;

    out[0] = '\0';
    for (size_t i = 0; i < c->n && n < size; i++)
        n += (size_t)snprintf(out + n, size - n, "%s%s", i > 0 ? ", " : "",
                              type_info(c->args[i])->name);
    return out;
}

static bool known_schema(const char *schema)
{
    return schema == NULL || strcmp(schema, "pg_catalog") == 0;
}

bool func_exists(const char *schema, const char *name)
{
    if (!known_schema(schema))
        return false;
    for (size_t t = 0; t < sizeof func_tables / sizeof func_tables[0]; t++)
        for (size_t i = 0; i < func_tables[t]->n; i++)
            if (strcmp(func_tables[t]->items[i].name, name) == 0)
                return true;
    return false;
}

enum status func_resolve(const char *schema, const char *name, const enum sql_type *args, size_t n,
                         int pos, const struct func **out, struct err *err)
{
    struct call c = {name, args, n};
    struct candidates cs = {.n = 0};
    char types[160];
    size_t left;

    if (known_schema(schema))
        gather(func_tables, sizeof func_tables / sizeof func_tables[0], &c, &cs);
    left = choose(&cs, &c);
    if (left == 1) {
        *out = cs.item[0];
        return ST_OK;
    }
    arg_names(&c, types, sizeof types);
    if (left > 1) {
        (void)err_set(err, ST_REJECT, SQLSTATE_AMBIGUOUS_FUNCTION, "function %s(%s) is not unique",
                      name, types);
        (void)err_hint(err, "Could not choose a best candidate function. You might need to add "
                            "explicit type casts.");
    } else {
        (void)err_set(err, ST_REJECT, SQLSTATE_UNDEFINED_FUNCTION,
                      "function %s%s%s(%s) does not exist", schema == NULL ? "" : schema,
                      schema == NULL ? "" : ".", name, types);
        (void)err_hint(err, "No function matches the given name and argument types. You might need "
                            "to add explicit type casts.");
    }
    return err_position(err, pos);
}

static enum status no_operator(size_t left, const char *op, const char *l, const char *r, int pos,
                               struct err *err)
{
    bool prefix = l[0] == '\0';

    (void)err_set(err, ST_REJECT,
                  left > 1 ? SQLSTATE_AMBIGUOUS_FUNCTION : SQLSTATE_UNDEFINED_FUNCTION,
                  "operator %s: %s%s%s %s", left > 1 ? "is not unique" : "does not exist", l,
                  prefix ? "" : " ", op, r);
    (void)err_hint(err, "%s",
                   left > 1 ? "Could not choose a best candidate operator. You might need to add "
                              "explicit type casts."
                   : prefix ? "No operator matches the given name and argument type. You might "
                              "need to add an explicit type cast."
                            : "No operator matches the given name and argument types. You might "
                              "need to add explicit type casts.");
    return err_position(err, pos);
}

enum status oper_resolve(const char *schema, const char *op, enum sql_type left,
                         enum sql_type right, int pos, const struct func **out, struct err *err)
{
    enum sql_type args[2] = {left, right};
    struct call c = {op, args, 2};
    struct candidates cs = {.n = 0};
    size_t n;

    if (known_schema(schema))
        gather(binary_tables, sizeof binary_tables / sizeof binary_tables[0], &c, &cs);
    if ((left == TYPE_UNKNOWN) != (right == TYPE_UNKNOWN)) {
        /* One untyped side is first tried as the type of the other one. */
        enum sql_type known = left == TYPE_UNKNOWN ? right : left;

        for (size_t i = 0; i < cs.n; i++) {
            if (cs.item[i]->args[0] == known && cs.item[i]->args[1] == known) {
                *out = cs.item[i];
                return ST_OK;
            }
        }
    }
    n = choose(&cs, &c);
    if (n != 1)
        return no_operator(n, op, type_info(left)->name, type_info(right)->name, pos, err);
    *out = cs.item[0];
    return ST_OK;
}

enum status oper_prefix_resolve(const char *schema, const char *op, enum sql_type right, int pos,
                                const struct func **out, struct err *err)
{
    struct call c = {op, &right, 1};
    struct candidates cs = {.n = 0};
    size_t n;

    if (known_schema(schema))
        gather(prefix_tables, sizeof prefix_tables / sizeof prefix_tables[0], &c, &cs);
    n = choose(&cs, &c);
    if (n != 1)
        return no_operator(n, op, "", type_info(right)->name, pos, err);
    *out = cs.item[0];
    return ST_OK;
}

/* LIKE. */

static enum status like2(FUNC_ARGS)
{
    bool yes;
    enum status st = like_match(args[0].s, args[1].s, '\\', &yes, err);

    FUNC_UNUSED;
    if (st == ST_OK)
        *out = datum_bool(yes);
    return st;
}

static enum status ilike2(FUNC_ARGS)
{
    bool yes;
    enum status st = ilike_match(args[0].s, args[1].s, '\\', mem, &yes, err);

    FUNC_UNUSED;
    if (st == ST_OK)
        *out = datum_bool(yes);
    return st;
}

static enum status with_escape(bool ilike, FUNC_ARGS)
{
    struct datum pair[2] = {args[0], {.type = TYPE_TEXT}};
    enum status st = like_escape(args[1].s, args[2].s, mem, &pair[1].s, err);

    if (st != ST_OK)
        return st;
    return ilike ? ilike2(env, pair, n - 1, mem, out, err) : like2(env, pair, n - 1, mem, out, err);
}

static enum status like3(FUNC_ARGS)
{
    return with_escape(false, env, args, n, mem, out, err);
}

static enum status ilike3(FUNC_ARGS)
{
    return with_escape(true, env, args, n, mem, out, err);
}

const struct func *func_like(bool ilike, bool escape)
{
    static const struct func likes[2][2] = {
        {{.name = "~~",
          .n_args = 2,
          .args = {TYPE_TEXT, TYPE_TEXT},
          .result = TYPE_BOOL,
          .call = like2},
         {.name = "~~",
          .n_args = 3,
          .args = {TYPE_TEXT, TYPE_TEXT, TYPE_TEXT},
          .result = TYPE_BOOL,
          .call = like3}},
        {{.name = "~~*",
          .n_args = 2,
          .args = {TYPE_TEXT, TYPE_TEXT},
          .result = TYPE_BOOL,
          .call = ilike2},
         {.name = "~~*",
          .n_args = 3,
          .args = {TYPE_TEXT, TYPE_TEXT, TYPE_TEXT},
          .result = TYPE_BOOL,
          .call = ilike3}},
    };

    return &likes[ilike][escape];
}
